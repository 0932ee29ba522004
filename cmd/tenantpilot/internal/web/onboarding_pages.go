package web

import (
	"errors"
	"net/http"
	"strconv"
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

// onboardingList renders the list of sessions.
func (s *Server) onboardingList(r request, rows []projections.OnboardingRow) func(view.Shell) templ.Component {
	list := view.PresentOnboardings(rows, r.actor().Ref, r.actor().May(domain.CapOnboardingManage), time.Now().UTC())
	return func(shell view.Shell) templ.Component { return page.OnboardingListPage(shell, list) }
}

// newOnboarding is the first step while there is no session. For a directory that is managed already it begins with what is known.
func (s *Server) newOnboarding(r request) (answer, error) {
	if err := r.actor().Authorize(r.actor().Workspace, uuid.Nil, domain.CapOnboardingManage); err != nil {
		return answer{}, err
	}
	form := view.PresentIdentify(time.Now().UTC())
	if external, err := uuid.Parse(r.URL.Query().Get("directory")); err == nil {
		form.Directory = external.String()
		if t, err := s.Read.Tenant(r.Context(), r.actor(), external); err == nil {
			form.Name, form.Domain, form.Groups = t.Name, t.Domain, strings.Join(t.Groups, ", ")
		}
	}
	return identifyPage(form, 0), nil
}

func identifyPage(form view.OnboardingIdentify, status int) answer {
	return answer{
		title: "Onboard a tenant", status: status,
		page: func(shell view.Shell) templ.Component { return page.OnboardingIdentifyPage(shell, form) },
	}
}

// identifyInWizard is the first step's form: it opens the directory's session, or leads to what there is about the directory already. That the
// viewer may onboard has been asked.
func (s *Server) identifyInWizard(r request) (answer, error) {
	sent, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	form := view.PresentIdentify(time.Now().UTC())
	form.Directory, form.Name = strings.TrimSpace(sent.Get("entra_tenant_id")), strings.TrimSpace(sent.Get("name"))
	form.Domain, form.Groups = strings.TrimSpace(sent.Get("domain")), sent.Get("groups")
	external, err := parseDirectory(form.Directory)
	if err != nil {
		return s.identifyAgain(r, form, err)
	}
	known, resume, err := s.knownDirectory(r, external, sent.Get("anyway") == "true")
	if err != nil {
		return answer{}, err
	}
	if resume != 0 {
		return answer{redirect: view.OnboardingHref(resume)}, nil
	}
	if known != nil {
		form.Known = known
		return identifyPage(form, http.StatusConflict), nil
	}
	a, err := s.startOnboarding(r, commands.StartOnboarding{
		Actor: r.actor(), ExternalID: external, Name: form.Name, Domain: form.Domain, Groups: groupsOf(form.Groups),
	})
	if err != nil {
		return s.identifyAgain(r, form, err)
	}
	return a, nil
}

// identifyAgain shows the form with what is in the way, if that is something in the form.
func (s *Server) identifyAgain(r request, form view.OnboardingIdentify, cause error) (answer, error) {
	p := s.problemOf(r.Request, cause)
	if p.Status != http.StatusBadRequest && p.Status != http.StatusConflict {
		return answer{}, cause
	}
	form.Errors = errorsOf(p)
	return identifyPage(form, formStatus(p)), nil
}

// knownDirectory says what there is about a directory: nothing, the viewer's own session, which is resumed, or something that they have to
// know first.
func (s *Server) knownDirectory(r request, external uuid.UUID, anyway bool) (known *view.KnownDirectory, resume int64, err error) {
	session, err := s.Read.OnboardingOf(r.Context(), r.actor(), external)
	switch {
	case err != nil && !errors.Is(err, projections.ErrNoRow):
		return nil, 0, err
	case err == nil && session.State == domain.OnboardingOpen && session.Owner() == r.actor().Ref:
		return nil, session.Number, nil
	case err == nil && session.State == domain.OnboardingLeft: // it is started again
		return nil, 0, nil
	case err == nil:
		m := view.KnownSession(session)
		return &m, 0, nil
	}
	t, err := s.Read.Tenant(r.Context(), r.actor(), external)
	if errors.Is(err, projections.ErrNoRow) {
		return nil, 0, nil
	}
	if err != nil || t.DefaultConnection == nil || anyway {
		return nil, 0, err
	}
	m := view.KnownManaged(t)
	return &m, 0, nil
}

// groupsOf reads names with commas between them.
func groupsOf(text string) []string {
	var groups []string
	for _, name := range strings.Split(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			groups = append(groups, name)
		}
	}
	return groups
}

// formStatus is the status of a form that is shown again: what was wrong with the input is 422 for browsers, as everywhere.
func formStatus(p problem) int {
	if p.Status == http.StatusBadRequest {
		return http.StatusUnprocessableEntity
	}
	return p.Status
}

// onboardingPage shows a session; add completes what was presented.
func (s *Server) onboardingPage(r request, f view.OnboardingFacts, status int, add func(*view.Onboarding)) (answer, error) {
	p, err := s.presentOnboarding(r, f)
	if err != nil {
		return answer{}, err
	}
	if add != nil {
		add(&p)
	}
	return answer{
		title: "Onboard " + f.Tenant.Name, status: status,
		page: func(shell view.Shell) templ.Component { return page.OnboardingPage(shell, p) },
		shell: func(shell *view.Shell) {
			inTenant(f.Tenant)(shell)
			shell.LiveHref = view.OnboardingHref(f.Session.Number) + "/stream?step=" + string(p.Step)
			if p.Outcome != nil && p.Outcome.Run != nil {
				shell.LiveHref += "&started=true"
			}
		},
	}, nil
}

// presentOnboarding adds to the presented session what has a reader of its own.
func (s *Server) presentOnboarding(r request, f view.OnboardingFacts) (view.Onboarding, error) {
	p := view.PresentOnboarding(f)
	if p.Step != view.StepConsented || f.Session.Connection == nil {
		return p, nil
	}
	asked, err := s.presentConsent(r, f.Session.Connected, f.Tenant)
	if err != nil {
		return p, err
	}
	asked = view.PresentOnboardingConsent(f, asked)
	p.Consent = &asked
	return p, nil
}

func (s *Server) onboardingParts(r request) ([]part, string, bool, error) {
	step, known := view.ParseStep(r.URL.Query().Get("step"))
	if !known {
		return nil, "", false, notFound()
	}
	f, err := s.onboardingFacts(r, step)
	if err != nil {
		return nil, "", false, err
	}
	// The stream's own, anew when the log has moved: one that was drawn each time would be news each time.
	f.Attempt = uuid.NewSHA1(f.Tenant.ID, []byte(requestIDOf(r.Context())+"/"+strconv.Itoa(len(f.Log)+len(f.History)))).String()
	p, err := s.presentOnboarding(r, f)
	if err != nil {
		return nil, "", false, err
	}
	parts := []part{
		{"wizard-steps", page.WizardSteps(p.Steps, p.Now)},
		{"wizard-state", page.OnboardingState(p)},
		{"wizard-owner", page.OnboardingOwner(p)},
		{"wizard-notices", page.OnboardingNotices(p)},
		{"wizard-now", page.OnboardingNow(p)},
		{"wizard-nav", page.OnboardingNav(p)},
		{"wizard-log", page.OnboardingLog(p)},
	}
	if p.Consent != nil && p.Locked == nil {
		parts = append(parts, part{"consent-buttons", page.ConsentButtons(*p.Consent)}, part{"consent-permissions", page.ConsentPermissions(*p.Consent)})
		if p.Consent.Sent != nil && p.Consent.Sent.State != "open" { // until then the page may show the link, which is shown once
			parts = append(parts, part{"consent-newest", page.ConsentNewest(*p.Consent)})
		}
	}
	if r.URL.Query().Get("started") == "true" && !f.UnderWay() { // what the page says became of the start is over
		parts = append(parts, part{"wizard-outcome", nil})
	}
	return parts, "", false, nil
}

// inWizard shows a person the step once more, with what was entered, when something is in the way. Programs get the error, and so does
// everybody for whom the session is not there or not theirs to change.
func (s *Server) inWizard(step domain.OnboardingStep, h handler) handler {
	return func(r request) (answer, error) {
		a, err := h(r)
		if err == nil || !byForm(r) {
			return a, err
		}
		return s.onboardingAgain(r, step, err)
	}
}

func (s *Server) onboardingAgain(r request, step domain.OnboardingStep, cause error) (answer, error) {
	p := s.problemOf(r.Request, cause)
	if p.Status != http.StatusBadRequest && p.Status != http.StatusConflict {
		return answer{}, cause
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	if form.Get("reconsent") == "true" {
		step = view.StepConsented
	}
	f, err := s.onboardingFacts(r, step)
	if err != nil {
		return answer{}, err
	}
	return s.onboardingPage(r, f, formStatus(p), func(o *view.Onboarding) {
		o.Errors = errorsOf(p)
		if o.Connection != nil && form.Has("display_name") {
			o.Connection.Name, o.Connection.Type, o.Connection.AppID = form.Get("display_name"), form.Get("connection_type"), form.Get("app_id")
		}
		if o.Connection != nil && o.Connection.Credential != nil {
			o.Connection.Credential.Errors = o.Errors
		}
		if o.Finish != nil && o.Finish.Complete != nil {
			o.Finish.Complete.Value = form.Get("reason")
		}
	})
}

// outcomeInWizard makes the step the page of an answer, with what became of the start above it, in the words of the one presenter.
func (s *Server) outcomeInWizard(r request, a *answer, step domain.OnboardingStep, outcome view.StartOutcome) error {
	f, err := s.onboardingFacts(r, step)
	if err != nil {
		return err
	}
	shown, err := s.onboardingPage(r, f, 0, func(o *view.Onboarding) { o.Outcome = &outcome })
	a.title, a.page, a.shell, a.fragment = shown.title, shown.page, shown.shell, nil
	return err
}

// checkStep is the step on whose page a check was asked for.
func checkStep(reconsent bool) domain.OnboardingStep {
	if reconsent {
		return view.StepConsented
	}
	return view.StepVerified
}

// connectionPreparations are what a session's connection may need before it can be used, besides what has routes of its own.
var connectionPreparations = map[string]func(s *Server, r request, c projections.Connection) error{
	"credential": func(s *Server, r request, c projections.Connection) error {
		body, expires, err := readCredential(r)
		if err == nil && body.Secret == "" && (body.Kind == domain.CredentialSecret || body.Kind == domain.CredentialCertificate) {
			err = domain.InvalidField("/secret", "required", "Enter the secret, or the certificate with its key.")
		}
		if err == nil {
			_, err = s.takeCredential(r, c, body, expires)
		}
		return err
	},
	"enable": func(s *Server, r request, c projections.Connection) error {
		return s.Commands.SetConnectionEnabled(r.Context(), commands.SetConnectionEnabled{Actor: r.actor(), Connection: c.Number, Enabled: true})
	},
}

// prepareConnection does one thing to the session's connection, or asks for consent to it, and goes on at the step that is due.
func (s *Server) prepareConnection(r request) (answer, error) {
	number, err := s.onSession(r)
	if err != nil {
		return answer{}, err
	}
	do, known := connectionPreparations[r.v("change")]
	if !known && r.v("change") != "consent" {
		return answer{}, notFound()
	}
	c, err := s.chosenConnection(r, number, domain.CapProviderManage)
	if err != nil {
		return answer{}, err
	}
	if !known {
		return s.inWizard(view.StepConsented, func(r request) (answer, error) { return s.askConsent(r, number, c) })(r)
	}
	return s.inWizard(view.StepConnection, func(r request) (answer, error) {
		if err := do(s, r, c); err != nil {
			return answer{}, err
		}
		if err := s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
			return answer{}, err
		}
		return answer{redirect: view.OnboardingHref(number)}, nil
	})(r)
}

// askConsent makes a link and shows it in the wizard, once.
func (s *Server) askConsent(r request, number int64, c projections.Connection) (answer, error) {
	t, err := s.Read.TenantByID(r.Context(), r.actor(), c.Tenant)
	if err != nil {
		return answer{}, err
	}
	asked, err := s.makeConsentLink(r, c, t, view.OnboardingStepHref(number, view.StepConsented))
	if err != nil {
		return answer{}, err
	}
	f, err := s.onboardingFacts(r, view.StepConsented)
	if err != nil {
		return answer{}, err
	}
	return s.onboardingPage(r, f, 0, func(o *view.Onboarding) {
		if o.Consent != nil {
			o.Consent.Link = asked.Link
		}
	})
}

// chosenConnection is the session's connection, for those who may do this to it.
func (s *Server) chosenConnection(r request, number int64, needs domain.Capability) (projections.Connection, error) {
	session, err := s.Read.Onboarding(r.Context(), r.actor(), number)
	if err != nil {
		return projections.Connection{}, err
	}
	if session.Connection == nil {
		return projections.Connection{}, domain.InvalidField("/providerConnectionId", "required", "Choose a provider connection first.")
	}
	return session.Connected, r.actor().Authorize(session.Connected.Workspace, session.Connected.Tenant, needs)
}
