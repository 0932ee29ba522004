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
		b.exec(t, `insert into tenants (tenant, number, workspace, external_id, name, domain, position) values ($1, $2, $3, $4, $5, lower($5) || '.example', 1)`,
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
			execution_status, outcome, reason, summary, accepted_at, started_at, ended_at, scope_released_at, facts, position)
		select gen_random_uuid(), 30000 - n, $1, ($2::uuid[])[1 + n % 2], 1 + n % 4, case when n % 3 = 0 then 'directory_groups.sync' else 'directory_role_definitions.sync' end,
			n::text, gen_random_uuid(), case when n % 5 = 0 then 'schedule' else 'operator' end, 'person', $3, 'completed',
			case when n % 100 = 0 then 'failed' when n % 50 = 0 then 'partially_succeeded' else 'succeeded' end,
			case when n % 100 = 0 then 'provider_unavailable' end, 'done', at, at + interval '1 second', at + interval '11 seconds', at + interval '11 seconds', '{}', n
		from (select n, $4::timestamptz - n * interval '130 seconds' as at from generate_series(1, $5) n) g`,
		b.workspace, b.tenants, b.actor.Ref.ID, b.now, bigRuns)
	b.exec(t, `insert into runs (run, number, workspace, tenant, connection, operation, identity, attempt, trigger, initiator_kind, initiator_id,
			execution_status, accepted_at, facts, position)
		values (gen_random_uuid(), 30001, $1, $2, 1, 'directory_groups.sync', 'active', gen_random_uuid(), 'operator', 'person', $3, 'running', $4, '{}', 1)`,
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
		"first page": func() error { _, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{}); return err },
		"first page of a day": func() error {
			_, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{From: day})
			return err
		},
		"deep page": func() error {
			_, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{After: deep})
			return err
		},
		"page before": func() error {
			_, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{Before: deep})
			return err
		},
		"failed of a tenant": func() error {
			_, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{
				Tenant: b.tenants[1], Outcome: []projections.Match{{Values: []string{"failed"}}}, From: day,
			})
			return err
		},
		"member of one tenant": func() error { _, _, _, err := b.read.ListRuns(ctx, few, projections.RunFilter{From: day}); return err },
		"active": func() error {
			_, _, _, err := b.read.ListRuns(ctx, b.actor, projections.RunFilter{Active: true})
			return err
		},
		"counters":             func() error { _, err := b.read.CountRuns(ctx, b.actor, uuid.Nil, day); return err },
		"counters of a tenant": func() error { _, err := b.read.CountRuns(ctx, b.actor, b.tenants[0], day); return err },
		"lanes": func() error {
			_, err := b.read.RunsBetween(ctx, b.actor, uuid.Nil, b.now.Add(-time.Hour), b.now)
			return err
		},
		"refusals": func() error {
			_, err := b.read.RefusalsBetween(ctx, b.actor, uuid.Nil, b.now.Add(-time.Hour), b.now)
			return err
		},
		"hours":   func() error { _, err := b.read.HoursSince(ctx, b.actor, uuid.Nil, day); return err },
		"usually": func() error { _, err := b.read.Usually(ctx, b.tenants[0], domain.OpGroupsSync); return err },
		"one run": func() error { _, err := b.read.RunByNumber(ctx, b.actor, page[0].Number); return err },
		"last runs": func() error {
			last, err := b.read.LastRuns(ctx, b.tenants[0])
			if len(last) != 2 {
				t.Errorf("last runs of %d operations, want 2", len(last))
			}
			return err
		},
		"joined": func() error { _, err := b.read.JoinedTo(ctx, page[0].ID); return err },
	} {
		for _, plan := range b.plans(t, func() { must(t, f()) }) {
			if scansAll.MatchString(plan) {
				t.Errorf("%s reads a whole table:\n%s", name, plan)
			}
		}
	}
}

func TestRunsArePagedByKeysetBothWays(t *testing.T) {
	t.Parallel()
	b := newBig(t)
	var forward []int64
	f := projections.RunFilter{From: b.now.Add(-12 * time.Hour), Limit: 100}
	for {
		lines, newer, older, err := b.read.ListRuns(t.Context(), b.actor, f)
		must(t, err)
		if newer != (len(forward) > 0) {
			t.Errorf("newer = %v after %d rows", newer, len(forward))
		}
		for _, l := range lines {
			forward = append(forward, l.Number)
		}
		if !older {
			break
		}
		f.After = lines[len(lines)-1].Cursor()
		again, ok := projections.ParseCursor(f.After.String())
		if !ok || again.Number != f.After.Number || !again.At.Equal(f.After.At) {
			t.Fatalf("cursor %q came back as %+v, %v", f.After, again, ok)
		}
	}
	if want := 12*60*60/130 + 1; len(forward) != want {
		t.Errorf("%d runs in 12 h, want %d", len(forward), want)
	}
	if !slices.IsSortedFunc(forward, func(a, b int64) int { return int(b - a) }) {
		t.Error("not newest first")
	}
	last, _ := projections.ParseCursor(f.After.String())
	lines, newer, older, err := b.read.ListRuns(t.Context(), b.actor, projections.RunFilter{Before: last, Limit: 10})
	must(t, err)
	i := slices.Index(forward, last.Number)
	var back []int64
	for _, l := range lines {
		back = append(back, l.Number)
	}
	if !slices.Equal(back, forward[i-10:i]) || !newer || !older {
		t.Errorf("back = %v (newer %v, older %v), want %v", back, newer, older, forward[i-10:i])
	}
	for _, bad := range []string{"", "x", "-", "1-", "1-0", "1--5", "1-1-1", "zzzzzzzzzzzzzzzzzzzzzz-1", "1y2p0ij32e8e7-1", "-1y2p0ij32e8e8-1", "zzzzzzzzzzzz-1"} {
		if c, ok := projections.ParseCursor(bad); ok {
			t.Errorf("cursor %q was read as %+v", bad, c)
		}
	}
}

func TestFiltersAreAnyOfAndNoneOf(t *testing.T) {
	t.Parallel()
	b := newBig(t)
	is := func(values ...string) []projections.Match { return []projections.Match{{Values: values}} }
	not := func(values ...string) []projections.Match { return []projections.Match{{Values: values, Not: true}} }
	// The newest 1000 runs: n = 1 to 999 and the active one.
	from := b.now.Add(-999*130*time.Second - time.Second)
	for name, tc := range map[string]struct {
		filter projections.RunFilter
		want   int
	}{
		"all":                         {projections.RunFilter{}, 1000},
		"failed":                      {projections.RunFilter{Outcome: is("failed")}, 9},
		"failed or partly":            {projections.RunFilter{Outcome: is("failed", "partially_succeeded")}, 19},
		"not succeeded":               {projections.RunFilter{Outcome: not("succeeded")}, 20}, // what has not ended has not succeeded
		"not completed":               {projections.RunFilter{Status: not("completed")}, 1},
		"attention":                   {projections.RunFilter{Attention: true}, 19},
		"active":                      {projections.RunFilter{Active: true}, 1},
		"waiting":                     {projections.RunFilter{Waiting: true}, 0},
		"operation":                   {projections.RunFilter{Operation: is("directory_groups.sync")}, 334},
		"scheduled":                   {projections.RunFilter{Trigger: is("schedule")}, 199},
		"of a tenant by name":         {projections.RunFilter{TenantName: is("CONTO")}, 500},
		"of another tenant than":      {projections.RunFilter{TenantName: not("contoso")}, 500},
		"tenants with a percent sign": {projections.RunFilter{TenantName: is("%")}, 0},
		"connections":                 {projections.RunFilter{Connection: is("3", "4")}, 500},
		"reason":                      {projections.RunFilter{Reason: is("provider_unavailable")}, 9},
		"of a tenant by domain":       {projections.RunFilter{TenantName: is("contoso.ex")}, 500},
		"mine, in upper case":         {projections.RunFilter{Initiator: is(strings.ToUpper(b.actor.Ref.ID.String()))}, 1000},
		"of somebody else":            {projections.RunFilter{Initiator: is(uuid.NewString())}, 0},
		"mine":                        {projections.RunFilter{Initiator: is(b.actor.Ref.ID.String())}, 1000},
		"number":                      {projections.RunFilter{Text: "#29999"}, 1},
		"text":                        {projections.RunFilter{Text: "Role_Def"}, 666},
		"both of two conditions":      {projections.RunFilter{Outcome: is("failed"), Trigger: not("operator")}, 9},
		"until":                       {projections.RunFilter{To: b.now.Add(-time.Minute)}, 999},
	} {
		tc.filter.From, tc.filter.Limit = from, 200
		n := 0
		for {
			lines, _, older, err := b.read.ListRuns(t.Context(), b.actor, tc.filter)
			must(t, err)
			if n += len(lines); !older {
				break
			}
			tc.filter.After = lines[len(lines)-1].Cursor()
		}
		if n != tc.want {
			t.Errorf("%s: %d runs, want %d", name, n, tc.want)
		}
	}
	counts, err := b.read.CountRuns(t.Context(), b.actor, uuid.Nil, from)
	must(t, err)
	want := projections.Counts{
		All: 1000, Running: 1, Attention: 19, Succeeded: 980, Mine: 1000, Scheduled: 199, BlockedStarts: 216, BusyStarts: 216,
	}
	if counts != want {
		t.Errorf("counts = %+v\nwant     %+v", counts, want)
	}
	counts, err = b.read.CountRuns(t.Context(), b.actor, b.tenants[1], from)
	must(t, err)
	if counts.All != 500 || counts.Running != 0 || counts.BlockedStarts != 0 || counts.BusyStarts != 216 {
		t.Errorf("counts of one tenant = %+v", counts)
	}
	hours, err := b.read.HoursSince(t.Context(), b.actor, uuid.Nil, from)
	must(t, err)
	total := 0
	for _, h := range hours {
		total += h.Succeeded + h.Partial + h.Failed + h.Blocked + h.Stopped
	}
	if total != 999 {
		t.Errorf("%d ended runs in the hours, want 999", total)
	}
	usual, err := b.read.Usually(t.Context(), b.tenants[0], domain.OpGroupsSync)
	must(t, err)
	if usual.From != 10*time.Second || usual.To != 10*time.Second {
		t.Errorf("usually %v, want 10 s", usual)
	}
}

func TestNobodySeesWhatIsNotTheirs(t *testing.T) {
	t.Parallel()
	b := newBig(t)
	ctx := t.Context()
	person := func(change func(*domain.Actor)) domain.Actor {
		a := b.actor
		change(&a)
		return a
	}
	day := b.now.Add(-24 * time.Hour)
	for name, tc := range map[string]struct {
		actor domain.Actor
		sees  []uuid.UUID
	}{
		"owner":                     {b.actor, b.tenants},
		"member of one tenant":      {person(func(a *domain.Actor) { a.Tenants = b.tenants[1:] }), b.tenants[1:]},
		"member of no tenant":       {person(func(a *domain.Actor) { a.Tenants = []uuid.UUID{} }), nil},
		"another workspace":         {person(func(a *domain.Actor) { a.Workspace = uuid.New() }), nil},
		"no workspace":              {person(func(a *domain.Actor) { a.Workspace, a.Role = uuid.Nil, "" }), nil},
		"platform person":           {domain.Actor{Ref: b.actor.Ref, Platform: true}, nil},
		"no longer a member":        {person(func(a *domain.Actor) { a.Role = "" }), nil},
		"other workspace, same ids": {person(func(a *domain.Actor) { a.Workspace, a.Tenants = uuid.New(), b.tenants }), nil},
	} {
		lines, _, _, err := b.read.ListRuns(ctx, tc.actor, projections.RunFilter{From: day, Limit: 200})
		must(t, err)
		counts, err := b.read.CountRuns(ctx, tc.actor, uuid.Nil, day)
		must(t, err)
		between, err := b.read.RunsBetween(ctx, tc.actor, uuid.Nil, day, b.now)
		must(t, err)
		refusals, err := b.read.RefusalsBetween(ctx, tc.actor, uuid.Nil, day, b.now)
		must(t, err)
		hours, err := b.read.HoursSince(ctx, tc.actor, uuid.Nil, day)
		must(t, err)
		tenants, err := b.read.Tenants(ctx, tc.actor)
		must(t, err)
		connections, err := b.read.Connections(ctx, tc.actor, uuid.Nil)
		must(t, err)
		sees := len(tc.sees) > 0
		for what, n := range map[string]int{
			"runs": len(lines), "counts": counts.All + counts.BlockedStarts + counts.BusyStarts + counts.Mine, "lanes": len(between),
			"refusals": len(refusals), "hours": len(hours), "tenants": len(tenants), "connections": len(connections),
		} {
			if (n > 0) != sees {
				t.Errorf("%s: %d %s", name, n, what)
			}
		}
		for _, l := range append(lines, between...) {
			if !slices.Contains(tc.sees, l.Tenant) {
				t.Errorf("%s sees run %d of a hidden tenant", name, l.Number)
				break
			}
		}
		for tenant, number := range map[uuid.UUID]int64{b.tenants[0]: 29998, b.tenants[1]: 29999} {
			_, err := b.read.RunByNumber(ctx, tc.actor, number)
			if want := slices.Contains(tc.sees, tenant); want && err != nil || !want && !errors.Is(err, projections.ErrNoRow) {
				t.Errorf("%s: run %d: %v, want visible %v", name, number, err, want)
			}
		}
	}
}

// TestTheStoryOfARun reads what the run page shows of a run that others met, and that was begun, cancelled and ended.
func TestTheStoryOfARun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, read := t.Context(), projections.NewReader(f.pool)
	_, err := f.pool.Exec(ctx, `insert into people (id, email, display_name) values ($1, 'kim@example.test', 'Kim')`, f.person)
	must(t, err)
	first := f.start(t, domain.OpGroupsSync)
	f.settleAll(t)
	end := func(run uuid.UUID, o domain.RunOutcome) {
		item, err := projections.Claim(ctx, f.pool, "w", time.Minute)
		must(t, err)
		claim := commands.Claim{Workspace: f.workspace, Run: run, Token: item.Token, Worker: "w"}
		_, err = f.commands.BeginRun(ctx, claim)
		must(t, err)
		must(t, f.commands.EndRun(ctx, claim, domain.Ending{Outcome: o}, nil))
		f.settleAll(t)
	}
	end(first.Run, domain.Succeeded)
	if _, err := read.LeaseOf(ctx, first.Run); !errors.Is(err, projections.ErrNoRow) {
		t.Errorf("lease of an ended run: %v", err)
	}

	second := f.start(t, domain.OpGroupsSync)
	if r := f.start(t, domain.OpGroupsSync); r.Outcome != domain.Deduped {
		t.Fatalf("outcome = %s", r.Outcome)
	}
	if r := f.start(t, domain.OpRoleDefinitionsSync); r.Outcome != domain.Busy {
		t.Fatalf("outcome = %s", r.Outcome)
	}
	f.settleAll(t)
	_, err = projections.Claim(ctx, f.pool, "w9", 50*time.Millisecond)
	must(t, err)
	lease, err := read.LeaseOf(ctx, second.Run)
	must(t, err)
	if lease.Worker != "w9" || lease.Lost {
		t.Errorf("lease = %+v", lease)
	}
	time.Sleep(60 * time.Millisecond)
	if lease, err = read.LeaseOf(ctx, second.Run); err != nil || !lease.Lost {
		t.Errorf("lease after its time = %+v, %v", lease, err)
	}
	end(second.Run, domain.Failed)

	line, err := read.RunByNumber(ctx, f.operator, second.RunNumber)
	must(t, err)
	if line.TenantName != "Contoso" || line.ConnectionLabel != "Contoso platform" || line.InitiatorName != "Kim" {
		t.Errorf("names = %q %q %q", line.TenantName, line.ConnectionLabel, line.InitiatorName)
	}
	timeline, err := read.Timeline(ctx, line.Run)
	must(t, err)
	var names []string
	for i, e := range timeline {
		names = append(names, e.Name)
		if i > 0 && e.Position <= timeline[i-1].Position {
			t.Errorf("position %d after %d", e.Position, timeline[i-1].Position)
		}
	}
	if want := []string{"RunAccepted", "ScopeAcquired", "RunStarted", "RunCompleted", "ScopeReleased"}; !slices.Equal(names, want) {
		t.Errorf("timeline = %v, want %v", names, want)
	}
	if timeline[0].Actor != "Kim" || timeline[2].Actor != "" {
		t.Errorf("actors = %q, %q; want Kim and nobody", timeline[0].Actor, timeline[2].Actor)
	}
	joined, err := read.JoinedTo(ctx, second.Run)
	must(t, err)
	if len(joined) != 2 || joined[0].Outcome != domain.Busy || joined[1].Outcome != domain.Deduped || joined[0].Name != "Kim" {
		t.Errorf("joined = %+v", joined)
	}
	between, err := read.RunsBetween(ctx, f.operator, uuid.Nil, time.Now().Add(-time.Hour), time.Now().Add(time.Second))
	must(t, err)
	if len(between) != 2 {
		t.Errorf("%d runs in the last hour, want 2", len(between))
	}
	if behind, _, err := read.Lag(ctx); err != nil || behind != 0 {
		t.Errorf("lag = %d, %v", behind, err)
	}
}
