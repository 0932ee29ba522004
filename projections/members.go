package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Members keeps who is a member of which workspace, with which role. Sign-in and tokens look rights up here on every request.
type Members struct{}

// Name implements Projection.
func (Members) Name() string { return "members" }

// Version implements Projection.
func (Members) Version() int { return 1 }

// Tables implements ReadModel.
func (Members) Tables() []string { return []string{"members", "invitations", "roles"} }

// Changes implements ReadModel.
func (Members) Changes() map[string][]string { return nil }

type memberRow struct {
	ID            string      `json:"id"`
	Workspace     uuid.UUID   `json:"workspace"`
	Person        uuid.UUID   `json:"person"`
	Role          domain.Role `json:"role"`
	Tenants       []uuid.UUID `json:"tenants"`
	Groups        []string    `json:"groups"`
	ExceptTenants []uuid.UUID `json:"except_tenants"`
	ExceptGroups  []string    `json:"except_groups"`
	Position      int64       `json:"position"`
}

type invitationRow struct {
	ID        string       `json:"id"`
	Workspace uuid.UUID    `json:"workspace"`
	Person    uuid.UUID    `json:"person"`
	Role      domain.Role  `json:"role"`
	Scope     domain.Scope `json:"scope"`
	Until     time.Time    `json:"until"`
	InvitedAt time.Time    `json:"invited_at"`
	Open      bool         `json:"open"`
	Position  int64        `json:"position"`
}

type roleRow struct {
	ID           string              `json:"id"`
	Workspace    uuid.UUID           `json:"workspace"`
	Role         domain.Role         `json:"role"`
	Capabilities []domain.Capability `json:"capabilities"`
	Position     int64               `json:"position"`
}

var (
	memberTable     = table[string, memberRow]{name: "members", key: "id", cast: "text[]"}
	invitationTable = table[string, invitationRow]{name: "invitations", key: "id", cast: "text[]"}
	roleTable       = table[string, roleRow]{name: "roles", key: "id", cast: "text[]"}
)

var memberEvents = names(domain.MemberAdded{}, domain.MemberRoleChanged{}, domain.MemberScoped{}, domain.InvitationAccepted{}, domain.MemberRemoved{}, domain.RoleDefined{}, domain.RoleRemoved{}, domain.MemberInvited{}, domain.InvitationWithdrawn{})

// Concerns implements chooser.
func (Members) Concerns(event string) bool { return memberEvents[event] }

// Apply implements Projection.
func (Members) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	var removed []string
	err := memberTable.fold(ctx, tx, events, memberKey, func(row *memberRow, e Event) *memberRow {
		if row == nil {
			row = &memberRow{}
		}
		if row.Position >= e.Position {
			return nil
		}
		id, _ := memberKey(e)
		member := func(person uuid.UUID, role domain.Role, s domain.Scope) {
			*row = memberRow{id, e.Stream, person, role, s.Tenants, s.Groups, s.ExceptTenants, s.ExceptGroups, e.Position}
		}
		switch d := e.Data.(type) {
		case domain.MemberAdded:
			member(d.Person, d.Role, domain.Scope{Tenants: d.Tenants})
		case domain.MemberRoleChanged:
			member(d.Person, d.Role, domain.Scope{Tenants: d.Tenants})
		case domain.MemberScoped:
			member(d.Person, row.Role, d.Scope)
		case domain.InvitationAccepted:
			member(d.Person, d.Role, d.Scope)
		case domain.MemberRemoved:
			member(d.Person, "", domain.Scope{})
			removed = append(removed, id)
		}
		return row
	})
	if err != nil {
		return err
	}
	if len(removed) > 0 {
		if _, err := tx.Exec(ctx, `delete from members where id = any($1) and role = ''`, removed); err != nil {
			return fmt.Errorf("remove members: %w", err)
		}
	}
	if err := invitationTable.fold(ctx, tx, events, invitationKey, foldInvitation); err != nil {
		return err
	}
	return roleTable.fold(ctx, tx, events, roleKey, foldRole)
}

func foldInvitation(row *invitationRow, e Event) *invitationRow {
	if row != nil && row.Position >= e.Position {
		return nil
	}
	if d, ok := e.Data.(domain.MemberInvited); ok {
		id, _ := invitationKey(e)
		return &invitationRow{id, e.Stream, d.Person, d.Role, d.Scope, d.Until, e.RecordedAt, true, e.Position}
	}
	if row == nil {
		return nil // accepted or withdrawn, and never made: a membership that began otherwise
	}
	row.Open, row.Position = false, e.Position
	return row
}

func foldRole(row *roleRow, e Event) *roleRow {
	if row != nil && row.Position >= e.Position {
		return nil
	}
	id, _ := roleKey(e)
	switch d := e.Data.(type) {
	case domain.RoleDefined:
		return &roleRow{id, e.Stream, d.Role, d.Capabilities, e.Position}
	case domain.RoleRemoved:
		return &roleRow{id, e.Stream, d.Role, nil, e.Position}
	}
	return nil
}

func memberKey(e Event) (string, bool) {
	switch d := e.Data.(type) {
	case domain.MemberAdded:
		return inWorkspace(e, d.Person.String())
	case domain.MemberRoleChanged:
		return inWorkspace(e, d.Person.String())
	case domain.MemberScoped:
		return inWorkspace(e, d.Person.String())
	case domain.InvitationAccepted:
		return inWorkspace(e, d.Person.String())
	case domain.MemberRemoved:
		return inWorkspace(e, d.Person.String())
	}
	return "", false
}

func invitationKey(e Event) (string, bool) {
	switch d := e.Data.(type) {
	case domain.MemberInvited:
		return inWorkspace(e, d.Person.String())
	case domain.InvitationAccepted:
		return inWorkspace(e, d.Person.String())
	case domain.InvitationWithdrawn:
		return inWorkspace(e, d.Person.String())
	}
	return "", false
}

func roleKey(e Event) (string, bool) {
	switch d := e.Data.(type) {
	case domain.RoleDefined:
		return inWorkspace(e, string(d.Role))
	case domain.RoleRemoved:
		return inWorkspace(e, string(d.Role))
	}
	return "", false
}

func inWorkspace(e Event, key string) (string, bool) { return e.Stream.String() + "/" + key, true }

// Member is a line of the members page.
type Member struct {
	Person        uuid.UUID
	Name          string
	Email         string
	Role          domain.Role
	Tenants       []uuid.UUID
	Groups        []string
	ExceptTenants []uuid.UUID
	ExceptGroups  []string
	LastActive    *time.Time
}

// Scope is what the member sees.
func (m Member) Scope() domain.Scope {
	return domain.Scope{Tenants: m.Tenants, Groups: m.Groups, ExceptTenants: m.ExceptTenants, ExceptGroups: m.ExceptGroups}
}

// Members reads the members of the actor's workspace, by name.
func (r Reader) Members(ctx context.Context, actor domain.Actor) ([]Member, error) {
	rows, err := r.pool.Query(ctx, `select m.person, coalesce(k.display_name, p.display_name, ''), coalesce(k.email, p.email, ''), m.role, m.tenants, m.groups,
			m.except_tenants, m.except_groups, (select max(t.last_used_at) from api_tokens t where t.person = m.person and t.workspace = m.workspace)
		from members m left join people p on p.id = m.person left join known_as k on k.person = m.person and k.workspace = m.workspace
		where m.workspace = $1 order by lower(coalesce(k.display_name, p.display_name)), m.person`, sight(actor))
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return collect[Member](rows, "list members")
}

// Invited is an open invitation.
type Invited struct {
	Workspace     uuid.UUID
	WorkspaceName string
	Person        uuid.UUID
	Name          string
	Email         string
	Role          domain.Role
	Scope         domain.Scope
	Until         time.Time
	InvitedAt     time.Time
}

const invitedColumns = `i.workspace, coalesce(w.name, ''), i.person, coalesce(k.display_name, p.display_name, ''), coalesce(k.email, p.email, ''),
	i.role, i.scope, i.until, i.invited_at from invitations i left join people p on p.id = i.person
	left join known_as k on k.person = i.person and k.workspace = i.workspace left join workspaces w on w.workspace = i.workspace`

// Invitations reads the open invitations to the actor's workspace.
func (r Reader) Invitations(ctx context.Context, actor domain.Actor) ([]Invited, error) {
	rows, err := r.pool.Query(ctx, `select `+invitedColumns+` where i.open and i.workspace = $1 order by i.invited_at`, sight(actor))
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return collect[Invited](rows, "list invitations")
}

// InvitationsOf reads the open invitations of a person, whatever the workspace: they are theirs to accept.
func (r Reader) InvitationsOf(ctx context.Context, person uuid.UUID) ([]Invited, error) {
	rows, err := r.pool.Query(ctx, `select `+invitedColumns+` where i.open and i.person = $1 order by i.invited_at`, person)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return collect[Invited](rows, "list invitations")
}

// CustomRole is a role that a workspace defined.
type CustomRole struct {
	Role         domain.Role
	Capabilities []domain.Capability
}

// CustomRoles reads the roles that the actor's workspace defined.
func (r Reader) CustomRoles(ctx context.Context, actor domain.Actor) ([]CustomRole, error) {
	rows, err := r.pool.Query(ctx, `select role, capabilities from roles where workspace = $1 and capabilities is not null order by role`, sight(actor))
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	return collect[CustomRole](rows, "list roles")
}
