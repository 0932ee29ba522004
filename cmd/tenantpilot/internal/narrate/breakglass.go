package narrate

import (
	"fmt"

	"tenantpilot/domain"
)

func ofBreakGlass(e domain.Event, name string) string {
	switch e := e.(type) {
	case domain.BreakGlassSet:
		return fmt.Sprintf("Set the break-glass password of %s, at the server.", person(e.Person, name))
	case domain.BreakGlassRemoved:
		return fmt.Sprintf("Removed the break-glass account of %s, at the server.", person(e.Person, name))
	case domain.SignInLinkDrawn:
		return fmt.Sprintf("Drew a link that signs %s in once, at the server, good until %s.", person(e.Person, name), Instant(e.Until))
	case domain.BreakGlassUsed:
		return "Signed in with their break-glass account."
	}
	return ""
}
