package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

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
	for _, path := range []string{connectionAt(c.conn), consentPath(c.conn)} {
		if page := b.send(t, "GET", path).text(); !strings.Contains(page, "it has not been checked") || !strings.Contains(page, "The check waits until run") {
			t.Errorf("%s does not say that the check waits", path)
		}
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

// TestConsentThatCannotBeChecked: on a connection on hold the grant is recorded with the refused check. Its pages say that the consent was given
// and not checked, what is in the way and the one thing to do, until a check has found something.
func TestConsentThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	owner, reader := c.browser(t, "owner"), c.browser(t, "readonly")
	system := domain.SystemActor(c.ours)
	link := c.ask(t, owner, c.conn, "")
	must(t, c.commands.HoldConnection(t.Context(), commands.HoldConnection{Actor: system, Connection: c.conn.Number, Reason: "audit"}))
	res := owner.send(t, "GET", callback(url.Values{"state": {link.Get("state")}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()}}))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != consentPath(c.conn) {
		t.Fatalf("callback: %d to %q", res.status, res.header.Get("Location"))
	}
	if n := c.count(t, `select count(*) from events where name = 'StartBlocked' and payload->>'reason' = 'tenant_on_hold'
		and xmin = (select xmin from events where name = 'ConsentGranted.v2' and payload->>'evidence' = 'callback')`); n != 1 {
		t.Errorf("%d refused checks are recorded with the grant", n)
	}
	const unchecked = "Consent was given, but it has not been checked."
	says := func(by *caller, words ...string) {
		t.Helper()
		c.settle(t)
		for _, path := range []string{connectionAt(c.conn), consentPath(c.conn)} {
			page := by.send(t, "GET", path).text()
			for _, want := range append(words, unchecked) {
				if !strings.Contains(page, want) {
					t.Errorf("%s does not say %q", path, want)
				}
			}
			if n := strings.Count(page, "Check now"); strings.Join(words, "") == "Check now" && n != 1 || strings.Contains(page, "re-check") {
				t.Errorf("%s has %d buttons to check, or others beside", path, n)
			}
		}
	}
	release := `href="` + connectionAt(c.conn) + `/changes/release"`
	says(owner, "The connection is on hold: audit.", release)
	says(reader, "The connection is on hold: audit. This takes a right that you do not have.")
	var d view.ConsentDetail
	must(t, json.Unmarshal(c.program(t, "readonly").send(t, "GET", consentPath(c.conn), accept("application/json")).body, &d))
	if d.OperatorMessage != unchecked {
		t.Errorf("programs are told %q", d.OperatorMessage)
	}

	must(t, c.commands.ReleaseConnection(t.Context(), commands.ReleaseConnection{Actor: system, Connection: c.conn.Number, Reason: "done"}))
	says(owner, "Check now")
	action, fields := formWith(t, owner.send(t, "GET", connectionAt(c.conn)).text(), "Check now")
	if res := owner.send(t, "POST", action, form(fields)); !strings.Contains(res.text(), `data-outcome="accepted"`) {
		t.Fatalf("check now: %d %s", res.status, clip(res.body))
	}
	claim := c.work(t)
	if page := owner.send(t, "GET", connectionAt(c.conn)).text(); strings.Contains(page, unchecked) {
		t.Error("it is said while the check runs")
	}
	c.end(t, claim, domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonProviderUnavailable}) // found nothing
	says(owner, "Check now")
	_, fields = formWith(t, owner.send(t, "GET", consentPath(c.conn)).text(), "Check now")
	if res := owner.send(t, "POST", action, form(fields)); !strings.Contains(res.text(), `data-outcome="accepted"`) {
		t.Fatalf("check now: %d %s", res.status, clip(res.body))
	}
	claim = c.work(t)
	must(t, c.commands.EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Succeeded}, &domain.Finding{
		State: domain.VerificationHealthy, Consent: domain.ConsentIsGiven, Granted: granted,
	}))
	c.settle(t)
	for _, path := range []string{connectionAt(c.conn), consentPath(c.conn)} {
		if strings.Contains(owner.send(t, "GET", path).text(), unchecked) {
			t.Errorf("%s says it after a check", path)
		}
	}
}

// TestConsentWhoseAnswerIsLost: the process dies, or the database fails, after the link is used up and before all of its answer is recorded. Nothing
// is recorded then, no grant without its check; the page says that the link was answered, the reloaded answer leads back to it, and the button there finds
// the consent out.
func TestConsentWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	b := c.browser(t, "manager")
	owner := c.db.OwnerPool(t)
	answer := callback(url.Values{
		"state": {c.ask(t, b, c.conn, "").Get("state")}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()},
	})
	_, err := owner.Exec(t.Context(), `
		create function fail() returns trigger language plpgsql as $$ begin raise 'broken'; end $$;
		create trigger fail before insert on events for each row when (new.name = 'RunAccepted') execute function fail()`)
	must(t, err)
	before := c.count(t, `select count(*) from events`)
	if res := b.send(t, "GET", answer); res.status < 500 {
		t.Fatalf("an answer that cannot be recorded: %d %s", res.status, clip(res.body))
	}
	_, err = owner.Exec(t.Context(), `drop trigger fail on events`)
	must(t, err)
	if n := c.count(t, `select count(*) from events`); n != before || c.now(t).Consent != domain.ConsentRequired {
		t.Fatalf("%d events, consent %s", n-before, c.now(t).Consent)
	}
	res := b.send(t, "GET", answer)
	if res.status != http.StatusBadRequest || !strings.Contains(res.text(), `href="`+consentPath(c.conn)+`"`) || !strings.Contains(res.text(), "re-check") {
		t.Errorf("reloaded: %d %s", res.status, clip(res.body))
	}
	page := b.send(t, "GET", consentPath(c.conn)).text()
	if !strings.Contains(page, "answered, but no consent is recorded") {
		t.Error("the page does not say that the answer is not recorded")
	}
	c.recheck(t, b, page)
}

// recheck presses "I already consented, re-check" as it stands on a page, and expects a check that looks for the consent.
func (c *console) recheck(t testing.TB, b *caller, page string) {
	t.Helper()
	action, fields := formWith(t, page, "I already consented, re-check")
	if fields.Get("reconsent") != "true" {
		t.Errorf("the form has %v", fields)
	}
	res := b.send(t, "POST", action, form(fields))
	if res.status != http.StatusOK || !strings.Contains(res.text(), `data-outcome="accepted"`) {
		t.Fatalf("re-check: %d %s", res.status, clip(res.body))
	}
	conn := c.now(t)
	run, _, err := eventstore.Current[domain.Run](t.Context(), c.store, conn.Scope.Run)
	must(t, err)
	if conn.Verification != domain.VerificationPending || run.Operation != domain.OpConnectionCheck || !run.Reconsent {
		t.Errorf("after it: %s, run %+v", conn.Verification, run)
	}
}

var (
	formShape  = regexp.MustCompile(`(?s)<form [^>]*action="([^"]+)".*?</form>`)
	inputShape = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// formWith finds the form of a page that has a button, and what it sends.
func formWith(t testing.TB, page, button string) (action string, fields url.Values) {
	t.Helper()
	for _, f := range formShape.FindAllStringSubmatch(page, -1) {
		if !strings.Contains(html.UnescapeString(f[0]), button) {
			continue
		}
		fields = url.Values{}
		for _, in := range inputShape.FindAllStringSubmatch(f[0], -1) {
			fields.Add(html.UnescapeString(in[1]), html.UnescapeString(in[2]))
		}
		return html.UnescapeString(f[1]), fields
	}
	t.Fatalf("no form with %q on the page: %s", button, clip([]byte(page)))
	return "", nil
}

// TestReconsentIsPressed: where consent is known to be missing a check is refused, unless it comes from the form that says it was given since.
func TestReconsentIsPressed(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	b := c.browser(t, "operator")
	page := b.send(t, "GET", consentPath(c.conn)).text()
	action, fields := formWith(t, page, "I already consented, re-check")
	for field, value := range map[string]string{"reconsent": "", "attempt_id": uuid.NewString()} {
		fields.Set(field, value)
	}
	if res := b.send(t, "POST", action, form(fields)); res.status != http.StatusOK || !strings.Contains(res.text(), "provider_consent_missing") {
		t.Errorf("without the word: %d %s", res.status, clip(res.body))
	}
	c.recheck(t, b, page)
}

// TestConsentOutlivesItsBrowser: who closes the browser while the answer is being recorded loses nothing.
func TestConsentOutlivesItsBrowser(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	b := c.browser(t, "manager")
	answer := callback(url.Values{
		"state": {c.ask(t, b, c.conn, "").Get("state")}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()},
	})
	tx, err := c.db.OwnerPool(t).Begin(t.Context())
	must(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), `lock table events in share mode`) // nothing can be appended, so the connection's committer is in the middle of:
	must(t, err)
	renamed := make(chan error, 1)
	go func() {
		renamed <- c.commands.ChangeConnection(t.Context(), commands.ChangeConnection{
			Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, DisplayName: "Renamed", Type: c.conn.ConnectionType, AppID: c.conn.AppID,
		})
	}()
	c.until(t, "something waits to be appended", `select exists (select from pg_locks where relation = 'events'::regclass and not granted)`)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		req, _, err := b.request(ctx, "GET", answer)
		if err == nil {
			_, err = b.client.Do(req)
		}
		if err == nil {
			t.Error("the browser got an answer")
		}
	}()
	c.until(t, "the link is used", `select exists (select from consent_requests where answered_at is not null)`)
	time.Sleep(50 * time.Millisecond) // the answer is queued behind
	leave()
	<-left
	time.Sleep(50 * time.Millisecond) // the server knows that nobody waits
	must(t, tx.Rollback(t.Context()))
	must(t, <-renamed)
	c.until(t, "the grant is recorded with its check", `select exists (select from events where name = 'RunAccepted')
		and exists (select from events where name = 'ConsentGranted.v2' and payload->>'evidence' = 'callback')`)
}

// until waits until a query says true, for at most 10 s.
func (c *console) until(t testing.TB, what, query string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var yes bool
		must(t, c.pool.QueryRow(t.Context(), query).Scan(&yes))
		if yes {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
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
