package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/commands"
	"tenantpilot/eventstore"
	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
	"tenantpilot/projections"
)

// drill restores a backup into a server of its own, checks it, and goes on from it. The source is only read.
type drill struct {
	dataDir  string
	dumpFile string // an existing dump; empty: one is made
	keep     string // where the dump is kept; empty: nowhere
	verifier string
	heads    []string
	asJSON   bool
	out      io.Writer
	report   drillReport
}

// drillReport is what a drill has found.
type drillReport struct {
	DumpBytes      int64   `json:"dumpBytes"`
	DumpSeconds    float64 `json:"dumpSeconds"`
	RestoreSeconds float64 `json:"restoreSeconds"`
	CheckSeconds   float64 `json:"checkSeconds"`
	Events         int64   `json:"events"`       // restored
	Signed         int64   `json:"signed"`       // of these, under a head that fits
	NextPosition   int64   `json:"nextPosition"` // given to the first new event
	CaughtUp       float64 `json:"caughtUpSeconds"`
}

func drillCommand() *cobra.Command {
	var d drill
	cmd := &cobra.Command{
		Use: "restore-drill", Short: "Restore a backup into a server of its own and see that work could go on", Args: noArgs,
		Long: `Dump the database with pg_dump (or take --dump, a custom-format dump from your backups), restore it into a fresh private server, and check
that it is worth something: the schema fits this program, the log is in order, it is the log that was signed (also by heads that were
kept elsewhere, --head), the next event gets the next position, the read models catch up, and a new head continues the old ones. Then
everything is thrown away. The source is only read.

To dump, TENANTPILOT_DATABASE_URL must be the owner's; without it the running demo is dumped. pg_dump and pg_restore are those beside
the Postgres programs that the demo uses (TENANTPILOT_PG_BIN).
Exit codes: 0 the backup can be relied on, 1 it cannot or was not checked, 2 usage.`,
		Example: `  tenantpilot restore-drill
  tenantpilot restore-drill --dump last-night.dump --head monday.note --verifier "$(cat log.pub)"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out = cmd.OutOrStdout()
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.dumpFile, "dump", "", "a dump to restore, made with pg_dump --format=custom")
	cmd.Flags().StringVar(&d.keep, "keep", "", "file to keep the dump in; it must not exist")
	cmd.Flags().StringVar(&d.verifier, "verifier", "", "the log's verifier key, as `tenantpilot keys log` prints it")
	cmd.Flags().StringArrayVar(&d.heads, "head", nil, "file with a signed head that was kept elsewhere; may be given several times")
	cmd.Flags().BoolVar(&d.asJSON, "json", false, "print the figures as JSON")
	dataDirFlag(cmd, &d.dataDir)
	return cmd
}

func (d *drill) run(ctx context.Context) (err error) {
	cfg, err := loadConfig()
	if err != nil {
		return err
	}
	text, err := verifierText(cfg, d.dataDir, d.verifier)
	if err != nil {
		return err
	}
	key, err := evidence.ParseVerifier(text)
	if err != nil {
		return usage(err)
	}
	v := logVerification{key: key}
	if err := v.readHeads("", d.heads); err != nil {
		return err
	}
	bin, err := pgembed.Locate(ctx, nil)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tenantpilot-drill-")
	if err != nil {
		return fmt.Errorf("make a place for the drill: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the server's account passes through
		return fmt.Errorf("make a place for the drill: %w", err)
	}
	if d.dumpFile == "" {
		if err := d.dump(ctx, cfg, bin, filepath.Join(dir, "dump")); err != nil {
			return err
		}
	}
	server, err := pgembed.Start(ctx, pgembed.Config{DataDir: filepath.Join(dir, "server")})
	if err != nil {
		return fmt.Errorf("start a fresh server: %w", err)
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := d.restore(ctx, bin, server); err != nil {
		return err
	}
	if err := d.check(ctx, server, v); err != nil {
		return err
	}
	return d.goOn(ctx, server, v)
}

// dump writes a dump of the source, readable only by us: it has everything that the database has.
func (d *drill) dump(ctx context.Context, cfg config, bin pgembed.Binaries, path string) error {
	source, err := databaseURL(ctx, cfg, d.dataDir, pgembed.OwnerRole)
	if err != nil {
		return err
	}
	holder, err := pgx.Connect(ctx, source)
	if err != nil {
		return fmt.Errorf("open database to dump: %w", err)
	}
	defer func() { _ = holder.Close(context.WithoutCancel(ctx)) }()
	if err := projections.HoldSwaps(ctx, holder); err != nil {
		return err
	}
	began := time.Now()
	if d.keep != "" {
		path = d.keep
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make dump file: %w", err)
	}
	err = pgTool(ctx, bin, "pg_dump", source, f, "--format=custom", "--no-owner",
		"--exclude-schema=rebuild_*", "--exclude-schema=retired_*") // what a rebuild makes and drops, perhaps at this moment
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	d.dumpFile, d.report.DumpSeconds = path, time.Since(began).Seconds()
	return nil
}

func (d *drill) restore(ctx context.Context, bin pgembed.Binaries, server *pgembed.Server) error {
	info, err := os.Stat(d.dumpFile)
	if err != nil {
		return usage(fmt.Errorf("find dump: %w", err))
	}
	began := time.Now()
	err = pgTool(ctx, bin, "pg_restore", server.OwnerURL(pgembed.Database), io.Discard,
		"--exit-on-error", "--single-transaction", "--no-owner", "--dbname="+pgembed.Database, d.dumpFile)
	if err != nil {
		return err
	}
	d.report.DumpBytes, d.report.RestoreSeconds = info.Size(), time.Since(began).Seconds()
	d.say("restored %.1f MB into a fresh server in %.1f s", float64(info.Size())/1e6, d.report.RestoreSeconds)
	return nil
}

// pgTool runs a Postgres program on a database. The password goes by the environment, where other users cannot see it.
func pgTool(ctx context.Context, bin pgembed.Binaries, name, databaseURL string, out io.Writer, args ...string) error {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return errors.New("the database URL is malformed") // it may hold a password: it is never shown
	}
	c := cfg.ConnConfig
	cmd := exec.CommandContext(ctx, filepath.Join(bin.Dir, name), args...) //nolint:gosec // a program of the server's
	cmd.Env = append(os.Environ(), "PGHOST="+c.Host, fmt.Sprintf("PGPORT=%d", c.Port), "PGUSER="+c.User, "PGPASSWORD="+c.Password, "PGDATABASE="+c.Database)
	if parsed, err := url.Parse(databaseURL); err == nil && parsed.Query().Get("sslmode") != "" {
		cmd.Env = append(cmd.Env, "PGSSLMODE="+parsed.Query().Get("sslmode"))
	}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// check holds the restored database against this program, the log's promises and the heads.
func (d *drill) check(ctx context.Context, server *pgembed.Server, v logVerification) error {
	began := time.Now()
	applied, err := migrations.Apply(ctx, server.OwnerURL(pgembed.Database))
	if err != nil {
		return err
	}
	if len(applied) > 0 {
		d.say("brought the schema up to date: %d migrations", len(applied))
	}
	if err := analyze(ctx, server.OwnerURL(pgembed.Database)); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, server.AuditorURL(pgembed.Database))
	if err != nil {
		return fmt.Errorf("open restored database: %w", err)
	}
	defer pool.Close()
	order, err := eventstore.CheckOrder(ctx, pool)
	if err != nil {
		return err
	}
	if len(order.Faults) > 0 {
		return fmt.Errorf("the restored log is not in order: %s", order.Faults[0].Text)
	}
	v.tree = eventstore.OpenTree(pool)
	found, err := v.run(ctx)
	if err != nil {
		return err
	}
	if len(found.Faults) > 0 {
		return fmt.Errorf("the restored log is not the one that was signed: %w", &found.Faults[0])
	}
	d.report.Events, d.report.Signed, d.report.CheckSeconds = order.Events, found.Signed, time.Since(began).Seconds()
	d.say("%d events in order, the log that was signed up to position %d (%d heads, %d from elsewhere)",
		order.Events, found.Signed, found.Heads, found.Outside)
	return nil
}

// analyze gives a restored database the statistics that a dump does not have: without them reading the log plans badly.
func analyze(ctx context.Context, ownerURL string) error {
	conn, err := pgx.Connect(ctx, ownerURL)
	if err != nil {
		return fmt.Errorf("open restored database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `analyze`); err != nil {
		return fmt.Errorf("analyze restored database: %w", err)
	}
	return nil
}

// goOn starts what serve starts, on the restored database, and lets something happen.
func (d *drill) goOn(ctx context.Context, server *pgembed.Server, v logVerification) error {
	a, err := newApp(ctx, options{databaseURL: server.AppURL(pgembed.Database), log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer a.Close()
	running, stop := context.WithCancel(ctx)
	g, running := errgroup.WithContext(running)
	g.Go(func() error { return a.runLog(running) })
	defer func() {
		stop()
		_ = g.Wait() // it ends because it was stopped
	}()
	began, workspace := time.Now(), uuid.New()
	if err := a.commands.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: workspace, Name: "Restore drill", Owner: uuid.New()}); err != nil {
		return fmt.Errorf("append to the restored log: %w", err)
	}
	events, err := a.store.ReadStream(ctx, workspace, 0)
	if err != nil {
		return err
	}
	var seq int64
	if err := a.pool.QueryRow(ctx, `select max(seq) from events where stream = $1`, workspace).Scan(&seq); err != nil {
		return fmt.Errorf("find the new events: %w", err)
	}
	ok, err := projections.Await(ctx, a.pool, seq, time.Minute, projections.All()...)
	if err != nil || !ok {
		return errors.Join(err, errors.New("the read models of the restored database do not catch up"))
	}
	d.report.CaughtUp = time.Since(began).Seconds()
	last, err := a.store.PositionOf(ctx, seq)
	if err != nil {
		return err
	}
	d.report.NextPosition = last - int64(len(events)) + 1
	if d.report.NextPosition != d.report.Events+1 {
		return fmt.Errorf("after %d events the next one got position %d", d.report.Events, d.report.NextPosition)
	}
	v.tree = eventstore.OpenTree(a.pool)
	if again, err := v.run(ctx); err != nil || len(again.Faults) > 0 || again.Events != last {
		return errors.Join(err, fmt.Errorf("the log that went on does not verify: %+v", again.Faults))
	}
	d.say("work goes on: the next event got position %d, the read models had it after %.1f s", d.report.NextPosition, d.report.CaughtUp)
	if d.asJSON {
		return json.NewEncoder(d.out).Encode(d.report)
	}
	fmt.Fprintln(d.out, "the backup can be relied on")
	return nil
}

func (d *drill) say(format string, args ...any) {
	if !d.asJSON {
		fmt.Fprintf(d.out, format+"\n", args...)
	}
}
