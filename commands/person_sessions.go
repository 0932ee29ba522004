package commands

import (
	"context"

	"tenantpilot/domain"
)

// RecordSessionsEnded leaves a trace, in the actor's workspace, of sessions of their own that they have ended.
type RecordSessionsEnded struct {
	Actor    domain.Actor
	Sessions int
}

// RecordSessionsEnded carries a RecordSessionsEnded out. None leaves none.
func (h *Handler) RecordSessionsEnded(ctx context.Context, c RecordSessionsEnded) error {
	if c.Sessions == 0 {
		return nil
	}
	return h.onPerson(ctx, c.Actor, c.Actor.Ref.ID, func(domain.Person) ([]domain.Event, error) {
		return []domain.Event{domain.SessionsEnded{Person: c.Actor.Ref.ID, Sessions: c.Sessions}}, nil
	})
}
