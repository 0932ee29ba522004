package projections

import (
	"context"
	"fmt"

	"tenantpilot/domain"
)

// Standing is how the read models stand: how far each is, what was set aside, and what is or was rebuilt.
type Standing struct {
	Lags     []Lag
	Parked   []ParkedStream // the oldest first
	Rebuilds []RebuildRow   // the newest first, those that are open among them
}

// standingListed is how many parked streams and rebuilds are read.
const standingListed = 50

// PlatformStanding reads how the read models stand, for platform people on the console's side of the wall; ErrNoRow for everybody else.
func (r Reader) PlatformStanding(ctx context.Context, actor domain.Actor) (Standing, error) {
	var s Standing
	if !actor.Platform || !actor.May(domain.CapPlatformDirectory) {
		return s, ErrNoRow
	}
	var err error
	if s.Lags, err = Lags(ctx, r.pool); err != nil {
		return s, err
	}
	rows, err := r.pool.Query(ctx, `select * from system_parked($1)`, standingListed)
	if err != nil {
		return s, fmt.Errorf("list parked streams: %w", err)
	}
	if s.Parked, err = collect[ParkedStream](rows, "list parked streams"); err != nil {
		return s, err
	}
	if rows, err = r.pool.Query(ctx, `select * from system_rebuilds($1)`, standingListed); err != nil {
		return s, fmt.Errorf("list rebuilds: %w", err)
	}
	s.Rebuilds, err = collect[RebuildRow](rows, "list rebuilds")
	return s, err
}
