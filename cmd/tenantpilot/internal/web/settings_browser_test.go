package web_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
	"tenantpilot/domain"
)

// TestTheProfileInABrowser chooses what this device remembers, and signs out elsewhere.
func TestTheProfileInABrowser(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	elsewhere := c.browser(t, "owner")
	tab := c.visit(t, "owner")
	open := func() {
		t.Helper()
		tab.Open(c.server.URL + profilePath)
	}
	open()
	tab.Until(`document.querySelector('.sessions li').innerText.includes('Chrome on Linux') && document.querySelectorAll('.sessions li').length === 2`)
	tab.Until(`document.querySelector('[data-theme-choice][value=system]').checked && document.querySelector('[data-time-choice][value=relative]').checked`)
	tab.Run(chromedp.Click(`[data-theme-choice][value=dark]`), chromedp.Click(`[data-time-choice][value=UTC]`), chromedp.Click(`section [data-shortcuts]`), chromedp.Click(`[data-density-choice][value=comfortable]`))
	changed := `document.documentElement.dataset.density === 'comfortable' && document.documentElement.classList.contains('dark') && /^\d{4}-/.test(document.querySelector('.sessions time').innerText)`
	tab.Until(changed)
	open()
	tab.Until(changed)
	tab.Until(`document.querySelector('[data-theme-choice][value=dark]').checked && document.querySelector('[data-time-choice][value=UTC]').checked
		&& document.querySelector('[data-density-choice][value=comfortable]').checked
		&& [...document.querySelectorAll('[data-shortcuts]')].every(e => !e.checked)`)
	tab.Run(chromedp.Click(`.panel-head form button`))
	tab.Until(`document.querySelector('#confirm').open`)
	tab.Run(chromedp.Click(`[data-confirm-yes]`))
	tab.Until(`document.querySelectorAll('.sessions li').length === 1 && document.body.innerText.includes('Signed out of 1 session of their own.')`)
	if r := elsewhere.send(t, "GET", profilePath); r.status != 302 {
		t.Errorf("the other session is still let in: %d", r.status)
	}
	tab.FitsWidth()
	tab.Axe()
}

// TestAPreviewInABrowser looks at the console as an operator, tries to start something, and ends the preview with one click.
func TestAPreviewInABrowser(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	tab := c.visit(t, "owner")
	tab.Open(c.server.URL + membersHrefOf)
	tab.Run(chromedp.SetValue(`#preview-role`, "operator"), chromedp.Click(`form[action="`+previewPath+`"] button`))
	tab.Until(`location.pathname === '/admin/operations' && document.querySelector('.preview-strip').innerText.includes('You see the console as Operator.')`)
	tab.FitsWidth()
	tab.Axe()
	tab.Open(c.server.URL + "/admin/t/" + c.contoso.ExternalID.String() + "/start?operation=" + string(domain.OpGroupsSync))
	tab.Allow("403") // the refusal is what is looked for
	tab.Run(chromedp.Click(`[data-start] [type=submit]`))
	tab.Until(`document.body.innerText.includes('End the preview first')`)
	tab.Run(chromedp.Click(`.preview-strip button`))
	tab.Until(`location.pathname === '` + membersHrefOf + `' && !document.querySelector('.preview-strip')`)
	if n := browsertest.Eval[int](tab, `document.querySelectorAll('form[action="`+previewPath+`"]').length`); n != 1 {
		t.Errorf("%d forms to preview", n)
	}
}
