package commands_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

// member adds a person to the workspace, as a reservation's initiator must be one when its turn comes.
func (w *world) member(t testing.TB, role domain.Role) domain.Actor {
	t.Helper()
	a := w.actor(role)
	must(t, w.handlers[0].AddMember(t.Context(), commands.AddMember{Actor: w.system, Person: a.Ref.ID, Role: role}))
	return a
}

func (w *world) end(t testing.TB, run uuid.UUID, token int64) {
	t.Helper()
	claim := commands.Claim{Workspace: w.workspace, Run: run, Token: token, Worker: "w"}
	_, err := w.handlers[0].BeginRun(t.Context(), claim)
	must(t, err)
	must(t, w.handlers[0].EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Succeeded}, nil))
}

// TestReservationsAreAdmittedInOrder: two wait behind a run; as each predecessor ends the next is admitted, once, however many processes try.
func TestReservationsAreAdmittedInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	kim := w.member(t, domain.RoleOperator)
	holder, err := h.Start(ctx, w.start(domain.OpGroupsSync))
	must(t, err)
	reserve := func(op domain.OperationType) domain.Reservation {
		t.Helper()
		c := w.start(op)
		c.Actor, c.Attempt = kim, uuid.New()
		r, _, err := h.Reserve(ctx, commands.Reserve{Start: c})
		must(t, err)
		again, _, err := w.handlers[1].Reserve(ctx, commands.Reserve{Start: c})
		must(t, err)
		if again.ID != r.ID {
			t.Errorf("the repeated request made another reservation")
		}
		return r
	}
	successor, behind := reserve(domain.OpGroupsSync), reserve(domain.OpRoleDefinitionsSync)
	if successor.Holder != holder.RunNumber {
		t.Errorf("it waits for run %d, want %d", successor.Holder, holder.RunNumber)
	}
	admit := func() (total int) {
		t.Helper()
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				n, err := w.handlers[i%2].AdmitNext(ctx, w.workspace, w.conn.Number)
				mu.Lock()
				defer mu.Unlock()
				if total += n; err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return total
	}
	if n := admit(); n != 0 {
		t.Errorf("%d admitted while the connection is busy", n)
	}
	run := holder.Run
	for i, want := range []domain.Reservation{successor, behind} {
		w.end(t, run, int64(i+1))
		if n := admit(); n != 1 {
			t.Fatalf("%d admitted after a run ended, want 1", n)
		}
		c := w.start(want.Operation)
		c.Actor = kim
		now, err := h.Forecast(ctx, c)
		must(t, err)
		if now.Outcome != domain.Deduped || now.Holder.Initiator != kim.Ref {
			t.Fatalf("the connection is held by %+v, want the reserved %s", now.Holder, want.Operation)
		}
		run = now.Holder.Run
	}
	if n := w.count(t, "ReservationEnded"); n != 2 {
		t.Errorf("%d reservations ended, want 2", n)
	}
}

func TestReservationsEndWithoutARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	stranger, kim := w.actor(domain.RoleOperator), w.member(t, domain.RoleOperator)
	holder, err := h.Start(ctx, w.start(domain.OpGroupsSync))
	must(t, err)
	reserve := func(a domain.Actor) (domain.Reservation, error) {
		c := w.start(domain.OpRoleDefinitionsSync)
		c.Actor = a
		r, _, err := h.Reserve(ctx, commands.Reserve{Start: c})
		return r, err
	}
	readonly, elsewhere := w.actor(domain.RoleReadonly), kim
	elsewhere.Workspace = uuid.New()
	for name, c := range map[string]struct {
		actor domain.Actor
		kind  domain.Kind
	}{"readonly": {readonly, domain.Forbidden}, "elsewhere": {elsewhere, domain.NotFound}} {
		if _, err := reserve(c.actor); !isKind(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
	left, err := reserve(stranger)
	must(t, err)
	if err := cancelReservation(w, readonly, left); !isKind(err, domain.Forbidden) {
		t.Errorf("a reader cancelled: %v", err)
	}
	must(t, cancelReservation(w, kim, left))
	if err := cancelReservation(w, kim, left); !isKind(err, domain.Conflict) {
		t.Errorf("cancelled twice: %v", err)
	}
	_, err = reserve(stranger) // no member of the workspace when its turn comes
	must(t, err)
	w.end(t, holder.Run, 1)
	n, err := h.AdmitNext(ctx, w.workspace, w.conn.Number)
	must(t, err)
	if n != 1 || w.count(t, "RunAccepted") != 1 {
		t.Errorf("%d ended and %d runs; want it withdrawn without a run", n, w.count(t, "RunAccepted"))
	}
	if _, err := reserve(kim); !isKind(err, domain.Conflict) {
		t.Errorf("reserved on a free connection: %v", err)
	}

	holder, err = h.Start(ctx, w.start(domain.OpGroupsSync))
	must(t, err)
	_, err = reserve(kim)
	must(t, err)
	later := commands.New(w.stores[1], func() time.Time { return time.Now().Add(domain.ReservationTime) })
	if n, err := later.AdmitNext(ctx, w.workspace, w.conn.Number); err != nil || n != 1 {
		t.Errorf("%d ended, %v; want the expired one", n, err)
	}
	if holder.Outcome != domain.Accepted || w.count(t, "ReservationEnded") != 3 {
		t.Errorf("%d reservations ended, want cancelled, withdrawn and expired", w.count(t, "ReservationEnded"))
	}
}

func cancelReservation(w *world, a domain.Actor, r domain.Reservation) error {
	_, err := w.handlers[0].CancelReservation(context.Background(), commands.CancelReservation{Actor: a, Connection: r.Connection, Reservation: r.ID})
	return err
}

func isKind(err error, k domain.Kind) bool {
	refusal, ok := domain.AsRefusal(err)
	return ok && refusal.Kind == k
}
