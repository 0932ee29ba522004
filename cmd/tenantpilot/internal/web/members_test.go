package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

type membersAnswer struct {
	Members []struct{ Person, Name, Email, Role, Sees string }
	Roles   []struct {
		Role    string
		Members int
	}
	Invitations []struct{ Person, Email, Role string }
	History     []struct{ Event, Sentence, Actor string }
}

func (a *caller) members(t testing.TB) (m membersAnswer) {
	t.Helper()
	must(t, json.Unmarshal(a.send(t, "GET", "/admin/settings/members", accept("application/json")).body, &m))
	return m
}

// TestAnInvitedPersonBecomesAMember walks from the invitation through the link and the acceptance to the end of the membership.
func TestAnInvitedPersonBecomesAMember(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner := c.browser(t, "owner")
	owner.send(t, "POST", "/admin/settings/roles", form(url.Values{"role": {"night-shift"}, "capability": {"directory.sync"}}))
	made := owner.send(t, "POST", "/admin/settings/members/invite", form(url.Values{
		"email": {"nia@example.test"}, "name": {"Nia Night"}, "role": {"night-shift"}, "sees": {"listed"}, "tenant": {c.contoso.ID.String()},
	}))
	link := regexp.MustCompile(`/sign-in/[A-Za-z0-9_-]+`).FindString(made.text())
	if made.status != http.StatusOK || link == "" {
		t.Fatalf("no link in %d: %s", made.status, clip(made.body))
	}
	if again := owner.send(t, "GET", "/admin/settings/members"); strings.Contains(again.text(), link) {
		t.Error("the link is shown a second time")
	}
	nia := c.browser(t, "")
	nia.send(t, "POST", link, form(nil))
	if home := nia.send(t, "GET", "/"); !strings.Contains(home.text(), "You are invited to Ours") {
		t.Fatalf("the first page shows no invitation: %s", clip(home.body))
	}
	if r := nia.send(t, "GET", "/admin/operations"); r.status != http.StatusNotFound {
		t.Errorf("somebody who is only invited sees operations: %d", r.status)
	}
	if r := nia.send(t, "POST", "/invitations/"+c.theirs.String()+"/accept", form(nil)); r.status != http.StatusNotFound {
		t.Errorf("somebody accepts what was not offered: %d", r.status)
	}
	if r := nia.send(t, "POST", "/invitations/"+c.ours.String()+"/accept", form(nil)); r.status != http.StatusSeeOther {
		t.Fatalf("accept: %d %s", r.status, clip(r.body))
	}
	tenants := nia.send(t, "GET", "/admin/tenants")
	if !strings.Contains(tenants.text(), "Contoso") || strings.Contains(tenants.text(), "Tailspin") {
		t.Error("the new member sees other tenants than the scope says")
	}
	if o := nia.send(t, "POST", startPath(c.contoso, domain.OpGroupsSync), form(url.Values{"attempt_id": {uuid.NewString()}})); o.status != http.StatusOK {
		t.Errorf("the custom role does not allow what it says: %d", o.status)
	}
	if r := nia.send(t, "POST", startPath(c.contoso, domain.OpConnectionCheck), form(url.Values{"attempt_id": {uuid.NewString()}})); r.status != http.StatusForbidden {
		t.Errorf("the custom role allows what it does not say: %d", r.status)
	}
	list := c.program(t, "owner").members(t)
	i := slices.IndexFunc(list.Members, func(m struct{ Person, Name, Email, Role, Sees string }) bool { return m.Name == "Nia Night" })
	if i < 0 || list.Members[i].Role != "night-shift" || list.Members[i].Sees != "Contoso" || list.History[0].Event != "InvitationAccepted" {
		t.Fatalf("the page tells %+v", list)
	}
	for i, want := range []string{"Accepted the invitation and became a member as night-shift.", "Invited Nia Night as night-shift, until "} {
		if h := list.History[i]; !strings.HasPrefix(h.Sentence, want) || h.Actor != []string{"Nia Night", "Owner"}[i] {
			t.Errorf("change %d from the newest is told as %+v", i, h)
		}
	}
	remove := "/admin/settings/members/" + list.Members[i].Person + "/remove"
	if r := owner.send(t, "POST", "/admin/settings/roles/night-shift/remove", form(nil)); r.status != http.StatusConflict {
		t.Errorf("a role that somebody has is removed: %d", r.status)
	}
	if r := owner.send(t, "POST", remove, form(nil)); r.status != http.StatusSeeOther {
		t.Errorf("remove: %d", r.status)
	}
	if r := nia.send(t, "GET", "/admin/tenants"); r.status != http.StatusNotFound {
		t.Errorf("a removed member still sees tenants: %d", r.status)
	}
}

var invitationLink = regexp.MustCompile(`/sign-in/[A-Za-z0-9_-]{43}`)

// invite invites somebody with a form; more are further names and values in it.
func (a *caller) invite(t testing.TB, email, name, role string, more ...string) response {
	t.Helper()
	f := url.Values{"email": {email}, "name": {name}, "sees": {"all"}, "role": {role}}
	for i := 0; i+1 < len(more); i += 2 {
		f.Add(more[i], more[i+1])
	}
	return a.send(t, "POST", "/admin/settings/members/invite", form(f))
}

func (a *caller) accept(t testing.TB, workspace uuid.UUID) int {
	t.Helper()
	return a.send(t, "POST", "/invitations/"+workspace.String()+"/accept", form(nil)).status
}

// TestAnInvitationsLinkOpensItsWorkspaceOnly: whoever invites somebody has the link, and may use it as if they were invited themselves. What
// it gives them is worth nothing in other workspaces, whether it is used before the person joins another one or after.
func TestAnInvitationsLinkOpensItsWorkspaceOnly(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	attacker, honest := c.browser(t, "stranger"), c.browser(t, "owner")
	keep := func() string {
		return invitationLink.FindString(attacker.invite(t, "victim@example.test", "V", "readonly").text())
	}
	early, late, victim := c.browser(t, ""), c.browser(t, ""), c.browser(t, "")
	early.send(t, "POST", keep(), form(nil))
	good := invitationLink.FindString(honest.invite(t, "victim@example.test", "Victim", "manager").text())
	limits := func(when string, e *caller) {
		t.Helper()
		if status := e.accept(t, c.ours); status != http.StatusNotFound {
			t.Errorf("%s: whoever invited the person elsewhere accepts in their name: %d", when, status)
		}
		if r := e.send(t, "POST", "/workspaces/"+c.ours.String()+"/choose", form(nil)); r.status != http.StatusNotFound {
			t.Errorf("%s: chooses the other workspace: %d", when, r.status)
		}
		if home := e.send(t, "GET", "/").text(); strings.Contains(home, "Ours") || !strings.Contains(home, "Theirs") {
			t.Errorf("%s: the first page tells of other workspaces, or not of this one: %s", when, clip([]byte(home)))
		}
		for _, path := range []string{"/admin/tenants", "/admin/operations"} {
			if r := e.send(t, "GET", path); strings.Contains(r.text(), "Contoso") {
				t.Errorf("%s: sees the other workspace's tenants at %s", when, path)
			}
		}
	}
	limits("before the person joins", early)
	victim.send(t, "POST", good, form(nil))
	if status := victim.accept(t, c.ours); status != http.StatusSeeOther {
		t.Fatalf("the invited person accepts: %d", status)
	}
	c.settle(t)
	if r := victim.send(t, "GET", "/admin/tenants"); !strings.Contains(r.text(), "Contoso") {
		t.Errorf("the invited person sees %d %s", r.status, clip(r.body))
	}
	limits("after the person joined", early)
	late.send(t, "POST", keep(), form(nil))
	limits("with a link that is used after the person joined", late)
	if profile := late.send(t, "GET", view.ProfileHref, accept("application/json")).text(); strings.Count(profile, `"device"`) != 1 {
		t.Errorf("the other places where the person is signed in are told: %s", profile)
	}
	late.send(t, "POST", view.EndSessionsHref, form(nil))
	if !victim.signedIn(t) {
		t.Error("whoever invited the person elsewhere has ended their session")
	}
	if status := late.accept(t, c.theirs); status != http.StatusSeeOther {
		t.Errorf("accept what the link is for: %d", status)
	}
	c.settle(t)
	if r := late.send(t, "GET", "/admin/tenants"); r.status != http.StatusOK || strings.Contains(r.text(), "Contoso") {
		t.Errorf("in the workspace of the link: %d %s", r.status, clip(r.body))
	}
}

// TestALinkEndsWithItsInvitation: it is withdrawn, or made anew; the sessions from it end too.
func TestALinkEndsWithItsInvitation(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner := c.browser(t, "owner")
	invite := func() (link string, person string) {
		t.Helper()
		link = invitationLink.FindString(owner.invite(t, "nia@example.test", "Nia", "readonly").text())
		return link, c.program(t, "owner").members(t).Invitations[0].Person
	}
	opens := func(link string) (*caller, bool) {
		b := c.browser(t, "")
		b.send(t, "POST", link, form(nil))
		return b, b.signedIn(t) || b.send(t, "GET", "/").status == http.StatusOK
	}
	first, _ := invite()
	second, person := invite()
	if _, ok := opens(first); ok {
		t.Error("a link still opens when there is a newer one")
	}
	nia, ok := opens(second)
	if !ok {
		t.Fatal("the newest link does not open")
	}
	third, _ := invite()
	if r := nia.send(t, "GET", "/"); r.status == http.StatusOK {
		t.Error("a session from a link goes on when there is a newer link")
	}
	owner.send(t, "POST", "/admin/settings/members/"+person+"/withdraw", form(nil))
	if _, ok := opens(third); ok {
		t.Error("the link of a withdrawn invitation opens")
	}
}

// TestAnInvitationsLinkTakesNothingAway: who is signed in as the invited person already goes on with all that they are.
func TestAnInvitationsLinkTakesNothingAway(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	stranger := c.browser(t, "stranger")
	link := invitationLink.FindString(c.browser(t, "owner").invite(t, "stranger@example.test", "S", "readonly").text())
	stranger.send(t, "POST", link, form(nil))
	if status := stranger.accept(t, c.ours); status != http.StatusSeeOther {
		t.Fatalf("accept: %d", status)
	}
	c.settle(t)
	if home := stranger.send(t, "GET", "/").text(); !strings.Contains(home, "Ours") || !strings.Contains(home, "Theirs") {
		t.Errorf("the first page has not both workspaces: %s", clip([]byte(home)))
	}
	if other := c.browser(t, ""); other.send(t, "POST", link, form(nil)).status != http.StatusSeeOther || other.signedIn(t) {
		t.Error("the link opens twice")
	}
}

// TestInvitingWithAnIdentityProvider: the invited person signs in there, with their address, and nobody is given a link. One from before there
// was a provider ends when they do, and so does whatever came from it.
func TestInvitingWithAnIdentityProvider(t *testing.T) {
	t.Parallel()
	c, idp := newProvided(t)
	owner := c.browser(t, "owner")
	made := owner.invite(t, "victim@example.test", "Victim", "manager")
	if made.status != http.StatusOK || strings.Contains(made.text(), "/sign-in/") || !strings.Contains(made.text(), "sign in with Contoso ID") {
		t.Errorf("invited: %d %s", made.status, clip(made.body))
	}
	person, err := c.auth.FindPerson(t.Context(), "victim@example.test")
	must(t, err)
	before := auth.New(c.pool, auth.Config{})
	used, err := before.IssueInvitationLink(t.Context(), person, c.ours, time.Hour)
	must(t, err)
	attacker := c.browser(t, "")
	attacker.send(t, "POST", used, form(nil))
	if r := attacker.send(t, "GET", "/"); r.status != http.StatusOK {
		t.Fatalf("the link from before opens nothing: %d", r.status)
	}
	idp.Email, idp.Subject = "victim@example.test", "v-1"
	victim := c.browser(t, "")
	victim.back(t, victim.toProvider(t, beginPath))
	if r := attacker.send(t, "GET", "/"); r.status == http.StatusOK {
		t.Error("a session from a link outlives the person's first sign-in with their account")
	}
	if status := attacker.accept(t, c.ours); status == http.StatusSeeOther && c.joined(t, person) {
		t.Error("and accepts invitations in their name")
	}
	if status := victim.accept(t, c.ours); status != http.StatusSeeOther {
		t.Errorf("the person accepts: %d", status)
	}
	c.settle(t)
	if r := victim.send(t, "GET", "/admin/tenants"); !strings.Contains(r.text(), "Contoso") {
		t.Errorf("the new member sees %d %s", r.status, clip(r.body))
	}
	again := c.browser(t, "")
	again.back(t, again.toProvider(t, beginPath))
	if !victim.signedIn(t) {
		t.Error("a later sign-in with the account ends the sessions before it")
	}
}

func (c *console) joined(t testing.TB, person uuid.UUID) (is bool) {
	t.Helper()
	c.settle(t)
	must(t, c.pool.QueryRow(t.Context(), `select exists (select from members where workspace = $1 and person = $2)`, c.ours, person).Scan(&is))
	return is
}

// TestPlatformPeopleBecomeNoMembers: the inviter is told what everybody is told, and what they were offered is not there for them.
func TestPlatformPeopleBecomeNoMembers(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner := c.browser(t, "owner")
	told := func(email string) string {
		r := owner.invite(t, email, "P", "owner")
		if r.status != http.StatusOK {
			t.Fatalf("invite %s: %d", email, r.status)
		}
		made := regexp.MustCompile(`(?s)id="made-title".*?</section>`).FindString(r.text())
		return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[A-Za-z0-9_-]{43}|\d\d:\d\d`).ReplaceAllString(strings.ReplaceAll(made, email, "WHO"), "")
	}
	platform, unknown, elsewhere := told("platform@example.test"), told("new@example.test"), told("stranger@example.test")
	if platform == "" || platform != unknown || elsewhere != unknown {
		t.Errorf("the inviter is told\n%s\n%s\n%s", platform, unknown, elsewhere)
	}
	link := invitationLink.FindString(owner.invite(t, "platform@example.test", "P", "owner").text())
	byLink := c.browser(t, "")
	byLink.send(t, "POST", link, form(nil))
	for how, p := range map[string]*caller{"signed in": c.browser(t, "platform"), "by the link": byLink} {
		if status := p.accept(t, c.ours); status != http.StatusNotFound {
			t.Errorf("a platform person accepts, %s: %d", how, status)
		}
		if r := p.send(t, "GET", "/admin/tenants"); r.status != http.StatusNotFound {
			t.Errorf("and sees tenants, %s: %d", how, r.status)
		}
	}
	if r := byLink.send(t, "GET", "/system/directory/tenants"); r.status != http.StatusNotFound {
		t.Errorf("an invitation's link opens the system plane: %d", r.status)
	}
	if r := owner.send(t, "POST", "/admin/settings/members/"+c.people["owner"].String()+"/remove", form(nil)); r.status != http.StatusConflict {
		t.Errorf("the owner leaves the workspace to a platform person: %d", r.status)
	}
}

// TestAWorkspaceSeesOnlyTheNamesItGave: neither the name nor the way an address was written tells that somebody is known elsewhere.
func TestAWorkspaceSeesOnlyTheNamesItGave(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	stranger, owner := c.browser(t, "stranger"), c.browser(t, "owner")
	stranger.invite(t, "Nia@Example.test", "Elsewhere Name", "readonly")
	made := owner.invite(t, "nia@example.test", "Nia Night", "owner")
	invited := owner.invite(t, "STRANGER@example.test", "Our Name", "readonly")
	link := invitationLink.FindString(made.text())
	anybody := c.browser(t, "")
	if asked := anybody.send(t, "GET", link).text(); strings.Contains(asked, "Elsewhere") || !strings.Contains(asked, "Nia Night") {
		t.Errorf("the link's page: %s", clip([]byte(asked)))
	}
	nia := c.browser(t, "")
	nia.send(t, "POST", link, form(nil))
	for _, b := range []*caller{nia, stranger} {
		if status := b.accept(t, c.ours); status != http.StatusSeeOther {
			t.Fatalf("accept: %d", status)
		}
	}
	c.settle(t)
	for _, path := range []string{"/admin/settings/members", "/admin/audit", "/admin/settings/profile", "/admin/operations"} {
		for who, b := range map[string]*caller{"owner": owner, "the new member": nia} {
			if text := b.send(t, "GET", path).text(); strings.Contains(text, "Elsewhere") || strings.Contains(text, "Nia@Example") {
				t.Errorf("%s reads at %s what another workspace said", who, path)
			}
		}
	}
	shown := func(members membersAnswer) string {
		var all []string
		for _, m := range members.Members {
			all = append(all, m.Name+" "+m.Email)
		}
		for _, i := range members.Invitations {
			all = append(all, i.Email)
		}
		return strings.Join(all, "\n")
	}
	ours, theirs := shown(c.program(t, "owner").members(t)), shown(c.program(t, "stranger").members(t))
	if !strings.Contains(ours, "Nia Night nia@example.test") || !strings.Contains(ours, "Our Name STRANGER@example.test") {
		t.Errorf("we see\n%s\n%s", ours, clip(invited.body))
	}
	if strings.Contains(theirs, "Nia Night") || strings.Contains(theirs, "Our Name") || !strings.Contains(theirs, "Nia@Example.test") {
		t.Errorf("they see\n%s", theirs)
	}
	must(t, c.auth.ErasePerson(t.Context(), c.people["stranger"]))
	if left := shown(c.program(t, "owner").members(t)); strings.Contains(left, "Our Name") || strings.Contains(left, "STRANGER") {
		t.Errorf("an erased person is called\n%s", left)
	}
}

// TestAnErasedPersonIsToldAsErased: wherever what they did is told, by the same word, and never as the system's doing. Others know nothing of it.
func TestAnErasedPersonIsToldAsErased(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ctx, kim := t.Context(), c.people["operator"]
	must(t, c.commands.DescribePerson(ctx, commands.DescribePerson{
		Actor: domain.SystemActor(c.ours), Person: kim, Identity: commands.Identity{Email: "operator@example.test", Name: "Operator"},
	}))
	attempt := uuid.NewString()
	for range 2 { // a run, and a refusal
		c.browser(t, "operator").send(t, "POST", startPath(c.contoso, domain.OpGroupsSync), form(url.Values{"attempt_id": {attempt}}))
		attempt = uuid.NewString()
	}
	c.browser(t, "operator").saveView(t, "Night shift", "outcome=failed", true)
	var number int64
	must(t, c.pool.QueryRow(ctx, `select (payload ->> 'number')::bigint from events where name = 'RunAccepted'`).Scan(&number))
	_, err := c.commands.ErasePerson(ctx, commands.ErasePerson{Person: kim})
	must(t, err)
	must(t, c.auth.ErasePerson(ctx, kim))
	c.settle(t)
	owner := c.browser(t, "owner")
	for _, path := range []string{
		"/admin/operations?range=31d", "/admin/operations/" + strconv.FormatInt(number, 10), "/admin/attempts", "/admin/audit?actor=" + kim.String(),
	} {
		page := owner.send(t, "GET", path).text()
		if !strings.Contains(page, "erased") || strings.Contains(page, "person "+kim.String()[:8]) || strings.Contains(page, ">Operator<") || strings.Contains(page, "Night shift") {
			t.Errorf("%s does not tell of somebody who was erased: %s", path, clip([]byte(page)))
		}
	}
	for path, count := range map[string]int{"/admin/operations": 1, "/admin/attempts": 1} {
		answer := string(c.program(t, "owner").send(t, "GET", path, accept("application/json")).body)
		if n := strings.Count(answer, `"erased"`); n < count || strings.Contains(answer, "TenantPilot") {
			t.Errorf("%s names an erased person %d times: %s", path, n, clip([]byte(answer)))
		}
	}
	for workspace, want := range map[uuid.UUID]string{c.ours: "erased", c.theirs: ""} {
		reader := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: workspace, Role: domain.RoleOwner}
		name, err := projections.NewConsoleReader(c.pool).PersonName(projections.WithSight(ctx, reader), kim)
		must(t, err)
		if name != want {
			t.Errorf("the name in %s is %q, want %q", workspace, name, want)
		}
	}
}

func TestAMalformedInvitationIsRefused(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner := c.browser(t, "owner")
	for name, f := range map[string]url.Values{
		"no address":     {"email": {"x"}, "name": {"X"}, "sees": {"all"}, "role": {"readonly"}},
		"quoted address": {"email": {`"a b<script>"@x.example`}, "name": {"X"}, "sees": {"all"}, "role": {"readonly"}},
		"turned address": {"email": {"a\u202eb@x.example"}, "name": {"X"}, "sees": {"all"}, "role": {"readonly"}},
		"no name":        {"email": {"x@example.test"}, "sees": {"all"}, "role": {"readonly"}},
		"no such role":   {"email": {"y@example.test"}, "name": {"X"}, "sees": {"all"}, "role": {"boss"}},
		"sees what":      {"email": {"y@example.test"}, "name": {"X"}, "role": {"readonly"}},
		"odd tenant":     {"email": {"z@example.test"}, "name": {"X"}, "role": {"readonly"}, "sees": {"listed"}, "tenant": {"7"}},
		"odd group":      {"email": {"z@example.test"}, "name": {"X"}, "role": {"readonly"}, "sees": {"listed"}, "group": {"\x00"}},
	} {
		if r := owner.send(t, "POST", "/admin/settings/members/invite", form(f)); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", name, r.status)
		}
	}
	if n := c.count(t, `select count(*) from people where email like '_@example.test'`); n != 0 {
		t.Errorf("%d people are left of invitations that were refused", n)
	}
}

func TestMembersPageForEveryRole(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	for name, want := range map[string]int{"owner": 200, "manager": 200, "readonly": 200, "limited": 200, "stranger": 200, "platform": 404, "nobody": 404} {
		r := c.browser(t, name).send(t, "GET", "/admin/settings/members")
		if r.status != want {
			t.Errorf("%s: %d, want %d", name, r.status, want)
		}
		if strings.Contains(r.text(), "Invite somebody") != (name == "owner" || name == "stranger") {
			t.Errorf("%s: the form is there for those who may not invite, or not for those who may", name)
		}
		if name == "stranger" && strings.Contains(r.text(), c.people["owner"].String()) {
			t.Error("the page of another workspace shows our members")
		}
	}
	person := c.people["readonly"].String()
	must(t, c.commands.DefineRole(t.Context(), commands.DefineRole{Actor: domain.SystemActor(c.ours), Role: "x1"}))
	for _, path := range []string{
		"/admin/settings/members/invite", "/admin/settings/members/" + person + "/role", "/admin/settings/members/" + person + "/scope",
		"/admin/settings/members/" + person + "/remove", "/admin/settings/members/" + person + "/withdraw", "/admin/settings/roles",
		"/admin/settings/roles/x1/remove",
	} {
		for name, want := range map[string]int{"manager": 403, "limited": 403, "platform": 404, "nobody": 404} {
			if r := c.program(t, name).send(t, "POST", path, form(url.Values{"role": {"readonly"}, "email": {"a@b.test"}, "name": {"A"}})); r.status != want {
				t.Errorf("%s posts %s: %d, want %d", name, path, r.status, want)
			}
		}
	}
	last := "/admin/settings/members/" + c.people["owner"].String()
	for path, f := range map[string]url.Values{last + "/remove": nil, last + "/role": {"role": {"readonly"}}} {
		if r := c.program(t, "owner").send(t, "POST", path, form(f)); r.status != http.StatusConflict {
			t.Errorf("the last owner: %s is %d, want 409", path, r.status)
		}
	}
}

// TestAChangeOfAMemberIsShownBeforeItIsSaved: what it gives and takes, in words and for programs; nothing is recorded until it is saved, and a
// change that would be refused is refused here.
func TestAChangeOfAMemberIsShownBeforeItIsSaved(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner := c.browser(t, "owner")
	of := func(person string) string { return "/admin/settings/members/" + c.people[person].String() }
	shows := func(path string, words ...string) string {
		t.Helper()
		r := owner.send(t, "GET", path)
		text := strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(r.text(), " ")), " ")
		for _, w := range words {
			if r.status != http.StatusOK || !strings.Contains(text, w) {
				t.Errorf("%s is %d without %q: %s", path, r.status, w, text)
			}
		}
		return r.text()
	}
	before := c.count(t, `select count(*) from events`)
	shows(of("operator")+"/change?role=readonly", "From operator to readonly.", "Loses on all 2 tenants (Contoso, Tailspin): Check provider connections Sync inventory")
	body := shows(of("operator")+"/change?sees=listed&tenant="+c.tailspn.ID.String(), "Sees now: All tenants. After the change: Tailspin.",
		"No longer sees 1 tenant (Contoso), and so loses there:", "Sees no tenant that is registered later.")
	shows(of("operator")+"/change?sees=all&except_group=bought", "On the tenants there are now it gives and takes nothing.", "registered later, too, except in group bought.", "Save")
	shows(of("operator")+"/change?sees=listed&group=gold", "Sees tenants that are registered later only in group gold.")
	shows(of("limited")+"/change?sees=all", "Sees 1 tenant (Contoso), and may there:", "Sees tenants that are registered later, too.")
	if same := shows(of("operator")+"/change?role=operator", "This changes nothing."); strings.Contains(same, ">Save<") {
		t.Error("what changes nothing can be saved")
	}
	var review view.MemberReview
	program := c.program(t, "owner")
	must(t, json.Unmarshal(program.send(t, "GET", of("limited")+"/change?role=owner", accept("application/json")).body, &review))
	if len(review.Gains) != 3 || len(review.Loses) != 0 || review.Later == nil || !review.Later.All || review.Role != "owner" {
		t.Errorf("for programs: %+v", review)
	}
	for path, want := range map[string]int{
		of("owner") + "/change?role=operator":                               http.StatusConflict, // the last one
		of("operator") + "/change?role=no-such":                             http.StatusBadRequest,
		of("operator") + "/change":                                          http.StatusBadRequest,
		of("operator") + "/change?sees=listed&tenant=x":                     http.StatusBadRequest,
		of("owner") + "/change?sees=listed&tenant=" + c.tailspn.ID.String(): http.StatusBadRequest, // an owner sees all
		of("stranger") + "/change?role=owner":                               http.StatusNotFound,
	} {
		if r := program.send(t, "GET", path, accept("application/json")); r.status != want {
			t.Errorf("%s is %d, want %d", path, r.status, want)
		}
	}
	if now := c.count(t, `select count(*) from events`); now != before {
		t.Errorf("looking recorded something: the log went from %d to %d", before, now)
	}

	fields := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)"`).FindAllStringSubmatch(body[strings.Index(body, of("operator")+"/scope"):], -1) {
		fields.Add(m[1], m[2])
	}
	if r := owner.send(t, "POST", of("operator")+"/role", form(url.Values{"role": {"operator"}, "reviewed": {"0123456789abcdef"}})); r.status != http.StatusPreconditionFailed {
		t.Errorf("saving what nobody looked at is %d: %s", r.status, clip(r.body))
	}
	for _, scope := range []url.Values{{}, {"tenant": {c.tailspn.ID.String()}}, {"sees": {"all"}, "except_group": {"\x00"}}} {
		if r := owner.send(t, "POST", of("operator")+"/scope", form(scope)); r.status != http.StatusBadRequest {
			t.Errorf("%v is %d: %s", scope, r.status, clip(r.body))
		}
	}
	if r := owner.send(t, "POST", of("operator")+"/scope", form(fields)); r.status != http.StatusSeeOther {
		t.Fatalf("saving %v is %d: %s", fields, r.status, clip(r.body))
	}
	i := slices.IndexFunc(program.members(t).Members, func(m struct{ Person, Name, Email, Role, Sees string }) bool { return m.Name == "Operator" })
	if m := program.members(t).Members[i]; m.Sees != "Tailspin" {
		t.Errorf("after the change: %+v", m)
	}
}

// TestRightsAreTakenAwayThoughTheReadModelStops: while an event of the workspace cannot be applied, those who were removed or limited since are
// out and limited all the same.
func TestRightsAreTakenAwayThoughTheReadModelStops(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner, ops := c.program(t, "owner"), startPath(c.contoso, domain.OpGroupsSync)
	callers := map[string]*caller{}
	for _, name := range []string{"manager", "operator", "readonly", "both", "limited"} {
		callers[name] = c.browser(t, name) // whose session nothing else ends
		if name == "limited" {
			continue
		}
		if r := callers[name].send(t, "GET", "/admin/t/"+c.contoso.ExternalID.String()+"/operations"); r.status != http.StatusOK {
			t.Fatalf("%s: %d before", name, r.status)
		}
	}
	superuser, err := pgx.Connect(t.Context(), c.db.OwnerURL)
	must(t, err)
	defer func() { _ = superuser.Close(context.WithoutCancel(t.Context())) }()
	_, err = superuser.Exec(t.Context(), `alter table members add constraint poison check (role <> 'auditor') not valid`)
	must(t, err)
	of := func(person string) string { return "/admin/settings/members/" + c.people[person].String() }
	for _, change := range []struct {
		path string
		form url.Values
	}{
		{of("manager") + "/role", url.Values{"role": {"auditor"}}}, // stops the read model
		{of("operator") + "/remove", nil},
		{of("readonly") + "/scope", url.Values{"sees": {"listed"}, "tenant": {c.tailspn.ID.String()}}},
		{of("limited") + "/scope", url.Values{"sees": {"all"}}},
	} {
		if r := owner.send(t, "POST", change.path, form(change.form)); r.status != http.StatusSeeOther {
			t.Fatalf("%s is %d: %s", change.path, r.status, clip(r.body))
		}
	}
	if n := c.count(t, `select count(*) from parked where projection = 'members'`); n == 0 {
		t.Fatal("nothing is parked")
	}
	for name, want := range map[string]int{"manager": 403, "operator": 404, "readonly": 404, "both": 200, "limited": 200} {
		r := callers[name].send(t, "POST", ops, form(url.Values{"attempt_id": {uuid.NewString()}}))
		if (want == http.StatusOK) != (r.status < 300) || want != http.StatusOK && r.status != want {
			t.Errorf("%s: %d, want %d: %s", name, r.status, want, clip(r.body))
		}
	}
	if r := owner.send(t, "GET", "/admin/operations"); r.status != http.StatusOK {
		t.Errorf("the owner: %d", r.status)
	}
}

// TestARoleIsShownBeforeItIsSaved: who has it, and what each of them would gain and lose.
func TestARoleIsShownBeforeItIsSaved(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	owner := c.program(t, "owner")
	system := domain.SystemActor(c.ours)
	must(t, c.commands.DefineRole(t.Context(), commands.DefineRole{Actor: system, Role: "night", Capabilities: []domain.Capability{domain.CapDirectorySync}}))
	must(t, c.commands.ChangeRole(t.Context(), commands.ChangeRole{Actor: system, Person: c.people["operator"], Role: "night"}))
	c.settle(t)
	before := c.count(t, `select count(*) from events`)
	at := func(query string) view.RoleReview {
		t.Helper()
		r := owner.send(t, "GET", "/admin/settings/roles/change?"+query, accept("application/json"))
		var got view.RoleReview
		if r.status != http.StatusOK {
			t.Fatalf("%s is %d: %s", query, r.status, clip(r.body))
		}
		must(t, json.Unmarshal(r.body, &got))
		return got
	}
	if got := at("role=night&capability=hold.manage"); got.New || !slices.Equal(got.Gains, []domain.Capability{domain.CapHoldManage}) ||
		!slices.Equal(got.Loses, []domain.Capability{domain.CapDirectorySync}) || !slices.Equal(got.Members, []string{"Operator"}) {
		t.Errorf("a role that somebody has: %+v", got)
	}
	if got := at("role=day&capability=hold.manage"); !got.New || len(got.Loses) != 0 || len(got.Gains) != 2 || len(got.Members) != 0 {
		t.Errorf("a new role: %+v", got)
	}
	page := owner.send(t, "GET", "/admin/settings/roles/change?role=night&capability=directory.sync", accept("text/html")).text()
	if !strings.Contains(page, "This changes nothing.") || strings.Contains(page, ">Save role<") {
		t.Error("what changes nothing can be saved")
	}
	for _, query := range []string{"", "role=owner"} {
		if r := owner.send(t, "GET", "/admin/settings/roles/change?"+query); r.status != http.StatusBadRequest {
			t.Errorf("%q is %d", query, r.status)
		}
	}
	if after := c.count(t, `select count(*) from events`); after != before {
		t.Errorf("looking recorded %d events", after-before)
	}
}
