package domain

import "github.com/google/uuid"

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

// EventName implements Event.
func (WorkspaceCreated) EventName() string { return "WorkspaceCreated" }

// EventName implements Event.
func (MemberAdded) EventName() string { return "MemberAdded" }

// EventName implements Event.
func (MemberRoleChanged) EventName() string { return "MemberRoleChanged" }

// EventName implements Event.
func (MemberRemoved) EventName() string { return "MemberRemoved" }
