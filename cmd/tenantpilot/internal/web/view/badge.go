package view

import "strings"

// Tone is the mood of a status. A stylesheet gives it a colour, but a page
// always shows the icon and the word with it.
type Tone string

// The tones of the status vocabulary.
const (
	Neutral  Tone = "neutral"
	Active   Tone = "active"
	Positive Tone = "positive"
	Warning  Tone = "warning"
	Negative Tone = "negative"
	Stop     Tone = "stop"
	Wait     Tone = "wait"
)

// Badge is one status as people see it.
type Badge struct {
	Icon string
	Word string
	Tone Tone
	// Axis names the axis of a connection's state: "Lifecycle", "Consent" or
	// "Verification". Empty for all other badges.
	Axis string
}

type vocabulary map[string]Badge

// of is total: a value nobody has taught us yet is shown as it came.
func (v vocabulary) of(value string) Badge {
	if b, ok := v[value]; ok {
		return b
	}
	return Badge{Icon: "circle-dashed", Word: value, Tone: Neutral}
}

// StartBadge words a start outcome: accepted, deduped, scope_busy, blocked.
func StartBadge(status string) Badge {
	return vocabulary{
		"accepted":   {Icon: "circle-check", Word: "Accepted", Tone: Positive},
		"deduped":    {Icon: "link", Word: "Joined", Tone: Neutral},
		"scope_busy": {Icon: "hourglass", Word: "Busy", Tone: Wait},
		"blocked":    {Icon: "octagon-minus", Word: "Blocked", Tone: Stop},
	}.of(status)
}

// ExecutionBadge words how far a run has come.
func ExecutionBadge(status string) Badge {
	return vocabulary{
		"queued":                    {Icon: "circle", Word: "Queued", Tone: Neutral},
		"running":                   {Icon: "contrast", Word: "Running", Tone: Active},
		"waiting_external_approval": {Icon: "user-round-check", Word: "Awaiting approval", Tone: Wait},
		"completed":                 {Icon: "circle-check", Word: "Completed", Tone: Neutral},
	}.of(status)
}

// OutcomeBadge words how a run ended.
func OutcomeBadge(outcome string) Badge {
	return vocabulary{
		"succeeded":           {Icon: "circle-check", Word: "Succeeded", Tone: Positive},
		"partially_succeeded": {Icon: "triangle-alert", Word: "Partly succeeded", Tone: Warning},
		"failed":              {Icon: "circle-x", Word: "Failed", Tone: Negative},
		"blocked":             {Icon: "octagon-minus", Word: "Blocked", Tone: Stop},
		"cancelled":           {Icon: "ban", Word: "Cancelled", Tone: Neutral},
	}.of(outcome)
}

// RunBadge is the one status a list shows: the outcome once there is one, else
// the execution status. The outcome is empty while it is null.
func RunBadge(executionStatus, outcome string) Badge {
	if outcome != "" {
		return OutcomeBadge(outcome)
	}
	return ExecutionBadge(executionStatus)
}

// CancelBadge words the three visible states of a cooperative cancel.
func CancelBadge(state string) Badge {
	return vocabulary{
		"requested":  {Icon: "circle-pause", Word: "Cancel requested", Tone: Wait},
		"cancelling": {Icon: "circle-pause", Word: "Cancelling", Tone: Wait},
		"cancelled":  {Icon: "ban", Word: "Cancelled", Tone: Neutral},
	}.of(state)
}

// ItemBadge words the result of one item of a run.
func ItemBadge(result string) Badge {
	return vocabulary{
		"pending":   {Icon: "circle", Word: "Pending", Tone: Neutral},
		"confirmed": {Icon: "circle-check", Word: "Confirmed", Tone: Positive},
		"refused":   {Icon: "circle-x", Word: "Refused", Tone: Negative},
		"skipped":   {Icon: "circle-minus", Word: "Skipped", Tone: Neutral},
		"unknown":   {Icon: "circle-question-mark", Word: "Unknown, needs read-back", Tone: Warning},
	}.of(result)
}

// SummaryBadge words a tenant's provider summary.
func SummaryBadge(state string) Badge {
	return vocabulary{
		"missing":            {Icon: "circle-dashed", Word: "No connection", Tone: Stop},
		"configured":         {Icon: "triangle-alert", Word: "No default", Tone: Warning},
		"default_configured": {Icon: "circle-check", Word: "Configured", Tone: Positive},
	}.of(state)
}

// Axes is a connection's state: exactly three axes. Empty means null, which is
// shown as "not yet known".
type Axes struct {
	Lifecycle    string
	Consent      string
	Verification string
}

// Badges are always these three, in this order, each with its axis name.
func (a Axes) Badges() [3]Badge {
	lifecycle := vocabulary{
		"enabled":  {Icon: "power", Word: "Enabled", Tone: Positive},
		"disabled": {Icon: "power-off", Word: "Disabled", Tone: Stop},
	}
	consent := vocabulary{
		"unknown":  {Icon: "circle-question-mark", Word: "Unknown", Tone: Neutral},
		"required": {Icon: "key-round", Word: "Required", Tone: Wait},
		"granted":  {Icon: "shield-check", Word: "Granted", Tone: Positive},
		"failed":   {Icon: "shield-x", Word: "Failed", Tone: Negative},
		"revoked":  {Icon: "shield-off", Word: "Revoked", Tone: Stop},
	}
	verification := vocabulary{
		"unknown":  {Icon: "circle-question-mark", Word: "Unknown", Tone: Neutral},
		"pending":  {Icon: "contrast", Word: "Pending", Tone: Active},
		"healthy":  {Icon: "circle-check", Word: "Healthy", Tone: Positive},
		"degraded": {Icon: "triangle-alert", Word: "Degraded", Tone: Warning},
		"blocked":  {Icon: "octagon-minus", Word: "Blocked", Tone: Stop},
		"error":    {Icon: "circle-x", Word: "Error", Tone: Negative},
	}
	return [3]Badge{
		lifecycle.axis("Lifecycle", a.Lifecycle),
		consent.axis("Consent", a.Consent),
		verification.axis("Verification", a.Verification),
	}
}

func (v vocabulary) axis(name, value string) Badge {
	b := Badge{Icon: "circle-dashed", Word: "Not yet known", Tone: Neutral}
	if value != "" {
		b = v.of(value)
	}
	b.Axis = name
	return b
}

// Sentence is the badge in words, for tooltips and screen readers.
func (b Badge) Sentence() string {
	if b.Axis == "" {
		return b.Word
	}
	return b.Axis + ": " + strings.ToLower(b.Word)
}
