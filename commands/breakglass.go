package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// TellWayIn leaves a trace of a member's ways in beside the identity provider in each of their workspaces.
type TellWayIn struct {
	Workspaces []uuid.UUID
	Person     uuid.UUID
}

// BreakGlassUsed says that the person comes in. They must not before it has succeeded.
func (h *Handler) BreakGlassUsed(ctx context.Context, c TellWayIn) error {
	return h.tellWayIn(ctx, c, domain.BreakGlassUsed{Person: c.Person}, func(workspace uuid.UUID) domain.Actor {
		return domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: c.Person}, Workspace: workspace}
	})
}

// BreakGlassSet says that somebody at the server gave the person an account or another password.
func (h *Handler) BreakGlassSet(ctx context.Context, c TellWayIn) error {
	return h.tellWayIn(ctx, c, domain.BreakGlassSet{Person: c.Person}, domain.SystemActor)
}

// BreakGlassRemoved says that somebody at the server took the person's account away.
func (h *Handler) BreakGlassRemoved(ctx context.Context, c TellWayIn) error {
	return h.tellWayIn(ctx, c, domain.BreakGlassRemoved{Person: c.Person}, domain.SystemActor)
}

// SignInLinkDrawn says that somebody at the server is about to draw a link that signs the person in once, until an instant.
func (h *Handler) SignInLinkDrawn(ctx context.Context, c TellWayIn, until time.Time) error {
	return h.tellWayIn(ctx, c, domain.SignInLinkDrawn{Person: c.Person, Until: until}, domain.SystemActor)
}

func (h *Handler) tellWayIn(ctx context.Context, c TellWayIn, e domain.Event, as func(workspace uuid.UUID) domain.Actor) error {
	for _, workspace := range c.Workspaces {
		err := h.onWorkspace(ctx, as(workspace), func(w domain.Workspace) ([]domain.Event, error) { return w.TellWayIn(c.Person, e), nil })
		if err != nil {
			return err
		}
	}
	return nil
}
