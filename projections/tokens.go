package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Token is an API token as it is kept. Package auth keeps its secrets; nothing of them can be read here.
type Token struct {
	domain.Token
	OwnerName string
	Secrets   []TokenSecret // the newest first
}

// TokenSecret is one secret of a token; of the secret itself nothing is kept but its first letters.
type TokenSecret struct {
	Prefix   string
	Created  time.Time
	Expires  time.Time // zero: never
	LastUsed time.Time // zero: never; a minute late at most
	From     string    // where it was last used from
	Revoked  time.Time
}

// Opens says whether the secret opens anything at a time.
func (s TokenSecret) Opens(now time.Time) bool {
	return s.Revoked.IsZero() && (s.Expires.IsZero() || now.Before(s.Expires))
}

// Tokens lists the tokens of the actor's workspace, of one owner or (uuid.Nil) of all, those first that were issued last. Of those that open
// nothing any more only the ones of the last 30 days.
func (r Reader) Tokens(ctx context.Context, actor domain.Actor, owner uuid.UUID) ([]Token, error) {
	rows, err := r.pool.Query(ctx, `
		select a.token, a.person, coalesce(p.display_name, ''), a.name, a.scopes, a.tenants, a.prefix, a.created_at,
			coalesce(a.expires_at, '0001-01-01 00:00:00+00'), coalesce(a.last_used_at, '0001-01-01 00:00:00+00'), coalesce(a.last_used_from, ''),
			coalesce(a.revoked_at, '0001-01-01 00:00:00+00')
		from api_tokens a left join people p on p.id = a.person
		where a.workspace = $1 and ($2::uuid = '00000000-0000-0000-0000-000000000000' or a.person = $2)
			and coalesce(least(a.expires_at, a.revoked_at), 'infinity') > clock_timestamp() - interval '30 days'
		order by max(a.created_at) over (partition by a.token) desc, a.token, a.created_at desc limit 2000`, sight(actor), owner)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	var tokens []Token
	var t Token
	var secret TokenSecret
	_, err = pgx.ForEachRow(rows, []any{
		&t.ID, &t.Owner, &t.OwnerName, &t.Name, &t.Scopes, &t.Tenants, &secret.Prefix, &secret.Created, &secret.Expires, &secret.LastUsed,
		&secret.From, &secret.Revoked,
	}, func() error {
		if n := len(tokens); n == 0 || tokens[n-1].ID != t.ID {
			t.Workspace, t.Expires, t.Revoked, t.Secrets = actor.Workspace, secret.Expires, !secret.Revoked.IsZero(), nil
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

// TokenOf reads a token of the actor's workspace, also one that opens nothing any more; ErrNoRow otherwise.
func (r Reader) TokenOf(ctx context.Context, actor domain.Actor, token uuid.UUID) (domain.Token, error) {
	t := domain.Token{ID: token, Workspace: actor.Workspace}
	err := r.pool.QueryRow(ctx, `select person, name, scopes, tenants, bool_and(revoked_at is not null) over () from api_tokens
		where token = $2 and workspace = $1 order by created_at desc limit 1`, sight(actor), token).
		Scan(&t.Owner, &t.Name, &t.Scopes, &t.Tenants, &t.Revoked)
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Token{}, ErrNoRow
	}
	if err != nil {
		return domain.Token{}, fmt.Errorf("read token: %w", err)
	}
	return t, nil
}
