package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
)

// stronghold is a database with sealed credentials, and the environment of a program that has their keyset in a file.
type stronghold struct {
	db   *pgtest.DB
	pool *pgxpool.Pool
	path string
	kept []domain.ProviderConnection
}

func newStronghold(t *testing.T, credentials int) *stronghold {
	t.Helper()
	db := pgtest.New(t)
	s := &stronghold{db: db, pool: db.Pool(t), path: filepath.Join(t.TempDir(), "keyset.json")}
	drawn, err := secrets.NewKeyset()
	must(t, err)
	must(t, os.WriteFile(s.path, drawn, 0o640)) //nolint:gosec // a group that may read it is kept
	store := s.open(t)
	for n := range credentials {
		c := domain.ProviderConnection{Number: int64(n + 1), Workspace: uuid.New(), Tenant: uuid.New()}
		c.Credential, err = store.Put(t.Context(), c, "secret", fmt.Sprintf("secret-%d", c.Number), time.Time{})
		must(t, err)
		_, err = s.pool.Exec(t.Context(), `insert into provider_connections (number, stream, workspace, tenant, provider, display_name, connection_type, app_id,
			is_enabled, consent_status, verification_status, credential_fingerprint, version, position)
			values ($1, gen_random_uuid(), $2, $3, 'microsoft', 'x', 'dedicated', 'app', true, 'granted', 'healthy', $4, 1, 1)`,
			c.Number, c.Workspace, c.Tenant, c.Credential.Fingerprint)
		must(t, err)
		s.kept = append(s.kept, c)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *stronghold) open(t *testing.T) *secrets.Store {
	t.Helper()
	store, err := secrets.Open(s.pool, secrets.File(s.path))
	must(t, err)
	return store
}

// command is the program as another process.
func (s *stronghold) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "tenantpilot", args...)
	cmd.Env = append(os.Environ(), "TENANTPILOT_DATABASE_URL="+s.db.AppURL, "TENANTPILOT_KEYSET_FILE="+s.path)
	return cmd
}

func (s *stronghold) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	out, err := s.command(t.Context(), args...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return string(out), exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return string(out), 0
}

// opens checks that today's keyset opens everything, and says how many keys it has sealed them with.
func (s *stronghold) opens(t *testing.T) map[uint32]int {
	t.Helper()
	store := s.open(t)
	for _, c := range s.kept {
		if got, err := store.Get(t.Context(), c); err != nil || got != fmt.Sprintf("secret-%d", c.Number) {
			t.Fatalf("connection %d: %q, %v", c.Number, got, err)
		}
	}
	sealed, err := secrets.Sealed(t.Context(), s.pool)
	must(t, err)
	return sealed
}

// TestARotationIsKilledInTheMiddle kills the program that seals anew, again and again, until nothing is left to do. At each point everything
// opens.
func TestARotationIsKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	const credentials = 400
	s := newStronghold(t, credentials)
	old, _ := s.open(t).InUse()
	out, code := s.run(t, "keys", "rotate")
	found := regexp.MustCompile(`^key (\d+) seals`).FindStringSubmatch(out)
	if code != 0 || found == nil {
		t.Fatalf("rotate: %d %s", code, out)
	}
	if info, err := os.Stat(s.path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	primary, _ := s.open(t).InUse()
	if fmt.Sprint(primary) != found[1] || primary == old {
		t.Fatalf("the primary key is %d, was %d: %s", primary, old, out)
	}
	if sealed := s.opens(t); sealed[old] != credentials {
		t.Fatalf("sealed after the rotation: %v", sealed)
	}
	if out, code := s.run(t, "keys", "disable", fmt.Sprint(old)); code != exitBlocked || !strings.Contains(out, "400 stored credentials are sealed") {
		t.Errorf("an old key in use: %d %s", code, out)
	}
	killed := 0
	for left := credentials; left > credentials/4 && killed < 20; killed++ {
		cmd := s.command(t.Context(), "keys", "rotate", "--reseal")
		progress, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		_, _ = io.ReadAtLeast(progress, make([]byte, 1), 1) // after its first transaction
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		sealed := s.opens(t)
		if sealed[old]+sealed[primary] != credentials || sealed[old] >= left {
			t.Fatalf("after the kill: %v, before %d were left", sealed, left)
		}
		left = sealed[old]
	}
	t.Logf("killed %d times", killed)
	if out, code := s.run(t, "keys", "rotate", "--reseal"); code != 0 || !strings.Contains(out, fmt.Sprintf("done: every stored credential is sealed with key %d", primary)) {
		t.Fatalf("the rest: %d %s", code, out)
	}
	if sealed := s.opens(t); sealed[primary] != credentials {
		t.Fatalf("sealed in the end: %v", sealed)
	}
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"destroy", fmt.Sprint(old)}, exitError, "disable it first"},
		{[]string{"disable", fmt.Sprint(primary)}, exitBlocked, "400 stored credentials"},
		{[]string{"disable", "7"}, exitNotFound, "no such key"},
		{[]string{"disable", "x"}, exitUsage, "no key's id"},
		{[]string{"disable", fmt.Sprint(old)}, exitOK, "is disabled"},
		{[]string{"list"}, exitOK, "disabled"},
		{[]string{"destroy", fmt.Sprint(old)}, exitOK, "is destroyed"},
		{[]string{"list"}, exitOK, fmt.Sprintf("%d  seals  400", primary)},
	} {
		if out, code := s.run(t, append([]string{"keys"}, step.args...)...); code != step.code || !strings.Contains(out, step.says) {
			t.Errorf("keys %v: %d %s", step.args, code, out)
		}
	}
	s.opens(t)
	if files, err := os.ReadDir(filepath.Dir(s.path)); err != nil || len(files) != 1 {
		t.Errorf("beside the keyset: %v, %v", files, err)
	}
}

// TestALostKeysetIsSaidAtTheStart starts the app on credentials that its keyset does not open.
func TestALostKeysetIsSaidAtTheStart(t *testing.T) {
	t.Parallel()
	s := newStronghold(t, 3)
	start := func(source secrets.Source) (said string, credentials error) {
		t.Helper()
		var log bytes.Buffer
		a, err := newApp(t.Context(), options{
			databaseURL: s.db.AppURL, keyset: source, lazyDisk: true, log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		must(t, err)
		defer a.Close()
		return log.String(), a.ready(t.Context())["credentials"]
	}
	if said, fault := start(secrets.File(s.path)); said != "" || fault != nil {
		t.Errorf("with the right keyset: %s, %v", said, fault)
	}
	other, err := secrets.NewKeyset()
	must(t, err)
	const want = "3 stored credentials cannot be opened: the keyset (TENANTPILOT_KEYSET_FILE) has no key for them. They are of the connections 1, 2, 3."
	said, fault := start(secrets.Fixed(other))
	var n notice
	if !strings.Contains(said, want) || !strings.Contains(said, "set new credentials") || !errors.As(fault, &n) || !strings.HasPrefix(n.Error(), want) {
		t.Errorf("with another keyset: %s, %v", said, fault)
	}
	if said, _ := start(nil); !strings.Contains(said, "this process has no keyset") {
		t.Errorf("without a keyset: %s", said)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := s.command(ctx, "keys", "rotate", "--reseal")
	must(t, os.WriteFile(s.path, other, 0o600))
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "3 stored credentials cannot be opened") || strings.Contains(string(out), "secret-") {
		t.Errorf("sealing anew: %v %s", err, out)
	}
}
