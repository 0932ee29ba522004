package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// SavedView is a list's filter, columns and order under a name. It is a preference: no event tells of it, and it is no read model.
type SavedView struct {
	ID      uuid.UUID
	Person  uuid.UUID // whose it is
	Owner   string    // that person's name
	Name    string
	Query   string // the list's address after the question mark
	Shared  bool   // with everybody in the workspace
	Default bool   // what the asker's list opens with
	Changed time.Time
}

// viewsPerPerson is how many views somebody may keep of a list.
const viewsPerPerson = 100

// A view that somebody shares is not shown to those who do not see a tenant that it names.
const viewColumns = `v.id, v.person, coalesce(p.display_name, ''), v.name, v.query, v.shared, d.view is not null, v.changed_at
	from saved_views v left join colleagues p on p.id = v.person
	left join saved_view_defaults d on d.view = v.id and d.person = $2 and d.workspace = v.workspace
	where v.workspace = $1 and (v.person = $2 or v.shared and not ($3::uuid[] is not null and exists (
		select from tenants t, replace(replace(lower(v.name || ' ' || v.query), '+', ' '), '%20', ' ') told
		where t.workspace = v.workspace and not t.tenant = any($3)
			and (strpos(told, t.external_id::text) > 0 or strpos(told, lower(t.name)) > 0 or t.domain <> '' and strpos(told, lower(t.domain)) > 0))))`

// SavedViews reads an actor's views of a list and those that others share, by name, the own ones first.
func (r Reader) SavedViews(ctx context.Context, actor domain.Actor, page string) ([]SavedView, error) {
	rows, err := r.pool.Query(ctx, `select `+viewColumns+` and v.page = $4 order by v.person <> $2, lower(v.name), v.id`,
		sight(actor), actor.Ref.ID, actor.Tenants, page)
	if err != nil {
		return nil, fmt.Errorf("read saved views: %w", err)
	}
	return collect[SavedView](rows, "read saved views")
}

// SavedView reads a view that is the actor's or shared with them; ErrNoRow otherwise.
func (r Reader) SavedView(ctx context.Context, actor domain.Actor, id uuid.UUID) (SavedView, error) {
	rows, err := r.pool.Query(ctx, `select `+viewColumns+` and v.id = $4`, sight(actor), actor.Ref.ID, actor.Tenants, id)
	return one[SavedView](rows, err, "read saved view")
}

// CreateView saves a view of a list as the actor's. A name that the actor uses already for that list is refused.
func (r Reader) CreateView(ctx context.Context, actor domain.Actor, page string, v SavedView) error {
	if sight(actor) == uuid.Nil {
		return ErrNoRow
	}
	done, err := r.pool.Exec(ctx, `insert into saved_views (id, workspace, person, page, name, query, shared)
		select $1, $2, $3, $4, $5, $6, $7 where (select count(*) from saved_views where workspace = $2 and person = $3 and page = $4) < $8
		on conflict (workspace, person, page, lower(name)) do nothing`,
		v.ID, actor.Workspace, actor.Ref.ID, page, v.Name, v.Query, v.Shared, viewsPerPerson)
	if err != nil {
		return fmt.Errorf("create saved view: %w", err)
	}
	if done.RowsAffected() == 0 {
		return domain.InvalidField("/name", "taken", "You have a view of this name already, or too many views.")
	}
	return nil
}

// ChangeView replaces the query of an actor's own view and whether it is shared; ErrNoRow when it is not theirs.
func (r Reader) ChangeView(ctx context.Context, actor domain.Actor, v SavedView) error {
	return r.ownView(ctx, actor, v.ID, `update saved_views set query = $4, shared = $5, changed_at = clock_timestamp()
		where workspace = $1 and person = $2 and id = $3`, v.Query, v.Shared)
}

// DeleteView takes an actor's own view away, for everybody; ErrNoRow when it is not theirs.
func (r Reader) DeleteView(ctx context.Context, actor domain.Actor, id uuid.UUID) error {
	return r.ownView(ctx, actor, id, `delete from saved_views where workspace = $1 and person = $2 and id = $3`)
}

func (r Reader) ownView(ctx context.Context, actor domain.Actor, id uuid.UUID, change string, args ...any) error {
	done, err := r.pool.Exec(ctx, change, append([]any{sight(actor), actor.Ref.ID, id}, args...)...)
	if err != nil {
		return fmt.Errorf("change saved view: %w", err)
	}
	if done.RowsAffected() == 0 {
		return ErrNoRow
	}
	return nil
}

// ChooseDefaultView makes a view what the actor's list opens with, in place of any other; with on false the list opens without one.
func (r Reader) ChooseDefaultView(ctx context.Context, actor domain.Actor, id uuid.UUID, on bool) error {
	change := `delete from saved_view_defaults where workspace = $1 and person = $2 and view = $3`
	if on {
		change = `insert into saved_view_defaults (workspace, person, page, view)
			select workspace, $2, page, id from saved_views where workspace = $1 and id = $3 and (person = $2 or shared)
			on conflict (workspace, person, page) do update set view = excluded.view`
	}
	if _, err := r.pool.Exec(ctx, change, sight(actor), actor.Ref.ID, id); err != nil {
		return fmt.Errorf("choose default view: %w", err)
	}
	return nil
}
