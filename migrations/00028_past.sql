-- The past of objects with a long story. The console's row security reads the workspace, so an index without it is no help on its own: a time
-- was looked up, and the density of a story counted, row by row.
-- +goose Up

drop index audit_log_by_stream;
create index audit_log_by_stream on audit_log (stream, position) include (at, workspace);
-- As events have it: what was vacuumed is read from the index alone.
alter table audit_log set (autovacuum_vacuum_insert_scale_factor = 0.02);
