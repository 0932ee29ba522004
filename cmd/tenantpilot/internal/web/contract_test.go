package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// contract is the console's OpenAPI document, to hold answers against.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

func loadContract(t testing.TB) *contract {
	t.Helper()
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatalf("read openapi.yaml: %v", err)
	}
	router, err := legacy.NewRouter(doc) // validates the document
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return &contract{doc, router}
}

// check fails the test unless the document allows the answer: its status, media type, headers and body. A request that was answered
// with success has to be one that the document allows too, unless a page was asked for: pages forgive. Pages and streams are text to it.
func (c *contract) check(t testing.TB, req *http.Request, requestBody []byte, res *http.Response, body []byte) {
	t.Helper()
	if err := c.verify(req, requestBody, res, body); err != nil {
		t.Errorf("%s %s: %v\n%s", req.Method, req.URL.Path, err, clip(body))
	}
}

func (c *contract) verify(req *http.Request, requestBody []byte, res *http.Response, body []byte) error {
	in, err := c.input(req, requestBody)
	if err != nil {
		return err
	}
	if res.StatusCode/100 == 2 && (req.Method != http.MethodGet || isJSON(res.Header)) {
		if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil {
			return fmt.Errorf("answered %d to a request that the document does not allow: %w", res.StatusCode, err)
		}
	}
	declared := in.Route.Operation.Responses.Status(res.StatusCode)
	if declared == nil {
		return fmt.Errorf("status %d is not declared", res.StatusCode)
	}
	if err := mediaType(declared.Value, res.Header, body); err != nil {
		return err
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: !isJSON(res.Header)}
	options.WithCustomSchemaErrorFunc(shortly)
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: options,
	}
	return openapi3filter.ValidateResponse(req.Context(), out)
}

// input finds the operation of a request. The address of a static file has slashes where the document has one variable.
func (c *contract) input(req *http.Request, body []byte) (*openapi3filter.RequestValidationInput, error) {
	req = req.Clone(context.Background())
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if file, ok := strings.CutPrefix(req.URL.Path, "/static/"); ok {
		req.URL.Path = "/static/" + strings.ReplaceAll(file, "/", "-")
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		return nil, fmt.Errorf("find the operation: %w", err)
	}
	return &openapi3filter.RequestValidationInput{
		Request: req, Route: route, PathParams: params,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}, nil
}

// mediaType checks what openapi3filter lets pass: a body where none is declared, and an answer without a content type.
func mediaType(declared *openapi3.Response, h http.Header, body []byte) error {
	kind := h.Get("Content-Type")
	switch {
	case kind == "" && len(body) == 0 && h.Get("Hx-Redirect") != "" && declared.Headers["HX-Redirect"] != nil:
		return nil
	case len(declared.Content) == 0 && len(body) > 0 && !strings.HasPrefix(kind, "text/html"):
		return errors.New("no body is declared")
	case len(declared.Content) > 0 && declared.Content.Get(kind) == nil:
		return fmt.Errorf("media type %q is not declared", kind)
	}
	return nil
}

func isJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// shortly says where and what is wrong, without the schema and the value.
func shortly(err *openapi3.SchemaError) string {
	text := "/" + strings.Join(err.JSONPointer(), "/") + ": " + err.Reason
	if err.Origin != nil {
		text += ": " + err.Origin.Error()
	}
	return text
}

func clip(b []byte) string {
	if len(b) > 2000 {
		return string(b[:2000]) + " ..."
	}
	return string(b)
}

const (
	outcomeJSON = "application/vnd.tenantpilot.provider-start-outcome+json"
	runJSON     = "application/vnd.tenantpilot.provider-backed-run-detail+json"
	summaryJSON = "application/vnd.tenantpilot.tenant-provider-summary-canonical+json"
	problemJSON = "application/problem+json"
)

func TestDocumentIsValid(t *testing.T) {
	c := loadContract(t)
	if err := c.doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	operations := map[string]string{}
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			where := method + " " + path
			if operation.OperationID == "" || operation.Summary == "" || len(operation.Tags) == 0 {
				t.Errorf("%s lacks an operationId, a summary or a tag", where)
			}
			if other, taken := operations[operation.OperationID]; taken {
				t.Errorf("%s and %s have the same operationId", where, other)
			}
			operations[operation.OperationID] = where
		}
	}
	open := map[string]bool{"protectedScope": true, "targetContext": true, "checks": true}
	for name, schema := range c.doc.Components.Schemas {
		err := schema.WalkSubtree(func(pointer string, s *openapi3.SchemaRef) error {
			if !s.Value.Type.Is("object") || s.Value.AdditionalProperties.Has != nil && !*s.Value.AdditionalProperties.Has {
				return nil
			}
			if member := pointer[strings.LastIndexByte(pointer, '/')+1:]; !open[member] {
				t.Errorf("schema %s%s lets unknown members pass", name, pointer)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestExamplesFitTheirSchemas holds every example of an answer against the schema beside it, with the same validator as check.
func TestExamplesFitTheirSchemas(t *testing.T) {
	c := loadContract(t)
	checked := 0
	for name, response := range c.doc.Components.Responses {
		for kind, content := range response.Value.Content {
			for example, e := range content.Examples {
				checked++
				if err := content.Schema.Value.VisitJSON(e.Value.Value, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
					t.Errorf("response %s, %s, example %s: %v", name, kind, example, err)
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("checked %d examples, want at least 10", checked)
	}
}

func TestContractAcceptsAndRejects(t *testing.T) {
	c := loadContract(t)
	const (
		startPath   = "/admin/t/5c2b1c1e-0b0f-4a53-9a35-8a2f1d8a2c11/provider-actions/directory_groups.sync/start"
		summaryPath = "/admin/tenants/5c2b1c1e-0b0f-4a53-9a35-8a2f1d8a2c11"
		blocked     = `{"status":"blocked","operationType":"directory_groups.sync","operatorMessage":"No.","shortReason":null}`
		state       = `{"lifecycle":"enabled","isEnabled":true,"consentStatus":"granted","verificationStatus":null,` +
			`"diagnostics":{"lastCheckedAt":null,"migrationReviewRequired":false}`
		summary = `{"state":"default_configured","ctaUrl":"/x","needsDefaultConnection":false,"canonicalState":`
		notHere = `{"type":"/problems/not_found","title":"Not found","status":404,"instance":"/x","code":"not_found","request_id":"1"}`
		listed  = `{"runId":4711,"operationType":"directory_groups.sync","executionStatus":"running","outcome":null,` +
			`"tenant":{"externalId":"0199d5a4-7c1e-7b3a-9f00-3c2d1e4f5a6b","label":"Contoso"},` +
			`"providerConnection":{"id":12,"provider":"microsoft","label":"Contoso"},"shortReason":null,"reasonCode":null,` +
			`"initiator":"Kim","trigger":"api","queuedAt":"2026-11-21T05:00:00Z","startedAt":"2026-11-21T05:00:01.25Z","endedAt":null}`
	)
	swap := strings.ReplaceAll
	for name, tc := range map[string]struct {
		method, path, kind, body string
		status                   int
		bad                      string // part of the complaint
	}{
		"outcome":        {"POST", startPath, outcomeJSON, blocked, 200, ""},
		"run":            {"GET", "/admin/operations/7", runJSON, `{"runId":7,"operationType":"x","executionStatus":"completed","outcome":"failed"}`, 200, ""},
		"summary":        {"GET", summaryPath, summaryJSON, summary + state + `}}`, 200, ""},
		"list":           {"GET", "/admin/operations?status=-queued&status=-running", "application/json", `{"items":[` + listed + `],"next":null}`, 200, ""},
		"problem":        {"POST", startPath, problemJSON, notHere, 404, ""},
		"page":           {"GET", "/admin/operations", "text/html; charset=utf-8", "<p>anything</p>", 200, ""},
		"stream":         {"GET", "/admin/operations/stream", "text/event-stream", "data: x\n\n", 200, ""},
		"stream of run":  {"GET", "/admin/operations/7/stream", "text/event-stream", "data: x\n\n", 200, ""},
		"signed out":     {"GET", "/admin/operations", "", "", 302, ""},
		"static file":    {"GET", "/static/abc/vendor/x.js", "text/javascript", "1", 200, ""},
		"forgiving page": {"GET", "/admin/operations?status=idle", "text/html", "", 200, ""},
		"not ready":      {"GET", "/readyz?verbose", "application/json", `{"state":"not_ready","checks":{"database":"down"}}`, 503, ""},
		"metrics":        {"GET", "/metrics", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "# HELP", 200, ""},
		"marked as read": {"POST", "/admin/notifications/read", "", "", 204, ""},

		"extra member":          {"POST", startPath, outcomeJSON, swap(blocked, `"shortReason"`, `"reason"`), 200, "'reason' not allowed"},
		"extra nested member":   {"POST", startPath, outcomeJSON, swap(blocked, `null`, `null,"nextSteps":[{"label":"Wait","url":"/x"}]`), 200, "'url' not allowed"},
		"missing member":        {"POST", startPath, outcomeJSON, swap(blocked, `,"operatorMessage":"No."`, ``), 200, "operatorMessage"},
		"wrong enum":            {"POST", startPath, outcomeJSON, swap(blocked, `"blocked"`, `"queued"`), 200, "must be one of"},
		"wrong type":            {"GET", "/admin/operations/7", runJSON, `{"runId":"7","operationType":"x","executionStatus":"queued"}`, 200, "runId"},
		"legacy status":         {"GET", summaryPath, summaryJSON, summary + state + `,"status":"connected"}}`, 200, `"status" is unsupported`},
		"undeclared status":     {"POST", startPath, outcomeJSON, blocked, 202, "202"},
		"server error":          {"POST", startPath, problemJSON, swap(notHere, "404", "500"), 500, "500"},
		"accepted without run":  {"POST", startPath, outcomeJSON, swap(blocked, `"blocked"`, `"accepted"`), 200, "run"},
		"undeclared media type": {"POST", startPath, "application/json", blocked, 200, "application/json"},
		"no media type":         {"POST", startPath, "", blocked, 200, "media type"},
		"null where none may":   {"POST", startPath, outcomeJSON, swap(blocked, `"No."`, `null`), 200, "operatorMessage"},
		"row without time":      {"GET", "/admin/operations", "application/json", `{"items":[` + swap(listed, `"2026-11-21T05:00:00Z"`, `"soon"`) + `],"next":null}`, 200, "queuedAt"},
		"no UUID":               {"GET", "/admin/operations", "application/json", `{"items":[` + swap(listed, `0199d5a4-`, ``) + `],"next":null}`, 200, "externalId"},
		"unknown filter value":  {"GET", "/admin/operations?status=idle", "application/json", `{"items":[],"next":null}`, 200, "status"},
		"unknown address":       {"GET", "/admin/nothing/here", "text/html", "", 200, "operation"},
		"open problem":          {"POST", startPath, problemJSON, swap(notHere, `"request_id"`, `"requestId"`), 404, "requestId"},
		"redirect to nowhere":   {"GET", "/admin/operations", "nowhere", "", 302, "Location"},
	} {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(tc.method, tc.path, nil)
			res := &http.Response{StatusCode: tc.status, Header: http.Header{}}
			if tc.kind != "" {
				res.Header.Set("Content-Type", tc.kind)
			}
			if tc.status/100 == 3 && tc.kind != "nowhere" {
				res.Header.Set("Location", "/sign-in")
			}
			err := c.verify(req, nil, res, []byte(tc.body))
			switch {
			case tc.bad == "" && err != nil:
				t.Errorf("a good answer is refused: %v", err)
			case tc.bad != "" && err == nil:
				t.Error("a bad answer passes")
			case tc.bad != "" && !strings.Contains(err.Error(), tc.bad):
				t.Errorf("refused for another reason than %q: %v", tc.bad, err)
			}
		})
	}
}

// TestContractChecksRequests: what was answered with success has to be allowed by the document, forms included.
func TestContractChecksRequests(t *testing.T) {
	c := loadContract(t)
	const path = "/admin/t/5c2b1c1e-0b0f-4a53-9a35-8a2f1d8a2c11/provider-actions/provider.connection.check/start"
	const form = "application/x-www-form-urlencoded"
	for name, tc := range map[string]struct {
		kind, body, key string
		good            bool
	}{
		"nothing":       {"", "", "", true},
		"json":          {"application/json", `{"providerConnectionId":null,"targetContext":{"reconsent":true}}`, "0199d5a4-7c1e-7b3a-9f00-3c2d1e4f5a6b", true},
		"form":          {form, "attempt_id=0199d5a4-7c1e-7b3a-9f00-3c2d1e4f5a6b&providerConnectionId=12&sourceSurface=console", "", true},
		"unknown":       {"application/json", `{"connection":12}`, "", false},
		"wrong type":    {"application/json", `{"providerConnectionId":"12"}`, "", false},
		"key":           {"application/json", `{}`, "again", false},
		"media type":    {"text/plain", `{}`, "", false},
		"broken JSON":   {"application/json", `{`, "", false},
		"form, no UUID": {form, "attempt_id=1", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(http.MethodPost, path, nil)
			if tc.kind != "" {
				req.Header.Set("Content-Type", tc.kind)
			}
			if tc.key != "" {
				req.Header.Set("Idempotency-Key", tc.key)
			}
			res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}}}
			if err := c.verify(req, []byte(tc.body), res, nil); (err == nil) != tc.good {
				t.Errorf("good is %v: %v", tc.good, err)
			}
		})
	}
}
