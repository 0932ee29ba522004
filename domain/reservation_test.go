package domain

import (
	"reflect"
	"testing"
	"time"
)

func waitingStart(label string) Reservation {
	return Reservation{
		ID: sampleID("reservation/" + label), Operation: OpGroupsSync, Identity: label, Tenant: sampleTenant().ID, Connection: 7,
		Initiator: person("ada"), Trigger: TriggerOperator, Holder: 1001, Until: now.Add(ReservationTime),
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	full := Reservations{}
	for i := range MostReservations {
		full = full.Evolve(StartReserved{waitingStart(string(rune('a' + i)))})
	}
	for _, c := range []struct {
		name    string
		queue   Reservations
		outcome Outcome
		ask     string
		at      time.Time
		code    string
		events  int
	}{
		{"waits behind other work", Reservations{}, Busy, "x", now, "", 1},
		{"waits behind the same work", Reservations{}, Deduped, "x", now, "", 1},
		{"stands already", full, Busy, "c", now, "", 0},
		{"stood, but its time was up", full.Evolve(ReservationEnded{Reservation: waitingStart("t").ID}), Busy, "c", now.Add(ReservationTime), "", 1},
		{"nothing to wait for", Reservations{}, Accepted, "x", now, "scope_free", 0},
		{"waiting would not help", Reservations{}, IsBlocked, "x", now, "start_blocked", 0},
		{"too many", full, Busy, "x", now, "too_many_reservations", 0},
	} {
		got, events, err := c.queue.Reserve(Decision{Outcome: c.outcome}, waitingStart(c.ask), c.at)
		refusal, refused := AsRefusal(err)
		if refused != (c.code != "") || refused && refusal.Code != c.code || len(events) != c.events || got.Identity != c.ask {
			t.Errorf("%s: %d events, reservation %q, %v; want %d and %q", c.name, len(events), got.Identity, err, c.events, c.code)
		}
	}
}

// TestReservationsEndOnce follows a queue of two through expiry, a busy connection, admission and cancellation.
func TestReservationsEndOnce(t *testing.T) {
	t.Parallel()
	first, second := waitingStart("first"), waitingStart("second")
	first.Until = now.Add(time.Minute)
	q := Fold(Reservations{}, StartReserved{first}, StartReserved{second})
	if next, ok := q.Next(now); !ok || next.ID != first.ID {
		t.Errorf("next is %v, %v; want the first", next.Identity, ok)
	}
	expired := q.Expire(first.Until)
	if want := []Event{ReservationEnded{Reservation: first.ID, End: ReservationExpired}}; !reflect.DeepEqual(expired, want) {
		t.Errorf("expired %v, want %v", expired, want)
	}
	if next, ok := q.Next(first.Until); !ok || next.ID != second.ID {
		t.Errorf("next is %v, %v; want the second", next.Identity, ok)
	}
	free, held := readyConnection(), readyConnection().Evolve(ScopeAcquired{ScopeHolder{Run: sampleID("run")}})
	for _, c := range []struct {
		connection ProviderConnection
		outcome    Outcome
		want       bool
	}{{held, Busy, true}, {held, Deduped, true}, {held, IsBlocked, false}, {free, Accepted, false}, {free, Deduped, false}} {
		if got := second.Waits(c.connection, Decision{Outcome: c.outcome}); got != c.want {
			t.Errorf("held %v and %s: waits %v, want %v", c.connection.Scope.Held(), c.outcome, got, c.want)
		}
	}
	events := second.Admit(Decision{Outcome: Deduped, Holder: ScopeHolder{RunNumber: 9}}, 0)
	want := ReservationEnded{
		Reservation: second.ID, End: ReservationAdmitted, Attempt: ReservationAttempt(second.ID), Outcome: Deduped, RunNumber: 9,
	}
	if !reflect.DeepEqual(events, []Event{want}) {
		t.Errorf("admitted with %v, want %v", events, want)
	}
	q = Fold(q, append(expired, events...)...)
	if _, ok := q.Next(now); ok || len(q.Waiting) != 0 {
		t.Errorf("%d still wait", len(q.Waiting))
	}
	if _, err := q.Cancel(second.ID); err == nil {
		t.Error("an ended reservation was cancelled")
	}
	again := q.Evolve(StartReserved{second})
	if events, err := again.Cancel(second.ID); err != nil || len(events) != 1 || len(again.Evolve(events[0]).Waiting) != 0 {
		t.Errorf("cancel: %v, %v", events, err)
	}
}
