package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// AttemptReplayHref is where attempts are sent that are to be replayed.
const AttemptReplayHref = "/admin/attempts/replay"

// ReplayBar is what can be done with selected attempts. Back comes along, to return to the list.
type ReplayBar struct {
	Action string
	Back   string
}

// canReplay says whether an attempt may be selected. The preview says whether it can be replayed.
func canReplay(a projections.AttemptLine) bool {
	refused := domain.RefusedAttempt{AttemptFacts: domain.AttemptFacts{Operation: a.Operation}, Outcome: a.Outcome}
	return a.Replay == nil && refused.Replayable() == nil
}

// PresentAttemptGroups words the refusals by reason, each with where it can be mended. step says what the viewer may do, replay whether they
// may start anything.
func PresentAttemptGroups(
	q AttemptsQuery, groups []projections.AttemptGroup, step func(domain.NextStepAction) bool, replay bool,
) []AttemptGroup {
	var out []AttemptGroup
	for _, g := range groups {
		v := AttemptGroup{Badge: StartBadge(string(g.Outcome)), First: g.First, Newest: g.Newest, More: g.Places - len(g.Where)}
		change := map[string]string{"group": "", "outcome": string(g.Outcome)}
		name := "Connection busy"
		v.Text = "Other work held the connection's protected scope."
		if g.Reason != nil {
			reason := domain.ReasonFor(*g.Reason)
			name, v.Code, v.Text = trimStop(reason.Short), string(reason.Code), reason.Message
			change["reason"] = v.Code
		}
		v.Title = fmt.Sprintf("%s: %s in %s", name, narrate.Count(g.Attempts, "attempt"), narrate.Count(g.Tenants, "tenant"))
		v.ListHref = q.first(change)
		v.Share = float64(g.Attempts) / float64(max(groups[0].Attempts, 1))
		for _, place := range g.Where {
			v.Work = append(v.Work, attemptWork(g, place, step))
		}
		switch done := g.Attempts - g.Open; {
		case g.Open == 0:
			v.Note = "All of them were replayed."
		case done > 0:
			v.Note = fmt.Sprintf("Replayed: %d of them.", done)
		}
		if replay && g.Open > 0 {
			v.Replay = replayButton(v.ListHref, q.Href(nil), g.Open)
		}
		out = append(out, v)
	}
	return out
}

// attemptWork is the first step of the reason that has a page, at one place.
func attemptWork(g projections.AttemptGroup, place projections.AttemptPlace, step func(domain.NextStepAction) bool) AttemptWork {
	w := AttemptWork{
		Tenant:  Link{place.Tenant, TenantHref(place.External.String())},
		Receipt: Link{narrate.Count(place.Open, "attempt"), AttemptHref(place.Newest.String())},
	}
	target := domain.ReasonTarget{Tenant: place.External.String()}
	if place.Connection != 0 {
		target.Connection = strconv.FormatInt(place.Connection, 10)
		w.Connection = Link{place.Label, ConnectionHref(place.Connection)}
	}
	if g.Reason == nil {
		w.Step = Link{"View run " + strconv.FormatInt(place.Run, 10), RunHref(place.Run)}
		return w
	}
	reason := domain.ReasonFor(*g.Reason).Fill(target)
	steps := PresentSteps(reason, target.Tenant, step)
	w.Step = Link{Label: steps[0].Label}
	if !step(domain.NextStepAction(String(steps[0].ActionType))) {
		w.Note = "A manager or owner can do this."
		return w
	}
	for _, s := range steps {
		if s.Href != nil {
			w.Step = Link{s.Label, *s.Href}
			break
		}
	}
	return w
}

func replayButton(list, back string, open int) *Button {
	label := "Replay " + narrate.Count(open, "attempt")
	if open > BulkLimit {
		label = "Replay the newest " + narrate.Count(BulkLimit, "attempt")
	}
	_, query, _ := strings.Cut(list, "?")
	return &Button{Label: label, Icon: "rotate-cw", Variant: "outline", Post: true, Href: AttemptReplayHref, Fields: []Field{
		{Name: "query", Value: query}, {Name: "back", Value: back},
	}}
}

// ReplayRow is a refused attempt as a row of the preview or of the result.
func ReplayRow(a projections.AttemptLine, now time.Time) BulkRow {
	row := BulkRow{
		Key: a.Attempt.String(), Subject: Link{domain.OperationByType(a.Operation).Label, AttemptHref(a.Attempt.String())},
		Detail: StartBadge(string(a.Outcome)).Word + " " + Relative(a.At, now), Connection: a.ConnectionLabel,
		Tenant: Link{a.TenantName, TenantHref(a.TenantExternal.String())},
	}
	if a.Reason != nil {
		row.Detail += ": " + lowerFirst(domain.ReasonFor(*a.Reason).Given(a.Facts).Short)
	}
	return row
}

// HiddenReplayRow is an attempt of which the viewer sees nothing.
func HiddenReplayRow(attempt uuid.UUID) BulkRow {
	return BulkRow{
		Key: attempt.String(), Subject: Link{Label: "Attempt " + attempt.String()[:8]}, Badge: BulkNotFound, Text: domain.ErrNotFound().Text,
	}
}

// FirstStep is the first next step of an outcome that has a page; nil when none has.
func FirstStep(o StartOutcome) *Link {
	for _, s := range o.NextSteps {
		if s.Href != nil {
			return &Link{s.Label, *s.Href}
		}
	}
	return nil
}
