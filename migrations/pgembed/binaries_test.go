package pgembed

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeBinaries writes a directory whose postgres only knows its version.
func fakeBinaries(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// emptyMachine has neither Postgres nor a platform that npm has binaries for; root is where to put some.
func emptyMachine(t *testing.T) (f finder, root string) {
	t.Helper()
	root = t.TempDir()
	return finder{
		getenv:   func(string) string { return "" },
		globs:    []string{filepath.Join(root, "*", "bin")},
		lookPath: func(string) (string, error) { return "", exec.ErrNotFound },
		npm:      npmFetcher{cache: filepath.Join(root, "cache"), npm: "no-such-npm", log: slog.New(slog.DiscardHandler)},
	}, root
}

func TestNewestInstalledVersionIsTaken(t *testing.T) {
	f, root := emptyMachine(t)
	for _, version := range []string{"9.6", "13.2", "15.18", "16.1"} {
		major, _, _ := strings.Cut(version, ".")
		fakeBinaries(t, filepath.Join(root, major, "bin"), version)
	}
	for major, want := range map[int]string{0: "16.1", 15: "15.18"} {
		if got, err := f.find(t.Context(), major); err != nil || got.Version != want {
			t.Errorf("cluster of version %d: got %s, %v; want %s", major, got.Version, err, want)
		}
	}
}

func TestVariableBeatsAllAndIsNeverIgnored(t *testing.T) {
	f, root := emptyMachine(t)
	fakeBinaries(t, filepath.Join(root, "17", "bin"), "17.1")
	chosen := fakeBinaries(t, filepath.Join(root, "mine"), "14.3")
	f.getenv = func(string) string { return chosen }
	if got, err := f.find(t.Context(), 0); err != nil || got.Dir != chosen {
		t.Errorf("got %s, %v; want %s", got.Dir, err, chosen)
	}
	f.getenv = func(string) string { return filepath.Join(root, "nothing") }
	if got, err := f.find(t.Context(), 0); err == nil {
		t.Errorf("a directory without binaries: got %s, want an error", got.Dir)
	}
}

func TestPathIsSearched(t *testing.T) {
	f, root := emptyMachine(t)
	dir := fakeBinaries(t, filepath.Join(root, "somewhere"), "18beta1")
	f.lookPath = func(string) (string, error) { return filepath.Join(dir, "postgres"), nil }
	if got, err := f.find(t.Context(), 0); err != nil || got.Major != 18 || got.Version != "18beta1" {
		t.Errorf("got %+v, %v; want 18beta1", got, err)
	}
}

func TestErrorWithoutBinariesNamesTheWayOut(t *testing.T) {
	f, root := emptyMachine(t)
	fakeBinaries(t, filepath.Join(root, "13", "bin"), "13.2")
	for major, want := range map[int][]string{
		0:  {"Postgres 14 or newer is needed", "found Postgres 13.2", "apt-get install -y postgresql\n", "TENANTPILOT_PG_BIN"},
		15: {"made by Postgres 15", "apt-get install -y postgresql-15\n"},
	} {
		_, err := f.find(t.Context(), major)
		if !errors.Is(err, ErrNoBinaries) {
			t.Fatalf("got %v, want ErrNoBinaries", err)
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("error does not say %q:\n%v", text, err)
			}
		}
	}
}

func TestTarballThatIsNotTheReviewedOneIsRefused(t *testing.T) {
	if err := verify([]byte("something else"), npmPackages["linux/amd64"].sha512); err == nil {
		t.Error("got no error")
	}
}

func tarball(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for name, body := range files {
		header := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(body)), Typeflag: tar.TypeReg}
		if err := tw.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(tw, body)
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTarballIsInstalledWithItsLinks(t *testing.T) {
	work, home := t.TempDir(), filepath.Join(t.TempDir(), "home")
	err := install(tarball(t, map[string]string{
		"package/native/bin/postgres":      "binary",
		"package/native/lib/libpq.so.5.17": "library",
		"package/native/pg-symlinks.json":  `[{"source":"native/lib/libpq.so.5.17","target":"native/lib/libpq.so.5"}]`,
	}), work, home)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(home, "native/lib/libpq.so.5")); err != nil || string(got) != "library" {
		t.Errorf("through the link: got %q, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(home, "native/bin/postgres")); err != nil || info.Mode().Perm()&0o111 != 0o111 {
		t.Errorf("postgres: got %v, %v; want it executable", info.Mode(), err)
	}
}

func TestTarballMayNotLeadOutOfItsDirectory(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"a file": {"../escaped": "x"},
		"a link": {"package/native/pg-symlinks.json": `[{"source":"native/x","target":"../../escaped"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			work := filepath.Join(parent, "work")
			if err := os.Mkdir(work, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := install(tarball(t, files), work, filepath.Join(parent, "home")); err == nil {
				t.Error("got no error")
			}
			if _, err := os.Lstat(filepath.Join(parent, "escaped")); err == nil {
				t.Error("a file was written outside")
			}
		})
	}
}
