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
}

// PresentSearch finds pages, tenants, runs and starts. Without a query it offers the pages.
func PresentSearch(f SearchFacts) Search {
	q := strings.ToLower(strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(f.Query), ">#/@")))
	s := Search{Query: f.Query, Groups: []SearchGroup{}}
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
	return s
}

func allIn(words []string, text string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

func (s *Search) add(label string, items ...SearchItem) {
	if len(items) > 0 {
		s.Groups = append(s.Groups, SearchGroup{Label: label, Items: items[:min(len(items), searchShown)], Count: len(items)})
	}
}
