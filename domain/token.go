package domain

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Token is an API token of a member in one workspace. Rules:
//
//  1. It does what its owner may at that very moment, at most: scopes and tenants only narrow that (Actor.Narrow).
//  2. Nobody gives a token what they do not hold.
//  3. It ends at a date, at most MostTokenTime ahead, and can be revoked at any time by its owner and by who manages tokens.
//  4. Rotating gives it another secret; the one before goes on for a while, at most MostTokenOverlap, so that programs can be changed over.
//
// Secrets and their hashes are no part of it.
type Token struct {
	ID        uuid.UUID
	Workspace uuid.UUID
	Owner     uuid.UUID
	Name      string
	Scopes    []Capability // nil is everything that the owner may
	Tenants   []uuid.UUID  // nil is every tenant that the owner sees
	Expires   time.Time
	Revoked   bool
}

// How long tokens and overlaps last: by default, and at most.
const (
	TokenTime        = 90 * 24 * time.Hour
	MostTokenTime    = 366 * 24 * time.Hour
	TokenOverlap     = 24 * time.Hour
	MostTokenOverlap = 7 * 24 * time.Hour
)

// TokenIssued says that a member has a new API token, and what it may do at most. What its owner calls it may say who somebody is, so Issue checks
// it and leaves it out of the event: it is kept beside the log, where it can be erased. Events from before have it.
type TokenIssued struct {
	Token     uuid.UUID    `json:"token"`
	Workspace uuid.UUID    `json:"workspace"`
	Owner     uuid.UUID    `json:"owner"`
	Name      string       `json:"name,omitzero"`
	Prefix    string       `json:"prefix"` // the first letters of the secret, by which it is told apart
	Scopes    []Capability `json:"scopes"`
	Tenants   []uuid.UUID  `json:"tenants"`
	Expires   time.Time    `json:"expires"`
}

// TokenRotated says that a token has another secret, and until when the one before goes on.
type TokenRotated struct {
	Prefix  string    `json:"prefix"`
	Overlap time.Time `json:"overlap"`
	Expires time.Time `json:"expires"`
}

// TokenRevoked says that none of a token's secrets opens anything any more.
type TokenRevoked struct {
	By ActorRef `json:"by"`
}

// EventName implements Event.
func (TokenIssued) EventName() string { return "TokenIssued" }

// EventName implements Event.
func (TokenRotated) EventName() string { return "TokenRotated" }

// EventName implements Event.
func (TokenRevoked) EventName() string { return "TokenRevoked" }

// Exists says whether the token was ever issued.
func (t Token) Exists() bool { return t.ID != uuid.Nil }

// Issue gives a member a token. by is who gives it: the member themself, or the system for whoever runs the server.
func (t Token) Issue(by Actor, n TokenIssued, at time.Time) ([]Event, error) {
	if t.Exists() {
		return nil, nil
	}
	name := strings.TrimSpace(n.Name)
	if name == "" || utf8.RuneCountInString(name) > 80 || !PlainText(name) {
		return nil, InvalidField("/name", "invalid_name", "Give the token a name of at most 80 characters.")
	}
	for _, c := range n.Scopes {
		if !slices.Contains(Capabilities(RoleOwner), c) {
			return nil, InvalidField("/scopes", "unknown_scope", "Choose scopes from the list.")
		}
	}
	if err := by.MayGrant(n.Scopes); err != nil {
		return nil, err
	}
	for _, tenant := range n.Tenants {
		if !by.Sees(n.Workspace, tenant) {
			return nil, InvalidField("/tenants", "unknown_tenant", "Choose tenants from the list.")
		}
	}
	if err := tokenEnds(n.Expires, at); err != nil {
		return nil, err
	}
	n.Name, n.Scopes, n.Tenants = "", distinct(n.Scopes), distinct(n.Tenants)
	return []Event{n}, nil
}

// distinct keeps the first of each, and nil as nil.
func distinct[T comparable](in []T) []T {
	if in == nil {
		return nil
	}
	out := []T{}
	for _, x := range in {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

func tokenEnds(expires, at time.Time) error {
	switch {
	case !expires.After(at):
		return InvalidField("/expires", "past", "Choose a day that is still to come.")
	case expires.After(at.Add(MostTokenTime)):
		return InvalidField("/expires", "too_late", "A token lasts a year at most.")
	}
	return nil
}

// Rotate gives the token another secret. Only its owner may, because whoever has the secret acts as them.
func (t Token) Rotate(by Actor, r TokenRotated, at time.Time) ([]Event, error) {
	if err := t.ownedBy(by); err != nil {
		return nil, err
	}
	if t.Revoked {
		return nil, conflict("token_revoked", "This token was revoked. Make a new one.")
	}
	if r.Overlap.Before(at) || r.Overlap.After(at.Add(MostTokenOverlap)) {
		return nil, InvalidField("/overlap", "out_of_range", "The old secret goes on for seven days at most.")
	}
	if err := tokenEnds(r.Expires, at); err != nil {
		return nil, err
	}
	return []Event{r}, nil
}

// Revoke ends the token with all of its secrets. Revoking again changes nothing.
func (t Token) Revoke(by Actor) ([]Event, error) {
	if err := t.ownedBy(by); err != nil && (!t.Exists() || !by.Sees(t.Workspace, uuid.Nil) || !by.May(CapTokenManage)) {
		return nil, err
	}
	if t.Revoked {
		return nil, nil
	}
	return []Event{TokenRevoked{By: by.Ref}}, nil
}

// ownedBy hides a token from everybody but its owner and whoever manages tokens; those are forbidden what only the owner may.
func (t Token) ownedBy(by Actor) error {
	switch {
	case !t.Exists() || !by.Sees(t.Workspace, uuid.Nil):
		return ErrNotFound()
	case by.Ref.Kind == ActorSystem || by.Ref.Kind == ActorPerson && by.Ref.ID == t.Owner:
		return nil
	case by.May(CapTokenManage):
		return &Refusal{Kind: Forbidden, Code: "token_of_another", Text: "Only its owner can give a token another secret. You can revoke it."}
	}
	return ErrNotFound()
}

// Narrow is the actor as a token of theirs acts: what both allow, on the tenants that both see. nil narrows nothing, and
// seeing goes with everything.
func (a Actor) Narrow(scopes []Capability, tenants []uuid.UUID) Actor {
	if scopes == nil {
		scopes = Capabilities(RoleOwner)
	}
	narrow := a.As(a.Role, append(slices.Clip(scopes), CapView), tenants)
	narrow.Preview = a.Preview
	return narrow
}

// Evolve implements State.
func (t Token) Evolve(e Event) Token {
	switch e := e.(type) {
	case TokenIssued:
		t = Token{ID: e.Token, Workspace: e.Workspace, Owner: e.Owner, Name: e.Name, Scopes: e.Scopes, Tenants: e.Tenants, Expires: e.Expires}
	case TokenRotated:
		t.Expires = e.Expires
	case TokenRevoked:
		t.Revoked = true
	}
	return t
}

// TokenStream is the stream of a token.
func TokenStream(token uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(streamSpace, []byte("token/"+token.String()))
}
