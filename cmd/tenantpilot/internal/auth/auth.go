// Package auth says who is asking: it turns a session or an API token into a domain.Actor with the rights of this very moment.
//
// Secrets (tokens, links, session ids) are 256 random bits, shown once; the database has their SHA-256, logs and errors have nothing of
// them. Rights are read on every request, so one that was taken away is gone on the next. What an actor may do is decided elsewhere
// (domain.Actor); this package never grants anything.
//
// Around the console's routes, outermost first:
//
//	Service.Protect        refuses what another site made the browser send, before anything is read or written
//	Service.Authenticate   loads the session, finds out who asks, saves the session
//	RequireSignIn          around the routes that are not for everybody
//
// A browser gets in with an account at the identity provider (BeginOIDC, FinishOIDC), with a break-glass account (CheckBreakGlass,
// SignInBroken), or with a sign-in link: the page asks (PeekLink), because whatever opens links in mails must not use them up; the button
// posts, and ConsumeLink makes the session that person's. What somebody was about to send when their session had ended is kept (KeepForm).
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
)

// A session ends when it was not used for this long, and in any case this long after signing in.
const (
	idleTimeout = 8 * time.Hour
	lifetime    = 7 * 24 * time.Hour
)

// SessionIdle and SessionLifetime are these two, for telling people.
const (
	SessionIdle     = idleTimeout
	SessionLifetime = lifetime
)

// Config sets a Service up; zero values are good defaults.
type Config struct {
	// Secure is set when the console is reached over TLS: cookies are then bound to the host and never sent in the clear.
	Secure bool
	// Now is the clock for expiries; nil is the system's.
	Now func() time.Time
	// Log gets what went wrong inside; nil is the default logger.
	Log *slog.Logger
	// OIDC is the identity provider; nil is none. It is asked for when the first person signs in.
	OIDC *OIDC
	// BreakGlass lets people with a break-glass account sign in.
	BreakGlass bool
	// Workspace folds a workspace from the log: asked for what members may do while their read model lacks events of it. Nil asks nobody, and the
	// read model is believed.
	Workspace func(context.Context, uuid.UUID) (domain.Workspace, error)
}

// Service keeps people, tokens, sign-in links and sessions. It is safe for concurrent use and has nothing to close.
type Service struct {
	pool     *pgxpool.Pool
	now      func() time.Time
	log      *slog.Logger
	proxied  bool // a proxy that ends TLS is in front
	sessions *scs.SessionManager
	proven   *proven
	folded   func(context.Context, uuid.UUID) (domain.Workspace, error) // nil where nobody signs in

	provider   *provider // nil without one
	breakGlass bool
	hashing    chan struct{} // holds one for each password that is being hashed
}

// New makes a service on a pool of the application's role.
func New(pool *pgxpool.Pool, cfg Config) *Service {
	s := &Service{pool: pool, now: cfg.Now, log: cfg.Log, proxied: cfg.Secure, sessions: scs.New(), proven: &proven{}, folded: cfg.Workspace}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.provider, s.breakGlass, s.hashing = newProvider(cfg.OIDC, s.now), cfg.BreakGlass, make(chan struct{}, hashedAtOnce)
	s.sessions.Store = sessionStore{s}
	s.sessions.HashTokenInStore = true
	s.sessions.IdleTimeout, s.sessions.Lifetime = idleTimeout, lifetime
	s.sessions.ErrorFunc = s.unavailable
	s.sessions.Cookie.Name, s.sessions.Cookie.Secure = "tenantpilot", cfg.Secure
	if cfg.Secure {
		s.sessions.Cookie.Name = "__Host-tenantpilot"
	}
	s.sessions.Cookie.HttpOnly, s.sessions.Cookie.SameSite = true, http.SameSiteLaxMode
	return s
}

// CreatePerson adds a person, or finds the one with this address and leaves them as they are. Platform people see the system plane and
// nothing else.
func (s *Service) CreatePerson(ctx context.Context, email, name string, platform bool) (uuid.UUID, error) {
	var id uuid.UUID
	err := s.pool.QueryRow(ctx, `insert into people (id, email, display_name, platform) values ($1, $2, $3, $4)
		on conflict (lower(email)) do update set email = people.email returning id`,
		uuid.New(), strings.TrimSpace(email), strings.TrimSpace(name), platform).Scan(&id)
	if err != nil {
		return id, fmt.Errorf("create person: %w", err)
	}
	return id, nil
}

// IsPlatform says whether a person is one of the platform's.
func (s *Service) IsPlatform(ctx context.Context, person uuid.UUID) (platform bool, err error) {
	if err := s.pool.QueryRow(ctx, `select platform from people where id = $1`, person).Scan(&platform); err != nil {
		return false, fmt.Errorf("find person: %w", err)
	}
	return platform, nil
}

// IssueToken draws an API token for a person in a workspace (uuid.Nil for platform people). The secret is returned once and cannot be had
// again; a zero expiry never ends. Nothing records it: it is for tools and tests (people's are commands.IssueToken and KeepToken).
func (s *Service) IssueToken(ctx context.Context, person, workspace uuid.UUID, name string, expires time.Time) (string, uuid.UUID, error) {
	secret, id := tokenPrefix+random(), uuid.New()
	_, err := s.pool.Exec(ctx, `insert into api_tokens (id, token, person, workspace, name, prefix, hash, created_at, expires_at)
		values ($1, $1, $2, $3, $4, $5, $6, $7, $8)`,
		id, person, nullable(workspace), name, secret[:len(tokenPrefix)+6], digest(secret), s.now(), nullTime(expires))
	if err != nil {
		return "", id, fmt.Errorf("issue token: %w", err)
	}
	return secret, id, nil
}

// IssueSignInLink draws a link that signs a person in once, with all that they are, and returns its path. It is for whoever is at the server.
func (s *Service) IssueSignInLink(ctx context.Context, person uuid.UUID, ttl time.Duration) (string, error) {
	return s.issueLink(ctx, person, uuid.Nil, ttl)
}

// IssueInvitationLink draws a link for somebody whom a workspace invites, and returns its path. It signs them in once, for that workspace
// only, so it is worth nothing elsewhere to whoever made it. It takes the place of those from before (EndInvitation). Where people sign in
// at an identity provider there are no such links, and the path is empty.
func (s *Service) IssueInvitationLink(ctx context.Context, person, workspace uuid.UUID, ttl time.Duration) (string, error) {
	if err := s.EndInvitation(ctx, person, workspace); err != nil || s.provider != nil {
		return "", err
	}
	return s.issueLink(ctx, person, workspace, ttl)
}

// EndInvitation ends what a workspace's invitations of a person have opened: their links, and the sessions that came from these.
func (s *Service) EndInvitation(ctx context.Context, person, workspace uuid.UUID) error {
	_, err := s.pool.Exec(ctx, `with links as (update sign_in_links set used_at = $3 where person = $1 and workspace = $2 and used_at is null)
		delete from sessions where person = $1 and invited_to = $2`, person, workspace, s.now())
	if err != nil {
		return fmt.Errorf("end invitation: %w", err)
	}
	return nil
}

func (s *Service) issueLink(ctx context.Context, person, workspace uuid.UUID, ttl time.Duration) (string, error) {
	secret, now := random(), s.now()
	_, err := s.pool.Exec(ctx, `insert into sign_in_links (hash, person, workspace, created_at, expires_at) values ($1, $2, $3, $4, $5)`,
		digest(secret), person, nullable(workspace), now, now.Add(ttl))
	if err != nil {
		return "", fmt.Errorf("issue sign-in link: %w", err)
	}
	return "/sign-in/" + secret, nil
}

// Link is what is known about a sign-in link before it is used.
type Link struct {
	Name    string    // whom it signs in
	Expires time.Time // or when it expired
	UsedAt  time.Time // zero while it was not
	Valid   bool      // whether ConsumeLink would accept it now
}

// ErrNoLink says that a link does not exist, was used, has expired, or is a disabled person's.
var ErrNoLink = errors.New("no such sign-in link")

// PeekLink looks at a link without using it. Links that were used or have expired are found too, so that the page can say so; ErrNoLink
// is for those that never were.
func (s *Service) PeekLink(ctx context.Context, secret string) (Link, error) {
	var l Link
	var used *time.Time
	err := s.pool.QueryRow(ctx, `select coalesce(k.display_name, p.display_name), l.expires_at, l.used_at
		from sign_in_links l join people p on p.id = l.person left join known_as k on k.person = l.person and k.workspace = l.workspace
		where l.hash = $1 and p.disabled_at is null`, digest(secret)).Scan(&l.Name, &l.Expires, &used)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, ErrNoLink
	}
	if err != nil {
		return l, fmt.Errorf("read sign-in link: %w", err)
	}
	if used != nil {
		l.UsedAt = *used
	}
	l.Valid = used == nil && !l.Expired(s.now())
	return l, nil
}

// Expired says whether a link can no longer be used for its age.
func (l Link) Expired(now time.Time) bool { return !now.Before(l.Expires) }

// Consume uses a link and says whose it was, and the workspace that it is limited to if it was an invitation's. Of any number of simultaneous
// uses exactly one succeeds; the others get ErrNoLink.
func (s *Service) Consume(ctx context.Context, secret string) (person, invitedTo uuid.UUID, err error) {
	var workspace uuid.NullUUID
	err = s.pool.QueryRow(ctx, `update sign_in_links l set used_at = $2 from people p
		where l.hash = $1 and l.used_at is null and l.expires_at > $2 and p.id = l.person and p.disabled_at is null
		returning l.person, l.workspace`, digest(secret), s.now()).Scan(&person, &workspace)
	if errors.Is(err, pgx.ErrNoRows) {
		return person, uuid.Nil, ErrNoLink
	}
	if err != nil {
		return person, uuid.Nil, fmt.Errorf("use sign-in link: %w", err)
	}
	return person, workspace.UUID, nil
}

const tokenPrefix = "tp_"

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func nullable(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
