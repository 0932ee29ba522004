package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a service over real HTTP, with routes as the web package has them and a clock that can be put forward.
type fixture struct {
	db     *pgtest.DB
	pool   *pgxpool.Pool
	auth   *auth.Service
	server *httptest.Server
	offset atomic.Int64 // of our clock to the system's
	logs   logs

	ada      uuid.UUID // operator in both workspaces
	contoso  uuid.UUID
	fabrikam uuid.UUID
	// entered and leave let a test hold a request to /hold.
	entered, leave chan struct{}
}

type logs struct {
	sync.Mutex
	bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(p)
}

func (l *logs) text() string {
	l.Lock()
	defer l.Unlock()
	return l.String()
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{db: pgtest.New(t), contoso: uuid.New(), fabrikam: uuid.New(), entered: make(chan struct{}), leave: make(chan struct{})}
	f.pool = f.db.Pool(t)
	f.auth = auth.New(f.pool, auth.Config{Now: f.now, Log: slog.New(slog.NewTextHandler(&f.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	f.ada = f.person(t, "ada@example.com", false)
	for id, name := range map[uuid.UUID]string{f.contoso: "Contoso", f.fabrikam: "Fabrikam"} {
		f.exec(t, `insert into workspaces (workspace, name, position) values ($1, $2, 1)`, id, name)
		f.member(t, id, f.ada, domain.RoleOperator, nil)
	}
	f.server = httptest.NewServer(f.routes())
	t.Cleanup(f.server.Close)
	return f
}

func (f *fixture) now() time.Time { return time.Now().Add(time.Duration(f.offset.Load())) }

func (f *fixture) forward(d time.Duration) { f.offset.Add(int64(d)) }

func (f *fixture) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := f.pool.Exec(t.Context(), sql, args...)
	must(t, err)
}

func (f *fixture) person(t testing.TB, email string, platform bool) uuid.UUID {
	t.Helper()
	id, err := f.auth.CreatePerson(t.Context(), email, "Name of "+email, platform)
	must(t, err)
	return id
}

// member writes what the projection would; nil for tenants is all of them.
func (f *fixture) member(t testing.TB, workspace, person uuid.UUID, role domain.Role, tenants []uuid.UUID) {
	t.Helper()
	f.exec(t, `insert into members (id, workspace, person, role, tenants, position) values ($1, $2, $3, $4, $5, 1)
		on conflict (id) do update set role = excluded.role, tenants = excluded.tenants`,
		workspace.String()+"/"+person.String(), workspace, person, string(role), tenants)
}

func (f *fixture) token(t testing.TB, person, workspace uuid.UUID) string {
	t.Helper()
	secret, _, err := f.auth.IssueToken(t.Context(), person, workspace, "test", time.Time{})
	must(t, err)
	return secret
}

func (f *fixture) link(t testing.TB, person uuid.UUID) string {
	t.Helper()
	path, err := f.auth.IssueSignInLink(t.Context(), person, 24*time.Hour)
	must(t, err)
	return path
}

func (f *fixture) count(t testing.TB, sql string, args ...any) int {
	t.Helper()
	var n int
	must(t, f.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// routes stand for the web package's.
func (f *fixture) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in/{token}", func(w http.ResponseWriter, r *http.Request) {
		link, err := f.auth.PeekLink(r.Context(), r.PathValue("token"))
		answer(w, link.Valid, err)
	})
	mux.HandleFunc("POST /sign-in/{token}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, "signed in", f.auth.ConsumeLink(r, r.PathValue("token")))
	})
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) { answer(w, "signed out", f.auth.SignOut(r)) })
	private := http.NewServeMux()
	private.HandleFunc("POST /workspace/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, "chosen", f.auth.ChooseWorkspace(r.Context(), uuid.MustParse(r.PathValue("id"))))
	})
	private.HandleFunc("GET /who", who)
	private.HandleFunc("POST /who", who)
	private.HandleFunc("GET /hold", func(w http.ResponseWriter, r *http.Request) {
		f.entered <- struct{}{}
		<-f.leave
		if id, err := uuid.Parse(r.FormValue("choose")); err == nil {
			answer(w, "chosen", f.auth.ChooseWorkspace(r.Context(), id))
			return
		}
		who(w, r)
	})
	private.HandleFunc("GET /live/stream", f.stream)
	private.HandleFunc("GET /live/events", f.stream)
	mux.Handle("/", auth.RequireSignIn(private, nil))
	return f.auth.Protect(f.auth.Authenticate(mux, nil), nil)
}

// stream says who is there whenever asked to leave, until they may no longer be.
func (f *fixture) stream(w http.ResponseWriter, r *http.Request) {
	viewer, _ := auth.ViewerFrom(r.Context())
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		now, ok, err := f.auth.Again(r.Context(), viewer)
		if err != nil || !ok {
			_, _ = io.WriteString(w, "bye\n")
			return
		}
		_, _ = io.WriteString(w, string(now.Actor.Role)+"\n")
		w.(http.Flusher).Flush() // not through Unwrap: w must not be a wrapper
		select {
		case <-f.leave:
		case <-r.Context().Done():
			return
		}
	}
}

func who(w http.ResponseWriter, r *http.Request) {
	v, _ := auth.ViewerFrom(r.Context())
	answer(w, v, nil)
}

func answer(w http.ResponseWriter, value any, err error) {
	if refusal, ok := domain.AsRefusal(err); ok {
		http.Error(w, refusal.Code, http.StatusNotFound)
		return
	}
	if errors.Is(err, auth.ErrNoLink) {
		http.Error(w, "no link", http.StatusGone)
		return
	}
	if err != nil {
		http.Error(w, "error", http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(value)
}

// browser has cookies and says where its requests come from.
type browser struct {
	f      *fixture
	client *http.Client
}

func (f *fixture) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{f, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (f *fixture) signedIn(t testing.TB, person uuid.UUID) *browser {
	t.Helper()
	b := f.browser(t)
	if got := b.send(t, "POST", f.link(t, person), nil); got.status != 200 {
		t.Fatalf("sign in: got %d %s", got.status, got.body)
	}
	return b
}

type response struct {
	status int
	body   string
	header http.Header
}

func (b *browser) send(t testing.TB, method, path string, header map[string]string) response {
	t.Helper()
	got, err := b.try(t.Context(), method, path, header)
	must(t, err)
	return got
}

func (b *browser) try(ctx context.Context, method, path string, header map[string]string) (response, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.f.server.URL+path, nil)
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Origin", b.f.server.URL)
	return do(b.client, req, header)
}

// call is an API caller's request: no cookies, no origin.
func (f *fixture) call(t testing.TB, method, path string, header map[string]string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.server.URL+path, nil)
	must(t, err)
	got, err := do(http.DefaultClient, req, header)
	must(t, err)
	return got
}

func bearer(secret string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + secret}
}

// do sends a request with some headers set anew; an empty one is taken away.
func do(client *http.Client, req *http.Request, header map[string]string) (response, error) {
	for k, v := range header {
		req.Header.Set(k, v)
		if v == "" {
			req.Header.Del(k)
		}
	}
	res, err := client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return response{res.StatusCode, string(body), res.Header}, err
}

func (r response) viewer(t testing.TB) auth.Viewer {
	t.Helper()
	var v auth.Viewer
	if r.status != 200 {
		t.Fatalf("got %d %s, want a viewer", r.status, r.body)
	}
	must(t, json.Unmarshal([]byte(r.body), &v))
	return v
}

func (b *browser) cookie(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(b.f.server.URL)
	must(t, err)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "tenantpilot" {
			return c.Value
		}
	}
	return ""
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPersonIsFoundByAddressInAnyCase(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var wait sync.WaitGroup
	ids := make([]uuid.UUID, 20)
	for i := range ids {
		wait.Go(func() {
			email := "Grace@Example.com"
			if i%2 == 0 {
				email = " grace@example.COM "
			}
			ids[i], _ = f.auth.CreatePerson(t.Context(), email, "Grace", i == 0)
		})
	}
	wait.Wait()
	for _, id := range ids {
		if id == uuid.Nil || id != ids[0] {
			t.Fatalf("got people %v, want one", ids)
		}
	}
	if n := f.count(t, `select count(*) from people where lower(email) = 'grace@example.com'`); n != 1 {
		t.Errorf("got %d rows, want 1", n)
	}
}

func TestLinkSignsInOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := f.link(t, f.ada)
	for _, method := range []string{"GET", "HEAD", "GET"} { // as mail scanners do
		if got := f.browser(t).send(t, method, path, nil); got.status != 200 || (method == "GET" && got.body != "true\n") {
			t.Fatalf("%s: got %d %s, want 200 true", method, got.status, got.body)
		}
	}
	b := f.browser(t)
	if got := b.send(t, "POST", path, nil); got.status != 200 {
		t.Fatalf("first use: got %d %s", got.status, got.body)
	}
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Person != f.ada || v.Email != "ada@example.com" || v.Token {
		t.Errorf("got %+v, want Ada, by session", v)
	}
	if got := f.browser(t).send(t, "POST", path, nil); got.status != http.StatusGone {
		t.Errorf("second use: got %d, want 410", got.status)
	}
	link, err := f.auth.PeekLink(t.Context(), strings.TrimPrefix(path, "/sign-in/"))
	if err != nil || link.Valid || link.UsedAt.IsZero() || link.Name != "Name of ada@example.com" {
		t.Errorf("after use: got %+v, %v; want a used link of Ada's", link, err)
	}
	if _, err := f.auth.PeekLink(t.Context(), "no such link"); !errors.Is(err, auth.ErrNoLink) {
		t.Errorf("unknown link: got %v, want ErrNoLink", err)
	}
	if again := f.link(t, f.ada); again == path {
		t.Error("the next link is the same")
	}
}

func TestOneOfFiftySimultaneousUsesOfALinkWins(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := f.link(t, f.ada)
	var won, lost, other atomic.Int32
	var wait sync.WaitGroup
	start := make(chan struct{})
	for range 50 {
		b := f.browser(t)
		wait.Go(func() {
			<-start
			switch got, err := b.try(t.Context(), "POST", path, nil); {
			case err == nil && got.status == 200:
				won.Add(1)
			case err == nil && got.status == http.StatusGone && got.header.Get("Set-Cookie") == "":
				lost.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	close(start)
	wait.Wait()
	if won.Load() != 1 || lost.Load() != 49 || other.Load() != 0 {
		t.Errorf("got %d won, %d lost, %d other; want 1, 49, 0", won.Load(), lost.Load(), other.Load())
	}
	if n := f.count(t, `select count(*) from sessions`); n != 1 {
		t.Errorf("got %d sessions, want 1", n)
	}
}

// As two processes on one database would, each with connections enough that none waits for another.
func TestOneOfFiftyConsumersInTwoProcessesWins(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	secret := strings.TrimPrefix(f.link(t, f.ada), "/sign-in/")
	var services []*auth.Service
	for range 2 {
		cfg, err := pgxpool.ParseConfig(f.db.AppURL)
		must(t, err)
		cfg.MaxConns = 10
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		must(t, err)
		t.Cleanup(pool.Close)
		services = append(services, auth.New(pool, auth.Config{}))
	}
	people, errs := make([]uuid.UUID, 50), make([]error, 50)
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i := range people {
		wait.Go(func() {
			<-start
			people[i], _, errs[i] = services[i%2].Consume(t.Context(), secret)
		})
	}
	close(start)
	wait.Wait()
	won := 0
	for i, err := range errs {
		switch {
		case err == nil && people[i] == f.ada:
			won++
		case !errors.Is(err, auth.ErrNoLink) || people[i] != uuid.Nil:
			t.Errorf("got %s, %v; want nobody, ErrNoLink", people[i], err)
		}
	}
	if won != 1 {
		t.Errorf("%d of 50 won, want 1", won)
	}
}

func TestLinkExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := f.link(t, f.ada)
	f.forward(24*time.Hour - time.Minute)
	if got := f.browser(t).send(t, "GET", path, nil); got.body != "true\n" {
		t.Errorf("a minute before: got %s, want valid", got.body)
	}
	f.forward(2 * time.Minute)
	if got := f.browser(t).send(t, "GET", path, nil); got.body != "false\n" {
		t.Errorf("a minute after: got %s, want not valid", got.body)
	}
	if got := f.browser(t).send(t, "POST", path, nil); got.status != http.StatusGone {
		t.Errorf("a minute after: got %d, want 410", got.status)
	}
}

func TestTokenOpensItsWorkspaceOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.call(t, "GET", "/who", bearer(f.token(t, f.ada, f.fabrikam))).viewer(t)
	want := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: f.ada}, Workspace: f.fabrikam, Role: domain.RoleOperator}
	if v.Actor.Ref != want.Ref || v.Actor.Workspace != want.Workspace || v.Actor.Role != want.Role || v.Actor.Platform || !v.Token ||
		v.WorkspaceName != "Fabrikam" || len(v.Workspaces) != 1 || v.Workspaces[0].Workspace != f.fabrikam {
		t.Errorf("got %+v, want a token of Ada's in Fabrikam alone", v)
	}
	if got := f.call(t, "POST", "/workspace/"+f.contoso.String(), bearer(f.token(t, f.ada, f.fabrikam))); got.status != 404 {
		t.Errorf("choose another: got %d, want 404", got.status)
	}
	if got := f.call(t, "POST", "/workspace/"+f.fabrikam.String(), bearer(f.token(t, f.ada, f.fabrikam))); got.status != 404 {
		t.Errorf("choose its own: got %d, want 404", got.status)
	}
	f.exec(t, `delete from members where workspace = $1`, f.fabrikam)
	for name, workspace := range map[string]uuid.UUID{"a workspace left": f.fabrikam, "no workspace": uuid.Nil, "an unknown workspace": uuid.New()} {
		v := f.call(t, "GET", "/who", bearer(f.token(t, f.ada, workspace))).viewer(t)
		if v.Actor.Workspace != uuid.Nil || v.Actor.Role != "" || v.Actor.Platform || len(v.Workspaces) != 0 || v.Actor.Sees(f.contoso, uuid.Nil) {
			t.Errorf("a token for %s: got %+v, want one that sees nothing", name, v)
		}
	}
	if n := f.count(t, `select count(*) from sessions`); n != 0 {
		t.Errorf("tokens made %d sessions, want 0", n)
	}
}

func TestPlatformPeopleHaveThePlatformAndNothingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root := f.person(t, "root@example.com", true)
	f.member(t, f.contoso, root, domain.RoleOwner, nil) // which should not happen
	for name, v := range map[string]auth.Viewer{
		"session": f.signedIn(t, root).send(t, "GET", "/who", nil).viewer(t),
		"token":   f.call(t, "GET", "/who", bearer(f.token(t, root, uuid.Nil))).viewer(t),
	} {
		if !v.Actor.Platform || v.Actor.Workspace != uuid.Nil || v.Actor.Role != "" || len(v.Workspaces) != 0 {
			t.Errorf("%s: got %+v, want the platform only", name, v)
		}
	}
	if v := f.call(t, "GET", "/who", bearer(f.token(t, root, f.contoso))).viewer(t); v.Actor.Platform || v.Actor.Workspace != uuid.Nil {
		t.Errorf("a token for a workspace: got %+v, want neither platform nor workspace", v)
	}
}

func TestBadCredentialsAre401EvenWithASession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	expiring, _, err := f.auth.IssueToken(t.Context(), f.ada, f.contoso, "short", f.now().Add(time.Hour))
	must(t, err)
	revoked, id, err := f.auth.IssueToken(t.Context(), f.ada, f.contoso, "revoked", time.Time{})
	must(t, err)
	f.exec(t, `update api_tokens set revoked_at = $2 where id = $1`, id, f.now())
	if got := b.send(t, "GET", "/who", bearer(expiring)); got.status != 200 || !got.viewer(t).Token {
		t.Errorf("before its end: got %d %s, want 200 by token", got.status, got.body)
	}
	f.forward(time.Hour)
	good := f.token(t, f.ada, f.contoso)
	for name, value := range map[string]string{
		"unknown": "Bearer tp_" + strings.Repeat("A", 43), "expired": "Bearer " + expiring, "revoked": "Bearer " + revoked,
		"no secret": "Bearer", "empty secret": "Bearer ", "no prefix": "Bearer " + strings.TrimPrefix(good, "tp_"),
		"longer": "Bearer " + good + "A", "shorter": "Bearer " + good[:len(good)-1], "other case": "Bearer " + strings.ToUpper(good),
		"other scheme": "Basic " + good, "no scheme": good, "two in one": "Bearer " + good + ", Bearer " + good,
	} {
		got := b.send(t, "GET", "/who", map[string]string{"Authorization": value})
		if got.status != 401 || got.header.Get("Content-Type") != "application/problem+json" ||
			!strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: got %d %s %v", name, got.status, got.body, got.header)
		}
	}
	if got := b.send(t, "GET", "/who", map[string]string{"Authorization": "bearer " + good}); got.status != 200 {
		t.Errorf("scheme in lower case: got %d, want 200", got.status)
	}
	if got := b.send(t, "GET", "/who", nil); got.status != 200 {
		t.Errorf("the session by itself: got %d, want 200", got.status)
	}
}

func TestTwoAuthorizationHeadersOpenNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.server.URL+"/who", nil)
	must(t, err)
	for range 2 {
		req.Header.Add("Authorization", "Bearer "+f.token(t, f.ada, f.contoso))
	}
	if got, err := do(http.DefaultClient, req, nil); err != nil || got.status != 401 {
		t.Errorf("got %d, %v; want 401", got.status, err)
	}
}

func TestLastUseIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token := f.token(t, f.ada, f.contoso)
	use := func() (at time.Time, version string) {
		f.call(t, "GET", "/who", bearer(token)).viewer(t)
		must(t, f.pool.QueryRow(t.Context(), `select last_used_at, xmin::text from api_tokens`).Scan(&at, &version))
		return at, version
	}
	first, v1 := use()
	f.forward(50 * time.Second)
	second, v2 := use()
	f.forward(20 * time.Second)
	third, v3 := use()
	if !second.Equal(first) || v2 != v1 {
		t.Errorf("within a minute: got %v, then %v; want no write", first, second)
	}
	if third.Sub(first) < time.Minute || v3 == v2 {
		t.Errorf("after a minute: got %v, then %v; want a write", first, third)
	}
}

func TestDisabledPersonIsLetInNowhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, token, link := f.signedIn(t, f.ada), f.token(t, f.ada, f.contoso), f.link(t, f.ada)
	f.exec(t, `update people set disabled_at = now() where id = $1`, f.ada)
	if got := b.send(t, "GET", "/who", map[string]string{"Accept": "application/json"}); got.status != 401 {
		t.Errorf("session, API: got %d, want 401", got.status)
	}
	if got := b.send(t, "GET", "/who", nil); got.status != 302 {
		t.Errorf("session, page: got %d, want 302", got.status)
	}
	if got := f.call(t, "GET", "/who", bearer(token)); got.status != 401 {
		t.Errorf("token: got %d, want 401", got.status)
	}
	grace := f.person(t, "grace@example.com", false)
	if got := f.signedIn(t, grace).send(t, "GET", "/who", bearer(token)); got.status != 401 || !strings.Contains(got.body, `"code":"invalid_token"`) {
		t.Errorf("token, with the session of somebody else: got %d %s, want 401", got.status, got.body)
	}
	if got := b.send(t, "GET", link, nil); got.status != http.StatusGone {
		t.Errorf("look at link: got %d, want 410", got.status)
	}
	if got := b.send(t, "POST", link, nil); got.status != http.StatusGone {
		t.Errorf("use link: got %d, want 410", got.status)
	}
	f.exec(t, `update people set disabled_at = null`)
	if got := b.send(t, "POST", link, nil); got.status != 200 {
		t.Errorf("enabled again: got %d, want the link unused", got.status)
	}
}

func TestRightsAreThoseOfThisRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, token := f.signedIn(t, f.ada), f.token(t, f.ada, f.contoso)
	roles := []domain.Role{domain.RoleReadonly, domain.RoleOwner, ""} // "" is removed
	for i := range 1000 {
		role := roles[i%3]
		if role == "" {
			f.exec(t, `delete from members where workspace = $1 and person = $2`, f.contoso, f.ada)
		} else {
			f.member(t, f.contoso, f.ada, role, nil)
		}
		var v auth.Viewer
		if i%2 == 0 {
			v = b.send(t, "GET", "/who", nil).viewer(t)
		} else {
			v = f.call(t, "GET", "/who", bearer(token)).viewer(t)
		}
		if role == "" && v.Actor.Sees(f.contoso, uuid.Nil) || role != "" && (v.Actor.Workspace != f.contoso || v.Actor.Role != role) {
			t.Fatalf("request %d: got %+v, want role %q in Contoso", i, v.Actor, role)
		}
	}
}

// An empty list and no list are opposites, and what one membership says must not reach the next.
func TestTenantsOfAMembership(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tenant, other := uuid.New(), uuid.New()
	token := f.token(t, f.ada, f.contoso)
	for name, c := range map[string]struct {
		tenants     []uuid.UUID
		sees, other bool
	}{
		"all":  {nil, true, true},
		"none": {[]uuid.UUID{}, false, false},
		"one":  {[]uuid.UUID{tenant}, true, false},
	} {
		f.member(t, f.contoso, f.ada, domain.RoleOperator, c.tenants)
		var v auth.Viewer
		// Not over JSON, which a test could misread: through the middleware itself.
		h := f.auth.Authenticate(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { v, _ = auth.ViewerFrom(r.Context()) }), nil)
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		h.ServeHTTP(httptest.NewRecorder(), r)
		if v.Actor.Sees(f.contoso, tenant) != c.sees || v.Actor.Sees(f.contoso, other) != c.other {
			t.Errorf("%s: got tenants %#v", name, v.Actor.Tenants)
		}
		if w := f.signedIn(t, f.ada).send(t, "GET", "/who", nil).viewer(t); len(w.Workspaces) != 2 || w.Workspaces[1].Tenants != nil {
			t.Errorf("%s: got %+v, want no limit in Fabrikam", name, w.Workspaces)
		}
	}
}

func TestWorkspaceWithoutANameYetLetsItsMembersIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `delete from workspaces`)
	if v := f.call(t, "GET", "/who", bearer(f.token(t, f.ada, f.contoso))).viewer(t); v.Actor.Workspace != f.contoso || v.WorkspaceName != "" {
		t.Errorf("got %+v, want Contoso, without a name", v)
	}
}

func TestSecretsAreInNoLogNoAnswerNoTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	token, link, used := f.token(t, f.ada, f.contoso), f.link(t, f.ada), f.link(t, f.ada)
	f.browser(t).send(t, "POST", used, nil)
	secrets := map[string]string{"token": token, "link": link[len("/sign-in/"):], "used link": used[len("/sign-in/"):], "cookie": b.cookie(t)}
	var answers strings.Builder
	tryAll := func() {
		for _, secret := range secrets {
			for _, path := range []string{"/who", "/sign-in/" + secret, "/live/stream"} {
				for _, header := range []map[string]string{bearer(secret), {"Cookie": "tenantpilot=" + secret}, {"Sec-Fetch-Site": "cross-site"}} {
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // of the stream
					got, err := b.try(ctx, "GET", path, header)
					cancel()
					if err == nil {
						answers.WriteString(got.body)
					}
					got = f.call(t, "POST", path+"?x", header)
					answers.WriteString(got.body + got.header.Get("Location"))
				}
			}
		}
	}
	dump := dumpOf(t, f.db.OwnerPool(t))
	tryAll()
	dump += dumpOf(t, f.db.OwnerPool(t))
	owner := f.db.OwnerPool(t)
	for _, table := range []string{"people", "api_tokens", "sign_in_links", "sessions"} { // everything fails from here on
		_, err := owner.Exec(t.Context(), `alter table `+table+` rename to gone_`+table)
		must(t, err)
	}
	tryAll()
	if !strings.Contains(f.logs.text(), "does not exist") {
		t.Fatalf("the log has no failures: %s", f.logs.text())
	}
	if !strings.Contains(answers.String(), "sign_in_unavailable") || strings.Contains(answers.String(), "SQLSTATE") {
		t.Errorf("answers should say that sign-in does not work, and not why")
	}
	for name, secret := range secrets {
		for where, text := range map[string]string{"log": f.logs.text(), "answers": answers.String(), "database": dump} {
			for form, secret := range formsOf(secret) {
				if strings.Contains(text, secret) {
					t.Errorf("the %s is in the %s, as %s", name, where, form)
				}
			}
		}
	}
}

func formsOf(secret string) map[string]string {
	return map[string]string{
		"it is": secret, "hexadecimal": hexOf(secret), "base64": base64Of(secret), "its random part": strings.TrimPrefix(secret, "tp_"),
	}
}

// dumpOf is every row of every table in plain text.
func dumpOf(t testing.TB, owner *pgxpool.Pool) string {
	t.Helper()
	rows, err := owner.Query(t.Context(), `select tablename from pg_tables where schemaname = 'public'`)
	must(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	var dump strings.Builder
	for _, table := range tables {
		// bytea once in hexadecimal, and once as it is: sessions hold text in binary.
		rows, err := owner.Query(t.Context(), `select x::text from `+pgx.Identifier{table}.Sanitize()+` x`)
		must(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		dump.WriteString(strings.Join(lines, "\n"))
	}
	rows, err = owner.Query(t.Context(), `select encode(data, 'escape') from sessions`)
	must(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	dump.WriteString(strings.Join(lines, "\n"))
	if !strings.Contains(dump.String(), "ada@example.com") || len(lines) == 0 {
		t.Fatal("the dump lacks what it should have")
	}
	return dump.String()
}

func TestAuditorReadsNoneOfIt(t *testing.T) {
	t.Parallel()
	auditor := newFixture(t).db.AuditorPool(t)
	for _, what := range []string{"email from people", "hash from api_tokens", "hash from sign_in_links", "data from sessions"} {
		if _, err := auditor.Exec(t.Context(), `select `+what); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: got %v, want permission denied", what, err)
		}
	}
}

// TestScopesAndCustomRoles: what a member sees follows from groups and exceptions at the moment of the request, and what they may do from
// the workspace's own roles.
func TestScopesAndCustomRoles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, token := uuid.New(), uuid.New(), f.token(t, f.ada, f.contoso)
	for i, id := range []uuid.UUID{a, b} {
		f.exec(t, `insert into tenants (tenant, number, workspace, external_id, name, groups, position) values ($1, $2, $3, $1, 'T', $4, 1)`,
			id, i+1, f.contoso, [][]string{{"Europe"}, {"Europe", "VIP"}}[i])
	}
	for name, c := range map[string]struct {
		set  string
		want []uuid.UUID
	}{
		"a group":           {`tenants = null, groups = '{Europe}', except_tenants = null, except_groups = null`, []uuid.UUID{a, b}},
		"a group but one":   {`tenants = null, groups = '{Europe}', except_tenants = '{}', except_groups = '{VIP}'`, []uuid.UUID{a}},
		"all but a group":   {`tenants = null, groups = null, except_tenants = null, except_groups = '{VIP}'`, []uuid.UUID{a}},
		"another group":     {`tenants = null, groups = '{Asia}', except_tenants = null, except_groups = null`, []uuid.UUID{}},
		"a tenant or group": {`tenants = array['` + a.String() + `'::uuid], groups = '{VIP}', except_tenants = null, except_groups = null`, []uuid.UUID{a, b}},
	} {
		f.exec(t, `update members set `+c.set+` where person = $1 and workspace = $2`, f.ada, f.contoso)
		got := f.actor(t, token).Tenants
		slices.SortFunc(got, func(x, y uuid.UUID) int { return strings.Compare(x.String(), y.String()) })
		slices.SortFunc(c.want, func(x, y uuid.UUID) int { return strings.Compare(x.String(), y.String()) })
		if got == nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: sees %v, want %v", name, got, c.want)
		}
	}
	f.exec(t, `update members set role = 'night' where person = $1 and workspace = $2`, f.ada, f.contoso)
	f.exec(t, `insert into roles values ('x', $1, 'night', '{view,directory.sync}', 1)`, f.contoso)
	if got := f.actor(t, token); !got.May(domain.CapDirectorySync) || got.May(domain.CapProviderManage) {
		t.Errorf("a custom role allows %v", got.Capabilities)
	}
}

// actor is who a token stands for, read through the middleware itself.
func (f *fixture) actor(t *testing.T, token string) domain.Actor {
	t.Helper()
	var v auth.Viewer
	h := f.auth.Authenticate(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { v, _ = auth.ViewerFrom(r.Context()) }), nil)
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	h.ServeHTTP(httptest.NewRecorder(), r)
	return v.Actor
}
