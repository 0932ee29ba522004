package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/browsertest"
)

// signInLink draws a link for one of the demo's users.
func (f demoFile) signInLink(t testing.TB, role string) string {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), f.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var person uuid.UUID
	for _, u := range f.Users {
		if u.Role == role {
			if err := pool.QueryRow(t.Context(), `select id from people where email = $1`, u.Email).Scan(&person); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	link, err := auth.New(pool, auth.Config{}).IssueSignInLink(t.Context(), person, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return f.BaseURL + link
}

func (f demoFile) connection(t testing.TB, scenario string) string {
	t.Helper()
	return fmt.Sprintf("/admin/provider-connections/%d", *f.tenant(t, scenario).ConnectionID)
}

type shownConnection struct {
	DisplayName, ConnectionType, EffectiveAppID string
	State                                       struct{ Lifecycle, ConsentStatus, VerificationStatus string }
}

func (f demoFile) shown(t testing.TB, path string) (c shownConnection, etag string) {
	t.Helper()
	return c, f.ask(t, "owner", http.MethodGet, path, "", nil, &c).Header.Get("ETag")
}

// TestConnectionsInTheBrowser is a manager's way: the list, a connection disabled after a question that Cancel answers by default, its
// credential rotated and verified anew, and a form that somebody else was quicker with.
func TestConnectionsInTheBrowser(t *testing.T) {
	f := runningDemo(t)
	browser := browsertest.Start(t)
	tab := browser.Page(t)
	look := func(name string) { tab.LookAround("console-" + name) }
	signIn := func(role, until string) {
		t.Helper()
		tab.Open(f.signInLink(t, role))
		tab.Run(chromedp.Click(`form button`))
		tab.Until(until)
	}
	tab.Look(1440, browsertest.Light)
	signIn("owner", `location.pathname === "/admin/operations" && document.querySelector("#counters")`)
	tab.Open(f.BaseURL + "/admin/provider-connections")
	look("connections")
	tab.Open(f.BaseURL + "/admin/provider-connections?verification=blocked")
	tab.Until(`document.querySelectorAll("tbody tr").length >= 1 && document.querySelector(".chip")`)

	here := f.connection(t, "verification_unknown")
	tab.Open(f.BaseURL + here)
	look("connection")

	// Disable: the question names the object and the consequence, Cancel has the focus and does nothing.
	ask := `//div[@class="actions"]//a[normalize-space()="Disable"]`
	tab.Run(chromedp.Click(ask))
	tab.Until(`document.querySelector("#dialog[open] #start-title")?.textContent.includes("Disable Humongous Insurance platform?")`)
	tab.Until(`document.activeElement.textContent.trim() === "Cancel"`)
	look("disable")
	tab.Run(chromedp.KeyEvent("\r"))
	tab.Until(`!document.querySelector("#dialog").open`)
	if c, _ := f.shown(t, here); c.State.Lifecycle != "enabled" {
		t.Error("Cancel disabled the connection")
	}
	tab.Run(chromedp.Click(ask))
	tab.Until(`document.querySelector("#dialog[open] input[name=reason]")`)
	if !browsertest.Eval[bool](tab, `document.querySelector("#dialog input[name=reason]").required`) {
		t.Error("a reason is not required")
	}
	tab.Run(chromedp.SendKeys(`#dialog input[name=reason]`, "Key ceremony"), chromedp.Click(`#dialog button[type=submit]`))
	tab.Until(`location.search === "?done=disable" && document.querySelector(".banner")?.textContent.includes("is disabled")`)
	tab.Until(`document.querySelector("#connection-history").innerText.includes("Key ceremony")`)
	if c, _ := f.shown(t, here); c.State.Lifecycle != "disabled" {
		t.Error("the connection is not disabled")
	}
	look("disabled")
	tab.Run(chromedp.Click(`//div[@class="actions"]//a[normalize-space()="Enable"]`))
	tab.Until(`document.querySelector("#dialog[open] button[type=submit]")`)
	tab.Run(chromedp.Click(`#dialog button[type=submit]`))
	tab.Until(`location.search === "?done=enable"`)

	// Rotate the credential, then check: the worker signs in with what was sealed. A wrong one is found out, the right one works.
	rotate := func(secret string) {
		t.Helper()
		tab.Open(f.BaseURL + here + "/credential")
		tab.Run(chromedp.SendKeys(`textarea[name=secret]`, secret), chromedp.Click(`form button[type=submit]`))
		tab.Until(`location.search === "?done=credential" && document.querySelector(".banner")?.textContent.includes("reset to unknown")`)
		tab.Run(chromedp.Click(`//div[contains(@class,"banner")]//button[normalize-space()="Check now"]`))
		tab.Until(`document.querySelector('[data-outcome="accepted"]')`)
		tab.Open(f.BaseURL + here)
	}
	rotate("not-the-secret")
	tab.Until(`document.querySelector("#connection-header").innerText.includes("Blocked") || document.querySelector("#connection-header").innerText.includes("Error")`)
	rotate(demoSecret)
	tab.Until(`document.querySelector("#connection-header").innerText.includes("Healthy")`) // by the event stream
	look("verified")

	// Two people edit.
	tab.Open(f.BaseURL + here + "/edit")
	look("edit")
	c, etag := f.shown(t, here)
	f.put(t, here, etag, map[string]string{"displayName": "Humongous Europe", "connectionType": c.ConnectionType, "appId": c.EffectiveAppID})
	tab.Allow("status of 412")
	tab.Run(chromedp.SetValue(`input[name=displayName]`, "Humongous Nordics"), chromedp.Click(`main form button[type=submit]`))
	tab.Until(`document.querySelector(".conflict")?.innerText.includes("Humongous Europe") && document.querySelector(".conflict").innerText.includes("Humongous Nordics")`)
	look("conflict")
	tab.Run(chromedp.Click(`//button[normalize-space()="Apply mine"]`))
	tab.Until(`location.search === "?done=saved" && document.querySelector("h1").innerText === "Humongous Nordics"`)
	if c, _ := f.shown(t, here); c.State.VerificationStatus != "healthy" {
		t.Errorf("a new name reset the verification to %s", c.State.VerificationStatus)
	}

	// The platform's people see the same, and nothing else.
	tab = browser.Page(t)
	signIn("platform", `document.body.innerText.includes("System")`)
	tab.Open(f.BaseURL + "/system/directory/tenants")
	look("directory")
	tab.Open(f.BaseURL + fmt.Sprintf("/system/directory/tenants/%d", f.tenant(t, "permission_missing").ID))
	tab.Until(`document.body.innerText.includes("permission missing")`)
	look("directory-tenant")
}

func (f demoFile) put(t testing.TB, path, etag string, body map[string]string) {
	t.Helper()
	fields := make([]string, 0, len(body))
	for k, v := range body {
		fields = append(fields, fmt.Sprintf("%q:%q", k, v))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, f.BaseURL+path, strings.NewReader("{"+strings.Join(fields, ",")+"}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.tokenOf("manager"))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-Match", etag)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %s", path, res.Status)
	}
}
