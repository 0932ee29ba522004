package domain

import (
	"testing"

	"github.com/google/uuid"
)

func TestCreateWorkspace(t *testing.T) {
	t.Parallel()
	id, ada := sampleID("workspace"), sampleID("person/ada")
	create := func(name string) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return CreateWorkspace(w, id, name, ada) }
	}
	runScenarios(t, []scenario[Workspace]{
		{
			name: "it has an owner from the first", when: create(" Northwind MSP "),
			then: []Event{WorkspaceCreated{Workspace: id, Name: "Northwind MSP"}, MemberAdded{Person: ada, Role: RoleOwner}},
		},
		{name: "it is created once", given: []Event{WorkspaceCreated{Workspace: id, Name: "x"}}, when: create("y"), refused: "workspace_exists"},
		{name: "it needs a name", when: create(""), refused: "/name required"},
	})
	w := Fold(Workspace{}, WorkspaceCreated{Workspace: id, Name: "x"}, MemberAdded{Person: ada, Role: RoleOwner})
	if !w.Exists() || w.Members[ada].Role != RoleOwner || w.Members[ada].Scope.Tenants != nil {
		t.Errorf("the new workspace is %+v", w)
	}
}

func TestAddMember(t *testing.T) {
	t.Parallel()
	id, ada, grace := sampleID("workspace"), sampleID("person/ada"), sampleID("person/grace")
	tenants := []uuid.UUID{sampleID("tenant")}
	created := []Event{WorkspaceCreated{Workspace: id, Name: "x"}, MemberAdded{Person: ada, Role: RoleOwner}}
	add := func(role Role, tenants []uuid.UUID) func(Workspace) ([]Event, error) {
		return func(w Workspace) ([]Event, error) { return w.AddMember(grace, role, tenants) }
	}
	runScenarios(t, []scenario[Workspace]{
		{name: "sees every tenant", given: created, when: add(RoleOperator, nil), then: []Event{MemberAdded{Person: grace, Role: RoleOperator}}},
		{
			name: "sees some tenants", given: created, when: add(RoleReadonly, tenants),
			then: []Event{MemberAdded{Person: grace, Role: RoleReadonly, Tenants: tenants}},
		},
		{name: "is a member already", given: append(created, MemberAdded{Person: grace}), when: add(RoleOwner, nil), refused: "member_exists"},
		{
			name: "comes back after leaving", given: append(created, MemberAdded{Person: grace}, MemberRemoved{Person: grace}),
			when: add(RoleOwner, nil), then: []Event{MemberAdded{Person: grace, Role: RoleOwner}},
		},
		{name: "no such role", given: created, when: add("admin", nil), refused: "/role unknown_role"},
		{name: "no role", given: created, when: add("", nil), refused: "/role unknown_role"},
		{name: "no workspace", when: add(RoleOwner, nil), refused: "not_found"},
	})
}

// TestSeeingNoTenantSurvivesBeingStored: nil means every tenant and an empty list means none. If the log confused the two, a member
// who may see nothing would see everything after the next restart.
func TestSeeingNoTenantSurvivesBeingStored(t *testing.T) {
	t.Parallel()
	grace := sampleID("person/grace")
	for _, e := range []Event{
		MemberAdded{Person: grace, Role: RoleReadonly, Tenants: []uuid.UUID{}},
		MemberRoleChanged{Person: grace, Role: RoleReadonly, Tenants: []uuid.UUID{}},
	} {
		m := Fold(Workspace{}, WorkspaceCreated{Workspace: sampleID("workspace")}, reread(t, e)).Members[grace]
		a := Actor{Workspace: sampleID("workspace"), Role: m.Role, Tenants: m.Scope.Tenants}
		if a.Sees(sampleID("workspace"), sampleID("tenant")) {
			t.Errorf("%s: a member of no tenant sees a tenant", e.EventName())
		}
	}
	all := reread(t, MemberAdded{Person: grace, Role: RoleReadonly}).(MemberAdded)
	if all.Tenants != nil {
		t.Errorf("a member of every tenant was stored with the list %v", all.Tenants)
	}
}

func TestMembersAreFoldedWithoutTouchingTheStateBefore(t *testing.T) {
	t.Parallel()
	ada, grace := sampleID("person/ada"), sampleID("person/grace")
	before := Fold(Workspace{}, WorkspaceCreated{Workspace: sampleID("workspace")}, MemberAdded{Person: ada, Role: RoleOwner})
	changed := before.Evolve(MemberRoleChanged{Person: ada, Role: RoleReadonly, Tenants: []uuid.UUID{grace}})
	if m := changed.Members[ada]; m.Role != RoleReadonly || len(m.Scope.Tenants) != 1 {
		t.Errorf("after the change of role: %+v", m)
	}
	if removed := before.Evolve(MemberRemoved{Person: ada}); len(removed.Members) != 0 {
		t.Errorf("after the removal: %+v", removed.Members)
	}
	before.Evolve(MemberAdded{Person: grace, Role: RoleOperator})
	if len(before.Members) != 1 || before.Members[ada].Role != RoleOwner {
		t.Errorf("the state before was changed: %+v", before.Members)
	}
}
