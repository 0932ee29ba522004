-- What people saved of their lists: filters, columns and order under a name. Preferences, not history, so plain rows.
-- +goose Up

create table saved_views (
    id         uuid        not null constraint saved_views_key primary key,
    workspace  uuid        not null,
    person     uuid        not null, -- whose it is; nobody else may change it
    page       text        not null, -- the list it is of, such as operations
    name       text        not null,
    query      text        not null, -- the list's address after the question mark
    shared     boolean     not null default false,
    created_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp()
);
create unique index saved_views_name on saved_views (workspace, person, page, lower(name));
create index saved_views_shared on saved_views (workspace, page) where shared;

create table saved_view_defaults (
    workspace uuid not null,
    person    uuid not null,
    page      text not null,
    view      uuid not null references saved_views on delete cascade,
    constraint saved_view_defaults_key primary key (workspace, person, page)
);
create index saved_view_defaults_by_view on saved_view_defaults (view);

grant select, insert, update, delete on saved_views, saved_view_defaults to tenantpilot_app;

select console_reads('saved_views', 'workspace = (select seen_workspace()) and (shared or person = (select seen_person()))');
select console_reads('saved_view_defaults', 'workspace = (select seen_workspace()) and person = (select seen_person())');
