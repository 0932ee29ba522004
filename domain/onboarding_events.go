package domain

import "github.com/google/uuid"

// OnboardingStarted opens a session, or opens it anew after it was abandoned: under the same number, with nothing decided.
type OnboardingStarted struct {
	Session    uuid.UUID `json:"session"`
	Number     int64     `json:"number"`
	Workspace  uuid.UUID `json:"workspace"`
	ExternalID uuid.UUID `json:"externalId"`
	Owner      ActorRef  `json:"owner"`
}

// TenantIdentified says which tenant the session is about, and whether it was managed before.
type TenantIdentified struct {
	Tenant  uuid.UUID `json:"tenant"`
	Managed bool      `json:"managed,omitempty"`
}

// ConnectionChosen attaches a provider connection to the session.
type ConnectionChosen struct {
	Connection int64 `json:"connection"`
	Created    bool  `json:"created,omitempty"` // for the session, not found
}

// VerificationRequested says that a check of the connection was asked for, and what the gate answered.
type VerificationRequested struct {
	Attempt    uuid.UUID  `json:"attempt"`
	Connection int64      `json:"connection"`
	Outcome    Outcome    `json:"outcome"`
	Reason     ReasonCode `json:"reason,omitempty"`
	RunNumber  int64      `json:"runNumber,omitempty"` // the check that was accepted or joined, else the run that is in the way
}

// BootstrapSelected says which operations the session starts, in order. Each waits as a reservation.
type BootstrapSelected struct {
	Connection int64           `json:"connection"`
	Operations []BootstrapItem `json:"operations"`
}

// BootstrapItem is a selected operation and the reservation under which it waits, or waited.
type BootstrapItem struct {
	Operation   OperationType `json:"operation"`
	Reservation uuid.UUID     `json:"reservation"`
}

// BootstrapOperationAdmitted says that a selected operation had its turn, and what the gate answered: a blocked one is passed over.
type BootstrapOperationAdmitted struct {
	Operation   OperationType `json:"operation"`
	Reservation uuid.UUID     `json:"reservation"`
	Outcome     Outcome       `json:"outcome"`
	Reason      ReasonCode    `json:"reason,omitempty"`
	RunNumber   int64         `json:"runNumber,omitempty"`
}

// BootstrapStopped says that the operations that still waited were taken out of the queue.
type BootstrapStopped struct {
	Reservations []uuid.UUID `json:"reservations"`
}

// OnboardingTakenOver says that somebody else goes on with the session.
type OnboardingTakenOver struct {
	From ActorRef `json:"from"`
	By   ActorRef `json:"by"`
}

// OnboardingCompleted says that the tenant is set up. A degraded verification was accepted for a reason.
type OnboardingCompleted struct {
	Connection   int64             `json:"connection"`
	Verification VerificationState `json:"verification"`
	Accepted     string            `json:"accepted,omitempty"`
}

// OnboardingAbandoned says that nobody goes on with the session. What was set up stays.
type OnboardingAbandoned struct {
	Reason string `json:"reason,omitempty"`
}

// EventName implements Event.
func (OnboardingStarted) EventName() string { return "OnboardingStarted" }

// EventName implements Event.
func (TenantIdentified) EventName() string { return "TenantIdentified" }

// EventName implements Event.
func (ConnectionChosen) EventName() string { return "ConnectionChosen" }

// EventName implements Event.
func (VerificationRequested) EventName() string { return "VerificationRequested" }

// EventName implements Event.
func (BootstrapSelected) EventName() string { return "BootstrapSelected" }

// EventName implements Event.
func (BootstrapOperationAdmitted) EventName() string { return "BootstrapOperationAdmitted" }

// EventName implements Event.
func (BootstrapStopped) EventName() string { return "BootstrapStopped" }

// EventName implements Event.
func (OnboardingTakenOver) EventName() string { return "OnboardingTakenOver" }

// EventName implements Event.
func (OnboardingCompleted) EventName() string { return "OnboardingCompleted" }

// EventName implements Event.
func (OnboardingAbandoned) EventName() string { return "OnboardingAbandoned" }
