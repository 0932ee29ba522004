package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/domain"
)

const (
	kindGroups = "directory_groups"
	kindRoles  = "role_definitions"
)

// groupSnapshot is a complete reading of a tenant's groups, with the link from which the next reading asks for changes only. A snapshot of
// another selection is no base for changes.
type groupSnapshot struct {
	Selection string        `json:"selection"`
	DeltaLink string        `json:"deltaLink"`
	Groups    []graph.Group `json:"groups"` // by id
}

// syncGroups reads the tenant's groups, or what changed since the last complete reading, and replaces the cache when the reading is
// complete. An incomplete one replaces nothing and says so.
func syncGroups(ctx context.Context, x *execution) (result, error) {
	conn, err := x.connection(ctx)
	if err != nil {
		return result{}, err
	}
	selection := x.begun.Run.Inputs["selectionKey"]
	groups, link := x.knownGroups(ctx, selection)
	if err := x.progress(ctx, "Reading directory groups", 0, 0); err != nil {
		return result{}, err
	}
	read := 0
	next, full, err := x.worker.graph.Groups(ctx, conn, x.call(ctx), link, func(p graph.GroupPage) error {
		if p.Restart || (p.Full && p.Number == 1) {
			clear(groups)
			read = 0
		}
		for _, g := range p.Groups {
			groups[g.ID] = g
		}
		for _, id := range p.Removed {
			delete(groups, id)
		}
		read += len(p.Groups) + len(p.Removed)
		return x.progress(ctx, "Reading directory groups", read, 0)
	})
	item := domain.Item{Key: kindGroups, Name: "Directory groups", Type: "collection", Intent: "read", Result: domain.ItemConfirmed}
	if err != nil {
		return x.partial(ctx, item, read, "groups", err)
	}
	snapshot := groupSnapshot{Selection: selection, DeltaLink: next, Groups: sortedGroups(groups)}
	summary := fmt.Sprintf("%s groups read, nothing written.", thousands(len(groups)))
	if !full {
		summary = fmt.Sprintf("%s changes read, %s groups known, nothing written.", thousands(read), thousands(len(groups)))
	}
	return x.complete(ctx, item, snapshot, len(groups), summary)
}

// knownGroups is what the last complete reading of this selection left, and where to go on from.
func (x *execution) knownGroups(ctx context.Context, selection string) (map[string]graph.Group, string) {
	groups := map[string]graph.Group{}
	var before groupSnapshot
	if err := json.Unmarshal(x.cached(ctx, kindGroups), &before); err != nil || before.Selection != selection {
		return groups, "" // none, unreadable or of another selection: read everything
	}
	for _, g := range before.Groups {
		groups[g.ID] = g
	}
	return groups, before.DeltaLink
}

func sortedGroups(groups map[string]graph.Group) []graph.Group {
	ids := slices.Sorted(maps.Keys(groups))
	sorted := make([]graph.Group, len(ids))
	for i, id := range ids {
		sorted[i] = groups[id]
	}
	return sorted
}

// complete stores a complete reading and records it. A crash between the two leaves content that nothing refers to.
func (x *execution) complete(ctx context.Context, item domain.Item, content any, count int, summary string) (result, error) {
	if err := x.progress(ctx, "Storing "+strings.ToLower(item.Name), count, count); err != nil {
		return result{}, err
	}
	b, err := json.Marshal(content)
	if err != nil {
		return result{}, fmt.Errorf("encode %s: %w", item.Key, err)
	}
	err = x.worker.patiently(ctx, func(ctx context.Context) error {
		item.Content, err = x.worker.store.PutContent(ctx, b)
		return err
	})
	if err != nil {
		return result{}, err
	}
	item.Count = count
	if err := x.record(ctx, item); err != nil {
		return result{}, err
	}
	return result{summary: summary}, nil
}

// partial records how far an incomplete reading came; the cache stays as it was.
func (x *execution) partial(ctx context.Context, item domain.Item, read int, what string, cause error) (result, error) {
	if ended := context.Cause(ctx); ended != nil {
		cause = ended
	}
	if errors.Is(cause, errCancelled) { // the run is still ours to write to
		var done context.CancelFunc
		ctx, done = context.WithTimeout(context.WithoutCancel(ctx), x.worker.cfg.Lease/3)
		defer done()
	}
	if ctx.Err() != nil || read == 0 {
		return result{}, cause
	}
	item.Result, item.Partial, item.Count, item.Reason, item.RequestID = domain.ItemRefused, true, read, reasonOf(cause), requestID(cause)
	if err := x.record(ctx, item); err != nil {
		return result{}, err
	}
	return result{summary: fmt.Sprintf("%s %s read before it ended; what was known before is unchanged.", thousands(read), what)}, cause
}

// thousands writes a count as people read it: 1,240.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
