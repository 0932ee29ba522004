package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// tidier is a ReadModel whose Apply also tidies tables that are no part of it. A rebuild gives it empty ones.
type tidier interface{ Aside() []string }

// checkTables refuses tables with something on them that a swap would lose.
func (b *rebuild) checkTables(ctx context.Context) error {
	var missing, held []string
	err := b.control.QueryRow(ctx, `
		with t as (select name, to_regclass('public.' || quote_ident(name)) as rel from unnest($1::text[]) name),
		held as (
			select name || ': trigger ' || tgname as what from t join pg_trigger on tgrelid = rel where not tgisinternal
			union all select name || ': foreign key ' || conname from t join pg_constraint on rel in (conrelid, confrelid) where contype = 'f'
			union all select name || ': view ' || r.ev_class::regclass from t join pg_depend d on d.refobjid = rel
				join pg_rewrite r on r.oid = d.objid where d.classid = 'pg_rewrite'::regclass
			union all select name || ': policy on ' || p.polrelid::regclass || ' that reads it' from t join pg_depend d on d.refobjid = rel
				join pg_policy p on p.oid = d.objid where d.classid = 'pg_policy'::regclass and p.polrelid <> rel
			union all select name || ': column grant on ' || attname from t join pg_attribute on attrelid = rel where attacl is not null
		)
		select (select coalesce(array_agg(name), '{}') from t where rel is null), (select coalesce(array_agg(distinct what), '{}') from held)`,
		b.tables).Scan(&missing, &held)
	switch {
	case err != nil:
		return fmt.Errorf("look at tables: %w", err)
	case len(b.tables) == 0:
		return fmt.Errorf("it has no tables")
	case len(missing) > 0:
		return fmt.Errorf("the tables %s do not exist", strings.Join(missing, ", "))
	case len(held) > 0:
		return fmt.Errorf("a swap would lose %s", strings.Join(held, ", "))
	}
	return nil
}

// makeShadow makes the schema with empty tables like those that are served, with their primary keys and nothing else that slows writing
// down, and with a table of parked events.
func (b *rebuild) makeShadow(ctx context.Context, tx pgx.Tx) error {
	statements := []string{`drop schema if exists ` + b.schema + ` cascade`, `create schema ` + b.schema}
	copied := slices.Concat(b.tables, []string{"parked"})
	if t, ok := b.model.(tidier); ok {
		copied = append(copied, t.Aside()...)
	}
	for _, t := range copied {
		statements = append(statements, fmt.Sprintf(`create table %s.%s (like public.%[2]s including all excluding indexes)`, b.schema, quoteName(t)))
	}
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return fmt.Errorf("make shadow: %w", err)
		}
	}
	rows, err := tx.Query(ctx, `
		select format('alter table %I.%I add constraint %I %s', $1::text, c.relname, con.conname, pg_get_constraintdef(con.oid))
		from pg_constraint con join pg_class c on c.oid = con.conrelid
		where c.relnamespace = 'public'::regnamespace and c.relname = any($2) and con.contype = 'p'
		union all
		select format('alter table %I.%I set (%s)', $1::text, relname, array_to_string(reloptions, ', '))
		from pg_class where relnamespace = 'public'::regnamespace and relname = any($2) and reloptions is not null`, b.schema, copied)
	return execute(ctx, tx, rows, err, "make shadow")
}

// addIndexes makes the indexes of the shadow, under their own names, as many at once as there are shards. Those that an interrupted
// rebuild has made already stay.
func (b *rebuild) addIndexes(ctx context.Context) error {
	rows, err := b.control.Query(ctx, `
		select replace(pg_get_indexdef(i.indexrelid), format(' ON public.%I ', c.relname), format(' ON %I.%I ', $1::text, c.relname))
		from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
		where c.relnamespace = 'public'::regnamespace and c.relname = any($2) and to_regclass(format('%I.%I', $1::text, x.relname)) is null
			and not exists (select from pg_constraint where conindid = i.indexrelid and contype in ('p', 'x'))`, b.schema, b.tables)
	if err != nil {
		return fmt.Errorf("list indexes: %w", err)
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list indexes: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(len(b.shards))
	for _, s := range statements {
		g.Go(func() error {
			conn, err := pgx.ConnectConfig(ctx, b.config)
			if err != nil {
				return fmt.Errorf("connect: %w", err)
			}
			defer conn.Close(context.WithoutCancel(ctx))
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// complete gives the shadow, whose indexes have been made, the constraints that rest on them, the grants and the policies.
func (b *rebuild) complete(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		select format('alter table %I.%I add constraint %I %s', $1::text, c.relname, con.conname,
			case contype when 'u' then format('unique using index %I', con.conname) else pg_get_constraintdef(con.oid) end)
		from pg_constraint con join pg_class c on c.oid = con.conrelid
		where c.relnamespace = 'public'::regnamespace and c.relname = any($2) and con.contype in ('u', 'x')
		union all
		select format('grant %s on %I.%I to %s%s', a.privilege_type, $1::text, c.relname,
			case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end, case when a.is_grantable then ' with grant option' else '' end)
		from pg_class c, aclexplode(c.relacl) a
		where c.relnamespace = 'public'::regnamespace and c.relname = any($2) and a.grantee <> c.relowner
		union all
		select format('alter table %I.%I enable row level security', $1::text, relname) from pg_class
		where relnamespace = 'public'::regnamespace and relname = any($2) and relrowsecurity
		union all
		select format('create policy %I on %I.%I as %s for %s to %s', policyname, $1::text, tablename, permissive, cmd,
			(select string_agg(case r when 'public' then r else quote_ident(r) end, ', ') from unnest(roles) r))
			|| coalesce(' using (' || qual || ')', '') || coalesce(' with check (' || with_check || ')', '')
		from pg_policies where schemaname = 'public' and tablename = any($2)
		union all
		select format('analyze %I.%I', $1::text, name) from unnest($2::text[]) name`, b.schema, b.tables)
	return execute(ctx, tx, rows, err, "complete shadow")
}

// execute runs the statements that a query has made.
func execute(ctx context.Context, tx pgx.Tx, rows pgx.Rows, err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %s: %w", what, s, err)
		}
	}
	return nil
}
