package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tenantpilot/eventstore"
)

// digest is the content of a table without its order.
type digest struct {
	Rows int64
	Sum  string
}

// compared is what of a table has to be equal: a row expression, "" if nothing.
func (b *rebuild) compared(ctx context.Context, table string) (string, error) {
	changes := b.model.Changes()[table]
	if slices.Contains(changes, "*") && b.changedVersion() {
		return "", nil
	}
	rows, err := b.control.Query(ctx, `select quote_ident(attname) from pg_attribute
		where attrelid = format('public.%I', $1::text)::regclass and attnum > 0 and not attisdropped
			and not (attname = any($2::text[]) and $3) order by attnum`, table, changes, b.changedVersion())
	if err != nil {
		return "", fmt.Errorf("read columns of %s: %w", table, err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("read columns of %s: %w", table, err)
	}
	return "row(" + strings.Join(columns, ", ") + ")::text", nil
}

// changedVersion says whether the declared changes count: between rows of one version there are none.
func (b *rebuild) changedVersion() bool { return b.from == nil || *b.from != b.model.Version() }

type rowQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func digestOf(ctx context.Context, tx rowQuerier, schema, table, row string) (d digest, err error) {
	sum := "0"
	if row != "" {
		sum = `coalesce(sum(hashtextextended(` + row + `, 0)::numeric), 0)::text`
	}
	err = tx.QueryRow(ctx, `select count(*), `+sum+` from `+schema+`.`+quoteName(table)).Scan(&d.Rows, &d.Sum)
	if err != nil {
		return d, fmt.Errorf("digest %s.%s: %w", schema, table, err)
	}
	return d, nil
}

// compare brings the shadow to a position at which the served rows were, and compares the digests of both. The served rows are read in
// one snapshot, so they need not stand still for it.
func (b *rebuild) compare(ctx context.Context) error {
	b.report("comparing", slices.Min(b.shards), slices.Min(b.shards))
	var position int64
	exprs, old := map[string]string{}, map[string]digest{}
	for _, t := range b.tables {
		row, err := b.compared(ctx, t)
		if err != nil {
			return err
		}
		exprs[t] = row
	}
	err := pgx.BeginTxFunc(ctx, b.control, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `select position from public.checkpoints where projection = $1`, b.model.Name()).Scan(&position)
		for _, t := range b.tables {
			if err != nil {
				return err
			}
			old[t], err = digestOf(ctx, tx, "public", t, exprs[t])
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	if err := b.build(ctx, position); err != nil {
		return err
	}
	b.result.Position = position
	var differing []string
	for _, t := range b.tables {
		fresh, err := digestOf(ctx, b.control, b.schema, t, exprs[t])
		if err != nil {
			return fmt.Errorf("compare: %w", err)
		}
		b.result.Rows[t] = fresh.Rows
		if exprs[t] != "" && fresh != old[t] {
			differing = append(differing, t)
		}
	}
	if len(differing) == 0 {
		return b.enter(ctx, b.control, "comparing", b.noted(fmt.Sprintf("digests are equal at position %d", position)))
	}
	return b.differ(ctx, differing, exprs)
}

// differ says how the tables differ and, unless that is accepted, ends the rebuild here.
func (b *rebuild) differ(ctx context.Context, tables []string, exprs map[string]string) error {
	var notes []string
	// Undone at the end: it only brings the shadow to where the served rows are while they stand still.
	tx, err := b.control.Begin(ctx)
	if err != nil {
		return fmt.Errorf("compare rows: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := b.holdAndCatchUp(ctx, tx); err != nil {
		return err
	}
	for _, t := range tables {
		note, err := b.difference(ctx, tx, t, exprs[t])
		if err != nil {
			return err
		}
		notes = append(notes, note)
	}
	if err := tx.Rollback(ctx); err != nil {
		return fmt.Errorf("compare rows: %w", err)
	}
	return b.refuse(ctx, fmt.Errorf("%w: %s", ErrDiffers, strings.Join(notes, "; ")))
}

// refuse ends the rebuild before its swap, or writes down why it would have, where that is accepted.
func (b *rebuild) refuse(ctx context.Context, why error) error {
	if b.AcceptDifference {
		return b.enter(ctx, b.control, "comparing", b.noted("accepted: "+why.Error()))
	}
	if err := b.enter(ctx, b.control, "differs", why.Error()); err != nil {
		return err
	}
	return why
}

// noted is the rebuild's note with one more thing in it.
func (b *rebuild) noted(more string) string { return strings.TrimPrefix(b.note+"; "+more, "; ") }

// parkedAnew is an ErrParked when events are parked in the shadow that are not parked of the served rows. Comparing rows does not tell: a
// version that means to change all of a table's rows is compared with nothing, and a first build has nothing to be compared with.
func (b *rebuild) parkedAnew(ctx context.Context, db rowQuerier) error {
	var fresh, first int64
	var cause string
	err := db.QueryRow(ctx, `with p as materialized (
			select position, cause, not exists (select from public.parked s where s.projection = $1 and s.position = p.position) as fresh
			from `+b.schema+`.parked p)
		select count(*), count(*) filter (where fresh), coalesce(min(position) filter (where fresh), 0),
			coalesce((select cause from p where fresh order by position limit 1), '') from p`, b.model.Name()).Scan(&b.result.Parked, &fresh, &first, &cause)
	switch {
	case err != nil:
		return fmt.Errorf("look at what is parked: %w", err)
	case fresh > 0:
		return fmt.Errorf("%w: %d events, the first at position %d: %s", ErrParked, fresh, first, cause)
	}
	return nil
}

// checkParked refuses to go on, unless that is accepted, when parkedAnew says so.
func (b *rebuild) checkParked(ctx context.Context) error {
	err := b.parkedAnew(ctx, b.control)
	if errors.Is(err, ErrParked) {
		return b.refuse(ctx, err)
	}
	return err
}

func (b *rebuild) difference(ctx context.Context, tx pgx.Tx, table, row string) (string, error) {
	var key string
	err := tx.QueryRow(ctx, `select string_agg(format('%I', a.attname), ', ' order by array_position(i.indkey::int2[], a.attnum))
		from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
		where i.indrelid = format('public.%I', $1::text)::regclass and i.indisprimary`, table).Scan(&key)
	if err != nil {
		return "", fmt.Errorf("find key of %s: %w", table, err)
	}
	var served, rebuilt int
	var sample []string
	side := func(schema string) string {
		return `select row(` + key + `)::text as key, ` + row + ` as row from ` + schema + `.` + quoteName(table)
	}
	err = tx.QueryRow(ctx, `with old as materialized (`+side("public")+`), new as materialized (`+side(b.schema)+`),
		gone as materialized (select * from old except select * from new), come as materialized (select * from new except select * from old)
		select (select count(*) from gone), (select count(*) from come),
			array(select key from (select key from gone union select key from come) k order by 1 limit 3)`).Scan(&served, &rebuilt, &sample)
	if err != nil {
		return "", fmt.Errorf("compare rows of %s: %w", table, err)
	}
	return fmt.Sprintf("%s: %d rows only as served, %d only as rebuilt, such as %s", table, served, rebuilt, strings.Join(sample, " ")), nil
}

var errTooFar = errors.New("the served rows moved on too far")

// holdAndCatchUp keeps the served rows where they are until tx ends and brings the shadow there, inside tx.
func (b *rebuild) holdAndCatchUp(ctx context.Context, tx pgx.Tx) (position int64, err error) {
	position = slices.Min(b.shards)
	if b.from == nil {
		return position, nil
	}
	var version int
	err = tx.QueryRow(ctx, `select version from public.followers where projection = $1 for update`, b.model.Name()).Scan(&version)
	if err == nil {
		err = tx.QueryRow(ctx, `select position from public.checkpoints where projection = $1`, b.model.Name()).Scan(&position)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("hold checkpoint: %w", err)
	case version != *b.from:
		return 0, fmt.Errorf("its rows became version %d meanwhile", version)
	case position-slices.Min(b.shards) > 5*catchUpGap:
		return 0, errTooFar
	}
	stored, err := eventstore.Scan(ctx, tx.Conn(), slices.Min(b.shards), position)
	if err != nil {
		return 0, err
	}
	if len(stored) == 0 {
		return position, nil
	}
	b.result.Events += int64(len(stored))
	if err := b.apply(ctx, tx, decodeFor(b.model, stored)); err != nil {
		return 0, err
	}
	return position, b.ledger(ctx, tx)
}

// The swap asks for its locks a short time at a time, so that readers who come meanwhile never queue up behind it for long.
const (
	swapLockTimeout = 100 * time.Millisecond
	swapPause       = 150 * time.Millisecond
	swapTries       = 8   // in one transaction, while the projection stands still
	swapRounds      = 100 // transactions
)

// swap puts the new rows in the place of the old in one transaction. Who reads before it commits reads the old rows, who reads after it
// the new ones; those who come while it holds the tables wait some milliseconds. The old tables are dropped afterwards.
func (b *rebuild) swap(ctx context.Context) error {
	for range swapRounds {
		b.report("swapping", slices.Min(b.shards), slices.Min(b.shards))
		retired, err := b.swapOnce(ctx)
		switch {
		case err == nil:
			b.result.Swapped = true
			if _, err := b.control.Exec(ctx, `drop schema if exists `+b.schema+`, `+retired+` cascade`); err != nil {
				b.Log.Warn("the old tables stay for the next rebuild to drop", "schema", retired, "err", err)
			}
			b.report("done", b.result.Position, b.result.Position)
			return nil
		case errors.Is(err, ErrParked):
			return b.refuse(ctx, err)
		case !isLockTimeout(err) && !errors.Is(err, errTooFar):
			return fmt.Errorf("swap: %w", err)
		}
		served, err := b.served(ctx)
		if err != nil {
			return err
		}
		if err := b.build(ctx, served); err != nil {
			return err
		}
	}
	return ErrInUse
}

func (b *rebuild) swapOnce(ctx context.Context) (retired string, err error) {
	retired = "retired_" + b.model.Name()
	if _, err := b.control.Exec(ctx, `drop schema if exists `+retired+` cascade`); err != nil {
		return "", fmt.Errorf("drop what an earlier swap left: %w", err)
	}
	return retired, pgx.BeginFunc(ctx, b.control, func(tx pgx.Tx) error {
		if err := b.lockOutDumps(ctx, tx); err != nil {
			return err
		}
		if err := b.lockOutVacuum(ctx, tx); err != nil {
			return err
		}
		position, err := b.holdAndCatchUp(ctx, tx)
		if err != nil {
			return err
		}
		if err := b.parkedAnew(ctx, tx); err != nil && !(errors.Is(err, ErrParked) && b.AcceptDifference) {
			return err
		}
		if err := b.takeTables(ctx, tx); err != nil {
			return err
		}
		if err := b.exchange(ctx, tx, retired); err != nil {
			return err
		}
		b.result.Position = position
		return b.hand(ctx, tx, position)
	})
}

// HoldSwaps keeps every rebuild from swapping its tables until conn ends; one that swaps already is waited for. pg_dump needs this: it
// finds the tables first and locks them by name afterwards, so tables that are swapped in between make it fail.
func HoldSwaps(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `select pg_advisory_lock_shared(`+swapLock+`)`); err != nil {
		return fmt.Errorf("hold swaps: %w", err)
	}
	return nil
}

const swapLock = `hashtextextended('tenantpilot swap', 0)`

// lockOutDumps waits for those who hold swaps, a few seconds at a time.
func (b *rebuild) lockOutDumps(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `set local lock_timeout = '5s'`)
	if err == nil {
		_, err = tx.Exec(ctx, `select pg_advisory_xact_lock(`+swapLock+`)`)
	}
	if err != nil {
		return fmt.Errorf("lock out dumps: %w", err)
	}
	return nil
}

// lockOutVacuum takes the lock that conflicts with vacuums and with no reader or writer. An automatic vacuum gives way after a second.
func (b *rebuild) lockOutVacuum(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `set local lock_timeout = '5s'`)
	for _, t := range b.tables {
		if err != nil {
			break
		}
		_, err = tx.Exec(ctx, `lock table public.`+quoteName(t)+` in share update exclusive mode`)
	}
	if err != nil {
		return fmt.Errorf("lock out vacuums: %w", err)
	}
	return nil
}

// takeTables locks all tables at once, or none and tries again.
func (b *rebuild) takeTables(ctx context.Context, tx pgx.Tx) error {
	var names []string
	for _, t := range b.tables {
		names = append(names, `public.`+quoteName(t))
	}
	slices.Sort(names)
	var err error
	for range swapTries {
		err = pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error {
			if _, err := save.Exec(ctx, fmt.Sprintf(`set local lock_timeout = '%dms'`, swapLockTimeout.Milliseconds())); err != nil {
				return err
			}
			_, err := save.Exec(ctx, `lock table `+strings.Join(names, ", ")+` in access exclusive mode`)
			return err
		})
		if !isLockTimeout(err) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(swapPause):
		}
	}
	if err != nil {
		return fmt.Errorf("lock tables: %w", err)
	}
	return nil
}

func isLockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

func (b *rebuild) exchange(ctx context.Context, tx pgx.Tx, retired string) error {
	statements := []string{`create schema ` + retired}
	for _, t := range b.tables {
		statements = append(statements,
			`alter table public.`+quoteName(t)+` set schema `+retired,
			`alter table `+b.schema+`.`+quoteName(t)+` set schema public`)
	}
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return fmt.Errorf("exchange tables: %w", err)
		}
	}
	return nil
}

// hand gives the checkpoint and the parked events to the new version.
func (b *rebuild) hand(ctx context.Context, tx pgx.Tx, position int64) error {
	name, version := b.model.Name(), b.model.Version()
	for _, s := range []struct {
		sql  string
		args []any
	}{
		{`insert into public.followers (projection, version) values ($1, $2) on conflict (projection) do update set version = $2`, []any{name, version}},
		{`delete from public.checkpoint_moves where projection = $1`, []any{name}},
		{`insert into public.checkpoint_moves (projection, version, after, position) values ($1, $2, -1, $3)`, []any{name, version, position}},
		{`with gone as (delete from public.parked where projection = $1 returning *)
			insert into public.unparked (projection, stream, position, cause, parked_at, attempts, applied_by)
			select projection, stream, position, cause, parked_at, attempts, 'rebuild' from gone g
			where not exists (select from parked p where p.position = g.position)`, []any{name}},
		{`insert into public.parked select * from parked`, nil},
		{`update public.rebuild_shards set position = $2 where rebuild = $1`, []any{b.id, position}},
		{`update public.rebuilds set target = $2 where id = $1`, []any{b.id, position}},
	} {
		if _, err := tx.Exec(ctx, s.sql, s.args...); err != nil {
			return fmt.Errorf("hand over: %w", err)
		}
	}
	return b.enter(ctx, tx, "swapped", b.noted(fmt.Sprintf("swapped at position %d", position)))
}
