package web_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/web"
)

// Scripts, styles and handlers that stand in a page: the content policy would not let them run, and a hole in it would let others'.
var inline = regexp.MustCompile(`(?is)<script(?:\s[^>]*)?>\s*[^<\s]|<style|<[a-z][^>]*\s(?:on[a-z]+|style)\s*=|(?:href|src|action)="\s*(?:javascript|data):|<[a-z][^>]*\shx-on`)

// TestNoPageHasScriptsOrStylesInIt reads every page as the owner, with everything that a tenant can have, and as the other workspace's.
func TestNoPageHasScriptsOrStylesInIt(t *testing.T) {
	t.Parallel()
	m := newAccessMatrix(t)
	pages := 0
	for _, name := range []string{"owner", "platform", ""} {
		browser := m.browser(t, name)
		for _, path := range append(m.views(t), "/sign-in", "/sign-in?signed-out") {
			if strings.HasSuffix(path, "/stream") {
				continue
			}
			for _, form := range []string{"page", "fragment"} {
				_, text := browser.read(t, path, form)
				head, body, _ := strings.Cut(text, "\n")
				if !strings.Contains(head, "text/html") {
					continue
				}
				pages++
				if !strings.Contains(head, "Content-Security-Policy:[default-src 'self'; script-src 'self'; style-src 'self'") {
					t.Errorf("%s of %s has another content policy: %s", form, path, head)
				}
				if at := inline.FindStringIndex(body); at != nil {
					t.Errorf("%s of %s has %q", form, path, body[at[0]:min(len(body), at[1]+80)])
				}
			}
		}
	}
	if pages < 300 {
		t.Errorf("%d pages were looked at", pages)
	}
}

// writes are the addresses that change something, about what is the owner's.
func (m *accessMatrix) writes(t *testing.T) map[string]accessRow {
	t.Helper()
	rows := map[string]accessRow{}
	for _, r := range readAccessTable(t) {
		where := r.method + " " + r.path
		if _, there := rows[where]; !there && r.method != http.MethodGet && r.want[slices.Index(accessColumns, "owner")] != "404" {
			rows[where] = r
		}
	}
	return rows
}

// TestNoOtherSiteChangesAnything sends to every address that changes something what another site's page would make the owner's browser send.
// All are refused and leave nothing in the log.
func TestNoOtherSiteChangesAnything(t *testing.T) {
	t.Parallel()
	m := newAccessMatrix(t)
	browser := m.browser(t, "owner")
	for where, r := range m.writes(t) {
		path := m.fill(t, r)
		before := m.count(t, `select count(*) from events`)
		for name, header := range map[string][2]string{
			"another site":        {"https://evil.example", "cross-site"},
			"a sibling":           {"https://other." + strings.TrimPrefix(m.server.URL, "http://"), "same-site"},
			"a sandboxed frame":   {"null", "cross-site"},
			"an old browser":      {"https://evil.example", ""},
			"who does not say so": {"", ""},
		} {
			sent := m.body(r, false).with("Origin", header[0]).with("Sec-Fetch-Site", header[1])
			res := browser.send(t, r.method, path, sent)
			if res.status != http.StatusForbidden || !strings.Contains(res.text(), "cross_origin") {
				t.Errorf("%s from %s is %d", where, name, res.status)
			}
		}
		if n := m.count(t, `select count(*) from events`) - before; n != 0 {
			t.Errorf("%s from other sites leaves %d events", where, n)
		}
	}
}

// TestTooMuchIsRefused sends ten megabytes to every address that takes a body: 413, and 404 for those who see nothing there.
func TestTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	m := newAccessMatrix(t)
	much := strings.Repeat("a", 10<<20)
	// These read no body, so they need not be told.
	unread := regexp.MustCompile(`/(cancel|remove|withdraw|accept|decline|choose|read|end|end-others|stop-rest|take-over|revoke|changes/\w+)$|^POST /sign-out$`)
	kinds := map[string]message{
		"a form": {kind: "application/x-www-form-urlencoded", body: "reason=" + much}, "JSON": {kind: "application/json", body: `{"reason": "` + much + `"}`},
	}
	writes := m.writes(t)
	owner, program, stranger := m.browser(t, "owner"), m.program(t, "owner"), m.program(t, "stranger")
	for _, where := range slices.Sorted(maps.Keys(writes)) {
		r := writes[where]
		if unread.MatchString(where) {
			continue
		}
		told := 0
		for kind, sent := range kinds {
			for _, from := range []*caller{owner, program} {
				if where == "POST /sign-in/{link}" {
					from = m.browser(t, "")
				}
				switch res := m.sendMuch(t, from, r, sent); {
				case res.status == http.StatusRequestEntityTooLarge:
					told++
				case res.status < 400 || res.status >= 500:
					t.Errorf("%s: ten megabytes as %s are %d", where, kind, res.status)
				}
			}
			if r.object == "contoso" && strings.Contains(r.path, "{") {
				if res := m.sendMuch(t, stranger, r, sent); res.status != http.StatusNotFound {
					t.Errorf("%s: a stranger's ten megabytes as %s are %d", where, kind, res.status)
				}
			}
		}
		if told == 0 {
			t.Errorf("%s: nobody is told that it is too much", where)
		}
	}
}

// sendMuch sends again where the server had hung up before all was sent, as it may.
func (m *accessMatrix) sendMuch(t *testing.T, from *caller, r accessRow, sent message) response {
	t.Helper()
	for range 5 {
		if res, err := from.try(t, r.method, m.fill(t, r), sent); err == nil {
			return res
		}
	}
	t.Fatalf("%s: no answer", r.where())
	return response{}
}

// TestTransportSecurityIsPromisedOverTLSOnly: a browser that is told so over plain HTTP, on a laptop, could not come back.
func TestTransportSecurityIsPromisedOverTLSOnly(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	proxied, err := web.New(web.Config{Auth: c.auth, BehindTLS: true})
	must(t, err)
	for name, tc := range map[string]struct {
		server *web.Server
		url    string
		want   bool
	}{
		"plain": {c.web, "http://x.example/livez", false}, "TLS": {c.web, "https://x.example/livez", true}, "behind a proxy": {proxied, "http://x.example/livez", true},
	} {
		w := httptest.NewRecorder()
		tc.server.Handler().ServeHTTP(w, httptest.NewRequest("GET", tc.url, nil))
		if got := w.Header().Get("Strict-Transport-Security"); strings.HasPrefix(got, "max-age=") != tc.want {
			t.Errorf("%s: Strict-Transport-Security is %q", name, got)
		}
	}
	// A form's target may not be chosen by who sends the link either.
	browser := c.browser(t, "owner")
	for _, next := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)"} {
		link, err := c.auth.IssueSignInLink(t.Context(), c.people["owner"], 1<<40)
		must(t, err)
		if res := browser.send(t, "POST", link, form(url.Values{"next": {next}})); res.header.Get("Location") != "/" {
			t.Errorf("signing in leads to %q", res.header.Get("Location"))
		}
	}
}
