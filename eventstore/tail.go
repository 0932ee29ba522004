package eventstore

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// tailSize is how many of the newest events are kept for those that follow the log.
const tailSize = 1000

// tail is the newest events that this process has read, without gaps, so that many consumers which stand near the end cost one read.
// Numbered events never change while the server keeps what it has acknowledged; listen forgets all of it when the server may be another.
type tail struct {
	mu     sync.Mutex
	events []Event
}

// readAfter reads up to limit events after a position. Those that look for what comes after the tail wait for each other: the first brings it
// for all.
func (s *Store) readAfter(ctx context.Context, after int64, limit int) ([]Event, error) {
	t := &s.tail
	t.mu.Lock()
	n := len(t.events)
	if n > 0 && after == t.events[n-1].Position {
		defer t.mu.Unlock()
		events, err := s.queryAfter(ctx, after, limit)
		if err == nil {
			t.keep(events, limit)
		}
		return events, err
	}
	if n > 0 && after >= t.events[0].Position-1 && after < t.events[n-1].Position {
		defer t.mu.Unlock()
		found := t.events[after+1-t.events[0].Position:]
		return slices.Clone(found[:min(limit, len(found))]), nil
	}
	t.mu.Unlock()
	events, err := s.queryAfter(ctx, after, limit)
	if err == nil {
		t.mu.Lock()
		t.keep(events, limit)
		t.mu.Unlock()
	}
	return events, err
}

// keep takes what was read if it reaches to the end of the log and beyond what is kept.
func (t *tail) keep(events []Event, limit int) {
	n := len(t.events)
	if len(events) == 0 || len(events) == limit || n > 0 && t.events[n-1].Position >= events[len(events)-1].Position {
		return
	}
	if n > 0 && t.events[n-1].Position != events[0].Position-1 {
		t.events = nil
	}
	t.events = append(t.events, events...)
	if drop := len(t.events) - tailSize; drop > 0 {
		t.events = slices.Clone(t.events[drop:])
	}
}

// forget drops what is kept.
func (t *tail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = nil
}

// queryAfter looks every event up by its key: in a database that is so young that nothing is known about it, a plan made for an empty table
// would go on reading all of it.
func (s *Store) queryAfter(ctx context.Context, after int64, limit int) ([]Event, error) {
	rows, err := s.pool.Query(ctx, `select l.position, `+eventColumns+`
		from (select position, seq from log where position > $1 order by position limit $2) l
		cross join lateral (select * from events where seq = l.seq offset 0) e order by l.position`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read log after %d: %w", after, err)
	}
	events, err := pgx.CollectRows(rows, scanEvent(true))
	if err != nil {
		return nil, fmt.Errorf("read log after %d: %w", after, err)
	}
	return events, nil
}
