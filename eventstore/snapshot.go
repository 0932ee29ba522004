package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// snapshotEvery is how many events a load has to fold before it leaves a snapshot.
const snapshotEvery = 200

// base is where a stream's fold begins: the newest snapshot that this code may use, else the empty state.
func base[S domain.State[S]](ctx context.Context, s *Store, stream uuid.UUID) (S, int, error) {
	var state S
	var version int
	var raw []byte
	err := s.pool.QueryRow(ctx, `select version, state from snapshots where stream = $1 and schema = $2`, stream, domain.SchemaHash()).
		Scan(&version, &raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return state, 0, nil
	}
	if err != nil {
		return state, 0, fmt.Errorf("read snapshot of %s: %w", stream, err)
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		s.log.Warn("snapshot not readable, folding from the start", "stream", stream, "err", err)
		var empty S
		return empty, 0, nil
	}
	return state, version, nil
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
