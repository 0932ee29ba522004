package web_test

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// accessTable declares who gets which status at which address; its head says how to read it. With -access-table the test also writes what it
// observed, so that the row of a new route can be read, judged and taken over.
const accessTable = "testdata/access.txt"

var observedTable = flag.String("access-table", "", "write the observed access table to this file")

// accessColumns are the people of the table, in its order. Each is asked as a program (with a token) and as a browser (with a session), but for
// narrow, which is a token, and preview, which is a session.
var accessColumns = []string{
	"none", "readonly", "auditor", "operator", "manager", "owner", "custom", "scoped", "narrow", "preview", "both", "foreign", "platform", "removed",
}

// accessPeople are the people's names in the fixture where the table calls them something else.
var accessPeople = map[string]string{"none": "", "foreign": "stranger"}

// accessRow is one line of the table: an address, what its variables stand for, and what each column gets.
type accessRow struct {
	line         int
	method, path string
	object       string
	want         []string
}

func (r accessRow) where() string { return r.method + " " + r.path + " " + r.object }

func readAccessTable(t *testing.T) []accessRow {
	t.Helper()
	f, err := os.Open(accessTable)
	must(t, err)
	defer func() { _ = f.Close() }()
	var rows []accessRow
	seen := map[string]bool{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) != 3+len(accessColumns) && *observedTable == "" {
			t.Fatalf("%s:%d has %d words, want method, path, object and %d statuses", accessTable, n, len(words), len(accessColumns))
		}
		r := accessRow{line: n, method: words[0], path: words[1], object: words[2], want: words[3:]}
		if seen[r.where()] {
			t.Errorf("%s:%d: %s is there twice", accessTable, n, r.where())
		}
		seen[r.where()] = true
		rows = append(rows, r)
	}
	must(t, lines.Err())
	return rows
}

// accessMatrix is the fixture of the matrix: what the variables of an address stand for, by object.
type accessMatrix struct {
	*console
	objects map[string]map[string]string
	actors  map[string]domain.Actor
	waiting sync.Mutex // a reservation is made for each request that may end it
}

func newAccessMatrix(t *testing.T) *accessMatrix {
	t.Helper()
	m := &accessMatrix{console: newConsole(t), objects: map[string]map[string]string{}, actors: map[string]domain.Actor{}}
	ctx, us := t.Context(), domain.SystemActor(m.ours)
	for _, name := range []string{"custom", "scoped", "removed", "auditor", "narrow", "preview", "lapsed", "disabled"} {
		id, err := m.auth.CreatePerson(ctx, name+"@example.test", strings.ToUpper(name[:1])+name[1:], false)
		must(t, err)
		m.people[name] = id
	}
	must(t, m.commands.DefineRole(ctx, commands.DefineRole{Actor: us, Role: "night-shift", Capabilities: []domain.Capability{
		domain.CapDirectorySync, domain.CapHoldManage,
	}}))
	must(t, m.commands.DefineRole(ctx, commands.DefineRole{Actor: domain.SystemActor(m.theirs), Role: "day-shift"}))
	must(t, m.commands.AddMember(ctx, commands.AddMember{Actor: us, Person: m.people["custom"], Role: "night-shift"}))
	must(t, m.commands.AddMember(ctx, commands.AddMember{
		Actor: us, Person: m.people["scoped"], Role: domain.RoleManager, Tenants: []uuid.UUID{m.tailspn.ID},
	}))
	must(t, m.commands.AddMember(ctx, commands.AddMember{Actor: us, Person: m.people["auditor"], Role: domain.RoleAuditor}))
	must(t, m.commands.AddMember(ctx, commands.AddMember{Actor: us, Person: m.people["removed"], Role: domain.RoleOwner}))
	// These may do what an owner may, and are none: the workspace has one owner, who therefore cannot be removed.
	must(t, m.commands.DefineRole(ctx, commands.DefineRole{Actor: us, Role: "deputy", Capabilities: domain.Capabilities(domain.RoleOwner)}))
	for _, name := range []string{"narrow", "preview", "lapsed", "disabled"} {
		must(t, m.commands.AddMember(ctx, commands.AddMember{Actor: us, Person: m.people[name], Role: "deputy"}))
	}
	owner := func(workspace uuid.UUID, name string) domain.Actor {
		return domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: m.people[name]}, Workspace: workspace, Role: domain.RoleOwner}
	}
	m.actors["contoso"], m.actors["tailspin"], m.actors["theirs"] = owner(m.ours, "owner"), owner(m.ours, "owner"), owner(m.theirs, "stranger")
	m.settle(t)
	m.object(t, "contoso", m.ours, m.contoso, m.people["owner"], "night-shift")
	m.object(t, "tailspin", m.ours, m.tailspn, m.people["owner"], "night-shift")
	m.object(t, "theirs", m.theirs, m.fabrikam, m.people["stranger"], "day-shift")
	nothing := uuid.NewString()
	m.objects["absent"] = map[string]string{
		"tenant": nothing, "tenantExternalId": nothing, "connection": "999999", "record": "999999", "run": "999999", "operationRunId": "999999",
		"attempt": nothing, "position": "999999", "view": nothing, "workspace": nothing, "person": nothing, "role": "no-such-role",
		"reservation": nothing, "token": nothing, "preview": nothing, "session": nothing, "onboarding": "999999", "number": "999999", "system": "999999", "link": "bm8tc3VjaC1saW5rLW5vLXN1Y2gtbGluay1uby1zdWNo", "operation": "no.such",
		"code": "no_such_code", "file": "no/such.js",
	}
	page := (&caller{c: m.console, client: plainClient(nil)}).send(t, "GET", "/sign-in", accept("text/html")).text()
	m.objects["-"] = map[string]string{}
	m.objects["public"] = map[string]string{
		"code": "not_found", "file": strings.TrimPrefix(regexp.MustCompile(`/static/[^"]+\.js`).FindString(page), "/static/"),
	}
	return m
}

// object makes what a tenant has: a run that ended, one that is under way, a saved view, and the names of it all.
func (m *accessMatrix) object(t *testing.T, name string, workspace uuid.UUID, tenant domain.Tenant, person uuid.UUID, role string) {
	t.Helper()
	ctx, actor := t.Context(), m.actors[name]
	start := commands.Start{Actor: actor, Tenant: tenant.ExternalID, Operation: domain.OpGroupsSync, Trigger: domain.TriggerOperator}
	ended, err := m.commands.Start(ctx, start)
	must(t, err)
	_, err = m.commands.CancelRun(ctx, commands.CancelRun{Actor: actor, Run: ended.Run})
	must(t, err)
	_, err = m.commands.Start(ctx, start)
	must(t, err)
	m.settle(t)
	browser := m.browser(t, map[bool]string{true: "owner", false: "stranger"}[workspace == m.ours])
	view, _ := browser.saveView(t, "Shared by "+name, "outcome=failed", true)
	connection := strconv.FormatInt(ended.Connection.Number, 10)
	number := strconv.FormatInt(ended.RunNumber, 10)
	preview, err := projections.NewReader(m.pool).KeepReplayPreview(ctx, actor, projections.ReplayPreview{
		ID: uuid.New(), Items: []projections.ReplayItem{{Attempt: ended.Attempt, Identity: ended.Identity, At: time.Now()}},
	})
	must(t, err)
	m.objects[name] = map[string]string{
		"tenant": tenant.ExternalID.String(), "tenantExternalId": tenant.ExternalID.String(), "connection": connection, "record": connection,
		"run": number, "operationRunId": number, "attempt": ended.Attempt.String(), "view": view, "workspace": workspace.String(),
		"position": strings.TrimPrefix(m.eventOf(t, ended.Connection.ID), "/admin/audit/"), "person": person.String(), "role": role,
		"token": m.token(t, workspace, person), "onboarding": m.onboarding(t, actor, tenant), "preview": preview.ID.String(),
		"system": strconv.FormatInt(tenant.Number, 10), "operation": string(domain.OpGroupsSync), "tenantNumber": strconv.FormatInt(tenant.Number, 10),
	}
}

func (m *accessMatrix) onboarding(t *testing.T, actor domain.Actor, tenant domain.Tenant) string {
	t.Helper()
	began, _, err := m.commands.StartOnboarding(t.Context(), commands.StartOnboarding{Actor: actor, ExternalID: tenant.ExternalID, Name: tenant.Name})
	must(t, err)
	return strconv.FormatInt(began.Number, 10)
}

// token is one of a person's, as their own.
func (m *accessMatrix) token(t *testing.T, workspace, person uuid.UUID) string {
	t.Helper()
	_, id, err := m.auth.IssueToken(t.Context(), person, workspace, "of the matrix", time.Now().Add(time.Hour))
	must(t, err)
	return id.String()
}

var pathVariable = regexp.MustCompile(`\{[a-zA-Z]+\}`)

// fill makes an address of a row. What a request may use up is made for it.
func (m *accessMatrix) fill(t *testing.T, r accessRow) string {
	t.Helper()
	values, ok := m.objects[r.object]
	if !ok {
		t.Fatalf("%s:%d: there is no object %q", accessTable, r.line, r.object)
	}
	return pathVariable.ReplaceAllStringFunc(r.path, func(variable string) string {
		name := strings.Trim(variable, "{}")
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/admin/audit/replay/"), "/")
		switch {
		case r.object == "absent":
		case name == "number":
			name = map[string]string{"run": "run", "connection": "connection", "tenant": "tenantNumber"}[kind]
		case name == "tenant" && strings.HasPrefix(r.path, "/system/"):
			name = "system"
		case name == "session" && strings.HasPrefix(r.path, "/admin/onboarding/"):
			name = "onboarding"
		case name == "session":
			return m.session(t, r.object)
		case name == "reservation":
			return m.reservation(t, r.object)
		case name == "person" && strings.HasSuffix(r.path, "/withdraw"):
			person := uuid.New()
			must(t, m.commands.InviteMember(t.Context(), commands.InviteMember{
				Actor: m.actors[r.object], Person: person, Role: domain.RoleReadonly, Until: time.Now().Add(time.Hour),
			}))
			return person.String()
		case name == "role" && r.object != "absent":
			role := "role-" + uuid.NewString()[:8]
			must(t, m.commands.DefineRole(t.Context(), commands.DefineRole{Actor: m.actors[r.object], Role: domain.Role(role)}))
			return role
		case name == "link":
			link, err := m.auth.IssueSignInLink(t.Context(), m.people["nobody"], time.Hour)
			must(t, err)
			return strings.TrimPrefix(link, "/sign-in/")
		}
		switch {
		case r.object == "absent" && name == "tenant" && strings.HasPrefix(r.path, "/system/"):
			name = "system"
		case r.object == "absent" && name == "session" && strings.HasPrefix(r.path, "/admin/onboarding/"):
			name = "onboarding"
		}
		value, ok := values[name]
		if !ok {
			t.Fatalf("%s:%d: the object %s has no %s", accessTable, r.line, r.object, name)
		}
		return value
	})
}

// session signs an object's owner in at one more place, and names it.
func (m *accessMatrix) session(t *testing.T, object string) (id string) {
	t.Helper()
	name := map[bool]string{true: "stranger", false: "owner"}[object == "theirs"]
	m.browser(t, name)
	must(t, m.pool.QueryRow(t.Context(), `select id from sessions where person = $1 order by since desc limit 1`, m.people[name]).Scan(&id))
	return id
}

func (m *accessMatrix) reservation(t *testing.T, object string) string {
	t.Helper()
	number, err := strconv.ParseInt(m.objects[object]["connection"], 10, 64)
	must(t, err)
	reserved, _, err := m.commands.Reserve(t.Context(), commands.Reserve{Start: commands.Start{
		Actor: m.actors[object], Operation: domain.OpConnectionCheck, Connection: number, Trigger: domain.TriggerOperator,
	}})
	must(t, err)
	return reserved.ID.String()
}

// accessBodies are what is sent where something must be named in the body. Everywhere else a body is sent that nobody can read: who may not
// know of the object, or may not do this, must not be told about the body first.
var accessBodies = map[string]func(object map[string]string) url.Values{
	"POST /admin/views/{view}": func(map[string]string) url.Values {
		return url.Values{"do": {"save"}, "base": {"/admin/operations"}, "query": {"outcome=failed"}}
	},
	"POST /sign-in/{link}": func(map[string]string) url.Values { return url.Values{"next": {"/admin/tenants"}} },
	"POST /admin/operations/bulk": func(o map[string]string) url.Values {
		return url.Values{"action": {"cancel"}, "run": {o["run"]}, "back": {"/admin/operations"}}
	},
}

// accessJSON are the same for addresses that read JSON.
var accessJSON = map[string]func(object map[string]string) string{
	"POST /admin/provider-connections": func(o map[string]string) string {
		return fmt.Sprintf(`{"tenant": %q, "displayName": "", "connectionType": "platform", "appId": "no id"}`, o["tenant"])
	},
}

func (m *accessMatrix) body(r accessRow, program bool) message {
	if r.method == http.MethodGet {
		return message{}
	}
	where := r.method + " " + r.path
	if body, ok := accessBodies[where]; ok && (r.object != "-" || strings.HasPrefix(r.path, "/sign-in")) {
		return form(body(m.objects[r.object]))
	}
	if body, ok := accessJSON[where]; ok {
		return jsonBody(body(m.objects[r.object]))
	}
	if program {
		return jsonBody(`{"nope": `)
	}
	return message{kind: "application/x-www-form-urlencoded", body: "attempt_id=%zz"}
}

// endsSession are the addresses that are asked with a session of their own.
func endsSession(r accessRow) bool {
	return strings.HasPrefix(r.path, "/sign-") || strings.HasPrefix(r.path, "/workspaces/")
}

// personOf is who a column's person is in the fixture; empty is nobody.
func personOf(column string) string {
	if name, renamed := accessPeople[column]; renamed {
		return name
	}
	return column
}

// programOf is a column's program; nil where it has none.
func (m *accessMatrix) programOf(t *testing.T, column string) *caller {
	t.Helper()
	switch column {
	case "none":
		return &caller{c: m.console, client: plainClient(nil)}
	case "preview":
		return nil
	case "narrow":
		secret, prefix := auth.DrawToken()
		must(t, m.auth.KeepToken(t.Context(), domain.TokenIssued{
			Token: uuid.New(), Workspace: m.ours, Owner: m.people["narrow"], Name: "narrow", Prefix: prefix,
			Scopes: []domain.Capability{domain.CapDirectorySync}, Tenants: []uuid.UUID{m.tailspn.ID}, Expires: time.Now().Add(time.Hour),
		}, secret))
		return m.with(secret)
	}
	return m.program(t, personOf(column))
}

// browserOf is a column's browser, signed in anew; nil where it has none.
func (m *accessMatrix) browserOf(t *testing.T, column string) *caller {
	t.Helper()
	if column == "narrow" {
		return nil
	}
	b := m.browser(t, personOf(column))
	if column == "preview" {
		as := url.Values{"role": {string(domain.RoleOperator)}, "tenant": {m.tailspn.ID.String()}}
		if res := b.send(t, "POST", view.PreviewHref, form(as)); res.status != http.StatusSeeOther {
			t.Fatalf("preview: %d %s", res.status, clip(res.body))
		}
	}
	return b
}

// ask sends a row's request and closes a stream as soon as it is one.
func (m *accessMatrix) ask(t *testing.T, from *caller, r accessRow, path string) response {
	t.Helper()
	sent := m.body(r, from.client.Jar == nil)
	if from.client.Jar == nil && from.token == "" {
		sent = sent.with("Accept", "*/*") // a program that forgot its token
	}
	if !strings.HasSuffix(path, "/stream") {
		return from.send(t, r.method, path, sent)
	}
	req, body, err := from.request(t.Context(), r.method, path, sent)
	must(t, err)
	res, err := from.client.Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	buffer := make([]byte, 0)
	if res.Header.Get("Content-Type") != "text/event-stream" {
		buffer = make([]byte, 1<<20)
		n := 0
		for err == nil {
			var k int
			k, err = res.Body.Read(buffer[n:])
			n += k
		}
		buffer = buffer[:n]
	}
	m.contract.check(t, req, body, res, buffer)
	return response{res.StatusCode, res.Header, buffer}
}

// TestAccessMatrix asks every address of the router as everybody, about what is theirs, what they do not see, what is another workspace's and
// what is not there, and compares the status codes with the declared table. Besides the table:
//
//   - What is hidden from somebody and what is not there are the same bytes, headers included.
//   - Whose session or token has expired, and who is disabled, is nobody.
//   - Whoever was refused left no trace in the log.
//   - HEAD is answered as GET is, but for streams.
func TestAccessMatrix(t *testing.T) {
	t.Parallel()
	rows := readAccessTable(t)
	m := newAccessMatrix(t)
	m.covered(t, rows)
	if *observedTable == "" {
		judgeTable(t, rows)
	}
	// The last member leaves after the session and the token were made.
	callers := map[string][2]*caller{}
	for _, column := range accessColumns {
		callers[column] = [2]*caller{m.programOf(t, column), m.browserOf(t, column)}
	}
	gone := m.gone(t)
	must(t, m.commands.RemoveMember(t.Context(), commands.RemoveMember{Actor: domain.SystemActor(m.ours), Person: m.people["removed"]}))
	m.settle(t)
	observed := make([][]string, len(rows))
	for i := range rows {
		observed[i] = make([]string, len(accessColumns))
	}
	t.Run("columns", func(t *testing.T) {
		for i, column := range accessColumns {
			t.Run(column, func(t *testing.T) {
				t.Parallel()
				m.askAll(t, column, callers[column], rows, func(row int, got string) { observed[row][i] = got })
			})
		}
		for name, callers := range gone {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m.askAsNobody(t, callers, rows)
			})
		}
	})
	if *observedTable != "" {
		writeObserved(t, rows, observed)
	}
	for i, r := range rows {
		if want := strings.Join(r.want, " "); want != strings.Join(observed[i], " ") {
			t.Errorf("%s:%d: %s\n   want %s\n    got %s", accessTable, r.line, r.where(), want, strings.Join(observed[i], " "))
		}
	}
	m.settle(t)
	var refused []uuid.UUID
	for _, name := range []string{"readonly", "auditor", "preview", "removed", "platform", "lapsed", "disabled"} {
		refused = append(refused, m.people[name])
	}
	var left []string
	must(t, m.pool.QueryRow(t.Context(), `select coalesce(array_agg(name), '{}') from events
		where (meta->'actor'->>'id')::uuid = any($1) and name <> 'TenantInspected'`, refused).Scan(&left))
	if len(left) > 0 {
		t.Errorf("people who may do nothing left %s", left)
	}
}

// askAll asks all rows as one column, as a program and as a browser.
func (m *accessMatrix) askAll(t *testing.T, column string, callers [2]*caller, rows []accessRow, got func(row int, status string)) {
	absent := map[string]string{} // what is said about what is not there, by address and form
	answers := make(map[string]string, len(rows))
	for i, r := range rows {
		status := [2]int{}
		if strings.Contains(r.path, "{reservation}") {
			m.waiting.Lock()
		}
		for k, from := range callers {
			if from == nil {
				continue
			}
			if k == 1 && (endsSession(r) || column == "preview" && r.path == view.EndPreviewHref) {
				from = m.browserOf(t, column)
			}
			path := m.fill(t, r)
			res := m.ask(t, from, r, path)
			status[k] = res.status
			if res.status == http.StatusNotFound || column == "preview" && r.method != http.MethodGet && res.status == http.StatusForbidden {
				key := fmt.Sprintf("%s %s %d", r.method, r.path, k)
				answers[key+" "+r.object] = neutral(res, path)
				if r.object == "absent" {
					absent[key] = answers[key+" absent"]
				}
			}
			if column == "none" && k == 1 && res.status == http.StatusFound {
				m.sentToSignIn(t, from, r, path, res)
			}
			if k == 1 && res.status >= 400 && r.path != "/static/{file}" && !strings.HasPrefix(res.header.Get("Content-Type"), "text/html") {
				t.Errorf("%s: a browser gets %d as %s", r.where(), res.status, res.header.Get("Content-Type"))
			}
			if column == "owner" && k == 0 && r.method == http.MethodGet && !strings.HasSuffix(path, "/stream") {
				m.head(t, from, path, res.status)
			}
		}
		if strings.Contains(r.path, "{reservation}") {
			m.waiting.Unlock()
		}
		text := strconv.Itoa(cmp.Or(status[0], status[1]))
		if status[1] != status[0] && status[0] != 0 && status[1] != 0 {
			text += "/" + strconv.Itoa(status[1])
		}
		got(i, text)
	}
	for where, answer := range answers {
		key := where[:strings.LastIndexByte(where, ' ')]
		if d := differ(answer, absent[key]); absent[key] != "" && d != "" {
			t.Errorf("%s differs from what is not there: %s", where, d)
		}
	}
}

// gone are the callers who were owners until their session and token expired or they were disabled, as programs and browsers.
func (m *accessMatrix) gone(t *testing.T) map[string][2]*caller {
	t.Helper()
	gone := map[string][2]*caller{}
	for _, name := range []string{"lapsed", "disabled"} {
		gone[name] = [2]*caller{m.program(t, name), m.browser(t, name)}
		for _, from := range gone[name] {
			if res := from.send(t, "GET", "/admin/tenants/"+m.contoso.ExternalID.String()); res.status != http.StatusOK {
				t.Fatalf("%s, while all is well, gets %d", name, res.status)
			}
		}
	}
	for _, expire := range []string{
		`update sessions set expiry = now() - interval '1 s' where person = $1`, `update api_tokens set expires_at = now() - interval '1 s' where person = $1`,
	} {
		_, err := m.pool.Exec(t.Context(), expire, m.people["lapsed"])
		must(t, err)
	}
	_, err := m.pool.Exec(t.Context(), `update people set disabled_at = now() where id = $1`, m.people["disabled"])
	must(t, err)
	return gone
}

// askAsNobody asks for all that must be signed in for, about what was the callers' own: they are told what a token that never was is told,
// and what a browser is told that never was signed in.
func (m *accessMatrix) askAsNobody(t *testing.T, callers [2]*caller, rows []accessRow) {
	strangers := [2]*caller{m.with("tp_" + strings.Repeat("x", 43)), m.browser(t, "")}
	for _, r := range rows {
		if r.object != "-" && r.object != "contoso" || !needsSignIn(r) {
			continue
		}
		path := m.fill(t, r)
		for k, from := range callers {
			got, want := m.ask(t, from, r, path), m.ask(t, strangers[k], r, path)
			got.header.Set("Cache-Control", got.header.Get("Cache-Control")) // without what comes with Set-Cookie: the old cookie is taken away
			if d := differ(neutral(got, path), neutral(want, path)); d != "" || got.status != http.StatusUnauthorized && got.status != http.StatusFound {
				t.Errorf("%s: %d, but a stranger gets %d: %s", r.where(), got.status, want.status, d)
			}
		}
	}
}

// needsSignIn says whether the table asks nobody at all to sign in first.
func needsSignIn(r accessRow) bool { return len(r.want) > 0 && strings.HasPrefix(r.want[0], "401") }

// sentToSignIn checks what a browser gets that is not signed in: the way to sign in and back, also inside a page.
func (m *accessMatrix) sentToSignIn(t *testing.T, from *caller, r accessRow, path string, res response) {
	t.Helper()
	where, err := url.Parse(res.header.Get("Location"))
	must(t, err)
	if where.Path != "/sign-in" || r.method == http.MethodGet && where.Query().Get("next") != path {
		t.Errorf("%s: nobody is sent to %s", r.where(), where)
	}
	res = from.send(t, r.method, path, m.body(r, false).with("HX-Request", "true"))
	if res.status/100 == 3 || res.header.Get("HX-Redirect") == "" {
		t.Errorf("%s: nobody, inside a page, gets %d, HX-Redirect %q", r.where(), res.status, res.header.Get("HX-Redirect"))
	}
}

func (m *accessMatrix) head(t *testing.T, from *caller, path string, want int) {
	t.Helper()
	req, _, err := from.request(t.Context(), http.MethodHead, path)
	must(t, err)
	res, err := from.client.Do(req)
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != want {
		t.Errorf("HEAD %s is %d, GET is %d", path, res.StatusCode, want)
	}
}

// covered fails for each route without a row, each row without a route, and each route about objects without rows for one's own, another
// workspace's and an absent one. What is about objects is every address with variables, and those whose rows name an object (in the query or
// the body). What is open to all needs a row about what is there and one about what is not.
func (m *accessMatrix) covered(t *testing.T, rows []accessRow) {
	t.Helper()
	missing := map[string]bool{}
	must(t, m.web.Router().Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := route.GetMethods()
		for _, method := range methods {
			missing[method+" "+path] = true
		}
		return err
	}))
	of := map[string]map[string]bool{}
	for _, r := range rows {
		var match mux.RouteMatch
		path := m.fill(t, accessRow{line: r.line, path: strings.ReplaceAll(r.path, "{reservation}", uuid.NewString()), object: r.object})
		if !m.web.Router().Match(httptest.NewRequest(r.method, path, nil), &match) || match.MatchErr != nil {
			t.Errorf("%s:%d: there is no route %s %s", accessTable, r.line, r.method, r.path)
			continue
		}
		template, err := match.Route.GetPathTemplate()
		must(t, err)
		where := r.method + " " + template
		delete(missing, where)
		if of[where] == nil {
			of[where] = map[string]bool{}
		}
		of[where][r.object] = true
	}
	for _, where := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s has no row for %s: add its rows without statuses, run with -args -access-table FILE, judge each status, take them over", accessTable, where)
	}
	for where, objects := range of {
		needed := []string{"contoso", "theirs", "absent"}
		switch {
		case objects["public"]:
			needed = []string{"public", "absent"}
		case !strings.Contains(where, "{") && len(objects) == 1 && objects["-"]:
			needed = nil
		case strings.Contains(where, "{") && objects["-"]:
			t.Errorf("%s: %s has variables, so its rows are about objects", accessTable, where)
		}
		for _, object := range needed {
			if !objects[object] {
				t.Errorf("%s has no row for %s about %s", accessTable, where, object)
			}
		}
	}
}

// hiddenFrom are the objects that a column must not know of.
func hiddenFrom(column, object string) bool {
	switch column {
	case "none", "platform", "removed":
		return true
	case "foreign":
		return object != "theirs"
	case "scoped", "narrow", "preview":
		return object != "tailspin"
	}
	return object == "theirs" || object == "absent"
}

// judgeTable holds the table itself against the rule: nobody signed in is asked to sign in, hidden and absent is 404 and never 403, and somebody
// finds what is there. Addresses that are no tenant's object (of the workspace, the platform, or open to all) are left to the reader. Whoever
// looks at the console as another role is told so before anything is looked up.
func judgeTable(t *testing.T, rows []accessRow) {
	t.Helper()
	for _, r := range rows {
		found := slices.ContainsFunc(r.want[1:], func(status string) bool { return status != "404" })
		if r.object == "contoso" && !found && r.path != "/admin/provider-connections/{record}/changes/no-such" &&
			!strings.Contains(r.path, "/provider-actions/no.such/") && !strings.Contains(r.path, "/provider-actions/restore.execute/") &&
			!strings.HasPrefix(r.path, "/invitations/") { // nobody of the columns is invited; TestInvitations shows who is
			t.Errorf("%s:%d: nobody finds %s: the row cannot tell hidden from broken", accessTable, r.line, r.where())
		}
		if i := slices.Index(accessColumns, "preview"); r.method != http.MethodGet && needsSignIn(r) && r.want[i] != "403" && r.path != view.EndPreviewHref {
			t.Errorf("%s:%d: %s says %s to who only looks", accessTable, r.line, r.where(), r.want[i])
		}
		if r.object == "-" || r.object == "public" || strings.HasPrefix(r.path, "/admin/settings/profile/") { // one's own
			continue
		}
		for i, column := range accessColumns {
			workspaceWide := strings.Contains(r.path, "/settings/") || strings.Contains(r.path, "{workspace}") || strings.Contains(r.path, "{view}")
			switch {
			case !hiddenFrom(column, r.object), column == "platform" && strings.HasPrefix(r.path, "/system/"):
			case column == "preview" && r.method != http.MethodGet: // judged above
			case slices.Contains([]string{"scoped", "narrow", "preview"}, column) && r.object == "contoso" && workspaceWide: // the workspace is theirs too
			case strings.HasSuffix(r.path, "/bulk") || strings.HasSuffix(r.path, "{code}") || strings.HasSuffix(r.path, "{file}") || strings.HasPrefix(r.path, "/sign-in"):
			case column == "both" && r.object == "theirs" && strings.HasSuffix(r.path, "/choose"): // a member of both
			case column == "none" && (r.want[i] == "401/302" || r.want[i] == "401" && strings.HasSuffix(r.path, "/stream")), column != "none" && r.want[i] == "404":
			default:
				t.Errorf("%s:%d: %s says %s for %s, from whom it is hidden", accessTable, r.line, r.where(), r.want[i], column)
			}
		}
	}
}

// writeObserved writes the table with what was observed, comments as they were.
func writeObserved(t *testing.T, rows []accessRow, observed [][]string) {
	t.Helper()
	table, err := os.ReadFile(accessTable)
	must(t, err)
	lines := strings.Split(string(table), "\n")
	for i, r := range rows {
		line := fmt.Sprintf("%-4s %-79s %-8s", r.method, r.path, r.object)
		for _, status := range observed[i] {
			line += fmt.Sprintf(" %-8s", status)
		}
		lines[r.line-1] = strings.TrimRight(line, " ")
	}
	must(t, os.WriteFile(*observedTable, []byte(strings.Join(lines, "\n")), 0o600))
}
