package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/projections"
)

// audit is the log of everything that happened, as far as the viewer sees it.
func (s *Server) audit(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	now := time.Now().UTC()
	q := view.ParseAudit(r.URL.Query(), r.actor().Ref.ID.String(), now)
	if a, done, err := listAside(r, q.ListQuery); done {
		return a, err
	}
	lines, newer, older, err := s.Read.ListAudit(r.Context(), r.actor(), q.Filter)
	if err != nil {
		return answer{}, err
	}
	counted := q.Filter
	counted.Older, counted.Newer = 0, 0
	facets, total, err := s.Read.AuditFacets(r.Context(), r.actor(), counted)
	if err != nil {
		return answer{}, err
	}
	list := view.PresentAudit(q, lines, newer, older, facets, total, now)
	if list.Alarm = s.logAlarm(); s.Evidence != nil {
		heads, err := s.Evidence.Heads(r.Context(), 0, 1)
		if err != nil {
			return answer{}, err
		}
		if len(heads) > 0 {
			list.Evidence = &view.LogEvidence{Size: heads[0].Size, At: heads[0].At.UTC()}
		}
	}
	setAside, err := s.Read.SetAside(r.Context(), r.actor(), projections.Audit{})
	if err != nil {
		return answer{}, err
	}
	return answer{
		setAside: setAside,
		title:    "Audit & replay", media: "application/json", value: view.PresentAuditItems(lines, older), header: nextLink(list.Older),
		csv: func(w io.Writer) error { return s.exportAudit(r, counted, w) }, csvName: "audit.csv",
		page: func(shell view.Shell) templ.Component { return page.AuditPage(shell, list) },
	}, nil
}

// exportAudit writes all events of the filter, not only those of the page, newest first.
func (s *Server) exportAudit(r request, f projections.AuditFilter, w io.Writer) error {
	f.Limit = 1000
	return view.WriteAuditCSV(w, everyPage(func() ([]projections.AuditLine, bool, error) {
		lines, _, older, err := s.Read.ListAudit(r.Context(), r.actor(), f)
		return lines, older, err
	}, func(last projections.AuditLine) { f.Older = last.Position }))
}

// auditEvent is one event: what it says, what it changed, and what it belongs to.
func (s *Server) auditEvent(r request) (answer, error) {
	position, err := pathNumber(r.v("position"))
	if err != nil {
		return answer{}, err
	}
	ctx := r.Context()
	f := view.AuditEventFacts{Now: time.Now().UTC()}
	f.Line, err = waitFor(r, s, projections.Audit{}, func() (projections.AuditLine, error) { return s.Read.AuditEvent(ctx, r.actor(), position) })
	if err != nil {
		return answer{}, err
	}
	if f.Object, err = s.Read.ObjectOf(ctx, r.actor(), f.Line.Stream); err != nil && !errors.Is(err, projections.ErrNoRow) {
		return answer{}, err
	}
	if f.Object.HasState() {
		if f.Moment, err = s.Read.MomentOf(ctx, f.Object, projections.When{Position: position}); err != nil {
			return answer{}, err
		}
		states, err := s.Read.StatesAt(ctx, f.Object, position-1, position)
		if err != nil {
			return answer{}, err
		}
		f.Before, f.After = states[0], states[1]
	}
	if f.Cause, err = s.causeOf(r, f.Line); err != nil {
		return answer{}, err
	}
	if f.Proof, err = s.proofOf(r, f.Line); err != nil {
		return answer{}, err
	}
	p, err := view.PresentAuditEvent(f)
	if err != nil {
		return answer{}, err
	}
	setAside, err := s.Read.SetAside(ctx, r.actor(), projections.Audit{})
	if err != nil {
		return answer{}, err
	}
	p.Alarm = s.logAlarm()
	return answer{
		setAside: setAside,
		title:    "Event " + strconv.FormatInt(position, 10), media: "application/json", value: view.AuditEventJSON(f.Line),
		page: func(shell view.Shell) templ.Component { return page.AuditEventPage(shell, p) },
	}, nil
}

// proofOf says how an event stands in the signed log, found out anew.
func (s *Server) proofOf(r request, l projections.AuditLine) (view.Proof, error) {
	head, err := evidence.SignedHead{}, evidence.ErrNotSigned
	if s.Evidence != nil {
		head, err = s.Evidence.Stands(r.Context(), l.Position, l.Record())
	}
	fault := evidence.AsFault(err)
	switch {
	case err == nil:
		return view.SignedProof(l.Position, head.Size, head.At), nil
	case errors.Is(err, evidence.ErrNotSigned):
		return view.UnsignedProof(), nil
	case fault != nil:
		return view.BrokenProof(fault.Error()), nil
	}
	return view.Proof{}, err
}

// logAlarm is what everybody who looks at the log has to know; empty while all is well.
func (s *Server) logAlarm() string {
	if s.LogAlarm == nil {
		return ""
	}
	return s.LogAlarm()
}

// causeOf finds the event that caused another, as far as the viewer sees it.
func (s *Server) causeOf(r request, l projections.AuditLine) (*projections.AuditLine, error) {
	var meta struct {
		Causation uuid.UUID `json:"causation"`
	}
	if err := json.Unmarshal(l.Meta, &meta); err != nil || meta.Causation == uuid.Nil || l.Attempt == nil {
		return nil, err
	}
	cause, err := s.Read.AuditEventByID(r.Context(), r.actor(), *l.Attempt, meta.Causation)
	if errors.Is(err, projections.ErrNoRow) {
		return nil, nil
	}
	return &cause, err
}

// timelineTicks and densitySteps are how finely the time machine's slider is drawn.
const (
	timelineTicks = 240
	densitySteps  = 120
)

// replay is the time machine: an object as it was after any of its events.
func (s *Server) replay(r request) (answer, error) {
	number, err := pathNumber(r.v("number"))
	if err != nil || !view.CanReplay(r.v("kind")) {
		return answer{}, notFound()
	}
	ctx := r.Context()
	f := view.TimeMachineFacts{Raw: r.URL.Query().Get("show") == "raw", Now: time.Now().UTC()}
	f.Object, err = waitFor(r, s, projections.Audit{}, func() (projections.Object, error) { return s.Read.Object(ctx, r.actor(), r.v("kind"), number) })
	if err != nil {
		return answer{}, err
	}
	when, err := s.whenOf(r)
	if err != nil {
		return answer{}, err
	}
	if f.Moment, err = s.Read.MomentOf(ctx, f.Object, when); err != nil {
		return answer{}, err
	}
	if err := s.pastOf(r, &f); err != nil {
		return answer{}, err
	}
	if f.Ticks, err = s.Read.Ticks(ctx, f.Object, f.Moment, timelineTicks); err != nil {
		return answer{}, err
	}
	if f.Density, err = s.Read.Density(ctx, f.Object, f.Moment, densitySteps); err != nil {
		return answer{}, err
	}
	if f.SetAside, err = s.Read.SetAside(ctx, r.actor(), projections.Audit{}); err != nil {
		return answer{}, err
	}
	m, err := view.PresentTimeMachine(f)
	if err != nil {
		return answer{}, err
	}
	return answer{
		setAside: f.SetAside,
		title:    m.Title + ", replay", fragment: page.TimeMachineView(m),
		media: "application/json", value: view.PresentPast(f),
		page: func(shell view.Shell) templ.Component { return page.ReplayPage(shell, m) },
	}, nil
}

// pastOf reads the object's states at the moment, just before it and at the base, its event, and what it is called.
func (s *Server) pastOf(r request, f *view.TimeMachineFacts) error {
	ctx := r.Context()
	positions := []int64{f.Moment.Position - 1, f.Moment.Position}
	if text := r.URL.Query().Get("base"); text != "" {
		when, err := s.placeOf(r, "base", text)
		if err != nil {
			return err
		}
		base, err := s.Read.MomentOf(ctx, f.Object, when)
		if err != nil {
			return err
		}
		if base.Step > 0 {
			f.Base = &base
			positions = append(positions, base.Position)
		}
	}
	states, err := s.Read.StatesAt(ctx, f.Object, positions...)
	if err != nil {
		return err
	}
	f.Before, f.As = states[0], states[1]
	if f.Base != nil {
		f.Of = states[2]
	}
	if f.Moment.Step > 0 {
		line, err := s.Read.AuditEvent(ctx, r.actor(), f.Moment.Position)
		if err != nil {
			return err
		}
		f.Line = &line
		if line.TenantExternal != nil {
			f.Tenant = projections.Tenant{Name: line.TenantName, ExternalID: *line.TenantExternal}
		}
	}
	if f.As.Run == nil {
		return nil
	}
	f.Names, err = s.Read.RunByNumber(ctx, r.actor(), f.Object.Number)
	return err
}

// whenOf reads the moment that is asked for: a position or a time, or the step that the slider's form sends.
func (s *Server) whenOf(r request) (projections.When, error) {
	q := r.URL.Query()
	if text := q.Get("at"); text != "" {
		return s.placeOf(r, "at", text)
	}
	if text := q.Get("step"); text != "" {
		step, err := strconv.Atoi(text)
		if err != nil || step < 1 {
			return projections.When{}, malformedPlace("step", "A step is a number from 1 on.")
		}
		return projections.When{Step: step}, nil
	}
	return projections.When{}, nil
}

func (s *Server) placeOf(r request, key, text string) (projections.When, error) {
	when, ok := view.ParsePlace(text)
	if !ok {
		return when, malformedPlace(key, "Write a position of the log, or a date or time such as 2026-11-18T09:14:07Z.")
	}
	head, err := s.Read.Head(r.Context())
	if err == nil && when.Position > head {
		err = malformedPlace(key, fmt.Sprintf("The log ends at position %d.", head))
	}
	return when, err
}

func malformedPlace(key, message string) error {
	return invalid("invalid_input", "There is no such moment.", view.FieldError{Pointer: "/" + key, Code: "malformed", Message: message})
}
