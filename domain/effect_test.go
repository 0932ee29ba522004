package domain

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestTheEffectOfAChange: what a change gives and takes is what the person may do after it and not before, and the other way round.
func TestTheEffectOfAChange(t *testing.T) {
	t.Parallel()
	ada, rosa, north, south, west := uuid.UUID{1}, uuid.UUID{2}, uuid.UUID{11}, uuid.UUID{12}, uuid.UUID{13}
	tenants := map[uuid.UUID][]string{north: {"gold"}, south: nil, west: {"gold", "new"}}
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
				{[]Capability{CapOnboardingManage, CapMemberManage, CapTokenManage, CapWorkspaceManage}, nil},
				{[]Capability{CapHoldManage}, all},
			}, Later: &Later{All: true}},
		},
		"a smaller scope": {
			Member{Role: RoleOperator},
			func(w Workspace) ([]Event, error) { return w.ScopeMember(rosa, Scope{Tenants: []uuid.UUID{south}}) },
			Effect{Loses: []Grant{{Capabilities(RoleOperator), []uuid.UUID{north, west}}}, Later: &Later{}},
		},
		"an exception is one for what comes later": {
			Member{Role: RoleReadonly},
			func(w Workspace) ([]Event, error) { return w.ScopeMember(rosa, Scope{ExceptGroups: []string{"new"}}) },
			Effect{Loses: []Grant{{[]Capability{CapView}, []uuid.UUID{west}}}, Later: &Later{All: true, Except: []string{"new"}}},
		},
		"a group that nothing is in yet": {
			Member{Role: RoleReadonly},
			func(w Workspace) ([]Event, error) {
				return w.ScopeMember(rosa, Scope{ExceptGroups: []string{"bought"}})
			},
			Effect{Later: &Later{All: true, Except: []string{"bought"}}},
		},
		"the tenants of a group by name": {
			Member{Role: RoleReadonly, Scope: Scope{Groups: []string{"gold"}}},
			func(w Workspace) ([]Event, error) {
				return w.ScopeMember(rosa, Scope{Tenants: []uuid.UUID{west, north}})
			},
			Effect{Later: &Later{}},
		},
		"a tenant less is no word about later ones": {
			Member{Role: RoleReadonly},
			func(w Workspace) ([]Event, error) {
				return w.ScopeMember(rosa, Scope{ExceptTenants: []uuid.UUID{south}})
			},
			Effect{Loses: []Grant{{[]Capability{CapView}, []uuid.UUID{south}}}},
		},
		"a manager who does not see all onboards none": {
			Member{Role: RoleManager},
			func(w Workspace) ([]Event, error) {
				return w.ScopeMember(rosa, Scope{ExceptTenants: []uuid.UUID{south}})
			},
			Effect{Loses: []Grant{{Capabilities(RoleManager), []uuid.UUID{south}}, {[]Capability{CapOnboardingManage}, nil}}},
		},
		"the same scope, otherwise ordered": {
			Member{Role: RoleReadonly, Scope: Scope{Tenants: []uuid.UUID{west, north}}},
			func(w Workspace) ([]Event, error) {
				return w.ScopeMember(rosa, Scope{Tenants: []uuid.UUID{north, west}})
			},
			Effect{},
		},
		"other tenants": {
			Member{Role: RoleReadonly, Scope: Scope{Tenants: []uuid.UUID{south}}},
			func(w Workspace) ([]Event, error) { return w.ScopeMember(rosa, Scope{Groups: []string{"new"}}) },
			Effect{Gains: []Grant{{[]Capability{CapView}, []uuid.UUID{west}}}, Loses: []Grant{{[]Capability{CapView}, []uuid.UUID{south}}}, Later: &Later{Groups: []string{"new"}}},
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
			Effect{Loses: []Grant{{[]Capability{CapView}, all}}, Later: &Later{}},
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
			if !reflect.DeepEqual(got.Later, c.want.Later) {
				t.Errorf("later %v, want %v", got.Later, c.want.Later)
			}
			if got.Changes != (len(events) > 0) {
				t.Errorf("%d events change something: %v", len(events), got.Changes)
			}
		})
	}
}

// TestOnlyWhatWasLookedAtIsSaved: a change of the member, or of what roles allow, makes a review stale; nothing else does.
func TestOnlyWhatWasLookedAtIsSaved(t *testing.T) {
	t.Parallel()
	ada, rosa := uuid.UUID{1}, uuid.UUID{2}
	w := Workspace{ID: uuid.UUID{9}, Members: map[uuid.UUID]Member{ada: {Role: RoleOwner}, rosa: {Role: RoleReadonly}}}
	tag := w.MemberTag(rosa)
	for name, c := range map[string]struct {
		event Event
		stale bool
	}{
		"another role":         {MemberRoleChanged{Person: rosa, Role: RoleManager}, true},
		"another scope":        {MemberScoped{Person: rosa, Scope: Scope{Tenants: []uuid.UUID{}}}, true},
		"removed":              {MemberRemoved{Person: rosa}, true},
		"a role defined":       {RoleDefined{Role: "night", Capabilities: []Capability{CapView}}, true},
		"somebody else":        {MemberRoleChanged{Person: ada, Role: RoleManager}, false},
		"the workspace's name": {WorkspaceRenamed{Name: "Other"}, false},
	} {
		err := w.Evolve(c.event).AsReviewed(rosa, tag)
		if refusal, refused := AsRefusal(err); refused != c.stale || refused && refusal.Kind != Stale {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.AsReviewed(rosa, ""); err != nil {
		t.Errorf("without a review: %v", err)
	}
}

// TestAScopeNamesGroups: what no group can be called is refused, wherever a scope comes in.
func TestAScopeNamesGroups(t *testing.T) {
	t.Parallel()
	ada, rosa := uuid.UUID{1}, uuid.UUID{2}
	w := Workspace{ID: uuid.UUID{9}, Members: map[uuid.UUID]Member{ada: {Role: RoleOwner}, rosa: {Role: RoleReadonly}}}
	many := make([]uuid.UUID, MostScoped+1)
	for i := range many {
		many[i] = uuid.New()
	}
	for name, scope := range map[string]Scope{
		"NUL": {Groups: []string{"gold", "\x00"}}, "an exception's NUL": {ExceptGroups: []string{"a\x00b"}}, "two lines": {Groups: []string{"a\nb"}},
		"turned around": {Groups: []string{"\u202eabc"}}, "nothing": {Groups: []string{" "}}, "long": {ExceptGroups: []string{strings.Repeat("g", 121)}},
		"many": {Tenants: many},
	} {
		_, scoped := w.ScopeMember(rosa, scope)
		_, invited := w.InviteMember(uuid.UUID{3}, RoleReadonly, scope, time.Now())
		for how, err := range map[string]error{"scoped": scoped, "invited": invited} {
			if refusal, refused := AsRefusal(err); !refused || refusal.Kind != Invalid {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
	}
	events, err := w.ScopeMember(rosa, Scope{Groups: []string{" gold ", "gold"}})
	if want := (MemberScoped{Person: rosa, Scope: Scope{Groups: []string{"gold"}}}); err != nil || !reflect.DeepEqual(events, []Event{want}) {
		t.Errorf("%v, %v", events, err)
	}
}
