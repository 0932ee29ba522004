package view

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// SettingsNav is the navigation between the pages of the settings, as seen from one of them; nothing elsewhere.
func SettingsNav(path string, pages []Link) []Choice {
	nav := make([]Choice, len(pages))
	here := false
	for i, p := range pages {
		nav[i] = Choice{Label: p.Label, Href: p.Href, Current: path == p.Href || strings.HasPrefix(path, p.Href+"/")}
		here = here || nav[i].Current
	}
	if !here {
		return nil
	}
	return nav
}

// Profile is a person's own page: who they are here, how this device shows the console, and where they are signed in.
type Profile struct {
	Name      string        `json:"name"`
	Email     string        `json:"email"`
	Role      string        `json:"role"`
	Workspace string        `json:"workspace"`
	Sessions  []SessionLine `json:"sessions"`
	History   []Change      `json:"history"`

	Facts     []Fact    `json:"-"`
	EndOthers *Button   `json:"-"` // nil when there are no others
	Ends      string    `json:"-"` // when sessions end by themselves
	Now       time.Time `json:"-"`
}

// SessionLine is one place where the person is signed in.
type SessionLine struct {
	ID      string    `json:"id"`
	Device  string    `json:"device"`
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	Used    time.Time `json:"used"`
	Current bool      `json:"current"`
	End     *Button   `json:"-"`
}

// ProfileFacts is what a profile is made from.
type ProfileFacts struct {
	Name, Email, Workspace string
	Role                   domain.Role
	Sessions               []SessionLine // without buttons
	Idle, Lifetime         time.Duration // how long a session lasts unused, and at most
	MayEnd                 bool          // false for tokens, which have no session
	History                []projections.Change
	Now                    time.Time
}

// ProfileHref is the profile; the others are the workspace's page and where previews begin and end.
const (
	ProfileHref      = "/admin/settings/profile"
	WorkspaceHref    = "/admin/settings/workspace"
	PreviewHref      = "/admin/settings/preview"
	EndPreviewHref   = PreviewHref + "/end"
	EndSessionsHref  = ProfileHref + "/sessions/end-others"
	endSessionPrefix = ProfileHref + "/sessions/"
)

// PresentProfile words a profile.
func PresentProfile(f ProfileFacts) Profile {
	p := Profile{
		Name: f.Name, Email: f.Email, Role: string(f.Role), Workspace: f.Workspace, Sessions: []SessionLine{}, History: PresentChanges(f.History), Now: f.Now,
		Ends: "A session ends by itself " + hours(f.Idle) + " after it was last used, and " + hours(f.Lifetime) + " after signing in.",
	}
	p.Facts = []Fact{{Label: "Name", Text: f.Name}, {Label: "E-mail", Text: f.Email}}
	if f.Workspace != "" {
		p.Facts = append(p.Facts, Fact{Label: "Workspace", Text: f.Workspace}, Fact{Label: "Role", Text: p.Role})
	}
	others := 0
	for _, s := range f.Sessions {
		s.Since, s.Used = s.Since.UTC(), s.Used.UTC()
		if !s.Current && f.MayEnd {
			others++
			s.End = &Button{
				Label: "Sign out", Icon: "log-out", Post: true, Variant: "ghost", Href: endSessionPrefix + s.ID + "/end",
				Confirm: "Sign out of " + s.Device + "? What is open there stops at once.",
			}
		}
		p.Sessions = append(p.Sessions, s)
	}
	if others > 0 {
		p.EndOthers = &Button{
			Label: "Sign out everywhere else", Icon: "log-out", Post: true, Variant: "outline", Href: EndSessionsHref,
			Confirm: "Sign out of " + narrate.Count(others, "other session") + "? This one stays.",
		}
	}
	return p
}

func hours(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return narrate.Count(int(d/(24*time.Hour)), "day")
	}
	return narrate.Count(int(d/time.Hour), "hour")
}

// Workspace is the page of a workspace's own settings.
type Workspace struct {
	Name    string      `json:"name"`
	LogKey  *LogKey     `json:"logKey,omitempty"`
	Keyset  *KeysInUse  `json:"keyset,omitempty"`
	Keeps   []Retention `json:"retention"`
	History []Change    `json:"history"`

	// MayRename shows the form.
	MayRename bool      `json:"-"`
	Keys      []Fact    `json:"-"`
	KeysNote  string    `json:"-"` // what is missing and what to do
	Now       time.Time `json:"-"`
}

// LogKey is the key that signs the log, by its public half.
type LogKey struct {
	Name     string `json:"name"`
	Hash     string `json:"hash"` // as in signatures
	Verifier string `json:"verifier"`
}

// KeysInUse says which keys seal credentials. Key material is never in it.
type KeysInUse struct {
	Primary uint32 `json:"primary"` // the id of the key that seals
	Keys    int    `json:"keys"`    // with those that only open
}

// Retention says how long something is kept.
type Retention struct {
	What string `json:"what"`
	Kept string `json:"kept"`
}

// WorkspaceFacts is what the page is made from.
type WorkspaceFacts struct {
	Name      string
	MayRename bool
	Verifier  string // of the log key; empty: this process has none
	Keyset    *KeysInUse
	History   []projections.Change
	Now       time.Time
}

// kept is what docs/retention.md says, for people.
var kept = []Retention{
	{"Events: what happened, and the receipt of every attempt", "For ever. Nothing deletes an event."},
	{"Signed heads of the log", "For ever: they prove the log."},
	{"Read models: the lists and pages of the console", "As long as their events; they can be made again from them."},
	{"Names and addresses of people", "Until the person is erased. Their opaque id stays in the log."},
	{"Credentials of connections", "Sealed, until they are replaced."},
}

// PresentWorkspace words the page.
func PresentWorkspace(f WorkspaceFacts) Workspace {
	p := Workspace{Name: f.Name, MayRename: f.MayRename, Keyset: f.Keyset, Keeps: kept, History: PresentChanges(f.History), Now: f.Now}
	var missing []string
	if parts := strings.SplitN(f.Verifier, "+", 3); len(parts) == 3 {
		p.LogKey = &LogKey{Name: parts[0], Hash: parts[1], Verifier: f.Verifier}
		p.Keys = append(p.Keys, Fact{Label: "Log", Text: parts[0]}, Fact{Label: "Its key", Text: parts[1]},
			Fact{Label: "Verifier key", Text: f.Verifier, Mono: true})
	} else {
		missing = append(missing, "This process has no log key: it signs no heads of the log.")
	}
	if f.Keyset != nil {
		p.Keys = append(p.Keys, Fact{Label: "Credentials", Text: "Sealed with key " + strconv.FormatUint(uint64(f.Keyset.Primary), 10)},
			Fact{Label: "Keys that open", Text: strconv.Itoa(f.Keyset.Keys)})
	} else {
		missing = append(missing, "This process has no keyset: no credential can be set or opened here.")
	}
	p.KeysNote = strings.Join(missing, " ")
	return p
}

// PresentChanges words recorded changes, the newest first.
func PresentChanges(history []projections.Change) []Change {
	list := make([]Change, 0, len(history))
	for _, h := range history {
		text := h.Name
		if e, err := domain.Decode(h.Name, h.Payload); err == nil {
			text = narrate.Sentence(e, h.Subject)
		}
		list = append(list, Change{Position: h.Position, At: h.At.UTC(), Event: h.Name, Sentence: text, Actor: cmp.Or(h.Actor, "TenantPilot")})
	}
	return list
}

// Preview is the strip that says as which role the console is seen.
type Preview struct {
	Role string
	Sees string
	End  Button
}

// PresentPreview words a preview; tenants nil is every tenant.
func PresentPreview(role domain.Role, tenants []uuid.UUID, known []projections.Tenant) *Preview {
	p := &Preview{
		Role: RoleWord(role), Sees: "all tenants",
		End: Button{Label: "End the preview", Icon: "x", Post: true, Variant: "outline", Href: EndPreviewHref},
	}
	if tenants != nil {
		var names []string
		for _, t := range known {
			if slices.Contains(tenants, t.ID) {
				names = append(names, t.Name)
			}
		}
		if p.Sees = strings.Join(names, ", "); p.Sees == "" {
			p.Sees = "no tenant"
		}
	}
	return p
}

// RoleWord is a preset's name as a word; roles that a workspace defined are called what they are.
func RoleWord(r domain.Role) string {
	if slices.Contains(Presets, r) {
		return strings.ToUpper(string(r[:1])) + string(r[1:])
	}
	return string(r)
}
