package auth_test

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/domain"
)

func hexOf(s string) string    { return hex.EncodeToString([]byte(s)) }
func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestCookieIsBoundToTheHost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	plain := f.browser(t).send(t, "POST", f.link(t, f.ada), nil).header.Get("Set-Cookie")
	if !strings.HasPrefix(plain, "tenantpilot=") || !strings.Contains(plain, "HttpOnly") || !strings.Contains(plain, "SameSite=Lax") ||
		strings.Contains(plain, "Secure") || strings.Contains(plain, "Domain") {
		t.Errorf("without TLS: got %s", plain)
	}

	service := auth.New(f.pool, auth.Config{Secure: true})
	server := httptest.NewTLSServer(service.Authenticate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		must(t, service.SignIn(r, f.ada))
	}), nil))
	t.Cleanup(server.Close)
	res, err := server.Client().Get(server.URL)
	must(t, err)
	defer res.Body.Close()
	c := res.Cookies()[0]
	if c.Name != "__Host-tenantpilot" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("with TLS: got %s", c)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(c.Value); err != nil || len(raw) != 32 {
		t.Errorf("got a session id of %d bytes, %v; want 32", len(raw), err)
	}
}

func TestNobodyGetsACookieWithoutSigningIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, header := range []map[string]string{nil, {"Cookie": "tenantpilot=planted"}, {"Cookie": "tenantpilot="}} {
		for _, path := range []string{"/who", f.link(t, f.ada), "/sign-in/x"} {
			if got := f.browser(t).send(t, "GET", path, header); got.header.Get("Set-Cookie") != "" {
				t.Errorf("%s %v: got %s", path, header, got.header.Get("Set-Cookie"))
			}
		}
	}
	if n := f.count(t, `select count(*) from sessions`); n != 0 {
		t.Errorf("got %d sessions, want 0", n)
	}
}

func TestSignInChangesTheSessionID(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	grace := f.person(t, "grace@example.com", false)
	f.member(t, f.contoso, grace, domain.RoleReadonly, nil)
	f.member(t, f.fabrikam, grace, domain.RoleReadonly, nil)
	api := map[string]string{"Accept": "application/json"}

	b := f.browser(t)
	if got := b.send(t, "POST", f.link(t, f.ada), map[string]string{"Cookie": "tenantpilot=planted"}); got.status != 200 {
		t.Fatalf("sign in: got %d", got.status)
	}
	first := b.cookie(t)
	if first == "" || first == "planted" {
		t.Fatalf("got session id %q, want a fresh one", first)
	}
	if got := f.call(t, "GET", "/who", map[string]string{"Cookie": "tenantpilot=planted"}); got.status != 401 {
		t.Errorf("planted id: got %d, want 401", got.status)
	}
	if got := b.send(t, "POST", "/workspace/"+f.fabrikam.String(), nil); got.status != 200 {
		t.Fatalf("choose: got %d", got.status)
	}
	if got := b.send(t, "POST", f.link(t, grace), nil); got.status != 200 {
		t.Fatalf("sign in as another: got %d", got.status)
	}
	if b.cookie(t) == first {
		t.Error("signing in as another kept the session id")
	}
	api["Cookie"] = "tenantpilot=" + first
	if got := f.call(t, "GET", "/who", api); got.status != 401 {
		t.Errorf("old id: got %d, want 401", got.status)
	}
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Person != grace || v.Actor.Workspace != f.contoso {
		t.Errorf("got %+v, want Grace in Contoso", v)
	}
	if n := f.count(t, `select count(*) from sessions`); n != 1 {
		t.Errorf("got %d sessions, want 1", n)
	}
}

func TestSignOutEndsTheSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	old := b.cookie(t)
	if got := b.send(t, "POST", "/sign-out", nil); got.status != 200 || b.cookie(t) != "" {
		t.Errorf("got %d, cookie %q; want 200 and none", got.status, b.cookie(t))
	}
	if got := f.call(t, "GET", "/who", map[string]string{"Cookie": "tenantpilot=" + old}); got.status != 401 {
		t.Errorf("old id: got %d, want 401", got.status)
	}
}

// scs would write the whole session back when the slow request ends.
func TestRequestUnderWayDoesNotBringAnEndedSessionBack(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"reading": "/hold", "choosing": "/hold?choose="} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if name == "choosing" {
				path += f.fabrikam.String()
			}
			b := f.signedIn(t, f.ada)
			old := b.cookie(t)
			f.forward(time.Hour) // so that the slow request has a reason to write
			done := make(chan int)
			go func() {
				got, _ := b.try(t.Context(), "GET", path, nil)
				done <- got.status
			}()
			<-f.entered
			b.send(t, "POST", "/sign-out", nil)
			f.leave <- struct{}{}
			if status := <-done; status != 200 {
				t.Errorf("slow request: got %d", status)
			}
			if got := f.call(t, "GET", "/who", map[string]string{"Cookie": "tenantpilot=" + old}); got.status != 401 {
				t.Errorf("session after sign-out: got %d, want 401", got.status)
			}
			if n := f.count(t, `select count(*) from sessions`); n != 0 {
				t.Errorf("got %d sessions, want 0", n)
			}
		})
	}
}

func TestSlowRequestDoesNotUndoAChoice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	f.forward(time.Hour)
	done := make(chan int)
	go func() {
		got, _ := b.try(t.Context(), "GET", "/hold", nil)
		done <- got.status
	}()
	<-f.entered
	b.send(t, "POST", "/workspace/"+f.fabrikam.String(), nil)
	f.leave <- struct{}{}
	<-done
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Actor.Workspace != f.fabrikam {
		t.Errorf("got %s, want Fabrikam", v.WorkspaceName)
	}
}

// sessionToken is the only session's, as it is stored.
func (f *fixture) sessionToken(t testing.TB) (token string) {
	t.Helper()
	must(t, f.pool.QueryRow(t.Context(), `select string_agg(token, ',') from sessions`).Scan(&token))
	return token
}

func TestChooseWorkspaceAmongOnesOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.WorkspaceName != "Contoso" || len(v.Workspaces) != 2 {
		t.Errorf("at first: got %+v, want Contoso of two", v)
	}
	if got := b.send(t, "POST", "/workspace/"+uuid.NewString(), nil); got.status != 404 {
		t.Errorf("a stranger's: got %d, want 404", got.status)
	}
	before := f.sessionToken(t)
	if got := b.send(t, "POST", "/workspace/"+f.fabrikam.String(), nil); got.status != 200 {
		t.Errorf("one's own: got %d, want 200", got.status)
	}
	if after := f.sessionToken(t); after == before { // an id that somebody saw before opens nothing
		t.Error("the session has the id that it had before its rights changed")
	}
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Actor.Workspace != f.fabrikam || v.WorkspaceName != "Fabrikam" {
		t.Errorf("then: got %+v, want Fabrikam", v)
	}
	f.exec(t, `delete from members where workspace = $1`, f.fabrikam)
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Actor.Workspace != f.contoso {
		t.Errorf("after leaving: got %+v, want Contoso", v)
	}
	f.exec(t, `delete from members`)
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Actor.Workspace != uuid.Nil || v.Actor.Role != "" || v.Person != f.ada {
		t.Errorf("with no workspace: got %+v, want Ada without rights", v)
	}
}

func TestSessionEndsWhenIdle(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	for range 3 { // every use prolongs it
		f.forward(7*time.Hour + 59*time.Minute)
		if got := b.send(t, "GET", "/who", nil); got.status != 200 {
			t.Fatalf("a minute before the end: got %d, want 200", got.status)
		}
	}
	f.forward(8*time.Hour + time.Minute)
	if got := b.send(t, "GET", "/who", nil); got.status != 302 {
		t.Errorf("after the end: got %d, want 302", got.status)
	}
	f.signedIn(t, f.ada)
	if n := f.count(t, `select count(*) from sessions`); n != 1 {
		t.Errorf("got %d sessions, want only the new one", n)
	}
}

func TestSessionEndsAfterAWeekHoweverBusy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	for used := time.Duration(0); used < 7*24*time.Hour-7*time.Hour; used += 7 * time.Hour {
		if got := b.send(t, "GET", "/who", nil); got.status != 200 {
			t.Fatalf("after %v: got %d, want 200", used, got.status)
		}
		f.forward(7 * time.Hour)
	}
	b.send(t, "POST", "/workspace/"+f.fabrikam.String(), nil)
	f.forward(7 * time.Hour)
	if got := b.send(t, "GET", "/who", nil); got.status != 302 {
		t.Errorf("after a week: got %d, want 302", got.status)
	}
}

func TestReadingWritesTheSessionOnceAMinute(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	version := func() (v string) {
		b.send(t, "GET", "/who", nil).viewer(t)
		must(t, f.pool.QueryRow(t.Context(), `select xmin::text from sessions`).Scan(&v))
		return v
	}
	first := version()
	f.forward(50 * time.Second)
	if version() != first {
		t.Error("within a minute: got a write, want none")
	}
	f.forward(20 * time.Second)
	if version() == first {
		t.Error("after a minute: got no write, want one")
	}
}

func TestStreamGoesAroundTheSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	f.forward(time.Hour)
	for name, c := range map[string]struct{ path, accept string }{"by path": {"/live/stream", "*/*"}, "by Accept": {"/live/events", "text/event-stream"}} {
		lines, header := b.open(t, c.path, c.accept)
		if got := <-lines; got != "operator" { // while the handler still runs
			t.Errorf("%s: got %q, want operator", name, got)
		}
		if header.Get("Set-Cookie") != "" {
			t.Errorf("%s: got %s", name, header.Get("Set-Cookie"))
		}
	}
	if n := f.count(t, `select count(*) from sessions where expiry > $1`, f.now().Add(7*time.Hour+time.Minute)); n != 0 {
		t.Error("the stream prolonged the session")
	}
	if got := f.call(t, "GET", "/live/stream", map[string]string{"Accept": "text/event-stream"}); got.status != 401 {
		t.Errorf("without a session: got %d, want 401", got.status)
	}
}

func TestStreamSeesRightsAndSessionEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *fixture, *browser){
		"removed":    func(t *testing.T, f *fixture, _ *browser) { f.exec(t, `delete from members`) },
		"disabled":   func(t *testing.T, f *fixture, _ *browser) { f.exec(t, `update people set disabled_at = now()`) },
		"signed out": func(t *testing.T, _ *fixture, b *browser) { b.send(t, "POST", "/sign-out", nil) },
		"idle":       func(_ *testing.T, f *fixture, _ *browser) { f.forward(9 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			b := f.signedIn(t, f.ada)
			lines, _ := b.open(t, "/live/stream", "text/event-stream")
			<-lines
			f.member(t, f.contoso, f.ada, domain.RoleReadonly, nil)
			f.leave <- struct{}{}
			if got := <-lines; got != "readonly" {
				t.Errorf("changed role: got %q, want readonly", got)
			}
			end(t, f, b)
			f.leave <- struct{}{}
			if got := <-lines; got != "bye" {
				t.Errorf("got %q, want bye", got)
			}
		})
	}
}

func TestStreamOfARevokedTokenEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token := f.token(t, f.ada, f.fabrikam)
	viewer := func() (v auth.Viewer) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/live/stream", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		f.auth.Authenticate(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { v, _ = auth.ViewerFrom(r.Context()) }), nil).
			ServeHTTP(httptest.NewRecorder(), r)
		return v
	}()
	again, ok, err := f.auth.Again(t.Context(), viewer)
	if err != nil || !ok || !again.Token || again.Actor.Workspace != f.fabrikam || len(again.Workspaces) != 1 {
		t.Errorf("got %+v, %v, %v; want the same viewer", again, ok, err)
	}
	if again, ok, _ = f.auth.Again(t.Context(), again); !ok || !again.Token {
		t.Error("a second time: got no viewer")
	}
	f.exec(t, `update api_tokens set revoked_at = now()`)
	if again, ok, err := f.auth.Again(t.Context(), again); ok || err != nil {
		t.Errorf("revoked: got %+v, %v, %v; want nobody", again, ok, err)
	}
}

// open returns a stream's lines and the header of the answer; the stream ends with the test.
func (b *browser) open(t *testing.T, path, accept string) (<-chan string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.f.server.URL+path, nil)
	must(t, err)
	req.Header.Set("Accept", accept)
	res, err := b.client.Do(req)
	must(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	lines := make(chan string, 10)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines, res.Header
}

// What would be lost silently is an error: a link is not used up for a session that is not saved.
func TestRequestsWithoutASessionCannotSignIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := f.link(t, f.ada)
	if got := f.call(t, "POST", path, bearer(f.token(t, f.ada, f.contoso))); got.status != 500 {
		t.Errorf("with a token: got %d, want 500", got.status)
	}
	// Asking for events does not make a stream of something that changes.
	if got := f.browser(t).send(t, "POST", path, map[string]string{"Accept": "text/event-stream"}); got.status != 200 || got.header.Get("Set-Cookie") == "" {
		t.Errorf("POST for events: got %d %v, want a session", got.status, got.header)
	}
	if err := f.auth.SignIn(httptest.NewRequestWithContext(t.Context(), "POST", "/", nil), f.ada); err == nil {
		t.Error("outside of Authenticate: got no error")
	}
}
