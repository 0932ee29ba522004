package web

import (
	"time"

	"github.com/a-h/templ"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

const reservationMedia = "application/vnd.tenantpilot.reservation+json"

// reserve asks for a start to be tried when the connection is free: after other work, or once more after the same.
func (s *Server) reserve(r request) (answer, error) {
	c, err := s.tenantCommand(r, domain.OperationType(r.v("operation")))
	if err != nil {
		return answer{}, err
	}
	filled := c
	err = s.readStart(r, &filled, readStartBody(r))
	if err == nil {
		err = plain(filled)
	}
	if err != nil {
		if _, hidden := s.Commands.Forecast(r.Context(), c); isHidden(hidden) {
			return answer{}, hidden
		}
		return answer{}, err
	}
	reserved, _, err := s.Commands.Reserve(r.Context(), commands.Reserve{Start: filled})
	if err != nil {
		return answer{}, pointed(err, filled)
	}
	tenant, err := s.Read.Tenant(r.Context(), r.actor(), c.Tenant)
	if err != nil {
		return answer{}, err
	}
	value := view.PresentReservation(reserved, domain.Tenant{Name: tenant.Name, ExternalID: tenant.ExternalID}, time.Now().UTC())
	return answer{
		media: reservationMedia, value: value, title: "Waiting to start",
		page:     func(shell view.Shell) templ.Component { return page.ReservedPage(shell, value) },
		fragment: page.ReservedBody(value, time.Now().UTC()),
	}, nil
}

func (s *Server) cancelReservation(r request) (answer, error) {
	number, err := pathNumber(r.v("connection"))
	if err != nil {
		return answer{}, err
	}
	id, err := pathUUID(r.v("reservation"))
	if err != nil {
		return answer{}, err
	}
	_, err = s.Commands.CancelReservation(r.Context(), commands.CancelReservation{Actor: r.actor(), Connection: number, Reservation: id})
	if err != nil {
		return answer{}, err
	}
	back := "/admin/operations"
	if c, err := s.Read.Connection(r.Context(), r.actor(), number); err == nil && c.ScopeRunNumber != nil {
		back = view.RunHref(*c.ScopeRunNumber)
	}
	return answer{redirect: back}, nil
}
