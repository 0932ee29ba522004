package domain

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// OnboardingSession brings one directory under management: five steps that can be left and resumed at any time. Rules:
//
//  1. There is one session per workspace and directory: its stream is derived from both (OnboardingStream).
//  2. One person owns it. Somebody else takes it over first, which is an event; stopping what waits needs no ownership.
//  3. The session keeps what was decided. What is so (consent, verification) is the connection's to say, so a step is done because it is
//     done, wherever it was done (OnboardingProgress).
//  4. Its bootstrap operations wait as reservations of their connection, admitted in order by the gate.
//  5. It ends as completed or abandoned. An abandoned one may be started again; a completed one not.
type OnboardingSession struct {
	ID         uuid.UUID
	Number     int64
	Workspace  uuid.UUID
	ExternalID uuid.UUID // Entra directory id
	Tenant     uuid.UUID
	Owner      ActorRef
	State      OnboardingState
	Connection int64 // 0 until one is chosen
	Bootstrap  []BootstrapItem
}

// OnboardingState says whether a session goes on.
type OnboardingState string

// The states of a session; a session that was never started has none.
const (
	OnboardingOpen OnboardingState = "open"
	OnboardingDone OnboardingState = "completed"
	OnboardingLeft OnboardingState = "abandoned"
)

// BootstrapTime is how long a bootstrap operation waits for its turn: as long as its predecessors take, and a weekend.
const BootstrapTime = 7 * 24 * time.Hour

// OnboardingStream is the stream of the only session that a directory can have in a workspace.
func OnboardingStream(workspace, externalID uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(streamSpace, []byte("onboarding/"+workspace.String()+"/"+externalID.String()))
}

// Exists says whether the session was ever started.
func (s OnboardingSession) Exists() bool { return s.ID != uuid.Nil }

// StartOnboarding starts the session of a directory, or resumes it: one that is open or completed is answered as it is, with no events.
// tenant is the directory's tenant as it is now, zero when it is not managed yet.
func StartOnboarding(s OnboardingSession, tenant Tenant, n OnboardingStarted) []Event {
	if s.State == OnboardingOpen || s.State == OnboardingDone {
		return nil
	}
	if s.Exists() {
		n.Number = s.Number
	}
	return []Event{n, TenantIdentified{Tenant: TenantStream(n.Workspace, n.ExternalID), Managed: tenant.Exists()}}
}

// mine refuses what only the owner of an open session may do.
func (s OnboardingSession) mine(by ActorRef) error {
	switch {
	case !s.Exists():
		return ErrNotFound()
	case s.State != OnboardingOpen:
		return conflict("onboarding_ended", "This onboarding has ended as "+string(s.State)+".")
	case s.Owner != by:
		return conflict("onboarding_owned_by_other", "Somebody else is doing this onboarding. Take it over to go on with it.")
	}
	return nil
}

// ChooseConnection attaches one of the tenant's connections.
func (s OnboardingSession) ChooseConnection(by ActorRef, c ProviderConnection, created bool) ([]Event, error) {
	if err := s.mine(by); err != nil {
		return nil, err
	}
	if !c.Exists() || c.Tenant != s.Tenant {
		return nil, ErrNotFound()
	}
	if s.Connection == c.Number {
		return nil, nil
	}
	return []Event{ConnectionChosen{Connection: c.Number, Created: created}}, nil
}

// NeedsConnection refuses steps for which a connection has to be chosen first; named is the one that the request named, 0 for none.
func (s OnboardingSession) NeedsConnection(by ActorRef, named int64) error {
	if err := s.mine(by); err != nil {
		return err
	}
	switch {
	case s.Connection == 0:
		return conflict("onboarding_connection_missing", "Choose a provider connection first.")
	case named != 0 && named != s.Connection:
		return InvalidField("/providerConnectionId", "not_chosen", "This is not the connection that was chosen for this onboarding.")
	}
	return nil
}

// RequestVerification records what the gate answered to the session's check.
func (s OnboardingSession) RequestVerification(attempt uuid.UUID, d Decision, number int64) []Event {
	return []Event{VerificationRequested{Attempt: attempt, Connection: s.Connection, Outcome: d.Outcome, Reason: d.Reason, RunNumber: number}}
}

// BootstrapOperations are those that a new tenant may begin with, in the order in which they are best started: they read, and need nothing
// that a person would have to enter.
func BootstrapOperations() []Operation {
	return slices.DeleteFunc(Catalogue(), func(o Operation) bool {
		for _, def := range o.Inputs {
			if def == "" {
				return true
			}
		}
		return o.Check || o.Write
	})
}

// ParseBootstrap reads selected operations: known ones, each once, in the order given.
func ParseBootstrap(selected []string) ([]Operation, error) {
	if len(selected) == 0 {
		return nil, InvalidField("/selectedOperations", "required", "Select at least one operation.")
	}
	offered := BootstrapOperations()
	var ops []Operation
	for _, name := range selected {
		i := slices.IndexFunc(offered, func(o Operation) bool { return string(o.Type) == name })
		if i < 0 {
			return nil, InvalidField("/selectedOperations", "unknown_operation", "Select operations that this onboarding offers.")
		}
		if !slices.ContainsFunc(ops, func(o Operation) bool { return o.Type == offered[i].Type }) {
			ops = append(ops, offered[i])
		}
	}
	return ops, nil
}

// Admitted records that a selected operation had its turn: r is its reservation, and events are what ended it.
func (s OnboardingSession) Admitted(r Reservation, events []Event) []Event {
	if !slices.ContainsFunc(s.Bootstrap, func(b BootstrapItem) bool { return b.Reservation == r.ID }) {
		return nil
	}
	var admitted []Event
	for _, e := range events {
		if end, ok := e.(ReservationEnded); ok && end.Reservation == r.ID && end.End == ReservationAdmitted {
			admitted = append(admitted, BootstrapOperationAdmitted{
				Operation: r.Operation, Reservation: r.ID, Outcome: end.Outcome, Reason: end.Reason, RunNumber: end.RunNumber,
			})
		}
	}
	return admitted
}

// StopRest takes the session's operations that still wait out of their queue: the first result is for the queue's stream, the second for
// the session's. What is running goes on. Whether the session goes on, and whose it is, does not matter.
func (s OnboardingSession) StopRest(q Reservations) ([]Event, []Event) {
	var ends []Event
	var stopped []uuid.UUID
	for _, w := range q.Waiting {
		if s.Exists() && w.Session == s.ID {
			ends = append(ends, ReservationEnded{Reservation: w.ID, End: ReservationCancelled})
			stopped = append(stopped, w.ID)
		}
	}
	if len(stopped) == 0 {
		return nil, nil
	}
	return ends, []Event{BootstrapStopped{Reservations: stopped}}
}

// TakeOver makes somebody else the owner. Taking over what one owns changes nothing.
func (s OnboardingSession) TakeOver(by ActorRef) ([]Event, error) {
	if err := s.mine(s.Owner); err != nil {
		return nil, err
	}
	if s.Owner == by {
		return nil, nil
	}
	return []Event{OnboardingTakenOver{From: s.Owner, By: by}}, nil
}

// Complete ends the session: the connection is usable. A degraded verification has to be accepted with a reason.
func (s OnboardingSession) Complete(by ActorRef, c ProviderConnection, accepted string) ([]Event, error) {
	if s.State == OnboardingDone && s.Owner == by {
		return nil, nil
	}
	if err := s.NeedsConnection(by, 0); err != nil {
		return nil, err
	}
	accepted, err := onboardingReason(accepted)
	if err != nil {
		return nil, err
	}
	for _, step := range OnboardingProgress(s.State, true, c, false) {
		if step.Step != StepBootstrap && step.State != StepDone {
			return nil, conflict("onboarding_step_open", "The step \""+step.Step.Label()+"\" is not done yet.")
		}
	}
	switch {
	case c.Verification != VerificationDegraded:
		accepted = ""
	case accepted == "":
		return nil, InvalidField("/reason", "required", "The verification is degraded. Say why that is acceptable.")
	}
	return []Event{OnboardingCompleted{Connection: s.Connection, Verification: c.Verification, Accepted: accepted}}, nil
}

// Abandon ends the session without finishing it. What was set up stays.
func (s OnboardingSession) Abandon(by ActorRef, reason string) ([]Event, error) {
	if err := s.mine(by); err != nil {
		return nil, err
	}
	reason, err := onboardingReason(reason)
	if err != nil {
		return nil, err
	}
	return []Event{OnboardingAbandoned{Reason: reason}}, nil
}

func onboardingReason(s string) (string, error) {
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) > 120 || !PlainText(s) {
		return "", InvalidField("/reason", "invalid_reason", "Use at most 120 characters on one line.")
	}
	return s, nil
}

// Evolve implements State.
func (s OnboardingSession) Evolve(e Event) OnboardingSession {
	switch e := e.(type) {
	case OnboardingStarted:
		s = OnboardingSession{
			ID: e.Session, Number: e.Number, Workspace: e.Workspace, ExternalID: e.ExternalID, Owner: e.Owner, State: OnboardingOpen,
		}
	case TenantIdentified:
		s.Tenant = e.Tenant
	case ConnectionChosen:
		s.Connection = e.Connection
	case BootstrapSelected:
		s.Bootstrap = slices.Concat(s.Bootstrap, e.Operations)
	case OnboardingTakenOver:
		s.Owner = e.By
	case OnboardingCompleted:
		s.State = OnboardingDone
	case OnboardingAbandoned:
		s.State = OnboardingLeft
	}
	return s
}

// OnboardingStep is one of the wizard's five steps.
type OnboardingStep string

// The steps, in order.
const (
	StepIdentify   OnboardingStep = "identify"
	StepConnection OnboardingStep = "connection"
	StepConsented  OnboardingStep = "consent"
	StepVerified   OnboardingStep = "verify"
	StepBootstrap  OnboardingStep = "bootstrap"
)

// Label is the step's name.
func (s OnboardingStep) Label() string {
	return map[OnboardingStep]string{
		StepIdentify: "Identify tenant", StepConnection: "Provider connection", StepConsented: "Admin consent",
		StepVerified: "Verify connection", StepBootstrap: "First operations",
	}[s]
}

// StepState says how far a step is.
type StepState string

// The states of a step.
const (
	StepDone     StepState = "done"
	StepCurrent  StepState = "current"
	StepBlocked  StepState = "blocked"
	StepOptional StepState = "optional"
	StepLocked   StepState = "locked"
)

// StepProgress is how far one step is, and for a blocked or locked one why.
type StepProgress struct {
	Step   OnboardingStep
	State  StepState
	Reason ReasonCode     // blocked: what is wrong with the connection
	After  OnboardingStep // locked: what has to be done first
}

// OnboardingProgress is how far the five steps of a session are, from what is so: whether a connection is chosen, its state, and whether one of
// the selected operations started. A step that was done elsewhere is done, and one that came undone is open again, until the session is
// completed: what happens to the connection afterwards is not its.
func OnboardingProgress(s OnboardingState, chosen bool, c ProviderConnection, started bool) []StepProgress {
	steps := []StepProgress{
		{Step: StepIdentify, State: StepDone}, connectionStep(chosen, c), consentStep(c), VerifyProgress(c), {Step: StepBootstrap, State: StepOptional},
	}
	if s == OnboardingDone {
		for i := range steps[:4] {
			steps[i] = StepProgress{Step: steps[i].Step, State: StepDone}
		}
	}
	if started {
		steps[4].State = StepDone
	}
	first := slices.IndexFunc(steps[:4], func(p StepProgress) bool { return p.State != StepDone })
	if first < 0 {
		return steps
	}
	for i := first + 1; i < len(steps); i++ {
		if steps[i].State != StepDone {
			steps[i] = StepProgress{Step: steps[i].Step, State: StepLocked, After: steps[first].Step}
		}
	}
	return steps
}

// CurrentStep is the first step that is not done; the last one when all are.
func CurrentStep(steps []StepProgress) OnboardingStep {
	for _, s := range steps {
		if s.State != StepDone {
			return s.Step
		}
	}
	return StepBootstrap
}

func connectionStep(chosen bool, c ProviderConnection) StepProgress {
	p := StepProgress{Step: StepConnection, State: StepBlocked}
	switch {
	case !chosen:
		p.State = StepCurrent
	case c.MigrationReviewRequired:
		p.Reason = ReasonProviderConnectionReviewRequired
	case !c.Enabled:
		p.Reason = ReasonProviderConnectionDisabled
	case c.Credential.Fingerprint == "":
		p.Reason = ReasonProviderCredentialMissing
	case c.failed() && ReasonFor(c.VerificationReason).Offers(StepRotateCredential):
		p.Reason = c.VerificationReason
	default:
		p.State = StepDone
	}
	return p
}

// failed says whether the last check ended without access to the tenant.
func (c ProviderConnection) failed() bool {
	return c.Verification == VerificationBlocked || c.Verification == VerificationError
}

// consentStep is blocked where consent is not known because a check failed before it could find out: asking for it would not help.
func consentStep(c ProviderConnection) StepProgress {
	switch c.Consent {
	case ConsentIsGiven:
		return StepProgress{Step: StepConsented, State: StepDone}
	case ConsentIsFailed:
		return StepProgress{Step: StepConsented, State: StepBlocked, Reason: ReasonProviderConsentFailed}
	case ConsentIsGone:
		return StepProgress{Step: StepConsented, State: StepBlocked, Reason: ReasonProviderConsentRevoked}
	}
	if c.failed() && c.VerificationReason != "" && ReasonFor(c.VerificationReason).Family != FamilyConsent {
		return StepProgress{Step: StepConsented, State: StepBlocked, Reason: c.VerificationReason}
	}
	return StepProgress{Step: StepConsented, State: StepCurrent}
}

// VerifyProgress is how far the verification is, whatever the steps before it are.
func VerifyProgress(c ProviderConnection) StepProgress {
	switch {
	case c.Verification == VerificationHealthy || c.Verification == VerificationDegraded:
		return StepProgress{Step: StepVerified, State: StepDone}
	case c.failed():
		return StepProgress{Step: StepVerified, State: StepBlocked, Reason: cmp.Or(c.VerificationReason, ReasonProviderVerificationBlocked)}
	}
	return StepProgress{Step: StepVerified, State: StepCurrent}
}
