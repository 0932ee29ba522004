package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// saveView saves a view as a page does and returns its id and where it leads.
func (a *caller) saveView(t *testing.T, name, query string, shared bool) (id, location string) {
	t.Helper()
	v := url.Values{"page": {"operations"}, "base": {"/admin/operations"}, "query": {query}, "name": {name}}
	if shared {
		v.Set("shared", "true")
	}
	res := a.send(t, "POST", "/admin/views", form(v))
	where, err := url.Parse(res.header.Get("Location"))
	must(t, err)
	id = where.Query().Get("saved")
	if res.status != http.StatusSeeOther || uuid.Validate(id) != nil {
		t.Fatalf("save %s: %d to %s: %s", name, res.status, where, clip(res.body))
	}
	return id, where.String()
}

func (a *caller) changeView(t *testing.T, id, do, query string) response {
	t.Helper()
	return a.send(t, "POST", "/admin/views/"+id, form(url.Values{"do": {do}, "base": {"/admin/operations"}, "query": {query}}))
}

func TestSavedViews(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.history(t)
	mine, other := c.browser(t, "operator"), c.browser(t, "manager")
	id, location := mine.saveView(t, "Broken", "outcome=failed&cols=reason,started&sort=oldest&after=a-1&peek=3&saved=x", false)
	if location != "/admin/operations?cols=reason%2Cstarted&outcome=failed&saved="+id+"&sort=oldest" {
		t.Errorf("the view leads to %s", location)
	}
	page := mine.send(t, "GET", location).text()
	for _, want := range []string{`<b>Broken</b>`, `class="muted">saved<`, `Reason code</th>`, `aria-sort="ascending"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the view's page lacks %s", want)
		}
	}
	if strings.Contains(page, `clip">Tenant</th>`) {
		t.Error("the view's page has columns that the view has not")
	}
	page = mine.send(t, "GET", location+"&tenant=contoso").text()
	for _, want := range []string{`class="muted">modified<`, `value="save"`, ">Discard<", ">Save as<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the modified view's page lacks %s", want)
		}
	}
	// Private: nobody else sees it, by any way.
	if page := other.send(t, "GET", location).text(); strings.Contains(page, "<b>Broken</b>") {
		t.Error("a private view is shown to others")
	}
	for _, do := range []string{"save", "delete", "default"} {
		if res := other.changeView(t, id, do, ""); res.status != http.StatusNotFound {
			t.Errorf("%s of a private view by others: %d", do, res.status)
		}
	}
	// Shared: others read it, make it their default and duplicate it; they change nothing. Other workspaces still see nothing.
	mine.changeView(t, id, "share", "")
	if res := mine.changeView(t, id, "save", "outcome=failed&tenant=contoso"); res.header.Get("Location") != "/admin/operations?outcome=failed&saved="+id+"&tenant=contoso" {
		t.Errorf("save: %d to %s", res.status, res.header.Get("Location"))
	}
	page = other.send(t, "GET", "/admin/operations?outcome=failed&tenant=contoso&saved="+id).text()
	if !strings.Contains(page, "shared by Operator, read-only") || !strings.Contains(page, ">Duplicate<") || strings.Contains(page, `value="delete"`) {
		t.Error("a view of somebody else's can be changed, or is not said to be theirs")
	}
	for _, do := range []string{"save", "delete", "share", "unshare"} {
		if res := other.changeView(t, id, do, ""); res.status != http.StatusForbidden {
			t.Errorf("%s of a shared view by others: %d", do, res.status)
		}
	}
	stranger := c.browser(t, "stranger")
	for _, do := range []string{"save", "default"} {
		if res := stranger.changeView(t, id, do, ""); res.status != http.StatusNotFound {
			t.Errorf("%s by a stranger: %d", do, res.status)
		}
	}
	if page := stranger.send(t, "GET", "/admin/operations?saved="+id).text(); strings.Contains(page, "Broken") {
		t.Error("a stranger sees the name of our view")
	}
	other.saveView(t, "broken", "outcome=failed", false) // names are one's own
	for name, v := range map[string]url.Values{
		"taken":   {"page": {"operations"}, "name": {"BROKEN"}, "query": {""}},
		"no name": {"page": {"operations"}, "name": {" "}, "query": {""}}, "no page": {"page": {"x"}, "name": {"A"}},
		"too long": {"page": {"operations"}, "name": {"A"}, "query": {strings.Repeat("a", 2001)}},
	} {
		if res := mine.send(t, "POST", "/admin/views", form(v)); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	for _, name := range []string{"nobody", "platform"} {
		if res := c.browser(t, name).send(t, "POST", "/admin/views", form(url.Values{"page": {"operations"}, "name": {"A"}})); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	mine.changeView(t, id, "delete", "")
	if res := mine.changeView(t, id, "save", ""); res.status != http.StatusNotFound {
		t.Errorf("a deleted view: %d", res.status)
	}
}

func TestADefaultView(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner, b := c.browser(t, "owner"), c.browser(t, "operator")
	id, _ := owner.saveView(t, "Shared", "outcome=failed", true)
	second, _ := b.saveView(t, "Second", "view=mine", false)
	b.changeView(t, second, "default", "")
	b.changeView(t, id, "default", "")
	where := b.send(t, "GET", "/admin/operations").header.Get("Location")
	if where != "/admin/operations?outcome=failed&saved="+id {
		t.Errorf("the list opens with %q", where)
	}
	page := b.send(t, "GET", "/admin/operations?view=active") // what the address says beats the default
	if page.status != http.StatusOK || !strings.Contains(page.text(), `href="/admin/operations?saved=none"`) {
		t.Errorf("an address with a filter: %d, or no way to the list without the view", page.status)
	}
	if res := b.send(t, "GET", "/admin/operations?saved=none"); res.status != http.StatusOK {
		t.Errorf("without the view: %d", res.status)
	}
	if res := c.program(t, "operator").send(t, "GET", "/admin/operations"); res.status != http.StatusOK {
		t.Errorf("a program: %d", res.status)
	}
	for name, from := range map[string]*caller{"owner": owner, "manager": c.browser(t, "manager")} {
		if res := from.send(t, "GET", "/admin/operations"); res.status != http.StatusOK {
			t.Errorf("%s opens with somebody else's default: %d", name, res.status)
		}
	}
	owner.changeView(t, id, "unshare", "") // then it is nobody else's default either
	if res := b.send(t, "GET", "/admin/operations"); res.status != http.StatusOK {
		t.Errorf("a view that is no longer shared opens the list: %d to %s", res.status, res.header.Get("Location"))
	}
}

func TestColumnsAndOrder(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	past := c.history(t)
	b := c.browser(t, "operator")
	sent := "/admin/operations?view=attention&columns=chosen&col=tenant&col=reason&col=no&place-tenant=2&place-reason=1&place-started=3"
	if got := b.send(t, "GET", sent).header.Get("Location"); got != "/admin/operations?cols=reason%2Ctenant&view=attention" {
		t.Errorf("chosen columns lead to %q", got)
	}
	if got := b.send(t, "GET", "/admin/operations?columns=chosen").header.Get("Location"); got != "/admin/operations?cols=none" {
		t.Errorf("no columns lead to %q", got)
	}
	page := b.send(t, "GET", "/admin/operations?cols=reason,tenant").text()
	if r, tenant := strings.Index(page, "Reason code</th>"), strings.Index(page, `clip">Tenant</th>`); r < 0 || tenant < r || strings.Contains(page, `run-duration`) {
		t.Error("the columns are not those of the address")
	}
	if page := b.send(t, "GET", "/admin/operations?cols=reason,reason").text(); !strings.Contains(page, "cols:reason,reason") {
		t.Error("a malformed column list is not shown as a wrong filter")
	}
	p := c.program(t, "operator")
	newest, _ := p.list(t, "/admin/operations")
	oldest, next := p.list(t, "/admin/operations?sort=oldest&limit=3")
	rest, end := p.list(t, "/admin/operations?sort=oldest&limit=3&after="+next)
	oldest = append(oldest, rest...)
	if len(oldest) != len(past) || end != "" {
		t.Fatalf("oldest first is %v, then %q", oldest, end)
	}
	for i, n := range newest {
		if oldest[len(oldest)-1-i] != n {
			t.Errorf("oldest first is %v, newest first %v", oldest, newest)
			break
		}
	}
}

// TestASharedViewTellsNobodyOfTenants: a view that names a tenant, in its filter or as its name, is not there for who does not see the tenant.
func TestASharedViewTellsNobodyOfTenants(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	operator, limited := c.browser(t, "operator"), c.browser(t, "limited") // who sees tailspin only
	for name, query := range map[string]string{
		"Mondays": "status=failed", "By name": "q=-tenant%3Acontoso", "By id": "tenant=" + c.contoso.ExternalID.String(), "Contoso nightly": "status=failed",
		"Ours": "q=tenant%3Atailspin",
	} {
		saved := operator.send(t, "POST", "/admin/views", form(url.Values{
			"page": {"operations"}, "base": {"/admin/operations"}, "name": {name}, "query": {query}, "shared": {"true"},
		}))
		if saved.status != http.StatusSeeOther {
			t.Fatalf("save %s: %d %s", name, saved.status, clip(saved.body))
		}
	}
	for _, at := range []string{"/admin/operations", "/admin/search?q=%2F"} {
		page := limited.send(t, "GET", at).text()
		for name, seen := range map[string]bool{"Mondays": true, "Ours": true, "By name": false, "By id": false, "Contoso nightly": false} {
			if strings.Contains(page, ">"+name+"<") != seen {
				t.Errorf("%s: who does not see Contoso is told of %q: %v", at, name, !seen)
			}
			if !strings.Contains(operator.send(t, "GET", at).text(), ">"+name+"<") {
				t.Errorf("%s: who sees all is not told of %q", at, name)
			}
		}
		if strings.Contains(page, c.contoso.ExternalID.String()) {
			t.Errorf("%s names the tenant's directory", at)
		}
	}
}
