package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
)

// Reader answers the questions of pages. Every method shows an actor what it may see and nothing of anything else: rows of other
// workspaces and hidden tenants are neither returned nor counted.
type Reader struct{ pool querier }

// NewReader makes a reader that sees every workspace and relies on its queries' filters, for tools and tests. The console's is
// NewConsoleReader.
func NewReader(pool *pgxpool.Pool) Reader { return Reader{pool} }

// Match is one condition of a filter: any of the values, or with Not none of them.
type Match struct {
	Values []string
	Not    bool
}

// RunFilter selects runs. Zero values select everything.
type RunFilter struct {
	Tenant     uuid.UUID // one tenant, uuid.Nil for all
	Numbers    []int64   // these runs only; nil for all
	Status     []Match   // execution status
	Outcome    []Match
	Operation  []Match
	TenantName []Match // part of the tenant's name or domain, or its directory id
	Connection []Match // number
	Initiator  []Match // person id, or "me" resolved by the caller
	Trigger    []Match
	Reason     []Match
	Attention  bool // failed, partly succeeded, or with unknown items
	Active     bool // not completed
	Waiting    bool // waiting for the provider or an approval
	From, To   time.Time
	Text       string // run number, or part of operation, tenant or summary
	Limit      int    // 1 to 200, default 50
	Oldest     bool   // oldest first
	After      Cursor // further down the list than: older, or newer with Oldest
	Before     Cursor // further up the list than
}

// Cursor is a place in a list that is ordered by time and number.
type Cursor struct {
	At     time.Time
	Number int64
}

// IsZero says whether the cursor names no place.
func (c Cursor) IsZero() bool { return c.Number == 0 }

// String is the cursor as it stands in links.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	return strconv.FormatInt(c.At.UnixMicro(), 36) + "-" + strconv.FormatInt(c.Number, 36)
}

// ParseCursor reads what String wrote; false for anything else.
func ParseCursor(s string) (Cursor, bool) {
	at, number, ok := strings.Cut(s, "-")
	micros, err1 := strconv.ParseInt(at, 36, 64)
	n, err2 := strconv.ParseInt(number, 36, 64)
	c := Cursor{time.UnixMicro(micros).UTC(), n}
	if !ok || err1 != nil || err2 != nil || n <= 0 || c.At.Year() < 1 || c.At.Year() > 9999 { // which a timestamp can hold
		return Cursor{}, false
	}
	return c, true
}

// RunLine is a run in a list, with the names that go with it.
type RunLine struct {
	Run
	TenantName      string
	TenantExternal  uuid.UUID
	ConnectionLabel string
	InitiatorName   string
}

// Cursor is the line's place in the list.
func (l RunLine) Cursor() Cursor { return Cursor{l.AcceptedAt, l.Number} }

const runColumns = `r.run, r.number, r.workspace, r.tenant, r.connection, r.operation, r.identity, r.strict, r.attempt, r.surface, r.trigger,
	r.initiator_kind, r.initiator_id, r.inputs, r.facts, r.execution_status, r.outcome, r.reason, r.summary, r.diagnostics, r.accepted_at,
	r.started_at, r.ended_at, r.scope_released_at, r.try, r.token, r.worker, r.step, r.done, r.total, r.waiting_until, r.waiting_for,
	r.confirmed, r.refused, r.unknown, r.cancel_requested_at, r.cancel_requested_by, r.items, r.position, r.parked`

const runNames = `t.name, t.external_id, coalesce(c.display_name, ''), coalesce(p.display_name, '')`

const runJoins = ` join tenants t on t.tenant = r.tenant
	left join provider_connections c on c.number = r.connection
	left join colleagues p on p.id = r.initiator_id `

// query collects conditions with their arguments.
type query struct {
	where []string
	args  []any
}

func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

func (q *query) and(condition string) { q.where = append(q.where, condition) }

func (q *query) match(column string, matches []Match) {
	for _, m := range matches {
		condition := `coalesce(` + column + `::text, '') = any(` + q.arg(m.Values) + `::text[])`
		if m.Not {
			condition = `not ` + condition
		}
		q.and(condition)
	}
}

// matchID is match for a column of ids.
func (q *query) matchID(column string, matches []Match) {
	for _, m := range matches {
		q.match(column, []Match{{Values: lowered(m.Values), Not: m.Not}})
	}
}

// sees limits a table to what an actor may see.
func (q *query) sees(alias string, actor domain.Actor) {
	q.and(alias + `.workspace = ` + q.arg(sight(actor)))
	if actor.Tenants != nil {
		q.and(alias + `.tenant = any(` + q.arg(actor.Tenants) + `::uuid[])`)
	}
}

func (q *query) String() string { return strings.Join(q.where, " and ") }

const needsAttention = `(r.outcome in ('failed', 'partially_succeeded') or r.unknown > 0)`

func (f RunFilter) conditions(actor domain.Actor) *query {
	q := &query{}
	q.sees("r", actor)
	if f.Tenant != uuid.Nil {
		q.and(`r.tenant = ` + q.arg(f.Tenant))
	}
	if f.Numbers != nil {
		q.and(`r.number = any(` + q.arg(f.Numbers) + `::bigint[])`)
	}
	q.match("r.execution_status", f.Status)
	q.match("r.outcome", f.Outcome)
	q.match("r.operation", f.Operation)
	q.match("r.connection", f.Connection)
	q.matchID("r.initiator_id", f.Initiator)
	q.match("r.trigger", f.Trigger)
	q.match("r.reason", f.Reason)
	for _, m := range f.TenantName {
		q.oneOf(m, tenantIs(q, "t", m.Values))
	}
	if f.Attention {
		q.and(needsAttention)
	}
	if f.Active {
		q.and(`r.ended_at is null`)
	}
	if f.Waiting {
		q.and(`r.ended_at is null and r.waiting_until is not null`)
	}
	if !f.From.IsZero() {
		q.and(`r.accepted_at >= ` + q.arg(f.From))
	}
	if !f.To.IsZero() {
		q.and(`r.accepted_at < ` + q.arg(f.To))
	}
	if f.Text != "" {
		pattern := q.arg("%" + escapeLike(strings.ToLower(f.Text)) + "%")
		q.and(`(r.number::text = ` + q.arg(strings.TrimPrefix(f.Text, "#")) + ` or lower(r.operation) like ` + pattern +
			` or lower(t.name) like ` + pattern + ` or lower(r.summary) like ` + pattern + `)`)
	}
	return q
}

// tenantIs is the condition for any of the tenants, each told by part of its name or domain, or by its directory id.
func tenantIs(q *query, alias string, values []string) string {
	like := ` like any(` + q.arg(patterns(values)) + `::text[])`
	return `(lower(` + alias + `.name)` + like + ` or lower(` + alias + `.domain)` + like + ` or ` + alias + `.external_id::text = any(` + q.arg(lowered(values)) + `::text[]))`
}

// lowered is for ids, which people write in either case.
func lowered(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.ToLower(v)
	}
	return out
}

func patterns(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = "%" + escapeLike(strings.ToLower(v)) + "%"
	}
	return out
}

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// ListRuns reads a page of runs, newest first unless the filter says otherwise, and whether there are some above and below it.
func (r Reader) ListRuns(ctx context.Context, actor domain.Actor, f RunFilter) (lines []RunLine, above, below bool, err error) {
	if f.Limit <= 0 || f.Limit > 200 {
		f.Limit = 50
	}
	q := f.conditions(actor)
	down, up := `desc`, `asc`
	further, nearer := `<`, `>`
	if f.Oldest {
		down, up, further, nearer = up, down, nearer, further
	}
	order := down
	switch {
	case !f.Before.IsZero():
		q.and(`(r.accepted_at, r.number) ` + nearer + ` (` + q.arg(f.Before.At) + `, ` + q.arg(f.Before.Number) + `)`)
		order = up
	case !f.After.IsZero():
		q.and(`(r.accepted_at, r.number) ` + further + ` (` + q.arg(f.After.At) + `, ` + q.arg(f.After.Number) + `)`)
	}
	rows, err := r.pool.Query(ctx, `select `+runColumns+`, `+runNames+` from runs r`+runJoins+` where `+q.String()+
		` order by r.accepted_at `+order+`, r.number `+order+` limit `+q.arg(f.Limit+1), q.args...)
	if err != nil {
		return nil, false, false, fmt.Errorf("list runs: %w", err)
	}
	if lines, err = collect[RunLine](rows, "list runs"); err != nil {
		return nil, false, false, err
	}
	more := len(lines) > f.Limit
	lines = lines[:min(len(lines), f.Limit)]
	if !f.Before.IsZero() {
		slices.Reverse(lines)
		return lines, more, true, nil
	}
	return lines, !f.After.IsZero(), more, nil
}

// MatchingRuns reads the numbers of all runs of a filter, wherever its page begins, newest first, at most limit.
func (r Reader) MatchingRuns(ctx context.Context, actor domain.Actor, f RunFilter, limit int) ([]int64, error) {
	q := f.conditions(actor)
	rows, err := r.pool.Query(ctx, `select r.number from runs r join tenants t on t.tenant = r.tenant where `+q.String()+
		` order by r.accepted_at desc, r.number desc limit `+q.arg(limit), q.args...)
	if err != nil {
		return nil, fmt.Errorf("read matching runs: %w", err)
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("read matching runs: %w", err)
	}
	return numbers, nil
}

// RunByNumber reads a run that an actor sees; ErrNoRow otherwise.
func (r Reader) RunByNumber(ctx context.Context, actor domain.Actor, number int64) (RunLine, error) {
	q := &query{}
	q.sees("r", actor)
	q.and(`r.number = ` + q.arg(number))
	rows, err := r.pool.Query(ctx, `select `+runColumns+`, `+runNames+` from runs r`+runJoins+` where `+q.String(), q.args...)
	return one[RunLine](rows, err, "read run")
}

// Counts are the counters above the operations list.
type Counts struct {
	All, Running, Queued, Attention, Succeeded, Mine, Scheduled, Waiting int
	BlockedStarts, BusyStarts                                            int
}

// CountRuns counts what an actor sees in a range, of one tenant or (uuid.Nil) of all. Active runs count whenever they began.
func (r Reader) CountRuns(ctx context.Context, actor domain.Actor, tenant uuid.UUID, from time.Time) (Counts, error) {
	runs, attempts := &query{}, &query{}
	runs.sees("r", actor)
	since := runs.arg(from)
	me := runs.arg(actor.Ref.ID)
	runs.and(`(r.accepted_at >= ` + since + ` or r.ended_at is null)`)
	attempts.sees("a", actor)
	attempts.and(`a.at >= ` + attempts.arg(from))
	if tenant != uuid.Nil {
		runs.and(`r.tenant = ` + runs.arg(tenant))
		attempts.and(`a.tenant = ` + attempts.arg(tenant))
	}
	var c Counts
	err := r.pool.QueryRow(ctx, `select count(*) filter (where accepted_at >= `+since+`),
		count(*) filter (where execution_status in ('running', 'waiting_external_approval')), count(*) filter (where execution_status = 'queued'),
		count(*) filter (where outcome in ('failed', 'partially_succeeded') or unknown > 0), count(*) filter (where outcome = 'succeeded'),
		count(*) filter (where initiator_id = `+me+`), count(*) filter (where trigger = 'schedule'),
		count(*) filter (where ended_at is null and waiting_until is not null)
		from runs r where `+runs.String(), runs.args...).
		Scan(&c.All, &c.Running, &c.Queued, &c.Attention, &c.Succeeded, &c.Mine, &c.Scheduled, &c.Waiting)
	if err != nil {
		return c, fmt.Errorf("count runs: %w", err)
	}
	err = r.pool.QueryRow(ctx, `select count(*) filter (where outcome = 'blocked'), count(*) filter (where outcome = 'scope_busy')
		from attempts a where `+attempts.String(), attempts.args...).Scan(&c.BlockedStarts, &c.BusyStarts)
	if err != nil {
		return c, fmt.Errorf("count attempts: %w", err)
	}
	return c, nil
}

// longestRun is how far before a window a run that ended in it is looked for; one that has not ended is found whenever it began.
const longestRun = 24 * time.Hour

// RunsBetween reads the runs that held a scope in a window, and RefusalsBetween the attempts that were refused: the swimlanes.
func (r Reader) RunsBetween(ctx context.Context, actor domain.Actor, tenant uuid.UUID, from, to time.Time) ([]RunLine, error) {
	f := RunFilter{Tenant: tenant, To: to}
	q := f.conditions(actor)
	q.and(`(r.ended_at is null or (r.accepted_at >= ` + q.arg(from.Add(-longestRun)) + ` and r.ended_at >= ` + q.arg(from) + `))`)
	rows, err := r.pool.Query(ctx, `select `+runColumns+`, `+runNames+` from runs r`+runJoins+` where `+q.String()+
		` order by r.accepted_at desc limit 500`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read runs of a window: %w", err)
	}
	return collect[RunLine](rows, "read runs of a window")
}

// Refusal is a start attempt that was refused on a connection.
type Refusal struct {
	Connection      int64
	ConnectionLabel string
	TenantName      string
	Operation       domain.OperationType
	Outcome         domain.Outcome
	At              time.Time
	Run             *int64
}

// RefusalsBetween reads the attempts that a connection refused in a window.
func (r Reader) RefusalsBetween(ctx context.Context, actor domain.Actor, tenant uuid.UUID, from, to time.Time) ([]Refusal, error) {
	q := &query{}
	q.sees("a", actor)
	q.and(`a.outcome in ('blocked', 'scope_busy') and a.connection is not null and a.at >= ` + q.arg(from) + ` and a.at < ` + q.arg(to))
	if tenant != uuid.Nil {
		q.and(`a.tenant = ` + q.arg(tenant))
	}
	rows, err := r.pool.Query(ctx, `select a.connection, c.display_name, t.name, a.operation, a.outcome, a.at, a.run_number
		from attempts a join provider_connections c on c.number = a.connection join tenants t on t.tenant = a.tenant
		where `+q.String()+` order by a.at desc limit 300`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read refusals: %w", err)
	}
	return collect[Refusal](rows, "read refusals")
}

// HourCount is how many runs that were accepted in an hour ended in which way.
type HourCount struct {
	Hour                                         time.Time
	Succeeded, Partial, Failed, Blocked, Stopped int
}

// HoursSince counts ended runs by the hour of their acceptance, from an instant on.
func (r Reader) HoursSince(ctx context.Context, actor domain.Actor, tenant uuid.UUID, from time.Time) ([]HourCount, error) {
	f := RunFilter{Tenant: tenant, From: from}
	q := f.conditions(actor)
	rows, err := r.pool.Query(ctx, `select date_trunc('hour', r.accepted_at) as h, count(*) filter (where outcome = 'succeeded'),
		count(*) filter (where outcome = 'partially_succeeded'), count(*) filter (where outcome = 'failed'),
		count(*) filter (where outcome = 'blocked'), count(*) filter (where outcome = 'cancelled')
		from runs r where `+q.String()+` group by h order by h`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("count hours: %w", err)
	}
	return collect[HourCount](rows, "count hours")
}

// Typical is how long an operation usually takes on a tenant: the middle of its last 20 ended runs. Zero when unknown.
type Typical struct{ From, To time.Duration }

// Usually reads how long an operation usually takes on a tenant.
func (r Reader) Usually(ctx context.Context, tenant uuid.UUID, op domain.OperationType) (Typical, error) {
	var low, high *float64
	err := r.pool.QueryRow(ctx, `select percentile_cont(0.1) within group (order by s), percentile_cont(0.9) within group (order by s) from (
		select extract(epoch from ended_at - started_at)::float8 as s from runs
		where tenant = $1 and operation = $2 and outcome in ('succeeded', 'partially_succeeded') and started_at is not null
		order by accepted_at desc limit 20) l`, tenant, op).Scan(&low, &high)
	if err != nil {
		return Typical{}, fmt.Errorf("read usual duration: %w", err)
	}
	if low == nil {
		return Typical{}, nil
	}
	return Typical{seconds(*low), seconds(*high)}, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// LastRun is when an operation last ran on a tenant, and how it ended.
type LastRun struct {
	Operation domain.OperationType
	At        time.Time
	Outcome   *domain.RunOutcome
}

// LastRuns reads the last run of each operation of the catalogue on a tenant.
func (r Reader) LastRuns(ctx context.Context, tenant uuid.UUID) ([]LastRun, error) {
	var operations []string
	for _, o := range domain.Catalogue() {
		operations = append(operations, string(o.Type))
	}
	rows, err := r.pool.Query(ctx, `select o.operation, l.accepted_at, l.outcome from unnest($2::text[]) o (operation) cross join lateral (
			select accepted_at, outcome from runs where tenant = $1 and operation = o.operation order by accepted_at desc, number desc limit 1
		) l`, tenant, operations)
	if err != nil {
		return nil, fmt.Errorf("read last runs: %w", err)
	}
	return collect[LastRun](rows, "read last runs")
}

// TimelineEvent is an event of a run's story with its place in the log.
type TimelineEvent struct {
	Position int64
	At       time.Time
	Name     string
	Payload  []byte
	Actor    string // name of the person, empty for the system
}

// scopeEvents is how many events of the connection after a run's admission are searched for those of its scope: a connection's stream
// grows with every run, so all of it would be too much.
const scopeEvents = 100

// Timeline reads a run's events, and those by which it took and released the scope, in log order: at most the newest 200.
func (r Reader) Timeline(ctx context.Context, run Run) ([]TimelineEvent, error) {
	rows, err := r.pool.Query(ctx, `select * from (
			select l.position, e.recorded_at, e.name, e.payload, coalesce(p.display_name, '')
			from events e join log l using (seq) left join colleagues p on p.id::text = e.meta #>> '{actor,id}'
			where e.stream = $1 or (e.stream = $2 and e.version > $4 and e.version <= $4 + $5 and e.name in ('ScopeAcquired', 'ScopeReleased')
				and e.payload ->> 'run' = $3)
			order by l.position desc limit 200
		) newest order by position`,
		run.ID, domain.ConnectionStream(run.Connection), run.ID.String(), run.Facts.ConnectionVersion, scopeEvents)
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	return collect[TimelineEvent](rows, "read timeline")
}

// Joined is an attempt that was answered with a run: deduped onto it, or kept waiting by it.
type Joined struct {
	Attempt   uuid.UUID
	Operation domain.OperationType
	Outcome   domain.Outcome
	At        time.Time
	Name      string
}

// JoinedTo reads the attempts that met a run, newest first.
func (r Reader) JoinedTo(ctx context.Context, run uuid.UUID) ([]Joined, error) {
	rows, err := r.pool.Query(ctx, `select a.attempt, a.operation, a.outcome, a.at, coalesce(p.display_name, 'TenantPilot')
		from attempts a left join colleagues p on p.id = a.initiator_id where a.run = $1 and a.outcome <> 'accepted' order by a.at desc limit 20`, run)
	if err != nil {
		return nil, fmt.Errorf("read joined attempts: %w", err)
	}
	return collect[Joined](rows, "read joined attempts")
}

// Lease is who works on a run.
type Lease struct {
	Worker      string
	HeartbeatAt time.Time
	Lost        bool // the heartbeat stopped; by the database's clock
}

// LeaseOf reads a run's lease; ErrNoRow when nobody holds one.
func (r Reader) LeaseOf(ctx context.Context, run uuid.UUID) (Lease, error) {
	rows, err := r.pool.Query(ctx, `select worker, heartbeat_at, expires_at < clock_timestamp() from work_leases where run = $1`, run)
	return one[Lease](rows, err, "read lease")
}

// PersonName is a person's display name, empty for anybody else.
func (r Reader) PersonName(ctx context.Context, id uuid.UUID) (string, error) {
	rows, err := r.pool.Query(ctx, `select display_name from colleagues where id = $1`, id)
	type named struct{ Name string }
	n, err := one[named](rows, err, "read person")
	if errors.Is(err, ErrNoRow) {
		return "", nil
	}
	return n.Name, err
}

// TenantRuns is what a tenant's runs say of it in a list.
type TenantRuns struct {
	Tenant    uuid.UUID
	LastSync  *time.Time // when the last sync that succeeded ended
	Attention int        // runs of the range that need attention
}

// TenantRuns reads of each tenant that an actor sees when it was last synchronized, and how many runs since from need attention.
func (r Reader) TenantRuns(ctx context.Context, actor domain.Actor, from time.Time) ([]TenantRuns, error) {
	q := &query{}
	q.sees("t", actor)
	rows, err := r.pool.Query(ctx, `select t.tenant, (select r.ended_at from runs r where r.tenant = t.tenant and r.outcome = 'succeeded' and r.operation like '%.sync'
				order by r.accepted_at desc, r.number desc limit 1),
			(select count(*) from runs r where r.tenant = t.tenant and r.accepted_at >= `+q.arg(from)+` and `+needsAttention+`)
		from tenants t where `+q.String(), q.args...)
	if err != nil {
		return nil, fmt.Errorf("read runs of tenants: %w", err)
	}
	return collect[TenantRuns](rows, "read runs of tenants")
}

// Tenants reads the tenants that an actor sees.
func (r Reader) Tenants(ctx context.Context, actor domain.Actor) ([]Tenant, error) {
	return ListTenants(ctx, r.pool, actor)
}

// Tenant reads a tenant by its directory id; ErrNoRow when the actor does not see one.
func (r Reader) Tenant(ctx context.Context, actor domain.Actor, external uuid.UUID) (Tenant, error) {
	return TenantByExternalID(ctx, r.pool, actor, external)
}

// TenantByID reads a tenant by its stream; ErrNoRow when the actor does not see one.
func (r Reader) TenantByID(ctx context.Context, actor domain.Actor, id uuid.UUID) (Tenant, error) {
	rows, err := r.pool.Query(ctx, `select `+tenantColumns+` from tenants
		where workspace = $1 and tenant = $2 and ($3::uuid[] is null or tenant = any($3))`, sight(actor), id, actor.Tenants)
	return one[Tenant](rows, err, "read tenant")
}

// Connections reads the connections that an actor sees, of one tenant or (uuid.Nil) of all.
func (r Reader) Connections(ctx context.Context, actor domain.Actor, tenant uuid.UUID) ([]Connection, error) {
	return ListConnections(ctx, r.pool, actor, tenant)
}

// Connection reads a connection by its number; ErrNoRow when the actor does not see one.
func (r Reader) Connection(ctx context.Context, actor domain.Actor, number int64) (Connection, error) {
	return ConnectionByNumber(ctx, r.pool, actor, number)
}

// Notifications reads the actor's newest notifications.
func (r Reader) Notifications(ctx context.Context, actor domain.Actor, limit int) ([]Notification, error) {
	return ListNotifications(ctx, r.pool, actor, limit)
}

// Unread counts the actor's unread notifications, at most 100.
func (r Reader) Unread(ctx context.Context, actor domain.Actor) (int, error) {
	return UnreadNotifications(ctx, r.pool, actor)
}

// MarkRead marks the actor's notifications as read.
func (r Reader) MarkRead(ctx context.Context, actor domain.Actor) error {
	return ReadNotifications(ctx, r.pool, actor)
}

// DirectoryOf reads what is cached of a tenant's directory.
func (r Reader) DirectoryOf(ctx context.Context, tenant uuid.UUID) ([]CacheEntry, error) {
	return DirectoryCache(ctx, r.pool, tenant)
}

// AwaitRuns waits until the runs read model has an append, at most for d.
func (r Reader) AwaitRuns(ctx context.Context, seq int64, d time.Duration) (bool, error) {
	return Await(ctx, r.pool, seq, d, Runs{})
}

// AwaitConnections waits until the connections, tenants and runs read models have an append, at most for d.
func (r Reader) AwaitConnections(ctx context.Context, seq int64, d time.Duration) (bool, error) {
	return Await(ctx, r.pool, seq, d, Connections{}, Tenants{}, Runs{})
}

// Lag is how many events the runs read model is behind, those that have no position yet included, and since when its state is.
func (r Reader) Lag(ctx context.Context) (behind int64, asOf time.Time, err error) {
	err = r.pool.QueryRow(ctx, `select greatest(0, s.head - c.position) + (select coalesce(sum(cardinality(seqs)), 0) from pending),
			coalesce((select e.recorded_at from log l join events e using (seq) where l.position = c.position), now())
		from checkpoints c, sequencer s where c.projection = $1`, Runs{}.Name()).Scan(&behind, &asOf)
	if err != nil {
		return 0, asOf, fmt.Errorf("read lag: %w", err)
	}
	return behind, asOf, nil
}

// Change is one event of a stream with who caused it.
type Change struct {
	Position int64
	At       time.Time
	Name     string
	Payload  []byte
	Actor    string // empty for the system itself
	Subject  string // name of the person it is about; empty where there is none, or none whose name is known
}

// subject is the name of the person that event e is about, joined as s.
const (
	subjectColumn = `coalesce(nullif(s.display_name, 'erased'), '')`
	subjectJoin   = ` left join colleagues s on s.id = (case e.name when 'TokenIssued' then e.payload ->> 'owner' else e.payload ->> 'person' end)::uuid `
)

// Changes reads the newest events of a stream in the actor's workspace, the newest first.
func (r Reader) Changes(ctx context.Context, actor domain.Actor, stream uuid.UUID, limit int) ([]Change, error) {
	rows, err := r.pool.Query(ctx, `select l.position, e.recorded_at, e.name, e.payload, coalesce(p.display_name, ''), `+subjectColumn+`
		from events e join log l using (seq) left join colleagues p on p.id::text = e.meta #>> '{actor,id}' `+subjectJoin+`
		where e.stream = $1 and e.workspace = $2 order by e.version desc limit $3`, stream, sight(actor), limit)
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	return collect[Change](rows, "read changes")
}

// AwaitNow waits, at most so long, until every projection has what is in the log at this moment: for showing people their own change.
func (r Reader) AwaitNow(ctx context.Context, d time.Duration) error {
	newest, err := newestSeq(ctx, r.pool)
	if err != nil {
		return err
	}
	_, err = Await(ctx, r.pool, newest, d, All()...)
	return err
}
