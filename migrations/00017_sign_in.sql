-- Two more ways in beside links: an account at the identity provider, and the break-glass account. None of it is in the log: what is recorded
-- there is that a break-glass account was set, used or removed.
-- +goose Up

-- Which person an account at a provider is. Made at the first sign-in, by a verified e-mail address; from then on the address does not count.
create table sign_in_bindings (
    issuer   text        not null,
    subject  text        not null,
    person   uuid        not null references people,
    bound_at timestamptz not null,
    used_at  timestamptz not null,
    constraint sign_in_bindings_key primary key (issuer, subject),
    -- A second account with the same address is somebody else: addresses are given to new people.
    constraint sign_in_bindings_person unique (issuer, person)
);

create table break_glass (
    person  uuid        not null constraint break_glass_key primary key references people,
    phc     text        not null, -- argon2id with its parameters and salt
    set_at  timestamptz not null,
    used_at timestamptz
);

grant select, insert, update, delete on sign_in_bindings, break_glass to tenantpilot_app;
