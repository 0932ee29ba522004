package projections_test

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// BenchmarkCommitToReadable appends 1,000 events a second and measures, for each, how long after its append was answered every read model had
// it; alone, and beside a transaction in another database of the cluster that has written and stays idle the whole time. Seconds:
// TENANTPILOT_BENCH_SECONDS, default 10.
func BenchmarkCommitToReadable(b *testing.B) {
	seconds, err := strconv.Atoi(cmp.Or(os.Getenv("TENANTPILOT_BENCH_SECONDS"), "10"))
	must(b, err)
	for _, name := range []string{"quiet", "idle writer"} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b)
			if name == "idle writer" {
				idleWriter(b)
			}
			for b.Loop() {
				latencies := f.paced(b, 1000, time.Duration(seconds)*time.Second)
				slices.Sort(latencies)
				at := func(q float64) float64 {
					return float64(latencies[int(q*float64(len(latencies)-1))].Microseconds()) / 1000
				}
				b.ReportMetric(at(0.5), "p50-ms")
				b.ReportMetric(at(0.99), "p99-ms")
				b.ReportMetric(at(1), "max-ms")
				b.ReportMetric(float64(len(latencies))/float64(seconds), "events/s")
			}
		})
	}
}

// idleWriter holds a transaction that has written, in another database of the same cluster, until the benchmark ends.
func idleWriter(b *testing.B) {
	conn, err := pgx.Connect(b.Context(), pgtest.New(b).OwnerURL)
	must(b, err)
	tx, err := conn.Begin(b.Context())
	must(b, err)
	_, err = tx.Exec(b.Context(), `create table idle (n integer); insert into idle values (1)`)
	must(b, err)
	b.Cleanup(func() {
		_ = tx.Rollback(context.Background())
		_ = conn.Close(context.Background())
	})
}

// paced renames tenants at a steady rate and answers how long each event took to be readable everywhere.
func (f *fixture) paced(b *testing.B, rate int, length time.Duration) []time.Duration {
	b.Helper()
	ctx := b.Context()
	streams := make([]uuid.UUID, 64)
	for i := range streams {
		external := uuid.New()
		streams[i] = domain.TenantStream(f.workspace, external)
		_, err := f.store.Transact(ctx, eventstore.Request{Workspace: f.workspace, At: time.Now(), Hash: []byte{}},
			func(_ context.Context, u *eventstore.Unit) error {
				u.Append(streams[i], domain.TenantRegistered{
					Tenant: streams[i], Number: time.Now().UnixNano()%1e9 + int64(i), Workspace: f.workspace, ExternalID: external, Name: "T",
				})
				return nil
			})
		must(b, err)
	}
	type answered struct {
		seq int64
		at  time.Time
	}
	var mu sync.Mutex
	var open []answered
	var latencies []time.Duration
	see := func(upTo int64) (left int) {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		open = slices.DeleteFunc(open, func(a answered) bool {
			if a.seq <= upTo {
				latencies = append(latencies, now.Sub(a.at))
			}
			return a.seq <= upTo
		})
		return len(open)
	}
	look := func() int64 {
		var seq int64
		must(b, f.pool.QueryRow(ctx, `select coalesce(max(l.seq), 0) from log l, (select min(position) as p from checkpoints) c
			where l.position between c.p - 64 and c.p`).Scan(&seq))
		return seq
	}
	stop := make(chan struct{})
	var looking, appending sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond): // looking all the time would take what it measures from the projections
				see(look())
			}
		}
	})
	const every = 8 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	n := 0
	for begin := time.Now(); time.Since(begin) < length; {
		<-tick.C
		for due := int(time.Since(begin).Seconds() * float64(rate)); n < due; n++ {
			stream, name := streams[n%len(streams)], "T"+strconv.Itoa(n)
			appending.Go(func() {
				r, err := f.store.Transact(ctx, eventstore.Request{Affinity: stream, Workspace: f.workspace, At: time.Now(), Hash: []byte{}},
					func(ctx context.Context, u *eventstore.Unit) error {
						if _, _, err := eventstore.Load[domain.Tenant](ctx, u, stream); err != nil {
							return err
						}
						u.Append(stream, domain.TenantRenamed{Name: name})
						return nil
					})
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				open = append(open, answered{r.Seq, time.Now()})
				mu.Unlock()
			})
		}
	}
	appending.Wait()
	for deadline := time.Now().Add(20 * time.Second); see(look()) > 0; {
		if time.Now().After(deadline) {
			b.Fatal("not readable within 20 s")
		}
	}
	close(stop)
	looking.Wait()
	return latencies
}
