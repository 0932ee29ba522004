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
	// ConsentWindow is how long after a consent its absence at the provider means nothing yet, default 10 min; ConsentPause the first pause
	// between looks, default 5 s, doubled each time up to a minute.
	ConsentWindow, ConsentPause time.Duration
	// ExpiryLook is the time between looks at credentials that come near their end, of all workers together, default 6 h.
	ExpiryLook time.Duration
	Log        *slog.Logger
}

// Credentials finds the secret that a connection signs in with, the zero value where there is none. It is asked once per run; the secret is kept
// nowhere.
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
	if cfg.ConsentWindow <= 0 {
		cfg.ConsentWindow = 10 * time.Minute
	}
	if cfg.ExpiryLook <= 0 {
		cfg.ExpiryLook = 6 * time.Hour
	}
	if cfg.ConsentPause <= 0 {
		cfg.ConsentPause = 5 * time.Second
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
	slots := make(chan struct{}, w.cfg.Concurrency)
	var busy sync.WaitGroup
	defer busy.Wait()
	busy.Go(func() { w.admitReservations(ctx) })
	busy.Go(func() { w.watchExpiry(ctx) })
	for pause := w.cfg.Poll; ; {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		grown := w.store.Sequenced() // taken before looking, so that nothing is missed in between
		if item := w.claim(ctx); item != nil {
			busy.Go(func() {
				defer func() { <-slots }()
				w.execute(ctx, item)
			})
			pause = soon // there may be more
			continue
		}
		<-slots
		pause = w.idle(ctx, grown, pause)
	}
}

// soon is how long after an event its work item is looked for: the read model follows the log by a moment.
const soon = 15 * time.Millisecond

// idle waits until it is worth looking again, and says how long to wait after that if there is nothing: short after the log has grown,
// because the work item may still be on its way, then longer and longer.
func (w *Worker) idle(ctx context.Context, grown <-chan struct{}, pause time.Duration) time.Duration {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
		return min(3*pause, w.cfg.Poll)
	case <-grown:
		sleep(ctx, soon)
	}
	return soon
}

func (w *Worker) claim(ctx context.Context) *projections.WorkItem {
	item, err := projections.Claim(ctx, w.store.Pool(), w.cfg.Name, w.cfg.Lease)
	if err != nil && ctx.Err() == nil {
		w.log.Warn("claim work", "err", err)
		sleep(ctx, w.cfg.Poll)
	}
	return item
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
	if _, known := executors[item.Operation]; !known && w.turnAway(ctx, claim, log) {
		return
	}
	var begun commands.Begun
	err := w.patiently(ctx, func(ctx context.Context) (err error) {
		begun, err = w.commands.BeginRun(ctx, claim)
		return err
	})
	switch {
	case ctx.Err() != nil && err != nil:
		w.handBack(ctx, item)
		return
	case err != nil:
		// Ended or overtaken: the work item disappears with the projection. Else the database is in trouble. Either way the lease is
		// left to run out: handed back, the item would be claimed again at once, and again.
		log.Warn("begin run", "err", err)
		return
	case begun.Blocked != "":
		log.Info("run blocked before it began", "reason", begun.Blocked)
		return
	}
	x := &execution{worker: w, claim: claim, begun: begun, log: log}
	result, err := x.run(ctx)
	switch {
	case errors.Is(err, errLeaseLost):
		log.Warn("lease lost; another worker has the run")
	case err != nil && ctx.Err() != nil && !errors.Is(err, errCancelled):
		w.handBack(ctx, item)
	default:
		w.end(ctx, x, x.ending(result, err), result.finding)
	}
}

// turnAway ends a run that this build has no executor for and no worker has begun. False: one has, so it is not for us to say that it could
// not be dispatched.
func (w *Worker) turnAway(ctx context.Context, claim commands.Claim, log *slog.Logger) bool {
	claim.Token = 0
	err := w.patiently(ctx, func(ctx context.Context) error {
		return w.commands.EndRun(ctx, claim, domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonDispatchFailed}, nil)
	})
	if _, refused := domain.AsRefusal(err); refused {
		return false
	}
	log.Error("no worker knows this operation", "err", err)
	return true
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
	err := w.patiently(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return w.commands.EndRun(ctx, x.claim, e, finding)
	})
	refusal, refused := domain.AsRefusal(err)
	switch {
	case err == nil:
		x.log.Info("run ended", "outcome", e.Outcome, "reason", e.Reason)
	case refused && refusal.Kind == domain.Invalid && finding != nil:
		x.log.Error("what the check found cannot be recorded", "err", err, "finding", *finding)
		w.end(ctx, x, domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonInternalError}, nil)
	default:
		x.log.Warn("end run", "err", err)
	}
}

// patiently tries until there is an answer, at most for the length of a lease. A refusal is an answer.
func (w *Worker) patiently(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Lease)
	defer cancel()
	for {
		err := try(ctx)
		if _, refused := domain.AsRefusal(err); err == nil || refused || ctx.Err() != nil {
			return err
		}
		sleep(ctx, 200*time.Millisecond)
	}
}
