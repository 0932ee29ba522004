package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// effectsTable is where handlers of these tests write: n is counted up once per message.
const effectsTable = `create table effects (message text not null, step integer not null, n serial);
	grant all on effects to tenantpilot_app; grant usage on sequence effects_n_seq to tenantpilot_app`

func withEffects(t testing.TB) *pgtest.DB {
	t.Helper()
	db := pgtest.New(t)
	if _, err := db.OwnerPool(t).Exec(t.Context(), effectsTable); err != nil {
		t.Fatal(err)
	}
	return db
}

func effects(t testing.TB, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), `select message || '/' || step from effects order by n`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// write is what handlers do: one row in the transaction of the message.
func write(msg *message.Message, step int) error {
	tx, ok := eventstore.TxFrom(msg.Context())
	if !ok {
		return errors.New("no transaction in the message")
	}
	_, err := tx.ExecContext(msg.Context(), `insert into effects (message, step) values ($1, $2)`, msg.UUID, step)
	return err
}

func publish(t testing.TB, pool *pgxpool.Pool, ids ...string) {
	t.Helper()
	var messages []*message.Message
	for _, id := range ids {
		messages = append(messages, message.NewMessage(id, []byte(`{}`)))
	}
	err := pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) error {
		return eventstore.Publish(context.Background(), tx, eventstore.TopicNotifications, messages...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// consume runs a handler of notifications under the Router, as the product does. The returned function stops it gracefully.
func consume(t testing.TB, s *eventstore.Store, group string, handle message.NoPublishHandlerFunc) (stop func()) {
	t.Helper()
	for try := 0; ; try++ {
		stop, err := route(t, s, group, handle)
		if err == nil {
			t.Cleanup(stop)
			return stop
		}
		if try == 5 { // a few may get a connection that this test has killed
			t.Fatal(err)
		}
	}
}

func route(t testing.TB, s *eventstore.Store, group string, handle message.NoPublishHandlerFunc) (stop func(), err error) {
	t.Helper()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 20 * time.Second}, nil)
	if err != nil {
		return nil, err
	}
	sub, err := eventstore.NewMessageSubscriber(s, group)
	if err != nil {
		return nil, err
	}
	router.AddConsumerHandler(group, eventstore.TopicNotifications, sub, handle).AddMiddleware(eventstore.Savepoint)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- router.Run(ctx) }()
	select {
	case <-router.Running():
	case err := <-done:
		cancel()
		return nil, errors.Join(err, sub.Close())
	}
	return sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, sub.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}), nil
}

// eventually asks until it is so; it fails the test after 20 s.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// dice is seeded randomness that goroutines share. What they do with it is up to the scheduler, so a seed repeats a run only roughly.
type dice struct {
	seed uint64
	mu   sync.Mutex
	rand *rand.Rand
}

// newDice takes the seed of TENANTPILOT_TEST_SEED, or a fresh one, and logs it.
func newDice(t testing.TB) *dice {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("TENANTPILOT_TEST_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("TENANTPILOT_TEST_SEED=%d", seed)
	return &dice{seed: seed, rand: rand.New(rand.NewPCG(seed, 0))}
}

func (d *dice) intN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

// chance is true in that many percent of the cases.
func (d *dice) chance(percent int) bool { return d.intN(100) < percent }

func TestPublishedMessagesFollowTheirTransaction(t *testing.T) {
	t.Parallel()
	db := withEffects(t)
	s, pool := openOn(t, db, eventstore.Config{}), db.Pool(t)
	consume(t, s, "g", func(msg *message.Message) error { return write(msg, 1) })

	rolledBack, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = eventstore.Publish(t.Context(), rolledBack, eventstore.TopicNotifications, message.NewMessage("never", []byte(`{}`)))
	if err != nil {
		t.Fatal(err)
	}
	if err := rolledBack.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, pool, "a", "b")
	publish(t, pool)
	publish(t, pool, "c")
	eventually(t, "three messages", func() bool { return len(effects(t, pool)) >= 3 })
	if got := effects(t, pool); !slices.Equal(got, []string{"a/1", "b/1", "c/1"}) {
		t.Fatalf("got %v", got)
	}
}

func TestPublishHeedsItsContext(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return eventstore.Publish(ctx, tx, eventstore.TopicDeadLetters, message.NewMessage("x", []byte(`{}`)))
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the caller's cancellation", err)
	}
}

func TestFailedHandlersLeaveNothingAndAreGivenTheMessageAgain(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*message.Message) error{
		"error": func(*message.Message) error { return errors.New("no") },
		"panic": func(*message.Message) error { panic("no") },
		"failed statement": func(msg *message.Message) error {
			tx, _ := eventstore.TxFrom(msg.Context())
			_, err := tx.ExecContext(msg.Context(), `insert into effects values (null, null)`)
			return err
		},
		"lost connection": func(msg *message.Message) error {
			tx, _ := eventstore.TxFrom(msg.Context())
			_, err := tx.ExecContext(msg.Context(), `select pg_terminate_backend(pg_backend_pid())`)
			return err
		},
		"ended context": func(msg *message.Message) error {
			ctx, cancel := context.WithCancel(msg.Context())
			cancel()
			tx, _ := eventstore.TxFrom(msg.Context())
			_, err := tx.ExecContext(ctx, `select 1`)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := withEffects(t)
			s, pool := openOn(t, db, eventstore.Config{}), db.Pool(t)
			publish(t, pool, "a", "b", "c")
			var tries atomic.Int32
			consume(t, s, "g", func(msg *message.Message) error {
				if err := write(msg, 1); err != nil {
					return err
				}
				if msg.UUID == "b" && tries.Add(1) <= 3 {
					return fail(msg)
				}
				return write(msg, 2)
			})
			eventually(t, "all handled", func() bool { return len(effects(t, pool)) >= 6 })
			if got := effects(t, pool); !slices.Equal(got, []string{"a/1", "a/2", "b/1", "b/2", "c/1", "c/2"}) || tries.Load() != 4 {
				t.Fatalf("after %d tries: %v", tries.Load(), got)
			}
		})
	}
}

// A handler that fails for ever must not keep a transaction open: everybody's newer messages would be hidden behind it.
func TestAMessageThatAlwaysFailsHidesNothingFromOthers(t *testing.T) {
	t.Parallel()
	db := withEffects(t)
	s, pool := openOn(t, db, eventstore.Config{}), db.Pool(t)
	var failed atomic.Int32
	consume(t, s, "sick", func(*message.Message) error {
		failed.Add(1)
		return errors.New("never")
	})
	consume(t, s, "well", func(msg *message.Message) error { return write(msg, 1) })
	for i := range 5 {
		publish(t, pool, fmt.Sprint(i))
		eventually(t, "the next message", func() bool { return failed.Load() > int32(i) && len(effects(t, pool)) == i+1 })
	}
}

func TestMessagesAreHandledExactlyOnceUnderRestartsErrorsAndKills(t *testing.T) {
	t.Parallel()
	const total = 1000
	d := newDice(t)
	db := withEffects(t)
	s, pool, killer := openOn(t, db, eventstore.Config{}), db.Pool(t), db.SuperuserPool(t)
	want := make([]string, total)
	for i := range want {
		want[i] = fmt.Sprintf("%04d", i)
	}
	for batch := range slices.Chunk(want, 37) {
		publish(t, pool, batch...)
	}
	handle := func(msg *message.Message) error {
		if err := write(msg, 1); err != nil {
			return err
		}
		if d.chance(2) {
			return errors.New("by chance")
		}
		return nil
	}
	count := func() (n int) {
		if err := killer.QueryRow(t.Context(), `select count(*) from effects`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	restarts, kills := 0, 0
	for ; restarts < 12 && count() < total; restarts++ {
		stops := []func(){consume(t, s, "g", handle), consume(t, s, "g", handle)} // one works, one stands by
		for range 3 {
			time.Sleep(time.Duration(10+d.intN(60)) * time.Millisecond)
			if d.chance(40) {
				kills++
				_, err := killer.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
					where datname = current_database() and usename = 'tenantpilot_app' and query ~ '(offset_acked|effects|handler)'`)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, stop := range stops {
			stop()
		}
	}
	consume(t, s, "g", handle)
	eventually(t, fmt.Sprintf("all handled (seed %d)", d.seed), func() bool { return count() >= total })
	t.Logf("%d restarts, %d kills", restarts, kills)
	got := effects(t, killer)
	for i := range want {
		want[i] += "/1"
	}
	if !slices.Equal(got, want) {
		t.Fatalf("seed %d, %d restarts, %d kills: %d effects, want %d in order; got %v", d.seed, restarts, kills, len(got), total, got)
	}
}

// Transactions commit in another order than they publish in: none may be passed over.
func TestMessagesOfOverlappingTransactionsAreAllHandled(t *testing.T) {
	t.Parallel()
	const publishers, each = 12, 15
	d := newDice(t)
	db := withEffects(t)
	cfg, err := pgxpool.ParseConfig(db.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = publishers
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	consume(t, openOn(t, db, eventstore.Config{}), "g", func(msg *message.Message) error { return write(msg, 1) })
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				err := pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) error {
					msg := message.NewMessage(fmt.Sprintf("%d.%d", p, i), []byte(`{}`))
					defer time.Sleep(time.Duration(d.intN(20)) * time.Millisecond)
					return eventstore.Publish(context.Background(), tx, eventstore.TopicNotifications, msg)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	eventually(t, "all handled", func() bool { return len(effects(t, pool)) >= publishers*each })
	got := effects(t, pool)
	if slices.Sort(got); len(slices.Compact(got)) != publishers*each {
		t.Fatalf("seed %d: %d effects, want %d different ones", d.seed, len(got), publishers*each)
	}
}

func TestCloseLetsTheHandlerUnderWayFinish(t *testing.T) {
	t.Parallel()
	db := withEffects(t)
	s, pool := openOn(t, db, eventstore.Config{}), db.Pool(t)
	publish(t, pool, "a", "b")
	between, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	handle := func(msg *message.Message) error {
		if err := write(msg, 1); err != nil {
			return err
		}
		once.Do(func() { close(between); <-goOn })
		return write(msg, 2)
	}
	stop := consume(t, s, "g", handle)
	<-between
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	select {
	case <-stopped:
		t.Fatal("closed while a handler was between two statements")
	case <-time.After(200 * time.Millisecond):
	}
	if got := effects(t, pool); len(got) != 0 {
		t.Fatalf("half done and committed: %v", got)
	}
	close(goOn)
	<-stopped
	if got := effects(t, pool); !slices.Equal(got, []string{"a/1", "a/2"}) {
		t.Fatalf("after the close: %v", got)
	}
	consume(t, s, "g", handle)
	eventually(t, "the other message", func() bool { return len(effects(t, pool)) >= 4 })
	if got := effects(t, pool); !slices.Equal(got, []string{"a/1", "a/2", "b/1", "b/2"}) {
		t.Fatalf("after a restart: %v", got)
	}
}

// Without the bell each of these messages would wait out the timer of half a second, because the consumer has just looked.
func TestABatchThatPublishesWakesConsumersInOtherProcesses(t *testing.T) {
	t.Parallel()
	db := withEffects(t)
	here, there := openOn(t, db, eventstore.Config{}), openOn(t, db, eventstore.Config{})
	handled := make(chan time.Time, 1)
	consume(t, there, "g", func(*message.Message) error {
		handled <- time.Now()
		return nil
	})
	sub, err := eventstore.NewSubscriber(here, eventstore.SubscriberConfig{Group: "process manager"})
	if err != nil {
		t.Fatal(err)
	}
	batches, err := sub.Subscribe(t.Context(), eventstore.AllEvents)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	var took []time.Duration
	for range 7 {
		create(t, here)
		msg := <-batches
		batch, _ := eventstore.BatchFrom(msg.Context())
		reaction := message.NewMessage(uuid.NewString(), []byte(`{}`))
		if err := eventstore.Publish(msg.Context(), batch.Tx, eventstore.TopicNotifications, reaction); err != nil {
			t.Fatal(err)
		}
		published := time.Now()
		msg.Ack()
		took = append(took, (<-handled).Sub(published))
	}
	t.Logf("%v", took)
	if slices.Sort(took); took[3] > 300*time.Millisecond {
		t.Fatalf("from publish to handler: %v; the median should be far below the timer's 500 ms", took)
	}
}

func TestLogFieldsDoNotPileUp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := eventstore.NewLogger(slog.New(slog.NewTextHandler(&out, nil)))
	for i := range 1000 {
		log = log.With(watermill.LogFields{"err": fmt.Sprint("poll ", i), "topic": "x"})
	}
	log.Error("gave up", errors.New("last"), nil)
	if line := out.String(); strings.Count(line, "err=") != 1 || !strings.Contains(line, "err=last") || strings.Count(line, "topic=") != 1 {
		t.Fatalf("got %q", line)
	}
}

// TestMessageSubscriberConforms runs watermill's own suite. Its topics are made up as it goes and its payloads are no JSON, so the test makes
// their tables, as the owner.
func TestMessageSubscriberConforms(t *testing.T) {
	db := pgtest.New(t)
	s := openWide(t, db)
	tables := &topicTables{owner: db.OwnerPool(t), made: map[string]bool{}}
	constructor := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		sub, err := eventstore.NewMessageSubscriber(s, group)
		if err != nil {
			t.Fatal(err)
		}
		return topicPublisher{s.Pool(), tables}, topicSubscriber{sub, tables}
	}
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups: true, ExactlyOnceDelivery: true, GuaranteedOrder: true, Persistent: true, ForceShort: true,
	}, func(t *testing.T) (message.Publisher, message.Subscriber) { return constructor(t, "conformance") }, constructor)
}

type topicTables struct {
	owner *pgxpool.Pool
	mu    sync.Mutex
	made  map[string]bool
}

func (tt *topicTables) ensure(topic string) error {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	if tt.made[topic] {
		return nil
	}
	messages, offsets := pgx.Identifier{"messages_" + topic}.Sanitize(), pgx.Identifier{"message_offsets_" + topic}.Sanitize()
	_, err := tt.owner.Exec(context.Background(), fmt.Sprintf(`create table %[1]s (like messages_notifications including defaults including indexes);
		alter table %[1]s alter column payload drop default, alter column payload type bytea using null;
		create table %[2]s (like message_offsets_notifications including all);
		grant all on %[1]s, %[2]s to tenantpilot_app`, messages, offsets))
	tt.made[topic] = err == nil
	return err
}

type topicPublisher struct {
	pool   *pgxpool.Pool
	tables *topicTables
}

func (p topicPublisher) Publish(topic string, messages ...*message.Message) error {
	if err := p.tables.ensure(topic); err != nil {
		return err
	}
	return pgx.BeginFunc(context.Background(), p.pool, func(tx pgx.Tx) error {
		return eventstore.Publish(context.Background(), tx, topic, messages...)
	})
}

func (p topicPublisher) Close() error { return nil }

type topicSubscriber struct {
	message.Subscriber
	tables *topicTables
}

func (s topicSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.tables.ensure(topic); err != nil {
		return nil, err
	}
	return s.Subscriber.Subscribe(ctx, topic)
}
