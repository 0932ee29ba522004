package domain

import "errors"

// Kind classifies a refusal; one table in the web layer turns kinds into HTTP statuses.
type Kind int

// The kinds of refusal, in the order in which they are checked: existence before permission, permission before content.
const (
	// NotFound: the object is absent or the actor may not know of it. Both look exactly the same.
	NotFound Kind = iota + 1
	// Forbidden: the actor sees the object but lacks the capability.
	Forbidden
	// Invalid: the input breaks a rule; Fields says where.
	Invalid
	// KeyReused: the idempotency key was used before with another request.
	KeyReused
	// Conflict: the object is in a state that does not allow this.
	Conflict
	// Stale: the object is no longer what the actor has seen.
	Stale
)

// Refusal is a decision not to do something: a kind for machines and a text for people. It is never wrapped with internals.
type Refusal struct {
	Kind   Kind
	Code   string
	Text   string
	Fields []FieldError
}

// FieldError says what is wrong with one member of the input; Pointer is an RFC 6901 JSON pointer into the body.
type FieldError struct {
	Pointer, Code, Message string
}

// Error is the text for people.
func (r *Refusal) Error() string { return r.Text }

// AsRefusal finds a refusal in an error chain.
func AsRefusal(err error) (*Refusal, bool) {
	var r *Refusal
	ok := errors.As(err, &r)
	return r, ok
}

// ErrNotFound is the one answer for "absent" and "not yours": the same bytes for both, so that nothing leaks.
func ErrNotFound() *Refusal {
	return &Refusal{Kind: NotFound, Code: "not_found", Text: "There is nothing here that you can see."}
}

func forbidden(c Capability) *Refusal {
	return &Refusal{Kind: Forbidden, Code: "forbidden", Text: "You can see this but not do it. It needs the capability " + string(c) + "."}
}

// ErrStale is the answer to a change of something that somebody else has changed since the actor looked.
func ErrStale() *Refusal {
	return &Refusal{Kind: Stale, Code: "changed_meanwhile", Text: "Somebody else has changed this since you opened it. Nothing of yours was saved."}
}

// InvalidField is a refusal about a single member of the input.
func InvalidField(pointer, code, message string) *Refusal {
	return &Refusal{Kind: Invalid, Code: "invalid_input", Text: message, Fields: []FieldError{{pointer, code, message}}}
}

func conflict(code, text string) *Refusal { return &Refusal{Kind: Conflict, Code: code, Text: text} }
