package auth

import (
	"net/http"
	"sync"
)

// Proven says whether what a request shows, a token or a session, has let somebody in before, in this process and not long ago. Whatever else is
// shown may be a guess, and costs a query to find out. It says nothing about rights: those are looked up on every request.
func (s *Service) Proven(r *http.Request) bool { return s.proven.has(s.shown(r)) }

// shown is what a request shows to be let in, by its hash; "" for nothing.
func (s *Service) shown(r *http.Request) string {
	if secret, sent := bearer(r); sent {
		return string(digest(secret))
	}
	if cookie, err := r.Cookie(s.sessions.Cookie.Name); err == nil {
		return string(digest(cookie.Value))
	}
	return ""
}

// provenAtOnce bounds the memory of it. Whatever is forgotten is looked up like a guess once, and remembered again.
const provenAtOnce = 20_000

// proven are hashes of credentials that let somebody in when they were shown last.
type proven struct {
	mu     sync.Mutex
	hashes map[string]bool
}

func (p *proven) has(hash string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hashes[hash]
}

func (p *proven) set(hash string, good bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !good:
		delete(p.hashes, hash)
	case p.hashes == nil || len(p.hashes) >= provenAtOnce:
		p.hashes = map[string]bool{hash: true}
	default:
		p.hashes[hash] = true
	}
}
