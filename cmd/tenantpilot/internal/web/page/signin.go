package page

import "tenantpilot/cmd/tenantpilot/internal/web/view"

func signInTitle(s view.SignIn) string {
	switch s.State {
	case view.SignInConfirm:
		if s.Workspace == "" {
			return "Sign in"
		}
		return "Continue to " + s.Workspace
	case view.SignInConsumed:
		return "This link was already used"
	case view.SignInExpired:
		return "This link has expired"
	case view.SignInSignedOut:
		return "You are signed out"
	case view.SignInRefused:
		return "You are not signed in"
	default:
		return "Sign in"
	}
}

func signInText(s view.SignIn) string {
	switch s.State {
	case view.SignInConfirm:
		return "You are signing in as " + s.Name + "."
	case view.SignInConsumed:
		return "A sign-in link works once. If it was not you who used it, tell an owner of your workspace."
	case view.SignInExpired:
		return "Sign-in links work for a short time only. Get a new one to continue."
	case view.SignInSignedOut:
		return "Your session on this device has ended."
	default:
		return "Sign in to see and run operations on your tenants."
	}
}
