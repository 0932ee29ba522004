package view

import (
	"fmt"
	"strconv"
	"time"

	"tenantpilot/projections"
)

// ParseInstant reads a date or a time as people write it, in UTC where it says nothing else; false for anything else.
func ParseInstant(text string) (time.Time, bool) {
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05 UTC", time.DateTime, "2006-01-02 15:04", time.DateOnly,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), t.UTC().Year() >= 1 && t.UTC().Year() <= 9999
		}
	}
	return time.Time{}, false
}

// ParsePlace reads a place in the log, a position or what ParseInstant reads.
func ParsePlace(text string) (projections.When, bool) {
	if position, err := strconv.ParseInt(text, 10, 64); err == nil {
		return projections.When{Position: position}, position > 0
	}
	at, ok := ParseInstant(text)
	return projections.When{Time: at}, ok
}

// Duration is a length of time in two units at most: "1 m 12 s".
func Duration(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d m %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %02d m", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d %02d h", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// Usually words how long such runs take: "usually 7-9 min", empty when unknown.
func Usually(from, to time.Duration) string {
	if to == 0 {
		to = from
	}
	if to == 0 {
		return ""
	}
	if to < 2*time.Minute {
		low, high := int(from.Seconds()), int(to.Seconds())
		if low == high || low == 0 {
			return fmt.Sprintf("usually %d s", high)
		}
		return fmt.Sprintf("usually %d-%d s", low, high)
	}
	low, high := int(from.Round(time.Minute).Minutes()), int(to.Round(time.Minute).Minutes())
	if low == high || low == 0 {
		return fmt.Sprintf("usually %d min", high)
	}
	return fmt.Sprintf("usually %d-%d min", low, high)
}

// Relative is t as seen from now: "4 min ago", "in 2 h". The browser's script
// uses the same words.
func Relative(t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		return "in " + roughly(-d)
	}
	if d < 5*time.Second {
		return "just now"
	}
	return roughly(d) + " ago"
}

func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d", int(d.Hours())/24)
	}
}

// Absolute is t with zone and seconds, as tooltips and audit pages show it.
func Absolute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Clock is the time of day of t in UTC.
func Clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// Instant is t as a machine reads it.
func Instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }
