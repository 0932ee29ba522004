package domain

import (
	"fmt"
	"testing"
	"time"
)

// TestReadinessIsTheGate: on any sample situation the answer is the gate's, for every operation that needs no input.
func TestReadinessIsTheGate(t *testing.T) {
	t.Parallel()
	free := Situation{Tenant: sampleTenant(), Connection: Fold(ProviderConnection{}, given(
		VerificationRecorded{State: VerificationHealthy, Granted: []string{"GroupMember.Read.All", "RoleManagement.Read.Directory"}},
	)...)}
	for name, s := range map[string]Situation{
		"nothing there": {Tenant: sampleTenant()},
		"free":          free,
		"disabled":      {Tenant: sampleTenant(), Connection: free.Connection.Evolve(ConnectionDisabled{"x"})},
	} {
		answers := ReadinessOf(s, now)
		if len(answers) == 0 {
			t.Fatalf("%s: no answers", name)
		}
		for _, a := range answers {
			inputs, err := a.Operation.Resolve(nil)
			if err != nil {
				t.Fatal(err)
			}
			want := Start(s, Attempt{At: now, Operation: a.Operation, Inputs: inputs})
			if a.Outcome != want.Outcome || a.Reason != want.Reason || a.Identity != want.Identity {
				t.Errorf("%s, %s: %s %s, the gate says %s %s", name, a.Operation.Type, a.Outcome, a.Reason, want.Outcome, want.Reason)
			}
		}
	}
	groups := OperationByType(OpGroupsSync)
	inputs, _ := groups.Resolve(nil)
	held := free
	held.Connection.Scope = ScopeHolder{
		Run: sampleID("run"), RunNumber: 7, Operation: OpGroupsSync,
		Identity: groups.Identity(held.Tenant.ID, held.Connection.ID, inputs, sampleID("attempt")),
	}
	for _, a := range ReadinessOf(held, now) {
		want := Busy
		if a.Operation.Type == OpGroupsSync {
			want = Deduped
		}
		if a.Operation.Released && !a.Operation.Write && len(without(a.Operation.Permissions, held.Connection.Granted)) == 0 && a.Outcome != want {
			t.Errorf("%s while groups are read: %s %s, want %s", a.Operation.Type, a.Outcome, a.Reason, want)
		}
	}
}

// TestAnObstacleIsTheGates: whatever stands in the way of everything is in the way of each operation, for the same reason; where nothing does and
// no permission is missing or refused, everything starts.
func TestAnObstacleIsTheGates(t *testing.T) {
	t.Parallel()
	hold := Hold{Reason: "Freeze", Until: now.Add(time.Hour)}
	over := Hold{Reason: "Freeze", Until: now}
	seen := map[ReasonCode]int{}
	try := func(name string, s Situation) {
		s.Connection.Scope = ScopeHolder{Run: sampleID("other"), Identity: "other", Operation: OpConnectionCheck}
		o := Obstacle(s, now)
		seen[o.Reason]++
		free := s
		free.Connection.Scope = ScopeHolder{}
		for _, op := range Catalogue() {
			d := Start(free, attemptOf(op.Type))
			switch {
			case o.Outcome == IsBlocked && (!op.Check || o.Facts.Rule <= 5) && (d.Outcome != IsBlocked || d.Reason != o.Reason),
				o.Outcome == Accepted && s.Connection.Severity() == SeverityNone && d.Outcome != Accepted,
				o.Outcome == Accepted && !op.Write && d.Outcome == IsBlocked && d.Facts.Rule != 8:
				t.Errorf("%s: %s %s at rule %d, severity %s; but %s is %s %s", name, o.Outcome, o.Reason, o.Facts.Rule, s.Connection.Severity(), op.Type, d.Outcome, d.Reason)
			}
		}
	}
	try("no connection", Situation{Tenant: sampleTenant()})
	for bits := range 64 {
		for _, consent := range []ConsentState{ConsentUnknown, ConsentRequired, ConsentIsGiven, ConsentIsFailed, ConsentIsGone} {
			for _, v := range []VerificationState{VerificationUnknown, VerificationPending, VerificationHealthy, VerificationDegraded, VerificationBlocked, VerificationError} {
				is := func(bit int) bool { return bits&(1<<bit) != 0 }
				s := Situation{Tenant: sampleTenant(), Connection: readyConnection()}
				s.Tenant.Hold, s.Connection.Hold = over, over
				if is(0) {
					s.Tenant.Hold = hold
				}
				if is(1) {
					s.Connection.Hold = hold
				}
				s.Connection.MigrationReviewRequired, s.Connection.Enabled = is(2), !is(3)
				if is(4) {
					s.Connection.Credential.ExpiresAt = now
				}
				if is(5) {
					s.Connection.Granted = nil
				}
				s.Connection.Consent, s.Connection.Verification = consent, v
				try(fmt.Sprintf("%06b %s %s", bits, consent, v), s)
			}
		}
	}
	for _, reason := range []ReasonCode{
		"", ReasonProviderConnectionMissing, ReasonTenantOnHold, ReasonProviderConnectionReviewRequired, ReasonProviderConnectionDisabled,
		ReasonProviderCredentialExpired, ReasonProviderConsentMissing, ReasonProviderConsentFailed, ReasonProviderConsentRevoked,
		ReasonProviderVerificationRequired, ReasonProviderVerificationPending, ReasonProviderVerificationBlocked,
	} {
		if seen[reason] == 0 {
			t.Errorf("no situation has the obstacle %q", reason)
		}
	}
}
