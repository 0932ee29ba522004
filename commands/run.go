package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Claim is a worker's right to write to a run: the run, and the fencing token under which it holds the lease.
type Claim struct {
	Workspace uuid.UUID
	Run       uuid.UUID
	Token     int64
	Worker    string
}

// Begun is what a worker gets to work with.
type Begun struct {
	Run        domain.Run
	Tenant     domain.Tenant
	Connection domain.ProviderConnection
	// Blocked is the reason for which the gate, asked again, no longer lets the run go on; the run has ended as blocked then.
	Blocked domain.ReasonCode
}

// BeginRun asks the gate again and records that the worker began the run, or that it ended as blocked because the connection's state
// moved. A token that was overtaken, and a run that has ended, are refused with a domain.Conflict.
func (h *Handler) BeginRun(ctx context.Context, c Claim) (Begun, error) {
	var b Begun
	_, err := h.transactRun(ctx, c, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		s, run, err := loadRun(ctx, u, c.Run)
		if err != nil {
			return err
		}
		begin, err := run.Begin(c.Token, c.Worker)
		if err != nil {
			return err
		}
		b = Begun{Run: domain.Fold(run, begin...), Tenant: s.Tenant, Connection: s.Connection}
		u.Append(c.Run, begin...)
		if b.Blocked = domain.Recheck(s, run, at); b.Blocked == "" {
			return nil
		}
		return endRun(ctx, u, c, domain.Ending{Outcome: domain.BlockedRun, Reason: b.Blocked}, nil)
	})
	if err != nil {
		return Begun{}, err // b may still be written to: see transact
	}
	return b, nil
}

// ReportProgress records how far a run has come and says whether somebody asked for its end.
func (h *Handler) ReportProgress(ctx context.Context, c Claim, p domain.Progress) (bool, error) {
	var cancelRequested bool
	_, err := h.transactRun(ctx, c, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		_, run, err := loadRun(ctx, u, c.Run)
		if err != nil {
			return err
		}
		cancelRequested = run.CancelRequested
		events, err := run.Report(c.Token, p)
		u.Append(c.Run, events...)
		return err
	})
	if err != nil {
		return false, err // cancelRequested may still be written to: see transact
	}
	return cancelRequested, nil
}

// RecordItems records items of a run with what became of them. Payloads go to the content store first and are named by hash.
func (h *Handler) RecordItems(ctx context.Context, c Claim, items []domain.Item) error {
	_, err := h.transactRun(ctx, c, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		_, run, err := loadRun(ctx, u, c.Run)
		if err != nil {
			return err
		}
		events, err := run.Record(c.Token, items)
		u.Append(c.Run, events...)
		return err
	})
	return err
}

// EndRun ends a run and releases the protected scope in the same append; finding, if any, is what a connection check found out.
func (h *Handler) EndRun(ctx context.Context, c Claim, e domain.Ending, finding *domain.Finding) error {
	_, err := h.transactRun(ctx, c, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		if finding != nil {
			finding.CheckedAt = at
		}
		return endRun(ctx, u, c, e, finding)
	})
	return err
}

// CancelRun asks for a run's cooperative end. A run that no worker has begun ends at once.
type CancelRun struct {
	Actor domain.Actor
	Run   uuid.UUID
}

// CancelRun carries a CancelRun out and returns the receipt's seq (0 when nothing changed).
func (h *Handler) CancelRun(ctx context.Context, c CancelRun) (int64, error) {
	receipt, err := h.transact(ctx, request{actor: c.Actor, affinity: c.Run, trigger: domain.TriggerOperator},
		func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
			s, run, events, ended, err := decideCancel(ctx, u, c)
			if err != nil {
				return err
			}
			u.Append(c.Run, events...)
			if ended {
				u.Append(s.Connection.ID, s.Connection.Release(run.ID)...)
			}
			return nil
		})
	return receipt.Seq, err
}

// CancelForecast is what a CancelRun would do now: nothing, when somebody asked before; end the run at once, when no worker has begun it;
// otherwise ask the worker to stop.
type CancelForecast struct{ Already, Ends bool }

// ForecastCancel answers what CancelRun would do now, from the same decision, and records nothing. It refuses what CancelRun refuses.
func (h *Handler) ForecastCancel(ctx context.Context, c CancelRun) (CancelForecast, error) {
	var f CancelForecast
	_, err := h.transact(ctx, request{actor: c.Actor, affinity: c.Run}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		_, _, events, ended, err := decideCancel(ctx, u, c)
		f = CancelForecast{Already: len(events) == 0, Ends: ended}
		return err
	})
	if err != nil {
		return CancelForecast{}, err // f may still be written to: see transact
	}
	return f, nil
}

// decideCancel authorizes in the fixed order (run: 404; capability: 403) and asks the run.
func decideCancel(ctx context.Context, u *eventstore.Unit, c CancelRun) (
	s domain.Situation, run domain.Run, events []domain.Event, ended bool, err error,
) {
	if s, run, err = loadRun(ctx, u, c.Run); err != nil {
		return s, run, nil, false, err
	}
	if err = c.Actor.Authorize(s.Tenant.Workspace, run.Tenant, domain.CapRunCancel); err != nil {
		return s, run, nil, false, err
	}
	events, ended, err = run.RequestCancel(c.Actor.Ref)
	return s, run, events, ended, err
}

func (h *Handler) transactRun(
	ctx context.Context, c Claim, decide func(context.Context, *eventstore.Unit, time.Time) error,
) (eventstore.Receipt, error) {
	return h.transact(ctx, request{
		actor: domain.SystemActor(c.Workspace), affinity: c.Run, trigger: domain.TriggerSystem, surface: "worker", cause: c.Run,
	}, decide)
}

func loadRun(ctx context.Context, u *eventstore.Unit, id uuid.UUID) (domain.Situation, domain.Run, error) {
	var s domain.Situation
	run, _, err := eventstore.Load[domain.Run](ctx, u, id)
	if err != nil {
		return s, run, err
	}
	if !run.Exists() {
		return s, run, domain.ErrNotFound()
	}
	if s.Tenant, _, err = eventstore.Load[domain.Tenant](ctx, u, run.Tenant); err != nil {
		return s, run, err
	}
	s.Connection, s.ConnectionVersion, err = eventstore.Load[domain.ProviderConnection](ctx, u, domain.ConnectionStream(run.Connection))
	u.About(run.Tenant)
	return s, run, err
}

func endRun(ctx context.Context, u *eventstore.Unit, c Claim, e domain.Ending, finding *domain.Finding) error {
	s, run, err := loadRun(ctx, u, c.Run)
	if err != nil {
		return err
	}
	ended, err := run.End(c.Token, e)
	if err != nil {
		return err
	}
	u.Append(c.Run, ended...)
	conn := s.Connection
	if finding != nil {
		found, err := conn.RecordVerification(run.ID, *finding)
		if err != nil {
			return err
		}
		u.Append(conn.ID, found...)
		conn = domain.Fold(conn, found...)
	}
	u.Append(conn.ID, conn.Release(run.ID)...)
	return nil
}
