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
	tenantID := domain.TenantStream(c.Actor.Workspace, c.Tenant)
	var conn domain.ProviderConnection
	_, err = h.transact(ctx, request{actor: c.Actor, affinity: tenantID}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		t, err := tenant(ctx, u, c.Actor, tenantID)
		if err != nil {
			return err
		}
		if err := c.Actor.Authorize(t.Workspace, t.ID, domain.CapProviderManage); err != nil {
			return err
		}
		conn, err = h.addConnection(u, t, domain.ProviderConnectionCreated{
			Number: number, DisplayName: c.DisplayName, ConnectionType: c.ConnectionType, AppID: h.appOf(c.ConnectionType, c.AppID),
			MigrationReviewRequired: c.MigrationReviewRequired,
		})
		return err
	})
	if err != nil {
		return domain.ProviderConnection{}, err
	}
	return conn, nil
}

// appOf is the application that a connection uses: the named one, or for the platform's type our own.
func (h *Handler) appOf(connectionType, named string) string {
	if named == "" && connectionType == "platform" {
		return h.PlatformApp
	}
	return named
}

// addConnection appends a connection of a tenant, as its default when it has none. One with our own application needs no credential of its own.
func (h *Handler) addConnection(u *eventstore.Unit, t domain.Tenant, n domain.ProviderConnectionCreated) (domain.ProviderConnection, error) {
	n.Connection, n.Workspace, n.Tenant, n.Provider = domain.ConnectionStream(n.Number), t.Workspace, t.ID, "microsoft"
	events, err := domain.CreateConnection(domain.ProviderConnection{}, n)
	if err != nil {
		return domain.ProviderConnection{}, err
	}
	conn := domain.Fold(domain.ProviderConnection{}, events...)
	if conn.OfPlatform(h.PlatformApp) {
		ours, err := conn.TakePlatformCredential(h.PlatformApp)
		if err != nil {
			return domain.ProviderConnection{}, err
		}
		events, conn = append(events, ours...), domain.Fold(conn, ours...)
	}
	u.Append(conn.ID, events...)
	if t.DefaultConnection == 0 {
		chosen, err := t.ChooseDefault(conn)
		if err != nil {
			return domain.ProviderConnection{}, err
		}
		u.Append(t.ID, chosen...)
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

// ChangeConnection gives a connection other settings. IfMatch is the tag (domain.ProviderConnection.SettingsTag) of those that the actor has
// seen; when they are no longer the ones, the change is refused as stale. Empty changes whatever is there.
type ChangeConnection struct {
	Actor       domain.Actor
	Connection  int64
	IfMatch     string
	DisplayName string
	Type        string // "platform" or "dedicated"
	AppID       string
}

// ChangeConnection carries a ChangeConnection out.
func (h *Handler) ChangeConnection(ctx context.Context, c ChangeConnection) error {
	return h.onConnection(ctx, c.Actor, c.Connection, func(conn domain.ProviderConnection, _ time.Time) ([]domain.Event, error) {
		if c.IfMatch != "" && c.IfMatch != conn.SettingsTag() {
			return nil, domain.ErrStale()
		}
		events, err := conn.Change(domain.ConnectionChanged{DisplayName: c.DisplayName, ConnectionType: c.Type, AppID: h.appOf(c.Type, c.AppID)})
		changed := domain.Fold(conn, events...)
		if err != nil || changed.Credential.Kind != "" || !changed.OfPlatform(h.PlatformApp) {
			return events, err
		}
		ours, err := changed.TakePlatformCredential(h.PlatformApp)
		return append(events, ours...), err
	})
}

// MakeDefault makes a connection the one that its tenant's operations use when none is named.
type MakeDefault struct {
	Actor      domain.Actor
	Connection int64
}

// MakeDefault carries a MakeDefault out.
func (h *Handler) MakeDefault(ctx context.Context, c MakeDefault) error {
	id := domain.ConnectionStream(c.Connection)
	_, err := h.transact(ctx, request{actor: c.Actor, affinity: id}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		conn, _, err := connection(ctx, u, c.Actor, c.Connection)
		if err != nil {
			return err
		}
		t, err := tenant(ctx, u, c.Actor, conn.Tenant)
		if err != nil {
			return err
		}
		if err := c.Actor.Authorize(t.Workspace, t.ID, domain.CapProviderManage); err != nil {
			return err
		}
		events, err := t.ChooseDefault(conn)
		u.Append(t.ID, events...)
		return err
	})
	return err
}

// HoldConnection keeps operations from starting on a connection until it is released, or until an instant.
type HoldConnection struct {
	Actor      domain.Actor
	Connection int64
	Reason     string
	Until      time.Time // zero: until released
}

// HoldConnection carries a HoldConnection out.
func (h *Handler) HoldConnection(ctx context.Context, c HoldConnection) error {
	return h.onConnectionWith(ctx, c.Actor, c.Connection, domain.CapHoldManage,
		func(conn domain.ProviderConnection, at time.Time) ([]domain.Event, error) {
			return conn.PutOnHold(c.Reason, c.Until, at)
		})
}

// ReleaseConnection lifts a connection's hold, for a reason.
type ReleaseConnection struct {
	Actor      domain.Actor
	Connection int64
	Reason     string
}

// ReleaseConnection carries a ReleaseConnection out.
func (h *Handler) ReleaseConnection(ctx context.Context, c ReleaseConnection) error {
	return h.onConnectionWith(ctx, c.Actor, c.Connection, domain.CapHoldManage,
		func(conn domain.ProviderConnection, _ time.Time) ([]domain.Event, error) {
			return conn.LiftHold(c.Reason)
		})
}

// CompleteMigrationReview says that the actor has looked at an imported connection.
type CompleteMigrationReview struct {
	Actor      domain.Actor
	Connection int64
}

// CompleteMigrationReview carries a CompleteMigrationReview out.
func (h *Handler) CompleteMigrationReview(ctx context.Context, c CompleteMigrationReview) error {
	return h.onConnection(ctx, c.Actor, c.Connection, func(conn domain.ProviderConnection, _ time.Time) ([]domain.Event, error) {
		return conn.CompleteMigrationReview()
	})
}

// Connection is a connection as the log has it, with its version, for those who see it: what a page after one's own write waits for.
func (h *Handler) Connection(ctx context.Context, actor domain.Actor, number int64) (domain.ProviderConnection, int, error) {
	c, version, err := eventstore.Current[domain.ProviderConnection](ctx, h.store, domain.ConnectionStream(number))
	if err != nil {
		return c, 0, err
	}
	if !c.Exists() || !actor.Sees(c.Workspace, c.Tenant) {
		return domain.ProviderConnection{}, 0, domain.ErrNotFound()
	}
	return c, version, nil
}

// RotateCredential records that another credential is in use. The secret itself goes to the vault beforehand; here are only its
// fingerprint and its expiry. Of kind platform it is our own application's.
type RotateCredential struct {
	Actor      domain.Actor
	Connection int64
	Credential domain.Credential
}

// RotateCredential carries a RotateCredential out.
func (h *Handler) RotateCredential(ctx context.Context, c RotateCredential) error {
	return h.onConnection(ctx, c.Actor, c.Connection, func(conn domain.ProviderConnection, _ time.Time) ([]domain.Event, error) {
		if c.Credential.Kind == domain.CredentialPlatform {
			return conn.TakePlatformCredential(h.PlatformApp)
		}
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
	return h.onConnectionWith(ctx, actor, number, domain.CapProviderManage, decide)
}

func (h *Handler) onConnectionWith(
	ctx context.Context, actor domain.Actor, number int64, needs domain.Capability,
	decide func(domain.ProviderConnection, time.Time) ([]domain.Event, error),
) error {
	id := domain.ConnectionStream(number)
	_, err := h.transact(ctx, request{actor: actor, affinity: id}, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		c, _, err := connection(ctx, u, actor, number)
		if err != nil {
			return err
		}
		if err := actor.Authorize(c.Workspace, c.Tenant, needs); err != nil {
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
