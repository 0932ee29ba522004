package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

const surfaceCallback = "consent.callback"

// RequestConsent says that the customer of a connection is being asked for consent.
type RequestConsent struct {
	Actor      domain.Actor
	Connection int64
}

// RequestConsent carries a RequestConsent out and returns the receipt's seq (0 when nothing changed).
func (h *Handler) RequestConsent(ctx context.Context, c RequestConsent) (int64, error) {
	id := domain.ConnectionStream(c.Connection)
	receipt, err := h.transact(ctx, request{actor: c.Actor, affinity: id, surface: "console.consent", trigger: domain.TriggerOperator},
		func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
			conn, err := consentable(ctx, u, c.Actor, c.Connection)
			if err != nil {
				return err
			}
			events, err := conn.RequestConsent()
			u.Append(id, events...)
			return err
		})
	return receipt.Seq, err
}

// consentable loads a connection for somebody who may ask for consent to it. That takes the right to check it too: no answer is believed
// without a check.
func consentable(ctx context.Context, u *eventstore.Unit, actor domain.Actor, number int64) (domain.ProviderConnection, error) {
	conn, _, err := connection(ctx, u, actor, number)
	if err != nil {
		return conn, err
	}
	if err := actor.Authorize(conn.Workspace, conn.Tenant, domain.CapProviderManage); err != nil {
		return conn, err
	}
	return conn, actor.Authorize(conn.Workspace, conn.Tenant, domain.CapProviderVerify)
}

// FinishConsent records what the provider's callback said and, where that is a grant, asks for the check that proves it.
type FinishConsent struct {
	Actor      domain.Actor
	Connection int64
	State      uuid.UUID // names the link, without giving it away: what it was answered with is recorded once. Zero draws a fresh one.
	domain.ConsentAnswer
}

// FinishConsent carries a FinishConsent out and returns the receipt's seq (0 when nothing changed). A grant and what becomes of its check are
// one append: the check's run, or its place in the queue of a connection that is in use, or the receipt that says why it was blocked. A crash
// leaves all of it or nothing; where nothing, an administrator may have consented, and a check (Start with Reconsent) finds out.
func (h *Handler) FinishConsent(ctx context.Context, c FinishConsent) (int64, error) {
	if c.State == uuid.Nil {
		c.State = uuid.Must(uuid.NewV7())
	}
	id := domain.ConnectionStream(c.Connection)
	about := request{
		actor: c.Actor, key: uuid.NewSHA1(c.State, []byte("answered")), affinity: id, needs: []uuid.UUID{id},
		surface: surfaceCallback, trigger: domain.TriggerOperator,
	}
	if c.Granted() {
		about.attempt = uuid.NewSHA1(c.State, []byte("check"))
	}
	receipt, err := h.transact(ctx, about, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		conn, err := consentable(ctx, u, c.Actor, c.Connection)
		if err != nil {
			return err
		}
		events, err := conn.FinishConsent(c.ConsentAnswer)
		u.Append(id, events...)
		if err != nil || !c.Granted() {
			return err
		}
		return h.startOrWait(ctx, u, Start{
			Actor: c.Actor, Attempt: about.attempt, Operation: domain.OpConnectionCheck, Connection: c.Connection, Surface: surfaceCallback,
			Trigger: domain.TriggerOperator, Reconsent: true,
		}, at)
	})
	return receipt.Seq, err
}

// startOrWait asks the gate and appends what it answers. On a connection that is in use, by the same work too, the start waits for its turn
// besides; where so many wait that it cannot, the answer is all there is.
func (h *Handler) startOrWait(ctx context.Context, u *eventstore.Unit, c Start, at time.Time) error {
	var r StartResult
	s, a, err := h.decideStart(ctx, u, c, at, &r)
	if err != nil {
		return err
	}
	if err := h.record(ctx, u, s, a, &r); err != nil || (r.Outcome != domain.Deduped && r.Outcome != domain.Busy) {
		return err
	}
	_, err = reserve(ctx, u, s, a, r)
	if refusal, ok := domain.AsRefusal(err); ok && refusal.Kind == domain.Conflict {
		return nil
	}
	return err
}

// IgnoreConsentAnswer records that an answer was not listened to, once for each State however often it comes back.
type IgnoreConsentAnswer struct {
	Workspace  uuid.UUID
	Connection int64
	State      uuid.UUID // names the link, without giving it away
}

// IgnoreConsentAnswer carries an IgnoreConsentAnswer out. Whoever holds the link may cause it, so the system is its actor.
func (h *Handler) IgnoreConsentAnswer(ctx context.Context, c IgnoreConsentAnswer) error {
	id := domain.ConnectionStream(c.Connection)
	actor := domain.SystemActor(c.Workspace)
	_, err := h.transact(ctx, request{
		actor: actor, key: uuid.NewSHA1(c.State, []byte("ignored")), hash: c.State[:], affinity: id, surface: surfaceCallback, trigger: domain.TriggerSystem,
	}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		conn, _, err := connection(ctx, u, actor, c.Connection)
		if err != nil {
			return err
		}
		events, err := conn.IgnoreConsentAnswer()
		u.Append(id, events...)
		return err
	})
	return err
}
