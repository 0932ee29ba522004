package projections

import (
	"context"
	"fmt"
	"time"
)

// Await waits until the named projections have applied an append (its receipt's Seq), at most for d. It says whether they have: a page
// after one's own write shows it, or says that it is still on its way.
func Await(ctx context.Context, pool querier, seq int64, d time.Duration, projections ...Projection) (bool, error) {
	if seq == 0 {
		return true, nil
	}
	names := namesOf(projections)
	const passed = `select count(*) = $3 from checkpoints c, log l
		where l.seq = $1 and c.projection = any($2) and c.position >= l.position`
	deadline := time.Now().Add(d)
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		var ok bool
		if err := pool.QueryRow(ctx, passed, seq, names, len(names)).Scan(&ok); err != nil {
			return false, fmt.Errorf("await projections: %w", err)
		}
		if ok || time.Now().After(deadline) {
			return ok, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func namesOf(projections []Projection) []string {
	names := make([]string, len(projections))
	for i, p := range projections {
		names[i] = p.Name()
	}
	return names
}

// newestSeq is what to Await for all that is in the log now, what has no position yet included; 0 for an empty log. Positions are given in the
// order of seq: when the newest has one, so have the others.
func newestSeq(ctx context.Context, pool querier) (seq int64, err error) {
	err = pool.QueryRow(ctx, `select coalesce((select max(u) from pending, unnest(seqs) u), (select seq from log order by position desc limit 1), 0)`).Scan(&seq)
	if err != nil {
		return 0, fmt.Errorf("find newest event: %w", err)
	}
	return seq, nil
}

// Lag is how far one projection is behind the log.
type Lag struct {
	Projection string
	Version    int // of what its tables hold
	Position   int64
	Behind     int64 // events
	Parked     int64 // events set aside because they could not be applied
}

// Lags reads how far each projection is behind.
func Lags(ctx context.Context, pool querier) ([]Lag, error) {
	rows, err := pool.Query(ctx, `
		select c.projection, c.version, c.position, greatest(0, s.head - c.position), (select count(*) from parked p where p.projection = c.projection)
		from checkpoints c, sequencer s order by c.projection`)
	if err != nil {
		return nil, fmt.Errorf("read projection lag: %w", err)
	}
	return collect[Lag](rows, "read projection lag")
}
