package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// table moves whole rows of a read model: load those that a batch touches, fold the events in memory, write them back. Two statements a
// batch and table, however many events. R is a struct whose json names are the columns.
type table[K comparable, R any] struct {
	name string
	key  string // key column
	cast string // its SQL array type
}

func (t table[K, R]) load(ctx context.Context, tx pgx.Tx, keys []K) (map[K]*R, error) {
	found := make(map[K]*R, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	rows, err := tx.Query(ctx, `select `+t.key+`, row_to_json(t) from `+t.name+` t where `+t.key+` = any($1::`+t.cast+`)`, arrayOf(keys))
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", t.name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var key K
		var raw []byte
		if err := rows.Scan(&key, &raw); err != nil {
			return nil, fmt.Errorf("load %s: %w", t.name, err)
		}
		row := new(R)
		if err := json.Unmarshal(raw, row); err != nil {
			return nil, fmt.Errorf("load %s: %w", t.name, err)
		}
		found[key] = row
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load %s: %w", t.name, err)
	}
	return found, nil
}

// save writes changed rows; there are the keys of those that the table already has.
func (t table[K, R]) save(ctx context.Context, tx pgx.Tx, changed map[K]*R, there []K) error {
	there = slices.DeleteFunc(there, func(k K) bool { return changed[k] == nil })
	if err := t.remove(ctx, tx, there); err != nil {
		return err
	}
	if err := insertRows(ctx, tx, t.name, slices.Collect(maps.Values(changed)), ""); err != nil {
		return fmt.Errorf("save %s: %w", t.name, err)
	}
	return nil
}

func (t table[K, R]) remove(ctx context.Context, tx pgx.Tx, keys []K) error {
	if len(keys) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `delete from `+t.name+` where `+t.key+` = any($1::`+t.cast+`)`, arrayOf(keys)); err != nil {
		return fmt.Errorf("remove %s: %w", t.name, err)
	}
	return nil
}

// arrayOf makes keys a parameter. UUIDs go in pgx's own type: it asks a google/uuid for its text, one by one.
func arrayOf[K comparable](keys []K) any {
	ids, ok := any(keys).([]uuid.UUID)
	if !ok {
		return keys
	}
	own := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		own[i] = pgtype.UUID{Bytes: id, Valid: true}
	}
	return own
}

// working is the working set of one batch.
type working[K comparable, R any] struct {
	all     map[K]*R
	changed map[K]*R
}

// fold loads the rows of the keys, applies fn to each event's row, and saves what changed. keyOf names an event's row, false for events
// the table ignores; fn gets nil for a row that does not exist and returns the row to keep (nil leaves it out).
func (t table[K, R]) fold(ctx context.Context, tx pgx.Tx, events []Event, keyOf func(Event) (K, bool), fn func(*R, Event) *R) error {
	var keys []K
	asked := map[K]bool{}
	for _, e := range events {
		if k, ok := keyOf(e); ok && !asked[k] {
			keys, asked[k] = append(keys, k), true
		}
	}
	w := working[K, R]{changed: map[K]*R{}}
	var err error
	if w.all, err = t.load(ctx, tx, keys); err != nil {
		return err
	}
	there := slices.Collect(maps.Keys(w.all))
	for _, e := range events {
		k, ok := keyOf(e)
		if !ok {
			continue
		}
		if row := fn(w.all[k], e); row != nil {
			w.all[k], w.changed[k] = row, row
		}
	}
	return t.save(ctx, tx, w.changed, there)
}

// insertNew adds rows, leaving alone those that are there already.
func insertNew[R any](ctx context.Context, tx pgx.Tx, name string, rows []*R) error {
	if err := insertRows(ctx, tx, name, rows, " on conflict do nothing"); err != nil {
		return fmt.Errorf("insert %s: %w", name, err)
	}
	return nil
}

// insertRows adds rows, in COPY when there are many: then a row that is there already is an error, whatever onConflict says.
func insertRows[R any](ctx context.Context, tx pgx.Tx, name string, rows []*R, onConflict string) error {
	switch {
	case len(rows) == 0:
		return nil
	case len(rows) >= copyFrom:
		return copyRows(ctx, tx, name, rows)
	}
	raw, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `insert into `+name+` select * from json_populate_recordset(null::`+name+`, $1)`+onConflict, string(raw))
	return err
}
