package main

import (
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// TestTheConsoleReadsBehindTheWall: what serve reads with finds nothing for an actor whom it does not read for, as if every filter had been
// forgotten. The reader without the wall does.
func TestTheConsoleReadsBehindTheWall(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	a, err := newApp(t.Context(), options{databaseURL: db.AppURL, lazyDisk: true, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	person := func() domain.Actor {
		return domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: uuid.New(), Role: domain.RoleOwner}
	}
	theirs, ours := person(), person()
	plain := projections.NewReader(a.pool)
	if err := plain.CreateView(t.Context(), theirs, "operations", projections.SavedView{ID: uuid.New(), Name: "Mine"}); err != nil {
		t.Fatal(err)
	}
	found := func(read projections.Reader, by domain.Actor) int {
		t.Helper()
		views, err := read.SavedViews(projections.WithSight(t.Context(), by), theirs, "operations")
		if err != nil {
			t.Fatal(err)
		}
		return len(views)
	}
	if n := found(a.console().Read, ours); n != 0 {
		t.Errorf("the console finds %d views of others", n)
	}
	if found(plain, ours) != 1 || found(a.console().Read, theirs) != 1 {
		t.Error("nothing is found where something is: the test shows nothing")
	}
}
