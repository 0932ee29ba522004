package web

import (
	"errors"
	"net/url"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

func (s *Server) tokenRoutes(r *mux.Router) {
	s.get(r, view.TokensHref, func(r request) (answer, error) { return s.tokensPage(r, nil) })
	s.post(r, view.TokensHref, "", s.issueToken)
	s.post(r, view.TokensHref+"/{token}/rotate", "", s.rotateToken)
	s.post(r, view.TokensHref+"/{token}/revoke", "", s.revokeToken)
}

func (s *Server) tokensPage(r request, made *view.MadeToken) (answer, error) {
	ctx, actor := r.Context(), r.actor()
	if !actor.Sees(actor.Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	owner := actor.Ref.ID
	if actor.May(domain.CapTokenManage) {
		owner = uuid.Nil
	}
	tokens, err := s.Read.Tokens(ctx, actor, owner)
	if err != nil {
		return answer{}, err
	}
	f := view.TokensFacts{Actor: actor, Session: !r.viewer.Token, Now: time.Now().UTC(), History: map[uuid.UUID][]view.Change{}}
	tenants, err := s.Read.Tenants(ctx, actor)
	if err != nil {
		return answer{}, err
	}
	for _, t := range tenants {
		f.Tenants = append(f.Tenants, view.Link{Label: t.Name, Href: t.ID.String()})
	}
	for i, t := range tokens {
		f.Tokens = append(f.Tokens, tokenFacts(t))
		if i >= 50 {
			continue
		}
		changes, err := s.Read.Changes(ctx, actor, domain.TokenStream(t.ID), 5)
		if err != nil {
			return answer{}, err
		}
		f.History[t.ID] = view.PresentChanges(changes)
	}
	value := view.PresentTokens(f)
	value.Made = made
	return answer{
		title: "API tokens", media: "application/json", value: value,
		page: func(shell view.Shell) templ.Component { return page.TokensPage(shell, value) },
	}, nil
}

func tokenFacts(t projections.Token) view.TokenFacts {
	f := view.TokenFacts{Token: t.Token, OwnerName: t.OwnerName}
	for _, secret := range t.Secrets {
		f.Secrets = append(f.Secrets, view.SecretLine{
			Prefix: secret.Prefix, Created: secret.Created.UTC(), Expires: secret.Expires.UTC(), LastUsed: secret.LastUsed.UTC(), From: secret.From,
		})
		f.Revoked = append(f.Revoked, !secret.Revoked.IsZero())
	}
	return f
}

func (s *Server) issueToken(r request) (answer, error) {
	actor := r.actor()
	if !actor.Sees(actor.Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	if err := needsSession(r); err != nil {
		return answer{}, err
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	n, err := issuedOf(form)
	if err != nil {
		return answer{}, err
	}
	secret, prefix := auth.DrawToken()
	n.Token, n.Workspace, n.Owner, n.Prefix = uuid.Must(uuid.NewV7()), actor.Workspace, actor.Ref.ID, prefix
	if err := s.Commands.IssueToken(r.Context(), commands.IssueToken{Actor: actor, Issued: n}); err != nil {
		return answer{}, err
	}
	if err := s.Auth.KeepToken(r.Context(), n, secret); err != nil {
		return answer{}, err
	}
	if err := s.Commands.MustBeMember(r.Context(), n.Workspace, n.Owner); err != nil {
		return answer{}, errors.Join(err, s.endTokens(r, n.Owner))
	}
	if err := s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
		return answer{}, err
	}
	return s.tokensPage(r, view.PresentMadeToken(n.Name, secret))
}

// issuedOf reads the form of a new token. A token ends with its last day.
func issuedOf(form url.Values) (domain.TokenIssued, error) {
	n := domain.TokenIssued{Name: form.Get("name")}
	end, err := lastDay(form.Get("expires"))
	if err != nil {
		return n, err
	}
	n.Expires = end
	switch {
	case form.Get("may") == "listed":
		n.Scopes = []domain.Capability{}
		for _, c := range form["scope"] {
			n.Scopes = append(n.Scopes, domain.Capability(c))
		}
	case form.Get("may") != "all" || len(form["scope"]) > 0:
		return n, domain.InvalidField("/scopes", "contradictory", "Say whether the token may do everything that you may, or only what is ticked.")
	}
	switch {
	case form.Get("sees") == "all" && len(form["tenant"]) == 0:
		return n, nil
	case form.Get("sees") != "listed":
		return n, domain.InvalidField("/tenants", "contradictory", "Say whether the token sees all tenants that you see, or only those that are ticked.")
	}
	n.Tenants = []uuid.UUID{}
	for _, text := range form["tenant"] {
		id, err := uuid.Parse(text)
		if err != nil || len(n.Tenants) >= 1000 {
			return n, domain.InvalidField("/tenants", "malformed", "Choose tenants from the list.")
		}
		n.Tenants = append(n.Tenants, id)
	}
	if len(n.Tenants) == 0 {
		return n, domain.InvalidField("/tenants", "required", "Choose at least one tenant, or all.")
	}
	return n, nil
}

func lastDay(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, domain.InvalidField("/expires", "malformed", "Give a day, such as 2027-02-19.")
	}
	return t.Add(24*time.Hour - time.Second), nil
}

func (s *Server) rotateToken(r request) (answer, error) {
	kept, err := s.tokenNamed(r)
	if err != nil {
		return answer{}, err
	}
	if err := needsSession(r); err != nil {
		return answer{}, err
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	overlap, ok := map[string]time.Duration{"0": 0, "1": time.Hour, "": domain.TokenOverlap, "24": domain.TokenOverlap, "168": domain.MostTokenOverlap}[form.Get("overlap")]
	if !ok {
		return answer{}, domain.InvalidField("/overlap", "out_of_range", "Choose how long the old secret goes on.")
	}
	now := time.Now().UTC()
	rotated := domain.TokenRotated{Overlap: now.Add(overlap), Expires: now.Add(domain.TokenTime).Truncate(time.Second)}
	if overlap == domain.MostTokenOverlap {
		rotated.Overlap = rotated.Overlap.Add(-time.Minute) // the decision is a little later
	}
	if overlap == 0 {
		rotated.Overlap = now.Add(time.Second)
	}
	if text := form.Get("expires"); text != "" {
		if rotated.Expires, err = lastDay(text); err != nil {
			return answer{}, err
		}
	}
	var secret string
	secret, rotated.Prefix = auth.DrawToken()
	if err := s.Commands.RotateToken(r.Context(), commands.RotateToken{Actor: r.actor(), Token: kept, Rotated: rotated}); err != nil {
		return answer{}, err
	}
	if err := s.Auth.RotateToken(r.Context(), kept.ID, rotated, secret); err != nil {
		return answer{}, err
	}
	if err := s.Read.AwaitNow(r.Context(), 2*time.Second); err != nil {
		return answer{}, err
	}
	return s.tokensPage(r, view.PresentMadeToken(kept.Name, secret))
}

func (s *Server) revokeToken(r request) (answer, error) {
	kept, err := s.tokenNamed(r)
	if err != nil {
		return answer{}, err
	}
	if err := needsSession(r); err != nil {
		return answer{}, err
	}
	c := commands.RevokeToken{Actor: r.actor(), Token: kept, Check: true}
	if err := s.Commands.RevokeToken(r.Context(), c); err != nil {
		return answer{}, err
	}
	if err := s.Auth.RevokeToken(r.Context(), kept.ID); err != nil {
		return answer{}, err
	}
	c.Check = false
	if err := s.Commands.RevokeToken(r.Context(), c); err != nil {
		return answer{}, err
	}
	return answer{redirect: view.TokensHref}, s.Read.AwaitNow(r.Context(), 2*time.Second)
}

// endTokens revokes what a person has of tokens in this workspace.
func (s *Server) endTokens(r request, person uuid.UUID) error {
	workspace := r.actor().Workspace
	tokens, err := s.Read.Tokens(r.Context(), r.actor(), person)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Revoked {
			continue
		}
		if err := s.Auth.RevokeToken(r.Context(), t.ID); err != nil {
			return err
		}
		revoke := commands.RevokeToken{Actor: domain.SystemActor(workspace), Token: t.Token}
		if err := s.Commands.RevokeToken(r.Context(), revoke); err != nil {
			return err
		}
	}
	return nil
}

// tokenNamed finds the token of an address; one that is nothing of the viewer's is not there.
func (s *Server) tokenNamed(r request) (domain.Token, error) {
	actor := r.actor()
	if !actor.Sees(actor.Workspace, uuid.Nil) {
		return domain.Token{}, notFound()
	}
	id, err := pathUUID(r.v("token"))
	if err != nil {
		return domain.Token{}, err
	}
	t, err := s.Read.TokenOf(r.Context(), actor, id)
	if err == nil && t.Owner != actor.Ref.ID && !actor.May(domain.CapTokenManage) {
		err = notFound()
	}
	return t, err
}
