package main

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
)

// keyboard is a person who has no mouse.
type keyboard struct {
	t   *testing.T
	tab *browsertest.Page
}

// to presses Tab until what has the focus matches a selector.
func (k keyboard) to(selector string) {
	k.t.Helper()
	for range 80 {
		k.tab.Run(chromedp.KeyEvent(kb.Tab))
		if browsertest.Eval[bool](k.tab, `document.activeElement.matches(`+quoted(selector)+`)`) {
			return
		}
	}
	k.t.Fatalf("no Tab leads to %s", selector)
}

func quoted(selector string) string { return "'" + strings.ReplaceAll(selector, "'", `\'`) + "'" }

func (k keyboard) fill(selector, text string) {
	k.t.Helper()
	k.to(selector)
	k.tab.Run(chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)), chromedp.KeyEvent(text))
}

// leaving is how long a page takes to be left: a condition that is waited for on a page that goes away may never be answered.
const leaving = time.Second

func (k keyboard) enter() { k.tab.Run(chromedp.KeyEvent(kb.Enter), chromedp.Sleep(leaving)) }

// ctrlEnter is Ctrl-Enter as a keyboard sends it. chromedp.KeyEvent adds a character that the page cannot prevent: it sends the form once more.
func ctrlEnter(t input.KeyType) chromedp.Action {
	enter := kb.Keys['\r']
	return input.DispatchKeyEvent(t).WithKey(enter.Key).WithCode(enter.Code).WithModifiers(input.ModifierCtrl).
		WithWindowsVirtualKeyCode(enter.Windows).WithNativeVirtualKeyCode(enter.Native)
}

// on continues, wherever the focus is. On a busy machine the browser sometimes loses the keys; like anybody, this presses them again when
// nothing has happened for a while.
func (k keyboard) on() {
	k.t.Helper()
	browsertest.Eval[bool](k.tab, `window.here = true`)
	for range 4 {
		k.tab.Run(ctrlEnter(input.KeyRawDown), ctrlEnter(input.KeyUp))
		for range 50 {
			k.tab.Run(chromedp.Sleep(leaving / 10))
			if left, _ := k.tab.Meets(`!window.here`); left {
				return
			}
		}
	}
	k.t.Fatalf("Ctrl-Enter leads nowhere from %s", browsertest.Eval[string](k.tab, `location.href + " at " + document.activeElement.outerHTML.slice(0, 200) +
		", focus " + document.hasFocus() + ", fields " + [...document.querySelectorAll("form[data-continue] :is(input, select)")].map((i) => i.name + "=" + i.value + " " + i.validity.valid).join("; ")`))
}

// TestOnboardingInTheBrowser brings a directory that nobody manages to its first accepted start, by keyboard alone: identify, connect, ask for
// consent on the simulated provider's page, verify, start, finish. Then a second person meets it.
func TestOnboardingInTheBrowser(t *testing.T) {
	f := ownDemo(t, t.TempDir())
	prospect := demoProspect()
	browser := browsertest.Start(t)
	tab := browser.Page(t)
	tab.Allow(f.BaseURL)
	k := keyboard{t, tab}
	look := func(name string) { tab.LookAround("wizard-" + name) }
	title := func(text string) {
		t.Helper()
		tab.Until(`document.querySelector("#wizard-title")?.innerText.includes("` + text + `")`)
	}
	says := func(text string) {
		t.Helper()
		tab.Until(`document.body.innerText.includes("` + text + `")`)
	}
	tab.Look(1440, browsertest.Light)
	tab.Open(f.signInLink(t, "owner"))
	k.to(`form button`)
	k.enter()
	tab.Until(`location.pathname.startsWith("/admin")`)

	tab.Open(f.BaseURL + "/admin/onboarding")
	tab.Until(`document.querySelector('nav.rail a[href="/admin/onboarding"][aria-current]')`)
	look("empty")
	k.to(`main a[href="/admin/onboarding/new"]`)
	k.enter()
	title("1. Identify tenant")
	k.fill(`[name=entra_tenant_id]`, "fourthcoffee.example")
	k.fill(`[name=name]`, prospect.name)
	k.on()
	says("Give the directory id")
	tab.Until(`document.activeElement.matches("[role=alert]")`)
	look("invalid")
	k.fill(`[name=entra_tenant_id]`, prospect.externalID().String())
	k.fill(`[name=domain]`, prospect.domain)
	k.on()

	title("2. Provider connection")
	look("connection")
	k.to(`[name=connection_type]`) // with the platform's own, which the demo has, there is no credential to enter
	tab.Run(chromedp.KeyEvent("d"))
	tab.Until(`document.querySelector("[name=connection_type]").value === "dedicated"`)
	k.fill(`[name=app_id]`, demoApp)
	browsertest.Eval[bool](tab, `{ // a nervous finger
		const form = document.querySelector("form[data-continue]");
		for (let i = 0; i < 10; i++) setTimeout(() => form.requestSubmit(), 5 * i);
		true
	}`)
	tab.Until(`document.querySelector("[name=secret]")`)
	if n := browsertest.Eval[int](tab, `document.body.innerText.split("Created connection").length - 1`); n != 1 {
		t.Errorf("%d connections were created by continuing twice in haste", n)
	}
	look("secret")
	k.fill(`[name=secret]`, demoSecret)
	k.on()

	title("3. Admin consent")
	k.to(`form[action$="/changes/consent"] button`)
	k.enter()
	tab.Until(`document.querySelector("#consent-open")`)
	look("link")
	k.to(`#consent-open`)
	tab.Open(browsertest.Eval[string](tab, `document.activeElement.href`))
	k.to(`button[value=accept]`)
	k.enter()
	tab.Until(`location.pathname.startsWith("/admin/onboarding/") && location.search === "?step=consent"`)
	says("Consent is granted")
	look("consented")
	k.on()

	// The callback has queued the check that proves the consent, so the verification may be done already.
	title("4. Verify connection")
	tab.Until(`document.querySelector("#wizard-nav a[data-continue]")`)
	tab.Until(`/(\d+) of \1 needed permissions granted/.test(document.body.innerText)`)
	look("verified")
	k.to(`form[action$="/provider-actions/provider.connection.check/start"] button`)
	k.enter()
	tab.Until(`document.querySelector('[data-outcome="accepted"]')`)
	tab.Until(`document.querySelector("#wizard-nav a[data-continue]")`)
	look("again")
	k.on()

	title("5. First operations")
	tab.Until(`document.querySelectorAll("[name=selectedOperations]:checked").length === 2`)
	look("bootstrap")
	k.on()
	tab.Until(`document.querySelector('[data-outcome="accepted"]')`)
	tab.Until(`document.querySelectorAll("#wizard-now .wizard-operations li").length === 2`)
	look("started")
	k.to(`#wizard-nav a[data-continue]`)
	k.enter()
	title("Finish")
	k.on()
	title(prospect.name + " is onboarded")
	says("First three things to do")
	look("finished")
	k.on()
	tab.Until(`location.pathname === "/admin/tenants/` + prospect.externalID().String() + `"`)

	// Who comes later is told, and who may only read can read.
	other := browser.Page(t)
	other.Look(1440, browsertest.Light)
	other.Open(f.signInLink(t, "readonly"))
	other.Run(chromedp.Click(`form button`))
	other.Until(`location.pathname.startsWith("/admin")`)
	other.Open(f.BaseURL + "/admin/onboarding")
	other.Run(chromedp.Click(`details.ended summary`), chromedp.Click(`.ended .row-link`))
	other.Until(`document.querySelector("#wizard-title")?.innerText.includes("is onboarded")`)
	other.Run(chromedp.Click(`a.wizard-step[href$="step=verify"]`))
	other.Until(`document.querySelector("#onboarding-permissions") && !document.querySelector("main form")`)
}
