package view

import "testing"

func TestBadges(t *testing.T) {
	axes := func(i int) func(string) Badge {
		return func(value string) Badge {
			return [3]Axes{{Lifecycle: value}, {Consent: value}, {Verification: value}}[i].Badges()[i]
		}
	}
	tests := []struct {
		name string
		of   func(string) Badge
		want map[string]Tone
	}{
		{"start outcome", StartBadge, map[string]Tone{"accepted": Positive, "deduped": Neutral, "scope_busy": Wait, "blocked": Stop}},
		{"execution", ExecutionBadge, map[string]Tone{"queued": Neutral, "running": Active, "waiting_external_approval": Wait, "completed": Neutral}},
		{"outcome", OutcomeBadge, map[string]Tone{"succeeded": Positive, "partially_succeeded": Warning, "failed": Negative, "blocked": Stop, "cancelled": Neutral}},
		{"cancel", CancelBadge, map[string]Tone{"requested": Wait, "cancelling": Wait, "cancelled": Neutral}},
		{"item", ItemBadge, map[string]Tone{"pending": Neutral, "confirmed": Positive, "refused": Negative, "skipped": Neutral, "unknown": Warning}},
		{"summary", SummaryBadge, map[string]Tone{"missing": Stop, "configured": Warning, "default_configured": Positive}},
		{"lifecycle", axes(0), map[string]Tone{"enabled": Positive, "disabled": Stop}},
		{"consent", axes(1), map[string]Tone{"unknown": Neutral, "required": Wait, "granted": Positive, "failed": Negative, "revoked": Stop}},
		{"verification", axes(2), map[string]Tone{"unknown": Neutral, "pending": Active, "healthy": Positive, "degraded": Warning, "blocked": Stop, "error": Negative}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for value, tone := range tt.want {
				b := tt.of(value)
				if b.Tone != tone {
					t.Errorf("%s: got tone %q, want %q", value, b.Tone, tone)
				}
				if b.Word == "" || b.Word == value {
					t.Errorf("%s: got word %q, want one for people", value, b.Word)
				}
				if b.Icon == "" {
					t.Errorf("%s: got no icon", value)
				}
			}
			strange := tt.of("from_the_future")
			if strange.Word != "from_the_future" || strange.Tone != Neutral || strange.Icon == "" {
				t.Errorf("unknown value: got %+v, want the raw word in neutral", strange)
			}
		})
	}
}

func TestRunBadgePrefersTheOutcome(t *testing.T) {
	if got := RunBadge("completed", "failed").Word; got != "Failed" {
		t.Errorf("ended run: got %q, want Failed", got)
	}
	if got := RunBadge("running", "").Word; got != "Running" {
		t.Errorf("running run: got %q, want Running", got)
	}
}

func TestAxesAreThreeInOrder(t *testing.T) {
	badges := Axes{Lifecycle: "enabled", Consent: "granted"}.Badges()
	want := [3]string{"Lifecycle: enabled", "Consent: granted", "Verification: not yet known"}
	for i, b := range badges {
		if got := b.Sentence(); got != want[i] {
			t.Errorf("badge %d: got %q, want %q", i, got, want[i])
		}
	}
}
