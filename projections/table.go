package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// table moves whole rows of a read model: load those that a batch touches, fold the events in memory, write them back. At most three
// statements a batch and table, however many events: read, change, add. R is a struct whose json names are the columns.
type table[K comparable, R any] struct {
	name string
	key  string // key column
	cast string // its SQL array type
	// at says at which position a row last changed. A table with it has the primary key (key, position), and its rows are found by both: past all
	// their earlier versions, of which there are many when rows change with every run and something keeps Postgres from clearing them away.
	at func(*R) int64
}

func (t table[K, R]) load(ctx context.Context, tx pgx.Tx, keys []K) (map[K]*R, error) {
	found := make(map[K]*R, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	from := t.name + ` t where t.` + t.key + ` = any($1::` + t.cast + `)`
	if t.at != nil {
		from = `unnest($1::` + t.cast + `) k cross join lateral (select * from ` + t.name + ` where ` + t.key + ` = k order by position desc limit 1) t`
	}
	rows, err := tx.Query(ctx, `select t.`+t.key+`, row_to_json(t) from `+from, arrayOf(keys))
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

// standing is what save needs to know of the rows that the table already has: their keys, and where the table has at, their positions.
func (t table[K, R]) standing(rows map[K]*R) map[K]int64 {
	there := make(map[K]int64, len(rows))
	for k, row := range rows {
		there[k] = 0
		if t.at != nil {
			there[k] = t.at(row)
		}
	}
	return there
}

// save writes changed rows. There are those that the table already has, as standing says; save uses the map up. When they are many, they are
// deleted and come back with the new ones, in COPY.
func (t table[K, R]) save(ctx context.Context, tx pgx.Tx, changed map[K]*R, there map[K]int64) error {
	maps.DeleteFunc(there, func(k K, _ int64) bool { return changed[k] == nil })
	if len(there) >= copyFrom {
		if err := t.remove(ctx, tx, slices.Collect(maps.Keys(there))); err != nil {
			return err
		}
		clear(there)
	}
	if err := t.update(ctx, tx, changed, there); err != nil {
		return err
	}
	added := make([]*R, 0, len(changed)-len(there))
	for k, row := range changed {
		if _, known := there[k]; !known {
			added = append(added, row)
		}
	}
	if err := insertRows(ctx, tx, t.name, added, ""); err != nil {
		return fmt.Errorf("save %s: %w", t.name, err)
	}
	return nil
}

// update writes rows over those that are there. Postgres keeps a new version beside the old one, and the indexes as they are, when no indexed
// column changed and the page has room.
func (t table[K, R]) update(ctx context.Context, tx pgx.Tx, changed map[K]*R, there map[K]int64) error {
	if len(there) == 0 {
		return nil
	}
	keys, positions, rows := make([]K, 0, len(there)), make([]int64, 0, len(there)), make([]*R, 0, len(there))
	for k, position := range there {
		keys, positions, rows = append(keys, k), append(positions, position), append(rows, changed[k])
	}
	raw, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("update %s: %w", t.name, err)
	}
	columns, _ := copyColumns[R]()
	which, args := `t.`+t.key+` = any($2::`+t.cast+`)`, []any{string(raw), arrayOf(keys)}
	if t.at != nil {
		which = `(t.` + t.key + `, t.position) in (select * from unnest($2::` + t.cast + `, $3::bigint[]))`
		args = append(args, positions)
	}
	_, err = tx.Exec(ctx, `update `+t.name+` t set (`+strings.Join(columns, ", ")+`) = (select r.`+strings.Join(columns, ", r.")+`)
		from json_populate_recordset(null::`+t.name+`, $1) r where `+which+` and r.`+t.key+` = t.`+t.key, args...)
	if err != nil {
		return fmt.Errorf("update %s: %w", t.name, err)
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
	all, err := t.load(ctx, tx, keys)
	if err != nil {
		return err
	}
	there, changed := t.standing(all), map[K]*R{}
	for _, e := range events {
		k, ok := keyOf(e)
		if !ok {
			continue
		}
		if row := fn(all[k], e); row != nil {
			all[k], changed[k] = row, row
		}
	}
	return t.save(ctx, tx, changed, there)
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
