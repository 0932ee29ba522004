package web_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// members are asked as programs and as browsers. What they get is the status by method and address.
var members = []string{"owner", "manager", "operator", "both", "readonly", "limited", "stranger", "platform", "nobody", ""}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	own := c.contoso.ExternalID.String()
	type want map[string]int
	starts := want{"owner": 200, "manager": 200, "operator": 200, "both": 200, "readonly": 403, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404}
	views := want{"owner": 200, "manager": 200, "operator": 200, "both": 200, "readonly": 200, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404}
	lists := want{"owner": 200, "manager": 200, "operator": 200, "both": 200, "readonly": 200, "limited": 200, "stranger": 200, "platform": 404, "nobody": 404}
	asks := want{"owner": 200, "manager": 200, "operator": 403, "both": 403, "readonly": 403, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404}
	cancels := want{"readonly": 403, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404}
	holds := want{"owner": 200, "manager": 403, "operator": 403, "both": 403, "readonly": 403, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404}
	everybody := want{"owner": 200, "manager": 200, "readonly": 200, "limited": 200, "stranger": 200, "platform": 200, "nobody": 200}
	renames := want{"owner": 400, "manager": 403, "operator": 403, "readonly": 403, "limited": 403, "stranger": 400, "platform": 404, "nobody": 404}
	describes := want{"owner": 200, "manager": 200, "operator": 403, "both": 403, "readonly": 403, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404}
	unseen := maps.Clone(describes) // without the tag of what is changed
	unseen["owner"], unseen["manager"] = 428, 428
	noHolds := maps.Clone(holds)
	delete(noHolds, "owner")
	consent := consentPath(c.conn)
	htmlOnly := map[string]bool{
		"/admin/t/" + own + "/hold": true, "/admin/t/" + own + "/release": true,
		"/kept-form": true, "/kept-form/discard": true,
		"/admin/settings/workspace/name": true,
		"/admin/t/" + own + "/start":     true, "/admin/tenants": true, "/admin/notifications": true, "/admin/start": true,
	}
	// This console has no log key: who may have proofs is told that nothing is signed, everybody else what they are told about anything.
	proofs := want{"owner": 409, "manager": 409, "operator": 409, "both": 409, "readonly": 409, "limited": 409, "stranger": 409, "platform": 404, "nobody": 404}
	packs := want{"owner": 409, "manager": 409, "operator": 409, "both": 409, "readonly": 409, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404}
	htmlOnly[runPath(run.RunNumber)+"/evidence"], htmlOnly["/admin/t/"+own+"/evidence"] = true, true // files, rather
	// Nobody here has sent anything without a session.
	kept := want{
		"owner": 404, "manager": 404, "operator": 404, "both": 404, "readonly": 404, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404,
	}
	confirm := "/admin/attempts/replay/" + uuid.NewString() + "/confirm"
	htmlOnly["/admin/attempts/replay"], htmlOnly[confirm] = true, true
	picks := want{"owner": 400, "operator": 400, "readonly": 400, "limited": 400, "stranger": 400, "platform": 404, "nobody": 404} // without attempts
	noPreview := want{"owner": 404, "operator": 404, "readonly": 404, "limited": 404, "stranger": 404, "platform": 404, "nobody": 404}
	checks := map[string]want{
		"GET /kept-form":                                                      kept,
		"POST /kept-form/discard":                                             kept,
		"POST " + startPath(c.contoso, domain.OpGroupsSync):                   starts,
		"POST " + connectionPath(c.conn, domain.OpGroupsSync):                 starts,
		"POST " + groupsPath(c.contoso):                                       starts,
		"POST " + rolesPath(c.contoso):                                        starts,
		"GET " + runPath(run.RunNumber):                                       views,
		"GET " + fmt.Sprintf("/admin/t/%s/operations/%d", own, run.RunNumber): views,
		"GET /admin/t/" + own + "/operations":                                 views,
		"GET /admin/tenants/" + own:                                           views,
		"GET /admin/tenants/" + own + "/edit":                                 describes,
		"POST /admin/tenants/" + own + "/edit":                                unseen,
		"GET /admin/t/" + own + "/start":                                      views,
		"POST " + runPath(run.RunNumber) + "/cancel":                          cancels,
		"GET " + consent:                                                      views,
		"POST " + consent + "/request":                                        asks,
		"GET /admin/operations":                                               lists,
		"GET /admin/t/" + own + "/hold":                                       holds,
		"GET /admin/t/" + own + "/release":                                    holds,
		"POST /admin/t/" + own + "/hold":                                      noHolds,
		"POST /admin/t/" + own + "/release":                                   noHolds,
		"GET /admin/tenants":                                                  lists,
		"GET /admin/readiness":                                                lists,
		"GET /admin/notifications":                                            lists,
		"GET /admin/attempts":                                                 lists,
		"GET /admin/audit":                                                    lists,
		"GET /admin/attempts/" + run.Attempt.String():                         views,
		"GET " + replayPath("connection", c.conn.Number):                      views,
		"GET " + replayPath("tenant", c.contoso.Number):                       views,
		"GET " + replayPath("run", run.RunNumber):                             views,
		"GET " + c.eventOf(t, c.conn.ID):                                      views,
		"POST " + startPath(c.contoso, "restore.execute"):                     {"owner": 404, "operator": 404, "stranger": 404}, // not released
		"POST " + startPath(c.contoso, "no.such.operation"):                   {"owner": 404, "readonly": 404},
		"POST " + startPath(domain.Tenant{ExternalID: uuid.New()}, "no.such"): {"owner": 404},
		"GET /admin/t/" + c.fabrikam.ExternalID.String() + "/operations":      {"both": 404, "owner": 404}, // their workspace is not the chosen one
		"GET /admin/t/" + c.tailspn.ExternalID.String() + "/operations":       {"limited": 200},
		"POST " + startPath(c.tailspn, domain.OpRoleDefinitionsSync):          {"limited": 200},
		"POST " + connectionPath(c.foreign, domain.OpGroupsSync):              {"owner": 404, "operator": 404, "stranger": 200},
		"GET /admin/operations/" + fmt.Sprint(run.RunNumber+1000):             {"owner": 404, "stranger": 404},
		"GET /admin/audit/heads":                                              proofs,
		"GET /admin/audit/proof/inclusion?position=1":                         proofs,
		"GET /admin/audit/proof/consistency?from=1":                           proofs,
		"GET " + runPath(run.RunNumber) + "/evidence":                         packs,
		"GET /admin/t/" + own + "/evidence":                                   packs,
		"GET /admin/settings/profile":                                         everybody,
		"GET /admin/settings/workspace":                                       lists,
		"GET /admin/settings/members":                                         lists,
		"POST /admin/settings/workspace/name":                                 renames,
		"POST /admin/attempts/replay":                                         picks,
		"POST " + confirm:                                                     noPreview,
		"GET /admin/no/such/page":                                             {},
	}
	for _, name := range members {
		var program, browser *caller
		if name == "" {
			program, browser = &caller{c: c, client: plainClient(nil)}, c.browser(t, "")
		} else {
			program, browser = c.program(t, name), c.browser(t, name)
		}
		for where, wants := range checks {
			method, path, _ := strings.Cut(where, " ")
			if path == "/admin/no/such/page" {
				continue // no route, so nothing in the document
			}
			status, ok := wants[name]
			if name == "" {
				anonymous(t, program, browser, method, path)
				continue
			}
			if !ok {
				continue
			}
			as := message{}
			if !htmlOnly[path] {
				as = as.with("Accept", "application/json")
			}
			if res := program.send(t, method, path, as); res.status != status {
				t.Errorf("%s as a program: %s is %d, want %d: %s", name, where, res.status, status, clip(res.body))
			}
			res := browser.send(t, method, path)
			if res.status != status {
				t.Errorf("%s as a browser: %s is %d, want %d", name, where, res.status, status)
			}
			if status >= 400 && (!strings.HasPrefix(res.header.Get("Content-Type"), "text/html") || !strings.Contains(res.text(), res.header.Get("X-Request-Id"))) {
				t.Errorf("%s as a browser: %s is not an error page with its request id: %s", name, where, clip(res.body))
			}
		}
	}
	if n := c.count(t, `select count(*) from attempts where initiator_id = any($1)`,
		[]uuid.UUID{c.people["readonly"], c.people["nobody"], c.people["platform"]}); n != 0 {
		t.Errorf("%d receipts of attempts that were not allowed", n)
	}
}

func anonymous(t *testing.T, program, browser *caller, method, path string) {
	t.Helper()
	res := program.send(t, method, path, accept("application/json"))
	if p := res.problem(t); res.status != http.StatusUnauthorized || res.header.Get("WWW-Authenticate") == "" {
		t.Errorf("nobody as a program: %s %s is %d: %+v", method, path, res.status, p)
	}
	res = browser.send(t, method, path)
	where, err := url.Parse(res.header.Get("Location"))
	must(t, err)
	if res.status != http.StatusFound || where.Path != "/sign-in" {
		t.Errorf("nobody as a browser: %s %s is %d to %s", method, path, res.status, where)
	}
	if method == http.MethodGet && where.Query().Get("next") != path {
		t.Errorf("nobody as a browser: %s leads back to %q", path, where.Query().Get("next"))
	}
	res = browser.send(t, method, path, message{}.with("HX-Request", "true"))
	if res.status/100 == 3 || res.header.Get("HX-Redirect") == "" {
		t.Errorf("nobody inside a page: %s %s is %d, HX-Redirect %q", method, path, res.status, res.header.Get("HX-Redirect"))
	}
}

// TestAbsentAndHiddenAreTheSameBytes asks for things that are not there and for things of others: but for the address and the request's id
// no byte differs, and no header.
func TestAbsentAndHiddenAreTheSameBytes(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	absent := domain.Tenant{ExternalID: uuid.New()}
	gone := domain.ProviderConnection{Number: 999_999}
	hidden := c.contoso.ExternalID.String()
	pairs := [][3]string{
		{"POST", startPath(c.contoso, domain.OpGroupsSync), startPath(absent, domain.OpGroupsSync)},
		{"POST", startPath(c.contoso, "no.such"), startPath(absent, "no.such")},
		{"POST", groupsPath(c.contoso), groupsPath(absent)},
		{"POST", rolesPath(c.contoso), rolesPath(absent)},
		{"POST", connectionPath(c.conn, domain.OpGroupsSync), connectionPath(gone, domain.OpGroupsSync)},
		{"GET", runPath(run.RunNumber), runPath(run.RunNumber + 1_000_000)},
		{"POST", runPath(run.RunNumber) + "/cancel", runPath(run.RunNumber+1_000_000) + "/cancel"},
		{"GET", runPath(run.RunNumber) + "/stream", runPath(run.RunNumber+1_000_000) + "/stream"},
		{"GET", "/admin/attempts/" + run.Attempt.String(), "/admin/attempts/" + uuid.NewString()},
		{"GET", replayPath("run", run.RunNumber), replayPath("run", run.RunNumber+1_000_000)},
		{"GET", replayPath("connection", c.conn.Number), replayPath("connection", 999_999)},
		{"GET", c.eventOf(t, c.conn.ID), "/admin/audit/99999"},
		{"GET", "/admin/t/" + hidden + "/hold", "/admin/t/" + absent.ExternalID.String() + "/hold"},
		{"POST", "/admin/t/" + hidden + "/hold", "/admin/t/" + absent.ExternalID.String() + "/hold"},
		{"POST", "/admin/t/" + hidden + "/release", "/admin/t/" + absent.ExternalID.String() + "/release"},
		{"GET", consentPath(c.conn), consentPath(gone)},
		{"POST", consentPath(c.conn) + "/request", consentPath(gone) + "/request"},
		{"GET", runPath(run.RunNumber) + "/evidence", runPath(run.RunNumber+1_000_000) + "/evidence"},
		{"GET", "/admin/t/" + hidden + "/evidence", "/admin/t/" + absent.ExternalID.String() + "/evidence"},
		{"GET", "/admin/tenants/" + hidden, "/admin/tenants/" + absent.ExternalID.String()},
		{"GET", "/admin/tenants/" + hidden + "/edit", "/admin/tenants/" + absent.ExternalID.String() + "/edit"},
		{"POST", "/admin/tenants/" + hidden + "/edit", "/admin/tenants/" + absent.ExternalID.String() + "/edit"},
		{"GET", "/admin/t/" + hidden + "/operations", "/admin/t/" + absent.ExternalID.String() + "/operations"},
		{"GET", "/admin/t/" + hidden + "/start", "/admin/t/" + absent.ExternalID.String() + "/start"},
		{
			"GET", fmt.Sprintf("/admin/t/%s/operations/%d", hidden, run.RunNumber),
			fmt.Sprintf("/admin/t/%s/operations/%d", absent.ExternalID, run.RunNumber),
		},
		{
			"GET", fmt.Sprintf("/admin/t/%s/operations/%d", c.tailspn.ExternalID, run.RunNumber), // seen by limited, the run is not
			fmt.Sprintf("/admin/t/%s/operations/%d", c.tailspn.ExternalID, run.RunNumber+1_000_000),
		},
	}
	for _, name := range []string{"stranger", "limited"} {
		for form, from := range map[string]*caller{"program": c.program(t, name), "browser": c.browser(t, name)} {
			for _, p := range pairs {
				// The body is malformed on purpose: outsiders are not told.
				sent := message{}
				if p[0] == "POST" {
					sent = jsonBody(`{"providerConnectionId":"no number", `)
				}
				one, other := neutral(from.send(t, p[0], p[1], sent), p[1]), neutral(from.send(t, p[0], p[2], sent), p[2])
				if !strings.HasPrefix(one, "404 ") {
					t.Errorf("%s as a %s: %s %s is %s", name, form, p[0], p[1], one[:3])
				}
				if d := differ(one, other); d != "" {
					t.Errorf("%s as a %s: %s %s differs from what is not there: %s", name, form, p[0], p[1], d)
				}
			}
		}
	}
}

// neutral is an answer without what belongs to the request.
func neutral(r response, path string) string {
	h := r.header.Clone()
	for _, name := range []string{"Date", "X-Request-Id", "Set-Cookie"} {
		h.Del(name)
	}
	id := r.header.Get("X-Request-Id")
	body := strings.NewReplacer(id, "REQUEST", id[:8]+"…"+id[len(id)-4:], "REQUEST").Replace(r.text())
	if h.Get("Content-Length") != "" {
		h.Set("Content-Length", fmt.Sprint(len(strings.ReplaceAll(r.text(), path, ""))))
	}
	return fmt.Sprintf("%d %v\n%s", r.status, h, strings.ReplaceAll(body, path, "PATH"))
}

// differ shows where two texts part.
func differ(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%q but %q", a[max(0, i-40):min(len(a), i+40)], b[max(0, i-40):min(len(b), i+40)])
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d bytes but %d", len(a), len(b))
	}
	return ""
}

// TestARunOfAnotherTenant: the run below a tenant that it does not belong to is forbidden to those who see both, with the way to it.
func TestARunOfAnotherTenant(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	path := fmt.Sprintf("/admin/t/%s/operations/%d", c.tailspn.ExternalID, run.RunNumber)
	if res := c.program(t, "readonly").send(t, "GET", path); res.status != http.StatusForbidden || res.problem(t).Code != "other_tenant" {
		t.Errorf("program: %d %s", res.status, res.body)
	}
	res := c.browser(t, "readonly").send(t, "GET", path)
	if res.status != http.StatusForbidden || !strings.Contains(res.text(), `href="`+runPath(run.RunNumber)+`"`) {
		t.Errorf("browser: %d %s", res.status, clip(res.body))
	}
	if res := c.program(t, "limited").send(t, "GET", path); res.status != http.StatusNotFound {
		t.Errorf("who does not see the run's tenant: %d %s", res.status, res.body)
	}
}

func TestButtonsOnlyForThoseWhoMay(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	cancel := `action="` + runPath(run.RunNumber) + `/cancel"`
	for name, may := range map[string]bool{"operator": true, "readonly": false} {
		b := c.browser(t, name)
		if page := b.send(t, "GET", runPath(run.RunNumber)).text(); strings.Contains(page, cancel) != may {
			t.Errorf("%s: the cancel button is there: %v", name, !may)
		}
		for _, path := range []string{"/admin/operations", "/admin/tenants/" + c.contoso.ExternalID.String()} {
			if page := b.send(t, "GET", path).text(); strings.Contains(page, "start-button") != may {
				t.Errorf("%s: %s has a start button: %v", name, path, !may)
			}
		}
	}
	b := c.browser(t, "operator")
	c.work(t)
	if res := b.send(t, "POST", runPath(run.RunNumber)+"/cancel", form(nil)); res.status != http.StatusSeeOther || res.header.Get("Location") != runPath(run.RunNumber) {
		t.Fatalf("cancel: %d to %s", res.status, res.header.Get("Location"))
	}
	page := b.send(t, "GET", runPath(run.RunNumber)).text()
	if strings.Contains(page, cancel) || !strings.Contains(page, "Cancel requested") && !strings.Contains(page, "Cancelling") {
		t.Error("a run whose cancel was asked for does not say so, or can be cancelled again")
	}
}

func TestOtherSitesCannotStart(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	for name, m := range map[string]message{
		"cross-site":         form(nil).with("Sec-Fetch-Site", "cross-site").with("Origin", "https://evil.example"),
		"same-site":          form(nil).with("Sec-Fetch-Site", "same-site").with("Origin", "https://evil.example"),
		"old browser":        form(nil).with("Sec-Fetch-Site", "").with("Origin", "https://evil.example"),
		"says not whence":    form(nil).with("Sec-Fetch-Site", "").with("Origin", ""),
		"opaque origin":      form(nil).with("Sec-Fetch-Site", "").with("Origin", "null"),
		"text/plain as JSON": {kind: "text/plain", body: `{}`, header: map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}},
	} {
		for _, path := range []string{groupsPath(c.contoso), "/sign-out", "/admin/notifications/read"} {
			if res := b.send(t, "POST", path, m); res.status != http.StatusForbidden {
				t.Errorf("%s: %s is %d", name, path, res.status)
			}
		}
	}
	if n := c.count(t, `select count(*) from attempts`); n != 0 {
		t.Errorf("%d attempts were recorded", n)
	}
	if res := b.send(t, "POST", groupsPath(c.contoso), form(nil)); res.status != http.StatusOK {
		t.Errorf("our own page: %d", res.status)
	}
	if res := c.program(t, "operator").send(t, "POST", groupsPath(c.contoso), message{}.with("Origin", "https://tool.example")); res.status != http.StatusOK {
		t.Errorf("a program with a token: %d", res.status)
	}
}
