package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// lease is the sequencer's row.
type lease struct {
	head, epoch int64
	owner       *uuid.UUID
	left        time.Duration
}

func leaseOf(t testing.TB, pool *pgxpool.Pool) lease {
	t.Helper()
	var l lease
	var seconds float64
	err := pool.QueryRow(t.Context(), `select head, epoch, owner,
		case when isfinite(lease_until) then extract(epoch from lease_until - clock_timestamp())::float8 else -1 end from sequencer`).
		Scan(&l.head, &l.epoch, &l.owner, &seconds)
	if err != nil {
		t.Fatal(err)
	}
	l.left = time.Duration(seconds * float64(time.Second))
	return l
}

// claim takes the lease by hand, as a process would that then falls silent. Zero when another has it.
func claim(t testing.TB, pool *pgxpool.Pool, me uuid.UUID, lease time.Duration) int64 {
	t.Helper()
	var epoch *int64
	err := pool.QueryRow(t.Context(), `select claim_sequencer($1, make_interval(secs => $2))`, me, lease.Seconds()).Scan(&epoch)
	if err != nil {
		t.Fatal(err)
	}
	if epoch == nil {
		return 0
	}
	return *epoch
}

// number numbers by hand.
func number(t testing.TB, pool *pgxpool.Pool, epoch int64) (fenced bool, grown int64) {
	t.Helper()
	var first, last *int64
	err := pool.QueryRow(t.Context(), `select fenced, first, last from sequence_events($1, 100)`, epoch).Scan(&fenced, &first, &last)
	if err != nil {
		t.Fatal(err)
	}
	if !fenced {
		grown = *last - *first + 1
	}
	return fenced, grown
}

// unsequenced is a store that numbers nothing.
func unsequenced(t testing.TB, db *pgtest.DB) *eventstore.Store {
	t.Helper()
	s := eventstore.Open(db.Pool(t), eventstore.Config{})
	t.Cleanup(s.Close)
	return s
}

func TestOfTwoSequencersOneNumbers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	cfg := eventstore.Config{Lease: time.Second, Poll: 10 * time.Millisecond}
	stores := []*eventstore.Store{openOn(t, db, cfg), openOn(t, db, cfg), openOn(t, db, cfg)}
	pool := db.Pool(t)
	stream := create(t, stores[0])
	eventually(t, "the first is numbered", func() bool { return leaseOf(t, pool).head == 1 })
	first := leaseOf(t, pool)
	for i := range 100 { // several leases long
		if _, err := rename(stores[i%3], eventstore.Request{At: at}, stream, "x"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	eventually(t, "all are numbered", func() bool { return leaseOf(t, pool).head == 101 })
	if last := leaseOf(t, pool); last.epoch != first.epoch || *last.owner != *first.owner {
		t.Fatalf("the owner changed while it was alive: %+v, then %+v", first, last)
	}
	wantGapless(t, pool, 101)
}

func TestASequencerTakesOverFromASilentOne(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool, writer, silent := db.Pool(t), unsequenced(t, db), uuid.New()
	epoch := claim(t, pool, silent, 700*time.Millisecond)
	if claim(t, pool, uuid.New(), time.Second) != 0 {
		t.Fatal("a second owner got the lease of the first")
	}
	if claim(t, pool, silent, 700*time.Millisecond) != epoch {
		t.Fatal("renewing the lease changed its epoch")
	}
	until := time.Now().Add(700 * time.Millisecond)
	create(t, writer)
	if fenced, grown := number(t, pool, epoch); fenced || grown != 1 {
		t.Fatalf("fenced %v, grown by %d; the owner should number", fenced, grown)
	}
	create(t, writer) // and now the owner is silent
	openOn(t, db, eventstore.Config{Poll: 10 * time.Millisecond})
	for time.Until(until) > 100*time.Millisecond {
		if l := leaseOf(t, pool); l.epoch != epoch || l.head != 1 {
			t.Fatalf("taken over %v before the end of the lease: %+v", l.left, l)
		}
		time.Sleep(20 * time.Millisecond)
	}
	eventually(t, "the second event is numbered by another", func() bool { return leaseOf(t, pool).head == 2 })
	if late := time.Since(until); late > time.Second {
		t.Errorf("taken over %v after the end of the lease", late)
	}
	if l := leaseOf(t, pool); l.epoch != epoch+1 || *l.owner == silent {
		t.Fatalf("after the take-over: %+v", l)
	}
	if claim(t, pool, silent, time.Second) != 0 {
		t.Fatal("the silent one got the lease back from a living owner")
	}
	wantGapless(t, pool, 2)
}

func TestAFencedEpochNumbersNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool, writer := db.Pool(t), unsequenced(t, db)
	one, two := uuid.New(), uuid.New()
	old := claim(t, pool, one, time.Millisecond)
	time.Sleep(5 * time.Millisecond)
	create(t, writer)
	current := claim(t, pool, two, time.Minute)
	if current != old+1 {
		t.Fatalf("epochs %d and %d", old, current)
	}
	for _, epoch := range []int64{old, current + 1, 0} {
		if fenced, _ := number(t, pool, epoch); !fenced {
			t.Errorf("epoch %d numbered while %d is in force", epoch, current)
		}
	}
	if l := leaseOf(t, pool); l.head != 0 {
		t.Fatalf("head %d after fenced attempts", l.head)
	}
	if fenced, grown := number(t, pool, current); fenced || grown != 1 {
		t.Fatalf("fenced %v, grown by %d", fenced, grown)
	}

	// A transaction of the old owner that had begun before the take-over ends fenced too, whatever its isolation.
	writing, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writing.Rollback(context.Background()) }()
	if _, err := writing.Exec(t.Context(), `select sequence_events($1, 100)`, current); err != nil { // holds the row
		t.Fatal(err)
	}
	create(t, writer)
	type outcome struct {
		fenced bool
		err    error
	}
	waited := make(chan outcome, 1)
	go func() {
		var o outcome
		o.err = pool.QueryRow(context.Background(), `select fenced from sequence_events($1, 100)`, current).Scan(&o.fenced)
		waited <- o
	}()
	eventually(t, "the second waits for the first", func() bool { return waiters(t, pool) == 1 })
	if _, err := writing.Exec(t.Context(), `update sequencer_lease set epoch = epoch + 1`); err != nil {
		t.Fatal(err)
	}
	if err := writing.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := <-waited; o.err != nil || !o.fenced {
		t.Fatalf("one that waited for the row numbered with an epoch that ended meanwhile: %+v", o)
	}
}

// A store whose lease is taken from it stops at once, and takes it again when the thief falls silent.
func TestASequencerStopsWhenItIsFenced(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool := db.Pool(t)
	s := openOn(t, db, eventstore.Config{Poll: 10 * time.Millisecond})
	stream := create(t, s)
	eventually(t, "the first is numbered", func() bool { return leaseOf(t, pool).head == 1 })
	if _, err := pool.Exec(t.Context(), `update sequencer_lease set lease_until = '-infinity'`); err != nil { // a clock jumped, say
		t.Fatal(err)
	}
	thief := claim(t, pool, uuid.New(), 500*time.Millisecond)
	if thief == 0 {
		t.Fatal("the lease was not free")
	}
	if _, err := rename(s, eventstore.Request{At: at}, stream, "B"); err != nil {
		t.Fatal(err)
	}
	for l := leaseOf(t, pool); l.left > 50*time.Millisecond; l = leaseOf(t, pool) {
		if l.head != 1 || l.epoch != thief {
			t.Fatalf("numbered while another holds the lease: %+v", l)
		}
	}
	eventually(t, "the second is numbered", func() bool { return leaseOf(t, pool).head == 2 })
	if l := leaseOf(t, pool); l.epoch != thief+1 {
		t.Fatalf("afterwards: %+v", l)
	}
}

func TestOpenTransactionsDelayNothing(t *testing.T) {
	t.Parallel()
	db, other := pgtest.New(t), pgtest.New(t)
	pool := db.Pool(t)
	var open []pgx.Tx
	for _, p := range []*pgxpool.Pool{pool, other.Pool(t)} {
		for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
			tx, err := p.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			if err != nil {
				t.Fatal(err)
			}
			_, err = tx.Exec(t.Context(), `insert into content (hash, bytes) values (sha256($1::text::bytea), $1::text::bytea)`, string(level))
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, tx)
		}
	}
	// One of them has even drawn a number and written an event, which lies there uncommitted.
	late := uuid.New()
	insertByHand(t, open[0], late)

	s := openOn(t, db, eventstore.Config{})
	stream := create(t, s)
	var took []time.Duration
	for i := range 50 {
		started := time.Now()
		receipt, err := rename(s, eventstore.Request{At: at}, stream, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has a position", func() bool {
			position, err := s.PositionOf(t.Context(), receipt.Seq)
			return err == nil && position > 0
		})
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	t.Logf("append to position: median %v, longest %v", took[25], took[49])
	if took[25] > 200*time.Millisecond {
		t.Errorf("append to position took %v", took)
	}
	wantGapless(t, pool, 51)
	for _, tx := range open {
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the late one is numbered", func() bool { return leaseOf(t, pool).head == 52 })
	events, _, err := s.ReadAfter(t.Context(), 51, 10, "")
	if err != nil || len(events) != 1 || events[0].Stream != late || events[0].Position != 52 {
		t.Fatalf("after 51: %+v, %v", events, err)
	}
	wantGapless(t, pool, 52)
}

// The sequencer stops looking where nothing can come any more. An append that drew its number and takes its time is not such a place.
func TestALateAppendIsNumberedHoweverLongItTakes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool := db.Pool(t)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late := uuid.New()
	insertByHand(t, tx, late)
	s := openOn(t, db, eventstore.Config{})
	stream := create(t, s)
	renames := 0
	for until := time.Now().Add(2500 * time.Millisecond); time.Now().Before(until); renames++ { // the sequencer asks every half second
		if _, err := rename(s, eventstore.Request{At: at}, stream, fmt.Sprint(renames)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the late one is numbered", func() bool { return leaseOf(t, pool).head == int64(renames+2) })
	wantGapless(t, pool, int64(renames+2))
	time.Sleep(1500 * time.Millisecond) // nothing is under way: the sequencer looks no longer at what was
	if _, err := rename(s, eventstore.Request{At: at}, stream, "the last"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what comes later is numbered", func() bool { return leaseOf(t, pool).head == int64(renames+3) })
	wantGapless(t, pool, int64(renames+3))
}

func TestAppendsInOppositeOrdersNeverDeadlock(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	const callers, rounds, streams = 12, 40, 4
	stores, check := watchDeadlocks(t, db)
	var ids []uuid.UUID
	for range streams {
		ids = append(ids, create(t, stores[0]))
	}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for r := range rounds {
				// Three streams in rising or falling order: two are written, the one between must only stay as it is.
				three := []uuid.UUID{ids[r%streams], ids[(r+1)%streams], ids[(r+2)%streams]}
				if c%2 == 1 {
					slices.Reverse(three)
				}
				request := eventstore.Request{At: at, Affinity: uuid.New()}
				_, err := stores[c%3].Transact(context.Background(), request, func(ctx context.Context, u *eventstore.Unit) error {
					for i, id := range three {
						if _, _, err := eventstore.Load[domain.Tenant](ctx, u, id); err != nil {
							return err
						}
						if i != 1 {
							u.Append(id, domain.TenantRenamed{Name: "x"})
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, id := range ids {
		if _, version, err := eventstore.Current[domain.Tenant](t.Context(), stores[0], id); err != nil || version != 1+callers*rounds*2/streams {
			t.Errorf("stream %d is at %d, %v; want %d", i, version, err, 1+callers*rounds*2/streams)
		}
	}
	check()
}

// Streams that are opened have a unique key besides their locks: that must not be waited for out of order either.
func TestOpeningStreamsInOppositeOrdersNeverDeadlocks(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	const callers, rounds, each = 6, 40, 60
	stores, check := watchDeadlocks(t, db)
	var opened, refused atomic.Int64
	for range rounds {
		streams := make([]uuid.UUID, each)
		for i := range streams {
			streams[i] = uuid.New()
		}
		backwards := slices.Clone(streams)
		slices.Reverse(backwards)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for c := range callers {
			wg.Go(func() {
				<-start
				request := eventstore.Request{At: at, Affinity: uuid.UUID{15: byte(c)}}
				_, err := stores[c%3].Transact(context.Background(), request, func(_ context.Context, u *eventstore.Unit) error {
					for _, id := range [][]uuid.UUID{streams, backwards}[c%2] {
						u.Append(id, domain.TenantRenamed{Name: "x"}, domain.TenantRenamed{Name: "y"})
					}
					return nil
				})
				refusal, ok := domain.AsRefusal(err)
				switch {
				case err == nil:
					opened.Add(1)
				case ok && refusal.Kind == domain.Conflict:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
	}
	if opened.Load() != rounds || refused.Load() != rounds*(callers-1) {
		t.Errorf("%d opened, %d refused; want %d and %d", opened.Load(), refused.Load(), rounds, rounds*(callers-1))
	}
	check()
}

// The same requests reach two processes in different orders, and each process makes one batch of them.
func TestRepeatedRequestsInOppositeOrdersNeverDeadlock(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	const rounds, each = 4, 40
	_, err := db.OwnerPool(t).Exec(t.Context(), `create function dawdle() returns trigger language plpgsql as $$
		begin perform pg_sleep(0.001); return new; end $$;
		create trigger dawdle before insert on requests for each row execute function dawdle()`) // so that both insert at the same time
	if err != nil {
		t.Fatal(err)
	}
	stores, check := watchDeadlocks(t, db)
	var appended, replayed atomic.Int64
	for range rounds {
		keys := make([]uuid.UUID, each)
		for i := range keys {
			keys[i] = uuid.New()
		}
		backwards := slices.Clone(keys)
		slices.Reverse(backwards)
		goOn, no := make(chan struct{}), errors.New("no")
		var wg sync.WaitGroup
		for c, order := range [][]uuid.UUID{keys, backwards} {
			wg.Go(func() { // keeps the committer busy while the others queue up
				_, err := stores[c].Transact(context.Background(), eventstore.Request{At: at}, func(context.Context, *eventstore.Unit) error {
					<-goOn
					return no
				})
				if !errors.Is(err, no) {
					t.Error(err)
				}
			})
			time.Sleep(5 * time.Millisecond)
			for _, key := range order {
				wg.Go(func() {
					receipt, err := stores[c].Transact(context.Background(), eventstore.Request{Key: key, At: at},
						func(_ context.Context, u *eventstore.Unit) error {
							u.Append(uuid.New(), domain.TenantRenamed{Name: "x"}) // a stream of its own, so that only the keys meet
							return nil
						})
					switch {
					case err != nil:
						t.Error(err)
					case receipt.Replayed:
						replayed.Add(1)
					default:
						appended.Add(1)
					}
				})
			}
		}
		time.Sleep(20 * time.Millisecond)
		close(goOn)
		wg.Wait()
	}
	if appended.Load() != rounds*each || replayed.Load() != rounds*each {
		t.Errorf("%d appended, %d replayed, want %d of each", appended.Load(), replayed.Load(), rounds*each)
	}
	check()
}

// Each of two requests writes its own stream only if the other's stands as it was: an append holds what it has read until it commits.
func TestAnAppendHoldsWhatItsDecisionHasRead(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	stores, check := watchDeadlocks(t, db)
	const rounds = 150
	for r := range rounds {
		existing := r%2 == 0 // or both are opened only if the other is not
		pair := []uuid.UUID{uuid.New(), uuid.New()}
		if existing {
			pair = []uuid.UUID{create(t, stores[0]), create(t, stores[1])}
		}
		no := errors.New("the other was first")
		start := make(chan struct{})
		outcomes := make(chan error, 2)
		for i := range pair {
			for _, stream := range pair { // both decide from memory, so that they append at the same moment
				if _, _, err := eventstore.Current[domain.Tenant](t.Context(), stores[i], stream); err != nil {
					t.Fatal(err)
				}
			}
			go func() {
				<-start
				_, err := stores[i].Transact(context.Background(), eventstore.Request{At: at}, func(ctx context.Context, u *eventstore.Unit) error {
					if _, _, err := eventstore.Load[domain.Tenant](ctx, u, pair[i]); err != nil {
						return err
					}
					other, _, err := eventstore.Load[domain.Tenant](ctx, u, pair[1-i])
					if err != nil {
						return err
					}
					if other.Name == "mine" {
						return no
					}
					u.Append(pair[i], domain.TenantRenamed{Name: "mine"})
					for range 20 { // a longer append
						u.Append(uuid.New(), domain.TenantRenamed{Name: "ballast"})
					}
					return nil
				})
				outcomes <- err
			}()
		}
		close(start)
		won, lost := <-outcomes, <-outcomes
		if won != nil {
			won, lost = lost, won
		}
		if won != nil || !errors.Is(lost, no) {
			t.Errorf("round %d (existing %v): %v and %v; want one append and one refusal", r, existing, won, lost)
		}
	}
	check()
}

// watchDeadlocks opens three stores on a database. The returned function fails the test if there was a deadlock.
func watchDeadlocks(t testing.TB, db *pgtest.DB) ([]*eventstore.Store, func()) {
	t.Helper()
	var seen atomic.Int64
	var stores []*eventstore.Store
	for range 3 {
		cfg, err := pgxpool.ParseConfig(db.AppURL)
		if err != nil {
			t.Fatal(err)
		}
		cfg.ConnConfig.Tracer = deadlockCounter{&seen}
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		stores = append(stores, openPool(t, pool, eventstore.Config{Committers: 4}))
	}
	return stores, func() {
		t.Helper()
		for _, s := range stores {
			s.Pool().Reset() // a backend tells its statistics when it ends
		}
		time.Sleep(100 * time.Millisecond)
		var counted int64
		err := db.SuperuserPool(t).QueryRow(t.Context(), `select deadlocks from pg_stat_database where datname = current_database()`).Scan(&counted)
		if err != nil || counted != 0 || seen.Load() != 0 {
			t.Errorf("%d deadlocks counted by the server, %d seen, %v", counted, seen.Load(), err)
		}
	}
}

type deadlockCounter struct{ n *atomic.Int64 }

func (deadlockCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (c deadlockCounter) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	var pg *pgconn.PgError
	if errors.As(data.Err, &pg) && pg.Code == "40P01" {
		c.n.Add(1)
	}
}

// insertByHand writes the first event of a stream as an append does, in a transaction that the test ends when it likes.
func insertByHand(t testing.TB, tx pgx.Tx, stream uuid.UUID) {
	t.Helper()
	_, err := tx.Exec(t.Context(), `with e as (
		insert into events (seq, stream, version, id, name, workspace, recorded_at, meta, payload, leaf)
		values (nextval('events_seq'), $1, 1, $1, 'TenantRenamed', $1, now(), '{}', '{"name":"x"}', sha256('')) returning seq
	) insert into pending select seq, array[seq] from e`, stream)
	if err != nil {
		t.Fatal(err)
	}
}

// wantGapless wants positions 1..n, each event once, the versions of each stream from 1 without gaps in the order of positions, nothing
// pending, and the head at n.
func wantGapless(t testing.TB, pool *pgxpool.Pool, n int64) {
	t.Helper()
	var positions, last, events, numbered, disorder, pending, head int64
	err := pool.QueryRow(context.Background(), `
		select (select count(*) from log), (select coalesce(max(position), 0) from log), (select count(*) from events),
			(select count(*) from log join events using (seq)),
			(select count(*) from (
				select e.version, row_number() over (partition by e.stream order by l.position) as nth from log l join events e using (seq)
			) o where o.version <> o.nth),
			(select count(*) from pending), (select head from sequencer)`).
		Scan(&positions, &last, &events, &numbered, &disorder, &pending, &head)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%d positions up to %d, %d of %d events numbered, %d out of order, %d pending, head %d",
		positions, last, numbered, events, disorder, pending, head)
	if positions != n || last != n || events != n || numbered != n || disorder != 0 || pending != 0 || head != n {
		t.Fatalf("%s; want %d of each", got, n)
	}
}

// waiters is how many sessions of the database wait for a lock.
func waiters(t testing.TB, pool *pgxpool.Pool) (n int) {
	t.Helper()
	err := pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity
		where datname = current_database() and wait_event_type = 'Lock'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
