package web

import (
	"cmp"
	"errors"
	"io"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// attempts lists every start attempt that the viewer sees, the refused ones too.
func (s *Server) attempts(r request) (answer, error) {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return answer{}, notFound()
	}
	now := time.Now().UTC()
	q := view.ParseAttempts(r.URL.Query(), r.actor().Ref.ID.String(), now)
	if a, done, err := listAside(r, q.ListQuery); done {
		return a, err
	}
	ctx := r.Context()
	lines, newer, older, err := s.Read.ListAttempts(ctx, r.actor(), q.Filter)
	if err != nil {
		return answer{}, err
	}
	counted := q.Filter
	counted.After, counted.Before = projections.Cursor{}, projections.Cursor{}
	hours, err := s.Read.AttemptHours(ctx, r.actor(), counted)
	if err != nil {
		return answer{}, err
	}
	list := view.PresentAttempts(q, lines, newer, older, hours, func(o domain.OperationType) bool {
		op, err := domain.LookupOperation(o)
		return err == nil && r.actor().May(op.Capability)
	}, now)
	if q.Group {
		groups, err := s.Read.GroupAttempts(ctx, r.actor(), counted)
		if err != nil {
			return answer{}, err
		}
		places, err := s.placesNow(r, now)
		if err != nil {
			return answer{}, err
		}
		list.Groups = view.PresentAttemptGroups(q, groups, places, func(step domain.NextStepAction) bool { return mayStep(r.actor(), step) }, mayStartAny(r.actor()))
	}
	if q.Group && len(list.Groups) == 0 || !q.Group && len(list.Rows) == 0 {
		list.Empty = view.EmptyAttempts(q)
	}
	setAside, err := s.Read.SetAside(ctx, r.actor(), projections.Attempts{})
	if err != nil {
		return answer{}, err
	}
	return answer{
		setAside: setAside,
		title:    "Attempts", media: "application/json", value: view.PresentAttemptItems(lines, older), header: nextLink(list.Older),
		csv: func(w io.Writer) error {
			f := counted
			f.Limit = 200
			return view.WriteAttemptsCSV(w, everyPage(func() ([]projections.AttemptLine, bool, error) {
				lines, _, older, err := s.Read.ListAttempts(ctx, r.actor(), f)
				return lines, older, err
			}, func(last projections.AttemptLine) { f.After = last.Cursor() }))
		},
		csvName: "attempts.csv",
		page:    func(shell view.Shell) templ.Component { return page.AttemptsPage(shell, list) },
	}, nil
}

// placesNow reads how what the viewer sees stands.
func (s *Server) placesNow(r request, now time.Time) (view.PlacesNow, error) {
	n := view.PlacesNow{Tenants: map[uuid.UUID]projections.Tenant{}, Connections: map[int64]projections.Connection{}, Now: now}
	tenants, err := s.Read.Tenants(r.Context(), r.actor())
	if err != nil {
		return n, err
	}
	connections, err := s.Read.Connections(r.Context(), r.actor(), uuid.Nil)
	for _, t := range tenants {
		n.Tenants[t.ExternalID] = t
	}
	for _, c := range connections {
		n.Connections[c.Number] = c
	}
	return n, err
}

// listAside answers a list's request where it is not for the list itself: what was typed into the filter box becomes an address, and a
// program is told of parameters that are no filters.
func listAside(r request, q view.ListQuery) (answer, bool, error) {
	if typed, ok := r.URL.Query()["filter"]; ok {
		return answer{redirect: q.TypedHref(typed[0])}, true, nil
	}
	if len(q.Unknown) == 0 || prefersHTML(r.Request) {
		return answer{}, false, nil
	}
	var fields []view.FieldError
	for _, key := range q.Unknown {
		fields = append(fields, view.FieldError{Pointer: "/" + key, Code: "unknown_parameter", Message: "There is no such filter, or it has no such value: " + key + "."})
	}
	return answer{}, true, invalid("unknown_parameter", "The query has parameters that are no filters.", fields...)
}

func nextLink(older string) map[string]string {
	if older == "" {
		return nil
	}
	return map[string]string{"Link": "<" + older + `>; rel="next"`}
}

// attempt is the receipt of one attempt: why it was answered as it was.
func (s *Server) attempt(r request) (answer, error) {
	id, err := pathUUID(r.v("attempt"))
	if err != nil {
		return answer{}, err
	}
	a, err := waitFor(r, s, projections.Attempts{}, func() (projections.AttemptLine, error) { return s.Read.Attempt(r.Context(), r.actor(), id) })
	if err != nil {
		return answer{}, err
	}
	event, err := s.Read.Receipt(r.Context(), a)
	if err != nil {
		return answer{}, err
	}
	receipt, err := view.PresentReceipt(a, event)
	if err != nil {
		return answer{}, err
	}
	op, err := domain.LookupOperation(a.Operation)
	may := err == nil && r.actor().May(op.Capability)
	p := view.PresentReceiptPage(a, receipt, may, func(step domain.NextStepAction) bool { return mayStep(r.actor(), step) }, time.Now().UTC())
	if may && r.URL.Query().Has("again") {
		if p.Today, err = s.askAgain(r, a, receipt); err != nil {
			return answer{}, err
		}
	}
	return answer{
		title: "Receipt", media: "application/json", value: receipt, shell: inTenant(projections.Tenant{Name: a.TenantName, ExternalID: a.TenantExternal}),
		page: func(shell view.Shell) templ.Component { return page.ReceiptPage(shell, p) },
	}, nil
}

// askAgain asks the gate what it would answer to the same attempt now, and starts nothing.
func (s *Server) askAgain(r request, a projections.AttemptLine, receipt view.Receipt) (*view.Forecast, error) {
	c := commands.Start{Actor: r.actor(), Operation: a.Operation, Tenant: a.TenantExternal, Inputs: receipt.Inputs}
	if a.Connection != nil {
		c.Connection = *a.Connection
	}
	result, err := s.Commands.Forecast(r.Context(), c)
	if err != nil {
		return nil, err
	}
	facts, err := s.startFacts(r, result)
	if err != nil {
		return nil, err
	}
	forecast := view.PresentForecast(facts)
	return &forecast, nil
}

// waitFor gives a read model a moment for what was recorded just now: a link in an answer must lead somewhere. It waits while there is
// something that the read model has not seen, whoever asks for whatever, so the time says nothing about what is asked for.
// Where events are set aside that the asker sees, what is not there may be among them, and that is said.
func waitFor[R any](r request, s *Server, p projections.Projection, read func() (R, error)) (R, error) {
	row, err := readWithin(r, s, p, read)
	if !errors.Is(err, projections.ErrNoRow) {
		return row, err
	}
	setAside, lackErr := s.Read.SetAside(r.Context(), r.actor(), p)
	if lackErr != nil || setAside == 0 {
		return row, cmp.Or(lackErr, err)
	}
	missing := notFound()
	missing.Detail += " " + view.SetAside(setAside) + ", and what you look for may be among them."
	return row, missing
}

// readWithin reads until there is a row, or the read model has all, at most for two seconds.
func readWithin[R any](r request, s *Server, p projections.Projection, read func() (R, error)) (R, error) {
	row, err := read()
	for deadline := time.Now().Add(2 * time.Second); errors.Is(err, projections.ErrNoRow) && time.Now().Before(deadline); {
		behind, lagErr := s.Read.Behind(r.Context(), p)
		if lagErr != nil {
			return row, lagErr
		}
		row, err = read() // after looking how far it was
		if behind == 0 || !errors.Is(err, projections.ErrNoRow) {
			return row, err
		}
		select {
		case <-r.Context().Done():
			return row, r.Context().Err()
		case <-time.After(25 * time.Millisecond):
		}
	}
	return row, err
}
