package web_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/browsertest"
	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/domain"
)

// TestAStartIsKeptInTheBrowser: the session ends while somebody looks at the start form. They press the button, sign in, see what they were
// about to start, and press again.
func TestAStartIsKeptInTheBrowser(t *testing.T) {
	t.Parallel()
	c := newConsoleFor(t, auth.Config{BreakGlass: true}, func(*web.Config) {})
	must(t, c.auth.SetBreakGlass(t.Context(), c.people["operator"], glassPassword))
	tab := browsertest.Start(t).Page(t)
	tab.Look(1440, browsertest.Light)
	tab.Allow("401")
	link, err := c.auth.IssueSignInLink(t.Context(), c.people["operator"], time.Hour)
	must(t, err)
	tab.Open(c.server.URL + link)
	tab.Run(chromedp.Click(`form button`))
	tab.Until(`location.pathname === "/admin/operations"`)
	tab.Open(c.server.URL + "/admin/t/" + c.contoso.ExternalID.String() + "/start?operation=" + string(domain.OpGroupsSync))
	tab.Until(`document.querySelector("#start-body form")`)
	_, err = c.pool.Exec(t.Context(), `delete from sessions`)
	must(t, err)
	tab.Run(chromedp.Click(`#start-body form button[type=submit]`))
	tab.Until(`location.pathname === "/sign-in" && document.querySelector(".sign-in").innerText.includes("What you filled in is kept")`)
	tab.Axe()
	tab.Run(
		chromedp.Click(`.break-glass summary`),
		chromedp.WaitVisible(`#break-glass-email`),
		chromedp.SendKeys(`#break-glass-email`, "operator@example.test"),
		chromedp.SendKeys(`#break-glass-password`, glassPassword+"\r"),
	)
	tab.Until(`location.pathname === "/kept-form"`)
	tab.Until(`document.querySelector(".kept").innerText.includes("Nothing has happened yet")`)
	tab.Axe()
	tab.Screenshot("kept-start.png")
	if n := c.count(t, `select count(*) from events where name = 'RunAccepted'`); n != 0 {
		t.Errorf("%d runs before it was sent", n)
	}
	tab.Run(chromedp.Click(`.kept button[type=submit]:not([form])`))
	tab.Until(`document.body.innerText.includes("View run")`)
	if n := c.count(t, `select count(*) from events where name = 'RunAccepted'`); n != 1 {
		t.Errorf("%d runs", n)
	}
	if offences := tab.Offences(); len(offences) > 0 {
		t.Errorf("the page: %v", offences)
	}
}
