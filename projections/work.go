package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
)

// Work keeps the workers' queue: one row per accepted run that has not ended.
type Work struct{}

// Name implements Projection.
func (Work) Name() string { return "work" }

// Version implements Projection.
func (Work) Version() int { return 1 }

// Tables implements ReadModel.
func (Work) Tables() []string { return []string{"work_items"} }

// Changes implements ReadModel.
func (Work) Changes() map[string][]string { return nil }

// Aside lists what Apply also tidies up and a rebuild leaves alone: leases live by the clock and are not in the log.
func (Work) Aside() []string { return []string{"work_leases"} }

type workRow struct {
	Run        uuid.UUID            `json:"run"`
	Workspace  uuid.UUID            `json:"workspace"`
	Tenant     uuid.UUID            `json:"tenant"`
	Connection int64                `json:"connection"`
	Operation  domain.OperationType `json:"operation"`
	QueuedAt   time.Time            `json:"queued_at"`
	Position   int64                `json:"position"`
}

var workEvents = names(domain.RunAccepted{}, domain.RunCompleted{})

// Concerns implements chooser.
func (Work) Concerns(event string) bool { return workEvents[event] }

// Apply implements Projection. A run that was accepted and ended in one batch never becomes a row.
func (Work) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	queued := map[uuid.UUID]workRow{}
	var ended []uuid.UUID
	for _, e := range events {
		switch d := e.Data.(type) {
		case domain.RunAccepted:
			queued[d.Run] = workRow{d.Run, e.Workspace, d.Tenant, d.Connection, d.Operation, e.RecordedAt, e.Position}
		case domain.RunCompleted:
			delete(queued, e.Stream)
			ended = append(ended, e.Stream)
		}
	}
	rows := make([]*workRow, 0, len(queued))
	for _, r := range queued {
		rows = append(rows, &r)
	}
	if err := insertNew(ctx, tx, "work_items", rows); err != nil || len(ended) == 0 {
		return err
	}
	for _, table := range []string{"work_items", "work_leases"} { // in the order in which Claim locks them
		if _, err := tx.Exec(ctx, `delete from `+table+` where run = any($1)`, arrayOf(ended)); err != nil {
			return fmt.Errorf("remove work: %w", err)
		}
	}
	return nil
}

// WorkItem is a claimed run with the fencing token under which it may be written to.
type WorkItem struct {
	Run        uuid.UUID
	Workspace  uuid.UUID
	Tenant     uuid.UUID
	Connection int64
	Operation  domain.OperationType
	Token      int64
	Recovered  bool // another worker had it and fell silent
}

// Claim takes the next work item that nobody has a live lease on, for the length of a lease, or returns nil when there is none. Tenants
// with fewer runs under way come first, so that one cannot starve the others; within that, the oldest. Times are the database's.
func Claim(ctx context.Context, pool *pgxpool.Pool, worker string, lease time.Duration) (*WorkItem, error) {
	for {
		item, err := claimOnce(ctx, pool, worker, lease)
		if err != nil || item == nil || item.Token != 0 {
			return item, err
		}
	}
}

// claimOnce is one statement. Its snapshot may be older than a claim that another worker made of the same item; that claim wins, and the
// item comes back without a token: there may be others to take, so one looks again. The first 64 are found before one is locked, because
// a locking statement sorts the whole queue.
func claimOnce(ctx context.Context, pool *pgxpool.Pool, worker string, lease time.Duration) (*WorkItem, error) {
	rows, err := pool.Query(ctx, `
		with held as materialized (
			select l.run, w.tenant from work_leases l join work_items w using (run) where l.expires_at > clock_timestamp()
		), busy as (
			select tenant, count(*) as n from held group by 1
		), first as (
			select w.run, coalesce(b.n, 0) as n, w.queued_at from work_items w left join busy b using (tenant)
			where not exists (select from held h where h.run = w.run)
			order by 2, 3 limit 64
		), next as (
			select w.* from first f join work_items w using (run) order by f.n, f.queued_at limit 1 for update of w skip locked
		), claimed as (
			insert into work_leases as l (run, worker, token, expires_at)
			select run, $1, nextval('fencing_tokens'), clock_timestamp() + make_interval(secs => $2) from next
			on conflict (run) do update set worker = excluded.worker, token = excluded.token, claimed_at = clock_timestamp(),
				heartbeat_at = clock_timestamp(), expires_at = excluded.expires_at
			where l.expires_at <= clock_timestamp()
			returning l.run, l.token, l.xmax <> 0 as recovered
		)
		select n.run, n.workspace, n.tenant, n.connection, n.operation, coalesce(c.token, 0), coalesce(c.recovered, false)
		from next n left join claimed c using (run)`,
		worker, lease.Seconds())
	item, err := one[WorkItem](rows, err, "claim work")
	if errors.Is(err, ErrNoRow) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &item, nil
}

// Renew is a heartbeat: it lengthens a lease that is still held under the token. False means that it was lost.
func Renew(ctx context.Context, pool *pgxpool.Pool, run uuid.UUID, token int64, lease time.Duration) (bool, error) {
	tag, err := pool.Exec(ctx, `update work_leases set heartbeat_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => $3)
		where run = $1 and token = $2 and expires_at > clock_timestamp()`, run, token, lease.Seconds())
	if err != nil {
		return false, fmt.Errorf("renew lease: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// Release hands a lease back, so that another worker need not wait for it to run out. Handed back is not lost: the row goes.
func Release(ctx context.Context, pool *pgxpool.Pool, run uuid.UUID, token int64) error {
	_, err := pool.Exec(ctx, `delete from work_leases where run = $1 and token = $2`, run, token)
	if err != nil {
		return fmt.Errorf("release lease: %w", err)
	}
	return nil
}

// LostLease is a lease that ran out before its run ended and that nobody has taken over yet: its worker went silent, and while workers
// run it is gone within moments. One that stays says that none do.
type LostLease struct {
	Run       uuid.UUID
	Operation domain.OperationType
	Worker    string
	Since     time.Time
}

// Lost lists lost leases, the longest lost first, at most a hundred.
func Lost(ctx context.Context, pool *pgxpool.Pool) ([]LostLease, error) {
	rows, err := pool.Query(ctx, `select l.run, w.operation, l.worker, l.expires_at from work_leases l join work_items w using (run)
		where l.expires_at <= clock_timestamp() order by l.expires_at limit 100`)
	if err != nil {
		return nil, fmt.Errorf("list lost leases: %w", err)
	}
	return collect[LostLease](rows, "list lost leases")
}
