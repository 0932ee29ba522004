package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// sequencerBatch bounds one numbering transaction, in appends (not events).
const sequencerBatch = 2000

var errFencedSequencer = errors.New("another sequencer took over")

// RunSequencer numbers committed events until ctx ends. Any process may run it: one holds the lease and works, the others wait for it
// to run out. The proof that nothing is skipped or turned round stands beside sequence_events in the migrations; what this loop adds is
// only when it is called. A crash anywhere here leaves the events pending, and the next owner numbers them. While it has the lease it keeps one
// connection of its own, which the pool does not count.
func (s *Store) RunSequencer(ctx context.Context) error {
	me := uuid.New()
	for ctx.Err() == nil {
		epoch, err := s.claimSequencer(ctx, me)
		if err != nil || epoch == 0 {
			if err != nil && ctx.Err() == nil {
				s.log.Warn("sequencer lease", "err", err)
			}
			sleep(ctx, s.cfg.Poll)
			continue
		}
		s.sequencing.Store(true)
		err = s.sequenceWhileLeased(ctx, me, epoch)
		s.sequencing.Store(false)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("sequencer paused", "err", err)
			sleep(ctx, min(s.cfg.Poll, 50*time.Millisecond))
		}
	}
	return s.yieldSequencer(context.WithoutCancel(ctx), me)
}

func (s *Store) claimSequencer(ctx context.Context, me uuid.UUID) (int64, error) {
	var epoch *int64
	err := s.pool.QueryRow(ctx, `select claim_sequencer($1, make_interval(secs => $2))`, me, s.cfg.Lease.Seconds()).Scan(&epoch)
	if err != nil {
		return 0, fmt.Errorf("claim sequencer: %w", err)
	}
	if epoch == nil {
		return 0, nil
	}
	return *epoch, nil
}

// sequenceWhileLeased numbers on one connection, so that it ends with the server's memory: one that crashed, or a copy that was promoted, may
// draw seqs again that were drawn before and lost, and the floor must not outlive that. A pool would hide it behind a new connection.
func (s *Store) sequenceWhileLeased(ctx context.Context, me uuid.UUID, epoch int64) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect sequencer: %w", err)
	}
	conn := pooled.Hijack() // nobody else waits for it
	defer closeConn(ctx, conn)
	renewed := time.Now()
	var f floor
	for {
		appended := s.appended.next()
		if err := f.look(ctx, conn); err != nil {
			if conn.IsClosed() || ctx.Err() != nil {
				return err
			}
			s.log.Warn("sequencer looks at everything that is pending", "err", err)
		}
		grew, err := s.sequence(ctx, conn, epoch, &f)
		if err != nil {
			return err
		}
		if grew {
			s.sequenced.ring()
			s.sequencedHere.Store(true)
			s.knock()
		}
		if time.Since(renewed) > s.cfg.Lease/3 {
			now, err := s.claimSequencer(ctx, me)
			if err != nil || now != epoch {
				return errors.Join(errFencedSequencer, err)
			}
			renewed = time.Now()
		}
		if grew {
			continue
		}
		t := time.NewTimer(min(s.cfg.Poll, s.cfg.Lease/4))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-appended:
			t.Stop()
		case <-t.C:
		}
	}
}

// sequence numbers one batch and says whether the log grew.
func (s *Store) sequence(ctx context.Context, db Querier, epoch int64, f *floor) (bool, error) {
	var fenced bool
	var first, last *int64
	var full *bool
	err := db.QueryRow(ctx, `select fenced, first, last, full_batch from sequence_events($1, $2, $3)`, epoch, sequencerBatch, f.seq).
		Scan(&fenced, &first, &last, &full)
	if err != nil {
		return false, fmt.Errorf("sequence events: %w", err)
	}
	if fenced {
		return false, errFencedSequencer
	}
	if !*full {
		f.rise()
	}
	return *last >= *first, nil
}

// floor is the seq up to which everything has a position or never will, so that the sequencer need not look there again: what it has deleted
// from pending may lie there as dead rows for as long as some transaction of the cluster stays open. It is raised to what was drawn at one
// time, once all appends that were under way then have ended and what they left was numbered.
type floor struct {
	seq    int64
	next   int64           // where it will be raised to; 0 when nobody has looked
	await  map[string]bool // the transactions that have to end first
	looked time.Time
}

// floorEvery is how often the sequencer asks what is under way.
const floorEvery = 500 * time.Millisecond

// look asks what is under way, at most every floorEvery. When it cannot know, the floor is where the log began.
func (f *floor) look(ctx context.Context, db Querier) error {
	if time.Since(f.looked) < floorEvery {
		return nil
	}
	f.looked = time.Now()
	var drawn int64
	var open []string
	if err := db.QueryRow(ctx, `select last_seq, transactions from appends_under_way()`).Scan(&drawn, &open); err != nil {
		*f = floor{looked: f.looked}
		return fmt.Errorf("ask for appends under way: %w", err)
	}
	if f.next == 0 {
		f.next, f.await = drawn, make(map[string]bool, len(open))
		for _, t := range open {
			f.await[t] = true
		}
		return nil
	}
	still := make(map[string]bool)
	for _, t := range open {
		if f.await[t] {
			still[t] = true
		}
	}
	f.await = still
	return nil
}

// rise raises the floor when nothing is awaited: call it after everything that was visible above the floor has been numbered.
func (f *floor) rise() {
	if f.next > 0 && len(f.await) == 0 {
		f.seq, f.next = f.next, 0
	}
}

// yieldSequencer ends the lease on a clean stop, so that a successor need not wait for it.
func (s *Store) yieldSequencer(ctx context.Context, me uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := s.pool.Exec(ctx, `update sequencer_lease set lease_until = '-infinity' where owner = $1`, me)
	if err != nil {
		return fmt.Errorf("yield sequencer: %w", err)
	}
	return nil
}
