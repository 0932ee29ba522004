package projections

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// ErrNoRow says that a read model has no such row, or none that the asker may see.
var ErrNoRow = errors.New("no such row")

// sight is the workspace whose rows an actor may see; uuid.Nil, which has no rows, for somebody who is no member.
func sight(actor domain.Actor) uuid.UUID {
	if !actor.Sees(actor.Workspace, uuid.Nil) {
		return uuid.Nil
	}
	return actor.Workspace
}

// collect scans rows into structs by column position, naming the query in errors.
func collect[R any](rows pgx.Rows, what string) ([]R, error) {
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[R])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}
