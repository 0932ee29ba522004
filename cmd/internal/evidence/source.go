package evidence

import (
	"errors"
	"time"
)

// ErrNotThere says that the log has no such position, head or event, or not yet.
var ErrNotThere = errors.New("the log has nothing there")

// ErrNotSigned says that no signed head covers what was asked for yet, or that nobody here signs.
var ErrNotSigned = errors.New("no signed head covers this yet: heads are signed at least each minute where a process has the log key; wait a minute and try again")

// ErrTooMuch says that a pack would be larger than MaxPositions.
var ErrTooMuch = errors.New("too many events for one pack")

// MaxPositions is the most positions that a pack accounts for: some 100 MB before they are packed.
const MaxPositions = 1_000_000

// SignedHead is a head as it is handed out.
type SignedHead struct {
	Size int64     `json:"size"`
	At   time.Time `json:"at"`
	Note string    `json:"note"`
}

// ProofDocument is a proof with the signed heads that it is checked against. Of a size that was never signed there is none.
type ProofDocument struct {
	Inclusion   *Inclusion   `json:"inclusion,omitempty"`
	Consistency *Consistency `json:"consistency,omitempty"`
	Head        string       `json:"head,omitempty"`
	Earlier     string       `json:"earlier,omitempty"`
}
