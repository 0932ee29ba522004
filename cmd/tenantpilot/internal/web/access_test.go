package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tenantpilot/domain"
)

// neutral is an answer without what belongs to the request.
func neutral(r response, path string) string {
	h := r.header.Clone()
	for _, name := range []string{"Date", "X-Request-Id", "Set-Cookie"} {
		h.Del(name)
	}
	id := r.header.Get("X-Request-Id")
	body := strings.NewReplacer(id, "REQUEST", id[:8]+"…"+id[len(id)-4:], "REQUEST").Replace(r.text())
	if h.Get("Content-Length") != "" {
		h.Set("Content-Length", fmt.Sprint(len(strings.ReplaceAll(r.text(), path, ""))))
	}
	return fmt.Sprintf("%d %v\n%s", r.status, h, strings.ReplaceAll(body, path, "PATH"))
}

// differ shows where two texts part.
func differ(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%q but %q", a[max(0, i-40):min(len(a), i+40)], b[max(0, i-40):min(len(b), i+40)])
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d bytes but %d", len(a), len(b))
	}
	return ""
}

// TestARunOfAnotherTenant: the run below a tenant that it does not belong to is forbidden to those who see both, with the way to it.
func TestARunOfAnotherTenant(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	path := fmt.Sprintf("/admin/t/%s/operations/%d", c.tailspn.ExternalID, run.RunNumber)
	if res := c.program(t, "readonly").send(t, "GET", path); res.status != http.StatusForbidden || res.problem(t).Code != "other_tenant" {
		t.Errorf("program: %d %s", res.status, res.body)
	}
	res := c.browser(t, "readonly").send(t, "GET", path)
	if res.status != http.StatusForbidden || !strings.Contains(res.text(), `href="`+runPath(run.RunNumber)+`"`) {
		t.Errorf("browser: %d %s", res.status, clip(res.body))
	}
	absent := fmt.Sprintf("/admin/t/%s/operations/999999", c.tailspn.ExternalID)
	limited := c.program(t, "limited")
	if res := limited.send(t, "GET", path); res.status != http.StatusNotFound {
		t.Errorf("who does not see the run's tenant: %d %s", res.status, res.body)
	} else if d := differ(neutral(res, path), neutral(limited.send(t, "GET", absent), absent)); d != "" {
		t.Errorf("who does not see the run's tenant is told more than of a run that is not there: %s", d)
	}
}

func TestButtonsOnlyForThoseWhoMay(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	cancel := `action="` + runPath(run.RunNumber) + `/cancel"`
	for name, may := range map[string]bool{"operator": true, "readonly": false} {
		b := c.browser(t, name)
		if page := b.send(t, "GET", runPath(run.RunNumber)).text(); strings.Contains(page, cancel) != may {
			t.Errorf("%s: the cancel button is there: %v", name, !may)
		}
		for _, path := range []string{"/admin/operations", "/admin/tenants/" + c.contoso.ExternalID.String()} {
			if page := b.send(t, "GET", path).text(); strings.Contains(page, "start-button") != may {
				t.Errorf("%s: %s has a start button: %v", name, path, !may)
			}
		}
	}
	b := c.browser(t, "operator")
	c.work(t)
	if res := b.send(t, "POST", runPath(run.RunNumber)+"/cancel", form(nil)); res.status != http.StatusSeeOther || res.header.Get("Location") != runPath(run.RunNumber) {
		t.Fatalf("cancel: %d to %s", res.status, res.header.Get("Location"))
	}
	page := b.send(t, "GET", runPath(run.RunNumber)).text()
	if strings.Contains(page, cancel) || !strings.Contains(page, "Cancel requested") && !strings.Contains(page, "Cancelling") {
		t.Error("a run whose cancel was asked for does not say so, or can be cancelled again")
	}
}

func TestOtherSitesCannotStart(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	for name, m := range map[string]message{
		"cross-site":         form(nil).with("Sec-Fetch-Site", "cross-site").with("Origin", "https://evil.example"),
		"same-site":          form(nil).with("Sec-Fetch-Site", "same-site").with("Origin", "https://evil.example"),
		"old browser":        form(nil).with("Sec-Fetch-Site", "").with("Origin", "https://evil.example"),
		"says not whence":    form(nil).with("Sec-Fetch-Site", "").with("Origin", ""),
		"opaque origin":      form(nil).with("Sec-Fetch-Site", "").with("Origin", "null"),
		"text/plain as JSON": {kind: "text/plain", body: `{}`, header: map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}},
	} {
		for _, path := range []string{groupsPath(c.contoso), "/sign-out", "/admin/notifications/read"} {
			if res := b.send(t, "POST", path, m); res.status != http.StatusForbidden {
				t.Errorf("%s: %s is %d", name, path, res.status)
			}
		}
	}
	if n := c.count(t, `select count(*) from attempts`); n != 0 {
		t.Errorf("%d attempts were recorded", n)
	}
	if res := b.send(t, "POST", groupsPath(c.contoso), form(nil)); res.status != http.StatusOK {
		t.Errorf("our own page: %d", res.status)
	}
	if res := c.program(t, "operator").send(t, "POST", groupsPath(c.contoso), message{}.with("Origin", "https://tool.example")); res.status != http.StatusOK {
		t.Errorf("a program with a token: %d", res.status)
	}
}
