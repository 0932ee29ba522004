package view

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// CredentialExpiry is when a connection's credential ends.
type CredentialExpiry struct {
	Kind string
	At   time.Time
}

// ExpiryOf is when a connection's credential ends; nil where it has no end or none is known.
func ExpiryOf(c projections.Connection) *CredentialExpiry {
	if c.CredentialExpiresAt == nil {
		return nil
	}
	return &CredentialExpiry{Kind: c.CredentialKind, At: *c.CredentialExpiresAt}
}

// Days are the whole days that are left, rounded up; 0 when it has ended.
func (e CredentialExpiry) Days(now time.Time) int {
	left := e.At.Sub(now)
	if left <= 0 {
		return 0
	}
	const day = 24 * time.Hour
	return int((left + day - 1) / day)
}

// Short is Days for a cell: "12 d".
func (e CredentialExpiry) Short(now time.Time) string { return strconv.Itoa(e.Days(now)) + " d" }

// Near says whether it is worth a word: within the first warning.
func (e CredentialExpiry) Near(now time.Time) bool { return e.Days(now) <= domain.ExpiryThresholds[0] }

// Tone grows with the urgency.
func (e CredentialExpiry) Tone(now time.Time) Tone {
	switch days := e.Days(now); {
	case days == 0:
		return Stop
	case days <= 7:
		return Negative
	case e.Near(now):
		return Warning
	}
	return Neutral
}

// Text says it in words: "Secret expires in 12 days".
func (e CredentialExpiry) Text(now time.Time) string {
	name := map[string]string{"secret": "Secret", "certificate": "Certificate"}[e.Kind]
	if name == "" {
		name = "Credential"
	}
	switch days := e.Days(now); days {
	case 0:
		return name + " has expired"
	case 1:
		return name + " expires within a day"
	default:
		return name + " expires in " + strconv.Itoa(days) + " days"
	}
}

// presentExpiry is a notification of a credential that comes near its end: the days are those that are left now. It leads to
// the connection, where the credential is replaced.
func presentExpiry(n projections.Notification, tenants map[uuid.UUID]string, index int, now time.Time) Notification {
	e := CredentialExpiry{At: *n.Until}
	return Notification{
		ID: int64(index), Href: ConnectionHref(*n.Connection), Tenant: tenants[n.Tenant], At: n.CreatedAt, Unread: n.ReadAt == nil,
		Title: e.Text(now), Text: "That of connection " + Number(*n.Connection) + " ends " + Absolute(e.At) + ". Replace it before then, or every operation on its connections is blocked.",
		Badge: Badge{Icon: "key-round", Word: "Credential", Tone: e.Tone(now)},
	}
}
