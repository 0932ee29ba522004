package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

// runList is the list as programs get it.
type runList struct {
	Items []struct {
		RunID                          int64
		OperationType, ExecutionStatus string
		Outcome, ShortReason           *string
		Initiator, Trigger             string
	}
	Next *string
}

func (a *caller) list(t testing.TB, path string) (numbers []int64, next string) {
	t.Helper()
	res := a.send(t, "GET", path, accept("application/json"))
	if res.status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, res.status, res.body)
	}
	var l runList
	must(t, json.Unmarshal(res.body, &l))
	for _, i := range l.Items {
		numbers = append(numbers, i.RunID)
	}
	if l.Next != nil {
		next = *l.Next
	}
	return numbers, next
}

// history makes runs that ended in different ways: succeeded, failed, cancelled, and one that is queued, oldest first.
func (c *console) history(t testing.TB) []int64 {
	t.Helper()
	var numbers []int64
	ends := []domain.Ending{
		{Outcome: domain.Succeeded, Summary: "12 groups read"},
		{Outcome: domain.Failed, Reason: domain.ReasonProviderUnavailable, Diagnostics: map[string]string{"requestId": "req-1", "status": "503"}},
	}
	for _, e := range ends {
		run := c.hold(t, domain.OpGroupsSync)
		numbers = append(numbers, run.RunNumber)
		claim := c.work(t)
		must(t, c.commands.RecordItems(t.Context(), claim, []domain.Item{{Key: "groups", Name: "Groups", Type: "group", Intent: "read", Result: domain.ItemConfirmed, Count: 12}}))
		c.end(t, claim, e)
	}
	cancelled := c.hold(t, domain.OpRoleDefinitionsSync)
	c.free(t, cancelled.Run)
	queued := c.hold(t, domain.OpGroupsSync)
	return append(numbers, cancelled.RunNumber, queued.RunNumber)
}

func TestTheFilterIsTheAddress(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	runs := c.history(t)
	p, b := c.program(t, "readonly"), c.browser(t, "manager")
	me := c.people["manager"].String()
	for query, want := range map[string][]int64{
		"":                                 {runs[3], runs[2], runs[1], runs[0]},
		"status=queued":                    {runs[3]},
		"status=-completed":                {runs[3]},
		"outcome=failed&outcome=cancelled": {runs[2], runs[1]},
		"outcome=-failed&status=completed": {runs[2], runs[0]},
		"operation=directory_role_definitions.sync": {runs[2]},
		"reason=provider_unavailable":               {runs[1]},
		"tenant=conto":                              {runs[3], runs[2], runs[1], runs[0]},
		"tenant=tailspin":                           nil,
		"connection=999":                            nil,
		"initiator=" + me:                           {runs[3], runs[2], runs[1], runs[0]},
		"initiator=me":                              nil, // readonly started nothing
		"trigger=schedule":                          nil,
		"view=attention":                            {runs[1]},
		"view=active":                               {runs[3]},
		"q=" + num(runs[1]):                         {runs[1]},
		"q=12%20groups":                             {runs[0]},
		"to=2020-01-01T00:00:00Z":                   nil,
		"from=2020-01-01T00:00:00Z&status=queued":   {runs[3]},
	} {
		for _, path := range []string{"/admin/operations", "/admin/t/" + c.contoso.ExternalID.String() + "/operations"} {
			if strings.Contains(path, "/t/") && strings.Contains(query, "tenant=") {
				continue
			}
			if got, _ := p.list(t, path+"?"+query); !slices.Equal(got, want) {
				t.Errorf("%s?%s: %v, want %v", path, query, got, want)
			}
			page := b.send(t, "GET", path+"?"+query).text()
			for _, n := range runs {
				if shown := strings.Contains(page, `id="run-`+num(n)+`"`); shown != slices.Contains(want, n) && query != "initiator=me" {
					t.Errorf("%s?%s: the page shows run %d: %v", path, query, n, shown)
				}
			}
		}
	}
	// Pages of two, by program and back.
	first, next := p.list(t, "/admin/operations?limit=2")
	second, last := p.list(t, "/admin/operations?limit=2&after="+url.QueryEscape(next))
	if !slices.Equal(append(first, second...), []int64{runs[3], runs[2], runs[1], runs[0]}) || last != "" {
		t.Errorf("pages are %v and %v, then %q", first, second, last)
	}
	if link := p.send(t, "GET", "/admin/operations?limit=2", accept("application/json")).header.Get("Link"); !strings.Contains(link, "after="+url.QueryEscape(next)) ||
		!strings.HasSuffix(link, `>; rel="next"`) {
		t.Errorf("Link is %q", link)
	}
	for _, query := range []string{"colour=red", "limit=0", "limit=201", "limit=x", "after=x", "from=yesterday", "to=x", "status=idle", "view=x", "range=1y", "outcome=x", "q=%00", "tenant=%FF", "reason=a%0Ab", "after=1y2p0ij32e8e7-1", "before=-1"} {
		if res := p.send(t, "GET", "/admin/operations?"+query, accept("application/json")); res.status != http.StatusBadRequest || len(res.problem(t).Errors) == 0 {
			t.Errorf("%s: %d %s", query, res.status, res.body)
		}
	}
	if page := b.send(t, "GET", "/admin/operations?colour=red"); page.status != http.StatusOK || !strings.Contains(page.text(), "Unknown filter") {
		t.Errorf("the page does not show an unknown filter: %d", page.status)
	}
	// What is typed becomes the address.
	res := b.send(t, "GET", "/admin/operations?range=7d&filter="+url.QueryEscape(`status:queued -outcome:failed "conto so"`))
	where, err := url.Parse(res.header.Get("Location"))
	must(t, err)
	if q := where.Query(); res.status/100 != 3 || where.Path != "/admin/operations" || q.Get("status") != "queued" || q.Get("outcome") != "-failed" ||
		q.Get("q") != "conto so" || q.Get("range") != "7d" || q.Has("filter") {
		t.Errorf("typed filter: %d to %s", res.status, where)
	}
	if page := b.send(t, "GET", "/admin/operations?tenant=nothing").text(); !strings.Contains(page, "No runs match this filter") || !strings.Contains(page, "Clear filters") {
		t.Error("an empty list does not say why")
	}
	if page := c.browser(t, "limited").send(t, "GET", "/admin/operations").text(); strings.Contains(page, "Contoso") || !strings.Contains(page, "No operations in this range") {
		t.Error("a member of one tenant sees another, or no word about an empty list")
	}
}

func TestTheRunPageFromAnswerToEvidence(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	runs := c.history(t)
	b, p := c.browser(t, "operator"), c.program(t, "readonly")
	for i, says := range [][]string{
		{"Succeeded", "12 groups read", "Manager", "Took the connection", "Groups (12)"},
		{"Failed", string(domain.ReasonProviderUnavailable), "req-1", "503", "Retry", "&amp;selectionKey=all_groups_v1"},
		{"Cancelled", "Cancelling was asked for"},
		{"Queued", "hx-sse:connect", "/cancel"},
	} {
		page := b.send(t, "GET", runPath(runs[i])).text()
		for _, want := range append(says, "provider_connection:"+num(c.conn.Number), "RunAccepted", "Contoso platform") {
			if !strings.Contains(page, want) {
				t.Errorf("run %d: the page does not say %q", i, want)
			}
		}
		var d struct {
			RunID                          int64
			ExecutionStatus, OperationType string
			Outcome                        *string
			ProtectedScope                 map[string]any
			DiagnosticsAvailable           bool
		}
		res := p.send(t, "GET", runPath(runs[i]))
		must(t, json.Unmarshal(res.body, &d))
		if res.header.Get("Content-Type") != runJSON || d.RunID != runs[i] || d.ProtectedScope["connectionId"] != float64(c.conn.Number) {
			t.Errorf("run %d: %s %s", i, res.header.Get("Content-Type"), res.body)
		}
		if (d.Outcome == nil) != (i == 3) || (d.ExecutionStatus == "completed") != (i != 3) || d.DiagnosticsAvailable != (i == 1) {
			t.Errorf("run %d: %s", i, res.body)
		}
		below := p.send(t, "GET", "/admin/t/"+c.contoso.ExternalID.String()+"/operations/"+num(runs[i]))
		if below.text() != res.text() {
			t.Errorf("run %d is another below its tenant: %s", i, below.body)
		}
	}
	// Who met the queued run is on its page.
	b.send(t, "POST", groupsPath(c.contoso), form(nil))
	b.send(t, "POST", rolesPath(c.contoso), form(nil))
	c.settle(t)
	page := b.send(t, "GET", runPath(runs[3])).text()
	for _, want := range []string{"Operator: Directory groups sync was deduped", "Operator: Role definitions sync was kept waiting"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestCancelling(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	p, b := c.program(t, "operator"), c.browser(t, "operator")
	queued := c.hold(t, domain.OpGroupsSync)
	res := p.send(t, "POST", runPath(queued.RunNumber)+"/cancel")
	if res.status != http.StatusOK || !strings.Contains(res.text(), `"cancelled"`) {
		t.Errorf("cancel a queued run: %d %s", res.status, res.body)
	}
	if res := p.send(t, "POST", runPath(queued.RunNumber)+"/cancel"); res.status != http.StatusConflict || res.problem(t).Code != "run_ended" {
		t.Errorf("cancel an ended run: %d %s", res.status, res.body)
	}
	if res := b.send(t, "POST", runPath(queued.RunNumber)+"/cancel", form(nil)); res.status != http.StatusConflict || !strings.Contains(res.text(), "This run has ended") {
		t.Errorf("cancel an ended run in a browser: %d", res.status)
	}
	running := c.hold(t, domain.OpGroupsSync)
	claim := c.work(t)
	for range 2 { // again changes nothing
		if res := p.send(t, "POST", runPath(running.RunNumber)+"/cancel"); res.status != http.StatusOK || !strings.Contains(res.text(), `"running"`) {
			t.Errorf("cancel a running run: %d %s", res.status, res.body)
		}
	}
	if page := b.send(t, "GET", runPath(running.RunNumber)).text(); !strings.Contains(page, "Cancel requested by Operator") && !strings.Contains(page, "Cancelling at the next provider call by Operator") {
		t.Error("the page does not say who asked for the end")
	}
	c.end(t, claim, domain.Ending{Outcome: domain.Cancelled, Reason: domain.ReasonCancelledByOperator})
	if page := b.send(t, "GET", runPath(running.RunNumber)).text(); !strings.Contains(page, "Cancelled by Operator") {
		t.Error("the page does not say that it was cancelled")
	}
}

// TestOnesOwnRunIsThere follows the link of a start's answer at once, with the read models stopped for a moment.
func TestOnesOwnRunIsThereAtOnce(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	p := c.program(t, "operator")
	for range 5 {
		o := p.send(t, "POST", groupsPath(c.contoso)).outcome(t)
		if res := p.send(t, "GET", o.Run.URL); res.status != http.StatusOK {
			t.Fatalf("one's own run: %d %s", res.status, res.body)
		}
		c.free(t, c.runID(t, o.Run.ID))
	}
}

func TestNotificationsAreTheInitiatorsOwn(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	runs := c.history(t) // started by manager
	b := c.browser(t, "manager")
	deadline := time.Now().Add(10 * time.Second)
	var page string
	for !strings.Contains(page, "Directory groups sync ended: failed") || !strings.Contains(page, "was accepted") {
		if page = b.send(t, "GET", "/admin/notifications").text(); time.Now().After(deadline) {
			t.Fatalf("no notifications: %s", clip([]byte(page)))
		}
		time.Sleep(50 * time.Millisecond)
	}
	if n := strings.Count(page, `href="`+runPath(runs[0])+`"`); n != 1 {
		t.Errorf("run %d is there %d times, want its newest state only", runs[0], n)
	}
	if other := c.browser(t, "operator").send(t, "GET", "/admin/notifications").text(); !strings.Contains(other, "Nothing new") {
		t.Error("somebody else is told")
	}
	if res := b.send(t, "POST", "/admin/notifications/read", form(nil)); res.status != http.StatusSeeOther {
		t.Errorf("mark read: %d", res.status)
	}
	if page := b.send(t, "GET", "/admin/notifications").text(); strings.Contains(page, "(unread)") || !strings.Contains(page, "0 unread notifications") {
		t.Error("still unread")
	}
}

func TestSigningInAndChoosingAWorkspace(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "")
	link, err := c.auth.IssueSignInLink(t.Context(), c.people["both"], time.Hour)
	must(t, err)
	for range 2 { // looking does not use it up
		if page := b.send(t, "GET", link+"?next=%2Fadmin%2Ftenants"); page.status != http.StatusOK || !strings.Contains(page.text(), "Sign in as Both") {
			t.Fatalf("link: %d %s", page.status, clip(page.body))
		}
	}
	res := b.send(t, "POST", link, form(url.Values{"next": {"//evil.example"}}))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Fatalf("sign in: %d to %s", res.status, res.header.Get("Location"))
	}
	again := c.browser(t, "")
	if res := again.send(t, "POST", link, form(nil)); res.status != http.StatusSeeOther || res.header.Get("Location") != link {
		t.Errorf("a used link: %d to %s", res.status, res.header.Get("Location"))
	}
	if page := again.send(t, "GET", link); strings.Contains(page.text(), "Sign in as") {
		t.Errorf("a used link is offered again")
	}
	if res := again.send(t, "GET", "/sign-in/"+strings.Repeat("x", 43)); res.status != http.StatusNotFound {
		t.Errorf("a link that never was: %d", res.status)
	}

	home := b.send(t, "GET", "/").text()
	if !strings.Contains(home, "Ours") || !strings.Contains(home, "Theirs") {
		t.Fatalf("home does not offer both workspaces: %s", clip([]byte(home)))
	}
	see := func(tenant string, want bool) {
		t.Helper()
		if page := b.send(t, "GET", "/admin/tenants").text(); strings.Contains(page, tenant) != want {
			t.Errorf("%s is shown: %v", tenant, !want)
		}
	}
	see("Contoso", true)
	see("Fabrikam", false)
	if res := b.send(t, "POST", "/workspaces/"+c.theirs.String()+"/choose", form(nil)); res.status != http.StatusSeeOther {
		t.Fatalf("choose: %d", res.status)
	}
	see("Contoso", false)
	see("Fabrikam", true)
	for _, id := range []string{c.contoso.ID.String(), "x"} {
		if res := b.send(t, "POST", "/workspaces/"+id+"/choose", form(nil)); res.status != http.StatusNotFound {
			t.Errorf("a workspace that is not theirs: %d", res.status)
		}
	}
	if res := c.browser(t, "operator").send(t, "GET", "/"); res.status/100 != 3 || res.header.Get("Location") != "/admin/operations" {
		t.Errorf("home with one workspace: %d to %s", res.status, res.header.Get("Location"))
	}
	if page := c.browser(t, "nobody").send(t, "GET", "/"); !strings.Contains(page.text(), "No workspace yet") {
		t.Errorf("home without a workspace: %d", page.status)
	}
	if res := b.send(t, "POST", "/sign-out", form(nil)); res.status != http.StatusSeeOther {
		t.Errorf("sign out: %d", res.status)
	}
	if res := b.send(t, "GET", "/admin/tenants"); res.status != http.StatusFound {
		t.Errorf("after signing out: %d", res.status)
	}
	bad := &caller{c: c, client: plainClient(nil), token: "tp_" + strings.Repeat("x", 43)}
	if res := bad.send(t, "GET", "/admin/operations"); res.status != http.StatusUnauthorized || res.problem(t).Code != "invalid_token" {
		t.Errorf("a wrong token: %d %s", res.status, res.body)
	}
}

func TestTheTenantPage(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.history(t)
	must(t, c.commands.HoldTenant(t.Context(), commands.HoldTenant{
		Actor: domain.SystemActor(c.ours), Tenant: c.tailspn.ExternalID, Reason: "Migration weekend", Until: time.Now().Add(time.Hour),
	}))
	c.settle(t)
	b := c.browser(t, "operator")
	page := b.send(t, "GET", "/admin/tenants/"+c.contoso.ExternalID.String()).text()
	for _, want := range []string{"Contoso platform is verified and ready", "Will join run", "Busy", "Failed", "Healthy"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	held := b.send(t, "GET", "/admin/tenants/"+c.tailspn.ExternalID.String()).text()
	if !strings.Contains(held, "Migration weekend") || !strings.Contains(held, "Will be blocked") ||
		!strings.Contains(held, "Tailspin is on hold, so no operation can start.") || strings.Contains(held, "ready.") || strings.Contains(held, "Start operation</a>") {
		t.Error("the page does not say that the tenant is on hold")
	}
	o := c.program(t, "operator").send(t, "POST", groupsPath(c.tailspn)).outcome(t)
	if o.Status != "blocked" || !strings.Contains(o.OperatorMessage, "Migration weekend") {
		t.Errorf("a start on a tenant on hold: %+v", o)
	}
	if list := b.send(t, "GET", "/admin/tenants?q=tail").text(); strings.Contains(list, "contoso.example</span>") || !strings.Contains(list, "tailspin.example") {
		t.Error("the filter of the tenants does not work")
	}
}
