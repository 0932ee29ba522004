package worker

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/projections"
)

var (
	errLeaseLost = errors.New("the lease was lost")
	errCancelled = errors.New("the run was cancelled")
	errNoWorker  = errors.New("no worker knows this operation")
	errPanicked  = errors.New("the executor panicked")
	errUnsafe    = errors.New("a write whose worker was lost must be read back before it is repeated")
)

// progressEvery bounds how often a run's progress becomes an event.
const progressEvery = 500 * time.Millisecond

// result is what an executor has to say at its end.
type result struct {
	summary string
	outcome domain.RunOutcome // empty: succeeded
	reason  domain.ReasonCode
	facts   map[string]string // sanitised, for support
	finding *domain.Finding
}

// executor carries out one operation type. Its context ends when the run is cancelled, its lease is lost or the worker stops.
type executor func(ctx context.Context, x *execution) (result, error)

// executors are the operations that this build can execute.
var executors = map[domain.OperationType]executor{
	domain.OpConnectionCheck:     checkConnection,
	domain.OpGroupsSync:          syncGroups,
	domain.OpRoleDefinitionsSync: syncRoleDefinitions,
}

// execution is one run in the hands of one worker.
type execution struct {
	worker *Worker
	claim  commands.Claim
	begun  commands.Begun
	log    *slog.Logger

	stop    context.CancelCauseFunc // ends the executor's context
	reports sync.WaitGroup          // what tells about waits in the background

	mu       sync.Mutex // guards what follows
	last     domain.Progress
	number   int // of last
	reported time.Time

	telling sync.Mutex // one report at a time, in order
	told    int        // number of the last one; guarded by telling
}

// run executes with a heartbeat beside it. A panic of an executor is an error like any other; its stack goes to the log only.
func (x *execution) run(ctx context.Context) (res result, err error) {
	execute, known := executors[x.begun.Run.Operation]
	switch {
	case x.begun.Run.Try > 1 && domain.OperationByType(x.begun.Run.Operation).Write:
		return result{}, errUnsafe // here a write will be read back, item by item
	case !known:
		return result{}, errNoWorker
	case x.begun.Run.CancelRequested:
		return result{}, errCancelled // asked of the worker that was lost
	}
	ctx, x.stop = context.WithCancelCause(ctx)
	var beating sync.WaitGroup
	beating.Go(func() { x.heartbeat(ctx) })
	defer func() {
		if panicked := recover(); panicked != nil {
			x.log.Error("executor panicked", "panic", panicked, "stack", string(debug.Stack()))
			err = errPanicked
		}
		if cause := context.Cause(ctx); cause != nil && err != nil {
			err = cause // what the executor met was only the consequence
		}
		x.stop(nil)
		beating.Wait()
		x.reports.Wait()
	}()
	return execute(ctx, x)
}

// heartbeat keeps the lease and looks whether somebody asked for the run's end. It asks the database with a time limit: an answer that
// does not come is no reason to believe that the lease is still ours.
func (x *execution) heartbeat(ctx context.Context) {
	lease := x.worker.cfg.Lease
	renewed := time.Now()
	tick := time.NewTicker(min(lease/3, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		held, cancelled, err := x.beat(ctx, lease)
		switch {
		case err == nil && !held, err != nil && time.Since(renewed) > lease:
			x.stop(errLeaseLost)
			return
		case held:
			renewed = asked
		}
		if cancelled {
			x.stop(errCancelled)
			return
		}
	}
}

func (x *execution) beat(ctx context.Context, lease time.Duration) (held, cancelled bool, err error) {
	ctx, done := context.WithTimeout(ctx, lease/3)
	defer done()
	held, err = projections.Renew(ctx, x.worker.store.Pool(), x.claim.Run, x.claim.Token, lease)
	if err != nil || !held {
		return held, false, err
	}
	run, _, err := eventstore.Current[domain.Run](ctx, x.worker.store, x.claim.Run)
	return held, run.CancelRequested, err
}

// progress records how far the run is: at once when the step changes, else at most twice a second. Its error ends the execution.
func (x *execution) progress(ctx context.Context, step string, done, total int) error {
	x.mu.Lock()
	due := step != x.last.Step || time.Since(x.reported) >= progressEvery
	x.last = domain.Progress{Step: step, Done: done, Total: total}
	x.number++
	if due {
		x.reported = time.Now()
	}
	p, number := x.last, x.number
	x.mu.Unlock()
	if !due {
		return nil
	}
	return x.report(ctx, number, p)
}

// report records progress unless newer one was recorded already. Progress that the database does not take now is not worth a run.
func (x *execution) report(ctx context.Context, number int, p domain.Progress) error {
	x.telling.Lock()
	defer x.telling.Unlock()
	if number < x.told {
		return nil
	}
	x.told = number
	cancelled, err := x.worker.commands.ReportProgress(ctx, x.claim, p)
	_, refused := domain.AsRefusal(err)
	switch {
	case refused:
		return errLeaseLost
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		x.log.Warn("report progress", "err", err)
		return nil
	case cancelled:
		return errCancelled
	}
	return nil
}

// call is what every provider call of the run is made with. Waits show on the run page.
func (x *execution) call(ctx context.Context) graph.Call {
	return graph.Call{
		RunID: x.claim.Run.String(), Granted: x.begun.Connection.Granted, Priority: x.priority(),
		OnWait: func(until time.Time, reason domain.ReasonCode) { x.waits(ctx, until, reason) },
	}
}

// waits tells, beside the waiting call, that it waits, and when the wait is over that it does not any more.
func (x *execution) waits(ctx context.Context, until time.Time, reason domain.ReasonCode) {
	if time.Until(until) < progressEvery {
		return
	}
	x.mu.Lock()
	x.number++
	p, number := x.last, x.number
	x.mu.Unlock()
	p.WaitingUntil, p.WaitingFor = until.UTC().Truncate(time.Microsecond), reason
	x.reports.Go(func() {
		err := x.report(ctx, number, p)
		if err == nil {
			sleep(ctx, time.Until(until))
			x.mu.Lock()
			p = x.last
			x.mu.Unlock()
			err = x.report(ctx, number, p)
		}
		if err != nil {
			x.stop(err)
		}
	})
}

// priority is high only while a person waits.
func (x *execution) priority() graph.Priority {
	if x.begun.Run.Initiator.Personal() {
		return graph.PriorityHigh
	}
	return graph.PriorityLow
}

// connection is the provider connection as the Graph client needs it.
func (x *execution) connection(ctx context.Context) (graph.Connection, error) {
	c := x.begun.Connection
	secret, err := x.worker.credentials.For(ctx, c)
	if err != nil {
		x.log.Error("find credential", "err", err)
		return graph.Connection{}, &graph.Error{Code: domain.ReasonProviderCredentialMissing, Operation: "credential"}
	}
	return graph.Connection{
		EntraTenantID: x.begun.Tenant.ExternalID.String(), AppID: c.AppID, Credential: secret,
		// A token keeps the permissions that it was issued with, and other workers have tokens too: other grants, another token.
		CredentialVersion: c.Credential.Fingerprint + " " + strings.Join(c.Granted, " "),
		ConsentGranted:    c.Consent == domain.ConsentIsGiven,
	}, nil
}

// record records items. The payload that an item names has been stored before.
func (x *execution) record(ctx context.Context, items ...domain.Item) error {
	err := x.worker.commands.RecordItems(ctx, x.claim, items)
	if _, refused := domain.AsRefusal(err); refused {
		return errLeaseLost
	}
	return err
}

// cached reads what the last complete reading of a kind left, nil when there is none. What cannot be read is none: everything is read anew.
func (x *execution) cached(ctx context.Context, kind string) []byte {
	entries, err := projections.DirectoryCache(ctx, x.worker.store.Pool(), x.begun.Tenant.ID)
	for _, e := range entries {
		if e.Kind == kind {
			var b []byte
			if b, err = x.worker.store.Content(ctx, e.Content); err == nil {
				return b
			}
		}
	}
	if err != nil {
		x.log.Warn("read what is known; reading everything", "kind", kind, "err", err)
	}
	return nil
}

// ending words how the run ended. Only sanitised facts of the provider's answer go in.
func (x *execution) ending(r result, err error) domain.Ending {
	var refused *graph.Error
	switch {
	case err == nil:
		e := domain.Ending{Outcome: domain.Succeeded, Reason: r.reason, Summary: r.summary, Diagnostics: r.facts}
		if r.outcome != "" {
			e.Outcome = r.outcome
		}
		return e
	case errors.Is(err, errCancelled):
		return domain.Ending{Outcome: domain.Cancelled, Reason: domain.ReasonCancelledByOperator, Summary: r.summary}
	case errors.Is(err, errNoWorker):
		return domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonDispatchFailed}
	case errors.Is(err, errUnsafe):
		return domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonProviderWriteUnconfirmed}
	case errors.As(err, &refused):
		return domain.Ending{Outcome: domain.Failed, Reason: refused.Code, Summary: r.summary, Diagnostics: diagnostics(refused)}
	}
	x.log.Error("run failed", "err", err)
	return domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonInternalError, Summary: r.summary}
}

func diagnostics(e *graph.Error) map[string]string {
	facts := map[string]string{"operation": e.Operation}
	if e.Status != 0 {
		facts["status"] = strconv.Itoa(e.Status)
	}
	for k, v := range map[string]string{"graphCode": e.GraphCode, "requestId": e.RequestID} {
		if v != "" {
			facts[k] = v
		}
	}
	for k, v := range e.Diagnostics {
		if _, taken := facts[k]; !taken {
			facts[k] = v
		}
	}
	return facts
}

// requestID is the provider's request id of a failed call, for its item.
func requestID(err error) string {
	var e *graph.Error
	if errors.As(err, &e) {
		return e.RequestID
	}
	return ""
}

// reasonOf is the reason code of a failed call, for its item.
func reasonOf(err error) domain.ReasonCode {
	var e *graph.Error
	switch {
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, errCancelled):
		return domain.ReasonCancelledByOperator
	}
	return domain.ReasonInternalError
}
