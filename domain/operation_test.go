package domain

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestTheCatalogueIsTheDocuments writes the catalogue of the domain document out, so that a change here is a change there.
func TestTheCatalogueIsTheDocuments(t *testing.T) {
	t.Parallel()
	policies := []string{"DeviceManagementConfiguration.Read.All", "DeviceManagementServiceConfig.Read.All", "Policy.Read.All"}
	roles := []string{"RoleManagement.Read.Directory"}
	want := map[OperationType]struct {
		rule         IdentityRule
		capability   Capability
		permissions  []string
		inputs       string
		write, check bool
	}{
		"provider.connection.check": {
			WhileActive, "provider.verify", []string{"Application.Read.All", "Directory.Read.All"}, "", false, true,
		},
		"inventory.sync": {WhileActive, "inventory.sync", []string{
			"DeviceManagementConfiguration.Read.All", "DeviceManagementManagedDevices.Read.All", "DeviceManagementServiceConfig.Read.All",
		}, "selectionKey", false, false},
		"policy.sync":                     {WhileActive, "policy.sync", policies, "policyTypes", false, false},
		"directory_groups.sync":           {WhileActive, "directory.sync", []string{"GroupMember.Read.All"}, "selectionKey", false, false},
		"directory_role_definitions.sync": {WhileActive, "directory.sync", roles, "", false, false},
		"entra.admin_roles.scan":          {WhileActive, "roles.scan", roles, "", false, false},
		"backup_schedule.run_now":         {PerAttempt, "backup.run", policies, "scheduleId", false, false},
		"backup_schedule.retry":           {PerAttempt, "backup.run", policies, "scheduleId", false, false},
		"backup_schedule.scheduled":       {Strict, "system", policies, "scheduleId scheduledFor", false, false},
		"restore.execute": {
			Strict, "restore.execute", []string{"DeviceManagementConfiguration.ReadWrite.All"}, "restoreRunId", true, false,
		},
	}
	if len(catalogue) != len(want) {
		t.Errorf("%d entries, want %d", len(catalogue), len(want))
	}
	for _, o := range catalogue {
		w, ok := want[o.Type]
		if !ok {
			t.Errorf("%s is not in the document", o.Type)
			continue
		}
		if o.Rule != w.rule || o.Capability != w.capability || o.Write != w.write || o.Check != w.check {
			t.Errorf("%s: got %+v, want %+v", o.Type, o, w)
		}
		if got := sorted(o.Permissions); !reflect.DeepEqual(got, w.permissions) {
			t.Errorf("%s needs %v, want %v", o.Type, got, w.permissions)
		}
		var inputs []string
		for k := range o.Inputs {
			inputs = append(inputs, k)
		}
		if got := strings.Join(sorted(inputs), " "); got != w.inputs {
			t.Errorf("%s has the inputs %q, want %q", o.Type, got, w.inputs)
		}
	}
}

func TestOnlyReleasedOperationsAreFound(t *testing.T) {
	t.Parallel()
	var released []OperationType
	for _, o := range catalogue {
		got, err := LookupOperation(o.Type)
		if o.Released {
			released = append(released, o.Type)
			if err != nil || got.Type != o.Type {
				t.Errorf("%s: got %q, %v", o.Type, got.Type, err)
			}
		} else if refusalCode(err) != "not_found" || got.Type != "" {
			t.Errorf("%s is not released: got %q, %v", o.Type, got.Type, err)
		}
	}
	var listed []OperationType
	for _, o := range Catalogue() {
		listed = append(listed, o.Type)
	}
	if !slices.Equal(listed, released) || len(listed) < 3 {
		t.Errorf("the catalogue lists %v, want the released ones %v", listed, released)
	}
	for _, name := range []OperationType{"", "directory_groups", "Directory_Groups.Sync"} {
		if _, err := LookupOperation(name); refusalCode(err) != "not_found" {
			t.Errorf("%q: %v, want not found", name, err)
		}
	}
}

func TestOperationsHaveWords(t *testing.T) {
	t.Parallel()
	sentence := regexp.MustCompile(`^[A-Z][a-z]+( [a-z]+)*$`)
	for _, o := range catalogue {
		got := OperationByType(o.Type) // also what is not released
		if got.Type != o.Type || !sentence.MatchString(got.Label) || !sentence.MatchString(got.Verb) || got.Label == got.Verb {
			t.Errorf("%s: got %s with label %q, verb %q", o.Type, got.Type, got.Label, got.Verb)
		}
	}
	want := Operation{Type: "gone.sync", Label: "gone.sync", Verb: "gone.sync"}
	if got := OperationByType("gone.sync"); !reflect.DeepEqual(got, want) {
		t.Errorf("an operation that is gone: %+v, want it named by its type and not released", got)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	type inputs = map[string]string
	longest := strings.Repeat("x", 200)
	for _, c := range []struct {
		name    string
		op      OperationType
		in      inputs
		want    inputs
		refused string
	}{
		{name: "a default is filled in", op: OpGroupsSync, want: inputs{"selectionKey": "all_groups_v1"}},
		{name: "an empty input is the default", op: OpGroupsSync, in: inputs{"selectionKey": ""}, want: inputs{"selectionKey": "all_groups_v1"}},
		{name: "an input replaces the default", op: OpGroupsSync, in: inputs{"selectionKey": "pilot"}, want: inputs{"selectionKey": "pilot"}},
		{name: "an input it does not have", op: OpGroupsSync, in: inputs{"selection": "x"}, refused: "/selection unknown_input"},
		{name: "no inputs", op: OpRoleDefinitionsSync},
		{name: "no inputs, one given", op: OpRoleDefinitionsSync, in: inputs{"x": "y"}, refused: "/x unknown_input"},
		{name: "a required input", op: OpBackupScheduled, in: inputs{"scheduleId": "3"}, refused: "/scheduledFor required"},
		{
			name: "both required inputs", op: OpBackupScheduled, in: inputs{"scheduleId": "3", "scheduledFor": "2026-11-07T14:00:00Z"},
			want: inputs{"scheduleId": "3", "scheduledFor": "2026-11-07T14:00:00Z"},
		},
		{name: "200 bytes", op: OpGroupsSync, in: inputs{"selectionKey": longest}, want: inputs{"selectionKey": longest}},
		{name: "201 bytes", op: OpGroupsSync, in: inputs{"selectionKey": longest + "x"}, refused: "/selectionKey too_long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := shown(c.in)
			got, err := entry(c.op).Resolve(c.in)
			if refusalCode(err) != c.refused || shown(got) != shown(c.want) {
				t.Errorf("got %v, %v; want %v, refused %q", got, err, c.want, c.refused)
			}
			if shown(c.in) != before {
				t.Error("resolving changed the caller's inputs")
			}
		})
	}
}

func TestIdentitySaysWhatIsTheSameWork(t *testing.T) {
	t.Parallel()
	type arguments struct {
		op                 OperationType
		tenant, connection uuid.UUID
		inputs             map[string]string
		attempt            uuid.UUID
	}
	base := func(op OperationType) arguments {
		return arguments{op, sampleID("tenant"), sampleID("connection"), map[string]string{"scheduleId": "3"}, sampleID("attempt")}
	}
	identity := func(a arguments) string { return entry(a.op).Identity(a.tenant, a.connection, a.inputs, a.attempt) }
	for _, o := range catalogue {
		own := identity(base(o.Type))
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(own) {
			t.Errorf("%s: identity %q is not 32 hex digits", o.Type, own)
		}
		for _, c := range []struct {
			name   string
			change func(*arguments)
			same   bool
		}{
			{"nothing", func(*arguments) {}, true},
			{"the tenant", func(a *arguments) { a.tenant = sampleID("other") }, false},
			{"the connection", func(a *arguments) { a.connection = sampleID("other") }, false},
			{"an input", func(a *arguments) { a.inputs = map[string]string{"scheduleId": "4"} }, false},
			{"the attempt", func(a *arguments) { a.attempt = sampleID("other") }, o.Rule != PerAttempt},
		} {
			other := base(o.Type)
			c.change(&other)
			if got := identity(other) == own; got != c.same {
				t.Errorf("%s: with %s changed the same work: %v, want %v", o.Type, c.name, got, c.same)
			}
		}
	}
	if identity(base(OpBackupRunNow)) == identity(base(OpBackupRetry)) {
		t.Error("two operations share an identity")
	}
}

// TestIdentityIsTheSameFromTheLog: an event does not store an empty map, so the inputs of an operation without inputs come back as
// nil. The identity that is computed from them has to be the one that was decided on.
func TestIdentityIsTheSameFromTheLog(t *testing.T) {
	t.Parallel()
	s := readySituation()
	for _, o := range catalogue {
		a := attemptOf(o.Type)
		stored := reread(t, Start(s, a).Changes(s, a)[0].Events[0]).(RunAccepted)
		if got := o.Identity(stored.Tenant, s.Connection.ID, stored.Inputs, stored.Attempt); got != stored.Identity {
			t.Errorf("%s: identity from the log %s, decided on %s", o.Type, got, stored.Identity)
		}
	}
}

// TestIdentityIsFixed: identities are stored, and strict runs live in streams derived from them.
func TestIdentityIsFixed(t *testing.T) {
	t.Parallel()
	w, x := uuid.MustParse("0191f3a0-0000-7000-8000-000000000001"), uuid.MustParse("0191f3a0-0000-7000-8000-000000000002")
	for op, want := range map[OperationType]string{
		OpGroupsSync: "8109e3febb06e03171a714bed8b66e86", OpBackupRunNow: "5df692b18c224f2f99422fdeeefb32da",
	} {
		if got := entry(op).Identity(w, x, map[string]string{"a": "<1>", "b": "2"}, w); got != want {
			t.Errorf("%s: %s, want %s", op, got, want)
		}
	}
}
