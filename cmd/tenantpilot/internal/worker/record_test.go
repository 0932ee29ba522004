package worker_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// row is a run as pages show it, once the read models have its end.
func (tn tenant) row(run uuid.UUID) projections.Run {
	tn.w.t.Helper()
	tn.w.settled(tn)
	var text []byte
	tn.w.must(tn.w.pool.QueryRow(tn.w.t.Context(), `select to_json(r) from runs r where run = $1`, run).Scan(&text))
	var r projections.Run
	tn.w.must(json.Unmarshal(text, &r))
	return r
}

func TestARunsRowTellsHowItEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	w.work(worker.Config{Name: "w1"})
	tn := w.tenant(graphsim.Tenant{Groups: 90, RoleDefinitions: 60})
	for i, c := range []struct {
		op        domain.OperationType
		confirmed int
		summary   string
	}{
		{domain.OpConnectionCheck, 4, `^Connection checked: everything needed is granted and works\.$`},
		{domain.OpRoleDefinitionsSync, 1, `^60 role definitions read, nothing written\.$`},
		{domain.OpGroupsSync, 1, `^90 groups read, nothing written\.$`},
		{domain.OpGroupsSync, 1, `^\d+ changes read, \d+ groups known, nothing written\.$`},
	} {
		run := tn.accepted(c.op)
		wantEnd(t, w.ended(run), domain.Succeeded, "")
		r := tn.row(run)
		if r.Status != domain.Completed || r.Outcome == nil || *r.Outcome != domain.Succeeded || r.Reason != nil && *r.Reason != "" ||
			r.ScopeReleasedAt == nil || r.StartedAt == nil || r.EndedAt == nil || r.Try != 1 || r.Worker != "w1" || r.Operation != c.op {
			t.Errorf("run %d, %s: row %+v", i, c.op, r)
		}
		if r.Confirmed != c.confirmed || r.Refused+r.Unknown != 0 || !regexp.MustCompile(c.summary).MatchString(r.Summary) {
			t.Errorf("run %d, %s: %d confirmed, %d refused, %d unknown, %q; want %d and %s",
				i, c.op, r.Confirmed, r.Refused, r.Unknown, r.Summary, c.confirmed, c.summary)
		}
	}
}

// A claim made by hand is a worker that began and was never heard of again, without any chance in it.
func TestASilentWorkersRunIsRecoveredAndItsTokenRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{Groups: 90})
	run := tn.accepted(domain.OpGroupsSync)
	w.settled(tn)
	item, err := projections.Claim(t.Context(), w.pool, "silent", time.Second)
	w.must(err)
	if item == nil || item.Run != run {
		t.Fatalf("claimed %+v, want run %s", item, run)
	}
	claim := commands.Claim{Workspace: item.Workspace, Run: run, Token: item.Token, Worker: "silent"}
	_, err = w.commands.BeginRun(t.Context(), claim)
	w.must(err)

	w.sim.Hold(tn.id)
	w.work(worker.Config{Name: "successor"})
	tn.held() // the successor has it, and it has not ended
	finding := &domain.Finding{State: domain.VerificationBlocked, Reason: domain.ReasonProviderConsentRevoked}
	_, progressErr := w.commands.ReportProgress(t.Context(), claim, domain.Progress{Step: "late"})
	for what, err := range map[string]error{
		"progress": progressErr,
		"items": w.commands.RecordItems(t.Context(), claim, []domain.Item{
			{Key: "late", Name: "late", Type: "collection", Intent: "read", Result: domain.ItemConfirmed},
		}),
		"end": w.commands.EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Failed, Reason: domain.ReasonInternalError}, finding),
	} {
		if refusal, refused := domain.AsRefusal(err); !refused || refusal.Kind != domain.Conflict {
			t.Errorf("%s under the old token: %v, want a conflict", what, err)
		}
	}
	if held, err := projections.Renew(t.Context(), w.pool, run, claim.Token, time.Minute); err != nil || held {
		t.Errorf("renewed under the old token: %v, %v", held, err)
	}
	w.sim.Release(tn.id)
	wantEnd(t, w.ended(run), domain.Succeeded, "")
	recovered := 0
	for _, e := range w.history(run) {
		if r, ok := e.(domain.RunRecovered); ok && r.Try == 2 && r.Worker == "successor" {
			recovered++
		}
	}
	if c := tn.connection(); recovered != 1 || c.Verification != domain.VerificationHealthy || c.Scope.Held() {
		t.Errorf("recovered %d times, want 1; connection %s, scope held %v", recovered, c.Verification, c.Scope.Held())
	}
	if r := tn.row(run); r.Try != 2 || r.Worker != "successor" || r.Step == "late" {
		t.Errorf("row has try %d, worker %s, step %q", r.Try, r.Worker, r.Step)
	}
}

func TestTwoWorkersShareRunsAndDoEachOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{PageSize: 20})
	var runs []uuid.UUID
	for range 20 {
		tn := w.tenant(graphsim.Tenant{Groups: 40})
		tn.sim(`{"latencyMs":30}`)
		runs = append(runs, tn.accepted(domain.OpGroupsSync))
	}
	// A lease longer than the test: no recovery may cover up that two had the same run.
	w.work(worker.Config{Name: "a", Concurrency: 3, Lease: time.Minute})
	w.work(worker.Config{Name: "b", Concurrency: 3, Lease: time.Minute})
	by := map[string]int{}
	for _, run := range runs {
		wantEnd(t, w.ended(run), domain.Succeeded, "")
		ends, starts := 0, 0
		for _, e := range w.history(run) {
			switch e := e.(type) {
			case domain.RunStarted:
				starts++
				by[e.Worker]++
			case domain.RunCompleted:
				ends++
			}
		}
		if ends != 1 || starts != 1 {
			t.Errorf("run %s: begun %d times, ended %d times", run, starts, ends)
		}
		if e := w.effects(run); e.Rows != 40 || e.Pages != 2 {
			t.Errorf("run %s: effects %+v, want one reading of 2 pages", run, e)
		}
	}
	if by["a"] == 0 || by["b"] == 0 {
		t.Errorf("runs by worker: %v, want both to have some", by)
	}
	w.nothingLeft()
}

func TestACancelledRunEndsWithinSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tn := w.tenant(graphsim.Tenant{})
	w.work(worker.Config{}) // with the default lease: that is what people wait for
	w.sim.Hold(tn.id)
	run := tn.accepted(domain.OpGroupsSync)
	tn.held()
	_, err := w.commands.CancelRun(t.Context(), commands.CancelRun{Actor: w.operator, Run: run})
	w.must(err)
	wantEnd(t, w.ended(run), domain.Cancelled, domain.ReasonCancelledByOperator)
	at := map[string]time.Time{}
	stored, err := w.store.ReadStream(t.Context(), run, 0)
	w.must(err)
	for _, e := range stored {
		at[e.Name] = e.RecordedAt
	}
	asked, ended := at[domain.RunCancelRequested{}.EventName()], at[domain.RunCompleted{}.EventName()]
	if took := ended.Sub(asked); asked.IsZero() || took < 0 || took > 3*time.Second {
		t.Errorf("asked at %s, ended %s later, want within 3 s", asked, took)
	}
	if tn.connection().Scope.Held() {
		t.Error("the scope is still held")
	}
	if r := tn.row(run); r.CancelRequestedBy == nil || *r.CancelRequestedBy != w.operator.Ref.ID {
		t.Errorf("the row says cancelled by %v", r.CancelRequestedBy)
	}
}

// echo is a provider whose texts say what it was sent. Its ids are ids: those are kept for support, by their shape alone.
func echo(fails string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		secret, id := r.PostForm.Get("client_secret"), uuid.NewString()
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("request-id", id)
		var answer any
		status := http.StatusOK
		switch sent := secret + r.Header.Get("Authorization"); {
		case secret != "" && fails != "token":
			answer = map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": accessToken}
		case secret != "":
			status = http.StatusUnauthorized
			answer = map[string]any{
				"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret: " + sent,
				"error_codes": []int{7000215}, "trace_id": id, "correlation_id": id,
			}
		case fails == "graph":
			status = http.StatusForbidden
			answer = map[string]any{"error": map[string]any{
				"code": "Authorization_RequestDenied", "message": "Refused: " + sent, "innerError": map[string]any{"request-id": id, "message": sent},
			}}
		default: // a listing that cannot be one
			answer = map[string]any{"value": sent, "@odata.nextLink": "https://attacker.example/?t=" + url.QueryEscape(sent)}
		}
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(answer)
	})
}

const accessToken = "access-canary-51b0e7"

func TestSecretsAreInNoEventNoTableNoLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ops := []domain.OperationType{domain.OpConnectionCheck, domain.OpGroupsSync, domain.OpRoleDefinitionsSync}

	var runs []uuid.UUID
	all := func(scenarios ...string) { // at the same time
		from := len(runs)
		for _, scenario := range scenarios {
			for _, op := range ops {
				runs = append(runs, w.tenant(graphsim.Tenant{Scenario: scenario, Groups: 50}).accepted(op))
			}
		}
		for _, run := range runs[from:] {
			w.ended(run)
		}
	}
	stop := w.work(worker.Config{Log: logger, Concurrency: 8})
	all("healthy", "forbidden", "expired_secret", "wrong_secret", "consent_revoked", "malformed", "redirect")
	stop()
	stop = w.work(worker.Config{}, panicking{}) // the log of a panic has its value
	all("healthy")
	stop()
	for _, fails := range []string{"token", "graph", "listing"} {
		server := httptest.NewServer(echo(fails))
		t.Cleanup(server.Close)
		same := *w
		same.simURL = server.URL
		stop := same.work(worker.Config{Log: logger})
		all("healthy")
		stop()
	}

	dump := w.dump()
	for _, run := range runs {
		if !strings.Contains(dump["events"], run.String()) {
			t.Fatalf("the dump lacks run %s", run)
		}
	}
	if dump["content"] == "" || dump["runs"] == "" || !strings.Contains(log.String(), runs[0].String()) {
		t.Fatal("the dump or the log lacks what it should have")
	}
	dump["the log"] = log.String()
	issued := regexp.MustCompile(`sim\.[A-Za-z0-9_-]{16,}`) // the simulator's access tokens
	for where, text := range dump {
		for what, secret := range map[string]string{"secret": appSecret, "access token": accessToken} {
			for form, s := range map[string]string{
				"it is": secret, "base64": base64.StdEncoding.EncodeToString([]byte(secret)), "hexadecimal": hex.EncodeToString([]byte(secret)),
				"a URL's part": url.QueryEscape(secret),
			} {
				if i := strings.Index(text, s); i >= 0 {
					t.Errorf("the %s is in %s, as %s: %s", what, where, form, text[max(0, i-200):min(len(text), i+100)])
				}
			}
		}
		if found := issued.FindString(text); found != "" {
			t.Errorf("an access token is in %s: %s", where, found)
		}
	}
}

// dump is every row of every table in plain text, by table.
func (w *world) dump() map[string]string {
	w.t.Helper()
	w.settled(tenant{w: w})
	owner := w.db.OwnerPool(w.t)
	rows, err := owner.Query(w.t.Context(), `select tablename from pg_tables where schemaname = 'public'`)
	w.must(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.must(err)
	if !slices.Contains(tables, "events") {
		w.t.Fatalf("tables %v", tables)
	}
	dump := map[string]string{}
	read := func(table, expression string) {
		rows, err := owner.Query(w.t.Context(), `select `+expression+` from `+pgx.Identifier{table}.Sanitize()+` x`)
		w.must(err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		w.must(err)
		dump[table] += strings.Join(lines, "\n")
	}
	for _, table := range tables {
		read(table, `x::text`)
	}
	read("events", `payload::text || meta::text`)
	read("content", `encode(bytes, 'escape')`)
	return dump
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
