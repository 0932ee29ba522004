package eventstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// These run on the tests' private server, which does not flush to disk (fsync off): they measure processor time and round trips. What starts
// cost on a durable server is measured by "tenantpilot bench".

// BenchmarkTransact appends two events to two streams per request, each caller to streams of its own.
func BenchmarkTransact(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b)
			requests := make(chan struct{})
			var working sync.WaitGroup
			for range callers {
				one, other := create(b, s), create(b, s)
				working.Go(func() {
					for range requests {
						if err := renameBoth(s, one, other); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				requests <- struct{}{}
			}
			close(requests)
			working.Wait()
			b.ReportMetric(float64(2*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func renameBoth(s *eventstore.Store, one, other uuid.UUID) error {
	request := eventstore.Request{At: at, Affinity: one}
	_, err := s.Transact(context.Background(), request, func(ctx context.Context, u *eventstore.Unit) error {
		for _, stream := range []uuid.UUID{one, other} {
			if _, _, err := eventstore.Load[domain.Tenant](ctx, u, stream); err != nil {
				return err
			}
			u.Append(stream, domain.TenantRenamed{Name: "Contoso"})
		}
		return nil
	})
	return err
}

// fill puts appends of two events each into the log by hand, without positions.
func fill(tb testing.TB, pool *pgxpool.Pool, appends int) {
	tb.Helper()
	_, err := pool.Exec(context.Background(), `
		with drawn as (
			select nextval('events_seq') as one, nextval('events_seq') as other, gen_random_uuid() as stream from generate_series(1, $1)
		), e as (
			insert into events (seq, stream, version, id, name, workspace, recorded_at, meta, payload, leaf)
			select seq, stream, version, gen_random_uuid(), 'TenantRenamed', stream, '2026-11-21', '{"actor":{"kind":"system"}}',
				'{"name":"Contoso"}', sha256('')
			from drawn, lateral (values (one, 1), (other, 2)) v (seq, version)
		)
		insert into pending (first_seq, seqs) select one, array[one, other] from drawn`, appends)
	if err != nil {
		tb.Fatal(err)
	}
}

// awaitHead waits for the sequencer.
func awaitHead(tb testing.TB, s *eventstore.Store, head int64) {
	tb.Helper()
	for {
		grown := s.Sequenced()
		got, err := s.Head(context.Background())
		if err != nil {
			tb.Fatal(err)
		}
		if got >= head {
			return
		}
		select {
		case <-grown:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// BenchmarkSequence numbers a backlog of 20,000 events in appends of two.
func BenchmarkSequence(b *testing.B) {
	const appends = 10_000
	s := eventstore.Open(pgtest.New(b).Pool(b), eventstore.Config{})
	b.Cleanup(s.Close)
	head := int64(0)
	for b.Loop() {
		b.StopTimer()
		fill(b, s.Pool(), appends)
		head += 2 * appends
		b.StartTimer()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.RunSequencer(ctx) }()
		awaitHead(b, s, head)
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(head)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkSequenceAndTree numbers the same backlog while a keeper follows, and then waits until all of it is in the tree and under a signed
// head: what the log costs with its proof.
func BenchmarkSequenceAndTree(b *testing.B) {
	const appends = 10_000
	s := eventstore.Open(pgtest.New(b).Pool(b), eventstore.Config{})
	b.Cleanup(s.Close)
	keeper := eventstore.NewTreeKeeper(s, eventstore.TreeConfig{Signer: signer{"ours"}, Every: time.Millisecond})
	head, numbering := int64(0), time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		fill(b, s.Pool(), appends)
		head += 2 * appends
		ctx, cancel := context.WithCancel(context.Background())
		sequenced, kept := make(chan error, 1), make(chan error, 1)
		b.StartTimer()
		began := time.Now()
		go func() { sequenced <- s.RunSequencer(ctx) }()
		go func() { kept <- keeper.Run(ctx) }()
		awaitHead(b, s, head)
		numbering += time.Since(began)
		if err := keeper.Sign(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
		for _, done := range []chan error{sequenced, kept} {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		if got := keeper.Status(); got.Head != head || got.OrderFaults > 0 {
			b.Fatalf("status %+v, want a head of %d", got, head)
		}
	}
	b.ReportMetric(float64(head)/numbering.Seconds(), "numbered/s")
	b.ReportMetric(float64(head)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkVerify reads a log of 100,000 events as the auditor's check does and computes their leaves.
func BenchmarkVerify(b *testing.B) {
	const events = 100_000
	s := open(b)
	fill(b, s.Pool(), events/2)
	awaitHead(b, s, events)
	tree, read := eventstore.OpenTree(s.Pool()), 0
	for b.Loop() {
		err := tree.Walk(context.Background(), 0, func(r eventstore.Row) bool {
			_ = r.Event.Leaf()
			read++
			return true
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadAfter reads pages of 1000 events.
func BenchmarkReadAfter(b *testing.B) {
	const events, page = 100_000, 1000
	s := open(b)
	fill(b, s.Pool(), events/2)
	awaitHead(b, s, events)
	position, read := int64(0), 0
	for b.Loop() {
		got, upTo, err := s.ReadAfter(context.Background(), position, page, "")
		if err != nil || len(got) != page {
			b.Fatalf("%d events after %d, %v", len(got), position, err)
		}
		read += len(got)
		position = upTo % events
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}
