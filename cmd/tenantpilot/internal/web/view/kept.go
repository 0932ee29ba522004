package view

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"tenantpilot/domain"
)

// KeptForm is what somebody was about to send when their session had ended.
type KeptForm struct {
	Action string
	Fields []KeptField
	// Secrets were not kept and have to be entered again.
	Secrets []KeptField
	Until   time.Time
	// From is the page it was on; empty when that is not known.
	From    string
	Discard string
}

// KeptField is one field of it. One without Text is sent and not shown.
type KeptField struct{ Name, Value, Label, Text string }

// machineFields are for the console itself: nobody filled them in.
var machineFields = []string{"attempt_id", "sourceSurface", "selectionKey", "etag", "next", "back"}

// PresentKeptField says in words what a field holds.
func PresentKeptField(name, value string) KeptField {
	f := KeptField{Name: name, Value: value, Label: labelOf(name), Text: value}
	switch {
	case slices.Contains(machineFields, name):
		f.Text = ""
	case name == "operation":
		if o := domain.OperationByType(domain.OperationType(value)); o.Label != "" {
			f.Text = o.Label
		}
	}
	return f
}

// labelOf makes words of a field's name.
func labelOf(name string) string {
	var b strings.Builder
	for i, c := range name {
		switch {
		case c == '_' || c == '-':
			c = ' '
		case unicode.IsUpper(c) && i > 0:
			b.WriteByte(' ')
			c = unicode.ToLower(c)
		case i == 0:
			c = unicode.ToUpper(c)
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Long says that the value is more than fits on a line.
func (f KeptField) Long() bool { return len(f.Text) > 120 || strings.Contains(f.Text, "\n") }
