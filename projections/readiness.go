package projections

import (
	"context"
	"encoding/json"
	"fmt"

	"tenantpilot/domain"
)

// TenantSituation is what the gate would decide on for a tenant's default connection, as far as the read models know.
type TenantSituation struct {
	Tenant     Tenant
	Connection *Connection // nil when the tenant has no default
	// ScopeIdentity says which work holds the connection, HolderName who started it; empty while it is free.
	ScopeIdentity string
	HolderName    string
}

// Situation is the rows as the gate takes them.
func (s TenantSituation) Situation() domain.Situation {
	out := domain.Situation{Tenant: s.Tenant.State()}
	if s.Connection != nil {
		out.Connection, out.ConnectionVersion = s.Connection.State(), s.Connection.Version
		out.Connection.Scope.Identity = s.ScopeIdentity
	}
	return out
}

// Situations reads, in one query, what the gate would decide on for every tenant that an actor sees, by name.
func (r Reader) Situations(ctx context.Context, actor domain.Actor) ([]TenantSituation, error) {
	rows, err := r.pool.Query(ctx, `
		select row_to_json(t), row_to_json(c), coalesce(r.identity, ''), coalesce(p.display_name, '')
		from tenants t
		left join provider_connections c on c.number = t.default_connection and c.tenant = t.tenant
		left join runs r on r.run = c.scope_run
		left join colleagues p on p.id = c.scope_initiator_id
		where t.workspace = $1 and ($2::uuid[] is null or t.tenant = any($2))
		order by lower(t.name), t.number`, sight(actor), actor.Tenants)
	if err != nil {
		return nil, fmt.Errorf("read situations: %w", err)
	}
	defer rows.Close()
	var all []TenantSituation
	for rows.Next() {
		var s TenantSituation
		var tenant, connection []byte
		if err := rows.Scan(&tenant, &connection, &s.ScopeIdentity, &s.HolderName); err != nil {
			return nil, fmt.Errorf("read situations: %w", err)
		}
		if err := json.Unmarshal(tenant, &s.Tenant); err != nil {
			return nil, fmt.Errorf("read situations: %w", err)
		}
		if connection != nil {
			s.Connection = new(Connection)
			if err := json.Unmarshal(connection, s.Connection); err != nil {
				return nil, fmt.Errorf("read situations: %w", err)
			}
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read situations: %w", err)
	}
	return all, nil
}
