package view

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// OperationsFacts is what the operations hub is made from.
type OperationsFacts struct {
	Waiting  []projections.WaitingStart // starts that wait for a connection
	SetAside int                        // parked events
	Can      func(domain.Capability) bool
	Base     string     // the page's URL without query
	Query    url.Values // as asked for; the filter is the URL
	Filter   ParsedFilter
	Tenant   *projections.Tenant // of a tenant-scoped hub
	Lines    []projections.RunLine
	Newer    bool
	Older    bool
	Counts   projections.Counts

	WindowRuns     []projections.RunLine
	WindowRefusals []projections.Refusal
	WindowFrom     time.Time
	WindowTo       time.Time
	Hours          []projections.HourCount

	Behind   int64
	AsOf     time.Time
	MayStart bool
	Me       string // the viewer's id, for "started by me"

	Views     []projections.SavedView
	Held      []projections.HeldTenant
	MayHold   bool
	MayCancel bool
	Peek      *Peek
	// Matching are the numbers of all runs of the filter, at most one more than BulkLimit; nil when the page has them all.
	Matching []int64
	Now      time.Time
}

// ParsedFilter is the filter of the operations list with what it could not make sense of.
type ParsedFilter struct {
	projections.RunFilter
	Chips   []Chip
	Unknown []string // parameters that are no filter
	Range   string   // "1h", "24h", "7d"
	Window  string   // of the swimlanes: "60m", "6h", "24h"
	Text    string   // the filter as typed
	Peek    int64    // the run shown beside the list
	Columns []string
	All     bool // all runs of the filter are selected
}

// filterKeys are the parameters that filter, in the order of their chips.
var filterKeys = []string{"status", "outcome", "operation", "tenant", "connection", "initiator", "trigger", "reason", "q"}

// presentation parameters are not part of the filter.
var plainKeys = []string{
	"range", "window", "limit", "after", "before", "view", "from", "to", "filter", "format", "peek", "cols", "sort", "select", "saved",
}

// momentKeys are the parameters that say where in the list somebody looks, which a link to another list leaves out.
var momentKeys = []string{"after", "before", "peek", "select", "format"}

// ParseFilter reads the list's parameters. Unknown ones are kept as red chips rather than ignored.
func ParseFilter(q url.Values, me string, now time.Time) ParsedFilter {
	var f ParsedFilter
	q = f.legible(q)
	f.Range, f.Window = pick(q.Get("range"), "24h", "1h", "24h", "7d"), pick(q.Get("window"), "60m", "60m", "6h", "24h")
	f.From = now.Add(-map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}[f.Range])
	f.takePlain(q)
	switch q.Get("view") {
	case "active":
		f.Active, f.From = true, time.Time{}
	case "attention":
		f.Attention = true
	case "waiting":
		f.Waiting, f.From = true, time.Time{}
	case "mine":
		f.Initiator = append(f.Initiator, projections.Match{Values: []string{me}})
	case "scheduled":
		f.Trigger = append(f.Trigger, projections.Match{Values: []string{"schedule"}})
	}
	for _, key := range filterKeys {
		f.take(key, q[key], me)
	}
	for key := range q {
		if !slices.Contains(filterKeys, key) && !slices.Contains(plainKeys, key) {
			f.refuse(key, q.Get(key))
		}
	}
	var typed []string
	for _, c := range f.Chips {
		if c.Known {
			typed = append(typed, c.text())
		}
	}
	f.Text = strings.Join(typed, " ")
	return f
}

// legible leaves out values that no text in the database can equal: those that are not UTF-8 or have control characters. They are red chips.
func (f *ParsedFilter) legible(q url.Values) url.Values {
	kept := url.Values{}
	for key, values := range q {
		for _, v := range values {
			if !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
				f.refuse(key, strings.ToValidUTF8(strings.Map(printable, v), "?"))
				continue
			}
			kept.Add(key, v)
		}
	}
	return kept
}

func printable(r rune) rune {
	if unicode.IsControl(r) {
		return '?'
	}
	return r
}

// takePlain reads the parameters that have one value; a malformed one is a red chip.
func (f *ParsedFilter) takePlain(q url.Values) {
	read := func(key string, parse func(string) bool) {
		if v := q.Get(key); v != "" && !parse(v) {
			f.refuse(key, v)
		}
	}
	instant := func(into *time.Time) func(string) bool {
		return func(v string) bool {
			t, ok := ParseInstant(v)
			if ok {
				*into = t
			}
			return ok
		}
	}
	oneOf := func(allowed ...string) func(string) bool {
		return func(v string) bool { return slices.Contains(allowed, v) }
	}
	read("view", oneOf("active", "attention", "waiting", "mine", "scheduled"))
	read("range", oneOf("1h", "24h", "7d"))
	read("window", oneOf("60m", "6h", "24h"))
	cursor := func(into *projections.Cursor) func(string) bool {
		return func(v string) (ok bool) {
			*into, ok = projections.ParseCursor(v)
			return ok
		}
	}
	read("from", instant(&f.From))
	read("to", instant(&f.To))
	read("after", cursor(&f.After))
	read("before", cursor(&f.Before))
	read("limit", func(v string) bool {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 200 {
			return false
		}
		f.Limit = n
		return true
	})
	read("peek", func(v string) bool {
		n, err := strconv.ParseInt(v, 10, 64)
		f.Peek = n
		return err == nil && n > 0
	})
	read("sort", func(v string) bool {
		f.Oldest = v == "oldest"
		return f.Oldest
	})
	read("select", func(v string) bool {
		f.All = v == "all"
		return f.All
	})
	f.Columns = DefaultColumns
	read("cols", func(v string) (ok bool) {
		f.Columns, ok = ParseColumns(v)
		return ok
	})
}

func (f *ParsedFilter) refuse(key, value string) {
	f.Unknown = append(f.Unknown, key)
	f.Chips = append(f.Chips, Chip{Key: key, Value: value})
}

// vocabularies are the filters whose values are a closed set.
var vocabularies = map[string][]string{
	"status":  {"queued", "running", "waiting_external_approval", "completed"},
	"outcome": {"succeeded", "partially_succeeded", "failed", "blocked", "cancelled"},
	"trigger": {"operator", "schedule", "system", "api"},
}

func (c Chip) text() string {
	value := c.Value
	if strings.ContainsAny(value, " ") {
		value = `"` + value + `"`
	}
	if c.Key == "q" {
		return value
	}
	if c.Negated {
		return "-" + c.Key + ":" + value
	}
	return c.Key + ":" + value
}

func pick(value, fallback string, allowed ...string) string {
	if slices.Contains(allowed, value) {
		return value
	}
	return fallback
}

// take adds a parameter's values: the plain ones are any-of, those with a leading "-" are none-of.
func (f *ParsedFilter) take(key string, values []string, me string) {
	var any, none []string
	for _, v := range values {
		value, negated := strings.CutPrefix(v, "-")
		if value == "" {
			continue
		}
		if words, closed := vocabularies[key]; closed && !slices.Contains(words, value) {
			f.refuse(key, v)
			continue
		}
		f.Chips = append(f.Chips, Chip{Key: key, Value: value, Negated: negated, Known: true})
		if key == "initiator" && value == "me" {
			value = me
		}
		if code, ok := domain.ParseReasonCode(value); ok && key == "reason" {
			value = string(code) // legacy spellings are read, and never written
		}
		if negated {
			none = append(none, value)
		} else {
			any = append(any, value)
		}
	}
	if key == "q" {
		f.RunFilter.Text = strings.Join(any, " ")
		return
	}
	var matches []projections.Match
	if len(any) > 0 {
		matches = append(matches, projections.Match{Values: any})
	}
	if len(none) > 0 {
		matches = append(matches, projections.Match{Values: none, Not: true})
	}
	into := map[string]*[]projections.Match{
		"status": &f.Status, "outcome": &f.Outcome, "operation": &f.Operation, "tenant": &f.TenantName, "connection": &f.Connection,
		"initiator": &f.Initiator, "trigger": &f.Trigger, "reason": &f.Reason,
	}[key]
	*into = append(*into, matches...)
}

// FilterQuery turns what was typed into the filter box into parameters: `status:failed tenant:contoso -reason:x words`.
func FilterQuery(typed string) url.Values {
	q := url.Values{}
	var words []string
	for _, term := range terms(typed) {
		bare, negated := strings.CutPrefix(term, "-")
		key, value, ok := strings.Cut(bare, ":")
		if !ok || key == "" {
			words = append(words, term)
			continue
		}
		if negated {
			value = "-" + value
		}
		q.Add(key, value)
	}
	if len(words) > 0 {
		q.Set("q", strings.Join(words, " "))
	}
	return q
}

// terms splits at spaces outside quotes.
func terms(s string) []string {
	var out []string
	var term strings.Builder
	quoted := false
	for _, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if term.Len() > 0 {
				out = append(out, term.String())
				term.Reset()
			}
		default:
			term.WriteRune(r)
		}
	}
	if term.Len() > 0 {
		out = append(out, term.String())
	}
	return out
}

// PresentOperations words the hub.
func PresentOperations(f OperationsFacts) OperationsList {
	l := OperationsList{
		Now: f.Now, Action: f.Base, Query: f.Filter.Text, Chips: f.chips(),
		Counters: f.counters(), Tabs: f.tabs(), Ranges: f.ranges(), RefreshHref: f.href(map[string]string{"select": ""}),
		Qualifiers: []string{"status:", "outcome:", "operation:", "tenant:", "connection:", "initiator:me", "trigger:", "reason:"},
		Peek:       f.Peek, Bulk: f.bulk(), Columns: f.Filter.Columns, Oldest: f.Filter.Oldest,
		Views: f.savedViews(), ColumnMenu: f.columnMenu(), Held: f.held(),
	}
	l.SortHref = f.href(map[string]string{"sort": map[bool]string{false: "oldest", true: ""}[l.Oldest]})
	if len(f.Filter.Chips) > 0 {
		l.ClearHref = f.clearHref()
	}
	for _, key := range KeptKeys {
		if v := f.Query.Get(key); v != "" {
			l.Keep = append(l.Keep, Field{key, v})
		}
	}
	if f.Tenant != nil {
		l.Tenant = &Link{f.Tenant.Name, TenantHref(f.Tenant.ExternalID.String())}
		if f.MayHold {
			b := HoldButton(f.Tenant.ExternalID.String(), len(f.Held) > 0)
			b.Href += "?back=" + url.QueryEscape(f.Base)
			l.Buttons = append(l.Buttons, b)
		}
	}
	for _, line := range f.Lines {
		row := PresentRunRow(line, f.Now)
		row.PeekHref, row.Selectable, row.Selected = f.PeekHref(line.Number), l.Bulk != nil, f.Filter.All
		l.Rows = append(l.Rows, row)
	}
	if n := len(f.Lines); n > 0 {
		if f.Newer {
			l.Newer = f.anew(map[string]string{"before": f.Lines[0].Cursor().String()})
		}
		if f.Older {
			l.Older = f.anew(map[string]string{"after": f.Lines[n-1].Cursor().String()})
		}
	} else {
		l.Empty = f.empty()
	}
	l.ExportHref = f.anew(map[string]string{"format": "csv"})
	l.Lanes = f.lanes()
	l.SetAside = f.SetAside
	l.Waiting = PresentWaiting(f.Waiting, f.Can)
	l.Hours = f.hours()
	if f.Behind > 0 && f.Now.Sub(f.AsOf) > 2*time.Second {
		l.Stale = &Staleness{AsOf: f.AsOf, Behind: int(f.Behind)}
	}
	return l
}

// PresentRunRow is a run as a line of a list.
func PresentRunRow(line projections.RunLine, now time.Time) RunRow {
	row := RunRow{
		ID: line.Number, Href: RunHref(line.Number), ExecutionStatus: string(line.Status), Operation: domain.OperationByType(line.Operation).Label,
		Target: target(line.Inputs), Tenant: Link{line.TenantName, TenantHref(line.TenantExternal.String())},
		Connection: Link{line.ConnectionLabel, ConnectionHref(line.Connection)}, Initiator: initiator(line), Progress: progress(line.Run),
		QueuedAt: line.AcceptedAt, StartedAt: at(line.StartedAt), EndedAt: at(line.EndedAt),
	}
	if line.Outcome != nil {
		row.Outcome = string(*line.Outcome)
	}
	if line.Reason != nil {
		row.ShortReason, row.ReasonCode = domain.ReasonFor(*line.Reason).Short, string(*line.Reason)
	}
	if line.CancelRequestedAt != nil && line.Status != domain.Completed {
		row.Cancel = "requested"
		if now.Sub(*line.CancelRequestedAt) > 2*time.Second {
			row.Cancel = "cancelling"
		}
	}
	if line.WaitingUntil != nil && line.Status != domain.Completed && line.WaitingUntil.After(now) {
		row.Waiting = &Waiting{For: "the provider", Until: *line.WaitingUntil}
	}
	return row
}

// KeptKeys are the parameters that stay when another filter is typed.
var KeptKeys = []string{"range", "window", "view", "cols", "sort", "saved"}

// anew is the list from its beginning with some parameters changed.
func (f OperationsFacts) anew(change map[string]string) string {
	all := map[string]string{}
	for _, key := range momentKeys {
		all[key] = ""
	}
	maps.Copy(all, change)
	return f.href(all)
}

// href is the page with some parameters changed; an empty value leaves the parameter out.
func (f OperationsFacts) href(change map[string]string) string {
	q := url.Values{}
	for k, v := range f.Query {
		q[k] = v
	}
	for k, v := range change {
		if v == "" {
			q.Del(k)
		} else {
			q.Set(k, v)
		}
	}
	if len(q) == 0 {
		return f.clearHref()
	}
	return f.Base + "?" + q.Encode()
}

func (f OperationsFacts) chips() []Chip {
	chips := slices.Clone(f.Filter.Chips)
	for i, c := range chips {
		q := url.Values{}
		for k, values := range f.Query {
			for _, v := range values {
				if k == c.Key && strings.TrimPrefix(v, "-") == c.Value {
					continue
				}
				q.Add(k, v)
			}
		}
		for _, key := range momentKeys {
			q.Del(key)
		}
		chips[i].RemoveHref = strings.TrimSuffix(f.Base+"?"+q.Encode(), "?")
	}
	return chips
}

func (f OperationsFacts) counters() []Counter {
	only := func(kv ...string) string {
		q := url.Values{}
		for i := 0; i < len(kv); i += 2 {
			q.Set(kv[i], kv[i+1])
		}
		if r := f.Query.Get("range"); r != "" {
			q.Set("range", r)
		}
		return f.Base + "?" + q.Encode()
	}
	current := func(key, value string) bool { return f.Query.Get(key) == value }
	return []Counter{
		{Key: "running", Label: "Running", Count: f.Counts.Running, Href: only("status", "running"), Icon: "contrast", Tone: Active, Current: current("status", "running")},
		{Key: "queued", Label: "Queued", Count: f.Counts.Queued, Href: only("status", "queued"), Icon: "circle", Tone: Neutral, Current: current("status", "queued")},
		{Key: "attention", Label: "Needs attention", Count: f.Counts.Attention, Href: only("view", "attention"), Icon: "triangle-alert", Tone: Warning, Current: current("view", "attention")},
		{Key: "blocked", Label: "Blocked starts", Count: f.Counts.BlockedStarts, Href: f.Base + "#lanes", Icon: "octagon-minus", Tone: Stop},
		{Key: "busy", Label: "Busy starts", Count: f.Counts.BusyStarts, Href: f.Base + "#lanes", Icon: "hourglass", Tone: Wait},
		{Key: "succeeded", Label: "Succeeded", Count: f.Counts.Succeeded, Href: only("outcome", "succeeded"), Icon: "circle-check", Tone: Positive, Current: current("outcome", "succeeded")},
	}
}

func (f OperationsFacts) tabs() []Choice {
	tab := func(label, name string, n int) Choice {
		return Choice{Label: label, Href: f.anew(map[string]string{"view": name}), Current: f.Query.Get("view") == name, Count: &n}
	}
	return []Choice{
		tab("All", "", f.Counts.All), tab("Running & queued", "active", f.Counts.Running+f.Counts.Queued),
		tab("Needs attention", "attention", f.Counts.Attention), tab("Waiting", "waiting", f.Counts.Waiting),
		tab("Started by me", "mine", f.Counts.Mine), tab("Scheduled", "scheduled", f.Counts.Scheduled),
	}
}

func (f OperationsFacts) ranges() []Choice {
	var choices []Choice
	for _, r := range [][2]string{{"1h", "1 h"}, {"24h", "24 h"}, {"7d", "7 d"}} {
		change := map[string]string{"range": r[0], "from": "", "to": ""}
		choices = append(choices, Choice{Label: r[1], Href: f.anew(change), Current: f.Filter.Range == r[0]})
	}
	return choices
}

func (f OperationsFacts) empty() *Empty {
	if len(f.Filter.Chips) > 0 || f.Query.Get("view") != "" {
		return &Empty{
			Icon: "funnel-x", Title: "No runs match this filter", Text: "Nothing in this range fits all of its parts.",
			Actions: []Button{{Label: "Clear filters", Href: f.clearHref(), Variant: "primary"}, {Label: "Look at 7 days", Href: f.href(map[string]string{"range": "7d"})}},
		}
	}
	e := &Empty{Icon: "inbox", Title: "No operations in this range", Text: "Runs appear here the moment they are accepted, with what they read and how they ended."}
	if f.MayStart {
		e.Actions = []Button{{Label: "Start operation", Href: f.StartHref(), Variant: "primary", Dialog: f.Tenant != nil}}
	}
	return e
}

// StartHref is where the hub's start button leads.
func (f OperationsFacts) StartHref() string {
	if f.Tenant == nil {
		return "/admin/start"
	}
	return "/admin/t/" + f.Tenant.ExternalID.String() + "/start"
}

const lanesShown = 12

// lanes draws one lane per connection that was used or refused in the window, busy ones first.
func (f OperationsFacts) lanes() *Lanes {
	l := &Lanes{From: f.WindowFrom, To: f.WindowTo}
	for _, w := range [][2]string{{"60m", "60 min"}, {"6h", "6 h"}, {"24h", "24 h"}} {
		l.Windows = append(l.Windows, Choice{Label: w[1], Href: f.href(map[string]string{"window": w[0]}), Current: f.Filter.Window == w[0]})
	}
	index := map[int64]int{}
	lane := func(connection int64, label, tenant string) *Lane {
		i, ok := index[connection]
		if !ok {
			i = len(l.Lanes)
			index[connection] = i
			l.Lanes = append(l.Lanes, Lane{
				ConnectionID: connection, Label: label, Tenant: tenant, Href: f.Base + "?connection=" + strconv.FormatInt(connection, 10),
			})
		}
		return &l.Lanes[i]
	}
	for _, r := range f.WindowRuns {
		bar := LaneBar{
			RunID: r.Number, Href: RunHref(r.Number), Operation: domain.OperationByType(r.Operation).Label, ExecutionStatus: string(r.Status),
			From: r.AcceptedAt, To: at(r.EndedAt),
		}
		if r.Outcome != nil {
			bar.Outcome = string(*r.Outcome)
		}
		to := lane(r.Connection, r.ConnectionLabel, r.TenantName)
		to.Bars = append(to.Bars, bar)
	}
	for _, r := range f.WindowRefusals {
		mark := LaneMark{At: r.At, Status: string(r.Outcome), Operation: domain.OperationByType(r.Operation).Label}
		if r.Run != nil {
			mark.Href = RunHref(*r.Run)
		}
		to := lane(r.Connection, r.ConnectionLabel, r.TenantName)
		to.Marks = append(to.Marks, mark)
	}
	for _, h := range f.Held {
		if h.Connection != nil {
			to := lane(*h.Connection, h.ConnectionLabel, h.Name)
			to.Holds = append(to.Holds, LaneHold{From: h.Since, To: at(h.Until), Reason: h.Reason})
		}
	}
	slices.SortStableFunc(l.Lanes, func(a, b Lane) int { return weight(b) - weight(a) })
	if n := len(l.Lanes); n > lanesShown {
		l.Quiet, l.QuietHref, l.Lanes = n-lanesShown, f.href(map[string]string{"window": "24h"}), l.Lanes[:lanesShown]
	}
	return l
}

func weight(l Lane) int {
	w := len(l.Bars) + len(l.Marks)
	for _, b := range l.Bars {
		if b.To.IsZero() {
			w += 1000
		}
	}
	return w
}

// hours are the last 24 full hours and the present one, the empty ones too.
func (f OperationsFacts) hours() *HourBars {
	counts := make(map[time.Time]projections.HourCount, len(f.Hours))
	for _, h := range f.Hours {
		counts[h.Hour.UTC()] = h
	}
	bars := &HourBars{}
	for h := f.Now.UTC().Truncate(time.Hour).Add(-23 * time.Hour); !h.After(f.Now); h = h.Add(time.Hour) {
		c := counts[h]
		bars.Bars = append(bars.Bars, HourBar{
			Start: h, Succeeded: c.Succeeded, Partial: c.Partial, Failed: c.Failed, Blocked: c.Blocked, Cancelled: c.Stopped,
			Href: f.Base + "?from=" + url.QueryEscape(h.Format(time.RFC3339)) + "&to=" + url.QueryEscape(h.Add(time.Hour).Format(time.RFC3339)),
		})
	}
	return bars
}

// RunList is the operations list as JSON.
type RunList struct {
	Items []RunListItem `json:"items"`
	Next  *string       `json:"next"` // cursor of the next older page, for ?after=
}

// RunListItem is a run of the list.
type RunListItem struct {
	RunID              int64          `json:"runId"`
	OperationType      string         `json:"operationType"`
	ExecutionStatus    string         `json:"executionStatus"`
	Outcome            *string        `json:"outcome"`
	Tenant             TenantRef      `json:"tenant"`
	ProviderConnection *ConnectionRef `json:"providerConnection,omitempty"`
	ShortReason        *string        `json:"shortReason"`
	ReasonCode         *string        `json:"reasonCode"`
	Initiator          string         `json:"initiator"`
	Trigger            string         `json:"trigger"`
	QueuedAt           time.Time      `json:"queuedAt"`
	StartedAt          *time.Time     `json:"startedAt"`
	EndedAt            *time.Time     `json:"endedAt"`
}

// TenantRef names a tenant.
type TenantRef struct {
	ExternalID string `json:"externalId"`
	Label      string `json:"label"`
}

// PresentRunList is the same rows as the page, for programs.
func PresentRunList(f OperationsFacts) RunList {
	list := RunList{Items: []RunListItem{}}
	for _, l := range f.Lines {
		row := PresentRunRow(l, f.Now)
		list.Items = append(list.Items, RunListItem{
			RunID: row.ID, OperationType: string(l.Operation), ExecutionStatus: row.ExecutionStatus, Outcome: Text(row.Outcome),
			Tenant:             TenantRef{l.TenantExternal.String(), l.TenantName},
			ProviderConnection: &ConnectionRef{ID: l.Connection, Provider: "microsoft", Label: l.ConnectionLabel},
			ShortReason:        Text(row.ShortReason), ReasonCode: Text(row.ReasonCode), Initiator: row.Initiator.Name, Trigger: row.Initiator.Trigger,
			QueuedAt: l.AcceptedAt.UTC(), StartedAt: l.StartedAt, EndedAt: l.EndedAt,
		})
	}
	if f.Older && len(f.Lines) > 0 {
		list.Next = Text(f.Lines[len(f.Lines)-1].Cursor().String())
	}
	return list
}
