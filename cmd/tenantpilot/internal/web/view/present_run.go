package view

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// RunFacts is what the run page is made from.
type RunFacts struct {
	Evidence   bool                       // packs can be made
	Waiting    []projections.WaitingStart // starts that wait for its connection
	Can        func(domain.Capability) bool
	Line       projections.RunLine
	Connection projections.Connection
	Timeline   []projections.TimelineEvent
	Joined     []projections.Joined
	Usually    projections.Typical
	Lease      *projections.Lease
	CancelName string
	// MayCancel and MayStart say what the viewer's role allows.
	MayCancel, MayStart bool
	May                 func(domain.NextStepAction) bool
	Finding             *projections.Finding // of a check that has ended
	AttemptID           string               // nonce for "run again"
	Now                 time.Time
	// Base and Query are the page's address, for the links of the timeline; of a peek there are none.
	Base  string
	Query url.Values
}

// TenantHref is the page of a tenant.
func TenantHref(external string) string { return "/admin/tenants/" + external }

// PresentRun words a run, from the answer to the evidence.
func PresentRun(f RunFacts) RunDetail {
	r := f.Line.Run
	d := RunDetail{
		RunID: r.Number, OperationType: string(r.Operation), ExecutionStatus: string(r.Status), Now: f.Now,
		Operation: domain.OperationByType(r.Operation).Label, Target: target(r.Inputs),
		ProviderConnection: &ConnectionRef{ID: r.Connection, Provider: "microsoft", Label: f.Line.ConnectionLabel, Href: ConnectionHref(r.Connection)},
		Tenant:             Link{f.Line.TenantName, TenantHref(f.Line.TenantExternal.String())},
		Initiator:          initiator(f.Line), QueuedAt: r.AcceptedAt, StartedAt: at(r.StartedAt), EndedAt: at(r.EndedAt),
		Changed: r.Summary, Progress: progress(r), UsuallyFrom: f.Usually.From, UsuallyTo: f.Usually.To,
		AxesAtAdmission: axes(r.Facts.Enabled, r.Facts.Consent, r.Facts.Verification),
		AxesNow:         axes(f.Connection.Enabled, f.Connection.Consent, f.Connection.Verification),
		ProtectedScope:  scope(r), DiagnosticsAvailable: len(r.Diagnostics) > 0,
	}
	if r.Outcome != nil {
		d.Outcome = Text(string(*r.Outcome))
	}
	f.reason(&d)
	f.waiting(&d)
	d.Cancel = f.cancel()
	if f.Lease != nil && f.Lease.Lost && r.Status != domain.Completed {
		d.LeaseLost = fmt.Sprintf("No heartbeat for %s; another worker will take this run up and read again.", Duration(f.Now.Sub(f.Lease.HeartbeatAt)))
	}
	d.Buttons = f.buttons()
	d.Path = path(r)
	d.Facts = f.facts()
	for _, j := range f.Joined {
		d.WaitedBehind = append(d.WaitedBehind, Link{Label: j.Name + ": " + domain.OperationByType(j.Operation).Label + " was " + outcomeWord(j.Outcome), Href: AttemptHref(j.Attempt.String())})
	}
	if d.ExecutionStatus != string(domain.Completed) {
		d.Behind = PresentWaiting(f.Waiting, f.Can)
	}
	d.Events, d.Steps = events(f.Timeline, f.Now)
	f.timeline(&d)
	d.Items = items(r.Items)
	d.Related = f.related()
	if f.Finding != nil {
		report := CheckTruth(r, *f.Finding, f.Now)
		d.Permissions = &report
	}
	return d
}

func outcomeWord(o domain.Outcome) string {
	if o == domain.Busy {
		return "kept waiting"
	}
	return string(o)
}

func target(inputs map[string]string) string {
	switch key := inputs["selectionKey"]; key {
	case "":
		return ""
	case domain.DefaultSelectionKey:
		return "all groups"
	default:
		return key
	}
}

func initiator(l projections.RunLine) Initiator {
	return Initiator{Name: actorName(l.InitiatorKind, l.InitiatorID.String(), l.InitiatorName), Trigger: string(l.Trigger)}
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func axes(enabled bool, consent domain.ConsentState, verification domain.VerificationState) Axes {
	lifecycle := "disabled"
	if enabled {
		lifecycle = "enabled"
	}
	return Axes{Lifecycle: lifecycle, Consent: string(consent), Verification: string(verification)}
}

// progress shows what a run has read while it runs, and its items once there are any.
func progress(r projections.Run) Progress {
	p := Progress{Total: r.Total, Confirmed: r.Confirmed, Refused: r.Refused, Unknown: r.Unknown, Step: r.Step}
	if r.Status != domain.Completed && p.Done() == 0 {
		p.Confirmed = r.Done
	}
	if r.Status == domain.Completed {
		p.Total = p.Done()
	}
	return p
}

func scope(r projections.Run) *ProtectedScope {
	s := &ProtectedScope{
		Key: "provider_connection:" + strconv.FormatInt(r.Connection, 10), ConnectionID: r.Connection, State: "held",
		HeldFrom: &r.AcceptedAt, HeldTo: r.ScopeReleasedAt, FencingToken: r.Token,
	}
	if r.ScopeReleasedAt != nil {
		s.State, s.ReleasedBy = "released", "the end of the run"
	}
	return s
}

func (f RunFacts) reason(d *RunDetail) {
	if f.Line.Reason == nil {
		return
	}
	reason := domain.ReasonFor(*f.Line.Reason).Fill(domain.ReasonTarget{
		Tenant: f.Line.TenantExternal.String(), Connection: strconv.FormatInt(f.Line.Connection, 10), Run: strconv.FormatInt(f.Line.Number, 10),
	})
	d.ShortReason, d.Message, d.ReasonCode = Text(reason.Short), reason.Message, string(reason.Code)
	d.NextSteps = PresentSteps(reason, f.Line.TenantExternal.String(), f.May)
}

func (f RunFacts) waiting(d *RunDetail) {
	r := f.Line.Run
	if r.Status == domain.Completed || r.WaitingUntil == nil || !r.WaitingUntil.After(f.Now) {
		return
	}
	d.Waiting = &Waiting{For: "the provider", Until: *r.WaitingUntil}
	if r.WaitingFor != nil && *r.WaitingFor == domain.ReasonProviderVerificationPending {
		d.Waiting.For = "the new consent to spread at the provider"
	}
	if r.WaitingFor != nil && *r.WaitingFor == domain.ReasonProviderRateLimited {
		d.Waiting.For = "the provider's throttle budget"
	}
}

func (f RunFacts) cancel() *CancelState {
	r := f.Line.Run
	if r.CancelRequestedAt == nil {
		return nil
	}
	c := &CancelState{State: "requested", By: f.CancelName, At: *r.CancelRequestedAt}
	switch {
	case r.Outcome != nil && *r.Outcome == domain.Cancelled:
		c.State = "cancelled"
	case r.Outcome != nil:
		return nil // it had ended by itself before the request took effect
	case f.Now.Sub(c.At) > 2*time.Second:
		c.State, c.Detail = "cancelling", "at the next provider call"
	}
	return c
}

func (f RunFacts) buttons() []Button {
	r := f.Line.Run
	var buttons []Button
	if f.MayCancel && r.Status != domain.Completed {
		b := Button{
			Label: "Cancel", Icon: "ban", Href: RunHref(r.Number) + "/cancel", Post: true, Variant: "outline",
			Confirm: fmt.Sprintf("Cancel run %d? What it has read so far is not kept.", r.Number),
		}
		if r.CancelRequestedAt != nil {
			b.DisabledReason = "Cancelling was asked for already; the run ends at its next provider call."
		}
		buttons = append(buttons, b)
	}
	if f.MayStart && r.Status == domain.Completed {
		again := Button{Label: "Retry", Icon: "rotate-cw", Dialog: true, Variant: "primary", Key: "s", Href: f.againHref()}
		if r.Outcome != nil && *r.Outcome == domain.Succeeded {
			again.Label, again.Icon = "Run again", "play"
		}
		buttons = append(buttons, again)
	}
	if f.Evidence && r.Status == domain.Completed {
		buttons = append(buttons, Button{Label: "Evidence pack", Icon: "shield-check", Variant: "outline", Href: RunHref(r.Number) + "/evidence"})
	}
	return buttons
}

// againHref is the start form filled in as this run was.
func (f RunFacts) againHref() string {
	r := f.Line.Run
	q := url.Values{"operation": {string(r.Operation)}, "providerConnectionId": {strconv.FormatInt(r.Connection, 10)}}
	for name, value := range r.Inputs {
		q.Set(name, value)
	}
	return "/admin/t/" + f.Line.TenantExternal.String() + "/start?" + q.Encode()
}

func path(r projections.Run) []PathStep {
	steps := []PathStep{{Label: "Accepted", State: "done", At: r.AcceptedAt}}
	queued := PathStep{Label: "Queued", State: "done", At: r.AcceptedAt}
	switch {
	case r.Status == domain.Queued:
		queued.State = "current"
	case r.StartedAt == nil && r.EndedAt != nil:
		queued.Took = r.EndedAt.Sub(r.AcceptedAt)
	}
	steps = append(steps, queued)
	running := PathStep{Label: "Running", State: "ahead"}
	if r.StartedAt != nil {
		running.State, running.At, running.Took = "done", *r.StartedAt, r.StartedAt.Sub(r.AcceptedAt)
		if r.Status == domain.Running {
			running.State = "current"
		}
	}
	if r.StartedAt != nil || r.EndedAt == nil {
		steps = append(steps, running)
	}
	if r.Status == domain.WaitingApproval {
		steps = append(steps, PathStep{Label: "Waiting for approval", State: "current"})
	}
	ended := PathStep{Label: "Ended", State: "ahead"}
	if r.Outcome != nil {
		badge := OutcomeBadge(string(*r.Outcome))
		ended = PathStep{Label: badge.Word, State: "done", At: at(r.EndedAt), Tone: badge.Tone}
		if r.StartedAt != nil {
			ended.Took = r.EndedAt.Sub(*r.StartedAt)
		}
	}
	return append(steps, ended)
}

func (f RunFacts) facts() []Fact {
	r := f.Line.Run
	facts := []Fact{{Label: "Attempt", Text: r.Attempt.String(), Mono: true}}
	if r.Try > 1 {
		facts = append(facts, Fact{Label: "Tries", Text: strconv.Itoa(r.Try)})
	}
	if r.Worker != "" {
		facts = append(facts, Fact{Label: "Worker", Text: r.Worker})
	}
	if f.Lease != nil && r.Status != domain.Completed {
		facts = append(facts, Fact{Label: "Last heartbeat", Time: f.Lease.HeartbeatAt})
	}
	for _, key := range []string{"operation", "status", "graphCode", "requestId"} {
		if v := r.Diagnostics[key]; v != "" {
			label := map[string]string{
				"operation": "Provider call", "status": "Provider status", "graphCode": "Provider code", "requestId": "Provider request id",
			}[key]
			facts = append(facts, Fact{Label: label, Text: v, Mono: key == "requestId"})
		}
	}
	return facts
}

func (f RunFacts) related() []Fact {
	r := f.Line.Run
	facts := []Fact{
		{Label: "Started from", Text: surfaceWord(r.Surface)},
		{Label: "Trigger", Text: string(r.Trigger)},
		{Label: "Why?", Text: "Decision receipt", Href: AttemptHref(r.Attempt.String())},
		{Label: "Replay", Text: "Time machine", Href: ReplayHref("run", r.Number, 0)},
		{Label: "Decided by rule", Text: strconv.Itoa(r.Facts.Rule) + " of 11, on version " + strconv.Itoa(r.Facts.ConnectionVersion) + " of the connection"},
		{Label: "Runs of this tenant", Text: f.Line.TenantName, Href: "/admin/t/" + f.Line.TenantExternal.String() + "/operations"},
	}
	return facts
}

func surfaceWord(surface string) string {
	if surface == "" {
		return "API"
	}
	return surface
}

func items(in []domain.Item) []Item {
	out := make([]Item, 0, len(in))
	for _, i := range in {
		item := Item{Key: i.Key, Name: i.Name, Type: i.Type, Intent: i.Intent, Result: string(i.Result), RequestID: i.RequestID}
		if i.Count > 0 {
			item.Name = fmt.Sprintf("%s (%d)", i.Name, i.Count)
		}
		if i.Partial {
			item.Name += ", partial"
		}
		if i.Reason != "" {
			item.Reason = domain.ReasonFor(i.Reason).Short
		}
		out = append(out, item)
	}
	return out
}

// events words the timeline, and the steps of the run as bars.
func events(timeline []projections.TimelineEvent, now time.Time) ([]Event, []GanttBar) {
	var lines []Event
	var bars []GanttBar
	for _, e := range timeline {
		data, err := domain.Decode(e.Name, e.Payload)
		if err != nil {
			continue
		}
		line := Event{Position: e.Position, At: e.At, Type: e.Name, Actor: e.Actor, JSON: indent(e.Payload)}
		line.Sentence, line.Icon, line.Tone = sentence(data)
		lines = append(lines, line)
		bars = stepBars(bars, data, e.At)
	}
	return lines, bars
}

func stepBars(bars []GanttBar, e domain.Event, at time.Time) []GanttBar {
	open := func(label string, idle bool) []GanttBar {
		if n := len(bars); n > 0 && bars[n-1].To.IsZero() {
			if bars[n-1].Label == label {
				return bars
			}
			bars[n-1].To = at
		}
		return append(bars, GanttBar{Label: label, From: at, Tone: Active, Idle: idle})
	}
	switch e := e.(type) {
	case domain.RunAccepted:
		return open("Queued", true)
	case domain.RunStarted:
		return open("Begin", false)
	case domain.RunProgressed:
		if e.WaitingFor != "" {
			return open("Waiting for the provider", true)
		}
		return open(e.Step, false)
	case domain.RunCompleted:
		if n := len(bars); n > 0 && bars[n-1].To.IsZero() {
			bars[n-1].To, bars[n-1].Tone = at, OutcomeBadge(string(e.Outcome)).Tone
		}
	}
	return bars
}

func sentence(e domain.Event) (text, icon string, tone Tone) {
	switch e := e.(type) {
	case domain.RunAccepted:
		return "Accepted by the gate; the run exists and is queued.", "check", Neutral
	case domain.ScopeAcquired:
		return "Took the connection's protected scope.", "lock", Neutral
	case domain.RunStarted:
		return fmt.Sprintf("Worker %s began try %d with fencing token %d.", e.Worker, e.Try, e.Token), "play", Active
	case domain.RunProgressed:
		if e.WaitingFor != "" {
			return "Waiting until " + Clock(e.WaitingUntil) + " UTC: " + lowerFirst(domain.ReasonFor(e.WaitingFor).Short), "hourglass", Wait
		}
		if e.Done > 0 {
			return fmt.Sprintf("%s: %d so far.", e.Step, e.Done), "activity", Neutral
		}
		return e.Step + ".", "activity", Neutral
	case domain.RunItemsRecorded:
		return fmt.Sprintf("Recorded %s.", narrate.Count(len(e.Items), "item")), "list-checks", Neutral
	case domain.RunCancelRequested:
		return "Cancelling was asked for.", "ban", Wait
	case domain.RunRecovered:
		return fmt.Sprintf("Recovered after its worker was lost: worker %s takes over as try %d.", e.Worker, e.Try), "history", Warning
	case domain.RunAwaitingApproval:
		return "Waiting for the customer's approval.", "hourglass", Wait
	case domain.RunCompleted:
		badge := OutcomeBadge(string(e.Outcome))
		return strings.TrimSpace("Ended: " + lowerFirst(badge.Word) + ". " + e.Summary), badge.Icon, badge.Tone
	case domain.ScopeReleased:
		return "Released the connection's protected scope.", "check", Neutral
	}
	return narrate.Sentence(e, ""), "activity", Neutral
}

func indent(payload []byte) string {
	var tree any
	if json.Unmarshal(payload, &tree) != nil {
		return ""
	}
	b, err := json.MarshalIndent(tree, "", "  ")
	if err != nil {
		return ""
	}
	return string(b)
}
