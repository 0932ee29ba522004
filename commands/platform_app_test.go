package commands_test

import (
	"testing"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

func TestPlatformConnectionsUseOurOwnApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handlers[0].PlatformApp = "7c1f0c52-3c1e-4c58-9a2e-52f0a1d9b6e4"
	create := commands.CreateConnection{Actor: w.system, Tenant: w.tenant.ExternalID, DisplayName: "Contoso", ConnectionType: "platform"}
	if c, err := w.handlers[0].CreateConnection(t.Context(), create); err != nil || c.AppID != w.handlers[0].PlatformApp || c.Credential.Kind != domain.CredentialPlatform {
		t.Errorf("without an app id: %q with %+v, %v", c.AppID, c.Credential, err)
	}
	create.AppID = "another"
	if c, err := w.handlers[0].CreateConnection(t.Context(), create); err != nil || c.AppID != "another" || c.Credential.Kind != "" {
		t.Errorf("with one: %q with %+v, %v", c.AppID, c.Credential, err)
	}
	create.AppID, create.ConnectionType = "", "dedicated"
	if c, err := w.handlers[0].CreateConnection(t.Context(), create); err == nil {
		t.Errorf("a dedicated connection uses %q", c.AppID)
	}
}

// TestThePlatformsCredentialGoesWithItsApplication: a connection that gets our application gets its credential, one that loses the one loses the
// other, and no connection with another application is given it.
func TestThePlatformsCredentialGoesWithItsApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.handlers[0]
	conn, err := h.CreateConnection(t.Context(), commands.CreateConnection{
		Actor: w.system, Tenant: w.tenant.ExternalID, DisplayName: "Before", ConnectionType: "platform", AppID: "ours",
	})
	must(t, err)
	h.PlatformApp = "ours" // the connection is from before it was configured
	kind := func() string {
		c, _, err := h.Connection(t.Context(), w.system, conn.Number)
		must(t, err)
		return c.Credential.Kind
	}
	rotate := func(kind string) error {
		return h.RotateCredential(t.Context(), commands.RotateCredential{
			Actor: w.system, Connection: conn.Number, Credential: domain.Credential{Kind: kind, Fingerprint: "f"},
		})
	}
	change := func(kind, app string) {
		must(t, h.ChangeConnection(t.Context(), commands.ChangeConnection{
			Actor: w.system, Connection: conn.Number, DisplayName: "After", Type: kind, AppID: app,
		}))
	}
	must(t, rotate("platform"))
	if kind() != "platform" {
		t.Errorf("asked for: %q", kind())
	}
	change("dedicated", "theirs")
	if kind() != "" {
		t.Errorf("another application signs in with %q", kind())
	}
	if _, refused := domain.AsRefusal(rotate("platform")); !refused || kind() != "" {
		t.Errorf("another application is given ours: %q", kind())
	}
	change("platform", "")
	if kind() != "platform" {
		t.Errorf("back at our application: %q", kind())
	}
	must(t, rotate("secret"))
	change("platform", "ours") // another name is no other application
	if kind() != "secret" {
		t.Errorf("its own credential is gone: %q", kind())
	}
}
