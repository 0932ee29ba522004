package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// AllEvents is the topic of the whole log. Any other topic is an event name and delivers the events of that name.
const AllEvents = "$all"

// Batch is what one watermill message of a Subscriber carries: events in log order, and the transaction that moves the consumer's
// checkpoint past them. What the handler writes with Tx is committed with the checkpoint or not at all.
type Batch struct {
	Events []Event
	Tx     pgx.Tx
	// After and UpTo are the checkpoint before and after: positions in (After, UpTo] have been read.
	After, UpTo int64

	published bool // messages were published in Tx
}

type batchKey struct{}

// BatchFrom returns the batch of a message that a Subscriber delivered.
func BatchFrom(ctx context.Context) (*Batch, bool) {
	b, ok := ctx.Value(batchKey{}).(*Batch)
	return b, ok
}

// SubscriberConfig sets a Subscriber up.
type SubscriberConfig struct {
	// Group names the consumer. It has one checkpoint, which carries the version of what the consumer wrote: a subscriber with another
	// Version delivers nothing until the checkpoint is moved to its own (projections.Rebuild does). Two subscribers of one group
	// share the work of one: whichever commits a batch first has it, the other's attempt rolls back.
	Group   string
	Version int
	// Concerns says which events the handler does anything about, by their present name (domain.PresentName); nil is all. The checkpoint moves
	// past batches of others without a message.
	Concerns func(event string) bool
	// BatchSize is the most events of one message (default 1000).
	BatchSize int
	// AckDeadline is how long a handler may take before its batch is rolled back and delivered again (default 30 s).
	AckDeadline time.Duration
	// Marshal makes the message of a batch. By default it has the UUID of the last event and an empty payload: handlers use BatchFrom.
	Marshal func(Batch) *message.Message
}

// Subscriber is the log as a watermill topic: a message.Subscriber on pgx. One message is one batch. Events are read with no open
// transaction; then a short one locks the checkpoint if it still stands where it stood (the fence against a second consumer), the handler writes
// in it, and an ack commits both. A nack, a passed deadline, a crash or a lost connection rolls both back, and the batch is delivered
// again: effects in Tx are exactly-once. After a nack events are delivered one by one until as many have passed, to isolate a bad one.
type Subscriber struct {
	store *Store
	cfg   SubscriberConfig

	closing chan struct{}
	close   sync.Once
	running sync.WaitGroup
}

// NewSubscriber makes a subscriber of the log. It starts nothing until Subscribe.
func NewSubscriber(s *Store, cfg SubscriberConfig) (*Subscriber, error) {
	if cfg.Group == "" {
		return nil, errors.New("new subscriber: a group is needed")
	}
	if cfg.BatchSize <= 0 {
		cfg.BatchSize = 1000
	}
	if cfg.AckDeadline <= 0 {
		cfg.AckDeadline = 30 * time.Second
	}
	if cfg.Marshal == nil {
		cfg.Marshal = func(b Batch) *message.Message {
			m := message.NewMessage(b.Events[len(b.Events)-1].ID.String(), nil)
			m.Metadata.Set("positions", strconv.FormatInt(b.After+1, 10)+"-"+strconv.FormatInt(b.UpTo, 10))
			return m
		}
	}
	return &Subscriber{store: s, cfg: cfg, closing: make(chan struct{})}, nil
}

// Subscribe implements message.Subscriber. The channel is closed after Close or the end of ctx, once the message in flight is settled.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	select {
	case <-s.closing:
		return nil, errors.New("subscribe: the subscriber is closed")
	default:
	}
	c := &consumer{Subscriber: s, topic: topic, out: make(chan *message.Message), foundVersion: s.cfg.Version, tidied: -1}
	if err := c.ensureCheckpoint(ctx); err != nil {
		return nil, err
	}
	s.running.Go(func() {
		defer close(c.out)
		c.run(ctx)
	})
	return c.out, nil
}

// Close implements message.Subscriber: it lets the handler under way finish within the ack deadline, and waits for it. Its transaction is
// never taken away from under it.
func (s *Subscriber) Close() error {
	s.close.Do(func() { close(s.closing) })
	s.running.Wait()
	return nil
}

// consumer is one subscription to one topic.
type consumer struct {
	*Subscriber
	topic        string
	out          chan *message.Message
	oneByOne     int // how many events to deliver singly, after a nack
	foundVersion int // the checkpoint's version when it was last looked at

	// The checkpoint as this consumer left it, so that it need not be looked at before each batch: moving it from there fails when it is
	// elsewhere by now.
	after int64
	known bool

	behind bool // there was more than one batch to read

	last   int64 // where the last move began
	tidied int64 // where the next tidying begins
	moves  int   // since the last
}

// beat is the shortest time between the beginnings of two batches: events that come faster than that are worth a batch together.
const beat = 8 * time.Millisecond

// movesKept is how many moves of a checkpoint may lie about before they are deleted.
const movesKept = 500

// group is the name of the checkpoint: a filtered topic has one of its own.
func (c *consumer) group() string {
	if c.topic == AllEvents {
		return c.cfg.Group
	}
	return c.cfg.Group + "/" + c.topic
}

func (c *consumer) ensureCheckpoint(ctx context.Context) error {
	_, err := c.store.pool.Exec(ctx,
		`insert into followers (projection, version) values ($1, $2) on conflict do nothing`, c.group(), c.cfg.Version)
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", c.group(), err)
	}
	return nil
}

func (c *consumer) run(ctx context.Context) {
	failures := 0
	for {
		grown, begun := c.store.Sequenced(), time.Now()
		progressed, err := c.step(ctx)
		switch {
		case c.stopped(ctx):
			return
		case err != nil:
			c.store.log.Warn("event subscriber", "group", c.group(), "err", err)
			c.wait(ctx, nil, min(time.Second, 10*time.Millisecond<<min(failures, 7)))
			failures++
		case !progressed:
			c.wait(ctx, grown, c.store.cfg.Poll)
			failures = 0
		default:
			failures = 0
			if !c.behind {
				c.wait(ctx, nil, beat-time.Since(begun))
			}
		}
	}
}

func (c *consumer) stopped(ctx context.Context) bool {
	select {
	case <-c.closing:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

func (c *consumer) wait(ctx context.Context, ring <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-c.closing:
	case <-ring:
	case <-t.C:
	}
}

// step delivers one batch and says whether the checkpoint moved.
func (c *consumer) step(ctx context.Context) (bool, error) {
	if !c.known {
		var version int
		err := c.store.pool.QueryRow(ctx, `select position, version from checkpoints where projection = $1`, c.group()).Scan(&c.after, &version)
		if err != nil {
			return false, fmt.Errorf("read checkpoint: %w", err)
		}
		if version != c.cfg.Version && version != c.foundVersion {
			c.store.log.Warn("event subscriber waits: what it would write to has another version",
				"group", c.group(), "version", c.cfg.Version, "found", version)
		}
		if c.foundVersion = version; version != c.cfg.Version {
			return false, nil
		}
	}
	batch, err := c.next(ctx, c.after)
	if err != nil {
		return false, err
	}
	if c.known = batch.UpTo == c.after; c.known { // nothing new: whoever moves the checkpoint meanwhile is found out by moving it
		return false, nil
	}
	if c.known, err = c.deliver(ctx, batch); c.known {
		c.after, c.last = batch.UpTo, batch.After
		c.tidy(ctx)
	}
	return c.known, err
}

func (c *consumer) next(ctx context.Context, after int64) (Batch, error) {
	size, name := c.cfg.BatchSize, ""
	if c.topic != AllEvents {
		name = c.topic
	}
	if c.oneByOne > 0 {
		size = 1
	}
	window := size
	if name != "" {
		window = max(size, 1000) // most events of the window are not of that name
	}
	events, upTo, err := c.store.ReadAfter(ctx, after, window, name)
	c.behind = len(events) >= size || upTo-after >= int64(window)
	if len(events) > size {
		events = events[:size]
		upTo = events[size-1].Position
	}
	return Batch{Events: events, After: after, UpTo: upTo}, err
}

// move locks the projection for this batch and moves its checkpoint. False when another consumer of the group holds it, or when it does not
// stand where the batch begins: another moved it, a rebuild put other rows there, or the server lost moves that it had acknowledged.
func (c *consumer) move(ctx context.Context, db Querier, b Batch) (moved bool, err error) {
	err = db.QueryRow(ctx, `select move_checkpoint($1, $2, $3, $4)`, c.group(), c.cfg.Version, b.After, b.UpTo).Scan(&moved)
	if err != nil {
		return false, fmt.Errorf("move checkpoint: %w", err)
	}
	return moved, nil
}

// tidy deletes what this consumer's earlier moves have left behind, now and then. It begins where it last ended, past rows that are dead
// and cannot go yet. Those of the last minute stay: a consumer that comes late must find that its place is taken.
func (c *consumer) tidy(ctx context.Context) {
	if c.moves++; c.moves < movesKept {
		return
	}
	err := c.store.pool.QueryRow(ctx, `with gone as (
			delete from checkpoint_moves where projection = $1 and version = $2 and after >= $3 and after < $4
				and moved_at < clock_timestamp() - interval '1 minute' returning after
		) select coalesce(max(after), $3) from gone`, c.group(), c.cfg.Version, c.tidied, c.last).Scan(&c.tidied)
	c.moves = 0
	if err != nil {
		c.store.log.Warn("event subscriber: tidy checkpoint", "group", c.group(), "err", err)
	}
}

// concerned says whether the handler does anything about one of the events.
func (c *consumer) concerned(events []Event) bool {
	return slices.ContainsFunc(events, func(e Event) bool { return c.cfg.Concerns == nil || c.cfg.Concerns(domain.PresentName(e.Name)) })
}

func (c *consumer) deliver(ctx context.Context, b Batch) (bool, error) {
	// The transaction outlives a cancelled ctx, so that the handler under way can still commit.
	txCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.AckDeadline+5*time.Second)
	defer cancel()
	if !c.concerned(b.Events) {
		return c.move(txCtx, c.store.pool, b)
	}
	tx, err := c.store.pool.Begin(txCtx)
	if err != nil {
		return false, fmt.Errorf("begin batch: %w", err)
	}
	defer func() { _ = tx.Rollback(txCtx) }()
	if mine, err := c.move(txCtx, tx, b); err != nil || !mine {
		return false, err
	}
	b.Tx = tx
	if !c.handle(ctx, &b) {
		c.oneByOne = len(b.Events)
		return false, nil
	}
	// A crash before this line undoes the batch; after it, the batch is done for good.
	if err := tx.Commit(txCtx); err != nil {
		return false, fmt.Errorf("commit batch: %w", err)
	}
	if b.published {
		c.store.published.ring()
		c.store.publishedHere.Store(true)
		c.store.knock()
	}
	c.oneByOne = max(0, c.oneByOne-len(b.Events))
	return true, nil
}

// handle hands a batch over and waits for the verdict. Once it is handed over, closing waits for the handler.
func (c *consumer) handle(ctx context.Context, b *Batch) bool {
	msgCtx, cancel := context.WithCancel(context.WithValue(ctx, batchKey{}, b))
	defer cancel()
	msg := c.cfg.Marshal(*b)
	msg.SetContext(msgCtx)
	select {
	case c.out <- msg:
	case <-ctx.Done():
		return false
	case <-c.closing:
		return false
	}
	deadline := time.NewTimer(c.cfg.AckDeadline)
	defer deadline.Stop()
	select {
	case <-msg.Acked():
		return true
	case <-msg.Nacked():
		c.wait(ctx, nil, 5*time.Millisecond)
		return false
	case <-deadline.C:
		c.store.log.Warn("event subscriber: ack deadline passed", "group", c.group(), "after", b.After, "upTo", b.UpTo)
	}
	// The handler's context ends before its transaction, so that one which heeds it is out of the transaction when that is rolled back.
	cancel()
	select {
	case <-msg.Acked():
	case <-msg.Nacked():
	case <-time.After(time.Second):
	}
	return false
}
