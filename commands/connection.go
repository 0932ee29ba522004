package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// CreateConnection adds a provider connection to a tenant. The first one becomes the tenant's default.
type CreateConnection struct {
	Actor                   domain.Actor
	Tenant                  uuid.UUID // directory id
	DisplayName             string
	ConnectionType          string // "platform" or "dedicated"
	AppID                   string
	MigrationReviewRequired bool
}

// CreateConnection carries a CreateConnection out and returns the connection.
func (h *Handler) CreateConnection(ctx context.Context, c CreateConnection) (domain.ProviderConnection, error) {
	number, err := h.connections.next(ctx)
	if err != nil {
		return domain.ProviderConnection{}, err
	}
	id, tenantID := domain.ConnectionStream(number), domain.TenantStream(c.Actor.Workspace, c.Tenant)
	var conn domain.ProviderConnection
	_, err = h.transact(ctx, request{actor: c.Actor, affinity: tenantID}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		t, err := tenant(ctx, u, c.Actor, tenantID)
		if err != nil {
			return err
		}
		if err := c.Actor.Authorize(t.Workspace, t.ID, domain.CapProviderManage); err != nil {
			return err
		}
		events, err := domain.CreateConnection(domain.ProviderConnection{}, domain.ProviderConnectionCreated{
			Connection: id, Number: number, Workspace: t.Workspace, Tenant: t.ID, Provider: "microsoft", DisplayName: c.DisplayName,
			ConnectionType: c.ConnectionType, AppID: c.AppID, MigrationReviewRequired: c.MigrationReviewRequired,
		})
		if err != nil {
			return err
		}
		conn = domain.Fold(domain.ProviderConnection{}, events...)
		u.Append(id, events...)
		if t.DefaultConnection == 0 {
			chosen, err := t.ChooseDefault(conn)
			if err != nil {
				return err
			}
			u.Append(t.ID, chosen...)
		}
		return nil
	})
	if err != nil {
		return domain.ProviderConnection{}, err
	}
	return conn, nil
}

// SetConnectionEnabled writes the lifecycle axis of a connection; disabling needs a reason.
type SetConnectionEnabled struct {
	Actor      domain.Actor
	Connection int64
	Enabled    bool
	Reason     string
}

// SetConnectionEnabled carries a SetConnectionEnabled out.
func (h *Handler) SetConnectionEnabled(ctx context.Context, c SetConnectionEnabled) error {
	return h.onConnection(ctx, c.Actor, c.Connection, func(conn domain.ProviderConnection, _ time.Time) ([]domain.Event, error) {
		return conn.SetEnabled(c.Enabled, c.Reason)
	})
}

// RotateCredential records that another credential is in use. The secret itself goes to the vault beforehand; here are only its
// fingerprint and its expiry.
type RotateCredential struct {
	Actor      domain.Actor
	Connection int64
	Credential domain.Credential
}

// RotateCredential carries a RotateCredential out.
func (h *Handler) RotateCredential(ctx context.Context, c RotateCredential) error {
	return h.onConnection(ctx, c.Actor, c.Connection, func(conn domain.ProviderConnection, _ time.Time) ([]domain.Event, error) {
		return conn.RotateCredential(c.Credential)
	})
}

// RecordConsent writes the consent axis of a connection.
type RecordConsent struct {
	Actor      domain.Actor
	Connection int64
	Consent    domain.ConsentState
	Reason     domain.ReasonCode
}

// RecordConsent carries a RecordConsent out.
func (h *Handler) RecordConsent(ctx context.Context, c RecordConsent) error {
	return h.onConnection(ctx, c.Actor, c.Connection, func(conn domain.ProviderConnection, _ time.Time) ([]domain.Event, error) {
		return conn.RecordConsent(c.Consent, c.Reason)
	})
}

// RequestConsent says that the customer of a connection is being asked for consent.
type RequestConsent struct {
	Actor      domain.Actor
	Connection int64
}

// RequestConsent carries a RequestConsent out and returns the receipt's seq (0 when nothing changed).
func (h *Handler) RequestConsent(ctx context.Context, c RequestConsent) (int64, error) {
	return h.onConsent(ctx, c.Actor, c.Connection, "console.consent", domain.ProviderConnection.RequestConsent)
}

// FinishConsent records what the provider's callback said: a grant, or the reason why there is none.
type FinishConsent struct {
	Actor      domain.Actor
	Connection int64
	Refusal    domain.ReasonCode // "" is a grant
}

// FinishConsent carries a FinishConsent out and returns the receipt's seq (0 when nothing changed).
func (h *Handler) FinishConsent(ctx context.Context, c FinishConsent) (int64, error) {
	return h.onConsent(ctx, c.Actor, c.Connection, "consent.callback", func(conn domain.ProviderConnection) ([]domain.Event, error) {
		return conn.FinishConsent(c.Refusal)
	})
}

func (h *Handler) onConsent(
	ctx context.Context, actor domain.Actor, number int64, surface string, decide func(domain.ProviderConnection) ([]domain.Event, error),
) (int64, error) {
	id := domain.ConnectionStream(number)
	receipt, err := h.transact(ctx, request{actor: actor, affinity: id, surface: surface, trigger: domain.TriggerOperator},
		func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
			conn, _, err := connection(ctx, u, actor, number)
			if err != nil {
				return err
			}
			if err := actor.Authorize(conn.Workspace, conn.Tenant, domain.CapProviderManage); err != nil {
				return err
			}
			events, err := decide(conn)
			u.Append(id, events...)
			return err
		})
	return receipt.Seq, err
}

// RecordVerification writes the verification axis and the permission truth of a connection.
type RecordVerification struct {
	Actor      domain.Actor
	Connection int64
	Finding    domain.Finding
}

// RecordVerification carries a RecordVerification out.
func (h *Handler) RecordVerification(ctx context.Context, c RecordVerification) error {
	return h.onConnection(ctx, c.Actor, c.Connection, func(conn domain.ProviderConnection, at time.Time) ([]domain.Event, error) {
		c.Finding.CheckedAt = at
		return conn.RecordVerification(uuid.Nil, c.Finding)
	})
}

func (h *Handler) onConnection(
	ctx context.Context, actor domain.Actor, number int64, decide func(domain.ProviderConnection, time.Time) ([]domain.Event, error),
) error {
	id := domain.ConnectionStream(number)
	_, err := h.transact(ctx, request{actor: actor, affinity: id}, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		c, _, err := connection(ctx, u, actor, number)
		if err != nil {
			return err
		}
		if err := actor.Authorize(c.Workspace, c.Tenant, domain.CapProviderManage); err != nil {
			return err
		}
		events, err := decide(c, at)
		u.Append(id, events...)
		return err
	})
	return err
}

// WarnOfExpiry records that the credential of a connection has come near its end, if it has and that was not recorded before. It returns the
// days that it warned of, 0 when there was nothing to say. It may be called at any time, by any number of workers.
func (h *Handler) WarnOfExpiry(ctx context.Context, workspace uuid.UUID, number int64) (int, error) {
	var days int
	id := domain.ConnectionStream(number)
	_, err := h.transact(ctx, request{actor: domain.SystemActor(workspace), affinity: id, surface: "worker", trigger: domain.TriggerSystem},
		func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
			conn, _, err := connection(ctx, u, domain.SystemActor(workspace), number)
			if err != nil {
				return err
			}
			stream := domain.ExpiryStream(conn.ID)
			watch, _, err := eventstore.Load[domain.ExpiryWatch](ctx, u, stream)
			if err != nil {
				return err
			}
			days = 0
			for _, e := range watch.Warn(conn, at) {
				days = e.(domain.CredentialExpiring).Days
				u.Append(stream, e)
			}
			return nil
		})
	if err != nil {
		return 0, err // days may still be written to: see transact
	}
	return days, nil
}
