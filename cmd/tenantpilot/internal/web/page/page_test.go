package page_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/a-h/templ"

	"tenantpilot/cmd/tenantpilot/internal/browsertest"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/static"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:"

// samples are all pages, each as a reader may meet it.
func samples() map[string]templ.Component {
	operations := func(s view.Shell, list view.OperationsList) templ.Component { return page.OperationsPage(s, list) }
	hub := shell("Operations", "/admin/operations")
	start := shell("Start an operation", "/admin/t/contoso/start")
	run := func(title string) view.Shell { return shell(title, "/admin/operations/1") }
	signedOut := view.Shell{Title: "Sign in", Demo: true, Now: now}
	all := map[string]templ.Component{
		"operations":          operations(hub, sampleOperations()),
		"operations-filtered": operations(hub, filteredOperations()),
		"operations-empty":    operations(hub, emptyOperations()),
		"operations-peek":     operations(hub, peekedOperations()),
		"operations-selected": operations(hub, selectedOperations()),
		"hold": page.HoldPage(shell("Hold Contoso?", "/admin/t/contoso/hold"), view.HoldForm{
			Headline: "Hold Contoso?", Text: "Nothing starts on this tenant while it is on hold, neither by hand nor by schedule. What runs already goes on.",
			Action: "/admin/t/contoso/hold", Back: "/admin/tenants/contoso.com", Submit: "Hold Contoso", Length: "24h", Error: "Say why.",
			Lengths: []view.OptionChoice{{Value: "24h", Label: "For 24 hours"}, {Label: "Until it is released"}},
		}),
		"tenant-edit": page.TenantFormPage(shell("Edit Contoso", "/admin/tenants/contoso/edit"), view.TenantForm{
			Tenant: view.Link{Label: "Contoso", Href: "/admin/tenants/contoso"}, Action: "/admin/tenants/contoso/edit", Name: "Contoso Europe",
			Groups: "Europe\nGold", Known: []string{"Europe", "Gold", "Pilot"}, Tag: "0123456789abcdef",
			Notice: "Somebody has changed this after you opened the form. Nothing of yours was saved.",
			Errors: []view.FieldError{{Pointer: "/groups", Message: "A tenant is in at most 20 groups."}},
		}),
		"bulk-preview":     page.BulkPage(shell("Start 24 runs again?", "/admin/operations/bulk"), sampleBulk()),
		"bulk-done":        page.BulkPage(shell("Cancelling was asked for", "/admin/operations/bulk/confirm"), doneBulk()),
		"replay-preview":   page.BulkPage(quiet("Replay 2 attempts?", view.AttemptReplayHref), sampleReplays()),
		"replay-done":      page.BulkPage(quiet("The replays were answered", view.AttemptReplayHref), doneReplays()),
		"projections":      page.StandingPage(quiet("Projections", "/system/projections"), sampleStanding()),
		"run-running":      page.RunPage(run("Run 4718"), runningRun()),
		"run-failed":       page.RunPage(run("Run 4713"), failedRun()),
		"run-partial":      page.RunPage(run("Run 4713"), partialRun()),
		"start":            page.StartPage(start, sampleStartForm()),
		"start-invalid":    page.StartPage(start, invalidStartForm()),
		"outcome-accepted": page.OutcomePage(shell("Started", "/admin/t/contoso/start"), acceptedOutcome()),
		"outcome-deduped":  page.OutcomePage(shell("Joined", "/admin/t/contoso/start"), dedupedOutcome()),
		"outcome-busy":     page.OutcomePage(shell("Busy", "/admin/t/contoso/start"), busyOutcome()),
		"outcome-blocked":  page.OutcomePage(shell("Blocked", "/admin/t/contoso/start"), blockedOutcome()),
		"tenants":          page.TenantsPage(shell("Tenants", "/admin/tenants"), view.TenantList{Now: now, Action: "/admin/tenants", Rows: sampleTenantRows()}),
		"search": page.SearchPage(shell("Search", "/admin/search"), view.Search{Query: "groups contoso", Groups: []view.SearchGroup{
			{Label: "Tenants", Count: 12, Items: []view.SearchItem{{Label: "Contoso", Note: "contoso.com", Href: "/admin/tenants/contoso", Icon: "building-2"}}},
			{Label: "Start", Count: 1, Items: []view.SearchItem{{Label: "Sync directory groups", Note: "Contoso", Href: "/admin/start", Icon: "play"}}},
		}}),
		"members":          page.MembersPage(shell("Members and roles", "/admin/settings/members"), sampleMembers()),
		"invited":          page.HomePage(shell("Workspaces", "/"), view.Home{Now: now, Offers: []view.Offer{{Workspace: "Northlight MSP", Role: "operator", Accept: view.Button{Label: "Accept", Post: true, Variant: "primary", Href: "/a"}, Decline: view.Button{Label: "Decline", Post: true, Href: "/d"}}}}),
		"outcome-reserved": page.ReservedPage(shell("Waiting", "/admin/t/contoso/start"), sampleReservation()),
		"tenants-empty": page.TenantsPage(shell("Tenants", "/admin/tenants"), view.TenantList{Now: now, Action: "/admin/tenants", Empty: &view.Empty{
			Icon: "building-2", Title: "No tenants yet", Text: "Connect your first customer tenant to run operations on it.", Actions: []view.Button{{Label: "Connect a tenant", Href: "/admin/onboarding", Variant: "primary"}},
		}}),
		"tenant":        page.TenantPage(shell("Contoso", "/admin/tenants/contoso.com"), sampleTenantPage()),
		"home":          page.HomePage(shell("Choose a workspace", "/"), view.Home{Now: now, Workspaces: []view.WorkspaceChoice{{Label: "Northlight MSP", Role: "Operator", Href: "/w/1", Tenants: 37, Current: true}, {Label: "Harbour IT", Role: "Auditor", Href: "/w/2", Tenants: 1}}, Tenants: sampleTenantRows()[:3]}),
		"notifications": page.NotificationsPage(shell("Notifications", "/admin/notifications"), sampleNotifications()),
		"notifications-empty": page.NotificationsPage(shell("Notifications", "/admin/notifications"), view.Notifications{Now: now, Tabs: []view.Choice{{Label: "All", Href: "?", Current: true}}, Empty: &view.Empty{
			Icon: "bell", Title: "Nothing new", Text: "You are told only about operations you started.",
		}}),
		"problem-forbidden": page.ProblemPage(shell("Not allowed", "/admin/t/contoso/start"), view.Problem{
			Status: 403, Title: "You may not start operations on Contoso", Detail: "You can see this tenant but not start operations on it.",
			Needs: "inventory.sync", Ask: []string{"Ana Ruiz", "Bo Lind"}, RequestID: "req_01JCZ4X0W8", Actions: []view.Button{{Label: "Back to Contoso", Href: "/admin/tenants/contoso.com", Variant: "primary"}},
		}),
		"problem-missing": page.ProblemPage(shell("Not found", "/admin/operations/999"), view.Problem{
			Status: 404, Title: "Nothing here that you can see", Detail: "It may not exist, or you may not be entitled to it.", ObjectID: "run 999", RequestID: "req_01JCZ4X0W9",
			Actions: []view.Button{{Label: "Go to operations", Href: "/admin/operations", Variant: "primary"}},
		}),
		"problem-error": page.ProblemPage(shell("Error", "/admin/operations"), view.Problem{
			Status: 500, Title: "The page could not be made", Detail: "The error was recorded. Nothing was changed.", RequestID: "req_01JCZ4X0WA", ReasonCode: "internal",
			Errors: []view.FieldError{{Pointer: "/selectedOperations", Message: "Choose at least one operation."}}, Actions: []view.Button{{Label: "Try again", Icon: "rotate-cw", Href: "/admin/operations", Variant: "primary"}},
		}),
		"attempts":         page.AttemptsPage(quiet("Attempts", "/admin/attempts"), sampleAttempts()),
		"attempts-grouped": page.AttemptsPage(quiet("Attempts", "/admin/attempts"), groupedAttempts()),
		"receipt":          page.ReceiptPage(quiet("Receipt", "/admin/attempts/1"), sampleReceipt()),
		"audit":            page.AuditPage(quiet("Audit & replay", "/admin/audit"), sampleAudit()),
		"audit-event":      page.AuditEventPage(quiet("Event 2140", "/admin/audit/2140"), sampleAuditEvent()),
		"replay":           page.ReplayPage(quiet("Connection 12, replay", "/admin/audit/replay/connection/12"), sampleReplay()),
		"replay-compare":   page.ReplayPage(quiet("Connection 12, replay", "/admin/audit/replay/connection/12"), comparedReplay()),
		"replay-run":       page.ReplayPage(quiet("Run 4718, replay", "/admin/audit/replay/run/4718"), runReplay()),
		"sign-in":          page.SignInPage(signedOut, view.SignIn{State: view.SignInAsk, Now: now, Command: "tenantpilot sign-in --as kim", Provider: &view.Link{Label: "Continue with Microsoft Entra", Href: "/auth/oidc"}}),
		"sign-in-confirm":  page.SignInPage(signedOut, view.SignIn{State: view.SignInConfirm, Now: now, At: now.Add(600e9), Name: "Kim Larsen", Workspace: "Northlight MSP", Action: "/sign-in"}),
		"sign-in-consumed": page.SignInPage(signedOut, view.SignIn{State: view.SignInConsumed, Now: now, At: ago(4 * 60e9), Command: "tenantpilot sign-in --as kim"}),
		"sign-in-expired":  page.SignInPage(signedOut, view.SignIn{State: view.SignInExpired, Now: now, At: ago(3600e9), Error: "The sign-in was cancelled at the identity provider."}),
	}
	maps.Copy(all, connectionSamples())
	maps.Copy(all, signInSamples())
	maps.Copy(all, settingsSamples())
	maps.Copy(all, onboardingSamples())
	return all
}

// render serves component under the policy every page of ours has.
func render(component templ.Component) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := component.Render(r.Context(), w); err != nil {
			panic(err)
		}
	}
}

// quietStream is an event stream in which nothing happens.
func quietStream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func serve(t testing.TB, routes map[string]http.Handler) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(static.Prefix, static.Handler())
	mux.HandleFunc("GET /stream", quietStream)
	for name, component := range samples() {
		mux.Handle("GET /p/"+name, render(component))
	}
	for pattern, handler := range routes {
		mux.Handle(pattern, handler)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// TestPagesInABrowser looks at every page in both themes, on a desk and on a phone.
func TestPagesInABrowser(t *testing.T) {
	server := serve(t, nil)
	browser := browsertest.Start(t)
	for name := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := browser.Page(t)
			tab.Look(1440, browsertest.Light)
			tab.Open(server.URL + "/p/" + name)
			tab.LookAround(name)
			tab.Look(900, browsertest.Light)
			tab.FitsWidth()
			tab.Look(320, browsertest.Light)
			tab.FitsWidth()
		})
	}
}

// TestEveryIconIsVendored renders each status once; Icon panics on a name it does not have.
func TestEveryIconIsVendored(t *testing.T) {
	var badges []view.Badge
	for _, status := range []string{"accepted", "deduped", "scope_busy", "blocked", "?"} {
		badges = append(badges, view.StartBadge(status))
	}
	for _, status := range []string{"queued", "running", "waiting_external_approval", "completed"} {
		badges = append(badges, view.ExecutionBadge(status))
	}
	for _, status := range []string{"succeeded", "partially_succeeded", "failed", "blocked", "cancelled"} {
		badges = append(badges, view.OutcomeBadge(status))
	}
	for _, status := range []string{"requested", "cancelling", "cancelled"} {
		badges = append(badges, view.CancelBadge(status))
	}
	for _, status := range []string{"pending", "confirmed", "refused", "skipped", "unknown"} {
		badges = append(badges, view.ItemBadge(status))
	}
	for _, status := range []string{"missing", "configured", "default_configured"} {
		badges = append(badges, view.SummaryBadge(status))
	}
	for _, axes := range []view.Axes{
		{},
		{Lifecycle: "enabled", Consent: "unknown", Verification: "unknown"},
		{Lifecycle: "disabled", Consent: "required", Verification: "pending"},
		{Consent: "granted", Verification: "healthy"},
		{Consent: "failed", Verification: "degraded"},
		{Consent: "revoked", Verification: "blocked"},
		{Verification: "error"},
	} {
		three := axes.Badges()
		badges = append(badges, three[:]...)
	}
	for _, group := range view.MainNav("/", func(string) bool { return true }) {
		for _, item := range group.Items {
			badges = append(badges, view.Badge{Icon: item.Icon})
		}
	}
	for _, badge := range badges {
		if err := page.Badge(badge).Render(context.Background(), httptest.NewRecorder()); err != nil {
			t.Error(err)
		}
	}
}
