package projections_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// history runs some work through, so that every kind of object has a story, and returns everything that happened.
func (f *fixture) history(t *testing.T) []eventstore.Event {
	t.Helper()
	ctx, system := t.Context(), domain.SystemActor(f.workspace)
	r := f.start(t, domain.OpGroupsSync)
	f.start(t, domain.OpGroupsSync)          // deduped
	f.start(t, domain.OpRoleDefinitionsSync) // busy
	item, err := projections.Claim(ctx, f.pool, "w1", time.Minute)
	for deadline := time.Now().Add(5 * time.Second); item == nil && err == nil && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		item, err = projections.Claim(ctx, f.pool, "w1", time.Minute)
	}
	must(t, err)
	claim := commands.Claim{Workspace: f.workspace, Run: r.Run, Token: item.Token, Worker: "w1"}
	_, err = f.commands.BeginRun(ctx, claim)
	must(t, err)
	must(t, f.commands.RecordItems(ctx, claim, []domain.Item{{Key: "groups", Name: "Groups", Type: "group", Intent: "read", Result: domain.ItemConfirmed, Count: 3}}))
	must(t, f.commands.EndRun(ctx, claim, domain.Ending{Outcome: domain.Succeeded, Summary: "3 groups were read."}, nil))
	must(t, f.commands.SetConnectionEnabled(ctx, commands.SetConnectionEnabled{Actor: system, Connection: f.conn.Number, Enabled: false, Reason: "Leaving"}))
	f.start(t, domain.OpGroupsSync) // blocked
	must(t, f.commands.SetConnectionEnabled(ctx, commands.SetConnectionEnabled{Actor: system, Connection: f.conn.Number, Enabled: true}))
	f.settleAll(t)
	all, _, err := f.store.ReadAfter(ctx, 0, 1000, "")
	must(t, err)
	return all
}

// asJSON is a value to compare, with its instants in UTC.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	var tree any
	must(t, json.Unmarshal(b, &tree))
	var utc func(any) any
	utc = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				v[k] = utc(v[k])
			}
		case []any:
			for i := range v {
				v[i] = utc(v[i])
			}
		case string:
			if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
				return at.UTC().Format(time.RFC3339Nano)
			}
		}
		return v
	}
	b, err = json.MarshalIndent(utc(tree), "", " ")
	must(t, err)
	return string(b)
}

// TestTimeMachineIsTheFoldOfTheFirstEvents: at every position of the log, each object is what the domain folds from the events up to it,
// and at the newest it is the row of the live page.
func TestTimeMachineIsTheFoldOfTheFirstEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := f.history(t)
	read, ctx := projections.NewReader(f.pool), t.Context()
	lines, _, _, err := read.ListRuns(ctx, f.operator, projections.RunFilter{})
	must(t, err)
	objects := map[string]projections.Object{}
	for kind, number := range map[string]int64{"connection": f.conn.Number, "tenant": f.tenant.Number, "run": lines[0].Number} {
		o, err := read.Object(ctx, f.operator, kind, number)
		must(t, err)
		objects[kind] = o
	}
	var tenant domain.Tenant
	var conn domain.ProviderConnection
	var run domain.Run
	for _, e := range append([]eventstore.Event{{}}, all...) { // position 0 is before everything
		if e.Position > 0 {
			data, err := e.Decode()
			must(t, err)
			switch e.Stream {
			case objects["tenant"].Stream:
				tenant = tenant.Evolve(data)
			case objects["connection"].Stream:
				conn = conn.Evolve(data)
			case objects["run"].Stream:
				run = run.Evolve(data)
			}
		}
		state := func(kind string) projections.State {
			states, err := read.StatesAt(ctx, objects[kind], e.Position)
			must(t, err)
			return states[0]
		}
		if got := state("tenant").Tenant; (got != nil) != tenant.Exists() || got != nil && (got.Name != tenant.Name || got.HoldReason != tenant.Hold.Reason ||
			(got.DefaultConnection != nil) != (tenant.DefaultConnection != 0)) {
			t.Errorf("tenant at %d is %+v, folded %+v", e.Position, got, tenant)
		}
		if got := state("connection").Connection; (got != nil) != conn.Exists() || got != nil && (got.Enabled != conn.Enabled || got.Consent != conn.Consent ||
			got.Verification != conn.Verification || (got.ScopeRun != nil) != conn.Scope.Held() || got.CredentialFingerprint != conn.Credential.Fingerprint) {
			t.Errorf("connection at %d is %+v, folded %+v", e.Position, got, conn)
		}
		if got := state("run").Run; (got != nil) != run.Exists() || got != nil && (got.Status != run.Status || got.Token != run.Token || got.Try != run.Try ||
			got.Confirmed != run.Counts.Confirmed || (got.Outcome != nil) != (run.Outcome != "")) {
			t.Errorf("run at %d is %+v, folded %+v", e.Position, got, run)
		}
	}
	head := all[len(all)-1].Position
	live := map[string]any{"run": &lines[0].Run}
	c, err := read.Connection(ctx, f.operator, f.conn.Number)
	must(t, err)
	ten, err := read.Tenant(ctx, f.operator, f.tenant.ExternalID)
	must(t, err)
	live["connection"], live["tenant"] = &c, &ten
	for kind, want := range live {
		states, err := read.StatesAt(ctx, objects[kind], head)
		must(t, err)
		if got := asJSON(t, states[0].Value()); got != asJSON(t, want) {
			t.Errorf("%s at the newest position is\n%s\nlive\n%s", kind, got, asJSON(t, want))
		}
	}
}

func TestStatesAtSeveralPositionsAreOneFold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := f.history(t)
	read, ctx := projections.NewReader(f.pool), t.Context()
	o, err := read.Object(ctx, f.operator, "connection", f.conn.Number)
	must(t, err)
	var at []int64
	for _, e := range all {
		at = append(at, e.Position)
	}
	together, err := read.StatesAt(ctx, o, at...)
	must(t, err)
	for i, p := range at {
		alone, err := read.StatesAt(ctx, o, p)
		must(t, err)
		if asJSON(t, alone[0].Value()) != asJSON(t, together[i].Value()) {
			t.Errorf("at %d: alone %+v, together %+v", p, alone[0].Connection, together[i].Connection)
		}
	}
}

func TestMomentsOfAStory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.history(t)
	read, ctx := projections.NewReader(f.pool), t.Context()
	o, err := read.Object(ctx, f.operator, "connection", f.conn.Number)
	must(t, err)
	newest, err := read.MomentOf(ctx, o, projections.When{})
	must(t, err)
	if newest.Step != newest.Steps || newest.Position != newest.Last || newest.Forward != 0 || newest.Back == 0 || newest.Steps < 6 {
		t.Errorf("newest: %+v", newest)
	}
	var walked []int64
	for m := newest; m.Step > 0; {
		walked = append(walked, m.Position)
		byTime, err := read.MomentOf(ctx, o, projections.When{Time: m.At})
		must(t, err)
		byStep, err := read.MomentOf(ctx, o, projections.When{Step: m.Step})
		must(t, err)
		if byStep != m || byTime.Position < m.Position {
			t.Errorf("step %d: by step %+v, by time %+v", m.Step, byStep, byTime)
		}
		if m.Back == 0 {
			break
		}
		m, err = read.MomentOf(ctx, o, projections.When{Position: m.Back})
		must(t, err)
	}
	if len(walked) != newest.Steps {
		t.Errorf("walked %v, want %d steps", walked, newest.Steps)
	}
	before, err := read.MomentOf(ctx, o, projections.When{Time: newest.FirstAt.Add(-time.Hour)})
	must(t, err)
	if before.Step != 0 || before.Position != 0 || before.Forward != newest.First {
		t.Errorf("before the first: %+v", before)
	}
	beyond, err := read.MomentOf(ctx, o, projections.When{Step: 9999})
	must(t, err)
	if beyond != newest {
		t.Errorf("beyond the last: %+v", beyond)
	}
	ticks, err := read.Ticks(ctx, o, newest, 4)
	must(t, err)
	counts, err := read.Density(ctx, o, newest, 10)
	must(t, err)
	total := 0
	for _, n := range counts {
		total += n
	}
	if len(ticks) == 0 || len(ticks) > 4 || ticks[0].Step != 1 || total != newest.Steps {
		t.Errorf("ticks %v, density %v", ticks, counts)
	}
}

func TestAuditNamesWhomAnEventIsAbout(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.history(t)
	read, ctx := projections.NewReader(f.pool), t.Context()
	for _, step := range []struct{ sql, want string }{
		{`select $1::uuid`, ""},
		{`insert into people (id, email, display_name) values ($1, 'kim@example.test', 'Kim')`, "Kim"},
		{`update people set display_name = 'erased' where id = $1`, ""},
	} {
		_, err := f.pool.Exec(ctx, step.sql, f.person)
		must(t, err)
		lines, _, _, err := read.ListAudit(ctx, f.operator, projections.AuditFilter{Event: []projections.Match{{Values: []string{"WorkspaceCreated", "MemberAdded"}}}})
		must(t, err)
		var about []string
		for _, l := range lines {
			if bytes.Contains(l.Payload, []byte(`"person":"`+f.person.String())) {
				about = append(about, l.Subject)
			} else if l.Subject != "" {
				t.Errorf("%s is told as about %s", l.Event, l.Subject)
			}
		}
		if len(about) == 0 || slices.ContainsFunc(about, func(name string) bool { return name != step.want }) {
			t.Errorf("after %q the events are about %q, not %q", step.sql, about, step.want)
		}
	}
}

func TestAuditLogFiltersAndCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := f.history(t)
	_, err := f.pool.Exec(t.Context(), `insert into people (id, email, display_name) values ($1, 'kim@example.test', 'Kim')`, f.person)
	must(t, err)
	read, ctx := projections.NewReader(f.pool), t.Context()
	match := func(values ...string) []projections.Match { return []projections.Match{{Values: values}} }
	not := func(values ...string) []projections.Match { return []projections.Match{{Values: values, Not: true}} }
	runs, _, _, err := read.ListRuns(ctx, f.operator, projections.RunFilter{})
	must(t, err)
	for name, c := range map[string]struct {
		f    projections.AuditFilter
		want func(projections.AuditLine) bool
	}{
		"everything":  {projections.AuditFilter{}, func(projections.AuditLine) bool { return true }},
		"event":       {projections.AuditFilter{Event: match("StartBlocked", "ScopeBusy")}, func(l projections.AuditLine) bool { return l.Event == "StartBlocked" || l.Event == "ScopeBusy" }},
		"not event":   {projections.AuditFilter{Event: not("StartBlocked")}, func(l projections.AuditLine) bool { return l.Event != "StartBlocked" }},
		"outcome":     {projections.AuditFilter{Outcome: match("succeeded")}, func(l projections.AuditLine) bool { return l.Event == "RunCompleted" }},
		"reason":      {projections.AuditFilter{Reason: match("provider_connection_disabled")}, func(l projections.AuditLine) bool { return l.Event == "StartBlocked" }},
		"kind":        {projections.AuditFilter{Kind: match("tenant")}, func(l projections.AuditLine) bool { return l.ObjectKind == "tenant" }},
		"actor":       {projections.AuditFilter{Actor: match("kim")}, func(l projections.AuditLine) bool { return l.ActorID == f.person }},
		"system":      {projections.AuditFilter{Actor: match("system")}, func(l projections.AuditLine) bool { return l.ActorKind == domain.ActorSystem }},
		"tenant":      {projections.AuditFilter{TenantName: match("conto")}, func(l projections.AuditLine) bool { return l.Tenant != nil }},
		"directory":   {projections.AuditFilter{TenantName: match(strings.ToUpper(f.tenant.ExternalID.String()))}, func(l projections.AuditLine) bool { return l.Tenant != nil }},
		"connection":  {projections.AuditFilter{Object: projections.ObjectName("connection", f.conn.Number)}, func(l projections.AuditLine) bool { return l.Stream == f.conn.ID }},
		"run":         {projections.AuditFilter{Object: projections.ObjectName("run", runs[0].Number)}, func(l projections.AuditLine) bool { return l.Run != nil }},
		"no such run": {projections.AuditFilter{Object: "run/1"}, func(projections.AuditLine) bool { return false }},
		"positions":   {projections.AuditFilter{FirstPosition: 3, LastPosition: 5}, func(l projections.AuditLine) bool { return l.Position >= 3 && l.Position <= 5 }},
		"attempt":     {projections.AuditFilter{Attempt: &runs[0].Attempt}, func(l projections.AuditLine) bool { return l.Attempt != nil && *l.Attempt == runs[0].Attempt }},
		"no attempt":  {projections.AuditFilter{Attempt: &uuid.Nil}, func(projections.AuditLine) bool { return false }},
		"nowhere":     {projections.AuditFilter{Workspace: &uuid.Nil}, func(projections.AuditLine) bool { return false }},
		"future":      {projections.AuditFilter{From: time.Now().Add(time.Hour)}, func(projections.AuditLine) bool { return false }},
	} {
		everything, _, _, err := read.ListAudit(ctx, f.operator, projections.AuditFilter{Limit: 1000})
		must(t, err)
		want := 0
		for _, l := range everything {
			if leaf := tlog.RecordHash(l.Record()); !bytes.Equal(leaf[:], l.Leaf) {
				t.Fatalf("the record of position %d has the hash %x, not %x", l.Position, leaf, l.Leaf)
			}
			if c.want(l) {
				want++
			}
		}
		c.f.Limit = 3
		got, pages := 0, 0
		for more := true; more; pages++ {
			var lines []projections.AuditLine
			lines, _, more, err = read.ListAudit(ctx, f.operator, c.f)
			must(t, err)
			for _, l := range lines {
				if !c.want(l) {
					t.Errorf("%s: has %s at %d", name, l.Event, l.Position)
				}
				got++
				c.f.Older = l.Position
			}
		}
		if got != want || want == 0 && !slices.Contains([]string{"future", "no such run", "no attempt", "nowhere"}, name) || name == "everything" && got != len(all) {
			t.Errorf("%s: %d events in %d pages, want %d of %d", name, got, pages, want, len(all))
		}
	}
	facets, total, err := read.AuditFacets(ctx, f.operator, projections.AuditFilter{})
	must(t, err)
	byDimension := map[string]int{}
	for _, facet := range facets {
		byDimension[facet.Dimension] += facet.Count
	}
	if total != len(all) || byDimension["event"] != total || byDimension["kind"] != total || byDimension["actor"] != total || byDimension["outcome"] < 4 {
		t.Errorf("%d events, facets %v", total, byDimension)
	}
}

// TestAuditShowsWhatAnActorSees: nothing of another workspace, and to a member of some tenants nothing of other tenants or of the workspace.
func TestAuditShowsWhatAnActorSees(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := f.history(t)
	read, ctx := projections.NewReader(f.pool), t.Context()
	stranger := f.operator
	stranger.Workspace = uuid.New()
	other := f.operator
	other.Tenants = []uuid.UUID{uuid.New()}
	only := f.operator
	only.Tenants = []uuid.UUID{f.tenant.ID}
	for name, actor := range map[string]domain.Actor{"stranger": stranger, "of another tenant": other, "platform": {Platform: true, Workspace: f.workspace}} {
		lines, _, _, err := read.ListAudit(ctx, actor, projections.AuditFilter{Workspace: &f.workspace})
		must(t, err)
		facets, total, err := read.AuditFacets(ctx, actor, projections.AuditFilter{})
		must(t, err)
		_, err1 := read.AuditEvent(ctx, actor, all[0].Position)
		_, err2 := read.Object(ctx, actor, "connection", f.conn.Number)
		_, err3 := read.ObjectOf(ctx, actor, f.conn.ID)
		if len(lines) != 0 || total != 0 || len(facets) != 0 || !errors.Is(err1, projections.ErrNoRow) || !errors.Is(err2, projections.ErrNoRow) || !errors.Is(err3, projections.ErrNoRow) {
			t.Errorf("%s sees %d events, %d counted, %v, %v, %v, %v", name, len(lines), total, facets, err1, err2, err3)
		}
	}
	lines, _, _, err := read.ListAudit(ctx, only, projections.AuditFilter{Limit: 1000})
	must(t, err)
	if len(lines) == 0 || len(lines) >= len(all) {
		t.Errorf("a member of the tenant sees %d of %d events", len(lines), len(all))
	}
	for _, l := range lines {
		if l.Tenant == nil || *l.Tenant != f.tenant.ID {
			t.Errorf("a member of the tenant sees %s of %v", l.Event, l.Tenant)
		}
	}
}

func TestAttemptsAreListedGroupedAndCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.history(t)
	read, ctx := projections.NewReader(f.pool), t.Context()
	var outcomes []domain.Outcome
	filter := projections.AttemptFilter{Limit: 1}
	for more := true; more; {
		lines, newer, older, err := read.ListAttempts(ctx, f.operator, filter)
		must(t, err)
		if len(lines) != 1 || newer != (len(outcomes) > 0) {
			t.Fatalf("page of %d, newer %v", len(lines), newer)
		}
		outcomes, more = append(outcomes, lines[0].Outcome), older
		filter.After = lines[0].Cursor()
	}
	if want := []domain.Outcome{domain.IsBlocked, domain.Busy, domain.Deduped, domain.Accepted}; len(outcomes) != 4 || outcomes[0] != want[0] || outcomes[3] != want[3] {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}
	groups, err := read.GroupAttempts(ctx, f.operator, projections.AttemptFilter{})
	must(t, err)
	hours, err := read.AttemptHours(ctx, f.operator, projections.AttemptFilter{From: time.Now().Add(-time.Hour)})
	must(t, err)
	if len(groups) != 2 || groups[0].Attempts != 1 || groups[0].Tenants != 1 || groups[0].Open != 1 || groups[0].Where[0].Tenant != "Contoso" || len(hours) == 0 {
		t.Errorf("groups %+v, hours %+v", groups, hours)
	}
	upper := func(id uuid.UUID) []projections.Match {
		return []projections.Match{{Values: []string{strings.ToUpper(id.String())}}}
	}
	lines, _, _, err := read.ListAttempts(ctx, f.operator, projections.AttemptFilter{TenantName: upper(f.tenant.ExternalID), Initiator: upper(f.operator.Ref.ID)})
	must(t, err)
	if len(lines) != 4 {
		t.Errorf("ids in upper case find %d attempts, want 4", len(lines))
	}
	if a, err := read.Attempt(ctx, f.operator, uuid.Nil); !errors.Is(err, projections.ErrNoRow) {
		t.Errorf("the attempt of no id is %v, %v", a.Attempt, err)
	}
	stranger := f.operator
	stranger.Workspace = uuid.New()
	lines, _, _, err = read.ListAttempts(ctx, stranger, projections.AttemptFilter{})
	must(t, err)
	groups, err = read.GroupAttempts(ctx, stranger, projections.AttemptFilter{})
	must(t, err)
	if len(lines) != 0 || len(groups) != 0 {
		t.Errorf("a stranger sees %v, %v", lines, groups)
	}
}

// TestAuditRebuiltInPiecesIsTheSame: the rows do not depend on how the log was cut into batches, nor on whether a batch came twice.
func TestAuditRebuiltInPiecesIsTheSame(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := f.history(t)
	rows := func() string {
		var text string
		must(t, f.pool.QueryRow(t.Context(), `select (select json_agg(a order by position)::text from audit_log a) || (select json_agg(o order by stream)::text from audit_objects o)`).Scan(&text))
		return text
	}
	was := rows()
	_, err := f.pool.Exec(t.Context(), `delete from audit_log; delete from audit_objects`)
	must(t, err)
	for size, from := 1, 0; from < len(all); size++ {
		var batch []projections.Event
		for _, e := range all[from:min(from+size, len(all))] {
			data, err := e.Decode()
			must(t, err)
			batch = append(batch, projections.Event{Event: e, Data: data})
		}
		for range 2 {
			must(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error { return projections.Audit{}.Apply(t.Context(), tx, batch) }))
		}
		from += len(batch)
	}
	if now := rows(); now != was {
		t.Errorf("rebuilt:\n%s\nwas:\n%s", now, was)
	}
}

// TraceBatchStart implements pgx.BatchTracer, as do the next two.
func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *statements) TraceBatchQuery(ctx context.Context, conn *pgx.Conn, d pgx.TraceBatchQueryData) {
	s.TraceQueryStart(ctx, conn, pgx.TraceQueryStartData{SQL: d.SQL, Args: d.Args})
}

func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TestMomentsAreFoundByIndex: what the console asks for a moment of a long story, as the role it asks as, goes to the rows that it needs, wherever
// in the log they are. A time is looked up in the index alone.
func TestMomentsAreFoundByIndex(t *testing.T) {
	t.Parallel()
	log := asOfLog{connections: 100, each: 180, hot: 3180}
	db, actor := newAsOfLog(t, log)
	cfg, err := pgxpool.ParseConfig(db.AppURL)
	must(t, err)
	ran := &statements{}
	cfg.ConnConfig.Tracer = ran
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	must(t, err)
	t.Cleanup(pool.Close)
	read, ctx := projections.NewConsoleReader(pool), projections.WithSight(t.Context(), actor)
	o, err := read.Object(ctx, actor, projections.ObjectConnection, int64(log.connections))
	must(t, err)
	newest, err := read.MomentOf(ctx, o, projections.When{})
	must(t, err)
	if newest.Steps != log.hot {
		t.Fatalf("the story has %d events", newest.Steps)
	}
	middle, err := read.MomentOf(ctx, o, projections.When{Step: log.hot / 2})
	must(t, err)
	for name, c := range map[string]struct {
		ask     func() error
		mayPass int // rows that are looked at for nothing
	}{
		"the newest":         {func() error { _, err := read.MomentOf(ctx, o, projections.When{}); return err }, 0},
		"a step":             {func() error { _, err := read.MomentOf(ctx, o, projections.When{Step: 7}); return err }, 0},
		"an early position":  {func() error { _, err := read.MomentOf(ctx, o, projections.When{Position: middle.First}); return err }, 0},
		"a later position":   {func() error { _, err := read.MomentOf(ctx, o, projections.When{Position: middle.Position}); return err }, 0},
		"before its time":    {func() error { _, err := read.MomentOf(ctx, o, projections.When{Position: 1}); return err }, 0},
		"a time":             {func() error { _, err := read.MomentOf(ctx, o, projections.When{Time: middle.At}); return err }, log.hot / 2},
		"marks of its story": {func() error { _, err := read.StatesAt(ctx, o, middle.First, middle.First+1); return err }, 0},
		"ticks":              {func() error { _, err := read.Ticks(ctx, o, newest, 240); return err }, 0},
	} {
		ran.mu.Lock()
		ran.ran = nil
		ran.mu.Unlock()
		must(t, c.ask())
		ran.mu.Lock()
		queries := ran.ran
		ran.mu.Unlock()
		explained := 0
		for _, q := range queries {
			if !strings.Contains(q.SQL, " from ") {
				continue
			}
			explained++
			plan := explainAsConsole(t, pool, actor, q)
			for _, removed := range regexp.MustCompile(`Rows Removed by Filter: (\d+)`).FindAllStringSubmatch(plan, -1) {
				if n, _ := strconv.Atoi(removed[1]); n > c.mayPass {
					t.Errorf("%s: %d rows are looked at for nothing\n%s", name, n, plan)
				} else if c.mayPass -= n; !strings.Contains(plan, "Index Only Scan Backward using audit_log_by_stream") {
					t.Errorf("%s: rows are looked at\n%s", name, plan)
				}
			}
			if regexp.MustCompile(`Seq Scan|Bitmap Heap Scan on audit_log|audit_log_key on audit_log \w+ \(.*\n *Filter`).MatchString(plan) {
				t.Errorf("%s: not by the index of its story\n%s", name, plan)
			}
		}
		if explained == 0 {
			t.Errorf("%s: no query ran", name)
		}
	}
}

func explainAsConsole(t *testing.T, pool *pgxpool.Pool, actor domain.Actor, q pgx.TraceQueryStartData) (plan string) {
	t.Helper()
	must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `select set_config('role', 'tenantpilot_console', true), set_config('tenantpilot.workspace', $1, true)`, actor.Workspace.String())
		must(t, err)
		rows, err := tx.Query(t.Context(), "explain (analyze, costs off, timing off) "+q.SQL, q.Args...)
		must(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		plan = strings.Join(lines, "\n")
		return err
	}))
	return plan
}

// TestTheAuditorMayReadAndNothingElse: everything that the command line reads, as the role it reads with, which may not write.
func TestTheAuditorMayReadAndNothingElse(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool, ctx := db.AuditorPool(t), t.Context()
	auditor := projections.NewAuditor(pool)
	_, _, err := auditor.List(ctx, projections.AuditFilter{Actor: []projections.Match{{Values: []string{"kim"}}}, TenantName: []projections.Match{{Values: []string{"x"}}}})
	must(t, err)
	_, err = auditor.Attempts(ctx, projections.AttemptFilter{})
	must(t, err)
	_, _, err = auditor.CatchUp(ctx, time.Second)
	must(t, err)
	if _, err := auditor.Object(ctx, "connection", 1); !errors.Is(err, projections.ErrNoRow) {
		t.Error(err)
	}
	o := projections.Object{Kind: "run", Number: 1, Stream: uuid.New()}
	_, err = auditor.MomentOf(ctx, o, projections.When{})
	must(t, err)
	_, err = auditor.StatesAt(ctx, o, 1)
	must(t, err)
	for _, refused := range []string{
		`delete from audit_log`, `insert into audit_objects (stream, kind, workspace, position) values (gen_random_uuid(), 'x', gen_random_uuid(), 1)`,
		`select email from people`, `select * from api_tokens`, `update people set display_name = ''`,
	} {
		if _, err := pool.Exec(ctx, refused); err == nil {
			t.Errorf("the auditor may %s", refused)
		}
	}
}
