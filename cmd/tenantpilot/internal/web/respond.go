package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/gorilla/mux"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// request is an authenticated request.
type request struct {
	*http.Request
	viewer auth.Viewer
}

func (r request) actor() domain.Actor { return r.viewer.Actor }

func (r request) v(name string) string { return mux.Vars(r.Request)[name] }

// answer is what a handler answers: one value, and how it looks as JSON and as a page.
type answer struct {
	media    string // vendor media type of value; empty when there is no JSON
	value    any
	csv      func(io.Writer) error // a list as a spreadsheet; nil when there is none
	csvName  string                // the spreadsheet's name, default operations.csv
	file     *download             // for addresses that answer nothing else
	page     func(view.Shell) templ.Component
	fragment templ.Component // for requests from inside a page; nil sends the page
	title    string
	shell    func(*view.Shell)
	status   int    // default 200
	redirect string // 303 for people, instead of a page
	header   map[string]string
	setAside int // events that the answer may lack because they could not be applied to what it was read from
}

// download is a file to keep.
type download struct {
	name, media string
	body        []byte
}

type handler func(request) (answer, error)

func (s *Server) get(r *mux.Router, path string, h handler) {
	r.HandleFunc(path, s.signedIn(h)).Methods(http.MethodGet)
}

// post is a route that does something: whether its answer can be read is found out before it is done.
func (s *Server) post(r *mux.Router, path, media string, h handler) {
	s.write(r, http.MethodPost, path, media, h)
}

// put is post for what replaces something as a whole.
func (s *Server) put(r *mux.Router, path, media string, h handler) {
	s.write(r, http.MethodPut, path, media, h)
}

func (s *Server) write(r *mux.Router, method, path, media string, h handler) {
	r.HandleFunc(path, s.signedIn(s.readable(media, h))).Methods(method)
}

// readable refuses what would be answered in a form that the caller cannot read, before it is done.
func (s *Server) readable(media string, h handler) handler {
	return func(r request) (answer, error) {
		if a := (answer{media: media, redirect: "/"}); s.choose(r, a) == "" {
			return answer{}, notAcceptable(a)
		}
		return h(r)
	}
}

// open is a route that needs no sign-in.
func (s *Server) open(r *mux.Router, method, path string, h handler) {
	if method != http.MethodGet {
		h = s.readable("", h)
	}
	r.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		viewer, _ := auth.ViewerFrom(r.Context())
		s.answer(w, request{r, viewer}, h)
	}).Methods(method)
}

// signedIn lets only known people and tokens through: a browser is sent to sign in, an API caller gets 401.
func (s *Server) signedIn(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		viewer, ok := auth.ViewerFrom(r.Context())
		if !ok {
			s.askToSignIn(w, r)
			return
		}
		s.answer(w, request{r, viewer}, h)
	}
}

func (s *Server) askToSignIn(w http.ResponseWriter, r *http.Request) {
	wanted := "/sign-in"
	if r.Method == http.MethodGet {
		wanted += "?next=" + url.QueryEscape(r.URL.RequestURI())
	} else if r.Header.Get("HX-Request") == "true" || prefersHTML(r) {
		wanted += "?next=" + url.QueryEscape(s.keepForm(r))
	}
	switch {
	case r.Header.Get("HX-Request") == "true":
		w.Header().Set("HX-Redirect", wanted)
		w.WriteHeader(http.StatusUnauthorized)
	case prefersHTML(r):
		http.Redirect(w, r, wanted, http.StatusFound)
	default:
		w.Header().Set("WWW-Authenticate", "Bearer")
		s.fail(w, r, problem{Status: http.StatusUnauthorized, Code: "not_signed_in", Detail: "Send an API token: Authorization: Bearer tp_..."})
	}
}

func (s *Server) answer(w http.ResponseWriter, r request, h handler) {
	a, err := h(r)
	if err != nil {
		s.fail(w, r.Request, err)
		return
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.setAside > 0 {
		w.Header().Set("Events-Set-Aside", strconv.Itoa(a.setAside))
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.Header().Add("Vary", "Accept, HX-Request")
	switch s.choose(r, a) {
	case "json":
		s.writeJSON(w, a.status, a.media, a.value)
	case "html":
		s.writePage(w, r, a)
	case "csv":
		s.writeCSV(w, r, a)
	case "file":
		w.Header().Set("Content-Type", a.file.media)
		w.Header().Set("Content-Disposition", `attachment; filename="`+a.file.name+`"`)
		_, _ = w.Write(a.file.body)
	default:
		s.fail(w, r.Request, notAcceptable(a))
	}
}

func notAcceptable(a answer) problem {
	return problem{Status: http.StatusNotAcceptable, Code: "not_acceptable", Detail: "This address answers " + offers(a) + "."}
}

func offers(a answer) string {
	switch {
	case a.file != nil:
		return a.file.media
	case a.media == "":
		return "text/html"
	case a.page == nil && a.redirect == "":
		return a.media
	}
	return "text/html and " + a.media
}

// choose negotiates by the Accept header. Callers that accept anything get JSON when they came with a token, else a page.
func (s *Server) choose(r request, a answer) string {
	html := a.page != nil || a.redirect != "" || a.fragment != nil
	for _, accepted := range accepts(r.Request) {
		switch {
		case a.file != nil && (accepted == a.file.media || accepted == "application/*" || accepted == "*/*"):
			return "file"
		case a.csv != nil && accepted == "text/csv":
			return "csv"
		case a.media != "" && (accepted == a.media || accepted == "application/json"):
			return "json"
		case html && (accepted == "text/html" || accepted == "text/*" || accepted == "application/xhtml+xml"):
			return "html"
		case accepted == "*/*" && a.media != "" && (r.viewer.Token || !html):
			return "json"
		case accepted == "*/*" && html:
			return "html"
		case accepted == "application/*" && a.media != "":
			return "json"
		}
	}
	return ""
}

// accepts lists the media types of the Accept header, best first; none means anything. ?format= says it in a link.
func accepts(r *http.Request) []string {
	switch r.URL.Query().Get("format") {
	case "csv":
		return []string{"text/csv"}
	case "json":
		return []string{"application/json"}
	}
	header := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return []string{"*/*"}
	}
	type weighted struct {
		name string
		q    float64
	}
	var list []weighted
	for _, part := range strings.Split(header, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = v
		}
		if q > 0 {
			list = append(list, weighted{name, q})
		}
	}
	slices.SortStableFunc(list, func(a, b weighted) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	names := make([]string, len(list))
	for i, w := range list {
		names[i] = w.name
	}
	return names
}

// prefersHTML says whether a person in a browser is asking.
func prefersHTML(r *http.Request) bool {
	if strings.HasPrefix(strings.ToLower(r.Header.Get("Authorization")), "bearer ") {
		return false
	}
	for _, a := range accepts(r) {
		switch {
		case a == "text/html":
			return true
		case strings.HasSuffix(a, "json"):
			return false
		}
	}
	return false
}

func (s *Server) writeJSON(w http.ResponseWriter, status int, media string, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		s.Log.Error("encode answer", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// writePage renders into a buffer first, so that a failing template is a clean error.
func (s *Server) writePage(w http.ResponseWriter, r request, a answer) {
	inside := r.Header.Get("HX-Request") == "true"
	if a.redirect != "" {
		if inside {
			w.Header().Set("HX-Redirect", a.redirect)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r.Request, a.redirect, http.StatusSeeOther)
		return
	}
	component := a.fragment
	if !inside || component == nil {
		shell, err := s.shell(r, a)
		if err != nil {
			s.fail(w, r.Request, err)
			return
		}
		component = a.page(shell)
	}
	var buffer bytes.Buffer
	if err := component.Render(r.Context(), &buffer); err != nil {
		s.fail(w, r.Request, fmt.Errorf("render page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(a.status)
	_, _ = w.Write(buffer.Bytes())
}

// pages are the addresses of the navigation that exist.
var pages = []string{
	"/admin/operations", "/admin/tenants", "/admin/notifications", "/admin/settings", "/admin/search", "/admin/attempts", "/admin/audit",
	"/admin/readiness", view.ConnectionsHref, view.OnboardingsHref,
}

// shell is the frame around a page: who is looking, where they can go.
func (s *Server) shell(r request, a answer) (view.Shell, error) {
	shell := view.Shell{Title: a.title, SetAside: a.setAside, Path: r.URL.Path, Demo: s.Demo, Now: time.Now().UTC(), Version: s.Version, RequestID: requestIDOf(r.Context())}
	if r.viewer.Name == "" {
		return shell, nil
	}
	shell.Viewer = view.Viewer{Name: r.viewer.Name, Role: string(r.viewer.Actor.Role), Workspace: r.viewer.WorkspaceName}
	shell.SignOutHref, shell.Settings = "/sign-out", settingsNav(r.URL.Path, r.viewer)
	if r.viewer.Actor.Platform {
		shell.Viewer.Role = "platform"
		shell.Nav = view.MainNav(r.URL.Path, func(href string) bool { return href == systemDirectoryHref || href == systemStandingHref })
		return shell, nil
	}
	shell.Nav = view.MainNav(r.URL.Path, func(href string) bool { return slices.Contains(pages, href) })
	shell.NotificationsHref = "/admin/notifications"
	if mayStartAny(r.actor()) {
		shell.StartHref = "/admin/start"
	}
	var err error
	if shell.Unread, err = s.Read.Unread(r.Context(), r.actor()); err != nil {
		return shell, err
	}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	if err != nil {
		return shell, err
	}
	shell.Tenants = tenantChoices(tenants)
	if p := r.viewer.Preview; p != nil {
		shell.Preview = view.PresentPreview(p.Role, p.Tenants, tenants)
	}
	if a.shell != nil {
		a.shell(&shell)
	}
	return shell, nil
}

func tenantChoices(tenants []projections.Tenant) []view.TenantChoice {
	choices := make([]view.TenantChoice, len(tenants))
	for i, t := range tenants {
		choices[i] = view.TenantChoice{Label: t.Name, Domain: t.Domain, Href: "/admin/t/" + t.ExternalID.String() + "/operations"}
	}
	return choices
}

// inTenant marks a tenant as the current one and points the start button at it.
func inTenant(t projections.Tenant) func(*view.Shell) {
	return func(s *view.Shell) {
		s.Tenant = t.Name
		if s.StartHref != "" {
			s.StartHref = "/admin/t/" + t.ExternalID.String() + "/start"
		}
		for i := range s.Tenants {
			s.Tenants[i].Current = strings.Contains(s.Tenants[i].Href, t.ExternalID.String())
		}
	}
}

// problem is an error as it is answered: RFC 9457 problem details for programs, a page for people.
type problem struct {
	Type     string            `json:"type"`
	Title    string            `json:"title"`
	Status   int               `json:"status"`
	Detail   string            `json:"detail,omitempty"`
	Instance string            `json:"instance"`
	Code     string            `json:"code"`
	Request  string            `json:"request_id"`
	Errors   []view.FieldError `json:"errors,omitempty"`

	// elsewhere is where the thing can be seen instead.
	elsewhere *view.Button
}

func (p problem) Error() string { return p.Detail }

func notFound() problem {
	r := domain.ErrNotFound()
	return problem{Status: http.StatusNotFound, Code: r.Code, Detail: r.Text}
}

var titles = map[int]string{
	http.StatusBadRequest: "Not accepted", http.StatusUnauthorized: "Sign in first", http.StatusForbidden: "Not allowed",
	http.StatusNotFound: "Not found", http.StatusMethodNotAllowed: "Method not allowed", http.StatusNotAcceptable: "No such representation",
	http.StatusConflict: "Not possible now", http.StatusPreconditionFailed: "Changed meanwhile", http.StatusPreconditionRequired: "A condition is required",
	http.StatusTooManyRequests: "Too many requests", http.StatusRequestEntityTooLarge: "The request is too large",
	http.StatusUnsupportedMediaType: "Unsupported media type", http.StatusUnprocessableEntity: "The request cannot be carried out",
	http.StatusServiceUnavailable: "Temporarily unavailable", http.StatusInternalServerError: "Something went wrong on our side",
}

// titleOf is the heading of a problem: what could not be read is another matter than what was read and refused.
func titleOf(status int, code string) string {
	if strings.HasPrefix(code, "malformed_") {
		return "The request is malformed"
	}
	return titles[status]
}

// problemOf is the one table from errors to answers. What is not meant for people never leaves the house.
func (s *Server) problemOf(r *http.Request, err error) problem {
	var p problem
	var tooLarge *http.MaxBytesError
	refusal, refused := domain.AsRefusal(err)
	switch {
	case errors.As(err, &p):
	case refused:
		p = problem{Status: statuses[refusal.Kind], Code: refusal.Code, Detail: refusal.Text}
		for _, f := range refusal.Fields {
			p.Errors = append(p.Errors, view.FieldError{Pointer: f.Pointer, Code: f.Code, Message: f.Message})
		}
	case errors.Is(err, projections.ErrNoRow), errors.Is(err, evidence.ErrNotThere):
		p = notFound()
	case errors.Is(err, evidence.ErrNotSigned):
		p = problem{Status: http.StatusConflict, Code: "not_signed", Detail: "No signed head of the log covers this yet. Heads are signed at least each minute, if the console has a log key."}
	case errors.Is(err, evidence.ErrTooMuch):
		p = invalid("period_too_long", "This is more than fits into one pack: choose a shorter period.")
	case errors.As(err, &tooLarge):
		p = problem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: "Send at most 1 MiB."}
	default:
		if r.Context().Err() == nil { // else the caller has gone, which is no fault
			s.Log.Error("request failed", "err", err, "request_id", requestIDOf(r.Context()))
		}
		p = problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "It could not be answered now. Try again; a start that is sent again with the same Idempotency-Key happens once."}
	}
	p.Type, p.Title = "/problems/"+p.Code, cmp.Or(p.Title, titleOf(p.Status, p.Code))
	p.Instance, p.Request = r.URL.Path, requestIDOf(r.Context())
	if strings.HasPrefix(p.Instance, "/sign-in/") {
		p.Instance = "/sign-in" // the rest is a secret
	}
	return p
}

var statuses = map[domain.Kind]int{
	domain.NotFound: http.StatusNotFound, domain.Forbidden: http.StatusForbidden, domain.Invalid: http.StatusBadRequest,
	domain.KeyReused: http.StatusUnprocessableEntity, domain.Conflict: http.StatusConflict, domain.Stale: http.StatusPreconditionFailed,
}

// fail answers an error, in the form that the caller reads.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r, err)
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	inside := r.Header.Get("HX-Request") == "true"
	if !inside && !prefersHTML(r) {
		s.writeJSON(w, p.Status, "application/problem+json", p)
		return
	}
	shown := view.Problem{
		Status: p.Status, Title: p.Title, Detail: p.Detail, RequestID: p.Request, ReasonCode: p.Code, Errors: p.Errors,
		Actions: []view.Button{{Label: "Go to operations", Href: "/admin/operations"}},
	}
	viewer, _ := auth.ViewerFrom(r.Context())
	if viewer.Actor.Platform {
		shown.Actions = []view.Button{{Label: "Go to the directory", Href: systemDirectoryHref}}
	}
	if p.elsewhere != nil {
		shown.Actions = append([]view.Button{*p.elsewhere}, shown.Actions...)
	}
	shell, _ := s.shell(request{r, viewer}, answer{title: p.Title})
	component := page.ProblemPage(shell, shown)
	if inside {
		component = page.ProblemBody(shown)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.Status)
	_ = component.Render(r.Context(), w)
}

// codes are the problem codes that pages explain, with their status.
var codes = map[string]int{
	"not_found": 404, "forbidden": 403, "other_tenant": 403, "cross_origin": 403, "invalid_input": 400, "malformed_body": 400, "malformed_key": 400,
	"unknown_parameter": 400, "idempotency_key_reused": 422, "too_large": 413, "unsupported_media_type": 415, "not_acceptable": 406,
	"method_not_allowed": 405, "invalid_token": 401, "not_signed_in": 401, "sign_in_unavailable": 503, "run_ended": 409, "not_signed": 409, "period_too_long": 400, "unavailable": 503,
	"internal_error": 500, "no_keyset": 409, "changed_meanwhile": 412, "precondition_required": 428, "session_required": 409, "too_many_requests": 429, "too_many_streams": 429, "consent_link_impossible": 409,
	"preview":         403,
	"preview_expired": 409, "preview_changed": 409,
	"onboarding_ended": 409, "onboarding_owned_by_other": 409, "onboarding_connection_missing": 409, "onboarding_step_open": 409, "onboarding_operations_wait": 409,
}

// problemPage says what a problem's code means; problem documents link here.
func (s *Server) problemPage(r request) (answer, error) {
	code := r.v("code")
	status, known := codes[code]
	if !known {
		return answer{}, notFound()
	}
	shown := view.Problem{Status: status, Title: titleOf(status, code), ReasonCode: code, Detail: "This is what the code " + code + " means in answers of this console."}
	return answer{title: "Problem " + code, page: func(shell view.Shell) templ.Component { return page.ProblemPage(shell, shown) }}, nil
}
