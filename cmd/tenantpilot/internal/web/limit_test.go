package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/mux"
)

// TestAnActorThatAsksTooFastWaits: a burst is let in, then the rate; others are not touched; what is refused or only looked at does not count,
// and what was done already is owed.
func TestAnActorThatAsksTooFastWaits(t *testing.T) {
	t.Parallel()
	l := newLimiter(2, 3)
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for i := range 3 {
		if d := l.wait("ada", now); d != 0 {
			t.Errorf("request %d of the burst waits %s", i, d)
		}
	}
	for range 10 {
		if d := l.wait("ada", now); d != 500*time.Millisecond {
			t.Errorf("after the burst: wait %s, want 500ms", d)
		}
	}
	if d := l.wait("bob", now); d != 0 {
		t.Errorf("somebody else waits %s", d)
	}
	if d := l.wait("ada", now.Add(500*time.Millisecond)); d != 0 {
		t.Errorf("after waiting: %s", d)
	}
	if d := l.wait("ada", now); d == 0 || d > 500*time.Millisecond {
		t.Errorf("by a clock that went back: %s", d)
	}
	later := now.Add(time.Hour)
	for range 4 {
		if d := l.look("bob", later); d != 0 {
			t.Errorf("a look waits %s", d)
		}
	}
	for i := range 5 {
		if d := l.charge("bob", later); (d > 0) != (i >= 3) {
			t.Errorf("charge %d of a burst of 3 waits %s", i, d)
		}
	}
	if d := l.look("bob", later); d != 1500*time.Millisecond {
		t.Errorf("who owes two waits %s, want 1.5s", d)
	}
	if len(l.buckets) != 1 {
		t.Errorf("%d buckets are kept after an hour, want the one in use", len(l.buckets))
	}
	if d := newLimiter(-1, 0).wait("ada", now); d != 0 {
		t.Errorf("no limit waits %s", d)
	}
}

// TestALongAnswerIsGivenTime: an answer that takes longer than a reader may take for a part of it, and than a request to arrive, is sent to its end.
func TestALongAnswerIsGivenTime(t *testing.T) {
	t.Parallel()
	s := &Server{Config: Config{Log: slog.New(slog.DiscardHandler)}, router: mux.NewRouter(), patience: 400 * time.Millisecond}
	var err error
	if s.metrics, err = newMetrics(nil); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s.observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 20 {
			if _, err := w.Write(make([]byte, 3*partSize)); err != nil || r.Context().Err() != nil {
				t.Errorf("broken off: %v, %v", err, r.Context().Err())
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})))
	server.Config.ReadTimeout = 300 * time.Millisecond
	server.Start()
	defer server.Close()
	for range 2 { // on one connection
		res, err := server.Client().Get(server.URL) //nolint:noctx // the test's own server
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		if err != nil || n != 60*partSize {
			t.Errorf("%d bytes of %d arrived, %v", n, 60*partSize, err)
		}
		_ = res.Body.Close()
	}
}
