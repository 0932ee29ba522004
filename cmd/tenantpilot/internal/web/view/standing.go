package view

import (
	"fmt"
	"strconv"
	"time"

	"tenantpilot/projections"
)

// Standing is how the read models stand, as a page for platform people.
type Standing struct {
	Now    time.Time
	Rows   []StandingRow
	Parked []ParkedRow
	// Ended are rebuilds that have ended, the newest first.
	Ended []RebuildLine
}

// StandingRow is one projection.
type StandingRow struct {
	Name     string
	Badge    Badge
	Text     string // what the badge means here
	Version  string // of what its tables hold; with this program's where that is another
	Position int64
	Behind   int64
	Parked   int64
	Rebuild  *RebuildLine // the open one
}

// RebuildLine is one rebuild.
type RebuildLine struct {
	Name     string
	Badge    Badge
	Versions string
	Position int64
	Target   int64
	Share    float64 // of the target, 0 to 1
	Pace     string  // events a second and the time to go; empty when it cannot be told
	Note     string
	Started  time.Time
	Finished *time.Time
}

// ParkedRow is a stream that a projection has set aside.
type ParkedRow struct {
	Name     string
	Stream   string
	Event    string
	Position int64
	Events   int64
	Cause    string
	Tried    string
	Since    time.Time
}

// PresentStanding words how the read models stand; all are those that this program has, in its order.
func PresentStanding(s projections.Standing, all []projections.Projection, now time.Time) Standing {
	out := Standing{Now: now}
	lags := map[string]projections.Lag{}
	for _, l := range s.Lags {
		lags[l.Projection] = l
	}
	open := map[string]*RebuildLine{}
	for _, r := range s.Rebuilds {
		line := presentRebuild(r)
		if r.FinishedAt == nil && r.State != "swapped" && r.State != "abandoned" {
			open[r.Projection] = &line
			continue
		}
		out.Ended = append(out.Ended, line)
	}
	for _, p := range all {
		l, begun := lags[p.Name()]
		row := StandingRow{
			Name: p.Name(), Version: strconv.Itoa(l.Version), Position: l.Position, Behind: l.Behind, Parked: l.Parked, Rebuild: open[p.Name()],
			Badge: Badge{Icon: "circle-check", Word: "Follows", Tone: Positive}, Text: "It has all of the log.",
		}
		switch {
		case !begun:
			row.Version = strconv.Itoa(p.Version())
			row.Badge, row.Text = Badge{Icon: "circle-dashed", Word: "Not begun", Tone: Wait}, "It has read nothing of the log yet."
		case l.Version != p.Version():
			row.Version = fmt.Sprintf("%d, this program's is %d", l.Version, p.Version())
			row.Badge, row.Text = Badge{Icon: "circle-pause", Word: "Waits", Tone: Wait}, "Its tables hold another version: it is read as it is until it is rebuilt."
		case l.Parked > 0:
			row.Badge, row.Text = Badge{Icon: "triangle-alert", Word: "Lacks events", Tone: Warning}, "It follows the log, but for the streams below."
		case l.Behind > 0:
			row.Badge, row.Text = Badge{Icon: "hourglass", Word: "Behind", Tone: Wait}, "It is catching up."
		}
		out.Rows = append(out.Rows, row)
	}
	for _, p := range s.Parked {
		tries := "1 try"
		if p.Attempts != 1 {
			tries = strconv.Itoa(p.Attempts) + " tries"
		}
		out.Parked = append(out.Parked, ParkedRow{
			Name: p.Projection, Stream: p.Stream.String(), Event: p.Event, Position: p.Position, Events: p.Events, Cause: p.Cause, Since: p.ParkedAt,
			Tried: tries + ", last " + Relative(p.TriedAt, now),
		})
	}
	return out
}

var rebuildBadges = map[string]Badge{
	"building":  {Icon: "rotate-cw", Word: "Building", Tone: Active},
	"comparing": {Icon: "list-checks", Word: "Comparing", Tone: Active},
	"differs":   {Icon: "triangle-alert", Word: "Differs", Tone: Warning},
	"swapped":   {Icon: "circle-check", Word: "Swapped in", Tone: Positive},
	"abandoned": {Icon: "ban", Word: "Abandoned", Tone: Neutral},
}

// presentRebuild words a rebuild. Its pace is that of the events so far over the time between its start and its last step.
func presentRebuild(r projections.RebuildRow) RebuildLine {
	line := RebuildLine{
		Name: r.Projection, Badge: rebuildBadges[r.State], Versions: "to version " + strconv.Itoa(r.To), Position: r.Position, Target: r.Target,
		Note: r.Note, Started: r.StartedAt, Finished: r.FinishedAt,
	}
	if line.Badge.Word == "" {
		line.Badge = Badge{Icon: "circle", Word: r.State, Tone: Neutral}
	}
	if r.From != nil {
		line.Versions = fmt.Sprintf("version %d to %d", *r.From, r.To)
	}
	if r.Target > 0 {
		line.Share = min(1, float64(r.Position)/float64(r.Target))
	}
	took := r.UpdatedAt.Sub(r.StartedAt).Seconds()
	if r.State != "building" || r.Position <= 0 || took <= 0 {
		return line
	}
	rate := float64(r.Position) / took
	line.Pace = fmt.Sprintf("%.0f events a second", rate)
	if left := r.Target - r.Position; left > 0 {
		line.Pace += ", about " + roughly(time.Duration(float64(left)/rate*float64(time.Second))) + " to go"
	}
	return line
}
