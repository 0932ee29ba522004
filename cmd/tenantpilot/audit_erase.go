package main

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

func auditEraseCommand() *cobra.Command {
	var dataDir string
	var yes bool
	cmd := &cobra.Command{
		Use: "erase SUBJECT", Short: "Erase who a person was, by e-mail address or id, leaving every event as it is",
		Long: `Destroy the keys under which the log's events hold a person's name and address, and remove both from the list of people. They can never
sign in again; their memberships and invitations end, their tokens are revoked, and the views that they saved are deleted, shared ones too. The
last owner of a workspace is refused (exit code 3): make somebody else an owner first. Not a byte of an event changes, so every proof still
holds, and pages show "erased". The erasure itself is recorded in each workspace that knew them.

It cannot be undone, except from a copy of the database made before: let backups age out. Asking again finishes what a crash left undone.

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usage(errors.New("this cannot be undone: say --yes"))
			}
			return withPool(cmd.Context(), dataDir, func(pool *pgxpool.Pool) error {
				service := auth.New(pool, auth.Config{})
				person, err := service.FindPerson(cmd.Context(), args[0])
				if errors.Is(err, auth.ErrNoPerson) {
					return &exitCode{exitNotFound, err}
				}
				if err != nil {
					return err
				}
				return erase(cmd, pool, service, person)
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	return cmd
}

func erase(cmd *cobra.Command, pool *pgxpool.Pool, service *auth.Service, person uuid.UUID) error {
	store := eventstore.Open(pool, eventstore.Config{})
	defer store.Close()
	erased, err := commands.New(store, nil).ErasePerson(cmd.Context(), commands.ErasePerson{Person: person})
	if refusal, ok := domain.AsRefusal(err); ok && refusal.Kind == domain.Conflict {
		return &exitCode{exitBlocked, err}
	}
	if err != nil {
		return err
	}
	if err := service.ErasePerson(cmd.Context(), person); err != nil {
		return err
	}
	workspaces := "workspaces"
	if len(erased) == 1 {
		workspaces = "workspace"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Erased person %s: the keys in %d %s are destroyed, and name and address are gone.\n", person, len(erased), workspaces)
	return nil
}
