package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// TestWizardMeetsWhatIsThere: a directory that is managed, one's own session, and somebody else's, each lead where work goes on; mistakes are
// told on the step's page with what was entered.
func TestWizardMeetsWhatIsThere(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager, owner := c.browser(t, "manager"), c.browser(t, "owner")
	identify := func(directory string, more url.Values) message {
		fields := url.Values{"entra_tenant_id": {directory}, "name": {"Wingtip"}, "groups": {"north, south"}}
		for k, v := range more {
			fields[k] = v
		}
		return form(fields)
	}
	says := func(res response, status int, texts ...string) {
		t.Helper()
		if res.status != status {
			t.Errorf("%d, want %d: %s", res.status, status, clip(res.body))
		}
		for _, text := range texts {
			if !strings.Contains(res.text(), text) {
				t.Errorf("the page does not say %q", text)
			}
		}
	}
	says(manager.send(t, "POST", "/admin/onboarding", identify("wingtip.com", nil)), 422, "Give the directory id", `value="wingtip.com"`)
	says(manager.send(t, "POST", "/admin/onboarding", identify(c.contoso.ExternalID.String(), nil)), 409, "is managed here already", "Open tenant")
	directory := uuid.NewString()
	says(manager.send(t, "POST", "/admin/onboarding", identify(directory, url.Values{"name": {"Wing\x00tip"}})), 422,
		`aria-describedby="field-name-help" aria-invalid="true"`)
	begun := manager.send(t, "POST", "/admin/onboarding", identify(directory, nil))
	session := begun.header.Get("Location")
	if begun.status != http.StatusSeeOther || !strings.HasPrefix(session, "/admin/onboarding/") {
		t.Fatalf("begun: %d to %q: %s", begun.status, session, clip(begun.body))
	}
	if again := manager.send(t, "POST", "/admin/onboarding", identify(directory, nil)); again.status != http.StatusSeeOther || again.header.Get("Location") != session {
		t.Errorf("resumed: %d to %q", again.status, again.header.Get("Location"))
	}
	says(owner.send(t, "POST", "/admin/onboarding", identify(directory, nil)), 409, "Manager is onboarding Wingtip", "Take over")
	says(owner.send(t, "GET", session), 200, "Manager is doing this onboarding", "Take over")
	says(manager.send(t, "GET", session), 200, "2. Provider connection", "Create a connection")
	says(manager.send(t, "GET", session+"?step=verify"), 200, "This step is locked until")
	says(manager.send(t, "GET", session+"?step=dance"), 400)
	says(manager.send(t, "POST", session+"/connection", form(url.Values{"display_name": {"Wingtip"}, "connection_type": {"odd"}, "app_id": {"11111111-2222-3333-4444-555555555555"}})), 422, `value="11111111-2222-3333-4444-555555555555"`,
		`name="connection_type" aria-describedby="field-connection-type-help" aria-invalid="true"`)
	says(owner.send(t, "POST", session+"/abandon", form(url.Values{"reason": {"x"}})), 409, "Somebody else is doing this onboarding")
	res := manager.send(t, "POST", session+"/connection", form(url.Values{
		"display_name": {"Wingtip"}, "connection_type": {"platform"}, "app_id": {"11111111-2222-3333-4444-555555555555"},
	}))
	if res.status != http.StatusSeeOther {
		t.Fatalf("created: %d %s", res.status, clip(res.body))
	}
	says(manager.send(t, "GET", session), 200, "Credential of Wingtip", "Save credential and continue", `<details class="form-stack"><summary>Create a new connection`)
	says(manager.send(t, "POST", session+"/connection", form(url.Values{"display_name": {"a\x00b"}, "connection_type": {"platform"}})), 422,
		`<details class="form-stack" open><summary>Create a new connection`, `aria-describedby="field-display-name-help" aria-invalid="true"`)
	says(manager.send(t, "POST", session+"/changes/credential", form(url.Values{"kind": {"secret"}})), 422, "Enter the secret")
	says(manager.send(t, "POST", session+"/changes/no-such"), 404)
	again := url.Values{"display_name": {"Wingtip"}, "connection_type": {"platform"}}
	if res := manager.send(t, "POST", session+"/connection", form(again)); res.status != http.StatusSeeOther {
		t.Fatalf("one of the same name: %d %s", res.status, clip(res.body))
	}
	says(manager.send(t, "GET", session+"?step=connection"), 200, "Wingtip (connection ")
	if res := owner.send(t, "POST", session+"/take-over"); res.status != http.StatusSeeOther || res.header.Get("Location") != session {
		t.Errorf("taken over: %d to %q", res.status, res.header.Get("Location"))
	}
	says(owner.send(t, "GET", session), 200, "Took the onboarding over", "Save credential and continue")
	says(manager.send(t, "GET", session), 200, "Owner is doing this onboarding")
	says(c.browser(t, "readonly").send(t, "GET", session), 200, "You can read this onboarding")
	says(c.browser(t, "limited").send(t, "GET", session), 404)
	if res := owner.send(t, "POST", session+"/abandon", form(url.Values{"reason": {"Contract was not signed"}})); res.status != http.StatusSeeOther {
		t.Errorf("abandoned: %d %s", res.status, clip(res.body))
	}
	says(owner.send(t, "GET", "/admin/onboarding"), 200, "Contract was not signed", "Abandoned")
	says(owner.send(t, "GET", session), 200, "This onboarding was abandoned", "Start again")
}

// TestWizardOnADisabledAndDegradedConnection: a disabled one is explained and enabled in place; a degraded verification is accepted with a
// reason, and Start is not there while a check runs.
func TestWizardOnADisabledAndDegradedConnection(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.enable(t, false)
	c.settle(t)
	manager := c.browser(t, "manager")
	s := c.onboard(t, c.program(t, "manager"), c.contoso)
	path := func(action string) string { return onboardingPath(s.ID, action) }
	page := manager.send(t, "GET", path("")).text()
	if !strings.Contains(page, "provider_connection_disabled") || !strings.Contains(page, path("/changes/enable")) {
		t.Errorf("disabled: %s", clip([]byte(page)))
	}
	if res := manager.send(t, "POST", path("/changes/enable")); res.status != http.StatusSeeOther {
		t.Fatalf("enable: %d %s", res.status, clip(res.body))
	}
	verify := path("?step=verify")
	start := path("/provider-actions/provider.connection.check/start")
	if page = manager.send(t, "GET", verify).text(); !strings.Contains(page, `action="`+start+`"`) {
		t.Error("no way to verify")
	}
	fields := url.Values{"attempt_id": {uuid.NewString()}, "step": {"verify"}}
	for range 2 { // a reload of the answer starts nothing
		if res := manager.send(t, "POST", start, form(fields)); res.status != http.StatusOK || !strings.Contains(res.text(), `data-outcome="accepted"`) {
			t.Fatalf("verify: %d %s", res.status, clip(res.body))
		}
	}
	if page = manager.send(t, "GET", verify).text(); strings.Contains(page, `action="`+start+`"`) || !strings.Contains(page, "Refresh") {
		t.Error("a check runs: Start should be hidden and Refresh there")
	}
	if page = c.browser(t, "readonly").send(t, "GET", verify).text(); !strings.Contains(page, "Verification report") {
		t.Error("who may only read does not see the report")
	}
	must(t, c.commands.EndRun(t.Context(), c.work(t), domain.Ending{Outcome: domain.Succeeded}, &domain.Finding{State: domain.VerificationDegraded, Granted: []string{"Directory.Read.All"}}))
	c.settle(t)
	if page = manager.send(t, "GET", path("?step=finish")).text(); !strings.Contains(page, "Why is the degraded verification acceptable?") {
		t.Errorf("degraded: %s", clip([]byte(page)))
	}
	if res := manager.send(t, "POST", path("/complete"), form(url.Values{})); res.status != http.StatusUnprocessableEntity || !strings.Contains(res.text(), "The verification is degraded") {
		t.Errorf("without a reason: %d", res.status)
	}
	if res := manager.send(t, "POST", path("/complete"), form(url.Values{"reason": {"Roles are not licensed"}})); res.status != http.StatusSeeOther {
		t.Errorf("completed: %d %s", res.status, clip(res.body))
	}
	if page = manager.send(t, "GET", path("")).text(); !strings.Contains(page, "First three things to do") || !strings.Contains(page, "Roles are not licensed") {
		t.Errorf("finished: %s", clip([]byte(page)))
	}
}

// TestWizardSaysWhyACheckFailed: a check that failed before consent is known names its reason where it is mended: a directory that is not there at
// the consent, a credential that is not usable at the connection, whose form replaces it.
func TestWizardSaysWhyACheckFailed(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager, program := c.browser(t, "manager"), c.program(t, "manager")
	s := program.send(t, "POST", "/admin/onboarding", jsonBody(`{"entra_tenant_id":"`+uuid.NewString()+`","name":"Wingtip"}`)).session(t)
	path := func(action string) string { return onboardingPath(s.ID, action) }
	s = program.send(t, "POST", path("/connection"), jsonBody(`{"display_name":"Wingtip","connection_type":"platform","app_id":"11111111-2222-3333-4444-555555555555"}`)).session(t)
	if res := manager.send(t, "POST", path("/changes/credential"), form(url.Values{"kind": {"federated"}})); res.status != http.StatusSeeOther {
		t.Fatalf("credential: %d %s", res.status, clip(res.body))
	}
	for _, tc := range []struct {
		reason     domain.ReasonCode
		step       string
		says, lack []string
	}{
		{domain.ReasonProviderTenantNotFound, "consent", []string{"The directory id of the connection is unknown", "Check tenant id", "I already consented, re-check"}, []string{"Save credential"}},
		{domain.ReasonProviderCredentialMissing, "connection", []string{"the workers lack the token file", "Save credential and continue", "Check again"}, nil},
	} {
		must(t, c.commands.RecordVerification(t.Context(), commands.RecordVerification{
			Actor: domain.SystemActor(c.ours), Connection: *s.Connection, Finding: domain.Finding{State: domain.VerificationBlocked, Reason: tc.reason},
		}))
		c.settle(t)
		if now := program.send(t, "GET", path("")).session(t); now.CurrentStep != tc.step {
			t.Errorf("%s: the step that is due is %s, want %s", tc.reason, now.CurrentStep, tc.step)
		}
		page := manager.send(t, "GET", path("")).text()
		for _, text := range append(tc.says, string(tc.reason)) {
			if !strings.Contains(page, text) {
				t.Errorf("%s: the step does not say %q", tc.reason, text)
			}
		}
		for _, text := range tc.lack {
			if strings.Contains(page, text) {
				t.Errorf("%s: the step says %q", tc.reason, text)
			}
		}
	}
	if res := manager.send(t, "POST", path("/changes/credential"), form(url.Values{"kind": {"secret"}, "secret": {"another"}})); res.status != http.StatusSeeOther {
		t.Fatalf("another credential: %d %s", res.status, clip(res.body))
	}
	if now := program.send(t, "GET", path("")).session(t); now.CurrentStep != "consent" {
		t.Errorf("with another credential the step that is due is %s", now.CurrentStep)
	}
	log := func() []string {
		lines, err := projections.NewReader(c.pool).OnboardingLog(t.Context(), domain.SystemActor(c.ours), s.ID)
		must(t, err)
		events := make([]string, len(lines))
		for i, l := range lines {
			events[i] = l.Event
		}
		return events
	}
	manager.send(t, "POST", path("/changes/consent"))
	c.settle(t)
	want := []string{
		"ConsentRequested", "CredentialRotated", "VerificationRecorded", "VerificationRecorded", "CredentialRotated", "ConnectionChosen",
		"TenantIdentified", "OnboardingStarted",
	}
	if got := log(); !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
	program.send(t, "POST", path("/abandon"), jsonBody(`{}`)).session(t)
	must(t, c.commands.RecordConsent(t.Context(), commands.RecordConsent{Actor: domain.SystemActor(c.ours), Connection: *s.Connection, Consent: domain.ConsentIsGiven}))
	c.settle(t)
	if got := log(); !slices.Equal(got, append([]string{"OnboardingAbandoned"}, want...)) {
		t.Errorf("what happened after the end is in the log: %v", got)
	}
}

// TestWizardTellsOnlyOfWhatStarted: first operations that were passed over have not begun, and what happens to the connection after the end does
// not change the session.
func TestWizardTellsOnlyOfWhatStarted(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager, program := c.browser(t, "manager"), c.program(t, "manager")
	c.consent(t, c.contoso, domain.ConsentIsGone)
	c.settle(t)
	s := c.onboard(t, program, c.contoso)
	path := func(action string) string { return onboardingPath(s.ID, action) }
	program.send(t, "POST", path("/provider-bootstrap/start"), jsonBody(fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":["directory_groups.sync"]}`, c.conn.Number)))
	c.settle(t)
	c.consent(t, c.contoso, domain.ConsentIsGiven)
	c.settle(t)
	if s = program.send(t, "GET", path("")).session(t); s.CurrentStep != "bootstrap" || s.Operations[0].State != "blocked" {
		t.Errorf("begun: %+v", s)
	}
	finish := func() string { return manager.send(t, "GET", path("?step=finish")).text() }
	if page := finish(); !strings.Contains(page, "1 operation selected, 1 never started") || !strings.Contains(page, "Optional") {
		t.Error("an operation that was passed over is told to have ended")
	}
	program.send(t, "POST", path("/complete"), jsonBody(`{}`)).session(t)
	c.consent(t, c.contoso, domain.ConsentIsGone)
	c.settle(t)
	page := finish()
	if s = program.send(t, "GET", path("")).session(t); s.CurrentStep != "bootstrap" || strings.Contains(page, "Revoked") || strings.Contains(page, "Locked") {
		t.Errorf("what happened after the end changes the session: %s", s.CurrentStep)
	}
}

// TestWizardIsKeptCurrent: with the third step open, an answer to the link, what a check finds and a take-over are seen as they come. The link
// itself is not sent again, and is not taken off the page while it waits for an answer.
func TestWizardIsKeptCurrent(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.lacking(t)
	manager := c.browser(t, "manager")
	s := c.onboard(t, c.program(t, "manager"), c.contoso)
	path := func(action string) string { return onboardingPath(s.ID, action) }
	made := manager.send(t, "POST", path("/changes/consent")).text()
	secret := regexp.MustCompile(`state=([\w-]+)`).FindStringSubmatch(made)
	if secret == nil || !strings.Contains(made, "It works for one answer") {
		t.Fatalf("no link was made: %s", clip([]byte(made)))
	}
	live := manager.listen(t, path("/stream?step=consent"))
	if first := live.until(`hx-target="#wizard-nav"`); strings.Contains(first, secret[1]) || strings.Contains(first, `hx-target="#consent-newest"`) {
		t.Error("the link is sent again, or taken away")
	}
	answer := callback(url.Values{"state": {secret[1]}, "admin_consent": {"True"}, "tenant": {c.contoso.ExternalID.String()}})
	if res := manager.send(t, "GET", answer); res.status != http.StatusSeeOther {
		t.Fatalf("the answer: %d %s", res.status, clip(res.body))
	}
	if said := live.until(`hx-target="#consent-newest"`, "The newest link was answered.", "Follow run"); strings.Contains(said, secret[1]) {
		t.Error("the link is sent again")
	}
	started := manager.listen(t, path("/stream?step=consent&started=true"))
	if first := started.until(`hx-target="#wizard-nav"`); strings.Contains(first, `hx-target="#wizard-outcome"`) {
		t.Error("what became of the start is taken away while it is so")
	}
	must(t, c.commands.EndRun(t.Context(), c.work(t), domain.Ending{Outcome: domain.Succeeded}, &domain.Finding{
		State: domain.VerificationHealthy, Granted: domain.NeededPermissions(), Consent: domain.ConsentIsGiven,
	}))
	started.until(`hx-target="#wizard-outcome"`)
	live.until("I already consented, re-check")
	c.browser(t, "owner").send(t, "POST", path("/take-over"))
	live.until(`hx-target="#wizard-owner"`, "Owner: Owner")
}
