package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

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

// TokenWorkspace finds the workspace that a token is for, for tools at the server: people are shown those of their own (projections.Reader).
func (s *Service) TokenWorkspace(ctx context.Context, token uuid.UUID) (uuid.UUID, error) {
	var workspace uuid.UUID
	err := s.pool.QueryRow(ctx, `select workspace from api_tokens where token = $1 and workspace is not null limit 1`, token).Scan(&workspace)
	if errors.Is(err, pgx.ErrNoRows) {
		return workspace, domain.ErrNotFound()
	}
	if err != nil {
		return workspace, fmt.Errorf("read token: %w", err)
	}
	return workspace, nil
}
