package main

import (
	"errors"
	"strings"
	"testing"

	"tenantpilot/migrations/pgtest"
)

// TestTheAuditorIsToldWhatIsSetAside: an answer from read models that could not take in all of the log is given, with a note, and is no success.
func TestTheAuditorIsToldWhatIsSetAside(t *testing.T) {
	for _, c := range []struct {
		parkedBy string
		code     int
	}{{"", exitOK}, {"audit", exitError}, {"attempts", exitError}, {"runs", exitOK}} {
		db := pgtest.New(t)
		_, err := db.OwnerPool(t).Exec(t.Context(), `with e as (
				insert into events (seq, stream, version, id, name, workspace, recorded_at, meta, payload, leaf)
				values (1, gen_random_uuid(), 1, gen_random_uuid(), 'RunStarted', gen_random_uuid(), now(), '{}', '{}', sha256('')))
			, l as (insert into log (position, seq) values (1, 1))
			, f as (insert into followers (projection, version) values ('audit', 1), ('attempts', 1))
			insert into checkpoint_moves (projection, version, after, position) values ('audit', 1, 0, 1), ('attempts', 1, 0, 1)`)
		if err != nil {
			t.Fatal(err)
		}
		if c.parkedBy != "" {
			if _, err := db.OwnerPool(t).Exec(t.Context(), `insert into parked (projection, stream, position, cause) values ($1, gen_random_uuid(), 1, 'a fault')`, c.parkedBy); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("TENANTPILOT_DATABASE_URL", db.AuditorURL)
		var out, notes strings.Builder
		root := newRoot()
		root.SetArgs([]string{"audit", "events"})
		root.SetOut(&out)
		root.SetErr(&notes)
		var coded *exitCode
		code := exitOK
		if err := root.ExecuteContext(t.Context()); errors.As(err, &coded) {
			code = coded.code
		} else if err != nil {
			t.Fatal(err)
		}
		if code != c.code || strings.Contains(notes.String(), "set aside, 1 event of the log") != (code == exitError) || !strings.Contains(out.String(), "POSITION") {
			t.Errorf("parked by %q: exit code %d, %s%s", c.parkedBy, code, notes.String(), out.String())
		}
	}
}
