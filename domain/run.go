package domain

import (
	"time"

	"github.com/google/uuid"
)

// ExecutionStatus says where an operation run stands.
type ExecutionStatus string

// RunOutcome says how an operation run ended; it is empty until then.
type RunOutcome string

// The values of execution status and run outcome.
const (
	Queued          ExecutionStatus = "queued"
	Running         ExecutionStatus = "running"
	WaitingApproval ExecutionStatus = "waiting_external_approval"
	Completed       ExecutionStatus = "completed"

	Succeeded          RunOutcome = "succeeded"
	PartiallySucceeded RunOutcome = "partially_succeeded"
	Failed             RunOutcome = "failed"
	BlockedRun         RunOutcome = "blocked"
	Cancelled          RunOutcome = "cancelled"
)

// Run is an operation run: accepted work. Rules:
//
//  1. It exists before anything is dispatched; nothing but an accepted attempt creates one.
//  2. Only the holder of the newest fencing token writes to it; a token that was overtaken is refused.
//  3. It ends exactly once, and its end releases the protected scope in the same append.
type Run struct {
	ID              uuid.UUID
	Number          int64
	Attempt         uuid.UUID
	Operation       OperationType
	Identity        string
	Tenant          uuid.UUID
	Connection      int64
	Inputs          map[string]string
	Initiator       ActorRef
	Trigger         Trigger
	Reconsent       bool
	Status          ExecutionStatus
	Outcome         RunOutcome
	Token           int64 // newest fencing token, 0 before the first claim
	Try             int   // how often a worker began it
	CancelRequested bool
	Counts          Counts
}

// Counts are the items of a run by result. Unknown ones must be read back before anything is repeated.
type Counts struct {
	Confirmed int `json:"confirmed"`
	Refused   int `json:"refused"`
	Unknown   int `json:"unknown"`
}

// ItemResult is what became of one item.
type ItemResult string

// The results of an item.
const (
	ItemConfirmed ItemResult = "confirmed"
	ItemRefused   ItemResult = "refused"
	ItemUnknown   ItemResult = "unknown"
)

// Item is one thing that a run read or wrote. Content is the hash of the payload that was read, kept outside the events.
type Item struct {
	Key       string     `json:"key"`
	Name      string     `json:"name"`
	Type      string     `json:"type"`
	Intent    string     `json:"intent"` // "read", "create", "update"
	Result    ItemResult `json:"result"`
	Count     int        `json:"count,omitempty"`
	Content   string     `json:"content,omitempty"`
	Partial   bool       `json:"partial,omitempty"`
	Reason    ReasonCode `json:"reason,omitempty"`
	RequestID string     `json:"requestId,omitempty"`
}

// Progress is how far a run has come.
type Progress struct {
	Step         string     `json:"step"`
	Done         int        `json:"done"`
	Total        int        `json:"total,omitempty"` // 0 when not known
	WaitingUntil time.Time  `json:"waitingUntil,omitzero"`
	WaitingFor   ReasonCode `json:"waitingFor,omitempty"`
}

// Ending is how a run ended, with sanitised diagnostics only.
type Ending struct {
	Outcome     RunOutcome        `json:"outcome"`
	Reason      ReasonCode        `json:"reason,omitempty"`
	Summary     string            `json:"summary,omitempty"`
	Diagnostics map[string]string `json:"diagnostics,omitempty"`
}

// Exists says whether the run was accepted.
func (r Run) Exists() bool { return r.ID != uuid.Nil }

// Active says whether the run was accepted and has not ended.
func (r Run) Active() bool { return r.Exists() && r.Status != Completed }

func (r Run) holder() ScopeHolder {
	return ScopeHolder{Run: r.ID, RunNumber: r.Number, Operation: r.Operation, Identity: r.Identity, Initiator: r.Initiator}
}

// Begin records that a worker with a fresh fencing token took the run up. Taking up a run that another worker had begun is a
// recovery, and says so.
func (r Run) Begin(token int64, worker string) ([]Event, error) {
	if !r.Active() {
		return nil, errEnded
	}
	if token <= r.Token {
		return nil, errFenced
	}
	var events []Event
	if r.Try > 0 {
		events = append(events, RunRecovered{Token: token, Try: r.Try + 1, Worker: worker})
	}
	return append(events, RunStarted{Token: token, Try: r.Try + 1, Worker: worker}), nil
}

// Report records progress.
func (r Run) Report(token int64, p Progress) ([]Event, error) {
	if err := r.workable(token); err != nil {
		return nil, err
	}
	return []Event{RunProgressed{Token: token, Progress: p}}, nil
}

// Record records items with what became of them.
func (r Run) Record(token int64, items []Item) ([]Event, error) {
	if err := r.workable(token); err != nil {
		return nil, err
	}
	return []Event{RunItemsRecorded{Token: token, Items: items}}, nil
}

// RequestCancel asks for a cooperative end. A run that no worker has begun ends at once; the returned flag says so, and its
// scope has to be released with it.
func (r Run) RequestCancel(by ActorRef) (events []Event, ended bool, err error) {
	if !r.Active() {
		return nil, false, errEnded
	}
	if r.CancelRequested {
		return nil, false, nil
	}
	events = []Event{RunCancelRequested{By: by}}
	if r.Status == Queued {
		return append(events, RunCompleted{Ending: Ending{Outcome: Cancelled, Reason: ReasonCancelledByOperator}}), true, nil
	}
	return events, false, nil
}

// End ends the run; one that no worker has begun is ended with token 0 (it could not be dispatched). Its caller releases the scope
// (ProviderConnection.Release) in the same append.
func (r Run) End(token int64, e Ending) ([]Event, error) {
	if err := r.writable(token); err != nil {
		return nil, err
	}
	return []Event{RunCompleted{Token: token, Ending: e, Counts: r.Counts}}, nil
}

var (
	errEnded  = conflict("run_ended", "This run has ended.")
	errFenced = conflict("run_fenced", "Another worker has taken this run over.")
)

// workable says whether a worker with the token may write what it did: only one that has begun the run.
func (r Run) workable(token int64) error {
	if r.Active() && r.Status == Queued {
		return errFenced
	}
	return r.writable(token)
}

func (r Run) writable(token int64) error {
	switch {
	case !r.Active():
		return errEnded
	case token != r.Token:
		return errFenced
	}
	return nil
}

// Evolve implements State.
func (r Run) Evolve(e Event) Run {
	switch e := e.(type) {
	case RunAccepted:
		r.ID, r.Number, r.Attempt, r.Operation, r.Identity = e.Run, e.Number, e.Attempt, e.Operation, e.Identity
		r.Tenant, r.Connection, r.Inputs, r.Initiator = e.Tenant, e.Connection, e.Inputs, e.Initiator
		r.Trigger, r.Reconsent, r.Status = e.Trigger, e.Reconsent, Queued
	case RunStarted:
		r.Token, r.Try, r.Status = e.Token, e.Try, Running
		r.Counts = Counts{} // a begun run starts its items afresh
	case RunItemsRecorded:
		r.Counts = r.Counts.add(e.Items)
	case RunCancelRequested:
		r.CancelRequested = true
	case RunAwaitingApproval:
		r.Status = WaitingApproval
	case RunCompleted:
		r.Status, r.Outcome = Completed, e.Outcome
	}
	return r
}

func (c Counts) add(items []Item) Counts {
	for _, i := range items {
		switch i.Result {
		case ItemConfirmed:
			c.Confirmed++
		case ItemRefused:
			c.Refused++
		case ItemUnknown:
			c.Unknown++
		}
	}
	return c
}
