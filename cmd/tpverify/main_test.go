package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"tenantpilot/cmd/internal/evidence"
)

var made = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// aLog is a log in memory and its key. Odd events are the tenant's, even ones another's.
type aLog struct {
	t       testing.TB
	key     *evidence.Key
	records [][]byte
	hashes  []tlog.Hash
}

func newLog(t testing.TB, events int) *aLog {
	t.Helper()
	secret, err := evidence.GenerateKey("log.example")
	must(t, err)
	l := &aLog{t: t}
	l.key, err = evidence.ParseKey(secret)
	must(t, err)
	for n := 1; n <= events; n++ {
		tenant := []string{"theirs", "ours"}[n%2]
		record := fmt.Sprintf(
			`{"id":"%d","meta":{},"name":"Happened","payload":{},"recordedAt":"%s","stream":"%s","tenant":"%s","version":%d,"workspace":"w"}`,
			n, made.Add(time.Duration(n)*time.Second).Format("2006-01-02T15:04:05.000000Z"), tenant, tenant, (n+1)/2)
		hashes, err := tlog.StoredHashes(int64(n-1), []byte(record), l.reader())
		must(t, err)
		l.records, l.hashes = append(l.records, []byte(record)), append(l.hashes, hashes...)
	}
	return l
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

func (l *aLog) head(size int64) string {
	l.t.Helper()
	root, err := tlog.TreeHash(size, l.reader())
	must(l.t, err)
	text, err := l.key.SignHead(size, root, made)
	must(l.t, err)
	return text
}

// pack has our events of the whole log, and the hashes of theirs.
func (l *aLog) pack() evidence.Pack {
	p := evidence.Pack{
		Manifest: evidence.Manifest{Kind: "tenant", Workspace: "w", Tenant: "ours", First: 1, Last: int64(len(l.records)), MadeAt: made},
		Leaves:   map[int64]tlog.Hash{}, Head: l.head(int64(len(l.records))),
	}
	for i, record := range l.records {
		position := int64(i + 1)
		p.Leaves[position] = tlog.RecordHash(record)
		if position%2 == 1 {
			p.Events = append(p.Events, evidence.Entry{Position: position, Record: record})
		}
	}
	must(l.t, l.key.SignPack(&p))
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheProgram builds tpverify and runs it the way an auditor does: in an empty environment, with nothing but files.
func TestTheProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "tpverify")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	write := func(name string, body []byte) string {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		must(t, os.WriteFile(path, body, 0o600))
		return path
	}
	run := func(args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), program, args...) //nolint:gosec // built by this test
		cmd.Env, cmd.Dir = []string{}, t.TempDir()
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	want := func(name string, code int, words string, args ...string) {
		t.Helper()
		if out, got := run(args...); got != code || !strings.Contains(out, words) || code != 0 && strings.Contains(out, "Everything holds") {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", name, got, code, words, out)
		}
	}

	l, forger := newLog(t, 41), newLog(t, 41)
	key := l.key.Verifier()
	zipped := func(change func(*evidence.Pack)) []byte {
		p := l.pack()
		change(&p)
		var b bytes.Buffer
		must(t, evidence.WritePack(&b, p))
		return b.Bytes()
	}
	altered := func(record []byte) []byte { return bytes.Replace(record, []byte("Happened"), []byte("Happenea"), 1) }
	good, unsigned := zipped(func(*evidence.Pack) {}), zipped(func(p *evidence.Pack) { p.Signed = "" })
	for name, c := range map[string]struct {
		code  int
		words string
		body  []byte
	}{
		"a good pack": {0, "Everything holds.", good},
		"a changed byte": {1, "FAILED event_changed: ", zipped(func(p *evidence.Pack) {
			p.Events[3].Record = altered(p.Events[3].Record)
		})},
		"a changed byte and its hash": {1, "FAILED head_mismatch: ", zipped(func(p *evidence.Pack) {
			p.Events[3].Record = altered(p.Events[3].Record)
			p.Leaves[p.Events[3].Position] = tlog.RecordHash(p.Events[3].Record)
		})},
		"a missing event": {1, "FAILED stream_gap: ", zipped(func(p *evidence.Pack) {
			p.Events = append(p.Events[:5:5], p.Events[6:]...)
			p.Manifest.Events--
		})},
		"a stream's last event withheld": {1, "FAILED manifest_forged: ", zipped(func(p *evidence.Pack) {
			p.Events = p.Events[:len(p.Events)-1]
		})},
		"a pack that nobody signed": {1, "FAILED manifest_unsigned: ", unsigned},
		"a missing event and its hash": {1, "FAILED pack_malformed: ", zipped(func(p *evidence.Pack) {
			delete(p.Leaves, p.Events[5].Position)
			p.Events = append(p.Events[:5:5], p.Events[6:]...)
		})},
		"reordered events": {1, "FAILED event_changed: ", zipped(func(p *evidence.Pack) {
			p.Events[1].Record, p.Events[2].Record = p.Events[2].Record, p.Events[1].Record
		})},
		"reordered lines": {1, "FAILED events_reordered: ", zipped(func(p *evidence.Pack) { p.Events[1], p.Events[2] = p.Events[2], p.Events[1] })},
		"a forged head":   {1, "FAILED head_forged: ", zipped(func(p *evidence.Pack) { p.Head = forger.head(41) })},
		"an altered head": {1, "FAILED head_forged: ", zipped(func(p *evidence.Pack) { p.Head = strings.Replace(p.Head, "\n41\n", "\n40\n", 1) })},
		"half a pack":     {1, "FAILED pack_malformed: ", good[:len(good)/2]},
		"no evidence":     {1, "FAILED ", []byte("hello")},
		"nothing":         {1, "FAILED ", nil},
	} {
		want(name, c.code, c.words, "--key", key, write(name, c.body))
	}

	flipped := bytes.Clone(good)
	flipped[bytes.Index(flipped, []byte("leaves.txt"))+40] ^= 1
	want("a flipped byte of the file", 1, "FAILED ", "--key", key, write("flipped", flipped))

	pack, pub, note := write("pack.zip", good), write("log.pub", []byte(key+"\n")), write("head.note", []byte(l.head(20)))
	want("the key in a file", 0, "Everything holds.", "--key", pub, pack)
	want("another log's key", 1, "FAILED head_forged: ", "--key", forger.key.Verifier(), pack)
	want("a pack that nobody signed, from somebody who is trusted", 0, "for that you trust whoever made the pack", "--key", key, "--unsigned", write("unsigned.zip", unsigned))
	want("a head", 0, "The head of 20 events", "--key", key, note)
	want("a pack that says nothing about the head that was kept", 1, "FAILED ", "--key", key, "--earlier", note, pack)
	want("a head of another's that was kept", 1, "FAILED head_forged: your earlier head", "--key", key, "--earlier", write("other.note", []byte(forger.head(20))), pack)
	want("no key", 2, "give a key and one file", pack)
	want("no file", 2, "no such file", "--key", key, filepath.Join(dir, "absent.zip"))
	want("help", 0, "Exit codes", "--help")
}
