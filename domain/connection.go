package domain

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// ConsentState is the second axis of a provider connection.
type ConsentState string

// VerificationState is the third axis of a provider connection.
type VerificationState string

// The values of the consent and verification axes. The first axis, lifecycle, is a boolean: enabled or disabled.
const (
	ConsentUnknown  ConsentState = "unknown"
	ConsentRequired ConsentState = "required"
	ConsentIsGiven  ConsentState = "granted"
	ConsentIsFailed ConsentState = "failed"
	ConsentIsGone   ConsentState = "revoked"

	VerificationUnknown  VerificationState = "unknown"
	VerificationPending  VerificationState = "pending"
	VerificationHealthy  VerificationState = "healthy"
	VerificationDegraded VerificationState = "degraded"
	VerificationBlocked  VerificationState = "blocked"
	VerificationError    VerificationState = "error"
)

// ProviderConnection is how a tenant's provider is reached. Rules:
//
//  1. Its state has three axes and no more: lifecycle (Enabled), Consent, Verification.
//  2. At most one active run holds its protected scope: ScopeAcquired and ScopeReleased alternate in its stream.
//  3. A credential change resets the verification; another app resets the consent and the credential too.
//  4. A check that is admitted makes the verification pending; whatever ends the check records a result.
type ProviderConnection struct {
	ID             uuid.UUID
	Number         int64
	Workspace      uuid.UUID
	Tenant         uuid.UUID
	Provider       string // "microsoft"
	DisplayName    string
	ConnectionType string // "platform" or "dedicated"
	AppID          string

	Enabled      bool
	Consent      ConsentState
	Verification VerificationState

	VerificationReason      ReasonCode
	VerifiedBefore          VerificationState // what the axis said before the check that is pending
	VerifiedBeforeReason    ReasonCode
	Granted, Refused        []string // permission truth of the last check: granted in the tenant; granted but refused when used
	Credential              Credential
	MigrationReviewRequired bool
	Hold                    Hold
	Scope                   ScopeHolder // zero when free
}

// The kinds of credential. Of the first two the secret is kept sealed; of the others nothing is kept.
const (
	CredentialSecret      = "secret"
	CredentialCertificate = "certificate"
	CredentialFederated   = "federated" // the workers' identity on the platform that they run on
	CredentialPlatform    = "platform"  // the operator's own, in the workers' configuration
)

// Credential says what is known about a credential without holding it.
type Credential struct {
	Kind        string    `json:"kind"`
	Fingerprint string    `json:"fingerprint"`
	ExpiresAt   time.Time `json:"expiresAt,omitzero"`
}

// EndingBy is the credential with the end that a person gave for it; zero leaves what it says by itself. A certificate says it: an earlier end
// may stand, as a reminder to replace it in time, a later one would only hide the real one.
func (c Credential) EndingBy(given, at time.Time) (Credential, error) {
	certificate := c.Kind == CredentialCertificate && !c.ExpiresAt.IsZero()
	switch end := c.ExpiresAt.UTC().Format(time.DateOnly); {
	case certificate && !c.ExpiresAt.After(at):
		return c, InvalidField("/secret", "expired", "This certificate ended on "+end+". Use one that is still good.")
	case given.IsZero():
		return c, nil
	case !given.After(at):
		return c, InvalidField("/expiresAt", "past", "It would have expired already. Give the date until which it is good.")
	case certificate && given.After(c.ExpiresAt):
		return c, InvalidField("/expiresAt", "after_certificate", "The certificate is known to end on "+end+". Give an earlier date, or none.")
	}
	c.ExpiresAt = given.UTC()
	return c, nil
}

// ScopeHolder is the active run that holds the protected scope.
type ScopeHolder struct {
	Run       uuid.UUID     `json:"run"`
	RunNumber int64         `json:"runNumber"`
	Operation OperationType `json:"operation"`
	Identity  string        `json:"identity"`
	Initiator ActorRef      `json:"initiator"`
	Since     time.Time     `json:"since,omitzero"` // zero where an ended run is named
}

// Held says whether a run holds the scope.
func (h ScopeHolder) Held() bool { return h.Run != uuid.Nil }

// Exists says whether the connection was created.
func (c ProviderConnection) Exists() bool { return c.ID != uuid.Nil }

// CreateConnection adds a connection to a tenant. It starts enabled, with consent and verification unknown.
func CreateConnection(c ProviderConnection, n ProviderConnectionCreated) ([]Event, error) {
	if c.Exists() {
		return nil, conflict("connection_exists", "This connection exists already.")
	}
	name, err := displayName("/displayName", n.DisplayName)
	if err != nil {
		return nil, err
	}
	n.DisplayName = name
	if n.Provider != "microsoft" {
		return nil, InvalidField("/provider", "unknown_provider", "The provider is microsoft.")
	}
	if err := validApp(n.ConnectionType, n.AppID); err != nil {
		return nil, err
	}
	return []Event{n}, nil
}

func validApp(connectionType, appID string) error {
	if connectionType != "platform" && connectionType != "dedicated" {
		return InvalidField("/connectionType", "unknown_connection_type", "The connection type is platform or dedicated.")
	}
	switch {
	case appID == "" && connectionType == "dedicated":
		return InvalidField("/appId", "required", "Give the application (client) id of the customer's app registration.")
	case len(appID) > 100 || strings.ContainsFunc(appID, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }):
		return InvalidField("/appId", "malformed", "An application id has no spaces and at most 100 characters.")
	}
	return nil
}

// EnteredApp refuses what somebody enters as an application id and is none. Connections that have another one from before keep it.
func EnteredApp(appID string) error {
	if _, err := uuid.Parse(appID); appID != "" && (err != nil || len(appID) != 36) {
		return InvalidField("/appId", "malformed", "An application (client) id is a GUID, like 11111111-2222-3333-4444-555555555555.")
	}
	return nil
}

// SetEnabled writes the lifecycle axis only. Saying what is already so changes nothing.
func (c ProviderConnection) SetEnabled(enabled bool, reason string) ([]Event, error) {
	switch {
	case !c.Exists():
		return nil, ErrNotFound()
	case enabled == c.Enabled:
		return nil, nil
	case enabled:
		return []Event{ConnectionEnabled{}}, nil
	}
	reason, err := statedReason(reason)
	if err != nil {
		return nil, err
	}
	return []Event{ConnectionDisabled{Reason: reason}}, nil
}

// Change gives the connection other settings. Another connection type or app id means another app registration: the credential, the consent
// and the verification belonged to the one before, so they are asked for anew. Saying what is already so changes nothing.
func (c ProviderConnection) Change(to ConnectionChanged) ([]Event, error) {
	if !c.Exists() {
		return nil, ErrNotFound()
	}
	name, err := displayName("/displayName", to.DisplayName)
	if err != nil {
		return nil, err
	}
	to.DisplayName = name
	if err := validApp(to.ConnectionType, to.AppID); err != nil {
		return nil, err
	}
	if to == (ConnectionChanged{DisplayName: c.DisplayName, ConnectionType: c.ConnectionType, AppID: c.AppID}) {
		return nil, nil
	}
	return []Event{to}, nil
}

func (c ProviderConnection) sameApp(to ConnectionChanged) bool {
	return to.ConnectionType == c.ConnectionType && to.AppID == c.AppID
}

// SettingsTag names the settings that Change changes: whoever edits them says which they have seen. 16 hex digits.
func (c ProviderConnection) SettingsTag() string {
	return tagOf([]string{c.DisplayName, c.ConnectionType, c.AppID})
}

// PutOnHold keeps operations from starting on the connection; until zero means until released. A hold that has ended by at is refused.
func (c ProviderConnection) PutOnHold(reason string, until, at time.Time) ([]Event, error) {
	if !c.Exists() {
		return nil, ErrNotFound()
	}
	reason, err := statedReason(reason)
	if err != nil {
		return nil, err
	}
	hold := Hold{Reason: reason, Until: until.UTC()}
	switch {
	case !hold.Active(at):
		return nil, InvalidField("/until", "past", "The hold would have ended already. Choose a later time.")
	case hold == c.Hold:
		return nil, nil
	}
	return []Event{ConnectionHeld{hold}}, nil
}

// LiftHold ends the hold, for a reason. Where there is none, nothing changes.
func (c ProviderConnection) LiftHold(reason string) ([]Event, error) {
	if !c.Exists() {
		return nil, ErrNotFound()
	}
	reason, err := statedReason(reason)
	if err != nil || c.Hold.Reason == "" {
		return nil, err
	}
	return []Event{ConnectionReleased{Reason: reason}}, nil
}

// CompleteMigrationReview says that a person has looked at an imported connection.
func (c ProviderConnection) CompleteMigrationReview() ([]Event, error) {
	if !c.Exists() {
		return nil, ErrNotFound()
	}
	if !c.MigrationReviewRequired {
		return nil, nil
	}
	return []Event{MigrationReviewCompleted{}}, nil
}

// RotateCredential records that another credential is in use. It resets the verification.
func (c ProviderConnection) RotateCredential(cred Credential) ([]Event, error) {
	if !c.Exists() {
		return nil, ErrNotFound()
	}
	if cred.Kind == "" || cred.Fingerprint == "" {
		return nil, InvalidField("/credential", "required", "Name the kind and the fingerprint of the credential.")
	}
	cred.ExpiresAt = cred.ExpiresAt.UTC()
	return []Event{CredentialRotated{cred}}, nil
}

// OfPlatform says whether the connection uses the operator's own application, whose id is app; "" is none.
func (c ProviderConnection) OfPlatform(app string) bool {
	return app != "" && c.ConnectionType == "platform" && c.AppID == app
}

// TakePlatformCredential records that the connection signs in with the credential of the operator's own application, app. For one with another
// application that would be somebody else's secret: it is refused.
func (c ProviderConnection) TakePlatformCredential(app string) ([]Event, error) {
	switch {
	case !c.Exists():
		return nil, ErrNotFound()
	case !c.OfPlatform(app):
		return nil, InvalidField("/kind", "not_the_platforms_app", "Only a connection of type platform with the platform's own application uses its credential.")
	case c.Credential.Kind == CredentialPlatform:
		return nil, nil
	}
	return c.RotateCredential(Credential{Kind: CredentialPlatform, Fingerprint: CredentialPlatform})
}

// RecordConsent writes the consent axis. A grant makes the verification pending on the next check.
func (c ProviderConnection) RecordConsent(to ConsentState, reason ReasonCode) ([]Event, error) {
	return c.recordConsent(to, reason, ConsentGranted{Evidence: EvidenceRecorded})
}

func (c ProviderConnection) recordConsent(to ConsentState, reason ReasonCode, granted ConsentGranted) ([]Event, error) {
	if !c.Exists() {
		return nil, ErrNotFound()
	}
	if to == c.Consent {
		return nil, nil
	}
	switch to {
	case ConsentRequired:
		return []Event{ConsentRequested{Reason: reason}}, nil
	case ConsentIsGiven:
		return []Event{granted}, nil
	case ConsentIsFailed:
		return []Event{ConsentFailed{Reason: reason}}, nil
	case ConsentIsGone:
		return []Event{ConsentRevoked{Reason: reason}}, nil
	}
	return nil, InvalidField("/consentStatus", "unknown_consent_status", "Consent is required, granted, failed or revoked.")
}

// Finding is what a check found out about a connection.
type Finding struct {
	State     VerificationState
	Reason    ReasonCode
	Consent   ConsentState // "" leaves the axis as it is
	Granted   []string
	Refused   []string
	CheckedAt time.Time
}

// RecordVerification writes the verification axis, the permission truth and, where the check proved it, the consent axis. What a check
// run found is dropped when the connection no longer waits for that run.
func (c ProviderConnection) RecordVerification(run uuid.UUID, f Finding) ([]Event, error) {
	if !c.Exists() {
		return nil, ErrNotFound()
	}
	if f.State == VerificationPending || f.State == "" {
		return nil, InvalidField("/verificationStatus", "not_a_result", "A check ends as healthy, degraded, blocked, error or unknown.")
	}
	if run != uuid.Nil && (c.Scope.Run != run || c.Verification != VerificationPending) {
		return nil, nil // what it checked is no longer what is there: the credential changed meanwhile
	}
	var events []Event
	if f.Consent != "" {
		consent, err := c.recordConsent(f.Consent, f.Reason, ConsentGranted{Evidence: EvidenceCheck, Run: run})
		if err != nil {
			return nil, err
		}
		events = consent
	}
	return append(events, VerificationRecorded{
		Run: run, State: f.State, Reason: f.Reason, CheckedAt: f.CheckedAt, Granted: sorted(f.Granted), Refused: sorted(f.Refused),
	}), nil
}

// Release gives the protected scope back at the end of the run that holds it. Where the run was a check that recorded no result
// (it was cancelled, or failed before it found out), the verification returns to what it was before.
func (c ProviderConnection) Release(run uuid.UUID) []Event {
	if !c.Scope.Held() || c.Scope.Run != run {
		return nil
	}
	var events []Event
	if c.Scope.Operation == OpConnectionCheck && c.Verification == VerificationPending {
		events = append(events, VerificationRecorded{
			Run: run, State: c.VerifiedBefore, Reason: c.VerifiedBeforeReason, Granted: c.Granted, Refused: c.Refused,
		})
	}
	return append(events, ScopeReleased{Run: run})
}

// Evolve implements State.
func (c ProviderConnection) Evolve(e Event) ProviderConnection {
	switch e := e.(type) {
	case ProviderConnectionCreated:
		c.ID, c.Number, c.Workspace, c.Tenant = e.Connection, e.Number, e.Workspace, e.Tenant
		c.Provider, c.DisplayName, c.ConnectionType, c.AppID = e.Provider, e.DisplayName, e.ConnectionType, e.AppID
		c.MigrationReviewRequired = e.MigrationReviewRequired
		c.Enabled, c.Consent, c.Verification = true, ConsentUnknown, VerificationUnknown
	case ConnectionEnabled:
		c.Enabled = true
	case ConnectionDisabled:
		c.Enabled = false
	case MigrationReviewCompleted:
		c.MigrationReviewRequired = false
	case ConnectionHeld:
		c.Hold = e.Hold
	case ConnectionReleased:
		c.Hold = Hold{}
	case ConnectionChanged:
		if !c.sameApp(e) {
			c = c.unverified()
			c.Consent, c.Credential = ConsentUnknown, Credential{}
		}
		c.DisplayName, c.ConnectionType, c.AppID = e.DisplayName, e.ConnectionType, e.AppID
	case CredentialRotated:
		c.Credential = e.Credential
		c = c.unverified()
	case ScopeAcquired:
		c.Scope = e.ScopeHolder
	case ScopeReleased:
		c.Scope = ScopeHolder{}
	default:
		c = c.evolveEvidence(e)
	}
	return c
}

// unverified forgets what was found out by checks: it was found out about something else.
func (c ProviderConnection) unverified() ProviderConnection {
	c.Verification, c.VerificationReason, c.Granted, c.Refused = VerificationUnknown, "", nil, nil
	c.VerifiedBefore, c.VerifiedBeforeReason = VerificationUnknown, ""
	return c
}

// evolveEvidence folds the events that say what was found out about the connection: consent and verification.
func (c ProviderConnection) evolveEvidence(e Event) ProviderConnection {
	switch e := e.(type) {
	case ConsentRequested:
		c.Consent = ConsentRequired
	case ConsentGranted:
		c.Consent = ConsentIsGiven
	case ConsentFailed:
		c.Consent = ConsentIsFailed
	case ConsentRevoked:
		c.Consent = ConsentIsGone
	case VerificationStarted:
		c.VerifiedBefore, c.VerifiedBeforeReason = c.Verification, c.VerificationReason
		c.Verification, c.VerificationReason = VerificationPending, ""
	case VerificationRecorded:
		c.Verification, c.VerificationReason = e.State, e.Reason
		c.Granted, c.Refused = e.Granted, e.Refused
	}
	return c
}

// sorted returns a sorted copy without doubles, so that the same set always has the same bytes.
func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}
