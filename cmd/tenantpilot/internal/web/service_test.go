package web_test

import (
	"context"
	"errors"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
)

// TestTheDocumentCoversTheRoutes compares the route table with the OpenAPI document, both ways.
func TestTheDocumentCoversTheRoutes(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	routes := map[string]bool{}
	must(t, c.web.Router().Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := route.GetMethods()
		if err != nil {
			return err
		}
		if route.GetName() == "static" {
			path += "{file}"
		}
		for _, m := range methods {
			routes[m+" "+path] = true
		}
		return nil
	}))
	for path, item := range c.contract.doc.Paths.Map() {
		for method := range item.Operations() {
			if !routes[method+" "+path] {
				t.Errorf("the document has %s %s, the console has not", method, path)
			}
			delete(routes, method+" "+path)
		}
	}
	for route := range routes {
		t.Errorf("the console has %s, the document has not", route)
	}
}

// aside is a fault that keeps nobody from being served.
type aside struct{ error }

func (aside) StillReady() bool { return true }

// standsFor changes what Ready says, and waits until that is asked again.
func (c *console) standsFor(t *testing.T, faults map[string]error) {
	t.Helper()
	c.faults.Store(&faults)
	time.Sleep(1100 * time.Millisecond)
}

// TestProbesAskTheDatabaseOnce: however many ask whether the console can work, and whether or not they wait for the answer, it is found out once
// a second; that it stops is said at once.
func TestProbesAskTheDatabaseOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := newConsoleWith(t, func(cfg *web.Config) {
		cfg.Ready = func(ctx context.Context) map[string]error {
			asked.Add(1)
			time.Sleep(100 * time.Millisecond)
			return map[string]error{"database": ctx.Err()}
		}
	})
	hasty, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	nobody := &caller{c: c, client: plainClient(nil)}
	began := time.Now()
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			ctx := t.Context()
			if i < 10 {
				ctx = hasty
			}
			req, _, err := nobody.request(ctx, "GET", "/readyz")
			if err != nil {
				t.Error(err)
				return
			}
			if res, err := nobody.client.Do(req); err == nil {
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					t.Errorf("a probe is %d", res.StatusCode)
				}
			} else if i >= 10 {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n, most := int(asked.Load()), 1+int(time.Since(began)/time.Second); n < 1 || n > most {
		t.Errorf("60 probes within %s asked %d times", time.Since(began), n)
	}
	c.drain()
	if res := nobody.send(t, "GET", "/readyz?verbose"); res.status != http.StatusServiceUnavailable {
		t.Errorf("readyz of a server that stops: %d %s", res.status, res.body)
	}
}

func TestProbesMetricsAndTheDocument(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	nobody, platform := &caller{c: c, client: plainClient(nil)}, c.program(t, "platform")
	for path, want := range map[string]string{"/livez": `"ok"`, "/readyz": `"ready"`, "/healthz": `"ok"`} {
		if res := nobody.send(t, "GET", path, message{}.with("Accept", "")); res.status != http.StatusOK || !strings.Contains(res.text(), want) {
			t.Errorf("%s: %d %s", path, res.status, res.body)
		}
	}
	c.standsFor(t, map[string]error{"parked": aside{errors.New("runs has 3 parked events")}})
	if res := platform.send(t, "GET", "/readyz?verbose"); res.status != http.StatusOK || !strings.Contains(res.text(), "runs has 3 parked events") {
		t.Errorf("readyz with something to look at: %d %s", res.status, res.body)
	}
	c.standsFor(t, map[string]error{
		"database": errors.New("failed to connect to `host=db.internal user=secret`: connection refused"), "migrations": nil,
		"projections": errors.New("runs is 20000 events behind"),
	})
	if res := nobody.send(t, "GET", "/livez"); res.status != http.StatusOK {
		t.Errorf("livez while not ready: %d", res.status)
	}
	if res := nobody.send(t, "GET", "/readyz"); res.status != http.StatusServiceUnavailable || strings.Contains(res.text(), "behind") {
		t.Errorf("readyz: %d %s", res.status, res.body)
	}
	res := platform.send(t, "GET", "/readyz?verbose")
	if res.status != http.StatusServiceUnavailable || !strings.Contains(res.text(), "runs is 20000 events behind") || !strings.Contains(res.text(), `"migrations":"ok"`) {
		t.Errorf("readyz, verbose: %d %s", res.status, res.body)
	}
	if strings.Contains(res.text(), "db.internal") || strings.Contains(res.text(), "secret") {
		t.Errorf("readyz tells secrets: %s", res.body)
	}
	if res := nobody.send(t, "GET", "/openapi.yaml"); res.status != http.StatusOK || !strings.HasPrefix(res.text(), "openapi: 3.1") {
		t.Errorf("openapi.yaml: %d %s", res.status, clip(res.body))
	}
	if res := nobody.send(t, "GET", "/problems/idempotency_key_reused", accept("text/html")); res.status != http.StatusOK || !strings.Contains(res.text(), "422") && !strings.Contains(res.text(), "idempotency_key_reused") {
		t.Errorf("problem page: %d", res.status)
	}

	p := c.program(t, "operator")
	p.send(t, "POST", groupsPath(c.contoso))
	p.send(t, "POST", groupsPath(c.contoso))
	c.enable(t, false)
	p.send(t, "POST", rolesPath(c.contoso))
	p.send(t, "GET", runPath(1_000_000))
	l := p.listen(t, "/admin/operations/stream")
	l.until("counters")
	text := platform.send(t, "GET", "/metrics").text()
	for _, want := range []string{
		`tenantpilot_starts_total{operation="directory_groups.sync",outcome="accepted",reason=""} 1`,
		`tenantpilot_starts_total{operation="directory_groups.sync",outcome="deduped",reason=""} 1`,
		`tenantpilot_starts_total{operation="directory_role_definitions.sync",outcome="blocked",reason="provider_connection_disabled"} 1`,
		`tenantpilot_http_requests_total{method="GET",route="/admin/operations/{run}",status="404"} 1`,
		`tenantpilot_http_requests_total{method="POST",route="/admin/t/{tenant}/directory/groups/sync",status="200"} 2`,
		`tenantpilot_http_request_seconds_count{route="/livez"}`,
		`tenantpilot_sse_clients 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for _, id := range []string{c.contoso.ExternalID.String(), c.contoso.ID.String(), c.ours.String()} {
		if strings.Contains(text, id) {
			t.Error("the metrics name a tenant or a workspace")
		}
	}
}

// TestHowTheProcessIsDoing is for people of the platform, for machines at an address of their own, and in the demo for all: it is about all
// workspaces, so no member is told, not even an owner.
func TestHowTheProcessIsDoing(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.standsFor(t, map[string]error{"parked": aside{errors.New("runs has 3 parked events")}})
	told := func(res response) bool {
		return strings.Contains(res.text(), "parked events") || strings.Contains(res.text(), "tenantpilot_")
	}
	for name, want := range map[string]bool{"": false, "owner": false, "readonly": false, "nobody": false, "platform": true} {
		callers := []*caller{c.browser(t, name), {c: c, client: plainClient(nil)}}
		if name != "" {
			callers[1] = c.program(t, name)
		}
		for _, from := range callers {
			if res := from.send(t, "GET", "/readyz?verbose"); res.status != http.StatusOK || told(res) != want {
				t.Errorf("readyz?verbose as %q: %d %s", name, res.status, res.body)
			}
			res := from.send(t, "GET", "/metrics", accept("*/*"))
			if told(res) != want || want != (res.status == http.StatusOK) {
				t.Errorf("metrics as %q: %d %s", name, res.status, clip(res.body))
			}
		}
	}
	demo := newConsoleWith(t, func(cfg *web.Config) { cfg.Demo = true })
	for name, h := range map[string]http.Handler{"inside": c.web.Inside(), "demo": demo.web.Handler()} {
		for path, want := range map[string]string{"/metrics": "tenantpilot_", "/readyz?verbose": `"checks":`, "/livez": `"ok"`, "/healthz": `"ok"`} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %s is %d %s", name, path, w.Code, clip(w.Body.Bytes()))
			}
		}
	}
	w := httptest.NewRecorder()
	c.web.Inside().ServeHTTP(w, httptest.NewRequest("GET", "/admin/operations", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("the console is inside, too: %d", w.Code)
	}
}

func TestAnswersAreGuarded(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	for _, path := range []string{"/admin/operations", "/admin/operations/99", "/sign-in", "/livez", "/openapi.yaml"} {
		h := b.send(t, "GET", path).header
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: CSP is %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" || h.Get("Permissions-Policy") == "" ||
			!strings.Contains(h.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: headers are %v", path, h)
		}
	}
	page := b.send(t, "GET", "/admin/operations").text()
	file := regexp.MustCompile(`/static/[^"]+\.js`).FindString(page)
	if h := b.send(t, "GET", file).header; !strings.Contains(h.Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %v", file, h)
	}
	if regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\son[a-z]+=|style="`).MatchString(page) {
		t.Error("the page has inline scripts or styles")
	}

	id := uuid.NewString()
	if got := b.send(t, "GET", "/livez", message{}.with("X-Request-ID", id)).header.Get("X-Request-Id"); got != id {
		t.Errorf("request id %s came back as %s", id, got)
	}
	if got := b.send(t, "GET", "/livez", message{}.with("X-Request-ID", "evil\tid")).header.Get("X-Request-Id"); uuid.Validate(got) != nil {
		t.Errorf("request id is %q", got)
	}

	// What the document does not have is asked for without it.
	p := c.program(t, "operator")
	for name, tc := range map[string]struct {
		method, path string
		status       int
	}{
		"no route":            {"GET", "/admin/nothing", 404},
		"wrong method":        {"DELETE", "/admin/operations/1", 405},
		"post for a get":      {"POST", "/admin/operations", 405},
		"get for a post":      {"GET", groupsPath(c.contoso), 405},
		"strange method":      {"PURGE", "/admin/operations", 405},
		"path outside":        {"GET", "/static/../web.go", 404},
		"directory of static": {"GET", "/static/", 404},
	} {
		req, _, err := p.request(t.Context(), tc.method, tc.path)
		must(t, err)
		res, err := p.client.Do(req)
		must(t, err)
		_ = res.Body.Close()
		if res.StatusCode != tc.status && res.StatusCode/100 != 3 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
		if tc.status == 405 && !strings.Contains(res.Header.Get("Allow"), map[bool]string{true: "POST", false: "GET"}[tc.path == groupsPath(c.contoso)]) {
			t.Errorf("%s: Allow is %q", name, res.Header.Get("Allow"))
		}
	}
	// The address of a wizard's form, opened once more, leads a person to the wizard.
	for who, want := range map[*caller]string{c.browser(t, "manager"): "/admin/onboarding/7", p: ""} {
		req, _, err := who.request(t.Context(), "GET", "/admin/onboarding/7/changes/credential")
		must(t, err)
		res, err := who.client.Do(req)
		must(t, err)
		_ = res.Body.Close()
		if got := res.Header.Get("Location"); got != want || (want == "") != (res.StatusCode == http.StatusMethodNotAllowed) {
			t.Errorf("a form's address: %d to %q, want %q", res.StatusCode, got, want)
		}
	}
}

// TestTheLogSaysWhatWasAskedAndNoMore: one line per request, by route; no query, no body, no token, no probes.
func TestTheLogSaysWhatWasAskedAndNoMore(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	p := c.program(t, "operator")
	res := p.send(t, "GET", "/admin/operations?q=hush-hush", accept("application/json"))
	p.send(t, "POST", startPath(c.contoso, domain.OpGroupsSync), jsonBody(`{"targetContext":{"password":"hush-hush"}}`))
	p.send(t, "GET", "/livez")
	link, err := c.auth.IssueSignInLink(t.Context(), c.people["owner"], 1)
	must(t, err)
	(&caller{c: c, client: plainClient(nil)}).send(t, "GET", link, accept("text/html"))
	text := c.logs.text()
	if !strings.Contains(text, `"route":"/admin/operations"`) || !strings.Contains(text, res.header.Get("X-Request-Id")) {
		t.Errorf("the log lacks the request: %s", text)
	}
	for _, secret := range []string{"hush-hush", p.token, strings.TrimPrefix(link, "/sign-in/"), "livez", "Operator"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// TestNoNextStepLeadsNowhere words every reason as every surface would, and looks its links up in the route table.
func TestNoNextStepLeadsNowhere(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	for _, reason := range domain.Reasons() {
		o := view.PresentStart(view.StartFacts{
			Decision: domain.Decision{Outcome: domain.IsBlocked, Reason: reason.Code}, Operation: domain.OperationByType(domain.OpGroupsSync),
			Tenant: c.contoso, Connection: c.conn, May: func(domain.NextStepAction) bool { return false }, Now: time.Now(),
		})
		if o.OperatorMessage == "" || o.Headline == "" || o.ShortReason == nil || len(o.NextSteps) == 0 || len(o.Actions) == 0 {
			t.Errorf("%s: %+v", reason.Code, o)
		}
		links := make([]string, 0, len(o.NextSteps)+len(o.Actions))
		for _, s := range o.NextSteps {
			links = append(links, view.String(s.Href))
		}
		for _, a := range o.Actions {
			links = append(links, a.Href)
		}
		for _, href := range links {
			var match mux.RouteMatch
			if href != "" && (!c.web.Router().Match(httptest.NewRequest("GET", href, nil), &match) || match.MatchErr != nil) {
				t.Errorf("%s: %s leads nowhere", reason.Code, href)
			}
		}
	}
}

var links = regexp.MustCompile(`(?:href|hx-get)="(/[^"]*)"`)

// TestEveryLinkLeadsSomewhere follows the links of all pages that an owner and a reader come to.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.history(t)
	for _, name := range []string{"owner", "readonly"} {
		b := c.browser(t, name)
		queue, seen := []string{"/admin/operations"}, map[string]string{"/admin/operations": ""}
		for len(queue) > 0 && len(seen) < 400 {
			path := queue[0]
			queue = queue[1:]
			res := b.send(t, "GET", path)
			if res.status >= 400 {
				t.Errorf("%s: %s, linked from %s, is %d", name, path, seen[path], res.status)
			}
			if !strings.HasPrefix(res.header.Get("Content-Type"), "text/html") {
				continue
			}
			for _, l := range links.FindAllStringSubmatch(res.text(), -1) {
				to, _, _ := strings.Cut(html.UnescapeString(l[1]), "#")
				// Of the list's addresses those with at most two parameters, or there is no end.
				if _, known := seen[to]; !known && strings.Count(to, "=") <= 2 {
					seen[to] = path
					queue = append(queue, to)
				}
			}
		}
		if len(seen) < 40 {
			t.Errorf("%s: only %d links were found", name, len(seen))
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	broken, err := web.New(web.Config{Auth: c.auth, Log: slog.New(slog.NewJSONHandler(c.logs, nil)), Ready: func(context.Context) map[string]error { panic("hush-hush") }})
	must(t, err)
	w := httptest.NewRecorder()
	broken.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != http.StatusInternalServerError || w.Header().Get("Content-Type") != problemJSON || strings.Contains(w.Body.String(), "hush") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(c.logs.text(), w.Header().Get("X-Request-Id")) {
		t.Error("the log does not have the panic with its request")
	}
}
