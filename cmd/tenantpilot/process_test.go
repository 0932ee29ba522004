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

// listening starts a process that serves, and returns where it is once it says so.
func listening(t testing.TB, serve *exec.Cmd) (base string) { return saying(t, serve, "serving ") }

// saying starts a process and returns the rest of its first line, which begins so.
func saying(t testing.TB, serve *exec.Cmd, begin string) (rest string) {
	t.Helper()
	out, err := serve.StdoutPipe()
	must(t, err)
	must(t, serve.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), begin)
	if err != nil || !ok {
		t.Fatalf("%q says %q: %v", serve.Args, line, err)
	}
	return rest
}
