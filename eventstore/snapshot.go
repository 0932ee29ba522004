package eventstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// snapshotEvery is how many events a load has to fold before it leaves a snapshot.
const snapshotEvery = 200

// fromSnapshot reads a stream from where a fold may begin, in one round trip: the newest snapshot that this code may use, and the events
// after it. Without one the state is empty and the events are all of them.
func fromSnapshot[S domain.State[S]](ctx context.Context, s *Store, stream uuid.UUID) (S, int, []Event, error) {
	var state S
	var version int
	var raw []byte
	var events []Event
	var both pgx.Batch
	both.Queue(`select version, state from snapshots where stream = $1 and schema = $2`, stream, domain.SchemaHash()).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&version, &raw}, func() error { raw = slices.Clone(raw); return nil })
		return err
	})
	both.Queue(`select `+eventColumns+` from events e where e.stream = $1 and e.version > coalesce(
			(select s.version from snapshots s where s.stream = $1 and s.schema = $2), 0)
		order by e.version`, stream, domain.SchemaHash()).Query(func(rows pgx.Rows) (err error) {
		events, err = pgx.CollectRows(rows, scanEvent(false))
		return err
	})
	if err := s.pool.SendBatch(ctx, &both).Close(); err != nil {
		return state, 0, nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	readable := version == 0 || json.Unmarshal(raw, &state) == nil
	if whole := len(events) == 0 || events[0].Version == version+1; readable && whole {
		return state, version, events, nil
	}
	// It cannot be read, or was left between the two queries.
	var empty S
	events, err := s.ReadStream(ctx, stream, 0)
	return empty, 0, events, err
}

// keep leaves a snapshot when a load has folded many events. It is a cache: a failure is logged and costs the next cold load some time.
func (s *Store) keep(ctx context.Context, stream uuid.UUID, state any, version, folded int) {
	if folded < snapshotEvery {
		return
	}
	raw, err := json.Marshal(state)
	if err == nil {
		_, err = s.pool.Exec(ctx, `insert into snapshots as s (stream, version, schema, state) values ($1, $2, $3, $4)
			on conflict (stream) do update set version = excluded.version, schema = excluded.schema, state = excluded.state,
				created_at = clock_timestamp()
			where s.version < excluded.version or s.schema <> excluded.schema`, stream, version, domain.SchemaHash(), string(raw))
	}
	if err != nil {
		s.log.Warn("snapshot not kept", "stream", stream, "err", err)
	}
}
