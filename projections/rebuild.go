package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Reasons why a rebuild ended without a swap. What was built stays, and the next Rebuild goes on from there; after ErrDiffers and ErrParked
// only one that accepts the difference does, others begin anew, since it may be another program's.
var (
	ErrRebuilding = errors.New("it is being rebuilt already")
	ErrDiffers    = errors.New("the rebuilt rows differ from those that are served")
	ErrParked     = errors.New("the new rows lack events that could not be applied")
	ErrSideEffect = errors.New("it wrote outside its shadow: a rebuild must have no side effects")
	ErrInUse      = errors.New("readers kept its tables in use")
)

// Progress is where a rebuild stands.
type Progress struct {
	Projection string
	Phase      string // building, indexing, catching up, comparing, swapping, done
	Position   int64
	Target     int64         // position to reach; it moves on while the old rows keep up
	Rate       float64       // events per second since this process began
	ETA        time.Duration // of the building; 0 when it cannot be told
	Resumed    bool          // an earlier process began it
}

// RebuildOptions sets a rebuild up. Zero values are good defaults.
type RebuildOptions struct {
	Log *slog.Logger
	// Shards is how many connections write at once (default: one per processor, at most 8). A rebuild that is resumed keeps its own.
	Shards int
	// Segment is how many events one transaction of each shard covers (default 50,000, some 30 MB).
	Segment int
	// VerifyOnly compares and throws the new rows away: are the rows that are served what the log says?
	VerifyOnly bool
	// AcceptDifference swaps even if rows differ that the new version did not mean to change, or events are parked that were not.
	AcceptDifference bool
	// Progress is called every second or so, and at each change of phase, from one goroutine at a time.
	Progress func(Progress)
}

// Rebuilt is what a rebuild has done.
type Rebuilt struct {
	Projection string
	From, To   int   // versions
	Position   int64 // at which the rows were compared or swapped
	Events     int64 // applied by this process
	Took       time.Duration
	Rows       map[string]int64 // per table, of the new rows
	Parked     int64            // events that are not in the new rows because they could not be applied
	Swapped    bool
}

// Rebuild makes the rows of a read model again from the first event on, while the old ones go on serving and keeping up, and swaps them in
// one transaction. It needs the owner's URL.
//
// The new rows are written to tables of the same names in a schema of their own, by the same Apply: on its connections search_path is that
// schema alone, so a statement that reaches for anything else fails, and a ledger of what each transaction wrote must show no other table. Each shard commits its rows
// with its position, so a rebuild that was cut off, however roughly, goes on where it was when Rebuild is called again. Shards are
// tenants by hash (the workspace, for events of none), which keeps all events of a row in one.
func Rebuild(ctx context.Context, ownerURL string, m ReadModel, o RebuildOptions) (Rebuilt, error) {
	b, err := openRebuild(ctx, ownerURL, m, o)
	if err != nil {
		return Rebuilt{}, fmt.Errorf("rebuild %s: %w", m.Name(), err)
	}
	defer b.close(ctx)
	if err := b.run(ctx); err != nil {
		return b.result, fmt.Errorf("rebuild %s: %w", m.Name(), err)
	}
	b.result.Took = time.Since(b.began)
	return b.result, nil
}

// rebuild is a rebuild under way.
type rebuild struct {
	RebuildOptions
	model   ReadModel
	config  *pgx.ConnConfig
	control *pgx.Conn // holds the lock that keeps other rebuilds of the projection away
	tables  []string  // what is swapped
	schema  string    // of the shadow

	id     int64
	from   *int    // version of the rows that are served
	shards []int64 // positions
	state  string
	note   string
	result Rebuilt

	began    time.Time
	reported time.Time
	resumed  bool
}

func openRebuild(ctx context.Context, ownerURL string, m ReadModel, o RebuildOptions) (*rebuild, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Shards <= 0 {
		o.Shards = min(8, runtime.GOMAXPROCS(0))
	}
	if o.Segment <= 0 {
		o.Segment = 50_000
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	config, err := pgx.ParseConfig(ownerURL)
	if err != nil {
		return nil, errors.New("the owner's database URL is malformed") // it may hold a password: it is never shown
	}
	b := &rebuild{RebuildOptions: o, model: m, config: config, tables: m.Tables(), schema: "rebuild_" + m.Name(), began: time.Now()}
	b.result = Rebuilt{Projection: m.Name(), To: m.Version(), Rows: map[string]int64{}}
	config.RuntimeParams["search_path"] = b.schema
	config.RuntimeParams["application_name"] = "tenantpilot rebuild"
	if b.control, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("connect as owner: %w", err)
	}
	if err := b.lock(ctx); err != nil {
		b.close(ctx)
		return nil, err
	}
	return b, nil
}

func (b *rebuild) close(ctx context.Context) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = b.control.Close(closing)
}

// lock keeps others away until the connection ends. A process that was killed a moment ago may still hold it.
func (b *rebuild) lock(ctx context.Context) error {
	for deadline := time.Now().Add(5 * time.Second); ; {
		var mine bool
		err := b.control.QueryRow(ctx, `select pg_try_advisory_lock(hashtextextended('tenantpilot rebuild ' || $1, 0))`, b.model.Name()).Scan(&mine)
		switch {
		case err != nil:
			return fmt.Errorf("lock: %w", err)
		case mine:
			return nil
		case time.Now().After(deadline):
			return ErrRebuilding
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// catchUpGap is how many events may be left to the transactions that hold the old version still.
const catchUpGap = 2000

func (b *rebuild) run(ctx context.Context) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for {
		served, err := b.served(ctx)
		if err != nil {
			return err
		}
		if err := b.build(ctx, served); err != nil {
			return err
		}
		if b.state == "building" {
			if err := b.index(ctx); err != nil {
				return err
			}
			continue
		}
		if again, err := b.served(ctx); err != nil || again-served <= catchUpGap {
			if err != nil {
				return err
			}
			break
		}
	}
	if err := b.checkParked(ctx); err != nil {
		return err
	}
	if b.from != nil {
		if err := b.compare(ctx); err != nil {
			return err
		}
	}
	if b.VerifyOnly {
		return b.finish(ctx, "abandoned", "verified")
	}
	return b.swap(ctx)
}

// served is the position of the rows that are served; where there are none yet, the log's head.
func (b *rebuild) served(ctx context.Context) (position int64, err error) {
	err = b.control.QueryRow(ctx, `select coalesce((select position from public.checkpoints where projection = $1), s.head)
		from public.sequencer s`, b.model.Name()).Scan(&position)
	if err != nil {
		return 0, fmt.Errorf("read position: %w", err)
	}
	return position, nil
}

// prepare finds the rebuild that was begun, or begins one.
func (b *rebuild) prepare(ctx context.Context) error {
	if err := b.checkTables(ctx); err != nil {
		return err
	}
	err := b.control.QueryRow(ctx, `select version from public.checkpoints where projection = $1`, b.model.Name()).Scan(&b.from)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read version: %w", err)
	}
	if b.from != nil {
		b.result.From = *b.from
	}
	var schemaVersion int64
	err = b.control.QueryRow(ctx, `select max(version_id) from public.goose_db_version where is_applied`).Scan(&schemaVersion)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	err = b.control.QueryRow(ctx, `select id, state from public.rebuilds where projection = $1 and state in ('building', 'comparing', 'differs')
		and to_version = $2 and from_version is not distinct from $3 and schema_version = $4 and to_regnamespace($5) is not null
		and (state <> 'differs' or $6)`, b.model.Name(), b.model.Version(), b.from, schemaVersion, b.schema, b.AcceptDifference).Scan(&b.id, &b.state)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return b.begin(ctx, schemaVersion)
	case err != nil:
		return fmt.Errorf("look for a rebuild under way: %w", err)
	}
	b.resumed = true
	return b.readShards(ctx)
}

func (b *rebuild) readShards(ctx context.Context) error {
	rows, err := b.control.Query(ctx, `select position from public.rebuild_shards where rebuild = $1 order by shard`, b.id)
	if err != nil {
		return fmt.Errorf("read shards: %w", err)
	}
	if b.shards, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
		return fmt.Errorf("read shards: %w", err)
	}
	return nil
}

// begin makes the shadow and its row, in one transaction; what an earlier rebuild left behind goes.
func (b *rebuild) begin(ctx context.Context, schemaVersion int64) error {
	err := pgx.BeginFunc(ctx, b.control, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `update public.rebuilds set state = 'abandoned', finished_at = clock_timestamp()
			where projection = $1 and state in ('building', 'comparing', 'differs')`, b.model.Name())
		if err != nil {
			return err
		}
		if err := b.makeShadow(ctx, tx); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `insert into public.rebuilds (projection, from_version, to_version, schema_version) values ($1, $2, $3, $4)
			returning id`, b.model.Name(), b.from, b.model.Version(), schemaVersion).Scan(&b.id)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into public.rebuild_shards (rebuild, shard) select $1, generate_series(1, $2)`, b.id, b.Shards)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	b.state, b.shards = "building", make([]int64, b.Shards)
	return nil
}

// enter writes the rebuild's state and a note down.
func (b *rebuild) enter(ctx context.Context, db execer, state, note string) error {
	b.state, b.note = state, note
	_, err := db.Exec(ctx, `update public.rebuilds set state = $2, note = $3, updated_at = clock_timestamp(),
		finished_at = case when $2 in ('swapped', 'abandoned') then clock_timestamp() end where id = $1`, b.id, state, note)
	if err != nil {
		return fmt.Errorf("record state %s: %w", state, err)
	}
	return nil
}

// finish ends the rebuild and throws its shadow away.
func (b *rebuild) finish(ctx context.Context, state, note string) error {
	err := pgx.BeginFunc(ctx, b.control, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `drop schema if exists `+b.schema+` cascade`); err != nil {
			return fmt.Errorf("drop shadow: %w", err)
		}
		return b.enter(ctx, tx, state, note)
	})
	b.report("done", b.result.Position, b.result.Position)
	return err
}

func (b *rebuild) report(phase string, position, target int64) {
	if phase == "building" && time.Since(b.reported) < time.Second {
		return
	}
	b.reported = time.Now()
	p := Progress{Projection: b.model.Name(), Phase: phase, Position: position, Target: target, Resumed: b.resumed}
	if took := time.Since(b.began).Seconds(); took > 0 {
		p.Rate = float64(b.result.Events) / took
	}
	if p.Rate > 0 && target > position {
		p.ETA = time.Duration(float64(target-position) / p.Rate * float64(time.Second)).Round(time.Second)
	}
	b.Progress(p)
}

// RebuildRow is a rebuild as it is recorded, for pages and the command line.
type RebuildRow struct {
	ID         int64
	Projection string
	From       *int // version; nil: there was none
	To         int
	State      string // building, comparing, differs, swapped, abandoned
	Position   int64  // of the shard that is furthest behind
	Target     int64
	Note       string
	StartedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt *time.Time
}

// Rebuilds lists rebuilds, the newest first, at most limit.
func Rebuilds(ctx context.Context, pool *pgxpool.Pool, limit int) ([]RebuildRow, error) {
	rows, err := pool.Query(ctx, rebuildRows+` order by id desc limit $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list rebuilds: %w", err)
	}
	return collect[RebuildRow](rows, "list rebuilds")
}

const rebuildRows = `select id, projection, from_version, to_version, state,
	coalesce((select min(position) from rebuild_shards where rebuild = id), 0), target, note, started_at, updated_at, finished_at from rebuilds`

// OpenRebuilds finds the rebuilds that have not ended, by projection; whether a process works on one, or it waits to be resumed, it does
// not tell.
func OpenRebuilds(ctx context.Context, pool *pgxpool.Pool) (map[string]RebuildRow, error) {
	rows, err := pool.Query(ctx, rebuildRows+` where state in ('building', 'comparing', 'differs') order by id`)
	if err != nil {
		return nil, fmt.Errorf("list open rebuilds: %w", err)
	}
	open, err := collect[RebuildRow](rows, "list open rebuilds")
	byName := make(map[string]RebuildRow, len(open))
	for _, r := range open {
		byName[r.Projection] = r
	}
	return byName, err
}

// Stale lists the read models whose tables hold another version than this program's: until they are rebuilt they are read as they are and
// nothing is written to them.
func Stale(ctx context.Context, pool *pgxpool.Pool, all []Projection) ([]ReadModel, error) {
	lags, err := Lags(ctx, pool)
	if err != nil {
		return nil, err
	}
	found := make(map[string]int, len(lags))
	for _, l := range lags {
		found[l.Projection] = l.Version
	}
	var stale []ReadModel
	for _, p := range all {
		version, known := found[p.Name()]
		if m, ok := p.(ReadModel); ok && known && version != p.Version() {
			stale = append(stale, m)
		}
	}
	return stale, nil
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
