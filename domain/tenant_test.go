package domain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func registered() TenantRegistered {
	return TenantRegistered{
		Tenant: TenantStream(sampleID("workspace"), sampleID("directory")), Number: 4, Workspace: sampleID("workspace"),
		ExternalID: sampleID("directory"), Name: "Contoso", Domain: "contoso.example",
	}
}

func TestRegisterTenant(t *testing.T) {
	t.Parallel()
	named := func(name string) func(Tenant) ([]Event, error) {
		return func(t Tenant) ([]Event, error) {
			n := registered()
			n.Name, n.Domain = name, " Contoso.Example "
			return RegisterTenant(t, n)
		}
	}
	longest := strings.Repeat("ü", 120)
	registeredAs := func(name string) []Event {
		n := registered()
		n.Name = name
		return []Event{n}
	}
	runScenarios(t, []scenario[Tenant]{
		{name: "name trimmed, domain in lower case", when: named(" Contoso "), then: registeredAs("Contoso")},
		{name: "a directory is managed once", given: []Event{registered()}, when: named("Contoso"), refused: "tenant_exists"},
		{name: "a name is needed", when: named("\t"), refused: "/name required"},
		{name: "120 characters are a name, whatever they take in bytes", when: named(longest), then: registeredAs(longest)},
		{name: "121 characters are not a name", when: named(longest + "x"), refused: "/name invalid_name"},
		{name: "a name is one line", when: named("Con\ntoso"), refused: "/name invalid_name"},
		{name: "a name moves no terminal's cursor", when: named("Con\u009b2Jtoso"), refused: "/name invalid_name"},
		{name: "a name turns no text around", when: named("Con\u202etoso"), refused: "/name invalid_name"},
		{name: "a name drives no terminal", when: named("Con\x1b[31mtoso"), refused: "/name invalid_name"},
	})
}

func TestChooseDefault(t *testing.T) {
	t.Parallel()
	choose := func(c ProviderConnection) func(Tenant) ([]Event, error) {
		return func(t Tenant) ([]Event, error) { return t.ChooseDefault(c) }
	}
	own, foreign := newConnection(), newConnection()
	foreign.Tenant = sampleID("another tenant")
	runScenarios(t, []scenario[Tenant]{
		{name: "one of its own", given: []Event{registered()}, when: choose(own), then: []Event{DefaultConnectionChosen{Connection: 7}}},
		{name: "the default already", given: []Event{registered(), DefaultConnectionChosen{Connection: 7}}, when: choose(own)},
		{name: "another tenant's", given: []Event{registered()}, when: choose(foreign), refused: "not_found"},
		{name: "none", given: []Event{registered()}, when: choose(ProviderConnection{}), refused: "not_found"},
		{name: "no tenant", when: choose(own), refused: "not_found"},
	})
	other := Fold(Tenant{}, registered(), DefaultConnectionChosen{Connection: 7}, DefaultConnectionChosen{Connection: 8})
	if other.DefaultConnection != 8 {
		t.Errorf("default connection %d, want the last one chosen", other.DefaultConnection)
	}
}

func TestDescribeTenant(t *testing.T) {
	t.Parallel()
	describe := func(name string, groups ...string) func(Tenant) ([]Event, error) {
		return func(t Tenant) ([]Event, error) { return t.Describe(name, groups) }
	}
	gold := TenantGrouped{Groups: []string{"Gold"}}
	runScenarios(t, []scenario[Tenant]{
		{name: "both", given: []Event{registered()}, when: describe("Contoso Europe", "Gold"), then: []Event{TenantRenamed{Name: "Contoso Europe"}, gold}},
		{name: "neither", given: []Event{registered(), gold}, when: describe(registered().Name, "Gold")},
		{name: "a good name with a bad group", given: []Event{registered()}, when: describe("Contoso Europe", " "), refused: "/groups required"},
		{name: "a good group with a bad name", given: []Event{registered()}, when: describe(" ", "Gold"), refused: "/name required"},
		{name: "no tenant", when: describe("Contoso"), refused: "not_found"},
	})
	seen := Tenant{}.Evolve(registered())
	for name, e := range map[string]Event{"another name": TenantRenamed{Name: "Other"}, "a group": gold, "the name as a group": TenantGrouped{Groups: []string{seen.Name}}} {
		if seen.Evolve(e).DetailsTag() == seen.DetailsTag() {
			t.Errorf("%s has the same tag", name)
		}
	}
	if held := seen.Evolve(TenantHeld{Hold{Reason: "Freeze"}}); held.DetailsTag() != seen.DetailsTag() {
		t.Error("a hold changes the tag of the details")
	}
}

func TestTenantHold(t *testing.T) {
	t.Parallel()
	until := now.Add(time.Hour)
	hold := func(reason string) func(Tenant) ([]Event, error) {
		return func(t Tenant) ([]Event, error) { return t.PutOnHold(reason, until) }
	}
	release := func(reason string) func(Tenant) ([]Event, error) {
		return func(t Tenant) ([]Event, error) { return t.Release(reason) }
	}
	held := TenantHeld{Hold{Reason: "Freeze", Until: until}}
	runScenarios(t, []scenario[Tenant]{
		{name: "hold", given: []Event{registered()}, when: hold(" Freeze"), then: []Event{held}},
		{
			name: "a hold is replaced by another", given: []Event{registered(), TenantHeld{Hold{Reason: "Old"}}}, when: hold("Freeze"),
			then: []Event{held},
		},
		{name: "a hold needs a reason", given: []Event{registered()}, when: hold(""), refused: "/reason required"},
		{name: "no tenant to hold", when: hold("Freeze"), refused: "not_found"},
		{name: "release", given: []Event{registered(), held}, when: release(" Over"), then: []Event{TenantReleased{Reason: "Over"}}},
		{name: "a release needs a reason", given: []Event{registered(), held}, when: release(" "), refused: "/reason required"},
		{name: "nothing to release", given: []Event{registered(), held, TenantReleased{}}, when: release("Over")},
		{name: "no tenant to release", when: release("Over"), refused: "not_found"},
	})
}

func TestHoldActive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		hold Hold
		want bool
	}{
		{"no hold", Hold{}, false},
		{"an expiry without a reason is no hold", Hold{Until: now.Add(time.Hour)}, false},
		{"until released", Hold{Reason: "x"}, true},
		{"before its expiry", Hold{"x", now.Add(time.Nanosecond)}, true},
		{"at its expiry", Hold{"x", now}, false},
		{"after its expiry", Hold{"x", now.Add(-time.Hour)}, false},
	} {
		if got := c.hold.Active(now); got != c.want {
			t.Errorf("%s: active %v, want %v", c.name, got, c.want)
		}
	}
}

// TestStreamIDsAreFixed: stream ids are stored; another derivation would lose every history.
func TestStreamIDsAreFixed(t *testing.T) {
	t.Parallel()
	w, x := uuid.MustParse("0191f3a0-0000-7000-8000-000000000001"), uuid.MustParse("0191f3a0-0000-7000-8000-000000000002")
	for name, c := range map[string]struct{ got, want string }{
		"tenant":     {TenantStream(w, x).String(), "28ee76bd-a8c1-555d-9e08-1f2cff7065e9"},
		"connection": {ConnectionStream(7).String(), "1630e03d-4f41-5a76-bc3a-2728284f8190"},
		"attempt":    {AttemptStream(w, x).String(), "8adbb243-4cac-5621-9904-0df3b77268f9"},
		"strict run": {StrictRunStream("00112233445566778899aabbccddeeff").String(), "9f833e0d-3b44-5782-8753-a27d88657c18"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", name, c.got, c.want)
		}
	}
	if TenantStream(w, x) == TenantStream(x, w) || AttemptStream(w, x) == TenantStream(w, x) {
		t.Error("two things share a stream")
	}
}

func TestTenantRenamed(t *testing.T) {
	t.Parallel()
	if got := Fold(Tenant{}, registered(), TenantRenamed{Name: "Fabrikam"}).Name; got != "Fabrikam" {
		t.Errorf("name %q, want Fabrikam", got)
	}
}

func TestRenameTenant(t *testing.T) {
	t.Parallel()
	to := func(name string) func(Tenant) ([]Event, error) {
		return func(t Tenant) ([]Event, error) { return t.Rename(name) }
	}
	runScenarios(t, []scenario[Tenant]{
		{name: "another name", given: []Event{registered()}, when: to(" Contoso Europe "), then: []Event{TenantRenamed{"Contoso Europe"}}},
		{name: "the same name", given: []Event{registered()}, when: to(registered().Name)},
		{name: "a name is needed", given: []Event{registered()}, when: to(" "), refused: "/name required"},
		{name: "no tenant", when: to("x"), refused: "not_found"},
	})
}

func TestOnlyThePlatformInspects(t *testing.T) {
	t.Parallel()
	there := sampleTenant()
	for name, c := range map[string]struct {
		tenant Tenant
		actor  Actor
		events int
	}{
		"the platform":                  {there, Actor{Platform: true}, 1},
		"the platform, of no tenant":    {Tenant{}, Actor{Platform: true}, 0},
		"an owner of the workspace":     {there, Actor{Workspace: there.Workspace, Role: RoleOwner}, 0},
		"the system, which has no eyes": {there, SystemActor(there.Workspace), 0},
	} {
		events, err := c.tenant.Inspect(c.actor)
		refusal, refused := AsRefusal(err)
		if len(events) != c.events || refused != (c.events == 0) || refused && refusal.Code != "not_found" {
			t.Errorf("%s: %v, %v", name, events, err)
		}
	}
}
