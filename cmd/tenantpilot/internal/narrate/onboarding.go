package narrate

import (
	"fmt"
	"strings"

	"tenantpilot/domain"
)

func ofOnboarding(e domain.Event) string {
	switch e := e.(type) {
	case domain.OnboardingStarted:
		return fmt.Sprintf("Began onboarding %d, of directory %s.", e.Number, e.ExternalID)
	case domain.TenantIdentified:
		if e.Managed {
			return "Found that the directory's tenant is managed already."
		}
		return "Identified the tenant to onboard."
	case domain.ConnectionChosen:
		if e.Created {
			return fmt.Sprintf("Created connection %d for this onboarding.", e.Connection)
		}
		return fmt.Sprintf("Chose connection %d.", e.Connection)
	case domain.VerificationRequested:
		text := fmt.Sprintf("Asked for a check of connection %d: %s", e.Connection, strings.ReplaceAll(string(e.Outcome), "_", " "))
		if e.RunNumber > 0 {
			text += fmt.Sprintf(", run %d", e.RunNumber)
		}
		return text + because(e.Reason)
	case domain.BootstrapSelected:
		names := make([]string, len(e.Operations))
		for i, o := range e.Operations {
			names[i] = operation(o.Operation)
		}
		return "Selected first operations, in this order: " + list(names) + "."
	case domain.BootstrapOperationAdmitted:
		text := fmt.Sprintf("%s had its turn and was answered %s", domain.OperationByType(e.Operation).Label, e.Outcome)
		if e.RunNumber > 0 {
			text += fmt.Sprintf(", run %d", e.RunNumber)
		}
		return text + because(e.Reason)
	case domain.BootstrapStopped:
		return "Stopped the rest of the first operations: " + Count(len(e.Reservations), "start") + " taken out of the queue."
	case domain.OnboardingTakenOver:
		return "Took the onboarding over from another person."
	case domain.OnboardingCompleted:
		text := fmt.Sprintf("Completed the onboarding with connection %d, verified as %s.", e.Connection, e.Verification)
		if e.Accepted != "" {
			text += " Accepted because: " + strings.TrimSuffix(e.Accepted, ".") + "."
		}
		return text
	case domain.OnboardingAbandoned:
		if e.Reason == "" {
			return "Abandoned the onboarding; what was set up stays."
		}
		return "Abandoned the onboarding: " + strings.TrimSuffix(e.Reason, ".") + ". What was set up stays."
	}
	return ""
}
