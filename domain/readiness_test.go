package domain

import "testing"

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
