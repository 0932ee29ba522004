package view

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/projections"
)

// TimeMachine is an object as it was after one of its events.
type TimeMachine struct {
	Now    time.Time
	Path   string // the page's URL without query
	Title  string
	Live   Link // the object's page of today
	Log    Link // the object's story in the log
	Step   int  // 0: before the first event
	Steps  int
	Text   string // "event 214 of 391, 2026-11-18 09:14:07 UTC"
	Href   string // exactly this view
	Newest bool
	// Where the buttons lead; empty where there is nothing further.
	First, Back10, Back, Forward, Forward10, Last string
	Ticks                                         []TimelineTick
	Density                                       []float64 // events over time, 0 to 1
	From, To                                      time.Time // of the density
	At                                            time.Time

	// The object as of then, its kind the only one that is set; none before it existed.
	Run        *RunDetail
	Connection *ConnectionRow
	Tenant     *TenantPage
	Fields     []StateField
	Unread     string // says which event ended the folding; empty: none did

	// The event at Step.
	Event   *AuditRow
	Changes []FieldChange
	Raw     string
	Modes   []Choice // diff or raw
	ShowRaw bool

	// Comparing: what the fields were at the base.
	Base      *Link // "event 12, 2026-...": null when not comparing
	BaseHref  string
	ClearHref string
	Differing int
	Keep      []Field // what the slider's form must not lose
}

// TimelineTick is an event on the slider.
type TimelineTick struct {
	At    float64 // 0 to 1
	Tone  Tone
	Title string
}

// StateField is a fact of the state, beside what it was at the base.
type StateField struct {
	Label, Value, Base string
	Changed            bool
}

// TimeMachineFacts is what the time machine is made from.
type TimeMachineFacts struct {
	Object         projections.Object
	Moment         projections.Moment
	Base           *projections.Moment
	Ticks          []projections.Tick
	Density        []int
	Before, As, Of projections.State // before the event, after it, and at the base
	Line           *projections.AuditLine
	Names          projections.RunLine // of a run: what its tenant, connection and initiator are called
	Tenant         projections.Tenant  // that the object belongs to, or is
	Default        *int64
	Raw            bool
	SetAside       int // events that could not be applied: any could be the object's newest
	Now            time.Time
}

// PresentTimeMachine words an object as it was.
func PresentTimeMachine(f TimeMachineFacts) (TimeMachine, error) {
	m := TimeMachine{
		Now: f.Now, Path: ReplayHref(f.Object.Kind, f.Object.Number, 0), Step: f.Moment.Step, Steps: f.Moment.Steps, At: f.Moment.At,
		Title: strings.ToUpper(f.Object.Kind[:1]) + f.Object.Kind[1:] + " " + strconv.FormatInt(f.Object.Number, 10),
		Log:   Link{"In the log", AuditHref + "?range=all&object=" + url.QueryEscape(f.Object.Name())}, Newest: f.Moment.Step == f.Moment.Steps && f.SetAside == 0,
		From: f.Moment.FirstAt, To: f.Moment.LastAt, ShowRaw: f.Raw, Unread: UnreadNote(f.As),
	}
	m.Text = momentText(f.Moment)
	m.links(f)
	for _, t := range f.Ticks {
		x := 0.5
		if m.Steps > 1 {
			x = float64(t.Step-1) / float64(m.Steps-1)
		}
		m.Ticks = append(m.Ticks, TimelineTick{x, eventTone(t.Event), fmt.Sprintf("Event %d: %s, %s", t.Step, t.Event, Absolute(t.At))})
	}
	highest := 1
	for _, n := range f.Density {
		highest = max(highest, n)
	}
	for _, n := range f.Density {
		m.Density = append(m.Density, float64(n)/float64(highest))
	}
	m.show(f)
	if err := m.compare(f); err != nil {
		return m, err
	}
	return m, m.tell(f)
}

// UnreadNote says which event a state lacks because this program cannot read it; empty when it has all.
func UnreadNote(s projections.State) string {
	if s.Unread == nil {
		return ""
	}
	return fmt.Sprintf("This program cannot read the event %s of %s: the state is shown as it was before it, without anything that came after.",
		s.Unread.Event, Absolute(s.Unread.At))
}

func momentText(at projections.Moment) string {
	if at.Step == 0 {
		return fmt.Sprintf("before the first of %d events", at.Steps)
	}
	return fmt.Sprintf("event %d of %d, %s", at.Step, at.Steps, Absolute(at.At))
}

func (m *TimeMachine) links(f TimeMachineFacts) {
	base := int64(0)
	if f.Base != nil {
		base = f.Base.Position
	}
	to := func(position, base int64, raw bool) string {
		if position == 0 {
			return ""
		}
		q := url.Values{"at": {strconv.FormatInt(position, 10)}}
		if base > 0 {
			q.Set("base", strconv.FormatInt(base, 10))
		}
		if raw {
			q.Set("show", "raw")
		}
		return m.Path + "?" + q.Encode()
	}
	here := f.Moment
	m.Href = to(max(here.Position, 1), base, f.Raw)
	m.Back, m.Back10, m.Forward, m.Forward10 = to(here.Back, base, f.Raw), to(here.Back10, base, f.Raw), to(here.Forward, base, f.Raw), to(here.Forward10, base, f.Raw)
	if here.Step != 1 {
		m.First = to(here.First, base, f.Raw)
	}
	if here.Step < here.Steps {
		m.Last = to(here.Last, base, f.Raw)
	}
	m.BaseHref, m.ClearHref = to(here.Position, here.Position, f.Raw), to(max(here.Position, 1), 0, f.Raw)
	m.Modes = []Choice{{Label: "Diff", Href: to(max(here.Position, 1), base, false), Current: !f.Raw}, {Label: "Raw", Href: to(max(here.Position, 1), base, true), Current: f.Raw}}
	if base > 0 {
		m.Base = &Link{momentText(*f.Base), to(base, base, f.Raw)}
		m.Keep = append(m.Keep, Field{"base", strconv.FormatInt(base, 10)})
	}
	if f.Raw {
		m.Keep = append(m.Keep, Field{"show", "raw"})
	}
}

// show words the object with the components of its live page, without buttons and links to do something.
func (m *TimeMachine) show(f TimeMachineFacts) {
	switch {
	case f.As.Run != nil:
		line := f.Names
		line.Run = *f.As.Run
		now := f.Moment.At
		d := PresentRun(RunFacts{Line: line, Now: now})
		d.Buttons, d.NextSteps, d.Related, d.WaitedBehind = nil, nil, nil, nil
		d.AxesNow = d.AxesAtAdmission
		if f.As.Run.EndedAt == nil {
			d.EndedAt = now // the clock stands still
		}
		m.Run = &d
		m.Live = Link{"Live page of the run", RunHref(f.Object.Number)}
	case f.As.Connection != nil:
		tenant := f.Tenant
		tenant.DefaultConnection = nil
		row := PresentConnection(*f.As.Connection, tenant)
		row.Buttons = nil
		m.Connection = &row
		m.Live = Link{"Live page of its tenant", TenantHref(f.Tenant.ExternalID.String())}
	case f.As.Tenant != nil:
		t := f.As.Tenant
		p := TenantPage{Now: f.Moment.At, Label: t.Name, Domain: t.Domain, EntraID: t.ExternalID.String(), Hold: t.HoldReason, Until: at(t.HoldUntil)}
		p.Summary.State, p.Summary.Sentence = "missing", "No default connection."
		if t.DefaultConnection != nil {
			p.Summary.State, p.Summary.Sentence = "default_configured", fmt.Sprintf("Connection %d is the default.", *t.DefaultConnection)
		}
		m.Tenant = &p
		m.Live = Link{"Live page of the tenant", TenantHref(t.ExternalID.String())}
	case f.As.Onboarding != nil:
		m.Live = Link{"Live page of the onboarding", OnboardingHref(f.Object.Number)}
	}
}

func (m *TimeMachine) compare(f TimeMachineFacts) error {
	fields, err := narrate.Fields(f.As.Value())
	if err != nil {
		return err
	}
	base := map[string]string{}
	differing := map[string]bool{}
	if f.Base != nil {
		was, err := narrate.Fields(f.Of.Value())
		if err != nil {
			return err
		}
		for _, b := range was {
			base[b.Name] = b.Value
		}
		changes, err := narrate.Changes(f.Of.Value(), f.As.Value())
		if err != nil {
			return err
		}
		for _, c := range changes {
			differing[c.Name] = true
		}
	}
	listed := map[string]bool{}
	add := func(name, value string) {
		if value == "" && base[name] == "" {
			return
		}
		m.Fields = append(m.Fields, StateField{Label: fieldLabel(name), Value: value, Base: base[name], Changed: differing[name]})
	}
	for _, field := range fields {
		listed[field.Name] = true
		add(field.Name, field.Value)
	}
	for _, name := range sortedKeys(base) {
		if !listed[name] {
			add(name, "")
		}
	}
	m.Differing = len(differing)
	return nil
}

// tell words the event at the step.
func (m *TimeMachine) tell(f TimeMachineFacts) error {
	if f.Line == nil {
		return nil
	}
	row := PresentAuditRow(*f.Line)
	m.Event, m.Raw = &row, indent(f.Line.Payload)
	changes, err := narrate.Changes(f.Before.Value(), f.As.Value())
	for _, c := range changes {
		m.Changes = append(m.Changes, FieldChange{fieldLabel(c.Name), c.Before, c.After})
	}
	return err
}

// fieldLabel words the name of a field: "verification_status" is "Verification status".
func fieldLabel(name string) string {
	words := strings.NewReplacer("_", " ", ".", ", ").Replace(name)
	if words == "" {
		return words
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// eventTone tones an event by what sort of news it is.
func eventTone(name string) Tone {
	switch name {
	case "ScopeAcquired", "RunStarted", "VerificationStarted", "RunProgressed", "RunItemsRecorded":
		return Active
	case "ConsentGranted", "ConnectionEnabled", "RunCompleted", "VerificationRecorded", "RunAccepted":
		return Positive
	case "ConnectionDisabled", "ConnectionHeld", "TenantHeld", "ConsentRevoked", "StartBlocked":
		return Stop
	case "ConsentFailed", "RunRecovered":
		return Warning
	case "ConsentRequested", "RunCancelRequested", "RunAwaitingApproval", "ScopeBusy":
		return Wait
	}
	return Neutral
}

// indentValue is a value as JSON for people to read.
func indentValue(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(b)
}

// Past is an object as it was, as programs get it.
type Past struct {
	Object   string     `json:"object"`
	Step     int        `json:"step"`
	Steps    int        `json:"steps"`
	Position *int64     `json:"position"`
	At       *time.Time `json:"at"`
	// State is the row that the live page is made from, as of then; null before the object existed.
	State any `json:"state"`
	// Unread says which event the state ends before, because this program cannot read it.
	Unread string `json:"unread,omitempty"`
}

// PresentPast is the time machine for programs.
func PresentPast(f TimeMachineFacts) Past {
	p := Past{Object: f.Object.Name(), Step: f.Moment.Step, Steps: f.Moment.Steps, State: f.As.Value(), Unread: UnreadNote(f.As)}
	if f.Moment.Step > 0 {
		p.Position, p.At = &f.Moment.Position, &f.Moment.At
	}
	return p
}
