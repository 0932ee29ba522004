package domain

import (
	"time"

	"github.com/google/uuid"
)

// ProviderConnectionCreated opens a connection's stream. Identifiers only: no secret is ever in an event.
type ProviderConnectionCreated struct {
	Connection              uuid.UUID `json:"connection"`
	Number                  int64     `json:"number"`
	Workspace               uuid.UUID `json:"workspace"`
	Tenant                  uuid.UUID `json:"tenant"`
	Provider                string    `json:"provider"`
	DisplayName             string    `json:"displayName"`
	ConnectionType          string    `json:"connectionType"`
	AppID                   string    `json:"appId"`
	MigrationReviewRequired bool      `json:"migrationReviewRequired,omitempty"`
}

// ConnectionChanged gives the connection other settings, all of them. Another type or app id is another app registration.
type ConnectionChanged struct {
	DisplayName    string `json:"displayName"`
	ConnectionType string `json:"connectionType"`
	AppID          string `json:"appId"`
}

// ConnectionEnabled turns the lifecycle axis to enabled.
type ConnectionEnabled struct{}

// ConnectionDisabled turns the lifecycle axis to disabled.
type ConnectionDisabled struct {
	Reason string `json:"reason"`
}

// MigrationReviewCompleted says that a person has looked at an imported connection.
type MigrationReviewCompleted struct{}

// ConnectionHeld keeps operations from starting on the connection.
type ConnectionHeld struct {
	Hold Hold `json:"hold"`
}

// ConnectionReleased lifts the hold.
type ConnectionReleased struct {
	Reason string `json:"reason"`
}

// CredentialRotated says that another credential is in use: fingerprint and expiry only.
type CredentialRotated struct {
	Credential Credential `json:"credential"`
}

// ConsentRequested says that the customer's consent is needed.
type ConsentRequested struct {
	Reason ReasonCode `json:"reason,omitempty"`
}

// ConsentEvidence says how a granted consent is known.
type ConsentEvidence string

// The kinds of evidence.
const (
	EvidenceUnknown  ConsentEvidence = "unknown"  // recorded before the evidence was kept
	EvidenceRecorded ConsentEvidence = "recorded" // somebody said so
	EvidenceCallback ConsentEvidence = "callback" // the provider sent the customer's administrator back with it
	EvidenceCheck    ConsentEvidence = "check"    // a connection check found it
)

// ConsentGranted says that the customer's administrator consented, and how that is known.
type ConsentGranted struct {
	Evidence ConsentEvidence `json:"evidence"`
	Run      uuid.UUID       `json:"run,omitzero"` // the check that found it
}

// ConsentFailed says that asking for consent failed.
type ConsentFailed struct {
	Reason ReasonCode `json:"reason,omitempty"`
}

// ConsentRevoked says that consent that was given is gone.
type ConsentRevoked struct {
	Reason ReasonCode `json:"reason,omitempty"`
}

// VerificationStarted says that a check was admitted.
type VerificationStarted struct {
	Run uuid.UUID `json:"run"`
}

// VerificationRecorded is the result of a check: the axis, the reason and the permission truth (both lists sorted).
type VerificationRecorded struct {
	Run       uuid.UUID         `json:"run,omitzero"`
	State     VerificationState `json:"state"`
	Reason    ReasonCode        `json:"reason,omitempty"`
	CheckedAt time.Time         `json:"checkedAt,omitzero"`
	Granted   []string          `json:"granted,omitempty"`
	Refused   []string          `json:"refused,omitempty"`
}

// ScopeAcquired says that an admitted run holds the protected scope.
type ScopeAcquired struct {
	ScopeHolder
}

// ScopeReleased says that the run gave the protected scope back.
type ScopeReleased struct {
	Run uuid.UUID `json:"run"`
}

// EventName implements Event.
func (ProviderConnectionCreated) EventName() string { return "ProviderConnectionCreated" }

// EventName implements Event.
func (ConnectionChanged) EventName() string { return "ConnectionChanged" }

// EventName implements Event.
func (ConnectionEnabled) EventName() string { return "ConnectionEnabled" }

// EventName implements Event.
func (ConnectionDisabled) EventName() string { return "ConnectionDisabled" }

// EventName implements Event.
func (MigrationReviewCompleted) EventName() string { return "MigrationReviewCompleted" }

// EventName implements Event.
func (ConnectionHeld) EventName() string { return "ConnectionHeld" }

// EventName implements Event.
func (ConnectionReleased) EventName() string { return "ConnectionReleased.v2" }

// EventName implements Event.
func (CredentialRotated) EventName() string { return "CredentialRotated" }

// EventName implements Event.
func (ConsentRequested) EventName() string { return "ConsentRequested" }

// EventName implements Event.
func (ConsentFailed) EventName() string { return "ConsentFailed" }

// EventName implements Event.
func (ConsentRevoked) EventName() string { return "ConsentRevoked" }

// EventName implements Event.
func (VerificationStarted) EventName() string { return "VerificationStarted" }

// EventName implements Event.
func (VerificationRecorded) EventName() string { return "VerificationRecorded" }

// EventName implements Event.
func (ScopeAcquired) EventName() string { return "ScopeAcquired" }

// EventName implements Event.
func (ScopeReleased) EventName() string { return "ScopeReleased" }

// EventName implements Event.
func (ConsentGranted) EventName() string { return "ConsentGranted.v2" }
