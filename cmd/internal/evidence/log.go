package evidence

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// TileWidth is how many hashes a stored tile of the tree holds.
const TileWidth = 256

// maxFaults is how many faults a LogCheck names.
const maxFaults = 20

// LogCheck goes through a whole log, event by event, and holds it against heads and stored tiles. It recomputes everything from the records;
// what the database says about hashes only serves to name what was changed.
type LogCheck struct {
	heads   []Head // those to come, by size
	acc     *Accumulator
	streams map[string]int
	whole   bool // from the first event on, so that every stream must begin with version 1
	tile    []tlog.Hash
	good    int64 // size of the largest head that fits
	faults  []Fault
	stopped bool
}

// NewLogCheck begins with the first event. Heads are any number of genuine heads of the log.
func NewLogCheck(heads []Head) *LogCheck {
	heads = slices.Clone(heads)
	slices.SortStableFunc(heads, func(a, b Head) int { return int(a.Size - b.Size) })
	return &LogCheck{heads: heads, acc: NewAccumulator(0, nil), streams: make(map[string]int), whole: true}
}

// NewLogCheckFrom begins behind a head that is believed, given the roots of the complete subtrees up to there, the largest first. If those do
// not make the head's root, the log's beginning is not the one that the head was signed over.
func NewLogCheckFrom(from Head, roots []tlog.Hash, heads []Head) (*LogCheck, error) {
	c := NewLogCheck(slices.DeleteFunc(slices.Clone(heads), func(h Head) bool { return h.Size < from.Size }))
	c.acc, c.whole, c.good = NewAccumulator(from.Size, roots), false, from.Size
	if len(roots) == 0 || c.acc.Root() != from.Root {
		return nil, fault(HistoryRewritten, 0, "the first %d events are no longer those that the head was signed over", from.Size)
	}
	c.atHeads()
	return c, nil
}

// Size is how many events have been gone through.
func (c *LogCheck) Size() int64 { return c.acc.Size() }

// Heads is the size of the largest head that fits the events.
func (c *LogCheck) Heads() int64 { return c.good }

// Faults are what was found wrong, in the order of the log.
func (c *LogCheck) Faults() []Fault { return c.faults }

// Add names a fault found elsewhere.
func (c *LogCheck) Add(err error) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, *AsFault(err))
	}
}

// Event takes the next event: its position, its stream and version, its canonical bytes (nil: the position has no event), and the leaf hash
// that is stored with it. It answers false when going on makes no sense.
func (c *LogCheck) Event(position int64, stream string, version int, record []byte, stored tlog.Hash) bool {
	next := c.acc.Size() + 1
	switch {
	case c.stopped:
		return false
	case position > next:
		c.stop(fault(EventMissing, next, "positions %d to %d are missing", next, position-1))
		if position == next+1 {
			c.faults[len(c.faults)-1].Text = fmt.Sprintf("position %d is missing", next)
		}
		return false
	case position < next:
		c.stop(fault(EventsReordered, position, "position %d comes after position %d", position, next-1))
		return false
	case record == nil:
		c.stop(fault(EventMissing, position, "the event of position %d is missing", position))
		return false
	}
	leaf := tlog.RecordHash(record)
	if leaf != stored {
		c.Add(fault(EventChanged, position, "the event at position %d is not the one that its leaf hash is over", position))
		leaf = stored // so that the rest can still be told apart
	}
	before, seen := c.streams[stream]
	switch {
	case seen && version <= before:
		c.Add(fault(EventsReordered, position, "stream %s goes from version %d to %d at position %d", stream, before, version, position))
	case seen && version != before+1, !seen && c.whole && version != 1:
		c.Add(fault(StreamGap, position, "stream %s goes from version %d to %d at position %d", stream, before, version, position))
	}
	c.streams[stream] = version
	c.acc.Add(leaf)
	if position%TileWidth == 1 {
		c.tile = c.tile[:0]
	}
	c.tile = append(c.tile, leaf)
	c.atHeads()
	return !c.stopped
}

func (c *LogCheck) atHeads() {
	for len(c.heads) > 0 && c.heads[0].Size == c.acc.Size() {
		h := c.heads[0]
		c.heads = c.heads[1:]
		if c.acc.Root() == h.Root {
			c.good = h.Size
			continue
		}
		if !slices.ContainsFunc(c.faults, func(f Fault) bool { return f.Position > c.good }) { // else it is named already
			c.Add(fault(HeadMismatch, c.good+1,
				"between positions %d and %d something was changed, removed or reordered: the events do not make the root of the head of %d events",
				c.good+1, h.Size, h.Size))
		}
		c.stopped = true // every later root would differ too
	}
}

func (c *LogCheck) stop(err error) {
	c.Add(err)
	c.stopped = true
}

// Tile takes the stored tile over the last TileWidth positions, when such a tile has just become complete (Size is a multiple).
func (c *LogCheck) Tile(hashes []tlog.Hash) {
	if len(c.tile) != TileWidth || len(hashes) != TileWidth { // began in its middle
		return
	}
	first := c.acc.Size() - TileWidth + 1
	for i, h := range hashes {
		if c.tile[i] == h {
			continue
		}
		at := first + int64(i)
		if j := slices.Index(c.tile, h); j > i && c.tile[i] == hashes[j] {
			c.Add(fault(EventsReordered, at, "the events at positions %d and %d were exchanged", at, first+int64(j)))
		} else if j < 0 {
			c.Add(fault(TileChanged, at, "position %d holds another event than when the tree was built, or the tree was changed", at))
		}
	}
}

// End says that there are no more events.
func (c *LogCheck) End() {
	if c.stopped {
		return
	}
	for _, h := range c.heads {
		c.Add(fault(LogTruncated, c.acc.Size()+1, "the log ends at position %d, but a head of %d events was signed: the rest was cut off", c.acc.Size(), h.Size))
	}
}
