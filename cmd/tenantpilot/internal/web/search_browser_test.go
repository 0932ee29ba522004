package web_test

import (
	"testing"

	"github.com/chromedp/cdproto/input"
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
