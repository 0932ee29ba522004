package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

// Evidence makes proofs about the log. Its errors are those of package evidence.
type Evidence interface {
	// Heads are signed heads, the largest first, below a size (0: from the newest).
	Heads(ctx context.Context, below int64, limit int) ([]evidence.SignedHead, error)
	// Stands says under which signed head the event at a position stands, whose record this is. A *evidence.Fault says that it does not,
	// evidence.ErrNotSigned that no head covers it yet.
	Stands(ctx context.Context, position int64, record []byte) (evidence.SignedHead, error)
	// ProveInclusion proves which leaf is at a position of the first size events; size 0 is that of the newest head.
	ProveInclusion(ctx context.Context, position, size int64) (evidence.ProofDocument, error)
	// ProveConsistency proves that the first from events are the beginning of the first to; to 0 is the size of the newest head.
	ProveConsistency(ctx context.Context, from, to int64) (evidence.ProofDocument, error)
	// Pack makes a pack that verifies. It does not ask who may see the events.
	Pack(ctx context.Context, r PackRequest) (evidence.Pack, error)
}

// PackRequest says what a pack shall be about: a run, or a tenant and a period.
type PackRequest struct {
	Workspace uuid.UUID
	Tenant    uuid.UUID // stream id
	Run       uuid.UUID // stream id; zero for a tenant
	RunNumber int64
	From, To  time.Time // of a tenant's period
	Since     int64     // size of an earlier head that the reader has; 0: none
}

const zipMedia = "application/zip"

// packsAtOnce bounds what packs cost: one may take 100 MB and a scan of the log.
const packsAtOnce = 2

// auditHeads are the signed heads, which hold for the whole log and say nothing about what is in it: every member may have them, to keep.
func (s *Server) auditHeads(r request) (answer, error) {
	if err := s.mayProve(r); err != nil {
		return answer{}, err
	}
	below, err := queryNumber(r, "below")
	if err != nil {
		return answer{}, err
	}
	heads, err := s.Evidence.Heads(r.Context(), below, 100)
	return answer{media: "application/json", value: map[string]any{"heads": heads}}, err
}

func (s *Server) proveInclusion(r request) (answer, error) {
	if err := s.mayProve(r); err != nil {
		return answer{}, err
	}
	position, err := requiredNumber(r, "position")
	if err != nil {
		return answer{}, err
	}
	size, err := queryNumber(r, "size")
	if err != nil {
		return answer{}, err
	}
	proof, err := s.Evidence.ProveInclusion(r.Context(), position, size)
	return answer{media: "application/json", value: proof}, err
}

func (s *Server) proveConsistency(r request) (answer, error) {
	if err := s.mayProve(r); err != nil {
		return answer{}, err
	}
	from, err := requiredNumber(r, "from")
	if err != nil {
		return answer{}, err
	}
	to, err := queryNumber(r, "to")
	if err != nil {
		return answer{}, err
	}
	proof, err := s.Evidence.ProveConsistency(r.Context(), from, to)
	return answer{media: "application/json", value: proof}, err
}

// mayProve lets members of a workspace ask, and nobody when nothing can be proven here.
func (s *Server) mayProve(r request) error {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) || !r.actor().May(domain.CapView) {
		return notFound()
	}
	if s.Evidence == nil {
		return evidence.ErrNotSigned
	}
	return nil
}

func (s *Server) runEvidence(r request) (answer, error) {
	line, err := s.findRun(r)
	if err != nil {
		return answer{}, err
	}
	since, err := queryNumber(r, "since")
	if err != nil {
		return answer{}, err
	}
	return s.handOut(r, fmt.Sprintf("run-%d", line.Number), PackRequest{
		Workspace: line.Workspace, Tenant: line.Tenant, Run: line.ID, RunNumber: line.Number, Since: since,
	})
}

func (s *Server) tenantEvidence(r request) (answer, error) {
	external, err := pathUUID(r.v("tenantExternalId"))
	if err != nil {
		return answer{}, err
	}
	tenant, err := s.Read.Tenant(r.Context(), r.actor(), external)
	if err != nil {
		return answer{}, err
	}
	p := PackRequest{Workspace: tenant.Workspace, Tenant: tenant.ID}
	if p.From, p.To, err = queryPeriod(r); err != nil {
		return answer{}, err
	}
	if p.Since, err = queryNumber(r, "since"); err != nil {
		return answer{}, err
	}
	return s.handOut(r, "tenant-"+external.String(), p)
}

// handOut makes a pack, leaves the trace of it, and only then hands it out.
func (s *Server) handOut(r request, name string, p PackRequest) (answer, error) {
	offered := answer{file: &download{name: "evidence-" + name + ".zip", media: zipMedia}}
	if s.choose(r, offered) == "" {
		return answer{}, notAcceptable(offered)
	}
	if err := s.mayProve(r); err != nil {
		return answer{}, err
	}
	select {
	case s.packing <- struct{}{}:
		defer func() { <-s.packing }()
	case <-r.Context().Done():
		return answer{}, r.Context().Err()
	}
	pack, err := s.Evidence.Pack(r.Context(), p)
	if err != nil {
		return answer{}, err
	}
	var b bytes.Buffer
	if err := evidence.WritePack(&b, pack); err != nil {
		return answer{}, err
	}
	hash := sha256.Sum256(b.Bytes())
	err = s.Commands.ExportEvidence(r.Context(), commands.ExportEvidence{Actor: r.actor(), Evidence: domain.EvidenceExported{
		Kind: pack.Manifest.Kind, Tenant: p.Tenant, Run: p.Run, Number: p.RunNumber, From: p.From, To: p.To, First: pack.Manifest.First, Last: pack.Manifest.Last,
		Events: len(pack.Events), HeadSize: pack.HeadSize(), Digest: hex.EncodeToString(hash[:]),
	}})
	if err != nil {
		return answer{}, err
	}
	offered.file.body = b.Bytes()
	return offered, nil
}

// queryNumber reads a number from 1 on; 0 when it is not given.
func queryNumber(r request, name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, invalid("invalid_input", "The query cannot be read.", view.FieldError{Pointer: "/" + name, Code: "number", Message: "Give a number from 1 on."})
	}
	return n, nil
}

func requiredNumber(r request, name string) (int64, error) {
	n, err := queryNumber(r, name)
	if err == nil && n == 0 {
		err = invalid("invalid_input", "The query lacks something.", view.FieldError{Pointer: "/" + name, Code: "required", Message: "Give a number from 1 on."})
	}
	return n, err
}

// queryPeriod reads from and to: dates or times, the end not included, the last 30 days if they are not given.
func queryPeriod(r request) (from, to time.Time, err error) {
	to = time.Now().UTC().Truncate(time.Microsecond)
	from = to.AddDate(0, 0, -30)
	for name, into := range map[string]*time.Time{"from": &from, "to": &to} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		t, ok := view.ParseInstant(text)
		if !ok {
			return from, to, invalid("invalid_input", "The query cannot be read.",
				view.FieldError{Pointer: "/" + name, Code: "time", Message: "Write 2026-11-21 or 2026-11-21T09:00:00Z."})
		}
		*into = t.Truncate(time.Microsecond)
	}
	if !from.Before(to) {
		return from, to, invalid("invalid_input", "The period ends before it begins.",
			view.FieldError{Pointer: "/to", Code: "period", Message: "Give a time after the begin."})
	}
	return from, to, nil
}
