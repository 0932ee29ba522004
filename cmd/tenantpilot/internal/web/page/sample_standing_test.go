package page_test

import (
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

func sampleStanding() view.Standing {
	follows := view.Badge{Icon: "circle-check", Word: "Follows", Tone: view.Positive}
	ended := ago(26 * time.Hour)
	return view.Standing{
		Now: now,
		Rows: []view.StandingRow{
			{Name: "runs", Badge: view.Badge{Icon: "triangle-alert", Word: "Lacks events", Tone: view.Warning}, Text: "It follows the log, but for the streams below.", Version: "1", Position: 4_182_330, Behind: 12, Parked: 4},
			{Name: "attempts", Badge: follows, Text: "It has all of the log.", Version: "1", Position: 4_182_342},
			{
				Name: "audit", Badge: view.Badge{Icon: "circle-pause", Word: "Waits", Tone: view.Wait}, Text: "Its tables hold another version: it is read as it is until it is rebuilt.",
				Version: "1, this program's is 2", Position: 4_000_000, Behind: 182_342,
				Rebuild: &view.RebuildLine{
					Name: "audit", Badge: view.Badge{Icon: "rotate-cw", Word: "Building", Tone: view.Active}, Versions: "version 1 to 2", Position: 1_050_000,
					Target: 4_182_342, Share: .25, Pace: "17500 events a second, about 2 min to go", Started: ago(time.Minute),
				},
			},
		},
		Parked: []view.ParkedRow{{
			Name: "runs", Stream: sampleAttemptID, Position: 4_100_212, Event: "RunProgressed", Events: 4, Tried: "3 tries, last 20 min ago", Since: ago(3 * time.Hour),
			Cause: `new row for relation "runs" violates check constraint "runs_total"`,
		}},
		Ended: []view.RebuildLine{{
			Name: "runs", Badge: view.Badge{Icon: "circle-check", Word: "Swapped in", Tone: view.Positive}, Versions: "version 1 to 1", Note: "the rows are the same",
			Started: ended, Finished: &ended,
		}},
	}
}
