package view

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tenantpilot/projections"
)

// Peek is a run's first screen beside the list that it is in.
type Peek struct {
	Number int64
	// Run is nil when there is nothing that the viewer can see.
	Run *RunDetail
	// Href is the run's own page, CloseHref the list without the peek.
	Href      string
	CloseHref string
}

// PeekHref is the list with a run beside it; CloseHref the list alone.
func (f OperationsFacts) PeekHref(number int64) string {
	return f.href(map[string]string{"peek": strconv.FormatInt(number, 10), "select": ""})
}

// CloseHref is the list without a peek.
func (f OperationsFacts) CloseHref() string { return f.href(map[string]string{"peek": ""}) }

// BulkLimit is the most runs that one bulk action is about.
const BulkLimit = 500

// Bulk is what can be done with the selected rows of a list.
type Bulk struct {
	// Action is where the selection is sent; Back comes along, to return here.
	Action string
	Back   string
	// Cancel and Start say what the viewer's role allows.
	Cancel, Start bool
	// MatchingHref selects all runs of the filter, Matching in number; empty when the page has them all. With More there are more than can
	// be selected at once.
	MatchingHref string
	Matching     int
	More         bool
	// Others are selected runs that are not on the page: the list as it was when somebody asked for all of them.
	Others []int64
}

// OthersText is how the other selected runs travel in one field.
func (b Bulk) OthersText() string {
	texts := make([]string, len(b.Others))
	for i, n := range b.Others {
		texts[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(texts, ".")
}

// bulk is nil for those who may do nothing with runs.
func (f OperationsFacts) bulk() *Bulk {
	if !f.MayCancel && !f.MayStart {
		return nil
	}
	b := &Bulk{Action: "/admin/operations/bulk", Back: f.href(map[string]string{"select": "", "peek": ""}), Cancel: f.MayCancel, Start: f.MayStart}
	b.Matching, b.More = min(len(f.Matching), BulkLimit), len(f.Matching) > BulkLimit
	if b.Matching > 0 {
		b.MatchingHref = f.href(map[string]string{"select": "all", "peek": ""})
	}
	if !f.Filter.All {
		return b
	}
	for _, n := range f.Matching[:b.Matching] {
		if !slices.ContainsFunc(f.Lines, func(l projections.RunLine) bool { return l.Number == n }) {
			b.Others = append(b.Others, n)
		}
	}
	return b
}

// Column is an optional column of the list of runs.
type Column struct {
	Key   string
	Label string
	// End aligns the column to the right.
	End bool
}

// runColumns are all optional columns; status and operation always stand in front of them.
var runColumns = []Column{
	{Key: "tenant", Label: "Tenant"},
	{Key: "connection", Label: "Connection"},
	{Key: "initiator", Label: "Started by"},
	{Key: "progress", Label: "Progress"},
	{Key: "duration", Label: "Duration", End: true},
	{Key: "started", Label: "Started", End: true},
	{Key: "ended", Label: "Ended", End: true},
	{Key: "reason", Label: "Reason code"},
	{Key: "trigger", Label: "Trigger"},
}

// DefaultColumns are shown while nobody chose others.
var DefaultColumns = []string{"tenant", "connection", "initiator", "progress", "duration", "started"}

// ColumnOf finds a column; false when there is none of that key.
func ColumnOf(key string) (Column, bool) {
	i := slices.IndexFunc(runColumns, func(c Column) bool { return c.Key == key })
	if i < 0 {
		return Column{}, false
	}
	return runColumns[i], true
}

// ParseColumns reads the parameter cols: keys with commas between them, each at most once. "none" shows only what is always there.
func ParseColumns(s string) ([]string, bool) {
	if s == "none" {
		return []string{}, true
	}
	var keys []string
	for _, key := range strings.Split(s, ",") {
		if _, ok := ColumnOf(key); !ok || slices.Contains(keys, key) {
			return DefaultColumns, false
		}
		keys = append(keys, key)
	}
	return keys, true
}

// ColumnMenu is the form that chooses columns: what is checked is shown, in the order of the places.
type ColumnMenu struct {
	Action string
	// Keep are the parameters of the list that the form must not lose.
	Keep      []Field
	Columns   []ColumnChoice
	ResetHref string
}

// ColumnChoice is a column of the menu with its place, counted from 1.
type ColumnChoice struct {
	Key   string
	Label string
	Shown bool
	Place int
}

// The names of the column form's fields: each column's key in ColumnField, its place in PlaceField and the key.
const (
	ColumnField = "col"
	PlaceField  = "place-"
)

func (f OperationsFacts) columnMenu() *ColumnMenu {
	m := &ColumnMenu{Action: f.Base, ResetHref: f.href(map[string]string{"cols": ""})}
	for _, key := range slices.Sorted(maps.Keys(f.Query)) {
		if key == "cols" || slices.Contains(momentKeys, key) {
			continue
		}
		for _, v := range f.Query[key] {
			m.Keep = append(m.Keep, Field{key, v})
		}
	}
	m.Keep = append(m.Keep, Field{"columns", "chosen"})
	for _, key := range f.Filter.Columns {
		c, _ := ColumnOf(key)
		m.Columns = append(m.Columns, ColumnChoice{Key: key, Label: c.Label, Shown: true, Place: len(m.Columns) + 1})
	}
	for _, c := range runColumns {
		if !slices.Contains(f.Filter.Columns, c.Key) {
			m.Columns = append(m.Columns, ColumnChoice{Key: c.Key, Label: c.Label, Place: len(m.Columns) + 1})
		}
	}
	return m
}

// ChosenColumns turns what the column form sent into the parameter cols and takes the form's own fields out.
func ChosenColumns(q url.Values) url.Values {
	out := url.Values{}
	for key, values := range q {
		if key != "columns" && key != ColumnField && !strings.HasPrefix(key, PlaceField) {
			out[key] = values
		}
	}
	place := func(key string) int {
		n, _ := strconv.Atoi(q.Get(PlaceField + key))
		return n
	}
	chosen := slices.DeleteFunc(slices.Clone(q[ColumnField]), func(key string) bool {
		_, ok := ColumnOf(key)
		return !ok
	})
	slices.SortStableFunc(chosen, func(a, b string) int { return place(a) - place(b) })
	switch chosen = slices.Compact(chosen); {
	case len(chosen) == 0:
		out.Set("cols", "none")
	case slices.Equal(chosen, DefaultColumns):
		out.Del("cols")
	default:
		out.Set("cols", strings.Join(chosen, ","))
	}
	return out
}
