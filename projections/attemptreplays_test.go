package projections_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// replay replays a refused attempt as the fixture's operator, from a preview of theirs.
func (f *fixture) replay(t testing.TB, attempt uuid.UUID) commands.StartResult {
	t.Helper()
	preview := projections.ReplayPreview{ID: uuid.New(), Items: []projections.ReplayItem{{Attempt: attempt}}}
	preview, err := projections.NewReader(f.pool).KeepReplayPreview(t.Context(), f.operator, preview)
	must(t, err)
	r, err := f.commands.Replay(t.Context(), commands.Replay{Actor: f.operator, Preview: preview.ID, Attempt: attempt})
	must(t, err)
	return r
}

func TestReplayedAttemptsAreNoLongerOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	run := f.start(t, domain.OpGroupsSync)
	first, second := f.start(t, domain.OpRoleDefinitionsSync), f.start(t, domain.OpRoleDefinitionsSync)
	if first.Outcome != domain.Busy || second.Outcome != domain.Busy {
		t.Fatalf("outcomes %s and %s", first.Outcome, second.Outcome)
	}
	again := f.replay(t, first.Attempt)
	f.settleAll(t)
	read, ctx := projections.NewReader(f.pool), t.Context()
	groups, err := read.GroupAttempts(ctx, f.operator, projections.AttemptFilter{})
	must(t, err)
	if len(groups) != 1 || groups[0].Attempts != 3 || groups[0].Open != 2 || len(groups[0].Where) != 1 {
		t.Fatalf("groups: %+v", groups)
	}
	if w := groups[0].Where[0]; w.Connection != f.conn.Number || w.Open != 2 || w.Newest != again.Attempt || !slices.Equal(w.Operations, []domain.OperationType{domain.OpRoleDefinitionsSync}) || groups[0].First.After(groups[0].Newest) {
		t.Errorf("place: %+v", w)
	}
	open, _, _, err := read.ListAttempts(ctx, f.operator, projections.AttemptFilter{Open: true})
	must(t, err)
	if len(open) != 2 || open[0].Attempt != again.Attempt || open[1].Attempt != second.Attempt {
		t.Errorf("%d attempts are open", len(open))
	}
	if open[0].ReplayOf == nil || *open[0].ReplayOf != first.Attempt || open[1].ReplayOf != nil {
		t.Errorf("replays of %v and %v", open[0].ReplayOf, open[1].ReplayOf)
	}
	told, _, _, err := read.ListAudit(ctx, f.operator, projections.AuditFilter{Attempt: &first.Attempt, Limit: 10})
	must(t, err)
	if len(told) != 2 || told[0].Event != "AttemptReplayed" || told[0].ObjectKind != projections.ObjectAttempt {
		t.Errorf("the audit log tells of the refused attempt: %+v", told)
	}
	chosen, _, _, err := read.ListAttempts(ctx, f.operator, projections.AttemptFilter{Attempts: []uuid.UUID{first.Attempt, uuid.New()}})
	must(t, err)
	if len(chosen) != 1 || chosen[0].Replay == nil || *chosen[0].Replay != again.Attempt {
		t.Errorf("chosen: %+v", chosen)
	}
	done, err := read.DoneSince(ctx, f.operator, []string{run.Identity, again.Identity}, time.Now().Add(-time.Hour))
	must(t, err)
	if len(done) != 1 || done[0].Number != run.RunNumber || !done[0].Active {
		t.Errorf("done since: %+v", done)
	}
	if done, err = read.DoneSince(ctx, f.operator, []string{run.Identity}, time.Now().Add(time.Hour)); err != nil || len(done) != 0 {
		t.Errorf("done later than now: %+v, %v", done, err)
	}
}

func TestAPreviewBelongsToItsMakerAndExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	read, ctx := projections.NewReader(f.pool), t.Context()
	items := []projections.ReplayItem{{Attempt: uuid.New(), Same: []uuid.UUID{uuid.New()}, Identity: "x", At: time.Now().UTC()}}
	kept, err := read.KeepReplayPreview(ctx, f.operator, projections.ReplayPreview{ID: uuid.New(), Items: items})
	must(t, err)
	if left := time.Until(kept.Until); left < 14*time.Minute || left > 16*time.Minute || len(kept.Digest) != 64 || kept.Items[0].Same[0] != items[0].Same[0] {
		t.Errorf("kept %+v", kept)
	}
	colleague := f.operator
	colleague.Ref.ID = uuid.New()
	elsewhere := f.operator
	elsewhere.Workspace = uuid.New()
	for _, a := range []domain.Actor{colleague, elsewhere} {
		if _, err := read.ConfirmReplayPreview(ctx, a, kept.ID); !errors.Is(err, projections.ErrNoRow) {
			t.Errorf("another confirms it: %v", err)
		}
	}
	_, err = f.pool.Exec(ctx, `update replay_previews set until = clock_timestamp() - interval '1 minute'`)
	must(t, err)
	late, err := read.ConfirmReplayPreview(ctx, f.operator, kept.ID)
	must(t, err)
	if !late.Expired || late.Confirmed != nil {
		t.Errorf("confirmed too late: %+v", late)
	}
	_, err = f.pool.Exec(ctx, `update replay_previews set until = clock_timestamp() - interval '2 days'`)
	must(t, err)
	if _, err = read.KeepReplayPreview(ctx, f.operator, projections.ReplayPreview{ID: uuid.New(), Items: items}); err != nil {
		t.Error(err)
	}
	if _, err = read.ReplayPreview(ctx, f.operator, kept.ID); !errors.Is(err, projections.ErrNoRow) {
		t.Errorf("an old preview is kept: %v", err)
	}
}
