package page_test

import (
	"fmt"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
)

// The sample values are a workspace on a working day: every status occurs.
var now = time.Now().UTC().Truncate(time.Second)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func count(n int) *int { return &n }

func shell(title, path string) view.Shell {
	tenants := []view.TenantChoice{{Label: "All tenants", Href: "/admin/operations", Current: true}}
	for _, t := range sampleTenants {
		tenants = append(tenants, view.TenantChoice{Label: t.name, Domain: t.domain, Href: "/admin/tenants/" + t.domain})
	}
	return view.Shell{
		Title:             title,
		Path:              path,
		Viewer:            view.Viewer{Name: "Kim Larsen", Role: "Operator", Workspace: "Northlight MSP"},
		Nav:               view.MainNav(path, func(string) bool { return true }),
		Demo:              true,
		Tenants:           tenants,
		Unread:            3,
		NotificationsHref: "/admin/notifications",
		SignOutHref:       "/sign-out",
		StartHref:         "/p/start-fragment",
		LiveHref:          "/stream",
		Now:               now,
	}
}

var sampleTenants = []struct{ name, domain, connection string }{
	{"Contoso", "contoso.com", "Contoso platform"},
	{"Fabrikam", "fabrikam.com", "Fabrikam dedicated"},
	{"Northwind Traders", "northwindtraders.com", "Northwind platform"},
	{"Adventure Works", "adventure-works.com", "Adventure Works platform"},
	{"Tailspin Toys", "tailspintoys.com", "Tailspin dedicated"},
	{"Litware", "litware.eu", "Litware platform"},
	{"Alpine Ski House", "alpineskihouse.ch", "Alpine platform"},
	{"Wide World Importers", "wideworldimporters.com", "WWI dedicated"},
}

func tenantLink(i int) view.Link {
	return view.Link{Label: sampleTenants[i].name, Href: "/admin/tenants/" + sampleTenants[i].domain}
}

func connectionLink(i int) view.Link {
	return view.Link{Label: sampleTenants[i].connection, Href: fmt.Sprintf("/admin/provider-connections/%d", 70+i)}
}

func sampleRow(id int64, tenant int, operation, execution, outcome string, queued, took time.Duration) view.RunRow {
	row := view.RunRow{
		ID: id, Href: fmt.Sprintf("/admin/operations/%d", id), ExecutionStatus: execution, Outcome: outcome,
		Operation: operation, Tenant: tenantLink(tenant), Connection: connectionLink(tenant),
		Initiator: view.Initiator{Name: "Kim Larsen", Trigger: "operator"}, QueuedAt: ago(queued),
	}
	if execution != "queued" {
		row.StartedAt = ago(queued - 2*time.Second)
	}
	if outcome != "" {
		row.EndedAt = row.StartedAt.Add(took)
	}
	return row
}

func sampleRows() []view.RunRow {
	waiting := sampleRow(4719, 0, "Policy sync", "queued", "", 40*time.Second, 0)
	waiting.Waiting = &view.Waiting{For: "scope of Contoso platform", Holder: view.Link{Label: "run 4718 (inventory sync, Kim Larsen)", Href: "/admin/operations/4718"}, Since: ago(40 * time.Second), Usually: 9 * time.Minute}

	running := sampleRow(4718, 0, "Inventory sync", "running", "", 6*time.Minute, 0)
	running.Progress = view.Progress{Total: 412, Confirmed: 268, Refused: 2, Unknown: 0}

	cancelling := sampleRow(4717, 4, "Restore", "running", "", 11*time.Minute, 0)
	cancelling.Target = "12 configuration policies"
	cancelling.Cancel = "cancelling"
	cancelling.Initiator = view.Initiator{Name: "Ana Ruiz", Trigger: "operator"}
	cancelling.Progress = view.Progress{Total: 12, Confirmed: 7, Unknown: 1}

	throttled := sampleRow(4716, 2, "Directory groups sync", "running", "", 14*time.Minute, 0)
	throttled.Target = "All groups"
	throttled.Initiator = view.Initiator{Name: "Nightly directory", Trigger: "schedule", Href: "/admin/schedules/3"}
	throttled.Waiting = &view.Waiting{For: "the provider's throttle budget", Until: now.Add(95 * time.Second)}
	throttled.Progress = view.Progress{Confirmed: 1840}

	approval := sampleRow(4715, 6, "Restore", "waiting_external_approval", "", 52*time.Minute, 0)
	approval.Target = "3 conditional access policies"
	approval.ShortReason = "Waits for the customer's second administrator"
	approval.Progress = view.Progress{Total: 3}

	partial := sampleRow(4714, 1, "Policy sync", "completed", "partially_succeeded", 70*time.Minute, 312*time.Second)
	partial.ShortReason = "2 policy types could not be read: licence missing"
	partial.Progress = view.Progress{Total: 41, Confirmed: 38, Refused: 3}

	failed := sampleRow(4713, 5, "Inventory sync", "completed", "failed", 85*time.Minute, 12*time.Second)
	failed.ShortReason = "The client secret has expired"
	failed.ReasonCode = "provider_credential_expired"

	blocked := sampleRow(4712, 3, "Admin roles scan", "completed", "blocked", 2*time.Hour, 1*time.Second)
	blocked.ShortReason = "Admin consent was revoked before the run began"

	rows := []view.RunRow{waiting, running, cancelling, throttled, approval, partial, failed, blocked}
	check := sampleRow(4711, 7, "Connection check", "completed", "succeeded", 3*time.Hour, 4*time.Second)
	check.Initiator = view.Initiator{Name: "ci-onboarding", Trigger: "api"}
	check.Progress = view.Progress{Total: 9, Confirmed: 9}
	cancelled := sampleRow(4710, 2, "Inventory sync", "completed", "cancelled", 4*time.Hour, 95*time.Second)
	cancelled.Progress = view.Progress{Total: 388, Confirmed: 120}
	backup := sampleRow(4709, 1, "Scheduled backup", "completed", "succeeded", 5*time.Hour, 402*time.Second)
	backup.Initiator = view.Initiator{Name: "Daily policies 02:30", Trigger: "schedule"}
	backup.Progress = view.Progress{Total: 41, Confirmed: 41}
	roles := sampleRow(4708, 0, "Role definitions sync", "completed", "succeeded", 6*time.Hour, 8*time.Second)
	roles.Initiator = view.Initiator{Name: "TenantPilot", Trigger: "system"}
	roles.Progress = view.Progress{Total: 112, Confirmed: 112}
	return append(rows, check, cancelled, backup, roles)
}

func selectableRows() []view.RunRow {
	rows := sampleRows()
	for i := range rows {
		rows[i].Selectable, rows[i].PeekHref = true, fmt.Sprintf("?peek=%d", rows[i].ID)
	}
	return rows
}

func peekedOperations() view.OperationsList {
	list, run := sampleOperations(), runningRun()
	list.Peek = &view.Peek{Number: 4718, Run: &run, Href: "/admin/operations/4718", CloseHref: "?"}
	return list
}

func selectedOperations() view.OperationsList {
	list := sampleOperations()
	for i := range list.Rows {
		list.Rows[i].Selected = true
	}
	list.Views.Open = &view.OpenView{Name: "Failed this week", Modified: true, Action: "/admin/views/1", DiscardHref: "?"}
	list.Columns, list.Oldest = []string{"reason", "trigger", "ended", "tenant", "started"}, true
	return list
}

func sampleBulk() view.BulkPage {
	row := func(n int64, i int, operation, text string, b view.Badge) view.BulkRow {
		return view.BulkRow{
			Key: fmt.Sprint(n), Subject: view.Link{Label: fmt.Sprintf("#%d", n), Href: fmt.Sprintf("/admin/operations/%d", n)}, Detail: operation,
			Tenant: tenantLink(i), Connection: sampleTenants[i].connection, Badge: b, Text: text,
		}
	}
	rows := []view.BulkRow{
		row(4713, 5, "Inventory sync", "Will start now", view.BulkWillStart),
		row(4714, 1, "Policy sync", "Busy until about 14:12 UTC", view.BulkWillWait),
		row(4718, 0, "Inventory sync", "Will join run 4718", view.BulkWillJoin),
		row(4712, 3, "Admin roles scan", "Will be blocked: admin consent was revoked", view.BulkWillBlock),
		row(4711, 7, "Connection check", "You can see this but not do it. It needs the capability provider.verify.", view.BulkNotAllowed),
		{Key: "4600", Subject: view.Link{Label: "#4600"}, Badge: view.BulkNotFound, Text: "There is nothing here that you can see."},
	}
	rows[2].Link = &view.Link{Label: "View run", Href: "/admin/operations/4718"}
	return view.BulkPage{
		Now: now, Headline: "Start 24 runs again?", Text: "The list is as you selected it; runs that came since are not in it.", Sums: view.CountBadges(rows),
		Column: "What will happen", Rows: rows, Confirm: "Start 24 runs again", Variant: "primary", Action: "/admin/operations/bulk/confirm",
		Type: 24, Error: "Type 24. Nothing was done.", Back: "/admin/operations",
	}
}

func doneBulk() view.BulkPage {
	p := sampleBulk()
	p.Headline, p.Text, p.Confirm, p.Column, p.Rows = "Cancelling was asked for", "", "", "What happened", p.Rows[:2]
	p.Rows[0].Badge, p.Rows[0].Text = view.BulkEnded, "No worker had begun it."
	p.Rows[1].Badge, p.Rows[1].Text = view.BulkStopping, "It ends at its next provider call."
	p.Sums = view.CountBadges(p.Rows)
	return p
}

func sampleLanes() *view.Lanes {
	lane := func(i int) view.Lane {
		return view.Lane{ConnectionID: int64(70 + i), Tenant: sampleTenants[i].name, Label: sampleTenants[i].connection, Href: connectionLink(i).Href}
	}
	bar := func(id int64, operation, execution, outcome string, from, to time.Duration) view.LaneBar {
		b := view.LaneBar{RunID: id, Href: fmt.Sprintf("/admin/operations/%d", id), Operation: operation, ExecutionStatus: execution, Outcome: outcome, From: ago(from)}
		if outcome != "" {
			b.To = ago(to)
		}
		return b
	}
	contoso, tailspin, northwind, fabrikam, litware, adventure := lane(0), lane(4), lane(2), lane(1), lane(5), lane(3)
	contoso.Bars = []view.LaneBar{bar(4690, "Connection check", "completed", "succeeded", 56*time.Minute, 55*time.Minute), bar(4700, "Policy sync", "completed", "succeeded", 38*time.Minute, 29*time.Minute), bar(4718, "Inventory sync", "running", "", 6*time.Minute, 0)}
	contoso.Marks = []view.LaneMark{{At: ago(33 * time.Minute), Status: "scope_busy", Operation: "Inventory sync", Href: "/admin/attempts/1"}, {At: ago(3 * time.Minute), Status: "scope_busy", Operation: "Admin roles scan", Href: "/admin/attempts/2"}}
	tailspin.Bars = []view.LaneBar{bar(4717, "Restore", "running", "", 11*time.Minute, 0)}
	northwind.Bars = []view.LaneBar{bar(4701, "Inventory sync", "completed", "cancelled", 49*time.Minute, 44*time.Minute), bar(4716, "Directory groups sync", "running", "", 14*time.Minute, 0)}
	fabrikam.Bars = []view.LaneBar{bar(4714, "Policy sync", "completed", "partially_succeeded", 51*time.Minute, 43*time.Minute), bar(4720, "Inventory sync", "completed", "succeeded", 30*time.Minute, 21*time.Minute)}
	litware.Bars = []view.LaneBar{bar(4713, "Inventory sync", "completed", "failed", 41*time.Minute, 40*time.Minute)}
	litware.Marks = []view.LaneMark{{At: ago(24 * time.Minute), Status: "blocked", Operation: "Inventory sync", Href: "/admin/attempts/3"}, {At: ago(12 * time.Minute), Status: "blocked", Operation: "Policy sync", Href: "/admin/attempts/4"}}
	adventure.Holds = []view.LaneHold{{From: ago(45 * time.Minute), To: now.Add(time.Hour), Reason: "Customer's change freeze"}}
	return &view.Lanes{
		From: ago(time.Hour), To: now,
		Windows: []view.Choice{{Label: "60 min", Href: "?window=60m", Current: true}, {Label: "6 h", Href: "?window=6h"}, {Label: "24 h", Href: "?window=24h"}},
		Lanes:   []view.Lane{contoso, tailspin, northwind, fabrikam, litware, adventure},
		Quiet:   31, QuietHref: "/admin/provider-connections",
	}
}

func sampleHours() *view.HourBars {
	bars := &view.HourBars{}
	succeeded := []int{3, 2, 14, 11, 2, 1, 0, 2, 4, 6, 9, 8, 5, 7, 9, 12, 10, 6, 4, 3, 5, 8, 6, 4}
	start := now.Truncate(time.Hour).Add(-23 * time.Hour)
	for i, n := range succeeded {
		bar := view.HourBar{Start: start.Add(time.Duration(i) * time.Hour), Href: fmt.Sprintf("?hour=%d", i), Succeeded: n}
		switch i % 5 {
		case 0:
			bar.Failed = i % 3
		case 2:
			bar.Partial = 1
		case 3:
			bar.Blocked = i % 4
		case 4:
			bar.Cancelled = i % 2
		}
		bars.Bars = append(bars.Bars, bar)
	}
	return bars
}

func sampleCounters() []view.Counter {
	return []view.Counter{
		{Key: "running", Label: "Running", Count: 4, Href: "?status=running", Icon: "contrast", Tone: view.Active},
		{Key: "queued", Label: "Queued", Count: 1, Href: "?status=queued", Icon: "circle", Tone: view.Neutral},
		{Key: "attention", Label: "Needs attention", Count: 7, Href: "?view=attention", Icon: "triangle-alert", Tone: view.Warning},
		{Key: "blocked", Label: "Blocked starts", Count: 5, Href: "?status=blocked", Icon: "octagon-minus", Tone: view.Stop},
		{Key: "busy", Label: "Busy starts", Count: 0, Href: "?status=busy", Icon: "hourglass", Tone: view.Wait},
		{Key: "succeeded", Label: "Succeeded", Count: 141, Href: "?outcome=succeeded", Icon: "circle-check", Tone: view.Positive},
	}
}

func sampleOperations() view.OperationsList {
	return view.OperationsList{
		Now: now, Action: "/admin/operations", Counters: sampleCounters(), Waiting: []view.Reservation{sampleReservation()},
		Tabs: []view.Choice{
			{Label: "All", Href: "?", Current: true, Count: count(158)},
			{Label: "Running & queued", Href: "?view=active", Count: count(5)},
			{Label: "Needs attention", Href: "?view=attention", Count: count(7)},
			{Label: "Waiting", Href: "?view=waiting", Count: count(1)},
			{Label: "Started by me", Href: "?view=mine", Count: count(23)},
			{Label: "Scheduled", Href: "?view=scheduled", Count: count(64)},
		},
		Ranges:     []view.Choice{{Label: "1 h", Href: "?range=1h"}, {Label: "24 h", Href: "?range=24h", Current: true}, {Label: "7 d", Href: "?range=7d"}},
		Qualifiers: []string{"status:", "outcome:failed", "tenant:contoso", "-reason:throttled"},
		Lanes:      sampleLanes(), Hours: sampleHours(), Rows: selectableRows(), Older: "?after=4708", Columns: view.DefaultColumns, SortHref: "?sort=oldest",
		Views: &view.SavedViews{
			Create: "/admin/views", AllHref: "?", Own: []view.SavedViewLink{{Label: "Failed this week", Href: "?outcome=failed", Default: true, Current: true}},
			Shared: []view.SavedViewLink{{Label: "Nightly directory", Href: "?trigger=schedule", Owner: "Ana Ruiz", Shared: true}},
		},
		Held: []view.Held{{Tenant: tenantLink(3), Reason: "Customer's change freeze", Since: ago(45 * time.Minute), Until: now.Add(time.Hour), ReleaseHref: "/p/hold"}},
		ColumnMenu: &view.ColumnMenu{Action: "/admin/operations", ResetHref: "?", Columns: []view.ColumnChoice{
			{Key: "tenant", Label: "Tenant", Shown: true, Place: 1}, {Key: "started", Label: "Started", Shown: true, Place: 2}, {Key: "reason", Label: "Reason code", Place: 3},
		}},
		Bulk: &view.Bulk{Action: "/admin/operations/bulk", Back: "/admin/operations", Cancel: true, Start: true, MatchingHref: "?select=all", Matching: 158},
	}
}

func filteredOperations() view.OperationsList {
	list := sampleOperations()
	list.Tenant = &view.Link{Label: "contoso"}
	list.Chips = []view.Chip{
		{Key: "outcome", Value: "failed", Known: true, RemoveHref: "?1"},
		{Key: "reason", Value: "provider_rate_limited", Negated: true, Known: true, RemoveHref: "?2"},
		{Key: "colour", Value: "red", RemoveHref: "?3"},
	}
	list.ClearHref = "?"
	list.Lanes, list.Hours, list.Rows, list.Older = nil, nil, nil, ""
	list.Stale = &view.Staleness{AsOf: ago(9 * time.Second), Behind: 38}
	list.NewRows, list.RefreshHref = 7, "?"
	list.Empty = &view.Empty{
		Icon: "funnel-x", Title: "No runs match 3 filters", Text: "12 runs match that are older than 24 hours.",
		Actions: []view.Button{{Label: "Show the last 7 days", Href: "?range=7d", Variant: "primary"}, {Label: "Clear filters", Href: "?"}},
	}
	return list
}

func emptyOperations() view.OperationsList {
	list := sampleOperations()
	list.Lanes, list.Hours, list.Rows, list.Older = nil, nil, nil, ""
	for i := range list.Counters {
		list.Counters[i].Count = 0
	}
	list.Tabs = list.Tabs[:1]
	list.Tabs[0].Count = count(0)
	list.Empty = &view.Empty{
		Icon: "inbox", Title: "No operations yet", Text: "Runs appear here as soon as somebody starts one. Check a provider connection to see your first run.",
		Actions: []view.Button{{Label: "Check a connection", Icon: "play", Href: "/p/start-fragment", Dialog: true, Variant: "primary"}},
	}
	return list
}

func at(t time.Time) *time.Time { return &t }

var healthy = view.Axes{Lifecycle: "enabled", Consent: "granted", Verification: "healthy"}

func runningRun() view.RunDetail {
	return view.RunDetail{
		RunID: 4718, OperationType: "inventory.sync", ExecutionStatus: "running",
		ProviderConnection: &view.ConnectionRef{ID: 70, Provider: "microsoft", Label: "Contoso platform", Href: "/admin/provider-connections/70"},
		ProtectedScope:     &view.ProtectedScope{Key: "provider_connection:70", ConnectionID: 70, State: "held", HeldFrom: at(ago(6 * time.Minute)), FencingToken: 318},
		Now:                now, Operation: "Inventory sync", Target: "All managed devices", Tenant: tenantLink(0),
		Initiator: view.Initiator{Name: "Kim Larsen", Trigger: "operator"}, QueuedAt: ago(6*time.Minute + 2*time.Second), StartedAt: ago(6 * time.Minute),
		Buttons: []view.Button{
			{Label: "Copy link", Icon: "link", Href: "#"},
			{Label: "Retry", Icon: "rotate-cw", DisabledReason: "This run has not ended yet."},
			{Label: "Cancel run", Icon: "ban", Href: "/cancel", Post: true, Confirm: "Cancel run 4718? It stops after the item it works on.", Variant: "outline"},
		},
		Message:  "Reading devices and configurations from Microsoft Intune. Nothing is written.",
		Progress: view.Progress{Total: 412, Confirmed: 268, Refused: 2, Step: "Reading device configurations"},
		Waiting:  &view.Waiting{For: "the provider's throttle budget", Until: now.Add(95 * time.Second)}, UsuallyFrom: 7 * time.Minute, UsuallyTo: 9 * time.Minute,
		Path: []view.PathStep{
			{Label: "Accepted", State: "done", At: ago(6*time.Minute + 2*time.Second), Tone: view.Positive},
			{Label: "Queued", State: "done", At: ago(6*time.Minute + 2*time.Second), Took: 40 * time.Millisecond, Tone: view.Positive},
			{Label: "Running", State: "current", At: ago(6 * time.Minute), Took: 2 * time.Second, Tone: view.Active},
			{Label: "Ended", State: "ahead"},
		},
		AxesAtAdmission: healthy, AxesNow: healthy,
		WaitedBehind: []view.Link{{Label: "Run 4719, policy sync, Kim Larsen", Href: "/admin/operations/4719"}},
		EventFilters: []view.Choice{{Label: "All", Href: "?events=all", Current: true}, {Label: "Pending", Href: "?events=pending"}, {Label: "Problems", Href: "?events=problems"}},
		EventOrders:  []view.Choice{{Label: "Oldest first", Href: "?", Current: true}, {Label: "Newest first", Href: "?order=newest"}},
		IdleChoices:  []view.Choice{{Label: "All time", Href: "?", Current: true}, {Label: "Hide idle time", Href: "?idle=hide"}},
		Steps: []view.GanttBar{
			{Label: "Sign in", From: ago(6 * time.Minute), To: ago(358 * time.Second), Tone: view.Positive},
			{Label: "Managed devices", From: ago(358 * time.Second), To: ago(190 * time.Second), Tone: view.Positive},
			{Label: "Compliance policies", From: ago(190 * time.Second), To: ago(120 * time.Second), Tone: view.Warning},
			{Label: "Configurations", From: ago(120 * time.Second), Tone: view.Active},
		},
		Events: []view.Event{
			{Position: 48213, At: ago(8 * time.Second), Type: "RunProgressed", Sentence: "Waiting for the provider until the throttle window ends.", Actor: "worker-2", Icon: "hourglass", Tone: view.Wait},
			{Position: 48190, At: ago(120 * time.Second), Type: "RunItemsRecorded", Sentence: "140 compliance policies read, 2 refused: licence missing.", Actor: "worker-2", Icon: "triangle-alert", Tone: view.Warning, JSON: "{\n  \"confirmed\": 140,\n  \"refused\": 2,\n  \"reason\": \"provider_license_missing\"\n}"},
			{Position: 48102, At: ago(6 * time.Minute), Type: "RunStarted", Sentence: "The work began.", Actor: "worker-2", Icon: "play", Tone: view.Active},
			{Position: 48101, At: ago(6*time.Minute + 2*time.Second), Type: "RunAccepted", Sentence: "Kim Larsen started an inventory sync; the gate accepted it.", Actor: "Kim Larsen", Icon: "circle-check", Tone: view.Positive, JSON: "{\n  \"operation\": \"inventory.sync\",\n  \"connection\": 70\n}"},
		},
		Items: []view.Item{
			{Key: "a1", Name: "LAPTOP-0042", Type: "managedDevice", Intent: "Read", Result: "confirmed", RequestID: "0f7b61c2-9d31-4f0c-a0a6-4bd2f7c5b1e9"},
			{Key: "a2", Name: "Windows baseline", Type: "deviceCompliancePolicy", Intent: "Read", Result: "refused", Reason: "The tenant has no licence for this policy type", RequestID: "5d2e7f20-67a4-4f35-9b19-0d5d2ad0ce11"},
			{Key: "a3", Name: "iOS restrictions", Type: "deviceConfiguration", Intent: "Read", Result: "pending"},
		},
		ItemsNote: "First 3 of 412",
		Related:   []view.Fact{{Label: "Receipt", Text: "Decision 9b1f…e2", Href: "/admin/attempts/9"}, {Label: "Joined by", Text: "2 other starts", Href: "/admin/attempts?run=4718"}},
	}
}

func endedRun(outcome, reason, code, message string) view.RunDetail {
	run := runningRun()
	run.RunID, run.ExecutionStatus, run.Outcome, run.ShortReason, run.ReasonCode, run.Message = 4713, "completed", &outcome, view.Text(reason), code, message
	run.Tenant, run.Waiting, run.EndedAt = tenantLink(5), nil, ago(5*time.Minute+48*time.Second)
	run.Progress.Step = ""
	run.NextSteps = []view.NextStep{
		{Label: "Rotate the client secret", Description: view.Text("Ana Ruiz or Bo Lind can do this (connections.manage)."), Href: view.Text("/admin/provider-connections/75/credential")},
		{Label: "Check the connection", Description: view.Text("Confirms that the new secret works."), Href: view.Text("/p/start-fragment")},
		{Label: "Start the inventory sync again", Href: view.Text("/p/start-fragment")},
	}
	run.Buttons = []view.Button{{Label: "Evidence pack", Icon: "list-checks", Href: "#"}, {Label: "Retry", Icon: "rotate-cw", Href: "/p/start-fragment", Dialog: true, Variant: "primary"}}
	run.Path = []view.PathStep{
		{Label: "Accepted", State: "done", At: run.QueuedAt, Tone: view.Positive},
		{Label: "Queued", State: "done", At: run.QueuedAt, Took: 30 * time.Millisecond, Tone: view.Positive},
		{Label: "Running", State: "done", At: run.StartedAt, Took: 2 * time.Second, Tone: view.Positive},
		{Label: view.OutcomeBadge(outcome).Word, State: "done", At: run.EndedAt, Took: 12 * time.Second, Tone: view.OutcomeBadge(outcome).Tone},
	}
	run.AxesNow = view.Axes{Lifecycle: "enabled", Consent: "granted", Verification: "blocked"}
	run.ProtectedScope.State, run.ProtectedScope.HeldTo, run.ProtectedScope.ReleasedBy = "released", at(run.EndedAt), "run 4713 on completion"
	run.Steps = run.Steps[:1]
	return run
}

func failedRun() view.RunDetail {
	run := endedRun("failed", "The client secret has expired", "provider_credential_expired", "Microsoft refused the sign-in: the connection's client secret expired on 18 November. Nothing was read or written.")
	run.Progress, run.Items, run.WaitedBehind = view.Progress{}, nil, nil
	run.Changed = "Nothing was read, nothing was written."
	return run
}

func partialRun() view.RunDetail {
	run := endedRun("partially_succeeded", "2 policy types could not be read", "provider_license_missing", "")
	run.Progress = view.Progress{Total: 41, Confirmed: 38, Refused: 2, Unknown: 1}
	run.Changed = "38 policies read, nothing written."
	run.Cancel = &view.CancelState{State: "requested", By: "Ana Ruiz", At: ago(5 * time.Minute), Detail: "after the last item"}
	run.LeaseLost = "No heartbeat for 90 s; reads will be retried."
	run.Facts = []view.Fact{{Label: "Worker", Text: "worker-2"}, {Label: "Attempts", Text: "2"}, {Label: "Recorded until", Time: ago(5 * time.Minute)}}
	run.Items[2].Result = "unknown"
	return run
}

func sampleStartForm() view.StartForm {
	op := func(kind, label, text, outcome string, last, usually time.Duration) view.OperationChoice {
		c := view.OperationChoice{Type: kind, Label: label, Text: text, Href: "/p/start-fragment?operation=" + kind, LastOutcome: outcome, Usually: usually}
		if last > 0 {
			c.LastAt = ago(last)
		}
		return c
	}
	inventory := op("inventory.sync", "Inventory sync", "Devices, configurations and enrolment", "succeeded", 26*time.Hour, 8*time.Minute)
	inventory.Current = true
	return view.StartForm{
		Now: now, Tenant: tenantLink(0), FormHref: "/p/start-fragment", Action: "/p/start-post", AttemptID: "6f1d3a52-45a0-4f37-9a4f-0a6f5e9f7d10",
		SourceSurface: "operations.hub", Operation: "inventory.sync", Submit: "Start inventory sync",
		Groups: []view.OperationGroup{
			{Label: "Read", Operations: []view.OperationChoice{
				inventory,
				op("policy.sync", "Policy sync", "Policies of all supported types", "partially_succeeded", 70*time.Minute, 5*time.Minute),
				op("directory_groups.sync", "Directory groups sync", "Group names for restore mapping", "succeeded", 9*time.Hour, 40*time.Second),
				op("provider.connection.check", "Connection check", "Consent, permissions and reachability", "", 0, 4*time.Second),
			}},
			{Label: "Write", Operations: []view.OperationChoice{
				op("restore.execute", "Restore", "Write a frozen restore plan", "succeeded", 240*time.Hour, 3*time.Minute),
			}},
		},
		Connections: []view.ConnectionChoice{
			{ID: 70, Label: "Contoso platform", Default: true, Current: true, Axes: healthy},
			{ID: 71, Label: "Contoso dedicated", Axes: view.Axes{Lifecycle: "disabled", Consent: "required"}},
		},
		Options: []view.Option{{Name: "selectionKey", Label: "Selection", Value: "all", Help: "What is read from the tenant.", Choices: []view.OptionChoice{{Value: "all", Label: "All managed devices"}, {Value: "windows", Label: "Windows devices"}}}},
		Forecast: &view.Forecast{
			Status: "scope_busy", Text: "Busy until about 14:12: another operation holds this connection.", Link: &view.Link{Label: "Run 4718", Href: "/admin/operations/4718"},
		},
	}
}

func invalidStartForm() view.StartForm {
	form := sampleStartForm()
	form.Connections = form.Connections[:1]
	form.Options = []view.Option{{Name: "selectionKey", Label: "Selection", Value: "every thing", Error: "Use lower-case letters, digits and underscores."}}
	form.Effect, form.ConfirmName = "Writes 12 configuration policies to the tenant. Existing policies of the same name are updated.", "Contoso"
	form.Errors = []view.FieldError{{Pointer: "/selectionKey", Message: "The selection is not a known key."}, {Pointer: "/confirm", Message: "Type the tenant's name to confirm."}}
	form.Forecast = &view.Forecast{Status: "accepted", Text: "Will start now."}
	return form
}

func action(label, href, kind string) view.ActionLink {
	return view.ActionLink{Label: label, Href: href, Kind: view.Text(kind)}
}

func acceptedOutcome() view.StartOutcome {
	return view.StartOutcome{
		Status: "accepted", OperationType: "inventory.sync", OperatorVerb: "Start", OperatorTarget: "Contoso",
		Headline: "Inventory sync started for Contoso", OperatorMessage: "The run is queued and begins as soon as a worker is free. It usually takes 7 to 9 minutes.",
		ProviderConnection: &view.ConnectionRef{ID: 70, Provider: "microsoft", Label: "Contoso platform", Href: "/admin/provider-connections/70"},
		Run:                &view.RunRef{ID: 4721, URL: "/admin/operations/4721", Status: "queued"},
		Facts:              []view.Fact{{Label: "Queue", Text: "First in line"}},
		Actions:            []view.ActionLink{action("View run", "/admin/operations/4721", view.KindViewRun), action("Start another", "/p/start-fragment", view.KindStartAnother)},
	}
}

func dedupedOutcome() view.StartOutcome {
	o := acceptedOutcome()
	o.Status, o.Headline, o.OperatorMessage = "deduped", "Already running: joined run 4718", "The same inventory sync is running for Contoso, so nothing new was started."
	o.Note = "It has been reading since 13:58. Changes made after that may not be included."
	o.Run = &view.RunRef{ID: 4718, URL: "/admin/operations/4718", Status: "running"}
	o.Facts = []view.Fact{{Label: "Started by", Text: "Ana Ruiz"}, {Label: "Running since", Time: ago(6 * time.Minute)}}
	o.Actions = []view.ActionLink{action("View run", "/admin/operations/4718", view.KindViewRun), action("Run again after this one", "/p/start-fragment", view.KindStartAnother)}
	o.ReceiptHref = "/admin/attempts/10"
	return o
}

func busyOutcome() view.StartOutcome {
	o := acceptedOutcome()
	o.Status, o.Headline, o.OperatorMessage = "scope_busy", "Contoso's connection is busy", "Only one operation at a time can use a connection. Nothing was started."
	o.ShortReason = view.Text("A restore holds the connection until about 14:12.")
	o.Run = &view.RunRef{ID: 4711, URL: "/admin/operations/4711", Status: "running"}
	o.Facts = []view.Fact{{Label: "Held by", Text: "Restore, Kim Larsen"}, {Label: "Running since", Time: ago(6 * time.Minute)}, {Label: "Such runs take", Text: "usually 9 min"}}
	o.Reserve = &view.ReserveForm{Label: "Start when free", Href: "/reserve", Fields: []view.Field{{Name: "attempt_id", Value: "7"}}}
	o.Actions = []view.ActionLink{action("View holder", "/admin/operations/4711", view.KindViewHolder), action("Start when free", "/reserve", view.KindReserve), action("Check again", "/p/start-fragment", view.KindCheckAgain)}
	o.ReceiptHref = "/admin/attempts/11"
	return o
}

func blockedOutcome() view.StartOutcome {
	o := acceptedOutcome()
	o.Status, o.Headline, o.OperatorMessage = "blocked", "Cannot start: admin consent was revoked", "An administrator of Contoso withdrew the consent for TenantPilot. All operations on this connection are affected."
	o.ReasonCode, o.Run, o.Facts = "provider_consent_revoked", nil, nil
	o.NextSteps = []view.NextStep{
		{Label: "Request admin consent", Description: view.Text("You can do this. It makes a link for an administrator of Contoso."), Href: view.Text("/admin/provider-connections/70")},
		{Label: "Check the connection", Description: view.Text("Once consent is granted."), Href: view.Text("/p/start-fragment")},
		{Label: "Start again"},
	}
	o.Actions = []view.ActionLink{action("Request admin consent", "/admin/provider-connections/70", view.KindNextStep), action("Check again", "/p/start-fragment", view.KindCheckAgain)}
	o.ReceiptHref = "/admin/attempts/12"
	return o
}

func sampleTenantRows() []view.TenantRow {
	axes := []view.Axes{healthy, {Lifecycle: "enabled", Consent: "granted", Verification: "degraded"}, {Lifecycle: "enabled", Consent: "granted", Verification: "pending"}, {Lifecycle: "enabled", Consent: "revoked", Verification: "blocked"}, healthy, {Lifecycle: "enabled", Consent: "granted", Verification: "error"}, {Lifecycle: "disabled", Consent: "failed", Verification: "unknown"}}
	var rows []view.TenantRow
	for i, t := range sampleTenants {
		row := view.TenantRow{Label: t.name, Domain: t.domain, Href: "/admin/tenants/" + t.domain, Summary: "default_configured", LastSyncAt: ago(time.Duration(i*i+1) * time.Hour), Attention: i % 3, AttentionHref: "/admin/operations?tenant=" + t.domain}
		if i < len(axes) {
			row.Axes = &axes[i]
		} else {
			row.Summary, row.LastSyncAt = "missing", time.Time{}
		}
		if i == 0 {
			row.Running = &view.Link{Label: "Inventory sync", Href: "/admin/operations/4718"}
		}
		if i == 3 {
			row.Held = "Change freeze until the audit is over"
		}
		rows = append(rows, row)
	}
	rows[6].Summary = "configured"
	return rows
}

func sampleTenantPage() view.TenantPage {
	state := func(lifecycle, consent, verification, message string) view.CanonicalConnectionState {
		return view.CanonicalConnectionState{Lifecycle: lifecycle, IsEnabled: lifecycle == "enabled", ConsentStatus: view.Text(consent), VerificationStatus: view.Text(verification), Diagnostics: view.ProviderDiagnostics{LastErrorMessage: view.Text(message)}}
	}
	check := view.Button{Label: "Check", Icon: "play", Href: "/p/start-fragment", Dialog: true}
	return view.TenantPage{
		Now: now, Label: "Contoso", Domain: "contoso.com", EntraID: "8d0c8c1e-3f8e-4b6a-9d55-1b7e2a1f0c44",
		Hold: "Customer's change freeze", Until: now.Add(3 * time.Hour),
		Summary: view.TenantProviderSummary{State: "default_configured", CTAURL: "/admin/provider-connections/70", Sentence: "Contoso platform is the default connection and healthy.", CTALabel: "Open connection"},
		Buttons: []view.Button{{Label: "Hold tenant", Icon: "circle-pause", DisabledReason: "The tenant is on hold already."}},
		Readiness: []view.Readiness{
			{Operation: "Inventory sync", Status: "scope_busy", Text: "Busy until about 14:12", Href: "/p/start-fragment"},
			{Operation: "Policy sync", Status: "accepted", Text: "Would start now", Href: "/p/start-fragment"},
			{Operation: "Directory groups sync", Status: "deduped", Text: "Would join run 4718", Href: "/p/start-fragment"},
			{Operation: "Restore", Status: "blocked", Text: "Write permission is missing", ReasonCode: "provider_permission_missing", Href: "/p/start-fragment"},
		},
		Connections: []view.ConnectionRow{
			{ID: 70, DisplayName: "Contoso platform", Provider: "microsoft", ConnectionType: "platform", IsDefault: true, State: state("enabled", "granted", "healthy", ""), Href: "/admin/provider-connections/70", CheckedAt: ago(26 * time.Minute), Scope: &view.Link{Label: "Run 4718", Href: "/admin/operations/4718"}, Buttons: []view.Button{check}},
			{ID: 71, DisplayName: "Contoso dedicated", Provider: "microsoft", ConnectionType: "dedicated", State: state("disabled", "failed", "", "The administrator declined the consent"), Href: "/admin/provider-connections/71"},
		},
		Runs: sampleRows()[:4], RunsHref: "/admin/operations?tenant=contoso",
		Facts: []view.Fact{{Label: "Last sync", Time: ago(26 * time.Hour)}, {Label: "Groups", Text: "Gold, Nordics"}},
	}
}

func sampleNotifications() view.Notifications {
	n := func(id int64, title, text string, badge view.Badge, tenant int, when time.Duration, unread bool) view.Notification {
		return view.Notification{ID: id, Href: "/admin/operations/4718", Title: title, Text: text, Badge: badge, Tenant: sampleTenants[tenant].name, At: ago(when), Unread: unread, ReadHref: fmt.Sprintf("/admin/notifications/%d/read", id)}
	}
	return view.Notifications{
		Now: now, Tabs: []view.Choice{{Label: "Unread", Href: "?unread=1", Count: count(3)}, {Label: "All", Href: "?", Current: true}}, MarkAllHref: "/admin/notifications/read",
		Items: []view.Notification{
			n(31, "Restore ended: 3 of 41 failed", "3 policies were refused: the object changed since the plan was frozen.", view.OutcomeBadge("partially_succeeded"), 4, 4*time.Minute, true),
			n(30, "Inventory sync failed", "The client secret has expired.", view.OutcomeBadge("failed"), 5, 85*time.Minute, true),
			n(29, "Policy sync is queued", "Waits for the scope of Contoso platform.", view.ExecutionBadge("queued"), 0, 2*time.Hour, true),
			n(28, "Admin roles scan was blocked", "Admin consent was revoked before the run began.", view.OutcomeBadge("blocked"), 3, 5*time.Hour, false),
			n(27, "Directory groups sync succeeded", "", view.OutcomeBadge("succeeded"), 2, 26*time.Hour, false),
		},
	}
}

func sampleReservation() view.Reservation {
	return view.Reservation{
		ID: "0191f3a0-7c00-7000-8000-000000000061", OperationType: "directory_groups.sync", ConnectionID: 12, Holder: 4711,
		HolderURL: "/admin/operations/4711", Until: now.Add(2 * time.Hour), Operation: "Directory group sync",
		Tenant: view.Link{Label: "Contoso", Href: "/admin/tenants/contoso"}, Initiator: "Kim Park", Since: now.Add(-3 * time.Minute),
		Cancel: &view.Button{Label: "Stop waiting", Icon: "x", Variant: "outline", Post: true, Href: "/cancel", Confirm: "It will not start."},
	}
}

func sampleMembers() view.Members {
	tenant, group := view.Link{Label: "Contoso", Href: "0191f3a0-7c00-7000-8000-000000000031"}, "Europe"
	return view.Members{
		Now: now, MayManage: true, Tenants: []view.Link{tenant}, Groups: []string{group},
		Capabilities: []view.Capability{{Code: "view", Words: "See tenants, runs and reports"}, {Code: "directory.sync", Words: "Sync directory groups and roles"}},
		Made:         &view.MadeInvitation{Email: "nia@example.test", Link: "https://console.example/sign-in/abcdefghijklmnop", Until: now},
		Members: []view.MemberLine{
			{Person: "p1", Name: "Kim Larsen", Email: "kim@example.test", Role: "owner", Sees: "All tenants", LastActive: ago(time.Hour), Me: true, Buttons: []view.Button{{Label: "Leave", Post: true, Href: "/leave"}}},
			{Person: "p2", Name: "Ana Ruiz", Email: "ana@example.test", Role: "night-shift", Sees: "group Europe except Contoso", Scope: domain.Scope{Groups: []string{group}}},
		},
		Invitations: []view.InvitationLine{{Person: "p3", Email: "nia@example.test", Role: "operator", Sees: "All tenants", Until: now.Add(time.Hour)}},
		Roles: []view.RoleLine{
			{Role: "owner", Preset: true, Capabilities: []string{"view", "directory.sync"}, Members: 1},
			{Role: "night-shift", Capabilities: []string{"view"}, Members: 1, Remove: &view.Button{Label: "Remove role", DisabledReason: "Members have this role."}},
		},
		History: []view.Change{{Position: 214, At: now, Event: "MemberInvited", Sentence: "Invited Nia Night as operator, until 2026-11-25 09:14:07 UTC.", Actor: "Kim Larsen"}},
	}
}
