package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
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

// TestInvitingSomebodyWhoCanSignInGivesNoLink: a link signs in as the person, in every workspace.
func TestInvitingSomebodyWhoCanSignInGivesNoLink(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.browser(t, "stranger")
	invite := func(email string) response {
		return c.browser(t, "owner").send(t, "POST", "/admin/settings/members/invite",
			form(url.Values{"email": {email}, "name": {"X"}, "role": {"readonly"}}))
	}
	for _, name := range []string{"stranger", "platform"} {
		if r := invite(name + "@example.test"); strings.Contains(r.text(), "/sign-in/") {
			t.Errorf("inviting %s shows a link to sign in as them", name)
		}
	}
	for name, f := range map[string]url.Values{
		"no address": {"email": {"x"}, "name": {"X"}, "role": {"readonly"}}, "no name": {"email": {"x@example.test"}, "role": {"readonly"}},
		"no such role": {"email": {"y@example.test"}, "name": {"X"}, "role": {"boss"}},
		"odd tenant":   {"email": {"z@example.test"}, "name": {"X"}, "role": {"readonly"}, "sees": {"listed"}, "tenant": {"7"}},
	} {
		if r := c.browser(t, "owner").send(t, "POST", "/admin/settings/members/invite", form(f)); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", name, r.status)
		}
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
