package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// tenantDetailsBody is what a tenant's name and groups are sent as.
type tenantDetailsBody struct {
	Name   string   `json:"name"`
	Groups []string `json:"groups"`
}

// describable finds the tenant and asks whether the viewer may change what it is called: 404 before 403.
func (s *Server) describable(r request) (projections.Tenant, error) {
	external, err := pathUUID(r.v("tenant"))
	if err != nil {
		return projections.Tenant{}, err
	}
	t, err := s.Read.Tenant(r.Context(), r.actor(), external)
	if err != nil {
		return t, err
	}
	return t, r.actor().Authorize(t.Workspace, t.ID, domain.CapTenantManage)
}

func detailsTag(t projections.Tenant) string {
	return domain.Tenant{Name: t.Name, Groups: t.Groups}.DetailsTag()
}

func tenantDetails(external uuid.UUID, domainName, name string, groups []string) view.TenantDetails {
	if groups == nil {
		groups = []string{}
	}
	return view.TenantDetails{EntraTenantID: external.String(), Domain: domainName, Name: name, Groups: groups}
}

func (s *Server) editTenant(r request) (answer, error) {
	t, err := s.describable(r)
	if err != nil {
		return answer{}, err
	}
	form, err := s.tenantForm(r, t)
	if err != nil {
		return answer{}, err
	}
	a := tenantFormAnswer(t, form, 0)
	a.media, a.value = "application/json", tenantDetails(t.ExternalID, t.Domain, t.Name, t.Groups)
	a.header = map[string]string{"ETag": `"` + detailsTag(t) + `"`}
	return a, nil
}

func (s *Server) tenantForm(r request, t projections.Tenant) (view.TenantForm, error) {
	external := t.ExternalID.String()
	form := view.TenantForm{
		Tenant: view.Link{Label: t.Name, Href: view.TenantHref(external)}, Action: view.TenantEditHref(external),
		Name: t.Name, Groups: strings.Join(t.Groups, "\n"), Tag: detailsTag(t),
	}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	for _, other := range tenants {
		form.Known = append(form.Known, other.Groups...)
	}
	slices.Sort(form.Known)
	form.Known = slices.Compact(form.Known)
	return form, err
}

func tenantFormAnswer(t projections.Tenant, form view.TenantForm, status int) answer {
	return answer{
		title: "Edit " + t.Name, status: status, fragment: page.TenantFormBody(form), shell: inTenant(t),
		page: func(shell view.Shell) templ.Component { return page.TenantFormPage(shell, form) },
	}
}

// describeTenant saves name and groups. Who did not see the present ones overwrites nothing: groups decide who sees the tenant.
func (s *Server) describeTenant(r request) (answer, error) {
	t, err := s.describable(r)
	if err != nil {
		return answer{}, err
	}
	body, tag, err := readTenantDetails(r)
	if err != nil {
		return answer{}, err
	}
	now, err := s.Commands.DescribeTenant(r.Context(), commands.DescribeTenant{
		Actor: r.actor(), Tenant: t.ExternalID, IfMatch: tag, Name: body.Name, Groups: body.Groups,
	})
	if err == nil {
		back, err := s.awaitDetails(r, now)
		return answer{
			media: "application/json", value: tenantDetails(now.ExternalID, now.Domain, now.Name, now.Groups), redirect: back,
			header: map[string]string{"ETag": `"` + now.DetailsTag() + `"`},
		}, err
	}
	refusal, refused := domain.AsRefusal(err)
	if !refused || !byForm(r) || refusal.Kind != domain.Invalid && refusal.Kind != domain.Stale {
		return answer{}, err
	}
	status := http.StatusUnprocessableEntity
	form, formErr := s.tenantForm(r, t)
	if refusal.Kind == domain.Stale { // the form is armed with what is there now: saving again overwrites it knowingly
		status = http.StatusPreconditionFailed
		form.Notice = "Somebody has changed this after you opened the form. Nothing of yours was saved. The name there now is " + t.Name +
			", the groups are: " + strings.Join(append([]string{}, t.Groups...), ", ") + ". Saving again puts yours in their place."
		if len(t.Groups) == 0 {
			form.Notice = strings.Replace(form.Notice, "the groups are: ", "it is in no group", 1)
		}
	} else {
		form.Tag, form.Errors = tag, errorsOf(s.problemOf(r.Request, err))
	}
	form.Name, form.Groups = body.Name, strings.Join(body.Groups, "\n")
	return tenantFormAnswer(t, form, status), formErr
}

// readTenantDetails reads the form, or the JSON body with its If-Match.
func readTenantDetails(r request) (body tenantDetailsBody, tag string, err error) {
	if isForm(r.Request) {
		if err := r.ParseForm(); err != nil {
			return body, "", formError(err)
		}
		body.Name, tag = r.PostForm.Get("name"), r.PostForm.Get("etag")
		for line := range strings.Lines(r.PostForm.Get("groups")) {
			if group := strings.TrimSpace(line); group != "" {
				body.Groups = append(body.Groups, group)
			}
		}
		if tag == "" {
			err = invalid("malformed_body", "The form is damaged. Open it again.")
		}
		return body, tag, err
	}
	if err := decode(r.Request, &body); err != nil {
		return body, "", err
	}
	switch tag = r.Header.Get("If-Match"); tag {
	case "":
		return body, "", problem{
			Status: http.StatusPreconditionRequired, Code: "precondition_required", Detail: "Send If-Match with the ETag of the tenant's details that you have seen.",
		}
	case "*":
		return body, "", nil
	}
	if tag = strings.Trim(tag, `"`); tag == "" {
		tag = "none"
	}
	return body, tag, nil
}

// awaitDetails gives the read model a moment and says where to go on: to the tenant, or to the list when its new groups hide it from the
// viewer.
func (s *Server) awaitDetails(r request, now domain.Tenant) (string, error) {
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		t, err := s.Read.Tenant(r.Context(), r.actor(), now.ExternalID)
		if errors.Is(err, projections.ErrNoRow) {
			return "/admin/tenants", nil
		}
		if err != nil || detailsTag(t) == now.DetailsTag() {
			return view.TenantHref(now.ExternalID.String()), err
		}
		pause(r.Context(), 25*time.Millisecond)
	}
	return view.TenantHref(now.ExternalID.String()), nil
}
