// Package migrations holds the database schema: numbered SQL files, embedded in the binary, and the code that applies
// them and tells whether they have been applied.
//
// Files go forward only. A mistake is corrected by the next file, never by editing one that has been released: a
// database remembers only the number.
//
// Two things hold for every file, and a test keeps them so: goose runs it in one transaction together with the row
// that marks it applied, and it therefore never says "+goose NO TRANSACTION". A crash anywhere leaves the schema at the
// last complete file.
//
// Since pgx 5.9 an Exec without arguments through database/sql may be sent a second time, silently, when the connection
// is lost while it waits for the answer. Migrations are such statements. They stay harmless because goose works on one
// pinned connection inside one transaction, where database/sql never retries: a lost connection is an error and the
// server rolls back. Only a lost answer to COMMIT is ambiguous; Apply then reports an error, and the next Apply reads
// from the version table what became of it.
package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// versionTable is goose's own default, so that its command-line tool finds it too. The app role may read it.
const versionTable = "goose_db_version"

// MinServerVersion is the oldest Postgres we run on, in the form of server_version_num.
const MinServerVersion = 140000

// Querier is what reading needs: a *pgx.Conn, a *pgxpool.Pool or a pgx.Tx.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Applied is one migration that Apply carried out.
type Applied struct {
	Version int64
	Name    string
}

// State compares the database with the files in this binary.
type State struct {
	// Latest is the highest version in the binary, Current the highest one in the database; 0 means none.
	Latest, Current int64
	// Pending are the versions in the binary that the database lacks, ascending.
	Pending []int64
	// Unknown are the versions in the database that the binary lacks: a newer release has been here.
	Unknown []int64
}

// Apply brings the database at ownerURL to LatestVersion and returns what it did, in order; nothing when there was
// nothing to do. Several processes may call it at once: a session advisory lock lets one work and the others wait, for
// five minutes at most. After an error all files before the failed one are applied.
func Apply(ctx context.Context, ownerURL string) (_ []Applied, err error) {
	config, err := pgx.ParseConfig(ownerURL)
	if err != nil {
		return nil, fmt.Errorf("parse owner URL: %w", err)
	}
	if err := checkServerAt(ctx, config); err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := newProvider(db)
	if err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("apply migrations: %w", err)
	}
	var applied []Applied
	for _, r := range results {
		applied = append(applied, Applied{Version: r.Source.Version, Name: r.Source.Path})
	}
	return applied, nil
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // every second, 300 times
	if err != nil {
		return nil, fmt.Errorf("make migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker),
		goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	return provider, nil
}

func checkServerAt(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect as owner: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return CheckServer(ctx, conn)
}

// CheckServer returns an error that says what was found and what is needed if the server is older than
// MinServerVersion.
func CheckServer(ctx context.Context, db Querier) error {
	rows, err := db.Query(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version')`)
	if err != nil {
		return fmt.Errorf("read server version: %w", err)
	}
	type version struct {
		Number int
		Text   string
	}
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[version])
	if err != nil {
		return fmt.Errorf("read server version: %w", err)
	}
	if found.Number < MinServerVersion {
		return fmt.Errorf("check server: found Postgres %s, need %d or newer", found.Text, MinServerVersion/10000)
	}
	return nil
}

// Status tells what is applied and what is not. It only reads, so the app role may ask; a database that has never been
// migrated has everything pending.
func Status(ctx context.Context, db Querier) (State, error) {
	state := State{Latest: LatestVersion()}
	applied, err := appliedVersions(ctx, db)
	if err != nil {
		return State{}, err
	}
	for v := range applied {
		state.Current = max(state.Current, v)
	}
	for _, v := range Versions() {
		if !applied[v] {
			state.Pending = append(state.Pending, v)
		}
		delete(applied, v)
	}
	state.Unknown = slices.Sorted(maps.Keys(applied))
	return state, nil
}

// Pending reports how many migrations the database lacks. Readiness asks it with the app role's pool.
func Pending(ctx context.Context, db Querier) (int, error) {
	state, err := Status(ctx, db)
	return len(state.Pending), err
}

func appliedVersions(ctx context.Context, db Querier) (map[int64]bool, error) {
	rows, err := db.Query(ctx, `SELECT to_regclass($1) IS NOT NULL`, versionTable)
	if err != nil {
		return nil, fmt.Errorf("find version table: %w", err)
	}
	exists, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if err != nil {
		return nil, fmt.Errorf("find version table: %w", err)
	}
	applied := make(map[int64]bool)
	if !exists {
		return applied, nil
	}
	rows, err = db.Query(ctx, `SELECT version_id FROM `+versionTable+` WHERE is_applied AND version_id > 0`)
	if err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", err)
	}
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", err)
	}
	for _, v := range versions {
		applied[v] = true
	}
	return applied, nil
}

// Versions lists the numbers of the embedded files, ascending.
func Versions() []int64 {
	var versions []int64
	for _, name := range names() {
		number, _, _ := strings.Cut(name, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic("migrations: file name without a number: " + name) // embedded at build time; a test reads them all
		}
		versions = append(versions, v)
	}
	slices.Sort(versions)
	return versions
}

// LatestVersion is the version a fully migrated database has.
func LatestVersion() int64 {
	versions := Versions()
	return versions[len(versions)-1]
}

// Fingerprint is a short name for the content of all files, for whoever keeps a migrated database to copy from.
func Fingerprint() string {
	h := sha256.New()
	for _, name := range names() {
		body, err := files.ReadFile(name)
		if err != nil {
			panic("migrations: " + err.Error()) // the file was listed by the same embedded tree
		}
		fmt.Fprintf(h, "%s %d\n", name, len(body))
		h.Write(body)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

func names() []string {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		panic("migrations: " + err.Error()) // the pattern is constant
	}
	return names
}
