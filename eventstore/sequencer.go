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
// only when it is called. A crash anywhere here leaves the events pending, and the next owner numbers them.
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

func (s *Store) sequenceWhileLeased(ctx context.Context, me uuid.UUID, epoch int64) error {
	renewed := time.Now()
	for {
		appended := s.appended.next()
		grew, err := s.sequence(ctx, epoch)
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
func (s *Store) sequence(ctx context.Context, epoch int64) (bool, error) {
	var fenced bool
	var first, last *int64
	err := s.pool.QueryRow(ctx, `select fenced, first, last from sequence_events($1, $2)`, epoch, sequencerBatch).Scan(&fenced, &first, &last)
	if err != nil {
		return false, fmt.Errorf("sequence events: %w", err)
	}
	if fenced {
		return false, errFencedSequencer
	}
	return *last >= *first, nil
}

// yieldSequencer ends the lease on a clean stop, so that a successor need not wait for it.
func (s *Store) yieldSequencer(ctx context.Context, me uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := s.pool.Exec(ctx, `update sequencer set lease_until = '-infinity' where owner = $1`, me)
	if err != nil {
		return fmt.Errorf("yield sequencer: %w", err)
	}
	return nil
}
