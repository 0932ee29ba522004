package narrate

import (
	"fmt"

	"tenantpilot/domain"
)

func ofReplay(e domain.Event) string {
	r, ok := e.(domain.AttemptReplayed)
	switch {
	case !ok:
		return ""
	case r.With != (domain.AttemptReplayed{}).With:
		return fmt.Sprintf("Replayed as attempt %s, together with attempt %s, which asked for the same work.", short(r.Replay), short(r.With))
	}
	return fmt.Sprintf("Replayed as attempt %s.", short(r.Replay))
}
