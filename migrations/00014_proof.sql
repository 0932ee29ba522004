-- The Merkle tree over the log, and the signed statements about it.
-- +goose Up

-- Complete tiles of the tree, 256 hashes wide, as in C2SP tlog-tiles: level 0 holds the leaf hashes of 256 positions, level n the roots of
-- 256 tiles of level n-1. A tile is written once, when its last position has been given; what lies right of the last tile is computed from
-- the leaves themselves. So nothing here is ever changed, and all of it can be made anew from events and log.
create table tree_tiles (
    level  smallint not null check (level >= 0),
    tile   bigint   not null check (tile >= 0),
    hashes bytea    not null check (octet_length(hashes) = 256 * 32),
    root   bytea    not null check (octet_length(root) = 32),
    constraint tree_tiles_key primary key (level, tile)
);
alter table tree_tiles alter column hashes set storage external; -- hashes do not compress

-- Signed statements "the first size events have this root" (a C2SP checkpoint, signed as golang.org/x/mod/sumdb/note). The key is never in
-- the database, so whoever can write here cannot make a head that verifies.
create table tree_heads (
    size      bigint      not null constraint tree_heads_key primary key check (size > 0),
    root      bytea       not null check (octet_length(root) = 32),
    note      text        not null,
    signed_at timestamptz not null default clock_timestamp()
);

create trigger tree_tiles_append_only before update or delete on tree_tiles for each row execute function refuse_change();
create trigger tree_tiles_no_truncate before truncate on tree_tiles for each statement execute function refuse_change();
create trigger tree_heads_append_only before update or delete on tree_heads for each row execute function refuse_change();
create trigger tree_heads_no_truncate before truncate on tree_heads for each statement execute function refuse_change();
alter table tree_tiles enable always trigger tree_tiles_append_only;
alter table tree_tiles enable always trigger tree_tiles_no_truncate;
alter table tree_heads enable always trigger tree_heads_append_only;
alter table tree_heads enable always trigger tree_heads_no_truncate;

grant select, insert on tree_tiles, tree_heads to tenantpilot_app;
grant select on tree_tiles, tree_heads to tenantpilot_auditor;
grant select on pending to tenantpilot_auditor; -- the order checker accounts for every event: numbered or pending
