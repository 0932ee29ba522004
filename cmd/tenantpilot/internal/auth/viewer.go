package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Viewer is who is asking.
type Viewer struct {
	Actor         domain.Actor
	Person        uuid.UUID
	Email, Name   string // as the workspace knows them
	WorkspaceName string // of Actor.Workspace
	// Workspaces are those to choose from; for a token the one it was issued for, after an invitation's link the one that invited. Platform
	// people have none.
	Workspaces []Membership
	// Token is set for API callers: they get problem documents, not pages.
	Token bool
	// Preview is the role that the console is looked at as; Actor is limited to it. Nil is the viewer's own.
	Preview *Preview

	credential credential
	platform   bool // also of whom the credential limits to a workspace
}

// Session names the session that let the viewer in, by the hash it is stored under; "" for tokens, which have none. Whoever signs in anew
// has another.
func (v Viewer) Session() string { return v.credential.session }

// credential is what let a viewer in, by its hash: one of the two, or neither for a viewer made by hand.
type credential struct {
	token   []byte
	scopes  []domain.Capability // of the token
	tenants []uuid.UUID
	only    *uuid.UUID // the one workspace that a token or an invitation's link opens, uuid.Nil being the platform; nil is no limit
	session string
	preview string // what the session was looked through; a stream ends with it
}

// Membership is one of a person's workspaces.
type Membership struct {
	Workspace uuid.UUID
	Name      string
	Role      domain.Role
	Tenants   []uuid.UUID // nil is all of them
	// Capabilities are those of a custom role; nil means the preset's.
	Capabilities []domain.Capability

	stopped bool // the read model lacks events of the workspace that could not be applied
}

type viewerKey struct{}

// ViewerFrom returns who is asking; false when nobody is signed in.
func ViewerFrom(ctx context.Context) (Viewer, bool) {
	v, ok := ctx.Value(viewerKey{}).(Viewer)
	return v, ok
}

// WithViewer puts a viewer into a context, for streams that look rights up again.
func WithViewer(ctx context.Context, v Viewer) context.Context {
	return context.WithValue(ctx, viewerKey{}, v)
}

// ErrBadToken says that a token was sent that opens nothing: wrong, expired, revoked, or of a disabled person.
var ErrBadToken = errors.New("the API token is not valid")

// Again looks a viewer's rights up anew, for a request that lasts: false when they may no longer come in, because the person is disabled
// or no longer a member of the workspace, or because the session or token that let them in has ended, or a preview began or ended.
func (s *Service) Again(ctx context.Context, v Viewer) (Viewer, bool, error) {
	good, err := s.stillGood(ctx, v.credential)
	if err != nil || !good {
		return Viewer{}, false, err
	}
	chosen := v.Actor.Workspace
	if v.credential.only != nil {
		chosen = *v.credential.only
	}
	now, err := s.viewer(ctx, v.Person, chosen)
	now.Token, now.credential = v.Token, v.credential
	now.limit()
	if errors.Is(err, errNobody) || (err == nil && (now.Actor.Workspace != v.Actor.Workspace || now.Actor.Platform != v.Actor.Platform)) {
		return Viewer{}, false, nil
	}
	if err != nil {
		return Viewer{}, false, err
	}
	if err := s.preview(ctx, &now); err != nil {
		return Viewer{}, false, err
	}
	return now, true, nil
}

func (s *Service) stillGood(ctx context.Context, c credential) (bool, error) {
	if c.token == nil && c.session == "" {
		return true, nil
	}
	var good bool
	err := s.pool.QueryRow(ctx, `
		select exists (select from api_tokens where hash = $1 and revoked_at is null and (expires_at is null or expires_at > $3))
		    or exists (select from sessions where token = $2 and expiry > $3 and coalesce(preview::text, '') = $4)`,
		c.token, c.session, s.now(), c.preview).Scan(&good)
	if err != nil {
		return false, fmt.Errorf("check credential: %w", err)
	}
	return good, nil
}

// identify finds out who is asking: by token if one was sent (a wrong one is ErrBadToken, whatever session there is), else by session.
// No viewer and no error means that nobody is signed in.
func (s *Service) identify(r *http.Request) (Viewer, bool, error) {
	ctx := r.Context()
	if secret, sent := bearer(r); sent {
		v, err := s.byToken(ctx, secret, s.AddressOf(r))
		return v, err == nil, err
	}
	person, chosen, ok := s.sessionPersonAt(ctx)
	if !ok {
		return Viewer{}, false, nil
	}
	v, err := s.viewer(ctx, person, chosen)
	if errors.Is(err, errNobody) {
		return Viewer{}, false, nil
	}
	if err != nil {
		return Viewer{}, false, err
	}
	if visit, ok := ctx.Value(visitKey{}).(*visit); ok {
		v.credential.session, v.credential.preview = visit.loaded, visit.preview
		if visit.invited != uuid.Nil {
			v.credential.only = &visit.invited
		}
	}
	v.limit()
	err = s.preview(ctx, &v)
	return v, err == nil, err
}

func (s *Service) byToken(ctx context.Context, secret, address string) (Viewer, error) {
	if !strings.HasPrefix(secret, tokenPrefix) {
		return Viewer{}, ErrBadToken
	}
	var person uuid.UUID
	var workspace uuid.NullUUID
	var scopes []domain.Capability
	var tenants []uuid.UUID
	hash := digest(secret)
	err := s.pool.QueryRow(ctx, `
		with t as (
			select id, person, workspace, scopes, tenants from api_tokens
			where hash = $1 and revoked_at is null and (expires_at is null or expires_at > $2)
		), used as (
			update api_tokens a set last_used_at = $2, last_used_from = $3 from t
			where a.id = t.id and (a.last_used_at is null or a.last_used_at <= $2::timestamptz - interval '1 minute')
		)
		select person, workspace, scopes, tenants from t`, hash, s.now(), address).Scan(&person, &workspace, &scopes, &tenants)
	if errors.Is(err, pgx.ErrNoRows) {
		return Viewer{}, ErrBadToken
	}
	if err != nil {
		return Viewer{}, fmt.Errorf("read token: %w", err)
	}
	v, err := s.viewer(ctx, person, workspace.UUID)
	if errors.Is(err, errNobody) {
		return Viewer{}, ErrBadToken
	}
	if err != nil {
		return Viewer{}, err
	}
	v.Token, v.credential = true, credential{token: hash, scopes: scopes, tenants: tenants, only: &workspace.UUID}
	v.limit()
	return v, nil
}

// MayAnswer says whether the viewer may accept or decline an invitation to a workspace. Who came by an invitation's link may answer that one.
// Platform people are a member of nothing, whatever they are offered.
func (v Viewer) MayAnswer(workspace uuid.UUID) bool {
	return !v.Token && !v.platform && (v.credential.only == nil || *v.credential.only == workspace)
}

// limit leaves the viewer the one workspace that the credential opens, and nothing if that is lost.
func (v *Viewer) limit() {
	if v.credential.only == nil {
		return
	}
	v.Workspaces = slices.DeleteFunc(v.Workspaces, func(m Membership) bool { return m.Workspace != *v.credential.only })
	if v.Actor.Workspace != *v.credential.only {
		v.Actor, v.WorkspaceName = domain.Actor{Ref: v.Actor.Ref}, ""
	}
	if v.credential.scopes != nil || v.credential.tenants != nil {
		v.Actor = v.Actor.Narrow(v.credential.scopes, v.credential.tenants)
	}
}

var errNobody = errors.New("no such person")

// viewer reads a person with the memberships of this moment, in the chosen workspace or else the first. Only the members table gives
// rights, or the log where that table cannot follow: the workspace's name may be late without anybody being locked out.
func (s *Service) viewer(ctx context.Context, person, chosen uuid.UUID) (Viewer, error) {
	v := Viewer{Actor: domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: person}}, Person: person}
	rows, err := s.pool.Query(ctx, `
		select coalesce(k.email, p.email), coalesce(k.display_name, p.display_name), p.platform, m.workspace, coalesce(w.name, ''), coalesce(m.role, ''), r.capabilities,
			case when m.groups is null and coalesce(cardinality(m.except_tenants), 0) + coalesce(cardinality(m.except_groups), 0) = 0
				then m.tenants
				else array(select t.tenant from tenants t where t.workspace = m.workspace
					and (m.tenants is null and m.groups is null or t.tenant = any(coalesce(m.tenants, '{}')) or t.groups && coalesce(m.groups, '{}'))
					and not t.tenant = any(coalesce(m.except_tenants, '{}')) and not coalesce(t.groups, '{}') && coalesce(m.except_groups, '{}'))
			end,
			exists (select from parked where projection = 'members' and stream = m.workspace)
		from people p
		left join members m on m.person = p.id and m.role <> '' and not p.platform
		left join known_as k on k.person = p.id and k.workspace = coalesce($2, m.workspace)
		left join workspaces w on w.workspace = m.workspace
		left join roles r on r.workspace = m.workspace and r.role = m.role
		where p.id = $1 and p.disabled_at is null
		order by lower(w.name), m.workspace`, person, nullable(chosen))
	if err != nil {
		return v, fmt.Errorf("read person: %w", err)
	}
	found := false
	var m Membership
	var workspace uuid.NullUUID
	var email, name string
	_, err = pgx.ForEachRow(rows, []any{&email, &name, &v.Actor.Platform, &workspace, &m.Name, &m.Role, &m.Capabilities, &m.Tenants, &m.stopped}, func() error {
		if !found { // the first row is of the workspace that the viewer is in, or all are of the chosen one
			found, v.Email, v.Name = true, email, name
		}
		if workspace.Valid {
			m.Workspace = workspace.UUID
			v.Workspaces = append(v.Workspaces, m)
		}
		return nil
	})
	if err != nil {
		return v, fmt.Errorf("read person: %w", err)
	}
	if !found {
		return v, errNobody
	}
	v.platform = v.Actor.Platform
	if v.Workspaces, err = s.asLogged(ctx, person, v.Workspaces); err != nil {
		return v, err
	}
	for i, m := range v.Workspaces {
		if i == 0 || m.Workspace == chosen {
			v.Actor.Workspace, v.Actor.Role, v.Actor.Capabilities, v.Actor.Tenants = m.Workspace, m.Role, m.Capabilities, m.Tenants
			v.WorkspaceName = m.Name
		}
	}
	return v, nil
}

// asLogged puts what the log says in place of memberships that the read model cannot follow: who was removed since must not stay.
func (s *Service) asLogged(ctx context.Context, person uuid.UUID, memberships []Membership) ([]Membership, error) {
	kept := memberships[:0]
	for _, m := range memberships {
		if !m.stopped || s.folded == nil {
			kept = append(kept, m)
			continue
		}
		w, err := s.folded(ctx, m.Workspace)
		if err != nil {
			return nil, fmt.Errorf("read members from the log: %w", err)
		}
		member, ok := w.Members[person]
		if !ok {
			continue
		}
		m.Role, m.Capabilities, m.Tenants = member.Role, w.Roles[member.Role], nil
		if !member.Scope.Everything() {
			m.Tenants = []uuid.UUID{}
			rows, err := s.pool.Query(ctx, `select tenant, coalesce(groups, '{}') from tenants where workspace = $1 order by 1`, m.Workspace)
			if err != nil {
				return nil, fmt.Errorf("read tenants: %w", err)
			}
			var tenant uuid.UUID
			var groups []string
			if _, err := pgx.ForEachRow(rows, []any{&tenant, &groups}, func() error {
				if member.Scope.Includes(tenant, groups) {
					m.Tenants = append(m.Tenants, tenant)
				}
				return nil
			}); err != nil {
				return nil, fmt.Errorf("read tenants: %w", err)
			}
		}
		kept = append(kept, m)
	}
	return kept, nil
}

// bearer returns the token that was sent. Credentials of any other form count as sent and are the empty token, which opens nothing.
func bearer(r *http.Request) (secret string, sent bool) {
	values, sent := r.Header["Authorization"]
	if len(values) != 1 {
		return "", sent
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return "", true
	}
	return strings.TrimSpace(secret), true
}
