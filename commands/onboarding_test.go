package commands_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// person is somebody of the workspace, in the log too.
func (w *world) person(t testing.TB, role domain.Role) domain.Actor {
	t.Helper()
	a := w.actor(role)
	must(t, w.handlers[0].AddMember(t.Context(), commands.AddMember{Actor: w.system, Person: a.Ref.ID, Role: role}))
	return a
}

// onboard begins a session for the world's tenant with its connection chosen.
func (w *world) onboard(t testing.TB, who domain.Actor) int64 {
	t.Helper()
	r, _, err := w.handlers[0].StartOnboarding(t.Context(), commands.StartOnboarding{Actor: who, ExternalID: w.tenant.ExternalID, Name: "Contoso"})
	must(t, err)
	_, _, err = w.handlers[0].ChooseConnection(t.Context(), commands.ChooseConnection{Actor: who, Session: r.Number})
	must(t, err)
	return r.Number
}

func (w *world) session(t testing.TB, directory uuid.UUID) domain.OnboardingSession {
	t.Helper()
	s, _, err := eventstore.Current[domain.OnboardingSession](t.Context(), w.stores[1], domain.OnboardingStream(w.workspace, directory))
	must(t, err)
	return s
}

// TestOneOnboardingPerDirectory: 16 callers in two processes begin, of whom one opens the session and all the others resume it.
func TestOneOnboardingPerDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	manager, directory := w.actor(domain.RoleManager), uuid.New()
	c := commands.StartOnboarding{Actor: manager, ExternalID: directory, Name: "Fabrikam", Domain: "fabrikam.example", Groups: []string{"North"}}
	var mu sync.Mutex
	fresh, numbers := 0, map[int64]bool{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			r, _, err := w.handlers[i%2].StartOnboarding(t.Context(), c)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			if numbers[r.Number] = true; !r.Resumed {
				fresh++
			}
			if r.Tenant.Name != "Fabrikam" || !slices.Equal(r.Tenant.Groups, []string{"North"}) || r.Session.Owner != manager.Ref {
				t.Errorf("tenant %+v, owner %v", r.Tenant, r.Session.Owner)
			}
		})
	}
	wg.Wait()
	if fresh != 1 || len(numbers) != 1 || w.count(t, "OnboardingStarted") != 1 || w.count(t, "TenantRegistered") != 2 {
		t.Errorf("%d began, under numbers %v; %d started, %d tenants", fresh, numbers, w.count(t, "OnboardingStarted"), w.count(t, "TenantRegistered"))
	}
}

// TestUpsertOrResume: the owner corrects what was entered; somebody else, and a tenant that was managed before, change nothing.
func TestUpsertOrResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	ada, grace := w.actor(domain.RoleManager), w.actor(domain.RoleManager)
	start := func(who domain.Actor, name string) commands.OnboardingResult {
		t.Helper()
		r, _, err := h.StartOnboarding(ctx, commands.StartOnboarding{Actor: who, ExternalID: w.tenant.ExternalID, Name: name})
		must(t, err)
		return r
	}
	first := start(ada, "Another name")
	if first.Resumed || first.Tenant.Name != "Contoso" {
		t.Errorf("resumed %v, the managed tenant is called %q", first.Resumed, first.Tenant.Name)
	}
	if r := start(grace, "Graces"); !r.Resumed || r.Tenant.Name != "Contoso" || r.Session.Owner != ada.Ref || r.Number != first.Number {
		t.Errorf("somebody else: %+v", r)
	}
	if r := start(ada, "Contoso Ltd"); !r.Resumed || r.Tenant.Name != "Contoso Ltd" {
		t.Errorf("the owner: %+v", r)
	}
	must1(t)(h.TakeOverOnboarding(ctx, commands.TakeOverOnboarding{Actor: grace, Session: first.Number}))
	if s := w.session(t, w.tenant.ExternalID); s.Owner != grace.Ref || w.count(t, "OnboardingTakenOver") != 1 {
		t.Errorf("owner %v after the take-over", s.Owner)
	}
	must1(t)(h.AbandonOnboarding(ctx, commands.AbandonOnboarding{Actor: grace, Session: first.Number, Reason: "wrong customer"}))
	if r := start(ada, "Contoso"); r.Resumed || r.Number != first.Number || r.Session.Owner != ada.Ref {
		t.Errorf("an abandoned one begins anew under its number: %+v", r)
	}
	_, err := h.CompleteOnboarding(ctx, commands.CompleteOnboarding{Actor: ada, Session: first.Number})
	if !isKind(err, domain.Conflict) {
		t.Errorf("completed without a connection: %v", err)
	}
	w.onboard(t, ada)
	must1(t)(h.CompleteOnboarding(ctx, commands.CompleteOnboarding{Actor: ada, Session: first.Number}))
	if r := start(grace, "x"); !r.Resumed || r.Session.State != domain.OnboardingDone {
		t.Errorf("a completed one: %+v", r)
	}
}

// must1 fails on an error and drops the seq.
func must1(t testing.TB) func(int64, error) {
	t.Helper()
	return func(_ int64, err error) { t.Helper(); must(t, err) }
}

func TestOnboardingConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	ada := w.actor(domain.RoleManager)
	r, _, err := h.StartOnboarding(ctx, commands.StartOnboarding{Actor: ada, ExternalID: uuid.New(), Name: "Fabrikam"})
	must(t, err)
	if _, _, err := h.ChooseConnection(ctx, commands.ChooseConnection{Actor: ada, Session: r.Number}); !isKind(err, domain.Invalid) {
		t.Errorf("no default: %v", err)
	}
	if _, _, err := h.ChooseConnection(ctx, commands.ChooseConnection{Actor: ada, Session: r.Number, Connection: w.conn.Number}); !isKind(err, domain.NotFound) {
		t.Errorf("another tenant's: %v", err)
	}
	create := commands.CreateOnboardingConnection{Actor: ada, Session: r.Number, DisplayName: "Fabrikam", ConnectionType: "platform", AppID: "app"}
	first, _, err := h.CreateOnboardingConnection(ctx, create)
	must(t, err)
	second, _, err := h.CreateOnboardingConnection(ctx, create)
	must(t, err)
	if !first.Default || second.Default || w.session(t, r.Session.ExternalID).Connection != second.Connection.Number {
		t.Errorf("default %v, then %v; the session has %d", first.Default, second.Default, w.session(t, r.Session.ExternalID).Connection)
	}
	back, _, err := h.ChooseConnection(ctx, commands.ChooseConnection{Actor: ada, Session: r.Number})
	must(t, err)
	if !back.Default || back.Connection.Number != first.Connection.Number {
		t.Errorf("the default is %d, chosen %+v", first.Connection.Number, back)
	}
}

// TestOnboardingIsCheckedInOrder: what may not be seen is absent before it is forbidden, and forbidden before it is somebody else's.
func TestOnboardingIsCheckedInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	ada := w.actor(domain.RoleManager)
	number := w.onboard(t, ada)
	foreign, elsewhere, platform := w.actor(domain.RoleOwner), w.actor(domain.RoleOwner), domain.Actor{Platform: true}
	foreign.Workspace, elsewhere.Tenants = uuid.New(), []uuid.UUID{uuid.New()}
	conn := w.conn.Number
	commandsOf := map[string]func(domain.Actor, int64) error{
		"choose": func(a domain.Actor, n int64) error {
			_, _, err := h.ChooseConnection(ctx, commands.ChooseConnection{Actor: a, Session: n, Connection: conn})
			return err
		},
		"create": func(a domain.Actor, n int64) error {
			_, _, err := h.CreateOnboardingConnection(ctx, commands.CreateOnboardingConnection{Actor: a, Session: n})
			return err
		},
		"check": func(a domain.Actor, n int64) error {
			_, err := h.StartOnboardingCheck(ctx, commands.StartOnboardingCheck{Actor: a, Session: n})
			return err
		},
		"bootstrap": func(a domain.Actor, n int64) error {
			_, err := h.StartBootstrap(ctx, commands.StartBootstrap{Actor: a, Session: n, Connection: conn, Operations: []string{"directory_groups.sync"}})
			return err
		},
		"complete": func(a domain.Actor, n int64) error {
			_, err := h.CompleteOnboarding(ctx, commands.CompleteOnboarding{Actor: a, Session: n})
			return err
		},
		"abandon": func(a domain.Actor, n int64) error {
			_, err := h.AbandonOnboarding(ctx, commands.AbandonOnboarding{Actor: a, Session: n})
			return err
		},
		"stop": func(a domain.Actor, n int64) error {
			_, err := h.StopBootstrap(ctx, commands.StopBootstrap{Actor: a, Session: n})
			return err
		},
		"take over": func(a domain.Actor, n int64) error {
			_, err := h.TakeOverOnboarding(ctx, commands.TakeOverOnboarding{Actor: a, Session: n})
			return err
		},
	}
	before := w.events(t)
	for name, do := range commandsOf {
		for who, a := range map[string]domain.Actor{"foreign": foreign, "without the tenant": elsewhere, "platform": platform} {
			if err := do(a, number); !isKind(err, domain.NotFound) {
				t.Errorf("%s, %s: %v, want not found", name, who, err)
			}
		}
		if err := do(ada, 999); !isKind(err, domain.NotFound) {
			t.Errorf("%s, no such session: %v, want not found", name, err)
		}
		if err := do(w.actor(domain.RoleOperator), number); !isKind(err, domain.Forbidden) {
			t.Errorf("%s, operator: %v, want forbidden", name, err)
		}
		if name == "stop" || name == "take over" {
			continue
		}
		if err := do(w.actor(domain.RoleManager), number); !isKind(err, domain.Conflict) && name != "create" {
			t.Errorf("%s, somebody else: %v, want conflict", name, err)
		}
	}
	if after := w.events(t); after != before {
		t.Errorf("refused requests appended %d events", after-before)
	}
	start := commands.StartOnboarding{Actor: elsewhere, ExternalID: w.tenant.ExternalID, Name: "x"}
	if _, _, err := h.StartOnboarding(ctx, start); !isKind(err, domain.NotFound) {
		t.Errorf("a directory out of sight: %v", err)
	}
	start.Actor = w.actor(domain.RoleOperator)
	if _, _, err := h.StartOnboarding(ctx, start); !isKind(err, domain.Forbidden) {
		t.Errorf("an operator begins: %v", err)
	}
}

func (w *world) bootstrap(t testing.TB, who domain.Actor, session int64, attempt uuid.UUID, ops ...domain.OperationType) commands.BootstrapResult {
	t.Helper()
	c := commands.StartBootstrap{Actor: who, Session: session, Attempt: attempt, Connection: w.conn.Number}
	for _, o := range ops {
		c.Operations = append(c.Operations, string(o))
	}
	b, err := w.handlers[0].StartBootstrap(t.Context(), c)
	must(t, err)
	return b
}

// TestBootstrapIsAdmittedInOrder: the first is accepted at once, each of the rest when its predecessor ends, and the same attempt again is
// answered from what was recorded.
func TestBootstrapIsAdmittedInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ada := w.person(t, domain.RoleManager)
	number, attempt := w.onboard(t, ada), uuid.New()
	ops := []domain.OperationType{domain.OpGroupsSync, domain.OpRoleDefinitionsSync}
	b := w.bootstrap(t, ada, number, attempt, ops...)
	if b.Outcome != domain.Accepted || b.Accepted == nil || *b.Accepted != ops[0] || !slices.Equal(b.Pending, ops[1:]) || len(b.Blocked) != 0 {
		t.Fatalf("outcome %s of %s, accepted %v, pending %v", b.Outcome, b.Operation.Type, b.Accepted, b.Pending)
	}
	if len(b.Runs) != 1 || b.Runs[0] != b.RunNumber {
		t.Errorf("runs %v, want %d", b.Runs, b.RunNumber)
	}
	before := w.events(t)
	again, err := w.handlers[1].StartBootstrap(ctx, commands.StartBootstrap{
		Actor: ada, Session: number, Attempt: attempt, Connection: w.conn.Number, Operations: []string{string(ops[0]), string(ops[1])},
	})
	must(t, err)
	if !again.Replayed || again.Outcome != b.Outcome || again.Run != b.Run || !slices.Equal(again.Pending, b.Pending) || !slices.Equal(again.Runs, b.Runs) || w.events(t) != before {
		t.Errorf("again %+v, %d events more", again, w.events(t)-before)
	}
	_, err = w.handlers[1].StartBootstrap(ctx, commands.StartBootstrap{
		Actor: ada, Session: number, Attempt: attempt, Connection: w.conn.Number, Operations: []string{string(ops[1])},
	})
	if !isKind(err, domain.KeyReused) {
		t.Errorf("the same attempt for something else: %v", err)
	}
	if _, _, err := w.handlers[0].CreateOnboardingConnection(ctx, commands.CreateOnboardingConnection{
		Actor: ada, Session: number, DisplayName: "Other", ConnectionType: "platform", AppID: "x",
	}); !isKind(err, domain.Conflict) {
		t.Errorf("left a connection for which operations wait: %v", err)
	}
	w.end(t, b.Run, 1)
	n, err := w.handlers[1].AdmitNext(ctx, w.workspace, w.conn.Number)
	must(t, err)
	again, err = w.handlers[1].StartBootstrap(ctx, commands.StartBootstrap{
		Actor: ada, Session: number, Attempt: attempt, Connection: w.conn.Number, Operations: []string{string(ops[0]), string(ops[1])},
	})
	must(t, err)
	if n != 1 || len(again.Pending) != 0 || len(again.Runs) != 2 || again.RunNumber != b.RunNumber {
		t.Errorf("%d admitted; again: pending %v, runs %v", n, again.Pending, again.Runs)
	}
	w.wantReceipts(t)
}

// TestABlockedOperationIsPassedOver and the others go on, at the start and when a turn comes.
func TestABlockedOperationIsPassedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.person(t, domain.RoleManager)
	number := w.onboard(t, ada)
	verify := func(granted ...string) {
		must(t, w.handlers[0].RecordVerification(t.Context(), commands.RecordVerification{
			Actor: w.system, Connection: w.conn.Number, Finding: domain.Finding{State: domain.VerificationHealthy, Granted: granted},
		}))
	}
	verify("RoleManagement.Read.Directory")
	b := w.bootstrap(t, ada, number, uuid.New(), domain.OpGroupsSync, domain.OpRoleDefinitionsSync)
	if b.Outcome != domain.Accepted || *b.Accepted != domain.OpRoleDefinitionsSync || len(b.Pending) != 0 || len(b.Blocked) != 1 ||
		b.Blocked[0].Operation != domain.OpGroupsSync || b.Blocked[0].Reason != domain.ReasonProviderPermissionMissing {
		t.Fatalf("%+v", b)
	}
	// One is blocked again, the other joins the same work.
	attempt := uuid.New()
	joined := w.bootstrap(t, ada, number, attempt, domain.OpGroupsSync, domain.OpRoleDefinitionsSync)
	if joined.Outcome != domain.Deduped || joined.Accepted != nil || joined.RunNumber != b.RunNumber || len(joined.Pending) != 0 || len(joined.Blocked) != 1 {
		t.Errorf("%s of run %d, accepted %v, pending %v, blocked %v", joined.Outcome, joined.RunNumber, joined.Accepted, joined.Pending, joined.Blocked)
	}
	again := w.bootstrap(t, ada, number, attempt, domain.OpGroupsSync, domain.OpRoleDefinitionsSync)
	if !again.Replayed || again.Outcome != domain.Deduped || again.RunNumber != b.RunNumber || len(again.Pending) != 0 || len(again.Blocked) != 1 {
		t.Errorf("again %+v", again)
	}
	// Behind other work it waits, and is blocked when its turn comes.
	must1(t)(w.handlers[0].CancelRun(t.Context(), commands.CancelRun{Actor: ada, Run: b.Run}))
	verify("GroupMember.Read.All", "RoleManagement.Read.Directory")
	other, err := w.handlers[0].Start(t.Context(), commands.Start{Actor: ada, Operation: domain.OpGroupsSync, Connection: w.conn.Number})
	must(t, err)
	attempt = uuid.New()
	busy := w.bootstrap(t, ada, number, attempt, domain.OpRoleDefinitionsSync)
	if busy.Outcome != domain.Busy || busy.RunNumber != other.RunNumber || len(busy.Pending) != 1 {
		t.Errorf("%s of run %d, pending %v", busy.Outcome, busy.RunNumber, busy.Pending)
	}
	verify("GroupMember.Read.All")
	must1(t)(w.handlers[0].CancelRun(t.Context(), commands.CancelRun{Actor: ada, Run: other.Run}))
	_, err = w.handlers[1].AdmitNext(t.Context(), w.workspace, w.conn.Number)
	must(t, err)
	again = w.bootstrap(t, ada, number, attempt, domain.OpRoleDefinitionsSync)
	if !again.Replayed || again.Outcome != busy.Outcome || again.RunNumber != other.RunNumber || len(again.Pending) != 0 || len(again.Blocked) != 1 {
		t.Errorf("again %+v", again)
	}
	w.wantReceipts(t)
}

// TestSelectedAgainItJoins: what is running when it is selected once more, as from a tab that was left open, joins its run, and what waits is
// not put in again: nothing runs twice.
func TestSelectedAgainItJoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.person(t, domain.RoleManager)
	number, attempt := w.onboard(t, ada), uuid.New()
	ops := []domain.OperationType{domain.OpGroupsSync, domain.OpRoleDefinitionsSync}
	first := w.bootstrap(t, ada, number, uuid.New(), ops...)
	for range 2 { // the second time it is the same attempt
		again := w.bootstrap(t, ada, number, attempt, ops...)
		if again.Outcome != domain.Deduped || again.RunNumber != first.RunNumber || again.Accepted != nil || !slices.Equal(again.Pending, ops[1:]) ||
			!slices.Equal(again.Runs, []int64{first.RunNumber}) {
			t.Errorf("%s of run %d, accepted %v, pending %v, runs %v", again.Outcome, again.RunNumber, again.Accepted, again.Pending, again.Runs)
		}
	}
	run := first.Run
	for token := int64(1); ; token++ {
		w.end(t, run, token)
		_, err := w.handlers[1].AdmitNext(t.Context(), w.workspace, w.conn.Number)
		must(t, err)
		conn, _, err := w.handlers[0].Connection(t.Context(), w.system, w.conn.Number)
		must(t, err)
		if run = conn.Scope.Run; !conn.Scope.Held() {
			break
		}
	}
	if n := w.count(t, "RunAccepted"); n != 2 {
		t.Errorf("%d runs of two operations", n)
	}
	w.wantReceipts(t)
}

// TestTheRestIsStopped by somebody else with the capability, and by abandoning; what runs goes on.
func TestTheRestIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	ada, grace := w.person(t, domain.RoleManager), w.actor(domain.RoleManager)
	number := w.onboard(t, ada)
	b := w.bootstrap(t, ada, number, uuid.New(), domain.OpGroupsSync, domain.OpRoleDefinitionsSync)
	must1(t)(h.StopBootstrap(ctx, commands.StopBootstrap{Actor: grace, Session: number}))
	if seq, err := h.StopBootstrap(ctx, commands.StopBootstrap{Actor: grace, Session: number}); err != nil || seq != 0 {
		t.Errorf("stopped twice: %d, %v", seq, err)
	}
	w.bootstrap(t, ada, number, uuid.New(), domain.OpRoleDefinitionsSync)
	must1(t)(h.AbandonOnboarding(ctx, commands.AbandonOnboarding{Actor: ada, Session: number}))
	w.end(t, b.Run, 1)
	n, err := h.AdmitNext(ctx, w.workspace, w.conn.Number)
	must(t, err)
	if n != 0 || w.count(t, "RunAccepted") != 1 || w.count(t, "BootstrapStopped") != 2 {
		t.Errorf("%d admitted, %d runs, %d stops", n, w.count(t, "RunAccepted"), w.count(t, "BootstrapStopped"))
	}
	w.wantReceipts(t)
}

// wantReceipts checks that the outcomes that sessions recorded are those of their attempts' receipts.
func (w *world) wantReceipts(t testing.TB) {
	t.Helper()
	store := w.stores[0]
	rows, err := store.Pool().Query(t.Context(), `select distinct stream from events`)
	must(t, err)
	streams, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	must(t, err)
	var stored []eventstore.Event
	for _, id := range streams {
		events, err := store.ReadStream(t.Context(), id, 0)
		must(t, err)
		stored = append(stored, events...)
	}
	type receipt struct {
		outcome domain.Outcome
		reason  domain.ReasonCode
		run     int64
	}
	receipts, recorded := map[uuid.UUID]receipt{}, map[uuid.UUID]receipt{}
	for _, s := range stored {
		decoded, err := s.Decode()
		must(t, err)
		switch e := decoded.(type) {
		case domain.RunAccepted:
			receipts[e.Attempt] = receipt{domain.Accepted, "", e.Number}
		case domain.RunDeduped:
			receipts[e.Attempt] = receipt{domain.Deduped, "", e.Holder.RunNumber}
		case domain.ScopeBusy:
			receipts[e.Attempt] = receipt{domain.Busy, "", e.Holder.RunNumber}
		case domain.StartBlocked:
			receipts[e.Attempt] = receipt{domain.IsBlocked, e.Reason, 0}
		case domain.BootstrapOperationAdmitted:
			recorded[domain.ReservationAttempt(e.Reservation)] = receipt{e.Outcome, e.Reason, e.RunNumber}
		case domain.VerificationRequested:
			recorded[e.Attempt] = receipt{e.Outcome, e.Reason, e.RunNumber}
		}
	}
	if len(recorded) == 0 {
		t.Error("the sessions recorded nothing")
	}
	for attempt, got := range recorded {
		if got != receipts[attempt] {
			t.Errorf("attempt %s: the session says %v, the receipt %v", attempt, got, receipts[attempt])
		}
	}
}

// TestOnboardingCheck: a start like any other, which the session records in the same append.
func TestOnboardingCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	ada := w.person(t, domain.RoleManager)
	r, _, err := h.StartOnboarding(ctx, commands.StartOnboarding{Actor: ada, ExternalID: w.tenant.ExternalID, Name: "Contoso"})
	must(t, err)
	c := commands.StartOnboardingCheck{Actor: ada, Session: r.Number, Attempt: uuid.New()}
	if _, err := h.StartOnboardingCheck(ctx, c); !isKind(err, domain.Conflict) {
		t.Errorf("without a connection: %v", err)
	}
	w.onboard(t, ada)
	other := w.conn.Number + 1
	c.Connection = &other
	if _, err := h.StartOnboardingCheck(ctx, c); !isKind(err, domain.NotFound) && !isKind(err, domain.Invalid) {
		t.Errorf("another connection: %v", err)
	}
	c.Connection = &w.conn.Number
	first, err := h.StartOnboardingCheck(ctx, c)
	must(t, err)
	again, err := w.handlers[1].StartOnboardingCheck(ctx, c)
	must(t, err)
	if first.Outcome != domain.Accepted || !again.Replayed || again.Run != first.Run || w.count(t, "VerificationRequested") != 1 {
		t.Errorf("first %s, again %s of run %d", first.Outcome, again.Outcome, again.RunNumber)
	}
	c.Attempt = uuid.New()
	joined, err := h.StartOnboardingCheck(ctx, c)
	must(t, err)
	if joined.Outcome != domain.Deduped || joined.RunNumber != first.RunNumber || w.count(t, "VerificationRequested") != 2 {
		t.Errorf("joined: %s %d", joined.Outcome, joined.RunNumber)
	}
	w.wantReceipts(t)
}

// TestOnboardingAtRandom does what people and workers do in any order, in two processes, and holds against it what must always be so: the
// outcomes that the session recorded are those of the receipts, and each selected operation has one end or waits.
func TestOnboardingAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TENANTPILOT_TEST_SEED"); s != "" {
		_, err := fmt.Sscan(s, &seed)
		must(t, err)
	}
	t.Logf("TENANTPILOT_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	ctx := t.Context()
	people := []domain.Actor{w.person(t, domain.RoleManager), w.person(t, domain.RoleOwner)}
	ops := []string{string(domain.OpGroupsSync), string(domain.OpRoleDefinitionsSync)}
	number := w.onboard(t, people[0])
	token := int64(0)
	step := func() error {
		h, who := w.handlers[r.IntN(2)], people[r.IntN(2)]
		switch n := r.IntN(20); {
		case n < 6:
			r.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
			_, err := h.StartBootstrap(ctx, commands.StartBootstrap{Actor: who, Session: number, Connection: w.conn.Number, Operations: ops[:1+r.IntN(2)]})
			return err
		case n < 11:
			conn, _, err := h.Connection(ctx, w.system, w.conn.Number)
			if err != nil || !conn.Scope.Held() {
				return err
			}
			token++
			claim := commands.Claim{Workspace: w.workspace, Run: conn.Scope.Run, Token: token, Worker: "w"}
			if b, err := h.BeginRun(ctx, claim); err != nil || b.Blocked != "" {
				return err
			}
			outcome := []domain.RunOutcome{domain.Succeeded, domain.Failed, domain.PartiallySucceeded}[r.IntN(3)]
			return h.EndRun(ctx, claim, domain.Ending{Outcome: outcome}, nil)
		case n < 15:
			_, err := h.AdmitNext(ctx, w.workspace, w.conn.Number)
			return err
		case n == 15:
			return h.SetConnectionEnabled(ctx, commands.SetConnectionEnabled{Actor: w.system, Connection: w.conn.Number, Enabled: r.IntN(3) > 0, Reason: "x"})
		case n == 16:
			_, err := h.StopBootstrap(ctx, commands.StopBootstrap{Actor: who, Session: number})
			return err
		case n == 17:
			_, err := h.TakeOverOnboarding(ctx, commands.TakeOverOnboarding{Actor: who, Session: number})
			return err
		case n == 18:
			_, err := h.StartOnboardingCheck(ctx, commands.StartOnboardingCheck{Actor: who, Session: number})
			return err
		}
		if r.IntN(3) > 0 {
			return nil
		}
		if _, err := h.AbandonOnboarding(ctx, commands.AbandonOnboarding{Actor: who, Session: number}); err != nil {
			return err
		}
		_, _, err := h.StartOnboarding(ctx, commands.StartOnboarding{Actor: who, ExternalID: w.tenant.ExternalID, Name: "Contoso"})
		if err == nil {
			_, _, err = h.ChooseConnection(ctx, commands.ChooseConnection{Actor: who, Session: number})
		}
		return err
	}
	for i := range 150 {
		if err := step(); err != nil {
			if _, refused := domain.AsRefusal(err); !refused {
				t.Fatalf("step %d: %v", i, err)
			}
		}
	}
	w.wantReceipts(t)
	selected, ended, admitted := w.count(t, "StartReserved"), w.count(t, "ReservationEnded"), 0
	must(t, w.stores[0].Pool().QueryRow(ctx, `select count(*) from events where name = 'ReservationEnded' and payload ->> 'end' = 'admitted'`).Scan(&admitted))
	queue, _, err := eventstore.Current[domain.Reservations](ctx, w.stores[0], domain.ReservationStream(w.conn.ID))
	must(t, err)
	if selected != ended+len(queue.Waiting) || admitted != w.count(t, "BootstrapOperationAdmitted") {
		t.Errorf("%d selected, %d ended, %d wait; %d admitted, %d recorded", selected, ended, len(queue.Waiting), admitted, w.count(t, "BootstrapOperationAdmitted"))
	}
	t.Logf("%d selected, %d of them admitted, %d runs", selected, admitted, w.count(t, "RunAccepted"))
}
