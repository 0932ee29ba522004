package page

import (
	"fmt"
	"strconv"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// connectionKind says what kind of connection a row is.
func connectionKind(row view.ConnectionRow) string {
	kind := row.Provider + ", " + row.ConnectionType
	if row.IsDefault {
		kind += ", default"
	}
	return kind
}

// connectionRemarks are the kind of a row and what keeps it from being used.
func connectionRemarks(row view.ConnectionRow) string {
	text := connectionKind(row)
	if row.Held != "" {
		text += ", on hold: " + row.Held
	}
	if row.State.Diagnostics.MigrationReviewRequired {
		text += ", review required"
	}
	return text
}

// stacked is a piece of a stacked bar, in percent of its width.
type stacked struct {
	segment  view.AxisSegment
	x, width string
}

func stack(segments []view.AxisSegment) []stacked {
	total := 0
	for _, s := range segments {
		total += s.Count
	}
	var list []stacked
	at := 0
	for _, s := range segments {
		if s.Count > 0 {
			list = append(list, stacked{s, percent(100 * float64(at) / float64(total)), percent(100 * float64(s.Count) / float64(total))})
			at += s.Count
		}
	}
	return list
}

func segmentTitle(s view.AxisSegment) string { return fmt.Sprintf("%s: %d", s.Badge.Word, s.Count) }

// barSentence says a stacked bar in words.
func barSentence(axis string, segments []view.AxisSegment) string {
	text := axis + ": "
	for i, s := range segments {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", s.Count, s.Badge.Word)
	}
	return text
}

// checksSentence says the dots of the last checks in words.
func checksSentence(checks []view.Badge) string {
	if len(checks) == 0 {
		return "No checks yet"
	}
	text := "Last checks, newest first:"
	for i := len(checks) - 1; i >= 0; i-- {
		text += " " + checks[i].Word
		if i > 0 {
			text += ","
		}
	}
	return text
}

func dotX(i int) string { return strconv.Itoa(i*9 + 4) }

func dotsWidth(checks []view.Badge) string { return strconv.Itoa(max(len(checks)*9, 9)) }

// stripX and stripWidth place a piece of a strip between its ends.
func stripX(s view.AxisStrip, at time.Time) string { return portion(at.Sub(s.From), s.To.Sub(s.From)) }

func stripWidth(s view.AxisStrip, p view.StripPiece) string {
	return portion(p.To.Sub(p.From), s.To.Sub(s.From))
}

func portion(d, of time.Duration) string {
	if of <= 0 {
		return percent(0)
	}
	return percent(100 * float64(d) / float64(of))
}

func stripTitle(p view.StripPiece) string {
	return p.Badge.Word + " since " + view.Absolute(p.From)
}

// fieldID is the element id of a form's field, by its JSON pointer.
func fieldID(pointer string) string { return "field" + slug(pointer) }

func bannerRole(b view.Banner) string {
	if b.Tone == view.Positive || b.Tone == view.Wait {
		return "status"
	}
	return "alert"
}

// connectionTypes are the choices of a connection's type.
var connectionTypes = []view.OptionChoice{{Value: "platform", Label: "Platform"}, {Value: "dedicated", Label: "Dedicated"}}

// resetHelp adds to a field's help that changing it undoes what was verified.
func resetHelp(f view.ConnectionForm, help string) string {
	if f.Resets {
		return help + " Another one will require a new credential, consent and a new check."
	}
	return help
}
