package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// OnboardingSession is a session as programs get it, and what every action on one answers.
type OnboardingSession struct {
	ID                   int64                      `json:"onboarding_session_id"`
	URL                  string                     `json:"url"`
	Tenant               string                     `json:"tenant_id"` // directory id
	Name                 string                     `json:"name"`
	Domain               string                     `json:"domain"`
	State                string                     `json:"state"`
	Owner                string                     `json:"owner"`
	CurrentStep          string                     `json:"current_step"`
	Steps                []OnboardingStep           `json:"steps"`
	ProviderConnectionID *int64                     `json:"provider_connection_id"`
	IsDefault            *bool                      `json:"is_default"`
	Verification         *OnboardingVerification    `json:"verification"`
	Operations           []OnboardingOperationState `json:"operations"`
	Runs                 []int64                    `json:"operation_run_ids"`
	StartedAt            time.Time                  `json:"started_at"`
	ChangedAt            time.Time                  `json:"changed_at"`
	EndedAt              *time.Time                 `json:"ended_at"`
	EndedReason          string                     `json:"ended_reason,omitempty"`
	YouMay               string                     `json:"you_may"` // "work", "take_over" or "read"
	NeedsReason          bool                       `json:"needs_reason,omitempty"`
}

// OnboardingStep is how far one step is.
type OnboardingStep struct {
	Step       string `json:"step"`
	Label      string `json:"label"`
	State      string `json:"state"`
	ReasonCode string `json:"reason_code,omitempty"` // of a blocked one
	After      string `json:"after,omitempty"`       // what has to be done before a locked one
}

// OnboardingVerification is the last check that the session asked for.
type OnboardingVerification struct {
	Outcome    string    `json:"outcome"`
	ReasonCode string    `json:"reason_code,omitempty"`
	Run        *int64    `json:"operation_run_id"`
	Status     string    `json:"status,omitempty"` // of the run: WizardStatus
	AskedAt    time.Time `json:"asked_at"`
}

// OnboardingOperationState is a selected operation.
type OnboardingOperationState struct {
	OperationType string `json:"operation_type"`
	State         string `json:"state"`
	ReasonCode    string `json:"reason_code,omitempty"`
	Run           *int64 `json:"operation_run_id"`
	Status        string `json:"status,omitempty"` // of the run: WizardStatus
}

// WizardStatus is a run's status in the four words of the wizard: queued, running, succeeded, failed. Empty is no run.
func WizardStatus(status *domain.ExecutionStatus, outcome *domain.RunOutcome) string {
	switch {
	case status == nil:
		return ""
	case *status == domain.Queued:
		return "queued"
	case *status != domain.Completed:
		return "running"
	case outcome != nil && (*outcome == domain.Succeeded || *outcome == domain.PartiallySucceeded):
		return "succeeded"
	}
	return "failed"
}

// PresentOnboardingSession makes a session's value, as the actor can go on with it.
func PresentOnboardingSession(r projections.OnboardingRow, actor domain.Actor) OnboardingSession {
	steps := r.Steps()
	o := OnboardingSession{
		ID: r.Number, URL: OnboardingHref(r.Number), Tenant: r.ExternalID.String(), Name: r.TenantName, Domain: r.TenantDomain,
		State: string(r.State), Owner: r.OwnerName, CurrentStep: string(domain.CurrentStep(steps)), ProviderConnectionID: r.Connection,
		Operations: []OnboardingOperationState{}, Runs: []int64{}, StartedAt: r.StartedAt.UTC(), ChangedAt: r.ChangedAt.UTC(), EndedAt: r.EndedAt,
		EndedReason: r.EndedReason, YouMay: "read", NeedsReason: r.Connected.Verification == domain.VerificationDegraded,
	}
	if r.State == domain.OnboardingOpen && actor.May(domain.CapOnboardingManage) {
		if o.YouMay = "take_over"; r.Owner() == actor.Ref {
			o.YouMay = "work"
		}
	}
	for _, s := range steps {
		o.Steps = append(o.Steps, OnboardingStep{string(s.Step), s.Step.Label(), string(s.State), string(s.Reason), string(s.After)})
	}
	if r.Connection != nil {
		o.IsDefault = &r.Default
	}
	if r.CheckOutcome != nil {
		o.Verification = &OnboardingVerification{
			Outcome: string(*r.CheckOutcome), ReasonCode: reasonText(r.CheckReason), Run: r.CheckRun, Status: WizardStatus(r.CheckRunStatus, r.CheckRunOutcome),
			AskedAt: r.CheckAt.UTC(),
		}
	}
	for _, op := range r.Operations {
		o.Operations = append(o.Operations, OnboardingOperationState{
			string(op.Operation), string(op.State), reasonText(op.Reason), op.RunNumber, WizardStatus(op.RunStatus, op.RunOutcome),
		})
		if op.RunNumber != nil {
			o.Runs = append(o.Runs, *op.RunNumber)
		}
	}
	return o
}

func reasonText(code *domain.ReasonCode) string {
	if code == nil {
		return ""
	}
	return string(*code)
}

// BootstrapOutcome is the contract's OnboardingBootstrapStartOutcome: the answer to the start that counts, and what becomes of the others.
type BootstrapOutcome struct {
	StartOutcome
	AcceptedOperation *string            `json:"acceptedOperation"`
	PendingOperations []string           `json:"pendingOperations"`
	BlockedOperations []BlockedOperation `json:"blockedOperations"`
	OperationRunIDs   []int64            `json:"operationRunIds"`
}

// BlockedOperation is a selected operation that was passed over.
type BlockedOperation struct {
	OperationType string `json:"operationType"`
	ReasonCode    string `json:"reasonCode"`
	ShortReason   string `json:"shortReason"`
}

// BootstrapFacts are what became of the selected operations so far, with the start that counts.
type BootstrapFacts struct {
	StartFacts
	Accepted   *domain.OperationType
	Pending    []domain.OperationType
	PassedOver []PassedOver
	Runs       []int64
}

// PassedOver is a selected operation that was blocked.
type PassedOver struct {
	Operation domain.OperationType
	Reason    domain.ReasonCode
}

// PresentBootstrap words what became of the selected operations.
func PresentBootstrap(f BootstrapFacts) BootstrapOutcome {
	o := BootstrapOutcome{
		StartOutcome: PresentStart(f.StartFacts), PendingOperations: []string{}, BlockedOperations: []BlockedOperation{}, OperationRunIDs: []int64{},
	}
	if f.Accepted != nil {
		accepted := string(*f.Accepted)
		o.AcceptedOperation = &accepted
	}
	if len(f.Pending) > 0 { // it waits already and is tried again without anybody's doing
		o.Reserve = nil
		o.NextSteps = slices.DeleteFunc(o.NextSteps, func(s NextStep) bool { return s.ActionType != nil && *s.ActionType == "retry" })
		o.Actions = slices.DeleteFunc(o.Actions, func(a ActionLink) bool { return a.Kind != nil && (*a.Kind == KindCheckAgain || *a.Kind == KindReserve) })
	}
	if o.Status == string(domain.Busy) {
		o.Headline, o.OperatorMessage = f.Operation.Label+" waits for its turn", f.Operation.Label+" waits for its turn: "+f.ahead()
		if f.RunNumber == 0 {
			o.ShortReason, o.Facts, o.NextSteps, o.Actions = Text("Other starts wait for this connection."), nil, nil, nil
		}
	}
	var waits, blocked []string
	for _, op := range f.Pending {
		o.PendingOperations = append(o.PendingOperations, string(op))
		waits = append(waits, domain.OperationByType(op).Label)
	}
	for _, p := range f.PassedOver {
		reason := domain.ReasonFor(p.Reason)
		o.BlockedOperations = append(o.BlockedOperations, BlockedOperation{string(p.Operation), string(reason.Code), reason.Short})
		blocked = append(blocked, fmt.Sprintf("%s (%s)", domain.OperationByType(p.Operation).Label, strings.TrimSuffix(reason.Short, ".")))
	}
	o.OperationRunIDs = append(o.OperationRunIDs, f.Runs...)
	var notes []string
	if len(waits) > 0 {
		notes = append(notes, "Each starts when the one before it has ended: "+strings.Join(waits, ", ")+".")
	}
	if len(blocked) > 0 && o.Status != string(domain.IsBlocked) {
		notes = append(notes, "Passed over: "+strings.Join(blocked, ", ")+".")
	}
	if len(notes) > 0 {
		o.Note = strings.Join(notes, " ")
	}
	return o
}

// ahead says what an operation waits for: the run that holds the connection, or others that wait while it is free.
func (f BootstrapFacts) ahead() string {
	if f.RunNumber == 0 {
		return "other starts for " + f.Connection.DisplayName + " are ahead of it."
	}
	return f.held()
}

// Told is the outcome for programs, as StartOutcome's.
func (o BootstrapOutcome) Told() BootstrapOutcome {
	o.StartOutcome = o.StartOutcome.Told()
	return o
}
