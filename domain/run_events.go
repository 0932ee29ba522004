package domain

import (
	"time"

	"github.com/google/uuid"
)

// AttemptFacts is what every receipt says: what was asked, by whom, and on which facts it was decided.
type AttemptFacts struct {
	Attempt    uuid.UUID         `json:"attempt"`
	Operation  OperationType     `json:"operation"`
	Identity   string            `json:"identity,omitempty"`
	Tenant     uuid.UUID         `json:"tenant"`
	Connection int64             `json:"connection,omitempty"`
	Inputs     map[string]string `json:"inputs,omitempty"`
	Surface    string            `json:"surface,omitempty"`
	Trigger    Trigger           `json:"trigger"`
	Initiator  ActorRef          `json:"initiator"`
	Facts      Facts             `json:"facts"`
}

// RunAccepted is the receipt of an accepted attempt and the first event of its run.
type RunAccepted struct {
	AttemptFacts
	Run       uuid.UUID `json:"run"`
	Number    int64     `json:"number"`
	Reconsent bool      `json:"reconsent,omitempty"`
}

// RunDeduped is the receipt of an attempt that joined a run of the same identity.
type RunDeduped struct {
	AttemptFacts
	Holder ScopeHolder `json:"holder"`
}

// ScopeBusy is the receipt of an attempt that found other work on the protected scope.
type ScopeBusy struct {
	AttemptFacts
	Holder ScopeHolder `json:"holder"`
}

// StartBlocked is the receipt of an attempt that the gate refused.
type StartBlocked struct {
	AttemptFacts
	Reason ReasonCode `json:"reason"`
}

// RunStarted says that a worker took the run up under a fencing token.
type RunStarted struct {
	Token  int64  `json:"token"`
	Try    int    `json:"try"`
	Worker string `json:"worker"`
}

// RunProgressed says how far the run has come.
type RunProgressed struct {
	Token int64 `json:"token"`
	Progress
}

// RunItemsRecorded says what became of items.
type RunItemsRecorded struct {
	Token int64  `json:"token"`
	Items []Item `json:"items"`
}

// RunCancelRequested says that somebody asked for a cooperative end.
type RunCancelRequested struct {
	By ActorRef `json:"by"`
}

// RunAwaitingApproval says that the customer's side must approve before the run goes on.
type RunAwaitingApproval struct {
	Token int64     `json:"token"`
	Until time.Time `json:"until"`
}

// RunRecovered says that a run whose worker was lost is taken up again.
type RunRecovered struct {
	Token  int64  `json:"token"`
	Try    int    `json:"try"`
	Worker string `json:"worker"`
}

// RunCompleted ends a run.
type RunCompleted struct {
	Token int64 `json:"token,omitempty"`
	Ending
	Counts Counts `json:"counts"`
}

// EventName implements Event.
func (RunAccepted) EventName() string { return "RunAccepted" }

// EventName implements Event.
func (RunDeduped) EventName() string { return "RunDeduped" }

// EventName implements Event.
func (ScopeBusy) EventName() string { return "ScopeBusy" }

// EventName implements Event.
func (StartBlocked) EventName() string { return "StartBlocked" }

// EventName implements Event.
func (RunStarted) EventName() string { return "RunStarted" }

// EventName implements Event.
func (RunProgressed) EventName() string { return "RunProgressed" }

// EventName implements Event.
func (RunItemsRecorded) EventName() string { return "RunItemsRecorded" }

// EventName implements Event.
func (RunCancelRequested) EventName() string { return "RunCancelRequested" }

// EventName implements Event.
func (RunAwaitingApproval) EventName() string { return "RunAwaitingApproval" }

// EventName implements Event.
func (RunRecovered) EventName() string { return "RunRecovered" }

// EventName implements Event.
func (RunCompleted) EventName() string { return "RunCompleted" }
