package domain

import (
	"slices"
	"testing"

	"github.com/google/uuid"
)

// TestTheEffectOfAChange: what a change gives and takes is what the person may do after it and not before, and the other way round.
func TestTheEffectOfAChange(t *testing.T) {
	t.Parallel()
	ada, rosa, north, south, west := uuid.UUID{1}, uuid.UUID{2}, uuid.UUID{11}, uuid.UUID{12}, uuid.UUID{13}
	tenants := map[uuid.UUID][]string{north: {"gold"}, south: nil, west: {"gold", "new"}}
	no, yes := false, true
	starts := Capabilities(RoleOperator)[1:]
	all := []uuid.UUID{north, south, west}
	for name, c := range map[string]struct {
		was  Member
		then func(Workspace) ([]Event, error)
		want Effect
	}{
		"a role that may more": {
			Member{Role: RoleReadonly},
			func(w Workspace) ([]Event, error) { return w.ChangeRole(rosa, RoleOperator) },
			Effect{Gains: []Grant{{starts, all}}},
		},
		"a role that may less, on what is seen": {
			Member{Role: RoleOperator, Scope: Scope{Groups: []string{"gold"}}},
			func(w Workspace) ([]Event, error) { return w.ChangeRole(rosa, RoleAuditor) },
			Effect{Loses: []Grant{{starts, []uuid.UUID{north, west}}}},
		},
		"a role that may other things": {
			Member{Role: "night"},
			func(w Workspace) ([]Event, error) { return w.ChangeRole(rosa, RoleReadonly) },
			Effect{Loses: []Grant{{[]Capability{CapDirectorySync}, all}, {[]Capability{CapTokenManage}, nil}}},
		},
		"an owner has the workspace as a whole, and sees everything": {
			Member{Role: RoleManager, Scope: Scope{Tenants: []uuid.UUID{north}}},
			func(w Workspace) ([]Event, error) { return w.ChangeRole(rosa, RoleOwner) },
			Effect{Gains: []Grant{
				{Capabilities(RoleManager), []uuid.UUID{south, west}},
				{[]Capability{CapMemberManage, CapTokenManage, CapWorkspaceManage}, nil},
				{[]Capability{CapHoldManage}, all},
			}, Later: &yes},
		},
		"a smaller scope": {
			Member{Role: RoleOperator},
			func(w Workspace) ([]Event, error) { return w.ScopeMember(rosa, Scope{Tenants: []uuid.UUID{south}}) },
			Effect{Loses: []Grant{{Capabilities(RoleOperator), []uuid.UUID{north, west}}}, Later: &no},
		},
		"an exception keeps what comes later": {
			Member{Role: RoleReadonly},
			func(w Workspace) ([]Event, error) { return w.ScopeMember(rosa, Scope{ExceptGroups: []string{"new"}}) },
			Effect{Loses: []Grant{{[]Capability{CapView}, []uuid.UUID{west}}}},
		},
		"other tenants": {
			Member{Role: RoleReadonly, Scope: Scope{Tenants: []uuid.UUID{south}}},
			func(w Workspace) ([]Event, error) { return w.ScopeMember(rosa, Scope{Groups: []string{"new"}}) },
			Effect{Gains: []Grant{{[]Capability{CapView}, []uuid.UUID{west}}}, Loses: []Grant{{[]Capability{CapView}, []uuid.UUID{south}}}},
		},
		"a manager of members who no longer sees all manages none": {
			Member{Role: "boss"},
			func(w Workspace) ([]Event, error) {
				return w.ScopeMember(rosa, Scope{ExceptTenants: []uuid.UUID{north}})
			},
			Effect{Loses: []Grant{{[]Capability{CapView}, []uuid.UUID{north}}, {[]Capability{CapMemberManage}, nil}}},
		},
		"the same role":     {Member{Role: RoleAuditor}, func(w Workspace) ([]Event, error) { return w.ChangeRole(rosa, RoleAuditor) }, Effect{}},
		"another name only": {Member{Role: RoleAuditor}, func(w Workspace) ([]Event, error) { return w.ChangeRole(rosa, RoleReadonly) }, Effect{}},
		"removal": {
			Member{Role: RoleReadonly},
			func(w Workspace) ([]Event, error) { return w.RemoveMember(rosa) },
			Effect{Loses: []Grant{{[]Capability{CapView}, all}}, Later: &no},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := Workspace{
				ID: uuid.UUID{9}, Members: map[uuid.UUID]Member{ada: {Role: RoleOwner}, rosa: c.was},
				Roles: map[Role][]Capability{"night": {CapDirectorySync, CapTokenManage, CapView}, "boss": {CapMemberManage, CapView}},
			}
			events, err := c.then(w)
			if err != nil {
				t.Fatal(err)
			}
			got := w.EffectOn(rosa, events, tenants)
			same := func(a, b Grant) bool {
				return slices.Equal(a.Capabilities, b.Capabilities) && slices.Equal(a.Tenants, b.Tenants)
			}
			if !slices.EqualFunc(got.Gains, c.want.Gains, same) || !slices.EqualFunc(got.Loses, c.want.Loses, same) {
				t.Errorf("gains %v, want %v;\nloses %v, want %v", got.Gains, c.want.Gains, got.Loses, c.want.Loses)
			}
			if (got.Later == nil) != (c.want.Later == nil) || got.Later != nil && *got.Later != *c.want.Later {
				t.Errorf("later %v, want %v", got.Later, c.want.Later)
			}
			if got.Nothing() != c.want.Nothing() {
				t.Errorf("nothing is %v", got.Nothing())
			}
		})
	}
}
