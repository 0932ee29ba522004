package commands_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// world is a workspace with one healthy tenant, and two handlers on two stores: two processes on one database.
type world struct {
	stores    []*eventstore.Store
	handlers  []*commands.Handler
	workspace uuid.UUID
	system    domain.Actor
	tenant    domain.Tenant
	conn      domain.ProviderConnection
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db := pgtest.New(t)
	w := &world{workspace: uuid.New()}
	for range 2 {
		s := eventstore.Open(db.Pool(t), eventstore.Config{})
		t.Cleanup(s.Close)
		w.stores, w.handlers = append(w.stores, s), append(w.handlers, commands.New(s, nil))
	}
	w.system = domain.SystemActor(w.workspace)
	ctx, h := t.Context(), w.handlers[0]
	must(t, h.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: w.workspace, Name: "MSP", Owner: uuid.New()}))
	var err error
	w.tenant, err = h.RegisterTenant(ctx, commands.RegisterTenant{Actor: w.system, ExternalID: uuid.New(), Name: "Contoso"})
	must(t, err)
	w.conn = w.connect(t)
	return w
}

func (w *world) connect(t testing.TB) domain.ProviderConnection {
	t.Helper()
	ctx, h := t.Context(), w.handlers[0]
	conn, err := h.CreateConnection(ctx, commands.CreateConnection{
		Actor: w.system, Tenant: w.tenant.ExternalID, DisplayName: "Contoso platform", ConnectionType: "platform", AppID: "app",
	})
	must(t, err)
	must(t, h.RotateCredential(ctx, commands.RotateCredential{
		Actor: w.system, Connection: conn.Number, Credential: domain.Credential{Kind: "secret", Fingerprint: "f"},
	}))
	must(t, h.RecordConsent(ctx, commands.RecordConsent{Actor: w.system, Connection: conn.Number, Consent: domain.ConsentIsGiven}))
	must(t, h.RecordVerification(ctx, commands.RecordVerification{Actor: w.system, Connection: conn.Number, Finding: domain.Finding{
		State: domain.VerificationHealthy, Granted: []string{"GroupMember.Read.All", "RoleManagement.Read.Directory"},
	}}))
	return conn
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) actor(role domain.Role) domain.Actor {
	return domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: w.workspace, Role: role}
}

func (w *world) start(op domain.OperationType) commands.Start {
	return commands.Start{Actor: w.actor(domain.RoleOperator), Tenant: w.tenant.ExternalID, Operation: op, Trigger: domain.TriggerOperator}
}

// count reads how many events of a name there are.
func (w *world) count(t testing.TB, names ...string) (n int) {
	t.Helper()
	must(t, w.stores[0].Pool().QueryRow(t.Context(), `select count(*) from events where name = any($1)`, names).Scan(&n))
	return n
}

// TestConcurrentStartsOnOneConnection: 64 callers in two processes; exactly one is accepted, and each attempt leaves exactly one receipt.
func TestConcurrentStartsOnOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	outcomes := map[domain.Outcome]int{}
	runs := map[int64]bool{}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			op := []domain.OperationType{domain.OpGroupsSync, domain.OpRoleDefinitionsSync}[i%2]
			r, err := w.handlers[i%2].Start(t.Context(), w.start(op))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			outcomes[r.Outcome]++
			runs[r.RunNumber] = true
		})
	}
	wg.Wait()
	if outcomes[domain.Accepted] != 1 || outcomes[domain.Deduped]+outcomes[domain.Busy] != 63 || len(runs) != 1 {
		t.Errorf("outcomes %v about runs %v; want one accepted, and everybody told of that run", outcomes, runs)
	}
	if n := w.count(t, "RunAccepted", "RunDeduped", "ScopeBusy", "StartBlocked"); n != 64 {
		t.Errorf("%d receipts for 64 attempts", n)
	}
	if n := w.count(t, "ScopeAcquired"); n != 1 {
		t.Errorf("the scope was taken %d times", n)
	}
}

func TestAnAttemptHasOneAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start(domain.OpGroupsSync)
	c.Attempt = uuid.New()
	first, err := w.handlers[0].Start(t.Context(), c)
	must(t, err)
	again, err := w.handlers[1].Start(t.Context(), c)
	must(t, err)
	if first.Outcome != domain.Accepted || !again.Replayed || again.Outcome != first.Outcome || again.RunNumber != first.RunNumber || again.Run != first.Run {
		t.Errorf("first %s %d, again %s %d (replayed %v)", first.Outcome, first.RunNumber, again.Outcome, again.RunNumber, again.Replayed)
	}
	other := c
	other.Operation = domain.OpRoleDefinitionsSync
	_, err = w.handlers[0].Start(t.Context(), other)
	if refusal, ok := domain.AsRefusal(err); !ok || refusal.Kind != domain.KeyReused {
		t.Errorf("the same attempt with another operation: %v", err)
	}
	blocked := w.start(domain.OpGroupsSync)
	blocked.Attempt = uuid.New()
	must(t, w.handlers[0].HoldTenant(t.Context(), commands.HoldTenant{Actor: w.actor(domain.RoleOwner), Tenant: w.tenant.ExternalID, Reason: "freeze"}))
	refused, err := w.handlers[0].Start(t.Context(), blocked)
	must(t, err)
	must(t, w.handlers[1].ReleaseTenant(t.Context(), commands.ReleaseTenant{Actor: w.actor(domain.RoleOwner), Tenant: w.tenant.ExternalID, Reason: "over"}))
	still, err := w.handlers[1].Start(t.Context(), blocked)
	must(t, err)
	if refused.Reason != domain.ReasonTenantOnHold || still.Reason != refused.Reason || !still.Replayed {
		t.Errorf("refused %s, then %s (replayed %v); an attempt keeps its answer", refused.Reason, still.Reason, still.Replayed)
	}
}

func TestForecastIsTheSameAnswerAndLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start(domain.OpGroupsSync)
	before := w.events(t)
	forecast, err := w.handlers[1].Forecast(t.Context(), c)
	must(t, err)
	if after := w.events(t); after != before {
		t.Errorf("a forecast appended %d events", after-before)
	}
	real, err := w.handlers[0].Start(t.Context(), c)
	must(t, err)
	if forecast.Outcome != real.Outcome || forecast.Facts.Rule != real.Facts.Rule {
		t.Errorf("forecast %s by rule %d, start %s by rule %d", forecast.Outcome, forecast.Facts.Rule, real.Outcome, real.Facts.Rule)
	}
	joined, err := w.handlers[1].Forecast(t.Context(), c)
	must(t, err)
	if joined.Outcome != domain.Deduped || joined.RunNumber != real.RunNumber {
		t.Errorf("forecast in the other process = %s %d, want to join %d", joined.Outcome, joined.RunNumber, real.RunNumber)
	}
}

func (w *world) events(t testing.TB) (n int) {
	t.Helper()
	must(t, w.stores[0].Pool().QueryRow(t.Context(), `select count(*) from events`).Scan(&n))
	return n
}

// TestVisibilityComesBeforePermissionBeforeInput: what an actor may not know of is absent, whatever else is wrong.
func TestVisibilityComesBeforePermissionBeforeInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	foreigner := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: uuid.New(), Role: domain.RoleOwner}
	elsewhere := w.actor(domain.RoleOwner)
	elsewhere.Tenants = []uuid.UUID{uuid.New()}
	platform := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Platform: true}
	bad := map[string]string{"noSuchInput": "x"}
	for _, c := range []struct {
		name   string
		change func(*commands.Start)
		want   domain.Kind
	}{
		{"another workspace", func(s *commands.Start) { s.Actor, s.Inputs = foreigner, bad }, domain.NotFound},
		{"another workspace, by connection", func(s *commands.Start) { s.Actor, s.Tenant, s.Connection = foreigner, uuid.Nil, w.conn.Number }, domain.NotFound},
		{"a member without the tenant", func(s *commands.Start) { s.Actor = elsewhere }, domain.NotFound},
		{"a platform actor", func(s *commands.Start) { s.Actor = platform }, domain.NotFound},
		{"an unknown operation", func(s *commands.Start) { s.Operation = "no.such" }, domain.NotFound},
		{"an operation without a worker", func(s *commands.Start) { s.Operation = domain.OpRestoreExecute }, domain.NotFound},
		{"an unknown connection", func(s *commands.Start) { s.Connection = 999 }, domain.NotFound},
		{"a reader, with bad input", func(s *commands.Start) { s.Actor, s.Inputs = w.actor(domain.RoleReadonly), bad }, domain.Forbidden},
		{"an operator, with bad input", func(s *commands.Start) { s.Inputs = bad }, domain.Invalid},
	} {
		s := w.start(domain.OpGroupsSync)
		c.change(&s)
		_, err := w.handlers[0].Start(t.Context(), s)
		if refusal, ok := domain.AsRefusal(err); !ok || refusal.Kind != c.want {
			t.Errorf("%s: %v, want kind %d", c.name, err, c.want)
		}
		_, err = w.handlers[0].Forecast(t.Context(), s)
		if refusal, ok := domain.AsRefusal(err); !ok || refusal.Kind != c.want {
			t.Errorf("%s, forecast: %v, want kind %d", c.name, err, c.want)
		}
	}
	if n := w.count(t, "RunAccepted", "StartBlocked"); n != 0 {
		t.Errorf("%d receipts of refused requests", n)
	}
}

// TestARunFromClaimToEnd: begin, fence, end; the scope is free again in the append that ends the run.
func TestARunFromClaimToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := w.handlers[0].Start(t.Context(), w.start(domain.OpGroupsSync))
	must(t, err)
	claim := func(token int64) commands.Claim {
		return commands.Claim{Workspace: w.workspace, Run: r.Run, Token: token, Worker: fmt.Sprint("w", token)}
	}
	_, err = w.handlers[0].BeginRun(t.Context(), claim(7))
	must(t, err)
	_, err = w.handlers[1].BeginRun(t.Context(), claim(8)) // the first worker was lost
	must(t, err)
	if err := w.handlers[0].EndRun(t.Context(), claim(7), domain.Ending{Outcome: domain.Succeeded}, nil); err == nil {
		t.Error("an overtaken worker ended the run")
	}
	must(t, w.handlers[1].EndRun(t.Context(), claim(8), domain.Ending{Outcome: domain.Succeeded}, nil))
	conn, _, err := eventstore.Current[domain.ProviderConnection](t.Context(), w.stores[0], domain.ConnectionStream(w.conn.Number))
	must(t, err)
	if conn.Scope.Held() {
		t.Error("the scope is still held after the end")
	}
	if n := w.count(t, "RunRecovered"); n != 1 {
		t.Errorf("%d recoveries, want 1", n)
	}
	next, err := w.handlers[0].Start(t.Context(), w.start(domain.OpGroupsSync))
	must(t, err)
	if next.Outcome != domain.Accepted || next.Run == r.Run {
		t.Errorf("the next start is %s", next.Outcome)
	}
}

// TestARunIsAskedAgainBeforeItBegins: the connection was disabled between acceptance and claim.
func TestARunIsAskedAgainBeforeItBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := w.handlers[0].Start(t.Context(), w.start(domain.OpGroupsSync))
	must(t, err)
	must(t, w.handlers[1].SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{
		Actor: w.actor(domain.RoleManager), Connection: w.conn.Number, Reason: "contract ended",
	}))
	begun, err := w.handlers[0].BeginRun(t.Context(), commands.Claim{Workspace: w.workspace, Run: r.Run, Token: 1, Worker: "w"})
	must(t, err)
	run, _, err := eventstore.Current[domain.Run](t.Context(), w.stores[1], r.Run)
	must(t, err)
	if begun.Blocked != domain.ReasonProviderConnectionDisabled || run.Outcome != domain.BlockedRun {
		t.Errorf("begun: blocked by %q, run %s", begun.Blocked, run.Outcome)
	}
}

// TestCancelling: a queued run ends at once and frees the scope; nobody but an operator of the workspace may ask.
func TestCancelling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := w.handlers[0].Start(t.Context(), w.start(domain.OpConnectionCheck))
	must(t, err)
	_, err = w.handlers[0].CancelRun(t.Context(), commands.CancelRun{Actor: w.actor(domain.RoleReadonly), Run: r.Run})
	if refusal, ok := domain.AsRefusal(err); !ok || refusal.Kind != domain.Forbidden {
		t.Errorf("a reader cancelled: %v", err)
	}
	_, err = w.handlers[1].CancelRun(t.Context(), commands.CancelRun{Actor: w.actor(domain.RoleOperator), Run: r.Run})
	must(t, err)
	conn, _, err := eventstore.Current[domain.ProviderConnection](t.Context(), w.stores[0], domain.ConnectionStream(w.conn.Number))
	must(t, err)
	if conn.Scope.Held() || conn.Verification != domain.VerificationHealthy {
		t.Errorf("after the cancel: held %v, verification %s; want free, and as it was before the check", conn.Scope.Held(), conn.Verification)
	}
}

func TestARejectedContextReturnsQuickly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if _, err := w.handlers[0].Start(ctx, w.start(domain.OpGroupsSync)); err == nil {
		t.Error("a start with a cancelled context succeeded")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
