package pgtest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"tenantpilot/migrations"
	"tenantpilot/migrations/pgembed"
)

// addresses is what a private server and a foreign one have in common.
type addresses interface {
	AppURL(database string) string
	OwnerURL(database string) string
	AuditorURL(database string) string
	SuperuserURL(database string) string
}

// host is the server that test databases live on.
type host struct {
	addresses
	server  *pgembed.Server // nil if the server is a foreign one
	dataDir string

	template string
	process  string // sets our clones apart from those of other processes on a foreign server
	// cloning lets one clone be made at a time: a template must have no connections, and copying is bound by the disk.
	cloning sync.Mutex
}

func newHost(ctx context.Context, foreignURL string) (*host, error) {
	template := "tp_template_" + migrations.Fingerprint()
	process := strings.ToLower(rand.Text()[:8])
	if foreignURL != "" {
		f, err := newForeign(ctx, foreignURL)
		if err != nil {
			return nil, fmt.Errorf("use %s: %w", urlVariable, err)
		}
		return &host{addresses: f, template: template, process: process}, nil
	}
	config, err := testConfig()
	if err != nil {
		return nil, err
	}
	// A crashed backend must end the server, not be papered over by an automatic restart: the test should see it.
	config.Settings = map[string]string{"restart_after_crash": "off"}
	server, err := startServer(ctx, config)
	if err != nil {
		return nil, err
	}
	return &host{addresses: server, server: server, dataDir: config.DataDir, template: template, process: process}, nil
}

// startServer leaves nothing behind when it fails.
func startServer(ctx context.Context, config pgembed.Config) (*pgembed.Server, error) {
	server, err := pgembed.Start(ctx, config)
	if err != nil {
		return nil, errors.Join(err, pgembed.Remove(context.WithoutCancel(ctx), config.DataDir))
	}
	return server, nil
}

// templateLock is an arbitrary key; advisory locks are per database, and the one we connect to holds nothing else.
const templateLock = 7_462_019

// ensureTemplate makes the migrated template if it is missing. It counts as made when it is marked as a template, which
// is the last step: what a crash leaves unmarked is made again. On a foreign server several processes may arrive.
func (h *host) ensureTemplate(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, h.SuperuserURL("postgres"))
	if err != nil {
		return fmt.Errorf("connect as superuser: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // gives the lock back
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, templateLock); err != nil {
		return fmt.Errorf("lock template: %w", err)
	}
	var complete bool
	err = conn.QueryRow(ctx, `SELECT datistemplate FROM pg_database WHERE datname = $1`, h.template).Scan(&complete)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("look for template: %w", err)
	}
	if complete {
		return nil
	}
	name := quoteName(h.template)
	if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`); err != nil {
		return fmt.Errorf("drop unfinished template: %w", err)
	}
	if err := pgembed.EnsureDatabase(ctx, h.SuperuserURL, h.template); err != nil {
		return err
	}
	if _, err := migrations.Apply(ctx, h.OwnerURL(h.template)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `ALTER DATABASE `+name+` IS_TEMPLATE true`); err != nil {
		return fmt.Errorf("mark template: %w", err)
	}
	return nil
}

// clone copies the template. Rights on the database itself are not copied by Postgres, so they are given again, as the
// first migration gives them.
func (h *host) clone(ctx context.Context, name string) error {
	h.cloning.Lock()
	defer h.cloning.Unlock()
	err := execute(ctx, h.SuperuserURL("postgres"),
		fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s OWNER %s`, quoteName(name), quoteName(h.template), pgembed.OwnerRole),
		fmt.Sprintf(`REVOKE ALL ON DATABASE %s FROM PUBLIC`, quoteName(name)),
		fmt.Sprintf(`GRANT CONNECT ON DATABASE %s TO %s, %s`, quoteName(name), pgembed.AppRole, pgembed.AuditorRole))
	if err != nil {
		return fmt.Errorf("clone template: %w", err)
	}
	return nil
}

func (h *host) drop(ctx context.Context, name string) error {
	return execute(ctx, h.SuperuserURL("postgres"), `DROP DATABASE IF EXISTS `+quoteName(name)+` WITH (FORCE)`)
}

// lastWords says why the private server died, if it did.
func (h *host) lastWords() string {
	if h.server == nil {
		return ""
	}
	select {
	case <-h.server.Done():
		return fmt.Sprintf("\nthe test server has ended: %v", h.server.Wait())
	default:
		return ""
	}
}

func quoteName(name string) string { return pgx.Identifier{name}.Sanitize() }

// testConfig names a data directory for a new test server, after removing those of processes that are gone.
func testConfig() (pgembed.Config, error) {
	all, err := commonDir()
	if err != nil {
		return pgembed.Config{}, err
	}
	removeLeftovers(all)
	dir, err := os.MkdirTemp(all, "")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		return pgembed.Config{}, fmt.Errorf("make directory for test servers: %w", err)
	}
	return pgembed.Config{DataDir: dir, Fast: true, ClusterCache: cacheDir(all)}, nil
}

// commonDir is where this user's test servers live. Others may traverse it, because a server started by root runs under
// another account; it must be ours, because its name can be guessed by whoever shares the temp directory.
func commonDir() (string, error) {
	dir := filepath.Join(os.TempDir(), "tenantpilot-pgtest-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make directory for test servers: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make directory for test servers: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() {
		return "", fmt.Errorf("make directory for test servers: %s is not ours", dir)
	}
	return dir, nil
}

// removeLeftovers removes the directories of dead processes. Those in use refuse; those made just now may not have
// reached the point at which they refuse. What cannot be removed is left for the next time.
func removeLeftovers(all string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	entries, err := os.ReadDir(all)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.IsDir() || entry.Name() == cacheName || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		_ = pgembed.Remove(ctx, filepath.Join(all, entry.Name())) // in use, or a matter for the next time
	}
}

const cacheName = "cache"

// cacheDir is where initialised clusters are kept: with the user's caches if they have a place, else beside the servers.
func cacheDir(all string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(all, cacheName)
	}
	dir = filepath.Join(dir, "tenantpilot")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return filepath.Join(all, cacheName)
	}
	return dir
}

// foreign is a server that somebody else runs, reached by a superuser's URL.
type foreign struct {
	superuser *url.URL
	passwords map[string]string
}

// newForeign gives the three roles passwords derived from the superuser's, so that all test processes agree on them
// without talking to each other.
func newForeign(ctx context.Context, superuserURL string) (foreign, error) {
	u, err := url.Parse(superuserURL)
	if err != nil {
		return foreign{}, errors.New("not a URL such as postgres://postgres:password@localhost/postgres")
	}
	f := foreign{superuser: u, passwords: make(map[string]string)}
	secret, _ := u.User.Password()
	var alter []string
	for _, role := range []string{pgembed.OwnerRole, pgembed.AppRole, pgembed.AuditorRole} {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(role))
		f.passwords[role] = hex.EncodeToString(mac.Sum(nil))[:32]
		alter = append(alter, fmt.Sprintf(`ALTER ROLE %s LOGIN PASSWORD '%s'`, role, f.passwords[role]))
	}
	if err := pgembed.EnsureRoles(ctx, superuserURL, f.passwords); err != nil {
		return foreign{}, err
	}
	return f, f.setPasswords(ctx, alter)
}

// setPasswords alters shared rows, which two processes may not do at once, so they take turns.
func (f foreign) setPasswords(ctx context.Context, alter []string) error {
	lock := fmt.Sprintf(`SELECT pg_advisory_lock(%d)`, templateLock)
	return execute(ctx, f.SuperuserURL("postgres"), append([]string{lock}, alter...)...)
}

func (f foreign) AppURL(database string) string     { return f.url(pgembed.AppRole, database) }
func (f foreign) OwnerURL(database string) string   { return f.url(pgembed.OwnerRole, database) }
func (f foreign) AuditorURL(database string) string { return f.url(pgembed.AuditorRole, database) }

func (f foreign) SuperuserURL(database string) string {
	u := *f.superuser
	u.Path = "/" + database
	return u.String()
}

func (f foreign) url(role, database string) string {
	u := *f.superuser
	u.User = url.UserPassword(role, f.passwords[role])
	u.Path = "/" + database
	return u.String()
}
