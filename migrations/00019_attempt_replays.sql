-- Refused attempts that were tried again, and the previews from which people do so.
-- +goose Up

create table attempt_replays (
    workspace uuid        not null,
    attempt   uuid        not null, -- the refused one
    tenant    uuid,                 -- null where it is not told with the event
    replay    uuid        not null, -- the attempt that it was tried again as
    preview   uuid        not null,
    together  uuid,                 -- the refused attempt that was replayed in its place, having asked for the same work
    by_kind   text        not null,
    by_id     uuid        not null,
    at        timestamptz not null,
    position  bigint      not null,
    constraint attempt_replays_key primary key (workspace, attempt)
);
create unique index attempt_replays_by_replay on attempt_replays (workspace, replay) where together is null;

grant select, insert, update, delete on attempt_replays to tenantpilot_app;
grant select on attempt_replays to tenantpilot_auditor;
select console_reads('attempt_replays', 'workspace = (select seen_workspace())');

-- What somebody has selected to replay, frozen until it is confirmed or its time is up. No event tells of it: nothing has happened yet.
create table replay_previews (
    id           uuid        not null constraint replay_previews_key primary key,
    workspace    uuid        not null,
    person       uuid        not null, -- whose it is; nobody else may see or confirm it
    items        json        not null, -- the attempts, in order, each with those that ask for the same work
    digest       text        not null, -- of the items: what is confirmed is what was shown
    made_at      timestamptz not null default clock_timestamp(),
    until        timestamptz not null,
    confirmed_at timestamptz
);
create index replay_previews_by_person on replay_previews (workspace, person, until);

grant select, insert, update, delete on replay_previews to tenantpilot_app;
select console_reads('replay_previews', 'workspace = (select seen_workspace()) and person = (select seen_person())');
