// Package pgtest gives a test a Postgres database with our schema in it:
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		db := pgtest.New(t)
//		pool := db.Pool(t) // as the app role
//		...
//	}
//
// The first call in a test binary starts a private server (see pgembed); it ends with the process. One server for each
// binary rather than one for all, because watermill's readers wait for every open transaction in the whole cluster, so
// that tests sharing one would slow each other down at random.
//
// In the server there is one migrated template database, and each test gets a clone of it, which is dropped when the
// test passes. When it fails the clone stays and its URL is logged; run with TENANTPILOT_TEST_HOLD=10m to make failed
// tests wait that long, so that somebody can look into it before the server goes.
//
// TENANTPILOT_TEST_DATABASE_URL, the URL of a superuser, makes tests use that server instead. Roles and a template are
// made there if missing, and the three roles get new passwords, so it should be a server for tests.
//
// A test never skips for want of Postgres: it fails with the line that installs one.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/migrations/pgembed"
)

const (
	urlVariable  = "TENANTPILOT_TEST_DATABASE_URL"
	holdVariable = "TENANTPILOT_TEST_HOLD"
)

// DB is one test's own database. The four URLs differ only in the role.
type DB struct {
	Name         string
	AppURL       string
	OwnerURL     string
	AuditorURL   string
	SuperuserURL string
}

// New returns a fresh, migrated database. It is safe in parallel tests.
func New(t testing.TB) *DB {
	t.Helper()
	h, err := sharedHost()
	if err != nil {
		t.Fatalf("make test database: %v", err)
	}
	name := fmt.Sprintf("tp_%s_%d", h.process, clones.Add(1))
	if err := h.clone(t.Context(), name); err != nil {
		t.Fatalf("make test database: %v%s", err, h.lastWords())
	}
	db := &DB{
		Name: name, AppURL: h.AppURL(name), OwnerURL: h.OwnerURL(name),
		AuditorURL: h.AuditorURL(name), SuperuserURL: h.SuperuserURL(name),
	}
	t.Cleanup(func() { db.cleanup(t, h) })
	return db
}

// cleanup runs after the cleanups the test has added since New, so its pools are closed by then.
func (db *DB) cleanup(t testing.TB, h *host) {
	if t.Failed() {
		t.Logf("database of the failed test: %s", db.OwnerURL)
		hold(t)
		return
	}
	if err := h.drop(context.WithoutCancel(t.Context()), db.Name); err != nil {
		t.Errorf("drop test database: %v%s", err, h.lastWords())
	}
}

func hold(t testing.TB) {
	wait, err := time.ParseDuration(os.Getenv(holdVariable))
	if err != nil {
		t.Logf("set %s=10m to keep it that long; it goes with this process", holdVariable)
		return
	}
	t.Logf("held for %s; interrupt to go on", wait)
	time.Sleep(wait)
}

// Pool returns a pool of the app role, closed when the test ends.
func (db *DB) Pool(t testing.TB) *pgxpool.Pool { t.Helper(); return pool(t, db.AppURL) }

// OwnerPool returns a pool of the owner role, closed when the test ends.
func (db *DB) OwnerPool(t testing.TB) *pgxpool.Pool { t.Helper(); return pool(t, db.OwnerURL) }

// AuditorPool returns a pool of the auditor role, closed when the test ends.
func (db *DB) AuditorPool(t testing.TB) *pgxpool.Pool { t.Helper(); return pool(t, db.AuditorURL) }

// SuperuserPool returns a pool of the superuser, closed when the test ends. For tests that break rules on purpose.
func (db *DB) SuperuserPool(t testing.TB) *pgxpool.Pool { t.Helper(); return pool(t, db.SuperuserURL) }

func pool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatalf("open pool: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

// Server returns a server of the test's own, which it may crash and restart. Its database pgembed.Database is empty:
// migrate it with migrations.Apply. It does not flush to disk unless a change to the config says so, and it is stopped
// and removed when the test ends.
func Server(t testing.TB, change ...func(*pgembed.Config)) *pgembed.Server {
	t.Helper()
	config, err := testConfig()
	if err != nil {
		t.Fatalf("start test server: %v", err)
	}
	for _, f := range change {
		f(&config)
	}
	s, err := startServer(t.Context(), config)
	if err != nil {
		t.Fatalf("start test server: %v", err)
	}
	t.Cleanup(func() {
		if err := discard(s, config.DataDir); err != nil {
			t.Errorf("remove test server: %v", err)
		}
	})
	return s
}

// Main runs a package's tests and then removes the server's data directory, which otherwise stays until the next test
// run:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest: remove test server:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// State of the test binary: one server for all its tests is what this package is for.
var (
	sharedHost = sync.OnceValues(openHost)
	clones     atomic.Int64
	// opened is set by sharedHost, so that Main need not start a server to close it.
	opened atomic.Pointer[host]
)

func openHost() (*host, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	h, err := newHost(ctx, os.Getenv(urlVariable))
	if err != nil {
		return nil, err
	}
	opened.Store(h)
	return h, h.ensureTemplate(ctx)
}

func closeShared() error {
	h := opened.Load()
	if h == nil || h.server == nil {
		return nil
	}
	return discard(h.server, h.dataDir)
}

func discard(s *pgembed.Server, dataDir string) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return pgembed.Remove(context.Background(), dataDir)
}

func execute(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			verb, _, _ := strings.Cut(sql, " ")
			return fmt.Errorf("%s: %w", strings.ToLower(verb), err)
		}
	}
	return nil
}
