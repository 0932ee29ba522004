package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
	"tenantpilot/migrations/pgtest"
)

const (
	chaosEvents  = 50_000 // acknowledged, at least
	chaosWriters = 16
	chaosStreams = 600
	chaosEach    = 10               // events of one request on each of two streams
	chaosTrouble = 20 * time.Second // then calm, so that a busy machine gets done too
	chaosLimit   = 150 * time.Second
)

// chaos is one run: writers, nodes that come and go, and what the writers were told.
type chaos struct {
	t        *testing.T
	seed     uint64
	appURL   string
	streams  []uuid.UUID
	nodes    []*node
	consumed atomic.Int64 // batches

	mu      sync.Mutex
	acked   map[uuid.UUID]eventstore.Receipt
	open    map[uuid.UUID]bool // carried out or not: nobody was told
	refused map[uuid.UUID]bool // the decision failed

	kills, restarts, nacks, repeats, events atomic.Int64
}

// TestChaos is the log under everything at once. What was acknowledged is there once, what was not at most once, the order has no gaps and
// keeps each stream's, and what consumers wrote in their transactions is the log.
func TestChaos(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	c := &chaos{
		t: t, seed: newDice(t).seed, appURL: server.AppURL(pgembed.Database),
		acked: map[uuid.UUID]eventstore.Receipt{}, open: map[uuid.UUID]bool{}, refused: map[uuid.UUID]bool{},
	}
	if _, err := migrations.Apply(t.Context(), server.OwnerURL(pgembed.Database)); err != nil {
		t.Fatal(err)
	}
	c.exec(server.OwnerURL(pgembed.Database), `create table consumed (n bigserial, position bigint, stream uuid, version integer)`,
		`grant insert on consumed to tenantpilot_app`, `grant usage on sequence consumed_n_seq to tenantpilot_app`)
	c.exec(server.SuperuserURL("postgres"), `create database other`)
	// Two old transactions that have written, and stay open.
	c.exec(server.SuperuserURL("other"), `begin`, `create table unrelated (x int)`)
	c.exec(server.SuperuserURL(pgembed.Database), `begin isolation level repeatable read`, `insert into content (hash, bytes) values (sha256(''), '')`)
	superuser := c.pool(server.SuperuserURL(pgembed.Database), 4)
	t.Cleanup(superuser.Close)
	for range chaosStreams {
		c.streams = append(c.streams, uuid.New())
	}
	for range 3 {
		n := &node{}
		c.start(n, len(c.nodes) < 2, uint64(len(c.nodes)))
		c.nodes = append(c.nodes, n)
	}

	started := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), chaosLimit)
	defer cancel()
	calm := make(chan struct{})
	endTrouble := sync.OnceFunc(func() { close(calm) })
	time.AfterFunc(chaosTrouble, endTrouble)
	var troubles, writers sync.WaitGroup
	troubles.Go(func() { c.storm(superuser, calm) })
	troubles.Go(func() { c.reopen(calm) })
	for w := range chaosWriters {
		writers.Go(func() { c.write(ctx, rand.New(rand.NewPCG(c.seed, 100+uint64(w)))) })
	}
	writers.Wait()
	wrote := time.Since(started)
	endTrouble()
	troubles.Wait()
	if ctx.Err() != nil {
		t.Fatalf("seed %d: only %d events acknowledged after %v", c.seed, c.events.Load(), chaosLimit)
	}

	var events, head, done int64
	eventually(t, "everything is numbered and consumed", func() bool {
		err := superuser.QueryRow(t.Context(), `select (select count(*) from events), (select head from sequencer),
			(select position from checkpoints where projection = 'chaos')`).Scan(&events, &head, &done)
		return err == nil && events == head && done == head
	})
	for _, n := range c.nodes {
		n.stop()
	}
	t.Logf("%d events of %d requests in %.1f s; %d decisions failed, %d requests were never answered, %d were repeated; "+
		"%d connections killed, %d stores reopened; %d batches consumed, %d nacked; all consumed after %.1f s",
		events, len(c.acked), wrote.Seconds(), len(c.refused), len(c.open), c.repeats.Load(),
		c.kills.Load(), c.restarts.Load(), c.consumed.Load(), c.nacks.Load(), time.Since(started).Seconds())
	c.checkLog(superuser)
	c.checkConsumed(superuser)
	wantGapless(t, superuser, events)
}

// exec runs statements on one connection, which stays open until the test ends.
func (c *chaos) exec(url string, statements ...string) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), url)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, s := range statements {
		if _, err := conn.Exec(c.t.Context(), s); err != nil {
			c.t.Fatalf("%s: %v", s, err)
		}
	}
}

func (c *chaos) pool(url string, size int32) *pgxpool.Pool {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		panic(err)
	}
	cfg.MaxConns = size
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		panic(err)
	}
	return pool
}

// node is a process of the product: a pool, a store, a sequencer, perhaps a consumer.
type node struct {
	store atomic.Pointer[eventstore.Store]
	stop  func()
}

func (c *chaos) start(n *node, consumes bool, stream uint64) {
	pool := c.pool(c.appURL, 10)
	s := eventstore.Open(pool, eventstore.Config{Lease: 700 * time.Millisecond, Poll: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.RunSequencer(ctx) }) // fails to give up its lease when its last connection is killed
	if consumes {
		running.Go(func() { c.consume(ctx, s, rand.New(rand.NewPCG(c.seed, stream))) })
	}
	n.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		s.Close()
		pool.Close()
	})
	n.store.Store(s)
}

// consume writes what it is given in the transaction that it is given.
func (c *chaos) consume(ctx context.Context, s *eventstore.Store, random *rand.Rand) {
	var batches <-chan *message.Message
	sub, err := eventstore.NewSubscriber(s, eventstore.SubscriberConfig{Group: "chaos", BatchSize: 1 + random.IntN(500)})
	if err != nil {
		panic(err)
	}
	for {
		if batches, err = sub.Subscribe(ctx, eventstore.AllEvents); err == nil {
			break
		}
		if ctx.Err() != nil { // its first statement was killed
			return
		}
	}
	for msg := range batches {
		batch, _ := eventstore.BatchFrom(msg.Context())
		var rows [][]any
		for _, e := range batch.Events {
			rows = append(rows, []any{e.Position, e.Stream, e.Version})
		}
		if random.IntN(100) < 5 { // half done
			_, _ = batch.Tx.Exec(msg.Context(), `insert into consumed (position) values (-1)`)
			c.nacks.Add(1)
			msg.Nack()
			continue
		}
		columns := []string{"position", "stream", "version"}
		if _, err := batch.Tx.CopyFrom(msg.Context(), pgx.Identifier{"consumed"}, columns, pgx.CopyFromRows(rows)); err != nil {
			msg.Nack()
			continue
		}
		c.consumed.Add(1)
		msg.Ack()
	}
}

// storm kills some of the app's connections at a time, and sometimes all.
func (c *chaos) storm(superuser *pgxpool.Pool, calm <-chan struct{}) {
	random := rand.New(rand.NewPCG(c.seed, 10))
	for pause(calm, time.Duration(50+random.IntN(400))*time.Millisecond) {
		share := []float64{0.1, 0.1, 0.3, 1}[random.IntN(4)]
		var kills int64
		err := superuser.QueryRow(context.Background(), `select count(*) filter (where pg_terminate_backend(pid)) from (
			select pid from pg_stat_activity where usename = 'tenantpilot_app' and random() < $1) victims`, share).Scan(&kills)
		if err != nil {
			c.t.Errorf("kill: %v", err)
		}
		c.kills.Add(kills)
	}
}

// reopen closes a store while it is used, and opens another in its place.
func (c *chaos) reopen(calm <-chan struct{}) {
	random := rand.New(rand.NewPCG(c.seed, 20))
	for i := uint64(1000); pause(calm, time.Duration(200+random.IntN(800))*time.Millisecond); i++ {
		which := random.IntN(len(c.nodes))
		c.nodes[which].stop()
		c.restarts.Add(1)
		if !pause(calm, time.Duration(random.IntN(200))*time.Millisecond) {
			c.start(c.nodes[which], which < 2, i)
			return
		}
		c.start(c.nodes[which], which < 2, i)
	}
}

func pause(calm <-chan struct{}, d time.Duration) bool {
	select {
	case <-calm:
		return false
	case <-time.After(d):
		return true
	}
}

var errDecision = errors.New("the decision failed after it had appended")

// write sends requests until enough events are acknowledged.
func (c *chaos) write(ctx context.Context, random *rand.Rand) {
	for c.events.Load() < chaosEvents && ctx.Err() == nil {
		key := uuid.New()
		a, b := c.streams[random.IntN(chaosStreams)], c.streams[random.IntN(chaosStreams)]
		if a == b {
			continue
		}
		request := eventstore.Request{Key: key, Hash: key[:], At: at, Workspace: a, Affinity: a}
		if random.IntN(2) == 0 {
			request.Needs = []uuid.UUID{a, b}
		}
		switch fate := random.IntN(100); {
		case fate < 5:
			c.fail(ctx, random, request, a, b)
		case fate < 10: // a caller that leaves, and never comes back
			hasty, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(8_000))*time.Microsecond)
			receipt, err := c.send(hasty, random, request, a, b)
			cancel()
			c.told(key, receipt, err)
		default:
			c.insist(ctx, random, request, a, b)
		}
	}
}

// send has a random node carry out a request: chaosEach events on each of two streams.
func (c *chaos) send(ctx context.Context, random *rand.Rand, r eventstore.Request, a, b uuid.UUID) (eventstore.Receipt, error) {
	s := c.nodes[random.IntN(len(c.nodes))].store.Load()
	return s.Transact(ctx, r, func(ctx context.Context, u *eventstore.Unit) error { return appendBoth(ctx, u, r.Key, a, b) })
}

func appendBoth(ctx context.Context, u *eventstore.Unit, key, a, b uuid.UUID) error {
	for _, stream := range []uuid.UUID{a, b} {
		if _, _, err := eventstore.Load[domain.Tenant](ctx, u, stream); err != nil {
			return err
		}
	}
	for i := range 2 * chaosEach {
		u.Append([]uuid.UUID{a, b}[i/chaosEach], domain.TenantRenamed{Name: fmt.Sprintf("%s/%d", key, i)})
	}
	return nil
}

// fail sends a request whose decision fails after it has appended.
func (c *chaos) fail(ctx context.Context, random *rand.Rand, r eventstore.Request, a, b uuid.UUID) {
	c.mu.Lock()
	c.refused[r.Key] = true
	c.mu.Unlock()
	s := c.nodes[random.IntN(len(c.nodes))].store.Load()
	_, err := s.Transact(ctx, r, func(ctx context.Context, u *eventstore.Unit) error {
		if err := appendBoth(ctx, u, r.Key, a, b); err != nil {
			return err
		}
		return errDecision
	})
	if !errors.Is(err, errDecision) && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		c.t.Errorf("failed decision: %v", err)
	}
}

// insist repeats a request until it is acknowledged, by whichever node, and sometimes once more.
func (c *chaos) insist(ctx context.Context, random *rand.Rand, r eventstore.Request, a, b uuid.UUID) {
	for try := 0; ctx.Err() == nil; try++ {
		receipt, err := c.send(ctx, random, r, a, b)
		c.told(r.Key, receipt, err)
		if err != nil { // the store was closed
			c.repeats.Add(1)
			time.Sleep(time.Millisecond)
			continue
		}
		if random.IntN(100) >= 5 {
			return
		}
		c.repeats.Add(1)
		again, err := c.send(ctx, random, r, a, b)
		if err == nil && (!again.Replayed || again.Seq != receipt.Seq || again.Stream != receipt.Stream) {
			c.t.Errorf("repeat of %+v: %+v", receipt, again)
		}
		return
	}
}

// told notes what a writer was told of a request.
func (c *chaos) told(key uuid.UUID, receipt eventstore.Receipt, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		delete(c.open, key)
		c.acked[key] = receipt
		c.events.Add(2 * chaosEach)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		c.open[key] = true
	default:
		c.t.Errorf("request %s: %v", key, err)
		c.open[key] = true
	}
}

// checkLog compares the log with what the writers were told.
func (c *chaos) checkLog(pool *pgxpool.Pool) {
	c.t.Helper()
	rows, err := pool.Query(c.t.Context(), `select e.payload->>'name', e.stream, l.seq from log l join events e using (seq) order by l.position`)
	if err != nil {
		c.t.Fatal(err)
	}
	type appended struct {
		n       int
		streams [2]uuid.UUID
		last    int64
	}
	found := map[uuid.UUID]*appended{}
	var name string
	var stream uuid.UUID
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&name, &stream, &seq}, func() error {
		text, ordinal, _ := strings.Cut(name, "/")
		i, err := strconv.Atoi(ordinal)
		if err != nil {
			return err
		}
		key := uuid.MustParse(text)
		f := found[key]
		if f == nil {
			f = &appended{}
			found[key] = f
		}
		if f.n != i { // positions follow the order in which the request appended, each event once
			c.t.Fatalf("request %s: event %d comes %dth", key, i, f.n)
		}
		if i%chaosEach == 0 {
			f.streams[i/chaosEach] = stream
		}
		if f.streams[i/chaosEach] != stream {
			c.t.Errorf("request %s: event %d is in another stream", key, i)
		}
		f.n, f.last = f.n+1, seq
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	for key, f := range found {
		receipt, acked := c.acked[key]
		if f.n != 2*chaosEach || !acked && !c.open[key] || c.refused[key] {
			c.t.Errorf("request %s: %d events (acknowledged %v, unanswered %v, failed %v)", key, f.n, acked, c.open[key], c.refused[key])
		}
		if acked && (receipt.Stream != f.streams[0] || receipt.Seq < f.last) {
			c.t.Errorf("request %s: %+v, but its last event is %d", key, receipt, f.last)
		}
	}
	for key, receipt := range c.acked {
		if found[key] == nil {
			c.t.Errorf("request %s was acknowledged (%+v) and is not in the log", key, receipt)
		}
	}
	var strangers int
	err = pool.QueryRow(c.t.Context(), `select count(*) from requests`).Scan(&strangers)
	if err != nil || strangers != len(found) {
		c.t.Errorf("%d requests and %d in the log, %v", strangers, len(found), err)
	}
}

// checkConsumed compares what the consumers wrote with the log.
func (c *chaos) checkConsumed(pool *pgxpool.Pool) {
	c.t.Helper()
	var rows, skipped, doubled, disorder, wrong int64
	err := pool.QueryRow(c.t.Context(), `
		with c as (select *, row_number() over (order by n) as nth from consumed)
		select (select count(*) from c),
			(select count(*) from log l where not exists (select from c where c.position = l.position)),
			(select count(*) - count(distinct position) from c),
			(select count(*) from c where nth <> position),
			(select count(*) from c left join log l using (position) left join events e using (seq)
			 where (e.stream, e.version) is distinct from (c.stream, c.version))`).
		Scan(&rows, &skipped, &doubled, &disorder, &wrong)
	if err != nil || skipped+doubled+disorder+wrong != 0 {
		c.t.Errorf("consumers wrote %d rows: %d skipped, %d doubled, %d out of order, %d wrong; %v", rows, skipped, doubled, disorder, wrong, err)
	}
}
