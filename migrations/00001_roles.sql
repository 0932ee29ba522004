-- The roles of TenantPilot, and who may enter the database.
--
--   tenantpilot_owner    owns the database and the schema "public"; only migrations use it; not a superuser
--   tenantpilot_app      what serve and work connect as; gets its rights table by table, owns nothing
--   tenantpilot_auditor  reads, never writes
--   tenantpilot_console  what the console reads as: one workspace's rows; the application takes it on, nobody signs in as it
--
-- The launcher of the embedded server creates them, those who sign in and random passwords before this file runs. On a
-- server of your own, let an administrator do so once (psql, as a superuser or with CREATEROLE and CREATEDB):
--
--   CREATE ROLE tenantpilot_owner   LOGIN PASSWORD '...';
--   CREATE ROLE tenantpilot_app     LOGIN PASSWORD '...';
--   CREATE ROLE tenantpilot_auditor LOGIN PASSWORD '...';
--   CREATE ROLE tenantpilot_console NOLOGIN;
--   GRANT tenantpilot_console TO tenantpilot_app;
--   CREATE DATABASE tenantpilot OWNER tenantpilot_owner ENCODING 'UTF8' TEMPLATE template0;
--   \c tenantpilot
--   ALTER SCHEMA public OWNER TO tenantpilot_owner;   -- needed on Postgres 14; harmless later
--
-- then run "tenantpilot migrate" with the owner's URL. Roles missing at that point are created here, without LOGIN,
-- if the owner has CREATEROLE; give them a password with ALTER ROLE ... LOGIN PASSWORD. No role needs SUPERUSER or
-- BYPASSRLS, and the server refuses to run with either.

-- +goose Up

-- Roles belong to the cluster, not to this database: another database may be migrating at this very moment. Whoever
-- loses that race finds the role there, which is all that is wanted.
-- +goose StatementBegin
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['tenantpilot_app', 'tenantpilot_auditor'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role "%" does not exist and "%" may not create it', wanted, current_user
                    USING ERRCODE = 'insufficient_privilege',
                          HINT = format('As an administrator: CREATE ROLE %I LOGIN PASSWORD ''...'';', wanted);
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Nobody enters or creates by default; the name of the database is known only at run time.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO tenantpilot_app, tenantpilot_auditor', current_database());
END
$$;
-- +goose StatementEnd

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO tenantpilot_app, tenantpilot_auditor;

-- Readiness compares this table with the files in the binary, as the app role.
GRANT SELECT ON goose_db_version TO tenantpilot_app, tenantpilot_auditor;
