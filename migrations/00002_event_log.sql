-- The event log: insert-only events, a gapless order given to them after they committed, and what consumers remember.
-- +goose Up

create sequence events_seq as bigint; -- drawn under the streams' locks, so a stream's seq order is its version order

create table events (
    seq         bigint      not null primary key,
    stream      uuid        not null,
    version     integer     not null check (version > 0),
    id          uuid        not null,
    name        text        not null,
    workspace   uuid        not null,
    tenant      uuid,
    recorded_at timestamptz not null,
    meta        json        not null,
    payload     json        not null, -- json, not jsonb: the leaf hash is over these very bytes
    leaf        bytea       not null check (octet_length(leaf) = 32),
    constraint events_stream_version_key unique (stream, version)
) with (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- What committed and has no position yet: one row per append. The sequencer deletes it in the transaction that numbers it.
create table pending (
    first_seq bigint   not null primary key,
    seqs      bigint[] not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- position is the order of the log: gapless from 1, in commit order per stream. It is the only cursor anyone stores.
create table log (
    position bigint not null primary key,
    seq      bigint not null constraint log_seq_key unique
) with (autovacuum_vacuum_insert_scale_factor = 0.02);

create table sequencer (
    only_one    boolean     not null primary key default true check (only_one),
    head        bigint      not null default 0, -- position of the newest event
    owner       uuid,
    epoch       bigint      not null default 0, -- fencing: grows with every change of owner
    lease_until timestamptz not null default '-infinity'
) with (fillfactor = 50);
insert into sequencer default values;

-- One row per request that was carried out: the same key again answers with what its stream says, another body is refused.
create table requests (
    key         uuid        not null constraint requests_key primary key,
    hash        bytea       not null,
    stream      uuid        not null,
    last_seq    bigint      not null,
    recorded_at timestamptz not null default clock_timestamp()
);

create table checkpoints (
    projection text        not null,
    version    integer     not null,
    position   bigint      not null default 0,
    updated_at timestamptz not null default clock_timestamp(),
    constraint checkpoints_key primary key (projection, version)
) with (fillfactor = 50);

-- An event that a projection could not apply parks its stream for that projection; the others move on.
create table parked (
    projection text        not null,
    stream     uuid        not null,
    position   bigint      not null,
    cause      text        not null,
    parked_at  timestamptz not null default clock_timestamp(),
    constraint parked_key primary key (projection, position)
);
create index parked_stream on parked (projection, stream);

-- Large provider payloads by SHA-256 of their bytes; events refer to them. A row that no event names is harmless.
create table content (
    hash       bytea       not null primary key check (octet_length(hash) = 32),
    bytes      bytea       not null,
    created_at timestamptz not null default clock_timestamp()
);

create sequence tenant_numbers as bigint;
create sequence connection_numbers as bigint;
create sequence run_numbers as bigint start 1001;
create sequence fencing_tokens as bigint;

-- append_events is the whole append: one round trip, one transaction, one fresh snapshot per statement (READ COMMITTED, volatile).
-- It takes the streams' locks in the order given (the caller sorts), compares versions, and inserts all events or none:
--   known     keys of requests that were carried out before; nothing was written
--   conflicts streams whose version is not the expected one, with the actual one; nothing was written
-- A new stream is locked too: somebody's decision may rest on its absence. Its version need not be compared, (stream, version) is unique.
-- The plans are fixed: left to choose, Postgres plans all of this anew on every call, because it knows the length of an array that is a
-- constant, and that took longer than the work.
-- +goose StatementBegin
create function append_events(
    lock_keys bigint[], lock_writes boolean[],
    check_streams uuid[], check_versions integer[],
    request_keys uuid[], request_hashes bytea[], request_streams uuid[],
    e_stream uuid[], e_version integer[], e_id uuid[], e_name text[], e_workspace uuid[], e_tenant uuid[],
    e_recorded_at timestamptz[], e_meta json[], e_payload json[], e_leaf bytea[],
    out known uuid[], out conflict_streams uuid[], out conflict_versions integer[], out last_seq bigint
) language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
    locked boolean;
begin
    for i in 1 .. coalesce(cardinality(lock_keys), 0) loop -- assignments rather than queries: each is a function call and no more
        if lock_writes[i] then
            locked := pg_advisory_xact_lock(lock_keys[i]) is null;
        else
            locked := pg_advisory_xact_lock_shared(lock_keys[i]) is null;
        end if;
    end loop;

    select (select array_agg(r.key) from requests r where r.key = any (request_keys)), array_agg(c.stream), array_agg(v.version)
    into known, conflict_streams, conflict_versions
    from unnest(check_streams, check_versions) as c(stream, expected)
    cross join lateral (
        select coalesce(max(e.version), 0) as version from events e where e.stream = c.stream
    ) v
    where v.version <> c.expected;
    if known is not null or conflict_streams is not null then
        return;
    end if;

    with e as (
        insert into events (seq, stream, version, id, name, workspace, tenant, recorded_at, meta, payload, leaf)
        select nextval('events_seq'), u.*
        from unnest(e_stream, e_version, e_id, e_name, e_workspace, e_tenant, e_recorded_at, e_meta, e_payload, e_leaf) u
        returning seq
    ), p as (
        insert into pending (first_seq, seqs) select min(e.seq), array_agg(e.seq) from e
        returning seqs[cardinality(seqs)] as last_seq
    ), r as (
        insert into requests (key, hash, stream, last_seq)
        select q.key, q.hash, q.stream, p.last_seq
        from p, unnest(request_keys, request_hashes, request_streams) as q(key, hash, stream)
        order by q.key -- two that carry the same requests wait for each other's keys in one order
    )
    select p.last_seq into append_events.last_seq from p;
end $$;
-- +goose StatementEnd

-- claim_sequencer takes the lease when it is free or run out, or renews it; by the database's clock alone. It answers the epoch to
-- write with, or null when another owner holds it.
-- +goose StatementBegin
create function claim_sequencer(me uuid, lease interval) returns bigint language sql volatile as $$
    update sequencer
    set epoch = case when owner = me then epoch else epoch + 1 end, owner = me, lease_until = clock_timestamp() + lease
    where owner = me or lease_until < clock_timestamp()
    returning epoch
$$;
-- +goose StatementEnd

-- sequence_events gives committed events their positions. It locks the sequencer's row, so two never number at once, and an owner
-- whose epoch was overtaken numbers nothing (fenced = true).
--
-- Why no event is skipped or turned round: an event gets a position only after its append committed, because pending is not visible
-- before; a rolled-back append leaves no pending row; and a crash between delete and insert undoes both. Within a stream, version n+1
-- is only appended after version n committed (append_events reads the version under the stream's lock), and its seq is drawn later under
-- that lock: so whenever n+1 is visible here, n is visible or numbered, and ordering a batch by seq keeps them in order. Nothing here looks
-- at transaction ids, so an unrelated long transaction delays nothing, and a prepared transaction is simply not committed yet.
-- +goose StatementBegin
create function sequence_events(my_epoch bigint, batch integer, out fenced boolean, out first bigint, out last bigint)
language plpgsql volatile as $$
declare
    n bigint;
begin
    select s.head into last from sequencer s where s.epoch = my_epoch for update;
    fenced := last is null;
    if fenced then
        return;
    end if;
    first := last + 1;
    with taken as (
        delete from pending p where p.first_seq = any (array(
            select q.first_seq from pending q order by q.first_seq limit batch
        )) returning p.seqs
    ), numbered as (
        insert into log (position, seq)
        select sequence_events.last + row_number() over (order by s), s from taken, unnest(taken.seqs) as s
        returning 1
    )
    select count(*) into n from numbered;
    if n > 0 then
        last := last + n;
        update sequencer set head = sequence_events.last;
    end if;
end $$;
-- +goose StatementEnd

-- The log is append-only for everybody, the owner included until it disables this on purpose; replicas of a session apply it too.
-- +goose StatementBegin
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% on % is refused: the event log is append-only', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end $$;
-- +goose StatementEnd
create trigger events_append_only before update or delete on events for each row execute function refuse_change();
create trigger events_no_truncate before truncate on events for each statement execute function refuse_change();
create trigger log_append_only before update or delete on log for each row execute function refuse_change();
create trigger log_no_truncate before truncate on log for each statement execute function refuse_change();
alter table events enable always trigger events_append_only;
alter table events enable always trigger events_no_truncate;
alter table log enable always trigger log_append_only;
alter table log enable always trigger log_no_truncate;

grant select, insert on events, log, requests, content to tenantpilot_app;
grant select, insert, delete on pending to tenantpilot_app;
grant select, update on sequencer to tenantpilot_app;
grant select, insert, update on checkpoints to tenantpilot_app;
grant select, insert, delete on parked to tenantpilot_app;
grant usage on sequence events_seq, tenant_numbers, connection_numbers, run_numbers, fencing_tokens to tenantpilot_app;
grant select on events, log, requests, content, checkpoints, parked, sequencer to tenantpilot_auditor;
