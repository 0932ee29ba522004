package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

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

// described is what a tenant of the read model is called.
func described(t projections.Tenant) domain.Tenant {
	return domain.Tenant{ExternalID: t.ExternalID, Domain: t.Domain, Name: t.Name, Groups: t.Groups}
}

// withDetails adds what a tenant is called, for programs, with the tag that changing it asks for.
func withDetails(a answer, t domain.Tenant) answer {
	a.media, a.header = "application/json", map[string]string{"ETag": `"` + t.DetailsTag() + `"`}
	a.value = view.TenantDetails{EntraTenantID: t.ExternalID.String(), Domain: t.Domain, Name: t.Name, Groups: append([]string{}, t.Groups...)}
	return a
}

func (s *Server) editTenant(r request) (answer, error) {
	t, err := s.tenantFor(r, domain.CapTenantManage)
	if err != nil {
		return answer{}, err
	}
	form, err := s.tenantForm(r, t)
	if err != nil {
		return answer{}, err
	}
	return withDetails(tenantFormAnswer(t, form, 0), described(t)), nil
}

func (s *Server) tenantForm(r request, t projections.Tenant) (view.TenantForm, error) {
	external := t.ExternalID.String()
	form := view.TenantForm{
		Tenant: view.Link{Label: t.Name, Href: view.TenantHref(external)}, Action: view.TenantEditHref(external),
		Name: t.Name, Groups: strings.Join(t.Groups, "\n"), Tag: described(t).DetailsTag(),
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
	t, err := s.tenantFor(r, domain.CapTenantManage)
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
		return withDetails(answer{redirect: back}, now), err
	}
	refusal, refused := domain.AsRefusal(err)
	if !refused || !byForm(r) || refusal.Kind != domain.Invalid && refusal.Kind != domain.Stale {
		return answer{}, err
	}
	status := http.StatusUnprocessableEntity
	form, formErr := s.tenantForm(r, t)
	if refusal.Kind == domain.Stale { // the form is armed with what is there now: saving again overwrites it knowingly
		status = http.StatusPreconditionFailed
		groups := "it is in no group"
		if len(t.Groups) > 0 {
			groups = "the groups are: " + strings.Join(t.Groups, ", ")
		}
		form.Notice = "Somebody has changed this after you opened the form. Nothing of yours was saved. The name there now is " + t.Name + ", " + groups +
			". Saving again puts yours in their place."
	} else {
		form.Tag, form.Errors = tag, errorsOf(s.problemOf(r.Request, err))
	}
	form.Name, form.Groups = body.Name, strings.Join(body.Groups, "\n")
	return tenantFormAnswer(t, form, status), formErr
}

// readTenantDetails reads the form, or the JSON body with its If-Match.
func readTenantDetails(r request) (body tenantDetailsBody, tag string, err error) {
	if isForm(r.Request) {
		form, err := formOf(r)
		if err != nil {
			return body, "", err
		}
		body.Name, tag = form.Get("name"), form.Get("etag")
		for line := range strings.Lines(form.Get("groups")) {
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
	tag, err = ifMatch(r, "the tenant's details")
	return body, tag, err
}

// awaitDetails gives the read model a moment and says where to go on: to the tenant, or to the list when its new groups hide it from the
// viewer.
func (s *Server) awaitDetails(r request, now domain.Tenant) (string, error) {
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		t, err := s.Read.Tenant(r.Context(), r.actor(), now.ExternalID)
		if errors.Is(err, projections.ErrNoRow) {
			return "/admin/tenants", nil
		}
		if err != nil || described(t).DetailsTag() == now.DetailsTag() {
			return view.TenantHref(now.ExternalID.String()), err
		}
		pause(r.Context(), 25*time.Millisecond)
	}
	return view.TenantHref(now.ExternalID.String()), nil
}
