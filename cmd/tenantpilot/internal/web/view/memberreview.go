package view

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// MemberReview is a change of a member before it is saved: what it gives and takes.
type MemberReview struct {
	Person string `json:"person"`
	// Role or scope is set: what is changed.
	Role  string        `json:"role,omitempty"`
	Scope *domain.Scope `json:"scope,omitempty"`
	Gains []Granted     `json:"gains"`
	Loses []Granted     `json:"loses"`
	// Later is what the member will see of tenants that are registered later, where the change decides about it.
	Later *LaterTenants `json:"later_tenants,omitempty"`

	ReviewPage `json:"-"`
}

// ReviewPage is how a change that was not saved yet is shown.
type ReviewPage struct {
	Name   string
	Change string
	Lines  []Effect
	Save   *Button // unset when nothing changes
	Quiet  bool    // it changes something, but nothing on the tenants that there are
}

// RoleReview is a role before it is saved.
type RoleReview struct {
	Role    string              `json:"role"`
	New     bool                `json:"new"`
	Gains   []domain.Capability `json:"gains"`
	Loses   []domain.Capability `json:"loses"`
	Members []string            `json:"members"` // names of those who have it

	ReviewPage `json:"-"`
}

// RoleReviewFacts is what a RoleReview is made from.
type RoleReviewFacts struct {
	Role         domain.Role
	Capabilities []domain.Capability // that it is to allow
	New, Changes bool
	Gains, Loses []domain.Capability
	Members      []string
}

// PresentRoleReview words a role before it is saved.
func PresentRoleReview(f RoleReviewFacts) RoleReview {
	p := RoleReview{
		Role: string(f.Role), New: f.New, Gains: append([]domain.Capability{}, f.Gains...), Loses: append([]domain.Capability{}, f.Loses...),
		Members: append([]string{}, f.Members...),
	}
	p.Name = "The role " + p.Role
	switch {
	case f.New:
		p.Change = "A new role."
	case len(f.Members) == 0:
		p.Change = "No member has this role now."
	default:
		p.Change = narrate.Count(len(f.Members), "member") + " with this role: " + strings.Join(f.Members, ", ") + "."
	}
	of := "The role"
	if len(f.Members) > 0 {
		of = "Each of them"
	}
	if len(f.Loses) > 0 {
		p.Lines = append(p.Lines, Effect{Icon: "circle-minus", Tone: Warning, Says: of + " loses:", What: capabilityList(f.Loses)})
	}
	if len(f.Gains) > 0 {
		p.Lines = append(p.Lines, Effect{Icon: "circle-check", Tone: Positive, Says: of + " gains:", What: capabilityList(f.Gains)})
	}
	if f.Changes {
		fields := []Field{{"role", p.Role}}
		for _, c := range f.Capabilities {
			fields = append(fields, Field{"capability", string(c)})
		}
		p.Save = &Button{Label: "Save role", Post: true, Variant: "primary", Href: "/admin/settings/roles", Fields: fields}
	}
	return p
}

func capabilityList(caps []domain.Capability) []string {
	list := make([]string, len(caps))
	for i, c := range caps {
		list[i] = CapabilityWords(c)
	}
	return list
}

// LaterTenants is all tenants that are registered later or those of some groups, without those of others.
type LaterTenants struct {
	All    bool     `json:"all"`
	Groups []string `json:"groups"`
	Except []string `json:"except_groups"`
}

// Granted is capabilities on tenants, or (none listed) in the workspace as a whole.
type Granted struct {
	Capabilities []domain.Capability `json:"capabilities"`
	Tenants      []uuid.UUID         `json:"tenants"`
}

// Effect is one thing that a change gives or takes, in words.
type Effect struct {
	Icon string
	Tone Tone
	Says string
	What []string // in detail
}

// MemberReviewFacts is what a review is made from: the member as it is, and either another role or another scope.
type MemberReviewFacts struct {
	Member  projections.Member
	Role    domain.Role
	Scope   *domain.Scope
	Effect  domain.Effect
	Tag     string               // to save it by
	Tenants []projections.Tenant // all of the workspace
	Fields  []Field              // what to send to save the change
}

// PresentMemberReview words a review.
func PresentMemberReview(f MemberReviewFacts) MemberReview {
	names := map[uuid.UUID]string{}
	for _, t := range f.Tenants {
		names[t.ID] = t.Name
	}
	effect := f.Effect
	p := MemberReview{
		Person: f.Member.Person.String(), Role: string(f.Role), Scope: f.Scope, Gains: granted(effect.Gains), Loses: granted(effect.Loses),
		ReviewPage: ReviewPage{Name: f.Member.Name, Quiet: len(effect.Gains)+len(effect.Loses) == 0},
	}
	save := Button{Label: "Save", Post: true, Variant: "primary", Fields: append(f.Fields, Field{"reviewed", f.Tag})}
	if f.Scope == nil {
		p.Change = "From " + string(f.Member.Role) + " to " + string(f.Role) + "."
		save.Href = MembersHref + "/" + p.Person + "/role"
	} else {
		p.Change = "Sees now: " + sees(f.Member.Scope(), names) + ". After the change: " + sees(*f.Scope, names) + "."
		save.Href = MembersHref + "/" + p.Person + "/scope"
	}
	for _, g := range effect.Loses {
		p.Lines = append(p.Lines, effectLine(g, false, names))
	}
	for _, g := range effect.Gains {
		p.Lines = append(p.Lines, effectLine(g, true, names))
	}
	if l := effect.Later; l != nil {
		p.Later = &LaterTenants{l.All, append([]string{}, l.Groups...), append([]string{}, l.Except...)}
		p.Lines = append(p.Lines, laterLine(*l))
	}
	if effect.Changes {
		p.Save = &save
	}
	return p
}

func laterLine(l domain.Later) Effect {
	var except string
	if len(l.Except) > 0 {
		except = ", except in group " + strings.Join(l.Except, " or ")
	}
	switch {
	case l.All && except == "":
		return Effect{Icon: "circle-check", Tone: Positive, Says: "Sees tenants that are registered later, too."}
	case l.All:
		return Effect{Icon: "circle-minus", Tone: Warning, Says: "Sees tenants that are registered later, too" + except + "."}
	case len(l.Groups) > 0:
		return Effect{Icon: "circle-minus", Tone: Warning, Says: "Sees tenants that are registered later only in group " + strings.Join(l.Groups, " or ") + except + "."}
	}
	return Effect{Icon: "circle-minus", Tone: Warning, Says: "Sees no tenant that is registered later."}
}

func granted(grants []domain.Grant) []Granted {
	out := make([]Granted, len(grants))
	for i, g := range grants {
		out[i] = Granted{g.Capabilities, append([]uuid.UUID{}, g.Tenants...)}
	}
	return out
}

func effectLine(g domain.Grant, gain bool, names map[uuid.UUID]string) Effect {
	line := Effect{Icon: "circle-minus", Tone: Warning}
	verb := "Loses"
	if gain {
		line.Icon, line.Tone, verb = "circle-check", Positive, "Gains"
	}
	caps := slices.Clone(g.Capabilities)
	if i := slices.Index(caps, domain.CapView); i >= 0 {
		caps = slices.Delete(caps, i, i+1)
		if verb = "No longer sees"; gain {
			verb = "Sees"
		}
	}
	line.What = capabilityList(caps)
	where := "in the workspace as a whole"
	if len(g.Tenants) > 0 {
		where = tenantsInWords(g.Tenants, names)
	}
	switch sight := len(caps) < len(g.Capabilities); {
	case sight && len(caps) == 0:
		line.Says = verb + " " + where + "."
	case sight && gain:
		line.Says = verb + " " + where + ", and may there:"
	case sight:
		line.Says = verb + " " + where + ", and so loses there:"
	case len(g.Tenants) > 0:
		line.Says = verb + " on " + where + ":"
	default:
		line.Says = verb + " " + where + ":"
	}
	return line
}

// tenantsInWords is how many tenants, and which; of many the first few.
func tenantsInWords(ids []uuid.UUID, names map[uuid.UUID]string) string {
	const shown = 6
	called := make([]string, 0, len(ids))
	for _, id := range ids {
		called = append(called, names[id])
	}
	slices.SortFunc(called, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	words := narrate.Count(len(ids), "tenant")
	if len(ids) == len(names) && len(ids) > 1 {
		words = "all " + words
	}
	if more := len(called) - shown; more > 0 {
		called = append(called[:shown], narrate.Count(more, "other"))
	}
	return words + " (" + strings.Join(called, ", ") + ")"
}
