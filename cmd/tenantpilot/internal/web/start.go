package web

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

const startMedia = "application/vnd.tenantpilot.provider-start-outcome+json"

// startBody is the contract's ProviderStartRequest.
type startBody struct {
	ProviderConnectionID *int64         `json:"providerConnectionId"`
	SourceSurface        string         `json:"sourceSurface"`
	TargetContext        map[string]any `json:"targetContext"`
}

// groupsBody is the contract's DirectoryGroupsSyncRequest.
type groupsBody struct {
	SelectionKey         string `json:"selectionKey"`
	ProviderConnectionID *int64 `json:"providerConnectionId"`
}

func (s *Server) startOnTenant(r request) (answer, error) {
	c, err := s.tenantCommand(r, domain.OperationType(r.v("operation")))
	if err != nil {
		return answer{}, err
	}
	return s.start(r, c, readStartBody(r))
}

// readStartBody reads the contract's body of a start on a tenant.
func readStartBody(r request) func(*commands.Start) error {
	return func(c *commands.Start) error {
		var body startBody
		if err := decode(r.Request, &body); err != nil {
			return err
		}
		c.Surface = body.SourceSurface
		if err := takeConnection(c, body.ProviderConnectionID); err != nil {
			return err
		}
		return takeContext(c, body.TargetContext)
	}
}

func (s *Server) startOnConnection(r request) (answer, error) {
	number, err := pathNumber(r.v("connection"))
	if err != nil {
		return answer{}, err
	}
	c := s.command(r, domain.OperationType(r.v("operation")))
	c.Connection = number
	return s.start(r, c, func(*commands.Start) error { return decode(r.Request, &struct{}{}) })
}

func (s *Server) syncGroups(r request) (answer, error) {
	c, err := s.tenantCommand(r, domain.OpGroupsSync)
	if err != nil {
		return answer{}, err
	}
	return s.start(r, c, func(c *commands.Start) error {
		var body groupsBody
		if err := decode(r.Request, &body); err != nil {
			return err
		}
		if body.SelectionKey != "" {
			c.Inputs = map[string]string{"selectionKey": body.SelectionKey}
		}
		return takeConnection(c, body.ProviderConnectionID)
	})
}

func (s *Server) syncRoleDefinitions(r request) (answer, error) {
	c, err := s.tenantCommand(r, domain.OpRoleDefinitionsSync)
	if err != nil {
		return answer{}, err
	}
	return s.start(r, c, func(*commands.Start) error { return decode(r.Request, &struct{}{}) })
}

func (s *Server) command(r request, op domain.OperationType) commands.Start {
	trigger := domain.TriggerOperator
	if r.viewer.Token {
		trigger = domain.TriggerAPI
	}
	return commands.Start{Actor: r.actor(), Operation: op, Trigger: trigger}
}

func (s *Server) tenantCommand(r request, op domain.OperationType) (commands.Start, error) {
	c := s.command(r, op)
	var err error
	c.Tenant, err = pathUUID(r.v("tenant"))
	return c, err
}

// start reads what was sent, asks the gate and presents its answer. What is wrong with the input is told only to those who may start
// the operation: for everybody else it is as absent, or as forbidden, as it would be with good input.
func (s *Server) start(r request, c commands.Start, read func(*commands.Start) error) (answer, error) {
	filled := c
	err := s.readStart(r, &filled, read)
	if err == nil {
		err = plain(filled)
	}
	if err != nil {
		if _, hidden := s.Commands.Forecast(r.Context(), c); isHidden(hidden) {
			return answer{}, hidden
		}
		return s.formAgain(r, c, err)
	}
	result, err := s.Commands.Start(r.Context(), filled)
	if err != nil {
		return s.formAgain(r, c, pointed(err, filled))
	}
	if !result.Replayed {
		s.metrics.starts.WithLabelValues(string(result.Outcome), string(result.Operation.Type), string(result.Reason)).Inc()
	}
	facts, err := s.startFacts(r, result)
	if err != nil {
		return answer{}, err
	}
	facts.Inputs, facts.Reconsent, facts.ReserveID = filled.Inputs, filled.Reconsent, uuid.NewString()
	return presentStart(facts, result.Replayed), nil
}

func presentStart(facts view.StartFacts, replayed bool) answer {
	outcome := view.PresentStart(facts)
	a := answer{
		media: startMedia, value: outcome.Told(), title: view.StartBadge(outcome.Status).Word,
		page:     func(shell view.Shell) templ.Component { return page.OutcomePage(shell, outcome) },
		fragment: page.OutcomeBody(outcome, facts.Now),
	}
	if replayed {
		a.header = map[string]string{"Idempotent-Replayed": "true"}
	}
	return a
}

func isHidden(err error) bool {
	refusal, ok := domain.AsRefusal(err)
	return ok && (refusal.Kind == domain.NotFound || refusal.Kind == domain.Forbidden)
}

// prefersForm says whether a form can be shown: to a page, or to what is inside one.
func prefersForm(r request) bool {
	return r.Header.Get("HX-Request") == "true" || prefersHTML(r.Request)
}

// byForm says whether a person has sent a form, and is answered with a page.
func byForm(r request) bool {
	return isForm(r.Request) && prefersForm(r)
}

// readStart fills the command from the form or the JSON body, and the attempt's id from the header or the form's nonce.
func (s *Server) readStart(r request, c *commands.Start, read func(*commands.Start) error) error {
	if isForm(r.Request) {
		return readForm(r, c)
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		id, err := uuid.Parse(key)
		if err != nil || len(key) != 36 || id == uuid.Nil {
			return invalid("malformed_key", "The header Idempotency-Key is no UUID.", view.FieldError{Pointer: "", Code: "malformed_key", Message: "Idempotency-Key must be a UUID."})
		}
		c.Attempt = id
	}
	return read(c)
}

// formKeys are the parts of the start form that are no inputs of the operation.
var formKeys = map[string]bool{
	"attempt_id": true, "sourceSurface": true, "operation": true, "providerConnectionId": true, "confirm": true, "reconsent": true,
}

func readForm(r request, c *commands.Start) error {
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return invalid("malformed_body", "The form could not be read.")
	}
	if nonce := r.PostForm.Get("attempt_id"); nonce != "" {
		id, err := uuid.Parse(nonce)
		if err != nil || id == uuid.Nil {
			return invalid("malformed_key", "The form is damaged. Open it again.")
		}
		c.Attempt = id
	}
	if n := r.PostForm.Get("providerConnectionId"); n != "" && c.Connection == 0 {
		number, err := strconv.ParseInt(n, 10, 64)
		if err != nil || number <= 0 {
			return domain.InvalidField("/providerConnectionId", "malformed", "Choose a provider connection.")
		}
		c.Connection = number
	}
	c.Surface, c.Reconsent = r.PostForm.Get("sourceSurface"), r.PostForm.Get("reconsent") == "true"
	for key := range r.PostForm {
		if !formKeys[key] && r.PostForm.Get(key) != "" {
			c.Inputs = withInput(c.Inputs, key, r.PostForm.Get(key))
		}
	}
	return nil
}

func takeConnection(c *commands.Start, number *int64) error {
	if number == nil {
		return nil
	}
	if c.Connection = *number; c.Connection <= 0 {
		return domain.InvalidField("/providerConnectionId", "malformed", "Send the number of a provider connection, or null for the default.")
	}
	return nil
}

// plain says whether the texts that are kept with an attempt are ones: at most 200 bytes on one line. A control character would be kept for
// ever in the log and could not be shown, or stored, by what reads it.
func plain(c commands.Start) error {
	texts := map[string]string{"/sourceSurface": c.Surface}
	for key, value := range c.Inputs {
		texts["/"+key] = value
	}
	for _, pointer := range slices.Sorted(maps.Keys(texts)) {
		switch text := texts[pointer]; {
		case len(text) > 200:
			return pointed(domain.InvalidField(pointer, "too_long", "Use at most 200 characters."), c)
		case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
			return pointed(domain.InvalidField(pointer, "control_character", "Use printable characters on one line."), c)
		}
	}
	return nil
}

// pointed corrects the place that a refusal names: inputs that came in targetContext are wrong there.
func pointed(err error, c commands.Start) error {
	refusal, ok := domain.AsRefusal(err)
	if !ok || len(c.Context) == 0 || len(refusal.Fields) == 0 {
		return err
	}
	moved := *refusal
	moved.Fields = slices.Clone(refusal.Fields)
	for i, f := range moved.Fields {
		if _, there := c.Context[strings.TrimPrefix(f.Pointer, "/")]; there {
			moved.Fields[i].Pointer = "/targetContext" + f.Pointer
		}
	}
	return &moved
}

// takeContext passes the operation's own inputs on; everything else in the free context is kept with the request's identity.
func takeContext(c *commands.Start, context map[string]any) error {
	op := domain.OperationByType(c.Operation)
	for key, value := range context {
		if _, isInput := op.Inputs[key]; isInput {
			text, ok := value.(string)
			if !ok {
				return domain.InvalidField("/targetContext/"+key, "wrong_type", "Send a string.")
			}
			c.Inputs = withInput(c.Inputs, key, text)
		}
		if key == "reconsent" {
			yes, ok := value.(bool)
			if !ok {
				return domain.InvalidField("/targetContext/reconsent", "wrong_type", "Send true or false.")
			}
			c.Reconsent = yes
		}
	}
	c.Context = context
	return nil
}

func withInput(inputs map[string]string, key, value string) map[string]string {
	if inputs == nil {
		inputs = map[string]string{}
	}
	inputs[key] = value
	return inputs
}

// startFacts adds to the gate's answer what the presenter words besides: who holds the scope, since when, how long such runs take.
func (s *Server) startFacts(r request, result commands.StartResult) (view.StartFacts, error) {
	f := view.StartFacts{
		Decision: result.Decision, Operation: result.Operation, Tenant: result.Tenant, Connection: result.Connection, RunNumber: result.RunNumber,
		May: r.mayStep, Now: time.Now().UTC(),
		Attempt: result.Attempt,
	}
	if result.Outcome != domain.Deduped && result.Outcome != domain.Busy {
		return f, nil
	}
	held := result.Holder
	name, err := s.Read.PersonName(r.Context(), held.Initiator.ID)
	if err != nil {
		return f, err
	}
	if f.HolderName = name; name == "" {
		f.HolderName = "TenantPilot"
	}
	usual, err := s.Read.Usually(r.Context(), result.Tenant.ID, held.Operation)
	if err != nil {
		return f, err
	}
	f.UsuallyFrom, f.UsuallyTo = usual.From, usual.To
	line, err := s.Read.RunByNumber(r.Context(), r.actor(), result.RunNumber)
	if err != nil && !errors.Is(err, projections.ErrNoRow) {
		return f, err
	}
	f.RunStatus = string(line.Status)
	return f, nil
}

// mayStep says whether the viewer can do what a next step asks.
func (r request) mayStep(a domain.NextStepAction) bool { return mayStep(r.actor(), a) }

// mayStep says whether an actor can do what a next step asks.
func mayStep(actor domain.Actor, a domain.NextStepAction) bool {
	switch a {
	case domain.StepConsent, domain.StepEnable, domain.StepRotateCredential, domain.StepCreateConnection, domain.StepReview:
		return actor.May(domain.CapProviderManage)
	case domain.StepReleaseHold:
		return actor.May(domain.CapHoldManage)
	case domain.StepVerify:
		return actor.May(domain.CapProviderVerify)
	case domain.StepContactOwner:
		return !actor.May(domain.CapWorkspaceManage) // who is not one
	}
	return true
}

// chooseTenantToStart is the start form before a tenant is known.
func (s *Server) chooseTenantToStart(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	if err != nil {
		return answer{}, err
	}
	form := view.StartForm{Now: time.Now().UTC(), FormHref: "/admin/start"}
	for _, t := range tenants {
		form.Tenants = append(form.Tenants, view.TenantChoice{Label: t.Name, Domain: t.Domain, Href: "/admin/t/" + t.ExternalID.String() + "/start"})
	}
	return startPage(form, 0), nil
}

func startPage(form view.StartForm, status int) answer {
	return answer{
		title: "Start an operation", status: status,
		page:     func(shell view.Shell) templ.Component { return page.StartPage(shell, form) },
		fragment: page.StartBody(form),
	}
}

func (s *Server) startForm(r request) (answer, error) {
	form, tenant, err := s.buildForm(r, r.URL.Query())
	if err != nil {
		return answer{}, err
	}
	a := startPage(form, 0)
	a.shell = inTenant(tenant)
	return a, nil
}

// formAgain shows a person the form once more with what was entered and what is wrong with it. Whatever is not about the input, and every
// answer to a program, stays the error that it is.
func (s *Server) formAgain(r request, c commands.Start, cause error) (answer, error) {
	if !isForm(r.Request) || !prefersForm(r) || r.v("tenant") == "" || s.problemOf(r.Request, cause).Status != http.StatusBadRequest {
		return answer{}, cause
	}
	query := url.Values{"operation": {string(c.Operation)}}
	for _, key := range []string{"providerConnectionId", "selectionKey", "attempt_id"} {
		if v := r.PostForm.Get(key); v != "" {
			query.Set(key, v)
		}
	}
	form, tenant, err := s.buildForm(r, query)
	if err != nil {
		return answer{}, err
	}
	p := s.problemOf(r.Request, cause)
	form.Errors = p.Errors
	if len(form.Errors) == 0 {
		form.Errors = []view.FieldError{{Code: p.Code, Message: p.Detail}}
	}
	for i, o := range form.Options {
		for _, e := range p.Errors {
			if e.Pointer == "/"+o.Name {
				form.Options[i].Error = e.Message
			}
		}
	}
	a := startPage(form, http.StatusUnprocessableEntity)
	a.shell = inTenant(tenant)
	return a, nil
}

func (s *Server) buildForm(r request, query url.Values) (view.StartForm, projections.Tenant, error) {
	external, err := pathUUID(r.v("tenant"))
	if err != nil {
		return view.StartForm{}, projections.Tenant{}, err
	}
	tenant, err := s.Read.Tenant(r.Context(), r.actor(), external)
	if err != nil {
		return view.StartForm{}, tenant, err
	}
	here := "/admin/t/" + external.String() + "/start"
	form := view.StartForm{
		Now: time.Now().UTC(), Tenant: view.Link{Label: tenant.Name, Href: view.TenantHref(external.String())}, FormHref: here,
		AttemptID: uuid.NewString(), SourceSurface: "console.start",
	}
	if form.Groups, err = s.operationChoices(r, tenant, here, query.Get("operation")); err != nil {
		return form, tenant, err
	}
	op, err := domain.LookupOperation(domain.OperationType(query.Get("operation")))
	if err != nil || !r.actor().May(op.Capability) {
		return form, tenant, nil
	}
	form.Operation, form.Submit = string(op.Type), op.Verb
	form.Action = "/admin/t/" + external.String() + "/provider-actions/" + string(op.Type) + "/start"
	return form, tenant, s.fillForm(r, &form, tenant, op, query)
}

// fillForm adds the chosen operation's connection, options and forecast: the gate's own answer, as a dry run.
func (s *Server) fillForm(r request, form *view.StartForm, tenant projections.Tenant, op domain.Operation, query url.Values) error {
	connections, err := s.Read.Connections(r.Context(), r.actor(), tenant.ID)
	if err != nil {
		return err
	}
	chosen, _ := strconv.ParseInt(query.Get("providerConnectionId"), 10, 64)
	for _, c := range connections {
		row := view.PresentConnection(c, tenant)
		current := c.Number == chosen || (chosen == 0 && row.IsDefault)
		form.Connections = append(form.Connections, view.ConnectionChoice{
			ID: c.Number, Label: c.DisplayName, Default: row.IsDefault, Current: current, Axes: row.State.Axes(),
		})
	}
	c := commands.Start{Actor: r.actor(), Operation: op.Type, Tenant: tenant.ExternalID, Connection: chosen}
	if def, ok := op.Inputs["selectionKey"]; ok {
		value := query.Get("selectionKey")
		if value == "" {
			value = def
		}
		form.Options = append(form.Options, view.Option{
			Name: "selectionKey", Label: "Selection", Help: "Which groups to read. all_groups_v1 reads all of them.", Value: value,
		})
		c.Inputs = map[string]string{"selectionKey": value}
	}
	if op.Check && len(connections) > 0 {
		form.Options = append(form.Options, view.Option{
			Name: "reconsent", Label: "Consent", Value: query.Get("reconsent"),
			Help:    "A connection without consent is checked only when you say that consent has been given since.",
			Choices: []view.OptionChoice{{Value: "", Label: "Go by what is recorded"}, {Value: "true", Label: "I already consented, check again"}},
		})
		c.Reconsent = query.Get("reconsent") == "true"
	}
	result, err := s.Commands.Forecast(r.Context(), c)
	if refusal, ok := domain.AsRefusal(err); ok && refusal.Kind == domain.Invalid {
		return nil // the form shows what was entered; starting says what is wrong with it
	}
	if err != nil {
		return err
	}
	facts, err := s.startFacts(r, result)
	if err != nil {
		return err
	}
	forecast := view.PresentForecast(facts)
	form.Forecast = &forecast
	return nil
}

func (s *Server) operationChoices(r request, tenant projections.Tenant, here, current string) ([]view.OperationGroup, error) {
	last, err := s.Read.LastRuns(r.Context(), tenant.ID)
	if err != nil {
		return nil, err
	}
	groups := []view.OperationGroup{{Label: "Read"}, {Label: "Write"}}
	for _, o := range domain.Catalogue() {
		if !r.actor().May(o.Capability) {
			continue
		}
		choice := view.OperationChoice{
			Type: string(o.Type), Label: o.Label, Text: o.Verb, Href: here + "?operation=" + string(o.Type), Current: string(o.Type) == current,
		}
		for _, l := range last {
			if l.Operation == o.Type {
				choice.LastAt = l.At
				if l.Outcome != nil {
					choice.LastOutcome = string(*l.Outcome)
				}
			}
		}
		usual, err := s.Read.Usually(r.Context(), tenant.ID, o.Type)
		if err != nil {
			return nil, err
		}
		choice.Usually = usual.To
		i := 0
		if o.Write {
			i = 1
		}
		groups[i].Operations = append(groups[i].Operations, choice)
	}
	if len(groups[1].Operations) == 0 {
		groups = groups[:1]
	}
	return groups, nil
}
