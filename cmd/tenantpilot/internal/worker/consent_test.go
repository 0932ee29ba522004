package worker_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/commands"
	"tenantpilot/domain"
)

// consented records the provider's grant, with the check that proves it.
func (tn tenant) consented() uuid.UUID {
	tn.w.t.Helper()
	ctx := tn.w.t.Context()
	_, err := tn.w.commands.FinishConsent(ctx, commands.FinishConsent{
		Actor: tn.w.owner, Connection: tn.conn, ConsentAnswer: domain.ConsentAnswer{App: tn.app},
	})
	tn.w.must(err)
	return tn.connection().Scope.Run
}

// accept is the administrator's click on the simulated consent page.
func (tn tenant) accept() {
	tn.w.t.Helper()
	tn.sim(`{"scenario":"consent_spreading","consent":true}`)
}

// TestAFreshConsentMaySpread: until the provider shows a new consent the connection is pending and the run says what it waits for; nothing
// is recorded as missing. What is granted everywhere at once ends the check at once.
func TestAFreshConsentMaySpread(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{ConsentSpread: 3})
	w.work(worker.Config{ConsentPause: 600 * time.Millisecond})
	tn := w.unverified(graphsim.Tenant{Scenario: "consent_spreading"})
	tn.accept()
	run := tn.consented()
	waited, pending := false, false
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && w.run(run).Status != domain.Completed; time.Sleep(20 * time.Millisecond) {
		pending = pending || tn.connection().Verification == domain.VerificationPending
	}
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	for _, e := range w.history(run) {
		p, ok := e.(domain.RunProgressed)
		waited = waited || ok && p.WaitingFor == domain.ReasonProviderVerificationPending
	}
	c := tn.connection()
	if c.Verification != domain.VerificationHealthy || c.Consent != domain.ConsentIsGiven || !waited || !pending {
		t.Errorf("connection is %s, consent %s; waited %v, was pending %v", c.Verification, c.Consent, waited, pending)
	}
	for _, e := range w.history(domain.ConnectionStream(tn.conn)) {
		if _, revoked := e.(domain.ConsentRevoked); revoked {
			t.Error("the consent was recorded as revoked meanwhile")
		}
	}
}

// TestWhatMovesTheWindowOfAFreshConsent: an answer that is not listened to, a reloaded page say, takes nothing from the time in which a consent
// may spread; another app has no consent that could.
func TestWhatMovesTheWindowOfAFreshConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{ConsentSpread: 3})
	w.work(worker.Config{ConsentPause: 50 * time.Millisecond, ConsentWindow: 15 * time.Second})
	ctx := t.Context()
	answered := func(tn tenant) {
		t.Helper()
		w.must(w.commands.HoldConnection(ctx, commands.HoldConnection{Actor: w.owner, Connection: tn.conn, Reason: "not yet"}))
		_, err := w.commands.FinishConsent(ctx, commands.FinishConsent{
			Actor: w.owner, Connection: tn.conn, ConsentAnswer: domain.ConsentAnswer{App: tn.app},
		})
		w.must(err)
		w.must(w.commands.IgnoreConsentAnswer(ctx, commands.IgnoreConsentAnswer{
			Workspace: w.owner.Workspace, Connection: tn.conn, State: uuid.New(),
		}))
		w.must(w.commands.ReleaseConnection(ctx, commands.ReleaseConnection{Actor: w.owner, Connection: tn.conn, Reason: "now"}))
	}
	tn := w.unverified(graphsim.Tenant{Scenario: "consent_spreading"})
	tn.accept()
	answered(tn)
	wantEnd(t, w.ended(tn.accepted(domain.OpConnectionCheck)), domain.Succeeded, "")
	if c := tn.connection(); c.Consent != domain.ConsentIsGiven || c.Verification != domain.VerificationHealthy {
		t.Errorf("after an ignored answer: consent %s, verification %s %s", c.Consent, c.Verification, c.VerificationReason)
	}

	moved := w.unverified(graphsim.Tenant{Scenario: "consent_required"})
	answered(moved)
	w.must(w.commands.ChangeConnection(ctx, commands.ChangeConnection{
		Actor: w.owner, Connection: moved.conn, DisplayName: "Dedicated", Type: "dedicated", AppID: moved.app,
	}))
	w.must(w.commands.RotateCredential(ctx, commands.RotateCredential{
		Actor: w.owner, Connection: moved.conn, Credential: domain.Credential{Kind: "secret", Fingerprint: "f2"},
	}))
	began := time.Now()
	wantEnd(t, w.ended(moved.accepted(domain.OpConnectionCheck)), domain.Succeeded, "")
	if took := time.Since(began); took > 10*time.Second || moved.connection().Consent != domain.ConsentRequired {
		t.Errorf("another app's consent is %s after %s", moved.connection().Consent, took)
	}
}

// TestAConsentThatNeverShows: after the window the check says so; a consent that nobody's callback told of is not waited for.
func TestAConsentThatNeverShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	w.work(worker.Config{ConsentPause: 50 * time.Millisecond, ConsentWindow: time.Second})
	tn := w.unverified(graphsim.Tenant{Scenario: "consent_required"})
	began := time.Now()
	wantEnd(t, w.ended(tn.consented()), domain.Succeeded, "")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("a fresh consent was waited for only %s", took)
	}
	if c := tn.connection(); c.Consent != domain.ConsentIsGone || c.Verification != domain.VerificationBlocked || c.VerificationReason != domain.ReasonProviderConsentRevoked {
		t.Errorf("connection: consent %s, verification %s %s", c.Consent, c.Verification, c.VerificationReason)
	}

	told := w.tenant(graphsim.Tenant{Scenario: "consent_revoked"}) // recorded by hand, long ago
	run := told.accepted(domain.OpConnectionCheck)
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	for _, e := range w.history(run) {
		if p, ok := e.(domain.RunProgressed); ok && p.Step == "Waiting for the new consent to spread" {
			t.Error("an old consent is waited for")
		}
	}
}

// TestARefusalOfAGrantedPermissionBlocks: the reason is provider_permission_denied, on the check and on every start afterwards.
func TestARefusalOfAGrantedPermissionBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	w.work(worker.Config{})
	tn := w.tenant(graphsim.Tenant{Scenario: "forbidden"})
	for range 2 { // what is granted stays known
		wantEnd(t, w.ended(tn.accepted(domain.OpConnectionCheck)), domain.Succeeded, "")
		c := tn.connection()
		if c.Verification != domain.VerificationBlocked || c.VerificationReason != domain.ReasonProviderPermissionDenied {
			t.Errorf("connection is %s %s", c.Verification, c.VerificationReason)
		}
		if p := c.Permission("GroupMember.Read.All"); p != domain.PermissionRefused || len(c.MissingPermissions()) > 0 {
			t.Errorf("the refused permission is %s, missing are %v", p, c.MissingPermissions())
		}
	}
	if r := tn.start(domain.OpGroupsSync); r.Outcome != domain.IsBlocked || r.Reason != domain.ReasonProviderPermissionDenied {
		t.Errorf("start = %s %s", r.Outcome, r.Reason)
	}
	if code, ok := domain.ParseReasonCode("ext.provider_permission_denied"); !ok || code != domain.ReasonProviderPermissionDenied {
		t.Errorf("the legacy spelling reads as %s", code)
	}
}

// TestAConsentThatSomebodySaysWasGiven: without the provider's answer it is waited for too, but not for long.
func TestAConsentThatSomebodySaysWasGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{ConsentSpread: 2})
	w.work(worker.Config{ConsentPause: 30 * time.Millisecond, ConsentWindow: 5 * time.Second})
	again := func(tn tenant) domain.RunCompleted {
		t.Helper()
		r, err := w.commands.Start(t.Context(), commands.Start{
			Actor: w.operator, Connection: tn.conn, Operation: domain.OpConnectionCheck, Trigger: domain.TriggerOperator, Reconsent: true,
		})
		w.must(err)
		return w.ended(r.Run)
	}
	tn := w.unverified(graphsim.Tenant{Scenario: "consent_spreading"})
	wantEnd(t, w.ended(tn.accepted(domain.OpConnectionCheck)), domain.Succeeded, "")
	if c := tn.connection(); c.Consent != domain.ConsentRequired {
		t.Fatalf("consent is %s", c.Consent)
	}
	tn.accept()
	wantEnd(t, again(tn), domain.Succeeded, "")
	if c := tn.connection(); c.Consent != domain.ConsentIsGiven || c.Verification != domain.VerificationHealthy {
		t.Errorf("after \"I already consented\": consent %s, verification %s", c.Consent, c.Verification)
	}
	never := w.unverified(graphsim.Tenant{Scenario: "consent_required"})
	began := time.Now()
	wantEnd(t, again(never), domain.Succeeded, "")
	if c := never.connection(); c.Consent != domain.ConsentRequired || time.Since(began) > 4*time.Second {
		t.Errorf("a word that is not true: consent %s after %s", c.Consent, time.Since(began))
	}
}

// TestNewGrantsGetANewToken: a token keeps the permissions that it was issued with, so after a check found others no worker uses an old one.
func TestNewGrantsGetANewToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{Groups: 20})
	w.work(worker.Config{})
	wantEnd(t, w.ended(tn.accepted(domain.OpGroupsSync)), domain.Succeeded, "")
	wantEnd(t, w.ended(tn.accepted(domain.OpGroupsSync)), domain.Succeeded, "")
	before := w.sim.Effects().Tenants[tn.id].TokenRequests
	if before != 1 {
		t.Fatalf("two runs asked for %d tokens, want one", before)
	}
	w.must(w.commands.RecordVerification(t.Context(), commands.RecordVerification{Actor: w.owner, Connection: tn.conn, Finding: domain.Finding{
		State: domain.VerificationHealthy, Granted: append(graphsim.DefaultPermissions(), "Mail.Read"),
	}}))
	wantEnd(t, w.ended(tn.accepted(domain.OpGroupsSync)), domain.Succeeded, "")
	if after := w.sim.Effects().Tenants[tn.id].TokenRequests; after != before+1 {
		t.Errorf("after other grants %d more tokens were asked for, want one", after-before)
	}
}
