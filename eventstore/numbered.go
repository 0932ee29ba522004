package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// StreamNumbered finds in the log the stream in which an event of opened's name has a public number; uuid.Nil when there is none. It is for
// streams whose id does not follow from their number. Each name wants an index (see onboarding_numbers in the migrations).
func (s *Store) StreamNumbered(ctx context.Context, opened domain.Event, number int64) (uuid.UUID, error) {
	var stream uuid.UUID
	err := s.pool.QueryRow(ctx, `select stream from events where name = '`+opened.EventName()+`' and (payload ->> 'number')::bigint = $1 limit 1`,
		number).Scan(&stream)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, fmt.Errorf("find stream of %s %d: %w", opened.EventName(), number, err)
	}
	return stream, nil
}
