package graph_test

import (
	"net/url"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/domain"
)

func TestConsentLink(t *testing.T) {
	t.Parallel()
	client, err := graph.NewClient(graph.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const directory, app = "0f3c1a52-3c1e-4c58-9a2e-52f0a1d9b6e4", "7c1f0c52-3c1e-4c58-9a2e-52f0a1d9b6e4"
	link, err := client.ConsentURL(directory, app, "https://console.example/consent/callback", "s/+=")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	if u.Host != "login.microsoftonline.com" || u.Path != "/"+directory+"/v2.0/adminconsent" {
		t.Errorf("link leads to %s", link)
	}
	for name, want := range map[string]string{
		"client_id": app, "redirect_uri": "https://console.example/consent/callback", "state": "s/+=", "scope": "https://graph.microsoft.com/.default",
	} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, bad := range [][4]string{{"common", app, "r", "s"}, {directory, "app", "r", "s"}, {directory, app, "", "s"}, {directory, app, "r", ""}} {
		if _, err := client.ConsentURL(bad[0], bad[1], bad[2], bad[3]); err == nil {
			t.Errorf("a link for %v is made", bad)
		}
	}
}

func TestConsentAnswers(t *testing.T) {
	t.Parallel()
	client, err := graph.NewClient(graph.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]domain.ReasonCode{
		"admin_consent=True&tenant=0F3C1A52-3c1e-4c58-9a2e-52f0a1d9b6e4&state=x":                   "",
		"admin_consent=True&error=access_denied":                                                   domain.ReasonProviderConsentDenied,
		"error=permission_denied&error_description=The+admin+canceled+the+request":                 domain.ReasonProviderConsentDenied,
		"admin_consent=True&error=consent_required&error_description=AADSTS65004%3A+User+declined": domain.ReasonProviderConsentDenied,
		"error=consent_required&error_description=AADSTS90094%3A+needs+admin":                      domain.ReasonProviderConsentMissing,
		"error=consent_required": domain.ReasonProviderConsentMissing,
		"error=invalid_request&error_description=AADSTS900971%3A+No+reply+address": domain.ReasonProviderAppMisconfigured,
		"error=interaction_required&error_description=AADSTS53003%3A+blocked":      domain.ReasonProviderBlockedByTenantPolicy,
		"error=server_error": domain.ReasonProviderConsentFailed,
		"error=":             domain.ReasonProviderConsentFailed,
		"error=invalid_client&error_description=AADSTS7000215%3A+a+page+for+people+has+no+business+with+secrets": domain.ReasonProviderConsentFailed,
		"error=x&error_description=no+number+AADSTS65004":                                                        domain.ReasonProviderConsentFailed,
		"tenant=0f3c1a52-3c1e-4c58-9a2e-52f0a1d9b6e4":                                                            domain.ReasonProviderConsentFailed,
		"admin_consent=False": domain.ReasonProviderConsentFailed,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		directory, got := client.ReadConsentAnswer(values)
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if values.Has("tenant") && directory != "0f3c1a52-3c1e-4c58-9a2e-52f0a1d9b6e4" {
			t.Errorf("%s: directory %q", query, directory)
		}
	}
	if directory, _ := client.ReadConsentAnswer(url.Values{"tenant": {"<script>"}}); directory != "" {
		t.Errorf("a directory that is no id is passed on: %q", directory)
	}
}
