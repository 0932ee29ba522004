package worker_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// TestMain also is the worker process that tests kill: see child.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(runChild())
	}
	if os.Getenv(wizardVariable) != "" {
		os.Exit(runWizard())
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("8") // these tests mostly wait
	}
	pgtest.Main(m)
}

const (
	appSecret     = "s3cret-canary-9f2c"
	childVariable = "TENANTPILOT_TEST_WORKER" // name of the worker
)

// secrets signs in to every connection with the one secret.
type secrets struct{}

func (secrets) For(context.Context, domain.ProviderConnection) (graph.Secret, error) {
	return graph.NewSecret(appSecret), nil
}

// world is a workspace in a database of its own, whose read models follow the log, and a simulated provider.
type world struct {
	t        testing.TB
	db       *pgtest.DB
	pool     *pgxpool.Pool
	store    *eventstore.Store
	commands *commands.Handler
	sim      *graphsim.Server
	simURL   string
	operator domain.Actor
	owner    domain.Actor
}

func newWorld(t testing.TB, sim graphsim.Config) *world {
	t.Helper()
	if sim.PageSize == 0 {
		sim.PageSize = 40
	}
	w := &world{t: t, db: pgtest.New(t), sim: graphsim.New(sim)}
	var err error
	w.simURL, err = w.sim.Start("")
	w.must(err)
	t.Cleanup(w.sim.Close)
	w.pool = openPool(t, w.db.AppURL)
	w.store = eventstore.Open(w.pool, eventstore.Config{})
	w.commands = commands.New(w.store, nil)
	w.follow()
	id := uuid.New()
	person := func(r domain.Role) domain.Actor {
		return domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: id, Role: r}
	}
	w.operator, w.owner = person(domain.RoleOperator), person(domain.RoleOwner)
	w.must(w.commands.CreateWorkspace(t.Context(), commands.CreateWorkspace{Workspace: id, Name: "MSP", Owner: w.owner.Ref.ID}))
	return w
}

// with is the same world, for a subtest.
func (w *world) with(t testing.TB) *world {
	same := *w
	same.t = t
	return &same
}

func openPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = 14
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// follow keeps the log in order and the read models up to date until the test ends.
func (w *world) follow() {
	engine, err := projections.NewEngine(w.store, nil, projections.Runs{}, projections.Connections{}, projections.Work{}, projections.Directory{},
		projections.ReservationList{}, projections.OnboardingList{})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- w.store.RunSequencer(ctx) }()
	go func() { done <- engine.Run(ctx) }()
	<-engine.Running()
	w.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			w.t.Errorf("stop: %v", err)
		}
		w.store.Close()
	})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// work starts a worker that ends with the test, or earlier by the function returned, which waits for it.
func (w *world) work(cfg worker.Config, credentials ...worker.Credentials) (stop func()) {
	w.t.Helper()
	if cfg.Name == "" {
		cfg.Name = "w1"
	}
	if cfg.Poll == 0 {
		cfg.Poll = 200 * time.Millisecond
	}
	var found worker.Credentials = secrets{}
	if len(credentials) > 0 {
		found = credentials[0]
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- worker.New(cfg, w.store, w.commands, newClient(w.t, w.simURL), found).Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("worker: %v", err)
		}
	}
	w.t.Cleanup(stop)
	return stop
}

func newClient(t testing.TB, url string) *graph.Client {
	client, err := graph.NewClient(graph.Config{
		LoginURL: url, GraphURL: url, Limits: graph.Limits{Backoff: 40 * time.Millisecond, BackoffCap: 200 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// tenant is a directory of the provider, and our connection to it.
type tenant struct {
	w    *world
	id   string // directory id
	ours domain.Tenant
	conn int64
	app  string
}

// tenant registers a tenant whose connection has been found healthy, with all permissions granted.
func (w *world) tenant(d graphsim.Tenant) tenant {
	w.t.Helper()
	tn := w.unverified(d)
	ctx, n := w.t.Context(), tn.conn
	w.must(w.commands.RecordConsent(ctx, commands.RecordConsent{Actor: w.owner, Connection: n, Consent: domain.ConsentIsGiven}))
	w.must(w.commands.RecordVerification(ctx, commands.RecordVerification{Actor: w.owner, Connection: n, Finding: domain.Finding{
		State: domain.VerificationHealthy, Granted: graphsim.DefaultPermissions(),
	}}))
	return tn
}

// unverified registers a tenant whose connection has a credential and was never checked.
func (w *world) unverified(d graphsim.Tenant) tenant {
	w.t.Helper()
	external := uuid.New()
	tn := tenant{w: w, id: external.String(), app: uuid.NewString()}
	d.ID, d.AppID, d.Secret = tn.id, tn.app, appSecret
	if d.Name == "" {
		d.Name = "Contoso"
	}
	w.sim.AddTenant(d)
	ctx := w.t.Context()
	var err error
	tn.ours, err = w.commands.RegisterTenant(ctx, commands.RegisterTenant{Actor: w.owner, ExternalID: external, Name: d.Name})
	w.must(err)
	c, err := w.commands.CreateConnection(ctx, commands.CreateConnection{
		Actor: w.owner, Tenant: external, DisplayName: "Platform", ConnectionType: "platform", AppID: tn.app,
	})
	w.must(err)
	tn.conn = c.Number
	w.must(w.commands.RotateCredential(ctx, commands.RotateCredential{
		Actor: w.owner, Connection: c.Number, Credential: domain.Credential{Kind: "secret", Fingerprint: "f1"},
	}))
	return tn
}

func (tn tenant) start(op domain.OperationType) commands.StartResult {
	tn.w.t.Helper()
	r, err := tn.w.commands.Start(tn.w.t.Context(), commands.Start{
		Actor: tn.w.operator, Tenant: tn.ours.ExternalID, Operation: op, Trigger: domain.TriggerOperator,
	})
	tn.w.must(err)
	return r
}

// accepted starts an operation that must be accepted.
func (tn tenant) accepted(op domain.OperationType) uuid.UUID {
	tn.w.t.Helper()
	r := tn.start(op)
	if r.Outcome != domain.Accepted {
		tn.w.t.Fatalf("start %s = %s %s, want accepted", op, r.Outcome, r.Reason)
	}
	return r.Run
}

func (tn tenant) connection() domain.ProviderConnection {
	tn.w.t.Helper()
	c, _, err := eventstore.Current[domain.ProviderConnection](tn.w.t.Context(), tn.w.store, domain.ConnectionStream(tn.conn))
	tn.w.must(err)
	return c
}

// sim changes how the tenant behaves; body is JSON of the control endpoint.
func (tn tenant) sim(body string) {
	tn.w.t.Helper()
	resp, err := http.Post(tn.w.simURL+"/_sim/tenants/"+tn.id, "application/json", strings.NewReader(body))
	tn.w.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		tn.w.t.Fatalf("change tenant: %s", resp.Status)
	}
}

func (w *world) effects(run uuid.UUID) graphsim.RunCounts { return w.sim.Effects().Runs[run.String()] }

// eventually waits until ok, for at most 20 s.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func (w *world) run(id uuid.UUID) domain.Run {
	w.t.Helper()
	r, _, err := eventstore.Current[domain.Run](context.Background(), w.store, id)
	w.must(err)
	return r
}

// history is a run's events.
func (w *world) history(run uuid.UUID) []domain.Event {
	w.t.Helper()
	stored, err := w.store.ReadStream(context.Background(), run, 0)
	w.must(err)
	events := make([]domain.Event, len(stored))
	for i, s := range stored {
		events[i], err = s.Decode()
		w.must(err)
	}
	return events
}

// ended waits for a run's end, checks that its history is sound, and returns its last event.
func (w *world) ended(run uuid.UUID) domain.RunCompleted {
	w.t.Helper()
	w.eventually("run "+run.String()+" ends", func() bool { return w.run(run).Status == domain.Completed })
	history := w.history(run)
	if err := sound(history); err != nil {
		w.t.Fatalf("run %s: %v", run, err)
	}
	return history[len(history)-1].(domain.RunCompleted)
}

// sound checks what must hold of every ended run: one end, as its last event, and each write under the token of the newest claim.
func sound(history []domain.Event) error {
	var newest int64
	for i, e := range history {
		var token int64
		switch e := e.(type) {
		case domain.RunStarted:
			if e.Token <= newest {
				return fmt.Errorf("event %d began under token %d after %d", i+1, e.Token, newest)
			}
			newest = e.Token
			continue
		case domain.RunProgressed:
			token = e.Token
		case domain.RunItemsRecorded:
			token = e.Token
		case domain.RunCompleted:
			if token = e.Token; i != len(history)-1 {
				return fmt.Errorf("ended at event %d of %d", i+1, len(history))
			}
		default:
			continue
		}
		if token != newest {
			return fmt.Errorf("event %d (%s) was written under token %d, the newest is %d", i+1, e.EventName(), token, newest)
		}
	}
	if _, ok := history[len(history)-1].(domain.RunCompleted); !ok {
		return errors.New("it did not end")
	}
	return nil
}

func (w *world) items(run uuid.UUID) []domain.Item {
	var all []domain.Item
	for _, e := range w.history(run) {
		switch e := e.(type) {
		case domain.RunStarted:
			all = nil
		case domain.RunItemsRecorded:
			all = append(all, e.Items...)
		}
	}
	return all
}

func (tn tenant) cache(kind string) projections.CacheEntry {
	tn.w.t.Helper()
	all, err := projections.DirectoryCache(tn.w.t.Context(), tn.w.pool, tn.ours.ID)
	tn.w.must(err)
	if i := slices.IndexFunc(all, func(e projections.CacheEntry) bool { return e.Kind == kind }); i >= 0 {
		return all[i]
	}
	return projections.CacheEntry{}
}

// cachedBy waits until the cache shows a run's reading.
func (tn tenant) cachedBy(run uuid.UUID, kind string) projections.CacheEntry {
	tn.w.t.Helper()
	tn.w.eventually("cache shows the reading", func() bool { return tn.cache(kind).Run == run })
	return tn.cache(kind)
}

// held waits until an answer of the provider is held back.
func (tn tenant) held() {
	tn.w.t.Helper()
	tn.w.eventually("the provider holds an answer", tn.isHeld)
}

func (tn tenant) isHeld() bool {
	tn.w.t.Helper()
	resp, err := http.Get(tn.w.simURL + "/_sim/tenants/" + tn.id)
	tn.w.must(err)
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	tn.w.must(err)
	return !strings.Contains(body.String(), `"waiting":0`)
}

// wantEnd checks how a run ended.
func wantEnd(t testing.TB, got domain.RunCompleted, outcome domain.RunOutcome, reason domain.ReasonCode) {
	t.Helper()
	if got.Outcome != outcome || got.Reason != reason {
		t.Fatalf("ended %s %q (%s; %v), want %s %q", got.Outcome, got.Reason, got.Summary, got.Diagnostics, outcome, reason)
	}
}

// runChild is a worker process: one worker on the database and the provider that the environment names, until it is killed.
func runChild() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	lease, err := time.ParseDuration(os.Getenv("TENANTPILOT_TEST_LEASE"))
	if err != nil {
		return 2
	}
	cfg, err := pgxpool.ParseConfig(os.Getenv("TENANTPILOT_TEST_DB"))
	if err != nil {
		return 2
	}
	cfg.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return 2
	}
	url := os.Getenv("TENANTPILOT_TEST_SIM")
	client, err := graph.NewClient(graph.Config{LoginURL: url, GraphURL: url})
	if err != nil {
		return 2
	}
	store := eventstore.Open(pool, eventstore.Config{})
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	w := worker.New(worker.Config{Name: os.Getenv(childVariable), Lease: lease, Poll: 50 * time.Millisecond, Log: log},
		store, commands.New(store, nil), client, secrets{})
	_ = w.Run(ctx)
	store.Close()
	pool.Close()
	return 0
}
