package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web"
)

const glassPassword = "correct horse battery staple"

func newBreakable(t *testing.T) *console {
	t.Helper()
	c := newConsoleFor(t, auth.Config{BreakGlass: true}, func(*web.Config) {})
	for _, name := range []string{"owner", "both", "platform", "nobody"} {
		must(t, c.auth.SetBreakGlass(t.Context(), c.people[name], glassPassword))
	}
	return c
}

func (a *caller) breakGlass(t *testing.T, email, password string) response {
	t.Helper()
	return a.send(t, "POST", glassPath, form(url.Values{"email": {email}, "password": {password}, "next": {"/admin/tenants"}}))
}

func TestBreakGlassIsOffByDefault(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	must(t, c.auth.SetBreakGlass(t.Context(), c.people["owner"], glassPassword))
	b := c.browser(t, "")
	if strings.Contains(b.send(t, "GET", "/sign-in").text(), "Break-glass") {
		t.Error("the page offers it")
	}
	if res := b.breakGlass(t, "owner@example.test", glassPassword); res.status != http.StatusNotFound || b.signedIn(t) {
		t.Errorf("sign in: %d", res.status)
	}
}

func TestBreakGlass(t *testing.T) {
	t.Parallel()
	c := newBreakable(t)
	for name, workspaces := range map[string]int{"owner": 1, "both": 2, "platform": 0, "nobody": 0} {
		b := c.browser(t, "")
		if page := b.send(t, "GET", "/sign-in?next=/admin/tenants").text(); !strings.Contains(page, `action="`+glassPath+`"`) ||
			!strings.Contains(page, `name="next" value="/admin/tenants"`) {
			t.Fatalf("the page has no form: %s", page)
		}
		res := b.breakGlass(t, strings.ToUpper(name)+"@example.test ", glassPassword)
		if res.status != http.StatusSeeOther || res.header.Get("Location") != "/admin/tenants" {
			t.Fatalf("%s: %d to %q: %s", name, res.status, res.header.Get("Location"), visible(res.text()))
		}
		if res := b.send(t, "GET", "/"); res.status == http.StatusFound {
			t.Errorf("%s is not signed in", name)
		}
		if n := c.count(t, `select count(*) from events where name = 'BreakGlassUsed' and payload->>'person' = $1`, c.people[name].String()); n != workspaces {
			t.Errorf("%s: %d events, want one in each of %d workspaces", name, n, workspaces)
		}
		if n := c.count(t, `select count(*) from break_glass where person = $1 and used_at is not null`, c.people[name]); n != 1 {
			t.Errorf("%s: the use is not in the table", name)
		}
	}
	c.settle(t)
	if audit := c.browser(t, "manager").send(t, "GET", "/admin/audit").text(); !strings.Contains(audit, "Signed in with their break-glass account") {
		t.Error("the audit page does not say so")
	}
	if members := c.browser(t, "readonly").send(t, "GET", "/admin/settings/members").text(); !strings.Contains(members, "Signed in with their break-glass account") {
		t.Error("the history of the members does not say so")
	}
	logs := c.logs.text()
	if strings.Contains(logs, glassPassword) || strings.Contains(logs, "argon2") || !strings.Contains(logs, `"with":"break-glass"`) {
		t.Error("the log has the password, or nothing of the sign-ins")
	}
}

func TestBreakGlassRefuses(t *testing.T) {
	t.Parallel()
	c := newBreakable(t)
	_, err := c.pool.Exec(t.Context(), `update people set disabled_at = clock_timestamp() where id = $1`, c.people["nobody"])
	must(t, err)
	const typo = "password in the wrong field"
	texts := map[string]bool{}
	for name, tc := range map[string][2]string{
		"wrong password": {"owner@example.test", "correct horse battery stapl"},
		"no password":    {"owner@example.test", ""},
		"unknown":        {"nobody-at-all@example.test", glassPassword},
		"no account":     {"manager@example.test", glassPassword},
		"disabled":       {"nobody@example.test", glassPassword},
		"long":           {"both@example.test", strings.Repeat("x", 2000)},
		"typo":           {typo, "owner@example.test"},
	} {
		b := c.browser(t, "")
		began := time.Now()
		res := b.breakGlass(t, tc[0], tc[1])
		took := time.Since(began)
		if res.status != http.StatusForbidden || b.signedIn(t) {
			t.Errorf("%s: %d %s", name, res.status, visible(res.text()))
		}
		if took < 20*time.Millisecond {
			t.Errorf("%s: answered after %s, so nothing was hashed: who has an account can be told from it", name, took)
		}
		texts[strings.ReplaceAll(visible(res.text()), tc[0], "")] = true
		if strings.Contains(res.text(), tc[1]) && tc[1] != "" && name != "typo" {
			t.Errorf("%s: the page repeats the password", name)
		}
	}
	if len(texts) != 1 {
		t.Errorf("the pages differ: %v", texts)
	}
	if n := c.count(t, `select count(*) from events where name like 'BreakGlass%'`); n != 0 {
		t.Errorf("%d events", n)
	}
	logs := c.logs.text()
	if strings.Count(logs, "break-glass sign-in failed") != 7 || strings.Contains(logs, "horse") || strings.Contains(logs, typo) ||
		strings.Contains(logs, "example.test") {
		t.Errorf("the log does not have each failure, or has what was typed: %s", logs)
	}
}

func TestBreakGlassIsLimited(t *testing.T) {
	t.Parallel()
	c := newBreakable(t)
	b := c.browser(t, "")
	var res response
	for i := range 6 {
		res = b.breakGlass(t, " OWNER@example.test", fmt.Sprint("wrong password ", i))
	}
	after, err := strconv.Atoi(res.header.Get("Retry-After"))
	if res.status != http.StatusTooManyRequests || err != nil || after < 1 || after > 60 || !strings.Contains(res.text(), "tried too often") {
		t.Errorf("sixth try at an address: %d, Retry-After %q: %s", res.status, res.header.Get("Retry-After"), visible(res.text()))
	}
	if res := b.breakGlass(t, "owner@example.test", glassPassword); res.status != http.StatusTooManyRequests {
		t.Errorf("the right password after that: %d", res.status)
	}
	if res := b.breakGlass(t, "both@example.test", glassPassword); res.status != http.StatusSeeOther {
		t.Errorf("another address: %d", res.status)
	}
	stranger := c.browser(t, "")
	for i := range 4 {
		res = stranger.breakGlass(t, fmt.Sprint(i, "@example.test"), "some wrong password")
	}
	if res.status != http.StatusTooManyRequests {
		t.Errorf("many addresses from one client: %d", res.status)
	}
}

func TestNoBreakGlassWithoutATrace(t *testing.T) {
	t.Parallel()
	c := newBreakable(t)
	_, err := c.pool.Exec(t.Context(), `update people set email = email`) // the pool works
	must(t, err)
	c.store.Close()
	b := c.browser(t, "")
	res := b.breakGlass(t, "owner@example.test", glassPassword)
	if res.status != http.StatusServiceUnavailable || cookieOf(t, b) != "" {
		t.Errorf("while nothing can be appended: %d, session %q", res.status, cookieOf(t, b))
	}
}
