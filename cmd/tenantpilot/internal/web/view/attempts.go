package view

import (
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// AttemptsQuery is the filter of the attempts list.
type AttemptsQuery struct {
	ListQuery
	Filter projections.AttemptFilter
	Group  bool
}

var startOutcomes = []string{"accepted", "deduped", "scope_busy", "blocked"}

// ParseAttempts reads the parameters of the attempts list; me stands for initiator:me.
func ParseAttempts(q url.Values, me string, now time.Time) AttemptsQuery {
	var a AttemptsQuery
	cursor := func(into *projections.Cursor) func(string) bool {
		return func(v string) (ok bool) {
			*into, ok = projections.ParseCursor(v)
			return ok
		}
	}
	var after, before projections.Cursor
	var run int64
	var attempts []uuid.UUID
	group := false
	a.ListQuery = ParseList("/admin/attempts", q, ListSpec{
		Filters: []string{"outcome", "reason", "operation", "tenant", "connection", "initiator", "trigger", "surface"},
		Closed:  map[string][]string{"outcome": startOutcomes, "trigger": vocabularies["trigger"]},
		Single: map[string]func(string) bool{
			"after": cursor(&after), "before": cursor(&before),
			"group": func(v string) bool { group = v == "reason"; return group },
			"run": func(v string) bool {
				n, err := strconv.ParseInt(strings.TrimPrefix(v, "#"), 10, 64)
				run = n
				return err == nil && n > 0
			},
			"q": func(v string) bool { // what one pastes: an attempt
				id, ok := realID(v)
				if ok {
					attempts = []uuid.UUID{id}
				}
				return ok
			},
		},
		Plain:  []string{"after", "before", "group"},
		Ranges: []ListRange{{"1h", "1 h", time.Hour}, {"24h", "24 h", 24 * time.Hour}, {"7d", "7 d", 7 * 24 * time.Hour}, {"31d", "31 d", 31 * 24 * time.Hour}},
		Range:  "24h", Whole: []string{"q", "run"},
	}, now)
	for i, m := range a.Matches["initiator"] {
		for j, v := range m.Values {
			if v == "me" {
				a.Matches["initiator"][i].Values[j] = me
			}
		}
	}
	a.Group = group
	a.Filter = projections.AttemptFilter{
		Outcome: a.Matches["outcome"], Reason: a.Matches["reason"], Operation: a.Matches["operation"], TenantName: a.Matches["tenant"],
		Connection: a.Matches["connection"], Initiator: a.Matches["initiator"], Trigger: a.Matches["trigger"], Surface: a.Matches["surface"],
		Attempts: attempts, Run: run, From: a.From, To: a.To, Limit: a.Limit, After: after, Before: before,
	}
	return a
}

// AttemptList is the attempts page: the list, or refusals grouped by reason.
type AttemptList struct {
	Now        time.Time
	Bar        FilterBar
	Ranges     []Choice
	Modes      []Choice
	Grouped    bool
	Rows       []AttemptRow
	Groups     []AttemptGroup
	Hours      StackedHours
	Newer      string
	Older      string
	ExportHref string
	Empty      *Empty
	// Replay is where selected attempts are sent; nil for those who may start nothing.
	Replay *ReplayBar
}

// AttemptRow is one start attempt in a list.
type AttemptRow struct {
	ID          string
	Href        string
	At          time.Time
	Outcome     string
	Operation   string
	ShortReason string
	Tenant      Link
	Connection  string
	Initiator   Initiator
	Surface     string
	Run         *Link
	// Selectable attempts can be replayed; Replayed leads to the attempt that this one was replayed as.
	Selectable bool
	Replayed   *Link
}

// AttemptGroup is a reason with the attempts that it refused, as a work list.
type AttemptGroup struct {
	Badge    Badge
	Title    string // "Consent missing - 14 attempts in 6 tenants"
	Code     string
	Text     string
	First    time.Time
	Newest   time.Time
	ListHref string
	Work     []AttemptWork
	More     int     // places that are not listed
	Share    float64 // of the largest group, 0 to 1
	Replay   *Button // nil when there is nothing to replay, or not for this viewer
	Note     string  // that attempts of it were replayed, and places mended
}

// AttemptWork is one place where something has to be done so that a reason refuses no more.
type AttemptWork struct {
	Step       Link // what to do, with the page where it is done; without one where there is none
	Note       string
	Tenant     Link
	Connection Link
	Receipt    Link // "3 attempts", to the newest receipt
}

// StackedHours are counts per hour in a few series.
type StackedHours struct {
	Title  string
	Series []Series
	Hours  []StackedHour
}

// Series is one of the stacked counts.
type Series struct {
	Word string
	Tone Tone
}

// StackedHour is one hour with a count per series.
type StackedHour struct {
	Start  time.Time
	Href   string
	Counts []int
}

// Total is all counts of the hour.
func (h StackedHour) Total() int {
	total := 0
	for _, n := range h.Counts {
		total += n
	}
	return total
}

// PresentAttempts words the attempts page.
// May says what the viewer may start.
func PresentAttempts(
	q AttemptsQuery, lines []projections.AttemptLine, newer, older bool, hours []projections.AttemptHour, may func(domain.OperationType) bool, now time.Time,
) AttemptList {
	l := AttemptList{
		Now: now, Bar: q.Bar("Filter attempts", "outcome:blocked tenant:contoso"), Ranges: q.RangeChoices(), Grouped: q.Group,
		Modes: []Choice{
			{Label: "List", Href: q.first(map[string]string{"group": ""}), Current: !q.Group},
			{Label: "By reason", Href: q.first(map[string]string{"group": "reason"}), Current: q.Group},
		},
		Hours: attemptHours(q, hours, now), ExportHref: q.first(map[string]string{"format": "csv", "group": ""}),
	}
	for _, line := range lines {
		row := presentAttemptRow(line)
		if row.Selectable = may(line.Operation) && canReplay(line); row.Selectable {
			l.Replay = &ReplayBar{Action: AttemptReplayHref, Back: q.Href(nil)}
		}
		l.Rows = append(l.Rows, row)
	}
	if n := len(lines); n > 0 {
		if newer {
			l.Newer = q.Href(map[string]string{"before": lines[0].Cursor().String(), "after": ""})
		}
		if older {
			l.Older = q.Href(map[string]string{"after": lines[n-1].Cursor().String(), "before": ""})
		}
	}
	return l
}

// EmptyAttempts says why there are none.
func EmptyAttempts(q AttemptsQuery) *Empty {
	e := &Empty{Icon: "list-checks", Title: "No attempts in this range", Text: "Every start attempt appears here with its answer, the refused ones too."}
	if q.Group {
		e.Title, e.Text = "Nothing was refused in this range", "Attempts that were blocked or found a busy connection are grouped here by reason."
	}
	if len(q.Chips) > 0 {
		e.Title = "No attempts match " + narrate.Count(len(q.Chips), "filter")
		e.Actions = []Button{{Label: "Clear filters", Href: q.Base}}
	}
	return e
}

// AttemptHref is the receipt of an attempt.
func AttemptHref(attempt string) string { return "/admin/attempts/" + attempt }

func presentAttemptRow(a projections.AttemptLine) AttemptRow {
	row := AttemptRow{
		ID: a.Attempt.String(), Href: AttemptHref(a.Attempt.String()), At: a.At, Outcome: string(a.Outcome), Operation: domain.OperationByType(a.Operation).Label,
		Tenant: Link{a.TenantName, TenantHref(a.TenantExternal.String())}, Connection: a.ConnectionLabel, Surface: surfaceWord(a.Surface),
		Initiator: Initiator{Name: actorName(a.InitiatorKind, a.InitiatorID.String(), a.InitiatorName), Trigger: string(a.Trigger)},
	}
	if a.Reason != nil {
		row.ShortReason = domain.ReasonFor(*a.Reason).Given(a.Facts).Short
	}
	if a.Run != nil {
		row.Run = &Link{"#" + strconv.FormatInt(*a.Run, 10), RunHref(*a.Run)}
	}
	if a.Replay != nil {
		row.Replayed = &Link{"Replayed", AttemptHref(a.Replay.String())}
	}
	return row
}

func trimStop(s string) string {
	for len(s) > 0 && s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}

// attemptHours fills the hours of the range, at most the last 72 of them, so that quiet ones are seen too.
func attemptHours(q AttemptsQuery, counted []projections.AttemptHour, now time.Time) StackedHours {
	s := StackedHours{Title: "Attempts per hour", Series: []Series{
		{"accepted", Positive}, {"joined", Neutral}, {"busy", Wait}, {"blocked", Stop},
	}}
	by := map[time.Time]projections.AttemptHour{}
	for _, h := range counted {
		by[h.Hour.UTC()] = h
	}
	end := now
	if !q.To.IsZero() && q.To.Before(now) {
		end = q.To.Add(-time.Nanosecond)
	}
	from := q.From
	if earliest := end.Add(-71 * time.Hour); from.Before(earliest) {
		from = earliest
	}
	for at := from.UTC().Truncate(time.Hour); !at.After(end); at = at.Add(time.Hour) {
		h := by[at]
		s.Hours = append(s.Hours, StackedHour{
			Start: at, Counts: []int{h.Accepted, h.Deduped, h.Busy, h.Blocked},
			Href: q.first(map[string]string{"range": "", "from": Instant(at), "to": Instant(at.Add(time.Hour))}),
		})
	}
	return s
}

// AttemptItems is a page of attempts as programs get it.
type AttemptItems struct {
	Items []AttemptItem `json:"items"`
	Next  *string       `json:"next"`
}

// AttemptItem is one attempt as programs get it.
type AttemptItem struct {
	Attempt    string     `json:"attempt"`
	At         time.Time  `json:"at"`
	Position   int64      `json:"position"`
	Operation  string     `json:"operationType"`
	Outcome    string     `json:"outcome"`
	Reason     *string    `json:"reasonCode"`
	Tenant     string     `json:"tenantExternalId"`
	Label      string     `json:"tenant"`
	Connection *int64     `json:"providerConnectionId"`
	Run        *int64     `json:"runId"`
	Initiator  AuditActor `json:"initiator"`
	Trigger    string     `json:"trigger"`
	Surface    string     `json:"sourceSurface"`
}

// PresentAttemptItems is a page of the list for programs; what to pass as after to read on is next.
func PresentAttemptItems(lines []projections.AttemptLine, older bool) AttemptItems {
	out := AttemptItems{Items: []AttemptItem{}}
	for _, a := range lines {
		out.Items = append(out.Items, presentAttemptItem(a))
	}
	if older && len(lines) > 0 {
		out.Next = Text(lines[len(lines)-1].Cursor().String())
	}
	return out
}

func presentAttemptItem(a projections.AttemptLine) AttemptItem {
	item := AttemptItem{
		Attempt: a.Attempt.String(), At: a.At.UTC(), Position: a.Position, Operation: string(a.Operation), Outcome: string(a.Outcome),
		Tenant: a.TenantExternal.String(), Label: a.TenantName, Connection: a.Connection, Run: a.Run, Trigger: string(a.Trigger), Surface: a.Surface,
		Initiator: AuditActor{string(a.InitiatorKind), a.InitiatorID.String(), actorName(a.InitiatorKind, a.InitiatorID.String(), a.InitiatorName)},
	}
	if a.Reason != nil {
		item.Reason = Text(string(*a.Reason))
	}
	return item
}

// WriteAttemptsCSV writes attempts as a spreadsheet, times in UTC.
func WriteAttemptsCSV(w io.Writer, pages iter.Seq2[[]projections.AttemptLine, error]) error {
	return writeRows(w, []string{
		"attempt", "at", "operation", "outcome", "reason", "tenant", "directory_id", "connection", "run", "started_by", "trigger", "surface",
	}, pages, func(l projections.AttemptLine) []string {
		a := presentAttemptItem(l)
		connection, run := "", ""
		if a.Connection != nil {
			connection = strconv.FormatInt(*a.Connection, 10)
		}
		if a.Run != nil {
			run = strconv.FormatInt(*a.Run, 10)
		}
		return []string{
			a.Attempt, instantCell(a.At), a.Operation, a.Outcome, String(a.Reason), plainCell(a.Label), a.Tenant, connection, run,
			plainCell(a.Initiator.Name), a.Trigger, plainCell(a.Surface),
		}
	})
}

// ReceiptPage is the decision on one attempt, as a page.
type ReceiptPage struct {
	Now       time.Time
	Receipt   Receipt
	Badge     Badge
	Operation string
	Headline  string
	Message   string
	Axes      *Axes
	Rules     []RuleStep
	Facts     []Fact
	JSON      string
	NextSteps []NextStep
	AskHref   string // empty where the viewer may not start it
	Replay    *Button
	Today     *Forecast
	Links     []Link
}

// RuleStep is one step of the gate: passed, decided, or not reached.
type RuleStep struct {
	N     int
	Text  string
	State string // passed, decided, ahead
}

// PresentReceiptPage words a receipt for people. may says whether the viewer may start the operation.
func PresentReceiptPage(a projections.AttemptLine, r Receipt, may bool, step func(domain.NextStepAction) bool, now time.Time) ReceiptPage {
	p := ReceiptPage{Now: now, Receipt: r, Badge: StartBadge(r.Outcome), Operation: domain.OperationByType(a.Operation).Label}
	p.Headline = p.Operation + " on " + a.TenantName + ": " + lowerFirst(p.Badge.Word)
	if a.Connection != nil {
		axes := axes(r.Facts.Enabled, r.Facts.Consent, r.Facts.Verification)
		p.Axes = &axes
	}
	for n := 1; n <= narrate.Rules; n++ {
		s := RuleStep{N: n, Text: narrate.Rule(n), State: "passed"}
		switch {
		case n == r.Rule:
			s.State = "decided"
		case n > r.Rule:
			s.State = "ahead"
		}
		p.Rules = append(p.Rules, s)
	}
	if a.Reason != nil {
		reason := domain.ReasonFor(*a.Reason).Given(r.Facts).Fill(domain.ReasonTarget{Tenant: r.Tenant, Connection: connectionText(a.Connection)})
		p.Message = reason.Message
		p.NextSteps = PresentSteps(reason, r.Tenant, step)
	}
	p.Facts = []Fact{
		{Label: "Attempt", Text: r.Attempt, Mono: true},
		{Label: "Asked at", Text: Absolute(r.At)},
		{Label: "Asked by", Text: r.Actor.Name},
		{Label: "From", Text: surfaceWord(a.Surface) + ", " + string(a.Trigger)},
		{Label: "Tenant", Text: a.TenantName, Href: TenantHref(r.Tenant)},
	}
	if a.Connection != nil {
		p.Facts = append(p.Facts, Fact{Label: "Connection", Text: a.ConnectionLabel, Href: ReplayHref("connection", *a.Connection, a.Position)})
	}
	if a.Run != nil {
		p.Facts = append(p.Facts, Fact{Label: "Run", Text: "#" + strconv.FormatInt(*a.Run, 10), Href: RunHref(*a.Run)})
	}
	if a.ReplayOf != nil {
		p.Facts = append(p.Facts, Fact{Label: "Replay of", Text: a.ReplayOf.String(), Href: AttemptHref(a.ReplayOf.String()), Mono: true})
	}
	if a.Replay != nil {
		p.Facts = append(p.Facts, Fact{Label: "Replayed as", Text: a.Replay.String(), Href: AttemptHref(a.Replay.String()), Mono: true})
	}
	if r.Identity != "" {
		p.Facts = append(p.Facts, Fact{Label: "Identity key", Text: r.Identity, Mono: true})
	}
	p.Facts = append(p.Facts, Fact{Label: "Position", Text: strconv.FormatInt(a.Position, 10), Href: AuditEventHref(a.Position)})
	p.JSON = indentValue(r)
	if may {
		p.AskHref = AttemptHref(r.Attempt) + "?again=1"
	}
	if may && canReplay(a) {
		p.Replay = &Button{Label: "Replay", Icon: "rotate-cw", Variant: "outline", Post: true, Href: AttemptReplayHref, Fields: []Field{
			{Name: "attempt", Value: r.Attempt}, {Name: "back", Value: AttemptHref(r.Attempt)},
		}}
	}
	p.Links = []Link{{"All that followed from it", "/admin/audit?range=all&attempt=" + r.Attempt}}
	if a.Reason != nil {
		p.Links = append(p.Links, Link{"Attempts with the same reason", "/admin/attempts?range=31d&reason=" + string(*a.Reason)})
	}
	return p
}

func connectionText(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}
