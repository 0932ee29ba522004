package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

const summaryMedia = "application/vnd.tenantpilot.tenant-provider-summary-canonical+json"

// home is where one chooses a workspace and a tenant.
func (s *Server) home(r request) (answer, error) {
	if r.actor().Platform {
		return answer{redirect: systemDirectoryHref}, nil
	}
	home := view.Home{Now: time.Now().UTC()}
	for _, m := range r.viewer.Workspaces {
		home.Workspaces = append(home.Workspaces, view.WorkspaceChoice{
			Label: m.Name, Role: string(m.Role), Href: "/workspaces/" + m.Workspace.String() + "/choose", Current: m.Workspace == r.actor().Workspace,
		})
	}
	invited, err := s.Read.InvitationsOf(r.Context(), r.actor().Ref.ID)
	if err != nil {
		return answer{}, err
	}
	invited = slices.DeleteFunc(invited, func(i projections.Invited) bool { return !r.viewer.MayAnswer(i.Workspace) })
	home.Offers = view.PresentOffers(invited)
	if len(home.Workspaces) == 1 && len(home.Offers) == 0 {
		return answer{redirect: "/admin/operations"}, nil
	}
	if len(home.Workspaces)+len(home.Offers) == 0 {
		home.Empty = &view.Empty{Icon: "inbox", Title: "No workspace yet", Text: "You are signed in, but no workspace has made you a member. Ask an owner to invite you."}
	}
	return answer{title: "Workspaces", page: func(shell view.Shell) templ.Component { return page.HomePage(shell, home) }}, nil
}

func (s *Server) chooseWorkspace(r request) (answer, error) {
	id, err := pathUUID(r.v("workspace"))
	if err != nil {
		return answer{}, err
	}
	if err := s.Auth.ChooseWorkspace(r.Context(), id); err != nil {
		return answer{}, err
	}
	return answer{redirect: "/admin/operations"}, nil
}

func (s *Server) tenants(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	if err != nil {
		return answer{}, err
	}
	connections, err := s.connectionsByTenant(r)
	if err != nil {
		return answer{}, err
	}
	list := view.TenantList{Now: time.Now().UTC(), Action: "/admin/tenants", Query: r.URL.Query().Get("q")}
	all, err := s.Read.TenantRuns(r.Context(), r.actor(), list.Now.Add(-view.AttentionTime))
	if err != nil {
		return answer{}, err
	}
	runs := make(map[uuid.UUID]projections.TenantRuns, len(all))
	for _, of := range all {
		runs[of.Tenant] = of
	}
	for _, t := range tenants {
		if q := strings.ToLower(list.Query); q == "" || strings.Contains(strings.ToLower(t.Name+" "+t.Domain+" "+t.ExternalID.String()+" "+strings.Join(t.Groups, " ")), q) {
			list.Rows = append(list.Rows, view.PresentTenantRow(t, connections[t.ID], runs[t.ID], r.mayStep, list.Now))
		}
	}
	if len(tenants) == 0 {
		list.Empty = view.NoTenants(r.actor().May(domain.CapOnboardingManage))
	} else if len(list.Rows) == 0 {
		list.Empty = &view.Empty{Icon: "building-2", Title: "No tenants to show", Text: "No tenant that you can see matches.", Actions: []view.Button{{Label: "Show all", Href: "/admin/tenants"}}}
	}
	return answer{title: "Tenants", page: func(shell view.Shell) templ.Component { return page.TenantsPage(shell, list) }}, nil
}

func (s *Server) connectionsByTenant(r request) (map[uuid.UUID][]projections.Connection, error) {
	all, err := s.Read.Connections(r.Context(), r.actor(), uuid.Nil)
	if err != nil {
		return nil, err
	}
	by := make(map[uuid.UUID][]projections.Connection)
	for _, c := range all {
		by[c.Tenant] = append(by[c.Tenant], c)
	}
	return by, nil
}

func (s *Server) tenant(r request) (answer, error) {
	external, err := pathUUID(r.v("tenant"))
	if err != nil {
		return answer{}, err
	}
	t, err := s.Read.Tenant(r.Context(), r.actor(), external)
	if err != nil {
		return answer{}, err
	}
	connections, err := s.Read.Connections(r.Context(), r.actor(), t.ID)
	if err != nil {
		return answer{}, err
	}
	p, err := s.tenantPage(r, t, connections)
	if err != nil {
		return answer{}, err
	}
	if s.Evidence != nil {
		p.EvidenceHref = "/admin/t/" + t.ExternalID.String() + "/evidence"
	}
	return answer{
		title: t.Name, media: summaryMedia, value: p.Summary, shell: inTenant(t),
		page: func(shell view.Shell) templ.Component { return page.TenantPage(shell, p) },
	}, nil
}

func (s *Server) tenantPage(r request, t projections.Tenant, connections []projections.Connection) (view.TenantPage, error) {
	p := view.TenantPage{
		Now: time.Now().UTC(), Label: t.Name, Domain: t.Domain, EntraID: t.ExternalID.String(), Summary: view.PresentSummary(t, connections, r.mayStep, time.Now()),
		RunsHref: "/admin/t/" + t.ExternalID.String() + "/operations",
	}
	if onHold(t) {
		p.Hold = t.HoldReason
		if t.HoldUntil != nil {
			p.Until = *t.HoldUntil
		}
	}
	if r.actor().May(domain.CapHoldManage) && p.Summary.CTAURL != view.ReleaseHref(p.EntraID) { // which says it already
		p.Buttons = append(p.Buttons, view.HoldButton(t.ExternalID.String(), onHold(t)))
	}
	if r.actor().May(domain.CapTenantManage) {
		p.Buttons = append(p.Buttons, view.Button{Label: "Edit", Icon: "settings", Href: view.TenantEditHref(t.ExternalID.String()), Dialog: true})
	}
	if len(t.Groups) > 0 {
		p.Facts = append(p.Facts, view.Fact{Label: "Groups", Text: strings.Join(t.Groups, ", ")})
	}
	start := "/admin/t/" + t.ExternalID.String() + "/start"
	for _, o := range domain.Catalogue() {
		if !r.actor().May(o.Capability) {
			continue
		}
		result, err := s.Commands.Forecast(r.Context(), commands.Start{Actor: r.actor(), Operation: o.Type, Tenant: t.ExternalID})
		if err != nil {
			return p, err
		}
		facts, err := s.startFacts(r, result)
		if err != nil {
			return p, err
		}
		forecast := view.PresentForecast(facts)
		p.Readiness = append(p.Readiness, view.Readiness{
			Operation: o.Label, Status: forecast.Status, Text: forecast.Text, ReasonCode: forecast.ReasonCode, Href: start + "?operation=" + string(o.Type),
		})
	}
	for _, c := range connections {
		row := view.PresentConnection(c, t)
		row.Buttons = view.VerificationButtons(c, t, r.actor().May, view.TenantHref(t.ExternalID.String()))
		p.Connections = append(p.Connections, row)
		if row.IsDefault {
			used, err := s.Read.Exercises(r.Context(), t.ID, c.Number)
			if err != nil {
				return p, err
			}
			truth := view.ConnectionTruth(c, used, p.Now)
			p.Permissions = &truth
		}
	}
	lines, _, _, err := s.Read.ListRuns(r.Context(), r.actor(), projections.RunFilter{Tenant: t.ID, Limit: 8})
	if err != nil {
		return p, err
	}
	for _, l := range lines {
		p.Runs = append(p.Runs, view.PresentRunRow(l, p.Now))
	}
	cached, err := s.Read.DirectoryOf(r.Context(), t.ID)
	for _, c := range cached {
		label := map[string]string{"directory_groups": "Directory groups", "role_definitions": "Role definitions"}[c.Kind]
		p.Facts = append(p.Facts, view.Fact{Label: label, Text: strconv.Itoa(c.Count) + " known, read", Time: c.ReadAt})
	}
	return p, err
}

func (s *Server) notifications(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	found, err := s.Read.Notifications(r.Context(), r.actor(), 100)
	if err != nil {
		return answer{}, err
	}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	if err != nil {
		return answer{}, err
	}
	names, hrefs := make(map[uuid.UUID]string, len(tenants)), make(map[uuid.UUID]string, len(tenants))
	for _, t := range tenants {
		names[t.ID], hrefs[t.ID] = t.Name, view.TenantHref(t.ExternalID.String())
	}
	list := view.Notifications{Now: time.Now().UTC()}
	seen := map[int64]bool{}
	for i, n := range found {
		if n.RunNumber != 0 && seen[n.RunNumber] {
			continue // the newest state of a run only
		}
		seen[n.RunNumber] = true
		item := view.PresentNotification(n, names, i+1, list.Now)
		if item.Href == "" {
			item.Href = hrefs[n.Tenant]
		}
		list.Items = append(list.Items, item)
		if n.ReadAt == nil {
			list.MarkAllHref = "/admin/notifications/read"
		}
	}
	if len(list.Items) == 0 {
		list.Empty = &view.Empty{Icon: "bell", Title: "Nothing new", Text: "You are told about operations you started, and about credentials that end soon if you can replace them."}
	}
	return answer{title: "Notifications", page: func(shell view.Shell) templ.Component { return page.NotificationsPage(shell, list) }}, nil
}

func (s *Server) readNotifications(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	if err := s.Read.MarkRead(r.Context(), r.actor()); err != nil {
		return answer{}, err
	}
	return answer{redirect: "/admin/notifications"}, nil
}

// signInPage looks at a link without using it: only the form's POST does, so that a mail scanner cannot use it up.
func (s *Server) signInPage(r request) (answer, error) {
	next := auth.LocalPath(r.URL.Query().Get("next"))
	shown := s.waysIn(r, next)
	if r.URL.Query().Has("signed-out") {
		shown.State = view.SignInSignedOut
	}
	if secret := r.v("link"); secret != "" {
		link, err := s.Auth.PeekLink(r.Context(), secret)
		switch {
		case errors.Is(err, auth.ErrNoLink):
			return answer{}, notFound()
		case err != nil:
			return answer{}, err
		case !link.UsedAt.IsZero():
			shown.State, shown.At = view.SignInConsumed, link.UsedAt
		case link.Expired(shown.Now):
			shown.State, shown.At = view.SignInExpired, link.Expires
		default:
			shown.State, shown.At, shown.Name = view.SignInConfirm, link.Expires, link.Name
			shown.Action, shown.Fields = "/sign-in/"+secret, []view.Field{{Name: "next", Value: next}}
		}
	}
	return signInAnswer(shown, http.StatusOK), nil
}

// noSession answers a program that signs in or out: its token is its session.
var noSession = problem{
	Status: http.StatusConflict, Code: "session_required", Detail: "Signing in and out is for browsers. A request with an API token has no session.",
}

func (s *Server) signIn(r request) (answer, error) {
	if r.viewer.Token {
		return answer{}, noSession
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	err = s.Auth.ConsumeLink(r.Request, r.v("link"))
	if errors.Is(err, auth.ErrNoLink) {
		return answer{redirect: "/sign-in/" + r.v("link")}, nil // which says whether it was used or has expired
	}
	if err != nil {
		return answer{}, err
	}
	return s.afterSignIn(r, form.Get("next")), nil
}

func (s *Server) signOut(r request) (answer, error) {
	if r.viewer.Token {
		return answer{}, noSession
	}
	if err := s.Auth.SignOut(r.Request); err != nil {
		return answer{}, err
	}
	return answer{redirect: "/sign-in?signed-out"}, nil
}

// insider says whether somebody may see how the process is doing. What starts there are and how they end, and what the read models are
// behind with, is about all workspaces: it is for people of the platform. The demo has nothing to hide.
func (s *Server) insider(r *http.Request) bool {
	viewer, _ := auth.ViewerFrom(r.Context())
	return s.Demo || viewer.Actor.Platform
}

// probes answer orchestrators: is the process there, can it work? No sign-in, no secrets; how it is doing is for insiders.
func (s *Server) probes(r *mux.Router, insider func(*http.Request) bool) {
	live := func(w http.ResponseWriter, _ *http.Request) {
		s.writeJSON(w, http.StatusOK, "application/json", map[string]string{"state": "ok"})
	}
	r.HandleFunc("/livez", live).Methods(http.MethodGet)
	r.HandleFunc("/healthz", live).Methods(http.MethodGet)
	r.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		status, body := http.StatusOK, map[string]any{"state": "ready"}
		checks := map[string]string{}
		for name, err := range s.standing.of(r.Context(), s.Ready) {
			checks[name] = "ok"
			if err != nil {
				checks[name] = safeText(err)
			}
			if harmless := interface{ StillReady() bool }(nil); err != nil && !(errors.As(err, &harmless) && harmless.StillReady()) {
				status, body["state"] = http.StatusServiceUnavailable, "not_ready"
			}
		}
		if s.Draining.Err() != nil { // from one moment to the next
			checks["draining"] = "the server is stopping"
			status, body["state"] = http.StatusServiceUnavailable, "not_ready"
		}
		if r.URL.Query().Has("verbose") && insider(r) {
			body["checks"] = checks
		}
		s.writeJSON(w, status, "application/json", body)
	}).Methods(http.MethodGet)
	if s.Metrics == nil {
		return
	}
	metrics := promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{})
	r.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		if _, known := auth.ViewerFrom(r.Context()); insider(r) {
			metrics.ServeHTTP(w, r)
		} else if known {
			s.fail(w, r, notFound())
		} else {
			s.askToSignIn(w, r)
		}
	}).Methods(http.MethodGet)
}

// standing is what was found out last about whether the console can work. Probes ask for it and are not limited: however many do, the database
// is asked once a second, by one of them, while the others wait for it.
type standing struct {
	mu    sync.Mutex
	at    time.Time
	found map[string]error
}

const (
	standsFor    = time.Second
	standingTime = 5 * time.Second // a database that takes longer is not reachable
)

func (s *standing) of(ctx context.Context, ask func(context.Context) map[string]error) map[string]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) >= standsFor {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), standingTime)
		defer cancel()
		s.found = ask(ctx)
		s.at = time.Now()
	}
	return s.found
}

// safeText is an error's first line without what a driver may say of hosts and users.
func safeText(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if strings.Contains(text, "failed to connect") || strings.Contains(text, "host=") {
		return "the database cannot be reached"
	}
	return text
}
