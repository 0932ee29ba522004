package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// benchCPU is processor time: what the client side used (this process, or pgbench), and what the server's processes used. On a machine
// whose cores client and server share it says more than a rate, because it does not depend on who else is busy there.
type benchCPU struct{ client, server time.Duration }

func (c *benchCPU) add(d benchCPU) { c.client, c.server = c.client+d.client, c.server+d.server }

// cpu is what both sides use while do runs. Where there is no /proc, the server's stays 0.
func (b *bench) cpu(do func()) benchCPU {
	before := benchCPU{server: serverCPU(b.server.PID())}
	before.client = ownCPU() // last, and below first: looking at the server costs time too
	do()
	used := benchCPU{client: ownCPU() - before.client}
	used.server = serverCPU(b.server.PID()) - before.server
	return used
}

func ownCPU() time.Duration {
	var own syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &own) != nil {
		return 0
	}
	return time.Duration(own.Utime.Nano() + own.Stime.Nano())
}

const clockTick = 10 * time.Millisecond // of /proc on every Linux of the last twenty years

// serverCPU adds up the postmaster, its living children, and those that it has buried.
func serverCPU(postmaster int) time.Duration {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var ticks int64
	for _, name := range stats {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		// "pid (name) state ppid ..."; the name may hold anything, so fields are counted after its bracket: 11 to 14 are the times of the
		// process in user and kernel mode and of its children.
		after := bytes.LastIndexByte(raw, ')') + 2
		fields := bytes.Fields(raw[after:])
		if len(fields) < 15 {
			continue
		}
		own := name == fmt.Sprintf("/proc/%d/stat", postmaster)
		if !own && string(fields[1]) != strconv.Itoa(postmaster) {
			continue
		}
		for _, f := range fields[11:15] {
			n, _ := strconv.ParseInt(string(f), 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * clockTick
}
