package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Connections keeps the provider connections in their three axes.
type Connections struct{}

// Name implements Projection.
func (Connections) Name() string { return "connections" }

// Version implements Projection.
func (Connections) Version() int { return 1 }

// Tables implements ReadModel.
func (Connections) Tables() []string { return []string{"provider_connections"} }

// Changes implements ReadModel.
func (Connections) Changes() map[string][]string { return nil }

// Connection is a provider connection as pages show it.
type Connection struct {
	Number                  int64                    `json:"number"`
	Stream                  uuid.UUID                `json:"stream"`
	Workspace               uuid.UUID                `json:"workspace"`
	Tenant                  uuid.UUID                `json:"tenant"`
	Provider                string                   `json:"provider"`
	DisplayName             string                   `json:"display_name"`
	ConnectionType          string                   `json:"connection_type"`
	AppID                   string                   `json:"app_id"`
	Enabled                 bool                     `json:"is_enabled"`
	Consent                 domain.ConsentState      `json:"consent_status"`
	Verification            domain.VerificationState `json:"verification_status"`
	VerificationBefore      domain.VerificationState `json:"verification_before"`
	LastCheckedAt           *time.Time               `json:"last_checked_at"`
	LastErrorReason         domain.ReasonCode        `json:"last_error_reason_code"`
	ConsentErrorReason      domain.ReasonCode        `json:"consent_error_code"`
	Granted                 []string                 `json:"granted"`
	Refused                 []string                 `json:"refused"`
	CredentialKind          string                   `json:"credential_kind"`
	CredentialFingerprint   string                   `json:"credential_fingerprint"`
	CredentialExpiresAt     *time.Time               `json:"credential_expires_at"`
	MigrationReviewRequired bool                     `json:"migration_review_required"`
	HoldReason              string                   `json:"hold_reason"`
	HoldUntil               *time.Time               `json:"hold_until"`
	ScopeRun                *uuid.UUID               `json:"scope_run"`
	ScopeRunNumber          *int64                   `json:"scope_run_number"`
	ScopeOperation          domain.OperationType     `json:"scope_operation"`
	ScopeInitiatorKind      domain.ActorKind         `json:"scope_initiator_kind"`
	ScopeInitiatorID        *uuid.UUID               `json:"scope_initiator_id"`
	ScopeSince              *time.Time               `json:"scope_since"`
	Version                 int                      `json:"version"`
	Position                int64                    `json:"position"`
}

var connectionTable = table[uuid.UUID, Connection]{name: "provider_connections", key: "stream", cast: "uuid[]", at: func(c *Connection) int64 { return c.Position }}

var connectionEvents = names(domain.ProviderConnectionCreated{}, domain.ConnectionChanged{}, domain.ConnectionEnabled{}, domain.ConnectionDisabled{}, domain.MigrationReviewCompleted{}, domain.ConnectionHeld{}, domain.ConnectionReleased{}, domain.CredentialRotated{}, domain.ConsentRequested{}, domain.ConsentGranted{}, domain.ConsentFailed{}, domain.ConsentRevoked{}, domain.VerificationStarted{}, domain.VerificationRecorded{}, domain.ScopeAcquired{}, domain.ScopeReleased{})

// Concerns implements chooser.
func (Connections) Concerns(event string) bool { return connectionEvents[event] }

// Apply implements Projection.
func (Connections) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	return connectionTable.fold(ctx, tx, events, func(e Event) (uuid.UUID, bool) {
		switch e.Data.(type) {
		case domain.ProviderConnectionCreated, domain.ConnectionChanged, domain.ConnectionEnabled, domain.ConnectionDisabled, domain.MigrationReviewCompleted,
			domain.ConnectionHeld, domain.ConnectionReleased, domain.CredentialRotated, domain.ConsentRequested, domain.ConsentGranted,
			domain.ConsentFailed, domain.ConsentRevoked, domain.VerificationStarted, domain.VerificationRecorded,
			domain.ScopeAcquired, domain.ScopeReleased:
			return e.Stream, true
		}
		return uuid.Nil, false
	}, connectionRow)
}

// connectionRow folds with the domain's own Evolve, so that the read model cannot tell another story than the gate, and adds what only
// pages need.
func connectionRow(row *Connection, e Event) *Connection {
	if row == nil {
		row = &Connection{}
	}
	if row.Position >= e.Position {
		return nil
	}
	c := row.State().Evolve(e.Data)
	row.take(c)
	row.Version, row.Position = e.Version, e.Position
	switch d := e.Data.(type) {
	case domain.VerificationRecorded:
		if !d.CheckedAt.IsZero() {
			row.LastCheckedAt = &d.CheckedAt
		}
	case domain.ConsentRequested:
		row.ConsentErrorReason = d.Reason
	case domain.ConsentFailed:
		row.ConsentErrorReason = d.Reason
	case domain.ConsentRevoked:
		row.ConsentErrorReason = d.Reason
	case domain.ConsentGranted:
		row.ConsentErrorReason = ""
	case domain.ConnectionChanged:
		if row.Consent == domain.ConsentUnknown { // of another app
			row.ConsentErrorReason = ""
		}
	}
	return row
}

// State is the aggregate's state that the row says, so that pages ask the domain's own questions.
func (r Connection) State() domain.ProviderConnection {
	c := domain.ProviderConnection{
		ID: r.Stream, Number: r.Number, Workspace: r.Workspace, Tenant: r.Tenant, Provider: r.Provider, DisplayName: r.DisplayName,
		ConnectionType: r.ConnectionType, AppID: r.AppID, Enabled: r.Enabled, Consent: r.Consent, Verification: r.Verification,
		VerificationReason: r.LastErrorReason, VerifiedBefore: r.VerificationBefore, Granted: r.Granted, Refused: r.Refused,
		Credential:              domain.Credential{Kind: r.CredentialKind, Fingerprint: r.CredentialFingerprint, ExpiresAt: orZero(r.CredentialExpiresAt)},
		MigrationReviewRequired: r.MigrationReviewRequired,
		Hold:                    domain.Hold{Reason: r.HoldReason, Until: orZero(r.HoldUntil)},
	}
	if r.ScopeRun != nil {
		c.Scope = domain.ScopeHolder{
			Run: *r.ScopeRun, RunNumber: *r.ScopeRunNumber, Operation: r.ScopeOperation, Since: orZero(r.ScopeSince),
			Initiator: domain.ActorRef{Kind: r.ScopeInitiatorKind, ID: *r.ScopeInitiatorID},
		}
	}
	return c
}

func (r *Connection) take(c domain.ProviderConnection) {
	r.Stream, r.Number, r.Workspace, r.Tenant, r.Provider, r.DisplayName = c.ID, c.Number, c.Workspace, c.Tenant, c.Provider, c.DisplayName
	r.ConnectionType, r.AppID, r.Enabled, r.Consent, r.Verification = c.ConnectionType, c.AppID, c.Enabled, c.Consent, c.Verification
	r.LastErrorReason, r.VerificationBefore, r.Granted, r.Refused = c.VerificationReason, c.VerifiedBefore, c.Granted, c.Refused
	r.CredentialKind, r.CredentialFingerprint = c.Credential.Kind, c.Credential.Fingerprint
	r.CredentialExpiresAt = orNil(c.Credential.ExpiresAt)
	r.MigrationReviewRequired = c.MigrationReviewRequired
	r.HoldReason, r.HoldUntil = c.Hold.Reason, orNil(c.Hold.Until)
	r.ScopeRun, r.ScopeRunNumber, r.ScopeOperation, r.ScopeInitiatorKind, r.ScopeInitiatorID, r.ScopeSince = nil, nil, "", "", nil, nil
	if c.Scope.Held() {
		r.ScopeRun, r.ScopeRunNumber, r.ScopeOperation = &c.Scope.Run, &c.Scope.RunNumber, c.Scope.Operation
		r.ScopeInitiatorKind, r.ScopeInitiatorID, r.ScopeSince = c.Scope.Initiator.Kind, &c.Scope.Initiator.ID, &c.Scope.Since
	}
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

const connectionColumns = `number, stream, workspace, tenant, provider, display_name, connection_type, app_id, is_enabled, consent_status,
	verification_status, verification_before, last_checked_at, last_error_reason_code, consent_error_code, granted, refused,
	credential_kind, credential_fingerprint, credential_expires_at, migration_review_required, hold_reason, hold_until,
	scope_run, scope_run_number, scope_operation, scope_initiator_kind, scope_initiator_id, scope_since, version, position`

// ListConnections reads the connections that an actor sees, of one tenant or (uuid.Nil) of all.
func ListConnections(ctx context.Context, pool querier, actor domain.Actor, tenant uuid.UUID) ([]Connection, error) {
	rows, err := pool.Query(ctx, `select `+connectionColumns+` from provider_connections
		where workspace = $1 and ($2::uuid[] is null or tenant = any($2)) and ($3 = '00000000-0000-0000-0000-000000000000'::uuid or tenant = $3)
		order by tenant, number`, sight(actor), actor.Tenants, tenant)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return collect[Connection](rows, "list connections")
}

// ConnectionByNumber reads a connection that an actor sees; ErrNoRow otherwise.
func ConnectionByNumber(ctx context.Context, pool querier, actor domain.Actor, number int64) (Connection, error) {
	rows, err := pool.Query(ctx, `select `+connectionColumns+` from provider_connections
		where number = $1 and workspace = $2 and ($3::uuid[] is null or tenant = any($3))`, number, sight(actor), actor.Tenants)
	return one[Connection](rows, err, "read connection")
}

// LastChecks reads how the last checks of connections ended, the newest first, at most n each, by number. It looks at no more of a stream
// than its newest few hundred events, so that one which grows with every run costs no more than others.
func (r Reader) LastChecks(ctx context.Context, actor domain.Actor, n int) (map[int64][]domain.VerificationState, error) {
	const newest = 400
	q := &query{}
	q.sees("c", actor)
	rows, err := r.pool.Query(ctx, `select c.number, l.state from provider_connections c cross join lateral (
			select e.payload ->> 'state' as state, e.version from events e
			where e.stream = c.stream and e.version > c.version - `+q.arg(newest)+` and e.version <= c.version and e.name = 'VerificationRecorded'
				and e.payload ->> 'checkedAt' is not null
			order by e.version desc limit `+q.arg(n)+`
		) l where `+q.String()+` order by c.number, l.version desc`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read last checks: %w", err)
	}
	type check struct {
		Number int64
		State  domain.VerificationState
	}
	all, err := collect[check](rows, "read last checks")
	by := make(map[int64][]domain.VerificationState)
	for _, c := range all {
		by[c.Number] = append(by[c.Number], c.State)
	}
	return by, err
}

// ConnectionHistory reads the events of a connection's stream but those of its scope, newest first, at most limit. The caller has checked that
// the connection may be seen.
func (r Reader) ConnectionHistory(ctx context.Context, c Connection, limit int) ([]TimelineEvent, error) {
	rows, err := r.pool.Query(ctx, `select l.position, e.recorded_at, e.name, e.payload, coalesce(p.display_name, '')
		from events e join log l using (seq) left join colleagues p on p.id::text = e.meta #>> '{actor,id}'
		where e.stream = $1 and e.name not in ('ScopeAcquired', 'ScopeReleased') order by e.version desc limit $2`, c.Stream, limit)
	if err != nil {
		return nil, fmt.Errorf("read connection history: %w", err)
	}
	return collect[TimelineEvent](rows, "read connection history")
}

// PlatformTenant is a tenant as the platform's directory shows it: what it is called and whose it is.
type PlatformTenant struct {
	ID            uuid.UUID
	Number        int64
	Name          string
	Default       *int64
	Workspace     uuid.UUID
	WorkspaceName string
}

// PlatformTenants reads the tenants of all workspaces for a platform actor; for anybody else there is nothing (ErrNoRow). Number 0 is all of
// them, else the one with the number.
func (r Reader) PlatformTenants(ctx context.Context, actor domain.Actor, number int64) ([]PlatformTenant, error) {
	if !actor.Platform || !actor.May(domain.CapPlatformDirectory) {
		return nil, ErrNoRow
	}
	rows, err := r.pool.Query(ctx, `select t.tenant, t.number, t.name, t.default_connection, t.workspace, w.name
		from tenants t join workspaces w using (workspace) where $1 = 0 or t.number = $1 order by lower(t.name), t.number`, number)
	if err != nil {
		return nil, fmt.Errorf("list tenants of the platform: %w", err)
	}
	all, err := collect[PlatformTenant](rows, "list tenants of the platform")
	if err == nil && number != 0 && len(all) == 0 {
		err = ErrNoRow
	}
	return all, err
}

// PlatformConnections reads the connections of all tenants, or (not uuid.Nil) of one, for a platform actor; ErrNoRow for anybody else.
func (r Reader) PlatformConnections(ctx context.Context, actor domain.Actor, tenant uuid.UUID) ([]Connection, error) {
	if !actor.Platform || !actor.May(domain.CapPlatformDirectory) {
		return nil, ErrNoRow
	}
	rows, err := r.pool.Query(ctx, `select `+connectionColumns+` from provider_connections
		where $1 = '00000000-0000-0000-0000-000000000000'::uuid or tenant = $1 order by tenant, number`, tenant)
	if err != nil {
		return nil, fmt.Errorf("list connections of the platform: %w", err)
	}
	return collect[Connection](rows, "list connections of the platform")
}
