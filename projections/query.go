package projections

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrNoRow says that a read model has no such row, or none that the asker may see.
var ErrNoRow = errors.New("no such row")

// collect scans rows into structs by column position, naming the query in errors.
func collect[R any](rows pgx.Rows, what string) ([]R, error) {
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[R])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}
