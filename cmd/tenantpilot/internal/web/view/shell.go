package view

import (
	"strings"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
)

// Shell is the frame around a page.
type Shell struct {
	// Title is the page's name: the h1's text and the start of the tab title.
	Title string
	// Path is the request's path, for links that come back here.
	Path   string
	Viewer Viewer
	Nav    []NavGroup
	// Demo shows the strip "Demo data, simulator provider".
	Demo bool
	// Tenants are the tenants the viewer may switch to; Tenant is the current one's label, empty for all.
	Tenants []TenantChoice
	Tenant  string
	// Unread counts notifications; NotificationsHref is where the bell leads.
	Unread            int
	NotificationsHref string
	SignOutHref       string
	// StartHref opens the start dialog; empty leaves the button out.
	StartHref string
	// LiveHref is the page's event stream; empty shows no live indicator.
	LiveHref string
	// Settings leads between the pages of the settings; empty elsewhere.
	Settings []Choice
	// Preview says as which role the console is seen; nil is the viewer's own.
	Preview *Preview
	// SetAside counts events that could not be applied: the page may lack them.
	SetAside int
	// Now is the instant the page was rendered for.
	Now time.Time
	// Version is the program's, RequestID the request's that made the page.
	Version   string
	RequestID string
}

// SetAside says how many events could not be applied.
func SetAside(n int) string {
	is := "are"
	if n == 1 {
		is = "is"
	}
	return narrate.Count(n, "event") + " could not be applied and " + is + " set aside"
}

// Viewer is who is looking. The zero Viewer is signed out and gets no navigation.
type Viewer struct {
	Name      string
	Role      string
	Workspace string
}

// SignedIn says whether somebody is.
func (v Viewer) SignedIn() bool { return v.Name != "" }

// Initials are at most two letters of the name.
func (v Viewer) Initials() string {
	var initials []rune
	for _, word := range strings.Fields(v.Name) {
		initials = append(initials, []rune(strings.ToUpper(word))[0])
	}
	if len(initials) > 2 {
		initials = []rune{initials[0], initials[len(initials)-1]}
	}
	return string(initials)
}

// TenantChoice is one line of the tenant switcher.
type TenantChoice struct {
	Label   string
	Domain  string
	Href    string
	Current bool
}

// NavGroup is a headed part of the left rail.
type NavGroup struct {
	Label string
	Items []NavItem
}

// NavItem is a page of the left rail.
type NavItem struct {
	Label string
	Icon  string
	Href  string
	// Key is pressed after "g" to come here.
	Key     string
	Current bool
}

// MainNav is the console's navigation as seen from path: the pages for which
// has is true, in groups, the one that path lies under marked as current.
func MainNav(path string, has func(href string) bool) []NavGroup {
	all := []NavGroup{
		{Label: "Monitor", Items: []NavItem{
			{Label: "Operations", Icon: "activity", Href: "/admin/operations", Key: "o"},
			{Label: "Readiness", Icon: "circle-check", Href: "/admin/readiness"},
			{Label: "Attempts", Icon: "list-checks", Href: "/admin/attempts"},
			{Label: "Audit & replay", Icon: "history", Href: "/admin/audit", Key: "a"},
		}},
		{Label: "Manage", Items: []NavItem{
			{Label: "Tenants", Icon: "building-2", Href: "/admin/tenants", Key: "t"},
			{Label: "Provider connections", Icon: "plug", Href: "/admin/provider-connections", Key: "p"},
			{Label: "Onboarding", Icon: "rocket", Href: OnboardingsHref},
			{Label: "Backups & schedules", Icon: "calendar-clock", Href: "/admin/schedules", Key: "b"},
		}},
		{Label: "System", Items: []NavItem{
			{Label: "Directory", Icon: "server", Href: "/system/directory/tenants", Key: "y"},
			{Label: "Projections", Icon: "table", Href: "/system/projections"},
		}},
		{Label: "Workspace", Items: []NavItem{
			{Label: "Search", Icon: "search", Href: "/admin/search"},
			{Label: "Notifications", Icon: "bell", Href: "/admin/notifications", Key: "n"},
			{Label: "Settings", Icon: "settings", Href: "/admin/settings"},
		}},
	}
	var groups []NavGroup
	for _, group := range all {
		var items []NavItem
		for _, item := range group.Items {
			if has(item.Href) {
				item.Current = path == item.Href || strings.HasPrefix(path, item.Href+"/")
				items = append(items, item)
			}
		}
		if len(items) > 0 {
			groups = append(groups, NavGroup{Label: group.Label, Items: items})
		}
	}
	return groups
}
