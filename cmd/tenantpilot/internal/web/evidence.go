package web

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/internal/evidence"
)

// Evidence makes proofs about the log. Its errors are those of package evidence.
type Evidence interface {
	// Heads are signed heads, the largest first, below a size (0: from the newest).
	Heads(ctx context.Context, below int64, limit int) ([]evidence.SignedHead, error)
	// ProveInclusion proves which leaf is at a position of the first size events; size 0 is that of the newest head.
	ProveInclusion(ctx context.Context, position, size int64) (evidence.ProofDocument, error)
	// ProveConsistency proves that the first from events are the beginning of the first to; to 0 is the size of the newest head.
	ProveConsistency(ctx context.Context, from, to int64) (evidence.ProofDocument, error)
	// Pack makes a pack that verifies. It does not ask who may see the events.
	Pack(ctx context.Context, r PackRequest) (evidence.Pack, error)
}

// PackRequest says what a pack shall be about: a run, or a tenant and a period.
type PackRequest struct {
	Workspace uuid.UUID
	Tenant    uuid.UUID // stream id
	Run       uuid.UUID // stream id; zero for a tenant
	RunNumber int64
	From, To  time.Time // of a tenant's period
	Since     int64     // size of an earlier head that the reader has; 0: none
}
