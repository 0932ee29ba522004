// Package narrate says in sentences what happened. The console and the command line tell an event and a receipt in the same words.
//
// Everything here is pure: an event or a receipt in, text out. Who acted is not part of a sentence; it stands beside it.
package narrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tenantpilot/domain"
)

var aboutPeople = []func(e domain.Event, name string) string{ofWorkspace, ofBreakGlass, ofToken}

var tellers = []func(domain.Event) string{
	ofTenant, ofConnection, ofEvidence, ofAttempt, ofRun, ofReservation, ofOnboarding,
	ofReplay,
}

// Sentence says what an event records. It is total: an event that has no words yet is told by its name. The person it is about is called by
// name, if one is given, and by the first digits of their id otherwise.
func Sentence(e domain.Event, name string) string {
	for _, tell := range aboutPeople {
		if text := tell(e, name); text != "" {
			return text
		}
	}
	for _, tell := range tellers {
		if text := tell(e); text != "" {
			return text
		}
	}
	return e.EventName() + "."
}

func ofWorkspace(e domain.Event, name string) string {
	switch e := e.(type) {
	case domain.WorkspaceCreated:
		return fmt.Sprintf("Created the workspace %s.", e.Name)
	case domain.WorkspaceRenamed:
		return fmt.Sprintf("Renamed the workspace to %s.", e.Name)
	case domain.MemberAdded:
		return fmt.Sprintf("Made %s a member as %s, %s.", person(e.Person, name), e.Role, tenants(e.Tenants == nil))
	case domain.MemberRoleChanged: // what they see is as it was, or told by the next event
		return fmt.Sprintf("Changed the role of %s to %s.", person(e.Person, name), e.Role)
	case domain.MemberRemoved:
		return fmt.Sprintf("Ended the membership of %s.", person(e.Person, name))
	case domain.MemberScoped:
		return fmt.Sprintf("Set which tenants %s sees.", person(e.Person, name))
	case domain.MemberInvited:
		return fmt.Sprintf("Invited %s as %s, until %s.", person(e.Person, name), e.Role, Instant(e.Until))
	case domain.InvitationAccepted:
		return fmt.Sprintf("Accepted the invitation and became a member as %s.", e.Role)
	case domain.InvitationWithdrawn:
		return fmt.Sprintf("Withdrew the invitation of %s.", person(e.Person, name))
	case domain.RoleDefined:
		return fmt.Sprintf("Defined the role %s, which allows %s.", e.Role, list(words(e.Capabilities)))
	case domain.RoleRemoved:
		return fmt.Sprintf("Removed the role %s.", e.Role)
	case domain.EvidenceExported:
		of := fmt.Sprintf("the tenant %s (%s up to %s)", short(e.Tenant), Instant(e.From), Instant(e.To))
		if e.Kind == "run" {
			if of = "run " + short(e.Run); e.Number > 0 {
				of = "run " + strconv.FormatInt(e.Number, 10)
			}
		}
		return fmt.Sprintf("Took evidence of %s out: %s between positions %d and %d.", of, Count(e.Events, "event"), e.First, e.Last)
	case domain.PersonDescribed:
		return fmt.Sprintf("Recorded who %s is, sealed under a key of their own.", person(e.Person, name))
	case domain.SessionsEnded:
		return fmt.Sprintf("Signed out of %s of their own.", Count(e.Sessions, "session"))
	case domain.PersonErased:
		return fmt.Sprintf("Erased who %s was: the key was destroyed.", person(e.Person, name))
	}
	return ""
}

func words[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func ofReservation(e domain.Event) string {
	switch e := e.(type) {
	case domain.StartReserved:
		if e.Holder == 0 {
			return fmt.Sprintf("The start of %s waits for its turn on the connection, until %s.", operation(e.Operation), Instant(e.Until))
		}
		return fmt.Sprintf("The start of %s waits for the connection, held by run %d, until %s.", operation(e.Operation), e.Holder, Instant(e.Until))
	case domain.ReservationEnded:
		switch e.End {
		case domain.ReservationAdmitted:
			return fmt.Sprintf("The waiting start had its turn and was answered %s.", e.Outcome)
		case domain.ReservationExpired:
			return "The waiting start's time was up."
		case domain.ReservationCancelled:
			return "The waiting start was withdrawn."
		}
		return "The waiting start was dropped: who reserved it may no longer start it."
	}
	return ""
}

// tenants does not count: not everybody who reads it may know how many there are.
func tenants(all bool) string {
	if all {
		return "seeing all tenants"
	}
	return "seeing some of the tenants"
}

func ofTenant(e domain.Event) string {
	switch e := e.(type) {
	case domain.TenantRegistered:
		return fmt.Sprintf("Brought tenant %s under management.", e.Name)
	case domain.TenantRenamed:
		return fmt.Sprintf("Renamed the tenant to %s.", e.Name)
	case domain.TenantHeld:
		return "Put the tenant on hold" + hold(e.Hold)
	case domain.TenantReleased:
		if e.Reason != "" {
			return "Lifted the tenant's hold: " + strings.TrimSuffix(e.Reason, ".") + "."
		}
		return "Lifted the tenant's hold."
	case domain.TenantInspected:
		return "Looked at the state of the connections, from the platform's directory."
	case domain.TenantGrouped:
		return "Put the tenant into these groups: " + list(e.Groups) + "."
	case domain.DefaultConnectionChosen:
		return fmt.Sprintf("Made connection %d the tenant's default.", e.Connection)
	}
	return ""
}

func hold(h domain.Hold) string {
	text := ": " + strings.TrimSuffix(h.Reason, ".")
	if h.Until.IsZero() {
		return text + ", until it is released."
	}
	return text + ", until " + Instant(h.Until) + "."
}

func ofConnection(e domain.Event) string {
	switch e := e.(type) {
	case domain.ProviderConnectionCreated:
		return fmt.Sprintf("Created the %s connection %s to %s.", e.ConnectionType, e.DisplayName, e.Provider)
	case domain.ConnectionChanged:
		return fmt.Sprintf("Changed the connection: %s, %s, app %s.", e.DisplayName, e.ConnectionType, e.AppID)
	case domain.ConnectionEnabled:
		return "Enabled the connection."
	case domain.ConnectionDisabled:
		return "Disabled the connection: " + strings.TrimSuffix(e.Reason, ".") + "."
	case domain.MigrationReviewCompleted:
		return "Completed the review of the imported connection."
	case domain.ConnectionHeld:
		return "Put the connection on hold" + hold(e.Hold)
	case domain.ConnectionReleased:
		if e.Reason != "" {
			return "Lifted the connection's hold: " + strings.TrimSuffix(e.Reason, ".") + "."
		}
		return "Lifted the connection's hold."
	case domain.CredentialRotated:
		if e.Credential.Kind == domain.CredentialPlatform {
			return "Put the platform's own credential into use; the verification starts over."
		}
		text := fmt.Sprintf("Put another credential into use, a %s with fingerprint %s", e.Credential.Kind, e.Credential.Fingerprint)
		if !e.Credential.ExpiresAt.IsZero() {
			text += ", valid until " + Instant(e.Credential.ExpiresAt)
		}
		return text + "; the verification starts over."
	case domain.CredentialExpiring:
		return fmt.Sprintf("The credential of connection %d ends within %s.", e.Connection, Count(e.Days, "day"))
	case domain.ScopeAcquired:
		return fmt.Sprintf("Run %d (%s) took the connection's protected scope.", e.RunNumber, operation(e.Operation))
	case domain.ScopeReleased:
		return "Released the connection's protected scope."
	}
	return ""
}

func ofEvidence(e domain.Event) string {
	switch e := e.(type) {
	case domain.ConsentRequested:
		return "Consent is required" + because(e.Reason)
	case domain.ConsentGranted:
		switch e.Evidence {
		case domain.EvidenceCallback:
			return "Consent was granted: the customer's administrator came back with it."
		case domain.EvidenceCheck:
			return "Consent was granted: a connection check found it."
		case domain.EvidenceRecorded:
			return "Consent was granted, as somebody recorded."
		}
		return "Consent was granted by the customer."
	case domain.ConsentFailed:
		return "Asking for consent failed" + because(e.Reason)
	case domain.ConsentAnswerIgnored:
		if e.Directory != "" {
			return "Consent was given for another directory, " + e.Directory + ", and not counted."
		}
		return "An answer to a consent link was not listened to" + because(e.Reason)
	case domain.ConsentRevoked:
		return "Consent that had been given is gone" + because(e.Reason)
	case domain.VerificationStarted:
		return "A check of the connection was admitted; the verification is pending."
	case domain.VerificationRecorded:
		text := fmt.Sprintf("Verification is %s", e.State)
		if e.Reason != "" {
			text += ", " + lowerFirst(strings.TrimSuffix(domain.ReasonFor(e.Reason).Short, "."))
		}
		text += ": " + Count(len(e.Granted), "permission") + " granted"
		if len(e.Refused) > 0 {
			text += ", " + strconv.Itoa(len(e.Refused)) + " refused when used"
		}
		return text + "."
	}
	return ""
}

func ofAttempt(e domain.Event) string {
	switch e := e.(type) {
	case domain.RunAccepted:
		return fmt.Sprintf("Accepted the start of %s as run %d.", operation(e.Operation), e.Number)
	case domain.RunDeduped:
		return fmt.Sprintf("The start of %s joined run %d, which does the same work.", operation(e.Operation), e.Holder.RunNumber)
	case domain.ScopeBusy:
		return fmt.Sprintf("The start of %s found the connection busy with run %d (%s).", operation(e.Operation), e.Holder.RunNumber, operation(e.Holder.Operation))
	case domain.StartBlocked:
		return fmt.Sprintf("The start of %s was blocked: %s", operation(e.Operation), lowerFirst(domain.ReasonFor(e.Reason).Given(e.Facts).Short))
	}
	return ""
}

func ofRun(e domain.Event) string {
	switch e := e.(type) {
	case domain.RunStarted:
		return fmt.Sprintf("Worker %s began try %d with fencing token %d.", e.Worker, e.Try, e.Token)
	case domain.RunProgressed:
		if e.WaitingFor != "" {
			return "Waiting until " + Instant(e.WaitingUntil) + ": " + lowerFirst(domain.ReasonFor(e.WaitingFor).Short)
		}
		if e.Done > 0 {
			return fmt.Sprintf("%s: %d so far.", e.Step, e.Done)
		}
		return e.Step + "."
	case domain.RunItemsRecorded:
		return "Recorded " + Count(len(e.Items), "item") + "."
	case domain.RunCancelRequested:
		return "Cancelling was asked for."
	case domain.RunAwaitingApproval:
		return "Waiting for the customer's approval until " + Instant(e.Until) + "."
	case domain.RunRecovered:
		return fmt.Sprintf("Recovered after its worker was lost: worker %s takes over as try %d.", e.Worker, e.Try)
	case domain.RunCompleted:
		text := "Ended as " + strings.ReplaceAll(string(e.Outcome), "_", " ") + because(e.Reason)
		if e.Summary != "" {
			text += " " + strings.TrimSuffix(e.Summary, ".") + "."
		}
		return text
	}
	return ""
}

// because ends a sentence with the short words of a reason, if there is one.
func because(code domain.ReasonCode) string {
	if code == "" {
		return "."
	}
	return ": " + lowerFirst(strings.TrimSuffix(domain.ReasonFor(code).Short, ".")) + "."
}

func operation(t domain.OperationType) string { return lowerFirst(domain.OperationByType(t).Label) }

// Instant is a time as audits write it: absolute, with zone and seconds.
func Instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Count is a number with its noun.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func person(id fmt.Stringer, name string) string {
	if name == "" {
		return "person " + short(id)
	}
	return name
}

func short(id fmt.Stringer) string { return id.String()[:8] }

// lowerFirst leaves words in capitals, such as abbreviations, alone.
func lowerFirst(s string) string {
	if s == "" || len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z' {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

func list(words []string) string {
	switch len(words) {
	case 0:
		return "none"
	case 1:
		return words[0]
	}
	words = slices.Clone(words)
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
