package tenantpilot_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// This file is a statement of policy: who may import whom. It is not changed to make a build pass. A line is added when
// the design changes, in a commit that says why.

const (
	module   = "tenantpilot"
	internal = "cmd/tenantpilot/internal/"

	pgx       = "github.com/jackc/pgx/v5"
	uuid      = "github.com/google/uuid"
	watermill = "github.com/ThreeDotsLabs/watermill"
	wmsql     = "github.com/ThreeDotsLabs/watermill-sql/v3"
	goose     = "github.com/pressly/goose/v3"
	templ     = "github.com/a-h/templ"
	mux       = "github.com/gorilla/mux"
	azure     = "github.com/Azure/azure-sdk-for-go/sdk"
)

// rule is what one package may import. Our own packages are named by their folder and match exactly; modules match with
// all their packages. Of the standard library everything is allowed, unless pure names the only packages that are.
// What never names is refused even where another line would allow it; the value is the reason, which the failure prints.
type rule struct {
	may   []string
	tests []string // in _test.go files, besides may and testHelpers; there never and pure do not count
	pure  []string
	never map[string]string
	why   string // of what is allowed beyond the obvious
}

var policy = map[string]rule{
	".": {why: "the map and this test: no code"},

	"domain": {
		may: []string{uuid, "github.com/go-json-experiment/json"},
		pure: []string{
			"bytes", "cmp", "crypto/sha256", "encoding", "encoding/base64", "encoding/binary", "encoding/hex",
			"encoding/json", "errors", "fmt", "io", "iter", "maps", "math", "math/bits", "net/url", "regexp", "slices", "sort",
			"strconv", "strings", "time", "unicode", "unicode/utf8",
		},
		never: map[string]string{
			"context": "a decision must be replayable: nothing to cancel, nothing to wait for",
			"log":     "a decision says what it has to say in its result", "log/slog": "as log",
			"math/rand": "a decision must be replayable: chance is passed in", "math/rand/v2": "as math/rand", "crypto/rand": "as math/rand",
			"os": "a decision does no I/O", "net": "as os", "net/http": "as os", "database/sql": "as os",
			"sync": "a decision shares nothing",
		},
		why: "net/url takes text apart and opens nothing; io for io.EOF (inDomain); uuid for identities derived from others (SHA-1), never for new ones; json for events, read strictly and written canonically",
	},
	"eventstore": {
		may: []string{"domain", uuid, pgx, watermill, wmsql, "golang.org/x/mod/sumdb", "golang.org/x/sync"},
		never: map[string]string{
			"commands": "the log does not know who writes to it", "projections": "the log does not know who reads it",
		},
	},
	"commands": {
		may: []string{"domain", "eventstore", uuid},
		never: map[string]string{
			"projections": "a read model may be late, a decision may not",
			pgx:           "the SQL of streams is in one place, eventstore",
		},
		tests: []string{pgx, "projections"},
	},
	"projections": {
		may: []string{"domain", "eventstore", uuid, pgx, watermill, wmsql, "golang.org/x/sync"},
		never: map[string]string{
			"commands": "a projection has no opinion",
			"net":      "it runs in a transaction that moves the log's checkpoint: waiting for a network would hide newer events from all readers",
			"net/http": "as net",
		},
		tests: []string{"commands"},
	},
	"migrations":         {may: []string{pgx, goose}},
	"migrations/pgembed": {may: []string{pgx}},
	"migrations/pgtest":  {may: []string{"migrations", "migrations/pgembed", pgx}},

	"cmd/internal/evidence": {
		may: []string{"golang.org/x/mod/sumdb"},
		never: map[string]string{
			pgx: "evidence is checked without a database", "database/sql": "as pgx", "net": "evidence is checked offline", "net/http": "as net",
		},
	},
	"cmd/tpverify": {
		may: []string{"cmd/internal/evidence", "golang.org/x/mod/sumdb"},
		never: map[string]string{
			"net": "an auditor's program needs no network", "net/http": "as net", pgx: "nor a database", "os/exec": "nor other programs",
		},
		tests: []string{"cmd/internal/evidence"},
	},
	"cmd/tenantpilot": {
		may: []string{"*"},
		never: map[string]string{
			"migrations/pgtest":      "for tests",
			internal + "browsertest": "for tests",
		},
		why: "main wires everything and nothing imports it",
	},
	internal + "app": {may: []string{"*"}, why: "wiring that end-to-end tests share with main"},
	internal + "auth": {
		may: []string{
			"domain", "commands", "projections", uuid, pgx, "github.com/alexedwards/scs", mux,
			"golang.org/x/crypto", "golang.org/x/oauth2", "github.com/coreos/go-oidc",
		},
		why: "pgx: sessions and tokens are not events, their tables are auth's own",
	},
	internal + "auth/idptest": {
		may: []string{"github.com/coreos/go-oidc"},
		why: "a provider knows nothing of us; go-oidc signs its tokens",
	},
	internal + "client": {
		never: map[string]string{pgx: "the command line's operator verbs know what the console tells them", internal + "web": "as pgx"},
	},
	internal + "consent": {may: []string{uuid, pgx}, why: "pgx: a link's state is a secret and not an event, its table is consent's own"},
	internal + "web": {
		may: []string{
			"domain", "commands", "projections", internal + "auth", internal + "consent", internal + "web/view", internal + "web/page",
			internal + "web/static", "cmd/internal/evidence", mux, templ, uuid, "github.com/prometheus/client_golang", "github.com/go-json-experiment/json",
		},
		why: "evidence: the shapes of proofs; go-json-experiment: strict decoding (unknown and doubled members) that names the place",
		never: map[string]string{
			internal + "graph": "pages render from the database; where one needs the provider, web declares the interface and main passes it in",
			pgx:                "no SQL in handlers", "database/sql": "no SQL in handlers",
			"eventstore": "web asks commands and projections",
		},
		tests: []string{"eventstore", pgx, internal + "worker", internal + "graph"},
	},
	internal + "narrate": {may: []string{"domain"}, why: "words only: the console and the command line share them"},
	internal + "web/view": {
		may: []string{"domain", "projections", internal + "narrate", uuid},
		never: map[string]string{
			"net/http": "what a page says is derivable before rendering", templ: "as net/http",
		},
	},
	internal + "web/page": {
		may: []string{internal + "web/view", internal + "web/static", templ},
		never: map[string]string{
			"projections": "a template shows, it does not look up", pgx: "as projections", "net/http": "as projections",
		},
		tests: []string{"projections"},
		why:   "static: a page names its stylesheet by the hash of its content; projections in tests: some samples are presented from rows",
	},
	internal + "web/static": {},
	internal + "worker": {
		may: []string{
			"domain", "commands", "projections", "eventstore", internal + "graph", internal + "secrets", uuid,
			"golang.org/x/sync", "github.com/adhocore/gronx",
		},
		never: map[string]string{
			internal + "web": "web and worker meet only in the log and the tables, so they can be two processes",
			pgx:              "claims are queries of projections",
		},
		tests: []string{pgx, internal + "graph/graphsim"},
		why:   "eventstore: its typed errors, to tell a conflict from a failure",
	},
	internal + "graph": {
		may: []string{"domain", azure + "/azcore", azure + "/azidentity", uuid},
		never: map[string]string{
			"eventstore": "it answers, it does not record", "projections": "as eventstore", pgx: "as eventstore",
		},
	},
	internal + "graph/graphsim": {may: []string{uuid}, why: "a provider knows nothing of us, nor does its double"},
	internal + "browsertest":    {may: []string{"github.com/chromedp/chromedp", "github.com/chromedp/cdproto"}},
	internal + "notify":         {may: []string{"domain", "projections", uuid}},
	internal + "secrets":        {may: []string{"domain", uuid, pgx, "golang.org/x/crypto", "github.com/tink-crypto/tink-go"}},
	internal + "relay":          {may: []string{"domain", "eventstore", uuid, pgx, watermill, wmsql}},
}

// testHelpers may be imported by every _test.go file outside domain.
var testHelpers = []string{
	"domain", "migrations", "migrations/pgembed", "migrations/pgtest", internal + "graph/graphsim", internal + "auth/idptest",
	internal + "browsertest",
	uuid, pgx, "pgregory.net/rapid", "github.com/getkin/kin-openapi", "golang.org/x/net", "golang.org/x/mod", "golang.org/x/tools/txtar",
	"github.com/rogpeppe/go-internal", "github.com/chromedp/chromedp", "github.com/chromedp/cdproto", "github.com/kylelemons/godebug",
}

var domainTestHelpers = []string{uuid, "pgregory.net/rapid"}

// inDomain says which functions of a package domain may use where it may not use all: none that read the clock, wait or
// take chance, because domain gets those things as arguments; and of io only the word for the end of a JSON text.
var inDomain = map[string]func(name string) bool{
	"io":   regexp.MustCompile(`^EOF$`).MatchString,
	"time": not(`^(Now|Since|Until|Sleep|After|AfterFunc|Tick|NewTicker|NewTimer)$`),
	uuid:   not(`^(New|NewString|NewRandom.*|NewUUID|NewV[0-9]+.*|NewDCE.*|SetRand|EnableRandPool)$`),
}

func not(pattern string) func(string) bool {
	re := regexp.MustCompile(pattern)
	return func(name string) bool { return !re.MatchString(name) }
}

func TestImportsFollowThePolicy(t *testing.T) {
	for dir, files := range goFiles(t) {
		rule, ok := policy[dir]
		if !ok {
			t.Errorf("%s is not in the policy: add a line that says what it may import, and to doc.go what it is for", dir)
			continue
		}
		for _, name := range files {
			for _, imported := range importsOf(t, path.Join(dir, name)) {
				if reason := rule.refuses(dir, imported, strings.HasSuffix(name, "_test.go")); reason != "" {
					t.Errorf("%s imports %s: %s", path.Join(dir, name), imported, reason)
				}
			}
		}
	}
}

// refuses returns why dir may not import a path; "" if it may.
func (r rule) refuses(dir, imported string, inTest bool) string {
	name := strings.TrimPrefix(imported, module+"/")
	ours := name != imported
	if ours && inTest && name == dir {
		return "" // an external test of the package itself
	}
	if !inTest {
		for never, reason := range r.never {
			if matches(never, name, ours) {
				return reason
			}
		}
	}
	if !ours && isStd(imported) {
		if r.pure == nil || inTest || slices.Contains(r.pure, imported) {
			return ""
		}
		return "not one of the pure packages of the standard library that the policy lists"
	}
	for _, may := range r.allowed(dir, inTest) {
		if may == "*" || matches(may, name, ours) {
			return ""
		}
	}
	return "not allowed by the policy"
}

func (r rule) allowed(dir string, inTest bool) []string {
	switch {
	case !inTest:
		return r.may
	case dir == "domain":
		return slices.Concat(r.may, domainTestHelpers)
	default:
		return slices.Concat(r.may, r.tests, testHelpers)
	}
}

// matches compares an entry of the table with an import: our packages and the standard library exactly, modules with
// everything below them.
func matches(entry, name string, ours bool) bool {
	if entry == name {
		return true
	}
	return !ours && !isStd(entry) && strings.HasPrefix(name, entry+"/")
}

// isStd tells the standard library by its lack of a dot in the first element.
func isStd(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func TestPolicyIsSharp(t *testing.T) {
	for _, c := range []struct {
		dir, imported string
		inTest, may   bool
	}{
		{"domain", "strings", false, true},
		{"domain", "context", false, false},
		{"domain", "io/fs", false, false},
		{"domain", "testing", true, true},
		{"domain", module + "/migrations/pgtest", true, false},
		{"commands", pgx + "/pgxpool", false, false},
		{"commands", pgx + "/pgxpool", true, true},
		{"projections", "net/http", false, false},
		{"projections", "net/netip", false, true},
		{internal + "web", module + "/" + internal + "graph", false, false},
		{internal + "web", module + "/" + internal + "graph/graphsim", true, true},
		{internal + "web", module + "/eventstore", false, false},
		{internal + "web", "golang.org/x/crypto/argon2", false, false},
		{"cmd/tenantpilot", module + "/" + internal + "worker", false, true},
		{"cmd/tenantpilot", module + "/migrations/pgtest", false, false},
		{internal + "graph", azure + "/azcore/policy", false, true},
		{internal + "graph", azure + "/azcorextra", false, false},
	} {
		reason := policy[c.dir].refuses(c.dir, c.imported, c.inTest)
		if (reason == "") != c.may {
			t.Errorf("%s imports %s (test %v): got %q, want allowed %v", c.dir, c.imported, c.inTest, reason, c.may)
		}
	}
}

func TestRulesInsideDomainAreSharp(t *testing.T) {
	for name, may := range map[[2]string]bool{
		{"time", "Now"}: false, {"time", "NewTimer"}: false, {"time", "Duration"}: true,
		{uuid, "New"}: false, {uuid, "NewV7"}: false, {uuid, "NewSHA1"}: true, {uuid, "Parse"}: true,
		{"io", "EOF"}: true, {"io", "ReadAll"}: false,
	} {
		if got := inDomain[name[0]](name[1]); got != may {
			t.Errorf("%s.%s: got allowed %v, want %v", name[0], name[1], got, may)
		}
	}
}

func TestDomainTakesTimeAndChanceAsArguments(t *testing.T) {
	for _, name := range goFiles(t)["domain"] {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file := parse(t, fset, path.Join("domain", name), parser.SkipObjectResolution)
		allowed := make(map[string]func(string) bool) // by the name the file gives the package
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			local := path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			if f, ok := inDomain[imported]; ok {
				allowed[local] = f
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && allowed[pkg.Name] != nil && !allowed[pkg.Name](sel.Sel.Name) {
					t.Errorf("%s: %s.%s: a decision must be replayable, pass it in", fset.Position(sel.Pos()), pkg.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// listed matches a line of the package list in doc.go: a folder, blanks, what it is for.
var listed = regexp.MustCompile(`(?m)^//\t([a-z/]+) +\S`)

func TestDocListsEveryPackage(t *testing.T) {
	body, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	inDoc := make(map[string]bool)
	for _, m := range listed.FindAllStringSubmatch(string(body), -1) {
		inDoc[m[1]] = true
	}
	exists := goFiles(t)
	for dir := range exists {
		if dir != "." && !inDoc[dir] {
			t.Errorf("%s has Go files but is not in doc.go", dir)
		}
	}
	for dir := range inDoc {
		if _, ok := exists[dir]; !ok {
			t.Errorf("%s is in doc.go but has no Go files", dir)
		}
	}
}

func TestRootNamesWhatTheProductIs(t *testing.T) {
	roots := []string{".", "domain", "commands", "eventstore", "projections", "migrations", "cmd"}
	for dir := range goFiles(t) {
		top, _, _ := strings.Cut(dir, "/")
		if !slices.Contains(roots, top) {
			t.Errorf("%s: Go code belongs below one of %v", dir, roots)
		}
	}
}

// goFiles lists the Go files of this module by folder, as the go command would: not in testdata, hidden folders or
// modules of their own. It reads the tree itself, so that the test cache notices changes.
func goFiles(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			if strings.HasSuffix(name, ".go") {
				found[path.Dir(name)] = append(found[path.Dir(name)], path.Base(name))
			}
			return nil
		}
		if name == "." {
			return nil
		}
		if base := path.Base(name); base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
			return fs.SkipDir
		}
		if _, err := os.Stat(path.Join(name, "go.mod")); err == nil {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func importsOf(t *testing.T, name string) []string {
	t.Helper()
	var imports []string
	for _, spec := range parse(t, token.NewFileSet(), name, parser.ImportsOnly).Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		imports = append(imports, imported)
	}
	return imports
}

func parse(t *testing.T, fset *token.FileSet, name string, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(fset, name, nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
