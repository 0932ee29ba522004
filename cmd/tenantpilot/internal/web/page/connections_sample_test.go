package page_test

import (
	"fmt"
	"time"

	"github.com/a-h/templ"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// connectionSamples are the pages of provider connections and of the platform's directory.
func connectionSamples() map[string]templ.Component {
	list := shell("Provider connections", "/admin/provider-connections")
	one := shell("Contoso platform", "/admin/provider-connections/70")
	system := view.Shell{Title: "Directory", Path: "/system/directory/tenants", Viewer: view.Viewer{Name: "Pat Forman", Role: "platform"}, SignOutHref: "/sign-out", Now: now}
	filtered := sampleConnections()
	filtered.Chips = []view.Chip{{Key: "consent", Value: "revoked", Known: true, RemoveHref: "?1"}, {Key: "colour", Value: "red", RemoveHref: "?2"}}
	filtered.ClearHref, filtered.Rows = "?", nil
	filtered.Empty = &view.Empty{Icon: "funnel-x", Title: "No connections match this filter", Text: "6 without it.", Actions: []view.Button{{Label: "Clear filters", Href: "?"}}}
	checking := sampleConnection()
	checking.ActiveCheck, checking.Banner = &view.Link{Label: "run 4718", Href: "/admin/operations/4718"}, nil
	checking.Unchecked = nil
	checking.Buttons = []view.Button{{Label: "Refresh", Icon: "refresh-cw", Href: "?"}}
	return map[string]templ.Component{
		"connections":          page.ConnectionsPage(list, sampleConnections()),
		"connections-filtered": page.ConnectionsPage(list, filtered),
		"connection":           page.ConnectionPage(one, sampleConnection()),
		"connection-checking":  page.ConnectionPage(one, checking),
		"connection-form":      page.ConnectionFormPage(one, sampleConnectionForm()),
		"connection-invalid":   page.ConnectionFormPage(one, invalidConnectionForm()),
		"connection-conflict":  page.ConnectionFormPage(one, conflictingForm()),
		"credential": page.CredentialPage(one, view.CredentialForm{
			Now: now, Name: "Contoso platform", Action: "/x", Cancel: "/y", Kind: "secret", Stored: "client secret set 2026-10-02 by Kim Larsen, expires in 61 d", Expires: "2027-01-21",
			Kinds: []view.OptionChoice{{Value: "secret", Label: "Client secret"}, {Value: "certificate", Label: "Certificate"}}, Errors: []view.FieldError{{Pointer: "/secret", Message: "A client secret is one line."}},
		}),
		"connection-disable": page.ConfirmationPage(one, view.Confirmation{
			Title: "Disable Contoso platform?", Text: "It is the default connection of Contoso: no operation starts there until it is enabled again.", Action: "/x", Cancel: "/y", Submit: "Disable", Variant: "destructive", Reason: true,
		}),
		"connection-hold": page.ConfirmationPage(one, view.Confirmation{
			Title: "Hold Contoso platform?", Text: "Nothing starts on it until the hold ends or is released.", Action: "/x", Cancel: "/y", Submit: "Hold", Variant: "destructive", Reason: true, Until: true,
			ReasonValue: "Key ceremony", Errors: []view.FieldError{{Pointer: "/until", Message: "The hold would have ended already. Choose a later time."}},
		}),
		"consent-unchecked": page.ConsentPage(one, view.Consent{
			Now: now, Connection: view.Link{Label: "Contoso platform"}, Tenant: tenantLink(0), Directory: "11111111-2222-3333-4444-555555555555", AppID: "app",
			Axes: view.Axes{Lifecycle: "enabled", Consent: "granted", Verification: "unknown"}, Sentence: "Consent was given, but it has not been checked.",
			Unchecked:   &view.Banner{Text: "The check waits until run 4718 has ended.", Tone: view.Wait, Icon: "hourglass", Buttons: []view.Button{{Label: "View run 4718", Href: "/x"}}},
			RequestHref: "/x", Here: "/y", Sent: &view.ConsentSent{By: "Kim Larsen", At: ago(time.Minute), Expires: now.Add(14 * time.Minute), State: "answered"},
		}),
		"directory":        page.SystemDirectoryPage(system, sampleDirectory()),
		"directory-tenant": page.SystemTenantPage(system, sampleSystemTenant()),
	}
}

func connectionState(a view.Axes, message string) view.CanonicalConnectionState {
	return view.CanonicalConnectionState{
		Lifecycle: a.Lifecycle, IsEnabled: a.Lifecycle == "enabled", ConsentStatus: view.Text(a.Consent), VerificationStatus: view.Text(a.Verification),
		Diagnostics: view.ProviderDiagnostics{LastErrorMessage: view.Text(message)},
	}
}

func verified(states ...string) []view.Badge {
	badges := make([]view.Badge, len(states))
	for i, s := range states {
		badges[i] = view.Axes{Verification: s}.Badges()[2]
	}
	return badges
}

func sampleConnectionRows() []view.ConnectionRow {
	axes := []view.Axes{
		healthy,
		{Lifecycle: "enabled", Consent: "granted", Verification: "degraded"},
		{Lifecycle: "enabled", Consent: "revoked", Verification: "blocked"},
		{Lifecycle: "disabled", Consent: "granted", Verification: "healthy"},
		{Lifecycle: "enabled", Consent: "required", Verification: "unknown"},
		{Lifecycle: "enabled", Consent: "failed", Verification: "error"},
	}
	credentials := []view.Badge{
		{Icon: "key-round", Word: "200 d", Tone: view.Neutral},
		{Icon: "triangle-alert", Word: "9 d", Tone: view.Warning},
		{Icon: "circle-x", Word: "Expired", Tone: view.Negative},
		{Icon: "key-round", Word: "61 d", Tone: view.Neutral},
		{Icon: "circle-dashed", Word: "None", Tone: view.Stop},
		{Icon: "key-round", Word: "No expiry", Tone: view.Neutral},
	}
	messages := []string{"", "A permission is missing.", "Consent was revoked in the tenant.", "", "", "Microsoft could not be reached."}
	var rows []view.ConnectionRow
	for i, a := range axes {
		row := view.ConnectionRow{
			ID: int64(70 + i), TenantLabel: view.Text(sampleTenants[i].name), DisplayName: sampleTenants[i].connection, Provider: "microsoft", ConnectionType: []string{"platform", "dedicated"}[i%2],
			IsDefault: i != 3, State: connectionState(a, messages[i]), Href: connectionLink(i).Href, Tenant: tenantLink(i), Credential: credentials[i], CheckedAt: ago(time.Duration(i*i+1) * 3 * time.Hour),
		}
		if i != 4 {
			row.Checks = verified("healthy", "healthy", "error", "healthy", "degraded", a.Verification)
		} else {
			row.CheckedAt = time.Time{}
		}
		rows = append(rows, row)
	}
	rows[0].Scope = &view.Link{Label: "run 4718", Href: "/admin/operations/4718"}
	rows[1].Held, rows[1].State.Diagnostics.MigrationReviewRequired = "Key ceremony", true
	return rows
}

func sampleConnections() view.ConnectionList {
	bar := func(axis int, of ...any) view.AxisBar {
		var b view.AxisBar
		for i := 0; i < len(of); i += 2 {
			value := of[i].(string)
			badge := view.Axes{Lifecycle: value, Consent: value, Verification: value}.Badges()[axis]
			b.Axis, b.Total = badge.Axis, b.Total+of[i+1].(int)
			b.Segments = append(b.Segments, view.AxisSegment{Badge: badge, Count: of[i+1].(int), Href: "?" + value, Current: value == "blocked"})
		}
		return b
	}
	return view.ConnectionList{
		Now: now, Action: "/admin/provider-connections", Rows: sampleConnectionRows(),
		Bars: []view.AxisBar{
			bar(0, "enabled", 5, "disabled", 1), bar(1, "granted", 3, "required", 1, "failed", 1, "revoked", 1),
			bar(2, "healthy", 2, "degraded", 1, "unknown", 1, "blocked", 1, "error", 1),
		},
		Quick: []view.Choice{{Label: "Expiring in 30 days", Href: "?e", Count: count(2)}, {Label: "Review required", Href: "?r", Count: count(1)}, {Label: "On hold", Href: "?h", Count: count(1)}},
		New:   &view.Button{Label: "New connection", Icon: "plug", Href: "/x", Variant: "primary"},
	}
}

func sampleConnection() view.ConnectionPage {
	three := view.Axes{Lifecycle: "enabled", Consent: "granted", Verification: "degraded"}
	badges := three.Badges()
	check := view.Button{Label: "Check now", Icon: "play", Href: "/x", Post: true, Fields: []view.Field{{Name: "attempt_id", Value: "1"}}}
	piece := func(from, to time.Duration, b view.Badge) view.StripPiece {
		return view.StripPiece{From: ago(from), To: ago(to), Badge: b}
	}
	day := 24 * time.Hour
	strip := func(axis string, pieces ...view.StripPiece) view.AxisStrip {
		return view.AxisStrip{Axis: axis, From: ago(90 * day), To: now, Pieces: pieces}
	}
	return view.ConnectionPage{
		Now: now, ID: 70, Name: "Contoso platform", Kind: "microsoft, platform, the tenant's default", Tenant: tenantLink(0), Axes: three,
		Banner: &view.Banner{Text: "The credential was saved and will not be shown again. The verification was reset to unknown.", Tone: view.Warning, Icon: "info", Buttons: []view.Button{check}},
		Unchecked: &view.Banner{
			Text: "Consent was given, but it has not been checked. The connection is on hold: Key ceremony.", Tone: view.Warning, Icon: "triangle-alert",
			Buttons: []view.Button{{Label: "Release hold", Icon: "play", Href: "/x", Variant: "primary", Dialog: true}},
		},
		Notices: []view.Notice{{Icon: "circle-pause", Tone: view.Stop, Text: "On hold: Key ceremony", Until: now.Add(3 * time.Hour)}},
		Buttons: []view.Button{
			{Label: "Start verification", Icon: "play", Href: "/x", Post: true, Variant: "primary"},
			{Label: "Edit", Icon: "settings", Href: "/x"},
			{Label: "Rotate credential", Icon: "key-round", Href: "/x"},
			{Label: "Make default", Icon: "star", Href: "/x", Dialog: true},
			{Label: "Hold", Icon: "pause", Href: "/x", Dialog: true},
			{Label: "Disable", Icon: "power-off", Href: "/x", Dialog: true},
		},
		Cards: []view.AxisCard{
			{Badge: badges[0], Since: ago(40 * day), Event: "ProviderConnectionCreated", By: "TenantPilot", Meaning: "People allow operations on it."},
			{Badge: badges[1], Since: ago(39 * day), Event: "ConsentGranted", By: "Kim Larsen", Meaning: "The customer's administrator has consented to the app."},
			{Badge: badges[2], Since: ago(26 * time.Minute), Event: "VerificationRecorded", By: "TenantPilot", Meaning: "The last check worked with some permissions missing.", Next: &view.Link{Label: "A permission is missing."}},
		},
		Strips: []view.AxisStrip{
			strip("Lifecycle", piece(90*day, 20*day, badges[0]), piece(20*day, 18*day, view.Axes{Lifecycle: "disabled"}.Badges()[0]), piece(18*day, 0, badges[0])),
			strip("Consent", piece(88*day, 0, badges[1])), strip("Verification", piece(80*day, 30*day, healthy.Badges()[2]), piece(30*day, 0, badges[2])),
		},
		Facts: []view.Fact{
			{Label: "App id", Text: "5f0c2f0e-8d6e-4f0b-9a55-1d2f6b3f7a10", Mono: true},
			{Label: "App", Text: "our multi-tenant app"},
			{Label: "Credential", Text: "client secret set 2026-10-02 by Kim Larsen, expires in 9 d", Badge: &view.Badge{Icon: "triangle-alert", Word: "9 d", Tone: view.Warning}},
			{Label: "Scope", Text: "free"},
		},
		Diagnostics: []view.Fact{{Label: "Last checked", Time: ago(26 * time.Minute)}, {Label: "Last error", Text: "provider_permission_missing", Mono: true}},
		Permissions: view.PermissionTruth{
			Now: now, ID: "connection-permissions", Title: "Permissions of Contoso platform", CheckedAt: ago(26 * time.Minute), Verdict: "One permission is missing.",
			Rows: []view.PermissionRow{
				{Name: "GroupMember.Read.All", Words: "Read all group memberships", Declared: []string{"Directory groups sync"}, Granted: "missing"},
				{
					Name: "RoleManagement.Read.Directory", Words: "Read role definitions", Declared: []string{"Role definitions sync"}, Granted: "refused",
					LastOK: &view.Exercised{At: ago(2 * time.Hour), Run: 4708, Label: "Role definitions sync"}, LastRefusal: &view.Exercised{At: ago(time.Hour), Run: 4709, Label: "Role definitions sync", Reason: "The provider refused."},
				},
				{Name: "Mail.Read", Words: "Read mail", Declared: []string{}, Granted: "granted"},
			},
		},
		Readiness: []view.Readiness{
			{Operation: "Provider connection check", Status: "accepted", Text: "Will start now", Href: "/p/start-fragment"},
			{Operation: "Directory groups sync", Status: "blocked", Text: "Will be blocked: a permission is missing."},
		},
		Runs: sampleRows()[:3], RunsHref: "/admin/operations?connection=70",
		History: []view.AxisChange{
			{At: ago(26 * time.Minute), Badge: badges[2], Text: "A permission is missing.", Event: "VerificationRecorded", By: "TenantPilot"},
			{At: ago(20 * day), Badge: view.Axes{Lifecycle: "disabled"}.Badges()[0], Text: "Contract ended; data export pending", Event: "ConnectionDisabled", By: "Kim Larsen"},
			{At: ago(21 * day), Badge: view.Badge{Icon: "history", Word: "Held", Tone: view.Neutral}, Text: "Key ceremony", Event: "ConnectionHeld", By: "Ana Ruiz"},
		},
	}
}

func sampleConnectionForm() view.ConnectionForm {
	return view.ConnectionForm{
		Now: now, Title: "Edit Contoso platform", Lead: "Of Contoso.", Action: "/x", Cancel: "/y", Submit: "Save", Tenant: tenantLink(0), Name: "Contoso platform", Type: "platform",
		AppID: "5f0c2f0e-8d6e-4f0b-9a55-1d2f6b3f7a10", Tag: "1", Resets: true, CredentialHref: "/z", Credential: []view.Fact{{Label: "Credential", Text: "client secret set 2026-10-02 by Kim Larsen, expires in 61 d"}},
	}
}

func invalidConnectionForm() view.ConnectionForm {
	f := sampleConnectionForm()
	f.Title, f.Tenants, f.TenantID, f.Credential, f.Type, f.AppID = "New connection", []view.OptionChoice{{Value: "1", Label: "Contoso"}, {Value: "2", Label: "Fabrikam"}}, "2", nil, "dedicated", ""
	f.Errors = []view.FieldError{{Pointer: "/appId", Message: "Give the application (client) id of the customer's app registration."}}
	return f
}

func conflictingForm() view.ConnectionForm {
	f := sampleConnectionForm()
	f.Conflict = &view.Conflict{By: "Ana Ruiz", At: ago(3 * time.Minute), TheirsHref: "/y", Fields: []view.ConflictField{
		{Label: "Display name", Mine: "Contoso Nordics", Theirs: "Contoso Europe"},
		{Label: "Connection type", Mine: "platform", Theirs: "platform"},
		{Label: "App id", Mine: f.AppID, Theirs: f.AppID},
	}}
	return f
}

func sampleDirectory() view.SystemDirectory {
	var rows []view.SystemTenantRow
	for i, health := range []string{"critical", "warning", "not_connected", "healthy", "healthy"} {
		row := view.SystemTenantRow{
			TenantID: int64(i + 1), TenantLabel: sampleTenants[i].name, WorkspaceLabel: "Northlight MSP", SystemHealth: health, Href: fmt.Sprintf("/system/directory/tenants/%d", i+1),
			Why: "verification " + health, ProviderConnectionsCount: 2,
		}
		row.CriticalProviderCount, row.WarningProviderCount, row.MissingPermissionCount = max(0, 1-i), max(0, 2-i), max(0, 3-2*i)
		rows = append(rows, row)
	}
	return view.PresentSystemDirectory(rows, now)
}

func sampleSystemTenant() view.SystemTenant {
	rows := sampleConnectionRows()[1:3]
	for i := range rows {
		rows[i].Href, rows[i].Scope, rows[i].Tenant, rows[i].Held = "", nil, view.Link{}, ""
	}
	return view.SystemTenant{TenantID: 1, TenantLabel: "Contoso", Now: now, ProviderConnections: rows, Rollup: sampleDirectory().Rows[0]}
}
