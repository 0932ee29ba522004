package domain

import (
	"time"

	"github.com/google/uuid"
)

// ExpiryThresholds are how many days before a credential's end it is warned of, each once.
var ExpiryThresholds = []int{30, 14, 7, 1}

// CredentialExpiring says that a credential came within so many days of its end.
type CredentialExpiring struct {
	Connection int64      `json:"connection"`
	Tenant     uuid.UUID  `json:"tenant"`
	Credential Credential `json:"credential"`
	Days       int        `json:"days"` // the threshold, not what is left
}

// EventName implements Event.
func (CredentialExpiring) EventName() string { return "CredentialExpiring" }

// ExpiryStream is the stream of warnings about a connection's credentials: a warning changes nothing about the connection itself.
func ExpiryStream(connection uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(connection, []byte("expiry"))
}

// ExpiryWatch is what has been warned of about a connection's credentials.
type ExpiryWatch struct {
	Credential Credential // the one last warned of
	Days       int        // the lowest threshold it was warned at
}

// Evolve implements State.
func (w ExpiryWatch) Evolve(e Event) ExpiryWatch {
	if e, ok := e.(CredentialExpiring); ok {
		w.Credential, w.Days = e.Credential, e.Days
	}
	return w
}

// Warn warns of the lowest threshold that the connection's credential has crossed and was not warned at. Thresholds that nobody was there to
// see are passed over; a credential that has ended, has no end, or belongs to a disabled connection is not warned of.
func (w ExpiryWatch) Warn(c ProviderConnection, at time.Time) []Event {
	left := c.Credential.ExpiresAt.Sub(at)
	if !c.Exists() || !c.Enabled || c.Credential.ExpiresAt.IsZero() || left <= 0 {
		return nil
	}
	crossed := 0
	for _, days := range ExpiryThresholds {
		if left <= time.Duration(days)*24*time.Hour {
			crossed = days
		}
	}
	same := w.Credential.Fingerprint == c.Credential.Fingerprint && w.Credential.ExpiresAt.Equal(c.Credential.ExpiresAt)
	if crossed == 0 || same && w.Days <= crossed {
		return nil
	}
	return []Event{CredentialExpiring{Connection: c.Number, Tenant: c.Tenant, Credential: c.Credential, Days: crossed}}
}
