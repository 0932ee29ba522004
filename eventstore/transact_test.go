package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// open gives a test a store with a running sequencer on a database of its own.
func open(t testing.TB) *eventstore.Store {
	t.Helper()
	db := pgtest.New(t)
	return openOn(t, db, eventstore.Config{})
}

func openOn(t testing.TB, db *pgtest.DB, cfg eventstore.Config) *eventstore.Store {
	t.Helper()
	return openPool(t, db.Pool(t), cfg)
}

func openPool(t testing.TB, pool *pgxpool.Pool, cfg eventstore.Config) *eventstore.Store {
	t.Helper()
	s := eventstore.Open(pool, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.RunSequencer(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("sequencer: %v", err)
		}
		s.Close()
	})
	return s
}

var at = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func registered(workspace uuid.UUID) (uuid.UUID, domain.TenantRegistered) {
	external := uuid.New()
	id := domain.TenantStream(workspace, external)
	return id, domain.TenantRegistered{Tenant: id, Number: 1, Workspace: workspace, ExternalID: external, Name: "Contoso"}
}

func rename(s *eventstore.Store, r eventstore.Request, stream uuid.UUID, name string) (eventstore.Receipt, error) {
	return s.Transact(context.Background(), r, func(ctx context.Context, u *eventstore.Unit) error {
		tenant, _, err := eventstore.Load[domain.Tenant](ctx, u, stream)
		if err != nil {
			return err
		}
		if !tenant.Exists() {
			return domain.ErrNotFound()
		}
		u.Append(stream, domain.TenantRenamed{Name: name})
		return nil
	})
}

func create(t testing.TB, s *eventstore.Store) uuid.UUID {
	t.Helper()
	stream, event := registered(uuid.New())
	_, err := s.Transact(context.Background(), eventstore.Request{Workspace: event.Workspace, At: at}, func(ctx context.Context, u *eventstore.Unit) error {
		u.Append(stream, event)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestTransactIsIdempotentByKey(t *testing.T) {
	t.Parallel()
	s := open(t)
	stream := create(t, s)
	r := eventstore.Request{Key: uuid.New(), Hash: []byte("body"), At: at}
	first, err := rename(s, r, stream, "A")
	if err != nil || first.Replayed {
		t.Fatalf("first = %+v, %v", first, err)
	}
	again, err := rename(s, r, stream, "A")
	if err != nil || !again.Replayed || again.Seq != first.Seq || again.Stream != stream {
		t.Fatalf("again = %+v, %v; want a replay of %+v", again, err, first)
	}
	r.Hash = []byte("another body")
	_, err = rename(s, r, stream, "B")
	if refusal, ok := domain.AsRefusal(err); !ok || refusal.Kind != domain.KeyReused {
		t.Fatalf("other body: %v, want KeyReused", err)
	}
	if tenant, version, err := eventstore.Current[domain.Tenant](t.Context(), s, stream); err != nil || version != 2 || tenant.Name != "A" {
		t.Fatalf("tenant = %q at %d, %v", tenant.Name, version, err)
	}
}

func TestTransactDecidesAgainWhenAnotherProcessAppended(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	one, two := openOn(t, db, eventstore.Config{}), openOn(t, db, eventstore.Config{})
	stream := create(t, one)
	for i := range 20 { // each store's cache is stale after the other's append
		s := []*eventstore.Store{one, two}[i%2]
		if _, err := rename(s, eventstore.Request{At: at}, stream, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	tenant, version, err := eventstore.Current[domain.Tenant](t.Context(), one, stream)
	if err != nil || version != 21 || tenant.Name != "19" {
		t.Fatalf("got %q at %d, %v", tenant.Name, version, err)
	}
}

func TestTransactManyCallersOnOneStream(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	stores := []*eventstore.Store{openOn(t, db, eventstore.Config{}), openOn(t, db, eventstore.Config{})}
	stream := create(t, stores[0])
	const callers, each = 32, 10
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for range each {
				if _, err := rename(stores[c%2], eventstore.Request{At: at}, stream, fmt.Sprint(c)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, version, err := eventstore.Current[domain.Tenant](t.Context(), stores[0], stream); err != nil || version != 1+callers*each {
		t.Fatalf("version = %d, %v; want %d", version, err, 1+callers*each)
	}
}

func TestTransactSameKeyTogetherIsOneAppend(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	stores := []*eventstore.Store{openOn(t, db, eventstore.Config{}), openOn(t, db, eventstore.Config{})}
	stream := create(t, stores[0])
	r := eventstore.Request{Key: uuid.New(), Hash: []byte("x"), At: at}
	var wg sync.WaitGroup
	var mu sync.Mutex
	replays := 0
	for i := range 16 {
		wg.Go(func() {
			receipt, err := rename(stores[i%2], r, stream, "once")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if receipt.Replayed {
				replays++
			}
		})
	}
	wg.Wait()
	if _, version, _ := eventstore.Current[domain.Tenant](t.Context(), stores[0], stream); version != 2 || replays != 15 {
		t.Fatalf("version %d, %d replays; want 2 and 15", version, replays)
	}
}

func TestOpeningAStreamTwiceIsAConflict(t *testing.T) {
	t.Parallel()
	s := open(t)
	stream, event := registered(uuid.New())
	var refused, opened int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := s.Transact(t.Context(), eventstore.Request{At: at, Affinity: uuid.New()}, func(_ context.Context, u *eventstore.Unit) error {
				u.Append(stream, event)
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			var refusal *domain.Refusal
			switch {
			case err == nil:
				opened++
			case errors.As(err, &refusal) && refusal.Kind == domain.Conflict:
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if opened != 1 || refused != 7 {
		t.Fatalf("%d opened, %d refused", opened, refused)
	}
}

func TestAppendedEventsGetGaplessPositions(t *testing.T) {
	t.Parallel()
	s := open(t)
	stream := create(t, s)
	receipt, err := rename(s, eventstore.Request{At: at}, stream, "B")
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		position, err := s.PositionOf(t.Context(), receipt.Seq)
		if err != nil {
			t.Fatal(err)
		}
		if position == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("position of the second event is %d after 5 s", position)
		}
		time.Sleep(time.Millisecond)
	}
	events, upTo, err := s.ReadAfter(t.Context(), 0, 10, "")
	if err != nil || upTo != 2 || len(events) != 2 || events[1].Name != "TenantRenamed" || events[1].Version != 2 {
		t.Fatalf("log = %+v up to %d, %v", events, upTo, err)
	}
	var leaf []byte
	if err := s.Pool().QueryRow(t.Context(), `select leaf from events where stream = $1 and version = 2`, stream).Scan(&leaf); err != nil {
		t.Fatal(err)
	}
	if got := events[1].Leaf(); string(got[:]) != string(leaf) {
		t.Fatal("the leaf hash does not follow from what was read back")
	}
}

// TestATextThatNoReadModelCanHoldIsRefused: a NUL in a text, alone and beside neighbours in a batch; what only looks like one is kept.
func TestATextThatNoReadModelCanHoldIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t)
	workspace := uuid.New()
	register := func(name string, meta eventstore.Meta) error {
		stream, event := registered(workspace)
		event.Name = name
		_, err := s.Transact(t.Context(), eventstore.Request{Workspace: workspace, At: at, Meta: meta}, func(_ context.Context, u *eventstore.Unit) error {
			u.Append(stream, event)
			return nil
		})
		return err
	}
	for _, name := range []string{"a\x00b", "\x00", `\` + "\x00", `\\` + "\x00", `\u0000` + "\x00"} {
		if refusal, refused := domain.AsRefusal(register(name, eventstore.Meta{})); !refused || refusal.Kind != domain.Invalid {
			t.Errorf("%q is not refused", name)
		}
	}
	if _, refused := domain.AsRefusal(register("Contoso", eventstore.Meta{Surface: "\x00"})); !refused {
		t.Error("metadata with a NUL is not refused")
	}
	for _, name := range []string{`\u0000`, `a\\u0000b`, "0000"} {
		if err := register(name, eventstore.Meta{}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := register(fmt.Sprintf("%d\x00", i)[:1+i%2], eventstore.Meta{})
			if _, refused := domain.AsRefusal(err); refused != (i < 10 && i%2 == 1) || err != nil && !refused {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
}
