package main

import (
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/domain"
)

// The demo's cast. Ids are derived from names, so that a second start finds the same people, tenants and simulated directories.

var demoSpace = uuid.MustParse("0d4f9a3e-6a53-5f0e-a8a1-3f1c6d0f7b11")

func demoID(kind, name string) uuid.UUID { return uuid.NewSHA1(demoSpace, []byte(kind+"/"+name)) }

type demoUser struct {
	email, name, role, workspace string // role "platform" has no workspace
}

type demoTenant struct {
	workspace, name, domain string
	scenario                string // what demo.json says
	simulator               string // what the simulator plays; empty is the same
	groups, roles           int

	connection *demoConnection
	hold       string
	history    []demoRun
	refused    []demoRefusal
}

// demoRefusal is a start attempt of the past that the gate refused.
type demoRefusal struct {
	ago       time.Duration
	operation domain.OperationType
	by        string
}

// demoConnection is the state that the axes are brought into, through commands.
type demoConnection struct {
	consent      domain.ConsentState
	verification domain.VerificationState
	reason       domain.ReasonCode
	missing      []string // permissions not granted
	disabled     string   // why
	expired      bool
	expiresIn    time.Duration // of a credential of its own; zero is the platform's, which lasts
	check        bool          // start a check once the worker runs
}

// demoRun is a run of the past.
type demoRun struct {
	ago       time.Duration
	took      time.Duration
	operation domain.OperationType
	by        string // e-mail
	outcome   domain.RunOutcome
	reason    domain.ReasonCode
	summary   string
	count     int
}

const (
	demoMSP   = "Northwind Managed Services"
	demoOther = "Lakeshore IT Partners"
	demoApp   = "7c1f0c52-3c1e-4c58-9a2e-52f0a1d9b6e4"
)

var demoUsers = []demoUser{
	{"olivia.owner@northwind.example", "Olivia Owner", "owner", demoMSP},
	{"mats.manager@northwind.example", "Mats Manager", "manager", demoMSP},
	{"kim.operator@northwind.example", "Kim Operator", "operator", demoMSP},
	{"rosa.reader@northwind.example", "Rosa Reader", "readonly", demoMSP},
	{"otto.outsider@lakeshore.example", "Otto Outsider", "operator", demoOther},
	{"petra.platform@tenantpilot.example", "Petra Platform", "platform", ""},
}

func demoTenants() []demoTenant {
	const kim, mats, olivia = "kim.operator@northwind.example", "mats.manager@northwind.example", "olivia.owner@northwind.example"
	healthy := func() *demoConnection {
		return &demoConnection{consent: domain.ConsentIsGiven, verification: domain.VerificationHealthy}
	}
	groups := func(ago, took time.Duration, by string, n int, summary string) demoRun {
		return demoRun{ago, took, domain.OpGroupsSync, by, domain.Succeeded, "", summary, n}
	}
	roles := func(ago, took time.Duration, by string, n int, summary string) demoRun {
		return demoRun{ago, took, domain.OpRoleDefinitionsSync, by, domain.Succeeded, "", summary, n}
	}
	check := func(ago time.Duration, by string) demoRun {
		return demoRun{ago, 4 * time.Second, domain.OpConnectionCheck, by, domain.Succeeded, "", "Connection checked: everything needed is granted.", 0}
	}
	failed := func(ago, took time.Duration, op domain.OperationType, by string, reason domain.ReasonCode) demoRun {
		return demoRun{ago, took, op, by, domain.Failed, reason, "", 0}
	}
	h, m, s := time.Hour, time.Minute, time.Second
	return []demoTenant{
		{
			workspace: demoMSP, name: "Contoso", domain: "contoso.example", scenario: "healthy", groups: 240, roles: 96, connection: healthy(),
			history: []demoRun{
				check(23*h, kim), groups(22*h, 41*s, kim, 236, "236 groups read, nothing written."),
				roles(9*h, 12*s, mats, 96, "96 role definitions read, nothing written."),
				groups(3*h, 38*s, kim, 240, "240 groups read, nothing written."),
				groups(51*m, 36*s, kim, 240, "240 groups read, nothing written."),
				roles(24*m, 11*s, kim, 96, "96 role definitions read, nothing written."), groups(9*m, 35*s, mats, 240, "240 groups read, nothing written."),
			},
		},
		{
			workspace: demoMSP, name: "Fabrikam Retail", domain: "fabrikam.example", scenario: "slow", groups: 500, roles: 120, connection: healthy(),
			history: []demoRun{
				check(20*h, mats), groups(19*h, 4*m, kim, 488, "488 groups read, nothing written."),
				{6 * h, 2 * m, domain.OpGroupsSync, kim, domain.Cancelled, domain.ReasonCancelledByOperator, "", 0},
				groups(2*h, 3*m, kim, 500, "500 groups read, nothing written."),
				groups(47*m, 5*m, kim, 500, "500 groups read, nothing written."), roles(18*m, 3*m, mats, 120, "120 role definitions read, nothing written."),
			},
		},
		{
			workspace: demoMSP, name: "Tailspin Toys", domain: "tailspin.example", scenario: "disabled", groups: 60, roles: 90,
			connection: &demoConnection{consent: domain.ConsentIsGiven, verification: domain.VerificationHealthy, disabled: "Contract ended; data export pending"},
			history:    []demoRun{check(21*h, mats), groups(18*h, 20*s, kim, 60, "60 groups read, nothing written.")},
			refused:    []demoRefusal{{20 * m, domain.OpGroupsSync, mats}},
		},
		{
			workspace: demoMSP, name: "Litware", domain: "litware.example", scenario: "consent_required", groups: 80, roles: 90,
			connection: &demoConnection{consent: domain.ConsentRequired, verification: domain.VerificationUnknown},
			refused:    []demoRefusal{{27 * m, domain.OpGroupsSync, kim}, {12 * m, domain.OpRoleDefinitionsSync, kim}},
		},
		{
			workspace: demoMSP, name: "Proseware", domain: "proseware.example", scenario: "consent_revoked", groups: 120, roles: 90,
			connection: &demoConnection{
				consent: domain.ConsentIsGone, verification: domain.VerificationBlocked, reason: domain.ReasonProviderConsentRevoked,
			},
			history: []demoRun{
				groups(17*h, 31*s, kim, 118, "118 groups read, nothing written."),
				failed(5*h, 2*s, domain.OpGroupsSync, kim, domain.ReasonProviderConsentRevoked),
			},
		},
		{
			workspace: demoMSP, name: "Wingtip Sports", domain: "wingtip.example", scenario: "verification_blocked", groups: 70, roles: 90,
			connection: &demoConnection{
				consent: domain.ConsentIsGiven, verification: domain.VerificationBlocked, reason: domain.ReasonProviderBlockedByTenantPolicy,
			},
			history: []demoRun{failed(7*h, 3*s, domain.OpRoleDefinitionsSync, mats, domain.ReasonProviderBlockedByTenantPolicy)},
		},
		{
			workspace: demoMSP, name: "Woodgrove Bank", domain: "woodgrove.example", scenario: "permission_missing", groups: 300, roles: 110,
			connection: &demoConnection{
				consent: domain.ConsentIsGiven, verification: domain.VerificationDegraded, reason: domain.ReasonProviderPermissionMissing,
				missing: []string{"GroupMember.Read.All"},
			},
			history: []demoRun{roles(4*h, 15*s, kim, 110, "110 role definitions read, nothing written.")},
		},
		{workspace: demoMSP, name: "Adatum", domain: "adatum.example", scenario: "no_connection", groups: 40, roles: 90},
		{
			workspace: demoMSP, name: "Lucerne Publishing", domain: "lucerne.example", scenario: "credential_expired", groups: 90, roles: 90,
			connection: &demoConnection{consent: domain.ConsentIsGiven, verification: domain.VerificationHealthy, expired: true},
			history:    []demoRun{groups(15*h, 22*s, olivia, 90, "90 groups read, nothing written.")},
		},
		{
			workspace: demoMSP, name: "Trey Research", domain: "trey.example", scenario: "throttled", groups: 200, roles: 90, connection: healthy(),
			history: []demoRun{
				groups(16*h, 66*s, kim, 198, "198 groups read, nothing written."),
				failed(8*h, 5*m, domain.OpGroupsSync, kim, domain.ReasonProviderRateLimited),
				groups(90*m, 71*s, kim, 200, "200 groups read, nothing written."),
				groups(33*m, 4*m, mats, 200, "200 groups read, nothing written."),
			},
		},
		{
			workspace: demoMSP, name: "Alpine Ski House", domain: "alpine.example", scenario: "healthy", groups: 150, roles: 95,
			connection: &demoConnection{consent: domain.ConsentIsGiven, verification: domain.VerificationHealthy, expiresIn: 12 * 24 * h},
			history: []demoRun{
				check(13*h, kim), groups(12*h, 28*s, kim, 150, "150 groups read, nothing written."),
				groups(55*m, 2*m, kim, 150, "150 groups read, nothing written."), failed(14*m, 40*s, domain.OpRoleDefinitionsSync, kim, domain.ReasonProviderUnavailable),
				{100 * m, 19 * s, domain.OpGroupsSync, mats, domain.PartiallySucceeded, domain.ReasonProviderUnavailable, "112 of about 150 groups read; the cache was left as it was.", 112},
			},
		},
		{
			workspace: demoMSP, name: "Coho Vineyard", domain: "coho.example", scenario: "consent_failed", simulator: "no_consent", groups: 30, roles: 90,
			connection: &demoConnection{consent: domain.ConsentIsFailed, verification: domain.VerificationUnknown, reason: domain.ReasonProviderConsentDenied},
		},
		{
			workspace: demoMSP, name: "Bellows College", domain: "bellows.example", scenario: "verification_error", simulator: "unavailable", groups: 400, roles: 90,
			connection: &demoConnection{
				consent: domain.ConsentIsGiven, verification: domain.VerificationError, reason: domain.ReasonProviderUnavailable,
			},
		},
		{
			workspace: demoMSP, name: "Humongous Insurance", domain: "humongous.example", scenario: "verification_unknown", simulator: "healthy", groups: 220, roles: 90,
			connection: &demoConnection{consent: domain.ConsentUnknown, verification: domain.VerificationUnknown},
		},
		{
			workspace: demoMSP, name: "Graphic Design Institute", domain: "gdi.example", scenario: "verification_pending", simulator: "hang", groups: 90, roles: 90,
			connection: &demoConnection{consent: domain.ConsentIsGiven, verification: domain.VerificationUnknown, check: true},
		},
		{
			workspace: demoMSP, name: "City Power & Light", domain: "citypower.example", scenario: "on_hold", simulator: "healthy", groups: 180, roles: 90,
			connection: healthy(), hold: "Change freeze until the audit is over",
			history: []demoRun{groups(11*h, 25*s, kim, 180, "180 groups read, nothing written.")},
		},
		{
			workspace: demoOther, name: "Blue Yonder Airlines", domain: "blueyonder.example", scenario: "healthy", groups: 75, roles: 90, connection: healthy(),
			history: []demoRun{{3 * h, 18 * s, domain.OpGroupsSync, "otto.outsider@lakeshore.example", domain.Succeeded, "", "75 groups read, nothing written.", 75}},
		},
		{workspace: demoOther, name: "Margie's Travel", domain: "margies.example", scenario: "no_connection", groups: 20, roles: 90},
	}
}

// demoProspect is a directory that the simulator knows and nobody manages yet: for walking through the onboarding wizard.
func demoProspect() demoTenant {
	return demoTenant{name: "Fourth Coffee", domain: "fourthcoffee.example", scenario: "consent_required", groups: 60, roles: 90}
}

func (t demoTenant) externalID() uuid.UUID { return demoID("tenant", t.name) }

// simulated is the tenant as the simulator plays it.
func (t demoTenant) simulated(secret string) graphsim.Tenant {
	scenario := t.simulator
	if scenario == "" {
		scenario = t.scenario
	}
	return graphsim.Tenant{
		ID: t.externalID().String(), Name: t.name, Scenario: scenario, AppID: demoApp, Secret: secret,
		Groups: t.groups, RoleDefinitions: t.roles,
	}
}
