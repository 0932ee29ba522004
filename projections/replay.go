package projections

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Object is something that has a past: what a stream is about.
type Object struct {
	Kind      string
	Number    int64 // 0 for those that have none
	Stream    uuid.UUID
	Workspace uuid.UUID
	Tenant    uuid.UUID // zero for those of the workspace
}

// HasState says whether the object's state can be folded from its events, so that it can be replayed and compared.
func (o Object) HasState() bool {
	return o.Kind == ObjectWorkspace || slices.Contains(NumberedKinds(), o.Kind)
}

// Name is the object as ObjectName writes it, or its kind when it has no number.
func (o Object) Name() string {
	if o.Number == 0 {
		return o.Kind
	}
	return ObjectName(o.Kind, o.Number)
}

const objectColumns = `o.kind, coalesce(o.number, 0), o.stream, o.workspace, coalesce(o.tenant, '00000000-0000-0000-0000-000000000000')`

// Object finds an object by its kind and number; ErrNoRow when the actor sees none.
func (r Reader) Object(ctx context.Context, actor domain.Actor, kind string, number int64) (Object, error) {
	q := &query{}
	q.sees("o", actor)
	return r.object(ctx, q, kind, number)
}

// Object finds an object of any workspace; ErrNoRow when there is none.
func (a Auditor) Object(ctx context.Context, kind string, number int64) (Object, error) {
	return a.read.object(ctx, &query{}, kind, number)
}

func (r Reader) object(ctx context.Context, q *query, kind string, number int64) (Object, error) {
	q.and(`o.kind = ` + q.arg(kind) + ` and o.number = ` + q.arg(number))
	rows, err := r.pool.Query(ctx, `select `+objectColumns+` from audit_objects o where `+q.String(), q.args...)
	return one[Object](rows, err, "find object")
}

// ObjectOf finds what a stream is about; ErrNoRow when the actor does not see it.
func (r Reader) ObjectOf(ctx context.Context, actor domain.Actor, stream uuid.UUID) (Object, error) {
	q := &query{}
	q.sees("o", actor)
	q.and(`o.stream = ` + q.arg(stream))
	rows, err := r.pool.Query(ctx, `select `+objectColumns+` from audit_objects o where `+q.String(), q.args...)
	return one[Object](rows, err, "find object")
}

// story is the condition for the events that an object's state is made of: its stream, and for a run also the scope that it took and gave
// back in the connection's.
func (o Object) story(q *query) string {
	stream := q.arg(o.Stream)
	if o.Kind == ObjectRun {
		return `a.run = ` + stream + ` and (a.stream = ` + stream + ` or a.event in ('ScopeAcquired', 'ScopeReleased'))`
	}
	return `a.stream = ` + stream
}

// When names a moment of an object's story: by position in the log, time, or step from 1. The first that is set counts; none is the newest.
type When struct {
	Position int64
	Time     time.Time
	Step     int
}

// Moment is a place in an object's story: after its event number Step of Steps, or before the first when Step is 0.
type Moment struct {
	Step, Steps int
	Position    int64 // of the event at Step, 0 before the first
	At          time.Time
	First, Last int64 // positions
	FirstAt     time.Time
	LastAt      time.Time
	// Positions of the neighbours by one and by ten events, 0 where there are fewer.
	Back, Forward, Back10, Forward10 int64
}

const lastPosition = `9223372036854775807::bigint`

// nearest is a query for columns of the story's newest event up to a position (or, forward, of its oldest from there on), offset events
// further on, among those for which a condition holds. It says the order of the index by stream in full, rather than as a filter and the order
// of positions: for that Postgres may walk the whole log by its primary key until it meets an event of the stream. Positions are to be
// parameters or columns, since row security lets nothing else narrow an index scan.
func (o Object) nearest(q *query, columns, position string, forward bool, offset int, condition string) string {
	compare, stop, order := `<=`, `>=`, ` desc`
	if forward {
		compare, stop, order = `>=`, `<=`, ``
	}
	end := order + ` offset ` + strconv.Itoa(offset) + ` limit 1`
	if o.Kind == ObjectRun { // whose story is short and of two streams: it is counted
		return `select ` + columns + ` from (select a.position, a.at, row_number() over (order by a.position) as version from audit_log a where ` + o.story(q) + `) a
			where a.position ` + compare + ` ` + position + condition + ` order by a.position` + end
	}
	stream := q.arg(o.Stream)
	return `select ` + columns + ` from audit_log a where (a.stream, a.position) ` + compare + ` (` + stream + `, ` + position + `) and a.stream ` + stop + ` ` + stream +
		condition + ` order by a.stream` + order + `, a.position` + end
}

// MomentOf finds a moment in an object's story. A step beyond the ends is the nearest one.
func (r Reader) MomentOf(ctx context.Context, o Object, w When) (Moment, error) {
	q := &query{}
	newest := func(position, condition string) string {
		return o.nearest(q, `a.position`, position, false, 0, condition)
	}
	var here string
	switch {
	case w.Position > 0:
		here = newest(q.arg(w.Position)+`::bigint`, ``)
	case !w.Time.IsZero():
		here = newest(lastPosition, ` and a.at <= `+q.arg(w.Time))
	case w.Step > 0 && o.Kind == ObjectRun:
		here = newest(lastPosition, ` and a.version <= `+q.arg(w.Step))
	case w.Step > 0: // by the index of the events, which are in the log by now if they are in the audit log
		here = `select coalesce((select l.position from events e join log l using (seq) join audit_log b on b.position = l.position
			where e.stream = ` + q.arg(o.Stream) + ` and e.version = ` + q.arg(w.Step) + `), (` + newest(lastPosition, ``) + `))`
	default:
		here = newest(lastPosition, ``)
	}
	neighbour := func(position string, forward bool, offset int) string {
		return `coalesce((` + o.nearest(q, `a.position`, position, forward, offset, ``) + `), 0)`
	}
	const columns = `a.version, a.at, a.position`
	rows, err := r.pool.Query(ctx, `with h as materialized (select coalesce((`+here+`), 0) as p)
		select coalesce(m.version, 0), coalesce(last.version, 0), h.p, coalesce(m.at, 'epoch'), coalesce(first.position, 0), coalesce(last.position, 0),
			coalesce(first.at, 'epoch'), coalesce(last.at, 'epoch'),
			`+neighbour(`h.p - 1`, false, 0)+`, `+neighbour(`h.p + 1`, true, 0)+`, `+neighbour(`h.p - 1`, false, 9)+`, `+neighbour(`h.p + 1`, true, 9)+`
		from h left join lateral (`+o.nearest(q, columns, `h.p`, false, 0, ``)+`) m on true
			left join lateral (`+o.nearest(q, columns, `0::bigint`, true, 0, ``)+`) first on true
			left join lateral (`+o.nearest(q, columns, lastPosition, false, 0, ``)+`) last on true`, q.args...)
	m, err := one[Moment](rows, err, "find moment")
	if err == nil && m.Back10 == 0 && m.Step > 1 {
		m.Back10 = m.First
	}
	if err == nil && m.Forward10 == 0 && m.Step < m.Steps {
		m.Forward10 = m.Last
	}
	m.At, m.FirstAt, m.LastAt = m.At.UTC(), m.FirstAt.UTC(), m.LastAt.UTC()
	return m, err
}

// MomentOf is Reader.MomentOf for objects of any workspace.
func (a Auditor) MomentOf(ctx context.Context, o Object, w When) (Moment, error) {
	return a.read.MomentOf(ctx, o, w)
}

// Tick is an event on the time machine's slider.
type Tick struct {
	Step  int
	Event string
	At    time.Time
}

// Ticks reads the story's events for a slider, at most about n of them, evenly spaced.
func (r Reader) Ticks(ctx context.Context, o Object, m Moment, n int) ([]Tick, error) {
	apart := max(1, (m.Steps+n-1)/n)
	var steps []int
	for step := 1; step <= m.Steps; step += apart {
		steps = append(steps, step)
	}
	q := &query{}
	from := `(select e.version as step, e.name, e.recorded_at from events e where e.stream = ` + q.arg(o.Stream) + `) s`
	if o.Kind == ObjectRun {
		q = &query{}
		from = `(select row_number() over (order by a.position) as step, a.event, a.at from audit_log a where ` + o.story(q) + `) s`
	}
	rows, err := r.pool.Query(ctx, `select * from `+from+` where step = any(`+q.arg(steps)+`) order by step`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read ticks: %w", err)
	}
	return collect[Tick](rows, "read ticks")
}

// Density counts the story's events in n equal lengths of its time.
func (r Reader) Density(ctx context.Context, o Object, m Moment, n int) ([]int, error) {
	counts := make([]int, n)
	if m.Steps == 0 || !m.LastAt.After(m.FirstAt) {
		return counts, nil
	}
	q := &query{}
	story := o.story(q)
	rows, err := r.pool.Query(ctx, `select least(`+q.arg(n)+`::int - 1, floor(extract(epoch from a.at - `+q.arg(m.FirstAt)+`::timestamptz) / `+
		q.arg(m.LastAt.Sub(m.FirstAt).Seconds())+`::float8 * `+q.arg(n)+`::int)::int), count(*) from audit_log a where `+story+` group by 1`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("count density: %w", err)
	}
	var at, count int
	_, err = pgx.ForEachRow(rows, []any{&at, &count}, func() error {
		counts[min(max(at, 0), n-1)] += count
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count density: %w", err)
	}
	return counts, nil
}

// State is an object as it was: the row that its live page is made from, of its kind the only one that is set, or none before it existed.
type State struct {
	Connection *Connection
	Tenant     *Tenant
	Run        *Run
	Workspace  *domain.Workspace
	Onboarding *Onboarding

	// Unread is the event at which folding ended because this program cannot read it: the state is the one before it, and nothing that came
	// after is in it. Nil: all events are in it.
	Unread *Unread
}

// Unread is a stored event that this program cannot decode.
type Unread struct {
	Event string // its stored name
	At    time.Time
}

// Exists says whether the object was there.
func (s State) Exists() bool {
	return s.Connection != nil || s.Tenant != nil || s.Run != nil || s.Workspace != nil || s.Onboarding != nil
}

// Value is the row that is set, nil before the object existed.
func (s State) Value() any {
	switch {
	case s.Connection != nil:
		return s.Connection
	case s.Tenant != nil:
		return s.Tenant
	case s.Run != nil:
		return s.Run
	case s.Workspace != nil:
		return s.Workspace
	case s.Onboarding != nil:
		return s.Onboarding
	}
	return nil
}

// take folds one more event into the state, by the same functions that make the live rows.
func (s *State) take(kind string, e Event, by uuid.UUID) {
	switch kind {
	case ObjectConnection:
		s.Connection = folded(s.Connection, e, connectionRow)
	case ObjectTenant:
		s.Tenant = folded(s.Tenant, e, tenantRow)
	case ObjectRun:
		if _, counts := runKey(e); counts {
			s.Run = folded(s.Run, e, runRow)
		}
	case ObjectWorkspace:
		if s.Workspace == nil {
			s.Workspace = &domain.Workspace{}
		}
		*s.Workspace = s.Workspace.Evolve(e.Data)
	case ObjectOnboarding:
		s.Onboarding = folded(s.Onboarding, e, func(row *Onboarding, e Event) *Onboarding { return onboardingRow(row, e, by) })
	}
}

func folded[R any](row *R, e Event, fold func(*R, Event) *R) *R {
	if next := fold(row, e); next != nil {
		return next
	}
	return row
}

// standAt says in the row which event of the log is the last in it; a run's has events that leave it as it was.
func (s *State) standAt(position int64) {
	switch {
	case s.Connection != nil:
		s.Connection.Position = position
	case s.Tenant != nil:
		s.Tenant.Position = position
	case s.Onboarding != nil:
		s.Onboarding.Position = position
	}
}

// copied is the state as it is now, whatever is folded into it later. What rows share, no fold writes to.
func (s State) copied() State {
	return State{copyOf(s.Connection), copyOf(s.Tenant), copyOf(s.Run), copyOf(s.Workspace), copyOf(s.Onboarding), s.Unread}
}

func copyOf[R any](row *R) *R {
	if row == nil {
		return nil
	}
	c := *row
	return &c
}

// StatesAt folds an object's state as it was at some positions of the log, each one the state after the event there. The states come in the
// order of the positions. What it costs is the object's own events up to the last position, whatever else is in the log. An event that cannot be
// read is no error: it is in State.Unread.
func (r Reader) StatesAt(ctx context.Context, o Object, positions ...int64) ([]State, error) {
	marks, err := r.marksOf(ctx, o, positions)
	if err != nil {
		return nil, err
	}
	rows, err := r.readStory(ctx, o, slices.MaxFunc(marks, func(a, b mark) int { return cmp.Compare(a.ordinal, b.ordinal) }).ordinal)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	states, known, state := make([]State, len(marks)), make([]bool, len(marks)), State{}
	remember := func(before int64) {
		for i, m := range marks {
			if m.ordinal < before && !known[i] {
				states[i], known[i] = state.copied(), true
				states[i].standAt(m.position)
			}
		}
	}
	for rows.Next() {
		var e Event
		var by uuid.UUID
		if err := rows.Scan(&e.Position, &e.Version, &e.RecordedAt, &e.Name, &e.Workspace, &e.Payload, &e.Stream, &by); err != nil {
			return nil, fmt.Errorf("read story: %w", err)
		}
		e.RecordedAt = e.RecordedAt.UTC()
		remember(e.Position)
		if e.Data, err = domain.Decode(e.Name, e.Payload); err != nil {
			state.Unread = &Unread{Event: e.Name, At: e.RecordedAt}
			break
		}
		state.take(o.Kind, e, by)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read story: %w", err)
	}
	remember(math.MaxInt64)
	return states, nil
}

// mark is the event of a story that is at a position or was the last before it. Its ordinal orders the story: within one stream it is the
// version, so that a long stream is read by its own index and without the log; else it is the position.
type mark struct{ position, ordinal int64 }

func (r Reader) marksOf(ctx context.Context, o Object, positions []int64) ([]mark, error) {
	q := &query{}
	columns := `a.position, a.version::bigint as ordinal`
	if o.Kind == ObjectRun {
		columns = `a.position, a.position as ordinal`
	}
	rows, err := r.pool.Query(ctx, `select coalesce(m.position, 0), coalesce(m.ordinal, 0) from unnest(`+q.arg(positions)+`::bigint[]) with ordinality p (position, n)
		left join lateral (`+o.nearest(q, columns, `p.position`, false, 0, ``)+`) m on true order by p.n`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("find the story's events: %w", err)
	}
	marks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m mark, err error) { return m, row.Scan(&m.position, &m.ordinal) })
	if err != nil {
		return nil, fmt.Errorf("find the story's events: %w", err)
	}
	return marks, nil
}

// readStory reads the story's events up to an ordinal, which stands where the position does. Who caused one is read where rows tell it.
func (r Reader) readStory(ctx context.Context, o Object, last int64) (pgx.Rows, error) {
	q := &query{}
	by := `'00000000-0000-0000-0000-000000000000'::uuid`
	if o.Kind == ObjectOnboarding {
		by = `(e.meta #>> '{actor,id}')::uuid`
	}
	text := `select e.version::bigint, e.version, e.recorded_at, e.name, e.workspace, e.payload, e.stream, ` + by + ` from events e
		where e.stream = ` + q.arg(o.Stream) + ` and e.version <= ` + q.arg(last) + ` order by e.version`
	if o.Kind == ObjectRun {
		q = &query{}
		text = `select a.position, a.version, a.at, a.event, a.workspace, e.payload, a.stream, ` + by + `
			from audit_log a join events e on e.stream = a.stream and e.version = a.version
			where ` + o.story(q) + ` and a.position <= ` + q.arg(last) + ` order by a.position`
	}
	rows, err := r.pool.Query(ctx, text, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read story: %w", err)
	}
	return rows, nil
}

// StatesAt is Reader.StatesAt for objects of any workspace.
func (a Auditor) StatesAt(ctx context.Context, o Object, positions ...int64) ([]State, error) {
	return a.read.StatesAt(ctx, o, positions...)
}
