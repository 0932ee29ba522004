package view

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tenantpilot/projections"
)

func TestDuration(t *testing.T) {
	tests := map[time.Duration]string{
		-time.Second:                             "0 ms",
		340 * time.Millisecond:                   "340 ms",
		59 * time.Second:                         "59 s",
		72 * time.Second:                         "1 m 12 s",
		3*time.Hour + 4*time.Minute:              "3 h 04 m",
		49*time.Hour + 30*time.Minute:            "2 d 01 h",
		time.Hour - time.Millisecond:             "59 m 59 s",
		24*time.Hour - 999*time.Microsecond:      "23 h 59 m",
		9*time.Minute + 3*time.Second + 999*1000: "9 m 03 s",
	}
	for d, want := range tests {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestUsually(t *testing.T) {
	tests := []struct {
		from, to time.Duration
		want     string
	}{
		{0, 0, ""},
		{7 * time.Minute, 9 * time.Minute, "usually 7-9 min"},
		{9 * time.Minute, 0, "usually 9 min"},
		{20 * time.Second, 50 * time.Second, "usually 20-50 s"},
	}
	for _, tt := range tests {
		if got := Usually(tt.from, tt.to); got != tt.want {
			t.Errorf("Usually(%v, %v) = %q, want %q", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestRelative(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	tests := map[time.Duration]string{
		-2 * time.Hour:   "in 2 h",
		2 * time.Second:  "just now",
		42 * time.Second: "42 s ago",
		4 * time.Minute:  "4 min ago",
		47 * time.Hour:   "47 h ago",
		72 * time.Hour:   "3 d ago",
	}
	for ago, want := range tests {
		if got := Relative(now.Add(-ago), now); got != want {
			t.Errorf("Relative(%v ago) = %q, want %q", ago, got, want)
		}
	}
}

func TestMainNav(t *testing.T) {
	groups := MainNav("/admin/tenants/contoso", func(href string) bool {
		return href == "/admin/operations" || href == "/admin/tenants"
	})
	if len(groups) != 2 || groups[0].Items[0].Current || !groups[1].Items[0].Current {
		t.Errorf("got %+v, want two groups with Tenants current", groups)
	}
}

func TestInitials(t *testing.T) {
	for name, want := range map[string]string{"": "", "Kim": "K", "Kim Larsen": "KL", "Ana de la Cruz": "AC"} {
		if got := (Viewer{Name: name}).Initials(); got != want {
			t.Errorf("Initials(%q) = %q, want %q", name, got, want)
		}
	}
}

// The page's extra fields must not leak into the contract's payloads.
func TestVendorJSONHasTheContractsFieldsOnly(t *testing.T) {
	tests := []struct {
		name  string
		value any
		want  string
	}{
		{
			"a start outcome with everything the page needs",
			StartOutcome{Status: "accepted", OperationType: "inventory.sync", OperatorMessage: "Started.", Headline: "h", Note: "n", Facts: []Fact{{Label: "x"}}, ReceiptHref: "/r"},
			`{"status":"accepted","operationType":"inventory.sync","operatorMessage":"Started.","shortReason":null}`,
		},
		{
			"a run that has not ended",
			RunDetail{RunID: 4711, OperationType: "policy.sync", ExecutionStatus: "running", Operation: "Policy sync", Now: time.Now()},
			`{"runId":4711,"operationType":"policy.sync","executionStatus":"running","outcome":null,"shortReason":null,"diagnosticsAvailable":false}`,
		},
		{
			"a tenant without connection",
			TenantProviderSummary{State: "missing", CTAURL: "/x", NeedsDefaultConnection: true, Sentence: "s"},
			`{"state":"missing","ctaUrl":"/x","needsDefaultConnection":true,"displayName":null,"provider":null,"canonicalState":null}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.Marshal(tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestWriteRunsCSVTakesTheFormulasOut: a tenant may be called anything, and a spreadsheet must not run it.
func TestWriteRunsCSVTakesTheFormulasOut(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	line := projections.RunLine{TenantName: `=HYPERLINK("http://evil")`, InitiatorName: "@kim"}
	line.Number, line.AcceptedAt = 7, time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	if err := WriteRunsCSV(&out, func(yield func([]projections.RunLine, error) bool) { yield([]projections.RunLine{line}, nil) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"'=HYPERLINK(""http://evil"")"`, ",'@kim,", "2026-11-21T09:00:00Z"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, out.String())
		}
	}
}
