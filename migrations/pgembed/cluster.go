package pgembed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// makeCluster leaves a complete cluster under its final name, by initdb or from the cache.
func (s *Server) makeCluster(ctx context.Context) error {
	if s.conf.ClusterCache == "" {
		return s.initCluster(ctx)
	}
	entry := filepath.Join(s.conf.ClusterCache, s.cacheKey())
	unlock, err := lockCache(s.conf.ClusterCache)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(entry); err == nil {
		return s.takeFromCache(entry)
	}
	if err := s.initCluster(ctx); err != nil {
		return err
	}
	return s.addToCache(entry)
}

// initCluster runs initdb in a directory with another name and renames the result: a crash leaves either nothing that
// counts or a whole cluster.
func (s *Server) initCluster(ctx context.Context) error {
	made := filepath.Join(s.dir.initdb, "cluster")
	if err := os.MkdirAll(made, 0o700); err != nil {
		return fmt.Errorf("make cluster directory: %w", err)
	}
	pwfile := filepath.Join(s.dir.initdb, "password")
	if err := os.WriteFile(pwfile, []byte(s.passwords[superuser]+"\n"), 0o600); err != nil {
		return fmt.Errorf("write password for initdb: %w", err)
	}
	if err := s.as.give(s.dir.initdb); err != nil {
		return err
	}
	if err := os.Chmod(s.dir.initdb, 0o700); err != nil {
		return fmt.Errorf("close initdb directory: %w", err)
	}
	if err := s.runInitdb(ctx, made, pwfile); err != nil {
		return err
	}
	return s.adopt(made)
}

func (s *Server) runInitdb(ctx context.Context, dir, pwfile string) error {
	args := append(s.initdbOptions(), "--pwfile="+pwfile, "-D", dir)
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin.Dir, "initdb"), args...)
	cmd.Dir = s.dir.root
	cmd.Env = environment()
	cmd.SysProcAttr = s.as.attr(syscall.SIGKILL)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	proc, err := run(cmd)
	if err != nil {
		return fmt.Errorf("run initdb as %s: %w", s.as, err)
	}
	<-proc.done
	if proc.err != nil {
		return fmt.Errorf("run initdb as %s: %w\n%s", s.as, proc.err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// initdbOptions are those that decide what the cluster looks like; they are part of the cache key. Only a fast cluster
// is left unsynced: after a power failure the demo's must still be there.
func (s *Server) initdbOptions() []string {
	options := []string{
		"--username=" + superuser, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if s.conf.Fast {
		options = append(options, "--no-sync", "--wal-segsize=1")
	}
	return options
}

// adopt gives a complete cluster its final name and owner and clears the workshop.
func (s *Server) adopt(made string) error {
	if err := os.Rename(made, s.dir.cluster); err != nil {
		return fmt.Errorf("adopt cluster: %w", err)
	}
	if err := os.RemoveAll(s.dir.initdb); err != nil {
		return fmt.Errorf("clear initdb directory: %w", err)
	}
	return nil
}

// The cache. An entry holds a cluster and its passwords, all belonging to us whoever the server runs as; entries appear
// by a rename and never change. One lock guards making and reading them, so that test binaries starting together run
// initdb once.

func (s *Server) cacheKey() string {
	what := strings.Join(append(s.initdbOptions(), s.bin.Dir, s.bin.Version), " ")
	sum := sha256.Sum256([]byte(what))
	return fmt.Sprintf("cluster-%s-u%d-%s", s.bin.Version, os.Getuid(), hex.EncodeToString(sum[:4]))
}

func lockCache(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cluster cache: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock-"+strconv.Itoa(os.Getuid())), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock cluster cache: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock cluster cache: %w", err)
		}
	}
}

func (s *Server) addToCache(entry string) error {
	work, err := os.MkdirTemp(s.conf.ClusterCache, "adding-")
	if err != nil {
		return fmt.Errorf("add cluster to cache: %w", err)
	}
	defer os.RemoveAll(work)
	cached := newLayout(work)
	err = errors.Join(copyTree(s.dir.cluster, cached.cluster), copyTree(s.dir.passwords, cached.passwords))
	if err == nil {
		err = os.Rename(work, entry)
	}
	if err != nil {
		return fmt.Errorf("add cluster to cache: %w", err)
	}
	return nil
}

// takeFromCache copies the passwords before the cluster, as making them does.
func (s *Server) takeFromCache(entry string) (err error) {
	cached, made := newLayout(entry), filepath.Join(s.dir.initdb, "cluster")
	if err := os.MkdirAll(s.dir.initdb, 0o700); err != nil {
		return fmt.Errorf("copy cluster from cache: %w", err)
	}
	err = errors.Join(os.Remove(s.dir.passwords), copyTree(cached.passwords, s.dir.passwords), copyTree(cached.cluster, made))
	if err != nil {
		return fmt.Errorf("copy cluster from cache: %w", err)
	}
	if s.passwords, err = s.dir.loadPasswords(true); err != nil {
		return err
	}
	if err := s.as.give(made); err != nil {
		return err
	}
	return s.adopt(made)
}

// copyTree copies directories and regular files with their modes. Where the file system can share blocks, io.Copy
// between files lets it.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case info.IsDir():
			return os.Mkdir(target, info.Mode().Perm())
		case info.Mode().IsRegular():
			return copyFile(path, target, info.Mode().Perm())
		default:
			return fmt.Errorf("copy %s: not a file or directory", path)
		}
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
