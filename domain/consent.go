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
// from consent that was granted before: it says only that nothing was added. What another directory answered says nothing about this one;
// directory is the one that the answer named, and is kept then.
func (c ProviderConnection) FinishConsent(refusal ReasonCode, directory string) ([]Event, error) {
	switch {
	case !c.Exists():
		return nil, ErrNotFound()
	case refusal == "":
		return []Event{ConsentGranted{Evidence: EvidenceCallback}}, nil
	case refusal == ReasonTenantTargetMismatch:
		return []Event{ConsentAnswerIgnored{Reason: refusal, Directory: directory}}, nil
	case c.Consent == ConsentIsGiven:
		return nil, nil
	case refusal == ReasonProviderConsentMissing:
		return c.recordConsent(ConsentRequired, refusal, ConsentGranted{})
	}
	return []Event{ConsentFailed{Reason: refusal}}, nil
}

// IgnoreConsentAnswer records that an answer came which is not listened to: its link was used before, is over, or belongs to another session.
func (c ProviderConnection) IgnoreConsentAnswer() ([]Event, error) {
	if !c.Exists() {
		return nil, ErrNotFound()
	}
	return []Event{ConsentAnswerIgnored{Reason: ReasonConsentStateInvalid}}, nil
}

// ConsentAnswerIgnored says that an answer to a consent link was not listened to. It changes nothing on any axis.
type ConsentAnswerIgnored struct {
	Reason    ReasonCode `json:"reason"`
	Directory string     `json:"directory,omitempty"` // that answered instead, as the answer claimed
}

// EventName implements Event.
func (ConsentAnswerIgnored) EventName() string { return "ConsentAnswerIgnored" }
