package worker_test

import (
	"testing"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

// TestAStartThatWaitsIsAdmittedWhenItsHolderEnds: "run again after this one" and "start when free", each by the end of its predecessor; and
// by a worker that was not there when the holder ended.
func TestAStartThatWaitsIsAdmittedWhenItsHolderEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	w.must(w.commands.AddMember(t.Context(), commands.AddMember{Actor: w.owner, Person: w.operator.Ref.ID, Role: domain.RoleOperator}))
	tn := w.tenant(graphsim.Tenant{})
	first := tn.accepted(domain.OpGroupsSync)
	for _, op := range []domain.OperationType{domain.OpGroupsSync, domain.OpRoleDefinitionsSync} {
		_, _, err := w.commands.Reserve(t.Context(), commands.Reserve{Start: commands.Start{
			Actor: w.operator, Tenant: tn.ours.ExternalID, Operation: op, Trigger: domain.TriggerOperator,
		}})
		w.must(err)
	}
	_, err := w.commands.CancelRun(t.Context(), commands.CancelRun{Actor: w.operator, Run: first})
	w.must(err)
	w.work(worker.Config{})
	var runs []uuid.UUID
	w.eventually("three runs have ended", func() bool {
		rows, err := w.pool.Query(t.Context(), `select run from runs where execution_status = 'completed' order by number`)
		w.must(err)
		defer rows.Close()
		runs = runs[:0]
		for rows.Next() {
			var id uuid.UUID
			w.must(rows.Scan(&id))
			runs = append(runs, id)
		}
		return len(runs) == 3
	})
	wantEnd(t, w.ended(runs[1]), domain.Succeeded, "")
	wantEnd(t, w.ended(runs[2]), domain.Succeeded, "")
	if got := w.run(runs[1]); got.Operation != domain.OpGroupsSync || got.Initiator != w.operator.Ref {
		t.Errorf("the second run is %s of %v, want the first that waited", got.Operation, got.Initiator)
	}
	var waiting int
	w.must(w.pool.QueryRow(t.Context(), `select count(*) from reservations where ending is null`).Scan(&waiting))
	if waiting != 0 {
		t.Errorf("%d still wait", waiting)
	}
}
