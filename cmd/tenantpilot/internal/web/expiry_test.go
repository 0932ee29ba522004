package web_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/graph"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

type noCredentials struct{}

func (noCredentials) For(context.Context, domain.ProviderConnection) (graph.Secret, error) {
	return graph.Secret{}, nil
}

// look lets workers look for expiring credentials until a look that began after this call has ended, and then some.
func (c *console) look(t testing.TB, workers int) {
	t.Helper()
	client, err := graph.NewClient(graph.Config{})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, workers)
	var began time.Time
	must(t, c.pool.QueryRow(t.Context(), `select clock_timestamp()`).Scan(&began))
	for i := range workers {
		w := worker.New(worker.Config{Name: "look-" + itoa(int64(i)), ExpiryLook: 50 * time.Millisecond}, c.store, c.commands, client, noCredentials{})
		go func() { done <- w.Run(ctx) }()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(25 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("no look for expiring credentials has ended")
			break
		}
		if c.count(t, `select count(*) from looks where name = 'credential_expiry' and due_at > $1::timestamptz + interval '150 milliseconds'`, began) == 1 {
			break
		}
	}
	cancel()
	for range workers {
		must(t, <-done)
	}
	c.settle(t)
}

// notified counts a person's notifications of expiring credentials, after the messages have been delivered.
func (c *console) notified(t testing.TB, name string, want int) {
	t.Helper()
	var n int
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		n = c.count(t, `select count(*) from notifications where kind = 'credential_expiring' and person = $1`, c.people[name])
		if n >= want && c.count(t, `select count(*) from messages_notifications m where m."offset" >
				coalesce((select max(offset_acked) from message_offsets_notifications), 0)`) == 0 || time.Now().After(deadline) {
			break
		}
	}
	if n != want {
		t.Errorf("%s has %d notifications of expiring credentials, want %d", name, n, want)
	}
}

// TestExpiringCredentials: managers and owners are told of each threshold once per credential, however often workers look, start anew, or
// share the work; nobody else is told.
func TestExpiringCredentials(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us := domain.SystemActor(c.ours)
	rotate := func(fingerprint string, in time.Duration) {
		t.Helper()
		connections, err := projections.NewReader(c.pool).Connections(t.Context(), us, c.contoso.ID)
		must(t, err)
		others, err := projections.NewReader(c.pool).Connections(t.Context(), us, c.tailspn.ID)
		must(t, err)
		for _, conn := range append(connections, others...) { // they share it
			must(t, c.commands.RotateCredential(t.Context(), commands.RotateCredential{
				Actor: us, Connection: conn.Number,
				Credential: domain.Credential{Kind: "secret", Fingerprint: fingerprint, ExpiresAt: time.Now().Add(in).Truncate(time.Second)},
			}))
		}
		c.settle(t)
	}
	rotate("far", 90*24*time.Hour)
	c.look(t, 1)
	c.notified(t, "manager", 0)

	rotate("near", 6*24*time.Hour)
	c.look(t, 3)
	c.look(t, 1) // after a restart
	for name, want := range map[string]int{"manager": 1, "owner": 1, "operator": 0, "readonly": 0, "limited": 0, "stranger": 0} {
		c.notified(t, name, want)
	}
	if n := c.count(t, `select count(*) from events where name = 'CredentialExpiring'`); n != 2 {
		t.Errorf("%d warnings are recorded, want one for each connection", n)
	}
	rotate("next", 20*24*time.Hour) // another credential, another threshold
	c.look(t, 2)
	c.notified(t, "manager", 2)

	b := c.browser(t, "manager")
	page := b.send(t, "GET", "/admin/notifications").text()
	if !strings.Contains(page, "expires in 20 days") {
		t.Errorf("the notification does not say what expires when: %s", clip([]byte(page)))
	}
	// One line for the credential that two connections share: it leads to one of them, where the credential is replaced.
	_, leads, _ := strings.Cut(page, `href="/admin/provider-connections/`)
	number, _, _ := strings.Cut(leads, `"`)
	if res := b.send(t, "GET", "/admin/provider-connections/"+number); number == "" || !strings.Contains(res.text(), "/credential\"") {
		t.Errorf("the notification leads to connection %q, where the credential cannot be replaced: %d", number, res.status)
	}
	for path, want := range map[string]string{"/admin/provider-connections": "20 d<", connectionAt(c.conn): "expires in 20 d"} {
		if page := b.send(t, "GET", path).text(); !strings.Contains(page, want) {
			t.Errorf("%s does not count the days as the notification does: no %q", path, want)
		}
	}
	if page := b.send(t, "GET", "/admin/tenants/"+c.contoso.ExternalID.String()).text(); !strings.Contains(page, "Secret expires in 20 days") {
		t.Error("the connection does not show the days that are left")
	}
}

// TestWhoIsToldOfExpiringCredentials: whoever may replace one, by whatever role, and only where they see the tenant, however their scope is put.
func TestWhoIsToldOfExpiringCredentials(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	us := domain.SystemActor(c.ours)
	_, err := c.commands.DescribeTenant(t.Context(), commands.DescribeTenant{Actor: us, Tenant: c.contoso.ExternalID, Name: c.contoso.Name, Groups: []string{"north"}})
	must(t, err)
	must(t, c.commands.DefineRole(t.Context(), commands.DefineRole{Actor: us, Role: "keykeeper", Capabilities: []domain.Capability{domain.CapView, domain.CapProviderManage}}))
	must(t, c.commands.DefineRole(t.Context(), commands.DefineRole{Actor: us, Role: "looker", Capabilities: []domain.Capability{domain.CapView}}))
	told := map[string]int{"owner": 1, "manager": 1, "operator": 0, "readonly": 0, "stranger": 0}
	for name, m := range map[string]struct {
		role  domain.Role
		scope domain.Scope
		want  int
	}{
		"manager of the tenant":              {domain.RoleManager, domain.Scope{Tenants: []uuid.UUID{c.contoso.ID}}, 1},
		"manager of another":                 {domain.RoleManager, domain.Scope{Tenants: []uuid.UUID{c.tailspn.ID}}, 0},
		"manager of its group":               {domain.RoleManager, domain.Scope{Groups: []string{"north"}}, 1},
		"manager of another group":           {domain.RoleManager, domain.Scope{Groups: []string{"south"}}, 0},
		"manager of all but it":              {domain.RoleManager, domain.Scope{ExceptTenants: []uuid.UUID{c.contoso.ID}}, 0},
		"manager of all but its group":       {domain.RoleManager, domain.Scope{ExceptGroups: []string{"north"}}, 0},
		"custom role that manages":           {"keykeeper", domain.Scope{}, 1},
		"custom role that manages elsewhere": {"keykeeper", domain.Scope{Tenants: []uuid.UUID{c.tailspn.ID}}, 0},
		"custom role that looks":             {"looker", domain.Scope{}, 0},
	} {
		person := uuid.New()
		must(t, c.commands.AddMember(t.Context(), commands.AddMember{Actor: us, Person: person, Role: m.role}))
		must(t, c.commands.ScopeMember(t.Context(), commands.ScopeMember{Actor: us, Person: person, Scope: m.scope}))
		c.people[name], told[name] = person, m.want
	}
	must(t, c.commands.RotateCredential(t.Context(), commands.RotateCredential{
		Actor: us, Connection: c.conn.Number, Credential: domain.Credential{Kind: "secret", Fingerprint: "near", ExpiresAt: time.Now().Add(6 * 24 * time.Hour)},
	}))
	c.settle(t)
	c.look(t, 1)
	for name, want := range told {
		c.notified(t, name, want)
	}
}
