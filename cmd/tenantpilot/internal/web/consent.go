package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/consent"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

const (
	consentCallbackPath = "/consent/callback"
	consentMedia        = "application/vnd.tenantpilot.provider-consent+json"
)

// ConsentProvider makes links to the provider's consent page and reads what it answers. It talks to nobody.
type ConsentProvider interface {
	// ConsentURL is the page for an administrator of a directory, which answers to redirect with state.
	ConsentURL(directory, appID, redirect, state string) (string, error)
	// ReadConsentAnswer returns the directory that an answer names, a claim to be compared, and why there is no consent; "" is a grant.
	ReadConsentAnswer(query url.Values) (directory string, refusal domain.ReasonCode)
}

// consentPage says what consent is needed for and how it stands.
func (s *Server) consentPage(r request) (answer, error) {
	c, t, err := s.connectionAndTenant(r)
	if err != nil {
		return answer{}, err
	}
	p, err := s.presentConsent(r, c, t)
	if err != nil {
		return answer{}, err
	}
	history, err := s.Read.ConnectionHistory(r.Context(), c, historyLimit)
	if err != nil {
		return answer{}, err
	}
	unchecked, err := s.uncheckedConsent(r, c, t, history)
	if err != nil {
		return answer{}, err
	}
	p.Uncheck(unchecked)
	if next := auth.LocalPath(r.URL.Query().Get("next")); next != "/" {
		p.Next, p.Here = next, p.Here+"?next="+url.QueryEscape(next)
	}
	return consentAnswer(p, c, t), nil
}

// uncheckedConsent is what there is to say about consent that was given and not checked; nil where there is nothing to say.
func (s *Server) uncheckedConsent(
	r request, c projections.Connection, t projections.Tenant, history []projections.TimelineEvent,
) (*view.UncheckedFacts, error) {
	if !view.ConsentUnchecked(c, history) {
		return nil, nil
	}
	waiting, err := s.Read.Waiting(r.Context(), r.actor(), t.ID, c.Number)
	if err != nil {
		return nil, err
	}
	result, err := s.Commands.Forecast(r.Context(), commands.Start{
		Actor: domain.SystemActor(c.Workspace), Operation: domain.OpConnectionCheck, Connection: c.Number,
	})
	if err != nil {
		return nil, err
	}
	facts, err := s.startFacts(r, result)
	return &view.UncheckedFacts{StartFacts: facts, Waiting: waiting}, err
}

func consentAnswer(p view.Consent, c projections.Connection, t projections.Tenant) answer {
	return answer{
		title: "Admin consent for " + t.Name, shell: inTenant(t), media: consentMedia, value: p.Told(c, t),
		page: func(shell view.Shell) templ.Component { return page.ConsentPage(shell, p) },
	}
}

func (s *Server) connectionAndTenant(r request) (projections.Connection, projections.Tenant, error) {
	number, err := pathNumber(r.v("connection"))
	if err != nil {
		return projections.Connection{}, projections.Tenant{}, err
	}
	c, err := s.Read.Connection(r.Context(), r.actor(), number)
	if err != nil {
		return c, projections.Tenant{}, err
	}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	if err != nil {
		return c, projections.Tenant{}, err
	}
	for _, t := range tenants {
		if t.ID == c.Tenant {
			return c, t, nil
		}
	}
	return c, projections.Tenant{}, notFound()
}

func (s *Server) presentConsent(r request, c projections.Connection, t projections.Tenant) (view.Consent, error) {
	now := time.Now().UTC()
	p := view.PresentConsent(c, t, r.actor().May, uuid.NewString(), now)
	if s.Consents == nil {
		p.RequestHref = ""
		return p, nil
	}
	sent, found, err := s.Consents.Latest(r.Context(), r.actor().Workspace, c.Number)
	if err != nil || !found {
		return p, err
	}
	name, err := s.Read.PersonName(r.Context(), sent.Person)
	if err != nil {
		return p, err
	}
	p.Sent = &view.ConsentSent{By: name, At: sent.RequestedAt, Expires: sent.ExpiresAt, State: "open"}
	switch {
	case sent.Elsewhere:
		p.Sent.State = "elsewhere"
	case !sent.AnsweredAt.IsZero():
		p.Sent.State = "answered"
	case !now.Before(sent.ExpiresAt):
		p.Sent.State = "expired"
	}
	return p, nil
}

// requestConsent makes a link and shows it, once: what is kept of it is a hash. A program has no browser in which it could be answered: its
// links end on the page that thanks the administrator, and a check finds out what came of it.
func (s *Server) requestConsent(r request) (answer, error) {
	c, t, err := s.connectionAndTenant(r)
	if err != nil {
		return answer{}, err
	}
	if err := r.actor().Authorize(c.Workspace, c.Tenant, domain.CapProviderManage); err != nil { // the command asks for the right to check besides
		return answer{}, err
	}
	var form url.Values
	if isForm(r.Request) {
		form, err = formOf(r)
	} else {
		err = decode(r.Request, &struct{}{})
	}
	if err != nil {
		return answer{}, err
	}
	next := view.ConsentHref(c.Number)
	if wanted := auth.LocalPath(form.Get("next")); wanted != "/" {
		next = wanted
	}
	p, err := s.makeConsentLink(r, c, t, next)
	if err != nil {
		return answer{}, err
	}
	p.Next, p.Here = next, p.Here+"?next="+url.QueryEscape(next)
	return consentAnswer(p, c, t), nil
}

// makeConsentLink asks for consent in the name of the signed-in browser, which comes back to next, and presents the link. A program's link is
// answered by nobody: a check finds out what became of it. Whether the viewer may is the caller's to ask.
func (s *Server) makeConsentLink(r request, c projections.Connection, t projections.Tenant, next string) (view.Consent, error) {
	if s.Consents == nil {
		return view.Consent{}, problem{Status: http.StatusConflict, Code: "consent_link_impossible", Detail: "This console makes no consent links."}
	}
	session := r.viewer.Session()
	if session == "" {
		session = "program:" + r.actor().Ref.ID.String() // which no browser has
	}
	directory, back := t.ExternalID.String(), s.callbackURL(r.Request)
	if _, err := s.Provider.ConsentURL(directory, c.AppID, back, "any"); err != nil {
		return view.Consent{}, problem{
			Status: http.StatusConflict, Code: "consent_link_impossible",
			Detail: "No link can be made: the application id of the connection is not one of Microsoft's. Correct it first.",
		}
	}
	seq, err := s.Commands.RequestConsent(r.Context(), commands.RequestConsent{Actor: r.actor(), Connection: c.Number})
	if err != nil {
		return view.Consent{}, err
	}
	state, expires, err := s.Consents.Issue(r.Context(), consent.Request{
		Session: session, Workspace: c.Workspace, Person: r.actor().Ref.ID, Connection: c.Number, Directory: t.ExternalID, App: c.AppID, Next: next,
	})
	if err != nil {
		return view.Consent{}, err
	}
	link, err := s.Provider.ConsentURL(directory, c.AppID, back, state)
	if err != nil {
		return view.Consent{}, err
	}
	if _, err := s.Read.AwaitConnections(r.Context(), seq, 2*time.Second); err != nil {
		return view.Consent{}, err
	}
	if c, err = s.Read.Connection(r.Context(), r.actor(), c.Number); err != nil {
		return view.Consent{}, err
	}
	p, err := s.presentConsent(r, c, t)
	if err != nil {
		return p, err
	}
	made := view.PresentConsentLink(link, expires, t.Name, p.Permissions)
	p.Link = &made
	return p, nil
}

// callbackURL is where the provider sends the browser back to; it has to be one of the application's reply addresses.
func (s *Server) callbackURL(r *http.Request) string {
	if s.PublicURL != "" {
		return strings.TrimSuffix(s.PublicURL, "/") + consentCallbackPath
	}
	scheme := "http"
	if r.TLS != nil || s.BehindTLS {
		scheme = "https"
	}
	return scheme + "://" + r.Host + consentCallbackPath
}

// consentCallback is where the provider sends the administrator's browser. What it says is a claim: the state decides whether it is listened
// to, the directory has to be the expected one, and a grant is believed only after the check that is recorded with it. From the moment at which
// the state is used up it does not matter whether the browser still waits. A crash between that and the record loses the answer: the link is
// used, nothing else has changed, and "I already consented, re-check" finds out.
func (s *Server) consentCallback(r request) (answer, error) {
	query := r.URL.Query()
	if s.Consents == nil || query.Get("state") == "" {
		return s.consentIgnored(r, consent.Request{}, consent.ErrInvalid), nil
	}
	ctx := context.WithoutCancel(r.Context())
	asked, err := s.Consents.Burn(ctx, query.Get("state"), r.viewer.Session())
	if err == nil && r.actor().Workspace != asked.Workspace { // another one was chosen meanwhile
		err = consent.ErrElsewhere
	}
	var seq int64
	var given domain.ConsentAnswer
	if err == nil {
		given = s.readConsent(query, asked)
		seq, err = s.Commands.FinishConsent(ctx, commands.FinishConsent{
			Actor: r.actor(), Connection: asked.Connection, State: consent.Name(query.Get("state")), ConsentAnswer: given,
		})
	}
	if refused, ok := domain.AsRefusal(err); ok && refused.Code == string(domain.ReasonConsentStateInvalid) { // it has another application now
		err = consent.ErrInvalid
	}
	if errors.Is(err, consent.ErrInvalid) || errors.Is(err, consent.ErrElsewhere) {
		return s.consentIgnored(r, asked, err), s.recordIgnored(ctx, asked, query.Get("state"))
	}
	if err != nil {
		return answer{}, err
	}
	s.Log.Info("consent answered", "connection", asked.Connection, "refusal", string(given.Refusal), "request_id", requestIDOf(r.Context()))
	if given.Refusal == domain.ReasonTenantTargetMismatch {
		return consentFromElsewhere(asked, given.Directory), nil
	}
	if _, err := s.Read.AwaitConnections(r.Context(), seq, 2*time.Second); err != nil {
		return answer{}, err
	}
	return answer{redirect: asked.Next}, nil
}

// readConsent is what the provider answered to what was asked. Another directory's answer is none to it.
func (s *Server) readConsent(query url.Values, asked consent.Request) domain.ConsentAnswer {
	given := domain.ConsentAnswer{App: asked.App}
	given.Directory, given.Refusal = s.Provider.ReadConsentAnswer(query)
	if given.Granted() && given.Directory != strings.ToLower(asked.Directory.String()) {
		given.Refusal = domain.ReasonTenantTargetMismatch
	}
	return given
}

// recordIgnored leaves the answer in the connection's history, once for each link. A state that was never handed out has no history.
func (s *Server) recordIgnored(ctx context.Context, asked consent.Request, state string) error {
	if asked.Connection == 0 {
		return nil
	}
	return s.Commands.IgnoreConsentAnswer(ctx, commands.IgnoreConsentAnswer{
		Workspace: asked.Workspace, Connection: asked.Connection, State: consent.Name(state),
	})
}

// consentFromElsewhere says that the administrator of another directory answered. It is in the history; how consent stands is as before.
func consentFromElsewhere(asked consent.Request, directory string) answer {
	reason := domain.ReasonFor(domain.ReasonTenantTargetMismatch)
	shown := view.ConsentAnswer{
		Tone: view.Warning, Icon: "triangle-alert", Title: "Another tenant answered", Text: reason.Short, Code: string(reason.Code),
		Steps: []string{
			"The answer names the directory " + directory + ". How consent stands for this connection is unchanged.",
			"Make a new link, and open it signed in as an administrator of the right tenant.",
		},
		Link: &view.Link{Label: "Go back", Href: asked.Next},
	}
	return answer{
		title: shown.Title, status: http.StatusBadRequest,
		page: func(shell view.Shell) templ.Component { return page.ConsentAnswerPage(shell, shown) },
	}
}

// consentIgnored is what a browser sees whose answer is not listened to. An administrator of the customer, who opened the link that was sent
// to them, ends here: they are told that their part is done.
func (s *Server) consentIgnored(r request, asked consent.Request, why error) answer {
	shown := view.ConsentAnswer{
		Tone: view.Warning, Icon: "triangle-alert", Title: "This consent link is no longer valid", Text: "Nothing was recorded.",
		Code: string(domain.ReasonConsentStateInvalid),
		Steps: []string{
			"The link was already used, is older than 15 minutes, was made for another application, or was never made here.",
			"If you accepted: \"I already consented, re-check\" on the page of the connection's consent finds out. Else make a new link there.",
		},
	}
	if errors.Is(why, consent.ErrElsewhere) {
		shown.Tone, shown.Icon = view.Neutral, "info"
		shown.Title, shown.Text = "Thank you, you can close this page", "This browser did not ask for the consent, so nothing was recorded here."
		shown.Steps = []string{
			"If you accepted: tell the person who sent you the link. They press \"I already consented, re-check\" and see it confirmed.",
			"If you declined: nothing happens.",
		}
	}
	s.Log.Warn("consent answer ignored", "why", why.Error(), "request_id", requestIDOf(r.Context()))
	switch session := r.viewer.Session(); {
	case session != "" && session == asked.Session:
		shown.Link = &view.Link{Label: "Go back", Href: asked.Next}
	case r.viewer.Name != "":
		shown.Link = &view.Link{Label: "Go to tenants", Href: "/admin/tenants"}
	}
	return answer{
		title: shown.Title, status: http.StatusBadRequest,
		page: func(shell view.Shell) templ.Component {
			shell.Viewer, shell.Nav, shell.Tenants, shell.StartHref = view.Viewer{}, nil, nil, ""
			return page.ConsentAnswerPage(shell, shown)
		},
	}
}
