package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/migrations/pgtest"
)

func TestSelfCheckRefusesWhatWouldBreakAPromise(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	check := func(url string, lazyDisk bool) error {
		pool, err := pgxpool.New(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		return selfCheck(t.Context(), pool, lazyDisk)
	}
	if err := check(db.AppURL, true); err != nil {
		t.Errorf("the application's role on a whole schema: %v", err)
	}
	if err := check(db.AppURL, false); err == nil || !strings.Contains(err.Error(), "set fsync = on") {
		t.Errorf("a server that does not flush: %v", err)
	}
	if err := check(db.SuperuserURL, true); err == nil || !strings.Contains(err.Error(), "is a superuser") {
		t.Errorf("a superuser: %v", err)
	}
	if err := check(db.OwnerURL, true); err == nil || !strings.Contains(err.Error(), "owns the event log") {
		t.Errorf("the owner: %v", err)
	}
	owner := db.OwnerPool(t)
	for _, damage := range []struct{ sql, want string }{
		{`alter table events disable trigger events_append_only`, "events_append_only"},
		{`drop index runs_active_scope`, "runs_active_scope"},
	} {
		if _, err := owner.Exec(t.Context(), damage.sql); err != nil {
			t.Fatal(err)
		}
		if err := check(db.AppURL, true); err == nil || !strings.Contains(err.Error(), damage.want) {
			t.Errorf("after %s: %v", damage.sql, err)
		}
	}
}

func TestAnAppNamesTheRoleItWants(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	_, err := newApp(context.Background(), options{databaseURL: db.OwnerURL, lazyDisk: true, log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "tenantpilot_app") {
		t.Errorf("an app on the owner's role: %v", err)
	}
}
