-- Credentials of provider connections, sealed. The key is not in the database: a dump opens nothing.
-- +goose Up

create table provider_credentials (
    connection  bigint      not null,
    fingerprint text        not null, -- as the connection's events name it; drawn or the certificate's, never derived from a secret
    workspace   uuid        not null,
    tenant      uuid        not null,
    kind        text        not null,
    ciphertext  bytea       not null,
    created_at  timestamptz not null default clock_timestamp(),
    constraint provider_credentials_key primary key (connection, fingerprint)
);

grant select, insert, delete on provider_credentials to tenantpilot_app;
