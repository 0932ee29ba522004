package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestCreateConnection(t *testing.T) {
	t.Parallel()
	created := ProviderConnectionCreated{
		Connection: ConnectionStream(7), Number: 7, Workspace: sampleID("workspace"), Tenant: sampleID("tenant"), Provider: "microsoft",
		DisplayName: "Production", ConnectionType: "dedicated", AppID: "app", MigrationReviewRequired: true,
	}
	with := func(change func(*ProviderConnectionCreated)) func(ProviderConnection) ([]Event, error) {
		n := created
		change(&n)
		return func(c ProviderConnection) ([]Event, error) { return CreateConnection(c, n) }
	}
	runScenarios(t, []scenario[ProviderConnection]{
		{
			name: "a connection is created under its trimmed name",
			when: with(func(n *ProviderConnectionCreated) { n.DisplayName = "  Production " }), then: []Event{created},
		},
		{
			name: "a connection is created once", given: []Event{created}, when: with(func(*ProviderConnectionCreated) {}),
			refused: "connection_exists",
		},
		{
			name: "it needs a name", when: with(func(n *ProviderConnectionCreated) { n.DisplayName = " " }),
			refused: "/displayName required",
		},
		{
			name: "only microsoft is a provider", when: with(func(n *ProviderConnectionCreated) { n.Provider = "okta" }),
			refused: "/provider unknown_provider",
		},
		{
			name: "only platform and dedicated are types", when: with(func(n *ProviderConnectionCreated) { n.ConnectionType = "shared" }),
			refused: "/connectionType unknown_connection_type",
		},
	})
	c := Fold(ProviderConnection{}, created)
	if !c.Enabled || c.Consent != ConsentUnknown || c.Verification != VerificationUnknown || !c.MigrationReviewRequired || c.Scope.Held() {
		t.Errorf("a new connection is %+v", c)
	}
}

// given is the history of a connection on which everything may start, and more.
func given(more ...Event) []Event {
	t := sampleTenant()
	return append([]Event{
		ProviderConnectionCreated{
			Connection: ConnectionStream(7), Number: 7, Workspace: t.Workspace, Tenant: t.ID, Provider: "microsoft",
			DisplayName: "Production", ConnectionType: "platform", AppID: "app",
		},
		CredentialRotated{Credential{Kind: "secret", Fingerprint: "aa", ExpiresAt: now.AddDate(0, 6, 0)}},
		ConsentGranted{},
		VerificationRecorded{State: VerificationHealthy, Granted: []string{"Directory.Read.All"}, Refused: []string{"Policy.Read.All"}},
	}, more...)
}

func TestLifecycleAxis(t *testing.T) {
	t.Parallel()
	set := func(enabled bool, reason string) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) { return c.SetEnabled(enabled, reason) }
	}
	runScenarios(t, []scenario[ProviderConnection]{
		{name: "disable with a reason", given: given(), when: set(false, " Customer left "), then: []Event{ConnectionDisabled{"Customer left"}}},
		{name: "disable needs a reason", given: given(), when: set(false, ""), refused: "/reason required"},
		{name: "disable twice", given: given(ConnectionDisabled{"x"}), when: set(false, "again")},
		{name: "enable again", given: given(ConnectionDisabled{"x"}), when: set(true, ""), then: []Event{ConnectionEnabled{}}},
		{name: "enable twice", given: given(), when: set(true, "")},
		{name: "no connection", when: set(false, "x"), refused: "not_found"},
		{name: "no connection, although a missing one is not enabled either", when: set(false, ""), refused: "not_found"},
	})
	before := Fold(ProviderConnection{}, given()...)
	after := before.Evolve(ConnectionDisabled{"x"})
	if after.Consent != before.Consent || after.Verification != before.Verification || after.Enabled {
		t.Errorf("disabling wrote more than the lifecycle axis: %+v", after)
	}
}

func TestRotateCredential(t *testing.T) {
	t.Parallel()
	fresh := Credential{Kind: "certificate", Fingerprint: "bb", ExpiresAt: now.AddDate(1, 0, 0)}
	rotate := func(cred Credential) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) { return c.RotateCredential(cred) }
	}
	runScenarios(t, []scenario[ProviderConnection]{
		{name: "another credential", given: given(), when: rotate(fresh), then: []Event{CredentialRotated{fresh}}},
		{name: "a kind is needed", given: given(), when: rotate(Credential{Fingerprint: "bb"}), refused: "/credential required"},
		{name: "a fingerprint is needed", given: given(), when: rotate(Credential{Kind: "secret"}), refused: "/credential required"},
		{name: "no connection", when: rotate(fresh), refused: "not_found"},
	})
}

func TestRotationResetsTheVerification(t *testing.T) {
	t.Parallel()
	fresh := CredentialRotated{Credential{Kind: "certificate", Fingerprint: "bb"}}
	run := sampleID("check")
	for name, history := range map[string][]Event{
		"healthy": given(),
		"blocked": given(VerificationRecorded{State: VerificationBlocked, Reason: ReasonProviderAppDisabled}),
		"pending": given(ScopeAcquired{ScopeHolder{Run: run, Operation: OpConnectionCheck}}, VerificationStarted{Run: run}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Fold(Fold(ProviderConnection{}, history...), fresh)
			if c.Verification != VerificationUnknown || c.VerificationReason != "" || c.Granted != nil || c.Refused != nil {
				t.Errorf("after the rotation: %s %q, granted %v, refused %v", c.Verification, c.VerificationReason, c.Granted, c.Refused)
			}
			if c.Consent != ConsentIsGiven || !c.Enabled || c.Credential != fresh.Credential {
				t.Errorf("the rotation wrote another axis, or no credential: %+v", c)
			}
			// The result that the new credential made worthless does not come back with the end of the check.
			if c = Fold(c, c.Release(c.Scope.Run)...); c.Verification != VerificationUnknown {
				t.Errorf("after the end of the check: %s, want unknown", c.Verification)
			}
		})
	}
}

func TestRecordConsent(t *testing.T) {
	t.Parallel()
	record := func(to ConsentState, reason ReasonCode) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) { return c.RecordConsent(to, reason) }
	}
	const why = ReasonProviderConsentDenied
	runScenarios(t, []scenario[ProviderConnection]{
		{name: "required", given: given(), when: record(ConsentRequired, why), then: []Event{ConsentRequested{why}}},
		{name: "granted", given: given(ConsentRevoked{}), when: record(ConsentIsGiven, ""), then: []Event{ConsentGranted{Evidence: EvidenceRecorded}}},
		{name: "failed", given: given(), when: record(ConsentIsFailed, why), then: []Event{ConsentFailed{Reason: why}}},
		{name: "revoked", given: given(), when: record(ConsentIsGone, why), then: []Event{ConsentRevoked{why}}},
		{name: "what is so already changes nothing", given: given(), when: record(ConsentIsGiven, "")},
		{name: "unknown is not a finding", given: given(), when: record(ConsentUnknown, ""), refused: "/consentStatus unknown_consent_status"},
		{name: "no such state", given: given(), when: record("maybe", ""), refused: "/consentStatus unknown_consent_status"},
		{name: "no connection", when: record(ConsentIsGiven, ""), refused: "not_found"},
	})
	for e, want := range map[Event]ConsentState{
		ConsentRequested{}: ConsentRequired, ConsentGranted{}: ConsentIsGiven, ConsentFailed{}: ConsentIsFailed, ConsentRevoked{}: ConsentIsGone,
	} {
		before := Fold(ProviderConnection{}, given()...)
		after := before.Evolve(e)
		if after.Consent != want || after.Verification != before.Verification || after.Enabled != before.Enabled {
			t.Errorf("%s: consent %s, want %s and no other axis written", e.EventName(), after.Consent, want)
		}
	}
}

func TestRecordVerification(t *testing.T) {
	t.Parallel()
	run := sampleID("check")
	record := func(f Finding) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) { return c.RecordVerification(run, f) }
	}
	waiting := func(before ...Event) []Event {
		admitted := []Event{ScopeAcquired{ScopeHolder{Run: run, Operation: OpConnectionCheck}}, VerificationStarted{Run: run}}
		return given(append(before, admitted...)...)
	}
	runScenarios(t, []scenario[ProviderConnection]{
		{
			name: "a healthy result keeps both lists sorted and without doubles", given: waiting(),
			when: record(Finding{
				State: VerificationHealthy, CheckedAt: now, Granted: []string{"B", "A", "B"}, Refused: []string{"D", "C"},
			}),
			then: []Event{VerificationRecorded{
				Run: run, State: VerificationHealthy, CheckedAt: now, Granted: []string{"A", "B"}, Refused: []string{"C", "D"},
			}},
		},
		{
			name: "a check that proved consent writes that axis first", given: waiting(ConsentRevoked{}),
			when: record(Finding{State: VerificationHealthy, Consent: ConsentIsGiven, CheckedAt: now}),
			then: []Event{ConsentGranted{Evidence: EvidenceCheck, Run: run}, VerificationRecorded{Run: run, State: VerificationHealthy, CheckedAt: now}},
		},
		{
			name: "a check that found consent gone says why on both axes", given: waiting(),
			when: record(Finding{State: VerificationBlocked, Consent: ConsentIsGone, Reason: ReasonProviderConsentRevoked, CheckedAt: now}),
			then: []Event{
				ConsentRevoked{ReasonProviderConsentRevoked},
				VerificationRecorded{Run: run, State: VerificationBlocked, Reason: ReasonProviderConsentRevoked, CheckedAt: now},
			},
		},
		{
			name: "consent that is as before is not written again", given: waiting(),
			when: record(Finding{State: VerificationDegraded, Reason: ReasonProviderLicenseMissing, Consent: ConsentIsGiven, CheckedAt: now}),
			then: []Event{VerificationRecorded{Run: run, State: VerificationDegraded, Reason: ReasonProviderLicenseMissing, CheckedAt: now}},
		},
		{
			name: "pending is not a result", given: waiting(), when: record(Finding{State: VerificationPending}),
			refused: "/verificationStatus not_a_result",
		},
		{name: "nothing is not a result", given: waiting(), when: record(Finding{}), refused: "/verificationStatus not_a_result"},
		{
			name: "no such consent state", given: waiting(), when: record(Finding{State: VerificationHealthy, Consent: "maybe"}),
			refused: "/consentStatus unknown_consent_status",
		},
		{
			name:  "a check of a credential that was rotated meanwhile says nothing about the new one",
			given: append(waiting(), CredentialRotated{Credential{Kind: "secret", Fingerprint: "new"}}),
			when:  record(Finding{State: VerificationHealthy}), then: nil,
		},
		{name: "a run that is not the one waited for says nothing", given: given(), when: record(Finding{State: VerificationHealthy}), then: nil},
		{name: "no connection", when: record(Finding{State: VerificationHealthy}), refused: "not_found"},
	})
	granted := []string{"B", "A"}
	healthy := Finding{State: VerificationHealthy, Granted: granted}
	if _, err := Fold(ProviderConnection{}, waiting()...).RecordVerification(run, healthy); err != nil {
		t.Fatal(err)
	}
	if granted[0] != "B" {
		t.Error("recording sorted the caller's list")
	}
}

func TestReleaseGivesTheScopeBack(t *testing.T) {
	t.Parallel()
	check, sync := sampleID("check"), sampleID("sync")
	release := func(run uuid.UUID) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) { return c.Release(run), nil }
	}
	checking := []Event{ScopeAcquired{ScopeHolder{Run: check, Operation: OpConnectionCheck}}, VerificationStarted{Run: check}}
	truth := VerificationRecorded{
		Run: check, State: VerificationHealthy, Granted: []string{"Directory.Read.All"}, Refused: []string{"Policy.Read.All"},
	}
	runScenarios(t, []scenario[ProviderConnection]{
		{
			name: "a sync gives back the scope only", given: given(ScopeAcquired{ScopeHolder{Run: sync, Operation: OpGroupsSync}}),
			when: release(sync), then: []Event{ScopeReleased{Run: sync}},
		},
		{
			name:  "a check that recorded its result gives back the scope only",
			given: given(append(checking, VerificationRecorded{Run: check, State: VerificationBlocked})...),
			when:  release(check), then: []Event{ScopeReleased{Run: check}},
		},
		{
			name: "a check without a result restores the verification and the permission truth before it", given: given(checking...),
			when: release(check), then: []Event{truth, ScopeReleased{Run: check}},
		},
		{
			name: "a check without a result restores the reason too",
			given: given(append([]Event{
				VerificationRecorded{State: VerificationBlocked, Reason: ReasonProviderAppDisabled},
			}, checking...)...),
			when: release(check), then: []Event{
				VerificationRecorded{Run: check, State: VerificationBlocked, Reason: ReasonProviderAppDisabled}, ScopeReleased{Run: check},
			},
		},
		{name: "another run's scope is left alone", given: given(checking...), when: release(sync)},
		{name: "a free scope is left alone", given: given(), when: release(sync)},
		{name: "no run releases no scope", given: given(), when: release(uuid.Nil)},
	})
}

func TestConnectionHoldAndReview(t *testing.T) {
	t.Parallel()
	hold := Hold{Reason: "Key ceremony", Until: now.Add(time.Hour)}
	c := Fold(ProviderConnection{}, given(ConnectionHeld{hold})...)
	if c.Hold != hold {
		t.Errorf("hold %+v, want %+v", c.Hold, hold)
	}
	if c = c.Evolve(ConnectionReleased{}); c.Hold != (Hold{}) {
		t.Errorf("hold %+v after the release", c.Hold)
	}
	c.MigrationReviewRequired = true
	if c = c.Evolve(MigrationReviewCompleted{}); c.MigrationReviewRequired {
		t.Error("the review is still required after it was completed")
	}
}

func TestChangeConnection(t *testing.T) {
	t.Parallel()
	change := func(name, kind, app string) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) {
			return c.Change(ConnectionChanged{DisplayName: name, ConnectionType: kind, AppID: app})
		}
	}
	runScenarios(t, []scenario[ProviderConnection]{
		{name: "another name", given: given(), when: change(" Europe ", "platform", "app"), then: []Event{ConnectionChanged{"Europe", "platform", "app"}}},
		{name: "another app", given: given(), when: change("Production", "dedicated", "own"), then: []Event{ConnectionChanged{"Production", "dedicated", "own"}}},
		{name: "nothing else", given: given(), when: change("Production", "platform", "app")},
		{name: "a name is needed", given: given(), when: change("", "platform", "app"), refused: "/displayName required"},
		{name: "a known type is needed", given: given(), when: change("x", "shared", "app"), refused: "/connectionType unknown_connection_type"},
		{name: "a dedicated app has an id", given: given(), when: change("x", "dedicated", ""), refused: "/appId required"},
		{name: "which has no spaces", given: given(), when: change("x", "dedicated", "a b"), refused: "/appId malformed"},
		{name: "no connection", when: change("x", "platform", "app"), refused: "not_found"},
	})
	ready := Fold(ProviderConnection{}, given()...)
	renamed := ready.Evolve(ConnectionChanged{"Europe", "platform", "app"})
	if renamed.Consent != ConsentIsGiven || renamed.Verification != VerificationHealthy || renamed.Credential != ready.Credential ||
		renamed.DisplayName != "Europe" {
		t.Errorf("a name changed more than the name: %+v", renamed)
	}
	for name, to := range map[string]ConnectionChanged{
		"another type": {"Production", "dedicated", "app"}, "another app id": {"Production", "platform", "own"},
	} {
		c := ready.Evolve(to)
		if c.Consent != ConsentUnknown || c.Verification != VerificationUnknown || c.Granted != nil || c.Refused != nil || c.Credential != (Credential{}) {
			t.Errorf("%s keeps what was true of the one before: %+v", name, c)
		}
		if c.Enabled != ready.Enabled || c.Hold != ready.Hold || c.Number != ready.Number {
			t.Errorf("%s changed what has nothing to do with it: %+v", name, c)
		}
		if c.SettingsTag() == ready.SettingsTag() {
			t.Errorf("%s has the same tag", name)
		}
	}
	if got := ready.Evolve(ConnectionDisabled{"x"}).SettingsTag(); got != ready.SettingsTag() || len(got) != 16 {
		t.Errorf("the tag %q is not that of the settings alone", got)
	}
}

func TestHoldConnection(t *testing.T) {
	t.Parallel()
	until := now.Add(time.Hour)
	hold := func(reason string, until time.Time) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) { return c.PutOnHold(reason, until, now) }
	}
	freeze := ConnectionHeld{Hold{"Freeze", until}}
	lift := func(reason string) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) { return c.LiftHold(reason) }
	}
	runScenarios(t, []scenario[ProviderConnection]{
		{name: "until an instant", given: given(), when: hold(" Freeze ", until), then: []Event{freeze}},
		{name: "until released", given: given(), when: hold("Freeze", time.Time{}), then: []Event{ConnectionHeld{Hold{Reason: "Freeze"}}}},
		{name: "longer", given: given(freeze), when: hold("Freeze", until.Add(time.Hour)), then: []Event{ConnectionHeld{Hold{"Freeze", until.Add(time.Hour)}}}},
		{name: "twice", given: given(freeze), when: hold("Freeze", until)},
		{name: "a reason is needed", given: given(), when: hold("", until), refused: "/reason required"},
		{name: "a hold that has ended holds nothing", given: given(), when: hold("Freeze", now), refused: "/until past"},
		{name: "no connection", when: hold("Freeze", until), refused: "not_found"},
		{name: "release", given: given(freeze), when: lift("It is over"), then: []Event{ConnectionReleased{"It is over"}}},
		{name: "release without a reason", given: given(freeze), when: lift(" "), refused: "/reason required"},
		{name: "release what is free", given: given(), when: lift("It is over")},
		{name: "release no connection", when: lift("It is over"), refused: "not_found"},
	})
}

func TestCompleteMigrationReview(t *testing.T) {
	t.Parallel()
	imported := given()[0].(ProviderConnectionCreated)
	imported.MigrationReviewRequired = true
	runScenarios(t, []scenario[ProviderConnection]{
		{name: "once", given: []Event{imported}, when: ProviderConnection.CompleteMigrationReview, then: []Event{MigrationReviewCompleted{}}},
		{name: "again", given: []Event{imported, MigrationReviewCompleted{}}, when: ProviderConnection.CompleteMigrationReview},
		{name: "not imported", given: given(), when: ProviderConnection.CompleteMigrationReview},
		{name: "no connection", when: ProviderConnection.CompleteMigrationReview, refused: "not_found"},
	})
}

// TestACertificateSaysWhenItEnds: a date given by hand can bring its end forward, never put it off.
func TestACertificateSaysWhenItEnds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	end := now.AddDate(1, 0, 0)
	certificate, secret := Credential{Kind: "certificate", Fingerprint: "c", ExpiresAt: end}, Credential{Kind: "secret", Fingerprint: "s"}
	for name, tc := range map[string]struct {
		c         Credential
		given, at time.Time
		want      time.Time
		refused   string // field and code
	}{
		"a certificate by itself":                {certificate, time.Time{}, now, end, ""},
		"an earlier date":                        {certificate, now.AddDate(0, 1, 0), now, now.AddDate(0, 1, 0), ""},
		"its own end":                            {certificate, end, now, end, ""},
		"a later date":                           {certificate, end.Add(time.Second), now, time.Time{}, "/expiresAt after_certificate"},
		"a date that has passed":                 {certificate, now, now, time.Time{}, "/expiresAt past"},
		"a certificate that ended":               {certificate, time.Time{}, end, time.Time{}, "/secret expired"},
		"a certificate that ended, a later date": {certificate, end.AddDate(1, 0, 0), end, time.Time{}, "/secret expired"},
		"a secret says nothing":                  {secret, time.Time{}, now, time.Time{}, ""},
		"a secret with a date":                   {secret, end, now, end, ""},
		"a secret that ended":                    {secret, now.Add(-time.Hour), now, time.Time{}, "/expiresAt past"},
	} {
		got, err := tc.c.EndingBy(tc.given, tc.at)
		refusal, refused := AsRefusal(err)
		switch {
		case refused != (tc.refused != ""):
			t.Errorf("%s: %v, %v", name, got, err)
		case refused && refusal.Fields[0].Pointer+" "+refusal.Fields[0].Code != tc.refused:
			t.Errorf("%s is refused with %+v, want %s", name, refusal, tc.refused)
		case !refused && !got.ExpiresAt.Equal(tc.want):
			t.Errorf("%s ends %s, want %s", name, got.ExpiresAt, tc.want)
		}
	}
}
