// Package projections keeps the tables that pages and workers read, and has their queries. One file is one read model.
//
// A projection moves rows and decides nothing: no network, no clock, no side effects, so it can be run again from position 0 at any time.
// Each projection follows the log on its own (Engine): a batch of events is applied in the transaction that moves the projection's
// checkpoint, so effects are exactly-once. An event that cannot be applied parks its stream for that projection; others move on.
package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Event is a stored event with its decoded payload.
type Event struct {
	eventstore.Event
	Data domain.Event
}

// Projection turns events into rows.
type Projection interface {
	// Name and Version identify the checkpoint. A changed meaning of the rows is another version.
	Name() string
	Version() int
	// Apply writes what the events say, in position order, in few statements for the whole batch. Applying an event twice changes nothing.
	Apply(ctx context.Context, tx pgx.Tx, events []Event) error
}

// All lists the read models and process managers that a running product needs.
func All() []Projection {
	return []Projection{Runs{}, Attempts{}, Connections{}, Tenants{}, Members{}, Work{}, Directory{}, Notifier{}, Audit{}}
}

// Engine follows the log with watermill's Router, one handler per projection.
type Engine struct {
	store  *eventstore.Store
	log    *slog.Logger
	router *message.Router
}

// NewEngine makes an engine; Run starts it.
func NewEngine(store *eventstore.Store, log *slog.Logger, projections ...Projection) (*Engine, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 5 * time.Second}, eventstore.NewLogger(log))
	if err != nil {
		return nil, fmt.Errorf("new projection engine: %w", err)
	}
	e := &Engine{store: store, log: log, router: router}
	router.AddMiddleware(middleware.Recoverer)
	for _, p := range projections {
		sub, err := eventstore.NewSubscriber(store, eventstore.SubscriberConfig{Group: p.Name(), Version: p.Version()})
		if err != nil {
			return nil, err
		}
		router.AddConsumerHandler(p.Name(), eventstore.AllEvents, sub, func(msg *message.Message) error { return e.handle(p, msg) })
	}
	return e, nil
}

// Deliver also consumes a topic of messages (eventstore.NewMessageSubscriber), each handled under a savepoint in the transaction that
// acknowledges it. Call it before Run.
func (e *Engine) Deliver(topic, group string, handle message.NoPublishHandlerFunc) error {
	sub, err := eventstore.NewMessageSubscriber(e.store, group)
	if err != nil {
		return fmt.Errorf("deliver %s: %w", topic, err)
	}
	e.router.AddConsumerHandler("deliver "+topic, topic, sub, handle).AddMiddleware(eventstore.Savepoint)
	return nil
}

// Run follows the log until ctx ends, then lets the batches under way finish.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.router.Run(ctx); err != nil {
		return fmt.Errorf("run projections: %w", err)
	}
	return nil
}

// Running is closed once every projection follows the log.
func (e *Engine) Running() <-chan struct{} { return e.router.Running() }

func (e *Engine) handle(p Projection, msg *message.Message) error {
	batch, ok := eventstore.BatchFrom(msg.Context())
	if !ok {
		return errors.New("message carries no batch")
	}
	return e.apply(msg.Context(), p, batch)
}

// apply applies a batch, parking events that cannot be: those that do not decode, those of a stream that is parked already, and, found by
// bisection under savepoints, those that Apply refuses.
func (e *Engine) apply(ctx context.Context, p Projection, b *eventstore.Batch) error {
	parked, err := parkedStreams(ctx, b.Tx, p.Name())
	if err != nil {
		return err
	}
	events := make([]Event, 0, len(b.Events))
	for _, stored := range b.Events {
		data, err := stored.Decode()
		if parked[stored.Stream] {
			err = errStreamParked
		}
		if err != nil {
			if err := e.park(ctx, b.Tx, p, stored, err); err != nil {
				return err
			}
			parked[stored.Stream] = true
			continue
		}
		events = append(events, Event{stored, data})
	}
	return e.bisect(ctx, p, b.Tx, events)
}

var errStreamParked = errors.New("an earlier event of the stream is parked")

func (e *Engine) bisect(ctx context.Context, p Projection, tx pgx.Tx, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	err := attempt(ctx, p, tx, events)
	switch {
	case err == nil || isTrouble(ctx, err):
		return err
	case len(events) == 1:
		return e.park(ctx, tx, p, events[0].Event, err)
	}
	half := len(events) / 2
	if err := e.bisect(ctx, p, tx, events[:half]); err != nil {
		return err
	}
	rest := events[half:]
	parked, err := parkedStreams(ctx, tx, p.Name())
	if err != nil {
		return err
	}
	kept := rest[:0:0]
	for _, ev := range rest {
		if parked[ev.Stream] {
			if err := e.park(ctx, tx, p, ev.Event, errStreamParked); err != nil {
				return err
			}
			continue
		}
		kept = append(kept, ev)
	}
	return e.bisect(ctx, p, tx, kept)
}

// attempt applies events under a savepoint, so that a failure leaves the transaction as it was.
func attempt(ctx context.Context, p Projection, tx pgx.Tx, events []Event) (err error) {
	save, err := tx.Begin(ctx)
	if err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("apply %s: panic: %v", p.Name(), panicked)
		}
		if err != nil {
			_ = save.Rollback(ctx)
		}
	}()
	if err := p.Apply(ctx, save, events); err != nil {
		return fmt.Errorf("apply %s: %w", p.Name(), err)
	}
	return save.Commit(ctx)
}

// isTrouble says that the failure is the database's or the shutdown's, not the event's: the batch is delivered again.
func isTrouble(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "40", "53", "55", "57", "58":
			return true
		}
		return false
	}
	return pgconn.Timeout(err) || errors.As(err, new(*pgconn.ConnectError))
}

// park records an event that a projection could not apply and publishes a dead letter, both in the transaction that moves past it.
func (e *Engine) park(ctx context.Context, tx pgx.Tx, p Projection, stored eventstore.Event, cause error) error {
	_, err := tx.Exec(ctx, `insert into parked (projection, stream, position, cause) values ($1, $2, $3, $4) on conflict do nothing`,
		p.Name(), stored.Stream, stored.Position, cause.Error())
	if err != nil {
		return fmt.Errorf("park event %d: %w", stored.Position, err)
	}
	payload, err := json.Marshal(map[string]any{
		"projection": p.Name(), "position": stored.Position, "stream": stored.Stream, "event": stored.Name, "cause": cause.Error(),
	})
	if err != nil {
		return fmt.Errorf("park event %d: %w", stored.Position, err)
	}
	if !errors.Is(cause, errStreamParked) {
		e.log.Error("event parked", "projection", p.Name(), "position", stored.Position, "event", stored.Name, "cause", cause)
	}
	return eventstore.Publish(ctx, tx, eventstore.TopicDeadLetters, message.NewMessage(uuid.NewString(), payload))
}

func parkedStreams(ctx context.Context, tx pgx.Tx, projection string) (map[uuid.UUID]bool, error) {
	rows, err := tx.Query(ctx, `select distinct stream from parked where projection = $1`, projection)
	if err != nil {
		return nil, fmt.Errorf("read parked streams: %w", err)
	}
	streams, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("read parked streams: %w", err)
	}
	set := make(map[uuid.UUID]bool, len(streams))
	for _, s := range streams {
		set[s] = true
	}
	return set, nil
}
