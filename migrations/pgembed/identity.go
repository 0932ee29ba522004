package pgembed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// accountVariable names the account that runs Postgres when we are root.
const accountVariable = "TENANTPILOT_PG_USER"

// identity is who Postgres runs as. It insists on two things: not to be root, and to own its cluster.
//
//	not root          as ourselves
//	root, first       as an account of its own, which must reach binaries and data through directories open to it
//	root, second      in a user namespace in which we are called "nobody"; outside, all files stay root's, so it also
//	                  works below a closed home directory. Containers often forbid it.
//
// A cluster that exists decides between the two by its owner.
type identity struct {
	kind     identityKind
	name     string // of the account
	uid, gid int    // who the files belong to; our own except for an account
}

type identityKind int

const (
	asOurselves identityKind = iota
	asAccount
	inNamespace
)

// nobody is the number root gets inside the namespace. The account must exist: initdb looks its name up.
const nobody = 65534

func (id identity) String() string {
	switch id.kind {
	case asAccount:
		return "account " + id.name
	case inNamespace:
		return "user namespace"
	default:
		return "current user"
	}
}

func chooseIdentity(bin Binaries, dir layout) (identity, error) {
	self := identity{kind: asOurselves, uid: os.Geteuid(), gid: os.Getegid()}
	if self.uid != 0 {
		return self, nil
	}
	namespace := identity{kind: inNamespace, uid: self.uid, gid: self.gid}
	account, found, err := ownerOf(dir.cluster)
	if err != nil {
		return identity{}, err
	}
	if found && account.uid == 0 {
		return namespace, namespace.mustReach(bin, dir)
	}
	if found {
		return account, account.mustReach(bin, dir)
	}
	if account, err = findAccount(); err != nil {
		return identity{}, err
	}
	if account.mustReach(bin, dir) == nil {
		return account, nil
	}
	if err := namespace.mustReach(bin, dir); err != nil {
		return identity{}, fmt.Errorf("run as %s: its directories are closed to it; run in a user namespace instead: %w"+
			" (set a data directory that others may traverse, such as one below /var/lib)", account, err)
	}
	return namespace, nil
}

// ownerOf tells who owns an existing cluster.
func ownerOf(cluster string) (_ identity, found bool, _ error) {
	info, err := os.Stat(cluster)
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, false, nil
	}
	if err != nil {
		return identity{}, false, fmt.Errorf("inspect cluster: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, false, fmt.Errorf("inspect cluster: no owner known for %s", cluster)
	}
	id := identity{kind: asAccount, uid: int(stat.Uid), gid: int(stat.Gid)}
	id.name = strconv.Itoa(id.uid)
	if u, err := user.LookupId(id.name); err == nil {
		id.name = u.Username
	}
	return id, true, nil
}

// findAccount picks the account for a new cluster: the one asked for, else postgres, else nobody.
func findAccount() (identity, error) {
	wanted := []string{"postgres", "nobody"}
	if name := os.Getenv(accountVariable); name != "" {
		wanted = []string{name}
	}
	for _, name := range wanted {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return identity{kind: asAccount, name: name, uid: uid, gid: gid}, nil
		}
	}
	return identity{}, fmt.Errorf("find an account to run postgres as (root may not): none of %v will do; set %s",
		wanted, accountVariable)
}

// attr is how a process of this identity is started. It gets a process group of its own, so that Ctrl-C in a terminal
// reaches us and not the database we still need for an orderly end. onDeath is sent to it when we die.
func (id identity) attr(onDeath syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	switch id.kind {
	case asAccount:
		attr.Credential = &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)}
	case inNamespace:
		enterNamespace(attr)
	}
	dieWithParent(attr, onDeath)
	return attr
}

// mustReach tries whether this identity gets at the binaries and the data directory, by doing it: path modes alone do
// not tell, given access lists, mount options and seccomp profiles.
func (id identity) mustReach(bin Binaries, dir layout) error { return id.reaches(bin, dir.root) }

func (id identity) reaches(bin Binaries, dir string) error {
	if id.kind == inNamespace && !namespacesSupported {
		return errors.ErrUnsupported
	}
	cmd := exec.Command(filepath.Join(bin.Dir, "postgres"), "--version")
	cmd.Dir = dir // entered under the new identity
	cmd.Env = environment()
	cmd.SysProcAttr = id.attr(syscall.SIGKILL)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s in %s: %w %s", cmd.Path, dir, err, out)
	}
	return nil
}

// give makes path, and all below it, belong to this identity.
func (id identity) give(path string) error {
	if id.kind != asAccount {
		return nil
	}
	err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id.uid, id.gid)
	})
	if err != nil {
		return fmt.Errorf("give files to %s: %w", id.name, err)
	}
	return nil
}

// makeSocketDir makes a closed directory with a short name: a socket's path may have 107 bytes at most, and the system
// temp directory, being open to all, is no place for the socket itself.
func makeSocketDir(bin Binaries, id identity) (string, error) {
	const longest = 80
	var errs []error
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		if len(parent) > longest {
			errs = append(errs, fmt.Errorf("%s: name too long for a socket", parent))
			continue
		}
		dir, err := os.MkdirTemp(parent, socketPrefix)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err = id.give(dir); err == nil {
			err = id.reaches(bin, dir)
		}
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err, os.RemoveAll(dir))
	}
	return "", fmt.Errorf("make socket directory: %w", errors.Join(errs...))
}

// environment is all that Postgres gets to see of ours: variables such as PGOPTIONS, PGDATA or a locale that is not
// installed would change what it does.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}
