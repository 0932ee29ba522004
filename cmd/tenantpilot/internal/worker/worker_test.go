package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/projections"
)

// TestOperations is what each operation does, with one worker for all of them.
func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	w.work(worker.Config{Concurrency: 8})
	for name, test := range map[string]func(*testing.T, *world){
		"a groups sync reads all, then only changes":                     groupsSyncReadsAllThenOnlyChanges,
		"a role definitions sync replaces the cache":                     rolesSyncReplacesTheCache,
		"a check writes what it found to the connection":                 checkWritesWhatItFound,
		"a missing permission stops what needs it":                       aMissingPermissionStopsWhatNeedsIt,
		"a check finds consent revoked, and that blocks starts":          checkFindsConsentRevoked,
		"a check that cannot finish leaves a healthy connection healthy": checkThatCannotFinish,
		"a refusal ends the run with its reason and sanitised facts":     refusalEndsTheRun,
		"a permission withdrawn during the run is denied":                permissionWithdrawn,
		"the scope is busy until the run ends":                           scopeIsBusy,
		"an incomplete reading replaces nothing":                         incompleteReading,
		"an expired delta link is read anew in the same run":             expiredDeltaLink,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w.with(t))
		})
	}
}

func groupsSyncReadsAllThenOnlyChanges(t *testing.T, w *world) {
	tn := w.tenant(graphsim.Tenant{Groups: 1240})

	first := tn.accepted(domain.OpGroupsSync)
	end := w.ended(first)
	wantEnd(t, end, domain.Succeeded, "")
	if end.Summary != "1,240 groups read, nothing written." || end.Counts.Confirmed != 1 {
		t.Errorf("summary %q, counts %+v", end.Summary, end.Counts)
	}
	if e := w.effects(first); e.Pages != 31 || e.Rows != 1240 || e.Writes != 0 {
		t.Errorf("effects = %+v, want 31 pages of 1240 rows", e)
	}
	entry := tn.cachedBy(first, "directory_groups")
	before := groupsIn(t, w.store, entry)
	if entry.Count != 1240 || len(before) != 1240 {
		t.Errorf("cached %d, stored %d groups", entry.Count, len(before))
	}

	second := tn.accepted(domain.OpGroupsSync)
	wantEnd(t, w.ended(second), domain.Succeeded, "")
	if e := w.effects(second); e.Pages == 0 || e.Rows == 0 || e.Rows > 400 {
		t.Errorf("effects of the second sync = %+v, want some changes only", e)
	}
	entry = tn.cachedBy(second, "directory_groups")
	after := groupsIn(t, w.store, entry)
	if entry.Count != len(after) {
		t.Errorf("cached count %d, stored %d", entry.Count, len(after))
	}
	wantSameGroups(t, after, tn.listed(t))
}

// listed are the tenant's groups as a full listing shows them, which does not disturb the delta link.
func (tn tenant) listed(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	conn := graph.Connection{EntraTenantID: tn.id, AppID: tn.app, Credential: graph.NewSecret(appSecret)}
	err := newClient(t, tn.w.simURL).ListGroups(t.Context(), conn, graph.Call{}, func(p graph.GroupPage) error {
		for _, g := range p.Groups {
			names[g.ID] = g.DisplayName
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func groupsIn(t *testing.T, store *eventstore.Store, e projections.CacheEntry) map[string]string {
	t.Helper()
	b, err := store.Content(t.Context(), e.Content)
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		DeltaLink string        `json:"deltaLink"`
		Groups    []graph.Group `json:"groups"`
	}
	if err := json.Unmarshal(b, &content); err != nil || content.DeltaLink == "" {
		t.Fatalf("content has delta link %q: %v", content.DeltaLink, err)
	}
	names := map[string]string{}
	for _, g := range content.Groups {
		names[g.ID] = g.DisplayName
	}
	return names
}

func wantSameGroups(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d groups, want %d", len(got), len(want))
	}
	for id, name := range want {
		if got[id] != name {
			t.Fatalf("group %s is %q, want %q", id, got[id], name)
		}
	}
}

func rolesSyncReplacesTheCache(t *testing.T, w *world) {
	tn := w.tenant(graphsim.Tenant{RoleDefinitions: 130})
	for _, n := range []int{130, 90} {
		tn.sim(fmt.Sprintf(`{"roleDefinitions":%d}`, n))
		run := tn.accepted(domain.OpRoleDefinitionsSync)
		end := w.ended(run)
		wantEnd(t, end, domain.Succeeded, "")
		if want := fmt.Sprintf("%d role definitions read, nothing written.", n); end.Summary != want {
			t.Errorf("summary %q, want %q", end.Summary, want)
		}
		if entry := tn.cachedBy(run, "role_definitions"); entry.Count != n {
			t.Errorf("cached %d role definitions, want %d", entry.Count, n)
		}
	}
}

// aMissingPermissionStopsWhatNeedsIt: what one operation lacks degrades the connection, and keeps no other from starting; what the check itself
// lacks blocks it.
func aMissingPermissionStopsWhatNeedsIt(t *testing.T, w *world) {
	tn := w.unverified(graphsim.Tenant{Scenario: "permission_missing"})
	wantEnd(t, w.ended(tn.accepted(domain.OpConnectionCheck)), domain.Succeeded, "")
	if c := tn.connection(); c.Verification != domain.VerificationDegraded {
		t.Errorf("without the permission of one operation the connection is %s", c.Verification)
	}
	if r := tn.start(domain.OpGroupsSync); r.Outcome != domain.IsBlocked || r.Reason != domain.ReasonProviderPermissionMissing || r.Facts.Rule != 8 {
		t.Errorf("the operation that lacks it is %s %s at step %d", r.Outcome, r.Reason, r.Facts.Rule)
	}
	wantEnd(t, w.ended(tn.accepted(domain.OpRoleDefinitionsSync)), domain.Succeeded, "")

	tn = w.unverified(graphsim.Tenant{Permissions: []string{"Directory.Read.All", "GroupMember.Read.All", "RoleManagement.Read.Directory"}})
	wantEnd(t, w.ended(tn.accepted(domain.OpConnectionCheck)), domain.Succeeded, "")
	if c := tn.connection(); c.Verification != domain.VerificationBlocked || c.VerificationReason != domain.ReasonProviderPermissionMissing {
		t.Errorf("where grants cannot be read the connection is %s %s", c.Verification, c.VerificationReason)
	}
}

func checkWritesWhatItFound(t *testing.T, w *world) {
	for _, c := range []struct {
		scenario     string
		outcome      domain.RunOutcome // of the check itself: did it find out?
		verification domain.VerificationState
		reason       domain.ReasonCode
		consent      domain.ConsentState
	}{
		{"healthy", domain.Succeeded, domain.VerificationHealthy, "", domain.ConsentIsGiven},
		{"permission_missing", domain.Succeeded, domain.VerificationDegraded, domain.ReasonProviderPermissionMissing, domain.ConsentIsGiven},
		{"license_missing", domain.Succeeded, domain.VerificationDegraded, domain.ReasonProviderLicenseMissing, domain.ConsentIsGiven},
		{"consent_required", domain.Succeeded, domain.VerificationBlocked, domain.ReasonProviderConsentMissing, domain.ConsentRequired},
		{"app_not_installed", domain.Succeeded, domain.VerificationBlocked, domain.ReasonProviderAppNotInstalled, domain.ConsentRequired},
		{"expired_secret", domain.Succeeded, domain.VerificationBlocked, domain.ReasonProviderCredentialExpired, domain.ConsentUnknown},
		{"verification_blocked", domain.Succeeded, domain.VerificationBlocked, domain.ReasonProviderBlockedByTenantPolicy, domain.ConsentUnknown},
		{"other_directory", domain.Succeeded, domain.VerificationBlocked, domain.ReasonTenantTargetMismatch, domain.ConsentUnknown},
		{"unavailable", domain.Failed, domain.VerificationUnknown, "", domain.ConsentUnknown},
	} {
		tn := w.unverified(graphsim.Tenant{Scenario: c.scenario})
		run := tn.accepted(domain.OpConnectionCheck)
		end := w.ended(run)
		if end.Outcome != c.outcome || end.Summary == "" {
			t.Errorf("%s: ended %s %s (%q), want %s", c.scenario, end.Outcome, end.Reason, end.Summary, c.outcome)
		}
		conn := tn.connection()
		if conn.Verification != c.verification || conn.VerificationReason != c.reason || conn.Consent != c.consent || conn.Scope.Held() {
			t.Errorf("%s: connection is %s %q, consent %s, scope held %v; want %s %q %s", c.scenario,
				conn.Verification, conn.VerificationReason, conn.Consent, conn.Scope.Held(), c.verification, c.reason, c.consent)
		}
		if c.scenario == "healthy" && (end.Counts.Confirmed != len(w.items(run)) || len(w.items(run)) != 4) {
			t.Errorf("items of a healthy check: %+v", w.items(run))
		}
	}
}

func checkFindsConsentRevoked(t *testing.T, w *world) {
	tn := w.tenant(graphsim.Tenant{})
	tn.sim(`{"scenario":"consent_revoked"}`)
	wantEnd(t, w.ended(tn.accepted(domain.OpConnectionCheck)), domain.Succeeded, "")
	c := tn.connection()
	if c.Consent != domain.ConsentIsGone || c.Verification != domain.VerificationBlocked || len(c.Granted) != 0 {
		t.Errorf("connection: consent %s, verification %s, granted %v", c.Consent, c.Verification, c.Granted)
	}
	if r := tn.start(domain.OpGroupsSync); r.Outcome != domain.IsBlocked || r.Reason != domain.ReasonProviderConsentRevoked {
		t.Errorf("start after it = %s %s", r.Outcome, r.Reason)
	}
}

func checkThatCannotFinish(t *testing.T, w *world) {
	tn := w.tenant(graphsim.Tenant{Scenario: "unavailable"})
	end := w.ended(tn.accepted(domain.OpConnectionCheck))
	wantEnd(t, end, domain.Failed, domain.ReasonProviderUnavailable)
	if end.Diagnostics["status"] != "503" {
		t.Errorf("diagnostics = %v", end.Diagnostics)
	}
	c := tn.connection()
	if c.Verification != domain.VerificationHealthy || !slices.Contains(c.Granted, "GroupMember.Read.All") {
		t.Errorf("connection is %s, granted %v", c.Verification, c.Granted)
	}
}

func refusalEndsTheRun(t *testing.T, w *world) {
	for _, c := range []struct {
		scenario string
		op       domain.OperationType
		reason   domain.ReasonCode
		facts    map[string]string
	}{
		{"forbidden", domain.OpGroupsSync, domain.ReasonProviderPermissionDenied, map[string]string{"status": "403", "graphCode": "Authorization_RequestDenied"}},
		{"forbidden", domain.OpRoleDefinitionsSync, domain.ReasonProviderPermissionDenied, map[string]string{"status": "403"}},
		{"expired_secret", domain.OpGroupsSync, domain.ReasonProviderCredentialExpired, map[string]string{"operation": "token", "status": "401"}},
		{"no_consent", domain.OpGroupsSync, domain.ReasonProviderConsentRevoked, nil},
		{"license_missing", domain.OpRoleDefinitionsSync, domain.ReasonProviderLicenseMissing, nil},
		{"unavailable", domain.OpGroupsSync, domain.ReasonProviderUnavailable, map[string]string{"status": "503"}},
		{"malformed", domain.OpGroupsSync, domain.ReasonProviderResponseInvalid, nil},
		{"hostile_nextlink", domain.OpGroupsSync, domain.ReasonProviderResponseInvalid, nil},
		{"redirect", domain.OpRoleDefinitionsSync, domain.ReasonProviderUnavailable, nil},
	} {
		tn := w.tenant(graphsim.Tenant{Scenario: c.scenario})
		run := tn.accepted(c.op)
		end := w.ended(run)
		if c.scenario == "redirect" { // what matters is that it was not followed; how it is called is the graph package's affair
			c.reason = end.Reason
		}
		if end.Outcome != domain.Failed || end.Reason != c.reason {
			t.Errorf("%s: ended %s %s, want failed %s", c.scenario, end.Outcome, end.Reason, c.reason)
		}
		for k, v := range c.facts {
			if end.Diagnostics[k] != v {
				t.Errorf("%s: diagnostics %v, want %s = %s", c.scenario, end.Diagnostics, k, v)
			}
		}
		text := fmt.Sprintf("%+v", end)
		for _, canary := range []string{appSecret, tn.app, tn.id, "attacker", "Insufficient privileges"} {
			if strings.Contains(text, canary) {
				t.Errorf("%s: the ending shows %q: %s", c.scenario, canary, text)
			}
		}
		if tn.connection().Scope.Held() {
			t.Errorf("%s: the scope is still held", c.scenario)
		}
	}
}

func permissionWithdrawn(t *testing.T, w *world) {
	tn := w.tenant(graphsim.Tenant{})
	w.sim.Hold(tn.id)
	run := tn.accepted(domain.OpGroupsSync)
	tn.held()
	tn.sim(`{"permissions":["Directory.Read.All"],"hold":false}`)
	wantEnd(t, w.ended(run), domain.Failed, domain.ReasonProviderPermissionDenied)
}

func scopeIsBusy(t *testing.T, w *world) {
	tn := w.tenant(graphsim.Tenant{})
	w.sim.Hold(tn.id)
	run := tn.accepted(domain.OpGroupsSync)
	tn.held()
	if r := tn.start(domain.OpRoleDefinitionsSync); r.Outcome != domain.Busy || r.Holder.Run != run {
		t.Errorf("other work = %s, holder %s", r.Outcome, r.Holder.Run)
	}
	if r := tn.start(domain.OpGroupsSync); r.Outcome != domain.Deduped || r.Run != run {
		t.Errorf("same work = %s, run %s", r.Outcome, r.Run)
	}
	w.sim.Release(tn.id)
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	wantEnd(t, w.ended(tn.accepted(domain.OpRoleDefinitionsSync)), domain.Succeeded, "")
}

func TestThrottlingIsWaitedOutAndShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{RetryAfter: time.Second, ThrottleBurst: 2, ThrottleAddresses: 1})
	tn := w.tenant(graphsim.Tenant{Scenario: "throttled"})
	w.work(worker.Config{Lease: 2 * time.Second})
	run := tn.accepted(domain.OpGroupsSync)
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	if e := w.effects(run); e.Throttled != 2 || e.Early != 0 {
		t.Errorf("effects = %+v, want 2 throttled and none early", e)
	}
	waits, waiting := 0, false
	for _, e := range w.history(run) {
		if p, ok := e.(domain.RunProgressed); ok {
			if waiting = !p.WaitingUntil.IsZero(); waiting {
				waits++
				if p.WaitingFor != domain.ReasonProviderRateLimited || p.Step == "" {
					t.Errorf("wait = %+v", p.Progress)
				}
			}
		}
	}
	if waits != 2 || waiting {
		t.Errorf("%d waits shown, want 2; still shown at the end: %v", waits, waiting)
	}
	if r := w.run(run); r.Try != 1 {
		t.Errorf("tried %d times: waiting cost the lease", r.Try)
	}

	// A check has no pages to tell about: that the wait is over shows all the same.
	tn = w.tenant(graphsim.Tenant{Scenario: "throttled"})
	tn.sim(`{"latencyMs":200}`)
	run = tn.accepted(domain.OpConnectionCheck)
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	told := 0
	for _, e := range w.history(run) {
		if p, ok := e.(domain.RunProgressed); ok {
			told++
			waiting = !p.WaitingUntil.IsZero()
		}
	}
	if told < 4 || waiting {
		t.Errorf("progress told %d times; a wait still shown at the end: %v", told, waiting)
	}
}

func incompleteReading(t *testing.T, w *world) {
	tn := w.tenant(graphsim.Tenant{Groups: 240, RoleDefinitions: 240})
	for op, kind := range map[domain.OperationType]string{
		domain.OpGroupsSync: "directory_groups", domain.OpRoleDefinitionsSync: "role_definitions",
	} {
		tn.sim(`{"scenario":"healthy","latencyMs":0}`)
		whole := tn.accepted(op)
		wantEnd(t, w.ended(whole), domain.Succeeded, "")
		before := tn.cachedBy(whole, kind)

		if op == domain.OpGroupsSync {
			tn.sim(`{"groups":241}`) // the saved delta link expires: a full reading of several pages
		}
		tn.sim(`{"latencyMs":150}`)
		run := tn.accepted(op)
		w.eventually("some pages are read", func() bool { return w.effects(run).Pages >= 2 })
		tn.sim(`{"scenario":"forbidden"}`)
		end := w.ended(run)
		wantEnd(t, end, domain.Failed, domain.ReasonProviderPermissionDenied)
		items := w.items(run)
		if len(items) != 1 || !items[0].Partial || items[0].Content != "" || items[0].Count == 0 || items[0].Count%40 != 0 {
			t.Errorf("%s: items = %+v", op, items)
		}
		if !strings.Contains(end.Summary, "what was known before is unchanged") {
			t.Errorf("%s: summary %q", op, end.Summary)
		}
		w.settled(tn)
		if after := tn.cache(kind); after != before {
			t.Errorf("%s: cache is %+v, was %+v", op, after, before)
		}
	}
}

// settled waits until the read models have everything that happened.
func (w *world) settled(tn tenant) {
	w.t.Helper()
	var seq int64
	w.must(w.pool.QueryRow(w.t.Context(), `select max(seq) from events`).Scan(&seq))
	ok, err := projections.Await(w.t.Context(), w.pool, seq, 10*time.Second, projections.Work{}, projections.Directory{}, projections.Runs{})
	if w.must(err); !ok {
		w.t.Fatal("read models did not catch up")
	}
}

func expiredDeltaLink(t *testing.T, w *world) {
	tn := w.tenant(graphsim.Tenant{Groups: 90})
	first := tn.accepted(domain.OpGroupsSync)
	wantEnd(t, w.ended(first), domain.Succeeded, "")
	tn.cachedBy(first, "directory_groups")
	tn.sim(`{"groups":70}`) // twenty are gone, which only a full reading tells
	second := tn.accepted(domain.OpGroupsSync)
	end := w.ended(second)
	wantEnd(t, end, domain.Succeeded, "")
	if e := w.effects(second); e.Rows != 70 || e.Failures != 1 {
		t.Errorf("effects = %+v, want one refusal and everything read", e)
	}
	wantSameGroups(t, groupsIn(t, w.store, tn.cachedBy(second, "directory_groups")), tn.listed(t))
}

func TestContentThatWasLostIsReadAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{Groups: 90})
	w.work(worker.Config{})
	first := tn.accepted(domain.OpGroupsSync)
	wantEnd(t, w.ended(first), domain.Succeeded, "")
	tn.cachedBy(first, "directory_groups")
	if _, err := w.db.SuperuserPool(t).Exec(t.Context(), `set session_replication_role = replica; alter table content disable trigger all; delete from content`); err != nil {
		t.Fatal(err)
	}
	second := tn.accepted(domain.OpGroupsSync)
	wantEnd(t, w.ended(second), domain.Succeeded, "")
	if e := w.effects(second); e.Rows < 90 {
		t.Errorf("effects = %+v, want everything read", e)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{RetryAfter: 30 * time.Second, PageSize: 10})
	cancel := func(run uuid.UUID) {
		t.Helper()
		_, err := w.commands.CancelRun(t.Context(), commands.CancelRun{Actor: w.operator, Run: run})
		w.must(err)
	}
	queued := w.tenant(graphsim.Tenant{})
	run := queued.accepted(domain.OpGroupsSync)
	cancel(run)
	wantEnd(t, w.ended(run), domain.Cancelled, domain.ReasonCancelledByOperator)

	w.work(worker.Config{})
	t.Run("while an answer is awaited", func(t *testing.T) {
		tn := w.tenant(graphsim.Tenant{})
		w.sim.Hold(tn.id)
		run := tn.accepted(domain.OpGroupsSync)
		tn.held()
		cancel(run)
		wantEnd(t, w.ended(run), domain.Cancelled, domain.ReasonCancelledByOperator)
	})
	t.Run("between pages", func(t *testing.T) {
		tn := w.tenant(graphsim.Tenant{Groups: 200})
		tn.sim(`{"latencyMs":250}`)
		run := tn.accepted(domain.OpGroupsSync)
		w.eventually("a page is read", func() bool { return w.effects(run).Pages >= 2 })
		cancel(run)
		end := w.ended(run)
		wantEnd(t, end, domain.Cancelled, domain.ReasonCancelledByOperator)
		items := w.items(run)
		if len(items) != 1 || !items[0].Partial || items[0].Reason != domain.ReasonCancelledByOperator || end.Summary == "" {
			t.Errorf("items %+v, summary %q", items, end.Summary)
		}
		if e := w.effects(run); e.Pages >= 20 {
			t.Errorf("read on to the end: %+v", e)
		}
	})
	t.Run("while waiting for the provider", func(t *testing.T) {
		tn := w.tenant(graphsim.Tenant{Scenario: "throttled"})
		run := tn.accepted(domain.OpGroupsSync)
		w.eventually("the wait is shown", func() bool {
			return slices.ContainsFunc(w.history(run), func(e domain.Event) bool {
				p, ok := e.(domain.RunProgressed)
				return ok && p.WaitingFor == domain.ReasonProviderRateLimited
			})
		})
		cancel(run)
		wantEnd(t, w.ended(run), domain.Cancelled, domain.ReasonCancelledByOperator)
	})
	if e := w.effects(run); e.Requests != 0 {
		t.Errorf("a run that was cancelled while queued asked the provider: %+v", e)
	}
}

func TestTheGateIsAskedAgainBeforeARunBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{})
	run := tn.accepted(domain.OpGroupsSync)
	w.must(w.commands.SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{Actor: w.owner, Connection: tn.conn, Reason: "Maintenance"}))
	w.work(worker.Config{})
	wantEnd(t, w.ended(run), domain.BlockedRun, domain.ReasonProviderConnectionDisabled)
	if e := w.effects(run); e.Requests+e.TokenRequests != 0 {
		t.Errorf("the provider was asked all the same: %+v", e)
	}
	if tn.connection().Scope.Held() {
		t.Error("the scope is still held")
	}
}

func TestAnOperationNobodyKnowsEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{})
	// As an earlier or later version would have accepted it.
	run := uuid.New()
	_, err := w.store.Transact(t.Context(), eventstore.Request{Workspace: w.operator.Workspace, At: time.Now().UTC().Truncate(time.Microsecond)},
		func(ctx context.Context, u *eventstore.Unit) error {
			c, version, err := eventstore.Load[domain.ProviderConnection](ctx, u, domain.ConnectionStream(tn.conn))
			if err != nil {
				return err
			}
			s := domain.Situation{Tenant: tn.ours, Connection: c, ConnectionVersion: version}
			a := domain.Attempt{
				ID: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond), Actor: w.operator.Ref, Trigger: domain.TriggerOperator,
				Operation: domain.OperationByType(domain.OpInventorySync), Inputs: map[string]string{"selectionKey": "x"}, Run: run, RunNumber: 9_000,
			}
			d := domain.Start(s, a)
			if d.Outcome != domain.Accepted {
				return fmt.Errorf("outcome %s %s", d.Outcome, d.Reason)
			}
			u.About(tn.ours.ID)
			u.Apply(d.Changes(s, a))
			return nil
		})
	w.must(err)
	w.work(worker.Config{})
	wantEnd(t, w.ended(run), domain.Failed, domain.ReasonDispatchFailed)
	if tn.connection().Scope.Held() {
		t.Error("the scope is still held")
	}
}

// panicking has no secrets, only panics.
type panicking struct{}

func (panicking) For(context.Context, domain.ProviderConnection) (graph.Secret, error) {
	panic("canary " + appSecret)
}

func TestAPanicEndsTheRunAndNotTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{})
	w.work(worker.Config{Concurrency: 1}, panicking{})
	for range 2 {
		end := w.ended(tn.accepted(domain.OpGroupsSync))
		wantEnd(t, end, domain.Failed, domain.ReasonInternalError)
		if strings.Contains(fmt.Sprintf("%+v", end), "canary") {
			t.Errorf("the panic shows: %+v", end)
		}
	}
}

func TestAWorkerThatStopsHandsItsRunsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{})
	w.sim.Hold(tn.id)
	run := tn.accepted(domain.OpGroupsSync)
	stop := w.work(worker.Config{Name: "first", Lease: time.Minute})
	tn.held()
	stop()
	if r := w.run(run); r.Status != domain.Running {
		t.Fatalf("run is %s after its worker stopped", r.Status)
	}
	w.sim.Release(tn.id)
	begun := time.Now()
	w.work(worker.Config{Name: "second", Lease: time.Minute})
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("taken up again after %s: the lease was not handed back", took)
	}
	if r := w.run(run); r.Try != 2 {
		t.Errorf("try %d, want 2", r.Try)
	}
}
