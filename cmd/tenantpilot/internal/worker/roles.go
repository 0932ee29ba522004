package worker

import (
	"context"
	"fmt"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/domain"
)

// syncRoleDefinitions reads the tenant's directory role definitions and replaces the cache when the reading is complete.
func syncRoleDefinitions(ctx context.Context, x *execution) (result, error) {
	conn, err := x.connection(ctx)
	if err != nil {
		return result{}, err
	}
	if err := x.progress(ctx, "Reading role definitions", 0, 0); err != nil {
		return result{}, err
	}
	var roles []graph.RoleDefinition
	err = x.worker.graph.RoleDefinitions(ctx, conn, x.call(ctx), func(p graph.RoleDefinitionPage) error {
		roles = append(roles, p.Roles...)
		return x.progress(ctx, "Reading role definitions", len(roles), 0)
	})
	item := domain.Item{Key: kindRoles, Name: "Role definitions", Type: "collection", Intent: "read", Result: domain.ItemConfirmed}
	if err != nil {
		return x.partial(ctx, item, len(roles), "role definitions", err)
	}
	return x.complete(ctx, item, map[string]any{"roleDefinitions": roles}, len(roles),
		fmt.Sprintf("%s role definitions read, nothing written.", thousands(len(roles))))
}
