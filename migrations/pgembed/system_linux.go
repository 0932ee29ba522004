package pgembed

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

const namespacesSupported = true

func enterNamespace(attr *syscall.SysProcAttr) {
	one := []syscall.SysProcIDMap{{ContainerID: nobody, HostID: 0, Size: 1}}
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings, attr.GidMappings = one, one
}

// dieWithParent makes the kernel send s when the thread that starts the process ends; see run for the thread.
func dieWithParent(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }

// postgresIn lists the Postgres processes, postmaster or orphaned children, that work in the cluster: all of them have
// it as their working directory.
func postgresIn(cluster string, _ int) []int {
	want, err := os.Stat(cluster)
	if err != nil {
		return nil
	}
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is constant
	for _, link := range links {
		got, err := os.Stat(link)
		if err != nil || !os.SameFile(want, got) {
			continue // gone meanwhile, or not ours to look at
		}
		proc := filepath.Dir(link)
		if comm, err := os.ReadFile(filepath.Join(proc, "comm")); err != nil || !bytes.HasPrefix(comm, []byte("postgres")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(proc)); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}
