package page

import "tenantpilot/cmd/tenantpilot/internal/web/view"

// consentVariant makes asking the obvious thing to do while there is neither a link nor consent.
func consentVariant(c view.Consent) string {
	if c.Link == nil && c.Axes.Consent != "granted" {
		return "primary"
	}
	return "outline"
}

func consentSentTone(state string) view.Tone {
	switch state {
	case "open":
		return view.Wait
	case "answered":
		return view.Positive
	case "elsewhere":
		return view.Warning
	}
	return view.Neutral
}

func consentSentIcon(state string) string {
	switch state {
	case "open":
		return "hourglass"
	case "answered":
		return "check"
	case "elsewhere":
		return "info"
	}
	return "clock"
}

func consentSentText(c view.Consent) string {
	switch c.Sent.State {
	case "open":
		return "Waiting for an answer to the newest link, which works until"
	case "answered":
		if c.Axes.Consent == "unknown" || c.Axes.Consent == "required" {
			return "The newest link was answered, but no consent is recorded. If it was given, a check finds out."
		}
		return "The newest link was answered."
	case "elsewhere":
		return "The newest link was answered in another browser, which proves nothing yet. Check the connection to find out."
	}
	return "The newest link expired without an answer."
}

func consentBy(name string) string {
	if name == "" {
		return ""
	}
	return " by " + name
}
