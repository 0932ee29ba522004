package web

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

const (
	onboardingMedia     = "application/vnd.tenantpilot.onboarding-session+json"
	onboardingListMedia = "application/vnd.tenantpilot.onboarding-sessions+json"
	bootstrapMedia      = "application/vnd.tenantpilot.onboarding-bootstrap-start-outcome+json"
)

func (s *Server) onboardingRoutes(r *mux.Router) {
	session := view.OnboardingsHref + "/{session}"
	s.get(r, view.OnboardingsHref, s.onboardings)
	s.post(r, view.OnboardingsHref, onboardingMedia, s.identifyTenant)
	s.get(r, view.OnboardingsHref+"/new", s.newOnboarding)
	s.get(r, session, s.onboarding)
	r.HandleFunc(session+"/stream", s.stream(s.onboardingParts)).Methods(http.MethodGet)
	s.post(r, session+"/connection", onboardingMedia, s.inWizard(view.StepConnection, s.chooseOnboardingConnection))
	s.post(r, session+"/changes/{change}", "", s.prepareConnection)
	s.post(r, session+"/provider-actions/{operation}/start", startMedia, s.inWizard(view.StepVerified, s.startOnboardingCheck))
	s.post(r, session+"/provider-bootstrap/start", bootstrapMedia, s.inWizard(view.StepBootstrap, s.startBootstrap))
	s.post(r, session+"/stop-rest", onboardingMedia, s.inWizard(view.StepBootstrap, s.stopBootstrap))
	s.post(r, session+"/take-over", onboardingMedia, s.inWizard("", s.takeOverOnboarding))
	s.post(r, session+"/complete", onboardingMedia, s.inWizard(view.StepFinish, s.completeOnboarding))
	s.post(r, session+"/abandon", onboardingMedia, s.inWizard("", s.abandonOnboarding))
}

// wizardForm is the wizard's page of an address to which one of its forms is sent.
func wizardForm(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, view.OnboardingsHref+"/")
	session, _, below := strings.Cut(rest, "/")
	number, err := pathNumber(session)
	return view.OnboardingHref(number), ok && below && err == nil
}

// onboardings lists the sessions, the open ones first.
func (s *Server) onboardings(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	rows, err := s.Read.Onboardings(r.Context(), r.actor())
	if err != nil {
		return answer{}, err
	}
	sessions := make([]view.OnboardingSession, len(rows))
	for i, row := range rows {
		sessions[i] = view.PresentOnboardingSession(row, r.actor())
	}
	return answer{
		media: onboardingListMedia, value: map[string]any{"sessions": sessions}, title: "Onboarding",
		page: s.onboardingList(r, rows),
	}, nil
}

// onboarding is a session: to programs its value, to people the wizard at the step of the address, or at the one that is due.
func (s *Server) onboarding(r request) (answer, error) {
	step, known := view.ParseStep(r.URL.Query().Get("step"))
	if !known {
		return answer{}, domain.InvalidField("/step", "unknown_step", "There is no such step.")
	}
	f, err := s.onboardingFacts(r, step)
	if err != nil {
		return answer{}, err
	}
	a, err := s.onboardingPage(r, f, 0, nil)
	a.media, a.value = onboardingMedia, view.PresentOnboardingSession(f.Session, r.actor())
	return a, err
}

// onboardingChanged answers a change of a session with the session as it is afterwards: to programs its value, to people its page.
func (s *Server) onboardingChanged(r request, number, seq int64) (answer, error) {
	if _, err := s.Read.AwaitOnboarding(r.Context(), seq, 2*time.Second); err != nil {
		return answer{}, err
	}
	row, err := s.Read.Onboarding(r.Context(), r.actor(), number)
	if errors.Is(err, projections.ErrNoRow) && byForm(r) { // it is done all the same: the page waits for it once more
		return answer{redirect: view.OnboardingHref(number)}, nil
	}
	if errors.Is(err, projections.ErrNoRow) {
		return answer{}, fmt.Errorf("session %d is not in the read model yet", number)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{media: onboardingMedia, value: view.PresentOnboardingSession(row, r.actor()), redirect: view.OnboardingHref(number)}, nil
}

// identifyBody says which directory is brought under management.
type identifyBody struct {
	Directory string   `json:"entra_tenant_id"`
	Name      string   `json:"name"`
	Domain    *string  `json:"domain"`
	Groups    []string `json:"groups"`
}

func (s *Server) identifyTenant(r request) (answer, error) {
	if err := r.actor().Authorize(r.actor().Workspace, uuid.Nil, domain.CapOnboardingManage); err != nil {
		return answer{}, err
	}
	if byForm(r) {
		return s.identifyInWizard(r)
	}
	body, err := readIdentifyBody(r)
	if err != nil {
		return answer{}, err
	}
	directory, err := parseDirectory(body.Directory)
	if err != nil {
		return answer{}, err
	}
	c := commands.StartOnboarding{Actor: r.actor(), ExternalID: directory, Name: body.Name, Groups: body.Groups}
	if body.Domain != nil {
		c.Domain = *body.Domain
	}
	return s.startOnboarding(r, c)
}

func readIdentifyBody(r request) (body identifyBody, err error) {
	if !isForm(r.Request) {
		return body, decode(r.Request, &body)
	}
	form, err := formOf(r)
	if err != nil {
		return body, err
	}
	of := form.Get("domain")
	body = identifyBody{Directory: form.Get("entra_tenant_id"), Name: form.Get("name"), Domain: &of}
	if _, there := form["groups"]; there {
		body.Groups = slices.DeleteFunc(slices.Clone(form["groups"]), func(g string) bool { return g == "" })
	}
	return body, nil
}

// parseDirectory reads a directory's id as it is sent to begin its onboarding.
func parseDirectory(text string) (uuid.UUID, error) {
	directory, err := uuid.Parse(text)
	if err != nil || len(text) != 36 || directory == uuid.Nil {
		return uuid.Nil, domain.InvalidField("/entra_tenant_id", "malformed", "Give the directory id: a GUID such as 8f1c2d3e-0000-4000-8000-000000000000.")
	}
	return directory, nil
}

// startOnboarding opens a directory's session, or goes on with it, and answers the session.
func (s *Server) startOnboarding(r request, c commands.StartOnboarding) (answer, error) {
	if err := printable(map[string]string{"/name": c.Name, "/domain": c.Domain, "/groups": strings.Join(c.Groups, "")}); err != nil {
		return answer{}, err
	}
	result, seq, err := s.Commands.StartOnboarding(r.Context(), c)
	if err != nil {
		return answer{}, err
	}
	if seq == 0 { // it is there already, perhaps since a moment ago
		if err := s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
			return answer{}, err
		}
	}
	return s.onboardingChanged(r, result.Number, seq)
}

// onSession finds the session of the address, for those who may work on it, before what they sent is read.
func (s *Server) onSession(r request) (int64, error) {
	number, err := pathNumber(r.v("session"))
	if err != nil {
		return 0, err
	}
	_, err = s.Commands.OnboardingSession(r.Context(), r.actor(), number)
	return number, err
}

// connectionBody chooses a connection by its number, or the default, or describes a new one.
type connectionBody struct {
	ID             *int64 `json:"provider_connection_id"`
	DisplayName    string `json:"display_name"`
	ConnectionType string `json:"connection_type"`
	AppID          string `json:"app_id"`
}

func (s *Server) chooseOnboardingConnection(r request) (answer, error) {
	number, err := s.onSession(r)
	if err != nil {
		return answer{}, err
	}
	body, err := readConnectionBody(r)
	if err != nil {
		return answer{}, err
	}
	err = printable(map[string]string{"/display_name": body.DisplayName, "/connection_type": body.ConnectionType, "/app_id": body.AppID})
	if err != nil {
		return answer{}, err
	}
	creates := body.DisplayName != "" || body.ConnectionType != "" || body.AppID != ""
	var seq int64
	switch {
	case creates && body.ID != nil:
		err = domain.InvalidField("/provider_connection_id", "ambiguous", "Either choose a connection or describe a new one.")
	case domain.EnteredApp(body.AppID) != nil:
		err = domain.EnteredApp(body.AppID)
	case creates:
		_, seq, err = s.Commands.CreateOnboardingConnection(r.Context(), commands.CreateOnboardingConnection{
			Actor: r.actor(), Session: number, DisplayName: body.DisplayName, ConnectionType: body.ConnectionType, AppID: body.AppID,
		})
	default:
		c := commands.ChooseConnection{Actor: r.actor(), Session: number}
		if body.ID != nil {
			c.Connection = *body.ID
		}
		_, seq, err = s.Commands.ChooseConnection(r.Context(), c)
	}
	if err != nil {
		return answer{}, inSnakeCase(err)
	}
	return s.onboardingChanged(r, number, seq)
}

// inSnakeCase corrects the places that a refusal names: these bodies are the wizard's, whose members are in snake case.
func inSnakeCase(err error) error {
	refusal, ok := domain.AsRefusal(err)
	if !ok {
		return err
	}
	moved := *refusal
	moved.Fields = slices.Clone(refusal.Fields)
	for i, f := range moved.Fields {
		switch f.Pointer {
		case "/displayName":
			moved.Fields[i].Pointer = "/display_name"
		case "/connectionType":
			moved.Fields[i].Pointer = "/connection_type"
		case "/appId":
			moved.Fields[i].Pointer = "/app_id"
		case "/providerConnectionId":
			moved.Fields[i].Pointer = "/provider_connection_id"
		}
	}
	return &moved
}

// printable says whether texts that are kept for ever are ones, and on one line.
func printable(texts map[string]string) error {
	for _, pointer := range slices.Sorted(maps.Keys(texts)) {
		if text := texts[pointer]; !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return domain.InvalidField(pointer, "control_character", "Use printable characters on one line.")
		}
	}
	return nil
}

func readConnectionBody(r request) (connectionBody, error) {
	var body connectionBody
	if !isForm(r.Request) {
		err := decode(r.Request, &body)
		if err == nil && body.ID != nil && *body.ID <= 0 {
			err = domain.InvalidField("/provider_connection_id", "malformed", "Send the number of a provider connection, or null for the default.")
		}
		return body, err
	}
	form, err := formOf(r)
	if err != nil {
		return body, err
	}
	body.DisplayName, body.ConnectionType, body.AppID = form.Get("display_name"), form.Get("connection_type"), form.Get("app_id")
	if text := form.Get("provider_connection_id"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id <= 0 {
			return body, domain.InvalidField("/provider_connection_id", "malformed", "Choose a provider connection.")
		}
		body.ID = &id
	}
	return body, nil
}

// onboardingStartBody is the contract's OnboardingProviderStartRequest, with the one input that a check has.
type onboardingStartBody struct {
	ProviderConnectionID *int64 `json:"providerConnectionId"`
	Step                 string `json:"step"`
	Reconsent            bool   `json:"reconsent"`
}

// startOnboardingCheck starts the session's verification, which is the only operation that belongs to a step.
func (s *Server) startOnboardingCheck(r request) (answer, error) {
	number, err := s.onSession(r)
	if hidden, ok := domain.AsRefusal(err); ok && hidden.Kind == domain.NotFound || r.v("operation") != string(domain.OpConnectionCheck) {
		return answer{}, notFound()
	}
	if err != nil {
		return answer{}, err
	}
	if !r.actor().May(domain.CapProviderVerify) {
		return answer{}, r.actor().Authorize(r.actor().Workspace, uuid.Nil, domain.CapProviderVerify)
	}
	start := s.command(r, domain.OpConnectionCheck)
	err = s.readStart(r, &start, func(c *commands.Start) error {
		var body onboardingStartBody
		if err := decode(r.Request, &body); err != nil {
			return err
		}
		if body.Step != "" {
			c.Inputs = withInput(c.Inputs, "step", body.Step)
		}
		c.Reconsent = body.Reconsent
		return takeConnection(c, body.ProviderConnectionID)
	})
	if err == nil {
		err = plain(start)
	}
	if err != nil {
		return answer{}, err
	}
	check := commands.StartOnboardingCheck{
		Actor: r.actor(), Session: number, Attempt: start.Attempt, Reconsent: start.Reconsent, Surface: start.Surface, Trigger: start.Trigger,
		Context: map[string]any{"step": start.Inputs["step"]},
	}
	if start.Connection != 0 {
		check.Connection = &start.Connection
	}
	result, err := s.Commands.StartOnboardingCheck(r.Context(), check)
	if err != nil {
		return answer{}, err
	}
	s.countStart(result)
	facts, err := s.startFacts(r, result)
	if err != nil {
		return answer{}, err
	}
	facts.Reconsent = start.Reconsent
	a := presentStart(facts, result.Replayed)
	if byForm(r) {
		if _, err := s.Read.AwaitOnboarding(r.Context(), result.Seq, 2*time.Second); err != nil {
			return answer{}, err
		}
		err = s.outcomeInWizard(r, &a, checkStep(start.Reconsent), view.PresentStart(facts))
	}
	return a, err
}

func (s *Server) countStart(result commands.StartResult) {
	if !result.Replayed {
		s.metrics.starts.WithLabelValues(string(result.Outcome), string(result.Operation.Type), string(result.Reason)).Inc()
	}
}

// bootstrapBody is the contract's OnboardingBootstrapStartRequest.
type bootstrapBody struct {
	ProviderConnectionID int64    `json:"providerConnectionId"`
	SelectedOperations   []string `json:"selectedOperations"`
	SourceSurface        string   `json:"sourceSurface"`
}

// startBootstrap starts the first operations of a session, one after another.
func (s *Server) startBootstrap(r request) (answer, error) {
	number, err := s.onSession(r)
	if err != nil {
		return answer{}, err
	}
	start := s.command(r, "")
	var selected []string
	err = s.readStart(r, &start, func(c *commands.Start) error {
		var body bootstrapBody
		if err := decode(r.Request, &body); err != nil {
			return err
		}
		selected, c.Surface = body.SelectedOperations, body.SourceSurface
		return takeConnection(c, &body.ProviderConnectionID)
	})
	if isForm(r.Request) {
		selected, start.Inputs = r.PostForm["selectedOperations"], nil
	}
	if err == nil {
		err = plain(start)
	}
	if err != nil {
		return answer{}, err
	}
	result, err := s.Commands.StartBootstrap(r.Context(), commands.StartBootstrap{
		Actor: r.actor(), Session: number, Attempt: start.Attempt, Connection: start.Connection, Operations: selected, Surface: start.Surface,
		Trigger: start.Trigger,
	})
	if err != nil {
		return answer{}, err
	}
	s.countStart(result.StartResult)
	facts, err := s.startFacts(r, result.StartResult)
	if err != nil {
		return answer{}, err
	}
	if _, err := s.Read.AwaitOnboarding(r.Context(), result.Seq, 2*time.Second); err != nil {
		return answer{}, err
	}
	told := view.BootstrapFacts{StartFacts: facts, Accepted: result.Accepted, Pending: result.Pending, Runs: result.Runs}
	for _, o := range result.Blocked {
		told.PassedOver = append(told.PassedOver, view.PassedOver{Operation: o.Operation, Reason: o.Reason})
	}
	outcome := view.PresentBootstrap(told)
	a := presentStart(facts, result.Replayed)
	a.media, a.value = bootstrapMedia, outcome.Told()
	if byForm(r) {
		err = s.outcomeInWizard(r, &a, view.StepBootstrap, outcome.StartOutcome)
	}
	return a, err
}

func (s *Server) stopBootstrap(r request) (answer, error) {
	return s.changeOnboarding(r, func(number int64) (int64, error) {
		if err := readNothing(r); err != nil {
			return 0, err
		}
		return s.Commands.StopBootstrap(r.Context(), commands.StopBootstrap{Actor: r.actor(), Session: number})
	})
}

func (s *Server) takeOverOnboarding(r request) (answer, error) {
	return s.changeOnboarding(r, func(number int64) (int64, error) {
		if err := readNothing(r); err != nil {
			return 0, err
		}
		return s.Commands.TakeOverOnboarding(r.Context(), commands.TakeOverOnboarding{Actor: r.actor(), Session: number})
	})
}

func (s *Server) completeOnboarding(r request) (answer, error) {
	return s.changeOnboarding(r, func(number int64) (int64, error) {
		reason, err := readReason(r)
		if err != nil {
			return 0, err
		}
		return s.Commands.CompleteOnboarding(r.Context(), commands.CompleteOnboarding{Actor: r.actor(), Session: number, Reason: reason})
	})
}

func (s *Server) abandonOnboarding(r request) (answer, error) {
	return s.changeOnboarding(r, func(number int64) (int64, error) {
		reason, err := readReason(r)
		if err != nil {
			return 0, err
		}
		return s.Commands.AbandonOnboarding(r.Context(), commands.AbandonOnboarding{Actor: r.actor(), Session: number, Reason: reason})
	})
}

// changeOnboarding changes the session of the address, for those who may work on it, and answers what became of it.
func (s *Server) changeOnboarding(r request, change func(number int64) (int64, error)) (answer, error) {
	number, err := s.onSession(r)
	if err != nil {
		return answer{}, err
	}
	seq, err := change(number)
	if err != nil {
		return answer{}, err
	}
	return s.onboardingChanged(r, number, seq)
}

func readNothing(r request) error {
	if isForm(r.Request) {
		return nil
	}
	return decode(r.Request, &struct{}{})
}

func readReason(r request) (string, error) {
	var body struct {
		Reason string `json:"reason"`
	}
	if isForm(r.Request) {
		form, err := formOf(r)
		if err != nil {
			return "", err
		}
		body.Reason = form.Get("reason")
	} else if err := decode(r.Request, &body); err != nil {
		return "", err
	}
	return body.Reason, printable(map[string]string{"/reason": body.Reason})
}
