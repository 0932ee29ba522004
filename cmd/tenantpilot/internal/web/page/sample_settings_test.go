package page_test

import (
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// settingsSamples are the pages of the settings, and a page that is seen as another role.
func settingsSamples() map[string]templ.Component {
	settings := func(title, path string) view.Shell {
		s := quiet(title, path)
		s.Settings = view.SettingsNav(path, []view.Link{
			{Label: "Profile", Href: view.ProfileHref},
			{Label: "Members", Href: "/admin/settings/members"},
			{Label: "API tokens", Href: "/admin/settings/tokens"},
			{Label: "Workspace", Href: view.WorkspaceHref},
		})
		return s
	}
	session := func(id, device, address string, since, used time.Duration) view.SessionLine {
		return view.SessionLine{ID: id, Device: device, Address: address, Since: ago(since), Used: ago(used)}
	}
	here := session("s1", "Firefox on Linux", "198.51.100.7", 26*time.Hour, 20*time.Second)
	here.Current = true
	profile := view.PresentProfile(view.ProfileFacts{
		Name: "Kim Larsen", Email: "kim@northlight.example", Workspace: "Northlight MSP", Role: domain.RoleOwner, MayEnd: true,
		Idle: 8 * time.Hour, Lifetime: 7 * 24 * time.Hour, Now: now, Sessions: []view.SessionLine{
			here, session("s2", "Safari on iPhone", "2001:db8::17", 3*24*time.Hour, 2*time.Hour), session("s3", "Edge on Windows", "203.0.113.40", 5*24*time.Hour, 7*time.Hour),
		},
	})
	profile.History = []view.Change{{Position: 2201, At: ago(time.Hour), Event: "SessionsEnded", Sentence: "Signed out of 2 sessions of their own.", Actor: "Kim Larsen"}}
	workspace := view.PresentWorkspace(view.WorkspaceFacts{
		Name: "Northlight MSP", MayRename: true, Verifier: "log.northlight.example+4f2a9c01+AZ0yTq7b5sVYc1p1b3J2",
		Keyset: &view.KeysInUse{Primary: 2884501, Keys: 2}, Now: now,
	})
	workspace.History = []view.Change{{Position: 2214, At: now, Event: "WorkspaceRenamed", Sentence: "Renamed the workspace to Northlight MSP.", Actor: "Kim Larsen"}}
	bare := view.PresentWorkspace(view.WorkspaceFacts{Name: "Northlight MSP", Now: now})
	preview := quiet("Tenants", "/admin/tenants")
	preview.Preview = view.PresentPreview(domain.RoleOperator, nil, nil)
	tokens := view.PresentTokens(view.TokensFacts{
		Actor: domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.UUID{7}}, Workspace: uuid.UUID{1}, Role: domain.RoleOwner}, Session: true, Now: now,
		Tenants: []view.Link{{Label: "Contoso", Href: uuid.UUID{31}.String()}, {Label: "Tailspin", Href: uuid.UUID{32}.String()}},
		Tokens: []view.TokenFacts{
			{
				Token:     domain.Token{ID: uuid.UUID{81}, Owner: uuid.UUID{7}, Name: "Nightly inventory", Scopes: []domain.Capability{domain.CapInventorySync, domain.CapDirectorySync}},
				OwnerName: "Kim Larsen", Revoked: []bool{false, false}, Secrets: []view.SecretLine{
					{Prefix: "tp_Yq3kAb", Created: ago(2 * time.Hour), Expires: now.Add(89 * 24 * time.Hour), LastUsed: ago(3 * time.Minute), From: "198.51.100.20"},
					{Prefix: "tp_8sKw1c", Created: ago(80 * 24 * time.Hour), Expires: now.Add(22 * time.Hour), LastUsed: ago(40 * time.Minute), From: "198.51.100.20"},
				},
			},
			{
				Token:     domain.Token{ID: uuid.UUID{82}, Owner: uuid.UUID{8}, Name: "Old report", Tenants: []uuid.UUID{{31}}},
				OwnerName: "Ada Berg", Revoked: []bool{false}, Secrets: []view.SecretLine{{Prefix: "tp_0aBc9d", Created: ago(85 * 24 * time.Hour), Expires: now.Add(5 * 24 * time.Hour)}},
			},
		},
		History: map[uuid.UUID][]view.Change{{81}: {{Position: 2230, At: ago(2 * time.Hour), Event: "TokenRotated", Sentence: "Gave the API token another secret (tp_Yq3kAb…).", Actor: "Kim Larsen"}}},
	})
	made := tokens
	made.Made = view.PresentMadeToken("Nightly inventory", "tp_Yq3kAbN0tARealSecretN0tARealSecretN0tARealS")
	north, south := projections.Tenant{ID: uuid.UUID{31}, Name: "Contoso"}, projections.Tenant{ID: uuid.UUID{32}, Name: "Tailspin"}
	review := view.PresentMemberReview(view.MemberReviewFacts{
		Member: projections.Member{Person: uuid.UUID{8}, Name: "Ada Berg", Role: domain.RoleOperator}, Scope: &domain.Scope{Tenants: []uuid.UUID{south.ID}},
		Tenants: []projections.Tenant{north, south}, Effect: domain.Effect{
			Loses: []domain.Grant{{Capabilities: domain.Capabilities(domain.RoleOperator), Tenants: []uuid.UUID{north.ID}}},
			Gains: []domain.Grant{{Capabilities: []domain.Capability{domain.CapHoldManage}, Tenants: []uuid.UUID{south.ID}}}, Later: &domain.Later{Groups: []string{"Europe"}}, Changes: true,
		},
	})
	return map[string]templ.Component{
		"settings-member-review":   page.ReviewPage(settings("Change a member", "/admin/settings/members"), review.ReviewPage),
		"settings-tokens":          page.TokensPage(settings("API tokens", view.TokensHref), tokens),
		"settings-token-made":      page.TokensPage(settings("API tokens", view.TokensHref), made),
		"settings-profile":         page.ProfilePage(settings("Profile", view.ProfileHref), profile),
		"settings-workspace":       page.WorkspacePage(settings("Workspace", view.WorkspaceHref), workspace),
		"settings-workspace-plain": page.WorkspacePage(settings("Workspace", view.WorkspaceHref), bare),
		"settings-members":         page.MembersPage(settings("Members and roles", "/admin/settings/members"), sampleMembers()),
		"preview":                  page.TenantsPage(preview, view.TenantList{Now: now, Action: "/admin/tenants", Rows: sampleTenantRows()}),
	}
}
