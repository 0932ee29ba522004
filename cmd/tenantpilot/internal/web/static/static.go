// Package static holds the console's stylesheet, scripts and icons, and the
// files it vendors from other projects. Everything is embedded and served from
// our own origin; manifest.json says where each vendored file came from.
//
// A file's address contains a hash of its content, so browsers may keep it for
// ever and a new build is seen at once.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

// Prefix is the path below which Handler serves.
const Prefix = "/static/"

//go:embed app.css app.js hub.css hub.js theme.js favicon.svg manifest.json vendor
var files embed.FS

type asset struct {
	url     string
	kind    string
	body    []byte
	gzipped []byte
}

var assets = sync.OnceValue(load)

func load() map[string]asset {
	index := map[string]asset{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		index[name] = asset{
			url:     Prefix + hex.EncodeToString(sum[:6]) + "/" + name,
			kind:    mime.TypeByExtension(path.Ext(name)),
			body:    body,
			gzipped: compress(body),
		}
		return nil
	})
	if err != nil {
		panic("static: read embedded files: " + err.Error())
	}
	return index
}

func compress(body []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	// Writes to a bytes.Buffer do not fail.
	_, _ = w.Write(body)
	_ = w.Close()
	return buf.Bytes()
}

// URL is the address of an embedded file, such as URL("app.css"). A name that
// does not exist is a mistake in a template and panics.
func URL(name string) string {
	a, ok := assets()[name]
	if !ok {
		panic("static: no file " + name)
	}
	return a.url
}

// Icon is the inside of a vendored icon: what stands between <svg> and </svg>.
// It reports false for a name that is not vendored.
func Icon(name string) (string, bool) {
	a, ok := assets()["vendor/lucide/"+name+".svg"]
	if !ok {
		return "", false
	}
	_, rest, _ := strings.Cut(string(a.body), "<svg")
	_, rest, _ = strings.Cut(rest, ">")
	inside, _, _ := strings.Cut(rest, "</svg>")
	return strings.TrimSpace(inside), true
}

// Handler serves the files below Prefix. An address with another hash than the
// file's own is not found: it belongs to another build.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Prefix), "/")
		a, ok := assets()[name]
		if !ok || a.url != r.URL.Path {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.kind)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Vary", "Accept-Encoding")
		body := a.body
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = a.gzipped
		}
		if r.Method != http.MethodHead {
			// The reader going away is its own business.
			_, _ = w.Write(body)
		}
	})
}
