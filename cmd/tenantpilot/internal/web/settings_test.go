package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

type profileAnswer struct {
	Name, Role string
	Sessions   []struct {
		ID, Device, Address string
		Since, Used         time.Time
		Current             bool
	}
	History []historyLine
}

type historyLine struct {
	Position               int64
	Event, Sentence, Actor string
}

const (
	profilePath   = "/admin/settings/profile"
	workspacePath = "/admin/settings/workspace"
	previewPath   = "/admin/settings/preview"
	firefox       = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

func (a *caller) profile(t testing.TB) (p profileAnswer) {
	t.Helper()
	must(t, json.Unmarshal(a.send(t, "GET", profilePath, accept("application/json")).body, &p))
	return p
}

// TestSessionsAreListedAndEnded signs in at three places and out of two, each with its own request and its own stream.
func TestSessionsAreListedAndEnded(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	here, there, third, stranger := c.browser(t, "operator"), c.browser(t, "operator"), c.browser(t, "operator"), c.browser(t, "stranger")
	p := here.profile(t)
	if len(p.Sessions) != 3 || !p.Sessions[0].Current || p.Sessions[1].Current || p.Name != "Operator" || p.Role != "operator" {
		t.Fatalf("the profile says %+v", p)
	}
	for _, s := range p.Sessions {
		if s.Address != "127.0.0.1" || s.Device != "Unknown device" || time.Since(s.Since) > time.Minute || time.Since(s.Used) > time.Minute {
			t.Errorf("a session is %+v", s)
		}
	}
	if p := c.program(t, "operator").profile(t); len(p.Sessions) != 0 || p.Name != "Operator" {
		t.Errorf("a token is told %+v", p)
	}
	page := here.send(t, "GET", profilePath).text()
	if strings.Count(page, "(this session)") != 1 || strings.Count(page, "Sign out</button>") < 2 || !strings.Contains(page, "Sign out everywhere else") {
		t.Error("the page does not show what can be ended")
	}
	at := there.profile(t).Sessions[0].ID
	end := profilePath + "/sessions/" + at + "/end"
	if r := stranger.send(t, "POST", end, form(nil)); r.status != http.StatusNotFound {
		t.Errorf("somebody else's session is ended: %d", r.status)
	}
	if r := here.send(t, "POST", profilePath+"/sessions/"+uuid.NewString()+"/end", form(nil)); r.status != http.StatusNotFound {
		t.Errorf("a session that is not there is ended: %d", r.status)
	}
	if r := c.program(t, "operator").send(t, "POST", end, form(nil)); r.status != http.StatusConflict {
		t.Errorf("a token ends a session: %d", r.status)
	}
	if r := there.send(t, "GET", profilePath); r.status != http.StatusOK {
		t.Fatalf("the session has ended too early: %d", r.status)
	}
	stream := there.listen(t, "/admin/operations/stream")
	if r := here.send(t, "POST", end, form(nil)); r.status != http.StatusSeeOther {
		t.Fatalf("end: %d %s", r.status, clip(r.body))
	}
	if r := there.send(t, "GET", profilePath); r.status != http.StatusFound || !strings.HasPrefix(r.header.Get("Location"), "/sign-in") {
		t.Errorf("an ended session is still let in: %d", r.status)
	}
	if r := there.send(t, "GET", profilePath, accept("application/json")); r.status != http.StatusUnauthorized {
		t.Errorf("an ended session is still let in as a program: %d", r.status)
	}
	for deadline := time.Now().Add(15 * time.Second); ; {
		if _, open := stream.next(time.Until(deadline)); !open {
			break // within the 5 s that a stream looks
		}
	}
	if r := here.send(t, "POST", profilePath+"/sessions/end-others", form(nil)); r.status != http.StatusSeeOther {
		t.Fatalf("end others: %d", r.status)
	}
	if r := third.send(t, "GET", profilePath); r.status != http.StatusFound {
		t.Errorf("the third session is still let in: %d", r.status)
	}
	if r := stranger.send(t, "GET", profilePath); r.status != http.StatusOK {
		t.Errorf("somebody else was signed out: %d", r.status)
	}
	p = here.profile(t)
	if len(p.Sessions) != 1 || len(p.History) != 2 || p.History[0].Event != "SessionsEnded" || p.History[0].Actor != "Operator" ||
		p.History[0].Sentence != "Signed out of 1 session of their own." {
		t.Errorf("afterwards the profile says %+v", p)
	}
	entry := fmt.Sprintf("/admin/audit/%d", p.History[0].Position)
	if !strings.Contains(here.send(t, "GET", profilePath).text(), `href="`+entry+`"`) || here.send(t, "GET", entry).status != http.StatusOK {
		t.Error("the change does not lead to its audit entry")
	}
}

// TestADeviceIsNamedCoarsely lets the session say where it was last used.
func TestADeviceIsNamedCoarsely(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "")
	link, err := c.auth.IssueSignInLink(t.Context(), c.people["nobody"], time.Hour)
	must(t, err)
	b.send(t, "POST", link, form(nil).with("User-Agent", firefox))
	if p := b.profile(t); p.Sessions[0].Device != "Firefox on Linux" || len(p.History) != 0 {
		t.Errorf("the profile says %+v", p)
	}
	nav := b.send(t, "GET", profilePath).text()
	if strings.Contains(nav, workspacePath) || !strings.Contains(nav, `aria-label="Settings"`) {
		t.Error("somebody without a workspace is led to its settings")
	}
}

type inUse struct{}

func (inUse) InUse() (uint32, int) { return 4711, 2 }

func TestTheWorkspaceIsRenamed(t *testing.T) {
	t.Parallel()
	c := newConsoleWith(t, func(cfg *web.Config) {
		cfg.Keyset, cfg.LogVerifier = inUse{}, "log.example+0a1b2c3d+AXJlYWRhYmxl"
	})
	owner := c.browser(t, "owner")
	rename := workspacePath + "/name"
	for name, want := range map[string]int{"manager": 403, "readonly": 403, "limited": 403, "nobody": 404, "platform": 404} {
		if r := c.browser(t, name).send(t, "POST", rename, form(url.Values{"name": {"Mine"}})); r.status != want {
			t.Errorf("%s renames: %d, want %d", name, r.status, want)
		}
	}
	if r := owner.send(t, "POST", rename, form(url.Values{"name": {" "}})); r.status != http.StatusBadRequest {
		t.Errorf("a workspace without a name: %d", r.status)
	}
	if r := owner.send(t, "POST", rename, form(url.Values{"name": {"Northlight MSP"}})); r.status != http.StatusSeeOther {
		t.Fatalf("rename: %d %s", r.status, clip(r.body))
	}
	var w struct {
		Name    string
		LogKey  struct{ Name, Hash, Verifier string }
		Keyset  struct{ Primary, Keys int }
		History []historyLine
	}
	must(t, json.Unmarshal(owner.send(t, "GET", workspacePath, accept("application/json")).body, &w))
	if w.Name != "Northlight MSP" || w.LogKey.Name != "log.example" || w.LogKey.Hash != "0a1b2c3d" || w.Keyset.Primary != 4711 || w.Keyset.Keys != 2 {
		t.Errorf("the page says %+v", w)
	}
	if h := w.History[0]; h.Event != "WorkspaceRenamed" || h.Actor != "Owner" || h.Sentence != "Renamed the workspace to Northlight MSP." {
		t.Errorf("the last change is %+v", h)
	}
	page := owner.send(t, "GET", workspacePath).text()
	if !strings.Contains(page, fmt.Sprintf(`href="/admin/audit/%d"`, w.History[0].Position)) || !strings.Contains(page, "Northlight MSP</small>") {
		t.Error("the page does not show the new name and its audit entry")
	}
	if reader := c.browser(t, "readonly").send(t, "GET", workspacePath); reader.status != 200 || strings.Contains(reader.text(), rename) {
		t.Error("a reader is offered the form")
	}
}

// TestAPreviewShowsWhatTheRoleSees looks at the console as other roles, with less than the owner has, and never more.
func TestAPreviewShowsWhatTheRoleSees(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	owner := c.browser(t, "owner")
	for name, want := range map[string]int{"manager": 403, "readonly": 403, "nobody": 404, "platform": 404} {
		if r := c.browser(t, name).send(t, "POST", previewPath, form(url.Values{"role": {"readonly"}})); r.status != want {
			t.Errorf("%s previews: %d, want %d", name, r.status, want)
		}
	}
	if r := c.program(t, "owner").send(t, "POST", previewPath, form(url.Values{"role": {"readonly"}})); r.status != http.StatusConflict {
		t.Errorf("a token previews: %d", r.status)
	}
	if r := owner.send(t, "POST", previewPath, form(url.Values{"role": {"no-such"}})); r.status != http.StatusBadRequest {
		t.Errorf("a preview of no role: %d", r.status)
	}
	stream := owner.listen(t, runPath(run.RunNumber)+"/stream")
	look := func(role string, tenants ...uuid.UUID) {
		t.Helper()
		values := url.Values{"role": {role}}
		for _, id := range tenants {
			values.Add("tenant", id.String())
		}
		if r := owner.send(t, "POST", previewPath, form(values)); r.status != http.StatusSeeOther {
			t.Fatalf("preview: %d %s", r.status, clip(r.body))
		}
	}
	end := func() {
		t.Helper()
		if r := owner.send(t, "POST", previewPath+"/end", form(nil)); r.status != http.StatusSeeOther {
			t.Fatalf("end: %d %s", r.status, clip(r.body))
		}
	}
	hold := "/admin/t/" + c.contoso.ExternalID.String() + "/hold"
	tenantStart := "/admin/t/" + c.contoso.ExternalID.String() + "/start"

	cancel := `action="` + runPath(run.RunNumber) + `/cancel"`
	if r := owner.send(t, "GET", runPath(run.RunNumber)); !strings.Contains(r.text(), cancel) {
		t.Error("the owner is not offered to cancel")
	}
	look("operator", c.tailspn.ID)
	for deadline := time.Now().Add(15 * time.Second); ; {
		if _, open := stream.next(time.Until(deadline)); !open {
			break // what was opened with other rights ends
		}
	}
	page := owner.send(t, "GET", "/admin/tenants").text()
	if !strings.Contains(page, "You see the console as Operator") || !strings.Contains(page, "It sees Tailspin.") || strings.Contains(page, "Contoso") {
		t.Error("the list shows other tenants than the role sees, or no strip")
	}
	for _, hidden := range []string{runPath(run.RunNumber), "/admin/tenants/" + c.contoso.ExternalID.String(), hold, tenantStart} {
		r := owner.send(t, "GET", hidden)
		if r.status != http.StatusNotFound || !strings.Contains(r.text(), "You see the console as Operator") {
			t.Errorf("%s in the preview: %d", hidden, r.status)
		}
	}
	end()

	look("readonly")
	if r := owner.send(t, "GET", hold); r.status != http.StatusForbidden {
		t.Errorf("a reader's preview of a hold: %d", r.status)
	}
	if r := owner.send(t, "GET", runPath(run.RunNumber)); r.status != http.StatusOK || strings.Contains(r.text(), cancel) {
		t.Errorf("a reader's preview of a run: %d", r.status)
	}
	if r := owner.send(t, "GET", membersHrefOf); strings.Contains(r.text(), "Invite somebody") || strings.Contains(r.text(), "See as this role") {
		t.Error("a reader's preview offers to manage members")
	}
	end()

	owner.send(t, "POST", "/admin/settings/roles", form(url.Values{"role": {"night-shift"}, "capability": {"directory.sync"}}))
	look("night-shift")
	if r := owner.send(t, "GET", tenantStart); r.status != http.StatusOK || !strings.Contains(r.text(), "You see the console as night-shift") {
		t.Errorf("a custom role's preview of a start: %d", r.status)
	}
	if r := owner.send(t, "GET", "/admin/tenants/"+c.contoso.ExternalID.String()); r.status != http.StatusOK {
		t.Errorf("a custom role's preview of a tenant: %d", r.status)
	}
	before := c.count(t, `select count(*) from events`)
	for _, path := range []string{
		startPath(c.contoso, domain.OpGroupsSync), runPath(run.RunNumber) + "/cancel", hold, "/admin/settings/roles", previewPath, workspacePath + "/name",
		"/admin/notifications/read", "/admin/views", profilePath + "/sessions/end-others", "/workspaces/" + c.ours.String() + "/choose",
		startPath(domain.Tenant{ExternalID: uuid.New()}, domain.OpGroupsSync), membersHrefOf + "/invite",
	} {
		r := owner.send(t, "POST", path, form(url.Values{"role": {"owner"}, "name": {"x"}, "email": {"x@example.test"}, "attempt_id": {uuid.NewString()}, "reason": {"x"}}))
		if r.status != http.StatusForbidden || !strings.Contains(r.text(), "End the preview first") {
			t.Errorf("POST %s in a preview: %d", path, r.status)
		}
		if p := owner.send(t, "POST", path, accept("application/json")).problem(t); p.Code != "preview" {
			t.Errorf("POST %s in a preview as a program: %+v", path, p)
		}
	}
	if r := owner.send(t, "GET", "/consent/callback?state=x"); r.status != http.StatusForbidden {
		t.Errorf("a consent is answered in a preview: %d", r.status)
	}
	if after := c.count(t, `select count(*) from events`); after != before {
		t.Errorf("%d events were recorded in a preview", after-before)
	}
	if r := c.browser(t, "owner").send(t, "GET", "/admin/tenants"); strings.Contains(r.text(), "You see the console as") {
		t.Error("another session of the same person is in the preview too")
	}
	// The role that is looked at may be changed or taken away meanwhile.
	other := c.browser(t, "owner")
	other.send(t, "POST", "/admin/settings/roles/night-shift/remove", form(nil))
	if r := owner.send(t, "GET", tenantStart); r.status == http.StatusOK && strings.Contains(r.text(), "Sync directory groups") {
		t.Error("a role that was removed still allows something")
	}
	end()
	if r := owner.send(t, "GET", hold); r.status != http.StatusOK || strings.Contains(r.text(), "You see the console as") {
		t.Errorf("after the preview: %d", r.status)
	}

	// Who loses rights during a preview has lost them there too.
	look("owner")
	must(t, c.demote(t, "owner"))
	if r := owner.send(t, "GET", hold); r.status != http.StatusForbidden {
		t.Errorf("a preview gives more than its person has: %d", r.status)
	}
	if r := owner.send(t, "POST", "/sign-out", form(nil)); r.status != http.StatusSeeOther {
		t.Errorf("sign out of a preview: %d", r.status)
	}
}

const membersHrefOf = "/admin/settings/members"

// demote makes somebody else the owner, and the person a reader.
func (c *console) demote(t testing.TB, name string) error {
	t.Helper()
	us := domain.SystemActor(c.ours)
	if err := c.commands.ChangeRole(t.Context(), commands.ChangeRole{Actor: us, Person: c.people["manager"], Role: domain.RoleOwner}); err != nil {
		return err
	}
	err := c.commands.ChangeRole(t.Context(), commands.ChangeRole{Actor: us, Person: c.people[name], Role: domain.RoleReadonly})
	c.settle(t)
	return err
}
