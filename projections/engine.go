// Package projections keeps the tables that pages and workers read, and has their queries. One file is one read model.
//
// A projection moves rows and decides nothing: no network, no clock, no side effects, so it can be run again from position 0 at any time.
// Each projection follows the log on its own (Engine): a batch of events is applied in the transaction that moves the projection's
// checkpoint, so effects are exactly-once. An event that cannot be applied parks its stream for that projection; others move on.
package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Event is a stored event with its decoded payload.
type Event struct {
	eventstore.Event
	Data domain.Event

	undecodable error
}

// Projection turns events into rows.
type Projection interface {
	// Name and Version identify the checkpoint. A changed meaning of the rows is another version.
	Name() string
	Version() int
	// Apply writes what the events say, in position order, in few statements for the whole batch. Applying an event twice changes nothing.
	Apply(ctx context.Context, tx pgx.Tx, events []Event) error
}

// ReadModel is a projection of which nothing is left but its rows: they can be made again from the log (Rebuild). The others are process
// managers, whose effects must not be repeated.
type ReadModel interface {
	Projection
	// Tables lists the tables that Apply keeps and nothing else writes. Their shape belongs to the migrations, what is in them to Version.
	Tables() []string
	// Changes says what this version means to have changed since the one before: table to columns, or "*" for all of its rows. A rebuild
	// whose rows differ from the old ones elsewhere is not let in.
	Changes() map[string][]string
}

// All lists the read models and process managers that a running product needs.
func All() []Projection {
	return []Projection{
		Runs{},
		Attempts{},
		Connections{},
		Tenants{},
		Members{},
		Work{},
		Directory{},
		ReservationList{},
		Audit{},
		Notifier{},
		AttemptReplays{},
		OnboardingList{},
	}
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
		cfg := eventstore.SubscriberConfig{Group: p.Name(), Version: p.Version()}
		if c, ok := p.(chooser); ok {
			cfg.Concerns = c.Concerns
		}
		sub, err := eventstore.NewSubscriber(store, cfg)
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
	return applier{projection: p, log: e.log, letters: true}.apply(msg.Context(), batch.Tx, decodeFor(p, batch.Events))
}
