package web_test

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// listener reads an event stream.
type listener struct {
	t      testing.TB
	events chan event
	close  context.CancelFunc
}

type event struct{ id, name, data string }

// listen opens a stream as a page does.
func (a *caller) listen(t testing.TB, path string, m ...message) *listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	t.Cleanup(cancel)
	req, _, err := a.request(ctx, "GET", path, m...)
	must(t, err)
	req.Header.Set("Accept", "text/event-stream")
	res, err := a.client.Do(req)
	must(t, err)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: %d %v", path, res.StatusCode, res.Header)
	}
	a.c.contract.check(t, req, nil, res, nil)
	l := &listener{t: t, events: make(chan event, 100), close: cancel}
	go func() {
		defer close(l.events)
		defer func() { _ = res.Body.Close() }()
		var e event
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case lines.Text() == "":
				if e != (event{}) {
					l.events <- e
				}
				e = event{}
			case field == "id":
				e.id = value
			case field == "event":
				e.name = value
			case field == "data":
				e.data += value + "\n"
			}
		}
	}()
	return l
}

// next waits for an event; false when the stream has ended.
func (l *listener) next(within time.Duration) (event, bool) {
	l.t.Helper()
	select {
	case e, ok := <-l.events:
		return e, ok
	case <-time.After(within):
		l.t.Fatalf("no event within %s", within)
		return event{}, false
	}
}

// until waits for an event whose data holds all texts, and returns what came up to it.
func (l *listener) until(texts ...string) string {
	l.t.Helper()
	var all strings.Builder
	deadline := time.Now().Add(15 * time.Second)
	for {
		e, ok := l.next(time.Until(deadline))
		all.WriteString(e.data)
		found := ok
		for _, text := range texts {
			found = found && strings.Contains(e.data, text)
		}
		if found {
			return all.String()
		}
		if !ok {
			l.t.Fatalf("the stream ended before %q; it said %s", texts, clip([]byte(all.String())))
		}
	}
}

// ends waits for the named event that closes the stream, and for the end of the connection.
func (l *listener) ends() {
	l.t.Helper()
	for {
		e, ok := l.next(15 * time.Second)
		if !ok {
			l.t.Fatal("the stream broke off without saying so")
		}
		if e.name == "end" {
			break
		}
	}
	if e, ok := l.next(15 * time.Second); ok {
		l.t.Fatalf("an event after the end: %+v", e)
	}
}

func TestARunIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	run := c.hold(t, domain.OpGroupsSync)
	page := b.send(t, "GET", runPath(run.RunNumber))
	live := regexp.MustCompile(`hx-sse:connect="([^"]+)"`).FindStringSubmatch(page.text())
	if live == nil {
		t.Fatal("the page of a run that is queued has no stream")
	}
	l := b.listen(t, html.UnescapeString(live[1]))
	// What happened while the page was on its way is there, too: everything is sent once.
	all := l.until(`hx-target="#run-outcome"`)
	for _, id := range []string{"run-header", "run-path", "run-scope", "run-timeline", "run-items", "run-related"} {
		if !strings.Contains(all, `hx-target="#`+id+`"`) {
			t.Errorf("the first event lacks %s", id)
		}
	}
	claim := c.work(t)
	l.until(`hx-target="#run-header"`, "Running")
	_, err := c.commands.ReportProgress(t.Context(), claim, domain.Progress{Step: "Reading groups", Done: 42})
	must(t, err)
	if data := l.until("Reading groups"); strings.Contains(data, `hx-target="#run-related"`) {
		t.Error("a part that did not change was sent again")
	}
	must(t, c.commands.EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Succeeded, Summary: "42 groups read, nothing written"}, nil))
	data := l.until("42 groups read", "<title>Succeeded: ")
	if strings.Contains(data, "\n<html") {
		t.Error("a whole page was sent")
	}
	l.ends()
	if page := b.send(t, "GET", runPath(run.RunNumber)).text(); strings.Contains(page, "hx-sse:connect") {
		t.Error("the page of a run that has ended has a stream")
	}
	// Whoever connects late gets the last word, and the end.
	late := b.listen(t, runPath(run.RunNumber)+"/stream")
	late.until("42 groups read")
	late.ends()
}

func TestTheListIsKeptCurrent(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "readonly")
	run := c.hold(t, domain.OpGroupsSync)
	row := fmt.Sprintf(`hx-target="#run-%d"`, run.RunNumber)
	page := b.send(t, "GET", "/admin/operations?status=queued").text()
	live := regexp.MustCompile(`hx-sse:connect="([^"]+)"`).FindStringSubmatch(page)
	if live == nil || !strings.Contains(page, fmt.Sprintf(`id="run-%d"`, run.RunNumber)) {
		t.Fatal("the list has no stream or no row")
	}
	l := b.listen(t, html.UnescapeString(live[1]))
	l.until(row, `hx-target="#counters"`, `hx-target="#new-rows"`)
	// The row leaves the filter and is kept current nevertheless; the counters follow.
	claim := c.work(t)
	l.until(row, "Running")
	// New runs are announced, not inserted.
	other, err := c.commands.Start(t.Context(), commands.Start{
		Actor: domain.SystemActor(c.ours), Tenant: c.tailspn.ExternalID, Operation: domain.OpGroupsSync, Trigger: domain.TriggerSystem,
	})
	must(t, err)
	data := l.until("Show 1 new run")
	if strings.Contains(data, fmt.Sprintf(`hx-target="#run-%d"`, other.RunNumber)) {
		t.Error("a row that is not on the page was sent")
	}
	if strings.Contains(data, "rows=") || strings.Contains(data, "top=") {
		t.Error("the stream's own parameters got into the page's links")
	}
	c.end(t, claim, domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonProviderUnavailable})
	l.until(row, "Failed")
	l.close()

	quiet := b.listen(t, "/admin/t/"+c.contoso.ExternalID.String()+"/operations/stream")
	quiet.until(`hx-target="#counters"`)
	select {
	case e := <-quiet.events:
		if strings.Count(e.data, "<hx-partial") == 1 && strings.Contains(e.data, `hx-target="#lanes"`) {
			break // their window moves on twice a minute
		}
		t.Errorf("nothing happened, and it was sent: %s", clip([]byte(e.data)))
	case <-time.After(7 * time.Second): // longer than a stream looks by itself
	}
}

func TestStreamsEndWithTheRightsAndWithTheServer(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	path := runPath(run.RunNumber) + "/stream"
	b, p := c.browser(t, "operator"), c.program(t, "readonly")
	signedOut, revoked, kept := b.listen(t, path), p.listen(t, path), c.browser(t, "manager").listen(t, "/admin/operations/stream")
	for _, l := range []*listener{signedOut, revoked, kept} {
		if _, ok := l.next(10 * time.Second); !ok {
			t.Fatal("a stream ended at once")
		}
	}
	b.send(t, "POST", "/sign-out", form(nil))
	_, err := c.pool.Exec(t.Context(), `update api_tokens set revoked_at = now() where person = $1`, c.people["readonly"])
	must(t, err)
	signedOut.ends()
	revoked.ends()
	c.drain()
	for {
		if _, ok := kept.next(10 * time.Second); !ok {
			break
		}
	}
	if res := b.send(t, "GET", path, accept("text/event-stream")); res.status != http.StatusUnauthorized {
		t.Errorf("a stream for nobody: %d", res.status)
	}
}

// TestStreamsAreCounted: a person keeps so many streams open and no more, by whatever they are let in; others are not touched, and a stream that
// ends makes room.
func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	c := newConsoleWith(t, func(cfg *web.Config) { cfg.Limits.Streams = 3 })
	const path = "/admin/operations/stream"
	b, p := c.browser(t, "operator"), c.program(t, "operator")
	first := b.listen(t, path)
	b.listen(t, path)
	p.listen(t, path)
	refused := func() response {
		t.Helper()
		return b.send(t, "GET", path, accept("text/event-stream"))
	}
	if res := refused(); res.status != http.StatusTooManyRequests || res.header.Get("Retry-After") == "" || res.problem(t).Code != "too_many_streams" {
		t.Errorf("the fourth stream is %d: %s", res.status, res.body)
	}
	if res := b.send(t, "GET", "/admin/operations/999999/stream", accept("text/event-stream")); res.status != http.StatusTooManyRequests {
		t.Errorf("the fourth stream, of something that is not there, is %d", res.status)
	}
	c.browser(t, "manager").listen(t, path)
	first.close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		req, _, err := b.request(t.Context(), "GET", path, accept("text/event-stream"))
		must(t, err)
		res, err := b.client.Do(req)
		must(t, err)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after one has ended: %d", res.StatusCode)
		}
	}
	for range 5 { // what is refused takes no room either
		if res := p.send(t, "GET", "/admin/operations/999999/stream", accept("text/event-stream")); res.status == http.StatusTooManyRequests {
			time.Sleep(50 * time.Millisecond) // the one that was closed is on its way out
		} else if res.status != http.StatusNotFound {
			t.Errorf("a stream of what is not there is %d", res.status)
		}
	}
}

// TestAStreamThatWasRefusedIsAskedForAgainInTheBrowser: a page whose stream is one too many shows what it has, says so, and follows as soon as there
// is room.
func TestAStreamThatWasRefusedIsAskedForAgainInTheBrowser(t *testing.T) {
	t.Parallel()
	c := newConsoleWith(t, func(cfg *web.Config) { cfg.Limits.Streams = 1 })
	other := c.program(t, "operator").listen(t, "/admin/operations/stream")
	tab := browsertest.Start(t).Page(t)
	tab.Allow("429") // the refusal is what is looked for
	link, err := c.auth.IssueSignInLink(t.Context(), c.people["operator"], time.Hour)
	must(t, err)
	tab.Open(c.server.URL + link + "?next=/admin/operations")
	tab.Run(chromedp.Click(`form button`))
	state := func(s string) string { return `document.querySelector("#live")?.dataset.state === "` + s + `"` }
	tab.Until(state("reconnecting"))
	other.close()
	tab.Until(state("live"))
}

func TestALostLeaseIsSaid(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	item, err := projections.Claim(t.Context(), c.pool, "worker-1", 50*time.Millisecond)
	must(t, err)
	_, err = c.commands.BeginRun(t.Context(), commands.Claim{Workspace: c.ours, Run: item.Run, Token: item.Token, Worker: "worker-1"})
	must(t, err)
	time.Sleep(60 * time.Millisecond)
	c.settle(t)
	if page := c.browser(t, "readonly").send(t, "GET", runPath(run.RunNumber)).text(); !strings.Contains(page, "No heartbeat for") {
		t.Error("the page does not say that the worker is silent")
	}
}
