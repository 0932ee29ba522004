package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// changeBody is what a change of a connection may need.
type changeBody struct {
	Reason string `json:"reason"`
	Until  string `json:"until"` // RFC 3339
}

// connectionChange is one thing that can be done to a connection, besides its settings and its credential.
type connectionChange struct {
	needs domain.Capability
	ask   func(c projections.Connection, t projections.Tenant) view.Confirmation
	do    func(s *Server, r request, number int64, body changeBody, until time.Time) error
}

var connectionChanges = map[string]connectionChange{
	"enable": {domain.CapProviderManage, func(c projections.Connection, t projections.Tenant) view.Confirmation {
		return view.Confirmation{
			Title: "Enable " + c.DisplayName + "?", Text: "Operations may start on it again unless something else keeps them. Consent and verification stay as they are.", Submit: "Enable",
		}
	}, func(s *Server, r request, number int64, _ changeBody, _ time.Time) error {
		return s.Commands.SetConnectionEnabled(r.Context(), commands.SetConnectionEnabled{Actor: r.actor(), Connection: number, Enabled: true})
	}},
	"disable": {domain.CapProviderManage, func(c projections.Connection, t projections.Tenant) view.Confirmation {
		text := "Nothing starts on it until it is enabled again."
		if t.DefaultConnection != nil && *t.DefaultConnection == c.Number {
			text = "It is the default connection of " + t.Name + ": no operation starts there until it is enabled again."
		}
		if c.ScopeRunNumber != nil {
			text += " Run " + view.Number(*c.ScopeRunNumber) + ", which is under way, goes on."
		}
		return view.Confirmation{Title: "Disable " + c.DisplayName + "?", Text: text, Submit: "Disable", Variant: "destructive", Reason: true}
	}, func(s *Server, r request, number int64, body changeBody, _ time.Time) error {
		return s.Commands.SetConnectionEnabled(r.Context(), commands.SetConnectionEnabled{Actor: r.actor(), Connection: number, Reason: body.Reason})
	}},
	"default": {domain.CapProviderManage, func(c projections.Connection, t projections.Tenant) view.Confirmation {
		return view.Confirmation{
			Title: "Make " + c.DisplayName + " the default of " + t.Name + "?", Text: "Operations that name no connection use it from now on.", Submit: "Make default",
		}
	}, func(s *Server, r request, number int64, _ changeBody, _ time.Time) error {
		return s.makeDefault(r, number)
	}},
	"hold": {domain.CapHoldManage, func(c projections.Connection, t projections.Tenant) view.Confirmation {
		return view.Confirmation{
			Title: "Hold " + c.DisplayName + "?", Text: "Nothing starts on it, checks included, until the hold ends or is released. What is under way goes on.",
			Submit: "Hold", Variant: "destructive", Reason: true, Until: true,
		}
	}, func(s *Server, r request, number int64, body changeBody, until time.Time) error {
		return s.Commands.HoldConnection(r.Context(), commands.HoldConnection{Actor: r.actor(), Connection: number, Reason: body.Reason, Until: until})
	}},
	"release": {domain.CapHoldManage, func(c projections.Connection, t projections.Tenant) view.Confirmation {
		text := "Operations may start on it again unless something else keeps them."
		if c.HoldReason != "" {
			text += " It was held: " + c.HoldReason + "."
		}
		return view.Confirmation{Title: "Release the hold of " + c.DisplayName + "?", Text: text, Submit: "Release hold", Reason: true}
	}, func(s *Server, r request, number int64, body changeBody, _ time.Time) error {
		return s.Commands.ReleaseConnection(r.Context(), commands.ReleaseConnection{Actor: r.actor(), Connection: number, Reason: body.Reason})
	}},
	"review": {domain.CapProviderManage, func(c projections.Connection, t projections.Tenant) view.Confirmation {
		return view.Confirmation{
			Title: "Complete the review of " + c.DisplayName + "?",
			Text:  "You confirm that its type (" + c.ConnectionType + ") and app id are those of " + t.Name + ". Operations may start afterwards unless something else keeps them.", Submit: "Complete review",
		}
	}, func(s *Server, r request, number int64, _ changeBody, _ time.Time) error {
		return s.Commands.CompleteMigrationReview(r.Context(), commands.CompleteMigrationReview{Actor: r.actor(), Connection: number})
	}},
}

// findChange reads what is to be done to what: 404 for what there is not, 403 for what the viewer may not.
func (s *Server) findChange(r request) (connectionChange, projections.Connection, projections.Tenant, error) {
	c, t, err := s.findConnection(r)
	if err != nil {
		return connectionChange{}, c, t, err
	}
	change, known := connectionChanges[r.v("change")]
	if !known {
		return change, c, t, notFound()
	}
	return change, c, t, r.actor().Authorize(c.Workspace, c.Tenant, change.needs)
}

// confirmChange asks before it is done: the object and the consequence are named, and Cancel has the focus.
func (s *Server) confirmChange(r request) (answer, error) {
	change, c, t, err := s.findChange(r)
	if err != nil {
		return answer{}, err
	}
	return confirmationPage(r, change.ask(c, t), c, t, 0), nil
}

func confirmationPage(r request, ask view.Confirmation, c projections.Connection, t projections.Tenant, status int) answer {
	ask.Action, ask.Cancel = view.ConnectionHref(c.Number)+"/changes/"+r.v("change"), view.ConnectionHref(c.Number)
	return answer{
		title: ask.Title, status: status, shell: inTenant(t),
		page:     func(shell view.Shell) templ.Component { return page.ConfirmationPage(shell, ask) },
		fragment: page.ConfirmationBody(ask),
	}
}

func (s *Server) changeConnection(r request) (answer, error) {
	change, c, t, err := s.findChange(r)
	if err != nil {
		return answer{}, err
	}
	body, until, err := readChange(r)
	if err == nil {
		err = change.do(s, r, c.Number, body, until)
	}
	if err == nil {
		return s.changed(r, c.Number, r.v("change"))
	}
	p := s.problemOf(r.Request, err)
	if !isForm(r.Request) || !prefersForm(r) || p.Status != http.StatusBadRequest {
		return answer{}, err
	}
	ask := change.ask(c, t)
	ask.ReasonValue, ask.UntilValue, ask.Errors = body.Reason, body.Until, errorsOf(p)
	return confirmationPage(r, ask, c, t, http.StatusUnprocessableEntity), nil
}

// readChange reads the form or the JSON body. A form's time is UTC, as its label says.
func readChange(r request) (body changeBody, until time.Time, err error) {
	layout := time.RFC3339
	if isForm(r.Request) {
		if err := r.ParseForm(); err != nil {
			return body, until, formError(err)
		}
		body.Reason, body.Until, layout = r.PostForm.Get("reason"), r.PostForm.Get("until"), "2006-01-02T15:04"
	} else if err := decode(r.Request, &body); err != nil {
		return body, until, err
	}
	if strings.TrimSpace(body.Until) != "" {
		if until, err = time.Parse(layout, body.Until); err != nil {
			err = domain.InvalidField("/until", "malformed", "Give the end as a date and a time, or leave it empty.")
		}
	}
	return body, until.UTC(), err
}

// makeDefault also waits until the tenant's read model has it, which is another than the connection's.
func (s *Server) makeDefault(r request, number int64) error {
	if err := s.Commands.MakeDefault(r.Context(), commands.MakeDefault{Actor: r.actor(), Connection: number}); err != nil {
		return err
	}
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		c, err := s.Read.Connection(r.Context(), r.actor(), number)
		if err != nil {
			return err
		}
		t, err := s.Read.TenantByID(r.Context(), r.actor(), c.Tenant)
		if err != nil || t.DefaultConnection != nil && *t.DefaultConnection == number {
			return err
		}
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
