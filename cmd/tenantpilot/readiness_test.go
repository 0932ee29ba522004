package main

import (
	"encoding/csv"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// TestReadinessAgreesWithTheGate compares the matrix, which is made from read models in one query, with the gate's own dry run from the log:
// for every tenant and operation of the demo, one connection being in use.
func TestReadinessAgreesWithTheGate(t *testing.T) {
	f := ownDemo(t, t.TempDir())
	slow := f.tenant(t, "slow")
	post(t, f.GraphURL+"/_sim/tenants/"+slow.ExternalID, `{"hold": true}`)
	held := f.start(t, "slow", "directory_groups.sync")

	a, err := newApp(t.Context(), options{databaseURL: f.DatabaseURL, loginURL: f.GraphURL, graphURL: f.GraphURL, log: slog.New(slog.DiscardHandler), lazyDisk: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var seq int64
	if err := a.pool.QueryRow(t.Context(), `select max(seq) from events`).Scan(&seq); err != nil {
		t.Fatal(err)
	}
	if _, err := projections.Await(t.Context(), a.pool, seq, 10*time.Second, projections.All()...); err != nil {
		t.Fatal(err)
	}
	reader := projections.NewReader(a.pool)
	outcomes := map[domain.Outcome]int{}
	for _, workspace := range []string{demoMSP, demoOther} {
		actor := domain.SystemActor(demoID("workspace", workspace))
		situations, err := reader.Situations(t.Context(), actor)
		if err != nil || len(situations) == 0 {
			t.Fatalf("%s: %d situations, %v", workspace, len(situations), err)
		}
		for _, s := range situations {
			for _, got := range domain.ReadinessOf(s.Situation(), time.Now()) {
				want, err := a.commands.Forecast(t.Context(), commands.Start{Actor: actor, Tenant: s.Tenant.ExternalID, Operation: got.Operation.Type})
				if err != nil {
					t.Fatal(err)
				}
				outcomes[got.Outcome]++
				if got.Outcome != want.Outcome || got.Reason != want.Reason || got.Holder.Run != want.Holder.Run || got.Identity != want.Identity ||
					got.Facts.Rule != want.Facts.Rule || got.Facts.ConnectionVersion != want.Facts.ConnectionVersion ||
					got.Facts.HoldReason != want.Facts.HoldReason || !slices.Equal(got.Facts.Permissions, want.Facts.Permissions) {
					t.Errorf("%s, %s: matrix %s %s %+v, gate %s %s %+v", s.Tenant.Name, got.Operation.Type,
						got.Outcome, got.Reason, got.Facts, want.Outcome, want.Reason, want.Facts)
				}
			}
		}
	}
	for _, o := range []domain.Outcome{domain.Accepted, domain.Deduped, domain.Busy, domain.IsBlocked} {
		if outcomes[o] == 0 {
			t.Errorf("no cell is %s: the comparison is not worth much (%v)", o, outcomes)
		}
	}
	f.checkMatrix(t, slow.ExternalID, held.Run.ID)
	post(t, f.GraphURL+"/_sim/tenants/"+slow.ExternalID, `{"hold": false}`)
}

// checkMatrix reads the matrix over HTTP, as JSON and as a spreadsheet, whole and filtered.
func (f demoFile) checkMatrix(t *testing.T, busy string, run int64) {
	t.Helper()
	var m struct {
		ComputedAt time.Time
		Tenants    []struct {
			Tenant     string
			ExternalID uuid.UUID
			Readiness  []struct {
				OperationType, Status string
				ReasonCode            *string
				Run                   *int64
			}
		}
		Permissions []struct {
			Permission   string
			DeclaredBy   []string
			BeyondNeedIn []string
			MissingIn    []string
		}
	}
	f.ask(t, "readonly", http.MethodGet, "/admin/readiness", "", nil, &m)
	if time.Since(m.ComputedAt).Abs() > time.Minute || len(m.Tenants) != 16 {
		t.Errorf("matrix of %d tenants, computed at %s", len(m.Tenants), m.ComputedAt)
	}
	cells := 0
	for _, tenant := range m.Tenants {
		cells += len(tenant.Readiness)
		for _, c := range tenant.Readiness {
			if tenant.ExternalID.String() == busy && (c.Run == nil || *c.Run != run || c.Status == "accepted") {
				t.Errorf("the connection in use: %+v", c)
			}
		}
	}
	missing := map[string]bool{}
	for _, p := range m.Permissions {
		missing[p.Permission] = slices.Contains(p.MissingIn, "Woodgrove Bank")
		if len(p.DeclaredBy) == 0 && len(p.BeyondNeedIn) == 0 {
			t.Errorf("%s is neither needed nor granted beyond need", p.Permission)
		}
	}
	if !missing["GroupMember.Read.All"] || missing["Directory.Read.All"] {
		t.Errorf("missing in Woodgrove Bank: %v", missing)
	}
	whole := len(m.Tenants)
	f.ask(t, "readonly", http.MethodGet, "/admin/readiness?reason=provider_consent_missing", "", nil, &m)
	if len(m.Tenants) == 0 || len(m.Tenants) >= whole {
		t.Errorf("%d tenants lack consent", len(m.Tenants))
	}
	if res := f.ask(t, "readonly", http.MethodGet, "/admin/readiness?reason=no_such_reason", "", nil, nil); res.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown reason: %s", res.Status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.BaseURL+"/admin/readiness?format=csv", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.tokenOf("readonly"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	rows, err := csv.NewReader(res.Body).ReadAll()
	if err != nil || len(rows) != cells+1 || res.Header.Get("Content-Disposition") != fmt.Sprintf("attachment; filename=%q", "readiness.csv") {
		t.Errorf("spreadsheet: %d rows for %d cells, %v %v", len(rows), cells, res.Header, err)
	}
}
