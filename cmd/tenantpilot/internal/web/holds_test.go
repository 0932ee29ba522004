package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

func TestATenantIsHeldAndReleased(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "owner")
	external := c.contoso.ExternalID.String()
	hold, release := "/admin/t/"+external+"/hold", "/admin/t/"+external+"/release"
	hub := "/admin/t/" + external + "/operations"

	page := b.send(t, "GET", hold+"?back="+url.QueryEscape(hub)).text()
	for _, want := range []string{"Hold Contoso?", "What runs already goes on.", `name="back" value="` + hub + `"`, `data-close autofocus`} {
		if !strings.Contains(page, want) {
			t.Errorf("the form lacks %q", want)
		}
	}
	for name, v := range map[string]url.Values{
		"no reason": {"reason": {" "}, "length": {"1h"}}, "no length": {"reason": {"Freeze"}, "length": {"2h"}},
		"two lines": {"reason": {"a\nb"}, "length": {"1h"}},
	} {
		if res := b.send(t, "POST", hold, form(v)); res.status != http.StatusUnprocessableEntity || !strings.Contains(res.text(), `id="hold-error"`) {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	res := b.send(t, "POST", hold, form(url.Values{"reason": {"Change freeze"}, "length": {"4h"}, "back": {hub}}))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != hub {
		t.Fatalf("hold: %d to %s", res.status, res.header.Get("Location"))
	}
	for path, wants := range map[string][]string{
		hub:                 {"is on hold: Change freeze", `href="` + release, "On hold: Change freeze</title>"},
		"/admin/operations": {"is on hold: Change freeze", "On hold: Change freeze</title>"},
		"/admin/tenants":    {"On hold: Change freeze"},
		"/admin/provider-connections?hold=true&tenant=" + external: {"on hold: Change freeze", `Contoso platform`},
		"/admin/tenants/" + external:                               {"On hold: Change freeze", ", ends", ">in 3 h</time>", `href="` + release + `"`},
	} {
		page := b.send(t, "GET", path).text()
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
	}
	for name, sees := range map[string]bool{"readonly": true, "limited": false, "stranger": false} {
		page := c.browser(t, name).send(t, "GET", "/admin/operations").text()
		if strings.Contains(page, "Change freeze") != sees || strings.Contains(page, "/release") {
			t.Errorf("%s sees the hold: %v, or may release it", name, !sees)
		}
	}
	if o := c.program(t, "owner").send(t, "POST", startPath(c.contoso, domain.OpGroupsSync)).outcome(t); o.Status != "blocked" {
		t.Errorf("a start on the held tenant is %s", o.Status)
	}
	if res := b.send(t, "POST", release, form(url.Values{"reason": {""}})); res.status != http.StatusUnprocessableEntity {
		t.Errorf("a release without a reason: %d", res.status)
	}
	for range 2 { // again is as good as once
		if res := b.send(t, "POST", release, form(url.Values{"reason": {"Freeze is over"}, "back": {"//evil.example"}})); res.status != http.StatusSeeOther ||
			res.header.Get("Location") != "/admin/tenants/"+external {
			t.Fatalf("release: %d to %s", res.status, res.header.Get("Location"))
		}
	}
	if page := b.send(t, "GET", hub).text(); strings.Contains(page, "Change freeze") {
		t.Error("the released tenant is still on hold")
	}
	if n := c.count(t, `select count(*) from events where name = 'TenantReleased.v2' and payload ->> 'reason' = 'Freeze is over'`); n != 1 {
		t.Errorf("%d releases in the log, want 1", n)
	}
}

// TestARefusalSaysWhoseTheHoldIs: the answer, the receipt and its facts name the one that is on hold, and lead to it.
func TestARefusalSaysWhoseTheHoldIs(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ctx, us, ends := t.Context(), domain.SystemActor(c.ours), time.Now().Add(time.Hour)
	tenant := "/admin/tenants/" + c.contoso.ExternalID.String()
	for _, tc := range []struct {
		whose, href string
		hold        func() error
	}{
		{"connection", connectionAt(c.conn), func() error {
			return c.commands.HoldConnection(ctx, commands.HoldConnection{Actor: us, Connection: c.conn.Number, Reason: "Freeze", Until: ends})
		}},
		{"tenant", tenant, func() error {
			return c.commands.HoldTenant(ctx, commands.HoldTenant{Actor: us, Tenant: c.contoso.ExternalID, Reason: "Freeze", Until: ends})
		}},
	} {
		must(t, tc.hold())
		owner := c.program(t, "owner")
		o := owner.send(t, "POST", startPath(c.contoso, domain.OpGroupsSync)).outcome(t)
		short := "The " + tc.whose + " is on hold."
		if o.Status != "blocked" || *o.ShortReason != short {
			t.Fatalf("%s: %+v", tc.whose, o)
		}
		for _, s := range o.NextSteps {
			if s.Href == nil || *s.Href != tc.href {
				t.Errorf("%s: the step %s does not lead to %s", tc.whose, s.Label, tc.href)
			}
		}
		c.settle(t)
		var attempt string
		must(t, c.pool.QueryRow(ctx, `select payload ->> 'attempt' from events where name = 'StartBlocked' order by seq desc limit 1`).Scan(&attempt))
		receipt := string(owner.send(t, "GET", "/admin/attempts/"+attempt, accept("application/json")).body)
		for _, want := range []string{`"holdOf":"` + tc.whose + `"`, "reason tenant_on_hold: " + short, "There was a hold on the " + tc.whose + ": Freeze"} {
			if !strings.Contains(receipt, want) {
				t.Errorf("the receipt lacks %q: %s", want, receipt)
			}
		}
		page := c.browser(t, "owner").send(t, "GET", "/admin/attempts/"+attempt).text()
		if !strings.Contains(page, "Starts are paused for this "+tc.whose+".") || !strings.Contains(page, `href="`+tc.href+`"`) {
			t.Errorf("the receipt's page does not say that it is the %s", tc.whose)
		}
	}
}
