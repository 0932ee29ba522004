-- Folded states of long streams, so that a cold load reads a few events and not all. A cache: any row may be deleted at any time.
-- +goose Up

create table snapshots (
    stream     uuid        not null constraint snapshots_key primary key,
    version    integer     not null,
    schema     text        not null, -- domain.SchemaHash of the code that folded it; another one's is not used
    state      json        not null,
    created_at timestamptz not null default clock_timestamp()
) with (fillfactor = 70);

grant select, insert, update, delete on snapshots to tenantpilot_app;
