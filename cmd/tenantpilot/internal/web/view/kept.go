package view

import (
	"strings"
	"time"
	"unicode"
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

// KeptField is one field of it.
type KeptField struct{ Name, Label, Value string }

// FieldLabel makes words of a field's name.
func FieldLabel(name string) string {
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
func (f KeptField) Long() bool { return len(f.Value) > 120 || strings.Contains(f.Value, "\n") }
