package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestOperatorScripts runs testdata/script/operator against a demo of its own, which the scripts change: real HTTP, a real database, a worker
// and the simulated provider.
func TestOperatorScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, stop, err := startDemo(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script/operator",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TENANTPILOT_SERVER", f.BaseURL)
			env.Setenv("TENANTPILOT_TOKEN", f.tokenOf("owner"))
			env.Setenv("TENANTPILOT_DATA_DIR", env.WorkDir) // no demo is found by chance
			env.Setenv("DEMO_DIR", dir)
			env.Setenv("GRAPH", f.GraphURL)
			env.Setenv("SECRET", demoSecret)
			env.Setenv("APP", demoApp)
			for _, role := range []string{"readonly", "operator"} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, role+".token"), []byte(f.tokenOf(role)+"\n"), 0o600); err != nil {
					return err
				}
			}
			for name, tenant := range map[string]string{
				"ADATUM": "Adatum", "ALPINE": "Alpine Ski House", "CITY": "City Power & Light", "CONTOSO": "Contoso", "GDI": "Graphic Design Institute",
				"LITWARE": "Litware", "LUCERNE": "Lucerne Publishing", "PROSEWARE": "Proseware", "WINGTIP": "Wingtip Sports",
				"HUMONGOUS": "Humongous Insurance", "FOREIGN": "Blue Yonder Airlines", "FABRIKAM": "Fabrikam Retail",
			} {
				for _, t := range f.Tenants {
					if t.Name == tenant {
						env.Setenv(name+"_TENANT", t.ExternalID)
						if t.ConnectionID != nil {
							env.Setenv(name, strconv.FormatInt(*t.ConnectionID, 10))
						}
					}
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}
