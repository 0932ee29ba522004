-- A checkpoint moves only from where it stands.
-- +goose Up

-- move_checkpoint locks a projection for the transaction's duration and moves its checkpoint from "after" to "upto". False when another
-- consumer of the group holds it, when it has another version, or when it stands elsewhere: another moved it, a rebuild put rows of another
-- position there, or the server lost moves that it had acknowledged. The lock is taken by a statement of its own, so that the second sees all
-- that was committed by those who held it before.
-- +goose StatementBegin
create function move_checkpoint(projection text, version integer, after bigint, upto bigint) returns boolean language plpgsql volatile as $$
begin
    perform from followers f where f.projection = move_checkpoint.projection and f.version = move_checkpoint.version for update skip locked;
    if not found then
        return false;
    end if;
    insert into checkpoint_moves (projection, version, after, position)
    select move_checkpoint.projection, move_checkpoint.version, move_checkpoint.after, move_checkpoint.upto
    where move_checkpoint.after = coalesce((
        select m.position from checkpoint_moves m
        where m.projection = move_checkpoint.projection and m.version = move_checkpoint.version order by m.after desc limit 1
    ), 0);
    return found;
end $$;
-- +goose StatementEnd
