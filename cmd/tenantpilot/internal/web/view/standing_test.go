package view_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/projections"
)

func TestStandingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 7, 14, 3, 0, 0, time.UTC)
	one, ended := 1, now.Add(-time.Hour)
	s := view.PresentStanding(projections.Standing{
		Lags: []projections.Lag{
			{Projection: "runs", Version: projections.Runs{}.Version(), Position: 90, Behind: 12, Parked: 4},
			{Projection: "attempts", Version: projections.Attempts{}.Version(), Position: 102},
			{Projection: "connections", Version: projections.Connections{}.Version(), Position: 100, Behind: 2},
			{Projection: "audit", Version: projections.Audit{}.Version() + 1, Position: 40, Behind: 62},
		},
		Parked: []projections.ParkedStream{{Projection: "runs", Stream: uuid.New(), Position: 80, Event: "RunProgressed", Attempts: 1, Events: 4, TriedAt: now.Add(-time.Minute)}},
		Rebuilds: []projections.RebuildRow{
			{Projection: "audit", From: &one, To: 2, State: "building", Position: 300, Target: 1500, StartedAt: now.Add(-time.Minute), UpdatedAt: now},
			{Projection: "runs", To: 1, State: "swapped", StartedAt: ended, UpdatedAt: ended, FinishedAt: &ended},
		},
	}, projections.All(), now)
	words := map[string]string{}
	for _, row := range s.Rows {
		words[row.Name] = row.Badge.Word
		if row.Name == "audit" && (row.Rebuild == nil || row.Rebuild.Pace != "5 events a second, about 4 min to go" || row.Rebuild.Share != .2) {
			t.Errorf("the rebuild of audit is %+v", row.Rebuild)
		}
	}
	for name, want := range map[string]string{"runs": "Lacks events", "attempts": "Follows", "connections": "Behind", "audit": "Waits", "tenants": "Not begun"} {
		if words[name] != want {
			t.Errorf("%s: %q, want %q", name, words[name], want)
		}
	}
	if len(s.Rows) != len(projections.All()) || len(s.Ended) != 1 || s.Parked[0].Tried != "1 try, last 1 min ago" {
		t.Errorf("%d rows, ended %+v, parked %+v", len(s.Rows), s.Ended, s.Parked)
	}
}
