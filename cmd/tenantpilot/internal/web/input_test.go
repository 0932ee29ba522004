package web_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

func TestMalformedInputIsRefusedWhereItIsWrong(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	program := c.program(t, "operator")
	start, groups, roles := startPath(c.contoso, domain.OpGroupsSync), groupsPath(c.contoso), rolesPath(c.contoso)
	conn := connectionPath(c.conn, domain.OpGroupsSync)
	for name, tc := range map[string]struct {
		path    string
		sent    message
		status  int
		code    string
		pointer string // of the first error; "-" for none
	}{
		"no JSON":                   {start, jsonBody(`{`), 400, "malformed_body", ""},
		"no object":                 {start, jsonBody(`[]`), 400, "malformed_body", ""},
		"text":                      {start, jsonBody(`"x"`), 400, "malformed_body", ""},
		"unknown member":            {start, jsonBody(`{"providerConnection":1}`), 400, "malformed_body", "/providerConnection"},
		"other letter case":         {start, jsonBody(`{"sourcesurface":"x"}`), 400, "malformed_body", "/sourcesurface"},
		"doubled member":            {start, jsonBody(`{"sourceSurface":"a","sourceSurface":"b"}`), 400, "malformed_body", "/sourceSurface"},
		"doubled member inside":     {start, jsonBody(`{"targetContext":{"a":1,"a":2}}`), 400, "malformed_body", "/targetContext/a"},
		"trailing data":             {start, jsonBody(`{} {}`), 400, "malformed_body", ""},
		"text for a number":         {start, jsonBody(`{"providerConnectionId":"1"}`), 400, "malformed_body", "/providerConnectionId"},
		"fraction":                  {start, jsonBody(`{"providerConnectionId":1.5}`), 400, "malformed_body", "/providerConnectionId"},
		"too large a number":        {start, jsonBody(`{"providerConnectionId":99999999999999999999}`), 400, "malformed_body", "/providerConnectionId"},
		"zero connection":           {start, jsonBody(`{"providerConnectionId":0}`), 400, "invalid_input", "/providerConnectionId"},
		"number for a text":         {start, jsonBody(`{"sourceSurface":1}`), 400, "malformed_body", "/sourceSurface"},
		"list for an object":        {start, jsonBody(`{"targetContext":[]}`), 400, "malformed_body", "/targetContext"},
		"input of the wrong type":   {start, jsonBody(`{"targetContext":{"selectionKey":1}}`), 400, "invalid_input", "/targetContext/selectionKey"},
		"reconsent no boolean":      {start, jsonBody(`{"targetContext":{"reconsent":"yes"}}`), 400, "invalid_input", "/targetContext/reconsent"},
		"too long an input":         {groups, jsonBody(`{"selectionKey":"` + strings.Repeat("x", 201) + `"}`), 400, "invalid_input", "/selectionKey"},
		"too long an input, nested": {start, jsonBody(`{"targetContext":{"selectionKey":"` + strings.Repeat("x", 201) + `"}}`), 400, "invalid_input", "/targetContext/selectionKey"},
		"too long a surface":        {start, jsonBody(`{"sourceSurface":"` + strings.Repeat("x", 201) + `"}`), 400, "invalid_input", "/sourceSurface"},
		"zero byte":                 {groups, jsonBody(`{"selectionKey":"a\u0000b"}`), 400, "invalid_input", "/selectionKey"},
		"zero byte in the surface":  {start, jsonBody(`{"sourceSurface":"a\u0000b"}`), 400, "invalid_input", "/sourceSurface"},
		"zero byte in the context":  {start, jsonBody(`{"targetContext":{"note":"a\u0000b"}}`), 200, "", "-"}, // it is hashed, not stored
		"invalid UTF-8":             {start, jsonBody("{\"sourceSurface\":\"\xff\"}"), 400, "malformed_body", "/sourceSurface"},
		"lone surrogate":            {start, jsonBody(`{"sourceSurface":"\ud800"}`), 400, "malformed_body", "/sourceSurface"},
		"too deep":                  {start, jsonBody(`{"targetContext":{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`), 400, "malformed_body", "*"},
		"a body where none is":      {conn, jsonBody(`{"sourceSurface":"x"}`), 400, "malformed_body", "/sourceSurface"},
		"a body where none is, too": {roles, jsonBody(`{"selectionKey":"x"}`), 400, "malformed_body", "/selectionKey"},
		"other content type":        {start, message{kind: "text/plain", body: `{}`}, 415, "unsupported_media_type", "-"},
		"no content type":           {start, message{body: `{}`}, 415, "unsupported_media_type", "-"},
		"multipart":                 {start, message{kind: "multipart/form-data; boundary=x", body: "--x--"}, 415, "unsupported_media_type", "-"},
		"too large":                 {start, jsonBody(`{"sourceSurface":"` + strings.Repeat("x", 1<<20) + `"}`), 413, "too_large", "-"},
		"too large a form":          {start, message{kind: "application/x-www-form-urlencoded", body: strings.Repeat("x", 1<<20+1)}, 413, "too_large", "-"},
		"key is no UUID":            {start, message{}.with("Idempotency-Key", "again"), 400, "malformed_key", "*"},
		"key in braces":             {start, message{}.with("Idempotency-Key", "{"+uuid.NewString()+"}"), 400, "malformed_key", "*"},
		"key is nil":                {start, message{}.with("Idempotency-Key", uuid.Nil.String()), 400, "malformed_key", "*"},
		"foreign connection":        {start, jsonBody(`{"providerConnectionId":` + num(c.foreign.Number) + `}`), 404, "not_found", "-"},
		"no such connection":        {start, jsonBody(`{"providerConnectionId":999999}`), 404, "not_found", "-"},
		"nothing acceptable":        {start, message{}.with("Accept", "image/png"), 406, "not_acceptable", "-"},
	} {
		res := program.send(t, "POST", tc.path, tc.sent)
		if res.status != tc.status {
			t.Errorf("%s: %d, want %d: %s", name, res.status, tc.status, clip(res.body))
			continue
		}
		if tc.status == http.StatusOK {
			continue
		}
		p := res.problem(t)
		if p.Code != tc.code {
			t.Errorf("%s: code is %s, want %s", name, p.Code, tc.code)
		}
		switch {
		case tc.pointer == "-":
			if len(p.Errors) > 0 {
				t.Errorf("%s: errors are %+v", name, p.Errors)
			}
		case len(p.Errors) == 0 || tc.pointer != "*" && p.Errors[0].Pointer != tc.pointer:
			t.Errorf("%s: errors are %+v, want %s", name, p.Errors, tc.pointer)
		case strings.HasPrefix(tc.code, "malformed_key") && !strings.Contains(p.Errors[0].Message, "Idempotency-Key"):
			t.Errorf("%s: the message does not name the header: %s", name, p.Errors[0].Message)
		}
	}
	if n := c.count(t, `select count(*) from attempts`); n != 1 { // the context with a zero byte
		t.Errorf("%d attempts were recorded", n)
	}
}

func num(n int64) string { return strconv.FormatInt(n, 10) }

func TestMalformedAddressesAreNotThere(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	program, browser := c.program(t, "owner"), c.browser(t, "owner")
	id := c.contoso.ExternalID.String()
	for _, where := range []string{
		"POST /admin/t/contoso/directory/groups/sync", "POST /admin/t/" + id[:35] + "/directory/groups/sync",
		"POST /admin/t/%7B" + id + "%7D/directory/groups/sync", "POST /admin/t/urn:uuid:" + id + "/directory/groups/sync",
		"POST /admin/t/" + strings.ReplaceAll(id, "-", "") + "/directory/groups/sync", "POST /admin/t/" + id + "%00/directory/groups/sync",
		"POST /admin/provider-connections/abc/actions/directory_groups.sync/start",
		"POST /admin/provider-connections/0/actions/directory_groups.sync/start",
		"POST /admin/provider-connections/-1/actions/directory_groups.sync/start",
		"POST /admin/provider-connections/+1/actions/directory_groups.sync/start",
		"POST /admin/provider-connections/1.0/actions/directory_groups.sync/start",
		"POST /admin/provider-connections/99999999999999999999/actions/directory_groups.sync/start",
		"POST /admin/t/" + id + "/provider-actions/Directory_Groups.sync/start", "POST /admin/t/" + id + "/provider-actions/%00/start",
		"GET /admin/operations/abc", "GET /admin/operations/0", "GET /admin/operations/9223372036854775808", "GET /admin/operations/%27",
		"GET /admin/operations/1%00", "GET /admin/t/abc/operations", "GET /admin/t/" + id + "/operations/abc", "GET /admin/tenants/abc",
		"GET /admin/t/abc/start", "POST /admin/operations/abc/cancel", "GET /admin/operations/abc/stream", "GET /admin/t/x/operations/stream",
	} {
		method, path, _ := strings.Cut(where, " ")
		if res := program.send(t, method, path, accept("application/json")); res.status != http.StatusNotFound || res.problem(t).Code != "not_found" {
			t.Errorf("%s: %d", where, res.status)
		}
		if res := browser.send(t, method, path); res.status != http.StatusNotFound {
			t.Errorf("%s in a browser: %d", where, res.status)
		}
	}
	// The directory id's letter case does not matter.
	if res := program.send(t, "POST", "/admin/t/"+strings.ToUpper(id)+"/directory/groups/sync"); res.outcome(t).Status != "accepted" {
		t.Errorf("upper case: %s", res.body)
	}
}

// TestAFormThatIsWrongIsShownAgain: people get their input back with what is wrong, inside the dialog as on the page.
func TestAFormThatIsWrongIsShownAgain(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	path := startPath(c.contoso, domain.OpGroupsSync)
	nonce := uuid.NewString()
	for name, tc := range map[string]struct {
		values url.Values
		says   []string
	}{
		"too long":      {url.Values{"attempt_id": {nonce}, "selectionKey": {strings.Repeat("k", 201)}}, []string{"at most 200", strings.Repeat("k", 201)}},
		"unknown input": {url.Values{"attempt_id": {nonce}, "colour": {"red"}}, []string{"colour"}},
		"no number":     {url.Values{"attempt_id": {nonce}, "providerConnectionId": {"x"}}, []string{"Choose a provider connection"}},
		"damaged nonce": {url.Values{"attempt_id": {"x"}}, []string{"Open it again"}},
	} {
		for _, inside := range []string{"", "true"} {
			res := b.send(t, "POST", path, form(tc.values).with("HX-Request", inside))
			if res.status != http.StatusUnprocessableEntity || !strings.Contains(res.text(), "data-start") {
				t.Errorf("%s: %d %s", name, res.status, clip(res.body))
			}
			for _, want := range tc.says {
				if !strings.Contains(res.text(), want) {
					t.Errorf("%s (HX-Request %q): the form does not say %q", name, inside, want)
				}
			}
			if strings.Contains(res.text(), "<html") == (inside == "true") {
				t.Errorf("%s: a page inside a dialog, or the other way round", name)
			}
		}
	}
	if n := c.count(t, `select count(*) from attempts`); n != 0 {
		t.Errorf("%d attempts were recorded", n)
	}
}

func TestTheStartFormForecasts(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	path := "/admin/t/" + c.contoso.ExternalID.String() + "/start"
	says := func(query string, texts ...string) {
		t.Helper()
		for _, inside := range []string{"", "true"} {
			res := b.send(t, "GET", path+query, message{}.with("HX-Request", inside))
			for _, want := range texts {
				if res.status != http.StatusOK || !strings.Contains(res.text(), want) {
					t.Errorf("%s (HX-Request %q): %d, and does not say %q", query, inside, res.status, want)
				}
			}
		}
	}
	says("", "Sync directory groups", "Verify connection", "Choose an operation")
	says("?operation=no.such", "Choose an operation")
	says("?operation=directory_groups.sync", "Will start now", "all_groups_v1", `action="`+startPath(c.contoso, domain.OpGroupsSync)+`"`)
	says("?operation=directory_groups.sync&selectionKey="+strings.Repeat("x", 201), "data-start")
	if res := b.send(t, "GET", path+"?operation=directory_groups.sync&providerConnectionId=999999"); res.status != http.StatusNotFound {
		t.Errorf("a connection that is not there: %d", res.status)
	}
	c.enable(t, false)
	says("?operation=directory_groups.sync", "Will be blocked: ", "provider_connection_disabled")
	c.enable(t, true)
	run := c.hold(t, domain.OpGroupsSync)
	says("?operation=directory_groups.sync", "Will join run ", num(run.RunNumber))
	says("?operation=directory_role_definitions.sync", "Busy: run ", num(run.RunNumber))
	if res := b.send(t, "GET", "/admin/start"); !strings.Contains(res.text(), "Contoso") || !strings.Contains(res.text(), "Tailspin") {
		t.Error("the form without a tenant does not offer the tenants")
	}
	if n := c.count(t, `select count(*) from attempts`); n != 1 {
		t.Errorf("%d attempts: a forecast was recorded", n)
	}
}
