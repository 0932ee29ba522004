package pgembed

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const serverFileName = "server.json"

// layout names what is in a data directory.
type layout struct {
	root      string
	lock      string // flock held by the process that runs the server
	passwords string // made before the cluster, never changed
	initdb    string // a cluster in the making; whatever is found there is rubbish
	cluster   string // complete as soon as it has this name
	server    string // server.json
	log       string // what Postgres says
}

func newLayout(root string) layout {
	at := func(name string) string { return filepath.Join(root, name) }
	return layout{
		root: root, lock: at("lock"), passwords: at("passwords.json"), initdb: at("initdb"),
		cluster: at("pgdata"), server: at(serverFileName), log: at("postgres.log"),
	}
}

// openLayout makes the directory if it is absent. Others may traverse it, because under root the cluster below belongs
// to another account; they may not list it, and every file in it is closed to them.
func openLayout(root string) (layout, error) {
	if root == "" {
		return layout{}, errors.New("no data directory given")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return layout{}, fmt.Errorf("name data directory: %w", err)
	}
	if err := os.MkdirAll(root, 0o711); err != nil {
		return layout{}, fmt.Errorf("make data directory: %w", err)
	}
	return newLayout(root), nil
}

// acquire takes the directory's lock, or returns ErrAlreadyRunning if it is still taken after patience: a process that
// has just been killed holds it until the kernel has cleared it away. The kernel gives it back when this process ends.
func (l layout) acquire(patience time.Duration) (*os.File, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		f, err := os.OpenFile(l.lock, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open lock: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && sameFile(f, l.lock) { // else Remove was here between our open and our lock
			return f, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, fmt.Errorf("take lock: %w", err)
		}
		if time.Now().After(deadline) {
			return nil, ErrAlreadyRunning
		}
	}
}

// release gives the lock back for certain. Closing alone would leave it with a child that another goroutine is forking
// at this moment, until that child has reached its program.
func release(lock *os.File) error {
	err := syscall.Flock(int(lock.Fd()), syscall.LOCK_UN)
	return errors.Join(err, lock.Close())
}

func sameFile(f *os.File, path string) bool {
	held, err1 := f.Stat()
	named, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(held, named)
}

// Remove deletes a data directory and the socket directory it names, with all data. It refuses with ErrAlreadyRunning
// while a server runs there. A directory that does not exist is fine.
func Remove(ctx context.Context, dataDir string) error {
	l := newLayout(dataDir)
	if _, err := os.Stat(dataDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := l.acquire(0)
	if err != nil {
		return fmt.Errorf("remove %s: %w", dataDir, err)
	}
	defer release(lock)
	if err := l.settle(ctx, slog.New(slog.DiscardHandler)); err != nil {
		return fmt.Errorf("remove %s: %w", dataDir, err)
	}
	return os.RemoveAll(dataDir)
}

// settle makes sure that nothing of a former life works in the cluster, and tidies what that life left. The caller
// holds the lock, so a postmaster found here has lost its parent: the kernel has told it to shut down (elsewhere than
// on Linux, we do), and it is waited for.
func (l layout) settle(ctx context.Context, log *slog.Logger) error {
	former, err := l.readServerFile()
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	postmaster, socketDir := l.readPIDFile()
	left := postgresIn(l.cluster, postmaster)
	if len(left) > 0 && (former.SocketDir == "" || socketDir != former.SocketDir) {
		return fmt.Errorf("%w: a Postgres that was not started by tenantpilot (process %d)", ErrAlreadyRunning, left[0])
	}
	if len(left) > 0 {
		log.Info("waiting for the former postgres to shut down", "processes", left)
		if err := l.awaitEnd(ctx, postmaster); err != nil {
			return err
		}
	}
	if err := l.forgetPID(); err != nil {
		return err
	}
	var errs []error
	if strings.HasPrefix(filepath.Base(former.SocketDir), socketPrefix) {
		errs = append(errs, os.RemoveAll(former.SocketDir))
	}
	return errors.Join(append(errs, os.RemoveAll(l.initdb), l.removeServerFile())...)
}

// awaitEnd waits until no Postgres works in the cluster. Patience first: the shutdown writes a checkpoint. Then the
// order to leave at once, which costs nothing but a recovery.
func (l layout) awaitEnd(ctx context.Context, postmaster int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	impatient := time.Now().Add(10 * time.Second)
	asked := false
	for {
		left := postgresIn(l.cluster, postmaster)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			switch {
			case time.Now().After(impatient):
				syscall.Kill(pid, syscall.SIGQUIT)
			case !asked && pid == postmaster:
				syscall.Kill(pid, syscall.SIGINT)
			}
		}
		asked = true
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for processes %v of the former postgres: %w", left, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// readPIDFile reads process and socket directory of the last postmaster from postmaster.pid; zero values if there is
// none or it is half written.
func (l layout) readPIDFile() (pid int, socketDir string) {
	body, err := os.ReadFile(filepath.Join(l.cluster, "postmaster.pid"))
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(body), "\n")
	pid, _ = strconv.Atoi(strings.TrimSpace(lines[0]))
	if len(lines) > 4 {
		socketDir = lines[4]
	}
	return pid, socketDir
}

// forgetPID removes a postmaster.pid that names a process which is alive but is not Postgres, as happens when numbers
// are given out anew after a reboot or in a new container: Postgres would refuse to start. The caller has seen that no
// Postgres works in the cluster. A file that names a dead process is left for Postgres to judge.
func (l layout) forgetPID() error {
	pid, _ := l.readPIDFile()
	if pid == 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return nil
	}
	if err := os.Remove(filepath.Join(l.cluster, "postmaster.pid")); err != nil {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

// clusterMajor is the Postgres major version the cluster was made by; 0 if there is no cluster yet.
func (l layout) clusterMajor() (int, error) {
	body, err := os.ReadFile(filepath.Join(l.cluster, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read cluster version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(body)))
	if err != nil {
		return 0, fmt.Errorf("read cluster version: %w", err)
	}
	return major, nil
}

// loadPasswords reads the passwords of the cluster's roles. They are made once, before the cluster: a crash in between
// leaves passwords without a cluster, never the reverse.
func (l layout) loadPasswords(mustExist bool) (map[string]string, error) {
	body, err := os.ReadFile(l.passwords)
	if errors.Is(err, fs.ErrNotExist) && !mustExist {
		return l.makePasswords()
	}
	if err != nil {
		return nil, fmt.Errorf("read passwords: %w", err)
	}
	var passwords map[string]string
	if err := json.Unmarshal(body, &passwords); err != nil {
		return nil, fmt.Errorf("read passwords in %s: %w", l.passwords, err)
	}
	return passwords, nil
}

func (l layout) makePasswords() (map[string]string, error) {
	passwords := make(map[string]string)
	for _, role := range []string{superuser, OwnerRole, AppRole, AuditorRole} {
		var b [24]byte
		rand.Read(b[:]) // never fails
		passwords[role] = hex.EncodeToString(b[:])
	}
	body, err := json.MarshalIndent(passwords, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode passwords: %w", err)
	}
	return passwords, writeFile(l.passwords, body)
}

func (l layout) writeServerFile(a address) error {
	urls := map[string]string{
		OwnerRole: a.OwnerURL(Database), AppRole: a.AppURL(Database), AuditorRole: a.AuditorURL(Database),
	}
	body, err := serverFile{PID: os.Getpid(), SocketDir: a.socketDir, URLs: urls}.encode()
	if err != nil {
		return fmt.Errorf("encode %s: %w", serverFileName, err)
	}
	return writeFile(l.server, body)
}

// readServerFile returns ErrNotRunning if there is no file.
func (l layout) readServerFile() (serverFile, error) {
	var file serverFile
	body, err := os.ReadFile(l.server)
	if errors.Is(err, fs.ErrNotExist) {
		return file, ErrNotRunning
	}
	if err != nil {
		return file, fmt.Errorf("read %s: %w", serverFileName, err)
	}
	if err := json.Unmarshal(body, &file); err != nil {
		return file, fmt.Errorf("read %s: %w", serverFileName, err)
	}
	return file, nil
}

func (l layout) removeServerFile() error {
	if err := os.Remove(l.server); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", serverFileName, err)
	}
	return nil
}

// openLog opens Postgres's log for appending and says where the coming life begins in it. A big log is put aside first,
// so at most two of them exist.
func (l layout) openLog() (*os.File, int64, error) {
	const big = 8 << 20
	if info, err := os.Stat(l.log); err == nil && info.Size() > big {
		if err := os.Rename(l.log, l.log+".1"); err != nil {
			return nil, 0, fmt.Errorf("rotate log: %w", err)
		}
	}
	f, err := os.OpenFile(l.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	return f, info.Size(), nil
}

// logTail is the end of what Postgres has said since offset from, for error texts.
func (l layout) logTail(from int64) string {
	body, err := os.ReadFile(l.log)
	if err != nil || int64(len(body)) <= from {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(body[from:]), []byte("\n"))
	if len(lines) > 12 {
		lines = lines[len(lines)-12:]
	}
	return "; its log ends:\n\t" + string(bytes.Join(lines, []byte("\n\t")))
}

// writeFile replaces a file as a whole: a crash leaves the old one or the new one. Only the owner may read it.
func writeFile(path string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(body)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}
