package view

import (
	"cmp"
	"strconv"
	"time"
)

// BulkPage is a bulk action: the preview, which asks to be confirmed, or the result.
type BulkPage struct {
	Now time.Time
	// Noun is what the rows are, "run" unless it says otherwise.
	Noun     string
	Headline string
	Text     string
	// Sums count the rows by what becomes of them.
	Sums []Badge
	// Column is the heading over the badges.
	Column string
	Rows   []BulkRow
	// Confirm is the verb on the button that sends Fields to Action; empty has nothing to confirm.
	Confirm string
	Variant string
	Action  string
	Fields  []Field
	// Type is the number that has to be typed; zero asks for none. Error says that it was not.
	Type  int
	Error string
	Back  string
}

// BulkRow is one object of a bulk action. Of one that the viewer cannot see there is only what they sent.
type BulkRow struct {
	Key        string // the run's number, the attempt's id
	Subject    Link
	Detail     string
	Tenant     Link
	Connection string
	Badge      Badge
	Text       string
	Link       *Link
	// Offer is what can be done about the outcome.
	Offer *Button
}

// Subject is the noun of the rows.
func (p BulkPage) Subject() string { return cmp.Or(p.Noun, "run") }

// Badges of bulk rows, besides those of start outcomes.
var (
	BulkNotFound   = Badge{Icon: "circle-question-mark", Word: "Not found", Tone: Neutral}
	BulkNotAllowed = Badge{Icon: "lock", Word: "Not allowed", Tone: Stop}
	BulkRefused    = Badge{Icon: "circle-x", Word: "Not done", Tone: Negative}
	BulkNothing    = Badge{Icon: "circle-minus", Word: "Nothing to do", Tone: Neutral}
	BulkWillEnd    = Badge{Icon: "ban", Word: "Ends at once", Tone: Neutral}
	BulkWillStop   = Badge{Icon: "circle-pause", Word: "Will be asked to stop", Tone: Wait}
	BulkWillStart  = Badge{Icon: "play", Word: "Starts", Tone: Positive}
	BulkWillJoin   = Badge{Icon: "link", Word: "Joins", Tone: Neutral}
	BulkWillWait   = Badge{Icon: "hourglass", Word: "Busy", Tone: Wait}
	BulkWillBlock  = Badge{Icon: "octagon-minus", Word: "Blocked", Tone: Stop}
	BulkEnded      = Badge{Icon: "ban", Word: "Cancelled", Tone: Neutral}
	BulkReplayed   = Badge{Icon: "history", Word: "Replayed already", Tone: Neutral}
	BulkNotNeeded  = Badge{Icon: "circle-check", Word: "Not needed", Tone: Neutral}
	BulkSameWork   = Badge{Icon: "link", Word: "Same work", Tone: Neutral}
	BulkNoReplay   = Badge{Icon: "circle-minus", Word: "Not replayable", Tone: Neutral}
	BulkStillStops = Badge{Icon: "octagon-minus", Word: "Still blocked", Tone: Stop}
	BulkStopping   = Badge{Icon: "circle-pause", Word: "Cancel requested", Tone: Wait}
)

// ForecastBadge is a start outcome that has not come about.
func ForecastBadge(status string) Badge {
	switch status {
	case "accepted":
		return BulkWillStart
	case "deduped":
		return BulkWillJoin
	case "scope_busy":
		return BulkWillWait
	}
	return BulkWillBlock
}

// CountBadges sums rows up by their badge, in the order in which badges first appear.
func CountBadges(rows []BulkRow) []Badge {
	var sums []Badge
	counts := map[string]int{}
	for _, row := range rows {
		if counts[row.Badge.Word] == 0 {
			sums = append(sums, row.Badge)
		}
		counts[row.Badge.Word]++
	}
	for i, b := range sums {
		sums[i].Word = strconv.Itoa(counts[b.Word]) + " " + lowerFirst(b.Word)
	}
	return sums
}
