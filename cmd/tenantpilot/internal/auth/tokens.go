package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Token is an API token as it is kept.
type Token struct {
	domain.Token
	OwnerName string
	Secrets   []Secret // the newest first
}

// Secret is one secret of a token; of the secret itself nothing is kept but its first letters.
type Secret struct {
	Prefix   string
	Created  time.Time
	Expires  time.Time // zero: never
	LastUsed time.Time // zero: never; a minute late at most
	From     string    // where it was last used from
	Revoked  time.Time
}

// Opens says whether the secret opens anything at a time.
func (s Secret) Opens(now time.Time) bool {
	return s.Revoked.IsZero() && (s.Expires.IsZero() || now.Before(s.Expires))
}

// DrawToken draws a secret and says by which first letters it is told apart.
func DrawToken() (secret, prefix string) {
	secret = tokenPrefix + random()
	return secret, secret[:len(tokenPrefix)+6]
}

// KeepToken keeps the first secret of a token that was issued (commands.IssueToken). From now on it opens what the token may.
func (s *Service) KeepToken(ctx context.Context, t domain.TokenIssued, secret string) error {
	_, err := s.pool.Exec(ctx, `insert into api_tokens (id, token, person, workspace, name, prefix, hash, scopes, tenants, created_at, expires_at)
		values ($1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		t.Token, t.Owner, nullable(t.Workspace), t.Name, t.Prefix, digest(secret), t.Scopes, t.Tenants, s.now(), nullTime(t.Expires))
	if err != nil {
		return fmt.Errorf("keep token: %w", err)
	}
	return nil
}

// RotateToken keeps another secret of a token; those before go on until the overlap ends, or their own time. One transaction: a crash leaves
// the old secrets as they were. A token that was revoked meanwhile is refused: whoever revokes waits for this or comes first.
func (s *Service) RotateToken(ctx context.Context, token uuid.UUID, r domain.TokenRotated, secret string) error {
	err := s.onToken(ctx, token, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `update api_tokens set expires_at = least(expires_at, $2) where token = $1 and revoked_at is null`, token, r.Overlap)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return &domain.Refusal{Kind: domain.Conflict, Code: "token_revoked", Text: "This token was revoked. Make a new one."}
		}
		_, err = tx.Exec(ctx, `insert into api_tokens (id, token, person, workspace, name, prefix, hash, scopes, tenants, created_at, expires_at)
			select $2, token, person, workspace, name, $3, $4, scopes, tenants, $5, $6 from api_tokens where token = $1 limit 1`,
			token, uuid.New(), r.Prefix, digest(secret), s.now(), r.Expires)
		return err
	})
	if err != nil {
		return fmt.Errorf("rotate token: %w", err)
	}
	return nil
}

// RevokeToken revokes all secrets of a token at once. Revoking again changes nothing.
func (s *Service) RevokeToken(ctx context.Context, token uuid.UUID) error {
	err := s.onToken(ctx, token, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `update api_tokens set revoked_at = coalesce(revoked_at, $2) where token = $1`, token, s.now())
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// onToken does something about the secrets of a token, one after another: the lock holds also against secrets that are not there yet.
func (s *Service) onToken(ctx context.Context, token uuid.UUID, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended($1, 0))`, "token/"+token.String()); err != nil {
			return err
		}
		return do(tx)
	})
}

// Tokens lists the tokens of a workspace, of one owner or (uuid.Nil) of all, those first that were issued last. Of those that open nothing any
// more only the ones of the last 30 days.
func (s *Service) Tokens(ctx context.Context, workspace, owner uuid.UUID) ([]Token, error) {
	rows, err := s.pool.Query(ctx, `
		select a.token, a.person, p.display_name, a.name, a.scopes, a.tenants, a.prefix, a.created_at, coalesce(a.expires_at, '0001-01-01 00:00:00+00'),
			coalesce(a.last_used_at, '0001-01-01 00:00:00+00'), coalesce(a.last_used_from, ''), coalesce(a.revoked_at, '0001-01-01 00:00:00+00')
		from api_tokens a join people p on p.id = a.person
		where a.workspace = $1 and ($2::uuid = '00000000-0000-0000-0000-000000000000' or a.person = $2)
			and coalesce(least(a.expires_at, a.revoked_at), 'infinity') > $3
		order by max(a.created_at) over (partition by a.token) desc, a.token, a.created_at desc limit 2000`,
		workspace, owner, s.now().Add(-30*24*time.Hour))
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	var tokens []Token
	var t Token
	var secret Secret
	_, err = pgx.ForEachRow(rows, []any{
		&t.ID, &t.Owner, &t.OwnerName, &t.Name, &t.Scopes, &t.Tenants, &secret.Prefix, &secret.Created, &secret.Expires, &secret.LastUsed,
		&secret.From, &secret.Revoked,
	}, func() error {
		if n := len(tokens); n == 0 || tokens[n-1].ID != t.ID {
			t.Workspace, t.Expires, t.Revoked, t.Secrets = workspace, secret.Expires, !secret.Revoked.IsZero(), nil
			tokens = append(tokens, t)
		}
		last := &tokens[len(tokens)-1]
		last.Secrets = append(last.Secrets, secret)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return tokens, nil
}

// TokenOf finds a token of a workspace (uuid.Nil: of any), also one that opens nothing any more.
func (s *Service) TokenOf(ctx context.Context, workspace, token uuid.UUID) (domain.Token, error) {
	t := domain.Token{ID: token, Workspace: workspace}
	err := s.pool.QueryRow(ctx, `select person, workspace, name, scopes, tenants, bool_and(revoked_at is not null) over () from api_tokens
		where token = $1 and workspace = coalesce($2, workspace) order by created_at desc limit 1`, token, nullable(workspace)).
		Scan(&t.Owner, &t.Workspace, &t.Name, &t.Scopes, &t.Tenants, &t.Revoked)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, domain.ErrNotFound()
	}
	if err != nil {
		return t, fmt.Errorf("read token: %w", err)
	}
	return t, nil
}
