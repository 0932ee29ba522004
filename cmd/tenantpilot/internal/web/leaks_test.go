package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// planted is a part of the world whose every name, reason and id can be told from anything else.
type planted struct {
	marker string   // in every text
	ids    []string // of its tenant, connection, runs, attempts and people
	run    string   // number of a run
	values map[string]string
}

// plant makes a tenant with everything that a tenant can have, by an owner of a workspace: names, reasons, groups, runs that failed and that
// are under way, a start that waits, one that was blocked, holds, notices. With workspaceToo also what belongs to the workspace: people,
// roles, views.
func (m *accessMatrix) plant(t *testing.T, marker string, actor domain.Actor, workspaceToo bool) planted {
	t.Helper()
	ctx := t.Context()
	tenant := m.tenant(t, actor, marker+" tenant")
	_, err := m.commands.DescribeTenant(ctx, commands.DescribeTenant{Actor: actor, Tenant: tenant.ExternalID, Name: tenant.Name, Groups: []string{marker + " group"}})
	must(t, err)
	conn := m.connect(t, actor, tenant)
	start := commands.Start{Actor: actor, Tenant: tenant.ExternalID, Operation: domain.OpGroupsSync, Trigger: domain.TriggerOperator, Surface: marker + " surface"}
	if !workspaceToo { // by somebody who is not to see the tenant any more when they are told how it ended
		start.Actor = domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: m.people["limited"]}, Workspace: actor.Workspace, Role: domain.RoleOperator}
	}
	ended, err := m.commands.Start(ctx, start)
	must(t, err)
	claim := m.work(t)
	if claim.Run != ended.Run {
		t.Fatal("another run was claimed: the fixture has queued work")
	}
	must(t, m.commands.RecordItems(ctx, claim, []domain.Item{{
		Key: marker + " key", Name: marker + " item", Type: "group", Intent: "read", Result: domain.ItemConfirmed, Count: 4711,
		Reason: domain.ReasonProviderUnavailable, RequestID: marker + "-request",
	}}))
	m.end(t, claim, domain.Ending{
		Outcome: domain.Failed, Reason: domain.ReasonProviderUnavailable, Summary: marker + " summary",
		Diagnostics: map[string]string{"requestId": marker + "-diagnostic"},
	})
	active, err := m.commands.Start(ctx, start)
	must(t, err)
	m.work(t)
	joined, err := m.commands.Start(ctx, start)
	must(t, err)
	waits := start
	waits.Operation = domain.OpConnectionCheck
	waits.Tenant, waits.Connection = uuid.Nil, conn.Number
	_, _, err = m.commands.Reserve(ctx, commands.Reserve{Start: waits})
	must(t, err)
	second, err := m.commands.CreateConnection(ctx, commands.CreateConnection{
		Actor: actor, Tenant: tenant.ExternalID, DisplayName: marker + " second", ConnectionType: "dedicated", AppID: uuid.NewString(),
	})
	must(t, err)
	must(t, m.commands.SetConnectionEnabled(ctx, commands.SetConnectionEnabled{Actor: actor, Connection: second.Number, Reason: marker + " disabled"}))
	blocked, err := m.commands.Start(ctx, commands.Start{Actor: actor, Connection: second.Number, Operation: domain.OpRoleDefinitionsSync})
	must(t, err)
	must(t, m.commands.HoldConnection(ctx, commands.HoldConnection{Actor: actor, Connection: second.Number, Reason: marker + " connection hold"}))
	must(t, m.commands.HoldTenant(ctx, commands.HoldTenant{Actor: actor, Tenant: tenant.ExternalID, Reason: marker + " tenant hold"}))
	p := planted{
		marker: marker, run: num(ended.RunNumber),
		ids: []string{
			tenant.ID.String(), tenant.ExternalID.String(), conn.ID.String(), conn.AppID, second.ID.String(), second.AppID, ended.Run.String(),
			active.Run.String(), ended.Attempt.String(), active.Attempt.String(), joined.Attempt.String(), blocked.Attempt.String(),
		},
	}
	if workspaceToo {
		person, err := m.auth.CreatePerson(ctx, "someone@"+strings.ToLower(marker)+".example", marker+" person", false)
		must(t, err)
		invited, err := m.auth.CreatePerson(ctx, "invited@"+strings.ToLower(marker)+".example", marker+" guest", false)
		must(t, err)
		must(t, m.commands.AddMember(ctx, commands.AddMember{Actor: actor, Person: person, Role: domain.RoleOperator, Tenants: []uuid.UUID{tenant.ID}}))
		must(t, m.commands.InviteMember(ctx, commands.InviteMember{Actor: actor, Person: invited, Role: domain.RoleReadonly, Until: time.Now().Add(time.Hour)}))
		must(t, m.commands.DefineRole(ctx, commands.DefineRole{Actor: actor, Role: domain.Role(strings.ToLower(marker) + "-role")}))
		who := "stranger"
		if actor.Workspace == m.ours {
			who = "owner"
		}
		m.browser(t, who).saveView(t, marker+" view", "outcome=failed&q="+url.QueryEscape(marker), true)
		p.ids = append(p.ids, person.String(), invited.String(), actor.Workspace.String(), actor.Ref.ID.String())
	}
	onboarding := m.onboarding(t, actor, tenant)
	m.settle(t)
	var position int64
	must(t, m.pool.QueryRow(ctx, `select max(position) from audit_log where stream = $1`, ended.Run).Scan(&position))
	_, err = m.pool.Exec(ctx, `insert into parked (projection, stream, position, cause) values ('planted', $1, $2, $3)`, ended.Run, position, marker+" cause")
	must(t, err)
	p.values = map[string]string{
		"tenant": tenant.ExternalID.String(), "tenantExternalId": tenant.ExternalID.String(), "connection": num(conn.Number), "record": num(conn.Number),
		"run": p.run, "operationRunId": p.run, "attempt": ended.Attempt.String(), "position": num(position), "workspace": actor.Workspace.String(),
		"person": actor.Ref.ID.String(), "system": num(tenant.Number), "tenantNumber": num(tenant.Number), "view": uuid.NewString(),
		"onboarding": onboarding, "reservation": uuid.NewString(), "role": strings.ToLower(marker) + "-role", "operation": string(domain.OpGroupsSync),
	}
	return p
}

// The forms in which a GET can be answered.
var answerForms = map[string]map[string]string{
	"page":     {"Accept": "text/html"},
	"fragment": {"Accept": "text/html", "HX-Request": "true"},
	"json":     {"Accept": "application/json"},
	"csv":      {"Accept": "text/csv"},
}

// read is a GET's answer as text, status and headers included, without the address that was asked for and the request's id. Of a stream it is
// what is said within a moment.
func (a *caller) read(t testing.TB, path, form string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.c.server.URL+path, nil)
	must(t, err)
	for name, value := range answerForms[form] {
		req.Header.Set(name, value)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	res, err := a.client.Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	var body []byte
	if res.Header.Get("Content-Type") == "text/event-stream" {
		timer := time.AfterFunc(250*time.Millisecond, func() { _ = res.Body.Close() })
		defer timer.Stop()
		body, _ = io.ReadAll(res.Body)
	} else {
		body, err = io.ReadAll(res.Body)
		must(t, err)
	}
	id := res.Header.Get("X-Request-Id")
	for _, name := range []string{"Date", "X-Request-Id", "Set-Cookie", "Content-Length"} {
		res.Header.Del(name)
	}
	address, _, _ := strings.Cut(path, "?")
	return res.StatusCode, strings.NewReplacer(id, "ID", address, "HERE", url.QueryEscape(address), "HERE").Replace(fmt.Sprintf("%d %v\n%s", res.StatusCode, res.Header, body))
}

// views are all addresses that can be read, about one's own things and about others' and with what others' things are called in the query.
func (m *accessMatrix) views(t *testing.T, others ...planted) []string {
	t.Helper()
	paths := []string{"/readyz?verbose"}
	for i, o := range others {
		m.objects[fmt.Sprintf("planted%d", i)] = o.values
	}
	for _, r := range readAccessTable(t) {
		if r.method != http.MethodGet || strings.HasPrefix(r.path, "/static/") || strings.HasPrefix(r.path, "/sign-in/") {
			continue
		}
		paths = append(paths, m.fill(t, r))
		for i := range others {
			if r.object == "theirs" {
				r.object = fmt.Sprintf("planted%d", i)
				paths = append(paths, m.fill(t, r))
			}
		}
	}
	own := m.objects["tailspin"]
	start := "/admin/t/" + own["tenant"] + "/start?operation=directory_groups.sync&providerConnectionId="
	for _, o := range others {
		v := o.values
		for _, q := range []string{
			"/admin/search?q=" + v["run"], "/admin/search?q=" + v["attempt"], "/admin/search?q=" + v["tenant"], "/admin/search?q=Planted",
			"/admin/operations?q=" + v["run"], "/admin/operations?select=" + v["run"], "/admin/operations?peek=" + v["run"], "/admin/operations?connection=" + v["connection"],
			"/admin/operations?initiator=" + v["person"], "/admin/operations?tenant=Planted", "/admin/operations?q=Planted", "/admin/operations?range=7d&window=24h",
			"/admin/operations?saved=" + v["view"], "/admin/operations/stream?rows=" + v["run"] + "&peek=" + v["run"],
			"/admin/attempts?tenant=Planted", "/admin/attempts?connection=" + v["connection"], "/admin/attempts?initiator=" + v["person"],
			"/admin/attempts?group=reason", "/admin/audit?tenant=Planted", "/admin/audit?q=Planted", "/admin/audit?actor=" + v["person"],
			"/admin/audit?object=run-" + v["run"], "/admin/audit?event=TenantHeld", "/admin/tenants?q=Planted",
			"/admin/audit/replay/run/" + own["run"] + "?at=" + v["position"], "/admin/audit/replay/run/" + own["run"] + "?base=" + v["position"],
			"/admin/audit/replay/run/" + own["run"] + "?show=raw", "/admin/audit/replay/connection/" + own["record"] + "?show=raw&at=" + v["position"],
			start + v["connection"], "/admin/provider-connections?tenant=Planted", "/admin/provider-connections?q=Planted", "/admin/readiness?reason=tenant_on_hold",
			"/admin/provider-connections/" + own["record"] + "/consent?next=/admin/operations/" + v["run"],
		} {
			if !slices.Contains(paths, q) {
				paths = append(paths, q)
			}
		}
	}
	return paths
}

// look reads all addresses in all forms, as a browser and for JSON as a program too, and hands over what was answered.
func (m *accessMatrix) look(t *testing.T, as [2]*caller, paths []string, found func(where, text string)) {
	t.Helper()
	program, browser := as[0], as[1]
	for _, path := range paths {
		for form := range answerForms {
			from := browser
			if form == "json" || form == "csv" {
				from = program
			}
			if form != "page" && (strings.Contains(path, "/stream") || form == "fragment" && !strings.Contains(path, "search") && !strings.Contains(path, "operations")) {
				continue
			}
			status, text := from.read(t, path, form)
			if status >= 500 {
				t.Errorf("%s of %s: %s", form, path, clip([]byte(text)))
			}
			found(form+" of "+path, text)
		}
	}
}

// has says what of a planted world is in a text, whatever the case. An id that was in the question may be in the answer.
func (p planted) has(question, text string) string {
	lower := strings.ToLower(text)
	for _, secret := range append([]string{p.marker}, p.ids...) {
		if strings.Contains(question, secret) {
			continue
		}
		if i := strings.Index(lower, strings.ToLower(secret)); i >= 0 {
			return fmt.Sprintf("%s in ...%s...", secret, text[max(0, i-120):min(len(text), i+120)])
		}
	}
	return ""
}

// leakChanges are what may differ between two looks at the same things: times, ids that are drawn for each form, and pictures drawn by time.
var leakChanges = []*regexp.Regexp{
	regexp.MustCompile(`(?s)<svg.*?</svg>`), regexp.MustCompile(`(?s)<time[^>]*>.*?</time>`),
	regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z?`), regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`),
	regexp.MustCompile(`(?:name="attempt_id" value="|AttemptID":")[0-9a-f-]{36}`), regexp.MustCompile(`[0-9a-f]{8}…[0-9a-f]{4}`), regexp.MustCompile(`data-[a-z-]+="\d{10,}"`),
}

func still(text string) string {
	for _, change := range leakChanges {
		text = change.ReplaceAllString(text, "~")
	}
	return text
}

// TestNothingOfOthersIsShown plants another workspace, and a tenant of one's own that a scoped member does not see, full of recognisable texts,
// and reads every address in every form, and with others' ids and names in the query. Nothing of them is in any answer; and for those who see
// none of it, every answer is what it was before there was any of it: no count, no facet, no "others" moves.
func TestNothingOfOthersIsShown(t *testing.T) {
	t.Parallel()
	m := newAccessMatrix(t)
	for { // what is queued already is not in the way
		item, err := projections.Claim(t.Context(), m.pool, "worker-0", time.Hour)
		must(t, err)
		if item == nil {
			break
		}
		_, err = m.commands.BeginRun(t.Context(), commands.Claim{Workspace: item.Workspace, Run: item.Run, Token: item.Token, Worker: "worker-0"})
		must(t, err)
	}
	must(t, m.commands.ScopeMember(t.Context(), commands.ScopeMember{ // a colleague who sees contoso only
		Actor: m.actors["contoso"], Person: m.people["custom"],
		Scope: domain.Scope{Tenants: []uuid.UUID{m.contoso.ID}, Groups: []string{"Planted-CONTOSO group"}, ExceptGroups: []string{"Planted-CONTOSO other"}},
	}))
	m.settle(t)
	as := map[string][2]*caller{}
	for _, name := range []string{"owner", "limited", "stranger", "nobody"} { // members' pages show when they were last there
		as[name] = [2]*caller{m.program(t, name), m.browser(t, name)}
		for _, from := range as[name] {
			from.send(t, "GET", "/sign-in", accept("*/*"))
		}
	}
	// Streams that stay open while it is planted.
	heard := map[string]*listener{}
	for _, name := range []string{"owner", "limited"} {
		heard[name] = as[name][1].listen(t, "/admin/operations/stream")
	}
	paths := m.views(t)
	before := map[string]map[string]string{"owner": {}, "limited": {}}
	for name, was := range before {
		m.look(t, as[name], paths, func(where, text string) { was[where] = still(text) })
	}
	compare := func(name string) func(where, text string) {
		return func(where, text string) {
			was, known := before[name][where]
			if strings.Contains(where, "stream") { // which may have come one update further
				return
			}
			if d := differ(was, still(text)); known && d != "" {
				t.Errorf("%s: %s is not what it was before others did anything: %s", name, where, d)
			}
		}
	}
	hides := func(name string, hidden ...planted) func(where, text string) {
		return func(where, text string) {
			for _, p := range hidden {
				if what := p.has(where, text); what != "" {
					t.Errorf("%s: %s shows %s", name, where, what)
				}
			}
		}
	}

	theirs := m.plant(t, "Planted-THEIRS", m.actors["theirs"], true)
	m.look(t, as["owner"], m.views(t, theirs), func(where, text string) {
		hides("owner", theirs)(where, text)
		compare("owner")(where, text)
	})
	hidden := m.plant(t, "Planted-CONTOSO", m.actors["contoso"], false)
	hidden.ids = append(hidden.ids, m.contoso.ID.String(), m.contoso.ExternalID.String(), m.conn.ID.String(), m.conn.AppID)
	both := m.views(t, theirs, hidden)
	m.look(t, as["limited"], both, func(where, text string) {
		hides("limited", theirs, hidden)(where, text)
		compare("limited")(where, text)
	})
	m.look(t, as["stranger"], both, hides("stranger", hidden))
	m.look(t, as["nobody"], both, hides("nobody", theirs, hidden))
	for name, l := range heard {
		l.close()
		p := []planted{theirs}
		if name == "limited" {
			p = append(p, hidden)
		}
		for e := range l.events {
			hides(name, p...)("the stream", e.data)
		}
	}
	m.askAboutOthers(t, as["owner"][1], theirs)
	m.askAboutOthers(t, as["limited"][1], hidden)

	// The test would find something: whoever sees the planted tenant finds it all over the place.
	for name, p := range map[string]planted{"owner": hidden, "stranger": theirs} {
		shown := 0
		m.look(t, as[name], both, func(where, text string) {
			if p.has(where, text) != "" {
				shown++
			}
		})
		if shown < 60 {
			t.Errorf("%s: what was planted is in %d answers only", name, shown)
		}
	}
}

// askAboutOthers names others' things in what is sent: the answer is the one about things that are not there.
func (m *accessMatrix) askAboutOthers(t *testing.T, from *caller, p planted) {
	t.Helper()
	own, other := m.objects["tailspin"], p.values
	absent := m.objects["absent"]
	var words []string
	for _, name := range []string{"run", "connection", "tenant"} {
		words = append(words, other[name], absent[name])
	}
	named := regexp.MustCompile(`\b(` + strings.Join(words, "|") + `)\b`)
	onTenant := "/admin/t/" + own["tenant"]
	for name, ask := range map[string]func(o map[string]string) (string, message){
		"start": func(o map[string]string) (string, message) {
			return onTenant + "/provider-actions/directory_groups.sync/start", jsonBody(`{"providerConnectionId":` + o["connection"] + `}`)
		},
		"start in a form": func(o map[string]string) (string, message) {
			return onTenant + "/provider-actions/directory_groups.sync/start", form(url.Values{"providerConnectionId": {o["connection"]}})
		},
		"reserve": func(o map[string]string) (string, message) {
			return onTenant + "/provider-actions/directory_groups.sync/reserve", jsonBody(`{"providerConnectionId":` + o["connection"] + `}`)
		},
		"sync groups": func(o map[string]string) (string, message) {
			return onTenant + "/directory/groups/sync", jsonBody(`{"providerConnectionId":` + o["connection"] + `}`)
		},
		"create a connection": func(o map[string]string) (string, message) {
			return "/admin/provider-connections", jsonBody(`{"tenant":"` + o["tenant"] + `","displayName":"Mine","connectionType":"platform"}`)
		},
		"cancel many":      bulkOf("/admin/operations/bulk", "cancel"),
		"start many":       bulkOf("/admin/operations/bulk", "start"),
		"cancel many, yes": bulkOf("/admin/operations/bulk/confirm", "cancel"),
		"start many, yes":  bulkOf("/admin/operations/bulk/confirm", "start"),
	} {
		answered := func(o map[string]string) string {
			path, sent := ask(o)
			return named.ReplaceAllString(still(neutral(from.send(t, http.MethodPost, path, sent), path)), "N")
		}
		said := answered(other)
		if what := p.has("", said); what != "" {
			t.Errorf("%s: the answer shows %s", name, what)
		}
		if d := differ(said, answered(absent)); d != "" {
			t.Errorf("%s: the answer is another than about what is not there: %s", name, d)
		}
	}
}

func bulkOf(path, action string) func(map[string]string) (string, message) {
	return func(o map[string]string) (string, message) {
		return path, form(url.Values{"action": {action}, "run": {o["run"]}, "back": {"/admin/operations"}})
	}
}
