package commands_test

import (
	"testing"

	"tenantpilot/commands"
)

func TestPlatformConnectionsUseOurOwnApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handlers[0].PlatformApp = "7c1f0c52-3c1e-4c58-9a2e-52f0a1d9b6e4"
	create := commands.CreateConnection{Actor: w.system, Tenant: w.tenant.ExternalID, DisplayName: "Contoso", ConnectionType: "platform"}
	if c, err := w.handlers[0].CreateConnection(t.Context(), create); err != nil || c.AppID != w.handlers[0].PlatformApp {
		t.Errorf("without an app id: %q, %v", c.AppID, err)
	}
	create.AppID = "another"
	if c, err := w.handlers[0].CreateConnection(t.Context(), create); err != nil || c.AppID != "another" {
		t.Errorf("with one: %q, %v", c.AppID, err)
	}
	create.AppID, create.ConnectionType = "", "dedicated"
	if c, err := w.handlers[0].CreateConnection(t.Context(), create); err == nil {
		t.Errorf("a dedicated connection uses %q", c.AppID)
	}
}
