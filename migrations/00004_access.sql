-- Who people are and how they get in. Names and addresses live here, outside the events, which name people by id only.
-- +goose Up

create table people (
    id           uuid        not null constraint people_key primary key,
    email        text        not null,
    display_name text        not null,
    platform     boolean     not null default false,
    created_at   timestamptz not null default clock_timestamp(),
    disabled_at  timestamptz
);
create unique index people_email on people (lower(email));

-- Only hashes of secrets: a dump opens nothing.
create table api_tokens (
    id           uuid        not null constraint api_tokens_key primary key,
    person       uuid        not null references people,
    workspace    uuid,
    name         text        not null,
    prefix       text        not null,
    hash         bytea       not null constraint api_tokens_hash unique,
    created_at   timestamptz not null,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

create table sign_in_links (
    hash       bytea       not null constraint sign_in_links_key primary key,
    person     uuid        not null references people,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at    timestamptz
);

-- In the shape of scs' pgxstore.
create table sessions (
    token  text        not null constraint sessions_key primary key,
    data   bytea       not null,
    expiry timestamptz not null
);
create index sessions_expiry on sessions (expiry);

grant select, insert, update on people, api_tokens, sign_in_links to tenantpilot_app;
grant select, insert, update, delete on sessions to tenantpilot_app;
