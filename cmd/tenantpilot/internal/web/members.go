package web

import (
	"cmp"
	"net/url"
	"slices"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

const membersHref = view.MembersHref

// invitationTime is how long an invitation, and the link that comes with it, can be used.
const invitationTime = 7 * 24 * time.Hour

func (s *Server) members(r request) (answer, error) { return s.membersPage(r, nil) }

func (s *Server) membersPage(r request, made *view.MadeInvitation) (answer, error) {
	ctx, actor := r.Context(), r.actor()
	if !actor.Sees(actor.Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	f := view.MembersFacts{
		Me: actor.Ref.ID, MayManage: actor.ManagesMembers(actor.Workspace) == nil, SeesAll: actor.Tenants == nil, Now: time.Now().UTC(),
	}
	var err error
	if f.Members, err = s.Read.Members(ctx, actor); err != nil {
		return answer{}, err
	}
	if f.Invitations, err = s.Read.Invitations(ctx, actor); err != nil {
		return answer{}, err
	}
	if f.Roles, err = s.Read.CustomRoles(ctx, actor); err != nil {
		return answer{}, err
	}
	if f.Tenants, err = s.Read.Tenants(ctx, actor); err != nil {
		return answer{}, err
	}
	if f.History, err = s.Read.Changes(ctx, actor, actor.Workspace, 20); err != nil {
		return answer{}, err
	}
	value := view.PresentMembers(f)
	value.Made = made
	return answer{
		title: "Members and roles", media: "application/json", value: value,
		page: func(shell view.Shell) templ.Component { return page.MembersPage(shell, value) },
	}, nil
}

// membersChanged answers a change of members: once the read model has it, the page shows it.
func (s *Server) membersChanged(r request, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	if err := s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
		return answer{}, err
	}
	return answer{redirect: membersHref}, nil
}

func (s *Server) inviteMember(r request) (answer, error) {
	actor := r.actor()
	if err := actor.ManagesMembers(actor.Workspace); err != nil {
		return answer{}, err
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	address, ok := auth.ParseAddress(form.Get("email"))
	if !ok {
		return answer{}, domain.InvalidField("/email", "malformed", "Give an e-mail address.")
	}
	scope, err := scopeOf(form)
	if err != nil {
		return answer{}, err
	}
	who := commands.Identity{Email: address, Name: form.Get("name")}
	if len(who.Name) == 0 || len(who.Name) > 120 || !domain.PlainText(who.Name) {
		return answer{}, domain.InvalidField("/name", "required", "Give a name of at most 120 characters on one line.")
	}
	until := time.Now().Add(invitationTime)
	invite := commands.InviteMember{Actor: actor, Role: domain.Role(form.Get("role")), Scope: scope, Until: until}
	if err := s.Commands.MayInvite(r.Context(), invite); err != nil { // before anybody is added
		return answer{}, err
	}
	if invite.Person, err = s.Auth.InvitePerson(r.Context(), who.Email); err != nil {
		return answer{}, err
	}
	person := invite.Person
	if err := s.Commands.InviteMember(r.Context(), invite); err != nil {
		return answer{}, err
	}
	if err := s.Commands.DescribePerson(r.Context(), commands.DescribePerson{Actor: actor, Person: person, Identity: who}); err != nil {
		return answer{}, err
	}
	if err := s.Auth.CallPerson(r.Context(), actor.Workspace, person, who.Email, who.Name); err != nil {
		return answer{}, err
	}
	made := &view.MadeInvitation{Email: who.Email, Until: until.UTC()}
	made.Provider, _ = s.Auth.ProviderName()
	link, err := s.Auth.IssueInvitationLink(r.Context(), person, actor.Workspace, invitationTime)
	if err != nil {
		return answer{}, err
	}
	if link != "" {
		made.Link = r.Header.Get("Origin") + link // which a browser sends, and Protect has compared with our own
	}
	if err := s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
		return answer{}, err
	}
	return s.membersPage(r, made)
}

// reviewMember shows what a change of a member, of the role or of the scope as in the forms, would give and take.
func (s *Server) reviewMember(r request) (answer, error) {
	ctx, actor, wanted := r.Context(), r.actor(), r.URL.Query()
	person, err := pathUUID(r.v("person"))
	if err != nil {
		return answer{}, err
	}
	if err := s.Commands.MayManage(ctx, actor, person); err != nil {
		return answer{}, err
	}
	f := view.MemberReviewFacts{Role: domain.Role(wanted.Get("role"))}
	members, err := s.Read.Members(ctx, actor)
	if err != nil {
		return answer{}, err
	}
	if i := slices.IndexFunc(members, func(m projections.Member) bool { return m.Person == person }); i >= 0 {
		f.Member = members[i]
	} else {
		return answer{}, notFound() // is only invited
	}
	if f.Tenants, err = s.Read.Tenants(ctx, actor); err != nil {
		return answer{}, err
	}
	groups := map[uuid.UUID][]string{}
	for _, t := range f.Tenants {
		groups[t.ID] = t.Groups
	}
	var review commands.Review
	switch {
	case wanted.Has("role") == wanted.Has("sees"):
		err = invalid("change_required", "Choose either another role, or what the member is to see.")
	case wanted.Has("role"):
		f.Fields = []view.Field{{Name: "role", Value: string(f.Role)}}
		review, err = s.Commands.ReviewRole(ctx, commands.ChangeRole{Actor: actor, Person: person, Role: f.Role}, groups)
	default:
		scope, invalid := scopeOf(wanted)
		if invalid != nil {
			return answer{}, invalid
		}
		f.Scope = &scope
		for _, name := range scopeFields {
			for _, value := range wanted[name] {
				f.Fields = append(f.Fields, view.Field{Name: name, Value: value})
			}
		}
		review, err = s.Commands.ReviewScope(ctx, commands.ScopeMember{Actor: actor, Person: person, Scope: scope}, groups)
	}
	if err != nil {
		return answer{}, err
	}
	f.Effect, f.Tag = review.Effect, review.Tag
	value := view.PresentMemberReview(f)
	return answer{
		title: "Change a member", media: "application/json", value: value,
		page: func(shell view.Shell) templ.Component { return page.ReviewPage(shell, value.ReviewPage) },
	}, nil
}

func (s *Server) changeRole(r request) (answer, error) {
	return s.onMember(r, func(person uuid.UUID) error {
		form, err := s.memberForm(r, person)
		if err != nil {
			return err
		}
		return s.Commands.ChangeRole(r.Context(), commands.ChangeRole{
			Actor: r.actor(), Person: person, Role: domain.Role(form.Get("role")), Reviewed: form.Get("reviewed"),
		})
	})
}

func (s *Server) scopeMember(r request) (answer, error) {
	return s.onMember(r, func(person uuid.UUID) error {
		form, err := s.memberForm(r, person)
		if err != nil {
			return err
		}
		scope, err := scopeOf(form)
		if err != nil {
			return cmp.Or(s.Commands.MayManage(r.Context(), r.actor(), person), err)
		}
		return s.Commands.ScopeMember(r.Context(), commands.ScopeMember{Actor: r.actor(), Person: person, Scope: scope, Reviewed: form.Get("reviewed")})
	})
}

// removeMember ends a membership, and with it the person's API tokens here: they do not come back with another membership.
func (s *Server) removeMember(r request) (answer, error) {
	a, err := s.onMember(r, func(person uuid.UUID) error {
		if person == r.actor().Ref.ID { // whoever found a token must not end its owner's membership
			if err := needsSession(r); err != nil {
				return err
			}
		}
		if err := s.Commands.RemoveMember(r.Context(), commands.RemoveMember{Actor: r.actor(), Person: person}); err != nil {
			return err
		}
		return s.endTokens(r, person)
	})
	if err == nil && r.v("person") == r.actor().Ref.ID.String() {
		a.redirect = "/"
	}
	return a, err
}

func (s *Server) withdrawInvitation(r request) (answer, error) {
	return s.onMember(r, func(person uuid.UUID) error {
		if err := s.Commands.WithdrawInvitation(r.Context(), commands.WithdrawInvitation{Actor: r.actor(), Person: person}); err != nil {
			return err
		}
		return s.Auth.EndInvitation(r.Context(), person, r.actor().Workspace)
	})
}

func (s *Server) onMember(r request, do func(uuid.UUID) error) (answer, error) {
	person, err := pathUUID(r.v("person"))
	if err != nil {
		return answer{}, err
	}
	return s.membersChanged(r, do(person))
}

// memberForm reads a form about a person. What is wrong with it is told only to those who may change what the person is.
func (s *Server) memberForm(r request, person uuid.UUID) (url.Values, error) {
	form, err := formOf(r)
	if err != nil {
		return nil, cmp.Or(s.Commands.MayManage(r.Context(), r.actor(), person), err)
	}
	return form, nil
}

func (s *Server) defineRole(r request) (answer, error) {
	if err := r.actor().ManagesMembers(r.actor().Workspace); err != nil {
		return answer{}, err
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	return s.membersChanged(r, s.Commands.DefineRole(r.Context(), roleOf(r, form)))
}

func roleOf(r request, form url.Values) commands.DefineRole {
	c := commands.DefineRole{Actor: r.actor(), Role: domain.Role(form.Get("role"))}
	for _, code := range form["capability"] {
		c.Capabilities = append(c.Capabilities, domain.Capability(code))
	}
	return c
}

// reviewRole shows what defining a role would give and take of those who have it.
func (s *Server) reviewRole(r request) (answer, error) {
	c := roleOf(r, r.URL.Query())
	review, err := s.Commands.ReviewDefineRole(r.Context(), c)
	if err != nil {
		return answer{}, err
	}
	members, err := s.Read.Members(r.Context(), r.actor())
	if err != nil {
		return answer{}, err
	}
	f := view.RoleReviewFacts{Role: c.Role, Capabilities: c.Capabilities, New: review.New, Gains: review.Gains, Loses: review.Loses, Changes: review.Changes}
	for _, m := range members {
		if slices.Contains(review.Members, m.Person) {
			f.Members = append(f.Members, m.Name)
		}
	}
	value := view.PresentRoleReview(f)
	return answer{
		title: "Define a role", media: "application/json", value: value,
		page: func(shell view.Shell) templ.Component { return page.ReviewPage(shell, value.ReviewPage) },
	}, nil
}

func (s *Server) removeRole(r request) (answer, error) {
	return s.membersChanged(r, s.Commands.RemoveRole(r.Context(), commands.RemoveRole{Actor: r.actor(), Role: domain.Role(r.v("role"))}))
}

func (s *Server) acceptInvitation(r request) (answer, error)  { return s.answerInvitation(r, true) }
func (s *Server) declineInvitation(r request) (answer, error) { return s.answerInvitation(r, false) }

func (s *Server) answerInvitation(r request, accept bool) (answer, error) {
	workspace, err := pathUUID(r.v("workspace"))
	if err != nil {
		return answer{}, err
	}
	if !r.viewer.MayAnswer(workspace) {
		return answer{}, notFound()
	}
	a, err := s.membersChanged(r, s.Commands.AnswerInvitation(r.Context(), commands.AnswerInvitation{
		Workspace: workspace, Person: r.actor().Ref.ID, Accept: accept,
	}))
	a.redirect = "/"
	return a, err
}

// scopeFields are the fields of a form that scopeOf reads.
var scopeFields = []string{"sees", "tenant", "group", "except_tenant", "except_group"}

// scopeOf reads what a member is to see.
func scopeOf(form url.Values) (domain.Scope, error) {
	var scope domain.Scope
	ids := func(name string) ([]uuid.UUID, error) {
		found := []uuid.UUID{}
		for _, text := range form[name] {
			id, err := uuid.Parse(text)
			if err != nil {
				return nil, domain.InvalidField("/"+name, "malformed", "Choose tenants from the list.")
			}
			found = append(found, id)
		}
		return found, nil
	}
	var err error
	switch sees := form.Get("sees"); {
	case sees == "listed":
		if scope.Tenants, err = ids("tenant"); err != nil {
			return scope, err
		}
		if scope.Groups = form["group"]; len(scope.Groups) == 0 {
			scope.Groups = nil
		}
	case sees != "all" || len(form["tenant"])+len(form["group"]) > 0:
		return scope, domain.InvalidField("/sees", "contradictory", "Say whether the member sees all tenants, or only those that are ticked.")
	}
	if len(form["except_tenant"]) > 0 {
		if scope.ExceptTenants, err = ids("except_tenant"); err != nil {
			return scope, err
		}
	}
	scope.ExceptGroups = form["except_group"]
	return scope, nil
}
