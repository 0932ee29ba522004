package projections_test

import (
	"cmp"
	"context"
	"errors"
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
	"tenantpilot/projections"
)

// BenchmarkCommitToReadable appends 1,000 events a second, the lives of runs on 500 connections, and measures for each append how long after
// it was answered every read model had it; alone, and beside a transaction in another database of the cluster that has written and stays idle
// the whole time. The last metrics are those of the last tenth of the time. Seconds: TENANTPILOT_BENCH_SECONDS, default 10.
func BenchmarkCommitToReadable(b *testing.B) {
	seconds, err := strconv.Atoi(cmp.Or(os.Getenv("TENANTPILOT_BENCH_SECONDS"), "10"))
	must(b, err)
	for _, name := range []string{"quiet", "idle writer"} {
		b.Run(name, func(b *testing.B) {
			db := pgtest.New(b)
			f := newFixtureAt(b, db, projections.All()...)
			lives := f.lives(b, 500)
			f.paced(b, lives, 1000, 5*time.Second)
			owner, err := pgx.Connect(b.Context(), db.OwnerURL)
			must(b, err)
			_, err = owner.Exec(b.Context(), `analyze`) // as autovacuum does within the first minute
			must(b, errors.Join(err, owner.Close(b.Context())))
			if name == "idle writer" {
				idleWriter(b)
			}
			for b.Loop() {
				latencies := f.paced(b, lives, 1000, time.Duration(seconds)*time.Second)
				last := slices.Clone(latencies[len(latencies)*9/10:])
				for what, of := range map[string][]time.Duration{"": latencies, "-at-last": last} {
					slices.Sort(of)
					at := func(q float64) float64 { return float64(of[int(q*float64(len(of)-1))].Microseconds()) / 1000 }
					b.ReportMetric(at(0.5), "p50-ms"+what)
					b.ReportMetric(at(0.99), "p99-ms"+what)
				}
				b.ReportMetric(float64(len(latencies))*6/4/float64(seconds), "events/s")
				b.ReportMetric(0, "ns/op")
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

// life is the appends of one run: two events, one, one, two.
type life struct {
	run, conn  uuid.UUID
	connection int64
	number     int64
	next       int
}

func (l *life) append(ctx context.Context, f *fixture) (int64, error) {
	holder := domain.ScopeHolder{Run: l.run, RunNumber: l.number, Operation: domain.OpGroupsSync, Identity: l.run.String()}
	step := l.next
	l.next++
	r, err := f.store.Transact(ctx, eventstore.Request{Affinity: l.conn, Workspace: f.workspace, At: time.Now(), Hash: []byte{}},
		func(ctx context.Context, u *eventstore.Unit) error {
			if _, _, err := eventstore.Load[domain.Run](ctx, u, l.run); err != nil {
				return err
			}
			u.About(f.tenant.ID)
			switch step {
			case 0, 3:
				if _, _, err := eventstore.Load[domain.ProviderConnection](ctx, u, l.conn); err != nil {
					return err
				}
				if step == 0 {
					u.Append(l.run, domain.RunAccepted{Run: l.run, Number: l.number, AttemptFacts: domain.AttemptFacts{
						Attempt: l.run, Operation: domain.OpGroupsSync, Identity: l.run.String(), Tenant: f.tenant.ID, Connection: l.connection,
						Initiator: domain.ActorRef{Kind: domain.ActorSchedule, ID: l.conn}, Trigger: domain.TriggerSchedule,
						Facts: domain.Facts{Rule: 11, Enabled: true, Consent: domain.ConsentIsGiven, Verification: domain.VerificationHealthy},
					}})
					u.Append(l.conn, domain.ScopeAcquired{ScopeHolder: holder})
				} else {
					u.Append(l.run, domain.RunCompleted{Token: 1, Ending: domain.Ending{Outcome: domain.Succeeded, Summary: "812 groups were read"}})
					u.Append(l.conn, domain.ScopeReleased{Run: l.run})
				}
			case 1:
				u.Append(l.run, domain.RunStarted{Token: 1, Try: 1, Worker: "worker-a"})
			case 2:
				u.Append(l.run, domain.RunItemsRecorded{Token: 1, Items: []domain.Item{{
					Key: "groups", Name: "Directory groups", Type: "collection", Intent: "read", Result: domain.ItemConfirmed, Count: 812,
				}}})
			}
			return nil
		})
	return r.Seq, err
}

// lives makes connections, and the first run of each.
func (f *fixture) lives(b *testing.B, connections int) chan *life {
	b.Helper()
	free := make(chan *life, connections)
	for i := range connections {
		number := int64(1_000_000 + i)
		conn := domain.ConnectionStream(number)
		free <- &life{run: uuid.New(), conn: conn, connection: number, number: 10_000_000 + int64(i)}
		_, err := f.store.Transact(b.Context(), eventstore.Request{Workspace: f.workspace, At: time.Now(), Hash: []byte{}},
			func(_ context.Context, u *eventstore.Unit) error {
				u.About(f.tenant.ID)
				u.Append(conn, domain.ProviderConnectionCreated{
					Connection: conn, Number: number, Workspace: f.workspace, Tenant: f.tenant.ID, DisplayName: "C", Provider: "microsoft", ConnectionType: "platform",
				})
				return nil
			})
		must(b, err)
	}
	return free
}

// paced appends the lives of runs at a steady rate and answers how long each append took to be readable everywhere, in order. The appends of
// one run follow each other.
func (f *fixture) paced(b *testing.B, free chan *life, rate int, length time.Duration) []time.Duration {
	b.Helper()
	ctx := b.Context()
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
		for due := int(time.Since(begin).Seconds() * float64(rate) * 4 / 6); n < due; n++ {
			l := <-free
			appending.Go(func() {
				seq, err := l.append(ctx, f)
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				open = append(open, answered{seq, time.Now()})
				if l.next == 4 {
					l = &life{run: uuid.New(), conn: l.conn, connection: l.connection, number: l.number + int64(cap(free))}
				}
				mu.Unlock()
				free <- l
			})
		}
	}
	appending.Wait()
	var parked int
	must(b, f.pool.QueryRow(ctx, `select count(*) from parked`).Scan(&parked))
	if parked > 0 {
		b.Fatalf("%d events are parked", parked)
	}
	for deadline := time.Now().Add(20 * time.Second); see(look()) > 0; {
		if time.Now().After(deadline) {
			b.Fatal("not readable within 20 s")
		}
	}
	close(stop)
	looking.Wait()
	return latencies
}
