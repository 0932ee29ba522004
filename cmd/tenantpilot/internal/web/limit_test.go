package web

import (
	"testing"
	"time"
)

// TestAnActorThatAsksTooFastWaits: a burst is let in, then the rate; others are not touched; and what is refused does not count.
func TestAnActorThatAsksTooFastWaits(t *testing.T) {
	t.Parallel()
	l := newLimiter(Limits{PerSecond: 2, Burst: 3, StrangersPerSecond: 1, StrangersBurst: 1})
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for i := range 3 {
		if d := l.wait("ada", true, now); d != 0 {
			t.Errorf("request %d of the burst waits %s", i, d)
		}
	}
	for range 10 {
		if d := l.wait("ada", true, now); d != 500*time.Millisecond {
			t.Errorf("after the burst: wait %s, want 500ms", d)
		}
	}
	if d := l.wait("bob", true, now); d != 0 {
		t.Errorf("somebody else waits %s", d)
	}
	if d := l.wait("ada", true, now.Add(500*time.Millisecond)); d != 0 {
		t.Errorf("after waiting: %s", d)
	}
	if l.wait("10.0.0.1", false, now) != 0 || l.wait("10.0.0.1", false, now) == 0 {
		t.Error("a stranger's burst is not one")
	}
	l.wait("new", true, now.Add(time.Hour))
	if len(l.buckets) != 1 {
		t.Errorf("%d buckets are kept after an hour, want the one in use", len(l.buckets))
	}
	if d := newLimiter(Limits{PerSecond: -1}).wait("ada", true, now); d != 0 {
		t.Errorf("no limit waits %s", d)
	}
}
