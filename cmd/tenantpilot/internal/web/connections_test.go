package web_test

import (
	"encoding/json"
	"fmt"
	"maps"
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
	Diagnostics                       struct{ MigrationReviewRequired bool }
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
	res := p.send(t, "POST", "/admin/provider-connections", jsonBody(`{"tenant":"`+c.tailspn.ExternalID.String()+`","displayName":"Own app","connectionType":"dedicated","appId":"app-1"}`))
	if res.status != http.StatusCreated {
		t.Fatalf("create: %d %s", res.status, res.body)
	}
	var row connectionRow
	must(t, json.Unmarshal(res.body, &row))
	conn := domain.ProviderConnection{Number: row.ID}
	if res.header.Get("Location") != connectionAt(conn) || row.IsDefault || row.State.Lifecycle != "enabled" || *row.State.ConsentStatus != "unknown" ||
		*row.State.VerificationStatus != "unknown" || *row.EffectiveAppID != "app-1" {
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
	says(change("hold", url.Values{"reason": {"Key ceremony"}, "until": {time.Now().UTC().Add(3 * time.Hour).Format("2006-01-02T15:04")}}), "On hold: Key ceremony", "/changes/release")
	says(change("release", url.Values{"reason": {"Done"}}), "The hold was released.", "/changes/hold")
	says(change("review", nil), "The review is completed.")

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
	res = owner.send(t, "POST", edit, fields(tag, "Contoso of mine", "dedicated", "own-app"))
	page := res.text()
	if res.status != http.StatusPreconditionFailed {
		t.Fatalf("stale save: %d %s", res.status, clip(res.body))
	}
	for _, want := range []string{"Manager has changed these settings", "Contoso Europe", "Contoso of mine", "own-app", "Apply mine", "Take theirs", `href="` + edit + `"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the conflict does not say %q", want)
		}
	}
	if row := p.connectionNow(t, c.conn); row.DisplayName != "Contoso Europe" {
		t.Errorf("a stale save was saved: %+v", row)
	}
	res = owner.send(t, "POST", edit, fields(tagOf(page), "Contoso of mine", "dedicated", "own-app"))
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
	if *row.State.VerificationStatus != "unknown" || *row.State.ConsentStatus != "unknown" || *row.EffectiveAppID != "own-app" || row.ConnectionType != "dedicated" {
		t.Errorf("after another app: %+v", row)
	}

	// Programs.
	body := jsonBody(`{"displayName":"By program","connectionType":"dedicated","appId":"own-app"}`)
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
	page := b.send(t, "GET", connectionAt(c.conn)).text()
	if !strings.Contains(page, start) || !strings.Contains(page, "Start verification") || strings.Contains(page, "Refresh\n") {
		t.Error("a check cannot be started")
	}
	res := b.send(t, "POST", connectionPath(c.conn, domain.OpConnectionCheck), form(url.Values{"attempt_id": {uuid.NewString()}, "sourceSurface": {"console.connection"}}))
	if res.status != http.StatusOK {
		t.Fatalf("start: %d", res.status)
	}
	c.settle(t)
	page = b.send(t, "GET", connectionAt(c.conn)).text()
	if strings.Contains(page, start) || strings.Contains(page, "Start verification") || !strings.Contains(page, "Refresh") || !strings.Contains(page, "A verification is under way") {
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
	if n := c.count(t, `select count(*) from events where payload::text ~ '"(status|health_status|healthStatus)"\s*:'`); n != 0 {
		t.Errorf("%d events have a legacy member", n)
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

// TestBothPlanesTellTheSameStory brings connections into every combination of lifecycle, consent, verification and permission truth, and
// compares what the workspace is told with what the platform is told: the rows are the same but for the tenant's label, the counts follow from
// the rows, and where the platform says healthy the gate lets everything start that people and the customer allow.
func TestBothPlanesTellTheSameStory(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us := domain.SystemActor(c.ours)
	needed := domain.NeededPermissions()
	truths := map[string][]string{"all": needed, "some": needed[1:], "none": nil}
	verifications := []domain.VerificationState{
		domain.VerificationUnknown, domain.VerificationPending, domain.VerificationHealthy, domain.VerificationDegraded,
		domain.VerificationBlocked, domain.VerificationError,
	}
	consents := []domain.ConsentState{domain.ConsentUnknown, domain.ConsentRequired, domain.ConsentIsGiven, domain.ConsentIsFailed, domain.ConsentIsGone}
	conns := map[int64]string{}
	for _, enabled := range []bool{true, false} {
		for _, consent := range consents {
			for _, truth := range slices.Sorted(maps.Keys(truths)) {
				tenant := c.tenant(t, us, fmt.Sprintf("%v-%s-%s", enabled, consent, truth))
				for _, v := range verifications {
					conns[c.inState(t, tenant, enabled, consent, v, truths[truth])] = tenant.Name
				}
			}
		}
	}
	c.settle(t)

	admin := map[string][]connectionRow{}
	for _, row := range c.program(t, "readonly").rows(t, "/admin/provider-connections") {
		if _, ours := conns[row.ID]; ours {
			admin[*row.TenantLabel] = append(admin[*row.TenantLabel], row)
		}
	}
	platform := c.program(t, "platform")
	res := platform.send(t, "GET", "/system/directory/tenants", accept(directoryJSON))
	if res.header.Get("Content-Type") != directoryJSON {
		t.Fatalf("%s %s", res.header.Get("Content-Type"), res.body)
	}
	var directory struct{ Rows []directoryRow }
	must(t, json.Unmarshal(res.body, &directory))
	seen := 0
	for _, line := range directory.Rows {
		rows, ours := admin[line.TenantLabel]
		if !ours {
			continue
		}
		res := platform.send(t, "GET", fmt.Sprintf("/system/directory/tenants/%d", line.TenantID), accept(systemTenantJSON))
		var detail struct{ ProviderConnections []connectionRow }
		must(t, json.Unmarshal(res.body, &detail))
		if n := c.count(t, `select count(*) from events e join tenants t on t.tenant = e.stream and t.workspace = e.workspace and e.tenant = t.tenant
			where t.number = $1 and e.name = 'TenantInspected' and e.meta #>> '{actor,kind}' = 'person'`, line.TenantID); n != 1 {
			t.Errorf("%s: %d looks from outside are recorded, want 1", line.TenantLabel, n)
		}
		one, _ := json.Marshal(rows)
		other, _ := json.Marshal(detail.ProviderConnections)
		if string(one) != string(other) {
			t.Errorf("%s: the planes tell different stories\n%s\n%s", line.TenantLabel, one, other)
		}
		critical, warning := 0, 0
		missing := strings.HasSuffix(line.TenantLabel, "-some")
		for _, row := range rows {
			seen++
			switch *row.State.VerificationStatus {
			case "blocked", "error":
				critical++
			case "healthy":
				if !strings.HasSuffix(line.TenantLabel, "-all") {
					warning++
				}
			default:
				warning++
			}
		}
		wantMissing := 0
		if missing {
			wantMissing = 1
		} else if strings.HasSuffix(line.TenantLabel, "-none") {
			wantMissing = len(needed)
		}
		if line.CriticalProviderCount != critical || line.WarningProviderCount != warning || line.MissingPermissionCount != wantMissing ||
			line.ProviderConnectionsCount != len(rows) || line.SystemHealth != "critical" || line.WorkspaceLabel != "Ours" {
			t.Errorf("%s: %+v; from its rows %d critical, %d warning, %d missing", line.TenantLabel, line, critical, warning, wantMissing)
		}
	}
	if seen != len(conns) || seen != 2*5*3*6 {
		t.Errorf("%d of %d connections were compared", seen, len(conns))
	}
	for _, tenant := range []domain.Tenant{c.contoso} {
		i := slices.IndexFunc(directory.Rows, func(r directoryRow) bool { return r.TenantLabel == tenant.Name })
		o := c.program(t, "operator").send(t, "POST", groupsPath(tenant)).outcome(t)
		if directory.Rows[i].SystemHealth != "healthy" || o.Status != "accepted" {
			t.Errorf("%+v, but a start is %s", directory.Rows[i], o.Status)
		}
	}
}

// inState gives a tenant one more connection and brings it into a state, by the commands that people and checks use.
func (c *console) inState(
	t *testing.T, tenant domain.Tenant, enabled bool, consent domain.ConsentState, v domain.VerificationState, granted []string,
) int64 {
	t.Helper()
	ctx, us := t.Context(), domain.SystemActor(c.ours)
	conn, err := c.commands.CreateConnection(ctx, commands.CreateConnection{Actor: us, Tenant: tenant.ExternalID, DisplayName: string(v), ConnectionType: "platform"})
	must(t, err)
	n := conn.Number
	must(t, c.commands.RotateCredential(ctx, commands.RotateCredential{Actor: us, Connection: n, Credential: domain.Credential{Kind: "secret", Fingerprint: "f"}}))
	found := domain.Finding{State: v, Granted: granted}
	switch v {
	case domain.VerificationUnknown:
	case domain.VerificationPending:
		must(t, c.commands.RecordVerification(ctx, commands.RecordVerification{Actor: us, Connection: n, Finding: domain.Finding{State: domain.VerificationHealthy, Granted: granted}}))
		_, err := c.commands.Start(ctx, commands.Start{Actor: us, Connection: n, Operation: domain.OpConnectionCheck})
		must(t, err)
	default:
		must(t, c.commands.RecordVerification(ctx, commands.RecordVerification{Actor: us, Connection: n, Finding: found}))
	}
	if consent != domain.ConsentUnknown {
		must(t, c.commands.RecordConsent(ctx, commands.RecordConsent{Actor: us, Connection: n, Consent: consent}))
	}
	if !enabled {
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

// TestWhatKeepsAllFromStartingIsTheSummary: a connection that was verified and cannot be used is not called ready, nor is a start offered.
func TestWhatKeepsAllFromStartingIsTheSummary(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us := domain.SystemActor(c.ours)
	b := c.browser(t, "owner")
	says := func(want string) {
		t.Helper()
		c.settle(t)
		_, summary, _ := strings.Cut(b.send(t, "GET", "/admin/tenants/"+c.contoso.ExternalID.String()).text(), `id="tenant-summary"`)
		summary, _, _ = strings.Cut(summary, "</section>")
		if ready := strings.Contains(want, "ready"); !strings.Contains(summary, want) || strings.Contains(summary, "Start operation") != ready {
			t.Errorf("want %q in %s", want, clip([]byte(summary)))
		}
	}
	says("is verified and ready.")
	must(t, c.commands.HoldConnection(t.Context(), commands.HoldConnection{Actor: us, Connection: c.conn.Number, Reason: "Freeze"}))
	says("is on hold, so no operation can start.")
	must(t, c.commands.ReleaseConnection(t.Context(), commands.ReleaseConnection{Actor: us, Connection: c.conn.Number, Reason: "Done"}))
	must(t, c.commands.RotateCredential(t.Context(), commands.RotateCredential{
		Actor: us, Connection: c.conn.Number, Credential: domain.Credential{Kind: "secret", Fingerprint: "old", ExpiresAt: time.Now().Add(-time.Hour)},
	}))
	must(t, c.commands.RecordVerification(t.Context(), commands.RecordVerification{
		Actor: us, Connection: c.conn.Number, Finding: domain.Finding{State: domain.VerificationHealthy, Granted: domain.NeededPermissions()},
	}))
	says("has expired, so no operation can start.")
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
