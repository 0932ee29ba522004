package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// The media types of the contract for provider connections.
const (
	connectionsMedia    = "application/vnd.tenantpilot.provider-connections-canonical+json"
	connectionMedia     = "application/vnd.tenantpilot.provider-connection-canonical+json"
	connectionEditMedia = "application/vnd.tenantpilot.provider-connection-edit-canonical+json"
)

// historyLimit is how many events of a connection its page reads.
const historyLimit = 300

func (s *Server) connectionRoutes() {
	r, base := s.router, view.ConnectionsHref
	s.get(r, base, s.connections)
	s.post(r, base, connectionMedia, s.createConnection)
	s.get(r, base+"/new", s.newConnection)
	s.get(r, base+"/{record}", s.connection)
	s.put(r, base+"/{record}", connectionMedia, s.putConnection)
	r.HandleFunc(base+"/{record}/stream", s.stream(s.connectionParts)).Methods(http.MethodGet)
	s.get(r, base+"/{record}/edit", s.editConnection)
	s.post(r, base+"/{record}/edit", "", s.saveConnection)
	s.get(r, base+"/{record}/credential", s.credentialForm)
	s.post(r, base+"/{record}/credential", connectionMedia, s.rotateCredential)
	s.get(r, base+"/{record}/changes/{change}", s.confirmChange)
	s.post(r, base+"/{record}/changes/{change}", connectionMedia, s.changeConnection)
}

// connections is the list: lifecycle, consent and verification of every connection that the viewer sees.
func (s *Server) connections(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	f := view.ConnectionsFacts{Query: r.URL.Query(), Tenants: map[uuid.UUID]projections.Tenant{}, Now: time.Now().UTC(), MayManage: r.actor().May(domain.CapProviderManage)}
	if unknown := f.UnknownFilters(); len(unknown) > 0 && !prefersHTML(r.Request) {
		return answer{}, invalid("unknown_parameter", "The query has parameters that are no filters.", unknown...)
	}
	var err error
	if f.Connections, err = s.Read.Connections(r.Context(), r.actor(), uuid.Nil); err != nil {
		return answer{}, err
	}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	if err != nil {
		return answer{}, err
	}
	for _, t := range tenants {
		f.Tenants[t.ID] = t
	}
	if f.Checks, err = s.Read.LastChecks(r.Context(), r.actor(), view.ChecksShown); err != nil {
		return answer{}, err
	}
	list := view.PresentConnections(f)
	return answer{
		title: "Provider connections", media: connectionsMedia, value: view.ConnectionBundle{Rows: nonNil(list.Rows)},
		page: func(shell view.Shell) templ.Component { return page.ConnectionsPage(shell, list) },
	}, nil
}

// nonNil is a list that JSON shows as one even when it is empty.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// findConnection reads the connection of the address with its tenant; for those who do not see it there is none.
func (s *Server) findConnection(r request) (projections.Connection, projections.Tenant, error) {
	number, err := pathNumber(r.v("record"))
	if err != nil {
		return projections.Connection{}, projections.Tenant{}, err
	}
	c, err := s.Read.Connection(r.Context(), r.actor(), number)
	if err != nil {
		return c, projections.Tenant{}, err
	}
	t, err := s.Read.TenantByID(r.Context(), r.actor(), c.Tenant)
	return c, t, err
}

// findManaged is findConnection for those who may do something to it: 404 before 403.
func (s *Server) findManaged(r request, needs domain.Capability) (projections.Connection, projections.Tenant, error) {
	c, t, err := s.findConnection(r)
	if err == nil {
		err = r.actor().Authorize(c.Workspace, c.Tenant, needs)
	}
	return c, t, err
}

func (s *Server) connection(r request) (answer, error) {
	c, t, err := s.findConnection(r)
	if err != nil {
		return answer{}, err
	}
	f, err := s.connectionFacts(r, c, t)
	if err != nil {
		return answer{}, err
	}
	p := view.PresentConnectionPage(f)
	return answer{
		title: c.DisplayName, media: connectionMedia, value: view.PresentConnectionDetail(c, t, time.Now()),
		header: map[string]string{"ETag": settingsTag(c)},
		page:   func(shell view.Shell) templ.Component { return page.ConnectionPage(shell, p) },
		shell: func(shell *view.Shell) {
			inTenant(t)(shell)
			shell.LiveHref = view.ConnectionHref(c.Number) + "/stream"
		},
	}, nil
}

// settingsTag is the ETag of a connection: of its settings, which are what can be changed under If-Match. Its state moves by itself.
func settingsTag(c projections.Connection) string { return `"` + c.State().SettingsTag() + `"` }

func (s *Server) connectionFacts(r request, c projections.Connection, t projections.Tenant) (f view.ConnectionFacts, err error) {
	may := r.actor().May
	f = view.ConnectionFacts{
		Connection: c, Tenant: t, Now: time.Now().UTC(), AttemptID: uuid.NewString(), Done: r.URL.Query().Get("done"),
		MayManage: may(domain.CapProviderManage), MayHold: may(domain.CapHoldManage), MayVerify: may(domain.CapProviderVerify),
	}
	if f.History, err = s.Read.ConnectionHistory(r.Context(), c, historyLimit); err != nil {
		return f, err
	}
	if f.Unchecked, err = s.uncheckedConsent(r, c, t, f.History); err != nil {
		return f, err
	}
	of := projections.RunFilter{Tenant: t.ID, Connection: []projections.Match{{Values: []string{view.Number(c.Number)}}}, Limit: 8}
	if f.Runs, _, _, err = s.Read.ListRuns(r.Context(), r.actor(), of); err != nil {
		return f, err
	}
	if f.Exercises, err = s.Read.Exercises(r.Context(), t.ID, c.Number); err != nil {
		return f, err
	}
	f.Readiness, err = s.readinessOf(r, c, t)
	return f, err
}

// readinessOf asks the gate about every operation on a connection. Whoever sees the connection may know the answer, so the product asks in its
// own name; the way to the start form is there for those only who may start.
func (s *Server) readinessOf(r request, c projections.Connection, t projections.Tenant) ([]view.Readiness, error) {
	var list []view.Readiness
	for _, o := range domain.Catalogue() {
		result, err := s.Commands.Forecast(r.Context(), commands.Start{Actor: domain.SystemActor(c.Workspace), Operation: o.Type, Connection: c.Number})
		if err != nil {
			return nil, err
		}
		facts, err := s.startFacts(r, result)
		if err != nil {
			return nil, err
		}
		forecast := view.PresentForecast(facts)
		line := view.Readiness{Operation: o.Label, Status: forecast.Status, Text: forecast.Text, ReasonCode: forecast.ReasonCode}
		if r.actor().May(o.Capability) {
			line.Href = "/admin/t/" + t.ExternalID.String() + "/start?operation=" + string(o.Type) + "&providerConnectionId=" + view.Number(c.Number)
		}
		list = append(list, line)
	}
	return list, nil
}

func (s *Server) connectionParts(r request) ([]part, string, bool, error) {
	c, t, err := s.findConnection(r)
	if err != nil {
		return nil, "", false, err
	}
	f, err := s.connectionFacts(r, c, t)
	if err != nil {
		return nil, "", false, err
	}
	// The stream's own, anew when the connection has moved: one that was drawn each time would be news each time.
	f.AttemptID = uuid.NewSHA1(c.Stream, []byte(requestIDOf(r.Context())+"/"+strconv.Itoa(c.Version))).String()
	p := view.PresentConnectionPage(f)
	return []part{
		{"connection-header", page.ConnectionHeader(p)},
		{"connection-axes", page.ConnectionAxes(p)},
		{"connection-permissions", page.PermissionTruth(p.Permissions)},
		{"connection-runs", page.ConnectionRuns(p)},
		{"connection-history", page.ConnectionHistory(p)},
		{"connection-facts", page.ConnectionFacts(p)},
		{"readiness", page.Readiness(p.Readiness)},
	}, "", false, nil
}

// awaitConnection reads a connection after one's own write: it waits until the read models have what the log has, at most two seconds.
func (s *Server) awaitConnection(r request, number int64) (c projections.Connection, t projections.Tenant, err error) {
	if err = s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
		return c, t, err
	}
	if c, err = s.Read.Connection(r.Context(), r.actor(), number); err != nil {
		return c, t, err
	}
	t, err = s.Read.TenantByID(r.Context(), r.actor(), c.Tenant)
	return c, t, err
}

// changed answers a change of a connection: the connection as it is now for programs, its page with a word about the consequence for people.
func (s *Server) changed(r request, number int64, done string) (answer, error) {
	c, t, err := s.awaitConnection(r, number)
	if err != nil {
		return answer{}, err
	}
	return answer{
		media: connectionMedia, value: view.PresentConnectionDetail(c, t, time.Now()), header: map[string]string{"ETag": settingsTag(c)},
		redirect: view.ConnectionHref(number) + "?done=" + done,
	}, nil
}
