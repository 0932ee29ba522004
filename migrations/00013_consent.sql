-- Two things of provider connections: admin consent that is asked for, and credentials that come near their end.

-- Admin consent that was asked for and not answered yet. Not a read model: a link's state is a secret (only its hash is here), good once, for
-- the session that asked. The fact of the answer is an event; a row is worthless afterwards and may be deleted.
-- +goose Up

create table consent_requests (
    hash         bytea       not null constraint consent_requests_key primary key,
    session      text        not null, -- hash of the session that asked, as in sessions
    workspace    uuid        not null,
    person       uuid        not null,
    connection   bigint      not null,
    directory    uuid        not null, -- the directory that has to answer
    next         text        not null, -- local page to come back to
    requested_at timestamptz not null,
    expires_at   timestamptz not null,
    answered_at  timestamptz,
    elsewhere    boolean     not null default false -- answered in a browser without that session
);
create index consent_requests_by_connection on consent_requests (connection, requested_at desc);

grant select, insert, update, delete on consent_requests to tenantpilot_app;

-- What workers look after from time to time, each by one of them: a look that was begun and not finished is due again when its lease is over.
create table looks (
    name        text        not null constraint looks_key primary key,
    due_at      timestamptz not null,
    worker      text        not null default '',
    lease_until timestamptz not null default '-infinity'
);
insert into looks (name, due_at) values ('credential_expiry', '-infinity');
grant select, update on looks to tenantpilot_app;

-- What a notification is about that is not about a run: a credential that comes near its end.
alter table notifications
    add column connection bigint,
    add column until timestamptz,
    add column days integer;
create index provider_connections_by_expiry on provider_connections (credential_expires_at) where is_enabled;
