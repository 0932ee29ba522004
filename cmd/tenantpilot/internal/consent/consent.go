// Package consent keeps the states of admin consent links: random texts that travel to Microsoft and back, so that an answer can be told
// from one that somebody made up.
//
// A state is 256 random bits, handed out once and stored as a hash. It is good for 15 minutes, for one answer, for the session that
// asked and for the application that it asked for. What the answer says is recorded elsewhere, as an event; losing a row here loses a link, nothing else.
package consent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Lifetime is how long a link can be answered.
const Lifetime = 15 * time.Minute

// kept is how long answered and expired rows stay, for the page that says what became of a link.
const kept = 24 * time.Hour

// Request is consent that is being asked for.
type Request struct {
	Session    string // hash of the session that asks, whose answer is accepted from no other; what is no hash is accepted from nobody
	Workspace  uuid.UUID
	Person     uuid.UUID
	Connection int64
	Directory  uuid.UUID // the customer's directory, which has to answer
	App        string    // the application that consent is asked for
	Next       string    // local page to come back to
}

// Why an answer is not accepted. Nothing may be recorded on either.
var (
	// ErrInvalid says that a state was never handed out, was answered before, or has expired.
	ErrInvalid = errors.New("no such consent request")
	// ErrElsewhere says that a good state came back in a browser without the session that asked. The state is used up.
	ErrElsewhere = errors.New("consent was answered in another session")
)

// Store keeps states. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// New makes a store on a pool of the application's role. now is the clock for expiries; nil is the system's.
func New(pool *pgxpool.Pool, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{pool: pool, now: now}
}

// Issue hands out a state for a request and says until when it is good. Older states of the connection stay good: a link that was sent
// to somebody works until its time is over.
func (s *Store) Issue(ctx context.Context, r Request) (state string, expires time.Time, err error) {
	if r.Session == "" {
		return "", time.Time{}, errors.New("issue consent state: no session")
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	state = base64.RawURLEncoding.EncodeToString(raw)
	now := s.now().UTC()
	expires = now.Add(Lifetime)
	_, err = s.pool.Exec(ctx, `
		with old as (delete from consent_requests where expires_at < $9)
		insert into consent_requests (hash, session, workspace, person, connection, directory, next, requested_at, expires_at, app)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $10, $11)`,
		digest(state), r.Session, r.Workspace, r.Person, r.Connection, r.Directory, r.Next, now, now.Add(-kept), expires, r.App)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("issue consent state: %w", err)
	}
	return state, expires, nil
}

// Burn uses a state up and returns what was asked with it, for the session it came back in ("" is none). ErrInvalid and ErrElsewhere say
// that the answer must not be acted on; what was asked comes with them as far as it is known, to be recorded and not to be believed. A crash
// after Burn loses the answer: the state is used, and the connection has to be checked by hand.
func (s *Store) Burn(ctx context.Context, state, session string) (Request, error) {
	var r Request
	err := s.pool.QueryRow(ctx, `
		update consent_requests set answered_at = $3, elsewhere = session <> $2
		where hash = $1 and answered_at is null and expires_at > $3
		returning session, workspace, person, connection, directory, app, next`, digest(state), session, s.now()).
		Scan(&r.Session, &r.Workspace, &r.Person, &r.Connection, &r.Directory, &r.App, &r.Next)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return s.spent(ctx, state)
	case err != nil:
		return Request{}, fmt.Errorf("burn consent state: %w", err)
	case session == "" || r.Session != session:
		return r, ErrElsewhere
	}
	return r, nil
}

// spent is what was asked with a state that is used up or over, with ErrInvalid; nothing but the error when there never was one.
func (s *Store) spent(ctx context.Context, state string) (Request, error) {
	var r Request
	err := s.pool.QueryRow(ctx, `select session, workspace, person, connection, directory, app, next from consent_requests where hash = $1`, digest(state)).
		Scan(&r.Session, &r.Workspace, &r.Person, &r.Connection, &r.Directory, &r.App, &r.Next)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Request{}, fmt.Errorf("read consent state: %w", err)
	}
	return r, ErrInvalid
}

// Name is an id for a state that does not give it away.
func Name(state string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, digest(state)) }

// Link is what is known about the newest link of a connection.
type Link struct {
	Person      uuid.UUID
	RequestedAt time.Time
	ExpiresAt   time.Time
	AnsweredAt  time.Time // zero while it is not
	Elsewhere   bool      // answered in another browser, which proves nothing
}

// Latest finds the newest link of a connection within the last day; false when there is none.
func (s *Store) Latest(ctx context.Context, workspace uuid.UUID, connection int64) (Link, bool, error) {
	var l Link
	var answered *time.Time
	err := s.pool.QueryRow(ctx, `select person, requested_at, expires_at, answered_at, elsewhere from consent_requests
		where connection = $1 and workspace = $2 and requested_at > $3 order by requested_at desc limit 1`,
		connection, workspace, s.now().Add(-kept)).Scan(&l.Person, &l.RequestedAt, &l.ExpiresAt, &answered, &l.Elsewhere)
	if errors.Is(err, pgx.ErrNoRows) {
		return Link{}, false, nil
	}
	if err != nil {
		return Link{}, false, fmt.Errorf("read consent link: %w", err)
	}
	if answered != nil {
		l.AnsweredAt = *answered
	}
	return l, true, nil
}

func digest(state string) []byte {
	sum := sha256.Sum256([]byte(state))
	return sum[:]
}
