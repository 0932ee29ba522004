package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Tenants keeps tenants and workspaces.
type Tenants struct{}

// Name implements Projection.
func (Tenants) Name() string { return "tenants" }

// Version implements Projection.
func (Tenants) Version() int { return 1 }

// Tables implements ReadModel.
func (Tenants) Tables() []string { return []string{"tenants", "workspaces"} }

// Changes implements ReadModel.
func (Tenants) Changes() map[string][]string { return nil }

// Tenant is a managed tenant as pages show it.
type Tenant struct {
	ID                uuid.UUID  `json:"tenant"`
	Number            int64      `json:"number"`
	Workspace         uuid.UUID  `json:"workspace"`
	ExternalID        uuid.UUID  `json:"external_id"`
	Name              string     `json:"name"`
	Domain            string     `json:"domain"`
	DefaultConnection *int64     `json:"default_connection"`
	HoldReason        string     `json:"hold_reason"`
	HoldUntil         *time.Time `json:"hold_until"`
	Groups            []string   `json:"groups"`
	Position          int64      `json:"position"`
}

// State is the aggregate's state that the row says.
func (r Tenant) State() domain.Tenant {
	t := domain.Tenant{
		ID: r.ID, Number: r.Number, Workspace: r.Workspace, ExternalID: r.ExternalID, Name: r.Name, Domain: r.Domain, Groups: r.Groups,
		Hold: domain.Hold{Reason: r.HoldReason, Until: orZero(r.HoldUntil)},
	}
	if r.DefaultConnection != nil {
		t.DefaultConnection = *r.DefaultConnection
	}
	return t
}

type workspaceRow struct {
	Workspace uuid.UUID `json:"workspace"`
	Name      string    `json:"name"`
	Position  int64     `json:"position"`
}

var (
	tenantTable    = table[uuid.UUID, Tenant]{name: "tenants", key: "tenant", cast: "uuid[]"}
	workspaceTable = table[uuid.UUID, workspaceRow]{name: "workspaces", key: "workspace", cast: "uuid[]"}
)

var tenantEvents = names(domain.WorkspaceCreated{}, domain.WorkspaceRenamed{}, domain.TenantRegistered{}, domain.TenantRenamed{}, domain.TenantHeld{}, domain.TenantReleased{}, domain.TenantGrouped{}, domain.DefaultConnectionChosen{})

// Concerns implements chooser.
func (Tenants) Concerns(event string) bool { return tenantEvents[event] }

// Apply implements Projection.
func (Tenants) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	err := workspaceTable.fold(ctx, tx, events, func(e Event) (uuid.UUID, bool) {
		switch e.Data.(type) {
		case domain.WorkspaceCreated, domain.WorkspaceRenamed:
			return e.Stream, true
		}
		return uuid.Nil, false
	}, func(row *workspaceRow, e Event) *workspaceRow {
		if row == nil {
			row = &workspaceRow{}
		}
		if row.Position >= e.Position {
			return nil
		}
		row.Position = e.Position
		switch d := e.Data.(type) {
		case domain.WorkspaceCreated:
			row.Workspace, row.Name = d.Workspace, d.Name
		case domain.WorkspaceRenamed:
			row.Name = d.Name
		}
		return row
	})
	if err != nil {
		return err
	}
	return tenantTable.fold(ctx, tx, events, func(e Event) (uuid.UUID, bool) {
		switch e.Data.(type) {
		case domain.TenantRegistered, domain.TenantRenamed, domain.TenantHeld, domain.TenantReleased, domain.TenantGrouped,
			domain.DefaultConnectionChosen:
			return e.Stream, true
		}
		return uuid.Nil, false
	}, tenantRow)
}

func tenantRow(row *Tenant, e Event) *Tenant {
	if row == nil {
		row = &Tenant{}
	}
	if row.Position >= e.Position {
		return nil
	}
	row.Position = e.Position
	switch d := e.Data.(type) {
	case domain.TenantRegistered:
		row.ID, row.Number, row.Workspace, row.ExternalID = d.Tenant, d.Number, d.Workspace, d.ExternalID
		row.Name, row.Domain = d.Name, d.Domain
	case domain.TenantRenamed:
		row.Name = d.Name
	case domain.TenantHeld:
		row.HoldReason, row.HoldUntil = d.Hold.Reason, orNil(d.Hold.Until)
	case domain.TenantReleased:
		row.HoldReason, row.HoldUntil = "", nil
	case domain.TenantGrouped:
		row.Groups = d.Groups
	case domain.DefaultConnectionChosen:
		row.DefaultConnection = &d.Connection
	}
	return row
}

// orNil turns a zero instant into SQL null.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const tenantColumns = `tenant, number, workspace, external_id, name, domain, default_connection, hold_reason, hold_until, groups, position`

// ListTenants reads the tenants that an actor sees, by name.
func ListTenants(ctx context.Context, pool querier, actor domain.Actor) ([]Tenant, error) {
	rows, err := pool.Query(ctx, `select `+tenantColumns+` from tenants
		where workspace = $1 and ($2::uuid[] is null or tenant = any($2)) order by lower(name), number`, sight(actor), actor.Tenants)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return collect[Tenant](rows, "list tenants")
}

// TenantByExternalID reads a tenant that an actor sees; ErrNoRow otherwise.
func TenantByExternalID(ctx context.Context, pool querier, actor domain.Actor, external uuid.UUID) (Tenant, error) {
	rows, err := pool.Query(ctx, `select `+tenantColumns+` from tenants
		where workspace = $1 and external_id = $2 and ($3::uuid[] is null or tenant = any($3))`, sight(actor), external, actor.Tenants)
	return one[Tenant](rows, err, "read tenant")
}

// one scans at most one row into a struct; ErrNoRow when there is none.
func one[R any](rows pgx.Rows, err error, what string) (R, error) {
	var zero R
	if err != nil {
		return zero, fmt.Errorf("%s: %w", what, err)
	}
	all, err := collect[R](rows, what)
	if err != nil {
		return zero, err
	}
	if len(all) == 0 {
		return zero, ErrNoRow
	}
	return all[0], nil
}
