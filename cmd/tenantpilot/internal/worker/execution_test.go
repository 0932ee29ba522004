package worker

import (
	"errors"
	"slices"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

func TestAWriteWhoseWorkerWasLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	x := &execution{begun: commands.Begun{Run: domain.Run{Operation: domain.OpRestoreExecute, Try: 2}}}
	res, err := x.run(t.Context())
	if !errors.Is(err, errUnsafe) {
		t.Fatalf("run = %v, want %v", err, errUnsafe)
	}
	if e := x.ending(res, err); e.Outcome != domain.Failed || e.Reason != domain.ReasonProviderWriteUnconfirmed {
		t.Errorf("ends %s %s", e.Outcome, e.Reason)
	}
}

func TestEveryReleasedOperationHasAnExecutor(t *testing.T) {
	t.Parallel()
	for _, o := range domain.Catalogue() {
		if executors[o.Type] == nil {
			t.Errorf("%s can be started and nobody executes it", o.Type)
		}
	}
}

// What a check found must be recordable whatever it was: a finding that the domain refuses would leave its run without an end.
func TestEveryFindingCanBeRecorded(t *testing.T) {
	t.Parallel()
	states := []graph.CheckState{graph.CheckHealthy, graph.CheckDegraded, graph.CheckBlocked, graph.CheckError}
	before := domain.Fold(domain.ProviderConnection{}, domain.ProviderConnectionCreated{Connection: domain.ConnectionStream(1), Number: 1})
	before.Granted = []string{"GroupMember.Read.All"}
	for _, reason := range append(domain.Reasons(), domain.Reason{}, domain.ReasonFor("of_a_newer_version")) {
		for _, state := range states {
			for _, consent := range []domain.ConsentState{
				domain.ConsentUnknown, domain.ConsentRequired, domain.ConsentIsGiven, domain.ConsentIsFailed, domain.ConsentIsGone,
			} {
				before.Consent = consent
				f := findingOf(graph.CheckResult{State: state, Reason: reason.Code}, before)
				if f == nil {
					if state != graph.CheckError {
						t.Errorf("%s %s: nothing found", state, reason.Code)
					}
					continue
				}
				if _, err := before.RecordVerification([16]byte{}, *f); err != nil {
					t.Errorf("%s %s after consent %s: %v", state, reason.Code, consent, err)
				}
				if state == graph.CheckError && !slices.Equal(f.Granted, before.Granted) {
					t.Errorf("%s %s: what was known to be granted is now %v", state, reason.Code, f.Granted)
				}
				given := consent == domain.ConsentIsGiven || consent == domain.ConsentIsGone
				if given && f.Consent == domain.ConsentRequired {
					t.Errorf("%s %s: consent that had been given is %s, want revoked", state, reason.Code, f.Consent)
				}
			}
		}
	}
}
