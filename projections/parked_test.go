package projections_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// sickRuns is the runs projection with a fault: it refuses the start and the progress of one run until it is cured. It counts the work that Apply gets.
type sickRuns struct {
	projections.Runs
	mu      sync.Mutex
	refuse  uuid.UUID
	apart   uuid.UUID // its events are not counted
	batches int
	events  int
}

func (s *sickRuns) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	for _, e := range events {
		if e.Stream != s.apart {
			s.events++
		}
	}
	for _, e := range events {
		switch e.Data.(type) {
		case domain.RunStarted, domain.RunProgressed:
			if e.Stream == s.refuse {
				return errors.New("a fault of the projection")
			}
		}
	}
	return s.Runs.Apply(ctx, tx, events)
}

func (s *sickRuns) set(refuse uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse, s.batches, s.events = refuse, 0, 0
}

func (s *sickRuns) work() (batches, events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches, s.events
}

// execute takes a run from accepted to its end.
func (f *fixture) execute(t *testing.T, r commands.StartResult) {
	t.Helper()
	item, err := projections.Claim(t.Context(), f.pool, "w1", time.Minute)
	must(t, err)
	if item == nil || item.Run != r.Run {
		t.Fatalf("claimed %+v, want run %s", item, r.Run)
	}
	claim := commands.Claim{Workspace: f.workspace, Run: r.Run, Token: item.Token, Worker: "w1"}
	_, err = f.commands.BeginRun(t.Context(), claim)
	must(t, err)
	must(t, f.commands.EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Succeeded, Summary: "done"}, nil))
}

func TestAParkedRunComesBackWholeAndInOrder(t *testing.T) {
	t.Parallel()
	sick := &sickRuns{}
	all := slices.Clone(projections.All())
	all[0] = sick
	f := newFixtureOf(t, all...)
	r := f.start(t, domain.OpGroupsSync)
	f.settle(t, r.Seq, projections.Work{})
	sick.set(r.Run)
	f.execute(t, r)
	f.settleAll(t)
	parked, err := projections.Parked(t.Context(), f.pool, 10)
	must(t, err)
	// Started, completed, and the release of the scope, which is an event of the connection's stream.
	if len(parked) != 1 || parked[0].Events != 3 || parked[0].Event != "RunStarted" || parked[0].Attempts != 1 {
		t.Fatalf("parked = %+v, want the run's three events behind RunStarted", parked)
	}
	again := f.start(t, domain.OpGroupsSync) // the connection itself goes on, in this read model too
	f.settle(t, again.Seq, projections.All()...)
	if again.Outcome != domain.Accepted || f.statusOf(t, again.Run) != "queued" {
		t.Fatalf("the next run is %s %s", again.Outcome, f.statusOf(t, again.Run))
	}

	log := slog.New(slog.DiscardHandler)
	done, err := projections.Retry(t.Context(), f.pool, log, sick)
	must(t, err)
	parked, err = projections.Parked(t.Context(), f.pool, 10)
	must(t, err)
	if done != (projections.Retried{Left: 1}) || len(parked) != 1 || parked[0].Attempts != 2 || parked[0].Events != 3 {
		t.Fatalf("a retry that changed nothing: %+v, %+v", done, parked)
	}
	sick.set(uuid.Nil)
	done, err = projections.Retry(t.Context(), f.pool, log, sick)
	must(t, err)
	if done != (projections.Retried{Applied: 3, Streams: 1}) || f.statusOf(t, r.Run) != "completed" {
		t.Errorf("retried %+v, the run is %s", done, f.statusOf(t, r.Run))
	}
	var released bool
	var left, trace int
	must(t, f.pool.QueryRow(t.Context(), `select scope_released_at is not null, (select count(*) from parked),
		(select count(*) from unparked where applied_by = 'retry' and cause <> '') from runs where run = $1`, r.Run).Scan(&released, &left, &trace))
	if !released || left != 0 || trace != 3 {
		t.Errorf("scope released %v, %d left parked, %d in the trace; want true, 0, 3", released, left, trace)
	}
}

func (f *fixture) statusOf(t *testing.T, run uuid.UUID) string {
	t.Helper()
	var status string
	must(t, f.pool.QueryRow(t.Context(), `select execution_status from runs where run = $1`, run).Scan(&status))
	return status
}

// A run that is parked costs the others nothing, however much goes on in it: Apply gets their events as often, in as many calls, but for the one
// batch that is taken apart to find it.
func TestAParkedStreamDoesNotSlowTheOthers(t *testing.T) {
	t.Parallel()
	work := func(poison bool) (calls, others int) {
		l := newLog(t)
		var run uuid.UUID
		const rounds, connections = 60, 10
		must(t, pgx.BeginFunc(t.Context(), l.owner, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `set local jit = off`) // which would take longer than the statements
			must(t, err)
			for range rounds { // so that there is something of the run in every batch
				_, err := tx.Exec(t.Context(), generateEvents, 15*6*connections, connections)
				must(t, err)
				must(t, tx.QueryRow(t.Context(), `select stream from log join events using (seq) where position = 1`).Scan(&run))
				_, err = tx.Exec(t.Context(), generateProgress, run, 6*connections)
				must(t, err)
			}
			_, err = tx.Exec(t.Context(), `analyze events, log`)
			return err
		}))
		sick := &sickRuns{apart: run}
		if poison {
			sick.refuse = run
		}
		stop := l.follow(t, sick)
		l.settle(t, sick)
		stop()
		var parked int
		must(t, l.pool.QueryRow(t.Context(), `select count(*) from parked where stream = $1`, run).Scan(&parked))
		if poison != (parked > rounds*6*connections) {
			t.Fatalf("%d events are parked", parked)
		}
		return sick.work()
	}
	wellCalls, well := work(false)
	calls, others := work(true)
	if more := others - well; more > well*5/100 || calls-wellCalls > 2*11 {
		t.Errorf("%d events of the others in %d calls beside a parked run, %d in %d without", others, calls, well, wellCalls)
	}
	t.Logf("%d events of the others in %d calls beside a parked run, %d in %d without", others, calls, well, wellCalls)
}

// generateProgress appends events of one run, as many as make whole waves for generateEvents.
const generateProgress = `
with base as (
	select head, (select max(seq) from events) as seq, max(version) as version, workspace, tenant from sequencer, events where stream = $1 group by head, workspace, tenant
), e as (
	insert into events (seq, stream, version, id, name, workspace, tenant, recorded_at, meta, payload, leaf)
	select seq + i, $1, version + i, gen_random_uuid(), 'RunProgressed', workspace, tenant, now(), '{"actor":{"kind":"system"}}',
		'{"done":1,"step":"Reading groups","token":1,"total":2}', sha256('x')
	from base, generate_series(1, $2::int) i
)
insert into log (position, seq) select head + i, seq + i from base, generate_series(1, $2::int) i`
