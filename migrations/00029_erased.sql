-- A workspace goes on knowing that somebody was there whom it may not name any more: pages say "erased" instead of nothing, or the system.
-- +goose Up

-- Erasing destroys the key and leaves the row: whom the workspace ever knew by name is among those that its console sees (seen_people), and an erased
-- person gets no new key.
alter table subject_keys alter column key drop not null;
grant update (key) on subject_keys to tenantpilot_app;
revoke delete on subject_keys from tenantpilot_app;
insert into subject_keys (workspace, subject, key)
select e.workspace, (e.payload ->> 'person')::uuid, null from events e where e.name = 'PersonErased' on conflict do nothing;

-- What they had saved stayed, and was nobody's to delete.
delete from saved_views v using people p where p.id = v.person and p.erased_at is not null;
