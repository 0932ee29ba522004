package evidence

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Verify checks a pack with the log's verifier key and, if given, a head that the reader has kept from earlier. It returns in sentences what
// it has found to hold; the first thing that does not is the error, a Fault. With unsigned, a pack may lack the signature over its manifest: the
// reader trusts whoever made it to have left nothing out.
func (p Pack) Verify(verifier note.Verifier, earlier *Head, unsigned bool) (holds []string, err error) {
	head, err := OpenHead(p.Head, verifier)
	if err != nil {
		return nil, err
	}
	holds = append(holds, head.Sentence())
	records, err := p.checkEvents()
	if err != nil {
		return holds, err
	}
	holds = append(holds, fmt.Sprintf("%s the leaf hash over exactly these bytes.", count(len(records), "event has", "events have")))
	root, err := Root(head.Size, p.Leaves, p.Gaps)
	if err != nil {
		return holds, err
	}
	if root != head.Root {
		return holds, fault(HeadMismatch, 0, "the events and hashes of this pack do not make the root that was signed")
	}
	holds = append(holds, "They are in the log at their positions: their hashes lead to the signed root.")
	scope, err := p.checkScope(records)
	if err != nil {
		return holds, err
	}
	holds = append(holds, scope...)
	if period := p.Period(); period != "" {
		holds = append(holds, period)
	}
	streams, err := p.checkStreams(records)
	if err != nil {
		return holds, err
	}
	holds = append(holds, streams)
	all, err := p.checkSigned(verifier, unsigned)
	if err != nil {
		return holds, err
	}
	holds = append(holds, all)
	if earlier == nil {
		return holds, nil
	}
	switch has := p.Consistency; {
	case has != nil && has.From == earlier.Size:
	case earlier.Size > head.Size:
		return holds, fault(ProofMissing, 0, "your head of %d events is newer than the pack's, of %d, and no pack leads to a newer head: "+
			"ask for a proof of its own from %[2]d to %[1]d events (tenantpilot audit prove), which has both heads", earlier.Size, head.Size)
	case earlier.Size < head.Size:
		return holds, fault(ProofMissing, 0, "the pack has no proof that leads from your head of %d events: ask for a pack with one (--since %[1]d)", earlier.Size)
	default:
		p.Consistency = &Consistency{From: earlier.Size, To: head.Size}
	}
	if err := p.Consistency.Check(*earlier, head); err != nil {
		return holds, err
	}
	return append(holds, earlier.stillThere()), nil
}

// Period says which period the pack is about, and whether its head is from before the end; empty for a pack that is about none.
func (p Pack) Period() string {
	m := p.Manifest
	if m.From.IsZero() {
		return ""
	}
	text := fmt.Sprintf("The period is from %s up to %s.", stamp(m.From), stamp(m.To))
	if h, err := p.head(); err == nil && h.At.Before(m.To) {
		text += fmt.Sprintf(" The head was signed before its end, %s: what was recorded later is not in the pack.", stamp(h.At))
	}
	return text
}

// Verify checks a proof with the log's verifier key and, if given, a head that the reader has kept from earlier.
func (d ProofDocument) Verify(verifier note.Verifier, earlier *Head) (holds []string, err error) {
	if d.Head == "" || (d.Inclusion == nil) == (d.Consistency == nil) {
		return nil, fault(PackMalformed, 0, "the document is not one proof with a signed head")
	}
	head, err := OpenHead(d.Head, verifier)
	if err != nil {
		return nil, err
	}
	holds = append(holds, head.Sentence())
	if d.Inclusion != nil {
		if earlier != nil {
			return holds, fault(PackMalformed, 0, "a proof of one position says nothing about an earlier head")
		}
		if err := d.Inclusion.Check(head); err != nil {
			return holds, err
		}
		return append(holds, fmt.Sprintf("The leaf %x is at position %d of it.", d.Inclusion.Leaf[:], d.Inclusion.Position)), nil
	}
	if earlier == nil {
		if d.Earlier == "" {
			return holds, fault(ProofMissing, 0, "no head of this size was signed, %d, so the document has none: "+
				"give yours of that size (--earlier), or ask for a proof from the size of one that you have", d.Consistency.From)
		}
		opened, err := OpenHead(d.Earlier, verifier)
		if err != nil {
			return holds, err
		}
		earlier = &opened
	}
	if err := d.Consistency.Check(*earlier, head); err != nil {
		return holds, err
	}
	return append(holds, earlier.stillThere()), nil
}

// Sentence says what a genuine head states.
func (h Head) Sentence() string {
	return fmt.Sprintf("The head of %d events of the log %s is signed by its key, %s.", h.Size, h.Origin, stamp(h.At))
}

func (h Head) stillThere() string {
	return fmt.Sprintf("The log still begins with the %d events of the head of %s.", h.Size, stamp(h.At))
}

// checkEvents holds every record against its leaf, and reads it.
func (p Pack) checkEvents() ([]Record, error) {
	if len(p.Events) == 0 || len(p.Events) != p.Manifest.Events {
		return nil, fault(EventMissing, 0, "the manifest speaks of %d events, the pack has %d", p.Manifest.Events, len(p.Events))
	}
	records := make([]Record, len(p.Events))
	last := int64(0)
	for i, e := range p.Events {
		if e.Position <= last {
			return nil, fault(EventsReordered, e.Position, "position %d comes after position %d", e.Position, last)
		}
		last = e.Position
		leaf, ok := p.Leaves[e.Position]
		if !ok {
			return nil, fault(PackMalformed, e.Position, "position %d has an event and no leaf hash", e.Position)
		}
		if tlog.RecordHash(e.Record) != leaf {
			return nil, fault(EventChanged, e.Position, "the event at position %d is not the one that its leaf hash is over", e.Position)
		}
		r, err := ParseRecord(e.Record)
		if err != nil {
			return nil, fault(PackMalformed, e.Position, "the event at position %d cannot be read (%v)", e.Position, err)
		}
		records[i] = r
	}
	return records, nil
}

// checkScope holds what the pack says it is about against what is in it.
func (p Pack) checkScope(records []Record) ([]string, error) {
	m := p.Manifest
	if m.First < 1 || m.Last < m.First || p.Events[0].Position < m.First || p.Events[len(p.Events)-1].Position > m.Last {
		return nil, fault(PackMalformed, 0, "the events are not within the positions %d to %d of the manifest", m.First, m.Last)
	}
	for i, r := range records {
		at := p.Events[i].Position
		if r.Workspace != m.Workspace || r.Tenant != m.Tenant {
			return nil, fault(EventMisplaced, at, "the event at position %d is of another workspace or tenant", at)
		}
		// Between the ends, clocks of several machines may differ from the order of the log by a little.
		ends := i == 0 || i == len(records)-1
		if ends && !m.From.IsZero() && (r.RecordedAt.Before(m.From) || !r.RecordedAt.Before(m.To)) {
			return nil, fault(EventMisplaced, at, "the event at position %d was recorded outside the period", at)
		}
		if m.Kind == "run" && r.Stream != m.Run && !strings.Contains(string(r.Payload), `"`+m.Run+`"`) {
			return nil, fault(EventMisplaced, at, "the event at position %d is not about the run", at)
		}
	}
	hidden := len(p.Leaves) - len(p.Events)
	switch m.Kind {
	case "run":
		if hidden != 0 {
			return nil, fault(EventMissing, 0, "%d events have a hash and no record: a pack for a run shows all that it is over", hidden)
		}
		return []string{fmt.Sprintf("All of them are about the run %s.", m.Run)}, nil
	case "tenant":
		for position := m.First; position <= m.Last; position++ {
			if _, ok := p.Leaves[position]; !ok {
				return nil, fault(EventMissing, position, "position %d is not accounted for", position)
			}
		}
		if int64(len(p.Leaves)) != m.Last-m.First+1 {
			return nil, fault(PackMalformed, 0, "there are hashes of positions outside %d to %d", m.First, m.Last)
		}
		return []string{
			fmt.Sprintf("All of them are about the tenant %s.", m.Tenant),
			fmt.Sprintf("Positions %d to %d are accounted for without a hole: %d disclosed, %d by their hash alone.", m.First, m.Last, len(records), hidden),
		}, nil
	}
	return nil, fault(PackMalformed, 0, "the pack is about %q, which this program does not know", m.Kind)
}

// checkStreams finds streams of which a version between two others is left out. A run's own stream must begin with its first event.
func (p Pack) checkStreams(records []Record) (string, error) {
	last := make(map[string]int)
	for i, r := range records {
		before, seen := last[r.Stream]
		at := p.Events[i].Position
		switch {
		case seen && r.Version <= before:
			return "", fault(EventsReordered, at, "the stream %s goes from version %d to %d at position %d", r.Stream, before, r.Version, at)
		case p.Manifest.Kind == "run" && r.Stream != p.Manifest.Run:
			// of the connection's stream only what is about the run
		case seen && r.Version != before+1:
			return "", fault(StreamGap, at, "between versions %d and %d of the stream %s events are left out", before, r.Version, r.Stream)
		case !seen && r.Stream == p.Manifest.Run && r.Version != 1:
			return "", fault(StreamGap, at, "the run's stream begins with version %d", r.Version)
		}
		last[r.Stream] = r.Version
	}
	if p.Manifest.Kind == "run" {
		if last[p.Manifest.Run] == 0 {
			return "", fault(EventMissing, 0, "no event is of the run's own stream")
		}
		return fmt.Sprintf("The run's history is there from its first event to its event %d, without a hole.", last[p.Manifest.Run]), nil
	}
	names := make([]string, 0, len(last))
	for name := range last {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprintf("Of %s no event is left out between the first and the last that are shown.", count(len(names), "stream", "streams")), nil
}

// checkSigned finds that something was left out, or put differently, since the pack was made.
func (p Pack) checkSigned(verifier note.Verifier, unsigned bool) (string, error) {
	if p.Signed == "" {
		if !unsigned {
			return "", fault(ManifestUnsigned, 0, "nobody has signed that the pack holds everything it should: it was made without the log's key")
		}
		return "Nobody has signed that these are all: for that you trust whoever made the pack.", nil
	}
	opened, err := note.Open([]byte(p.Signed), note.VerifierList(verifier))
	if err != nil {
		return "", fault(ManifestForged, 0, "the manifest's signature is not one of the key %s", verifier.Name())
	}
	text, err := p.Manifest.statement(verifier.Name())
	if err != nil {
		return "", err
	}
	if opened.Text != text {
		return "", fault(ManifestForged, 0, "what the pack says it holds is not what was signed: something was left out or changed since it was made")
	}
	return fmt.Sprintf("The log's key has signed, %s, that these are all there are from position %d to %d.", stamp(p.Manifest.MadeAt), p.Manifest.First, p.Manifest.Last), nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
