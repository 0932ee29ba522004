package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tenantpilot/migrations/pgembed"
)

// pgbenchMinimum is the least that a durable start costs: one statement per transaction updates a head row and inserts two events, in
// tables of the same shape as ours on the same server, driven by pgbench. It checks nothing, hashes nothing and knows no request keys.
type pgbenchMinimum struct {
	binary string
	dir    string // scripts and latency logs
	server *pgembed.Server
	env    []string
}

const pgbenchHeads = 512

// The tables are copies of the log's with all their indexes and checks. The client sends the text of the events, as ours does.
var pgbenchSchema = []string{
	`create schema pgbench`,
	`create table pgbench.events (like events including all)`,
	`create table pgbench.heads (n integer not null primary key, stream uuid not null, version integer not null) with (fillfactor = 50)`,
	`create sequence pgbench.seq as bigint`,
	fmt.Sprintf(`insert into pgbench.heads select n, gen_random_uuid(), 0 from generate_series(1, %d) n`, pgbenchHeads),
}

const pgbenchScript = `\set n %s
with head as (update pgbench.heads set version = version + 2 where n = :n returning stream, version)
insert into pgbench.events (seq, stream, version, id, name, workspace, tenant, recorded_at, meta, payload, leaf)
select nextval('pgbench.seq'), h.stream, h.version - 2 + e.i, gen_random_uuid(), e.name, cast(:workspace as uuid), cast(:workspace as uuid),
       now(), cast(:meta as json), e.payload, cast(:leaf as bytea)
from head h, (values (1, 'RunAccepted', cast(:accepted as json)), (2, 'ScopeAcquired', cast(:acquired as json))) e(i, name, payload);
`

func newPgbenchMinimum(ctx context.Context, server *pgembed.Server) (_ *pgbenchMinimum, err error) {
	p := &pgbenchMinimum{server: server}
	if p.binary, err = findPgbench(ctx); err != nil {
		return nil, err
	}
	owner := server.OwnerURL(pgembed.Database)
	cfg, err := pgx.ParseConfig(owner)
	if err != nil {
		return nil, fmt.Errorf("prepare pgbench: %w", err)
	}
	p.env = append(os.Environ(), "PGHOST="+cfg.Host, "PGPORT="+strconv.Itoa(int(cfg.Port)), "PGUSER="+cfg.User, "PGPASSWORD="+cfg.Password,
		"PGDATABASE="+cfg.Database)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare pgbench: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range pgbenchSchema {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("prepare pgbench: %w", err)
		}
	}
	if p.dir, err = os.MkdirTemp("", "tenantpilot-pgbench-"); err != nil {
		return nil, fmt.Errorf("prepare pgbench: %w", err)
	}
	for name, n := range map[string]string{"spread.sql": fmt.Sprintf("random(1, %d)", pgbenchHeads), "hot.sql": "1"} {
		if err := os.WriteFile(filepath.Join(p.dir, name), fmt.Appendf(nil, pgbenchScript, n), 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare pgbench: %w", err), os.RemoveAll(p.dir))
		}
	}
	return p, nil
}

func (p *pgbenchMinimum) close() { _ = os.RemoveAll(p.dir) }

func findPgbench(ctx context.Context) (string, error) {
	bin, err := pgembed.Locate(ctx, nil)
	if err != nil {
		return "", err
	}
	beside := filepath.Join(bin.Dir, "pgbench")
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	if found, err := exec.LookPath("pgbench"); err == nil {
		return found, nil
	}
	return "", fmt.Errorf("pgbench is not in %s nor in PATH; install it with: apt-get install -y postgresql-%d", bin.Dir, bin.Major)
}

// pgbenchVariables make event rows of about 600 B each, all columns counted.
var pgbenchVariables = map[string]string{
	"workspace": "6e0b8a52-6f0b-5d0c-9c39-8a9b35b1c7f4",
	"leaf":      `\x` + strings.Repeat("5a", 32),
	"meta":      benchText(150),
	"accepted":  benchText(300),
	"acquired":  benchText(300),
}

func benchText(size int) string { return `{"text":"` + strings.Repeat("x", size-11) + `"}` }

// pgbenchWarmUp is what pgbench has to connect and to prepare its statements, before it is measured.
const pgbenchWarmUp = time.Second

// run lets clients work for some seconds. With hot they all update one head row.
func (p *pgbenchMinimum) run(ctx context.Context, clients, seconds int, hot bool) (benchMeasure, error) {
	script := "spread.sql"
	if hot {
		script = "hot.sql"
	}
	args := []string{
		"--no-vacuum", "--protocol=prepared", "--log", "--client=" + strconv.Itoa(clients), "--jobs=" + strconv.Itoa(min(2, clients)),
		"--time=" + strconv.Itoa(seconds+int(pgbenchWarmUp.Seconds())), "--file=" + filepath.Join(p.dir, script),
	}
	for name, value := range pgbenchVariables {
		args = append(args, "--define="+name+"="+value)
	}
	cmd := exec.CommandContext(ctx, p.binary, args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return benchMeasure{}, fmt.Errorf("run pgbench: %w", err)
	}
	time.Sleep(pgbenchWarmUp)
	used, began := serverCPU(p.server.PID()), time.Now()
	if err := cmd.Wait(); err != nil {
		return benchMeasure{}, fmt.Errorf("run pgbench: %w\n%s", err, bytes.TrimSpace(output.Bytes()))
	}
	used = serverCPU(p.server.PID()) - used
	all, err := p.takeLog()
	if err != nil {
		return benchMeasure{}, err
	}
	var s benchSamples
	for _, t := range all {
		if t.at.After(began) {
			s.latencies = append(s.latencies, t.took)
			s.elapsed = max(s.elapsed, t.at.Sub(began))
		}
	}
	s.answered = len(s.latencies)
	if s.answered == 0 {
		return benchMeasure{}, fmt.Errorf("pgbench did nothing in %d s: the machine is too busy to measure on, or --seconds too short", seconds)
	}
	s.cpu.server = used
	m := s.measure()
	m.ClientCPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()) / time.Duration(len(all))
	return m, nil
}

// pgbenchTransaction is a line of pgbench's log.
type pgbenchTransaction struct {
	at   time.Time // when it ended
	took time.Duration
}

// takeLog reads and removes the transaction logs: client, number, microseconds, script, and the end in seconds and microseconds.
func (p *pgbenchMinimum) takeLog() ([]pgbenchTransaction, error) {
	logs, err := filepath.Glob(filepath.Join(p.dir, "pgbench_log.*"))
	if err != nil {
		return nil, err
	}
	var all []pgbenchTransaction
	for _, name := range logs {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read pgbench's log: %w", err)
		}
		for line := range bytes.Lines(raw) {
			var client, number, took, script, seconds, micros int64
			if _, err := fmt.Sscan(string(line), &client, &number, &took, &script, &seconds, &micros); err != nil {
				return nil, fmt.Errorf("read pgbench's log: %w: %q", err, line)
			}
			all = append(all, pgbenchTransaction{time.UnixMicro(seconds*1e6 + micros), time.Duration(took) * time.Microsecond})
		}
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("remove pgbench's log: %w", err)
		}
	}
	return all, nil
}
