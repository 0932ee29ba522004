package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const token = "tp_made-up"

// serve makes a console of a handler, and one that remembers how long it would have waited.
func serve(t *testing.T, h http.HandlerFunc) (*Console, *[]time.Duration) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(server.URL, token)
	if err != nil {
		t.Fatal(err)
	}
	var pauses []time.Duration
	c.pause = func(ctx context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return ctx.Err()
	}
	return c, &pauses
}

func say(w http.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func TestAddressesAndTokens(t *testing.T) {
	for address, good := range map[string]bool{
		"https://console.example": true, "http://127.0.0.1:8080/": true, "https://example.com/console": true,
		"console.example": false, "ftp://console.example": false, "https://": false, "": false,
		"https://kim:secret@console.example": false, "https://console.example/?x=1": false,
	} {
		if _, err := New(address, token); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, bad := range []string{"", "tp_a b", "tp_a\nX: y", "tp_ä"} {
		if _, err := New("https://console.example", bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("token %q: %v", bad, err)
		}
	}
	for address, clear := range map[string]bool{
		"http://console.example": true, "https://console.example": false, "http://localhost:8080": false, "http://127.0.0.1:8080": false,
	} {
		if c, err := New(address, token); err != nil || c.InTheClear() != clear {
			t.Errorf("%s travels in the clear: %v, want %v (%v)", address, c.InTheClear(), clear, err)
		}
	}
}

func TestProblemsInWords(t *testing.T) {
	for name, tc := range map[string]struct {
		status     int
		kind, body string
		header     [2]string
		want       []string
		never      string
	}{
		"problem": {
			400, "application/problem+json", `{"title":"The request is malformed","detail":"Look again.","code":"invalid_input",` +
				`"errors":[{"pointer":"/tenant","message":"Choose the tenant."},{"pointer":"","message":"Look again."}]}`,
			[2]string{},
			[]string{"The request is malformed: Look again.", "\n  /tenant: Choose the tenant."},
			"Look again.\n  Look again.",
		},
		"patience": {
			429, "application/problem+json", `{"title":"Too many requests","code":"too_many_requests"}`,
			[2]string{"Retry-After", "7"},
			[]string{"Too many requests", "Try again in 7s."},
			"Request",
		},
		"its fault": {
			503, "application/problem+json", `{"title":"Temporarily unavailable","code":"unavailable","request_id":"0199"}`,
			[2]string{},
			[]string{"Request 0199"},
			"",
		},
		"a proxy":       {502, "text/html", "<h1>Bad gateway</h1>", [2]string{}, []string{"answered 502 Bad Gateway, not as a console does"}, "<h1>"},
		"elsewhere":     {302, "text/html", "", [2]string{"Location", "https://evil.example/x?y"}, []string{"redirects to https://evil.example,"}, "x?y"},
		"no JSON":       {200, "text/html", "<p>welcome", [2]string{}, []string{"no JSON"}, "welcome"},
		"broken JSON":   {200, "application/json", `{"a":`, [2]string{}, []string{"no JSON"}, ""},
		"empty problem": {404, "application/problem+json", `{}`, [2]string{}, []string{"answered 404 Not Found"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				if tc.header[0] != "" {
					w.Header().Set(tc.header[0], tc.header[1])
				}
				say(w, tc.status, tc.kind, tc.body)
			})
			_, err := c.Do(t.Context(), Request{Path: "/admin"})
			if err == nil || asked != 1 {
				t.Fatalf("asked %d times, %v", asked, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if tc.never != "" && strings.Contains(err.Error(), tc.never) || strings.Contains(err.Error(), token) {
				t.Errorf("%q has too much", err)
			}
		})
	}
}

func TestWhatIsSent(t *testing.T) {
	var got *http.Request
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		say(w, 200, "application/vnd.tenantpilot.x+json; charset=utf-8", `{"n":7}`)
	})
	a, err := c.Do(t.Context(), Request{Method: http.MethodPut, Path: "/admin/x%2Fy", Body: map[string]int{"n": 1}, Key: "k", IfMatch: `"t"`})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + token, "Idempotency-Key": "k", "If-Match": `"t"`, "Content-Type": "application/json", "Accept": "application/json",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	var body struct{ N int }
	if err := a.Into(&body); err != nil || body.N != 7 || got.Method != http.MethodPut || got.URL.EscapedPath() != "/admin/x%2Fy" {
		t.Errorf("%s %s: %+v, %v", got.Method, got.URL.EscapedPath(), body, err)
	}
}

func TestNobodyThere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(server.URL, token)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), Request{Path: "/"})
	var away *Unreachable
	if !errors.As(err, &away) || !away.NotSent || err.Error() != "no answer from the console at "+server.URL+": nothing listens there" {
		t.Errorf("%v", err)
	}

	// A connection that ends before the answer: it was sent.
	c, _ = serve(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	if _, err = c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/"}); !errors.As(err, &away) || away.NotSent {
		t.Errorf("aborted: %v", err)
	}
	c.http.Timeout = 20 * time.Millisecond
	c.base, _ = c.base.Parse(slow(t))
	if _, err = c.Do(t.Context(), Request{Path: "/"}); !errors.As(err, &away) || !strings.Contains(away.Why, "nothing came within") {
		t.Errorf("slow: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = c.Do(ctx, Request{Path: "/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// slow is the address of a server that does not answer.
func slow(t *testing.T) string {
	t.Helper()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(done) })
	return server.URL
}

// TestPollIsPatient: less and less often, at least as long as it was asked to wait, through a moment's absence.
func TestPollIsPatient(t *testing.T) {
	answers := []func(http.ResponseWriter){
		func(w http.ResponseWriter) { say(w, 200, "application/json", `{}`) },
		func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "9")
			say(w, 429, "application/problem+json", `{"title":"Too many requests","code":"too_many_requests"}`)
		},
		func(w http.ResponseWriter) { say(w, 503, "text/html", ``) },
		func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "3")
			say(w, 200, "application/json", `{}`)
		},
		func(w http.ResponseWriter) { say(w, 200, "application/json", `{"end":true}`) },
	}
	asked := 0
	c, pauses := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answers[asked](w)
		asked++
	})
	a, err := c.Poll(t.Context(), Request{Path: "/"}, func(a Answer) (bool, error) { return strings.Contains(string(a.Body), "end"), nil })
	if err != nil || string(a.Body) != `{"end":true}` {
		t.Fatalf("%s, %v", a.Body, err)
	}
	want := []time.Duration{200 * time.Millisecond, 9 * time.Second, 450 * time.Millisecond, 3 * time.Second}
	if len(*pauses) != len(want) {
		t.Fatalf("pauses %v, want %v", *pauses, want)
	}
	for i, w := range want {
		if (*pauses)[i] != w {
			t.Errorf("pause %d is %s, want %s", i, (*pauses)[i], w)
		}
	}
}

func TestPollGivesUp(t *testing.T) {
	for name, tc := range map[string]struct{ status, asked int }{"gone": {404, 1}, "away for long": {503, failuresInARow + 1}} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				say(w, tc.status, "application/problem+json", `{"title":"No","code":"no"}`)
			})
			_, err := c.Poll(t.Context(), Request{Path: "/"}, func(Answer) (bool, error) { return false, nil })
			var p *Problem
			if !errors.As(err, &p) || p.Status != tc.status || asked != tc.asked {
				t.Errorf("asked %d times, %v", asked, err)
			}
		})
	}
}
