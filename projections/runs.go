package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Runs keeps the operation runs.
type Runs struct{}

// Name implements Projection.
func (Runs) Name() string { return "runs" }

// Version implements Projection.
func (Runs) Version() int { return 1 }

// Tables implements ReadModel.
func (Runs) Tables() []string { return []string{"runs"} }

// Changes implements ReadModel.
func (Runs) Changes() map[string][]string { return nil }

// Subject is the run, whichever stream the event is of: the release of its scope is an event of the connection.
func (Runs) Subject(e Event) uuid.UUID {
	if run, ok := runKey(e); ok {
		return run
	}
	return e.Stream
}

// Run is an operation run as pages show it.
type Run struct {
	ID                uuid.UUID              `json:"run"`
	Number            int64                  `json:"number"`
	Workspace         uuid.UUID              `json:"workspace"`
	Tenant            uuid.UUID              `json:"tenant"`
	Connection        int64                  `json:"connection"`
	Operation         domain.OperationType   `json:"operation"`
	Identity          string                 `json:"identity"`
	Strict            bool                   `json:"strict"`
	Attempt           uuid.UUID              `json:"attempt"`
	Surface           string                 `json:"surface"`
	Trigger           domain.Trigger         `json:"trigger"`
	InitiatorKind     domain.ActorKind       `json:"initiator_kind"`
	InitiatorID       uuid.UUID              `json:"initiator_id"`
	Inputs            map[string]string      `json:"inputs"`
	Facts             domain.Facts           `json:"facts"`
	Status            domain.ExecutionStatus `json:"execution_status"`
	Outcome           *domain.RunOutcome     `json:"outcome"`
	Reason            *domain.ReasonCode     `json:"reason"`
	Summary           string                 `json:"summary"`
	Diagnostics       map[string]string      `json:"diagnostics"`
	AcceptedAt        time.Time              `json:"accepted_at"`
	StartedAt         *time.Time             `json:"started_at"`
	EndedAt           *time.Time             `json:"ended_at"`
	ScopeReleasedAt   *time.Time             `json:"scope_released_at"`
	Try               int                    `json:"try"`
	Token             int64                  `json:"token"`
	Worker            string                 `json:"worker"`
	Step              string                 `json:"step"`
	Done              int                    `json:"done"`
	Total             int                    `json:"total"`
	WaitingUntil      *time.Time             `json:"waiting_until"`
	WaitingFor        *domain.ReasonCode     `json:"waiting_for"`
	Confirmed         int                    `json:"confirmed"`
	Refused           int                    `json:"refused"`
	Unknown           int                    `json:"unknown"`
	CancelRequestedAt *time.Time             `json:"cancel_requested_at"`
	CancelRequestedBy *uuid.UUID             `json:"cancel_requested_by"`
	Items             []domain.Item          `json:"items"`
	Position          int64                  `json:"position"`
	Parked            bool                   `json:"parked"` // events of it are parked: the row is out of date
}

var runTable = table[uuid.UUID, Run]{name: "runs", key: "run", cast: "uuid[]"}

// Apply implements Projection.
func (Runs) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	return runTable.fold(ctx, tx, events, runKey, runRow)
}

// MarkParked says on the rows that their runs are parked, or no longer.
func (Runs) MarkParked(ctx context.Context, tx pgx.Tx, runs []uuid.UUID, parked bool) error {
	if _, err := tx.Exec(ctx, `update runs set parked = $2 where run = any($1)`, runs, parked); err != nil {
		return fmt.Errorf("mark parked runs: %w", err)
	}
	return nil
}

var runEvents = names(domain.RunAccepted{}, domain.RunStarted{}, domain.RunProgressed{}, domain.RunItemsRecorded{}, domain.RunCancelRequested{},
	domain.RunAwaitingApproval{}, domain.RunRecovered{}, domain.RunCompleted{}, domain.ScopeReleased{})

// Concerns implements chooser.
func (Runs) Concerns(event string) bool { return runEvents[event] }

func runKey(e Event) (uuid.UUID, bool) {
	if !runEvents[e.Name] {
		return uuid.Nil, false
	}
	if released, ok := e.Data.(domain.ScopeReleased); ok {
		return released.Run, true
	}
	return e.Stream, true
}

func runRow(row *Run, e Event) *Run {
	if accepted, ok := e.Data.(domain.RunAccepted); ok && row == nil {
		return acceptedRun(accepted, e)
	}
	if row == nil || row.Position >= e.Position {
		return nil
	}
	row.Position = e.Position
	switch d := e.Data.(type) {
	case domain.RunStarted:
		row.Status, row.Try, row.Token, row.Worker = domain.Running, d.Try, d.Token, d.Worker
		if row.StartedAt == nil {
			row.StartedAt = &e.RecordedAt
		}
		row.Items, row.Confirmed, row.Refused, row.Unknown = nil, 0, 0, 0
	case domain.RunProgressed:
		row.Step, row.Done, row.Total, row.WaitingUntil, row.WaitingFor = d.Step, d.Done, d.Total, orNil(d.WaitingUntil), nil
		if d.WaitingFor != "" {
			row.WaitingFor = &d.WaitingFor
		}
	case domain.RunItemsRecorded:
		row.record(d.Items)
	case domain.RunCancelRequested:
		row.CancelRequestedAt, row.CancelRequestedBy = &e.RecordedAt, &d.By.ID
	case domain.RunAwaitingApproval:
		row.Status, row.WaitingUntil = domain.WaitingApproval, &d.Until
	case domain.RunCompleted:
		row.complete(d, e.RecordedAt)
	case domain.ScopeReleased:
		row.ScopeReleasedAt = &e.RecordedAt
	}
	return row
}

func acceptedRun(d domain.RunAccepted, e Event) *Run {
	op := domain.OperationByType(d.Operation)
	return &Run{
		ID: d.Run, Number: d.Number, Workspace: e.Workspace, Tenant: d.Tenant, Connection: d.Connection, Operation: d.Operation,
		Identity: d.Identity, Strict: op.Rule == domain.Strict, Attempt: d.Attempt, Surface: d.Surface, Trigger: d.Trigger,
		InitiatorKind: d.Initiator.Kind, InitiatorID: d.Initiator.ID, Inputs: d.Inputs, Facts: d.Facts,
		Status: domain.Queued, AcceptedAt: e.RecordedAt, Position: e.Position,
	}
}

func (r *Run) record(items []domain.Item) {
	for _, i := range items {
		switch i.Result {
		case domain.ItemConfirmed:
			r.Confirmed++
		case domain.ItemRefused:
			r.Refused++
		case domain.ItemUnknown:
			r.Unknown++
		}
	}
	r.Items = append(r.Items, items...)
}

func (r *Run) complete(d domain.RunCompleted, at time.Time) {
	r.Status, r.Outcome, r.EndedAt, r.Summary, r.Diagnostics = domain.Completed, &d.Outcome, &at, d.Summary, d.Diagnostics
	r.WaitingUntil, r.WaitingFor = nil, nil
	if d.Reason != "" {
		r.Reason = &d.Reason
	}
}
