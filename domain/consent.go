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

// ConsentAnswer is what the provider sent the customer's administrator back with.
type ConsentAnswer struct {
	App       string     // the application that consent was asked for
	Refusal   ReasonCode // why there is none; "" is a grant
	Directory string     // that the answer named, a claim
}

// Granted says whether the answer is a grant.
func (a ConsentAnswer) Granted() bool { return a.Refusal == "" }

// FinishConsent records an answer. A grant is recorded each time, because it may add permissions; it proves nothing by itself, the check that
// follows does. A refusal takes nothing away from consent that was granted before: it says only that nothing was added. What another directory
// answered says nothing about this one, and is kept with that directory. An answer about an application that the connection no longer has is
// refused as one to a link that is over (ReasonConsentStateInvalid).
func (c ProviderConnection) FinishConsent(a ConsentAnswer) ([]Event, error) {
	switch {
	case !c.Exists():
		return nil, ErrNotFound()
	case a.App != c.AppID:
		return nil, conflict(string(ReasonConsentStateInvalid), "Consent was asked for another application than the connection has now.")
	case a.Granted():
		return []Event{ConsentGranted{Evidence: EvidenceCallback}}, nil
	case a.Refusal == ReasonTenantTargetMismatch:
		return []Event{ConsentAnswerIgnored{Reason: a.Refusal, Directory: a.Directory}}, nil
	case c.Consent == ConsentIsGiven:
		return nil, nil
	case a.Refusal == ReasonProviderConsentMissing:
		return c.recordConsent(ConsentRequired, a.Refusal, ConsentGranted{})
	}
	return []Event{ConsentFailed{Reason: a.Refusal}}, nil
}

// IgnoreConsentAnswer records that an answer came which is not listened to: its link was used before, is over, belongs to
// another session, or was made for another application.
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
