package domain

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"
)

// TestRolesHoldExactlyTheirCapabilities writes the roles of the domain document out; a capability that moves is moved here on purpose.
func TestRolesHoldExactlyTheirCapabilities(t *testing.T) {
	t.Parallel()
	readonly := []Capability{"view"}
	operator := append(slices.Clone(readonly),
		"provider.verify", "inventory.sync", "policy.sync", "directory.sync", "roles.scan", "backup.run", "run.cancel")
	manager := append(slices.Clone(operator), "restore.execute", "provider.manage", "tenant.manage", "onboarding.manage", "schedule.manage")
	owner := append(slices.Clone(manager), "member.manage", "token.manage", "hold.manage", "workspace.manage")
	for role, want := range map[Role][]Capability{
		"readonly": readonly, "operator": operator, "manager": manager, "owner": owner, "": nil, "admin": nil,
	} {
		got := Capabilities(role)
		slices.Sort(got)
		slices.Sort(want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q holds\n     %v\nwant %v", role, got, want)
		}
		a := Actor{Workspace: sampleID("workspace"), Role: role}
		for _, c := range append(slices.Clone(owner), CapSystem, CapPlatformDirectory, "") {
			if a.May(c) != slices.Contains(want, c) {
				t.Errorf("%q may %q: %v", role, c, a.May(c))
			}
		}
	}
}

func TestOperatorsStartEverythingButRestores(t *testing.T) {
	t.Parallel()
	for _, o := range catalogue {
		for _, role := range []Role{RoleReadonly, RoleOperator, RoleManager, RoleOwner} {
			want := role != RoleReadonly && o.Capability != CapSystem
			if o.Type == OpRestoreExecute && role == RoleOperator {
				want = false
			}
			if got := (Actor{Role: role}).May(o.Capability); got != want {
				t.Errorf("%s may start %s: %v, want %v", role, o.Type, got, want)
			}
		}
		if !SystemActor(sampleID("workspace")).May(o.Capability) {
			t.Errorf("the system may not start %s", o.Type)
		}
	}
}

func TestWhatAnActorSees(t *testing.T) {
	t.Parallel()
	home, other, shown, hidden := sampleID("workspace"), sampleID("other workspace"), sampleID("tenant"), sampleID("hidden tenant")
	member := Actor{Workspace: home, Role: RoleReadonly}
	limited := Actor{Workspace: home, Role: RoleOwner, Tenants: []uuid.UUID{shown}}
	none := Actor{Workspace: home, Role: RoleOwner, Tenants: []uuid.UUID{}}
	platform, confused := Actor{Platform: true}, Actor{Workspace: home, Role: RoleOwner, Platform: true}
	for _, c := range []struct {
		name              string
		actor             Actor
		workspace, tenant uuid.UUID
		want              bool
	}{
		{"a member sees the workspace", member, home, uuid.Nil, true},
		{"a member sees its tenants", member, home, hidden, true},
		{"a member sees no other workspace", member, other, uuid.Nil, false},
		{"a member sees no tenant under another workspace's name", member, other, shown, false},
		{"a limited member sees the workspace", limited, home, uuid.Nil, true},
		{"a limited member sees a listed tenant", limited, home, shown, true},
		{"a limited member sees no other tenant, owner or not", limited, home, hidden, false},
		{"a member limited to nothing sees the workspace", none, home, uuid.Nil, true},
		{"a member limited to nothing sees no tenant", none, home, shown, false},
		{"the platform sees no workspace", platform, home, uuid.Nil, false},
		{"the platform sees no tenant", platform, home, shown, false},
		{"the platform does not see the absence of a workspace", platform, uuid.Nil, uuid.Nil, false},
		{"the platform sees no workspace whose member it also seems to be", confused, home, shown, false},
		{"who has no role sees nothing", Actor{Workspace: home}, home, uuid.Nil, false},
		{"nobody sees nothing", Actor{}, uuid.Nil, uuid.Nil, false},
		{"the system sees the workspace it acts in", SystemActor(home), home, shown, true},
		{"the system sees no other workspace", SystemActor(home), other, shown, false},
		{"the system of no workspace sees none", SystemActor(uuid.Nil), uuid.Nil, uuid.Nil, false},
	} {
		if got := c.actor.Sees(c.workspace, c.tenant); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestThePlatformHoldsOnlyItsDirectory(t *testing.T) {
	t.Parallel()
	a := Actor{Platform: true, Role: RoleOwner, Workspace: sampleID("workspace")}
	if !a.May(CapPlatformDirectory) {
		t.Error("a platform actor may not read the platform's directory")
	}
	for _, c := range append(Capabilities(RoleOwner), CapSystem) {
		if a.May(c) {
			t.Errorf("a platform actor may %s", c)
		}
	}
}

func TestNotFoundComesBeforeForbidden(t *testing.T) {
	t.Parallel()
	home, shown, hidden := sampleID("workspace"), sampleID("tenant"), sampleID("hidden tenant")
	reader := Actor{Workspace: home, Role: RoleReadonly, Tenants: []uuid.UUID{shown}}
	for _, c := range []struct {
		name       string
		actor      Actor
		workspace  uuid.UUID
		tenant     uuid.UUID
		capability Capability
		want       string
	}{
		{"entitled and capable", reader, home, shown, CapView, ""},
		{"entitled without the capability", reader, home, shown, CapDirectorySync, "forbidden"},
		{"not entitled, though capable", reader, home, hidden, CapView, "not_found"},
		{"neither entitled nor capable", reader, home, hidden, CapDirectorySync, "not_found"},
		{"another workspace", reader, sampleID("other workspace"), shown, CapView, "not_found"},
		{"the platform in a workspace", Actor{Platform: true}, home, shown, CapPlatformDirectory, "not_found"},
		{"the system at home", SystemActor(home), home, hidden, CapSystem, ""},
		{"the system elsewhere", SystemActor(home), sampleID("other workspace"), hidden, CapSystem, "not_found"},
	} {
		if got := refusalCode(c.actor.Authorize(c.workspace, c.tenant, c.capability)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestAbsentAndHiddenLookTheSame: every not-found has the same words, so that nothing is told by them.
func TestAbsentAndHiddenLookTheSame(t *testing.T) {
	t.Parallel()
	hidden := (Actor{}).Authorize(sampleID("workspace"), uuid.Nil, CapView)
	_, unknown := LookupOperation("no.such.operation")
	_, unreleased := LookupOperation(OpRestoreExecute)
	_, absent := Tenant{}.Release("over")
	for _, err := range []error{hidden, unknown, unreleased, absent} {
		if !reflect.DeepEqual(err, error(ErrNotFound())) {
			t.Errorf("got %#v, want %#v", err, ErrNotFound())
		}
	}
}

func TestParseRole(t *testing.T) {
	t.Parallel()
	for _, r := range []Role{RoleReadonly, RoleOperator, RoleManager, RoleOwner} {
		if got, err := ParseRole(string(r)); got != r || err != nil {
			t.Errorf("%q: got %q, %v", r, got, err)
		}
	}
	for _, s := range []string{"", "Owner", "admin", " owner"} {
		if got, err := ParseRole(s); got != "" || refusalCode(err) != "/role unknown_role" {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
}

func TestOnlyPeopleAreNotifiedPersonally(t *testing.T) {
	t.Parallel()
	for kind, want := range map[ActorKind]bool{ActorPerson: true, ActorSchedule: false, ActorSystem: false, "": false} {
		if got := (ActorRef{Kind: kind}).Personal(); got != want {
			t.Errorf("%q: %v, want %v", kind, got, want)
		}
	}
}
