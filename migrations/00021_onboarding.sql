-- Onboarding: sessions that bring a directory under management, and the first operations that each selected.
-- +goose Up

create sequence onboarding_numbers as bigint;
grant usage on sequence onboarding_numbers to tenantpilot_app;
-- Which session has a number is asked of the log: the number is public, the stream's id follows from workspace and directory.
create index events_onboarding_number on events (((payload ->> 'number')::bigint)) where name = 'OnboardingStarted';
-- It runs as its owner: behind row security the index would not be used for the number, because ->> might tell about rows that are not shown.
create function onboarding_stream(public_number bigint) returns uuid language sql stable security definer set search_path = public, pg_temp as $$
    select stream from events where name = 'OnboardingStarted' and (payload ->> 'number')::bigint = public_number limit 1
$$;
revoke execute on function onboarding_stream(bigint) from public;
grant execute on function onboarding_stream(bigint) to tenantpilot_app;

create table onboarding_sessions (
    stream        uuid        not null constraint onboarding_sessions_key primary key,
    number        bigint      not null,
    workspace     uuid        not null,
    tenant        uuid        not null,
    external_id   uuid        not null,
    owner_kind    text        not null,
    owner_id      uuid        not null,
    state         text        not null,
    connection    bigint, -- null until one is chosen
    created       boolean     not null, -- for the session, not found
    started_by    uuid        not null,
    started_at    timestamptz not null,
    chosen_by     uuid,
    chosen_at     timestamptz,
    check_by      uuid, -- the last verification that was asked for
    check_at      timestamptz,
    check_attempt uuid,
    check_outcome text,
    check_reason  text,
    check_run     bigint,
    selected_by   uuid,
    selected_at   timestamptz,
    taken_from    uuid,
    taken_at      timestamptz,
    ended_by      uuid,
    ended_at      timestamptz,
    ended_reason  text        not null, -- why a degraded verification was accepted, or why it was abandoned
    changed_at    timestamptz not null,
    position      bigint      not null
) with (fillfactor = 80);
create index onboarding_sessions_by_workspace on onboarding_sessions (workspace, number);

create table onboarding_operations (
    reservation uuid        not null constraint onboarding_operations_key primary key,
    session     uuid        not null,
    workspace   uuid        not null,
    tenant      uuid        not null,
    connection  bigint      not null,
    operation   text        not null,
    ordinal     bigint      not null, -- place in the log where it was queued
    state       text        not null,
    reason      text,
    run_number  bigint,
    queued_at   timestamptz not null,
    until       timestamptz not null,
    ended_at    timestamptz,
    position    bigint      not null
) with (fillfactor = 80);
create index onboarding_operations_by_session on onboarding_operations (session);

select console_reads(t::regclass, 'workspace = (select seen_workspace())') from unnest(array['onboarding_sessions', 'onboarding_operations']) t;
grant select, insert, update, delete on onboarding_sessions, onboarding_operations to tenantpilot_app;
grant select on onboarding_sessions, onboarding_operations to tenantpilot_auditor;
