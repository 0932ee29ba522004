package main

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
	"tenantpilot/projections"
)

// mortal is a console that is killed again and again: `tenantpilot serve` as another process, on a server that flushes, with a person's browser.
// Nobody else follows the log, so what was recorded when it died is numbered by its successor.
type mortal struct {
	t      *testing.T
	env    []string
	base   string
	pool   *pgxpool.Pool
	client *http.Client
	serve  *exec.Cmd
	page   string // of the session
	died   int
}

func newMortal(t *testing.T, graphURL string) (m *mortal, signIn string) {
	t.Helper()
	dir := t.TempDir()
	server, err := pgembed.Start(t.Context(), pgembed.Config{DataDir: filepath.Join(dir, "server")})
	must(t, err)
	t.Cleanup(func() { must(t, server.Stop()) })
	_, err = migrations.Apply(t.Context(), server.OwnerURL(pgembed.Database))
	must(t, err)
	drawn, err := secrets.NewKeyset()
	must(t, err)
	keyset := filepath.Join(dir, "keyset.json")
	must(t, os.WriteFile(keyset, drawn, 0o600))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m = &mortal{t: t, base: "http://" + free.Addr().String()}
	must(t, free.Close())
	database := server.AppURL(pgembed.Database)
	m.env = []string{
		"TENANTPILOT_DATABASE_URL=" + database, "TENANTPILOT_KEYSET_FILE=" + keyset, "TENANTPILOT_LISTEN=" + free.Addr().String(),
		"TENANTPILOT_LOGIN_URL=" + graphURL, "TENANTPILOT_GRAPH_URL=" + graphURL,
	}
	m.pool, err = pgxpool.New(t.Context(), database)
	must(t, err)
	t.Cleanup(m.pool.Close)
	jar, err := cookiejar.New(nil)
	must(t, err)
	m.client = &http.Client{Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	a, err := newApp(t.Context(), options{databaseURL: database, keyset: secrets.File(keyset), log: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer a.Close()
	owner, err := a.auth.CreatePerson(t.Context(), "ada@example.test", "Ada", false)
	must(t, err)
	must(t, a.commands.CreateWorkspace(t.Context(), commands.CreateWorkspace{Workspace: uuid.New(), Name: "Ours", Owner: owner}))
	signIn, err = a.auth.IssueSignInLink(t.Context(), owner, time.Hour)
	must(t, err)
	return m, signIn
}

// live starts the console and waits until it listens, and has read what its predecessor left.
func (m *mortal) live() {
	m.t.Helper()
	m.serve = process(m.t, m.env, "serve")
	listening(m.t, m.serve)
	must(m.t, projections.NewReader(m.pool).AwaitNow(m.t.Context(), 60*time.Second))
}

// die kills the console without a word.
func (m *mortal) die() {
	m.t.Helper()
	must(m.t, m.serve.Process.Kill())
	_ = m.serve.Wait()
	m.client.CloseIdleConnections()
	m.died++
}

func (m *mortal) try(method, path, accept string, sent url.Values) (*http.Response, string, error) {
	if !strings.HasPrefix(path, "http") {
		path = m.base + path
	}
	req, err := http.NewRequestWithContext(m.t.Context(), method, path, strings.NewReader(sent.Encode()))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", accept)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", m.base)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	res, err := m.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return res, string(raw), err
}

func (m *mortal) send(method, path string, sent url.Values, status int) (*http.Response, string) {
	m.t.Helper()
	res, text, err := m.try(method, path, "text/html", sent)
	must(m.t, err)
	if res.StatusCode != status {
		m.t.Fatalf("%s %s: %d, want %d: %s", method, path, res.StatusCode, status, regexp.MustCompile(`(?s)<h2.*?</p>`).FindString(text))
	}
	return res, text
}

// wizardAt is how far a session is, as programs are told.
type wizardAt struct {
	State                string
	CurrentStep          string `json:"current_step"`
	ProviderConnectionID *int64 `json:"provider_connection_id"`
	Verification         *struct{ Status string }
}

// resumed brings the console to life again and checks that the wizard is at a step, that its page says so, and what has happened until now.
func (m *mortal) resumed(step, says string, happened map[string]int) wizardAt {
	m.t.Helper()
	m.live()
	at := m.eventually(func(at wizardAt) bool { return at.CurrentStep == step })
	if _, text := m.send(http.MethodGet, m.page, nil, http.StatusOK); !strings.Contains(text, says) {
		m.t.Errorf("at %s the page does not say %q", step, says)
	}
	for event, want := range happened {
		var n int
		must(m.t, m.pool.QueryRow(m.t.Context(), `select count(*) from events where name like $1`, event).Scan(&n))
		if n != want {
			m.t.Errorf("at %s there are %d %s, want %d", step, n, event, want)
		}
	}
	return at
}

// eventually reads the session until it is as it should be: what a console recorded before it died, its successor's read models have in a moment.
func (m *mortal) eventually(is func(wizardAt) bool) (at wizardAt) {
	m.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		res, text, err := m.try(http.MethodGet, m.page, "application/vnd.tenantpilot.onboarding-session+json", nil)
		must(m.t, err)
		at = wizardAt{}
		if res.StatusCode == http.StatusOK {
			must(m.t, json.Unmarshal([]byte(text), &at))
			if is(at) {
				return at
			}
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s is not as it should be: %d %s", m.page, res.StatusCode, text)
		}
	}
}

// torn sends a form to a console that is killed meanwhile. Nobody was told what came of it: the person looks where the wizard is, sends the form
// again where it is not done, and the console is killed once more.
func (m *mortal) torn(path string, sent url.Values, isDone func(wizardAt) bool) {
	m.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = m.try(http.MethodPost, path, "text/html", sent)
	}()
	time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
	m.die()
	<-done
	m.live()
	if at := m.eventually(func(at wizardAt) bool { return at.State == "open" }); !isDone(at) {
		m.send(http.MethodPost, path, sent, http.StatusSeeOther)
		m.t.Logf("%s was not done", path)
	}
	m.die()
}

// TestTheConsoleIsKilledInTheWizard: the console's process is killed after each step that a person takes in the wizard until consent is given, and
// while the first ones are being recorded. Its successor has the person signed in, the wizard at the right step, and everything once; the
// credential that was set opens, and the check that consent queued succeeds.
func TestTheConsoleIsKilledInTheWizard(t *testing.T) {
	t.Parallel()
	sim := graphsim.New(graphsim.Config{})
	graph := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Close(); graph.Close() })
	directory, app, secret := uuid.NewString(), uuid.NewString(), "very~hush-hush.42"
	sim.AddTenant(graphsim.Tenant{ID: directory, Name: "Contoso", AppID: app, Secret: secret, Scenario: graphsim.ScenarioConsentRequired, Groups: 3})
	m, signIn := newMortal(t, graph.URL)
	m.live()
	m.send(http.MethodPost, signIn, url.Values{"next": {"/admin/onboarding"}}, http.StatusSeeOther)
	m.die()

	// The directory is identified.
	m.live()
	res, _ := m.send(http.MethodPost, "/admin/onboarding", url.Values{"entra_tenant_id": {directory}, "name": {"Contoso"}}, http.StatusSeeOther)
	m.page = res.Header.Get("Location")
	m.die()
	at := m.resumed("connection", "Create a connection", map[string]int{"TenantRegistered": 1, "OnboardingStarted": 1, "ProviderConnectionCreated": 0})
	if at.ProviderConnectionID != nil {
		t.Fatalf("there is a connection already: %+v", at)
	}

	// Its connection.
	create := url.Values{"display_name": {"Contoso"}, "connection_type": {"dedicated"}, "app_id": {app}}
	m.torn(m.page+"/connection", create, func(at wizardAt) bool { return at.ProviderConnectionID != nil })
	once := map[string]int{"TenantRegistered": 1, "OnboardingStarted": 1, "ProviderConnectionCreated": 1, "DefaultConnectionChosen": 1, "ConnectionChosen": 1, "CredentialRotated": 0}
	at = m.resumed("connection", "Save credential and continue", once)
	if at.ProviderConnectionID == nil {
		t.Fatalf("the connection is lost: %+v", at)
	}
	connection := fmt.Sprintf("/admin/provider-connections/%d", *at.ProviderConnectionID)

	// Its credential.
	credential := url.Values{"kind": {"secret"}, "secret": {secret}}
	m.torn(m.page+"/changes/credential", credential, func(at wizardAt) bool { return at.CurrentStep != "connection" })
	once["CredentialRotated"] = 1
	m.resumed("consent", "Make consent link", once)

	// The link is shown once, and lost with the page; another is as good.
	ask := func() *url.URL {
		t.Helper()
		_, text := m.send(http.MethodPost, m.page+"/changes/consent", nil, http.StatusOK)
		link, err := url.Parse(html.UnescapeString(regexp.MustCompile(`http://127[^"\s<]+adminconsent[^"\s<]+`).FindString(text)))
		if err != nil || link.Query().Get("state") == "" {
			t.Fatalf("no link: %v %s", err, text)
		}
		return link
	}
	ask()
	m.die()
	once["ConsentRequested"] = 1
	m.resumed("consent", "Make a new link", once)
	link := ask()
	m.die()
	m.resumed("consent", "Make a new link", once)
	answer, err := (&http.Client{CheckRedirect: m.client.CheckRedirect}).PostForm(link.String(), url.Values{"answer": {"accept"}})
	must(t, err)
	must(t, answer.Body.Close())
	back := answer.Header.Get("Location")
	m.send(http.MethodGet, back, nil, http.StatusSeeOther)
	m.die()
	once["ConsentGranted%"], once["ConsentFailed"], once["RunAccepted"], once["VerificationStarted"] = 1, 0, 1, 1
	m.resumed("verify", "Refresh", once)
	_, _, err = m.try(http.MethodGet, back, "text/html", nil) // the page of the answer is loaded again
	must(t, err)
	m.die()
	m.resumed("verify", "Refresh", once)

	// A worker carries the queued check out, with the credential that was set.
	must(t, process(m.t, m.env, "work").Start())
	m.eventually(func(at wizardAt) bool { return at.CurrentStep == "bootstrap" })
	m.die()
	once["RunCompleted"], once["VerificationRecorded"], once["RunRecovered"] = 1, 1, 0
	m.resumed("bootstrap", "Start selected", once)
	var row struct {
		IsDefault bool
		State     struct{ ConsentStatus, VerificationStatus domain.VerificationState }
	}
	_, text, err := m.try(http.MethodGet, connection, "application/vnd.tenantpilot.provider-connection-canonical+json", nil)
	must(t, err)
	must(t, json.Unmarshal([]byte(text), &row))
	if !row.IsDefault || row.State.ConsentStatus != "granted" || row.State.VerificationStatus != "healthy" {
		t.Errorf("in the end: %s", text)
	}
	m.die()
	t.Logf("killed %d times", m.died)
}
