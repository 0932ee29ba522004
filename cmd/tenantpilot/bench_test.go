package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The smallest run that goes through every cell: it must measure something everywhere and leave the outcomes it insists on.
func TestBenchMeasuresEveryCell(t *testing.T) {
	t.Parallel()
	cmd := benchCommand()
	var out, progress strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&progress)
	cmd.SetArgs([]string{"start", "--connections", "16", "--seconds", "1", "--rounds", "1", "--callers", "2", "--json"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	var report benchReport
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	for _, cell := range benchCells {
		x := report.find(cell, 2)
		if x == nil || x.Rate <= 0 || x.P50 <= 0 || x.P99 < x.P50 {
			t.Errorf("%s: %+v", cell, x)
			continue
		}
		if isBase := strings.HasPrefix(cell, "pgbench"); (x.Ratio == 0) != isBase {
			t.Errorf("%s: ratio %v", cell, x.Ratio)
		}
	}
	if report.Fsync != "on" || report.Live == nil || report.Live.ReadableP50 <= 0 {
		t.Errorf("report = %+v, live %+v", report, report.Live)
	}
}

func TestBenchTakesRatiosWithinARound(t *testing.T) {
	t.Parallel()
	r := &benchReport{}
	for _, round := range []struct{ accept, pgbench float64 }{{100, 200}, {900, 1000}, {10, 40}} { // the machine is ten times slower at times
		r.add(benchAccept, 8, benchMeasure{Rate: round.accept, P50: time.Millisecond})
		r.add(benchPgbench, 8, benchMeasure{Rate: round.pgbench})
	}
	r.finish()
	if x := r.find(benchAccept, 8); x.Ratio != 0.5 || x.Rate != 100 || x.P50 != time.Millisecond {
		t.Errorf("got %+v, want ratio 0.5 and rate 100", x)
	}
}

func TestBenchRefusesSenselessFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--callers", "0"}, {"--callers", "500"}, {"--connections", "3"}, {"--rounds", "0"}, {"--seconds", "0"}, {"--cells", "acept"},
	} {
		cmd := benchCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(append([]string{"start"}, args...))
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}
