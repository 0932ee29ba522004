package page_test

import (
	"encoding/json"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// onboardingSamples are the wizard's pages, made from rows by the presenter.
func onboardingSamples() map[string]templ.Component {
	list := shell("Onboarding", "/admin/onboarding")
	one := shell("Onboard Contoso", "/admin/onboarding/7")
	wizard := func(f view.OnboardingFacts, more ...func(*view.Onboarding)) templ.Component {
		o := view.PresentOnboarding(f)
		for _, add := range more {
			add(&o)
		}
		return page.OnboardingPage(one, o)
	}
	identify := func(f view.OnboardingIdentify) view.OnboardingIdentify {
		first := view.PresentIdentify(now)
		f.Now, f.Title, f.Steps = now, first.Title, first.Steps
		return f
	}
	connection := func(change ...func(*projections.Connection)) *projections.Connection {
		c := onboardingConnection()
		for _, do := range change {
			do(&c)
		}
		return &c
	}
	consented := func(c *projections.Connection) { c.Consent = domain.ConsentIsGiven }
	denied := func(c *projections.Connection) {
		c.Consent, c.Verification, c.LastErrorReason = domain.ConsentIsGiven, domain.VerificationBlocked, domain.ReasonProviderPermissionDenied
		c.Granted, c.Refused, c.LastCheckedAt = []string{"Directory.Read.All"}, []string{"Directory.Read.All"}, &now
	}
	healthy := func(c *projections.Connection) {
		c.Consent, c.Verification, c.LastCheckedAt = domain.ConsentIsGiven, domain.VerificationHealthy, &now
		for _, need := range domain.PermissionNeeds() {
			c.Granted = append(c.Granted, need.Permission)
		}
	}
	degraded := func(c *projections.Connection) {
		healthy(c)
		c.Granted, c.Verification = c.Granted[:1], domain.VerificationDegraded
	}
	consent := func(made bool) func(*view.Onboarding) {
		return func(o *view.Onboarding) {
			f := onboardingFacts(domain.StepConsented, connection())
			p := view.PresentOnboardingConsent(f, view.PresentConsent(f.Session.Connected, f.Tenant, f.Can, "x", now))
			p.Sent = &view.ConsentSent{By: "Kim Larsen", At: ago(3 * time.Minute), Expires: now.Add(12 * time.Minute), State: "open"}
			if made {
				link := view.PresentConsentLink("https://login.example/organizations/v2.0/adminconsent?client_id=0e71&state=9jq", now.Add(15*time.Minute), "Contoso", p.Permissions)
				p.Link = &link
			}
			o.Consent = &p
		}
	}
	failed := onboardingFacts(domain.StepConsented, connection(func(c *projections.Connection) {
		c.Consent, c.ConsentErrorReason = domain.ConsentIsFailed, domain.ReasonProviderConsentDenied
	}))
	checking := onboardingFacts(domain.StepVerified, connection(consented, func(c *projections.Connection) {
		number := int64(4718)
		c.ScopeRunNumber, c.ScopeOperation, c.Verification = &number, domain.OpConnectionCheck, domain.VerificationPending
	}))
	checking.Check = onboardingRun(4718, domain.OpConnectionCheck, nil)
	blocked := onboardingFacts(domain.StepVerified, connection(denied))
	refused := domain.BlockedRun
	blocked.Check = onboardingRun(4717, domain.OpConnectionCheck, &refused)
	started := onboardingFacts(domain.StepBootstrap, connection(healthy))
	done := domain.Succeeded
	number, admitted, completed := int64(4719), projections.BootstrapAdmitted, domain.Completed
	started.Session.SelectedAt, started.Session.SelectorName = &now, "Kim Larsen"
	started.Session.Operations = []projections.OnboardingOperationRow{
		{Operation: domain.OpGroupsSync, State: admitted, RunNumber: &number, RunStatus: &completed, RunOutcome: &done},
		{Operation: domain.OpRoleDefinitionsSync, State: projections.BootstrapPending},
	}
	started.Runs = map[int64]projections.RunLine{4719: *onboardingRun(4719, domain.OpGroupsSync, &done)}
	finished := started
	finished.Session.State, finished.Step = domain.OnboardingDone, ""
	reading := onboardingFacts(domain.StepVerified, connection(denied))
	reading.Mine, reading.Session.OwnerName, reading.Can = false, "Ana Ruiz", func(domain.Capability) bool { return false }
	elsewhere := onboardingFacts(domain.StepVerified, connection(denied))
	elsewhere.Mine, elsewhere.Session.OwnerName = false, "Ana Ruiz"
	me := domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}
	line := func(number int64, state domain.OnboardingState, owner, tenant string, began time.Duration, c *projections.Connection) projections.OnboardingRow {
		row := projections.OnboardingRow{TenantName: tenant, OwnerName: owner}
		row.Number, row.State, row.ExternalID, row.StartedAt = number, state, uuid.New(), ago(began)
		if owner == "Kim Larsen" {
			row.OwnerKind, row.OwnerID = me.Kind, me.ID
		}
		if c != nil {
			row.Connection, row.Connected = &c.Number, *c
		}
		return row
	}
	lines := []projections.OnboardingRow{
		line(9, domain.OnboardingOpen, "Kim Larsen", "Contoso", 40*time.Minute, connection()),
		line(8, domain.OnboardingOpen, "Ana Ruiz", "Fabrikam", 26*time.Hour, connection(denied)),
		line(3, domain.OnboardingDone, "Ana Ruiz", "Litware", 90*time.Hour, nil),
		line(2, domain.OnboardingLeft, "Bo Lind", "Tailspin Toys", 190*time.Hour, nil),
	}
	lines[0].TenantDomain, lines[3].EndedReason = "contoso.com", "Contract was not signed"
	known := view.KnownSession(lines[1])
	return map[string]templ.Component{
		"onboarding":          page.OnboardingListPage(list, view.PresentOnboardings(lines, me, true, now)),
		"onboarding-empty":    page.OnboardingListPage(list, view.PresentOnboardings(nil, me, true, now)),
		"onboarding-new":      page.OnboardingIdentifyPage(list, identify(view.OnboardingIdentify{})),
		"onboarding-invalid":  page.OnboardingIdentifyPage(list, identify(view.OnboardingIdentify{Directory: "contoso", Name: "Contoso", Errors: []view.FieldError{{Pointer: "/entra_tenant_id", Message: "A directory id is a UUID such as 8f1c2d3e-0000-4000-8000-000000000000."}}})),
		"onboarding-met":      page.OnboardingIdentifyPage(list, identify(view.OnboardingIdentify{Directory: lines[1].ExternalID.String(), Name: "Fabrikam", Known: &known})),
		"onboarding-identify": wizard(onboardingFacts(domain.StepIdentify, nil)),
		"onboarding-choose":   wizard(onboardingFacts(domain.StepConnection, nil)),
		"onboarding-secret": wizard(onboardingFacts(domain.StepConnection, connection(func(c *projections.Connection) {
			c.CredentialKind, c.CredentialFingerprint = "", ""
		})), func(o *view.Onboarding) {
			o.Errors = []view.FieldError{{Pointer: "/secret", Message: "A client secret is one line."}}
			o.Connection.Credential.Errors = o.Errors
		}),
		"onboarding-disabled": wizard(onboardingFacts(domain.StepConnection, connection(func(c *projections.Connection) { c.Enabled = false }))),
		"onboarding-consent":  wizard(onboardingFacts(domain.StepConsented, connection()), consent(false)),
		"onboarding-link":     wizard(onboardingFacts(domain.StepConsented, connection()), consent(true)),
		"onboarding-elsewhere": wizard(failed, func(o *view.Onboarding) {
			p := view.PresentOnboardingConsent(failed, view.PresentConsent(failed.Session.Connected, failed.Tenant, failed.Can, "x", now))
			o.Consent = &p
		}),
		"onboarding-locked":    wizard(onboardingFacts(domain.StepVerified, connection())),
		"onboarding-verify":    wizard(onboardingFacts(domain.StepVerified, connection(consented))),
		"onboarding-checking":  wizard(checking),
		"onboarding-denied":    wizard(blocked, func(o *view.Onboarding) { outcome := blockedOutcome(); o.Outcome = &outcome }),
		"onboarding-others":    wizard(elsewhere),
		"onboarding-reading":   wizard(reading),
		"onboarding-bootstrap": wizard(onboardingFacts(domain.StepBootstrap, connection(healthy))),
		"onboarding-started":   wizard(started, func(o *view.Onboarding) { outcome := acceptedOutcome(); o.Outcome = &outcome }),
		"onboarding-finish":    wizard(onboardingFacts(view.StepFinish, connection(degraded))),
		"onboarding-finished":  wizard(finished),
	}
}

func onboardingTenant() projections.Tenant {
	number := int64(70)
	return projections.Tenant{
		ID: uuid.New(), Number: 7, ExternalID: uuid.MustParse("8f1c2d3e-0000-4000-8000-000000000001"), Name: "Contoso", Domain: "contoso.com", DefaultConnection: &number, Groups: []string{"europe"},
	}
}

func onboardingConnection() projections.Connection {
	return projections.Connection{
		Number: 70, Stream: uuid.New(), Provider: "microsoft", DisplayName: "Contoso platform", ConnectionType: "platform", AppID: "0e714f5e-0000-4000-8000-000000000001",
		Enabled: true, Consent: domain.ConsentRequired, Verification: domain.VerificationUnknown, CredentialKind: "secret", CredentialFingerprint: "f",
	}
}

func onboardingFacts(step domain.OnboardingStep, c *projections.Connection) view.OnboardingFacts {
	off := onboardingConnection()
	off.Number, off.DisplayName, off.Enabled = 71, "Contoso dedicated", false
	all := func(domain.Capability) bool { return true }
	f := view.OnboardingFacts{
		Mine: true, Tenant: onboardingTenant(), Connections: []projections.Connection{onboardingConnection(), off}, Step: step, Attempt: uuid.NewString(), Can: all,
		May: func(domain.NextStepAction) bool { return true }, Now: now,
		Readiness: map[domain.OperationType]view.Forecast{}, Usual: map[domain.OperationType]string{domain.OpGroupsSync: "usually 2-4 min"},
	}
	f.Session.Number, f.Session.State, f.Session.OwnerName, f.Session.StarterName = 7, domain.OnboardingOpen, "Kim Larsen", "Kim Larsen"
	f.Session.StartedAt, f.Session.ExternalID, f.Session.TenantName = ago(40*time.Minute), f.Tenant.ExternalID, "Contoso"
	if c != nil {
		chosen := ago(30 * time.Minute)
		f.Session.Connection, f.Session.Connected, f.Session.ChooserName, f.Session.ChosenAt = &c.Number, *c, "Kim Larsen", &chosen
		f.Connections[0] = *c
		f.Log = append(f.Log, logged(2, 30*time.Minute, domain.ConnectionChosen{Connection: 70}))
		f.History = []projections.TimelineEvent{{Position: 2139, At: ago(20 * time.Minute), Name: "ConsentGranted", Actor: "Kim Larsen"}}
	}
	f.Log = append(f.Log, logged(1, 40*time.Minute, domain.TenantIdentified{}), logged(0, 40*time.Minute, domain.OnboardingStarted{Number: 7, ExternalID: f.Tenant.ExternalID}))
	for i, op := range domain.BootstrapOperations() {
		f.Readiness[op.Type] = view.Forecast{Status: "accepted", Text: "Will start now"}
		if i == 1 {
			f.Readiness[op.Type] = view.Forecast{Status: "blocked", Text: "Will be blocked: a permission is missing", ReasonCode: "provider_permission_missing"}
		}
	}
	return f
}

func logged(n int64, before time.Duration, e domain.Event) projections.AuditLine {
	payload, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return projections.AuditLine{Position: 2140 + n, At: ago(before), Event: e.EventName(), Payload: payload, ActorKind: domain.ActorPerson, ActorName: "Kim Larsen"}
}

func onboardingRun(number int64, op domain.OperationType, outcome *domain.RunOutcome) *projections.RunLine {
	started := ago(20 * time.Second)
	run := projections.Run{
		ID: uuid.New(), Number: number, Operation: op, Status: domain.Running, AcceptedAt: ago(25 * time.Second), StartedAt: &started, Outcome: outcome, Step: "Reading permissions", Done: 2, Confirmed: 2,
	}
	if outcome != nil {
		run.Status, run.EndedAt = domain.Completed, &now
	}
	return &projections.RunLine{Run: run, TenantName: "Contoso", InitiatorName: "Kim Larsen"}
}
