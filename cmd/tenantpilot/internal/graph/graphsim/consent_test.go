package graphsim_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
)

const consentTenant, consentApp = "0f3c1a52-3c1e-4c58-9a2e-52f0a1d9b6e4", "7c1f0c52-3c1e-4c58-9a2e-52f0a1d9b6e4"

// TestConsentPage: the page names what is asked for, changes nothing by being looked at, and sends nobody but to loopback.
func TestConsentPage(t *testing.T) {
	t.Parallel()
	sim := graphsim.New(graphsim.Config{})
	base, err := sim.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	good := url.Values{
		"client_id": {consentApp}, "redirect_uri": {"http://127.0.0.1:1/consent/callback?kept=1"}, "state": {"s1"},
		"scope": {"https://graph.microsoft.com/.default"},
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	send := func(method, tenant string, query url.Values, answer string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+"/"+tenant+"/v2.0/adminconsent?"+query.Encode(), strings.NewReader("answer="+answer))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	for _, c := range []struct{ scenario, answer, refusal, tenant, after string }{
		{"consent_required", "accept", "", consentTenant, "healthy"},
		{"permission_missing", "accept", "", consentTenant, "healthy"},
		{"consent_required", "cancel", "access_denied", "", "consent_required"},
		{"consent_denied", "accept", "access_denied", "", "consent_denied"},
		{"consent_elsewhere", "accept", "", "other", "consent_elsewhere"},
		{"slow", "accept", "", consentTenant, "slow"},
	} {
		sim.AddTenant(graphsim.Tenant{ID: consentTenant, Name: "Contoso <b>", AppID: consentApp, Scenario: c.scenario})
		if res, page := send(http.MethodGet, consentTenant, good, ""); res.StatusCode != http.StatusOK || !strings.Contains(page, "Contoso &lt;b&gt;") ||
			!strings.Contains(page, "GroupMember.Read.All") {
			t.Errorf("%s: page is %s %s", c.scenario, res.Status, page)
		}
		res, _ := send(http.MethodPost, consentTenant, good, c.answer)
		to, err := res.Location()
		if err != nil {
			t.Fatalf("%s: %s %v", c.scenario, res.Status, err)
		}
		back := to.Query()
		tenant := back.Get("tenant")
		if c.tenant == "other" && tenant != consentTenant && tenant != "" {
			tenant = "other"
		}
		if to.Path != "/consent/callback" || back.Get("kept") != "1" || back.Get("state") != "s1" || back.Get("error") != c.refusal || tenant != c.tenant {
			t.Errorf("%s, %s: sent to %s", c.scenario, c.answer, to)
		}
		res, err = http.Get(base + "/_sim/tenants/" + consentTenant) //nolint:noctx // a test's own simulator
		if err != nil {
			t.Fatal(err)
		}
		now, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if !strings.Contains(string(now), `"scenario":"`+c.after+`"`) {
			t.Errorf("%s, %s: afterwards %s", c.scenario, c.answer, now)
		}
	}
	for name, change := range map[string]func(url.Values) string{
		"elsewhere":    func(q url.Values) string { q.Set("redirect_uri", "https://evil.example/"); return consentTenant },
		"no address":   func(q url.Values) string { q.Del("redirect_uri"); return consentTenant },
		"other app":    func(q url.Values) string { q.Set("client_id", consentTenant); return consentTenant },
		"no scope":     func(q url.Values) string { q.Del("scope"); return consentTenant },
		"other tenant": func(url.Values) string { return consentApp },
	} {
		query := url.Values{}
		for k, v := range good {
			query[k] = v
		}
		tenant := change(query)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if res, _ := send(method, tenant, query, "accept"); res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s is %s", name, method, res.Status)
			}
		}
	}
}
