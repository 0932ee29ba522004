package web

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tenantpilot/cmd/tenantpilot/internal/auth"
)

// Limits bound how fast one actor may ask. Zero values are good defaults; a negative rate is no limit.
type Limits struct {
	PerSecond float64 // of a person or token, in the long run; default 50
	Burst     int     // at once; default 300
	// Strangers are addresses that nobody is signed in from: default 5 per second, 60 at once.
	StrangersPerSecond float64
	StrangersBurst     int
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
	return l
}

// limiter keeps a token bucket per actor. One that was not used for as long as it takes to fill is forgotten: it would be full.
type limiter struct {
	limits  Limits
	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	*rate.Limiter
	used time.Time
}

func newLimiter(l Limits) *limiter {
	return &limiter{limits: l.withDefaults(), buckets: map[string]*bucket{}}
}

// wait says how long the actor has to wait before asking again; 0 lets the request in.
func (l *limiter) wait(key string, known bool, now time.Time) time.Duration {
	perSecond, burst := l.limits.PerSecond, l.limits.Burst
	if !known {
		perSecond, burst = l.limits.StrangersPerSecond, l.limits.StrangersBurst
	}
	if perSecond < 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b := l.buckets[key]
	if b == nil {
		b = &bucket{Limiter: rate.NewLimiter(rate.Limit(perSecond), burst)}
		l.buckets[key] = b
	}
	b.used = now
	r := b.ReserveN(now, 1)
	if delay := r.DelayFrom(now); delay > 0 {
		r.CancelAt(now) // it is not served, so it does not count
		return delay
	}
	return 0
}

func (l *limiter) sweep(now time.Time) {
	const forget = time.Minute
	if now.Sub(l.swept) < forget {
		return
	}
	l.swept = now
	for key, b := range l.buckets {
		if now.Sub(b.used) > forget && b.TokensAt(now) >= float64(b.Burst()) {
			delete(l.buckets, key)
		}
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

// limit refuses requests of an actor that asks too fast, before anything is read or done for it.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		viewer, known := auth.ViewerFrom(r.Context())
		key := viewer.Actor.Ref.ID.String()
		if !known {
			key = networkOf(s.Auth.AddressOf(r))
		}
		if delay := s.limiter.wait(key, known, time.Now()); delay > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(delay.Seconds()))))
			s.fail(w, r, problem{
				Status: http.StatusTooManyRequests, Code: "too_many_requests", Detail: "You ask faster than this console answers to one caller. Wait a moment.",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}
