package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// process is the program as another process, which is killed when the test ends.
func process(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tenantpilot", args...)
	cmd.Env = append(os.Environ(), env...)
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// listening starts a process that serves, and returns where it is once it listens.
func listening(t testing.TB, serve *exec.Cmd) (base string) {
	t.Helper()
	out, err := serve.StdoutPipe()
	must(t, err)
	must(t, serve.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	base, ok := strings.CutPrefix(strings.TrimSpace(line), "serving ")
	if err != nil || !ok {
		t.Fatalf("serve says %q: %v", line, err)
	}
	return base
}
