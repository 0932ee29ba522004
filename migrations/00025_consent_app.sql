-- A consent link is for the application that the connection had when it was made. What was asked for before this migration names none: such a link
-- is answered as one that is no longer valid, for the 15 minutes that it would have lived.
-- +goose Up

alter table consent_requests add column app text not null default '';
