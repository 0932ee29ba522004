package worker

import (
	"context"
	"errors"
	"time"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// expiryLease is how long one look may take before another worker may begin it anew.
const expiryLease = 5 * time.Minute

// watchExpiry looks several times a day, one worker at a time, for credentials that come near their end, until ctx ends. It looks more
// often than once a day so that the warning of the last day does not come in its last hour. What was warned of is an event: a look that was
// broken off, or made twice, warns of nothing again.
func (w *Worker) watchExpiry(ctx context.Context) {
	for ctx.Err() == nil {
		due, err := projections.ClaimLook(ctx, w.store.Pool(), projections.LookExpiry, w.cfg.Name, expiryLease)
		if due && err == nil {
			next := w.cfg.ExpiryLook
			if err = w.lookForExpiry(ctx); err != nil {
				next = 0 // broken off: whoever comes next begins anew
			}
			err = errors.Join(err, w.finishLook(ctx, next))
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("look for expiring credentials", "err", err)
		}
		sleep(ctx, min(time.Minute, w.cfg.ExpiryLook))
	}
}

// finishLook hands the look back, also when the worker is stopping: else nobody would look until its lease is over.
func (w *Worker) finishLook(ctx context.Context, next time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return projections.FinishLook(ctx, w.store.Pool(), projections.LookExpiry, w.cfg.Name, next)
}

func (w *Worker) lookForExpiry(ctx context.Context) error {
	furthest := time.Duration(domain.ExpiryThresholds[0]) * 24 * time.Hour
	found, err := projections.ExpiringWithin(ctx, w.store.Pool(), furthest)
	if err != nil {
		return err
	}
	for _, c := range found {
		days, err := w.commands.WarnOfExpiry(ctx, c.Workspace, c.Number)
		if err != nil {
			return err
		}
		if days > 0 {
			w.log.Info("credential expires", "connection", c.Number, "days", days)
		}
	}
	return nil
}
