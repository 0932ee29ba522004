package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/mod/sumdb/tlog"
)

// tileWidth is how many hashes a tile holds: 2 to the tileHeight.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// ErrNoTree says that a tree of the asked size cannot be read: the log is shorter, or the tree keeper has not come that far.
var ErrNoTree = errors.New("the tree does not reach that far")

// Querier is what reading the tree and the log's order needs: a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Tree reads the Merkle tree over the log (RFC 6962, as golang.org/x/mod/sumdb/tlog computes it). Its n-th leaf, from 0, is the leaf of
// position n+1; its size is a number of events. It reads what the keeper has written and, right of the last complete tile, the leaves
// themselves; it trusts both, so its answers are proofs only for who checks them against a signed head.
type Tree struct{ db Querier }

// OpenTree reads the tree of a database, with any role that may read the log.
func OpenTree(db Querier) Tree { return Tree{db} }

// TreeHead is a stored statement that the first Size events have the root Root. Note is its signed text.
type TreeHead struct {
	Size     int64
	Root     tlog.Hash
	Note     string
	SignedAt time.Time
}

// Root is the root of the first size events.
func (t Tree) Root(ctx context.Context, size int64) (tlog.Hash, error) {
	root, err := tlog.TreeHash(size, t.reader(ctx))
	if err != nil {
		return root, fmt.Errorf("compute root of %d events: %w", size, err)
	}
	return root, nil
}

// ProveInclusion proves to who knows the root of the first size events which leaf is at a position.
func (t Tree) ProveInclusion(ctx context.Context, position, size int64) (tlog.RecordProof, error) {
	if position < 1 || position > size {
		return nil, fmt.Errorf("prove position %d of %d: %w", position, size, ErrNoTree)
	}
	proof, err := tlog.ProveRecord(size, position-1, t.reader(ctx))
	if err != nil {
		return nil, fmt.Errorf("prove position %d of %d: %w", position, size, err)
	}
	return proof, nil
}

// ProveConsistency proves to who knows the roots of both sizes that the first from events of the larger log are the smaller log.
func (t Tree) ProveConsistency(ctx context.Context, from, to int64) (tlog.TreeProof, error) {
	if from < 1 || from > to {
		return nil, fmt.Errorf("prove %d a part of %d: %w", from, to, ErrNoTree)
	}
	proof, err := tlog.ProveTree(to, from, t.reader(ctx))
	if err != nil {
		return nil, fmt.Errorf("prove %d a part of %d: %w", from, to, err)
	}
	return proof, nil
}

// Span is the leaves from Lo up to but without Hi, counted from 0.
type Span struct{ Lo, Hi int64 }

// SpanHashes are the roots of the subtrees that hold spans of leaves. Each span must be a subtree of some tree, as RFC 6962 splits it.
func (t Tree) SpanHashes(ctx context.Context, spans []Span) ([]tlog.Hash, error) {
	var indexes []int64
	parts := make([]int, len(spans))
	for i, s := range spans {
		for lo := s.Lo; lo < s.Hi; parts[i]++ {
			level := 0
			for lo&(1<<level) == 0 && lo+(2<<level) <= s.Hi {
				level++
			}
			indexes = append(indexes, tlog.StoredHashIndex(level, lo>>level))
			lo += 1 << level
		}
	}
	read, err := t.read(ctx, indexes)
	if err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(spans))
	for i, n := range parts {
		h := read[n-1]
		for j := n - 2; j >= 0; j-- {
			h = tlog.NodeHash(read[j], h)
		}
		hashes[i], read = h, read[n:]
	}
	return hashes, nil
}

// Leaves are the stored leaf hashes of the positions from first to last. Positions that are not there are left out.
func (t Tree) Leaves(ctx context.Context, first, last int64) ([]tlog.Hash, error) {
	rows, err := t.db.Query(ctx,
		`select e.leaf from log l join events e using (seq) where l.position between $1 and $2 order by l.position`, first, last)
	if err != nil {
		return nil, fmt.Errorf("read leaves %d to %d: %w", first, last, err)
	}
	leaves, err := pgx.CollectRows(rows, rowToHash)
	if err != nil {
		return nil, fmt.Errorf("read leaves %d to %d: %w", first, last, err)
	}
	return leaves, nil
}

// Heads are stored heads, the largest first, beginning below a size (0: at the newest). Whether they are genuine only the key tells.
func (t Tree) Heads(ctx context.Context, below int64, limit int) ([]TreeHead, error) {
	rows, err := t.db.Query(ctx,
		`select size, root, note, signed_at from tree_heads where size < $1 or $1 = 0 order by size desc limit $2`, below, limit)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	heads, err := pgx.CollectRows(rows, rowToHead)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	return heads, nil
}

// HeadAt is the smallest stored head that covers a position. ErrNoTree says that there is none yet.
func (t Tree) HeadAt(ctx context.Context, position int64) (TreeHead, error) {
	rows, err := t.db.Query(ctx, `select size, root, note, signed_at from tree_heads where size >= $1 order by size limit 1`, position)
	if err != nil {
		return TreeHead{}, fmt.Errorf("read head at %d: %w", position, err)
	}
	head, err := pgx.CollectExactlyOneRow(rows, rowToHead)
	if errors.Is(err, pgx.ErrNoRows) {
		return head, fmt.Errorf("read head at %d: %w", position, ErrNoTree)
	}
	if err != nil {
		return head, fmt.Errorf("read head at %d: %w", position, err)
	}
	return head, nil
}

func rowToHead(row pgx.CollectableRow) (TreeHead, error) {
	var h TreeHead
	var root []byte
	err := row.Scan(&h.Size, &root, &h.Note, &h.SignedAt)
	copy(h.Root[:], root)
	h.SignedAt = h.SignedAt.UTC()
	return h, err
}

func rowToHash(row pgx.CollectableRow) (tlog.Hash, error) {
	var h tlog.Hash
	var b []byte
	err := row.Scan(&b)
	copy(h[:], b)
	return h, err
}

func (t Tree) reader(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return t.read(ctx, indexes) })
}

// tileID names a tile, complete or not.
type tileID struct {
	level int
	tile  int64
}

// read answers tlog's numbering of subtrees. Each lies within one tile.
func (t Tree) read(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	tiles := make(map[tileID][]tlog.Hash)
	for _, i := range indexes {
		id, _, _ := locate(i)
		tiles[id] = nil
	}
	if err := t.load(ctx, tiles); err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		id, from, to := locate(index)
		if len(tiles[id]) < to {
			return nil, ErrNoTree
		}
		hashes[i] = fold(tiles[id][from:to])
	}
	return hashes, nil
}

// locate says which hashes of which tile a subtree is over.
func locate(index int64) (id tileID, from, to int) {
	level, n := tlog.SplitStoredHashIndex(index)
	above := level % tileHeight
	first := n << above
	id = tileID{level / tileHeight, first / tileWidth}
	from = int(first % tileWidth)
	return id, from, from + 1<<above
}

// fold is the root over a power of two of hashes.
func fold(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(fold(hashes[:half]), fold(hashes[half:]))
}

// load fills in the tiles: the complete ones as they are stored, the others from the level below.
func (t Tree) load(ctx context.Context, tiles map[tileID][]tlog.Hash) error {
	levels, numbers := make([]int, 0, len(tiles)), make([]int64, 0, len(tiles))
	for id := range tiles {
		levels, numbers = append(levels, id.level), append(numbers, id.tile)
	}
	rows, err := t.db.Query(ctx, `select level, tile, hashes from tree_tiles
		where (level, tile) in (select * from unnest($1::int[], $2::bigint[]))`, levels, numbers)
	if err != nil {
		return fmt.Errorf("read tiles: %w", err)
	}
	var id tileID
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&id.level, &id.tile, &stored}, func() error {
		tiles[id] = hashesOf(stored)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read tiles: %w", err)
	}
	for id, hashes := range tiles {
		if hashes != nil {
			continue
		}
		if tiles[id], err = t.below(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// below computes a tile, or as much of it as there is, from the level below.
func (t Tree) below(ctx context.Context, id tileID) ([]tlog.Hash, error) {
	first := id.tile * tileWidth
	if id.level == 0 {
		return t.Leaves(ctx, first+1, first+tileWidth)
	}
	rows, err := t.db.Query(ctx, `select root from tree_tiles where level = $1 and tile >= $2 and tile < $3 order by tile`,
		id.level-1, first, first+tileWidth)
	if err != nil {
		return nil, fmt.Errorf("read tile roots: %w", err)
	}
	roots, err := pgx.CollectRows(rows, rowToHash)
	if err != nil {
		return nil, fmt.Errorf("read tile roots: %w", err)
	}
	return roots, nil
}

func hashesOf(b []byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(b)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], b[i*tlog.HashSize:])
	}
	return hashes
}

// Row is one position of the log as it is stored. Event is nil when the position has none.
type Row struct {
	Position int64
	Event    *Event
	Leaf     tlog.Hash
}

// walkPage is how many positions Walk reads at a time.
const walkPage = 4000

// Walk calls do with every position after one, in order, as long as it answers true. It holds no transaction open.
func (t Tree) Walk(ctx context.Context, after int64, do func(Row) bool) error {
	const page = `select l.position, e.seq is not null, coalesce(e.leaf, ''), coalesce(e.stream, $3), coalesce(e.version, 0), coalesce(e.id, $3),
			coalesce(e.name, ''), coalesce(e.workspace, $3), coalesce(e.tenant, $3), coalesce(e.recorded_at, '-infinity'), e.meta, e.payload
		from (select position, seq from log where position > $1 order by position limit $2) l
		left join events e using (seq) order by l.position`
	for {
		rows, err := t.db.Query(ctx, page, after, walkPage, uuid.Nil)
		if err != nil {
			return fmt.Errorf("read log after %d: %w", after, err)
		}
		read, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Row, error) {
			var r Row
			var e Event
			var there bool
			var leaf []byte
			var at pgtype.Timestamptz
			err := row.Scan(&r.Position, &there, &leaf, &e.Stream, &e.Version, &e.ID, &e.Name, &e.Workspace, &e.Tenant, &at, &e.Meta, &e.Payload)
			if there {
				e.Position, e.RecordedAt, r.Event = r.Position, at.Time.UTC(), &e
				copy(r.Leaf[:], leaf)
			}
			return r, err
		})
		if err != nil {
			return fmt.Errorf("read log after %d: %w", after, err)
		}
		for _, r := range read {
			if !do(r) {
				return nil
			}
			after = r.Position
		}
		if len(read) < walkPage {
			return nil
		}
	}
}

// firstChanged is the first position after one, up to another, that lacks its event, or has one that is not what its leaf is over, or a leaf that
// is not the tile's; 0 when all are as they were. after is where a tile begins.
func (t Tree) firstChanged(ctx context.Context, after, upTo int64) (int64, error) {
	at, fits := after, true
	var tile []tlog.Hash
	var tileErr error
	err := t.Walk(ctx, after, func(r Row) bool {
		if at == upTo {
			return false
		}
		if at%tileWidth == 0 {
			if tile, tileErr = t.Tile(ctx, 0, at/tileWidth); tileErr != nil {
				return false
			}
		}
		at++
		fits = r.Position == at && r.Event != nil && tlog.RecordHash(r.Event.Record()) == r.Leaf && (tile == nil || tile[(at-1)%tileWidth] == r.Leaf)
		return fits
	})
	switch err = errors.Join(err, tileErr); {
	case err != nil:
		return 0, err
	case !fits:
		return at, nil
	case at < upTo: // the end is gone
		return at + 1, nil
	}
	return 0, nil
}

// Tile is a complete tile as it is stored; nil when it is not there.
func (t Tree) Tile(ctx context.Context, level int, tile int64) ([]tlog.Hash, error) {
	var b []byte
	err := t.db.QueryRow(ctx, `select hashes from tree_tiles where level = $1 and tile = $2`, level, tile).Scan(&b)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tile %d of level %d: %w", tile, level, err)
	}
	return hashesOf(b), nil
}

// EventsOfRun are the events of a run's stream, and those of its connection's stream that name the run, up to a position, in order.
func (t Tree) EventsOfRun(ctx context.Context, run, connection uuid.UUID, upTo int64) ([]Event, error) {
	return t.events(ctx, `l.position <= $1 and (e.stream = $2 or e.stream = $3 and e.payload->>'run' = $2::text)`, upTo, run, connection)
}

// EventsOfTenant are all events about a tenant from the first to the last that was recorded in a period, up to a position, in order. It looks
// at every event: there is no index by tenant, because every append would have to keep it.
func (t Tree) EventsOfTenant(ctx context.Context, tenant uuid.UUID, from, to time.Time, upTo int64) ([]Event, error) {
	var first, last *int64
	err := t.db.QueryRow(ctx, `select min(l.position), max(l.position) from log l join events e using (seq)
		where e.tenant = $1 and e.recorded_at >= $2 and e.recorded_at < $3 and l.position <= $4`, tenant, from, to, upTo).Scan(&first, &last)
	if err != nil {
		return nil, fmt.Errorf("find events of tenant: %w", err)
	}
	if first == nil {
		return nil, nil
	}
	return t.events(ctx, `e.tenant = $1 and l.position between $2 and $3`, tenant, *first, *last)
}

func (t Tree) events(ctx context.Context, where string, args ...any) ([]Event, error) {
	rows, err := t.db.Query(ctx,
		`select l.position, `+eventColumns+` from events e join log l using (seq) where `+where+` order by l.position`, args...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	events, err := pgx.CollectRows(rows, scanEvent(true))
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// FindFirst are the events that open a stream, by name and a text in their payload. It looks at every stream.
func (t Tree) FindFirst(ctx context.Context, name, key, value string) ([]Event, error) {
	return t.events(ctx, `e.version = 1 and e.name = $1 and e.payload->>$2 = $3`, name, key, value)
}
