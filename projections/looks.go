package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// LookExpiry is the look at credentials that come near their end.
const LookExpiry = "credential_expiry"

// ClaimLook takes a look that is due, for the length of a lease; false when it is not due or another worker has it. A worker that dies
// leaves it to the next one when the lease is over. Times are the database's.
func ClaimLook(ctx context.Context, pool *pgxpool.Pool, look, worker string, lease time.Duration) (bool, error) {
	tag, err := pool.Exec(ctx, `update looks set worker = $2, lease_until = clock_timestamp() + make_interval(secs => $3)
		where name = $1 and due_at <= clock_timestamp() and lease_until <= clock_timestamp()`, look, worker, lease.Seconds())
	if err != nil {
		return false, fmt.Errorf("claim look %s: %w", look, err)
	}
	return tag.RowsAffected() == 1, nil
}

// FinishLook says that a claimed look is done, and when the next one is due. One whose lease was lost changes nothing.
func FinishLook(ctx context.Context, pool *pgxpool.Pool, look, worker string, next time.Duration) error {
	_, err := pool.Exec(ctx, `update looks set due_at = clock_timestamp() + make_interval(secs => $3), lease_until = '-infinity'
		where name = $1 and worker = $2 and lease_until > clock_timestamp()`, look, worker, next.Seconds())
	if err != nil {
		return fmt.Errorf("finish look %s: %w", look, err)
	}
	return nil
}

// Expiring is an enabled connection whose credential ends within a time.
type Expiring struct {
	Workspace uuid.UUID
	Number    int64
}

// ExpiringWithin finds the enabled connections whose credentials end within a time and have not ended, by the database's clock.
func ExpiringWithin(ctx context.Context, pool *pgxpool.Pool, within time.Duration) ([]Expiring, error) {
	rows, err := pool.Query(ctx, `select workspace, number from provider_connections
		where is_enabled and credential_expires_at > clock_timestamp() and credential_expires_at <= clock_timestamp() + make_interval(secs => $1)
		order by credential_expires_at, number`, within.Seconds())
	if err != nil {
		return nil, fmt.Errorf("find expiring credentials: %w", err)
	}
	return collect[Expiring](rows, "find expiring credentials")
}
