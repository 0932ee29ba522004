package page_test

import (
	"fmt"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// quiet is the shell of a page that nothing keeps current.
func quiet(title, path string) view.Shell {
	s := shell(title, path)
	s.LiveHref = ""
	return s
}

func sampleFilterBar(action string) view.FilterBar {
	return view.FilterBar{
		Label: "Filter", Action: action, Query: "outcome:blocked -tenant:fabrikam", Hint: "outcome:blocked tenant:contoso", ClearHref: action,
		Keep: []view.Field{{Name: "range", Value: "7d"}}, Qualifiers: []string{"outcome:", "tenant:"},
		Chips: []view.Chip{
			{Key: "outcome", Value: "blocked", Known: true, RemoveHref: "?"},
			{Key: "tenant", Value: "fabrikam", Negated: true, Known: true, RemoveHref: "?"},
			{Key: "colour", Value: "red", RemoveHref: "?"},
		},
	}
}

func sampleRanges() []view.Choice {
	return []view.Choice{{Label: "24 h", Href: "?"}, {Label: "7 d", Href: "?", Current: true}, {Label: "31 d", Href: "?"}, {Label: "All", Href: "?"}}
}

func sampleBars(title string, n int, step time.Duration, series ...view.Series) view.StackedHours {
	bars := view.StackedHours{Title: title, Series: series}
	for i := range n {
		h := view.StackedHour{Start: now.Truncate(step).Add(time.Duration(i-n+1) * step), Href: "?"}
		for s := range series {
			h.Counts = append(h.Counts, (i*7+s*3)%(9-2*s))
		}
		bars.Hours = append(bars.Hours, h)
	}
	return bars
}

const sampleAttemptID = "0198d3c2-5a1e-7c11-9d6a-0b7f7f0c1a01"

func sampleAttempts() view.AttemptList {
	l := view.AttemptList{
		Now: now, Bar: sampleFilterBar("/admin/attempts"), Ranges: sampleRanges(), Newer: "?", Older: "?", ExportHref: "?",
		Modes: []view.Choice{{Label: "List", Href: "?", Current: true}, {Label: "By reason", Href: "?group=reason"}},
		Hours: sampleBars("Attempts per hour", 24, time.Hour, view.Series{Word: "accepted", Tone: view.Positive}, view.Series{Word: "joined", Tone: view.Neutral},
			view.Series{Word: "busy", Tone: view.Wait}, view.Series{Word: "blocked", Tone: view.Stop}),
	}
	for i, outcome := range []string{"accepted", "deduped", "scope_busy", "blocked", "accepted"} {
		row := view.AttemptRow{
			ID: sampleAttemptID, Href: "/admin/attempts/" + sampleAttemptID, At: ago(time.Duration(i*17) * time.Minute), Outcome: outcome, Operation: "Directory groups sync",
			Tenant: tenantLink(i), Connection: sampleTenants[i].connection, Initiator: view.Initiator{Name: "Kim Larsen", Trigger: "operator"}, Surface: "console",
		}
		row.Selectable = outcome == "blocked" || outcome == "scope_busy"
		if outcome == "blocked" {
			row.ShortReason = "Admin consent has not been given."
		} else {
			row.Run = &view.Link{Label: fmt.Sprintf("#47%d", 18-i), Href: "/admin/operations/4718"}
		}
		l.Rows = append(l.Rows, row)
	}
	replayed := l.Rows[3]
	replayed.Selectable, replayed.Replayed = false, &view.Link{Label: "Replayed", Href: "?"}
	l.Rows, l.Replay = append(l.Rows, replayed), &view.ReplayBar{Action: view.AttemptReplayHref, Back: "/admin/attempts"}
	return l
}

func attemptWork(i int, step, href, note string) view.AttemptWork {
	return view.AttemptWork{
		Step: view.Link{Label: step, Href: href}, Note: note, Tenant: tenantLink(i), Connection: connectionLink(i),
		Receipt: view.Link{Label: fmt.Sprintf("%d attempts", 6-i), Href: "?"},
	}
}

func groupedAttempts() view.AttemptList {
	l := sampleAttempts()
	l.Rows, l.Grouped = nil, true
	l.Modes[0].Current, l.Modes[1].Current = false, true
	l.Groups = []view.AttemptGroup{
		{
			Badge: view.StartBadge("blocked"), Title: "Admin consent has not been given: 14 attempts in 6 tenants", Code: "provider_consent_missing", Newest: ago(time.Minute),
			First: ago(9 * time.Hour), Text: "An administrator of the tenant has to consent to our application before operations can run.", ListHref: "?", More: 2, Share: 1,
			Work: []view.AttemptWork{
				attemptWork(0, "Request admin consent", "?", ""), attemptWork(1, "Request admin consent", "?", ""), attemptWork(2, "Request admin consent", "?", "A manager or owner can do this."),
			},
			Note: "Replayed: 3 of them.", Replay: &view.Button{Label: "Replay 11 attempts", Icon: "rotate-cw", Variant: "outline", Post: true, Href: view.AttemptReplayHref},
		},
		{
			Badge: view.StartBadge("scope_busy"), Title: "Connection busy: 3 attempts in 1 tenant", Text: "Other work held the connection's protected scope.", First: ago(2 * time.Hour), Newest: ago(time.Hour),
			ListHref: "?", Share: .21, Work: []view.AttemptWork{attemptWork(4, "View run 4718", "?", "")},
		},
		{
			Badge: view.StartBadge("blocked"), Title: "The provider connection is disabled: 1 attempt in 1 tenant", Code: "provider_connection_disabled", First: ago(time.Hour), Newest: ago(time.Hour),
			Text: "The connection is switched off, so no operation may use it.", ListHref: "?", Share: .07, Note: "All of them were replayed.",
		},
	}
	return l
}

func sampleReceipt() view.ReceiptPage {
	p := view.ReceiptPage{
		Now: now, Badge: view.StartBadge("blocked"), Operation: "Directory groups sync", Headline: "Directory groups sync on Contoso: blocked",
		Message: "An administrator of the tenant has to consent to our application before operations can run.",
		Axes:    &view.Axes{Lifecycle: "enabled", Consent: "required", Verification: "unknown"}, AskHref: "?again=1",
		Replay: &view.Button{Label: "Replay", Icon: "rotate-cw", Variant: "outline", Post: true, Href: view.AttemptReplayHref},
		Facts: []view.Fact{
			{Label: "Attempt", Text: sampleAttemptID, Mono: true},
			{Label: "Asked at", Text: view.Absolute(now)},
			{Label: "Asked by", Text: "Kim Larsen"},
			{Label: "Tenant", Text: "Contoso", Href: "/admin/tenants/contoso.com"},
			{Label: "Position", Text: "2140", Href: "/admin/audit/2140"},
		},
		NextSteps: []view.NextStep{{Label: "Request admin consent"}}, Today: &view.Forecast{Status: "accepted", Text: "Will start now"},
		Links: []view.Link{{Label: "All that followed from it", Href: "?"}, {Label: "Attempts with the same reason", Href: "?"}}, JSON: "{\n  \"rule\": 6\n}",
	}
	p.Receipt = view.Receipt{Outcome: "blocked", Sentences: []string{
		"Kim Larsen asked at " + view.Absolute(now) + " to start directory groups sync on Contoso over connection 12 (Contoso platform), from console.",
		"Step 6 of 11 decided: it asks that consent is granted, and that was not so. Steps 1 to 5 had passed.",
		"The answer was blocked, reason provider_consent_missing: Admin consent has not been given.",
		"The gate read version 4 of the connection: it was enabled, consent was required, verification was unknown.",
	}}
	for n := 1; n <= 11; n++ {
		state := "passed"
		if n == 6 {
			state = "decided"
		} else if n > 6 {
			state = "ahead"
		}
		p.Rules = append(p.Rules, view.RuleStep{N: n, Text: "the operation's permissions are granted", State: state})
	}
	return p
}

func sampleAuditRows() []view.AuditRow {
	blocked, healthy := view.StartBadge("blocked"), view.Axes{Verification: "healthy"}.Badges()[2]
	return []view.AuditRow{
		{
			Position: 2141, Href: "/admin/audit/2141", At: ago(time.Minute), Actor: view.Initiator{Name: "Kim Larsen", Trigger: "operator"}, Event: "StartBlocked",
			Sentence: "The start of directory groups sync was blocked: admin consent has not been given.", Object: view.Link{Label: "attempt", Href: "/admin/attempts/1"},
			Tenant: tenantLink(0), Badge: &blocked, Request: sampleAttemptID, Receipt: "/admin/attempts/1",
		},
		{
			Position: 2140, Href: "/admin/audit/2140", At: ago(2 * time.Minute), Actor: view.Initiator{Name: "TenantPilot", Trigger: "system"}, Event: "VerificationRecorded",
			Sentence: "Verification is healthy: 4 permissions granted.", Object: view.Link{Label: "connection 12, Contoso platform", Href: "/admin/audit/replay/connection/12?at=2140"},
			Tenant: tenantLink(0), Badge: &healthy,
		},
		{
			Position: 2139, Href: "/admin/audit/2139", At: ago(3 * time.Minute), Actor: view.Initiator{Name: "Ana Ruiz", Trigger: "operator"}, Event: "MemberAdded",
			Sentence: "Made Rosa Reader a member as operator, seeing some of the tenants.", Object: view.Link{Label: "workspace"},
		},
	}
}

func sampleAudit() view.AuditList {
	return view.AuditList{
		Now: now, Bar: sampleFilterBar("/admin/audit"), Ranges: sampleRanges(), Rows: sampleAuditRows(), Total: "391 events", Wide: true, CSVHref: "?format=csv", JSONHref: "?format=json",
		Newer: "?", Older: "?", Replay: &view.Link{Label: "Replay connection/12", Href: "/admin/audit/replay/connection/12"},
		Days: sampleBars("Events per day", 31, 24*time.Hour, view.Series{Word: "events", Tone: view.Active}),
		Heat: view.Heat{Kinds: []string{"run", "connection"}, Rows: []view.HeatRow{
			{Actor: "TenantPilot", Cells: []view.HeatCell{{Count: 240, Level: 4}, {Count: 60, Level: 1}}}, {Actor: "Kim Larsen", Cells: []view.HeatCell{{}, {Count: 91, Level: 2}}},
		}},
		Facets: []view.FacetGroup{
			{Label: "Object", Values: []view.FacetValue{{Label: "run", Count: 240, Href: "?"}, {Label: "connection", Count: 120, Href: "?"}}},
			{Label: "Event", Values: []view.FacetValue{{Label: "StartBlocked", Count: 31, Href: "?", On: true}, {Label: "VerificationRecorded", Count: 12, Href: "?"}}, More: 9},
			{Label: "Actor", Values: []view.FacetValue{{Label: "TenantPilot", Count: 300, Href: "?"}, {Label: "Kim Larsen", Count: 91, Href: "?"}}},
		},
	}
}

func sampleChanges() []view.FieldChange {
	return []view.FieldChange{
		{Label: "Verification status", Before: "pending", After: "healthy"},
		{Label: "Granted", After: "Application.Read.All, Directory.Read.All"},
		{Label: "Last error reason code", Before: "provider_unreachable"},
	}
}

func sampleAuditEvent() view.AuditEventPage {
	return view.AuditEventPage{
		Alarm: "2 events up to position 4711 are out of order.",
		Proof: view.Proof{Badge: view.Badge{Icon: "shield-check", Word: "In the signed log", Tone: view.Positive}, Sentence: "This record stands under the head of 4711 events.", Href: "/admin/audit/proof/inclusion?position=7"},
		Now:   now, Row: sampleAuditRows()[1], Changes: sampleChanges(), HasState: true, Hash: "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
		Payload: "{\n  \"state\": \"healthy\"\n}", Meta: "{\n  \"actor\": {\n    \"kind\": \"system\"\n  }\n}", StoryNote: "Event 214 of 391 of connection 12",
		Facts:   []view.Fact{{Label: "Event", Text: "VerificationRecorded"}, {Label: "Event id", Text: sampleAttemptID, Mono: true}, {Label: "Version", Text: "214"}},
		Earlier: &view.Link{Label: "Earlier", Href: "?"}, Later: &view.Link{Label: "Later", Href: "?"}, Links: []view.Link{{Label: "Open in the time machine", Href: "?"}},
	}
}

func sampleReplay() view.TimeMachine {
	row := sampleAuditRows()[1]
	m := view.TimeMachine{
		Now: now, Path: "/p/replay", Title: "Connection 12", Live: view.Link{Label: "Live page of its tenant", Href: "/admin/tenants/contoso.com"},
		Log: view.Link{Label: "In the log", Href: "/admin/audit?object=connection/12"}, Step: 214, Steps: 391, Text: "event 214 of 391, " + view.Absolute(ago(2*time.Minute)),
		Href: "?at=2140", First: "?at=1", Back10: "?at=2040", Back: "?at=2139", Forward: "?at=2150", Forward10: "?at=2240", Last: "?at=2990", From: ago(900 * time.Hour), To: now,
		At: ago(2 * time.Minute), Event: &row, Changes: sampleChanges(), Raw: "{\n  \"state\": \"healthy\"\n}", BaseHref: "?at=2140&base=2140", ClearHref: "?at=2140",
		Modes: []view.Choice{{Label: "Diff", Href: "?at=2140", Current: true}, {Label: "Raw", Href: "?at=2140&show=raw"}},
		Fields: []view.StateField{
			{Label: "Consent status", Value: "granted", Base: "required", Changed: true},
			{Label: "Display name", Value: "Contoso platform", Base: "Contoso platform"},
			{Label: "Is enabled", Value: "yes", Base: "yes"},
			{Label: "Verification status", Value: "healthy", Base: "unknown", Changed: true},
		},
	}
	state := sampleTenantPage().Connections[0]
	state.Buttons = nil
	m.Connection = &state
	tones := []view.Tone{view.Active, view.Neutral, view.Positive, view.Stop, view.Wait}
	for i := range 60 {
		m.Ticks = append(m.Ticks, view.TimelineTick{At: float64(i) / 59, Tone: tones[i%len(tones)], Title: "Event"})
		m.Density = append(m.Density, float64((i*37)%10)/9)
	}
	return m
}

func comparedReplay() view.TimeMachine {
	m := sampleReplay()
	m.Base, m.Differing = &view.Link{Label: "event 12, " + view.Absolute(ago(90*time.Hour)), Href: "?at=120"}, 2
	m.Keep = []view.Field{{Name: "base", Value: "120"}}
	m.Modes[0].Current, m.Modes[1].Current, m.ShowRaw = false, true, true
	return m
}

func runReplay() view.TimeMachine {
	m := sampleReplay()
	run := runningRun()
	run.Buttons, run.NextSteps = nil, nil
	m.Title, m.Connection, m.Run, m.Newest = "Run 4718", nil, &run, true
	m.Forward, m.Forward10, m.Last = "", "", ""
	return m
}
