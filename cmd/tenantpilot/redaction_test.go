package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/auth/idptest"
	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// redactionAllowed are the places where a secret may be, with the reason. Every one has to be seen, or it is not needed.
var redactionAllowed = []struct{ secret, place, why string }{
	{"sign-in link", "GET /sign-in/{link}", "the form on the link's own page posts to the link"},
	{"sign-in link", "a link that was used", "the browser is sent to the page of the link it came with, which says so"},
	{"session cookie", "Set-Cookie", "it is given to the browser whose it is, and prolonged there"},
	{"sign-in link", "sign-in to the end", "the second link's own page, as above"},
	{"consent state", "POST consent/request", "the page that shows the consent link, once"},
	{"invitation link", "POST members/invite", "the page that shows the invitation's link, once"},
	{"console token", "POST settings/tokens", "the page that shows the new token, once"},
	{"rotated token", "POST settings/tokens/{token}/rotate", "the page that shows the new secret, once"},
}

// session is a whole life with the product, by one owner in a browser and one program, with every secret that has a part in it.
type session struct {
	t      *testing.T
	app    *app
	base   string
	inside string // where metrics are
	// unprovided is a console on the same database that knows no identity provider: only there do invitations have links.
	unprovided string
	client     *http.Client
	token      string
	logs       *lockedBuffer
	idp        *idptest.Issuer

	mu      sync.Mutex
	secrets map[string][]string // by name
	places  map[string][]string // what was answered, by place
	used    map[int]bool        // exceptions that were seen
}

func (s *session) plant(name string, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if len(v) < 12 {
			s.t.Fatalf("%s is too short to be told apart", name)
		}
		s.secrets[name] = append(s.secrets[name], v)
	}
}

// do sends a request as the browser, or with the token, and keeps the whole answer under the place's name. Sent forms are url.Values, JSON a
// string.
func (s *session) do(place, method, path string, sent any, header ...string) (int, string) {
	s.t.Helper()
	var body io.Reader
	kind := ""
	switch v := sent.(type) {
	case url.Values:
		body, kind = strings.NewReader(v.Encode()), "application/x-www-form-urlencoded"
	case string:
		body, kind = strings.NewReader(v), "application/json"
	}
	if !strings.HasPrefix(path, "http") {
		path = s.base + path
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", "text/html")
	if method != http.MethodGet {
		req.Header.Set("Origin", s.base)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := s.client
	if req.Header.Get("Authorization") != "" {
		client = &http.Client{CheckRedirect: s.client.CheckRedirect}
	}
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("%s: %v", place, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	cookies := res.Cookies()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places["Set-Cookie"] = append(s.places["Set-Cookie"], res.Header.Values("Set-Cookie")...)
	res.Header.Del("Set-Cookie")
	text := fmt.Sprintf("%d %v\n", res.StatusCode, res.Header) + unpacked(s.t, res.Header.Get("Content-Type"), raw)
	s.places[place] = append(s.places[place], text)
	for _, c := range cookies {
		if c.Value != "" && !slices.Contains(s.secrets["session cookie"], c.Value) {
			s.secrets["session cookie"] = append(s.secrets["session cookie"], c.Value)
		}
	}
	return res.StatusCode, text
}

// program is do with the API token.
func (s *session) program(place, method, path string, sent any) (int, string) {
	s.t.Helper()
	return s.do(place, method, path, sent, "Authorization", "Bearer "+s.token, "Accept", "*/*")
}

// unpacked is an answer as text; of a zip, all of its files.
func unpacked(t *testing.T, kind string, raw []byte) string {
	t.Helper()
	if kind != "application/zip" {
		return string(raw)
	}
	archive, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(f.Name + "\n")
		all.Write(b)
	}
	return all.String()
}

// forms are how a secret could be written: plain, as hex, in an address, in HTML, in JSON, and in base64 at each of the three places where it
// can begin.
func forms(secret string) map[string]string {
	quoted, _ := json.Marshal(secret)
	all := map[string]string{
		"plain": secret, "hex": hex.EncodeToString([]byte(secret)), "address": url.QueryEscape(secret), "HTML": html.EscapeString(secret),
		"JSON": strings.Trim(string(quoted), `"`), "JSON pointer": strings.NewReplacer("~", "~0", "/", "~1").Replace(secret),
	}
	for shift := range 3 {
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, shift), secret...))
			// The first characters have bits of what is before, the last of what is behind.
			all[fmt.Sprintf("%s+%d", name, shift)] = text[(shift*8+5)/6 : len(text)-1]
		}
	}
	return all
}

// TestASecretIsFoundInEveryForm: the test below would see a secret wherever it stands in what was encoded.
func TestASecretIsFoundInEveryForm(t *testing.T) {
	t.Parallel()
	secret := drawn("secret")
	for before := range 6 {
		for behind := range 6 {
			raw := []byte(strings.Repeat("x", before) + secret + strings.Repeat("y", behind))
			quoted, err := json.Marshal(map[string]string{"a": string(raw)})
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"plain": string(raw), "hex": hex.EncodeToString(raw), "base64": base64.StdEncoding.EncodeToString(raw), "JSON": string(quoted),
				"base64 for addresses": base64.RawURLEncoding.EncodeToString(raw), "an address": "https://x.example/?q=" + url.QueryEscape(string(raw)),
			} {
				found := false
				for _, form := range forms(secret) {
					found = found || strings.Contains(text, form)
				}
				if !found {
					t.Errorf("%s with %d before and %d behind it is not found: %s", name, before, behind, text)
				}
			}
		}
	}
}

// find reports every secret in a text, unless it may be there.
func (s *session) find(place, text string) {
	s.t.Helper()
	lower := strings.ToLower(text)
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		for _, secret := range s.secrets[name] {
			for form, written := range forms(secret) {
				i := strings.Index(text, written)
				if form == "hex" {
					i = strings.Index(lower, written)
				}
				if i < 0 || s.allowed(name, place) {
					continue
				}
				s.t.Errorf("%s has the %s (%s): ...%q...", place, name, form, text[max(0, i-150):min(len(text), i+60)])
				break
			}
		}
	}
}

func (s *session) allowed(secret, place string) bool {
	for i, a := range redactionAllowed {
		if a.secret == secret && a.place == place {
			s.used[i] = true
			return true
		}
	}
	return false
}

// dump is every row of every table as text, as pg_dump would write it, bytes as hex; and what the server is running.
func (s *session) dump(db *pgtest.DB) map[string]string {
	s.t.Helper()
	pool := db.SuperuserPool(s.t)
	rows, err := pool.Query(s.t.Context(), `select format('%I.%I', schemaname, tablename) from pg_tables
		where schemaname not in ('pg_catalog', 'information_schema') union all select 'pg_stat_activity'`)
	if err != nil {
		s.t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.t.Fatal(err)
		}
		tables = append(tables, name)
	}
	all := map[string]string{}
	for _, table := range tables {
		var text string
		if err := pool.QueryRow(s.t.Context(), `select coalesce(string_agg(x::text, E'\n'), '') from `+table+` x`).Scan(&text); err != nil {
			s.t.Fatalf("%s: %v", table, err)
		}
		all["table "+table] = text
	}
	return all
}

// theGraph is the simulator behind a listener that hears which access tokens it gives out.
func (s *session) theGraph(sim *graphsim.Server) string {
	heard := regexp.MustCompile(`"access_token":\s*"([^"]+)"`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/token") {
			sim.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		sim.ServeHTTP(answer, r)
		if m := heard.FindStringSubmatch(answer.Body.String()); m != nil {
			s.plant("access token", m[1])
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	s.t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	return server.URL
}

// until waits for a run to end and returns how.
func (s *session) until(run string) string {
	s.t.Helper()
	for range 300 {
		_, text := s.program("GET run", "GET", "/admin/operations/"+run, nil)
		if m := regexp.MustCompile(`"outcome":"(\w+)"`).FindStringSubmatch(text); m != nil {
			return m[1]
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("run %s does not end", run)
	return ""
}

var startedRun = regexp.MustCompile(`"run":\{"id":(\d+)`)

// start starts an operation as the program and waits for its end.
func (s *session) start(tenant uuid.UUID, operation, body string) (run, outcome string) {
	s.t.Helper()
	_, text := s.program("POST start", "POST", "/admin/t/"+tenant.String()+"/provider-actions/"+operation+"/start", body)
	m := startedRun.FindStringSubmatch(text)
	if m == nil {
		s.t.Fatalf("%s did not start: %s", operation, text)
	}
	return m[1], s.until(m[1])
}

// drawn is a text that looks like a secret of Microsoft's, and that nothing else has.
func drawn(kind string) string {
	return kind + "~" + strings.ReplaceAll(uuid.NewString(), "-", "") + "+/=Q" + strings.ReplaceAll(uuid.NewString(), "-", "")[:8]
}

// TestNoSecretIsAnywhere lives through a session, from the sign-in link to the evidence pack, with secrets that can be told from anything
// else, and looks for each of them, as it is, in base64 and in hex: in the logs, in every row of every table, in every answer, in the stream.
// Sealed and hashed forms are none of these.
func TestNoSecretIsAnywhere(t *testing.T) {
	t.Parallel()
	db, logs := pgtest.New(t), &lockedBuffer{}
	s := &session{t: t, logs: logs, secrets: map[string][]string{}, places: map[string][]string{}, used: map[int]bool{}}
	sim := graphsim.New(graphsim.Config{RetryAfter: time.Second})
	graphURL := s.theGraph(sim)
	keyset, err := secrets.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := evidence.GenerateKey("redaction.example")
	if err != nil {
		t.Fatal(err)
	}
	key, err := evidence.ParseKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	platform := drawn("platform")
	s.plant("platform secret", platform)
	s.plant("keyset", regexp.MustCompile(`"value":\s*"([^"]+)"`).FindStringSubmatch(string(keyset))[1])
	s.plant("log key", strings.SplitN(signer, "+", 5)[4])
	address, err := url.Parse(db.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	if password, ok := address.User.Password(); ok {
		s.plant("database password", password)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.base = "http://" + listener.Addr().String()
	s.idp = idptest.New(t)
	s.idp.Email, s.idp.Redirect = "ada@redaction.example", s.base+"/sign-in/oidc/callback"
	o := options{
		oidc:       &auth.OIDC{Issuer: s.idp.URL, ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret, Name: "Contoso ID", Redirect: s.idp.Redirect},
		breakGlass: true, databaseURL: db.AppURL, loginURL: graphURL, graphURL: graphURL, keyset: secrets.Fixed(keyset), logKey: key,
		platformSecret: platform, platformApp: uuid.NewString(), tokenFile: filepath.Join(t.TempDir(), "token"),
		lazyDisk: true, log: slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if s.app, err = newApp(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.oidc = nil
	other, err := newApp(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	otherListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.unprovided = "http://" + otherListener.Addr().String()
	inside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 4)
	go func() { done <- s.app.runLog(ctx) }()
	go func() { done <- other.serve(ctx, otherListener, nil) }()
	go func() { done <- s.app.runWorker(ctx) }()
	go func() { done <- s.app.serve(ctx, listener, inside) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			for range 4 {
				if err := <-done; err != nil && ctx.Err() == nil {
					t.Errorf("stop: %v", err)
				}
			}
			s.app.Close()
			other.Close()
		})
	}
	t.Cleanup(stop)
	s.inside = "http://" + inside.Addr().String()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	tenant := s.people()
	nextDoor, elsewhere := s.plantTenant(tenant.Workspace, "Planted-NEXT-DOOR"), s.plantTenant(uuid.New(), "Planted-ELSEWHERE")
	s.live(sim, tenant)
	stop()
	s.holds("evidence", nextDoor)
	for place := range s.places {
		s.holds(place, elsewhere)
	}

	for place, answers := range s.places {
		s.find(place, strings.Join(answers, "\n"))
	}
	s.find("the log", logs.String())
	for table, text := range s.dump(db) {
		s.find(table, text)
	}
	for _, name := range []string{
		"sign-in link", "session cookie", "API token", "client secret", "refused client secret", "access token", "consent state", "invitation link",
		"keyset", "log key", "platform secret", "private key", "federated token", "somebody's password", "wrong token", "wrong cookie", "wrong link",
		"identity provider's client secret", "identity provider's code", "identity provider's token", "break-glass password", "wrong break-glass password",
		"console token", "rotated token",
	} {
		if len(s.secrets[name]) == 0 {
			t.Errorf("the session had no %s", name)
		}
	}
	for i, a := range redactionAllowed {
		if !s.used[i] {
			t.Errorf("the %s is not at %s any more: take the exception away", a.secret, a.place)
		}
	}
	if !strings.Contains(logs.String(), `"msg":"request"`) {
		t.Error("there is no log to look at")
	}
}

// plantTenant makes a tenant with a name, a connection and a reason that can be told from anything else, and returns them with its ids.
func (s *session) plantTenant(workspace uuid.UUID, marker string) []string {
	s.t.Helper()
	ctx, actor := s.t.Context(), domain.SystemActor(workspace)
	tenant, err := s.app.commands.RegisterTenant(ctx, commands.RegisterTenant{Actor: actor, ExternalID: uuid.New(), Name: marker, Domain: "planted.example"})
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := s.app.commands.CreateConnection(ctx, commands.CreateConnection{
		Actor: actor, Tenant: tenant.ExternalID, DisplayName: marker, ConnectionType: "dedicated", AppID: uuid.NewString(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.app.commands.HoldTenant(ctx, commands.HoldTenant{Actor: actor, Tenant: tenant.ExternalID, Reason: marker}); err != nil {
		s.t.Fatal(err)
	}
	return []string{marker, tenant.ID.String(), tenant.ExternalID.String(), conn.ID.String(), conn.AppID}
}

// holds reports what of others is in the answers of a place.
func (s *session) holds(place string, others []string) {
	s.t.Helper()
	for _, answer := range s.places[place] {
		for _, text := range others {
			if strings.Contains(answer, text) {
				s.t.Errorf("%s has %s of another", place, text)
			}
		}
	}
}

// people makes the workspace and its owner, who signs in with a link and has a token.
func (s *session) people() domain.Tenant {
	t, ctx := s.t, s.t.Context()
	owner, err := s.app.auth.CreatePerson(ctx, "ada@redaction.example", "Ada", false)
	if err != nil {
		t.Fatal(err)
	}
	workspace := uuid.New()
	if err := s.app.commands.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: workspace, Name: "Redaction", Owner: owner}); err != nil {
		t.Fatal(err)
	}
	link, err := s.app.auth.IssueSignInLink(ctx, owner, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.plant("sign-in link", strings.TrimPrefix(link, "/sign-in/"))
	if s.token, _, err = s.app.auth.IssueToken(ctx, owner, workspace, "redaction", time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.plant("API token", s.token, strings.TrimPrefix(s.token, "tp_"))
	tenant, err := s.app.commands.RegisterTenant(ctx, commands.RegisterTenant{
		Actor: domain.SystemActor(workspace), ExternalID: uuid.New(), Name: "Contoso", Domain: "contoso.example",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := projections.NewReader(s.app.pool).AwaitNow(ctx, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	s.do("GET /sign-in/{link}", "GET", link, nil)
	if status, text := s.do("POST /sign-in/{link}", "POST", link, url.Values{"next": {"/admin/operations"}}); status != http.StatusSeeOther {
		t.Fatalf("sign in: %s", text)
	}
	s.do("a link that was used", "POST", link, url.Values{})
	second, err := s.app.auth.IssueSignInLink(ctx, owner, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.plant("sign-in link", strings.TrimPrefix(second, "/sign-in/"))
	browser := s.client
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Jar: jar, CheckRedirect: browser.CheckRedirect}
	s.do("sign-in to the end", "GET", second, nil)
	s.do("sign-in to the end", "POST", second, url.Values{})
	s.do("sign-out", "POST", "/sign-out", url.Values{})
	s.otherWays(owner)
	s.client = browser
	third, err := s.app.auth.IssueSignInLink(ctx, owner, time.Hour) // the account was bound: sessions that came from links have ended
	if err != nil {
		t.Fatal(err)
	}
	s.plant("sign-in link", strings.TrimPrefix(third, "/sign-in/"))
	if status, text := s.do("POST /sign-in/{link}", "POST", third, url.Values{"next": {"/admin/operations"}}); status != http.StatusSeeOther {
		t.Fatalf("sign in again: %s", text)
	}
	return tenant
}

// otherWays signs the owner in with the identity provider and with a break-glass account, and fails to in the ways in which there is something to
// tell: a code that was used or is none, an ID token for somebody else, a password that is wrong.
func (s *session) otherWays(owner uuid.UUID) {
	t := s.t
	callback := func() string {
		t.Helper()
		_, text := s.do("GET /sign-in/oidc", "GET", "/sign-in/oidc?next=/", nil)
		m := regexp.MustCompile(`Location:\[(\S+)\]`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("the identity provider is not asked: %s", text)
		}
		res, err := s.client.Get(m[1])
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		back, err := res.Location()
		if err != nil {
			t.Fatal(err)
		}
		s.plant("identity provider's code", back.Query().Get("code"))
		return back.String()
	}
	good := callback()
	if status, text := s.do("GET /sign-in/oidc/callback", "GET", good, nil); status != http.StatusSeeOther {
		t.Fatalf("sign-in with the identity provider: %s", text)
	}
	s.do("GET /sign-in/oidc/callback, refused", "GET", good, nil)
	s.do("sign-out", "POST", "/sign-out", url.Values{})
	made := drawn("code")
	s.plant("identity provider's code", made)
	forged, err := url.Parse(callback())
	if err != nil {
		t.Fatal(err)
	}
	asked := forged.Query()
	asked.Set("code", made)
	forged.RawQuery = asked.Encode()
	s.do("GET /sign-in/oidc/callback, refused", "GET", forged.String(), nil)
	s.idp.Claims = func(claims map[string]any) { claims["aud"] = "somebody else" }
	if status, text := s.do("GET /sign-in/oidc/callback, refused", "GET", callback(), nil); status == http.StatusSeeOther {
		t.Errorf("a token for somebody else: %s", text)
	}
	s.plant("identity provider's client secret", idptest.ClientSecret)
	tokens := 0
	for _, secret := range s.idp.Secrets() {
		s.plant("identity provider's token", secret)
		if parts := strings.Split(secret, "."); len(parts) == 3 {
			s.plant("identity provider's token", parts[1], parts[2])
			tokens++
		}
	}
	if tokens != 2 {
		t.Errorf("the identity provider gave %d ID tokens, want one good and one refused", tokens)
	}

	password, wrong := drawn("glass"), drawn("wrong")
	s.plant("break-glass password", password)
	s.plant("wrong break-glass password", wrong)
	if err := s.app.auth.SetBreakGlass(t.Context(), owner, password); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		place, password string
		status          int
	}{
		{"POST /sign-in/break-glass, refused", wrong, http.StatusForbidden},
		{"POST /sign-in/break-glass", password, http.StatusSeeOther},
	} {
		sent := url.Values{"email": {"ada@redaction.example"}, "password": {one.password}, "next": {"/"}}
		if status, text := s.do(one.place, "POST", "/sign-in/break-glass", sent); status != one.status {
			t.Errorf("%s: %s", one.place, text)
		}
	}
	s.do("sign-out", "POST", "/sign-out", url.Values{})
}

// tokens makes a token in the console, uses it, rotates it there, and revokes it.
func (s *session) tokens() {
	t := s.t
	shown := regexp.MustCompile(`tp_[A-Za-z0-9_-]{43}`)
	use := func(secret string, want int) {
		t.Helper()
		if status, text := s.do("a console token", "GET", "/admin/operations", nil, "Authorization", "Bearer "+secret, "Accept", "*/*"); status != want {
			t.Errorf("a token of the console: %s", text)
		}
	}
	end := time.Now().AddDate(0, 1, 0).Format(time.DateOnly)
	_, page := s.do("POST settings/tokens", "POST", "/admin/settings/tokens", url.Values{"name": {"CI"}, "expires": {end}, "may": {"all"}, "sees": {"all"}})
	first := shown.FindString(page)
	if first == "" {
		t.Fatalf("no token: %s", page)
	}
	s.plant("console token", first, strings.TrimPrefix(first, "tp_"))
	use(first, http.StatusOK)
	path := regexp.MustCompile(`/admin/settings/tokens/[0-9a-f-]{36}`).FindString(page)
	_, page = s.do("POST settings/tokens/{token}/rotate", "POST", path+"/rotate", url.Values{"overlap": {"24"}})
	next := shown.FindString(page)
	if next == "" {
		t.Fatalf("no other secret: %s", page)
	}
	s.plant("rotated token", next, strings.TrimPrefix(next, "tp_"))
	use(next, http.StatusOK)
	if status, text := s.do("POST settings/tokens/{token}/revoke", "POST", path+"/revoke", url.Values{}); status != http.StatusSeeOther {
		t.Errorf("revoke: %s", text)
	}
	use(first, http.StatusUnauthorized)
	use(next, http.StatusUnauthorized)
}

// live is the session.
func (s *session) live(sim *graphsim.Server, tenant domain.Tenant) {
	t := s.t
	directory, app, first, next := tenant.ExternalID.String(), uuid.NewString(), drawn("first"), drawn("next")
	s.plant("client secret", first, next)
	sim.AddTenant(graphsim.Tenant{ID: directory, Name: "Contoso", AppID: app, Secret: next, Scenario: graphsim.ScenarioConsentRequired, Groups: 30})
	stream := s.listen("/admin/operations/stream")

	// A connection, its credential, the ways in which one is refused, and another credential.
	_, text := s.program("POST connections", "POST", "/admin/provider-connections",
		fmt.Sprintf(`{"tenant":%q,"displayName":"Contoso","connectionType":"dedicated","appId":%q}`, directory, app))
	m := regexp.MustCompile(`/admin/provider-connections/(\d+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no connection: %s", text)
	}
	connection := m[0]
	if status, text := s.do("POST credential", "POST", connection+"/credential", url.Values{"kind": {"secret"}, "secret": {first}}); status != http.StatusSeeOther {
		t.Fatalf("credential: %s", text)
	}
	for _, wrong := range []url.Values{{"kind": {"nonsense"}}, {"kind": {"secret"}, "expiresAt": {"tomorrow"}}, {"kind": {"certificate"}}} {
		refused := drawn("refused")
		s.plant("refused client secret", refused)
		wrong.Set("secret", refused)
		if status, _ := s.do("POST credential, refused", "POST", connection+"/credential", wrong); status < 400 {
			t.Errorf("%v is accepted", wrong)
		}
		s.program("POST credential, refused", "POST", connection+"/credential", fmt.Sprintf(`{"kind":%q,"secret":%q,"expiresAt":"x"}`, wrong.Get("kind"), refused))
		s.program("POST credential, refused", "POST", connection+"/credential", fmt.Sprintf(`{"kind":"secret","secret":%q, "secret":7`, refused))
		s.program("PUT connection, refused", "PUT", connection, fmt.Sprintf(`{"displayName":7,"secret":%q}`, refused))
	}
	if status, text := s.program("POST credential", "POST", connection+"/credential", fmt.Sprintf(`{"kind":"secret","secret":%q}`, next)); status != http.StatusOK {
		t.Fatalf("rotate: %s", text)
	}

	// Consent, answered at the simulator; then the answer once more, and one that is made up.
	_, page := s.do("POST consent/request", "POST", connection+"/consent/request", url.Values{})
	link, err := url.Parse(html.UnescapeString(regexp.MustCompile(`http://127[^"\s<]+adminconsent[^"\s<]+`).FindString(page)))
	if err != nil || link.Query().Get("state") == "" {
		t.Fatalf("no link: %v %s", err, page)
	}
	state := link.Query().Get("state")
	s.plant("consent state", state)
	answer, err := (&http.Client{CheckRedirect: s.client.CheckRedirect}).PostForm(link.String(), url.Values{"answer": {"accept"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	back := answer.Header.Get("Location")
	if status, text := s.do("GET consent/callback", "GET", back, nil); status != http.StatusSeeOther {
		t.Fatalf("callback to %s: %s", back, text)
	}
	s.do("GET consent/callback again", "GET", back, nil)
	password := drawn("password")
	s.plant("somebody's password", password)
	s.do("GET consent/callback, made up", "GET", "/consent/callback?"+url.Values{"state": {password}, "error_description": {password}}.Encode(), nil)
	s.do("GET connection", "GET", connection+"/consent", nil)

	// The check that consent queued, a sync, and calls that fail: refused by the directory, and with a secret that is wrong.
	run, outcome := s.start(tenant.ExternalID, "provider.connection.check", `{"targetContext":{"reconsent":true}}`)
	if outcome != "succeeded" {
		t.Fatalf("check %s: %s", run, outcome)
	}
	synced, outcome := s.start(tenant.ExternalID, "directory_groups.sync", fmt.Sprintf(`{"targetContext":{"password":%q}}`, password))
	if outcome != "succeeded" {
		t.Errorf("sync: %s", outcome)
	}
	s.program("POST start, refused", "POST", "/admin/t/"+directory+"/provider-actions/directory_groups.sync/start", fmt.Sprintf(`{"password":%q}`, password))
	s.program("POST start, refused", "POST", "/admin/t/"+directory+"/provider-actions/directory_groups.sync/start", fmt.Sprintf(`{"targetContext":{"selectionKey":{"x":%q}}}`, password))
	s.scenario(sim, directory, graphsim.ScenarioHostileNextLink)
	hostile, outcome := s.start(tenant.ExternalID, "directory_groups.sync", `{}`)
	if outcome != "failed" {
		t.Errorf("a hostile link: %s", outcome)
	}
	s.scenario(sim, directory, graphsim.ScenarioForbidden)
	s.start(tenant.ExternalID, "directory_role_definitions.sync", `{}`)
	sim.RevokeTokens(directory)
	s.scenario(sim, directory, graphsim.ScenarioWrongSecret)
	failed, _ := s.start(tenant.ExternalID, "provider.connection.check", `{"targetContext":{"reconsent":true}}`)

	s.kinds(sim, tenant.Workspace)

	// Strangers with something that is no key.
	stray := map[string]string{"wrong token": "tp_" + drawn("stray"), "wrong cookie": drawn("cookie"), "wrong link": strings.ReplaceAll(drawn("link"), "/", "_")}
	for name, secret := range stray {
		s.plant(name, secret)
	}
	s.do("a wrong token", "GET", "/admin/operations", nil, "Authorization", "Bearer "+stray["wrong token"])
	s.do("a wrong password", "GET", "/admin/operations", nil, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("ada:"+stray["wrong token"])))
	browser := s.client
	s.client = &http.Client{CheckRedirect: browser.CheckRedirect}
	s.do("a wrong cookie", "GET", "/admin/operations", nil, "Cookie", "tenantpilot="+url.QueryEscape(stray["wrong cookie"]))
	s.do("a wrong link", "GET", "/sign-in/"+url.PathEscape(stray["wrong link"]), nil)
	s.client = browser

	provided := s.base
	s.base = s.unprovided
	_, made := s.do("POST members/invite", "POST", "/admin/settings/members/invite", url.Values{"email": {"bo@redaction.example"}, "name": {"Bo"}, "sees": {"all"}, "role": {"readonly"}})
	invitation := regexp.MustCompile(`/sign-in/([A-Za-z0-9_-]+)`).FindStringSubmatch(made)
	if invitation == nil {
		t.Fatalf("no invitation: %s", made)
	}
	s.plant("invitation link", invitation[1])
	s.base = provided

	s.tokens()

	// Everything that can be read and taken away.
	if err := s.app.keeper.Sign(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/admin/operations/" + synced + "/evidence", "/admin/operations/" + hostile + "/evidence", "/admin/operations/" + failed + "/evidence", "/admin/t/" + directory + "/evidence",
	} {
		if status, text := s.do("evidence", "GET", path, nil, "Accept", "application/zip"); status != http.StatusOK || !strings.Contains(text, "RunCompleted") {
			t.Errorf("%s: %.300s", path, text)
		}
	}
	for _, path := range []string{
		"/admin/operations", "/admin/audit", "/admin/attempts", "/admin/readiness", "/admin/provider-connections", connection, connection + "/edit",
		connection + "/credential", connection + "/consent", "/admin/tenants/" + directory, "/admin/operations/" + failed, "/admin/operations/" + hostile,
		"/admin/settings/members", "/admin/settings/tokens", "/admin/settings/profile", "/admin/notifications", "/admin/audit/heads",
		"/admin/audit/replay/connection/" + strings.TrimPrefix(connection, "/admin/provider-connections/"), "/admin/audit/replay/run/" + failed,
		"/admin/search?q=" + failed,
	} {
		for _, accept := range []string{"text/html", "application/json", "text/csv"} {
			s.do("GET "+path, "GET", path, nil, "Accept", accept)
		}
	}
	for path, want := range map[string]string{"/metrics": "tenantpilot_starts_total", "/readyz?verbose": `"checks"`} {
		if status, text := s.do("GET "+path, "GET", s.inside+path, nil); status != http.StatusOK || !strings.Contains(text, want) {
			s.t.Errorf("%s: %d %.300s", path, status, text)
		}
	}
	var last, seen int64
	if err := s.app.pool.QueryRow(t.Context(), `select max(position) from audit_log`).Scan(&last); err != nil {
		t.Fatal(err)
	}
	for position := range last {
		path := fmt.Sprintf("/admin/audit/%d", position+1)
		if status, _ := s.program("GET audit event", "GET", path, nil); status == http.StatusOK { // not one of others
			s.do("GET audit event", "GET", path, nil)
			seen++
		}
	}
	if seen < 30 {
		t.Errorf("%d of %d events could be read", seen, last)
	}
	s.do("sign-out", "POST", "/sign-out", url.Values{})
	s.places["the stream"] = append(s.places["the stream"], stream())
}

func (s *session) scenario(sim *graphsim.Server, directory, name string) {
	s.t.Helper()
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest("POST", "/_sim/tenants/"+directory, strings.NewReader(`{"scenario":"`+name+`"}`)))
	if w.Code/100 != 2 {
		s.t.Fatalf("scenario: %d %s", w.Code, w.Body)
	}
}

// listen opens a stream and returns what hands over all that it said.
func (s *session) listen(path string) func() string {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", s.base+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := (&http.Client{Jar: s.client.Jar}).Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("stream: %v %v", res, err)
	}
	said := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(res.Body) // ends with the session
		said <- string(b)
	}()
	return func() string {
		defer cancel()
		select {
		case text := <-said:
			return text
		case <-time.After(10 * time.Second):
			s.t.Error("the stream goes on after the session has ended")
			cancel()
			return <-said
		}
	}
}
