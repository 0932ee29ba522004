package page

import (
	"slices"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// withoutDialog is the shell of a page that is itself the start form: a second
// one in a dialog would repeat its element ids.
func withoutDialog(shell view.Shell) view.Shell {
	shell.StartHref = ""
	return shell
}

func outcomeTone(o view.StartOutcome) string { return "tone-" + string(view.StartBadge(o.Status).Tone) }

func outcomeHeadline(o view.StartOutcome) string {
	if o.Headline != "" {
		return o.Headline
	}
	return o.OperatorMessage
}

func actionVariant(i int) string {
	if i == 0 {
		return "primary"
	}
	return "outline"
}

// reversed puts the obvious action last, where the end of the row is.
func reversed(actions []view.ActionLink) []view.ActionLink {
	out := slices.Clone(actions)
	slices.Reverse(out)
	return out
}

// outcomeFacts are the connection and the run in front of the presenter's facts.
func outcomeFacts(o view.StartOutcome) []view.Fact {
	var facts []view.Fact
	if o.ProviderConnection != nil {
		facts = append(facts, view.Fact{Label: "Connection", Text: o.ProviderConnection.Label, Href: o.ProviderConnection.Href})
	}
	if o.Run != nil {
		badge := view.RunBadge(o.Run.Status, "")
		facts = append(facts, view.Fact{Label: "Run", Text: id(o.Run.ID), Href: o.Run.URL, Badge: &badge})
	}
	return append(facts, o.Facts...)
}
