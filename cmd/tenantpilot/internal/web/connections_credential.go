package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// credentialBody is what a credential is sent as. It is read, sealed and forgotten: no answer, log or event has the secret.
type credentialBody struct {
	Kind      string `json:"kind"`
	Secret    string `json:"secret"`
	ExpiresAt string `json:"expiresAt"` // RFC 3339, or a date
}

func (s *Server) credentialForm(r request) (answer, error) {
	c, t, err := s.findManaged(r, domain.CapProviderManage)
	if err != nil {
		return answer{}, err
	}
	kind := c.CredentialKind
	if kind == "" {
		kind = "secret"
	}
	return s.credentialPage(r, c, t, credentialBody{Kind: kind}, nil, 0)
}

func (s *Server) credentialPage(r request, c projections.Connection, t projections.Tenant, body credentialBody, errs []view.FieldError, status int) (answer, error) {
	history, err := s.Read.ConnectionHistory(r.Context(), c, historyLimit)
	if err != nil {
		return answer{}, err
	}
	form := view.PresentCredentialForm(c, history, time.Now().UTC())
	form.Kind, form.Expires, form.Errors = body.Kind, body.ExpiresAt, errs
	if s.Secrets == nil {
		form.Errors = append(form.Errors, view.FieldError{Code: "no_keyset", Message: noKeyset.Detail})
	}
	return answer{
		title: "Rotate credential", status: status, shell: inTenant(t),
		page: func(shell view.Shell) templ.Component { return page.CredentialPage(shell, form) },
	}, nil
}

var noKeyset = problem{
	Status: http.StatusConflict, Code: "no_keyset", Detail: "This installation has no key to seal credentials with. Start it with TENANTPILOT_KEYSET_FILE.",
}

// rotateCredential seals what was sent and records that it is in use, which resets the verification. An empty secret of the kind that is in use
// keeps the stored one; another expiry is then recorded for it.
func (s *Server) rotateCredential(r request) (answer, error) {
	c, t, err := s.findManaged(r, domain.CapProviderManage)
	if err != nil {
		return answer{}, err
	}
	body, expires, err := readCredential(r)
	done := ""
	if err == nil {
		done, err = s.takeCredential(r, c, body, expires)
	}
	if err == nil {
		return s.changed(r, c.Number, done)
	}
	p := s.problemOf(r.Request, err)
	if !isForm(r.Request) || !prefersForm(r) || p.Status != http.StatusBadRequest {
		return answer{}, err
	}
	return s.credentialPage(r, c, t, body, errorsOf(p), http.StatusUnprocessableEntity)
}

func readCredential(r request) (body credentialBody, expires time.Time, err error) {
	if isForm(r.Request) {
		if err := r.ParseForm(); err != nil {
			return body, expires, formError(err)
		}
		body = credentialBody{Kind: r.PostForm.Get("kind"), Secret: r.PostForm.Get("secret"), ExpiresAt: r.PostForm.Get("expiresAt")}
	} else if err := decode(r.Request, &body); err != nil {
		return body, expires, err
	}
	body.Secret = strings.TrimSpace(body.Secret)
	if body.ExpiresAt == "" {
		return body, expires, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if expires, err = time.Parse(layout, body.ExpiresAt); err == nil {
			return body, expires.UTC(), nil
		}
	}
	return body, expires, domain.InvalidField("/expiresAt", "malformed", "Give the date as in 2027-01-31, or leave it empty.")
}

func (s *Server) takeCredential(r request, c projections.Connection, body credentialBody, expires time.Time) (done string, err error) {
	known := c.State().Credential
	switch {
	case body.Secret != "" || body.Kind != known.Kind:
		if s.Secrets == nil {
			return "", noKeyset
		}
		known, err = s.Secrets.Put(r.Context(), c.State(), body.Kind, body.Secret, expires)
	case expires.IsZero() || expires.Equal(known.ExpiresAt):
		return "saved", nil
	default:
		known, err = known.EndingBy(expires, time.Now())
	}
	if err != nil {
		return "", err
	}
	return "credential", s.Commands.RotateCredential(r.Context(), commands.RotateCredential{Actor: r.actor(), Connection: c.Number, Credential: known})
}
