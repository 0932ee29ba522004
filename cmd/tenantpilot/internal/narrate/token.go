package narrate

import (
	"fmt"

	"tenantpilot/domain"
)

func ofToken(e domain.Event, name string) string {
	switch e := e.(type) {
	case domain.TokenIssued:
		scope := "everything that its owner may"
		if e.Scopes != nil {
			scope = list(words(e.Scopes))
		}
		return fmt.Sprintf("Issued the API token %s… to %s for %s, %s, until %s.",
			e.Prefix, person(e.Owner, name), scope, tenants(e.Tenants == nil), Instant(e.Expires))
	case domain.TokenRotated:
		return fmt.Sprintf("Gave the API token another secret (%s…), good until %s; the one before goes on until %s.", e.Prefix, Instant(e.Expires), Instant(e.Overlap))
	case domain.TokenRevoked:
		return "Revoked the API token with all of its secrets."
	}
	return ""
}
