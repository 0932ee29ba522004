package projections_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// fixture is a workspace with a healthy tenant, on a store whose projections run.
type fixture struct {
	pool      *pgxpool.Pool
	store     *eventstore.Store
	commands  *commands.Handler
	workspace uuid.UUID
	person    uuid.UUID
	operator  domain.Actor
	tenant    domain.Tenant
	conn      domain.ProviderConnection
	// What twoWorkspaces adds.
	invited uuid.UUID
	token   uuid.UUID
	checked int64 // the run of a check that has found something
}

func newFixture(t testing.TB, extra ...projections.Projection) *fixture {
	t.Helper()
	return newFixtureOf(t, append(projections.All(), extra...)...)
}

func newFixtureOf(t testing.TB, all ...projections.Projection) *fixture {
	t.Helper()
	return newFixtureAt(t, pgtest.New(t), all...)
}

func newFixtureAt(t testing.TB, db *pgtest.DB, all ...projections.Projection) *fixture {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(db.AppURL)
	must(t, err)
	cfg.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	must(t, err)
	t.Cleanup(pool.Close)
	f := &fixture{pool: pool, store: eventstore.Open(pool, eventstore.Config{}), workspace: uuid.New(), person: uuid.New()}
	f.commands = commands.New(f.store, nil)
	f.run(t, all)
	f.operator = domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: f.person}, Workspace: f.workspace, Role: domain.RoleOperator}
	f.populate(t)
	return f
}

func (f *fixture) run(t testing.TB, all []projections.Projection) {
	engine, err := projections.NewEngine(f.store, nil, all...)
	must(t, err)
	must(t, engine.Deliver(eventstore.TopicNotifications, "notifications", projections.DeliverNotification))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- f.store.RunSequencer(ctx) }()
	go func() { done <- engine.Run(ctx) }()
	<-engine.Running()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Errorf("stop: %v", err)
		}
		f.store.Close()
	})
}

func (f *fixture) populate(t testing.TB) {
	t.Helper()
	ctx, system := t.Context(), domain.SystemActor(f.workspace)
	must(t, f.commands.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: f.workspace, Name: "MSP", Owner: uuid.New()}))
	must(t, f.commands.AddMember(ctx, commands.AddMember{Actor: system, Person: f.person, Role: domain.RoleOperator}))
	var err error
	f.tenant, err = f.commands.RegisterTenant(ctx, commands.RegisterTenant{Actor: system, ExternalID: uuid.New(), Name: "Contoso"})
	must(t, err)
	f.conn, err = f.commands.CreateConnection(ctx, commands.CreateConnection{
		Actor: system, Tenant: f.tenant.ExternalID, DisplayName: "Contoso platform", ConnectionType: "platform", AppID: "app",
	})
	must(t, err)
	n := f.conn.Number
	must(t, f.commands.RotateCredential(ctx, commands.RotateCredential{
		Actor: system, Connection: n, Credential: domain.Credential{Kind: "secret", Fingerprint: "f"},
	}))
	must(t, f.commands.RecordConsent(ctx, commands.RecordConsent{Actor: system, Connection: n, Consent: domain.ConsentIsGiven}))
	must(t, f.commands.RecordVerification(ctx, commands.RecordVerification{Actor: system, Connection: n, Finding: domain.Finding{
		State: domain.VerificationHealthy, Granted: []string{"GroupMember.Read.All", "RoleManagement.Read.Directory"},
	}}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) start(t testing.TB, op domain.OperationType) commands.StartResult {
	t.Helper()
	r, err := f.commands.Start(t.Context(), commands.Start{
		Actor: f.operator, Tenant: f.tenant.ExternalID, Operation: op, Trigger: domain.TriggerOperator,
	})
	must(t, err)
	return r
}

// settle waits until the read models have an append.
func (f *fixture) settle(t testing.TB, seq int64, all ...projections.Projection) {
	t.Helper()
	ok, err := projections.Await(t.Context(), f.pool, seq, 10*time.Second, all...)
	must(t, err)
	if !ok {
		t.Fatal("projections did not catch up within 10 s")
	}
}

func (f *fixture) settleAll(t testing.TB) {
	t.Helper()
	var seq int64
	must(t, f.pool.QueryRow(t.Context(), `select max(seq) from events`).Scan(&seq))
	f.settle(t, seq, projections.All()...)
}

func TestARunIsARowAWorkItemAndANotification(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.start(t, domain.OpGroupsSync)
	if r.Outcome != domain.Accepted {
		t.Fatalf("outcome = %s %s", r.Outcome, r.Reason)
	}
	f.settle(t, r.Seq, projections.All()...)
	item, err := projections.Claim(t.Context(), f.pool, "w1", time.Minute)
	must(t, err)
	if item == nil || item.Run != r.Run || item.Recovered {
		t.Fatalf("claimed %+v, want run %s", item, r.Run)
	}
	if again, err := projections.Claim(t.Context(), f.pool, "w2", time.Minute); err != nil || again != nil {
		t.Fatalf("a second worker claimed %+v, %v", again, err)
	}
	claim := commands.Claim{Workspace: f.workspace, Run: r.Run, Token: item.Token, Worker: "w1"}
	_, err = f.commands.BeginRun(t.Context(), claim)
	must(t, err)
	_, err = f.commands.ReportProgress(t.Context(), claim, domain.Progress{Step: "Reading groups", Done: 10})
	must(t, err)
	must(t, f.commands.EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Succeeded, Summary: "10 groups read"}, nil))
	f.settleAll(t)
	var status, outcome, step string
	var done int
	must(t, f.pool.QueryRow(t.Context(), `select execution_status, outcome, step, done from runs where run = $1 and scope_released_at is not null`,
		r.Run).Scan(&status, &outcome, &step, &done))
	if status != "completed" || outcome != "succeeded" || step != "Reading groups" || done != 10 {
		t.Errorf("row = %s %s %q %d", status, outcome, step, done)
	}
	var left int
	must(t, f.pool.QueryRow(t.Context(), `select (select count(*) from work_items) + (select count(*) from work_leases)`).Scan(&left))
	if left != 0 {
		t.Errorf("%d work rows are left after the end", left)
	}
	f.wantNotices(t, "run_queued", "run_ended")
}

// wantNotices waits for the initiator's notifications, which arrive as messages.
func (f *fixture) wantNotices(t *testing.T, kinds ...string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		list, err := projections.ListNotifications(t.Context(), f.pool, f.operator, 10)
		must(t, err)
		if len(list) == len(kinds) {
			for i, n := range list {
				if want := kinds[len(kinds)-1-i]; n.Kind != want {
					t.Errorf("notification %d is %s, want %s", i, n.Kind, want)
				}
			}
			elsewhere := f.operator
			elsewhere.Tenants = []uuid.UUID{uuid.New()}
			hidden, err := projections.ListNotifications(t.Context(), f.pool, elsewhere, 10)
			must(t, err)
			unread, err := projections.UnreadNotifications(t.Context(), f.pool, elsewhere)
			must(t, err)
			if len(hidden)+unread != 0 {
				t.Errorf("%d notifications of a tenant that is no longer seen, %d counted", len(hidden), unread)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d notifications after 10 s, want %v", len(list), kinds)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestSystemRunsNotifyNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r, err := f.commands.Start(t.Context(), commands.Start{
		Actor: domain.SystemActor(f.workspace), Tenant: f.tenant.ExternalID, Operation: domain.OpGroupsSync, Trigger: domain.TriggerSystem,
	})
	must(t, err)
	f.settle(t, r.Seq, projections.All()...)
	var n int
	must(t, f.pool.QueryRow(t.Context(), `select count(*) from messages_notifications`).Scan(&n))
	if n != 0 {
		t.Errorf("%d notifications for a run that no person started", n)
	}
}

// poisoned refuses the events of one stream.
type poisoned struct{ stream *uuid.UUID }

func (poisoned) Name() string { return "poisoned" }
func (poisoned) Version() int { return 1 }
func (p poisoned) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	for _, e := range events {
		if e.Stream == *p.stream && e.Version == 2 {
			_, err := tx.Exec(ctx, `select 1/0`) // a failed statement, which would doom the transaction without its savepoint
			return err
		}
	}
	for _, e := range events {
		if _, err := tx.Exec(ctx, `insert into work_leases (run, worker, token, expires_at) values ($1, 'seen', $2, now()) on conflict do nothing`,
			e.ID, e.Position); err != nil {
			return err
		}
	}
	return nil
}

func TestAPoisonedEventParksItsStreamAlone(t *testing.T) {
	t.Parallel()
	stream := domain.ConnectionStream(1) // of the fixture's connection: its version 2 is the credential
	f := newFixture(t, poisoned{&stream})
	f.settleAll(t)
	var seq int64
	must(t, f.pool.QueryRow(t.Context(), `select max(seq) from events`).Scan(&seq))
	f.settle(t, seq, poisoned{})
	var parked, ofStream, seen, letters, all int
	must(t, f.pool.QueryRow(t.Context(), `select count(*), count(*) filter (where stream = $1) from parked where projection = 'poisoned'`, stream).
		Scan(&parked, &ofStream))
	must(t, f.pool.QueryRow(t.Context(), `select count(*) from work_leases where worker = 'seen'`).Scan(&seen))
	must(t, f.pool.QueryRow(t.Context(), `select count(*) from messages_dead_letters`).Scan(&letters))
	must(t, f.pool.QueryRow(t.Context(), `select count(*) from events`).Scan(&all))
	if parked != 3 || ofStream != 3 || letters != 3 || seen != all-3 {
		t.Errorf("parked %d (%d of the stream), %d dead letters, %d of %d events applied; want 3, 3, 3 and the rest", parked, ofStream, letters, seen, all)
	}
}

func TestALostLeaseIsRecoveredUnderANewToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.start(t, domain.OpGroupsSync)
	f.settle(t, r.Seq, projections.Work{})
	first, err := projections.Claim(t.Context(), f.pool, "w1", 200*time.Millisecond)
	must(t, err)
	time.Sleep(250 * time.Millisecond)
	if ok, err := projections.Renew(t.Context(), f.pool, first.Run, first.Token, time.Minute); err != nil || ok {
		t.Fatalf("renewed a lease that had run out: %v, %v", ok, err)
	}
	second, err := projections.Claim(t.Context(), f.pool, "w2", time.Minute)
	must(t, err)
	if second == nil || !second.Recovered || second.Token <= first.Token {
		t.Fatalf("recovered %+v after %+v", second, first)
	}
}

func registerFabrikam(f *fixture) commands.RegisterTenant {
	return commands.RegisterTenant{Actor: domain.SystemActor(f.workspace), ExternalID: uuid.New(), Name: "Fabrikam"}
}

// text is a query's one text.
func (f *fixture) text(t *testing.T, pool *pgxpool.Pool, query string) string {
	t.Helper()
	var text string
	must(t, pool.QueryRow(t.Context(), query).Scan(&text))
	return text
}
