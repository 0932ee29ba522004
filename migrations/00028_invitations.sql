-- An invitation's link opens the workspace that invited and nothing else, and so do the sessions from it: whoever invites somebody may keep the link.
-- +goose Up

alter table sign_in_links add column workspace uuid; -- of an invitation; null for a link that was made at the server, which opens all
alter table sessions add column invited_to uuid;     -- the workspace of the link it came from

-- Unused links from before may be an invitation's and would open all.
update sign_in_links set used_at = clock_timestamp() where used_at is null;
