-- An invitation's link opens the workspace that invited and nothing else, and so do the sessions from it: whoever invites somebody may keep the link.
-- +goose Up

alter table sign_in_links add column workspace uuid; -- of an invitation; null for a link that was made at the server, which opens all
alter table sessions add column invited_to uuid;     -- the workspace of the link it came from

-- Unused links from before may be an invitation's and would open all.
update sign_in_links set used_at = clock_timestamp() where used_at is null;

-- Who a person is as a workspace that invited them knows them: the name and address that it gave, never those that another one gave. In people are
-- those that were given at the server, or what the address says.
create table known_as (
    workspace    uuid not null,
    person       uuid not null references people,
    email        text not null,
    display_name text not null,
    constraint known_as_key primary key (person, workspace)
);
grant select, insert, update, delete on known_as to tenantpilot_app;
grant select (workspace, person, display_name) on known_as to tenantpilot_auditor;
select console_reads('known_as', 'workspace = (select seen_workspace())');

-- People by the name that whoever reads knows them by. Who reads for no workspace in particular, an auditor, takes any.
create view colleagues with (security_invoker = true) as
select p.id, coalesce(
        k.display_name,
        (select min(any_name.display_name) from known_as any_name where any_name.person = p.id and (select seen_workspace()) is null),
        p.display_name
    ) as display_name
from people p left join known_as k on k.person = p.id and k.workspace = (select seen_workspace());
grant select on colleagues to tenantpilot_app, tenantpilot_console, tenantpilot_auditor;
