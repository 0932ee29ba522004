package web

import (
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/projections"
)

// The media types and the address of the platform's directory.
const (
	systemDirectoryMedia = "application/vnd.tenantpilot.system-tenant-directory-canonical+json"
	systemTenantMedia    = "application/vnd.tenantpilot.system-tenant-canonical-provider-rows+json"
	systemDirectoryHref  = "/system/directory/tenants"
)

func (s *Server) directoryRoutes() {
	s.get(s.router, systemDirectoryHref, s.systemDirectory)
	s.get(s.router, systemDirectoryHref+"/{tenant}", s.systemTenant)
	s.get(s.router, systemStandingHref, s.systemStanding)
}

// systemDirectory is the list of all tenants, for platform actors; for everybody else it is not there.
func (s *Server) systemDirectory(r request) (answer, error) {
	tenants, err := s.Read.PlatformTenants(r.Context(), r.actor(), 0)
	if err != nil {
		return answer{}, err
	}
	connections, err := s.Read.PlatformConnections(r.Context(), r.actor(), uuid.Nil)
	if err != nil {
		return answer{}, err
	}
	by := make(map[uuid.UUID][]projections.Connection, len(tenants))
	for _, c := range connections {
		by[c.Tenant] = append(by[c.Tenant], c)
	}
	rows := make([]view.SystemTenantRow, len(tenants))
	for i, t := range tenants {
		rows[i] = view.PresentSystemTenant(t, by[t.ID])
	}
	d := view.PresentSystemDirectory(rows, time.Now().UTC())
	return answer{
		title: "Directory", media: systemDirectoryMedia, value: view.SystemDirectoryBundle{Rows: d.Rows},
		page: func(shell view.Shell) templ.Component { return page.SystemDirectoryPage(shell, d) },
	}, nil
}

// systemTenant is one tenant for platform actors: the state of its connections as its workspace sees it. That somebody looked is an event of
// the tenant, which its workspace can read, before anything is shown.
func (s *Server) systemTenant(r request) (answer, error) {
	number, err := pathNumber(r.v("tenant"))
	if err != nil {
		return answer{}, err
	}
	tenants, err := s.Read.PlatformTenants(r.Context(), r.actor(), number)
	if err != nil {
		return answer{}, err
	}
	t := tenants[0]
	connections, err := s.Read.PlatformConnections(r.Context(), r.actor(), t.ID)
	if err != nil {
		return answer{}, err
	}
	if err := s.Commands.InspectTenant(r.Context(), commands.InspectTenant{Actor: r.actor(), Workspace: t.Workspace, Tenant: t.ID}); err != nil {
		return answer{}, err
	}
	now := time.Now().UTC()
	shown := view.SystemTenant{
		TenantID: t.Number, TenantLabel: t.Name, Now: now, Rollup: view.PresentSystemTenant(t, connections), ProviderConnections: []view.ConnectionRow{},
	}
	for _, c := range connections {
		shown.ProviderConnections = append(shown.ProviderConnections, view.PresentSystemConnection(c, t, now))
	}
	return answer{
		title: t.Name, media: systemTenantMedia, value: shown,
		page: func(shell view.Shell) templ.Component { return page.SystemTenantPage(shell, shown) },
	}, nil
}
