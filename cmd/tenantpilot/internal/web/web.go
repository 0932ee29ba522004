// Package web is the console: one handler per route, one view value per answer, two renderings of it (vendor JSON and HTML).
//
// A handler says what it answers and returns errors; negotiation, rendering and the wording of errors are in one place (respond.go), so
// that "not there" and "not yours" are the same bytes. Pages are made from read models only: this package cannot import the provider's
// client, and asks the gate through package commands.
package web

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/consent"
	"tenantpilot/cmd/tenantpilot/internal/web/static"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// Config is what the console is made of.
type Config struct {
	Read     projections.Reader
	Commands *commands.Handler
	Auth     *auth.Service
	Log      *slog.Logger
	Demo     bool
	Version  string
	Metrics  *prometheus.Registry
	// Changed returns a channel that is closed the next time the log grows; without it streams look every few seconds.
	Changed func() <-chan struct{}
	// Draining ends when the process begins to stop: streams end then. nil never ends.
	Draining context.Context
	// Secrets seals credentials; without it none can be set here.
	Secrets Secrets
	// Keyset says which keys seal credentials; nil when there are none. LogVerifier is the public half of the log's key, empty without one.
	Keyset      Keyset
	LogVerifier string
	// LogAlarm says in a sentence what is wrong with the log's order or its signed history, and nothing while all is well.
	LogAlarm func() string
	// Evidence makes proofs about the log; without it there are none.
	Evidence Evidence
	// Limits bound how fast one actor may ask.
	Limits Limits
	// Provider and Consents make links that ask a customer for consent, and know them again. Without them nobody can ask.
	Provider ConsentProvider
	Consents *consent.Store
	// PublicURL is where browsers reach the console, scheme and host; empty takes it from each request, with BehindTLS as https.
	PublicURL string
	BehindTLS bool
	// Ready says, by name, what is wrong; a nil error is a check that passed, and one that
	// says StillReady is only shown. It is asked at most once a second. Without it the console is ready until it is draining.
	Ready func(context.Context) map[string]error
}

// Secrets seals the credentials of connections. What is put in never comes out on this side.
type Secrets interface {
	// Put seals a credential and returns what may be known about it; expires is when a person says that it ends, zero if nobody did. It is in
	// use only when a command has recorded its fingerprint.
	Put(ctx context.Context, c domain.ProviderConnection, kind, secret string, expires time.Time) (domain.Credential, error)
}

// Keyset says which keys seal credentials, by their ids.
type Keyset interface {
	// InUse returns the id of the key that seals, and how many keys there are that open.
	InUse() (primary uint32, keys int)
}

// Server is the console.
type Server struct {
	Config
	router  *mux.Router
	metrics metrics
	// Requests, of people and of networks that nobody is known from.
	people, strangers *limiter
	streams           *tally
	patience          time.Duration
	// Tries of break-glass passwords by address and by client, and forms that were left behind.
	addresses, clients, keepers *limiter
	standing                    standing
	packing                     chan struct{} // holds one for each evidence pack that is being made
}

//go:embed openapi.yaml
var openapi []byte

// New makes the console; Handler serves it.
func New(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Changed == nil {
		c.Changed = func() <-chan struct{} { return nil }
	}
	if c.Draining == nil {
		c.Draining = context.Background()
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) map[string]error { return nil }
	}
	limits := c.Limits.withDefaults()
	s := &Server{
		Config: c, packing: make(chan struct{}, packsAtOnce),
		people: newLimiter(limits.PerSecond, limits.Burst), strangers: newLimiter(limits.StrangersPerSecond, limits.StrangersBurst),
		streams: &tally{most: limits.Streams, open: map[uuid.UUID]int{}}, patience: limits.Patience,
		addresses: newLimiter(1.0/60, 5), clients: newLimiter(1.0/20, 10), keepers: newLimiter(1.0/10, 20),
	}
	var err error
	if s.metrics, err = newMetrics(c.Metrics); err != nil {
		return nil, err
	}
	s.routes()
	return s, nil
}

// Router is the route table, for tests that walk it.
func (s *Server) Router() *mux.Router { return s.router }

func (s *Server) routes() {
	r := mux.NewRouter()
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, notFound()) })
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if session, form := wizardForm(r.URL.Path); form && r.Method == http.MethodGet && prefersHTML(r) {
			http.Redirect(w, r, session, http.StatusSeeOther) // the address of a form that was shown again, opened once more
			return
		}
		w.Header().Set("Allow", strings.Join(s.methods(r), ", "))
		s.fail(w, r, problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Detail: "This address does not answer to " + r.Method + "."})
	})
	s.router = r

	s.post(r, "/admin/t/{tenant}/provider-actions/{operation}/start", startMedia, s.startOnTenant)
	s.post(r, "/admin/provider-connections/{connection}/actions/{operation}/start", startMedia, s.startOnConnection)
	s.post(r, "/admin/t/{tenant}/directory/groups/sync", startMedia, s.syncGroups)
	s.post(r, "/admin/t/{tenant}/directory/role-definitions/sync", startMedia, s.syncRoleDefinitions)
	s.post(r, "/admin/t/{tenant}/provider-actions/{operation}/reserve", reservationMedia, s.reserve)
	s.post(r, "/admin/provider-connections/{connection}/reservations/{reservation}/cancel", "", s.cancelReservation)
	s.get(r, "/admin/start", s.chooseTenantToStart)
	s.get(r, "/admin/t/{tenant}/start", s.startForm)

	s.get(r, "/admin/operations", s.operations)
	r.HandleFunc("/admin/operations/stream", s.stream(s.operationsParts)).Methods(http.MethodGet)
	s.get(r, "/admin/operations/{run}", s.run)
	r.HandleFunc("/admin/operations/{run}/stream", s.stream(s.runParts)).Methods(http.MethodGet)
	s.post(r, "/admin/operations/{run}/cancel", runMedia, s.cancelRun)
	s.post(r, "/admin/operations/bulk", "", s.previewBulk)
	s.post(r, "/admin/operations/bulk/confirm", "", s.confirmBulk)
	s.get(r, "/admin/t/{tenant}/hold", s.holdForm)
	s.post(r, "/admin/t/{tenant}/hold", "", s.holdTenant)
	s.get(r, "/admin/t/{tenant}/release", s.releaseForm)
	s.post(r, "/admin/t/{tenant}/release", "", s.releaseTenant)
	s.post(r, "/admin/views", "", s.createView)
	s.post(r, "/admin/views/{view}", "", s.changeView)
	s.get(r, "/admin/t/{tenantExternalId}/operations", s.operations)
	r.HandleFunc("/admin/t/{tenantExternalId}/operations/stream", s.stream(s.operationsParts)).Methods(http.MethodGet)
	s.get(r, "/admin/t/{tenantExternalId}/operations/{operationRunId}", s.run)

	s.get(r, "/admin/provider-connections/{connection}/consent", s.consentPage)
	s.post(r, "/admin/provider-connections/{connection}/consent/request", consentMedia, s.requestConsent)
	s.open(r, http.MethodGet, consentCallbackPath, s.consentCallback)

	s.get(r, "/admin/readiness", s.readiness)

	s.get(r, "/admin/audit/heads", s.auditHeads)
	s.get(r, "/admin/audit/proof/inclusion", s.proveInclusion)
	s.get(r, "/admin/audit/proof/consistency", s.proveConsistency)
	s.get(r, "/admin/operations/{run}/evidence", s.runEvidence)
	s.get(r, "/admin/t/{tenantExternalId}/evidence", s.tenantEvidence)

	s.onboardingRoutes(r)
	s.connectionRoutes()
	s.directoryRoutes()

	s.get(r, "/", s.home)
	s.get(r, "/admin/tenants", s.tenants)
	s.get(r, "/admin/tenants/{tenant}", s.tenant)
	s.get(r, "/admin/tenants/{tenant}/edit", s.editTenant)
	s.post(r, "/admin/tenants/{tenant}/edit", "application/json", s.describeTenant)
	s.get(r, "/admin/notifications", s.notifications)
	s.post(r, "/admin/notifications/read", "", s.readNotifications)
	s.post(r, "/workspaces/{workspace}/choose", "", s.chooseWorkspace)

	s.get(r, "/admin/search", s.search)
	s.settingsRoutes(r)
	s.get(r, membersHref, s.members)
	s.post(r, membersHref+"/invite", "", s.inviteMember)
	s.get(r, membersHref+"/{person}/change", s.reviewMember)
	s.post(r, membersHref+"/{person}/role", "", s.changeRole)
	s.post(r, membersHref+"/{person}/scope", "", s.scopeMember)
	s.post(r, membersHref+"/{person}/remove", "", s.removeMember)
	s.post(r, membersHref+"/{person}/withdraw", "", s.withdrawInvitation)
	s.get(r, "/admin/settings/roles/change", s.reviewRole)
	s.post(r, "/admin/settings/roles", "", s.defineRole)
	s.post(r, "/admin/settings/roles/{role}/remove", "", s.removeRole)
	s.post(r, "/invitations/{workspace}/accept", "", s.acceptInvitation)
	s.post(r, "/invitations/{workspace}/decline", "", s.declineInvitation)

	s.get(r, "/admin/attempts", s.attempts)
	s.get(r, "/admin/attempts/{attempt}", s.attempt)
	s.post(r, "/admin/attempts/replay", "", s.previewReplay)
	s.post(r, "/admin/attempts/replay/{preview}/confirm", "", s.confirmReplay)
	s.get(r, "/admin/audit", s.audit)
	s.get(r, "/admin/audit/{position}", s.auditEvent)
	s.get(r, "/admin/audit/replay/{kind}/{number}", s.replay)

	s.signInRoutes(r)
	s.open(r, http.MethodGet, "/sign-in", s.signInPage)
	s.open(r, http.MethodGet, "/sign-in/{link}", s.signInPage)
	s.open(r, http.MethodPost, "/sign-in/{link}", s.signIn)
	s.open(r, http.MethodPost, "/sign-out", s.signOut)
	s.open(r, http.MethodGet, "/problems/{code}", s.problemPage)

	r.HandleFunc("/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi)
	}).Methods(http.MethodGet)
	r.PathPrefix(static.Prefix).Handler(static.Handler()).Methods(http.MethodGet).Name("static")
	s.probes(r, s.insider)
}

// methods are those that a request's address answers to.
func (s *Server) methods(r *http.Request) []string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		asked := r.Clone(r.Context())
		asked.Method = method
		var match mux.RouteMatch
		if s.router.Match(asked, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// Inside is what machines ask: metrics and probes in full, without sign-in. It belongs on an address that only they reach.
func (s *Server) Inside() http.Handler {
	r := mux.NewRouter()
	s.probes(r, func(*http.Request) bool { return true })
	return requestID(s.recover(headers(r)))
}

// headers answers HEAD as GET, of which the server sends the headers only. What streams has no end to wait for.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && !strings.HasSuffix(r.URL.Path, "/stream") {
			asked := *r
			asked.Method = http.MethodGet
			r = &asked
		}
		next.ServeHTTP(w, r)
	})
}

// Handler is the console with everything around it, outermost first.
func (s *Server) Handler() http.Handler {
	h := s.authenticate(s.router)
	h = s.Auth.Protect(h, func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, problem{Status: http.StatusForbidden, Code: "cross_origin", Detail: "This request did not come from a page of this console."})
	})
	h = limitBody(h)
	h = s.secureHeaders(h)
	h = s.recover(h)
	h = s.observe(h)
	return requestID(headers(h))
}

// authenticate finds out who asks for everything but files and probes, which are the same for everybody and must not cost a query.
func (s *Server) authenticate(next http.Handler) http.Handler {
	limited := s.limit(s.lookOnly(next))
	known := s.meet(s.Auth.Authenticate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if viewer, ok := auth.ViewerFrom(r.Context()); ok {
			r = r.WithContext(projections.WithSight(r.Context(), viewer.Actor))
		}
		limited.ServeHTTP(w, r)
	}), s.limit(http.HandlerFunc(s.badToken)).ServeHTTP))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/healthz", "/openapi.yaml":
			next.ServeHTTP(w, r)
			return
		case "/readyz":
			if !r.URL.Query().Has("verbose") {
				next.ServeHTTP(w, r)
				return
			}
		}
		if strings.HasPrefix(r.URL.Path, static.Prefix) {
			next.ServeHTTP(w, r)
			return
		}
		known.ServeHTTP(w, r)
	})
}

type requestKey struct{}

// requestID takes the caller's X-Request-ID if it is a UUID, else draws one; answers, problems and the log carry it.
func requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.Header.Get("X-Request-ID"))
		if err != nil {
			id = uuid.New()
		}
		w.Header().Set("X-Request-ID", id.String())
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, id.String())))
	})
}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// contentPolicy allows nothing but our own files: no inline script or style, no other host, no framing.
const contentPolicy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func (s *Server) secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !strings.HasPrefix(r.URL.Path, static.Prefix) {
			h.Set("Cache-Control", "no-store")
		}
		if r.TLS != nil || s.BehindTLS {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// maxBody is the most that a request may send.
const maxBody = 1 << 20

func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

func (s *Server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // a sentinel that is panicked with, never wrapped
					panic(p)
				}
				s.Log.Error("handler panicked", "panic", p, "request_id", requestIDOf(r.Context()), "stack", string(debug.Stack()))
				s.fail(w, r, problem{Status: http.StatusInternalServerError, Code: "internal_error"})
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// recorder remembers the status of an answer, lets streams flush, and gives the reader so long for each part of it: whoever reads nothing
// does not keep a connection.
type recorder struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	status   int
}

// partSize is what the reader gets its time for: about 2 KB a second with the default.
const partSize = 64 << 10

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.wait()
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (n int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for {
		w.wait()
		k, err := w.ResponseWriter.Write(b[n:min(n+partSize, len(b))])
		if n += k; err != nil || n == len(b) {
			return n, err
		}
	}
}

// wait gives the reader time from now on.
func (w *recorder) wait() { _ = w.control.SetWriteDeadline(time.Now().Add(w.patience)) }

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe counts and logs each request once, by route, without queries or bodies; probes and files are not logged.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w, control: http.NewResponseController(w), patience: s.patience}
		rec.wait()
		next.ServeHTTP(rec, r)
		route := "other"
		var match mux.RouteMatch
		if s.router.Match(r, &match) && match.Route != nil {
			if t, err := match.Route.GetPathTemplate(); err == nil {
				route = t
			}
		}
		method := r.Method
		if method != http.MethodGet && method != http.MethodPost && method != http.MethodPut {
			method = "other" // a caller may call it anything
		}
		s.metrics.requests.WithLabelValues(route, method, strconv.Itoa(rec.status)).Inc()
		if !strings.HasSuffix(route, "/stream") { // which lasts as long as a page is open
			s.metrics.latency.WithLabelValues(route).Observe(time.Since(began).Seconds())
		}
		if strings.HasPrefix(r.URL.Path, "/admin") || rec.status >= http.StatusInternalServerError {
			s.Log.Info("request", "method", r.Method, "route", route, "status", rec.status, "ms", time.Since(began).Milliseconds(),
				"request_id", requestIDOf(r.Context()))
		}
	})
}

type metrics struct {
	starts   *prometheus.CounterVec
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	streams  prometheus.Gauge
}

func newMetrics(registry *prometheus.Registry) (metrics, error) {
	m := metrics{
		starts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tenantpilot_starts_total", Help: "Start attempts by outcome, operation and reason.",
		}, []string{"outcome", "operation", "reason"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tenantpilot_http_requests_total", Help: "Requests by route, method and status.",
		}, []string{"route", "method", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tenantpilot_http_request_seconds", Help: "Time to answer by route.", Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 10),
		}, []string{"route"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tenantpilot_sse_clients", Help: "Open event streams."}),
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.starts, m.requests, m.latency, m.streams} {
		if err := registry.Register(c); err != nil {
			return m, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
