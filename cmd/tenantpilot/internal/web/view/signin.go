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
	// Error is why the last try failed, in plain words.
	Error string
}
