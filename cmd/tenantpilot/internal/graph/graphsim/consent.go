package graphsim

import (
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// consentScenarios are those that an administrator's acceptance ends: consent, the application and all its permissions are there then.
var consentScenarios = []string{
	ScenarioNoConsent, ScenarioConsentRequired, ScenarioConsentRevoked, ScenarioAppNotInstalled, ScenarioPermissionMissing,
}

// consentAsked is an admin consent request that is fit to be answered.
type consentAsked struct {
	TenantName, AppID, Action string
	Permissions               []string
	redirect                  *url.URL
	state                     string
}

var consentPage = template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Permissions requested (simulated)</title><link rel="icon" href="data:,">
<style>body{font:16px/1.5 system-ui,sans-serif;background:#f2f2f2;color:#1b1b1b;margin:0;padding:2rem 1rem}
main{max-width:28rem;margin:auto;background:#fff;padding:2rem;box-shadow:0 2px 6px #0003}h1{font-size:1.4rem;margin-top:0}
form{display:flex;gap:.5rem;justify-content:flex-end}button{font:inherit;padding:.4rem 1.5rem;border:1px solid #5e5e5e;background:#fff}
button[value=accept]{background:#005ba1;border-color:#005ba1;color:#fff}.sim{color:#6b3f00}</style>
<main><p class="sim">Simulated sign-in page: no real directory is involved.</p>
<h1>Permissions requested</h1>
<p>An application asks an administrator of <b>{{.TenantName}}</b> for these permissions for the whole organisation:</p>
<ul>{{range .Permissions}}<li>{{.}}</li>{{end}}</ul>
<p>Application id: <code>{{.AppID}}</code></p>
<form method="post" action="{{.Action}}"><button name="answer" value="cancel">Cancel</button><button name="answer" value="accept">Accept</button></form>
</main></html>`))

// serveConsent shows the page that asks an administrator.
func (s *Server) serveConsent(w http.ResponseWriter, r *http.Request, args []string) {
	asked, ok := s.consentAsked(w, r, args[0])
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = consentPage.Execute(w, asked) // the client may be gone
}

// answerConsent is what follows the administrator's click: the tenant changes, and the browser is sent back to who asked.
func (s *Server) answerConsent(w http.ResponseWriter, r *http.Request, args []string) {
	asked, ok := s.consentAsked(w, r, args[0])
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	back := s.consentAnswer(args[0], r.PostFormValue("answer") == "accept")
	back.Set("state", asked.state)
	query := asked.redirect.Query()
	for name, values := range back {
		query[name] = values
	}
	asked.redirect.RawQuery = query.Encode()
	http.Redirect(w, r, asked.redirect.String(), http.StatusFound)
}

// consentAnswer carries the answer out and says what goes back. Acceptance grants all permissions, unless the scenario is about a refusal.
func (s *Server) consentAnswer(name string, accepted bool) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[key(name)]
	switch {
	case t == nil: // gone between the look and the click
		return url.Values{"error": {"server_error"}, "error_description": {"The directory is gone."}}
	case !accepted, t.Scenario == ScenarioConsentDenied:
		return url.Values{
			"admin_consent": {"True"}, "error": {"access_denied"},
			"error_description": {"AADSTS65004: User declined to consent to access the app."},
		}
	case t.Scenario == ScenarioConsentElsewhere:
		return url.Values{"admin_consent": {"True"}, "tenant": {id(t.Seed, "other directory", 0)}}
	}
	t.accept(s.cfg.ConsentSpread)
	return url.Values{"admin_consent": {"True"}, "tenant": {t.ID}, "scope": {"https://graph.microsoft.com/.default"}}
}

// accept makes consent take effect: at once, or in the scenario "consent_spreading" for sign-ins after so many.
func (t *tenant) accept(spread int) {
	switch {
	case t.Scenario == ScenarioConsentSpreading:
		t.consented, t.spread = true, spread
	case slices.Contains(consentScenarios, t.Scenario):
		t.Scenario = ScenarioHealthy
	}
}

// consentAsked checks a request as the sign-in service does: a directory it knows, an application, a reply address. Here only loopback
// addresses are registered, so that the simulator sends nobody elsewhere.
func (s *Server) consentAsked(w http.ResponseWriter, r *http.Request, name string) (consentAsked, bool) {
	query := r.URL.Query()
	s.mu.Lock()
	t := s.tenants[key(name)]
	var asked consentAsked
	if t != nil {
		asked = consentAsked{TenantName: t.Name, AppID: query.Get("client_id"), Permissions: slices.Clone(t.Permissions)}
	}
	wrongApp := t != nil && t.AppID != "" && !strings.EqualFold(t.AppID, asked.AppID)
	s.mu.Unlock()
	redirect, err := url.Parse(query.Get("redirect_uri"))
	var problem string
	switch {
	case t == nil:
		problem = "AADSTS90002: the directory is not known."
	case asked.AppID == "" || wrongApp:
		problem = "AADSTS700016: the application is not known."
	case err != nil || !isLoopback(redirect):
		problem = "AADSTS50011: the reply address is not registered."
	case !strings.HasSuffix(query.Get("scope"), "/.default"):
		problem = "AADSTS70011: the scope is not valid."
	}
	if problem != "" {
		http.Error(w, problem, http.StatusBadRequest)
		return consentAsked{}, false
	}
	asked.Action, asked.redirect, asked.state = r.URL.RequestURI(), redirect, query.Get("state")
	return asked, true
}

func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return (u.Scheme == "http" || u.Scheme == "https") && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}
