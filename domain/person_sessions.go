package domain

import "github.com/google/uuid"

// SessionsEnded says that a person signed themselves out in other places than the one they were in. Sessions are not in the log; that
// somebody took them away is.
type SessionsEnded struct {
	Person   uuid.UUID `json:"person"`
	Sessions int       `json:"sessions"`
}

// EventName implements Event.
func (SessionsEnded) EventName() string { return "SessionsEnded" }
