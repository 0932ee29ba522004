package projections

import (
	"context"
	"fmt"
	"hash/fnv"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"tenantpilot/eventstore"
)

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// segment is a stretch of the log, decoded and dealt out to the shards.
type segment struct {
	upTo   int64
	events [][]Event // per shard
}

// build brings every shard to the target position: one connection reads ahead, one per shard writes.
func (b *rebuild) build(ctx context.Context, target int64) error {
	after := slices.Min(b.shards)
	if after >= target {
		return nil
	}
	_, err := b.control.Exec(ctx, `update public.rebuilds set target = $2, updated_at = clock_timestamp() where id = $1`, b.id, target)
	if err != nil {
		return fmt.Errorf("record target: %w", err)
	}
	phase := "building"
	if b.state != "building" {
		phase = "catching up"
	}
	g, ctx := errgroup.WithContext(ctx)
	read := make(chan []eventstore.Event, 1)
	g.Go(func() error {
		defer close(read)
		return b.read(ctx, after, target, read)
	})
	shards := make([]chan segment, len(b.shards))
	for i := range shards {
		shards[i] = make(chan segment, 1)
		g.Go(func() error { return b.writeShard(ctx, i, shards[i]) })
	}
	g.Go(func() error {
		defer func() {
			for _, s := range shards {
				close(s)
			}
		}()
		for stored := range read {
			s := b.deal(stored)
			for i := range shards {
				select {
				case shards[i] <- s:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			b.result.Events += int64(len(stored))
			b.report(phase, s.upTo, target)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("%s: %w", phase, err)
	}
	return nil
}

func (b *rebuild) read(ctx context.Context, after, target int64, out chan<- []eventstore.Event) error {
	conn, err := pgx.ConnectConfig(ctx, b.config)
	if err != nil {
		return fmt.Errorf("connect reader: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for after < target {
		upTo := min(target, after+int64(b.Segment))
		events, err := eventstore.Scan(ctx, conn, after, upTo)
		if err != nil {
			return err
		}
		if n := int64(len(events)); n != upTo-after {
			return fmt.Errorf("the log has %d events in positions %d to %d", n, after+1, upTo)
		}
		select {
		case out <- events:
		case <-ctx.Done():
			return ctx.Err()
		}
		after = upTo
	}
	return nil
}

// deal decodes a stretch of the log on all processors and deals it out, in order.
func (b *rebuild) deal(stored []eventstore.Event) segment {
	s := segment{upTo: stored[len(stored)-1].Position, events: make([][]Event, len(b.shards))}
	stored = concerning(b.model, stored)
	events := make([]Event, len(stored))
	workers := runtime.GOMAXPROCS(0)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w * len(stored) / workers; i < (w+1)*len(stored)/workers; i++ {
				events[i] = decode(stored[i])
			}
		})
	}
	wait.Wait()
	for _, e := range events {
		i := shardOf(e, len(b.shards))
		s.events[i] = append(s.events[i], e)
	}
	return s
}

// shardOf keeps all events of a row in one shard: no row spans tenants.
func shardOf(e Event, shards int) int {
	key := e.Tenant
	if key == uuid.Nil {
		key = e.Workspace
	}
	h := fnv.New32a()
	_, _ = h.Write(key[:])
	return int(h.Sum32() % uint32(shards)) //nolint:gosec // at most 8
}

// writeShard applies its part of each segment in the transaction that moves its position.
func (b *rebuild) writeShard(ctx context.Context, shard int, in <-chan segment) error {
	conn, err := pgx.ConnectConfig(ctx, b.config)
	if err != nil {
		return fmt.Errorf("connect shard %d: %w", shard+1, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// A lost commit is a lost rows and position both: it is done again.
	if _, err := conn.Exec(ctx, `set synchronous_commit = off`); err != nil {
		return fmt.Errorf("shard %d: %w", shard+1, err)
	}
	for s := range in {
		events := s.events[shard]
		for len(events) > 0 && events[0].Position <= b.shards[shard] {
			events = events[1:]
		}
		if s.upTo <= b.shards[shard] {
			continue
		}
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := b.apply(ctx, tx, events); err != nil {
				return err
			}
			if err := b.ledger(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `update public.rebuild_shards set position = $3 where rebuild = $1 and shard = $2`, b.id, shard+1, s.upTo)
			return err
		})
		if err != nil {
			return fmt.Errorf("shard %d up to %d: %w", shard+1, s.upTo, err)
		}
		b.shards[shard] = s.upTo
	}
	return ctx.Err()
}

// apply applies events to the shadow. What cannot be applied is parked in the shadow; nobody gets a letter about it.
func (b *rebuild) apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	return applier{projection: b.model, log: b.Log}.apply(ctx, tx, events)
}

// ledger counts the rows that the transaction has written outside the shadow and the rebuild's own bookkeeping. Any is an error.
func (b *rebuild) ledger(ctx context.Context, tx pgx.Tx) error {
	var n int64
	var where string
	err := tx.QueryRow(ctx, `select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint,
			coalesce(string_agg(relname, ', ') filter (where n_tup_ins + n_tup_upd + n_tup_del > 0), '')
		from pg_stat_xact_user_tables where schemaname <> $1 and not (schemaname = 'public' and relname in ('rebuilds', 'rebuild_shards'))`,
		b.schema).Scan(&n, &where)
	switch {
	case err != nil:
		return fmt.Errorf("read ledger: %w", err)
	case n > 0:
		return fmt.Errorf("%w: %d rows of %s", ErrSideEffect, n, where)
	}
	return nil
}

// index adds what the shadow went without while it was filled: everything but primary keys.
func (b *rebuild) index(ctx context.Context) error {
	position := slices.Min(b.shards)
	b.report("indexing", position, position)
	began := time.Now()
	if err := b.addIndexes(ctx); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	err := pgx.BeginFunc(ctx, b.control, func(tx pgx.Tx) error {
		if err := b.complete(ctx, tx); err != nil {
			return err
		}
		return b.enter(ctx, tx, "comparing", "")
	})
	if err != nil {
		b.state = "building"
		return fmt.Errorf("index: %w", err)
	}
	b.Log.Info("rebuild indexed", "projection", b.model.Name(), "took", time.Since(began))
	return nil
}
