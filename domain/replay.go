package domain

import (
	"time"

	"github.com/google/uuid"
)

// ReplayTime is how long a preview of replays may be confirmed.
const ReplayTime = 15 * time.Minute

// RefusedAttempt is a start attempt that left a receipt of its own, as its stream tells it. Rules:
//
//  1. What was blocked or found the connection busy can be replayed; what joined a run has one.
//  2. It is replayed at most once, by whoever comes first. The replay is an attempt of its own, and if it is refused it can be replayed in turn.
//  3. What must never run twice (a scheduled backup, a restore) is not replayed: whoever asks for it again says so themselves.
type RefusedAttempt struct {
	AttemptFacts
	Outcome  Outcome
	Reason   ReasonCode
	Replayed AttemptReplayed
}

// AttemptReplayed says that a refused attempt was tried again, as another attempt.
type AttemptReplayed struct {
	Attempt uuid.UUID `json:"attempt"` // the refused one
	Replay  uuid.UUID `json:"replay"`  // the attempt that it was tried again as
	Preview uuid.UUID `json:"preview"`
	By      ActorRef  `json:"by"`
	// With is the refused attempt that asked for the same work and was replayed in place of this one; zero when it is this one.
	With uuid.UUID `json:"with,omitzero"`
}

// EventName implements Event.
func (AttemptReplayed) EventName() string { return "AttemptReplayed" }

// Evolve implements State.
func (a RefusedAttempt) Evolve(e Event) RefusedAttempt {
	switch e := e.(type) {
	case StartBlocked:
		a.AttemptFacts, a.Outcome, a.Reason = e.AttemptFacts, IsBlocked, e.Reason
	case ScopeBusy:
		a.AttemptFacts, a.Outcome = e.AttemptFacts, Busy
	case RunDeduped:
		a.AttemptFacts, a.Outcome = e.AttemptFacts, Deduped
	case AttemptReplayed:
		a.Replayed = e
	}
	return a
}

// Exists says whether the attempt left a receipt here.
func (a RefusedAttempt) Exists() bool { return a.Outcome != "" }

// ReplayAttempt is the id of the attempt as which a preview replays a refused one: confirming twice is one attempt.
func ReplayAttempt(preview, refused uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(preview, refused[:])
}

// Replay records that the attempt is tried again. Saying the same again adds nothing.
func (a RefusedAttempt) Replay(e AttemptReplayed) ([]Event, error) {
	switch {
	case !a.Exists():
		return nil, ErrNotFound()
	case a.Replayed.Replay == e.Replay:
		return nil, nil
	case a.Replayed.Replay != uuid.Nil:
		return nil, ErrReplayed()
	}
	if err := a.Replayable(); err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

// Replayable says why attempts like this one are never replayed; nil when they are.
func (a RefusedAttempt) Replayable() error {
	switch {
	case OperationByType(a.Operation).Rule == Strict:
		return conflict("replay_strict", "Scheduled backups and restores are not replayed. Start it again on purpose.")
	case a.Outcome != IsBlocked && a.Outcome != Busy:
		return conflict("replay_joined", "It joined a run, so there is nothing to replay.")
	}
	return nil
}

// ErrReplayed is the answer to replaying an attempt that somebody has replayed before.
func ErrReplayed() *Refusal {
	return conflict("replayed_already", "It was replayed already. Nothing was started.")
}
