package eventstore_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/eventstore"
	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
	"tenantpilot/migrations/pgtest"
)

// paused is a consumer that looks at nothing until it is woken, and the log that it follows, numbered by hand.
type paused struct {
	t           testing.TB
	pool, owner *pgxpool.Pool
	store       *eventstore.Store
	epoch       int64
	mu          sync.Mutex
	seen        []int64
}

func newPaused(t testing.TB) *paused {
	t.Helper()
	db := pgtest.New(t)
	p := &paused{t: t, pool: db.Pool(t), owner: db.OwnerPool(t)}
	p.store = eventstore.Open(db.Pool(t), eventstore.Config{Poll: time.Hour})
	t.Cleanup(p.store.Close)
	p.epoch = claim(t, p.pool, uuid.New(), time.Hour)
	return p
}

func (p *paused) grow(n int) {
	p.t.Helper()
	p.append(n)
	number(p.t, p.pool, p.epoch)
}

func (p *paused) append(n int) {
	p.t.Helper()
	for range n {
		create(p.t, p.store)
	}
}

func (p *paused) follow() {
	p.t.Helper()
	sub, err := eventstore.NewSubscriber(p.store, eventstore.SubscriberConfig{Group: "paused", Version: 1})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = sub.Close() })
	messages, err := sub.Subscribe(p.t.Context(), eventstore.AllEvents)
	if err != nil {
		p.t.Fatal(err)
	}
	go func() {
		for m := range messages {
			p.handle(m)
		}
	}()
}

func (p *paused) handle(m *message.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, _ := eventstore.BatchFrom(m.Context())
	for _, e := range b.Events {
		p.seen = append(p.seen, e.Position)
	}
	m.Ack()
}

// checkpoint is put somewhere, as a rebuild's swap does, or as if the server had lost later moves. What was appended is numbered at the same
// moment: a consumer that a late bell wakes sees neither or both.
func (p *paused) checkpoint(position int64) {
	p.t.Helper()
	err := pgx.BeginFunc(p.t.Context(), p.owner, func(tx pgx.Tx) error {
		_, err := tx.Exec(p.t.Context(), `select sequence_events($1, 100)`, p.epoch)
		if err == nil {
			_, err = tx.Exec(p.t.Context(), `delete from checkpoint_moves`)
		}
		if err == nil {
			_, err = tx.Exec(p.t.Context(), `insert into checkpoint_moves (projection, version, after, position) values ('paused', 1, -1, $1)`, position)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *paused) wantSeen(want ...int64) {
	p.t.Helper()
	eventually(p.t, "the consumer has seen what it should", func() bool {
		if _, err := p.pool.Exec(p.t.Context(), `notify tenantpilot_sequenced`); err != nil {
			p.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.seen) >= len(want)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.seen, want) {
		p.t.Fatalf("seen: %v, want %v", p.seen, want)
	}
}

// While a consumer is paused, another of its group moves on and a rebuild of the same version swaps, which takes the history of moves away.
func TestAPausedConsumerAppliesNothingThatARebuildHasCounted(t *testing.T) {
	t.Parallel()
	p := newPaused(t)
	p.grow(3)
	p.follow()
	p.wantSeen(1, 2, 3)
	p.append(2)
	p.checkpoint(5)
	p.wantSeen(1, 2, 3) // woken
	p.grow(1)
	p.wantSeen(1, 2, 3, 6)
}

// A copy that is promoted may lack moves that were acknowledged, and what they wrote: consumers begin again where it stands.
func TestAConsumerGoesBackWithItsCheckpoint(t *testing.T) {
	t.Parallel()
	p := newPaused(t)
	p.grow(3)
	p.follow()
	p.wantSeen(1, 2, 3)
	p.checkpoint(1)
	p.grow(1)
	p.wantSeen(1, 2, 3, 2, 3, 4)
}

// A process that is frozen in the middle of a batch loses the lock; nobody has to find and end it.
func TestAFrozenConsumerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	p := newPaused(t)
	p.grow(2)
	p.follow()
	p.wantSeen(1, 2)
	p.grow(1)
	frozen, err := p.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = frozen.Rollback(context.WithoutCancel(t.Context())) }()
	var moved bool
	var patience string
	err = frozen.QueryRow(t.Context(), `select move_checkpoint('paused', 1, 2, 3)`).Scan(&moved)
	if err == nil {
		err = frozen.QueryRow(t.Context(), `show idle_in_transaction_session_timeout`).Scan(&patience)
	}
	if err != nil || !moved || patience != "1min" {
		t.Fatalf("the batch begins: %v, %v, with %q of patience, want 1min", moved, err, patience)
	}
	p.wantSeen(1, 2)                                                                                               // woken, and it is not its turn
	if _, err := frozen.Exec(t.Context(), `set local idle_in_transaction_session_timeout = '100ms'`); err != nil { // a minute is long for a test
		t.Fatal(err)
	}
	p.wantSeen(1, 2, 3)
	if _, err := frozen.Exec(t.Context(), `select 1`); err == nil {
		t.Error("the frozen batch can go on")
	}
}

// A server that crashed, or a copy that is promoted, draws numbers again that were drawn and lost.
func TestNumbersThatAreDrawnAgainAreNotSkipped(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	superuser := db.SuperuserPool(t)
	s := openOn(t, db, eventstore.Config{Poll: 2 * time.Second}) // so that the sequencer is not the first to find out
	create(t, s)
	do := func(sql string) {
		t.Helper()
		if _, err := superuser.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	do(`select nextval('events_seq') from generate_series(1, 500)`) // appends that the crash is going to undo
	time.Sleep(4 * time.Second)                                     // the sequencer looks no longer at them
	do(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
	do(`select setval('events_seq', 1)`)
	for range 10 { // others find the broken connections first, and the pool has new ones
		_ = s.Pool().Ping(t.Context())
	}
	eventually(t, "an append", func() bool {
		stream, event := registered(uuid.New())
		_, err := s.Transact(context.Background(), eventstore.Request{Workspace: event.Workspace, At: at}, func(_ context.Context, u *eventstore.Unit) error {
			u.Append(stream, event)
			return nil
		})
		return err == nil
	})
	eventually(t, "it is numbered", func() bool {
		head, err := s.Head(context.Background())
		return err == nil && head == 2
	})
}

// A prepared transaction is awaited like any other: it keeps the name that its locks are listed under, and holds them for as long as it stays.
func TestAPreparedAppendIsNumberedHoweverLateItCommits(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, func(c *pgembed.Config) { c.Settings = map[string]string{"max_prepared_transactions": "5"} })
	if _, err := migrations.Apply(t.Context(), server.OwnerURL(pgembed.Database)); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), server.AppURL(pgembed.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := openPool(t, pool, eventstore.Config{})
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	insertByHand(t, tx, uuid.New())
	time.Sleep(1200 * time.Millisecond) // the sequencer awaits it
	if _, err := conn.Exec(t.Context(), `prepare transaction 'late'`); err != nil {
		t.Fatal(err)
	}
	create(t, s)
	time.Sleep(1200 * time.Millisecond)
	if _, err := conn.Exec(t.Context(), `commit prepared 'late'`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are numbered", func() bool { return leaseOf(t, pool).head == 2 })
	wantGapless(t, pool, 2)
}

func TestASequencerThatMayNotSeeLocksLooksAtEverything(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	if _, err := db.SuperuserPool(t).Exec(t.Context(), `revoke select on pg_catalog.pg_locks from public`); err != nil {
		t.Fatal(err)
	}
	s := openOn(t, db, eventstore.Config{})
	create(t, s)
	eventually(t, "it is numbered", func() bool {
		head, err := s.Head(t.Context())
		return err == nil && head == 1
	})
}
