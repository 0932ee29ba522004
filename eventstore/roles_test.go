package eventstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

const insufficientPrivilege = "42501"

// changes are all ways to change what the log says.
var changes = []string{
	`update events set name = 'x'`, `update log set position = position + 100`,
	`delete from events`, `delete from log`,
	`truncate events`, `truncate log`, `truncate events, log cascade`,
	`insert into events select * from events on conflict (stream, version) do update set name = 'x'`,
}

// loggedDB has two events with positions.
func loggedDB(t *testing.T) *pgtest.DB {
	t.Helper()
	db := pgtest.New(t)
	s := openOn(t, db, eventstore.Config{})
	receipt, err := rename(s, eventstore.Request{At: at}, create(t, s), "B")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the events have positions", func() bool {
		position, err := s.PositionOf(t.Context(), receipt.Seq)
		return err == nil && position == 2
	})
	return db
}

// refused runs a statement after some others in a transaction, and wants it refused with insufficient_privilege.
func refused(t *testing.T, pool *pgxpool.Pool, statement string, before ...string) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	for _, b := range before {
		if _, err := tx.Exec(t.Context(), b); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	}
	_, err = tx.Exec(t.Context(), statement)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != insufficientPrivilege {
		t.Errorf("%s: %v, want insufficient_privilege", statement, err)
	}
}

func TestNobodyChangesTheLog(t *testing.T) {
	t.Parallel()
	db := loggedDB(t)
	app, owner, auditor, superuser := db.Pool(t), db.OwnerPool(t), db.AuditorPool(t), db.SuperuserPool(t)
	const before = `select string_agg(e::text || l::text, E'\n' order by l.position) from events e join log l using (seq)`
	var was, is string
	if err := superuser.QueryRow(t.Context(), before).Scan(&was); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes { // the app and the auditor lack the right; the others are stopped by the triggers
		refused(t, app, change)
		refused(t, auditor, change)
		refused(t, owner, change)
		refused(t, superuser, change)
		refused(t, superuser, change, `set local session_replication_role = replica`)
		refused(t, superuser, change, `set local session_replication_role = replica`, `set local role tenantpilot_owner`)
	}
	if err := superuser.QueryRow(t.Context(), before).Scan(&is); err != nil || is != was {
		t.Fatalf("the log was\n%s\nand is\n%s (%v)", was, is, err)
	}
}

func TestTheAppOnlyAddsToTheLog(t *testing.T) {
	t.Parallel()
	app := loggedDB(t).Pool(t)
	for _, statement := range []string{
		`alter table events disable trigger all`, `alter table log disable trigger log_append_only`, `drop trigger events_append_only on events`,
		`drop table log`, `alter table events drop column leaf`, `create or replace function refuse_change() returns trigger language sql as ''`,
		`create or replace function append_events(int) returns int language sql as 'select 1'`, `set session_replication_role = replica`,
		`update requests set hash = ''`, `delete from requests`, `truncate requests`, `update content set bytes = ''`, `delete from content`,
		`truncate pending`, `truncate followers`, `delete from followers`, `truncate checkpoint_moves`, `update checkpoint_moves set position = 0`,
		`delete from sequencer_lease`, `insert into sequencer_lease default values`,
		`select setval('events_seq', 1)`, `alter sequence events_seq restart`, `set role tenantpilot_owner`, `set role postgres`,
	} {
		refused(t, app, statement)
	}
}

func TestTheAuditorReadsAndWritesNothing(t *testing.T) {
	t.Parallel()
	db := loggedDB(t)
	auditor := db.AuditorPool(t)
	for _, table := range []string{"events", "log", "requests", "content", "checkpoints", "followers", "checkpoint_moves", "parked", "sequencer", "sequencer_lease", "pending", "tree_tiles", "tree_heads"} {
		if _, err := auditor.Exec(t.Context(), `select * from `+table); err != nil {
			t.Errorf("read %s: %v", table, err)
		}
	}
	var events int
	err := auditor.QueryRow(t.Context(), `select count(*) from events e join log l using (seq) where e.version = l.position`).Scan(&events)
	if err != nil || events != 2 {
		t.Errorf("the auditor sees %d events, %v; want 2", events, err)
	}
	rows, err := db.SuperuserPool(t).Query(t.Context(), `
		select c.relname || ' ' || p from pg_class c, unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p
		where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
		and (has_table_privilege('tenantpilot_auditor', c.oid, p)
		     or p in ('insert', 'update', 'references') and has_any_column_privilege('tenantpilot_auditor', c.oid, p))
		union all
		select c.relname || ' ' || p from pg_class c, unnest(array['usage', 'update']) p
		where c.relnamespace = 'public'::regnamespace and c.relkind = 'S' and has_sequence_privilege('tenantpilot_auditor', c.oid, p)`)
	if err != nil {
		t.Fatal(err)
	}
	granted, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(granted) > 0 {
		t.Errorf("the auditor may %q, %v", granted, err)
	}
	for _, statement := range []string{
		`insert into log values (3, 3)`, `insert into events select * from events`, `insert into content (hash, bytes) values ('', '')`,
		`select claim_sequencer(gen_random_uuid(), '1 s')`, `select sequence_events(1, 1)`, `select nextval('events_seq')`,
		`create table x (y int)`, `create temp table x (y int)`, `set role tenantpilot_app`,
	} {
		refused(t, auditor, statement)
	}
}

// Functions must run with the caller's rights: security definer would hand the owner's to everybody. Those that lend them answer the system
// plane only (projections.TestStandingIsThePlatforms) or find a stream by its public number, and are called by the roles of the program alone.
func TestNoFunctionLendsItsOwnersRights(t *testing.T) {
	t.Parallel()
	rows, err := pgtest.New(t).OwnerPool(t).Query(t.Context(), `select p.oid::regprocedure::text from pg_proc p
		where p.prosecdef and p.pronamespace = 'public'::regnamespace and not (
			p.oid::regprocedure::text in ('system_parked(integer)', 'system_rebuilds(integer)', 'onboarding_stream(bigint)')
			and p.proconfig @> array['search_path=public, pg_temp']
			and not exists (select from aclexplode(p.proacl) a
				where a.grantee not in (p.proowner, 'tenantpilot_console'::regrole, 'tenantpilot_app'::regrole)))`)
	if err != nil {
		t.Fatal(err)
	}
	if lending, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(lending) > 0 {
		t.Fatalf("security definer: %v, %v", lending, err)
	}
}
