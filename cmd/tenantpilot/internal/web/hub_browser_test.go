package web_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
	"tenantpilot/domain"
)

// tab is a browser in which somebody is signed in.
func (c *console) tab(t *testing.T, name string) (*browsertest.Page, func(string)) {
	t.Helper()
	tab := browsertest.Start(t).Page(t)
	tab.Look(1440, browsertest.Light)
	link, err := c.auth.IssueSignInLink(t.Context(), c.people[name], time.Hour)
	must(t, err)
	tab.Open(c.server.URL + link)
	tab.Run(chromedp.Click(`form button`))
	tab.Until(`location.pathname === "/admin/operations" && document.querySelector("#counters")`)
	return tab, func(shot string) { tab.LookAround("hub-" + shot) }
}

// TestSelectAndCancelManyInTheBrowser: a selection pauses the list and says so, clearing it catches up, and the bulk action is previewed,
// confirmed and told run by run.
func TestSelectAndCancelManyInTheBrowser(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	past := c.history(t)
	running, ended := past[3], past[0]
	tab, look := c.tab(t, "owner")
	state := func(s string) string { return `document.querySelector("#live").dataset.state === "` + s + `"` }
	row := func(n int64) string { return "#run-" + strconv.FormatInt(n, 10) }
	tab.Until(state("live"))
	tab.Until(`document.querySelector("#bulk").hidden`)

	// Select by key; meanwhile the run begins, and the list holds still until the selection is cleared.
	tab.Run(chromedp.KeyEvent("j"), chromedp.KeyEvent("x"))
	tab.Until(state("paused") + ` && document.querySelector("#bulk").innerText.includes("1 selected. Updates paused.")`)
	look("selected")
	c.work(t)
	still := browsertest.Eval[bool](tab, `new Promise(done => setTimeout(() => done(!document.querySelector("`+row(running)+`").innerText.includes("Running")), 1500))`)
	if !still {
		t.Error("the list moved while a run was selected")
	}
	tab.Run(chromedp.KeyEvent("x"))
	tab.Until(state("live") + ` && document.querySelector("#bulk").hidden`)
	tab.Until(`document.querySelector("` + row(running) + `").innerText.includes("Running")`)
	if !browsertest.Eval[bool](tab, `document.activeElement.matches("`+row(running)+` .row-link")`) {
		t.Error("the focus was lost when the list caught up")
	}

	// The panel at the side: by key, with an address of its own, closed by Escape, the focus back on the row.
	tab.Run(chromedp.KeyEvent("o"))
	tab.Until(`document.activeElement.id === "peek-title" && location.search === "?peek=` + strconv.FormatInt(running, 10) + `"`)
	look("peek")
	tab.Run(chromedp.KeyEvent(kb.Escape))
	tab.Until(`!document.querySelector(".peek") && location.search === "" && document.activeElement.matches("` + row(running) + ` .row-link")`)
	tab.Run(chromedp.KeyEvent(" "))
	tab.Until(`document.activeElement.id === "peek-title"`)
	tab.Run(chromedp.Click(`[data-peek-close]`))
	tab.Until(`!document.querySelector(".peek")`)

	// All of the page with the box in the head, then a range taken out with shift.
	tab.Run(chromedp.Click(`[data-pick-page]`))
	tab.Until(`document.querySelectorAll("[name=run]:checked").length === ` + strconv.Itoa(len(past)))
	tab.Run(chromedp.Click(`[data-pick-none]`))
	tab.Until(`document.querySelectorAll("[name=run]:checked").length === 0 && ` + state("live"))
	tab.Run(chromedp.Click(row(running)+` [name=run]`), chromedp.Click(row(ended)+` [name=run]`))
	tab.Until(`document.querySelector("#bulk").innerText.includes("2 selected")`)
	tab.Run(chromedp.Click(`#bulk [value=cancel]`))
	tab.Until(`location.pathname === "/admin/operations/bulk" && document.querySelector("#bulk-title").innerText === "Cancel 2 runs?"`)
	look("bulk-preview")
	tab.Run(chromedp.Click(`.bulk-confirm button`))
	tab.Until(`location.pathname === "/admin/operations/bulk/confirm"`)
	tab.Until(`document.querySelector("#bulk-` + strconv.FormatInt(running, 10) + `").innerText.includes("Cancel requested")`)
	tab.Until(`document.querySelector("#bulk-` + strconv.FormatInt(ended, 10) + `").innerText.includes("Nothing to do")`)
	look("bulk-done")
}

// TestHoldInTheBrowser: the dialog names the object and the consequence, and its focus is on what does nothing.
func TestHoldInTheBrowser(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	tab, look := c.tab(t, "owner")
	hub := "/admin/t/" + c.contoso.ExternalID.String() + "/operations"
	tab.Open(c.server.URL + hub)
	tab.Run(chromedp.Click(`//a[normalize-space()="Hold tenant"]`))
	tab.Until(`document.querySelector("#dialog").open && document.activeElement.matches("[data-close]") && document.activeElement.innerText === "Cancel"`)
	look("hold-dialog")
	tab.Run(chromedp.SendKeys("#hold-reason", "Change freeze"), chromedp.Click(`//div[@id="start-body"]//button[normalize-space()="Hold Contoso"]`))
	tab.Until(`location.pathname === "` + hub + `" && document.querySelector("#holds").innerText.includes("is on hold: Change freeze")`)
	look("held")
}

// TestTheHubWithoutScripts: peek, selection, views and columns are links and forms.
func TestTheHubWithoutScripts(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync).RunNumber
	tab, _ := c.tab(t, "operator")
	tab.Run(emulation.SetScriptExecutionDisabled(true))
	tab.Open(c.server.URL + "/admin/operations")
	n := strconv.FormatInt(run, 10)
	tab.Run(
		chromedp.Click(`#run-`+n+` .peek-link`), chromedp.WaitVisible(`#peek-`+n), chromedp.Click(`[data-peek-close]`), chromedp.WaitNotPresent(`#peek-`+n),
		chromedp.Click(`.columns-button`), chromedp.Click(`#columns-menu [value=tenant]`), chromedp.Click(`#columns-menu form button`),
		chromedp.WaitNotPresent(`th.run-tenant`), chromedp.WaitVisible(`th.run-started`),
		chromedp.Click(`.views-button`), chromedp.SendKeys(`#view-name`, "Mine"), chromedp.Click(`#views-menu form button`), chromedp.WaitVisible(`.open-view`),
		chromedp.Click(`#run-`+n+` [name=run]`), chromedp.Click(`#bulk [value=cancel]`), chromedp.WaitVisible(`#bulk-`+n),
		chromedp.Click(`.bulk-confirm button`), chromedp.WaitVisible(`//tr[@id="bulk-`+n+`"]//span[text()="Cancelled"]`),
	)
}
