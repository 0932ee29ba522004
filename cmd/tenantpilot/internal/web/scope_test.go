package web_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

// TestAMemberSeesWhatTheScopeIncludes compares, for every kind of scope, the tenants that a member is shown with what domain.Scope says. A list
// with nothing in it is not the same as no list: it shows nothing, on its whole way through the log and the read model.
func TestAMemberSeesWhatTheScopeIncludes(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us, ctx := domain.SystemActor(c.ours), t.Context()
	groups := map[uuid.UUID][]string{c.contoso.ID: {"Europe"}, c.tailspn.ID: {"Europe", "VIP"}}
	for _, tenant := range []domain.Tenant{c.contoso, c.tailspn} {
		_, err := c.commands.DescribeTenant(ctx, commands.DescribeTenant{Actor: us, Tenant: tenant.ExternalID, Name: tenant.Name, Groups: groups[tenant.ID]})
		must(t, err)
	}
	limited := c.program(t, "limited")
	for name, scope := range map[string]domain.Scope{
		"everything": {}, "no tenant": {Tenants: []uuid.UUID{}}, "no group": {Groups: []string{}}, "no tenant, no group": {Tenants: []uuid.UUID{}, Groups: []string{}},
		"a tenant": {Tenants: []uuid.UUID{c.contoso.ID}}, "a tenant of others": {Tenants: []uuid.UUID{c.fabrikam.ID}}, "a group": {Groups: []string{"VIP"}},
		"a group that is not there": {Groups: []string{"Asia"}}, "a group or a tenant": {Groups: []string{"VIP"}, Tenants: []uuid.UUID{c.contoso.ID}},
		"all but a group": {ExceptGroups: []string{"VIP"}}, "all but a tenant": {ExceptTenants: []uuid.UUID{c.contoso.ID}},
		"all but nothing": {ExceptTenants: []uuid.UUID{}, ExceptGroups: []string{}}, "a group but for a tenant": {Groups: []string{"Europe"}, ExceptTenants: []uuid.UUID{c.tailspn.ID}},
		"a tenant but for its group": {Tenants: []uuid.UUID{c.tailspn.ID}, ExceptGroups: []string{"VIP"}}, "no tenant but for one": {Tenants: []uuid.UUID{}, ExceptTenants: []uuid.UUID{c.contoso.ID}},
	} {
		must(t, c.commands.ScopeMember(ctx, commands.ScopeMember{Actor: us, Person: c.people["limited"], Scope: scope}))
		c.settle(t)
		for _, tenant := range []domain.Tenant{c.contoso, c.tailspn, c.fabrikam} {
			want := 404
			if tenant.Workspace == c.ours && scope.Includes(tenant.ID, groups[tenant.ID]) {
				want = 200
			}
			if res := limited.send(t, "GET", "/admin/tenants/"+tenant.ExternalID.String(), accept("application/json")); res.status != want {
				t.Errorf("%s: %s is %d, want %d", name, tenant.Name, res.status, want)
			}
		}
		shown := 0
		for tenant, of := range groups {
			if scope.Includes(tenant, of) {
				shown++
			}
		}
		if n := len(limited.rows(t, "/admin/provider-connections")); n != shown {
			t.Errorf("%s: %d connections are listed, want %d", name, n, shown)
		}
	}
	// The other ways to become a member who sees nothing.
	for name, become := range map[string]func(person uuid.UUID) error{
		"added": func(person uuid.UUID) error {
			return c.commands.AddMember(ctx, commands.AddMember{Actor: us, Person: person, Role: domain.RoleReadonly, Tenants: []uuid.UUID{}})
		},
		"given another role": func(person uuid.UUID) error {
			must(t, c.commands.AddMember(ctx, commands.AddMember{Actor: us, Person: person, Role: domain.RoleManager, Tenants: []uuid.UUID{}}))
			return c.commands.ChangeRole(ctx, commands.ChangeRole{Actor: us, Person: person, Role: domain.RoleReadonly})
		},
	} {
		person, err := c.auth.CreatePerson(ctx, uuid.NewString()+"@example.test", name, false)
		must(t, err)
		must(t, become(person))
		c.settle(t)
		c.people[name] = person
		res := c.program(t, name).send(t, "GET", "/admin/provider-connections", accept("application/json"))
		var list struct{ Rows []json.RawMessage }
		must(t, json.Unmarshal(res.body, &list))
		if len(list.Rows) != 0 {
			t.Errorf("%s with no tenant: %d connections are listed", name, len(list.Rows))
		}
	}
}
