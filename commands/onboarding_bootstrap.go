package commands

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// admitBootstrap admits the session's operations while it is their turn, and answers what the gate said to each: to the last one only that it
// waits, unless it was accepted.
func (h *Handler) admitBootstrap(
	ctx context.Context, u *eventstore.Unit, s domain.OnboardingSession, stream uuid.UUID, at time.Time,
) (map[uuid.UUID]StartResult, error) {
	answers := map[uuid.UUID]StartResult{}
	for {
		queue, _, err := eventstore.Load[domain.Reservations](ctx, u, stream)
		if err != nil {
			return nil, err
		}
		conn, _, err := eventstore.Load[domain.ProviderConnection](ctx, u, domain.ConnectionStream(s.Connection))
		if err != nil {
			return nil, err
		}
		next, ok := s.Turn(queue, conn, at)
		if !ok {
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

// asked are the items of a session that a request is about: of each operation that it names the last one, in the order of their queue.
func (c StartBootstrap) asked(items []domain.BootstrapItem) []domain.BootstrapItem {
	last := map[string]uuid.UUID{}
	for _, i := range items {
		last[string(i.Operation)] = i.Reservation
	}
	return slices.DeleteFunc(slices.Clone(items), func(i domain.BootstrapItem) bool {
		return last[string(i.Operation)] != i.Reservation || !slices.Contains(c.Operations, string(i.Operation))
	})
}

// tell says what became of the operations that were asked for: each waits, or was answered now.
func (b *BootstrapResult) tell(asked []domain.BootstrapItem, q domain.Reservations, answers map[uuid.UUID]StartResult) {
	for _, item := range asked {
		o := BootstrapOperation{Operation: item.Operation, Reservation: item.Reservation}
		if _, o.Waits = q.Find(item.Reservation); !o.Waits {
			a := answers[item.Reservation]
			o.Outcome, o.Reason, o.RunNumber = a.Outcome, a.Reason, a.RunNumber
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
	o := counts(b.Operations)
	if o.Waits {
		u.Answer(b.Session.ID)
		return h.waitsFor(ctx, u, c, b, q, o, at)
	}
	a, ok := answers[o.Reservation]
	if !ok {
		return domain.ErrNotFound()
	}
	b.StartResult = a
	if a.Outcome == domain.Accepted {
		b.Accepted = &o.Operation
		u.Answer(a.Run)
		return nil
	}
	u.Answer(domain.AttemptStream(b.Session.Workspace, a.Attempt))
	return nil
}

// counts is the operation whose answer counts: one that was accepted, else one that joined a run, else the first that waits, else the first.
func counts(ops []BootstrapOperation) (o BootstrapOperation) {
	for _, is := range []func(BootstrapOperation) bool{
		func(o BootstrapOperation) bool { return !o.Waits && o.Outcome == domain.Accepted },
		func(o BootstrapOperation) bool { return !o.Waits && o.Outcome == domain.Deduped },
		func(o BootstrapOperation) bool { return o.Waits },
		func(BootstrapOperation) bool { return true },
	} {
		if i := slices.IndexFunc(ops, is); i >= 0 {
			return ops[i]
		}
	}
	return o
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
	items, fresh, turns, err := h.selectedBy(ctx, id, c.Attempt)
	if err != nil {
		return b, err
	}
	var waited uuid.UUID          // the reservation of the answer that counts, where that one waited
	var told []BootstrapOperation // those that were answered then
	for _, item := range c.asked(items) {
		o, e := BootstrapOperation{Operation: item.Operation, Reservation: item.Reservation}, turns[item.Reservation]
		if _, o.Waits = queue.Find(item.Reservation); !o.Waits {
			o.Outcome, o.Reason, o.RunNumber = e.Outcome, e.Reason, e.RunNumber
		}
		if waited == uuid.Nil && !e.atOnce {
			waited = item.Reservation
		}
		if e.atOnce {
			told = append(told, o)
		}
		b.take(o)
	}
	if receipt.Stream == id {
		b.StartResult, err = h.waited(ctx, c, s, waited, fresh)
	} else {
		b.StartResult, err = h.replay(ctx, Start{Attempt: domain.ReservationAttempt(counts(told).Reservation)}, receipt)
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

// selectedBy reads from a session what had been selected when an attempt was answered, the first reservation of it that the attempt itself
// made (zero when it made none), and how what had its turn since was answered.
func (h *Handler) selectedBy(ctx context.Context, session, attempt uuid.UUID) (
	items []domain.BootstrapItem, fresh uuid.UUID, turns map[uuid.UUID]turn, err error,
) {
	events, err := h.store.ReadStream(ctx, session, 0)
	if err != nil {
		return nil, fresh, nil, err
	}
	var all []domain.BootstrapItem
	turns = map[uuid.UUID]turn{}
	for _, stored := range events {
		decoded, err := stored.Decode()
		if err != nil {
			return nil, fresh, nil, err
		}
		meta, err := stored.Cause()
		if err != nil {
			return nil, fresh, nil, err
		}
		own := meta.Attempt == attempt
		switch e := decoded.(type) {
		case domain.BootstrapSelected:
			if all = append(all, e.Operations...); own {
				fresh = e.Operations[0].Reservation
			}
		case domain.BootstrapOperationAdmitted:
			turns[e.Reservation] = turn{e, own}
		}
		if own {
			items = slices.Clone(all)
		}
	}
	return items, fresh, turns, nil
}

// waited is the first answer to operations that all had to wait: for the run that held the connection then, be it other work or the same.
func (h *Handler) waited(
	ctx context.Context, c StartBootstrap, s domain.OnboardingSession, reservation, fresh uuid.UUID,
) (StartResult, error) {
	var r StartResult
	conn := domain.ConnectionStream(c.Connection)
	queued := func(id uuid.UUID) (domain.StartReserved, error) {
		return find(ctx, h.store, domain.ReservationStream(conn), func(e domain.StartReserved) bool { return e.ID == id })
	}
	first, err := queued(reservation)
	if err != nil {
		return r, err
	}
	if fresh != uuid.Nil && fresh != reservation { // it waited before; what was in its way then may be another run
		now, err := queued(fresh)
		if err != nil {
			return r, err
		}
		first.Holder = now.Holder
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
