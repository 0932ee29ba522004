package view

import (
	"time"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// ConsentDetail is where a connection stands with the customer's consent, for programs.
type ConsentDetail struct {
	ProviderConnection ConnectionRef            `json:"providerConnection"`
	TenantExternalID   string                   `json:"tenantExternalId"`
	TenantLabel        string                   `json:"tenantLabel"`
	EffectiveAppID     *string                  `json:"effectiveAppId"`
	State              CanonicalConnectionState `json:"state"`
	OperatorMessage    string                   `json:"operatorMessage"`
	ShortReason        *string                  `json:"shortReason"`
	ReasonCode         *string                  `json:"reasonCode"`
	Permissions        []ConsentNeed            `json:"permissions"`
	// Request is the newest link without its address; Link is there once, in the answer that made it.
	Request *ConsentRequest `json:"request"`
	Link    *ConsentAddress `json:"link"`
	// Check is the run that finds out, while it is under way.
	Check *ConsentCheck `json:"check"`
}

// ConsentCheck is a run that finds out whether consent was given.
type ConsentCheck struct {
	ID  int64  `json:"id"`
	URL string `json:"url"`
}

// ConsentNeed is a permission, what it lets us do, which operations need it, and whether the last check found it granted;
// nil is not known.
type ConsentNeed struct {
	Permission  string `json:"permission"`
	Description string `json:"description"`
	NeededFor   string `json:"neededFor"`
	Granted     *bool  `json:"granted"`
}

// ConsentRequest is what became of the newest link: open, answered, elsewhere (in another browser, which proves nothing) or expired.
type ConsentRequest struct {
	RequestedBy string    `json:"requestedBy"`
	RequestedAt time.Time `json:"requestedAt"`
	ExpiresAt   time.Time `json:"expiresAt"`
	State       string    `json:"state"`
}

// ConsentAddress is a link for an administrator of the customer, with the text of an e-mail to send it in.
type ConsentAddress struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expiresAt"`
	Mail      string    `json:"mail"`
}

// Told is the page for programs.
func (p Consent) Told(c projections.Connection, t projections.Tenant) ConsentDetail {
	d := ConsentDetail{
		ProviderConnection: ConnectionRef{ID: c.Number, Provider: c.Provider, Label: c.DisplayName},
		TenantExternalID:   p.Directory, TenantLabel: t.Name, EffectiveAppID: Text(p.AppID), State: canonicalState(c),
		OperatorMessage: p.Sentence, ShortReason: Text(p.Reason), ReasonCode: Text(p.Code), Permissions: []ConsentNeed{},
	}
	for _, need := range p.Permissions {
		told := ConsentNeed{Permission: need.Name, Description: need.Words, NeededFor: need.For}
		if need.Granted != domain.PermissionUnknown {
			granted := need.Granted != domain.PermissionMissing
			told.Granted = &granted
		}
		d.Permissions = append(d.Permissions, told)
	}
	if p.Sent != nil {
		d.Request = &ConsentRequest{p.Sent.By, p.Sent.At, p.Sent.Expires, p.Sent.State}
	}
	if p.Link != nil {
		d.Link = &ConsentAddress{p.Link.URL, p.Link.Expires, p.Link.Mail}
	}
	if p.Running != nil {
		d.Check = &ConsentCheck{*c.ScopeRunNumber, p.Running.Href}
	}
	return d
}
