package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/auth/idptest"
	"tenantpilot/migrations/pgtest"
)

// TestServeWithAnIdentityProvider configures the console by its environment, starts it while the provider is down, and signs in as a browser does,
// over both programs' real addresses.
func TestServeWithAnIdentityProvider(t *testing.T) {
	idp := idptest.New(t)
	idp.Down = true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	idp.Redirect = base + "/sign-in/oidc/callback"
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(idptest.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"OIDC_ISSUER": idp.URL, "OIDC_CLIENT_ID": idptest.ClientID, "OIDC_CLIENT_SECRET_FILE": secret, "OIDC_NAME": "Contoso ID", "PUBLIC_URL": base + "/",
	} {
		t.Setenv("TENANTPILOT_"+name, value)
	}
	cfg, err := loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	provider, err := cfg.oidc()
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApp(t.Context(), options{
		databaseURL: pgtest.New(t).AppURL, publicURL: cfg.PublicURL, oidc: provider, lazyDisk: true, log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.serve(ctx, listener, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		a.Close()
	})
	if _, err := a.auth.CreatePerson(t.Context(), "ada@example.test", "Ada", false); err != nil {
		t.Fatal(err)
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second}
	get := func(address string) (int, string, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Request.URL.Path, string(body)
	}
	if status, _, page := get(base + "/sign-in"); status != http.StatusOK || !strings.Contains(page, "Sign in with Contoso ID") {
		t.Errorf("the sign-in page while the provider is down: %d", status)
	}
	if status, _, page := get(base + "/sign-in/oidc"); status != http.StatusServiceUnavailable || !strings.Contains(page, "Contoso ID cannot be reached") {
		t.Errorf("begin while the provider is down: %d", status)
	}
	idp.Down = false
	var status int
	var path, page string
	for deadline := time.Now().Add(15 * time.Second); status != http.StatusOK && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		status, path, page = get(base + "/sign-in/oidc?next=/")
	}
	if status != http.StatusOK || path != "/" || !strings.Contains(page, "No workspace yet") {
		t.Errorf("signed in: %d at %s", status, path)
	}
}
