// Package pgembed runs a private Postgres for a process that has none: the demo and the tests. It listens on a Unix
// socket in a directory of its own and nowhere else, and it ends with the process that started it.
//
// A data directory goes through this life; everything named here is below Config.DataDir:
//
//	absent --Start--> passwords.json --> initdb/ --rename--> pgdata/ --> roles and database
//	                                                            |
//	        +-------------- Start: lock, settle ----------------+
//	        v                                                   |
//	     running: lock held, server.json  --Stop--> server.json removed, lock released
//	        |                                                   ^
//	        +---- parent killed: the kernel sends SIGINT -------+   (server.json and the socket directory stay behind)
//
// Who owns what: the lock file is held by the process that called Start, for as long as it lives; it alone writes the
// directory. Postgres itself works under an account that may own a cluster, which root may not (see identity).
//
// What a crash leaves: before the rename, an initdb directory that the next Start removes; after it, a cluster that
// Postgres recovers; roles and database are made if they are missing, at every Start. After SIGKILL of the parent the
// postmaster shuts down by itself; the next Start waits for it and removes the old socket directory.
package pgembed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

var (
	// ErrAlreadyRunning says that another process runs a server on this data directory.
	ErrAlreadyRunning = errors.New("a server is already running on this data directory")
	// ErrNotRunning says that no server runs on this data directory.
	ErrNotRunning = errors.New("no server is running on this data directory")
	// ErrNoBinaries says that no usable Postgres was found; the text around it says how to get one.
	ErrNoBinaries = errors.New("no usable Postgres found")
	// ErrStopped says that the server was stopped by Stop.
	ErrStopped = errors.New("the server was stopped")
)

// Config says where the server lives and how careful it is. Only DataDir is required.
type Config struct {
	// DataDir holds all that the server leaves on disk. It is made if absent and belongs to this package: do not run
	// another Postgres in it. Started by root, it should be a directory that others may traverse (0711); if it is not,
	// a user namespace is tried.
	DataDir string

	// Log receives a line for each thing that takes time or goes wrong. Nil means silence. Postgres's own log is
	// postgres.log in DataDir.
	Log *slog.Logger

	// Fast gives up durability for speed: no fsync, small log segments. For tests. With it, a power failure destroys
	// the cluster; a killed process does not.
	Fast bool

	// ClusterCache names a directory in which freshly initialised clusters are kept and copied from, so that initdb
	// runs once per Postgres version and user. Empty means initdb every time. For tests: copies share their passwords.
	ClusterCache string

	// Settings are further server settings; they beat ours.
	Settings map[string]string
}

// DefaultDataDir is where the demo keeps its data unless told otherwise: the system's place for root, the user's state
// directory for everyone else.
func DefaultDataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/tenantpilot", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tenantpilot"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find state directory: %w", err)
	}
	return filepath.Join(home, ".local", "state", "tenantpilot"), nil
}

// Server is a running Postgres. Its URL methods stay valid across Restart.
type Server struct {
	address // how to reach it; constant after Start

	conf Config
	dir  layout
	bin  Binaries
	as   identity
	lock *os.File // held until Stop

	mu      sync.Mutex // guards the rest
	proc    *process
	stopped bool
}

// Start runs a server on c.DataDir and returns when it accepts connections and has the three roles and the database
// named by Database. The first start of a directory initialises it.
//
// The server outlives ctx, which bounds only the start, and ends at Stop or with this process, however that ends.
func Start(ctx context.Context, c Config) (*Server, error) {
	s, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start postgres in %s: %w", c.DataDir, err)
	}
	return s, nil
}

func start(ctx context.Context, c Config) (_ *Server, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := openLayout(c.DataDir)
	if err != nil {
		return nil, err
	}
	lock, err := dir.acquire(lockPatience)
	if err != nil {
		return nil, err
	}
	s := &Server{conf: c, dir: dir, lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := dir.settle(ctx, c.Log); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if err := s.launch(ctx); err != nil {
		return nil, err
	}
	if err := s.furnish(ctx); err != nil {
		return nil, err
	}
	c.Log.Debug("postgres is ready", "version", s.bin.Version, "as", s.as.String(), "data", c.DataDir)
	return s, nil
}

// prepare makes everything a postmaster needs: binaries, somebody to run it, passwords, a cluster, a socket directory.
func (s *Server) prepare(ctx context.Context) (err error) {
	major, err := s.dir.clusterMajor()
	if err != nil {
		return err
	}
	if s.bin, err = locate(ctx, major, s.conf.Log); err != nil {
		return err
	}
	if s.as, err = chooseIdentity(s.bin, s.dir); err != nil {
		return err
	}
	if s.passwords, err = s.dir.loadPasswords(major != 0); err != nil {
		return err
	}
	if major == 0 {
		if err := s.makeCluster(ctx); err != nil {
			return err
		}
	}
	if s.socketDir, err = makeSocketDir(s.bin, s.as); err != nil {
		return err
	}
	// From here on a crash leaves a socket directory that the next Start can name.
	return s.dir.writeServerFile(s.address)
}

// furnish creates the roles and the database where they are missing.
func (s *Server) furnish(ctx context.Context) error {
	if err := EnsureRoles(ctx, s.SuperuserURL("postgres"), s.passwords); err != nil {
		return err
	}
	return EnsureDatabase(ctx, s.SuperuserURL, Database)
}

// Stop shuts the server down, rolling back what is not committed, and gives the data directory free. Stopping twice is
// fine.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	var errs []error
	if s.proc != nil {
		errs = append(errs, s.proc.stop())
	}
	if s.socketDir != "" {
		errs = append(errs, os.RemoveAll(s.socketDir), s.dir.removeServerFile())
	}
	return errors.Join(append(errs, release(s.lock))...)
}

// Done is closed when the postmaster that runs now has ended, by Stop or by itself. After Restart ask again.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.done
}

// Wait blocks until the postmaster has ended and says why: ErrStopped after Stop, else what it died of with the end of
// its log.
func (s *Server) Wait() error {
	s.mu.Lock()
	proc := s.proc
	s.mu.Unlock()
	<-proc.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrStopped
	}
	return fmt.Errorf("run postgres: %w%s", proc.exitError(), s.dir.logTail(proc.logStart))
}

// Crash kills the postmaster and all its children with SIGKILL and returns when they are gone: what a power failure
// looks like from above the disk cache. For fault tests; Restart brings the server back.
func (s *Server) Crash() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.kill(s.dir.cluster)
}

// Restart stops the server if it runs and starts it again at the same address. For fault tests.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return fmt.Errorf("restart postgres: %w", ErrStopped)
	}
	if err := s.proc.stop(); err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	if err := s.launchLocked(ctx); err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	return nil
}

// PID is the postmaster's process id. For fault tests.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.cmd.Process.Pid
}

// Version is the server's version, such as "15.18".
func (s *Server) Version() string { return s.bin.Version }
