package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/domain"
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

// TestWrongTokensAreLimited: who guesses is refused before anything is looked up. Whoever is somebody costs the address nothing, and goes on
// being answered when others at the same address have used it up.
func TestWrongTokensAreLimited(t *testing.T) {
	t.Parallel()
	c := limitedConsole(t, false)
	const path = "/admin/operations"
	guess := func() response {
		return (&caller{c: c, client: plainClient(nil), token: "tp_" + strings.ReplaceAll(uuid.NewString(), "-", "") + "AAAAAAAAAAA"}).send(t, "GET", path)
	}
	var known, fresh []*caller
	for range 6 { // twice as many as a stranger may ask
		p := c.program(t, "operator")
		known, fresh = append(known, p), append(fresh, c.program(t, "operator"))
		if res := p.send(t, "GET", path); res.status != http.StatusOK {
			t.Fatalf("a token at an address that has seen %d others is %d", len(known), res.status)
		}
	}
	for i := range 10 {
		res := guess()
		switch {
		case i < 3:
			if p := res.problem(t); res.status != http.StatusUnauthorized || p.Code != "invalid_token" || res.header.Get("WWW-Authenticate") == "" {
				t.Errorf("guess %d: %d %s", i, res.status, res.body)
			}
		case res.status != http.StatusTooManyRequests || res.header.Get("Retry-After") == "" || res.problem(t).Code != "too_many_requests":
			t.Errorf("guess %d: %d %s", i, res.status, res.body)
		}
	}
	for _, p := range known {
		if res := p.send(t, "GET", path); res.status != http.StatusOK {
			t.Errorf("somebody known at the same address gets %d", res.status)
		}
	}
	if res := fresh[0].send(t, "GET", path); res.status != http.StatusTooManyRequests {
		t.Errorf("a token that was never shown is %d: so guesses are looked up", res.status)
	}
	// What was let in and is not any more is a guess like any other.
	_, err := c.pool.Exec(t.Context(), `update api_tokens set revoked_at = now()`)
	must(t, err)
	for range 2 {
		if res := known[0].send(t, "GET", path); res.status != http.StatusTooManyRequests {
			t.Errorf("a token that was revoked gets %d", res.status)
		}
	}
}

// TestManyAtOnceAreNoStrangers: however many first requests of one program arrive together, none is refused; guesses that arrive together are
// owed by their address.
func TestManyAtOnceAreNoStrangers(t *testing.T) {
	t.Parallel()
	c := newConsoleFor(t, auth.Config{}, func(cfg *web.Config) {
		cfg.Limits = web.Limits{PerSecond: -1, StrangersPerSecond: 1, StrangersBurst: 3}
	})
	atOnce := func(p *caller) (answers map[int]int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		answers = map[int]int{}
		for range 40 {
			wg.Go(func() {
				status := p.send(t, "GET", "/admin/operations").status
				mu.Lock()
				defer mu.Unlock()
				answers[status]++
			})
		}
		wg.Wait()
		return answers
	}
	if got := atOnce(c.program(t, "operator")); got[http.StatusOK] != 40 {
		t.Errorf("a program's first 40 requests are answered %v", got)
	}
	got := atOnce(&caller{c: c, client: plainClient(nil), token: "tp_" + strings.Repeat("x", 43)})
	if got[http.StatusUnauthorized] > 5 || got[http.StatusUnauthorized]+got[http.StatusTooManyRequests] != 40 {
		t.Errorf("40 guesses are answered %v", got)
	}
}

// TestSessionsCostTheAddressNothing is the same about sessions, and planted ones.
func TestSessionsCostTheAddressNothing(t *testing.T) {
	t.Parallel()
	c := limitedConsole(t, true)
	for i := range 6 {
		link, err := c.auth.IssueSignInLink(t.Context(), c.people["operator"], time.Hour)
		must(t, err)
		b := c.browser(t, "")
		res := b.send(t, "POST", link, form(nil).with("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i)))
		session := strings.SplitN(res.header.Get("Set-Cookie"), ";", 2)[0]
		if res := b.send(t, "GET", "/admin/operations", from("198.51.100.1").with("Cookie", session)); res.status != http.StatusOK {
			t.Fatalf("session %d of an address is %d", i, res.status)
		}
	}
	last := 0
	for i := range 4 {
		last = c.browser(t, "").send(t, "GET", "/admin/operations", from("198.51.100.1").with("Cookie", fmt.Sprintf("__Host-tenantpilot=%043d", i))).status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the fourth planted session is %d", last)
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
	for i := 0; i < 30 && last != http.StatusTooManyRequests; i++ { // each takes a while, and one comes back in 20 s
		last = try("203.0.113.1", fmt.Sprint(i, "@example.test"))
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the thirtieth try of one client is %d", last)
	}
	if got := try("203.0.113.2", "owner@example.test"); got != http.StatusSeeOther {
		t.Errorf("somebody else behind the same proxy gets %d", got)
	}
}

// TestWhoReadsNothingLosesTheConnection asks for much and reads none of it: the console gives up long before it has answered everything.
func TestWhoReadsNothingLosesTheConnection(t *testing.T) {
	t.Parallel()
	c := newConsoleWith(t, func(cfg *web.Config) { cfg.Limits.Patience = 300 * time.Millisecond })
	conn, err := net.Dial("tcp", c.server.Listener.Addr().String())
	must(t, err)
	defer func() { _ = conn.Close() }()
	must(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	const requests = 500
	_, err = io.WriteString(conn, strings.Repeat("GET /openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n", requests))
	must(t, err)
	time.Sleep(2 * time.Second)
	must(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	n, _ := io.Copy(io.Discard, conn) // an end or a reset
	document := len(c.browser(t, "").send(t, "GET", "/openapi.yaml").body)
	if most := int64(document) * requests / 2; n > most {
		t.Errorf("after two seconds of silence %d bytes came, of %d that were asked for", n, 2*most)
	}
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still there")
	}
}

// leaver is a body whose sender goes away when it is read.
type leaver struct {
	io.Reader
	leave context.CancelFunc
}

func (l leaver) Read(p []byte) (int, error) {
	l.leave()
	return l.Reader.Read(p)
}

// TestACallerWhoLeavesIsNoFault: what was given up by its caller, when it was known who that is, is reported as no failure of ours.
func TestACallerWhoLeavesIsNoFault(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ctx, leave := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, startPath(c.contoso, domain.OpGroupsSync), leaver{strings.NewReader("{}"), leave})
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", uuid.NewString())
	r.Header.Set("Authorization", "Bearer "+c.program(t, "operator").token)
	w := httptest.NewRecorder()
	c.web.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"unavailable"`) {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	if log := c.logs.String(); strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("the log says %s", log)
	}
}
