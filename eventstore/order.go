package eventstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// OrderReport is what CheckOrder has found.
type OrderReport struct {
	Events   int64        `json:"events"`   // stored
	Numbered int64        `json:"numbered"` // have a position
	Pending  int64        `json:"pending"`  // have none yet
	Head     int64        `json:"head"`     // the newest position
	Streams  int64        `json:"streams"`
	Faults   []OrderFault `json:"faults"` // at most twenty of a kind
}

// OrderFault is one way in which the log's order is broken.
type OrderFault struct {
	Kind     string `json:"kind"` // position_skipped, stream_backwards, counts_differ, event_unaccounted, position_without_event
	Position int64  `json:"position,omitempty"`
	Text     string `json:"text"`
}

// orderQueries each find faults of one kind: the columns are position and text.
var orderQueries = []struct{ kind, sql string }{
	{"position_skipped", `
		select position, format('position %s follows %s', position, before)
		from (select position, lag(position, 1, 0::bigint) over (order by position) as before from log) l
		where position <> before + 1 order by position limit 20`},
	{"stream_backwards", `
		select position, format('stream %s goes from version %s to %s at position %s', stream, before, version, position)
		from (
			select l.position, e.stream, e.version, lag(e.version, 1, 0) over (partition by e.stream order by l.position) as before
			from log l join events e using (seq)
		) s
		where version <> before + 1 order by position limit 20`},
	{"position_without_event", `
		select position, format('position %s has no event', position)
		from log l where not exists (select from events e where e.seq = l.seq) order by position limit 20`},
	{"event_unaccounted", `
		with waiting as materialized (select unnest(seqs) as seq from pending)
		select 0, format('event %s (stream %s, version %s) is neither numbered nor pending', e.id, e.stream, e.version)
		from events e left join log l using (seq) left join waiting w using (seq)
		where l.seq is null and w.seq is null limit 20`},
	{"event_unaccounted", `
		with waiting as materialized (select unnest(seqs) as seq from pending)
		select l.position, format('position %s is pending too', l.position) from waiting w join log l using (seq) limit 20`},
}

// CheckOrder proves the promises of the log's order on what is stored, in one snapshot: no position is skipped, no stream goes backwards or
// skips a version, and every event is either numbered or pending. It reads the whole log. Faults are in the report, not in the error.
func CheckOrder(ctx context.Context, pool *pgxpool.Pool) (OrderReport, error) {
	r := OrderReport{Faults: []OrderFault{}}
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, pool, snapshot, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `select (select count(*) from events), (select count(*) from log),
			(select coalesce(sum(cardinality(seqs)), 0) from pending), (select head from sequencer),
			(select count(*) from events where version = 1)`).Scan(&r.Events, &r.Numbered, &r.Pending, &r.Head, &r.Streams)
		if err != nil {
			return fmt.Errorf("count events: %w", err)
		}
		for _, q := range orderQueries {
			found, err := orderFaults(ctx, tx, q.kind, q.sql)
			if err != nil {
				return err
			}
			r.Faults = append(r.Faults, found...)
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("check order: %w", err)
	}
	if r.Events != r.Numbered+r.Pending {
		r.differ("%d events are stored, but %d are numbered and %d pending", r.Events, r.Numbered, r.Pending)
	}
	if r.Numbered != r.Head {
		r.differ("%d events are numbered, but the newest position is %d", r.Numbered, r.Head)
	}
	return r, nil
}

func (r *OrderReport) differ(format string, args ...any) {
	r.Faults = append(r.Faults, OrderFault{Kind: "counts_differ", Text: fmt.Sprintf(format, args...)})
}

func orderFaults(ctx context.Context, db Querier, kind, sql string, args ...any) ([]OrderFault, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", kind, err)
	}
	faults, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (OrderFault, error) {
		f := OrderFault{Kind: kind}
		return f, row.Scan(&f.Position, &f.Text)
	})
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", kind, err)
	}
	return faults, nil
}

// orderBetween checks the positions after one up to another, each against its predecessor in its stream: what a running keeper can afford.
func orderBetween(ctx context.Context, db Querier, after, to int64) ([]OrderFault, error) {
	if to <= after {
		return nil, nil
	}
	faults, err := orderFaults(ctx, db, "stream_backwards", `
		select l.position, format('position %s: stream %s, version %s does not follow its predecessor', l.position, e.stream, e.version)
		from log l left join events e using (seq)
		left join events p on p.stream = e.stream and p.version = e.version - 1
		left join log b on b.seq = p.seq
		where l.position > $1 and l.position <= $2
		  and (e.seq is null or (e.version > 1 and (b.position is null or b.position >= l.position)))
		order by l.position limit 20`, after, to)
	if err != nil {
		return nil, err
	}
	var n int64
	if err := db.QueryRow(ctx, `select count(*) from log where position > $1 and position <= $2`, after, to).Scan(&n); err != nil {
		return nil, fmt.Errorf("count positions: %w", err)
	}
	if n != to-after {
		faults = append(faults, OrderFault{
			Kind: "position_skipped", Position: after + 1, Text: fmt.Sprintf("of the positions %d to %d only %d are there", after+1, to, n),
		})
	}
	return faults, nil
}
