package view

import (
	"slices"
	"strconv"
	"strings"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// Search is what the command palette found. Provider connections are never among it: they are found on their own page.
type Search struct {
	Query  string        `json:"query"`
	Groups []SearchGroup `json:"groups"`

	only []string // groups; empty is all
}

// SearchGroup is one kind of thing that was found.
type SearchGroup struct {
	Label string       `json:"label"`
	Items []SearchItem `json:"items"`
	Count int          `json:"count"` // of all that match; Items are the first few
}

// SearchItem is a thing to go to.
type SearchItem struct {
	Label string `json:"label"`
	Note  string `json:"note,omitempty"`
	Href  string `json:"href"`
	Icon  string `json:"-"`
}

// searchShown is how many of a group are shown.
const searchShown = 8

// SearchFacts is what a search looks through: all of it is what the viewer may see.
type SearchFacts struct {
	Query      string
	Pages      []NavGroup
	Tenants    []projections.Tenant
	Run        *projections.RunLine     // by the number that was typed
	Attempt    *projections.AttemptLine // by the id that was typed
	Operations []domain.Operation       // that the viewer may start
	Views      []projections.SavedView  // of the operations hub
	Settings   []Link
	People     []projections.Member
}

// groupsOf is which groups a prefix asks for; without one, all but people.
var groupsOf = map[byte][]string{'#': {"Runs", "Attempts"}, '>': {"Start"}, '@': {"People"}, '/': {"Views"}}

// PresentSearch finds pages, tenants, runs, starts, views, settings, and behind an @ people. Without a query it offers the pages.
func PresentSearch(f SearchFacts) Search {
	typed := strings.TrimSpace(f.Query)
	s := Search{Query: f.Query, Groups: []SearchGroup{}}
	if typed != "" {
		s.only = groupsOf[typed[0]]
	}
	q := strings.ToLower(strings.TrimSpace(strings.TrimLeft(typed, ">#/@")))
	if f.Run != nil {
		s.add("Runs", SearchItem{
			Label: domain.OperationByType(f.Run.Operation).Label + " #" + strconv.FormatInt(f.Run.Number, 10), Note: f.Run.TenantName,
			Href: RunHref(f.Run.Number), Icon: "activity",
		})
	}
	if f.Attempt != nil {
		s.add("Attempts", SearchItem{
			Label: domain.OperationByType(f.Attempt.Operation).Label + " was " + string(f.Attempt.Outcome), Href: AttemptHref(f.Attempt.Attempt.String()), Icon: "list-checks",
		})
	}
	var pages, tenants, starts []SearchItem
	for _, g := range f.Pages {
		for _, p := range g.Items {
			if strings.Contains(strings.ToLower(p.Label), q) {
				pages = append(pages, SearchItem{Label: p.Label, Note: g.Label, Href: p.Href, Icon: p.Icon})
			}
		}
	}
	words := strings.Fields(q)
	for _, t := range f.Tenants {
		text := strings.ToLower(t.Name + " " + t.Domain + " " + t.ExternalID.String())
		external := t.ExternalID.String()
		if q != "" && strings.Contains(text, q) {
			tenants = append(tenants, SearchItem{Label: t.Name, Note: t.Domain, Href: TenantHref(external), Icon: "building-2"})
		}
		for _, o := range f.Operations {
			if len(words) > 1 && allIn(words, text+" "+strings.ToLower(o.Label+" "+o.Verb)) && !allIn(words, text) {
				starts = append(starts, SearchItem{
					Label: o.Verb, Note: t.Name, Href: "/admin/t/" + external + "/start?operation=" + string(o.Type), Icon: "play",
				})
			}
		}
	}
	s.add("Go to", pages...)
	s.add("Tenants", tenants...)
	s.add("Start", starts...)
	var views, settings, people []SearchItem
	for _, v := range f.Views {
		if q != "" && strings.Contains(strings.ToLower(v.Name), q) || len(s.only) > 0 && q == "" {
			views = append(views, SearchItem{Label: v.Name, Note: "view of operations", Href: ViewHref("/admin/operations", v), Icon: "star"})
		}
	}
	for _, l := range f.Settings {
		if q != "" && strings.Contains(strings.ToLower(l.Label), q) {
			settings = append(settings, SearchItem{Label: l.Label, Href: l.Href, Icon: "settings"})
		}
	}
	for _, m := range f.People {
		if len(s.only) > 0 && strings.Contains(strings.ToLower(m.Name+" "+m.Email), q) {
			people = append(people, SearchItem{Label: m.Name, Note: RoleWord(m.Role), Href: MembersHref, Icon: "user"})
		}
	}
	s.add("Views", views...)
	s.add("Settings", settings...)
	s.add("People", people...)
	return s
}

func allIn(words []string, text string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

func (s *Search) add(label string, items ...SearchItem) {
	if len(items) > 0 && (len(s.only) == 0 || slices.Contains(s.only, label)) {
		s.Groups = append(s.Groups, SearchGroup{Label: label, Items: items[:min(len(items), searchShown)], Count: len(items)})
	}
}
