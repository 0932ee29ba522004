package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure the product on this machine", Args: noArgs}
	cmd.AddCommand(benchStartCommand())
	return cmd
}

// benchOptions are the flags of bench start.
type benchOptions struct {
	connections     int
	seconds, rounds int
	callers         []int
	cells           []string
	asJSON, live    bool
	profile         string
	diskDelay       time.Duration
}

// The columns of the table: what one cell measures. The pgbench ones are what the others are compared with.
const (
	benchAccept     = "accept"
	benchRefuse     = "refuse"
	benchHot        = "hot"
	benchHTTP       = "http"
	benchPgbench    = "pgbench"
	benchPgbenchHot = "pgbench-hot"
)

var benchCells = []string{benchAccept, benchRefuse, benchHot, benchHTTP, benchPgbench, benchPgbenchHot}

func benchStartCommand() *cobra.Command {
	o := benchOptions{}
	cmd := &cobra.Command{
		Use: "start", Short: "Measure start attempts next to the least that a database could do", Args: noArgs,
		Long: `Start attempts per second and their latency, on a private Postgres with fsync on that is removed afterwards.

  accept       starts on free connections, one each; when all are taken the clock stops and the runs are ended
  refuse       starts on connections without consent: one "blocked" receipt each
  hot          all callers on one connection that is taken: deduped and scope_busy in turn
  http         accept through the console's HTTP server with a bearer token, client and server in this process
  pgbench      one statement per transaction: a head row updated, two event rows of about 600 B inserted
  pgbench-hot  the same, all clients on one head row

Rounds alternate, and every ratio is taken within a round, so that a busy machine hurts both sides. Trust ratios before rates.`,
		Example: "  tenantpilot bench start\n  tenantpilot bench start --callers 1,32 --seconds 5 --rounds 5 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return usage(err)
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.connections, "connections", 2048, "free connections that accept draws from; more of them means fewer, longer slices")
	f.IntVar(&o.seconds, "seconds", 3, "measured time per cell and round")
	f.IntVar(&o.rounds, "rounds", 3, "rounds; the table shows medians")
	f.IntSliceVar(&o.callers, "callers", []int{1, 8, 32, 64}, "callers at once")
	f.StringSliceVar(&o.cells, "cells", benchCells, "what to measure")
	f.BoolVar(&o.live, "live", true, "also measure once with sequencer and projections running")
	f.BoolVar(&o.asJSON, "json", false, "print the result as one JSON object")
	f.DurationVar(&o.diskDelay, "disk-delay", 0, "let every flush to disk take this much longer, as on a slower disk (up to 100ms)")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of this process over all measured cells to this file")
	return cmd
}

func (o *benchOptions) check() error {
	for _, c := range o.cells {
		if !slices.Contains(benchCells, c) {
			return fmt.Errorf("--cells: there is no %q; there are %q", c, benchCells)
		}
	}
	if len(o.callers) == 0 || slices.Min(o.callers) < 1 || slices.Max(o.callers) > 128 {
		return errors.New("--callers takes numbers from 1 to 128")
	}
	if o.connections < slices.Max(o.callers) {
		return fmt.Errorf("--connections must be at least the most callers, %d", slices.Max(o.callers))
	}
	if o.diskDelay < 0 || o.diskDelay > 100*time.Millisecond {
		return errors.New("--disk-delay takes 0 to 100ms")
	}
	if o.rounds < 1 || o.seconds < 1 {
		return errors.New("--rounds and --seconds must be at least 1")
	}
	return nil
}

func (o *benchOptions) run(ctx context.Context, out, progress io.Writer) (err error) {
	server, remove, err := benchServer(ctx, o.diskDelay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	b, err := newBench(ctx, o, server, progress)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.seed(ctx); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	if o.profile != "" {
		stop, err := benchProfile(o.profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if o.asJSON {
		return report.json(out)
	}
	return report.table(out)
}

// benchServer starts a Postgres of its own in a temporary directory: flushing to disk like any real one, with checkpoints kept out of
// the measured time for us and for pgbench alike.
func benchServer(ctx context.Context, diskDelay time.Duration) (_ *pgembed.Server, remove func() error, err error) {
	dir, err := os.MkdirTemp("", "tenantpilot-bench-")
	if err != nil {
		return nil, nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // the account that runs Postgres has to get in
		return nil, nil, errors.Join(fmt.Errorf("open data directory: %w", err), os.RemoveAll(dir))
	}
	server, err := pgembed.Start(ctx, pgembed.Config{DataDir: dir, Settings: map[string]string{
		"max_wal_size": "8GB", "checkpoint_timeout": "1h",
		"commit_delay": strconv.FormatInt(diskDelay.Microseconds(), 10), "commit_siblings": "0",
	}})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	remove = func() error {
		return errors.Join(server.Stop(), pgembed.Remove(context.WithoutCancel(ctx), dir))
	}
	if _, err := migrations.Apply(ctx, server.OwnerURL(pgembed.Database)); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return server, remove, nil
}

func benchProfile(name string) (stop func() error, err error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("write profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// bench is one run: a server, our product on it, and pgbench beside it.
type bench struct {
	*app
	options  *benchOptions
	server   *pgembed.Server
	progress io.Writer
	load     benchLoad
	minimum  *pgbenchMinimum
}

func newBench(ctx context.Context, o *benchOptions, server *pgembed.Server, progress io.Writer) (*bench, error) {
	a, err := newApp(ctx, options{databaseURL: server.AppURL(pgembed.Database), limits: web.Limits{PerSecond: -1}, log: newLog(slog.LevelWarn)})
	if err != nil {
		return nil, err
	}
	b := &bench{app: a, options: o, server: server, progress: progress}
	if b.minimum, err = newPgbenchMinimum(ctx, server); err != nil {
		a.Close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	b.minimum.close()
	b.Close()
}

// measure runs all rounds. The order of the cells turns with the round, so that none always follows the same one.
func (b *bench) measure(ctx context.Context) (_ *benchReport, err error) {
	r, err := newBenchReport(ctx, b)
	if err != nil {
		return nil, err
	}
	if b.options.live { // first, while there is no backlog to catch up with
		if r.Live, err = b.measureLive(ctx); err != nil {
			return nil, fmt.Errorf("with sequencer and projections: %w", err)
		}
	}
	console, err := newBenchHTTPTarget(ctx, b.app, &b.load)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, console.close()) }()
	for round := range b.options.rounds {
		for _, callers := range b.options.callers {
			for i := range b.options.cells {
				cell := b.options.cells[(i+round)%len(b.options.cells)]
				m, err := b.cell(ctx, console, cell, callers)
				if err != nil {
					return nil, fmt.Errorf("%s with %d callers: %w", cell, callers, err)
				}
				fmt.Fprintf(b.progress, "round %d  %2d callers  %-11s %8.0f/s  p50 %s  p99 %s\n",
					round+1, callers, cell, m.Rate, benchMillis(m.P50), benchMillis(m.P99))
				r.add(cell, callers, m)
			}
		}
	}
	if err := r.sizes(ctx, b.pool); err != nil {
		return nil, err
	}
	return r, nil
}

// cell measures one thing once.
func (b *bench) cell(ctx context.Context, console *benchHTTPTarget, cell string, callers int) (benchMeasure, error) {
	d := time.Duration(b.options.seconds) * time.Second
	switch cell {
	case benchAccept:
		return b.accept(ctx, callers, d, b.startAccepted)
	case benchHTTP:
		return b.accept(ctx, callers, d, console.startAccepted)
	case benchRefuse:
		return b.refuse(ctx, callers, d)
	case benchHot:
		return b.hot(ctx, callers, d)
	case benchPgbench:
		return b.minimum.run(ctx, callers, b.options.seconds, false)
	}
	return b.minimum.run(ctx, callers, b.options.seconds, true)
}

// settle writes dirty pages out and ends a round of vacuuming, so that a measurement does not pay for what came before it.
func (b *bench) settle(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.server.SuperuserURL(pgembed.Database))
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{"vacuum analyze", "checkpoint"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	return nil
}
