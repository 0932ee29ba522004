package eventstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

var errRefused = errors.New("refused by the decision")

// Two requests share a batch. The second would be refused because of what the first wants to append, but that append fails: so the
// second must be carried out, not be told of something that never was.
func TestNoAnswerRestsOnAnAppendThatFailed(t *testing.T) {
	t.Parallel()
	s := openOn(t, pgtest.New(t), eventstore.Config{Committers: 1})
	busy, goOn := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(busy) }) // a decision may be made twice
	var callers sync.WaitGroup
	callers.Go(func() { // keeps the committer busy while the two others queue up
		_, err := s.Transact(t.Context(), eventstore.Request{At: at}, func(context.Context, *eventstore.Unit) error {
			begin()
			<-goOn
			return errRefused
		})
		if !errors.Is(err, errRefused) {
			t.Errorf("the first: %v", err)
		}
	})
	<-busy
	stream, event := registered(uuid.New())
	open := func(then ...domain.Event) error {
		_, err := s.Transact(t.Context(), eventstore.Request{At: at}, func(ctx context.Context, u *eventstore.Unit) error {
			tenant, _, err := eventstore.Load[domain.Tenant](ctx, u, stream)
			if err != nil {
				return err
			}
			if tenant.Exists() {
				return errRefused
			}
			u.Append(stream, event)
			u.Append(uuid.New(), then...)
			return nil
		})
		return err
	}
	callers.Go(func() {
		if err := open(storedMessage{Topic: "no text\x00"}); err == nil || errors.Is(err, errRefused) {
			t.Errorf("an event that Postgres cannot store: %v", err)
		}
	})
	time.Sleep(50 * time.Millisecond) // in the queue before the next
	callers.Go(func() {
		if err := open(); err != nil {
			t.Errorf("the stream is free, but opening it: %v", err)
		}
	})
	time.Sleep(50 * time.Millisecond)
	close(goOn)
	callers.Wait()
}

func TestTransactOnAClosedStoreReturns(t *testing.T) {
	t.Parallel()
	s := eventstore.Open(pgtest.New(t).Pool(t), eventstore.Config{})
	stream := create(t, s)
	var callers sync.WaitGroup
	for range 16 { // some before the close, some within, some after
		callers.Go(func() {
			for {
				if _, err := rename(s, eventstore.Request{At: at}, stream, "x"); err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("got %v, want context.Canceled", err)
					}
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	s.Close()
	callers.Wait()
	for range 20 { // whether or not there is room in the queue that nobody reads any more
		if _, err := rename(s, eventstore.Request{At: at}, stream, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("after the close: %v, want context.Canceled", err)
		}
	}
}

// Three processes whose batches touch most of the streams there are keep getting in each other's way, and all get on.
func TestBatchesThatConflictAllGetOn(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	stores := []*eventstore.Store{openOn(t, db, eventstore.Config{}), openOn(t, db, eventstore.Config{}), openOn(t, db, eventstore.Config{})}
	const callers, each = 150, 8
	streams := make([]uuid.UUID, 30)
	for i := range streams {
		streams[i] = create(t, stores[0])
	}
	d := newDice(t)
	var working sync.WaitGroup
	for c := range callers {
		working.Go(func() {
			for range each {
				first := d.intN(len(streams))
				second := (first + 1 + d.intN(len(streams)-1)) % len(streams)
				if err := renameBoth(stores[c%3], streams[first], streams[second]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	started := time.Now()
	working.Wait()
	t.Logf("%d requests in %v", callers*each, time.Since(started).Round(time.Millisecond))
	versions := 0
	for _, stream := range streams {
		_, version, err := eventstore.Current[domain.Tenant](t.Context(), stores[0], stream)
		if err != nil {
			t.Fatal(err)
		}
		versions += version
	}
	if want := len(streams) + 2*callers*each; versions != want {
		t.Fatalf("%d events, want %d", versions, want)
	}
}
