-- Keys that seal personal data in events, one per person and workspace. Destroying a key erases the person from the log's events without
-- changing a byte of them, so every proof over them still holds.
-- +goose Up

create table subject_keys (
    workspace  uuid        not null,
    subject    uuid        not null,
    key        bytea       not null check (octet_length(key) = 32),
    created_at timestamptz not null default clock_timestamp(),
    constraint subject_keys_key primary key (subject, workspace)
);
alter table people add column erased_at timestamptz;

grant select, insert, delete on subject_keys to tenantpilot_app;
