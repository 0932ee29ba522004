package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgembed"
)

func auditCheckOrderCommand() *cobra.Command {
	var dataDir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check-order", Short: "Check that no event was skipped, doubled or turned round", Args: noArgs,
		Long: `Read the whole log in one snapshot and check what its readers rely on: no position is skipped, no stream goes backwards or leaves out a
version, and every event is either numbered or pending. Running processes check the same of each new event (metric
tenantpilot_log_order_faults_total).

The database is TENANTPILOT_DATABASE_URL (the auditor's role suffices), or else the running demo's.
Exit codes: 0 in order, 1 not in order or not checked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuditor(cmd.Context(), dataDir, func(ctx context.Context, pool *pgxpool.Pool, _ config) error {
				report, err := eventstore.CheckOrder(ctx, pool)
				if err != nil {
					return err
				}
				out := cmd.OutOrStdout()
				if asJSON {
					if err := json.NewEncoder(out).Encode(report); err != nil {
						return fmt.Errorf("write report: %w", err)
					}
				} else {
					fmt.Fprintf(out, "%d events in %d streams: %d numbered, %d pending, head %d\n",
						report.Events, report.Streams, report.Numbered, report.Pending, report.Head)
					for _, f := range report.Faults {
						fmt.Fprintf(out, "%s: %s\n", f.Kind, f.Text)
					}
				}
				if len(report.Faults) > 0 {
					return &exitCode{exitError, errors.New("the log is not in order")}
				}
				if !asJSON {
					fmt.Fprintln(out, "in order: no position skipped, no stream backwards, every event numbered or pending")
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

// withAuditor opens a pool on the configured database, or the running demo's as its auditor, and closes it afterwards.
func withAuditor(ctx context.Context, dataDir string, do func(context.Context, *pgxpool.Pool, config) error) error {
	cfg, err := loadConfig()
	if err != nil {
		return err
	}
	url, err := databaseURL(ctx, cfg, dataDir, pgembed.AuditorRole)
	if err != nil {
		return err
	}
	poolConfig, err := pgxpool.ParseConfig(url)
	if err != nil {
		return errors.New("the database URL is malformed") // it may hold a password: it is never shown
	}
	poolConfig.ConnConfig.RuntimeParams["application_name"] = "tenantpilot-audit"
	poolConfig.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer pool.Close()
	return do(ctx, pool, cfg)
}
