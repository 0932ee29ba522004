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

// RenameTenant gives a tenant another name.
type RenameTenant struct {
	Actor  domain.Actor
	Tenant uuid.UUID // directory id
	Name   string
}

// RenameTenant carries a RenameTenant out.
func (h *Handler) RenameTenant(ctx context.Context, c RenameTenant) error {
	return h.onTenant(ctx, c.Actor, c.Tenant, domain.CapTenantManage, func(t domain.Tenant) ([]domain.Event, error) {
		return t.Rename(c.Name)
	})
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

// GroupTenant puts a tenant into groups, in place of those it was in.
type GroupTenant struct {
	Actor  domain.Actor
	Tenant uuid.UUID // directory id
	Groups []string
}

// GroupTenant carries a GroupTenant out.
func (h *Handler) GroupTenant(ctx context.Context, c GroupTenant) error {
	return h.onTenant(ctx, c.Actor, c.Tenant, domain.CapTenantManage, func(t domain.Tenant) ([]domain.Event, error) { return t.Group(c.Groups) })
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
