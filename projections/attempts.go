package projections

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Attempts keeps every start attempt with its outcome, refusals included.
type Attempts struct{}

// Name implements Projection.
func (Attempts) Name() string { return "attempts" }

// Version implements Projection.
func (Attempts) Version() int { return 1 }

// Tables implements ReadModel.
func (Attempts) Tables() []string { return []string{"attempts"} }

// Changes implements ReadModel.
func (Attempts) Changes() map[string][]string { return nil }

type attemptRow struct {
	Attempt       uuid.UUID            `json:"attempt"`
	Workspace     uuid.UUID            `json:"workspace"`
	Tenant        uuid.UUID            `json:"tenant"`
	Connection    *int64               `json:"connection"`
	Operation     domain.OperationType `json:"operation"`
	Outcome       domain.Outcome       `json:"outcome"`
	Reason        *domain.ReasonCode   `json:"reason"`
	Run           *uuid.UUID           `json:"run"`
	RunNumber     *int64               `json:"run_number"`
	Surface       string               `json:"surface"`
	Trigger       domain.Trigger       `json:"trigger"`
	InitiatorKind domain.ActorKind     `json:"initiator_kind"`
	InitiatorID   uuid.UUID            `json:"initiator_id"`
	Facts         domain.Facts         `json:"facts"`
	At            time.Time            `json:"at"`
	Position      int64                `json:"position"`
}

var receipts = names(domain.RunAccepted{}, domain.RunDeduped{}, domain.ScopeBusy{}, domain.StartBlocked{})

// Concerns implements chooser.
func (Attempts) Concerns(event string) bool { return receipts[event] }

// Apply implements Projection. An attempt has one receipt for ever, so rows are only added.
func (Attempts) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	var rows []*attemptRow
	for _, e := range events {
		if row, ok := attemptOf(e); ok {
			rows = append(rows, &row)
		}
	}
	return insertNew(ctx, tx, "attempts", rows)
}

func attemptOf(e Event) (attemptRow, bool) {
	switch d := e.Data.(type) {
	case domain.RunAccepted:
		return receipt(e, d.AttemptFacts, domain.Accepted, "", d.Run, d.Number), true
	case domain.RunDeduped:
		return receipt(e, d.AttemptFacts, domain.Deduped, "", d.Holder.Run, d.Holder.RunNumber), true
	case domain.ScopeBusy:
		return receipt(e, d.AttemptFacts, domain.Busy, "", d.Holder.Run, d.Holder.RunNumber), true
	case domain.StartBlocked:
		return receipt(e, d.AttemptFacts, domain.IsBlocked, d.Reason, uuid.Nil, 0), true
	}
	return attemptRow{}, false
}

func receipt(e Event, a domain.AttemptFacts, o domain.Outcome, reason domain.ReasonCode, run uuid.UUID, number int64) attemptRow {
	row := attemptRow{
		Attempt: a.Attempt, Workspace: e.Workspace, Tenant: a.Tenant, Operation: a.Operation, Outcome: o, Surface: a.Surface,
		Trigger: a.Trigger, InitiatorKind: a.Initiator.Kind, InitiatorID: a.Initiator.ID, Facts: a.Facts, At: e.RecordedAt, Position: e.Position,
	}
	if a.Connection != 0 {
		row.Connection = &a.Connection
	}
	if reason != "" {
		row.Reason = &reason
	}
	if number != 0 {
		row.Run, row.RunNumber = &run, &number
	}
	return row
}
