// Package worker executes accepted runs: claim, ask the gate again, talk to the provider, record, end.
//
//	work_items ──Claim (lease, token)──▶ BeginRun ──▶ executor ──▶ EndRun
//	     ▲                                  │ gate moved: ends as blocked       RunCompleted + ScopeReleased in one append
//	     └── lease runs out: the next claim recovers the run under a higher token; the old token is refused
//
// No provider call happens in a transaction. A worker may die anywhere: before BeginRun the item is simply claimed again; after it the run
// is recovered by running it again, which is safe because every operation here only reads. A call that writes must never be repeated
// blindly; such operations are refused recovery here until they can read back what they did.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/projections"
)

// Config sets a Worker up; zero values are good defaults.
type Config struct {
	Name        string        // shown in the log, the run's events and on pages
	Concurrency int           // runs at a time, default 4
	Lease       time.Duration // how long a silent worker keeps a run, default 15 s; heartbeats come three times as often
	Poll        time.Duration // the longest time between looks at the queue, default 1 s
	Log         *slog.Logger
}

// Credentials finds the secret that a connection signs in with. It is asked once per run; the secret is kept nowhere.
type Credentials interface {
	For(ctx context.Context, c domain.ProviderConnection) (graph.Secret, error)
}

// Worker executes runs from the queue. Any number of them, in any number of processes, share it.
type Worker struct {
	cfg         Config
	store       *eventstore.Store
	commands    *commands.Handler
	graph       *graph.Client
	credentials Credentials
	log         *slog.Logger
}

// New makes a worker; Run starts it.
func New(cfg Config, store *eventstore.Store, handler *commands.Handler, client *graph.Client, credentials Credentials) *Worker {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 4
	}
	if cfg.Lease <= 0 {
		cfg.Lease = 15 * time.Second
	}
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Worker{
		cfg: cfg, store: store, commands: handler, graph: client, credentials: credentials,
		log: cfg.Log.With("worker", cfg.Name),
	}
}

// Run executes runs until ctx ends. Then it stops those under way at their next provider call, hands their leases back, so that another
// worker takes them up at once, and returns.
func (w *Worker) Run(ctx context.Context) error {
	var slots sync.WaitGroup
	for range w.cfg.Concurrency {
		slots.Go(func() { w.slot(ctx) })
	}
	slots.Wait()
	return nil
}

// slot claims and executes one run after the other.
func (w *Worker) slot(ctx context.Context) {
	for ctx.Err() == nil {
		grown := w.store.Sequenced() // taken before looking, so that nothing is missed in between
		item, err := projections.Claim(ctx, w.store.Pool(), w.cfg.Name, w.cfg.Lease)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("claim work", "err", err)
		}
		if item != nil {
			w.execute(ctx, item)
			continue
		}
		t := time.NewTimer(w.cfg.Poll)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-grown:
			// the work item appears a moment after the event
			sleep(ctx, 15*time.Millisecond)
		}
		t.Stop()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// execute carries one claimed run to its end, or leaves it to recovery.
func (w *Worker) execute(ctx context.Context, item *projections.WorkItem) {
	claim := commands.Claim{Workspace: item.Workspace, Run: item.Run, Token: item.Token, Worker: w.cfg.Name}
	log := w.log.With("run", item.Run, "operation", item.Operation, "token", item.Token)
	begun, err := w.commands.BeginRun(ctx, claim)
	if err != nil {
		// Ended or overtaken: the work item disappears with the projection. Anything else: the lease runs out and the run is claimed again.
		if _, refused := domain.AsRefusal(err); !refused && ctx.Err() == nil {
			log.Warn("begin run", "err", err)
		}
		w.handBack(ctx, item)
		return
	}
	if begun.Blocked != "" {
		log.Info("run blocked before it began", "reason", begun.Blocked)
		return
	}
	x := &execution{worker: w, claim: claim, begun: begun, log: log}
	result, err := x.run(ctx)
	switch {
	case errors.Is(err, errLeaseLost):
		log.Warn("lease lost; another worker has the run")
	case ctx.Err() != nil:
		w.handBack(ctx, item)
	default:
		w.end(ctx, x, x.ending(result, err), result.finding)
	}
}

func (w *Worker) handBack(ctx context.Context, item *projections.WorkItem) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := projections.Release(ctx, w.store.Pool(), item.Run, item.Token); err != nil {
		w.log.Warn("hand lease back", "run", item.Run, "err", err)
	}
}

// end ends the run, trying for as long as its lease may live: after that the run belongs to whoever claims it next.
func (w *Worker) end(ctx context.Context, x *execution, e domain.Ending, finding *domain.Finding) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Lease)
	defer cancel()
	for {
		err := w.commands.EndRun(ctx, x.claim, e, finding)
		if err == nil {
			x.log.Info("run ended", "outcome", e.Outcome, "reason", e.Reason)
			return
		}
		if _, refused := domain.AsRefusal(err); refused || ctx.Err() != nil {
			x.log.Warn("end run", "err", err)
			return
		}
		sleep(ctx, 200*time.Millisecond)
	}
}
