-- The second wall: what the console reads, it reads as tenantpilot_console, which sees the rows of one workspace, the one that the
-- transaction names. A query that forgot its filter finds nothing of others; a transaction that names no workspace finds nothing.
--
-- The application's role is a member of it and takes it on per transaction (projections.NewConsoleReader). Everything else the application
-- does (commands, projections, workers, sign-in) spans workspaces by nature and stays the application's.
-- +goose Up

-- +goose StatementBegin
do $$
begin
    if not exists (select from pg_roles where rolname = 'tenantpilot_console') then
        begin
            create role tenantpilot_console nologin;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role "tenantpilot_console" does not exist and "%" may not create it', current_user
                    using errcode = 'insufficient_privilege',
                          hint = 'As an administrator: CREATE ROLE tenantpilot_console NOLOGIN; GRANT tenantpilot_console TO tenantpilot_app;';
        end;
    end if;
    if not pg_has_role('tenantpilot_app', 'tenantpilot_console', 'member') then
        begin
            grant tenantpilot_console to tenantpilot_app;
        exception when insufficient_privilege then
            raise exception 'tenantpilot_app is not a member of tenantpilot_console and "%" may not make it one', current_user
                using errcode = 'insufficient_privilege',
                      hint = 'As an administrator: GRANT tenantpilot_console TO tenantpilot_app;';
        end;
    end if;
end
$$;
-- +goose StatementEnd
grant usage on schema public to tenantpilot_console;

-- The workspace that the transaction reads for; null when it names none.
create function seen_workspace() returns uuid language sql stable as
    $$ select nullif(current_setting('tenantpilot.workspace', true), '')::uuid $$;
-- The person that the transaction reads for: what they were offered elsewhere is theirs to see.
create function seen_person() returns uuid language sql stable as
    $$ select nullif(current_setting('tenantpilot.person', true), '')::uuid $$;
-- Whether the transaction reads for the system plane, which spans workspaces.
create function seen_system() returns boolean language sql stable as $$ select current_setting('tenantpilot.plane', true) = 'system' $$;
grant execute on function seen_workspace(), seen_person(), seen_system() to public;

-- console_reads lets the console read a table's rows where a condition holds, and leaves all other roles as they were. A table that the
-- console reads without it fails a test.
-- +goose StatementBegin
create function console_reads(tbl regclass, condition text) returns void language plpgsql as $$
begin
    execute format('alter table %s enable row level security', tbl);
    execute format('create policy everybody_else on %s to public using ((select not pg_has_role(current_user, ''tenantpilot_console'', ''usage'')
        or pg_has_role(current_user, ''tenantpilot_app'', ''usage''))) with check (true)', tbl);
    execute format('create policy console on %s for select to tenantpilot_console using (%s)', tbl, condition);
    execute format('grant select on %s to tenantpilot_console', tbl);
end
$$;
-- +goose StatementEnd
revoke execute on function console_reads(regclass, text) from public;

select console_reads(t::regclass, 'workspace = (select seen_workspace())')
from unnest(array['runs', 'attempts', 'members', 'roles', 'reservations', 'notifications', 'events']) t;
select console_reads(t::regclass, 'workspace = (select seen_workspace()) or (select seen_system())')
from unnest(array['tenants', 'provider_connections']) t;
select console_reads('invitations', 'workspace = (select seen_workspace()) or person = (select seen_person())');

-- Conditions about other tables are functions, which find them by name: a rebuilt read model takes its table's place.
create function seen_tenant(uuid) returns boolean language sql stable as $$ select exists (select from tenants t where t.tenant = $1) $$;
create function seen_run(uuid) returns boolean language sql stable as $$ select exists (select from runs r where r.run = $1) $$;
create function seen_invitation(uuid) returns boolean language sql stable as
    $$ select exists (select from invitations i where i.workspace = $1 and i.person = seen_person()) $$;
-- People of the workspace: its members, those invited, and those it ever knew by name.
create function seen_colleague(uuid) returns boolean language sql stable as $$
    select exists (select from members m where m.person = $1) or exists (select from invitations i where i.person = $1)
        or exists (select from subject_keys k where k.subject = $1) $$;
select console_reads('workspaces', 'workspace = (select seen_workspace()) or (select seen_system()) or seen_invitation(workspace)');
select console_reads('directory_cache', 'seen_tenant(tenant)');
select console_reads('work_leases', 'seen_run(run)');
select console_reads('api_tokens', 'workspace = (select seen_workspace())');
select console_reads('subject_keys', 'workspace = (select seen_workspace())');
select console_reads('people', 'seen_colleague(id)');
-- Not the keys and hashes.
revoke select on subject_keys, people, api_tokens from tenantpilot_console;
grant select (workspace, subject) on subject_keys to tenantpilot_console;
grant select (id, email, display_name) on people to tenantpilot_console;
grant select (id, person, workspace, name, prefix, created_at, expires_at, last_used_at, revoked_at) on api_tokens to tenantpilot_console;
-- Without rows of anybody: positions and how far each projection is.
grant select on log, pending, sequencer, checkpoints to tenantpilot_console;
