package web

import (
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// onboardingFacts reads what a session's page at a step is made from.
func (s *Server) onboardingFacts(r request, step domain.OnboardingStep) (f view.OnboardingFacts, err error) {
	ctx, actor := r.Context(), r.actor()
	number, err := pathNumber(r.v("session"))
	if err != nil {
		return f, err
	}
	f = view.OnboardingFacts{
		Step: step, Attempt: uuid.NewString(), Can: actor.May, May: func(a domain.NextStepAction) bool { return mayStep(actor, a) }, Now: time.Now().UTC(),
	}
	f.Session, err = waitFor(r, s, projections.OnboardingList{}, func() (projections.OnboardingRow, error) { return s.Read.Onboarding(ctx, actor, number) })
	if err != nil {
		return f, err
	}
	f.Mine = f.Session.Owner() == actor.Ref
	if f.Tenant, err = s.Read.TenantByID(ctx, actor, f.Session.Tenant); err != nil {
		return f, err
	}
	if f.Connections, err = s.Read.Connections(ctx, actor, f.Tenant.ID); err != nil {
		return f, err
	}
	if f.Log, err = s.Read.OnboardingLog(ctx, actor, number); err != nil {
		return f, err
	}
	if f.Session.Connection == nil {
		return f, nil
	}
	if f.History, err = s.Read.ConnectionHistory(ctx, f.Session.Connected, historyLimit); err != nil {
		return f, err
	}
	if err := s.onboardingRuns(r, &f); err != nil {
		return f, err
	}
	return f, s.onboardingReadiness(r, &f)
}

// onboardingRuns reads the newest check, and the runs that the selected operations became.
func (s *Server) onboardingRuns(r request, f *view.OnboardingFacts) (err error) {
	checks := projections.RunFilter{
		Tenant: f.Tenant.ID, Limit: 1, Operation: []projections.Match{{Values: []string{string(domain.OpConnectionCheck)}}},
		Connection: []projections.Match{{Values: []string{view.Number(f.Session.Connected.Number)}}},
	}
	newest, _, _, err := s.Read.ListRuns(r.Context(), r.actor(), checks)
	if err != nil {
		return err
	}
	if len(newest) > 0 {
		f.Check = &newest[0]
	}
	if f.Exercises, err = s.Read.Exercises(r.Context(), f.Tenant.ID, f.Session.Connected.Number); err != nil {
		return err
	}
	wanted := projections.RunFilter{Numbers: []int64{}, Limit: 200}
	for _, o := range f.Session.Operations {
		if o.RunNumber != nil {
			wanted.Numbers = append(wanted.Numbers, *o.RunNumber)
		}
	}
	if len(wanted.Numbers) == 0 {
		return nil
	}
	runs, _, _, err := s.Read.ListRuns(r.Context(), r.actor(), wanted)
	f.Runs = make(map[int64]projections.RunLine, len(runs))
	for _, run := range runs {
		f.Runs[run.Number] = run
	}
	return err
}

// onboardingReadiness asks the gate about each operation that can be begun with, and what is known about how long it takes. Whoever sees the
// session may know the answer, so the product asks in its own name.
func (s *Server) onboardingReadiness(r request, f *view.OnboardingFacts) error {
	if f.Step != "" && f.Step != view.StepBootstrap {
		return nil
	}
	f.Readiness, f.Usual = map[domain.OperationType]view.Forecast{}, map[domain.OperationType]string{}
	for _, o := range domain.BootstrapOperations() {
		result, err := s.Commands.Forecast(r.Context(), commands.Start{
			Actor: domain.SystemActor(f.Session.Workspace), Operation: o.Type, Connection: f.Session.Connected.Number,
		})
		if err != nil {
			return err
		}
		facts, err := s.startFacts(r, result)
		if err != nil {
			return err
		}
		f.Readiness[o.Type] = view.PresentForecast(facts)
		usual, err := s.Read.Usually(r.Context(), f.Tenant.ID, o.Type)
		if err != nil {
			return err
		}
		f.Usual[o.Type] = view.Usually(usual.From, usual.To)
	}
	return nil
}
