package domain

import (
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Workspace is the managed-service provider's organisation. Rules:
//
//  1. It has at least one owner from its creation on; the last owner can neither leave nor lose the role.
//  2. A person is a member once, with one role, seeing all tenants or a listed few.
type Workspace struct {
	ID      uuid.UUID
	Name    string
	Members map[uuid.UUID]Member
}

// Member is what a workspace grants a person.
type Member struct {
	Role    Role
	Tenants []uuid.UUID // nil means all, empty means none
}

// Exists says whether the workspace was created.
func (w Workspace) Exists() bool { return w.ID != uuid.Nil }

// CreateWorkspace opens a workspace with its first owner.
func CreateWorkspace(w Workspace, id uuid.UUID, name string, owner uuid.UUID) ([]Event, error) {
	if w.Exists() {
		return nil, conflict("workspace_exists", "This workspace exists already.")
	}
	name, err := displayName("/name", name)
	if err != nil {
		return nil, err
	}
	return []Event{WorkspaceCreated{Workspace: id, Name: name}, MemberAdded{Person: owner, Role: RoleOwner}}, nil
}

// AddMember grants a person a role; tenants nil means every tenant.
func (w Workspace) AddMember(person uuid.UUID, role Role, tenants []uuid.UUID) ([]Event, error) {
	if !w.Exists() {
		return nil, ErrNotFound()
	}
	if _, ok := w.Members[person]; ok {
		return nil, conflict("member_exists", "This person is a member already.")
	}
	if len(Capabilities(role)) == 0 {
		return nil, InvalidField("/role", "unknown_role", "The role is one of readonly, operator, manager, owner.")
	}
	return []Event{MemberAdded{Person: person, Role: role, Tenants: tenants}}, nil
}

// ExportEvidence records that evidence leaves the system.
func (w Workspace) ExportEvidence(e EvidenceExported) ([]Event, error) {
	if !w.Exists() {
		return nil, ErrNotFound()
	}
	return []Event{e}, nil
}

// Evolve implements State.
func (w Workspace) Evolve(e Event) Workspace {
	switch e := e.(type) {
	case WorkspaceCreated:
		w.ID, w.Name = e.Workspace, e.Name
	case MemberAdded:
		w.Members = withMember(w.Members, e.Person, Member{e.Role, e.Tenants})
	case MemberRoleChanged:
		w.Members = withMember(w.Members, e.Person, Member{e.Role, e.Tenants})
	case MemberRemoved:
		w.Members = withMember(w.Members, e.Person, Member{})
		delete(w.Members, e.Person)
	}
	return w
}

func withMember(old map[uuid.UUID]Member, person uuid.UUID, m Member) map[uuid.UUID]Member {
	members := make(map[uuid.UUID]Member, len(old)+1)
	for k, v := range old {
		members[k] = v
	}
	members[person] = m
	return members
}

func displayName(pointer, s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", InvalidField(pointer, "required", "Give it a name.")
	}
	if utf8.RuneCountInString(s) > 120 || strings.ContainsAny(s, "\x00\n\r\t\x1b") {
		return "", InvalidField(pointer, "invalid_name", "Use at most 120 characters on one line.")
	}
	return s, nil
}
