package commands

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// admitBootstrap admits the session's operations while they are the next of their queue, and answers what the gate said to each: to the last
// one only that it waits, unless it was accepted.
func (h *Handler) admitBootstrap(
	ctx context.Context, u *eventstore.Unit, s domain.OnboardingSession, stream uuid.UUID, at time.Time,
) (map[uuid.UUID]StartResult, error) {
	answers := map[uuid.UUID]StartResult{}
	for {
		queue, _, err := eventstore.Load[domain.Reservations](ctx, u, stream)
		if err != nil {
			return nil, err
		}
		next, ok := queue.Next(at)
		if !ok || next.Session != s.ID {
			return answers, nil
		}
		answer, ends, err := h.admit(ctx, u, s.Workspace, next, at)
		if err != nil {
			return nil, err
		}
		answers[next.ID] = answer
		if len(ends) == 0 {
			return answers, nil
		}
		if answer.Outcome == "" { // withdrawn: who asks is no member any more
			return nil, domain.ErrNotFound()
		}
		u.Append(stream, ends...)
	}
}

// tell says what became of the session's operations: of those that were selected, or admitted now.
func (b *BootstrapResult) tell(s domain.OnboardingSession, q domain.Reservations, answers map[uuid.UUID]StartResult) {
	for _, item := range s.Bootstrap {
		o := BootstrapOperation{Operation: item.Operation, Reservation: item.Reservation}
		_, o.Waits = q.Find(item.Reservation)
		if a, ok := answers[item.Reservation]; ok && !o.Waits {
			o.Outcome, o.Reason, o.RunNumber = a.Outcome, a.Reason, a.RunNumber
		} else if !o.Waits {
			continue // of an earlier selection
		}
		b.take(o)
	}
}

func (b *BootstrapResult) take(o BootstrapOperation) {
	b.Operations = append(b.Operations, o)
	switch {
	case o.Waits:
		b.Pending = append(b.Pending, o.Operation)
	case o.Outcome == domain.IsBlocked:
		b.Blocked = append(b.Blocked, o)
	}
	if o.RunNumber != 0 && !slices.Contains(b.Runs, o.RunNumber) {
		b.Runs = append(b.Runs, o.RunNumber)
	}
}

// answerFor chooses the gate's answer that counts, and with it what a repeat of the request is answered from: the receipt of that answer,
// or the session where the operation only waits.
func (h *Handler) answerFor(
	ctx context.Context, u *eventstore.Unit, c StartBootstrap, b *BootstrapResult, answers map[uuid.UUID]StartResult, q domain.Reservations,
	at time.Time,
) error {
	u.Answer(b.Session.ID)
	for _, o := range b.Operations {
		a, asked := answers[o.Reservation]
		switch {
		case asked && !o.Waits && a.Outcome == domain.Accepted:
			b.StartResult, b.Accepted = a, &o.Operation
			u.Answer(a.Run)
			return nil
		case o.Waits:
			return h.waitsFor(ctx, u, c, b, q, o, at)
		}
	}
	for _, o := range b.Operations { // each was blocked, or joined a run
		if a, ok := answers[o.Reservation]; ok {
			b.StartResult = a
			u.Answer(domain.AttemptStream(b.Session.Workspace, a.Attempt))
			return nil
		}
	}
	return domain.ErrNotFound()
}

// waitsFor makes the gate's answer to an operation that waits the one that counts. Behind other starts it waits whatever that is.
func (h *Handler) waitsFor(
	ctx context.Context, u *eventstore.Unit, c StartBootstrap, b *BootstrapResult, q domain.Reservations, o BootstrapOperation, at time.Time,
) error {
	r, _ := q.Find(o.Reservation)
	_, _, err := h.decideStart(ctx, u, Start{
		Actor: c.Actor, Attempt: domain.ReservationAttempt(r.ID), Operation: r.Operation, Connection: r.Connection, Inputs: r.Inputs,
		Surface: c.Surface, Trigger: c.Trigger,
	}, at, &b.StartResult)
	if b.Outcome == domain.Accepted || b.Outcome == domain.IsBlocked {
		b.Outcome, b.Reason = domain.Busy, ""
	}
	return err
}

// bootstrapBefore answers a repeated request: the gate's answer is that of the first time, and the operations are as they stand by now.
func (h *Handler) bootstrapBefore(ctx context.Context, c StartBootstrap, id uuid.UUID, receipt eventstore.Receipt) (BootstrapResult, error) {
	var b BootstrapResult
	s, _, err := eventstore.Current[domain.OnboardingSession](ctx, h.store, id)
	if err != nil {
		return b, err
	}
	b.Session = s
	queue, _, err := eventstore.Current[domain.Reservations](ctx, h.store, domain.ReservationStream(domain.ConnectionStream(c.Connection)))
	if err != nil {
		return b, err
	}
	items, ends, err := h.selectedBy(ctx, id, c.Attempt)
	if err != nil {
		return b, err
	}
	var waited, told uuid.UUID // the reservation of the answer that counts
	for _, item := range items {
		o, e := BootstrapOperation{Operation: item.Operation, Reservation: item.Reservation}, ends[item.Reservation]
		if _, o.Waits = queue.Find(item.Reservation); !o.Waits {
			o.Outcome, o.Reason, o.RunNumber = e.Outcome, e.Reason, e.RunNumber
		}
		if waited == uuid.Nil && !e.atOnce {
			waited = item.Reservation
		}
		if e.atOnce && (told == uuid.Nil || e.Outcome == domain.Accepted) {
			told = item.Reservation
		}
		b.take(o)
	}
	if receipt.Stream == id {
		b.StartResult, err = h.waited(ctx, c, s, waited)
	} else {
		b.StartResult, err = h.replay(ctx, Start{Attempt: domain.ReservationAttempt(told)}, receipt)
	}
	b.Replayed, b.Seq = true, receipt.Seq
	if b.Outcome == domain.Accepted {
		op := b.Operation.Type
		b.Accepted = &op
	}
	return b, err
}

// turn is how an operation of a session was answered when it had its turn.
type turn struct {
	domain.BootstrapOperationAdmitted
	atOnce bool // when it was selected
}

// selectedBy reads from a session what an attempt selected, and how what had its turn was answered.
func (h *Handler) selectedBy(ctx context.Context, session, attempt uuid.UUID) ([]domain.BootstrapItem, map[uuid.UUID]turn, error) {
	events, err := h.store.ReadStream(ctx, session, 0)
	if err != nil {
		return nil, nil, err
	}
	var items []domain.BootstrapItem
	turns := map[uuid.UUID]turn{}
	for _, stored := range events {
		decoded, err := stored.Decode()
		if err != nil {
			return nil, nil, err
		}
		meta, err := stored.Cause()
		if err != nil {
			return nil, nil, err
		}
		switch e := decoded.(type) {
		case domain.BootstrapSelected:
			if meta.Attempt == attempt {
				items = append(items, e.Operations...)
			}
		case domain.BootstrapOperationAdmitted:
			turns[e.Reservation] = turn{e, meta.Attempt == attempt}
		}
	}
	return items, turns, nil
}

// waited is the first answer to operations that all had to wait: for the run that held the connection then, be it other work or the same.
func (h *Handler) waited(ctx context.Context, c StartBootstrap, s domain.OnboardingSession, reservation uuid.UUID) (StartResult, error) {
	var r StartResult
	conn := domain.ConnectionStream(c.Connection)
	first, err := find(ctx, h.store, domain.ReservationStream(conn), func(e domain.StartReserved) bool { return e.ID == reservation })
	if err != nil {
		return r, err
	}
	held, err := find(ctx, h.store, conn, func(e domain.ScopeAcquired) bool { return e.RunNumber == first.Holder })
	if err != nil {
		return r, err
	}
	if r.Operation, err = domain.LookupOperation(first.Operation); err != nil {
		return r, err
	}
	r.Decision = domain.Decision{Outcome: domain.Busy, Identity: first.Identity, Holder: held.ScopeHolder}
	if held.Identity == first.Identity {
		r.Outcome = domain.Deduped
	}
	r.Run, r.RunNumber = r.Holder.Run, r.Holder.RunNumber
	if r.Tenant, _, err = eventstore.Current[domain.Tenant](ctx, h.store, s.Tenant); err != nil {
		return r, err
	}
	r.Connection, _, err = eventstore.Current[domain.ProviderConnection](ctx, h.store, conn)
	return r, err
}

// find reads the first event of a stream that is one of type E and is right; the zero event when there is none.
func find[E domain.Event](ctx context.Context, store *eventstore.Store, stream uuid.UUID, right func(E) bool) (E, error) {
	var none E
	events, err := store.ReadStream(ctx, stream, 0)
	if err != nil {
		return none, err
	}
	for _, stored := range events {
		if stored.Name != none.EventName() {
			continue
		}
		decoded, err := stored.Decode()
		if err != nil {
			return none, err
		}
		if e, ok := decoded.(E); ok && right(e) {
			return e, nil
		}
	}
	return none, nil
}
