package eventstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// TestALongStreamIsLoadedFromASnapshot: a cold load of a long stream leaves a snapshot, later ones begin with it and see the same state, and
// one that another schema folded, or that cannot be read, is not used.
func TestALongStreamIsLoadedFromASnapshot(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool := db.Pool(t)
	ctx, workspace := t.Context(), uuid.New()
	id, first := registered(workspace)
	request := eventstore.Request{Workspace: workspace, At: at, Hash: []byte{}, Needs: []uuid.UUID{id}}
	const renames = 250
	writer := openPool(t, pool, eventstore.Config{})
	_, err := writer.Transact(ctx, request, func(_ context.Context, u *eventstore.Unit) error {
		u.Append(id, first)
		for i := range renames {
			u.Append(id, domain.TenantRenamed{Name: fmt.Sprintf("Name %d", i)})
		}
		return nil
	})
	must(t, err)
	snapshot := func() (version int, schema string) {
		t.Helper()
		must(t, pool.QueryRow(ctx, `select coalesce(max(version), 0), coalesce(max(schema), '') from snapshots where stream = $1`, id).Scan(&version, &schema))
		return version, schema
	}
	load := func(name string) {
		t.Helper()
		s := openPool(t, pool, eventstore.Config{})
		now, version, err := eventstore.Current[domain.Tenant](ctx, s, id)
		must(t, err)
		if now.Name != name || now.ID != id {
			t.Errorf("version %d of a cold load is %+v, want the name %s", version, now, name)
		}
		cold := openPool(t, pool, eventstore.Config{})
		_, err = cold.Transact(ctx, request, func(ctx context.Context, u *eventstore.Unit) error {
			seen, v, err := eventstore.Load[domain.Tenant](ctx, u, id)
			if err == nil && (seen.Name != name || v != version) {
				t.Errorf("version %d of a decision's load is %+v, want version %d and %s", v, seen, version, name)
			}
			u.Append(id, domain.TenantRenamed{Name: name})
			return err
		})
		must(t, err)
	}
	if v, _ := snapshot(); v != 0 {
		t.Errorf("a snapshot of version %d before anybody loaded", v)
	}
	load("Name 249")
	if v, schema := snapshot(); v != renames+1 || schema != domain.SchemaHash() {
		t.Errorf("snapshot of version %d under %q, want %d under %q", v, schema, renames+1, domain.SchemaHash())
	}
	change := func(set string) {
		t.Helper()
		_, err := pool.Exec(ctx, `update snapshots set `+set+` where stream = $1`, id)
		must(t, err)
	}
	change(`state = jsonb_set(state::jsonb, '{Domain}', '"from the snapshot"')::json`)
	s := openPool(t, pool, eventstore.Config{})
	if now, _, err := eventstore.Current[domain.Tenant](ctx, s, id); err != nil || now.Domain != "from the snapshot" {
		t.Errorf("the snapshot was not where the load began: %+v, %v", now, err)
	}
	change(`schema = 'another'`)
	load("Name 249")
	if v, schema := snapshot(); v < renames+2 || schema != domain.SchemaHash() {
		t.Errorf("another schema's snapshot was not replaced: version %d under %q", v, schema)
	}
	change(`state = '{"Name": 7}'`)
	load("Name 249")
	_, err = pool.Exec(ctx, `delete from snapshots`)
	must(t, err)
	load("Name 249")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
