package page_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGeneratedCodeIsCurrent generates from the templates as they are and
// compares with what is committed.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	const here = "cmd/tenantpilot/internal/web/page" // templ writes the path below the root into its output
	root := t.TempDir()
	dir := filepath.Join(root, here)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Glob("*.templ")
	if err != nil || len(templates) == 0 {
		t.Fatalf("find templates: %v", err)
	}
	for _, name := range templates {
		if err := os.WriteFile(filepath.Join(dir, name), read(t, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "tool", "templ", "generate", "-path", root).CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
	for _, template := range templates {
		name := template[:len(template)-len(".templ")] + "_templ.go"
		if string(read(t, name)) != string(read(t, filepath.Join(dir, name))) {
			t.Errorf("%s is not what %s says; run: make generate", name, template)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
