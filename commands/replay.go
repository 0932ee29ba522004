package commands

import (
	"context"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// replaySurface is where starts say that they come from when they are replays.
const replaySurface = "attempts.replay"

// Replay tries a refused attempt again: a start like any other, of the same operation with the same inputs on the same connection.
type Replay struct {
	Actor   domain.Actor
	Preview uuid.UUID // with it and the refused attempt the new attempt's id is given, so that confirming twice is one attempt
	Attempt uuid.UUID // the refused one
	// Same are refused attempts that asked for the same work: they are replayed by this one start.
	Same    []uuid.UUID
	Trigger domain.Trigger
}

// Replay carries a Replay out. What Start refuses is refused here too; so are attempts that are never replayed (domain.RefusedAttempt), and
// with the code replayed_already those that somebody has replayed meanwhile. Whether that is so is decided in the transaction of the start:
// of two who replay the same attempt at once, one starts something.
func (h *Handler) Replay(ctx context.Context, c Replay) (StartResult, error) {
	start, err := h.replayStart(ctx, c)
	if err != nil {
		return StartResult{}, err
	}
	return h.Start(ctx, start)
}

// ForecastReplay answers what Replay would answer now, and records nothing.
func (h *Handler) ForecastReplay(ctx context.Context, c Replay) (StartResult, error) {
	refused, start, err := h.replayOf(ctx, c)
	if err != nil {
		return StartResult{}, err
	}
	if _, err := refused.Replay(c.event(c.Attempt, uuid.Nil)); err != nil {
		return StartResult{}, err
	}
	return h.Forecast(ctx, start)
}

// ReplayedAs says by whom an attempt that the actor sees was replayed, and as which attempt; zero when it was not.
func (h *Handler) ReplayedAs(ctx context.Context, actor domain.Actor, attempt uuid.UUID) (domain.AttemptReplayed, error) {
	refused, _, err := h.replayOf(ctx, Replay{Actor: actor, Attempt: attempt})
	return refused.Replayed, err
}

func (c Replay) event(attempt, with uuid.UUID) domain.AttemptReplayed {
	return domain.AttemptReplayed{
		Attempt: attempt, Replay: domain.ReplayAttempt(c.Preview, c.Attempt), Preview: c.Preview, By: c.Actor.Ref, With: with,
	}
}

// replayOf finds the refused attempt and makes the start that repeats it. Receipts never change, so it can be made before the transaction.
func (h *Handler) replayOf(ctx context.Context, c Replay) (domain.RefusedAttempt, Start, error) {
	refused, _, err := eventstore.Current[domain.RefusedAttempt](ctx, h.store, domain.AttemptStream(c.Actor.Workspace, c.Attempt))
	if err != nil {
		return refused, Start{}, err
	}
	about, _, err := eventstore.Current[domain.Tenant](ctx, h.store, refused.Tenant)
	if err != nil {
		return refused, Start{}, err
	}
	if !refused.Exists() || !about.Exists() || !c.Actor.Sees(about.Workspace, about.ID) {
		return domain.RefusedAttempt{}, Start{}, domain.ErrNotFound()
	}
	return refused, Start{
		Actor: c.Actor, Attempt: domain.ReplayAttempt(c.Preview, c.Attempt), Operation: refused.Operation, Tenant: about.ExternalID,
		Connection: refused.Connection, Inputs: refused.Inputs, Surface: replaySurface, Trigger: c.Trigger, cause: c.Attempt,
	}, nil
}

func (h *Handler) replayStart(ctx context.Context, c Replay) (Start, error) {
	refused, start, err := h.replayOf(ctx, c)
	if err != nil {
		return start, err
	}
	if err := refused.Replayable(); err != nil { // before the gate: it might not know the operation any more
		return start, err
	}
	start.claim = func(ctx context.Context, u *eventstore.Unit) error {
		if err := claimReplay(ctx, u, c, c.event(c.Attempt, uuid.Nil), refused); err != nil {
			return err
		}
		for _, same := range c.Same {
			if err := claimReplay(ctx, u, c, c.event(same, c.Attempt), refused); err != nil {
				return err
			}
		}
		return nil
	}
	return start, nil
}

// claimReplay records a replay in the refused attempt's own stream, whose version can be written only once.
func claimReplay(ctx context.Context, u *eventstore.Unit, c Replay, e domain.AttemptReplayed, like domain.RefusedAttempt) error {
	stream := domain.AttemptStream(c.Actor.Workspace, e.Attempt)
	refused, _, err := eventstore.Load[domain.RefusedAttempt](ctx, u, stream)
	if err != nil {
		return err
	}
	if refused.Tenant != like.Tenant || refused.Operation != like.Operation {
		return domain.ErrNotFound()
	}
	events, err := refused.Replay(e)
	u.Append(stream, events...)
	return err
}
