package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// signedLog is a log of 600 events about 20 tenants in a database, with heads at some sizes, and its key.
type signedLog struct {
	db    *pgtest.DB
	store *eventstore.Store
	key   *evidence.Key
	v     logVerification
	heads []string // signed texts, by size
}

const logSize = 600

func newSignedLog(t testing.TB) *signedLog {
	t.Helper()
	l := &signedLog{db: pgtest.New(t)}
	var err error
	if l.key, err = newLogKey("log.example", filepath.Join(t.TempDir(), "log.key")); err != nil {
		t.Fatal(err)
	}
	l.store = eventstore.Open(l.db.Pool(t), eventstore.Config{Poll: 10 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.store.RunSequencer(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		l.store.Close()
	})
	keeper := eventstore.NewTreeKeeper(l.store, eventstore.TreeConfig{Signer: l.key})
	workspace, tenants := uuid.New(), make([]uuid.UUID, 20)
	for n := range logSize {
		var e domain.Event = domain.TenantRenamed{Name: fmt.Sprintf("Contoso %d", n)}
		i := n % len(tenants)
		if n < len(tenants) {
			external := uuid.New()
			tenants[i] = domain.TenantStream(workspace, external)
			e = domain.TenantRegistered{Tenant: tenants[i], Number: int64(n + 1), Workspace: workspace, ExternalID: external, Name: "Contoso"}
		}
		l.add(t, workspace, tenants[i], e)
		if n+1 == 37 || n+1 == 300 || n+1 == 560 || n+1 == logSize {
			l.await(t, int64(n+1))
			if err := keeper.Sign(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	heads, err := eventstore.OpenTree(l.store.Pool()).Heads(t.Context(), 0, 10)
	if err != nil || len(heads) != 4 {
		t.Fatalf("%d heads, %v", len(heads), err)
	}
	for _, h := range heads {
		l.heads = append([]string{h.Note}, l.heads...)
	}
	if l.v.key, err = evidence.ParseVerifier(l.key.Verifier()); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *signedLog) add(t testing.TB, workspace, stream uuid.UUID, e domain.Event) {
	t.Helper()
	request := eventstore.Request{Workspace: workspace, At: time.Now().UTC().Truncate(time.Microsecond)}
	_, err := l.store.Transact(t.Context(), request, func(ctx context.Context, u *eventstore.Unit) error {
		_, _, err := eventstore.Load[domain.Tenant](ctx, u, stream)
		u.About(stream)
		u.Append(stream, e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (l *signedLog) await(t testing.TB, size int64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if head, err := l.store.Head(t.Context()); err == nil && head >= size {
			return
		}
	}
	t.Fatalf("the log did not reach %d", size)
}

func (l *signedLog) outside(t testing.TB, n int) evidence.Head {
	t.Helper()
	h, err := evidence.OpenHead(l.heads[n], l.v.key)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// verify runs statements as a superuser who knows how to get round the triggers, verifies the log, and takes it all back.
func (l *signedLog) verify(t testing.TB, conn *pgx.Conn, v logVerification, statements ...string) verifyReport {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	for _, table := range []string{"events", "log", "tree_heads", "tree_tiles"} {
		statements = append([]string{`alter table ` + table + ` disable trigger all`}, statements...)
	}
	for _, s := range statements {
		if _, err := tx.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	v.tree, v.key = eventstore.OpenTree(tx), l.v.key
	report, err := v.run(t.Context())
	if err != nil {
		t.Fatalf("%q: %v", statements, err)
	}
	return report
}

// at is a condition on events by position.
func at(position int64) string {
	return fmt.Sprintf(`seq = (select seq from log where position = %d)`, position)
}

// rehash makes the stored leaf of a position fit its event again, as a careful forger would; and its tile.
const rehash = `
	update events set leaf = sha256('\x00'::bytea || convert_to('{"id":"' || id || '","meta":' || meta || ',"name":"' || name || '","payload":' || payload ||
		',"recordedAt":"' || to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","stream":"' || stream ||
		'","tenant":"' || coalesce(tenant::text, '00000000-0000-0000-0000-000000000000') || '","version":' || version ||
		',"workspace":"' || workspace || '"}', 'UTF8'))`

const retile = `
	update tree_tiles t set hashes = (
		select string_agg(e.leaf, ''::bytea order by l.position) from log l join events e using (seq)
		where l.position > t.tile * 256 and l.position <= t.tile * 256 + 256
	) where level = 0`

func exchange(a, b int64) []string {
	return []string{
		fmt.Sprintf(`update log set position = -1 where position = %d`, a),
		fmt.Sprintf(`update log set position = %d where position = %d`, a, b),
		fmt.Sprintf(`update log set position = %d where position = -1`, b),
	}
}

func TestTamperingWithTheLogIsCaughtAndNamed(t *testing.T) {
	t.Parallel()
	l := newSignedLog(t)
	conn, err := pgx.Connect(t.Context(), l.db.SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	sound := l.verify(t, conn, logVerification{outside: []evidence.Head{l.outside(t, 1)}})
	if len(sound.Faults) > 0 || sound.Events != logSize || sound.Signed != logSize || sound.Heads != 5 {
		t.Fatalf("a sound log: %+v", sound)
	}
	oneByte := `update events set payload = replace(payload::text, 'Contoso', 'Contosp')::json where `
	secret, err := evidence.GenerateKey("log.example")
	if err != nil {
		t.Fatal(err)
	}
	forger, err := evidence.ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := forger.SignHead(400, l.outside(t, 1).Root, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		do      []string
		outside []int
		want    evidence.FaultName
		at      int64
	}{
		"one byte":                       {[]string{oneByte + at(100)}, nil, evidence.EventChanged, 100},
		"one byte in the unsealed tile":  {[]string{oneByte + at(590)}, nil, evidence.EventChanged, 590},
		"one byte of a leaf":             {[]string{`update events set leaf = set_byte(leaf, 3, get_byte(leaf, 3) # 1) where ` + at(100)}, nil, evidence.EventChanged, 100},
		"one byte, hashed anew":          {[]string{oneByte + at(100), rehash}, nil, evidence.TileChanged, 100},
		"... and the tile":               {[]string{oneByte + at(100), rehash, retile}, nil, evidence.HeadMismatch, 38},
		"the hour":                       {[]string{`update events set recorded_at = recorded_at - interval '1 hour' where ` + at(100)}, nil, evidence.EventChanged, 100},
		"the tenant":                     {[]string{`update events set tenant = null where ` + at(100)}, nil, evidence.EventChanged, 100},
		"an event dropped":               {[]string{`delete from events where ` + at(100)}, nil, evidence.EventMissing, 100},
		"an event and its position":      {[]string{`delete from events where ` + at(100), `delete from log where position = 100`}, nil, evidence.EventMissing, 100},
		"... and the rest moved up":      {[]string{`delete from log where position = 570`, `update log set position = -position where position > 570`, `update log set position = -position - 1 where position < 0`}, nil, evidence.StreamGap, 589},
		"two reordered":                  {exchange(100, 101), nil, evidence.EventsReordered, 100},
		"two reordered, unsealed tile":   {exchange(590, 591), nil, evidence.HeadMismatch, 561},
		"two of a stream reordered":      {exchange(100, 120), nil, evidence.EventsReordered, 0},
		"a tile":                         {[]string{`update tree_tiles set hashes = set_byte(hashes, 99 * 32, get_byte(hashes, 99 * 32) # 1) where level = 0 and tile = 0`}, nil, evidence.TileChanged, 100},
		"a forged head":                  {[]string{fmt.Sprintf(`insert into tree_heads (size, root, note) values (400, sha256(''), '%s')`, forged)}, nil, evidence.HeadForged, 0},
		"a head's text":                  {[]string{`update tree_heads set note = replace(note, E'\n37\n', E'\n38\n') where size = 37`}, nil, evidence.HeadForged, 0},
		"a head's column":                {[]string{`update tree_heads set root = sha256('') where size = 37`}, nil, evidence.HeadForged, 0},
		"a head moved":                   {[]string{`update tree_heads set size = 38 where size = 37`}, nil, evidence.HeadForged, 0},
		"the tail":                       {[]string{`delete from log where position > 580`}, nil, evidence.LogTruncated, 581},
		"the tail and its heads":         {[]string{`delete from log where position > 580`, `delete from tree_heads where size > 580`}, []int{3}, evidence.LogTruncated, 581},
		"everything but the head we had": {[]string{oneByte + `true`, rehash, `delete from tree_tiles`, `delete from tree_heads`}, []int{1}, evidence.HeadMismatch, 1},
	} {
		var v logVerification
		for _, n := range c.outside {
			v.outside = append(v.outside, l.outside(t, n))
		}
		report := l.verify(t, conn, v, c.do...)
		found := map[evidence.FaultName]int64{}
		for _, f := range report.Faults {
			if _, ok := found[f.Name]; !ok {
				found[f.Name] = f.Position
			}
		}
		position, ok := found[c.want]
		if !ok || (c.at > 0 && position != c.at) {
			t.Errorf("%s: %+v, want %s at %d", name, report.Faults, c.want, c.at)
		}
	}
	from := l.outside(t, 1)
	if r := l.verify(t, conn, logVerification{from: &from}); len(r.Faults) > 0 || r.Events != logSize || r.From != 300 {
		t.Errorf("from a head: %+v", r)
	}
	if r := l.verify(t, conn, logVerification{from: &from}, oneByte+at(590), rehash); len(r.Faults) == 0 || r.Faults[0].Name != evidence.HeadMismatch {
		t.Errorf("from a head, changed behind it: %+v", r)
	}
	if r := l.verify(t, conn, logVerification{from: &from}, `update tree_tiles set root = sha256('')`); len(r.Faults) == 0 || r.Faults[0].Name != evidence.HistoryRewritten {
		t.Errorf("from a head, the tree changed before it: %+v", r)
	}
}

func TestAnEventStandsUnderTheNewestHead(t *testing.T) {
	t.Parallel()
	l := newSignedLog(t)
	conn, err := pgx.Connect(t.Context(), l.db.SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	s := evidenceSource{tree: eventstore.OpenTree(conn), key: l.v.key}
	stored, err := eventstore.Scan(t.Context(), conn, 99, 100)
	if err != nil || len(stored) != 1 {
		t.Fatal(len(stored), err)
	}
	record := stored[0].Record()
	if head, err := s.Stands(t.Context(), 100, record); err != nil || head.Size != logSize {
		t.Errorf("it stands under %d events, %v", head.Size, err)
	}
	if _, err := s.Stands(t.Context(), 100, append(record, ' ')); evidence.AsFault(err) == nil {
		t.Errorf("another record stands there too: %v", err)
	}
	if _, err := s.Stands(t.Context(), logSize+1, record); !errors.Is(err, evidence.ErrNotSigned) {
		t.Errorf("beyond the newest head: %v", err)
	}
	s.key = nil
	if _, err := s.Stands(t.Context(), 100, record); !errors.Is(err, evidence.ErrNotSigned) {
		t.Errorf("without a key: %v", err)
	}
}

func TestTheLogsAlarm(t *testing.T) {
	for want, s := range map[string]eventstore.TreeStatus{
		"": {Log: 9, Head: 9, OrderTo: 9},
		"no longer the one that was signed up to position 7": {Log: 9, Head: 7, Forked: true},
		"2 events up to position 8 are out of order":         {Log: 9, Head: 9, OrderTo: 8, OrderFaults: 2},
	} {
		if text := logAlarm(s); !strings.Contains(text, want) || (want == "") != (text == "") {
			t.Errorf("%+v: %q", s, text)
		}
	}
}

// TestRandomTamperingIsCaught makes changes at random, each taken back after it was looked at. A head is kept outside.
func TestRandomTamperingIsCaught(t *testing.T) {
	t.Parallel()
	rounds := 120
	if os.Getenv("TENANTPILOT_LONG_TESTS") != "" {
		rounds = 1000
	}
	l := newSignedLog(t)
	conn, err := pgx.Connect(t.Context(), l.db.SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	seed := rand.Uint64()                       //nolint:gosec // a test's
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a test's
	outside := logVerification{outside: []evidence.Head{l.outside(t, 3)}}
	for range rounds {
		p := 1 + random.Int64N(logSize)
		q := 1 + (p+random.Int64N(logSize-1))%logSize
		column := []string{"id", "stream", "workspace", "tenant"}[random.IntN(4)]
		do := [][]string{
			{`update events set payload = overlay(payload::text placing '~' from length(payload::text) - 3 for 1)::json where ` + at(p)},
			{`update events set ` + column + ` = gen_random_uuid() where ` + at(p)},
			{`update events set meta = '{"actor":{"kind":"system","id":"00000000-0000-0000-0000-000000000000"}}' where ` + at(p)},
			{`update events set recorded_at = recorded_at + interval '1 microsecond' where ` + at(p)},
			{`update events set leaf = set_byte(leaf, ` + fmt.Sprint(random.IntN(32)) + `, 0) || ''::bytea where ` + at(p), `update events set leaf = sha256(leaf) where ` + at(p)},
			{`delete from events where ` + at(p)},
			{`delete from log where position = ` + fmt.Sprint(p)},
			{`delete from log where position >= ` + fmt.Sprint(p), `delete from tree_heads where size >= ` + fmt.Sprint(p)},
			exchange(p, q),
			append(exchange(p, q), retile),
			{`update events set name = name || 'X' where ` + at(p), rehash, retile},
			{`update events set name = name || 'X' where ` + at(p), rehash, `delete from tree_tiles`, `delete from tree_heads`},
		}[random.IntN(12)]
		if len(l.verify(t, conn, outside, do...).Faults) == 0 {
			t.Errorf("seed %d: nobody noticed %q", seed, do)
		}
	}
}
