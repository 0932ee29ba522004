package graph

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Clock tells time and waits for it. Sleep returns nil not before the instant, or the context's error
// as soon as the context ends.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, until time.Time) error
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func randomJitter() float64 { return rand.Float64() }

// throttleKey is the unit Graph throttles by: an application in a tenant, per workload.
type throttleKey struct{ tenant, workload string }

// throttleGate remembers until when each tenant and workload asked to be left alone, for all calls.
type throttleGate struct {
	mu    sync.Mutex
	until map[throttleKey]time.Time
}

// close keeps the gate shut until the instant, or longer if it already was.
func (g *throttleGate) close(k throttleKey, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.After(g.until[k]) {
		g.until[k] = until
	}
}

// opens answers when the gate opens; the zero time when it is open now.
func (g *throttleGate) opens(k throttleKey, now time.Time) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.until[k]
	if ok && !until.After(now) {
		delete(g.until, k)
		return time.Time{}
	}
	return until
}

// retryAfter reads how long an answer asks to wait: seconds, or a date, which is measured against the
// answer's own Date so that a difference of clocks does not shorten the wait (RFC 9110, 10.2.3).
// False when the header is absent or unreadable.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, at.Sub(now)), true
}

// backoff is the wait before try n+1 when the provider named none: exponential with full jitter, never
// below a tenth of its step so that a run of small draws cannot become a storm.
func (c *Client) backoff(n int) time.Duration {
	step := c.limits.BackoffCap
	if n < 16 {
		step = min(step, c.limits.Backoff<<(n-1))
	}
	return max(step/10, time.Duration(c.jitter()*float64(step)))
}
