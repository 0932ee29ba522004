// Package commands carries out what people, schedules and workers ask for: read, decide, append.
//
// Each command is a struct in the imperative and a method of Handler. All of them go through transact, the only load-decide-append loop:
// it loads aggregates from the log, asks package domain for the decision, and appends its events with the versions it was made on.
// Nothing here reads a read model (it may be late; a decision may not) and nothing here talks to a provider.
package commands

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Handler carries out commands on one store. It is safe for concurrent use.
type Handler struct {
	// PlatformApp is the id of the operator's own multi-tenant application, which connections of type "platform" use unless another is named.
	// Set it before the handler is used; empty is none.
	PlatformApp string

	store *eventstore.Store
	now   func() time.Time

	runs, connections, tenants, onboardings numberBlock
}

// New makes a handler. now is the clock that events are dated with; nil is the system's.
func New(store *eventstore.Store, now func() time.Time) *Handler {
	if now == nil {
		now = time.Now
	}
	return &Handler{
		store: store, now: now,
		runs:        numberBlock{store: store, sequence: "run_numbers"},
		connections: numberBlock{store: store, sequence: "connection_numbers"},
		tenants:     numberBlock{store: store, sequence: "tenant_numbers"},
		onboardings: numberBlock{store: store, sequence: "onboarding_numbers"},
	}
}

// request is what transact needs to know about a command besides its decision.
type request struct {
	actor    domain.Actor
	key      uuid.UUID // zero: not repeatable by the caller
	hash     []byte
	affinity uuid.UUID
	needs    []uuid.UUID
	attempt  uuid.UUID
	cause    uuid.UUID
	surface  string
	trigger  domain.Trigger
}

// transact carries a decision out. When it returns an error, decide may still be running: ctx ended and nobody waits for it any more. What
// decide writes to is read only after success.
func (h *Handler) transact(
	ctx context.Context, r request, decide func(context.Context, *eventstore.Unit, time.Time) error,
) (eventstore.Receipt, error) {
	at := h.now().UTC().Truncate(time.Microsecond)
	return h.store.Transact(ctx, eventstore.Request{
		Key: r.key, Hash: r.hash, Affinity: r.affinity, Needs: r.needs, Workspace: r.actor.Workspace, At: at,
		Meta: eventstore.Meta{
			Actor: r.actor.Ref, Attempt: r.attempt, Correlation: r.attempt, Causation: r.cause, Surface: r.surface, Trigger: r.trigger,
		},
	}, func(ctx context.Context, u *eventstore.Unit) error {
		if err := decide(ctx, u, at); err != nil || !r.actor.Preview || !u.Changed() {
			return err
		}
		return domain.ErrPreview()
	})
}

// tenant loads a tenant that the actor may know of.
func tenant(ctx context.Context, u *eventstore.Unit, actor domain.Actor, id uuid.UUID) (domain.Tenant, error) {
	t, _, err := eventstore.Load[domain.Tenant](ctx, u, id)
	if err != nil {
		return t, err
	}
	if !t.Exists() || !actor.Sees(t.Workspace, t.ID) {
		return t, domain.ErrNotFound()
	}
	u.About(t.ID)
	return t, nil
}

// connection loads a connection that the actor may know of.
func connection(ctx context.Context, u *eventstore.Unit, actor domain.Actor, number int64) (domain.ProviderConnection, int, error) {
	c, version, err := eventstore.Load[domain.ProviderConnection](ctx, u, domain.ConnectionStream(number))
	if err != nil {
		return c, 0, err
	}
	if !c.Exists() || !actor.Sees(c.Workspace, c.Tenant) {
		return c, 0, domain.ErrNotFound()
	}
	u.About(c.Tenant)
	return c, version, nil
}

// numberBlock hands out public numbers from blocks drawn from the database. A crash loses the rest of a block: numbers are unique and
// growing per process, not gapless.
type numberBlock struct {
	store    *eventstore.Store
	sequence string
	mu       sync.Mutex
	left     []int64
	size     int
}

func (b *numberBlock) next(ctx context.Context) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.left) == 0 {
		b.size = min(64, max(1, b.size*2)) // a quiet process wastes few numbers, a busy one draws rarely
		drawn, err := b.store.Numbers(ctx, b.sequence, b.size)
		if err != nil {
			return 0, fmt.Errorf("draw number: %w", err)
		}
		b.left = drawn
	}
	n := b.left[0]
	b.left = b.left[1:]
	return n, nil
}
