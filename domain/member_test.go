package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestMembership(t *testing.T) {
	t.Parallel()
	id, ada, grace := sampleID("workspace"), sampleID("person/ada"), sampleID("person/grace")
	given := func(more ...Event) []Event {
		return append([]Event{WorkspaceCreated{Workspace: id, Name: "x"}, MemberAdded{Person: ada, Role: RoleOwner}}, more...)
	}
	member := MemberAdded{Person: grace, Role: RoleOperator}
	europe := Scope{Groups: []string{"Europe"}, ExceptTenants: []uuid.UUID{sampleID("tenant")}}
	night := RoleDefined{Role: "night-shift", Capabilities: []Capability{CapDirectorySync, CapView}}
	until := now.Add(24 * time.Hour)
	invited := MemberInvited{Person: grace, Role: "night-shift", Scope: europe, Until: until}
	invite := func(person uuid.UUID, role Role) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.InviteMember(person, role, europe, until) }
	}
	accept := func(at time.Time) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.AcceptInvitation(grace, at) }
	}
	change := func(person uuid.UUID, role Role) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.ChangeRole(person, role) }
	}
	scope := func(person uuid.UUID, s Scope) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.ScopeMember(person, s) }
	}
	remove := func(person uuid.UUID) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.RemoveMember(person) }
	}
	forget := func(person uuid.UUID) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.Forget(person) }
	}
	define := func(role Role, caps ...Capability) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.DefineRole(role, caps) }
	}
	drop := func(role Role) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.RemoveRole(role) }
	}
	runScenarios(t, []scenario[Workspace]{
		{name: "invite to a custom role", given: given(night), when: invite(grace, "night-shift"), then: []Event{invited}},
		{name: "invite to a role that is not there", given: given(), when: invite(grace, "night-shift"), refused: "/role unknown_role"},
		{name: "invite a member", given: given(member), when: invite(grace, RoleOperator), refused: "member_exists"},
		{name: "invite an owner who sees a part", given: given(), when: invite(grace, RoleOwner), refused: "/scope owner_sees_all"},
		{
			name: "add an owner who sees a part", given: given(),
			when:    func(w Workspace) ([]Event, error) { return w.AddMember(grace, RoleOwner, []uuid.UUID{}) },
			refused: "/scope owner_sees_all",
		},
		{
			name: "accept to be an owner who sees a part", given: given(MemberInvited{Person: grace, Role: RoleOwner, Scope: europe, Until: until}),
			when: accept(now), refused: "/scope owner_sees_all",
		},
		{name: "invite into nothing", when: invite(grace, RoleOperator), refused: "not_found"},
		{
			name: "accept", given: given(night, invited), when: accept(until.Add(-1)),
			then: []Event{InvitationAccepted{Person: grace, Role: "night-shift", Scope: europe}},
		},
		{name: "accept too late", given: given(night, invited), when: accept(until), refused: "invitation_expired"},
		{name: "accept without being invited", given: given(), when: accept(now), refused: "not_found"},
		{
			name: "accept twice", given: given(night, invited, InvitationAccepted{Person: grace, Role: "night-shift"}), when: accept(now),
			refused: "not_found",
		},
		{name: "accept a role that has gone", given: given(invited), when: accept(now), refused: "role_removed"},
		{
			name: "withdraw", given: given(invited),
			when: func(w Workspace) ([]Event, error) { return w.WithdrawInvitation(grace) }, then: []Event{InvitationWithdrawn{Person: grace}},
		},
		{
			name: "withdraw nothing", given: given(),
			when: func(w Workspace) ([]Event, error) { return w.WithdrawInvitation(grace) }, refused: "not_found",
		},
		{
			name: "another role keeps the scope", given: given(member, MemberScoped{Person: grace, Scope: europe}), when: change(grace, RoleManager),
			then: []Event{MemberRoleChanged{Person: grace, Role: RoleManager}, MemberScoped{Person: grace, Scope: europe}},
		},
		{
			name: "an owner sees everything", given: given(member, MemberScoped{Person: grace, Scope: europe}), when: change(grace, RoleOwner),
			then: []Event{MemberRoleChanged{Person: grace, Role: RoleOwner}},
		},
		{name: "the same role", given: given(member), when: change(grace, RoleOperator)},
		{name: "the last owner keeps the role", given: given(member), when: change(ada, RoleManager), refused: "last_owner"},
		{
			name: "one of two owners may step down", given: given(MemberAdded{Person: grace, Role: RoleOwner}), when: change(ada, RoleManager),
			then: []Event{MemberRoleChanged{Person: ada, Role: RoleManager}},
		},
		{name: "a stranger's role", given: given(), when: change(grace, RoleManager), refused: "not_found"},
		{name: "scope", given: given(member), when: scope(grace, europe), then: []Event{MemberScoped{Person: grace, Scope: europe}}},
		{name: "scope an owner", given: given(), when: scope(ada, europe), refused: "/scope owner_sees_all"},
		{name: "scope a stranger", given: given(), when: scope(grace, europe), refused: "not_found"},
		{name: "remove", given: given(member), when: remove(grace), then: []Event{MemberRemoved{Person: grace}}},
		{name: "the last owner stays", given: given(member), when: remove(ada), refused: "last_owner"},
		{
			name: "the last owner who sees everything stays", given: given(InvitationAccepted{Person: grace, Role: RoleOwner, Scope: europe}),
			when: remove(ada), refused: "last_owner",
		},
		{
			name: "an owner who sees a part may go", given: given(InvitationAccepted{Person: grace, Role: RoleOwner, Scope: europe}),
			when: remove(grace), then: []Event{MemberRemoved{Person: grace}},
		},
		{name: "forget a member", given: given(member), when: forget(grace), then: []Event{MemberRemoved{Person: grace}}},
		{name: "forget somebody invited", given: given(invited), when: forget(grace), then: []Event{InvitationWithdrawn{Person: grace}}},
		{name: "forget a stranger", given: given(), when: forget(grace)},
		{name: "forget the last owner", given: given(member), when: forget(ada), refused: "last_owner"},
		{name: "remove a stranger", given: given(), when: remove(grace), refused: "not_found"},
		{name: "define a role", given: given(), when: define("night-shift", CapDirectorySync, CapDirectorySync), then: []Event{night}},
		{name: "define it so again", given: given(night), when: define("night-shift", CapView, CapDirectorySync)},
		{name: "define a preset", given: given(), when: define(RoleManager, CapView), refused: "/role invalid_role"},
		{name: "define a role with an odd name", given: given(), when: define("Night shift"), refused: "/role invalid_role"},
		{name: "the system's capability", given: given(), when: define("night-shift", CapSystem), refused: "/capabilities unknown_capability"},
		{
			name: "the platform's capability", given: given(), when: define("night-shift", CapPlatformDirectory),
			refused: "/capabilities unknown_capability",
		},
		{name: "remove a role", given: given(night), when: drop("night-shift"), then: []Event{RoleRemoved{Role: "night-shift"}}},
		{name: "remove a preset", given: given(), when: drop(RoleManager), refused: "not_found"},
		{name: "remove a role that somebody was offered", given: given(night, invited), when: drop("night-shift"), refused: "role_in_use"},
		{
			name: "remove a role that somebody has", given: given(night, MemberAdded{Person: grace, Role: "night-shift"}),
			when: drop("night-shift"), refused: "role_in_use",
		},
	})
}

func TestScope(t *testing.T) {
	t.Parallel()
	a, b := sampleID("a"), sampleID("b")
	for _, c := range []struct {
		name  string
		scope Scope
		want  [3]bool // a in Europe; b in Europe and VIP; a in no group
	}{
		{"everything", Scope{}, [3]bool{true, true, true}},
		{"nothing", Scope{Tenants: []uuid.UUID{}}, [3]bool{false, false, false}},
		{"no group", Scope{Groups: []string{}}, [3]bool{false, false, false}},
		{"one tenant", Scope{Tenants: []uuid.UUID{a}}, [3]bool{true, false, true}},
		{"a group", Scope{Groups: []string{"Europe"}}, [3]bool{true, true, false}},
		{"a group or a tenant", Scope{Tenants: []uuid.UUID{a}, Groups: []string{"VIP"}}, [3]bool{true, true, true}},
		{"all but a group", Scope{ExceptGroups: []string{"VIP"}}, [3]bool{true, false, true}},
		{"all but a tenant", Scope{ExceptTenants: []uuid.UUID{a}}, [3]bool{false, true, false}},
		{"a group but for a tenant", Scope{Groups: []string{"Europe"}, ExceptTenants: []uuid.UUID{b}}, [3]bool{true, false, false}},
	} {
		got := [3]bool{
			c.scope.Includes(a, []string{"Europe"}), c.scope.Includes(b, []string{"Europe", "VIP"}), c.scope.Includes(a, nil),
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if c.scope.Everything() != (c.name == "everything") {
			t.Errorf("%s: limits nothing: %v", c.name, c.scope.Everything())
		}
	}
}

func TestNobodyGrantsMoreThanTheyHold(t *testing.T) {
	t.Parallel()
	hr := Actor{Ref: person("ada"), Workspace: sampleID("workspace"), Role: "hr", Capabilities: []Capability{CapView, CapMemberManage}}
	if err := hr.MayGrant(Capabilities(RoleReadonly)); err != nil {
		t.Errorf("a reader's role: %v", err)
	}
	if refusal, ok := AsRefusal(hr.MayGrant(Capabilities(RoleOwner))); !ok || refusal.Kind != Forbidden {
		t.Errorf("an owner's role: %v", refusal)
	}
	if hr.May(CapDirectorySync) || !hr.May(CapMemberManage) {
		t.Error("a custom role's capabilities are not what the role may do")
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	registered := TenantRegistered{Tenant: sampleTenant().ID, Number: 4, Workspace: sampleTenant().Workspace, Name: "Contoso"}
	group := func(groups ...string) func(Tenant) ([]Event, error) {
		return func(t Tenant) ([]Event, error) { return t.Group(groups) }
	}
	many := make([]string, MostGroups+1)
	for i := range many {
		many[i] = string(rune('a' + i))
	}
	runScenarios(t, []scenario[Tenant]{
		{name: "in order, once", given: []Event{registered}, when: group("Gold", " Europe", "Gold"), then: []Event{TenantGrouped{Groups: []string{"Europe", "Gold"}}}},
		{name: "the same", given: []Event{registered, TenantGrouped{Groups: []string{"Gold"}}}, when: group("Gold")},
		{name: "none", given: []Event{registered, TenantGrouped{Groups: []string{"Gold"}}}, when: group(), then: []Event{TenantGrouped{Groups: []string{}}}},
		{name: "no name", given: []Event{registered}, when: group(" "), refused: "/groups required"},
		{name: "too many", given: []Event{registered}, when: group(many...), refused: "/groups too_many"},
		{name: "no tenant", when: group("Gold"), refused: "not_found"},
		{
			name: "rename", given: []Event{registered}, when: func(t Tenant) ([]Event, error) { return t.Rename(" Contoso Europe ") },
			then: []Event{TenantRenamed{Name: "Contoso Europe"}},
		},
		{name: "rename nothing", when: func(t Tenant) ([]Event, error) { return t.Rename("x") }, refused: "not_found"},
	})
}
