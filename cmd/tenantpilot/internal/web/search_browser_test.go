package web_test

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
)

// TestTheCommandPaletteByKeyboard opens the palette from anywhere, finds a tenant, goes there, and closes it, with keys alone. Another workspace's
// tenant is not found.
func TestTheCommandPaletteByKeyboard(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	tab := c.visit(t, "readonly")
	const (
		box     = `.palette input[type=search]`
		focused = `document.activeElement === document.querySelector('` + box + `')`
		results = `document.querySelector('#palette-results')`
	)
	open := func() {
		t.Helper()
		tab.Run(chromedp.KeyEvent("k", chromedp.KeyModifiers(input.ModifierCtrl)))
		tab.Until(`document.querySelector('dialog .palette')?.closest('dialog').open && ` + focused)
	}
	open()
	tab.Axe()
	tab.Run(chromedp.KeyEvent(kb.Escape))
	tab.Until(`!document.querySelector('dialog[open]')`)

	open()
	tab.Run(chromedp.KeyEvent("fabri")) // theirs
	tab.Until(`document.querySelector('` + box + `').value === 'fabri'`)
	tab.Until(results + `.innerText.includes('Nothing that you can see is called that.')`)
	if found := browsertest.Eval[string](tab, results+`.innerText`); browsertest.Eval[int](tab, `document.querySelectorAll('.palette-item').length`) != 0 {
		t.Errorf("another workspace's tenant: %s", found)
	}
	tab.Run(chromedp.KeyEvent(kb.Escape)) // empties the box, as browsers do
	tab.Until(`document.querySelector('` + box + `').value === ''`)
	tab.Run(chromedp.KeyEvent(kb.Escape))
	tab.Until(`!document.querySelector('dialog[open]')`)

	open()
	tab.Run(chromedp.KeyEvent("o")) // both of ours and pages
	tab.Until(results + `.innerText.includes('Contoso') && document.querySelectorAll('.palette-item').length > 1`)
	item := func(n string) string {
		return `document.activeElement === document.querySelectorAll('.palette-item')[` + n + `]`
	}
	tab.Run(chromedp.KeyEvent(kb.ArrowDown))
	tab.Until(item("0"))
	tab.Run(chromedp.KeyEvent(kb.ArrowDown))
	tab.Until(item("1"))
	tab.Run(chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.ArrowUp))
	tab.Until(focused)
	tab.Run(chromedp.KeyEvent(kb.Backspace), chromedp.KeyEvent("conto"))
	tenant := "/admin/tenants/" + c.contoso.ExternalID.String()
	tab.Until(`document.querySelector('.palette-item')?.getAttribute('href') === '` + tenant + `'`)
	tab.Run(chromedp.KeyEvent(kb.ArrowDown))
	tab.Until(item("0"))
	tab.Run(chromedp.KeyEvent(kb.Enter))
	tab.Until(`location.pathname === '` + tenant + `' && document.querySelector('h1').innerText.includes('Contoso')`)
}

// TestThePaletteKnowsWhatWasLookedAt: without a query it begins with what this tab showed last, but not provider connections; nobody who signs
// in after finds it, and when the console cannot be reached there are still the pages.
func TestThePaletteKnowsWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	tab := c.visit(t, "readonly")
	contoso, tailspin := "/admin/tenants/"+c.contoso.ExternalID.String(), "/admin/tenants/"+c.tailspn.ExternalID.String()
	for _, path := range []string{contoso, connectionAt(c.conn), tailspin, "/admin/operations"} {
		tab.Open(c.server.URL + path)
	}
	const (
		open  = `document.querySelector('[data-palette]').click()`
		items = `[...document.querySelectorAll('#palette-results h3:first-child + ul .palette-item')].map(a => a.getAttribute('href')).join(' ')`
		begun = `document.querySelector('#palette-results h3')?.innerText === `
	)
	browsertest.Eval[any](tab, open)
	tab.Until(begun + `'Recent' && ` + items + ` === '` + tailspin + ` ` + contoso + `'`)
	tab.Axe()

	tab.Allow("ERR_INTERNET_DISCONNECTED")
	tab.Allow("Failed to fetch")
	reachable := func(yes bool) chromedp.Action {
		return chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := network.EmulateNetworkConditionsByRule([]*network.Conditions{{Offline: !yes, DownloadThroughput: -1, UploadThroughput: -1}}).Do(ctx)
			return err
		})
	}
	tab.Run(chromedp.KeyEvent(kb.Escape), reachable(false))
	browsertest.Eval[any](tab, open)
	tab.Until(`document.querySelector('.palette')?.innerText.includes('the console cannot be reached')
		&& [...document.querySelectorAll('.palette-item')].some(a => a.innerText === 'Readiness')`)
	tab.Run(reachable(true))

	tab.Open(c.server.URL + "/admin/operations")
	browsertest.Eval[any](tab, `document.querySelector('[data-sign-out]').requestSubmit()`)
	tab.Until(`location.pathname === '/sign-in' || location.pathname === '/'`)
	if kept := browsertest.Eval[int](tab, `sessionStorage.length`); kept != 0 {
		t.Errorf("%d things are kept after signing out", kept)
	}
}
