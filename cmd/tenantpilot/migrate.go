package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
)

func migrateCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the database's schema up to date", Args: noArgs,
		Long: `Apply the migrations that the database does not have yet, as its owner. Safe to run from several machines at once.

The database is TENANTPILOT_DATABASE_URL (the owner's role), or else the running demo's.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig()
			if err != nil {
				return err
			}
			url, err := databaseURL(cmd.Context(), cfg, dataDir, pgembed.OwnerRole)
			if err != nil {
				return err
			}
			applied, err := migrations.Apply(cmd.Context(), url)
			for _, m := range applied {
				fmt.Fprintf(cmd.OutOrStdout(), "applied %05d %s\n", m.Version, m.Name)
			}
			if err == nil && len(applied) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "nothing to do: the schema is at %d\n", migrations.LatestVersion())
			}
			return err
		},
	}
	dataDirFlag(cmd, &dataDir)
	return cmd
}
