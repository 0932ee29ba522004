package web_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
)

// visit signs a browser in.
func (c *console) visit(t *testing.T, name string) *browsertest.Page {
	t.Helper()
	tab := browsertest.Start(t).Page(t)
	tab.Look(1440, browsertest.Light)
	link, err := c.auth.IssueSignInLink(t.Context(), c.people[name], time.Hour)
	must(t, err)
	tab.Open(c.server.URL + link)
	tab.Run(chromedp.Click(`form button`))
	tab.Until(`location.pathname === "/admin/operations" && document.querySelector("#counters")`)
	return tab
}

// TestTheTimeMachineByKeyboard steps through a connection's past with keys alone, compares, and plays; the address is always the view's.
func TestTheTimeMachineByKeyboard(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.tell(t)
	tab := c.visit(t, "readonly")
	tab.Open(c.server.URL + replayPath("connection", c.conn.Number))
	steps := browsertest.Eval[int](tab, `Number(document.querySelector('#machine [name=step]').max)`)
	at := func(step int) {
		t.Helper()
		tab.Until(fmt.Sprintf(`document.querySelector('#machine-view').dataset.step === '%d' && document.querySelector('#machine [name=step]').value === '%d'
			&& document.querySelector('#machine [name=step]').getAttribute('aria-valuetext').startsWith('event %d of %d, 20')`, step, step, step, steps))
	}
	at(steps)
	tab.Until(`document.querySelector('.past').innerText.includes('newest event')`)
	tab.Run(chromedp.KeyEvent(kb.ArrowLeft))
	at(steps - 1)
	tab.Until(`document.querySelector('.past .axes').innerText.includes('Enabled') && location.search.startsWith('?at=')`)
	tab.Run(chromedp.KeyEvent(kb.ArrowRight))
	at(steps)
	tab.Until(`document.querySelector('.past .axes').innerText.includes('Disabled')`)
	tab.Run(chromedp.KeyEvent(kb.Home))
	at(1)
	tab.Run(chromedp.KeyEvent("b"))
	tab.Until(`document.querySelector('.past [role="status"]')?.innerText.startsWith('0 fields differ') && location.search.includes('base=')`)
	tab.Run(chromedp.KeyEvent(kb.End))
	at(steps)
	tab.Until(`document.querySelectorAll('.past tr.changed').length > 2 && document.querySelector('.changed-mark')`)
	tab.Axe()
	tab.Screenshot("console-replay-compare.png")
	// The slider is a native one: focused, its arrows move it, and it keeps the focus.
	tab.Run(chromedp.Focus(`#machine [name=step]`), chromedp.KeyEvent(kb.Home))
	at(1)
	tab.Run(chromedp.KeyEvent(kb.ArrowRight))
	at(2)
	tab.Until(`document.activeElement.matches('#machine [name=step]') && location.search.includes('base=')`)
	tab.Run(chromedp.Click(`[data-travel="clear"]`))
	tab.Until(`!document.querySelector('.past tr.changed') && !location.search.includes('base=')`)
	tab.Run(chromedp.SetValue(`[data-play-speed]`, "16"), chromedp.Blur(`[data-play-speed]`), chromedp.Focus(`#machine [name=step]`), chromedp.KeyEvent("p"))
	at(steps)
	tab.Until(`document.querySelector('[data-play]').getAttribute('aria-pressed') === 'false'`)
	// What the address says is what a reload shows.
	tab.Run(chromedp.KeyEvent(kb.ArrowLeft))
	at(steps - 1)
	tab.Open(browsertest.Eval[string](tab, `location.href`))
	at(steps - 1)
}

// TestTheTimeMachineWithoutScripts steps by links and by the slider's form.
func TestTheTimeMachineWithoutScripts(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.tell(t)
	tab := c.visit(t, "readonly")
	tab.Run(emulation.SetScriptExecutionDisabled(true))
	tab.Open(c.server.URL + replayPath("connection", c.conn.Number))
	tab.Run(
		chromedp.Click(`[data-travel="first"]`), chromedp.WaitVisible(`//*[contains(@class, "where") and starts-with(., "event 1 of ")]`),
		chromedp.Click(`[data-travel="forward"]`), chromedp.WaitVisible(`//*[contains(@class, "where") and starts-with(., "event 2 of ")]`),
		chromedp.Focus(`#machine [name=step]`), chromedp.KeyEvent(kb.ArrowRight), chromedp.Click(`.slide button`),
		chromedp.WaitVisible(`//*[contains(@class, "where") and starts-with(., "event 3 of ")]`),
		chromedp.WaitNotVisible(`[data-play]`),
	)
}

// TestAuditPagesAreCleanInABrowser looks at the pages as they are with data, in both themes, on a desk and on a phone.
func TestAuditPagesAreCleanInABrowser(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.tell(t)
	tab := c.visit(t, "operator")
	for name, path := range map[string]string{
		"attempts": "/admin/attempts", "attempts-by-reason": "/admin/attempts?group=reason", "receipt": "/admin/attempts/" + run.Attempt.String() + "?again=1",
		"audit": "/admin/audit", "event": c.eventOf(t, c.conn.ID), "replay-run": replayPath("run", run.RunNumber), "replay-tenant": replayPath("tenant", c.contoso.Number),
		"replay-raw": replayPath("connection", c.conn.Number) + "?show=raw", "attempts-empty": "/admin/attempts?tenant=nobody", "audit-empty": "/admin/audit?from=2099-01-01",
	} {
		tab.Open(c.server.URL + path)
		tab.LookAround("console-" + name)
	}
}
