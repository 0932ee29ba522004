package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

func (s *Server) holdForm(r request) (answer, error)    { return s.showHoldForm(r, false) }
func (s *Server) releaseForm(r request) (answer, error) { return s.showHoldForm(r, true) }

func (s *Server) showHoldForm(r request, release bool) (answer, error) {
	t, err := s.tenantFor(r, domain.CapHoldManage)
	if err != nil {
		return answer{}, err
	}
	return holdAnswer(t, presentHold(r, t, release), 0), nil
}

// tenantFor finds the tenant of the address and asks whether the viewer may do something to it: 404 before 403.
func (s *Server) tenantFor(r request, needs domain.Capability) (projections.Tenant, error) {
	external, err := pathUUID(r.v("tenant"))
	if err != nil {
		return projections.Tenant{}, err
	}
	t, err := s.Read.Tenant(r.Context(), r.actor(), external)
	if err != nil {
		return t, err
	}
	return t, r.actor().Authorize(t.Workspace, t.ID, needs)
}

// onHold says whether a tenant's hold is in force: one that has ended is not.
func onHold(t projections.Tenant) bool {
	return t.State().Hold.Active(time.Now())
}

func presentHold(r request, t projections.Tenant, release bool) view.HoldForm {
	external := t.ExternalID.String()
	f := view.HoldForm{
		Tenant: view.Link{Label: t.Name, Href: view.TenantHref(external)}, Release: release, Back: view.TenantHref(external), Length: "24h",
		Headline: "Hold " + t.Name + "?", Submit: "Hold " + t.Name, Action: view.HoldHref(external),
		Text: "Nothing starts on this tenant while it is on hold, neither by hand nor by schedule. What runs already goes on.",
	}
	if back := auth.LocalPath(r.FormValue("back")); back != "/" {
		f.Back = back
	}
	if release {
		f.Headline, f.Submit, f.Action = "Release "+t.Name+"?", "Release "+t.Name, view.ReleaseHref(external)
		f.Text = "Operations can start on this tenant again at once unless something else keeps them."
		if onHold(t) {
			f.Text = "It is on hold: " + t.HoldReason + ". " + f.Text
		}
		return f
	}
	if onHold(t) {
		f.Text = "It is on hold already: " + t.HoldReason + ". This hold takes the place of that one."
	}
	for _, l := range view.HoldLengths {
		f.Lengths = append(f.Lengths, view.OptionChoice{Value: l.Name, Label: l.Label})
	}
	return f
}

func holdAnswer(t projections.Tenant, f view.HoldForm, status int) answer {
	return answer{
		title: f.Headline, status: status, fragment: page.HoldBody(f), shell: inTenant(t),
		page: func(shell view.Shell) templ.Component { return page.HoldPage(shell, f) },
	}
}

func (s *Server) holdTenant(r request) (answer, error) {
	return s.changeHold(r, false, func(t projections.Tenant, reason string) error {
		c := commands.HoldTenant{Actor: r.actor(), Tenant: t.ExternalID, Reason: reason}
		known := false
		for _, l := range view.HoldLengths {
			if l.Name == r.PostForm.Get("length") {
				known = true
				if l.Length > 0 {
					c.Until = time.Now().UTC().Add(l.Length)
				}
			}
		}
		if !known {
			return domain.InvalidField("/length", "unknown", "Choose how long the hold lasts.")
		}
		return s.Commands.HoldTenant(r.Context(), c)
	})
}

func (s *Server) releaseTenant(r request) (answer, error) {
	return s.changeHold(r, true, func(t projections.Tenant, reason string) error {
		return s.Commands.ReleaseTenant(r.Context(), commands.ReleaseTenant{Actor: r.actor(), Tenant: t.ExternalID, Reason: reason})
	})
}

// changeHold does it and goes back to where the form was opened, once the read model shows it. What is wrong with the input is told in the
// form.
func (s *Server) changeHold(r request, release bool, do func(projections.Tenant, string) error) (answer, error) {
	t, err := s.tenantFor(r, domain.CapHoldManage)
	if err != nil {
		return answer{}, err
	}
	if _, err := formOf(r); err != nil {
		return answer{}, err
	}
	f := presentHold(r, t, release)
	f.Reason, f.Length = r.PostForm.Get("reason"), r.PostForm.Get("length")
	err = do(t, f.Reason)
	if refusal, ok := domain.AsRefusal(err); ok && refusal.Kind == domain.Invalid && prefersForm(r) {
		f.Error = refusal.Text
		if len(refusal.Fields) > 0 {
			f.Error = refusal.Fields[0].Message
		}
		return holdAnswer(t, f, http.StatusUnprocessableEntity), nil
	}
	if err != nil {
		return answer{}, err
	}
	shown := strings.TrimSpace(f.Reason)
	if release {
		shown = ""
	}
	return answer{redirect: f.Back}, s.waitForHold(r, t.ExternalID, shown)
}

// waitForHold gives the read model a moment, so that the page that comes next shows what was done.
func (s *Server) waitForHold(r request, external uuid.UUID, reason string) error {
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		t, err := s.Read.Tenant(r.Context(), r.actor(), external)
		if err != nil {
			return err
		}
		if t.HoldReason == reason {
			return nil
		}
		pause(r.Context(), 25*time.Millisecond)
	}
	return nil
}
