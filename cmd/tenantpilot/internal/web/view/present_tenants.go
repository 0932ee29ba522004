package view

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// PresentConnection is a provider connection as the contract's row.
func PresentConnection(c projections.Connection, tenant projections.Tenant) ConnectionRow {
	row := ConnectionRow{
		ID: c.Number, TenantLabel: Text(tenant.Name), DisplayName: c.DisplayName, Provider: c.Provider, ConnectionType: c.ConnectionType,
		IsDefault: tenant.DefaultConnection != nil && *tenant.DefaultConnection == c.Number, State: canonicalState(c), CheckedAt: at(c.LastCheckedAt),
	}
	row.Expiry = ExpiryOf(c)
	row.Href = ConnectionHref(c.Number)
	if c.ScopeRunNumber != nil {
		row.Scope = &Link{"run " + strconv.FormatInt(*c.ScopeRunNumber, 10), RunHref(*c.ScopeRunNumber)}
	}
	return row
}

func canonicalState(c projections.Connection) CanonicalConnectionState {
	s := CanonicalConnectionState{
		Lifecycle: "disabled", IsEnabled: c.Enabled, ConsentStatus: Text(string(c.Consent)), VerificationStatus: Text(string(c.Verification)),
		Diagnostics: ProviderDiagnostics{
			LastErrorReasonCode: Text(string(c.LastErrorReason)), ConsentErrorCode: Text(string(c.ConsentErrorReason)),
			MigrationReviewRequired: c.MigrationReviewRequired,
		},
	}
	if c.Enabled {
		s.Lifecycle = "enabled"
	}
	if c.LastCheckedAt != nil {
		s.Diagnostics.LastCheckedAt = Text(Instant(*c.LastCheckedAt))
	}
	if c.LastErrorReason != "" {
		s.Diagnostics.LastErrorMessage = Text(domain.ReasonFor(c.LastErrorReason).Short)
	}
	if c.ConsentErrorReason != "" {
		s.Diagnostics.ConsentErrorMessage = Text(domain.ReasonFor(c.ConsentErrorReason).Short)
	}
	return s
}

// PresentSummary is a tenant's provider summary: one state, one sentence, one call to action even when nothing is there. now tells whether a
// credential or a hold has ended.
func PresentSummary(t projections.Tenant, connections []projections.Connection, now time.Time) TenantProviderSummary {
	s := TenantProviderSummary{
		State: "missing", CTAURL: NewOnboardingHref(t.ExternalID.String()), NeedsDefaultConnection: true,
		Sentence: "No provider connection yet, so no operation can start.", CTALabel: "Connect this tenant",
	}
	if len(connections) == 0 {
		return s
	}
	shown := connections[0]
	s.State, s.Sentence = "configured", "A provider connection exists, but none is the tenant's default."
	s.CTAURL, s.CTALabel = ConnectionHref(shown.Number), "Choose the default"
	for _, c := range connections {
		if t.DefaultConnection != nil && c.Number == *t.DefaultConnection {
			shown, s.State, s.NeedsDefaultConnection = c, "default_configured", false
			s.Sentence = connectionSentence(c, now)
			s.CTAURL, s.CTALabel = ConnectionHref(c.Number), "Open connection"
			if stopped(c, now) == "" && c.State().Severity() == domain.SeverityNone && c.Enabled && c.Consent == domain.ConsentIsGiven {
				s.CTAURL, s.CTALabel = "/admin/t/"+t.ExternalID.String()+"/start", "Start operation"
			}
		}
	}
	state := canonicalState(shown)
	s.DisplayName, s.Provider, s.CanonicalState = Text(shown.DisplayName), Text(shown.Provider), &state
	return s
}

// stopped says what keeps every operation from starting whatever was verified; "" when nothing does.
func stopped(c projections.Connection, now time.Time) string {
	e := ExpiryOf(c)
	switch {
	case !c.Enabled:
		return c.DisplayName + " is disabled, so no operation can start."
	case c.State().Hold.Active(now):
		return c.DisplayName + " is on hold, so no operation can start."
	case e != nil && e.Days(now) == 0:
		return "The credential of " + c.DisplayName + " has expired, so no operation can start."
	}
	return ""
}

func connectionSentence(c projections.Connection, now time.Time) string {
	if why := stopped(c, now); why != "" {
		return why
	}
	switch {
	case c.Consent != domain.ConsentIsGiven:
		return c.DisplayName + " lacks the customer's consent."
	case c.Verification == domain.VerificationHealthy:
		return c.DisplayName + " is verified and ready."
	case c.Verification == domain.VerificationDegraded:
		return c.DisplayName + " works, with some permissions missing."
	case c.Verification == domain.VerificationPending:
		return c.DisplayName + " is being verified."
	}
	return c.DisplayName + " is not verified."
}

// PresentTenantRow is a tenant as a line of a list, as it stands now; href overrides where it leads.
func PresentTenantRow(t projections.Tenant, connections []projections.Connection, href string, now time.Time) TenantRow {
	summary := PresentSummary(t, connections, now)
	row := TenantRow{Label: t.Name, Domain: t.Domain, Href: TenantHref(t.ExternalID.String()), Summary: summary.State}
	if href != "" {
		row.Href = href
	}
	if summary.CanonicalState != nil {
		a := summary.CanonicalState.Axes()
		row.Axes = &a
	}
	for _, c := range connections {
		if c.ScopeRunNumber != nil {
			row.Running = &Link{domain.OperationByType(c.ScopeOperation).Label, RunHref(*c.ScopeRunNumber)}
		}
	}
	return row
}

// PresentNotification is one line of a person's notifications.
func PresentNotification(n projections.Notification, tenants map[uuid.UUID]string, index int, now time.Time) Notification {
	if n.Kind == "credential_expiring" && n.Connection != nil && n.Until != nil {
		return presentExpiry(n, tenants, index, now)
	}
	label := domain.OperationByType(n.Operation).Label
	out := Notification{
		ID: int64(index), Href: RunHref(n.RunNumber), Tenant: tenants[n.Tenant], At: n.CreatedAt, Unread: n.ReadAt == nil,
		Title: label + " was accepted", Text: "Run " + strconv.FormatInt(n.RunNumber, 10) + " is queued.", Badge: ExecutionBadge("queued"),
	}
	if n.Kind == "run_ended" {
		out.Badge = OutcomeBadge(string(n.Outcome))
		out.Title, out.Text = label+" ended: "+lowerFirst(out.Badge.Word), "Run "+strconv.FormatInt(n.RunNumber, 10)+" has ended."
		if n.Reason != "" {
			out.Text = domain.ReasonFor(n.Reason).Short
		}
	}
	return out
}
