package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Notifier is a process manager: it tells the initiator of a run, and nobody else, that it was queued and how it ended. For runs that a
// schedule or the system started it tells nobody. Of a credential that comes near its end it tells those who can replace it. It publishes a message in the transaction that moves past its cause; the message is
// turned into a row by DeliverNotification.
type Notifier struct{}

// Name implements Projection.
func (Notifier) Name() string { return "notifier" }

// Version implements Projection.
func (Notifier) Version() int { return 1 }

// notice is the message of one notification. The id is derived from the event, so a redelivery is the same notification.
type notice struct {
	ID        uuid.UUID            `json:"id"`
	Workspace uuid.UUID            `json:"workspace"`
	Tenant    uuid.UUID            `json:"tenant"`
	Person    uuid.UUID            `json:"person"`
	Kind      string               `json:"kind"`
	Run       uuid.UUID            `json:"run"`
	RunNumber int64                `json:"run_number"`
	Operation domain.OperationType `json:"operation"`
	Outcome   domain.RunOutcome    `json:"outcome"`
	Reason    domain.ReasonCode    `json:"reason"`
	CreatedAt time.Time            `json:"created_at"`
	ReadAt    *time.Time           `json:"read_at"`
	// Of a credential that comes near its end; null for runs.
	Connection *int64     `json:"connection"`
	Until      *time.Time `json:"until"`
	Days       *int       `json:"days"`
}

var noticeEvents = names(domain.RunAccepted{}, domain.RunCompleted{}, domain.CredentialExpiring{})

// Concerns implements chooser.
func (Notifier) Concerns(event string) bool { return noticeEvents[event] }

// Apply implements Projection.
func (Notifier) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	accepted, err := acceptances(ctx, tx, events)
	if err != nil {
		return err
	}
	notices, err := expiryNotices(ctx, tx, events)
	if err != nil {
		return err
	}
	for _, e := range events {
		if n, ok := noticeOf(e, accepted); ok {
			notices = append(notices, n)
		}
	}
	var messages []*message.Message
	for _, n := range notices {
		payload, err := json.Marshal(n)
		if err != nil {
			return fmt.Errorf("notify: %w", err)
		}
		messages = append(messages, message.NewMessage(n.ID.String(), payload))
	}
	if len(messages) == 0 {
		return nil
	}
	return eventstore.Publish(ctx, tx, eventstore.TopicNotifications, messages...)
}

// acceptances finds how the runs that ended in this batch had been accepted: the first event of their streams.
func acceptances(ctx context.Context, tx pgx.Tx, events []Event) (map[uuid.UUID]domain.RunAccepted, error) {
	found := make(map[uuid.UUID]domain.RunAccepted)
	var missing []uuid.UUID
	for _, e := range events {
		switch d := e.Data.(type) {
		case domain.RunAccepted:
			found[e.Stream] = d
		case domain.RunCompleted:
			if _, ok := found[e.Stream]; !ok {
				missing = append(missing, e.Stream)
			}
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	rows, err := tx.Query(ctx, `select payload from events where stream = any($1) and version = 1`, arrayOf(missing))
	if err != nil {
		return nil, fmt.Errorf("read accepted runs: %w", err)
	}
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read accepted runs: %w", err)
	}
	for _, p := range payloads {
		e, err := domain.Decode(domain.RunAccepted{}.EventName(), p)
		if err != nil {
			return nil, err
		}
		accepted := e.(domain.RunAccepted)
		found[accepted.Run] = accepted
	}
	return found, nil
}

func noticeOf(e Event, accepted map[uuid.UUID]domain.RunAccepted) (notice, bool) {
	run, known := accepted[e.Stream]
	if !known || !run.Initiator.Personal() {
		return notice{}, false
	}
	n := notice{
		ID: uuid.NewSHA1(e.ID, []byte("notification")), Workspace: e.Workspace, Tenant: run.Tenant, Person: run.Initiator.ID,
		Run: run.Run, RunNumber: run.Number, Operation: run.Operation, CreatedAt: e.RecordedAt,
	}
	switch d := e.Data.(type) {
	case domain.RunAccepted:
		n.Kind = "run_queued"
	case domain.RunCompleted:
		n.Kind, n.Outcome, n.Reason = "run_ended", d.Outcome, d.Reason
	default:
		return notice{}, false
	}
	return n, true
}

// expiryNotices tells the members who manage connections and see a tenant that a credential of it comes near its end. A credential that many
// connections share is told of once for each threshold: the id says so.
func expiryNotices(ctx context.Context, tx pgx.Tx, events []Event) ([]notice, error) {
	var notices []notice
	for _, e := range events {
		d, ok := e.Data.(domain.CredentialExpiring)
		if !ok {
			continue
		}
		managers, err := connectionManagers(ctx, tx, e.Workspace, d.Tenant)
		if err != nil {
			return nil, err
		}
		for _, person := range managers {
			about := fmt.Sprintf("expiry/%s/%s/%d/%d", e.Workspace, d.Credential.Fingerprint, d.Credential.ExpiresAt.Unix(), d.Days)
			notices = append(notices, notice{
				ID: uuid.NewSHA1(person, []byte(about)), Workspace: e.Workspace, Tenant: d.Tenant, Person: person, Kind: "credential_expiring",
				CreatedAt: e.RecordedAt, Connection: &d.Connection, Until: &d.Credential.ExpiresAt, Days: &d.Days,
			})
		}
	}
	return notices, nil
}

// connectionManagers are the members of a workspace who may manage connections, by their role's capabilities, and see a tenant.
func connectionManagers(ctx context.Context, tx pgx.Tx, workspace, tenant uuid.UUID) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `select m.person, m.role, r.capabilities, m.tenants, m.groups, m.except_tenants, m.except_groups, t.groups
		from members m
		left join roles r on r.workspace = m.workspace and r.role = m.role
		left join tenants t on t.tenant = $2
		where m.workspace = $1 and m.role <> ''`, workspace, tenant)
	if err != nil {
		return nil, fmt.Errorf("find managers: %w", err)
	}
	var managers []uuid.UUID
	var person uuid.UUID
	var actor domain.Actor
	var scope domain.Scope
	var groups []string
	into := []any{&person, &actor.Role, &actor.Capabilities, &scope.Tenants, &scope.Groups, &scope.ExceptTenants, &scope.ExceptGroups, &groups}
	if _, err := pgx.ForEachRow(rows, into, func() error {
		if actor.May(domain.CapProviderManage) && scope.Includes(tenant, groups) {
			managers = append(managers, person)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("find managers: %w", err)
	}
	return managers, nil
}

// DeliverNotification handles a message of eventstore.TopicNotifications: it writes the row in the transaction that acknowledges it.
func DeliverNotification(msg *message.Message) error {
	tx, ok := eventstore.TxFrom(msg.Context())
	if !ok {
		return fmt.Errorf("deliver notification: no transaction in the message")
	}
	_, err := tx.ExecContext(msg.Context(),
		`insert into notifications select * from json_populate_record(null::notifications, $1) on conflict do nothing`, string(msg.Payload))
	if err != nil {
		return fmt.Errorf("deliver notification: %w", err)
	}
	return nil
}

// Notification is one line of a person's notifications.
type Notification struct {
	ID        uuid.UUID
	Tenant    uuid.UUID
	Kind      string
	RunNumber int64
	Operation domain.OperationType
	Outcome   domain.RunOutcome
	Reason    domain.ReasonCode
	CreatedAt time.Time
	ReadAt    *time.Time
	// Of a credential that comes near its end; nil for runs.
	Connection *int64
	Until      *time.Time
}

// noticeSeen limits notifications to a person's in a workspace, and to the tenants that they see now: what they started may be somebody else's
// business by the time it ends.
const noticeSeen = `person = $1 and workspace = $2 and ($3::uuid[] is null or tenant = any($3))`

// ListNotifications reads a person's newest notifications in a workspace.
func ListNotifications(ctx context.Context, pool querier, actor domain.Actor, limit int) ([]Notification, error) {
	rows, err := pool.Query(ctx, `select id, tenant, kind, run_number, operation, outcome, reason, created_at, read_at, connection, until from notifications
		where `+noticeSeen+` order by created_at desc, id limit $4`, actor.Ref.ID, actor.Workspace, actor.Tenants, limit)
	if err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	return collect[Notification](rows, "list notifications")
}

// UnreadNotifications counts what a person has not read, at most 100.
func UnreadNotifications(ctx context.Context, pool querier, actor domain.Actor) (int, error) {
	var n int
	err := pool.QueryRow(ctx, `select count(*) from (select 1 from notifications
		where `+noticeSeen+` and read_at is null limit 100) u`, actor.Ref.ID, actor.Workspace, actor.Tenants).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count notifications: %w", err)
	}
	return n, nil
}

// ReadNotifications marks all notifications as read that ListNotifications could show.
func ReadNotifications(ctx context.Context, pool querier, actor domain.Actor) error {
	_, err := pool.Exec(ctx, `update notifications set read_at = clock_timestamp()
		where `+noticeSeen+` and read_at is null`, actor.Ref.ID, actor.Workspace, actor.Tenants)
	if err != nil {
		return fmt.Errorf("read notifications: %w", err)
	}
	return nil
}
