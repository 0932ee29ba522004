package web

import (
	"errors"
	"net/http"
	"net/url"
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

func (s *Server) onboardingPages() {
	r, base := s.router, view.OnboardingHref
	s.get(r, base, s.onboardings)
	s.post(r, base, "", s.identifyTenant)
	s.get(r, base+"/new", s.newOnboarding)
	s.get(r, base+"/{session}", s.onboarding)
	r.HandleFunc(base+"/{session}/stream", s.stream(s.onboardingParts)).Methods(http.MethodGet)
	s.post(r, base+"/{session}/changes/{change}", "", s.changeOnboarding)
	s.post(r, base+"/{session}/provider-actions/{operation}/start", "", s.checkInWizard)
	s.post(r, base+"/{session}/provider-bootstrap/start", "", s.bootstrapInWizard)
}

// onboardings is the list of sessions that the viewer sees.
func (s *Server) onboardings(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	sessions, err := s.Read.Onboardings(r.Context(), r.actor())
	if err != nil {
		return answer{}, err
	}
	list := view.PresentOnboardings(sessions, r.actor().Ref, r.actor().May(domain.CapOnboardingManage), time.Now().UTC())
	return answer{title: "Onboarding", page: func(shell view.Shell) templ.Component { return page.OnboardingListPage(shell, list) }}, nil
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

// identifyTenant is the first step: it opens the directory's session, or leads to what there is about the directory already.
func (s *Server) identifyTenant(r request) (answer, error) {
	if err := r.actor().Authorize(r.actor().Workspace, uuid.Nil, domain.CapOnboardingManage); err != nil {
		return answer{}, err
	}
	sent, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	form := view.PresentIdentify(time.Now().UTC())
	form.Directory, form.Name = strings.TrimSpace(sent.Get("entraTenantId")), strings.TrimSpace(sent.Get("name"))
	form.Domain, form.Groups = strings.TrimSpace(sent.Get("domain")), sent.Get("groups")
	external, err := uuid.Parse(form.Directory)
	if err != nil || len(form.Directory) != 36 || external == uuid.Nil {
		form.Errors = []view.FieldError{{Pointer: "/entraTenantId", Code: "malformed", Message: "Give the directory id: a GUID such as 8f1c2d3e-0000-4000-8000-000000000000."}}
		return identifyPage(form, http.StatusUnprocessableEntity), nil
	}
	met, resume, err := s.meetDirectory(r, external, sent.Get("anyway") == "true")
	if err != nil {
		return answer{}, err
	}
	if resume != 0 {
		return answer{redirect: view.OnboardingSessionHref(resume, "")}, nil
	}
	if met != nil {
		form.Met = met
		return identifyPage(form, http.StatusConflict), nil
	}
	started, _, err := s.Commands.StartOnboarding(r.Context(), commands.StartOnboarding{
		Actor: r.actor(), ExternalID: external, Name: form.Name, Domain: form.Domain, Groups: groupsOf(form.Groups),
	})
	if err != nil {
		p := s.problemOf(r.Request, err)
		if p.Status != http.StatusBadRequest && p.Status != http.StatusConflict {
			return answer{}, err
		}
		form.Errors = errorsOf(p)
		return identifyPage(form, formStatus(p)), nil
	}
	if err := s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
		return answer{}, err
	}
	return answer{redirect: view.OnboardingSessionHref(started.Number, "")}, nil
}

// meetDirectory says what there is about a directory: nothing, the viewer's own session, which is resumed, or something that they have to
// know first.
func (s *Server) meetDirectory(r request, external uuid.UUID, anyway bool) (met *view.OnboardingMet, resume int64, err error) {
	session, err := s.Read.OnboardingOf(r.Context(), r.actor(), external)
	switch {
	case err != nil && !errors.Is(err, projections.ErrNoRow):
		return nil, 0, err
	case err == nil && session.State == domain.OnboardingOpen && session.Owner() == r.actor().Ref:
		return nil, session.Number, nil
	case err == nil && session.State == domain.OnboardingLeft: // it is started again
		return nil, 0, nil
	case err == nil:
		m := view.MetSession(session)
		return &m, 0, nil
	}
	t, err := s.Read.Tenant(r.Context(), r.actor(), external)
	if errors.Is(err, projections.ErrNoRow) {
		return nil, 0, nil
	}
	if err != nil || t.DefaultConnection == nil || anyway {
		return nil, 0, err
	}
	m := view.MetManaged(t)
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

// onboarding is a session at the step of the address, or at the one that is due.
func (s *Server) onboarding(r request) (answer, error) {
	step, known := view.ParseStep(r.URL.Query().Get("step"))
	if !known {
		return answer{}, domain.InvalidField("/step", "unknown_step", "There is no such step.")
	}
	return s.onboardingPage(r, step, 0, nil)
}

// onboardingPage shows a session; add completes what was presented.
func (s *Server) onboardingPage(r request, step domain.OnboardingStep, status int, add func(*view.Onboarding)) (answer, error) {
	f, err := s.onboardingFacts(r, step)
	if err != nil {
		return answer{}, err
	}
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
			shell.LiveHref = view.OnboardingHref + "/" + view.Number(f.Session.Number) + "/stream?step=" + string(p.Step)
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
	return []part{
		{"wizard-steps", page.OnboardingSteps(p)},
		{"wizard-notices", page.OnboardingNotices(p)},
		{"wizard-now", page.OnboardingNow(p)},
		{"wizard-nav", page.OnboardingNav(p)},
		{"wizard-log", page.OnboardingLog(p)},
	}, "", false, nil
}

// onboardingChange is one thing that can be done in a session. It answers where to go on; "" is the step that is due.
type onboardingChange struct {
	step domain.OnboardingStep // on whose page mistakes are told
	do   func(s *Server, r request, number int64, form url.Values) error
	then string
}

var onboardingChanges = map[string]onboardingChange{
	"connection": {step: view.StepConnection, do: func(s *Server, r request, number int64, form url.Values) error {
		connection, err := strconv.ParseInt(form.Get("providerConnectionId"), 10, 64)
		if err != nil || connection <= 0 {
			return domain.InvalidField("/providerConnectionId", "required", "Choose a provider connection.")
		}
		_, _, err = s.Commands.ChooseConnection(r.Context(), commands.ChooseConnection{Actor: r.actor(), Session: number, Connection: connection})
		return err
	}},
	"create-connection": {step: view.StepConnection, do: func(s *Server, r request, number int64, form url.Values) error {
		_, _, err := s.Commands.CreateOnboardingConnection(r.Context(), commands.CreateOnboardingConnection{
			Actor: r.actor(), Session: number, DisplayName: form.Get("displayName"), ConnectionType: form.Get("connectionType"),
			AppID: strings.TrimSpace(form.Get("appId")),
		})
		return err
	}},
	"credential": {step: view.StepConnection, do: func(s *Server, r request, number int64, _ url.Values) error {
		c, err := s.chosenConnection(r, number, domain.CapProviderManage)
		if err != nil {
			return err
		}
		body, expires, err := readCredential(r)
		if err == nil && body.Secret == "" && body.Kind != "federated" {
			err = domain.InvalidField("/secret", "required", "Enter the secret, or the certificate with its key.")
		}
		if err == nil {
			_, err = s.takeCredential(r, c, body, expires)
		}
		return err
	}},
	"enable": {step: view.StepConnection, do: func(s *Server, r request, number int64, _ url.Values) error {
		c, err := s.chosenConnection(r, number, domain.CapProviderManage)
		if err != nil {
			return err
		}
		return s.Commands.SetConnectionEnabled(r.Context(), commands.SetConnectionEnabled{Actor: r.actor(), Connection: c.Number, Enabled: true})
	}},
	"take-over": {do: func(s *Server, r request, number int64, _ url.Values) error {
		_, err := s.Commands.TakeOverOnboarding(r.Context(), commands.TakeOverOnboarding{Actor: r.actor(), Session: number})
		return err
	}},
	"stop": {step: view.StepBootstrap, then: "?step=" + string(view.StepBootstrap), do: func(s *Server, r request, number int64, _ url.Values) error {
		_, err := s.Commands.StopBootstrap(r.Context(), commands.StopBootstrap{Actor: r.actor(), Session: number})
		return err
	}},
	"complete": {step: view.StepFinish, then: "?step=" + string(view.StepFinish), do: func(s *Server, r request, number int64, form url.Values) error {
		_, err := s.Commands.CompleteOnboarding(r.Context(), commands.CompleteOnboarding{Actor: r.actor(), Session: number, Reason: form.Get("reason")})
		return err
	}},
	"abandon": {do: func(s *Server, r request, number int64, form url.Values) error {
		_, err := s.Commands.AbandonOnboarding(r.Context(), commands.AbandonOnboarding{Actor: r.actor(), Session: number, Reason: form.Get("reason")})
		return err
	}},
}

// changeOnboarding does one thing in a session and goes on at the step that is due. What is in the way is told on the step's page, with what
// was entered.
func (s *Server) changeOnboarding(r request) (answer, error) {
	number, err := pathNumber(r.v("session"))
	if err != nil {
		return answer{}, err
	}
	session, err := s.Read.Onboarding(r.Context(), r.actor(), number)
	if err != nil {
		return answer{}, err
	}
	name := r.v("change")
	change, known := onboardingChanges[name]
	if !known && name != "consent" {
		return answer{}, notFound()
	}
	if err := r.actor().Authorize(session.Workspace, session.Tenant, domain.CapOnboardingManage); err != nil {
		return answer{}, err
	}
	if name == "consent" {
		return s.askConsent(r, number)
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	if err := change.do(s, r, number, form); err != nil {
		return s.onboardingAgain(r, change.step, form, err)
	}
	if err := s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
		return answer{}, err
	}
	return answer{redirect: view.OnboardingSessionHref(number, "") + change.then}, nil
}

// onboardingAgain shows the step once more with what is in the way. What the viewer may not know or do stays the error that it is.
func (s *Server) onboardingAgain(r request, step domain.OnboardingStep, form url.Values, cause error) (answer, error) {
	p := s.problemOf(r.Request, cause)
	if p.Status != http.StatusBadRequest && p.Status != http.StatusConflict {
		return answer{}, cause
	}
	return s.onboardingPage(r, step, formStatus(p), func(o *view.Onboarding) {
		o.Errors = errorsOf(p)
		if o.Connection != nil && form.Has("displayName") {
			o.Connection.Name, o.Connection.Type, o.Connection.AppID = form.Get("displayName"), form.Get("connectionType"), form.Get("appId")
		}
		if o.Connection != nil && o.Connection.Credential != nil {
			o.Connection.Credential.Errors = o.Errors
		}
		if o.Finish != nil && o.Finish.Complete != nil {
			o.Finish.Complete.Value = form.Get("reason")
		}
	})
}

// askConsent makes a link and shows it in the wizard, once.
func (s *Server) askConsent(r request, number int64) (answer, error) {
	c, err := s.chosenConnection(r, number, domain.CapProviderManage)
	if err != nil {
		return answer{}, err
	}
	t, err := s.Read.TenantByID(r.Context(), r.actor(), c.Tenant)
	if err != nil {
		return answer{}, err
	}
	asked, err := s.makeConsentLink(r, c, t, view.OnboardingSessionHref(number, view.StepConsented))
	if err != nil {
		return s.onboardingAgain(r, view.StepConsented, url.Values{}, err)
	}
	return s.onboardingPage(r, view.StepConsented, 0, func(o *view.Onboarding) {
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

// onboardingFacts reads what a session's page at a step is made from.
func (s *Server) onboardingFacts(r request, step domain.OnboardingStep) (f view.OnboardingFacts, err error) {
	ctx, actor := r.Context(), r.actor()
	number, err := pathNumber(r.v("session"))
	if err != nil {
		return f, err
	}
	f = view.OnboardingFacts{
		Step: step, Attempt: uuid.NewString(), Can: actor.May, May: func(a domain.NextStepAction) bool { return mayStep(actor, a) }, Now: time.Now().UTC(),
	}
	if f.Session, err = s.Read.Onboarding(ctx, actor, number); err != nil {
		return f, err
	}
	f.Mine = f.Session.Owner() == actor.Ref
	if f.Tenant, err = s.Read.TenantByID(ctx, actor, f.Session.Tenant); err != nil {
		return f, err
	}
	if f.Others, err = s.Read.Connections(ctx, actor, f.Tenant.ID); err != nil {
		return f, err
	}
	if f.Log, err = s.Read.OnboardingLog(ctx, actor, number); err != nil {
		return f, err
	}
	if f.Session.Connection == nil {
		return f, nil
	}
	if f.History, err = s.Read.ConnectionHistory(ctx, f.Session.Connected, historyLimit); err != nil {
		return f, err
	}
	if err := s.onboardingRuns(r, &f); err != nil {
		return f, err
	}
	return f, s.onboardingReadiness(r, &f)
}

// onboardingRuns reads the newest check, and the runs that the selected operations became.
func (s *Server) onboardingRuns(r request, f *view.OnboardingFacts) (err error) {
	checks := projections.RunFilter{
		Tenant: f.Tenant.ID, Limit: 1, Operation: []projections.Match{{Values: []string{string(domain.OpConnectionCheck)}}},
		Connection: []projections.Match{{Values: []string{view.Number(f.Session.Connected.Number)}}},
	}
	newest, _, _, err := s.Read.ListRuns(r.Context(), r.actor(), checks)
	if err != nil {
		return err
	}
	if len(newest) > 0 {
		f.Check = &newest[0]
	}
	if f.Exercises, err = s.Read.Exercises(r.Context(), f.Tenant.ID, f.Session.Connected.Number); err != nil {
		return err
	}
	wanted := projections.RunFilter{Numbers: []int64{}, Limit: 200}
	for _, o := range f.Session.Operations {
		if o.RunNumber != nil {
			wanted.Numbers = append(wanted.Numbers, *o.RunNumber)
		}
	}
	if len(wanted.Numbers) == 0 {
		return nil
	}
	runs, _, _, err := s.Read.ListRuns(r.Context(), r.actor(), wanted)
	f.Runs = make(map[int64]projections.RunLine, len(runs))
	for _, run := range runs {
		f.Runs[run.Number] = run
	}
	return err
}

// onboardingReadiness asks the gate about each operation that can be begun with, and what is known about how long it takes. Whoever sees the
// session may know the answer, so the product asks in its own name.
func (s *Server) onboardingReadiness(r request, f *view.OnboardingFacts) error {
	if f.Step != "" && f.Step != view.StepBootstrap {
		return nil
	}
	f.Readiness, f.Usual = map[domain.OperationType]view.Forecast{}, map[domain.OperationType]string{}
	for _, o := range domain.BootstrapOperations() {
		result, err := s.Commands.Forecast(r.Context(), commands.Start{
			Actor: domain.SystemActor(f.Session.Workspace), Operation: o.Type, Connection: f.Session.Connected.Number,
		})
		if err != nil {
			return err
		}
		facts, err := s.startFacts(r, result)
		if err != nil {
			return err
		}
		f.Readiness[o.Type] = view.PresentForecast(facts)
		usual, err := s.Read.Usually(r.Context(), f.Tenant.ID, o.Type)
		if err != nil {
			return err
		}
		f.Usual[o.Type] = view.Usually(usual.From, usual.To)
	}
	return nil
}

// onboardingOutcome shows what became of a start in the wizard, in the words of the one presenter, with the step below it as it is now.
func (s *Server) onboardingOutcome(r request, step domain.OnboardingStep, result commands.StartResult) (answer, error) {
	if !result.Replayed {
		s.metrics.starts.WithLabelValues(string(result.Outcome), string(result.Operation.Type), string(result.Reason)).Inc()
	}
	facts, err := s.startFacts(r, result)
	if err != nil {
		return answer{}, err
	}
	if _, err := s.Read.AwaitOnboarding(r.Context(), result.Seq, 2*time.Second); err != nil {
		return answer{}, err
	}
	facts.ReserveID = uuid.NewString()
	outcome := view.PresentStart(facts)
	return s.onboardingPage(r, step, 0, func(o *view.Onboarding) {
		o.Outcome = &outcome
	})
}

// checkInWizard is the wizard's button that starts a verification, or says that consent has been given.
func (s *Server) checkInWizard(r request) (answer, error) {
	number, err := pathNumber(r.v("session"))
	if err != nil {
		return answer{}, err
	}
	if domain.OperationType(r.v("operation")) != domain.OpConnectionCheck {
		return answer{}, notFound()
	}
	var sent commands.Start
	if err := readForm(r, &sent); err != nil {
		return answer{}, err
	}
	step := view.StepVerified
	if sent.Reconsent {
		step = view.StepConsented
	}
	c := commands.StartOnboardingCheck{Actor: r.actor(), Session: number, Attempt: sent.Attempt, Reconsent: sent.Reconsent}
	if sent.Connection != 0 {
		c.Connection = &sent.Connection
	}
	result, err := s.Commands.StartOnboardingCheck(r.Context(), c)
	if err != nil {
		return s.onboardingAgain(r, step, r.PostForm, err)
	}
	return s.onboardingOutcome(r, step, result)
}

// bootstrapInWizard is the wizard's checklist of first operations.
func (s *Server) bootstrapInWizard(r request) (answer, error) {
	number, err := pathNumber(r.v("session"))
	if err != nil {
		return answer{}, err
	}
	var sent commands.Start
	if err := readForm(r, &sent); err != nil {
		return answer{}, err
	}
	result, err := s.Commands.StartBootstrap(r.Context(), commands.StartBootstrap{
		Actor: r.actor(), Session: number, Attempt: sent.Attempt, Connection: sent.Connection, Operations: r.PostForm["selectedOperations"],
	})
	if err != nil {
		return s.onboardingAgain(r, view.StepBootstrap, r.PostForm, err)
	}
	return s.onboardingOutcome(r, view.StepBootstrap, result.StartResult)
}
