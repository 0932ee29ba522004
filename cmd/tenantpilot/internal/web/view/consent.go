package view

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// Consent is the page on which a customer's consent is asked for.
type Consent struct {
	Now        time.Time
	Connection Link
	Tenant     Link
	Directory  string
	AppID      string
	Axes       Axes
	Sentence   string
	// Reason is why the last try failed; Code its stable name.
	Reason, Code string
	Permissions  []ConsentPermission
	// RequestHref makes a link; empty where the viewer may not.
	RequestHref string
	// Here is this page.
	Here string
	// Next is the local page to come back to after consent, sent with the request.
	Next string
	// Link is shown once, right after it was made.
	Link *ConsentLink
	// Sent is what is known about the newest link; nil when there is none.
	Sent *ConsentSent
	// SentAbove says that the page tells about it elsewhere, where it moves by itself.
	SentAbove bool
	// Recheck says "I already consented"; nil where the viewer may not, or while a check runs.
	Recheck *Button
	// Running is the check that runs now.
	Running *Link
}

// ConsentPermission is one permission in words.
type ConsentPermission struct {
	Name    string
	Words   string
	For     string // the operations that need it
	Granted bool   // as of the last check
}

// ConsentLink is a link to send to an administrator of the customer.
type ConsentLink struct {
	URL     string
	Expires time.Time
	Mail    string // text of an e-mail
	MailTo  string // opens it in the mail program
}

// ConsentSent is the newest link of a connection, without the link.
type ConsentSent struct {
	By      string
	At      time.Time
	Expires time.Time
	// State is open, answered, elsewhere or expired.
	State string
}

// ConsentAnswer is what a browser is told that came back from the provider, where it is not sent on to a page of the console.
type ConsentAnswer struct {
	Tone  Tone
	Icon  string
	Title string
	Text  string
	Code  string
	Steps []string
	Link  *Link
}

// ConsentHref is the page on which consent to a connection is asked for.
func ConsentHref(connection int64) string {
	return "/admin/provider-connections/" + strconv.FormatInt(connection, 10) + "/consent"
}

// PresentConsent words where a connection stands with the customer's consent, for a viewer who may do what can says.
func PresentConsent(c projections.Connection, t projections.Tenant, can func(domain.Capability) bool, attempt string, now time.Time) Consent {
	state := canonicalState(c)
	p := Consent{
		Now: now, Connection: Link{Label: c.DisplayName}, Tenant: Link{t.Name, TenantHref(t.ExternalID.String())},
		Directory: t.ExternalID.String(), AppID: c.AppID, Axes: state.Axes(), Sentence: consentSentence(c.Consent), Next: ConsentHref(c.Number),
		Here: ConsentHref(c.Number),
	}
	if c.ConsentErrorReason != "" && c.Consent != domain.ConsentIsGiven {
		reason := domain.ReasonFor(c.ConsentErrorReason)
		p.Reason, p.Code = reason.Message, string(reason.Code)
	}
	for _, need := range domain.PermissionNeeds() {
		labels := make([]string, len(need.Operations))
		for i, o := range need.Operations {
			labels[i] = o.Label
		}
		p.Permissions = append(p.Permissions, ConsentPermission{
			Name: need.Permission, Words: domain.PermissionWords(need.Permission), For: strings.Join(labels, ", "),
			Granted: slices.Contains(c.Granted, need.Permission),
		})
	}
	if can(domain.CapProviderManage) {
		p.RequestHref = ConsentHref(c.Number) + "/request"
	}
	switch {
	case c.ScopeRunNumber != nil && c.ScopeOperation == domain.OpConnectionCheck:
		p.Running = &Link{"Follow run " + strconv.FormatInt(*c.ScopeRunNumber, 10), RunHref(*c.ScopeRunNumber)}
	case can(domain.CapProviderVerify):
		p.Recheck = &Button{
			Label: "I already consented, re-check", Icon: "refresh-cw", Post: true,
			Href:   "/admin/provider-connections/" + strconv.FormatInt(c.Number, 10) + "/actions/" + string(domain.OpConnectionCheck) + "/start",
			Fields: []Field{{"attempt_id", attempt}, {"reconsent", "true"}, {"sourceSurface", "console.consent"}},
		}
	}
	return p
}

func consentSentence(c domain.ConsentState) string {
	switch c {
	case domain.ConsentIsGiven:
		return "Consent is granted. Ask again only when permissions are missing."
	case domain.ConsentIsFailed:
		return "The last try to get consent did not succeed."
	case domain.ConsentIsGone:
		return "Consent was granted once and has been taken back."
	case domain.ConsentRequired:
		return "An administrator of the customer has to consent before operations can run."
	}
	return "It is not known whether the customer has consented."
}

// PresentConsentLink is a link with the e-mail that it can be sent in.
func PresentConsentLink(link string, expires time.Time, tenant string, permissions []ConsentPermission) ConsentLink {
	var b strings.Builder
	b.WriteString("Hello,\n\nwe look after " + tenant + " with TenantPilot, which needs the consent of an administrator to read the directory. " +
		"It asks for:\n\n")
	for _, p := range permissions {
		b.WriteString("- " + p.Name + ": " + p.Words + "\n")
	}
	b.WriteString("\nPlease open this link as a Global Administrator of " + tenant + " before " + Absolute(expires) +
		", look at the permissions, and accept:\n\n" + link + "\n\nThank you.\n")
	subject := "Admin consent for TenantPilot: " + tenant
	return ConsentLink{
		URL: link, Expires: expires, Mail: b.String(),
		MailTo: "mailto:?subject=" + url.PathEscape(subject) + "&body=" + url.PathEscape(b.String()),
	}
}
