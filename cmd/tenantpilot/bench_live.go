package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// benchLive is one measurement with everything running that a console process runs.
type benchLive struct {
	Callers int `json:"callers"`
	benchMeasure
	// Readable is the time from an accepted start's answer until the log shows its event, Shown until the runs table does.
	ReadableP50 time.Duration `json:"readableP50"`
	ReadableP99 time.Duration `json:"readableP99"`
	ShownP50    time.Duration `json:"shownP50"`
	ShownP99    time.Duration `json:"shownP99"`
}

// measureLive measures accepted starts while the log is numbered and the projections follow it.
func (b *bench) measureLive(ctx context.Context) (l *benchLive, err error) {
	err = b.withLog(ctx, func(ctx context.Context) (err error) {
		l, err = b.liveCell(ctx)
		return err
	})
	return l, err
}

// withLog does something with sequencer and projections running.
func (b *bench) withLog(ctx context.Context, do func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	g, running := errgroup.WithContext(running)
	g.Go(func() error { return b.runLog(running) })
	err := do(running)
	stop()
	if ended := g.Wait(); !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return err
}

func (b *bench) liveCell(ctx context.Context) (*benchLive, error) {
	if err := b.catchUp(ctx); err != nil {
		return nil, err
	}
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	l := &benchLive{Callers: min(8, b.options.connections)}
	watch := newBenchWatch(b)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	g, watching := errgroup.WithContext(watching)
	g.Go(func() error { return watch.follow(watching) })
	m, err := b.accept(ctx, l.Callers, time.Duration(b.options.seconds)*time.Second, func(ctx context.Context, connection int64) error {
		r, err := b.start(ctx, connection, domain.OpGroupsSync, domain.Accepted)
		watch.answered(r.Attempt, r.Seq)
		return err
	})
	if err == nil {
		err = b.catchUp(ctx)
	}
	stop()
	if followed := g.Wait(); !errors.Is(followed, context.Canceled) {
		err = errors.Join(err, followed)
	}
	l.benchMeasure = m
	l.ReadableP50, l.ReadableP99 = benchQuantiles(watch.readable)
	l.ShownP50, l.ShownP99 = benchQuantiles(watch.shown)
	return l, err
}

// catchUp waits until everything appended so far has a position and every projection has it.
func (b *bench) catchUp(ctx context.Context) error {
	for {
		var pending bool
		if err := b.pool.QueryRow(ctx, `select exists (select from pending)`).Scan(&pending); err != nil {
			return fmt.Errorf("read pending: %w", err)
		}
		lags, err := projections.Lags(ctx, b.pool)
		if err != nil {
			return err
		}
		behind := len(lags) < len(projections.All()) || pending
		for _, lag := range lags {
			behind = behind || lag.Behind > 0
		}
		if !behind {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// benchWatch follows the log as a reader does, and asks the runs table about a sample of the starts.
type benchWatch struct {
	b        *bench
	mu       sync.Mutex
	at       map[uuid.UUID]time.Time // when an attempt was answered
	seen     map[uuid.UUID]time.Time // when the log showed it
	n        int
	readable []time.Duration
	shown    []time.Duration
}

func newBenchWatch(b *bench) *benchWatch {
	return &benchWatch{b: b, at: map[uuid.UUID]time.Time{}, seen: map[uuid.UUID]time.Time{}}
}

// shownSample is how many starts share one look at the runs table: each look costs queries, which the starts would feel.
const shownSample = 50

func (w *benchWatch) answered(attempt uuid.UUID, seq int64) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	if seen, ok := w.seen[attempt]; ok { // the log was quicker than the answer
		w.readable = append(w.readable, max(0, seen.Sub(now)))
		delete(w.seen, attempt)
	} else {
		w.at[attempt] = now
	}
	if w.n%shownSample != 0 {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if ok, err := projections.Await(ctx, w.b.pool, seq, 10*time.Second, projections.Runs{}); err == nil && ok {
			took := time.Since(now)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.shown = append(w.shown, took)
		}
	}()
}

func (w *benchWatch) follow(ctx context.Context) error {
	position, err := w.b.store.Head(ctx)
	for err == nil {
		grown := w.b.store.Sequenced()
		events, upTo, readErr := w.b.store.ReadAfter(ctx, position, 1000, "")
		if err = readErr; err != nil {
			break
		}
		position = upTo
		now := time.Now()
		w.mu.Lock()
		for _, e := range events {
			data, decodeErr := e.Decode()
			accepted, ok := data.(domain.RunAccepted)
			if decodeErr != nil || !ok {
				continue
			}
			if at, ok := w.at[accepted.Attempt]; ok {
				w.readable = append(w.readable, now.Sub(at))
				delete(w.at, accepted.Attempt)
			} else {
				w.seen[accepted.Attempt] = now
			}
		}
		w.mu.Unlock()
		if len(events) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-grown:
		case <-time.After(250 * time.Millisecond):
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
