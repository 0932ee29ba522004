package projections_test

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/eventstore"
	"tenantpilot/projections"
)

// BenchmarkRebuild measures the whole rebuild of the runs (read, fold, write, index, swap) beside two bare streaming reads of the same
// events, in alternating rounds: of the events alone, and of the events with their positions. TENANTPILOT_BENCH_EVENTS=100000,1000000 says how long the logs are; run it with -benchtime 3x.
func BenchmarkRebuild(b *testing.B) {
	sizes := os.Getenv("TENANTPILOT_BENCH_EVENTS")
	if sizes == "" {
		sizes = "100000"
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		must(b, err)
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			l := newLog(b)
			l.generate(b, n, 600)
			_, err := l.db.SuperuserPool(b).Exec(b.Context(), `checkpoint`)
			must(b, err)
			conn, err := pgx.Connect(b.Context(), l.db.OwnerURL)
			must(b, err)
			defer conn.Close(b.Context())
			var bare, ordered, rebuilt time.Duration
			for b.Loop() {
				began := time.Now()
				_, err := conn.PgConn().CopyTo(b.Context(), io.Discard, `copy (select stream, version, id, name, workspace, tenant, recorded_at, meta, payload
					from events) to stdout (format binary)`)
				must(b, err)
				bare += time.Since(began)
				began = time.Now()
				_, err = conn.PgConn().CopyTo(b.Context(), io.Discard, eventstore.ScanQuery(0, int64(n), [2]int64{0, int64(n)}))
				must(b, err)
				ordered += time.Since(began)
				_, err = conn.Exec(b.Context(), `delete from followers; delete from checkpoint_moves; truncate runs`)
				must(b, err)
				done, err := projections.Rebuild(b.Context(), l.db.OwnerURL, projections.Runs{}, projections.RebuildOptions{})
				must(b, err)
				rebuilt += done.Took
			}
			perSecond := func(took time.Duration) float64 { return float64(n*b.N) / took.Seconds() }
			b.ReportMetric(perSecond(bare), "read/s")
			b.ReportMetric(perSecond(ordered), "joined/s")
			b.ReportMetric(perSecond(rebuilt), "rebuilt/s")
			b.ReportMetric(bare.Seconds()/rebuilt.Seconds(), "of-read")
			b.ReportMetric(ordered.Seconds()/rebuilt.Seconds(), "of-joined")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkParkedStream measures how fast a projection follows the log with and without a parked stream.
func BenchmarkParkedStream(b *testing.B) {
	for _, poison := range []bool{false, true} {
		b.Run(fmt.Sprintf("parked=%v", poison), func(b *testing.B) {
			const events = 30_000
			for b.Loop() {
				b.StopTimer()
				l := newLog(b)
				l.generate(b, events, 50)
				sick := &sickRuns{}
				if poison {
					sick.refuse = l.firstRun(b)
				}
				b.StartTimer()
				stop := l.follow(b, sick)
				l.settle(b, sick)
				b.StopTimer()
				stop()
				sick.set(uuid.Nil)
				b.StartTimer()
			}
			b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
