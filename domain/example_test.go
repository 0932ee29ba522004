package domain_test

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// The gate answers every attempt with one of four outcomes, and the answer says which events it becomes.
func ExampleStart() {
	at := time.Date(2026, 11, 7, 14, 3, 0, 0, time.UTC)
	tenant := domain.Fold(domain.Tenant{}, domain.TenantRegistered{Tenant: uuid.UUID{1}, Workspace: uuid.UUID{2}, Name: "Contoso"})
	connection := domain.Fold(domain.ProviderConnection{},
		domain.ProviderConnectionCreated{Connection: domain.ConnectionStream(7), Number: 7, Tenant: tenant.ID, Provider: "microsoft"},
		domain.CredentialRotated{Credential: domain.Credential{Kind: "certificate", Fingerprint: "9f2c41"}})
	sync, _ := domain.LookupOperation(domain.OpGroupsSync)
	inputs, _ := sync.Resolve(nil)

	attempt := domain.Attempt{ID: uuid.UUID{3}, At: at, Operation: sync, Inputs: inputs, Run: uuid.UUID{4}}
	situation := domain.Situation{Tenant: tenant, Connection: connection}
	first := domain.Start(situation, attempt)
	fmt.Println(first.Outcome, "at step", first.Facts.Rule, "-", domain.ReasonFor(first.Reason).Short)

	situation.Connection = domain.Fold(connection, domain.ConsentGranted{},
		domain.VerificationRecorded{State: domain.VerificationHealthy, Granted: sync.Permissions})
	second := domain.Start(situation, attempt)
	for _, change := range second.Changes(situation, attempt) {
		fmt.Println(second.Outcome, change.Events[0].EventName())
		situation.Connection = domain.Fold(situation.Connection, change.Events...)
	}
	third := domain.Start(situation, attempt)
	fmt.Println(third.Outcome, third.Holder.Run == attempt.Run)
	// Output:
	// blocked at step 6 - Admin consent has not been given.
	// accepted RunAccepted
	// accepted ScopeAcquired
	// deduped true
}
