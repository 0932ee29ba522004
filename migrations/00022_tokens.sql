-- API tokens: a token is one or more secrets, of which the newest counts and the one before may go on for a while after a rotation.
-- +goose Up

alter table api_tokens
    add column token   uuid default gen_random_uuid(), -- whose secret it is
    add column scopes  text[], -- null: everything that its owner may
    add column tenants uuid[], -- null: every tenant that its owner sees
    add column last_used_from text;
update api_tokens set token = id;
alter table api_tokens alter column token set not null;
create index api_tokens_by_token on api_tokens (token);
create index api_tokens_by_workspace on api_tokens (workspace, person);
