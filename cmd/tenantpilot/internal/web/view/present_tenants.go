package view

import (
	"strconv"
	"strings"
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

// PresentSummary is a tenant's provider summary: one state, one sentence, one call to action even when nothing is there. The sentence about the
// default connection is the gate's and that of the platform's directory; what may not be done is not offered.
func PresentSummary(t projections.Tenant, connections []projections.Connection, may func(domain.NextStepAction) bool, now time.Time) TenantProviderSummary {
	s := TenantProviderSummary{
		State: "missing", CTAURL: NewOnboardingHref(t.ExternalID.String()), NeedsDefaultConnection: true,
		Sentence: "No provider connection yet, so no operation can start.", CTALabel: "Connect this tenant",
	}
	if len(connections) == 0 {
		if !may(domain.StepCreateConnection) {
			s.CTALabel, s.Sentence = "", s.Sentence+" A manager of the workspace can create one."
		}
		return s
	}
	shown := connections[0]
	s.State, s.Sentence = "configured", "A provider connection exists, but none is the tenant's default."
	s.CTAURL, s.CTALabel = ConnectionHref(shown.Number), "Choose the default"
	for _, c := range connections {
		if t.DefaultConnection != nil && c.Number == *t.DefaultConnection {
			shown, s.State, s.NeedsDefaultConnection = c, "default_configured", false
			s.CTAURL, s.CTALabel = ConnectionHref(c.Number), "Open connection"
			s.standing(t, c, may, now)
		}
	}
	state := canonicalState(shown)
	s.DisplayName, s.Provider, s.CanonicalState = Text(shown.DisplayName), Text(shown.Provider), &state
	return s
}

// standing says how the default connection stands: what keeps everything from starting, else what may keep some operations.
func (s *TenantProviderSummary) standing(t projections.Tenant, c projections.Connection, may func(domain.NextStepAction) bool, now time.Time) {
	situation := projections.TenantSituation{Tenant: t, Connection: &c}.Situation()
	d := domain.Obstacle(situation, now)
	switch state := situation.Connection; {
	case d.Outcome == domain.IsBlocked:
		s.obstacle(d, t, c, may, now)
	case len(state.MissingPermissions()) > 0:
		s.Sentence = c.DisplayName + " is verified, but " + count(len(state.MissingPermissions()), "permission is", "permissions are") + " missing, so not every operation can start."
	case len(state.RefusedPermissions()) > 0:
		s.Sentence = c.DisplayName + " is verified, but " + count(len(state.RefusedPermissions()), "permission was", "permissions were") + " refused, so not every operation can start."
	case state.Severity() != domain.SeverityNone:
		s.Sentence = c.DisplayName + " is verified only in part, so nothing that writes can start."
	default:
		s.Sentence = c.DisplayName + " is verified and ready."
		s.CTAURL, s.CTALabel = "/admin/t/"+t.ExternalID.String()+"/start", "Start operation"
	}
}

// obstacle words what keeps everything from starting, and where it is removed.
func (s *TenantProviderSummary) obstacle(d domain.Decision, t projections.Tenant, c projections.Connection, may func(domain.NextStepAction) bool, now time.Time) {
	s.Sentence = strings.TrimSuffix(domain.ReasonFor(d.Reason).Short, ".")
	switch d.Reason {
	case domain.ReasonTenantOnHold:
		release := ReleaseHref(t.ExternalID.String())
		if s.Sentence = t.Name + " is on hold"; !t.State().Hold.Active(now) {
			s.Sentence, release = c.DisplayName+" is on hold", s.CTAURL+"/changes/release"
		}
		if may(domain.StepReleaseHold) {
			s.CTAURL, s.CTALabel = release, "Release hold"
		}
	case domain.ReasonProviderConnectionReviewRequired:
		s.CTALabel = "Review connection"
	}
	if d.Facts.Rule <= 5 {
		s.Sentence += ", so no operation can start."
	} else {
		s.Sentence += ", so nothing but a check can start."
	}
}

// AttentionTime is how far back a list of tenants counts the runs that need attention.
const AttentionTime = 7 * 24 * time.Hour

// PresentTenantRow is a tenant as a line of a list, as it stands now.
func PresentTenantRow(
	t projections.Tenant, connections []projections.Connection, runs projections.TenantRuns, may func(domain.NextStepAction) bool, now time.Time,
) TenantRow {
	summary := PresentSummary(t, connections, may, now)
	row := TenantRow{
		Label: t.Name, Domain: t.Domain, Href: TenantHref(t.ExternalID.String()), Summary: summary.State, LastSyncAt: at(runs.LastSync),
		Attention: runs.Attention, AttentionHref: "/admin/t/" + t.ExternalID.String() + "/operations?range=7d&view=attention",
	}
	row.Held = heldBy(projections.Connection{}, t, now)
	if summary.CanonicalState != nil {
		a := summary.CanonicalState.Axes()
		row.Axes = &a
	}
	for _, c := range connections {
		if t.DefaultConnection != nil && *t.DefaultConnection == c.Number {
			row.Held = heldBy(c, t, now)
		}
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
