package projections

import (
	"cmp"
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
)

// querier is what queries need of a pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

type sightKey struct{}

// WithSight says on whose behalf a console reader reads: it finds rows of the actor's workspace and nothing else, or for platform people
// those of the system plane.
func WithSight(ctx context.Context, actor domain.Actor) context.Context {
	return context.WithValue(ctx, sightKey{}, actor)
}

// NewConsoleReader makes a reader behind the second wall: each statement runs as tenantpilot_console, whose row security shows the workspace of
// WithSight only, and lets its person change what is their own. Without WithSight it finds nothing.
func NewConsoleReader(pool *pgxpool.Pool) Reader { return Reader{walled{pool}} }

// walled runs each statement in a transaction of its own, together with the one that says what may be seen: one round trip.
type walled struct{ *pgxpool.Pool }

// send sends a statement; what it answers is the next result.
func (w walled) send(ctx context.Context, sql string, args ...any) (pgx.BatchResults, error) {
	workspace, person, plane := "", "", ""
	if actor, ok := ctx.Value(sightKey{}).(domain.Actor); ok {
		if sees := sight(actor); sees != uuid.Nil {
			workspace = sees.String()
		}
		if actor.Ref.Personal() {
			person = actor.Ref.ID.String()
		}
		if actor.Platform {
			plane = "system"
		}
	}
	var b pgx.Batch
	b.Queue(`select set_config('role', 'tenantpilot_console', true), set_config('tenantpilot.workspace', $1, true),
		set_config('tenantpilot.person', $2, true), set_config('tenantpilot.plane', $3, true)`, workspace, person, plane)
	b.Queue(sql, args...)
	results := w.SendBatch(ctx, &b)
	if _, err := results.Exec(); err != nil {
		_ = results.Close()
		return nil, err
	}
	return results, nil
}

func (w walled) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results, err := w.send(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return walledRows{rows, results}, nil
}

// Exec has written when it returns no error, and nothing otherwise, unless the connection was lost meanwhile.
func (w walled) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	results, err := w.send(ctx, sql, args...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := results.Exec()
	return tag, cmp.Or(err, results.Close()) // closing commits
}

func (w walled) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := w.Query(ctx, sql, args...)
	return walledRow{rows, err}
}

type walledRows struct {
	pgx.Rows
	results pgx.BatchResults
}

// Close also ends the transaction and gives the connection back.
func (r walledRows) Close() {
	r.Rows.Close()
	_ = r.results.Close() // what went wrong is in Err
}

type walledRow struct {
	rows pgx.Rows
	err  error
}

// Scan implements pgx.Row.
func (r walledRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
