package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// What is parked and what waits for a rebuild is said, and keeps nobody from being served; with the owner's URL serve rebuilds by itself.
func TestReadyzSaysWhatIsParkedAndWhatWaits(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	owner := db.OwnerPool(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	a, err := newApp(t.Context(), options{databaseURL: db.AppURL, ownerURL: db.OwnerURL, lazyDisk: true, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	exec(`insert into followers (projection, version) values ('runs', 7), ('attempts', 1)`)
	exec(`insert into parked (projection, stream, position, cause) values ('attempts', gen_random_uuid(), 1, 'a fault')`)
	faults := a.ready(t.Context())
	for name, want := range map[string]string{
		"parked":   "attempts has 1 parked events, the oldest at position 1; `tenantpilot projections` says why",
		"versions": "run `tenantpilot rebuild`: the tables hold another version of runs",
	} {
		var n notice
		if !errors.As(faults[name], &n) || !n.StillReady() || n.Error() != want {
			t.Errorf("%s: got %v, want the notice %q", name, faults[name], want)
		}
	}
	if faults["database"] != nil || faults["projections"] != nil {
		t.Errorf("got %v", faults)
	}

	a.options.ownerURL = ""
	a.rebuildStale(t.Context())
	if faults := a.ready(t.Context()); faults["versions"] == nil {
		t.Error("rebuilt without the owner's URL")
	}
	a.options.ownerURL = db.OwnerURL
	a.rebuildStale(t.Context())
	if faults := a.ready(t.Context()); faults["versions"] != nil {
		t.Errorf("after the rebuild: %v", faults["versions"])
	}
}

// A version that serve rebuilds to by itself and that lacks events is refused: the old rows go on serving, and that is said.
func TestServeKeepsTheOldRowsWhenTheNewOnesLackEvents(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	var said strings.Builder
	a, err := newApp(t.Context(), options{
		databaseURL: db.AppURL, ownerURL: db.OwnerURL, lazyDisk: true, log: slog.New(slog.NewTextHandler(&said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	_, err = db.OwnerPool(t).Exec(t.Context(), `with e as (
			insert into events (seq, stream, version, id, name, workspace, recorded_at, meta, payload, leaf)
			values (1, gen_random_uuid(), 1, gen_random_uuid(), 'RunStarted', gen_random_uuid(), now(), '{}', '{"of":"another program"}', sha256('')))
		, l as (insert into log (position, seq) values (1, 1)), f as (insert into followers (projection, version) values ('runs', 7))
		insert into checkpoint_moves (projection, version, after, position) values ('runs', 7, 0, 1)`)
	if err != nil {
		t.Fatal(err)
	}
	a.rebuildStale(t.Context())
	faults := a.ready(t.Context())
	if n := faults["versions"]; n == nil || !strings.Contains(n.Error(), "; the rebuild of runs was refused, `tenantpilot projections` says why") {
		t.Errorf("readyz says %v", n)
	}
	if faults["parked"] != nil {
		t.Errorf("the new version's parked events were handed over: %v", faults["parked"])
	}
	if !strings.Contains(said.String(), "its old rows go on serving") || !strings.Contains(said.String(), "1 events, the first at position 1") {
		t.Errorf("the log says %s", said.String())
	}
	var out strings.Builder
	if err := listProjections(t.Context(), a.pool, &out); err != nil || !strings.Contains(out.String(), "at 1 of 1, was refused: ") {
		t.Errorf("projections: %v\n%s", err, out.String())
	}
}

// cutter cancels when something is written.
type cutter struct{ cancel func() }

func (c cutter) Write(p []byte) (int, error) {
	c.cancel()
	return len(p), nil
}

// TestAnInterruptedRebuildSaysHowItGoesOn: when it ends, and in what is listed until it is run again.
func TestAnInterruptedRebuildSaysHowItGoesOn(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	_, err := db.OwnerPool(t).Exec(t.Context(), `with f as (insert into followers (projection, version) values ('directory', 1))
		insert into checkpoint_moves (projection, version, after, position) values ('directory', 1, 0, 0)`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = rebuildCommandOptions{}.run(ctx, db.OwnerURL, []string{"directory"}, io.Discard, cutter{cancel})
	if err == nil || err.Error() != "interrupted at directory: run it again, and it goes on where it was" {
		t.Errorf("cut off: %v", err)
	}
	var out, done strings.Builder
	if err := listProjections(t.Context(), db.Pool(t), &out); err != nil {
		t.Fatal(err)
	}
	if want := "at 0 of 0, has not ended: if nobody is at it, `tenantpilot rebuild directory` goes on\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %s want %s", out.String(), want)
	}
	if err := (rebuildCommandOptions{}).run(t.Context(), db.OwnerURL, []string{"directory"}, &done, io.Discard); err != nil || !strings.Contains(done.String(), "swapped in") {
		t.Errorf("run again: %v %s", err, done.String())
	}
}

func TestProgressIsALine(t *testing.T) {
	t.Parallel()
	got := progressLine(projections.Progress{
		Projection: "runs", Phase: "building", Position: 240_000, Target: 1_000_000, Rate: 120_000, ETA: 6 * time.Second, Resumed: true,
	})
	if want := "runs: building 240000 of 1000000, 120000 events/s, 6s to go (resumed)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := progressLine(projections.Progress{Projection: "runs", Phase: "swapping"}); !strings.HasSuffix(got, "runs: swapping") {
		t.Errorf("got %q", got)
	}
}
