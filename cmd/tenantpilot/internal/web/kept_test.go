package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/auth/idptest"
	"tenantpilot/cmd/tenantpilot/internal/web"
)

const keptPath = "/kept-form"

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// ended is a browser of somebody whose session has ended.
func (c *console) ended(t *testing.T, name string) *caller {
	t.Helper()
	b := c.browser(t, name)
	_, err := c.pool.Exec(t.Context(), `delete from sessions`)
	must(t, err)
	return b
}

func TestAFormIsKeptOverTheSignIn(t *testing.T) {
	t.Parallel()
	c, idp := newProvided(t)
	idp.Email = "owner@example.test"
	hold := "/admin/t/" + c.contoso.ExternalID.String() + "/hold"
	reason := `Change freeze, "<b>all</b>" of it & more`
	b := c.ended(t, "owner")
	sent := form(url.Values{"reason": {reason}, "length": {"4h"}, "back": {"/admin/tenants"}}).with("Referer", c.server.URL+hold)
	res := b.send(t, "POST", hold, sent)
	if where := res.header.Get("Location"); res.status != http.StatusFound || where != "/sign-in?next=%2Fkept-form" {
		t.Fatalf("without a session: %d to %s", res.status, where)
	}
	page := b.send(t, "GET", res.header.Get("Location")).text()
	if !strings.Contains(page, "What you filled in is kept until") || strings.Contains(page, "Secrets") || strings.Contains(page, "freeze") {
		t.Errorf("the sign-in page: %s", visible(page))
	}
	if n := c.count(t, `select count(*) from sessions where expiry > now() + interval '21 minutes'`); n != 0 {
		t.Error("the session that keeps it lasts")
	}
	res = b.back(t, b.toProvider(t, beginPath+"?next=%2Fkept-form"))
	if res.header.Get("Location") != keptPath {
		t.Fatalf("after sign-in: %d to %s", res.status, res.header.Get("Location"))
	}
	page = b.send(t, "GET", keptPath).text()
	if !strings.Contains(page, html.EscapeString(reason)) || strings.Contains(page, "<b>all") || !strings.Contains(page, `action="`+hold+`"`) ||
		!strings.Contains(page, "Nothing has happened yet") || !strings.Contains(page, `href="`+hold+`"`) {
		t.Errorf("the page: %s", visible(page))
	}
	if n := c.count(t, `select count(*) from events where name = 'TenantHeld'`); n != 0 {
		t.Error("it was sent on its own")
	}
	again := url.Values{}
	start := strings.Index(page, `action="`+hold+`"`)
	for _, m := range hiddenField.FindAllStringSubmatch(page[start:], -1) {
		again.Add(m[1], html.UnescapeString(m[2]))
	}
	if again.Get("reason") != reason || len(again) != 3 {
		t.Fatalf("what would be sent: %v", again)
	}
	if res := b.send(t, "POST", hold, form(again)); res.status != http.StatusSeeOther {
		t.Errorf("sent again: %d %s", res.status, visible(res.text()))
	}
	if n := c.count(t, `select count(*) from events where name = 'TenantHeld' and payload->'hold'->>'reason' = $1`, reason); n != 1 {
		t.Errorf("%d holds", n)
	}
	if res := b.send(t, "POST", keptPath+"/discard", form(nil)); res.status != http.StatusSeeOther || res.header.Get("Location") != hold {
		t.Errorf("discard: %d to %s", res.status, res.header.Get("Location"))
	}
	if res := b.send(t, "GET", keptPath); res.status != http.StatusNotFound || !strings.Contains(res.text(), "No form is kept") {
		t.Errorf("after it was discarded: %d", res.status)
	}
}

func TestAFormIsKeptForALinkToo(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.ended(t, "operator")
	res := b.send(t, "POST", groupsPath(c.contoso), form(url.Values{"sourceSurface": {"x"}}).with("HX-Request", "true"))
	if res.status != http.StatusUnauthorized || res.header.Get("HX-Redirect") != "/sign-in?next=%2Fkept-form" {
		t.Fatalf("from inside a page: %d to %s", res.status, res.header.Get("HX-Redirect"))
	}
	link, err := c.auth.IssueSignInLink(t.Context(), c.people["operator"], time.Hour)
	must(t, err)
	// The link is opened from a mail: it does not know what was wanted.
	if res := b.send(t, "POST", link, form(url.Values{"next": {"/"}})); res.header.Get("Location") != keptPath {
		t.Errorf("after sign-in: %d to %s", res.status, res.header.Get("Location"))
	}
	if res := b.send(t, "GET", keptPath); res.status != http.StatusOK {
		t.Errorf("the kept form: %d", res.status)
	}
	if res := c.browser(t, "operator").send(t, "GET", keptPath); res.status != http.StatusNotFound {
		t.Errorf("in another browser: %d", res.status)
	}
	if res := c.program(t, "operator").send(t, "GET", keptPath, accept("application/json")); res.status != http.StatusNotFound {
		t.Errorf("a program: %d", res.status)
	}
}

func TestSecretsAreNeverKept(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.ended(t, "manager")
	const secret = "Zm9vYmFy-very-secret"
	sent := url.Values{"kind": {"secret"}, "length": {"90"}}
	for _, name := range []string{
		"secret", "client_secret", "Password", "newPassword", "api_token", "privateKey", "apiKey", "passphrase", "pfx", "key", "credential", "pin",
	} {
		sent.Set(name, secret)
	}
	for _, name := range []string{"keyword", "monkey", "attempt_id", "idempotencyKey", "spinner", "selectionKey"} {
		sent.Set(name, "kept")
	}
	if res := b.send(t, "POST", "/admin/provider-connections/1/credential", form(sent)); res.status != http.StatusFound {
		t.Fatalf("without a session: %d", res.status)
	}
	if n := c.count(t, `select count(*) from sessions where position($1::bytea in data) > 0`, []byte(secret)); n != 0 {
		t.Error("the secret is in the session")
	}
	if page := b.send(t, "GET", "/sign-in?next=/kept-form").text(); !strings.Contains(page, "Secrets are never kept: you will be asked") {
		t.Errorf("the sign-in page does not say so: %s", visible(page))
	}
	link, err := c.auth.IssueSignInLink(t.Context(), c.people["manager"], time.Hour)
	must(t, err)
	b.send(t, "POST", link, form(url.Values{"next": {keptPath}}))
	page := b.send(t, "GET", keptPath).text()
	if strings.Contains(page, secret) || !strings.Contains(page, "Secrets are never kept. Enter them again.") || !strings.Contains(page, `<textarea id="kept-secret" name="secret"`) {
		t.Errorf("the page: %s", page)
	}
	if n := strings.Count(page, `value="kept"`); n != 6 {
		t.Errorf("%d of the six harmless fields were kept", n)
	}
	if strings.Contains(c.logs.text(), secret) {
		t.Error("the secret is in the log")
	}
}

func TestWhatIsNotKept(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	idp := idptest.New(t)
	idp.Email = "operator@example.test"
	c := newConsoleFor(t, auth.Config{Now: now, OIDC: &auth.OIDC{
		Issuer: idp.URL, ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret, Name: "Contoso ID", Redirect: idptest.Redirect,
	}}, func(*web.Config) {})
	referer := func(m message, from string) message { return m.with("Referer", from) }
	for name, m := range map[string]message{
		"large":     referer(form(url.Values{"reason": {strings.Repeat("x", 17<<10)}}), c.server.URL+"/admin/tenants?q=x"),
		"empty":     referer(form(nil), c.server.URL+"/admin/tenants?q=x"),
		"multipart": referer(message{kind: "multipart/form-data; boundary=x", body: "--x--"}, c.server.URL+"/admin/tenants?q=x"),
		"json":      referer(jsonBody(`{}`), c.server.URL+"/admin/tenants?q=x"),
		"malformed": referer(message{kind: "application/x-www-form-urlencoded", body: "a=%zz"}, c.server.URL+"/admin/tenants?q=x"),
	} {
		b := c.browser(t, "")
		res := b.send(t, "POST", groupsPath(c.contoso), m)
		if where := res.header.Get("Location"); res.status != http.StatusFound || where != "/sign-in?next="+url.QueryEscape("/admin/tenants?q=x") {
			t.Errorf("%s: %d to %s, want the page that it was on", name, res.status, where)
		}
		if cookieOf(t, b) != "" {
			t.Errorf("%s: there is a session", name)
		}
	}
	// After a quarter of an hour it is gone, though somebody signed in meanwhile.
	b := c.browser(t, "")
	b.send(t, "POST", groupsPath(c.contoso), form(url.Values{"sourceSurface": {"x"}}))
	b.back(t, b.toProvider(t, beginPath))
	if res := b.send(t, "GET", keptPath); res.status != http.StatusOK {
		t.Errorf("at once: %d", res.status)
	}
	offset.Store(int64(15 * time.Minute))
	if res := b.send(t, "GET", keptPath); res.status != http.StatusNotFound || !b.signedIn(t) {
		t.Errorf("after 15 minutes: %d", res.status)
	}
	offset.Store(0)
	// And a sign-in that was begun is good for ten minutes.
	for minutes, status := range map[int]int{9: http.StatusSeeOther, 10: http.StatusBadRequest} {
		b := c.browser(t, "")
		answer := b.toProvider(t, beginPath)
		offset.Store(int64(time.Duration(minutes) * time.Minute))
		if res := b.back(t, answer); res.status != status {
			t.Errorf("after %d minutes: %d", minutes, res.status)
		}
		offset.Store(0)
	}
	// Another site cannot leave a form here.
	evil := c.browser(t, "")
	res := evil.send(t, "POST", groupsPath(c.contoso), form(url.Values{"a": {"b"}}).with("Origin", "https://evil.example").with("Sec-Fetch-Site", "cross-site"))
	if res.status != http.StatusForbidden || cookieOf(t, evil) != "" {
		t.Errorf("from another site: %d", res.status)
	}
}
