package view

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tenantpilot/projections"
)

// ListSpec says which parameters a list knows.
type ListSpec struct {
	// Filters are the parameters that take values and their negations, in the order of their chips; Closed are the values of those that have
	// a closed set.
	Filters []string
	Closed  map[string][]string
	// Single are filters of one value, which its function takes; false refuses it.
	Single map[string]func(string) bool
	// Plain are parameters that present and do not filter.
	Plain []string
	// Ranges are the lengths of time to choose from, shortest first, and Range the one without a choice. A zero length is all of the past.
	Ranges []ListRange
	Range  string
	// Whole are parameters that say themselves what is looked for: with one of them all of the past is, unless a range is chosen.
	Whole []string
}

// ListRange is a length of time to choose.
type ListRange struct {
	Name, Label string
	Length      time.Duration
}

// ListQuery is a list's filter as the URL says it. What it does not know is kept as red chips.
type ListQuery struct {
	Base     string
	Query    url.Values
	Chips    []Chip
	Unknown  []string
	Matches  map[string][]projections.Match
	From, To time.Time
	Range    string // empty when from or to say otherwise
	Whole    bool   // what is looked for is narrow enough for all of the past
	Limit    int
	spec     ListSpec
}

// ParseList reads a list's parameters.
func ParseList(base string, q url.Values, spec ListSpec, now time.Time) ListQuery {
	l := ListQuery{Base: base, Query: q, Matches: map[string][]projections.Match{}, spec: spec, Range: spec.Range}
	l.Whole = slices.ContainsFunc(spec.Whole, func(key string) bool { return q.Get(key) != "" })
	if l.Whole || q.Get("to") != "" { // what came before an instant is not the newest
		l.Range = "all"
	}
	for _, r := range spec.Ranges {
		if q.Get("range") == r.Name {
			l.Range = r.Name
		}
	}
	for _, r := range spec.Ranges {
		if r.Name == l.Range && r.Length > 0 {
			l.From = now.Add(-r.Length)
		}
	}
	known := slices.Concat(spec.Filters, spec.Plain, []string{"range", "from", "to", "limit", "filter", "format"})
	for _, key := range slices.Concat(spec.Filters, sortedKeys(spec.Single), []string{"range", "from", "to", "limit"}) {
		for _, v := range q[key] {
			if !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
				l.refuse(key, strings.ToValidUTF8(strings.Map(printable, v), "?"))
			} else if v != "" && !l.take(key, v) {
				l.refuse(key, v)
			}
		}
	}
	for _, key := range sortedKeys(q) {
		if !slices.Contains(known, key) && spec.Single[key] == nil {
			l.refuse(strings.ToValidUTF8(strings.Map(printable, key), "?"), strings.ToValidUTF8(strings.Map(printable, q.Get(key)), "?"))
		}
	}
	return l
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (l *ListQuery) refuse(key, value string) {
	l.Unknown = append(l.Unknown, key)
	l.Chips = append(l.Chips, Chip{Key: key, Value: value})
}

func (l *ListQuery) take(key, v string) bool {
	instant := func(into *time.Time) bool {
		t, ok := ParseInstant(v)
		if ok {
			*into, l.Range = t, ""
		}
		return ok
	}
	switch key {
	case "range":
		return slices.ContainsFunc(l.spec.Ranges, func(r ListRange) bool { return r.Name == v })
	case "from":
		return instant(&l.From)
	case "to":
		return instant(&l.To)
	case "limit":
		n, err := strconv.Atoi(v)
		l.Limit = n
		return err == nil && n >= 1 && n <= 200
	}
	if single := l.spec.Single[key]; single != nil {
		if !single(v) {
			return false
		}
		if !slices.Contains(l.spec.Plain, key) {
			l.Chips = append(l.Chips, Chip{Key: key, Value: v, Known: true})
		}
		return true
	}
	value, negated := strings.CutPrefix(v, "-")
	if words, closed := l.spec.Closed[key]; closed && !slices.Contains(words, value) || value == "" {
		return false
	}
	l.Chips = append(l.Chips, Chip{Key: key, Value: value, Negated: negated, Known: true})
	for i, m := range l.Matches[key] {
		if m.Not == negated {
			l.Matches[key][i].Values = append(m.Values, value)
			return true
		}
	}
	l.Matches[key] = append(l.Matches[key], projections.Match{Values: []string{value}, Not: negated})
	return true
}

// Href is the list with some parameters changed; an empty value leaves the parameter out.
func (l ListQuery) Href(change map[string]string) string {
	q := url.Values{}
	for k, v := range l.Query {
		q[k] = v
	}
	for k, v := range change {
		if v == "" {
			q.Del(k)
		} else {
			q.Set(k, v)
		}
	}
	return strings.TrimSuffix(l.Base+"?"+q.Encode(), "?")
}

// first is Href on the first page.
func (l ListQuery) first(change map[string]string) string {
	change["after"], change["before"] = "", ""
	return l.Href(change)
}

// toggled is the list with a value added to a filter, or taken out where it is there.
func (l ListQuery) toggled(key, value string) (href string, on bool) {
	q := url.Values{}
	for k, values := range l.Query {
		for _, v := range values {
			if k == key && v == value {
				on = true
				continue
			}
			q.Add(k, v)
		}
	}
	if !on {
		q.Add(key, value)
	}
	q.Del("after")
	q.Del("before")
	return strings.TrimSuffix(l.Base+"?"+q.Encode(), "?"), on
}

// FilterBar is the filter of a list as the page shows it.
type FilterBar struct {
	Label, Action, Query, ClearHref, Hint string
	Keep                                  []Field
	Chips                                 []Chip
	Qualifiers                            []string
}

// Bar is the filter box with its chips.
func (l ListQuery) Bar(label, hint string) FilterBar {
	b := FilterBar{Label: label, Action: l.Base, Hint: hint, Chips: slices.Clone(l.Chips)}
	var typed []string
	for i, c := range b.Chips {
		q := url.Values{}
		for k, values := range l.Query {
			for _, v := range values {
				if k != c.Key || strings.TrimPrefix(v, "-") != c.Value {
					q.Add(k, v)
				}
			}
		}
		q.Del("after")
		q.Del("before")
		b.Chips[i].RemoveHref = strings.TrimSuffix(l.Base+"?"+q.Encode(), "?")
		if c.Known {
			typed = append(typed, c.text())
		}
	}
	b.Query = strings.Join(typed, " ")
	if len(b.Chips) > 0 {
		b.ClearHref = l.Base
	}
	for _, key := range slices.Concat(l.spec.Plain, []string{"range", "from", "to"}) {
		if v := l.Query.Get(key); v != "" && key != "after" && key != "before" {
			b.Keep = append(b.Keep, Field{key, v})
		}
	}
	for _, key := range slices.Concat(l.spec.Filters, sortedKeys(l.spec.Single)) {
		if !slices.Contains(l.spec.Plain, key) {
			b.Qualifiers = append(b.Qualifiers, key+":")
		}
	}
	return b
}

// RangeChoices are the lengths of time to choose from.
func (l ListQuery) RangeChoices() []Choice {
	var choices []Choice
	for _, r := range l.spec.Ranges {
		href := l.first(map[string]string{"range": r.Name, "from": "", "to": ""})
		choices = append(choices, Choice{Label: r.Label, Href: href, Current: l.Range == r.Name})
	}
	return choices
}

// TypedHref turns what was typed into the filter box into the list's own address, so that the filter is the URL.
func (l ListQuery) TypedHref(typed string) string {
	q := FilterQuery(typed)
	for _, f := range l.Bar("", "").Keep {
		q.Set(f.Name, f.Value)
	}
	return strings.TrimSuffix(l.Base+"?"+q.Encode(), "?")
}
