//go:build unix && !linux

package pgembed

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

const namespacesSupported = false

func enterNamespace(*syscall.SysProcAttr) {}

// dieWithParent has no means here: after SIGKILL of the parent the postmaster lives on until the next Start, which
// finds and stops it.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// postgresIn knows only the postmaster, by its number, and asks ps whether that number is still a Postgres.
func postgresIn(_ string, postmaster int) []int {
	if postmaster == 0 {
		return nil
	}
	comm, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(postmaster)).Output()
	if err != nil || !strings.Contains(string(comm), "postgres") {
		return nil
	}
	return []int{postmaster}
}
