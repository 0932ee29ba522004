package domain

import (
	"time"

	"github.com/google/uuid"
)

// WorkspaceCreated opens a workspace's stream.
type WorkspaceCreated struct {
	Workspace uuid.UUID `json:"workspace"`
	Name      string    `json:"name"`
}

// WorkspaceRenamed gives the workspace another name.
type WorkspaceRenamed struct {
	Name string `json:"name"`
}

// MemberAdded grants a person a role in the workspace. Tenants nil means all of them and is not stored; an empty list means none.
type MemberAdded struct {
	Person  uuid.UUID   `json:"person"`
	Role    Role        `json:"role"`
	Tenants []uuid.UUID `json:"tenants,omitzero"`
}

// MemberRoleChanged replaces what a member was granted.
type MemberRoleChanged struct {
	Person  uuid.UUID   `json:"person"`
	Role    Role        `json:"role"`
	Tenants []uuid.UUID `json:"tenants,omitzero"`
}

// MemberRemoved ends a membership.
type MemberRemoved struct {
	Person uuid.UUID `json:"person"`
}

// MemberScoped limits which tenants a member sees.
type MemberScoped struct {
	Person uuid.UUID `json:"person"`
	Scope  Scope     `json:"scope"`
}

// MemberInvited offers a person a membership.
type MemberInvited struct {
	Person uuid.UUID `json:"person"`
	Role   Role      `json:"role"`
	Scope  Scope     `json:"scope"`
	Until  time.Time `json:"until"`
}

// InvitationAccepted makes an invited person a member.
type InvitationAccepted struct {
	Person uuid.UUID `json:"person"`
	Role   Role      `json:"role"`
	Scope  Scope     `json:"scope"`
}

// InvitationWithdrawn ends an offer that was not accepted.
type InvitationWithdrawn struct {
	Person uuid.UUID `json:"person"`
}

// RoleDefined makes a custom role, or changes what one allows.
type RoleDefined struct {
	Role         Role         `json:"role"`
	Capabilities []Capability `json:"capabilities"`
}

// RoleRemoved removes a custom role.
type RoleRemoved struct {
	Role Role `json:"role"`
}

// EvidenceExported says that somebody took evidence out of the system: which events, and the file itself by its hash.
type EvidenceExported struct {
	Kind     string    `json:"kind"` // "run" or "tenant"
	Tenant   uuid.UUID `json:"tenant"`
	Run      uuid.UUID `json:"run,omitzero"`
	Number   int64     `json:"runNumber,omitzero"` // of the run; events from before do not say
	From     time.Time `json:"from,omitzero"`      // of a tenant's period
	To       time.Time `json:"to,omitzero"`
	First    int64     `json:"first"` // positions
	Last     int64     `json:"last"`
	Events   int       `json:"events"`
	HeadSize int64     `json:"headSize"`
	Digest   string    `json:"digest"` // SHA-256 of the file, hex
}

// EventName implements Event.
func (EvidenceExported) EventName() string { return "EvidenceExported" }

// EventName implements Event.
func (WorkspaceCreated) EventName() string { return "WorkspaceCreated" }

// EventName implements Event.
func (WorkspaceRenamed) EventName() string { return "WorkspaceRenamed" }

// EventName implements Event.
func (MemberAdded) EventName() string { return "MemberAdded" }

// EventName implements Event.
func (MemberRoleChanged) EventName() string { return "MemberRoleChanged" }

// EventName implements Event.
func (MemberRemoved) EventName() string { return "MemberRemoved" }

// EventName implements Event.
func (MemberScoped) EventName() string { return "MemberScoped" }

// EventName implements Event.
func (MemberInvited) EventName() string { return "MemberInvited" }

// EventName implements Event.
func (InvitationAccepted) EventName() string { return "InvitationAccepted" }

// EventName implements Event.
func (InvitationWithdrawn) EventName() string { return "InvitationWithdrawn" }

// EventName implements Event.
func (RoleDefined) EventName() string { return "RoleDefined" }

// EventName implements Event.
func (RoleRemoved) EventName() string { return "RoleRemoved" }
