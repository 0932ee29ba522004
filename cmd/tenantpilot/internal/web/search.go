package web

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// search is the command palette: pages, tenants, runs by number, attempts by id, what to start where, views, settings and people. It looks through what the viewer may
// see and nothing else; provider connections are not searched.
func (s *Server) search(r request) (answer, error) {
	actor := r.actor()
	if !actor.Sees(actor.Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	f := view.SearchFacts{Query: r.URL.Query().Get("q")}
	if len(f.Query) > 200 {
		return answer{}, domain.InvalidField("/q", "too_long", "Use at most 200 characters.")
	}
	f.Pages = view.MainNav("", func(href string) bool { return slices.Contains(pages, href) })
	for _, o := range domain.Catalogue() {
		if actor.May(o.Capability) {
			f.Operations = append(f.Operations, o)
		}
	}
	var err error
	if f.Tenants, err = s.Read.Tenants(r.Context(), actor); err != nil {
		return answer{}, err
	}
	f.Settings = settingsPages
	if f.Views, err = s.Read.SavedViews(r.Context(), actor, "operations"); err != nil {
		return answer{}, err
	}
	if strings.HasPrefix(strings.TrimSpace(f.Query), "@") {
		if f.People, err = s.Read.Members(r.Context(), actor); err != nil {
			return answer{}, err
		}
	}
	typed := strings.TrimLeft(strings.TrimSpace(f.Query), "#")
	if number, err := strconv.ParseInt(typed, 10, 64); err == nil && number > 0 {
		line, err := s.Read.RunByNumber(r.Context(), actor, number)
		if err == nil {
			f.Run = &line
		} else if !errors.Is(err, projections.ErrNoRow) {
			return answer{}, err
		}
	}
	if id, err := uuid.Parse(typed); err == nil {
		line, err := s.Read.Attempt(r.Context(), actor, id)
		if err == nil {
			f.Attempt = &line
		} else if !errors.Is(err, projections.ErrNoRow) {
			return answer{}, err
		}
	}
	found := view.PresentSearch(f)
	return answer{
		title: "Search", media: "application/json", value: found,
		page:     func(shell view.Shell) templ.Component { return page.SearchPage(shell, found) },
		fragment: page.SearchBody(found),
	}, nil
}
