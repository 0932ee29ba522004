package view

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// OnboardingFacts is what a session's page is made from.
type OnboardingFacts struct {
	Session     projections.OnboardingRow
	Mine        bool
	Tenant      projections.Tenant
	Connections []projections.Connection      // all of the tenant
	Log         []projections.AuditLine       // of the session, newest first
	History     []projections.TimelineEvent   // of the chosen connection, newest first
	Check       *projections.RunLine          // the newest check of the chosen connection
	Runs        map[int64]projections.RunLine // of the selected operations
	Exercises   []projections.Exercise
	// Readiness is the gate's dry run of each operation that can be begun with, Usual how long they take.
	Readiness map[domain.OperationType]Forecast
	Usual     map[domain.OperationType]string
	Step      domain.OnboardingStep // that was asked for; empty is the one that is due
	Attempt   string                // of the start that a press would make
	Can       func(domain.Capability) bool
	May       func(domain.NextStepAction) bool
	Now       time.Time
}

// chosen is the session's connection, nil until there is one.
func (f OnboardingFacts) chosen() *projections.Connection {
	if f.Session.Connection == nil {
		return nil
	}
	return &f.Session.Connected
}

// mayWork says whether the viewer can do the steps: the owner of a session that goes on.
func (f OnboardingFacts) mayWork() bool {
	return f.Mine && f.Session.State == domain.OnboardingOpen && f.Can(domain.CapOnboardingManage)
}

// pending says whether a selected operation waits or runs.
func pending(o projections.OnboardingOperationRow) bool {
	return o.State == projections.BootstrapPending || o.State == projections.BootstrapAdmitted && o.RunOutcome == nil
}

// StepBadge says how far a step is.
func StepBadge(s domain.StepState) Badge {
	return vocabulary{
		string(domain.StepDone):     {Icon: "circle-check", Word: "Done", Tone: Positive},
		string(domain.StepCurrent):  {Icon: "contrast", Word: "Current", Tone: Active},
		string(domain.StepBlocked):  {Icon: "octagon-alert", Word: "Blocked", Tone: Stop},
		string(domain.StepOptional): {Icon: "circle-dashed", Word: "Optional", Tone: Neutral},
		string(domain.StepLocked):   {Icon: "lock", Word: "Locked", Tone: Neutral},
	}.of(string(s))
}

// OnboardingBadge says how a session stands.
func OnboardingBadge(s domain.OnboardingState) Badge {
	return vocabulary{
		string(domain.OnboardingOpen): {Icon: "contrast", Word: "In progress", Tone: Active},
		string(domain.OnboardingDone): {Icon: "circle-check", Word: "Completed", Tone: Positive},
		string(domain.OnboardingLeft): {Icon: "circle-minus", Word: "Abandoned", Tone: Neutral},
	}.of(string(s))
}

// PresentOnboardings words the list of sessions, as they come; manage says whether the viewer may onboard.
func PresentOnboardings(sessions []projections.OnboardingRow, me domain.ActorRef, manage bool, now time.Time) OnboardingList {
	l := OnboardingList{Now: now}
	if manage {
		l.New = &Button{Label: "Onboard a tenant", Icon: "rocket", Href: NewOnboardingHref(""), Variant: "primary"}
	}
	for _, s := range sessions {
		line := OnboardingLine{
			Number: s.Number, Name: cmp.Or(s.TenantName, s.ExternalID.String()), Domain: s.TenantDomain, Directory: s.ExternalID.String(),
			Owner: nameOrSystem(s.OwnerName), Href: OnboardingHref(s.Number), Began: s.StartedAt.UTC(),
			Badge: OnboardingBadge(s.State), Step: s.EndedReason,
		}
		line.Button = Button{Label: "Open", Href: line.Href}
		if s.State != domain.OnboardingOpen {
			l.Ended = append(l.Ended, line)
			continue
		}
		steps := s.Steps()
		due := domain.CurrentStep(steps)
		for i, step := range steps {
			if step.Step == due {
				line.Badge, line.Step = StepBadge(step.State), strconv.Itoa(i+1)+" of 5: "+due.Label()
			}
		}
		if s.Owner() == me && manage {
			line.Button = Button{Label: "Resume", Icon: "play", Href: line.Href, Variant: "primary"}
		}
		l.Open = append(l.Open, line)
	}
	if len(l.Open) == 0 {
		l.Empty = &Empty{
			Icon: "rocket", Title: "No onboarding in progress",
			Text: "Onboarding brings a customer's directory under management in five steps: identify it, connect it, get consent, verify, start first operations.",
		}
		if l.New != nil {
			l.Empty.Actions, l.New = []Button{*l.New}, nil
		} else {
			l.Empty.Text += " A manager of the workspace can begin one."
		}
	}
	return l
}

// NoTenants is what stands in place of the list of tenants before there is one.
func NoTenants(manage bool) *Empty {
	e := &Empty{Icon: "building-2", Title: "No tenants yet", Text: "The customers' directories that you look after appear here."}
	if manage {
		e.Actions = []Button{{Label: "Connect a tenant", Href: NewOnboardingHref(""), Variant: "primary"}}
	} else {
		e.Text += " A manager of the workspace can connect one."
	}
	return e
}

// KnownManaged is said about a directory that is managed already.
func KnownManaged(t projections.Tenant) KnownDirectory {
	return KnownDirectory{
		Text: t.Name + " is managed here already.", Anyway: "Go through its onboarding",
		Buttons: []Button{{Label: "Open tenant", Icon: "building-2", Href: TenantHref(t.ExternalID.String()), Variant: "primary"}},
	}
}

// KnownSession is said about a directory that somebody is onboarding, or has onboarded.
func KnownSession(s projections.OnboardingRow) KnownDirectory {
	read := Button{Label: "Open its onboarding", Href: OnboardingHref(s.Number)}
	if s.State == domain.OnboardingDone {
		return KnownDirectory{
			Text: s.TenantName + " has been onboarded.", At: at(s.EndedAt),
			Buttons: []Button{{Label: "Open tenant", Icon: "building-2", Href: TenantHref(s.ExternalID.String()), Variant: "primary"}, read},
		}
	}
	return KnownDirectory{
		Text: nameOrSystem(s.OwnerName) + " is onboarding " + s.TenantName + " and has reached \"" + domain.CurrentStep(s.Steps()).Label() + "\".",
		At:   s.StartedAt.UTC(),
		Buttons: []Button{
			{Label: "Take over", Icon: "user-round-check", Post: true, Variant: "primary", Href: OnboardingActionHref(s.Number, "take-over")}, read,
		},
	}
}

// PresentOnboarding words a session at one of its steps. What needs a request of its own (the consent, outcomes, errors) is added to it.
func PresentOnboarding(f OnboardingFacts) Onboarding {
	steps := f.Session.Steps()
	p := Onboarding{
		Now: f.Now, Number: f.Session.Number, Tenant: Link{f.Tenant.Name, TenantHref(f.Tenant.ExternalID.String())}, Directory: f.Tenant.ExternalID.String(),
		Owner: nameOrSystem(f.Session.OwnerName), Badge: OnboardingBadge(f.Session.State), Began: f.Session.StartedAt.UTC(), Step: f.shown(steps), Log: sessionLog(f.Log),
	}
	p.May = f.mayWork()
	p.Steps = f.stepLines(steps, p.Step)
	p.Lead = stepLeads[p.Step]
	for i, s := range steps {
		if s.Step != p.Step {
			continue
		}
		p.Title = stepTitle(i, s.Step)
		if s.State == domain.StepLocked {
			p.Locked = &Link{s.After.Label(), OnboardingStepHref(f.Session.Number, s.After)}
		}
		if s.Step == StepConsented && s.State == domain.StepBlocked && domain.ReasonFor(s.Reason).Family != domain.FamilyConsent {
			p.Problem = f.problem(s.Reason)
		}
		if i > 0 {
			p.Back = &Link{"Back to " + lowerFirst(steps[i-1].Step.Label()), OnboardingStepHref(f.Session.Number, steps[i-1].Step)}
		}
		if s.State == domain.StepDone && i+1 < len(steps) {
			p.Continue = &Button{Label: "Continue", Icon: "arrow-right", Href: OnboardingStepHref(f.Session.Number, steps[i+1].Step), Variant: "primary"}
		}
	}
	f.aboutSession(&p)
	switch p.Step {
	case domain.StepIdentify:
		p.Identify = f.identified()
	case domain.StepConnection:
		p.Connection = f.connection()
	case domain.StepVerified:
		p.Verify = f.verify(p.Locked != nil)
	case domain.StepBootstrap:
		p.Bootstrap = f.bootstrap()
		if p.May {
			p.Continue = &Button{Label: "Continue to finish", Icon: "arrow-right", Href: OnboardingStepHref(f.Session.Number, StepFinish)}
		}
	case StepFinish:
		p.Title, p.Finish = "Finish", f.finish(steps)
		p.Back = &Link{"Back to " + lowerFirst(domain.StepBootstrap.Label()), OnboardingStepHref(f.Session.Number, domain.StepBootstrap)}
		if p.Finish.Done {
			p.Title, p.Back = f.Tenant.Name+" is onboarded", nil
			p.Continue = &Button{Label: "Open " + f.Tenant.Name, Icon: "arrow-right", Href: p.Tenant.Href, Variant: "primary"}
		}
	}
	return p
}

// stepOf is one of the steps.
func stepOf(steps []domain.StepProgress, step domain.OnboardingStep) domain.StepProgress {
	return steps[slices.IndexFunc(steps, func(s domain.StepProgress) bool { return s.Step == step })]
}

func stepTitle(i int, step domain.OnboardingStep) string {
	return strconv.Itoa(i+1) + ". " + step.Label()
}

// stepLeads say what a step is for.
var stepLeads = map[domain.OnboardingStep]string{
	StepIdentify:   "The directory that this onboarding is about.",
	StepConnection: "How the directory is reached: an application id, and a credential that is sealed before it is stored.",
	StepConsented:  "An administrator of the customer allows the application to read the directory. You see it here as soon as it is so.",
	StepVerified:   "One run finds out whether the connection works and which permissions are granted.",
	StepBootstrap:  "Optional: read what is in the directory now. You can finish while they run.",
	StepFinish:     "What was set up.",
}

// PresentIdentify is the form of the first step while there is no session.
func PresentIdentify(now time.Time) OnboardingIdentify {
	f := OnboardingIdentify{Now: now, Title: stepTitle(0, StepIdentify)}
	for i, s := range domain.OnboardingProgress(domain.OnboardingOpen, false, domain.ProviderConnection{}, false) {
		line := OnboardingStepLine{Label: s.Step.Label(), Badge: StepBadge(domain.StepLocked), Shown: i == 0}
		if i == 0 {
			line.Badge = StepBadge(domain.StepCurrent)
		}
		f.Steps = append(f.Steps, line)
	}
	return f
}

// shown is the step that the page is about.
func (f OnboardingFacts) shown(steps []domain.StepProgress) domain.OnboardingStep {
	for _, s := range steps {
		if s.Step == f.Step {
			return f.Step
		}
	}
	if f.Step == StepFinish || f.Session.State == domain.OnboardingDone {
		return StepFinish
	}
	return domain.CurrentStep(steps)
}

// ParseStep reads the address's step: "" for none, and whether there is such a step.
func ParseStep(text string) (domain.OnboardingStep, bool) {
	step := domain.OnboardingStep(text)
	return step, text == "" || step == StepFinish || step.Label() != ""
}

func (f OnboardingFacts) aboutSession(p *Onboarding) {
	manage := f.Can(domain.CapOnboardingManage)
	switch {
	case f.Session.State == domain.OnboardingLeft:
		p.Notices = append(p.Notices, Notice{Icon: "circle-minus", Tone: Neutral, Text: "This onboarding was abandoned. What was set up stays; starting it again begins at the first open step."})
		if manage {
			p.TakeOver = &Button{Label: "Start again", Icon: "rotate-cw", Href: NewOnboardingHref(p.Directory), Variant: "primary"}
		}
	case f.Session.State == domain.OnboardingDone:
	case !manage:
		p.Notices = append(p.Notices, Notice{Icon: "info", Tone: Neutral, Text: "You can read this onboarding. Working on it needs the right to onboard tenants (" +
			string(domain.CapOnboardingManage) + "), which managers and owners have."})
	case !f.Mine:
		p.Notices = append(p.Notices, Notice{Icon: "user", Tone: Wait, Text: p.Owner + " is doing this onboarding. Take it over to go on with it; that is written to its log."})
		p.TakeOver = &Button{Label: "Take over", Icon: "user-round-check", Post: true, Variant: "primary", Href: OnboardingActionHref(f.Session.Number, "take-over")}
	}
	if p.May {
		p.Abandon = &OnboardingReason{
			Action: OnboardingActionHref(f.Session.Number, "abandon"), Label: "Reason (optional)", Help: "Nobody goes on with it then. What was set up stays.", Submit: "Abandon onboarding",
		}
	}
}

// stepLines are the five steps with who did them when: each from the newest event that says so.
func (f OnboardingFacts) stepLines(steps []domain.StepProgress, shown domain.OnboardingStep) []OnboardingStepLine {
	lines := make([]OnboardingStepLine, len(steps))
	for i, s := range steps {
		line := OnboardingStepLine{
			Label: s.Step.Label(), Href: OnboardingStepHref(f.Session.Number, s.Step), Badge: StepBadge(s.State), Shown: s.Step == shown,
		}
		switch s.State {
		case domain.StepDone:
			line.By, line.At = f.doneBy(s.Step)
		case domain.StepBlocked:
			line.Note = domain.ReasonFor(s.Reason).Short
		case domain.StepLocked:
			line.Note = "After \"" + s.After.Label() + "\""
		}
		lines[i] = line
	}
	return lines
}

func (f OnboardingFacts) doneBy(step domain.OnboardingStep) (string, time.Time) {
	s := f.Session
	switch step {
	case StepIdentify:
		return nameOrSystem(s.StarterName), s.StartedAt.UTC()
	case StepConnection:
		return nameOrSystem(s.ChooserName), at(s.ChosenAt)
	case StepBootstrap:
		return nameOrSystem(s.SelectorName), at(s.SelectedAt)
	case StepVerified:
		if s.CheckAt != nil {
			return nameOrSystem(s.CheckerName), at(s.CheckAt)
		}
	}
	event := map[domain.OnboardingStep]string{StepConsented: domain.ConsentGranted{}.EventName(), StepVerified: domain.VerificationRecorded{}.EventName()}[step]
	for _, e := range f.History {
		if e.Name == event {
			return nameOrSystem(e.Actor), e.At.UTC()
		}
	}
	return "", time.Time{}
}

func sessionLog(log []projections.AuditLine) []Change {
	lines := make([]Change, 0, len(log))
	for _, l := range log {
		lines = append(lines, Change{
			Position: l.Position, At: l.At.UTC(), Event: l.Event, Sentence: auditSentence(l), Actor: actorName(l.ActorKind, l.ActorID.String(), l.ActorName),
		})
	}
	return lines
}

func (f OnboardingFacts) identified() []Fact {
	facts := []Fact{{Label: "Directory id", Text: f.Tenant.ExternalID.String(), Mono: true}, {Label: "Name", Text: f.Tenant.Name, Href: TenantHref(f.Tenant.ExternalID.String())}}
	if f.Tenant.Domain != "" {
		facts = append(facts, Fact{Label: "Domain", Text: f.Tenant.Domain})
	}
	for _, g := range f.Tenant.Groups {
		facts = append(facts, Fact{Label: "Group", Text: g})
	}
	return facts
}

// labelOf is a connection's name, with its number where another one of the tenant has the same.
func (f OnboardingFacts) labelOf(c projections.Connection) string {
	if slices.ContainsFunc(f.Connections, func(o projections.Connection) bool { return o.Number != c.Number && o.DisplayName == c.DisplayName }) {
		return c.DisplayName + " (connection " + Number(c.Number) + ")"
	}
	return c.DisplayName
}

func (f OnboardingFacts) connection() *OnboardingConnection {
	p := &OnboardingConnection{
		Action: OnboardingActionHref(f.Session.Number, "connection"),
		Name:   f.Tenant.Name, Type: "platform", Disabled: map[int64]bool{},
	}
	for _, c := range f.Connections {
		row := PresentConnection(c, f.Tenant)
		chosen := f.chosen() != nil && f.chosen().Number == c.Number
		p.Choices = append(p.Choices, ConnectionChoice{
			ID: c.Number, Label: f.labelOf(c), Default: row.IsDefault, Axes: row.State.Axes(),
			Current: chosen || f.chosen() == nil && (row.IsDefault || len(f.Connections) == 1),
		})
		p.Disabled[c.Number] = !c.Enabled
	}
	if f.chosen() == nil {
		return p
	}
	p.Stored = CredentialLine(*f.chosen(), f.History, f.Now)
	step := stepOf(f.Session.Steps(), StepConnection)
	if step.State != domain.StepBlocked {
		return p
	}
	p.Problem = f.problem(step.Reason)
	switch manage := f.mayWork() && f.Can(domain.CapProviderManage); {
	case !manage:
	case step.Reason == domain.ReasonProviderConnectionDisabled:
		p.Problem.Steps = nil
		p.Fix = &Button{Label: "Enable " + f.chosen().DisplayName, Icon: "power", Post: true, Variant: "primary", Href: OnboardingActionHref(f.Session.Number, "changes/enable")}
	case step.Reason == domain.ReasonProviderConnectionReviewRequired:
		p.Problem.Steps = nil
		p.Fix = &Button{Label: "Review its settings", Icon: "external-link", Href: ConnectionHref(f.chosen().Number), Variant: "primary"}
	default: // the credential's
		form := PresentCredentialForm(*f.chosen(), f.History, f.Now)
		form.Action, form.Cancel, form.Kind = OnboardingActionHref(f.Session.Number, "changes/credential"), OnboardingHref(f.Session.Number), cmp.Or(f.chosen().CredentialKind, "secret")
		p.Credential, p.Problem.Steps = &form, nil
		if p.Stored == "" {
			p.Problem = nil
		} else if f.Can(domain.CapProviderVerify) && !f.checking() { // it may have been mended where the workers run
			p.Fix = f.startCheck("Check again", f.chosen().Consent != domain.ConsentIsGiven)
			p.Fix.Variant = "outline"
		}
	}
	return p
}

// problem words a reason with its next steps.
func (f OnboardingFacts) problem(code domain.ReasonCode) *OnboardingProblem {
	target := domain.ReasonTarget{Tenant: f.Tenant.ExternalID.String()}
	if f.chosen() != nil {
		target.Connection = Number(f.chosen().Number)
	}
	reason := domain.ReasonFor(code).Fill(target)
	return &OnboardingProblem{Text: reason.Message, Code: string(reason.Code), Steps: PresentSteps(reason, f.Tenant.ExternalID.String(), f.May)}
}

func (f OnboardingFacts) verify(locked bool) *OnboardingVerify {
	if f.chosen() == nil {
		return nil
	}
	c := *f.chosen()
	p := &OnboardingVerify{Axes: canonicalState(c).Axes(), Permissions: ConnectionTruth(c, f.Exercises, f.Now)}
	p.Permissions.ID, p.Permissions.Title = "onboarding-permissions", "Verification report"
	if f.Check != nil {
		row := PresentRunRow(*f.Check, f.Now)
		p.Run = &row
	}
	here := OnboardingStepHref(f.Session.Number, domain.StepVerified)
	switch {
	case f.checking():
		p.Refresh = &Button{Label: "Refresh", Icon: "refresh-cw", Href: here}
	case f.mayWork() && !locked:
		p.Start = f.startCheck("Start verification", false)
		if c.Verification == domain.VerificationHealthy || c.Verification == domain.VerificationDegraded {
			p.Start.Label, p.Start.Variant = "Verify again", "outline"
		}
	}
	step := domain.VerifyProgress(c.State())
	switch {
	case f.checking():
	case step.State == domain.StepBlocked:
		p.Problem = f.problem(step.Reason)
	case c.Verification == domain.VerificationDegraded:
		p.Degraded = "Some permissions are missing, so some operations are blocked. You can get them granted and verify again, or accept this with a reason when you finish."
	}
	return p
}

// checking says whether a check of the chosen connection is under way.
func (f OnboardingFacts) checking() bool {
	return f.chosen() != nil && f.chosen().ScopeRunNumber != nil && f.chosen().ScopeOperation == domain.OpConnectionCheck ||
		f.Check != nil && f.Check.Outcome == nil
}

// UnderWay says whether something that was started here has not ended.
func (f OnboardingFacts) UnderWay() bool {
	return f.checking() || slices.ContainsFunc(f.Session.Operations, pending)
}

// startCheck is the button that asks for a check in the name of the session.
func (f OnboardingFacts) startCheck(label string, reconsent bool) *Button {
	b := &Button{
		Label: label, Icon: "shield-check", Post: true, Variant: "primary",
		Href:   OnboardingActionHref(f.Session.Number, "provider-actions/"+string(domain.OpConnectionCheck)+"/start"),
		Fields: []Field{{"attempt_id", f.Attempt}, {"providerConnectionId", Number(f.chosen().Number)}, {"step", string(f.Step)}},
	}
	if reconsent {
		b.Icon, b.Variant, b.Fields = "refresh-cw", "outline", append(b.Fields, Field{"reconsent", "true"})
	}
	return b
}

// PresentOnboardingConsent makes the connection's consent page the wizard's third step: it asks, comes back and re-checks here.
func PresentOnboardingConsent(f OnboardingFacts, p Consent) Consent {
	here := OnboardingStepHref(f.Session.Number, domain.StepConsented)
	if directory := f.answeredDirectory(); directory != "" {
		p.Code = string(domain.ReasonTenantTargetMismatch)
		p.Reason = domain.ReasonFor(domain.ReasonTenantTargetMismatch).Message + " It was given for the directory " + directory + "."
	}
	p.Here, p.Next, p.SentAbove = here, here, true
	if p.Code == string(domain.ReasonProviderConsentMissing) { // is what this step is for
		p.Reason, p.Code = "", ""
	}
	if p.RequestHref != "" {
		p.RequestHref = OnboardingActionHref(f.Session.Number, "changes/consent")
	}
	if p.Recheck != nil {
		f.Step = domain.StepConsented
		p.Recheck = f.startCheck(p.Recheck.Label, true)
	}
	if !f.mayWork() {
		p.RequestHref, p.Recheck = "", nil
	}
	return p
}

// answeredDirectory is the directory that answered last instead of the expected one; empty when what came last counted.
func (f OnboardingFacts) answeredDirectory() string {
	for _, e := range f.History {
		stored, err := domain.Decode(e.Name, e.Payload)
		if err != nil {
			continue
		}
		switch d := stored.(type) {
		case domain.ConsentAnswerIgnored:
			if d.Directory != "" {
				return d.Directory
			}
		case domain.ConsentGranted, domain.ConsentFailed, domain.ConsentRevoked:
			return ""
		}
	}
	return ""
}

func (f OnboardingFacts) bootstrap() *OnboardingBootstrap {
	p := &OnboardingBootstrap{}
	waits := 0
	selected := map[domain.OperationType]bool{}
	for _, b := range f.Session.Operations {
		if b.State == projections.BootstrapPending {
			waits++
		}
		if b.State == projections.BootstrapPending || b.State == projections.BootstrapAdmitted {
			selected[b.Operation] = true
		}
		p.Started = append(p.Started, f.started(b))
	}
	if f.chosen() == nil {
		return p
	}
	if waits > 0 && f.Can(domain.CapOnboardingManage) {
		p.Rest = &Button{
			Label: "Stop the rest", Icon: "x", Post: true, Href: OnboardingActionHref(f.Session.Number, "stop-rest"),
			Confirm: narrate.Count(waits, "operation") + " will not be started. What is running goes on.",
		}
	}
	for _, op := range domain.BootstrapOperations() {
		if selected[op.Type] {
			continue
		}
		forecast := f.Readiness[op.Type]
		p.Choices = append(p.Choices, OnboardingChoice{
			Type: string(op.Type), Label: op.Label, Status: forecast.Status, Text: forecast.Text, Usually: f.Usual[op.Type],
			Checked: len(f.Session.Operations) == 0 && forecast.Status != string(domain.IsBlocked),
		})
	}
	if f.mayWork() && len(p.Choices) > 0 {
		p.Action = OnboardingActionHref(f.Session.Number, "provider-bootstrap/start")
		p.Fields = []Field{{"attempt_id", f.Attempt}, {"providerConnectionId", Number(f.chosen().Number)}}
	}
	if f.mayWork() && len(f.Session.Operations) == 0 {
		p.Skip = &Link{"Skip", OnboardingStepHref(f.Session.Number, StepFinish)}
	}
	return p
}

// started is a selected operation: waiting, running, ended, or passed over.
func (f OnboardingFacts) started(o projections.OnboardingOperationRow) OnboardingOperation {
	p := OnboardingOperation{Label: domain.OperationByType(o.Operation).Label}
	reason := o.Reason
	if o.RunReason != nil {
		reason = o.RunReason
	}
	if reason != nil && *reason != "" {
		p.Reason = domain.ReasonFor(*reason).Short
	}
	if o.RunNumber != nil {
		p.Run = &Link{"Run " + Number(*o.RunNumber), RunHref(*o.RunNumber)}
		if line, there := f.Runs[*o.RunNumber]; there {
			p.Progress = progress(line.Run)
		}
	}
	p.Badge = vocabulary{
		string(projections.BootstrapPending):   {Icon: "hourglass", Word: "Waiting for its turn", Tone: Wait},
		string(projections.BootstrapAdmitted):  {Icon: "circle", Word: "Accepted", Tone: Active},
		string(projections.BootstrapBlocked):   {Icon: "octagon-alert", Word: "Blocked, passed over", Tone: Stop},
		string(projections.BootstrapStopped):   {Icon: "circle-minus", Word: "Stopped", Tone: Neutral},
		string(projections.BootstrapExpired):   {Icon: "clock", Word: "Waited too long", Tone: Warning},
		string(projections.BootstrapWithdrawn): {Icon: "ban", Word: "Withdrawn", Tone: Stop},
	}.of(string(o.State))
	if o.State == projections.BootstrapAdmitted && o.RunStatus != nil {
		outcome := ""
		if o.RunOutcome != nil {
			outcome = string(*o.RunOutcome)
		}
		p.Badge = RunBadge(string(*o.RunStatus), outcome)
	}
	return p
}

func (f OnboardingFacts) finish(steps []domain.StepProgress) *OnboardingFinish {
	p := &OnboardingFinish{Done: f.Session.State == domain.OnboardingDone}
	tenant := f.Tenant.ExternalID.String()
	p.Facts = []Fact{{Label: "Tenant", Text: f.Tenant.Name, Href: TenantHref(tenant)}, {Label: "Directory id", Text: tenant, Mono: true}}
	ready := f.chosen() != nil
	if f.chosen() != nil {
		axes := canonicalState(*f.chosen()).Axes()
		if p.Done { // as it was then; a degraded one is accepted with a reason
			axes.Consent, axes.Verification = string(domain.ConsentIsGiven), string(domain.VerificationHealthy)
			if f.Session.EndedReason != "" {
				axes.Verification = string(domain.VerificationDegraded)
			}
		}
		badges := axes.Badges()
		badges[1].Axis, badges[2].Axis = "", ""
		p.Facts = append(p.Facts, Fact{Label: "Connection", Text: f.chosen().DisplayName, Href: ConnectionHref(f.chosen().Number)},
			Fact{Label: "Consent", Badge: &badges[1]}, Fact{Label: "Verification", Badge: &badges[2]})
	}
	for _, b := range f.Session.Operations {
		if pending(b) {
			p.Pending++
		}
	}
	p.Facts = append(p.Facts, Fact{Label: "First operations", Text: f.operationsLine(p.Pending)})
	for _, s := range steps {
		ready = ready && (s.State == domain.StepDone || s.Step == StepBootstrap)
	}
	switch {
	case p.Done:
		p.Next = []NextStep{
			step("See what was found in "+f.Tenant.Name, "The tenant's page shows what was read, and what is not readable.", TenantHref(tenant), "link"),
			step("Start an operation", "Anything that did not run during onboarding.", "/admin/t/"+tenant+"/start", "link"),
			step("Look at the connection's permissions", "What is granted and what operations still miss.", "", "link"),
		}
		if f.chosen() != nil {
			p.Next[2].Href = Text(ConnectionHref(f.chosen().Number))
		}
	case f.mayWork() && ready:
		p.Complete = &OnboardingReason{Action: OnboardingActionHref(f.Session.Number, "complete"), Submit: "Finish onboarding"}
		if f.chosen().Verification == domain.VerificationDegraded {
			p.Complete.Label, p.Complete.Required = "Why is the degraded verification acceptable?", true
			p.Complete.Help = "At most 120 characters; it is kept in the session's log."
		}
	}
	return p
}

func (f OnboardingFacts) operationsLine(pending int) string {
	if len(f.Session.Operations) == 0 {
		return "None selected"
	}
	never := 0
	for _, o := range f.Session.Operations {
		if o.State != projections.BootstrapAdmitted && o.State != projections.BootstrapPending {
			never++
		}
	}
	text := narrate.Count(len(f.Session.Operations), "operation") + " selected"
	if never > 0 {
		text += ", " + strconv.Itoa(never) + " never started"
	}
	switch {
	case pending > 0:
		text += ", " + strconv.Itoa(pending) + " not ended yet"
	case never == 0:
		text += ", all ended"
	}
	return text
}
