package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// applier applies events for one projection and parks what cannot be applied: events that do not decode, those whose subject is parked
// already, and, found by bisection under savepoints, those that Apply refuses. What is parked is written in one statement per batch,
// so that a subject which stays parked costs the others next to nothing.
type applier struct {
	projection Projection
	log        *slog.Logger
	letters    bool // publish a dead letter for each parked event
}

// subjected is a Projection whose rows are not one per stream: events about one row are parked and come back together.
type subjected interface {
	// Subject names what an event is about; by default its stream.
	Subject(e Event) uuid.UUID
}

// parkMarker is a Projection whose rows say that they are parked.
type parkMarker interface {
	MarkParked(ctx context.Context, tx pgx.Tx, subjects []uuid.UUID, parked bool) error
}

func markParked(ctx context.Context, tx pgx.Tx, p Projection, about uuid.UUID, parked bool) error {
	if m, ok := p.(parkMarker); ok {
		return m.MarkParked(ctx, tx, []uuid.UUID{about}, parked)
	}
	return nil
}

func subject(p Projection, e Event) uuid.UUID {
	if s, ok := p.(subjected); ok && e.Data != nil {
		return s.Subject(e)
	}
	return e.Stream
}

// chooser is a Projection that says which events change it, by their present names; the others are not even decoded for it.
type chooser interface{ Concerns(event string) bool }

// concerning leaves out the events that change nothing in a projection's rows.
func concerning(p Projection, stored []eventstore.Event) []eventstore.Event {
	c, ok := p.(chooser)
	if !ok {
		return stored
	}
	kept := make([]eventstore.Event, 0, len(stored))
	for _, e := range stored {
		if c.Concerns(domain.PresentName(e.Name)) {
			kept = append(kept, e)
		}
	}
	return kept
}

// names is a set of event names.
func names(events ...domain.Event) map[string]bool {
	set := make(map[string]bool, len(events))
	for _, e := range events {
		set[e.EventName()] = true
	}
	return set
}

// decodeFor decodes the events that concern a projection.
func decodeFor(p Projection, stored []eventstore.Event) []Event {
	stored = concerning(p, stored)
	events := make([]Event, len(stored))
	for i, e := range stored {
		events[i] = decode(e)
	}
	return events
}

// decode reads a stored event's payload. One that cannot be read has no Data and says why in undecodable.
func decode(stored eventstore.Event) Event {
	data, err := stored.Decode()
	return Event{Event: stored, Data: data, undecodable: err}
}

// parking is what one batch parks.
type parking struct {
	subjects map[uuid.UUID]bool
	events   []Event
	about    []uuid.UUID
	causes   []string
}

func (p *parking) add(about uuid.UUID, e Event, cause error) {
	p.subjects[about] = true
	p.events, p.about, p.causes = append(p.events, e), append(p.about, about), append(p.causes, cause.Error())
}

var errParkedBefore = errors.New("an earlier event of the stream is parked")

// apply applies events in position order. An error is trouble of the database or a shutdown, never the events'.
func (a applier) apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	about := make(map[uuid.UUID]bool, len(events))
	for _, e := range events {
		about[subject(a.projection, e)] = true
	}
	parked, err := parkedAmong(ctx, tx, a.projection.Name(), about)
	if err != nil {
		return err
	}
	set := &parking{subjects: parked}
	if err := a.bisect(ctx, tx, events, set); err != nil {
		return err
	}
	return a.park(ctx, tx, set)
}

func (a applier) bisect(ctx context.Context, tx pgx.Tx, events []Event, set *parking) error {
	events, err := a.sift(ctx, tx, events, set)
	if err != nil || len(events) == 0 {
		return err
	}
	err = attempt(ctx, a.projection, tx, events)
	switch {
	case err == nil || isTrouble(ctx, err):
		return err
	case len(events) == 1:
		return a.set(ctx, tx, events[0], err, set)
	}
	half := len(events) / 2
	if err := a.bisect(ctx, tx, events[:half], set); err != nil {
		return err
	}
	return a.bisect(ctx, tx, events[half:], set)
}

// set sets aside the first event of a subject that cannot be applied.
func (a applier) set(ctx context.Context, tx pgx.Tx, e Event, cause error, set *parking) error {
	a.log.Error("event parked", "projection", a.projection.Name(), "position", e.Position, "event", e.Name, "cause", cause)
	about := subject(a.projection, e)
	set.add(about, e, cause)
	return markParked(ctx, tx, a.projection, about, true)
}

// sift takes out what need not be tried.
func (a applier) sift(ctx context.Context, tx pgx.Tx, events []Event, set *parking) ([]Event, error) {
	kept := make([]Event, 0, len(events))
	for _, e := range events {
		about := subject(a.projection, e)
		switch {
		case set.subjects[about]:
			set.add(about, e, errParkedBefore)
		case e.undecodable != nil:
			if err := a.set(ctx, tx, e, e.undecodable, set); err != nil {
				return nil, err
			}
		default:
			kept = append(kept, e)
		}
	}
	return kept, nil
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

// park records the events that could not be applied and publishes dead letters, both in the transaction that moves past them.
func (a applier) park(ctx context.Context, tx pgx.Tx, set *parking) error {
	if len(set.events) == 0 {
		return nil
	}
	positions := make([]int64, len(set.events))
	letters := make([]*message.Message, len(set.events))
	for i, e := range set.events {
		positions[i] = e.Position
		payload, err := json.Marshal(map[string]any{
			"projection": a.projection.Name(), "position": e.Position, "stream": set.about[i], "event": e.Name, "cause": set.causes[i],
		})
		if err != nil {
			return fmt.Errorf("park event %d: %w", e.Position, err)
		}
		letters[i] = message.NewMessage(uuid.NewString(), payload)
	}
	_, err := tx.Exec(ctx, `insert into parked (projection, stream, position, cause)
		select $1, s, p, c from unnest($2::uuid[], $3::bigint[], $4::text[]) as u (s, p, c) on conflict do nothing`,
		a.projection.Name(), arrayOf(set.about), positions, set.causes)
	if err != nil {
		return fmt.Errorf("park %d events from %d on: %w", len(positions), positions[0], err)
	}
	if !a.letters {
		return nil
	}
	return eventstore.Publish(ctx, tx, eventstore.TopicDeadLetters, letters...)
}

// parkedAmong finds which of the subjects are parked; one probe each, however many events of one are parked.
func parkedAmong(ctx context.Context, tx pgx.Tx, projection string, about map[uuid.UUID]bool) (map[uuid.UUID]bool, error) {
	list := make([]uuid.UUID, 0, len(about))
	for s := range about {
		list = append(list, s)
	}
	rows, err := tx.Query(ctx, `select s from unnest($2::uuid[]) s where exists (select from parked where projection = $1)
		and exists (select from parked p where p.projection = $1 and p.stream = s)`, projection, arrayOf(list))
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
