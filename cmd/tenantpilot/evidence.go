package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// evidenceSource makes proofs and packs from the database, for the console and for the command line.
type evidenceSource struct {
	tree   eventstore.Tree
	key    note.Verifier               // whose heads count; nil: none do
	sign   func(context.Context) error // makes a head over all there is; nil: this process cannot
	logKey *evidence.Key               // signs packs; nil: this process has no key, and whoever reads the pack has to trust who made it
}

// Heads are the signed heads of this log, the largest first, below a size (0: from the newest).
func (s evidenceSource) Heads(ctx context.Context, below int64, limit int) ([]evidence.SignedHead, error) {
	stored, err := s.tree.Heads(ctx, below, limit)
	if err != nil {
		return nil, err
	}
	heads := []evidence.SignedHead{}
	for _, h := range stored {
		if s.genuine(h) {
			heads = append(heads, evidence.SignedHead{Size: h.Size, At: h.SignedAt, Note: h.Note})
		}
	}
	return heads, nil
}

// genuine leaves out what somebody may have put among the heads.
func (s evidenceSource) genuine(h eventstore.TreeHead) bool {
	if s.key == nil {
		return true // whoever reads it has to look anyway
	}
	opened, err := evidence.OpenHead(h.Note, s.key)
	return err == nil && opened.Size == h.Size
}

// headOf is the signed text of a head, empty when none of that size was signed.
func (s evidenceSource) headOf(ctx context.Context, size int64) (string, error) {
	h, err := s.tree.HeadAt(ctx, size)
	if errors.Is(err, eventstore.ErrNoTree) || (err == nil && (h.Size != size || !s.genuine(h))) {
		return "", nil
	}
	return h.Note, err
}

// newest is the newest genuine head.
func (s evidenceSource) newest(ctx context.Context) (evidence.SignedHead, error) {
	for below := int64(0); ; {
		heads, err := s.tree.Heads(ctx, below, 20)
		if err != nil {
			return evidence.SignedHead{}, err
		}
		if len(heads) == 0 {
			return evidence.SignedHead{}, evidence.ErrNotSigned
		}
		for _, h := range heads {
			if s.genuine(h) {
				return evidence.SignedHead{Size: h.Size, At: h.SignedAt, Note: h.Note}, nil
			}
		}
		below = heads[len(heads)-1].Size
	}
}

// Stands says under which signed head an event stands: this record is at its position of the log that was signed. A
// *evidence.Fault says what is wrong instead; ErrNotSigned, that no head covers it yet.
func (s evidenceSource) Stands(ctx context.Context, position int64, record []byte) (evidence.SignedHead, error) {
	newest, err := s.newest(ctx)
	if err == nil && (newest.Size < position || s.key == nil) { // without a key no head is known to be genuine
		err = evidence.ErrNotSigned
	}
	if err != nil {
		return newest, err
	}
	d, err := s.ProveInclusion(ctx, position, newest.Size)
	if err != nil {
		return newest, err
	}
	d.Inclusion.Leaf = tlog.RecordHash(record)
	_, err = d.Verify(s.key, nil)
	return newest, err
}

// ProveInclusion proves which leaf is at a position of the first size events; size 0 is that of the newest head.
func (s evidenceSource) ProveInclusion(ctx context.Context, position, size int64) (evidence.ProofDocument, error) {
	var d evidence.ProofDocument
	if size == 0 {
		head, err := s.newest(ctx)
		if err != nil {
			return d, err
		}
		size = head.Size
	}
	proof, err := s.tree.ProveInclusion(ctx, position, size)
	if err != nil {
		return d, notThere(err)
	}
	leaves, err := s.tree.Leaves(ctx, position, position)
	if err != nil || len(leaves) != 1 {
		return d, errors.Join(err, evidence.ErrNotThere)
	}
	d.Inclusion = &evidence.Inclusion{Position: position, Leaf: leaves[0], Size: size, Hashes: orEmpty(proof)}
	d.Head, err = s.headOf(ctx, size)
	return d, err
}

// ProveConsistency proves that the first from events are the beginning of the first to; to 0 is the size of the newest head.
func (s evidenceSource) ProveConsistency(ctx context.Context, from, to int64) (evidence.ProofDocument, error) {
	var d evidence.ProofDocument
	if to == 0 {
		head, err := s.newest(ctx)
		if err != nil {
			return d, err
		}
		to = head.Size
	}
	c, err := s.consistency(ctx, from, to)
	if err != nil {
		return d, err
	}
	d.Consistency = c
	if d.Head, err = s.headOf(ctx, to); err != nil {
		return d, err
	}
	d.Earlier, err = s.headOf(ctx, from)
	return d, err
}

func (s evidenceSource) consistency(ctx context.Context, from, to int64) (*evidence.Consistency, error) {
	proof, err := s.tree.ProveConsistency(ctx, from, to)
	if err != nil {
		return nil, notThere(err)
	}
	return &evidence.Consistency{From: from, To: to, Hashes: orEmpty(proof)}, nil
}

// Pack makes the evidence pack that is asked for, against the newest head, and checks it as its reader will: what does not verify is an error
// and is never handed out. Who may see the events is the caller's business.
func (s evidenceSource) Pack(ctx context.Context, r web.PackRequest) (evidence.Pack, error) {
	if s.key == nil {
		return evidence.Pack{}, evidence.ErrNotSigned
	}
	if s.sign != nil {
		if err := s.sign(ctx); err != nil {
			return evidence.Pack{}, err
		}
	}
	head, err := s.newest(ctx)
	if err != nil {
		return evidence.Pack{}, err
	}
	events, err := s.eventsOf(ctx, r, head.Size)
	if err != nil {
		return evidence.Pack{}, err
	}
	if len(events) == 0 && r.Run != uuid.Nil { // it exists: no head covers it
		return evidence.Pack{}, evidence.ErrNotSigned
	}
	if len(events) == 0 {
		return evidence.Pack{}, evidence.ErrNotThere
	}
	p := evidence.Pack{
		Manifest: evidence.Manifest{
			Workspace: r.Workspace.String(), Tenant: r.Tenant.String(), RunNumber: r.RunNumber, Events: len(events),
			First: events[0].Position, Last: events[len(events)-1].Position, MadeAt: time.Now().UTC().Truncate(time.Second),
		},
		Leaves: make(map[int64]tlog.Hash), Head: head.Note,
	}
	for _, e := range events {
		p.Events = append(p.Events, evidence.Entry{Position: e.Position, Record: e.Record()})
		p.Leaves[e.Position] = e.Leaf()
	}
	if r.Run == uuid.Nil {
		p.Manifest.Kind, p.Manifest.From, p.Manifest.To = "tenant", r.From.UTC(), r.To.UTC()
		err = s.addLeaves(ctx, &p)
	} else {
		p.Manifest.Kind, p.Manifest.Run = "run", r.Run.String()
	}
	if err != nil {
		return p, err
	}
	if err := s.addGaps(ctx, &p, head.Size); err != nil {
		return p, err
	}
	if r.Since > 0 {
		if p.Consistency, err = s.consistency(ctx, r.Since, head.Size); err != nil {
			return p, err
		}
	}
	if s.logKey != nil {
		if err := s.logKey.SignPack(&p); err != nil {
			return p, err
		}
	}
	if _, err := p.Verify(s.key, nil, s.logKey == nil); err != nil {
		return p, fmt.Errorf("check pack: %w", err)
	}
	return p, nil
}

func (s evidenceSource) eventsOf(ctx context.Context, r web.PackRequest, upTo int64) ([]eventstore.Event, error) {
	if r.Run == uuid.Nil {
		return s.tree.EventsOfTenant(ctx, r.Tenant, r.From, r.To, upTo)
	}
	events, err := s.tree.EventsOfRun(ctx, r.Run, uuid.Nil, upTo)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	first, err := events[0].Decode()
	if err != nil {
		return nil, err
	}
	accepted, ok := first.(domain.RunAccepted)
	if !ok {
		return nil, fmt.Errorf("read run %s: it begins with %s", r.Run, events[0].Name)
	}
	return s.tree.EventsOfRun(ctx, r.Run, domain.ConnectionStream(accepted.Connection), upTo)
}

// addLeaves adds the hashes of all other positions of the range, so that each is accounted for.
func (s evidenceSource) addLeaves(ctx context.Context, p *evidence.Pack) error {
	first, last := p.Manifest.First, p.Manifest.Last
	if last-first >= evidence.MaxPositions {
		return evidence.ErrTooMuch
	}
	leaves, err := s.tree.Leaves(ctx, first, last)
	if err != nil {
		return err
	}
	if int64(len(leaves)) != last-first+1 {
		return fmt.Errorf("read leaves: of the positions %d to %d only %d are there", first, last, len(leaves))
	}
	for i, leaf := range leaves {
		if _, shown := p.Leaves[first+int64(i)]; !shown {
			p.Leaves[first+int64(i)] = leaf
		}
	}
	return nil
}

func (s evidenceSource) addGaps(ctx context.Context, p *evidence.Pack, size int64) error {
	gaps := evidence.Gaps(size, p.Positions())
	spans := make([]eventstore.Span, len(gaps))
	for i, g := range gaps {
		spans[i] = eventstore.Span(g)
	}
	var err error
	p.Gaps, err = s.tree.SpanHashes(ctx, spans)
	return err
}

func orEmpty(hashes []tlog.Hash) []tlog.Hash {
	if hashes == nil {
		return []tlog.Hash{}
	}
	return hashes
}

func notThere(err error) error {
	if errors.Is(err, eventstore.ErrNoTree) {
		return evidence.ErrNotThere
	}
	return err
}
