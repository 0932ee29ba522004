package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// settingsBody is what a connection's settings are sent as.
type settingsBody struct {
	Tenant         string `json:"tenant"` // of a new connection only
	DisplayName    string `json:"displayName"`
	ConnectionType string `json:"connectionType"`
	AppID          string `json:"appId"`
}

// readSettings reads the form or the JSON body. The tag is that of the form, where it has one.
func readSettings(r request) (body settingsBody, tag string, err error) {
	if !isForm(r.Request) {
		return body, "", decode(r.Request, &body)
	}
	if err := r.ParseForm(); err != nil {
		return body, "", formError(err)
	}
	body = settingsBody{
		Tenant: r.PostForm.Get("tenant"), DisplayName: r.PostForm.Get("displayName"),
		ConnectionType: r.PostForm.Get("connectionType"), AppID: strings.TrimSpace(r.PostForm.Get("appId")),
	}
	return body, r.PostForm.Get("etag"), nil
}

func formError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return invalid("malformed_body", "The form could not be read.")
}

func (s *Server) newConnection(r request) (answer, error) {
	form, t, err := s.newForm(r, r.URL.Query().Get("tenant"))
	if err != nil {
		return answer{}, err
	}
	return connectionFormPage(form, t, 0), nil
}

// newForm is the empty form of a new connection, of one tenant or with the choice of one.
func (s *Server) newForm(r request, tenant string) (view.ConnectionForm, projections.Tenant, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return view.ConnectionForm{}, projections.Tenant{}, notFound()
	}
	form := view.ConnectionForm{
		Now: time.Now().UTC(), Title: "New connection", Lead: "Identifiers only; the credential comes afterwards, in a form of its own.",
		Action: view.ConnectionsHref, Cancel: view.ConnectionsHref, Submit: "Create connection", Type: "platform",
	}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	if err != nil {
		return form, projections.Tenant{}, err
	}
	var chosen projections.Tenant
	for _, t := range tenants {
		if t.ExternalID.String() == tenant {
			chosen = t
			form.TenantID, form.Tenant = tenant, view.Link{Label: t.Name, Href: view.TenantHref(tenant)}
			form.Name, form.Cancel = t.Name, view.TenantHref(tenant)
		}
	}
	if tenant != "" && form.TenantID == "" {
		return form, chosen, notFound()
	}
	if err := r.actor().Authorize(r.actor().Workspace, chosen.ID, domain.CapProviderManage); err != nil {
		return form, chosen, err
	}
	if form.TenantID == "" {
		for _, t := range tenants {
			form.Tenants = append(form.Tenants, view.OptionChoice{Value: t.ExternalID.String(), Label: t.Name})
		}
	}
	return form, chosen, nil
}

func connectionFormPage(form view.ConnectionForm, t projections.Tenant, status int) answer {
	a := answer{title: form.Title, status: status, page: func(shell view.Shell) templ.Component { return page.ConnectionFormPage(shell, form) }}
	if t.Name != "" {
		a.shell = inTenant(t)
	}
	return a
}

func (s *Server) createConnection(r request) (answer, error) {
	body, _, err := readSettings(r)
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	tenant, parseErr := pathUUID(body.Tenant)
	if parseErr != nil && r.actor().May(domain.CapProviderManage) && err == nil {
		err = domain.InvalidField("/tenant", "required", "Choose the tenant: send its directory id.")
	}
	if !r.actor().May(domain.CapProviderManage) {
		if parseErr == nil { // a tenant that is named and not seen is not there, for them too
			if _, err := s.Read.Tenant(r.Context(), r.actor(), tenant); err != nil {
				return answer{}, err
			}
		}
		return answer{}, r.actor().Authorize(r.actor().Workspace, uuid.Nil, domain.CapProviderManage)
	}
	if bad := domain.EnteredApp(body.AppID); err == nil && bad != nil {
		if _, err = s.Read.Tenant(r.Context(), r.actor(), tenant); err == nil {
			err = bad
		}
	}
	var conn domain.ProviderConnection
	if err == nil {
		conn, err = s.Commands.CreateConnection(r.Context(), commands.CreateConnection{
			Actor: r.actor(), Tenant: tenant, DisplayName: body.DisplayName, ConnectionType: body.ConnectionType, AppID: body.AppID,
		})
	}
	if err != nil {
		return s.newFormAgain(r, body, err)
	}
	a, err := s.changed(r, conn.Number, "created")
	a.status = http.StatusCreated
	if a.header != nil {
		a.header["Location"] = view.ConnectionHref(conn.Number)
	}
	return a, err
}

// newFormAgain shows a person the form once more with what was entered; programs and everything that is not about the input get the error.
func (s *Server) newFormAgain(r request, body settingsBody, cause error) (answer, error) {
	p := s.problemOf(r.Request, cause)
	if !isForm(r.Request) || !prefersForm(r) || p.Status != http.StatusBadRequest {
		return answer{}, cause
	}
	form, t, err := s.newForm(r, "")
	if err != nil {
		return answer{}, err
	}
	form.TenantID, form.Name, form.Type, form.AppID, form.Errors = body.Tenant, body.DisplayName, body.ConnectionType, body.AppID, errorsOf(p)
	return connectionFormPage(form, t, http.StatusUnprocessableEntity), nil
}

// errorsOf are a problem's errors for a form: at least one line.
func errorsOf(p problem) []view.FieldError {
	if len(p.Errors) > 0 {
		return p.Errors
	}
	return []view.FieldError{{Code: p.Code, Message: p.Detail}}
}

func (s *Server) editConnection(r request) (answer, error) {
	c, t, err := s.findManaged(r, domain.CapProviderManage)
	if err != nil {
		return answer{}, err
	}
	form, err := s.editForm(r, c, t)
	if err != nil {
		return answer{}, err
	}
	a := connectionFormPage(form, t, 0)
	a.media, a.value, a.header = connectionEditMedia, view.PresentConnectionDetail(c, t, time.Now()), map[string]string{"ETag": settingsTag(c)}
	return a, nil
}

func (s *Server) editForm(r request, c projections.Connection, t projections.Tenant) (view.ConnectionForm, error) {
	here := view.ConnectionHref(c.Number)
	form := view.ConnectionForm{
		Now: time.Now().UTC(), Title: "Edit " + c.DisplayName, Lead: "Of " + t.Name + ".", Action: here + "/edit", Cancel: here, Submit: "Save",
		Tenant: view.Link{Label: t.Name, Href: view.TenantHref(t.ExternalID.String())}, Name: c.DisplayName, Type: c.ConnectionType,
		AppID: c.AppID, Tag: c.State().SettingsTag(), Resets: true, CredentialHref: here + "/credential",
	}
	history, err := s.Read.ConnectionHistory(r.Context(), c, historyLimit)
	line := view.CredentialLine(c, history, form.Now)
	if line == "" {
		line = "none set"
	}
	form.Credential = []view.Fact{{Label: "Credential", Text: line}}
	return form, err
}

// saveConnection is the settings' form. The form says which settings it was opened on; when they are no longer the ones, nothing is saved and
// both versions are shown side by side, with the input kept.
func (s *Server) saveConnection(r request) (answer, error) {
	c, t, err := s.findManaged(r, domain.CapProviderManage)
	if err != nil {
		return answer{}, err
	}
	if !isForm(r.Request) {
		return answer{}, problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "Send a form, or JSON with PUT to the connection."}
	}
	body, tag, err := readSettings(r)
	if err == nil && tag == "" {
		err = invalid("malformed_body", "The form is damaged. Open it again.")
	}
	if err == nil {
		err = s.change(r, c, body, tag)
	}
	refusal, refused := domain.AsRefusal(err)
	switch {
	case err == nil:
		return s.changed(r, c.Number, doneWith(c, body))
	case refused && refusal.Kind == domain.Stale && prefersForm(r):
		return s.conflictPage(r, c.Number, body)
	}
	p := s.problemOf(r.Request, err)
	if !prefersForm(r) || p.Status != http.StatusBadRequest {
		return answer{}, err
	}
	form, err := s.editForm(r, c, t)
	form.Name, form.Type, form.AppID, form.Tag, form.Errors = body.DisplayName, body.ConnectionType, body.AppID, tag, errorsOf(p)
	return connectionFormPage(form, t, http.StatusUnprocessableEntity), err
}

func (s *Server) change(r request, c projections.Connection, body settingsBody, tag string) error {
	if body.AppID != c.AppID {
		if err := domain.EnteredApp(body.AppID); err != nil {
			return err
		}
	}
	return s.Commands.ChangeConnection(r.Context(), commands.ChangeConnection{
		Actor: r.actor(), Connection: c.Number, IfMatch: tag, DisplayName: body.DisplayName, Type: body.ConnectionType, AppID: body.AppID,
	})
}

// doneWith names what saving did: another app undoes what was verified.
func doneWith(before projections.Connection, body settingsBody) string {
	if before.ConnectionType != body.ConnectionType || before.AppID != body.AppID {
		return "app"
	}
	return "saved"
}

func (s *Server) conflictPage(r request, number int64, body settingsBody) (answer, error) {
	c, t, err := s.awaitConnection(r, number) // as it is now, not as it was when this request began
	if err != nil {
		return answer{}, err
	}
	form, err := s.editForm(r, c, t)
	if err != nil {
		return answer{}, err
	}
	history, err := s.Read.ConnectionHistory(r.Context(), c, historyLimit)
	if err != nil {
		return answer{}, err
	}
	mine := domain.ConnectionChanged{DisplayName: body.DisplayName, ConnectionType: body.ConnectionType, AppID: body.AppID}
	conflict := view.PresentConflict(mine, c, history)
	form.Conflict, form.Name, form.Type, form.AppID = &conflict, body.DisplayName, body.ConnectionType, body.AppID
	return connectionFormPage(form, t, http.StatusPreconditionFailed), nil
}

// putConnection replaces the settings, for programs. If-Match is required: who does not know what is there must not overwrite it.
func (s *Server) putConnection(r request) (answer, error) {
	c, _, err := s.findManaged(r, domain.CapProviderManage)
	if err != nil {
		return answer{}, err
	}
	var body struct {
		DisplayName    string `json:"displayName"`
		ConnectionType string `json:"connectionType"`
		AppID          string `json:"appId"`
	}
	if err := decode(r.Request, &body); err != nil {
		return answer{}, err
	}
	tag, err := ifMatch(r, "the connection")
	if err != nil {
		return answer{}, err
	}
	settings := settingsBody{DisplayName: body.DisplayName, ConnectionType: body.ConnectionType, AppID: body.AppID}
	if err := s.change(r, c, settings, tag); err != nil {
		return answer{}, err
	}
	return s.changed(r, c.Number, doneWith(c, settings))
}
