package view

import "time"

// ConnectionBundle is the contract's ProviderConnectionListTruthBundle.
type ConnectionBundle struct {
	Rows []ConnectionRow `json:"rows"`
}

// ConnectionDetail is the contract's ProviderConnectionDetailTruthModel.
type ConnectionDetail struct {
	ID                 int64                    `json:"id"`
	DisplayName        string                   `json:"displayName"`
	Provider           string                   `json:"provider"`
	ConnectionType     string                   `json:"connectionType"`
	IsDefault          bool                     `json:"isDefault"`
	EffectiveAppID     *string                  `json:"effectiveAppId"`
	EffectiveAppSource *string                  `json:"effectiveAppSource"`
	State              CanonicalConnectionState `json:"state"`
	Holds              []ConnectionHold         `json:"holds,omitempty"`
	Credential         *ConnectionCredential    `json:"credential,omitempty"`
}

// ConnectionHold is a hold because of which nothing starts on a connection: of its tenant, or its own.
type ConnectionHold struct {
	Of     string     `json:"of"`
	Reason string     `json:"reason"`
	Until  *time.Time `json:"until"` // nil: until it is released
}

// ConnectionCredential says what a connection signs in with, and until when that is good.
type ConnectionCredential struct {
	Kind      string     `json:"kind"`
	ExpiresAt *time.Time `json:"expiresAt"` // nil: not known
}

// ConnectionList is the list of provider connections.
type ConnectionList struct {
	Now    time.Time
	Action string
	Query  string
	// Keep are the parameters that the search box must not lose.
	Keep      []Field
	Chips     []Chip
	ClearHref string
	// Quick are filters that are no axis: expiring soon, review required.
	Quick []Choice
	// Bars count the connections per axis, each segment a filter.
	Bars  []AxisBar
	New   *Button
	Rows  []ConnectionRow
	Empty *Empty
}

// AxisBar is one axis over all connections that the viewer sees, as a stacked bar.
type AxisBar struct {
	Axis     string
	Total    int
	Segments []AxisSegment
}

// AxisSegment is one value of an axis.
type AxisSegment struct {
	Badge   Badge
	Count   int
	Href    string
	Current bool
}

// ConnectionPage is one provider connection.
type ConnectionPage struct {
	Now    time.Time
	ID     int64
	Name   string
	Kind   string
	Tenant Link
	// Banner is said once after something was done here.
	Banner *Banner
	// Unchecked says that consent was given and not checked.
	Unchecked *Banner
	// Notices stand above everything: a hold, an open review.
	Notices []Notice
	Axes    Axes
	Buttons []Button
	// ActiveCheck is the check that is running; Refresh stands in for the button that starts one.
	ActiveCheck *Link
	Facts       []Fact
	Cards       []AxisCard
	Permissions PermissionTruth
	Readiness   []Readiness
	Diagnostics []Fact
	Runs        []RunRow
	RunsHref    string
	Strips      []AxisStrip
	History     []AxisChange
}

// Banner says what was done, what follows from it, and what to do next.
type Banner struct {
	Text    string
	Tone    Tone
	Icon    string
	Buttons []Button
}

// Notice is a line that stands above a page.
type Notice struct {
	Icon  string
	Tone  Tone
	Text  string
	Until time.Time
}

// AxisCard is one axis: its value, since when, what set it, what it means and what to do.
type AxisCard struct {
	Badge   Badge
	Since   time.Time
	Event   string // stored name of the event that set it
	By      string
	Meaning string
	Next    *Link
}

// AxisStrip is one axis over time.
type AxisStrip struct {
	Axis     string
	From, To time.Time
	Pieces   []StripPiece
}

// StripPiece is a time in which an axis had one value.
type StripPiece struct {
	From, To time.Time
	Badge    Badge
}

// AxisChange is one line of the history.
type AxisChange struct {
	At    time.Time
	Badge Badge // what the event set; a Badge without Axis for what is no axis
	Text  string
	Event string
	By    string
}

// ConnectionForm is the form of a new connection, or of the settings of one.
type ConnectionForm struct {
	Now    time.Time
	Title  string
	Lead   string
	Action string
	Cancel string
	Submit string
	// Tenants are to choose from for a new connection; Tenant is set where it is known.
	Tenants    []OptionChoice
	Tenant     Link
	TenantID   string
	Name       string
	Type       string
	AppID      string
	Tag        string // of the settings that were shown
	Credential []Fact
	// CredentialHref leads to the credential's own form.
	CredentialHref string
	// Resets says that type and app id reset what was verified.
	Resets bool
	Errors []FieldError
	// Conflict is set when somebody else has saved since the form was opened.
	Conflict *Conflict
}

// ErrorAt is what is wrong with a field, by its JSON pointer.
func ErrorAt(errors []FieldError, pointer string) string {
	for _, e := range errors {
		if e.Pointer == pointer {
			return e.Message
		}
	}
	return ""
}

// Conflict shows two versions side by side: mine, which was not saved, and theirs, which is there now.
type Conflict struct {
	By     string
	At     time.Time
	Fields []ConflictField
	// Theirs is where my input is dropped.
	TheirsHref string
}

// ConflictField is one field in both versions.
type ConflictField struct {
	Label        string
	Mine, Theirs string
}

// Differs says whether the two versions do.
func (f ConflictField) Differs() bool { return f.Mine != f.Theirs }

// CredentialForm is the form that rotates a credential. What was stored is never shown.
type CredentialForm struct {
	Now     time.Time
	Name    string
	Action  string
	Cancel  string
	Kind    string
	Kinds   []OptionChoice
	Expires string // yyyy-mm-dd
	Stored  string // "set 2026-10-02 by Kim, expires in 61 d"; empty when there is none
	Errors  []FieldError
}

// Confirmation asks before something with consequences is done. It names the object and the consequence.
type Confirmation struct {
	Title   string
	Text    string
	Action  string
	Cancel  string
	Submit  string
	Variant string
	// Reason asks for one, which is required; Until for an end, which is not.
	Reason      bool
	ReasonValue string
	Until       bool
	UntilValue  string
	Errors      []FieldError
}

// SystemDirectory is the platform's list of all tenants.
type SystemDirectory struct {
	Now  time.Time
	Bars []AxisSegment // tenants by health
	Rows []SystemTenantRow
}

// SystemDirectoryBundle is the contract's SystemTenantDirectoryTruthBundle.
type SystemDirectoryBundle struct {
	Rows []SystemTenantRow `json:"rows"`
}

// SystemTenantRow is the contract's SystemTenantDirectoryRow.
type SystemTenantRow struct {
	TenantID                 int64  `json:"tenantId"`
	TenantLabel              string `json:"tenantLabel"`
	WorkspaceLabel           string `json:"workspaceLabel"`
	ProviderConnectionsCount int    `json:"providerConnectionsCount"`
	CriticalProviderCount    int    `json:"criticalProviderCount"`
	WarningProviderCount     int    `json:"warningProviderCount"`
	MissingPermissionCount   int    `json:"missingPermissionCount"`
	SystemHealth             string `json:"systemHealth"`

	Href string `json:"-"`
	// Why says in words what the health rests on.
	Why string `json:"-"`
}

// SystemTenant is the contract's SystemTenantDetailTruthModel.
type SystemTenant struct {
	TenantID            int64           `json:"tenantId"`
	TenantLabel         string          `json:"tenantLabel"`
	ProviderConnections []ConnectionRow `json:"providerConnections"`

	Now    time.Time       `json:"-"`
	Rollup SystemTenantRow `json:"-"`
}
