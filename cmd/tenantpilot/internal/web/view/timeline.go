package view

import (
	"net/url"
	"slices"
	"time"
)

// Parameters of the run page that say what of the timeline is shown. Anything else they could say is as if they were not there.
const (
	paramEvents = "events" // problems, pending
	paramOrder  = "order"  // newest
	paramIdle   = "idle"   // hide
)

// timeline filters and orders what the timeline shows, as the page's address says, and offers the other ways as links.
func (f RunFacts) timeline(d *RunDetail) {
	if f.Base == "" {
		return
	}
	filter, order, idle := f.Query.Get(paramEvents), f.Query.Get(paramOrder), f.Query.Get(paramIdle)
	d.EventFilters = f.choices(paramEvents, filter, [][2]string{{"", "All"}, {"pending", "Pending"}, {"problems", "Problems"}})
	d.EventOrders = f.choices(paramOrder, order, [][2]string{{"", "Oldest first"}, {"newest", "Newest first"}})
	d.IdleChoices = f.choices(paramIdle, idle, [][2]string{{"", "All time"}, {"hide", "Hide idle time"}})
	d.Events = slices.DeleteFunc(d.Events, func(e Event) bool {
		switch filter {
		case "pending":
			return e.Tone != Wait
		case "problems":
			return e.Tone != Warning && e.Tone != Negative && e.Tone != Stop
		}
		return false
	})
	if order == "newest" {
		slices.Reverse(d.Events)
	}
	if idle == "hide" {
		d.Steps, d.IdleHidden = withoutIdle(d.Steps, f.Now)
	}
}

func (f RunFacts) choices(key, current string, values [][2]string) []Choice {
	known := slices.ContainsFunc(values, func(v [2]string) bool { return v[0] == current })
	choices := make([]Choice, len(values))
	for i, v := range values {
		q := url.Values{}
		for _, k := range []string{paramEvents, paramOrder, paramIdle} {
			if had := f.Query.Get(k); had != "" {
				q.Set(k, had)
			}
		}
		q.Set(key, v[0])
		if v[0] == "" {
			q.Del(key)
		}
		choices[i] = Choice{Label: v[1], Href: f.Base, Current: v[0] == current || (!known && v[0] == "")}
		if len(q) > 0 {
			choices[i].Href += "?" + q.Encode()
		}
	}
	return choices
}

// withoutIdle leaves out the steps in which the run waited and moves the others together; it says how long it waited.
func withoutIdle(steps []GanttBar, now time.Time) ([]GanttBar, time.Duration) {
	var kept []GanttBar
	var idle time.Duration
	for _, s := range steps {
		end := s.To
		if end.IsZero() {
			end = now
		}
		if s.Idle {
			idle += end.Sub(s.From)
			continue
		}
		s.From = s.From.Add(-idle)
		if !s.To.IsZero() || idle > 0 {
			s.To = end.Add(-idle)
		}
		kept = append(kept, s)
	}
	if len(kept) == 0 {
		return steps, 0 // it only waited: there is nothing else to show
	}
	return kept, idle
}
