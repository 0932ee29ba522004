package auth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/auth"
)

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"/admin", "/admin/operations?status=queued&tenant=a%2Fb", "/a%20b", "/a?next=https://evil.example", "/a//b", "/a:b@c", "/@evil.example", "/ümlaut?q=ü",
	} {
		got := auth.LocalPath(good)
		u, err := url.Parse(good)
		if err != nil || got != u.RequestURI() {
			t.Errorf("%q: got %q, want the same", good, got)
		}
	}
	if got := auth.LocalPath("/runs#top"); got != "/runs" {
		t.Errorf("with a fragment: got %q, want /runs", got)
	}
	for _, bad := range []string{
		"", "admin", "//evil.example", "///evil.example", "////evil.example", `/\evil.example`, `\/evil.example`, `\\evil.example`, `/\/evil.example`,
		"/%2fevil.example", "/%2Fevil.example", "%2f%2fevil.example", "/%2f%2fevil.example", "/%5cevil.example", "/a/%5c%5cevil.example",
		"https://evil.example", "https:evil.example", "https:/evil.example", "HTTPS://evil.example", "javascript:alert(1)", "JavaScript:alert(1)",
		"data:text/html,x", "mailto:a@evil.example", "//user@evil.example", "//evil.example:80/x", "//[::1]/x", "http:///evil.example",
		"/\tevil.example", "/\t/evil.example", "\t//evil.example", "/\n/evil.example", "/\r\nSet-Cookie: a=b", "/%0d%0aSet-Cookie:a=b", "/\x00/evil.example",
		"/%00", "/%09/evil.example", "/\x7f", "/\u0085", " //evil.example", " /admin", "?a=b", "#a", ".", "..", "/%zz", "http://[::1", "*",
		"/" + strings.Repeat("a", 3000),
	} {
		if got := auth.LocalPath(bad); got != "/" {
			t.Errorf("%q: got %q, want /", bad, got)
		}
	}
}

// Whatever comes in, a browser that follows what comes out stays on the host.
func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/a", "//a", `/\a`, "/%2fa", "/..//a", "/.//a", "/a/..//b", "/;//a", "/?//a"} {
		f.Add(seed)
	}
	base, err := url.Parse("https://console.example/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wanted string) {
		got := auth.LocalPath(wanted)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\t\r\n\x00") {
			t.Fatalf("%q: got %q", wanted, got)
		}
		if u, err := base.Parse(got); err != nil || u.Host != base.Host || u.Scheme != base.Scheme {
			t.Fatalf("%q: got %q, which leads to %v, %v", wanted, got, u, err)
		}
		w := httptest.NewRecorder()
		http.Redirect(w, httptest.NewRequest("GET", "/sign-in", nil), got, http.StatusSeeOther)
		if location := w.Header().Get("Location"); !strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") {
			t.Fatalf("%q: redirected to %q", wanted, location)
		}
	})
}

func TestWithoutSignInBrowsersAreSentThereAndProgramsAreTold(t *testing.T) {
	t.Parallel()
	h := auth.RequireSignIn(http.NotFoundHandler(), nil)
	for name, c := range map[string]struct {
		method, target, accept string
		header                 map[string]string
		location               string // "" is a problem document
	}{
		"a browser":                     {target: "/admin/runs?x=1&y=%2F", accept: browserAccept, location: "/sign-in?next=%2Fadmin%2Fruns%3Fx%3D1%26y%3D%252F"},
		"the start page":                {target: "/", accept: browserAccept, location: "/sign-in"},
		"XHTML":                         {target: "/a", accept: "application/xhtml+xml", location: "/sign-in?next=%2Fa"},
		"HTML before JSON":              {target: "/a", accept: "text/html, application/json", location: "/sign-in?next=%2Fa"},
		"HTML over JSON":                {target: "/a", accept: "application/json;q=0.8, text/html;q=0.9", location: "/sign-in?next=%2Fa"},
		"a path that looks like a host": {target: "//evil.example/x", accept: browserAccept, location: "/sign-in"},
		"a form": {
			method: "POST", target: "/start", accept: browserAccept, header: map[string]string{"Referer": "http://console.example/admin?x=1"},
			location: "/sign-in?next=%2Fadmin%3Fx%3D1",
		},
		"a form without a page": {method: "POST", target: "/start", accept: browserAccept, location: "/sign-in"},
		"anything":              {target: "/a", accept: "*/*"},
		"nothing":               {target: "/a"},
		"JSON":                  {target: "/a", accept: "application/json"},
		"a vendor's JSON":       {target: "/a", accept: "application/vnd.tenantpilot.run+json, text/html;q=0.5"},
		"JSON before HTML":      {target: "/a", accept: "application/json, text/html"},
		"no HTML, thank you":    {target: "/a", accept: "text/html;q=0, */*"},
		"events":                {target: "/a/stream", accept: "text/event-stream"},
		"nonsense":              {target: "/a", accept: ";;,text/html;q=NaN,/"},
	} {
		method := c.method
		if method == "" {
			method = "GET"
		}
		r := httptest.NewRequestWithContext(t.Context(), method, "http://console.example/", nil)
		r.URL, _ = url.ParseRequestURI(c.target)
		if strings.HasPrefix(c.target, "//") {
			r.URL = &url.URL{Path: c.target}
		}
		r.Header.Set("Accept", c.accept)
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if c.location != "" {
			if w.Code != 302 || w.Header().Get("Location") != c.location {
				t.Errorf("%s: got %d %s, want 302 %s", name, w.Code, w.Header().Get("Location"), c.location)
			}
			continue
		}
		var problem struct {
			Type, Title, Code, Instance string
			Status                      int
		}
		err := json.Unmarshal(w.Body.Bytes(), &problem)
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" || w.Header().Get("Content-Type") != "application/problem+json" || err != nil ||
			problem.Status != 401 || problem.Code != "not_signed_in" || problem.Type != "/problems/not_signed_in" || problem.Instance != c.target {
			t.Errorf("%s: got %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
}

const browserAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

func TestPartOfAPageSendsTheWholePageToSignIn(t *testing.T) {
	t.Parallel()
	told := false
	h := auth.RequireSignIn(http.NotFoundHandler(), func(w http.ResponseWriter, _ *http.Request) {
		told = true
		w.WriteHeader(http.StatusUnauthorized)
	})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/admin/runs/rows", nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("HX-Request", "true")
	r.Header.Set("HX-Current-URL", "https://console.example/admin/runs?status=queued")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("HX-Redirect"); w.Code != 401 || !told || got != "/sign-in?next=%2Fadmin%2Fruns%3Fstatus%3Dqueued" {
		t.Errorf("got %d, %q, told %v", w.Code, got, told)
	}
}

func TestCrossOriginRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.signedIn(t, f.ada)
	token := f.token(t, f.ada, f.contoso)
	session := "tenantpilot=" + b.cookie(t)
	basic := "Basic " + base64Of("ada:x")
	for name, c := range map[string]struct {
		header map[string]string
		want   int
	}{
		"same origin":                            {map[string]string{"Cookie": session, "Sec-Fetch-Site": "same-origin"}, 200},
		"same origin, old browser":               {map[string]string{"Cookie": session, "Origin": f.server.URL}, 200},
		"typed by the user":                      {map[string]string{"Cookie": session, "Sec-Fetch-Site": "none"}, 200},
		"cross-site":                             {map[string]string{"Cookie": session, "Sec-Fetch-Site": "cross-site"}, 403},
		"cross-site that claims our origin":      {map[string]string{"Cookie": session, "Sec-Fetch-Site": "cross-site", "Origin": f.server.URL}, 403},
		"sibling subdomain":                      {map[string]string{"Cookie": session, "Sec-Fetch-Site": "same-site"}, 403},
		"sibling subdomain, old browser":         {map[string]string{"Cookie": session, "Origin": "http://evil." + strings.TrimPrefix(f.server.URL, "http://")}, 403},
		"other port":                             {map[string]string{"Cookie": session, "Origin": "http://127.0.0.1:1"}, 403},
		"null origin":                            {map[string]string{"Cookie": session, "Origin": "null"}, 403},
		"no origin":                              {map[string]string{"Cookie": session}, 403},
		"plain form":                             {map[string]string{"Cookie": session, "Origin": "https://evil.example", "Content-Type": "application/x-www-form-urlencoded"}, 403},
		"method override":                        {map[string]string{"Cookie": session, "Sec-Fetch-Site": "cross-site", "X-HTTP-Method-Override": "GET"}, 403},
		"cross-site without a session":           {map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"cross-site with the browser's password": {map[string]string{"Sec-Fetch-Site": "cross-site", "Authorization": basic}, 403},
		"no origin, password and session":        {map[string]string{"Cookie": session, "Authorization": basic}, 403},
		"cross-site, token and session":          {map[string]string{"Cookie": session, "Authorization": "Bearer " + token, "Sec-Fetch-Site": "cross-site"}, 403},
		"token without origin":                   {map[string]string{"Authorization": "Bearer " + token}, 200},
		"token of a program in another page":     {map[string]string{"Authorization": "Bearer " + token, "Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}, 200},
		"token and session without origin":       {map[string]string{"Cookie": session, "Authorization": "Bearer " + token}, 200},
		"neither":                                {nil, 401},
	} {
		got := f.call(t, "POST", "/who", c.header)
		if got.status != c.want {
			t.Errorf("%s: got %d %s, want %d", name, got.status, got.body, c.want)
		}
		if c.want == 403 && (got.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(got.body, `"code":"cross_origin"`)) {
			t.Errorf("%s: got %v %s", name, got.header, got.body)
		}
	}

	// Nothing was written: the choice, the link and the session are as they were.
	link := f.link(t, f.ada)
	for _, path := range []string{"/workspace/" + f.fabrikam.String(), link, "/sign-out"} {
		if got := b.send(t, "POST", path, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}); got.status != 403 {
			t.Errorf("%s: got %d, want 403", path, got.status)
		}
	}
	if v := b.send(t, "GET", "/who", nil).viewer(t); v.Actor.Workspace != f.contoso {
		t.Errorf("got %+v, want Contoso still", v)
	}
	if got := b.send(t, "GET", link, nil); got.body != "true\n" {
		t.Errorf("link: got %s, want valid still", got.body)
	}
	// What only reads may come from anywhere, as links from mails do.
	if got := b.send(t, "GET", "/who", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": ""}); got.status != 200 {
		t.Errorf("GET from elsewhere: got %d, want 200", got.status)
	}
}

func TestProtectUsesTheConsolesRefusal(t *testing.T) {
	t.Parallel()
	h := auth.New(nil, auth.Config{}).Protect(http.NotFoundHandler(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusTeapot {
		t.Errorf("got %d, want what was given", w.Code)
	}
}
