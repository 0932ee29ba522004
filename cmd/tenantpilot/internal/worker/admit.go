package worker

import (
	"context"
	"time"

	"tenantpilot/projections"
)

// admitReservations tries the starts that wait for a connection whenever the log has grown, and every Poll, until ctx ends. What is due
// follows from what is stored, not from having seen a run end: a worker that was down, or died in between, has missed nothing.
func (w *Worker) admitReservations(ctx context.Context) {
	for ctx.Err() == nil {
		grown := w.store.Sequenced()
		due, err := projections.DueReservations(ctx, w.store.Pool())
		if err != nil && ctx.Err() == nil {
			w.log.Warn("look for reservations", "err", err)
		}
		for _, d := range due {
			if n, err := w.commands.AdmitNext(ctx, d.Workspace, d.Connection); err != nil && ctx.Err() == nil {
				w.log.Warn("admit reservation", "connection", d.Connection, "err", err)
			} else if n > 0 {
				w.log.Info("reservations ended", "connection", d.Connection, "count", n)
			}
		}
		t := time.NewTimer(w.cfg.Poll)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-grown:
			sleep(ctx, admitPause)
		}
		t.Stop()
	}
}

// admitPause bounds how often a busy log is looked at, and lets the read model follow.
const admitPause = 50 * time.Millisecond
