package view

import (
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
)

// TokensHref is the page of API tokens.
const TokensHref = "/admin/settings/tokens"

// Tokens is the page of API tokens: one's own, and for who manages tokens the workspace's.
type Tokens struct {
	Tokens  []TokenLine `json:"tokens"`
	History []Change    `json:"history"`
	Made    *MadeToken  `json:"made,omitempty"`

	MayMake   bool         `json:"-"`
	Others    bool         `json:"-"` // those of others are listed too
	Scopes    []Capability `json:"-"` // that the viewer can give
	Tenants   []Link       `json:"-"` // whose Href is the tenant's id
	FirstDay  string       `json:"-"` // of what a token's end can be
	Day       string       `json:"-"` // by default
	LastDay   string       `json:"-"`
	Unlimited string       `json:"-"` // what a token without scopes may
	Now       time.Time    `json:"-"`
}

// TokenLine is one token.
type TokenLine struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Owner   string       `json:"owner"`
	Scopes  []string     `json:"scopes"`  // null is everything that the owner may
	Tenants []string     `json:"tenants"` // null is every tenant that the owner sees
	State   string       `json:"state"`   // active, expired, revoked
	Secrets []SecretLine `json:"secrets"`
	May     string       `json:"-"`
	Sees    string       `json:"-"`
	Mine    bool         `json:"-"`
	Unused  bool         `json:"unused"` // for 60 days
	Change  *Change      `json:"-"`      // the last one
	Rotate  string       `json:"-"`      // where the form is sent; empty shows none
	Revoke  *Button      `json:"-"`
}

// SecretLine is one of a token's secrets, by its first letters.
type SecretLine struct {
	Prefix   string    `json:"prefix"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"lastUsed,omitzero"`
	From     string    `json:"from,omitempty"`
	State    string    `json:"state"`
}

// MadeToken is a secret that is shown this once.
type MadeToken struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
	Env    string `json:"-"` // the line for a file
	File   string `json:"-"` // the same as an address
}

// PresentMadeToken words a new secret.
func PresentMadeToken(name, secret string) *MadeToken {
	env := "TENANTPILOT_TOKEN=" + secret + "\n"
	return &MadeToken{Name: name, Secret: secret, Env: env, File: "data:text/plain;charset=utf-8," + url.PathEscape(env)}
}

// TokenFacts is one token as the page is made from it.
type TokenFacts struct {
	domain.Token
	OwnerName string
	Secrets   []SecretLine // without their states
	Revoked   []bool       // by secret
}

// TokensFacts is what the page is made from.
type TokensFacts struct {
	Tokens  []TokenFacts
	History map[uuid.UUID][]Change // by token, the newest first
	Tenants []Link
	Actor   domain.Actor
	Session bool // tokens are managed by people who are signed in
	Now     time.Time
}

// unusedFor is after how long a token that nobody uses is pointed out.
const unusedFor = 60 * 24 * time.Hour

// PresentTokens words the page.
func PresentTokens(f TokensFacts) Tokens {
	p := Tokens{
		Tokens: []TokenLine{}, History: []Change{}, Tenants: f.Tenants, Now: f.Now, Others: f.Actor.May(domain.CapTokenManage),
		MayMake: f.Session && !f.Actor.Preview, Unlimited: "Everything that I may", FirstDay: day(f.Now.Add(24 * time.Hour)),
		Day: day(f.Now.Add(domain.TokenTime)), LastDay: day(f.Now.Add(domain.MostTokenTime - 24*time.Hour)),
	}
	for _, c := range domain.Capabilities(domain.RoleOwner) {
		if c != domain.CapView && f.Actor.May(c) {
			p.Scopes = append(p.Scopes, Capability{string(c), CapabilityWords(c)})
		}
	}
	names := map[string]string{}
	for _, t := range f.Tenants {
		names[t.Href] = t.Label
	}
	for _, t := range f.Tokens {
		line := presentToken(t, f, names)
		if changes := f.History[t.ID]; len(changes) > 0 {
			line.Change = &changes[0]
			p.History = append(p.History, changes...)
		}
		p.Tokens = append(p.Tokens, line)
	}
	slices.SortFunc(p.History, func(a, b Change) int { return int(b.Position - a.Position) })
	p.History = p.History[:min(20, len(p.History))]
	return p
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func presentToken(t TokenFacts, f TokensFacts, tenants map[string]string) TokenLine {
	line := TokenLine{
		ID: t.ID.String(), Name: t.Name, Owner: t.OwnerName, State: "expired", Mine: t.Owner == f.Actor.Ref.ID, Unused: true,
		May: "Everything that its owner may", Sees: "All tenants that its owner sees", Secrets: []SecretLine{},
	}
	if t.Scopes != nil {
		line.Scopes, line.May = []string{}, "Look only"
		for i, c := range t.Scopes {
			line.Scopes = append(line.Scopes, string(c))
			if i == 0 {
				line.May = CapabilityWords(c)
			} else {
				line.May += "; " + CapabilityWords(c)
			}
		}
	}
	if t.Tenants != nil {
		line.Tenants, line.Sees = []string{}, narrate.Count(len(t.Tenants), "tenant")
		for _, id := range t.Tenants {
			if tenants[id.String()] == "" {
				continue // what the viewer does not see is counted and not named
			}
			line.Tenants = append(line.Tenants, id.String())
			if len(t.Tenants) == 1 {
				line.Sees = tenants[id.String()]
			}
		}
	}
	for i, s := range t.Secrets {
		s.State = "active"
		switch {
		case t.Revoked[i]:
			s.State = "revoked"
		case !s.Expires.IsZero() && !f.Now.Before(s.Expires):
			s.State = "expired"
		case i > 0:
			s.State = "replaced"
		}
		if s.State == "active" || s.State == "replaced" {
			line.State = "active"
		}
		if f.Now.Sub(s.LastUsed) < unusedFor || f.Now.Sub(s.Created) < unusedFor {
			line.Unused = false
		}
		line.Secrets = append(line.Secrets, s)
	}
	if len(t.Revoked) > 0 && t.Revoked[0] {
		line.State = "revoked"
	}
	line.Unused = line.Unused && line.State == "active"
	if !f.Session || f.Actor.Preview || line.State == "revoked" {
		return line
	}
	if line.Mine {
		line.Rotate = TokensHref + "/" + line.ID + "/rotate"
	}
	if line.State == "active" && (line.Mine || f.Actor.May(domain.CapTokenManage)) {
		line.Revoke = &Button{
			Label: "Revoke", Icon: "ban", Post: true, Variant: "ghost", Href: TokensHref + "/" + line.ID + "/revoke",
			Confirm: "Revoke " + t.Name + "? Whatever uses it stops at once.",
		}
	}
	return line
}
