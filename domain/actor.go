package domain

import (
	"slices"

	"github.com/google/uuid"
)

// ActorKind says what sort of actor caused something.
type ActorKind string

// The kinds of actor.
const (
	ActorPerson   ActorKind = "person"
	ActorSchedule ActorKind = "schedule"
	ActorSystem   ActorKind = "system"
)

// ActorRef names an actor in events: a kind and an opaque id, never a name or an address.
type ActorRef struct {
	Kind ActorKind `json:"kind"`
	ID   uuid.UUID `json:"id"`
}

// Personal says whether notifications about this actor's runs have a person to go to.
func (a ActorRef) Personal() bool { return a.Kind == ActorPerson }

// Role is a preset of capabilities in a workspace.
type Role string

// The roles, each holding everything the one before it holds.
const (
	RoleReadonly Role = "readonly"
	RoleAuditor  Role = "auditor" // readonly, and meets the audit pages first
	RoleOperator Role = "operator"
	RoleManager  Role = "manager"
	RoleOwner    Role = "owner"
)

// Capability is one thing that a role allows.
type Capability string

// The capabilities.
const (
	CapView              Capability = "view"
	CapProviderVerify    Capability = "provider.verify"
	CapInventorySync     Capability = "inventory.sync"
	CapPolicySync        Capability = "policy.sync"
	CapDirectorySync     Capability = "directory.sync"
	CapRolesScan         Capability = "roles.scan"
	CapBackupRun         Capability = "backup.run"
	CapRunCancel         Capability = "run.cancel"
	CapRestoreExecute    Capability = "restore.execute"
	CapProviderManage    Capability = "provider.manage"
	CapTenantManage      Capability = "tenant.manage"
	CapOnboardingManage  Capability = "onboarding.manage"
	CapScheduleManage    Capability = "schedule.manage"
	CapMemberManage      Capability = "member.manage"
	CapTokenManage       Capability = "token.manage"
	CapHoldManage        Capability = "hold.manage"
	CapWorkspaceManage   Capability = "workspace.manage"
	CapSystem            Capability = "system" // held by no role: the system acts for itself
	CapPlatformDirectory Capability = "platform.directory"
)

var roleAdds = []struct {
	role Role
	caps []Capability
}{
	{RoleReadonly, []Capability{CapView}},
	{RoleOperator, []Capability{
		CapProviderVerify, CapInventorySync, CapPolicySync, CapDirectorySync, CapRolesScan, CapBackupRun, CapRunCancel,
	}},
	{RoleManager, []Capability{
		CapRestoreExecute, CapProviderManage, CapTenantManage, CapOnboardingManage, CapScheduleManage,
	}},
	{RoleOwner, []Capability{CapMemberManage, CapTokenManage, CapHoldManage, CapWorkspaceManage}},
}

// Capabilities lists what a role may do; an unknown role may do nothing.
func Capabilities(r Role) []Capability {
	if r == RoleAuditor {
		r = RoleReadonly
	}
	var caps []Capability
	for _, step := range roleAdds {
		caps = append(caps, step.caps...)
		if step.role == r {
			return caps
		}
	}
	return nil
}

// ParseRole reads a role name.
func ParseRole(s string) (Role, error) {
	if s == string(RoleAuditor) {
		return RoleAuditor, nil
	}
	for _, step := range roleAdds {
		if string(step.role) == s {
			return step.role, nil
		}
	}
	return "", InvalidField("/role", "unknown_role", "The role is one of readonly, auditor, operator, manager, owner.")
}

// Actor is who asks, with what they may see and do. A workspace member has Workspace and Role; a platform actor has only
// Platform; the system itself has Kind ActorSystem and may do everything in the workspace it acts in.
type Actor struct {
	Ref       ActorRef
	Workspace uuid.UUID
	Role      Role
	// Capabilities are those of a custom role; nil means those of the preset that Role names.
	Capabilities []Capability
	// Tenants limits what the member sees; nil means every tenant of the workspace.
	Tenants  []uuid.UUID
	Platform bool
	// Preview is set for somebody who looks at the console as another role: nothing may be changed.
	Preview bool
}

// SystemActor acts for the product itself in one workspace.
func SystemActor(workspace uuid.UUID) Actor {
	return Actor{Ref: ActorRef{Kind: ActorSystem}, Workspace: workspace}
}

// Sees says whether the actor may know that a tenant of a workspace exists. uuid.Nil asks for the workspace itself.
func (a Actor) Sees(workspace, tenant uuid.UUID) bool {
	if a.Platform || workspace == uuid.Nil || a.Workspace != workspace || (a.Role == "" && a.Ref.Kind != ActorSystem) {
		return false
	}
	return tenant == uuid.Nil || a.Tenants == nil || slices.Contains(a.Tenants, tenant)
}

// May says whether the actor holds a capability in its workspace.
func (a Actor) May(c Capability) bool {
	if a.Platform {
		return c == CapPlatformDirectory
	}
	if a.Ref.Kind == ActorSystem || a.Ref.Kind == ActorSchedule {
		return true
	}
	if a.Capabilities != nil {
		return slices.Contains(a.Capabilities, c)
	}
	return slices.Contains(Capabilities(a.Role), c)
}

// MayGrant says whether the actor holds everything that it would hand out.
func (a Actor) MayGrant(caps []Capability) error {
	for _, c := range caps {
		if !a.May(c) {
			return forbidden(c)
		}
	}
	return nil
}

// Authorize is the one authorization rule: not entitled is not found, entitled without the capability is forbidden, in that order.
func (a Actor) Authorize(workspace, tenant uuid.UUID, c Capability) error {
	if !a.Sees(workspace, tenant) {
		return ErrNotFound()
	}
	if !a.May(c) {
		return forbidden(c)
	}
	return nil
}

// ManagesMembers says whether the actor may change who is a member of a workspace, and what members may do and see there. Besides the
// capability it takes sight of every tenant: whoever sees a part could give the rest to others, or to themselves.
func (a Actor) ManagesMembers(workspace uuid.UUID) error {
	if err := a.Authorize(workspace, uuid.Nil, CapMemberManage); err != nil {
		return err
	}
	if a.Tenants != nil {
		return forbidden(CapMemberManage)
	}
	return nil
}
