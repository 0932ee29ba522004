package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/argon2"
)

// MinPassword is how many characters a break-glass password has at least. Nobody has to remember it: it is drawn, and lies in a safe.
const MinPassword = 14

const maxPassword = 1024 // bytes

// What a password costs to check (RFC 9106, second recommendation, on one lane): 64 MiB and about a tenth of a second.
var cost = phc{memory: 64 << 10, time: 3, threads: 1}

// hashedAtOnce bounds what strangers can make this process use.
const hashedAtOnce = 2

// phc is a hashed password with all that is needed to check another.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func (p phc) String() string {
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads, text(p.salt), text(p.key))
}

func parsePHC(text string) (p phc, err error) {
	parts := strings.Split(text, "$")
	bad := errors.New("a stored password is malformed")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, bad
	}
	b := base64.RawStdEncoding.Strict()
	var errSalt, errKey error
	p.salt, errSalt = b.DecodeString(parts[4])
	p.key, errKey = b.DecodeString(parts[5])
	if errSalt != nil || errKey != nil || len(p.salt) < 16 || len(p.key) != 32 ||
		p.memory < 8 || p.memory > 1<<20 || p.time < 1 || p.time > 16 || p.threads < 1 || p.threads > 16 {
		return p, bad
	}
	return p, nil
}

func (p phc) of(password string) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, 32)
}

// hashPassword draws a salt; it takes as long as checking does.
func hashPassword(password string) string {
	p := cost
	p.salt = make([]byte, 16)
	_, _ = rand.Read(p.salt) // never fails
	p.key = p.of(password)
	return p.String()
}

// What is wrong with a password that was chosen.
var (
	ErrPasswordShort = fmt.Errorf("the password needs at least %d characters", MinPassword)
	ErrPasswordLong  = fmt.Errorf("the password may have at most %d bytes", maxPassword)
)

// ErrWrongPassword says that an address and a password do not belong together, whichever is wrong.
var ErrWrongPassword = errors.New("the address or the password is wrong")

// CheckPassword says what is wrong with a password for a break-glass account; nil is nothing.
func CheckPassword(password string) error {
	switch {
	case utf8.RuneCountInString(password) < MinPassword:
		return ErrPasswordShort
	case len(password) > maxPassword:
		return ErrPasswordLong
	}
	return nil
}

// SetBreakGlass gives a person a break-glass account, or its account another password. What was signed in before stays so. ErrNoPerson for
// those who may not come in at all.
func (s *Service) SetBreakGlass(ctx context.Context, person uuid.UUID, password string) error {
	if err := CheckPassword(password); err != nil {
		return err
	}
	tag, err := s.pool.Exec(ctx, `
		insert into break_glass (person, phc, set_at) select id, $2, $3 from people where id = $1 and disabled_at is null
		on conflict (person) do update set phc = excluded.phc, set_at = excluded.set_at`, person, hashPassword(password), s.now())
	if err != nil {
		return fmt.Errorf("set break-glass account: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNoPerson
	}
	return nil
}

// RemoveBreakGlass takes a person's break-glass account away; false when there was none. What is signed in stays so until its session ends.
func (s *Service) RemoveBreakGlass(ctx context.Context, person uuid.UUID) (bool, error) {
	tag, err := s.pool.Exec(ctx, `delete from break_glass where person = $1`, person)
	if err != nil {
		return false, fmt.Errorf("remove break-glass account: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// BreakGlass says whether break-glass accounts can be used here.
func (s *Service) BreakGlass() bool { return s.breakGlass }

// Broken is a person whose break-glass password was right, and the workspaces in whose logs that has to be told before they are signed in.
type Broken struct {
	Person     uuid.UUID
	Workspaces []uuid.UUID
}

// CheckBreakGlass finds out whose break-glass account an address and a password are; ErrWrongPassword for nobody's. It signs nobody in. The
// work is the same for addresses that have no account, and at most two passwords are hashed at once: others wait for their turn.
func (s *Service) CheckBreakGlass(ctx context.Context, email, password, client string) (Broken, error) {
	var b Broken
	if !s.breakGlass {
		return b, ErrWrongPassword
	}
	if len(password) > maxPassword {
		password = "" // which is nobody's
	}
	var stored, address string
	email = strings.TrimSpace(email)
	err := s.pool.QueryRow(ctx, `
		select p.id, p.email, b.phc, array(select m.workspace from members m where m.person = p.id and m.role <> '' order by 1)
		from break_glass b join people p on p.id = b.person where lower(p.email) = lower($1) and p.disabled_at is null`, email).
		Scan(&b.Person, &address, &stored, &b.Workspaces)
	known := err == nil && sameAddress(address, email)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Broken{}, fmt.Errorf("find break-glass account: %w", err)
	}
	p := cost
	p.salt, p.key = make([]byte, 16), make([]byte, 32)
	if known {
		if p, err = parsePHC(stored); err != nil {
			return Broken{}, fmt.Errorf("check break-glass account: %w", err)
		}
	}
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return Broken{}, fmt.Errorf("check break-glass account: %w", ctx.Err())
	}
	right := subtle.ConstantTimeCompare(p.of(password), p.key) == 1
	if !known || !right {
		// The address may be a password in the wrong field: it is not logged.
		s.log.WarnContext(ctx, "break-glass sign-in failed", "person", b.Person, "client", client)
		return Broken{}, ErrWrongPassword
	}
	return b, nil
}

// SignInBroken makes the request's session that of a person whose break-glass password was right (CheckBreakGlass), after the logs of their
// workspaces say so.
func (s *Service) SignInBroken(r *http.Request, b Broken, client string) error {
	ctx := r.Context()
	if _, err := s.pool.Exec(ctx, `update break_glass set used_at = $2 where person = $1`, b.Person, s.now()); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	if err := s.SignIn(r, b.Person); err != nil {
		return err
	}
	s.log.WarnContext(ctx, "signed in", "person", b.Person, "with", "break-glass", "client", client)
	return nil
}

// BreakGlassOf says whether a person has a break-glass account, and which workspaces are to be told about it. ErrNoPerson for those who may
// not come in at all.
func (s *Service) BreakGlassOf(ctx context.Context, person uuid.UUID) (who Broken, has bool, err error) {
	who.Person = person
	if who.Workspaces, err = s.WorkspacesOf(ctx, person); err != nil {
		return who, false, err
	}
	if err := s.pool.QueryRow(ctx, `select exists (select from break_glass where person = $1)`, person).Scan(&has); err != nil {
		return who, false, fmt.Errorf("find break-glass account: %w", err)
	}
	return who, has, nil
}
