package narrate

import (
	"fmt"

	"tenantpilot/domain"
)

func ofBreakGlass(e domain.Event) string {
	switch e := e.(type) {
	case domain.BreakGlassSet:
		return fmt.Sprintf("Set the break-glass password of person %s, at the server.", short(e.Person))
	case domain.BreakGlassRemoved:
		return fmt.Sprintf("Removed the break-glass account of person %s, at the server.", short(e.Person))
	case domain.BreakGlassUsed:
		return fmt.Sprintf("Person %s signed in with their break-glass account.", short(e.Person))
	}
	return ""
}
