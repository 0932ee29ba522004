package commands_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// TestMembersAreManagedByThoseWhoMay walks an invitation from its offer to the end of the membership, and tries each step as somebody who
// may not, or who would hand out more than they hold.
func TestMembersAreManagedByThoseWhoMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	owner, manager, grace := w.member(t, domain.RoleOwner), w.actor(domain.RoleManager), uuid.New()
	foreign := owner
	foreign.Workspace = uuid.New()
	hr := domain.Actor{
		Ref: w.actor("hr").Ref, Workspace: w.workspace, Role: "hr",
		Capabilities: append(domain.Capabilities(domain.RoleOperator), domain.CapMemberManage),
	}
	partial := owner // holds every capability, and sees a part of the tenants
	partial.Ref.ID, partial.Tenants = uuid.New(), []uuid.UUID{uuid.New()}
	until := time.Now().Add(time.Hour)
	member, invited := w.member(t, domain.RoleReadonly), uuid.New()
	above, invitedAbove := w.member(t, domain.RoleManager), uuid.New()
	must(t, h.InviteMember(ctx, commands.InviteMember{Actor: owner, Person: invitedAbove, Role: domain.RoleManager, Until: until}))
	must(t, h.InviteMember(ctx, commands.InviteMember{Actor: owner, Person: invited, Role: domain.RoleReadonly, Until: until}))
	must(t, h.DefineRole(ctx, commands.DefineRole{Actor: owner, Role: "x1"}))
	for name, c := range map[string]struct {
		do   func(context.Context, domain.Actor) error
		over bool // would hand out more than hr holds
	}{
		"invite": {func(ctx context.Context, a domain.Actor) error {
			return h.InviteMember(ctx, commands.InviteMember{Actor: a, Person: grace, Role: domain.RoleManager, Until: until})
		}, true},
		"withdraw": {func(ctx context.Context, a domain.Actor) error {
			return h.WithdrawInvitation(ctx, commands.WithdrawInvitation{Actor: a, Person: invited})
		}, false},
		"promote": {func(ctx context.Context, a domain.Actor) error {
			return h.ChangeRole(ctx, commands.ChangeRole{Actor: a, Person: member.Ref.ID, Role: domain.RoleOwner})
		}, true},
		"demote an owner": {func(ctx context.Context, a domain.Actor) error {
			return h.ChangeRole(ctx, commands.ChangeRole{Actor: a, Person: owner.Ref.ID, Role: domain.RoleReadonly})
		}, true},
		"scope a manager": {func(ctx context.Context, a domain.Actor) error {
			return h.ScopeMember(ctx, commands.ScopeMember{Actor: a, Person: above.Ref.ID, Scope: domain.Scope{Groups: []string{}}})
		}, true},
		"withdraw a manager's invitation": {func(ctx context.Context, a domain.Actor) error {
			return h.WithdrawInvitation(ctx, commands.WithdrawInvitation{Actor: a, Person: invitedAbove})
		}, true},
		"replace a manager's invitation": {func(ctx context.Context, a domain.Actor) error {
			return h.InviteMember(ctx, commands.InviteMember{Actor: a, Person: invitedAbove, Role: domain.RoleReadonly, Until: until})
		}, true},
		"remove an owner": {func(ctx context.Context, a domain.Actor) error {
			return h.RemoveMember(ctx, commands.RemoveMember{Actor: a, Person: owner.Ref.ID})
		}, true},
		"define": {func(ctx context.Context, a domain.Actor) error {
			return h.DefineRole(ctx, commands.DefineRole{Actor: a, Role: "x2", Capabilities: []domain.Capability{domain.CapHoldManage}})
		}, true},
		"remove a role": {func(ctx context.Context, a domain.Actor) error {
			return h.RemoveRole(ctx, commands.RemoveRole{Actor: a, Role: "x1"})
		}, false},
		"scope": {func(ctx context.Context, a domain.Actor) error {
			return h.ScopeMember(ctx, commands.ScopeMember{Actor: a, Person: member.Ref.ID})
		}, false},
	} {
		if err := c.do(ctx, foreign); !isKind(err, domain.NotFound) {
			t.Errorf("%s from elsewhere: %v", name, err)
		}
		for who, actor := range map[string]domain.Actor{"a manager": manager, "somebody who sees a part": partial} {
			if err := c.do(ctx, actor); !isKind(err, domain.Forbidden) {
				t.Errorf("%s as %s: %v", name, who, err)
			}
		}
		if err := c.do(ctx, hr); isKind(err, domain.Forbidden) != c.over {
			t.Errorf("%s as somebody who manages members and no more: %v", name, err)
		}
	}
	// Who and what is not there is not found, also by those who may do nothing about it.
	for _, a := range []domain.Actor{owner, manager} {
		for name, err := range map[string]error{
			"withdraw":      h.WithdrawInvitation(ctx, commands.WithdrawInvitation{Actor: a, Person: uuid.New()}),
			"promote":       h.ChangeRole(ctx, commands.ChangeRole{Actor: a, Person: uuid.New(), Role: domain.RoleReadonly}),
			"scope":         h.ScopeMember(ctx, commands.ScopeMember{Actor: a, Person: uuid.New()}),
			"remove":        h.RemoveMember(ctx, commands.RemoveMember{Actor: a, Person: uuid.New()}),
			"remove a role": h.RemoveRole(ctx, commands.RemoveRole{Actor: a, Role: "x9"}),
		} {
			if !isKind(err, domain.NotFound) {
				t.Errorf("%s what is not there: %v", name, err)
			}
		}
	}
	must(t, h.InviteMember(ctx, commands.InviteMember{
		Actor: owner, Person: grace, Role: domain.RoleOperator, Scope: domain.Scope{Groups: []string{"Europe"}}, Until: until,
	}))
	if err := h.AnswerInvitation(ctx, commands.AnswerInvitation{Workspace: w.workspace, Person: uuid.New(), Accept: true}); !isKind(err, domain.NotFound) {
		t.Errorf("somebody else accepts: %v", err)
	}
	must(t, w.handlers[1].AnswerInvitation(ctx, commands.AnswerInvitation{Workspace: w.workspace, Person: grace, Accept: true}))
	self := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: grace}, Workspace: w.workspace, Role: domain.RoleOperator}
	if err := h.RemoveMember(ctx, commands.RemoveMember{Actor: self, Person: member.Ref.ID}); !isKind(err, domain.Forbidden) {
		t.Errorf("an operator removes somebody: %v", err)
	}
	must(t, h.RemoveMember(ctx, commands.RemoveMember{Actor: self, Person: grace})) // everybody may leave
	if w.count(t, "MemberInvited", "InvitationAccepted") != 4 || w.count(t, "MemberRemoved") != 1 {
		t.Error("the log does not tell the story")
	}
}

// TestTwoOwnersCannotBothLeave: they leave at once, through two processes. One stays.
func TestTwoOwnersCannotBothLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		workspace, owners := uuid.New(), []uuid.UUID{uuid.New(), uuid.New()}
		must(t, w.handlers[0].CreateWorkspace(t.Context(), commands.CreateWorkspace{Workspace: workspace, Name: "Two", Owner: owners[0]}))
		must(t, w.handlers[0].AddMember(t.Context(), commands.AddMember{Actor: domain.SystemActor(workspace), Person: owners[1], Role: domain.RoleOwner}))
		errs, start := make([]error, 2), make(chan struct{})
		var wait sync.WaitGroup
		for i, person := range owners {
			self := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: person}, Workspace: workspace, Role: domain.RoleOwner}
			wait.Go(func() {
				<-start
				errs[i] = w.handlers[i].RemoveMember(t.Context(), commands.RemoveMember{Actor: self, Person: person})
			})
		}
		close(start)
		wait.Wait()
		left, _, err := eventstore.Current[domain.Workspace](t.Context(), w.stores[0], workspace)
		must(t, err)
		refused := 0
		for _, err := range errs {
			if refusal, ok := domain.AsRefusal(err); ok && refusal.Code == "last_owner" {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refused != 1 || len(left.Members) != 1 {
			t.Errorf("%d refusals, %d members left; want one of each", refused, len(left.Members))
		}
	}
}
