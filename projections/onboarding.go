package projections

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// OnboardingList keeps the onboarding sessions and what became of the operations that each selected.
type OnboardingList struct{}

// Name implements Projection.
func (OnboardingList) Name() string { return "onboarding" }

// Version implements Projection.
func (OnboardingList) Version() int { return 1 }

// Tables implements ReadModel.
func (OnboardingList) Tables() []string {
	return []string{"onboarding_sessions", "onboarding_operations"}
}

// Changes implements ReadModel.
func (OnboardingList) Changes() map[string][]string { return nil }

// Onboarding is a session: what was decided, by whom and when. Who and when are nil for what has not been done.
type Onboarding struct {
	Stream       uuid.UUID              `json:"stream"`
	Number       int64                  `json:"number"`
	Workspace    uuid.UUID              `json:"workspace"`
	Tenant       uuid.UUID              `json:"tenant"`
	ExternalID   uuid.UUID              `json:"external_id"`
	OwnerKind    domain.ActorKind       `json:"owner_kind"`
	OwnerID      uuid.UUID              `json:"owner_id"`
	State        domain.OnboardingState `json:"state"`
	Connection   *int64                 `json:"connection"`
	Created      bool                   `json:"created"` // the connection, for this session
	StartedBy    uuid.UUID              `json:"started_by"`
	StartedAt    time.Time              `json:"started_at"`
	ChosenBy     *uuid.UUID             `json:"chosen_by"`
	ChosenAt     *time.Time             `json:"chosen_at"`
	CheckBy      *uuid.UUID             `json:"check_by"` // the last verification that was asked for
	CheckAt      *time.Time             `json:"check_at"`
	CheckAttempt *uuid.UUID             `json:"check_attempt"`
	CheckOutcome *domain.Outcome        `json:"check_outcome"`
	CheckReason  *domain.ReasonCode     `json:"check_reason"`
	CheckRun     *int64                 `json:"check_run"`
	SelectedBy   *uuid.UUID             `json:"selected_by"`
	SelectedAt   *time.Time             `json:"selected_at"`
	TakenFrom    *uuid.UUID             `json:"taken_from"`
	TakenAt      *time.Time             `json:"taken_at"`
	EndedBy      *uuid.UUID             `json:"ended_by"`
	EndedAt      *time.Time             `json:"ended_at"`
	EndedReason  string                 `json:"ended_reason"`
	ChangedAt    time.Time              `json:"changed_at"`
	Position     int64                  `json:"position"`
}

const onboardingColumns = `s.stream, s.number, s.workspace, s.tenant, s.external_id, s.owner_kind, s.owner_id, s.state, s.connection, s.created, s.started_by,
	s.started_at, s.chosen_by, s.chosen_at, s.check_by, s.check_at, s.check_attempt, s.check_outcome, s.check_reason, s.check_run, s.selected_by,
	s.selected_at, s.taken_from, s.taken_at, s.ended_by, s.ended_at, s.ended_reason, s.changed_at, s.position`

// BootstrapState is how far an operation that a session selected is.
type BootstrapState string

// The states of a selected operation.
const (
	BootstrapPending   BootstrapState = "pending"
	BootstrapAdmitted  BootstrapState = "admitted" // it became a run, or joined one
	BootstrapBlocked   BootstrapState = "blocked"  // and was passed over
	BootstrapStopped   BootstrapState = "stopped"
	BootstrapExpired   BootstrapState = "expired"
	BootstrapWithdrawn BootstrapState = "withdrawn"
)

type onboardingOperation struct {
	Reservation uuid.UUID            `json:"reservation"`
	Session     uuid.UUID            `json:"session"`
	Workspace   uuid.UUID            `json:"workspace"`
	Tenant      uuid.UUID            `json:"tenant"`
	Connection  int64                `json:"connection"`
	Operation   domain.OperationType `json:"operation"`
	Ordinal     int64                `json:"ordinal"`
	State       BootstrapState       `json:"state"`
	Reason      *domain.ReasonCode   `json:"reason"`
	RunNumber   *int64               `json:"run_number"`
	QueuedAt    time.Time            `json:"queued_at"`
	Until       time.Time            `json:"until"`
	EndedAt     *time.Time           `json:"ended_at"`
	Position    int64                `json:"position"`
}

var (
	onboardingTable          = table[uuid.UUID, Onboarding]{name: "onboarding_sessions", key: "stream", cast: "uuid[]"}
	onboardingOperationTable = table[uuid.UUID, onboardingOperation]{name: "onboarding_operations", key: "reservation", cast: "uuid[]"}
)

var onboardingEvents = names(domain.OnboardingStarted{}, domain.TenantIdentified{}, domain.ConnectionChosen{}, domain.VerificationRequested{},
	domain.BootstrapSelected{}, domain.BootstrapOperationAdmitted{}, domain.BootstrapStopped{}, domain.OnboardingTakenOver{},
	domain.OnboardingCompleted{}, domain.OnboardingAbandoned{})

// Concerns implements chooser.
func (OnboardingList) Concerns(event string) bool {
	return onboardingEvents[event] || event == domain.StartReserved{}.EventName() || event == domain.ReservationEnded{}.EventName()
}

// Apply implements Projection.
func (OnboardingList) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	actors := make(map[int64]uuid.UUID)
	for _, e := range events {
		if !onboardingEvents[e.Name] {
			continue
		}
		meta, err := e.Cause()
		if err != nil {
			return err
		}
		actors[e.Position] = meta.Actor.ID
	}
	err := onboardingTable.fold(ctx, tx, events, func(e Event) (uuid.UUID, bool) { return e.Stream, onboardingEvents[e.Name] },
		func(row *Onboarding, e Event) *Onboarding { return onboardingRow(row, e, actors[e.Position]) })
	if err != nil {
		return err
	}
	return onboardingOperationTable.fold(ctx, tx, events, func(e Event) (uuid.UUID, bool) {
		switch d := e.Data.(type) {
		case domain.StartReserved:
			return d.ID, d.Session != uuid.Nil
		case domain.ReservationEnded:
			return d.Reservation, true
		}
		return uuid.Nil, false
	}, foldOnboardingOperation)
}

func onboardingRow(row *Onboarding, e Event, by uuid.UUID) *Onboarding {
	if row != nil && row.Position >= e.Position {
		return nil
	}
	if d, ok := e.Data.(domain.OnboardingStarted); ok {
		return &Onboarding{
			Stream: d.Session, Number: d.Number, Workspace: d.Workspace, Tenant: domain.TenantStream(d.Workspace, d.ExternalID), ExternalID: d.ExternalID,
			OwnerKind: d.Owner.Kind, OwnerID: d.Owner.ID, State: domain.OnboardingOpen, StartedBy: by, StartedAt: e.RecordedAt,
			ChangedAt: e.RecordedAt, Position: e.Position,
		}
	}
	if row == nil {
		return nil
	}
	row.ChangedAt, row.Position = e.RecordedAt, e.Position
	switch d := e.Data.(type) {
	case domain.TenantIdentified:
		row.Tenant = d.Tenant
	case domain.ConnectionChosen:
		row.Connection, row.Created, row.ChosenBy, row.ChosenAt = &d.Connection, d.Created, &by, &e.RecordedAt
	case domain.VerificationRequested:
		row.check(d, by, e.RecordedAt)
	case domain.BootstrapSelected:
		row.SelectedBy, row.SelectedAt = &by, &e.RecordedAt
	case domain.OnboardingTakenOver:
		row.OwnerKind, row.OwnerID, row.TakenFrom, row.TakenAt = d.By.Kind, d.By.ID, &d.From.ID, &e.RecordedAt
	case domain.OnboardingCompleted:
		row.State, row.EndedBy, row.EndedAt, row.EndedReason = domain.OnboardingDone, &by, &e.RecordedAt, d.Accepted
	case domain.OnboardingAbandoned:
		row.State, row.EndedBy, row.EndedAt, row.EndedReason = domain.OnboardingLeft, &by, &e.RecordedAt, d.Reason
	}
	return row
}

func (r *Onboarding) check(d domain.VerificationRequested, by uuid.UUID, at time.Time) {
	r.CheckBy, r.CheckAt, r.CheckAttempt, r.CheckOutcome, r.CheckReason, r.CheckRun = &by, &at, &d.Attempt, &d.Outcome, nil, nil
	if d.Reason != "" {
		r.CheckReason = &d.Reason
	}
	if d.RunNumber != 0 {
		r.CheckRun = &d.RunNumber
	}
}

func foldOnboardingOperation(row *onboardingOperation, e Event) *onboardingOperation {
	if row != nil && row.Position >= e.Position {
		return nil
	}
	switch d := e.Data.(type) {
	case domain.StartReserved:
		return &onboardingOperation{
			Reservation: d.ID, Session: d.Session, Workspace: e.Workspace, Tenant: d.Tenant, Connection: d.Connection, Operation: d.Operation,
			Ordinal: e.Position, State: BootstrapPending, QueuedAt: e.RecordedAt, Until: d.Until, Position: e.Position,
		}
	case domain.ReservationEnded:
		if row == nil {
			return nil // of no session
		}
		row.State, row.EndedAt, row.Position = bootstrapState(d), &e.RecordedAt, e.Position
		if d.Reason != "" {
			row.Reason = &d.Reason
		}
		if d.RunNumber != 0 {
			row.RunNumber = &d.RunNumber
		}
	}
	return row
}

func bootstrapState(d domain.ReservationEnded) BootstrapState {
	switch {
	case d.End == domain.ReservationCancelled:
		return BootstrapStopped
	case d.End == domain.ReservationExpired:
		return BootstrapExpired
	case d.End == domain.ReservationWithdrawn:
		return BootstrapWithdrawn
	case d.Outcome == domain.IsBlocked:
		return BootstrapBlocked
	}
	return BootstrapAdmitted
}

// OnboardingRow is a session with the names that a page shows, its connection and its operations. A name is empty where there is nobody or
// nobody that we know.
type OnboardingRow struct {
	Onboarding
	TenantName   string
	TenantDomain string
	OwnerName    string
	StarterName  string
	ChooserName  string
	CheckerName  string
	SelectorName string
	TakenName    string // of the owner before
	EnderName    string
	// Default says that the chosen connection is the tenant's default.
	Default         bool
	CheckRunStatus  *domain.ExecutionStatus
	CheckRunOutcome *domain.RunOutcome
	// Connected is the chosen connection, zero when none is.
	Connected  Connection               `db:"-"`
	Operations []OnboardingOperationRow `db:"-"` // in the order in which they are admitted
}

// Steps is how far the session's five steps are, from what is so by now.
func (r OnboardingRow) Steps() []domain.StepProgress {
	started := slices.ContainsFunc(r.Operations, func(o OnboardingOperationRow) bool { return o.State == BootstrapAdmitted })
	return domain.OnboardingProgress(r.State, r.Connection != nil, r.Connected.State(), started)
}

// Owner is who works on the session.
func (r OnboardingRow) Owner() domain.ActorRef {
	return domain.ActorRef{Kind: r.OwnerKind, ID: r.OwnerID}
}

// OnboardingOperationRow is an operation that a session selected, with the run that it became or joined.
type OnboardingOperationRow struct {
	Session     uuid.UUID
	Ordinal     int64 // from 1
	Reservation uuid.UUID
	Connection  int64
	Operation   domain.OperationType
	State       BootstrapState
	Reason      *domain.ReasonCode
	RunNumber   *int64
	RunStatus   *domain.ExecutionStatus
	RunOutcome  *domain.RunOutcome
	RunReason   *domain.ReasonCode
	QueuedAt    time.Time
	Until       time.Time
	EndedAt     *time.Time // of its wait
}

// Onboardings reads the sessions that an actor sees: the open ones first, those that changed last first.
func (r Reader) Onboardings(ctx context.Context, actor domain.Actor) ([]OnboardingRow, error) {
	q := &query{}
	q.sees("s", actor)
	return r.onboardings(ctx, actor, q)
}

// Onboarding reads one session; ErrNoRow when the actor sees none.
func (r Reader) Onboarding(ctx context.Context, actor domain.Actor, number int64) (OnboardingRow, error) {
	q := &query{}
	q.sees("s", actor)
	q.and(`s.number = ` + q.arg(number))
	return first(r.onboardings(ctx, actor, q))
}

// OnboardingOf reads the session of a directory; ErrNoRow when the actor sees none.
func (r Reader) OnboardingOf(ctx context.Context, actor domain.Actor, externalID uuid.UUID) (OnboardingRow, error) {
	q := &query{}
	q.sees("s", actor)
	q.and(`s.external_id = ` + q.arg(externalID))
	return first(r.onboardings(ctx, actor, q))
}

func (r Reader) onboardings(ctx context.Context, actor domain.Actor, q *query) ([]OnboardingRow, error) {
	person := func(column string) string {
		return `coalesce((select p.display_name from colleagues p where p.id = s.` + column + `), '')`
	}
	rows, err := r.pool.Query(ctx, `select `+onboardingColumns+`, coalesce(t.name, ''), coalesce(t.domain, ''), `+person("owner_id")+`, `+
		person("started_by")+`, `+person("chosen_by")+`, `+person("check_by")+`, `+person("selected_by")+`, `+person("taken_from")+`, `+
		person("ended_by")+`, coalesce(t.default_connection = s.connection, false), k.execution_status, k.outcome
		from onboarding_sessions s left join tenants t on t.tenant = s.tenant left join runs k on k.number = s.check_run
		where `+q.String()+` order by s.state <> 'open', s.changed_at desc, s.number desc limit 500`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("list onboardings: %w", err)
	}
	sessions, err := collect[OnboardingRow](rows, "list onboardings")
	if err != nil || len(sessions) == 0 {
		return nil, err
	}
	return sessions, r.complete(ctx, actor, sessions)
}

// complete adds the sessions' connections and operations.
func (r Reader) complete(ctx context.Context, actor domain.Actor, sessions []OnboardingRow) error {
	streams, numbers := make([]uuid.UUID, len(sessions)), []int64{}
	for i, s := range sessions {
		if streams[i] = s.Stream; s.Connection != nil {
			numbers = append(numbers, *s.Connection)
		}
	}
	operations, err := r.onboardingOperations(ctx, streams)
	if err != nil {
		return err
	}
	rows, err := r.pool.Query(ctx, `select `+connectionColumns+` from provider_connections where number = any($1) and workspace = $2`,
		numbers, sight(actor))
	if err != nil {
		return fmt.Errorf("read connections of onboardings: %w", err)
	}
	connections, err := collect[Connection](rows, "read connections of onboardings")
	if err != nil {
		return err
	}
	for i := range sessions {
		s := &sessions[i]
		s.Operations = operations[s.Stream]
		for _, c := range connections {
			if s.Connection != nil && *s.Connection == c.Number {
				s.Connected = c
			}
		}
	}
	return nil
}

func (r Reader) onboardingOperations(ctx context.Context, sessions []uuid.UUID) (map[uuid.UUID][]OnboardingOperationRow, error) {
	rows, err := r.pool.Query(ctx, `select o.session, row_number() over (partition by o.session order by o.ordinal), o.reservation, o.connection, o.operation,
			o.state, o.reason, o.run_number, r.execution_status, r.outcome, r.reason, o.queued_at, o.until, o.ended_at
		from onboarding_operations o join onboarding_sessions s on s.stream = o.session and o.queued_at >= s.started_at
		left join runs r on r.number = o.run_number
		where o.session = any($1) order by o.session, o.ordinal`, sessions)
	if err != nil {
		return nil, fmt.Errorf("read operations of onboardings: %w", err)
	}
	all, err := collect[OnboardingOperationRow](rows, "read operations of onboardings")
	by := make(map[uuid.UUID][]OnboardingOperationRow)
	for _, o := range all {
		by[o.Session] = append(by[o.Session], o)
	}
	return by, err
}

// onboardingOfConnection are the events of a connection that belong to the story of its onboarding.
var onboardingOfConnection = []string{
	domain.CredentialRotated{}.EventName(), domain.ConnectionEnabled{}.EventName(), domain.ConsentRequested{}.EventName(),
	domain.ConsentGranted{}.EventName(), domain.ConsentFailed{}.EventName(), domain.ConsentRevoked{}.EventName(),
	domain.ConsentAnswerIgnored{}.EventName(), domain.VerificationRecorded{}.EventName(),
}

// OnboardingLog reads what happened in a session, newest first: the events of its stream, how its operations came into their queue and out of
// it, and what was set, asked for and found out on its connection while it went on. It is empty when the actor sees no such session.
func (r Reader) OnboardingLog(ctx context.Context, actor domain.Actor, number int64) ([]AuditLine, error) {
	q := &query{}
	q.sees("s", actor)
	q.and(`s.number = ` + q.arg(number))
	rows, err := r.pool.Query(ctx, `with s as (select s.* from onboarding_sessions s where `+q.String()+`), w as (
			select a.* from audit_log a join s on a.stream = s.stream
			union all
			select a.* from onboarding_operations o join s on o.session = s.stream
			join audit_log a on a.event in ('StartReserved', 'ReservationEnded') and a.position in (o.ordinal, o.position)
			union all
			select a.* from s join provider_connections k on k.number = s.connection
			join audit_log a on a.stream = k.stream and a.event = any(`+q.arg(onboardingOfConnection)+`)
				and a.at >= s.started_at and a.at <= coalesce(s.ended_at, 'infinity')
		) select `+auditColumns+` from w a`+auditJoins+`order by a.position desc limit 500`, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read onboarding log: %w", err)
	}
	return collect[AuditLine](rows, "read onboarding log")
}

// AwaitOnboarding waits until the onboarding read model, and those that its pages show besides, have an append, at most for d.
func (r Reader) AwaitOnboarding(ctx context.Context, seq int64, d time.Duration) (bool, error) {
	return Await(ctx, r.pool, seq, d, OnboardingList{}, Connections{}, Tenants{}, Runs{}, Audit{})
}
