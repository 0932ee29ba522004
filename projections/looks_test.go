package projections_test

import (
	"testing"
	"time"

	"tenantpilot/projections"
)

// TestALookIsOneWorkersAtATime: a look that is under way is nobody else's, one whose worker fell silent is the next one's, and what the silent
// one says afterwards does not count.
func TestALookIsOneWorkersAtATime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	claim := func(worker string, lease time.Duration) bool {
		t.Helper()
		mine, err := projections.ClaimLook(t.Context(), f.pool, projections.LookExpiry, worker, lease)
		must(t, err)
		return mine
	}
	finish := func(worker string, next time.Duration) {
		t.Helper()
		must(t, projections.FinishLook(t.Context(), f.pool, projections.LookExpiry, worker, next))
	}
	if !claim("a", 200*time.Millisecond) || claim("b", time.Minute) {
		t.Fatal("a look that is due is not claimed once")
	}
	time.Sleep(250 * time.Millisecond)
	if !claim("b", time.Minute) {
		t.Fatal("a look whose worker fell silent is not taken over")
	}
	finish("a", 0)
	if claim("c", time.Minute) {
		t.Error("the silent worker ended a look that was another's")
	}
	finish("b", time.Hour)
	if claim("c", time.Minute) {
		t.Error("a look is due again at once")
	}
}
