package migrations_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
	"tenantpilot/migrations/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// Outside its transaction a migration could be run twice or half; see the package documentation.
func TestEveryFileRunsInATransaction(t *testing.T) {
	names, err := filepath.Glob("*.sql")
	if err != nil || len(names) != len(migrations.Versions()) {
		t.Fatalf("got %d files (%v), want %d", len(names), err, len(migrations.Versions()))
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToUpper(string(body)), "NO TRANSACTION") {
			t.Errorf("%s says NO TRANSACTION", name)
		}
		if !strings.Contains(string(body), "-- +goose Up\n") {
			t.Errorf("%s has no line \"-- +goose Up\"", name)
		}
	}
}

func TestVersionsHaveNoGapsAndNoDoubles(t *testing.T) {
	for i, v := range migrations.Versions() {
		if v != int64(i+1) {
			t.Fatalf("got versions %v, want 1, 2, 3, ...", migrations.Versions())
		}
	}
}

// emptyDatabase makes a database that has the roles but no schema.
func emptyDatabase(t *testing.T) (owner, app string) {
	t.Helper()
	server := pgtest.Server(t)
	return server.OwnerURL(pgembed.Database), server.AppURL(pgembed.Database)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestApplyBringsAnEmptyDatabaseUpOnce(t *testing.T) {
	t.Parallel()
	owner, app := emptyDatabase(t)
	before, err := migrations.Status(t.Context(), connect(t, owner))
	if err != nil {
		t.Fatal(err)
	}
	if before.Current != 0 || !slices.Equal(before.Pending, migrations.Versions()) {
		t.Errorf("before: got %+v, want all pending", before)
	}

	const processes = 4
	var wait sync.WaitGroup
	var mu sync.Mutex
	var applied []int64
	for range processes {
		wait.Go(func() {
			done, err := migrations.Apply(t.Context(), owner)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			for _, a := range done {
				applied = append(applied, a.Version)
			}
		})
	}
	wait.Wait()
	if !slices.Equal(applied, migrations.Versions()) {
		t.Errorf("%d at once: applied %v, want each of %v once", processes, applied, migrations.Versions())
	}

	after, err := migrations.Status(t.Context(), connect(t, app))
	if err != nil {
		t.Fatal(err)
	}
	if after.Current != migrations.LatestVersion() || len(after.Pending)+len(after.Unknown) != 0 {
		t.Errorf("after, as the app role: got %+v, want nothing pending", after)
	}
}

func TestStatusNamesVersionsOfANewerRelease(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	if _, err := db.OwnerPool(t).Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
		t.Fatal(err)
	}
	state, err := migrations.Status(t.Context(), db.Pool(t))
	if err != nil || !slices.Equal(state.Unknown, []int64{99999}) {
		t.Errorf("got %+v, %v; want 99999 unknown", state, err)
	}
}

func TestAppRoleReadsTheVersionTableAndNoMore(t *testing.T) {
	t.Parallel()
	app := pgtest.New(t).Pool(t)
	if _, err := app.Exec(t.Context(), `DELETE FROM goose_db_version WHERE version_id > $1`, 0); err == nil {
		t.Error("DELETE: got no error")
	}
}

// fixedVersion answers every query on a server of that version.
type fixedVersion struct {
	migrations.Querier
	number int
}

func (f fixedVersion) Query(ctx context.Context, _ string, _ ...any) (pgx.Rows, error) {
	return f.Querier.Query(ctx, `SELECT $1::int, $2::text`, f.number, "13.21")
}

func TestOldServerIsNamedAndRefused(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	if err := migrations.CheckServer(t.Context(), pool); err != nil {
		t.Errorf("this server: %v", err)
	}
	err := migrations.CheckServer(t.Context(), fixedVersion{pool, 130021})
	if err == nil || !strings.Contains(err.Error(), "found Postgres 13.21, need 14 or newer") {
		t.Errorf("version 13: got %v", err)
	}
}
