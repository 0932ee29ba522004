package web_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

func consentPath(conn domain.ProviderConnection) string {
	return fmt.Sprintf("/admin/provider-connections/%d/consent", conn.Number)
}

var consentLinkShape = regexp.MustCompile(`https://login\.microsoftonline\.com/[^"\s<]+`)

// ask makes a consent link as a browser and returns its parameters.
func (c *console) ask(t testing.TB, b *caller, conn domain.ProviderConnection, next string) url.Values {
	t.Helper()
	res := b.send(t, "POST", consentPath(conn)+"/request", form(url.Values{"next": {next}}))
	if res.status != http.StatusOK {
		t.Fatalf("make link: %d %s", res.status, clip(res.body))
	}
	u, err := url.Parse(html.UnescapeString(consentLinkShape.FindString(res.text())))
	must(t, err)
	return u.Query()
}

// lacking is the fixture's connection as it is before anybody consented.
func (c *console) lacking(t testing.TB) {
	t.Helper()
	must(t, c.commands.RecordConsent(t.Context(), commands.RecordConsent{
		Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, Consent: domain.ConsentRequired,
	}))
	c.settle(t)
}

func (c *console) now(t testing.TB) domain.ProviderConnection {
	t.Helper()
	conn, _, err := eventstore.Current[domain.ProviderConnection](t.Context(), c.store, c.conn.ID)
	must(t, err)
	return conn
}

func callback(values url.Values) string { return "/consent/callback?" + values.Encode() }

// TestConsentIsGranted walks a link to its end: the grant is recorded with its evidence, a check is queued, and the browser is back where it
// wanted to be. The link is nowhere afterwards.
func TestConsentIsGranted(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	b := c.browser(t, "manager")
	wanted := "/admin/tenants/" + c.contoso.ExternalID.String()
	link := c.ask(t, b, c.conn, wanted)
	if link.Get("client_id") != c.now(t).AppID || link.Get("redirect_uri") != c.server.URL+"/consent/callback" ||
		link.Get("scope") != "https://graph.microsoft.com/.default" || len(link.Get("state")) < 43 {
		t.Errorf("link has %v", link)
	}
	page := b.send(t, "GET", consentPath(c.conn)).text()
	if strings.Contains(page, link.Get("state")) || !strings.Contains(page, "Waiting for an answer") {
		t.Error("the page shows a link again, or does not say that one is open")
	}
	res := b.send(t, "GET", callback(url.Values{
		"state": {link.Get("state")}, "admin_consent": {"True"}, "tenant": {strings.ToUpper(c.contoso.ExternalID.String())},
	}))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != wanted {
		t.Fatalf("callback: %d to %q: %s", res.status, res.header.Get("Location"), clip(res.body))
	}
	conn := c.now(t)
	if conn.Consent != domain.ConsentIsGiven || conn.Verification != domain.VerificationPending || conn.Scope.Operation != domain.OpConnectionCheck ||
		conn.Scope.Initiator.ID != c.people["manager"] {
		t.Errorf("after the callback: %+v", conn)
	}
	if n := c.count(t, `select count(*) from events where name = 'ConsentGranted.v2' and stream = $1 and payload->>'evidence' = 'callback'`, c.conn.ID); n != 1 {
		t.Errorf("%d grants with the callback as evidence", n)
	}
	if strings.Contains(c.logs.text(), link.Get("state")) || c.count(t, `select count(*) from events where payload::text like $1`, "%"+link.Get("state")+"%") != 0 {
		t.Error("the state is in the log or in an event")
	}
	if page := b.send(t, "GET", consentPath(c.conn)).text(); !strings.Contains(page, "The newest link was answered") || !strings.Contains(page, "Follow run") {
		t.Error("the page does not say that the link was answered and a check runs")
	}
}

// TestConsentWaitsForABusyConnection: the check that proves the consent is not lost when the connection is in use.
func TestConsentWaitsForABusyConnection(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.hold(t, domain.OpGroupsSync)
	b := c.browser(t, "manager")
	link := c.ask(t, b, c.conn, "")
	res := b.send(t, "GET", callback(url.Values{"state": {link.Get("state")}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()}}))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != consentPath(c.conn) {
		t.Fatalf("callback: %d to %q", res.status, res.header.Get("Location"))
	}
	c.settle(t)
	if n := c.count(t, `select count(*) from reservations where connection = $1 and operation = 'provider.connection.check' and ending is null`, c.conn.Number); n != 1 {
		t.Errorf("%d checks wait", n)
	}
}

func TestConsentIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer url.Values
		state  domain.ConsentState
		reason domain.ReasonCode
	}{
		"declined": {
			url.Values{"admin_consent": {"True"}, "error": {"access_denied"}, "error_description": {"AADSTS65004: secret words of the provider"}},
			domain.ConsentIsFailed, domain.ReasonProviderConsentDenied,
		},
		"declined, although it names the tenant": {
			url.Values{"admin_consent": {"True"}, "tenant": {"TENANT"}, "error": {"permission_denied"}}, domain.ConsentIsFailed, domain.ReasonProviderConsentDenied,
		},
		"still required": {url.Values{"error": {"consent_required"}}, domain.ConsentRequired, ""},
		"no word":        {url.Values{"tenant": {"TENANT"}}, domain.ConsentIsFailed, domain.ReasonProviderConsentFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t)
			c.lacking(t)
			b := c.browser(t, "manager")
			values := url.Values{"state": {c.ask(t, b, c.conn, "").Get("state")}}
			for k, v := range tc.answer {
				values.Set(k, strings.ReplaceAll(v[0], "TENANT", c.contoso.ExternalID.String()))
			}
			if res := b.send(t, "GET", callback(values)); res.status != http.StatusSeeOther {
				t.Fatalf("callback: %d %s", res.status, clip(res.body))
			}
			if conn := c.now(t); conn.Consent != tc.state || conn.Scope.Held() {
				t.Errorf("after the callback: consent %s, scope %+v", conn.Consent, conn.Scope)
			}
			page := b.send(t, "GET", consentPath(c.conn)).text()
			if tc.reason != "" && !strings.Contains(page, string(tc.reason)) || strings.Contains(page, "secret words") {
				t.Errorf("the page does not give the reason %s, or gives too much", tc.reason)
			}
		})
	}
}

// TestConsentOfAnotherDirectory: it changes nothing, whatever stood before, and is in the history with a page that says so.
func TestConsentOfAnotherDirectory(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "manager")
	for _, before := range []domain.ConsentState{domain.ConsentIsGiven, domain.ConsentRequired} {
		if before == domain.ConsentRequired {
			c.lacking(t)
		}
		for name, tenant := range map[string]string{"another": uuid.NewString(), "none": ""} {
			state := c.ask(t, b, c.conn, "").Get("state")
			res := b.send(t, "GET", callback(url.Values{"state": {state}, "admin_consent": {"True"}, "tenant": {tenant}}))
			page := res.text()
			if res.status != http.StatusBadRequest || !strings.Contains(page, "tenant_target_mismatch") || !strings.Contains(page, `href="`+consentPath(c.conn)+`"`) {
				t.Errorf("%s, consent was %s: %d %s", name, before, res.status, clip(res.body))
			}
			if conn := c.now(t); conn.Consent != before || conn.Scope.Held() {
				t.Errorf("%s: consent went from %s to %s", name, before, conn.Consent)
			}
		}
	}
	if n := c.count(t, `select count(*) from events where name = 'ConsentAnswerIgnored' and stream = $1 and payload->>'reason' = 'tenant_target_mismatch'`, c.conn.ID); n != 4 {
		t.Errorf("%d of 4 answers are in the history", n)
	}
	c.settle(t)
	if page := b.send(t, "GET", connectionAt(c.conn)).text(); !strings.Contains(page, "Consent answer ignored") {
		t.Error("the connection's page does not tell of it")
	}
}

// TestConsentAnswersThatAreNotListenedTo: each gets a clear page, changes nothing, and is recorded once where its link is known.
func TestConsentAnswersThatAreNotListenedTo(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	b := c.browser(t, "manager")
	answer := func(state string) string {
		return callback(url.Values{"state": {state}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()}})
	}
	recorded, consent := map[string]bool{}, domain.ConsentRequired
	ignored := func(name string, by *caller, path, words string) {
		t.Helper()
		before, want := c.count(t, `select count(*) from events`), 1
		if recorded[path] || strings.Contains(path, "made-up") || !strings.Contains(path, "state=") {
			want = 0
		}
		recorded[path] = true
		res := by.send(t, "GET", path)
		if res.status != http.StatusBadRequest || !strings.Contains(res.text(), words) {
			t.Errorf("%s: %d %s", name, res.status, clip(res.body))
		}
		if after := c.count(t, `select count(*) from events`); after != before+want {
			t.Errorf("%s: %d events were recorded, want %d", name, after-before, want)
		}
		if conn := c.now(t); conn.Consent != consent || conn.Scope.Held() {
			t.Errorf("%s: consent is %s, scope %+v", name, conn.Consent, conn.Scope)
		}
	}
	ignored("made up", b, answer("made-up"), "no longer valid")
	ignored("no state", b, "/consent/callback", "no longer valid")

	state := c.ask(t, b, c.conn, "").Get("state")
	ignored("nobody's browser", c.browser(t, ""), answer(state), "tell the person who sent you the link")
	ignored("the right browser after that", b, answer(state), "no longer valid")
	if page := b.send(t, "GET", consentPath(c.conn)).text(); !strings.Contains(page, "answered in another browser") {
		t.Error("the page does not say that the link was answered elsewhere")
	}
	state = c.ask(t, b, c.conn, "").Get("state")
	ignored("the same person in another session", c.browser(t, "manager"), answer(state), "close this page")

	state = c.ask(t, b, c.conn, "").Get("state")
	if res := b.send(t, "POST", "/sign-out", form(nil)); res.status != http.StatusSeeOther {
		t.Fatalf("sign out: %d", res.status)
	}
	ignored("signed out meanwhile", b, answer(state), "close this page")

	b = c.browser(t, "manager")
	state = c.ask(t, b, c.conn, "").Get("state")
	_, err := c.pool.Exec(t.Context(), `update consent_requests set expires_at = clock_timestamp()`)
	must(t, err)
	ignored("too late", b, answer(state), "no longer valid")

	state = c.ask(t, b, c.conn, "https://evil.example/").Get("state")
	if res := b.send(t, "GET", answer(state)); res.status != http.StatusSeeOther || res.header.Get("Location") != consentPath(c.conn) {
		t.Errorf("a page elsewhere as next: %d to %q", res.status, res.header.Get("Location"))
	}
	held := c.now(t)
	if held.Consent != domain.ConsentIsGiven || !held.Scope.Held() {
		t.Errorf("after a good answer: %s, scope %+v", held.Consent, held.Scope)
	}
	for range 2 {
		before := c.count(t, `select count(*) from events where name = 'ConsentAnswerIgnored'`)
		if res := b.send(t, "GET", answer(state)); res.status != http.StatusBadRequest || !strings.Contains(res.text(), "no longer valid") {
			t.Errorf("twice: %d", res.status)
		}
		if n := c.count(t, `select count(*) from events where name = 'ConsentAnswerIgnored'`); n != before && recorded[state] {
			t.Errorf("one link is recorded again: %d", n-before)
		}
		recorded[state] = true
	}
	c.settle(t)
	if page := b.send(t, "GET", connectionAt(c.conn)).text(); !strings.Contains(page, "Consent answer ignored") {
		t.Error("the connection's history does not tell of answers that were not listened to")
	}
}

// TestConsentForAnotherApplication: a link is for the application that the connection had when it was made. What comes back after it was changed
// is an answer to a link that is over, a grant and a refusal alike, until somebody asks for consent to the new one.
func TestConsentForAnotherApplication(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "manager")
	for _, more := range []url.Values{{"admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()}}, {"error": {"access_denied"}}} {
		more.Set("state", c.ask(t, b, c.conn, "").Get("state"))
		must(t, c.commands.ChangeConnection(t.Context(), commands.ChangeConnection{
			Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, DisplayName: "Other", Type: "dedicated", AppID: uuid.NewString(),
		}))
		before := c.count(t, `select count(*) from events`)
		res := b.send(t, "GET", callback(more))
		if res.status != http.StatusBadRequest || !strings.Contains(res.text(), "no longer valid") || !strings.Contains(res.text(), "consent_state_invalid") {
			t.Errorf("%v: %d %s", more, res.status, clip(res.body))
		}
		if conn := c.now(t); conn.Consent != domain.ConsentUnknown || conn.Scope.Held() {
			t.Errorf("%v: consent is %s, scope %+v", more, conn.Consent, conn.Scope)
		}
		if n := c.count(t, `select count(*) from events`); n != before+1 {
			t.Errorf("%v: %d events were recorded, want that it was ignored", more, n-before)
		}
	}
	if n := c.count(t, `select count(*) from events where name = 'ConsentAnswerIgnored' and stream = $1 and payload->>'reason' = 'consent_state_invalid'`, c.conn.ID); n != 2 {
		t.Errorf("%d of 2 answers are in the history", n)
	}
	c.settle(t)
	res := b.send(t, "GET", callback(url.Values{
		"state": {c.ask(t, b, c.now(t), "").Get("state")}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()},
	}))
	if res.status != http.StatusSeeOther || c.now(t).Consent != domain.ConsentIsGiven {
		t.Errorf("a link for the new one: %d, consent %s", res.status, c.now(t).Consent)
	}
}

// TestConsentForPrograms: a program gets a link and how consent stands, as JSON. No browser's answer to the link counts, not even of the same
// person: a check finds out.
func TestConsentForPrograms(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	var d view.ConsentDetail
	res := c.program(t, "manager").send(t, "POST", consentPath(c.conn)+"/request", jsonBody(`{}`))
	if err := json.Unmarshal(res.body, &d); err != nil || res.status != http.StatusOK || d.Link == nil || d.Request == nil || d.Request.State != "open" {
		t.Fatalf("make link: %d %s %v", res.status, clip(res.body), err)
	}
	link, err := url.Parse(d.Link.URL)
	must(t, err)
	answer := callback(url.Values{"state": {link.Query().Get("state")}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()}})
	if res := c.browser(t, "manager").send(t, "GET", answer); res.status != http.StatusBadRequest || !strings.Contains(res.text(), "tell the person who sent you the link") {
		t.Errorf("an answer in a browser: %d %s", res.status, clip(res.body))
	}
	res = c.program(t, "readonly").send(t, "GET", consentPath(c.conn), accept("application/json"))
	d = view.ConsentDetail{}
	must(t, json.Unmarshal(res.body, &d))
	if d.Link != nil || d.Request == nil || d.Request.State != "elsewhere" || view.String(d.State.ConsentStatus) != "required" || len(d.Permissions) == 0 {
		t.Errorf("afterwards: %s", res.body)
	}
}

// TestConsentIsForThoseWhoMayManage: the right to manage is taken away at once, also from who has a link out.
func TestConsentIsForThoseWhoMayManage(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	b := c.browser(t, "manager")
	state := c.ask(t, b, c.conn, "").Get("state")
	_, err := c.pool.Exec(t.Context(), `update members set role = 'operator' where person = $1`, c.people["manager"])
	must(t, err)
	res := b.send(t, "GET", callback(url.Values{"state": {state}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()}}))
	if res.status != http.StatusForbidden || c.now(t).Consent != domain.ConsentRequired {
		t.Errorf("who may not manage any more: %d, consent %s", res.status, c.now(t).Consent)
	}
	page := c.browser(t, "readonly").send(t, "GET", consentPath(c.conn)).text()
	if strings.Contains(page, "/consent/request") || strings.Contains(page, "re-check") || !strings.Contains(page, "GroupMember.Read.All") {
		t.Error("a reader does not see the page, or sees buttons on it")
	}
}
