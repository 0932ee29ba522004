package client

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
	// failuresInARow is how often a console may fail to answer before waiting ends: it may be restarting.
	failuresInARow = 5
)

// Poll asks again and again, ever less often, until done says of an answer that it is the last. It waits at least as long as Retry-After
// says, and goes on when the console is away for a moment or asks for patience. Other problems end it, and so does ctx.
func (c *Console) Poll(ctx context.Context, r Request, done func(Answer) (bool, error)) (Answer, error) {
	wait, failures := firstPause, 0
	for {
		a, err := c.Do(ctx, r)
		asked := retryAfter(a.Header)
		switch {
		case err == nil:
			failures = 0
			if last, err := done(a); last || err != nil {
				return a, err
			}
		case !passing(err) || failures >= failuresInARow:
			return a, err
		default:
			failures++
		}
		if err := c.pause(ctx, max(wait, asked)); err != nil {
			return a, err
		}
		wait = min(wait*3/2, lastPause)
	}
}

// passing says whether the same question may be answered in a moment.
func passing(err error) bool {
	var away *Unreachable
	var p *Problem
	if errors.As(err, &p) {
		return p.Status == http.StatusTooManyRequests || p.Status == http.StatusBadGateway || p.Status == http.StatusServiceUnavailable ||
			p.Status == http.StatusGatewayTimeout
	}
	return errors.As(err, &away)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
