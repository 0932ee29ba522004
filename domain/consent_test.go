package domain

import "testing"

func TestConsentIsAskedForAndAnswered(t *testing.T) {
	t.Parallel()
	ask := func(c ProviderConnection) ([]Event, error) { return c.RequestConsent() }
	finish := func(refusal ReasonCode) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) {
			return c.FinishConsent(ConsentAnswer{App: c.AppID, Refusal: refusal, Directory: "elsewhere"})
		}
	}
	another := func(refusal ReasonCode) func(ProviderConnection) ([]Event, error) {
		return func(c ProviderConnection) ([]Event, error) {
			return c.FinishConsent(ConsentAnswer{App: "another", Refusal: refusal})
		}
	}
	fresh := given()[:1]
	runScenarios(t, []scenario[ProviderConnection]{
		{name: "asking where nothing is known", given: fresh, when: ask, then: []Event{ConsentRequested{ReasonProviderConsentMissing}}},
		{name: "asking after a refusal", given: given(ConsentFailed{Reason: ReasonProviderConsentDenied}), when: ask, then: []Event{ConsentRequested{ReasonProviderConsentMissing}}},
		{name: "asking for more where consent stands takes nothing away", given: given(), when: ask},
		{name: "asking again after a revocation keeps the word for it", given: given(ConsentRevoked{}), when: ask},
		{name: "asking on nothing", when: ask, refused: "not_found"},
		{name: "granted", given: given(ConsentRequested{}), when: finish(""), then: []Event{ConsentGranted{Evidence: EvidenceCallback}}},
		{name: "granted again is recorded: it may add permissions", given: given(), when: finish(""), then: []Event{ConsentGranted{Evidence: EvidenceCallback}}},
		{
			name: "declined", given: given(ConsentRequested{}), when: finish(ReasonProviderConsentDenied),
			then: []Event{ConsentFailed{Reason: ReasonProviderConsentDenied}},
		},
		{
			name: "another directory answered", given: given(ConsentRevoked{}), when: finish(ReasonTenantTargetMismatch),
			then: []Event{ConsentAnswerIgnored{ReasonTenantTargetMismatch, "elsewhere"}},
		},
		{
			name: "another directory answered for what was granted", given: given(), when: finish(ReasonTenantTargetMismatch),
			then: []Event{ConsentAnswerIgnored{ReasonTenantTargetMismatch, "elsewhere"}},
		},
		{name: "an answer that is not listened to", given: given(), when: ProviderConnection.IgnoreConsentAnswer, then: []Event{ConsentAnswerIgnored{Reason: ReasonConsentStateInvalid}}},
		{name: "a refusal takes nothing from what was granted", given: given(), when: finish(ReasonProviderConsentDenied)},
		{
			name: "consent still missing", given: given(ConsentFailed{}), when: finish(ReasonProviderConsentMissing),
			then: []Event{ConsentRequested{ReasonProviderConsentMissing}},
		},
		{name: "granted to another application", given: given(ConsentRequested{}), when: another(""), refused: "consent_state_invalid"},
		{name: "declined for another application", given: given(), when: another(ReasonProviderConsentDenied), refused: "consent_state_invalid"},
		{name: "an answer about nothing", when: finish(""), refused: "not_found"},
	})
}
