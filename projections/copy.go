package projections

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// copyFrom is the number of rows from which COPY is worth its extra round trip.
const copyFrom = 500

// copyRows adds rows to a table with COPY. What it stores is, bit for bit, what json_populate_recordset makes of the same rows: a rebuilt
// table must not differ from one that was kept event by event.
func copyRows[R any](ctx context.Context, tx pgx.Tx, name string, rows []*R) error {
	columns, encode := copyColumns[R]()
	values := make([]any, len(columns))
	_, err := tx.CopyFrom(ctx, pgx.Identifier{name}, columns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		row := reflect.ValueOf(rows[i]).Elem()
		for c, f := range encode {
			v, err := f(row.Field(c))
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", columns[c], err)
			}
			values[c] = v
		}
		return values, nil
	}))
	if err != nil {
		return fmt.Errorf("copy into %s: %w", name, err)
	}
	return nil
}

// copyColumns are the columns of a row struct and how each field becomes a value.
func copyColumns[R any]() (columns []string, encode []func(reflect.Value) (any, error)) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[R]()) {
		column, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		columns, encode = append(columns, column), append(encode, copyValue(f.Type))
	}
	return columns, encode
}

func copyValue(t reflect.Type) func(reflect.Value) (any, error) {
	if t.Kind() == reflect.Pointer {
		value := copyValue(t.Elem())
		return func(v reflect.Value) (any, error) {
			if v.IsNil() {
				return nil, nil
			}
			return value(v.Elem())
		}
	}
	switch {
	case t == reflect.TypeFor[uuid.UUID]():
		return func(v reflect.Value) (any, error) {
			return pgtype.UUID{Bytes: *v.Addr().Interface().(*uuid.UUID), Valid: true}, nil
		}
	case t == reflect.TypeFor[time.Time]():
		return func(v reflect.Value) (any, error) { return roundTime(*v.Addr().Interface().(*time.Time)), nil }
	case t.Kind() == reflect.String:
		return func(v reflect.Value) (any, error) { return v.String(), nil }
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return func(v reflect.Value) (any, error) { return v.Int(), nil }
	case t.Kind() == reflect.Bool:
		return func(v reflect.Value) (any, error) { return v.Bool(), nil }
	case t == reflect.TypeFor[[]string]() || t == reflect.TypeFor[[]uuid.UUID]():
		return func(v reflect.Value) (any, error) { return v.Interface(), nil }
	}
	return func(v reflect.Value) (any, error) { // a json column
		raw, err := json.Marshal(v.Interface())
		if err != nil || bytes.Equal(raw, []byte("null")) {
			return nil, err
		}
		return raw, nil
	}
}

// roundTime rounds to microseconds exactly as Postgres rounds an instant that it reads as text; its binary form would be cut off.
func roundTime(t time.Time) time.Time {
	micros := math.RoundToEven(float64(t.Nanosecond()) / 1e9 * 1e6)
	return t.Truncate(time.Second).Add(time.Duration(micros) * time.Microsecond)
}
