package consent_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/consent"
	"tenantpilot/migrations/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// clock is what a store takes for now.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func asking() consent.Request {
	return consent.Request{
		Session: "session-hash", Workspace: uuid.New(), Person: uuid.New(), Connection: 7, Directory: uuid.New(), App: "app-a", Next: "/admin/tenants",
	}
}

func TestAStateIsGoodOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t).Pool(t)
	at := &clock{time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	s, asked := consent.New(pool, at.now), asking()
	state, expires, err := s.Issue(ctx, asked)
	if err != nil || !expires.Equal(at.at.Add(15*time.Minute)) || len(state) < 43 {
		t.Fatalf("issue: %q until %v: %v", state, expires, err)
	}
	if other, _, err := s.Issue(ctx, asked); err != nil || other == state {
		t.Errorf("two links have the same state: %v", err)
	}
	var stored string
	if err := pool.QueryRow(ctx, `select string_agg(r::text, ' ') from consent_requests r`).Scan(&stored); err != nil || strings.Contains(stored, state) {
		t.Errorf("the state itself is stored: %v", err)
	}
	if got, err := s.Burn(ctx, state, asked.Session); err != nil || got != asked {
		t.Errorf("burn: %+v, %v", got, err)
	}
	// What was asked comes back with the refusal, to be recorded.
	if got, err := s.Burn(ctx, state, asked.Session); !errors.Is(err, consent.ErrInvalid) || got != asked {
		t.Errorf("again: %+v, %v", got, err)
	}
	for _, made := range []string{"", "made-up", state + "x", strings.ToUpper(state)} {
		if got, err := s.Burn(ctx, made, asked.Session); !errors.Is(err, consent.ErrInvalid) || got != (consent.Request{}) {
			t.Errorf("%q: %+v, %v", made, got, err)
		}
	}
	if consent.Name(state) == consent.Name(state+"x") {
		t.Error("two states have the same name")
	}
}

// TestAStateIsGoodForFifteenMinutes: to the last microsecond, and not at its end.
func TestAStateIsGoodForFifteenMinutes(t *testing.T) {
	t.Parallel()
	at := &clock{time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	s, asked := consent.New(pgtest.New(t).Pool(t), at.now), asking()
	began := at.at
	for left, want := range map[time.Duration]error{time.Microsecond: nil, 0: consent.ErrInvalid, -time.Hour: consent.ErrInvalid} {
		at.at = began
		state, expires, err := s.Issue(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		at.at = expires.Add(-left)
		if _, err := s.Burn(t.Context(), state, asked.Session); !errors.Is(err, want) {
			t.Errorf("%v before its end: %v, want %v", left, err, want)
		}
	}
}

// TestAStateBelongsToItsSession: in any other, or none, it is used up and proves nothing.
func TestAStateBelongsToItsSession(t *testing.T) {
	t.Parallel()
	at := &clock{time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	s, asked := consent.New(pgtest.New(t).Pool(t), at.now), asking()
	for name, session := range map[string]string{"none": "", "another": "other-hash"} {
		state, _, err := s.Issue(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Burn(t.Context(), state, session); !errors.Is(err, consent.ErrElsewhere) || got.Connection != asked.Connection {
			t.Errorf("%s session: %+v, %v", name, got, err)
		}
		if _, err := s.Burn(t.Context(), state, asked.Session); !errors.Is(err, consent.ErrInvalid) {
			t.Errorf("its own session after %s: %v", name, err)
		}
		link, found, err := s.Latest(t.Context(), asked.Workspace, asked.Connection)
		if err != nil || !found || !link.Elsewhere || !link.AnsweredAt.Equal(at.at) {
			t.Errorf("latest after %s: %+v, %v, %v", name, link, found, err)
		}
		at.at = at.at.Add(time.Second)
	}
	asked.Session = ""
	if _, _, err := s.Issue(t.Context(), asked); err == nil {
		t.Error("a link is made for nobody's session")
	}
}

// TestManyAnswersAtOnce: of all that come at the same time one is listened to.
func TestManyAnswersAtOnce(t *testing.T) {
	t.Parallel()
	s, asked := consent.New(pgtest.New(t).Pool(t), nil), asking()
	state, _, err := s.Issue(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	good := 0
	for range 8 {
		wg.Go(func() {
			_, err := s.Burn(context.WithoutCancel(t.Context()), state, asked.Session)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				good++
			} else if !errors.Is(err, consent.ErrInvalid) {
				t.Errorf("burn: %v", err)
			}
		})
	}
	wg.Wait()
	if good != 1 {
		t.Errorf("%d answers were listened to", good)
	}
}

// TestTheLatestLink: the newest of its connection in its workspace, for a day; what is older is thrown away with the next link.
func TestTheLatestLink(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t).Pool(t)
	at := &clock{time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	s, first := consent.New(pool, at.now), asking()
	if _, found, err := s.Latest(ctx, first.Workspace, first.Connection); found || err != nil {
		t.Errorf("before any: %v, %v", found, err)
	}
	second := first
	second.Person = uuid.New()
	for _, r := range []consent.Request{first, second} {
		at.at = at.at.Add(time.Minute)
		if _, _, err := s.Issue(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	link, found, err := s.Latest(ctx, first.Workspace, first.Connection)
	if err != nil || !found || link.Person != second.Person || !link.RequestedAt.Equal(at.at) || !link.ExpiresAt.Equal(at.at.Add(consent.Lifetime)) || !link.AnsweredAt.IsZero() {
		t.Errorf("latest: %+v, %v, %v", link, found, err)
	}
	for name, of := range map[string]struct {
		workspace  uuid.UUID
		connection int64
	}{"another workspace": {uuid.New(), first.Connection}, "another connection": {first.Workspace, 8}} {
		if _, found, err := s.Latest(ctx, of.workspace, of.connection); found || err != nil {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	at.at = at.at.Add(25 * time.Hour)
	if _, found, err := s.Latest(ctx, first.Workspace, first.Connection); found || err != nil {
		t.Errorf("a day later: %v, %v", found, err)
	}
	other := asking()
	if _, _, err := s.Issue(ctx, other); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := pool.QueryRow(ctx, `select count(*) from consent_requests`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d rows are left: %v", left, err)
	}
}
