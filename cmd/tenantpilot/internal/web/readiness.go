package web

import (
	"io"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
)

// readiness is the matrix of tenants and operations: the gate's own answers, on what the read models know. Nothing is recorded.
func (s *Server) readiness(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	f := view.ReadinessFacts{Can: r.actor().May, Now: time.Now().UTC()}
	if text := r.URL.Query().Get("reason"); text != "" {
		code, known := domain.ParseReasonCode(text)
		if !known {
			return answer{}, domain.InvalidField("/reason", "unknown_reason", "There is no such reason code.")
		}
		f.Reason = code
	}
	var err error
	if f.Situations, err = s.Read.Situations(r.Context(), r.actor()); err != nil {
		return answer{}, err
	}
	if f.Behind, f.AsOf, err = s.Read.Lag(r.Context()); err != nil {
		return answer{}, err
	}
	matrix := view.PresentReadiness(f)
	return answer{
		title: "Readiness", media: "application/json", value: matrix, csvName: "readiness.csv",
		csv:  func(w io.Writer) error { return view.WriteReadinessCSV(w, matrix) },
		page: func(shell view.Shell) templ.Component { return page.ReadinessPage(shell, matrix) },
	}, nil
}
