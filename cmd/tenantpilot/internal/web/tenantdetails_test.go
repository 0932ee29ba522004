package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

type tenantDetails struct {
	EntraTenantID string `json:"entraTenantId"`
	Domain, Name  string
	Groups        []string
}

// TestATenantIsRenamedAndGrouped: by a form and by a program, each on what it has seen; the history says who did it, and groups are shown.
func TestATenantIsRenamedAndGrouped(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b, other, p := c.browser(t, "manager"), c.browser(t, "owner"), c.program(t, "manager")
	here := "/admin/tenants/" + c.contoso.ExternalID.String()
	tagOf := func(page string) string {
		_, rest, _ := strings.Cut(page, `name="etag" value="`)
		tag, _, _ := strings.Cut(rest, `"`)
		return tag
	}
	if page := b.send(t, "GET", here).text(); !strings.Contains(page, `href="`+here+`/edit"`) {
		t.Error("the tenant's page does not lead to its form")
	}
	if page := c.browser(t, "readonly").send(t, "GET", here).text(); strings.Contains(page, here+"/edit") {
		t.Error("who may not change a tenant is led to its form")
	}
	opened := b.send(t, "GET", here+"/edit")
	tag := tagOf(opened.text())
	if tag == "" || opened.header.Get("ETag") != `"`+tag+`"` {
		t.Fatalf("tag %q, ETag %s", tag, opened.header.Get("ETag"))
	}
	fields := func(tag, name, groups string) message {
		return form(url.Values{"etag": {tag}, "name": {name}, "groups": {groups}})
	}
	many := strings.Repeat("x\n", 3) + "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np\nq\nr\ns\nt\nu"
	for name, sent := range map[string]message{"no name": fields(tag, " ", "Gold"), "too many groups": fields(tag, "Other", many)} {
		if res := b.send(t, "POST", here+"/edit", sent); res.status != http.StatusUnprocessableEntity || !strings.Contains(res.text(), `aria-invalid="true"`) {
			t.Errorf("%s: %d %s", name, res.status, clip(res.body))
		}
	}
	if n := c.count(t, `select count(*) from events where stream = $1 and name in ('TenantRenamed', 'TenantGrouped')`, c.contoso.ID); n != 0 {
		t.Errorf("what was refused left %d events", n)
	}
	res := b.send(t, "POST", here+"/edit", fields(tag, "Contoso Europe", "Gold\r\n\r\n Europe \r\nGold"))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != here {
		t.Fatalf("save: %d to %s: %s", res.status, res.header.Get("Location"), clip(res.body))
	}
	if page := b.send(t, "GET", here).text(); !strings.Contains(page, "Contoso Europe") || !strings.Contains(page, "Europe, Gold") {
		t.Error("the tenant's page shows neither its new name nor its groups")
	}
	if page := b.send(t, "GET", "/admin/tenants?q=gold").text(); !strings.Contains(page, `class="row-link" href="`+here+`"`) ||
		strings.Count(page, `class="row-link"`) != 1 {
		t.Error("the list of tenants does not find them by group")
	}
	history := b.send(t, "GET", "/admin/audit?stream="+c.contoso.ID.String()).text() + b.send(t, "GET", "/admin/audit").text()
	for _, want := range []string{"Renamed the tenant to Contoso Europe.", "Put the tenant into these groups: Europe and Gold."} {
		if !strings.Contains(history, want) {
			t.Errorf("the audit log does not say %q", want)
		}
	}

	// Somebody who had the form open sees what is there now, and can save theirs after all.
	res = other.send(t, "POST", here+"/edit", fields(tag, "Contoso of mine", ""))
	page := res.text()
	if res.status != http.StatusPreconditionFailed || !strings.Contains(page, "The name there now is Contoso Europe, the groups are: Europe, Gold.") ||
		!strings.Contains(page, `value="Contoso of mine"`) {
		t.Errorf("a stale save: %d %s", res.status, clip(res.body))
	}
	if res := other.send(t, "POST", here+"/edit", fields(tagOf(page), "Contoso of mine", "")); res.status != http.StatusSeeOther {
		t.Errorf("saving after all: %d", res.status)
	}

	// Programs.
	res = p.send(t, "GET", here+"/edit", accept("application/json"))
	var d tenantDetails
	must(t, json.Unmarshal(res.body, &d))
	fresh := res.header.Get("ETag")
	if d.Name != "Contoso of mine" || d.Groups == nil || len(d.Groups) != 0 || d.EntraTenantID != c.contoso.ExternalID.String() {
		t.Errorf("details: %s", res.body)
	}
	body := jsonBody(`{"name":"Contoso","groups":["Pilot"]}`)
	for name, tc := range map[string]struct {
		sent   message
		status int
		code   string
	}{
		"without If-Match": {body, http.StatusPreconditionRequired, "precondition_required"},
		"stale":            {body.with("If-Match", `"`+tag+`"`), http.StatusPreconditionFailed, "changed_meanwhile"},
		"no name":          {jsonBody(`{"name":"","groups":[]}`).with("If-Match", fresh), http.StatusBadRequest, "invalid_input"},
		"unknown member":   {jsonBody(`{"name":"x","groups":[],"domain":"x"}`).with("If-Match", "*"), http.StatusBadRequest, "malformed_body"},
	} {
		if res := p.send(t, "POST", here+"/edit", tc.sent); res.status != tc.status || res.problem(t).Code != tc.code {
			t.Errorf("%s: %d %s", name, res.status, clip(res.body))
		}
	}
	res = p.send(t, "POST", here+"/edit", body.with("If-Match", fresh))
	must(t, json.Unmarshal(res.body, &d))
	if res.status != http.StatusOK || d.Name != "Contoso" || !slices.Equal(d.Groups, []string{"Pilot"}) || res.header.Get("ETag") == fresh {
		t.Errorf("save: %d %s", res.status, clip(res.body))
	}
}
