package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// TestOperatorScripts runs testdata/script/operator against a demo of its own, which the scripts change: real HTTP, a real database, a
// worker and the simulated provider.
func TestOperatorScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := ownDemo(t, dir)
	certificate, _, err := graphsim.NewCertificate(time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
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
			if err := os.WriteFile(filepath.Join(env.WorkDir, "certificate.pem"), []byte(certificate), 0o600); err != nil {
				return err
			}
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
			"import":   func(ts *testscript.TestScript, _ bool, args []string) { importConnection(t, f, ts, args) },
			"cancel":   func(ts *testscript.TestScript, _ bool, args []string) { cancelSoon(t, f, ts, args) },
			"simulate": func(ts *testscript.TestScript, _ bool, args []string) { simulate(t, f, ts, args) },
		},
	})
}

// importConnection gives a tenant a connection that waits for its review, which no command of the program does, and puts its number into a variable:
// import DIRECTORY VARIABLE.
func importConnection(t *testing.T, f demoFile, ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: import DIRECTORY VARIABLE")
	}
	a, err := newApp(t.Context(), options{databaseURL: f.DatabaseURL, loginURL: f.GraphURL, graphURL: f.GraphURL, log: slog.New(slog.DiscardHandler), lazyDisk: true})
	ts.Check(err)
	defer a.Close()
	conn, err := a.commands.CreateConnection(t.Context(), commands.CreateConnection{
		Actor: domain.SystemActor(demoID("workspace", demoMSP)), Tenant: uuid.MustParse(args[0]), DisplayName: "Imported", ConnectionType: "platform", MigrationReviewRequired: true,
	})
	ts.Check(err)
	var seq int64
	ts.Check(a.pool.QueryRow(t.Context(), `select max(seq) from events where stream = $1`, conn.ID).Scan(&seq))
	_, err = projections.Await(t.Context(), a.pool, seq, 10*time.Second, projections.Connections{})
	ts.Check(err)
	ts.Setenv(args[1], strconv.FormatInt(conn.Number, 10))
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

// TestWhatWaitsIsNoRefusal: first operations that wait for their turn are exit code 4 only for who wanted to wait for them to end.
func TestWhatWaitsIsNoRefusal(t *testing.T) {
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, `{"status":"scope_busy","operatorMessage":"It waits.","pendingOperations":["directory_groups.sync"]}`)
			return
		}
		_, _ = io.WriteString(w, `{"onboarding_session_id":5,"provider_connection_id":3}`)
	}))
	defer console.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("tp_x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for wait, want := range map[bool]int{false: 0, true: exitBusy} {
		root := newRoot()
		root.SetArgs([]string{"onboard", "bootstrap", "5", "--operation", "directory_groups.sync", "--wait=" + strconv.FormatBool(wait), "--server", console.URL, "--token-file", file})
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		var coded *exitCode
		got := 0
		if err := root.ExecuteContext(t.Context()); errors.As(err, &coded) {
			got = coded.code
		} else if err != nil {
			t.Error(err)
		}
		if got != want {
			t.Errorf("waiting %v: exit code %d, want %d", wait, got, want)
		}
	}
}

// TestTheNextStepIsOpenToWhoAsks: what is suggested is not refused for want of a right, a reason or an enabled connection.
func TestTheNextStepIsOpenToWhoAsks(t *testing.T) {
	for answer, want := range map[string]string{
		`{"you_may":"read","current_step":"verify"}`:                                                            "",
		`{"you_may":"take_over","current_step":"verify"}`:                                                       "onboard take-over 5",
		`{"you_may":"work","current_step":"verify"}`:                                                            "onboard check 5 --wait",
		`{"you_may":"work","current_step":"connection"}`:                                                        "onboard connection 5",
		`{"you_may":"work","current_step":"bootstrap","operations":[{"state":"admitted"}]}`:                     "onboard complete 5",
		`{"you_may":"work","needs_reason":true,"current_step":"bootstrap","operations":[{"state":"admitted"}]}`: "onboard complete 5 --reason 'why a degraded verification is acceptable'",
		`{"you_may":"work","current_step":"connection","provider_connection_id":3,"steps":[{"step":"connection","reason_code":"provider_connection_disabled"}]}`: "connections enable 3",
	} {
		s := onboarding{ID: 5}
		if err := json.Unmarshal([]byte(answer), &s); err != nil {
			t.Fatal(err)
		}
		if got := s.next(); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}

// TestNamesCannotSteerTheTerminal: what other people wrote is printed without control characters.
func TestNamesCannotSteerTheTerminal(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprint(plainWriter{&b}, "Contoso\x1b[2J\u009b31m\u202e\r\tÄrger\n")
	if b.String() != "Contoso[2J31m\tÄrger\n" {
		t.Errorf("%q", b.String())
	}
	for format, steers := range map[string]bool{"table": false, "jsonl": false, "csv": true} {
		b.Reset()
		events := auditEvents{format: format}
		write, flush := events.writer(&b)
		must(t, write(projections.AuditLine{ActorKind: domain.ActorPerson, ActorName: "Kim\x1b[2J", Event: "RunProgressed", Payload: []byte(`{}`)}))
		must(t, flush())
		if strings.Contains(b.String(), "\x1b") != steers || !strings.Contains(b.String(), "[2J") {
			t.Errorf("%s writes %q", format, b.String())
		}
	}
}
