-- Sessions that their person can find and end, what a session looks at the console as, and credentials that can be sealed again.
-- +goose Up

-- Whose a session is, beside scs' data, which only the program can read. A session from before has no person and lets nobody in: signing in
-- once more makes a new one.
alter table sessions
    add column id      uuid not null default gen_random_uuid(), -- names it to people; the token's hash stays inside
    add column person  uuid,
    add column since   timestamptz, -- signed in
    add column used_at timestamptz, -- at most a minute old while it is used
    add column device  text,        -- in coarse words
    add column address text,        -- where it was last used from
    add column preview jsonb;       -- the role that the console is seen as; null is one's own
create unique index sessions_id on sessions (id);
create index sessions_by_person on sessions (person);

-- A new key seals the same secret anew.
grant update (ciphertext) on provider_credentials to tenantpilot_app;
