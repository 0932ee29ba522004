package graphsim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	contoso  = "0c0c0c0c-0000-4000-8000-000000000001"
	fabrikam = "0c0c0c0c-0000-4000-8000-000000000002"
)

type bench struct {
	*Server
	t   *testing.T
	url string
}

func start(t *testing.T, cfg Config, tenants ...Tenant) bench {
	t.Helper()
	s := New(cfg)
	for _, tenant := range tenants {
		s.AddTenant(tenant)
	}
	base, err := s.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return bench{s, t, base}
}

// do sends a request and answers status, header and decoded body; a transport failure is returned.
func (b bench) do(ctx context.Context, method, path, token, run string, body io.Reader) (int, http.Header, map[string]any, error) {
	b.t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = b.url + path
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Close = true // leave no idle connection to hide a broken one
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if run != "" {
		req.Header.Set("client-request-id", run)
		req.Header.Set("return-client-request-id", "true")
	}
	if _, form := body.(*strings.Reader); form && strings.HasSuffix(path, "/token") {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&out) // not every answer is meant to be JSON
	return resp.StatusCode, resp.Header, out, nil
}

func (b bench) get(path, token string) (int, map[string]any) {
	b.t.Helper()
	status, _, body, err := b.do(b.t.Context(), http.MethodGet, path, token, "run-1", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return status, body
}

func (b bench) post(path, body string) (int, map[string]any) {
	b.t.Helper()
	status, _, out, err := b.do(b.t.Context(), http.MethodPost, path, "", "", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	return status, out
}

func (b bench) signIn(tenant, app, secret string) (int, map[string]any) {
	b.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {app}, "client_secret": {secret}, "scope": {"x/.default"}}
	return b.post("/"+tenant+"/oauth2/v2.0/token", form.Encode())
}

func (b bench) token(tenant string) string {
	b.t.Helper()
	status, body := b.signIn(tenant, "app", "secret")
	text, _ := body["access_token"].(string)
	if status != http.StatusOK || text == "" {
		b.t.Fatalf("sign-in: %d %v", status, body)
	}
	return text
}

// walk follows nextLinks and answers the number of pages, the ids and the delta link.
func (b bench) walk(path, token string) (pages int, ids []string, deltaLink string) {
	b.t.Helper()
	for path != "" {
		status, body := b.get(path, token)
		if status != http.StatusOK {
			b.t.Fatalf("%s: %d %v", path, status, body)
		}
		pages++
		for _, row := range body["value"].([]any) {
			ids = append(ids, row.(map[string]any)["id"].(string))
		}
		path, _ = body["@odata.nextLink"].(string)
		deltaLink, _ = body["@odata.deltaLink"].(string)
	}
	return pages, ids, deltaLink
}

func TestSignInRefusals(t *testing.T) {
	t.Parallel()
	b := start(t, Config{}, Tenant{ID: contoso, Name: "Contoso", AppID: "app", Secret: "right"})
	for _, c := range []struct {
		name, tenant, app, secret string
		status                    int
		err                       string
		number                    float64
	}{
		{"unknown tenant", fabrikam, "app", "right", 400, "invalid_tenant", 90002},
		{"unknown app", contoso, "other", "right", 400, "unauthorized_client", 700016},
		{"wrong secret", contoso, "app", "wrong", 401, "invalid_client", 7000215},
		{"no secret", contoso, "app", "", 400, "invalid_request", 900144},
	} {
		status, body := b.signIn(c.tenant, c.app, c.secret)
		codes, _ := body["error_codes"].([]any)
		if status != c.status || body["error"] != c.err || len(codes) != 1 || codes[0] != c.number {
			t.Errorf("%s: got %d %v", c.name, status, body)
		}
		for _, field := range []string{"error_description", "trace_id", "correlation_id", "timestamp", "error_uri"} {
			if body[field] == "" || body[field] == nil {
				t.Errorf("%s: no %s", c.name, field)
			}
		}
	}
	if status, body := b.signIn(strings.ToUpper(contoso), "app", "right"); status != http.StatusOK || body["token_type"] != "Bearer" {
		t.Errorf("right credentials: %d %v", status, body)
	}
}

func TestTokensBelongToOneTenantAndEnd(t *testing.T) {
	t.Parallel()
	b := start(t, Config{TokenLifetime: 150 * time.Millisecond}, Tenant{ID: contoso, Name: "Contoso"}, Tenant{ID: fabrikam, Name: "Fabrikam"})
	one, two := b.token(contoso), b.token(fabrikam)
	for token, want := range map[string]string{one: contoso, two: fabrikam} {
		_, body := b.get("/v1.0/organization", token)
		if got := body["value"].([]any)[0].(map[string]any)["id"]; got != want {
			t.Errorf("organization: got %v, want %s", got, want)
		}
	}
	time.Sleep(200 * time.Millisecond)
	for _, token := range []string{one, "", "sim.made-up"} {
		status, body := b.get("/v1.0/organization", token)
		if code := body["error"].(map[string]any)["code"]; status != http.StatusUnauthorized || code != "InvalidAuthenticationToken" {
			t.Errorf("token %q: got %d %v", token, status, body)
		}
	}
}

func TestListingsPageAndAgree(t *testing.T) {
	t.Parallel()
	b := start(t, Config{PageSize: 100}, Tenant{ID: contoso, Name: "Contoso", Groups: 251, Seed: 3})
	token := b.token(contoso)
	for path, want := range map[string]int{"/v1.0/groups?$top=999": 1, "/v1.0/groups": 3, "/v1.0/groups?$top=50": 6, "/v1.0/groups/delta": 3} {
		pages, ids, _ := b.walk(path, token)
		slices.Sort(ids)
		if pages != want || len(slices.Compact(ids)) != 251 {
			t.Errorf("%s: %d pages with %d ids, want %d and 251", path, pages, len(ids), want)
		}
	}
	for _, path := range []string{"/v1.0/groups?$top=1000", "/v1.0/groups?$top=0", "/v1.0/groups?$skiptoken=zzz", "/v1.0/users"} {
		if status, _ := b.get(path, token); status != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400", path, status)
		}
	}
}

func TestDeltaRoundsAndExpiry(t *testing.T) {
	t.Parallel()
	b := start(t, Config{PageSize: 2}, Tenant{ID: contoso, Name: "Contoso", Groups: 20, Seed: 3})
	token := b.token(contoso)
	_, _, link := b.walk("/v1.0/groups/delta", token)
	pages, ids, next := b.walk(link, token)
	if pages != 2 || len(ids) != 4 || next == "" {
		t.Errorf("one round later: %d pages, %d rows, want 2 and 4", pages, len(ids))
	}
	if _, again, _ := b.walk(link, token); !slices.Equal(again, ids) {
		t.Errorf("an old link replayed gave %v, want %v", again, ids)
	}
	if status, _ := b.post("/_sim/tenants/"+contoso, `{"groups": 30}`); status != http.StatusOK {
		t.Fatalf("change: %d", status)
	}
	status, header, body, err := b.do(t.Context(), http.MethodGet, next, token, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if code := body["error"].(map[string]any)["code"]; status != http.StatusGone || code != "syncStateNotFound" || header.Get("Location") == "" {
		t.Errorf("link of the old directory: %d %v, Location %q", status, body, header.Get("Location"))
	}
	if _, ids, _ := b.walk("/v1.0/groups/delta", token); len(ids) != 30 {
		t.Errorf("full round: %d rows, want 30", len(ids))
	}
}

func TestSlowListingsLastTwentySeconds(t *testing.T) {
	t.Parallel()
	pace := Config{}.withDefaults()
	for _, rows := range []int{-1, 1, 24, 240, 3000} {
		b := start(t, Config{SlowLatency: time.Millisecond}, Tenant{ID: contoso, Name: "Contoso", Groups: rows, RoleDefinitions: rows, Scenario: "slow"})
		token := b.token(contoso)
		_, _, link := b.walk("/v1.0/groups/delta", token)
		for _, path := range []string{"/v1.0/groups/delta", link, "/v1.0/groups?$top=999", "/v1.0/roleManagement/directory/roleDefinitions"} {
			pages, _, _ := b.walk(path, token)
			if lasts := time.Duration(pages) * pace.SlowLatency; lasts < 20*time.Second {
				t.Errorf("%d rows, %s: %d pages last %v at the default pace, want 20 s", rows, path, pages, lasts)
			}
		}
	}
}

func TestControlEndpointsValidate(t *testing.T) {
	t.Parallel()
	b := start(t, Config{}, Tenant{ID: contoso, Name: "Contoso"})
	for _, c := range []struct {
		name, body string
		want       int
	}{
		{"unknown scenario", `{"scenario":"sunny"}`, 400},
		{"unknown field", `{"secnario":"slow"}`, 400},
		{"not JSON", `scenario=slow`, 400},
		{"two values", `{} {}`, 400},
		{"negative latency", `{"latencyMs":-1}`, 400},
		{"too many groups", `{"groups":2000000}`, 400},
		{"wrong type", `{"hold":"yes"}`, 400},
		{"nothing to change", `{}`, 200},
	} {
		status, body := b.post("/_sim/tenants/"+contoso, c.body)
		if status != c.want || c.want == 400 && (body["status"] != float64(400) || body["detail"] == "") {
			t.Errorf("%s: got %d %v, want %d", c.name, status, body, c.want)
		}
		if known, _ := body["knownScenarios"].([]any); c.name == "unknown scenario" && len(known) != len(Scenarios()) {
			t.Errorf("the refusal lists %v", known)
		}
	}
	if status, _ := b.post("/_sim/tenants/"+fabrikam, `{}`); status != http.StatusNotFound {
		t.Errorf("unknown tenant: %d, want 404", status)
	}
	if _, body := b.get("/_sim/tenants/"+contoso, ""); body["scenario"] != "healthy" || body["hold"] != false {
		t.Errorf("a refused change changed something: %v", body)
	}
	if status, _ := b.get("/_sim/nothing", ""); status != http.StatusNotFound {
		t.Errorf("unknown endpoint: %d, want 404", status)
	}
}

func TestDemoScenariosAreAccepted(t *testing.T) {
	t.Parallel()
	b := start(t, Config{}, Tenant{ID: contoso, Name: "Contoso"})
	for _, name := range []string{
		"healthy", "slow", "disabled", "consent_required", "consent_revoked", "verification_blocked",
		"permission_missing", "no_connection", "credential_expired", "throttled",
	} {
		if status, body := b.post("/_sim/tenants/"+contoso, `{"scenario":"`+name+`"}`); status != http.StatusOK || body["scenario"] != name {
			t.Errorf("%s: %d %v", name, status, body)
		}
	}
}

func TestResetRestoresTheRegisteredState(t *testing.T) {
	t.Parallel()
	b := start(t, Config{}, Tenant{ID: contoso, Name: "Contoso", Scenario: "forbidden", Groups: 5})
	b.post("/_sim/tenants/"+contoso, `{"scenario":"healthy","groups":9,"hold":true,"latencyMs":5}`)
	b.Release(contoso)
	token := b.token(contoso)
	_, _, link := b.walk("/v1.0/groups/delta", token)
	b.Hold(contoso)
	if status, _ := b.post("/_sim/reset", ""); status != http.StatusNoContent {
		t.Fatalf("reset: %d", status)
	}
	_, body := b.get("/_sim/tenants/"+contoso, "")
	if body["scenario"] != "forbidden" || body["groups"] != float64(5) || body["hold"] != false || body["latencyMs"] != nil {
		t.Errorf("after reset: %v", body)
	}
	if e := b.Effects(); len(e.Runs)+len(e.Tenants) != 0 {
		t.Errorf("counters left: %+v", e)
	}
	b.post("/_sim/tenants/"+contoso, `{"scenario":"healthy"}`)
	if status, _ := b.get(link, token); status != http.StatusGone {
		t.Errorf("a delta link from before the reset: %d, want 410", status)
	}
}

func TestHoldIsPerTenantSparesTokensAndEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	b := start(t, Config{}, Tenant{ID: contoso, Name: "Contoso"}, Tenant{ID: fabrikam, Name: "Fabrikam"})
	b.Hold(contoso)
	token := b.token(contoso) // signing in is not held
	if status, _ := b.get("/v1.0/organization", b.token(fabrikam)); status != http.StatusOK {
		t.Errorf("the other tenant: %d", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, _, err := b.do(ctx, http.MethodGet, "/v1.0/organization", token, "", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("held request: err %v, want the deadline", err)
	}
	for b.waiting(contoso) != 0 { // ends only when the simulator noticed that the client is gone
		time.Sleep(time.Millisecond)
	}
	b.Release(contoso)
	if status, _ := b.get("/v1.0/organization", token); status != http.StatusOK {
		t.Errorf("after release: %d", status)
	}
}

func (b bench) waiting(tenant string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tenants[tenant].waiting
}

func TestCloseEndsEveryWait(t *testing.T) {
	t.Parallel()
	for _, scenario := range []string{"healthy", "hang", "slow"} {
		b := start(t, Config{SlowLatency: time.Hour}, Tenant{ID: contoso, Name: "Contoso", Scenario: scenario})
		token := b.token(contoso)
		if scenario == "healthy" {
			b.Hold(contoso)
		}
		ended := make(chan error, 1)
		go func() {
			_, _, _, err := b.do(context.Background(), http.MethodGet, "/v1.0/groups", token, "", nil)
			ended <- err
		}()
		for b.Effects().Tenants[contoso].Requests == 0 {
			time.Sleep(time.Millisecond)
		}
		b.Close()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: an answer was made up on Close", scenario)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: still waiting after Close", scenario)
		}
	}
}

func TestEarlyRetriesAreCounted(t *testing.T) {
	t.Parallel()
	b := start(t, Config{RetryAfter: time.Hour, ThrottleBurst: 2, ThrottleAddresses: 1}, Tenant{ID: contoso, Name: "Contoso", Scenario: "throttled"})
	token := b.token(contoso)
	for i, want := range []int{429, 429, 200} {
		status, header, _, err := b.do(t.Context(), http.MethodGet, "/v1.0/groups", token, "run-1", nil)
		if err != nil || status != want || (status == 429) != (header.Get("Retry-After") == "3600") {
			t.Errorf("try %d: status %d, Retry-After %q, err %v; want %d", i, status, header.Get("Retry-After"), err, want)
		}
	}
	if _, body := b.get("/_sim/effects", ""); body["runs"].(map[string]any)["run-1"].(map[string]any)["early"] != float64(2) {
		t.Errorf("over HTTP: %v", body)
	}
	if c := b.Effects().Runs["run-1"]; c.Throttled != 2 || c.Early != 2 || c.Requests != 3 || c.Pages != 1 {
		t.Errorf("got %+v, want 2 throttled, 2 early of 3 requests, 1 page", c)
	}
	if status, _, _, err := b.do(t.Context(), http.MethodGet, "/v1.0/groups", token, "run-2", nil); err != nil || status != 429 {
		t.Errorf("another run: %d, err %v; want its own storm", status, err)
	}
}

func TestStartRefusesOtherThanLoopback(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "example.com:80", "nonsense"} {
		if base, err := New(Config{}).Start(addr); err == nil {
			t.Errorf("listens on %s as %s", addr, base)
		}
	}
	if base, err := start(t, Config{}).Start(""); err == nil {
		t.Errorf("started twice, now as %s", base)
	}
}

func TestAnswersCarryTheirIDs(t *testing.T) {
	t.Parallel()
	b := start(t, Config{}, Tenant{ID: contoso, Name: "Contoso"})
	_, header, _, err := b.do(t.Context(), http.MethodGet, "/v1.0/organization", b.token(contoso), "run-9", nil)
	if err != nil {
		t.Fatal(err)
	}
	if header.Get("request-id") == "" || header.Get("client-request-id") != "run-9" || header.Get("Date") == "" {
		t.Errorf("headers: %v", header)
	}
}
