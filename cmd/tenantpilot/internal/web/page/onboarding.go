package page

import "tenantpilot/cmd/tenantpilot/internal/web/view"

// chooseVariant makes choosing a connection the obvious thing while none is chosen.
func chooseVariant(c view.OnboardingConnection, o view.Onboarding) string {
	if c.Credential == nil && c.Problem == nil && o.Continue == nil {
		return "primary"
	}
	return "outline"
}

// wizardShell leaves the start dialog out where an outcome stands on the page: both have the same ids.
func wizardShell(shell view.Shell, o view.Onboarding) view.Shell {
	if o.Outcome != nil {
		return withoutDialog(shell)
	}
	return shell
}

// createInvalid says whether something is wrong with the fields of a new connection.
func createInvalid(o view.Onboarding) bool {
	for _, pointer := range []string{"/display_name", "/connection_type", "/app_id"} {
		if view.ErrorAt(o.Errors, pointer) != "" {
			return true
		}
	}
	return false
}
