package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary stand in for the program in scripts, and ends the shared demo.
func TestMain(m *testing.M) {
	testscript.Main(withDemo{m}, map[string]func(){"tenantpilot": func() { os.Exit(run()) }})
}

type withDemo struct{ *testing.M }

// Run implements testscript.TestingM.
func (m withDemo) Run() int {
	code := m.M.Run()
	if verifierDir != "" {
		_ = os.RemoveAll(verifierDir)
	}
	if theDemo.stop == nil {
		return code
	}
	if err := theDemo.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop demo:", err)
		code = 1
	}
	_ = os.RemoveAll(theDemo.dir)
	return code
}

// TestScripts runs testdata/script against the shared demo. `exits N command` runs a command and compares its exit code.
func TestScripts(t *testing.T) {
	t.Parallel()
	f := runningDemo(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TENANTPILOT_DATA_DIR", theDemo.dir)
			env.Setenv("BASE", f.BaseURL)
			env.Setenv("READER", f.tokenOf("readonly"))
			env.Setenv("PATH", filepath.Dir(tpverify(t))+string(os.PathListSeparator)+env.Getenv("PATH"))
			for _, tenant := range f.Tenants {
				if tenant.Workspace == demoOther {
					env.Setenv("FOREIGN", tenant.ExternalID)
				}
			}
			for name, scenario := range map[string]string{"COHO": "consent_failed", "LITWARE": "consent_required"} {
				env.Setenv(name, f.tenant(t, scenario).ExternalID)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "tokenid": tokenID},
	})
}

// tokenID sets a variable to the id of the token that a file tells of as JSON.
func tokenID(ts *testscript.TestScript, _ bool, args []string) {
	var made struct{ Token string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &made))
	ts.Setenv(args[1], made.Token)
}

var verifierDir string // set by buildVerifier

// buildVerifier builds the auditor's program once.
var buildVerifier = sync.OnceValues(func() (string, error) {
	var err error
	if verifierDir, err = os.MkdirTemp("", "tpverify-"); err != nil {
		return "", err
	}
	path := filepath.Join(verifierDir, "tpverify")
	out, err := exec.Command("go", "build", "-o", path, "../tpverify").CombinedOutput()
	if err != nil {
		return path, fmt.Errorf("build tpverify: %w\n%s", err, out)
	}
	return path, nil
})

// tpverify is the auditor's program, built.
func tpverify(t testing.TB) string {
	t.Helper()
	path, err := buildVerifier()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("run %v: %v", args[1:], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%v exited with %d, want %d", args[1:], got, want)
	}
}
