package domain

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestTokenDecisions(t *testing.T) {
	t.Parallel()
	workspace, now := sampleID("workspace"), time.Date(2026, 11, 7, 14, 3, 0, 0, time.UTC)
	member := func(name string, role Role, tenants ...uuid.UUID) Actor {
		return Actor{Ref: person(name), Workspace: workspace, Role: role, Tenants: tenants}
	}
	ada, grace, owner := member("ada", RoleOperator), member("grace", RoleManager), member("olga", RoleOwner)
	stranger := Actor{Ref: person("eve"), Workspace: sampleID("elsewhere"), Role: RoleOwner}
	issued := TokenIssued{
		Token: sampleID("token"), Workspace: workspace, Owner: ada.Ref.ID, Name: "CI", Prefix: "tp_abc", Scopes: []Capability{CapDirectorySync}, Expires: now.Add(TokenTime),
	}
	issue := func(by Actor, change func(*TokenIssued)) func(Token) ([]Event, error) {
		n := issued
		n.Scopes = slices.Clone(issued.Scopes)
		if change != nil {
			change(&n)
		}
		return func(tk Token) ([]Event, error) { return tk.Issue(by, n, now) }
	}
	rotated := TokenRotated{Prefix: "tp_def", Overlap: now.Add(TokenOverlap), Expires: now.Add(TokenTime)}
	rotate := func(by Actor, r TokenRotated) func(Token) ([]Event, error) {
		return func(tk Token) ([]Event, error) { return tk.Rotate(by, r, now) }
	}
	revoke := func(by Actor) func(Token) ([]Event, error) {
		return func(tk Token) ([]Event, error) { return tk.Revoke(by) }
	}
	late, long := rotated, rotated
	late.Expires, long.Overlap = now.Add(2*MostTokenTime), now.Add(8*24*time.Hour)
	stored := issued
	stored.Name = "" // the log has no name that could say who somebody is
	there, gone := []Event{stored}, []Event{issued, TokenRevoked{By: ada.Ref}}
	runScenarios(t, []scenario[Token]{
		{name: "issue", when: issue(ada, nil), then: there},
		{name: "issue again", given: there, when: issue(ada, nil)},
		{name: "issue without a name", when: issue(ada, func(n *TokenIssued) { n.Name = " " }), refused: "/name invalid_name"},
		{name: "issue more than one may", when: issue(ada, func(n *TokenIssued) { n.Scopes = []Capability{CapProviderManage} }), refused: "forbidden"},
		{name: "issue what is nothing", when: issue(ada, func(n *TokenIssued) { n.Scopes = []Capability{"everything"} }), refused: "/scopes unknown_scope"},
		{
			name: "issue for a tenant that one does not see", refused: "/tenants unknown_tenant",
			when: issue(member("ada", RoleOperator, sampleID("contoso")), func(n *TokenIssued) { n.Tenants = []uuid.UUID{sampleID("fabrikam")} }),
		},
		{name: "issue for ever", when: issue(ada, func(n *TokenIssued) { n.Expires = now.Add(10 * MostTokenTime) }), refused: "/expires too_late"},
		{name: "issue for yesterday", when: issue(ada, func(n *TokenIssued) { n.Expires = now }), refused: "/expires past"},
		{name: "rotate", given: there, when: rotate(ada, rotated), then: []Event{rotated}},
		{name: "rotate what is revoked", given: gone, when: rotate(ada, rotated), refused: "token_revoked"},
		{name: "rotate to too late a day", given: there, when: rotate(ada, late), refused: "/expires too_late"},
		{name: "rotate with too long an overlap", given: there, when: rotate(ada, long), refused: "/overlap out_of_range"},
		{name: "rotate another's as a colleague", given: there, when: rotate(grace, rotated), refused: "not_found"},
		{name: "rotate another's as who manages tokens", given: there, when: rotate(owner, rotated), refused: "token_of_another"},
		{name: "rotate another workspace's", given: there, when: rotate(stranger, rotated), refused: "not_found"},
		{name: "revoke", given: there, when: revoke(ada), then: []Event{TokenRevoked{By: ada.Ref}}},
		{name: "revoke another's as a colleague", given: there, when: revoke(grace), refused: "not_found"},
		{name: "revoke another's as who manages tokens", given: there, when: revoke(owner), then: []Event{TokenRevoked{By: owner.Ref}}},
		{name: "revoke another workspace's", given: there, when: revoke(stranger), refused: "not_found"},
		{name: "revoke again", given: gone, when: revoke(ada)},
		{name: "revoke what never was", when: revoke(owner), refused: "not_found"},
	})
}

func TestATokenNarrowsOnly(t *testing.T) {
	t.Parallel()
	contoso, fabrikam := sampleID("contoso"), sampleID("fabrikam")
	operator := Actor{Ref: person("ada"), Workspace: sampleID("workspace"), Role: RoleOperator, Tenants: []uuid.UUID{contoso}}
	all := operator.Narrow(nil, nil)
	for _, c := range Capabilities(RoleOwner) {
		if all.May(c) != operator.May(c) {
			t.Errorf("without scopes %s is %t, its owner's %t", c, all.May(c), operator.May(c))
		}
	}
	n := operator.Narrow([]Capability{CapDirectorySync, CapProviderManage}, []uuid.UUID{contoso, fabrikam})
	if !n.May(CapDirectorySync) || n.May(CapProviderManage) || n.May(CapRunCancel) || !n.May(CapView) {
		t.Errorf("capabilities %v", n.Capabilities)
	}
	if !slices.Equal(n.Tenants, []uuid.UUID{contoso}) || n.Preview {
		t.Errorf("narrowed to %v, preview %t", n.Tenants, n.Preview)
	}
}
