package projections_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// twoWorkspaces is the fixture's workspace with a run under way, and a second one with one of everything.
func twoWorkspaces(t testing.TB) (ours, theirs *fixture) {
	t.Helper()
	return twoWorkspacesAt(t, pgtest.New(t))
}

func twoWorkspacesAt(t testing.TB, db *pgtest.DB) (ours, theirs *fixture) {
	t.Helper()
	ours = newFixtureAt(t, db, projections.All()...)
	other := *ours
	theirs = &other
	theirs.workspace, theirs.person = uuid.New(), uuid.New()
	theirs.operator = domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: theirs.person}, Workspace: theirs.workspace, Role: domain.RoleOwner}
	theirs.populate(t)
	for _, f := range []*fixture{ours, theirs} {
		ctx, owner := t.Context(), domain.SystemActor(f.workspace)
		_, err := f.pool.Exec(ctx, `insert into people (id, email, display_name) values ($1, $2, 'Kim')`, f.person, f.person.String()+"@example.test")
		must(t, err)
		must(t, f.commands.DescribePerson(ctx, commands.DescribePerson{Actor: owner, Person: f.person, Identity: commands.Identity{Name: "Kim"}}))
		_, err = f.pool.Exec(ctx, `insert into known_as values ($1, $2, 'kim@example.test', 'Kim')`, f.workspace, f.person)
		must(t, err)
		must(t, f.commands.DefineRole(ctx, commands.DefineRole{Actor: owner, Role: "night"}))
		f.invited, f.token = uuid.New(), uuid.New()
		must(t, f.commands.InviteMember(ctx, commands.InviteMember{Actor: owner, Person: f.invited, Role: "night", Until: time.Now().Add(time.Hour)}))
		_, err = f.pool.Exec(ctx, `insert into api_tokens (id, token, person, workspace, name, prefix, hash, created_at) values ($1, $1, $2, $3, 'x', 'tp', $4, now())`,
			f.token, f.person, f.workspace, []byte(f.person.String()))
		must(t, err)
		f.checked = f.finish(t, domain.OpConnectionCheck, &domain.Finding{State: domain.VerificationHealthy, Granted: []string{
			"GroupMember.Read.All", "RoleManagement.Read.Directory",
		}})
		f.finish(t, domain.OpGroupsSync, nil)
		run := f.start(t, domain.OpGroupsSync)
		f.settleAll(t)
		_, err = projections.Claim(ctx, f.pool, "w", time.Minute)
		must(t, err)
		_, _, err = f.commands.Reserve(ctx, commands.Reserve{Start: commands.Start{
			Actor: f.operator, Tenant: f.tenant.ExternalID, Operation: domain.OpRoleDefinitionsSync,
		}})
		must(t, err)
		if r := f.start(t, domain.OpGroupsSync); r.Outcome != domain.Deduped || r.RunNumber != run.RunNumber {
			t.Fatalf("outcome = %s", r.Outcome)
		}
		busy := f.start(t, domain.OpRoleDefinitionsSync)
		if busy.Outcome != domain.Busy {
			t.Fatalf("outcome = %s", busy.Outcome)
		}
		f.replay(t, busy.Attempt)
		f.onboard(t)
		held, err := f.commands.RegisterTenant(ctx, commands.RegisterTenant{Actor: owner, ExternalID: uuid.New(), Name: "Held"})
		must(t, err)
		must(t, f.commands.HoldTenant(ctx, commands.HoldTenant{Actor: owner, Tenant: held.ExternalID, Reason: "Freeze"}))
		view := projections.SavedView{ID: uuid.New(), Name: "Mine", Query: "status=failed"}
		must(t, projections.NewReader(f.pool).CreateView(ctx, f.operator, "operations", view))
		must(t, projections.NewReader(f.pool).ChooseDefaultView(ctx, f.operator, view.ID, true))
		_, err = f.pool.Exec(ctx, `insert into directory_cache values ($1, $2, 'groups', 'x', 1, now(), $3, 1)`, f.tenant.ID.String(), f.tenant.ID, run.Run)
		must(t, err)
	}
	ours.settleAll(t)
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) { // messages come on their own
		var told int
		must(t, ours.pool.QueryRow(t.Context(), `select count(distinct workspace) from notifications`).Scan(&told))
		if told == 2 {
			return ours, theirs
		}
		if time.Now().After(deadline) {
			t.Fatal("no notification within 15 s")
		}
	}
}

// finish runs an operation to its good end, with what a check has found.
func (f *fixture) finish(t testing.TB, op domain.OperationType, finding *domain.Finding) int64 {
	t.Helper()
	r := f.start(t, op)
	f.settleAll(t)
	item, err := projections.Claim(t.Context(), f.pool, "w", time.Minute)
	must(t, err)
	if item == nil || item.Run != r.Run {
		t.Fatalf("%s is %s, claimed %+v", op, r.Outcome, item)
	}
	claim := commands.Claim{Workspace: f.workspace, Run: r.Run, Token: item.Token, Worker: "w"}
	_, err = f.commands.BeginRun(t.Context(), claim)
	must(t, err)
	must(t, f.commands.EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Succeeded}, finding))
	return r.RunNumber
}

// withoutOwner are the tables that the console reads whole: none has a word about anybody.
var withoutOwner = map[string]bool{
	"log": true, "pending": true, "sequencer": true, "checkpoints": true, "parked": true, "goose_db_version": true,
}

// TestAForgottenFilterFindsNothingOfOthers reads every table that the console may read, without any filter.
func TestAForgottenFilterFindsNothingOfOthers(t *testing.T) {
	t.Parallel()
	ours, theirs := twoWorkspaces(t)
	ctx := t.Context()
	rows, err := ours.pool.Query(ctx, `select c.relname, c.relrowsecurity or coalesce(c.relkind = 'v' and c.reloptions @> '{security_invoker=true}', false),
			exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'workspace' and not a.attisdropped)
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'm') and has_any_column_privilege('tenantpilot_console', c.oid, 'select')
		order by 1`)
	must(t, err)
	type tableFacts struct {
		Name            string
		Secured, Scoped bool
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[tableFacts])
	must(t, err)
	if len(tables) < 15 {
		t.Errorf("the console reads %d tables; they are not listed as expected", len(tables))
	}
	count := func(workspace, table, where string) (n int) {
		t.Helper()
		must(t, pgx.BeginFunc(ctx, ours.pool, func(tx pgx.Tx) error {
			if workspace != "everybody" {
				person := ""
				for _, f := range []*fixture{ours, theirs} {
					if workspace == f.workspace.String() {
						person = f.person.String()
					}
				}
				_, err := tx.Exec(ctx, `select set_config('role', 'tenantpilot_console', true), set_config('tenantpilot.workspace', $1, true),
					set_config('tenantpilot.person', $2, true)`, workspace, person)
				if err != nil {
					return err
				}
			}
			return tx.QueryRow(ctx, `select count(*) from `+table+` t where `+where).Scan(&n)
		}))
		return n
	}
	for _, table := range tables {
		if withoutOwner[table.Name] {
			continue
		}
		if !table.Secured {
			t.Errorf("the console reads %s, which has no row security: say who may see its rows (console_reads)", table.Name)
			continue
		}
		if n := count("", table.Name, "true"); n != 0 {
			t.Errorf("%s: %d rows without a workspace", table.Name, n)
		}
		for _, f := range []*fixture{ours, theirs} {
			of := "true"
			if table.Scoped {
				of = fmt.Sprintf("t.workspace = '%s'", f.workspace)
			}
			all, seen := count("everybody", table.Name, of), count(f.workspace.String(), table.Name, "true")
			if seen == 0 || table.Scoped && seen != all || !table.Scoped && seen >= all {
				t.Errorf("%s: %d rows seen of %d (scoped %v)", table.Name, seen, all, table.Scoped)
			}
		}
	}
}

// TestEveryQueryStopsAtTheWall calls every method of the reader with filters that name their objects, while the wall is ours: what a query
// answers then is what it would answer had it forgotten its filter. Each must find nothing, and something once the wall is theirs.
func TestEveryQueryStopsAtTheWall(t *testing.T) {
	t.Parallel()
	ours, theirs := twoWorkspaces(t)
	read := projections.NewConsoleReader(ours.pool)
	line, err := projections.NewReader(ours.pool).RunByNumber(t.Context(), theirs.operator, theirs.start(t, domain.OpGroupsSync).RunNumber)
	must(t, err)
	plain := projections.NewReader(ours.pool)
	object, err := plain.Object(t.Context(), theirs.operator, projections.ObjectConnection, theirs.conn.Number)
	must(t, err)
	moment, err := plain.MomentOf(t.Context(), object, projections.When{})
	must(t, err)
	attempt, err := plain.Attempt(t.Context(), theirs.operator, line.Attempt)
	must(t, err)
	var event uuid.UUID
	must(t, ours.pool.QueryRow(t.Context(), `select id from events where stream = $1 and version = 1`, line.ID).Scan(&event))
	var view uuid.UUID
	must(t, ours.pool.QueryRow(t.Context(), `select id from saved_views where workspace = $1`, theirs.workspace).Scan(&view))
	connection, err := plain.Connection(t.Context(), theirs.operator, theirs.conn.Number)
	must(t, err)
	var preview uuid.UUID
	must(t, ours.pool.QueryRow(t.Context(), `select id from replay_previews where workspace = $1`, theirs.workspace).Scan(&preview))
	check, err := plain.RunByNumber(t.Context(), theirs.operator, theirs.checked)
	must(t, err)
	// What is for platform people alone.
	nothing := map[string]bool{
		"PlatformConnections": true, "PlatformTenants": true, "PlatformStanding": true, "SetAside": true,
	}
	session, err := plain.OnboardingOf(t.Context(), theirs.operator, theirs.tenant.ExternalID)
	must(t, err)
	arguments := map[reflect.Type][]any{
		reflect.TypeFor[projections.Connection]():    {connection},
		reflect.TypeFor[[]projections.Projection]():  {[]projections.Projection(nil), []projections.Projection{projections.Audit{}}},
		reflect.TypeFor[projections.Object]():        {object},
		reflect.TypeFor[projections.When]():          {projections.When{}},
		reflect.TypeFor[projections.Moment]():        {moment},
		reflect.TypeFor[projections.AttemptLine]():   {attempt},
		reflect.TypeFor[projections.AttemptFilter](): {projections.AttemptFilter{}},
		reflect.TypeFor[projections.AuditFilter]():   {projections.AuditFilter{}},
		reflect.TypeFor[string]():                    {projections.ObjectConnection, projections.ObjectRun, projections.ObjectTenant, "operations"},
		reflect.TypeFor[[]int64]():                   {[]int64{moment.Position}},
		reflect.TypeFor[[]string]():                  {[]string{line.Identity}},
		reflect.TypeFor[domain.Actor]():              {theirs.operator},
		reflect.TypeFor[uuid.UUID]():                 {theirs.tenant.ID, theirs.tenant.ExternalID, line.ID, theirs.person, line.Attempt, event, view, preview, theirs.invited, theirs.token, uuid.Nil},
		reflect.TypeFor[int64]():                     {line.Number, theirs.conn.Number, session.Number, int64(0)},
		reflect.TypeFor[domain.OperationType]():      {domain.OpGroupsSync},
		reflect.TypeFor[time.Time]():                 {time.Now().Add(-time.Hour), time.Now().Add(time.Hour)},
		reflect.TypeFor[int]():                       {20},
		reflect.TypeFor[time.Duration]():             {time.Millisecond},
		reflect.TypeFor[projections.Run]():           {line.Run, check.Run},
		reflect.TypeFor[projections.RunFilter]():     {projections.RunFilter{Limit: 20}},
	}
	// What is no row of anybody: how far the log is; and what writes (TestEveryChangeStopsAtTheWall).
	exempt := map[string]bool{
		"Lag": true, "AwaitRuns": true, "AwaitNow": true, "Behind": true, "CreateView": true, "ChangeView": true, "DeleteView": true,
		"ChooseDefaultView": true, "AwaitConnections": true, "MarkRead": true, "KeepReplayPreview": true, "ConfirmReplayPreview": true,
		"AwaitOnboarding": true, "Head": true,
	}
	v := reflect.ValueOf(read)
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if exempt[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			found := func(as domain.Actor) (n int) {
				ctx := reflect.ValueOf(projections.WithSight(t.Context(), as))
				for _, args := range combinations(t, v.Method(i).Type(), arguments) {
					call := v.Method(i).Call
					if v.Method(i).Type().IsVariadic() {
						call = v.Method(i).CallSlice
					}
					out := call(append([]reflect.Value{ctx}, args...))
					if err, _ := out[len(out)-1].Interface().(error); err != nil {
						if !errors.Is(err, projections.ErrNoRow) {
							t.Errorf("%v: %v", args, err)
						}
						continue
					}
					if tells(out[0]) {
						n++
					}
				}
				return n
			}
			if n := found(ours.operator); n != 0 {
				t.Errorf("%d calls about their objects find something from our side of the wall", n)
			}
			if n := found(theirs.operator); n == 0 && !nothing[name] {
				t.Error("no call finds anything from their side: the arguments are not what this query needs")
			}
		})
	}
}

// TestEveryChangeStopsAtTheWall calls what the reader changes on behalf of somebody of theirs while the wall is ours, and then while the wall is
// theirs but somebody else's: what would be changed had the statement forgotten its filter. Nothing may be, and each changes something once
// the wall is that person's own.
func TestEveryChangeStopsAtTheWall(t *testing.T) {
	t.Parallel()
	ours, theirs := twoWorkspaces(t)
	read, ctx := projections.NewConsoleReader(ours.pool), t.Context()
	written := func() (all string) {
		t.Helper()
		must(t, ours.pool.QueryRow(ctx, `select concat((select json_agg(v order by id) from saved_views v), (select json_agg(d order by view, person) from saved_view_defaults d),
			(select json_agg(p order by id) from replay_previews p), (select json_agg(id order by id) from notifications where read_at is not null))`).Scan(&all))
		return all
	}
	var view, preview uuid.UUID
	must(t, ours.pool.QueryRow(ctx, `select id from saved_views where workspace = $1`, theirs.workspace).Scan(&view))
	must(t, ours.pool.QueryRow(ctx, `select id from replay_previews where workspace = $1`, theirs.workspace).Scan(&preview))
	colleague := theirs.operator
	colleague.Ref.ID = uuid.New()
	for _, change := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"CreateView", func(ctx context.Context) error {
			return read.CreateView(ctx, theirs.operator, "operations", projections.SavedView{ID: uuid.New(), Name: "Another"})
		}},
		{"ChangeView", func(ctx context.Context) error {
			return read.ChangeView(ctx, theirs.operator, projections.SavedView{ID: view, Query: "status=queued", Shared: true})
		}},
		{"ChooseDefaultView, off", func(ctx context.Context) error { return read.ChooseDefaultView(ctx, theirs.operator, view, false) }},
		{"ChooseDefaultView", func(ctx context.Context) error { return read.ChooseDefaultView(ctx, theirs.operator, view, true) }},
		{"DeleteView", func(ctx context.Context) error { return read.DeleteView(ctx, theirs.operator, view) }},
		{"MarkRead", func(ctx context.Context) error { return read.MarkRead(ctx, theirs.operator) }},
		{"ConfirmReplayPreview", func(ctx context.Context) error {
			_, err := read.ConfirmReplayPreview(ctx, theirs.operator, preview)
			return err
		}},
		{"KeepReplayPreview", func(ctx context.Context) error {
			_, err := read.KeepReplayPreview(ctx, theirs.operator, projections.ReplayPreview{ID: uuid.New()})
			return err
		}},
	} {
		before := written()
		for who, actor := range map[string]domain.Actor{"another workspace": ours.operator, "a colleague": colleague, "nobody": {}} {
			err := change.do(projections.WithSight(ctx, actor)) // an error is as good as no row
			if written() != before {
				t.Errorf("%s changes something from the side of %s (%v)", change.name, who, err)
				before = written()
			}
		}
		must(t, change.do(projections.WithSight(ctx, theirs.operator)))
		if written() == before {
			t.Errorf("%s changes nothing from their side: it shows nothing", change.name)
		}
	}
	// And the database lets the console write nothing else.
	rows, err := ours.pool.Query(ctx, `select c.relname || ' ' || p from pg_class c, unnest(array['insert', 'update', 'delete', 'truncate']) p
		where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and (has_table_privilege('tenantpilot_console', c.oid, p)
			or p in ('insert', 'update') and has_any_column_privilege('tenantpilot_console', c.oid, p))
			and c.relname not in ('saved_views', 'saved_view_defaults', 'replay_previews') order by 1`)
	must(t, err)
	if may, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(may, []string{"notifications update"}) {
		t.Errorf("the console may also %v, %v", may, err)
	}
}

// combinations are all choices of arguments after the context.
func combinations(t *testing.T, method reflect.Type, from map[reflect.Type][]any) [][]reflect.Value {
	all := [][]reflect.Value{nil}
	for i := 1; i < method.NumIn(); i++ {
		choices, ok := from[method.In(i)]
		if !ok {
			t.Fatalf("no arguments of type %s: add some that name their objects", method.In(i))
		}
		var next [][]reflect.Value
		for _, head := range all {
			for _, c := range choices {
				next = append(next, append(append([]reflect.Value(nil), head...), reflect.ValueOf(c)))
			}
		}
		all = next
	}
	return all
}

// tells says whether a value has anything in it.
func tells(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map:
		return v.Len() > 0
	case reflect.Slice:
		for i := range v.Len() {
			if tells(v.Index(i)) {
				return true
			}
		}
		return false
	case reflect.Struct:
		for i := range v.NumField() {
			if _, isTime := v.Field(i).Interface().(time.Time); !isTime && tells(v.Field(i)) {
				return true
			}
		}
		return false
	}
	return !v.IsZero()
}

// BenchmarkWall measures what the second wall adds to the list pages' queries: each is read with and without it in turn, in a workspace of
// 200 tenants and connections with 100,000 runs, attempts and lines of the audit log, beside another of the same size. What
// is added to the log lies before its first position, where no projection looks.
func BenchmarkWall(b *testing.B) {
	db := pgtest.New(b)
	_, f := twoWorkspacesAt(b, db)
	owner := db.OwnerPool(b)
	for _, statement := range []string{
		`insert into tenants select t.* from tenants o, generate_series(1, 199) n, lateral jsonb_populate_record(o, jsonb_build_object(
			'tenant', gen_random_uuid(), 'number', 10000 * (1 + o.number) + n, 'external_id', gen_random_uuid(), 'name', 'Tenant ' || n)) t`,
		`insert into provider_connections select c.* from provider_connections o, generate_series(1, 199) n, lateral jsonb_populate_record(o,
			jsonb_build_object('stream', gen_random_uuid(), 'number', 10000 * (1 + o.number) + n)) c`,
		`insert into runs select r.* from runs o, generate_series(1, 100000) n, lateral jsonb_populate_record(o, jsonb_build_object(
			'run', gen_random_uuid(), 'number', 1000000 * (1 + o.number) + n, 'execution_status', 'completed', 'outcome', 'succeeded',
			'accepted_at', o.accepted_at - n * interval '1 min', 'ended_at', o.accepted_at - n * interval '1 min' + interval '9 s')) r`,
		`insert into attempts select a.* from attempts o, generate_series(1, 100000) n, lateral jsonb_populate_record(o, jsonb_build_object(
			'attempt', gen_random_uuid(), 'at', o.at - n * interval '1 min')) a`,
		`create table origin as select min(position) as p, row_number() over () as w from audit_log where event = 'RunAccepted' group by workspace`,
		`insert into events select x.* from origin join log l on l.position = origin.p join events e using (seq), generate_series(1, 100000) n,
			lateral jsonb_populate_record(e, jsonb_build_object('seq', -2 * n - origin.w, 'id', gen_random_uuid(), 'version', 1000000 + n)) x`,
		`insert into log (position, seq) select e.seq, e.seq from events e where e.seq < 0`,
		`insert into audit_log select a.* from origin join audit_log o on o.position = origin.p, generate_series(1, 100000) n,
			lateral jsonb_populate_record(o, jsonb_build_object('position', -2 * n - origin.w, 'at', o.at - n * interval '1 ms')) a`,
		`analyze`,
	} {
		_, err := owner.Exec(b.Context(), statement)
		must(b, err)
	}
	// Two pools: a statement that one connection prepared is planned anew whenever the role changes.
	plain, walled := projections.NewReader(db.Pool(b)), projections.NewConsoleReader(db.Pool(b))
	ctx := projections.WithSight(b.Context(), f.operator)
	for _, page := range []struct {
		name string
		read func(projections.Reader) (lines int, err error)
	}{
		{"runs", func(r projections.Reader) (int, error) {
			lines, _, _, err := r.ListRuns(ctx, f.operator, projections.RunFilter{Limit: 50})
			return len(lines), err
		}},
		{"attempts", func(r projections.Reader) (int, error) {
			lines, _, _, err := r.ListAttempts(ctx, f.operator, projections.AttemptFilter{})
			return len(lines), err
		}},
		{"audit", func(r projections.Reader) (int, error) {
			lines, _, _, err := r.ListAudit(ctx, f.operator, projections.AuditFilter{})
			return len(lines), err
		}},
		{"tenants", func(r projections.Reader) (int, error) {
			lines, err := r.Tenants(ctx, f.operator)
			return len(lines), err
		}},
		{"connections", func(r projections.Reader) (int, error) {
			lines, err := r.Connections(ctx, f.operator, uuid.Nil)
			return len(lines), err
		}},
	} {
		b.Run(page.name, func(b *testing.B) {
			var took [2][]time.Duration
			for b.Loop() {
				for i, r := range []projections.Reader{plain, walled} {
					began := time.Now()
					lines, err := page.read(r)
					if err != nil || lines < 50 {
						b.Fatalf("%d lines, %v", lines, err)
					}
					took[i] = append(took[i], time.Since(began))
				}
			}
			median := func(d []time.Duration) float64 { slices.Sort(d); return float64(d[len(d)/2].Microseconds()) }
			b.ReportMetric(median(took[0]), "µs-filter")
			b.ReportMetric(median(took[1]), "µs-filter+wall")
			b.ReportMetric(median(took[1])/median(took[0]), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}
