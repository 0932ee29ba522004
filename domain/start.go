package domain

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Outcome is the gate's answer to a start attempt.
type Outcome string

// The four outcomes. All four are recorded as events.
const (
	Accepted  Outcome = "accepted"
	Deduped   Outcome = "deduped"
	Busy      Outcome = "scope_busy"
	IsBlocked Outcome = "blocked"
)

// Trigger says what set an attempt off.
type Trigger string

// The triggers.
const (
	TriggerOperator Trigger = "operator"
	TriggerSchedule Trigger = "schedule"
	TriggerSystem   Trigger = "system"
	TriggerAPI      Trigger = "api"
)

// Attempt is one try to start an operation. The ids of the run that it may become are chosen by the caller beforehand, so that the
// decision itself has no randomness.
type Attempt struct {
	ID        uuid.UUID
	At        time.Time
	Operation Operation
	Inputs    map[string]string // resolved (Operation.Resolve)
	Actor     ActorRef
	Surface   string
	Trigger   Trigger
	// Reconsent lets a check through although consent is known to be required or revoked: "I already consented, re-check".
	Reconsent bool
	Run       uuid.UUID
	RunNumber int64
}

// Situation is what the gate decides on.
type Situation struct {
	Tenant Tenant
	// Connection is the one named by the attempt, else the tenant's default; zero when the tenant has none.
	Connection        ProviderConnection
	ConnectionVersion int // version of the connection's stream that was folded
	// Earlier is the run that a strict identity already has, ended or not; zero otherwise.
	Earlier Run
}

// Facts are what the decision was made on, kept in every receipt.
type Facts struct {
	Rule              int               `json:"rule"` // step of the gate that decided, 1 to 11
	Enabled           bool              `json:"enabled"`
	Consent           ConsentState      `json:"consent,omitempty"`
	Verification      VerificationState `json:"verification,omitempty"`
	ConnectionVersion int               `json:"connectionVersion"`
	CredentialExpires time.Time         `json:"credentialExpires,omitzero"`
	HoldOf            string            `json:"holdOf,omitempty"` // HoldOfTenant or HoldOfConnection; receipts from before do not say
	HoldReason        string            `json:"holdReason,omitempty"`
	HoldUntil         time.Time         `json:"holdUntil,omitzero"`
	Permissions       []string          `json:"permissions,omitempty"` // what is missing or refused
}

// Whose a hold is.
const (
	HoldOfTenant     = "tenant"
	HoldOfConnection = "connection"
)

// Decision is the gate's answer: the outcome with its facts.
type Decision struct {
	Outcome  Outcome
	Reason   ReasonCode // only when blocked
	Facts    Facts
	Identity string
	// Holder is the run that is joined (deduped) or waited for (scope_busy).
	Holder ScopeHolder
}

// Start is the provider dispatch gate: the one decision on every attempt to start a provider-backed operation. It is pure; the
// real start appends what Changes returns, the dry run throws it away, and Recheck asks it again just before execution.
// Authorization comes before it and is not an outcome. The steps are those of the product's domain document:
//
//  1. a connection is named or is the tenant's default   5. the credential is there and not expired
//  2. neither tenant nor connection is on hold           6. consent is granted
//  3. no migration review is open                        7. verification allows this operation
//  4. the connection is enabled                          8. the operation's permissions are granted
//  9. the same work is active: deduped    10. other work holds the scope: scope_busy    11. accepted
func Start(s Situation, a Attempt) Decision {
	d := Decision{Outcome: Accepted, Facts: factsOf(s)}
	if s.Connection.Exists() {
		d.Identity = a.Operation.Identity(s.Tenant.ID, s.Connection.ID, a.Inputs, a.ID)
	}
	for _, step := range []func(*Decision, Situation, Attempt) ReasonCode{
		checkHolds, checkConnection, checkConsent, checkVerification, checkPermissions,
	} {
		if reason := step(&d, s, a); reason != "" {
			d.Outcome, d.Reason = IsBlocked, reason
			return d
		}
	}
	holder := s.Connection.Scope
	switch {
	case holder.Held() && holder.Identity == d.Identity:
		d.Outcome, d.Facts.Rule, d.Holder = Deduped, 9, holder
	case a.Operation.Rule == Strict && s.Earlier.Exists():
		d.Outcome, d.Facts.Rule, d.Holder = Deduped, 9, s.Earlier.holder()
	case holder.Held():
		d.Outcome, d.Facts.Rule, d.Holder = Busy, 10, holder
	default:
		d.Facts.Rule = 11
	}
	return d
}

// Recheck asks the gate again just before an accepted run is executed, with the scope seen as the run sees it: its own hold does not
// stand in its way. It returns "" when the run may go on, else the reason for which it ends as blocked.
func Recheck(s Situation, r Run, at time.Time) ReasonCode {
	op, err := LookupOperation(r.Operation)
	if err != nil {
		return ReasonDispatchFailed
	}
	if s.Connection.Scope.Run != r.ID {
		return ReasonRunLeaseLost
	}
	s.Connection.Scope = ScopeHolder{}
	d := Start(s, Attempt{ID: r.Attempt, At: at, Operation: op, Inputs: r.Inputs, Reconsent: r.Reconsent})
	return d.Reason
}

// Changes are the events of a decision: an accepted attempt opens the run's stream and takes the scope in the connection's; a
// refused one leaves one receipt on the attempt's own stream.
func (d Decision) Changes(s Situation, a Attempt) []Change {
	about := AttemptFacts{
		Attempt: a.ID, Operation: a.Operation.Type, Identity: d.Identity, Tenant: s.Tenant.ID, Connection: s.Connection.Number,
		Inputs: a.Inputs, Surface: a.Surface, Trigger: a.Trigger, Initiator: a.Actor, Facts: d.Facts,
	}
	receipt := AttemptStream(s.Tenant.Workspace, a.ID)
	switch d.Outcome {
	case IsBlocked:
		return []Change{{receipt, []Event{StartBlocked{AttemptFacts: about, Reason: d.Reason}}}}
	case Deduped:
		return []Change{{receipt, []Event{RunDeduped{AttemptFacts: about, Holder: d.Holder}}}}
	case Busy:
		return []Change{{receipt, []Event{ScopeBusy{AttemptFacts: about, Holder: d.Holder}}}}
	}
	run := d.RunStream(a)
	scope := []Event{ScopeAcquired{ScopeHolder{
		Run: run, RunNumber: a.RunNumber, Operation: a.Operation.Type, Identity: d.Identity, Initiator: a.Actor, Since: a.At,
	}}}
	if a.Operation.Check {
		scope = append(scope, VerificationStarted{Run: run})
	}
	return []Change{
		{run, []Event{RunAccepted{AttemptFacts: about, Run: run, Number: a.RunNumber, Reconsent: a.Reconsent}}},
		{s.Connection.ID, scope},
	}
}

// RunStream is the stream of the run that an accepted attempt opens: its own, or the only one that a strict identity can have.
func (d Decision) RunStream(a Attempt) uuid.UUID {
	if a.Operation.Rule == Strict {
		return StrictRunStream(d.Identity)
	}
	return a.Run
}

func factsOf(s Situation) Facts {
	c := s.Connection
	return Facts{
		Enabled: c.Enabled, Consent: c.Consent, Verification: c.Verification, ConnectionVersion: s.ConnectionVersion,
		CredentialExpires: c.Credential.ExpiresAt,
	}
}

// checkHolds is steps 1 and 2.
func checkHolds(d *Decision, s Situation, a Attempt) ReasonCode {
	d.Facts.Rule = 1
	if !s.Connection.Exists() {
		return ReasonProviderConnectionMissing
	}
	d.Facts.Rule = 2
	for _, h := range []struct {
		Hold
		of string
	}{{s.Tenant.Hold, HoldOfTenant}, {s.Connection.Hold, HoldOfConnection}} {
		if h.Active(a.At) {
			d.Facts.HoldOf, d.Facts.HoldReason, d.Facts.HoldUntil = h.of, h.Reason, h.Until
			return ReasonTenantOnHold
		}
	}
	return ""
}

// checkConnection is steps 3 to 5.
func checkConnection(d *Decision, s Situation, a Attempt) ReasonCode {
	c := s.Connection
	d.Facts.Rule = 3
	if c.MigrationReviewRequired {
		return ReasonProviderConnectionReviewRequired
	}
	d.Facts.Rule = 4
	if !c.Enabled {
		return ReasonProviderConnectionDisabled
	}
	d.Facts.Rule = 5
	if c.Credential.Fingerprint == "" {
		return ReasonProviderCredentialMissing
	}
	if e := c.Credential.ExpiresAt; !e.IsZero() && !a.At.Before(e) {
		return ReasonProviderCredentialExpired
	}
	return ""
}

// checkConsent is step 6. The check itself may find consent out, but where it is known to be required or revoked only on purpose.
func checkConsent(d *Decision, s Situation, a Attempt) ReasonCode {
	d.Facts.Rule = 6
	c := s.Connection.Consent
	if c == ConsentIsGiven || a.Operation.Check && (a.Reconsent || c == ConsentUnknown || c == ConsentIsFailed) {
		return ""
	}
	switch c {
	case ConsentIsFailed:
		return ReasonProviderConsentFailed
	case ConsentIsGone:
		return ReasonProviderConsentRevoked
	}
	return ReasonProviderConsentMissing
}

// checkVerification is step 7.
func checkVerification(d *Decision, s Situation, a Attempt) ReasonCode {
	d.Facts.Rule = 7
	c := s.Connection
	if a.Operation.Check {
		return ""
	}
	switch c.Verification {
	case VerificationHealthy:
		return ""
	case VerificationDegraded:
		if a.Operation.Write {
			return ReasonProviderVerificationDegraded
		}
		return ""
	case VerificationUnknown, "":
		return ReasonProviderVerificationRequired
	case VerificationPending:
		return ReasonProviderVerificationPending
	}
	if c.VerificationReason != "" {
		return c.VerificationReason
	}
	return ReasonProviderVerificationBlocked
}

// checkPermissions is step 8: not granted comes before granted but refused.
func checkPermissions(d *Decision, s Situation, a Attempt) ReasonCode {
	d.Facts.Rule = 8
	if a.Operation.Check {
		return ""
	}
	c := s.Connection
	if missing := without(a.Operation.Permissions, c.Granted); len(missing) > 0 {
		d.Facts.Permissions = missing
		return ReasonProviderPermissionMissing
	}
	var refused []string
	for _, p := range a.Operation.Permissions {
		if slices.Contains(c.Refused, p) {
			refused = append(refused, p)
		}
	}
	if len(refused) > 0 {
		d.Facts.Permissions = refused
		return ReasonProviderPermissionDenied
	}
	return ""
}

func without(all, drop []string) []string {
	var rest []string
	for _, s := range all {
		if !slices.Contains(drop, s) {
			rest = append(rest, s)
		}
	}
	return rest
}
