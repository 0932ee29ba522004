package web_test

import (
	"html"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	c, idp := newProvided(t)
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
	// Nothing that opens anything is left behind: not in the session, not in the log.
	for _, secret := range idp.Secrets() {
		if n := c.count(t, `select count(*) from sessions where position($1::bytea in data) > 0`, []byte(secret)); n != 0 || strings.Contains(c.logs.text(), secret) {
			t.Errorf("a code, token or secret is kept or logged: %s", secret)
		}
	}
	if !strings.Contains(c.logs.text(), `"msg":"signed in","person":"`+c.people["operator"].String()+`","with":"oidc"`) {
		t.Error("the log does not say who signed in")
	}
	if res := c.program(t, "operator").send(t, "GET", beginPath, accept("text/html")); res.status != http.StatusNotFound {
		t.Errorf("a program with a token: %d", res.status)
	}
}

// TestAnswersThatSignNobodyIn goes through what may be wrong with what the provider says, and with what the browser brings back.
func TestAnswersThatSignNobodyIn(t *testing.T) {
	t.Parallel()
	c, idp := newProvided(t)
	_, err := c.auth.CreatePerson(t.Context(), "kim@example.test", "Kim", false)
	must(t, err)
	claim := func(name string, value any) func() {
		return func() {
			idp.Claims = func(claims map[string]any) {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			}
		}
	}
	bring := func(name, value string) func(url.Values) { return func(answer url.Values) { answer.Set(name, value) } }
	for name, tc := range map[string]struct {
		provider func()
		browser  func(url.Values)
		status   int
		says     string
	}{
		"wrong nonce":               {claim("nonce", "another"), nil, 403, "could not be proven genuine"},
		"no nonce":                  {claim("nonce", nil), nil, 403, "could not be proven genuine"},
		"wrong audience":            {claim("aud", "another"), nil, 403, "could not be proven genuine"},
		"other party":               {claim("azp", "another"), nil, 403, "could not be proven genuine"},
		"two audiences":             {claim("aud", []string{idptest.ClientID, "another"}), nil, 403, "could not be proven genuine"},
		"wrong issuer":              {claim("iss", "https://evil.example"), nil, 403, "could not be proven genuine"},
		"expired":                   {claim("exp", time.Now().Add(-time.Minute).Unix()), nil, 403, "could not be proven genuine"},
		"no subject":                {claim("sub", ""), nil, 403, "could not be proven genuine"},
		"wrong key":                 {func() { idp.Key = idptest.NewKey() }, nil, 403, "could not be proven genuine"},
		"unverified address":        {claim("email_verified", false), nil, 403, "does not vouch"},
		"address of unknown state":  {claim("email_verified", nil), nil, 403, "does not vouch"},
		"not owned by its domain":   {claim("xms_edov", false), nil, 403, "does not vouch"},
		"no address":                {claim("email", nil), nil, 403, "did not say what your e-mail address is"},
		"unknown person":            {func() { idp.Email = "nobody-knows@example.test" }, nil, 403, "Nobody with the address nobody-knows@example.test has been invited"},
		"letter that folds":         {func() { idp.Email = "\u212aim@example.test" }, nil, 403, "has been invited"},
		"disabled person":           {func() { idp.Email = "readonly@example.test" }, nil, 403, "may not sign in here any more"},
		"cancelled":                 {func() { idp.Error = "access_denied" }, nil, 403, "The sign-in was cancelled"},
		"misconfigured":             {func() { idp.Error, idp.Description = "invalid_client", "AADSTS50011: <script>" }, nil, 503, "registration there is not set up"},
		"provider fails":            {func() { idp.Error = "server_error" }, nil, 503, "cannot be reached"},
		"wrong state":               {nil, bring("state", "another"), 400, "was not begun in this browser"},
		"no state":                  {nil, func(v url.Values) { v.Del("state") }, 400, "was not begun in this browser"},
		"wrong code":                {nil, bring("code", "another"), 400, "was not begun in this browser"},
		"no code":                   {nil, func(v url.Values) { v.Del("code") }, 400, "was not begun in this browser"},
		"answer of another issuer":  {nil, bring("iss", "https://evil.example"), 403, "could not be proven genuine"},
		"parameter that came twice": {nil, func(v url.Values) { v.Add("code", "another") }, 400, "was not begun in this browser"},
		"hostile error":             {nil, func(v url.Values) { v.Set("error", "<script>alert(1)</script>") }, 503, "registration there"},
	} {
		good := *idpState(idp)
		if name == "disabled person" {
			_, err := c.pool.Exec(t.Context(), `update people set disabled_at = clock_timestamp() where id = $1`, c.people["readonly"])
			must(t, err)
		}
		if tc.provider != nil {
			tc.provider()
		}
		b := c.browser(t, "")
		answer := b.toProvider(t, beginPath+"?next=/admin/tenants")
		if tc.browser != nil {
			tc.browser(answer)
		}
		res := b.back(t, answer)
		if res.status != tc.status || !strings.Contains(res.text(), tc.says) || strings.Contains(res.text(), "<script>alert") {
			t.Errorf("%s: %d %s", name, res.status, visible(res.text()))
		}
		if b.signedIn(t) {
			t.Errorf("%s: signed in", name)
		}
		if res := b.back(t, answer); res.status/100 == 3 {
			t.Errorf("%s: a second try with the same answer leads to %s", name, res.header.Get("Location"))
		}
		good.restore(idp)
	}
	if n := c.count(t, `select count(*) from sign_in_bindings`); n != 0 {
		t.Errorf("%d bindings were made", n)
	}
	if n := c.count(t, `select count(*) from people`); n != 10 {
		t.Errorf("%d people, want the ten there were", n)
	}
	logs := c.logs.text()
	for _, secret := range idp.Secrets() {
		if strings.Contains(logs, secret) {
			t.Errorf("a code, token or secret is in the log: %s", secret)
		}
	}
	for _, wanted := range []string{`"reason":"sign_in_not_proven"`, `"reason":"nobody_invited"`, "AADSTS50011", "another nonce"} {
		if !strings.Contains(logs, wanted) {
			t.Errorf("the log has nothing of %s", wanted)
		}
	}
	for _, private := range []string{"example.test", "<script>", "alert"} {
		if strings.Contains(logs, private) {
			t.Errorf("the log has %s", private)
		}
	}
}

// idpState is what tests change of an issuer.
type state struct {
	email, subject, fault, description string
}

func idpState(i *idptest.Issuer) *state { return &state{i.Email, i.Subject, i.Error, i.Description} }

func (s *state) restore(i *idptest.Issuer) {
	i.Email, i.Subject, i.Error, i.Description, i.Claims, i.Key = s.email, s.subject, s.fault, s.description, nil, nil
}

// visible is what a page says, shortened.
func visible(html string) string {
	if i := strings.Index(html, `<h1`); i >= 0 {
		html = html[i:]
	}
	return html[:min(len(html), 600)]
}

func TestOnlyTheBrowserThatBeganIsSignedIn(t *testing.T) {
	t.Parallel()
	c, _ := newProvided(t)
	victim, attacker := c.browser(t, ""), c.browser(t, "")
	answer := attacker.toProvider(t, beginPath)
	if res := victim.back(t, answer); res.status != http.StatusBadRequest || victim.signedIn(t) {
		t.Errorf("an answer for another browser: %d", res.status)
	}
	// Sessions from before signing in open nothing afterwards.
	b := c.browser(t, "")
	answer = b.toProvider(t, beginPath)
	before := cookieOf(t, b)
	if res := b.back(t, answer); res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Fatalf("sign in: %d", res.status)
	}
	if after := cookieOf(t, b); after == before || after == "" {
		t.Error("the session id is the one from before")
	}
	// Several tabs may begin, and the first is still good after the second.
	tabs := c.browser(t, "")
	first, _ := tabs.toProvider(t, beginPath+"?next=/admin/tenants"), tabs.toProvider(t, beginPath)
	if res := tabs.back(t, first); res.header.Get("Location") != "/admin/tenants" {
		t.Errorf("first of two tabs: %d %s", res.status, visible(res.text()))
	}
	// Of many answers at once one counts.
	many := c.browser(t, "")
	answer = many.toProvider(t, beginPath)
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			res, err := many.try(t, "GET", callbackPath+"?"+answer.Encode())
			if err == nil && res.status == http.StatusSeeOther {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d of 16 equal answers signed somebody in, want 1", in.Load())
	}
}

func cookieOf(t *testing.T, a *caller) string {
	t.Helper()
	u, err := url.Parse(a.c.server.URL)
	must(t, err)
	for _, cookie := range a.client.Jar.Cookies(u) {
		return cookie.Value
	}
	return ""
}

// TestAnAccountStaysItsPersons: once bound, the address does not count; another account with the same address is somebody else.
func TestAnAccountStaysItsPersons(t *testing.T) {
	t.Parallel()
	c, idp := newProvided(t)
	come := func() (response, *caller) {
		b := c.browser(t, "")
		return b.back(t, b.toProvider(t, beginPath)), b
	}
	// An invited person comes in without the link, and finds the invitation; the link is then worth nothing.
	inviter := c.browser(t, "owner")
	made := inviter.send(t, "POST", "/admin/settings/members/invite", form(url.Values{"email": {"New@Example.test"}, "name": {"New"}, "sees": {"all"}, "role": {"operator"}}))
	if made.status != http.StatusOK || strings.Contains(made.text(), "/sign-in/") {
		t.Errorf("an invitation where there is a provider: %d, with a link", made.status)
	}
	invited, err := c.auth.FindPerson(t.Context(), "new@example.test")
	must(t, err)
	link, err := auth.New(c.pool, auth.Config{}).IssueInvitationLink(t.Context(), invited, c.ours, time.Hour) // from before there was one
	must(t, err)
	idp.Email, idp.Subject = "new@example.TEST", "new-1"
	res, b := come()
	if res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Fatalf("an invited person: %d %s", res.status, visible(res.text()))
	}
	home := b.send(t, "GET", "/")
	if !strings.Contains(home.text(), "/invitations/"+c.ours.String()+"/accept") {
		t.Errorf("the invitation is not offered: %s", visible(home.text()))
	}
	if res := b.send(t, "POST", "/invitations/"+c.ours.String()+"/accept", form(nil)); res.status != http.StatusSeeOther {
		t.Errorf("accept: %d", res.status)
	}
	if !b.signedIn(t) {
		t.Error("not a member after accepting")
	}
	stolen := c.browser(t, "")
	if res := stolen.send(t, "POST", link, form(nil)); res.header.Get("Location") != link {
		t.Errorf("the invitation's link after the sign-in leads to %s", res.header.Get("Location"))
	}
	// Who can sign in gets no link from those who invite them elsewhere.
	theirs := c.browser(t, "stranger")
	if made := theirs.send(t, "POST", "/admin/settings/members/invite", form(url.Values{"email": {"new@example.test"}, "name": {"N"}, "sees": {"all"}, "role": {"operator"}})); strings.Contains(made.text(), "/sign-in/") {
		t.Error("whoever invites somebody with an account gets a link that signs in as them")
	}
	// Another address, unverified: it does not count any more.
	idp.Email, idp.Claims = "elsewhere@example.test", func(claims map[string]any) { claims["email_verified"] = false }
	if res, _ := come(); res.status != http.StatusSeeOther {
		t.Errorf("bound, with another address: %d", res.status)
	}
	// The address was given to somebody else.
	idp.Email, idp.Subject, idp.Claims = "new@example.test", "new-2", nil
	if res, b := come(); res.status != http.StatusForbidden || !strings.Contains(res.text(), "signs in with another account") || b.signedIn(t) {
		t.Errorf("another account with the same address: %d %s", res.status, visible(res.text()))
	}
	if n, err := c.auth.ForgetAccounts(t.Context(), invited); n != 1 || err != nil {
		t.Errorf("forgot %d accounts, %v", n, err)
	}
	if res, _ := come(); res.status != http.StatusSeeOther {
		t.Errorf("after the old account was forgotten: %d", res.status)
	}
	// Disabled, when bound.
	_, err = c.pool.Exec(t.Context(), `update people set disabled_at = clock_timestamp() where id = $1`, invited)
	must(t, err)
	if res, b := come(); res.status != http.StatusForbidden || b.signedIn(t) {
		t.Errorf("a disabled person with a bound account: %d", res.status)
	}
}

func TestOpenRedirects(t *testing.T) {
	t.Parallel()
	c, _ := newProvided(t)
	for _, next := range []string{
		"https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/%5Cevil.example", "/%2F/evil.example", "http:/evil.example",
		"javascript:alert(1)", "data:text/html,x", " //evil.example", "/\t/evil.example", "/\n/evil.example", "https:evil.example", "///evil.example", "evil.example",
		"//user@evil.example", "/%09/evil.example",
	} {
		b := c.browser(t, "")
		page := b.send(t, "GET", "/sign-in?next="+url.QueryEscape(next)).text()
		if !strings.Contains(page, `href="`+beginPath+`"`) {
			t.Errorf("%q is taken over by the sign-in page", next)
		}
		res := b.back(t, b.toProvider(t, beginPath+"?next="+url.QueryEscape(next)))
		if where := res.header.Get("Location"); where != "/" {
			t.Errorf("%q leads to %q", next, where)
		}
	}
}

// TestTheProviderIsAskedWhenItIsNeeded: the console works while it is down, says so, and finds it when it is back.
func TestTheProviderIsAskedWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	c, idp := newProvided(t)
	idp.Down = true
	if res := c.browser(t, "operator").send(t, "GET", "/admin/operations"); res.status != http.StatusOK {
		t.Errorf("a page while the provider is down: %d", res.status)
	}
	b := c.browser(t, "")
	res := b.send(t, "GET", beginPath+"?next=/admin/tenants")
	if res.status != http.StatusServiceUnavailable || !strings.Contains(res.text(), "Contoso ID cannot be reached") ||
		!strings.Contains(res.text(), beginPath+"?next=%2Fadmin%2Ftenants") {
		t.Errorf("while it is down: %d %s", res.status, visible(res.text()))
	}
	idp.Down = false
	for deadline := time.Now().Add(10 * time.Second); b.send(t, "GET", beginPath).status != http.StatusSeeOther; {
		if time.Now().After(deadline) {
			t.Fatal("the provider is back and was not found within ten seconds")
		}
		time.Sleep(200 * time.Millisecond)
	}
	if res := b.back(t, b.toProvider(t, beginPath)); res.status != http.StatusSeeOther {
		t.Errorf("after it is back: %d", res.status)
	}
}

func TestWithoutAProvider(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "")
	for _, path := range []string{beginPath, callbackPath + "?state=x&code=y"} {
		if res := b.send(t, "GET", path); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.status)
		}
	}
}

// TestWhatCountsAsVerified: what a provider says of an address, in the forms that providers use, where addresses are trusted and where not.
func TestWhatCountsAsVerified(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t)
	consoles := map[bool]*console{}
	for _, trust := range []bool{false, true} {
		consoles[trust] = newConsoleFor(t, auth.Config{OIDC: &auth.OIDC{
			Issuer: idp.URL, ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret, Name: "Contoso ID", Redirect: idptest.Redirect, TrustEmail: trust,
		}}, func(*web.Config) {})
	}
	idp.Email = "operator@example.test"
	for name, tc := range map[string]struct {
		claims         map[string]any
		plain, trusted bool
	}{
		"true":                    {map[string]any{"email_verified": true}, true, true},
		"a text":                  {map[string]any{"email_verified": "True"}, true, true},
		"false":                   {map[string]any{"email_verified": false}, false, false},
		"another text":            {map[string]any{"email_verified": "maybe"}, false, false},
		"nothing":                 {map[string]any{}, false, true},
		"nothing but null":        {map[string]any{"email_verified": nil}, false, true},
		"Entra's":                 {map[string]any{"xms_edov": true}, true, true},
		"Entra's as a number":     {map[string]any{"xms_edov": 1}, true, true},
		"Entra's as a text":       {map[string]any{"xms_edov": "1"}, true, true},
		"Entra's no":              {map[string]any{"xms_edov": "0"}, false, false},
		"yes and no":              {map[string]any{"email_verified": true, "xms_edov": false}, false, false},
		"another name, which can": {map[string]any{"preferred_username": "operator@example.test", "email": nil}, false, false},
	} {
		for trust, want := range map[bool]bool{false: tc.plain, true: tc.trusted} {
			c := consoles[trust]
			_, err := c.pool.Exec(t.Context(), `delete from sign_in_bindings`)
			must(t, err)
			idp.Claims = func(claims map[string]any) {
				delete(claims, "email_verified")
				maps.Copy(claims, tc.claims)
			}
			b := c.browser(t, "")
			res := b.back(t, b.toProvider(t, beginPath))
			if in := res.status == http.StatusSeeOther; in != want || in != b.signedIn(t) {
				t.Errorf("%s, trusted %v: signed in is %v (%d)", name, trust, in, res.status)
			}
		}
	}
}

func TestAnotherAccount(t *testing.T) {
	t.Parallel()
	c, idp := newProvided(t)
	idp.Email = "private@example.test"
	b := c.browser(t, "")
	page := b.back(t, b.toProvider(t, beginPath+"?next=/admin/tenants")).text()
	const again = beginPath + "?another&next=%2Fadmin%2Ftenants"
	if !strings.Contains(page, `href="`+html.EscapeString(again)+`"`) {
		t.Errorf("no way to another account: %s", visible(page))
	}
	res := b.send(t, "GET", again)
	there, err := url.Parse(res.header.Get("Location"))
	must(t, err)
	if q := there.Query(); q.Get("prompt") != "select_account" || q.Get("code_challenge_method") != "S256" || q.Get("scope") != "openid email profile" {
		t.Errorf("leads to %s", there)
	}
}

// TestALinkIsNotUsedUpForAnAnswerNobodyCanRead: a caller who takes no page is refused before anything happens.
func TestALinkIsNotUsedUpForAnAnswerNobodyCanRead(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	link, err := c.auth.IssueSignInLink(t.Context(), c.people["operator"], time.Hour)
	must(t, err)
	b := c.browser(t, "")
	if r := b.send(t, "POST", link, accept("application/json")); r.status != http.StatusNotAcceptable || len(r.header.Values("Set-Cookie")) > 0 {
		t.Errorf("%d, cookies %q", r.status, r.header.Values("Set-Cookie"))
	}
	b.send(t, "POST", link, form(nil))
	if r := b.send(t, "GET", "/admin/operations"); r.status != http.StatusOK {
		t.Errorf("the link was used up: %d", r.status)
	}
	if r := b.send(t, "POST", "/sign-out", accept("application/json")); r.status != http.StatusNotAcceptable {
		t.Errorf("signing out is %d", r.status)
	}
	if r := b.send(t, "GET", "/admin/operations"); r.status != http.StatusOK {
		t.Errorf("signed out, though refused: %d", r.status)
	}
}
