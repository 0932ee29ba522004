package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

// surfaces are the start routes, each with the operation that it starts here.
var surfaces = map[string]struct {
	path func(*console) string
	op   domain.OperationType
}{
	"tenant":           {func(c *console) string { return startPath(c.contoso, domain.OpGroupsSync) }, domain.OpGroupsSync},
	"connection":       {func(c *console) string { return connectionPath(c.conn, domain.OpGroupsSync) }, domain.OpGroupsSync},
	"groups":           {func(c *console) string { return groupsPath(c.contoso) }, domain.OpGroupsSync},
	"role definitions": {func(c *console) string { return rolesPath(c.contoso) }, domain.OpRoleDefinitionsSync},
	"tenant, check":    {func(c *console) string { return startPath(c.contoso, domain.OpConnectionCheck) }, domain.OpConnectionCheck},
}

func (c *console) enable(t testing.TB, enabled bool) {
	t.Helper()
	must(t, c.commands.SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{
		Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, Enabled: enabled, Reason: "for the test",
	}))
}

// hold starts an operation on Contoso as the manager.
func (c *console) hold(t testing.TB, op domain.OperationType) commands.StartResult {
	t.Helper()
	r, err := c.commands.Start(t.Context(), commands.Start{
		Actor:  domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: c.people["manager"]}, Workspace: c.ours, Role: domain.RoleManager},
		Tenant: c.contoso.ExternalID, Operation: op, Trigger: domain.TriggerOperator,
	})
	must(t, err)
	if r.Outcome != domain.Accepted {
		t.Fatalf("%s: outcome is %s %s", op, r.Outcome, r.Reason)
	}
	c.settle(t)
	return r
}

// free cancels a run that no worker has begun.
func (c *console) free(t testing.TB, run uuid.UUID) {
	t.Helper()
	_, err := c.commands.CancelRun(t.Context(), commands.CancelRun{Actor: domain.SystemActor(c.ours), Run: run})
	must(t, err)
	c.settle(t)
}

func (c *console) runID(t testing.TB, number int64) uuid.UUID {
	t.Helper()
	c.settle(t)
	var id uuid.UUID
	must(t, c.pool.QueryRow(t.Context(), `select run from runs where number = $1`, number).Scan(&id))
	return id
}

func TestAllFourOutcomesOnEverySurface(t *testing.T) {
	t.Parallel()
	for name, s := range surfaces {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t)
			path, program, browser := s.path(c), c.program(t, "operator"), c.browser(t, "operator")
			label := domain.OperationByType(s.op).Label
			other := domain.OpRoleDefinitionsSync
			if s.op == other {
				other = domain.OpGroupsSync
			}
			pages := func(status string, words ...string) {
				t.Helper()
				for _, inside := range []string{"", "true"} {
					res := browser.send(t, "POST", path, message{kind: "application/x-www-form-urlencoded", body: "sourceSurface=test"}.with("HX-Request", inside))
					if res.status != http.StatusOK {
						t.Fatalf("%s as a page: %d %s", status, res.status, clip(res.body))
					}
					for _, want := range append(words, `data-outcome="`+status+`"`) {
						if !strings.Contains(res.text(), want) {
							t.Errorf("%s (HX-Request %q) does not say %q", status, inside, want)
						}
					}
					if whole := strings.Contains(res.text(), "<html"); whole == (inside == "true") {
						t.Errorf("%s (HX-Request %q): whole page is %v", status, inside, whole)
					}
				}
			}

			c.enable(t, false)
			o := program.send(t, "POST", path).outcome(t)
			if o.Status != "blocked" || o.Run != nil || o.ShortReason == nil || len(o.NextSteps) == 0 || len(o.Actions) == 0 {
				t.Errorf("blocked: %+v", o)
			}
			pages("blocked", "Cannot start: ", "provider_connection_disabled", "Next steps")
			c.enable(t, true)

			held := c.hold(t, other)
			number := strconv.FormatInt(held.RunNumber, 10)
			o = program.send(t, "POST", path).outcome(t)
			if o.Status != "scope_busy" || o.Run == nil || o.Run.ID != held.RunNumber || !strings.Contains(o.OperatorMessage, number) {
				t.Errorf("busy: %+v", o)
			}
			if !strings.Contains(o.Actions[0].Href, number) || o.Actions[0].Label != "View holder" {
				t.Errorf("busy: actions are %+v", o.Actions)
			}
			pages("scope_busy", "connection is busy", "Manager", "View holder", "Only one operation at a time")
			c.free(t, held.Run)

			o = program.send(t, "POST", path).outcome(t)
			if o.Status != "accepted" || o.Run == nil || o.Run.Status != "queued" || o.Run.URL != runPath(o.Run.ID) || o.ShortReason != nil {
				t.Errorf("accepted: %+v", o)
			}
			if o.OperationType != string(s.op) || o.OperatorTarget != "Contoso" || o.OperatorVerb == "" || o.Actions[0].Label != "View run" {
				t.Errorf("accepted: %+v", o)
			}
			if p := o.ProviderConnection; p == nil || p.ID != c.conn.Number || p.Provider != "microsoft" || p.Label != "Contoso platform" {
				t.Errorf("accepted: connection is %+v", p)
			}
			first := *o.Run
			o = program.send(t, "POST", path).outcome(t)
			if o.Status != "deduped" || o.Run == nil || o.Run.ID != first.ID {
				t.Errorf("deduped: %+v", o)
			}
			pages("deduped", "joined run "+strconv.FormatInt(first.ID, 10), "Operator", "may not be included", "View run")
			c.free(t, c.runID(t, first.ID))

			res := browser.send(t, "POST", path, form(url.Values{"attempt_id": {uuid.NewString()}}))
			if !strings.Contains(res.text(), `data-outcome="accepted"`) || !strings.Contains(res.text(), label+" started for Contoso") {
				t.Errorf("accepted page: %s", clip(res.body))
			}
		})
	}
}

var digits = regexp.MustCompile(`\b\d{4,}\b|\d\d:\d\d:\d\d`) // numbers of runs, and times

// TestEverySurfaceSaysTheSame starts the same work through each surface that can: but for the number of the run, the answers are equal.
func TestEverySurfaceSaysTheSame(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	program := c.program(t, "operator")
	said := map[string]string{}
	for name, s := range surfaces {
		if s.op != domain.OpGroupsSync {
			continue
		}
		var all []string
		say := func() outcome {
			t.Helper()
			res := program.send(t, "POST", s.path(c))
			all = append(all, digits.ReplaceAllString(res.text(), "N"))
			return res.outcome(t)
		}
		run := say().Run
		say()
		c.free(t, c.runID(t, run.ID))
		c.enable(t, false)
		say()
		c.enable(t, true)
		held := c.hold(t, domain.OpRoleDefinitionsSync)
		say()
		c.free(t, held.Run)
		said[name] = strings.Join(all, "")
	}
	for name, text := range said {
		if text != said["tenant"] {
			t.Errorf("%s says\n%s\nbut tenant says\n%s", name, text, said["tenant"])
		}
	}
}

func TestMissingPermissionsAreListed(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	must(t, c.commands.RecordVerification(t.Context(), commands.RecordVerification{
		Actor: domain.SystemActor(c.ours), Connection: c.conn.Number,
		Finding: domain.Finding{State: domain.VerificationDegraded, Granted: []string{"GroupMember.Read.All"}},
	}))
	o := c.program(t, "operator").send(t, "POST", rolesPath(c.contoso)).outcome(t)
	if o.Status != "blocked" || !strings.Contains(o.OperatorMessage, "RoleManagement.Read.Directory") {
		t.Errorf("outcome = %+v", o)
	}
	if o = c.program(t, "operator").send(t, "POST", groupsPath(c.contoso)).outcome(t); o.Status != "accepted" {
		t.Errorf("a read whose own permissions are there: %+v", o)
	}
}

func TestAStartWithoutConnectionIsBlocked(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	bare := c.tenant(t, domain.SystemActor(c.ours), "Bare")
	c.settle(t)
	o := c.program(t, "operator").send(t, "POST", groupsPath(bare)).outcome(t)
	if o.Status != "blocked" || o.ProviderConnection != nil || o.Run != nil {
		t.Errorf("outcome = %+v", o)
	}
	page := c.browser(t, "operator").send(t, "GET", "/admin/tenants/"+bare.ExternalID.String())
	if page.status != http.StatusOK || !strings.Contains(page.text(), "No connection") {
		t.Errorf("tenant page: %d", page.status)
	}
	res := c.program(t, "operator").send(t, "GET", "/admin/tenants/"+bare.ExternalID.String())
	var summary struct {
		State  string
		CTAURL string `json:"ctaUrl"`
	}
	must(t, json.Unmarshal(res.body, &summary))
	if res.header.Get("Content-Type") != summaryJSON || summary.State != "missing" || summary.CTAURL == "" {
		t.Errorf("summary = %s %s", res.header.Get("Content-Type"), res.body)
	}
}

func TestInputsOfTheBodyReachTheGate(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	program := c.program(t, "operator")
	us := domain.SystemActor(c.ours)
	second := c.connect(t, us, c.contoso)
	c.settle(t)
	n := strconv.FormatInt(second.Number, 10)

	o := program.send(t, "POST", startPath(c.contoso, domain.OpGroupsSync), jsonBody(
		`{"providerConnectionId":`+n+`,"sourceSurface":"nightly","targetContext":{"selectionKey":"some_v1","ticket":{"id":7}}}`)).outcome(t)
	if o.Status != "accepted" || o.ProviderConnection.ID != second.Number {
		t.Fatalf("outcome = %+v", o)
	}
	var surface, key, trigger string
	c.settle(t)
	must(t, c.pool.QueryRow(t.Context(), `select surface, inputs ->> 'selectionKey', trigger from runs where number = $1`, o.Run.ID).
		Scan(&surface, &key, &trigger))
	if surface != "nightly" || key != "some_v1" || trigger != "api" {
		t.Errorf("run has surface %q, key %q, trigger %q", surface, key, trigger)
	}
	// Another selection is other work; the same one, by its own route, is the same work.
	if o := program.send(t, "POST", groupsPath(c.contoso), jsonBody(`{"providerConnectionId":`+n+`}`)).outcome(t); o.Status != "scope_busy" {
		t.Errorf("default selection: %+v", o)
	}
	if o := program.send(t, "POST", groupsPath(c.contoso), jsonBody(`{"selectionKey":"some_v1","providerConnectionId":`+n+`}`)).outcome(t); o.Status != "deduped" {
		t.Errorf("same selection: %+v", o)
	}
	// null takes the default connection, which is free.
	o = program.send(t, "POST", groupsPath(c.contoso), jsonBody(`{"selectionKey":"some_v1","providerConnectionId":null}`)).outcome(t)
	if o.Status != "accepted" || o.ProviderConnection.ID != c.conn.Number {
		t.Errorf("null connection: %+v", o)
	}
	c.free(t, c.runID(t, o.Run.ID))

	must(t, c.commands.RecordConsent(t.Context(), commands.RecordConsent{Actor: us, Connection: c.conn.Number, Consent: domain.ConsentIsGone}))
	check := startPath(c.contoso, domain.OpConnectionCheck)
	if o := program.send(t, "POST", check).outcome(t); o.Status != "blocked" {
		t.Errorf("check without consent: %+v", o)
	}
	if o := program.send(t, "POST", check, jsonBody(`{"targetContext":{"reconsent":true}}`)).outcome(t); o.Status != "accepted" {
		t.Errorf("check after consent: %+v", o)
	}
}

func TestARepeatedStartGetsItsFirstAnswer(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	operator, manager, path := c.program(t, "operator"), c.program(t, "manager"), groupsPath(c.contoso)
	key := uuid.NewString()
	keyed := func(body string) message { return jsonBody(body).with("Idempotency-Key", key) }

	first := operator.send(t, "POST", path, keyed(`{"selectionKey":"a_v1"}`))
	if first.outcome(t).Status != "accepted" || first.header.Get("Idempotent-Replayed") != "" {
		t.Fatalf("first: %v %s", first.header, first.body)
	}
	again := operator.send(t, "POST", path, keyed(`{ "selectionKey" : "a_v1" }`))
	if again.text() != first.text() || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %v\n%s\nfirst:\n%s", again.header, again.body, first.body)
	}
	c.free(t, c.runID(t, first.outcome(t).Run.ID))
	if again = operator.send(t, "POST", path, keyed(`{"selectionKey":"a_v1"}`)); again.outcome(t).Status != "accepted" || again.outcome(t).Run.ID != first.outcome(t).Run.ID {
		t.Errorf("after the end: %s", again.body)
	}
	for name, res := range map[string]response{
		"another body":  operator.send(t, "POST", path, keyed(`{"selectionKey":"b_v1"}`)),
		"another route": operator.send(t, "POST", rolesPath(c.contoso), message{}.with("Idempotency-Key", key)),
		"another actor": manager.send(t, "POST", path, keyed(`{"selectionKey":"a_v1"}`)),
	} {
		if p := res.problem(t); res.status != http.StatusUnprocessableEntity || p.Code != "idempotency_key_reused" {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	// The key is the workspace's own.
	if o := c.program(t, "stranger").send(t, "POST", groupsPath(c.fabrikam), message{}.with("Idempotency-Key", key)).outcome(t); o.Status != "accepted" {
		t.Errorf("same key in another workspace: %+v", o)
	}
	// A form's nonce is its key: pressing twice is one attempt.
	browser, nonce := c.browser(t, "operator"), uuid.NewString()
	for i := range 2 {
		res := browser.send(t, "POST", rolesPath(c.contoso), form(url.Values{"attempt_id": {nonce}, "sourceSurface": {"console.start"}}))
		if !strings.Contains(res.text(), `data-outcome="accepted"`) || (res.header.Get("Idempotent-Replayed") == "true") != (i == 1) {
			t.Errorf("press %d: %v %s", i+1, res.header, clip(res.body))
		}
	}
	if n := c.count(t, `select count(*) from runs where tenant = $1`, c.contoso.ID); n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
}

func (c *console) count(t testing.TB, sql string, args ...any) int {
	t.Helper()
	c.settle(t)
	var n int
	must(t, c.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func TestManyStartsAtOnceMakeOneRun(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	program := c.program(t, "operator")
	const n = 64
	paths := []string{groupsPath(c.contoso), rolesPath(c.contoso), startPath(c.contoso, domain.OpGroupsSync), connectionPath(c.conn, domain.OpRoleDefinitionsSync)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	counts, runs, keys := map[string]int{}, map[int64]bool{}, make([]string, 0, n)
	for i := range n {
		key := uuid.NewString()
		keys = append(keys, key)
		wg.Go(func() {
			res, err := program.try(t, "POST", paths[i%len(paths)], message{}.with("Idempotency-Key", key))
			if err != nil {
				t.Errorf("start %d: %v", i, err)
				return
			}
			o := res.outcome(t)
			mu.Lock()
			defer mu.Unlock()
			counts[o.Status]++
			runs[o.Run.ID] = true
		})
	}
	wg.Wait()
	if counts["accepted"] != 1 || counts["deduped"] != n/2-1 || counts["scope_busy"] != n/2 || len(runs) != 1 {
		t.Errorf("outcomes = %v, runs = %v", counts, runs)
	}
	if got := c.count(t, `select count(*) from attempts where attempt = any($1)`, keys); got != n {
		t.Errorf("%d receipts of %d attempts", got, n)
	}
	if got := c.count(t, `select count(*) from events where name in ('RunAccepted', 'RunDeduped', 'ScopeBusy', 'StartBlocked')`); got != n {
		t.Errorf("%d receipts in the log, want %d", got, n)
	}
	if got := c.count(t, `select count(*) from runs`); got != 1 {
		t.Errorf("%d runs", got)
	}
}

// TestNextStepsLeadWhereTheyAreDone: each link of a refused start opens a page for who gets it, the first one the page that does it; who may not
// do a step gets no link, and an owner is not told to ask one.
func TestNextStepsLeadWhereTheyAreDone(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	here := view.ConnectionHref(c.conn.Number)
	tenant := view.TenantHref(c.contoso.ExternalID.String())
	does := map[domain.ReasonCode]string{
		domain.ReasonProviderConnectionDisabled: here + "/changes/enable", domain.ReasonProviderCredentialMissing: here + "/credential",
		domain.ReasonProviderCredentialExpired: here + "/credential", domain.ReasonProviderCredentialInvalid: here + "/credential",
		domain.ReasonProviderTenantNotFound: tenant, domain.ReasonTenantTargetMismatch: tenant, domain.ReasonProviderWrongCloud: "",
	}
	for reason, first := range does {
		if reason == domain.ReasonProviderConnectionDisabled {
			c.enable(t, false)
		} else {
			must(t, c.commands.RecordVerification(t.Context(), commands.RecordVerification{
				Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, Finding: domain.Finding{State: domain.VerificationBlocked, Reason: reason},
			}))
		}
		c.settle(t)
		for _, role := range []string{"operator", "manager", "owner"} {
			o, b := c.program(t, role).send(t, "POST", startPath(c.contoso, domain.OpGroupsSync)).outcome(t), c.browser(t, role)
			links := []string{o.Actions[0].Href}
			for _, s := range o.NextSteps {
				if s.Href != nil {
					links = append(links, *s.Href)
				}
				if role == "owner" && s.Label == "Ask a workspace owner" {
					t.Errorf("%s: an owner is told to ask one", reason)
				}
			}
			for _, link := range links {
				if res := b.send(t, "GET", link); res.status != http.StatusOK {
					t.Errorf("%s: %s is led to %s, which answers %d", reason, role, link, res.status)
				}
			}
			if role != "operator" && view.String(o.NextSteps[0].Href) != first && first != "" {
				t.Errorf("%s: %s is led to %q, want %s", reason, role, view.String(o.NextSteps[0].Href), first)
			}
		}
		c.enable(t, true)
	}
}
