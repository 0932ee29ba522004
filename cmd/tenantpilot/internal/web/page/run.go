package page

import (
	"strconv"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// runHeadline is the first line of the outcome card: the short reason when
// there is one, else how the run stands.
func runHeadline(run view.RunDetail) string {
	if run.ShortReason != nil {
		return *run.ShortReason
	}
	return view.RunBadge(run.ExecutionStatus, view.String(run.Outcome)).Word
}

func pathIcon(step view.PathStep) string {
	switch {
	case step.State == "ahead":
		return "circle"
	case step.State == "current" && step.Tone == view.Wait:
		return "hourglass"
	case step.State == "current":
		return "contrast"
	case step.Tone == view.Negative:
		return "circle-x"
	case step.Tone == view.Warning:
		return "triangle-alert"
	case step.Tone == view.Stop:
		return "octagon-minus"
	default:
		return "circle-check"
	}
}

func scopeFacts(s view.ProtectedScope) []view.Fact {
	facts := []view.Fact{{Label: "Key", Text: s.Key, Mono: true}, {Label: "State", Text: s.State}}
	if s.HeldFrom != nil {
		facts = append(facts, view.Fact{Label: "Held from", Time: *s.HeldFrom})
	}
	if s.HeldTo != nil {
		facts = append(facts, view.Fact{Label: "Held to", Time: *s.HeldTo})
	}
	if s.HeldFrom != nil && s.HeldTo != nil {
		facts = append(facts, view.Fact{Label: "Held for", Text: view.Duration(s.HeldTo.Sub(*s.HeldFrom).Round(time.Second))})
	}
	if s.FencingToken != 0 {
		facts = append(facts, view.Fact{Label: "Fencing number", Text: strconv.FormatInt(s.FencingToken, 10)})
	}
	if s.ReleasedBy != "" {
		facts = append(facts, view.Fact{Label: "Released by", Text: s.ReleasedBy})
	}
	return facts
}

// cancelText is a cancel in words, up to the time it was asked for.
func cancelText(c view.CancelState) string {
	text := view.CancelBadge(c.State).Word
	if c.Detail != "" {
		text += " " + c.Detail
	}
	if c.By != "" {
		text += " by " + c.By
	}
	return text + ", "
}
