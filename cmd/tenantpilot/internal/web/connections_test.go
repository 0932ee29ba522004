package web_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

const (
	connectionsJSON  = "application/vnd.tenantpilot.provider-connections-canonical+json"
	connectionJSON   = "application/vnd.tenantpilot.provider-connection-canonical+json"
	editJSON         = "application/vnd.tenantpilot.provider-connection-edit-canonical+json"
	directoryJSON    = "application/vnd.tenantpilot.system-tenant-directory-canonical+json"
	systemTenantJSON = "application/vnd.tenantpilot.system-tenant-canonical-provider-rows+json"
)

type connectionState struct {
	Lifecycle                         string
	IsEnabled                         bool
	ConsentStatus, VerificationStatus *string
	Diagnostics                       struct {
		LastCheckedAt, LastErrorReasonCode, LastErrorMessage, ConsentErrorCode, ConsentErrorMessage *string

		MigrationReviewRequired bool
	}
}

type connectionRow struct {
	ID                                    int64
	TenantLabel                           *string
	DisplayName, Provider, ConnectionType string
	IsDefault                             bool
	EffectiveAppID                        *string `json:"effectiveAppId"`
	State                                 connectionState
}

func connectionAt(conn domain.ProviderConnection) string {
	return fmt.Sprintf("/admin/provider-connections/%d", conn.Number)
}

func (a *caller) rows(t testing.TB, path string) []connectionRow {
	t.Helper()
	res := a.send(t, "GET", path, accept(connectionsJSON))
	if res.status != http.StatusOK || res.header.Get("Content-Type") != connectionsJSON {
		t.Fatalf("%s: %d %s %s", path, res.status, res.header.Get("Content-Type"), res.body)
	}
	var list struct{ Rows []connectionRow }
	must(t, json.Unmarshal(res.body, &list))
	return list.Rows
}

func (a *caller) connectionNow(t testing.TB, conn domain.ProviderConnection) connectionRow {
	t.Helper()
	res := a.send(t, "GET", connectionAt(conn), accept(connectionJSON))
	if res.status != http.StatusOK || res.header.Get("Content-Type") != connectionJSON {
		t.Fatalf("%d %s %s", res.status, res.header.Get("Content-Type"), res.body)
	}
	var row connectionRow
	must(t, json.Unmarshal(res.body, &row))
	return row
}

func TestConnectionsOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	for name, want := range map[string][]string{
		"readonly": {"Contoso", "Tailspin"}, "limited": {"Tailspin"}, "stranger": {"Fabrikam"}, "both": {"Contoso", "Tailspin"},
	} {
		var got []string
		for _, row := range c.program(t, name).rows(t, "/admin/provider-connections") {
			got = append(got, *row.TenantLabel)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", name, got, want)
		}
		page := c.browser(t, name).send(t, "GET", "/admin/provider-connections").text()
		for _, tenant := range []string{"Contoso", "Tailspin", "Fabrikam"} {
			if strings.Contains(page, tenant) != slices.Contains(want, tenant) {
				t.Errorf("%s: the page has %s: %v", name, tenant, !slices.Contains(want, tenant))
			}
		}
		if n := fmt.Sprintf("Lifecycle: %d Enabled", len(want)); !strings.Contains(page, n) {
			t.Errorf("%s: the bar does not say %q: what is not seen is counted", name, n)
		}
	}
	for _, name := range []string{"stranger", "limited"} {
		for form, from := range map[string]*caller{"program": c.program(t, name), "browser": c.browser(t, name)} {
			gone := domain.ProviderConnection{Number: 999_999}
			for _, path := range []string{"", "/edit", "/credential", "/changes/disable", "/stream"} {
				one, other := connectionAt(c.conn)+path, connectionAt(gone)+path
				if d := differ(neutral(from.send(t, "GET", one), one), neutral(from.send(t, "GET", other), other)); d != "" {
					t.Errorf("%s as a %s: %s differs from what is not there: %s", name, form, one, d)
				}
			}
		}
	}
}

// TestConnectionsAreNotInSearch: tenants are found by what is typed, and lead to a page; connections are found in their own list only.
func TestConnectionsAreNotInSearch(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	_, err := c.commands.CreateConnection(t.Context(), commands.CreateConnection{
		Actor: domain.SystemActor(c.ours), Tenant: c.contoso.ExternalID, DisplayName: "Zanzibar uplink", ConnectionType: "platform",
	})
	must(t, err)
	c.settle(t)
	b := c.browser(t, "owner")
	found := b.send(t, "GET", "/admin/tenants?q=contoso").text()
	if !strings.Contains(found, `href="/admin/tenants/`+c.contoso.ExternalID.String()+`"`) {
		t.Error("the tenant is not found")
	}
	for _, path := range []string{"/admin/tenants?q=zanzibar", "/admin/operations?q=zanzibar"} {
		if page := b.send(t, "GET", path).text(); strings.Contains(page, "Zanzibar uplink") {
			t.Errorf("%s finds a connection", path)
		}
	}
	if rows := c.program(t, "owner").rows(t, "/admin/provider-connections?q=zanzibar"); len(rows) != 1 {
		t.Errorf("its own list finds %v", rows)
	}
}

func TestTheListIsFilteredByItsAddress(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us := domain.SystemActor(c.ours)
	second, err := c.commands.CreateConnection(t.Context(), commands.CreateConnection{
		Actor: us, Tenant: c.contoso.ExternalID, DisplayName: "Second", ConnectionType: "dedicated", AppID: "own", MigrationReviewRequired: true,
	})
	must(t, err)
	must(t, c.commands.RotateCredential(t.Context(), commands.RotateCredential{
		Actor: us, Connection: second.Number, Credential: domain.Credential{Kind: "certificate", Fingerprint: "x", ExpiresAt: time.Now().Add(9*24*time.Hour - time.Hour)},
	}))
	must(t, c.commands.SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{Actor: us, Connection: second.Number, Reason: "Not yet"}))
	must(t, c.commands.HoldConnection(t.Context(), commands.HoldConnection{Actor: us, Connection: second.Number, Reason: "Key ceremony"}))
	c.settle(t)
	p, b := c.program(t, "readonly"), c.browser(t, "readonly")
	all := []string{"Contoso platform", "Second", "Tailspin platform"}
	ready := []string{"Contoso platform", "Tailspin platform"}
	for query, want := range map[string][]string{
		"":                                all,
		"lifecycle=disabled":              {"Second"},
		"lifecycle=-disabled":             ready,
		"consent=granted":                 ready,
		"consent=granted&consent=unknown": all,
		"verification=healthy&lifecycle=disabled": nil,
		"verification=unknown":                    {"Second"},
		"expiring=true":                           {"Second"},
		"review=true":                             {"Second"},
		"hold=true":                               {"Second"},
		"tenant=tails":                            {"Tailspin platform"},
		"tenant=" + c.contoso.ExternalID.String(): {"Contoso platform", "Second"},
		"q=second":                                {"Second"},
	} {
		var got []string
		for _, row := range p.rows(t, "/admin/provider-connections?"+query) {
			got = append(got, row.DisplayName)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
		page := b.send(t, "GET", "/admin/provider-connections?"+query).text()
		for _, name := range all {
			if shown := strings.Contains(page, ">"+name+"</a>"); shown != slices.Contains(want, name) {
				t.Errorf("%s: the page shows %s: %v", query, name, shown)
			}
		}
	}
	for _, query := range []string{"colour=red", "lifecycle=on", "status=healthy", "health_status=ok", "expiring=soon"} {
		if res := p.send(t, "GET", "/admin/provider-connections?"+query, accept(connectionsJSON)); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d", query, res.status)
		}
		if page := b.send(t, "GET", "/admin/provider-connections?"+query).text(); !strings.Contains(page, "Unknown filter") {
			t.Errorf("%s: the page does not show an unknown filter", query)
		}
	}
	page := b.send(t, "GET", "/admin/provider-connections").text()
	for _, want := range []string{"9 d", "Key ceremony", "review required", "Lifecycle: 2 Enabled, 1 Disabled", "Last checks, newest first: Healthy"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestALifeOfAConnection(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	p, b := c.program(t, "owner"), c.browser(t, "owner")
	res := p.send(t, "POST", "/admin/provider-connections", jsonBody(`{"tenant":"`+c.tailspn.ExternalID.String()+`","displayName":"Own app","connectionType":"dedicated","appId":"5d0c3f7e-0c55-4b9e-9a53-2f60b4a1c001"}`))
	if res.status != http.StatusCreated {
		t.Fatalf("create: %d %s", res.status, res.body)
	}
	var row connectionRow
	must(t, json.Unmarshal(res.body, &row))
	conn := domain.ProviderConnection{Number: row.ID}
	if res.header.Get("Location") != connectionAt(conn) || row.IsDefault || row.State.Lifecycle != "enabled" || *row.State.ConsentStatus != "unknown" ||
		*row.State.VerificationStatus != "unknown" || *row.EffectiveAppID != "5d0c3f7e-0c55-4b9e-9a53-2f60b4a1c001" {
		t.Errorf("created: %s to %s", res.body, res.header.Get("Location"))
	}
	change := func(name string, fields url.Values) string {
		t.Helper()
		res := b.send(t, "POST", connectionAt(conn)+"/changes/"+name, form(fields))
		if res.status != http.StatusSeeOther || res.header.Get("Location") != connectionAt(conn)+"?done="+name {
			t.Fatalf("%s: %d to %s: %s", name, res.status, res.header.Get("Location"), clip(res.body))
		}
		return b.send(t, "GET", res.header.Get("Location")).text()
	}
	says := func(page string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not say %q", want)
			}
		}
	}
	says(change("default", nil), "the tenant&#39;s default", "use this connection when none is named")
	if row := p.connectionNow(t, conn); !row.IsDefault {
		t.Error("it is not the default")
	}
	page := change("disable", url.Values{"reason": {"Contract ended"}})
	says(page, "The connection is disabled.", "Contract ended", "Switched off by a person", "/changes/enable", "ConnectionDisabled")
	if strings.Contains(page, "/changes/disable") {
		t.Error("a disabled connection can be disabled")
	}
	if row := p.connectionNow(t, conn); row.State.Lifecycle != "disabled" || row.State.IsEnabled || *row.State.VerificationStatus != "unknown" {
		t.Errorf("disabled: %+v", row)
	}
	says(change("enable", nil), "The connection is enabled.")
	until := time.Now().UTC().Add(3 * time.Hour).Truncate(time.Minute)
	says(change("hold", url.Values{"reason": {"Key ceremony"}, "until": {until.Format("2006-01-02T15:04")}}), "On hold: Key ceremony", "/changes/release")
	for _, path := range []string{groupsPath(c.tailspn), connectionPath(conn, domain.OpConnectionCheck)} {
		o := p.send(t, "POST", path).outcome(t)
		if o.Status != "blocked" || !strings.Contains(o.OperatorMessage, "Reason given: Key ceremony. The hold ends "+view.Absolute(until)+".") {
			t.Errorf("a start on a connection on hold: %+v", o)
		}
	}
	says(change("release", url.Values{"reason": {"Done"}}), "The hold was released.", "/changes/hold")
	if o := p.send(t, "POST", groupsPath(c.tailspn)).outcome(t); o.Status != "blocked" || strings.Contains(o.OperatorMessage, "hold") {
		t.Errorf("a start after the hold's release: %+v", o)
	}

	// What is missing is asked for again, with what was entered.
	res = b.send(t, "POST", connectionAt(conn)+"/changes/disable", form(url.Values{"reason": {" "}}))
	if res.status != http.StatusUnprocessableEntity || !strings.Contains(res.text(), `role="alert"`) {
		t.Errorf("disable without a reason: %d", res.status)
	}
	res = b.send(t, "POST", connectionAt(conn)+"/changes/hold", form(url.Values{"reason": {"Old"}, "until": {"2020-01-01T00:00"}}))
	if res.status != http.StatusUnprocessableEntity || !strings.Contains(res.text(), "would have ended already") || !strings.Contains(res.text(), `value="Old"`) {
		t.Errorf("hold until the past: %d", res.status)
	}
	if res := p.send(t, "POST", connectionAt(conn)+"/changes/disable", jsonBody(`{}`)); res.status != http.StatusBadRequest || res.problem(t).Errors[0].Pointer != "/reason" ||
		res.problem(t).Errors[0].Message != "Say why." {
		t.Errorf("disable without a reason, as a program: %d %s", res.status, res.body)
	}
	res = b.send(t, "POST", "/admin/provider-connections", form(url.Values{"tenant": {c.tailspn.ExternalID.String()}, "displayName": {"X"}, "connectionType": {"dedicated"}}))
	if res.status != http.StatusUnprocessableEntity || !strings.Contains(res.text(), "application (client) id") || !strings.Contains(res.text(), `value="X"`) {
		t.Errorf("create without an app id: %d %s", res.status, clip(res.body))
	}
	if res := p.send(t, "POST", "/admin/provider-connections", jsonBody(`{"tenant":"`+c.fabrikam.ExternalID.String()+`","displayName":"X","connectionType":"platform"}`)); res.status != http.StatusNotFound {
		t.Errorf("create on a tenant of others: %d %s", res.status, res.body)
	}
}

// TestAnImportedConnectionIsReviewedFirst: before its review nothing starts on it, a check neither; afterwards the gate goes on to what it asks next.
func TestAnImportedConnectionIsReviewedFirst(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us := domain.SystemActor(c.ours)
	ready := c.connect(t, us, c.contoso, func(n *commands.CreateConnection) { n.MigrationReviewRequired = true })
	bare, err := c.commands.CreateConnection(t.Context(), commands.CreateConnection{
		Actor: us, Tenant: c.tailspn.ExternalID, DisplayName: "Bare", ConnectionType: "platform", MigrationReviewRequired: true,
	})
	must(t, err)
	c.settle(t)
	manager, operator, b := c.program(t, "manager"), c.program(t, "operator"), c.browser(t, "manager")
	for _, conn := range []domain.ProviderConnection{ready, bare} {
		for _, op := range []domain.OperationType{domain.OpConnectionCheck, domain.OpGroupsSync} {
			o := operator.send(t, "POST", connectionPath(conn, op)).outcome(t)
			if o.Status != "blocked" || *o.ShortReason != "The provider connection needs a review." || *o.NextSteps[0].ActionType != "review" {
				t.Errorf("%s before the review: %+v", op, o)
			}
		}
		if res := operator.send(t, "POST", connectionAt(conn)+"/changes/review", jsonBody(`{}`)); res.status != http.StatusForbidden {
			t.Errorf("an operator's review: %d", res.status)
		}
		if row := manager.connectionNow(t, conn); !row.State.Diagnostics.MigrationReviewRequired {
			t.Errorf("before the review: %+v", row)
		}
	}
	review := `href="` + connectionAt(ready) + `/changes/review"`
	if page := b.send(t, "GET", connectionAt(ready)).text(); !strings.Contains(page, review) || !strings.Contains(page, "This connection was imported.") {
		t.Error("the page does not ask for a review")
	}
	res := b.send(t, "POST", connectionAt(ready)+"/changes/review", form(nil))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != connectionAt(ready)+"?done=review" {
		t.Fatalf("review: %d to %s", res.status, res.header.Get("Location"))
	}
	page := b.send(t, "GET", res.header.Get("Location")).text()
	if strings.Contains(page, review) || strings.Contains(page, "This connection was imported.") || !strings.Contains(page, "The review is completed.") {
		t.Error("the page asks for a review that was completed, or does not say that it was")
	}
	for range 2 { // what is so already stays so
		if res := manager.send(t, "POST", connectionAt(bare)+"/changes/review", jsonBody(`{}`)); res.status != http.StatusOK {
			t.Errorf("review: %d %s", res.status, res.body)
		}
	}
	for _, conn := range []domain.ProviderConnection{ready, bare} {
		if row := manager.connectionNow(t, conn); row.State.Diagnostics.MigrationReviewRequired {
			t.Errorf("after the review: %+v", row)
		}
		if n := c.count(t, `select count(*) from events where stream = $1 and name = 'MigrationReviewCompleted'`, conn.ID); n != 1 {
			t.Errorf("%d reviews of %s are recorded", n, conn.DisplayName)
		}
	}
	if o := operator.send(t, "POST", connectionPath(ready, domain.OpGroupsSync)).outcome(t); o.Status != "accepted" {
		t.Errorf("after the review: %+v", o)
	}
	if o := operator.send(t, "POST", connectionPath(bare, domain.OpGroupsSync)).outcome(t); o.Status != "blocked" || *o.ShortReason != "The connection has no credential." {
		t.Errorf("after the review of one without a credential: %+v", o)
	}
}

// TestTwoPeopleEdit: who opened the form first and saves last overwrites nothing, is told who changed what, and can apply theirs after all.
func TestTwoPeopleEdit(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner, manager, p := c.browser(t, "owner"), c.browser(t, "manager"), c.program(t, "manager")
	edit := connectionAt(c.conn) + "/edit"
	tagOf := func(page string) string {
		_, rest, _ := strings.Cut(page, `name="etag" value="`)
		tag, _, _ := strings.Cut(rest, `"`)
		return tag
	}
	opened := owner.send(t, "GET", edit)
	tag := tagOf(opened.text())
	if tag == "" || opened.header.Get("ETag") != `"`+tag+`"` {
		t.Fatalf("tag %q, ETag %s", tag, opened.header.Get("ETag"))
	}
	res := p.send(t, "GET", edit, accept(editJSON))
	if res.header.Get("ETag") != `"`+tag+`"` || res.header.Get("Content-Type") != editJSON {
		t.Errorf("%s %s", res.header.Get("ETag"), res.header.Get("Content-Type"))
	}
	fields := func(tag, name, kind, app string) message {
		return form(url.Values{"etag": {tag}, "displayName": {name}, "connectionType": {kind}, "appId": {app}})
	}
	app := *p.connectionNow(t, c.conn).EffectiveAppID
	if res := manager.send(t, "POST", edit, fields(tag, "Contoso Europe", "platform", app)); res.status != http.StatusSeeOther || res.header.Get("Location") != connectionAt(c.conn)+"?done=saved" {
		t.Fatalf("save: %d to %s: %s", res.status, res.header.Get("Location"), clip(res.body))
	}
	if row := p.connectionNow(t, c.conn); row.DisplayName != "Contoso Europe" || *row.State.VerificationStatus != "healthy" || *row.State.ConsentStatus != "granted" {
		t.Errorf("after a new name: %+v", row)
	}
	res = owner.send(t, "POST", edit, fields(tag, "Contoso of mine", "dedicated", "5d0c3f7e-0c55-4b9e-9a53-2f60b4a1c001"))
	page := res.text()
	if res.status != http.StatusPreconditionFailed {
		t.Fatalf("stale save: %d %s", res.status, clip(res.body))
	}
	for _, want := range []string{"Manager has changed these settings", "Contoso Europe", "Contoso of mine", "5d0c3f7e-0c55-4b9e-9a53-2f60b4a1c001", "Apply mine", "Take theirs", `href="` + edit + `"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the conflict does not say %q", want)
		}
	}
	if row := p.connectionNow(t, c.conn); row.DisplayName != "Contoso Europe" {
		t.Errorf("a stale save was saved: %+v", row)
	}
	res = owner.send(t, "POST", edit, fields(tagOf(page), "Contoso of mine", "dedicated", "5d0c3f7e-0c55-4b9e-9a53-2f60b4a1c001"))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != connectionAt(c.conn)+"?done=app" {
		t.Fatalf("apply mine: %d to %s", res.status, res.header.Get("Location"))
	}
	page = owner.send(t, "GET", res.header.Get("Location")).text()
	for _, want := range []string{"reset to unknown", "Set credential", "none set", "ConnectionChanged"} {
		if !strings.Contains(page, want) {
			t.Errorf("after another app the page does not say %q", want)
		}
	}
	row := p.connectionNow(t, c.conn)
	if *row.State.VerificationStatus != "unknown" || *row.State.ConsentStatus != "unknown" || *row.EffectiveAppID != "5d0c3f7e-0c55-4b9e-9a53-2f60b4a1c001" || row.ConnectionType != "dedicated" {
		t.Errorf("after another app: %+v", row)
	}

	// Programs.
	for _, app := range []string{"zz", "{5d0c3f7e-0c55-4b9e-9a53-2f60b4a1c001}"} {
		bad := jsonBody(`{"tenant":"` + c.tailspn.ExternalID.String() + `","displayName":"Odd","connectionType":"dedicated","appId":"` + app + `"}`)
		if res := p.send(t, "POST", "/admin/provider-connections", bad); res.status != http.StatusBadRequest || !strings.Contains(res.text(), "/appId") {
			t.Errorf("app id %s: %d %s", app, res.status, res.body)
		}
	}
	body := jsonBody(`{"displayName":"By program","connectionType":"dedicated","appId":"5d0c3f7e-0c55-4b9e-9a53-2f60b4a1c001"}`)
	if res := p.send(t, "PUT", connectionAt(c.conn), body); res.status != http.StatusPreconditionRequired || res.problem(t).Code != "precondition_required" {
		t.Errorf("without If-Match: %d", res.status)
	}
	if res := p.send(t, "PUT", connectionAt(c.conn), body.with("If-Match", `"`+tag+`"`)); res.status != http.StatusPreconditionFailed || res.problem(t).Code != "changed_meanwhile" {
		t.Errorf("with a stale If-Match: %d", res.status)
	}
	fresh := p.send(t, "GET", connectionAt(c.conn)).header.Get("ETag")
	if res := p.send(t, "PUT", connectionAt(c.conn), body.with("If-Match", fresh)); res.status != http.StatusOK || !strings.Contains(res.text(), "By program") || res.header.Get("ETag") == fresh {
		t.Errorf("with the right If-Match: %d %s", res.status, res.body)
	}
	for name, bad := range map[string]string{
		"unknown member": `{"displayName":"x","connectionType":"platform","status":"healthy"}`, "no name": `{"connectionType":"platform"}`, "broken": `{"`,
		"no app id": `{"displayName":"x","connectionType":"dedicated","appId":"not-a-guid"}`,
	} {
		if res := p.send(t, "PUT", connectionAt(c.conn), jsonBody(bad).with("If-Match", "*")); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, res.status)
		}
	}
}

// TestStartVerificationGivesWayToRefresh: while a check is active there is no button that starts one.
func TestStartVerificationGivesWayToRefresh(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	start := `action="` + connectionPath(c.conn, domain.OpConnectionCheck) + `"`
	refreshes := func(page string) bool { // among the connection's buttons: every page has a link to itself for browsers without scripts
		_, page, _ = strings.Cut(page, `id="connection-header"`)
		page, _, _ = strings.Cut(page, "</section>")
		return strings.Contains(page, "Refresh")
	}
	page := b.send(t, "GET", connectionAt(c.conn)).text()
	if !strings.Contains(page, start) || !strings.Contains(page, "Start verification") || refreshes(page) {
		t.Error("a check cannot be started")
	}
	res := b.send(t, "POST", connectionPath(c.conn, domain.OpConnectionCheck), form(url.Values{"attempt_id": {uuid.NewString()}, "sourceSurface": {"console.connection"}}))
	if res.status != http.StatusOK {
		t.Fatalf("start: %d", res.status)
	}
	c.settle(t)
	page = b.send(t, "GET", connectionAt(c.conn)).text()
	if strings.Contains(page, start) || strings.Contains(page, "Start verification") || !refreshes(page) || !strings.Contains(page, "A verification is under way") {
		t.Error("while a check is active another one can be started, or nothing is said about it")
	}
	reader := c.browser(t, "readonly").send(t, "GET", connectionAt(c.conn)).text()
	for _, button := range []string{"Start verification", "/edit\"", "/credential\"", "/changes/"} {
		if strings.Contains(reader, button) {
			t.Errorf("who may only read has %q", button)
		}
	}
	for _, want := range []string{"GroupMember.Read.All", "Directory groups sync", "Will", "Verification", "History"} {
		if !strings.Contains(reader, want) {
			t.Errorf("who may only read does not see %q", want)
		}
	}
}

// legacyNames are names of the state as it was before the three axes.
var legacyNames = []string{"status", "health_status", "healthStatus"}

// TestNoLegacyStateAnywhere: no payload and no column of provider connections has a "status" that could be any of the axes.
func TestNoLegacyStateAnywhere(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner, platform := c.program(t, "owner"), c.program(t, "platform")
	var number int64
	must(t, c.pool.QueryRow(t.Context(), `select number from tenants where tenant = $1`, c.contoso.ID).Scan(&number))
	for path, from := range map[string]*caller{
		"/admin/provider-connections": owner, connectionAt(c.conn): owner, connectionAt(c.conn) + "/edit": owner,
		"/admin/tenants/" + c.contoso.ExternalID.String(): owner, "/system/directory/tenants": platform,
		fmt.Sprintf("/system/directory/tenants/%d", number): platform,
	} {
		res := from.send(t, "GET", path, accept("application/json"))
		var tree any
		must(t, json.Unmarshal(res.body, &tree))
		if res.status != http.StatusOK {
			t.Errorf("%s: %d", path, res.status)
		}
		for _, key := range memberNames(tree) {
			if slices.Contains(legacyNames, key) {
				t.Errorf("%s has a member %q", path, key)
			}
		}
	}
	// No table at all has such a column.
	if n := c.count(t, `select count(*) from information_schema.columns where table_schema = 'public' and column_name = any($1)`, legacyNames); n != 0 {
		t.Errorf("%d columns have a legacy name", n)
	}
	if n := c.count(t, `select count(*) from information_schema.columns where table_name = 'provider_connections' and column_name in ('is_enabled', 'consent_status', 'verification_status')`); n != 3 {
		t.Errorf("%d of the three axes are columns", n)
	}
	// What has a "status" of its own is no connection: an answer, a run, a problem.
	others := map[string]bool{"ProviderStartOutcome": true, "OnboardingBootstrapStartOutcome": true, "RunReference": true, "Readiness": true, "Problem": true, "OnboardingSession": true}
	for name, schema := range c.contract.doc.Components.Schemas {
		must(t, schema.WalkSubtree(func(pointer string, s *openapi3.SchemaRef) error {
			for _, key := range legacyNames {
				if s.Value.Properties[key] != nil && (key != "status" || !others[name]) {
					t.Errorf("schema %s%s has %s", name, pointer, key)
				}
			}
			return nil
		}))
	}
	// Events as they are stored: all that there are samples of, and what this console has recorded.
	files, err := filepath.Glob("../../../../domain/testdata/events/*.json")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d samples of events: %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(t, err)
		var tree any
		must(t, json.Unmarshal(raw, &tree))
		for _, key := range memberNames(tree) {
			if slices.Contains(legacyNames, key) {
				t.Errorf("%s has a member %q", filepath.Base(file), key)
			}
		}
	}
	// And whatever is kept as JSON, the events' metadata and the read models among it. A number is what HTTP calls a status.
	c.history(t)
	rows, err := c.pool.Query(t.Context(), `select relname || '.' || attname, format('select count(*), count(*) filter (where %I::text ~ %L) from %I',
			attname, '"(status|health_status|healthStatus)"\s*:\s*"?[^0-9[:space:]"]', relname)
		from pg_attribute a join pg_class c on c.oid = a.attrelid where relnamespace = 'public'::regnamespace and relkind = 'r' and not attisdropped
			and atttypid in ('json'::regtype, 'jsonb'::regtype) and has_table_privilege(c.oid, 'select')`)
	must(t, err)
	queries, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Column, SQL string }])
	must(t, err)
	filled := map[string]bool{}
	for _, q := range queries {
		var all, legacy int
		must(t, c.pool.QueryRow(t.Context(), q.SQL).Scan(&all, &legacy))
		if filled[q.Column] = all > 0; legacy != 0 {
			t.Errorf("%d of %d values of %s have a legacy member", legacy, all, q.Column)
		}
	}
	for _, column := range []string{"events.payload", "events.meta", "runs.facts", "attempts.facts"} {
		if !filled[column] {
			t.Errorf("%s was not looked into: %v", column, filled)
		}
	}
}

// TestNoLegacyStateInTheSource: no name in our code, our pages, our schema or our documents speaks of a connection's or a provider's status, and no
// type of a connection has one.
func TestNoLegacyStateInTheSource(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`(?i)health_?status|(connection|provider)s?_?(health_?)?status(es|badges?|label|text)?\b|tone_?of_?status`)
	typed := regexp.MustCompile(`(?s)\ntype \w*Connection\w* struct \{.*?\n\}`)
	field := regexp.MustCompile(`(?m)^\s+(\w+, )*(Status|Health)\b|json:"(status|health)\b`)
	looked := 0
	must(t, filepath.WalkDir("../../../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if err == nil && (e.Name() == ".git" || e.Name() == "vendor" || e.Name() == "testdata") {
				return fs.SkipDir
			}
			return err
		}
		if strings.HasSuffix(path, "_test.go") || !slices.Contains([]string{".go", ".templ", ".sql", ".js", ".css", ".yaml"}, filepath.Ext(path)) {
			return nil
		}
		raw, err := os.ReadFile(path)
		looked++
		for _, name := range named.FindAllString(string(raw), -1) {
			t.Errorf("%s speaks of %q", path, name)
		}
		for _, s := range typed.FindAllString(string(raw), -1) {
			if field.MatchString(s) {
				t.Errorf("%s: a connection has a status: %s", path, s)
			}
		}
		return err
	}))
	if looked < 300 {
		t.Errorf("only %d files were looked at", looked)
	}
}

// memberNames lists the names of all members in a JSON value.
func memberNames(v any) []string {
	var names []string
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			names = append(append(names, k), memberNames(inner)...)
		}
	case []any:
		for _, inner := range v {
			names = append(names, memberNames(inner)...)
		}
	}
	return names
}

type directoryRow struct {
	TenantID                    int64
	TenantLabel, WorkspaceLabel string
	ProviderConnectionsCount    int
	CriticalProviderCount       int
	WarningProviderCount        int
	MissingPermissionCount      int
	SystemHealth                string
}

// posed is a connection that was brought into a state, the only one and the default of its tenant, and what the state has to be told as.
type posed struct {
	tenant       domain.Tenant
	number       int64
	enabled      bool
	consent      domain.ConsentState
	verification domain.VerificationState
	truth        string // about permissions: all, some or none granted, or all granted and one refused
}

// Why a check ended as it did, and why there is no consent.
var (
	checkReasons = map[domain.VerificationState]domain.ReasonCode{
		domain.VerificationDegraded: domain.ReasonProviderLicenseMissing, domain.VerificationBlocked: domain.ReasonProviderCredentialInvalid,
		domain.VerificationError: domain.ReasonProviderAuthFailed,
	}
	consentReasons = map[domain.ConsentState]domain.ReasonCode{
		domain.ConsentIsFailed: domain.ReasonProviderConsentDenied, domain.ConsentIsGone: domain.ReasonProviderConsentRevoked,
	}
)

// health is what verification and permission truth come to.
func (p posed) health() string {
	switch {
	case p.verification == domain.VerificationBlocked || p.verification == domain.VerificationError:
		return "critical"
	case p.verification == domain.VerificationHealthy && p.truth == "all":
		return "healthy"
	}
	return "warning"
}

// missing is how many permissions are known not to be granted.
func (p posed) missing() int {
	switch {
	case p.verification == domain.VerificationUnknown:
		return 0
	case p.truth == "some":
		return 1
	case p.truth == "none" && (p.verification == domain.VerificationHealthy || p.verification == domain.VerificationDegraded):
		return len(domain.NeededPermissions())
	}
	return 0
}

// ready says whether everything may start.
func (p posed) ready() bool {
	return p.health() == "healthy" && p.enabled && p.consent == domain.ConsentIsGiven
}

// wrong says what of a row's state is not as it was planted; "" when all is.
func (p posed) wrong(raw json.RawMessage) string {
	var row connectionRow
	if err := json.Unmarshal(raw, &row); err != nil {
		return err.Error()
	}
	s, lifecycle := row.State, map[bool]string{true: "enabled", false: "disabled"}[p.enabled]
	if s.Lifecycle != lifecycle || s.IsEnabled != p.enabled || *s.ConsentStatus != string(p.consent) || *s.VerificationStatus != string(p.verification) || !row.IsDefault {
		return "its axes"
	}
	for what, pair := range map[string][2]*string{
		"its last error": {s.Diagnostics.LastErrorReasonCode, s.Diagnostics.LastErrorMessage}, "its consent error": {s.Diagnostics.ConsentErrorCode, s.Diagnostics.ConsentErrorMessage},
	} {
		code := checkReasons[p.verification]
		if what == "its consent error" {
			code = consentReasons[p.consent]
		}
		if (pair[0] == nil) != (code == "") || (pair[1] == nil) != (code == "") || code != "" && (*pair[0] != string(code) || *pair[1] != domain.ReasonFor(code).Short) {
			return what
		}
	}
	if (s.Diagnostics.LastCheckedAt == nil) != (p.verification == domain.VerificationUnknown) {
		return "when it was checked"
	}
	return ""
}

// everyState plants a connection in every combination of lifecycle, consent, verification and permission truth, each in a tenant of its own.
func (c *console) everyState(t *testing.T, us domain.Actor) map[string]posed {
	t.Helper()
	all := map[string]posed{}
	for _, enabled := range []bool{true, false} {
		for _, consent := range []domain.ConsentState{domain.ConsentUnknown, domain.ConsentRequired, domain.ConsentIsGiven, domain.ConsentIsFailed, domain.ConsentIsGone} {
			for _, v := range []domain.VerificationState{
				domain.VerificationUnknown, domain.VerificationPending, domain.VerificationHealthy, domain.VerificationDegraded, domain.VerificationBlocked, domain.VerificationError,
			} {
				for _, truth := range []string{"all", "some", "none", "refused"} {
					p := posed{enabled: enabled, consent: consent, verification: v, truth: truth}
					p.tenant = c.tenant(t, us, fmt.Sprintf("%v-%s-%s-%s", enabled, consent, v, truth))
					p.number = c.inState(t, p)
					all[p.tenant.Name] = p
				}
			}
		}
	}
	return all
}

// TestBothPlanesTellTheSameStory brings connections into every combination of lifecycle, consent, verification and permission truth, and
// compares what the workspace is told with what the platform is told: the rows are the same to the byte, and the same on the pages; the counts and
// the health follow from what was planted; the tenant's summary has the row's state and calls a tenant ready, and the gate lets everything start,
// exactly where the platform says healthy and people and the customer allow it.
func TestBothPlanesTellTheSameStory(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us := domain.SystemActor(c.ours)
	all := c.everyState(t, us)
	mixed := c.tenant(t, us, "mixed")
	for _, v := range []domain.VerificationState{domain.VerificationHealthy, domain.VerificationDegraded, domain.VerificationBlocked, domain.VerificationError} {
		c.inState(t, posed{tenant: mixed, enabled: true, consent: domain.ConsentIsGiven, verification: v, truth: "some"})
	}
	c.settle(t)
	program, browser, platform, watcher := c.program(t, "readonly"), c.browser(t, "readonly"), c.program(t, "platform"), c.browser(t, "platform")

	var list struct{ Rows []json.RawMessage }
	must(t, json.Unmarshal(program.send(t, "GET", "/admin/provider-connections", accept(connectionsJSON)).body, &list))
	rows := map[string][]json.RawMessage{}
	for _, raw := range list.Rows {
		var row connectionRow
		must(t, json.Unmarshal(raw, &row))
		rows[*row.TenantLabel] = append(rows[*row.TenantLabel], raw)
	}
	listed := browser.send(t, "GET", "/admin/provider-connections").text()
	starting := c.everythingStarts(t)
	healths := map[string]int{}
	var directory struct{ Rows []directoryRow }
	must(t, json.Unmarshal(platform.send(t, "GET", "/system/directory/tenants", accept(directoryJSON)).body, &directory))
	for _, line := range directory.Rows {
		p, ours := all[line.TenantLabel]
		if !ours && line.TenantLabel != mixed.Name {
			continue
		}
		here := fmt.Sprintf("/system/directory/tenants/%d", line.TenantID)
		var detail struct{ ProviderConnections []json.RawMessage }
		must(t, json.Unmarshal(platform.send(t, "GET", here, accept(systemTenantJSON)).body, &detail))
		if n := c.count(t, `select count(*) from events e join tenants t on t.tenant = e.stream and t.workspace = e.workspace and e.tenant = t.tenant
			where t.number = $1 and e.name = 'TenantInspected' and e.meta #>> '{actor,kind}' = 'person'`, line.TenantID); n != 1 {
			t.Errorf("%s: %d looks from outside are recorded, want 1", line.TenantLabel, n)
		}
		if one, other := rows[line.TenantLabel], detail.ProviderConnections; !slices.EqualFunc(one, other, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			t.Errorf("%s: the planes tell different stories\n%s\n%s", line.TenantLabel, one, other)
		}
		if !ours {
			if line.ProviderConnectionsCount != 4 || line.CriticalProviderCount != 2 || line.WarningProviderCount != 2 || line.MissingPermissionCount != 1 || line.SystemHealth != "critical" {
				t.Errorf("%s: %+v", line.TenantLabel, line)
			}
			continue
		}
		healths[line.SystemHealth]++
		raw := rows[line.TenantLabel][0]
		if what := p.wrong(raw); what != "" {
			t.Errorf("%s: %s is not told: %s", line.TenantLabel, what, raw)
		}
		want := directoryRow{
			TenantID: line.TenantID, TenantLabel: p.tenant.Name, WorkspaceLabel: "Ours", ProviderConnectionsCount: 1, MissingPermissionCount: p.missing(), SystemHealth: p.health(),
		}
		switch p.health() {
		case "critical":
			want.CriticalProviderCount = 1
		case "warning":
			want.WarningProviderCount = 1
		}
		if line != want {
			t.Errorf("%+v, want %+v", line, want)
		}
		onlyReads := p.verification == domain.VerificationDegraded && p.truth == "all" && p.enabled && p.consent == domain.ConsentIsGiven // as all that is released does
		if starting[line.TenantLabel] != (p.ready() || onlyReads) {
			t.Errorf("%s is %s, but that everything starts is %v", line.TenantLabel, line.SystemHealth, starting[line.TenantLabel])
		}
		if one, other := axesCell(listed, p.number), axesCell(watcher.send(t, "GET", here).text(), p.number); one == "" || one != other {
			t.Errorf("%s: the pages tell different stories\n%s\n%s", line.TenantLabel, one, other)
		}
		c.checkSummary(t, program, browser, p, raw)
	}
	if len(all) != 2*5*6*4 || healths["healthy"] != 2*5 || healths["critical"] != 2*5*2*4 || healths["warning"] != len(all)-10-80 {
		t.Errorf("of %d connections %v were compared", len(all), healths)
	}
}

// checkSummary compares a tenant's summary with its only connection's row and with what was planted.
func (c *console) checkSummary(t *testing.T, program, browser *caller, p posed, raw json.RawMessage) {
	t.Helper()
	path := "/admin/tenants/" + p.tenant.ExternalID.String()
	var row struct{ State json.RawMessage }
	must(t, json.Unmarshal(raw, &row))
	var s struct {
		CTAURL         string `json:"ctaUrl"`
		CanonicalState json.RawMessage
	}
	must(t, json.Unmarshal(program.send(t, "GET", path, accept(summaryJSON)).body, &s))
	_, page, _ := strings.Cut(browser.send(t, "GET", path).text(), `id="tenant-summary"`)
	page, _, _ = strings.Cut(page, "</section>")
	start := strings.HasSuffix(s.CTAURL, "/start")
	if string(s.CanonicalState) != string(row.State) || start != p.ready() || strings.Contains(page, "ready.") != p.ready() ||
		strings.Contains(page, ">Start operation<") != p.ready() || !strings.Contains(page, `href="`+s.CTAURL+`"`) {
		t.Errorf("%s: %s and %s in %s; the row says %s", p.tenant.Name, s.CTAURL, s.CanonicalState, clip([]byte(page)), row.State)
	}
}

// everythingStarts says of each tenant whether the gate would let every operation start.
func (c *console) everythingStarts(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, row := range c.matrix(t).Tenants {
		all[row.Tenant] = true
		for _, cell := range row.Readiness {
			all[row.Tenant] = all[row.Tenant] && cell.Status == "accepted"
		}
	}
	return all
}

// axesCell is what a list of connections on a page says of a connection's state.
func axesCell(page string, number int64) string {
	_, line, _ := strings.Cut(page, fmt.Sprintf(`<tr id="connection-%d"`, number))
	line, _, _ = strings.Cut(line, "</tr>")
	_, cell, _ := strings.Cut(line, "axes-cell")
	cell, _, _ = strings.Cut(cell, "</td>")
	return cell
}

// inState gives a tenant one more connection and brings it into a state, by the commands that people and checks use.
func (c *console) inState(t *testing.T, p posed) int64 {
	t.Helper()
	ctx, us := t.Context(), domain.SystemActor(c.ours)
	conn, err := c.commands.CreateConnection(ctx, commands.CreateConnection{Actor: us, Tenant: p.tenant.ExternalID, DisplayName: string(p.verification), ConnectionType: "platform"})
	must(t, err)
	n := conn.Number
	must(t, c.commands.RotateCredential(ctx, commands.RotateCredential{Actor: us, Connection: n, Credential: domain.Credential{Kind: "secret", Fingerprint: "f"}}))
	needed := domain.NeededPermissions()
	f := domain.Finding{State: p.verification, Reason: checkReasons[p.verification], Granted: needed}
	switch p.truth {
	case "some":
		f.Granted = needed[1:]
	case "none":
		f.Granted = nil
	case "refused":
		f.Refused = needed[:1]
	}
	switch p.verification {
	case domain.VerificationUnknown:
	case domain.VerificationPending:
		f.State = domain.VerificationHealthy
		must(t, c.commands.RecordVerification(ctx, commands.RecordVerification{Actor: us, Connection: n, Finding: f}))
		_, err := c.commands.Start(ctx, commands.Start{Actor: us, Connection: n, Operation: domain.OpConnectionCheck})
		must(t, err)
	default:
		must(t, c.commands.RecordVerification(ctx, commands.RecordVerification{Actor: us, Connection: n, Finding: f}))
	}
	if p.consent != domain.ConsentUnknown {
		must(t, c.commands.RecordConsent(ctx, commands.RecordConsent{Actor: us, Connection: n, Consent: p.consent, Reason: consentReasons[p.consent]}))
	}
	if !p.enabled {
		must(t, c.commands.SetConnectionEnabled(ctx, commands.SetConnectionEnabled{Actor: us, Connection: n, Reason: "Off"}))
	}
	return n
}

func TestTenantsAreSummedUpWithOneThingToDo(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us := domain.SystemActor(c.ours)
	bare := c.tenant(t, us, "Bare")
	c.settle(t)
	for _, tc := range []struct {
		tenant     domain.Tenant
		state, cta string
	}{
		{bare, "missing", "/admin/onboarding/new?directory=" + bare.ExternalID.String()},
		{c.contoso, "default_configured", "/admin/t/" + c.contoso.ExternalID.String() + "/start"},
	} {
		path := "/admin/tenants/" + tc.tenant.ExternalID.String()
		res := c.program(t, "manager").send(t, "GET", path, accept(summaryJSON))
		var s struct {
			State                  string
			CTAURL                 string `json:"ctaUrl"`
			NeedsDefaultConnection bool
			CanonicalState         *connectionState
		}
		must(t, json.Unmarshal(res.body, &s))
		if s.State != tc.state || s.CTAURL != tc.cta || s.NeedsDefaultConnection != (tc.state != "default_configured") || (s.CanonicalState == nil) != (tc.state == "missing") {
			t.Errorf("%s: %s", tc.tenant.Name, res.body)
		}
		b := c.browser(t, "manager")
		if page := b.send(t, "GET", path).text(); !strings.Contains(page, `href="`+tc.cta+`"`) {
			t.Errorf("%s: the page does not lead to %s", tc.tenant.Name, tc.cta)
		}
		if res := b.send(t, "GET", tc.cta); res.status != http.StatusOK {
			t.Errorf("%s is %d", tc.cta, res.status)
		}
	}
}

// TestTenantsTellOfTheirRuns: when a tenant was last synchronized, and how many runs need attention, which are where the number leads.
func TestTenantsTellOfTheirRuns(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	for _, e := range []domain.Ending{
		{Outcome: domain.Succeeded}, {Outcome: domain.Failed, Reason: domain.ReasonProviderUnavailable}, {Outcome: domain.PartiallySucceeded},
	} {
		c.hold(t, domain.OpGroupsSync)
		c.end(t, c.work(t), e)
	}
	c.settle(t)
	b, list := c.browser(t, "readonly"), "/admin/t/"+c.contoso.ExternalID.String()+"/operations?range=7d&amp;view=attention"
	row := func(name string) string {
		t.Helper()
		_, row, found := strings.Cut(b.send(t, "GET", "/admin/tenants").text(), ">"+name+"</a>")
		if !found {
			t.Fatalf("%s is not listed", name)
		}
		row, _, _ = strings.Cut(row, "</tr>")
		return row
	}
	if contoso := row("Contoso"); !strings.Contains(contoso, `href="`+list+`">2</a>`) || !strings.Contains(contoso, "<time") {
		t.Errorf("contoso: %s", contoso)
	}
	if tailspin := row("Tailspin"); strings.Contains(tailspin, "view=attention") || strings.Contains(tailspin, "<time") {
		t.Errorf("tailspin: %s", tailspin)
	}
	if found, _ := c.program(t, "readonly").list(t, html.UnescapeString(list)); len(found) != 2 {
		t.Errorf("%d runs need attention", len(found))
	}
}

// TestWhatKeepsAllFromStartingIsTheSummary: the summary is the gate's own answer, and where only some operations start the directory's; there is one
// thing to do, which opens for who reads it, and a start is offered only where everything starts.
func TestWhatKeepsAllFromStartingIsTheSummary(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ctx, us, conn := t.Context(), domain.SystemActor(c.ours), c.conn.Number
	needed := domain.NeededPermissions()
	release := func() {
		must(t, c.commands.ReleaseConnection(ctx, commands.ReleaseConnection{Actor: us, Connection: conn, Reason: "Done"}))
		must(t, c.commands.ReleaseTenant(ctx, commands.ReleaseTenant{Actor: us, Tenant: c.contoso.ExternalID, Reason: "Done"}))
	}
	found := func(state domain.VerificationState, granted, refused []string) {
		must(t, c.commands.RecordVerification(ctx, commands.RecordVerification{
			Actor: us, Connection: conn, Finding: domain.Finding{State: state, Granted: granted, Refused: refused},
		}))
	}
	credential := func(expires time.Time) {
		must(t, c.commands.RotateCredential(ctx, commands.RotateCredential{
			Actor: us, Connection: conn, Credential: domain.Credential{Kind: "secret", Fingerprint: uuid.NewString(), ExpiresAt: expires},
		}))
	}
	enabled := func(yes bool) {
		must(t, c.commands.SetConnectionEnabled(ctx, commands.SetConnectionEnabled{Actor: us, Connection: conn, Enabled: yes, Reason: "Off"}))
	}
	const open, all, one = "Open connection", "so no operation can start.", ", so nothing but a check can start."
	external := c.contoso.ExternalID.String()
	for _, tc := range []struct {
		name     string
		do       func()
		sentence string
		owner    [2]string // what is to be done, and where
		operator string
		health   string
		groups   string // what the gate answers to a sync of groups
	}{
		{"ready", func() {}, "Contoso platform is verified and ready.", [2]string{"Start operation", "/admin/t/" + external + "/start"}, "Start operation", "healthy", ""},
		{"the connection is on hold", func() {
			must(t, c.commands.HoldConnection(ctx, commands.HoldConnection{Actor: us, Connection: conn, Reason: "Freeze"}))
		}, "Contoso platform is on hold, " + all, [2]string{"Release hold", connectionAt(c.conn) + "/changes/release"}, open, "healthy", "tenant_on_hold"},
		{"both are on hold", func() {
			must(t, c.commands.HoldTenant(ctx, commands.HoldTenant{Actor: us, Tenant: c.contoso.ExternalID, Reason: "Freeze"}))
		}, "Contoso is on hold, " + all, [2]string{"Release hold", "/admin/t/" + external + "/release"}, open, "healthy", "tenant_on_hold"},
		{"a hold of the tenant that is over", func() {
			release()
			must(t, c.commands.HoldTenant(ctx, commands.HoldTenant{Actor: us, Tenant: c.contoso.ExternalID, Reason: "Freeze", Until: time.Now().Add(-time.Second)}))
		}, "is verified and ready.", [2]string{"Start operation", "/admin/t/" + external + "/start"}, "Start operation", "healthy", ""},
		{"disabled", func() { enabled(false) }, "The provider connection is disabled, " + all, [2]string{open, connectionAt(c.conn)}, open, "healthy", "provider_connection_disabled"},
		{
			"a permission is missing", func() { enabled(true); found(domain.VerificationHealthy, needed[1:], nil) },
			"is verified, but 1 permission is missing, so not every operation can start.",
			[2]string{open, connectionAt(c.conn)},
			open, "warning", "provider_permission_missing",
		},
		{
			"permissions are refused", func() { found(domain.VerificationHealthy, needed, needed) },
			"is verified, but 2 permissions were refused, so not every operation can start.",
			[2]string{open, connectionAt(c.conn)},
			open, "warning", "provider_permission_denied",
		},
		{
			"degraded", func() { found(domain.VerificationDegraded, needed[1:], nil) },
			"is verified, but 1 permission is missing, so not every operation can start.",
			[2]string{open, connectionAt(c.conn)},
			open, "warning", "provider_permission_missing",
		},
		{
			"degraded for another reason", func() { found(domain.VerificationDegraded, needed, nil) },
			"is verified only in part, so nothing that writes can start.",
			[2]string{open, connectionAt(c.conn)},
			open, "warning", "",
		},
		{
			"blocked", func() { found(domain.VerificationBlocked, nil, nil) },
			"The last verification did not pass" + one,
			[2]string{open, connectionAt(c.conn)},
			open, "critical", "provider_verification_blocked",
		},
		{"consent is gone", func() {
			found(domain.VerificationHealthy, needed, nil)
			must(t, c.commands.RecordConsent(ctx, commands.RecordConsent{Actor: us, Connection: conn, Consent: domain.ConsentIsGone}))
		}, "Admin consent was revoked" + one, [2]string{open, connectionAt(c.conn)}, open, "healthy", "provider_consent_revoked"},
		{
			"the credential has expired", func() { credential(time.Now().Add(-time.Hour)); found(domain.VerificationHealthy, needed, nil) },
			"The credential has expired, " + all,
			[2]string{open, connectionAt(c.conn)},
			open, "healthy", "provider_credential_expired",
		},
		{"another connection, to be reviewed", func() {
			imported := c.connect(t, us, c.contoso, func(n *commands.CreateConnection) { n.MigrationReviewRequired = true })
			must(t, c.commands.MakeDefault(ctx, commands.MakeDefault{Actor: us, Connection: imported.Number}))
			c.conn = imported
		}, "The provider connection needs a review, " + all, [2]string{"Review connection", ""}, "Review connection", "healthy", "provider_connection_review_required"},
	} {
		tc.do()
		c.settle(t)
		if tc.owner[1] == "" {
			tc.owner[1] = connectionAt(c.conn)
		}
		for name, label := range map[string]string{"owner": tc.owner[0], "operator": tc.operator} {
			b := c.browser(t, name)
			_, summary, _ := strings.Cut(b.send(t, "GET", "/admin/tenants/"+external).text(), `id="tenant-summary"`)
			summary, _, _ = strings.Cut(summary, "</section>")
			_, todo, _ := strings.Cut(summary, `<a class="btn" href="`)
			href, word, _ := strings.Cut(todo, `">`)
			word, _, _ = strings.Cut(word, "</a>")
			if !strings.Contains(summary, tc.sentence) || strings.Count(summary, `<a class="btn" href="`) != 1 || word != label || name == "owner" && href != tc.owner[1] {
				t.Errorf("%s, %s: want %q and %q to %s in %s", tc.name, name, tc.sentence, label, tc.owner[1], clip([]byte(summary)))
			}
			if res := b.send(t, "GET", href); res.status != http.StatusOK {
				t.Errorf("%s: %s, to which %s is sent, is %d", tc.name, href, name, res.status)
			}
		}
		if _, reason := c.readiness(t, "Contoso", domain.OpGroupsSync); reason != tc.groups {
			t.Errorf("%s: the gate says %q, want %q", tc.name, reason, tc.groups)
		}
		if row := c.directoryRow(t, "Contoso"); tc.name != "another connection, to be reviewed" && row.SystemHealth != tc.health {
			t.Errorf("%s: the directory says %s, want %s", tc.name, row.SystemHealth, tc.health)
		}
	}
}

// readinessMatrix is what a start of each operation on each tenant would be answered.
type readinessMatrix struct {
	Tenants []struct {
		Tenant    string
		Readiness []struct {
			OperationType domain.OperationType
			Status        string
			ReasonCode    string
		}
	}
	Permissions []struct {
		Permission              string
		DeclaredBy              []string
		GrantedIn, Checked      int
		MissingIn, BeyondNeedIn []string
	}
}

func (c *console) matrix(t testing.TB) readinessMatrix {
	t.Helper()
	var m readinessMatrix
	must(t, json.Unmarshal(c.program(t, "readonly").send(t, "GET", "/admin/readiness", accept("application/json")).body, &m))
	return m
}

// readiness is what a start on a tenant would be answered, as the matrix says it.
func (c *console) readiness(t testing.TB, label string, op domain.OperationType) (status, reason string) {
	t.Helper()
	for _, row := range c.matrix(t).Tenants {
		for _, cell := range row.Readiness {
			if row.Tenant == label && cell.OperationType == op {
				return cell.Status, cell.ReasonCode
			}
		}
	}
	t.Fatalf("the matrix has no %s of %s", op, label)
	return "", ""
}

// TestASurplusGrantIsAdvisedAgainst: a permission that no operation needs is named with the tenant that has granted it, as JSON and on the page.
func TestASurplusGrantIsAdvisedAgainst(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	must(t, c.commands.RecordVerification(t.Context(), commands.RecordVerification{
		Actor: domain.SystemActor(c.ours), Connection: c.conn.Number, Finding: domain.Finding{State: domain.VerificationHealthy, Granted: append([]string{"Mail.Read"}, granted...)},
	}))
	c.settle(t)
	for _, a := range c.matrix(t).Permissions {
		want, declared := []string{}, true
		if a.Permission == "Mail.Read" {
			want, declared = []string{"Contoso"}, false
		}
		if !slices.Equal(a.BeyondNeedIn, want) || (len(a.DeclaredBy) > 0) != declared || a.Permission == "Mail.Read" && a.GrantedIn != 1 {
			t.Errorf("%+v", a)
		}
	}
	_, line, found := strings.Cut(c.browser(t, "readonly").send(t, "GET", "/admin/readiness").text(), "<code>Mail.Read</code>")
	line, _, _ = strings.Cut(line, "</tr>")
	if !found || !strings.Contains(line, "Can be withdrawn") || !strings.Contains(line, view.TenantHref(c.contoso.ExternalID.String())) || strings.Contains(line, "Tailspin") {
		t.Errorf("the page says %s", clip([]byte(line)))
	}
	if row := c.directoryRow(t, "Contoso"); row.SystemHealth != "healthy" {
		t.Errorf("more than is needed is no harm to the health: %+v", row)
	}
}

// directoryRow is a tenant as the platform's directory has it.
func (c *console) directoryRow(t testing.TB, label string) directoryRow {
	t.Helper()
	var directory struct{ Rows []directoryRow }
	must(t, json.Unmarshal(c.program(t, "platform").send(t, "GET", "/system/directory/tenants", accept(directoryJSON)).body, &directory))
	i := slices.IndexFunc(directory.Rows, func(r directoryRow) bool { return r.TenantLabel == label })
	if i < 0 {
		t.Fatalf("%s is not in the directory", label)
	}
	return directory.Rows[i]
}

// TestRotatingACredential: the secret goes into the vault and nowhere else; the verification is reset and the page says what follows.
func TestRotatingACredential(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b, p := c.browser(t, "manager"), c.program(t, "manager")
	here := connectionAt(c.conn) + "/credential"
	const hush = "very~hush-hush.42"
	res := b.send(t, "POST", here, form(url.Values{"kind": {"secret"}, "secret": {hush}, "expiresAt": {time.Now().UTC().Add(61 * 24 * time.Hour).Format(time.DateOnly)}}))
	if res.status != http.StatusSeeOther || res.header.Get("Location") != connectionAt(c.conn)+"?done=credential" {
		t.Fatalf("rotate: %d to %s: %s", res.status, res.header.Get("Location"), clip(res.body))
	}
	page := b.send(t, "GET", res.header.Get("Location")).text()
	for _, want := range []string{"reset to unknown", "Check now", "CredentialRotated", "by Manager", "expires in 61 d"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if row := p.connectionNow(t, c.conn); *row.State.VerificationStatus != "unknown" || *row.State.ConsentStatus != "granted" || row.State.Lifecycle != "enabled" {
		t.Errorf("after the rotation: %+v", row)
	}
	if o := p.send(t, "POST", groupsPath(c.contoso)).outcome(t); o.Status != "blocked" {
		t.Errorf("a start on an unverified connection is %s", o.Status)
	}
	// The next credential's form does not begin with this one's expiry: sent along, it would be taken for the next one's.
	if page := b.send(t, "GET", here).text(); !strings.Contains(page, "expires in 61 d") || !regexp.MustCompile(`name="expiresAt"[^>]* value=""`).MatchString(page) {
		t.Errorf("the form has an expiry: %s", clip([]byte(page)))
	}
	// Empty keeps: nothing happens, and with another expiry the same credential.
	before := c.fingerprint(t)
	if c.vault.secrets[before] != hush {
		t.Errorf("the vault has %v", c.vault.secrets)
	}
	events := c.count(t, `select count(*) from events`)
	if res := b.send(t, "POST", here, form(url.Values{"kind": {"secret"}, "secret": {""}})); res.header.Get("Location") != connectionAt(c.conn)+"?done=saved" || c.count(t, `select count(*) from events`) != events {
		t.Errorf("keep: %d to %s", res.status, res.header.Get("Location"))
	}
	if res := p.send(t, "POST", here, jsonBody(`{"kind":"secret","expiresAt":"2030-01-31"}`)); res.status != http.StatusOK || c.fingerprint(t) != before {
		t.Errorf("another expiry: %d %s", res.status, res.body)
	}
	if res := p.send(t, "POST", here, jsonBody(`{"kind":"federated"}`)); res.status != http.StatusOK || c.fingerprint(t) == before {
		t.Errorf("federated: %d %s", res.status, res.body)
	}
	for name, bad := range map[string]string{
		"kept secret of another kind": `{"kind":"certificate"}`, "lines": `{"kind":"secret","secret":"hush-hush\nx"}`, "no date": `{"kind":"federated","expiresAt":"soon"}`,
		"over already":   `{"kind":"secret","secret":"hush-hush","expiresAt":"2020-11-27"}`,
		"unknown member": `{"kind":"secret","password":"hush-hush"}`,
	} {
		if res := p.send(t, "POST", here, jsonBody(bad)); res.status != http.StatusBadRequest || strings.Contains(res.text(), "hush") {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	res = b.send(t, "POST", here, form(url.Values{"kind": {"certificate"}, "secret": {"hush-hush\nx"}}))
	if res.status != http.StatusUnprocessableEntity || strings.Contains(res.text(), "hush") || !strings.Contains(res.text(), "This is no secret.") {
		t.Errorf("the form again: %d", res.status)
	}
	if n := c.count(t, `select count(*) from events where payload::text like '%hush%'`); n != 0 || strings.Contains(c.logs.text(), "hush") {
		t.Errorf("the secret is in %d events or in the log", n)
	}
	for _, path := range []string{here, connectionAt(c.conn), connectionAt(c.conn) + "/edit"} {
		if strings.Contains(b.send(t, "GET", path).text(), "hush") {
			t.Errorf("%s shows the secret", path)
		}
	}
}

func (c *console) fingerprint(t *testing.T) string {
	t.Helper()
	conn, _, err := c.commands.Connection(t.Context(), domain.SystemActor(c.ours), c.conn.Number)
	must(t, err)
	return conn.Credential.Fingerprint
}
