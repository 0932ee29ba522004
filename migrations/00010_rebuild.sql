-- Versions of read models, how they are rebuilt, and how parked events come back.
-- +goose Up

-- The row says which version the projection's tables hold: a process with another version of it leaves the tables alone. One row per
-- projection, so that of two versions only one can ever write.
create unique index checkpoints_one_version on checkpoints (projection);

alter table parked
    add attempts integer     not null default 1,
    add tried_at timestamptz not null default clock_timestamp();

-- What became of parked events: a row leaves "parked" only for this table, in the transaction that applied the event.
create table unparked (
    projection text        not null,
    stream     uuid        not null,
    position   bigint      not null,
    cause      text        not null, -- why it had been parked
    parked_at  timestamptz not null,
    attempts   integer     not null,
    applied_by text        not null, -- retry or rebuild
    applied_at timestamptz not null default clock_timestamp()
);
create index unparked_by_position on unparked (projection, position);

-- A parked run's row is out of date: it still looks active when the next run has the scope. So it does not count in the tripwires,
-- which would otherwise park that run too, and the next.
alter table runs add parked boolean not null default false;
drop index runs_active_scope, runs_active_identity;
create unique index runs_active_scope on runs (connection, (case when parked then run else '00000000-0000-0000-0000-000000000000' end))
    where execution_status <> 'completed';
create unique index runs_active_identity on runs (identity, (case when parked then run else '00000000-0000-0000-0000-000000000000' end))
    where execution_status <> 'completed';

-- One row per rebuild, kept for good. Its shards say how far they are, in the transactions that write their rows: so it resumes.
create table rebuilds (
    id             bigint      not null generated always as identity constraint rebuilds_key primary key,
    projection     text        not null,
    from_version   integer, -- null: there was none
    to_version     integer     not null,
    schema_version bigint      not null, -- of the migrations: a shadow of older tables is of no use
    state          text        not null default 'building' check (state in ('building', 'comparing', 'differs', 'swapped', 'abandoned')),
    target         bigint      not null default 0, -- position to reach
    note           text        not null default '',
    started_at     timestamptz not null default clock_timestamp(),
    updated_at     timestamptz not null default clock_timestamp(),
    finished_at    timestamptz
);
create unique index rebuilds_open on rebuilds (projection) where state in ('building', 'comparing', 'differs');

create table rebuild_shards (
    rebuild  bigint not null references rebuilds,
    shard    integer not null,
    position bigint not null default 0,
    constraint rebuild_shards_key primary key (rebuild, shard)
) with (fillfactor = 50);

grant update (cause, attempts, tried_at) on parked to tenantpilot_app;
grant select, insert on unparked to tenantpilot_app;
grant select on rebuilds, rebuild_shards to tenantpilot_app, tenantpilot_auditor;
grant select on unparked to tenantpilot_auditor;
grant select (projection, stream, position, parked_at) on parked to tenantpilot_console; -- how many; not the causes
