-- What the console writes without an event (preferences, what was read, previews) is written behind the second wall too: as
-- tenantpilot_console, and only what is the person's own in the workspace that the transaction is for. Its lists of API tokens are read there.
-- +goose Up

-- console_writes lets the console write a table's rows where a condition holds, on top of console_reads. The policy for everybody else has to
-- stop covering the console: of several policies one that holds is enough.
-- +goose StatementBegin
create function console_writes(tbl regclass, rights text, condition text) returns void language plpgsql as $$
begin
    execute format('alter policy everybody_else on %s with check ((select not pg_has_role(current_user, ''tenantpilot_console'', ''usage'')
        or pg_has_role(current_user, ''tenantpilot_app'', ''usage'')))', tbl);
    execute format('grant %s on %s to tenantpilot_console', rights, tbl);
    if rights like '%insert%' then
        execute format('create policy console_inserts on %s for insert to tenantpilot_console with check (%s)', tbl, condition);
    end if;
    if rights like '%update%' then
        execute format('create policy console_updates on %s for update to tenantpilot_console using (%s) with check (%2$s)', tbl, condition);
    end if;
    if rights like '%delete%' then
        execute format('create policy console_deletes on %s for delete to tenantpilot_console using (%s)', tbl, condition);
    end if;
end
$$;
-- +goose StatementEnd
revoke execute on function console_writes(regclass, text, text) from public;

select console_writes(t::regclass, 'insert, update, delete', 'workspace = (select seen_workspace()) and person = (select seen_person())')
from unnest(array['saved_views', 'saved_view_defaults', 'replay_previews']) t;
select console_writes('notifications', 'update (read_at)', 'workspace = (select seen_workspace()) and person = (select seen_person())');

-- Not the hashes.
grant select (token, scopes, tenants, last_used_from) on api_tokens to tenantpilot_console;
