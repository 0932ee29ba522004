package projections_test

import (
	"testing"
	"time"

	"tenantpilot/domain"
)

// TestReadinessOfManyTenantsIsOneQuery: a thousand tenants among twenty thousand runs, read and decided at once.
func TestReadinessOfManyTenantsIsOneQuery(t *testing.T) {
	t.Parallel()
	b := newBig(t)
	b.exec(t, `insert into tenants (tenant, number, workspace, external_id, name, domain, default_connection, position)
		select gen_random_uuid(), 100 + n, $1, gen_random_uuid(), 'Tenant ' || n, '', 100 + n, 1 from generate_series(1, 1000) n`, b.workspace)
	b.exec(t, `insert into provider_connections (number, stream, workspace, tenant, provider, display_name, connection_type, app_id, is_enabled,
			consent_status, verification_status, granted, credential_fingerprint, version, position)
		select t.number, gen_random_uuid(), t.workspace, t.tenant, 'microsoft', t.name, 'platform', 'app', true, 'granted', 'healthy',
			'{GroupMember.Read.All,RoleManagement.Read.Directory}', 'f', 1, 1 from tenants t where t.number > 100`)
	began := time.Now()
	plans := b.plans(t, func() {
		situations, err := b.read.Situations(t.Context(), b.actor)
		must(t, err)
		startable := 0
		for _, s := range situations {
			for _, r := range domain.ReadinessOf(s.Situation(), b.now) {
				if r.Outcome == domain.Accepted {
					startable++
				}
			}
		}
		t.Logf("%d tenants, %d starts would be accepted: %s", len(situations), startable, time.Since(began))
		if len(situations) != 1002 || startable < 3000 {
			t.Errorf("%d tenants, %d starts would be accepted", len(situations), startable)
		}
	})
	if len(plans) != 1 {
		t.Errorf("%d queries, want one", len(plans))
	}

	began = time.Now()
	for _, plan := range b.plans(t, func() {
		used, err := b.read.Exercises(t.Context(), b.tenants[0], 1)
		must(t, err)
		t.Logf("%d permissions exercised: %s", len(used), time.Since(began))
		if len(used) == 0 {
			t.Error("nothing was exercised")
		}
	}) {
		if scansAll.MatchString(plan) {
			t.Errorf("a connection's permissions are looked for in all runs:\n%s", plan)
		}
	}
}
