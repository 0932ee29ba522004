package web_test

import (
	"net/http"
	"testing"

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
