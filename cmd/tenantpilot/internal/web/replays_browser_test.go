package web_test

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestFixOnceAndReplayInTheBrowser goes from the work list to the page where the fix is made, then back and through the preview to the result,
// and lets the busy one start when its connection is free.
func TestFixOnceAndReplayInTheBrowser(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ids := c.refused(t)
	tab, look := c.tab(t, "owner")
	tab.Open(c.server.URL + "/admin/attempts")
	tab.Run(chromedp.Click(`//a[normalize-space()="By reason"]`))
	tab.Until(`document.querySelector(".groups h3")?.innerText === "Admin consent was revoked: 4 attempts in 2 tenants"`)
	look("attempts-groups")
	tab.Run(chromedp.Click(`.work-step a`))
	tab.Until(`location.pathname.endsWith("/consent")`)
	c.mend(t)
	tab.Open(c.server.URL + "/admin/attempts?group=reason")
	tab.Run(chromedp.Click(`//button[normalize-space()="Replay 4 attempts"]`))
	tab.Until(`document.querySelector("#bulk-title")?.innerText === "Replay 3 attempts?"`)
	look("replay-preview")
	tab.Run(chromedp.Click(`.bulk-confirm button`))
	tab.Until(`location.pathname.endsWith("/confirm") && document.querySelector("#bulk-` + ids[3].String() + `")?.innerText.includes("Accepted")`)
	tab.Until(`document.querySelector("#bulk-` + ids[1].String() + `")?.innerText.includes("Busy")`)
	look("replay-done")
	tab.Run(chromedp.Click(`//button[normalize-space()="Start when free"]`))
	tab.Until(`document.body.innerText.includes("Waiting")`)
	if n := c.count(t, `select count(*) from events where name = 'StartReserved'`); n != 1 {
		t.Errorf("%d starts wait, want 1", n)
	}
}

// TestSelectAttemptsInTheBrowser: boxes of the list, by key and by the box in the head; without scripts the same form is there.
func TestSelectAttemptsInTheBrowser(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.refused(t)
	c.mend(t)
	tab, look := c.tab(t, "operator")
	tab.Open(c.server.URL + "/admin/attempts")
	tab.Until(`document.querySelector("#bulk")?.hidden`)
	tab.Run(chromedp.KeyEvent("j"), chromedp.KeyEvent("x"))
	tab.Until(`document.querySelector("#bulk").innerText.includes("1 selected.")`)
	tab.Run(chromedp.Click(`[data-pick-page]`))
	tab.Until(`document.querySelector("#bulk").innerText.includes("4 selected.")`)
	look("attempts-selected")
	tab.Run(chromedp.Click(`//button[normalize-space()="Replay attempts"]`))
	tab.Until(`document.querySelector("#bulk-title")?.innerText === "Replay 3 attempts?"`)
	tab.Run(emulation.SetScriptExecutionDisabled(true))
	tab.Open(c.server.URL + "/admin/attempts")
	tab.Run(
		chromedp.Click(`[name=attempt]`), chromedp.Click(`//button[normalize-space()="Replay attempts"]`), chromedp.WaitVisible(`.bulk-confirm button`),
		chromedp.Click(`.bulk-confirm button`), chromedp.WaitVisible(`//span[text()="Accepted"]`),
	)
}
