// Package eventstore is the log: the only writer of events, and the only place that gives them an order.
//
//	Transact ──append_events──▶ events + pending ──sequence_events──▶ log (gapless positions) ──Subscriber──▶ projections
//	(decide, group commit)      durable here        (one leased           one cursor for                one watermill message
//	                                                 sequencer)            everybody                    is one batch in one pgx.Tx
//
// An event is durable when Transact returns, and readable through Subscriber once the sequencer has numbered it, a few milliseconds
// later. Positions follow the order in which appends committed, within a stream always by version; nothing depends on transaction ids,
// so no unrelated transaction delays a reader and a restored dump goes on where it was.
package eventstore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"tenantpilot/domain"
)

// Event is an event as it is stored, with its place in the log.
type Event struct {
	Position   int64 // place in the log, from 1 without gaps; 0 when it has none yet
	Stream     uuid.UUID
	Version    int // place in the stream, from 1 without gaps
	ID         uuid.UUID
	Name       string
	Workspace  uuid.UUID
	Tenant     uuid.UUID // zero for events of the workspace itself
	RecordedAt time.Time // UTC, microseconds
	Meta       []byte    // canonical JSON of a Meta
	Payload    []byte    // canonical JSON of the domain event
}

// Meta says who and what caused an event.
type Meta struct {
	Actor       domain.ActorRef `json:"actor"`
	Attempt     uuid.UUID       `json:"attempt,omitzero"`
	Correlation uuid.UUID       `json:"correlation,omitzero"`
	Causation   uuid.UUID       `json:"causation,omitzero"`
	Surface     string          `json:"surface,omitempty"`
	Trigger     domain.Trigger  `json:"trigger,omitempty"`
}

// Decode reads the event's payload.
func (e Event) Decode() (domain.Event, error) { return domain.Decode(e.Name, e.Payload) }

// Cause reads who and what caused the event.
func (e Event) Cause() (Meta, error) {
	var m Meta
	if err := json.Unmarshal(e.Meta, &m); err != nil {
		return m, fmt.Errorf("read meta of event %s: %w", e.ID, err)
	}
	return m, nil
}

// Record is the canonical bytes of the whole event, the text that its leaf hash is over: JSON with sorted keys. The place in the log is
// not part of it, because the tree itself proves that.
func (e Event) Record() []byte {
	b := make([]byte, 0, 400+len(e.Meta)+len(e.Payload))
	b = appendUUID(append(b, `{"id":"`...), e.ID)
	b = append(append(b, `","meta":`...), e.Meta...)
	b = append(append(b, `,"name":"`...), e.Name...)
	b = append(append(b, `","payload":`...), e.Payload...)
	b = e.RecordedAt.UTC().AppendFormat(append(b, `,"recordedAt":"`...), "2006-01-02T15:04:05.000000Z")
	b = appendUUID(append(b, `","stream":"`...), e.Stream)
	b = appendUUID(append(b, `","tenant":"`...), e.Tenant)
	b = strconv.AppendInt(append(b, `","version":`...), int64(e.Version), 10)
	b = appendUUID(append(b, `,"workspace":"`...), e.Workspace)
	return append(b, `"}`...)
}

func appendUUID(b []byte, u uuid.UUID) []byte {
	b = append(hex.AppendEncode(b, u[:4]), '-')
	b = append(hex.AppendEncode(b, u[4:6]), '-')
	b = append(hex.AppendEncode(b, u[6:8]), '-')
	b = append(hex.AppendEncode(b, u[8:10]), '-')
	return hex.AppendEncode(b, u[10:])
}

// Leaf is the Merkle leaf hash of the event (RFC 6962, as golang.org/x/mod/sumdb/tlog computes it).
func (e Event) Leaf() tlog.Hash { return tlog.RecordHash(e.Record()) }

// Config sets a store up. Zero values are good defaults.
type Config struct {
	Log *slog.Logger
	// Committers is how many group-commit workers decide and append at once (default 2). Requests of one affinity share one.
	Committers int
	// BatchCap is the most requests that share one transaction (default 64). Nothing ever waits for a batch to fill.
	BatchCap int
	// CacheSize is how many folded streams are kept in memory (default 50,000).
	CacheSize int
	// Lease is how long a sequencer may be silent before another process takes over (default 5 s).
	Lease time.Duration
	// Poll is the longest a reader sleeps when no bell rings (default 250 ms).
	Poll time.Duration
}

// Store appends to and reads from the log. It is safe for concurrent use. Close it when done.
type Store struct {
	pool  *pgxpool.Pool
	cfg   Config
	log   *slog.Logger
	cache *cache
	tail  tail

	committers []*committer
	appended   *bell // rung after each commit of this process: the sequencer listens
	sequenced  *bell // rung when the log has grown: readers listen
	published  *bell // rung when a batch has published messages: their consumers listen
	// sequencing says that this process holds the sequencer; the others, what it did since it last told the others.
	sequencing, appendedHere, sequencedHere, publishedHere atomic.Bool

	doorbell chan struct{}

	stop    context.CancelFunc
	running sync.WaitGroup
}

// Open makes a store on a pool whose role may append (the application's role). It starts the group-commit workers and one listener
// connection; it does not start the sequencer (RunSequencer).
func Open(pool *pgxpool.Pool, cfg Config) *Store {
	cfg = cfg.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		pool: pool, cfg: cfg, log: cfg.Log, cache: newCache(cfg.CacheSize),
		appended: newBell(), sequenced: newBell(), published: newBell(), stop: stop, doorbell: make(chan struct{}, 1),
	}
	for range cfg.Committers {
		c := &committer{store: s, jobs: make(chan *job, 4*cfg.BatchCap), gone: make(chan struct{})}
		s.committers = append(s.committers, c)
		s.running.Go(func() {
			defer close(c.gone)
			c.run(ctx)
		})
	}
	s.running.Go(func() { s.listen(ctx) })
	s.running.Go(func() { s.ringOthers(ctx) })
	return s
}

// Close stops the store's goroutines and waits for them. Requests under way, and later ones, get context.Canceled; whether such a request
// was carried out is answered by sending it again with the same key to another store.
func (s *Store) Close() {
	s.stop()
	s.running.Wait()
}

// Pool is the pool the store works on, for read models in the same database.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Sequenced returns a channel that is closed the next time the log grows. Take it before looking, then wait on it.
func (s *Store) Sequenced() <-chan struct{} { return s.sequenced.next() }

// Head is the position of the newest event.
func (s *Store) Head(ctx context.Context) (int64, error) {
	var head int64
	err := s.pool.QueryRow(ctx, `select head from sequencer`).Scan(&head)
	if err != nil {
		return 0, fmt.Errorf("read head: %w", err)
	}
	return head, nil
}

const eventColumns = `e.stream, e.version, e.id, e.name, e.workspace, coalesce(e.tenant, '00000000-0000-0000-0000-000000000000'),
	e.recorded_at, e.meta, e.payload`

// ReadAfter reads up to limit events after a position, in order. name "" reads all events, else only those of that name. The last
// result is the position up to which the log has been read, which may lie beyond the last event when names are filtered.
func (s *Store) ReadAfter(ctx context.Context, after int64, limit int, name string) ([]Event, int64, error) {
	all, err := s.readAfter(ctx, after, limit)
	if err != nil {
		return nil, after, err
	}
	if len(all) == 0 {
		return nil, after, nil
	}
	upTo := all[len(all)-1].Position
	if name == "" {
		return all, upTo, nil
	}
	named := all[:0]
	for _, e := range all {
		if e.Name == name {
			named = append(named, e)
		}
	}
	return named, upTo, nil
}

// ReadPositions reads the events whose positions a query selects, in order, in the caller's transaction.
func ReadPositions(ctx context.Context, tx pgx.Tx, positions string, args ...any) ([]Event, error) {
	rows, err := tx.Query(ctx, `select l.position, `+eventColumns+`
		from log l join events e using (seq) where l.position in (`+positions+`) order by l.position`, args...)
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	events, err := pgx.CollectRows(rows, scanEvent(true))
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	return events, nil
}

// Streams lists the streams that have an event of a name. It reads the whole log, so it is not for what a page asks.
func (s *Store) Streams(ctx context.Context, name string) ([]uuid.UUID, error) {
	rows, err := s.pool.Query(ctx, `select distinct stream from events where name = $1 order by stream`, name)
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	streams, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return streams, nil
}

// ReadStream reads a stream's events from a version on, in order. Positions are not filled in.
func (s *Store) ReadStream(ctx context.Context, stream uuid.UUID, after int) ([]Event, error) {
	rows, err := s.pool.Query(ctx,
		`select `+eventColumns+` from events e where e.stream = $1 and e.version > $2 order by e.version`, stream, after)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	events, err := pgx.CollectRows(rows, scanEvent(false))
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	return events, nil
}

// Current folds a stream as it stands now: what is cached, and newer events from the database. The version is 0 when there is none.
func Current[S domain.State[S]](ctx context.Context, s *Store, stream uuid.UUID) (S, int, error) {
	state, version := cached[S](s.cache, stream)
	return foldNewer(ctx, s, stream, state, version)
}

// foldNewer reads what a stream has beyond a state, beginning with a snapshot where there is no state, and remembers the result.
func foldNewer[S domain.State[S]](ctx context.Context, s *Store, stream uuid.UUID, state S, version int) (S, int, error) {
	var newer []Event
	var err error
	if version == 0 {
		state, version, newer, err = fromSnapshot[S](ctx, s, stream)
	} else {
		newer, err = s.ReadStream(ctx, stream, version)
	}
	if err != nil {
		return state, 0, err
	}
	state, version, err = foldStored(state, version, newer)
	if err == nil && version > 0 {
		s.cache.put(stream, state, version)
		s.keep(ctx, stream, state, version, len(newer))
	}
	return state, version, err
}

// Numbers draws n public numbers from one of the number sequences ("run_numbers", ...). They are unique, not gapless.
func (s *Store) Numbers(ctx context.Context, sequence string, n int) ([]int64, error) {
	rows, err := s.pool.Query(ctx, `select nextval($1::regclass) from generate_series(1, $2)`, sequence, n)
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", sequence, err)
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", sequence, err)
	}
	return numbers, nil
}

// PositionOf is the position of an append's last event, 0 while the sequencer has not numbered it.
func (s *Store) PositionOf(ctx context.Context, seq int64) (int64, error) {
	var position int64
	err := s.pool.QueryRow(ctx, `select position from log where seq = $1`, seq).Scan(&position)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read position of %d: %w", seq, err)
	}
	return position, nil
}

func scanEvent(withPosition bool) pgx.RowToFunc[Event] {
	return func(row pgx.CollectableRow) (Event, error) {
		var e Event
		into := []any{&e.Stream, &e.Version, &e.ID, &e.Name, &e.Workspace, &e.Tenant, &e.RecordedAt, &e.Meta, &e.Payload}
		if withPosition {
			into = append([]any{&e.Position}, into...)
		}
		err := row.Scan(into...)
		e.RecordedAt = e.RecordedAt.UTC()
		return e, err
	}
}

func foldStored[S domain.State[S]](state S, version int, stored []Event) (S, int, error) {
	for _, e := range stored {
		decoded, err := e.Decode()
		if err != nil {
			return state, version, fmt.Errorf("fold stream %s version %d: %w", e.Stream, e.Version, err)
		}
		state, version = state.Evolve(decoded), e.Version
	}
	return state, version, nil
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Committers <= 0 {
		c.Committers = 2
	}
	if c.BatchCap <= 0 {
		c.BatchCap = 64
	}
	if c.CacheSize <= 0 {
		c.CacheSize = 50_000
	}
	if c.Lease <= 0 {
		c.Lease = 5 * time.Second
	}
	if c.Poll <= 0 {
		c.Poll = 250 * time.Millisecond
	}
	return c
}
