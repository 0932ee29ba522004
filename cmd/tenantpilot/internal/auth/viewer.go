package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Viewer is who is asking.
type Viewer struct {
	Actor         domain.Actor
	Email, Name   string
	WorkspaceName string
	Workspaces    []Membership
	// Token is set for API callers: they get problem documents, not pages.
	Token bool
}

// Membership is one of a person's workspaces.
type Membership struct {
	Workspace uuid.UUID
	Name      string
	Role      domain.Role
	Tenants   []uuid.UUID
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

// Sessions loads and saves the session around a handler. scs buffers the answer until the session is saved, so event streams get their
// session for reading only.
func (s *Service) Sessions(next http.Handler) http.Handler {
	saved := s.sessions.LoadAndSave(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/stream") {
			saved.ServeHTTP(w, r)
			return
		}
		var token string
		if cookie, err := r.Cookie(s.sessions.Cookie.Name); err == nil {
			token = cookie.Value
		}
		ctx, err := s.sessions.Load(r.Context(), token)
		if err != nil {
			http.Error(w, "the session could not be read", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Authenticate finds out who is asking: by token if one was sent (a wrong one is ErrBadToken, whatever session there is), else by session.
// No viewer and no error means that nobody is signed in. It needs Sessions around it.
func (s *Service) Authenticate(r *http.Request) (Viewer, bool, error) {
	if secret, sent := bearer(r); sent {
		v, err := s.byToken(r.Context(), secret)
		return v, err == nil, err
	}
	person, err := uuid.Parse(s.sessions.GetString(r.Context(), sessionPerson))
	if err != nil {
		return Viewer{}, false, nil
	}
	chosen, _ := uuid.Parse(s.sessions.GetString(r.Context(), sessionWorkspace))
	v, err := s.viewer(r.Context(), person, chosen)
	if errors.Is(err, errNobody) {
		return Viewer{}, false, nil
	}
	return v, err == nil, err
}

// Again looks a viewer's rights up anew, for a request that lasts: false when they may no longer come in.
func (s *Service) Again(ctx context.Context, v Viewer) (Viewer, bool, error) {
	now, err := s.viewer(ctx, v.Actor.Ref.ID, v.Actor.Workspace)
	if errors.Is(err, errNobody) || (err == nil && now.Actor.Workspace != v.Actor.Workspace) {
		return now, false, nil
	}
	now.Token = v.Token
	return now, err == nil, err
}

var errNobody = errors.New("no such person")

func (s *Service) byToken(ctx context.Context, secret string) (Viewer, error) {
	var person uuid.UUID
	var workspace *uuid.UUID
	err := s.pool.QueryRow(ctx, `
		with t as (
			select id, person, workspace, last_used_at from api_tokens
			where hash = $1 and revoked_at is null and (expires_at is null or expires_at > $2)
		), used as (
			update api_tokens a set last_used_at = $2 from t
			where a.id = t.id and (t.last_used_at is null or t.last_used_at < $2::timestamptz - interval '1 minute')
		)
		select person, workspace from t`, digest(secret), s.now()).Scan(&person, &workspace)
	if errors.Is(err, pgx.ErrNoRows) {
		return Viewer{}, ErrBadToken
	}
	if err != nil {
		return Viewer{}, fmt.Errorf("read token: %w", err)
	}
	var in uuid.UUID
	if workspace != nil {
		in = *workspace
	}
	v, err := s.viewer(ctx, person, in)
	if errors.Is(err, errNobody) {
		return v, ErrBadToken
	}
	if in != v.Actor.Workspace { // no longer a member there: the token sees nothing
		v.Actor.Workspace, v.Actor.Role, v.WorkspaceName = uuid.Nil, "", ""
	}
	v.Token = true
	return v, err
}

// viewer reads a person with the memberships of this moment, in the chosen workspace or else the first.
func (s *Service) viewer(ctx context.Context, person, chosen uuid.UUID) (Viewer, error) {
	v := Viewer{Actor: domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: person}}}
	err := s.pool.QueryRow(ctx, `select email, display_name, platform from people where id = $1 and disabled_at is null`, person).
		Scan(&v.Email, &v.Name, &v.Actor.Platform)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, errNobody
	}
	if err != nil {
		return v, fmt.Errorf("read person: %w", err)
	}
	if v.Actor.Platform {
		return v, nil
	}
	rows, err := s.pool.Query(ctx, `select m.workspace, w.name, m.role, m.tenants from members m join workspaces w using (workspace)
		where m.person = $1 order by lower(w.name), m.workspace`, person)
	if err != nil {
		return v, fmt.Errorf("read memberships: %w", err)
	}
	if v.Workspaces, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Membership]); err != nil {
		return v, fmt.Errorf("read memberships: %w", err)
	}
	for i, m := range v.Workspaces {
		if i == 0 || m.Workspace == chosen {
			v.Actor.Workspace, v.Actor.Role, v.Actor.Tenants, v.WorkspaceName = m.Workspace, m.Role, m.Tenants, m.Name
		}
	}
	return v, nil
}

// LocalPath returns a wanted page's path if it is one of ours, else "/": nothing that a browser could read as another host.
func LocalPath(wanted string) string {
	u, err := url.Parse(wanted)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(wanted, "//") || strings.ContainsAny(wanted, "\\\t\r\n\x00") || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	return u.RequestURI()
}

// Expired says whether a link can no longer be used for its age.
func (l Link) Expired(now time.Time) bool { return !now.Before(l.Expires) }
