package web

import (
	"testing"
	"time"
)

// TestAnActorThatAsksTooFastWaits: a burst is let in, then the rate; others are not touched; what is refused does not count, and what is given
// back can be had again.
func TestAnActorThatAsksTooFastWaits(t *testing.T) {
	t.Parallel()
	l := newLimiter(2, 3)
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for i := range 3 {
		if d := l.wait("ada", now); d != 0 {
			t.Errorf("request %d of the burst waits %s", i, d)
		}
	}
	for range 10 {
		if d := l.wait("ada", now); d != 500*time.Millisecond {
			t.Errorf("after the burst: wait %s, want 500ms", d)
		}
	}
	if d := l.wait("bob", now); d != 0 {
		t.Errorf("somebody else waits %s", d)
	}
	if d := l.wait("ada", now.Add(500*time.Millisecond)); d != 0 {
		t.Errorf("after waiting: %s", d)
	}
	l.giveBack("ada")
	if l.wait("ada", now.Add(500*time.Millisecond)) != 0 || l.wait("ada", now.Add(500*time.Millisecond)) == 0 {
		t.Error("what was given back cannot be had once more")
	}
	if d := l.wait("ada", now); d == 0 || d > 500*time.Millisecond {
		t.Errorf("by a clock that went back: %s", d)
	}
	for range 9 {
		l.giveBack("bob")
	}
	later := now.Add(time.Hour)
	for range 3 {
		l.wait("bob", later)
	}
	if l.wait("bob", later) == 0 {
		t.Error("a bucket holds more than the burst")
	}
	if len(l.buckets) != 1 {
		t.Errorf("%d buckets are kept after an hour, want the one in use", len(l.buckets))
	}
	if d := newLimiter(-1, 0).wait("ada", now); d != 0 {
		t.Errorf("no limit waits %s", d)
	}
}
