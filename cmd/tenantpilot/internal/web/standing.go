package web

import (
	"time"

	"github.com/a-h/templ"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/projections"
)

// systemStandingHref is where platform people see how the read models stand.
const systemStandingHref = "/system/projections"

// systemStanding is how the read models stand, for platform actors; for everybody else it is not there.
func (s *Server) systemStanding(r request) (answer, error) {
	standing, err := s.Read.PlatformStanding(r.Context(), r.actor())
	if err != nil {
		return answer{}, err
	}
	p := view.PresentStanding(standing, projections.All(), time.Now().UTC())
	return answer{title: "Projections", page: func(shell view.Shell) templ.Component { return page.StandingPage(shell, p) }}, nil
}
