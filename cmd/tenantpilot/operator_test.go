package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestOperatorScripts runs testdata/script/operator against a demo of its own, which the scripts change: real HTTP, a real database, a
// worker and the simulated provider.
func TestOperatorScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := ownDemo(t, dir)
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
			tokens := map[string]string{"readonly": f.tokenOf("readonly"), "operator": f.tokenOf("operator")}
			for _, u := range f.Users {
				if u.Workspace == demoOther {
					tokens["foreign"] = u.Token
				}
			}
			for name, token := range tokens {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name+".token"), []byte(token+"\n"), 0o600); err != nil {
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"cancel":   func(ts *testscript.TestScript, _ bool, args []string) { cancelSoon(t, f, ts, args) },
			"simulate": func(ts *testscript.TestScript, _ bool, args []string) { simulate(t, f, ts, args) },
		},
	})
}

// simulate makes the simulated provider play another scenario in a directory: simulate DIRECTORY SCENARIO.
func simulate(t *testing.T, f demoFile, ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: simulate DIRECTORY SCENARIO")
	}
	post(t, f.GraphURL+"/_sim/tenants/"+args[0], `{"scenario": "`+args[1]+`"}`)
}

// cancelSoon asks to cancel the active run of a tenant, in a moment: cancel DIRECTORY.
func cancelSoon(t *testing.T, f demoFile, ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: cancel DIRECTORY")
	}
	var list struct{ Items []struct{ RunID int64 } }
	f.ask(t, "operator", http.MethodGet, "/admin/t/"+args[0]+"/operations?status=running", "", nil, &list)
	if len(list.Items) != 1 {
		ts.Fatalf("%d runs are active", len(list.Items))
	}
	path := fmt.Sprintf("/admin/operations/%d/cancel", list.Items[0].RunID)
	time.AfterFunc(300*time.Millisecond, func() { f.ask(t, "operator", http.MethodPost, path, "", map[string]any{}, nil) })
}

// TestInterruptedWait: Ctrl-C ends the waiting, not the run, and says so in one sentence; so it is when the answer to a start is cut off.
func TestInterruptedWait(t *testing.T) {
	for name, tc := range map[string]struct {
		cut  bool // the console does not answer the start
		want string
	}{
		"while waiting":   {false, "interrupted; run 7 goes on, see http"},
		"while it starts": {true, "send --idempotency-key "},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.Method == http.MethodPost && tc.cut:
					cancel()
					<-r.Context().Done()
				case r.Method == http.MethodPost:
					_, _ = io.WriteString(w, `{"status":"accepted","operatorMessage":"Started.","run":{"id":7,"url":"/admin/operations/7"}}`)
				default:
					_, _ = io.WriteString(w, `{"runId":7,"executionStatus":"running","outcome":null}`)
					cancel()
				}
			}))
			defer console.Close()
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte("tp_x"), 0o600); err != nil {
				t.Fatal(err)
			}
			root := newRoot()
			root.SetArgs([]string{"verify", "3", "--wait", "--server", console.URL, "--token-file", file})
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			err := root.ExecuteContext(ctx)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "interrupted; ") {
				t.Errorf("%v, want %q", err, tc.want)
			}
			var coded *exitCode
			if errors.As(err, &coded) {
				t.Errorf("exit code %d, want %d", coded.code, exitError)
			}
		})
	}
}

// TestNamesCannotSteerTheTerminal: what other people wrote is printed without control characters.
func TestNamesCannotSteerTheTerminal(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprint(plainWriter{&b}, "Contoso\x1b[2J\u009b31m\u202e\r\tÄrger\n")
	if b.String() != "Contoso[2J31m\tÄrger\n" {
		t.Errorf("%q", b.String())
	}
}
