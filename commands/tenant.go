package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// RegisterTenant brings a directory under management in the actor's workspace.
type RegisterTenant struct {
	Actor      domain.Actor
	ExternalID uuid.UUID // Entra directory id
	Name       string
	Domain     string
}

// RegisterTenant carries a RegisterTenant out and returns the tenant.
func (h *Handler) RegisterTenant(ctx context.Context, c RegisterTenant) (domain.Tenant, error) {
	if c.ExternalID == uuid.Nil {
		return domain.Tenant{}, domain.InvalidField("/entraTenantId", "required", "Give the directory id (a GUID).")
	}
	id := domain.TenantStream(c.Actor.Workspace, c.ExternalID)
	number, err := h.tenants.next(ctx)
	if err != nil {
		return domain.Tenant{}, err
	}
	var t domain.Tenant
	_, err = h.transact(ctx, request{actor: c.Actor, affinity: id}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		if err := c.Actor.Authorize(c.Actor.Workspace, uuid.Nil, domain.CapTenantManage); err != nil {
			return err
		}
		now, _, err := eventstore.Load[domain.Tenant](ctx, u, id)
		if err != nil {
			return err
		}
		events, err := domain.RegisterTenant(now, domain.TenantRegistered{
			Tenant: id, Number: number, Workspace: c.Actor.Workspace, ExternalID: c.ExternalID, Name: c.Name, Domain: c.Domain,
		})
		u.About(id)
		u.Append(id, events...)
		t = domain.Fold(now, events...)
		return err
	})
	if err != nil {
		return domain.Tenant{}, err
	}
	return t, nil
}

// HoldTenant keeps operations from starting on a tenant until it is released, or until an instant.
type HoldTenant struct {
	Actor  domain.Actor
	Tenant uuid.UUID // directory id
	Reason string
	Until  time.Time // zero: until released
}

// HoldTenant carries a HoldTenant out.
func (h *Handler) HoldTenant(ctx context.Context, c HoldTenant) error {
	return h.onTenant(ctx, c.Actor, c.Tenant, domain.CapHoldManage, func(t domain.Tenant) ([]domain.Event, error) {
		return t.PutOnHold(c.Reason, c.Until)
	})
}

// ReleaseTenant lifts a tenant's hold.
type ReleaseTenant struct {
	Actor  domain.Actor
	Tenant uuid.UUID // directory id
	Reason string
}

// ReleaseTenant carries a ReleaseTenant out.
func (h *Handler) ReleaseTenant(ctx context.Context, c ReleaseTenant) error {
	return h.onTenant(ctx, c.Actor, c.Tenant, domain.CapHoldManage, func(t domain.Tenant) ([]domain.Event, error) {
		return t.Release(c.Reason)
	})
}

// DescribeTenant gives a tenant a name, and the groups that it is in in place of those before. Members whose scope names a group see its
// tenants and no others, so this may take the tenant out of the actor's own sight.
type DescribeTenant struct {
	Actor   domain.Actor
	Tenant  uuid.UUID // directory id
	IfMatch string    // tag of the details that were seen; "" is any
	Name    string
	Groups  []string
}

// DescribeTenant carries a DescribeTenant out and returns the tenant as it is then.
func (h *Handler) DescribeTenant(ctx context.Context, c DescribeTenant) (domain.Tenant, error) {
	var now domain.Tenant
	err := h.onTenant(ctx, c.Actor, c.Tenant, domain.CapTenantManage, func(t domain.Tenant) ([]domain.Event, error) {
		if c.IfMatch != "" && c.IfMatch != t.DetailsTag() {
			return nil, domain.ErrStale()
		}
		events, err := t.Describe(c.Name, c.Groups)
		now = domain.Fold(t, events...)
		return events, err
	})
	return now, err
}

// InspectTenant records in a tenant's workspace that a platform actor looks at the state of its connections.
type InspectTenant struct {
	Actor     domain.Actor
	Workspace uuid.UUID
	Tenant    uuid.UUID // stream id
}

// InspectTenant carries an InspectTenant out. Nothing must be shown before it has succeeded.
func (h *Handler) InspectTenant(ctx context.Context, c InspectTenant) error {
	in := c.Actor
	in.Workspace = c.Workspace // whose log has it
	_, err := h.transact(ctx, request{actor: in, affinity: c.Tenant}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		t, _, err := eventstore.Load[domain.Tenant](ctx, u, c.Tenant)
		if err != nil {
			return err
		}
		if t.Workspace != c.Workspace {
			return domain.ErrNotFound()
		}
		events, err := t.Inspect(c.Actor)
		u.About(t.ID)
		u.Append(t.ID, events...)
		return err
	})
	return err
}

func (h *Handler) onTenant(
	ctx context.Context, actor domain.Actor, external uuid.UUID, needs domain.Capability, decide func(domain.Tenant) ([]domain.Event, error),
) error {
	id := domain.TenantStream(actor.Workspace, external)
	_, err := h.transact(ctx, request{actor: actor, affinity: id}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		t, err := tenant(ctx, u, actor, id)
		if err != nil {
			return err
		}
		if err := actor.Authorize(t.Workspace, t.ID, needs); err != nil {
			return err
		}
		events, err := decide(t)
		u.Append(id, events...)
		return err
	})
	return err
}
