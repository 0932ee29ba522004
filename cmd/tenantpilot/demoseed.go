package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// seeder brings the demo's cast to life through the same commands that people use, dated in the past where a history is told.
type seeder struct {
	store   *eventstore.Store
	secrets *secrets.Store
	people  map[string]uuid.UUID // by e-mail
	now     time.Time
	tenants []seededTenant
}

type seededTenant struct {
	demoTenant
	number int64 // the tenant's
	conn   int64 // its connection's, 0 when it has none
}

// at is a command handler whose clock stands at an instant.
func (s *seeder) at(t time.Time) *commands.Handler {
	return commands.New(s.store, func() time.Time { return t })
}

// workspaces creates the workspaces with their members; the first person of each is its owner.
func (s *seeder) workspaces(ctx context.Context) error {
	h := s.at(s.now.Add(-30 * 24 * time.Hour))
	for _, name := range []string{demoMSP, demoOther} {
		id := demoID("workspace", name)
		var owner domain.Actor
		for _, u := range demoUsers {
			if u.workspace != name {
				continue
			}
			person := s.people[u.email]
			if owner.Ref.ID == uuid.Nil {
				owner = domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: person}, Workspace: id, Role: domain.RoleOwner}
				if err := h.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: id, Name: name, Owner: s.founder(u)}); err != nil {
					return fmt.Errorf("create workspace %s: %w", name, err)
				}
			}
			who := commands.Identity{Email: u.email, Name: u.name}
			if err := h.DescribePerson(ctx, commands.DescribePerson{Actor: owner, Person: person, Identity: who}); err != nil {
				return fmt.Errorf("describe %s: %w", u.email, err)
			}
			if owner.Ref.ID == person {
				if u.role == string(domain.RoleOwner) {
					continue
				}
			}
			role, err := domain.ParseRole(u.role)
			if err != nil {
				return err
			}
			if err := h.AddMember(ctx, commands.AddMember{Actor: owner, Person: person, Role: role}); err != nil {
				return fmt.Errorf("add member %s: %w", u.email, err)
			}
		}
	}
	return nil
}

// founder is a workspace's first owner: the person, or where the demo has none, somebody who does not appear.
func (s *seeder) founder(u demoUser) uuid.UUID {
	if u.role == string(domain.RoleOwner) {
		return s.people[u.email]
	}
	return demoID("person", "founder of "+u.workspace)
}

// seedTenants registers the tenants in order, so that their numbers follow the list, and tells their histories side by side.
func (s *seeder) seedTenants(ctx context.Context) error {
	for _, t := range demoTenants() {
		seeded, err := s.register(ctx, t)
		if err != nil {
			return fmt.Errorf("seed tenant %s: %w", t.name, err)
		}
		s.tenants = append(s.tenants, seeded)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range s.tenants {
		g.Go(func() error {
			if err := s.tell(ctx, t); err != nil {
				return fmt.Errorf("seed history of %s: %w", t.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (s *seeder) register(ctx context.Context, t demoTenant) (seededTenant, error) {
	h := s.at(s.now.Add(-29 * 24 * time.Hour))
	actor := domain.SystemActor(demoID("workspace", t.workspace))
	tenant, err := h.RegisterTenant(ctx, commands.RegisterTenant{Actor: actor, ExternalID: t.externalID(), Name: t.name, Domain: t.domain})
	if err != nil {
		return seededTenant{}, err
	}
	seeded := seededTenant{demoTenant: t, number: tenant.Number}
	if t.connection == nil {
		return seeded, nil
	}
	conn, err := h.CreateConnection(ctx, commands.CreateConnection{
		Actor: actor, Tenant: t.externalID(), DisplayName: t.name + " platform", ConnectionType: "platform", AppID: demoApp,
	})
	seeded.conn = conn.Number
	return seeded, err
}

// tell brings a connection to health, replays the past runs, and then lets happen what the scenario is about.
func (s *seeder) tell(ctx context.Context, t seededTenant) error {
	if t.connection == nil {
		return nil
	}
	actor := domain.SystemActor(demoID("workspace", t.workspace))
	day := s.at(s.now.Add(-28 * 24 * time.Hour))
	expires := s.now.Add(200 * 24 * time.Hour)
	if t.connection.expiresIn > 0 {
		expires = s.now.Add(t.connection.expiresIn)
	}
	if err := s.credential(ctx, day, actor, t, expires); err != nil {
		return err
	}
	if len(t.history) > 0 {
		if err := s.axes(ctx, day, t, demoConnection{consent: domain.ConsentIsGiven, verification: domain.VerificationHealthy}); err != nil {
			return err
		}
	}
	history := slices.SortedFunc(slices.Values(t.history), func(a, b demoRun) int { return cmp.Compare(b.ago, a.ago) })
	for _, r := range history {
		if err := s.past(ctx, t, r); err != nil {
			return err
		}
	}
	since := 30 * time.Minute
	if n := len(history); n > 0 { // dated after the last run, so that the stream's dates go forward
		since = min(since, history[n-1].ago/2)
	}
	recently := s.at(s.now.Add(-since))
	if err := s.axes(ctx, recently, t, *t.connection); err != nil {
		return err
	}
	if err := s.twist(ctx, recently, actor, t); err != nil {
		return err
	}
	for _, r := range t.refused {
		refused, err := s.at(s.now.Add(-r.ago)).Start(ctx, commands.Start{
			Actor: s.member(r.by), Tenant: t.externalID(), Operation: r.operation, Surface: "demo.seed", Trigger: domain.TriggerOperator,
		})
		if err != nil {
			return err
		}
		if refused.Outcome != domain.IsBlocked {
			return fmt.Errorf("past %s was %s", r.operation, refused.Outcome)
		}
	}
	return nil
}

// credential seals the simulator's secret for a connection, as the console would, and records that it is in use.
func (s *seeder) credential(ctx context.Context, h *commands.Handler, actor domain.Actor, t seededTenant, expires time.Time) error {
	conn, _, err := h.Connection(ctx, actor, t.conn)
	if err != nil {
		return err
	}
	known, err := s.secrets.Put(ctx, conn, "secret", demoSecret, time.Time{})
	if err != nil {
		return err
	}
	known.ExpiresAt = expires.Truncate(time.Hour) // also one that has passed: Put would refuse it
	return h.RotateCredential(ctx, commands.RotateCredential{Actor: actor, Connection: t.conn, Credential: known})
}

func (s *seeder) axes(ctx context.Context, h *commands.Handler, t seededTenant, to demoConnection) error {
	actor := domain.SystemActor(demoID("workspace", t.workspace))
	if to.consent != domain.ConsentUnknown {
		c := commands.RecordConsent{Actor: actor, Connection: t.conn, Consent: to.consent, Reason: consentReason(to)}
		if err := h.RecordConsent(ctx, c); err != nil {
			return err
		}
	}
	if to.verification == domain.VerificationUnknown {
		return nil
	}
	var granted []string
	for _, p := range graphsim.DefaultPermissions() {
		if !slices.Contains(to.missing, p) {
			granted = append(granted, p)
		}
	}
	return h.RecordVerification(ctx, commands.RecordVerification{
		Actor: actor, Connection: t.conn, Finding: domain.Finding{State: to.verification, Reason: to.reason, Granted: granted},
	})
}

func consentReason(to demoConnection) domain.ReasonCode {
	if to.consent == domain.ConsentIsGiven {
		return ""
	}
	return to.reason
}

// twist is what the scenario is about besides the axes.
func (s *seeder) twist(ctx context.Context, h *commands.Handler, actor domain.Actor, t seededTenant) error {
	c := t.connection
	switch {
	case c.disabled != "":
		return h.SetConnectionEnabled(ctx, commands.SetConnectionEnabled{Actor: actor, Connection: t.conn, Enabled: false, Reason: c.disabled})
	case c.expired:
		if err := s.credential(ctx, h, actor, t, s.now.Add(-26*time.Hour)); err != nil {
			return err
		}
		return s.axes(ctx, h, t, *c)
	case t.hold != "":
		return h.HoldTenant(ctx, commands.HoldTenant{Actor: actor, Tenant: t.externalID(), Reason: t.hold, Until: s.now.Add(9 * 24 * time.Hour)})
	}
	return nil
}

// past replays one run: accepted, begun, its items, ended, each dated when it was.
func (s *seeder) past(ctx context.Context, t seededTenant, r demoRun) error {
	began := s.now.Add(-r.ago)
	by := s.member(r.by)
	started, err := s.at(began).Start(ctx, commands.Start{
		Actor: by, Tenant: t.externalID(), Operation: r.operation, Surface: "demo.seed", Trigger: domain.TriggerOperator,
	})
	if err != nil {
		return err
	}
	if started.Outcome != domain.Accepted {
		return fmt.Errorf("past %s was %s %s", r.operation, started.Outcome, started.Reason)
	}
	tokens, err := s.store.Numbers(ctx, "fencing_tokens", 1)
	if err != nil {
		return err
	}
	claim := commands.Claim{Workspace: by.Workspace, Run: started.Run, Token: tokens[0], Worker: "demo"}
	if _, err := s.at(began.Add(time.Second)).BeginRun(ctx, claim); err != nil {
		return err
	}
	ended := s.at(began.Add(r.took))
	if r.outcome == domain.Cancelled {
		if _, err := s.at(began.Add(r.took/2)).CancelRun(ctx, commands.CancelRun{Actor: by, Run: started.Run}); err != nil {
			return err
		}
	}
	if r.count > 0 {
		if err := ended.RecordItems(ctx, claim, []domain.Item{pastItem(r)}); err != nil {
			return err
		}
	}
	finding := pastFinding(r)
	return ended.EndRun(ctx, claim, domain.Ending{Outcome: r.outcome, Reason: r.reason, Summary: r.summary}, finding)
}

func pastItem(r demoRun) domain.Item {
	item := domain.Item{
		Key: "directory_groups", Name: "Directory groups", Type: "collection", Intent: "read", Result: domain.ItemConfirmed, Count: r.count,
		Partial: r.outcome == domain.PartiallySucceeded, RequestID: demoID("request", r.summary).String(),
	}
	if r.operation == domain.OpRoleDefinitionsSync {
		item.Key, item.Name = "role_definitions", "Role definitions"
	}
	return item
}

func pastFinding(r demoRun) *domain.Finding {
	if r.operation != domain.OpConnectionCheck {
		return nil
	}
	return &domain.Finding{State: domain.VerificationHealthy, Granted: graphsim.DefaultPermissions()}
}

func (s *seeder) member(email string) domain.Actor {
	for _, u := range demoUsers {
		if u.email == email {
			return domain.Actor{
				Ref:       domain.ActorRef{Kind: domain.ActorPerson, ID: s.people[email]},
				Workspace: demoID("workspace", u.workspace), Role: domain.Role(u.role),
			}
		}
	}
	return domain.Actor{}
}
