package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/consent"
	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations"
	"tenantpilot/projections"
)

// options say what an app is made of.
type options struct {
	databaseURL    string // of the application's role
	ownerURL       string // of the owner's, to rebuild read models of another version; empty leaves that to a person
	loginURL       string // empty: Microsoft's
	graphURL       string
	platformSecret string
	platformApp    string         // id of the application that the secret is of
	tokenFile      string         // in which the platform that we run on keeps the token of our workload identity
	logKey         *evidence.Key  // signs the log's heads; nil: they are not signed
	keyset         secrets.Source // seals credentials; nil: none can be set
	demo           bool
	publicURL      string     // where browsers reach the console; empty: wherever they say
	oidc           *auth.OIDC // the identity provider; nil: links only
	breakGlass     bool       // people may sign in with break-glass accounts
	limits         web.Limits
	behindTLS      bool // cookies are bound to the host and never sent in the clear
	lazyDisk       bool // tests: accept a server that does not flush
	log            *slog.Logger
}

// app wires the parts by hand, top to bottom: pool, store, commands, projections, web and worker. What runs is up to the caller: serve,
// work and demo start different parts of the same app, and so do the end-to-end tests.
type app struct {
	pool     *pgxpool.Pool
	store    *eventstore.Store
	commands *commands.Handler
	auth     *auth.Service
	graph    *graph.Client
	keeper   *eventstore.TreeKeeper
	secrets  *secrets.Store // nil without a keyset
	metrics  *prometheus.Registry
	options  options
	log      *slog.Logger

	unopenable error // a notice about credentials that the keyset did not open at the start

	draining context.Context // ends when the app begins to stop: streams end, readyz says so
	drain    context.CancelFunc
}

// newApp opens the parts and checks the database. It starts nothing but the store's own goroutines; Close undoes it.
func newApp(ctx context.Context, o options) (*app, error) {
	cfg, err := pgxpool.ParseConfig(o.databaseURL)
	if err != nil {
		return nil, errors.New("the database URL is malformed") // the URL may hold a password: it is never shown
	}
	cfg.MaxConns = max(cfg.MaxConns, 40)
	cfg.ConnConfig.RuntimeParams["application_name"] = "tenantpilot"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := selfCheck(ctx, pool, o.lazyDisk); err != nil {
		pool.Close()
		return nil, err
	}
	client, err := graph.NewClient(graph.Config{LoginURL: o.loginURL, GraphURL: o.graphURL})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open graph client: %w", err)
	}
	a := &app{pool: pool, graph: client, metrics: prometheus.NewRegistry(), options: o, log: o.log}
	if o.keyset != nil {
		if a.secrets, err = secrets.Open(pool, o.keyset); err != nil {
			pool.Close()
			return nil, err
		}
	}
	a.checkCredentials(ctx)
	a.draining, a.drain = context.WithCancel(context.Background())
	a.store = eventstore.Open(pool, eventstore.Config{Log: o.log})
	a.keeper = newKeeper(a.store, o)
	if err := registerLogMetrics(a.metrics, a.keeper); err != nil {
		a.Close()
		return nil, err
	}
	a.commands = commands.New(a.store, nil)
	a.commands.PlatformApp = o.platformApp
	a.auth = auth.New(pool, auth.Config{Log: o.log, Secure: o.behindTLS, OIDC: o.oidc, BreakGlass: o.breakGlass, Workspace: a.workspace})
	return a, nil
}

// Close ends what newApp opened.
func (a *app) Close() {
	a.drain()
	a.store.Close()
	a.pool.Close()
}

// runLog numbers events, keeps the read models and the log's tree until ctx ends. Every process may run it: one at a time does the work.
func (a *app) runLog(ctx context.Context) error {
	engine, err := projections.NewEngine(a.store, a.log, projections.All()...)
	if err != nil {
		return err
	}
	if err := engine.Deliver(eventstore.TopicNotifications, "notifications", projections.DeliverNotification); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.store.RunSequencer(ctx) })
	g.Go(func() error { return engine.Run(ctx) })
	g.Go(func() error { return a.keeper.Run(ctx) })
	return g.Wait()
}

// runWorker executes accepted runs until ctx ends, then hands its leases back.
func (a *app) runWorker(ctx context.Context) error {
	host, _ := os.Hostname()
	w := worker.New(worker.Config{Name: fmt.Sprintf("%s-%d", host, os.Getpid()), Log: a.log}, a.store, a.commands, a.graph, a.credentials())
	return w.Run(ctx)
}

func (a *app) credentials() credentials {
	return credentials{
		sealed: a.secrets, platform: graph.NewSecret(a.options.platformSecret), platformApp: a.options.platformApp, token: graph.NewTokenFile(a.options.tokenFile),
	}
}

// credentials finds what a connection signs in with: what its events say and nothing else.
type credentials struct {
	sealed      *secrets.Store
	platform    graph.Secret
	platformApp string
	token       graph.Secret
}

// For implements worker.Credentials.
func (c credentials) For(ctx context.Context, conn domain.ProviderConnection) (graph.Secret, error) {
	switch kind := conn.Credential.Kind; {
	case kind == domain.CredentialFederated:
		return c.token, nil
	case kind == domain.CredentialPlatform && conn.OfPlatform(c.platformApp):
		return c.platform, nil
	case kind == domain.CredentialPlatform:
		return graph.Secret{}, nil // the platform has another application by now
	case c.sealed == nil:
		return graph.Secret{}, fmt.Errorf("connection %d: this process has no keyset", conn.Number)
	}
	secret, err := c.sealed.Get(ctx, conn)
	if errors.Is(err, secrets.ErrNone) {
		return graph.Secret{}, nil
	}
	return graph.NewSecret(secret), err
}

// evidence makes proofs and packs against heads of this app's key.
func (a *app) evidence() evidenceSource {
	s := evidenceSource{tree: eventstore.OpenTree(a.pool)}
	if a.options.logKey != nil {
		s.key, s.sign, s.logKey = a.options.logKey.NoteVerifier(), a.keeper.Sign, a.options.logKey
	}
	return s
}

// console says what the console is made of. It reads behind the second wall.
func (a *app) console() web.Config {
	config := web.Config{
		Limits: a.options.limits,
		Read:   projections.NewConsoleReader(a.pool), Commands: a.commands, Auth: a.auth, Log: a.log, Demo: a.options.demo, Version: version(),
		Metrics: a.metrics, Changed: a.store.Sequenced, Draining: a.draining, Ready: a.ready,
		Provider: a.graph, Consents: consent.New(a.pool, nil), PublicURL: a.options.publicURL, BehindTLS: a.options.behindTLS,
		Evidence: a.evidence(), LogAlarm: func() string { return logAlarm(a.keeper.Status()) },
	}
	if a.secrets != nil {
		config.Secrets, config.Keyset = a.secrets, a.secrets
	}
	if a.options.logKey != nil {
		config.LogVerifier = a.options.logKey.Verifier()
	}
	return config
}

// serve answers HTTP until ctx ends: then readyz says so, streams end, and requests get 20 s to finish. On one listener it is the console, on
// the other it tells whoever asks how the process is doing; either may be nil.
func (a *app) serve(ctx context.Context, outside, inside net.Listener) error {
	console, err := web.New(a.console())
	if err != nil {
		return fmt.Errorf("make console: %w", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	if outside != nil {
		a.answer(g, gctx, outside, console.Handler())
	}
	if inside != nil {
		a.answer(g, gctx, inside, console.Inside())
	}
	return g.Wait()
}

func (a *app) answer(g *errgroup.Group, ctx context.Context, listener net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 60 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		a.drain()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		return server.Shutdown(grace)
	})
}

// ready says what keeps the app from doing its work, by name; nothing means ready.
func (a *app) ready(ctx context.Context) map[string]error {
	faults := map[string]error{}
	pending, err := migrations.Pending(ctx, a.pool)
	if err == nil && pending > 0 {
		err = fmt.Errorf("%d migrations are pending", pending)
	}
	faults["database"] = err
	lags, err := projections.Lags(ctx, a.pool)
	for _, l := range lags {
		if l.Behind > 10_000 {
			err = errors.Join(err, fmt.Errorf("%s is %d events behind", l.Projection, l.Behind))
		}
	}
	faults["projections"] = err
	faults["parked"], faults["versions"] = a.notices(ctx, lags)
	faults["credentials"] = a.unopenable
	return faults
}

// notice is something that a person should look at and that keeps nobody from being served.
type notice string

// Error implements error.
func (n notice) Error() string { return string(n) }

// StillReady tells readyz to say it and to answer 200.
func (notice) StillReady() bool { return true }

// notices says what is parked, and which read models wait for a rebuild: both are served, out of date in part or as they are.
func (a *app) notices(ctx context.Context, lags []projections.Lag) (parked, versions error) {
	var streams, stale []string
	for _, l := range lags {
		if l.Parked > 0 {
			streams = append(streams, fmt.Sprintf("%s has %d parked events", l.Projection, l.Parked))
		}
	}
	if len(streams) > 0 {
		text := strings.Join(streams, ", ")
		if first, err := projections.Parked(ctx, a.pool, 1); err == nil && len(first) > 0 {
			text += fmt.Sprintf(", the oldest at position %d; `tenantpilot projections` says why", first[0].Position)
		}
		parked = notice(text)
	}
	models, err := projections.Stale(ctx, a.pool, projections.All())
	for _, m := range models {
		stale = append(stale, m.Name())
	}
	switch {
	case err != nil:
		versions = err
	case len(stale) > 0:
		text := "run `tenantpilot rebuild`: the tables hold another version of " + strings.Join(stale, ", ")
		if open, err := projections.OpenRebuilds(ctx, a.pool); err == nil {
			for _, m := range models {
				if r := open[m.Name()]; r.State == "differs" && r.To == m.Version() {
					text += fmt.Sprintf("; the rebuild of %s was refused, `tenantpilot projections` says why", m.Name())
				}
			}
		}
		versions = notice(text)
	}
	return parked, versions
}

// workspace folds a workspace from the log; one that was not created does not exist.
func (a *app) workspace(ctx context.Context, id uuid.UUID) (domain.Workspace, error) {
	w, _, err := eventstore.Current[domain.Workspace](ctx, a.store, id)
	return w, err
}
