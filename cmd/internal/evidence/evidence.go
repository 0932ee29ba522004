// Package evidence makes and checks proofs about the log, without a database: what the auditor's own program can do, ours does with the
// same code.
//
//	events ──canonical bytes──▶ leaf hashes ──RFC 6962──▶ root ──signed──▶ Head
//	   └────────────── Pack: a few events, the hashes around them, the head ──────────────┘
//
// It trusts nothing that it reads. What is wrong is a Fault, which has a name that scripts can rely on and a sentence for people.
package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// FaultName says what sort of thing is wrong.
type FaultName string

// The names of faults.
const (
	HeadForged       FaultName = "head_forged"       // not signed by the key it should be signed by, or its text was changed
	HeadMismatch     FaultName = "head_mismatch"     // the events do not make the root that was signed
	EventChanged     FaultName = "event_changed"     // a record is not the one that its leaf hash is over
	EventMissing     FaultName = "event_missing"     // a position has no event
	EventsReordered  FaultName = "events_reordered"  // positions or versions are not in their order
	EventMisplaced   FaultName = "event_misplaced"   // an event does not belong to what the pack is about
	StreamGap        FaultName = "stream_gap"        // a version of a stream is left out
	LogTruncated     FaultName = "log_truncated"     // the log is shorter than a head says
	HistoryRewritten FaultName = "history_rewritten" // two heads contradict each other
	TileChanged      FaultName = "tile_changed"      // stored inner hashes are not those of the events
	ManifestForged   FaultName = "manifest_forged"   // what the pack says it holds is not what was signed when it was made
	ManifestUnsigned FaultName = "manifest_unsigned" // nobody has signed that the pack holds everything it should
	ProofMissing     FaultName = "proof_missing"     // what is there does not reach as far as was asked: there is more to ask for
	PackMalformed    FaultName = "pack_malformed"    // cannot be read, or says one thing here and another there
	OriginDiffers    FaultName = "origin_differs"    // a head of another log
)

// Fault is one thing that is wrong.
type Fault struct {
	Name     FaultName `json:"name"`
	Position int64     `json:"position,omitempty"` // where, if that can be told
	Text     string    `json:"text"`
}

func (f *Fault) Error() string { return string(f.Name) + ": " + f.Text }

func fault(name FaultName, position int64, format string, args ...any) *Fault {
	return &Fault{Name: name, Position: position, Text: fmt.Sprintf(format, args...)}
}

// AsFault finds the fault in an error; any other error is a malformed input.
func AsFault(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return fault(PackMalformed, 0, "%v", err)
}

// Record is what a verifier needs to know of an event's canonical bytes. Ids are text: nothing is decided by their value but equality.
type Record struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Stream     string          `json:"stream"`
	Version    int             `json:"version"`
	Workspace  string          `json:"workspace"`
	Tenant     string          `json:"tenant"`
	RecordedAt time.Time       `json:"recordedAt"`
	Payload    json.RawMessage `json:"payload"`
}

// ParseRecord reads an event's canonical bytes.
func ParseRecord(record []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(record, &r); err != nil {
		return r, fmt.Errorf("read record: %w", err)
	}
	if r.ID == "" || r.Name == "" || r.Stream == "" || r.Version < 1 {
		return r, errors.New("read record: it lacks an id, a name, a stream or a version")
	}
	return r, nil
}

// Accumulator computes the roots of a growing log from its leaves, in order and in little memory.
type Accumulator struct {
	size  int64
	right []tlog.Hash // roots of the complete subtrees, the largest first
}

// NewAccumulator begins after a prefix of size events, whose complete subtrees have the given roots, the largest first: one for each bit
// that is set in size. The roots are checked by comparing Root with a head.
func NewAccumulator(size int64, roots []tlog.Hash) *Accumulator {
	return &Accumulator{size: size, right: append([]tlog.Hash(nil), roots...)}
}

// Add appends a leaf.
func (a *Accumulator) Add(leaf tlog.Hash) {
	h := leaf
	for s := a.size; s&1 == 1; s >>= 1 {
		h = tlog.NodeHash(a.right[len(a.right)-1], h)
		a.right = a.right[:len(a.right)-1]
	}
	a.right = append(a.right, h)
	a.size++
}

// Size is how many leaves have been added.
func (a *Accumulator) Size() int64 { return a.size }

// Root is the root over all leaves so far; there must be one.
func (a *Accumulator) Root() tlog.Hash {
	h := a.right[len(a.right)-1]
	for i := len(a.right) - 2; i >= 0; i-- {
		h = tlog.NodeHash(a.right[i], h)
	}
	return h
}
