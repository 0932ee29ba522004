package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// benchLoad is what the callers work on.
type benchLoad struct {
	actor   domain.Actor
	free    []int64             // connections on which an operation can start
	blocked []int64             // connections without consent
	hot     int64               // a connection whose scope is taken
	tenants map[int64]uuid.UUID // directory ids by connection
}

const benchBlocked = 64 // how many blocked connections there are

// seed makes a workspace with its connections through the same commands that people use, each connection on a tenant of its own.
func (b *bench) seed(ctx context.Context) error {
	owner, err := b.auth.CreatePerson(ctx, "bench@example.com", "Bench", false)
	if err != nil {
		return err
	}
	workspace := uuid.New()
	err = b.commands.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: workspace, Name: "Bench", Owner: owner})
	if err != nil {
		return err
	}
	b.load.actor = domain.Actor{
		Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: owner}, Workspace: workspace, Role: domain.RoleOwner,
	}
	began := time.Now()
	n := b.options.connections
	numbers, tenants := make([]int64, n+benchBlocked+1), make([]uuid.UUID, n+benchBlocked+1)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i := range numbers {
		g.Go(func() (err error) {
			tenants[i] = uuid.New()
			numbers[i], err = b.seedConnection(gctx, i, tenants[i], i < n || i == len(numbers)-1)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	b.load.free, b.load.blocked, b.load.hot = numbers[:n], numbers[n:n+benchBlocked], numbers[n+benchBlocked]
	b.load.tenants = make(map[int64]uuid.UUID, len(numbers))
	for i, number := range numbers {
		b.load.tenants[number] = tenants[i]
	}
	if err := b.startAccepted(ctx, b.load.hot); err != nil {
		return err
	}
	if err := b.withLog(ctx, b.catchUp); err != nil { // a token's rights are in a read model
		return err
	}
	fmt.Fprintf(b.progress, "seeded %d connections in %s\n", len(numbers), time.Since(began).Round(time.Millisecond))
	return b.settle(ctx)
}

func (b *bench) seedConnection(ctx context.Context, i int, tenant uuid.UUID, healthy bool) (int64, error) {
	actor := b.load.actor
	name := fmt.Sprintf("Tenant %d", i)
	if _, err := b.commands.RegisterTenant(ctx, commands.RegisterTenant{
		Actor: actor, ExternalID: tenant, Name: name, Domain: fmt.Sprintf("tenant%d.example", i),
	}); err != nil {
		return 0, err
	}
	conn, err := b.commands.CreateConnection(ctx, commands.CreateConnection{
		Actor: actor, Tenant: tenant, DisplayName: name, ConnectionType: "platform", AppID: "bench",
	})
	if err != nil {
		return 0, err
	}
	if err := b.commands.RotateCredential(ctx, commands.RotateCredential{
		Actor: actor, Connection: conn.Number,
		Credential: domain.Credential{Kind: "secret", Fingerprint: "bench", ExpiresAt: time.Now().Add(200 * 24 * time.Hour).UTC().Truncate(time.Hour)},
	}); err != nil || !healthy {
		return conn.Number, err
	}
	if err := b.commands.RecordConsent(ctx, commands.RecordConsent{
		Actor: actor, Connection: conn.Number, Consent: domain.ConsentIsGiven,
	}); err != nil {
		return 0, err
	}
	var granted []string
	for _, op := range domain.Catalogue() {
		granted = append(granted, op.Permissions...)
	}
	return conn.Number, b.commands.RecordVerification(ctx, commands.RecordVerification{
		Actor: actor, Connection: conn.Number, Finding: domain.Finding{State: domain.VerificationHealthy, Granted: granted},
	})
}

// start makes one attempt and insists on the outcomes that the cell is about.
func (b *bench) start(ctx context.Context, connection int64, op domain.OperationType, want ...domain.Outcome) (commands.StartResult, error) {
	r, err := b.commands.Start(ctx, commands.Start{
		Actor: b.load.actor, Operation: op, Connection: connection, Surface: "bench", Trigger: domain.TriggerOperator,
	})
	if err == nil && !slices.Contains(want, r.Outcome) {
		err = fmt.Errorf("connection %d: %s %s, want %v", connection, r.Outcome, r.Reason, want)
	}
	return r, err
}

func (b *bench) startAccepted(ctx context.Context, connection int64) error {
	_, err := b.start(ctx, connection, domain.OpGroupsSync, domain.Accepted)
	return err
}

// errDrained says that no free connection is left.
var errDrained = errors.New("no free connection is left")

// accept measures accepted starts. When every free connection is taken the clock stops, the runs are ended, and it goes on: a slice
// counts what was answered before the first caller found nothing left.
func (b *bench) accept(ctx context.Context, callers int, d time.Duration, start func(context.Context, int64) error) (benchMeasure, error) {
	var sum benchSamples
	for sum.elapsed < d {
		var taken atomic.Int64
		slice, err := b.drive(ctx, callers, d-sum.elapsed, func(ctx context.Context, _, _ int) error {
			i := int(taken.Add(1)) - 1
			if i >= len(b.load.free) {
				return errDrained
			}
			return start(ctx, b.load.free[i])
		})
		if err := errors.Join(err, b.endRuns(ctx)); err != nil {
			return benchMeasure{}, err
		}
		sum.add(slice)
	}
	return sum.measure(), nil
}

// endRuns sets all connections free again.
func (b *bench) endRuns(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for _, number := range b.load.free {
		g.Go(func() error {
			c, _, err := eventstore.Current[domain.ProviderConnection](ctx, b.store, domain.ConnectionStream(number))
			if err != nil || !c.Scope.Held() {
				return err
			}
			_, err = b.commands.CancelRun(ctx, commands.CancelRun{Actor: b.load.actor, Run: c.Scope.Run})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("end runs: %w", err)
	}
	return nil
}

func (b *bench) refuse(ctx context.Context, callers int, d time.Duration) (benchMeasure, error) {
	s, err := b.drive(ctx, callers, d, func(ctx context.Context, caller, n int) error {
		connection := b.load.blocked[(caller+n*callers)%len(b.load.blocked)]
		_, err := b.start(ctx, connection, domain.OpGroupsSync, domain.IsBlocked)
		return err
	})
	return s.measure(), err
}

func (b *bench) hot(ctx context.Context, callers int, d time.Duration) (benchMeasure, error) {
	s, err := b.drive(ctx, callers, d, func(ctx context.Context, caller, n int) error {
		op := domain.OpGroupsSync
		if (caller+n)%2 == 1 {
			op = domain.OpRoleDefinitionsSync
		}
		_, err := b.start(ctx, b.load.hot, op, domain.Deduped, domain.Busy)
		return err
	})
	return s.measure(), err
}

// benchSamples are the latencies of what was answered in a measured time.
type benchSamples struct {
	latencies []time.Duration
	elapsed   time.Duration
	answered  int // with those that came too late to count
	cpu       benchCPU
}

func (s *benchSamples) add(t benchSamples) {
	s.latencies = append(s.latencies, t.latencies...)
	s.elapsed += t.elapsed
	s.answered += t.answered
	s.cpu.add(t.cpu)
}

func (s *benchSamples) measure() benchMeasure {
	slices.Sort(s.latencies)
	n := time.Duration(max(1, s.answered))
	return benchMeasure{
		Rate: float64(len(s.latencies)) / s.elapsed.Seconds(), P50: benchQuantile(s.latencies, 0.50), P99: benchQuantile(s.latencies, 0.99),
		ClientCPU: s.cpu.client / n, ServerCPU: s.cpu.server / n,
	}
}

// drive lets callers work in closed loops for d, or until one of them finds nothing left to do. Only what was answered until then
// counts. The first other error ends it.
func (b *bench) drive(
	ctx context.Context, callers int, d time.Duration, work func(ctx context.Context, caller, n int) error,
) (benchSamples, error) {
	type answer struct{ at, took time.Duration }
	answers := make([][]answer, callers)
	var stop atomic.Bool
	var once sync.Once
	var began time.Time
	ended := d
	end := func() {
		once.Do(func() {
			ended = min(d, time.Since(began))
			stop.Store(true)
		})
	}
	g, gctx := errgroup.WithContext(ctx)
	loop := func(caller int) error {
		for n := 0; !stop.Load(); n++ {
			from := time.Since(began)
			err := work(gctx, caller, n)
			at := time.Since(began)
			if err != nil || at >= d {
				end()
			}
			switch {
			case err == nil:
				answers[caller] = append(answers[caller], answer{at, at - from})
			case !errors.Is(err, errDrained):
				return err
			}
		}
		return nil
	}
	var err error
	var s benchSamples
	s.cpu = b.cpu(func() {
		began = time.Now()
		for c := range callers {
			g.Go(func() error { return loop(c) })
		}
		err = g.Wait()
	})
	s.elapsed = ended
	for _, list := range answers {
		s.answered += len(list)
		for _, a := range list {
			if a.at <= ended {
				s.latencies = append(s.latencies, a.took)
			}
		}
	}
	return s, err
}

func benchQuantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
