package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// AttemptReplays keeps which refused attempts were tried again, by whom and as which attempt.
type AttemptReplays struct{}

// Name implements Projection.
func (AttemptReplays) Name() string { return "attempt_replays" }

// Version implements Projection.
func (AttemptReplays) Version() int { return 1 }

// Tables implements ReadModel.
func (AttemptReplays) Tables() []string { return []string{"attempt_replays"} }

// Changes implements ReadModel.
func (AttemptReplays) Changes() map[string][]string { return nil }

type attemptReplayRow struct {
	Workspace uuid.UUID        `json:"workspace"`
	Attempt   uuid.UUID        `json:"attempt"`
	Tenant    *uuid.UUID       `json:"tenant"`
	Replay    uuid.UUID        `json:"replay"`
	Preview   uuid.UUID        `json:"preview"`
	Together  *uuid.UUID       `json:"together"`
	ByKind    domain.ActorKind `json:"by_kind"`
	ByID      uuid.UUID        `json:"by_id"`
	At        time.Time        `json:"at"`
	Position  int64            `json:"position"`
}

var replayEvents = names(domain.AttemptReplayed{})

// Concerns implements chooser.
func (AttemptReplays) Concerns(event string) bool { return replayEvents[event] }

// Apply implements Projection. An attempt is replayed once, so rows are only added.
func (AttemptReplays) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	var rows []*attemptReplayRow
	for _, e := range events {
		d, ok := e.Data.(domain.AttemptReplayed)
		if !ok {
			continue
		}
		row := &attemptReplayRow{
			Workspace: e.Workspace, Attempt: d.Attempt, Replay: d.Replay, Preview: d.Preview, ByKind: d.By.Kind, ByID: d.By.ID,
			At: e.RecordedAt, Position: e.Position,
		}
		if e.Tenant != uuid.Nil {
			row.Tenant = &e.Tenant
		}
		if d.With != uuid.Nil {
			row.Together = &d.With
		}
		rows = append(rows, row)
	}
	return insertNew(ctx, tx, "attempt_replays", rows)
}

// DoneSince is a run that has done, or is doing, the work of an identity.
type DoneSince struct {
	Identity string
	Number   int64
	Active   bool // else it succeeded
	At       time.Time
}

// DoneSince finds, of each identity, the newest run that an actor sees, was accepted since an instant, and is active or has succeeded.
func (r Reader) DoneSince(ctx context.Context, actor domain.Actor, identities []string, since time.Time) ([]DoneSince, error) {
	q := &query{}
	q.sees("r", actor)
	q.and(`r.identity = any(` + q.arg(identities) + `::text[])`)
	q.and(`r.accepted_at >= ` + q.arg(since))
	rows, err := r.pool.Query(ctx, `select distinct on (r.identity) r.identity, r.number, r.ended_at is null, r.accepted_at
		from runs r where `+q.String()+` and (r.ended_at is null or r.outcome = 'succeeded')
		order by r.identity, r.accepted_at desc`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("find runs since: %w", err)
	}
	return collect[DoneSince](rows, "find runs since")
}
