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

// EvidenceExported says that somebody took evidence out of the system: which events, and the file itself by its hash.
type EvidenceExported struct {
	Kind     string    `json:"kind"` // "run" or "tenant"
	Tenant   uuid.UUID `json:"tenant"`
	Run      uuid.UUID `json:"run,omitzero"`
	From     time.Time `json:"from,omitzero"` // of a tenant's period
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
func (MemberAdded) EventName() string { return "MemberAdded" }

// EventName implements Event.
func (MemberRoleChanged) EventName() string { return "MemberRoleChanged" }

// EventName implements Event.
func (MemberRemoved) EventName() string { return "MemberRemoved" }
