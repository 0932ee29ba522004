package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

const (
	sessionJSON   = "application/vnd.tenantpilot.onboarding-session+json"
	bootstrapJSON = "application/vnd.tenantpilot.onboarding-bootstrap-start-outcome+json"
)

// onboardingSession is a session as programs get it.
type onboardingSession struct {
	ID           int64   `json:"onboarding_session_id"`
	Tenant       string  `json:"tenant_id"`
	CurrentStep  string  `json:"current_step"`
	State        string  `json:"state"`
	Owner        string  `json:"owner"`
	Connection   *int64  `json:"provider_connection_id"`
	Default      *bool   `json:"is_default"`
	Runs         []int64 `json:"operation_run_ids"`
	Verification *struct {
		Outcome, Status string
		Run             *int64 `json:"operation_run_id"`
	} `json:"verification"`
	Operations []struct {
		Type   string `json:"operation_type"`
		State  string `json:"state"`
		Status string `json:"status"`
		Reason string `json:"reason_code"`
	} `json:"operations"`
}

func (r response) session(t testing.TB) onboardingSession {
	t.Helper()
	if r.status != http.StatusOK || r.header.Get("Content-Type") != sessionJSON {
		t.Fatalf("answer is %d %s: %s", r.status, r.header.Get("Content-Type"), clip(r.body))
	}
	var s onboardingSession
	must(t, json.Unmarshal(r.body, &s))
	return s
}

func onboardingPath(number int64, action string) string {
	return fmt.Sprintf("/admin/onboarding/%d", number) + action
}

// onboard begins a session for a directory as somebody, with the default connection chosen.
func (c *console) onboard(t testing.TB, who *caller, tenant domain.Tenant) onboardingSession {
	t.Helper()
	begun := who.send(t, "POST", "/admin/onboarding", jsonBody(`{"entra_tenant_id":"`+tenant.ExternalID.String()+`","name":"x"}`)).session(t)
	return who.send(t, "POST", onboardingPath(begun.ID, "/connection"), jsonBody(`{}`)).session(t)
}

// TestOnboardingFromIdentifyToComplete goes through the wizard as a program.
func TestOnboardingFromIdentifyToComplete(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager := c.program(t, "manager")
	directory := uuid.NewString()
	begin := jsonBody(`{"entra_tenant_id":"` + directory + `","name":"Wingtip","domain":null,"groups":["North"]}`)
	s := manager.send(t, "POST", "/admin/onboarding", begin).session(t)
	if s.Tenant != directory || s.CurrentStep != "connection" || s.State != "open" || s.Owner != "Manager" || s.Connection != nil {
		t.Errorf("begun: %+v", s)
	}
	if again := manager.send(t, "POST", "/admin/onboarding", begin).session(t); again.ID != s.ID {
		t.Errorf("resumed as %d, want %d", again.ID, s.ID)
	}
	path := func(action string) string { return onboardingPath(s.ID, action) }
	if r := manager.send(t, "POST", path("/connection"), jsonBody(`{"provider_connection_id":null}`)); r.status != http.StatusBadRequest {
		t.Errorf("no default connection: %d", r.status)
	}
	if r := manager.send(t, "POST", path("/connection"), jsonBody(fmt.Sprintf(`{"provider_connection_id":%d}`, c.foreign.Number))); r.status != http.StatusNotFound {
		t.Errorf("a connection of others: %d", r.status)
	}
	s = manager.send(t, "POST", path("/connection"), jsonBody(`{"display_name":"Wingtip","connection_type":"platform","app_id":"11111111-2222-3333-4444-555555555555"}`)).session(t)
	if s.Connection == nil || !*s.Default || s.CurrentStep != "connection" { // it has no credential yet
		t.Errorf("created: %+v", s)
	}
	verify := path("/provider-actions/provider.connection.check/start")
	blocked := manager.send(t, "POST", verify, jsonBody(`{"step":"verify"}`)).outcome(t)
	if blocked.Status != "blocked" || blocked.OperationType != "provider.connection.check" {
		t.Errorf("verify without a credential: %+v", blocked)
	}
	if r := manager.send(t, "POST", path("/complete"), jsonBody(`{}`)); r.status != http.StatusConflict {
		t.Errorf("completed too early: %d", r.status)
	}
	if r := manager.send(t, "POST", path("/provider-actions/directory_groups.sync/start")); r.status != http.StatusNotFound {
		t.Errorf("another operation as a verification: %d", r.status)
	}
	if s = manager.send(t, "POST", path("/abandon"), jsonBody(`{"reason":"Wrong customer"}`)).session(t); s.State != "abandoned" {
		t.Errorf("abandoned: %+v", s)
	}
	// A tenant whose connection is ready.
	s = c.onboard(t, manager, c.contoso)
	if *s.Connection != c.conn.Number || !*s.Default || s.CurrentStep != "bootstrap" {
		t.Errorf("the default: %+v", s)
	}
	check := manager.send(t, "POST", path("/provider-actions/provider.connection.check/start"), jsonBody(fmt.Sprintf(`{"providerConnectionId":%d}`, c.conn.Number)))
	if o := check.outcome(t); o.Status != "accepted" || o.Run == nil {
		t.Errorf("verify: %+v", o)
	}
	c.settle(t)
	s = manager.send(t, "GET", path("")).session(t)
	if s.Verification == nil || s.Verification.Outcome != "accepted" || s.Verification.Status != "queued" || s.Verification.Run == nil {
		t.Errorf("verification %+v", s.Verification)
	}
	c.end(t, c.work(t), domain.Ending{Outcome: domain.Succeeded})
	if s = manager.send(t, "GET", path("")).session(t); s.Verification.Status != "succeeded" {
		t.Errorf("verification %+v", s.Verification)
	}
	if s = manager.send(t, "POST", path("/complete"), jsonBody(`{}`)).session(t); s.State != "completed" {
		t.Errorf("completed: %+v", s)
	}
	if r := manager.send(t, "POST", path("/take-over")); r.status != http.StatusConflict {
		t.Errorf("take over a completed one: %d", r.status)
	}
	var list struct{ Sessions []onboardingSession }
	must(t, json.Unmarshal(c.program(t, "readonly").send(t, "GET", "/admin/onboarding").body, &list))
	if len(list.Sessions) != 2 {
		t.Errorf("%d sessions listed", len(list.Sessions))
	}
}

type bootstrapOutcome struct {
	outcome
	AcceptedOperation *string
	PendingOperations []string
	OperationRunIds   []int64
}

// TestBootstrapOutcome: one accepted, the rest pending; the runs so far; the same key again, and as a form.
func TestBootstrapOutcome(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager := c.program(t, "manager")
	s := c.onboard(t, manager, c.contoso)
	start := onboardingPath(s.ID, "/provider-bootstrap/start")
	body := jsonBody(fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":["directory_groups.sync","directory_role_definitions.sync"]}`, c.conn.Number)).
		with("Idempotency-Key", uuid.NewString())
	answer := manager.send(t, "POST", start, body)
	var o bootstrapOutcome
	must(t, json.Unmarshal(answer.body, &o))
	if answer.header.Get("Content-Type") != bootstrapJSON || o.Status != "accepted" || o.AcceptedOperation == nil || *o.AcceptedOperation != "directory_groups.sync" ||
		!slices.Equal(o.PendingOperations, []string{"directory_role_definitions.sync"}) || len(o.OperationRunIds) != 1 || o.OperationRunIds[0] != o.Run.ID {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	again := manager.send(t, "POST", start, body)
	if again.text() != answer.text() || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %s\nfirst: %s", again.body, answer.body)
	}
	other := body
	other.body = strings.Replace(other.body, `"directory_groups.sync",`, "", 1)
	if r := manager.send(t, "POST", start, other); r.status != http.StatusUnprocessableEntity {
		t.Errorf("the same key for something else: %d", r.status)
	}
	got := manager.send(t, "GET", onboardingPath(s.ID, "")).session(t)
	if len(got.Operations) != 2 || got.Operations[0].Status != "queued" || got.Operations[1].State != "pending" || len(got.Runs) != 1 {
		t.Errorf("%+v", got)
	}
	stopped := c.program(t, "owner").send(t, "POST", onboardingPath(s.ID, "/stop-rest")).session(t)
	if stopped.Operations[1].State != "stopped" || stopped.Operations[0].State != "admitted" {
		t.Errorf("stopped: %+v", stopped.Operations)
	}
	// Busy: everything waits. A person's form is answered with the step, and what became of the start above it.
	browser := c.browser(t, "manager")
	res := browser.send(t, "POST", start, form(url.Values{
		"attempt_id": {uuid.NewString()}, "providerConnectionId": {fmt.Sprint(c.conn.Number)}, "selectedOperations": {"directory_role_definitions.sync"},
	}))
	if res.status != http.StatusOK || !strings.Contains(res.text(), `data-outcome="scope_busy"`) || !strings.Contains(res.text(), "Waiting for its turn") {
		t.Errorf("the form: %d %s", res.status, clip(res.body))
	}
	// Both once more: what runs is joined; role definitions wait since the form already.
	body = jsonBody(fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":["directory_role_definitions.sync","directory_groups.sync"]}`, c.conn.Number)).
		with("Idempotency-Key", uuid.NewString())
	joined := o.Run.ID
	answer, again = manager.send(t, "POST", start, body), manager.send(t, "POST", start, body)
	o = bootstrapOutcome{}
	must(t, json.Unmarshal(answer.body, &o))
	if o.Status != "deduped" || o.Run == nil || o.Run.ID != joined || !slices.Equal(o.PendingOperations, []string{"directory_role_definitions.sync"}) {
		t.Errorf("%s", answer.body)
	}
	if answer.text() != again.text() {
		t.Errorf("again: %s\nfirst: %s", again.body, answer.body)
	}
	// What waits is not said to have been refused: it starts by itself.
	waits := jsonBody(fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":["directory_role_definitions.sync"]}`, c.conn.Number))
	o = bootstrapOutcome{}
	must(t, json.Unmarshal(manager.send(t, "POST", start, waits).body, &o))
	if o.Status != "scope_busy" || !strings.Contains(o.OperatorMessage, "waits for its turn") || strings.Contains(o.OperatorMessage, "not started") {
		t.Errorf("what waits: %+v", o)
	}
	for body, want := range map[string]int{
		``: 400, `{}`: 400, `{"providerConnectionId":1}`: 400, `{"providerConnectionId":"x"}`: 400,
		fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":[]}`, c.conn.Number):                            400,
		fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":["restore.execute"]}`, c.conn.Number):           400,
		fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":["directory_groups.sync"]}`, c.foreign.Number):  400,
		fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":["provider.connection.check"]}`, c.conn.Number): 400,
	} {
		if r := manager.send(t, "POST", start, jsonBody(body)); r.status != want {
			t.Errorf("%s: %d, want %d: %s", body, r.status, want, r.body)
		}
	}
	for who, want := range map[string]int{"operator": 403, "readonly": 403, "limited": 404, "stranger": 404, "platform": 404} {
		if r := c.program(t, who).send(t, "POST", start, jsonBody(`{`)); r.status != want {
			t.Errorf("%s: %d, want %d", who, r.status, want)
		}
	}
}

// TestTakeOver: somebody else goes on only after taking over, which is in the session's log.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager, owner := c.program(t, "manager"), c.program(t, "owner")
	s := c.onboard(t, manager, c.contoso)
	if r := owner.send(t, "POST", onboardingPath(s.ID, "/abandon"), jsonBody(`{}`)); r.status != http.StatusConflict || r.problem(t).Code != "onboarding_owned_by_other" {
		t.Errorf("somebody else: %d", r.status)
	}
	if got := owner.send(t, "POST", onboardingPath(s.ID, "/take-over")).session(t); got.Owner != "Owner" {
		t.Errorf("taken over: %+v", got)
	}
	if r := manager.send(t, "POST", onboardingPath(s.ID, "/complete"), jsonBody(`{}`)); r.status != http.StatusConflict {
		t.Errorf("the one before: %d", r.status)
	}
	c.settle(t)
	log, err := projections.NewReader(c.pool).OnboardingLog(t.Context(), domain.SystemActor(c.ours), s.ID)
	must(t, err)
	if len(log) != 4 || log[0].Event != "OnboardingTakenOver" || log[0].ActorID != c.people["owner"] {
		t.Errorf("%d events in the log, the last %s by %s", len(log), log[0].Event, log[0].ActorID)
	}
}

// TestOneWayToOnboard: exactly one wizard. No other address registers a tenant or starts a session.
func TestOneWayToOnboard(t *testing.T) {
	t.Parallel()
	for path, item := range loadContract(t).doc.Paths.Map() {
		if strings.HasPrefix(path, "/admin/onboarding") {
			continue
		}
		if strings.Contains(path, "onboard") || strings.Contains(path, "wizard") || strings.Contains(path, "bootstrap") {
			t.Errorf("%s is another way to onboard", path)
		}
		if item.Post != nil && (path == "/admin/tenants" || strings.HasPrefix(path, "/admin/tenants/") && !strings.Contains(path, "/{tenant}/")) {
			t.Errorf("POST %s is another way to register a tenant", path)
		}
	}
}

// TestWhatIsWrongWithOnboardingInput is said where it is wrong, and only to those who may onboard.
func TestWhatIsWrongWithOnboardingInput(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager := c.program(t, "manager")
	s := c.onboard(t, manager, c.contoso)
	directory := uuid.NewString()
	long := strings.Repeat("x", 121)
	for _, w := range []struct{ path, body, pointer string }{
		{"/admin/onboarding", `{"entra_tenant_id":"contoso.example","name":"x"}`, "/entra_tenant_id"},
		{"/admin/onboarding", `{"entra_tenant_id":"00000000-0000-0000-0000-000000000000","name":"x"}`, "/entra_tenant_id"},
		{"/admin/onboarding", `{"entra_tenant_id":"` + directory + `","name":""}`, "/name"},
		{"/admin/onboarding", `{"entra_tenant_id":"` + directory + `","name":"a\u0001b"}`, "/name"},
		{"/admin/onboarding", `{"entra_tenant_id":"` + directory + `","name":"x","domain":"a\u0000b"}`, "/domain"},
		{"/admin/onboarding", `{"entra_tenant_id":"` + directory + `","name":"x","domain":"a b"}`, "/domain"},
		{"/admin/onboarding", `{"entra_tenant_id":"` + directory + `","name":"x","domain":"http://contoso.com"}`, "/domain"},
		{"/admin/onboarding", `{"entra_tenant_id":"` + directory + `","name":"a\u0001b","domain":"a\u0000b"}`, "/domain"},
		{"/admin/onboarding", `{"entra_tenant_id":"` + directory + `","name":"x","groups":["a\u0000"]}`, "/groups"},
		{"/admin/onboarding", `{"entra_tenant_id":"` + directory + `","name":"x","secret":"s"}`, "/secret"},
		{onboardingPath(s.ID, "/connection"), `{"display_name":"` + long + `","connection_type":"platform"}`, "/display_name"},
		{onboardingPath(s.ID, "/connection"), `{"display_name":"x","connection_type":"other"}`, "/connection_type"},
		{onboardingPath(s.ID, "/connection"), `{"display_name":"x","connection_type":"dedicated"}`, "/app_id"},
		{onboardingPath(s.ID, "/connection"), `{"display_name":"x","connection_type":"dedicated","app_id":"mine"}`, "/app_id"},
		{onboardingPath(s.ID, "/connection"), `{"display_name":"x","provider_connection_id":1}`, "/provider_connection_id"},
		{onboardingPath(s.ID, "/connection"), `{"provider_connection_id":0}`, "/provider_connection_id"},
		{onboardingPath(s.ID, "/connection"), `{"client_secret":"s"}`, "/client_secret"},
		{onboardingPath(s.ID, "/provider-actions/provider.connection.check/start"), `{"providerConnectionId":999}`, "/providerConnectionId"},
		{onboardingPath(s.ID, "/provider-actions/provider.connection.check/start"), `{"step":"a\u0000"}`, "/step"},
		{onboardingPath(s.ID, "/provider-bootstrap/start"), `{"providerConnectionId":1,"selectedOperations":["\u0000"]}`, "/selectedOperations"},
		{onboardingPath(s.ID, "/complete"), `{"reason":"a\nb"}`, "/reason"},
		{onboardingPath(s.ID, "/abandon"), `{"reason":"` + long + `"}`, "/reason"},
		{onboardingPath(s.ID, "/take-over"), `{"reason":"x"}`, "/reason"},
	} {
		res := manager.send(t, "POST", w.path, jsonBody(w.body))
		if res.status != http.StatusBadRequest {
			t.Errorf("%s %s: %d: %s", w.path, w.body, res.status, res.body)
			continue
		}
		if p := res.problem(t); len(p.Errors) == 0 || p.Errors[0].Pointer != w.pointer {
			t.Errorf("%s %s: %+v, want %s", w.path, w.body, p.Errors, w.pointer)
		}
		if res := c.program(t, "operator").send(t, "POST", w.path, jsonBody(w.body)); res.status != http.StatusForbidden {
			t.Errorf("an operator, %s %s: %d", w.path, w.body, res.status)
		}
	}
	if n := c.count(t, `select count(*) from events where name in ('OnboardingStarted', 'OnboardingCompleted', 'OnboardingAbandoned')`); n != 1 {
		t.Errorf("%d events of refused requests", n-1)
	}
}

// TestOnboardWhatWasJustBegun: who comes a moment later than another gets the session too, though the read model may not have it yet.
func TestOnboardWhatWasJustBegun(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager := c.program(t, "manager")
	for range 20 {
		directory := uuid.New()
		begun, _, err := c.commands.StartOnboarding(t.Context(), commands.StartOnboarding{Actor: domain.SystemActor(c.ours), ExternalID: directory, Name: "Wingtip"})
		must(t, err)
		s := manager.send(t, "POST", "/admin/onboarding", jsonBody(`{"entra_tenant_id":"`+directory.String()+`","name":"Wingtip"}`)).session(t)
		if s.ID != begun.Number {
			t.Errorf("session %d, want %d", s.ID, begun.Number)
		}
	}
}

// TestBootstrapBehindOthers: the connection is free, and somebody else's start is the next.
func TestBootstrapBehindOthers(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	holder := c.hold(t, domain.OpGroupsSync)
	if r := c.program(t, "operator").send(t, "POST", reservePath(c, domain.OpRoleDefinitionsSync), jsonBody(`{}`)); r.status != http.StatusOK {
		t.Fatalf("reserve: %d", r.status)
	}
	c.free(t, holder.Run)
	manager := c.program(t, "manager")
	s := c.onboard(t, manager, c.contoso)
	body := jsonBody(fmt.Sprintf(`{"providerConnectionId":%d,"selectedOperations":["directory_groups.sync"]}`, c.conn.Number)).
		with("Idempotency-Key", uuid.NewString())
	first, again := manager.send(t, "POST", onboardingPath(s.ID, "/provider-bootstrap/start"), body), manager.send(t, "POST", onboardingPath(s.ID, "/provider-bootstrap/start"), body)
	var o bootstrapOutcome
	must(t, json.Unmarshal(first.body, &o))
	if o.Status != "scope_busy" || o.AcceptedOperation != nil || o.Run != nil || len(o.PendingOperations) != 1 || strings.Contains(o.OperatorMessage, "run 0") {
		t.Errorf("%s", first.body)
	}
	if first.text() != again.text() {
		t.Errorf("again %s\nfirst %s", again.body, first.body)
	}
}
