package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
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
	errUnsafe    = errors.New("a write whose worker was lost must be read back before it is repeated")
)

// progressEvery bounds how often a run's progress becomes an event.
const progressEvery = 500 * time.Millisecond

// result is what an executor has to say at its end.
type result struct {
	summary string
	outcome domain.RunOutcome // empty: succeeded
	reason  domain.ReasonCode
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

	mu       sync.Mutex
	last     domain.Progress
	reported time.Time
}

// run executes with a heartbeat beside it. A panic of an executor is an error like any other; its stack goes to the log only.
func (x *execution) run(ctx context.Context) (res result, err error) {
	execute, known := executors[x.begun.Run.Operation]
	switch {
	case !known:
		return result{}, errNoWorker
	case x.begun.Run.Try > 1 && domain.OperationByType(x.begun.Run.Operation).Write:
		return result{}, errUnsafe
	}
	ctx, stop := context.WithCancelCause(ctx)
	var beating sync.WaitGroup
	beating.Go(func() { x.heartbeat(ctx, stop) })
	defer func() {
		if panicked := recover(); panicked != nil {
			x.log.Error("executor panicked", "panic", panicked, "stack", string(debug.Stack()))
			err = fmt.Errorf("executor panicked: %v", panicked)
		}
		if cause := context.Cause(ctx); cause != nil && err != nil {
			err = cause // what the executor met was only the consequence
		}
		stop(nil)
		beating.Wait()
	}()
	return execute(ctx, x)
}

// heartbeat keeps the lease and looks whether somebody asked for the run's end.
func (x *execution) heartbeat(ctx context.Context, stop context.CancelCauseFunc) {
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
		held, err := projections.Renew(ctx, x.worker.store.Pool(), x.claim.Run, x.claim.Token, lease)
		switch {
		case err == nil && !held, err != nil && time.Since(renewed) > lease:
			stop(errLeaseLost)
			return
		case err == nil:
			renewed = time.Now()
		}
		run, _, err := eventstore.Current[domain.Run](ctx, x.worker.store, x.claim.Run)
		if err == nil && run.CancelRequested {
			stop(errCancelled)
			return
		}
	}
}

// progress records how far the run is: at once when the step changes, else at most twice a second. Its error ends the execution.
func (x *execution) progress(ctx context.Context, step string, done, total int) error {
	x.mu.Lock()
	due := step != x.last.Step || time.Since(x.reported) >= progressEvery
	x.last = domain.Progress{Step: step, Done: done, Total: total}
	if due {
		x.reported = time.Now()
	}
	p := x.last
	x.mu.Unlock()
	if !due {
		return nil
	}
	return x.report(ctx, p)
}

func (x *execution) report(ctx context.Context, p domain.Progress) error {
	cancelled, err := x.worker.commands.ReportProgress(ctx, x.claim, p)
	if _, refused := domain.AsRefusal(err); refused {
		return errLeaseLost
	}
	if err == nil && cancelled {
		return errCancelled
	}
	return err
}

// call is what every provider call of the run is made with. Waits show on the run page; the report must not hold the call up.
func (x *execution) call(ctx context.Context) graph.Call {
	return graph.Call{
		RunID: x.claim.Run.String(), Granted: x.begun.Connection.Granted, Priority: x.priority(),
		OnWait: func(until time.Time, reason domain.ReasonCode) {
			x.mu.Lock()
			p := x.last
			x.mu.Unlock()
			p.WaitingUntil, p.WaitingFor = until.UTC().Truncate(time.Microsecond), reason
			go func() {
				if err := x.report(ctx, p); err != nil && ctx.Err() == nil {
					x.log.Debug("report wait", "err", err)
				}
			}()
		},
	}
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
		return graph.Connection{}, &graph.Error{Code: domain.ReasonProviderCredentialMissing}
	}
	return graph.Connection{
		EntraTenantID: x.begun.Tenant.ExternalID.String(), AppID: c.AppID, Credential: secret, CredentialVersion: c.Credential.Fingerprint,
		ConsentGranted: c.Consent == domain.ConsentIsGiven,
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

// cached reads what the last complete reading of a kind left, nil when there is none.
func (x *execution) cached(ctx context.Context, kind string) ([]byte, error) {
	entries, err := projections.DirectoryCache(ctx, x.worker.store.Pool(), x.begun.Tenant.ID)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Kind == kind {
			return x.worker.store.Content(ctx, e.Content)
		}
	}
	return nil, nil
}

// ending words how the run ended. Only sanitised facts of the provider's answer go in.
func (x *execution) ending(r result, err error) domain.Ending {
	var refused *graph.Error
	switch {
	case err == nil:
		e := domain.Ending{Outcome: domain.Succeeded, Reason: r.reason, Summary: r.summary}
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
	if errors.As(err, &e) {
		return e.Code
	}
	return domain.ReasonInternalError
}
