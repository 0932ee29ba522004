package view

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// AuditHref is the audit log; AuditEventHref an event of it.
const AuditHref = "/admin/audit"

// AuditEventHref is the page of the event at a position of the log.
func AuditEventHref(position int64) string { return AuditHref + "/" + strconv.FormatInt(position, 10) }

// ReplayHref is the time machine of an object at a position; 0 is the newest.
func ReplayHref(kind string, number, position int64) string {
	href := AuditHref + "/replay/" + kind + "/" + strconv.FormatInt(number, 10)
	if position > 0 {
		href += "?at=" + strconv.FormatInt(position, 10)
	}
	return href
}

// CanReplay says whether objects of a kind have a time machine.
func CanReplay(kind string) bool { return slices.Contains(projections.NumberedKinds(), kind) }

// AuditQuery is the filter of the audit log.
type AuditQuery struct {
	ListQuery
	Filter projections.AuditFilter
}

// ParseAudit reads the parameters of the audit log; me stands for actor:me.
func ParseAudit(q url.Values, me string, now time.Time) AuditQuery {
	var f projections.AuditFilter
	number := func(into *int64) func(string) bool {
		return func(v string) bool {
			n, err := strconv.ParseInt(v, 10, 64)
			*into = n
			return err == nil && n > 0
		}
	}
	id := func(v string) bool {
		parsed, ok := realID(v)
		if ok {
			f.Attempt = &parsed
		}
		return ok
	}
	a := AuditQuery{ListQuery: ParseList(AuditHref, q, ListSpec{
		Filters: []string{"event", "kind", "actor", "outcome", "reason", "tenant"},
		Closed:  map[string][]string{"event": domain.EventNames(), "kind": projections.ObjectKinds()},
		Single: map[string]func(string) bool{
			"object": func(v string) bool {
				_, _, ok := projections.ParseObject(v)
				f.Object = v
				return ok
			},
			"q": func(v string) bool { // what one pastes: a position, an object, an attempt
				if _, _, ok := projections.ParseObject(v); ok {
					f.Object = v
					return true
				}
				if number(&f.FirstPosition)(v) {
					f.LastPosition = f.FirstPosition
					return true
				}
				return id(v)
			},
			"attempt": id, "after": number(&f.Older), "before": number(&f.Newer),
			"first": number(&f.FirstPosition), "last": number(&f.LastPosition),
		},
		Plain: []string{"after", "before"},
		Ranges: []ListRange{
			{"24h", "24 h", 24 * time.Hour}, {"7d", "7 d", 7 * 24 * time.Hour}, {"31d", "31 d", 31 * 24 * time.Hour}, {"all", "All", 0},
		},
		Range: "7d", Whole: []string{"object", "attempt", "q", "first", "last"},
	}, now)}
	for i, m := range a.Matches["actor"] {
		for j, v := range m.Values {
			if v == "me" {
				a.Matches["actor"][i].Values[j] = me
			}
		}
	}
	f.Event, f.Kind, f.Actor, f.Outcome, f.Reason, f.TenantName = a.Matches["event"], a.Matches["kind"], a.Matches["actor"], a.Matches["outcome"],
		a.Matches["reason"], a.Matches["tenant"]
	f.From, f.To, f.Limit = a.From, a.To, a.Limit
	a.Filter = f
	return a
}

// realID reads an id; nothing has the one that is all zeros.
func realID(s string) (uuid.UUID, bool) {
	id, err := uuid.Parse(s)
	return id, err == nil && id != uuid.Nil
}

// AuditList is the audit log as a page.
type AuditList struct {
	Now    time.Time
	Bar    FilterBar
	Ranges []Choice
	Facets []FacetGroup
	Heat   Heat
	Days   StackedHours
	Rows   []AuditRow
	Total  string
	// Wide warns of a range over 31 days.
	Wide         bool
	CSVHref      string
	JSONHref     string
	Newer, Older string
	Replay       *Link // of the object that is filtered by
	Evidence     *LogEvidence
	Alarm        string // what is wrong with the log
	Empty        *Empty
}

// FacetGroup is one dimension of the facets.
type FacetGroup struct {
	Label  string
	Values []FacetValue
	More   int
}

// FacetValue is a value with its count; its link sets or lifts the filter.
type FacetValue struct {
	Label string
	Count int
	Href  string
	On    bool
}

// AuditRow is an event in a list.
type AuditRow struct {
	Position int64
	Href     string
	At       time.Time
	Actor    Initiator
	Sentence string
	Event    string
	Object   Link
	Tenant   Link
	Badge    *Badge
	Request  string // the attempt's id, which is the request's
	Receipt  string
}

// wideRange is the longest range without a warning.
const wideRange = 31 * 24 * time.Hour

// PresentAudit words the audit log.
func PresentAudit(q AuditQuery, lines []projections.AuditLine, newer, older bool, facets []projections.Facet, total int, now time.Time) AuditList {
	l := AuditList{
		Now: now, Bar: q.Bar("Filter events", "event:StartBlocked actor:kim object:connection/12"), Ranges: q.RangeChoices(),
		CSVHref: q.first(map[string]string{"format": "csv"}), JSONHref: q.first(map[string]string{"format": "json"}),
		Facets: facetGroups(q, facets), Heat: heatOf(facets), Days: auditDays(q, facets), Total: totalWords(total),
	}
	end := now
	if !q.To.IsZero() {
		end = q.To
	}
	l.Wide = !q.Whole && (q.From.IsZero() || end.Sub(q.From) > wideRange+time.Hour)
	if kind, number, ok := projections.ParseObject(q.Filter.Object); ok {
		l.Replay = &Link{"Replay " + q.Filter.Object, ReplayHref(kind, number, 0)}
	}
	for _, line := range lines {
		l.Rows = append(l.Rows, PresentAuditRow(line))
	}
	if n := len(lines); n > 0 {
		if newer {
			l.Newer = q.Href(map[string]string{"before": strconv.FormatInt(lines[0].Position, 10), "after": ""})
		}
		if older {
			l.Older = q.Href(map[string]string{"after": strconv.FormatInt(lines[n-1].Position, 10), "before": ""})
		}
		return l
	}
	l.Empty = &Empty{Icon: "history", Title: "No events in this range", Text: "Everything that happens is recorded here and stays."}
	if len(q.Chips) > 0 {
		l.Empty.Title = "No events match " + narrate.Count(len(q.Chips), "filter")
		l.Empty.Actions = []Button{{Label: "Clear filters", Href: q.Base}}
	}
	if !q.From.IsZero() {
		l.Empty.Actions = append(l.Empty.Actions, Button{Label: "Look in all of the past", Href: q.first(map[string]string{"range": "all", "from": "", "to": ""})})
	}
	return l
}

func totalWords(n int) string {
	if n >= projections.FacetLimit {
		return fmt.Sprintf("Counts are of the newest %d events of this filter.", projections.FacetLimit)
	}
	return narrate.Count(n, "event")
}

// PresentAuditRow words an event for a list.
func PresentAuditRow(l projections.AuditLine) AuditRow {
	row := AuditRow{
		Position: l.Position, Href: AuditEventHref(l.Position), At: l.At, Sentence: auditSentence(l), Event: l.Event,
		Actor: Initiator{Name: actorName(l.ActorKind, l.ActorID.String(), l.ActorName), Trigger: actorTrigger(l.ActorKind)},
	}
	row.Object = Link{Label: l.ObjectKind}
	if l.ObjectNumber != nil {
		row.Object.Label += " " + strconv.FormatInt(*l.ObjectNumber, 10)
	}
	if l.ObjectNumber != nil && CanReplay(l.ObjectKind) {
		row.Object.Href = ReplayHref(l.ObjectKind, *l.ObjectNumber, l.Position)
	}
	if l.TenantExternal != nil {
		row.Tenant = Link{l.TenantName, TenantHref(l.TenantExternal.String())}
	}
	if l.Outcome != nil {
		b := auditBadge(l.Event, *l.Outcome)
		row.Badge = &b
	}
	if l.Attempt != nil {
		row.Request, row.Receipt = l.Attempt.String(), AttemptHref(l.Attempt.String())
	}
	if l.ObjectKind == projections.ObjectAttempt {
		row.Object.Href = row.Receipt
	}
	return row
}

func actorTrigger(kind domain.ActorKind) string {
	switch kind {
	case domain.ActorSchedule:
		return "schedule"
	case domain.ActorSystem:
		return "system"
	}
	return "operator"
}

func objectLabel(l projections.AuditLine) string {
	if l.ObjectNumber == nil {
		return l.ObjectKind
	}
	label := l.ObjectKind + " " + strconv.FormatInt(*l.ObjectNumber, 10)
	if l.ObjectName != "" && l.ObjectKind != projections.ObjectTenant {
		label += ", " + l.ObjectName
	}
	return label
}

// auditBadge words an event's outcome: how a start was answered, how a run ended, or what a check found.
func auditBadge(event, outcome string) Badge {
	switch event {
	case domain.RunCompleted{}.EventName():
		return OutcomeBadge(outcome)
	case domain.VerificationRecorded{}.EventName():
		b := Axes{Verification: outcome}.Badges()[2]
		b.Axis = "" // the event says which axis it is
		return b
	}
	return StartBadge(outcome)
}

var facetLabels = []struct{ dimension, label, parameter string }{
	{"kind", "Object", "kind"}, {"event", "Event", "event"}, {"actor", "Actor", "actor"}, {"outcome", "Outcome", "outcome"}, {"reason", "Reason", "reason"},
}

// facetValues is how many values of a dimension are shown.
const facetValues = 8

func facetGroups(q AuditQuery, facets []projections.Facet) []FacetGroup {
	var groups []FacetGroup
	for _, d := range facetLabels {
		g := FacetGroup{Label: d.label}
		for _, f := range facets {
			if f.Dimension != d.dimension {
				continue
			}
			href, on := q.toggled(d.parameter, f.Value)
			if len(g.Values) >= facetValues && !on {
				g.More++
				continue
			}
			g.Values = append(g.Values, FacetValue{Label: facetLabel(f), Count: f.Count, Href: href, On: on})
		}
		if len(g.Values) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// Heat says who did what to which kind of object, the busiest actors first.
type Heat struct {
	Kinds []string
	Rows  []HeatRow
}

// HeatRow is one actor; Cells are in the order of the kinds.
type HeatRow struct {
	Actor string
	Cells []HeatCell
}

// HeatCell is how many events there are, and how many that is beside the busiest cell: 0 (none) to 4.
type HeatCell struct{ Count, Level int }

// heatActors is how many actors the strip shows.
const heatActors = 8

func heatOf(facets []projections.Facet) Heat {
	var h Heat
	most, at := 0, map[string]int{}
	for _, f := range facets {
		if f.Dimension == "kind" {
			h.Kinds = append(h.Kinds, f.Value)
		}
		if f.Dimension == "actor" && len(at) < heatActors {
			at[f.Value] = len(h.Rows)
			h.Rows = append(h.Rows, HeatRow{Actor: facetLabel(f)})
		}
		if f.Dimension == "actor and kind" {
			most = max(most, f.Count)
		}
	}
	for i := range h.Rows {
		h.Rows[i].Cells = make([]HeatCell, len(h.Kinds))
	}
	for _, f := range facets {
		actor, kind, both := strings.Cut(f.Value, " ")
		row, shown := at[actor]
		column := slices.Index(h.Kinds, kind)
		if f.Dimension == "actor and kind" && both && shown && column >= 0 {
			h.Rows[row].Cells[column] = HeatCell{f.Count, 1 + 3*f.Count/max(1, most)}
		}
	}
	return h
}

func facetLabel(f projections.Facet) string {
	switch f.Dimension {
	case "actor":
		if f.Label != "" {
			return f.Label
		}
		if len(f.Value) == 36 {
			return "person " + f.Value[:8]
		}
		return map[string]string{"system": "TenantPilot", "schedule": "Schedule"}[f.Value]
	case "reason":
		return trimStop(domain.ReasonFor(domain.ReasonCode(f.Value)).Short)
	}
	return f.Value
}

// auditDays are the events per day that have any, at most the newest 62.
func auditDays(q AuditQuery, facets []projections.Facet) StackedHours {
	s := StackedHours{Title: "Events per day", Series: []Series{{"events", Active}}}
	by, newest := map[string]int{}, ""
	for _, f := range facets {
		if f.Dimension == "day" {
			by[f.Value], newest = f.Count, max(newest, f.Value)
		}
	}
	last, err := time.Parse(time.DateOnly, newest)
	if err != nil {
		return s
	}
	for day := last.AddDate(0, 0, -30); !day.After(last); day = day.AddDate(0, 0, 1) {
		s.Hours = append(s.Hours, StackedHour{
			Start: day, Counts: []int{by[day.Format(time.DateOnly)]},
			Href: q.first(map[string]string{"range": "", "from": day.Format(time.DateOnly), "to": day.AddDate(0, 0, 1).Format(time.DateOnly)}),
		})
	}
	return s
}

// AuditItems is a page of the log as programs get it; next is what to pass as after to read on.
type AuditItems struct {
	Items []AuditEvent `json:"items"`
	Next  *string      `json:"next"`
}

// PresentAuditItems is a page of the log for programs.
func PresentAuditItems(lines []projections.AuditLine, older bool) AuditItems {
	out := AuditItems{Items: []AuditEvent{}}
	for _, l := range lines {
		out.Items = append(out.Items, AuditEventJSON(l))
	}
	if older && len(lines) > 0 {
		out.Next = Text(strconv.FormatInt(lines[len(lines)-1].Position, 10))
	}
	return out
}

// WriteAuditCSV writes events as a spreadsheet.
func WriteAuditCSV(w io.Writer, pages iter.Seq2[[]projections.AuditLine, error]) error {
	return writeRows(w, AuditCSVHeader(), pages, AuditCSVRow)
}

// AuditEventPage is one event: what happened, what it changed, and what it belongs to.
type AuditEventPage struct {
	Now       time.Time
	Row       AuditRow
	Facts     []Fact
	Hash      string
	Changes   []FieldChange
	HasState  bool
	Began     bool // the object began with this event
	Unread    string
	Payload   string
	Meta      string
	Links     []Link
	Earlier   *Link
	Later     *Link
	StoryNote string // "Event 214 of 391 of connection 12"
	Alarm     string // what is wrong with the log
	Proof     Proof
}

// Proof says how an event stands in the signed log.
type Proof struct {
	Badge    Badge
	Sentence string
	Href     string // the proof itself, for programs; empty where there is none
}

// LogEvidence is what of the log's proof a list of events leads to.
type LogEvidence struct {
	Size int64 // events under the newest signed head
	At   time.Time
}

// SignedProof says that an event stands under the signed head of the log's first size events.
func SignedProof(position, size int64, at time.Time) Proof {
	return Proof{
		Badge:    Badge{Icon: "shield-check", Word: "In the signed log", Tone: Positive},
		Sentence: "This record stands under the head of " + strconv.FormatInt(size, 10) + " events that was signed at " + narrate.Instant(at) + ".",
		Href:     AuditHref + "/proof/inclusion?position=" + strconv.FormatInt(position, 10),
	}
}

// UnsignedProof says that no head covers an event.
func UnsignedProof() Proof {
	return Proof{Badge: Badge{Icon: "clock", Word: "Not signed yet", Tone: Neutral}, Sentence: "No signed head covers this position yet."}
}

// BrokenProof says that an event is not what was signed.
func BrokenProof(fault string) Proof {
	return Proof{
		Badge:    Badge{Icon: "octagon-alert", Word: "Not as it was signed", Tone: Stop},
		Sentence: "The record, or the log before it, was changed after it was signed: " + fault + ".",
	}
}

// FieldChange is a field that an event changed, with words for people.
type FieldChange struct {
	Label, Before, After string
}

// AuditEventFacts is what the page of an event is made from.
type AuditEventFacts struct {
	Line          projections.AuditLine
	Object        projections.Object
	Moment        projections.Moment
	Before, After projections.State
	Cause         *projections.AuditLine
	Proof         Proof
	Now           time.Time
}

// PresentAuditEvent words an event with the object's state before and after it.
func PresentAuditEvent(f AuditEventFacts) (AuditEventPage, error) {
	l := f.Line
	p := AuditEventPage{
		Now: f.Now, Row: PresentAuditRow(l), Hash: fmt.Sprintf("%x", l.Leaf), Payload: indent(l.Payload), Meta: indent(l.Meta),
		HasState: f.Object.HasState(), Began: !f.Before.Exists() && f.After.Exists(), Proof: f.Proof, Unread: UnreadNote(f.After),
	}
	changes, err := narrate.Changes(f.Before.Value(), f.After.Value())
	if err != nil {
		return p, err
	}
	for _, c := range changes {
		p.Changes = append(p.Changes, FieldChange{fieldLabel(c.Name), c.Before, c.After})
	}
	var meta struct {
		Causation uuid.UUID `json:"causation"`
		Surface   string    `json:"surface"`
		Trigger   string    `json:"trigger"`
	}
	if err := json.Unmarshal(l.Meta, &meta); err != nil {
		return p, fmt.Errorf("read metadata: %w", err)
	}
	p.Facts = append(p.Facts, Fact{Label: "Event", Text: l.Event}, Fact{Label: "Actor", Text: p.Row.Actor.Name},
		Fact{Label: "Object", Text: objectLabel(l), Href: p.Row.Object.Href})
	if p.Row.Tenant.Label != "" {
		p.Facts = append(p.Facts, Fact{Label: "Tenant", Text: p.Row.Tenant.Label, Href: p.Row.Tenant.Href})
	}
	if l.Reason != nil {
		p.Facts = append(p.Facts, Fact{Label: "Reason", Text: string(*l.Reason), Mono: true})
	}
	if l.Run != nil {
		p.Facts = append(p.Facts, Fact{Label: "Run", Text: "#" + strconv.FormatInt(*l.Run, 10), Href: RunHref(*l.Run)})
	}
	if l.Attempt != nil {
		p.Facts = append(p.Facts, Fact{Label: "Attempt", Text: l.Attempt.String(), Mono: true})
	}
	if meta.Surface != "" || meta.Trigger != "" {
		p.Facts = append(p.Facts, Fact{Label: "From", Text: surfaceWord(meta.Surface) + ", " + meta.Trigger})
	}
	p.Facts = append(p.Facts, Fact{Label: "Event id", Text: l.ID.String(), Mono: true}, Fact{Label: "Stream", Text: l.Stream.String(), Mono: true},
		Fact{Label: "Version", Text: strconv.Itoa(l.Version)})
	if f.Cause != nil {
		p.Links = append(p.Links, Link{"Caused by event " + strconv.FormatInt(f.Cause.Position, 10) + ": " + auditSentence(*f.Cause), AuditEventHref(f.Cause.Position)})
	}
	if l.Attempt != nil {
		p.Links = append(p.Links, Link{"Receipt of the attempt", p.Row.Receipt}, Link{"All events of the same attempt", AuditHref + "?range=all&attempt=" + l.Attempt.String()})
	}
	if name := l.Object(); name != "" {
		p.Links = append(p.Links, Link{"The whole story of " + name, AuditHref + "?range=all&object=" + url.QueryEscape(name)})
	}
	if l.ObjectNumber != nil && CanReplay(l.ObjectKind) {
		p.Links = append(p.Links, Link{"Open in the time machine", ReplayHref(l.ObjectKind, *l.ObjectNumber, l.Position)})
	}
	if f.Moment.Steps > 0 {
		p.StoryNote = fmt.Sprintf("Event %d of %d of %s", f.Moment.Step, f.Moment.Steps, objectLabel(l))
	}
	if f.Moment.Back > 0 {
		p.Earlier = &Link{"Earlier", AuditEventHref(f.Moment.Back)}
	}
	if f.Moment.Forward > 0 {
		p.Later = &Link{"Later", AuditEventHref(f.Moment.Forward)}
	}
	return p, nil
}
