package domain

import "github.com/google/uuid"

// TenantRegistered opens a tenant's stream: a directory is managed in a workspace.
type TenantRegistered struct {
	Tenant     uuid.UUID `json:"tenant"`
	Number     int64     `json:"number"`
	Workspace  uuid.UUID `json:"workspace"`
	ExternalID uuid.UUID `json:"externalId"`
	Name       string    `json:"name"`
	Domain     string    `json:"domain,omitempty"`
}

// TenantRenamed gives the tenant another label.
type TenantRenamed struct {
	Name string `json:"name"`
}

// TenantHeld keeps operations from starting.
type TenantHeld struct {
	Hold Hold `json:"hold"`
}

// TenantReleased lifts the hold.
type TenantReleased struct {
	Reason string `json:"reason,omitempty"` // empty only for what was stored before reasons were asked for
}

// TenantGrouped says which groups the tenant is in, in place of those before.
type TenantGrouped struct {
	Groups []string `json:"groups"`
}

// TenantInspected says that somebody of the platform, from outside the tenant's workspace, looked at the state of its connections. Who it was, the
// event's metadata say.
type TenantInspected struct{}

// DefaultConnectionChosen names the connection that operations use when none is named.
type DefaultConnectionChosen struct {
	Connection int64 `json:"connection"`
}

// EventName implements Event.
func (TenantRegistered) EventName() string { return "TenantRegistered" }

// EventName implements Event.
func (TenantRenamed) EventName() string { return "TenantRenamed" }

// EventName implements Event.
func (TenantHeld) EventName() string { return "TenantHeld" }

// EventName implements Event.
func (TenantReleased) EventName() string { return "TenantReleased.v2" }

// EventName implements Event.
func (DefaultConnectionChosen) EventName() string { return "DefaultConnectionChosen" }

// EventName implements Event.
func (TenantInspected) EventName() string { return "TenantInspected" }

// EventName implements Event.
func (TenantGrouped) EventName() string { return "TenantGrouped" }
