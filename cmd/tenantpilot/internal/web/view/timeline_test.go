package view

import (
	"net/url"
	"testing"
	"time"
)

func TestTimelineShowsWhatTheAddressSays(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)
	detail := func() RunDetail {
		return RunDetail{
			Events: []Event{{Position: 1, Tone: Neutral}, {Position: 2, Tone: Wait}, {Position: 3, Tone: Warning}, {Position: 4, Tone: Negative}},
			Steps: []GanttBar{
				{Label: "Queued", From: start, To: start.Add(10 * time.Second), Idle: true},
				{Label: "Read", From: start.Add(10 * time.Second), To: start.Add(14 * time.Second)},
				{Label: "Waiting", From: start.Add(14 * time.Second), To: start.Add(44 * time.Second), Idle: true},
				{Label: "Read more", From: start.Add(44 * time.Second)},
			},
		}
	}
	for query, want := range map[string][]int64{
		"": {1, 2, 3, 4}, "events=problems": {3, 4}, "events=pending": {2}, "order=newest": {4, 3, 2, 1}, "events=problems&order=newest": {4, 3},
		"events=other&order=x&idle=y": {1, 2, 3, 4},
	} {
		q, _ := url.ParseQuery(query)
		d := detail()
		RunFacts{Base: "/admin/operations/7", Query: q, Now: start.Add(50 * time.Second)}.timeline(&d)
		var got []int64
		for _, e := range d.Events {
			got = append(got, e.Position)
		}
		if len(got) != len(want) || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("%q: events %v, want %v", query, got, want)
		}
		for _, choices := range [][]Choice{d.EventFilters, d.EventOrders, d.IdleChoices} {
			current := 0
			for _, c := range choices {
				if c.Current {
					current++
				}
			}
			if current != 1 {
				t.Errorf("%q: %d of %v are current", query, current, choices)
			}
		}
	}
	d := detail()
	RunFacts{Base: "/x", Query: url.Values{"idle": {"hide"}, "order": {"newest"}}, Now: start.Add(50 * time.Second)}.timeline(&d)
	if len(d.Steps) != 2 || d.IdleHidden != 40*time.Second || !d.Steps[0].From.Equal(start) || !d.Steps[1].From.Equal(start.Add(4*time.Second)) {
		t.Errorf("without idle time: %v, %s hidden", d.Steps, d.IdleHidden)
	}
	if got := d.EventFilters[2].Href; got != "/x?events=problems&idle=hide&order=newest" {
		t.Errorf("a link keeps the other choices: %s", got)
	}
}
