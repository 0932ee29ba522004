package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Reserve asks for a start to be tried as soon as the connection is free: "start when free" where other work holds the scope, "run again
// after this one" where the same work does. The start is named as for Start; its attempt id makes the reservation repeatable.
type Reserve struct {
	Start
}

// Reserve carries a Reserve out and returns the reservation that stands afterwards, with the receipt's seq (0 when it stood already).
// Whatever Start refuses is refused here too; a connection that is free, or a start that would be blocked, is a domain.Conflict.
func (h *Handler) Reserve(ctx context.Context, c Reserve) (domain.Reservation, int64, error) {
	if c.Attempt == uuid.Nil {
		c.Attempt = uuid.Must(uuid.NewV7())
	}
	hash, err := c.hash()
	if err != nil {
		return domain.Reservation{}, 0, err
	}
	var reserved domain.Reservation
	receipt, err := h.transact(ctx, request{
		actor: c.Actor, key: uuid.NewSHA1(domain.AttemptStream(c.Actor.Workspace, c.Attempt), []byte("reserve")), hash: hash,
		affinity: c.affinity(), needs: c.needs(), attempt: c.Attempt, surface: c.Surface, trigger: c.Trigger,
	}, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		var r StartResult
		s, a, err := h.decideStart(ctx, u, c.Start, at, &r)
		if err != nil {
			return err
		}
		reserved, err = reserve(ctx, u, s, a, r)
		return err
	})
	if err != nil {
		return domain.Reservation{}, 0, err
	}
	if receipt.Replayed {
		return h.reservedBefore(ctx, c, receipt)
	}
	return reserved, receipt.Seq, nil
}

// reserve appends that an attempt which the gate did not accept waits for its turn, and answers the reservation that stands afterwards.
func reserve(ctx context.Context, u *eventstore.Unit, s domain.Situation, a domain.Attempt, r StartResult) (domain.Reservation, error) {
	stream := domain.ReservationStream(s.Connection.ID)
	queue, _, err := eventstore.Load[domain.Reservations](ctx, u, stream)
	if err != nil {
		return domain.Reservation{}, err
	}
	stands, events, err := queue.Reserve(r.Decision, domain.Reservation{
		ID: uuid.Must(uuid.NewV7()), Operation: a.Operation.Type, Identity: r.Identity, Tenant: s.Tenant.ID,
		Connection: s.Connection.Number, Inputs: a.Inputs, Reconsent: a.Reconsent, Initiator: a.Actor, Surface: a.Surface,
		Trigger: a.Trigger, Holder: r.RunNumber, Until: a.At.Add(domain.ReservationTime),
	}, a.At)
	if err != nil {
		return domain.Reservation{}, err
	}
	u.Append(stream, append(queue.Expire(a.At), events...)...)
	return stands, nil
}

// reservedBefore finds the reservation that a repeated request had made.
func (h *Handler) reservedBefore(ctx context.Context, c Reserve, receipt eventstore.Receipt) (domain.Reservation, int64, error) {
	events, err := h.store.ReadStream(ctx, receipt.Stream, 0)
	if err != nil {
		return domain.Reservation{}, 0, err
	}
	for _, stored := range events {
		meta, err := stored.Cause()
		if err != nil {
			return domain.Reservation{}, 0, err
		}
		if meta.Attempt != c.Attempt || stored.Name != (domain.StartReserved{}).EventName() {
			continue
		}
		e, err := stored.Decode()
		if err != nil {
			return domain.Reservation{}, 0, err
		}
		return e.(domain.StartReserved).Reservation, receipt.Seq, nil
	}
	return domain.Reservation{}, 0, domain.ErrNotFound()
}

// CancelReservation withdraws a start that waits.
type CancelReservation struct {
	Actor       domain.Actor
	Connection  int64
	Reservation uuid.UUID
}

// CancelReservation carries a CancelReservation out. It needs the capability that the start needed.
func (h *Handler) CancelReservation(ctx context.Context, c CancelReservation) (int64, error) {
	receipt, err := h.transact(ctx, request{
		actor: c.Actor, affinity: domain.ConnectionStream(c.Connection), trigger: domain.TriggerOperator,
	}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		conn, _, err := connection(ctx, u, c.Actor, c.Connection)
		if err != nil {
			return err
		}
		stream := domain.ReservationStream(conn.ID)
		queue, _, err := eventstore.Load[domain.Reservations](ctx, u, stream)
		if err != nil {
			return err
		}
		if waiting, ok := queue.Find(c.Reservation); ok { // else it is not there, for everybody who sees the connection
			needs := domain.OperationByType(waiting.Operation).Capability
			if err := c.Actor.Authorize(conn.Workspace, conn.Tenant, needs); err != nil {
				return err
			}
		}
		events, err := queue.Cancel(c.Reservation)
		u.Append(stream, events...)
		return err
	})
	return receipt.Seq, err
}

// AdmitNext tries the reservations of a connection, in order, until one is accepted or the connection is busy, and ends those whose time is
// up. It answers how many ended. It may be called at any time by any number of processes: a reservation becomes one attempt whose id
// follows from its own, and its initiator must still be allowed to start the operation.
func (h *Handler) AdmitNext(ctx context.Context, workspace uuid.UUID, connection int64) (int, error) {
	ended := 0
	for {
		n, more, err := h.admitOne(ctx, workspace, connection)
		ended += n
		if err != nil || !more {
			return ended, err
		}
	}
}

func (h *Handler) admitOne(ctx context.Context, workspace uuid.UUID, number int64) (ended int, more bool, err error) {
	stream := domain.ReservationStream(domain.ConnectionStream(number))
	queue, _, err := eventstore.Current[domain.Reservations](ctx, h.store, stream)
	if err != nil {
		return 0, false, err
	}
	at := h.now()
	next, ok := queue.Next(at)
	actor := domain.SystemActor(workspace)
	if ok {
		actor.Ref = next.Initiator
	}
	var n int
	var again bool
	_, err = h.transact(ctx, request{
		actor: actor, affinity: domain.ConnectionStream(number), needs: []uuid.UUID{domain.ConnectionStream(number)}, cause: next.ID,
		attempt: domain.ReservationAttempt(next.ID), surface: next.Surface, trigger: next.Trigger,
	}, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		queue, _, err := eventstore.Load[domain.Reservations](ctx, u, stream)
		if err != nil {
			return err
		}
		events := queue.Expire(at)
		if current, ok := queue.Next(at); ok && current.ID == next.ID {
			_, admitted, err := h.admit(ctx, u, workspace, current, at)
			if err != nil {
				return err
			}
			again = len(admitted) > 0
			events = append(events, admitted...)
		}
		n = len(events)
		u.Append(stream, events...)
		return nil
	})
	if err != nil {
		return 0, false, err
	}
	return n, again, nil
}

// admit asks the gate about a reservation's start and appends what it answers, to the reservation's session too; the returned events end
// the reservation. There are none while it keeps its turn.
func (h *Handler) admit(
	ctx context.Context, u *eventstore.Unit, workspace uuid.UUID, r domain.Reservation, at time.Time,
) (StartResult, []domain.Event, error) {
	result := StartResult{Attempt: domain.ReservationAttempt(r.ID)}
	org, _, err := eventstore.Load[domain.Workspace](ctx, u, workspace)
	if err != nil {
		return result, nil, err
	}
	about, _, err := eventstore.Load[domain.Tenant](ctx, u, r.Tenant)
	if err != nil {
		return result, nil, err
	}
	member, ok := org.Members[r.Initiator.ID]
	if r.Initiator.Personal() && (!ok || !member.Scope.Includes(r.Tenant, about.Groups)) {
		return result, withdrawn(r), nil
	}
	c := Start{
		Actor:   domain.Actor{Ref: r.Initiator, Workspace: workspace, Role: member.Role, Capabilities: org.Roles[member.Role]},
		Attempt: result.Attempt, Operation: r.Operation, Connection: r.Connection, Inputs: r.Inputs, Surface: r.Surface,
		Trigger: r.Trigger, Reconsent: r.Reconsent,
	}
	s, a, err := h.decideStart(ctx, u, c, at, &result)
	if _, refused := domain.AsRefusal(err); refused {
		return result, withdrawn(r), nil
	}
	if err != nil || r.Waits(s.Connection, result.Decision) {
		return result, nil, err
	}
	if err := h.record(ctx, u, s, a, &result); err != nil {
		return result, nil, err
	}
	ends := r.Admit(result.Decision, result.RunNumber)
	if r.Session == uuid.Nil {
		return result, ends, nil
	}
	session, _, err := eventstore.Load[domain.OnboardingSession](ctx, u, r.Session)
	u.Append(r.Session, session.Admitted(r, ends)...)
	return result, ends, err
}

func withdrawn(r domain.Reservation) []domain.Event {
	return []domain.Event{domain.ReservationEnded{Reservation: r.ID, End: domain.ReservationWithdrawn}}
}
