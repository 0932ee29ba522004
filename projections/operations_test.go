package projections_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// statements remembers the queries that a pool ran, with their arguments.
type statements struct {
	mu  sync.Mutex
	ran []pgx.TraceQueryStartData
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = append(s.ran, d)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// big is a workspace with two tenants, four connections and 20,000 runs over 30 days, written as rows.
type big struct {
	pool      *pgxpool.Pool
	ran       *statements
	read      projections.Reader
	workspace uuid.UUID
	tenants   []uuid.UUID
	actor     domain.Actor
	now       time.Time
}

const bigRuns = 20_000

func newBig(t *testing.T) *big {
	t.Helper()
	db := pgtest.New(t)
	cfg, err := pgxpool.ParseConfig(db.AppURL)
	must(t, err)
	b := &big{ran: &statements{}, workspace: uuid.New(), now: time.Now().UTC().Truncate(time.Second)}
	cfg.ConnConfig.Tracer = b.ran
	b.pool, err = pgxpool.NewWithConfig(t.Context(), cfg)
	must(t, err)
	t.Cleanup(b.pool.Close)
	b.read = projections.NewReader(b.pool)
	b.actor = domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: b.workspace, Role: domain.RoleOwner}
	for i, name := range []string{"Contoso", "Fabrikam"} {
		id := uuid.New()
		b.tenants = append(b.tenants, id)
		b.exec(t, `insert into tenants (tenant, number, workspace, external_id, name, domain, position) values ($1, $2, $3, $4, $5, '', 1)`,
			id, i+1, b.workspace, uuid.New(), name)
		for c := 2*i + 1; c <= 2*i+2; c++ {
			b.exec(t, `insert into provider_connections (number, stream, workspace, tenant, provider, display_name, connection_type, app_id, is_enabled,
				consent_status, verification_status, version, position)
				values ($1, $2, $3, $4, 'microsoft', $5, 'platform', 'app', true, 'granted', 'healthy', 1, 1)`,
				c, domain.ConnectionStream(int64(c)), b.workspace, id, fmt.Sprintf("%s %d", name, c))
		}
	}
	// One run every two minutes or so, the newest first; each hundredth failed, each fiftieth partly succeeded.
	b.exec(t, `insert into runs (run, number, workspace, tenant, connection, operation, identity, attempt, trigger, initiator_kind, initiator_id,
			execution_status, outcome, reason, summary, accepted_at, started_at, ended_at, scope_released_at, unknown, position)
		select gen_random_uuid(), 30000 - n, $1, ($2::uuid[])[1 + n % 2], 1 + n % 4, case when n % 3 = 0 then 'directory_groups.sync' else 'directory_role_definitions.sync' end,
			n::text, gen_random_uuid(), case when n % 5 = 0 then 'schedule' else 'operator' end, 'person', $3, 'completed',
			case when n % 100 = 0 then 'failed' when n % 50 = 0 then 'partially_succeeded' else 'succeeded' end,
			case when n % 100 = 0 then 'provider_unavailable' end, 'done', at, at + interval '1 second', at + interval '11 seconds', at + interval '11 seconds', 0, n
		from (select n, $4::timestamptz - n * interval '130 seconds' as at from generate_series(1, $5) n) g`,
		b.workspace, b.tenants, b.actor.Ref.ID, b.now, bigRuns)
	b.exec(t, `insert into runs (run, number, workspace, tenant, connection, operation, identity, attempt, trigger, initiator_kind, initiator_id,
			execution_status, accepted_at, position)
		values (gen_random_uuid(), 30001, $1, $2, 1, 'directory_groups.sync', 'active', gen_random_uuid(), 'operator', 'person', $3, 'running', $4, 1)`,
		b.workspace, b.tenants[0], b.actor.Ref.ID, b.now)
	b.exec(t, `insert into attempts (attempt, workspace, tenant, connection, operation, outcome, reason, trigger, initiator_kind, initiator_id, at, position)
		select gen_random_uuid(), $1, ($2::uuid[])[1 + n % 2], 1 + n % 4, 'directory_groups.sync', case when n % 2 = 0 then 'blocked' else 'scope_busy' end,
			'tenant_on_hold', 'operator', 'person', $3, $4::timestamptz - n * interval '5 minutes', n from generate_series(1, 2000) n`,
		b.workspace, b.tenants, b.actor.Ref.ID, b.now)
	super := db.OwnerPool(t)
	_, err = super.Exec(t.Context(), `analyze runs; analyze attempts; analyze tenants; analyze provider_connections`)
	must(t, err)
	return b
}

func (b *big) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), sql, args...)
	must(t, err)
}

// plans runs f and returns the plans of the queries that it ran.
func (b *big) plans(t *testing.T, f func()) []string {
	t.Helper()
	b.ran.mu.Lock()
	b.ran.ran = nil
	b.ran.mu.Unlock()
	f()
	b.ran.mu.Lock()
	ran := b.ran.ran
	b.ran.mu.Unlock()
	var plans []string
	for _, q := range ran {
		if !strings.Contains(q.SQL, "select") {
			continue
		}
		rows, err := b.pool.Query(t.Context(), "explain (analyze, costs off, timing off) "+q.SQL, q.Args...)
		must(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		plans = append(plans, strings.Join(lines, "\n"))
	}
	if len(plans) == 0 {
		t.Fatal("no query ran")
	}
	return plans
}

var scansAll = regexp.MustCompile(`Seq Scan on (runs|attempts|events|log)\b`)

func TestPagesOfManyRunsUseIndexes(t *testing.T) {
	t.Parallel()
	b := newBig(t)
	ctx := t.Context()
	few := b.actor
	few.Tenants = b.tenants[:1]
	page, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{})
	must(t, err)
	deep := projections.Cursor{At: b.now.Add(-20 * 24 * time.Hour), Number: 16000}
	day := b.now.Add(-24 * time.Hour)
	for name, f := range map[string]func() error{
		"first page":         func() error { _, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{}); return err },
		"first page of a day": func() error { _, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{From: day}); return err },
		"deep page":          func() error { _, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{After: deep}); return err },
		"page before":        func() error { _, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{Before: deep}); return err },
		"failed of a tenant": func() error {
			_, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{
				Tenant: b.tenants[1], Outcome: []projections.Match{{Values: []string{"failed"}}}, From: day,
			})
			return err
		},
		"member of one tenant": func() error { _, _, _, err := b.read.ListRuns(ctx, few, projections.RunFilter{From: day}); return err },
		"active":               func() error { _, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{Active: true}); return err },
		"counters":             func() error { _, err := b.read.CountRuns(ctx, b.actor, uuid.Nil, day); return err },
		"counters of a tenant": func() error { _, err := b.read.CountRuns(ctx, b.actor, b.tenants[0], day); return err },
		"lanes":                func() error { _, err := b.read.RunsBetween(ctx, b.actor, uuid.Nil, b.now.Add(-time.Hour), b.now); return err },
		"refusals":             func() error { _, err := b.read.RefusalsBetween(ctx, b.actor, uuid.Nil, b.now.Add(-time.Hour), b.now); return err },
		"hours":                func() error { _, err := b.read.HoursSince(ctx, b.actor, uuid.Nil, day); return err },
		"usually":              func() error { _, err := b.read.Usually(ctx, b.tenants[0], domain.OpGroupsSync); return err },
		"one run":              func() error { _, err := b.read.RunByNumber(ctx, b.actor, page[0].Number); return err },
		"joined":               func() error { _, err := b.read.JoinedTo(ctx, page[0].ID); return err },
	} {
		for _, plan := range b.plans(t, func() { must(t, f()) }) {
			if scansAll.MatchString(plan) {
				t.Errorf("%s reads a whole table:\n%s", name, plan)
			}
		}
	}
}
