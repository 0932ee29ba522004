package domain

// RequestConsent says that the customer is being asked for consent. Consent that stands, or is known to be required or revoked, stays as it
// is: asking again changes nothing that is true.
func (c ProviderConnection) RequestConsent() ([]Event, error) {
	switch {
	case !c.Exists():
		return nil, ErrNotFound()
	case c.Consent == ConsentUnknown, c.Consent == ConsentIsFailed:
		return []Event{ConsentRequested{Reason: ReasonProviderConsentMissing}}, nil
	}
	return nil, nil
}

// FinishConsent records what the provider sent the customer's administrator back with: a grant (refusal "") or why there is none. A grant is
// recorded each time, because it may add permissions; it proves nothing by itself, the check that follows does. A refusal takes nothing away
// from consent that was granted before: it says only that nothing was added. directory is the one that the answer named; where it was another
// than the expected one, it is kept.
func (c ProviderConnection) FinishConsent(refusal ReasonCode, directory string) ([]Event, error) {
	switch {
	case !c.Exists():
		return nil, ErrNotFound()
	case refusal == "":
		return []Event{ConsentGranted{Evidence: EvidenceCallback}}, nil
	case c.Consent == ConsentIsGiven:
		return nil, nil
	case refusal == ReasonProviderConsentMissing:
		return c.recordConsent(ConsentRequired, refusal, ConsentGranted{})
	}
	if refusal != ReasonTenantTargetMismatch {
		directory = ""
	}
	return []Event{ConsentFailed{Reason: refusal, Directory: directory}}, nil
}
