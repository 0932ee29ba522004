package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/domain"
)

// sessions lists a person's, as somebody would who came in another way.
func (f *fixture) sessions(t *testing.T, person uuid.UUID) []auth.Session {
	t.Helper()
	list, err := f.auth.Sessions(t.Context(), auth.Viewer{Person: person})
	must(t, err)
	return list
}

func TestASessionSaysWhereAndWhenItWasUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	before := f.sessions(t, f.ada)
	if len(before) != 1 || before[0].Address != "127.0.0.1" || before[0].Used.Before(before[0].Since) || before[0].Current {
		t.Fatalf("at first: %+v", before)
	}
	f.forward(50 * time.Second)
	b.send(t, "GET", "/who", nil)
	if now := f.sessions(t, f.ada)[0]; !now.Used.Equal(before[0].Used) {
		t.Error("written within a minute")
	}
	f.forward(20 * time.Second)
	b.send(t, "GET", "/who", map[string]string{"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Mobile/15E148 Safari/604.1"})
	if now := f.sessions(t, f.ada)[0]; f.now().Sub(now.Used) > 10*time.Second || !now.Since.Equal(before[0].Since) || now.Device != "Safari on iPhone" {
		t.Errorf("after a minute: %+v", now)
	}
	// Also in the last hours of its life, when its end no longer moves.
	for range 23 {
		f.forward(7 * time.Hour)
		b.send(t, "GET", "/who", nil)
	}
	if now := f.sessions(t, f.ada); len(now) != 1 || f.now().Sub(now[0].Used) > 10*time.Second {
		t.Errorf("in its last hours: %+v", now)
	}
	f.forward(8 * time.Hour)
	if now := f.sessions(t, f.ada); len(now) != 0 {
		t.Errorf("after its end: %+v", now)
	}
}

func TestASessionIsEndedByItsPersonOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	grace := f.person(t, "grace@example.com", false)
	one, two, other := f.signedIn(t, f.ada), f.signedIn(t, f.ada), f.signedIn(t, grace)
	list := f.sessions(t, f.ada)
	if len(list) != 2 {
		t.Fatalf("got %+v", list)
	}
	if r, ok := domain.AsRefusal(f.auth.EndSession(t.Context(), auth.Viewer{Person: grace}, list[0].ID)); !ok || r.Kind != domain.NotFound {
		t.Errorf("somebody else ends it: %v", r)
	}
	n, err := f.auth.EndOtherSessions(t.Context(), auth.Viewer{Person: f.ada})
	if err != nil || n != 2 {
		t.Errorf("ended %d, %v", n, err)
	}
	for _, b := range []*browser{one, two} {
		if r := b.send(t, "GET", "/who", nil); r.status != http.StatusFound {
			t.Errorf("an ended session is let in: %d", r.status)
		}
	}
	if r := other.send(t, "GET", "/who", nil); r.status != http.StatusOK {
		t.Errorf("somebody else's session ended: %d", r.status)
	}
	must(t, f.auth.ErasePerson(t.Context(), grace))
	if n := f.count(t, `select count(*) from sessions`); n != 0 {
		t.Errorf("an erased person has %d sessions", n)
	}
}

// TestASessionThatNobodyCouldEndLetsNobodyIn is one from before sessions had a person.
func TestASessionThatNobodyCouldEndLetsNobodyIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	f.exec(t, `update sessions set person = null`)
	if r := b.send(t, "GET", "/who", nil); r.status != http.StatusFound {
		t.Errorf("let in: %d", r.status)
	}
}

// TestTheAddressBehindAProxy takes what the proxy has added, not what a client says.
func TestTheAddressBehindAProxy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, c := range map[string]struct {
		secure    bool
		forwarded []string
		want      string
	}{
		"no proxy":         {false, []string{"198.51.100.7"}, "127.0.0.1"},
		"a proxy":          {true, []string{"198.51.100.7"}, "198.51.100.7"},
		"what clients say": {true, []string{"10.0.0.1, 10.0.0.2", "2001:db8::7"}, "2001:db8::7"},
		"with a port":      {true, []string{"198.51.100.7:50123"}, "198.51.100.7"},
		"IPv6, a port":     {true, []string{"[2001:db8::7]:50123"}, "2001:db8::7"},
		"a silent proxy":   {true, nil, "127.0.0.1"},
		"nonsense":         {true, []string{"<script>"}, "127.0.0.1"},
	} {
		f.exec(t, `delete from sessions`)
		service := auth.New(f.pool, auth.Config{Secure: c.secure})
		h := service.Authenticate(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { must(t, service.SignIn(r, f.ada)) }), nil)
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = "127.0.0.1:4711", c.forwarded
		h.ServeHTTP(httptest.NewRecorder(), r)
		if list := f.sessions(t, f.ada); len(list) != 1 || list[0].Address != c.want {
			t.Errorf("%s: %+v, want %s", name, list, c.want)
		}
	}
}

func TestAPreviewEndsWithItsSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if r, ok := domain.AsRefusal(f.auth.StartPreview(t.Context(), auth.Viewer{Person: f.ada}, auth.Preview{})); !ok || r.Kind != domain.NotFound {
		t.Errorf("a preview without a session: %v", r)
	}
	b := f.signedIn(t, f.ada)
	f.exec(t, `update sessions set preview = jsonb_build_object('workspace', $1::text, 'role', 'readonly')`, f.contoso.String())
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Actor.Role != "readonly" {
		t.Errorf("in the preview: %+v", v)
	}
	f.exec(t, `update members set role = '' where workspace = $1`, f.contoso)
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Actor.Role != "operator" {
		t.Errorf("after the membership of the preview's workspace has ended: %+v", v)
	}
	b.send(t, "POST", f.link(t, f.ada), nil)
	if n := f.count(t, `select count(*) from sessions where preview is not null`); n != 0 {
		t.Error("a fresh session is in a preview")
	}
}
