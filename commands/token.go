package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// IssueToken records an API token of the actor, or, for the system, of Issued.Owner. Its secret is nobody's business here: keep its hash
// (auth.Service.KeepToken) when this has succeeded. A crash in between leaves a token in the log that opens nothing.
type IssueToken struct {
	Actor  domain.Actor
	Issued domain.TokenIssued
}

// IssueToken carries an IssueToken out: for members only. For the system the owner's own rights are not looked at: they limit the token whenever
// it is used. Ask MustBeMember again when the secret is kept.
func (h *Handler) IssueToken(ctx context.Context, c IssueToken) error {
	c.Issued.Workspace = c.Actor.Workspace
	return h.onToken(ctx, c.Actor, domain.Token{ID: c.Issued.Token}, func(ctx context.Context, u *eventstore.Unit, t domain.Token, at time.Time) ([]domain.Event, error) {
		w, _, err := eventstore.Load[domain.Workspace](ctx, u, c.Issued.Workspace)
		if err != nil {
			return nil, err
		}
		if err := w.MustHave(c.Issued.Owner); err != nil {
			return nil, err
		}
		for _, id := range c.Issued.Tenants {
			about, _, err := eventstore.Load[domain.Tenant](ctx, u, id)
			if err != nil {
				return nil, err
			}
			if !about.Exists() || about.Workspace != c.Actor.Workspace {
				return nil, domain.InvalidField("/tenants", "unknown_tenant", "Choose tenants from the list.")
			}
		}
		return t.Issue(c.Actor, c.Issued, at)
	})
}

// MustBeMember refuses somebody who is no member of a workspace any more. A membership ends the tokens that are kept when it ends: whoever keeps
// one asks this afterwards, and revokes it if it was too late.
func (h *Handler) MustBeMember(ctx context.Context, workspace, person uuid.UUID) error {
	w, _, err := eventstore.Current[domain.Workspace](ctx, h.store, workspace)
	if err != nil {
		return err
	}
	return w.MustHave(person)
}

// RotateToken records that a token has another secret. A crash before the secret is kept leaves the one before as it was.
type RotateToken struct {
	Actor   domain.Actor
	Token   domain.Token // as it is kept; what the log knows of it counts
	Rotated domain.TokenRotated
}

// RotateToken carries a RotateToken out.
func (h *Handler) RotateToken(ctx context.Context, c RotateToken) error {
	return h.onToken(ctx, c.Actor, c.Token, func(_ context.Context, _ *eventstore.Unit, t domain.Token, at time.Time) ([]domain.Event, error) {
		return t.Rotate(c.Actor, c.Rotated, at)
	})
}

// RevokeToken records that a token was revoked. Ask whether it may be with Check set, revoke its secrets, then record it: a crash in between
// leaves a token that opens nothing, and revoking it again records it.
type RevokeToken struct {
	Actor domain.Actor
	Token domain.Token
	Check bool
}

// RevokeToken carries a RevokeToken out.
func (h *Handler) RevokeToken(ctx context.Context, c RevokeToken) error {
	return h.onToken(ctx, c.Actor, c.Token, func(_ context.Context, _ *eventstore.Unit, t domain.Token, _ time.Time) ([]domain.Event, error) {
		events, err := t.Revoke(c.Actor)
		if c.Check {
			events = nil
		}
		return events, err
	})
}

// onToken decides on a token's stream. A token from before tokens were in the log is what kept says it is.
func (h *Handler) onToken(
	ctx context.Context, actor domain.Actor, kept domain.Token,
	decide func(context.Context, *eventstore.Unit, domain.Token, time.Time) ([]domain.Event, error),
) error {
	stream := domain.TokenStream(kept.ID)
	_, err := h.transact(ctx, request{actor: actor, affinity: stream}, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		t, _, err := eventstore.Load[domain.Token](ctx, u, stream)
		if err != nil {
			return err
		}
		if !t.Exists() && kept.Owner != uuid.Nil {
			t = kept
		}
		events, err := decide(ctx, u, t, at)
		u.Append(stream, events...)
		return err
	})
	return err
}
