package pgembed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childVariable makes the test binary a process that runs a server on the named directory, for tests that need such a
// process to die or to be somebody else.
const childVariable = "TENANTPILOT_PGEMBED_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		runChild(dir)
	}
	os.Exit(m.Run())
}

// runChild says "ready" and runs until its input ends; then it stops the server in an orderly way.
func runChild(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Start(ctx, Config{DataDir: dir, Fast: true})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("ready", s.PID(), s.as)
	_, _ = io.Copy(io.Discard, os.Stdin) // ends when the parent closes it or dies
	if err := s.Stop(); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// openDir makes a directory that every account may traverse, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgembed-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	t.Cleanup(func() {
		if err := errors.Join(Remove(context.Background(), data), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return data
}

func mustStart(t *testing.T, c Config) *Server {
	t.Helper()
	c.Fast = true
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value T
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestStartStopStartAgain(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	first := mustStart(t, Config{DataDir: dir})
	query[int](t, first.OwnerURL(Database), `WITH made AS (SELECT 1) SELECT * FROM made`)
	conn, err := pgx.Connect(t.Context(), first.OwnerURL(Database))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 7 AS x`); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatalf("Stop with an open connection: %v", err)
	}
	if err := first.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if err := first.Wait(); !errors.Is(err, ErrStopped) {
		t.Errorf("Wait after Stop: got %v, want ErrStopped", err)
	}
	if _, err := os.Stat(first.SocketDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket directory after Stop: got %v, want none", err)
	}

	second := mustStart(t, Config{DataDir: dir})
	if got := query[int](t, second.OwnerURL(Database), `SELECT x FROM kept`); got != 7 {
		t.Errorf("after a second start: got %d, want 7", got)
	}
}

func TestServerIsPrivate(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	s := mustStart(t, Config{DataDir: dir})
	if got := query[string](t, s.AppURL(Database), `SHOW listen_addresses`); got != "" {
		t.Errorf("listen_addresses: got %q, want none", got)
	}
	if got := mode(t, s.SocketDir()); got != 0o700 {
		t.Errorf("socket directory: got mode %o, want 700", got)
	}
	for _, path := range []string{s.dir.passwords, s.dir.server, s.dir.log, s.dir.lock} {
		if got := mode(t, path); got != 0o600 {
			t.Errorf("%s: got mode %o, want 600", filepath.Base(path), got)
		}
	}
	wrong := strings.Replace(s.AppURL(Database), s.passwords[AppRole], "guess", 1)
	if _, err := pgx.Connect(t.Context(), wrong); err == nil {
		t.Error("wrong password: got a connection")
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestRolesOwnWhatTheyShould(t *testing.T) {
	t.Parallel()
	s := mustStart(t, Config{DataDir: openDir(t)})
	url := s.SuperuserURL(Database)
	if got := query[string](t, url, `SELECT datdba::regrole::text FROM pg_database WHERE datname = 'tenantpilot'`); got != OwnerRole {
		t.Errorf("owner of the database: got %s, want %s", got, OwnerRole)
	}
	if got := query[string](t, url, `SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'`); got != OwnerRole {
		t.Errorf("owner of schema public: got %s, want %s", got, OwnerRole)
	}
	powerful := query[int](t, url, `
		SELECT count(*) FROM pg_roles
		WHERE rolname LIKE 'tenantpilot%' AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb
			OR rolcanlogin = (rolname = 'tenantpilot_console'))`)
	if powerful != 0 {
		t.Errorf("roles with too much or too little power: got %d, want 0", powerful)
	}
}

func TestSecondServerOnTheSameDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	first := mustStart(t, Config{DataDir: dir})
	if _, err := Start(t.Context(), Config{DataDir: dir}); !errors.Is(err, ErrAlreadyRunning) {
		t.Errorf("second Start: got %v, want ErrAlreadyRunning", err)
	}
	if err := Remove(t.Context(), dir); !errors.Is(err, ErrAlreadyRunning) {
		t.Errorf("Remove: got %v, want ErrAlreadyRunning", err)
	}
	if got := query[int](t, first.AppURL(Database), `SELECT 1`); got != 1 {
		t.Errorf("first server afterwards: got %d", got)
	}
}

func TestFindSeesOnlyARunningServer(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before the first start: got %v, want ErrNotRunning", err)
	}
	s := mustStart(t, Config{DataDir: dir})
	h, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := query[string](t, h.OwnerURL(Database), `SELECT current_user::text`); got != OwnerRole {
		t.Errorf("through Find: got %s, want %s", got, OwnerRole)
	}
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after a crash: got %v, want ErrNotRunning", err)
	}
}

func TestDeathIsNoticedAndExplained(t *testing.T) {
	t.Parallel()
	s := mustStart(t, Config{DataDir: openDir(t)})
	select {
	case <-s.Done():
		t.Fatal("Done is closed while the server runs")
	default:
	}
	if err := syscall.Kill(s.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	err := s.Wait()
	if err == nil || !strings.Contains(err.Error(), "immediate shutdown") {
		t.Errorf("Wait: got %v, want the end of the log", err)
	}
}

func TestRestartAfterCrashKeepsTheAddress(t *testing.T) {
	t.Parallel()
	s := mustStart(t, Config{DataDir: openDir(t)})
	url := s.AppURL(Database)
	for range 3 {
		if err := s.Crash(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		query[int](t, url, `SELECT 1`)
	}
}

func TestBadSettingIsExplainedByTheLog(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Config{DataDir: openDir(t), Fast: true, Settings: map[string]string{"shared_buffers": "much"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("got %v, want Postgres's own words", err)
	}
}

func TestInterruptedInitdbIsForgotten(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	for _, name := range []string{"initdb/cluster/base", "initdb/password"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := mustStart(t, Config{DataDir: dir})
	if _, err := os.Stat(s.dir.initdb); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("initdb directory: got %v, want none", err)
	}
}

func TestNumberOfDeadPostmasterGivenToSomebodyElse(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	s := mustStart(t, Config{DataDir: dir})
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(s.dir.cluster, "postmaster.pid")
	body, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), "\n")
	other := exec.Command("sleep", "60")
	other.SysProcAttr = s.as.attr(syscall.SIGKILL) // the same account: only then is Postgres fooled
	if _, err := run(other); err != nil {
		t.Fatal(err)
	}
	defer other.Process.Kill()
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n%s", other.Process.Pid, rest), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	mustStart(t, Config{DataDir: dir})
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other process: got %v, want it alive", err)
	}
}

func TestClusterComesFromTheCache(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	first := mustStart(t, Config{DataDir: openDir(t), ClusterCache: cache})
	begun := time.Now()
	second := mustStart(t, Config{DataDir: openDir(t), ClusterCache: cache})
	t.Logf("start from the cache took %s", time.Since(begun))
	query[int](t, second.AppURL(Database), `SELECT 1`)
	if first.passwords[superuser] != second.passwords[superuser] {
		t.Error("second cluster has other passwords: it was not copied")
	}
}

// child is the test binary running a server; see runChild.
type child struct {
	cmd        *exec.Cmd
	stdin      io.Closer
	postmaster int
	identity   string
}

func startChild(t *testing.T, binary, dir string, change func(*exec.Cmd)) child {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	change(cmd)
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	c := child{cmd: cmd, stdin: stdin}
	if n, _ := fmt.Sscanf(line, "ready %d", &c.postmaster); n != 1 {
		rest, _ := io.ReadAll(out)
		t.Fatalf("child: got %q %s (%v), want ready", line, rest, err)
	}
	_, c.identity, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "ready "), " ")
	return c
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKilledParentLeavesNoServer(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"open directory", "closed directory"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			if where == "closed directory" {
				dir = filepath.Join(t.TempDir(), "data") // under root this means a user namespace
			}
			c := startChild(t, self(t), dir, func(*exec.Cmd) {})
			socketDir := socketDirOf(t, dir)
			if err := c.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			// At once, so that Start may meet the old postmaster still shutting down.
			begun := time.Now()
			s := mustStart(t, Config{DataDir: dir})
			t.Logf("as %s: start after the kill took %s", s.as, time.Since(begun))
			query[int](t, s.AppURL(Database), `SELECT 1`)
			if err := syscall.Kill(c.postmaster, 0); !errors.Is(err, syscall.ESRCH) && !isZombie(c.postmaster) {
				t.Errorf("the old postmaster %d: got %v, want it gone", c.postmaster, err)
			}
			if _, err := os.Stat(socketDir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old socket directory: got %v, want it gone", err)
			}
		})
	}
}

// isZombie tells a process that has ended and waits for init to collect it.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func socketDirOf(t *testing.T, dir string) string {
	t.Helper()
	file, err := newLayout(dir).readServerFile()
	if err != nil {
		t.Fatal(err)
	}
	return file.SocketDir
}

func TestKilledParentLeavesNoServerWithoutAnotherStart(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	c := startChild(t, self(t), dir, func(*exec.Cmd) {})
	socket := filepath.Join(socketDirOf(t, dir), ".s.PGSQL."+socketPort)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cluster := newLayout(dir).cluster
	for deadline := time.Now().Add(10 * time.Second); len(postgresIn(cluster, c.postmaster)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %v survive their parent", postgresIn(cluster, c.postmaster))
		}
	}
	if conn, err := net.Dial("unix", socket); err == nil {
		conn.Close()
		t.Error("somebody still answers on the socket")
	}
}

// TestOrdinaryUser runs as whoever runs the tests; if that is root, it becomes nobody.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		s := mustStart(t, Config{DataDir: filepath.Join(t.TempDir(), "data")})
		if s.as.kind != asOurselves {
			t.Errorf("identity: got %s, want the current user", s.as)
		}
		return
	}
	home := openDir(t)
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(filepath.Dir(home), "pgembed.test") // go test's own directory is closed to others
	if err := copyFile(self(t), binary, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "data")
	for range 2 {
		c := startChild(t, binary, dir, func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			cmd.Env = append(cmd.Env, "HOME="+home, "XDG_CACHE_HOME="+home)
		})
		if c.identity != "current user" {
			t.Errorf("identity: got %q, want the current user", c.identity)
		}
		c.stdin.Close()
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("orderly end: %v", err)
		}
	}
}

func TestRootUsesAnAccountWhereItMay(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: TestOrdinaryUser covers this machine")
		return
	}
	s := mustStart(t, Config{DataDir: openDir(t)})
	owner, _, err := ownerOf(s.dir.cluster)
	if err != nil || s.as.kind != asAccount || owner.uid != s.as.uid || owner.uid == 0 {
		t.Errorf("got %s and a cluster of %s (%v), want the account to own it", s.as, owner.name, err)
	}
}

func TestRootUsesANamespaceBelowAClosedDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: TestOrdinaryUser covers this machine")
		return
	}
	dir := filepath.Join(t.TempDir(), "data") // its parent is 0700
	s, err := Start(t.Context(), Config{DataDir: dir, Fast: true})
	if !namespacesAllowed(t) {
		if err == nil || !strings.Contains(err.Error(), "set a data directory that others may traverse") {
			t.Errorf("without namespaces: got %v, want the way out", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	owner, _, err := ownerOf(s.dir.cluster)
	if err != nil || s.as.kind != inNamespace || owner.uid != 0 {
		t.Errorf("got %s and a cluster of %s (%v), want a user namespace and root", s.as, owner.name, err)
	}
	// The owner decides from now on, even if the directory is opened later.
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if again := mustStart(t, Config{DataDir: dir}); again.as.kind != inNamespace {
		t.Errorf("second start: got %s, want the user namespace again", again.as)
	}
}

func namespacesAllowed(t *testing.T) bool {
	t.Helper()
	cmd := exec.Command("true")
	cmd.SysProcAttr = identity{kind: inNamespace}.attr(syscall.SIGKILL)
	return namespacesSupported && cmd.Run() == nil
}
