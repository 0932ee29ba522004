package web_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// checked runs a check on the fixture's connection by hand: what it tried, and what it found.
func (c *console) checked(t testing.TB, found domain.Finding, items ...domain.Item) commands.StartResult {
	t.Helper()
	run := c.hold(t, domain.OpConnectionCheck)
	claim := c.work(t)
	must(t, c.commands.RecordItems(t.Context(), claim, items))
	must(t, c.commands.EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Succeeded, Summary: "Checked."}, &found))
	c.settle(t)
	return run
}

func tried(permission string, result domain.ItemResult, reason domain.ReasonCode) domain.Item {
	return domain.Item{Key: permission, Name: permission, Type: "permission", Intent: "read", Result: result, Reason: reason}
}

// TestPermissionTruth: declared, granted and exercised are three things, and each is told from its own source.
func TestPermissionTruth(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	operator := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: c.people["operator"]}, Workspace: c.ours, Role: domain.RoleOperator}
	first := c.hold(t, domain.OpGroupsSync)
	c.end(t, c.work(t), domain.Ending{Outcome: domain.Succeeded})
	second := c.hold(t, domain.OpGroupsSync)
	c.end(t, c.work(t), domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonProviderPermissionDenied})
	third := c.hold(t, domain.OpRoleDefinitionsSync)
	c.end(t, c.work(t), domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonProviderUnavailable}) // says nothing about permissions
	report := c.checked(t, domain.Finding{
		State: domain.VerificationDegraded, Reason: domain.ReasonProviderPermissionDenied,
		Granted: []string{"Application.Read.All", "Directory.Read.All", "GroupMember.Read.All", "Mail.ReadWrite"}, Refused: []string{"GroupMember.Read.All"},
	}, tried("Directory.Read.All", domain.ItemConfirmed, ""), tried("GroupMember.Read.All", domain.ItemRefused, domain.ReasonProviderPermissionDenied))

	reader := projections.NewReader(c.pool)
	conn, err := reader.Connection(t.Context(), operator, c.conn.Number)
	must(t, err)
	used, err := reader.Exercises(t.Context(), c.contoso.ID, c.conn.Number)
	must(t, err)
	truth := view.ConnectionTruth(conn, used, conn.LastCheckedAt.UTC())
	rows := map[string]view.PermissionRow{}
	for _, r := range truth.Rows {
		rows[r.Name] = r
	}
	groups := rows["GroupMember.Read.All"]
	if groups.Granted != "refused" || groups.LastOK == nil || groups.LastOK.Run != first.RunNumber || groups.LastRefusal == nil ||
		groups.LastRefusal.Run != report.RunNumber || report.RunNumber == second.RunNumber {
		t.Errorf("groups: %+v, ok %+v, refused %+v", groups, groups.LastOK, groups.LastRefusal)
	}
	if r := rows["RoleManagement.Read.Directory"]; r.Granted != "missing" || r.LastOK != nil || r.LastRefusal != nil || third.RunNumber == 0 {
		t.Errorf("roles: %+v", r)
	}
	if r := rows["Directory.Read.All"]; r.Granted != "granted" || r.LastOK == nil || r.LastOK.Run != report.RunNumber || r.Beyond() {
		t.Errorf("directory: %+v", r)
	}
	if r := rows["Application.Read.All"]; r.Granted != "granted" || r.LastOK != nil {
		t.Errorf("application, which this check did not try: %+v", r)
	}
	needed := len(domain.PermissionNeeds())
	if r := rows["Mail.ReadWrite"]; r.Granted != "granted" || !r.Beyond() || len(truth.Rows) != needed+1 {
		t.Errorf("beyond: %+v of %d rows", r, len(truth.Rows))
	}

	reading := c.browser(t, "readonly")
	page := reading.send(t, "GET", runPath(report.RunNumber)).text()
	for _, words := range []string{"Verification report", "Granted, but refused", "Granted, not needed", fmt.Sprintf("2 of %d needed permissions granted, %d missing, 1 granted but refused, 1 granted that nothing here needs", needed, needed-3)} {
		if !strings.Contains(page, words) {
			t.Errorf("the report of the check does not say %q", words)
		}
	}
	if page := reading.send(t, "GET", runPath(first.RunNumber)).text(); strings.Contains(page, "Verification report") {
		t.Error("a run that is no check has a verification report")
	}
	page = reading.send(t, "GET", "/admin/tenants/"+c.contoso.ExternalID.String()).text()
	if !strings.Contains(page, "Permissions of Contoso platform") || strings.Contains(page, "Start verification") {
		t.Error("a reader does not see the truth on the tenant, or a button")
	}
}

// TestPermissionsAreNotKnown: with another credential nobody has looked, and a check that could not sign in has found out nothing: no page
// calls a permission missing then, and neither does the platform's.
func TestPermissionsAreNotKnown(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.checked(t, domain.Finding{State: domain.VerificationHealthy, Granted: domain.NeededPermissions()})
	manager, session := c.browser(t, "manager"), c.onboard(t, c.program(t, "manager"), c.contoso)
	unknown := func(when string) {
		t.Helper()
		for _, path := range []string{
			view.ConnectionHref(c.conn.Number), "/admin/tenants/" + c.contoso.ExternalID.String(), consentPath(c.conn), onboardingPath(session.ID, "?step=verify"),
		} {
			page := manager.send(t, "GET", path).text()
			if !strings.Contains(page, "Not known") || strings.Contains(page, "</svg>Missing") || strings.Contains(page, "needed permissions granted") || strings.Contains(page, "Not granted") {
				t.Errorf("%s, %s does not say that it is not known", when, path)
			}
		}
		var told view.ConsentDetail
		must(t, json.Unmarshal(c.program(t, "manager").send(t, "GET", consentPath(c.conn)).body, &told))
		for _, p := range told.Permissions {
			if p.Granted != nil {
				t.Errorf("%s, a program is told that %s is granted: %v", when, p.Permission, *p.Granted)
			}
		}
	}
	must(t, c.commands.RotateCredential(t.Context(), commands.RotateCredential{
		Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, Credential: domain.Credential{Kind: "secret", Fingerprint: "another"},
	}))
	c.settle(t)
	unknown("with another credential")
	report := c.checked(t, domain.Finding{State: domain.VerificationBlocked, Reason: domain.ReasonProviderTenantNotFound})
	unknown("after a check that was blocked")
	if page := manager.send(t, "GET", runPath(report.RunNumber)).text(); !strings.Contains(page, "It is not known what the tenant has granted.") {
		t.Error("the report of a check that was blocked says more than it found")
	}
}

// TestStartVerificationIsHiddenWhileOneRuns: "Refresh" stands in its place.
func TestStartVerificationIsHiddenWhileOneRuns(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	path := "/admin/tenants/" + c.contoso.ExternalID.String()
	buttons := func() (start, refresh bool) {
		page := b.send(t, "GET", path).text()
		return strings.Contains(page, "Start verification"), strings.Contains(page, "Refresh")
	}
	if start, refresh := buttons(); !start || refresh {
		t.Errorf("idle: start %v, refresh %v", start, refresh)
	}
	c.hold(t, domain.OpConnectionCheck)
	if start, refresh := buttons(); start || !refresh {
		t.Errorf("while a check runs: start %v, refresh %v", start, refresh)
	}
	c.end(t, c.work(t), domain.Ending{Outcome: domain.Succeeded})
	if start, refresh := buttons(); !start || refresh {
		t.Errorf("afterwards: start %v, refresh %v", start, refresh)
	}
	must(t, c.commands.RecordConsent(t.Context(), commands.RecordConsent{
		Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, Consent: domain.ConsentIsGone,
	}))
	c.settle(t)
	if page := c.browser(t, "manager").send(t, "GET", path).text(); !strings.Contains(page, `href="`+consentPath(c.conn)+`"`) {
		t.Error("a manager is not led to the consent page")
	}
}

// TestLegacyReasonsAreReadInFilters: an old link finds what it found.
func TestLegacyReasonsAreReadInFilters(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	c.end(t, c.work(t), domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonProviderPermissionDenied})
	for _, spelling := range []string{"provider_permission_denied", "ext.provider_permission_denied", "provider.permission_denied"} {
		res := c.program(t, "readonly").send(t, "GET", "/admin/operations?reason="+spelling)
		if !strings.Contains(res.text(), `"runId":`+itoa(run.RunNumber)) {
			t.Errorf("%s finds %s", spelling, res.text())
		}
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
