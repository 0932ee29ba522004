package projections_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// rebuildVariable makes the test binary a process that rebuilds the database at that URL: something to kill.
const rebuildVariable = "TENANTPILOT_TEST_REBUILD"

func TestMain(m *testing.M) {
	if url := os.Getenv(rebuildVariable); url != "" {
		if _, err := projections.Rebuild(context.Background(), url, louder{}, projections.RebuildOptions{Segment: 500}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	pgtest.Main(m)
}

// louder is version 2 of runs: the summary is written otherwise.
type louder struct{ projections.Runs }

func (louder) Version() int                 { return 2 }
func (louder) Changes() map[string][]string { return map[string][]string{"runs": {"summary"}} }
func (louder) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	changed := make([]projections.Event, len(events))
	for i, e := range events {
		if d, ok := e.Data.(domain.RunCompleted); ok {
			d.Summary = strings.ToUpper(d.Summary)
			e.Data = d
		}
		changed[i] = e
	}
	return projections.Runs{}.Apply(ctx, tx, changed)
}

func readModels() []projections.ReadModel {
	var models []projections.ReadModel
	for _, p := range projections.All() {
		if m, ok := p.(projections.ReadModel); ok {
			models = append(models, m)
		}
	}
	return models
}

// Of everything that a console does, the rows made again at once are those that were kept event by event, and the tables are the same
// in every respect. Nothing is said or done a second time.
func TestEveryReadModelIsWhatTheLogSays(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	f := newFixtureAt(t, db, projections.All()...)
	for range 3 {
		r := f.start(t, domain.OpGroupsSync)
		f.settle(t, r.Seq, projections.Work{})
		f.execute(t, r)
	}
	last := f.start(t, domain.OpGroupsSync)
	f.start(t, domain.OpRoleDefinitionsSync)
	f.settle(t, last.Seq, projections.All()...)
	item, err := projections.Claim(t.Context(), f.pool, "w1", time.Hour)
	must(t, err)
	f.wantNotices(t, "run_queued", "run_ended", "run_queued", "run_ended", "run_queued", "run_ended", "run_queued")
	owner := db.OwnerPool(t)
	shape, effects := f.text(t, owner, tableShape), f.text(t, owner, sideEffects)
	for _, m := range readModels() {
		done, err := projections.Rebuild(t.Context(), db.OwnerURL, m, projections.RebuildOptions{VerifyOnly: true})
		if err != nil || done.Swapped {
			t.Fatalf("verify: %+v, %v", done, err)
		}
		done, err = projections.Rebuild(t.Context(), db.OwnerURL, m, projections.RebuildOptions{})
		if err != nil || !done.Swapped || done.Events == 0 {
			t.Fatalf("rebuild: %+v, %v", done, err)
		}
	}
	if after := f.text(t, owner, tableShape); after != shape {
		t.Errorf("the tables changed:\n%s\nwas\n%s", after, shape)
	}
	if after := f.text(t, owner, sideEffects); after != effects {
		t.Errorf("side effects: %s, before the rebuilds %s", after, effects)
	}
	claim := projections.WorkItem{Run: item.Run, Token: item.Token}
	if ok, err := projections.Renew(t.Context(), f.pool, claim.Run, claim.Token, time.Hour); err != nil || !ok {
		t.Errorf("a rebuild of the work queue cost a worker its lease: %v, %v", ok, err)
	}
	var left int
	must(t, owner.QueryRow(t.Context(), `select count(*) from pg_namespace where nspname ~ '^(rebuild|retired)_'`).Scan(&left))
	if left != 0 {
		t.Errorf("%d schemas are left", left)
	}
	next, err := f.commands.RegisterTenant(t.Context(), registerFabrikam(f))
	must(t, err)
	f.settleAll(t) // the engine goes on in the new tables
	if _, err := projections.TenantByExternalID(t.Context(), f.pool, f.operator, next.ExternalID); err != nil {
		t.Errorf("a tenant registered after the swap: %v", err)
	}
}

const tableShape = `
	select string_agg(line, E'\n' order by line) from (
		select indexdef as line from pg_indexes where schemaname = 'public'
		union all select c.relname || ' ' || conname || ' ' || pg_get_constraintdef(k.oid) from pg_constraint k join pg_class c on c.oid = conrelid
			where connamespace = 'public'::regnamespace
		union all select relname || ' ' || relowner::regrole || ' ' || coalesce(reloptions::text, '') || ' ' ||
			coalesce((select string_agg(a::text, ' ' order by a::text) from unnest(relacl) a), '')
			from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
		union all select relname || ' row security ' || relrowsecurity from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
		union all select concat_ws(' ', 'policy', tablename, policyname, permissive, roles, cmd, qual, with_check) from pg_policies
			where schemaname = 'public'
		union all select table_name || '.' || column_name || ' ' || ordinal_position || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
			from information_schema.columns where table_schema = 'public'
	) l`

const sideEffects = `select concat_ws(' ', (select count(*) from messages_notifications), (select max("offset") from messages_notifications),
	(select count(*) from messages_dead_letters), (select last_value from messages_dead_letters_offset),
	(select count(*) from notifications), (select count(*) from events), (select count(*) from pending), (select count(*) from requests),
	(select string_agg(l::text, ' ') from work_leases l), (select last_value from fencing_tokens), (select last_value from run_numbers))`

// rebuildEvents is how long the log of the big test is.
func rebuildEvents() int {
	if os.Getenv("TENANTPILOT_LONG_TESTS") != "" {
		return 1_000_000
	}
	return 100_000
}

// While a version is rebuilt and swapped in, with appends going on, a reader in a tight loop gets an answer to every question, no question
// finds rows of both versions, and no row that was there is ever missing.
func TestReadersNoticeNothingOfARebuild(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, rebuildEvents(), 600)
	first, err := projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{})
	must(t, err)
	t.Logf("version 1: %d events in %v", first.Events, first.Took)
	stopOld := l.follow(t, projections.Runs{})
	l.follow(t, louder{}) // the new program runs beside the old one, and holds off

	stop := make(chan struct{})
	appended := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				appended <- nil
				return
			case <-time.After(20 * time.Millisecond):
			}
			if _, err := l.owner.Exec(context.Background(), generateEvents, 60, 600); err != nil {
				appended <- err
				return
			}
		}
	}()
	var reads, slow atomic.Int64
	read := make(chan error, 2)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		go func() { read <- l.readUntil(stop, mode, &reads, &slow) }()
	}
	done, err := projections.Rebuild(t.Context(), l.db.OwnerURL, louder{}, projections.RebuildOptions{})
	must(t, err)
	l.settle(t, louder{}) // which now goes on by itself
	stopOld()
	time.Sleep(200 * time.Millisecond)
	close(stop)
	must(t, errors.Join(<-read, <-read, <-appended))
	l.settle(t, louder{})
	t.Logf("version 2: %d events in %v, %d reads meanwhile, the slowest took %v", done.Events, done.Took, reads.Load(), time.Duration(slow.Load()))
	if done.From != 1 || done.To != 2 || !done.Swapped || reads.Load() < 20 {
		t.Errorf("rebuilt %+v with %d reads", done, reads.Load())
	}
	verified, err := projections.Rebuild(t.Context(), l.db.OwnerURL, louder{}, projections.RebuildOptions{VerifyOnly: true})
	if err != nil || verified.Rows["runs"] == 0 {
		t.Errorf("verify afterwards: %+v, %v", verified, err)
	}
}

// readUntil asks about a hundred runs, again and again: how many are there, how many completed, and are their summaries of one version?
func (l *testLog) readUntil(stop <-chan struct{}, mode pgx.QueryExecMode, reads, slow *atomic.Int64) error {
	var best int
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		began := time.Now()
		var rows, completed, old, fresh int
		err := l.pool.QueryRow(context.Background(), `select count(*), count(*) filter (where execution_status = 'completed' and ended_at is not null),
			count(*) filter (where summary = '812 groups were read'), count(*) filter (where summary = '812 GROUPS WERE READ')
			from runs where number between $1 and $2`, mode, 1, 100).Scan(&rows, &completed, &old, &fresh)
		if err != nil {
			return fmt.Errorf("a failed read: %w", err)
		}
		if rows != 100 || completed < best || completed != old+fresh || old > 0 && fresh > 0 {
			return fmt.Errorf("%d runs, %d completed (%d before), %d of version 1 and %d of version 2", rows, completed, best, old, fresh)
		}
		best = completed
		if took := int64(time.Since(began)); took > slow.Load() {
			slow.Store(took)
		}
		reads.Add(1)
	}
}

func TestAKilledRebuildGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 57_600, 600)
	_, err := projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{})
	must(t, err)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), rebuildVariable+"="+l.db.OwnerURL)
	must(t, child.Start())
	var position int64
	for deadline := time.Now().Add(30 * time.Second); position < 5_000; time.Sleep(5 * time.Millisecond) {
		must(t, l.pool.QueryRow(t.Context(), `select coalesce(min(s.position), 0) from rebuilds r join rebuild_shards s on s.rebuild = r.id
			where r.to_version = 2 and r.state = 'building'`).Scan(&position))
		if time.Now().After(deadline) {
			t.Fatal("the rebuild made no progress within 30 s")
		}
	}
	must(t, child.Process.Kill()) // SIGKILL
	_ = child.Wait()
	rows, err := projections.Rebuilds(t.Context(), l.pool, 1)
	must(t, err)
	if len(rows) != 1 || rows[0].State != "building" || rows[0].Position < 5_000 || rows[0].Position >= 57_600 {
		t.Fatalf("after the kill: %+v", rows)
	}
	var resumed bool
	done, err := projections.Rebuild(t.Context(), l.db.OwnerURL, louder{}, projections.RebuildOptions{
		Progress: func(p projections.Progress) { resumed = p.Resumed },
	})
	must(t, err)
	if !done.Swapped || !resumed || done.Events > 57_600-5_000 || done.Rows["runs"] != 9_600 {
		t.Errorf("resumed %v: %+v", resumed, done)
	}
}

func TestADifferenceThatWasNotMeantIsNotLetIn(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 3_600, 600)
	_, err := projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{})
	must(t, err)
	_, err = l.pool.Exec(t.Context(), `update runs set step = 'tampered' where number = 7`)
	must(t, err)
	_, err = projections.Rebuild(t.Context(), l.db.OwnerURL, louder{}, projections.RebuildOptions{})
	if !errors.Is(err, projections.ErrDiffers) || !strings.Contains(err.Error(), "runs: 1 rows only as served, 1 only as rebuilt") {
		t.Fatalf("err = %v", err)
	}
	rows, err := projections.Rebuilds(t.Context(), l.pool, 1)
	must(t, err)
	if rows[0].State != "differs" || !strings.Contains(rows[0].Note, "1 rows only as served") {
		t.Errorf("recorded %+v", rows[0])
	}
	done, err := projections.Rebuild(t.Context(), l.db.OwnerURL, louder{}, projections.RebuildOptions{AcceptDifference: true})
	if err != nil || !done.Swapped || done.Events != 0 {
		t.Fatalf("accepted: %+v, %v", done, err)
	}
	var step, summary string
	must(t, l.pool.QueryRow(t.Context(), `select step, summary from runs where number = 7`).Scan(&step, &summary))
	if step != "" || summary != "812 GROUPS WERE READ" {
		t.Errorf("step %q, summary %q", step, summary)
	}
}

// broken is a version 2 of runs that means to change every row and cannot apply events of that name.
type broken struct {
	projections.Runs
	event string
}

func (broken) Version() int                 { return 2 }
func (broken) Changes() map[string][]string { return map[string][]string{"runs": {"*"}} }
func (b broken) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	for _, e := range events {
		if e.Name == b.event {
			return errors.New("a fault of version 2")
		}
	}
	return b.Runs.Apply(ctx, tx, events)
}

func TestAVersionThatCannotApplyTheLogIsNotLetIn(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 3_600, 600)
	// As the first version of all, there is nothing to compare it with.
	_, err := projections.Rebuild(t.Context(), l.db.OwnerURL, broken{event: "RunAccepted"}, projections.RebuildOptions{})
	if !errors.Is(err, projections.ErrParked) || !strings.Contains(err.Error(), ": 3000 events, the first at position 1: apply runs: a fault of version 2") {
		t.Fatalf("first build: %v", err)
	}
	_, err = projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{})
	must(t, err)
	for _, o := range []projections.RebuildOptions{{}, {VerifyOnly: true}} {
		_, err = projections.Rebuild(t.Context(), l.db.OwnerURL, broken{event: "RunAccepted"}, o)
		if !errors.Is(err, projections.ErrParked) {
			t.Fatalf("%+v: %v", o, err)
		}
	}
	rows, err := projections.Rebuilds(t.Context(), l.pool, 1)
	must(t, err)
	served := func() (version, rows, parked int) {
		must(t, l.pool.QueryRow(t.Context(), `select version, (select count(*) from runs), (select count(*) from parked) from checkpoints
			where projection = 'runs'`).Scan(&version, &rows, &parked))
		return version, rows, parked
	}
	version, runs, parked := served()
	if rows[0].State != "differs" || !strings.Contains(rows[0].Note, "3000 events, the first at position 1: ") || version != 1 || runs != 600 || parked != 0 {
		t.Errorf("version %d with %d rows is served, %d parked; recorded %+v", version, runs, parked, rows[0])
	}
	// The same version, mended, begins anew; and who wants to can have it as it is.
	_, err = projections.Rebuild(t.Context(), l.db.OwnerURL, broken{event: "RunCompleted"}, projections.RebuildOptions{})
	if !errors.Is(err, projections.ErrParked) || !strings.Contains(err.Error(), ": 1200 events, the first at position 2401: ") {
		t.Fatalf("another fault: %v", err)
	}
	done, err := projections.Rebuild(t.Context(), l.db.OwnerURL, broken{event: "RunCompleted"}, projections.RebuildOptions{AcceptDifference: true})
	if err != nil || !done.Swapped || done.Parked != 1200 || done.Events != 0 {
		t.Fatalf("accepted: %+v, %v", done, err)
	}
	if version, runs, parked = served(); version != 2 || runs != 600 || parked != 1200 {
		t.Errorf("accepted: version %d with %d rows, %d parked", version, runs, parked)
	}
	// What the served rows lack too is no reason.
	done, err = projections.Rebuild(t.Context(), l.db.OwnerURL, broken{event: "RunCompleted"}, projections.RebuildOptions{})
	if err != nil || !done.Swapped || done.Parked != 1200 {
		t.Errorf("of a version that has the same parked: %+v, %v", done, err)
	}
}

// An event that comes after everything was compared is looked at too, in the transaction that would swap.
func TestAVersionThatCannotApplyTheNewestEventIsNotLetIn(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 3_000, 600) // up to the items of each run
	_, err := projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{})
	must(t, err)
	late := false
	_, err = projections.Rebuild(t.Context(), l.db.OwnerURL, broken{event: "ScopeReleased"}, projections.RebuildOptions{Progress: func(p projections.Progress) {
		if p.Phase == "swapping" && !late {
			late = true
			l.generate(t, 600, 600)
			stop := l.follow(t, projections.Runs{})
			l.settle(t, projections.Runs{})
			stop()
		}
	}})
	if !late || !errors.Is(err, projections.ErrParked) || !strings.Contains(err.Error(), ": 600 events, the first at position 3001: ") {
		t.Errorf("late %v, err = %v", late, err)
	}
	var version, open int
	must(t, l.pool.QueryRow(t.Context(), `select version, (select count(*) from rebuilds where state = 'differs') from checkpoints where projection = 'runs'`).
		Scan(&version, &open))
	if version != 1 || open != 1 {
		t.Errorf("version %d is served, %d rebuilds differ", version, open)
	}
}

// chatty has side effects, in two ways that a rebuild has to catch.
type chatty struct {
	projections.Runs
	effect func(ctx context.Context, tx pgx.Tx) error
}

func (c chatty) Version() int { return 3 }
func (c chatty) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	if err := c.effect(ctx, tx); err != nil {
		return err
	}
	return c.Runs.Apply(ctx, tx, events)
}

func TestARebuildWithSideEffectsIsRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 600, 100)
	publish := func(ctx context.Context, tx pgx.Tx) error {
		return eventstore.Publish(ctx, tx, eventstore.TopicNotifications, message.NewMessage(uuid.NewString(), []byte("{}")))
	}
	write := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `insert into public.content (hash, bytes) values (sha256('x'), 'x') on conflict do nothing`)
		return err
	}
	_, err := projections.Rebuild(t.Context(), l.db.OwnerURL, chatty{effect: write}, projections.RebuildOptions{})
	if !errors.Is(err, projections.ErrSideEffect) || !strings.Contains(err.Error(), "content") {
		t.Errorf("a write elsewhere: %v", err)
	}
	// Nothing on its search path is called that: it cannot even be said. Each event is parked in the shadow, and nobody gets a letter.
	_, err = projections.Rebuild(t.Context(), l.db.OwnerURL, chatty{effect: publish}, projections.RebuildOptions{})
	if !errors.Is(err, projections.ErrParked) {
		t.Errorf("a message: %v", err)
	}
	var messages, letters, content, parked int
	must(t, l.owner.QueryRow(t.Context(), `select (select count(*) from messages_notifications), (select count(*) from messages_dead_letters),
		(select count(*) from content), (select count(*) from rebuild_runs.parked where cause like '%messages_notifications%does not exist%')`).
		Scan(&messages, &letters, &content, &parked))
	if messages+letters+content != 0 || parked == 0 {
		t.Errorf("%d messages, %d dead letters, %d rows elsewhere, %d parked", messages, letters, content, parked)
	}
}

// What a program finds whose version is not that of the tables: it reads, and writes nothing.
func TestAnotherVersionLeavesTheTablesAlone(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 600, 100)
	stop := l.follow(t, projections.Runs{})
	l.settle(t, projections.Runs{})
	stop()
	l.generate(t, 600, 100)
	l.follow(t, louder{})
	time.Sleep(700 * time.Millisecond)
	stale, err := projections.Stale(t.Context(), l.pool, []projections.Projection{louder{}})
	must(t, err)
	var position, loud int
	must(t, l.pool.QueryRow(t.Context(), `select position, (select count(*) from runs where summary like '%GROUPS%') from checkpoints
		where projection = 'runs'`).Scan(&position, &loud))
	if len(stale) != 1 || position != 600 || loud != 0 {
		t.Errorf("%d stale, position %d, %d rows of the new version", len(stale), position, loud)
	}
	if _, err := projections.Rebuild(t.Context(), l.db.OwnerURL, louder{}, projections.RebuildOptions{}); err != nil {
		t.Fatal(err)
	}
	l.settle(t, louder{})
}

// A fault that version 2 mends: what version 1 had parked is in the rebuilt rows, and the trace stays.
func TestARebuildBringsParkedEventsBack(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 3_600, 600)
	sick := &sickRuns{refuse: l.firstRun(t)}
	stop := l.follow(t, sick)
	l.settle(t, sick)
	stop()
	_, err := projections.Rebuild(t.Context(), l.db.OwnerURL, louder{}, projections.RebuildOptions{})
	if !errors.Is(err, projections.ErrDiffers) {
		t.Fatalf("err = %v", err)
	}
	_, err = projections.Rebuild(t.Context(), l.db.OwnerURL, louder{}, projections.RebuildOptions{AcceptDifference: true})
	must(t, err)
	var parked, trace int
	var status string
	must(t, l.pool.QueryRow(t.Context(), `select (select count(*) from parked), (select count(*) from unparked where applied_by = 'rebuild'),
		execution_status from runs where run = $1`, sick.refuse).Scan(&parked, &trace, &status))
	if parked != 0 || trace != 4 || status != "completed" {
		t.Errorf("%d parked, %d in the trace, the run is %s", parked, trace, status)
	}
}

// A query that runs for long keeps the swap waiting, and nobody else for more than moments.
func TestTheSwapWaitsForALongQueryAndOthersDoNot(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 3_600, 600)
	_, err := projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{})
	must(t, err)
	long, err := l.pool.Begin(t.Context())
	must(t, err)
	var n int
	must(t, long.QueryRow(t.Context(), `select count(*) from runs`).Scan(&n)) // its lock lasts as long as its transaction
	const held = 4 * time.Second                                              // longer than one transaction of the swap goes on trying
	swapped := make(chan error, 1)
	began := time.Now()
	var took time.Duration
	go func() {
		_, err := projections.Rebuild(context.Background(), l.db.OwnerURL, louder{}, projections.RebuildOptions{})
		took = time.Since(began)
		swapped <- err
	}()
	var slowest time.Duration
	for time.Since(began) < held {
		asked := time.Now()
		must(t, l.pool.QueryRow(t.Context(), `select count(*) from runs`).Scan(&n))
		slowest = max(slowest, time.Since(asked))
		time.Sleep(time.Millisecond)
	}
	must(t, long.Rollback(t.Context()))
	must(t, <-swapped)
	if took < held || slowest > held/2 {
		t.Errorf("swapped after %v, the slowest reader waited %v", took, slowest)
	}
	t.Logf("the slowest reader waited %v", slowest)
}

func TestTheSwapWaitsForADump(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.generate(t, 600, 100)
	_, err := projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{})
	must(t, err)
	dump, err := pgx.Connect(t.Context(), l.db.OwnerURL)
	must(t, err)
	must(t, projections.HoldSwaps(t.Context(), dump))
	oid := func() (oid uint32) {
		must(t, l.pool.QueryRow(t.Context(), `select 'public.runs'::regclass::oid`).Scan(&oid))
		return oid
	}
	before, swapped := oid(), make(chan error, 1)
	go func() {
		_, err := projections.Rebuild(context.Background(), l.db.OwnerURL, louder{}, projections.RebuildOptions{})
		swapped <- err
	}()
	for deadline, waits := time.Now().Add(30*time.Second), false; !waits; time.Sleep(5 * time.Millisecond) {
		must(t, l.pool.QueryRow(t.Context(), `select exists (select from pg_locks join pg_database d on d.oid = database
			where datname = current_database() and locktype = 'advisory' and not granted)`).Scan(&waits))
		if time.Now().After(deadline) {
			t.Fatal("no swap waits for the dump")
		}
	}
	if oid() != before {
		t.Error("the tables were swapped under a dump")
	}
	must(t, dump.Close(t.Context()))
	must(t, <-swapped)
	if oid() == before {
		t.Error("the tables were never swapped")
	}
}

func TestOnlyOneRebuildsAReadModel(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	conn, err := pgx.Connect(t.Context(), l.db.OwnerURL)
	must(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), `select pg_advisory_lock(hashtextextended('tenantpilot rebuild runs', 0))`)
	must(t, err)
	if _, err := projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{}); !errors.Is(err, projections.ErrRebuilding) {
		t.Errorf("err = %v", err)
	}
	if _, err := projections.Rebuild(t.Context(), l.db.OwnerURL, projections.Tenants{}, projections.RebuildOptions{}); err != nil {
		t.Errorf("another read model: %v", err)
	}
}

// The application's role can read how rebuilds stand and can make none.
func TestARebuildNeedsTheOwner(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	_, err := projections.Rebuild(t.Context(), l.db.AppURL, projections.Runs{}, projections.RebuildOptions{})
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("err = %v", err)
	}
}
