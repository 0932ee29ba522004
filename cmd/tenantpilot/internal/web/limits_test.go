package web_test

import (
	"fmt"
	"net/http"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web"
)

// TestTooManyRequests: 429 with Retry-After, for people, programs and strangers; probes are never limited.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	c := newConsoleWith(t, func(cfg *web.Config) {
		cfg.Limits = web.Limits{PerSecond: 0.01, Burst: 3, StrangersPerSecond: 0.01, StrangersBurst: 3}
	})
	for name, a := range map[string]*caller{"a program": c.program(t, "operator"), "a stranger": c.browser(t, "")} {
		path := "/admin/operations"
		if name == "a stranger" {
			path = "/sign-in"
		}
		var last response
		for range 4 {
			last = a.send(t, "GET", path)
		}
		if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
			t.Errorf("%s: the fourth request is %d, Retry-After %q", name, last.status, last.header.Get("Retry-After"))
		}
		for range 5 {
			if probe := a.send(t, "GET", "/livez"); probe.status != http.StatusOK {
				t.Errorf("%s: a probe is %d", name, probe.status)
			}
		}
	}
}

// limitedConsole lets a stranger ask three times; behindTLS puts a proxy in front of it.
func limitedConsole(t *testing.T, behindTLS bool) *console {
	t.Helper()
	return newConsoleFor(t, auth.Config{Secure: behindTLS, BreakGlass: true}, func(cfg *web.Config) {
		cfg.BehindTLS = behindTLS
		cfg.Limits = web.Limits{PerSecond: -1, StrangersPerSecond: 0.01, StrangersBurst: 3}
	})
}

func from(address string) message { return message{}.with("X-Forwarded-For", address) }

// TestAStrangerClosesSignInForNobodyElse: behind a proxy each of its clients is counted for itself, by what the proxy says; without one, what
// clients say of themselves lets nobody ask more often.
func TestAStrangerClosesSignInForNobodyElse(t *testing.T) {
	t.Parallel()
	c := limitedConsole(t, true)
	b := c.browser(t, "")
	for i := range 4 { // of which one sends more than it may
		want := []int{200, 200, 200, 429}[i]
		for _, address := range []string{"203.0.113.1", fmt.Sprintf("10.0.0.%d, 203.0.113.2", i), fmt.Sprintf("2001:db8:1:2::%d", i)} {
			if res := b.send(t, "GET", "/sign-in", from(address)); res.status != want {
				t.Errorf("request %d from %s is %d, want %d", i, address, res.status, want)
			}
		}
	}
	for _, address := range []string{"203.0.113.3", "2001:db8:1:3::1", "::ffff:203.0.113.4"} {
		if res := b.send(t, "GET", "/sign-in", from(address)); res.status != http.StatusOK {
			t.Errorf("somebody else at %s gets %d", address, res.status)
		}
	}

	open := limitedConsole(t, false)
	b = open.browser(t, "")
	last := 0
	for i := range 4 {
		last = b.send(t, "GET", "/sign-in", from(fmt.Sprintf("203.0.113.%d", i))).status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("a stranger who invents addresses gets %d", last)
	}
}

// TestATrierOfPasswordsClosesThemForNobodyElse is the same about break-glass passwords.
func TestATrierOfPasswordsClosesThemForNobodyElse(t *testing.T) {
	t.Parallel()
	c := newConsoleFor(t, auth.Config{Secure: true, BreakGlass: true}, func(cfg *web.Config) { cfg.BehindTLS = true })
	must(t, c.auth.SetBreakGlass(t.Context(), c.people["owner"], glassPassword))
	b := c.browser(t, "")
	try := func(address, email string) int {
		m := form(map[string][]string{"email": {email}, "password": {glassPassword}})
		return b.send(t, "POST", glassPath, m.with("X-Forwarded-For", address)).status
	}
	last := 0
	for i := range 11 {
		last = try("203.0.113.1", fmt.Sprint(i, "@example.test"))
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the eleventh try of one client is %d", last)
	}
	if got := try("203.0.113.2", "owner@example.test"); got != http.StatusSeeOther {
		t.Errorf("somebody else behind the same proxy gets %d", got)
	}
}
