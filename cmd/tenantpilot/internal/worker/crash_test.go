package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// seeded makes a generator whose seed is in the test's log; TENANTPILOT_TEST_SEED replays one.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TENANTPILOT_TEST_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TENANTPILOT_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// child is a worker in a process of its own: this test binary, told so by its environment.
func (w *world) child(name string, lease time.Duration) *os.Process {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+name, "TENANTPILOT_TEST_LEASE="+lease.String(),
		"TENANTPILOT_TEST_DB="+w.db.AppURL, "TENANTPILOT_TEST_SIM="+w.simURL)
	w.must(cmd.Start())
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process
}

func TestARunOutlivesItsKilledWorker(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	w := newWorld(t, graphsim.Config{PageSize: 20})
	tn := w.tenant(graphsim.Tenant{Groups: 200})
	tn.sim(`{"latencyMs":30}`)
	run := tn.accepted(domain.OpGroupsSync)
	victim := w.child("victim", lease)
	w.eventually("it is reading", func() bool { return w.effects(run).Pages >= 3 })
	w.sim.Hold(tn.id)
	tn.held()
	read := w.effects(run).Pages
	w.must(victim.Kill())
	killed := time.Now()
	w.sim.Release(tn.id)

	w.work(worker.Config{Name: "successor", Lease: lease})
	w.eventually("its lease shows as lost or is taken over", func() bool {
		lost, err := projections.Lost(t.Context(), w.pool)
		w.must(err)
		return len(lost) == 1 && lost[0].Run == run && lost[0].Worker == "victim" || w.run(run).Try > 1
	})
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	if took := time.Since(killed); took > lease+5*time.Second {
		t.Errorf("ended %s after the kill, want within the lease and a few seconds", took)
	}
	recovered := slices.ContainsFunc(w.history(run), func(e domain.Event) bool {
		r, ok := e.(domain.RunRecovered)
		return ok && r.Try == 2 && r.Worker == "successor"
	})
	if !recovered {
		t.Errorf("no RunRecovered in %v", w.history(run))
	}
	if e := w.effects(run); e.Pages < read+10 || e.Writes != 0 {
		t.Errorf("effects = %+v, want the %d pages before the kill and the whole reading after it", e, read)
	}
	if items := w.items(run); len(items) != 1 || items[0].Count != 200 {
		t.Errorf("items = %+v", items)
	}
}

func TestAWorkerThatWasSuspendedWritesNothingMore(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{})
	w.sim.Hold(tn.id)
	run := tn.accepted(domain.OpGroupsSync)
	sleeper := w.child("sleeper", lease)
	tn.held()
	w.must(sleeper.Signal(syscall.SIGSTOP))
	w.work(worker.Config{Name: "successor", Lease: lease})
	w.eventually("the successor has it", func() bool { return w.run(run).Try == 2 })
	w.must(sleeper.Signal(syscall.SIGCONT))
	w.sim.Release(tn.id) // both get their answers now
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	time.Sleep(time.Second)
	if err := sound(w.history(run)); err != nil { // nothing after the end, nothing under the old token
		t.Error(err)
	}
}

func TestALostLeaseEndsTheCallsMadeUnderIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{})
	w.sim.Hold(tn.id)
	run := tn.accepted(domain.OpGroupsSync)
	stop := w.work(worker.Config{Name: "loser", Concurrency: 1})
	tn.held()
	_, err := w.pool.Exec(t.Context(), `update work_leases set worker = 'thief', token = nextval('fencing_tokens') where run = $1`, run)
	w.must(err)
	w.eventually("the call is given up", func() bool { return !tn.isHeld() })
	stop()
	var holder string
	w.must(w.pool.QueryRow(t.Context(), `select worker from work_leases where run = $1 and expires_at > clock_timestamp()`, run).Scan(&holder))
	if r := w.run(run); r.Status != domain.Running || holder != "thief" {
		t.Errorf("run is %s, its lease %s's; want it left to the thief", r.Status, holder)
	}
}

func TestWorkersKilledAtRandomLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	const lease = 1500 * time.Millisecond
	w := newWorld(t, graphsim.Config{PageSize: 20})
	var runs []uuid.UUID
	for range 6 {
		tn := w.tenant(graphsim.Tenant{Groups: 120})
		tn.sim(`{"latencyMs":60}`)
		runs = append(runs, tn.accepted(domain.OpGroupsSync))
	}
	for i := range 6 {
		victim := w.child(fmt.Sprintf("victim-%d", i), lease)
		time.Sleep(time.Duration(100+r.IntN(900)) * time.Millisecond)
		w.must(victim.Kill())
	}
	w.work(worker.Config{Name: "last", Lease: lease})
	for _, run := range runs {
		wantEnd(t, w.ended(run), domain.Succeeded, "")
	}
	w.nothingLeft()
}

// nothingLeft checks that the queue is empty and no run holds a scope.
func (w *world) nothingLeft() {
	w.t.Helper()
	w.eventually("the queue is empty", func() bool {
		var left int
		w.must(w.pool.QueryRow(w.t.Context(), `select (select count(*) from work_items) + (select count(*) from work_leases) +
			(select count(*) from runs where execution_status <> 'completed' or scope_released_at is null)`).Scan(&left))
		return left == 0
	})
}

func TestTwoWorkersWhoseLeasesAreTakenAwayWriteEachRunOnce(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	w := newWorld(t, graphsim.Config{PageSize: 20})
	ops := []domain.OperationType{domain.OpGroupsSync, domain.OpRoleDefinitionsSync, domain.OpConnectionCheck}
	var runs []uuid.UUID
	for i := range 50 {
		tn := w.tenant(graphsim.Tenant{Groups: 60, RoleDefinitions: 60})
		tn.sim(`{"latencyMs":25}`)
		runs = append(runs, tn.accepted(ops[i%len(ops)]))
	}
	for _, name := range []string{"a", "b"} {
		w.work(worker.Config{Name: name, Concurrency: 6, Lease: time.Second})
	}
	// The thief makes about half of the leases that it meets run out, over and over.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var thief sync.WaitGroup
	stolen := 0
	thief.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(time.Duration(20+r.IntN(60)) * time.Millisecond)
			tag, err := w.pool.Exec(ctx, `update work_leases set expires_at = clock_timestamp() - interval '1 ms'
				where run = any($1) and get_byte(uuid_send(run), 15) % 2 = $2`, runs, r.IntN(2))
			if err == nil {
				stolen += int(tag.RowsAffected())
			}
		}
	})
	thief.Wait()
	tries := 0
	for _, run := range runs {
		end := w.ended(run) // checks: ends once, every write under the newest token
		if end.Outcome != domain.Succeeded {
			t.Errorf("run %s ended %s %s", run, end.Outcome, end.Reason)
		}
		tries += w.run(run).Try
	}
	t.Logf("%d leases taken away, %d runs, %d tries", stolen, len(runs), tries)
	if tries == len(runs) {
		t.Error("no run was recovered: the test did not do what it is for")
	}
	w.nothingLeft()
	var completed, scopes int
	w.must(w.pool.QueryRow(t.Context(), `select count(*) filter (where name = 'RunCompleted'), count(*) filter (where name = 'ScopeReleased')
		from events`).Scan(&completed, &scopes))
	if completed != 50 || scopes != 50 {
		t.Errorf("%d RunCompleted and %d ScopeReleased for 50 runs", completed, scopes)
	}
}

func TestARunEndsAlthoughTheDatabaseWasAwayWhenItWasDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{})
	w.work(worker.Config{Lease: 12 * time.Second})
	w.sim.Hold(tn.id)
	run := tn.accepted(domain.OpGroupsSync)
	tn.held()
	admin, err := pgx.Connect(t.Context(), w.db.SuperuserURL)
	w.must(err)
	defer admin.Close(context.Background())
	away := func(yes bool) {
		_, err := admin.Exec(t.Context(), `update pg_database set datallowconn = $2 where datname = $1`, w.db.Name, !yes)
		w.must(err)
	}
	away(true)
	t.Cleanup(func() {
		_, _ = admin.Exec(context.Background(), `update pg_database set datallowconn = true where datname = $1`, w.db.Name)
	})
	for range 3 {
		_, err = admin.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()`, w.db.Name)
		w.must(err)
		time.Sleep(50 * time.Millisecond)
	}
	w.sim.Release(tn.id)
	time.Sleep(2500 * time.Millisecond)
	away(false)
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	if r := w.run(run); r.Try != 1 {
		t.Errorf("try %d, want 1: the worker kept its lease and had only to wait", r.Try)
	}
}
