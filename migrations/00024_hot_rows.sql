-- Rows that change often, beside a transaction that stays open anywhere in the cluster: every version that they have had since stays in place, and
-- whoever looks them up walks over all of them.
-- +goose Up

-- The connections' projection finds its rows by stream, and read the whole table for want of an index. With the position in the key it finds a row
-- past all of its earlier versions, and a new version is held against none of them: a connection changes with each of its runs.
alter table provider_connections drop constraint provider_connections_key;
alter table provider_connections add constraint provider_connections_key primary key (stream, position);
create index provider_connections_by_number on provider_connections (number);

-- The tripwires' condition changes once in a run's life, so that the changes before leave the indexes alone.
drop index runs_active_scope, runs_active_identity;
create unique index runs_active_scope on runs (connection, (case when parked then run else '00000000-0000-0000-0000-000000000000' end))
    where ended_at is null;
create unique index runs_active_identity on runs (identity, (case when parked then run else '00000000-0000-0000-0000-000000000000' end))
    where ended_at is null;
alter table runs set (fillfactor = 50);

-- A plan that was made while a table was small reads the whole of it until the next analyze, which may be a minute and thousands of dead rows away.
-- What runs hundreds of times a second therefore goes by index, always: the append, the numbering, and all that a projection does in the
-- transaction that moves its checkpoint. Such a transaction ends after a minute in which it asks for nothing: a process that is frozen in the
-- middle of a batch must not keep the projection's lock from the others.
-- (A table without an index to go by seems dear beyond measure then, so nothing is compiled for it either.)
alter function append_events set enable_seqscan to off;
alter function append_events set jit to off;
alter function sequence_events set enable_seqscan to off;
alter function sequence_events set jit to off;

-- +goose StatementBegin
create or replace function move_checkpoint(projection text, version integer, after bigint, upto bigint) returns boolean language plpgsql volatile as $$
begin
    perform set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
        set_config('idle_in_transaction_session_timeout', '60s', true);
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

-- The people of the workspace are looked up once a query, not once for every line that names one.
create function seen_people() returns uuid[] language sql stable as $$
    select array(select m.person from members m union select i.person from invitations i union select k.subject from subject_keys k)
$$;
alter policy console on people using (id = any ((select seen_people())::uuid[]));
drop function seen_colleague(uuid);
