package view

import (
	"net/url"
	"slices"

	"github.com/google/uuid"

	"tenantpilot/projections"
)

// SavedViews is the menu of a list's saved views, and the one that is open.
type SavedViews struct {
	// Own are the viewer's, Shared those of others.
	Own, Shared []SavedViewLink
	// Open is the view that the address names, nil for none.
	Open *OpenView
	// Create is where a new view is sent, with Fields.
	Create string
	Fields []Field
	// AllHref is the list without any view.
	AllHref string
}

// SavedViewLink is a line of the menu.
type SavedViewLink struct {
	Label   string
	Href    string
	Owner   string // of a view of somebody else's
	Shared  bool
	Default bool
	Current bool
}

// OpenView is the saved view that a list shows, as it was saved or modified since.
type OpenView struct {
	Name     string
	Owner    string // set when it is somebody else's: it can be read and duplicated
	Modified bool
	Shared   bool
	Default  bool
	// Action is where changes are sent, with Fields and the name of what to do in "do".
	Action      string
	Fields      []Field
	DiscardHref string
}

// State is the view's state in a word.
func (o OpenView) State() string {
	switch {
	case o.Owner != "":
		return "shared by " + o.Owner + ", read-only"
	case o.Modified:
		return "modified"
	}
	return "saved"
}

// ViewQuery is what a view keeps of a list's address: everything but the place where somebody looks and the view's own name. It is the same
// text for the same filter.
func ViewQuery(q url.Values) string {
	kept := url.Values{}
	for key, values := range q {
		if key == "saved" || slices.Contains(momentKeys, key) {
			continue
		}
		kept[key] = slices.Sorted(slices.Values(values))
	}
	return kept.Encode()
}

// ViewHref opens a view of the list at base.
func ViewHref(base string, v projections.SavedView) string {
	q, _ := url.ParseQuery(v.Query)
	q.Set("saved", v.ID.String())
	return base + "?" + q.Encode()
}

func (f OperationsFacts) savedViews() *SavedViews {
	s := &SavedViews{Create: "/admin/views", AllHref: f.clearHref(), Fields: []Field{
		{"page", "operations"}, {"base", f.Base}, {"query", ViewQuery(f.Query)},
	}}
	open := f.Query.Get("saved")
	for _, v := range f.Views {
		link := SavedViewLink{Label: v.Name, Href: ViewHref(f.Base, v), Shared: v.Shared, Default: v.Default, Current: v.ID.String() == open}
		if v.Person.String() == f.Me {
			s.Own = append(s.Own, link)
		} else {
			link.Owner = v.Owner
			s.Shared = append(s.Shared, link)
		}
		if link.Current {
			s.Open = &OpenView{
				Name: v.Name, Owner: link.Owner, Shared: v.Shared, Default: v.Default, DiscardHref: link.Href, Action: "/admin/views/" + v.ID.String(),
				Modified: ViewQuery(f.Query) != v.Query, Fields: s.Fields[1:],
			}
		}
	}
	return s
}

// clearHref is the list without filter, and without the view that it would otherwise open with.
func (f OperationsFacts) clearHref() string {
	if f.Tenant == nil && slices.ContainsFunc(f.Views, func(v projections.SavedView) bool { return v.Default }) {
		return f.Base + "?saved=" + NoView
	}
	return f.Base
}

// NoView in place of a view's id opens no view, not even the default one.
const NoView = "none"

// DefaultView is the view that a list opens with; false when there is none.
func DefaultView(views []projections.SavedView) (projections.SavedView, bool) {
	i := slices.IndexFunc(views, func(v projections.SavedView) bool { return v.Default && v.ID != uuid.Nil })
	if i < 0 {
		return projections.SavedView{}, false
	}
	return views[i], true
}
