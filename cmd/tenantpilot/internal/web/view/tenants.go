package view

import "time"

// CanonicalConnectionState is the contract's: three axes and diagnostics.
type CanonicalConnectionState struct {
	Lifecycle          string              `json:"lifecycle"`
	IsEnabled          bool                `json:"isEnabled"`
	ConsentStatus      *string             `json:"consentStatus"`
	VerificationStatus *string             `json:"verificationStatus"`
	Diagnostics        ProviderDiagnostics `json:"diagnostics"`
}

// Axes are the three axes as badges need them.
func (s CanonicalConnectionState) Axes() Axes {
	return Axes{Lifecycle: s.Lifecycle, Consent: String(s.ConsentStatus), Verification: String(s.VerificationStatus)}
}

// ProviderDiagnostics is the contract's: sanitised, never a token or a body.
type ProviderDiagnostics struct {
	LastCheckedAt           *string `json:"lastCheckedAt"`
	LastErrorReasonCode     *string `json:"lastErrorReasonCode"`
	LastErrorMessage        *string `json:"lastErrorMessage"`
	ConsentErrorCode        *string `json:"consentErrorCode"`
	ConsentErrorMessage     *string `json:"consentErrorMessage"`
	MigrationReviewRequired bool    `json:"migrationReviewRequired"`
}

// ConnectionRow is the contract's ProviderConnectionRow.
type ConnectionRow struct {
	ID             int64                    `json:"id"`
	TenantLabel    *string                  `json:"tenantLabel"`
	DisplayName    string                   `json:"displayName"`
	Provider       string                   `json:"provider"`
	ConnectionType string                   `json:"connectionType"`
	IsDefault      bool                     `json:"isDefault"`
	State          CanonicalConnectionState `json:"state"`

	Href string `json:"-"`
	// CheckedAt is the last check as an instant.
	CheckedAt time.Time `json:"-"`
	// Expiry is how long the credential is still good; nil when that is not known.
	Expiry *CredentialExpiry `json:"-"`
	// Scope says who holds the connection now; nil is free.
	Scope   *Link    `json:"-"`
	Buttons []Button `json:"-"`
	// Tenant is where the connection belongs, in lists of more than one tenant.
	Tenant Link `json:"-"`
	// Credential says when it expires; Checks are the last checks, the oldest first.
	Credential Badge   `json:"-"`
	Checks     []Badge `json:"-"`
	// Held is the reason of a hold that is in force, of the tenant or of the connection.
	Held string `json:"held,omitempty"`
}

// TenantProviderSummary is the contract's: missing, configured or
// default_configured, with one call to action even when nothing is there.
type TenantProviderSummary struct {
	State                  string                    `json:"state"`
	CTAURL                 string                    `json:"ctaUrl"`
	NeedsDefaultConnection bool                      `json:"needsDefaultConnection"`
	DisplayName            *string                   `json:"displayName"`
	Provider               *string                   `json:"provider"`
	CanonicalState         *CanonicalConnectionState `json:"canonicalState"`

	// Sentence says the state in words, CTALabel is the verb on the button.
	Sentence string `json:"-"`
	CTALabel string `json:"-"`
}

// TenantList is all tenants the viewer may see.
type TenantList struct {
	Now    time.Time
	Action string
	Query  string
	Rows   []TenantRow
	Newer  string
	Older  string
	Empty  *Empty
}

// TenantRow is one tenant of the list.
type TenantRow struct {
	Label  string
	Domain string
	Href   string
	// Summary is the provider summary's state.
	Summary string
	// Axes are those of the default connection; nil when there is none.
	Axes *Axes
	// Held is the reason of a hold that is in force, of the tenant or of its default connection.
	Held string
	// Running is the run that works on the tenant now, nil for none.
	Running   *Link
	Attention int
	// AttentionHref lists what needs attention.
	AttentionHref string
	LastSyncAt    time.Time
}

// TenantPage is one tenant.
type TenantPage struct {
	Now     time.Time
	Label   string
	Domain  string
	EntraID string
	// Hold is set while the tenant is on hold: the reason, with its end in Until.
	Hold        string
	Until       time.Time
	Summary     TenantProviderSummary
	Buttons     []Button
	Readiness   []Readiness
	Connections []ConnectionRow
	Runs        []RunRow
	RunsHref    string
	Facts       []Fact
	// Permissions is the truth about the default connection's; nil without one.
	Permissions *PermissionTruth
	// EvidenceHref makes evidence packs of a period; empty where nothing signs the log.
	EvidenceHref string
}

// Readiness is the dry run of one operation. Status is a start outcome.
type Readiness struct {
	Operation  string
	Status     string
	Text       string
	ReasonCode string
	Href       string
}

// Home is where one chooses a workspace, or a tenant of the only one.
type Home struct {
	Now        time.Time
	Workspaces []WorkspaceChoice
	Offers     []Offer // memberships to accept or decline
	Tenants    []TenantRow
	Empty      *Empty
}

// WorkspaceChoice is a workspace the viewer belongs to.
type WorkspaceChoice struct {
	Label   string
	Role    string
	Href    string
	Tenants int
	Current bool
}
