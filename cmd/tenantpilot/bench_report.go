package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// benchMeasure is what one cell said in one round; in a report, medians over the rounds.
type benchMeasure struct {
	Rate float64       `json:"rate"` // per second
	P50  time.Duration `json:"p50"`  // nanoseconds
	P99  time.Duration `json:"p99"`
	// Processor time per answer, of the client side and of the server.
	ClientCPU time.Duration `json:"clientCPU"`
	ServerCPU time.Duration `json:"serverCPU"`
}

func (m benchMeasure) cpu() time.Duration { return m.ClientCPU + m.ServerCPU }

// benchResult is a cell of the table.
type benchResult struct {
	Cell    string `json:"cell"`
	Callers int    `json:"callers"`
	benchMeasure
	// Ratio is the rate over pgbench's in the same round (for hot: over pgbench on one head row), the median over the rounds.
	Ratio float64 `json:"ratio,omitempty"`
	// CPURatio is pgbench's processor time over this cell's, both with their server's: what Ratio would be if the cores were the only limit.
	CPURatio float64        `json:"cpuRatio,omitempty"`
	Rounds   []benchMeasure `json:"rounds"`
}

type benchReport struct {
	Date       time.Time     `json:"date"`
	Cores      int           `json:"cores"`
	Go         string        `json:"go"`
	Postgres   string        `json:"postgres"`
	Fsync      string        `json:"fsync"`
	SyncCommit string        `json:"synchronousCommit"`
	DiskDelay  time.Duration `json:"diskDelay"`
	Seconds    int           `json:"seconds"`
	Rounds     int           `json:"rounds"`
	Accepted   int           `json:"acceptedRowBytes"` // both event rows of an accepted start
	Minimum    int           `json:"pgbenchRowBytes"`
	Results    []benchResult `json:"results"`
	Live       *benchLive    `json:"live,omitempty"`
}

func newBenchReport(ctx context.Context, b *bench) (*benchReport, error) {
	r := &benchReport{
		Date: time.Now().UTC(), Cores: runtime.NumCPU(), Go: runtime.Version(), Postgres: b.server.Version(), Seconds: b.options.seconds,
		Rounds: b.options.rounds, DiskDelay: b.options.diskDelay,
	}
	err := b.pool.QueryRow(ctx, `select current_setting('fsync'), current_setting('synchronous_commit')`).Scan(&r.Fsync, &r.SyncCommit)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return r, nil
}

// sizes measures the rows, to show that both sides write about as much.
func (r *benchReport) sizes(ctx context.Context, pool *pgxpool.Pool) error {
	const ours = `select coalesce(sum(size), 0)::int from (
		select name, avg(pg_column_size(e.*)) as size from (
			select * from events where name in ('RunAccepted', 'ScopeAcquired') order by seq desc limit 1000) e group by name) s`
	if err := pool.QueryRow(ctx, ours).Scan(&r.Accepted); err != nil {
		return fmt.Errorf("measure rows: %w", err)
	}
	// Both rows have meta, workspace twice and leaf; the rest is seq, stream, version, id, name, recorded_at and headers.
	meta, payload := len(pgbenchVariables["meta"]), len(pgbenchVariables["accepted"])
	r.Minimum = 2 * (meta + payload + 32 + 4*16 + 8 + 4 + 8 + 12 + 24 + 8)
	return nil
}

func (r *benchReport) add(cell string, callers int, m benchMeasure) {
	i := slices.IndexFunc(r.Results, func(x benchResult) bool { return x.Cell == cell && x.Callers == callers })
	if i < 0 {
		i = len(r.Results)
		r.Results = append(r.Results, benchResult{Cell: cell, Callers: callers})
	}
	r.Results[i].Rounds = append(r.Results[i].Rounds, m)
}

// finish takes the medians.
func (r *benchReport) finish() {
	for i := range r.Results {
		x := &r.Results[i]
		x.Rate = benchMedian(benchEach(x.Rounds, func(m benchMeasure) float64 { return m.Rate }))
		for _, d := range []struct {
			to *time.Duration
			of func(benchMeasure) time.Duration
		}{
			{&x.P50, func(m benchMeasure) time.Duration { return m.P50 }},
			{&x.P99, func(m benchMeasure) time.Duration { return m.P99 }},
			{&x.ClientCPU, func(m benchMeasure) time.Duration { return m.ClientCPU }},
			{&x.ServerCPU, func(m benchMeasure) time.Duration { return m.ServerCPU }},
		} {
			*d.to = benchMedian(benchEach(x.Rounds, d.of))
		}
		minimum := benchPgbench
		if x.Cell == benchHot || x.Cell == benchPgbenchHot {
			minimum = benchPgbenchHot
		}
		base := r.find(minimum, x.Callers)
		if base == nil || base == x {
			continue
		}
		rates, cpus := make([]float64, len(x.Rounds)), make([]float64, len(x.Rounds))
		for round, m := range x.Rounds {
			rates[round] = m.Rate / base.Rounds[round].Rate
			cpus[round] = float64(base.Rounds[round].cpu()) / float64(max(1, m.cpu()))
		}
		x.Ratio, x.CPURatio = benchMedian(rates), benchMedian(cpus)
	}
}

func (r *benchReport) find(cell string, callers int) *benchResult {
	for i := range r.Results {
		if r.Results[i].Cell == cell && r.Results[i].Callers == callers {
			return &r.Results[i]
		}
	}
	return nil
}

func (r *benchReport) json(out io.Writer) error {
	r.finish()
	return json.NewEncoder(out).Encode(r)
}

func (r *benchReport) table(out io.Writer) error {
	r.finish()
	fmt.Fprintf(out, "%s  %d cores, %s, Postgres %s, fsync %s, synchronous_commit %s; disk delay %s; %d rounds of %d s, medians\n",
		r.Date.Format(time.DateOnly), r.Cores, r.Go, r.Postgres, r.Fsync, r.SyncCommit,
		r.DiskDelay, r.Rounds, r.Seconds)
	fmt.Fprintf(out, "an accepted start writes %d B in two event rows, a pgbench transaction %d B\n\n", r.Accepted, r.Minimum)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join([]string{"callers", "cell", "per second", "p50 ms", "p99 ms", "of pgbench", "client CPU us", "server CPU us", "by CPU", ""}, "\t"))
	for _, x := range r.Results {
		ratio, byCPU := "-", "-"
		if x.Ratio > 0 {
			ratio, byCPU = fmt.Sprintf("%.2f", x.Ratio), fmt.Sprintf("%.2f", x.CPURatio)
		}
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%s\t%s\t%s\t%d\t%d\t%s\t\n", x.Callers, x.Cell, x.Rate, benchMillis(x.P50), benchMillis(x.P99), ratio,
			x.ClientCPU.Microseconds(), x.ServerCPU.Microseconds(), byCPU)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if l := r.Live; l != nil {
		fmt.Fprintf(out, `
with sequencer and projections, %d callers accept: %.0f/s, p50 %s ms, p99 %s ms
  from the answer until the log shows it: p50 %s ms, p99 %s ms; until the runs table shows it: p50 %s ms, p99 %s ms
`, l.Callers, l.Rate, benchMillis(l.P50), benchMillis(l.P99), benchMillis(l.ReadableP50), benchMillis(l.ReadableP99),
			benchMillis(l.ShownP50), benchMillis(l.ShownP99))
	}
	return nil
}

func benchEach[T any](rounds []benchMeasure, of func(benchMeasure) T) []T {
	values := make([]T, len(rounds))
	for i, m := range rounds {
		values[i] = of(m)
	}
	return values
}

func benchMedian[T float64 | time.Duration](values []T) T {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func benchQuantiles(d []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(d)
	return benchQuantile(d, 0.50), benchQuantile(d, 0.99)
}

// benchMillis writes a duration in milliseconds with two decimals.
func benchMillis(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
}
