package pgtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
)

func TestMain(m *testing.M) { Main(m) }

func TestEachTestHasItsOwnMigratedDatabase(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			db := New(t)
			t.Logf("clone took %s", time.Since(start))
			owner := db.OwnerPool(t)
			if _, err := owner.Exec(t.Context(), `CREATE TABLE mine (x int)`); err != nil {
				t.Fatal(err)
			}
			pending, err := migrations.Pending(t.Context(), db.Pool(t))
			if err != nil || pending != 0 {
				t.Errorf("as the app role: got %d pending, %v; want 0", pending, err)
			}
		})
	}
}

func TestEveryRoleIsWhatItSays(t *testing.T) {
	t.Parallel()
	db := New(t)
	for url, want := range map[string]string{
		db.AppURL: "tenantpilot_app", db.OwnerURL: "tenantpilot_owner",
		db.AuditorURL: "tenantpilot_auditor", db.SuperuserURL: "postgres",
	} {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var role, database string
		var super, bypass bool
		err = conn.QueryRow(t.Context(), `
			SELECT rolname, rolsuper, rolbypassrls, current_database() FROM pg_roles WHERE rolname = current_user`,
		).Scan(&role, &super, &bypass, &database)
		if err != nil {
			t.Fatal(err)
		}
		if role != want || database != db.Name || super != (want == "postgres") || bypass != (want == "postgres") {
			t.Errorf("got role %s (super %v, bypass %v) in %s, want %s in %s", role, super, bypass, database, want, db.Name)
		}
	}
}

func TestAppRoleMayNotCreate(t *testing.T) {
	t.Parallel()
	app := New(t).Pool(t)
	for _, sql := range []string{`CREATE TABLE x (y int)`, `CREATE TEMP TABLE x (y int)`, `CREATE SCHEMA x`} {
		if _, err := app.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: got no error", sql)
		}
	}
}

func TestServerSurvivesCrashAndRestart(t *testing.T) {
	t.Parallel()
	s := Server(t, func(c *pgembed.Config) { c.Fast = false })
	if _, err := migrations.Apply(t.Context(), s.OwnerURL(pgembed.Database)); err != nil {
		t.Fatal(err)
	}
	url := s.OwnerURL(pgembed.Database)
	if err := execute(t.Context(), url, `CREATE TABLE kept (x int)`, `INSERT INTO kept VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("after Crash: Done is not closed")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := execute(t.Context(), url, `UPDATE kept SET x = 2`); err != nil {
		t.Errorf("after Restart: %v", err)
	}
}

func TestLeftoversOfDeadProcessesAreRemovedAndLivingOnesAreNot(t *testing.T) {
	t.Parallel()
	living, dead := openTestDir(t), openTestDir(t)
	s, err := startServer(t.Context(), living)
	if err != nil {
		t.Fatal(err)
	}
	defer discard(s, living.DataDir)
	for _, dir := range []string{living.DataDir, dead.DataDir} {
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	removeLeftovers(filepath.Dir(living.DataDir))
	if _, err := os.Stat(dead.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory of a dead process: got %v, want it gone", err)
	}
	if err := execute(t.Context(), s.AppURL(pgembed.Database), `SELECT 1`); err != nil {
		t.Errorf("living server: %v", err)
	}
}

func openTestDir(t *testing.T) pgembed.Config {
	t.Helper()
	config, err := testConfig()
	if err != nil {
		t.Fatal(err)
	}
	return config
}
