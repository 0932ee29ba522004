package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

// TestSearchFindsWhatOneMaySee: tenants, runs, attempts, pages and starts, filtered by entitlement; provider connections never.
func TestSearchFindsWhatOneMaySee(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	conn, err := c.commands.CreateConnection(t.Context(), commands.CreateConnection{
		Actor: domain.SystemActor(c.ours), Tenant: c.contoso.ExternalID, DisplayName: "Zanzibar uplink", ConnectionType: "dedicated",
		AppID: "0d0a4a4e-3a0c-4b0f-8a53-5b1de2d9f3c4",
	})
	must(t, err)
	c.settle(t)
	c.browser(t, "owner").saveView(t, "Late ones", "outcome=failed", true)
	run := c.hold(t, domain.OpGroupsSync)
	number := strings.TrimPrefix(runPath(run.RunNumber), "/admin/operations/")
	for _, w := range []struct {
		who, query, find string
		found            bool
	}{
		{"operator", "conto", "/admin/tenants/" + c.contoso.ExternalID.String(), true},
		{"operator", c.contoso.ExternalID.String(), "/admin/tenants/" + c.contoso.ExternalID.String(), true},
		{"limited", "conto", c.contoso.ExternalID.String(), false},
		{"stranger", "conto", c.contoso.ExternalID.String(), false},
		{"operator", "#" + number, runPath(run.RunNumber), true},
		{"limited", number, runPath(run.RunNumber), false},
		{"stranger", number, runPath(run.RunNumber), false},
		{"operator", run.Attempt.String(), "/admin/attempts/" + run.Attempt.String(), true},
		{"stranger", run.Attempt.String(), "/admin/attempts/" + run.Attempt.String(), false},
		{"readonly", "audit", "/admin/audit", true},
		{"operator", "groups contoso", startPathForm(c.contoso), true},
		{"readonly", "groups contoso", startPathForm(c.contoso), false},
		{"operator", "platform", "/admin/provider-connections/", false},
		{"owner", "zanzibar", "/admin/provider-connections/", false},
		{"owner", "Zanzibar uplink", "/admin/tenants/", false}, // not by way of its tenant either
		{"owner", conn.AppID, "/admin/provider-connections/", false},
		{"owner", conn.ID.String(), "/admin/provider-connections/", false},
		{"owner", "provider conn", "/admin/provider-connections\"", true}, // the page of them all
		{"readonly", "tokens", "/admin/settings/tokens", true},
		{"readonly", "late", "/admin/operations?", true},
		{"stranger", "late", "/admin/operations?", false},
		{"readonly", "/late", "/admin/operations?", true},
		{"readonly", "#late", "/admin/operations?", false},
		{"readonly", "@operat", "/admin/settings/members", true},
		{"readonly", "@conto", c.contoso.ExternalID.String(), false},
		{"operator", ">contoso groups", startPathForm(c.contoso), true},
		{"operator", ">conto", "/admin/tenants/", false},
	} {
		path := "/admin/search?q=" + url.QueryEscape(w.query)
		for kind, a := range map[string]*caller{"a program": c.program(t, w.who), "a browser": c.browser(t, w.who)} {
			r := a.send(t, "GET", path)
			if r.status != http.StatusOK {
				t.Fatalf("%s as %s: %d", path, w.who, r.status)
			}
			_, results, isPage := strings.Cut(r.text(), `id="palette-results"`)
			if !isPage {
				results = r.text()
			}
			if strings.Contains(results, `"`+w.find) != w.found {
				t.Errorf("%s, %s searches %q: found %s %v, want %v", kind, w.who, w.query, w.find, !w.found, w.found)
			}
		}
	}
	for name, want := range map[string]int{"platform": 404, "nobody": 404} {
		if r := c.program(t, name).send(t, "GET", "/admin/search"); r.status != want {
			t.Errorf("%s: %d, want %d", name, r.status, want)
		}
	}
	if r := c.program(t, "operator").send(t, "GET", "/admin/search?q="+strings.Repeat("x", 201)); r.status != http.StatusBadRequest {
		t.Errorf("a long query: %d", r.status)
	}
}

func startPathForm(tenant domain.Tenant) string {
	return "/admin/t/" + tenant.ExternalID.String() + "/start"
}
