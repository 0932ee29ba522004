package projections_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// asOfLog says what newAsOfLog writes: that many connections with a story of each events, of which the last goes on to hot.
type asOfLog struct{ connections, each, hot int }

func (l asOfLog) events() int64 { return int64((l.connections-1)*l.each + l.hot) }

// million is the log of BenchmarkAsOf: of its last connection is a tenth of it.
var million = asOfLog{connections: 1000, each: 900, hot: 100_900}

// newAsOfLog writes a log of connections' events, and the read model of it, by SQL.
func newAsOfLog(t testing.TB, l asOfLog) (*pgtest.DB, domain.Actor) {
	t.Helper()
	db := pgtest.New(t)
	actor := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: uuid.New(), Role: domain.RoleReadonly}
	streams := make([]uuid.UUID, l.connections)
	for i := range streams {
		streams[i] = domain.ConnectionStream(int64(i + 1))
	}
	began := time.Now()
	owner := db.OwnerPool(t)
	exec := func(statement string, args ...any) {
		_, err := owner.Exec(t.Context(), statement, args...)
		must(t, err)
	}
	exec(`create unlogged table story (n bigint, c int, v int, stream uuid, at timestamptz, name text)`)
	exec(`insert into story select row_number() over (order by v, c), c, v, ($1::uuid[])[c], '2026-01-01'::timestamptz + row_number() over (order by v, c) * interval '3 s',
		case when v = 1 then 'ProviderConnectionCreated' when v % 2 = 0 then 'ScopeAcquired' else 'ScopeReleased' end
		from generate_series(1, $2::int) c, lateral generate_series(1, case when c = $2::int then $3::int else $4::int end) v`, streams, l.connections, l.hot, l.each)
	exec(`insert into events (seq, stream, version, id, name, workspace, tenant, recorded_at, meta, payload, leaf)
		select n, stream, v, gen_random_uuid(), name, $1::uuid, $1::uuid, at, '{"actor":{"id":"00000000-0000-0000-0000-000000000000","kind":"system"}}',
		case name when 'ProviderConnectionCreated' then json_build_object('connection', stream, 'number', c, 'workspace', $1::uuid, 'tenant', $1::uuid,
			'provider', 'microsoft', 'displayName', 'Connection ' || c, 'connectionType', 'platform', 'appId', 'app')
		when 'ScopeAcquired' then json_build_object('run', $1::uuid, 'runNumber', n, 'operation', 'directory_groups.sync', 'identity', n::text,
			'initiator', json_build_object('kind', 'system', 'id', $1::uuid), 'since', '2026-01-01T00:00:00Z')
		else json_build_object('run', $1::uuid) end, sha256(n::text::bytea) from story order by n`, actor.Workspace)
	exec(`insert into log (position, seq) select n, n from story order by n`)
	exec(`insert into audit_objects (stream, kind, number, workspace, tenant, position)
		select stream, 'connection', c, $1::uuid, $1::uuid, n from story where v = 1`, actor.Workspace)
	exec(`insert into audit_log (position, at, workspace, tenant, stream, version, event, actor_kind, actor_id, object_kind, object_number, run)
		select n, at, $1::uuid, $1::uuid, stream, v, name, 'system', $1::uuid, 'connection', c, $1::uuid from story order by n`, actor.Workspace)
	var events int64
	must(t, owner.QueryRow(t.Context(), `select count(*) from audit_log`).Scan(&events))
	if events != l.events() {
		t.Fatalf("wrote %d events", events)
	}
	exec(`drop table story`)
	exec(`vacuum analyze events, log, audit_log, audit_objects`)
	t.Logf("wrote %d events in %s", events, time.Since(began).Round(time.Second))
	return db, actor
}

// BenchmarkAsOf reads all that the time machine's page of a connection shows, at random moments of that log, given by position and by time.
func BenchmarkAsOf(b *testing.B) {
	db, actor := newAsOfLog(b, million)
	pool, err := pgxpool.New(b.Context(), db.AppURL)
	must(b, err)
	b.Cleanup(pool.Close)
	read := projections.NewConsoleReader(pool) // as pages are read
	ctx := projections.WithSight(b.Context(), actor)
	var first, last time.Time
	must(b, pool.QueryRow(ctx, `select min(at), max(at) from audit_log`).Scan(&first, &last))
	timeOf := func(position int64) time.Time {
		return first.Add(time.Duration(float64(last.Sub(first)) * float64(position) / float64(million.events())))
	}
	for _, c := range []struct {
		name     string
		number   int64
		earliest int64
		byTime   bool
	}{
		{"of900/byPosition", 17, 1000, false},
		{"of900/byTime", 17, 1000, true},
		{"of100000/byPosition", int64(million.connections), million.events() - 50_000, false}, // where the most is to be folded
		{"of100000/byTime", int64(million.connections), million.events() - 50_000, true},
		{"of100000/atItsBeginning/byTime", int64(million.connections), int64(million.connections), true}, // where the most comes after
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			parts := map[string]time.Duration{}
			for b.Loop() {
				when := projections.When{Position: c.earliest + rand.Int64N(million.events()-c.earliest)}
				if c.name == "of100000/atItsBeginning/byTime" {
					when.Position = c.earliest + rand.Int64N(1000)
				}
				if c.byTime {
					when = projections.When{Time: timeOf(when.Position)}
				}
				began := time.Now()
				lap := began
				part := func(name string, err error) {
					must(b, err)
					parts[name] += time.Since(lap)
					lap = time.Now()
				}
				o, err := read.Object(ctx, actor, "connection", c.number)
				part("object", err)
				m, err := read.MomentOf(ctx, o, when)
				part("moment", err)
				states, err := read.StatesAt(ctx, o, m.Position-1, m.Position)
				part("states", err)
				ticks, err := read.Ticks(ctx, o, m, 240)
				part("ticks", err)
				_, err = read.Density(ctx, o, m, 120)
				part("density", err)
				_, err = read.AuditEvent(ctx, actor, m.Position)
				part("event", err)
				took = append(took, time.Since(began))
				if as := states[1].Connection; as == nil || as.Version != m.Step || len(ticks) < 100 {
					b.Fatalf("at step %d, %d ticks: %+v", m.Step, len(ticks), as)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms-max")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
			for name, total := range parts {
				b.ReportMetric(float64(total.Microseconds())/1000/float64(len(took)), "ms-"+name)
			}
		})
	}
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			_, _, _, err := read.ListAudit(ctx, actor, projections.AuditFilter{Older: 1 + rand.Int64N(million.events())})
			must(b, err)
		}
	})
	b.Run("facets", func(b *testing.B) {
		for b.Loop() {
			_, _, err := read.AuditFacets(ctx, actor, projections.AuditFilter{})
			must(b, err)
		}
	})
}
