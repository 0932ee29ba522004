package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tenantpilot/cmd/internal/evidence"
)

// download fetches an address with a role's token into a file.
func (f demoFile) download(t testing.TB, role, path, into string) (status int, contentType string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.BaseURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.tokenOf(role))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(into, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type")
}

// page is a page as a browser gets it.
func (f demoFile) page(t testing.TB, role, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.BaseURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.tokenOf(role))
	req.Header.Set("Accept", "text/html")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", path, res.StatusCode, err)
	}
	return string(body)
}

// check runs the auditor's program in an empty environment, somewhere else.
func check(t testing.TB, key string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(tpverify(t), append([]string{"--key", key}, args...)...) //nolint:gosec // built by this test
	cmd.Env, cmd.Dir = []string{}, t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestEvidenceFromTheConsoleIsCheckedOffline runs an operation, downloads its evidence and its tenant's, and gives them to tpverify.
func TestEvidenceFromTheConsoleIsCheckedOffline(t *testing.T) {
	t.Parallel()
	f, dir := runningDemo(t), t.TempDir()
	pub, err := os.ReadFile(filepath.Join(theDemo.dir, logVerifierName))
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(pub))

	// What an auditor keeps today.
	var kept struct{ Heads []evidence.SignedHead }
	f.ask(t, "readonly", "GET", "/admin/audit/heads", "", nil, &kept)
	if len(kept.Heads) == 0 {
		t.Fatal("there are no heads")
	}
	note := filepath.Join(dir, "kept.note")
	if err := os.WriteFile(note, []byte(kept.Heads[0].Note), 0o600); err != nil {
		t.Fatal(err)
	}

	tenant := f.tenant(t, "healthy")
	var started struct{ Run struct{ ID int64 } }
	f.ask(t, "operator", "POST", "/admin/t/"+tenant.ExternalID+"/provider-actions/provider.connection.check/start", "", map[string]any{}, &started)
	run := fmt.Sprintf("/admin/operations/%d", started.Run.ID)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var detail struct{ Outcome *string }
		f.ask(t, "readonly", "GET", run, "", nil, &detail)
		if detail.Outcome != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the run does not end")
		}
	}

	pack := filepath.Join(dir, "run.zip")
	since := fmt.Sprintf("?since=%d", kept.Heads[0].Size)
	if status, kind := f.download(t, "readonly", run+"/evidence"+since, pack); status != http.StatusOK || kind != "application/zip" {
		t.Fatalf("run pack: %d %s", status, kind)
	}
	out, code := check(t, key, "--earlier", note, pack)
	if code != 0 || !strings.Contains(out, "The run's history is there from its first event") || !strings.Contains(out, "still begins with") {
		t.Errorf("run pack: %d\n%s", code, out)
	}
	all := filepath.Join(dir, "tenant.zip")
	if status, _ := f.download(t, "operator", "/admin/t/"+tenant.ExternalID+"/evidence", all); status != http.StatusOK {
		t.Fatalf("tenant pack: %d", status)
	}
	if out, code = check(t, key, all); code != 0 || !strings.Contains(out, "accounted for without a hole") {
		t.Errorf("tenant pack: %d\n%s", code, out)
	}
	proof := filepath.Join(dir, "proof.json")
	if status, _ := f.download(t, "readonly", "/admin/audit/proof/inclusion?position=3", proof); status != http.StatusOK {
		t.Fatalf("inclusion: %d", status)
	}
	if out, code = check(t, key, proof); code != 0 || !strings.Contains(out, "is at position 3") {
		t.Errorf("inclusion: %d\n%s", code, out)
	}
	for path, want := range map[string]string{
		"/admin/audit/3": "In the signed log", "/admin/audit": "Signed heads", "/admin/tenants/" + tenant.ExternalID: `action="/admin/t/` + tenant.ExternalID + `/evidence"`,
	} {
		if text := f.page(t, "readonly", path); !strings.Contains(text, want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
	if status, _ := f.download(t, "readonly", fmt.Sprintf("/admin/audit/proof/consistency?from=%d", kept.Heads[0].Size), proof); status != http.StatusOK {
		t.Fatalf("consistency: %d", status)
	}
	if out, code = check(t, key, "--earlier", note, proof); code != 0 {
		t.Errorf("consistency: %d\n%s", code, out)
	}

	for path, want := range map[string]int{
		"/admin/audit/proof/inclusion":                                                http.StatusBadRequest,
		"/admin/audit/proof/inclusion?position=0":                                     http.StatusBadRequest,
		"/admin/audit/proof/inclusion?position=999999999":                             http.StatusNotFound,
		"/admin/audit/proof/inclusion?position=9&size=8":                              http.StatusNotFound,
		"/admin/audit/proof/consistency?from=x":                                       http.StatusBadRequest,
		"/admin/audit/proof/consistency?from=9&to=8":                                  http.StatusNotFound,
		"/admin/audit/heads?below=-1":                                                 http.StatusBadRequest,
		"/admin/t/" + tenant.ExternalID + "/evidence?from=yesterday":                  http.StatusBadRequest,
		"/admin/t/" + tenant.ExternalID + "/evidence?from=2026-01-02&to=2026-01-01":   http.StatusBadRequest,
		"/admin/t/" + tenant.ExternalID + "/evidence?from=2001-01-01&to=2001-01-02":   http.StatusNotFound,
		"/admin/t/" + tenant.ExternalID + "/evidence?format=csv&since=999999999&to=x": http.StatusBadRequest,
		run + "/evidence?since=999999999":                                             http.StatusNotFound,
		run + "/evidence?format=json":                                                 http.StatusNotAcceptable,
	} {
		if status, kind := f.download(t, "operator", path, proof); status != want || kind != "application/problem+json" {
			t.Errorf("%s: %d %s, want %d", path, status, kind, want)
		}
	}

	metrics := filepath.Join(dir, "metrics")
	f.download(t, "operator", "/metrics", metrics)
	shown, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\ntenantpilot_log_forked 0\n", "\ntenantpilot_log_order_faults_total 0\n", "\ntenantpilot_log_head_position "} {
		if !strings.Contains(string(shown), want) {
			t.Errorf("the metrics lack %q", want)
		}
	}

	// Another key, and a changed file.
	own, err := newLogKey("demo.tenantpilot.example/other", filepath.Join(dir, "own.key"))
	if err != nil {
		t.Fatal(err)
	}
	if out, code = check(t, own.Verifier(), pack); code != 1 || !strings.Contains(out, "FAILED head_forged") {
		t.Errorf("another key: %d\n%s", code, out)
	}
	broken, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	broken[len(broken)/2] ^= 1
	if err := os.WriteFile(pack, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code = check(t, key, pack); code != 1 || !strings.Contains(out, "FAILED ") {
		t.Errorf("a changed byte: %d\n%s", code, out)
	}

	// Both downloads left a trace in the log, with the hash of the file.
	conn, err := pgx.Connect(t.Context(), f.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	file, err := os.ReadFile(all)
	if err != nil {
		t.Fatal(err)
	}
	var runs, tenants int
	err = conn.QueryRow(t.Context(), `select count(*) filter (where payload->>'kind' = 'run' and payload->>'runNumber' <> ''), count(*) filter (where payload->>'digest' = $1)
		from events where name = 'EvidenceExported'`, fmt.Sprintf("%x", sha256.Sum256(file))).Scan(&runs, &tenants)
	if err != nil || runs != 1 || tenants != 1 {
		t.Errorf("%d traces of packs for runs, %d of this tenant's, %v", runs, tenants, err)
	}
}

// TestABackupThatLacksEventsIsNamed restores a dump that is older than a head that was kept.
func TestABackupThatLacksEventsIsNamed(t *testing.T) {
	t.Parallel()
	f, dir := runningDemo(t), t.TempDir()
	dump, note := filepath.Join(dir, "old.dump"), filepath.Join(dir, "later.note")
	d := drill{dataDir: theDemo.dir, keep: dump, out: io.Discard}
	if err := d.run(t.Context()); err != nil || d.report.NextPosition != d.report.Events+1 {
		t.Fatalf("%v, %+v", err, d.report)
	}
	tenant := f.tenant(t, "consent_required") // a refusal is an event too
	f.ask(t, "operator", "POST", "/admin/t/"+tenant.ExternalID+"/provider-actions/directory_groups.sync/start", "", map[string]any{}, nil)
	f.download(t, "operator", "/admin/t/"+tenant.ExternalID+"/evidence", filepath.Join(dir, "x.zip")) // signs
	var kept struct{ Heads []evidence.SignedHead }
	f.ask(t, "readonly", "GET", "/admin/audit/heads", "", nil, &kept)
	if err := os.WriteFile(note, []byte(kept.Heads[0].Note), 0o600); err != nil {
		t.Fatal(err)
	}
	late := drill{dataDir: theDemo.dir, dumpFile: dump, heads: []string{note}, out: io.Discard}
	if err := late.run(t.Context()); err == nil || !strings.Contains(err.Error(), string(evidence.LogTruncated)) {
		t.Errorf("a backup that lacks events passes: %v", err)
	}
}
