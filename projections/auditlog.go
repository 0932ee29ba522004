package projections

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// AuditFilter selects events of the audit log. Zero values select everything.
type AuditFilter struct {
	Workspace  *uuid.UUID // for an Auditor, who is in none; a Reader's is the actor's
	TenantName []Match    // part of the tenant's name or domain, or its directory id
	Kind       []Match    // of object
	Event      []Match
	Actor      []Match // person id, part of a person's name, or "system"
	Outcome    []Match
	Reason     []Match
	Object     string     // "connection/12": its whole story
	Attempt    *uuid.UUID // with all that followed from it
	From, To   time.Time
	// FirstPosition and LastPosition bound the places in the log, both included; 0 is no bound.
	FirstPosition, LastPosition int64
	Limit                       int   // 1 to 1000, default 50
	Older, Newer                int64 // than this position; 0 begins at the newest
	Forward                     bool  // oldest first, from the oldest on
}

// ObjectName names an object in addresses and on the command line: "connection/12".
func ObjectName(kind string, number int64) string { return kind + "/" + strconv.FormatInt(number, 10) }

// ParseObject reads what ObjectName wrote; false for anything else.
func ParseObject(s string) (kind string, number int64, ok bool) {
	kind, text, _ := strings.Cut(s, "/")
	number, err := strconv.ParseInt(text, 10, 64)
	return kind, number, err == nil && number > 0 && slices.Contains(NumberedKinds(), kind)
}

// AuditLine is an event as the audit log lists it, with the names that go with it.
type AuditLine struct {
	Position       int64
	At             time.Time
	Workspace      uuid.UUID
	Tenant         *uuid.UUID
	Stream         uuid.UUID
	Version        int
	Event          string
	ActorKind      domain.ActorKind
	ActorID        uuid.UUID
	ActorName      string // empty unless it is a person that we know
	ObjectKind     string
	ObjectNumber   *int64
	ObjectName     string // label of a tenant or connection
	Outcome        *string
	Reason         *domain.ReasonCode
	Attempt        *uuid.UUID
	Correlation    *uuid.UUID
	Run            *int64
	TenantName     string
	TenantExternal *uuid.UUID
	ID             uuid.UUID
	Meta           []byte
	Payload        []byte
	Leaf           []byte
	Subject        string // as Change has it
}

// Record is the event's record as it is now, the text that its leaf hash is over.
func (l AuditLine) Record() []byte {
	e := eventstore.Event{
		Stream: l.Stream, Version: l.Version, ID: l.ID, Name: l.Event, Workspace: l.Workspace, RecordedAt: l.At, Meta: l.Meta, Payload: l.Payload,
	}
	if l.Tenant != nil {
		e.Tenant = *l.Tenant
	}
	return e.Record()
}

// Object is the line's object as ObjectName writes it, empty when it has no number.
func (l AuditLine) Object() string {
	if l.ObjectNumber == nil {
		return ""
	}
	return ObjectName(l.ObjectKind, *l.ObjectNumber)
}

const auditColumns = `a.position, a.at, a.workspace, a.tenant, a.stream, a.version, a.event, a.actor_kind, a.actor_id, coalesce(p.display_name, ''),
	a.object_kind, a.object_number, case a.object_kind when 'tenant' then coalesce(t.name, '') when 'connection' then coalesce(c.display_name, '') else '' end,
	a.outcome, a.reason, a.attempt, a.correlation, ro.number, coalesce(t.name, ''), t.external_id, e.id, e.meta, e.payload, e.leaf, ` + subjectColumn

const auditJoins = ` join log l on l.position = a.position join events e on e.seq = l.seq
	left join colleagues p on p.id = a.actor_id
	left join tenants t on t.tenant = a.tenant
	left join provider_connections c on a.object_kind = 'connection' and c.number = a.object_number
	left join audit_objects ro on ro.stream = a.run ` + subjectJoin

func (f AuditFilter) conditions(q *query) *query {
	if f.Workspace != nil {
		q.and(`a.workspace = ` + q.arg(*f.Workspace))
	}
	q.match("a.object_kind", f.Kind)
	q.match("a.event", f.Event)
	q.match("a.outcome", f.Outcome)
	q.match("a.reason", f.Reason)
	for _, m := range f.TenantName {
		q.oneOf(m, `exists (select from tenants x where x.tenant = a.tenant and `+tenantIs(q, "x", m.Values)+`)`)
	}
	for _, m := range f.Actor {
		q.oneOf(m, actorIs(q, m.Values))
	}
	if kind, number, ok := ParseObject(f.Object); ok {
		stream := `(select o.stream from audit_objects o where o.kind = ` + q.arg(kind) + ` and o.number = ` + q.arg(number) + ` limit 1)`
		if kind == ObjectRun {
			q.and(`a.run = ` + stream)
		} else {
			q.and(`a.stream = ` + stream)
		}
	}
	if f.Attempt != nil {
		q.and(`a.attempt = ` + q.arg(*f.Attempt))
	}
	if !f.From.IsZero() {
		q.and(`a.at >= ` + q.arg(f.From))
	}
	if !f.To.IsZero() {
		q.and(`a.at < ` + q.arg(f.To))
	}
	if f.FirstPosition > 0 {
		q.and(`a.position >= ` + q.arg(f.FirstPosition))
	}
	if f.LastPosition > 0 {
		q.and(`a.position <= ` + q.arg(f.LastPosition))
	}
	if len(q.where) == 0 {
		q.and(`true`)
	}
	return q
}

// actorIs is the condition for any of the actors: ids of people alone are looked up by index, which is what facets link to.
func actorIs(q *query, values []string) string {
	ids := make([]uuid.UUID, 0, len(values))
	for _, v := range values {
		if id, err := uuid.Parse(v); err == nil {
			ids = append(ids, id)
		}
	}
	if len(ids) == len(values) {
		return `a.actor_id = any(` + q.arg(ids) + `::uuid[])`
	}
	return `(a.actor_kind = any(` + q.arg(values) + `::text[]) or a.actor_id in (select x.id from colleagues x
		where x.id::text = any(` + q.arg(lowered(values)) + `::text[]) or lower(x.display_name) like any(` + q.arg(patterns(values)) + `::text[])))`
}

func (q *query) oneOf(m Match, condition string) {
	if m.Not {
		condition = `not ` + condition
	}
	q.and(condition)
}

// ListAudit reads a page of the audit log, newest first, and whether there are newer and older events.
func (r Reader) ListAudit(ctx context.Context, actor domain.Actor, f AuditFilter) (lines []AuditLine, newer, older bool, err error) {
	q := &query{}
	q.sees("a", actor)
	return r.listAudit(ctx, q, f)
}

func (r Reader) listAudit(ctx context.Context, q *query, f AuditFilter) (lines []AuditLine, newer, older bool, err error) {
	if f.Limit <= 0 || f.Limit > 1000 {
		f.Limit = 50
	}
	q = f.conditions(q)
	ascending := f.Forward || f.Newer > 0
	if f.Newer > 0 {
		q.and(`a.position > ` + q.arg(f.Newer))
	}
	if f.Older > 0 {
		q.and(`a.position < ` + q.arg(f.Older))
	}
	order := `desc`
	if ascending {
		order = `asc`
	}
	// The page is found in the narrow table first; names and payloads are joined to its rows only.
	rows, err := r.pool.Query(ctx, `select `+auditColumns+` from (select * from audit_log a where `+q.String()+` order by a.position `+order+
		` limit `+q.arg(f.Limit+1)+`) a`+auditJoins+`order by a.position `+order, q.args...)
	if err != nil {
		return nil, false, false, fmt.Errorf("list audit log: %w", err)
	}
	if lines, err = collect[AuditLine](rows, "list audit log"); err != nil {
		return nil, false, false, err
	}
	more := len(lines) > f.Limit
	lines = lines[:min(len(lines), f.Limit)]
	switch {
	case f.Forward:
		return lines, more, false, nil
	case f.Newer > 0:
		slices.Reverse(lines)
		return lines, more, true, nil
	}
	return lines, f.Older > 0, more, nil
}

// AuditEvent reads one event that an actor sees; ErrNoRow otherwise.
func (r Reader) AuditEvent(ctx context.Context, actor domain.Actor, position int64) (AuditLine, error) {
	lines, _, _, err := r.ListAudit(ctx, actor, AuditFilter{FirstPosition: position, LastPosition: position, Limit: 1})
	return first(lines, err)
}

// AuditEventByID finds an event by its id, for links to a cause; ErrNoRow when the actor sees none.
func (r Reader) AuditEventByID(ctx context.Context, actor domain.Actor, attempt, id uuid.UUID) (AuditLine, error) {
	lines, _, _, err := r.ListAudit(ctx, actor, AuditFilter{Attempt: &attempt, Limit: 1000})
	for _, l := range lines {
		if l.ID == id {
			return l, nil
		}
	}
	return first[AuditLine](nil, err)
}

func first[R any](rows []R, err error) (R, error) {
	var zero R
	switch {
	case err != nil:
		return zero, err
	case len(rows) == 0:
		return zero, ErrNoRow
	}
	return rows[0], nil
}

// Facet is how many events have a value in one dimension of the filter.
type Facet struct {
	Dimension string // event, kind, actor, outcome, reason, day; actor and kind
	Value     string // of an actor the id, of a person, else the kind; of actor and kind both, with a space between
	Label     string // a person's name; else empty
	Count     int
}

// FacetLimit is how many events facets are counted in: the newest of the filter.
const FacetLimit = 100_000

// AuditFacets counts the events of a filter by what they can be filtered by, and how many they are, at most FacetLimit.
func (r Reader) AuditFacets(ctx context.Context, actor domain.Actor, f AuditFilter) ([]Facet, int, error) {
	q := &query{}
	q.sees("a", actor)
	q = f.conditions(q)
	rows, err := r.pool.Query(ctx, `with w as materialized (
			select a.event, a.object_kind, a.outcome, a.reason, case a.actor_kind when 'person' then a.actor_id::text else a.actor_kind end as actor,
				to_char(a.at at time zone 'UTC', 'YYYY-MM-DD') as day
			from audit_log a where `+q.String()+` order by a.position desc limit `+q.arg(FacetLimit)+`
		), f (dimension, value, n) as (
			select 'all', '', count(*) from w
			union all select 'event', event, count(*) from w group by event
			union all select 'kind', object_kind, count(*) from w group by object_kind
			union all select 'actor', actor, count(*) from w group by actor
			union all select 'actor and kind', actor || ' ' || object_kind, count(*) from w group by actor, object_kind
			union all select 'outcome', outcome, count(*) from w where outcome is not null group by outcome
			union all select 'reason', reason, count(*) from w where reason is not null group by reason
			union all select 'day', day, count(*) from w group by day
		) select f.dimension, f.value, coalesce(p.display_name, ''), f.n from f left join colleagues p
			on f.dimension like 'actor%' and p.id::text = split_part(f.value, ' ', 1)
		order by f.dimension, f.n desc, f.value`, q.args...)
	if err != nil {
		return nil, 0, fmt.Errorf("count facets: %w", err)
	}
	all, err := collect[Facet](rows, "count facets")
	if err != nil {
		return nil, 0, err
	}
	at := slices.IndexFunc(all, func(f Facet) bool { return f.Dimension == "all" })
	return slices.DeleteFunc(slices.Clone(all), func(f Facet) bool { return f.Dimension == "all" }), all[at].Count, nil
}

// Auditor reads the audit log of every workspace. It is for the command line, where who may connect as the auditor's role may read it all.
type Auditor struct{ read Reader }

// NewAuditor makes an auditor.
func NewAuditor(pool *pgxpool.Pool) Auditor { return Auditor{NewReader(pool)} }

// List reads a page of the log as Reader.ListAudit does, of all workspaces or the filter's.
func (a Auditor) List(ctx context.Context, f AuditFilter) (lines []AuditLine, more bool, err error) {
	lines, newer, older, err := a.read.listAudit(ctx, &query{}, f)
	return lines, newer && f.Forward || older && !f.Forward, err
}

// Head is Reader.Head.
func (a Auditor) Head(ctx context.Context) (int64, error) { return a.read.Head(ctx) }

// Head is the position of the newest event of all workspaces.
func (r Reader) Head(ctx context.Context) (int64, error) {
	var head int64
	if err := r.pool.QueryRow(ctx, `select head from sequencer`).Scan(&head); err != nil {
		return 0, fmt.Errorf("read head: %w", err)
	}
	return head, nil
}

// CatchUp waits until the read models that an Auditor reads have what is in the log at this moment, at most for d. It says how many events they
// lack because they are behind, and how many could not be applied and are set aside.
func (a Auditor) CatchUp(ctx context.Context, d time.Duration) (behind, setAside int, err error) {
	reads := []Projection{Audit{}, Attempts{}}
	newest, err := newestSeq(ctx, a.read.pool)
	if err != nil {
		return 0, 0, err
	}
	there, err := Await(ctx, a.read.pool, newest, d, reads...)
	if err == nil && !there {
		behind, err = a.read.Behind(ctx, reads...)
	}
	if err != nil {
		return behind, 0, err
	}
	setAside, err = a.read.setAside(ctx, &query{}, reads)
	return behind, setAside, err
}

// Behind is how many events that one of the projections lacks which is furthest behind, those that have no position yet included.
func (r Reader) Behind(ctx context.Context, projections ...Projection) (int, error) {
	var behind int
	err := r.pool.QueryRow(ctx, `select greatest(0, s.head - coalesce((select min(position) from checkpoints where projection = any($1)), 0)) +
		(select coalesce(sum(cardinality(seqs)), 0) from pending) from sequencer s`, namesOf(projections)).Scan(&behind)
	if err != nil {
		return 0, fmt.Errorf("read lag: %w", err)
	}
	return behind, nil
}
