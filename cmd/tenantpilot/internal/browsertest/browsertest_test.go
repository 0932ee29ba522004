package browsertest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVendoredFilesMatchTheManifest fails on a changed, missing or unlisted file.
func TestVendoredFilesMatchTheManifest(t *testing.T) {
	raw, err := os.ReadFile("testdata/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var packages []struct{ Files map[string]string }
	if err := json.Unmarshal(raw, &packages); err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, p := range packages {
		for name, sum := range p.Files {
			listed[name] = sum
		}
	}
	names, err := filepath.Glob("testdata/*/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != len(listed) {
		t.Errorf("got %d files, manifest lists %d", len(names), len(listed))
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		if got, want := hex.EncodeToString(sum[:]), listed[strings.TrimPrefix(filepath.ToSlash(name), "testdata/")]; got != want {
			t.Errorf("%s: got SHA-256 %s, manifest says %q", name, got, want)
		}
	}
}

// recorder is a test that remembers its failures instead of failing.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// TestOffencesAreSeen makes sure that a clean result means something.
func TestOffencesAreSeen(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		if r.URL.Path == "/pale.css" {
			w.Header().Set("Content-Type", "text/css")
			_, _ = w.Write([]byte(`@media (prefers-color-scheme: dark) { html { background: #111 } p { color: #222 } }`))
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>x</title><link rel="stylesheet" href="/pale.css"><p>pale</p><p style="width: 2000px">wide</p>
			<img src="http://other.invalid/x.png"><script>document.title = "inline"</script>`))
	}))
	defer server.Close()

	quiet := &recorder{TB: t}
	page := Start(t).Page(quiet)
	page.Look(390, Light)
	page.Open(server.URL)
	page.Axe()
	if len(quiet.errors) == 0 {
		t.Error("axe found nothing on a page with an image without alternative text")
	}
	quiet.errors = nil
	page.LookAround("offences")
	if told := strings.Join(quiet.errors, "\n"); !strings.Contains(told, "axe image-alt") || !strings.Contains(told, "axe color-contrast") {
		t.Errorf("a look around tells of\n%s", told)
	}
	offences := strings.Join(page.Offences(), "\n")
	for _, want := range []string{"inline style", "inline script", "other.invalid"} {
		if !strings.Contains(offences, want) {
			t.Errorf("offences do not mention %q:\n%s", want, offences)
		}
	}
}
