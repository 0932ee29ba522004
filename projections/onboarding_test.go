package projections_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// onboard brings the fixture's tenant through the wizard as far as its first operations, of which the connection lets none begin while it is
// busy. It returns the session's number.
func (f *fixture) onboard(t testing.TB) int64 {
	t.Helper()
	ctx, manager := t.Context(), f.operator
	manager.Role = domain.RoleManager
	r, _, err := f.commands.StartOnboarding(ctx, commands.StartOnboarding{Actor: manager, ExternalID: f.tenant.ExternalID, Name: "Contoso"})
	must(t, err)
	_, _, err = f.commands.ChooseConnection(ctx, commands.ChooseConnection{Actor: manager, Session: r.Number})
	must(t, err)
	_, err = f.commands.StartBootstrap(ctx, commands.StartBootstrap{
		Actor: manager, Session: r.Number, Connection: f.conn.Number,
		Operations: []string{string(domain.OpRoleDefinitionsSync), string(domain.OpGroupsSync)},
	})
	must(t, err)
	return r.Number
}

func TestOnboardingReadModel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, read := t.Context(), projections.NewConsoleReader(f.pool)
	manager := f.operator
	manager.Role = domain.RoleManager
	seen := projections.WithSight(ctx, manager)
	number := f.onboard(t)
	f.settleAll(t)
	row := func() projections.OnboardingRow {
		t.Helper()
		r, err := read.Onboarding(seen, manager, number)
		must(t, err)
		return r
	}
	got := row()
	states := func(r projections.OnboardingRow) (s []projections.BootstrapState) {
		for _, o := range r.Operations {
			s = append(s, o.State)
		}
		return s
	}
	if got.State != domain.OnboardingOpen || got.OwnerID != f.person || *got.Connection != f.conn.Number || got.TenantName != "Contoso" ||
		got.ChosenBy == nil || *got.ChosenBy != f.person || got.SelectedAt == nil || got.Connected.Number != f.conn.Number {
		t.Errorf("%+v", got)
	}
	want := []projections.BootstrapState{projections.BootstrapAdmitted, projections.BootstrapPending}
	if !slices.Equal(states(got), want) || got.Operations[0].Ordinal != 1 || *got.Operations[0].RunStatus != domain.Queued ||
		got.Operations[1].Operation != domain.OpGroupsSync || got.Operations[1].RunNumber != nil {
		t.Errorf("operations %+v", got.Operations)
	}
	if step := domain.CurrentStep(got.Steps()); step != domain.StepBootstrap {
		t.Errorf("the current step is %s", step)
	}
	// The run ends, the next one is admitted, and the session is handed over, abandoned and begun anew.
	f.cancel(t, *got.Operations[0].RunNumber)
	_, err := f.commands.AdmitNext(ctx, f.workspace, f.conn.Number)
	must(t, err)
	_, err = f.commands.StartBootstrap(ctx, commands.StartBootstrap{
		Actor: manager, Session: number, Connection: f.conn.Number, Operations: []string{string(domain.OpRoleDefinitionsSync)},
	})
	must(t, err)
	other := manager
	other.Ref.ID = uuid.New()
	_, err = f.commands.TakeOverOnboarding(ctx, commands.TakeOverOnboarding{Actor: other, Session: number})
	must(t, err)
	_, err = f.commands.AbandonOnboarding(ctx, commands.AbandonOnboarding{Actor: other, Session: number, Reason: "left"})
	must(t, err)
	f.settleAll(t)
	got = row()
	want = []projections.BootstrapState{projections.BootstrapAdmitted, projections.BootstrapAdmitted, projections.BootstrapStopped}
	if !slices.Equal(states(got), want) || *got.Operations[0].RunOutcome != domain.Cancelled || got.OwnerID != other.Ref.ID ||
		got.State != domain.OnboardingLeft || got.EndedReason != "left" || *got.TakenFrom != f.person {
		t.Errorf("%+v", got)
	}
	lines, err := read.OnboardingLog(seen, manager, number)
	must(t, err)
	names := map[string]int{}
	for i, l := range lines {
		if names[l.Event]++; i > 0 && l.Position >= lines[i-1].Position {
			t.Errorf("the log is not newest first at %d", i)
		}
	}
	for name, n := range map[string]int{
		"OnboardingStarted": 1, "ConnectionChosen": 1, "BootstrapSelected": 2, "StartReserved": 3, "ReservationEnded": 3,
		"BootstrapOperationAdmitted": 2, "BootstrapStopped": 1, "OnboardingTakenOver": 1, "OnboardingAbandoned": 1,
	} {
		if names[name] != n {
			t.Errorf("%d %s in the log, want %d", names[name], name, n)
		}
	}
	again, _, err := f.commands.StartOnboarding(ctx, commands.StartOnboarding{Actor: manager, ExternalID: f.tenant.ExternalID, Name: "x"})
	must(t, err)
	f.settleAll(t)
	if got = row(); again.Number != number || got.State != domain.OnboardingOpen || got.Connection != nil || len(got.Operations) != 0 || got.EndedAt != nil {
		t.Errorf("begun anew: %+v", got)
	}
	list, err := read.Onboardings(seen, manager)
	must(t, err)
	if len(list) != 1 || list[0].Number != number {
		t.Errorf("%d sessions listed", len(list))
	}
	f.sameAsThen(t, got.Onboarding)
	limited := manager
	limited.Tenants = []uuid.UUID{uuid.New()}
	if _, err := read.OnboardingOf(seen, limited, f.tenant.ExternalID); !errors.Is(err, projections.ErrNoRow) {
		t.Errorf("without the tenant: %v", err)
	}
}

// cancel ends a run that no worker has begun.
func (f *fixture) cancel(t testing.TB, number int64) {
	t.Helper()
	line, err := projections.NewReader(f.pool).RunByNumber(t.Context(), f.operator, number)
	must(t, err)
	_, err = f.commands.CancelRun(t.Context(), commands.CancelRun{Actor: f.operator, Run: line.ID})
	must(t, err)
}

// sameAsThen checks that the session's state at each of its events is what the domain folds, and at the newest the live row.
func (f *fixture) sameAsThen(t *testing.T, live projections.Onboarding) {
	t.Helper()
	ctx, read := t.Context(), projections.NewReader(f.pool)
	o, err := read.Object(ctx, f.operator, projections.ObjectOnboarding, live.Number)
	must(t, err)
	all, _, err := f.store.ReadAfter(ctx, 0, 1000, "")
	must(t, err)
	var s domain.OnboardingSession
	var last projections.State
	for _, e := range all {
		if e.Stream != live.Stream {
			continue
		}
		data, err := e.Decode()
		must(t, err)
		s = s.Evolve(data)
		states, err := read.StatesAt(ctx, o, e.Position)
		must(t, err)
		last = states[0]
		got := last.Onboarding
		if got == nil || got.State != s.State || got.OwnerID != s.Owner.ID || (got.Connection != nil) != (s.Connection != 0) || (got.SelectedAt != nil) != (len(s.Bootstrap) > 0) {
			t.Errorf("at %d it is %+v, folded %+v", e.Position, got, s)
		}
	}
	if got, want := asJSON(t, last.Value()), asJSON(t, &live); got != want {
		t.Errorf("at the newest position it is\n%s\nlive\n%s", got, want)
	}
}
