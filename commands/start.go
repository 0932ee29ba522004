package commands

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Start asks for an operation to be started. Name the tenant by its directory id, or a connection by its number, or both.
type Start struct {
	Actor domain.Actor
	// Attempt identifies the try: the same attempt again gets the first answer. Zero draws a fresh id.
	Attempt    uuid.UUID
	Operation  domain.OperationType
	Tenant     uuid.UUID // directory id; zero when the connection says it
	Connection int64     // 0 takes the tenant's default
	Inputs     map[string]string
	Surface    string
	Trigger    domain.Trigger
	// Reconsent says "I already consented, re-check"; only for the connection check.
	Reconsent bool
	// Context is what the caller sent along; it is part of what makes two requests the same, and is not interpreted.
	Context map[string]any

	cause uuid.UUID
	// claim appends what makes the start the only one of its kind, after the gate's answer; nil claims nothing.
	claim func(context.Context, *eventstore.Unit) error
}

// StartResult is the gate's answer with what a presenter needs to word it. All four outcomes are results, not errors.
type StartResult struct {
	domain.Decision
	Attempt    uuid.UUID
	Operation  domain.Operation
	Tenant     domain.Tenant
	Connection domain.ProviderConnection // zero when the tenant has none
	Inputs     map[string]string         // resolved
	Run        uuid.UUID                 // the accepted run, else the holder; zero when blocked
	RunNumber  int64                     // its number
	Replayed   bool                      // this is the first answer to a repeated attempt
	Seq        int64                     // for waiting until read models have it
}

// Start carries a start attempt out. Refusals (not visible, not allowed, malformed input, a reused key) are errors and leave nothing
// behind. Otherwise the outcome is durable when Start returns: exactly one receipt, and with it the run when it was accepted.
func (h *Handler) Start(ctx context.Context, c Start) (StartResult, error) {
	if c.Attempt == uuid.Nil {
		c.Attempt = uuid.Must(uuid.NewV7())
	}
	hash, err := c.hash()
	if err != nil {
		return StartResult{}, err
	}
	r := StartResult{Attempt: c.Attempt}
	receipt, err := h.transact(ctx, request{
		actor: c.Actor, key: domain.AttemptStream(c.Actor.Workspace, c.Attempt), hash: hash, affinity: c.affinity(), needs: c.needs(),
		attempt: c.Attempt, cause: c.cause, surface: c.Surface, trigger: c.Trigger,
	}, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		if err := h.startIn(ctx, u, c, at, &r); err != nil || c.claim == nil {
			return err
		}
		return c.claim(ctx, u)
	})
	if err != nil {
		return StartResult{}, err
	}
	if receipt.Replayed {
		return h.replay(ctx, c, receipt)
	}
	r.Seq = receipt.Seq
	return r, nil
}

// startIn asks the gate and appends what it answers.
func (h *Handler) startIn(ctx context.Context, u *eventstore.Unit, c Start, at time.Time, r *StartResult) error {
	s, a, err := h.decideStart(ctx, u, c, at, r)
	if err != nil {
		return err
	}
	return h.record(ctx, u, s, a, r)
}

// record appends the gate's answer to an attempt; one that is accepted gets its run.
func (h *Handler) record(ctx context.Context, u *eventstore.Unit, s domain.Situation, a domain.Attempt, r *StartResult) (err error) {
	if r.Outcome == domain.Accepted {
		if a.RunNumber, err = h.runs.next(ctx); err != nil {
			return err
		}
		a.Run = uuid.Must(uuid.NewV7())
		r.Run, r.RunNumber = r.RunStream(a), a.RunNumber
	}
	u.Apply(r.Changes(s, a))
	return nil
}

// Forecast answers what Start would answer now, from the same function, and records nothing.
func (h *Handler) Forecast(ctx context.Context, c Start) (StartResult, error) {
	var r StartResult
	_, err := h.transact(ctx, request{actor: c.Actor, affinity: c.affinity(), needs: c.needs()},
		func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
			_, _, err := h.decideStart(ctx, u, c, at, &r)
			return err
		})
	if err != nil {
		return StartResult{}, err
	}
	return r, nil
}

// decideStart authorizes in the fixed order (tenant, operation, connection: 404; capability: 403; input: 400) and asks the gate.
func (h *Handler) decideStart(
	ctx context.Context, u *eventstore.Unit, c Start, at time.Time, r *StartResult,
) (domain.Situation, domain.Attempt, error) {
	s, err := h.situation(ctx, u, c)
	if err != nil {
		return s, domain.Attempt{}, err
	}
	op, err := domain.LookupOperation(c.Operation)
	if err != nil {
		return s, domain.Attempt{}, err
	}
	if err := c.Actor.Authorize(s.Tenant.Workspace, s.Tenant.ID, op.Capability); err != nil {
		return s, domain.Attempt{}, err
	}
	inputs, err := op.Resolve(c.Inputs)
	if err != nil {
		return s, domain.Attempt{}, err
	}
	a := domain.Attempt{
		ID: c.Attempt, At: at, Operation: op, Inputs: inputs, Actor: c.Actor.Ref, Surface: c.Surface, Trigger: c.Trigger,
		Reconsent: c.Reconsent && op.Check,
	}
	if op.Rule == domain.Strict {
		identity := op.Identity(s.Tenant.ID, s.Connection.ID, inputs, c.Attempt)
		if s.Earlier, _, err = eventstore.Load[domain.Run](ctx, u, domain.StrictRunStream(identity)); err != nil {
			return s, a, err
		}
	}
	r.Decision, r.Inputs = domain.Start(s, a), inputs
	r.Operation, r.Tenant, r.Connection, r.Run, r.RunNumber = op, s.Tenant, s.Connection, r.Holder.Run, r.Holder.RunNumber
	return s, a, nil
}

// situation loads the tenant and the connection that the attempt is about.
func (h *Handler) situation(ctx context.Context, u *eventstore.Unit, c Start) (domain.Situation, error) {
	var s domain.Situation
	var err error
	tenantID := domain.TenantStream(c.Actor.Workspace, c.Tenant)
	if c.Tenant == uuid.Nil {
		if s.Connection, s.ConnectionVersion, err = connection(ctx, u, c.Actor, c.Connection); err != nil {
			return s, err
		}
		tenantID = s.Connection.Tenant
	}
	if s.Tenant, err = tenant(ctx, u, c.Actor, tenantID); err != nil {
		return s, err
	}
	number := c.Connection
	if number == 0 {
		number = s.Tenant.DefaultConnection
	}
	if number == 0 || s.Connection.Exists() {
		return s, nil
	}
	if s.Connection, s.ConnectionVersion, err = connection(ctx, u, c.Actor, number); err != nil {
		return s, err
	}
	if s.Connection.Tenant != s.Tenant.ID {
		return s, domain.ErrNotFound()
	}
	return s, nil
}

func (c Start) affinity() uuid.UUID {
	if c.Tenant == uuid.Nil {
		return domain.ConnectionStream(c.Connection)
	}
	return domain.TenantStream(c.Actor.Workspace, c.Tenant)
}

func (c Start) needs() []uuid.UUID {
	var streams []uuid.UUID
	if c.Tenant != uuid.Nil {
		streams = append(streams, domain.TenantStream(c.Actor.Workspace, c.Tenant))
	}
	if c.Connection != 0 {
		streams = append(streams, domain.ConnectionStream(c.Connection))
	}
	return streams
}

// hash digests what is asked, so that a key that is used again for something else is noticed.
func (c Start) hash() ([]byte, error) {
	b, err := domain.Canonical(struct {
		Actor      domain.ActorRef      `json:"actor"`
		Connection int64                `json:"connection"`
		Context    map[string]any       `json:"context"`
		Inputs     map[string]string    `json:"inputs"`
		Operation  domain.OperationType `json:"operation"`
		Reconsent  bool                 `json:"reconsent"`
		Surface    string               `json:"surface"`
		Tenant     uuid.UUID            `json:"tenant"`
	}{c.Actor.Ref, c.Connection, c.Context, c.Inputs, c.Operation, c.Reconsent, c.Surface, c.Tenant})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

// replay rebuilds the first answer to an attempt from its receipt.
func (h *Handler) replay(ctx context.Context, c Start, receipt eventstore.Receipt) (StartResult, error) {
	events, err := h.store.ReadStream(ctx, receipt.Stream, 0)
	if err != nil || len(events) == 0 {
		return StartResult{}, fmt.Errorf("read receipt of attempt %s: %w", c.Attempt, err)
	}
	stored, err := events[0].Decode()
	if err != nil {
		return StartResult{}, err
	}
	r := StartResult{Attempt: c.Attempt, Replayed: true, Seq: receipt.Seq}
	var about domain.AttemptFacts
	switch e := stored.(type) {
	case domain.RunAccepted:
		about, r.Outcome, r.Run, r.RunNumber = e.AttemptFacts, domain.Accepted, e.Run, e.Number
	case domain.RunDeduped:
		about, r.Outcome, r.Holder = e.AttemptFacts, domain.Deduped, e.Holder
	case domain.ScopeBusy:
		about, r.Outcome, r.Holder = e.AttemptFacts, domain.Busy, e.Holder
	case domain.StartBlocked:
		about, r.Outcome, r.Reason = e.AttemptFacts, domain.IsBlocked, e.Reason
	default:
		return r, fmt.Errorf("read receipt of attempt %s: it is a %s", c.Attempt, events[0].Name)
	}
	if r.Outcome != domain.Accepted {
		r.Run, r.RunNumber = r.Holder.Run, r.Holder.RunNumber
	}
	r.Facts, r.Identity, r.Inputs = about.Facts, about.Identity, about.Inputs
	if r.Operation, err = domain.LookupOperation(about.Operation); err != nil {
		return r, err
	}
	if r.Tenant, _, err = eventstore.Current[domain.Tenant](ctx, h.store, about.Tenant); err != nil {
		return r, err
	}
	if about.Connection != 0 {
		r.Connection, _, err = eventstore.Current[domain.ProviderConnection](ctx, h.store, domain.ConnectionStream(about.Connection))
	}
	return r, err
}
