package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

var shownSecret = regexp.MustCompile(`id="secret">(tp_[A-Za-z0-9_-]{43})<`)

// makeToken makes a token in the browser and returns its secret.
func (a *caller) makeToken(t *testing.T, fields url.Values) string {
	t.Helper()
	res := a.send(t, "POST", view.TokensHref, form(fields))
	found := shownSecret.FindStringSubmatch(res.text())
	if res.status != http.StatusOK || found == nil || !strings.Contains(res.header.Get("Cache-Control"), "no-store") {
		t.Fatalf("make a token: %d %s", res.status, clip(res.body))
	}
	return found[1]
}

func (a *caller) tokens(t *testing.T) view.Tokens {
	t.Helper()
	res := a.send(t, "GET", view.TokensHref, accept("application/json"))
	var p view.Tokens
	if err := json.Unmarshal(res.body, &p); res.status != http.StatusOK || err != nil {
		t.Fatalf("list tokens: %d %s", res.status, clip(res.body))
	}
	return p
}

func tokenFields(name string, more ...string) url.Values {
	v := url.Values{"name": {name}, "expires": {time.Now().Add(30 * 24 * time.Hour).UTC().Format(time.DateOnly)}, "may": {"all"}, "sees": {"all"}}
	for i := 0; i+1 < len(more); i += 2 {
		v[more[i]] = append(v[more[i]], more[i+1])
	}
	return v
}

func (c *console) with(secret string) *caller {
	return &caller{c: c, client: plainClient(nil), token: secret}
}

func TestATokenDoesWhatItMay(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner := c.browser(t, "owner")
	fields := tokenFields("CI", "scope", string(domain.CapDirectorySync), "tenant", c.tailspn.ID.String())
	fields.Set("may", "listed")
	fields.Set("sees", "listed")
	narrow := c.with(owner.makeToken(t, fields))
	if res := narrow.send(t, "POST", groupsPath(c.tailspn)); res.status != http.StatusOK {
		t.Errorf("what it may is %d: %s", res.status, clip(res.body))
	}
	for what, res := range map[string]response{
		"404 a tenant that it does not see":   narrow.send(t, "POST", groupsPath(c.contoso)),
		"403 what it may not":                 narrow.send(t, "POST", startPath(c.tailspn, domain.OpConnectionCheck)),
		"403 holding, which its owner may":    narrow.send(t, "POST", "/admin/t/"+c.tailspn.ExternalID.String()+"/hold", form(url.Values{"reason": {"no"}})),
		"409 making tokens":                   narrow.send(t, "POST", view.TokensHref, form(tokenFields("more"))),
		"200 looking at what it sees":         narrow.send(t, "GET", "/admin/tenants/"+c.tailspn.ExternalID.String(), accept("application/json")),
		"404 looking at what it does not see": narrow.send(t, "GET", "/admin/tenants/"+c.contoso.ExternalID.String(), accept("application/json")),
	} {
		if !strings.HasPrefix(what, res.line()) {
			t.Errorf("%s: %d %s", what, res.status, clip(res.body))
		}
	}
	whole := c.with(c.browser(t, "operator").makeToken(t, tokenFields("mine")))
	if res := whole.send(t, "POST", groupsPath(c.contoso)); res.status != http.StatusOK {
		t.Errorf("all that its owner may is %d", res.status)
	}
	// With the owner's role the token loses the same rights, and with their membership all.
	us := domain.SystemActor(c.ours)
	must(t, c.commands.ChangeRole(t.Context(), commands.ChangeRole{Actor: us, Person: c.people["operator"], Role: domain.RoleReadonly}))
	c.settle(t)
	if res := whole.send(t, "POST", groupsPath(c.contoso)); res.status != http.StatusForbidden {
		t.Errorf("after its owner lost the role it is %d", res.status)
	}
	must(t, c.commands.RemoveMember(t.Context(), commands.RemoveMember{Actor: us, Person: c.people["operator"]}))
	c.settle(t)
	if res := whole.send(t, "GET", "/admin/tenants"); res.status != http.StatusNotFound && res.status != http.StatusUnauthorized {
		t.Errorf("after its owner was removed it is %d", res.status)
	}
}

func (r response) line() string { return strconv.Itoa(r.status) }

func TestTokensAreRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	manager, owner := c.browser(t, "manager"), c.browser(t, "owner")
	first := c.with(manager.makeToken(t, tokenFields("backup job")))
	opens := func(a *caller) bool { return a.send(t, "GET", "/admin/tenants").status == http.StatusOK }
	if !opens(first) {
		t.Fatal("the token opens nothing")
	}
	line := manager.tokens(t).Tokens[0]
	if line.Name != "backup job" || line.State != "active" || len(line.Secrets) != 1 || !strings.HasPrefix(first.token, line.Secrets[0].Prefix) {
		t.Fatalf("%+v", line)
	}
	path := view.TokensHref + "/" + line.ID
	rotate := func(overlap string) *caller {
		t.Helper()
		found := shownSecret.FindStringSubmatch(manager.send(t, "POST", path+"/rotate", form(url.Values{"overlap": {overlap}})).text())
		if found == nil {
			t.Fatal("no secret after rotating")
		}
		return c.with(found[1])
	}
	second := rotate("24")
	if !opens(first) || !opens(second) {
		t.Error("during the overlap one of the two secrets opens nothing")
	}
	third := rotate("0")
	for deadline := time.Now().Add(10 * time.Second); opens(first) || opens(second); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the secrets before go on")
		}
	}
	if !opens(third) {
		t.Error("the newest secret opens nothing")
	}
	if line = manager.tokens(t).Tokens[0]; len(line.Secrets) != 3 || line.Secrets[0].LastUsed.IsZero() || line.Secrets[0].From == "" {
		t.Errorf("after two rotations: %+v", line.Secrets)
	}
	// Others: a colleague does not know of it; who manages tokens sees and revokes it, and gives it no secret.
	if n := len(c.browser(t, "operator").tokens(t).Tokens); n != 0 {
		t.Errorf("an operator sees %d tokens of others", n)
	}
	if res := owner.send(t, "POST", path+"/rotate", form(url.Values{})); res.status != http.StatusForbidden {
		t.Errorf("rotating another's token is %d", res.status)
	}
	if res := owner.send(t, "POST", path+"/revoke", form(url.Values{})); res.status != http.StatusSeeOther {
		t.Errorf("revoking is %d: %s", res.status, clip(res.body))
	}
	if opens(third) {
		t.Error("a revoked token opens")
	}
	if line = manager.tokens(t).Tokens[0]; line.State != "revoked" {
		t.Errorf("the token is %s", line.State)
	}
	if res := manager.send(t, "POST", path+"/rotate", form(url.Values{})); res.status != http.StatusConflict {
		t.Errorf("rotating a revoked token is %d", res.status)
	}
	page := manager.tokens(t)
	var events []string
	for _, h := range page.History {
		events = append(events, h.Event)
	}
	if got := strings.Join(events, " "); got != "TokenRevoked TokenRotated TokenRotated TokenIssued" {
		t.Errorf("history: %s", got)
	}
	// No secret anywhere but on the page that made it.
	for _, secret := range []string{first.token, second.token, third.token} {
		if n := c.count(t, `select (select count(*) from events where payload::text || meta::text like '%' || $1 || '%')
			+ (select count(*) from api_tokens a where a::text like '%' || $1 || '%')`, secret); n != 0 {
			t.Errorf("a secret is in %d rows", n)
		}
		if strings.Contains(manager.send(t, "GET", view.TokensHref).text(), secret) {
			t.Error("a secret is shown again")
		}
	}
}

func TestATokenDoesNotOutliveWhatItIsFrom(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	operator, owner := c.browser(t, "operator"), c.browser(t, "owner")
	token := c.with(operator.makeToken(t, tokenFields("mine")))
	self := "/admin/settings/members/" + c.people["operator"].String() + "/remove"
	if res := token.send(t, "POST", self); res.status != http.StatusConflict {
		t.Errorf("a token ends its owner's membership: %d", res.status)
	}
	if res := owner.send(t, "POST", self, form(url.Values{})); res.status != http.StatusSeeOther {
		t.Fatalf("remove: %d", res.status)
	}
	must(t, c.commands.AddMember(t.Context(), commands.AddMember{Actor: domain.SystemActor(c.ours), Person: c.people["operator"], Role: domain.RoleManager}))
	c.settle(t)
	if res := token.send(t, "GET", "/admin/tenants"); res.status != http.StatusUnauthorized {
		t.Errorf("after its owner was removed and added again the token is %d", res.status)
	}
	// Revoked between the two steps of a rotation, it stays revoked.
	secret := owner.makeToken(t, tokenFields("of the owner"))
	line := owner.tokens(t).Tokens[0]
	id := uuid.MustParse(line.ID)
	must(t, c.auth.RevokeToken(t.Context(), id))
	late, prefix := auth.DrawToken()
	err := c.auth.RotateToken(t.Context(), id, domain.TokenRotated{Prefix: prefix, Overlap: time.Now(), Expires: time.Now().Add(time.Hour)}, late)
	if refusal, ok := domain.AsRefusal(err); !ok || refusal.Code != "token_revoked" {
		t.Errorf("rotating what was revoked meanwhile: %v", err)
	}
	for _, s := range []string{secret, late} {
		if res := c.with(s).send(t, "GET", "/admin/tenants"); res.status != http.StatusUnauthorized {
			t.Errorf("a secret of a revoked token is %d", res.status)
		}
	}
}

// TestATokensTimeIsBounded: 90 days unless one says otherwise, a year at most, and what nobody has used for 60 days is pointed out.
func TestATokensTimeIsBounded(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner := c.browser(t, "owner")
	now := time.Now().UTC()
	page := owner.send(t, "GET", view.TokensHref).text()
	m := regexp.MustCompile(`<input id="token-expires"[^>]* value="(\S+)" min="(\S+)" max="(\S+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page offers no days: %s", clip([]byte(page)))
	}
	in := func(days int) string { return now.AddDate(0, 0, days).Format(time.DateOnly) }
	if m[1] != in(90) || m[2] != in(1) || m[3] != in(365) {
		t.Errorf("by default until %s, from %s to %s; want %s, %s, %s", m[1], m[2], m[3], in(90), in(1), in(365))
	}
	until := func(day string) url.Values {
		fields := tokenFields("until " + day)
		fields.Set("expires", day)
		return fields
	}
	owner.makeToken(t, until(in(365)))
	if res := owner.send(t, "POST", view.TokensHref, form(until(in(367)))); res.status != http.StatusBadRequest || shownSecret.MatchString(res.text()) {
		t.Errorf("longer than a year: %d", res.status)
	}
	path := view.TokensHref + "/" + owner.tokens(t).Tokens[0].ID
	if res := owner.send(t, "POST", path+"/rotate", form(url.Values{})); res.status != http.StatusOK {
		t.Errorf("rotate: %d", res.status)
	}
	if ends := owner.tokens(t).Tokens[0].Secrets[0].Expires; ends.Sub(now.AddDate(0, 0, 90)).Abs() > time.Minute {
		t.Errorf("rotated without a word it lasts until %s", ends)
	}
	for _, age := range []struct {
		created, used string // ago
		unused        bool
	}{
		{"59 days 23 hours", "", false},
		{"60 days 1 minute", "", true},
		{"80 days", "59 days 23 hours", false},
		{"80 days", "60 days 1 minute", true},
	} {
		_, err := c.pool.Exec(t.Context(), `update api_tokens set created_at = now() - $1::text::interval, last_used_at = now() - nullif($2, '')::interval`,
			age.created, age.used)
		must(t, err)
		line := owner.tokens(t).Tokens[0]
		shown := strings.Contains(owner.send(t, "GET", view.TokensHref).text(), "Not used for 60 days")
		if line.State != "active" || line.Unused != age.unused || shown != age.unused {
			t.Errorf("made %s ago, used %q ago: %s, unused %v, said so %v", age.created, age.used, line.State, line.Unused, shown)
		}
	}
}

func TestWhatIsNoToken(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	operator := c.browser(t, "operator")
	long, past := tokenFields("long"), tokenFields("past")
	long.Set("expires", "2999-01-01")
	past.Set("expires", "2020-01-01")
	more := tokenFields("more", "scope", string(domain.CapProviderManage))
	more.Set("may", "listed")
	hidden := tokenFields("hidden", "tenant", c.fabrikam.ID.String())
	hidden.Set("sees", "listed")
	none, silent := tokenFields("none"), tokenFields("silent", "scope", string(domain.CapDirectorySync))
	silent.Del("may")
	ticked := tokenFields("ticked", "tenant", c.contoso.ID.String()) // but all
	none.Set("sees", "listed")
	for what, one := range map[string]struct {
		fields url.Values
		status int
	}{
		"without a name": {tokenFields(" "), 400}, "for ever": {long, 400}, "for the past": {past, 400}, "more than its owner may": {more, 403},
		"another workspace's tenant": {hidden, 400}, "no tenant": {none, 400},
		"ticked, and not said so": {silent, 400}, "ticked, and all": {ticked, 400},
	} {
		if res := operator.send(t, "POST", view.TokensHref, form(one.fields)); res.status != one.status || shownSecret.MatchString(res.text()) {
			t.Errorf("%s is %d: %s", what, res.status, clip(res.body))
		}
	}
	if n := c.count(t, `select count(*) from events where name = 'TokenIssued'`); n != 0 {
		t.Errorf("%d tokens were issued", n)
	}
}

// TestNoTokenIsMadeWhileItsOwnerGoes: whatever the order of making tokens and of the end of the membership, none is left that opens anything
// should the person come back.
func TestNoTokenIsMadeWhileItsOwnerGoes(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner, person := c.browser(t, "owner"), c.people["operator"]
	made := 0
	for round := range 12 {
		operator := c.browser(t, "operator")
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				time.Sleep(time.Duration(i*round) * 700 * time.Microsecond)
				operator.send(t, "POST", view.TokensHref, form(tokenFields("late")))
			})
		}
		time.Sleep(time.Duration(round%4) * 3 * time.Millisecond)
		if res := owner.send(t, "POST", "/admin/settings/members/"+person.String()+"/remove", form(url.Values{})); res.status != http.StatusSeeOther {
			t.Fatalf("remove: %d", res.status)
		}
		wg.Wait()
		if n := c.count(t, `select count(*) from api_tokens where person = $1 and revoked_at is null`, person); n != 0 {
			t.Errorf("round %d: %d tokens are left", round, n)
		}
		must(t, c.commands.AddMember(t.Context(), commands.AddMember{Actor: domain.SystemActor(c.ours), Person: person, Role: domain.RoleOperator}))
		c.settle(t)
		made = c.count(t, `select count(*) from api_tokens where person = $1`, person)
	}
	if made == 0 {
		t.Error("no token was made: nothing was tried")
	}
}
