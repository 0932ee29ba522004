package eventstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// The topics of what really are messages, as opposed to events: each has its table in the migrations.
const (
	TopicNotifications = "notifications"
	TopicDeadLetters   = "dead_letters"
)

// Publish writes messages to a topic inside the caller's transaction: they exist if it commits. Consumers see them within half a second.
func Publish(ctx context.Context, tx pgx.Tx, topic string, messages ...*message.Message) error {
	publisher, err := wsql.NewPublisher(inTx{ctx, tx}, wsql.PublisherConfig{SchemaAdapter: messageSchema{}}, nil)
	if err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	if err := publisher.Publish(topic, messages...); err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	return nil
}

// NewMessageSubscriber consumes a topic of messages as one of a group. A handler finds its transaction with TxFrom; run it under the
// Savepoint middleware, innermost: watermill-sql commits the transaction of a nacked message, so what a failed handler wrote must have
// been undone before.
func NewMessageSubscriber(s *Store, group string) (message.Subscriber, error) {
	inner, err := wsql.NewSubscriber(stdlib.OpenDBFromPool(s.pool), wsql.SubscriberConfig{
		ConsumerGroup: group, SchemaAdapter: messageSchema{}, OffsetsAdapter: messageOffsets, AckDeadline: longDeadline(),
		BackoffManager: wakeUp{s},
	}, NewLogger(s.log))
	if err != nil {
		return nil, fmt.Errorf("subscribe to messages: %w", err)
	}
	return &drainingSubscriber{inner: inner, closing: make(chan struct{})}, nil
}

// TxFrom is the transaction in which the message will be acknowledged.
func TxFrom(ctx context.Context) (*sql.Tx, bool) { return wsql.TxFromContext(ctx) }

// Savepoint is the innermost middleware of every message handler: what a failing handler wrote is undone before its error is returned.
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
			if err != nil {
				_, undo := tx.ExecContext(ctx, `rollback to savepoint handler`)
				err = errors.Join(err, undo)
			}
		}()
		return h(msg)
	}
}

// longDeadline: a passed deadline would commit a half-done handler. Handlers only move rows, so none comes near it.
func longDeadline() *time.Duration {
	d := time.Hour
	return &d
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

// wakeUp makes an idle consumer wait for the log's bell rather than poll: what publishes messages is caused by events. The message may be
// committed a moment after the bell, and stays hidden while an older transaction is open, so the next looks come soon, then half a second apart.
type wakeUp struct{ store *Store }

// HandleError implements watermill-sql's BackoffManager.
func (w wakeUp) HandleError(_ watermill.LoggerAdapter, noMsg bool, err error) time.Duration {
	if !noMsg || err != nil {
		return 100 * time.Millisecond
	}
	t := time.NewTimer(500 * time.Millisecond)
	defer t.Stop()
	select {
	case <-w.store.Sequenced():
		return 20 * time.Millisecond
	case <-t.C:
		return 0
	}
}

// drainingSubscriber lets the message in flight finish before it closes: watermill-sql's own close cancels the handler between two of its
// statements and commits the first.
type drainingSubscriber struct {
	inner   message.Subscriber
	closing chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

// Subscribe implements message.Subscriber.
func (d *drainingSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := d.inner.Subscribe(context.WithoutCancel(ctx), topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	d.running.Go(func() {
		defer close(out) // last: the router's close returns when this is closed, and the last commit must be over by then
		defer func() { _ = d.inner.Close() }()
		d.forward(ctx, in, out)
	})
	return out, nil
}

// forward hands messages over one at a time until it is to stop, and waits for the one in flight.
func (d *drainingSubscriber) forward(ctx context.Context, in <-chan *message.Message, out chan<- *message.Message) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.closing:
			return
		case msg, ok := <-in:
			if !ok {
				return
			}
			acked, nacked := msg.Acked(), msg.Nacked()
			select {
			case out <- msg:
			case <-ctx.Done():
				msg.Nack()
				return
			case <-d.closing:
				msg.Nack()
				return
			}
			select {
			case <-acked:
			case <-nacked:
			}
		}
	}
}

// Close implements message.Subscriber.
func (d *drainingSubscriber) Close() error {
	d.once.Do(func() { close(d.closing) })
	d.running.Wait()
	return d.inner.Close()
}

// NewLogger adapts a slog logger to watermill. Fields of the same key replace each other: watermill-sql wraps its loop's logger with an
// "err" field on every failed poll, and with a plain adapter the line grows without bound.
func NewLogger(log *slog.Logger) watermill.LoggerAdapter { return logger{log: log} }

type logger struct {
	log    *slog.Logger
	fields watermill.LogFields
}

func (l logger) attrs(fields watermill.LogFields) []any {
	var attrs []any
	for k, v := range l.fields.Add(fields) {
		attrs = append(attrs, k, v)
	}
	return attrs
}

// Error implements watermill.LoggerAdapter.
func (l logger) Error(msg string, err error, fields watermill.LogFields) {
	l.log.Error(msg, append(l.attrs(fields), "err", err)...)
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
