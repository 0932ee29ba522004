package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/static"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// htmxConfig allows the one extension we use and keeps what people opened open
// through a morph.
const htmxConfig = `{"extensions":"sse","prefix":"","morphIgnore":["data-htmx-powered","open"],"defaultSettleDelay":0}`

func iconShapes(name string) string {
	shapes, ok := static.Icon(name)
	if !ok {
		panic("page: no icon " + name)
	}
	return shapes
}

func id(n int64) string { return strconv.FormatInt(n, 10) }

func slug(parts ...string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(strings.Join(parts, "-")))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// rebuildText is how far a rebuild is, and how fast.
func rebuildText(r view.RebuildLine) string {
	text := fmt.Sprintf("%s, at %d of %d", r.Versions, r.Position, r.Target)
	if r.Pace != "" {
		text += ": " + r.Pace
	}
	return text
}

// capital begins a text with a capital letter.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func unreadCount(n int) string {
	if n > 99 {
		return "99+"
	}
	return strconv.Itoa(n)
}

func variant(b view.Button) string {
	if b.Variant == "" {
		return "outline"
	}
	return b.Variant
}

func tooltip(b view.Button) string {
	if b.Key == "" {
		return ""
	}
	return b.Label + " (" + b.Key + ")"
}

// triggerIcon and triggerWord say what kind of initiator started a run.
func triggerIcon(trigger string) string {
	switch trigger {
	case "schedule":
		return "calendar-clock"
	case "system":
		return "bot"
	case "api":
		return "terminal"
	default:
		return "user"
	}
}

func triggerWord(trigger string) string {
	switch trigger {
	case "schedule":
		return "Schedule"
	case "system":
		return "System"
	case "api":
		return "API token"
	default:
		return "Operator"
	}
}

func chipText(c view.Chip) string {
	text := c.Key + ":" + c.Value
	if c.Negated {
		text = "-" + text
	}
	return text
}

// waitingText says what a queued run waits for, as the sentence in front of the link to the holder.
func waitingText(w view.Waiting) string {
	text := "Waiting for " + w.For
	if w.Holder.Label != "" {
		text += ": "
	}
	return text
}

// shortened is the middle-shortened form of a long machine id; names and codes stay whole.
func shortened(value string) string {
	if len(value) < 32 || strings.ContainsAny(value, " _:/") {
		return value
	}
	return value[:8] + "…" + value[len(value)-4:]
}

func progressText(p view.Progress) string {
	if p.Total == 0 {
		if p.Done() == 0 {
			return ""
		}
		return plural(p.Done(), "item", "items")
	}
	return fmt.Sprintf("%d / %d", p.Done(), p.Total)
}

// progressSentence spells the counts out for screen readers and the outcome card.
func progressSentence(p view.Progress) string {
	text := fmt.Sprintf("%d confirmed, %d refused, %d unknown", p.Confirmed, p.Refused, p.Unknown)
	if p.Total > 0 {
		text += fmt.Sprintf(" of %d", p.Total)
	}
	return text
}

// lasted is how long a run took so far or altogether.
func lasted(start, end, now time.Time) string {
	if end.IsZero() {
		end = now
	}
	return view.Duration(end.Sub(start))
}
