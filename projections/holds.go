package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// HeldTenant is a tenant on which nothing starts, with one of its connections; a tenant of more connections has more lines.
type HeldTenant struct {
	Tenant          uuid.UUID
	External        uuid.UUID
	Name            string
	Reason          string
	Since           time.Time
	Until           *time.Time // nil: until released
	Connection      *int64     // nil when it has none
	ConnectionLabel string
}

// HeldTenants reads the tenants that an actor sees, one or (uuid.Nil) all, and that are on hold at an instant.
func (r Reader) HeldTenants(ctx context.Context, actor domain.Actor, tenant uuid.UUID, at time.Time) ([]HeldTenant, error) {
	q := &query{}
	q.sees("t", actor)
	now := q.arg(at)
	q.and(`t.hold_reason <> '' and (t.hold_until is null or t.hold_until > ` + now + `)`)
	if tenant != uuid.Nil {
		q.and(`t.tenant = ` + q.arg(tenant))
	}
	rows, err := r.pool.Query(ctx, `select t.tenant, t.external_id, t.name, t.hold_reason,
			coalesce((select e.recorded_at from events e where e.stream = t.tenant and e.name = 'TenantHeld' order by e.version desc limit 1), `+now+`),
			t.hold_until, c.number, coalesce(c.display_name, '')
		from tenants t left join provider_connections c on c.tenant = t.tenant
		where `+q.String()+` order by lower(t.name), t.number, c.number limit 200`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read held tenants: %w", err)
	}
	return collect[HeldTenant](rows, "read held tenants")
}
