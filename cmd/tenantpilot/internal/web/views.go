package web

import (
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// viewForm is what a form about a saved view sends.
type viewForm struct {
	base  string // the list
	query string
	name  string
}

// readView reads the form. The query is cleaned of what a view does not keep, so that the same filter is the same text.
func readView(r request) (viewForm, error) {
	var f viewForm
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return f, notFound()
	}
	if _, err := formOf(r); err != nil {
		return f, err
	}
	f.base, _, _ = strings.Cut(auth.LocalPath(r.PostForm.Get("base")), "?")
	q, err := url.ParseQuery(r.PostForm.Get("query"))
	if err != nil || len(r.PostForm.Get("query")) > 2000 {
		return f, invalid("invalid_input", "The filter cannot be saved.", view.FieldError{Pointer: "/query", Code: "malformed", Message: "Send a query of at most 2,000 characters."})
	}
	f.query, f.name = view.ViewQuery(q), strings.TrimSpace(r.PostForm.Get("name"))
	return f, nil
}

// createView saves the list as it is under a new name; "Save as" and "Duplicate" are the same.
func (s *Server) createView(r request) (answer, error) {
	f, err := readView(r)
	if err != nil {
		return answer{}, err
	}
	if r.PostForm.Get("page") != "operations" {
		return answer{}, domain.InvalidField("/page", "unknown", "There is no such list.")
	}
	if f.name == "" || utf8.RuneCountInString(f.name) > 60 || !utf8.ValidString(f.name) || strings.ContainsFunc(f.name, unicode.IsControl) {
		return answer{}, domain.InvalidField("/name", "required", "Give the view a name of at most 60 characters.")
	}
	v := projections.SavedView{ID: uuid.Must(uuid.NewV7()), Name: f.name, Query: f.query, Shared: r.PostForm.Get("shared") == "true"}
	if err := s.Read.CreateView(r.Context(), r.actor(), "operations", v); err != nil {
		return answer{}, err
	}
	return answer{redirect: view.ViewHref(f.base, v)}, nil
}

// changeView does what "do" says to a view: save, share, unshare or delete the viewer's own, make any the default or no longer.
func (s *Server) changeView(r request) (answer, error) {
	id, err := pathUUID(r.v("view"))
	if err != nil {
		return answer{}, err
	}
	v, err := s.Read.SavedView(r.Context(), r.actor(), id)
	if err != nil {
		return answer{}, err
	}
	f, err := readView(r)
	if err != nil {
		return answer{}, err
	}
	own := v.Person == r.actor().Ref.ID
	do := r.PostForm.Get("do")
	if !own && (do == "save" || do == "share" || do == "unshare" || do == "delete") {
		return answer{}, problem{Status: http.StatusForbidden, Code: "forbidden", Detail: "This view is " + v.Owner + "'s. Duplicate it to change it."}
	}
	switch do {
	case "save":
		v.Query = f.query
		err = s.Read.ChangeView(r.Context(), r.actor(), v)
	case "share", "unshare":
		v.Shared = do == "share"
		err = s.Read.ChangeView(r.Context(), r.actor(), v)
	case "delete":
		err = s.Read.DeleteView(r.Context(), r.actor(), id)
		return answer{redirect: f.base + "?saved=" + view.NoView}, err
	case "default", "nodefault":
		err = s.Read.ChooseDefaultView(r.Context(), r.actor(), id, do == "default")
	default:
		return answer{}, domain.InvalidField("/do", "unknown", "Send save, share, unshare, delete, default or nodefault.")
	}
	if err != nil {
		return answer{}, err
	}
	if do == "save" {
		return answer{redirect: view.ViewHref(f.base, v)}, nil
	}
	q, _ := url.ParseQuery(f.query) // as the list was, modified or not
	q.Set("saved", id.String())
	return answer{redirect: f.base + "?" + q.Encode()}, nil
}
