package evidence

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// packFormat is the first member of every manifest.
const packFormat = "tenantpilot evidence pack 1"

// Manifest says what a pack is about and how many events that is. What can be checked of it against the events is; that there are no more of them
// is the word of the log's key, which signs it when the pack is made.
type Manifest struct {
	Format    string    `json:"format"`
	Kind      string    `json:"kind"` // "run" or "tenant"
	Workspace string    `json:"workspace"`
	Tenant    string    `json:"tenant,omitempty"` // stream id of the tenant
	Run       string    `json:"run,omitempty"`    // stream id of the run
	RunNumber int64     `json:"runNumber,omitempty"`
	From      time.Time `json:"from,omitzero"` // of a period, by recordedAt
	To        time.Time `json:"to,omitzero"`
	First     int64     `json:"first"` // the range of positions that the pack accounts for; for a run, the first and last of its events
	Last      int64     `json:"last"`
	Events    int       `json:"events"`
	MadeAt    time.Time `json:"madeAt"`
}

// Entry is one event with its place in the log.
type Entry struct {
	Position int64           `json:"position"`
	Record   json.RawMessage `json:"record"` // the canonical bytes
}

// Pack is evidence that can be checked without us: some events in full, the leaf hashes of others, and what leads from them to a signed
// head. WritePack and ReadPack put it into one zip file.
type Pack struct {
	Manifest Manifest
	Events   []Entry             // by position
	Leaves   map[int64]tlog.Hash // of the events, and of positions that are not disclosed
	Gaps     []tlog.Hash         // see Gaps
	Head     string              // signed
	// Signed is the signature over Manifest, as Key.SignPack makes it; empty when whoever made the pack did not have the log's key.
	Signed string
	// Consistency leads from an earlier head, which the reader has, to Head. nil when none was asked for.
	Consistency *Consistency
}

// The files of a pack.
const (
	fileManifest    = "manifest.json"
	fileEvents      = "events.jsonl"
	fileLeaves      = "leaves.txt"
	fileProof       = "proof.json"
	fileHead        = "head.note"
	fileSigned      = "manifest.note"
	fileConsistency = "consistency.json"
	fileReadme      = "README.txt"
)

//go:embed readme.txt
var readme []byte

// file is one of a pack's.
type file struct {
	name string
	body []byte
}

// WritePack writes the pack as a zip file. The same pack always has the same bytes.
func WritePack(w io.Writer, p Pack) error {
	p.complete()
	return p.write(w, readme, nil)
}

// write writes the zip file. Its compressed parts are packed, or taken from where somebody has packed the same files before: compressors differ
// in what they make of the same bytes.
func (p Pack) write(w io.Writer, guide []byte, packed map[string][]byte) error {
	files, err := p.files()
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, f := range append([]file{{fileReadme, guide}}, files...) {
		if packed != nil {
			z.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return asPacked{out, packed[f.name]}, nil })
		}
		out, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: p.Manifest.MadeAt.UTC()})
		if err == nil {
			_, err = out.Write(f.body)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	return z.Close()
}

// asPacked is a compressor that has done its work already.
type asPacked struct {
	out    io.Writer
	packed []byte
}

// Write implements io.Writer.
func (asPacked) Write(body []byte) (int, error) { return len(body), nil }

// Close implements io.Closer.
func (a asPacked) Close() error {
	_, err := a.out.Write(a.packed)
	return err
}

// complete fills in what follows from the rest.
func (p *Pack) complete() { p.Manifest.Format, p.Manifest.Events = packFormat, len(p.Events) }

// files are the pack in its one form, the guide left out.
func (p Pack) files() ([]file, error) {
	manifest, err := p.Manifest.bytes()
	if err != nil {
		return nil, err
	}
	proof, err := jsonFile(fileProof, proofFile{p.Gaps})
	if err != nil {
		return nil, err
	}
	files := []file{{fileManifest, manifest}}
	if p.Signed != "" {
		files = append(files, file{fileSigned, []byte(p.Signed)})
	}
	files = append(files, file{fileEvents, p.eventLines()}, file{fileLeaves, p.leafLines()}, file{fileHead, []byte(p.Head)}, file{fileProof, proof})
	if p.Consistency == nil {
		return files, nil
	}
	consistency, err := jsonFile(fileConsistency, p.Consistency)
	return append(files, file{fileConsistency, consistency}), err
}

// bytes are manifest.json, over which its signature is.
func (m Manifest) bytes() ([]byte, error) { return jsonFile(fileManifest, m) }

func jsonFile(name string, value any) ([]byte, error) {
	b, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return append(b, '\n'), nil
}

type proofFile struct {
	Hashes []tlog.Hash `json:"hashes"`
}

// eventLines are written by hand, so that the record's bytes stay as they are.
func (p Pack) eventLines() []byte {
	var b bytes.Buffer
	for _, e := range p.Events {
		fmt.Fprintf(&b, `{"position":%d,"record":%s}`+"\n", e.Position, e.Record)
	}
	return b.Bytes()
}

func (p Pack) leafLines() []byte {
	var b bytes.Buffer
	for _, position := range p.Positions() {
		leaf := p.Leaves[position]
		fmt.Fprintf(&b, "%d %x\n", position, leaf[:])
	}
	return b.Bytes()
}

// Positions are those whose leaf hash the pack has, ascending.
func (p Pack) Positions() []int64 {
	positions := make([]int64, 0, len(p.Leaves))
	for position := range p.Leaves {
		positions = append(positions, position)
	}
	slices.Sort(positions)
	return positions
}

// maxFile bounds one file of a pack, so that a hostile one cannot fill the memory.
const maxFile = 1 << 30

// ReadPack reads a zip file that WritePack has written. It checks the form only, which must be the very bytes that WritePack writes, those between
// the files too: another program could read a different pack from them. Verify checks the rest.
func ReadPack(r io.ReaderAt, size int64) (Pack, error) {
	var p Pack
	z, err := zip.NewReader(r, size)
	if err != nil {
		return p, fault(PackMalformed, 0, "the pack is no zip file (%v)", err)
	}
	seen, packed := make(map[string][]byte), make(map[string][]byte)
	for _, f := range z.File {
		if seen[f.Name] != nil {
			return p, fault(PackMalformed, 0, "the pack has two files %s", strconv.Quote(f.Name))
		}
		body, compressed, err := readFile(f)
		if err == nil {
			err = p.take(f.Name, body)
		}
		if err != nil {
			return p, fault(PackMalformed, 0, "%s cannot be read (%v)", strconv.Quote(f.Name), err)
		}
		seen[f.Name], packed[f.Name] = body, compressed
	}
	if p.Manifest.Format != packFormat {
		return p, fault(PackMalformed, 0, "the pack is of the format %q; this program reads %q", p.Manifest.Format, packFormat)
	}
	files, err := p.files()
	if err != nil {
		return p, fault(PackMalformed, 0, "%v", err)
	}
	for _, f := range files {
		if seen[f.name] == nil {
			return p, fault(PackMalformed, 0, "the pack has no %s", f.name)
		}
		if !bytes.Equal(seen[f.name], f.body) {
			return p, fault(PackMalformed, 0, "%s is not written in its one form", f.name)
		}
	}
	whole, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	var again bytes.Buffer
	if err = errors.Join(err, p.write(&again, seen[fileReadme], packed)); err != nil || !bytes.Equal(again.Bytes(), whole) {
		return p, fault(PackMalformed, 0, "the zip file is not written in its one form: around its files there is something that does not belong there")
	}
	return p, nil
}

// readFile reads a file's content, and its bytes as they are in the zip file. Whether length and checksum are right is left to the comparison.
func readFile(f *zip.File) (body, packed []byte, err error) {
	in, err := f.OpenRaw()
	if err != nil {
		return nil, nil, err
	}
	if packed, err = io.ReadAll(in); err != nil {
		return nil, nil, err
	}
	rest := bytes.NewReader(packed)
	body, err = io.ReadAll(io.LimitReader(flate.NewReader(rest), maxFile+1))
	switch {
	case err != nil:
	case len(body) > maxFile:
		err = errors.New("it is too large")
	case rest.Len() > 0:
		err = errors.New("something follows it")
	}
	return append([]byte{}, body...), packed, err
}

// take reads one file's content.
func (p *Pack) take(name string, body []byte) error {
	switch name {
	case fileReadme:
		return nil // for people
	case fileManifest:
		return decode(body, &p.Manifest)
	case fileHead:
		p.Head = string(body)
		return nil
	case fileSigned:
		p.Signed = string(body)
		return nil
	case fileProof:
		var proof proofFile
		err := decode(body, &proof)
		p.Gaps = proof.Hashes
		return err
	case fileConsistency:
		p.Consistency = new(Consistency)
		return decode(body, p.Consistency)
	case fileLeaves:
		p.Leaves = make(map[int64]tlog.Hash)
		return lines(body, p.readLeaf)
	case fileEvents:
		return lines(body, func(line []byte) error {
			var e Entry
			err := decode(line, &e)
			p.Events = append(p.Events, e)
			return err
		})
	}
	return errors.New("it does not belong there")
}

func (p *Pack) readLeaf(line []byte) error {
	number, text, _ := strings.Cut(string(line), " ")
	position, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return errors.New("a line does not begin with a position")
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != tlog.HashSize {
		return fmt.Errorf("position %d has no hash", position)
	}
	if _, ok := p.Leaves[position]; ok {
		return fmt.Errorf("position %d is there twice", position)
	}
	p.Leaves[position] = tlog.Hash(b)
	return nil
}

func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func lines(body []byte, do func([]byte) error) error {
	for line := range bytes.Lines(body) {
		if err := do(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
	return nil
}

// HeadSize is how many events the pack's head says the log has, unchecked; 0 when it cannot be read.
func (p Pack) HeadSize() int64 {
	h, err := p.head()
	if err != nil {
		return 0
	}
	return h.Size
}

func (p Pack) head() (Head, error) {
	text, _, _ := strings.Cut(p.Head, "\n\n")
	return parseHead(text + "\n")
}
