package view

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// TestConsentIsUnchecked: from the provider's grant until a check that began after it has found something.
func TestConsentIsUnchecked(t *testing.T) {
	t.Parallel()
	before, after, at := uuid.New(), uuid.New(), time.Now()
	grant := domain.ConsentGranted{Evidence: domain.EvidenceCallback}
	began := func(run uuid.UUID) domain.Event { return domain.VerificationStarted{Run: run} }
	found := func(run uuid.UUID) domain.Event {
		return domain.VerificationRecorded{Run: run, State: domain.VerificationHealthy, CheckedAt: at}
	}
	nothing := domain.VerificationRecorded{Run: after, State: domain.VerificationUnknown} // put back to what it was
	granted := projections.Connection{Consent: domain.ConsentIsGiven}
	checking, busy := granted, granted
	checking.ScopeRunNumber, checking.ScopeOperation = new(int64), domain.OpConnectionCheck
	busy.ScopeRunNumber, busy.ScopeOperation = new(int64), domain.OpGroupsSync
	for name, tc := range map[string]struct {
		connection projections.Connection
		history    []domain.Event
		want       bool
	}{
		"no history":                           {granted, nil, false},
		"the grant":                            {granted, []domain.Event{grant}, true},
		"the grant, ignored answers after it":  {granted, []domain.Event{grant, domain.ConsentAnswerIgnored{}}, true},
		"another operation runs":               {busy, []domain.Event{grant}, true},
		"a check runs":                         {checking, []domain.Event{grant, began(after)}, false},
		"a check found something":              {granted, []domain.Event{grant, began(after), found(after)}, false},
		"a check found nothing":                {granted, []domain.Event{grant, began(after), nothing}, true},
		"a check of before it found something": {granted, []domain.Event{began(before), grant, found(before)}, true},
		"one of before and one of after":       {granted, []domain.Event{began(before), grant, found(before), began(after), found(after)}, false},
		"found by hand":                        {granted, []domain.Event{grant, found(uuid.Nil)}, false},
		"granted again":                        {granted, []domain.Event{grant, began(after), found(after), grant}, true},
		"a check found the consent":            {granted, []domain.Event{domain.ConsentGranted{Evidence: domain.EvidenceCheck}}, false},
		"revoked since":                        {projections.Connection{Consent: domain.ConsentIsGone}, []domain.Event{grant}, false},
	} {
		var history []projections.TimelineEvent
		for _, e := range slices.Backward(tc.history) {
			payload, err := domain.Canonical(e)
			if err != nil {
				t.Fatal(err)
			}
			history = append(history, projections.TimelineEvent{Name: e.EventName(), Payload: payload})
		}
		if got := ConsentUnchecked(tc.connection, history); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// TestUncheckedConsentHasOneThingToDo: whatever keeps the check from starting, for who may and who may not.
func TestUncheckedConsentHasOneThingToDo(t *testing.T) {
	t.Parallel()
	now := time.Now()
	hold := domain.Hold{Reason: "audit"}
	check := &Button{Label: "any", Post: true, Href: "/check"}
	for name, tc := range map[string]struct {
		reason       domain.ReasonCode
		tenant, conn domain.Hold
		waiting      []projections.WaitingStart
		check        *Button
		text, href   string
		always       bool // takes no right
	}{
		"nothing in the way": {check: check, text: "A check finds out whether it has arrived.", href: "/check"},
		"connection on hold": {
			reason: domain.ReasonTenantOnHold, conn: hold, text: "The connection is on hold: audit.", href: "/admin/provider-connections/7/changes/release",
		},
		"tenant on hold": {
			reason: domain.ReasonTenantOnHold, tenant: hold, conn: hold, text: "The tenant is on hold: audit.", href: TenantHref(uuid.Nil.String()), always: true,
		},
		"review":     {reason: domain.ReasonProviderConnectionReviewRequired, href: "/admin/provider-connections/7/changes/review"},
		"disabled":   {reason: domain.ReasonProviderConnectionDisabled, href: "/admin/provider-connections/7/changes/enable"},
		"no secret":  {reason: domain.ReasonProviderCredentialMissing, href: "/admin/provider-connections/7/credential"},
		"old secret": {reason: domain.ReasonProviderCredentialExpired, href: "/admin/provider-connections/7/credential"},
		"it waits": {
			reason: domain.ReasonTenantOnHold, waiting: []projections.WaitingStart{{Operation: domain.OpGroupsSync, Holder: 8}, {Operation: domain.OpConnectionCheck, Holder: 9}},
			text: "The check waits until run 9 has ended.", href: RunHref(9), always: true,
		},
	} {
		for _, may := range []bool{true, false} {
			f := UncheckedFacts{Waiting: tc.waiting, StartFacts: StartFacts{Now: now, May: func(domain.NextStepAction) bool { return may }}}
			f.Connection.Number, f.Connection.Hold, f.Tenant.Hold, f.Outcome = 7, tc.conn, tc.tenant, domain.Accepted
			if tc.reason != "" {
				f.Outcome, f.Reason = domain.IsBlocked, tc.reason
			}
			want := tc.text
			if want == "" {
				want = domain.ReasonFor(tc.reason).Short
			}
			button := tc.check
			if !may {
				button = nil
			}
			got := f.present(button)
			switch {
			case may || tc.always:
				if got.Text != want || len(got.Buttons) != 1 || got.Buttons[0].Href != tc.href {
					t.Errorf("%s: %+v", name, got)
				}
			case got.Text != want+" This takes a right that you do not have." || len(got.Buttons) != 0:
				t.Errorf("%s, who may not: %+v", name, got)
			}
		}
	}
}
