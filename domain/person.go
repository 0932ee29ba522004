package domain

import "github.com/google/uuid"

// Person is what a workspace's log knows of a person: who an opaque id was, sealed, until it is erased. Rules:
//
//  1. Names and addresses are in no event but PersonDescribed, and there only under the person's own key in this workspace.
//  2. Erasing is final: what is sealed stays in the log, and nobody can open it any more.
type Person struct {
	ID     uuid.UUID
	Sealed string // base64; see eventstore.Store.Seal
	Erased bool
}

// PersonDescribed says who an id stands for, sealed.
type PersonDescribed struct {
	Person uuid.UUID `json:"person"`
	Sealed string    `json:"sealed"`
}

// PersonErased says that the key to what the log knew of a person was destroyed.
type PersonErased struct {
	Person uuid.UUID `json:"person"`
}

// EventName implements Event.
func (PersonDescribed) EventName() string { return "PersonDescribed" }

// EventName implements Event.
func (PersonErased) EventName() string { return "PersonErased" }

// PersonStream is the stream of a person in a workspace.
func PersonStream(workspace, person uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(workspace, append([]byte("person/"), person[:]...))
}

// Describe records who an id stands for. An erased person is not described again.
func (p Person) Describe(id uuid.UUID, sealed string) ([]Event, error) {
	switch {
	case p.Erased:
		return nil, conflict("person_erased", "This person's data was erased. Invite them as a new person.")
	case sealed == "":
		return nil, InvalidField("/name", "required", "Give a name and an address.")
	}
	return []Event{PersonDescribed{Person: id, Sealed: sealed}}, nil
}

// Erase records that the person's key is destroyed. Erasing twice changes nothing.
func (p Person) Erase(id uuid.UUID) []Event {
	if p.Erased {
		return nil
	}
	return []Event{PersonErased{Person: id}}
}

// Evolve implements State.
func (p Person) Evolve(e Event) Person {
	switch e := e.(type) {
	case PersonDescribed:
		p.ID, p.Sealed = e.Person, e.Sealed
	case PersonErased:
		p.ID, p.Erased = e.Person, true
	}
	return p
}
