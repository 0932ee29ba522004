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
	// Later is what the member will see of tenants that are registered later, where the change decides about it.
	Later *Later
	// Changes is unset when everything stays as it is. A change may give and take nothing on the tenants that there are.
	Changes bool
}

// Later says which tenants that are registered later a scope includes: all of them or those in some groups, without those in the exceptions.
type Later struct {
	All    bool
	Groups []string
	Except []string
}

// Grant is capabilities that are given or taken together: on tenants, or (none listed) in the workspace as a whole.
type Grant struct {
	Capabilities []Capability
	Tenants      []uuid.UUID
}

// ofWorkspace are the capabilities that are about the workspace, not about a tenant of it.
var ofWorkspace = []Capability{CapMemberManage, CapTokenManage, CapWorkspaceManage}

// ofAllTenants are those that are held in the workspace as a whole only by who sees every tenant: see ManagesMembers, and nobody onboards
// what they would not see.
var ofAllTenants = []Capability{CapMemberManage, CapOnboardingManage}

// EffectOn compares what a person may do here with what they may do after some events, on tenants given with the groups they are in.
func (w Workspace) EffectOn(person uuid.UUID, events []Event, tenants map[uuid.UUID][]string) Effect {
	then := w
	for _, e := range events {
		then = then.Evolve(e)
	}
	before, after := w.reach(person, tenants), then.reach(person, tenants)
	e := Effect{Gains: beyond(after, before), Loses: beyond(before, after), Changes: len(events) > 0}
	if was, will := w.later(person), then.later(person); was.All != will.All || !slices.Equal(was.Groups, will.Groups) || !slices.Equal(was.Except, will.Except) {
		e.Later = &will
	}
	return e
}

// reach is where a person holds each capability; the workspace as a whole is uuid.Nil.
func (w Workspace) reach(person uuid.UUID, tenants map[uuid.UUID][]string) map[Capability][]uuid.UUID {
	m, reach := w.Members[person], map[Capability][]uuid.UUID{}
	for _, c := range w.Capabilities(m.Role) {
		if !slices.Contains(ofWorkspace, c) {
			for _, t := range slices.SortedFunc(maps.Keys(tenants), compareUUIDs) {
				if m.Scope.Includes(t, tenants[t]) {
					reach[c] = append(reach[c], t)
				}
			}
		}
		all := slices.Contains(ofAllTenants, c)
		if all && m.Scope.Everything() || !all && slices.Contains(ofWorkspace, c) {
			reach[c] = append(reach[c], uuid.Nil)
		}
	}
	return reach
}

// beyond is what one reach has that another has not, capabilities of the same tenants together.
func beyond(reach, other map[Capability][]uuid.UUID) []Grant {
	var grants []Grant
	add := func(c Capability, where []uuid.UUID) {
		if i := slices.IndexFunc(grants, func(g Grant) bool { return slices.Equal(g.Tenants, where) }); i >= 0 {
			grants[i].Capabilities = append(grants[i].Capabilities, c)
		} else {
			grants = append(grants, Grant{Capabilities: []Capability{c}, Tenants: where})
		}
	}
	for _, c := range Capabilities(RoleOwner) {
		more := slices.DeleteFunc(slices.Clone(reach[c]), func(t uuid.UUID) bool { return slices.Contains(other[c], t) })
		on := slices.DeleteFunc(slices.Clone(more), func(t uuid.UUID) bool { return t == uuid.Nil })
		if len(on) > 0 {
			add(c, on)
		}
		if len(on) < len(more) {
			add(c, nil)
		}
	}
	return grants
}

func (w Workspace) later(person uuid.UUID) Later {
	m, ok := w.Members[person]
	if !ok {
		return Later{}
	}
	s := m.Scope.sorted()
	l := Later{All: s.Tenants == nil && s.Groups == nil}
	if len(s.Groups) > 0 {
		l.Groups = s.Groups
	}
	if len(s.ExceptGroups) > 0 && (l.All || len(l.Groups) > 0) {
		l.Except = s.ExceptGroups
	}
	return l
}

// MemberTag names what a change of a member was decided on: the member, and what the roles of the workspace's own allow. Whoever saves a
// change that they looked at says which they have seen.
func (w Workspace) MemberTag(person uuid.UUID) string {
	m := w.Members[person]
	m.Scope = m.Scope.sorted()
	return tagOf(struct {
		Member Member
		Roles  map[Role][]Capability
	}{m, w.Roles})
}

// AsReviewed refuses a change of a member who is not any more as when the change was looked at; "" was not looked at.
func (w Workspace) AsReviewed(person uuid.UUID, tag string) error {
	if tag == "" || tag == w.MemberTag(person) {
		return nil
	}
	return ErrStale()
}
