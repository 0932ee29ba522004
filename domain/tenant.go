package domain

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// Tenant is a managed Entra tenant. Rules:
//
//  1. A directory id is managed at most once per workspace: the stream id is derived from both (TenantStream).
//  2. It has at most one default provider connection.
//  3. While it is on hold, nothing starts.
type Tenant struct {
	ID         uuid.UUID
	Number     int64
	Workspace  uuid.UUID
	ExternalID uuid.UUID // the Entra directory id, used in paths
	Name       string
	Domain     string
	Hold       Hold
	Groups     []string // sorted
	// DefaultConnection is the number of the default provider connection, 0 when there is none.
	DefaultConnection int64
}

// Hold keeps operations from starting until it is released or it expires.
type Hold struct {
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"` // zero means until released
}

// Active says whether the hold is in force at an instant.
func (h Hold) Active(at time.Time) bool {
	return h.Reason != "" && (h.Until.IsZero() || at.Before(h.Until))
}

var streamSpace = uuid.MustParse("6e0b8a52-6f0b-5d0c-9c39-8a9b35b1c7f4")

// TenantStream is the stream of a directory in a workspace: managing it twice is the same stream, so it cannot happen.
func TenantStream(workspace, externalID uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(streamSpace, []byte("tenant/"+workspace.String()+"/"+externalID.String()))
}

// ConnectionStream is the stream of the provider connection with a number.
func ConnectionStream(number int64) uuid.UUID {
	return uuid.NewSHA1(streamSpace, []byte("connection/"+strconv.FormatInt(number, 10)))
}

// AttemptStream is the stream that holds the receipt of a refused start attempt of a workspace.
func AttemptStream(workspace, attempt uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(streamSpace, []byte("attempt/"+workspace.String()+"/"+attempt.String()))
}

// StrictRunStream is the stream of the only run that a strict identity can ever have.
func StrictRunStream(identity string) uuid.UUID {
	return uuid.NewSHA1(streamSpace, []byte("run/"+identity))
}

// Exists says whether the tenant was registered.
func (t Tenant) Exists() bool { return t.ID != uuid.Nil }

// RegisterTenant brings a directory under management.
func RegisterTenant(t Tenant, n TenantRegistered) ([]Event, error) {
	if t.Exists() {
		return nil, conflict("tenant_exists", "This directory is managed in this workspace already.")
	}
	name, err := displayName("/name", n.Name)
	if err != nil {
		return nil, err
	}
	n.Name, n.Domain = name, strings.ToLower(strings.TrimSpace(n.Domain))
	if len(n.Domain) > 253 || strings.ContainsFunc(n.Domain, func(r rune) bool {
		return r != '.' && r != '-' && !unicode.In(r, unicode.Letter, unicode.Digit, unicode.Mark)
	}) {
		return nil, InvalidField("/domain", "malformed", "Give a domain like contoso.com: letters, digits, dots and hyphens, at most 253 characters.")
	}
	return []Event{n}, nil
}

// Rename gives the tenant another name. Its present name changes nothing.
func (t Tenant) Rename(name string) ([]Event, error) {
	if !t.Exists() {
		return nil, ErrNotFound()
	}
	name, err := displayName("/name", name)
	if err != nil {
		return nil, err
	}
	if name == t.Name {
		return nil, nil
	}
	return []Event{TenantRenamed{Name: name}}, nil
}

// ChooseDefault makes one of the tenant's connections the one that operations use when none is named.
func (t Tenant) ChooseDefault(c ProviderConnection) ([]Event, error) {
	if !t.Exists() || !c.Exists() || c.Tenant != t.ID {
		return nil, ErrNotFound()
	}
	if t.DefaultConnection == c.Number {
		return nil, nil
	}
	return []Event{DefaultConnectionChosen{Connection: c.Number}}, nil
}

// PutOnHold keeps operations from starting on the tenant; until zero means until released.
func (t Tenant) PutOnHold(reason string, until time.Time) ([]Event, error) {
	if !t.Exists() {
		return nil, ErrNotFound()
	}
	reason, err := statedReason(reason)
	if err != nil {
		return nil, err
	}
	return []Event{TenantHeld{Hold{Reason: reason, Until: until.UTC()}}}, nil
}

// Release lifts the hold, for a reason.
func (t Tenant) Release(reason string) ([]Event, error) {
	if !t.Exists() {
		return nil, ErrNotFound()
	}
	reason, err := statedReason(reason)
	if err != nil || t.Hold.Reason == "" {
		return nil, err
	}
	return []Event{TenantReleased{Reason: reason}}, nil
}

// Inspect records that a platform actor looks at the state of the tenant's connections. For anybody else there is no such tenant.
func (t Tenant) Inspect(actor Actor) ([]Event, error) {
	if !t.Exists() || !actor.Platform || !actor.May(CapPlatformDirectory) {
		return nil, ErrNotFound()
	}
	return []Event{TenantInspected{}}, nil
}

// statedReason is why somebody holds, releases or disables: a text of at most 120 characters on one line.
func statedReason(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", InvalidField("/reason", "required", "Say why.")
	}
	return displayName("/reason", s)
}

// MostGroups is how many groups a tenant may be in.
const MostGroups = 20

// Group puts the tenant into groups, by name, in place of those it was in. Members whose scope names a group see its tenants.
func (t Tenant) Group(groups []string) ([]Event, error) {
	if !t.Exists() {
		return nil, ErrNotFound()
	}
	named, err := groupNames("/groups", append([]string{}, groups...)) // none is not nil
	if err != nil {
		return nil, err
	}
	if named = sorted(named); len(named) > MostGroups {
		return nil, InvalidField("/groups", "too_many", "A tenant is in at most 20 groups.")
	}
	if slices.Equal(named, t.Groups) {
		return nil, nil
	}
	return []Event{TenantGrouped{Groups: named}}, nil
}

// Describe gives the tenant a name and puts it into groups, both at once.
func (t Tenant) Describe(name string, groups []string) ([]Event, error) {
	renamed, err := t.Rename(name)
	if err != nil {
		return nil, err
	}
	grouped, err := t.Group(groups)
	if err != nil {
		return nil, err
	}
	return append(renamed, grouped...), nil
}

// DetailsTag names the details that Describe changes: whoever edits them says which they have seen. 16 hex digits.
func (t Tenant) DetailsTag() string {
	return tagOf(append([]string{t.Name}, t.Groups...))
}

// Evolve implements State.
func (t Tenant) Evolve(e Event) Tenant {
	switch e := e.(type) {
	case TenantRegistered:
		t.ID, t.Number, t.Workspace, t.ExternalID = e.Tenant, e.Number, e.Workspace, e.ExternalID
		t.Name, t.Domain = e.Name, e.Domain
	case TenantRenamed:
		t.Name = e.Name
	case TenantHeld:
		t.Hold = e.Hold
	case TenantReleased:
		t.Hold = Hold{}
	case TenantGrouped:
		t.Groups = e.Groups
	case DefaultConnectionChosen:
		t.DefaultConnection = e.Connection
	}
	return t
}
