package domain

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// gateCase is one situation with the answer that the gate owes it.
type gateCase struct {
	name   string
	op     OperationType // directory_groups.sync where empty
	change func(*Situation, *Attempt)
	rule   int
	want   Outcome
	reason ReasonCode
	holder uuid.UUID
	facts  func(*Facts) // what the facts say besides the connection's axes
}

func runGate(t *testing.T, cases []gateCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.op == "" {
				c.op = OpGroupsSync
			}
			s, a := readySituation(), attemptOf(c.op)
			if c.change != nil {
				c.change(&s, &a)
			}
			got := Start(s, a)
			if got.Outcome != c.want || got.Reason != c.reason {
				t.Errorf("answer %s %q, want %s %q", got.Outcome, got.Reason, c.want, c.reason)
			}
			if got.Holder.Run != c.holder {
				t.Errorf("holder %s, want %s", got.Holder.Run, c.holder)
			}
			facts := Facts{
				Rule: c.rule, Enabled: s.Connection.Enabled, Consent: s.Connection.Consent, Verification: s.Connection.Verification,
				ConnectionVersion: s.ConnectionVersion, CredentialExpires: s.Connection.Credential.ExpiresAt,
			}
			if c.facts != nil {
				c.facts(&facts)
			}
			if !reflect.DeepEqual(got.Facts, facts) {
				t.Errorf("facts\n got %+v\nwant %+v", got.Facts, facts)
			}
		})
	}
}

func TestStep1AConnectionIsNeeded(t *testing.T) {
	t.Parallel()
	gone := func(s *Situation, _ *Attempt) { s.Connection, s.ConnectionVersion = ProviderConnection{}, 0 }
	runGate(t, []gateCase{
		{
			name: "a tenant without a connection is blocked", change: gone,
			rule: 1, want: IsBlocked, reason: ReasonProviderConnectionMissing,
		},
		{
			name: "the check needs a connection too", op: OpConnectionCheck, change: gone,
			rule: 1, want: IsBlocked, reason: ReasonProviderConnectionMissing,
		},
	})
	s, a := readySituation(), attemptOf(OpGroupsSync)
	gone(&s, &a)
	if d := Start(s, a); d.Identity != "" {
		t.Errorf("identity %q without a connection, want none", d.Identity)
	}
}

func TestStep2AHoldStopsEverything(t *testing.T) {
	t.Parallel()
	until := now.Add(time.Hour)
	tenantHold := func(h Hold) func(*Situation, *Attempt) {
		return func(s *Situation, _ *Attempt) { s.Tenant.Hold = h }
	}
	facts := func(of, reason string, until time.Time) func(*Facts) {
		return func(f *Facts) { f.HoldOf, f.HoldReason, f.HoldUntil = of, reason, until }
	}
	runGate(t, []gateCase{
		{
			name: "a tenant on hold until an instant names reason and expiry", change: tenantHold(Hold{"Change freeze", until}),
			rule: 2, want: IsBlocked, reason: ReasonTenantOnHold, facts: facts(HoldOfTenant, "Change freeze", until),
		},
		{
			name: "a hold without expiry lasts until it is released", change: tenantHold(Hold{Reason: "Contract ended"}),
			rule: 2, want: IsBlocked, reason: ReasonTenantOnHold, facts: facts(HoldOfTenant, "Contract ended", time.Time{}),
		},
		{
			name:   "a connection on hold names its own reason",
			change: func(s *Situation, _ *Attempt) { s.Connection.Hold = Hold{"Key ceremony", until} },
			rule:   2, want: IsBlocked, reason: ReasonTenantOnHold, facts: facts(HoldOfConnection, "Key ceremony", until),
		},
		{
			name: "the tenant's hold is named before the connection's",
			change: func(s *Situation, _ *Attempt) {
				s.Tenant.Hold, s.Connection.Hold = Hold{"Change freeze", until}, Hold{"Key ceremony", until}
			},
			rule: 2, want: IsBlocked, reason: ReasonTenantOnHold, facts: facts(HoldOfTenant, "Change freeze", until),
		},
		{
			name: "an expired hold of the tenant leaves the connection's in force",
			change: func(s *Situation, _ *Attempt) {
				s.Tenant.Hold, s.Connection.Hold = Hold{"Change freeze", now}, Hold{"Key ceremony", until}
			},
			rule: 2, want: IsBlocked, reason: ReasonTenantOnHold, facts: facts(HoldOfConnection, "Key ceremony", until),
		},
		{name: "a hold is over at its very expiry", change: tenantHold(Hold{"Change freeze", now}), rule: 11, want: Accepted},
		{
			name: "a hold stops the check as well", op: OpConnectionCheck, change: tenantHold(Hold{"Change freeze", until}),
			rule: 2, want: IsBlocked, reason: ReasonTenantOnHold, facts: facts(HoldOfTenant, "Change freeze", until),
		},
	})
}

func TestSteps3To5TheConnectionItself(t *testing.T) {
	t.Parallel()
	expires := func(at time.Time) func(*Situation, *Attempt) {
		return func(s *Situation, _ *Attempt) { s.Connection.Credential.ExpiresAt = at }
	}
	review := func(s *Situation, _ *Attempt) { s.Connection.MigrationReviewRequired = true }
	disabled := func(s *Situation, _ *Attempt) { s.Connection.Enabled = false }
	bare := func(s *Situation, _ *Attempt) { s.Connection.Credential = Credential{} }
	runGate(t, []gateCase{
		{name: "an imported connection wants a review", change: review, rule: 3, want: IsBlocked, reason: ReasonProviderConnectionReviewRequired},
		{name: "a disabled connection is not used", change: disabled, rule: 4, want: IsBlocked, reason: ReasonProviderConnectionDisabled},
		{name: "a connection without a credential is not used", change: bare, rule: 5, want: IsBlocked, reason: ReasonProviderCredentialMissing},
		{
			name: "a credential is expired at its very expiry", change: expires(now),
			rule: 5, want: IsBlocked, reason: ReasonProviderCredentialExpired,
		},
		{name: "a credential is good until just before its expiry", change: expires(now.Add(time.Nanosecond)), rule: 11, want: Accepted},
		{name: "a credential without a known expiry is good", change: expires(time.Time{}), rule: 11, want: Accepted},
		{
			name: "the check wants the review too", op: OpConnectionCheck, change: review,
			rule: 3, want: IsBlocked, reason: ReasonProviderConnectionReviewRequired,
		},
		{
			name: "the check does not run on a disabled connection", op: OpConnectionCheck, change: disabled,
			rule: 4, want: IsBlocked, reason: ReasonProviderConnectionDisabled,
		},
		{
			name: "the check needs a credential", op: OpConnectionCheck, change: bare,
			rule: 5, want: IsBlocked, reason: ReasonProviderCredentialMissing,
		},
		{
			name: "the check does not sign in with an expired credential", op: OpConnectionCheck, change: expires(now),
			rule: 5, want: IsBlocked, reason: ReasonProviderCredentialExpired,
		},
	})
}

func consent(c ConsentState) func(*Situation, *Attempt) {
	return func(s *Situation, _ *Attempt) { s.Connection.Consent = c }
}

func reconsent(c ConsentState) func(*Situation, *Attempt) {
	return func(s *Situation, a *Attempt) { s.Connection.Consent, a.Reconsent = c, true }
}

func TestStep6OnlyGrantedConsentOpensTheGate(t *testing.T) {
	t.Parallel()
	reasons := map[ConsentState]ReasonCode{
		ConsentUnknown: ReasonProviderConsentMissing, ConsentRequired: ReasonProviderConsentMissing,
		ConsentIsFailed: ReasonProviderConsentFailed, ConsentIsGone: ReasonProviderConsentRevoked,
		"": ReasonProviderConsentMissing, "from_a_newer_version": ReasonProviderConsentMissing,
	}
	for state, reason := range reasons {
		runGate(t, []gateCase{
			{name: "a sync with consent " + string(state), change: consent(state), rule: 6, want: IsBlocked, reason: reason},
			{
				name: "a sync with consent " + string(state) + " is not helped by asking for a re-check", change: reconsent(state),
				rule: 6, want: IsBlocked, reason: reason,
			},
			{
				name: "a write with consent " + string(state), op: OpRestoreExecute, change: consent(state),
				rule: 6, want: IsBlocked, reason: reason,
			},
		})
	}
}

func TestStep6TheCheckMayFindConsentOut(t *testing.T) {
	t.Parallel()
	check := OpConnectionCheck
	runGate(t, []gateCase{
		{name: "consent unknown passes", op: check, change: consent(ConsentUnknown), rule: 11, want: Accepted},
		{name: "consent failed passes", op: check, change: consent(ConsentIsFailed), rule: 11, want: Accepted},
		{name: "consent granted passes", op: check, rule: 11, want: Accepted},
		{
			name: "consent required does not pass by itself", op: check, change: consent(ConsentRequired),
			rule: 6, want: IsBlocked, reason: ReasonProviderConsentMissing,
		},
		{
			name: "consent revoked does not pass by itself", op: check, change: consent(ConsentIsGone),
			rule: 6, want: IsBlocked, reason: ReasonProviderConsentRevoked,
		},
		{name: "consent required passes after 'I already consented'", op: check, change: reconsent(ConsentRequired), rule: 11, want: Accepted},
		{name: "consent revoked passes after 'I already consented'", op: check, change: reconsent(ConsentIsGone), rule: 11, want: Accepted},
	})
}

func verification(v VerificationState, r ReasonCode) func(*Situation, *Attempt) {
	return func(s *Situation, _ *Attempt) { s.Connection.Verification, s.Connection.VerificationReason = v, r }
}

func TestStep7Verification(t *testing.T) {
	t.Parallel()
	const licence = ReasonProviderLicenseMissing
	runGate(t, []gateCase{
		{
			name: "never verified", change: verification(VerificationUnknown, ""),
			rule: 7, want: IsBlocked, reason: ReasonProviderVerificationRequired,
		},
		{
			name: "a state that was never written counts as never verified", change: verification("", ""),
			rule: 7, want: IsBlocked, reason: ReasonProviderVerificationRequired,
		},
		{
			name: "verification under way", change: verification(VerificationPending, ""),
			rule: 7, want: IsBlocked, reason: ReasonProviderVerificationPending,
		},
		{
			name: "blocked gives the recorded reason", change: verification(VerificationBlocked, ReasonProviderAppDisabled),
			rule: 7, want: IsBlocked, reason: ReasonProviderAppDisabled,
		},
		{
			name: "blocked without a reason gives the general one", change: verification(VerificationBlocked, ""),
			rule: 7, want: IsBlocked, reason: ReasonProviderVerificationBlocked,
		},
		{
			name: "error gives the recorded reason", change: verification(VerificationError, ReasonPlatformClockSkew),
			rule: 7, want: IsBlocked, reason: ReasonPlatformClockSkew,
		},
		{
			name: "error without a reason gives the general one", change: verification(VerificationError, ""),
			rule: 7, want: IsBlocked, reason: ReasonProviderVerificationBlocked,
		},
		{
			name: "a state of a newer version does not pass", change: verification("from_a_newer_version", ""),
			rule: 7, want: IsBlocked, reason: ReasonProviderVerificationBlocked,
		},
		{name: "degraded passes for a read", change: verification(VerificationDegraded, licence), rule: 11, want: Accepted},
		{
			name: "degraded passes for a read only with the read's own permissions",
			change: func(s *Situation, a *Attempt) {
				verification(VerificationDegraded, licence)(s, a)
				s.Connection.Granted = []string{"Directory.Read.All"}
			},
			rule: 8, want: IsBlocked, reason: ReasonProviderPermissionMissing,
			facts: func(f *Facts) { f.Permissions = []string{"GroupMember.Read.All"} },
		},
		{
			name: "degraded does not pass for a write", op: OpRestoreExecute, change: verification(VerificationDegraded, licence),
			rule: 7, want: IsBlocked, reason: ReasonProviderVerificationDegraded,
		},
		{name: "healthy passes for a write", op: OpRestoreExecute, rule: 11, want: Accepted},
	})
	for _, state := range []VerificationState{
		VerificationUnknown, VerificationPending, VerificationDegraded, VerificationBlocked, VerificationError,
	} {
		runGate(t, []gateCase{{
			name: "the check ignores verification " + string(state), op: OpConnectionCheck, change: verification(state, licence),
			rule: 11, want: Accepted,
		}})
	}
}

func TestStep8Permissions(t *testing.T) {
	t.Parallel()
	permissions := func(granted, refused []string) func(*Situation, *Attempt) {
		return func(s *Situation, _ *Attempt) { s.Connection.Granted, s.Connection.Refused = granted, refused }
	}
	named := func(p ...string) func(*Facts) { return func(f *Facts) { f.Permissions = p } }
	runGate(t, []gateCase{
		{
			name: "missing permissions are listed in the catalogue's order", op: OpInventorySync,
			change: permissions([]string{"DeviceManagementConfiguration.Read.All"}, nil),
			rule:   8, want: IsBlocked, reason: ReasonProviderPermissionMissing,
			facts: named("DeviceManagementManagedDevices.Read.All", "DeviceManagementServiceConfig.Read.All"),
		},
		{
			name: "granted but refused by the provider is denied", change: permissions(allPermissions(), []string{"GroupMember.Read.All"}),
			rule: 8, want: IsBlocked, reason: ReasonProviderPermissionDenied, facts: named("GroupMember.Read.All"),
		},
		{
			name: "missing comes before denied and lists the missing only", op: OpPolicySync,
			change: permissions(
				[]string{"DeviceManagementConfiguration.Read.All", "Policy.Read.All"}, []string{"Policy.Read.All"}),
			rule: 8, want: IsBlocked, reason: ReasonProviderPermissionMissing, facts: named("DeviceManagementServiceConfig.Read.All"),
		},
		{
			name: "not granted and refused counts as missing", change: permissions(nil, []string{"GroupMember.Read.All"}),
			rule: 8, want: IsBlocked, reason: ReasonProviderPermissionMissing, facts: named("GroupMember.Read.All"),
		},
		{
			name:   "what other operations lack does not matter",
			change: permissions([]string{"GroupMember.Read.All"}, []string{"RoleManagement.Read.Directory"}),
			rule:   11, want: Accepted,
		},
		{
			name: "the check ignores missing and refused permissions", op: OpConnectionCheck,
			change: permissions(nil, []string{"Directory.Read.All"}), rule: 11, want: Accepted,
		},
	})
}

// ended is the run that an earlier attempt of the same work had, at its end.
func ended(s Situation, a Attempt) Run {
	r := Fold(Run{}, Start(s, a).Changes(s, a)[0].Events...)
	return Fold(r, RunStarted{Token: 1, Try: 1, Worker: "w1"}, RunCompleted{Token: 1, Ending: Ending{Outcome: Failed}})
}

func TestStep9TheSameWorkIsJoined(t *testing.T) {
	t.Parallel()
	same := func(s *Situation, a *Attempt) { s.Connection.Scope = holderOf(*s, *a) }
	strict := func(s *Situation, a *Attempt) { s.Earlier = ended(*s, *a) }
	s, a := readySituation(), attemptOf(OpRestoreExecute)
	strictRun := StrictRunStream(a.Operation.Identity(s.Tenant.ID, s.Connection.ID, a.Inputs, a.ID))
	runGate(t, []gateCase{
		{name: "the same sync by another person joins the active run", change: same, rule: 9, want: Deduped, holder: sampleID("holder")},
		{
			name: "the same check joins the active check", op: OpConnectionCheck,
			change: func(s *Situation, a *Attempt) { same(s, a); verification(VerificationPending, "")(s, a) },
			rule:   9, want: Deduped, holder: sampleID("holder"),
		},
		{
			name: "a strict identity joins the run that ended, even if it failed", op: OpRestoreExecute, change: strict,
			rule: 9, want: Deduped, holder: strictRun,
		},
		{
			name: "a scheduled backup slot never runs twice", op: OpBackupScheduled, change: strict,
			rule: 9, want: Deduped, holder: func() uuid.UUID {
				a := attemptOf(OpBackupScheduled)
				return StrictRunStream(a.Operation.Identity(s.Tenant.ID, s.Connection.ID, a.Inputs, a.ID))
			}(),
		},
		{
			name: "a strict identity that ran is joined although other work holds the scope", op: OpRestoreExecute,
			change: func(s *Situation, a *Attempt) { strict(s, a); busy(s, a) },
			rule:   9, want: Deduped, holder: strictRun,
		},
		{
			name:   "a run that ended is not joined by work that is the same only while active",
			change: func(s *Situation, a *Attempt) { s.Earlier = ended(*s, *a) }, rule: 11, want: Accepted,
		},
		{
			name: "a repeat of the same attempt joins its own run", op: OpBackupRunNow, change: same,
			rule: 9, want: Deduped, holder: sampleID("holder"),
		},
		{
			name: "another click of run now is other work", op: OpBackupRunNow,
			change: func(s *Situation, a *Attempt) { same(s, a); a.ID = sampleID("second click") },
			rule:   10, want: Busy, holder: sampleID("holder"),
		},
	})
}

// TestAnActiveStrictRunIsNamedWithItsStart: who joins a run that is still active is told since when it runs, whatever the identity rule.
func TestAnActiveStrictRunIsNamedWithItsStart(t *testing.T) {
	t.Parallel()
	s, a := readySituation(), attemptOf(OpRestoreExecute)
	changes := Start(s, a).Changes(s, a)
	s.Earlier = Fold(Run{}, changes[0].Events...)
	s.Connection = Fold(s.Connection, changes[1].Events...)
	if d := Start(s, a); d.Outcome != Deduped || d.Holder != s.Connection.Scope {
		t.Errorf("answer %s with %+v, want deduped with %+v", d.Outcome, d.Holder, s.Connection.Scope)
	}
}

// busy lets other work hold the scope.
func busy(s *Situation, _ *Attempt) {
	s.Connection.Scope = ScopeHolder{
		Run: sampleID("other"), RunNumber: 1040, Operation: OpRoleDefinitionsSync, Identity: "other work", Initiator: person("grace"),
		Since: now.Add(-time.Minute),
	}
}

func TestStep10OtherWorkHoldsTheScope(t *testing.T) {
	t.Parallel()
	runGate(t, []gateCase{
		{name: "another operation", change: busy, rule: 10, want: Busy, holder: sampleID("other")},
		{name: "a check has to wait like everybody", op: OpConnectionCheck, change: busy, rule: 10, want: Busy, holder: sampleID("other")},
		{
			name: "the same operation with other inputs",
			change: func(s *Situation, a *Attempt) {
				s.Connection.Scope = holderOf(*s, *a)
				a.Inputs = map[string]string{"selectionKey": "pilot_groups_v1"}
			},
			rule: 10, want: Busy, holder: sampleID("holder"),
		},
		{
			name: "a strict identity that never ran waits for other work", op: OpRestoreExecute, change: busy,
			rule: 10, want: Busy, holder: sampleID("other"),
		},
	})
}

func TestStep11EveryOperationIsAcceptedOnAReadyConnection(t *testing.T) {
	t.Parallel()
	for _, o := range catalogue {
		runGate(t, []gateCase{{name: string(o.Type), op: o.Type, rule: 11, want: Accepted}})
	}
}

// violations are all the ways not to pass, by the step that finds them.
var violations = []struct {
	step   int
	name   string
	only   OperationType // the operation it is about; all where empty
	change func(*Situation, *Attempt)
	want   Outcome
	reason ReasonCode
}{
	{
		1, "no connection", "", func(s *Situation, _ *Attempt) { s.Connection = ProviderConnection{} },
		IsBlocked, ReasonProviderConnectionMissing,
	},
	{2, "tenant on hold", "", func(s *Situation, _ *Attempt) { s.Tenant.Hold.Reason = "Freeze" }, IsBlocked, ReasonTenantOnHold},
	{2, "connection on hold", "", func(s *Situation, _ *Attempt) { s.Connection.Hold.Reason = "Freeze" }, IsBlocked, ReasonTenantOnHold},
	{
		3, "review open", "", func(s *Situation, _ *Attempt) { s.Connection.MigrationReviewRequired = true },
		IsBlocked, ReasonProviderConnectionReviewRequired,
	},
	{4, "disabled", "", func(s *Situation, _ *Attempt) { s.Connection.Enabled = false }, IsBlocked, ReasonProviderConnectionDisabled},
	{
		5, "credential missing", "", func(s *Situation, _ *Attempt) { s.Connection.Credential.Fingerprint = "" },
		IsBlocked, ReasonProviderCredentialMissing,
	},
	{
		5, "credential expired", "", func(s *Situation, _ *Attempt) { s.Connection.Credential.ExpiresAt = now.Add(-time.Hour) },
		IsBlocked, ReasonProviderCredentialExpired,
	},
	{6, "consent unknown", "", consent(ConsentUnknown), IsBlocked, ReasonProviderConsentMissing},
	{6, "consent required", "", consent(ConsentRequired), IsBlocked, ReasonProviderConsentMissing},
	{6, "consent failed", "", consent(ConsentIsFailed), IsBlocked, ReasonProviderConsentFailed},
	{6, "consent revoked", "", consent(ConsentIsGone), IsBlocked, ReasonProviderConsentRevoked},
	{7, "verification unknown", "", verification(VerificationUnknown, ""), IsBlocked, ReasonProviderVerificationRequired},
	{7, "verification pending", "", verification(VerificationPending, ""), IsBlocked, ReasonProviderVerificationPending},
	{7, "verification blocked", "", verification(VerificationBlocked, ReasonProviderAppDisabled), IsBlocked, ReasonProviderAppDisabled},
	{7, "verification error", "", verification(VerificationError, ""), IsBlocked, ReasonProviderVerificationBlocked},
	{
		7, "verification degraded", OpRestoreExecute, verification(VerificationDegraded, ""),
		IsBlocked, ReasonProviderVerificationDegraded,
	},
	{8, "permission missing", "", func(s *Situation, _ *Attempt) { s.Connection.Granted = nil }, IsBlocked, ReasonProviderPermissionMissing},
	{
		8, "permission denied", "", func(s *Situation, _ *Attempt) { s.Connection.Refused = allPermissions() },
		IsBlocked, ReasonProviderPermissionDenied,
	},
	{9, "same work active", "", func(s *Situation, a *Attempt) { s.Connection.Scope = holderOf(*s, *a) }, Deduped, ""},
	{9, "same work ended", OpRestoreExecute, func(s *Situation, a *Attempt) { s.Earlier = ended(readySituation(), *a) }, Deduped, ""},
	{10, "other work active", "", busy, Busy, ""},
}

// TestTheEarlierStepAnswers breaks every pair of steps at once: the answer is always the earlier step's.
func TestTheEarlierStepAnswers(t *testing.T) {
	t.Parallel()
	steps := map[int]bool{}
	for _, op := range []OperationType{OpGroupsSync, OpRestoreExecute} {
		for _, early := range violations {
			for _, late := range violations {
				if early.step >= late.step || !slices.Contains([]OperationType{"", op}, early.only) ||
					!slices.Contains([]OperationType{"", op}, late.only) {
					continue
				}
				s, a := readySituation(), attemptOf(op)
				late.change(&s, &a)
				early.change(&s, &a)
				d := Start(s, a)
				if d.Outcome != early.want || d.Reason != early.reason || d.Facts.Rule != early.step {
					t.Errorf("%s: %s and %s: answer %s %q of step %d, want %s %q of step %d",
						op, early.name, late.name, d.Outcome, d.Reason, d.Facts.Rule, early.want, early.reason, early.step)
				}
				steps[early.step], steps[late.step] = true, true
			}
		}
	}
	if len(steps) != 10 {
		t.Errorf("%d steps were broken, want 10", len(steps))
	}
}

func TestRecheckSeesTheScopeAsTheRunSeesIt(t *testing.T) {
	t.Parallel()
	s, a := readySituation(), attemptOf(OpGroupsSync)
	changes := Start(s, a).Changes(s, a)
	run := Fold(Run{}, changes[0].Events...)
	s.Connection = Fold(s.Connection, changes[1].Events...)
	for _, c := range []struct {
		name   string
		change func(*Situation, *Attempt)
		run    func(*Run)
		at     time.Time
		want   ReasonCode
	}{
		{name: "nothing moved: go on"},
		{
			name: "the tenant was put on hold", change: func(s *Situation, _ *Attempt) { s.Tenant.Hold.Reason = "Freeze" },
			want: ReasonTenantOnHold,
		},
		{name: "consent was revoked", change: consent(ConsentIsGone), want: ReasonProviderConsentRevoked},
		{name: "time went past the credential's expiry", at: now.AddDate(1, 0, 0), want: ReasonProviderCredentialExpired},
		{name: "another run holds the scope", change: busy, want: ReasonRunLeaseLost},
		{name: "the scope was released", change: func(s *Situation, _ *Attempt) { s.Connection.Scope = ScopeHolder{} }, want: ReasonRunLeaseLost},
		{name: "this build cannot run the operation", run: func(r *Run) { r.Operation = "gone.sync" }, want: ReasonDispatchFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, a, run, at := s, a, run, now
			if c.change != nil {
				c.change(&s, &a)
			}
			if c.run != nil {
				c.run(&run)
			}
			if !c.at.IsZero() {
				at = c.at
			}
			if got := Recheck(s, run, at); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRecheckOfACheckKeepsTheAskForReconsent(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{true, false} {
		s, a := readySituation(), attemptOf(OpConnectionCheck)
		a.Reconsent = asked
		changes := Start(s, a).Changes(s, a)
		run := Fold(Run{}, reread(t, changes[0].Events[0]))
		s.Connection = Fold(s.Connection, append(changes[1].Events, ConsentRevoked{})...)
		want := ReasonProviderConsentRevoked
		if asked {
			want = ""
		}
		if got := Recheck(s, run, now); got != want {
			t.Errorf("asked for a re-check %v: got %q, want %q", asked, got, want)
		}
	}
}

func TestAnAcceptedAttemptOpensTheRunAndTakesTheScope(t *testing.T) {
	t.Parallel()
	for _, o := range catalogue {
		t.Run(string(o.Type), func(t *testing.T) {
			t.Parallel()
			s, a := readySituation(), attemptOf(o.Type)
			a.Reconsent = o.Check
			d := Start(s, a)
			about := AttemptFacts{
				Attempt: a.ID, Operation: o.Type, Identity: d.Identity, Tenant: s.Tenant.ID, Connection: 7, Inputs: a.Inputs,
				Surface: "web", Trigger: TriggerOperator, Initiator: a.Actor, Facts: d.Facts,
			}
			run := a.Run
			if o.Rule == Strict {
				run = StrictRunStream(d.Identity)
			}
			scope := []Event{ScopeAcquired{ScopeHolder{
				Run: run, RunNumber: 1042, Operation: o.Type, Identity: d.Identity, Initiator: a.Actor, Since: now,
			}}}
			if o.Check {
				scope = append(scope, VerificationStarted{Run: run})
			}
			want := []Change{
				{run, []Event{RunAccepted{AttemptFacts: about, Run: run, Number: 1042, Reconsent: o.Check}}},
				{s.Connection.ID, scope},
			}
			got := d.Changes(s, a)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("changes\n got %+v\nwant %+v", got, want)
			}
			checkStorable(t, got)
		})
	}
}

func TestARefusedAttemptLeavesOneReceiptOnItsOwnStream(t *testing.T) {
	t.Parallel()
	for _, v := range violations {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			s, a := readySituation(), attemptOf(OpRestoreExecute)
			v.change(&s, &a)
			d := Start(s, a)
			about := AttemptFacts{
				Attempt: a.ID, Operation: OpRestoreExecute, Identity: d.Identity, Tenant: s.Tenant.ID, Connection: s.Connection.Number,
				Inputs: a.Inputs, Surface: "web", Trigger: TriggerOperator, Initiator: a.Actor, Facts: d.Facts,
			}
			receipt := map[Outcome]Event{
				IsBlocked: StartBlocked{about, v.reason}, Deduped: RunDeduped{about, d.Holder}, Busy: ScopeBusy{about, d.Holder},
			}[v.want]
			want := []Change{{AttemptStream(s.Tenant.Workspace, a.ID), []Event{receipt}}}
			got := d.Changes(s, a)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("changes\n got %+v\nwant %+v", got, want)
			}
			checkStorable(t, got)
		})
	}
}

// checkStorable: every event survives being stored, and its payload stays under the log's 2 KB.
func checkStorable(t *testing.T, changes []Change) {
	t.Helper()
	for _, c := range changes {
		for _, e := range c.Events {
			b, err := Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) >= 2048 {
				t.Errorf("%s takes %d bytes, want under 2048", e.EventName(), len(b))
			}
			if back := reread(t, e); shown(back) != shown(e) {
				t.Errorf("%s stored and read back\n got %+v\nwant %+v", e.EventName(), back, e)
			}
		}
	}
}

// TestTheLargestLifelikeReceiptIsSmall fills every part of a receipt to what people and the catalogue can fill it with.
func TestTheLargestLifelikeReceiptIsSmall(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("語", 120) // the longest reason of a hold
	for _, o := range catalogue {
		s, a := readySituation(), attemptOf(o.Type)
		for k := range a.Inputs {
			a.Inputs[k] = strings.Repeat("x", 200)
		}
		a.Surface, a.RunNumber, s.Connection.Number, s.ConnectionVersion = "onboarding_bootstrap", 1<<53, 1<<53, 1<<31
		d := Start(s, a)
		d.Facts.HoldOf, d.Facts.HoldReason, d.Facts.HoldUntil, d.Facts.Permissions = HoldOfConnection, long, now, o.Permissions
		d.Facts.Verification, d.Facts.Consent = VerificationDegraded, ConsentRequired
		d.Holder = holderOf(s, a)
		for _, outcome := range []Outcome{Accepted, Deduped, Busy, IsBlocked} {
			d.Outcome, d.Reason = outcome, ReasonProviderOperationUnsupportedAppOnly
			checkStorable(t, d.Changes(s, a))
		}
	}
}

// TestReceiptsCarryNoNames: events name people by opaque id only.
func TestReceiptsCarryNoNames(t *testing.T) {
	t.Parallel()
	s, a := readySituation(), attemptOf(OpGroupsSync)
	busy(&s, &a)
	b, err := Encode(Start(s, a).Changes(s, a)[0].Events[0])
	if err != nil {
		t.Fatal(err)
	}
	var receipt struct{ Initiator map[string]any }
	if err := json.Unmarshal(b, &receipt); err != nil {
		t.Fatal(err)
	}
	if want := (map[string]any{"kind": "person", "id": person("ada").ID.String()}); !reflect.DeepEqual(receipt.Initiator, want) {
		t.Errorf("initiator %v, want %v", receipt.Initiator, want)
	}
	for _, leak := range []string{s.Tenant.Name, s.Tenant.Domain, s.Connection.Credential.Fingerprint} {
		if strings.Contains(string(b), leak) {
			t.Errorf("the receipt says %q: %s", leak, b)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for _, c := range []struct {
		name   string
		change func(*Situation, *Attempt)
	}{
		{"accepted", func(*Situation, *Attempt) {}},
		{"scope_busy", busy},
		{"blocked", consent(ConsentIsGone)},
	} {
		s, a := readySituation(), attemptOf(OpGroupsSync)
		c.change(&s, &a)
		b.Run(c.name+"/decide", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Start(s, a)
			}
		})
		b.Run(c.name+"/decide_and_encode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, change := range Start(s, a).Changes(s, a) {
					for _, e := range change.Events {
						if _, err := Encode(e); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
		})
	}
}
