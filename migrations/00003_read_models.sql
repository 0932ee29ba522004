-- What pages and workers read. Every table can be rebuilt from the log, except leases and what people did to their notifications.
-- Each row carries the position of the last event in it, so that an event applied twice changes nothing.
-- +goose Up

create table runs (
    run                 uuid        not null constraint runs_key primary key,
    number              bigint      not null constraint runs_number_key unique,
    workspace           uuid        not null,
    tenant              uuid        not null,
    connection          bigint      not null,
    operation           text        not null,
    identity            text        not null,
    strict              boolean     not null default false,
    attempt             uuid        not null,
    surface             text        not null default '',
    trigger             text        not null,
    initiator_kind      text        not null,
    initiator_id        uuid        not null,
    inputs              json,
    facts               json,
    execution_status    text        not null,
    outcome             text,
    reason              text,
    summary             text        not null default '',
    diagnostics         json,
    accepted_at         timestamptz not null,
    started_at          timestamptz,
    ended_at            timestamptz,
    scope_released_at   timestamptz,
    try                 integer     not null default 0,
    token               bigint      not null default 0,
    worker              text        not null default '',
    step                text        not null default '',
    done                integer     not null default 0,
    total               integer     not null default 0,
    waiting_until       timestamptz,
    waiting_for         text,
    confirmed           integer     not null default 0,
    refused             integer     not null default 0,
    unknown             integer     not null default 0,
    cancel_requested_at timestamptz,
    cancel_requested_by uuid,
    items               json,
    position            bigint      not null
) with (fillfactor = 80);
-- Tripwires, not guards: the guard is the connection's stream. If one of these ever fires, the event is parked and the system says so.
create unique index runs_active_scope on runs (connection) where execution_status <> 'completed';
create unique index runs_active_identity on runs (identity) where execution_status <> 'completed';
create unique index runs_strict_identity on runs (identity) where strict;
create index runs_by_tenant on runs (tenant, accepted_at desc, number desc);
create index runs_by_workspace on runs (workspace, accepted_at desc, number desc);

create table attempts (
    attempt        uuid        not null,
    workspace      uuid        not null,
    tenant         uuid        not null,
    connection     bigint,
    operation      text        not null,
    outcome        text        not null,
    reason         text,
    run            uuid,
    run_number     bigint,
    surface        text        not null default '',
    trigger        text        not null,
    initiator_kind text        not null,
    initiator_id   uuid        not null,
    facts          json,
    at             timestamptz not null,
    position       bigint      not null,
    constraint attempts_key primary key (workspace, attempt)
);
create index attempts_by_workspace on attempts (workspace, at desc);
create index attempts_by_tenant on attempts (tenant, at desc);
create index attempts_by_run on attempts (run) where outcome <> 'accepted';

create table provider_connections (
    number                    bigint      not null constraint provider_connections_key primary key,
    stream                    uuid        not null,
    workspace                 uuid        not null,
    tenant                    uuid        not null,
    provider                  text        not null,
    display_name              text        not null,
    connection_type           text        not null,
    app_id                    text        not null,
    is_enabled                boolean     not null,
    consent_status            text        not null,
    verification_status       text        not null,
    verification_before       text        not null default '',
    last_checked_at           timestamptz,
    last_error_reason_code    text        not null default '',
    consent_error_code        text        not null default '',
    granted                   text[],
    refused                   text[],
    credential_kind           text        not null default '',
    credential_fingerprint    text        not null default '',
    credential_expires_at     timestamptz,
    migration_review_required boolean     not null default false,
    hold_reason               text        not null default '',
    hold_until                timestamptz,
    scope_run                 uuid,
    scope_run_number          bigint,
    scope_operation           text        not null default '',
    scope_initiator_kind      text        not null default '',
    scope_initiator_id        uuid,
    scope_since               timestamptz,
    version                   integer     not null,
    position                  bigint      not null
) with (fillfactor = 80);
create index provider_connections_by_tenant on provider_connections (tenant, number);
create index provider_connections_by_workspace on provider_connections (workspace, number);

create table tenants (
    tenant             uuid   not null constraint tenants_key primary key,
    number             bigint not null,
    workspace          uuid   not null,
    external_id        uuid   not null,
    name               text   not null,
    domain             text   not null default '',
    default_connection bigint,
    hold_reason        text   not null default '',
    hold_until         timestamptz,
    position           bigint not null,
    constraint tenants_external_key unique (workspace, external_id)
);

create table workspaces (
    workspace uuid   not null constraint workspaces_key primary key,
    name      text   not null,
    position  bigint not null
);

create table members (
    id        text   not null constraint members_key primary key, -- workspace/person
    workspace uuid   not null,
    person    uuid   not null,
    role      text   not null,
    tenants   uuid[],
    position  bigint not null
);
create index members_by_person on members (person);

create table directory_cache (
    id       text        not null constraint directory_cache_key primary key, -- tenant/kind
    tenant   uuid        not null,
    kind     text        not null,
    content  text        not null,
    count    integer     not null,
    read_at  timestamptz not null,
    run      uuid        not null,
    position bigint      not null
);

create table work_items (
    run        uuid        not null constraint work_items_key primary key,
    workspace  uuid        not null,
    tenant     uuid        not null,
    connection bigint      not null,
    operation  text        not null,
    queued_at  timestamptz not null,
    position   bigint      not null
);
create index work_items_queue on work_items (queued_at);

-- Who works on a run. Not a read model: leases and heartbeats are rows, not events, and live by the database's clock.
create table work_leases (
    run          uuid        not null constraint work_leases_key primary key,
    worker       text        not null,
    token        bigint      not null,
    claimed_at   timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    expires_at   timestamptz not null
) with (fillfactor = 50);

create table notifications (
    id         uuid        not null constraint notifications_key primary key, -- derived from the event, so that a redelivery is the same row
    workspace  uuid        not null,
    tenant     uuid        not null,
    person     uuid        not null,
    kind       text        not null, -- run_queued, run_ended
    run        uuid        not null,
    run_number bigint      not null,
    operation  text        not null,
    outcome    text        not null default '',
    reason     text        not null default '',
    created_at timestamptz not null,
    read_at    timestamptz
);
create index notifications_by_person on notifications (person, workspace, created_at desc);

-- Messages of watermill-sql, in its default Postgres schema, one table per topic.
create table messages_notifications (
    "offset"         bigserial not null,
    "uuid"           varchar(36) not null,
    "created_at"     timestamp not null default current_timestamp,
    "payload"        json default null,
    "metadata"       json default null,
    "transaction_id" xid8 not null,
    primary key ("transaction_id", "offset")
);
create table messages_dead_letters (like messages_notifications including all);
create sequence messages_dead_letters_offset;
alter table messages_dead_letters alter column "offset" set default nextval('messages_dead_letters_offset');
create table message_offsets_notifications (
    consumer_group                varchar(255) not null,
    offset_acked                  bigint,
    last_processed_transaction_id xid8 not null,
    primary key (consumer_group)
);

grant select, insert, update, delete on runs, attempts, provider_connections, tenants, workspaces, members, directory_cache,
    work_items, work_leases, notifications, messages_notifications, messages_dead_letters, message_offsets_notifications to tenantpilot_app;
grant usage on sequence messages_notifications_offset_seq, messages_dead_letters_offset to tenantpilot_app;
grant select on runs, attempts, provider_connections, tenants, workspaces, members, directory_cache, notifications to tenantpilot_auditor;
