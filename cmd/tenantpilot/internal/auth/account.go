package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// personOf finds the person that an account of a provider is: the one it is bound to, or else whose verified address it has. It is bound
// then, and what signed that person in before, with less proof of who they are, ends: unused links, and all sessions. Nobody is ever created
// here.
func (s *Service) personOf(ctx context.Context, a account) (uuid.UUID, error) {
	var person uuid.UUID
	var disabled bool
	err := s.pool.QueryRow(ctx, `
		update sign_in_bindings b set used_at = $3 from people p where b.issuer = $1 and b.subject = $2 and p.id = b.person
		returning p.id, p.disabled_at is not null`, a.issuer, a.subject, s.now()).Scan(&person, &disabled)
	switch {
	case err == nil && disabled:
		return uuid.Nil, &Refusal{Reason: RefusedDisabled}
	case err == nil:
		return person, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return uuid.Nil, fmt.Errorf("find person of an account: %w", err)
	case a.email == "":
		return uuid.Nil, refused(RefusedNoEmail, nil)
	case !a.verified:
		return uuid.Nil, refused(RefusedUnverified, nil)
	}
	return s.bind(ctx, a)
}

func (s *Service) bind(ctx context.Context, a account) (uuid.UUID, error) {
	var person uuid.UUID
	var email string
	var disabled bool
	err := s.pool.QueryRow(ctx, `select id, email, disabled_at is not null from people where lower(email) = lower($1)`, a.email).
		Scan(&person, &email, &disabled)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && !sameAddress(email, a.email):
		return uuid.Nil, &Refusal{Reason: RefusedUnknown, Email: a.email}
	case err != nil:
		return uuid.Nil, fmt.Errorf("find person by address: %w", err)
	case disabled:
		return uuid.Nil, &Refusal{Reason: RefusedDisabled, Email: a.email}
	}
	// Nobody else's binding is touched. Of two sign-ins at once one inserts, and the other finds its row.
	var bound bool
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		added, err := tx.Exec(ctx, `insert into sign_in_bindings (issuer, subject, person, bound_at, used_at) values ($1, $2, $3, $4, $4)
			on conflict do nothing`, a.issuer, a.subject, person, s.now())
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `select exists (select from sign_in_bindings where issuer = $1 and subject = $2 and person = $3)`,
			a.issuer, a.subject, person).Scan(&bound)
		if err != nil || !bound || added.RowsAffected() == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from sessions where person = $1`, person); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update sign_in_links set used_at = $2 where person = $1 and used_at is null`, person, s.now())
		return err
	})
	switch {
	case err != nil:
		return uuid.Nil, fmt.Errorf("bind account: %w", err)
	case !bound:
		return uuid.Nil, &Refusal{Reason: RefusedOther, Email: a.email}
	}
	return person, nil
}

// sameAddress is stricter than lower() in a database, for which some letters beyond ASCII are the same as others in it.
func sameAddress(a, b string) bool { return lowerASCII(a) == lowerASCII(b) }

func lowerASCII(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + ('a' - 'A')
		}
		return c
	}, s)
}

// ForgetAccounts unbinds a person from accounts at identity providers and says how many: the next sign-in with their verified address
// binds anew. For an address that moved to another account, or an app registration that was replaced (Entra then has other subjects).
func (s *Service) ForgetAccounts(ctx context.Context, person uuid.UUID) (int64, error) {
	tag, err := s.pool.Exec(ctx, `delete from sign_in_bindings where person = $1`, person)
	if err != nil {
		return 0, fmt.Errorf("forget accounts: %w", err)
	}
	return tag.RowsAffected(), nil
}

// AddressKey is what addresses have in common that lead to the same person, however they are written: a hash, to count tries by.
func AddressKey(email string) string { return string(digest(lowerASCII(strings.TrimSpace(email)))) }
