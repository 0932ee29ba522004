package domain

import "github.com/google/uuid"

// A break-glass account lets a member in with a password when the identity provider cannot. Its rule: nobody comes in with it, or is given
// one, without the log of each of their workspaces saying so.

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

// EventName implements Event.
func (BreakGlassSet) EventName() string { return "BreakGlassSet" }

// EventName implements Event.
func (BreakGlassRemoved) EventName() string { return "BreakGlassRemoved" }

// EventName implements Event.
func (BreakGlassUsed) EventName() string { return "BreakGlassUsed" }

// TellBreakGlass records what became of a member's break-glass account: one of the three events above. Where the person is no member there
// is nothing to tell.
func (w Workspace) TellBreakGlass(person uuid.UUID, e Event) []Event {
	if _, ok := w.Members[person]; !ok {
		return nil
	}
	return []Event{e}
}
