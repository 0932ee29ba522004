package view

import "strconv"

// StartOutcome is the contract's ProviderStartOutcome: what became of one start
// attempt. One presenter fills it for every surface. The fields without JSON
// name are what only the page shows.
type StartOutcome struct {
	Status             string         `json:"status"`
	OperationType      string         `json:"operationType"`
	OperatorVerb       string         `json:"operatorVerb,omitempty"`
	OperatorTarget     string         `json:"operatorTarget,omitempty"`
	OperatorMessage    string         `json:"operatorMessage"`
	ShortReason        *string        `json:"shortReason"`
	ProviderConnection *ConnectionRef `json:"providerConnection,omitempty"`
	Run                *RunRef        `json:"run,omitempty"`
	NextSteps          []NextStep     `json:"nextSteps,omitempty"`
	Actions            []ActionLink   `json:"actions,omitempty"`

	// Headline is the one line that answers "what happened?", such as
	// "Inventory sync started for Contoso".
	Headline string `json:"-"`
	// ReasonCode is the stable code behind ShortReason.
	ReasonCode string `json:"-"`
	// Note is the sentence that changes what the operator does next, such as
	// "Changes made after 13:58 may not be included".
	Note string `json:"-"`
	// Facts are the circumstances: who holds the scope, since when, how long such runs take.
	Facts []Fact `json:"-"`
	// Reserve asks to start when the connection is free; nil when there is nothing to wait for.
	Reserve *ReserveForm `json:"-"`
	// ReceiptHref leads to the decision receipt, the answer to "Why?".
	ReceiptHref string `json:"-"`
}

// ConnectionRef is the contract's ProviderConnectionContext. Href is for pages.
type ConnectionRef struct {
	ID       int64  `json:"id"`
	Provider string `json:"provider"`
	Label    string `json:"label"`
	Href     string `json:"-"`
}

// RunRef is the contract's RunReference.
type RunRef struct {
	ID     int64  `json:"id"`
	URL    string `json:"url"`
	Status string `json:"status"`
}

// NextStep is something to do about a reason. Description says who can do it
// when the viewer cannot.
type NextStep struct {
	Label       string  `json:"label"`
	Description *string `json:"description"`
	Href        *string `json:"href"`
	ActionType  *string `json:"actionType"`
}

// ActionLink is a button below an outcome; the first one is the obvious one.
type ActionLink struct {
	Label string  `json:"label"`
	Href  string  `json:"href"`
	Kind  *string `json:"kind"`
}

// Kinds of ActionLink. The kinds that lead back to the start form stay inside
// the dialog; all others leave the page.
const (
	KindViewRun      = "view_run"
	KindViewHolder   = "view_holder"
	KindNextStep     = "next_step"
	KindStartAnother = "start_another"
	KindCheckAgain   = "check_again"
	KindReserve      = "reserve" // to be sent, not followed
)

// StaysInDialog says whether the action leads back to the start form.
func (a ActionLink) StaysInDialog() bool {
	kind := String(a.Kind)
	return kind == KindStartAnother || kind == KindCheckAgain
}

// Told is the outcome for programs: what the page says in a note of its own is part of the message.
func (o StartOutcome) Told() StartOutcome {
	if o.Note != "" {
		o.OperatorMessage += " " + o.Note
	}
	return o
}

// Details is the outcome as text to paste into a ticket.
func (o StartOutcome) Details() string {
	text := o.Headline + "\n" + o.OperatorMessage + "\nOperation: " + o.OperationType
	if o.ReasonCode != "" {
		text += "\nReason: " + o.ReasonCode
	}
	if o.ProviderConnection != nil {
		text += "\nConnection: " + o.ProviderConnection.Label
	}
	if o.Run != nil {
		text += "\nRun: " + strconv.FormatInt(o.Run.ID, 10)
	}
	return text
}
