package eventstore

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// bell wakes everybody who waits, once per ring. A ring that nobody waits for is lost, which is why every waiter takes the channel
// before it looks, and has a timer as its floor.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

func newBell() *bell { return &bell{ch: make(chan struct{})} }

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}

// The notification channels between processes: an append happened, the log has grown, messages were published.
const (
	channelAppended  = "tenantpilot_appended"
	channelSequenced = "tenantpilot_sequenced"
	channelPublished = "tenantpilot_published"
)

// listen holds the process's one LISTEN connection and turns notifications into rings. While it reconnects, timers carry on.
func (s *Store) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.listenOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("event log listener reconnects", "err", err)
			sleep(ctx, s.cfg.Poll)
		}
	}
}

func (s *Store) listenOnce(ctx context.Context) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack() // a connection that listens must never go back into the pool
	defer closeConn(ctx, conn)
	for _, channel := range []string{channelAppended, channelSequenced, channelPublished} {
		if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
			return err
		}
	}
	// The server that answers now may be a copy that was promoted and lacks the newest events: what was read from the former one is not
	// to be trusted, and numbers are given again.
	s.tail.forget()
	s.cache.forget()
	s.appended.ring()
	s.sequenced.ring()
	s.published.ring()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		switch n.Channel {
		case channelAppended:
			s.appended.ring()
		case channelSequenced:
			s.sequenced.ring()
		case channelPublished:
			s.published.ring()
		}
	}
}

// ringOthers tells other processes what this one did: appended, made the log grow, or published. At most one NOTIFY per channel and 3 ms, after the
// commit and outside its transaction (a NOTIFY inside would make commits wait for each other), on a connection of its own that does not
// wait for the disk. A lost notification costs a reader one poll interval.
func (s *Store) ringOthers(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.ringOthersOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("event log doorbell reconnects", "err", err)
			sleep(ctx, s.cfg.Poll)
		}
	}
}

func (s *Store) ringOthersOnce(ctx context.Context) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack() // its settings must never go back into the pool
	defer closeConn(ctx, conn)
	if _, err := conn.Exec(ctx, `set synchronous_commit = off`); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.doorbell:
		}
		var channels []string
		if s.appendedHere.Swap(false) && !s.sequencing.Load() {
			channels = append(channels, channelAppended)
		}
		if s.sequencedHere.Swap(false) {
			channels = append(channels, channelSequenced)
		}
		if s.publishedHere.Swap(false) {
			channels = append(channels, channelPublished)
		}
		if _, err := conn.Exec(ctx, `select pg_notify(c, '') from unnest($1::text[]) c`, channels); err != nil {
			return err
		}
		sleep(ctx, 3*time.Millisecond)
	}
}

// knock asks for the doorbell without waiting for it.
func (s *Store) knock() {
	select {
	case s.doorbell <- struct{}{}:
	default:
	}
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(closing)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
