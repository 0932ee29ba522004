package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
	"tenantpilot/projections"
)

// demoSecret is the simulated platform app's client secret. It opens nothing but the simulator.
const demoSecret = "demo-platform-secret" //nolint:gosec // of the simulator, on loopback

type demo struct {
	listen, dataDir string
	ownerURL        string
	fresh           bool
	out             io.Writer
	log             *slog.Logger
}

func demoCommand() *cobra.Command {
	var d demo
	var verbose bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Run everything on this machine: database, simulator, console, worker, sample data", Args: noArgs,
		Long: `Start a private Postgres, a simulated Microsoft Graph, the console and a worker, with sample data, and print a sign-in link.

The data stays in --data-dir for the next start. demo.json there (mode 0600) tells tools where everything is. Ctrl-C stops it all.

TENANTPILOT_DATABASE_URL (application's role) with TENANTPILOT_OWNER_DATABASE_URL uses an existing server instead of the private one.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelInfo
			}
			d.out, d.log = cmd.OutOrStdout(), newLog(level)
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:8080", "address to listen on; port 0 picks one")
	cmd.Flags().BoolVar(&d.fresh, "fresh", false, "throw the sample data away and begin again")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log every request")
	dataDirFlag(cmd, &d.dataDir)
	return cmd
}

func (d *demo) run(ctx context.Context) error {
	listener, err := net.Listen("tcp", d.listen)
	if err != nil {
		return fmt.Errorf("listen on %s (choose another address with --listen): %w", d.listen, err)
	}
	defer func() { _ = listener.Close() }()
	databaseURL, stop, err := d.database(ctx)
	if err != nil {
		return err
	}
	defer stop()
	sim := graphsim.New(graphsim.Config{Latency: 150 * time.Millisecond})
	defer sim.Close()
	graphURL, err := d.simulator(sim)
	if err != nil {
		return fmt.Errorf("start simulator: %w", err)
	}
	for _, t := range append(demoTenants(), demoProspect()) {
		sim.AddTenant(t.simulated(demoSecret))
	}
	key, err := d.logKey()
	if err != nil {
		return err
	}
	keyset, err := demoKeyset(d.dataDir)
	if err != nil {
		return err
	}
	a, err := newApp(ctx, options{
		logKey: key, databaseURL: databaseURL, ownerURL: d.ownerURL, loginURL: graphURL, graphURL: graphURL, platformSecret: demoSecret, platformApp: demoApp, keyset: secrets.File(keyset), demo: true, log: d.log,
	})
	if err != nil {
		return err
	}
	defer a.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.runLog(ctx) })
	g.Go(func() error {
		file, err := d.prepare(ctx, a)
		if err != nil {
			return err
		}
		if err := a.keeper.Sign(ctx); err != nil { // so that there is a head to look at
			d.log.Error("sign the log", "err", err)
		}
		file.BaseURL, file.GraphURL, file.DatabaseURL = "http://"+listener.Addr().String(), graphURL, databaseURL
		file.SignInURL = file.BaseURL + file.SignInURL
		g.Go(func() error { return a.serve(ctx, listener, nil) })
		g.Go(func() error { return a.runWorker(ctx) })
		g.Go(func() error { a.rebuildStale(ctx); return nil })
		if err := file.write(filepath.Join(d.dataDir, demoFileName)); err != nil {
			return err
		}
		d.welcome(file)
		return nil
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// database starts the private server, or takes the existing one, and brings the schema up to date.
func (d *demo) database(ctx context.Context) (url string, stop func(), err error) {
	cfg, err := loadConfig()
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(d.dataDir, 0o700); err != nil {
		return "", nil, fmt.Errorf("make data directory: %w", err)
	}
	if cfg.DatabaseURL != "" {
		owner := cfg.OwnerDatabaseURL
		if owner == "" {
			return "", nil, errors.New("set TENANTPILOT_OWNER_DATABASE_URL too: the schema is brought up to date as the database's owner")
		}
		d.ownerURL = owner
		_, err := migrations.Apply(ctx, owner)
		return cfg.DatabaseURL, func() {}, err
	}
	if d.fresh {
		if err := pgembed.Remove(ctx, d.dataDir); err != nil {
			return "", nil, err
		}
		for _, name := range []string{demoFileName, logKeyName, logVerifierName} {
			_ = os.Remove(filepath.Join(d.dataDir, name))
		}
	}
	server, err := pgembed.Start(ctx, pgembed.Config{DataDir: d.dataDir, Log: d.log})
	if err != nil {
		return "", nil, err
	}
	stop = func() {
		if err := server.Stop(); err != nil {
			d.log.Error("stop postgres", "err", err)
		}
	}
	d.ownerURL = server.OwnerURL(pgembed.Database)
	if _, err := migrations.Apply(ctx, d.ownerURL); err != nil {
		stop()
		return "", nil, err
	}
	return server.AppURL(pgembed.Database), stop, nil
}

// simulator listens where it did the last time, so that delta links of earlier runs stay good; elsewhere if that port is taken.
func (d *demo) simulator(sim *graphsim.Server) (string, error) {
	if last, err := readDemoFile(filepath.Join(d.dataDir, demoFileName)); err == nil && last.GraphURL != "" {
		if base, err := sim.Start(last.GraphURL[len("http://"):]); err == nil {
			return base, nil
		}
	}
	return sim.Start("127.0.0.1:0")
}

// prepare seeds the data on the first start, finds it on the next, and draws a fresh sign-in link for the workspace's owner.
func (d *demo) prepare(ctx context.Context, a *app) (demoFile, error) {
	people, err := d.people(ctx, a)
	if err != nil {
		return demoFile{}, err
	}
	file, err := readDemoFile(filepath.Join(d.dataDir, demoFileName))
	msp, seedErr := a.workspace(ctx, demoID("workspace", demoMSP))
	if seedErr != nil {
		return file, seedErr
	}
	if !msp.Exists() {
		if err := d.seed(ctx, a, people); err != nil {
			return file, err
		}
	}
	if err != nil || !msp.Exists() {
		if file, err = d.describe(ctx, a, people); err != nil {
			return file, err
		}
	}
	file.SignInURL, err = a.auth.IssueSignInLink(ctx, people[demoUsers[0].email], 24*time.Hour)
	return file, err
}

func (d *demo) people(ctx context.Context, a *app) (map[string]uuid.UUID, error) {
	people := make(map[string]uuid.UUID, len(demoUsers))
	for _, u := range demoUsers {
		id, err := a.auth.CreatePerson(ctx, u.email, u.name, u.role == "platform")
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", u.email, err)
		}
		people[u.email] = id
	}
	return people, nil
}

func (d *demo) seed(ctx context.Context, a *app, people map[string]uuid.UUID) error {
	s := &seeder{store: a.store, secrets: a.secrets, people: people, now: time.Now().UTC()}
	if err := s.workspaces(ctx); err != nil {
		return err
	}
	if err := s.seedTenants(ctx); err != nil {
		return err
	}
	var last int64
	for _, t := range s.tenants {
		if t.connection == nil || !t.connection.check {
			continue
		}
		r, err := a.commands.Start(ctx, commands.Start{
			Actor: domain.SystemActor(demoID("workspace", t.workspace)), Tenant: t.externalID(), Operation: domain.OpConnectionCheck,
			Surface: "demo.seed", Trigger: domain.TriggerSystem,
		})
		if err != nil {
			return err
		}
		last = r.Seq
	}
	_, err := projections.Await(ctx, a.pool, last, 10*time.Second, projections.All()...)
	return err
}

// describe writes down who and what there is. Tokens are shown once, here: only their hashes are in the database.
func (d *demo) describe(ctx context.Context, a *app, people map[string]uuid.UUID) (demoFile, error) {
	var f demoFile
	for _, u := range demoUsers {
		var workspace uuid.UUID
		if u.workspace != "" {
			workspace = demoID("workspace", u.workspace)
		}
		token, _, err := a.auth.IssueToken(ctx, people[u.email], workspace, "demo", time.Time{})
		if err != nil {
			return f, fmt.Errorf("issue token for %s: %w", u.email, err)
		}
		f.Users = append(f.Users, demoFileUser{Email: u.email, Role: u.role, Workspace: u.workspace, Token: token})
	}
	for _, t := range demoTenants() {
		actor := domain.SystemActor(demoID("workspace", t.workspace))
		row, err := projections.TenantByExternalID(ctx, a.pool, actor, t.externalID())
		if err != nil {
			return f, fmt.Errorf("find tenant %s: %w", t.name, err)
		}
		f.Tenants = append(f.Tenants, demoFileTenant{
			ExternalID: t.externalID().String(), ID: row.Number, Name: t.name, Workspace: t.workspace,
			ConnectionID: row.DefaultConnection, Scenario: t.scenario,
		})
	}
	return f, nil
}

func (d *demo) welcome(f demoFile) {
	fmt.Fprintf(d.out, `
TenantPilot demo is ready.

  Sign in (once, within 24 hours):  %s
  Console:                          %s
  Simulated Microsoft Graph:        %s
  Users, tokens, tenants:           %s
  To onboard:                       %s (%s), app id %s, secret %s

Ctrl-C stops everything; the data stays for the next start (--fresh begins again).
`, f.SignInURL, f.BaseURL, f.GraphURL, filepath.Join(d.dataDir, demoFileName),
		demoProspect().name, demoProspect().externalID(), demoApp, demoSecret)
}

// followDemo points an app at the running demo's simulator.
func (o *options) followDemo(dataDir string) {
	f, err := readDemoFile(filepath.Join(dataDir, demoFileName))
	if err != nil || o.graphURL != "" {
		return
	}
	o.loginURL, o.graphURL, o.platformSecret, o.platformApp, o.demo = f.GraphURL, f.GraphURL, demoSecret, demoApp, true
	path := filepath.Join(dataDir, demoKeysetName)
	if _, err := os.Stat(path); err == nil && o.keyset == nil {
		o.keyset = secrets.File(path)
	}
}
