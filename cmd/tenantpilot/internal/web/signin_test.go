package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/auth/idptest"
	"tenantpilot/cmd/tenantpilot/internal/web"
)

const (
	beginPath    = "/sign-in/oidc"
	callbackPath = "/sign-in/oidc/callback"
	glassPath    = "/sign-in/break-glass"
)

// newProvided is a console whose people sign in with an identity provider.
func newProvided(t *testing.T) (*console, *idptest.Issuer) {
	t.Helper()
	idp := idptest.New(t)
	ways := auth.Config{OIDC: &auth.OIDC{
		Issuer: idp.URL, ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret, Name: "Contoso ID", Redirect: idptest.Redirect,
	}}
	c := newConsoleFor(t, ways, func(*web.Config) {})
	idp.Email, idp.Subject = "operator@example.test", "op-1"
	return c, idp
}

// toProvider begins a sign-in and returns what the provider sends the browser back with.
func (a *caller) toProvider(t *testing.T, begin string) url.Values {
	t.Helper()
	res := a.send(t, "GET", begin)
	if res.status != http.StatusSeeOther {
		t.Fatalf("begin: %d %s", res.status, clip(res.body))
	}
	answer, err := plainClient(nil).Get(res.header.Get("Location"))
	must(t, err)
	_ = answer.Body.Close()
	back, err := url.Parse(answer.Header.Get("Location"))
	must(t, err)
	if !strings.HasPrefix(back.String(), idptest.Redirect+"?") {
		t.Fatalf("the provider answered %d to %s", answer.StatusCode, back)
	}
	return back.Query()
}

// back comes back from the provider.
func (a *caller) back(t *testing.T, answer url.Values) response {
	t.Helper()
	return a.send(t, "GET", callbackPath+"?"+answer.Encode())
}

func (a *caller) signedIn(t *testing.T) bool {
	t.Helper()
	return a.send(t, "GET", "/admin/notifications").status == http.StatusOK
}

func TestSignInWithTheProvider(t *testing.T) {
	t.Parallel()
	c, _ := newProvided(t)
	b := c.browser(t, "")
	res := b.send(t, "GET", "/admin/operations?status=failed")
	if res.status != http.StatusFound {
		t.Fatalf("without a session: %d", res.status)
	}
	shown := b.send(t, "GET", res.header.Get("Location")).text()
	begin := beginPath + "?next=" + url.QueryEscape("/admin/operations?status=failed")
	if !strings.Contains(shown, `href="`+begin+`"`) || !strings.Contains(shown, "Sign in with Contoso ID") || strings.Contains(shown, "Break-glass") {
		t.Errorf("the page has not the button of the provider, or that of break-glass accounts: %s", shown)
	}
	answer := b.toProvider(t, begin)
	res = b.back(t, answer)
	if res.status != http.StatusSeeOther || res.header.Get("Location") != "/admin/operations?status=failed" {
		t.Fatalf("back: %d to %s: %s", res.status, res.header.Get("Location"), clip(res.body))
	}
	if !b.signedIn(t) {
		t.Error("not signed in")
	}
	if n := c.count(t, `select count(*) from sign_in_bindings where subject = 'op-1' and person = $1`, c.people["operator"]); n != 1 {
		t.Errorf("%d bindings", n)
	}
	// The same answer again opens nothing, in this browser or another.
	for name, again := range map[string]*caller{"the same browser": b, "another browser": c.browser(t, "")} {
		if res := again.back(t, answer); res.status != http.StatusBadRequest || !strings.Contains(res.text(), "Begin again") {
			t.Errorf("replayed in %s: %d %s", name, res.status, clip(res.body))
		}
	}
	if n := c.count(t, `select count(*) from people where email like '%ada%'`); n != 0 {
		t.Error("somebody was created")
	}
}
