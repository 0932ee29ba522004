package auth

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// ErrNoPerson says that nobody has this id or address.
var ErrNoPerson = errors.New("there is no such person")

// FindPerson finds a person by id or by e-mail address.
func (s *Service) FindPerson(ctx context.Context, subject string) (uuid.UUID, error) {
	id, err := uuid.Parse(subject)
	query, arg := `select id from people where id = $1`, any(id)
	if err != nil {
		query, arg = `select id from people where lower(email) = lower($1)`, strings.TrimSpace(subject)
	}
	if err := s.pool.QueryRow(ctx, query, arg).Scan(&id); errors.Is(err, pgx.ErrNoRows) {
		return id, ErrNoPerson
	} else if err != nil {
		return id, fmt.Errorf("find person: %w", err)
	}
	return id, nil
}

// WorkspacesOf are the workspaces that a person is a member of, as the read models have it. ErrNoPerson for those who may not come in at all.
func (s *Service) WorkspacesOf(ctx context.Context, person uuid.UUID) (workspaces []uuid.UUID, err error) {
	err = s.pool.QueryRow(ctx, `select array(select m.workspace from members m where m.person = $1 and m.role <> '' order by 1)
		from people where id = $1 and disabled_at is null`, person).Scan(&workspaces)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNoPerson
	}
	if err != nil {
		return nil, fmt.Errorf("find workspaces of a person: %w", err)
	}
	return workspaces, nil
}

// ErasePerson removes a person's name and address, keeps them from ever signing in again, revokes their tokens, ends their sessions and
// deletes their unused links, their accounts' bindings, their break-glass account and the views that they saved, which nobody else could. Pages show "erased" for them. The opaque id stays,
// because the log names it. Erasing twice changes nothing.
func (s *Service) ErasePerson(ctx context.Context, person uuid.UUID) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for _, statement := range []string{
			`update people set display_name = 'erased', email = 'erased-' || id || '@erased.invalid',
				disabled_at = coalesce(disabled_at, clock_timestamp()), erased_at = coalesce(erased_at, clock_timestamp()) where id = $1`,
			`update api_tokens set name = 'erased', revoked_at = coalesce(revoked_at, clock_timestamp()) where person = $1`,
			`update sign_in_links set used_at = coalesce(used_at, clock_timestamp()) where person = $1`,
			`delete from known_as where person = $1`,
			`delete from saved_views where person = $1`,
			`delete from sign_in_bindings where person = $1`,
			`delete from break_glass where person = $1`,
			`delete from sessions where person = $1`,
		} {
			if _, err := tx.Exec(ctx, statement, person); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("erase person: %w", err)
	}
	return nil
}

// ParseAddress reads an e-mail address as people write it: without a name, quotes, or what could pass for something else.
func ParseAddress(text string) (string, bool) {
	text = strings.TrimSpace(text)
	a, err := mail.ParseAddress(text)
	return text, err == nil && a.Name == "" && a.Address == text && len(text) <= 254 && domain.PlainText(text) && !strings.ContainsAny(text, " \"<>()")
}

// InvitePerson finds the person with an address, or adds one who has no name but what the address says: what a workspace calls somebody is its
// own (CallPerson).
func (s *Service) InvitePerson(ctx context.Context, email string) (uuid.UUID, error) {
	name, _, _ := strings.Cut(email, "@")
	return s.CreatePerson(ctx, email, name, false)
}

// CallPerson says who a person is for a workspace that has invited them. Other workspaces see nothing of it.
func (s *Service) CallPerson(ctx context.Context, workspace, person uuid.UUID, email, name string) error {
	_, err := s.pool.Exec(ctx, `insert into known_as (workspace, person, email, display_name) values ($1, $2, $3, $4)
		on conflict (person, workspace) do update set email = excluded.email, display_name = excluded.display_name`,
		workspace, person, strings.TrimSpace(email), strings.TrimSpace(name))
	if err != nil {
		return fmt.Errorf("call person: %w", err)
	}
	return nil
}
