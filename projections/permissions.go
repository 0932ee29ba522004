package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
)

// consentMoves are the events that say how consent stands. An answer that was not listened to says nothing about it.
var consentMoves = []string{
	domain.ConsentRequested{}.EventName(), domain.ConsentGranted{}.EventName(), domain.ConsentFailed{}.EventName(), domain.ConsentRevoked{}.EventName(),
}

// ConsentAnsweredAt is when the provider last answered with a grant for a connection; zero when what is known of its consent comes from
// elsewhere or is a refusal. It reads the log itself, which is never behind. A change of the app ends a consent without an event of its own:
// the answer is about the connection's consent only where that is granted now.
func ConsentAnsweredAt(ctx context.Context, pool *pgxpool.Pool, connection uuid.UUID) (time.Time, error) {
	var at time.Time
	err := pool.QueryRow(ctx, `select recorded_at from (
			select name, payload, recorded_at from events where stream = $1 and name = any($4) order by version desc limit 1
		) newest where name = $2 and payload ->> 'evidence' = $3`,
		connection, domain.ConsentGranted{}.EventName(), domain.EvidenceCallback, consentMoves).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read consent: %w", err)
	}
	return at, nil
}

// Exercise is the last time that a permission worked, or did not, when a run used it.
type Exercise struct {
	Permission string
	OK         bool
	RunNumber  int64
	Operation  domain.OperationType
	At         time.Time
	Reason     domain.ReasonCode // of a refusal
}

// exercised is how many runs of a connection are looked at: what is older proves nothing about today.
const exercised = 500

// Exercises reads when the permissions of a connection were last used with success and last refused: by checks, which try each, and by the
// operations that declare them.
func (r Reader) Exercises(ctx context.Context, tenant uuid.UUID, connection int64) ([]Exercise, error) {
	var operations, permissions []string
	for _, o := range domain.Catalogue() {
		for _, p := range o.Permissions {
			if !o.Check { // a check says for itself what it tried
				operations, permissions = append(operations, string(o.Type)), append(permissions, p)
			}
		}
	}
	rows, err := r.pool.Query(ctx, `
		with ended as (
			select number, operation, outcome, coalesce(reason, '') as reason, ended_at, items from runs
			where tenant = $1 and connection = $2 and execution_status = 'completed' order by accepted_at desc, number desc limit $3
		), used as (
			select i ->> 'key' as permission, i ->> 'result' = 'confirmed' as ok, number, operation, ended_at, coalesce(i ->> 'reason', '') as reason
			from ended cross join lateral json_array_elements(case json_typeof(items) when 'array' then items else '[]' end) i
			where i ->> 'type' = 'permission' and i ->> 'intent' = 'read'
			union all
			select d.permission, outcome <> 'failed', number, e.operation, ended_at, reason
			from ended e join unnest($4::text[], $5::text[]) d (operation, permission) using (operation)
			where outcome in ('succeeded', 'partially_succeeded') or outcome = 'failed' and reason = any($6)
		)
		select distinct on (permission, ok) permission, ok, number, operation, ended_at, reason
		from used order by permission, ok, ended_at desc, number desc`,
		tenant, connection, exercised, operations, permissions,
		[]domain.ReasonCode{domain.ReasonProviderPermissionDenied, domain.ReasonProviderPermissionMissing})
	if err != nil {
		return nil, fmt.Errorf("read exercised permissions: %w", err)
	}
	return collect[Exercise](rows, "read exercised permissions")
}

// Finding is what a check recorded about its connection.
type Finding struct {
	State     domain.VerificationState
	Reason    domain.ReasonCode
	Granted   []string
	Refused   []string
	CheckedAt time.Time
}

// FindingOf reads what a check run found out; false while it has not, and where what it found was dropped. The answer is looked for among
// the connection's events after the run's admission: what a check finds is recorded before anybody else can use the connection.
func (r Reader) FindingOf(ctx context.Context, run Run) (Finding, bool, error) {
	var payload []byte
	err := r.pool.QueryRow(ctx, `select payload from events where stream = $1 and version > $2 and version <= $2 + $3
			and name = 'VerificationRecorded' and payload ->> 'run' = $4 order by version limit 1`,
		domain.ConnectionStream(run.Connection), run.Facts.ConnectionVersion, scopeEvents, run.ID.String()).Scan(&payload)
	if errors.Is(err, pgx.ErrNoRows) {
		return Finding{}, false, nil
	}
	if err != nil {
		return Finding{}, false, fmt.Errorf("read finding: %w", err)
	}
	e, err := domain.Decode(domain.VerificationRecorded{}.EventName(), payload)
	if err != nil {
		return Finding{}, false, err
	}
	v := e.(domain.VerificationRecorded)
	if v.CheckedAt.IsZero() { // the check ended without a finding; what was known before was put back
		return Finding{}, false, nil
	}
	return Finding{State: v.State, Reason: v.Reason, Granted: v.Granted, Refused: v.Refused, CheckedAt: v.CheckedAt}, true, nil
}
