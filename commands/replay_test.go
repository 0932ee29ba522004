package commands_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

// refused blocks a start of groups, and mends what blocked it.
func (w *world) refused(t *testing.T, attempts ...uuid.UUID) {
	t.Helper()
	ctx, h := t.Context(), w.handlers[0]
	must(t, h.RecordConsent(ctx, commands.RecordConsent{Actor: w.system, Connection: w.conn.Number, Consent: domain.ConsentIsGone}))
	for _, id := range attempts {
		c := w.start(domain.OpGroupsSync)
		c.Attempt = id
		r, err := h.Start(ctx, c)
		must(t, err)
		if r.Outcome != domain.IsBlocked {
			t.Fatalf("the start was answered %s", r.Outcome)
		}
	}
	must(t, h.RecordConsent(ctx, commands.RecordConsent{Actor: w.system, Connection: w.conn.Number, Consent: domain.ConsentIsGiven}))
	must(t, h.RecordVerification(ctx, commands.RecordVerification{Actor: w.system, Connection: w.conn.Number, Finding: domain.Finding{
		State: domain.VerificationHealthy, Granted: []string{"GroupMember.Read.All", "RoleManagement.Read.Directory"},
	}}))
}

// TestReplayIsOneStart: however often it is confirmed, by however many people in however many processes, a refused attempt becomes one run.
func TestReplayIsOneStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	first, same := uuid.New(), uuid.New()
	w.refused(t, first, same)
	previews := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	var mu sync.Mutex
	answers, refusals := map[uuid.UUID]int{}, 0
	var all sync.WaitGroup
	for i := range 12 { // four times each of three previews
		all.Go(func() {
			c := commands.Replay{Actor: w.system, Preview: previews[i%3], Attempt: first, Same: []uuid.UUID{same}}
			if i%3 == 2 { // the third has selected the other one alone
				c.Attempt, c.Same = same, nil
			}
			r, err := w.handlers[i%2].Replay(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			if refusal, ok := domain.AsRefusal(err); ok && refusal.Code == "replayed_already" {
				refusals++
				return
			}
			if err != nil || r.Outcome != domain.Accepted {
				t.Errorf("answered %s, %v", r.Outcome, err)
			}
			answers[r.Run]++
		})
	}
	all.Wait()
	if len(answers) != 1 || refusals != 8 {
		t.Errorf("%d runs, %d refused; want one run told four times and 8 refused", len(answers), refusals)
	}
	if n := w.count(t, "RunAccepted"); n != 1 {
		t.Errorf("%d runs were accepted, want 1", n)
	}
	if n := w.count(t, "AttemptReplayed"); n != 1 && n != 2 {
		t.Errorf("%d attempts are recorded as replayed", n)
	}
	told, err := w.handlers[1].ReplayedAs(ctx, w.system, same)
	must(t, err)
	events, err := w.stores[0].ReadStream(ctx, domain.AttemptStream(w.workspace, same), 0)
	must(t, err)
	last, err := events[len(events)-1].Cause()
	must(t, err)
	if last.Attempt != told.Replay || last.Causation == uuid.Nil || last.Surface != "attempts.replay" {
		t.Errorf("the replay is recorded with %+v, and told as %+v", last, told)
	}
}

func TestReplayRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	attempt := uuid.New()
	w.refused(t, attempt)
	elsewhere := w.actor(domain.RoleOperator)
	elsewhere.Tenants = []uuid.UUID{uuid.New()}
	stranger := domain.SystemActor(uuid.New())
	for name, c := range map[string]struct {
		actor   domain.Actor
		attempt uuid.UUID
		want    domain.Kind
	}{
		"readonly": {w.actor(domain.RoleReadonly), attempt, domain.Forbidden},
		"scoped":   {elsewhere, attempt, domain.NotFound},
		"stranger": {stranger, attempt, domain.NotFound},
		"absent":   {w.system, uuid.New(), domain.NotFound},
	} {
		replay := commands.Replay{Actor: c.actor, Preview: uuid.New(), Attempt: c.attempt}
		if _, err := h.Replay(ctx, replay); !isKind(err, c.want) {
			t.Errorf("%s replays: %v", name, err)
		}
		if _, err := h.ForecastReplay(ctx, replay); !isKind(err, c.want) {
			t.Errorf("%s forecasts: %v", name, err)
		}
	}
	before := w.events(t)
	if r, err := h.ForecastReplay(ctx, commands.Replay{Actor: w.system, Preview: uuid.New(), Attempt: attempt}); err != nil || r.Outcome != domain.Accepted {
		t.Errorf("the forecast is %s, %v", r.Outcome, err)
	}
	if n := w.events(t) - before; n != 0 {
		t.Errorf("forecasts appended %d events", n)
	}
}

// TestAReplayThatIsRefusedCanBeReplayed: the chain goes on from its last attempt.
func TestAReplayThatIsRefusedCanBeReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	attempt := uuid.New()
	w.refused(t, attempt)
	must(t, h.HoldTenant(ctx, commands.HoldTenant{Actor: w.system, Tenant: w.tenant.ExternalID, Reason: "Freeze"}))
	r, err := h.Replay(ctx, commands.Replay{Actor: w.system, Preview: uuid.New(), Attempt: attempt})
	must(t, err)
	if r.Outcome != domain.IsBlocked || r.Reason != domain.ReasonTenantOnHold {
		t.Fatalf("answered %s %s", r.Outcome, r.Reason)
	}
	if _, err := h.ForecastReplay(ctx, commands.Replay{Actor: w.system, Preview: uuid.New(), Attempt: attempt}); !isKind(err, domain.Conflict) {
		t.Errorf("the first attempt can be replayed twice: %v", err)
	}
	must(t, h.ReleaseTenant(ctx, commands.ReleaseTenant{Actor: w.system, Tenant: w.tenant.ExternalID, Reason: "Over"}))
	again, err := h.Replay(ctx, commands.Replay{Actor: w.system, Preview: uuid.New(), Attempt: r.Attempt})
	if err != nil || again.Outcome != domain.Accepted {
		t.Errorf("the replay of the replay is %s, %v", again.Outcome, err)
	}
}
