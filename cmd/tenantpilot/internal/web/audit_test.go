package web_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// tell makes a story on contoso: accepted, joined, busy, blocked, and ended; and a blocked start in their workspace.
func (c *console) tell(t *testing.T) commands.StartResult {
	t.Helper()
	run := c.hold(t, domain.OpGroupsSync)
	operator := c.program(t, "operator")
	operator.send(t, "POST", groupsPath(c.contoso))
	operator.send(t, "POST", rolesPath(c.contoso))
	must(t, c.commands.SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{
		Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, Reason: "The customer is leaving",
	}))
	operator.send(t, "POST", rolesPath(c.contoso))
	must(t, c.commands.SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{
		Actor: domain.SystemActor(c.theirs), Connection: c.foreign.Number, Reason: "Fabrikam's own secret reason",
	}))
	c.program(t, "stranger").send(t, "POST", groupsPath(c.fabrikam))
	c.settle(t)
	return run
}

type listOf[T any] struct {
	Items []T
	Next  *string
}

func get[T any](t *testing.T, from *caller, path string) T {
	t.Helper()
	res := from.send(t, "GET", path, accept("application/json"))
	if res.status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, res.status, res.body)
	}
	var v T
	must(t, json.Unmarshal(res.body, &v))
	return v
}

type auditItem struct {
	Position                    int64
	Event, Sentence, Object     string
	Tenant, Attempt, ReasonCode *string
	TenantExternalID            *string `json:"tenantExternalId"`
	Outcome                     *string
	Workspace                   string
	Actor                       struct{ Kind, ID, Name string }
	At                          time.Time
	Payload, Metadata           map[string]any
	ID, Stream                  string
	RunID                       *int64 `json:"runId"`
	Version                     int
}

func TestAuditLogAsJSONPageAndSpreadsheet(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.tell(t)
	reader := c.program(t, "readonly")

	var all []auditItem
	for next := "/admin/audit?range=all&limit=7"; next != ""; {
		page := get[listOf[auditItem]](t, reader, next)
		all, next = append(all, page.Items...), ""
		if page.Next != nil {
			next = "/admin/audit?range=all&limit=7&after=" + *page.Next
		}
	}
	if want := c.count(t, `select count(*) from events where workspace = $1`, c.ours); len(all) != want {
		t.Errorf("%d events over all pages, want %d", len(all), want)
	}
	for i, e := range all {
		if e.Workspace != c.ours.String() || i > 0 && e.Position >= all[i-1].Position || !strings.HasSuffix(e.Sentence, ".") {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	object := url.QueryEscape(fmt.Sprintf("connection/%d", c.conn.Number))
	for query, want := range map[string]func(auditItem) bool{
		"event=StartBlocked": func(e auditItem) bool { return e.Event == "StartBlocked" },
		"event=-StartBlocked&event=-ScopeBusy&kind=attempt": func(e auditItem) bool { return e.Event == "RunDeduped" },
		"outcome=accepted":                       func(e auditItem) bool { return e.Event == "RunAccepted" },
		"reason=provider_connection_disabled":    func(e auditItem) bool { return e.Event == "StartBlocked" },
		"actor=me&event=MemberAdded":             nil,
		"actor=operator":                         func(e auditItem) bool { return e.Actor.Name == "Operator" },
		"object=" + object:                       func(e auditItem) bool { return e.Object == fmt.Sprintf("connection/%d", c.conn.Number) },
		"tenant=contoso":                         func(e auditItem) bool { return e.Tenant != nil && *e.Tenant == "Contoso" },
		"q=2":                                    func(e auditItem) bool { return e.Position == 2 },
		"q=" + object:                            func(e auditItem) bool { return e.Object == fmt.Sprintf("connection/%d", c.conn.Number) },
		"actor=" + c.people["operator"].String(): func(e auditItem) bool { return e.Actor.Name == "Operator" },
		"first=2&last=2":                         func(e auditItem) bool { return e.Position == 2 },
		"from=2099-01-01":                        nil,
		"attempt=" + *find(t, all, "ScopeBusy").Attempt:       func(e auditItem) bool { return e.Event == "ScopeBusy" },
		"kind=workspace&event=WorkspaceCreated&tenant=-xyzzy": func(e auditItem) bool { return e.Event == "WorkspaceCreated" },
	} {
		got := get[listOf[auditItem]](t, reader, "/admin/audit?range=all&"+query).Items
		if (len(got) > 0) != (want != nil) {
			t.Errorf("%s: %d events", query, len(got))
		}
		for _, e := range got {
			if want == nil || !want(e) {
				t.Errorf("%s has %+v", query, e)
			}
		}
	}
	for _, query := range []string{"colour=red", "event=NoSuchEvent", "object=x", "attempt=1", "first=0", "range=1y", "after=x", "kind=planet", "from=soon", "q=hello"} {
		res := reader.send(t, "GET", "/admin/audit?"+query, accept("application/json"))
		if p := res.problem(t); res.status != http.StatusBadRequest || p.Code != "unknown_parameter" {
			t.Errorf("%s: %d %+v", query, res.status, p)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(reader.send(t, "GET", "/admin/audit?range=all&format=csv").text())).ReadAll()
	must(t, err)
	if len(rows) != len(all)+1 || rows[0][0] != "position" {
		t.Errorf("%d rows for %d events, %v", len(rows), len(all), rows[0])
	}

	b := c.browser(t, "readonly")
	text := b.send(t, "GET", "/admin/audit?event=StartBlocked&colour=red").text()
	for _, part := range []string{
		" was blocked: ", "chip unknown", "colour:red", "provider_connection_disabled", "<time class=\"moment\"", " UTC</time>",
		`aria-current="true"`, "Events per day",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	if strings.Contains(text, "longer than 31 days") || !strings.Contains(b.send(t, "GET", "/admin/audit?range=all").text(), "longer than 31 days") {
		t.Error("the warning of long ranges stands where it should not, or not where it should")
	}
	res := b.send(t, "GET", "/admin/audit?filter="+url.QueryEscape("event:StartBlocked -actor:kim")+"&range=31d")
	if got := res.header.Get("Location"); got != "/admin/audit?actor=-kim&event=StartBlocked&range=31d" {
		t.Errorf("typing leads to %q (%d)", got, res.status)
	}
}

// TestWhatSaysWhatItLooksForFindsItInAllOfThePast: only filters of many events stop at the newest days, and a range that is chosen stays.
func TestWhatSaysWhatItLooksForFindsItInAllOfThePast(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.tell(t)
	for _, age := range []string{`update audit_log set at = at - interval '40 days'`, `update attempts set at = at - interval '40 days'`} {
		_, err := c.db.OwnerPool(t).Exec(t.Context(), age)
		must(t, err)
	}
	reader := c.program(t, "readonly")
	for query, found := range map[string]bool{
		"audit?event=StartBlocked": false, "audit?tenant=contoso": false, "audit": false,
		"audit?object=" + url.QueryEscape(fmt.Sprintf("connection/%d", c.conn.Number)): true,
		"audit?first=1&last=10": true, "audit?q=2": true, "audit?attempt=" + run.Attempt.String(): true,
		"audit?to=" + time.Now().AddDate(0, 0, -10).Format(time.DateOnly): true,
		"audit?q=2&range=31d": false, "audit?first=1&from=" + time.Now().AddDate(0, 0, -10).Format(time.DateOnly): false,
		"attempts": false, "attempts?outcome=accepted": false, "attempts?q=" + run.Attempt.String(): true,
		fmt.Sprintf("attempts?run=%d", run.RunNumber): true, fmt.Sprintf("attempts?run=%d&range=7d", run.RunNumber): false,
	} {
		if got := get[listOf[auditItem]](t, reader, "/admin/"+query).Items; len(got) > 0 != found {
			t.Errorf("%s: %d found", query, len(got))
		}
	}
	if text := c.browser(t, "readonly").send(t, "GET", "/admin/audit?q=2").text(); strings.Contains(text, "longer than 31 days") || !strings.Contains(text, `href="/admin/audit/2"`) {
		t.Errorf("one event: %s", clip([]byte(text)))
	}
}

func find(t *testing.T, all []auditItem, event string) auditItem {
	t.Helper()
	for _, e := range all {
		if e.Event == event {
			return e
		}
	}
	t.Fatalf("no %s among %d events", event, len(all))
	return auditItem{}
}

func TestWhatIsWrongWithTheLogIsSaid(t *testing.T) {
	t.Parallel()
	var alarm atomic.Value
	alarm.Store("")
	c := newConsoleWith(t, func(cfg *web.Config) { cfg.LogAlarm = func() string { return alarm.Load().(string) } })
	reader := c.browser(t, "readonly")
	for _, text := range []string{"", "2 events are out of order."} {
		alarm.Store(text)
		for _, path := range []string{"/admin/audit", "/admin/audit/1"} {
			if page := reader.send(t, "GET", path); page.status != http.StatusOK || strings.Contains(page.text(), `role="alert"`) != (text != "") || !strings.Contains(page.text(), text) {
				t.Errorf("%s with the alarm %q: %d %s", path, text, page.status, clip(page.body))
			}
		}
	}
}

func TestAnEventShowsWhatItChanged(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.tell(t)
	b := c.browser(t, "readonly")
	all := get[listOf[auditItem]](t, c.program(t, "readonly"), "/admin/audit?range=all&limit=200").Items
	for event, parts := range map[string][]string{
		"ConnectionDisabled": {"Disabled the connection: The customer is leaving.", "Is enabled", "<del>yes</del>", "<ins>no</ins>", "Hash of the record", "time machine"},
		"StartBlocked":       {"stands for itself", "Receipt of the attempt", "All events of the same attempt"},
		"WorkspaceCreated":   {"Created the workspace Ours.", "Name"},
		"RunAccepted":        {"as run ", "Execution status", "<ins>queued</ins>"},
	} {
		text := b.send(t, "GET", fmt.Sprintf("/admin/audit/%d", find(t, all, event).Position)).text()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q", event, part)
			}
		}
	}
	e := find(t, all, "ConnectionDisabled")
	if got := get[auditItem](t, c.program(t, "readonly"), fmt.Sprintf("/admin/audit/%d", e.Position)); got.Payload["reason"] != "The customer is leaving" || got.Version < 5 {
		t.Errorf("as JSON: %+v", got)
	}
}

// TestAnEventThatCannotBeReadHidesNothingElse: a program that cannot decode an event of a story, as after going back to an older one, shows the
// state before it and says so.
func TestAnEventThatCannotBeReadHidesNothingElse(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.tell(t)
	var position int64
	must(t, c.pool.QueryRow(t.Context(), `with e as (
			insert into events (seq, stream, version, id, name, workspace, tenant, recorded_at, meta, payload, leaf)
			select nextval('events_seq'), stream, max(version) + 1, gen_random_uuid(), 'ConnectionPainted', $2, $3, now(), '{"actor":{"kind":"system"}}', '{"colour":"red"}', sha256('')
			from events where stream = $1 group by stream returning *)
		, l as (insert into log (position, seq) select (select max(position) + 1 from log), seq from e returning position)
		insert into audit_log (position, at, workspace, tenant, stream, version, event, actor_kind, actor_id, object_kind, object_number)
		select l.position, recorded_at, workspace, tenant, stream, version, name, 'system', $2, 'connection', $4 from e, l returning position`,
		c.conn.ID, c.ours, c.contoso.ID, c.conn.Number).Scan(&position))
	b, program := c.browser(t, "readonly"), c.program(t, "readonly")
	const note = "This program cannot read the event ConnectionPainted of "
	replay := fmt.Sprintf("/admin/audit/replay/connection/%d", c.conn.Number)
	for path, parts := range map[string][]string{
		"/admin/audit?range=all":                 {"ConnectionPainted."},
		fmt.Sprintf("/admin/audit/%d", position): {note, "colour"},
		replay:                                   {note, "ConnectionPainted", "Is enabled"},
	} {
		res := b.send(t, "GET", path)
		for _, part := range parts {
			if res.status != http.StatusOK || !strings.Contains(res.text(), part) {
				t.Errorf("%s: %d, want %q", path, res.status, part)
			}
		}
	}
	type past struct {
		Step, Steps int
		State       map[string]any
		Unread      string
	}
	newest := get[past](t, program, replay)
	before := get[past](t, program, fmt.Sprintf("%s?at=%d", replay, position-1))
	if newest.Step != newest.Steps || newest.State["is_enabled"] != before.State["is_enabled"] || !strings.HasPrefix(newest.Unread, note) || before.Unread != "" || before.State == nil {
		t.Errorf("newest %+v\nbefore %+v", newest, before)
	}
}

// TestWhatIsSetAsideIsSaid: events that the audit's read models could not take in are missing from what is answered, and every answer says so.
func TestWhatIsSetAsideIsSaid(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b, program := c.browser(t, "readonly"), c.program(t, "readonly")
	const header, note = "Events-Set-Aside", "could not be applied and "
	replay := fmt.Sprintf("/admin/audit/replay/connection/%d", c.conn.Number)
	if res := b.send(t, "GET", replay); res.header.Get(header) != "" || strings.Contains(res.text(), note) || !strings.Contains(res.text(), "This is the newest event") {
		t.Errorf("nothing is set aside: %q %s", res.header.Get(header), clip(res.body))
	}
	for _, poison := range []string{
		`alter table audit_log add constraint poison check (event <> 'ConnectionDisabled') not valid`,
		`alter table attempts add constraint poison check (outcome <> 'blocked') not valid`,
	} {
		_, err := c.db.OwnerPool(t).Exec(t.Context(), poison)
		must(t, err)
	}
	c.tell(t)
	for path, want := range map[string]string{
		"/admin/audit": "1", "/admin/audit?format=csv": "1", "/admin/audit/1": "1", replay: "1",
		"/admin/attempts": "1", "/admin/attempts?format=csv": "1", "/admin/tenants": "",
	} {
		if res := program.send(t, "GET", path); res.status != http.StatusOK || res.header.Get(header) != want {
			t.Errorf("%s: %d, %s: %q", path, res.status, header, res.header.Get(header))
		}
		if res := b.send(t, "GET", path); strings.Contains(path, "csv") != !strings.Contains(res.text(), "1 event "+note+"is set aside") && want != "" ||
			strings.Contains(res.text(), "This is the newest event") {
			t.Errorf("%s: %s", path, clip(res.body))
		}
	}
	var position int64
	var attempt uuid.UUID
	must(t, c.pool.QueryRow(t.Context(), `select position from parked where projection = 'audit' and stream = $1`, c.conn.ID).Scan(&position))
	must(t, c.pool.QueryRow(t.Context(), `select (e.payload ->> 'attempt')::uuid from parked p join log using (position) join events e using (seq)
		where p.projection = 'attempts' and e.workspace = $1`, c.ours).Scan(&attempt))
	for _, path := range []string{fmt.Sprintf("/admin/audit/%d", position), "/admin/attempts/" + attempt.String()} {
		if p := program.send(t, "GET", path).problem(t); p.Status != http.StatusNotFound || !strings.Contains(p.Detail, "1 event "+note+"is set aside, and what you look for may be among them.") {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if res := c.program(t, "limited").send(t, "GET", "/admin/audit"); res.header.Get(header) != "" {
		t.Errorf("who sees none of them is told of %q", res.header.Get(header))
	}
}

func TestReceiptsSayWhyAndWhatWouldBeToday(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.tell(t)
	type attempt struct {
		Attempt, Outcome, RuleText string
		Rule                       int
		Sentences                  []string
		RunID                      *int64 `json:"runId"`
	}
	list := get[listOf[attempt]](t, c.program(t, "readonly"), "/admin/attempts")
	if len(list.Items) != 4 {
		t.Fatalf("%d attempts: %+v", len(list.Items), list.Items)
	}
	byOutcome := map[string]attempt{}
	for _, a := range list.Items {
		byOutcome[a.Outcome] = get[attempt](t, c.program(t, "readonly"), "/admin/attempts/"+a.Attempt)
	}
	for outcome, rule := range map[string]int{"accepted": 11, "deduped": 9, "scope_busy": 10, "blocked": 4} {
		if a := byOutcome[outcome]; a.Rule != rule || len(a.Sentences) < 3 || !strings.Contains(a.Sentences[0], "on Contoso over connection") {
			t.Errorf("%s: %+v", outcome, a)
		}
	}
	if id := byOutcome["accepted"].RunID; id == nil || *id != run.RunNumber {
		t.Errorf("accepted as %v, want %d", id, run.RunNumber)
	}
	blocked := "/admin/attempts/" + byOutcome["blocked"].Attempt
	operator, reader := c.browser(t, "operator"), c.browser(t, "readonly")
	if text := reader.send(t, "GET", blocked+"?again=1").text(); strings.Contains(text, "Ask again now") || strings.Contains(text, "If it were asked now") {
		t.Error("a reader is offered to ask again")
	}
	before := c.count(t, `select count(*) from events`)
	text := operator.send(t, "GET", blocked+"?again=1").text()
	if !strings.Contains(text, "If it were asked now") || !strings.Contains(text, "Will be blocked") || !strings.Contains(text, "Step 4 of 11 decided") {
		t.Errorf("asked again while disabled: %s", text)
	}
	if text := reader.send(t, "GET", "/admin/attempts?group=reason").text(); !strings.Contains(text, ": 1 attempt in 1 tenant") || !strings.Contains(text, blocked) {
		t.Errorf("grouped: %s", text)
	}
	must(t, c.commands.SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, Enabled: true}))
	if text := operator.send(t, "GET", blocked+"?again=1").text(); !strings.Contains(text, "Busy: run") {
		t.Error("asked again once enabled: not busy")
	}
	if got := c.count(t, `select count(*) from events`); got != before+1 {
		t.Errorf("asking again recorded %d events", got-before-1)
	}
	c.settle(t)
	if text := reader.send(t, "GET", "/admin/attempts?group=reason").text(); !strings.Contains(text, "Mended already: 1 of 1 place.") || strings.Contains(text, blocked) {
		t.Errorf("grouped, once it is mended: %s", text)
	}
	if text := reader.send(t, "GET", runPath(run.RunNumber)).text(); !strings.Contains(text, "/admin/attempts/"+byOutcome["accepted"].Attempt) || !strings.Contains(text, "Why?") {
		t.Error("the run does not lead to its receipt")
	}
	answer := operator.send(t, "POST", rolesPath(c.contoso), form(nil)).text()
	why := regexp.MustCompile(`href="(/admin/attempts/[0-9a-f-]+)">Why\?`).FindStringSubmatch(answer)
	if why == nil {
		t.Fatalf("the answer has no receipt: %s", answer)
	}
	if res := operator.send(t, "GET", why[1]); res.status != http.StatusOK || !strings.Contains(res.text(), "Step 10 of 11") {
		t.Errorf("the receipt of the answer: %d", res.status)
	}
	if rows, err := csv.NewReader(strings.NewReader(c.program(t, "readonly").send(t, "GET", "/admin/attempts?format=csv&outcome=blocked").text())).ReadAll(); err != nil || len(rows) != 2 {
		t.Errorf("as a spreadsheet: %v %v", rows, err)
	}
}

func TestTimeMachineSteps(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.tell(t)
	b, program := c.browser(t, "readonly"), c.program(t, "readonly")
	type past struct {
		Object      string
		Step, Steps int
		Position    *int64
		State       map[string]any
	}
	for kind, number := range map[string]int64{"connection": c.conn.Number, "tenant": c.contoso.Number, "run": run.RunNumber} {
		path := fmt.Sprintf("/admin/audit/replay/%s/%d", kind, number)
		newest := get[past](t, program, path)
		if newest.Step != newest.Steps || newest.State == nil {
			t.Errorf("%s: newest %+v", kind, newest)
		}
		// Back to the first event by the links alone, as without scripts.
		href, steps := path, 0
		for back := regexp.MustCompile(`data-travel="back" href="([^"]+)"`); href != ""; steps++ {
			res := b.send(t, "GET", strings.ReplaceAll(href, "&amp;", "&"))
			if res.status != http.StatusOK || !strings.Contains(res.text(), "Past state, read-only.") || !strings.Contains(res.text(), "aria-valuetext=") {
				t.Fatalf("%s: %d", href, res.status)
			}
			href = ""
			if m := back.FindStringSubmatch(res.text()); m != nil {
				href = m[1]
			}
		}
		if steps != newest.Steps {
			t.Errorf("%s: %d steps by links, want %d", kind, steps, newest.Steps)
		}
		for _, query := range []string{"?step=1", "?at=1", "?at=2001-01-01T00:00:00Z", "?at=2001-01-01", "?at=2099-01-01T09:14:07", "?show=raw", fmt.Sprintf("?at=%d&base=%d", *newest.Position, *newest.Position-1)} {
			if res := b.send(t, "GET", path+query); res.status != http.StatusOK {
				t.Errorf("%s%s: %d", path, query, res.status)
			}
		}
		first := get[past](t, program, path+"?step=1")
		compared := b.send(t, "GET", fmt.Sprintf("%s?base=%d", path, *first.Position)).text()
		if kind == "connection" && (!strings.Contains(compared, "differ from") || !strings.Contains(compared, ">changed</span>")) {
			t.Errorf("%s compared with its first event shows no difference", kind)
		}
	}
	path := fmt.Sprintf("/admin/audit/replay/connection/%d", c.conn.Number)
	then := get[past](t, program, path+"?at="+fmt.Sprint(*get[past](t, program, path).Position-1))
	now := get[past](t, program, path)
	if then.State["is_enabled"] != true || now.State["is_enabled"] != false {
		t.Errorf("enabled then %v, now %v", then.State["is_enabled"], now.State["is_enabled"])
	}
	part := b.send(t, "GET", path+"?step=2", message{}.with("HX-Request", "true")).text()
	if !strings.HasPrefix(strings.TrimSpace(part), `<div id="machine-view"`) || strings.Contains(part, "<html") {
		t.Errorf("inside the page: %s", clip([]byte(part)))
	}
	for _, bad := range []string{path + "?at=yesterday", path + "?step=0", path + "?base=x", path + "?at=-1", path + "?at=999999", path + "?base=999999", path + "?at=0000-01-01"} {
		if res := program.send(t, "GET", bad, accept("application/json")); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, res.status)
		}
	}
	for _, absent := range []string{"/admin/audit/replay/connection/999999", "/admin/audit/replay/planet/1", "/admin/audit/replay/connection/x", "/admin/audit/999999", "/admin/audit/x", "/admin/attempts/x", "/admin/attempts/" + uuid.Nil.String()} {
		if res := b.send(t, "GET", absent); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", absent, res.status)
		}
	}
}

// TestAuditLeaksNothing: what happens in another workspace or in a hidden tenant is neither shown nor counted, on no page and in no form.
func TestAuditLeaksNothing(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.tell(t)
	ours := get[listOf[auditItem]](t, c.program(t, "owner"), "/admin/audit?range=all&limit=200").Items
	theirs := get[listOf[auditItem]](t, c.program(t, "stranger"), "/admin/audit?range=all&limit=200").Items
	secrets := map[string][]string{
		"owner":    {"Fabrikam", c.theirs.String(), "own secret reason", c.people["stranger"].String()},
		"stranger": {"Contoso", "Tailspin", c.ours.String(), "The customer is leaving", c.people["owner"].String()},
		"limited":  {"Contoso", "Fabrikam", "The customer is leaving", c.contoso.ID.String()},
	}
	lists := []string{
		"/admin/audit?range=all", "/admin/audit?range=all&format=csv", "/admin/attempts", "/admin/attempts?group=reason", "/admin/attempts?format=csv",
		"/admin/audit?range=all&tenant=a", "/admin/audit?range=all&actor=-nobody",
	}
	for name, words := range secrets {
		for _, from := range []*caller{c.program(t, name), c.browser(t, name)} {
			for _, path := range lists {
				res := from.send(t, "GET", path)
				for _, word := range words {
					if strings.Contains(res.text(), word) {
						t.Errorf("%s sees %q at %s", name, word, path)
					}
				}
			}
		}
	}
	attempt := *find(t, ours, "StartBlocked").Attempt
	hidden := []string{
		fmt.Sprintf("/admin/audit/%d", find(t, ours, "ConnectionDisabled").Position), "/admin/attempts/" + attempt,
		fmt.Sprintf("/admin/audit/replay/connection/%d", c.conn.Number), fmt.Sprintf("/admin/audit/replay/tenant/%d", c.contoso.Number),
		fmt.Sprintf("/admin/audit/replay/run/%d", run.RunNumber),
	}
	for _, name := range []string{"stranger", "limited", "platform", "nobody"} {
		for _, path := range hidden {
			if res := c.program(t, name).send(t, "GET", path, accept("application/json")); res.status != http.StatusNotFound {
				t.Errorf("%s: %s is %d", name, path, res.status)
			}
		}
		for _, query := range []string{"object=" + url.QueryEscape(fmt.Sprintf("connection/%d", c.conn.Number)), "attempt=" + attempt} {
			res := c.program(t, name).send(t, "GET", "/admin/audit?range=all&"+query, accept("application/json"))
			if strings.Contains(res.text(), "Contoso") || res.status == http.StatusOK && !strings.Contains(res.text(), `"items":[]`) {
				t.Errorf("%s: %s answers %s", name, query, clip(res.body))
			}
		}
	}
	if res := c.program(t, "owner").send(t, "GET", fmt.Sprintf("/admin/audit/%d", theirs[0].Position), accept("application/json")); res.status != http.StatusNotFound {
		t.Errorf("their event is %d to our owner", res.status)
	}
}

func replayPath(kind string, number int64) string {
	return fmt.Sprintf("/admin/audit/replay/%s/%d", kind, number)
}

// eventOf is the page of a stream's first event.
func (c *console) eventOf(t *testing.T, stream uuid.UUID) string {
	t.Helper()
	c.settle(t)
	return fmt.Sprintf("/admin/audit/%d", c.count(t, `select min(position) from audit_log where stream = $1`, stream))
}

// An export of the log is whole however long it is.
func TestALongAuditExportIsWhole(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	const batches, each = 12, 900
	stream := domain.TenantStream(c.ours, c.contoso.ExternalID)
	for i := range batches {
		_, err := c.store.Transact(t.Context(), eventstore.Request{Workspace: c.ours, At: time.Now().UTC()}, func(ctx context.Context, u *eventstore.Unit) error {
			if _, _, err := eventstore.Load[domain.Tenant](ctx, u, stream); err != nil {
				return err
			}
			for j := range each {
				u.Append(stream, domain.TenantRenamed{Name: fmt.Sprintf("Contoso %d", i*each+j)})
			}
			return nil
		})
		must(t, err)
	}
	c.settle(t)
	rows, err := csv.NewReader(strings.NewReader(c.program(t, "readonly").send(t, "GET", "/admin/audit?range=all&format=csv").text())).ReadAll()
	must(t, err)
	if want := c.count(t, `select count(*) from events where workspace = $1`, c.ours) + 1; len(rows) != want || want < batches*each {
		t.Fatalf("%d rows, want %d", len(rows), want)
	}
	for i, row := range rows[2:] {
		if above, here := rows[i+1][0], row[0]; len(above) < len(here) || len(above) == len(here) && above <= here {
			t.Fatalf("row %d: position %s after %s", i+2, here, above)
		}
	}
}
