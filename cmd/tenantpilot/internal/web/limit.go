package web

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
)

// Limits bound how fast one actor may ask. Zero values are good defaults; a negative rate is no limit.
type Limits struct {
	PerSecond float64 // of a person or token, in the long run; default 50
	Burst     int     // at once; default 300
	// Strangers are addresses that nobody is signed in from: default 5 per second, 60 at once.
	StrangersPerSecond float64
	StrangersBurst     int
	Streams            int // that a person keeps open at once, tokens included; default 20
	// Patience is how long a reader may take for 64 KiB, or for less that is sent at once; default 30 s.
	Patience time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.PerSecond == 0 {
		l.PerSecond = 50
	}
	if l.Burst == 0 {
		l.Burst = 300
	}
	if l.StrangersPerSecond == 0 {
		l.StrangersPerSecond = 5
	}
	if l.StrangersBurst == 0 {
		l.StrangersBurst = 60
	}
	if l.Streams == 0 {
		l.Streams = 20
	}
	if l.Patience == 0 {
		l.Patience = 30 * time.Second
	}
	return l
}

// limiter keeps a bucket of requests per key, which fills at a rate. One that is full is forgotten after a while.
type limiter struct {
	perSecond, burst float64

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(perSecond float64, burst int) *limiter {
	return &limiter{perSecond: perSecond, burst: float64(burst), buckets: map[string]*bucket{}}
}

// wait takes a request out of a key's bucket and returns 0, or says how long there is none to take; then nothing is taken.
func (l *limiter) wait(key string, now time.Time) time.Duration {
	return l.ask(key, now, func(b *bucket, empty bool) {
		if !empty {
			b.left--
		}
	})
}

// charge is wait of what has been done already: it is taken even if there is none, and owed.
func (l *limiter) charge(key string, now time.Time) time.Duration {
	return l.ask(key, now, func(b *bucket, _ bool) { b.left-- })
}

// look is wait that takes nothing.
func (l *limiter) look(key string, now time.Time) time.Duration {
	return l.ask(key, now, func(*bucket, bool) {})
}

// ask says how long a key's bucket has no request to take, and takes what it is told to.
func (l *limiter) ask(key string, now time.Time, take func(b *bucket, empty bool)) (delay time.Duration) {
	if l.perSecond < 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b := l.buckets[key]
	if b == nil {
		b = &bucket{left: l.burst, at: now}
		l.buckets[key] = b
	}
	b.left = l.filled(b, now)
	if now.After(b.at) {
		b.at = now
	}
	if b.left < 1 {
		delay = time.Duration((1 - b.left) / l.perSecond * float64(time.Second))
	}
	take(b, delay > 0)
	return delay
}

func (l *limiter) filled(b *bucket, now time.Time) float64 {
	return min(l.burst, b.left+l.perSecond*max(0, now.Sub(b.at).Seconds()))
}

func (l *limiter) sweep(now time.Time) {
	const forget = time.Minute
	if now.Sub(l.swept) < forget {
		return
	}
	l.swept = now
	for key, b := range l.buckets {
		if now.Sub(b.at) > forget && l.filled(b, now) >= l.burst {
			delete(l.buckets, key)
		}
	}
}

// tally counts what each person has open, up to a number.
type tally struct {
	most int

	mu   sync.Mutex
	open map[uuid.UUID]int
}

// enter counts one more; false means that there are as many as there may be, and nothing is counted.
func (t *tally) enter(person uuid.UUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[person] >= t.most {
		return false
	}
	t.open[person]++
	return true
}

func (t *tally) leave(person uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[person]--; t.open[person] == 0 {
		delete(t.open, person)
	}
}

// networkOf is by what strangers are told apart: the address, of IPv6 the /64, all of which one of them has.
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	network, _ := a.Prefix(64) // no address of IPv6 is too short for it
	return network.String()
}

// networkOf is the network that a request comes from.
func (s *Server) networkOf(r *http.Request) string { return networkOf(s.Auth.AddressOf(r)) }

// A request comes from a stranger until it is known who asks, and finding that out costs a query. So nothing is looked up for a network that
// has used up what strangers may ask, but of those who were let in a moment ago, whatever others do behind the same address. Whoever turns out
// to be nobody is charged for the query then: many at once are all looked up, and owed by their network. Somebody costs it nothing.

// meet refuses what may be a stranger's request before any credential is looked up.
func (s *Server) meet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.Auth.Proven(r) {
			if delay := s.strangers.look(s.networkOf(r), time.Now()); delay > 0 {
				s.tooFast(w, r, delay)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// limit refuses requests of an actor that asks too fast, before anything is read or done for it.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var delay time.Duration
		if viewer, known := auth.ViewerFrom(r.Context()); known {
			delay = s.people.wait(viewer.Actor.Ref.ID.String(), time.Now())
		} else {
			delay = s.strangers.charge(s.networkOf(r), time.Now())
		}
		if delay > 0 {
			s.tooFast(w, r, delay)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) tooFast(w http.ResponseWriter, r *http.Request, delay time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(delay.Seconds()))))
	s.fail(w, r, problem{
		Status: http.StatusTooManyRequests, Code: "too_many_requests", Detail: "You ask faster than this console answers to one caller. Wait a moment.",
	})
}

// badToken answers a token that opens nothing.
func (s *Server) badToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	s.fail(w, r, problem{Status: http.StatusUnauthorized, Title: "The token is not valid", Code: "invalid_token", Detail: "The token is wrong, has expired, or was revoked."})
}
