package page

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// Plots are drawn in percent of their width, so they need neither script nor
// style attribute to fit: x and width below are values for SVG attributes.

// span maps instants to a plot's width.
type span struct{ from, to time.Time }

func (s span) at(t time.Time) float64 {
	whole := s.to.Sub(s.from)
	if whole <= 0 {
		return 0
	}
	return min(max(100*float64(t.Sub(s.from))/float64(whole), 0), 100)
}

// x is where t stands.
func (s span) x(t time.Time) string { return percent(s.at(t)) }

// width is how wide [from, to] is, never too thin to see. A zero to is still open.
func (s span) width(from, to time.Time) string {
	if to.IsZero() {
		to = s.to
	}
	return percent(max(s.at(to)-s.at(from), 0.6))
}

// visible says whether any of [from, to] lies in the plot.
func (s span) visible(from, to time.Time) bool {
	return from.Before(s.to) && (to.IsZero() || to.After(s.from))
}

// ticks are the plot's round times: about six, on full minutes or hours.
func (s span) ticks() []time.Time {
	whole := s.to.Sub(s.from)
	var step time.Duration
	for _, step = range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 24 * time.Hour,
	} {
		if whole/step <= 7 {
			break
		}
	}
	var at []time.Time
	for t := s.from.Truncate(step).Add(step); t.Before(s.to); t = t.Add(step) {
		// A label too near an edge would be cut.
		if x := s.at(t); x > 3 && x < 97 {
			at = append(at, t)
		}
	}
	return at
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }

func laneSpan(l view.Lanes) span { return span{l.From, l.To} }

func anyHeld(l view.Lanes) bool {
	return slices.ContainsFunc(l.Lanes, func(lane view.Lane) bool { return len(lane.Holds) > 0 })
}

func laneSummary(l view.Lane) string {
	text := plural(len(l.Bars), "run", "runs")
	if len(l.Marks) > 0 {
		text += ", " + plural(len(l.Marks), "refused start", "refused starts")
	}
	if len(l.Holds) > 0 {
		text += ", on hold"
	}
	return text
}

func barTitle(b view.LaneBar) string {
	title := fmt.Sprintf("%s, run %d: %s", b.Operation, b.RunID, view.RunBadge(b.ExecutionStatus, b.Outcome).Word)
	if !b.To.IsZero() {
		title += ", " + view.Duration(b.To.Sub(b.From))
	}
	return title
}

func markTitle(m view.LaneMark) string {
	return fmt.Sprintf("%s not started: %s", m.Operation, view.StartBadge(m.Status).Word)
}

// part is a horizontal piece of a bar.
type part struct {
	tone     view.Tone
	x, width string
}

func progressParts(p view.Progress) []part {
	var parts []part
	start := 0
	for _, piece := range []struct {
		n    int
		tone view.Tone
	}{{p.Confirmed, view.Positive}, {p.Refused, view.Negative}, {p.Unknown, view.Warning}} {
		if piece.n > 0 {
			parts = append(parts, part{piece.tone, percent(100 * float64(start) / float64(p.Total)), percent(100 * float64(piece.n) / float64(p.Total))})
			start += piece.n
		}
	}
	return parts
}

const hourPlotHeight = 116

// column is one hour of the outcome bars.
type column struct {
	bar      view.HourBar
	x, width string
	pieces   []piece
}

// piece is one outcome within a column, measured in pixels from the top.
type piece struct {
	tone      view.Tone
	y, height string
}

func columns(bars view.HourBars) []column {
	highest := 1
	for _, b := range bars.Bars {
		highest = max(highest, b.Total())
	}
	slot := 100 / float64(max(len(bars.Bars), 1))
	var cols []column
	for i, b := range bars.Bars {
		col := column{bar: b, x: percent(slot*float64(i) + slot*0.12), width: percent(slot * 0.76)}
		bottom := float64(hourPlotHeight)
		for _, p := range outcomeCounts(b) {
			if p.n == 0 {
				continue
			}
			height := max(float64(p.n)/float64(highest)*(hourPlotHeight-4), 2)
			bottom -= height
			col.pieces = append(col.pieces, piece{p.tone, pixels(bottom), pixels(height - 0.5)})
		}
		cols = append(cols, col)
	}
	return cols
}

func pixels(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

type outcomeCount struct {
	word string
	tone view.Tone
	n    int
}

// outcomeCounts are an hour's outcomes from the bottom of the bar upwards.
func outcomeCounts(b view.HourBar) []outcomeCount {
	return []outcomeCount{
		{"succeeded", view.Positive, b.Succeeded},
		{"partly succeeded", view.Warning, b.Partial},
		{"failed", view.Negative, b.Failed},
		{"blocked", view.Stop, b.Blocked},
		{"cancelled", view.Neutral, b.Cancelled},
	}
}

func hourTitle(b view.HourBar) string {
	title := b.Start.UTC().Format("15:04 UTC") + ": " + plural(b.Total(), "run", "runs")
	for _, c := range outcomeCounts(b) {
		if c.n > 0 {
			title += fmt.Sprintf(", %d %s", c.n, c.word)
		}
	}
	return title
}

func ganttSpan(steps []view.GanttBar, now time.Time) span {
	s := span{from: steps[0].From, to: steps[0].From.Add(time.Second)}
	for _, step := range steps {
		end := step.To
		if end.IsZero() {
			end = now
		}
		if step.From.Before(s.from) {
			s.from = step.From
		}
		if end.After(s.to) {
			s.to = end
		}
	}
	return s
}
