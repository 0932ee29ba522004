package domain

import (
	"testing"

	"github.com/google/uuid"
)

func TestReplayOfRefusedAttempts(t *testing.T) {
	t.Parallel()
	facts := AttemptFacts{Attempt: sampleID("refused"), Operation: OpGroupsSync, Tenant: sampleTenant().ID, Connection: 7}
	strict := facts
	strict.Operation = OpBackupScheduled
	restore := facts
	restore.Operation = OpRestoreExecute
	first := AttemptReplayed{Replay: sampleID("replay"), Preview: sampleID("preview"), By: person("ada")}
	other := AttemptReplayed{Replay: sampleID("another"), Preview: sampleID("second"), By: person("grace")}
	for name, c := range map[string]struct {
		events []Event
		code   string
		adds   int
	}{
		"blocked":          {[]Event{StartBlocked{AttemptFacts: facts, Reason: ReasonProviderConsentMissing}}, "", 1},
		"busy":             {[]Event{ScopeBusy{AttemptFacts: facts}}, "", 1},
		"joined":           {[]Event{RunDeduped{AttemptFacts: facts}}, "replay_joined", 0},
		"nothing":          {nil, "not_found", 0},
		"scheduled":        {[]Event{StartBlocked{AttemptFacts: strict}}, "replay_strict", 0},
		"restore":          {[]Event{StartBlocked{AttemptFacts: restore}}, "replay_strict", 0},
		"by another":       {[]Event{StartBlocked{AttemptFacts: facts}, other}, "replayed_already", 0},
		"by the same once": {[]Event{StartBlocked{AttemptFacts: facts}, first}, "", 0},
	} {
		events, err := Fold(RefusedAttempt{}, c.events...).Replay(first)
		code := ""
		if refusal, ok := AsRefusal(err); ok {
			code = refusal.Code
		}
		if code != c.code || len(events) != c.adds {
			t.Errorf("%s: %d events, %v; want %d and %q", name, len(events), err, c.adds, c.code)
		}
	}
}

func TestReplayAttemptFollowsFromPreviewAndAttempt(t *testing.T) {
	t.Parallel()
	p, a := sampleID("preview"), sampleID("attempt")
	if got := ReplayAttempt(p, a).String(); got != "761e528d-a318-521d-9d4e-e162fc132193" {
		t.Errorf("it is %s, another than it was", got)
	}
	seen := map[uuid.UUID]bool{p: true, a: true}
	for _, id := range []uuid.UUID{ReplayAttempt(p, a), ReplayAttempt(a, p), ReplayAttempt(p, p)} {
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
	}
}
