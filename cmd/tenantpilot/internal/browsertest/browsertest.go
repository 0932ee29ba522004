// Package browsertest drives a real, headless Chromium in tests: it opens
// pages, takes screenshots, runs axe-core, and fails the test on whatever the
// console must never do, namely violate its content security policy, log an
// error, or ask another host for anything.
//
// A test starts one Browser and opens a Page (a tab with its own cookies and
// storage) for each thing it looks at. Where there is no Chromium the test
// fails and says how to install it; it never skips.
package browsertest

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// Timeout bounds everything one Page does.
const Timeout = 2 * time.Minute

// Theme is what the browser says its user prefers.
type Theme string

// The two themes.
const (
	Light Theme = "light"
	Dark  Theme = "dark"
)

//go:embed testdata/axe-core/axe.min.js
var axeSource string

// Browser is one running Chromium.
type Browser struct{ ctx context.Context }

// Start runs a Chromium until the test ends.
func Start(t testing.TB) *Browser {
	t.Helper()
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), flags(chromium(t))...)
	t.Cleanup(stopAllocator)
	ctx, stop := chromedp.NewContext(allocator, chromedp.WithErrorf(func(format string, args ...any) {
		if strings.Contains(format, "unhandled") || strings.Contains(format, "could not unmarshal event") {
			return // an event newer than the protocol package; nothing of ours
		}
		t.Logf("chromium: "+format, args...)
	}))
	t.Cleanup(stop)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &Browser{ctx}
}

func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium found; install it with: apt-get install -y chromium")
	return ""
}

// flags are the only place that says how Chromium runs in tests: nothing that
// reaches out by itself, and no sandbox for root, who cannot have one.
func flags(path string) []chromedp.ExecAllocatorOption {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("font-render-hinting", "none"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	return options
}

// Page is a tab with cookies and storage of its own.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	opened   string
	allowed  []string
	offences []string
}

// Page opens an empty tab. What it did wrong fails t when t ends.
func (b *Browser) Page(t testing.TB) *Page {
	t.Helper()
	tab, closeTab := chromedp.NewContext(b.ctx, chromedp.WithTargetID(b.newTab(t)))
	ctx, cancel := context.WithTimeout(tab, Timeout)
	p := &Page{t: t, ctx: ctx}
	chromedp.ListenTarget(tab, p.watch)
	p.Run(log.Enable(), network.Enable(), runtime.Enable())
	t.Cleanup(func() {
		cancel()
		closeTab()
		for _, offence := range p.Offences() {
			t.Error(offence)
		}
	})
	return p
}

// newTab opens a window in a browser context of its own. chromedp's own option
// asks for a tab, for which a headless browser first wants a window.
func (b *Browser) newTab(t testing.TB) target.ID {
	t.Helper()
	executor := cdp.WithExecutor(b.ctx, chromedp.FromContext(b.ctx).Browser)
	space, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(executor)
	if err != nil {
		t.Fatalf("create browser context: %v", err)
	}
	tab, err := target.CreateTarget("about:blank").WithBrowserContextID(space).WithNewWindow(true).Do(executor)
	if err != nil {
		t.Fatalf("open tab: %v", err)
	}
	return tab
}

// watch collects offences; the log carries policy violations too.
func (p *Page) watch(event any) {
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError && !(e.Entry.Source == log.SourceNetwork && p.isOpened(e.Entry.URL)) {
			p.offend(string(e.Entry.Source) + ": " + e.Entry.Text + " " + e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		p.offend("exception: " + e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError && len(e.Args) > 0 {
			p.offend("console: " + string(e.Args[0].Value) + e.Args[0].Description)
		}
	case *network.EventRequestWillBeSent:
		if !p.sameHost(e.Request.URL) {
			p.offend("request to another host: " + e.Request.URL)
		}
	}
}

// isOpened says whether address is the page itself, whose status may be an error on purpose.
func (p *Page) isOpened(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return address == p.opened
}

func (p *Page) sameHost(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	own, err := url.Parse(p.opened)
	return err == nil && (u.Host == own.Host || u.Scheme == "data" || u.Scheme == "blob" || u.Scheme == "about")
}

func (p *Page) offend(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, allowed := range p.allowed {
		if strings.Contains(text, allowed) {
			return
		}
	}
	p.offences = append(p.offences, text)
}

// Offences are what the page did wrong so far.
func (p *Page) Offences() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.offences...)
}

// Allow tolerates errors that contain text, for tests that break things on purpose.
func (p *Page) Allow(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, text)
}

// Run does chromedp actions in the tab.
func (p *Page) Run(actions ...chromedp.Action) {
	p.t.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		p.t.Fatalf("browser: %v", err)
	}
}

// Open loads address and waits until it has been drawn.
func (p *Page) Open(address string) {
	p.t.Helper()
	p.mu.Lock()
	p.opened = address
	p.mu.Unlock()
	p.Run(chromedp.Navigate(address), chromedp.WaitReady("body"))
}

// Look sets the width and theme of the tab. It may be called with a page open.
func (p *Page) Look(width int, theme Theme) {
	p.t.Helper()
	p.Run(
		emulation.SetDeviceMetricsOverride(int64(width), 900, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: string(theme)},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		}),
	)
}

// Eval evaluates an expression, awaiting it if it is a promise.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	var result T
	p.Run(chromedp.Evaluate(expression, &result, func(e *runtime.EvaluateParams) *runtime.EvaluateParams {
		return e.WithAwaitPromise(true)
	}))
	return result
}

// Until waits for a condition in the page, or in the one that a click leads to,
// and fails when it does not come true within twenty seconds.
func (p *Page) Until(expression string) {
	p.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		met, err := p.Meets(expression)
		if met {
			return
		}
		if time.Now().After(deadline) {
			var where string
			_ = chromedp.Run(p.ctx, chromedp.Evaluate(`location.href + "\n" + document.body.innerText.slice(0, 1500)`, &where))
			p.t.Fatalf("waiting for %s: %v\n%s", expression, err, where)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// Meets looks once, for a short time, whether a condition is true on a page
// that is all there: a page that is being left may never answer, and one that
// is being read may not have everything yet. Where err is set, met is false.
func (p *Page) Meets(expression string) (met bool, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	err = chromedp.Run(ctx, chromedp.Evaluate(`document.readyState === "complete" && Boolean(`+expression+")", &met))
	return met && err == nil, err
}

// Pictures is the variable that names the folder for pictures, which are for people to look at: without it none are made.
const Pictures = "TENANTPILOT_SCREENSHOTS"

// Screenshot writes the whole page, as wide as Look has set it, to a PNG file of this name, where pictures are wanted.
func (p *Page) Screenshot(name string) {
	p.t.Helper()
	dir := os.Getenv(Pictures)
	if dir == "" {
		return
	}
	file := filepath.Join(dir, name)
	width := Eval[int64](p, "innerWidth")
	height := Eval[int64](p, "Math.max(900, document.documentElement.scrollHeight)")
	var png []byte
	p.Run(
		emulation.SetDeviceMetricsOverride(width, height, 1, false),
		chromedp.CaptureScreenshot(&png),
		emulation.SetDeviceMetricsOverride(width, 900, 1, false),
	)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// FitsWidth fails when the page as a whole scrolls sideways.
func (p *Page) FitsWidth() {
	p.t.Helper()
	// What sticks out is named, unless it scrolls within a container of its own.
	wide := Eval[[]string](p, `(() => {
		const root = document.documentElement;
		if (root.scrollWidth <= innerWidth) return [];
		return [...document.querySelectorAll('body *')].filter(el => {
			for (let up = el.parentElement; up; up = up.parentElement) {
				if (up !== root && up !== document.body && getComputedStyle(up).overflowX !== 'visible') return false;
			}
			return el.getBoundingClientRect().right > innerWidth + 0.5;
		}).map(el => el.tagName.toLowerCase() + (el.id && '#' + el.id) + ' ' + el.getAttribute('class'));
	})()`)
	if len(wide) > 0 {
		p.t.Errorf("page is wider than %d px: %s", Eval[int](p, "innerWidth"), strings.Join(wide, "; "))
	}
}

// violation is what axe reports, as far as a failing test needs it.
type violation struct {
	ID    string
	Help  string
	Nodes []struct {
		Target         json.RawMessage
		FailureSummary string
	}
}

// Axe fails the test for each WCAG 2.2 A and AA rule, and each best practice,
// that axe-core finds violated on the page as it stands.
func (p *Page) Axe() {
	p.t.Helper()
	p.axe(`runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], rules: {'target-size': {enabled: true}}`)
}

// LookAround looks at the page in both themes, on a desk and on a phone: with Axe (of the second theme, what a theme changes), at the width, and
// with pictures whose names begin so. It leaves the page as a desk shows it, in the light.
func (p *Page) LookAround(name string) {
	p.t.Helper()
	for _, theme := range []Theme{Light, Dark} {
		for _, screen := range []struct {
			width int
			name  string
		}{{1440, "desk"}, {390, "phone"}} {
			p.Look(screen.width, theme)
			if theme == Light {
				p.FitsWidth()
				p.Axe()
			} else {
				p.axe(`runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}`)
			}
			p.Screenshot(name + "-" + screen.name + "-" + string(theme) + ".png")
		}
	}
	p.Look(1440, Light)
}

func (p *Page) axe(options string) {
	p.t.Helper()
	if !Eval[bool](p, `'axe' in window`) {
		p.Run(chromedp.Evaluate(axeSource, nil))
	}
	violations := Eval[[]violation](p, `axe.run(document, {
		`+options+`,
		resultTypes: ['violations'],
	}).then(r => r.violations.map(v => ({ID: v.id, Help: v.help,
		Nodes: v.nodes.slice(0, 4).map(n => ({Target: n.target, FailureSummary: n.failureSummary}))})))`)
	where := Eval[string](p, "innerWidth + ' px ' + (document.documentElement.classList.contains('dark') ? 'dark' : 'light')")
	for _, v := range violations {
		for _, n := range v.Nodes {
			p.t.Errorf("axe %s (%s, %s) at %s: %s", v.ID, v.Help, where, n.Target, strings.ReplaceAll(n.FailureSummary, "\n", " "))
		}
	}
}
