package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// ParkedStream is a stream that a projection has set aside: its first event that could not be applied, and how many wait behind it.
type ParkedStream struct {
	Projection string
	Stream     uuid.UUID
	Position   int64  // of the first parked event
	Event      string // its name
	Cause      string
	Attempts   int
	ParkedAt   time.Time
	TriedAt    time.Time
	Events     int64 // parked events of the stream
}

// Parked lists the parked streams, the oldest first, at most limit.
func Parked(ctx context.Context, pool *pgxpool.Pool, limit int) ([]ParkedStream, error) {
	rows, err := pool.Query(ctx, `
		select p.projection, p.stream, p.position, coalesce(e.name, ''), p.cause, p.attempts, p.parked_at, p.tried_at, s.n
		from (select projection, stream, min(position) as position, count(*) as n from parked group by 1, 2 order by 3 limit $1) s
		join parked p using (projection, position)
		left join log l using (position) left join events e using (seq) order by p.position, p.projection`, limit)
	if err != nil {
		return nil, fmt.Errorf("list parked streams: %w", err)
	}
	return collect[ParkedStream](rows, "list parked streams")
}

// Retried is what became of a projection's parked events.
type Retried struct {
	Applied int // events, in order within their streams
	Streams int // parked streams that are whole again
	Left    int // streams that stay parked
}

// ErrOtherVersion says that a projection's tables hold another version than this program's.
var ErrOtherVersion = errors.New("its tables hold another version than this program's: rebuild it")

// retryBatch bounds one transaction of Retry.
const retryBatch = 1000

// Retry applies a projection's parked events again, each stream in log order, while the engine waits at its checkpoint. A stream whose
// first event still cannot be applied stays parked with the new cause; the others go on. An event leaves "parked" for "unparked"
// only in the transaction that applied it, so Retry can be interrupted and repeated at any time.
func Retry(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, p Projection) (Retried, error) {
	var done Retried
	rows, err := pool.Query(ctx, `select stream from parked where projection = $1 group by 1 order by min(position)`, p.Name())
	if err != nil {
		return done, fmt.Errorf("list parked streams of %s: %w", p.Name(), err)
	}
	streams, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return done, fmt.Errorf("list parked streams of %s: %w", p.Name(), err)
	}
	for _, stream := range streams {
		whole, n, err := retryStream(ctx, pool, p, stream)
		done.Applied += n
		if err != nil {
			return done, fmt.Errorf("retry stream %s of %s: %w", stream, p.Name(), err)
		}
		if log.Info("parked stream retried", "projection", p.Name(), "stream", stream, "applied", n, "whole", whole); whole {
			done.Streams++
		} else {
			done.Left++
		}
	}
	return done, nil
}

// retryStream says whether the stream is whole again, and how many of its events were applied.
func retryStream(ctx context.Context, pool *pgxpool.Pool, p Projection, stream uuid.UUID) (whole bool, applied int, err error) {
	for {
		var n, left int
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			var err error
			n, left, err = retryOnce(ctx, tx, p, stream)
			return err
		})
		if err != nil {
			return false, applied, err
		}
		applied += n
		if left > 0 || n < retryBatch {
			return left == 0, applied, nil
		}
	}
}

// retryOnce applies the stream's next parked events and says how many it applied and how many of those it read it did not.
func retryOnce(ctx context.Context, tx pgx.Tx, p Projection, stream uuid.UUID) (applied, left int, err error) {
	if err := holdCheckpoint(ctx, tx, p); err != nil {
		return 0, 0, err
	}
	events, err := readParked(ctx, tx, p.Name(), stream)
	if err != nil {
		return 0, 0, err
	}
	if len(events) == 0 {
		return 0, 0, markParked(ctx, tx, p, stream, false)
	}
	applied, cause := retryEvents(ctx, tx, p, events)
	if cause != nil && isTrouble(ctx, cause) {
		return 0, 0, cause
	}
	positions := make([]int64, applied)
	for i := range positions {
		positions[i] = events[i].Position
	}
	if err := unpark(ctx, tx, p.Name(), positions, "retry"); err != nil {
		return 0, 0, err
	}
	if cause == nil {
		if applied < retryBatch {
			err = markParked(ctx, tx, p, stream, false)
		}
		return applied, 0, err
	}
	_, err = tx.Exec(ctx, `update parked set cause = $3, attempts = attempts + 1, tried_at = clock_timestamp()
		where projection = $1 and position = $2`, p.Name(), events[applied].Position, cause.Error())
	if err != nil {
		return 0, 0, fmt.Errorf("record attempt: %w", err)
	}
	return applied, len(events) - applied, nil
}

// retryEvents applies all events at once, or, when that fails, one by one up to the first that fails.
func retryEvents(ctx context.Context, tx pgx.Tx, p Projection, events []Event) (applied int, cause error) {
	for _, e := range events {
		if e.undecodable != nil {
			cause = e.undecodable
		}
	}
	if cause == nil {
		if cause = attempt(ctx, p, tx, events); cause == nil {
			return len(events), nil
		}
	}
	for i, e := range events {
		if e.undecodable != nil {
			return i, e.undecodable
		}
		if err := attempt(ctx, p, tx, []Event{e}); err != nil {
			return i, err
		}
	}
	return len(events), nil
}

// holdCheckpoint keeps the engine from moving the projection until tx ends.
func holdCheckpoint(ctx context.Context, tx pgx.Tx, p Projection) error {
	var version int
	err := tx.QueryRow(ctx, `select version from followers where projection = $1 for update`, p.Name()).Scan(&version)
	if err != nil {
		return fmt.Errorf("hold checkpoint of %s: %w", p.Name(), err)
	}
	if version != p.Version() {
		return ErrOtherVersion
	}
	return nil
}

func readParked(ctx context.Context, tx pgx.Tx, projection string, stream uuid.UUID) ([]Event, error) {
	stored, err := eventstore.ReadPositions(ctx, tx, `select position from parked where projection = $1 and stream = $2 order by position limit $3`,
		projection, stream, retryBatch)
	if err != nil {
		return nil, err
	}
	events := make([]Event, len(stored))
	for i, e := range stored {
		events[i] = decode(e)
	}
	return events, nil
}

// unpark moves applied events to the trace of what had been parked.
func unpark(ctx context.Context, tx pgx.Tx, projection string, positions []int64, by string) error {
	if len(positions) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `with gone as (delete from parked where projection = $1 and position = any($2) returning *)
		insert into unparked (projection, stream, position, cause, parked_at, attempts, applied_by)
		select projection, stream, position, cause, parked_at, attempts, $3 from gone`, projection, positions, by)
	if err != nil {
		return fmt.Errorf("unpark events: %w", err)
	}
	return nil
}

// SetAside is how many events that an actor sees could not be applied to some read models, or to any: what is made from these may lack them.
func (r Reader) SetAside(ctx context.Context, actor domain.Actor, of ...Projection) (int, error) {
	q := &query{}
	q.sees("e", actor)
	return r.setAside(ctx, q, of)
}

func (r Reader) setAside(ctx context.Context, q *query, of []Projection) (int, error) {
	if len(of) > 0 {
		q.and(`p.projection = any(` + q.arg(namesOf(of)) + `)`)
	}
	var n int
	err := r.pool.QueryRow(ctx, `select count(distinct p.position) from parked p join log l using (position) join events e using (seq)
		where `+q.String(), q.args...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count parked events: %w", err)
	}
	return n, nil
}
