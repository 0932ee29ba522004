package web

import (
	"net/http"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// settingsPages are the pages of the settings, in the order of their navigation. The first is everybody's, the others a member's.
var settingsPages = []view.Link{
	{Label: "Profile", Href: view.ProfileHref},
	{Label: "Members", Href: membersHref},
	{Label: "API tokens", Href: view.TokensHref},
	{Label: "Workspace", Href: view.WorkspaceHref},
}

func (s *Server) settingsRoutes(r *mux.Router) {
	s.get(r, "/admin/settings", func(request) (answer, error) { return answer{redirect: view.ProfileHref}, nil })
	s.get(r, view.ProfileHref, s.profile)
	s.post(r, view.EndSessionsHref, "", s.endOtherSessions)
	s.post(r, view.ProfileHref+"/sessions/{session}/end", "", s.endSession)
	s.get(r, view.WorkspaceHref, s.workspaceSettings)
	s.tokenRoutes(r)
	s.post(r, view.WorkspaceHref+"/name", "", s.renameWorkspace)
	s.post(r, view.PreviewHref, "", s.startPreview)
	s.post(r, view.EndPreviewHref, "", s.endPreview)
}

// settingsNav is the navigation of the settings as the viewer has it.
func settingsNav(path string, v auth.Viewer) []view.Choice {
	if !v.Actor.Sees(v.Actor.Workspace, uuid.Nil) {
		return view.SettingsNav(path, settingsPages[:1])
	}
	return view.SettingsNav(path, settingsPages)
}

// profile is everybody's own, also of people who are a member of nothing.
func (s *Server) profile(r request) (answer, error) {
	actor := r.actor()
	f := view.ProfileFacts{
		Name: r.viewer.Name, Email: r.viewer.Email, Workspace: r.viewer.WorkspaceName, Role: actor.Role,
		Idle: auth.SessionIdle, Lifetime: auth.SessionLifetime, MayEnd: !r.viewer.Token, Now: time.Now().UTC(),
	}
	var sessions []auth.Session
	var err error
	if !r.viewer.Token { // whoever found a token is not told where its person is
		if sessions, err = s.Auth.Sessions(r.Context(), r.viewer); err != nil {
			return answer{}, err
		}
	}
	for _, one := range sessions {
		f.Sessions = append(f.Sessions, view.SessionLine{
			ID: one.ID.String(), Device: one.Device, Address: one.Address, Since: one.Since, Used: one.Used, Current: one.Current,
		})
	}
	if actor.Sees(actor.Workspace, uuid.Nil) {
		f.History, err = s.Read.Changes(r.Context(), actor, domain.PersonStream(actor.Workspace, actor.Ref.ID), 10)
		if err != nil {
			return answer{}, err
		}
	}
	value := view.PresentProfile(f)
	return answer{
		title: "Profile", media: "application/json", value: value,
		page: func(shell view.Shell) templ.Component { return page.ProfilePage(shell, value) },
	}, nil
}

func (s *Server) endSession(r request) (answer, error) {
	id, err := pathUUID(r.v("session"))
	if err != nil {
		return answer{}, err
	}
	if err := needsSession(r); err != nil {
		return answer{}, err
	}
	if err := s.Auth.EndSession(r.Context(), r.viewer, id); err != nil {
		return answer{}, err
	}
	return s.sessionsEnded(r, 1)
}

func (s *Server) endOtherSessions(r request) (answer, error) {
	if err := needsSession(r); err != nil {
		return answer{}, err
	}
	ended, err := s.Auth.EndOtherSessions(r.Context(), r.viewer)
	if err != nil {
		return answer{}, err
	}
	return s.sessionsEnded(r, ended)
}

// sessionsEnded records what was done, where there is a workspace to record it in.
func (s *Server) sessionsEnded(r request, n int) (answer, error) {
	a := answer{redirect: view.ProfileHref}
	if actor := r.actor(); !actor.Sees(actor.Workspace, uuid.Nil) {
		return a, nil
	}
	if err := s.Commands.RecordSessionsEnded(r.Context(), commands.RecordSessionsEnded{Actor: r.actor(), Sessions: n}); err != nil {
		return answer{}, err
	}
	return a, s.Read.AwaitNow(r.Context(), 2*time.Second)
}

// needsSession keeps whoever found a token from locking its person out, and from looking at the console as somebody else.
func needsSession(r request) error {
	if !r.viewer.Token {
		return nil
	}
	return problem{Status: http.StatusConflict, Code: "session_required", Detail: "This is for people who are signed in, not for API tokens."}
}

func (s *Server) workspaceSettings(r request) (answer, error) {
	actor := r.actor()
	if !actor.Sees(actor.Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	f := view.WorkspaceFacts{
		Name: r.viewer.WorkspaceName, MayRename: actor.May(domain.CapWorkspaceManage), Verifier: s.LogVerifier, Now: time.Now().UTC(),
	}
	if s.Keyset != nil {
		primary, keys := s.Keyset.InUse()
		f.Keyset = &view.KeysInUse{Primary: primary, Keys: keys}
	}
	var err error
	if f.History, err = s.Read.Changes(r.Context(), actor, actor.Workspace, 20); err != nil {
		return answer{}, err
	}
	value := view.PresentWorkspace(f)
	return answer{
		title: "Workspace", media: "application/json", value: value,
		page: func(shell view.Shell) templ.Component { return page.WorkspacePage(shell, value) },
	}, nil
}

func (s *Server) renameWorkspace(r request) (answer, error) {
	if err := r.actor().Authorize(r.actor().Workspace, uuid.Nil, domain.CapWorkspaceManage); err != nil {
		return answer{}, err
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	if err := s.Commands.RenameWorkspace(r.Context(), commands.RenameWorkspace{Actor: r.actor(), Name: form.Get("name")}); err != nil {
		return answer{}, err
	}
	return answer{redirect: view.WorkspaceHref}, s.Read.AwaitNow(r.Context(), 2*time.Second)
}

// startPreview lets somebody who manages members see the console as a role would. It never gives more than they have.
func (s *Server) startPreview(r request) (answer, error) {
	actor := r.actor()
	if err := actor.Authorize(actor.Workspace, uuid.Nil, domain.CapMemberManage); err != nil {
		return answer{}, err
	}
	if err := needsSession(r); err != nil {
		return answer{}, err
	}
	form, err := formOf(r)
	if err != nil {
		return answer{}, err
	}
	p := auth.Preview{Workspace: actor.Workspace, Role: domain.Role(form.Get("role"))}
	if domain.Capabilities(p.Role) == nil {
		roles, err := s.Read.CustomRoles(r.Context(), actor)
		if err != nil {
			return answer{}, err
		}
		if !hasRole(roles, p.Role) {
			return answer{}, domain.InvalidField("/role", "unknown_role", "Choose a role of this workspace.")
		}
	}
	for _, text := range form["tenant"] {
		id, err := uuid.Parse(text)
		if err != nil || len(form["tenant"]) > 1000 {
			return answer{}, domain.InvalidField("/tenant", "malformed", "Choose tenants from the list.")
		}
		p.Tenants = append(p.Tenants, id)
	}
	if err := s.Auth.StartPreview(r.Context(), r.viewer, p); err != nil {
		return answer{}, err
	}
	return answer{redirect: "/admin/operations"}, nil
}

func hasRole(roles []projections.CustomRole, wanted domain.Role) bool {
	for _, r := range roles {
		if r.Role == wanted {
			return true
		}
	}
	return false
}

func (s *Server) endPreview(r request) (answer, error) {
	if err := needsSession(r); err != nil {
		return answer{}, err
	}
	return answer{redirect: membersHref}, s.Auth.EndPreview(r.Context(), r.viewer)
}

// lookOnly refuses, for somebody who looks at the console as another role, every request that may change something. What can be asked with
// GET and is recorded is refused by package commands.
func (s *Server) lookOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		viewer, _ := auth.ViewerFrom(r.Context())
		safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
		switch {
		case viewer.Preview == nil, safe && r.URL.Path != consentCallbackPath, r.URL.Path == view.EndPreviewHref, r.URL.Path == "/sign-out":
			next.ServeHTTP(w, r)
			return
		}
		s.fail(w, r, domain.ErrPreview())
	})
}
