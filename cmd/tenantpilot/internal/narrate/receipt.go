package narrate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tenantpilot/domain"
)

// Receipt is the gate's answer to one attempt, as it was recorded.
type Receipt struct {
	domain.AttemptFacts
	Outcome   domain.Outcome
	Reason    domain.ReasonCode  // only when blocked
	Holder    domain.ScopeHolder // the run that was joined or waited for
	RunNumber int64              // of the run that was opened, joined or waited for; 0 when blocked
	At        time.Time
}

// Names are what a receipt's ids are called; empty ones are told by the id.
type Names struct {
	Initiator, Tenant, Connection string
}

// ErrNoReceipt says that an event is no receipt of a start attempt.
var ErrNoReceipt = errors.New("this event is no receipt of a start attempt")

// ReceiptOf reads the receipt that an event is.
func ReceiptOf(e domain.Event, at time.Time) (Receipt, error) {
	switch e := e.(type) {
	case domain.RunAccepted:
		return Receipt{AttemptFacts: e.AttemptFacts, Outcome: domain.Accepted, RunNumber: e.Number, At: at}, nil
	case domain.RunDeduped:
		return Receipt{AttemptFacts: e.AttemptFacts, Outcome: domain.Deduped, Holder: e.Holder, RunNumber: e.Holder.RunNumber, At: at}, nil
	case domain.ScopeBusy:
		return Receipt{AttemptFacts: e.AttemptFacts, Outcome: domain.Busy, Holder: e.Holder, RunNumber: e.Holder.RunNumber, At: at}, nil
	case domain.StartBlocked:
		return Receipt{AttemptFacts: e.AttemptFacts, Outcome: domain.IsBlocked, Reason: e.Reason, At: at}, nil
	}
	return Receipt{}, ErrNoReceipt
}

// rules are the steps of the gate (domain.Start), in order.
var rules = [...]string{
	"a connection is named, or is the tenant's default",
	"neither the tenant nor the connection is on hold",
	"no migration review is open",
	"the connection is enabled",
	"the credential is there and has not expired",
	"consent is granted",
	"the verification allows this operation",
	"the operation's permissions are granted",
	"the same work is not active already",
	"no other work holds the connection's protected scope",
	"nothing stands in the way",
}

// Rules is how many steps the gate has.
const Rules = len(rules)

// Rule says what step n of the gate (from 1) asks for; empty for others.
func Rule(n int) string {
	if n < 1 || n > len(rules) {
		return ""
	}
	return rules[n-1]
}

// Explain tells a receipt: who asked for what, which rule decided, and the facts it was decided on.
func Explain(r Receipt, n Names) []string {
	return append([]string{asked(r, n), decided(r), answered(r)}, grounds(r)...)
}

func asked(r Receipt, n Names) string {
	who := n.Initiator
	if who == "" {
		who = string(r.Initiator.Kind) + " " + short(r.Initiator.ID)
	}
	tenant := n.Tenant
	if tenant == "" {
		tenant = "tenant " + short(r.Tenant)
	}
	text := fmt.Sprintf("%s asked at %s to start %s on %s", who, Instant(r.At), operation(r.Operation), tenant)
	switch {
	case r.Connection == 0:
		text += ", with no connection to go over"
	case n.Connection != "":
		text += fmt.Sprintf(" over connection %d (%s)", r.Connection, n.Connection)
	default:
		text += " over connection " + strconv.FormatInt(r.Connection, 10)
	}
	switch r.Surface {
	case "":
	case "cli":
		text += ", from the command line"
	default:
		text += ", from " + r.Surface
	}
	switch r.Trigger {
	case domain.TriggerSchedule:
		text += ", by schedule"
	case domain.TriggerSystem:
		text += ", of TenantPilot's own accord"
	case domain.TriggerAPI:
		text += ", by a program"
	}
	return text + "."
}

func decided(r Receipt) string {
	rule := r.Facts.Rule
	text := fmt.Sprintf("Step %d of %d decided", rule, Rules)
	if r.Outcome == domain.Accepted {
		return text + ": all steps passed."
	}
	text += ": it asks that " + Rule(rule) + ", and that was not so."
	switch rule - 1 {
	case 0:
		return text
	case 1:
		return text + " Step 1 had passed."
	}
	return text + fmt.Sprintf(" Steps 1 to %d had passed.", rule-1)
}

func answered(r Receipt) string {
	switch r.Outcome {
	case domain.Accepted:
		return fmt.Sprintf("The answer was accepted: run %d was opened and took the connection's protected scope.", r.RunNumber)
	case domain.Deduped:
		return fmt.Sprintf("The answer was deduped: run %d does the same work, so nothing new was started.", r.RunNumber)
	case domain.Busy:
		text := fmt.Sprintf("The answer was scope busy: run %d (%s) held the connection's protected scope", r.RunNumber, operation(r.Holder.Operation))
		if !r.Holder.Since.IsZero() {
			text += " since " + Instant(r.Holder.Since)
		}
		return text + "."
	}
	reason := domain.ReasonFor(r.Reason).Given(r.Facts)
	return fmt.Sprintf("The answer was blocked, reason %s: %s", reason.Code, reason.Short)
}

// grounds are the facts that the gate read.
func grounds(r Receipt) []string {
	f := r.Facts
	if r.Connection == 0 {
		return nil
	}
	lifecycle := "disabled"
	if f.Enabled {
		lifecycle = "enabled"
	}
	lines := []string{fmt.Sprintf("The gate read version %d of the connection: it was %s, consent was %s, verification was %s.",
		f.ConnectionVersion, lifecycle, known(string(f.Consent)), known(string(f.Verification)))}
	if !f.CredentialExpires.IsZero() {
		state := "was valid until "
		if !r.At.Before(f.CredentialExpires) {
			state = "had expired at "
		}
		lines = append(lines, "The credential "+state+Instant(f.CredentialExpires)+".")
	}
	if f.HoldReason != "" {
		of := ""
		if f.HoldOf != "" {
			of = " on the " + f.HoldOf
		}
		lines = append(lines, "There was a hold"+of+hold(domain.Hold{Reason: f.HoldReason, Until: f.HoldUntil}))
	}
	if len(f.Permissions) > 0 {
		lines = append(lines, "Missing or refused: "+list(f.Permissions)+".")
	}
	if r.Identity != "" {
		lines = append(lines, "Its identity key was "+r.Identity+"; the same key would have been the same work.")
	}
	return lines
}

func known(state string) string {
	if state == "" {
		return "not known"
	}
	return strings.ReplaceAll(state, "_", " ")
}
