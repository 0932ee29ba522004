package web_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

const attemptReplayPath = "/admin/attempts/replay"

var (
	replayLine    = regexp.MustCompile(`(?s)<tr id="bulk-([0-9a-f-]{36})" role="row">(.*?)</tr>`)
	confirmAction = regexp.MustCompile(`action="(` + attemptReplayPath + `/[0-9a-f-]{36}/confirm)"`)
	replayField   = regexp.MustCompile(`name="(digest|back|query)" value="([^"]*)"`)
)

// replays are the lines of a replay page in words, by refused attempt.
func (r response) replays() map[uuid.UUID]string {
	rows := map[uuid.UUID]string{}
	for _, m := range replayLine.FindAllStringSubmatch(r.text(), -1) {
		rows[uuid.MustParse(m[1])] = strings.Join(strings.Fields(tag.ReplaceAllString(m[2], " ")), " ")
	}
	return rows
}

// confirmation is where a preview is confirmed, and with what.
func (r response) confirmation(t testing.TB) (string, url.Values) {
	t.Helper()
	action := confirmAction.FindStringSubmatch(r.text())
	if r.status != http.StatusOK || action == nil {
		t.Fatalf("%d is no preview that can be confirmed: %v", r.status, r.replays())
	}
	v := url.Values{}
	for _, m := range replayField.FindAllStringSubmatch(r.text(), -1) {
		v.Set(m[1], m[2])
	}
	return action[1], v
}

func attempts(ids ...uuid.UUID) message {
	v := url.Values{"back": {"/admin/attempts?group=reason"}}
	for _, id := range ids {
		v.Add("attempt", id.String())
	}
	return form(v)
}

// begins holds rows against how they must begin.
func begins(t testing.TB, what string, rows map[uuid.UUID]string, want map[uuid.UUID]string) {
	t.Helper()
	if len(rows) != len(want) {
		t.Errorf("%s: %d rows, want %d: %v", what, len(rows), len(want), rows)
	}
	for id, text := range want {
		if !strings.HasPrefix(rows[id], text) {
			t.Errorf("%s, %s: %q, want %q", what, id, rows[id], text)
		}
	}
}

func (c *console) connectionOf(t testing.TB, tenant domain.Tenant) int64 {
	t.Helper()
	return int64(c.count(t, `select default_connection from tenants where tenant = $1`, tenant.ID))
}

func (c *console) consent(t testing.TB, tenant domain.Tenant, state domain.ConsentState) {
	t.Helper()
	us, number := domain.SystemActor(c.ours), c.connectionOf(t, tenant)
	must(t, c.commands.RecordConsent(t.Context(), commands.RecordConsent{Actor: us, Connection: number, Consent: state}))
	must(t, c.commands.RecordVerification(t.Context(), commands.RecordVerification{
		Actor: us, Connection: number, Finding: domain.Finding{State: domain.VerificationHealthy, Granted: granted},
	}))
}

// attemptOf is a start of the owner's.
func (c *console) attemptOf(t testing.TB, tenant domain.Tenant, op domain.OperationType, want domain.Outcome) commands.StartResult {
	t.Helper()
	r, err := c.commands.Start(t.Context(), commands.Start{
		Actor:  domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: c.people["owner"]}, Workspace: c.ours, Role: domain.RoleOwner},
		Tenant: tenant.ExternalID, Operation: op, Surface: "console", Trigger: domain.TriggerOperator,
	})
	must(t, err)
	if r.Outcome != want {
		t.Fatalf("%s on %s is %s %s, want %s", op, tenant.Name, r.Outcome, r.Reason, want)
	}
	return r
}

// refused are starts that were blocked because consent had been revoked: groups on contoso twice, roles on contoso, groups on tailspin.
func (c *console) refused(t testing.TB) (ids [4]uuid.UUID) {
	t.Helper()
	c.consent(t, c.contoso, domain.ConsentIsGone)
	c.consent(t, c.tailspn, domain.ConsentIsGone)
	for i, op := range []domain.OperationType{domain.OpGroupsSync, domain.OpGroupsSync, domain.OpRoleDefinitionsSync} {
		ids[i] = c.attemptOf(t, c.contoso, op, domain.IsBlocked).Attempt
	}
	ids[3] = c.attemptOf(t, c.tailspn, domain.OpGroupsSync, domain.IsBlocked).Attempt
	c.settle(t)
	return ids
}

func (c *console) mend(t testing.TB) {
	t.Helper()
	c.consent(t, c.contoso, domain.ConsentIsGiven)
	c.consent(t, c.tailspn, domain.ConsentIsGiven)
	c.settle(t)
}

// TestRefusalsAreGroupedWithWhatMendsThem: one group per reason across tenants, in it one line per connection with the page where it is
// mended, and what was refused can be replayed by those who may start something.
func TestRefusalsAreGroupedWithWhatMendsThem(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.refused(t)
	c.consent(t, c.tailspn, domain.ConsentIsGiven)
	tailspin := c.connectionOf(t, c.tailspn)
	must(t, c.commands.SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{Actor: domain.SystemActor(c.ours), Connection: tailspin, Reason: "Leaving"}))
	c.attemptOf(t, c.tailspn, domain.OpGroupsSync, domain.IsBlocked)
	c.settle(t)
	page := c.browser(t, "manager").send(t, "GET", "/admin/attempts?group=reason").text()
	for _, want := range []string{
		"Admin consent was revoked: 4 attempts in 2 tenants", "The provider connection is disabled: 1 attempt in 1 tenant",
		fmt.Sprintf(`href="/admin/provider-connections/%d/consent">Request admin consent`, c.conn.Number),
		"By now: The provider connection is disabled.",
		fmt.Sprintf(`href="/admin/provider-connections/%d/changes/enable">Enable connection`, tailspin),
		"Replay 4 attempts", "Replay 1 attempt", `name="query" value="outcome=blocked&amp;reason=provider_consent_revoked"`, "First", "Newest",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if again := fmt.Sprintf(`href="/admin/provider-connections/%d/consent"`, tailspin); strings.Contains(page, again) || strings.Contains(page, "Mended already") {
		t.Error("where consent was given since, it is asked for again, or mended though the connection is disabled")
	}
	if page = c.browser(t, "limited").send(t, "GET", "/admin/attempts?group=reason").text(); strings.Contains(page, "Contoso") ||
		!strings.Contains(page, "Replay 1 attempt") || !strings.Contains(page, "A manager or owner can do this.") {
		t.Error("a member of one tenant sees another's, or not how to replay, or not who can mend it")
	}
	read := c.browser(t, "readonly")
	if page = read.send(t, "GET", "/admin/attempts?group=reason").text(); strings.Contains(page, "Replay 4") || !strings.Contains(page, "Request admin consent") {
		t.Error("who may start nothing is offered to replay, or not told what to do")
	}
	must(t, c.commands.SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{Actor: domain.SystemActor(c.ours), Connection: tailspin, Enabled: true}))
	c.settle(t)
	if page = read.send(t, "GET", "/admin/attempts?group=reason").text(); !strings.Contains(page, "Mended already: 1 of 2 places.") ||
		!strings.Contains(page, "Mended already: 1 of 1 place.") || strings.Contains(page, "Enable connection") {
		t.Error("what is mended is still listed, or not counted")
	}
	if page = read.send(t, "GET", "/admin/attempts").text(); strings.Contains(page, `name="attempt"`) {
		t.Error("who may start nothing can select attempts")
	}
	if page = c.browser(t, "operator").send(t, "GET", "/admin/attempts").text(); strings.Count(page, `name="attempt"`) != 5 {
		t.Errorf("%d attempts can be selected, want 5", strings.Count(page, `name="attempt"`))
	}
}

// TestReplayAfterTheFix goes from the group to the result, and confirms twice.
func TestReplayAfterTheFix(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ids := c.refused(t)
	b := c.browser(t, "operator")
	still := b.send(t, "POST", attemptReplayPath, attempts(ids[:]...))
	for who, step := range map[*caller]string{b: " ", c.browser(t, "manager"): " Request admin consent"} {
		for id, text := range who.send(t, "POST", attemptReplayPath, attempts(ids[:]...)).replays() {
			if !strings.HasPrefix(text, "Still blocked Will be blocked: admin consent was revoked."+step) || step == " " && strings.Contains(text, "Request") {
				t.Errorf("%s before the fix: %q", id, text)
			}
		}
	}
	if len(still.replays()) != 4 || confirmAction.MatchString(still.text()) {
		t.Error("before the fix there is something to confirm")
	}
	c.mend(t)
	receipt := "/admin/attempts/" + ids[0].String()
	offer := `<input type="hidden" name="attempt" value="` + ids[0].String()
	if !strings.Contains(b.send(t, "GET", receipt).text(), offer) || strings.Contains(c.browser(t, "readonly").send(t, "GET", receipt).text(), offer) {
		t.Error("the receipt does not offer to replay its attempt, or does so to those who may not")
	}
	preview := b.send(t, "POST", attemptReplayPath, form(url.Values{"query": {"outcome=blocked&reason=provider_consent_revoked"}}))
	begins(t, "preview", preview.replays(), map[uuid.UUID]string{
		ids[3]: "Starts Will start now", ids[2]: "Starts Will start now", ids[1]: "Busy A row above will be using the connection", ids[0]: "Same work",
	})
	if n := c.count(t, `select count(*) from attempts where surface = 'attempts.replay'`); n != 0 {
		t.Errorf("the preview recorded %d attempts", n)
	}
	action, sent := preview.confirmation(t)
	for try := range 2 { // a reload of the answer sends the form again
		done := b.send(t, "POST", action, form(sent))
		begins(t, fmt.Sprint("confirm ", try), done.replays(), map[uuid.UUID]string{
			ids[3]: "Accepted Directory groups sync started for Tailspin", ids[2]: "Accepted Role definitions sync started for Contoso", ids[1]: "Busy",
		})
		if offer := "/admin/t/" + c.contoso.ExternalID.String() + "/provider-actions/directory_groups.sync/reserve"; !strings.Contains(done.text(), offer) {
			t.Error("the busy one is not offered to start when free")
		}
	}
	c.settle(t)
	if n := c.count(t, `select count(*) from attempts where surface = 'attempts.replay'`); n != 3 {
		t.Errorf("%d attempts were recorded, want 3", n)
	}
	if n := c.count(t, `select count(*) from attempt_replays`); n != 4 {
		t.Errorf("%d attempts are recorded as replayed, want 4", n)
	}
	if n := c.count(t, `select count(*) from events where name in ('RunAccepted', 'ScopeBusy') and meta->>'causation' = any($1)`,
		[]string{ids[1].String(), ids[2].String(), ids[3].String()}); n != 3 {
		t.Errorf("%d receipts name the refused attempt as their cause, want 3", n)
	}
	page := b.send(t, "GET", "/admin/attempts?group=reason").text()
	if !strings.Contains(page, "All of them were replayed.") || strings.Contains(page, "Replay 4") || !strings.Contains(page, "Connection busy: 1 attempt") {
		t.Error("the groups do not say what was replayed, or offer it again")
	}
	if page = b.send(t, "GET", receipt).text(); !strings.Contains(page, "Replayed as") || strings.Contains(page, offer) {
		t.Error("the receipt does not say that its attempt was replayed, or offers it again")
	}
}

// TestReplayMeetsAnotherWorld: between preview and confirmation a tenant is put on hold, a connection is taken, and the same work begins or
// is done.
func TestReplayMeetsAnotherWorld(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ids := c.refused(t)
	c.mend(t)
	b := c.browser(t, "operator")
	preview := func() (string, url.Values) {
		return b.send(t, "POST", attemptReplayPath, attempts(ids[1], ids[2], ids[3])).confirmation(t)
	}
	action, sent := preview()
	lateAction, late := preview()
	must(t, c.commands.HoldTenant(t.Context(), commands.HoldTenant{Actor: domain.SystemActor(c.ours), Tenant: c.tailspn.ExternalID, Reason: "Freeze"}))
	c.attemptOf(t, c.contoso, domain.OpGroupsSync, domain.Accepted)
	begins(t, "confirm", b.send(t, "POST", action, form(sent)).replays(), map[uuid.UUID]string{
		ids[1]: "Joined", ids[2]: "Busy", ids[3]: "Blocked Cannot start: the tenant is on hold",
	})
	begins(t, "another preview of the same", b.send(t, "POST", lateAction, form(late)).replays(), map[uuid.UUID]string{
		ids[1]: "Replayed already By you.", ids[2]: "Replayed already By you.", ids[3]: "Replayed already By you.",
	})
	again := b.send(t, "POST", attemptReplayPath, attempts(ids[0], ids[1]))
	begins(t, "a new preview", again.replays(), map[uuid.UUID]string{ids[0]: "Not needed The same work is active", ids[1]: "Replayed already"})
	c.end(t, c.work(t), domain.Ending{Outcome: domain.Succeeded})
	again = b.send(t, "POST", attemptReplayPath, attempts(ids[0]))
	begins(t, "after success", again.replays(), map[uuid.UUID]string{ids[0]: "Not needed The same work has succeeded since. Run"})
}

// TestReplayOfWorkThatWasDoneMeanwhile: the preview is older than the run that did it.
func TestReplayOfWorkThatWasDoneMeanwhile(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ids := c.refused(t)
	c.mend(t)
	b := c.browser(t, "operator")
	action, sent := b.send(t, "POST", attemptReplayPath, attempts(ids[0])).confirmation(t)
	c.attemptOf(t, c.contoso, domain.OpGroupsSync, domain.Accepted)
	c.end(t, c.work(t), domain.Ending{Outcome: domain.Succeeded})
	begins(t, "confirm", b.send(t, "POST", action, form(sent)).replays(), map[uuid.UUID]string{ids[0]: "Not needed The same work has succeeded since"})
	if n := c.count(t, `select count(*) from events where name = 'AttemptReplayed'`); n != 0 {
		t.Errorf("%d replays", n)
	}
}

// TestTwoOperatorsReplayAtOnce: each has a preview of the same attempts; each attempt is replayed by one of them, and the other is told.
func TestTwoOperatorsReplayAtOnce(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ids := c.refused(t)
	c.mend(t)
	names := []string{"Owner", "Operator"}
	var mu sync.Mutex
	var all sync.WaitGroup
	told := map[uuid.UUID][]string{}
	var confirm []func() response
	for i, name := range names {
		b := c.browser(t, strings.ToLower(name))
		selected := []uuid.UUID{ids[2], ids[3], ids[1-i]} // the third is the same work, refused another time
		action, sent := b.send(t, "POST", attemptReplayPath, attempts(selected...)).confirmation(t)
		confirm = append(confirm, func() response { return b.send(t, "POST", action, form(sent)) })
	}
	for _, send := range confirm {
		all.Go(func() {
			rows := send().replays()
			mu.Lock()
			defer mu.Unlock()
			for id, text := range rows {
				told[id] = append(told[id], text)
			}
		})
	}
	all.Wait()
	for _, id := range ids[2:] {
		slices.SortFunc(told[id], func(a, b string) int { return strings.Compare(b, a) }) // "Replayed" before the others
		if len(told[id]) != 2 || !strings.HasPrefix(told[id][0], "Replayed already By O") || strings.HasPrefix(told[id][1], "Replayed") {
			t.Errorf("%s: %q", id, told[id])
		}
	}
	c.settle(t)
	if n := c.count(t, `select count(*) from runs where operation = 'directory_groups.sync' and tenant = $1`, c.tailspn.ID); n != 1 {
		t.Errorf("tailspin's groups run %d times", n)
	}
	if n := c.count(t, `select count(*) from runs`); n != 2 {
		t.Errorf("%d runs, want one per connection", n)
	}
}

// TestWhatIsNotReplayed: each line says why.
func TestWhatIsNotReplayed(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	blocked := c.refused(t)
	c.mend(t)
	receipt := func(op domain.OperationType, connection int64, inputs map[string]string) uuid.UUID {
		id := uuid.New()
		_, err := c.store.Transact(t.Context(), eventstore.Request{Workspace: c.ours, At: time.Now().UTC()}, func(_ context.Context, u *eventstore.Unit) error {
			u.About(c.contoso.ID)
			u.Append(domain.AttemptStream(c.ours, id), domain.StartBlocked{
				AttemptFacts: domain.AttemptFacts{
					Attempt: id, Operation: op, Tenant: c.contoso.ID, Connection: connection, Inputs: inputs, Trigger: domain.TriggerOperator,
					Initiator: domain.ActorRef{Kind: domain.ActorPerson, ID: c.people["owner"]},
				},
				Reason: domain.ReasonProviderConsentRevoked,
			})
			return nil
		})
		must(t, err)
		return id
	}
	scheduled, restore := receipt(domain.OpBackupScheduled, c.conn.Number, nil), receipt(domain.OpRestoreExecute, c.conn.Number, nil)
	retired, gone := receipt(domain.OpInventorySync, c.conn.Number, nil), receipt(domain.OpGroupsSync, 987_654, nil)
	other := receipt(domain.OpGroupsSync, c.conn.Number, map[string]string{"selectionKey": "pilot_groups_v1"})
	accepted := c.attemptOf(t, c.contoso, domain.OpRoleDefinitionsSync, domain.Accepted)
	joined := c.attemptOf(t, c.contoso, domain.OpRoleDefinitionsSync, domain.Deduped)
	c.settle(t)
	unknown := uuid.New()
	b := c.browser(t, "operator")
	preview := b.send(t, "POST", attemptReplayPath, attempts(
		scheduled, restore, retired, gone, other, accepted.Attempt, joined.Attempt, blocked[2], unknown, blocked[3], blocked[3]))
	begins(t, "preview", preview.replays(), map[uuid.UUID]string{
		scheduled: "Not replayable Scheduled backups and restores are not replayed.", restore: "Not replayable Scheduled backups",
		retired: "Not replayable This operation can no longer be started.", gone: "Not replayable The connection is gone.",
		other: "Busy", accepted.Attempt: "Not replayable It was accepted", joined.Attempt: "Not replayable It joined a run",
		blocked[2]: "Not needed The same work is active", unknown: "Not found There is nothing here that you can see.", blocked[3]: "Starts",
	})
	action, sent := preview.confirmation(t)
	done := b.send(t, "POST", action, form(sent))
	begins(t, "confirm", done.replays(), map[uuid.UUID]string{other: "Busy", blocked[3]: "Accepted"})
	if !strings.Contains(done.text(), `name="selectionKey" value="pilot_groups_v1"`) {
		t.Error("starting it when free would be with other inputs")
	}
	page := b.send(t, "GET", "/admin/attempts").text()
	for _, id := range []uuid.UUID{scheduled, restore, retired, joined.Attempt, blocked[3]} {
		if strings.Contains(page, `name="attempt" value="`+id.String()) {
			t.Errorf("%s can be selected", id)
		}
	}
}

// TestAPreviewIsItsMakersAndExpires: nobody else can confirm it, nor with another digest, nor too late.
func TestAPreviewIsItsMakersAndExpires(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ids := c.refused(t)
	c.mend(t)
	b := c.browser(t, "operator")
	action, sent := b.send(t, "POST", attemptReplayPath, attempts(ids[0])).confirmation(t)
	for _, name := range []string{"owner", "readonly", "limited", "stranger", "platform", "nobody", "both"} {
		if res := c.browser(t, name).send(t, "POST", action, form(sent)); res.status != http.StatusNotFound {
			t.Errorf("%s confirms another's preview: %d", name, res.status)
		}
	}
	changed := maps.Clone(sent)
	changed.Set("digest", strings.Repeat("0", 64))
	if res := b.send(t, "POST", action, form(changed)); res.status != http.StatusConflict || !strings.Contains(res.text(), "preview_changed") {
		t.Errorf("another digest: %d", res.status)
	}
	expire := func() {
		_, err := c.pool.Exec(t.Context(), `update replay_previews set until = clock_timestamp() - interval '1 second'`)
		must(t, err)
	}
	expire()
	if res := b.send(t, "POST", action, form(sent)); res.status != http.StatusConflict || !strings.Contains(res.text(), "Nothing was started") || !strings.Contains(res.text(), "group=reason") {
		t.Errorf("too late: %d %s", res.status, clip(res.body))
	}
	c.settle(t)
	if n := c.count(t, `select count(*) from runs`); n != 0 {
		t.Errorf("%d runs", n)
	}
	action, sent = b.send(t, "POST", attemptReplayPath, attempts(ids[0])).confirmation(t)
	begins(t, "in time", b.send(t, "POST", action, form(sent)).replays(), map[uuid.UUID]string{ids[0]: "Accepted"})
	expire()
	if res := b.send(t, "POST", action, form(sent)); res.status != http.StatusConflict || !strings.Contains(res.text(), "was confirmed at") {
		t.Errorf("once more, too late: %d", res.status)
	}
}

// TestReplayOnlyOfWhatOneSees: attempts of others are the same line as attempts that are not there, whoever they belong to.
func TestReplayOnlyOfWhatOneSees(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ids := c.refused(t)
	c.mend(t)
	for name, want := range map[string][2]string{ // contoso's and tailspin's
		"limited": {"Not found", "Starts"}, "stranger": {"Not found", "Not found"}, "readonly": {"Not allowed You may not start this.", "Not allowed"},
	} {
		b := c.browser(t, name)
		res := b.send(t, "POST", attemptReplayPath, attempts(ids[0], ids[3]))
		begins(t, name, res.replays(), map[uuid.UUID]string{ids[0]: want[0], ids[3]: want[1]})
		if strings.Contains(res.text(), "bulk-confirm") && name != "limited" && confirmAction.MatchString(res.text()) {
			t.Errorf("%s can confirm", name)
		}
		rows := b.send(t, "POST", attemptReplayPath, form(url.Values{"query": {"outcome=blocked"}})).replays()
		if _, hidden := rows[ids[0]]; hidden && name != "readonly" || name == "limited" && len(rows) != 1 {
			t.Errorf("%s selects by filter what they do not see: %v", name, rows)
		}
	}
	for _, name := range []string{"platform", "nobody"} {
		if res := c.browser(t, name).send(t, "POST", attemptReplayPath, attempts(ids[0])); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	b := c.browser(t, "operator")
	many := make([]uuid.UUID, 501)
	for i := range many {
		many[i] = uuid.New()
	}
	for name, m := range map[string]message{
		"nothing": form(url.Values{"back": {"/"}}), "no attempt": form(url.Values{"attempt": {"x"}}), "no filter": form(url.Values{"query": {"colour=red"}}),
		"too many": attempts(many...),
	} {
		if res := b.send(t, "POST", attemptReplayPath, m); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	foreign := form(url.Values{"attempt": {ids[0].String()}, "back": {"https://evil.example/"}})
	if res := b.send(t, "POST", attemptReplayPath, foreign); strings.Contains(res.text(), "evil.example") {
		t.Error("the way back leads to another host")
	}
}

// TestReplayAsksForTheNumber: more than 20 starts are confirmed with their number, and what is wrong with it changes nothing.
func TestReplayAsksForTheNumber(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.consent(t, c.contoso, domain.ConsentIsGone)
	for n := range 22 {
		_, err := c.commands.Start(t.Context(), commands.Start{
			Actor:  domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: c.people["owner"]}, Workspace: c.ours, Role: domain.RoleOwner},
			Tenant: c.contoso.ExternalID, Operation: domain.OpGroupsSync, Inputs: map[string]string{"selectionKey": fmt.Sprint("part_", n%21)},
			Trigger: domain.TriggerOperator,
		})
		must(t, err)
	}
	c.mend(t)
	b := c.browser(t, "operator")
	preview := b.send(t, "POST", attemptReplayPath, form(url.Values{"query": {"outcome=blocked"}}))
	action, sent := preview.confirmation(t)
	if len(preview.replays()) != 22 || !strings.Contains(preview.text(), "Type 21, the number of attempts, to confirm") {
		t.Fatalf("the preview has %d rows", len(preview.replays()))
	}
	sent.Set("typed", "22")
	again := b.send(t, "POST", action, form(sent))
	if again.status != http.StatusUnprocessableEntity || len(again.replays()) != 21 || !strings.Contains(again.text(), "Nothing was done.") {
		t.Fatalf("a wrong number: %d with %d rows", again.status, len(again.replays()))
	}
	sent.Set("typed", " 21 ")
	done := b.send(t, "POST", action, form(sent))
	accepted := 0
	for _, text := range done.replays() {
		if strings.HasPrefix(text, "Accepted") {
			accepted++
		} else if !strings.HasPrefix(text, "Busy") {
			t.Errorf("answered %q", text)
		}
	}
	if len(done.replays()) != 21 || accepted != 1 {
		t.Errorf("%d rows, %d accepted", len(done.replays()), accepted)
	}
}
