package domain

import (
	"time"

	"github.com/google/uuid"
)

// Ways in beside the identity provider: a break-glass account is a password for a member, a sign-in link signs them in once. Their rule: nobody
// at the server gives a member one, and nobody uses a break-glass account, without the log of each of the member's workspaces saying so.

// BreakGlassSet says that a member was given a break-glass account, or its account another password.
type BreakGlassSet struct {
	Person uuid.UUID `json:"person"`
}

// BreakGlassRemoved says that a member's break-glass account was taken away.
type BreakGlassRemoved struct {
	Person uuid.UUID `json:"person"`
}

// BreakGlassUsed says that a member came in with their break-glass account.
type BreakGlassUsed struct {
	Person uuid.UUID `json:"person"`
}

// SignInLinkDrawn says that a link was drawn at the server that signs a member in once.
type SignInLinkDrawn struct {
	Person uuid.UUID `json:"person"`
	Until  time.Time `json:"until"`
}

// EventName implements Event.
func (BreakGlassSet) EventName() string { return "BreakGlassSet" }

// EventName implements Event.
func (BreakGlassRemoved) EventName() string { return "BreakGlassRemoved" }

// EventName implements Event.
func (BreakGlassUsed) EventName() string { return "BreakGlassUsed" }

// EventName implements Event.
func (SignInLinkDrawn) EventName() string { return "SignInLinkDrawn" }

// TellWayIn records what became of a member's ways in: one of the events above. Where the person is no member there is nothing to tell.
func (w Workspace) TellWayIn(person uuid.UUID, e Event) []Event {
	if _, ok := w.Members[person]; !ok {
		return nil
	}
	return []Event{e}
}
