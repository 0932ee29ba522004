package view

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

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
	// Unchecked says why consent that was given has not been checked, and the one thing to do; nil when there is nothing to say.
	Unchecked *Banner
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
	Granted domain.PermissionState
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
			Granted: c.State().Permission(need.Permission),
		})
	}
	if can(domain.CapProviderManage) && can(domain.CapProviderVerify) {
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

// ConsentUnchecked says whether the last word on a connection's consent is the provider's grant and no check has looked at it: none that began
// after it has found anything, and none runs. history is the connection's, newest first.
func ConsentUnchecked(c projections.Connection, history []projections.TimelineEvent) bool {
	if c.Consent != domain.ConsentIsGiven || c.ScopeRunNumber != nil && c.ScopeOperation == domain.OpConnectionCheck {
		return false
	}
	found := map[uuid.UUID]bool{}
	for _, e := range history {
		data, err := domain.Decode(e.Name, e.Payload)
		if err != nil {
			continue
		}
		switch d := data.(type) {
		case domain.VerificationRecorded:
			found[d.Run] = !d.CheckedAt.IsZero()
		case domain.VerificationStarted:
			if found[d.Run] {
				return false
			}
		case domain.ConsentGranted:
			return d.Evidence == domain.EvidenceCallback && !found[uuid.Nil] // what is found by hand has no run
		}
	}
	return false
}

const consentUnchecked = "Consent was given, but it has not been checked."

// Uncheck makes the page say that the consent has not been checked. The button that checks stands in for the one that says it again.
func (p *Consent) Uncheck(f *UncheckedFacts) {
	if f != nil {
		p.Sentence, p.Unchecked, p.Recheck = consentUnchecked, f.present(p.Recheck), nil
	}
}

// remedies are what is done on a connection's own pages about what keeps its check from starting.
var remedies = map[domain.ReasonCode]struct {
	Button
	needs domain.NextStepAction
}{
	domain.ReasonTenantOnHold:                     {Button{Label: "Release hold", Icon: "play", Href: "/changes/release", Dialog: true}, domain.StepReleaseHold},
	domain.ReasonProviderConnectionReviewRequired: {Button{Label: "Complete review", Icon: "list-checks", Href: "/changes/review", Dialog: true}, domain.StepReview},
	domain.ReasonProviderConnectionDisabled:       {Button{Label: "Enable", Icon: "power", Href: "/changes/enable", Dialog: true}, domain.StepEnable},
	domain.ReasonProviderCredentialMissing:        {Button{Label: "Set credential", Icon: "key-round", Href: "/credential"}, domain.StepRotateCredential},
	domain.ReasonProviderCredentialExpired:        {Button{Label: "Rotate credential", Icon: "key-round", Href: "/credential"}, domain.StepRotateCredential},
}

// UncheckedFacts are what there is to say about consent that was given and not checked: what the gate would answer to the check now, and what
// waits for the connection.
type UncheckedFacts struct {
	StartFacts
	Waiting []projections.WaitingStart
}

// present says why it has not been checked, and the one thing to do about it. check is the button that starts a check; nil where the viewer may not.
func (f UncheckedFacts) present(check *Button) *Banner {
	for _, w := range f.Waiting {
		if w.Operation == domain.OpConnectionCheck {
			run := strconv.FormatInt(w.Holder, 10)
			return &Banner{
				Tone: Wait, Icon: "hourglass", Text: "The check waits until run " + run + " has ended.",
				Buttons: []Button{{Label: "View run " + run, Href: RunHref(w.Holder)}},
			}
		}
	}
	b := &Banner{Tone: Warning, Icon: "triangle-alert", Text: "A check finds out whether it has arrived."}
	if f.Outcome == domain.IsBlocked {
		b.Text, check = domain.ReasonFor(f.Reason).Short, f.remedy()
		switch hold := f.Connection.Hold; {
		case f.Tenant.Hold.Active(f.Now):
			b.Text = "The tenant is on hold: " + f.Tenant.Hold.Reason + "."
		case hold.Active(f.Now):
			b.Text = "The connection is on hold: " + hold.Reason + "."
		}
	}
	if check == nil {
		b.Text += " This takes a right that you do not have."
		return b
	}
	fix := *check
	fix.Variant, fix.Key = "primary", ""
	if fix.Post {
		fix.Label = "Check now"
	}
	b.Buttons = []Button{fix}
	return b
}

// remedy is where what is in the way can be removed; nil for who may not.
func (f UncheckedFacts) remedy() *Button {
	if f.Tenant.Hold.Active(f.Now) {
		return &Button{Label: "Open the tenant", Icon: "building-2", Href: TenantHref(f.Tenant.ExternalID.String())}
	}
	r, known := remedies[f.Reason]
	if !known || !f.May(r.needs) {
		return nil
	}
	r.Href = ConnectionHref(f.Connection.Number) + r.Href
	return &r.Button
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
