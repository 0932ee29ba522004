package eventstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// OnboardingStream finds in the log the stream of the onboarding session with a public number; uuid.Nil when there is none. A session's
// stream follows from its workspace and directory and not, as a connection's does, from its number. The two belong together for ever.
func (s *Store) OnboardingStream(ctx context.Context, number int64) (uuid.UUID, error) {
	var stream *uuid.UUID
	if err := s.pool.QueryRow(ctx, `select onboarding_stream($1)`, number).Scan(&stream); err != nil {
		return uuid.Nil, fmt.Errorf("find onboarding %d: %w", number, err)
	}
	if stream == nil {
		return uuid.Nil, nil
	}
	return *stream, nil
}
