package domain

import (
	"slices"
	"testing"
)

func openSession() OnboardingSession {
	t := sampleTenant()
	return Fold(OnboardingSession{}, StartOnboarding(OnboardingSession{}, Tenant{}, OnboardingStarted{
		Session: OnboardingStream(t.Workspace, t.ExternalID), Number: 3, Workspace: t.Workspace, ExternalID: t.ExternalID, Owner: person("ada"),
	})...)
}

func TestOnboardingDecisions(t *testing.T) {
	t.Parallel()
	tenant, ready, foreign := sampleTenant(), readyConnection(), readyConnection()
	foreign.Tenant = sampleID("elsewhere")
	ada, grace := person("ada"), person("grace")
	start := OnboardingStarted{
		Session: openSession().ID, Number: 3, Workspace: tenant.Workspace, ExternalID: tenant.ExternalID, Owner: ada,
	}
	open := []Event{start, TenantIdentified{Tenant: tenant.ID}}
	chosen := append(slices.Clone(open), ConnectionChosen{Connection: 7})
	left := append(slices.Clone(chosen), OnboardingAbandoned{})
	degraded := ready.Evolve(VerificationRecorded{State: VerificationDegraded})
	again := func(s OnboardingSession) ([]Event, error) {
		n := start
		n.Number = 9
		return StartOnboarding(s, tenant, n), nil
	}
	runScenarios(t, []scenario[OnboardingSession]{
		{name: "starts", when: func(s OnboardingSession) ([]Event, error) { return StartOnboarding(s, Tenant{}, start), nil }, then: open},
		{name: "an open one is resumed", given: open, when: again},
		{name: "an abandoned one keeps its number", given: left, when: again, then: []Event{start, TenantIdentified{tenant.ID, true}}},
		{
			name: "choose", given: open, then: []Event{ConnectionChosen{Connection: 7}},
			when: func(s OnboardingSession) ([]Event, error) { return s.ChooseConnection(ada, ready, false) },
		},
		{
			name: "another tenant's connection is not there", given: open, refused: "not_found",
			when: func(s OnboardingSession) ([]Event, error) { return s.ChooseConnection(ada, foreign, false) },
		},
		{
			name: "somebody else's session", given: open, refused: "onboarding_owned_by_other",
			when: func(s OnboardingSession) ([]Event, error) { return s.ChooseConnection(grace, ready, false) },
		},
		{
			name: "take over", given: open, then: []Event{OnboardingTakenOver{ada, grace}},
			when: func(s OnboardingSession) ([]Event, error) { return s.TakeOver(grace) },
		},
		{name: "take over one's own", given: open, when: func(s OnboardingSession) ([]Event, error) { return s.TakeOver(ada) }},
		{
			name: "take over an ended one", given: left, refused: "onboarding_ended",
			when: func(s OnboardingSession) ([]Event, error) { return s.TakeOver(grace) },
		},
		{
			name: "complete without connection", given: open, refused: "onboarding_connection_missing",
			when: func(s OnboardingSession) ([]Event, error) { return s.Complete(ada, ready, "") },
		},
		{
			name: "complete unverified", given: chosen, refused: "onboarding_step_open",
			when: func(s OnboardingSession) ([]Event, error) { return s.Complete(ada, newConnection(), "") },
		},
		{
			name: "complete degraded without reason", given: chosen, refused: "/reason required",
			when: func(s OnboardingSession) ([]Event, error) { return s.Complete(ada, degraded, " ") },
		},
		{
			name: "complete", given: chosen, then: []Event{OnboardingCompleted{Connection: 7, Verification: VerificationHealthy}},
			when: func(s OnboardingSession) ([]Event, error) { return s.Complete(ada, ready, "not needed") },
		},
		{
			name: "abandon", given: chosen, then: []Event{OnboardingAbandoned{"The customer left"}},
			when: func(s OnboardingSession) ([]Event, error) { return s.Abandon(ada, " The customer left ") },
		},
	})
}

func TestOnboardingProgress(t *testing.T) {
	t.Parallel()
	off := readyConnection().Evolve(ConnectionDisabled{})
	bare := newConnection().Evolve(CredentialRotated{Credential{Kind: CredentialFederated, Fingerprint: "f"}})
	found := func(reason ReasonCode) ProviderConnection {
		return bare.Evolve(VerificationRecorded{State: VerificationBlocked, Reason: reason})
	}
	for _, c := range []struct {
		name   string
		chosen bool
		conn   ProviderConnection
		want   []StepState
	}{
		{"never checked", true, bare, []StepState{StepDone, StepDone, StepCurrent, StepLocked, StepLocked}},
		{"no such directory", true, found(ReasonProviderTenantNotFound), []StepState{StepDone, StepDone, StepBlocked, StepLocked, StepLocked}},
		{"no usable credential", true, found(ReasonProviderCredentialMissing), []StepState{StepDone, StepBlocked, StepLocked, StepLocked, StepLocked}},
		{"no consent", true, found(ReasonProviderConsentMissing), []StepState{StepDone, StepDone, StepCurrent, StepLocked, StepLocked}},
		{"new", false, ProviderConnection{}, []StepState{StepDone, StepCurrent, StepLocked, StepLocked, StepLocked}},
		{"no credential", true, newConnection(), []StepState{StepDone, StepBlocked, StepLocked, StepLocked, StepLocked}},
		{"disabled", true, off, []StepState{StepDone, StepBlocked, StepDone, StepDone, StepLocked}},
		{"ready", true, readyConnection(), []StepState{StepDone, StepDone, StepDone, StepDone, StepOptional}},
	} {
		var got []StepState
		for _, p := range OnboardingProgress(OnboardingOpen, c.chosen, c.conn, false) {
			got = append(got, p.State)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	gone := OnboardingProgress(OnboardingDone, true, readyConnection().Evolve(ConsentRevoked{}), false)
	if slices.ContainsFunc(gone[:4], func(p StepProgress) bool { return p.State != StepDone }) || CurrentStep(gone) != StepBootstrap {
		t.Errorf("what happens after the end changes the session: %v", gone)
	}
}

func TestStopRestTakesOnlyTheSessionsOwn(t *testing.T) {
	t.Parallel()
	s, mine, other := openSession(), waitingStart("mine"), waitingStart("other")
	mine.Session = s.ID
	ends, logged := s.StopRest(Fold(Reservations{}, StartReserved{other}, StartReserved{mine}))
	if len(ends) != 1 || ends[0].(ReservationEnded).Reservation != mine.ID || len(logged) != 1 {
		t.Errorf("stopped %v, logged %v; want only %s", ends, logged, mine.ID)
	}
}

func TestSelectBootstrap(t *testing.T) {
	t.Parallel()
	conn, at := readyConnection(), now
	s := Fold(openSession(), ConnectionChosen{Connection: conn.Number})
	reserve := func(name string, op OperationType) Reservation {
		o, err := LookupOperation(op)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.BootstrapReservation(sampleID(name), o, conn, person("ada"), at)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	groups, roles := reserve("1", OpGroupsSync), reserve("2", OpRoleDefinitionsSync)
	if groups.Session != s.ID || groups.Until != at.Add(BootstrapTime) || groups.Inputs["selectionKey"] != DefaultSelectionKey {
		t.Errorf("%+v", groups)
	}
	queued, session, err := s.SelectBootstrap(Reservations{}, []Reservation{groups, roles}, at)
	if err != nil || len(queued) != 2 || len(session) != 1 {
		t.Fatalf("%v, %v, %v", queued, session, err)
	}
	waiting := Fold(Reservations{}, queued...)
	if err := s.MayLeave(waiting); err == nil {
		t.Error("leaves a connection for which operations wait")
	}
	if err := s.MayLeave(Reservations{}); err != nil {
		t.Error(err)
	}
	again, session, err := s.SelectBootstrap(waiting, []Reservation{reserve("3", OpRoleDefinitionsSync)}, at)
	if err != nil || again != nil || session != nil {
		t.Errorf("what waits already is selected again: %v, %v, %v", again, session, err)
	}
	foreign := roles
	foreign.Session = sampleID("elsewhere")
	queued, _, err = s.SelectBootstrap(Reservations{Waiting: []Reservation{foreign}}, []Reservation{roles}, at)
	if err != nil || len(queued) != 1 {
		t.Errorf("the same work of somebody else: %v, %v", queued, err)
	}
	full := Reservations{Waiting: make([]Reservation, MostReservations-1)}
	if _, _, err = s.SelectBootstrap(full, []Reservation{groups, roles}, at); err == nil {
		t.Error("more waits than may")
	}
}
