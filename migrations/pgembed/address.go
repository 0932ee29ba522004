package pgembed

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"time"
)

// The names that exist in every server this package starts.
const (
	Database     = "tenantpilot"
	OwnerRole    = "tenantpilot_owner"
	AppRole      = "tenantpilot_app"
	AuditorRole  = "tenantpilot_auditor"
	ConsoleRole  = "tenantpilot_console" // without a password: the application reads as it
	superuser    = "postgres"
	socketPort   = "5432" // only part of the socket's file name; nothing listens on a port
	socketPrefix = "tp-"
)

// address is how to reach a server: its socket and a password per role.
type address struct {
	socketDir string
	passwords map[string]string
}

// OwnerURL is the URL of database for migrations.
func (a address) OwnerURL(database string) string { return a.url(OwnerRole, database) }

// AppURL is the URL of database for serve and work.
func (a address) AppURL(database string) string { return a.url(AppRole, database) }

// AuditorURL is the URL of database for readers of the log.
func (a address) AuditorURL(database string) string { return a.url(AuditorRole, database) }

// SuperuserURL is the URL of database for tests and benchmarks, which create databases and break rules on purpose.
// Nothing else may use it: a superuser passes row-level security and the log's triggers.
func (a address) SuperuserURL(database string) string { return a.url(superuser, database) }

// SocketDir is the directory of the Unix socket.
func (a address) SocketDir() string { return a.socketDir }

func (a address) url(role, database string) string {
	u := url.URL{
		Scheme: "postgres",
		User:   url.UserPassword(role, a.passwords[role]),
		Path:   "/" + database,
		RawQuery: url.Values{
			"host":    {a.socketDir},
			"port":    {socketPort},
			"sslmode": {"disable"},
		}.Encode(),
	}
	return u.String()
}

func (a address) socket() string { return filepath.Join(a.socketDir, ".s.PGSQL."+socketPort) }

// Handle is the address of a server that another process runs.
type Handle struct{ address }

// Find returns the address of the server that runs on dataDir, or ErrNotRunning. The files it reads are for the user
// who started the server, and root.
func Find(dataDir string) (*Handle, error) {
	dir := newLayout(dataDir)
	file, err := dir.readServerFile()
	if err != nil {
		return nil, fmt.Errorf("find server in %s: %w", dataDir, err)
	}
	passwords, err := dir.loadPasswords(true)
	if err != nil {
		return nil, fmt.Errorf("find server in %s: %w", dataDir, err)
	}
	a := address{socketDir: file.SocketDir, passwords: passwords}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", a.socket())
	if err != nil {
		return nil, fmt.Errorf("find server in %s: %w (it left %s behind)", dataDir, ErrNotRunning, serverFileName)
	}
	return &Handle{a}, conn.Close()
}

// serverFile is server.json: written before the postmaster starts, removed after it has stopped. It is there for other
// processes and for people with psql; what is in it may be out of date, so readers dial the socket.
type serverFile struct {
	PID       int               `json:"pid"` // the process that called Start, not the postmaster
	SocketDir string            `json:"socket_dir"`
	URLs      map[string]string `json:"urls"` // by role, for the database named by Database
}

func (f serverFile) encode() ([]byte, error) { return json.MarshalIndent(f, "", "  ") }
