-- Starts that wait for their connection ("start when free", "run again after this one"), and how each wait ended.
-- +goose Up

create table reservations (
    reservation    uuid        not null constraint reservations_key primary key,
    workspace      uuid        not null,
    tenant         uuid        not null,
    connection     bigint      not null,
    operation      text        not null,
    initiator_kind text        not null,
    initiator_id   uuid        not null,
    holder         bigint      not null, -- number of the run that held the connection when it was reserved
    reserved_at    timestamptz not null,
    until          timestamptz not null,
    ending         text, -- null while it waits
    ended_at       timestamptz,
    outcome        text,
    reason         text,
    run_number     bigint,
    position       bigint      not null
) with (fillfactor = 80);
create index reservations_waiting on reservations (connection) where ending is null;
create index reservations_by_workspace on reservations (workspace, reserved_at desc);

grant select, insert, update, delete on reservations to tenantpilot_app;
grant select on reservations to tenantpilot_auditor;
