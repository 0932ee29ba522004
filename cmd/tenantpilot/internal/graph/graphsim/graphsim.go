// Package graphsim is a deterministic Microsoft Graph over real HTTP, for demo, tests and training: the
// sign-in endpoint, the directory reads that TenantPilot makes, and the ways in which both go wrong.
//
// The same tenant with the same seed always has the same groups, roles and changes. Each tenant plays a
// scenario, which can be changed while it runs, and can be held: every Graph answer then waits until the
// hold is released, so that a test decides when a run ends. What each run read and wrote is counted by
// the client-request-id header, which our client fills with the run's id.
//
// Everything lives in memory. The control endpoints below /_sim have no sign-in of their own: Start
// listens on loopback only, and the handler must not be reachable from elsewhere.
package graphsim

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config sets the simulator's pace. The zero value is right for a demo; tests shorten it.
type Config struct {
	// PageSize is the number of rows of a page when the request names none; default 100, as Graph's.
	PageSize int

	// Latency delays every Graph answer of tenants that set none themselves; default none.
	Latency time.Duration

	// SlowPages and SlowLatency are the pace of the scenario "slow": every listing has at least so many
	// pages, each this late; default 25 pages of 900 ms, 22 seconds together.
	SlowPages   int
	SlowLatency time.Duration

	// RetryAfter is what throttled answers ask for, in whole seconds; default 5 s. ThrottleBurst is how
	// often one address is refused before it answers, ThrottleAddresses for how many addresses of a run;
	// default 2 and 3.
	RetryAfter        time.Duration
	ThrottleBurst     int
	ThrottleAddresses int

	// ConsentSpread is how many sign-ins do not see a fresh consent yet in the scenario "consent_spreading"; default 2.
	ConsentSpread int

	// TokenLifetime is how long access tokens are good; default 75 minutes, Microsoft's average.
	TokenLifetime time.Duration

	// HostileURL is where the scenario "hostile_nextlink" tries to lead the client.
	HostileURL string
}

func (c Config) withDefaults() Config {
	setInt := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	setTime := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	setInt(&c.PageSize, 100)
	setInt(&c.SlowPages, 25)
	setTime(&c.SlowLatency, 900*time.Millisecond)
	setTime(&c.RetryAfter, 5*time.Second)
	setInt(&c.ThrottleBurst, 2)
	setInt(&c.ThrottleAddresses, 3)
	setInt(&c.ConsentSpread, 2)
	setTime(&c.TokenLifetime, 75*time.Minute)
	if c.HostileURL == "" {
		c.HostileURL = "https://graph.microsoft.com.attacker.example/v1.0/groups/delta?$skiptoken=x"
	}
	return c
}

// Tenant is a directory to simulate.
type Tenant struct {
	ID   string // directory id, a GUID
	Name string

	// AppID and Secret are what signs in. An empty one accepts anything that is not empty.
	AppID, Secret string

	// Certificate is what the assertions of the application are signed with, Subject the workload identity that it trusts; the zero value takes
	// any.
	Certificate *x509.Certificate
	Subject     string

	Scenario string // default "healthy"

	// Groups and RoleDefinitions are how many rows there are; default 240 and 60. Negative means none.
	Groups, RoleDefinitions int

	// Permissions are granted to the application; default DefaultPermissions.
	Permissions []string

	Seed uint64
}

// DefaultPermissions are the application permissions of every read operation.
func DefaultPermissions() []string {
	return []string{
		"Application.Read.All", "DeviceManagementConfiguration.Read.All", "DeviceManagementManagedDevices.Read.All",
		"DeviceManagementServiceConfig.Read.All", "Directory.Read.All", "GroupMember.Read.All", "Policy.Read.All",
		"RoleManagement.Read.Directory",
	}
}

// Server simulates any number of tenants; it is an http.Handler and safe for concurrent use.
type Server struct {
	cfg    Config
	routes []route
	done   chan struct{} // closed by Close: ends every wait
	once   sync.Once

	mu      sync.Mutex // guards all below
	tenants map[string]*tenant
	tokens  map[string]token
	issued  int
	effects effects

	serving  sync.WaitGroup
	listener *http.Server
}

// token is an access token's meaning; the text itself says nothing.
type token struct {
	tenant  string
	expires time.Time
}

// New makes a simulator without tenants.
func New(cfg Config) *Server {
	s := &Server{
		cfg:     cfg.withDefaults(),
		done:    make(chan struct{}),
		tenants: map[string]*tenant{},
		tokens:  map[string]token{},
		effects: newEffects(),
	}
	s.routes = s.table()
	return s
}

// AddTenant registers a tenant, or replaces the one of the same id. It panics on a tenant that could
// not be simulated: that is a mistake in the calling program.
func (s *Server) AddTenant(t Tenant) {
	if t.Scenario == "" {
		t.Scenario = ScenarioHealthy
	}
	if t.ID == "" || !slices.Contains(Scenarios(), t.Scenario) {
		panic(fmt.Sprintf("graphsim: tenant %q with scenario %q", t.ID, t.Scenario))
	}
	if t.Groups == 0 {
		t.Groups = 240
	}
	if t.RoleDefinitions == 0 {
		t.RoleDefinitions = 60
	}
	if t.Permissions == nil {
		t.Permissions = DefaultPermissions()
	}
	t.Groups, t.RoleDefinitions = max(t.Groups, 0), max(t.RoleDefinitions, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.tenants[key(t.ID)]; old != nil {
		old.release()
	}
	s.tenants[key(t.ID)] = &tenant{registered: t, Tenant: t}
}

// RevokeTokens makes every token of the tenant invalid, as a change of consent may.
func (s *Server) RevokeTokens(tenantID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text, t := range s.tokens {
		if t.tenant == key(tenantID) {
			delete(s.tokens, text)
		}
	}
}

// Start listens on addr, or on a free loopback port when addr is empty, and returns the base URL. It
// refuses addresses that are not loopback. A simulator is started once.
func (s *Server) Start(addr string) (baseURL string, err error) {
	if s.listener != nil {
		return "", errors.New("graphsim: already started")
	}
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("graphsim: address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("graphsim: address %q is not loopback", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("graphsim: %w", err)
	}
	s.listener = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	s.serving.Go(func() { _ = s.listener.Serve(l) }) // ends with Close
	return "http://" + l.Addr().String(), nil
}

// Close ends every waiting answer and, after Start, stops serving and waits for it. It may be called
// more than once.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.done)
		if s.listener != nil {
			_ = s.listener.Close()
		}
	})
	s.serving.Wait()
}

// ServeHTTP routes a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, rt := range s.routes {
		if rt.method != r.Method {
			continue
		}
		if m := rt.path.FindStringSubmatch(r.URL.Path); m != nil {
			rt.serve(w, r, m[1:])
			return
		}
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/_sim"):
		problem(w, http.StatusNotFound, "There is no such control endpoint.", nil)
	default:
		graphError(w, r, http.StatusBadRequest, "BadRequest", "Resource not found for the segment.")
	}
}

// wait pauses for d. False when the request or the simulator ended first; the answer is then dropped.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	return s.await(ctx, timer.C)
}

// await waits for a channel. False when the request or the simulator ended first.
func (s *Server) await(ctx context.Context, c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	case <-s.done:
		return false
	}
}

// key makes directory ids comparable.
func key(id string) string { return strings.ToLower(id) }
