package graphsim

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// graphAppID is Microsoft Graph's own application, the same in every directory.
const graphAppID = "00000003-0000-0000-c000-000000000000"

type route struct {
	method string
	path   *regexp.Regexp
	serve  func(w http.ResponseWriter, r *http.Request, args []string)
}

// table lists everything the simulator answers.
func (s *Server) table() []route {
	at := func(method, path string, serve func(http.ResponseWriter, *http.Request, []string)) route {
		return route{method, regexp.MustCompile("^" + path + "$"), serve}
	}
	get := func(path, permission string, serve answerer) route {
		return at(http.MethodGet, path, s.graph(permission, serve))
	}
	return []route{
		at(http.MethodPost, `/([^/]+)/oauth2/v2\.0/token`, s.serveToken),
		at(http.MethodGet, `/([^/]+)/v2\.0/\.well-known/openid-configuration`, s.serveDiscovery),
		at(http.MethodGet, `/([^/]+)/v2\.0/adminconsent`, s.serveConsent),
		at(http.MethodPost, `/([^/]+)/v2\.0/adminconsent`, s.answerConsent),
		get(`/v1\.0/organization`, "Directory.Read.All", (*request).organization),
		get(`/v1\.0/servicePrincipals\(appId='([^']+)'\)`, "", (*request).servicePrincipal),
		get(`/v1\.0/servicePrincipals/([^/]+)/appRoleAssignments`, "Application.Read.All", (*request).appRoleAssignments),
		get(`/v1\.0/groups`, "GroupMember.Read.All", (*request).groups),
		get(`/v1\.0/groups/delta`, "GroupMember.Read.All", (*request).groupsDelta),
		get(`/v1\.0/roleManagement/directory/roleDefinitions`, "RoleManagement.Read.Directory", (*request).roleDefinitions),
		at(http.MethodPost, `/_sim/tenants/([^/]+)`, s.changeTenant),
		at(http.MethodGet, `/_sim/tenants/([^/]+)`, s.showTenant),
		at(http.MethodGet, `/_sim/effects`, s.showEffects),
		at(http.MethodPost, `/_sim/reset`, s.resetAll),
	}
}

// serveDiscovery answers what MSAL asks before it asks for a token.
func (s *Server) serveDiscovery(w http.ResponseWriter, r *http.Request, args []string) {
	if s.tenantNamed(args[0]) == nil {
		s.refuseToken(w, r, unknownTenant, "", args[0])
		return
	}
	base := baseURL(r) + "/" + args[0]
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                 base + "/v2.0",
		"authorization_endpoint": base + "/oauth2/v2.0/authorize",
		"token_endpoint":         base + "/oauth2/v2.0/token",
	})
}

// serveToken is the client credentials grant.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request, args []string) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	appID, secret := r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		appID, secret = user, password
	}
	prove := func(t *tenant) (refusal, bool) { return t.judgeSecret(secret) }
	if assertion := r.PostFormValue("client_assertion"); assertion != "" {
		prove = func(t *tenant) (refusal, bool) {
			return t.judgeAssertion(r.PostFormValue("client_assertion_type"), assertion, appID, baseURL(r)+r.URL.Path, time.Now())
		}
	}
	s.mu.Lock()
	t := s.tenants[key(args[0])]
	s.effects.count(r, key(args[0]), func(c *Counts) { c.TokenRequests++ })
	no, refused := t.judge(r.PostFormValue("grant_type"), appID, prove)
	if refused {
		s.effects.count(r, key(args[0]), func(c *Counts) { c.TokenRefusals++ })
	}
	s.mu.Unlock()
	if refused {
		s.refuseToken(w, r, no, appID, args[0])
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "access_token": s.issue(key(args[0])),
		"expires_in": int(s.cfg.TokenLifetime.Seconds()), "ext_expires_in": int(s.cfg.TokenLifetime.Seconds()),
	})
}

func (t *tenant) judgeSecret(secret string) (refusal, bool) {
	switch {
	case secret == "":
		return missingSecret, true
	case t.Secret != "" && secret != t.Secret:
		return wrongSecret, true
	}
	return refusal{}, false
}

// judge says how a sign-in ends; t is nil for an unknown tenant. prove judges what the application proves itself with.
func (t *tenant) judge(grant, appID string, prove func(*tenant) (refusal, bool)) (refusal, bool) {
	switch {
	case t == nil:
		return unknownTenant, true
	case grant != "client_credentials":
		return refusal{http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."}, true
	case appID == "" || t.AppID != "" && !strings.EqualFold(appID, t.AppID):
		return unknownApp, true
	}
	if no, refused := prove(t); refused {
		return no, refused
	}
	switch {
	case t.consented && t.spread > 0:
		t.spread--
		return noConsent, true
	case t.consented:
		return refusal{}, false
	}
	no, refused := tokenRefusals[t.Scenario]
	return no, refused
}

func (s *Server) refuseToken(w http.ResponseWriter, r *http.Request, no refusal, appID, tenantID string) {
	now := time.Now().UTC()
	trace, correlation := s.requestID(), cmp.Or(r.Header.Get("client-request-id"), s.requestID())
	text := strings.NewReplacer("{app}", appID, "{tenant}", tenantID).Replace(no.text)
	description := fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
		no.number, text, trace, correlation, now.Format("2006-01-02 15:04:05Z"))
	writeJSON(w, no.status, map[string]any{
		"error": no.err, "error_description": description, "error_codes": []int{no.number},
		"timestamp": now.Format("2006-01-02 15:04:05Z"), "trace_id": trace, "correlation_id": correlation,
		"error_uri": fmt.Sprintf("%s/error?code=%d", baseURL(r), no.number),
	})
}

// issue makes a token for the tenant and forgets expired ones.
func (s *Server) issue(tenantID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for text, t := range s.tokens {
		if now.After(t.expires) {
			delete(s.tokens, text)
		}
	}
	s.issued++
	text := "sim." + base64.RawURLEncoding.EncodeToString([]byte(id(uint64(s.issued), "token", s.issued)+"/"+tenantID))
	s.tokens[text] = token{tenantID, now.Add(s.cfg.TokenLifetime)}
	return text
}

// request is one authenticated Graph request: a snapshot of its tenant, so that answering needs no lock.
type request struct {
	*http.Request
	w      http.ResponseWriter
	sim    *Server
	tenant tenant // copy; write through sim.update
	args   []string
	rows   int // in the answer
}

type answerer func(*request)

// graph wraps an answer with what all Graph answers share: token, counting, hold, latency, scenario,
// permission.
func (s *Server) graph(permission string, answer answerer) func(http.ResponseWriter, *http.Request, []string) {
	return func(w http.ResponseWriter, r *http.Request, args []string) {
		q, ok := s.admit(w, r, args)
		if !ok {
			return
		}
		if !q.pace() {
			panic(http.ErrAbortHandler) // the client is gone, or the simulator closes: no answer at all
		}
		if q.misbehave() {
			return
		}
		if permission != "" && !slices.Contains(q.tenant.granted(), permission) {
			q.deny()
			return
		}
		answer(q)
	}
}

// admit checks the token and counts the request.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, args []string) (*request, bool) {
	w.Header().Set("request-id", s.requestID())
	if run := r.Header.Get("client-request-id"); r.Header.Get("return-client-request-id") == "true" {
		w.Header().Set("client-request-id", run)
	}
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t, ok := s.bearer(r, bearer)
	if !ok {
		graphError(w, r, http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
		return nil, false
	}
	return &request{Request: r, w: w, sim: s, tenant: t, args: args}, true
}

// bearer finds the tenant of a valid token and counts the request.
func (s *Server) bearer(r *http.Request, text string) (tenant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.tokens[text]
	t := s.tenants[held.tenant]
	if !ok || t == nil || time.Now().After(held.expires) {
		return tenant{}, false
	}
	s.effects.count(r, held.tenant, func(c *Counts) {
		c.Requests++
		if time.Now().Before(t.notBefore) {
			c.Early++
		}
		if r.Method != http.MethodGet {
			c.Writes++
		}
	})
	return *t, true
}

// pace waits as long as the tenant's hold and latency say. False when the answer is no longer wanted.
func (q *request) pace() bool {
	if q.tenant.hold != nil {
		q.update(func(t *tenant) { t.waiting++ })
		released := q.sim.await(q.Context(), q.tenant.hold)
		q.update(func(t *tenant) { t.waiting-- })
		if !released {
			return false
		}
		q.update(func(t *tenant) { q.tenant = *t }) // it may have changed meanwhile
	}
	latency := q.sim.cfg.Latency
	switch {
	case q.tenant.latency != nil:
		latency = *q.tenant.latency
	case q.tenant.Scenario == ScenarioSlow && q.listing():
		latency = q.sim.cfg.SlowLatency
	}
	return q.sim.wait(q.Context(), latency)
}

// listing tells reads of a whole collection from single objects and one-row probes.
func (q *request) listing() bool {
	path := q.URL.Path
	collection := strings.HasPrefix(path, "/v1.0/groups") || strings.HasSuffix(path, "/roleDefinitions")
	return collection && q.URL.Query().Get("$top") != "1"
}

// misbehave plays the scenarios that replace an answer. True when it answered.
func (q *request) misbehave() bool {
	switch q.tenant.Scenario {
	case ScenarioForbidden:
		q.deny()
	case ScenarioUnavailable:
		q.fail(http.StatusServiceUnavailable, "ServiceUnavailable", "The service is temporarily unavailable.")
	case ScenarioHang:
		q.sim.await(q.Context(), nil)
		panic(http.ErrAbortHandler)
	case ScenarioThrottled, ScenarioThrottledNoHeader:
		return q.throttle(q.tenant.Scenario == ScenarioThrottled)
	case ScenarioMalformed, ScenarioOversized, ScenarioRedirect:
		return q.listing() && q.spoil()
	case ScenarioLicenseMissing:
		if !strings.HasSuffix(q.URL.Path, "/roleDefinitions") {
			return false
		}
		q.fail(http.StatusForbidden, "Forbidden", "The tenant doesn't have premium license.")
	default:
		return false
	}
	return true
}

// spoil answers a listing in a way no client may accept.
func (q *request) spoil() bool {
	switch q.tenant.Scenario {
	case ScenarioRedirect:
		http.Redirect(q.w, q.Request, q.sim.cfg.HostileURL, http.StatusFound)
	case ScenarioOversized:
		q.w.Header().Set("Content-Type", "application/json")
		block := []byte(strings.Repeat(" ", 1<<16))
		for range 1 << 10 { // 64 MiB of blanks, until the client has had enough
			if _, err := q.w.Write(block); err != nil {
				break
			}
		}
	default:
		q.w.Header().Set("Content-Type", "application/json")
		_, _ = q.w.Write([]byte(`{"value":[{"id":"`))
	}
	return true
}

// throttle refuses the first addresses of a run a few times each.
func (q *request) throttle(withHeader bool) bool {
	seconds := max(1, int((q.sim.cfg.RetryAfter+time.Second-1)/time.Second))
	if !q.takeThrottle(withHeader, time.Duration(seconds)*time.Second) {
		return false
	}
	if withHeader {
		q.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	graphError(q.w, q.Request, http.StatusTooManyRequests, "TooManyRequests", "Too many requests.")
	return true
}

// takeThrottle decides whether this request is refused, and remembers it.
func (q *request) takeThrottle(withHeader bool, wait time.Duration) bool {
	s := q.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.effects.run(q.Request, key(q.tenant.ID)).throttled
	address := q.URL.String()
	if _, known := seen[address]; !known && len(seen) >= s.cfg.ThrottleAddresses || seen[address] >= s.cfg.ThrottleBurst {
		return false
	}
	seen[address]++
	s.effects.count(q.Request, key(q.tenant.ID), func(c *Counts) { c.Throttled++ })
	if t := s.tenants[key(q.tenant.ID)]; t != nil && withHeader {
		t.notBefore = time.Now().Add(wait)
	}
	return true
}

func (q *request) deny() {
	q.fail(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

func (q *request) fail(status int, code, message string) {
	q.count(func(c *Counts) { c.Failures++ })
	graphError(q.w, q.Request, status, code, message)
}

// update changes the registered tenant under the lock, if it is still there.
func (q *request) update(change func(*tenant)) {
	q.sim.mu.Lock()
	defer q.sim.mu.Unlock()
	if t := q.sim.tenants[key(q.tenant.ID)]; t != nil {
		change(t)
	}
}

func (q *request) count(change func(*Counts)) {
	q.sim.mu.Lock()
	defer q.sim.mu.Unlock()
	q.sim.effects.count(q.Request, key(q.tenant.ID), change)
}

func (s *Server) tenantNamed(name string) *tenant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenants[key(name)]
}

// requestID numbers answers in the shape of Graph's ids.
func (s *Server) requestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued++
	return id(7, "request", s.issued)
}

func baseURL(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// graphError is Graph's error envelope.
func graphError(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{
		"code": code, "message": message,
		"innerError": map[string]any{
			"date":       time.Now().UTC().Format("2006-01-02T15:04:05"),
			"request-id": w.Header().Get("request-id"), "client-request-id": r.Header.Get("client-request-id"),
		},
	}})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
