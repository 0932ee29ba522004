package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Identity is who a person is. It is personal data: events hold it sealed, if at all.
type Identity struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

// DescribePerson records in the actor's workspace who a person is, sealed under a key of their own.
type DescribePerson struct {
	Actor  domain.Actor
	Person uuid.UUID
	Identity
}

// DescribePerson carries a DescribePerson out. Saying again what is known changes nothing.
func (h *Handler) DescribePerson(ctx context.Context, c DescribePerson) error {
	if err := c.Actor.ManagesMembers(c.Actor.Workspace); err != nil {
		return err
	}
	if known, err := h.PersonIdentity(ctx, c.Actor.Workspace, c.Person); err == nil && known == c.Identity {
		return nil
	}
	stream := domain.PersonStream(c.Actor.Workspace, c.Person)
	now, _, err := eventstore.Current[domain.Person](ctx, h.store, stream)
	if err != nil {
		return err
	}
	sealed := ""
	if !now.Erased && strings.TrimSpace(c.Email+c.Name) != "" { // an erased person gets no new key
		plain, err := domain.Canonical(c.Identity)
		if err != nil {
			return err
		}
		if sealed, err = h.store.Seal(ctx, c.Actor.Workspace, c.Person, plain); err != nil {
			return err
		}
	}
	return h.onPerson(ctx, c.Actor, c.Person, func(p domain.Person) ([]domain.Event, error) { return p.Describe(c.Person, sealed) })
}

// PersonIdentity opens what a workspace's log says about who a person is. It answers eventstore.ErrErased for an erased person, and
// domain.ErrNotFound where nothing was ever said.
func (h *Handler) PersonIdentity(ctx context.Context, workspace, person uuid.UUID) (Identity, error) {
	var who Identity
	p, version, err := eventstore.Current[domain.Person](ctx, h.store, domain.PersonStream(workspace, person))
	switch {
	case err != nil:
		return who, err
	case version == 0:
		return who, domain.ErrNotFound()
	case p.Erased:
		return who, eventstore.ErrErased
	}
	plain, err := h.store.Unseal(ctx, workspace, person, p.Sealed)
	if err != nil {
		return who, err
	}
	if err := json.Unmarshal(plain, &who); err != nil {
		return who, fmt.Errorf("read identity of %s: %w", person, err)
	}
	return who, nil
}

// ErasePerson ends a person's memberships and invitations and destroys what the log knows of who they are, in every workspace.
type ErasePerson struct {
	Person uuid.UUID
}

// ErasePerson carries an ErasePerson out and returns the workspaces in which something was erased. A workspace's last owner is refused, and
// nothing is done. Each workspace records the erasure before the key is destroyed, so a crash in between is mended by asking again. What the
// person did stays, under the opaque id.
func (h *Handler) ErasePerson(ctx context.Context, c ErasePerson) ([]uuid.UUID, error) {
	if err := h.forget(ctx, c.Person); err != nil {
		return nil, err
	}
	workspaces, err := h.store.SealedIn(ctx, c.Person)
	if err != nil {
		return nil, err
	}
	for _, w := range workspaces {
		err := h.onPerson(ctx, domain.SystemActor(w), c.Person, func(p domain.Person) ([]domain.Event, error) { return p.Erase(c.Person), nil })
		if err != nil {
			return nil, err
		}
		if err := h.store.DestroyKey(ctx, w, c.Person); err != nil {
			return nil, err
		}
	}
	return workspaces, nil
}

// forget ends what a person has in workspaces and was offered there. It looks at all of them before it changes one.
func (h *Handler) forget(ctx context.Context, person uuid.UUID) error {
	all, err := h.store.Streams(ctx, domain.WorkspaceCreated{}.EventName())
	if err != nil {
		return err
	}
	var known []uuid.UUID
	for _, id := range all {
		w, _, err := eventstore.Current[domain.Workspace](ctx, h.store, id)
		if err != nil {
			return err
		}
		events, err := w.Forget(person)
		if err != nil {
			return fmt.Errorf("in the workspace %q (%s): %w", w.Name, id, err)
		}
		if len(events) > 0 {
			known = append(known, id)
		}
	}
	for _, id := range known {
		err := h.onWorkspace(ctx, domain.SystemActor(id), func(w domain.Workspace) ([]domain.Event, error) { return w.Forget(person) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) onPerson(
	ctx context.Context, actor domain.Actor, person uuid.UUID, decide func(domain.Person) ([]domain.Event, error),
) error {
	stream := domain.PersonStream(actor.Workspace, person)
	_, err := h.transact(ctx, request{actor: actor, affinity: stream}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		p, _, err := eventstore.Load[domain.Person](ctx, u, stream)
		if err != nil {
			return err
		}
		events, err := decide(p)
		u.Append(stream, events...)
		return err
	})
	return err
}
