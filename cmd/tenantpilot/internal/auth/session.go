package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// What a session holds.
const (
	sessionPerson    = "person"
	sessionWorkspace = "workspace"
	sessionSince     = "since" // when they signed in, in Unix seconds
)

// visit is one request's dealings with its session.
type visit struct {
	readOnly bool // nothing is saved: a stream, or a request with a token
	device   string
	address  string
	loaded   string
	person   uuid.UUID // whose it is, as its row says
	since    time.Time
	used     time.Time
	invited  uuid.UUID // the workspace that the session is limited to; uuid.Nil is no limit
	preview  string    // the row's JSON; empty is none
	changed  bool      // what was loaded was given other content
	unsaved  bool      // nothing was written: the browser need not be told, or must not, as the session has ended or has another id by now
}

type visitKey struct{}

// writable returns the visit of a request whose session can be changed.
func writable(ctx context.Context) (*visit, error) {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok || v.readOnly {
		return nil, errors.New("this request has no session that could be changed")
	}
	return v, nil
}

// CanSignIn says whether somebody could be signed in by answering this request: not by one with a token, and not by a stream.
func CanSignIn(r *http.Request) bool {
	_, err := writable(r.Context())
	return err == nil
}

// ConsumeLink uses a link and makes the request's session the person's it was for, under a fresh session id: one that can accept and choose
// nothing but the workspace of an invitation, if it was an invitation's. Who is signed in as that person with more keeps that. ErrNoLink as
// for Consume. A crash between the two leaves a used link and nobody signed in: they need another link.
func (s *Service) ConsumeLink(r *http.Request, secret string) error {
	if _, err := writable(r.Context()); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	person, invitedTo, err := s.Consume(r.Context(), secret)
	if err != nil {
		return err
	}
	if v, ok := ViewerFrom(r.Context()); ok && invitedTo != uuid.Nil && v.Person == person && v.credential.only == nil {
		return nil
	}
	return s.signIn(r, person, invitedTo)
}

// SignIn makes the request's session the person's, under a fresh session id, so that an id planted before opens nothing. What was in the
// session before is gone, but for a form that was kept (KeepForm).
func (s *Service) SignIn(r *http.Request, person uuid.UUID) error {
	return s.signIn(r, person, uuid.Nil)
}

func (s *Service) signIn(r *http.Request, person, invitedTo uuid.UUID) error {
	ctx := r.Context()
	v, err := writable(ctx)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	if err := s.sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	kept := s.sessions.GetString(ctx, sessionForm)
	if err := s.sessions.Clear(ctx); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	if kept != "" {
		s.sessions.Put(ctx, sessionForm, kept)
	}
	s.sessions.Put(ctx, sessionPerson, person.String())
	s.sessions.Put(ctx, sessionSince, s.now().Unix())
	v.person, v.invited, v.since = person, invitedTo, s.now()
	return nil
}

// SignOut ends the request's session at once, also for requests that are under way with it.
func (s *Service) SignOut(r *http.Request) error {
	if _, err := writable(r.Context()); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

// ChooseWorkspace makes another of the viewer's workspaces the session's, under a fresh session id, for the session's rights change. A
// preview ends. ErrNotFound for a workspace that is not theirs, and for tokens, which have the one they were issued for.
func (s *Service) ChooseWorkspace(ctx context.Context, workspace uuid.UUID) error {
	viewer, ok := ViewerFrom(ctx)
	if !ok || viewer.Token || !slices.ContainsFunc(viewer.Workspaces, func(m Membership) bool { return m.Workspace == workspace }) {
		return domain.ErrNotFound()
	}
	v, err := writable(ctx)
	if err != nil {
		return fmt.Errorf("choose workspace: %w", err)
	}
	// Whoever removes the row goes on with it, so that a session that was ended is not brought back.
	old, err := s.pool.Exec(ctx, `delete from sessions where token = $1`, v.loaded)
	if err != nil {
		return fmt.Errorf("choose workspace: %w", err)
	}
	if old.RowsAffected() == 0 {
		return nil
	}
	if err := s.sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("choose workspace: %w", err)
	}
	s.sessions.Put(ctx, sessionWorkspace, workspace.String())
	return nil
}

// sessionPersonAt returns whose session the request has, and in which workspace; false for nobody's, for one past its lifetime, and for one
// that its person could not find and end.
func (s *Service) sessionPersonAt(ctx context.Context) (person, workspace uuid.UUID, ok bool) {
	person, err := uuid.Parse(s.sessions.GetString(ctx, sessionPerson))
	since := time.Unix(s.sessions.GetInt64(ctx, sessionSince), 0)
	v, visiting := ctx.Value(visitKey{}).(*visit)
	if err != nil || s.now().Sub(since) >= lifetime || !visiting || v.person != person {
		return uuid.Nil, uuid.Nil, false
	}
	workspace, _ = uuid.Parse(s.sessions.GetString(ctx, sessionWorkspace)) // uuid.Nil: none was chosen
	if v.invited != uuid.Nil {
		workspace = v.invited
	}
	return person, workspace, true
}

// sessionStore keeps sessions in the table of scs' pgxstore, with three differences: rows live by the service's clock; a session that was
// ended meanwhile is not brought back by a request that loaded it before; and a request that changed nothing writes nothing but the time,
// at most once a minute. scs hands it hashes of tokens, never tokens, and always calls the methods with a context.
type sessionStore struct{ *Service }

const touchEvery = time.Minute

// FindCtx implements scs.CtxStore.
func (s sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var data []byte
	var found visit
	var person, invited uuid.NullUUID
	err := s.pool.QueryRow(ctx, `select data, person, invited_to, coalesce(since, 'epoch'), coalesce(used_at, 'epoch'), coalesce(preview::text, '')
		from sessions where token = $1 and expiry > $2`, token, s.now()).
		Scan(&data, &person, &invited, &found.since, &found.used, &found.preview)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read session: %w", err)
	}
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		v.loaded, v.person, v.invited, v.since, v.used, v.preview = token, person.UUID, invited.UUID, found.since, found.used, found.preview
	}
	return data, true, nil
}

// CommitCtx implements scs.CtxStore. It is finished even if the client has gone: the handler has done its work already.
func (s sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expires time.Time) error {
	v, err := writable(ctx)
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	expires = s.now().Add(time.Until(expires)) // scs knows the system's clock only
	switch {
	case v.loaded != token:
		return s.insert(ctx, v, token, data, expires)
	case v.changed:
		done, err := s.pool.Exec(ctx, `update sessions set data = $2, expiry = $3, used_at = $4 where token = $1`, token, data, expires, s.now())
		if err != nil {
			return fmt.Errorf("save session: %w", err)
		}
		v.unsaved = done.RowsAffected() == 0
	case s.now().Sub(v.used).Abs() >= touchEvery:
		// Not worth failing an answer for.
		done, err := s.pool.Exec(ctx, `update sessions set expiry = $2, used_at = $3, device = $4, address = $5 where token = $1`,
			token, expires, s.now(), v.device, v.address)
		if err != nil {
			s.log.WarnContext(ctx, "session was not prolonged", "err", err)
		}
		v.unsaved = err != nil || done.RowsAffected() == 0
	default:
		v.unsaved = true
	}
	return nil
}

// insert adds a session, and takes away some that have expired: nothing else makes the table grow.
func (s sessionStore) insert(ctx context.Context, v *visit, token string, data []byte, expires time.Time) error {
	_, err := s.pool.Exec(ctx, `
		with expired as (select token from sessions where expiry <= $4 limit 100 for update skip locked),
		removed as (delete from sessions where token in (select token from expired))
		insert into sessions (token, data, expiry, person, since, used_at, device, address, invited_to)
		values ($1, $2, $3, $5, $6, $4, $7, $8, $9)`,
		token, data, expires, s.now(), nullable(v.person), nullTime(v.since), v.device, v.address, nullable(v.invited))
	if err != nil {
		return fmt.Errorf("add session: %w", err)
	}
	return nil
}

// DeleteCtx implements scs.CtxStore.
func (s sessionStore) DeleteCtx(ctx context.Context, token string) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, `delete from sessions where token = $1`, token); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// Find, Commit and Delete complete scs.Store; scs prefers those with a context.

// Find implements scs.Store.
func (s sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (s sessionStore) Commit(token string, data []byte, expires time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expires)
}

// Delete implements scs.Store.
func (s sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}
