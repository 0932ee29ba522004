package projections

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// AttemptFilter selects start attempts. Zero values select everything.
type AttemptFilter struct {
	Outcome    []Match
	Reason     []Match
	Operation  []Match
	TenantName []Match // part of the tenant's name or domain, or its directory id
	Connection []Match // number
	Initiator  []Match // person id
	Trigger    []Match
	Surface    []Match
	Attempts   []uuid.UUID // these only; nil for all
	Open       bool        // blocked or busy, and not replayed yet
	Run        int64       // the run that was opened, joined or waited for
	From, To   time.Time
	Limit      int // 1 to 200, default 50
	After      Cursor
	Before     Cursor
}

// AttemptLine is a start attempt in a list, with the names that go with it. Its receipt is the event at Position.
type AttemptLine struct {
	Attempt         uuid.UUID
	Workspace       uuid.UUID
	Tenant          uuid.UUID
	Connection      *int64
	Operation       domain.OperationType
	Outcome         domain.Outcome
	Reason          *domain.ReasonCode
	Run             *int64
	Surface         string
	Trigger         domain.Trigger
	InitiatorKind   domain.ActorKind
	InitiatorID     uuid.UUID
	Facts           domain.Facts
	At              time.Time
	Position        int64
	TenantName      string
	TenantExternal  uuid.UUID
	ConnectionLabel string
	InitiatorName   string
	Replay          *uuid.UUID // the attempt that it was tried again as
	ReplayOf        *uuid.UUID // the refused attempt that it tries again
}

// Cursor is the line's place in the list.
func (l AttemptLine) Cursor() Cursor { return Cursor{l.At, l.Position} }

const attemptColumns = `a.attempt, a.workspace, a.tenant, a.connection, a.operation, a.outcome, a.reason, a.run_number, a.surface, a.trigger,
	a.initiator_kind, a.initiator_id, a.facts, a.at, a.position, t.name as tenant_name, t.external_id, coalesce(c.display_name, '') as connection_label`

// attemptNames go with the columns of a page.
const attemptNames = `coalesce(p.display_name, ''),
	(select y.replay from attempt_replays y where y.workspace = g.workspace and y.attempt = g.attempt),
	(select y.attempt from attempt_replays y where y.workspace = g.workspace and y.replay = g.attempt and y.together is null)`

const attemptJoins = ` join tenants t on t.tenant = a.tenant
	left join provider_connections c on c.number = a.connection `

// openAttempt holds for attempts that were not replayed.
const openAttempt = `not exists (select from attempt_replays y where y.workspace = a.workspace and y.attempt = a.attempt)`

func (f AttemptFilter) conditions(q *query) *query {
	q.match("a.outcome", f.Outcome)
	q.match("a.reason", f.Reason)
	q.match("a.operation", f.Operation)
	q.match("a.connection", f.Connection)
	q.matchID("a.initiator_id", f.Initiator)
	q.match("a.trigger", f.Trigger)
	q.match("a.surface", f.Surface)
	for _, m := range f.TenantName {
		q.oneOf(m, tenantIs(q, "t", m.Values))
	}
	if f.Attempts != nil {
		q.and(`a.attempt = any(` + q.arg(f.Attempts) + `::uuid[])`)
	}
	if f.Open {
		q.and(`a.outcome in ('blocked', 'scope_busy') and ` + openAttempt)
	}
	if f.Run != 0 {
		q.and(`a.run_number = ` + q.arg(f.Run))
	}
	if !f.From.IsZero() {
		q.and(`a.at >= ` + q.arg(f.From))
	}
	if !f.To.IsZero() {
		q.and(`a.at < ` + q.arg(f.To))
	}
	if len(q.where) == 0 {
		q.and(`true`)
	}
	return q
}

// ListAttempts reads a page of start attempts, newest first, and whether there are newer and older ones.
func (r Reader) ListAttempts(ctx context.Context, actor domain.Actor, f AttemptFilter) (lines []AttemptLine, newer, older bool, err error) {
	q := &query{}
	q.sees("a", actor)
	return r.listAttempts(ctx, q, f)
}

// Attempts reads the newest start attempts of a filter in any workspace.
func (a Auditor) Attempts(ctx context.Context, f AttemptFilter) ([]AttemptLine, error) {
	lines, _, _, err := a.read.listAttempts(ctx, &query{}, f)
	return lines, err
}

func (r Reader) listAttempts(ctx context.Context, q *query, f AttemptFilter) (lines []AttemptLine, newer, older bool, err error) {
	if f.Limit <= 0 || f.Limit > 200 {
		f.Limit = 50
	}
	q = f.conditions(q)
	order := `desc`
	switch {
	case !f.Before.IsZero():
		q.and(`(a.at, a.position) > (` + q.arg(f.Before.At) + `, ` + q.arg(f.Before.Number) + `)`)
		order = `asc`
	case !f.After.IsZero():
		q.and(`(a.at, a.position) < (` + q.arg(f.After.At) + `, ` + q.arg(f.After.Number) + `)`)
	}
	// Each person once: the wall asks about everybody who is looked up.
	rows, err := r.pool.Query(ctx, `with page as materialized (
			select `+attemptColumns+` from attempts a`+attemptJoins+` where `+q.String()+`
			order by a.at `+order+`, a.position `+order+` limit `+q.arg(f.Limit+1)+`
		), who as materialized (select p.id, p.display_name from colleagues p where p.id = any(array(select distinct g.initiator_id from page g)))
		select g.*, `+attemptNames+` from page g left join who p on p.id = g.initiator_id order by g.at `+order+`, g.position `+order, q.args...)
	if err != nil {
		return nil, false, false, fmt.Errorf("list attempts: %w", err)
	}
	if lines, err = collect[AttemptLine](rows, "list attempts"); err != nil {
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

// Attempt reads a start attempt that an actor sees; ErrNoRow otherwise.
func (r Reader) Attempt(ctx context.Context, actor domain.Actor, attempt uuid.UUID) (AttemptLine, error) {
	lines, _, _, err := r.ListAttempts(ctx, actor, AttemptFilter{Attempts: []uuid.UUID{attempt}, Limit: 1})
	return first(lines, err)
}

// Receipt reads the event that is the receipt of an attempt that was read before.
func (r Reader) Receipt(ctx context.Context, a AttemptLine) (domain.Event, error) {
	rows, err := r.pool.Query(ctx, `select e.name, e.payload from log l join events e using (seq) where l.position = $1`, a.Position)
	type stored struct {
		Name    string
		Payload []byte
	}
	e, err := one[stored](rows, err, "read receipt")
	if err != nil {
		return nil, err
	}
	return domain.Decode(e.Name, e.Payload)
}

// Receipt is Reader.Receipt for attempts of any workspace.
func (a Auditor) Receipt(ctx context.Context, l AttemptLine) (domain.Event, error) {
	return a.read.Receipt(ctx, l)
}

// AttemptGroup is how many attempts a reason refused, and where. Open attempts have not been replayed.
type AttemptGroup struct {
	Outcome  domain.Outcome
	Reason   *domain.ReasonCode // null for outcomes that need none
	Attempts int
	Open     int
	Tenants  int
	First    time.Time
	Newest   time.Time
	Where    []AttemptPlace // with open attempts, those with the most first
}

// AttemptPlace is where a reason refused attempts: a tenant, and the connection if there was one.
type AttemptPlace struct {
	Tenant     string
	External   uuid.UUID
	Connection int64 // 0: none
	Label      string
	Open       int
	Newest     uuid.UUID // the newest open attempt
	Operations []domain.OperationType
}

// GroupAttempts counts the refused attempts of a filter by outcome and reason, most frequent first.
func (r Reader) GroupAttempts(ctx context.Context, actor domain.Actor, f AttemptFilter) ([]AttemptGroup, error) {
	q := &query{}
	q.sees("a", actor)
	q = f.conditions(q)
	rows, err := r.pool.Query(ctx, `with w as (
			select a.outcome, a.reason, a.attempt, a.at, a.operation, t.name, t.external_id, coalesce(a.connection, 0) as connection,
				coalesce(c.display_name, '') as label, `+openAttempt+` as open
			from attempts a`+attemptJoins+` where a.outcome in ('blocked', 'scope_busy') and `+q.String()+`
		), g as (
			select outcome, reason, count(*) as n, count(*) filter (where open) as open, count(distinct external_id) as tenants,
				min(at) as first, max(at) as newest from w group by outcome, reason order by 3 desc, outcome, reason limit 100
		), p as (
			select outcome, reason, name, external_id, connection, label, count(*) as open, (array_agg(attempt order by at desc))[1] as attempt,
				array_agg(distinct operation) as operations,
				row_number() over (partition by outcome, reason order by count(*) desc, max(at) desc) as k
			from w where open group by outcome, reason, name, external_id, connection, label
		) select g.outcome, g.reason, g.n, g.open, g.tenants, g.first, g.newest,
			coalesce(json_agg(json_build_object('Tenant', p.name, 'External', p.external_id, 'Connection', p.connection, 'Label', p.label,
				'Open', p.open, 'Newest', p.attempt, 'Operations', p.operations) order by p.k) filter (where p.k is not null), '[]')
		from g left join p on p.outcome = g.outcome and p.reason is not distinct from g.reason
		group by g.outcome, g.reason, g.n, g.open, g.tenants, g.first, g.newest order by g.n desc, g.outcome, g.reason`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("group attempts: %w", err)
	}
	return collect[AttemptGroup](rows, "group attempts")
}

// AttemptHour is how many attempts of an hour had which outcome.
type AttemptHour struct {
	Hour                             time.Time
	Accepted, Deduped, Busy, Blocked int
}

// AttemptHours counts the attempts of a filter by hour and outcome.
func (r Reader) AttemptHours(ctx context.Context, actor domain.Actor, f AttemptFilter) ([]AttemptHour, error) {
	q := &query{}
	q.sees("a", actor)
	q = f.conditions(q)
	rows, err := r.pool.Query(ctx, `select date_trunc('hour', a.at, 'UTC') as h, count(*) filter (where a.outcome = 'accepted'), count(*) filter (where a.outcome = 'deduped'),
		count(*) filter (where a.outcome = 'scope_busy'), count(*) filter (where a.outcome = 'blocked')
		from attempts a`+attemptJoins+` where `+q.String()+` group by h order by h`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("count attempts by hour: %w", err)
	}
	return collect[AttemptHour](rows, "count attempts by hour")
}
