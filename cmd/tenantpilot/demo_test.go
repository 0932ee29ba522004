package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
)

// theDemo is one running demo that the tests of this package share: the same wiring as `tenantpilot demo`.
var theDemo struct {
	once sync.Once
	file demoFile
	dir  string
	err  error
	stop func() error
}

func runningDemo(t testing.TB) demoFile {
	t.Helper()
	theDemo.once.Do(func() {
		dir, err := os.MkdirTemp("", "tenantpilot-demo-")
		if err != nil {
			theDemo.err = err
			return
		}
		theDemo.dir = dir
		theDemo.file, theDemo.stop, theDemo.err = startDemo(dir)
	})
	if theDemo.err != nil {
		t.Fatal(theDemo.err)
	}
	return theDemo.file
}

// ownDemo is a demo of the test's own, for tests that change what others look at.
func ownDemo(t testing.TB, dir string) demoFile {
	t.Helper()
	f, stop, err := startDemo(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return f
}

// startDemo starts a demo in this process and waits until it is ready.
func startDemo(dir string) (demoFile, func() error, error) {
	ctx, cancel := context.WithCancel(context.Background())
	var out lockedBuffer
	d := &demo{listen: "127.0.0.1:0", dataDir: dir, out: &out, log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
	done := make(chan error, 1)
	go func() { done <- d.run(ctx) }()
	stop := func() error {
		cancel()
		return <-done
	}
	deadline := time.After(60 * time.Second)
	for !strings.Contains(out.String(), "demo is ready") {
		select {
		case err := <-done:
			cancel()
			return demoFile{}, nil, fmt.Errorf("the demo ended: %w", err)
		case <-deadline:
			return demoFile{}, nil, fmt.Errorf("the demo is not ready after 60 s; stopped: %w", stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
	file, err := readDemoFile(filepath.Join(dir, demoFileName))
	return file, stop, err
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (f demoFile) tenant(t testing.TB, scenario string) demoFileTenant {
	t.Helper()
	for _, tenant := range f.Tenants {
		if tenant.Scenario == scenario {
			return tenant
		}
	}
	t.Fatalf("the demo has no tenant %s", scenario)
	return demoFileTenant{}
}

// ask sends a request with a user's token and decodes the JSON answer.
func (f demoFile) ask(t testing.TB, role, method, path, key string, body, into any) *http.Response {
	t.Helper()
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, f.BaseURL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.tokenOf(role))
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, raw)
		}
	}
	return res
}

type outcome struct {
	Status      string
	ShortReason *string
	Run         *struct{ ID int64 }
	NextSteps   []struct{ Label string }
	Code        string
}

func (f demoFile) start(t testing.TB, scenario, operation string) outcome {
	t.Helper()
	var o outcome
	path := "/admin/t/" + f.tenant(t, scenario).ExternalID + "/provider-actions/" + operation + "/start"
	if res := f.ask(t, "operator", http.MethodPost, path, "", nil, &o); res.StatusCode != http.StatusOK {
		t.Fatalf("start on %s: %d %+v", scenario, res.StatusCode, o)
	}
	return o
}

func (f demoFile) waitForEnd(t testing.TB, run int64, within time.Duration) string {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		var d struct {
			ExecutionStatus string
			Outcome         *string
		}
		f.ask(t, "operator", http.MethodGet, fmt.Sprintf("/admin/operations/%d", run), "", nil, &d)
		if d.Outcome != nil {
			return *d.Outcome
		}
		if time.Now().After(deadline) {
			t.Fatalf("run %d is %s after %s", run, d.ExecutionStatus, within)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestDemoAnswersEveryScenario starts on each scenario tenant and compares the gate's answer.
func TestDemoAnswersEveryScenario(t *testing.T) {
	t.Parallel()
	f := runningDemo(t)
	for scenario, want := range map[string]string{
		"disabled": "blocked", "consent_required": "blocked", "consent_revoked": "blocked", "verification_blocked": "blocked",
		"permission_missing": "blocked", "no_connection": "blocked", "credential_expired": "blocked", "on_hold": "blocked", "throttled": "accepted",
	} {
		o := f.start(t, scenario, "directory_groups.sync")
		if o.Status != want {
			t.Errorf("%s: %s, want %s", scenario, o.Status, want)
		}
		if want == "blocked" && (o.ShortReason == nil || len(o.NextSteps) == 0) {
			t.Errorf("%s: blocked without a reason or a next step: %+v", scenario, o)
		}
	}
	if o := f.start(t, "permission_missing", "directory_role_definitions.sync"); o.Status != "accepted" {
		t.Errorf("role definitions need another permission: %s", o.Status)
	}
}

// TestDemoRunsToTheEnd is the product's main job over HTTP: accepted, executed against the simulator, finished; joined and busy meanwhile.
func TestDemoRunsToTheEnd(t *testing.T) {
	t.Parallel()
	f := runningDemo(t)
	slow := f.tenant(t, "slow")
	post(t, f.GraphURL+"/_sim/tenants/"+slow.ExternalID, `{"hold": true}`)
	first := f.start(t, "slow", "directory_groups.sync")
	if first.Status != "accepted" {
		t.Fatalf("first = %+v", first)
	}
	if again := f.start(t, "slow", "directory_groups.sync"); again.Status != "deduped" || again.Run.ID != first.Run.ID {
		t.Errorf("again = %+v, want deduped onto %d", again, first.Run.ID)
	}
	if other := f.start(t, "slow", "directory_role_definitions.sync"); other.Status != "scope_busy" || other.Run.ID != first.Run.ID {
		t.Errorf("other = %+v, want scope_busy with %d", other, first.Run.ID)
	}
	post(t, f.GraphURL+"/_sim/tenants/"+slow.ExternalID, `{"hold": false, "scenario": "healthy"}`)
	if got := f.waitForEnd(t, first.Run.ID, 30*time.Second); got != "succeeded" {
		t.Errorf("run ended %s", got)
	}
	post(t, f.GraphURL+"/_sim/tenants/"+slow.ExternalID, `{"scenario": "slow"}`)
}

func post(t testing.TB, url, body string) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body)) //nolint:noctx // a test's own simulator
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 300 {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("POST %s: %s %s", url, res.Status, b)
	}
}

// TestSixtyFourCallersOneConnection: exactly one accepted, every attempt exactly one receipt.
func TestSixtyFourCallersOneConnection(t *testing.T) {
	t.Parallel()
	f := runningDemo(t)
	var alpine demoFileTenant
	for _, tenant := range f.Tenants {
		if tenant.Name == "Alpine Ski House" {
			alpine = tenant
		}
	}
	post(t, f.GraphURL+"/_sim/tenants/"+alpine.ExternalID, `{"hold": true}`)
	counts := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var run int64
	for i := range 64 {
		wg.Go(func() {
			operation := []string{"directory_groups.sync", "directory_role_definitions.sync"}[i%2]
			var o outcome
			f.ask(t, "operator", http.MethodPost, "/admin/t/"+alpine.ExternalID+"/provider-actions/"+operation+"/start", uuid.NewString(), nil, &o)
			mu.Lock()
			defer mu.Unlock()
			counts[o.Status]++
			if o.Status == "accepted" {
				run = o.Run.ID
			}
		})
	}
	wg.Wait()
	if counts["accepted"] != 1 || counts["deduped"] != 31 || counts["scope_busy"] != 32 {
		t.Errorf("answers = %v; want 1 accepted, 31 deduped, 32 scope_busy", counts)
	}
	post(t, f.GraphURL+"/_sim/tenants/"+alpine.ExternalID, `{"hold": false}`)
	if got := f.waitForEnd(t, run, 30*time.Second); got != "succeeded" {
		t.Errorf("run ended %s", got)
	}
}

// TestConsoleInTheBrowser is a person's way: sign in with the link, start on Contoso, watch it finish live, meet each refusal.
func TestConsoleInTheBrowser(t *testing.T) {
	f := runningDemo(t)
	tab := browsertest.Start(t).Page(t)
	look := func(name string) { tab.LookAround("console-" + name) }
	tab.Look(1440, browsertest.Light)
	tab.Open(f.SignInURL)
	look("sign-in")
	tab.Run(chromedp.Click(`form button`))
	tab.Until(`location.pathname === "/admin/operations" && document.querySelector("#counters")`)
	look("operations")

	tab.Open(f.BaseURL + "/admin/tenants")
	look("tenants")
	contoso := f.tenant(t, "healthy")
	tab.Open(f.BaseURL + "/admin/tenants/" + contoso.ExternalID)
	look("tenant")
	post(t, f.GraphURL+"/_sim/tenants/"+contoso.ExternalID, `{"hold": true}`) // the test decides when the run may end
	tab.Open(f.BaseURL + "/admin/t/" + contoso.ExternalID + "/start?operation=directory_groups.sync")
	look("start")
	tab.Run(chromedp.Click(`form[data-start] [type=submit]`))
	tab.Until(`document.querySelector('[data-outcome="accepted"]')`)
	look("accepted")
	tab.Run(chromedp.Click(`//a[normalize-space()="View run"]`))
	tab.Until(`location.pathname.startsWith("/admin/operations/")`)
	tab.Until(`document.querySelector("#run-header").innerText.includes("Running")`)
	look("running")
	post(t, f.GraphURL+"/_sim/tenants/"+contoso.ExternalID, `{"hold": false}`)
	tab.Until(`document.title.startsWith("Succeeded")`) // by the event stream: the page was not loaded again
	tab.Until(`document.querySelector("#run-outcome").innerText.includes("groups read, nothing written")`)
	look("run")

	litware := f.tenant(t, "consent_required")
	tab.Open(f.BaseURL + "/admin/t/" + litware.ExternalID + "/start?operation=directory_groups.sync")
	tab.Run(chromedp.Click(`form[data-start] [type=submit]`))
	tab.Until(`document.querySelector('[data-outcome="blocked"]')`)
	look("blocked")
	tab.Open(f.BaseURL + "/admin/notifications")
	look("notifications")
	tab.Allow("status of 404")
	tab.Open(f.BaseURL + "/admin/operations/999999")
	tab.Until(`document.body.innerText.includes("nothing here that you can see")`)
}

// TestDemoStartsAgainOnItsData: a second start finds the same people and tenants, the old tokens work, and the sign-in link is fresh.
func TestDemoStartsAgainOnItsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, stop, err := startDemo(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, demoFileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("demo.json: %v, %v; want mode 0600", info.Mode(), err)
	}
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	second, stop, err := startDemo(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}()
	if second.tokenOf("operator") != first.tokenOf("operator") || len(second.Tenants) != len(first.Tenants) || second.SignInURL == first.SignInURL {
		t.Error("the second start has other users or tenants, or the same sign-in link")
	}
	var list struct{ Items []struct{ RunID int64 } }
	if res := second.ask(t, "readonly", http.MethodGet, "/admin/operations", "", nil, &list); res.StatusCode != 200 || len(list.Items) < 10 {
		t.Errorf("operations after the second start: %d, %d runs", res.StatusCode, len(list.Items))
	}
}

// TestRunsAreExportedAsTheListShowsThem: the same filter as JSON and as CSV gives the same runs.
func TestRunsAreExportedAsTheListShowsThem(t *testing.T) {
	t.Parallel()
	f := runningDemo(t)
	var list struct{ Items []struct{ RunID int64 } }
	f.ask(t, "readonly", http.MethodGet, "/admin/operations?outcome=failed&range=7d&format=json", "", nil, &list)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.BaseURL+"/admin/operations?outcome=failed&range=7d&format=csv", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.tokenOf("readonly"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	rows, err := csv.NewReader(res.Body).ReadAll()
	if err != nil || len(list.Items) == 0 || len(rows) != len(list.Items)+1 {
		t.Fatalf("%s: %d rows for %d runs, %v", res.Status, len(rows)-1, len(list.Items), err)
	}
	for i, item := range list.Items {
		if rows[i+1][0] != fmt.Sprint(item.RunID) {
			t.Errorf("row %d is run %s, the list says %d", i, rows[i+1][0], item.RunID)
		}
	}
}
