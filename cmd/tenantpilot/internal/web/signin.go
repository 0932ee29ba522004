package web

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/gorilla/mux"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
)

const (
	beginOIDCHref  = "/sign-in/oidc"
	breakGlassHref = "/sign-in/break-glass"
	keptFormHref   = "/kept-form"
)

// signInRoutes come before those of links, whose addresses are of the same form.
func (s *Server) signInRoutes(r *mux.Router) {
	s.open(r, http.MethodGet, beginOIDCHref, s.beginOIDC)
	s.open(r, http.MethodGet, beginOIDCHref+"/callback", s.finishOIDC)
	s.open(r, http.MethodPost, breakGlassHref, s.breakGlass)
	s.get(r, keptFormHref, s.keptForm)
	s.post(r, keptFormHref+"/discard", "", s.discardForm)
}

// waysIn is the sign-in page with the ways in that this console has, which lead to a page of it.
func (s *Server) waysIn(r request, next string) view.SignIn {
	shown := view.SignIn{State: view.SignInAsk, Now: time.Now().UTC()}
	query := ""
	if next = auth.LocalPath(next); next != "/" {
		query = "?next=" + url.QueryEscape(next)
	}
	if name, ok := s.Auth.ProviderName(); ok {
		shown.Provider = &view.Link{Label: "Sign in with " + name, Href: beginOIDCHref + query}
	}
	if s.Auth.BreakGlass() {
		shown.BreakGlass = &view.BreakGlass{Action: breakGlassHref, Next: next}
	}
	if form, ok := s.Auth.KeptForm(r.Context()); ok {
		shown.KeptUntil, shown.SecretsDropped = form.Until, len(form.Dropped) > 0
	}
	if s.Demo {
		shown.Command = "make demo"
	}
	return shown
}

// signInAnswer is the sign-in page, which stands alone.
func signInAnswer(shown view.SignIn, status int) answer {
	return answer{title: "Sign in", status: status, page: func(shell view.Shell) templ.Component {
		shell.Viewer, shell.Nav = view.Viewer{}, nil
		return page.SignInPage(shell, shown)
	}}
}

// afterSignIn is where somebody goes who has just signed in: the page they wanted, or else what they were about to send.
func (s *Server) afterSignIn(r request, next string) answer {
	if next = auth.LocalPath(next); next == "/" {
		if _, ok := s.Auth.KeptForm(r.Context()); ok {
			next = keptFormHref
		}
	}
	return answer{redirect: next}
}

// beginOIDC sends the browser to the identity provider. A link and no form: the pages' policy lets forms go nowhere else.
func (s *Server) beginOIDC(r request) (answer, error) {
	if _, ok := s.Auth.ProviderName(); !ok || !auth.CanSignIn(r.Request) {
		return answer{}, notFound()
	}
	there, err := s.Auth.BeginOIDC(r.Request, r.URL.Query().Get("next"), r.URL.Query().Has("another"))
	if err != nil {
		return s.signInRefused(r, err)
	}
	return answer{redirect: there}, nil
}

// finishOIDC is where the identity provider sends the browser back to.
func (s *Server) finishOIDC(r request) (answer, error) {
	if _, ok := s.Auth.ProviderName(); !ok || !auth.CanSignIn(r.Request) {
		return answer{}, notFound()
	}
	next, err := s.Auth.FinishOIDC(r.Request)
	if err != nil {
		return s.signInRefused(r, err)
	}
	return s.afterSignIn(r, next), nil
}

// signInRefused is the sign-in page with the reason in plain words.
func (s *Server) signInRefused(r request, err error) (answer, error) {
	var why *auth.Refusal
	if !errors.As(err, &why) {
		return answer{}, err
	}
	name, _ := s.Auth.ProviderName()
	shown := s.waysIn(r, why.Next)
	shown.State = view.SignInRefused
	shown.Error = view.SignInRefusal(why.Reason, name, why.Email)
	status := http.StatusForbidden
	switch why.Reason {
	case auth.RefusedState:
		status = http.StatusBadRequest
	case auth.RefusedUnavailable, auth.RefusedSetup:
		status = http.StatusServiceUnavailable
	case auth.RefusedUnknown, auth.RefusedDisabled, auth.RefusedOther, auth.RefusedNoEmail, auth.RefusedUnverified:
		there := beginOIDCHref + "?another&next=" + url.QueryEscape(auth.LocalPath(why.Next))
		shown.Another = &view.Link{Label: "Use another account", Href: there}
	}
	return signInAnswer(shown, status), nil
}

// breakGlass signs somebody in with a password, once the logs of their workspaces say so.
func (s *Server) breakGlass(r request) (answer, error) {
	if !s.Auth.BreakGlass() || !auth.CanSignIn(r.Request) {
		return answer{}, notFound()
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	client, email, next := s.Auth.AddressOf(r.Request), form.Get("email"), auth.LocalPath(form.Get("next"))
	shown := s.waysIn(r, next)
	shown.BreakGlass.Open = true
	now := time.Now()
	delay := s.clients.wait(networkOf(client), now)
	if delay == 0 { // else one client could keep an address closed
		delay = s.addresses.wait(auth.AddressKey(email), now)
	}
	if delay > 0 {
		s.Log.Warn("break-glass sign-in was tried too often", "client", client, "request_id", requestIDOf(r.Context()))
		shown.BreakGlass.Error = "That was tried too often. Wait a few minutes, then try again."
		a := signInAnswer(shown, http.StatusTooManyRequests)
		a.header = map[string]string{"Retry-After": strconv.Itoa(int(math.Ceil(delay.Seconds())))}
		return a, nil
	}
	broken, err := s.Auth.CheckBreakGlass(r.Context(), email, form.Get("password"), client)
	if errors.Is(err, auth.ErrWrongPassword) {
		shown.BreakGlass.Error = "The address or the password is wrong, or there is no break-glass account for it."
		return signInAnswer(shown, http.StatusForbidden), nil
	}
	if err != nil {
		return answer{}, err
	}
	err = s.Commands.BreakGlassUsed(r.Context(), commands.TellWayIn{Workspaces: broken.Workspaces, Person: broken.Person})
	if err != nil {
		return answer{}, err
	}
	if err := s.Auth.SignInBroken(r.Request, broken, client); err != nil {
		return answer{}, err
	}
	return s.afterSignIn(r, next), nil
}

// keepForm keeps what a browser was about to send when its session had ended, and says which page to go to after sign-in.
func (s *Server) keepForm(r *http.Request) string {
	if s.keepers.wait(networkOf(s.Auth.AddressOf(r)), time.Now()) == 0 && s.Auth.KeepForm(r) {
		return keptFormHref
	}
	from, err := url.Parse(r.Referer())
	if err != nil {
		return "/"
	}
	return auth.LocalPath(from.RequestURI())
}

var errNothingKept = problem{
	Status: http.StatusNotFound, Code: "not_found",
	Detail: "No form is kept for you. One that was sent after the session had ended is kept for 15 minutes, in the same browser.",
}

// keptForm shows what somebody was about to send when their session had ended. Sending it is theirs to do.
func (s *Server) keptForm(r request) (answer, error) {
	form, ok := s.Auth.KeptForm(r.Context())
	if !ok {
		return answer{}, errNothingKept
	}
	shown := view.KeptForm{Action: form.Action, Until: form.Until, Discard: keptFormHref + "/discard"}
	if form.From != "/" {
		shown.From = form.From
	}
	for _, f := range form.Fields {
		shown.Fields = append(shown.Fields, view.PresentKeptField(f.Name, f.Value))
	}
	for _, name := range form.Dropped {
		shown.Secrets = append(shown.Secrets, view.PresentKeptField(name, ""))
	}
	return answer{
		title: "Send what you filled in", page: func(shell view.Shell) templ.Component { return page.KeptFormPage(shell, shown) },
	}, nil
}

func (s *Server) discardForm(r request) (answer, error) {
	form, ok := s.Auth.KeptForm(r.Context())
	if !ok {
		return answer{}, errNothingKept
	}
	if err := s.Auth.ForgetForm(r.Context()); err != nil {
		return answer{}, err
	}
	return answer{redirect: form.From}, nil
}
