package domain

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// SelectBootstrap puts operations into the queue of the session's connection: the first result is for the queue's stream, the second for
// the session's. selected are reservations of this session in the order in which they are to be admitted. What waits for this session
// already is not put in again; the same work that waits for somebody else is, because nobody promised the session its result.
func (s OnboardingSession) SelectBootstrap(q Reservations, selected []Reservation, at time.Time) (queued, session []Event, err error) {
	var items []BootstrapItem
	for _, r := range selected {
		if slices.ContainsFunc(q.Waiting, func(w Reservation) bool {
			return w.Session == s.ID && w.Identity == r.Identity && at.Before(w.Until)
		}) {
			continue
		}
		queued = append(queued, StartReserved{r})
		items = append(items, BootstrapItem{Operation: r.Operation, Reservation: r.ID})
	}
	switch {
	case len(items) == 0:
		return nil, nil, nil
	case len(q.Waiting)+len(items) > MostReservations:
		return nil, nil, conflict("too_many_reservations", "Too many starts wait for this connection already. Try again when some have ended.")
	}
	return queued, []Event{BootstrapSelected{Connection: s.Connection, Operations: items}}, nil
}

// Turn is the session's operation that is to be tried now: one whose work runs already, which joins it wherever it waits, or the queue's
// next when that is the session's.
func (s OnboardingSession) Turn(q Reservations, c ProviderConnection, at time.Time) (Reservation, bool) {
	for _, w := range q.Waiting {
		if w.Session == s.ID && c.Scope.Held() && w.Identity == c.Scope.Identity && at.Before(w.Until) {
			return w, true
		}
	}
	next, ok := q.Next(at)
	return next, ok && next.Session == s.ID
}

// MayLeave refuses to leave a connection for another while operations of the session still wait for it; q is its queue.
func (s OnboardingSession) MayLeave(q Reservations) error {
	if slices.ContainsFunc(q.Waiting, func(w Reservation) bool { return s.Exists() && w.Session == s.ID }) {
		return conflict("onboarding_operations_wait", "Operations of this onboarding wait for the connection that was chosen. Stop them first.")
	}
	return nil
}

// BootstrapReservation is the reservation under which a session's operation waits for its turn on a connection.
func (s OnboardingSession) BootstrapReservation(id uuid.UUID, o Operation, c ProviderConnection, by ActorRef, at time.Time) (Reservation, error) {
	inputs, err := o.Resolve(nil)
	if err != nil {
		return Reservation{}, err
	}
	return Reservation{
		ID: id, Operation: o.Type, Identity: o.Identity(s.Tenant, c.ID, inputs, ReservationAttempt(id)), Tenant: s.Tenant, Connection: c.Number,
		Inputs: inputs, Initiator: by, Holder: c.Scope.RunNumber, Until: at.Add(BootstrapTime), Session: s.ID,
	}, nil
}
