package commands

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// CreateWorkspace opens a workspace with its first owner. Only the system does so, in the workspace it names.
type CreateWorkspace struct {
	Workspace uuid.UUID
	Name      string
	Owner     uuid.UUID
}

// CreateWorkspace carries a CreateWorkspace out.
func (h *Handler) CreateWorkspace(ctx context.Context, c CreateWorkspace) error {
	return h.onWorkspace(ctx, domain.SystemActor(c.Workspace), func(w domain.Workspace) ([]domain.Event, error) {
		return domain.CreateWorkspace(w, c.Workspace, c.Name, c.Owner)
	})
}

// RenameWorkspace gives the actor's workspace another name.
type RenameWorkspace struct {
	Actor domain.Actor
	Name  string
}

// RenameWorkspace carries a RenameWorkspace out. Saying the name that it has changes nothing.
func (h *Handler) RenameWorkspace(ctx context.Context, c RenameWorkspace) error {
	return h.onWorkspace(ctx, c.Actor, func(w domain.Workspace) ([]domain.Event, error) {
		if err := c.Actor.Authorize(w.ID, uuid.Nil, domain.CapWorkspaceManage); err != nil {
			return nil, err
		}
		return w.Rename(c.Name)
	})
}

// AddMember grants a person a role in the actor's workspace; Tenants nil means all.
type AddMember struct {
	Actor   domain.Actor
	Person  uuid.UUID
	Role    domain.Role
	Tenants []uuid.UUID
}

// AddMember carries an AddMember out.
func (h *Handler) AddMember(ctx context.Context, c AddMember) error {
	return h.onMember(ctx, c.Actor, c.Person, anybody, c.Role, func(w domain.Workspace) ([]domain.Event, error) {
		return w.AddMember(c.Person, c.Role, c.Tenants)
	})
}

// InviteMember offers a person a role in the actor's workspace until an instant.
type InviteMember struct {
	Actor  domain.Actor
	Person uuid.UUID
	Role   domain.Role
	Scope  domain.Scope
	Until  time.Time
}

// InviteMember carries an InviteMember out.
func (h *Handler) InviteMember(ctx context.Context, c InviteMember) error {
	return h.onMember(ctx, c.Actor, c.Person, anybody, c.Role, c.decide)
}

func (c InviteMember) decide(w domain.Workspace) ([]domain.Event, error) {
	return w.InviteMember(c.Person, c.Role, c.Scope, c.Until)
}

// MayInvite is refused as an InviteMember of somebody who is not known yet would be. Nothing is changed.
func (h *Handler) MayInvite(ctx context.Context, c InviteMember) error {
	_, _, err := h.decideNow(ctx, c.Actor, c.Person, anybody, c.Role, c.decide)
	return err
}

// AnswerInvitation accepts or declines the invitation that a person has to a workspace. It is theirs to answer, so it needs no capability.
type AnswerInvitation struct {
	Workspace uuid.UUID
	Person    uuid.UUID
	Accept    bool
}

// AnswerInvitation carries an AnswerInvitation out.
func (h *Handler) AnswerInvitation(ctx context.Context, c AnswerInvitation) error {
	actor := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: c.Person}, Workspace: c.Workspace}
	return h.onWorkspace(ctx, actor, func(w domain.Workspace) ([]domain.Event, error) {
		if !c.Accept {
			return w.WithdrawInvitation(c.Person)
		}
		return w.AcceptInvitation(c.Person, h.now())
	})
}

// WithdrawInvitation takes an invitation to the actor's workspace back.
type WithdrawInvitation struct {
	Actor  domain.Actor
	Person uuid.UUID
}

// WithdrawInvitation carries a WithdrawInvitation out.
func (h *Handler) WithdrawInvitation(ctx context.Context, c WithdrawInvitation) error {
	return h.onMember(ctx, c.Actor, c.Person, known(c.Person), "", func(w domain.Workspace) ([]domain.Event, error) {
		return w.WithdrawInvitation(c.Person)
	})
}

// ChangeRole gives a member of the actor's workspace another role.
type ChangeRole struct {
	Actor  domain.Actor
	Person uuid.UUID
	Role   domain.Role
	// Reviewed is the tag of the review (Workspace.MemberTag) that is saved; empty was not looked at.
	Reviewed string
}

// ChangeRole carries a ChangeRole out.
func (h *Handler) ChangeRole(ctx context.Context, c ChangeRole) error {
	return h.onMember(ctx, c.Actor, c.Person, known(c.Person), c.Role, c.decide)
}

func (c ChangeRole) decide(w domain.Workspace) ([]domain.Event, error) {
	if err := w.AsReviewed(c.Person, c.Reviewed); err != nil {
		return nil, err
	}
	return w.ChangeRole(c.Person, c.Role)
}

// Review is what a change of a member would do, and its tag, to save it by.
type Review struct {
	Effect domain.Effect
	Tag    string
}

// ReviewRole says what a ChangeRole would do for the person on some tenants, given with their groups, and is refused as it would be. Nothing
// is changed.
func (h *Handler) ReviewRole(ctx context.Context, c ChangeRole, tenants map[uuid.UUID][]string) (Review, error) {
	return h.reviewMember(ctx, c.Actor, c.Person, c.Role, tenants, c.decide)
}

// ScopeMember limits which tenants a member of the actor's workspace sees.
type ScopeMember struct {
	Actor  domain.Actor
	Person uuid.UUID
	Scope  domain.Scope
	// Reviewed is as that of ChangeRole.
	Reviewed string
}

// ScopeMember carries a ScopeMember out.
func (h *Handler) ScopeMember(ctx context.Context, c ScopeMember) error {
	return h.onMember(ctx, c.Actor, c.Person, known(c.Person), "", c.decide)
}

func (c ScopeMember) decide(w domain.Workspace) ([]domain.Event, error) {
	if err := w.AsReviewed(c.Person, c.Reviewed); err != nil {
		return nil, err
	}
	return w.ScopeMember(c.Person, c.Scope)
}

// ReviewScope is ReviewRole of a ScopeMember.
func (h *Handler) ReviewScope(ctx context.Context, c ScopeMember, tenants map[uuid.UUID][]string) (Review, error) {
	return h.reviewMember(ctx, c.Actor, c.Person, "", tenants, c.decide)
}

// RemoveMember ends a membership of the actor's workspace; everybody may end their own.
type RemoveMember struct {
	Actor  domain.Actor
	Person uuid.UUID
}

// RemoveMember carries a RemoveMember out.
func (h *Handler) RemoveMember(ctx context.Context, c RemoveMember) error {
	decide := func(w domain.Workspace) ([]domain.Event, error) { return w.RemoveMember(c.Person) }
	if c.Person == c.Actor.Ref.ID && c.Actor.Sees(c.Actor.Workspace, uuid.Nil) {
		return h.onWorkspace(ctx, c.Actor, decide)
	}
	return h.onMember(ctx, c.Actor, c.Person, known(c.Person), "", decide)
}

// DefineRole makes a custom role of the actor's workspace, or changes what one allows.
type DefineRole struct {
	Actor        domain.Actor
	Role         domain.Role
	Capabilities []domain.Capability
}

// DefineRole carries a DefineRole out.
func (h *Handler) DefineRole(ctx context.Context, c DefineRole) error {
	return h.onMembers(ctx, c.Actor, anybody, c.decide)
}

func (c DefineRole) decide(w domain.Workspace) ([]domain.Event, error) {
	if err := c.Actor.MayGrant(slices.Concat(c.Capabilities, w.Capabilities(c.Role))); err != nil {
		return nil, err
	}
	return w.DefineRole(c.Role, c.Capabilities)
}

// RoleReview is what a DefineRole would do.
type RoleReview struct {
	New          bool
	Gains, Loses []domain.Capability
	Members      []uuid.UUID // who have the role
	Changes      bool
}

// ReviewDefineRole says what a DefineRole would do, and is refused as it would be. Nothing is changed.
func (h *Handler) ReviewDefineRole(ctx context.Context, c DefineRole) (RoleReview, error) {
	w, events, err := h.decideNow(ctx, c.Actor, uuid.Nil, anybody, "", c.decide)
	if err != nil {
		return RoleReview{}, err
	}
	was, will := w.Roles[c.Role], slices.Concat(c.Capabilities, []domain.Capability{domain.CapView})
	without := func(in, out []domain.Capability) []domain.Capability {
		return slices.DeleteFunc(slices.Clone(in), func(a domain.Capability) bool { return slices.Contains(out, a) })
	}
	review := RoleReview{New: was == nil, Gains: without(will, was), Loses: without(was, will), Changes: len(events) > 0}
	for person, m := range w.Members {
		if m.Role == c.Role {
			review.Members = append(review.Members, person)
		}
	}
	return review, nil
}

// RemoveRole removes a custom role of the actor's workspace.
type RemoveRole struct {
	Actor domain.Actor
	Role  domain.Role
}

// RemoveRole carries a RemoveRole out.
func (h *Handler) RemoveRole(ctx context.Context, c RemoveRole) error {
	there := func(w domain.Workspace) bool { return w.Capabilities(c.Role) != nil }
	return h.onMembers(ctx, c.Actor, there, func(w domain.Workspace) ([]domain.Event, error) { return w.RemoveRole(c.Role) })
}

// MayManage says whether the actor may change what a person is in its workspace, as the commands about members do: who is neither a member
// nor invited there is not found, and only then the capability is asked for.
func (h *Handler) MayManage(ctx context.Context, actor domain.Actor, person uuid.UUID) error {
	w, _, err := eventstore.Current[domain.Workspace](ctx, h.store, actor.Workspace)
	if err != nil {
		return err
	}
	return authorizeMembers(w, actor, known(person))
}

// anybody is for commands that name nobody and nothing that has to be there.
func anybody(domain.Workspace) bool { return true }

// known says whether a person is a member of a workspace or invited to it.
func known(person uuid.UUID) func(domain.Workspace) bool {
	return func(w domain.Workspace) bool {
		_, member := w.Members[person]
		_, invited := w.Invitations[person]
		return member || invited
	}
}

func authorizeMembers(w domain.Workspace, actor domain.Actor, there func(domain.Workspace) bool) error {
	if actor.Sees(w.ID, uuid.Nil) && !there(w) {
		return domain.ErrNotFound()
	}
	return actor.ManagesMembers(w.ID)
}

// onMembers decides about the members of the actor's workspace, for those who manage them: 404 for what is not there, then 403.
func (h *Handler) onMembers(
	ctx context.Context, actor domain.Actor, there func(domain.Workspace) bool, decide func(domain.Workspace) ([]domain.Event, error),
) error {
	return h.onWorkspace(ctx, actor, func(w domain.Workspace) ([]domain.Event, error) {
		if err := authorizeMembers(w, actor, there); err != nil {
			return nil, err
		}
		return decide(w)
	})
}

// onMember is onMembers about one person, decided as aboutMember does.
func (h *Handler) onMember(
	ctx context.Context, actor domain.Actor, person uuid.UUID, there func(domain.Workspace) bool, grants domain.Role,
	decide func(domain.Workspace) ([]domain.Event, error),
) error {
	return h.onWorkspace(ctx, actor, aboutMember(actor, person, there, grants, decide))
}

// aboutMember decides about a person for those who manage members. Neither what the person holds or was offered nor a role that is handed out may
// be more than the actor holds.
func aboutMember(
	actor domain.Actor, person uuid.UUID, there func(domain.Workspace) bool, grants domain.Role, decide func(domain.Workspace) ([]domain.Event, error),
) func(domain.Workspace) ([]domain.Event, error) {
	return func(w domain.Workspace) ([]domain.Event, error) {
		if err := authorizeMembers(w, actor, there); err != nil {
			return nil, err
		}
		for _, role := range []domain.Role{w.Members[person].Role, w.Invitations[person].Role, grants} {
			if err := actor.MayGrant(w.Capabilities(role)); err != nil {
				return nil, err
			}
		}
		return decide(w)
	}
}

// reviewMember decides as onMember does about a member, and says what would come of it instead of recording it.
func (h *Handler) reviewMember(
	ctx context.Context, actor domain.Actor, person uuid.UUID, grants domain.Role, tenants map[uuid.UUID][]string,
	decide func(domain.Workspace) ([]domain.Event, error),
) (Review, error) {
	w, events, err := h.decideNow(ctx, actor, person, known(person), grants, decide)
	if err != nil {
		return Review{}, err
	}
	return Review{w.EffectOn(person, events, tenants), w.MemberTag(person)}, nil
}

// decideNow is onMember without recording what was decided.
func (h *Handler) decideNow(
	ctx context.Context, actor domain.Actor, person uuid.UUID, there func(domain.Workspace) bool, grants domain.Role,
	decide func(domain.Workspace) ([]domain.Event, error),
) (w domain.Workspace, events []domain.Event, err error) {
	if w, _, err = eventstore.Current[domain.Workspace](ctx, h.store, actor.Workspace); err != nil {
		return w, nil, err
	}
	events, err = aboutMember(actor, person, there, grants, decide)(w)
	return w, events, err
}

// ExportEvidence leaves a trace, in the actor's workspace, of evidence that is about to be handed out about a tenant of it.
type ExportEvidence struct {
	Actor    domain.Actor
	Evidence domain.EvidenceExported
}

// ExportEvidence carries an ExportEvidence out. Evidence must not be handed out before it has succeeded.
func (h *Handler) ExportEvidence(ctx context.Context, c ExportEvidence) error {
	return h.onWorkspace(ctx, c.Actor, func(w domain.Workspace) ([]domain.Event, error) {
		if err := c.Actor.Authorize(w.ID, c.Evidence.Tenant, domain.CapView); err != nil {
			return nil, err
		}
		return w.ExportEvidence(c.Evidence)
	})
}

func (h *Handler) onWorkspace(ctx context.Context, actor domain.Actor, decide func(domain.Workspace) ([]domain.Event, error)) error {
	_, err := h.transact(ctx, request{actor: actor, affinity: actor.Workspace},
		func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
			w, _, err := eventstore.Load[domain.Workspace](ctx, u, actor.Workspace)
			if err != nil {
				return err
			}
			events, err := decide(w)
			u.Append(actor.Workspace, events...)
			return err
		})
	return err
}
