package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// TestTheLastOwnerIsNotErased: the command says which workspace it is about, and nothing is done.
func TestTheLastOwnerIsNotErased(t *testing.T) {
	db := pgtest.New(t)
	pool := db.Pool(t)
	store := eventstore.Open(pool, eventstore.Config{})
	defer store.Close()
	people, handler, workspace := auth.New(pool, auth.Config{}), commands.New(store, nil), uuid.New()
	ada, err := people.CreatePerson(t.Context(), "ada@example.test", "Ada", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := handler.CreateWorkspace(t.Context(), commands.CreateWorkspace{Workspace: workspace, Name: "Northwind", Owner: ada}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TENANTPILOT_DATABASE_URL", db.AppURL)
	erase := func() error {
		root := newRoot()
		root.SetArgs([]string{"audit", "erase", "ada@example.test", "--yes"})
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		return root.ExecuteContext(t.Context())
	}
	err = erase()
	var coded *exitCode
	if !errors.As(err, &coded) || coded.code != exitBlocked || !strings.Contains(err.Error(), `"Northwind"`) || !strings.Contains(err.Error(), "last owner") {
		t.Fatalf("the last owner: %v", err)
	}
	if found, err := people.FindPerson(t.Context(), "ada@example.test"); err != nil || found != ada {
		t.Errorf("the person is gone all the same: %v", err)
	}
	second := commands.AddMember{Actor: domain.SystemActor(workspace), Person: uuid.New(), Role: domain.RoleOwner}
	if err := handler.AddMember(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if err := erase(); err != nil {
		t.Errorf("one of two owners: %v", err)
	}
}
