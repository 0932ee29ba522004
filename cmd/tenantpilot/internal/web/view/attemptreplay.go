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

// PlacesNow is how the tenants and connections stand where attempts were refused.
type PlacesNow struct {
	Tenants     map[uuid.UUID]projections.Tenant // by directory
	Connections map[int64]projections.Connection
	Now         time.Time
}

// answer is what the gate would answer now to what was refused at a place: while it still stops one of the operations, that.
func (n PlacesNow) answer(p projections.AttemptPlace) (d domain.Decision) {
	t, number := n.Tenants[p.External], p.Connection
	if number == 0 && t.DefaultConnection != nil {
		number = *t.DefaultConnection
	}
	for _, o := range p.Operations {
		d = domain.Start(domain.Situation{Tenant: t.State(), Connection: n.Connections[number].State()},
			domain.Attempt{At: n.Now, Operation: domain.OperationByType(o)})
		if d.Outcome == domain.IsBlocked {
			return d
		}
	}
	return d
}

// mended says whether a place refuses no more what a group was refused for. A connection that was not to be used is mended though it is busy.
func mended(g projections.AttemptGroup, d domain.Decision) bool {
	return d.Outcome != domain.IsBlocked && (d.Outcome != domain.Busy || g.Outcome != domain.Busy)
}

// placesListed is how many places of a group are named.
const placesListed = 20

// PresentAttemptGroups words the refusals by reason, each with where it is still to be mended. step says what the viewer may do, replay whether
// they may start anything.
func PresentAttemptGroups(
	q AttemptsQuery, groups []projections.AttemptGroup, places PlacesNow, step func(domain.NextStepAction) bool, replay bool,
) []AttemptGroup {
	var out []AttemptGroup
	for _, g := range groups {
		v := AttemptGroup{Badge: StartBadge(string(g.Outcome)), First: g.First, Newest: g.Newest}
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
		fine := 0
		for _, place := range g.Where {
			switch d := places.answer(place); {
			case mended(g, d):
				fine++
			case len(v.Work) < placesListed:
				v.Work = append(v.Work, attemptWork(g, d, place, step))
			}
		}
		v.More = len(g.Where) - fine - len(v.Work)
		var notes []string
		switch done := g.Attempts - g.Open; {
		case g.Open == 0:
			notes = append(notes, "All of them were replayed.")
		case done > 0:
			notes = append(notes, fmt.Sprintf("Replayed: %d of them.", done))
		}
		if fine > 0 {
			notes = append(notes, fmt.Sprintf("Mended already: %d of %s.", fine, narrate.Count(len(g.Where), "place")))
		}
		v.Note = strings.Join(notes, " ")
		if replay && g.Open > 0 {
			v.Replay = replayButton(v.ListHref, q.Href(nil), g.Open)
		}
		out = append(out, v)
	}
	return out
}

// attemptWork is the first step that has a page, at one place: of what the gate would answer there now, which may be another reason than then.
func attemptWork(g projections.AttemptGroup, d domain.Decision, place projections.AttemptPlace, step func(domain.NextStepAction) bool) AttemptWork {
	w := AttemptWork{
		Tenant:  Link{place.Tenant, TenantHref(place.External.String())},
		Receipt: Link{narrate.Count(place.Open, "attempt"), AttemptHref(place.Newest.String())},
	}
	target := domain.ReasonTarget{Tenant: place.External.String()}
	if place.Connection != 0 {
		target.Connection = strconv.FormatInt(place.Connection, 10)
		w.Connection = Link{place.Label, ConnectionHref(place.Connection)}
	}
	if d.Outcome == domain.Busy {
		w.Step = Link{"View run " + strconv.FormatInt(d.Holder.RunNumber, 10), RunHref(d.Holder.RunNumber)}
		return w
	}
	reason := domain.ReasonFor(d.Reason).Given(d.Facts).Fill(target)
	if g.Reason == nil || *g.Reason != d.Reason {
		w.Note = "By now: " + reason.Short
	}
	steps := PresentSteps(reason, target.Tenant, step)
	w.Step = Link{Label: steps[0].Label}
	if !step(domain.NextStepAction(String(steps[0].ActionType))) {
		w.Note = strings.TrimSpace(w.Note + " A manager or owner can do this.")
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
