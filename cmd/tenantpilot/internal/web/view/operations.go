package view

import "time"

// OperationsList is the operations hub: all tenants the viewer may see, or one.
type OperationsList struct {
	Now time.Time
	// Action is the page's own URL without query, where the filter box submits.
	Action string
	// Tenant is the fixed tenant chip of a tenant-scoped hub, nil for all.
	Tenant *Link
	// Counters are shown above everything, each a link that sets the filter.
	Counters []Counter
	Tabs     []Choice
	// Ranges are the time ranges: last hour, 24 h, 7 days.
	Ranges []Choice
	// Query is the filter as typed, Keep the parameters the box must not lose.
	// The box submits what was typed as "filter"; the handler turns its terms
	// into parameters and redirects, so that the URL stays the filter.
	Query     string
	Keep      []Field
	Chips     []Chip
	ClearHref string
	// Qualifiers are offered while typing, such as "status:" or "tenant:contoso".
	Qualifiers []string
	Lanes      *Lanes
	Hours      *HourBars
	Rows       []RunRow
	// Newer and Older are the pages up and down the list, which is the other way round when it is Oldest first; empty disables the button.
	Newer string
	Older string
	// ExportHref has the runs of the filter as CSV; empty offers none.
	ExportHref string
	Empty      *Empty
	Stale      *Staleness
	SetAside   int           // events that could not be applied: the page may lack them
	Waiting    []Reservation // starts that wait for a connection
	// NewRows is how many runs arrived above the first row since the page was
	// rendered; RefreshHref shows them.
	NewRows     int
	RefreshHref string
	// Peek is the run shown beside the list, nil for none.
	Peek *Peek
	// Bulk is what can be done with selected rows, nil when the viewer's role allows nothing.
	Bulk *Bulk
	// Columns are the optional columns, in order; ColumnMenu changes them.
	Columns    []string
	ColumnMenu *ColumnMenu
	// Held are the tenants on hold. Buttons are what can be done with the tenant of a tenant-scoped hub.
	Held    []Held
	Buttons []Button
	Views   *SavedViews
	// SortHref turns the order of the list around; Oldest says that it is oldest first.
	SortHref string
	Oldest   bool
}

// Counter is a number that is also a filter.
type Counter struct {
	// Key makes the counter's element id: running, queued, attention, blocked, busy, succeeded.
	Key     string
	Label   string
	Count   int
	Href    string
	Icon    string
	Tone    Tone
	Current bool
}

// Chip is one part of the filter. An unknown key is shown in red, not ignored.
type Chip struct {
	Key        string
	Value      string
	Negated    bool
	Known      bool
	RemoveHref string
}

// Empty says why a list has no rows and what to do about it.
type Empty struct {
	Icon  string
	Title string
	Text  string
	// Actions are links; the first one is the obvious one.
	Actions []Button
}

// Staleness is shown when a read model is behind the log by more than two seconds.
type Staleness struct {
	AsOf   time.Time
	Behind int
}

// RunRow is one run in a list. Its element id is "run-" and the ID.
type RunRow struct {
	ID              int64
	Href            string
	ExecutionStatus string
	// Outcome is empty while the run has none.
	Outcome string
	// Cancel is requested or cancelling while a cancel is under way.
	Cancel string
	// Operation is the human name, such as "Inventory sync".
	Operation string
	// Target is what the operation works on when that is not obvious, such as a selection.
	Target      string
	ShortReason string
	ReasonCode  string
	Tenant      Link
	Connection  Link
	Initiator   Initiator
	Progress    Progress
	Waiting     *Waiting
	QueuedAt    time.Time
	StartedAt   time.Time
	EndedAt     time.Time
	// PeekHref shows the run beside the list; empty offers no peek.
	PeekHref string
	// Selectable rows have a box; Selected is checked when the page is made.
	Selectable bool
	Selected   bool
}

// Initiator is who or what started a run.
type Initiator struct {
	// Name is a person, a schedule, a token, or "TenantPilot" for system runs.
	Name string
	// Trigger is operator, schedule, system or api.
	Trigger string
	Href    string
}

// Progress counts a run's items. A Total of zero means nobody knows yet.
type Progress struct {
	Total     int
	Confirmed int
	Refused   int
	Unknown   int
	// Step is what the run does now, such as "Reading device configurations".
	Step string
}

// Done is how many items have a result.
func (p Progress) Done() int { return p.Confirmed + p.Refused + p.Unknown }

// Waiting says what a queued run waits for; a run never waits without a reason.
type Waiting struct {
	// For names the thing, such as "scope of Contoso platform".
	For string
	// Holder describes who has it: "run 4711 (restore, Kim)".
	Holder Link
	Since  time.Time
	// Usually is how long such a holder takes; zero when unknown.
	Usually time.Duration
	// Until is set when the end is known, as for throttling.
	Until time.Time
}

// Lanes are the protected scopes over time: one lane per provider connection.
type Lanes struct {
	From    time.Time
	To      time.Time
	Windows []Choice
	Lanes   []Lane
	// Quiet lanes are not drawn; QuietHref lists them.
	Quiet     int
	QuietHref string
}

// Lane is one protected scope.
type Lane struct {
	ConnectionID int64
	Label        string
	Tenant       string
	Href         string
	Bars         []LaneBar
	Marks        []LaneMark
	Holds        []LaneHold
}

// LaneBar is a run that held the scope. A zero To still holds it.
type LaneBar struct {
	RunID           int64
	Href            string
	Operation       string
	ExecutionStatus string
	Outcome         string
	From            time.Time
	To              time.Time
}

// LaneMark is a refused start: Status is scope_busy (a diamond) or blocked (a barrier).
type LaneMark struct {
	At        time.Time
	Status    string
	Operation string
	Href      string
}

// LaneHold is a hold or maintenance window, drawn as a hatch. A zero To is open.
type LaneHold struct {
	From   time.Time
	To     time.Time
	Reason string
}

// HourBars are outcomes per hour.
type HourBars struct {
	Bars []HourBar
}

// HourBar is one hour; Href filters the list to it.
type HourBar struct {
	Start     time.Time
	Href      string
	Succeeded int
	Partial   int
	Failed    int
	Blocked   int
	Cancelled int
}

// Total is all runs of the hour.
func (b HourBar) Total() int {
	return b.Succeeded + b.Partial + b.Failed + b.Blocked + b.Cancelled
}
