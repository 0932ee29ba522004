package domain

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Workspace is the managed-service provider's organisation. Rules:
//
//  1. It has at least one owner from its creation on, who sees everything; the last owner can neither leave nor lose the role.
//  2. A person is a member once, with one role, seeing all tenants or those of a scope.
//  3. Nobody hands out more than they hold: a role is granted, or defined, only by who has all of its capabilities.
type Workspace struct {
	ID          uuid.UUID
	Name        string
	Members     map[uuid.UUID]Member
	Invitations map[uuid.UUID]Invitation
	Roles       map[Role][]Capability // custom roles; the presets are the same everywhere
}

// Member is what a workspace grants a person.
type Member struct {
	Role  Role
	Scope Scope
}

// Invitation is what a workspace will grant a person who accepts it in time.
type Invitation struct {
	Role  Role
	Scope Scope
	Until time.Time
}

// Scope says which tenants a member sees: those listed or in a listed group, without the exceptions. A scope that lists neither means every
// tenant, those registered later included; an empty list is not the same as none.
type Scope struct {
	Tenants       []uuid.UUID `json:"tenants,omitzero"`
	Groups        []string    `json:"groups,omitzero"`
	ExceptTenants []uuid.UUID `json:"exceptTenants,omitzero"`
	ExceptGroups  []string    `json:"exceptGroups,omitzero"`
}

// Everything says whether the scope limits nothing.
func (s Scope) Everything() bool {
	return s.Tenants == nil && s.Groups == nil && len(s.ExceptTenants) == 0 && len(s.ExceptGroups) == 0
}

// Includes says whether a tenant in some groups is in the scope.
func (s Scope) Includes(tenant uuid.UUID, groups []string) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(list, g) })
	}
	if slices.Contains(s.ExceptTenants, tenant) || in(s.ExceptGroups) {
		return false
	}
	return s.Tenants == nil && s.Groups == nil || slices.Contains(s.Tenants, tenant) || in(s.Groups)
}

// Exists says whether the workspace was created.
func (w Workspace) Exists() bool { return w.ID != uuid.Nil }

// CreateWorkspace opens a workspace with its first owner.
func CreateWorkspace(w Workspace, id uuid.UUID, name string, owner uuid.UUID) ([]Event, error) {
	if w.Exists() {
		return nil, conflict("workspace_exists", "This workspace exists already.")
	}
	name, err := displayName("/name", name)
	if err != nil {
		return nil, err
	}
	return []Event{WorkspaceCreated{Workspace: id, Name: name}, MemberAdded{Person: owner, Role: RoleOwner}}, nil
}

// MustHave refuses somebody who is no member.
func (w Workspace) MustHave(person uuid.UUID) error {
	if _, ok := w.Members[person]; !ok {
		return ErrNotFound()
	}
	return nil
}

// Capabilities lists what a role of this workspace allows, preset or custom; an unknown role allows nothing.
func (w Workspace) Capabilities(r Role) []Capability {
	if caps := Capabilities(r); caps != nil {
		return caps
	}
	return w.Roles[r]
}

// Rename gives the workspace another name.
func (w Workspace) Rename(name string) ([]Event, error) {
	if !w.Exists() {
		return nil, ErrNotFound()
	}
	name, err := displayName("/name", name)
	if err != nil || name == w.Name {
		return nil, err
	}
	return []Event{WorkspaceRenamed{Name: name}}, nil
}

// AddMember grants a person a role; tenants nil means every tenant.
func (w Workspace) AddMember(person uuid.UUID, role Role, tenants []uuid.UUID) ([]Event, error) {
	if !w.Exists() {
		return nil, ErrNotFound()
	}
	if _, ok := w.Members[person]; ok {
		return nil, errMember
	}
	if err := w.grantable(role, Scope{Tenants: tenants}); err != nil {
		return nil, err
	}
	return []Event{MemberAdded{Person: person, Role: role, Tenants: tenants}}, nil
}

// InviteMember offers a person a role until an instant. A newer invitation takes the place of an older one.
func (w Workspace) InviteMember(person uuid.UUID, role Role, scope Scope, until time.Time) ([]Event, error) {
	if !w.Exists() {
		return nil, ErrNotFound()
	}
	if _, ok := w.Members[person]; ok {
		return nil, errMember
	}
	scope, err := scope.checked()
	if err != nil {
		return nil, err
	}
	if err := w.grantable(role, scope); err != nil {
		return nil, err
	}
	return []Event{MemberInvited{Person: person, Role: role, Scope: scope, Until: until.UTC()}}, nil
}

// AcceptInvitation makes the invited person a member with what was offered.
func (w Workspace) AcceptInvitation(person uuid.UUID, at time.Time) ([]Event, error) {
	offer, ok := w.Invitations[person]
	if !ok {
		return nil, ErrNotFound()
	}
	if !at.Before(offer.Until) {
		return nil, conflict("invitation_expired", "This invitation has expired. Ask an owner of the workspace for a new one.")
	}
	if err := w.knownRole(offer.Role); err != nil {
		return nil, conflict("role_removed", "The role that was offered is no longer there. Ask an owner of the workspace for a new invitation.")
	}
	if err := w.grantable(offer.Role, offer.Scope); err != nil {
		return nil, err
	}
	return []Event{InvitationAccepted{Person: person, Role: offer.Role, Scope: offer.Scope}}, nil
}

// WithdrawInvitation takes an offer back, or declines it.
func (w Workspace) WithdrawInvitation(person uuid.UUID) ([]Event, error) {
	if _, ok := w.Invitations[person]; !ok {
		return nil, ErrNotFound()
	}
	return []Event{InvitationWithdrawn{Person: person}}, nil
}

// ChangeRole gives a member another role. What the member sees stays as it is.
func (w Workspace) ChangeRole(person uuid.UUID, role Role) ([]Event, error) {
	m, ok := w.Members[person]
	if !ok {
		return nil, ErrNotFound()
	}
	if err := w.knownRole(role); err != nil || m.Role == role {
		return nil, err
	}
	if err := w.spare(person); err != nil {
		return nil, err
	}
	if role == RoleOwner { // an owner sees everything
		return []Event{MemberRoleChanged{Person: person, Role: role}}, nil
	}
	events := []Event{MemberRoleChanged{Person: person, Role: role, Tenants: m.Scope.Tenants}}
	if m.Scope.Groups != nil || len(m.Scope.ExceptTenants)+len(m.Scope.ExceptGroups) > 0 {
		events = append(events, MemberScoped{Person: person, Scope: m.Scope})
	}
	return events, nil
}

// ScopeMember limits what a member sees. The scope that the member has changes nothing.
func (w Workspace) ScopeMember(person uuid.UUID, scope Scope) ([]Event, error) {
	m, ok := w.Members[person]
	if !ok {
		return nil, ErrNotFound()
	}
	scope, err := scope.checked()
	if err != nil {
		return nil, err
	}
	if err := w.grantable(m.Role, scope); err != nil || scope.same(m.Scope.sorted()) {
		return nil, err
	}
	return []Event{MemberScoped{Person: person, Scope: scope}}, nil
}

// RemoveMember ends a membership.
func (w Workspace) RemoveMember(person uuid.UUID) ([]Event, error) {
	if _, ok := w.Members[person]; !ok {
		return nil, ErrNotFound()
	}
	if err := w.spare(person); err != nil {
		return nil, err
	}
	return []Event{MemberRemoved{Person: person}}, nil
}

// Forget ends what a person has here and was offered. The last owner cannot be forgotten.
func (w Workspace) Forget(person uuid.UUID) ([]Event, error) {
	var events []Event
	if _, ok := w.Invitations[person]; ok {
		events = append(events, InvitationWithdrawn{Person: person})
	}
	if _, ok := w.Members[person]; !ok {
		return events, nil
	}
	removed, err := w.RemoveMember(person)
	return append(events, removed...), err
}

var roleName = regexp.MustCompile(`^[a-z][a-z0-9_-]{1,30}$`)

// DefineRole makes a custom role, or changes what one allows. Every role can see.
func (w Workspace) DefineRole(role Role, caps []Capability) ([]Event, error) {
	if !w.Exists() {
		return nil, ErrNotFound()
	}
	if !roleName.MatchString(string(role)) || Capabilities(role) != nil {
		return nil, InvalidField("/role", "invalid_role", "Name the role in 2 to 31 lower-case letters, digits, - or _, other than a preset's.")
	}
	for _, c := range caps {
		if !slices.Contains(Capabilities(RoleOwner), c) {
			return nil, InvalidField("/capabilities", "unknown_capability", "There is no capability "+string(c)+" to give.")
		}
	}
	caps = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(caps), CapView))))
	if slices.Equal(w.Roles[role], caps) {
		return nil, nil
	}
	return []Event{RoleDefined{Role: role, Capabilities: caps}}, nil
}

// RemoveRole removes a custom role that nobody has and nobody was offered.
func (w Workspace) RemoveRole(role Role) ([]Event, error) {
	if _, ok := w.Roles[role]; !ok {
		return nil, ErrNotFound()
	}
	for _, m := range w.Members {
		if m.Role == role {
			return nil, conflict("role_in_use", "Members have this role. Give them another one first.")
		}
	}
	for _, i := range w.Invitations {
		if i.Role == role {
			return nil, conflict("role_in_use", "Somebody is invited with this role. Withdraw the invitation first.")
		}
	}
	return []Event{RoleRemoved{Role: role}}, nil
}

// spare says whether the workspace can do without a person as an owner.
func (w Workspace) spare(person uuid.UUID) error {
	manages := func(m Member) bool { return m.Role == RoleOwner && m.Scope.Everything() }
	if !manages(w.Members[person]) {
		return nil
	}
	for other, m := range w.Members {
		if other != person && manages(m) {
			return nil
		}
	}
	return conflict("last_owner", "This is the last owner. Make somebody else an owner first.")
}

func (w Workspace) knownRole(r Role) error {
	if len(w.Capabilities(r)) == 0 {
		return InvalidField("/role", "unknown_role", "The role is one of readonly, auditor, operator, manager, owner, or one that the workspace defined.")
	}
	return nil
}

// grantable says whether a role can be had with a scope. Owners see everything: somebody has to.
func (w Workspace) grantable(r Role, s Scope) error {
	if r == RoleOwner && !s.Everything() {
		return InvalidField("/scope", "owner_sees_all", "An owner sees every tenant. Give the person another role.")
	}
	return w.knownRole(r)
}

var errMember = conflict("member_exists", "This person is a member already.")

// ExportEvidence records that evidence leaves the system.
func (w Workspace) ExportEvidence(e EvidenceExported) ([]Event, error) {
	if !w.Exists() {
		return nil, ErrNotFound()
	}
	return []Event{e}, nil
}

// Evolve implements State.
func (w Workspace) Evolve(e Event) Workspace {
	switch e := e.(type) {
	case WorkspaceCreated:
		w.ID, w.Name = e.Workspace, e.Name
	case WorkspaceRenamed:
		w.Name = e.Name
	case MemberAdded:
		w.Members = with(w.Members, e.Person, Member{e.Role, Scope{Tenants: e.Tenants}})
	case MemberRoleChanged:
		w.Members = with(w.Members, e.Person, Member{e.Role, Scope{Tenants: e.Tenants}})
	case MemberScoped:
		w.Members = with(w.Members, e.Person, Member{w.Members[e.Person].Role, e.Scope})
	case MemberRemoved:
		w.Members = dropped(w.Members, e.Person)
	case MemberInvited:
		w.Invitations = with(w.Invitations, e.Person, Invitation{e.Role, e.Scope, e.Until})
	case InvitationAccepted:
		w.Invitations = dropped(w.Invitations, e.Person)
		w.Members = with(w.Members, e.Person, Member{e.Role, e.Scope})
	case InvitationWithdrawn:
		w.Invitations = dropped(w.Invitations, e.Person)
	case RoleDefined:
		w.Roles = with(w.Roles, e.Role, e.Capabilities)
	case RoleRemoved:
		w.Roles = dropped(w.Roles, e.Role)
	}
	return w
}

func with[K comparable, V any](old map[K]V, k K, v V) map[K]V {
	m := maps.Clone(old)
	if m == nil {
		m = map[K]V{}
	}
	m[k] = v
	return m
}

func dropped[K comparable, V any](old map[K]V, k K) map[K]V {
	m := maps.Clone(old)
	delete(m, k)
	return m
}

// same compares sorted scopes.
func (s Scope) same(o Scope) bool {
	return (s.Tenants == nil) == (o.Tenants == nil) && (s.Groups == nil) == (o.Groups == nil) && slices.Equal(s.Tenants, o.Tenants) &&
		slices.Equal(s.Groups, o.Groups) && slices.Equal(s.ExceptTenants, o.ExceptTenants) && slices.Equal(s.ExceptGroups, o.ExceptGroups)
}

// MostScoped is how many tenants, and how many groups, a scope may list, exceptions included.
const MostScoped = 1000

// checked is the scope as it is recorded: sorted, with groups that can be names of groups.
func (s Scope) checked() (Scope, error) {
	for _, list := range []*[]string{&s.Groups, &s.ExceptGroups} {
		var err error
		if *list, err = groupNames("/groups", *list); err != nil {
			return s, err
		}
	}
	if s = s.sorted(); len(s.Tenants)+len(s.ExceptTenants) > MostScoped || len(s.Groups)+len(s.ExceptGroups) > MostScoped {
		return s, InvalidField("/scope", "too_many", "List at most 1000 tenants and 1000 groups. Groups of tenants keep such lists short.")
	}
	return s, nil
}

// groupNames are names of groups, each as it is recorded; nil stays nil.
func groupNames(pointer string, groups []string) ([]string, error) {
	if groups == nil {
		return nil, nil
	}
	named := make([]string, 0, len(groups))
	for _, g := range groups {
		name, err := displayName(pointer, g)
		if err != nil {
			return nil, err
		}
		named = append(named, name)
	}
	return named, nil
}

// sorted is the same scope with each list in order and without doubles, so that it always has the same bytes.
func (s Scope) sorted() Scope {
	ids := func(in []uuid.UUID) []uuid.UUID {
		out := slices.Clone(in)
		slices.SortFunc(out, compareUUIDs)
		return slices.Compact(out)
	}
	return Scope{ids(s.Tenants), sorted(s.Groups), ids(s.ExceptTenants), sorted(s.ExceptGroups)}
}

func compareUUIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// PlainText says whether a text is one line of valid UTF-8 that can steer neither a terminal nor the direction of what stands beside it.
func PlainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, Steers)
}

// Steers says whether a character moves the cursor of a terminal, or turns the direction of what stands beside it.
func Steers(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

func displayName(pointer, s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", InvalidField(pointer, "required", "Give it a name.")
	}
	if utf8.RuneCountInString(s) > 120 || !PlainText(s) {
		return "", InvalidField(pointer, "invalid_name", "Use at most 120 characters on one line.")
	}
	return s, nil
}
