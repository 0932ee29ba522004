package static

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type manifest []struct {
	Name, Version, Licence string
	Files                  map[string]string
}

// TestVendoredFilesMatchTheManifest fails on a changed, missing or unlisted file.
func TestVendoredFilesMatchTheManifest(t *testing.T) {
	raw, err := files.ReadFile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var packages manifest
	if err := json.Unmarshal(raw, &packages); err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, p := range packages {
		if p.Name == "" || p.Version == "" || p.Licence == "" {
			t.Errorf("manifest entry without name, version or licence: %+v", p)
		}
		for name, sum := range p.Files {
			listed["vendor/"+name] = sum
		}
	}
	err = fs.WalkDir(files, "vendor", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		if got := hex.EncodeToString(sum[:]); got != listed[name] {
			t.Errorf("%s: got SHA-256 %s, manifest says %q", name, got, listed[name])
		}
		delete(listed, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range listed {
		t.Errorf("manifest lists %s, which is not there", name)
	}
}

func TestHandler(t *testing.T) {
	tests := []struct {
		name   string
		path   string
		status int
		kind   string
	}{
		{"the current address answers", URL("app.css"), http.StatusOK, "text/css"},
		{"scripts are scripts", URL("app.js"), http.StatusOK, "text/javascript"},
		{"an address of another build is not found", Prefix + "000000000000/app.css", http.StatusNotFound, ""},
		{"a name that does not exist is not found", Prefix + "x/nothing", http.StatusNotFound, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, tt.path, nil))
			if rec.Code != tt.status {
				t.Fatalf("GET %s: got %d, want %d", tt.path, rec.Code, tt.status)
			}
			if tt.status != http.StatusOK {
				return
			}
			if got := rec.Header().Get("Content-Type"); !strings.HasPrefix(got, tt.kind) {
				t.Errorf("content type: got %q, want %q", got, tt.kind)
			}
			if got := rec.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
				t.Errorf("cache control: got %q, want immutable", got)
			}
		})
	}
}

func TestHandlerCompresses(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, URL("vendor/basecoat/basecoat-mira.cdn.min.css"), nil)
	req.Header.Set("Accept-Encoding", "gzip")
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, req)
	if got := rec.Header().Get("Content-Encoding"); got != "gzip" {
		t.Errorf("content encoding: got %q, want gzip", got)
	}
	if got := rec.Body.Len(); got > 60_000 {
		t.Errorf("compressed size: got %d, want less than 60000", got)
	}
}

func TestIcon(t *testing.T) {
	inside, ok := Icon("circle-check")
	if !ok || !strings.HasPrefix(inside, "<") || strings.Contains(inside, "svg") {
		t.Errorf("Icon(circle-check) = %q, %v; want the shapes only", inside, ok)
	}
	if _, ok := Icon("no-such-icon"); ok {
		t.Error("Icon of an unknown name: got true, want false")
	}
}
