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

// BenchmarkAsOf answers what a connection was at a random position of a log of 1,000,000 events, and how the moment stands in its story: of
// an ordinary connection (900 events) and of one that has a tenth of the log (100,000 events). The log is written by SQL.
func BenchmarkAsOf(b *testing.B) {
	db := pgtest.New(b)
	pool, err := pgxpool.New(b.Context(), db.AppURL)
	must(b, err)
	b.Cleanup(pool.Close)
	actor := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: uuid.New(), Role: domain.RoleReadonly}
	const connections, each, hot = 1000, 900, 100_900 // 1000 x 900 and 100,000 more of connection 1000
	streams := make([]uuid.UUID, connections)
	for i := range streams {
		streams[i] = domain.ConnectionStream(int64(i + 1))
	}
	began := time.Now()
	owner := db.OwnerPool(b)
	exec := func(statement string, args ...any) {
		_, err := owner.Exec(b.Context(), statement, args...)
		must(b, err)
	}
	exec(`create unlogged table story (n bigint, c int, v int, stream uuid, at timestamptz, name text)`)
	exec(`insert into story select row_number() over (order by v, c), c, v, ($1::uuid[])[c], '2026-01-01'::timestamptz + row_number() over (order by v, c) * interval '3 s',
		case when v = 1 then 'ProviderConnectionCreated' when v % 2 = 0 then 'ScopeAcquired' else 'ScopeReleased' end
		from generate_series(1, $2::int) c, lateral generate_series(1, case when c = $2::int then $3::int else $4::int end) v`, streams, connections, hot, each)
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
	must(b, pool.QueryRow(b.Context(), `select count(*) from audit_log`).Scan(&events))
	if events != 1_000_000 {
		b.Fatalf("wrote %d events", events)
	}
	exec(`analyze events, log, audit_log, audit_objects`)
	b.Logf("wrote %d events in %s", events, time.Since(began).Round(time.Second))
	read := projections.NewReader(pool)
	for name, number := range map[string]int64{"of900": 17, "of100000": connections} {
		earliest := int64(1000)
		if number == connections {
			earliest = events - 50_000 // where the most is to be folded
		}
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				o, err := read.Object(b.Context(), actor, "connection", number)
				must(b, err)
				m, err := read.MomentOf(b.Context(), o, projections.When{Position: earliest + rand.Int64N(events-earliest)})
				must(b, err)
				states, err := read.StatesAt(b.Context(), o, m.Position)
				must(b, err)
				if states[0].Connection == nil || states[0].Connection.Version != m.Step {
					b.Fatalf("at step %d: %+v", m.Step, states[0].Connection)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms-max")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
		})
	}
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			_, _, _, err := read.ListAudit(b.Context(), actor, projections.AuditFilter{Older: 1 + rand.Int64N(events)})
			must(b, err)
		}
	})
	b.Run("facets", func(b *testing.B) {
		for b.Loop() {
			_, _, err := read.AuditFacets(b.Context(), actor, projections.AuditFilter{})
			must(b, err)
		}
	})
}
