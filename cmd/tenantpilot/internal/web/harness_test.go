package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/consent"
	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The permissions that the fixture's healthy connections have been granted.
var granted = []string{"GroupMember.Read.All", "RoleManagement.Read.Directory", "Directory.Read.All", "Application.Read.All"}

// console is the whole console over HTTP, on a database of its own with the read models running. There are two workspaces: ours, with two
// tenants, and theirs, with one.
type console struct {
	db       *pgtest.DB
	pool     *pgxpool.Pool
	store    *eventstore.Store
	commands *commands.Handler
	auth     *auth.Service
	web      *web.Server
	server   *httptest.Server
	metrics  *prometheus.Registry
	contract *contract
	logs     *logs
	drain    context.CancelFunc
	faults   atomic.Pointer[map[string]error] // what Ready says
	vault    *vault

	ours, theirs     uuid.UUID
	contoso, tailspn domain.Tenant // ours
	fabrikam         domain.Tenant // theirs
	conn, foreign    domain.ProviderConnection
	// Who may come in, by name: owner, manager, operator, readonly of all our tenants; limited is an operator of tailspin only; stranger is
	// the owner of their workspace; platform is a platform person; both is an operator in both workspaces; nobody is a member of nothing.
	people map[string]uuid.UUID
}

// vault stands in for the sealed credentials: it keeps what was put, and by which fingerprint.
type vault struct {
	sync.Mutex
	secrets map[string]string
}

// Put implements web.Secrets.
func (v *vault) Put(_ context.Context, c domain.ProviderConnection, kind, secret string, expires time.Time) (domain.Credential, error) {
	v.Lock()
	defer v.Unlock()
	if secret == "" && kind != "federated" || strings.Contains(secret, "\n") {
		return domain.Credential{}, domain.InvalidField("/secret", "malformed", "This is no secret.")
	}
	known, err := domain.Credential{Kind: kind, Fingerprint: fmt.Sprintf("%d-%d", c.Number, len(v.secrets))}.EndingBy(expires, time.Now())
	if err == nil {
		v.secrets[known.Fingerprint] = secret
	}
	return known, err
}

type logs struct {
	sync.Mutex
	bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(p)
}

func (l *logs) text() string {
	l.Lock()
	defer l.Unlock()
	return l.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newConsole(t testing.TB) *console { t.Helper(); return newConsoleWith(t, func(*web.Config) {}) }

// newConsoleWith is a console that is set up a little differently.
func newConsoleWith(t testing.TB, change func(*web.Config)) *console {
	t.Helper()
	return newConsoleFor(t, auth.Config{}, change)
}

// newConsoleFor is one with other ways to sign in.
func newConsoleFor(t testing.TB, ways auth.Config, change func(*web.Config)) *console {
	t.Helper()
	db := pgtest.New(t)
	cfg, err := pgxpool.ParseConfig(db.AppURL)
	must(t, err)
	cfg.MaxConns = 24
	c := &console{db: db, ours: uuid.New(), theirs: uuid.New(), people: map[string]uuid.UUID{}, metrics: prometheus.NewRegistry(), logs: &logs{}, contract: loadContract(t), vault: &vault{secrets: map[string]string{}}}
	c.pool, err = pgxpool.NewWithConfig(t.Context(), cfg)
	must(t, err)
	t.Cleanup(c.pool.Close)
	c.store = eventstore.Open(c.pool, eventstore.Config{})
	c.commands = commands.New(c.store, nil)
	c.runLog(t)
	log := slog.New(slog.NewJSONHandler(c.logs, nil))
	ways.Log, ways.Workspace = log, func(ctx context.Context, id uuid.UUID) (domain.Workspace, error) {
		w, _, err := eventstore.Current[domain.Workspace](ctx, c.store, id)
		return w, err
	}
	c.auth = auth.New(c.pool, ways)
	draining, drain := context.WithCancel(context.Background())
	c.drain = drain
	provider, err := graph.NewClient(graph.Config{})
	must(t, err)
	config := web.Config{
		Limits: web.Limits{PerSecond: -1, StrangersPerSecond: -1}, // tests are fast callers
		Read:   projections.NewConsoleReader(c.pool), Commands: c.commands, Auth: c.auth, Log: log, Version: "test", Metrics: c.metrics,
		Secrets: c.vault, Provider: provider, Consents: consent.New(c.pool, nil),
		Changed: c.store.Sequenced, Draining: draining, Ready: func(context.Context) map[string]error {
			if faults := c.faults.Load(); faults != nil {
				return *faults
			}
			return nil
		},
	}
	change(&config)
	c.web, err = web.New(config)
	must(t, err)
	c.server = httptest.NewServer(c.web.Handler())
	t.Cleanup(func() {
		drain() // streams end
		c.server.Close()
	})
	c.populate(t)
	return c
}

func (c *console) runLog(t testing.TB) {
	engine, err := projections.NewEngine(c.store, nil, projections.All()...)
	must(t, err)
	must(t, engine.Deliver(eventstore.TopicNotifications, "notifications", projections.DeliverNotification))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- c.store.RunSequencer(ctx) }()
	go func() { done <- engine.Run(ctx) }()
	<-engine.Running()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Errorf("stop: %v", err)
		}
		c.store.Close()
	})
}

func (c *console) populate(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	for _, name := range []string{"owner", "manager", "operator", "readonly", "limited", "stranger", "both", "nobody", "platform"} {
		id, err := c.auth.CreatePerson(ctx, name+"@example.test", strings.ToUpper(name[:1])+name[1:], name == "platform")
		must(t, err)
		c.people[name] = id
	}
	us, them := domain.SystemActor(c.ours), domain.SystemActor(c.theirs)
	must(t, c.commands.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: c.ours, Name: "Ours", Owner: c.people["owner"]}))
	must(t, c.commands.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: c.theirs, Name: "Theirs", Owner: c.people["stranger"]}))
	c.contoso = c.tenant(t, us, "Contoso")
	c.tailspn = c.tenant(t, us, "Tailspin")
	c.fabrikam = c.tenant(t, them, "Fabrikam")
	for name, role := range map[string]domain.Role{
		"manager": domain.RoleManager, "operator": domain.RoleOperator, "readonly": domain.RoleReadonly, "both": domain.RoleOperator,
	} {
		must(t, c.commands.AddMember(ctx, commands.AddMember{Actor: us, Person: c.people[name], Role: role}))
	}
	must(t, c.commands.AddMember(ctx, commands.AddMember{
		Actor: us, Person: c.people["limited"], Role: domain.RoleOperator, Tenants: []uuid.UUID{c.tailspn.ID},
	}))
	must(t, c.commands.AddMember(ctx, commands.AddMember{Actor: them, Person: c.people["both"], Role: domain.RoleOperator}))
	c.conn, c.foreign = c.connect(t, us, c.contoso), c.connect(t, them, c.fabrikam)
	c.connect(t, us, c.tailspn)
	c.settle(t)
}

func (c *console) tenant(t testing.TB, actor domain.Actor, name string) domain.Tenant {
	t.Helper()
	tenant, err := c.commands.RegisterTenant(t.Context(), commands.RegisterTenant{
		Actor: actor, ExternalID: uuid.New(), Name: name, Domain: strings.ReplaceAll(strings.ToLower(name), " ", "-") + ".example",
	})
	must(t, err)
	return tenant
}

// connect gives a tenant a connection that is ready for everything, unless it is to be another.
func (c *console) connect(t testing.TB, actor domain.Actor, tenant domain.Tenant, other ...func(*commands.CreateConnection)) domain.ProviderConnection {
	t.Helper()
	ctx := t.Context()
	n := commands.CreateConnection{Actor: actor, Tenant: tenant.ExternalID, DisplayName: tenant.Name + " platform", ConnectionType: "platform", AppID: uuid.NewString()}
	for _, change := range other {
		change(&n)
	}
	conn, err := c.commands.CreateConnection(ctx, n)
	must(t, err)
	must(t, c.commands.RotateCredential(ctx, commands.RotateCredential{
		Actor: actor, Connection: conn.Number, Credential: domain.Credential{Kind: "secret", Fingerprint: "f"},
	}))
	must(t, c.commands.RecordConsent(ctx, commands.RecordConsent{Actor: actor, Connection: conn.Number, Consent: domain.ConsentIsGiven}))
	must(t, c.commands.RecordVerification(ctx, commands.RecordVerification{
		Actor: actor, Connection: conn.Number, Finding: domain.Finding{State: domain.VerificationHealthy, Granted: granted},
	}))
	return conn
}

// settle waits until every read model has everything.
func (c *console) settle(t testing.TB) {
	t.Helper()
	var seq int64
	must(t, c.pool.QueryRow(t.Context(), `select max(seq) from events`).Scan(&seq))
	ok, err := projections.Await(t.Context(), c.pool, seq, 15*time.Second, projections.All()...)
	must(t, err)
	if !ok {
		t.Fatal("the read models did not catch up within 15 s")
	}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) { // what they have sent is delivered
		var left int
		must(t, c.pool.QueryRow(t.Context(), `select count(*) from messages_notifications m where m."offset" >
			coalesce((select max(offset_acked) from message_offsets_notifications), 0)`).Scan(&left))
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the notifications were not delivered within 15 s")
		}
	}
}

// caller sends requests as somebody.
type caller struct {
	c      *console
	client *http.Client
	token  string
}

// program calls with an API token of a person, in our workspace or (stranger) theirs.
func (c *console) program(t testing.TB, name string) *caller {
	t.Helper()
	workspace := c.ours
	switch name {
	case "stranger":
		workspace = c.theirs
	case "platform":
		workspace = uuid.Nil
	}
	secret, _, err := c.auth.IssueToken(t.Context(), c.people[name], workspace, "test", time.Time{})
	must(t, err)
	return &caller{c: c, client: plainClient(nil), token: secret}
}

// browser is signed in with a link, unless name is empty.
func (c *console) browser(t testing.TB, name string) *caller {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	b := &caller{c: c, client: plainClient(jar)}
	if name == "" {
		return b
	}
	link, err := c.auth.IssueSignInLink(t.Context(), c.people[name], time.Hour)
	must(t, err)
	if res := b.send(t, "POST", link, form(url.Values{"next": {"/admin/operations"}})); res.status != http.StatusSeeOther {
		t.Fatalf("sign in: %d %s", res.status, res.body)
	}
	return b
}

func plainClient(jar http.CookieJar) *http.Client {
	return &http.Client{
		Jar: jar, Timeout: 30 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// message is what is sent besides method and address.
type message struct {
	kind, body string
	header     map[string]string
}

func jsonBody(body string) message { return message{kind: "application/json", body: body} }

func form(values url.Values) message {
	return message{kind: "application/x-www-form-urlencoded", body: values.Encode()}
}

func (m message) with(name, value string) message {
	header := map[string]string{name: value}
	for k, v := range m.header {
		header[k] = v
	}
	m.header = header
	return m
}

func accept(media string) message { return message{}.with("Accept", media) }

// response is an answer that was held against the contract.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (r response) text() string { return string(r.body) }

// send asks the console and fails the test when the answer is not one that the OpenAPI document allows.
func (a *caller) send(t testing.TB, method, path string, m ...message) response {
	t.Helper()
	res, err := a.try(t, method, path, m...)
	must(t, err)
	return res
}

func (a *caller) try(t testing.TB, method, path string, m ...message) (response, error) {
	t.Helper()
	req, body, err := a.request(t.Context(), method, path, m...)
	if err != nil {
		return response{}, err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = res.Body.Close() }()
	answered, err := io.ReadAll(res.Body)
	if err != nil {
		return response{}, err
	}
	a.c.contract.check(t, req, body, res, answered)
	if id := res.Header.Get("X-Request-Id"); uuid.Validate(id) != nil {
		t.Errorf("%s %s: X-Request-ID is %q", method, path, id)
	}
	return response{res.StatusCode, res.Header, answered}, nil
}

func (a *caller) request(ctx context.Context, method, path string, m ...message) (*http.Request, []byte, error) {
	var sent message
	if len(m) > 0 {
		sent = m[0]
	}
	body := []byte(sent.body)
	req, err := http.NewRequestWithContext(ctx, method, a.c.server.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if sent.kind != "" {
		req.Header.Set("Content-Type", sent.kind)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	} else {
		req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		if method != http.MethodGet {
			req.Header.Set("Origin", a.c.server.URL)
			req.Header.Set("Sec-Fetch-Site", "same-origin")
		}
	}
	for k, v := range sent.header {
		if v == "" {
			req.Header.Del(k)
		} else {
			req.Header.Set(k, v)
		}
	}
	return req, body, nil
}

// problem is an error as programs get it.
type problem struct {
	Type, Title, Detail, Instance, Code string
	Status                              int
	RequestID                           string `json:"request_id"`
	Errors                              []struct{ Pointer, Code, Message string }
}

func (r response) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	if got := r.header.Get("Content-Type"); got != problemJSON {
		t.Fatalf("%d with media type %q, want a problem: %s", r.status, got, clip(r.body))
	}
	must(t, json.Unmarshal(r.body, &p))
	if p.Status != r.status || p.RequestID != r.header.Get("X-Request-Id") || p.Type != "/problems/"+p.Code {
		t.Errorf("problem does not agree with its answer (%d): %s", r.status, r.body)
	}
	return p
}

// outcome is a start's answer as programs get it.
type outcome struct {
	Status, OperationType, OperatorVerb, OperatorTarget, OperatorMessage string
	ShortReason                                                          *string
	ProviderConnection                                                   *struct {
		ID              int64
		Provider, Label string
	}
	Run *struct {
		ID          int64
		URL, Status string
	}
	NextSteps []struct {
		Label                         string
		Description, Href, ActionType *string
	}
	Actions []struct {
		Label, Href string
		Kind        *string
	}
}

func (r response) outcome(t testing.TB) outcome {
	t.Helper()
	if r.status != http.StatusOK || r.header.Get("Content-Type") != outcomeJSON {
		t.Fatalf("answer is %d %s: %s", r.status, r.header.Get("Content-Type"), clip(r.body))
	}
	var o outcome
	must(t, json.Unmarshal(r.body, &o))
	return o
}

// The addresses of the fixture.

func startPath(tenant domain.Tenant, op domain.OperationType) string {
	return "/admin/t/" + tenant.ExternalID.String() + "/provider-actions/" + string(op) + "/start"
}

func connectionPath(conn domain.ProviderConnection, op domain.OperationType) string {
	return fmt.Sprintf("/admin/provider-connections/%d/actions/%s/start", conn.Number, op)
}

func groupsPath(tenant domain.Tenant) string {
	return "/admin/t/" + tenant.ExternalID.String() + "/directory/groups/sync"
}

func rolesPath(tenant domain.Tenant) string {
	return "/admin/t/" + tenant.ExternalID.String() + "/directory/role-definitions/sync"
}

func runPath(number int64) string { return fmt.Sprintf("/admin/operations/%d", number) }

// work claims the next run as a worker would, and begins it.
func (c *console) work(t testing.TB) commands.Claim {
	t.Helper()
	c.settle(t)
	item, err := projections.Claim(t.Context(), c.pool, "worker-1", time.Minute)
	must(t, err)
	if item == nil {
		t.Fatal("there is no work")
	}
	claim := commands.Claim{Workspace: item.Workspace, Run: item.Run, Token: item.Token, Worker: "worker-1"}
	_, err = c.commands.BeginRun(t.Context(), claim)
	must(t, err)
	return claim
}

func (c *console) end(t testing.TB, claim commands.Claim, e domain.Ending) {
	t.Helper()
	must(t, c.commands.EndRun(t.Context(), claim, e, nil))
	c.settle(t)
}
