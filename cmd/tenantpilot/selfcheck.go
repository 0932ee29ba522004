package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/migrations"
)

// selfCheck refuses to start on a database that would break a promise, and says what to do about each fault it finds. lazyDisk lets a
// server that does not flush pass: for tests only.
func selfCheck(ctx context.Context, pool *pgxpool.Pool, lazyDisk bool) error {
	if err := migrations.CheckServer(ctx, pool); err != nil {
		return err
	}
	pending, err := migrations.Pending(ctx, pool)
	if err != nil {
		return fmt.Errorf("check schema: %w", err)
	}
	if pending > 0 {
		return fmt.Errorf("the schema lacks %d migrations: run `tenantpilot migrate` as the database's owner", pending)
	}
	faults := []error{checkRole(ctx, pool), checkPrimary(ctx, pool), checkGuards(ctx, pool)}
	if !lazyDisk {
		faults = append(faults, checkDurability(ctx, pool))
	}
	return errors.Join(faults...)
}

// checkDurability: acknowledged means flushed. With any of these off, a power failure loses what was answered.
func checkDurability(ctx context.Context, pool *pgxpool.Pool) error {
	var faults []error
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		var value string
		if err := pool.QueryRow(ctx, `select current_setting($1)`, setting).Scan(&value); err != nil {
			return fmt.Errorf("read setting %s: %w", setting, err)
		}
		if value == "off" || (setting == "synchronous_commit" && value == "local") {
			faults = append(faults, fmt.Errorf("postgres runs with %s = %s, so acknowledged work could be lost: set %s = on", setting, value, setting))
		}
	}
	return errors.Join(faults...)
}

// checkRole: the application must not be able to change history.
func checkRole(ctx context.Context, pool *pgxpool.Pool) error {
	var role string
	var super, bypass, owner, mayChange, console bool
	err := pool.QueryRow(ctx, `
		select r.rolname, r.rolsuper, r.rolbypassrls,
		       exists (select from pg_class c where c.oid in ('events'::regclass, 'log'::regclass) and pg_has_role(c.relowner, 'member')),
		       has_table_privilege('events', 'update') or has_table_privilege('events', 'delete') or has_table_privilege('events', 'truncate'),
		       pg_has_role('tenantpilot_console', 'member')
		from pg_roles r where r.rolname = current_user`).Scan(&role, &super, &bypass, &owner, &mayChange, &console)
	if err != nil {
		return fmt.Errorf("check role: %w", err)
	}
	const use = "use a login role that is only a member of tenantpilot_app"
	switch {
	case super:
		return fmt.Errorf("the database role %s is a superuser, which could change history: %s", role, use)
	case owner:
		return fmt.Errorf("the database role %s owns the event log, so it could change history: %s", role, use)
	case !console:
		return fmt.Errorf("the database role %s may not take on tenantpilot_console, as which pages are read: "+
			"let an administrator GRANT tenantpilot_console TO tenantpilot_app", role)
	case bypass || mayChange:
		return fmt.Errorf("the database role %s has rights to change history: %s", role, use)
	}
	return nil
}

func checkPrimary(ctx context.Context, pool *pgxpool.Pool) error {
	var replica bool
	if err := pool.QueryRow(ctx, `select pg_is_in_recovery()`).Scan(&replica); err != nil {
		return fmt.Errorf("check primary: %w", err)
	}
	if replica {
		return errors.New("the database is a read replica: point TENANTPILOT_DATABASE_URL at the primary")
	}
	return nil
}

// checkGuards: the constraints and triggers that the product's promises rest on are there and switched on.
func checkGuards(ctx context.Context, pool *pgxpool.Pool) error {
	var missing []string
	err := pool.QueryRow(ctx, `
		select coalesce(array_agg(g order by g), '{}') from unnest($1::text[]) g
		where not exists (select from pg_constraint c where c.conname = g and c.convalidated)
		  and not exists (select from pg_index i join pg_class c on c.oid = i.indexrelid where c.relname = g and i.indisvalid)
		  and not exists (select from pg_trigger t where t.tgname = g and t.tgenabled = 'A')`,
		[]string{
			"events_stream_version_key", "requests_key", "log_seq_key", "log_pkey", "runs_active_scope", "runs_active_identity",
			"events_append_only", "events_no_truncate", "log_append_only", "log_no_truncate",
			"tree_tiles_append_only", "tree_tiles_no_truncate", "tree_heads_append_only", "tree_heads_no_truncate",
		}).Scan(&missing)
	if err != nil {
		return fmt.Errorf("check guards: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("the schema lacks the guards %v: somebody dropped or disabled them; restore them from the migrations", missing)
	}
	return nil
}
