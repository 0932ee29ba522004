-- The audit log as people search it: one narrow row per event, and what each stream is about. Payloads stay in events.
-- +goose Up

create table audit_log (
    position      bigint      not null constraint audit_log_key primary key,
    at            timestamptz not null,
    workspace     uuid        not null,
    tenant        uuid, -- null for events of the workspace itself
    stream        uuid        not null,
    version       integer     not null,
    event         text        not null,
    actor_kind    text        not null,
    actor_id      uuid        not null,
    object_kind   text        not null, -- workspace, tenant, connection, run, attempt, other
    object_number bigint,
    outcome       text,
    reason        text,
    attempt       uuid,
    correlation   uuid,
    run           uuid -- the run's stream, also for what happened to others because of it
);
-- Every filter pages backwards by position, so the position ends each index.
create index audit_log_by_workspace on audit_log (workspace, position);
create index audit_log_by_time on audit_log (workspace, at);
create index audit_log_by_tenant on audit_log (tenant, position) where tenant is not null;
create index audit_log_by_stream on audit_log (stream, position) include (at);
create index audit_log_by_run on audit_log (run, position) where run is not null;
create index audit_log_by_actor on audit_log (workspace, actor_id, position);
create index audit_log_by_event on audit_log (workspace, event, position);
create index audit_log_by_outcome on audit_log (workspace, outcome, position) where outcome is not null;
create index audit_log_by_reason on audit_log (workspace, reason, position) where reason is not null;
create index audit_log_by_attempt on audit_log (attempt, position) where attempt is not null;

create table audit_objects (
    stream    uuid   not null constraint audit_objects_key primary key,
    kind      text   not null,
    number    bigint,
    workspace uuid   not null,
    tenant    uuid,
    position  bigint not null
);
create index audit_objects_by_number on audit_objects (kind, number) where number is not null;

grant select, insert, update, delete on audit_log, audit_objects to tenantpilot_app;
grant select on audit_log, audit_objects to tenantpilot_auditor;
-- Names of people are no events; an auditor may read who an id is, and nothing else about them.
grant select (id, display_name) on people to tenantpilot_auditor;

select console_reads('audit_log', 'workspace = (select seen_workspace())');
select console_reads('audit_objects', 'workspace = (select seen_workspace())');
