package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/migrations/pgembed"
	"tenantpilot/projections"
)

func projectionsCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "projections", Short: "List the read models: version, position, lag, what is parked", Args: noArgs,
		Long: `List what follows the log: the version that its tables hold, its position, how many events it is behind, and how many are parked because
they could not be applied. Parked streams and rebuilds under way are listed below.

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPool(cmd.Context(), dataDir, func(pool *pgxpool.Pool) error {
				return listProjections(cmd.Context(), pool, plainWriter{cmd.OutOrStdout()})
			})
		},
	}
	cmd.PersistentFlags().StringVar(&dataDir, "data-dir", defaultDataDir(), "where the demo keeps its database and demo.json")
	cmd.AddCommand(&cobra.Command{
		Use: "retry [NAME]", Short: "Apply parked events again, in order",
		Long: `Apply the events that a projection has parked, or those of all projections, each stream in the order of the log. Streams that still
cannot be applied stay parked, with the new cause; the exit code is then 1. Run it after what was wrong has been mended.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withPool(cmd.Context(), dataDir, func(pool *pgxpool.Pool) error {
				return retryProjections(cmd.Context(), pool, args, plainWriter{cmd.OutOrStdout()})
			})
		},
	})
	return cmd
}

// withPool opens the configured database, or the running demo's, as the application's role.
func withPool(ctx context.Context, dataDir string, do func(*pgxpool.Pool) error) error {
	cfg, err := loadConfig()
	if err != nil {
		return err
	}
	url, err := databaseURL(ctx, cfg, dataDir, pgembed.AppRole)
	if err != nil {
		return err
	}
	pool, err := openPool(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(pool)
}

func listProjections(ctx context.Context, pool *pgxpool.Pool, out io.Writer) error {
	lags, err := projections.Lags(ctx, pool)
	if err != nil {
		return err
	}
	byName := make(map[string]projections.Lag, len(lags))
	for _, l := range lags {
		byName[l.Projection] = l
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tPOSITION\tBEHIND\tPARKED\tSTATE")
	for _, p := range projections.All() {
		l, known := byName[p.Name()]
		state := "follows the log"
		_, rebuilds := p.(projections.ReadModel)
		switch {
		case !known:
			state = "has not begun"
		case l.Version != p.Version():
			state = fmt.Sprintf("waits: this program has version %d", p.Version())
		case !rebuilds:
			state = "follows the log, is never rebuilt"
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\n", p.Name(), l.Version, l.Position, l.Behind, l.Parked, state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	parked, err := projections.Parked(ctx, pool, 20)
	if err != nil {
		return err
	}
	for _, s := range parked {
		fmt.Fprintf(out, "parked: %s, stream %s from position %d (%s), %d events, tried %d times, last %s: %s\n",
			s.Projection, s.Stream, s.Position, s.Event, s.Events, s.Attempts, s.TriedAt.UTC().Format(time.RFC3339), s.Cause)
	}
	open, err := projections.OpenRebuilds(ctx, pool)
	for _, r := range open {
		stands := "has not ended: if nobody is at it, `tenantpilot rebuild " + r.Projection + "` goes on"
		if r.State == "differs" {
			stands = "was refused"
		}
		if r.Note != "" {
			stands += ": " + r.Note
		}
		fmt.Fprintf(out, "rebuild: %s to version %d, begun %s, last step %s at %d of %d, %s\n",
			r.Projection, r.To, r.StartedAt.UTC().Format(time.RFC3339), r.UpdatedAt.UTC().Format(time.RFC3339), r.Position, r.Target, stands)
	}
	return err
}

func retryProjections(ctx context.Context, pool *pgxpool.Pool, names []string, out io.Writer) error {
	var found, left bool
	for _, p := range projections.All() {
		if len(names) > 0 && names[0] != p.Name() {
			continue
		}
		found = true
		done, err := projections.Retry(ctx, pool, newLog(slog.LevelWarn), p)
		if err != nil {
			return err
		}
		left = left || done.Left > 0
		if done != (projections.Retried{}) || len(names) > 0 {
			fmt.Fprintf(out, "%s: %d events applied, %d streams whole again, %d still parked\n", p.Name(), done.Applied, done.Streams, done.Left)
		}
	}
	switch {
	case !found:
		return usage(fmt.Errorf("there is no projection %q", names[0]))
	case left:
		return errors.New("some streams stay parked: `tenantpilot projections` says why")
	}
	return nil
}
