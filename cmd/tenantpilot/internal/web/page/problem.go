package page

import (
	"strings"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

func problemIcon(status int) string {
	switch status {
	case 401, 403:
		return "lock"
	case 404, 410:
		return "search"
	default:
		return "triangle-alert"
	}
}

func problemTone(status int) view.Tone {
	switch {
	case status == 404 || status == 410:
		return view.Neutral
	case status < 500:
		return view.Stop
	default:
		return view.Negative
	}
}

func problemFacts(p view.Problem) []view.Fact {
	var facts []view.Fact
	if p.Needs != "" {
		facts = append(facts, view.Fact{Label: "Needs", Text: p.Needs, Mono: true})
	}
	if len(p.Ask) > 0 {
		facts = append(facts, view.Fact{Label: "Ask", Text: strings.Join(p.Ask, ", ")})
	}
	if p.ObjectID != "" {
		facts = append(facts, view.Fact{Label: "Looked for", Text: p.ObjectID, Mono: true})
	}
	if p.ReasonCode != "" {
		facts = append(facts, view.Fact{Label: "Code", Text: p.ReasonCode, Mono: true})
	}
	if p.RequestID != "" {
		facts = append(facts, view.Fact{Label: "Request id", Text: p.RequestID, Mono: true})
	}
	return facts
}
