package eventstore_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// lifeOfARun is what a run leaves in the log, event by event; the payloads are the golden ones.
var lifeOfARun = []string{
	"RunAccepted", "ScopeAcquired", "RunStarted", "RunProgressed", "RunProgressed", "RunItemsRecorded", "RunCompleted", "ScopeReleased",
}

// fillRuns puts whole runs into the log by hand, numbered, with the rows that their appends leave elsewhere: six appends a run.
func fillRuns(tb testing.TB, pool *pgxpool.Pool, events int) {
	tb.Helper()
	var payloads []string
	for _, name := range lifeOfARun {
		b, err := os.ReadFile(filepath.Join("..", "domain", "testdata", "events", name+".json"))
		if err != nil {
			tb.Fatal(err)
		}
		payloads = append(payloads, strings.TrimSpace(string(b)))
	}
	const meta = `{"actor":{"id":"0191f3a0-7c00-7000-8000-000000000011","kind":"person"},"attempt":"0191f3a0-7c00-7000-8000-000000000021",` +
		`"correlation":"0191f3a0-7c00-7000-8000-000000000021","surface":"web","trigger":"operator"}`
	_, err := pool.Exec(context.Background(), `
		with run as materialized (
			select n, gen_random_uuid() as stream, gen_random_uuid() as tenant from generate_series(1, $1) n
		), e as (
			insert into events (seq, stream, version, id, name, workspace, tenant, recorded_at, meta, payload, leaf)
			select nextval('events_seq'), r.stream, t.i, gen_random_uuid(), t.name, '0191f3a0-7c00-7000-8000-000000000010', r.tenant,
				'2026-01-01'::timestamptz + r.n * interval '30 seconds', $4::json, t.payload::json, sha256((r.n * 100 + t.i)::text::bytea)
			from run r, unnest($2::text[], $3::text[]) with ordinality t (name, payload, i)
			returning seq
		), q as (
			insert into requests (key, hash, stream, last_seq) select gen_random_uuid(), sha256(''), gen_random_uuid(), seq from e where seq % 8 < 6
		)
		insert into log (position, seq) select row_number() over (order by seq), seq from e`, events/len(lifeOfARun), lifeOfARun, payloads, meta)
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkAMillionEvents says what the log costs on disk and how long the checks of all of it take: the figures of docs/retention.md. Run it
// with -benchtime 1x; it needs about a minute and 2 GB.
func BenchmarkAMillionEvents(b *testing.B) {
	const events = 1_000_000
	db := pgtest.New(b)
	s := eventstore.Open(db.Pool(b), eventstore.Config{})
	b.Cleanup(s.Close)
	fillRuns(b, s.Pool(), events)
	for _, statement := range []string{`vacuum analyze events`, `vacuum analyze log`, `vacuum analyze requests`} {
		if _, err := db.SuperuserPool(b).Exec(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	keeper, tree := eventstore.NewTreeKeeper(s, eventstore.TreeConfig{Signer: signer{"ours"}}), eventstore.OpenTree(s.Pool())
	timed := func(name string, do func() error) {
		began := time.Now()
		if err := do(); err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), name+"-s")
	}
	for range b.N {
		timed("tree", func() error { return keeper.Sign(b.Context()) })
		timed("check-order", func() error {
			report, err := eventstore.CheckOrder(b.Context(), s.Pool())
			if len(report.Faults) > 0 {
				b.Errorf("faults: %+v", report.Faults)
			}
			return err
		})
		timed("walk", func() error {
			return tree.Walk(b.Context(), 0, func(r eventstore.Row) bool { _ = r.Event.Leaf(); return true })
		})
		timed("tenant-scan", func() error {
			_, err := tree.EventsOfTenant(b.Context(), uuid.New(), time.Time{}, time.Now(), events)
			return err
		})
		timed("inclusion", func() error { _, err := tree.ProveInclusion(b.Context(), events/3, events-7); return err })
	}
	for name, size := range map[string]string{
		"events": `pg_table_size('events')`, "events-seq": `pg_relation_size('events_pkey')`, "events-stream": `pg_relation_size('events_stream_version_key')`,
		"log": `pg_table_size('log')`, "log-indexes": `pg_indexes_size('log')`,
		"requests": `pg_total_relation_size('requests')`, "tree": `pg_total_relation_size('tree_tiles')`,
		"record": `(select 1000000 * avg(length(payload::text) + length(meta::text)) from events)`,
	} {
		var bytes float64
		if err := s.Pool().QueryRow(b.Context(), `select (`+size+`)::float8`).Scan(&bytes); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(bytes/events, name+"-B/event")
	}
}
