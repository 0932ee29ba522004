package graph

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tenantpilot/domain"
)

func TestClassifyToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		codes []int
		want  domain.ReasonCode
	}{
		{"wrong secret", []int{7000215, 70002}, "provider_credential_invalid"},
		{"expired secret", []int{7000222}, "provider_credential_expired"},
		{"credential parameter missing", []int{7000218, 900144, 90014}, "provider_credential_missing"},
		{"assertion not accepted", []int{700027, 700030, 50012}, "provider_credential_invalid"},
		{"assertion outside its time range", []int{500133, 700024}, "platform_clock_skew"},
		{"app not in the tenant", []int{700016, 700011}, "provider_app_not_installed"},
		{"app disabled", []int{70001, 7000112, 1000031}, "provider_app_disabled"},
		{"consent missing", []int{65001, 90094, 90095, 90008}, "provider_consent_missing"},
		{"consent declined", []int{65004}, "provider_consent_denied"},
		{"registration wrong", []int{65005, 650056, 650057, 70011, 50011, 900971, 50194}, "provider_app_misconfigured"},
		{"partner access", []int{90099}, "provider_partner_access_missing"},
		{"service not subscribed", []int{650052, 500011}, "provider_service_unavailable_in_tenant"},
		{"tenant unknown", []int{90002, 50059, 90019, 5000224}, "provider_tenant_not_found"},
		{"other cloud", []int{90038, 900382, 900432}, "provider_wrong_cloud"},
		{"tenant policy", []int{53003, 530032, 50131, 530034, 530035, 500021, 500022, 500212, 500213}, "provider_blocked_by_tenant_policy"},
		{"client loop", []int{50196}, "platform_token_loop"},
		{"throttled", []int{90055}, "provider_rate_limited"},
		{"service trouble", []int{50033, 90006, 90012, 90024, 90033, 90090, 90091}, "provider_unavailable"},
		{"unknown number", []int{424242}, "provider_auth_failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, n := range c.codes {
				if got := ClassifyToken(TokenAnswer{Status: 400, Error: "invalid_request", Codes: []int{n}}, false); got != c.want {
					t.Errorf("AADSTS%d: got %s, want %s", n, got, c.want)
				}
			}
		})
	}
}

func TestClassifyTokenByErrorValueAndHistory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		answer  TokenAnswer
		granted bool
		want    domain.ReasonCode
	}{
		{"error value decides before numbers", TokenAnswer{400, "temporarily_unavailable", []int{7000215}, "", ""}, false, "provider_unavailable"},
		{"first known number wins", TokenAnswer{401, "invalid_client", []int{1, 7000222, 7000215}, "", ""}, false, "provider_credential_expired"},
		{"invalid_client in general", TokenAnswer{401, "invalid_client", nil, "", ""}, false, "provider_credential_invalid"},
		{"unauthorized_client in general", TokenAnswer{400, "unauthorized_client", nil, "", ""}, false, "provider_app_not_installed"},
		{"invalid_grant in general", TokenAnswer{400, "invalid_grant", nil, "", ""}, false, "provider_auth_failed"},
		{"interaction_required in general", TokenAnswer{400, "interaction_required", nil, "", ""}, false, "provider_auth_failed"},
		{"server failure", TokenAnswer{502, "", nil, "", ""}, false, "provider_unavailable"},
		{"429", TokenAnswer{429, "", nil, "", ""}, false, "provider_rate_limited"},
		{"consent gone after it was granted", TokenAnswer{400, "invalid_grant", []int{65001}, "", ""}, true, "provider_consent_revoked"},
		{"app gone after consent was granted", TokenAnswer{400, "unauthorized_client", []int{700016}, "", ""}, true, "provider_consent_revoked"},
		{"an expired secret is no revocation", TokenAnswer{401, "invalid_client", []int{7000222}, "", ""}, true, "provider_credential_expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := ClassifyToken(c.answer, c.granted); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestClassifyGraph(t *testing.T) {
	t.Parallel()
	plain := func(code string) string { return `{"error":{"code":"` + code + `","message":"m"}}` }
	for _, c := range []struct {
		name    string
		status  int
		header  http.Header
		body    string
		granted bool
		want    domain.ReasonCode
	}{
		{"token refused", 401, nil, plain("InvalidAuthenticationToken"), false, "provider_auth_failed"},
		{"claims challenge", 401, http.Header{"Www-Authenticate": {`Bearer error="insufficient_claims", claims="e30="`}}, plain("InvalidAuthenticationToken"), false, "provider_blocked_by_tenant_policy"},
		{"refused, not recorded", 403, nil, plain("Authorization_RequestDenied"), false, "provider_permission_missing"},
		{"refused, recorded as granted", 403, nil, plain("Authorization_RequestDenied"), true, "provider_permission_denied"},
		{"conditional access refusal", 403, nil, plain("AccessDenied"), true, "provider_permission_denied"},
		{"403 without a body", 403, nil, "", false, "provider_permission_missing"},
		{"insufficient claims", 403, nil, plain("insufficient_claims"), true, "provider_blocked_by_tenant_policy"},
		{"app-only refusal", 403, nil, `{"error":{"code":"Forbidden","message":"{\"ErrorCode\":\"Forbidden\",\"Message\":\"Tenant is not Global Admin or Intune Service Admin. Operation is restricted.\"}"}}`, true, "provider_operation_unsupported_app_only"},
		{"402", 402, nil, "", false, "provider_license_missing"},
		{"licence text", 403, nil, `{"error":{"code":"Forbidden","message":"User is not licensed for this feature"}}`, true, "provider_license_missing"},
		{"not applicable", 400, nil, `{"error":{"code":"BadRequest","message":"Request not applicable to target tenant."}}`, true, "provider_license_missing"},
		{"premium licence", 403, nil, `{"error":{"code":"Forbidden","message":"The tenant doesn't have premium license"}}`, true, "provider_license_missing"},
		{"lifecycle code", 400, nil, plain("AppLifecycle_2210"), true, "provider_license_missing"},
		{"approval header wanted", 400, nil, `{"error":{"code":"BadRequest","message":"Header x-msft-approval-justification is required"}}`, true, "provider_approval_required"},
		{"approval filed", 412, http.Header{"X-Msft-Approval-Code": {"1"}}, plain("BadRequest"), true, "provider_approval_pending"},
		{"precondition failed", 412, nil, plain("BadRequest"), true, "provider_object_changed"},
		{"conflict", 409, nil, "", true, "provider_object_changed"},
		{"modified", 400, nil, plain("resourceModified"), true, "provider_object_changed"},
		{"not found", 404, nil, plain("Request_ResourceNotFound"), true, "provider_object_not_found"},
		{"bad request", 400, nil, plain("Request_BadRequest"), true, "provider_request_invalid"},
		{"gone", 410, nil, "", true, "directory_delta_expired"},
		{"sync state", 400, nil, plain("syncStateNotFound"), true, "directory_delta_expired"},
		{"resync", 400, nil, `{"error":{"code":"BadRequest","message":"m","innerError":{"code":"resyncRequired"}}}`, true, "directory_delta_expired"},
		{"locked", 423, nil, "", true, "provider_object_locked"},
		{"429", 429, nil, plain("TooManyRequests"), true, "provider_rate_limited"},
		{"throttled inside a 403", 403, nil, plain("activityLimitReached"), true, "provider_rate_limited"},
		{"500", 500, nil, "", true, "provider_unavailable"},
		{"502", 502, nil, "<html>", true, "provider_unavailable"},
		{"503", 503, nil, "", true, "provider_unavailable"},
		{"504", 504, nil, "", true, "provider_unavailable"},
		{"509", 509, nil, "", true, "provider_unavailable"},
		{"501", 501, nil, plain("NotImplemented"), true, "provider_operation_unsupported"},
		{"405", 405, nil, "", true, "provider_operation_unsupported"},
		{"418", 418, nil, "", true, "provider_request_invalid"},
		{"redirect", 302, nil, "", true, "provider_response_invalid"},
		{"a licence text in a failure of the service stays a failure", 500, nil, `{"error":{"code":"x","message":"not licensed for this feature"}}`, true, "provider_unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := c.header
			if h == nil {
				h = http.Header{}
			}
			if got := classifyGraph(readGraphAnswer(c.status, h, []byte(c.body)), c.granted); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestReadGraphAnswerUnwrapsNestedErrors(t *testing.T) {
	t.Parallel()
	deepest := `{\\\"ErrorCode\\\":\\\"TooManyRequests\\\",\\\"Message\\\":\\\"slow down https://internal.example/x\\\",\\\"RetryAfter\\\":17}`
	body := `{"error":{"code":"UnknownError","message":"{\"_version\":3,\"Message\":\"` + deepest + `\"}",
	  "innerError":{"request-id":"0f0e7a3c-5b1d-4f6a-9c2e-8d4b1a6f0e35","innererror":{"code":"somethingNew"}}}}`
	a := readGraphAnswer(500, http.Header{}, []byte(body))
	if got := a.deepestKnown(); got != "TooManyRequests" {
		t.Errorf("deepest known code: got %q, want TooManyRequests (codes %v)", got, a.Codes)
	}
	if a.RetryAfter != 17*time.Second {
		t.Errorf("nested RetryAfter: got %v, want 17s", a.RetryAfter)
	}
	if a.RequestID != "0f0e7a3c-5b1d-4f6a-9c2e-8d4b1a6f0e35" {
		t.Errorf("request id: got %q, want the envelope's", a.RequestID)
	}
	if got := classifyGraph(a, true); got != domain.ReasonProviderRateLimited {
		t.Errorf("got %s, want provider_rate_limited", got)
	}
}

func TestReadGraphAnswerDropsHostileCodes(t *testing.T) {
	t.Parallel()
	body := `{"error":{"code":"<script>alert(1)</script>","message":"x","innerError":{"request-id":"a\nb","code":"=cmd()"}}}`
	a := readGraphAnswer(400, http.Header{}, []byte(body))
	if len(a.Codes) != 0 || a.RequestID != "" {
		t.Errorf("got codes %q and request id %q, want none", a.Codes, a.RequestID)
	}
}

func TestClassifyConsentCallback(t *testing.T) {
	t.Parallel()
	const tenant = "11111111-1111-4111-8111-111111111111"
	good := ConsentCallback{AdminConsent: "True", Tenant: tenant, WantedTenant: tenant, StateValid: true}
	with := func(change func(*ConsentCallback)) ConsentCallback { c := good; change(&c); return c }
	for _, c := range []struct {
		name string
		in   ConsentCallback
		want ConsentVerdict
	}{
		{"granted", good, ConsentVerdict{"granted", ""}},
		{"granted, other letter case", with(func(c *ConsentCallback) { c.Tenant = strings.ToUpper(tenant) }), ConsentVerdict{"granted", ""}},
		{"classic refusal", with(func(c *ConsentCallback) { c.Error = "permission_denied" }), ConsentVerdict{"failed", "provider_consent_denied"}},
		{"access denied", with(func(c *ConsentCallback) { c.Error = "access_denied" }), ConsentVerdict{"failed", "provider_consent_denied"}},
		{"v2 refusal, although admin_consent is True", with(func(c *ConsentCallback) { c.Error, c.Description = "consent_required", "AADSTS65004: declined" }), ConsentVerdict{"failed", "provider_consent_denied"}},
		{"consent required", with(func(c *ConsentCallback) { c.Error = "consent_required" }), ConsentVerdict{"required", "provider_consent_missing"}},
		{"other error", with(func(c *ConsentCallback) { c.Error = "server_error" }), ConsentVerdict{"failed", "provider_consent_failed"}},
		{"other tenant", with(func(c *ConsentCallback) { c.Tenant = "22222222-2222-4222-8222-222222222222" }), ConsentVerdict{"", "tenant_target_mismatch"}},
		{"no tenant", with(func(c *ConsentCallback) { c.Tenant, c.WantedTenant = "", "" }), ConsentVerdict{"", "tenant_target_mismatch"}},
		{"state invalid beats everything", with(func(c *ConsentCallback) { c.StateValid, c.Error = false, "access_denied" }), ConsentVerdict{"", "consent_state_invalid"}},
		{"neither error nor consent", with(func(c *ConsentCallback) { c.AdminConsent = "" }), ConsentVerdict{"failed", "provider_consent_failed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := ClassifyConsentCallback(c.in); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestEveryClassifiedCodeIsInTheReasonTable(t *testing.T) {
	t.Parallel()
	codes := map[domain.ReasonCode]bool{}
	for _, code := range tokenNumbers {
		codes[code] = true
	}
	for _, code := range graphCodes {
		if code != "" {
			codes[code] = true
		}
	}
	for status := 100; status < 600; status++ {
		codes[classifyStatus(status)] = true
	}
	for _, c := range graphTexts {
		codes[c.code] = true
	}
	for code := range codes {
		if _, ok := domain.LookupReason(code); !ok {
			t.Errorf("code %q has no row", code)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	fine := CheckResult{TenantID: "t", ServicePrincipalID: "s", GrantsReadable: true, Granted: []string{"A", "B", "C"}}
	with := func(change func(*CheckResult)) CheckResult { r := fine; change(&r); return r }
	failed := func(code domain.ReasonCode) CheckResult { return CheckResult{Failure: &Error{Code: code}} }
	for _, c := range []struct {
		name     string
		in       CheckResult
		recorded []string
		state    CheckState
		reason   domain.ReasonCode
	}{
		{"all fine", fine, nil, CheckHealthy, ""},
		{"missing is named before refused", with(func(r *CheckResult) { r.Missing, r.Refused = []string{"B"}, []string{"A"} }), nil, CheckDegraded, "provider_permission_missing"},
		{"one missing", with(func(r *CheckResult) { r.Missing = []string{"C"} }), nil, CheckDegraded, "provider_permission_missing"},
		{"one refused", with(func(r *CheckResult) { r.Refused = []string{"C"} }), nil, CheckDegraded, "provider_permission_denied"},
		{"one unlicensed", with(func(r *CheckResult) { r.Unlicensed = []string{"A"} }), nil, CheckDegraded, "provider_license_missing"},
		{"no grants at all", with(func(r *CheckResult) { r.Granted = nil }), nil, CheckBlocked, "provider_consent_missing"},
		{"directory unreadable, never granted", with(func(r *CheckResult) { r.TenantID = "" }), nil, CheckBlocked, "provider_permission_missing"},
		{"directory unreadable, recorded as granted", with(func(r *CheckResult) { r.TenantID = "" }), []string{permDirectory}, CheckBlocked, "provider_permission_denied"},
		{"grants unreadable", with(func(r *CheckResult) { r.GrantsReadable = false }), nil, CheckBlocked, "provider_permission_missing"},
		{"expired secret", failed("provider_credential_expired"), nil, CheckBlocked, "provider_credential_expired"},
		{"consent missing", failed("provider_consent_missing"), nil, CheckBlocked, "provider_consent_missing"},
		{"consent revoked", failed("provider_consent_revoked"), nil, CheckBlocked, "provider_consent_revoked"},
		{"tenant policy", failed("provider_blocked_by_tenant_policy"), nil, CheckBlocked, "provider_blocked_by_tenant_policy"},
		{"other directory", failed("tenant_target_mismatch"), nil, CheckBlocked, "tenant_target_mismatch"},
		{"our registration", failed("provider_app_misconfigured"), nil, CheckError, "provider_app_misconfigured"},
		{"throttled out", failed("provider_rate_limited"), nil, CheckError, "provider_rate_limited"},
		{"service down", failed("provider_unavailable"), nil, CheckError, "provider_unavailable"},
		{"unreachable", failed("provider_unreachable"), nil, CheckError, "provider_unreachable"},
		{"broken answer", failed("provider_response_invalid"), nil, CheckError, "provider_response_invalid"},
		{"service not in the tenant", failed("provider_service_unavailable_in_tenant"), nil, CheckDegraded, "provider_service_unavailable_in_tenant"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			state, reason := Judge(c.in, c.recorded)
			if state != c.state || reason != c.reason {
				t.Errorf("got %s %q, want %s %q", state, reason, c.state, c.reason)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, header, date string
		want               time.Duration
		ok                 bool
	}{
		{"seconds", "7", "", 7 * time.Second, true},
		{"zero", "0", "", 0, true},
		{"date by our clock", "Fri, 20 Nov 2026 12:00:30 GMT", "", 30 * time.Second, true},
		{"date by the provider's clock", "Fri, 20 Nov 2026 13:00:30 GMT", "Fri, 20 Nov 2026 13:00:00 GMT", 30 * time.Second, true},
		{"date in the past", "Fri, 20 Nov 2026 11:00:00 GMT", "", 0, true},
		{"absent", "", "", 0, false},
		{"negative", "-5", "", 0, false},
		{"text", "soon", "", 0, false},
		{"too big", "99999999999999", "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, ok := retryAfter(http.Header{"Retry-After": {c.header}, "Date": {c.date}}, now)
			if got != c.want || ok != c.ok {
				t.Errorf("got %v %v, want %v %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestBackoffIsExponentialBoundedAndJittered(t *testing.T) {
	t.Parallel()
	at := func(jitter float64) *Client {
		c, err := NewClient(Config{Jitter: func() float64 { return jitter }})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for n, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 5: 16, 6: 30, 40: 30} {
		if got := at(0.5).backoff(n); got != want*time.Second {
			t.Errorf("try %d at half jitter: got %v, want %v", n, got, want*time.Second)
		}
	}
	if got := at(0).backoff(1); got != 200*time.Millisecond {
		t.Errorf("smallest draw: got %v, want a tenth of the step", got)
	}
}

func TestCheckLink(t *testing.T) {
	t.Parallel()
	const root = "https://graph.microsoft.com"
	for _, link := range []string{
		root + "/v1.0/groups/delta?$skiptoken=abc", root + "/beta/groups?$skiptoken=a%2Fb",
		"https://GRAPH.microsoft.com/v1.0/groups/microsoft.graph.delta()?$deltatoken=x",
	} {
		if !checkLink(root, link) {
			t.Errorf("refused %q", link)
		}
	}
	for _, link := range hostileLinks() {
		if checkLink(root, link) {
			t.Errorf("accepted %q", link)
		}
	}
}

// hostileLinks are ways to lead a client astray that trusts links in answers.
func hostileLinks() []string {
	return []string{
		"", "/v1.0/groups", "//evil.example/v1.0/groups", "https:///v1.0/groups", "https:evil.example/v1.0/groups",
		"http://graph.microsoft.com/v1.0/groups", "HTTP://graph.microsoft.com/v1.0/groups", "ftp://graph.microsoft.com/v1.0/x",
		"file:///v1.0/passwd", "gopher://graph.microsoft.com/v1.0/x", "javascript:alert(1)", "data:text/html,x",
		"https://evil.example/v1.0/groups", "https://graph.microsoft.com.evil.example/v1.0/groups",
		"https://evilgraph.microsoft.com/v1.0/groups", "https://graph.microsoft.us/v1.0/groups",
		"https://login.microsoftonline.com/v1.0/groups", "https://graph.microsoft.com@evil.example/v1.0/groups",
		"https://user:pw@graph.microsoft.com/v1.0/groups", "https://graph.microsoft.com:pw@evil.example/v1.0/groups",
		"https://graph.microsoft.com:8443/v1.0/groups", "https://graph.microsoft.com:443/v1.0/groups",
		"https://graph.microsoft.com./v1.0/groups", "https://graph.microsoft.com%2eevil.example/v1.0/groups",
		"https://169.254.169.254/v1.0/groups", "http://169.254.169.254/latest/meta-data/", "https://127.0.0.1/v1.0/groups",
		"https://localhost/v1.0/groups", "https://[::1]/v1.0/groups", "https://[::ffff:169.254.169.254]/v1.0/groups",
		"https://2130706433/v1.0/groups", "https://0x7f.1/v1.0/groups", `https://graph.microsoft.com\@evil.example/v1.0/x`,
		`https:\\evil.example\v1.0\x`, "https://graph.microsoft.com/v1.0/../../etc", "https://graph.microsoft.com/",
		"https://graph.microsoft.com/v2.0/groups", "https://graph.microsoft.com/v1.0/groups#@evil.example",
		"https://graph.microsoft.com\r\nHost: evil.example/v1.0/x", "https://graph.microsoft.com /v1.0/groups",
		"https://graph.microsoft.com/v1.0/%2e%2e/x", "https://graph.microsoft.com/v1.0/" + strings.Repeat("x", 20<<10),
	}
}

func FuzzReadGraphAnswer(f *testing.F) {
	f.Add(403, []byte(`{"error":{"code":"a","message":"{\"Message\":\"{}\"}","innerError":{"code":"b"}}}`))
	f.Add(200, []byte(`[]`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := readGraphAnswer(status, http.Header{}, body)
		if _, ok := domain.LookupReason(classifyGraph(a, false)); !ok {
			t.Errorf("status %d: no reason for %q", status, body)
		}
		if code := a.deepestKnown(); code != safeCode(code) {
			t.Errorf("unsafe code %q", code)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7")
	f.Add("Fri, 20 Nov 2026 12:00:30 GMT")
	f.Fuzz(func(t *testing.T, text string) {
		if d, _ := retryAfter(http.Header{"Retry-After": {text}}, time.Unix(0, 0)); d < 0 {
			t.Errorf("%q: negative wait %v", text, d)
		}
	})
}

func FuzzCheckLink(f *testing.F) {
	for _, link := range hostileLinks() {
		f.Add(link)
	}
	f.Fuzz(func(t *testing.T, link string) {
		if !checkLink("https://graph.microsoft.com", link) {
			return
		}
		req, err := http.NewRequest(http.MethodGet, link, nil)
		if err != nil {
			return // refused one step later
		}
		if !strings.EqualFold(req.URL.Host, "graph.microsoft.com") || req.URL.Scheme != "https" {
			t.Errorf("accepted %q, which goes to %s", link, req.URL.Host)
		}
	})
}
