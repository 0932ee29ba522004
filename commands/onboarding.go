package commands

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// StartOnboarding begins to bring a directory under management in the actor's workspace, or goes on with it.
type StartOnboarding struct {
	Actor      domain.Actor
	ExternalID uuid.UUID // Entra directory id
	Name       string
	Domain     string   // may be empty
	Groups     []string // nil leaves them as they are
}

// OnboardingResult is a session as it stands after StartOnboarding.
type OnboardingResult struct {
	Number  int64
	Tenant  domain.Tenant
	Session domain.OnboardingSession
	Resumed bool // it was there already, open or completed
}

// StartOnboarding carries a StartOnboarding out, as often as it is asked for: there is one session per directory. It registers the tenant
// when it is not managed yet. The owner of an open session gives the tenant another name or other groups by it; for anybody else, and for a
// tenant that was managed before, they stay as they are. The second result is the receipt's seq (0 when nothing changed).
func (h *Handler) StartOnboarding(ctx context.Context, c StartOnboarding) (OnboardingResult, int64, error) {
	if err := c.Actor.Authorize(c.Actor.Workspace, uuid.Nil, domain.CapOnboardingManage); err != nil {
		return OnboardingResult{}, 0, err
	}
	if c.ExternalID == uuid.Nil {
		return OnboardingResult{}, 0, domain.InvalidField("/entraTenantId", "required", "Give the directory id (a GUID).")
	}
	tenantID, stream := domain.TenantStream(c.Actor.Workspace, c.ExternalID), domain.OnboardingStream(c.Actor.Workspace, c.ExternalID)
	if !c.Actor.Sees(c.Actor.Workspace, tenantID) {
		return OnboardingResult{}, 0, domain.ErrNotFound()
	}
	var r OnboardingResult
	receipt, err := h.transact(ctx, request{
		actor: c.Actor, affinity: tenantID, needs: []uuid.UUID{tenantID, stream}, surface: surfaceOnboarding, trigger: domain.TriggerOperator,
	}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		u.About(tenantID)
		t, _, err := eventstore.Load[domain.Tenant](ctx, u, tenantID)
		if err != nil {
			return err
		}
		s, _, err := eventstore.Load[domain.OnboardingSession](ctx, u, stream)
		if err != nil {
			return err
		}
		fresh, err := h.newSession(ctx, c, s, t)
		if err != nil {
			return err
		}
		changes, err := h.identify(ctx, c, s, t)
		if err != nil {
			return err
		}
		u.Append(stream, fresh...)
		u.Append(tenantID, changes...)
		s = domain.Fold(s, fresh...)
		r = OnboardingResult{Number: s.Number, Tenant: domain.Fold(t, changes...), Session: s, Resumed: len(fresh) == 0}
		return nil
	})
	if err != nil {
		return OnboardingResult{}, 0, err // r may still be written to: see transact
	}
	return r, receipt.Seq, nil
}

const surfaceOnboarding = "onboarding"

// newSession are the events that begin a session, none when it goes on.
func (h *Handler) newSession(ctx context.Context, c StartOnboarding, s domain.OnboardingSession, t domain.Tenant) ([]domain.Event, error) {
	n := domain.OnboardingStarted{
		Session: domain.OnboardingStream(c.Actor.Workspace, c.ExternalID), Workspace: c.Actor.Workspace, ExternalID: c.ExternalID, Owner: c.Actor.Ref,
	}
	if !s.Exists() {
		var err error
		if n.Number, err = h.onboardings.next(ctx); err != nil {
			return nil, err
		}
	}
	return domain.StartOnboarding(s, t, n), nil
}

// identify are the events that register the tenant, or let the owner of an open session correct what was entered.
func (h *Handler) identify(ctx context.Context, c StartOnboarding, s domain.OnboardingSession, t domain.Tenant) ([]domain.Event, error) {
	if t.Exists() && (s.State != domain.OnboardingOpen || s.Owner != c.Actor.Ref) {
		return nil, nil
	}
	var events []domain.Event
	var err error
	switch {
	case !t.Exists():
		n := domain.TenantRegistered{
			Tenant: domain.TenantStream(c.Actor.Workspace, c.ExternalID), Workspace: c.Actor.Workspace, ExternalID: c.ExternalID,
			Name: c.Name, Domain: c.Domain,
		}
		if n.Number, err = h.tenants.next(ctx); err != nil {
			return nil, err
		}
		events, err = domain.RegisterTenant(t, n)
	case c.Name != "":
		events, err = t.Rename(c.Name)
	}
	if err != nil || c.Groups == nil {
		return events, err
	}
	grouped, err := domain.Fold(t, events...).Group(c.Groups)
	return append(events, grouped...), err
}

// ChooseConnection attaches one of the tenant's connections to a session.
type ChooseConnection struct {
	Actor      domain.Actor
	Session    int64
	Connection int64 // 0 takes the tenant's default
}

// OnboardingConnection is the connection of a session.
type OnboardingConnection struct {
	Connection domain.ProviderConnection
	Default    bool // it is the tenant's default
}

// ChooseConnection carries a ChooseConnection out and returns the connection with the receipt's seq (0 when it was chosen already).
func (h *Handler) ChooseConnection(ctx context.Context, c ChooseConnection) (OnboardingConnection, int64, error) {
	var chosen OnboardingConnection
	seq, err := h.onSession(ctx, c.Actor, c.Session, func(ctx context.Context, u *eventstore.Unit, s domain.OnboardingSession) error {
		t, err := tenant(ctx, u, c.Actor, s.Tenant)
		if err != nil {
			return err
		}
		number := c.Connection
		if number == 0 {
			number = t.DefaultConnection
		}
		if number == 0 {
			return domain.InvalidField("/providerConnectionId", "required", "This tenant has no default connection. Choose or create one.")
		}
		conn, _, err := connection(ctx, u, c.Actor, number)
		if err != nil {
			return err
		}
		chosen = OnboardingConnection{Connection: conn, Default: t.DefaultConnection == conn.Number}
		return attach(ctx, u, c.Actor, s, conn, false)
	})
	if err != nil {
		return OnboardingConnection{}, 0, err // chosen may still be written to: see transact
	}
	return chosen, seq, nil
}

// attach appends that a session goes on with a connection, if nothing waits for the one before.
func attach(
	ctx context.Context, u *eventstore.Unit, actor domain.Actor, s domain.OnboardingSession, c domain.ProviderConnection, created bool,
) error {
	events, err := s.ChooseConnection(actor.Ref, c, created)
	if err != nil || len(events) == 0 {
		return err
	}
	if s.Connection != 0 {
		queue, _, err := eventstore.Load[domain.Reservations](ctx, u, domain.ReservationStream(domain.ConnectionStream(s.Connection)))
		if err != nil {
			return err
		}
		if err := s.MayLeave(queue); err != nil {
			return err
		}
	}
	u.Append(s.ID, events...)
	return nil
}

// CreateOnboardingConnection adds a provider connection to the tenant of a session and attaches it. The first one becomes the tenant's
// default. Only identifiers are given here; the credential is set on its own.
type CreateOnboardingConnection struct {
	Actor          domain.Actor
	Session        int64
	DisplayName    string
	ConnectionType string // "platform" or "dedicated"
	AppID          string
}

// CreateOnboardingConnection carries a CreateOnboardingConnection out and returns the connection with the receipt's seq.
func (h *Handler) CreateOnboardingConnection(ctx context.Context, c CreateOnboardingConnection) (OnboardingConnection, int64, error) {
	number, err := h.connections.next(ctx)
	if err != nil {
		return OnboardingConnection{}, 0, err
	}
	var created OnboardingConnection
	seq, err := h.onSession(ctx, c.Actor, c.Session, func(ctx context.Context, u *eventstore.Unit, s domain.OnboardingSession) error {
		t, err := tenant(ctx, u, c.Actor, s.Tenant)
		if err != nil {
			return err
		}
		conn, err := h.addConnection(u, t, domain.ProviderConnectionCreated{
			Number: number, DisplayName: c.DisplayName, ConnectionType: c.ConnectionType, AppID: h.appOf(c.ConnectionType, c.AppID),
		})
		if err != nil {
			return err
		}
		created = OnboardingConnection{Connection: conn, Default: t.DefaultConnection == 0}
		return attach(ctx, u, c.Actor, s, conn, true)
	})
	if err != nil {
		return OnboardingConnection{}, 0, err // created may still be written to: see transact
	}
	return created, seq, nil
}

// StartOnboardingCheck asks for a check of the connection that a session has chosen.
type StartOnboardingCheck struct {
	Actor   domain.Actor
	Session int64
	// Attempt identifies the try: the same attempt again gets the first answer. Zero draws a fresh id.
	Attempt    uuid.UUID
	Connection *int64 // must be the chosen one; nil is that
	Reconsent  bool   // "I already consented, re-check"
	Surface    string // default "onboarding.verify"
	Trigger    domain.Trigger
	// Context is what the caller sent along; it is part of what makes two requests the same, and is not interpreted.
	Context map[string]any
}

// StartOnboardingCheck carries a StartOnboardingCheck out: a start of the connection check like any other (Start), whose answer the session
// records in the same append.
func (h *Handler) StartOnboardingCheck(ctx context.Context, c StartOnboardingCheck) (StartResult, error) {
	if c.Attempt == uuid.Nil {
		c.Attempt = uuid.Must(uuid.NewV7())
	}
	session, err := h.OnboardingSession(ctx, c.Actor, c.Session)
	if err != nil {
		return StartResult{}, err
	}
	start := Start{
		Actor: c.Actor, Attempt: c.Attempt, Operation: domain.OpConnectionCheck, Tenant: session.ExternalID, Surface: c.Surface, Trigger: c.Trigger,
		Reconsent: c.Reconsent, Context: map[string]any{"onboarding": c.Session, "request": c.Context},
	}
	if c.Connection != nil {
		start.Connection = *c.Connection
	}
	start.Surface, start.Trigger = orDefault(start.Surface, "onboarding.verify"), orDefault(start.Trigger, domain.TriggerOperator)
	hash, err := start.hash()
	if err != nil {
		return StartResult{}, err
	}
	r := StartResult{Attempt: c.Attempt}
	receipt, err := h.transact(ctx, request{
		actor: c.Actor, key: domain.AttemptStream(c.Actor.Workspace, c.Attempt), hash: hash, affinity: start.affinity(), needs: start.needs(),
		attempt: c.Attempt, surface: start.Surface, trigger: start.Trigger,
	}, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		s, err := onboarding(ctx, u, c.Actor, session.ID)
		if err != nil {
			return err
		}
		if err := s.NeedsConnection(c.Actor.Ref, start.Connection); err != nil {
			return err
		}
		ask := start
		ask.Connection = s.Connection
		if err := h.startIn(ctx, u, ask, at, &r); err != nil {
			return err
		}
		u.Append(s.ID, s.RequestVerification(c.Attempt, r.Decision, r.RunNumber)...)
		return nil
	})
	if err != nil {
		return StartResult{}, err
	}
	if receipt.Replayed {
		return h.replay(ctx, start, receipt)
	}
	r.Seq = receipt.Seq
	return r, nil
}

func orDefault[S ~string](s, otherwise S) S {
	if s == "" {
		return otherwise
	}
	return s
}

// StartBootstrap selects the operations that a new tenant begins with. They are admitted one after another.
type StartBootstrap struct {
	Actor   domain.Actor
	Session int64
	// Attempt identifies the try: the same attempt again answers what became of the first. Zero draws a fresh id.
	Attempt    uuid.UUID
	Connection int64    // must be the chosen one
	Operations []string // types that domain.BootstrapOperations lists, in the order in which they are to start
	Surface    string   // default "onboarding.bootstrap"
	Trigger    domain.Trigger
}

// BootstrapOperation is a selected operation and what became of it so far.
type BootstrapOperation struct {
	Operation   domain.OperationType
	Reservation uuid.UUID
	Waits       bool              // its turn is still to come
	Outcome     domain.Outcome    // once it had its turn
	Reason      domain.ReasonCode // when it was blocked
	RunNumber   int64
}

// BootstrapResult is what became of the selected operations so far: one is accepted, or none while the connection is busy or each was
// blocked; the others wait for their turn, or were blocked and passed over.
type BootstrapResult struct {
	// StartResult is the gate's answer that counts: to the operation that was accepted, else to one that joined a run, else to the first that
	// waits, else to the first.
	StartResult
	Session    domain.OnboardingSession
	Operations []BootstrapOperation // in order
	Accepted   *domain.OperationType
	Pending    []domain.OperationType
	Blocked    []BootstrapOperation
	Runs       []int64 // numbers of the runs so far
}

// StartBootstrap carries a StartBootstrap out. Each selected operation waits as a reservation of the connection, as one append together with
// the admission of the first: it is there with all of it, or not at all. The rest are admitted like other reservations (AdmitNext).
func (h *Handler) StartBootstrap(ctx context.Context, c StartBootstrap) (BootstrapResult, error) {
	if c.Attempt == uuid.Nil {
		c.Attempt = uuid.Must(uuid.NewV7())
	}
	c.Surface, c.Trigger = orDefault(c.Surface, "onboarding.bootstrap"), orDefault(c.Trigger, domain.TriggerOperator)
	session, err := h.OnboardingSession(ctx, c.Actor, c.Session)
	if err != nil {
		return BootstrapResult{}, err
	}
	if _, err := domain.ParseBootstrap(c.Operations); err != nil {
		return BootstrapResult{}, err
	}
	hash, err := c.hash()
	if err != nil {
		return BootstrapResult{}, err
	}
	var b BootstrapResult
	receipt, err := h.transact(ctx, request{
		actor: c.Actor, key: uuid.NewSHA1(domain.AttemptStream(c.Actor.Workspace, c.Attempt), []byte("bootstrap")), hash: hash,
		affinity: domain.ConnectionStream(c.Connection), attempt: c.Attempt, surface: c.Surface, trigger: c.Trigger,
	}, func(ctx context.Context, u *eventstore.Unit, at time.Time) error {
		b = BootstrapResult{}
		return h.bootstrap(ctx, u, c, session.ID, at, &b)
	})
	if err != nil {
		return BootstrapResult{}, err // b may still be written to: see transact
	}
	if receipt.Replayed {
		return h.bootstrapBefore(ctx, c, session.ID, receipt)
	}
	b.StartResult.Seq = receipt.Seq
	return b, nil
}

// bootstrap queues the selected operations and admits what can be admitted now: up to the first that is accepted.
func (h *Handler) bootstrap(ctx context.Context, u *eventstore.Unit, c StartBootstrap, id uuid.UUID, at time.Time, b *BootstrapResult) error {
	s, err := onboarding(ctx, u, c.Actor, id)
	if err != nil {
		return err
	}
	ops, err := c.operations(s)
	if err != nil {
		return err
	}
	conn, _, err := connection(ctx, u, c.Actor, s.Connection)
	if err != nil {
		return err
	}
	stream := domain.ReservationStream(conn.ID)
	queue, _, err := eventstore.Load[domain.Reservations](ctx, u, stream)
	if err != nil {
		return err
	}
	var selected []domain.Reservation
	for _, o := range ops {
		r, err := s.BootstrapReservation(uuid.Must(uuid.NewV7()), o, conn, c.Actor.Ref, at)
		if err != nil {
			return err
		}
		r.Surface, r.Trigger = c.Surface, c.Trigger
		selected = append(selected, r)
	}
	expired := queue.Expire(at)
	queue = domain.Fold(queue, expired...)
	queued, chosen, err := s.SelectBootstrap(queue, selected, at)
	if err != nil {
		return err
	}
	u.Append(s.ID, chosen...)
	u.Append(stream, append(expired, queued...)...)
	answers, err := h.admitBootstrap(ctx, u, s, stream, at)
	if err != nil {
		return err
	}
	queue, _, err = eventstore.Load[domain.Reservations](ctx, u, stream)
	if err != nil {
		return err
	}
	if b.Session, _, err = eventstore.Load[domain.OnboardingSession](ctx, u, s.ID); err != nil {
		return err
	}
	b.tell(c.asked(b.Session.Bootstrap), queue, answers)
	return h.answerFor(ctx, u, c, b, answers, queue, at)
}

// operations are the selected ones, which the actor has to be allowed to start.
func (c StartBootstrap) operations(s domain.OnboardingSession) ([]domain.Operation, error) {
	if err := s.NeedsConnection(c.Actor.Ref, c.Connection); err != nil {
		return nil, err
	}
	ops, err := domain.ParseBootstrap(c.Operations)
	for _, o := range ops {
		if err := c.Actor.Authorize(s.Workspace, s.Tenant, o.Capability); err != nil {
			return nil, err
		}
	}
	return ops, err
}

func (c StartBootstrap) hash() ([]byte, error) {
	b, err := domain.Canonical(struct {
		Actor      domain.ActorRef `json:"actor"`
		Connection int64           `json:"connection"`
		Operations []string        `json:"operations"`
		Session    int64           `json:"session"`
		Surface    string          `json:"surface"`
	}{c.Actor.Ref, c.Connection, c.Operations, c.Session, c.Surface})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

// StopBootstrap takes the operations of a session that still wait out of their queue. What runs goes on. It needs the capability, not the
// session's ownership.
type StopBootstrap struct {
	Actor   domain.Actor
	Session int64
}

// StopBootstrap carries a StopBootstrap out and returns the receipt's seq (0 when nothing waited).
func (h *Handler) StopBootstrap(ctx context.Context, c StopBootstrap) (int64, error) {
	return h.onSession(ctx, c.Actor, c.Session, stopRest)
}

func stopRest(ctx context.Context, u *eventstore.Unit, s domain.OnboardingSession) error {
	if s.Connection == 0 {
		return nil
	}
	stream := domain.ReservationStream(domain.ConnectionStream(s.Connection))
	queue, _, err := eventstore.Load[domain.Reservations](ctx, u, stream)
	if err != nil {
		return err
	}
	ends, stopped := s.StopRest(queue)
	u.Append(s.ID, stopped...)
	u.Append(stream, ends...)
	return nil
}

// TakeOverOnboarding makes the actor the owner of a session that somebody else has begun.
type TakeOverOnboarding struct {
	Actor   domain.Actor
	Session int64
}

// TakeOverOnboarding carries a TakeOverOnboarding out and returns the receipt's seq (0 when it was the actor's already).
func (h *Handler) TakeOverOnboarding(ctx context.Context, c TakeOverOnboarding) (int64, error) {
	return h.onSession(ctx, c.Actor, c.Session, func(_ context.Context, u *eventstore.Unit, s domain.OnboardingSession) error {
		events, err := s.TakeOver(c.Actor.Ref)
		u.Append(s.ID, events...)
		return err
	})
}

// CompleteOnboarding ends a session whose connection is usable. Reason says why a degraded verification is acceptable.
type CompleteOnboarding struct {
	Actor   domain.Actor
	Session int64
	Reason  string
}

// CompleteOnboarding carries a CompleteOnboarding out and returns the receipt's seq (0 when it was completed already). What waits goes on
// waiting for its turn.
func (h *Handler) CompleteOnboarding(ctx context.Context, c CompleteOnboarding) (int64, error) {
	return h.onSession(ctx, c.Actor, c.Session, func(ctx context.Context, u *eventstore.Unit, s domain.OnboardingSession) error {
		var conn domain.ProviderConnection
		if s.Connection != 0 {
			var err error
			if conn, _, err = connection(ctx, u, c.Actor, s.Connection); err != nil {
				return err
			}
		}
		events, err := s.Complete(c.Actor.Ref, conn, c.Reason)
		u.Append(s.ID, events...)
		return err
	})
}

// AbandonOnboarding ends a session without finishing it.
type AbandonOnboarding struct {
	Actor   domain.Actor
	Session int64
	Reason  string // may be empty
}

// AbandonOnboarding carries an AbandonOnboarding out and returns the receipt's seq. What was set up stays, and what runs goes on; what still
// waits is taken out of the queue, because nobody looks after it any more.
func (h *Handler) AbandonOnboarding(ctx context.Context, c AbandonOnboarding) (int64, error) {
	return h.onSession(ctx, c.Actor, c.Session, func(ctx context.Context, u *eventstore.Unit, s domain.OnboardingSession) error {
		events, err := s.Abandon(c.Actor.Ref, c.Reason)
		if err != nil {
			return err
		}
		err = stopRest(ctx, u, s)
		u.Append(s.ID, events...)
		return err
	})
}

// OnboardingSession finds a session by its number, for those who may know of it and work on it. Which stream has the number never changes; all else
// is decided on what a unit loads.
func (h *Handler) OnboardingSession(ctx context.Context, actor domain.Actor, number int64) (domain.OnboardingSession, error) {
	stream, err := h.store.OnboardingStream(ctx, number)
	if err != nil {
		return domain.OnboardingSession{}, err
	}
	if stream == uuid.Nil {
		return domain.OnboardingSession{}, domain.ErrNotFound()
	}
	s, _, err := eventstore.Current[domain.OnboardingSession](ctx, h.store, stream)
	if err != nil {
		return s, err
	}
	return s, actor.Authorize(s.Workspace, s.Tenant, domain.CapOnboardingManage)
}

// onboarding loads a session for those who may work on it.
func onboarding(ctx context.Context, u *eventstore.Unit, actor domain.Actor, stream uuid.UUID) (domain.OnboardingSession, error) {
	s, _, err := eventstore.Load[domain.OnboardingSession](ctx, u, stream)
	if err != nil {
		return s, err
	}
	u.About(s.Tenant)
	return s, actor.Authorize(s.Workspace, s.Tenant, domain.CapOnboardingManage)
}

// onSession carries out what is decided on one session and returns the receipt's seq.
func (h *Handler) onSession(
	ctx context.Context, actor domain.Actor, number int64, decide func(context.Context, *eventstore.Unit, domain.OnboardingSession) error,
) (int64, error) {
	found, err := h.OnboardingSession(ctx, actor, number)
	if err != nil {
		return 0, err
	}
	receipt, err := h.transact(ctx, request{
		actor: actor, affinity: found.Tenant, needs: []uuid.UUID{found.ID, found.Tenant}, surface: surfaceOnboarding, trigger: domain.TriggerOperator,
	}, func(ctx context.Context, u *eventstore.Unit, _ time.Time) error {
		s, err := onboarding(ctx, u, actor, found.ID)
		if err != nil {
			return err
		}
		return decide(ctx, u, s)
	})
	return receipt.Seq, err
}
