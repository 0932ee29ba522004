package web

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// replayRow is one selected attempt on its way to being a row of the preview.
type replayRow struct {
	id     uuid.UUID
	line   projections.AttemptLine
	found  bool
	result commands.StartResult
	err    error // why it cannot be replayed
}

// previewReplay freezes the selected refused attempts and says what the gate would answer to each now. Nothing is started.
func (s *Server) previewReplay(r request) (answer, error) {
	if err := s.readReplayForm(r); err != nil {
		return answer{}, err
	}
	rows, err := s.selectedAttempts(r)
	if err != nil {
		return answer{}, err
	}
	preview := projections.ReplayPreview{ID: uuid.Must(uuid.NewV7())}
	for i := range rows {
		if row := &rows[i]; row.found {
			row.result, row.err = s.Commands.ForecastReplay(r.Context(), s.replayOf(r, preview.ID, projections.ReplayItem{Attempt: row.id}))
			if _, refused := domain.AsRefusal(row.err); row.err != nil && !refused {
				return answer{}, row.err
			}
		}
	}
	p, items, err := s.forecastReplays(r, rows)
	if err != nil {
		return answer{}, err
	}
	p.Back = back(r, "/admin/attempts")
	if len(items) == 0 {
		p.Headline, p.Text = "Nothing to replay", "None of the selected attempts can be replayed now. Each line says why."
		return bulkAnswer(p, 0), nil
	}
	preview.Items = items
	if preview, err = s.Read.KeepReplayPreview(r.Context(), r.actor(), preview); err != nil {
		return answer{}, err
	}
	return bulkAnswer(confirmable(p, preview, ""), 0), nil
}

// confirmReplay replays what a preview froze, each attempt by itself; one that is refused stops no other. What it starts follows from the
// preview, so sending it again repeats nothing, and what somebody else has replayed meanwhile is said so.
func (s *Server) confirmReplay(r request) (answer, error) {
	id, err := pathUUID(r.v("preview"))
	if err != nil {
		return answer{}, err
	}
	ctx := r.Context()
	preview, err := s.Read.ReplayPreview(ctx, r.actor(), id)
	if err != nil {
		return answer{}, err
	}
	if err := s.readReplayForm(r); err != nil {
		return answer{}, err
	}
	list := back(r, "/admin/attempts")
	if err := confirms(preview, r.PostForm.Get("digest"), list); err != nil {
		return answer{}, err
	}
	if n := len(preview.Items); n > bulkTyped && strings.TrimSpace(r.PostForm.Get("typed")) != strconv.Itoa(n) {
		return s.replayAgain(r, preview, "Type "+strconv.Itoa(n)+". Nothing was done.")
	}
	if preview, err = s.Read.ConfirmReplayPreview(ctx, r.actor(), id); err != nil {
		return answer{}, err
	}
	if err := confirms(preview, preview.Digest, list); err != nil {
		return answer{}, err
	}
	if err := s.Read.AwaitNow(ctx, time.Second); err != nil { // what came since has to be seen
		return answer{}, err
	}
	lines, err := s.replayLines(r, preview.Items)
	if err != nil {
		return answer{}, err
	}
	p := view.BulkPage{Now: time.Now().UTC(), Noun: "attempt", Headline: "The replays were answered", Column: "What happened", Back: list}
	var last int64
	for _, item := range preview.Items {
		row, seq, err := s.replayOne(r, preview.ID, item, lines)
		if err != nil {
			return answer{}, err
		}
		p.Rows, last = append(p.Rows, row), max(last, seq)
	}
	if _, err := s.Read.AwaitRuns(ctx, last, 2*time.Second); err != nil {
		return answer{}, err
	}
	p.Sums = view.CountBadges(p.Rows)
	return bulkAnswer(p, 0), nil
}

// readReplayForm parses the form. Who is no member learns nothing, not even of the form.
func (s *Server) readReplayForm(r request) error {
	if !r.actor().Sees(r.actor().Workspace, uuid.Nil) {
		return notFound()
	}
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return invalid("malformed_body", "The form could not be read.")
	}
	return nil
}

func back(r request, otherwise string) string {
	if to := r.PostForm.Get("back"); to != "" {
		return auth.LocalPath(to)
	}
	return otherwise
}

// selectedAttempts are the attempts of the form, or the open ones of a filter of the list, newest first.
func (s *Server) selectedAttempts(r request) ([]replayRow, error) {
	if text := r.PostForm.Get("query"); text != "" {
		query, err := url.ParseQuery(text)
		if err != nil {
			return nil, damaged()
		}
		q := view.ParseAttempts(query, r.actor().Ref.ID.String(), time.Now().UTC())
		if len(q.Unknown) > 0 { // it would select more than was meant
			return nil, damaged()
		}
		q.Filter.Open, q.Filter.After, q.Filter.Before = true, projections.Cursor{}, projections.Cursor{}
		return s.findAttempts(r, q.Filter)
	}
	texts := r.PostForm["attempt"]
	switch n := len(texts); {
	case n == 0:
		return nil, invalid("invalid_input", "No attempt is selected.", view.FieldError{Pointer: "/attempt", Code: "required", Message: "Select at least one attempt."})
	case n > view.BulkLimit:
		return nil, invalid("invalid_input", "Too many attempts are selected.", view.FieldError{
			Pointer: "/attempt", Code: "too_many", Message: "Select at most " + strconv.Itoa(view.BulkLimit) + " attempts.",
		})
	}
	var ids []uuid.UUID
	for _, text := range texts {
		id, err := uuid.Parse(text)
		if err != nil || id == uuid.Nil {
			return nil, damaged()
		}
		ids = append(ids, id)
	}
	rows, err := s.findAttempts(r, projections.AttemptFilter{Attempts: ids})
	if err != nil {
		return nil, err
	}
	seen := map[uuid.UUID]bool{}
	for _, row := range rows {
		seen[row.id] = true
	}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			rows = append(rows, replayRow{id: id})
		}
	}
	return rows, nil
}

func (s *Server) findAttempts(r request, f projections.AttemptFilter) ([]replayRow, error) {
	var rows []replayRow
	for f.Limit = 200; ; {
		lines, _, older, err := s.Read.ListAttempts(r.Context(), r.actor(), f)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			if rows = append(rows, replayRow{id: line.Attempt, line: line, found: true}); len(rows) == view.BulkLimit {
				return rows, nil
			}
		}
		if !older || len(lines) == 0 {
			return rows, nil
		}
		f.After = lines[len(lines)-1].Cursor()
	}
}

func (s *Server) replayOf(r request, preview uuid.UUID, item projections.ReplayItem) commands.Replay {
	return commands.Replay{
		Actor: r.actor(), Preview: preview, Attempt: item.Attempt, Same: item.Same, Trigger: s.command(r, "").Trigger,
	}
}

// forecastReplays words what would become of each row, and collects what can be replayed: of several attempts that ask for the same work
// the newest, with the others.
func (s *Server) forecastReplays(r request, rows []replayRow) (view.BulkPage, []projections.ReplayItem, error) {
	p := view.BulkPage{Now: time.Now().UTC(), Noun: "attempt", Column: "What will happen"}
	var asked []projections.ReplayItem
	for _, row := range rows {
		if row.found && row.err == nil {
			asked = append(asked, projections.ReplayItem{Identity: row.result.Identity, At: row.line.At})
		}
	}
	done, err := s.doneSince(r, asked)
	if err != nil {
		return p, nil, err
	}
	var items []projections.ReplayItem
	first, taken := map[string]int{}, map[int64]string{}
	for _, row := range rows {
		out, replayable, err := s.forecastReplay(r, row, done, taken)
		if err != nil {
			return p, nil, err
		}
		if at, twice := first[row.result.Identity]; replayable && twice {
			items[at].Same = append(items[at].Same, row.id)
			out.Badge, out.Text, out.Link = view.BulkSameWork, "It asks for the same work as a row above; one start answers both.", nil
		} else if replayable {
			first[row.result.Identity] = len(items)
			items = append(items, projections.ReplayItem{Attempt: row.id, Identity: row.result.Identity, At: row.line.At})
		}
		p.Rows = append(p.Rows, out)
	}
	p.Sums = view.CountBadges(p.Rows)
	return p, items, nil
}

// forecastReplay words one row, and says whether it can be replayed. taken has the connections that rows above would take, with the
// identity of their work: the gate cannot know of them yet.
func (s *Server) forecastReplay(
	r request, row replayRow, done map[string]projections.DoneSince, taken map[int64]string,
) (view.BulkRow, bool, error) {
	if !row.found {
		return view.HiddenReplayRow(row.id), false, nil
	}
	out := view.ReplayRow(row.line, time.Now().UTC())
	if row.err != nil {
		out, err := s.notReplayed(r, out, row.line, row.err)
		return out, false, err
	}
	if since, ok := done[row.result.Identity]; ok && since.At.After(row.line.At) {
		return notNeeded(out, since), false, nil
	}
	connection := row.result.Connection.Number
	if identity, before := taken[connection]; before && row.result.Outcome == domain.Accepted && identity != row.result.Identity {
		out.Badge, out.Text = view.BulkWillWait, "A row above will be using the connection."
		return out, true, nil
	}
	facts, err := s.startFacts(r, row.result)
	if err != nil {
		return out, false, err
	}
	forecast := view.PresentForecast(facts)
	out.Badge, out.Text, out.Link = view.ForecastBadge(forecast.Status), forecast.Text, forecast.Link
	switch row.result.Outcome {
	case domain.Accepted:
		taken[connection] = row.result.Identity
	case domain.Deduped:
		out.Badge, out.Text = view.BulkNotNeeded, "The same work is active."
		return out, false, nil
	case domain.IsBlocked:
		out.Badge, out.Text, out.Link = view.BulkStillStops, forecast.Text+".", view.FirstStep(view.PresentStart(facts))
		return out, false, nil
	}
	return out, true, nil
}

func notNeeded(row view.BulkRow, since projections.DoneSince) view.BulkRow {
	row.Badge, row.Text = view.BulkNotNeeded, "The same work has succeeded since."
	if since.Active {
		row.Text = "The same work is active."
	}
	row.Link = &view.Link{Label: "Run " + strconv.FormatInt(since.Number, 10), Href: view.RunHref(since.Number)}
	return row
}

// notReplayed words why an attempt that the viewer sees is not replayed; any other error is one of the whole request.
func (s *Server) notReplayed(r request, row view.BulkRow, line projections.AttemptLine, err error) (view.BulkRow, error) {
	refusal, ok := domain.AsRefusal(err)
	if !ok {
		return row, err
	}
	row.Text = refusal.Text
	_, gone := domain.LookupOperation(line.Operation)
	switch {
	case refusal.Code == domain.ErrReplayed().Code:
		return s.replayedBefore(r, row, line.Attempt)
	case line.Outcome == domain.Accepted: // its receipt is its run's
		row.Badge, row.Text = view.BulkNoReplay, "It was accepted, so there is nothing to replay."
	case refusal.Kind == domain.Conflict:
		row.Badge = view.BulkNoReplay
	case refusal.Kind == domain.NotFound && gone != nil:
		row.Badge, row.Text = view.BulkNoReplay, "This operation can no longer be started."
	case refusal.Kind == domain.NotFound: // the attempt is seen, so it is the connection that is not there
		row.Badge, row.Text = view.BulkNoReplay, "The connection is gone."
	case refusal.Kind == domain.Forbidden:
		row.Badge, row.Text = view.BulkNotAllowed, "You may not start this."
	default:
		row.Badge = view.BulkRefused
	}
	return row, nil
}

// replayedBefore says by whom an attempt was replayed, and what that was answered.
func (s *Server) replayedBefore(r request, row view.BulkRow, attempt uuid.UUID) (view.BulkRow, error) {
	told, err := s.Commands.ReplayedAs(r.Context(), r.actor(), attempt)
	if err != nil {
		return row, err
	}
	by, err := s.Read.PersonName(r.Context(), told.By.ID)
	if err != nil {
		return row, err
	}
	if by == "" {
		by = "TenantPilot"
	}
	if told.By.ID == r.actor().Ref.ID {
		by = "you"
	}
	row.Badge, row.Text = view.BulkReplayed, "By "+by+". Nothing was started a second time."
	row.Link = &view.Link{Label: "Receipt of the replay", Href: view.AttemptHref(told.Replay.String())}
	return row, nil
}

// doneSince finds the runs that did, or do, the work of items since the oldest of them was refused, by identity.
func (s *Server) doneSince(r request, items []projections.ReplayItem) (map[string]projections.DoneSince, error) {
	if len(items) == 0 {
		return nil, nil
	}
	since := items[0].At
	var identities []string
	for _, item := range items {
		identities = append(identities, item.Identity)
		if item.At.Before(since) {
			since = item.At
		}
	}
	found, err := s.Read.DoneSince(r.Context(), r.actor(), identities, since)
	by := make(map[string]projections.DoneSince, len(found))
	for _, d := range found {
		by[d.Identity] = d
	}
	return by, err
}

// replayLines reads the frozen attempts as the viewer sees them now.
func (s *Server) replayLines(r request, items []projections.ReplayItem) (map[uuid.UUID]projections.AttemptLine, error) {
	var ids []uuid.UUID
	for _, item := range items {
		ids = append(ids, item.Attempt)
	}
	rows, err := s.findAttempts(r, projections.AttemptFilter{Attempts: ids})
	lines := make(map[uuid.UUID]projections.AttemptLine, len(rows))
	for _, row := range rows {
		lines[row.id] = row.line
	}
	return lines, err
}

// replayOne replays one frozen attempt and words what became of it, with the seq of what was appended.
func (s *Server) replayOne(
	r request, preview uuid.UUID, item projections.ReplayItem, lines map[uuid.UUID]projections.AttemptLine,
) (view.BulkRow, int64, error) {
	line, found := lines[item.Attempt]
	if !found {
		return view.HiddenReplayRow(item.Attempt), 0, nil
	}
	row := view.ReplayRow(line, time.Now().UTC())
	own, other, err := s.replayedBy(r.Context(), r.actor(), preview, item)
	switch {
	case err != nil:
		row, err = s.notReplayed(r, row, line, err)
		return row, 0, err
	case other != uuid.Nil:
		row, err = s.replayedBefore(r, row, other)
		return row, 0, err
	}
	done, err := s.doneSince(r, []projections.ReplayItem{item}) // as late as can be: a confirmation of many takes its time
	if err != nil {
		return row, 0, err
	}
	if since, ok := done[item.Identity]; ok && !own && !since.Active && since.At.After(line.At) { // the gate itself sees what is active
		return notNeeded(row, since), 0, nil
	}
	result, err := s.Commands.Replay(r.Context(), s.replayOf(r, preview, item))
	if refusal, ok := domain.AsRefusal(err); ok && refusal.Code == domain.ErrReplayed().Code { // in this very moment
		if _, other, err := s.replayedBy(r.Context(), r.actor(), preview, item); err == nil && other != uuid.Nil {
			row, err = s.replayedBefore(r, row, other)
			return row, 0, err
		}
	}
	if err != nil {
		row, err = s.notReplayed(r, row, line, err)
		return row, 0, err
	}
	row, err = s.startedRow(r, row, result)
	return row, result.Seq, err
}

// replayedBy says whether a preview has replayed an item before (own), or which of the item's attempts somebody else has.
func (s *Server) replayedBy(ctx context.Context, actor domain.Actor, preview uuid.UUID, item projections.ReplayItem) (own bool, other uuid.UUID, err error) {
	for _, attempt := range append([]uuid.UUID{item.Attempt}, item.Same...) {
		told, err := s.Commands.ReplayedAs(ctx, actor, attempt)
		switch {
		case err != nil:
			return false, uuid.Nil, err
		case told.Replay == domain.ReplayAttempt(preview, item.Attempt):
			return true, uuid.Nil, nil
		case told.Replay != uuid.Nil:
			return false, attempt, nil
		}
	}
	return false, uuid.Nil, nil
}

// confirms says why a preview cannot be confirmed; nil when it can.
func confirms(p projections.ReplayPreview, digest, list string) error {
	again := &view.Button{Label: "Back to the attempts", Href: list}
	switch {
	case subtle.ConstantTimeCompare([]byte(digest), []byte(p.Digest)) == 0:
		return problem{Status: http.StatusConflict, Code: "preview_changed", Detail: "This is not what the preview showed. Nothing was started. Select the attempts again.", elsewhere: again}
	case p.Expired && p.Confirmed != nil:
		return problem{
			Status: http.StatusConflict, Code: "preview_expired", elsewhere: again,
			Detail: "The preview was confirmed at " + view.Absolute(*p.Confirmed) + ". Its answers are in the list of attempts.",
		}
	case p.Expired:
		return problem{
			Status: http.StatusConflict, Code: "preview_expired", elsewhere: again,
			Detail: "The preview could be confirmed until " + view.Absolute(p.Until) + ". Nothing was started. Select the attempts again.",
		}
	}
	return nil
}

// confirmable adds to a preview what confirms it.
func confirmable(p view.BulkPage, preview projections.ReplayPreview, wrong string) view.BulkPage {
	n := len(preview.Items)
	attempts := strconv.Itoa(n) + " attempts"
	if n == 1 {
		attempts = "1 attempt"
	}
	p.Headline, p.Confirm, p.Variant = "Replay "+attempts+"?", "Replay "+attempts, "primary"
	p.Text = "Frozen as preview " + preview.Digest[:12] + ": exactly these are replayed, each decided by itself at the moment you confirm, until " +
		view.Clock(preview.Until) + " UTC. Attempts that came since are not in it."
	p.Action = view.AttemptReplayHref + "/" + preview.ID.String() + "/confirm"
	p.Fields = []view.Field{{Name: "digest", Value: preview.Digest}, {Name: "back", Value: p.Back}}
	if n > bulkTyped {
		p.Type, p.Error = n, wrong
	}
	return p
}

// replayAgain shows a preview once more, with the same frozen attempts.
func (s *Server) replayAgain(r request, preview projections.ReplayPreview, wrong string) (answer, error) {
	lines, err := s.replayLines(r, preview.Items)
	if err != nil {
		return answer{}, err
	}
	done, err := s.doneSince(r, preview.Items)
	if err != nil {
		return answer{}, err
	}
	p := view.BulkPage{Now: time.Now().UTC(), Noun: "attempt", Column: "What will happen", Back: back(r, "/admin/attempts")}
	taken := map[int64]string{}
	for _, item := range preview.Items {
		row := replayRow{id: item.Attempt}
		if row.line, row.found = lines[item.Attempt]; row.found {
			row.result, row.err = s.Commands.ForecastReplay(r.Context(), s.replayOf(r, preview.ID, item))
		}
		out, _, err := s.forecastReplay(r, row, done, taken)
		if err != nil {
			return answer{}, err
		}
		p.Rows = append(p.Rows, out)
	}
	p.Sums = view.CountBadges(p.Rows)
	return bulkAnswer(confirmable(p, preview, wrong), http.StatusUnprocessableEntity), nil
}
