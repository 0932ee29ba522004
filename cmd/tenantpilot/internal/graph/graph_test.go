package graph

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/domain"
)

const (
	tenantID = "a1b2c3d4-0000-4000-8000-000000000001"
	appID    = "a1b2c3d4-0000-4000-8000-00000000aaaa"
	secret   = "CANARY~secret.value/1234+abcd"
	name     = "CANARY Contoso Ltd"
	run      = "7d1f0a52-1111-4222-8333-abcdefabcdef"
)

// jumpClock is a clock whose waits pass at once; it notes them.
type jumpClock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func newJumpClock() *jumpClock { return &jumpClock{now: time.Now()} }

func (c *jumpClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *jumpClock) Sleep(ctx context.Context, until time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slept = append(c.slept, until.Sub(c.now))
	if until.After(c.now) {
		c.now = until
	}
	return ctx.Err()
}

// watched fails the test when a request leaves the contract table or invites a resend, and notes paths.
type watched struct {
	t    *testing.T
	next http.RoundTripper

	mu   sync.Mutex
	seen map[string]bool // contract names
	hook func(*http.Request)
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Idempotency-Key") != "" || r.Header.Get("X-Idempotency-Key") != "" {
		w.t.Errorf("%s %s carries an idempotency key", r.Method, r.URL.Path)
	}
	if w.hook != nil {
		w.hook(r)
	}
	names := contractsOf(r)
	signIn := strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") || strings.HasSuffix(r.URL.Path, "/openid-configuration")
	if len(names) == 0 && !signIn {
		w.t.Errorf("%s %s is in no contract", r.Method, r.URL)
	}
	w.mu.Lock()
	for _, n := range names {
		w.seen[n] = true
	}
	w.mu.Unlock()
	return w.next.RoundTrip(r)
}

// contractsOf finds the contracts whose method, path and fixed query a request has.
func contractsOf(r *http.Request) []string {
	var names []string
	for _, c := range Contracts() {
		pattern := regexp.MustCompile(`\\\{[a-zA-Z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(c.Path), `[^/]+`)
		match, _ := regexp.MatchString("^"+pattern+"$", r.URL.Path)
		follows := strings.Contains(r.URL.RawQuery, "skiptoken") || strings.Contains(r.URL.RawQuery, "deltatoken")
		if match && r.Method == c.Method && (r.URL.RawQuery == c.Query || follows && c.Paging != PagingNone) {
			names = append(names, c.Name)
		}
	}
	return names
}

// bench is a client, a simulator and what lies between.
type bench struct {
	*Client
	sim  *graphsim.Server
	url  string
	wire *watched
	conn Connection
}

func quick() graphsim.Config {
	return graphsim.Config{SlowLatency: time.Millisecond, RetryAfter: 5 * time.Second, PageSize: 50}
}

func setup(t *testing.T, sim graphsim.Config, tenant graphsim.Tenant, cfg Config) *bench {
	t.Helper()
	server := graphsim.New(sim)
	tenant.ID, tenant.Name, tenant.AppID, tenant.Secret = tenantID, name, appID, secret
	server.AddTenant(tenant)
	url, err := server.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	wire := &watched{t: t, next: transport, seen: map[string]bool{}}
	cfg.LoginURL, cfg.GraphURL, cfg.Transport = url, url, wire
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{client, server, url, wire, connection()}
}

func connection() Connection {
	return Connection{EntraTenantID: tenantID, AppID: appID, Credential: NewSecret(secret), CredentialVersion: "1"}
}

func scenario(t *testing.T, scenario string, cfg Config) *bench {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = newJumpClock()
	}
	return setup(t, quick(), graphsim.Tenant{Scenario: scenario, Seed: 7}, cfg)
}

// readGroups collects a sync the way a worker does.
func readGroups(b *bench, call Call, link string) (rows map[string]string, newLink string, full bool, err error) {
	rows = map[string]string{}
	newLink, full, err = b.Groups(context.Background(), b.conn, call, link, func(p GroupPage) error {
		if p.Restart {
			clear(rows)
		}
		for _, g := range p.Groups {
			rows[g.ID] = g.DisplayName
		}
		for _, gone := range p.Removed {
			rows[gone] = ""
		}
		return nil
	})
	return rows, newLink, full, err
}

func wantError(t *testing.T, err error, code domain.ReasonCode) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a *graph.Error with %s", err, code)
	}
	if e.Code != code {
		t.Fatalf("got %v, want code %s", e, code)
	}
	return e
}

func TestGroupsReadsAllThenChanges(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	call := Call{RunID: run}
	rows, link, full, err := readGroups(b, call, "")
	if err != nil || !full || len(rows) != 240 || link == "" {
		t.Fatalf("first round: %d rows, full %v, link %q, err %v; want 240 rows, full, a link", len(rows), full, link, err)
	}
	changes, next, full, err := readGroups(b, call, link)
	if err != nil || full || next == link || next == "" {
		t.Fatalf("second round: full %v, link %q, err %v; want changes and another link", full, next, err)
	}
	removed, renamed, added := 0, 0, 0
	for id, name := range changes {
		switch old, known := rows[id]; {
		case name == "":
			removed++
		case !known:
			added++
		case old != name:
			renamed++
		}
	}
	if removed != 1 || renamed != 2 || added != 1 {
		t.Errorf("got %d removed, %d renamed, %d added; want 1, 2, 1", removed, renamed, added)
	}
	for id, name := range changes {
		if rows[id] = name; name == "" {
			delete(rows, id)
		}
	}
	listed := map[string]string{}
	err = b.ListGroups(t.Context(), b.conn, call, func(p GroupPage) error {
		for _, g := range p.Groups {
			listed[g.ID] = g.DisplayName
		}
		return nil
	})
	if err != nil || fmt.Sprint(listed) != fmt.Sprint(rows) {
		t.Errorf("full list and accumulated changes differ: %d and %d rows, err %v", len(listed), len(rows), err)
	}
}

func TestGroupsIsDeterministic(t *testing.T) {
	t.Parallel()
	one, _, _, err := readGroups(scenario(t, "healthy", Config{}), Call{}, "")
	if err != nil {
		t.Fatal(err)
	}
	two, _, _, err := readGroups(scenario(t, "slow", Config{}), Call{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(one) != fmt.Sprint(two) {
		t.Error("the same seed gave other groups")
	}
}

func TestGroupsRestartsInFullWhenTheLinkExpired(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	_, link, _, err := readGroups(b, Call{}, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, old := range map[string]string{
		"expired": link, "of another endpoint": "https://graph.microsoft.com/v1.0/groups/delta?$deltatoken=x",
	} {
		b.control(t, `{"scenario":"delta_expired"}`, http.StatusOK)
		restarts := 0
		newLink, full, err := b.Groups(t.Context(), b.conn, Call{}, old, func(p GroupPage) error {
			if p.Restart {
				restarts++
			}
			if !p.Full {
				t.Errorf("%s: page %d is not marked full", name, p.Number)
			}
			return nil
		})
		if err != nil || !full || restarts != 1 || newLink == "" {
			t.Errorf("%s: full %v, restarts %d, link %q, err %v; want a full read announced once", name, full, restarts, newLink, err)
		}
	}
}

func TestGroupsStopsAtTheCallersError(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	full := errors.New("disk full")
	pages := 0
	link, _, err := b.Groups(t.Context(), b.conn, Call{}, "", func(GroupPage) error {
		pages++
		return full
	})
	if !errors.Is(err, full) || link != "" || pages != 1 {
		t.Errorf("got link %q, %d pages, err %v; want none, 1, the caller's error", link, pages, err)
	}
}

func TestRoleDefinitions(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	var roles []RoleDefinition
	last := 0
	err := b.RoleDefinitions(t.Context(), b.conn, Call{RunID: run}, func(p RoleDefinitionPage) error {
		roles = append(roles, p.Roles...)
		if p.Last {
			last++
		}
		return nil
	})
	if err != nil || len(roles) != 60 || last != 1 {
		t.Fatalf("got %d roles, last page %d times, err %v; want 60 and once", len(roles), last, err)
	}
	builtIn := slices.IndexFunc(roles, func(r RoleDefinition) bool { return r.DisplayName == "Global Administrator" && r.BuiltIn })
	if builtIn < 0 || len(roles[builtIn].RolePermissions) == 0 {
		t.Error("no built-in Global Administrator with permissions")
	}
}

func wanted() CheckOptions {
	return CheckOptions{
		Call:   Call{RunID: run, Granted: graphsim.DefaultPermissions()},
		Wanted: []string{permGroupMember, permRoleDefinitions, "DeviceManagementConfiguration.Read.All"},
	}
}

// TestCheckConnectionByScenario is the table of what a check finds, over real HTTP.
func TestCheckConnectionByScenario(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scenario string
		granted  bool // consent is recorded as granted
		state    CheckState
		reason   domain.ReasonCode
	}{
		{"healthy", true, CheckHealthy, ""},
		{"disabled", true, CheckHealthy, ""},
		{"no_connection", true, CheckHealthy, ""},
		{"slow", true, CheckHealthy, ""},
		{"throttled", true, CheckHealthy, ""},
		{"throttled_no_header", true, CheckHealthy, ""},
		{"delta_expired", true, CheckHealthy, ""},
		{"forbidden", true, CheckBlocked, "provider_permission_denied"},
		{"expired_secret", true, CheckBlocked, "provider_credential_expired"},
		{"credential_expired", true, CheckBlocked, "provider_credential_expired"},
		{"wrong_secret", true, CheckBlocked, "provider_credential_invalid"},
		{"no_consent", false, CheckBlocked, "provider_consent_missing"},
		{"consent_required", false, CheckBlocked, "provider_consent_missing"},
		{"consent_revoked", true, CheckBlocked, "provider_consent_revoked"},
		{"app_not_installed", false, CheckBlocked, "provider_app_not_installed"},
		{"app_disabled", true, CheckBlocked, "provider_app_disabled"},
		{"verification_blocked", true, CheckBlocked, "provider_blocked_by_tenant_policy"},
		{"permission_missing", true, CheckDegraded, "provider_permission_missing"},
		{"license_missing", true, CheckDegraded, "provider_license_missing"},
		{"other_directory", true, CheckBlocked, "tenant_target_mismatch"},
		{"unavailable", true, CheckError, "provider_unavailable"},
		{"hang", true, CheckError, "provider_unreachable"},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			t.Parallel()
			cfg := Config{}
			if c.scenario == "hang" {
				cfg.Limits.RequestTimeout = 50 * time.Millisecond
			}
			b := scenario(t, c.scenario, cfg)
			b.conn.ConsentGranted = c.granted
			got, err := b.CheckConnection(t.Context(), b.conn, wanted())
			if err != nil {
				t.Fatal(err)
			}
			if got.State != c.state || got.Reason != c.reason {
				t.Errorf("got %s %q (%v), want %s %q", got.State, got.Reason, got.Failure, c.state, c.reason)
			}
		})
	}
}

func TestCheckConnectionReportsEvidence(t *testing.T) {
	t.Parallel()
	b := scenario(t, "permission_missing", Config{})
	got, err := b.CheckConnection(t.Context(), b.conn, wanted())
	if err != nil {
		t.Fatal(err)
	}
	if got.TenantID != tenantID || got.TenantName != name || got.ServicePrincipalID == "" || !got.GrantsReadable {
		t.Errorf("identity: %+v", got)
	}
	if !slices.Equal(got.Missing, []string{permGroupMember}) || len(got.Refused) != 0 {
		t.Errorf("missing %v, refused %v; want only %s missing", got.Missing, got.Refused, permGroupMember)
	}
	want := slices.DeleteFunc(graphsim.DefaultPermissions(), func(p string) bool { return p == permGroupMember })
	if !slices.Equal(got.Granted, want) {
		t.Errorf("granted %v, want %v (grants of other APIs left out)", got.Granted, want)
	}
	outcomes := map[string]ProbeOutcome{}
	for _, p := range got.Probes {
		outcomes[p.Permission] = p.Outcome
	}
	if outcomes[permGroupMember] != ProbeMissing || outcomes[permRoleDefinitions] != ProbeOK ||
		outcomes["DeviceManagementConfiguration.Read.All"] != ProbeNotProbed {
		t.Errorf("probes: %v", outcomes)
	}
	if got.ClockSkew.Abs() > 5*time.Second {
		t.Errorf("clock skew %v against the same machine", got.ClockSkew)
	}
}

func TestCheckConnectionOfUnknownTenantOrWrongSecret(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	for _, c := range []struct {
		name   string
		change func(*Connection)
		want   domain.ReasonCode
	}{
		{"unknown tenant", func(c *Connection) { c.EntraTenantID = "a1b2c3d4-0000-4000-8000-00000000ffff" }, "provider_tenant_not_found"},
		{"common is no tenant", func(c *Connection) { c.EntraTenantID = "common" }, "provider_tenant_not_found"},
		{"path in a tenant id", func(c *Connection) { c.EntraTenantID = "../" + tenantID }, "provider_tenant_not_found"},
		{"other app", func(c *Connection) { c.AppID = "a1b2c3d4-0000-4000-8000-00000000bbbb" }, "provider_app_not_installed"},
		{"other secret", func(c *Connection) { c.Credential = NewSecret("other") }, "provider_credential_invalid"},
		{"no secret", func(c *Connection) { c.Credential = Secret{} }, "provider_credential_missing"},
		{"unknown cloud", func(c *Connection) { c.Cloud = "moon" }, "provider_wrong_cloud"},
	} {
		conn := b.conn
		c.change(&conn)
		got, err := b.CheckConnection(t.Context(), conn, wanted())
		if err != nil || got.State != CheckBlocked || got.Reason != c.want {
			t.Errorf("%s: got %s %q, err %v; want blocked %q", c.name, got.State, got.Reason, err, c.want)
		}
	}
}

// TestSyncByScenario is what the two syncs answer where they cannot succeed.
func TestSyncByScenario(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scenario string
		call     Call
		want     domain.ReasonCode
	}{
		{"forbidden", Call{}, "provider_permission_missing"},
		{"forbidden", Call{Granted: []string{permGroupMember}}, "provider_permission_denied"},
		{"permission_missing", Call{}, "provider_permission_missing"},
		{"malformed", Call{}, "provider_response_invalid"},
		{"oversized", Call{}, "provider_response_invalid"},
		{"hostile_nextlink", Call{}, "provider_response_invalid"},
		{"redirect", Call{}, "provider_response_invalid"},
		{"unavailable", Call{}, "provider_unavailable"},
		{"expired_secret", Call{}, "provider_credential_expired"},
		{"verification_blocked", Call{}, "provider_blocked_by_tenant_policy"},
	} {
		t.Run(c.scenario+strings.Join(c.call.Granted, ""), func(t *testing.T) {
			t.Parallel()
			var hostile atomic.Int64
			trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hostile.Add(1) }))
			t.Cleanup(trap.Close)
			sim := quick()
			sim.HostileURL = trap.URL + "/v1.0/groups/delta?$skiptoken=x"
			b := setup(t, sim, graphsim.Tenant{Scenario: c.scenario}, Config{
				Clock: newJumpClock(), Limits: Limits{ResponseBytes: 256 << 10},
			})
			_, link, _, err := readGroups(b, c.call, "")
			wantError(t, err, c.want)
			if link != "" {
				t.Errorf("got delta link %q with an error", link)
			}
			if hostile.Load() != 0 {
				t.Errorf("%d requests went to the hostile host", hostile.Load())
			}
		})
	}
}

func TestServiceFailuresAreTriedFiveTimes(t *testing.T) {
	t.Parallel()
	clock := newJumpClock()
	b := scenario(t, "unavailable", Config{Clock: clock})
	var told []domain.ReasonCode
	_, _, _, err := readGroups(b, Call{RunID: run, OnWait: func(_ time.Time, why domain.ReasonCode) { told = append(told, why) }}, "")
	e := wantError(t, err, domain.ReasonProviderUnavailable)
	if !e.Transient || e.Status != http.StatusServiceUnavailable || e.RequestID == "" {
		t.Errorf("got %+v, want a transient 503 with its request id", e)
	}
	if got := b.sim.Effects().Runs[run].Requests; got != maxTries {
		t.Errorf("%d requests, want %d", got, maxTries)
	}
	if len(told) != maxTries-1 || told[0] != domain.ReasonProviderUnavailable {
		t.Errorf("announced waits %v, want %d", told, maxTries-1)
	}
}

func TestThrottlingIsWaitedOutExactly(t *testing.T) {
	t.Parallel()
	sim := quick()
	sim.RetryAfter, sim.ThrottleBurst, sim.ThrottleAddresses = time.Second, 1, 1
	b := setup(t, sim, graphsim.Tenant{Scenario: "throttled"}, Config{}) // real clock
	var until time.Time
	begun := time.Now()
	rows, _, _, err := readGroups(b, Call{RunID: run, OnWait: func(u time.Time, why domain.ReasonCode) {
		if until = u; why != domain.ReasonProviderRateLimited {
			t.Errorf("wait announced as %s", why)
		}
	}}, "")
	took := time.Since(begun)
	if err != nil || len(rows) != 240 {
		t.Fatalf("%d rows, err %v", len(rows), err)
	}
	c := b.sim.Effects().Runs[run]
	if c.Throttled != 1 || c.Early != 0 {
		t.Errorf("throttled %d times, %d requests too early; want 1 and 0", c.Throttled, c.Early)
	}
	if took < time.Second || took > 4*time.Second || until.Sub(begun) < time.Second {
		t.Errorf("took %v, announced %v after the start; want one second's wait", took, until.Sub(begun))
	}
}

func TestThrottlingWithoutHeaderBacksOff(t *testing.T) {
	t.Parallel()
	clock := newJumpClock()
	b := scenario(t, "throttled_no_header", Config{Clock: clock, Jitter: func() float64 { return 0.5 }})
	if _, _, _, err := readGroups(b, Call{}, ""); err != nil {
		t.Fatal(err)
	}
	if len(clock.slept) != 6 || clock.slept[0].Round(time.Millisecond) != time.Second || clock.slept[1].Round(time.Millisecond) != 2*time.Second {
		t.Errorf("waits %v; want six, growing from half of 2 s", clock.slept)
	}
}

func TestThrottleBeyondTheBudgetEndsTheCallAtOnce(t *testing.T) {
	t.Parallel()
	clock := newJumpClock()
	b := scenario(t, "throttled", Config{Clock: clock})
	begun := clock.Now()
	_, _, _, err := readGroups(b, Call{WaitBudget: 4 * time.Second}, "")
	e := wantError(t, err, domain.ReasonProviderRateLimited)
	if !e.Transient || e.RetryAt.Before(begun.Add(5*time.Second)) {
		t.Errorf("got %+v, want transient with RetryAt 5 s on", e)
	}
	if len(clock.slept) != 0 {
		t.Errorf("slept %v for nothing", clock.slept)
	}
}

func TestThrottleGateHoldsBackTheTenantAndNobodyElse(t *testing.T) {
	t.Parallel()
	clock := newJumpClock()
	b := scenario(t, "healthy", Config{Clock: clock})
	other := connection()
	other.EntraTenantID = "a1b2c3d4-0000-4000-8000-000000000002"
	b.sim.AddTenant(graphsim.Tenant{ID: other.EntraTenantID, Name: "Fabrikam"})
	until := clock.Now().Add(90 * time.Second)
	b.gate.close(throttleKey{tenantID, string(WorkloadDirectory)}, until)

	none := func(RoleDefinitionPage) error { return nil }
	if err := b.RoleDefinitions(t.Context(), other, Call{}, none); err != nil || len(clock.slept) != 0 {
		t.Fatalf("the other tenant waited %v, err %v", clock.slept, err)
	}
	var told time.Time
	if err := b.RoleDefinitions(t.Context(), b.conn, Call{OnWait: func(u time.Time, _ domain.ReasonCode) { told = u }}, none); err != nil {
		t.Fatal(err)
	}
	if !told.Equal(until) || clock.Now().Before(until) {
		t.Errorf("announced %v and went on at %v, want %v", told, clock.Now(), until)
	}
}

func TestOneTokenForParallelCalls(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := b.RoleDefinitions(context.Background(), b.conn, Call{}, func(RoleDefinitionPage) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := b.sim.Effects().Tenants[tenantID].TokenRequests; got != 1 {
		t.Errorf("%d token requests, want 1", got)
	}
	b.Forget(b.conn)
	rotated := b.conn
	rotated.CredentialVersion = "2"
	for range 2 {
		for _, conn := range []Connection{b.conn, rotated} {
			if err := b.RoleDefinitions(t.Context(), conn, Call{}, func(RoleDefinitionPage) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := b.sim.Effects().Tenants[tenantID].TokenRequests; got != 3 {
		t.Errorf("%d token requests after Forget and a rotation, want 3", got)
	}
}

func TestCancelledFetchDoesNotFailThoseWhoWait(t *testing.T) {
	t.Parallel()
	clock := newJumpClock()
	b := scenario(t, "healthy", Config{Clock: clock})
	entered, gone := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.wire.hook = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			once.Do(func() {
				close(entered)
				<-r.Context().Done()
				close(gone)
			})
		}
	}
	leader, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	call := func(ctx context.Context) {
		results <- b.RoleDefinitions(ctx, b.conn, Call{}, func(RoleDefinitionPage) error { return nil })
	}
	go call(leader)
	<-entered
	go call(t.Context())
	time.Sleep(50 * time.Millisecond) // let it join the wait; if it is later, the test only proves less
	cancel()
	<-gone
	one, two := <-results, <-results
	if one == nil {
		one, two = two, one
	}
	if !errors.Is(one, context.Canceled) || two != nil {
		t.Errorf("got %v and %v, want the leader cancelled and the other well", one, two)
	}
	if len(clock.slept) != 0 {
		t.Errorf("the other backed off %v as if the provider had failed", clock.slept)
	}
}

func TestRevokedTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	if _, _, _, err := readGroups(b, Call{}, ""); err != nil {
		t.Fatal(err)
	}
	b.sim.RevokeTokens(tenantID)
	if _, _, _, err := readGroups(b, Call{}, ""); err != nil {
		t.Errorf("after a revoked token: %v", err)
	}
	if got := b.sim.Effects().Tenants[tenantID].TokenRequests; got != 2 {
		t.Errorf("%d token requests, want 2", got)
	}
	b.wire.hook = func(*http.Request) { b.sim.RevokeTokens(tenantID) } // every token is dead on arrival
	_, _, _, err := readGroups(b, Call{}, "")
	if e := wantError(t, err, domain.ReasonProviderAuthFailed); e.Status != http.StatusUnauthorized {
		t.Errorf("got %v, want the second 401", e)
	}
}

func TestWaitsEndWithTheContext(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"hang", "throttled", "unavailable"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := scenario(t, name, Config{Clock: systemClock{}, Limits: Limits{Backoff: time.Hour, BackoffCap: time.Hour, WaitBudget: 10 * time.Hour}})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begun := time.Now()
			_, _, err := b.Groups(ctx, b.conn, Call{}, "", func(GroupPage) error { return nil })
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 2*time.Second {
				t.Errorf("got %v after %v, want the deadline at once", err, time.Since(begun))
			}
			if _, err := b.CheckConnection(ctx, b.conn, wanted()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("check: got %v, want the deadline", err)
			}
		})
	}
}

func TestListingIsBounded(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{Limits: Limits{Pages: 3}})
	_, _, _, err := readGroups(b, Call{}, "")
	wantError(t, err, domain.ReasonProviderResponseInvalid)
	if got := b.sim.Effects().Tenants[tenantID].Pages; got != 3 {
		t.Errorf("%d pages read, want 3", got)
	}
}

// TestEveryKindOfCredentialSignsIn is each kind over TLS, as with Microsoft, and over plain HTTP, as with the simulator: a key stays here, the
// provider gets an assertion. What it does not accept ends with the reason of its answer.
func TestEveryKindOfCredentialSignsIn(t *testing.T) {
	t.Parallel()
	good, trusted := newCertificate(t)
	other, _ := newCertificate(t)
	file := func(text string) Secret {
		name := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return NewTokenFile(name)
	}
	assertion := graphsim.NewAssertion("workload", time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		credential Secret
		want       domain.ReasonCode
		detail     string
	}{
		"secret":                         {NewSecret(secret), "", ""},
		"another secret":                 {NewSecret("x"), "provider_credential_invalid", ""},
		"certificate":                    {NewSecret(good), "", ""},
		"a certificate that is unknown":  {NewSecret(other), "provider_credential_invalid", ""},
		"a certificate without its key":  {NewSecret(good[:strings.Index(good, "-----BEGIN PRIVATE")]), "provider_app_misconfigured", "credential cannot be used"},
		"token file":                     {file(assertion + "\n"), "", ""},
		"the token of somebody else":     {file(graphsim.NewAssertion("other", time.Now().Add(time.Hour))), "provider_credential_invalid", ""},
		"a token that has expired":       {file(graphsim.NewAssertion("workload", time.Now().Add(-time.Hour))), "platform_clock_skew", ""},
		"what is no token":               {file(secret), "provider_auth_failed", ""},
		"an empty token file":            {file(" "), "provider_credential_missing", "the federated token file has no token"},
		"a token file that is not there": {NewTokenFile("/nowhere/token"), "provider_credential_missing", "the federated token file has no token"},
		"no token file":                  {NewTokenFile(""), "provider_credential_missing", "nothing to sign in with"},
	} {
		for _, serve := range map[string]func(http.Handler) *httptest.Server{"TLS": httptest.NewTLSServer, "plain": httptest.NewServer} {
			sim := graphsim.New(quick())
			sim.AddTenant(graphsim.Tenant{ID: tenantID, Name: "x", AppID: appID, Secret: secret, Certificate: trusted, Subject: "workload"})
			server := serve(sim)
			var sent strings.Builder
			wire := &watched{t: t, next: server.Client().Transport, seen: map[string]bool{}, hook: func(r *http.Request) {
				var body bytes.Buffer
				if r.Body != nil {
					if _, err := body.ReadFrom(r.Body); err != nil {
						t.Error(err)
					}
					r.Body = io.NopCloser(&body)
				}
				sent.WriteString(body.String())
			}}
			client, err := NewClient(Config{LoginURL: server.URL, GraphURL: server.URL, Transport: wire, Clock: newJumpClock()})
			if err != nil {
				t.Fatal(err)
			}
			conn := connection()
			conn.Credential = c.credential
			got, err := client.CheckConnection(t.Context(), conn, wanted())
			server.Close()
			sim.Close()
			if err != nil || got.Reason != c.want {
				t.Errorf("%s at %s: %s %q (%v), err %v; want %q", name, server.URL, got.State, got.Reason, got.Failure, err, c.want)
			}
			if c.detail != "" && (got.Failure == nil || got.Failure.Diagnostics["detail"] != c.detail) {
				t.Errorf("%s at %s: failed with %v, want the detail %q", name, server.URL, got.Failure, c.detail)
			}
			if strings.Contains(sent.String(), "PRIVATE") || strings.HasPrefix(c.credential.value, "---") && strings.Contains(sent.String(), "client_secret") {
				t.Errorf("%s at %s: a key was sent", name, server.URL)
			}
			if shown := fmt.Sprintf("%+v %v %v", got, got.Failure, conn); strings.Contains(shown, assertion[:40]) || strings.Contains(shown, "PRIVATE") {
				t.Errorf("%s is shown: %s", name, shown)
			}
		}
	}
}

// TestTheTokenFileIsReadAtEachSignIn: the platform replaces it, and a run may be longer than its token is good.
func TestTheTokenFileIsReadAtEachSignIn(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	name := filepath.Join(t.TempDir(), "token")
	b.conn.Credential = NewTokenFile(name)
	for i, want := range []domain.ReasonCode{"", "platform_clock_skew", ""} {
		until := time.Now().Add(time.Hour)
		if want != "" {
			until = time.Now().Add(-time.Hour)
		}
		if err := os.WriteFile(name, []byte(graphsim.NewAssertion("workload", until)), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := b.CheckConnection(t.Context(), b.conn, wanted()); err != nil || got.Reason != want {
			t.Errorf("sign-in %d: %q, %v; want %q", i+1, got.Reason, err, want)
		}
	}
}

func newCertificate(t *testing.T) (withKey string, trusted *x509.Certificate) {
	t.Helper()
	withKey, trusted, err := graphsim.NewCertificate(time.Now().Add(48 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return withKey, trusted
}

// TestAzidentityPath runs the production credential against the simulator over TLS.
func TestAzidentityPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scenario string
		want     domain.ReasonCode
	}{
		{"healthy", ""},
		{"expired_secret", "provider_credential_expired"},
		{"consent_required", "provider_consent_missing"},
		{"app_not_installed", "provider_app_not_installed"},
		{"verification_blocked", "provider_blocked_by_tenant_policy"},
		{"unknown", "provider_tenant_not_found"},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			t.Parallel()
			sim := graphsim.New(quick())
			tenant := graphsim.Tenant{ID: tenantID, Name: name, AppID: appID, Secret: secret, Scenario: c.scenario}
			conn := connection()
			if c.scenario == "unknown" {
				tenant.Scenario, conn.EntraTenantID = "healthy", "a1b2c3d4-0000-4000-8000-00000000ffff"
			}
			sim.AddTenant(tenant)
			server := httptest.NewTLSServer(sim)
			t.Cleanup(server.Close)
			t.Cleanup(sim.Close)
			client, err := NewClient(Config{
				LoginURL: server.URL, GraphURL: server.URL,
				Transport: &watched{t: t, next: server.Client().Transport, seen: map[string]bool{}},
				Clock:     newJumpClock(),
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := client.CheckConnection(t.Context(), conn, wanted())
			if err != nil || got.Reason != c.want {
				t.Fatalf("got %s %q (%v), err %v; want %q", got.State, got.Reason, got.Failure, err, c.want)
			}
			if c.want != "" && got.Failure.Diagnostics["correlation_id"] == "" {
				t.Errorf("no correlation id in %v", got.Failure.Diagnostics)
			}
		})
	}
}

func TestUnreachableProvider(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	client, err := NewClient(Config{LoginURL: gone.URL, GraphURL: gone.URL, Clock: newJumpClock()})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.Groups(t.Context(), connection(), Call{}, "", func(GroupPage) error { return nil })
	e := wantError(t, err, domain.ReasonProviderUnreachable)
	if !e.Transient || e.Diagnostics["network"] != "connect" {
		t.Errorf("got %+v, want a transient connect failure", e)
	}
}

func TestNewClientRefusesPlainHTTPElsewhere(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"http://graph.microsoft.com", "http://10.0.0.1:80", "ftp://127.0.0.1", "https://", "https://h/path", "https://u:p@h"} {
		if _, err := NewClient(Config{GraphURL: u}); err == nil {
			t.Errorf("accepted %q", u)
		}
	}
	for _, u := range []string{"", "https://graph.microsoft.us", "http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:1"} {
		if _, err := NewClient(Config{GraphURL: u}); err != nil {
			t.Errorf("refused %q: %v", u, err)
		}
	}
}

// TestWritesAreNeverResent sends a write into a connection that breaks after the request was read: on a
// kept-alive connection Go's transport resends such a request by itself if it has an idempotency key.
func TestWritesAreNeverResent(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	var posts atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"value":[]}`)
			return
		}
		posts.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	b.graph = server.URL
	b.Client.transport = http.DefaultTransport.(*http.Transport).Clone()
	o := b.operation(b.conn, Call{RunID: run})
	var empty page[struct{}]
	if err := o.get(t.Context(), contractGroups, nil, &empty); err != nil { // leaves a connection behind
		t.Fatal(err)
	}
	req, err := runtime.NewRequest(t.Context(), http.MethodPost, server.URL+"/v1.0/x")
	if err != nil {
		t.Fatal(err)
	}
	req.Raw().Header.Set("Idempotency-Key", "1")
	if err := runtime.MarshalAsJSON(req, map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	req.SetOperationValue(step{o, Contract{Name: "write", Method: http.MethodPost, Workload: WorkloadDirectory}})
	_, err = b.pipeline(server.URL).Do(req)
	if e := wantError(t, err, domain.ReasonProviderWriteUnconfirmed); e.Transient {
		t.Error("an unconfirmed write is offered for a retry")
	}
	if posts.Load() != 1 {
		t.Errorf("the write was sent %d times, want once", posts.Load())
	}
}

func TestEveryContractIsExercised(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	if _, err := b.CheckConnection(t.Context(), b.conn, wanted()); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := readGroups(b, Call{}, ""); err != nil {
		t.Fatal(err)
	}
	if err := b.ListGroups(t.Context(), b.conn, Call{}, func(GroupPage) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := b.RoleDefinitions(t.Context(), b.conn, Call{}, func(RoleDefinitionPage) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, c := range Contracts() {
		if !b.wire.seen[c.Name] {
			t.Errorf("contract %s was not requested", c.Name)
		}
	}
}

// TestPathsAreOnlyInTheContractTable reads the source: no other file may name a Graph path.
func TestPathsAreOnlyInTheContractTable(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("files %v, err %v", files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "contracts.go" {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && (strings.Contains(lit.Value, "/v1.0") || strings.Contains(lit.Value, "/beta")) {
				t.Errorf("%s names the path %s", file, lit.Value)
			}
			return true
		})
	}
}

// TestNoSecretLeavesThePackage looks for the secret, the token and Microsoft's texts in everything that
// a caller can print, in every scenario.
func TestNoSecretLeavesThePackage(t *testing.T) {
	t.Parallel()
	for _, name := range graphsim.Scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := scenario(t, name, Config{Limits: Limits{RequestTimeout: 2 * time.Second, ResponseBytes: 256 << 10}})
			if name == "hang" {
				b.limits.RequestTimeout = 30 * time.Millisecond
			}
			var out bytes.Buffer
			log := slog.New(slog.NewJSONHandler(&out, nil))
			show := func(v any) {
				fmt.Fprintf(&out, "%v %+v %#v %s %q %x\n", v, v, v, v, v, v)
				if raw, err := json.Marshal(v); err == nil {
					out.Write(raw)
				}
				log.Info("x", "v", v)
			}
			result, err := b.CheckConnection(t.Context(), b.conn, wanted())
			if err != nil {
				t.Fatal(err)
			}
			result.TenantName = "" // the one text of the tenant that is meant to be shown
			_, _, _, syncErr := readGroups(b, Call{}, "")
			show(b.conn)
			show(b.conn.Credential)
			show(result)
			if result.Failure != nil {
				show(*result.Failure)
			}
			show(syncErr)
			assertClean(t, out.String())
		})
	}
}

func assertClean(t *testing.T, out string) {
	t.Helper()
	hexed := fmt.Sprintf("%x", secret)
	for _, canary := range []string{secret, hexed, "CANARY", "sim.", "AADSTS", "Insufficient privileges", "Trace ID", "eyJ"} {
		if i := strings.Index(out, canary); i >= 0 {
			t.Errorf("%q shows in ...%s...", canary, out[max(0, i-80):min(len(out), i+80)])
		}
	}
	if !strings.Contains(out, redacted) {
		t.Error("nothing was printed")
	}
}

func TestHoldAndReleaseOverHTTP(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	b.control(t, `{"hold":true}`, http.StatusOK)
	done := make(chan error, 1)
	go func() {
		_, _, _, err := readGroups(b, Call{RunID: run}, "")
		done <- err
	}()
	for b.state(t)["waiting"] != float64(1) {
		time.Sleep(2 * time.Millisecond)
	}
	if c := b.sim.Effects().Runs[run]; c.Pages != 0 || c.Requests != 1 {
		t.Errorf("while held: %+v, want one request and no answer", c)
	}
	b.control(t, `{"hold":false}`, http.StatusOK)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := b.sim.Effects().Runs[run]; c.Pages != 5 || c.Rows != 240 || c.Tenant != tenantID || c.Writes != 0 {
		t.Errorf("afterwards: %+v, want 5 pages and 240 rows of the tenant, nothing written", c)
	}
}

// control posts to the tenant's control endpoint.
func (b *bench) control(t *testing.T, body string, want int) map[string]any {
	t.Helper()
	resp, err := http.Post(b.url+"/_sim/tenants/"+tenantID, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, resp, want)
}

func (b *bench) state(t *testing.T) map[string]any {
	t.Helper()
	resp, err := http.Get(b.url + "/_sim/tenants/" + tenantID)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, resp, http.StatusOK)
}

func decode(t *testing.T, resp *http.Response, want int) map[string]any {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != want {
		t.Fatalf("status %d, want %d; body %v, err %v", resp.StatusCode, want, out, err)
	}
	return out
}

// TestCloudsHaveTheirOwnEndpoints lets every request die on the wire and looks where it was going.
func TestCloudsHaveTheirOwnEndpoints(t *testing.T) {
	t.Parallel()
	for cloud, want := range map[Cloud][2]string{
		"":          {"login.microsoftonline.com", "https://graph.microsoft.com"},
		CloudGlobal: {"login.microsoftonline.com", "https://graph.microsoft.com"},
		CloudUSGov:  {"login.microsoftonline.us", "https://graph.microsoft.us"},
		CloudDoD:    {"login.microsoftonline.us", "https://dod-graph.microsoft.us"},
		CloudChina:  {"login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"},
	} {
		var hosts []string
		client, err := NewClient(Config{Clock: newJumpClock(), Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			hosts = append(hosts, r.URL.Scheme+"://"+r.URL.Host)
			return nil, errors.New("no network in tests")
		})})
		if err != nil {
			t.Fatal(err)
		}
		conn := connection()
		conn.Cloud = cloud
		_, _, err = client.Groups(t.Context(), conn, Call{}, "", func(GroupPage) error { return nil })
		wantError(t, err, domain.ReasonProviderUnreachable)
		slices.Sort(hosts)
		if got := slices.Compact(hosts); !slices.Equal(got, []string{"https://" + want[0]}) {
			t.Errorf("cloud %q signs in at %v, want %s", cloud, got, want[0])
		}
		if got := client.graphRoot(cloud); got != want[1] {
			t.Errorf("cloud %q calls %s, want %s", cloud, got, want[1])
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestCredentialStaysOnTheLoginHost plays a sign-in service whose discovery names another token endpoint.
func TestCredentialStaysOnTheLoginHost(t *testing.T) {
	t.Parallel()
	client, err := NewClient(Config{Clock: newJumpClock(), Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != "login.microsoftonline.com" || r.Method != http.MethodGet {
			t.Errorf("%s %s left the login host", r.Method, r.URL)
		}
		base := "https://login.microsoftonline.com/" + tenantID
		body := fmt.Sprintf(`{"issuer":"%s/v2.0","authorization_endpoint":"%s/a","token_endpoint":"https://evil.example/token"}`, base, base)
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.Groups(t.Context(), connection(), Call{}, "", func(GroupPage) error { return nil })
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *graph.Error", err)
	}
	assertClean(t, fmt.Sprintf("%+v %v", *e, NewSecret("x")))
}

// TestUnusableAnswers serves answers that are JSON and still no answer.
func TestUnusableAnswers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no rows array":       `{}`,
		"rows are null":       `{"value":null}`,
		"no delta link":       `{"value":[]}`,
		"page links to self":  `{"value":[],"@odata.nextLink":"SELF"}`,
		"row without an id":   `{"value":[{"displayName":"x"}],"@odata.deltaLink":"SELF"}`,
		"hostile delta link":  `{"value":[],"@odata.deltaLink":"https://evil.example/v1.0/groups/delta"}`,
		"an array":            `[]`,
		"wrong type of field": `{"value":[{"id":7}],"@odata.deltaLink":"SELF"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := scenario(t, "healthy", Config{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, strings.ReplaceAll(body, "SELF", "http://"+r.Host+r.URL.String()))
			}))
			t.Cleanup(server.Close)
			b.graph = server.URL
			_, link, _, err := readGroups(b, Call{}, "")
			wantError(t, err, domain.ReasonProviderResponseInvalid)
			if link != "" {
				t.Errorf("got link %q", link)
			}
		})
	}
}

func TestHalfAnswersAndResetsAreTriedAgain(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch served.Add(1) {
		case 1:
			w.Header().Set("Content-Length", "500")
			_, _ = io.WriteString(w, `{"value":[`)
			panic(http.ErrAbortHandler)
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			w.WriteHeader(http.StatusBadGateway)
		default:
			_, _ = io.WriteString(w, `{"value":[],"@odata.deltaLink":"http://`+r.Host+`/v1.0/groups/delta?$deltatoken=x"}`)
		}
	}))
	t.Cleanup(server.Close)
	b.graph = server.URL
	if _, link, _, err := readGroups(b, Call{}, ""); err != nil || link == "" || served.Load() != 4 {
		t.Errorf("link %q after %d answers, err %v; want success at the fourth", link, served.Load(), err)
	}
}

func TestCheckFindsADisabledApplication(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]domain.ReasonCode{
		`{"id":"s","accountEnabled":false}`:                                                  "provider_app_disabled",
		`{"id":"s","disabledByMicrosoftStatus":"DisabledDueToViolationOfServicesAgreement"}`: "provider_app_disabled",
		`{}`: "provider_response_invalid",
		``:   "provider_app_not_installed", // answered as 404
	} {
		b := scenario(t, "healthy", Config{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/organization"):
				_, _ = io.WriteString(w, `{"value":[{"id":"`+tenantID+`","displayName":"x"}]}`)
			case body == "":
				w.WriteHeader(http.StatusNotFound)
			default:
				_, _ = io.WriteString(w, body)
			}
		}))
		b.graph = server.URL
		got, err := b.CheckConnection(t.Context(), b.conn, wanted())
		server.Close()
		if err != nil || got.Reason != want {
			t.Errorf("%s: got %q, err %v; want %q", body, got.Reason, err, want)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := NewSecret(secret)
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{s.String(), s.GoString(), string(text), fmt.Sprintf("%d %s %v %#v %x", s, s, s, s, s)} {
		if !strings.Contains(got, redacted) || strings.Contains(got, "CANARY") {
			t.Errorf("printed %q", got)
		}
	}
}

func TestPriorityIsSentOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	for _, want := range []Priority{PriorityNormal, PriorityHigh, PriorityLow} {
		b := scenario(t, "healthy", Config{})
		b.wire.hook = func(r *http.Request) {
			if got := r.Header.Get("x-ms-throttle-priority"); len(contractsOf(r)) > 0 && got != string(want) {
				t.Errorf("priority %q, want %q", got, want)
			}
			if got := r.Header.Get("client-request-id"); got != run {
				t.Errorf("client-request-id %q on %s", got, r.URL.Path)
			}
		}
		if _, _, _, err := readGroups(b, Call{RunID: run, Priority: want}, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedirectsAreRefusedEvenOnTheSameHost(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	var followed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1.0/groups/delta" {
			followed.Add(1)
		}
		http.Redirect(w, r, "/v1.0/groups", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	b.graph = server.URL
	_, _, _, err := readGroups(b, Call{}, "")
	if e := wantError(t, err, domain.ReasonProviderResponseInvalid); e.Status != http.StatusTemporaryRedirect || followed.Load() != 0 {
		t.Errorf("got %v after following %d redirects, want the 307 itself", e, followed.Load())
	}
}

func TestAnswerAtTheSizeLimit(t *testing.T) {
	t.Parallel()
	const limit = 4096
	for size, fits := range map[int]bool{limit: true, limit + 1: false, 10 * limit: false} {
		b := scenario(t, "healthy", Config{Limits: Limits{ResponseBytes: limit}})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := `{"value":[],"@odata.deltaLink":"http://` + r.Host + `/v1.0/groups/delta?$deltatoken=x"}`
			_, _ = io.WriteString(w, body+strings.Repeat(" ", size-len(body)))
		}))
		b.graph = server.URL
		_, _, _, err := readGroups(b, Call{}, "")
		server.Close()
		if fits && err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if !fits && !strings.Contains(fmt.Sprint(err), "exceeds the size limit") {
			t.Errorf("%d bytes: got %v, want the size limit", size, err)
		}
	}
}

func TestCheckSignsInAfresh(t *testing.T) {
	t.Parallel()
	b := scenario(t, "healthy", Config{})
	if got, err := b.CheckConnection(t.Context(), b.conn, wanted()); err != nil || got.State != CheckHealthy {
		t.Fatalf("got %s, err %v", got.State, err)
	}
	b.control(t, `{"scenario":"expired_secret"}`, http.StatusOK)
	if got, err := b.CheckConnection(t.Context(), b.conn, wanted()); err != nil || got.Reason != domain.ReasonProviderCredentialExpired {
		t.Errorf("got %s %q, err %v; a cached token hid the expired secret", got.State, got.Reason, err)
	}
}

func TestWaitsOfOneCallAddUpToItsBudget(t *testing.T) {
	t.Parallel()
	clock := newJumpClock() // the storm asks for six waits of 5 s
	b := scenario(t, "throttled", Config{Clock: clock})
	_, _, _, err := readGroups(b, Call{WaitBudget: 12 * time.Second}, "")
	wantError(t, err, domain.ReasonProviderRateLimited)
	if len(clock.slept) != 2 {
		t.Errorf("slept %v, want two waits inside 12 s", clock.slept)
	}
}
