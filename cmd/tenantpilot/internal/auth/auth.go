// Package auth says who is asking: it turns a session or an API token into a domain.Actor with the rights of this very moment.
//
// Secrets (tokens, links, session ids) are 256 random bits, shown once; the database has their SHA-256. Roles are read on every request,
// so a right that was taken away is gone on the next one. What an actor may do is decided elsewhere (domain.Actor); this package never
// grants anything.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
)

// Config sets a Service up; zero values are good defaults.
type Config struct {
	// Secure is set when the console is reached over TLS: cookies are then bound to the host and never sent in the clear.
	Secure bool
	// Now is the clock for expiries; nil is the system's.
	Now func() time.Time
}

// Service keeps people, tokens, sign-in links and sessions. It is safe for concurrent use.
type Service struct {
	pool     *pgxpool.Pool
	now      func() time.Time
	sessions *scs.SessionManager
	store    *pgxstore.PostgresStore
}

// New makes a service. Close it: it removes expired sessions in the background.
func New(pool *pgxpool.Pool, cfg Config) *Service {
	s := &Service{pool: pool, now: cfg.Now, sessions: scs.New(), store: pgxstore.NewWithCleanupInterval(pool, 10*time.Minute)}
	if s.now == nil {
		s.now = time.Now
	}
	s.sessions.Store = s.store
	s.sessions.HashTokenInStore = true
	s.sessions.IdleTimeout, s.sessions.Lifetime = 8*time.Hour, 7*24*time.Hour
	s.sessions.Cookie.Name, s.sessions.Cookie.Secure = "tenantpilot", cfg.Secure
	if cfg.Secure {
		s.sessions.Cookie.Name = "__Host-tenantpilot"
	}
	s.sessions.Cookie.HttpOnly, s.sessions.Cookie.SameSite = true, http.SameSiteLaxMode
	return s
}

// Close stops the background work.
func (s *Service) Close() { s.store.StopCleanup() }

// CreatePerson adds a person, or finds the one with this address. Platform people see the system plane and nothing else.
func (s *Service) CreatePerson(ctx context.Context, email, name string, platform bool) (uuid.UUID, error) {
	var id uuid.UUID
	err := s.pool.QueryRow(ctx, `insert into people (id, email, display_name, platform) values ($1, $2, $3, $4)
		on conflict (lower(email)) do update set email = people.email returning id`, uuid.New(), email, name, platform).Scan(&id)
	if err != nil {
		return id, fmt.Errorf("create person: %w", err)
	}
	return id, nil
}

// IssueToken draws an API token for a person in a workspace (uuid.Nil for platform people). The secret is returned once and cannot be had
// again; a zero expiry never ends.
func (s *Service) IssueToken(ctx context.Context, person, workspace uuid.UUID, name string, expires time.Time) (string, uuid.UUID, error) {
	secret, id := "tp_"+random(), uuid.New()
	_, err := s.pool.Exec(ctx, `insert into api_tokens (id, person, workspace, name, prefix, hash, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8)`,
		id, person, nullable(workspace), name, secret[:9], digest(secret), s.now(), nullTime(expires))
	if err != nil {
		return "", id, fmt.Errorf("issue token: %w", err)
	}
	return secret, id, nil
}

// IssueSignInLink draws a link that signs a person in once, and returns its path.
func (s *Service) IssueSignInLink(ctx context.Context, person uuid.UUID, ttl time.Duration) (string, error) {
	secret := random()
	_, err := s.pool.Exec(ctx, `insert into sign_in_links (hash, person, created_at, expires_at) values ($1, $2, $3, $4)`,
		digest(secret), person, s.now(), s.now().Add(ttl))
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
}

// ErrNoLink says that a link does not exist, was used, or has expired.
var ErrNoLink = errors.New("no such sign-in link")

// PeekLink looks at a link without using it: a mail scanner that opens it must not use it up.
func (s *Service) PeekLink(ctx context.Context, secret string) (Link, error) {
	var l Link
	var used *time.Time
	err := s.pool.QueryRow(ctx, `select p.display_name, l.expires_at, l.used_at from sign_in_links l join people p on p.id = l.person
		where l.hash = $1`, digest(secret)).Scan(&l.Name, &l.Expires, &used)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, ErrNoLink
	}
	if err != nil {
		return l, fmt.Errorf("read sign-in link: %w", err)
	}
	if used != nil {
		l.UsedAt = *used
	}
	return l, nil
}

// Consume uses a link. Of any number of simultaneous uses exactly one succeeds; the others get ErrNoLink.
func (s *Service) Consume(ctx context.Context, secret string) (uuid.UUID, error) {
	var person uuid.UUID
	err := s.pool.QueryRow(ctx, `update sign_in_links set used_at = $2 where hash = $1 and used_at is null and expires_at > $2
		returning person`, digest(secret), s.now()).Scan(&person)
	if errors.Is(err, pgx.ErrNoRows) {
		return person, ErrNoLink
	}
	if err != nil {
		return person, fmt.Errorf("use sign-in link: %w", err)
	}
	return person, nil
}

// SignIn makes the request's session the person's, under a fresh session id.
func (s *Service) SignIn(ctx context.Context, person uuid.UUID) error {
	if err := s.sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	s.sessions.Put(ctx, sessionPerson, person.String())
	s.sessions.Remove(ctx, sessionWorkspace)
	return nil
}

// SignOut ends the request's session.
func (s *Service) SignOut(ctx context.Context) error {
	if err := s.sessions.Destroy(ctx); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

// ChooseWorkspace makes another of the viewer's workspaces the session's; ErrNotFound for one that is not theirs.
func (s *Service) ChooseWorkspace(ctx context.Context, workspace uuid.UUID) error {
	viewer, ok := ViewerFrom(ctx)
	if !ok || !slices.ContainsFunc(viewer.Workspaces, func(m Membership) bool { return m.Workspace == workspace }) {
		return domain.ErrNotFound()
	}
	s.sessions.Put(ctx, sessionWorkspace, workspace.String())
	return nil
}

const (
	sessionPerson    = "person"
	sessionWorkspace = "workspace"
)

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

func bearer(r *http.Request) (string, bool) {
	scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", r.Header.Get("Authorization") != ""
	}
	return strings.TrimSpace(secret), true
}
