package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/migrations/pgembed"
	"tenantpilot/projections"
)

// rebuildCommandOptions are the flags of rebuild.
type rebuildCommandOptions struct {
	dataDir              string
	all, dryRun          bool
	verify, acceptDiffer bool
}

func rebuildCommand() *cobra.Command {
	var o rebuildCommandOptions
	cmd := &cobra.Command{
		Use: "rebuild [NAME]", Short: "Make read models again from the event log, while they are served",
		Long: `Make a read model's rows again from the first event on, beside those that are served, compare the two, and swap them in one
transaction. Readers notice nothing, and nothing that events have set off is set off again.

Without a name: the read models whose tables hold another version than this program's, with --verify all. It can be interrupted at any time; the next
rebuild goes on where it was. Rows that differ where the new version did not mean to change anything are not let in, nor are rows that lack
events because the new version cannot apply them.

The database is TENANTPILOT_OWNER_DATABASE_URL or TENANTPILOT_DATABASE_URL (the owner's role), or else the running demo's.`,
		Example: "  tenantpilot rebuild\n  tenantpilot rebuild runs --verify\n  tenantpilot rebuild --all --dry-run",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && o.all {
				return usage(errors.New("rebuild takes one name, or --all, or neither"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ownerURL, err := ownerDatabaseURL(cmd.Context(), o.dataDir)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), ownerURL, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "all read models, whatever version their tables hold")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be rebuilt and change nothing")
	cmd.Flags().BoolVar(&o.verify, "verify", false, "compare what is served with the log, and swap nothing; without a name, of all read models")
	cmd.Flags().BoolVar(&o.acceptDiffer, "accept-difference", false, "let rows in that differ from those that are served, or lack events")
	dataDirFlag(cmd, &o.dataDir)
	return cmd
}

// ownerDatabaseURL is what commands of the database's owner work on.
func ownerDatabaseURL(ctx context.Context, dataDir string) (string, error) {
	cfg, err := loadConfig()
	if err != nil {
		return "", err
	}
	if cfg.OwnerDatabaseURL != "" {
		return cfg.OwnerDatabaseURL, nil
	}
	return databaseURL(ctx, cfg, dataDir, pgembed.OwnerRole)
}

func (o rebuildCommandOptions) run(ctx context.Context, ownerURL string, names []string, out, progress io.Writer) error {
	pool, err := openPool(ctx, ownerURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	models, err := o.models(ctx, pool, names)
	if err != nil {
		return err
	}
	if len(models) == 0 {
		fmt.Fprintln(out, "nothing to do: every read model has this program's version")
		return nil
	}
	if o.dryRun {
		return rebuildPlan(ctx, pool, models, out)
	}
	for _, m := range models {
		if err := o.rebuild(ctx, ownerURL, m, out, progress); err != nil {
			return err
		}
	}
	return nil
}

func openPool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database URL is malformed") // the URL may hold a password: it is never shown
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return pool, nil
}

func (o rebuildCommandOptions) models(ctx context.Context, pool *pgxpool.Pool, names []string) ([]projections.ReadModel, error) {
	o.all = o.all || o.verify && len(names) == 0
	if !o.all && len(names) == 0 {
		return projections.Stale(ctx, pool, projections.All())
	}
	var models []projections.ReadModel
	var known []string
	for _, p := range projections.All() {
		m, ok := p.(projections.ReadModel)
		if !ok {
			if slices.Contains(names, p.Name()) {
				return nil, usage(fmt.Errorf("%s cannot be rebuilt: it sends messages, and nothing may be sent twice", p.Name()))
			}
			continue
		}
		known = append(known, m.Name())
		if o.all || slices.Contains(names, m.Name()) {
			models = append(models, m)
		}
	}
	if len(models) == 0 {
		return nil, usage(fmt.Errorf("there is no read model %q; there are %s", names[0], strings.Join(known, ", ")))
	}
	return models, nil
}

func rebuildPlan(ctx context.Context, pool *pgxpool.Pool, models []projections.ReadModel, out io.Writer) error {
	lags, err := projections.Lags(ctx, pool)
	if err != nil {
		return err
	}
	open, err := projections.OpenRebuilds(ctx, pool)
	if err != nil {
		return err
	}
	for _, m := range models {
		line := fmt.Sprintf("%s: version %d", m.Name(), m.Version())
		for _, l := range lags {
			if l.Projection == m.Name() {
				line = fmt.Sprintf("%s: version %d to %d, %d events, tables %s", m.Name(), l.Version, m.Version(), l.Position, strings.Join(m.Tables(), ", "))
			}
		}
		if r, ok := open[m.Name()]; ok && r.To == m.Version() {
			line += fmt.Sprintf("; begun, would go on at %d", r.Position)
		}
		fmt.Fprintln(out, line)
	}
	return nil
}

func (o rebuildCommandOptions) rebuild(ctx context.Context, ownerURL string, m projections.ReadModel, out, progress io.Writer) error {
	done, err := projections.Rebuild(ctx, ownerURL, m, projections.RebuildOptions{
		Log: newLog(slog.LevelWarn), VerifyOnly: o.verify, AcceptDifference: o.acceptDiffer,
		Progress: func(p projections.Progress) { fmt.Fprintln(progress, progressLine(p)) },
	})
	switch {
	case errors.Is(err, projections.ErrRebuilding):
		return &exitCode{exitBusy, err}
	case (errors.Is(err, projections.ErrDiffers) || errors.Is(err, projections.ErrParked)) && !o.verify:
		return fmt.Errorf("%w\nnothing was swapped: mend the projection, declare the change, or run it again with --accept-difference", err)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("interrupted at %s: run it again, and it goes on where it was", m.Name())
	case err != nil:
		return err
	}
	verb := "swapped in"
	if !done.Swapped {
		verb = "is what the log says"
	}
	var rows []string
	for _, t := range slices.Sorted(maps.Keys(done.Rows)) {
		rows = append(rows, fmt.Sprintf("%s %d rows", t, done.Rows[t]))
	}
	fmt.Fprintf(out, "%s version %d %s at position %d: %s; %d events in %v, %d parked\n",
		m.Name(), done.To, verb, done.Position, strings.Join(rows, ", "), done.Events, done.Took.Round(time.Millisecond), done.Parked)
	return nil
}

func progressLine(p projections.Progress) string {
	line := fmt.Sprintf("%s: %s", p.Projection, p.Phase)
	if p.Phase == "building" {
		line += fmt.Sprintf(" %d of %d, %.0f events/s", p.Position, p.Target, p.Rate)
		if p.ETA > 0 {
			line += fmt.Sprintf(", %v to go", p.ETA)
		}
		if p.Resumed {
			line += " (resumed)"
		}
	}
	return line
}

// rebuildStale rebuilds what has another version than this program, where the owner's URL is known. What fails is left to a person: the
// old rows go on serving.
func (a *app) rebuildStale(ctx context.Context) {
	stale, err := projections.Stale(ctx, a.pool, projections.All())
	if err != nil {
		if ctx.Err() == nil {
			a.log.Error("look for read models to rebuild", "err", err)
		}
		return
	}
	for _, m := range stale {
		if a.options.ownerURL == "" {
			a.log.Warn("a read model's tables hold another version: they are served as they are until `tenantpilot rebuild` is run", "projection", m.Name())
			continue
		}
		done, err := projections.Rebuild(ctx, a.options.ownerURL, m, projections.RebuildOptions{Log: a.log})
		if ctx.Err() != nil || errors.Is(err, projections.ErrRebuilding) {
			continue // the next process goes on with it, or another is at it
		}
		if err != nil {
			a.log.Error("a read model was not rebuilt: its old rows go on serving", "projection", m.Name(), "err", err)
			continue
		}
		a.log.Info("read model rebuilt", "projection", m.Name(), "version", done.To, "events", done.Events, "took", done.Took)
	}
}
