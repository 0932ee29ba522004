package domain

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// ReservationTime is how long a reservation waits for its turn.
const ReservationTime = 2 * time.Hour

// MostReservations is how many starts may wait for one connection.
const MostReservations = 20

// Reservations are the starts that wait for one connection's protected scope, in order. Rules:
//
//  1. A reservation promises a try, not a run: when the scope is free the gate decides on it like on any other attempt.
//  2. The same work waits once; asking again answers the reservation that there is.
//  3. Each ends exactly once: admitted (with whatever the gate answered), cancelled, expired, or withdrawn because its initiator may no
//     longer start the operation.
type Reservations struct {
	Connection uuid.UUID
	Waiting    []Reservation
}

// Reservation is one start that waits.
type Reservation struct {
	ID         uuid.UUID         `json:"reservation"`
	Operation  OperationType     `json:"operation"`
	Identity   string            `json:"identity"`
	Tenant     uuid.UUID         `json:"tenant"`
	Connection int64             `json:"connection"`
	Inputs     map[string]string `json:"inputs,omitempty"`
	Reconsent  bool              `json:"reconsent,omitempty"`
	Initiator  ActorRef          `json:"initiator"`
	Surface    string            `json:"surface,omitempty"`
	Trigger    Trigger           `json:"trigger"`
	Holder     int64             `json:"holder"` // number of the run that held the scope when it was reserved
	Until      time.Time         `json:"until"`
	Session    uuid.UUID         `json:"session,omitzero"` // the onboarding whose bootstrap it belongs to
}

// ReservationEnd says how a reservation ended.
type ReservationEnd string

// The ways in which a reservation ends.
const (
	ReservationAdmitted  ReservationEnd = "admitted"
	ReservationCancelled ReservationEnd = "cancelled"
	ReservationExpired   ReservationEnd = "expired"
	ReservationWithdrawn ReservationEnd = "withdrawn"
)

// StartReserved says that a start waits for the scope.
type StartReserved struct {
	Reservation
}

// ReservationEnded says that a start waits no longer. Where it was admitted, the attempt's receipt says what the gate answered.
type ReservationEnded struct {
	Reservation uuid.UUID      `json:"reservation"`
	End         ReservationEnd `json:"end"`
	Attempt     uuid.UUID      `json:"attempt,omitzero"`
	Outcome     Outcome        `json:"outcome,omitempty"`
	Reason      ReasonCode     `json:"reason,omitempty"`
	RunNumber   int64          `json:"runNumber,omitempty"`
}

// EventName implements Event.
func (StartReserved) EventName() string { return "StartReserved" }

// EventName implements Event.
func (ReservationEnded) EventName() string { return "ReservationEnded" }

// ReservationStream is the stream of a connection's reservations.
func ReservationStream(connection uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(connection, []byte("reservations"))
}

// ReservationAttempt is the attempt that a reservation becomes, the same however often it is tried.
func ReservationAttempt(reservation uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(reservation, []byte("attempt"))
}

// Reserve lets a start wait for the scope's holder. It returns the reservation that stands afterwards: where the same work waits already,
// that one and no events.
func (q Reservations) Reserve(d Decision, r Reservation, at time.Time) (Reservation, []Event, error) {
	for _, w := range q.Waiting {
		if w.Identity == r.Identity && at.Before(w.Until) {
			return w, nil, nil
		}
	}
	switch {
	case d.Outcome == IsBlocked:
		return r, nil, conflict("start_blocked", "This start is blocked for another reason than a busy connection, so waiting would not help.")
	case d.Outcome == Accepted:
		return r, nil, conflict("scope_free", "The connection is free: start the operation now.")
	case len(q.Waiting) >= MostReservations:
		return r, nil, conflict("too_many_reservations", "Too many starts wait for this connection already. Try again when some have ended.")
	}
	return r, []Event{StartReserved{r}}, nil
}

// Next is the first reservation whose time is not up.
func (q Reservations) Next(at time.Time) (Reservation, bool) {
	for _, w := range q.Waiting {
		if at.Before(w.Until) {
			return w, true
		}
	}
	return Reservation{}, false
}

// Expire ends the reservations whose time is up.
func (q Reservations) Expire(at time.Time) []Event {
	var events []Event
	for _, w := range q.Waiting {
		if !at.Before(w.Until) {
			events = append(events, ReservationEnded{Reservation: w.ID, End: ReservationExpired})
		}
	}
	return events
}

// Cancel ends a waiting reservation at somebody's request. One that has ended already is refused.
func (q Reservations) Cancel(id uuid.UUID) ([]Event, error) {
	if _, ok := q.Find(id); !ok {
		return nil, conflict("reservation_ended", "This reservation has ended already.")
	}
	return []Event{ReservationEnded{Reservation: id, End: ReservationCancelled}}, nil
}

// Find is a waiting reservation.
func (q Reservations) Find(id uuid.UUID) (Reservation, bool) {
	i := slices.IndexFunc(q.Waiting, func(w Reservation) bool { return w.ID == id })
	if i < 0 {
		return Reservation{}, false
	}
	return q.Waiting[i], true
}

// Waits says whether the reservation keeps its turn: the scope is held, be it by other work or by the same. Only what an onboarding selected
// never waits for the same work: it joins it.
func (r Reservation) Waits(c ProviderConnection, d Decision) bool {
	return c.Scope.Held() && (d.Outcome == Busy || d.Outcome == Deduped && r.Session == uuid.Nil)
}

// Admit ends a reservation with the gate's answer to it; number is that of the accepted run.
func (r Reservation) Admit(d Decision, number int64) []Event {
	if d.Outcome == Deduped {
		number = d.Holder.RunNumber
	}
	return []Event{ReservationEnded{
		Reservation: r.ID, End: ReservationAdmitted, Attempt: ReservationAttempt(r.ID), Outcome: d.Outcome, Reason: d.Reason, RunNumber: number,
	}}
}

// Evolve implements State.
func (q Reservations) Evolve(e Event) Reservations {
	switch e := e.(type) {
	case StartReserved:
		q.Connection = ConnectionStream(e.Connection)
		q.Waiting = append(slices.Clip(q.Waiting), e.Reservation)
	case ReservationEnded:
		q.Waiting = slices.DeleteFunc(slices.Clone(q.Waiting), func(w Reservation) bool { return w.ID == e.Reservation })
	}
	return q
}
