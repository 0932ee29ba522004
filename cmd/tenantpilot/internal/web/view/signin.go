package view

import "time"

// SignInState is where a signed-out person stands.
type SignInState string

// The states of the sign-in page.
const (
	// SignInAsk has no link yet: it says how to get one.
	SignInAsk SignInState = "ask"
	// SignInConfirm has a good link and asks to use it, so that a link preview cannot.
	SignInConfirm SignInState = "confirm"
	// SignInConsumed has a link that was used before.
	SignInConsumed SignInState = "consumed"
	// SignInExpired has a link that is too old.
	SignInExpired SignInState = "expired"
	// SignInSignedOut has just signed out.
	SignInSignedOut SignInState = "signed_out"
	// SignInRefused came back from the identity provider and was not signed in; Error says why.
	SignInRefused SignInState = "refused"
)

// SignIn is the sign-in page.
type SignIn struct {
	State SignInState
	Now   time.Time
	// At is when the link was consumed, expired, or will expire.
	At time.Time
	// Name and Workspace are whom a good link signs in.
	Name      string
	Workspace string
	// Action and Fields are the form that uses the link.
	Action string
	Fields []Field
	// Command prints a new link for people with a shell on the server; empty says nothing about it.
	Command string
	// Provider is the workspace's identity provider, nil without one.
	Provider *Link
	// Another leads to the provider to choose another account; nil when that would not help.
	Another *Link
	// BreakGlass is the way in without the provider, nil when it is closed.
	BreakGlass *BreakGlass
	// KeptUntil is until when a form is kept that was sent after the session had ended; zero when there is none.
	KeptUntil      time.Time
	SecretsDropped bool
	// Error is why the last try failed, in plain words.
	Error string
}

// BreakGlass is the form for a break-glass account.
type BreakGlass struct {
	Action string
	Next   string
	Open   bool // it was just used
	Error  string
}

// SignInRefusal says why an account of the identity provider signed nobody in, by the reason's code (auth.Refusal).
func SignInRefusal(reason, provider, email string) string {
	who := "This account"
	if email != "" {
		who = email
	}
	switch reason {
	case "provider_unavailable":
		return provider + " cannot be reached at the moment, or does not answer as it should. Try again in a minute."
	case "provider_refused":
		return "The sign-in was cancelled, or " + provider + " did not allow it."
	case "provider_setup":
		return provider + " does not accept this console: its registration there is not set up correctly. Tell whoever runs the console."
	case "sign_in_not_begun":
		return "This sign-in was not begun in this browser, was finished before, or took longer than ten minutes. Begin again."
	case "email_missing":
		return provider + " did not say what your e-mail address is, so you cannot be recognised. " +
			"Ask its administrators to release the address to this console."
	case "email_unverified":
		return provider + " does not vouch that your e-mail address is yours, so you cannot be recognised by it. Ask whoever runs the console."
	case "nobody_invited":
		return "Nobody with the address " + email + " has been invited. Ask an owner of your workspace for an invitation."
	case "person_disabled":
		return who + " may not sign in here any more. Ask an owner of your workspace."
	case "bound_to_other_account":
		return email + " is the address of somebody who signs in with another account of " + provider +
			". If both are yours, tell whoever runs the console."
	}
	return "The answer of " + provider + " could not be proven genuine, so nobody was signed in. " +
		"Begin again; if it happens twice, tell whoever runs the console."
}
