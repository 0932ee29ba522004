package commands

import (
	"context"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// TellBreakGlass leaves a trace of a member's break-glass account in each of their workspaces.
type TellBreakGlass struct {
	Workspaces []uuid.UUID
	Person     uuid.UUID
}

// BreakGlassUsed says that the person comes in. They must not before it has succeeded.
func (h *Handler) BreakGlassUsed(ctx context.Context, c TellBreakGlass) error {
	return h.tellBreakGlass(ctx, c, domain.BreakGlassUsed{Person: c.Person}, func(workspace uuid.UUID) domain.Actor {
		return domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: c.Person}, Workspace: workspace}
	})
}

// BreakGlassSet says that somebody at the server gave the person an account or another password.
func (h *Handler) BreakGlassSet(ctx context.Context, c TellBreakGlass) error {
	return h.tellBreakGlass(ctx, c, domain.BreakGlassSet{Person: c.Person}, domain.SystemActor)
}

// BreakGlassRemoved says that somebody at the server took the person's account away.
func (h *Handler) BreakGlassRemoved(ctx context.Context, c TellBreakGlass) error {
	return h.tellBreakGlass(ctx, c, domain.BreakGlassRemoved{Person: c.Person}, domain.SystemActor)
}

func (h *Handler) tellBreakGlass(ctx context.Context, c TellBreakGlass, e domain.Event, as func(workspace uuid.UUID) domain.Actor) error {
	for _, workspace := range c.Workspaces {
		err := h.onWorkspace(ctx, as(workspace), func(w domain.Workspace) ([]domain.Event, error) { return w.TellBreakGlass(c.Person, e), nil })
		if err != nil {
			return err
		}
	}
	return nil
}
