package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// CreateWorkspace opens a workspace with its first owner. Only the system does so, in the workspace it names.
type CreateWorkspace struct {
	Workspace uuid.UUID
	Name      string
	Owner     uuid.UUID
}

// CreateWorkspace carries a CreateWorkspace out.
func (h *Handler) CreateWorkspace(ctx context.Context, c CreateWorkspace) error {
	return h.onWorkspace(ctx, domain.SystemActor(c.Workspace), func(w domain.Workspace) ([]domain.Event, error) {
		return domain.CreateWorkspace(w, c.Workspace, c.Name, c.Owner)
	})
}

// AddMember grants a person a role in the actor's workspace; Tenants nil means all.
type AddMember struct {
	Actor   domain.Actor
	Person  uuid.UUID
	Role    domain.Role
	Tenants []uuid.UUID
}

// AddMember carries an AddMember out.
func (h *Handler) AddMember(ctx context.Context, c AddMember) error {
	return h.onWorkspace(ctx, c.Actor, func(w domain.Workspace) ([]domain.Event, error) {
		if err := c.Actor.Authorize(w.ID, uuid.Nil, domain.CapMemberManage); err != nil {
			return nil, err
		}
		return w.AddMember(c.Person, c.Role, c.Tenants)
	})
}

// ExportEvidence leaves a trace, in the actor's workspace, of evidence that is about to be handed out about a tenant of it.
type ExportEvidence struct {
	Actor    domain.Actor
	Evidence domain.EvidenceExported
}

// ExportEvidence carries an ExportEvidence out. Evidence must not be handed out before it has succeeded.
func (h *Handler) ExportEvidence(ctx context.Context, c ExportEvidence) error {
	return h.onWorkspace(ctx, c.Actor, func(w domain.Workspace) ([]domain.Event, error) {
		if err := c.Actor.Authorize(w.ID, c.Evidence.Tenant, domain.CapView); err != nil {
			return nil, err
		}
		return w.ExportEvidence(c.Evidence)
	})
}

func (h *Handler) onWorkspace(ctx context.Context, actor domain.Actor, decide func(domain.Workspace) ([]domain.Event, error)) error {
	_, err := h.transact(ctx, request{actor: actor, affinity: actor.Workspace},
		func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
			w, _, err := eventstore.Load[domain.Workspace](ctx, u, actor.Workspace)
			if err != nil {
				return err
			}
			events, err := decide(w)
			u.Append(actor.Workspace, events...)
			return err
		})
	return err
}
