package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// StartFacts is what the one presenter of start outcomes works from, whatever surface asked.
type StartFacts struct {
	domain.Decision
	Operation  domain.Operation
	Tenant     domain.Tenant
	Connection domain.ProviderConnection // zero when the tenant has none
	RunNumber  int64                     // the accepted run or the holder; 0 when blocked
	// RunStatus is the holder's execution status as last seen; empty when it is not known yet.
	RunStatus string
	// HolderName is who started the holder.
	HolderName string
	// UsuallyFrom and UsuallyTo bound how long the holder's operation takes here.
	UsuallyFrom, UsuallyTo time.Duration
	// May says whether the viewer can do what a next step asks.
	May func(domain.NextStepAction) bool
	// Inputs and Reconsent are what was asked for, ReserveID a fresh attempt: for asking again when the connection is free.
	Inputs    map[string]string
	Reconsent bool
	ReserveID string
	Now       time.Time
	// Attempt is the attempt that the answer is to; zero for a dry run, which has no receipt.
	Attempt uuid.UUID
}

// RunHref is the canonical page of a run.
func RunHref(number int64) string { return "/admin/operations/" + strconv.FormatInt(number, 10) }

// PresentStart words the gate's answer: the same for every surface, as JSON and as HTML.
func PresentStart(f StartFacts) StartOutcome {
	o := StartOutcome{
		Status: string(f.Outcome), OperationType: string(f.Operation.Type), OperatorVerb: f.Operation.Verb, OperatorTarget: f.Tenant.Name,
	}
	if f.Attempt != uuid.Nil {
		o.ReceiptHref = AttemptHref(f.Attempt.String())
	}
	if f.Connection.Exists() {
		o.ProviderConnection = &ConnectionRef{ID: f.Connection.Number, Provider: f.Connection.Provider, Label: f.Connection.DisplayName, Href: ConnectionHref(f.Connection.Number)}
	}
	if f.RunNumber != 0 {
		status := f.RunStatus
		if status == "" {
			status = string(domain.Queued)
		}
		o.Run = &RunRef{ID: f.RunNumber, URL: RunHref(f.RunNumber), Status: status}
	}
	switch f.Outcome {
	case domain.Accepted:
		f.accepted(&o)
	case domain.Deduped:
		f.deduped(&o)
	case domain.Busy:
		f.busy(&o)
	default:
		f.blocked(&o)
	}
	return o
}

func (f StartFacts) startHref() string {
	return "/admin/t/" + f.Tenant.ExternalID.String() + "/start?operation=" + string(f.Operation.Type)
}

func (f StartFacts) accepted(o *StartOutcome) {
	o.Headline = f.Operation.Label + " started for " + f.Tenant.Name
	o.OperatorMessage = fmt.Sprintf("%s started for %s as run %d.", f.Operation.Label, f.Tenant.Name, f.RunNumber)
	o.NextSteps = []NextStep{step("View run", "Follow its progress live.", RunHref(f.RunNumber), "link")}
	o.Actions = []ActionLink{action("View run", RunHref(f.RunNumber), KindViewRun), action("Start another", f.startHref(), KindStartAnother)}
}

func (f StartFacts) deduped(o *StartOutcome) {
	o.Headline = fmt.Sprintf("Already running: joined run %d", f.RunNumber)
	o.OperatorMessage = fmt.Sprintf("%s for %s is already under way as run %d%s. Nothing new was started.",
		f.Operation.Label, f.Tenant.Name, f.RunNumber, f.startedBy())
	o.ShortReason = Text("The same work is already active.")
	if !f.Holder.Since.IsZero() {
		o.Note = "It has been reading since " + Clock(f.Holder.Since) + " UTC: changes made after that may not be included."
	}
	o.Facts = f.holderFacts("Started by")
	o.NextSteps = []NextStep{step("View run", "See how far it is.", RunHref(f.RunNumber), "link")}
	o.Actions = []ActionLink{action("View run", RunHref(f.RunNumber), KindViewRun), action("Start another", f.startHref(), KindStartAnother)}
	f.offerToWait(o, "Run again after this one")
}

// offerToWait adds the reservation as the second action.
func (f StartFacts) offerToWait(o *StartOutcome, label string) {
	if f.Holder.Since.IsZero() { // a strict identity's run that has ended: there is nothing to wait for
		return
	}
	if o.Reserve = f.reserve(label); o.Reserve != nil {
		o.Actions = slices.Insert(o.Actions, 1, action(label, o.Reserve.Href, KindReserve))
	}
}

func (f StartFacts) busy(o *StartOutcome) {
	holder := domain.OperationByType(f.Holder.Operation).Label
	o.Headline = f.Tenant.Name + "'s connection is busy"
	o.OperatorMessage = f.Operation.Label + " was not started: " + f.held()
	o.ShortReason = Text("Another operation is using this connection.")
	o.Note = "Only one operation at a time can use a connection. Nothing was started."
	if free := f.freeAt(); free != "" {
		o.Note = "Only one operation at a time can use a connection. It should be free at about " + free + " UTC."
	}
	o.Facts = append([]Fact{{Label: "Held by", Text: holder, Href: RunHref(f.RunNumber)}}, f.holderFacts("Started by")...)
	o.NextSteps = []NextStep{
		step("View the run that holds the connection", "See how far it is.", RunHref(f.RunNumber), "link"),
		step("Start again when it has ended", "", f.startHref(), "retry"),
	}
	o.Actions = []ActionLink{action("View holder", RunHref(f.RunNumber), KindViewHolder), action("Check again", f.startHref(), KindCheckAgain)}
	f.offerToWait(o, "Start when free")
}

func (f StartFacts) held() string {
	return fmt.Sprintf("run %d (%s%s) is using the connection %s.",
		f.RunNumber, lowerFirst(domain.OperationByType(f.Holder.Operation).Label), f.startedBy(), f.Connection.DisplayName)
}

func (f StartFacts) startedBy() string {
	if f.HolderName == "" {
		return ""
	}
	return ", started by " + f.HolderName
}

func (f StartFacts) freeAt() string {
	if f.UsuallyTo == 0 || f.Holder.Since.IsZero() {
		return ""
	}
	free := f.Holder.Since.Add(f.UsuallyTo)
	if free.Before(f.Now) {
		return ""
	}
	return free.UTC().Format("15:04")
}

func (f StartFacts) holderFacts(label string) []Fact {
	var facts []Fact
	if f.HolderName != "" {
		facts = append(facts, Fact{Label: label, Text: f.HolderName})
	}
	if !f.Holder.Since.IsZero() {
		facts = append(facts, Fact{Label: "Since", Time: f.Holder.Since})
	}
	if usual := Usually(f.UsuallyFrom, f.UsuallyTo); usual != "" {
		facts = append(facts, Fact{Label: "Such runs take", Text: usual})
	}
	return facts
}

func (f StartFacts) blocked(o *StartOutcome) {
	reason := f.reason()
	o.Headline = "Cannot start: " + lowerFirst(strings.TrimSuffix(reason.Short, "."))
	o.OperatorMessage = reason.Message
	o.ShortReason = Text(reason.Short)
	o.ReasonCode = string(reason.Code)
	if len(f.Facts.Permissions) > 0 {
		o.OperatorMessage += " Affected: " + strings.Join(f.Facts.Permissions, ", ") + "."
	}
	if f.Facts.HoldReason != "" {
		o.OperatorMessage += " Reason given: " + f.Facts.HoldReason + "."
		if !f.Facts.HoldUntil.IsZero() {
			o.OperatorMessage += " The hold ends " + Absolute(f.Facts.HoldUntil) + "."
		}
	}
	o.Note = "Nothing was started and nothing was changed in the tenant."
	o.NextSteps = PresentSteps(reason, f.Tenant.ExternalID.String(), f.May)
	for _, s := range o.NextSteps {
		if s.Href != nil {
			o.Actions = append(o.Actions, action(s.Label, *s.Href, KindNextStep))
			break
		}
	}
	o.Actions = append(o.Actions, action("Check again", f.startHref(), KindCheckAgain))
}

func (f StartFacts) reason() domain.Reason {
	target := domain.ReasonTarget{Tenant: f.Tenant.ExternalID.String()}
	if f.Connection.Exists() {
		target.Connection = strconv.FormatInt(f.Connection.Number, 10)
	}
	return domain.ReasonFor(f.Reason).Given(f.Facts).Fill(target)
}

// PresentSteps words the next steps of a reason on a tenant; where the viewer may not do one, it says who can and leads nowhere. Nobody is told
// to ask themselves, unless there is nothing else to say.
func PresentSteps(reason domain.Reason, tenant string, may func(domain.NextStepAction) bool) []NextStep {
	steps := make([]NextStep, 0, len(reason.NextSteps))
	for _, s := range reason.NextSteps {
		description, href := s.Description, stepHref(s, reason, tenant)
		switch {
		case may == nil || may(s.ActionType):
		case s.ActionType != domain.StepContactOwner:
			description, href = strings.TrimSpace(description+" A manager or owner of the workspace can do this."), ""
		case len(reason.NextSteps) > 1:
			continue
		}
		steps = append(steps, step(s.Label, description, href, string(s.ActionType)))
	}
	return steps
}

// stepHref is where a next step is done. Links to pages that this console does not have are left out, so that no step leads nowhere; a
// check is started from the start form, where consent is in question with the word that it has been given.
func stepHref(s domain.NextStep, reason domain.Reason, tenant string) string {
	if s.ActionType == domain.StepVerify {
		href := "/admin/t/" + tenant + "/start?operation=" + string(domain.OpConnectionCheck)
		if reason.Family == domain.FamilyConsent {
			href += "&reconsent=true"
		}
		return href
	}
	if s.ActionType == domain.StepCreateConnection {
		return NewOnboardingHref(tenant)
	}
	if s.ActionType == domain.StepConsent {
		return s.Href
	}
	for _, prefix := range []string{"/admin/tenants", "/admin/t/", "/admin/operations", "/admin/notifications", "/admin/provider-connections", OnboardingsHref} {
		if strings.HasPrefix(s.Href, prefix) {
			return s.Href
		}
	}
	return ""
}

func step(label, description, href, kind string) NextStep {
	return NextStep{Label: label, Description: Text(description), Href: Text(href), ActionType: Text(kind)}
}

func action(label, href, kind string) ActionLink {
	return ActionLink{Label: label, Href: href, Kind: Text(kind)}
}

func lowerFirst(s string) string {
	if s == "" || (len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z') {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// PresentForecast is the dry run as the start form shows it.
func PresentForecast(f StartFacts) Forecast {
	line := Forecast{Status: string(f.Outcome)}
	switch f.Outcome {
	case domain.Accepted:
		line.Text = "Will start now"
	case domain.Deduped:
		line.Text, line.Link = fmt.Sprintf("Will join run %d", f.RunNumber), &Link{"View run", RunHref(f.RunNumber)}
	case domain.Busy:
		line.Text, line.Link = fmt.Sprintf("Busy: run %d is using the connection", f.RunNumber), &Link{"View holder", RunHref(f.RunNumber)}
		if free := f.freeAt(); free != "" {
			line.Text = "Busy until about " + free + " UTC"
		}
	default:
		reason := f.reason()
		line.Text, line.ReasonCode = "Will be blocked: "+lowerFirst(strings.TrimSuffix(reason.Short, ".")), string(reason.Code)
	}
	return line
}
