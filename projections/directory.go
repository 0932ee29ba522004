package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Directory keeps, per tenant and kind, the newest complete reading of a directory collection: where its content is, how many, how old.
type Directory struct{}

// Name implements Projection.
func (Directory) Name() string { return "directory" }

// Version implements Projection.
func (Directory) Version() int { return 1 }

// Tables implements ReadModel.
func (Directory) Tables() []string { return []string{"directory_cache"} }

// Changes implements ReadModel.
func (Directory) Changes() map[string][]string { return nil }

type directoryRow struct {
	ID       string    `json:"id"`
	Tenant   uuid.UUID `json:"tenant"`
	Kind     string    `json:"kind"`
	Content  string    `json:"content"`
	Count    int       `json:"count"`
	ReadAt   time.Time `json:"read_at"`
	Run      uuid.UUID `json:"run"`
	Position int64     `json:"position"`
}

var directoryTable = table[string, directoryRow]{name: "directory_cache", key: "id", cast: "text[]"}

var directoryEvents = names(domain.RunItemsRecorded{})

// Concerns implements chooser.
func (Directory) Concerns(event string) bool { return directoryEvents[event] }

// Apply implements Projection. A partial reading replaces nothing.
func (Directory) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	newest := map[string]*directoryRow{}
	for _, e := range events {
		recorded, ok := e.Data.(domain.RunItemsRecorded)
		if !ok {
			continue
		}
		for _, i := range recorded.Items {
			if i.Type == "collection" && i.Result == domain.ItemConfirmed && i.Content != "" && !i.Partial {
				id := e.Tenant.String() + "/" + i.Key
				newest[id] = &directoryRow{id, e.Tenant, i.Key, i.Content, i.Count, e.RecordedAt, e.Stream, e.Position}
			}
		}
	}
	keys := make([]string, 0, len(newest))
	for id := range newest {
		keys = append(keys, id)
	}
	there, err := directoryTable.load(ctx, tx, keys)
	if err != nil {
		return err
	}
	for id, row := range there {
		if row.Position >= newest[id].Position {
			delete(newest, id)
		}
	}
	return directoryTable.save(ctx, tx, newest, directoryTable.standing(there))
}

// CacheEntry is what is cached of one kind of directory object.
type CacheEntry struct {
	Kind    string
	Content string // hash in the content store
	Count   int
	ReadAt  time.Time
	Run     uuid.UUID
}

// DirectoryCache reads what is cached of a tenant.
func DirectoryCache(ctx context.Context, pool querier, tenant uuid.UUID) ([]CacheEntry, error) {
	rows, err := pool.Query(ctx, `select kind, content, count, read_at, run from directory_cache where tenant = $1 order by kind`, tenant)
	if err != nil {
		return nil, fmt.Errorf("read directory cache: %w", err)
	}
	return collect[CacheEntry](rows, "read directory cache")
}
