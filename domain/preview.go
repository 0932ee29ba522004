package domain

import (
	"slices"

	"github.com/google/uuid"
)

// As is the actor as it looks at the console with another role, to see what that role would: only what both allow, only the tenants that both
// see (tenants nil being all), and with nothing to be changed. A role without capabilities may do nothing.
func (a Actor) As(role Role, caps []Capability, tenants []uuid.UUID) Actor {
	both := []Capability{}
	for _, c := range caps {
		if a.May(c) {
			both = append(both, c)
		}
	}
	as := a
	as.Role, as.Capabilities, as.Preview = role, both, true
	switch {
	case tenants == nil:
	case a.Tenants == nil:
		as.Tenants = slices.Clone(tenants)
	default:
		as.Tenants = []uuid.UUID{}
		for _, t := range tenants {
			if slices.Contains(a.Tenants, t) {
				as.Tenants = append(as.Tenants, t)
			}
		}
	}
	return as
}

// ErrPreview refuses a change by somebody who looks at the console as another role.
func ErrPreview() *Refusal {
	return &Refusal{Kind: Forbidden, Code: "preview", Text: "You see the console as another role, to look only: nothing was changed. End the preview first."}
}
