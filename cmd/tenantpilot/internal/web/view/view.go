// Package view holds what a page says, as plain values.
//
// A handler asks the projections, fills one of these values and hands it to a
// rendering: the vendor JSON (the json tags are the contract's) or the templ
// components of package page. Nothing here knows a request, a template or the
// clock. Instants are time.Time, the zero time means "not yet"; a page words
// them relative to the Now it was given, and the browser keeps them ticking.
//
// Statuses stay the contract's strings; the functions in badge.go turn each of
// them into an icon, a word and a tone.
package view

import "time"

// Link is a label that leads somewhere. A Link without Href is shown as text.
type Link struct {
	Label string
	Href  string
}

// Fact is one labelled line of a fact list. Of Text, Time and Badge the page
// shows those that are set; Href makes Text a link, Mono makes it a copyable id.
type Fact struct {
	Label string
	Text  string
	Href  string
	Mono  bool
	Time  time.Time
	Badge *Badge
}

// Choice is one of several links of which one is current: a tab, a range.
type Choice struct {
	Label   string
	Href    string
	Current bool
	// Count is shown beside the label; nil shows none.
	Count *int
}

// Button is a thing to do on a page. With DisabledReason it stays visible and
// focusable, does nothing, and says why; a button that the viewer's role never
// allows is left out by whoever fills the view.
type Button struct {
	Label string
	Icon  string
	Href  string
	// Post sends a form to Href instead of following it.
	Post bool
	// Fields are hidden inputs of a Post button, such as the attempt id.
	Fields []Field
	// Dialog opens Href in the page's dialog when scripts run.
	Dialog bool
	// Variant is primary, outline, ghost or destructive; empty is outline.
	Variant string
	// Key is the shortcut that presses the button, shown in its tooltip.
	Key            string
	DisabledReason string
	// Confirm is the consequence, asked before a Post is sent.
	Confirm string
}

// Field is a hidden input of a form.
type Field struct {
	Name  string
	Value string
}

// FieldError is one entry of a problem's errors: a JSON pointer to what was
// wrong, a stable code and a sentence for people.
type FieldError struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

// Text returns nil for an empty string: the contract's nullable strings.
func Text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// String is the text of a nullable string, empty for null.
func String(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
