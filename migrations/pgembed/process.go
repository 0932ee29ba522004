package pgembed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	lockPatience  = time.Second      // a killed process is cleared away in milliseconds
	startPatience = 2 * time.Minute  // recovery after a crash may read a lot of log
	stopPatience  = 20 * time.Second // the last checkpoint may write a lot of data
)

// process is one life of the postmaster.
type process struct {
	cmd      *exec.Cmd
	logStart int64         // where this life begins in postgres.log
	done     chan struct{} // closed when it has ended and been collected
	err      error         // of Wait; read it after done
}

// run starts cmd and collects it when it ends. The goroutine keeps its thread for the whole time, because the kernel
// sends the death signal when the starting *thread* ends, not the process.
func run(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine, after the child
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
	}()
	return p, <-started
}

func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// exitError says how an ended process ended.
func (p *process) exitError() error {
	if p.err == nil {
		return errors.New("it ended by itself")
	}
	return p.err
}

// stop asks for a fast shutdown (SIGINT: roll back, checkpoint, leave), then for an immediate one (SIGQUIT: leave,
// recover at the next start). Stopping an ended process is fine.
func (p *process) stop() error {
	for _, step := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGINT, stopPatience}, {syscall.SIGQUIT, 5 * time.Second}} {
		if p.exited() {
			return nil
		}
		if err := p.cmd.Process.Signal(step.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop postgres: %w", err)
		}
		select {
		case <-p.done:
			return nil
		case <-time.After(step.patience):
		}
	}
	return fmt.Errorf("stop postgres: process %d ignores SIGINT and SIGQUIT", p.cmd.Process.Pid)
}

// kill kills the postmaster first, so that it cannot tell its children, then the children, and waits for all of them: a
// survivor would hold the shared memory, and no new server could start.
func (p *process) kill(cluster string) error {
	pid := p.cmd.Process.Pid
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill postgres: %w", err)
	}
	<-p.done
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		left := postgresIn(cluster, pid)
		if len(left) == 0 {
			return nil
		}
		for _, child := range left {
			syscall.Kill(child, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("kill postgres: children survive")
}

func (s *Server) launch(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.launchLocked(ctx)
}

// launchLocked starts the postmaster as our direct child and waits until it answers. If it does not, it is stopped.
func (s *Server) launchLocked(ctx context.Context) error {
	log, from, err := s.dir.openLog()
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	cmd := exec.Command(filepath.Join(s.bin.Dir, "postgres"), s.arguments()...)
	cmd.Dir = s.dir.root
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = s.as.attr(syscall.SIGINT)
	proc, err := run(cmd)
	if err != nil {
		return fmt.Errorf("run postgres as %s: %w", s.as, err)
	}
	proc.logStart = from
	s.proc = proc
	if err := s.awaitReady(ctx, proc); err != nil {
		return errors.Join(fmt.Errorf("%w%s", err, s.dir.logTail(from)), proc.stop())
	}
	return nil
}

// arguments are given on the command line, where they beat postgresql.conf: what a server does depends on this file
// alone.
func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": s.socketDir,
		"unix_socket_permissions": "0700",
		"port":                    socketPort,
		"max_connections":         "200",
		"shared_buffers":          "128MB",
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_timezone":            "UTC",
		"timezone":                "UTC",
		"fsync":                   "on",
		"synchronous_commit":      "on",
		"full_page_writes":        "on",
	}
	if s.conf.Fast {
		maps.Copy(settings, map[string]string{
			"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "log_checkpoints": "off",
		})
	}
	maps.Copy(settings, s.conf.Settings)
	args := []string{"-D", s.dir.cluster}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// awaitReady polls until a superuser can log in.
func (s *Server) awaitReady(ctx context.Context, proc *process) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.SuperuserURL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-proc.done:
			return fmt.Errorf("run postgres: %w", proc.exitError())
		case <-ctx.Done():
			return fmt.Errorf("wait for postgres: %w: %w", ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
