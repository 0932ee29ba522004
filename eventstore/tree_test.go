package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// signer is a stand-in for the log key: it marks what it signs.
type signer struct{ mark string }

func (s signer) SignHead(size int64, root tlog.Hash, _ time.Time) (string, error) {
	return fmt.Sprintf("%s %d %s", s.mark, size, root), nil
}

func (s signer) OpenHead(note string) (size int64, root tlog.Hash, err error) {
	var mark, hash string
	if _, err = fmt.Sscan(note, &mark, &size, &hash); err == nil {
		root, err = tlog.ParseHash(hash)
	}
	if err == nil && mark != s.mark {
		err = errors.New("another key")
	}
	return size, root, err
}

// leafOf computes in SQL the leaf of an event that numbered makes, under a name.
func leafOf(name string) string {
	return `sha256('\x00'::bytea || format('{"id":"%s","meta":{"actor":{"kind":"system"}},"name":"` + name + `","payload":{"name":"Contoso"},'
		'"recordedAt":"2026-11-21T00:00:00.000000Z","stream":"%s","tenant":"%s","version":1,"workspace":"%2$s"}',
		id, stream, '00000000-0000-0000-0000-000000000000')::bytea)`
}

// numbered puts n numbered events with their leaves into the log by hand, behind those that are there.
func numbered(tb testing.TB, pool *pgxpool.Pool, n int) {
	tb.Helper()
	_, err := pool.Exec(context.Background(), `
		with drawn as materialized (
			select nextval('events_seq') as seq, gen_random_uuid() as stream, gen_random_uuid() as id from generate_series(1, $1)
		), e as (
			insert into events (seq, stream, version, id, name, workspace, recorded_at, meta, payload, leaf)
			select seq, stream, 1, id, 'TenantRenamed', stream, '2026-11-21 00:00 UTC', '{"actor":{"kind":"system"}}', '{"name":"Contoso"}', `+leafOf("TenantRenamed")+`
			from drawn
		)
		insert into log (position, seq) select (select head from sequencer) + row_number() over (order by seq), seq from drawn`, n)
	if err != nil {
		tb.Fatal(err)
	}
}

// reference is the same tree, computed in memory from the stored leaves.
func reference(tb testing.TB, t eventstore.Tree, size int64) tlog.HashReader {
	tb.Helper()
	leaves, err := t.Leaves(context.Background(), 1, size)
	if err != nil || int64(len(leaves)) != size {
		tb.Fatalf("%d leaves, %v", len(leaves), err)
	}
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for n, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(n), leaf, reader)
		if err != nil {
			tb.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	return reader
}

func TestTheTreeIsTheOneOfTlog(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s := eventstore.Open(db.Pool(t), eventstore.Config{})
	t.Cleanup(s.Close)
	const size = 256*256 + 300 // a complete tile of level 1, and more
	numbered(t, s.Pool(), size)
	keeper := eventstore.NewTreeKeeper(s, eventstore.TreeConfig{Signer: signer{"ours"}})
	if err := keeper.Sign(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := keeper.Status(); got.Log != size || got.Tiled != 257*256 || got.Head != size || got.Forked {
		t.Fatalf("status %+v", got)
	}
	ctx, tree := t.Context(), eventstore.OpenTree(db.AuditorPool(t))
	want := reference(t, tree, size)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's
	sizes := []int64{1, 2, 255, 256, 257, 512, 65535, 65536, 65537, size}
	for range 20 {
		sizes = append(sizes, 1+random.Int64N(size))
	}
	for _, n := range sizes {
		root, err := tlog.TreeHash(n, want)
		got, gotErr := tree.Root(ctx, n)
		if err != nil || gotErr != nil || got != root {
			t.Fatalf("root of %d: %s, %v", n, got, gotErr)
		}
		position := 1 + random.Int64N(n)
		proof, err := tree.ProveInclusion(ctx, position, n)
		leaves, _ := tree.Leaves(ctx, position, position)
		if err != nil || tlog.CheckRecord(proof, n, root, position-1, leaves[0]) != nil {
			t.Fatalf("position %d of %d: %v", position, n, err)
		}
		from := 1 + random.Int64N(n)
		old, _ := tlog.TreeHash(from, want)
		consistent, err := tree.ProveConsistency(ctx, from, n)
		if err != nil || tlog.CheckTree(consistent, n, root, from, old) != nil {
			t.Fatalf("%d in %d: %v", from, n, err)
		}
		whole, err := tree.SpanHashes(ctx, []eventstore.Span{{Lo: 0, Hi: n}})
		if err != nil || whole[0] != root {
			t.Fatalf("span of %d: %v", n, err)
		}
	}
	if _, err := tree.Root(ctx, size+1); !errors.Is(err, eventstore.ErrNoTree) {
		t.Errorf("root beyond the log: %v", err)
	}
	if _, err := tree.ProveInclusion(ctx, 0, size); !errors.Is(err, eventstore.ErrNoTree) {
		t.Errorf("position 0: %v", err)
	}
}

func TestTheKeeperSignsWhenItIsDueAndOnlyTheSameHistory(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s := eventstore.Open(db.Pool(t), eventstore.Config{})
	t.Cleanup(s.Close)
	cfg := eventstore.TreeConfig{Signer: signer{"ours"}, Every: 200 * time.Millisecond}
	keepers := []*eventstore.TreeKeeper{eventstore.NewTreeKeeper(s, cfg), eventstore.NewTreeKeeper(s, cfg)}
	for _, k := range keepers {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("keeper: %v", err)
			}
		})
	}
	tree := eventstore.OpenTree(s.Pool())
	for _, n := range []int64{300, 600} {
		numbered(t, s.Pool(), 300)
		eventually(t, fmt.Sprintf("a head of %d is signed", n), func() bool {
			h, err := tree.HeadAt(t.Context(), n)
			return err == nil && h.Size == n
		})
	}
	// A head that another key has signed stops nobody.
	if _, err := s.Pool().Exec(t.Context(), `insert into tree_heads (size, root, note) values (100000, sha256(''), 'theirs 100000 x')`); err != nil {
		t.Fatal(err)
	}
	numbered(t, s.Pool(), 300)
	if err := keepers[0].Sign(t.Context()); err != nil {
		t.Fatal(err)
	}
	heads, err := tree.Heads(t.Context(), 0, 10)
	if err != nil || len(heads) != 4 || heads[1].Size != 900 {
		t.Fatalf("heads %+v, %v", heads, err)
	}
	// History is changed below the program: nothing is signed any more, and it is said.
	super := db.SuperuserPool(t)
	for _, statement := range []string{
		`alter table events disable trigger all`, `update events set leaf = sha256('x') where seq = (select seq from log where position = 800)`,
		`alter table events enable always trigger events_append_only`,
	} {
		if _, err := super.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	numbered(t, s.Pool(), 10)
	if err := keepers[1].Sign(t.Context()); err == nil || !strings.Contains(err.Error(), "history was changed") {
		t.Fatalf("a head was signed over a changed history: %v", err)
	}
	eventually(t, "the keepers say so", func() bool { return keepers[0].Status().Forked || keepers[1].Status().Forked })
}

// TestTheKeeperLooksAtOldEventsAgain: a head is over leaves, so only who computes them anew notices an event that was changed beneath its own.
func TestTheKeeperLooksAtOldEventsAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s := eventstore.Open(db.Pool(t), eventstore.Config{})
	t.Cleanup(s.Close)
	const size = 4500 // three slices
	numbered(t, s.Pool(), size)
	keeper, super := eventstore.NewTreeKeeper(s, eventstore.TreeConfig{Signer: signer{"ours"}}), db.SuperuserPool(t)
	must := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if _, err := super.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	round := func() (err error) {
		for range 4 {
			if err = keeper.Sign(t.Context()); err != nil {
				break
			}
		}
		return err
	}
	if err := round(); err != nil {
		t.Fatal(err)
	}
	must(`alter table events disable trigger all`)
	const at = ` where seq = (select seq from log where position = 3000)`
	for name, change := range map[string][2]string{
		"a payload": {`update events set payload = '{"name":"Fabrikam"}'` + at, `update events set payload = '{"name":"Contoso"}'` + at},
		"a name":    {`update events set name = 'TenantHeld'` + at, `update events set name = 'TenantRenamed'` + at},
		"a name and the leaf with it": {
			`update events set name = 'TenantHeld', leaf = ` + leafOf("TenantHeld") + at, `update events set name = 'TenantRenamed', leaf = ` + leafOf("TenantRenamed") + at,
		},
	} {
		must(change[0])
		if err := round(); err == nil || !keeper.Status().Forked || keeper.Status().Changed != 3000 {
			t.Errorf("%s was changed, and the keeper says %v, %+v", name, err, keeper.Status())
		}
		numbered(t, s.Pool(), 10)
		_ = keeper.Sign(t.Context())
		if got := keeper.Status(); got.Head == got.Log {
			t.Errorf("%s was changed, and a head is signed over it", name)
		}
		must(change[1])
		if err := round(); err != nil || keeper.Status().Forked {
			t.Errorf("%s is what it was, and the keeper says %v", name, err)
		}
	}
}

// TestARunningKeeperCountsWhatIsOutOfOrder breaks the order of what is new, one way after another.
func TestARunningKeeperCountsWhatIsOutOfOrder(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s := eventstore.Open(db.Pool(t), eventstore.Config{})
	t.Cleanup(s.Close)
	numbered(t, s.Pool(), 3)
	keeper := eventstore.NewTreeKeeper(s, eventstore.TreeConfig{Every: 200 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("keeper: %v", err)
		}
	})
	checked := func(what string, to, faults int64) {
		t.Helper()
		eventually(t, what+": the order is checked", func() bool { return keeper.Status().OrderTo == to })
		if got := keeper.Status().OrderFaults; got != faults {
			t.Errorf("%s: %d faults are counted, want %d", what, got, faults)
		}
	}
	checked("what was there before", 3, 0)
	numbered(t, s.Pool(), 2)
	checked("a sound log", 5, 0)
	for i, c := range []struct {
		what   string
		breaks string
		to     int64
	}{
		{"a stream that goes backwards", `with e as (
			insert into events (seq, stream, version, id, name, workspace, recorded_at, meta, payload, leaf)
			select 1000 + v, '00000000-0000-0000-0000-000000000001', v, gen_random_uuid(), 'TenantRenamed', gen_random_uuid(), now(), '{}', '{}', sha256('')
			from generate_series(1, 2) v)
			insert into log (position, seq) values (6, 1002), (7, 1001)`, 7},
		{"a skipped position", `with e as (
			insert into events (seq, stream, version, id, name, workspace, recorded_at, meta, payload, leaf)
			select 2000, gen_random_uuid(), 1, gen_random_uuid(), 'TenantRenamed', gen_random_uuid(), now(), '{}', '{}', sha256(''))
			insert into log (position, seq) values (9, 2000)`, 9},
		{"a position without an event", `insert into log (position, seq) values (10, 3000)`, 10},
	} {
		if _, err := s.Pool().Exec(t.Context(), c.breaks); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		checked(c.what, c.to, int64(i+1))
	}
}

func TestNobodyChangesTheTree(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s := eventstore.Open(db.Pool(t), eventstore.Config{})
	t.Cleanup(s.Close)
	numbered(t, s.Pool(), 300)
	if err := eventstore.NewTreeKeeper(s, eventstore.TreeConfig{Signer: signer{"ours"}}).Sign(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`update tree_heads set root = sha256('')`, `delete from tree_heads`, `truncate tree_heads`,
		`update tree_tiles set root = sha256('')`, `delete from tree_tiles`, `truncate tree_tiles`,
	} {
		refused(t, db.Pool(t), statement)
		refused(t, db.AuditorPool(t), statement)
		refused(t, db.OwnerPool(t), statement)
		refused(t, db.SuperuserPool(t), statement, `set local session_replication_role = replica`)
	}
	refused(t, db.AuditorPool(t), `insert into tree_heads (size, root, note) values (1, sha256(''), '')`)
}

func TestCheckOrderNamesEveryFault(t *testing.T) {
	t.Parallel()
	for kind, breaks := range map[string][]string{
		"":                       nil,
		"position_skipped":       {`delete from log where position = 2`},
		"stream_backwards":       {`update log set seq = -1 where position = 1`, `update log set seq = (select min(seq) from events) where position = 2`, `update log set seq = (select max(seq) from events) where position = 1`},
		"position_without_event": {`delete from events where version = 2`},
		"event_unaccounted":      {`delete from log where position = 3`},
		"counts_differ":          {`insert into pending values (999, '{999}')`},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			s := openOn(t, db, eventstore.Config{})
			stream := create(t, s)
			var last eventstore.Receipt
			for range 2 {
				var err error
				if last, err = rename(s, eventstore.Request{At: at}, stream, "B"); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "all have positions", func() bool {
				p, err := s.PositionOf(t.Context(), last.Seq)
				return err == nil && p == 3
			})
			if kind == "stream_backwards" { // of two events only
				breaks = append([]string{`delete from log where position = 3`, `delete from events where version = 3`}, breaks...)
			}
			super := db.SuperuserPool(t)
			for _, statement := range append([]string{`alter table events disable trigger all`, `alter table log disable trigger all`}, breaks...) {
				if _, err := super.Exec(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			report, err := eventstore.CheckOrder(t.Context(), db.AuditorPool(t))
			if err != nil {
				t.Fatal(err)
			}
			if kind == "" {
				if len(report.Faults) != 0 || report.Numbered != 3 || report.Streams != 1 {
					t.Errorf("a sound log: %+v", report)
				}
				return
			}
			for _, f := range report.Faults {
				if f.Kind == kind && f.Text != "" {
					return
				}
			}
			t.Errorf("no %s in %+v", kind, report)
		})
	}
}
