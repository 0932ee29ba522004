-- Scopes, groups, invitations and custom roles.
-- +goose Up

alter table members
    add column groups         text[], -- with tenants null too: every tenant
    add column except_tenants uuid[],
    add column except_groups  text[];
alter table tenants add column groups text[];

create table invitations (
    id        text        not null constraint invitations_key primary key, -- workspace/person
    workspace uuid        not null,
    person    uuid        not null,
    role      text        not null,
    scope     json        not null,
    until     timestamptz not null,
    invited_at timestamptz not null,
    open      boolean     not null,
    position  bigint      not null
);
create index invitations_by_person on invitations (person) where open;

create table roles (
    id           text   not null constraint roles_key primary key, -- workspace/role
    workspace    uuid   not null,
    role         text   not null,
    capabilities text[], -- null once it was removed
    position     bigint not null
);

grant select, insert, update, delete on invitations, roles to tenantpilot_app;
grant select on invitations, roles to tenantpilot_auditor;
