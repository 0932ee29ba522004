package view

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// MembersHref is the page of members and roles.
const MembersHref = "/admin/settings/members"

// Members is the page of a workspace's members, invitations and roles.
type Members struct {
	Members     []MemberLine     `json:"members"`
	Invitations []InvitationLine `json:"invitations"`
	Roles       []RoleLine       `json:"roles"`
	History     []Change         `json:"history"`

	// MayManage shows forms and buttons.
	MayManage    bool         `json:"-"`
	Capabilities []Capability `json:"-"`
	Tenants      []Link       `json:"-"` // label and id, for the scope form
	Groups       []string     `json:"-"`
	Now          time.Time    `json:"-"`
	// Made is what a form just made and is shown only now: an invitation's link.
	Made *MadeInvitation `json:"-"`
}

// MadeInvitation is what to tell the invited person.
type MadeInvitation struct {
	Email    string
	Link     string // opens this workspace once; empty where people sign in at an identity provider
	Provider string // what that is called
	Until    time.Time
}

// MemberLine is one member.
type MemberLine struct {
	Person     string       `json:"person"`
	Name       string       `json:"name"`
	Email      string       `json:"email"`
	Role       string       `json:"role"`
	Scope      domain.Scope `json:"scope"`
	Sees       string       `json:"sees"`
	LastActive time.Time    `json:"-"`
	Me         bool         `json:"-"`
	Buttons    []Button     `json:"-"`
}

// SeesTenant says whether the scope lists a tenant; the other three likewise.
func (m MemberLine) SeesTenant(id string) bool { return lists(m.Scope.Tenants, id) }

// SeesGroup says whether the scope lists a group.
func (m MemberLine) SeesGroup(g string) bool { return slices.Contains(m.Scope.Groups, g) }

// ExceptTenant says whether the scope leaves a tenant out.
func (m MemberLine) ExceptTenant(id string) bool { return lists(m.Scope.ExceptTenants, id) }

// ExceptGroup says whether the scope leaves a group out.
func (m MemberLine) ExceptGroup(g string) bool { return slices.Contains(m.Scope.ExceptGroups, g) }

func lists(ids []uuid.UUID, id string) bool {
	return slices.ContainsFunc(ids, func(u uuid.UUID) bool { return u.String() == id })
}

// Offer is an invitation as the invited person sees it.
type Offer struct {
	Workspace, Role string
	Accept, Decline Button
}

// PresentOffers words the invitations of a person.
func PresentOffers(invited []projections.Invited) []Offer {
	offers := make([]Offer, 0, len(invited))
	for _, i := range invited {
		to := "/invitations/" + i.Workspace.String()
		offers = append(offers, Offer{
			Workspace: i.WorkspaceName, Role: string(i.Role),
			Accept:  Button{Label: "Accept", Icon: "check", Post: true, Variant: "primary", Href: to + "/accept"},
			Decline: Button{Label: "Decline", Post: true, Variant: "outline", Href: to + "/decline"},
		})
	}
	return offers
}

// InvitationLine is one open invitation.
type InvitationLine struct {
	Person   string    `json:"person"`
	Email    string    `json:"email"`
	Role     string    `json:"role"`
	Sees     string    `json:"sees"`
	Until    time.Time `json:"until"`
	Expired  bool      `json:"expired"`
	Withdraw *Button   `json:"-"`
}

// RoleLine is one role with what it allows.
type RoleLine struct {
	Role         string   `json:"role"`
	Preset       bool     `json:"preset"`
	Capabilities []string `json:"capabilities"`
	Members      int      `json:"members"`
	Remove       *Button  `json:"-"`
}

// Allows says whether the role has a capability.
func (r RoleLine) Allows(c string) bool { return slices.Contains(r.Capabilities, c) }

// Capability is one thing that a role can allow, in words.
type Capability struct{ Code, Words string }

// Change is one recorded change.
type Change struct {
	Position int64     `json:"position"`
	At       time.Time `json:"at"`
	Event    string    `json:"event"`
	Sentence string    `json:"sentence"`
	Actor    string    `json:"actor"`
}

// Presets are the roles that every workspace has, from least to most.
var Presets = []domain.Role{domain.RoleReadonly, domain.RoleAuditor, domain.RoleOperator, domain.RoleManager, domain.RoleOwner}

var capabilityWords = map[domain.Capability]string{
	domain.CapView: "See tenants, runs and reports", domain.CapProviderVerify: "Check provider connections",
	domain.CapInventorySync: "Sync inventory", domain.CapPolicySync: "Sync policies", domain.CapDirectorySync: "Sync directory groups and roles",
	domain.CapRolesScan: "Scan administrator roles", domain.CapBackupRun: "Run backups", domain.CapRunCancel: "Cancel runs",
	domain.CapRestoreExecute: "Restore into tenants", domain.CapProviderManage: "Manage provider connections and credentials",
	domain.CapTenantManage: "Manage tenants", domain.CapOnboardingManage: "Onboard tenants", domain.CapScheduleManage: "Manage schedules",
	domain.CapMemberManage: "Manage members and roles", domain.CapTokenManage: "Manage others' API tokens", domain.CapHoldManage: "Hold and release",
	domain.CapWorkspaceManage: "Rename the workspace",
}

// CapabilityWords words a capability.
func CapabilityWords(c domain.Capability) string {
	if words := capabilityWords[c]; words != "" {
		return words
	}
	return string(c)
}

// MembersFacts is what the page is made from.
type MembersFacts struct {
	Members     []projections.Member
	Invitations []projections.Invited
	Roles       []projections.CustomRole
	History     []projections.Change
	Tenants     []projections.Tenant
	Me          uuid.UUID
	MayManage   bool
	// SeesAll is unset for a viewer who sees a part of the tenants: what colleagues see is then told as far as the viewer sees it too.
	SeesAll bool
	Now     time.Time
}

// PresentMembers words the members page.
func PresentMembers(f MembersFacts) Members {
	p := Members{
		MayManage: f.MayManage, Now: f.Now, Members: []MemberLine{}, Invitations: []InvitationLine{}, Roles: []RoleLine{}, History: []Change{},
	}
	names := map[uuid.UUID]string{}
	for _, t := range f.Tenants {
		names[t.ID] = t.Name
		p.Tenants = append(p.Tenants, Link{t.Name, t.ID.String()})
		p.Groups = append(p.Groups, t.Groups...)
	}
	slices.Sort(p.Groups)
	p.Groups = slices.Compact(p.Groups)
	held := map[domain.Role]int{}
	told := func(s domain.Scope) (domain.Scope, string) {
		if f.SeesAll {
			return s, sees(s, names)
		}
		part := seenPart(s, names, p.Groups)
		if part.Everything() == s.Everything() && sees(part, names) == sees(s, names) {
			return part, sees(s, names)
		}
		return part, "Some tenants"
	}
	for _, m := range f.Members {
		held[m.Role]++
		scope, words := told(m.Scope())
		line := MemberLine{
			Person: m.Person.String(), Name: m.Name, Email: m.Email, Role: string(m.Role), Scope: scope, Sees: words,
			LastActive: at(m.LastActive), Me: m.Person == f.Me,
		}
		remove := Button{
			Label: "Remove", Icon: "log-out", Post: true, Variant: "ghost", Href: "/admin/settings/members/" + line.Person + "/remove",
			Confirm: "Remove " + m.Name + "? They lose access to this workspace at once. What they did stays in the log.",
		}
		if line.Me {
			remove.Label, remove.Confirm = "Leave", "Leave this workspace? You lose access at once."
		}
		if f.MayManage || line.Me {
			line.Buttons = []Button{remove}
		}
		p.Members = append(p.Members, line)
	}
	for _, i := range f.Invitations {
		_, words := told(i.Scope)
		line := InvitationLine{
			Person: i.Person.String(), Email: i.Email, Role: string(i.Role), Sees: words, Until: i.Until.UTC(), Expired: !f.Now.Before(i.Until),
		}
		if f.MayManage {
			line.Withdraw = &Button{Label: "Withdraw", Icon: "x", Post: true, Variant: "ghost", Href: "/admin/settings/members/" + line.Person + "/withdraw"}
		}
		p.Invitations = append(p.Invitations, line)
	}
	for _, c := range domain.Capabilities(domain.RoleOwner) {
		p.Capabilities = append(p.Capabilities, Capability{string(c), CapabilityWords(c)})
	}
	for _, r := range Presets {
		p.Roles = append(p.Roles, RoleLine{Role: string(r), Preset: true, Capabilities: codes(domain.Capabilities(r)), Members: held[r]})
	}
	for _, r := range f.Roles {
		line := RoleLine{Role: string(r.Role), Capabilities: codes(r.Capabilities), Members: held[r.Role]}
		if f.MayManage {
			line.Remove = &Button{
				Label: "Remove role", Icon: "x", Post: true, Variant: "ghost", Href: "/admin/settings/roles/" + line.Role + "/remove",
				Confirm: "Remove the role " + line.Role + "?",
			}
			if line.Members > 0 {
				line.Remove.DisabledReason = "Members have this role. Give them another one first."
			}
		}
		p.Roles = append(p.Roles, line)
	}
	p.History = PresentChanges(slices.DeleteFunc(f.History, func(c projections.Change) bool {
		return c.Name == (domain.EvidenceExported{}).EventName() // about a tenant, which not every member sees; the audit log has it
	}))
	return p
}

// sees words a scope.
func sees(s domain.Scope, names map[uuid.UUID]string) string {
	if s.Everything() {
		return "All tenants"
	}
	label := func(ids []uuid.UUID, groups []string) string {
		var parts []string
		for _, g := range groups {
			parts = append(parts, "group "+g)
		}
		for _, id := range ids {
			name := names[id]
			if name == "" {
				name = "a tenant"
			}
			parts = append(parts, name)
		}
		return strings.Join(parts, ", ")
	}
	text := label(s.Tenants, s.Groups)
	switch {
	case s.Tenants == nil && s.Groups == nil:
		text = "All tenants"
	case text == "":
		text = "No tenant"
	}
	if except := label(s.ExceptTenants, s.ExceptGroups); except != "" {
		text += " except " + except
	}
	return text
}

// seenPart is a scope without the tenants and groups that are not among those given.
func seenPart(s domain.Scope, names map[uuid.UUID]string, groups []string) domain.Scope {
	unseen := func(id uuid.UUID) bool { return names[id] == "" }
	ungrouped := func(g string) bool { return !slices.Contains(groups, g) }
	return domain.Scope{
		Tenants: slices.DeleteFunc(slices.Clone(s.Tenants), unseen), Groups: slices.DeleteFunc(slices.Clone(s.Groups), ungrouped),
		ExceptTenants: slices.DeleteFunc(slices.Clone(s.ExceptTenants), unseen), ExceptGroups: slices.DeleteFunc(slices.Clone(s.ExceptGroups), ungrouped),
	}
}

func codes(caps []domain.Capability) []string {
	out := make([]string, len(caps))
	for i, c := range caps {
		out[i] = string(c)
	}
	return out
}
