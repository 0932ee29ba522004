package eventstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// The topics of what really are messages, as opposed to events: each has its table in the migrations.
const (
	TopicNotifications = "notifications"
	TopicDeadLetters   = "dead_letters"
)

// Publish writes messages to a topic inside the caller's transaction: they exist if it commits, and a rollback leaves none. Consumers are
// woken after the commit if the transaction is a Batch's and ctx its message's; otherwise they find the messages within half a second.
func Publish(ctx context.Context, tx pgx.Tx, topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	publisher, err := wsql.NewPublisher(inTx{ctx, tx}, wsql.PublisherConfig{SchemaAdapter: messageSchema{}}, nil)
	if err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	if err := publisher.Publish(topic, messages...); err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	if batch, ok := BatchFrom(ctx); ok {
		batch.published = true
	}
	return nil
}

// NewMessageSubscriber consumes a topic of messages as one of a group: of several, one works and the others wait for it. A handler finds its
// transaction with TxFrom; run it under the Savepoint middleware, innermost: watermill-sql commits the transaction of a nacked message, so
// what a failed handler wrote must have been undone before. Then effects are exactly-once: an ack commits them together with the
// group's offset, and a crash, a lost connection or a close before that commit leaves neither, so the message is delivered again.
func NewMessageSubscriber(s *Store, group string) (message.Subscriber, error) {
	if group == "" {
		return nil, errors.New("new message subscriber: a group is needed")
	}
	return &messageSubscriber{store: s, group: group, db: stdlib.OpenDBFromPool(s.pool), closing: make(chan struct{})}, nil
}

// TxFrom is the transaction in which the message will be acknowledged.
func TxFrom(ctx context.Context) (*sql.Tx, bool) { return wsql.TxFromContext(ctx) }

// Savepoint is the innermost middleware of every message handler: what a failing or panicking handler wrote is undone before its error is
// returned. If even that fails the connection is gone, and with it everything that the transaction had written.
func Savepoint(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (produced []*message.Message, err error) {
		tx, ok := TxFrom(msg.Context())
		if !ok {
			return nil, errors.New("message carries no transaction")
		}
		ctx := context.WithoutCancel(msg.Context()) // a shutdown must not leave half a handler behind
		if _, err := tx.ExecContext(ctx, `savepoint handler`); err != nil {
			return nil, fmt.Errorf("set savepoint: %w", err)
		}
		defer func() {
			if panicked := recover(); panicked != nil {
				err = fmt.Errorf("handler panicked: %v", panicked)
			}
			end := `release savepoint handler`
			if err != nil {
				end = `rollback to savepoint handler; release savepoint handler`
			}
			if _, ending := tx.ExecContext(ctx, end); ending != nil {
				err = errors.Join(err, fmt.Errorf("end savepoint: %w", ending))
			}
		}()
		return h(msg)
	}
}

// messageSchema is watermill-sql's Postgres schema with our table names and a read that scales: the stock query sorts the whole backlog
// for each batch, a row comparison walks the primary key.
type messageSchema struct{ wsql.DefaultPostgreSQLSchema }

var messageOffsets = wsql.DefaultPostgreSQLOffsetsAdapter{
	GenerateMessagesOffsetsTableName: func(topic string) string { return `"message_offsets_` + topic + `"` },
}

func messageTable(topic string) string { return `"messages_` + topic + `"` }

// InsertQuery implements watermill-sql's SchemaAdapter.
func (messageSchema) InsertQuery(topic string, messages message.Messages) (wsql.Query, error) {
	return wsql.DefaultPostgreSQLSchema{GenerateMessagesTableName: messageTable}.InsertQuery(topic, messages)
}

// SelectQuery implements watermill-sql's SchemaAdapter.
func (messageSchema) SelectQuery(topic, group string, offsets wsql.OffsetsAdapter) wsql.Query {
	next := offsets.NextOffsetQuery(topic, group)
	return wsql.Query{
		Query: `with o as materialized (` + next.Query + `)
			select "offset", transaction_id, uuid, payload, metadata from ` + messageTable(topic) + `
			where (transaction_id, "offset") > ((select last_processed_transaction_id from o), (select offset_acked from o))
			  and transaction_id < pg_snapshot_xmin(pg_current_snapshot())
			order by transaction_id, "offset" limit 100`,
		Args: next.Args,
	}
}

// inTx lets watermill-sql's publisher write in a native transaction; it only ever calls ExecContext.
type inTx struct {
	ctx context.Context // the publisher passes none of its caller's
	tx  pgx.Tx
}

func (e inTx) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := e.tx.Exec(e.ctx, query, args...)
	return driver.RowsAffected(tag.RowsAffected()), err
}

func (e inTx) Exec(query string, args ...any) (sql.Result, error) {
	return e.ExecContext(e.ctx, query, args...)
}

func (inTx) Query(string, ...any) (*sql.Rows, error) { return nil, errors.ErrUnsupported }

func (inTx) QueryRow(string, ...any) *sql.Row { return nil }

func (inTx) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errors.ErrUnsupported
}

func (inTx) QueryRowContext(context.Context, string, ...any) *sql.Row { return nil }

// messageSubscriber is watermill-sql's subscriber made safe. Alone it goes on in one transaction after a nack: the transaction holds locks
// and hides newer messages from everybody while it waits, and one whose connection died refuses every redelivery. And its close cancels the
// handler between two statements and commits the first. Here each nack ends the transaction (what was acked before is kept), and the
// next delivery comes in a new one; and a close lets the message in flight finish first.
type messageSubscriber struct {
	store *Store
	group string
	db    *sql.DB

	closing chan struct{}
	close   sync.Once
	running sync.WaitGroup
}

// Subscribe implements message.Subscriber. The channel is closed after Close or the end of ctx, once the message in flight is settled.
func (m *messageSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	select {
	case <-m.closing:
		return nil, errors.New("subscribe to messages: the subscriber is closed")
	default:
	}
	first, err := m.attach(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	m.running.Go(func() {
		defer close(out) // last: the router's close returns when this is closed, and the last commit must be over by then
		m.deliver(ctx, topic, first, out)
	})
	return out, nil
}

// Close implements message.Subscriber: it lets the messages in flight finish, up to closeGrace, and waits for their commit.
func (m *messageSubscriber) Close() error {
	m.close.Do(func() { close(m.closing) })
	m.running.Wait()
	return m.db.Close()
}

// deliver hands messages over until it is to stop, with a new attachment after each nack.
func (m *messageSubscriber) deliver(ctx context.Context, topic string, a *attachment, out chan<- *message.Message) {
	nacks := 0
	for {
		if a != nil {
			acked := m.serve(ctx, a, out)
			a.detach()
			if acked > 0 {
				nacks = 0
			}
		}
		m.pause(ctx, min(time.Second, 10*time.Millisecond<<min(nacks, 7)))
		nacks++
		if m.stopped(ctx) {
			return
		}
		var err error
		if a, err = m.attach(ctx, topic); err != nil {
			m.store.log.Warn("message subscriber", "topic", topic, "group", m.group, "err", err)
		}
	}
}

// serve hands messages over one at a time and waits for the verdict on each, until it is to stop or one was nacked. It says how many were
// acked.
func (m *messageSubscriber) serve(ctx context.Context, a *attachment, out chan<- *message.Message) (acked int) {
	for !m.stopped(ctx) {
		select {
		case <-ctx.Done():
		case <-m.closing:
		case msg, ok := <-a.in:
			if !ok {
				return acked
			}
			ack, nack := msg.Acked(), msg.Nacked()
			select {
			case out <- msg:
			case <-ctx.Done():
				return acked
			case <-m.closing:
				return acked
			}
			if !m.verdict(ctx, a, ack, nack) {
				return acked
			}
			acked++
		}
	}
	return acked
}

// closeGrace is how long a close waits for a handler before it takes its transaction away. Handlers only move rows.
const closeGrace = 3 * time.Second

// verdict waits for the handler. One that a close finds still running after the grace is rolled back, whatever it says later.
func (m *messageSubscriber) verdict(ctx context.Context, a *attachment, ack, nack <-chan struct{}) bool {
	select {
	case <-ack:
		return true
	case <-nack:
		return false
	case <-ctx.Done():
	case <-m.closing:
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-ack:
		return true
	case <-nack:
	case <-grace.C:
		a.cancel() // ends the handler's context and rolls the transaction back
	}
	return false
}

func (m *messageSubscriber) stopped(ctx context.Context) bool {
	select {
	case <-m.closing:
		return true
	default:
		return ctx.Err() != nil
	}
}

func (m *messageSubscriber) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-m.closing:
	case <-t.C:
	}
}

// attachment is one run of watermill-sql's subscriber, from a start or nack to the next nack or the end.
type attachment struct {
	inner  *wsql.Subscriber
	in     <-chan *message.Message
	wake   *wakeUp
	cancel context.CancelFunc
}

// longDeadline: when it passes, watermill-sql commits a half-done handler. Handlers only move rows, so none comes near it.
const longDeadline = 24 * time.Hour

func (m *messageSubscriber) attach(ctx context.Context, topic string) (*attachment, error) {
	wake := &wakeUp{store: m.store, topic: topic, group: m.group, stop: make(chan struct{}), bell: m.store.published.next()}
	deadline := longDeadline
	inner, err := wsql.NewSubscriber(m.db, wsql.SubscriberConfig{
		ConsumerGroup: m.group, SchemaAdapter: messageSchema{}, OffsetsAdapter: messageOffsets, AckDeadline: &deadline,
		ResendInterval: time.Millisecond, BackoffManager: wake,
	}, NewLogger(m.store.log))
	if err != nil {
		return nil, fmt.Errorf("subscribe to messages: %w", err)
	}
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	in, err := inner.Subscribe(detached, topic)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("subscribe to messages: %w", err)
	}
	return &attachment{inner, in, wake, cancel}, nil
}

// detach ends the run: watermill-sql commits what was acked and rolls back nothing else, because nothing else is in flight. A database
// that does not answer gets a second; what was acked and is not committed by then is delivered again.
func (a *attachment) detach() {
	defer a.cancel()
	impatient := time.AfterFunc(time.Second, a.cancel)
	defer impatient.Stop()
	close(a.wake.stop)
	_ = a.inner.Close() // never fails
}

// wakeUp makes an idle consumer wait for the bell of published messages rather than poll; a timer is the floor. A message stays hidden while
// any older transaction of the server is open, so a ring is followed by several looks. One attachment's goroutine owns it.
type wakeUp struct {
	store        *Store
	topic, group string
	stop         chan struct{}
	bell         <-chan struct{} // taken before the last look, so that no ring falls between look and wait
	looks        int             // how many more looks to take soon
}

// HandleError implements watermill-sql's BackoffManager.
func (w *wakeUp) HandleError(_ watermill.LoggerAdapter, noMsg bool, err error) time.Duration {
	switch {
	case err != nil && isRivalry(err):
		return 100 * time.Millisecond
	case err != nil:
		w.store.log.Warn("message subscriber", "topic", w.topic, "group", w.group, "err", err)
		return 250 * time.Millisecond
	case !noMsg:
		return 0 // there may be more
	case w.looks > 0:
		w.looks--
		return 20 * time.Millisecond
	}
	t := time.NewTimer(500 * time.Millisecond)
	defer t.Stop()
	select {
	case <-w.bell:
		w.looks = 5
	case <-t.C:
	case <-w.stop:
	}
	w.bell = w.store.published.next()
	return 0
}

// isRivalry says that another consumer of the group was at work and has moved the offset.
func isRivalry(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] == "40"
}

// NewLogger adapts a slog logger to watermill. Fields of the same key replace each other: watermill-sql wraps its loop's logger with an
// "err" field on every failed poll, and with a plain adapter the line grows without bound.
func NewLogger(log *slog.Logger) watermill.LoggerAdapter { return logger{log: log} }

type logger struct {
	log    *slog.Logger
	fields watermill.LogFields
}

func (l logger) attrs(fields watermill.LogFields) []any {
	all := l.fields.Add(fields)
	attrs := make([]any, 0, 2*len(all)+2)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		attrs = append(attrs, k, all[k])
	}
	return attrs
}

// Error implements watermill.LoggerAdapter.
func (l logger) Error(msg string, err error, fields watermill.LogFields) {
	l.log.Error(msg, l.attrs(fields.Add(watermill.LogFields{"err": err}))...)
}

// Info implements watermill.LoggerAdapter: watermill's information is our debugging.
func (l logger) Info(msg string, fields watermill.LogFields) { l.log.Debug(msg, l.attrs(fields)...) }

// Debug implements watermill.LoggerAdapter.
func (l logger) Debug(msg string, fields watermill.LogFields) { l.log.Debug(msg, l.attrs(fields)...) }

// Trace implements watermill.LoggerAdapter: dropped.
func (logger) Trace(string, watermill.LogFields) {}

// With implements watermill.LoggerAdapter.
func (l logger) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return logger{log: l.log, fields: l.fields.Add(fields)}
}
