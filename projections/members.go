package projections

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Members keeps who is a member of which workspace, with which role. Sign-in and tokens look rights up here on every request.
type Members struct{}

// Name implements Projection.
func (Members) Name() string { return "members" }

// Version implements Projection.
func (Members) Version() int { return 1 }

// Tables implements ReadModel.
func (Members) Tables() []string { return []string{"members"} }

// Changes implements ReadModel.
func (Members) Changes() map[string][]string { return nil }

type memberRow struct {
	ID        string      `json:"id"`
	Workspace uuid.UUID   `json:"workspace"`
	Person    uuid.UUID   `json:"person"`
	Role      domain.Role `json:"role"`
	Tenants   []uuid.UUID `json:"tenants"`
	Position  int64       `json:"position"`
}

var memberTable = table[string, memberRow]{"members", "id", "text[]"}

// Apply implements Projection.
func (Members) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	var removed []string
	err := memberTable.fold(ctx, tx, events, memberKey, func(row *memberRow, e Event) *memberRow {
		if row == nil {
			row = &memberRow{}
		}
		if row.Position >= e.Position {
			return nil
		}
		id, _ := memberKey(e)
		switch d := e.Data.(type) {
		case domain.MemberAdded:
			*row = memberRow{id, e.Stream, d.Person, d.Role, d.Tenants, e.Position}
		case domain.MemberRoleChanged:
			*row = memberRow{id, e.Stream, d.Person, d.Role, d.Tenants, e.Position}
		case domain.MemberRemoved:
			*row = memberRow{id, e.Stream, d.Person, "", nil, e.Position}
			removed = append(removed, id)
		}
		return row
	})
	if err != nil || len(removed) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `delete from members where id = any($1) and role = ''`, removed)
	return err
}

func memberKey(e Event) (string, bool) {
	key := func(person uuid.UUID) (string, bool) { return e.Stream.String() + "/" + person.String(), true }
	switch d := e.Data.(type) {
	case domain.MemberAdded:
		return key(d.Person)
	case domain.MemberRoleChanged:
		return key(d.Person)
	case domain.MemberRemoved:
		return key(d.Person)
	}
	return "", false
}
