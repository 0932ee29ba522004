package auth

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Authenticate puts the Viewer into the context of every request that has one (see ViewerFrom), and loads and saves the session. A token
// that opens nothing is bad's to answer, whatever session came with it; nil is a 401 problem document. To ask for a viewer is RequireSignIn's part.
//
// Requests with a token have no session. Event streams (GET with Accept: text/event-stream, or a path that ends in /stream) get theirs
// for reading only and w itself, not a wrapper that waits for the session; they do not prolong it.
func (s *Service) Authenticate(next http.Handler, bad http.HandlerFunc) http.Handler {
	if bad == nil {
		bad = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			refuse(w, r, http.StatusUnauthorized, "invalid_token", "The token is wrong, has expired, or was revoked.")
		}
	}
	identified := s.identified(next, bad)
	saved := s.sessions.LoadAndSave(identified)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Authorization")
		_, withToken := bearer(r)
		v := &visit{readOnly: withToken || isStream(r), device: deviceOf(r.UserAgent()), address: s.AddressOf(r)}
		ctx := context.WithValue(r.Context(), visitKey{}, v)
		if !v.readOnly {
			guarded := cookieGuard{w, v, s.sessions.Cookie.Name + "="}
			saved.ServeHTTP(guarded, r.WithContext(ctx))
			guarded.takeBack()
			return
		}
		w.Header().Add("Vary", "Cookie")
		token := ""
		if cookie, err := r.Cookie(s.sessions.Cookie.Name); err == nil && !withToken {
			token = cookie.Value
		}
		ctx, err := s.sessions.Load(ctx, token)
		if err != nil {
			s.unavailable(w, r, err)
			return
		}
		identified.ServeHTTP(w, r.WithContext(ctx))
	})
}

// cookieGuard takes back the cookie that scs writes with every answer, where the session was not saved: an answer that comes late must not give
// the browser back the id that the session had before it was renewed.
type cookieGuard struct {
	http.ResponseWriter
	visit  *visit
	prefix string
}

func (g cookieGuard) takeBack() {
	if g.visit.unsaved {
		h := g.Header()
		h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(c string) bool { return strings.HasPrefix(c, g.prefix) })
	}
}

// WriteHeader implements http.ResponseWriter; scs has written its cookie by now.
func (g cookieGuard) WriteHeader(status int) {
	g.takeBack()
	g.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (g cookieGuard) Write(b []byte) (int, error) {
	g.takeBack()
	return g.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (g cookieGuard) Unwrap() http.ResponseWriter { return g.ResponseWriter }

func (s *Service) identified(next http.Handler, bad http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok, err := s.identify(r)
		if err == nil || errors.Is(err, ErrBadToken) {
			s.proven.set(s.shown(r), ok)
		}
		switch {
		case errors.Is(err, ErrBadToken):
			bad(w, r)
			return
		case err != nil:
			s.unavailable(w, r, err)
			return
		case ok:
			r = r.WithContext(WithViewer(r.Context(), v))
		}
		next.ServeHTTP(w, r)
	})
}

func isStream(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return strings.HasSuffix(r.URL.Path, "/stream") || strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// unavailable answers when it cannot be said who is asking. The cause is for the log only.
func (s *Service) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil { // else the client has gone, which is no fault
		s.log.ErrorContext(r.Context(), "cannot tell who is asking", "err", err)
	}
	refuse(w, r, http.StatusServiceUnavailable, "sign_in_unavailable", "Sign-in does not work at the moment. Try again shortly.")
}

// RequireSignIn lets requests with a viewer through. Of the others, browsers are sent to /sign-in?next=<here>, and API callers get
// unauthorized; nil is a 401 problem document.
func RequireSignIn(next http.Handler, unauthorized http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := ViewerFrom(r.Context()); ok {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Add("Vary", "Accept")
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case r.Header.Get("HX-Request") == "true":
			// A part of a page: a redirect would put the sign-in page in its place. htmx obeys this header whatever the status.
			w.Header().Set("HX-Redirect", signInPath(pathOf(r.Header.Get("HX-Current-URL"))))
		case prefersHTML(r):
			http.Redirect(w, r, signInPath(wanted(r)), http.StatusFound)
			return
		}
		w.Header().Set("WWW-Authenticate", "Bearer")
		if unauthorized != nil {
			unauthorized(w, r)
			return
		}
		refuse(w, r, http.StatusUnauthorized, "not_signed_in", "Send an API token: Authorization: Bearer tp_...")
	})
}

// wanted is the page to come back to. One does not come back to a form's target, but to the page that the form was on.
func wanted(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.URL.RequestURI()
	}
	return pathOf(r.Referer())
}

func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "/"
	}
	return u.RequestURI()
}

func signInPath(next string) string {
	if next = LocalPath(next); next == "/" {
		return "/sign-in"
	}
	return "/sign-in?next=" + url.QueryEscape(next)
}

// LocalPath returns a wanted page's path and query if it is one of ours, else "/": nothing that a browser could read as another host.
func LocalPath(wanted string) string {
	u, err := url.Parse(wanted)
	if err != nil || len(wanted) > 2048 || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	// Both as sent and as decoded once more by somebody on the way.
	for _, path := range []string{wanted, u.Path} {
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsFunc(path, forbiddenInPath) {
			return "/"
		}
	}
	return u.RequestURI()
}

// Browsers read a backslash as a slash and leave control characters out.
func forbiddenInPath(c rune) bool { return c == '\\' || c < ' ' || (c >= 0x7f && c < 0xa0) }

// prefersHTML says whether Accept names HTML before the formats of programs. Wildcards name nothing.
func prefersHTML(r *http.Request) bool {
	var html, other float64
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			q, _ = strconv.ParseFloat(s, 64)
		}
		switch {
		case kind == "text/html" || kind == "application/xhtml+xml":
			if q > other || html > 0 {
				html = max(html, q)
			}
		case strings.HasSuffix(kind, "json") || kind == "text/event-stream":
			other = max(other, q)
		}
	}
	return html > 0 && html >= other
}

// Protect refuses, with 403, requests that another site made the viewer's browser send: those of net/http's CrossOriginProtection and,
// with a session, those that do not say where they come from, as every browser does when something is to change. Nothing is exempt but
// requests with a token and without a session cookie: no site can make a browser send those. nil for denied is a problem document.
func (s *Service) Protect(next http.Handler, denied http.HandlerFunc) http.Handler {
	if denied == nil {
		denied = func(w http.ResponseWriter, r *http.Request) {
			refuse(w, r, http.StatusForbidden, "cross_origin", "This request did not come from a page of this console.")
		}
	}
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := r.Cookie(s.sessions.Cookie.Name)
		withSession := err == nil
		secret, _ := bearer(r)
		switch {
		case secret != "" && !withSession:
		case protection.Check(r) != nil, withSession && secret == "" && unsafe(r.Method) && saysNotWhence(r):
			denied(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func unsafe(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

func saysNotWhence(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == ""
}

// refuse writes a problem document (RFC 9457). Where an outer handler has set X-Request-Id, it has that too.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		Instance  string `json:"instance"`
		Code      string `json:"code"`
		RequestID string `json:"request_id,omitempty"`
	}{"/problems/" + code, http.StatusText(status), status, detail, instance(r), code, w.Header().Get("X-Request-Id")})
	if err != nil {
		panic("auth: " + err.Error()) // strings always marshal
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// instance is the path, unless it holds a sign-in link's secret.
func instance(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/sign-in/") {
		return "/sign-in/"
	}
	return r.URL.Path
}
