package web

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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

const runMedia = "application/vnd.tenantpilot.provider-backed-run-detail+json"

// operations is the hub: all tenants the viewer sees, or one.
func (s *Server) operations(r request) (answer, error) {
	if typed, ok := r.URL.Query()["filter"]; ok {
		return answer{redirect: filterHref(r.URL, typed[0])}, nil
	}
	if r.URL.Query().Has("columns") {
		return answer{redirect: r.URL.Path + "?" + view.ChosenColumns(r.URL.Query()).Encode()}, nil
	}
	f, err := s.operationsFacts(r)
	if err != nil {
		return answer{}, err
	}
	if v, ok := view.DefaultView(f.Views); ok && r.URL.RawQuery == "" && f.Tenant == nil && prefersHTML(r.Request) {
		return answer{redirect: view.ViewHref(f.Base, v)}, nil
	}
	if len(f.Filter.Unknown) > 0 && !prefersHTML(r.Request) {
		var fields []view.FieldError
		for _, key := range f.Filter.Unknown {
			fields = append(fields, view.FieldError{Pointer: "/" + key, Code: "unknown_parameter", Message: "There is no filter " + key + "."})
		}
		return answer{}, invalid("unknown_parameter", "The query has parameters that are no filters.", fields...)
	}
	if f.Lines, f.Newer, f.Older, err = s.Read.ListRuns(r.Context(), r.actor(), f.Filter.RunFilter); err != nil {
		return answer{}, err
	}
	if err := s.readMatching(r, &f); err != nil {
		return answer{}, err
	}
	list := view.PresentOperations(f)
	header := map[string]string{}
	if list.Older != "" {
		header["Link"] = "<" + list.Older + `>; rel="next"`
	}
	a := answer{
		header: header,
		title:  "Operations", media: "application/json", value: view.PresentRunList(f),
		csv:  func(w io.Writer) error { return s.exportRuns(r, f, w) },
		page: func(shell view.Shell) templ.Component { return page.OperationsPage(shell, list) },
		shell: func(shell *view.Shell) {
			if f.Tenant != nil {
				inTenant(*f.Tenant)(shell)
			}
			shell.LiveHref = liveHref(f)
		},
	}
	if f.Peek != nil {
		a.fragment = page.PeekPanel(f.Peek, f.Now)
	}
	return a, nil
}

// exportRuns writes all runs of the filter, not only those of the page, newest first.
func (s *Server) exportRuns(r request, f view.OperationsFacts, w io.Writer) error {
	filter := f.Filter.RunFilter
	filter.Limit, filter.Before = 200, projections.Cursor{}
	return view.WriteRunsCSV(w, everyPage(func() ([]projections.RunLine, bool, error) {
		lines, _, older, err := s.Read.ListRuns(r.Context(), r.actor(), filter)
		return lines, older, err
	}, func(last projections.RunLine) { filter.After = last.Cursor() }))
}

// Parameters that the list's stream has besides the list's own: the runs on the page, and where the page begins.
const (
	paramRows = "rows"
	paramTop  = "top"
)

// liveHref is the stream of the list as it is shown: it has the numbers of its rows, so that a row that leaves the filter is still kept
// current, and the place above which runs are news. Pages further back have no news.
func liveHref(f view.OperationsFacts) string {
	q := url.Values{}
	for k, v := range f.Query {
		q[k] = v
	}
	q.Del("select")
	if len(f.Lines) > 0 {
		rows := make([]string, len(f.Lines))
		for i, l := range f.Lines {
			rows[i] = strconv.FormatInt(l.Number, 10)
		}
		q.Set(paramRows, strings.Join(rows, "."))
	}
	if !f.Newer && !f.Filter.Oldest {
		top := projections.Cursor{At: f.Filter.From, Number: 1} // of an empty page everything is news
		if len(f.Lines) > 0 {
			top = f.Lines[0].Cursor()
		}
		q.Set(paramTop, top.String())
	}
	return f.Base + "/stream?" + q.Encode()
}

// filterHref turns what was typed into the filter box into the list's own address, so that the filter is the URL.
func filterHref(u *url.URL, typed string) string {
	q := view.FilterQuery(typed)
	for _, key := range view.KeptKeys {
		if v := u.Query().Get(key); v != "" {
			q.Set(key, v)
		}
	}
	if len(q) == 0 {
		return u.Path
	}
	return u.Path + "?" + q.Encode()
}

func (s *Server) operationsFacts(r request) (view.OperationsFacts, error) {
	now := time.Now().UTC()
	f := view.OperationsFacts{Base: "/admin/operations", Query: r.URL.Query(), Now: now, Me: r.actor().Ref.ID.String()}
	f.Filter = view.ParseFilter(f.Query, f.Me, now)
	f.MayStart, f.MayCancel, f.MayHold = mayStartAny(r.actor()), r.actor().May(domain.CapRunCancel), r.actor().May(domain.CapHoldManage)
	if id := r.v("tenantExternalId"); id != "" {
		external, err := pathUUID(id)
		if err != nil {
			return f, err
		}
		tenant, err := s.Read.Tenant(r.Context(), r.actor(), external)
		if err != nil {
			return f, err
		}
		f.Tenant, f.Filter.Tenant, f.Base = &tenant, tenant.ID, "/admin/t/"+external.String()+"/operations"
	} else if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return f, notFound()
	}
	if err := s.readPeek(r, &f); err != nil {
		return f, err
	}
	var err error
	if f.Views, err = s.Read.SavedViews(r.Context(), r.actor(), "operations"); err != nil {
		return f, err
	}
	return f, s.readOperations(r, &f)
}

func mayStartAny(actor domain.Actor) bool {
	return slices.ContainsFunc(domain.Catalogue(), func(o domain.Operation) bool { return actor.May(o.Capability) })
}

// readPeek reads the run beside the list. One that is not there and one that the viewer does not see are the same panel.
func (s *Server) readPeek(r request, f *view.OperationsFacts) error {
	if f.Filter.Peek == 0 {
		return nil
	}
	f.Peek = &view.Peek{Number: f.Filter.Peek, Href: view.RunHref(f.Filter.Peek), CloseHref: f.CloseHref()}
	line, err := s.Read.RunByNumber(r.Context(), r.actor(), f.Filter.Peek)
	if errors.Is(err, projections.ErrNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	facts, err := s.runFacts(r, line)
	if err != nil {
		return err
	}
	detail := view.PresentRun(facts)
	f.Peek.Run = &detail
	return nil
}

// readMatching reads which runs the filter has where the page does not show them all and the viewer could select them.
func (s *Server) readMatching(r request, f *view.OperationsFacts) (err error) {
	if (!f.Newer && !f.Older) || (!f.MayCancel && !f.MayStart) || !prefersHTML(r.Request) {
		return nil
	}
	f.Matching, err = s.Read.MatchingRuns(r.Context(), r.actor(), f.Filter.RunFilter, view.BulkLimit+1)
	return err
}

// lanesStep is how often the window of the lanes moves on: a plot that moved with every look would be sent again with every look.
const lanesStep = 30 * time.Second

// readOperations reads what the page shows besides its rows.
func (s *Server) readOperations(r request, f *view.OperationsFacts) (err error) {
	ctx, actor, tenant := r.Context(), r.actor(), f.Filter.Tenant
	from := f.Now.Add(-map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}[f.Filter.Range])
	if f.Counts, err = s.Read.CountRuns(ctx, actor, tenant, from); err != nil {
		return err
	}
	f.WindowTo = f.Now.Truncate(lanesStep).Add(lanesStep)
	f.WindowFrom = f.WindowTo.Add(-map[string]time.Duration{"60m": time.Hour, "6h": 6 * time.Hour, "24h": 24 * time.Hour}[f.Filter.Window])
	if f.WindowRuns, err = s.Read.RunsBetween(ctx, actor, tenant, f.WindowFrom, f.WindowTo); err != nil {
		return err
	}
	if f.WindowRefusals, err = s.Read.RefusalsBetween(ctx, actor, tenant, f.WindowFrom, f.WindowTo); err != nil {
		return err
	}
	if f.Hours, err = s.Read.HoursSince(ctx, actor, tenant, f.Now.Truncate(time.Hour).Add(-23*time.Hour)); err != nil {
		return err
	}
	f.Can = actor.May
	if f.Waiting, err = s.Read.Waiting(ctx, actor, tenant, 0); err != nil {
		return err
	}
	if f.Held, err = s.Read.HeldTenants(ctx, actor, tenant, f.Now); err != nil {
		return err
	}
	if f.SetAside, err = s.Read.SetAside(ctx, actor); err != nil {
		return err
	}
	f.Behind, f.AsOf, err = s.Read.Lag(ctx)
	return err
}

// run is the run page: canonical, or below a tenant. Below a tenant that it does not belong to it is forbidden to those who see both,
// with a link to the canonical page, and not there for everybody else.
func (s *Server) run(r request) (answer, error) {
	line, err := s.findRun(r)
	if err != nil {
		return answer{}, err
	}
	f, err := s.runFacts(r, line)
	if err != nil {
		return answer{}, err
	}
	f.Base, f.Query = r.URL.Path, r.URL.Query()
	detail := view.PresentRun(f)
	return answer{
		media: runMedia, value: detail, title: detail.Operation + " #" + strconv.FormatInt(detail.RunID, 10),
		page: func(shell view.Shell) templ.Component { return page.RunPage(shell, detail) },
		shell: func(shell *view.Shell) {
			inTenant(projections.Tenant{Name: line.TenantName, ExternalID: line.TenantExternal})(shell)
			if !detail.Ended() {
				shell.LiveHref = view.RunHref(line.Number) + "/stream"
				if r.URL.RawQuery != "" {
					shell.LiveHref += "?" + r.URL.RawQuery
				}
			}
		},
	}, nil
}

func (s *Server) findRun(r request) (projections.RunLine, error) {
	id := r.v("run")
	if id == "" {
		id = r.v("operationRunId")
	}
	number, err := pathNumber(id)
	if err != nil {
		return projections.RunLine{}, err
	}
	scoped := r.v("tenantExternalId")
	var external uuid.UUID
	if scoped != "" {
		if external, err = pathUUID(scoped); err != nil {
			return projections.RunLine{}, err
		}
		if _, err := s.Read.Tenant(r.Context(), r.actor(), external); err != nil {
			return projections.RunLine{}, err
		}
	}
	line, err := s.waitForRun(r, number)
	if err != nil {
		return line, err
	}
	if scoped != "" && line.TenantExternal != external {
		return line, problem{
			Status: http.StatusForbidden, Code: "other_tenant", Detail: "This run belongs to another tenant that you can see.",
			elsewhere: &view.Button{Label: "Open the run", Href: view.RunHref(number), Variant: "primary"},
		}
	}
	return line, nil
}

// waitForRun gives the read model a moment for a run that was accepted just now: the link in the start answer must lead somewhere. It
// waits while there is something that the read model has not seen, whoever asks for whatever, so the time says nothing about the run.
func (s *Server) waitForRun(r request, number int64) (projections.RunLine, error) {
	line, err := s.Read.RunByNumber(r.Context(), r.actor(), number)
	for deadline := time.Now().Add(2 * time.Second); errors.Is(err, projections.ErrNoRow) && time.Now().Before(deadline); {
		behind, _, lagErr := s.Read.Lag(r.Context())
		if lagErr != nil {
			return line, lagErr
		}
		line, err = s.Read.RunByNumber(r.Context(), r.actor(), number) // after looking how far it was
		if behind == 0 || !errors.Is(err, projections.ErrNoRow) {
			return line, err
		}
		select {
		case <-r.Context().Done():
			return line, r.Context().Err()
		case <-time.After(25 * time.Millisecond):
		}
	}
	return line, err
}

func (s *Server) runFacts(r request, line projections.RunLine) (f view.RunFacts, err error) {
	ctx := r.Context()
	f = view.RunFacts{
		Line: line, Now: time.Now().UTC(), AttemptID: uuid.NewString(), MayCancel: r.actor().May(domain.CapRunCancel),
		MayStart: r.actor().May(domain.OperationByType(line.Operation).Capability),
		May:      r.mayStep,
	}
	if f.Connection, err = s.Read.Connection(ctx, r.actor(), line.Connection); err != nil && !errors.Is(err, projections.ErrNoRow) {
		return f, err
	}
	if f.Timeline, err = s.Read.Timeline(ctx, line.Run); err != nil {
		return f, err
	}
	if f.Joined, err = s.Read.JoinedTo(ctx, line.ID); err != nil {
		return f, err
	}
	if f.Usually, err = s.Read.Usually(ctx, line.Tenant, line.Operation); err != nil {
		return f, err
	}
	if line.Operation == domain.OpConnectionCheck && line.Status == domain.Completed {
		found, ok, err := s.Read.FindingOf(ctx, line.Run)
		if err != nil {
			return f, err
		}
		if ok {
			f.Finding = &found
		}
	}
	f.Can, f.Evidence = r.actor().May, s.Evidence != nil
	if f.Waiting, err = s.Read.Waiting(ctx, r.actor(), line.Tenant, line.Connection); err != nil {
		return f, err
	}
	if line.CancelRequestedBy != nil {
		if f.CancelName, err = s.Read.PersonName(ctx, *line.CancelRequestedBy); err != nil {
			return f, err
		}
	}
	lease, err := s.Read.LeaseOf(ctx, line.ID)
	switch {
	case err == nil:
		f.Lease = &lease
	case !errors.Is(err, projections.ErrNoRow):
		return f, err
	}
	return f, nil
}

func (s *Server) cancelRun(r request) (answer, error) {
	number, err := pathNumber(r.v("run"))
	if err != nil {
		return answer{}, err
	}
	line, err := s.Read.RunByNumber(r.Context(), r.actor(), number)
	if err != nil {
		return answer{}, err
	}
	seq, err := s.Commands.CancelRun(r.Context(), commands.CancelRun{Actor: r.actor(), Run: line.ID})
	if err != nil {
		return answer{}, err
	}
	if _, err := s.Read.AwaitRuns(r.Context(), seq, 2*time.Second); err != nil {
		return answer{}, err
	}
	if line, err = s.Read.RunByNumber(r.Context(), r.actor(), number); err != nil {
		return answer{}, err
	}
	f, err := s.runFacts(r, line)
	if err != nil {
		return answer{}, err
	}
	return answer{media: runMedia, value: view.PresentRun(f), redirect: view.RunHref(number)}, nil
}

// part is a piece of a page that the stream sends anew when it has changed. One without a component is gone.
type part struct {
	id        string
	component templ.Component
}

// parts reads what a stream shows, and says whether there will be nothing more to say.
type parts func(request) (list []part, title string, ended bool, err error)

func (s *Server) operationsParts(r request) ([]part, string, bool, error) {
	q := r.URL.Query()
	rows, top := shownRows(q.Get(paramRows)), q.Get(paramTop)
	q.Del(paramRows)
	q.Del(paramTop)
	address := *r.URL
	address.RawQuery = q.Encode()
	r.Request = r.WithContext(r.Context())
	r.URL = &address
	f, err := s.operationsFacts(r)
	if err != nil {
		return nil, "", false, err
	}
	of := projections.RunFilter{Tenant: f.Filter.Tenant, Numbers: rows, Limit: len(rows)}
	if f.Lines, _, _, err = s.Read.ListRuns(r.Context(), r.actor(), of); err != nil {
		return nil, "", false, err
	}
	list := view.PresentOperations(f)
	send := []part{
		{"stale", page.Staleness(list.Stale, list.SetAside)},
		{"holds", page.Holds(list.Held, list.Now)},
		{"counters", page.Counters(list.Counters)},
		{"waiting-starts", page.WaitingStarts(list.Waiting, list.Now)},
		{"tabs", page.Tabs(list.Tabs)},
		{"lanes", page.Lanes(*list.Lanes)},
		{"hours", page.HourBars(*list.Hours)},
	}
	there := make(map[int64]bool, len(list.Rows))
	for _, row := range list.Rows {
		there[row.ID] = true
		send = append(send, part{rowID(row.ID), page.RunRow(row, list.Columns, list.Now)})
	}
	if list.Peek != nil {
		send = append(send, part{"peek-" + strconv.FormatInt(list.Peek.Number, 10), page.PeekBody(*list.Peek, list.Now)})
	}
	for _, number := range rows {
		if !there[number] { // no longer theirs to see
			send = append(send, part{rowID(number), nil})
		}
	}
	if above, ok := projections.ParseCursor(top); ok {
		news := f.Filter.RunFilter
		news.After, news.Before, news.Limit = projections.Cursor{}, above, newsLimit
		lines, _, _, err := s.Read.ListRuns(r.Context(), r.actor(), news)
		if err != nil {
			return nil, "", false, err
		}
		send = append(send, part{"new-rows", page.NewRows(len(lines), list.RefreshHref)})
	}
	unread, err := s.Read.Unread(r.Context(), r.actor())
	if err != nil {
		return nil, "", false, err
	}
	return append(send, part{"bell", page.Bell(unread, "/admin/notifications")}), "", false, nil
}

// newsLimit is how many new runs are counted.
const newsLimit = 100

func rowID(number int64) string { return "run-" + strconv.FormatInt(number, 10) }

// shownRows reads the numbers of a page's rows; what is none is left out.
func shownRows(s string) []int64 {
	rows := []int64{}
	for _, text := range strings.Split(s, ".") {
		if n, err := pathNumber(text); err == nil && len(rows) < 200 {
			rows = append(rows, n)
		}
	}
	return rows
}

func (s *Server) runParts(r request) ([]part, string, bool, error) {
	line, err := s.findRun(r)
	if err != nil {
		return nil, "", false, err
	}
	f, err := s.runFacts(r, line)
	if err != nil {
		return nil, "", false, err
	}
	f.Base, f.Query = strings.TrimSuffix(r.URL.Path, "/stream"), r.URL.Query()
	d := view.PresentRun(f)
	send := []part{
		{"run-header", page.RunHeader(d)},
		{"run-outcome", page.RunOutcome(d)},
		{"run-path", page.RunPath(d)},
		{"run-scope", page.RunScope(d)},
		{"run-permissions", page.RunPermissions(d)},
		{"run-timeline", page.RunTimeline(d)},
		{"run-items", page.RunItems(d)},
		{"run-related", page.RunRelated(d)},
	}
	title := ""
	if d.Ended() {
		title = view.OutcomeBadge(*d.Outcome).Word + ": " + d.Operation + " #" + strconv.FormatInt(d.RunID, 10)
	}
	return send, title, d.Ended() && line.ScopeReleasedAt != nil, nil
}
