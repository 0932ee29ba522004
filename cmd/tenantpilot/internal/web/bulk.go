package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// bulkTyped is how many runs may be confirmed with one click; for more, their number has to be typed.
const bulkTyped = 20

// bulkItem is a run of a bulk action with the id of its attempt, which was drawn when the preview was made: the confirmation can be sent
// again and repeats nothing.
type bulkItem struct {
	number  int64
	attempt uuid.UUID
}

func (i bulkItem) String() string { return strconv.FormatInt(i.number, 10) + ":" + i.attempt.String() }

// bulkRequest is a bulk action as the list or the preview sends it: the runs are those of the form, whatever the list has become.
type bulkRequest struct {
	action string
	items  []bulkItem
	back   string
	typed  string
}

// previewBulk says what would become of each selected run. Nothing happens.
func (s *Server) previewBulk(r request) (answer, error) {
	b, err := s.readBulk(r)
	if err != nil {
		return answer{}, err
	}
	return s.bulkPreview(r, b, "")
}

// confirmBulk does to each run what it can and says what became of it. One that is refused stops no other.
func (s *Server) confirmBulk(r request) (answer, error) {
	b, err := s.readBulk(r)
	if err != nil {
		return answer{}, err
	}
	if len(b.items) > bulkTyped && strings.TrimSpace(b.typed) != strconv.Itoa(len(b.items)) {
		return s.bulkPreview(r, b, "Type "+strconv.Itoa(len(b.items))+". Nothing was done.")
	}
	p := b.page()
	var last int64
	for _, item := range b.items {
		row, seq, err := s.bulkDo(r, b.action, item)
		if err != nil {
			return answer{}, err
		}
		p.Rows, last = append(p.Rows, row), max(last, seq)
	}
	if _, err := s.Read.AwaitRuns(r.Context(), last, 2*time.Second); err != nil {
		return answer{}, err
	}
	p.Sums, p.Column = view.CountBadges(p.Rows), "What happened"
	p.Headline = map[string]string{"cancel": "Cancelling was asked for", "start": "The starts were answered"}[b.action]
	return bulkAnswer(p, 0), nil
}

func (s *Server) bulkPreview(r request, b bulkRequest, wrong string) (answer, error) {
	p := b.page()
	taken := map[int64]string{}
	for _, item := range b.items {
		row, err := s.bulkForecast(r, b.action, item, taken)
		if err != nil {
			return answer{}, err
		}
		p.Rows = append(p.Rows, row)
	}
	p.Sums, p.Column, p.Action = view.CountBadges(p.Rows), "What will happen", "/admin/operations/bulk/confirm"
	n := strconv.Itoa(len(b.items))
	if len(b.items) == 1 {
		n = "1 run"
	} else {
		n += " runs"
	}
	p.Text = "The list is as you selected it; runs that came since are not in it. Each run is decided by itself, at the moment you confirm."
	switch b.action {
	case "cancel":
		p.Headline, p.Confirm, p.Variant = "Cancel "+n+"?", "Cancel "+n, "destructive"
	default:
		p.Headline, p.Confirm, p.Variant = "Start "+n+" again?", "Start "+n+" again", "primary"
	}
	p.Fields = []view.Field{{Name: "action", Value: b.action}, {Name: "back", Value: b.back}}
	for _, item := range b.items {
		p.Fields = append(p.Fields, view.Field{Name: "item", Value: item.String()})
	}
	if len(b.items) > bulkTyped {
		p.Type, p.Error = len(b.items), wrong
	}
	status := 0
	if wrong != "" {
		status = http.StatusUnprocessableEntity
	}
	return bulkAnswer(p, status), nil
}

func bulkAnswer(p view.BulkPage, status int) answer {
	return answer{title: p.Headline, status: status, page: func(shell view.Shell) templ.Component { return page.BulkPage(shell, p) }}
}

func (b bulkRequest) page() view.BulkPage { return view.BulkPage{Now: time.Now().UTC(), Back: b.back} }

// readBulk reads the form of the list (run, runs) or of the preview (item). Who is no member learns nothing, not even of the form.
func (s *Server) readBulk(r request) (bulkRequest, error) {
	var b bulkRequest
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return b, notFound()
	}
	if _, err := formOf(r); err != nil {
		return b, err
	}
	b.action, b.back, b.typed = r.PostForm.Get("action"), auth.LocalPath(r.PostForm.Get("back")), r.PostForm.Get("typed")
	if b.action != "cancel" && b.action != "start" {
		return b, invalid("invalid_input", "Choose what to do with the runs.", view.FieldError{Pointer: "/action", Code: "unknown", Message: "Send cancel or start."})
	}
	var err error
	if b.items, err = bulkItems(r.PostForm); err != nil {
		return b, err
	}
	switch n := len(b.items); {
	case n == 0:
		return b, invalid("invalid_input", "No run is selected.", view.FieldError{Pointer: "/run", Code: "required", Message: "Select at least one run."})
	case n > view.BulkLimit:
		return b, invalid("invalid_input", "Too many runs are selected.", view.FieldError{
			Pointer: "/run", Code: "too_many", Message: "Select at most " + strconv.Itoa(view.BulkLimit) + " runs.",
		})
	}
	return b, nil
}

// bulkItems are the runs of a form, each once, in its order. What has no attempt yet gets one.
func bulkItems(form url.Values) ([]bulkItem, error) {
	texts := slices.Clone(form["item"])
	texts = append(texts, form["run"]...)
	for _, more := range form["runs"] {
		if more != "" {
			texts = append(texts, strings.Split(more, ".")...)
		}
	}
	var items []bulkItem
	seen := map[int64]bool{}
	for _, text := range texts {
		number, attempt, frozen := strings.Cut(text, ":")
		item := bulkItem{attempt: uuid.Must(uuid.NewV7())}
		var err error
		if item.number, err = pathNumber(number); err != nil {
			return nil, damaged()
		}
		if frozen {
			if item.attempt, err = uuid.Parse(attempt); err != nil || item.attempt == uuid.Nil {
				return nil, damaged()
			}
		}
		if !seen[item.number] {
			seen[item.number] = true
			items = append(items, item)
		}
	}
	return items, nil
}

func damaged() error {
	return invalid("invalid_input", "The form is damaged. Go back and select again.", view.FieldError{Pointer: "/run", Code: "malformed", Message: "This is no run."})
}

// bulkLine finds a run and says what is known of it to the viewer: of one that is not seen, its number only.
func (s *Server) bulkLine(r request, number int64) (projections.RunLine, view.BulkRow, bool, error) {
	row := view.BulkRow{
		Key: strconv.FormatInt(number, 10), Subject: view.Link{Label: "#" + strconv.FormatInt(number, 10)}, Badge: view.BulkNotFound, Text: domain.ErrNotFound().Text,
	}
	line, err := s.Read.RunByNumber(r.Context(), r.actor(), number)
	if errors.Is(err, projections.ErrNoRow) {
		return line, row, false, nil
	}
	if err != nil {
		return line, row, false, err
	}
	row.Subject.Href, row.Detail, row.Connection = view.RunHref(number), domain.OperationByType(line.Operation).Label, line.ConnectionLabel
	row.Tenant = view.Link{Label: line.TenantName, Href: view.TenantHref(line.TenantExternal.String())}
	return line, row, true, nil
}

// startAgain is a run's operation with its inputs, as an attempt of the viewer's.
func (s *Server) startAgain(r request, line projections.RunLine, attempt uuid.UUID) commands.Start {
	c := s.command(r, line.Operation)
	c.Attempt, c.Tenant, c.Connection, c.Inputs, c.Surface = attempt, line.TenantExternal, line.Connection, line.Inputs, "console.bulk"
	return c
}

// refusedRow words a refusal; any other error is one of the whole request.
func refusedRow(row view.BulkRow, err error) (view.BulkRow, error) {
	refusal, ok := domain.AsRefusal(err)
	if !ok {
		return row, err
	}
	row.Text = refusal.Text
	switch {
	case refusal.Kind == domain.NotFound: // the run is seen, so it is the operation that is not there
		row.Badge, row.Text = view.BulkRefused, "This operation cannot be started."
	case refusal.Kind == domain.Forbidden:
		row.Badge = view.BulkNotAllowed
	case refusal.Code == "run_ended":
		row.Badge = view.BulkNothing
	default:
		row.Badge = view.BulkRefused
	}
	return row, nil
}

// bulkForecast asks what would become of one run. taken has the connections that rows above would take, with the identity of their work:
// the gate cannot know of them yet.
func (s *Server) bulkForecast(r request, action string, item bulkItem, taken map[int64]string) (view.BulkRow, error) {
	line, row, found, err := s.bulkLine(r, item.number)
	if err != nil || !found {
		return row, err
	}
	if action == "cancel" {
		f, err := s.Commands.ForecastCancel(r.Context(), commands.CancelRun{Actor: r.actor(), Run: line.ID})
		switch {
		case err != nil:
			return refusedRow(row, err)
		case f.Already:
			row.Badge, row.Text = view.BulkNothing, "Cancelling was asked for already."
		case f.Ends:
			row.Badge, row.Text = view.BulkWillEnd, "No worker has begun it."
		default:
			row.Badge, row.Text = view.BulkWillStop, "It ends at its next provider call. What it has read so far is not kept."
		}
		return row, nil
	}
	result, err := s.Commands.Forecast(r.Context(), s.startAgain(r, line, item.attempt))
	if err != nil {
		return refusedRow(row, err)
	}
	if result.Outcome == domain.Accepted {
		identity, before := taken[line.Connection]
		switch {
		case !before:
			taken[line.Connection] = result.Identity
		case identity == result.Identity:
			row.Badge, row.Text = view.BulkWillJoin, "Joins the same work of a row above."
			return row, nil
		default:
			row.Badge, row.Text = view.BulkWillWait, "A row above will be using the connection."
			return row, nil
		}
	}
	facts, err := s.startFacts(r, result)
	if err != nil {
		return row, err
	}
	forecast := view.PresentForecast(facts)
	row.Badge, row.Text, row.Link = view.ForecastBadge(forecast.Status), forecast.Text, forecast.Link
	return row, nil
}

// bulkDo does the action to one run, and returns the seq of what it appended.
func (s *Server) bulkDo(r request, action string, item bulkItem) (view.BulkRow, int64, error) {
	line, row, found, err := s.bulkLine(r, item.number)
	if err != nil || !found {
		return row, 0, err
	}
	if action == "cancel" {
		c := commands.CancelRun{Actor: r.actor(), Run: line.ID}
		ahead, err := s.Commands.ForecastCancel(r.Context(), c) // the line may be behind the log
		var seq int64
		if err == nil {
			seq, err = s.Commands.CancelRun(r.Context(), c)
		}
		switch {
		case err != nil:
			row, err = refusedRow(row, err)
			return row, 0, err
		case seq == 0:
			row.Badge, row.Text = view.BulkNothing, "Cancelling was asked for already."
		case ahead.Ends:
			row.Badge, row.Text = view.BulkEnded, "No worker had begun it."
		default:
			row.Badge, row.Text = view.BulkStopping, "It ends at its next provider call."
		}
		return row, seq, nil
	}
	result, err := s.Commands.Start(r.Context(), s.startAgain(r, line, item.attempt))
	if err != nil {
		row, err = refusedRow(row, err)
		return row, 0, err
	}
	row, err = s.startedRow(r, row, result)
	return row, result.Seq, err
}

// startedRow says what the gate answered to a row's start.
func (s *Server) startedRow(r request, row view.BulkRow, result commands.StartResult) (view.BulkRow, error) {
	if !result.Replayed {
		s.metrics.starts.WithLabelValues(string(result.Outcome), string(result.Operation.Type), string(result.Reason)).Inc()
	}
	facts, err := s.startFacts(r, result)
	if err != nil {
		return row, err
	}
	facts.Inputs, facts.ReserveID = result.Inputs, uuid.NewString()
	told := view.PresentStart(facts)
	row.Badge, row.Text = view.StartBadge(told.Status), told.Headline+"."
	if told.Run != nil {
		row.Link = &view.Link{Label: "Run " + strconv.FormatInt(told.Run.ID, 10), Href: view.RunHref(told.Run.ID)}
	} else {
		row.Link = view.FirstStep(told)
	}
	if result.Outcome == domain.Busy && told.Reserve != nil {
		row.Offer = &view.Button{Label: told.Reserve.Label, Icon: "hourglass", Post: true, Href: told.Reserve.Href, Fields: told.Reserve.Fields}
	}
	return row, nil
}
