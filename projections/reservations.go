package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
)

// ReservationList keeps the starts that wait for their connection, and how each wait ended.
type ReservationList struct{}

// Name implements Projection.
func (ReservationList) Name() string { return "reservations" }

// Version implements Projection.
func (ReservationList) Version() int { return 1 }

// Tables implements ReadModel.
func (ReservationList) Tables() []string { return []string{"reservations"} }

// Changes implements ReadModel.
func (ReservationList) Changes() map[string][]string { return nil }

// Reservation is a start that waits, or waited, for its connection.
type Reservation struct {
	ID            uuid.UUID              `json:"reservation"`
	Workspace     uuid.UUID              `json:"workspace"`
	Tenant        uuid.UUID              `json:"tenant"`
	Connection    int64                  `json:"connection"`
	Operation     domain.OperationType   `json:"operation"`
	InitiatorKind domain.ActorKind       `json:"initiator_kind"`
	InitiatorID   uuid.UUID              `json:"initiator_id"`
	Holder        int64                  `json:"holder"`
	ReservedAt    time.Time              `json:"reserved_at"`
	Until         time.Time              `json:"until"`
	Ending        *domain.ReservationEnd `json:"ending"`
	EndedAt       *time.Time             `json:"ended_at"`
	Outcome       *domain.Outcome        `json:"outcome"`
	Reason        *domain.ReasonCode     `json:"reason"`
	RunNumber     *int64                 `json:"run_number"`
	Position      int64                  `json:"position"`
}

var reservationTable = table[uuid.UUID, Reservation]{name: "reservations", key: "reservation", cast: "uuid[]"}

var reservationEvents = names(domain.StartReserved{}, domain.ReservationEnded{})

// Concerns implements chooser.
func (ReservationList) Concerns(event string) bool { return reservationEvents[event] }

// Apply implements Projection.
func (ReservationList) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	return reservationTable.fold(ctx, tx, events, func(e Event) (uuid.UUID, bool) {
		switch d := e.Data.(type) {
		case domain.StartReserved:
			return d.ID, true
		case domain.ReservationEnded:
			return d.Reservation, true
		}
		return uuid.Nil, false
	}, reservationRow)
}

func reservationRow(row *Reservation, e Event) *Reservation {
	if row != nil && row.Position >= e.Position {
		return nil
	}
	switch d := e.Data.(type) {
	case domain.StartReserved:
		row = &Reservation{
			ID: d.ID, Workspace: e.Workspace, Tenant: d.Tenant, Connection: d.Connection, Operation: d.Operation,
			InitiatorKind: d.Initiator.Kind, InitiatorID: d.Initiator.ID, Holder: d.Holder, ReservedAt: e.RecordedAt, Until: d.Until,
		}
	case domain.ReservationEnded:
		row.Ending, row.EndedAt = &d.End, &e.RecordedAt
		if d.End == domain.ReservationAdmitted {
			row.Outcome = &d.Outcome
		}
		if d.Reason != "" {
			row.Reason = &d.Reason
		}
		if d.RunNumber != 0 {
			row.RunNumber = &d.RunNumber
		}
	}
	row.Position = e.Position
	return row
}

// DueReservation names a connection whose reservations may be tried.
type DueReservation struct {
	Workspace  uuid.UUID
	Connection int64
}

// DueReservations finds connections that are free, or hold a reservation whose time is up, by the database's clock. The read model may be
// behind the log: who admits decides from the log.
func DueReservations(ctx context.Context, pool *pgxpool.Pool) ([]DueReservation, error) {
	rows, err := pool.Query(ctx, `select distinct r.workspace, r.connection from reservations r
		join provider_connections c on c.number = r.connection
		where r.ending is null and (c.scope_run is null or r.until <= clock_timestamp())`)
	if err != nil {
		return nil, fmt.Errorf("find due reservations: %w", err)
	}
	return collect[DueReservation](rows, "find due reservations")
}

// WaitingStart is a reservation that waits, with the names that a page shows.
type WaitingStart struct {
	ID             uuid.UUID
	Connection     int64
	ConnectionName string
	TenantExternal uuid.UUID
	TenantName     string
	Operation      domain.OperationType
	InitiatorID    uuid.UUID
	InitiatorName  string
	Holder         int64 // number of the run that holds the connection now, else of the one that held it when it was reserved
	ReservedAt     time.Time
	Until          time.Time
}

// Waiting reads the starts that wait, in order, of what an actor sees: of one connection, or (0) of all; of one tenant, or (uuid.Nil) of all.
func (r Reader) Waiting(ctx context.Context, actor domain.Actor, tenant uuid.UUID, connection int64) ([]WaitingStart, error) {
	rows, err := r.pool.Query(ctx, `
		select w.reservation, w.connection, c.display_name, t.external_id, t.name, w.operation, w.initiator_id,
			coalesce(p.display_name, ''), coalesce(c.scope_run_number, w.holder), w.reserved_at, w.until
		from reservations w
		join provider_connections c on c.number = w.connection
		join tenants t on t.tenant = w.tenant
		left join colleagues p on p.id = w.initiator_id
		where w.ending is null and w.workspace = $1 and ($2::uuid[] is null or w.tenant = any($2))
			and ($3 = '00000000-0000-0000-0000-000000000000'::uuid or w.tenant = $3) and ($4 = 0 or w.connection = $4)
		order by w.reserved_at, w.reservation limit 200`, sight(actor), actor.Tenants, tenant, connection)
	if err != nil {
		return nil, fmt.Errorf("list waiting starts: %w", err)
	}
	return collect[WaitingStart](rows, "list waiting starts")
}
