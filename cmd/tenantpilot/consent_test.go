package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
)

// TestConsentInTheBrowser walks admin consent as a person does: ask, be sent to the (simulated) provider's page, accept, come back, be checked,
// start. Then an administrator who declines, and one who answers for another directory.
func TestConsentInTheBrowser(t *testing.T) {
	f := ownDemo(t, t.TempDir())
	tab := browsertest.Start(t).Page(t)
	tab.Allow(f.BaseURL) // the simulator's page leads back to the console, which is another host
	look := func(name string) { tab.LookAround("consent-" + name) }
	tab.Look(1440, browsertest.Light)
	tab.Open(f.SignInURL)
	tab.Run(chromedp.Click(`form button`))
	tab.Until(`location.pathname === "/admin/operations"`)

	answer := func(tenant demoFileTenant, shot, with string) {
		t.Helper()
		tab.Open(fmt.Sprintf("%s/admin/provider-connections/%d/consent", f.BaseURL, *tenant.ConnectionID))
		if shot != "" {
			look("page")
		}
		tab.Run(chromedp.Click(`//button[contains(., "Make")]`))
		tab.Until(`document.querySelector("#consent-open")`)
		if shot != "" {
			look("link")
		}
		tab.Open(browsertest.Eval[string](tab, `document.querySelector("#consent-open").href`))
		tab.Run(chromedp.Click(`button[value="` + with + `"]`))
		tab.Until(`location.pathname.endsWith("/consent") || location.pathname.endsWith("/callback")`)
	}

	tab.Open(f.BaseURL + "/admin/readiness")
	tab.Until(`document.querySelector(".matrix [data-status=blocked]")`)
	tab.Run(chromedp.Focus(`.matrix [data-status=blocked]`))
	look("readiness")
	tab.Run(chromedp.Click(`//nav[@aria-label="Filter by reason"]/a[contains(., "Admin consent has not been given")]`))
	tab.Until(`location.search === "?reason=provider_consent_missing" && document.querySelector(".matrix").innerText.includes("Litware")`)

	litware := f.tenant(t, "consent_required")
	// The refused start leads to the page.
	tab.Open(f.BaseURL + "/admin/t/" + litware.ExternalID + "/start?operation=directory_groups.sync")
	tab.Run(chromedp.Click(`form[data-start] [type=submit]`))
	tab.Until(`document.querySelector('[data-outcome="blocked"] a[href$="/consent"]')`)
	answer(litware, "shots", "accept")
	tab.Until(`document.body.innerText.includes("Consent is granted")`)
	look("granted")
	page := fmt.Sprintf("%s/admin/provider-connections/%d/consent", f.BaseURL, *litware.ConnectionID)
	for range 50 {
		tab.Open(page)
		if browsertest.Eval[bool](tab, `document.body.innerText.includes("Healthy")`) {
			break
		}
	}
	tab.Until(`document.body.innerText.includes("Healthy")`)
	tab.Open(f.BaseURL + "/admin/tenants/" + litware.ExternalID)
	tab.Until(`/(\d+) of \1 needed permissions granted/.test(document.body.innerText)`)
	look("truth")
	tab.Run(chromedp.Click(`section[aria-labelledby="runs-title"] .row-link`))
	tab.Until(`location.pathname.startsWith("/admin/operations/") && document.querySelector("#run-permissions-title")`)
	look("report")
	gdi := f.tenant(t, "verification_pending")
	tab.Open(f.BaseURL + "/admin/tenants/" + gdi.ExternalID)
	tab.Until(`document.querySelector("[id^=connection-row]").innerText.includes("Refresh")`)
	look("pending")
	if o := f.start(t, "consent_required", "directory_groups.sync"); o.Status != "accepted" {
		t.Errorf("after consent: %+v", o)
	}

	proseware := f.tenant(t, "consent_revoked")
	answer(proseware, "", "cancel")
	tab.Until(`document.body.innerText.includes("provider_consent_denied")`)
	look("declined")

	coho := f.tenant(t, "consent_failed")
	post(t, f.GraphURL+"/_sim/tenants/"+coho.ExternalID, `{"scenario": "consent_elsewhere"}`)
	answer(coho, "", "accept")
	tab.Until(`document.body.innerText.includes("tenant_target_mismatch")`)
	if o := f.start(t, "consent_failed", "directory_groups.sync"); o.Status != "blocked" {
		t.Errorf("after another directory's consent: %+v", o)
	}
	tab.Open(f.BaseURL + "/consent/callback?state=made-up&admin_consent=True")
	tab.Until(`document.body.innerText.includes("no longer valid")`)
	look("ignored")
}
