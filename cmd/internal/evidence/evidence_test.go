package evidence_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tenantpilot/cmd/internal/evidence"
)

// aLog is a log in memory, with its key. Event n is about tenant-(n%3), in the stream of that tenant; every fifth is about the run.
type aLog struct {
	key      *evidence.Key
	verifier note.Verifier
	records  [][]byte
	hashes   []tlog.Hash
}

const run = "0191f3a0-7c00-7000-8000-000000000041"

var made = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func newLog(t testing.TB, events int) *aLog {
	t.Helper()
	secret, err := evidence.GenerateKey("log.example")
	must(t, err)
	l := &aLog{}
	l.key, err = evidence.ParseKey(secret)
	must(t, err)
	l.verifier, err = evidence.ParseVerifier(l.key.Verifier())
	must(t, err)
	versions := map[string]int{}
	for n := range events {
		tenant := fmt.Sprintf("tenant-%d", n%3)
		stream := tenant
		if n%15 == 0 {
			stream = run
		}
		versions[stream]++
		l.add(t, fmt.Sprintf(`{"id":"%d","meta":{},"name":"Happened","payload":{"run":"%s"},"recordedAt":"%s","stream":"%s","tenant":"%s","version":%d,"workspace":"w"}`,
			n, run, made.Add(time.Duration(n)*time.Second).Format("2006-01-02T15:04:05.000000Z"), stream, tenant, versions[stream]))
	}
	return l
}

func (l *aLog) add(t testing.TB, record string) {
	t.Helper()
	hashes, err := tlog.StoredHashes(int64(len(l.records)), []byte(record), l.reader())
	must(t, err)
	l.records, l.hashes = append(l.records, []byte(record)), append(l.hashes, hashes...)
}

func (l *aLog) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, l.hashes[i])
		}
		return out, nil
	})
}

func (l *aLog) head(t testing.TB, size int64) string {
	t.Helper()
	root, err := tlog.TreeHash(size, l.reader())
	must(t, err)
	text, err := l.key.SignHead(size, root, made)
	must(t, err)
	return text
}

func (l *aLog) open(t testing.TB, size int64) evidence.Head {
	t.Helper()
	h, err := evidence.OpenHead(l.head(t, size), l.verifier)
	must(t, err)
	return h
}

// pack is about tenant-1 from first to last, or about the run.
func (l *aLog) pack(t testing.TB, kind string, first, last int64) evidence.Pack {
	t.Helper()
	size := int64(len(l.records))
	p := evidence.Pack{
		Manifest: evidence.Manifest{Kind: kind, Workspace: "w", Tenant: "tenant-1", First: first, Last: last, MadeAt: made},
		Leaves:   map[int64]tlog.Hash{}, Head: l.head(t, size),
	}
	if kind == "run" {
		p.Manifest.Run, p.Manifest.Tenant = run, "tenant-0"
	}
	var positions []int64
	for n := first; n <= last; n++ {
		record := l.records[n-1]
		r, err := evidence.ParseRecord(record)
		must(t, err)
		about := kind == "tenant" && r.Tenant == "tenant-1" || kind == "run" && r.Stream == run
		if about {
			p.Events = append(p.Events, evidence.Entry{Position: n, Record: record})
		}
		if about || kind == "tenant" {
			p.Leaves[n] = tlog.RecordHash(record)
			positions = append(positions, n)
		}
	}
	p.Manifest.Events = len(p.Events)
	for _, s := range evidence.Gaps(size, positions) {
		p.Gaps = append(p.Gaps, l.span(s.Lo, s.Hi))
	}
	must(t, l.key.SignPack(&p))
	return p
}

// span is RFC 6962's definition, straight.
func (l *aLog) span(lo, hi int64) tlog.Hash {
	if hi-lo == 1 {
		return tlog.RecordHash(l.records[lo])
	}
	k := int64(1)
	for 2*k < hi-lo {
		k *= 2
	}
	return tlog.NodeHash(l.span(lo, lo+k), l.span(lo+k, hi))
}

func (l *aLog) consistency(t testing.TB, from, to int64) *evidence.Consistency {
	t.Helper()
	proof, err := tlog.ProveTree(to, from, l.reader())
	must(t, err)
	return &evidence.Consistency{From: from, To: to, Hashes: proof}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// through writes and reads a pack.
func through(t testing.TB, p evidence.Pack) evidence.Pack {
	t.Helper()
	var b bytes.Buffer
	must(t, evidence.WritePack(&b, p))
	read, err := evidence.ReadPack(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	return read
}

func TestPacksOfEverySizeVerify(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 3, 31, 32, 33, 100} {
		l := newLog(t, size)
		verified(t, through(t, l.pack(t, "run", 1, int64(size))), l)
		if size >= 31 {
			verified(t, through(t, l.pack(t, "tenant", 2, int64(size))), l)
			verified(t, through(t, l.pack(t, "tenant", 8, 20)), l)
		}
	}
}

func verified(t testing.TB, p evidence.Pack, l *aLog) {
	t.Helper()
	if holds, err := p.Verify(l.verifier, nil, false); err != nil || len(holds) < 5 {
		t.Fatalf("%v after %q", err, holds)
	}
}

func TestAnEarlierHeadIsHeldAgainstThePack(t *testing.T) {
	t.Parallel()
	l := newLog(t, 100)
	p := l.pack(t, "tenant", 8, 20)
	earlier := l.open(t, 37)
	p.Consistency = l.consistency(t, 37, 100)
	holds, err := through(t, p).Verify(l.verifier, &earlier, false)
	if err != nil || !strings.Contains(holds[len(holds)-1], "still begins with the 37 events") {
		t.Fatalf("%v, %q", err, holds)
	}
	other := newLog(t, 37) // another key, other origin text is the same: another history
	other.key, other.verifier = l.key, l.verifier
	other.records, other.hashes = nil, nil
	for n := range 37 {
		other.add(t, fmt.Sprint("other", n))
	}
	rewritten := other.open(t, 37)
	if _, err := p.Verify(l.verifier, &rewritten, false); evidence.AsFault(err).Name != evidence.HistoryRewritten {
		t.Fatalf("another history: %v", err)
	}
	longer := evidence.Head{Origin: "log.example", Size: 101}
	p.Consistency = &evidence.Consistency{From: 101, To: 100}
	if _, err := p.Verify(l.verifier, &longer, false); evidence.AsFault(err).Name != evidence.LogTruncated {
		t.Fatalf("a longer head: %v", err)
	}
	for name, proof := range map[string]*evidence.Consistency{"no proof": nil, "a proof of another head": l.consistency(t, 37, 100)} {
		p.Consistency = proof
		if holds, err := p.Verify(l.verifier, &longer, false); evidence.AsFault(err).Name != evidence.ProofMissing ||
			!strings.Contains(err.Error(), "from 100 to 101 events") || len(holds) < 5 {
			t.Errorf("a head newer than the pack's, %s: %v", name, err)
		}
	}
	p.Consistency = nil
	if _, err := p.Verify(l.verifier, &earlier, false); evidence.AsFault(err).Name != evidence.ProofMissing {
		t.Fatalf("no proof: %v", err)
	}
}

// TestThePeriodIsSaid: with the end that the head does not reach.
func TestThePeriodIsSaid(t *testing.T) {
	t.Parallel()
	l := newLog(t, 100)
	root, err := tlog.TreeHash(100, l.reader())
	must(t, err)
	for signed, early := range map[time.Duration]bool{2 * time.Minute: true, 2 * time.Hour: false} {
		p := l.pack(t, "tenant", 8, 20)
		p.Manifest.From, p.Manifest.To = made, made.Add(time.Hour)
		p.Head, err = l.key.SignHead(100, root, made.Add(signed))
		must(t, err)
		must(t, l.key.SignPack(&p))
		holds, err := p.Verify(l.verifier, nil, false)
		must(t, err)
		text := strings.Join(holds, "\n")
		if !strings.Contains(text, "The period is from 2026-11-21 09:00:00 UTC up to 2026-11-21 10:00:00 UTC.") ||
			strings.Contains(text, "signed before its end, 2026-11-21 09:02:00 UTC") != early {
			t.Errorf("of a head after %s is said\n%s", signed, text)
		}
	}
}

// TestAPackIsOneFile: whoever reads the zip file in another way than we do, by the headers before the files for one, must not find another pack in it.
func TestAPackIsOneFile(t *testing.T) {
	t.Parallel()
	l := newLog(t, 40)
	zipped := func(p evidence.Pack) []byte {
		var b bytes.Buffer
		must(t, evidence.WritePack(&b, p))
		return b.Bytes()
	}
	good := zipped(l.pack(t, "tenant", 8, 14))
	reads := func(file []byte) bool {
		_, err := evidence.ReadPack(bytes.NewReader(file), int64(len(file)))
		return err == nil
	}
	if !reads(good) {
		t.Fatal("the pack as it was is not read")
	}
	z, err := zip.NewReader(bytes.NewReader(good), int64(len(good)))
	must(t, err)
	content := make([]bool, len(good))
	for _, f := range z.File {
		from, err := f.DataOffset()
		must(t, err)
		for i := range int(f.CompressedSize64) { //nolint:gosec // small
			content[int(from)+i] = true
		}
	}
	for i := range good {
		for bit := range 8 {
			file := slices.Clone(good)
			file[i] ^= 1 << bit
			// Within a file, a bit that fills the last byte up says nothing.
			if !content[i] && reads(file) {
				t.Errorf("bit %d of byte %d, which is of no file, goes unnoticed", bit, i)
			}
		}
	}
	junk := append(slices.Clone(good), "more"...)
	for name, file := range map[string][]byte{
		"another pack before it": append(zipped(l.pack(t, "tenant", 2, 30)), good...),
		"bytes before it":        append([]byte("PK\x03\x04"), good...), "bytes after it": junk, "itself twice": append(slices.Clone(good), good...),
	} {
		if reads(file) {
			t.Errorf("%s goes unnoticed", name)
		}
	}
}

// TestTamperingIsCaughtAndNamed changes packs in the ways a forger would.
func TestTamperingIsCaughtAndNamed(t *testing.T) {
	t.Parallel()
	l := newLog(t, 100)
	forger := newLog(t, 100)
	swap := func(p *evidence.Pack, i, j int) {
		p.Events[i].Record, p.Events[j].Record = p.Events[j].Record, p.Events[i].Record
	}
	hashAnew := func(p *evidence.Pack) {
		for _, e := range p.Events {
			p.Leaves[e.Position] = tlog.RecordHash(e.Record)
		}
	}
	drop := func(p *evidence.Pack, i int) {
		p.Events = slices.Delete(slices.Clone(p.Events), i, i+1)
		p.Manifest.Events--
	}
	for name, c := range map[string]struct {
		kind string
		do   func(*evidence.Pack)
		want evidence.FaultName
	}{
		"one byte":                         {"tenant", func(p *evidence.Pack) { p.Events[1].Record = flip(p.Events[1].Record) }, evidence.EventChanged},
		"one byte and its hash":            {"tenant", func(p *evidence.Pack) { p.Events[1].Record = flip(p.Events[1].Record); hashAnew(p) }, evidence.HeadMismatch},
		"an event dropped":                 {"tenant", func(p *evidence.Pack) { p.Events = p.Events[1:] }, evidence.EventMissing},
		"an event dropped and discounted":  {"tenant", func(p *evidence.Pack) { drop(p, 2) }, evidence.StreamGap},
		"a run's event dropped":            {"run", func(p *evidence.Pack) { drop(p, 1) }, evidence.EventMissing},
		"a position dropped":               {"tenant", func(p *evidence.Pack) { delete(p.Leaves, 9) }, evidence.PackMalformed},
		"two reordered":                    {"tenant", func(p *evidence.Pack) { swap(p, 1, 2) }, evidence.EventChanged},
		"two reordered and hashed anew":    {"tenant", func(p *evidence.Pack) { swap(p, 1, 2); hashAnew(p) }, evidence.HeadMismatch},
		"two lines reordered":              {"tenant", func(p *evidence.Pack) { p.Events[1], p.Events[2] = p.Events[2], p.Events[1] }, evidence.EventsReordered},
		"head of another key":              {"tenant", func(p *evidence.Pack) { p.Head = forger.head(t, 100) }, evidence.HeadForged},
		"head with another size":           {"tenant", func(p *evidence.Pack) { p.Head = strings.Replace(p.Head, "\n100\n", "\n101\n", 1) }, evidence.HeadForged},
		"head of another moment":           {"tenant", func(p *evidence.Pack) { p.Head = l.head(t, 99) }, evidence.HeadMismatch},
		"a hash of the proof":              {"tenant", func(p *evidence.Pack) { p.Gaps[0][0] ^= 1 }, evidence.HeadMismatch},
		"a hash of the proof left out":     {"tenant", func(p *evidence.Pack) { p.Gaps = p.Gaps[1:] }, evidence.PackMalformed},
		"the hash of an undisclosed event": {"tenant", func(p *evidence.Pack) { h := p.Leaves[9]; h[31] ^= 1; p.Leaves[9] = h }, evidence.HeadMismatch},
		"said to be another tenant":        {"tenant", func(p *evidence.Pack) { p.Manifest.Tenant = "tenant-2" }, evidence.EventMisplaced},
		"said to be another run":           {"run", func(p *evidence.Pack) { p.Manifest.Run = "7191f3a0-7c00-7000-8000-000000000042" }, evidence.EventMisplaced},
		"said to reach further":            {"tenant", func(p *evidence.Pack) { p.Manifest.Last = 95 }, evidence.EventMissing},
		"said to be another period": {"tenant", func(p *evidence.Pack) {
			p.Manifest.From, p.Manifest.To = made.Add(time.Hour), made.Add(2*time.Hour)
		}, evidence.EventMisplaced},
		"the last event of a stream withheld": {"tenant", func(p *evidence.Pack) { drop(p, len(p.Events)-1) }, evidence.ManifestForged},
		"a run cut short": {"run", func(p *evidence.Pack) {
			gone := p.Events[len(p.Events)-1].Position
			drop(p, len(p.Events)-1)
			delete(p.Leaves, gone)
			p.Manifest.Last = p.Events[len(p.Events)-1].Position
			p.Gaps = nil
			for _, s := range evidence.Gaps(100, p.Positions()) {
				p.Gaps = append(p.Gaps, l.span(s.Lo, s.Hi))
			}
		}, evidence.ManifestForged},
		"another time of making":           {"tenant", func(p *evidence.Pack) { p.Manifest.MadeAt = made.Add(time.Hour) }, evidence.ManifestForged},
		"signed as another log's":          {"tenant", func(p *evidence.Pack) { must(t, forger.key.SignPack(p)) }, evidence.ManifestForged},
		"a head in place of the signature": {"tenant", func(p *evidence.Pack) { p.Signed = p.Head }, evidence.ManifestForged},
		"not signed":                       {"tenant", func(p *evidence.Pack) { p.Signed = "" }, evidence.ManifestUnsigned},
		"no event":                         {"tenant", func(p *evidence.Pack) { p.Events, p.Manifest.Events = nil, 0 }, evidence.EventMissing},
	} {
		p := l.pack(t, c.kind, 8, 90)
		if c.kind == "run" {
			p = l.pack(t, c.kind, 1, 90)
		}
		c.do(&p)
		holds, err := p.Verify(l.verifier, nil, false)
		var f *evidence.Fault
		if !errors.As(err, &f) || f.Name != c.want || f.Text == "" {
			t.Errorf("%s: %v, want %s (held: %q)", name, err, c.want, holds)
		}
	}
}

// flip changes one letter of the name, so that the record stays readable.
func flip(record []byte) []byte {
	return bytes.Replace(record, []byte("Happened"), []byte("Happenea"), 1)
}

// TestEveryByteOfAPackCounts flips each byte of the files in turn: whatever is not the guide for people must be noticed.
func TestEveryByteOfAPackCounts(t *testing.T) {
	t.Parallel()
	l := newLog(t, 40)
	earlier := l.open(t, 11)
	p := l.pack(t, "tenant", 8, 14)
	p.Consistency = l.consistency(t, 11, 40)
	files := unpack(t, p)
	changed, unnoticed := 0, []string{}
	for name, body := range files {
		if name == "README.txt" {
			continue
		}
		for i := range body {
			files[name] = slices.Clone(body)
			files[name][i] ^= 1 << (i % 7)
			changed++
			if verifies(t, files, l.verifier, &earlier) {
				unnoticed = append(unnoticed, fmt.Sprintf("%s byte %d: %q", name, i, body[max(0, i-10):min(len(body), i+10)]))
			}
		}
		files[name] = body
	}
	if !verifies(t, files, l.verifier, &earlier) {
		t.Fatal("the pack as it was does not verify")
	}
	if len(unnoticed) > 0 || changed < 2000 {
		t.Errorf("of %d changes %d went unnoticed: %q", changed, len(unnoticed), unnoticed)
	}
}

// unpack are the files of a pack.
func unpack(t testing.TB, p evidence.Pack) map[string][]byte {
	t.Helper()
	var b bytes.Buffer
	must(t, evidence.WritePack(&b, p))
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	files := map[string][]byte{}
	for _, f := range z.File {
		in, err := f.Open()
		must(t, err)
		files[f.Name], err = io.ReadAll(in)
		must(t, err)
	}
	return files
}

// repack reads a pack that consists of the files, in a zip file as packs have it.
func repack(t testing.TB, files map[string][]byte) (evidence.Pack, error) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{
		"README.txt", "manifest.json", "manifest.note", "events.jsonl", "leaves.txt", "head.note", "proof.json", "consistency.json",
	} {
		if body, ok := files[name]; ok {
			w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: made})
			must(t, err)
			_, err = w.Write(body)
			must(t, err)
		}
	}
	must(t, z.Close())
	return evidence.ReadPack(bytes.NewReader(b.Bytes()), int64(b.Len()))
}

func verifies(t testing.TB, files map[string][]byte, v note.Verifier, earlier *evidence.Head) bool {
	t.Helper()
	p, err := repack(t, files)
	if err == nil {
		_, err = p.Verify(v, earlier, false)
	}
	return err == nil
}

func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	secret, err := evidence.GenerateKey("log.example")
	must(t, err)
	k, err := evidence.ParseKey(secret + "\n")
	must(t, err)
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, k, k, k)} {
		if strings.Contains(text, "PRIVATE") || strings.Contains(text, secret[len(secret)-20:]) {
			t.Errorf("the key shows itself: %s", text)
		}
	}
	for _, bad := range []string{"", "PRIVATE+KEY+", secret[:len(secret)-3], k.Verifier()} {
		if _, err := evidence.ParseKey(bad); err == nil || (len(bad) > 20 && strings.Contains(err.Error(), bad)) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
}

func TestTheAccumulatorAgreesWithTlog(t *testing.T) {
	t.Parallel()
	l := newLog(t, 200)
	a := evidence.NewAccumulator(0, nil)
	for n, record := range l.records {
		a.Add(tlog.RecordHash(record))
		root, err := tlog.TreeHash(int64(n+1), l.reader())
		must(t, err)
		if a.Root() != root || a.Size() != int64(n+1) {
			t.Fatalf("root of %d events differs", n+1)
		}
	}
}

func FuzzReadPack(f *testing.F) {
	l := newLog(f, 20)
	var b bytes.Buffer
	must(f, evidence.WritePack(&b, l.pack(f, "tenant", 2, 14)))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := evidence.ReadPack(bytes.NewReader(in), int64(len(in)))
		if err != nil {
			return
		}
		if _, err := p.Verify(l.verifier, nil, false); err != nil && evidence.AsFault(err).Text == "" {
			t.Errorf("a fault without words: %v", err)
		}
	})
}

// FuzzVerify changes the files of packs below a genuine head: whatever then verifies must still be true.
func FuzzVerify(f *testing.F) {
	l := newLog(f, 40)
	for _, p := range []evidence.Pack{l.pack(f, "tenant", 8, 14), l.pack(f, "run", 1, 40)} {
		files := unpack(f, p)
		f.Add(files["manifest.json"], files["events.jsonl"], files["leaves.txt"], files["proof.json"])
	}
	head := []byte(l.head(f, 40))
	f.Fuzz(func(t *testing.T, manifest, events, leaves, proof []byte) {
		p, err := repack(t, map[string][]byte{
			"README.txt": nil, "manifest.json": manifest, "events.jsonl": events, "leaves.txt": leaves, "proof.json": proof, "head.note": head,
		})
		if err != nil {
			return
		}
		if _, err := p.Verify(l.verifier, nil, false); err != nil {
			return
		}
		for _, e := range p.Events {
			if e.Position < 1 || e.Position > 40 || !bytes.Equal(e.Record, l.records[e.Position-1]) {
				t.Errorf("position %d verifies with %s", e.Position, e.Record)
			}
		}
		for position, leaf := range p.Leaves {
			if leaf != tlog.RecordHash(l.records[position-1]) {
				t.Errorf("position %d verifies with another hash", position)
			}
		}
	})
}
