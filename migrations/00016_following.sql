-- What follows the log, without rows that are written again and again. A transaction that stays open anywhere in the cluster (a backup, a
-- forgotten session) keeps dead rows in place, and a row that is updated a hundred times a second would be looked for among tens of thousands of them.
-- So positions are inserted, not updated, and looked up where the newest is; and the sequencer need not look again where nothing can come.
-- +goose Up

-- One row per projection, which says what version its tables hold. It is locked to move the projection, and changes only when a rebuild swaps.
alter table checkpoints rename to followers;
alter table followers rename constraint checkpoints_key to followers_key;
alter index checkpoints_one_version rename to followers_one_version;

-- How far a projection has come: the row with the largest "after". Older ones are history, and are deleted now and then.
create table checkpoint_moves (
    projection text        not null,
    version    integer     not null,
    after      bigint      not null,
    position   bigint      not null,
    moved_at   timestamptz not null default clock_timestamp(),
    constraint checkpoint_moves_key primary key (projection, version, after)
);
insert into checkpoint_moves select projection, version, -1, position, updated_at from followers;
alter table followers drop column position, drop column updated_at, reset (fillfactor);

create view checkpoints as
select f.projection, f.version, coalesce(m.position, 0) as position, m.moved_at as updated_at
from followers f left join lateral (
    select m.position, m.moved_at from checkpoint_moves m
    where m.projection = f.projection and m.version = f.version order by m.after desc limit 1
) m on true;

-- The sequencer's row changes only with its lease; how long the log is, the log knows.
alter table sequencer rename to sequencer_lease;
alter table sequencer_lease rename constraint sequencer_pkey to sequencer_lease_pkey;
alter table sequencer_lease drop column head;
create view sequencer as
select l.only_one, coalesce((select max(position) from log), 0) as head, l.owner, l.epoch, l.lease_until from sequencer_lease l;

-- +goose StatementBegin
create or replace function claim_sequencer(me uuid, lease interval) returns bigint language sql volatile as $$
    update sequencer_lease
    set epoch = case when owner = me then epoch else epoch + 1 end, owner = me, lease_until = clock_timestamp() + lease
    where owner = me or lease_until < clock_timestamp()
    returning epoch
$$;
-- +goose StatementEnd

-- sequence_events gives committed events their positions. It locks the lease's row, so two never number at once, and an owner whose epoch
-- was overtaken numbers nothing (fenced = true). full says that more may be waiting.
--
-- Why no event is skipped or turned round: an event gets a position only after its append committed, because pending is not visible
-- before; a rolled-back append leaves no pending row; and a crash between delete and insert undoes both. Within a stream, version n+1
-- is only appended after version n committed (append_events reads the version under the stream's lock), and its seq is drawn later under
-- that lock: so whenever n+1 is visible here, n is visible or numbered, and ordering a batch by seq keeps them in order. Nothing here looks
-- at transaction ids, so an unrelated long transaction delays nothing, and a prepared transaction is simply not committed yet.
--
-- floor is where to begin looking: its caller knows that everything up to there has a position or never will (appends_under_way).
drop function sequence_events(bigint, integer);
-- +goose StatementBegin
create function sequence_events(
    my_epoch bigint, batch integer, floor bigint default 0, out fenced boolean, out first bigint, out last bigint, out full_batch boolean
) language plpgsql volatile as $$
declare
    n bigint;
    appends bigint;
begin
    fenced := true;
    perform from sequencer_lease s where s.epoch = my_epoch for update;
    if not found then
        return;
    end if;
    fenced := false;
    select coalesce(max(l.position), 0) into last from log l;
    first := last + 1;
    with taken as (
        delete from pending p where p.first_seq = any (array(
            select q.first_seq from pending q where q.first_seq > sequence_events.floor order by q.first_seq limit batch
        )) returning p.seqs
    ), numbered as (
        insert into log (position, seq)
        select sequence_events.last + row_number() over (order by s), s from taken, unnest(taken.seqs) as s
        returning 1
    )
    select (select count(*) from numbered), (select count(*) from taken) into n, appends;
    last := last + n;
    full_batch := appends >= batch;
end $$;
-- +goose StatementEnd

-- appends_under_way lists the transactions that may hold a drawn seq and have not ended. A transaction that draws one holds a lock on events, which
-- is taken before the first seq is drawn and given back after the end is visible. So: a seq that was drawn before this was asked is numbered,
-- visible in pending, lost for good, or held by one of these.
-- +goose StatementBegin
create function appends_under_way(out last_seq bigint, out transactions text[]) language plpgsql volatile as $$
begin
    select case when s.is_called then s.last_value else 0 end into last_seq from events_seq s;
    select coalesce(array_agg(distinct l.virtualtransaction), '{}') into transactions
    from pg_locks l
    where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.relation in ('events'::regclass, 'pending'::regclass)
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
        and l.pid is distinct from pg_backend_pid();
end $$;
-- +goose StatementEnd

revoke all on followers from tenantpilot_console, tenantpilot_auditor;
revoke all on sequencer_lease from tenantpilot_console;
grant select on events_seq to tenantpilot_app;
grant select, insert, delete on checkpoint_moves to tenantpilot_app;
grant select on checkpoints, sequencer to tenantpilot_app, tenantpilot_auditor, tenantpilot_console;
grant select on checkpoint_moves, followers, sequencer_lease to tenantpilot_auditor;
