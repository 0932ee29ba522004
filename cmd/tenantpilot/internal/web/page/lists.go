package page

import (
	"fmt"
	"strings"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// stackedColumn is one bar of StackedBars.
type stackedColumn struct {
	href, title string
	start       time.Time
	x, width    string
	every       int // how many columns share a label
	pieces      []piece
}

func stackedColumns(bars view.StackedHours) []stackedColumn {
	highest := 1
	for _, h := range bars.Hours {
		highest = max(highest, h.Total())
	}
	slot := 100 / float64(max(len(bars.Hours), 1))
	var cols []stackedColumn
	for i, h := range bars.Hours {
		col := stackedColumn{
			href: h.Href, title: stackedTitle(bars, h), start: h.Start, x: percent(slot*float64(i) + slot*0.12), width: percent(slot * 0.76),
			every: max(1, (len(bars.Hours)+3)/4),
		}
		bottom := float64(hourPlotHeight)
		for s, n := range h.Counts {
			if n == 0 {
				continue
			}
			height := max(float64(n)/float64(highest)*(hourPlotHeight-4), 2)
			bottom -= height
			col.pieces = append(col.pieces, piece{bars.Series[s].Tone, pixels(bottom), pixels(height - 0.5)})
		}
		cols = append(cols, col)
	}
	return cols
}

func stackedTitle(bars view.StackedHours, h view.StackedHour) string {
	parts := []string{}
	for s, n := range h.Counts {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, bars.Series[s].Word))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	return view.Absolute(h.Start) + ": " + strings.Join(parts, ", ")
}

// ruleIcon and ruleWord say how a step of the gate stands.
func ruleIcon(s view.RuleStep, outcome string) string {
	switch {
	case s.State == "passed", s.State == "decided" && outcome == "accepted":
		return "check"
	case s.State == "decided":
		return view.StartBadge(outcome).Icon
	}
	return "circle-dashed"
}

func ruleWord(s view.RuleStep, outcome string) string {
	switch {
	case s.State == "passed":
		return "passed"
	case s.State == "decided" && outcome == "accepted":
		return "passed, so the start was accepted"
	case s.State == "decided":
		return "decided: " + strings.ToLower(view.StartBadge(outcome).Word)
	}
	return "not asked"
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
