package domain

import (
	"maps"
	"slices"

	"github.com/google/uuid"
)

// Effect is what a change of a membership gives a person and takes from them.
type Effect struct {
	Gains []Grant
	Loses []Grant
	// Later is set where the change decides about tenants that are registered later: whether the person will see them.
	Later *bool
}

// Nothing says whether everything stays as it is.
func (e Effect) Nothing() bool { return len(e.Gains)+len(e.Loses) == 0 && e.Later == nil }

// Grant is capabilities that are given or taken together: on tenants, or (none listed) in the workspace as a whole.
type Grant struct {
	Capabilities []Capability
	Tenants      []uuid.UUID
}

// ofWorkspace are the capabilities that are about the workspace, not about a tenant of it.
var ofWorkspace = []Capability{CapMemberManage, CapTokenManage, CapWorkspaceManage}

// EffectOn compares what a person may do here with what they may do after some events, on tenants given with the groups they are in.
func (w Workspace) EffectOn(person uuid.UUID, events []Event, tenants map[uuid.UUID][]string) Effect {
	then := w
	for _, e := range events {
		then = then.Evolve(e)
	}
	before, after := w.reach(person, tenants), then.reach(person, tenants)
	e := Effect{Gains: beyond(after, before), Loses: beyond(before, after)}
	if was, will := w.seesLater(person), then.seesLater(person); was != will {
		e.Later = &will
	}
	return e
}

// reach is on which tenants a person holds each capability; the workspace as a whole is the tenant uuid.Nil.
func (w Workspace) reach(person uuid.UUID, tenants map[uuid.UUID][]string) map[Capability][]uuid.UUID {
	m, reach := w.Members[person], map[Capability][]uuid.UUID{}
	var seen []uuid.UUID
	for _, t := range slices.SortedFunc(maps.Keys(tenants), compareUUIDs) {
		if m.Role != "" && m.Scope.Includes(t, tenants[t]) {
			seen = append(seen, t)
		}
	}
	for _, c := range w.Capabilities(m.Role) {
		switch {
		case c == CapMemberManage && !m.Scope.Everything(): // ManagesMembers
		case slices.Contains(ofWorkspace, c):
			reach[c] = []uuid.UUID{uuid.Nil}
		default:
			reach[c] = seen
		}
	}
	return reach
}

// beyond is what one reach has that another has not, capabilities of the same tenants together.
func beyond(reach, other map[Capability][]uuid.UUID) []Grant {
	var grants []Grant
	for _, c := range Capabilities(RoleOwner) {
		more := slices.DeleteFunc(slices.Clone(reach[c]), func(t uuid.UUID) bool { return slices.Contains(other[c], t) })
		if len(more) == 0 {
			continue
		}
		if more[0] == uuid.Nil {
			more = nil
		}
		if i := slices.IndexFunc(grants, func(g Grant) bool { return slices.Equal(g.Tenants, more) }); i >= 0 {
			grants[i].Capabilities = append(grants[i].Capabilities, c)
		} else {
			grants = append(grants, Grant{Capabilities: []Capability{c}, Tenants: more})
		}
	}
	return grants
}

func (w Workspace) seesLater(person uuid.UUID) bool {
	m := w.Members[person]
	return m.Role != "" && m.Scope.Tenants == nil && m.Scope.Groups == nil
}
