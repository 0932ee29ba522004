package graphsim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// Counts is what a tenant or a run caused. Early counts requests that came before a Retry-After instant
// had passed; a client that waits as asked leaves it at 0.
type Counts struct {
	TokenRequests int `json:"tokenRequests"`
	TokenRefusals int `json:"tokenRefusals"`
	Requests      int `json:"requests"` // Graph requests with a valid token
	Pages         int `json:"pages"`    // successful answers
	Rows          int `json:"rows"`
	Writes        int `json:"writes"`
	Throttled     int `json:"throttled"`
	Early         int `json:"early"`
	Failures      int `json:"failures"` // refused or failed answers other than throttling
}

// RunCounts is what one run caused in one tenant.
type RunCounts struct {
	Tenant string `json:"tenant"`
	Counts
}

// Effects is the answer of GET /_sim/effects. Runs are keyed by client-request-id.
type Effects struct {
	Tenants map[string]Counts    `json:"tenants"`
	Runs    map[string]RunCounts `json:"runs"`
}

// maxRuns bounds what is remembered of runs; the oldest are forgotten first.
const maxRuns = 5000

// effects are the live counters. Guarded by Server.mu.
type effects struct {
	tenants map[string]*Counts
	runs    map[string]*runState
	order   []string
}

type runState struct {
	RunCounts
	throttled map[string]int // by address
}

func newEffects() effects {
	return effects{tenants: map[string]*Counts{}, runs: map[string]*runState{}}
}

func (e *effects) count(r *http.Request, tenantID string, change func(*Counts)) {
	if e.tenants[tenantID] == nil {
		if len(e.tenants) >= maxRuns {
			return // made-up tenants must not fill memory
		}
		e.tenants[tenantID] = &Counts{}
	}
	change(e.tenants[tenantID])
	if r.Header.Get("client-request-id") != "" {
		change(&e.run(r, tenantID).Counts)
	}
}

// run finds or makes the counters of the request's run. A request without one counts as run "".
func (e *effects) run(r *http.Request, tenantID string) *runState {
	name := r.Header.Get("client-request-id")
	if e.runs[name] == nil {
		if len(e.order) >= maxRuns {
			delete(e.runs, e.order[0])
			e.order = e.order[1:]
		}
		e.order = append(e.order, name)
		e.runs[name] = &runState{RunCounts: RunCounts{Tenant: tenantID}, throttled: map[string]int{}}
	}
	return e.runs[name]
}

// Effects reads the counters, as GET /_sim/effects does.
func (s *Server) Effects() Effects {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Effects{Tenants: map[string]Counts{}, Runs: map[string]RunCounts{}}
	for name, c := range s.effects.tenants {
		out.Tenants[name] = *c
	}
	for name, c := range s.effects.runs {
		out.Runs[name] = c.RunCounts
	}
	return out
}

func (s *Server) showEffects(w http.ResponseWriter, _ *http.Request, _ []string) {
	writeJSON(w, http.StatusOK, s.Effects())
}

// change is the body of POST /_sim/tenants/{id}; an absent field leaves things as they are.
type change struct {
	Scenario        *string   `json:"scenario"`
	Hold            *bool     `json:"hold"`
	LatencyMs       *int      `json:"latencyMs"` // of every Graph answer; null or absent: the scenario's
	Groups          *int      `json:"groups"`
	RoleDefinitions *int      `json:"roleDefinitions"`
	Permissions     *[]string `json:"permissions"`
	Consent         bool      `json:"consent"` // an administrator accepts, as on the consent page
	RevokeTokens    bool      `json:"revokeTokens"`
}

// view is what the tenant endpoints answer.
type view struct {
	ID              string   `json:"id"`
	Name            string   `json:"name"`
	Scenario        string   `json:"scenario"`
	Hold            bool     `json:"hold"`
	Waiting         int      `json:"waiting"` // answers held back at present
	LatencyMs       *int64   `json:"latencyMs"`
	Groups          int      `json:"groups"`
	RoleDefinitions int      `json:"roleDefinitions"`
	Permissions     []string `json:"permissions"`
	Counts          Counts   `json:"effects"`
}

func (s *Server) showTenant(w http.ResponseWriter, _ *http.Request, args []string) {
	s.mu.Lock()
	v, ok := s.view(args[0])
	s.mu.Unlock()
	if !ok {
		problem(w, http.StatusNotFound, "There is no such tenant.", nil)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// view must be called with the lock held.
func (s *Server) view(name string) (view, bool) {
	t := s.tenants[key(name)]
	if t == nil {
		return view{}, false
	}
	v := view{
		ID: t.ID, Name: t.Name, Scenario: t.Scenario, Hold: t.hold != nil, Waiting: t.waiting,
		Groups: t.Groups, RoleDefinitions: t.RoleDefinitions, Permissions: t.granted(),
	}
	if t.latency != nil {
		ms := t.latency.Milliseconds()
		v.LatencyMs = &ms
	}
	if c := s.effects.tenants[key(name)]; c != nil {
		v.Counts = *c
	}
	return v, true
}

func (s *Server) changeTenant(w http.ResponseWriter, r *http.Request, args []string) {
	var in change
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		problem(w, http.StatusBadRequest, "The body is not a JSON object of known fields: scenario, hold, latencyMs, groups, roleDefinitions, permissions, consent, revokeTokens.", nil)
		return
	}
	if _, err := d.Token(); err != io.EOF {
		problem(w, http.StatusBadRequest, "The body has more than one JSON value.", nil)
		return
	}
	if detail, extra := in.check(); detail != "" {
		problem(w, http.StatusBadRequest, detail, extra)
		return
	}
	if in.RevokeTokens {
		s.RevokeTokens(args[0])
	}
	s.mu.Lock()
	if t := s.tenants[key(args[0])]; t != nil {
		in.apply(t, s.cfg.ConsentSpread)
	}
	v, ok := s.view(args[0])
	s.mu.Unlock()
	if !ok {
		problem(w, http.StatusNotFound, "There is no such tenant.", nil)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// check answers what is wrong, or an empty detail.
func (c change) check() (detail string, extra map[string]any) {
	if c.Scenario != nil && !slices.Contains(Scenarios(), *c.Scenario) {
		return fmt.Sprintf("The scenario %q is not known.", *c.Scenario), map[string]any{"knownScenarios": Scenarios()}
	}
	for _, field := range []struct {
		name  string
		value *int
		limit int
	}{{"latencyMs", c.LatencyMs, 600_000}, {"groups", c.Groups, 200_000}, {"roleDefinitions", c.RoleDefinitions, 10_000}} {
		if field.value != nil && (*field.value < 0 || *field.value > field.limit) {
			return fmt.Sprintf("The field %s must be between 0 and %d.", field.name, field.limit), nil
		}
	}
	return "", nil
}

// apply changes the tenant. Other groups make saved delta links worthless, so they expire.
func (c change) apply(t *tenant, spread int) {
	if c.Scenario != nil {
		t.Scenario = *c.Scenario
	}
	if c.Consent {
		t.accept(spread)
	}
	if c.LatencyMs != nil {
		latency := time.Duration(*c.LatencyMs) * time.Millisecond
		t.latency = &latency
	}
	if c.Groups != nil && *c.Groups != t.Groups {
		t.Groups, t.generation = *c.Groups, 0
		t.epoch++
	}
	if c.RoleDefinitions != nil {
		t.RoleDefinitions = *c.RoleDefinitions
	}
	if c.Permissions != nil {
		t.Permissions = *c.Permissions
	}
	switch {
	case c.Hold == nil:
	case !*c.Hold:
		t.release()
	case t.hold == nil:
		t.hold = make(chan time.Time)
	}
}

// Hold holds back every Graph answer of the tenant until Release; unknown tenants are ignored.
func (s *Server) Hold(tenantID string) { s.setHold(tenantID, true) }

// Release lets held answers go.
func (s *Server) Release(tenantID string) { s.setHold(tenantID, false) }

func (s *Server) setHold(tenantID string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenants[key(tenantID)]; t != nil {
		change{Hold: &on}.apply(t, 0)
	}
}

// resetAll brings every tenant back to how it was registered, releases holds and clears the counters.
func (s *Server) resetAll(w http.ResponseWriter, _ *http.Request, _ []string) {
	s.Reset()
	w.WriteHeader(http.StatusNoContent)
}

// Reset does what POST /_sim/reset does. Tokens stay valid.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenants {
		t.reset()
	}
	s.effects = newEffects()
}

// problem is an RFC 9457 answer of the control endpoints.
func problem(w http.ResponseWriter, status int, detail string, extra map[string]any) {
	body := map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail}
	for k, v := range extra {
		body[k] = v
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
