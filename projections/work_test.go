package projections_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// queue adds work items of a tenant, in this order, straight to the table.
func (f *fixture) queue(t testing.TB, tenant uuid.UUID, n int) []uuid.UUID {
	t.Helper()
	runs := make([]uuid.UUID, n)
	for i := range runs {
		runs[i] = uuid.New()
	}
	_, err := f.pool.Exec(t.Context(), `insert into work_items (run, workspace, tenant, connection, operation, queued_at, position)
		select run, $2, $3, n, 'directory_groups.sync', clock_timestamp(), n from unnest($1::uuid[]) with ordinality u (run, n)`,
		runs, f.workspace, tenant)
	must(t, err)
	return runs
}

func (f *fixture) claim(t testing.TB, worker string, lease time.Duration) *projections.WorkItem {
	t.Helper()
	item, err := projections.Claim(t.Context(), f.pool, worker, lease)
	must(t, err)
	return item
}

func TestOneTenantCannotStarveTheOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	loud, quiet := uuid.New(), uuid.New()
	first := f.queue(t, loud, 200)
	late := f.queue(t, quiet, 2)
	var order []uuid.UUID
	for range 5 {
		order = append(order, f.claim(t, "w", time.Minute).Run)
	}
	// The oldest; then the tenant with nothing under way; then, both having as many, again the oldest; and so on.
	want := []uuid.UUID{first[0], late[0], first[1], late[1], first[2]}
	if !slices.Equal(order, want) {
		t.Errorf("claimed in the order %v, want %v", order, want)
	}
}

func TestALeaseIsLiveLostOrHandedBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	run := f.queue(t, uuid.New(), 1)[0]
	first := f.claim(t, "first", 300*time.Millisecond)
	if lost, err := projections.Lost(t.Context(), f.pool); err != nil || len(lost) != 0 {
		t.Fatalf("a live lease is lost: %+v, %v", lost, err)
	}
	if ok, err := projections.Renew(t.Context(), f.pool, run, first.Token+1, time.Minute); err != nil || ok {
		t.Errorf("renewed under a token that is not the lease's: %v, %v", ok, err)
	}
	time.Sleep(350 * time.Millisecond)
	lost, err := projections.Lost(t.Context(), f.pool)
	must(t, err)
	if len(lost) != 1 || lost[0].Run != run || lost[0].Worker != "first" || lost[0].Operation != domain.OpGroupsSync || lost[0].Since.IsZero() {
		t.Fatalf("lost = %+v", lost)
	}
	second := f.claim(t, "second", time.Minute)
	if second == nil || !second.Recovered || second.Token <= first.Token {
		t.Fatalf("claimed %+v after %+v", second, first)
	}
	must(t, projections.Release(t.Context(), f.pool, run, first.Token)) // overtaken: no effect
	if f.claim(t, "third", time.Minute) != nil {
		t.Error("an overtaken token handed back its successor's lease")
	}
	must(t, projections.Release(t.Context(), f.pool, run, second.Token))
	if lost, err := projections.Lost(t.Context(), f.pool); err != nil || len(lost) != 0 {
		t.Errorf("a lease that was handed back is lost: %+v, %v", lost, err)
	}
	if third := f.claim(t, "third", time.Minute); third == nil || third.Recovered || third.Token <= second.Token {
		t.Errorf("claimed %+v after it was handed back under %d", third, second.Token)
	}
}

func TestAClaimThatWasOvertakenTakesTheNextItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	runs := f.queue(t, uuid.New(), 2)
	// A rival claims the first item and has not committed: Claim does not see it yet and picks the same one.
	rival, err := f.pool.Begin(t.Context())
	must(t, err)
	_, err = rival.Exec(t.Context(), `insert into work_leases (run, worker, token, expires_at)
		values ($1, 'rival', nextval('fencing_tokens'), clock_timestamp() + interval '1 minute')`, runs[0])
	must(t, err)
	claimed := make(chan *projections.WorkItem, 1)
	go func() {
		item, err := projections.Claim(context.WithoutCancel(t.Context()), f.pool, "w", time.Minute)
		if err != nil {
			t.Error(err)
		}
		claimed <- item
	}()
	select {
	case item := <-claimed:
		t.Errorf("claimed %+v without waiting for the rival", item)
	case <-time.After(200 * time.Millisecond):
	}
	must(t, rival.Commit(t.Context()))
	if item := <-claimed; item == nil || item.Run != runs[1] || item.Token == 0 {
		t.Errorf("claimed %+v, want the second item", item)
	}
}

// TestAtAnyTimeOneWorkerHasARun lets workers claim, renew and hand back at random while leases run out, and compares the answers with what
// the database then says.
func TestAtAnyTimeOneWorkerHasARun(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TENANTPILOT_TEST_SEED"); s != "" {
		_, err := fmt.Sscan(s, &seed)
		must(t, err)
	}
	t.Logf("TENANTPILOT_TEST_SEED=%d", seed)
	f := newFixture(t)
	for range 4 {
		f.queue(t, uuid.New(), 5)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	type grant struct {
		token       int64
		begin, last time.Time // by our clock: surely held from begin to last
	}
	var mu sync.Mutex
	granted := map[uuid.UUID][]grant{}
	const lease = 60 * time.Millisecond
	var workers sync.WaitGroup
	for n := range 8 {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		workers.Go(func() {
			for ctx.Err() == nil {
				before := time.Now()
				item, err := projections.Claim(ctx, f.pool, fmt.Sprint("w", n), lease)
				if err != nil || item == nil {
					continue
				}
				g := grant{item.Token, time.Now(), before}
				for range r.IntN(4) {
					time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
					asked := time.Now()
					if ok, err := projections.Renew(ctx, f.pool, item.Run, item.Token, lease); err != nil || !ok {
						break
					}
					g.last = asked // it was ours then, or the renewal would have failed
				}
				mu.Lock()
				granted[item.Run] = append(granted[item.Run], g)
				mu.Unlock()
				if r.IntN(2) == 0 {
					_ = projections.Release(ctx, f.pool, item.Run, item.Token)
				}
			}
		})
	}
	workers.Wait()
	n := 0
	for run, all := range granted {
		slices.SortFunc(all, func(a, b grant) int { return int(a.token - b.token) })
		for i, g := range all {
			if n++; i > 0 && (g.token == all[i-1].token || g.begin.Before(all[i-1].last)) {
				t.Fatalf("run %s was held under %+v and %+v at once", run, all[i-1], g)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d claims in 3 s", n)
	}
	t.Logf("%d claims", n)
}

func TestALongQueueIsClaimedFast(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 50 {
		f.queue(t, uuid.New(), 200)
	}
	var slowest time.Duration
	for range 20 {
		begun := time.Now()
		if f.claim(t, "w", time.Minute) == nil {
			t.Fatal("nothing to claim in a queue of 10,000")
		}
		slowest = max(slowest, time.Since(begun))
	}
	t.Logf("slowest of 20 claims from 10,000 items: %s", slowest)
	if slowest > time.Second {
		t.Errorf("a claim took %s", slowest)
	}
}

func TestWorkAppliedTwiceIsTheSame(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ended := f.start(t, domain.OpGroupsSync)
	_, err := f.commands.CancelRun(t.Context(), commands.CancelRun{Actor: f.operator, Run: ended.Run})
	must(t, err)
	open := f.start(t, domain.OpRoleDefinitionsSync)
	f.settleAll(t)
	item := f.claim(t, "w", time.Minute)
	if item == nil || item.Run != open.Run || item.Tenant != f.tenant.ID || item.Workspace != f.workspace || item.Connection != f.conn.Number {
		t.Fatalf("claimed %+v, want the run that has not ended, %s", item, open.Run)
	}
	f.applyAll(t, projections.Work{})
	if again := f.claim(t, "w2", time.Minute); again != nil {
		t.Errorf("after applying the log again %+v can be claimed", again)
	}
	if ok, err := projections.Renew(t.Context(), f.pool, open.Run, item.Token, time.Minute); err != nil || !ok {
		t.Errorf("applying the log again cost the lease: %v, %v", ok, err)
	}
}

// applyAll applies the whole log to a projection, as rebuilding it would.
func (f *fixture) applyAll(t testing.TB, p projections.Projection) {
	t.Helper()
	stored, _, err := f.store.ReadAfter(t.Context(), 0, 10_000, "")
	must(t, err)
	events := make([]projections.Event, len(stored))
	for i, s := range stored {
		data, err := s.Decode()
		must(t, err)
		events[i] = projections.Event{Event: s, Data: data}
	}
	tx, err := f.pool.Begin(t.Context())
	must(t, err)
	must(t, p.Apply(t.Context(), tx, events))
	must(t, tx.Commit(t.Context()))
}
