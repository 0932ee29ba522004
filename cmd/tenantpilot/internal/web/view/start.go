package view

import "time"

// StartForm is the start dialog, which is also a page of its own. Choosing
// another operation or connection loads the form again from FormHref, so the
// forecast is always the gate's own answer.
//
// The form posts attempt_id, sourceSurface, providerConnectionId, the names of
// Options and, for destructive operations, confirm.
type StartForm struct {
	Now    time.Time
	Tenant Link
	// Tenants are to choose from while no tenant is known; Tenant is empty then.
	Tenants []TenantChoice
	// FormHref is this form's URL without query; operations are chosen with
	// ?operation=, connections with ?providerConnectionId=.
	FormHref string
	// Action is the start route of the chosen operation; empty while none is chosen.
	Action        string
	AttemptID     string
	SourceSurface string
	Groups        []OperationGroup
	// Operation is the chosen one's type, Submit the verb on the button.
	Operation   string
	Submit      string
	Connections []ConnectionChoice
	Options     []Option
	Forecast    *Forecast
	// Effect says what a write may change; empty for reads.
	Effect string
	// ConfirmName must be typed for destructive operations; empty asks nothing.
	ConfirmName string
	// Errors are shown on top; an Option's own error also at its field.
	Errors []FieldError
}

// OperationGroup is Read or Write.
type OperationGroup struct {
	Label      string
	Operations []OperationChoice
}

// OperationChoice is one operation that could be started.
type OperationChoice struct {
	Type    string
	Label   string
	Text    string
	Href    string
	Current bool
	// LastAt and LastOutcome describe the last run here; zero means never.
	LastAt      time.Time
	LastOutcome string
	// Usually is a typical duration; zero when unknown.
	Usually time.Duration
}

// ConnectionChoice is a provider connection with its three axes.
type ConnectionChoice struct {
	ID      int64
	Label   string
	Default bool
	Current bool
	Axes    Axes
}

// Option is an input of the chosen operation: a select when it has Choices,
// else a text field.
type Option struct {
	Name    string
	Label   string
	Help    string
	Value   string
	Choices []OptionChoice
	Error   string
}

// OptionChoice is one value of an Option.
type OptionChoice struct {
	Value string
	Label string
}

// Forecast is the gate's dry run. Status is a start outcome.
type Forecast struct {
	Status string
	// Text is the line: "Will start now", "Busy until about 14:12".
	Text       string
	ReasonCode string
	Link       *Link
}
