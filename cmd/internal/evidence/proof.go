package evidence

import (
	"sort"

	"golang.org/x/mod/sumdb/tlog"
)

// Inclusion proves that a leaf is at a position of the log of a head.
type Inclusion struct {
	Position int64       `json:"position"`
	Leaf     tlog.Hash   `json:"leaf"`
	Size     int64       `json:"size"`
	Hashes   []tlog.Hash `json:"hashes"`
}

// Check checks the proof against a head.
func (p Inclusion) Check(h Head) error {
	if p.Size != h.Size || p.Position < 1 || p.Position > p.Size {
		return fault(PackMalformed, p.Position, "the proof is for %d events, the head for %d", p.Size, h.Size)
	}
	if err := tlog.CheckRecord(p.Hashes, h.Size, h.Root, p.Position-1, p.Leaf); err != nil {
		return fault(HeadMismatch, p.Position, "the leaf is not at position %d of the log that the head was signed over", p.Position)
	}
	return nil
}

// Consistency proves that the log of an earlier head is the beginning of that of a later one.
type Consistency struct {
	From   int64       `json:"from"`
	To     int64       `json:"to"`
	Hashes []tlog.Hash `json:"hashes"`
}

// Check checks the proof against both heads.
func (c Consistency) Check(earlier, later Head) error {
	if earlier.Origin != later.Origin {
		return fault(OriginDiffers, 0, "the heads are of two logs, %q and %q", earlier.Origin, later.Origin)
	}
	if c.From != earlier.Size || c.To != later.Size {
		return fault(PackMalformed, 0, "the proof leads from %d to %d events, the heads from %d to %d", c.From, c.To, earlier.Size, later.Size)
	}
	if c.From > c.To {
		return fault(LogTruncated, c.To+1, "the log has %d events, fewer than the %d of the earlier head", c.To, c.From)
	}
	if err := tlog.CheckTree(c.Hashes, later.Size, later.Root, earlier.Size, earlier.Root); err != nil {
		return fault(HistoryRewritten, 0, "the first %d events are no longer those that the earlier head was signed over", earlier.Size)
	}
	return nil
}

// Span is the leaves from Lo up to but without Hi, counted from 0.
type Span struct{ Lo, Hi int64 }

// Gaps are the largest subtrees of the tree of size leaves without any of the positions, which are sorted: whoever has their roots, in this
// order, and the leaves of the positions, can compute the root (Root).
func Gaps(size int64, positions []int64) []Span {
	var gaps []Span
	walk(0, size, positions, func(int64) tlog.Hash { return tlog.Hash{} }, func(s Span) tlog.Hash {
		gaps = append(gaps, s)
		return tlog.Hash{}
	})
	return gaps
}

// Root computes the root of a tree of size leaves from some of them and the roots of the gaps between them.
func Root(size int64, leaves map[int64]tlog.Hash, gaps []tlog.Hash) (tlog.Hash, error) {
	positions := make([]int64, 0, len(leaves))
	for p := range leaves {
		if p < 1 || p > size {
			return tlog.Hash{}, fault(PackMalformed, p, "position %d is not among the first %d events", p, size)
		}
		positions = append(positions, p)
	}
	sort.Slice(positions, func(i, j int) bool { return positions[i] < positions[j] })
	if want := len(Gaps(size, positions)); want != len(gaps) {
		return tlog.Hash{}, fault(PackMalformed, 0, "the proof has %d hashes and should have %d", len(gaps), want)
	}
	root := walk(0, size, positions, func(p int64) tlog.Hash { return leaves[p] }, func(Span) tlog.Hash {
		h := gaps[0]
		gaps = gaps[1:]
		return h
	})
	return root, nil
}

// walk computes the root of the subtree over the leaves [lo, hi) as RFC 6962 splits it: from leaves where there are positions, from gaps
// elsewhere.
func walk(lo, hi int64, positions []int64, leaf func(position int64) tlog.Hash, gap func(Span) tlog.Hash) tlog.Hash {
	if len(positions) == 0 {
		return gap(Span{lo, hi})
	}
	if hi-lo == 1 {
		return leaf(lo + 1)
	}
	k := int64(1)
	for 2*k < hi-lo {
		k *= 2
	}
	cut := sort.Search(len(positions), func(i int) bool { return positions[i] > lo+k })
	left := walk(lo, lo+k, positions[:cut], leaf, gap)
	return tlog.NodeHash(left, walk(lo+k, hi, positions[cut:], leaf, gap))
}
