package page_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/a-h/templ"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// startRoutes answer as the console's handlers do: fragments for requests from
// within a page, whole pages otherwise. The first post is refused.
func startRoutes() map[string]http.Handler {
	start := shell("Start an operation", "/p/start-fragment")
	var posts atomic.Int32
	return map[string]http.Handler{
		"GET /p/start-fragment": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("HX-Request") != "" {
				render(page.StartBody(sampleStartForm()))(w, r)
				return
			}
			render(page.StartPage(start, sampleStartForm()))(w, r)
		}),
		"POST /p/start-post": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.PostFormValue("attempt_id") != sampleStartForm().AttemptID:
				w.WriteHeader(http.StatusBadRequest)
			case r.Header.Get("HX-Request") == "":
				render(page.OutcomePage(start, acceptedOutcome()))(w, r)
			case posts.Add(1) == 1:
				w.WriteHeader(http.StatusUnprocessableEntity)
				form := invalidStartForm()
				form.ConfirmName = ""
				render(page.StartBody(form))(w, r)
			default:
				render(page.OutcomeBody(acceptedOutcome(), now))(w, r)
			}
		}),
	}
}

func TestStartDialogByKeyboard(t *testing.T) {
	server := serve(t, startRoutes())
	tab := browsertest.Start(t).Page(t)
	tab.Allow("status of 422")
	tab.Look(1440, browsertest.Light)
	tab.Open(server.URL + "/p/operations")

	tab.Run(chromedp.KeyEvent("s"))
	tab.Until(`document.querySelector('#dialog[open] #start-body')`)
	tab.Until(`document.activeElement.id === 'start-title'`)
	for _, theme := range []browsertest.Theme{browsertest.Light, browsertest.Dark} {
		tab.Look(1440, theme)
		tab.Axe()
		tab.Screenshot("dialog-start-desk-" + string(theme) + ".png")
		tab.Look(390, theme)
		tab.FitsWidth()
		tab.Screenshot("dialog-start-phone-" + string(theme) + ".png")
	}

	tab.Run(chromedp.Focus(`#dialog [type="submit"]`), chromedp.KeyEvent(kb.Enter))
	tab.Until(`document.querySelector('#dialog [role="alert"]') === document.activeElement`)

	tab.Run(chromedp.Focus(`#dialog [type="submit"]`), chromedp.KeyEvent(kb.Enter))
	tab.Until(`document.querySelector('#dialog [data-outcome="accepted"]')`)
	tab.Until(`document.activeElement.id === 'start-title'`)
	tab.Look(1440, browsertest.Light)
	tab.Axe()
	tab.Screenshot("dialog-outcome-desk-light.png")

	tab.Run(chromedp.Click(`//div[@id="start-body"]//a[text()="Start another"]`))
	tab.Until(`document.querySelector('#dialog form[data-start]')`)
	tab.Run(chromedp.Click(`#dialog [data-close]`))
	tab.Until(`!document.querySelector('#dialog').open`)
}

func TestStartWithoutScripts(t *testing.T) {
	server := serve(t, startRoutes())
	tab := browsertest.Start(t).Page(t)
	tab.Look(1440, browsertest.Light)
	tab.Run(emulation.SetScriptExecutionDisabled(true))
	tab.Open(server.URL + "/p/start-fragment")
	tab.Screenshot("no-scripts-start.png")
	tab.Run(
		chromedp.WaitVisible(`//button[text()="Update forecast"]`),
		chromedp.Click(`[type="submit"]:not(.no-js)`),
		chromedp.WaitVisible(`[data-outcome="accepted"]`),
		chromedp.WaitNotVisible(`[data-theme-switch]`),
	)
}

// liveServer is a stream that sends what it is told and can be cut.
type liveServer struct {
	events   chan func(http.ResponseWriter)
	cut      chan struct{}
	resumed  chan string
	sessions atomic.Int32
}

func (s *liveServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.sessions.Add(1) > 1 {
		s.resumed <- r.Header.Get("Last-Event-ID")
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case event := <-s.events:
			event(w)
			_ = http.NewResponseController(w).Flush()
		case <-s.cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *liveServer) send(t *testing.T, id string, parts ...templ.Component) {
	s.events <- func(w http.ResponseWriter) {
		if err := page.WriteEvent(context.Background(), w, id, parts...); err != nil {
			t.Error(err)
		}
	}
}

func TestLiveUpdates(t *testing.T) {
	live := &liveServer{events: make(chan func(http.ResponseWriter)), cut: make(chan struct{}), resumed: make(chan string, 1)}
	hub := shell("Operations", "/admin/operations")
	hub.LiveHref = "/live"
	server := serve(t, map[string]http.Handler{"GET /live": live, "GET /hub": render(page.OperationsPage(hub, sampleOperations()))})
	tab := browsertest.Start(t).Page(t)
	tab.Look(1440, browsertest.Light)
	tab.Open(server.URL + "/hub")
	tab.Until(`document.querySelector('#live').dataset.state === 'live'`)

	row := sampleRows()[1]
	progress := func(confirmed int) templ.Component {
		row.Progress.Confirmed = confirmed
		return page.Partial("run-4718", page.RunRow(row, view.DefaultColumns, now))
	}
	shows := func(text string) string {
		return `document.querySelector('#run-4718').textContent.includes('` + text + `')`
	}

	// A morph leaves the focus and opened details alone and adds no stray nodes.
	tab.Run(chromedp.Focus("#run-4718 .row-link"), chromedp.Click("#lanes summary"), chromedp.Focus("#run-4718 .row-link"))
	nodes := browsertest.Eval[int](tab, `document.querySelector('.runs tbody').childNodes.length`)
	live.send(t, "1", progress(298), page.Partial("counters", page.Counters(sampleCounters()[:3])), page.Partial("lanes", page.Lanes(*sampleLanes())), page.DocumentTitle("4 running"))
	tab.Until(shows("300 / 412"))
	tab.Until(`document.title === '4 running' && document.querySelectorAll('#counters a').length === 3`)
	if !browsertest.Eval[bool](tab, `document.activeElement.matches('#run-4718 .row-link')`) {
		t.Error("the focus was lost by an update of its row")
	}
	if !browsertest.Eval[bool](tab, `document.querySelector('#lanes details').open`) {
		t.Error("opened details were closed by an update")
	}
	if got := browsertest.Eval[int](tab, `document.querySelector('.runs tbody').childNodes.length`); got != nodes {
		t.Errorf("child nodes of the table after an update: got %d, want %d", got, nodes)
	}

	// New rows are announced, not inserted; a row can be taken away.
	live.send(t, "2", page.Partial("new-rows", page.NewRows(7, "?")), page.Remove("run-4708"))
	tab.Until(`document.querySelector('#new-rows').textContent.includes('7 new runs') && !document.querySelector('#run-4708')`)

	// Paused, nothing changes and nothing is lost.
	tab.Run(chromedp.KeyEvent("r"))
	tab.Until(`document.querySelector('#live').dataset.state === 'paused'`)
	live.send(t, "3", progress(308))
	live.send(t, "4", progress(318))
	if browsertest.Eval[bool](tab, `new Promise(done => setTimeout(() => done(`+shows("310 / 412")+` || `+shows("320 / 412")+`), 300))`) {
		t.Error("a paused page was updated")
	}
	tab.Run(chromedp.KeyEvent("r"))
	tab.Until(shows("320 / 412"))

	// A cut stream says so and resumes after the last event.
	live.cut <- struct{}{}
	tab.Until(`document.querySelector('#live').dataset.state === 'reconnecting'`)
	if got := <-live.resumed; got != "4" {
		t.Errorf("Last-Event-ID after the cut: got %q, want 4", got)
	}
	tab.Until(`document.querySelector('#live').dataset.state === 'live'`)
	live.send(t, "5", progress(328))
	tab.Until(shows("330 / 412"))

	live.events <- func(w http.ResponseWriter) { _ = page.WriteNamedEvent(w, page.ToastEvent, "Run 4718 succeeded") }
	tab.Until(`document.querySelector('#toaster').textContent.includes('Run 4718 succeeded')`)
	live.events <- func(w http.ResponseWriter) { _ = page.WriteNamedEvent(w, page.EndEvent, "") }
	tab.Until(`document.querySelector('#live').dataset.state === 'ended'`)
}

func TestKeysThemeAndCopy(t *testing.T) {
	server := serve(t, nil)
	tab := browsertest.Start(t).Page(t)
	tab.Look(1440, browsertest.Light)
	tab.Open(server.URL + "/p/operations")

	tab.Run(chromedp.KeyEvent("jj"))
	tab.Until(`document.activeElement.dataset.id === '4718'`)
	tab.Run(chromedp.KeyEvent("k"))
	tab.Until(`document.activeElement.dataset.id === '4719'`)

	tab.Run(chromedp.KeyEvent("tt"))
	tab.Until(`document.documentElement.classList.contains('dark') && localStorage.theme === 'dark'`)
	tab.Open(server.URL + "/p/operations")
	tab.Until(`document.documentElement.dataset.theme === 'dark'`)

	tab.Run(chromedp.KeyEvent("u"))
	tab.Until(`/^\d{4}-\d\d-\d\d/.test(document.querySelector('#run-4718 .run-started time').textContent)`)

	tab.Run(chromedp.KeyEvent("?"))
	tab.Until(`document.querySelector('#help').open`)
	tab.Axe()
	tab.Screenshot("help-desk-dark.png")
	tab.Run(chromedp.KeyEvent(kb.Escape))
	tab.Until(`!document.querySelector('#help').open`)

	tab.Run(chromedp.KeyEvent("/"))
	tab.Until(`document.activeElement.name === 'filter'`)
	tab.Run(chromedp.KeyEvent("t"))
	tab.Until(`document.activeElement.value.endsWith('t') && document.documentElement.dataset.theme === 'dark'`)

	for _, pop := range []string{"tenants", "viewer", "live-menu", "views-menu", "columns-menu"} {
		tab.Run(chromedp.Click(`:is(.btn, .avatar-button)[popovertarget="` + pop + `"]`))
		tab.Until(`document.querySelector('#` + pop + `').matches(':popover-open')`)
		tab.Axe()
		tab.Screenshot(pop + "-desk-dark.png")
	}

	tab.Look(390, browsertest.Dark)
	tab.Open(server.URL + "/p/run-running")
	tab.Run(chromedp.Click(`[popovertarget="rail"]`))
	tab.Until(`document.querySelector('#rail').matches(':popover-open')`)
	tab.Axe()
	tab.Screenshot("drawer-phone-dark.png")
	tab.Run(chromedp.KeyEvent(kb.Escape))

	// Without permission for the clipboard the text is there to be copied by hand.
	tab.Run(chromedp.Evaluate(`navigator.clipboard.writeText = () => Promise.reject(new Error('denied'))`, nil), chromedp.Click(`main .copy`))
	tab.Until(`document.activeElement.value === '4718' && document.activeElement.selectionEnd === 4`)
	tab.Run(chromedp.Blur(`.copy-field`))
	tab.Until(`document.querySelector('main .copy')`)

	tab.Run(chromedp.Click(`[data-confirm] button`))
	tab.Until(`document.querySelector('#confirm').open && document.activeElement.value === 'cancel'`)
	tab.Axe()
	tab.Screenshot("confirm-phone-dark.png")
}

func TestWriteEvent(t *testing.T) {
	text := templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		_, err := w.Write([]byte(" <p id=\"x\">one\r\ntwo</p>\n"))
		return err
	})
	var got bytes.Buffer
	if err := page.WriteEvent(context.Background(), &got, "7", page.Partial("x", text), page.Remove("y")); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"id: 7",
		`data: <hx-partial hx-target="#x" hx-swap="outerMorph"><p id="x">one`,
		`data: two</p></hx-partial>`,
		`data: <hx-partial hx-target="#y" hx-swap="delete"></hx-partial>`,
		"", "",
	}, "\n")
	if got.String() != want {
		t.Errorf("got\n%q\nwant\n%q", got.String(), want)
	}
}
