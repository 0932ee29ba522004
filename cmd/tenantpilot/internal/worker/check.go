package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// checkConnection finds out whether the connection works: it signs in afresh, looks who answers, reads what is granted and tries a cheap
// read per operation family. The run succeeds when it could find out, whatever it found; what it found is written to the connection.
func checkConnection(ctx context.Context, x *execution) (result, error) {
	if err := x.progress(ctx, "Signing in and reading permissions", 0, 0); err != nil {
		return result{}, err
	}
	conn, err := x.connection(ctx)
	if err != nil {
		return result{}, err
	}
	found, err := x.checkUntilSpread(ctx, conn)
	if err != nil {
		return result{}, err
	}
	if items := probeItems(found); len(items) > 0 {
		if err := x.record(ctx, items...); err != nil {
			return result{}, err
		}
	}
	r := result{finding: findingOf(found, x.begun.Connection), summary: checkSummary(found)}
	if found.State == graph.CheckError {
		r.outcome, r.reason = domain.Failed, found.Reason
	}
	if found.Failure != nil {
		r.facts = diagnostics(found.Failure)
	}
	return r, nil
}

// checkUntilSpread checks until a fresh consent shows. The provider takes minutes to make consent known everywhere: until then its absence
// is no finding, so the run goes on, and says what it waits for. Consent that is not fresh is checked once.
func (x *execution) checkUntilSpread(ctx context.Context, conn graph.Connection) (graph.CheckResult, error) {
	given, window, err := x.freshConsent(ctx)
	if err != nil {
		return graph.CheckResult{}, err
	}
	for pause := x.worker.cfg.ConsentPause; ; pause = min(2*pause, time.Minute) {
		found, err := x.worker.graph.CheckConnection(ctx, conn, graph.CheckOptions{Call: x.call(ctx), Wanted: wantedPermissions()})
		if err != nil {
			return found, err
		}
		until := time.Now().Add(pause)
		if until.After(given.Add(spreading(found, window))) {
			return found, nil
		}
		if err := x.progress(ctx, "Waiting for the new consent to spread", 0, 0); err != nil {
			return found, err
		}
		x.waits(ctx, until, domain.ReasonProviderVerificationPending)
		if sleep(ctx, pause); ctx.Err() != nil {
			return found, ctx.Err()
		}
	}
}

// freshConsent is when consent was given, and for how long after that it may not show. Who says "I already consented" is believed for a tenth
// of the time that the provider's own answer is, counted from now.
func (x *execution) freshConsent(ctx context.Context) (given time.Time, window time.Duration, err error) {
	window = x.worker.cfg.ConsentWindow
	if x.begun.Connection.Consent == domain.ConsentIsGiven {
		given, err = projections.ConsentAnsweredAt(ctx, x.worker.store.Pool(), x.begun.Connection.ID)
	}
	if err == nil && x.begun.Run.Reconsent && given.Before(time.Now().Add(-window)) {
		given, window = time.Now(), window/10
	}
	return given, window, err
}

// spreading is for how long after a consent a finding may only mean that it has not spread: all of the window where nothing works, a tenth
// of it where single permissions are missing, because the consent may not have been for them. Zero is a finding that stands.
func spreading(found graph.CheckResult, window time.Duration) time.Duration {
	family := domain.ReasonFor(found.Reason).Family
	switch {
	case found.State == graph.CheckBlocked && (family == domain.FamilyConsent || family == domain.FamilyPermission):
		return window
	case found.State == graph.CheckDegraded && family == domain.FamilyPermission:
		return window / 10
	}
	return 0
}

// wantedPermissions are those of all operations that can be started: each is checked, and lacking one blocks that operation only.
func wantedPermissions() []string {
	var all []string
	for _, o := range domain.Catalogue() {
		if !o.Check {
			all = append(all, o.Permissions...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// findingOf translates a check into the connection's axes. Consent is written only on evidence: a sign-in with something granted proves
// it; a refusal that names consent disproves it, and is a revocation where consent had been given. A check that could not finish found
// nothing (nil) unless its reason is one that the verification axis records; either way what was known to be granted stays known, and so
// does what was refused when it was used, where the tenant does not let us read what is granted.
func findingOf(found graph.CheckResult, before domain.ProviderConnection) *domain.Finding {
	f := &domain.Finding{
		State: domain.VerificationState(found.State), Reason: found.Reason, Granted: found.Granted, Refused: found.Refused,
	}
	if !found.GrantsReadable {
		f.Granted = slices.Concat(found.Granted, found.Refused)
	}
	reason := domain.ReasonFor(found.Reason)
	if found.State == graph.CheckError {
		if reason.Axis == domain.ReasonAxisNone {
			return nil
		}
		f.Granted, f.Refused = before.Granted, before.Refused
	}
	switch {
	case found.Reason != "" && reason.Axis == domain.ReasonAxisConsent:
		f.Consent = domain.ConsentState(reason.AxisState)
		if f.Consent == domain.ConsentRequired && (before.Consent == domain.ConsentIsGiven || before.Consent == domain.ConsentIsGone) {
			f.Consent = domain.ConsentIsGone
		}
	case found.TenantID != "" && len(found.Granted) > 0:
		f.Consent = domain.ConsentIsGiven
	}
	return f
}

func probeItems(found graph.CheckResult) []domain.Item {
	var items []domain.Item
	for _, p := range found.Probes {
		item := domain.Item{Key: p.Permission, Name: p.Permission, Type: "permission", Intent: "read", Result: domain.ItemConfirmed, Reason: p.Reason}
		switch p.Outcome {
		case graph.ProbeOK:
		case graph.ProbeNotProbed:
			item.Intent = "look up" // it is granted; nothing was read with it
		default:
			item.Result = domain.ItemRefused
		}
		items = append(items, item)
	}
	return items
}

func checkSummary(found graph.CheckResult) string {
	switch found.State {
	case graph.CheckHealthy:
		return "Connection checked: everything needed is granted and works."
	case graph.CheckDegraded:
		return fmt.Sprintf("Connection checked: it works, but %d permissions are not usable.", len(found.Missing)+len(found.Refused)+len(found.Unlicensed))
	case graph.CheckBlocked:
		return "Connection checked: it cannot be used. " + domain.ReasonFor(found.Reason).Short
	}
	return "The check could not be finished. " + domain.ReasonFor(found.Reason).Short
}
