package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"
)

// HeadSigner makes and reads signed heads. The private key is its own affair; the database never sees it.
type HeadSigner interface {
	// SignHead states that the first size events have a root.
	SignHead(size int64, root tlog.Hash, at time.Time) (note string, err error)
	// OpenHead reads a head that this signer's key has signed; anything else is an error.
	OpenHead(note string) (size int64, root tlog.Hash, err error)
}

// TreeConfig sets a keeper up.
type TreeConfig struct {
	// Signer signs heads; without one the tree is kept and nothing is signed.
	Signer HeadSigner
	// Every is the longest that an event waits for a signed head that covers it (default 30 s).
	Every time.Duration
	Log   *slog.Logger
}

// TreeStatus is what a keeper has seen last, for metrics.
type TreeStatus struct {
	Log         int64     // events in the log
	Tiled       int64     // of these, in complete tiles
	Head        int64     // of these, under a signed head
	HeadAt      time.Time // when that was signed
	OrderTo     int64     // up to this position this process has checked the order
	OrderFaults int64     // and found so many events out of order
	Forked      bool      // the log no longer contains what a signed head was signed over: nothing more is signed
	Checked     int64     // up to this position this process has held events against their leaves, on its way round
	Changed     int64     // the first position after it that does not hold what it held; 0 when none is known
	checkedAt   time.Time
}

// errForked is the worst news a keeper can bring.
var errForked = errors.New("the log is not the one that was signed: history was changed below this program")

// TreeKeeper follows the log: it stores complete tiles of the tree, signs heads, and checks the order of what is new. It is not part of
// numbering, which so stays as fast as it is. Every process may run one: a lock in the database lets one at a time take a step. A crash
// anywhere leaves the tree as the last step left it, and the next step goes on.
type TreeKeeper struct {
	store *Store
	cfg   TreeConfig

	mu     sync.Mutex
	status TreeStatus
}

// NewTreeKeeper makes a keeper; Run starts it.
func NewTreeKeeper(s *Store, cfg TreeConfig) *TreeKeeper {
	if cfg.Every <= 0 {
		cfg.Every = 30 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &TreeKeeper{store: s, cfg: cfg, status: TreeStatus{OrderTo: -1}}
}

// Status is what the keeper has seen last.
func (k *TreeKeeper) Status() TreeStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// keeperPause is the shortest time between two steps that found little to do: tiles are in no hurry.
const keeperPause = time.Second

// Run keeps the tree until ctx ends.
func (k *TreeKeeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		grown := k.store.Sequenced()
		more, err := k.step(ctx, false)
		if err != nil && ctx.Err() == nil {
			k.cfg.Log.Error("tree keeper", "err", err)
		}
		if more && err == nil {
			continue
		}
		sleep(ctx, keeperPause)
		select {
		case <-ctx.Done():
		case <-grown:
		case <-time.After(max(keeperPause, k.cfg.Every/2)):
		}
	}
	return nil
}

// Sign signs a head over all that is in the log now, unless that is signed already, and waits for its turn to do so.
func (k *TreeKeeper) Sign(ctx context.Context) error {
	if k.cfg.Signer == nil {
		return errors.New("sign head: this process has no log key")
	}
	for {
		more, err := k.step(ctx, true)
		if err != nil || !more {
			return err
		}
	}
}

// keeperLock is the first half of the advisory lock; streams use the one-number form, so nothing collides.
const keeperLock = 0x7472_6565

// tilesPerStep bounds one transaction.
const tilesPerStep = 64

// step stores what tiles have become complete, signs a head when one is due, and says whether there is more to do at once. When now is set
// it waits for other keepers and signs whatever is there.
func (k *TreeKeeper) step(ctx context.Context, now bool) (more bool, err error) {
	var signed string
	err = pgx.BeginFunc(ctx, k.store.pool, func(tx pgx.Tx) error {
		mine := true
		if now {
			_, err = tx.Exec(ctx, `select pg_advisory_xact_lock($1, 0)`, keeperLock)
		} else {
			err = tx.QueryRow(ctx, `select pg_try_advisory_xact_lock($1, 0)`, keeperLock).Scan(&mine)
		}
		if err != nil {
			return fmt.Errorf("take turn: %w", err)
		}
		if !mine {
			return nil
		}
		status := k.Status()
		if err := tx.QueryRow(ctx, `select head from sequencer`).Scan(&status.Log); err != nil {
			return fmt.Errorf("read head: %w", err)
		}
		if more, err = buildTiles(ctx, tx, &status); err != nil {
			return err
		}
		if !more {
			if signed, err = k.signHead(ctx, tx, &status, now); err == nil {
				more, err = k.checkOrder(ctx, tx, &status)
			}
		}
		k.mu.Lock()
		k.status = status
		k.mu.Unlock()
		if errors.Is(err, errForked) {
			k.cfg.Log.Error("tree keeper", "err", err)
			return nil // the tiles are good to keep
		}
		return err
	})
	if err == nil && signed != "" { // the log goes to another place than the database, and so does the head
		k.cfg.Log.Info("signed a head of the log", "note", signed)
	}
	if err == nil && now && k.Status().Forked {
		err = errForked
	}
	return more, err
}

// buildTiles stores the next complete tiles of every level and says whether it stopped before the last.
func buildTiles(ctx context.Context, tx pgx.Tx, status *TreeStatus) (more bool, err error) {
	t := OpenTree(tx)
	available := status.Log // hashes at the level below the one that is built
	for level := 0; available >= tileWidth; level++ {
		var next int64
		if err := tx.QueryRow(ctx, `select coalesce(max(tile) + 1, 0) from tree_tiles where level = $1`, level).Scan(&next); err != nil {
			return false, fmt.Errorf("read tiles: %w", err)
		}
		complete := available / tileWidth
		upTo := min(complete, next+tilesPerStep)
		if level == 0 && upTo > next {
			leaves, err := t.Leaves(ctx, next*tileWidth+1, upTo*tileWidth)
			if err != nil {
				return false, err
			}
			if int64(len(leaves)) != (upTo-next)*tileWidth {
				return false, fmt.Errorf("read leaves: %d of positions %d to %d are missing",
					(upTo-next)*tileWidth-int64(len(leaves)), next*tileWidth+1, upTo*tileWidth)
			}
			if err := storeTiles(ctx, tx, level, next, leaves); err != nil {
				return false, err
			}
		}
		for tile := next; level > 0 && tile < upTo; tile++ {
			hashes, err := t.below(ctx, tileID{level, tile})
			if err != nil {
				return false, err
			}
			if err := storeTiles(ctx, tx, level, tile, hashes); err != nil {
				return false, err
			}
		}
		if level == 0 {
			status.Tiled = upTo * tileWidth
		}
		more = more || upTo < complete
		available = upTo
	}
	return more, nil
}

func storeTiles(ctx context.Context, tx pgx.Tx, level int, first int64, hashes []tlog.Hash) error {
	var rows [][]any
	for n := first; len(hashes) > 0; n++ {
		tile := hashes[:tileWidth]
		hashes = hashes[tileWidth:]
		b := make([]byte, 0, tileWidth*tlog.HashSize)
		for _, h := range tile {
			b = append(b, h[:]...)
		}
		root := fold(tile)
		rows = append(rows, []any{level, n, b, root[:]})
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"tree_tiles"}, []string{"level", "tile", "hashes", "root"}, pgx.CopyFromRows(rows))
	if err != nil {
		return fmt.Errorf("store tiles of level %d from %d: %w", level, first, err)
	}
	return nil
}

// signHead signs a head, and returns it, when the log has grown and the last head is old enough, if the log still is the one of that head.
func (k *TreeKeeper) signHead(ctx context.Context, tx pgx.Tx, status *TreeStatus, now bool) (signed string, err error) {
	t := OpenTree(tx)
	last, err := k.lastHead(ctx, t)
	if err != nil {
		return "", err
	}
	status.Head, status.HeadAt, status.Forked = last.Size, last.SignedAt, false
	if err := k.recheck(ctx, t, status, now); err != nil {
		return "", err
	}
	var at time.Time
	if err := tx.QueryRow(ctx, `select clock_timestamp()`).Scan(&at); err != nil {
		return "", fmt.Errorf("read clock: %w", err)
	}
	if k.cfg.Signer == nil || status.Log == last.Size || (!now && at.Sub(last.SignedAt) < k.cfg.Every) {
		return "", nil
	}
	if last.Size > 0 {
		root, err := t.Root(ctx, last.Size)
		if err != nil && !errors.Is(err, ErrNoTree) {
			return "", err
		}
		if err != nil || root != last.Root {
			status.Forked = true
			return "", fmt.Errorf("%w (head of %d events)", errForked, last.Size)
		}
	}
	root, err := t.Root(ctx, status.Log)
	if err != nil {
		return "", err
	}
	note, err := k.cfg.Signer.SignHead(status.Log, root, at.UTC())
	if err != nil {
		return "", fmt.Errorf("sign head: %w", err)
	}
	tag, err := tx.Exec(ctx, `insert into tree_heads (size, root, note, signed_at) values ($1, $2, $3, $4) on conflict (size) do nothing`,
		status.Log, root[:], note, at)
	if err != nil {
		return "", fmt.Errorf("store head: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return "", fmt.Errorf("store head: a head of %d events is there that this key has not signed", status.Log)
	}
	status.Head, status.HeadAt = status.Log, at
	return note, nil
}

// recheckAtOnce is how many positions are looked at again at one time, in whole tiles.
const recheckAtOnce = 8 * tileWidth

// recheck holds events that have long been in the log against their leaves and tiles, some each time that a head may be due, round and round. A head
// is over leaves, so one that is signed says nothing about an event that was changed beneath its leaf. It stays where something does not fit.
func (k *TreeKeeper) recheck(ctx context.Context, t Tree, status *TreeStatus, now bool) error {
	if k.cfg.Signer != nil && (now || time.Since(status.checkedAt) >= k.cfg.Every) {
		if status.Checked >= status.Log {
			status.Checked = 0
		}
		upTo := min(status.Log, status.Checked+recheckAtOnce)
		changed, err := t.firstChanged(ctx, status.Checked, upTo)
		if err != nil {
			return err
		}
		status.checkedAt, status.Changed = time.Now(), changed
		if changed == 0 {
			status.Checked = upTo
		}
	}
	if status.Forked = status.Changed > 0; status.Forked {
		return fmt.Errorf("%w (the event at position %d)", errForked, status.Changed)
	}
	return nil
}

// lastHead is the newest head of this process's key: whoever may append could have stored others, which must not stop us. Without a signer
// it is the newest.
func (k *TreeKeeper) lastHead(ctx context.Context, t Tree) (TreeHead, error) {
	below := int64(0)
	for {
		heads, err := t.Heads(ctx, below, 20)
		if err != nil || len(heads) == 0 {
			return TreeHead{}, err
		}
		for _, h := range heads {
			if k.cfg.Signer == nil {
				return h, nil
			}
			size, root, err := k.cfg.Signer.OpenHead(h.Note)
			if err == nil && size == h.Size {
				h.Root = root // what was signed, not what the column says
				return h, nil
			}
			k.cfg.Log.Warn("a stored head is not of this log key", "size", h.Size)
		}
		below = heads[len(heads)-1].Size
	}
}

// orderPerStep bounds how many positions one step checks.
const orderPerStep = 20_000

// checkOrder checks the order of what is new. What was in the log when this process began is left to `audit check-order`.
func (k *TreeKeeper) checkOrder(ctx context.Context, tx pgx.Tx, status *TreeStatus) (more bool, err error) {
	if status.OrderTo < 0 {
		status.OrderTo = status.Log
	}
	to := min(status.Log, status.OrderTo+orderPerStep)
	faults, err := orderBetween(ctx, tx, status.OrderTo, to)
	if err != nil {
		return false, err
	}
	for _, f := range faults {
		k.cfg.Log.Error("the log's order is broken", "fault", f.Text)
	}
	status.OrderFaults += int64(len(faults))
	status.OrderTo = to
	return to < status.Log, nil
}
