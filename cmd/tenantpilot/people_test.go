package main

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tenantpilot/migrations/pgembed"
)

// installation is a server with an empty database, and the programs on it as other processes.
type installation struct {
	t   *testing.T
	env []string
}

func (i installation) command(args ...string) *exec.Cmd { return process(i.t, i.env, args...) }

func (i installation) run(args ...string) string {
	i.t.Helper()
	var said strings.Builder
	cmd := i.command(args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		i.t.Fatalf("tenantpilot %s: %v\n%s%s", strings.Join(args, " "), err, out, said.String())
	}
	return string(out)
}

// signIn uses a link as a browser does.
func signIn(t *testing.T, base, link string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second}
	parsed, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+parsed.Path, strings.NewReader("next=/"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", base)
	res, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("signed in with %s: %d", parsed.Path, res.StatusCode)
	}
	return browser
}

// answers says how a page answers; it waits a little for the read models.
func answers(t *testing.T, browser *http.Client, address string, want int) {
	t.Helper()
	var status int
	for deadline := time.Now().Add(15 * time.Second); status != want && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		status = res.StatusCode
	}
	if status != want {
		t.Errorf("%s answers %d, not %d", address, status, want)
	}
}

// TestAnInstallationFromNothing goes the way of docs/operations.md, from an empty database to the people who work with it.
func TestAnInstallationFromNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, err := pgembed.Start(t.Context(), pgembed.Config{DataDir: filepath.Join(dir, "server")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	owner := installation{t, []string{"TENANTPILOT_DATA_DIR=" + dir, "TENANTPILOT_DATABASE_URL=" + server.OwnerURL(pgembed.Database)}}
	owner.run("migrate")
	app := installation{t, []string{
		"TENANTPILOT_DATA_DIR=" + dir, "TENANTPILOT_DATABASE_URL=" + server.AppURL(pgembed.Database), "TENANTPILOT_PUBLIC_URL=https://console.example/",
	}}
	var opened struct{ Workspace, Person, Link string }
	must(t, json.Unmarshal([]byte(app.run("workspace", "create", "Northwind", "--owner", "ada@msp.example", "--owner-name", "Ada Park", "--json")), &opened))
	if !strings.HasPrefix(opened.Link, "https://console.example/sign-in/") {
		t.Errorf("the link leads to %s", opened.Link)
	}
	base := listening(t, app.command("serve", "--listen", "127.0.0.1:0"))
	answers(t, signIn(t, base, opened.Link), base+"/admin/onboarding", http.StatusOK)

	metrics := saying(t, app.command("work", "--metrics-listen", "127.0.0.1:0"), "metrics at ")
	answers(t, http.DefaultClient, metrics, http.StatusOK)
	answers(t, http.DefaultClient, strings.TrimSuffix(metrics, "metrics")+"readyz?verbose", http.StatusOK)
	answers(t, http.DefaultClient, strings.TrimSuffix(metrics, "metrics")+"sign-in", http.StatusNotFound)

	again := app.run("people", "link", "ADA@msp.example")
	answers(t, signIn(t, base, strings.TrimSpace(again)), base+"/admin/settings/members", http.StatusOK)

	platform := strings.Split(strings.TrimSpace(app.run("people", "platform", "root@platform.example")), "\n")
	someone := signIn(t, base, platform[len(platform)-1])
	answers(t, someone, base+"/system/directory/tenants", http.StatusOK)
	answers(t, someone, base+"/admin/onboarding", http.StatusNotFound)

	auditor := installation{t, []string{"TENANTPILOT_DATA_DIR=" + dir, "TENANTPILOT_DATABASE_URL=" + server.AuditorURL(pgembed.Database)}}
	if told := auditor.run("audit", "events", "--event", "SignInLinkDrawn"); strings.Count(told, "Drew a link that signs Ada Park in once, at the server") != 2 {
		t.Errorf("the log tells of the links:\n%s", told)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "no e-mail address", []string{"workspace", "create", "Other", "--owner", "nobody"}},
		{exitUsage, "one argument", []string{"workspace", "create", "--owner", "ada@msp.example"}},
		{exitUsage, "name", []string{"workspace", "create", "", "--owner", "new@msp.example"}},
		{exitNotFound, "no such person", []string{"people", "link", "new@msp.example"}},
		{exitError, "in no workspace", []string{"workspace", "create", "Other", "--owner", "root@platform.example"}},
		{exitError, "known already", []string{"people", "platform", "ada@msp.example"}},
		{exitNotFound, "no such person", []string{"people", "link", "nobody@msp.example"}},
	} {
		cmd := app.command(c.args...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("tenantpilot %q exits %d and says %s (%v)", c.args, cmd.ProcessState.ExitCode(), out, err)
		}
	}
}
