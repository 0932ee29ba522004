package view

import "time"

// RunDetail is the contract's ProviderBackedRunDetail. The fields without JSON
// name are what only the page shows, from the answer to the evidence.
type RunDetail struct {
	RunID                int64           `json:"runId"`
	OperationType        string          `json:"operationType"`
	ExecutionStatus      string          `json:"executionStatus"`
	Outcome              *string         `json:"outcome"`
	ProviderConnection   *ConnectionRef  `json:"providerConnection,omitempty"`
	ProtectedScope       *ProtectedScope `json:"protectedScope,omitempty"`
	ShortReason          *string         `json:"shortReason"`
	NextSteps            []NextStep      `json:"nextSteps,omitempty"`
	DiagnosticsAvailable bool            `json:"diagnosticsAvailable"`

	Now time.Time `json:"-"`
	// Operation is the human name, Target what it works on ("all groups").
	Operation string    `json:"-"`
	Target    string    `json:"-"`
	Tenant    Link      `json:"-"`
	Initiator Initiator `json:"-"`
	QueuedAt  time.Time `json:"-"`
	StartedAt time.Time `json:"-"`
	EndedAt   time.Time `json:"-"`
	Buttons   []Button  `json:"-"`

	// Message is the operator message in full; ReasonCode the stable code.
	Message    string `json:"-"`
	ReasonCode string `json:"-"`
	// Changed says what changed in the tenant: "38 policies read, nothing written".
	Changed  string   `json:"-"`
	Progress Progress `json:"-"`
	// Waiting is set while the run waits for a scope, a throttle budget or an approval.
	Waiting *Waiting `json:"-"`
	// UsuallyFrom and UsuallyTo bound how long the last such runs took.
	UsuallyFrom time.Duration `json:"-"`
	UsuallyTo   time.Duration `json:"-"`
	Cancel      *CancelState  `json:"-"`
	// LeaseLost is set when the worker went silent: "No heartbeat for 90 s; ...".
	LeaseLost string `json:"-"`
	Facts     []Fact `json:"-"`

	// Path is the state diagram, in order; steps that are skipped are left out.
	Path []PathStep `json:"-"`

	AxesAtAdmission Axes   `json:"-"`
	AxesNow         Axes   `json:"-"`
	WaitedBehind    []Link `json:"-"`
	// Behind are the starts that wait for its connection.
	Behind       []Reservation `json:"-"`
	Events       []Event       `json:"-"`
	EventFilters []Choice      `json:"-"`
	EventOrders  []Choice      `json:"-"`
	IdleChoices  []Choice      `json:"-"`
	// IdleHidden is how long the steps waited that are left out; the others are drawn side by side then.
	IdleHidden time.Duration `json:"-"`
	Steps      []GanttBar    `json:"-"`
	Items      []Item        `json:"-"`
	// ItemsNote says what is not shown, such as "First 100 of 412 items".
	ItemsNote string `json:"-"`
	Related   []Fact `json:"-"`
	// Permissions is the report of a check that has ended; nil for other runs.
	Permissions *PermissionTruth `json:"-"`
}

// ProtectedScope is what the run held alone. Its JSON is the contract's free object.
type ProtectedScope struct {
	Key          string     `json:"key"`
	ConnectionID int64      `json:"connectionId"`
	State        string     `json:"state"`
	HeldFrom     *time.Time `json:"heldFrom,omitempty"`
	HeldTo       *time.Time `json:"heldTo,omitempty"`
	FencingToken int64      `json:"fencingToken,omitempty"`
	ReleasedBy   string     `json:"releasedBy,omitempty"`
}

// CancelState is a cooperative cancel: requested, cancelling or cancelled.
type CancelState struct {
	State string
	By    string
	At    time.Time
	// Detail is what it waits for: "after item 12".
	Detail string
}

// PathStep is one state of the state diagram.
type PathStep struct {
	Label string
	// State is done, current or ahead.
	State string
	At    time.Time
	// Took is the time spent on the edge that leads here.
	Took time.Duration
	// Tone colours the last step by the outcome.
	Tone Tone
}

// Event is one line of the run's timeline.
type Event struct {
	Position int64
	At       time.Time
	Type     string
	Sentence string
	Actor    string
	Icon     string
	Tone     Tone
	// JSON is the event's sanitised data, pretty-printed; empty shows none.
	JSON string
}

// GanttBar is one step of the run over time. A zero To is still going.
type GanttBar struct {
	Label string
	From  time.Time
	To    time.Time
	Tone  Tone
	// Idle says that the run waited.
	Idle bool
}

// Item is one thing the run read or wrote.
type Item struct {
	Key    string
	Name   string
	Type   string
	Intent string
	// Result is pending, confirmed, refused, skipped or unknown.
	Result    string
	Reason    string
	RequestID string
}

// Ended says whether the run has its outcome.
func (r RunDetail) Ended() bool { return r.Outcome != nil }
