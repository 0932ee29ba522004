package projections

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// ReplayPreview is a frozen selection of refused attempts that its maker may replay, by the database's clock, until its time is up.
type ReplayPreview struct {
	ID        uuid.UUID
	Items     []ReplayItem
	Digest    string // of the items
	Until     time.Time
	Confirmed *time.Time
	Expired   bool
}

// ReplayItem is one start of a preview: the attempt that it repeats, and others that ask for the same work.
type ReplayItem struct {
	Attempt  uuid.UUID   `json:"attempt"`
	Same     []uuid.UUID `json:"same,omitempty"`
	Identity string      `json:"identity"` // of the work, as the gate named it
	At       time.Time   `json:"at"`       // when it was refused
}

// previewsKept is how long a preview stays after its time is up, so that who confirms it too late is told so.
const previewsKept = 24 * time.Hour

// KeepReplayPreview stores a preview as the actor's, with its digest and the end of its time, and forgets the actor's old ones.
func (r Reader) KeepReplayPreview(ctx context.Context, actor domain.Actor, p ReplayPreview) (ReplayPreview, error) {
	if sight(actor) == uuid.Nil {
		return p, ErrNoRow
	}
	items, err := json.Marshal(p.Items)
	if err != nil {
		return p, fmt.Errorf("keep replay preview: %w", err)
	}
	sum := sha256.Sum256(items)
	p.Digest = hex.EncodeToString(sum[:])
	if _, err := r.pool.Exec(ctx, `delete from replay_previews where workspace = $1 and person = $2 and until < clock_timestamp() - $3::interval`,
		actor.Workspace, actor.Ref.ID, previewsKept); err != nil {
		return p, fmt.Errorf("forget replay previews: %w", err)
	}
	if _, err := r.pool.Exec(ctx, `insert into replay_previews (id, workspace, person, items, digest, until)
		values ($1, $2, $3, $4, $5, clock_timestamp() + $6::interval)`,
		p.ID, actor.Workspace, actor.Ref.ID, string(items), p.Digest, domain.ReplayTime); err != nil {
		return p, fmt.Errorf("keep replay preview: %w", err)
	}
	return r.ReplayPreview(ctx, actor, p.ID)
}

// ReplayPreview reads a preview of the actor's own; ErrNoRow otherwise.
func (r Reader) ReplayPreview(ctx context.Context, actor domain.Actor, id uuid.UUID) (ReplayPreview, error) {
	rows, err := r.pool.Query(ctx, `select id, items, digest, until, confirmed_at, until <= clock_timestamp() from replay_previews
		where workspace = $1 and person = $2 and id = $3`, sight(actor), actor.Ref.ID, id)
	return one[ReplayPreview](rows, err, "read replay preview")
}

// ConfirmReplayPreview marks a preview of the actor's own as confirmed and reads it. One whose time is up stays as it is (Expired says so).
func (r Reader) ConfirmReplayPreview(ctx context.Context, actor domain.Actor, id uuid.UUID) (ReplayPreview, error) {
	if _, err := r.pool.Exec(ctx, `update replay_previews set confirmed_at = coalesce(confirmed_at, clock_timestamp())
		where workspace = $1 and person = $2 and id = $3 and until > clock_timestamp()`, sight(actor), actor.Ref.ID, id); err != nil {
		return ReplayPreview{}, fmt.Errorf("confirm replay preview: %w", err)
	}
	return r.ReplayPreview(ctx, actor, id)
}
