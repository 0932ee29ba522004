package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"tenantpilot/domain"
)

// maxTries bounds how often one request is sent when the service itself fails. A 429 is no failure and
// does not count.
const maxTries = 5

// operation is one typed call: it spends one wait budget over all its requests. It belongs to the
// goroutine of the call.
type operation struct {
	client *Client
	conn   Connection
	call   Call
	waited time.Duration
	skew   time.Duration // provider's clock minus ours, from the last Date header
}

// step is what one request of an operation is for; the policies read it from the request.
type step struct {
	op       *operation
	contract Contract
}

func (c *Client) operation(conn Connection, call Call) *operation {
	conn.Cloud = conn.Cloud.orGlobal()
	if call.WaitBudget <= 0 {
		call.WaitBudget = c.limits.WaitBudget
	}
	return &operation{client: c, conn: conn, call: call}
}

func (o *operation) root() string { return o.client.graphRoot(o.conn.Cloud) }

// get performs one contract and decodes its answer into out.
func (o *operation) get(ctx context.Context, name string, values map[string]string, out any) error {
	k := contract(name)
	return o.fetch(ctx, k, k.url(o.root(), values), out)
}

// fetch sends one request and decodes its answer. Nothing is decoded from an answer that is not 200.
func (o *operation) fetch(ctx context.Context, k Contract, url string, out any) error {
	req, err := runtime.NewRequest(ctx, k.Method, url)
	if err != nil {
		return invalidResponse(k.Name, "address cannot be requested")
	}
	req.Raw().Header.Set("Accept", "application/json")
	req.SetOperationValue(step{o, k})
	resp, err := o.client.pipeline(o.root()).Do(req)
	if err != nil {
		return err
	}
	body, err := runtime.Payload(resp)
	if err != nil {
		return transportError(k.Name, err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		e := invalidResponse(k.Name, "answer is not the expected JSON")
		e.Status, e.RequestID = resp.StatusCode, safeID(resp.Header.Get("request-id"))
		return e
	}
	return nil
}

// page is one answer of a collection. Value stays nil when the answer had none, which no collection of
// Graph does: an empty page is an empty array.
type page[T any] struct {
	Value     []T    `json:"value"`
	NextLink  string `json:"@odata.nextLink"`
	DeltaLink string `json:"@odata.deltaLink"`
}

// eachPage follows nextLinks from url and hands each page to fn; it ends with the last page. An error
// of fn ends it and is returned as it is.
func eachPage[T any](ctx context.Context, o *operation, k Contract, url string, fn func(p page[T], last bool) error) error {
	limit := k.MaxPages
	if o.client.limits.Pages > 0 {
		limit = min(limit, o.client.limits.Pages)
	}
	for range limit {
		var p page[T]
		if err := o.fetch(ctx, k, url, &p); err != nil {
			return err
		}
		if err := p.check(o, k, url); err != nil {
			return err
		}
		if err := fn(p, p.NextLink == ""); err != nil {
			return err
		}
		if p.NextLink == "" {
			return nil
		}
		url = p.NextLink
	}
	return invalidResponse(k.Name, fmt.Sprintf("listing did not end after %d pages", limit))
}

// check refuses links that leave the pinned host and listings that would not advance.
func (p page[T]) check(o *operation, k Contract, url string) error {
	for _, link := range []string{p.NextLink, p.DeltaLink} {
		if link != "" && !checkLink(o.root(), link) {
			return invalidResponse(k.Name, "answer links to another host")
		}
	}
	switch {
	case p.Value == nil:
		return invalidResponse(k.Name, "answer has no rows array")
	case p.NextLink != "" && p.NextLink == url:
		return invalidResponse(k.Name, "page links to itself")
	case k.Paging == PagingDelta && p.NextLink == "" && p.DeltaLink == "":
		return invalidResponse(k.Name, "last page has no delta link")
	}
	return nil
}

// patient waits for the throttle gate, sends, and decides about another try.
type patient struct{ client *Client }

// Do returns an answer with status 200, an *Error, or the context's error; nothing else.
func (p patient) Do(req *policy.Request) (*http.Response, error) {
	var s step
	if !req.OperationValue(&s) {
		return nil, errors.New("graph: request outside an operation")
	}
	tries, throttles := 0, 0
	for {
		if err := s.waitForGate(req.Raw().Context()); err != nil {
			return nil, err
		}
		resp, err := p.send(req, s)
		if err == nil {
			return resp, nil
		}
		var failed *Error
		if !errors.As(err, &failed) || !failed.Transient {
			return nil, err
		}
		if failed.Code == domain.ReasonProviderRateLimited {
			throttles++ // asked to wait, not failed: only the budget ends this
			err = s.holdBack(failed, throttles)
		} else if tries++; tries < maxTries {
			err = s.op.wait(req.Raw().Context(), s.retryAt(failed, tries), failed)
		} // else err stays: the last failure is the answer
		if err != nil {
			return nil, err
		}
	}
}

// send makes one try under its own time limit; the body is read before it returns.
func (p patient) send(req *policy.Request, s step) (*http.Response, error) {
	parent := req.Raw().Context()
	ctx, cancel := context.WithTimeout(parent, p.client.limits.RequestTimeout)
	defer cancel()
	resp, err := req.Clone(ctx).Next()
	if parent.Err() != nil {
		return nil, parent.Err()
	}
	if err != nil {
		var ours *Error
		if errors.As(err, &ours) {
			own := *ours // a failed sign-in is shared by all who waited for it
			return nil, &own
		}
		return nil, s.unconfirmed(transportError(s.contract.Name, err))
	}
	s.op.observe(resp.Header)
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	return nil, s.unconfirmed(s.refusal(resp))
}

// unconfirmed is the rule for writes: an exchange that broke off, or an answer that does not tell
// whether the change was applied, is never sent again. The caller reads the object back.
func (s step) unconfirmed(e *Error) *Error {
	open := e.Code == domain.ReasonProviderUnreachable || e.Code == domain.ReasonProviderUnavailable && e.Status != http.StatusServiceUnavailable
	if s.contract.Method != http.MethodGet && open {
		e.Code, e.Transient = domain.ReasonProviderWriteUnconfirmed, false
	}
	return e
}

// refusal reads an answer that is not 200.
func (s step) refusal(resp *http.Response) *Error {
	body, err := runtime.Payload(resp)
	if err != nil {
		return transportError(s.contract.Name, err)
	}
	answer := readGraphAnswer(resp.StatusCode, resp.Header, body)
	granted := slices.ContainsFunc(s.contract.Permissions, func(p string) bool { return slices.Contains(s.op.call.Granted, p) })
	e := &Error{
		Code: classifyGraph(answer, granted), Operation: s.contract.Name, Status: resp.StatusCode,
		GraphCode: answer.deepestKnown(), RequestID: answer.RequestID,
		Diagnostics: Diagnostics{},
	}
	e.Transient = domain.ReasonFor(e.Code).Transient && e.Code != domain.ReasonDirectoryDeltaExpired
	if e.Code == domain.ReasonProviderPermissionMissing || e.Code == domain.ReasonProviderPermissionDenied {
		e.Permissions = slices.Clone(s.contract.Permissions)
	}
	now := s.op.client.clock.Now()
	if wait, ok := retryAfter(resp.Header, now); ok && wait > 0 {
		e.RetryAt = now.Add(wait)
	} else if answer.RetryAfter > 0 {
		e.RetryAt = now.Add(answer.RetryAfter)
	}
	return e
}

// retryAt is when to try again: as the provider said, else by back-off.
func (s step) retryAt(e *Error, n int) time.Time {
	if !e.RetryAt.IsZero() {
		return e.RetryAt
	}
	return s.op.client.clock.Now().Add(s.op.client.backoff(n))
}

// holdBack shuts the gate for every call of the same tenant and workload; the gate does the waiting,
// for this call too, unless its budget does not reach that far.
func (s step) holdBack(e *Error, n int) error {
	until := s.retryAt(e, n)
	s.op.client.gate.close(s.key(), until)
	if s.op.affordable(until) {
		return nil
	}
	e.RetryAt = until
	return e
}

func (s step) waitForGate(ctx context.Context) error {
	for {
		until := s.op.client.gate.opens(s.key(), s.op.client.clock.Now())
		if until.IsZero() {
			return ctx.Err()
		}
		e := &Error{Code: domain.ReasonProviderRateLimited, Operation: s.contract.Name, Transient: true}
		if err := s.op.wait(ctx, until, e); err != nil {
			return err
		}
	}
}

func (s step) key() throttleKey {
	return throttleKey{strings.ToLower(s.op.conn.EntraTenantID), string(s.contract.Workload)}
}

// wait spends budget until the instant. When the budget does not reach that far it returns e, with
// RetryAt set, at once: no caller sits out a wait that cannot help.
func (o *operation) wait(ctx context.Context, until time.Time, e *Error) error {
	if !o.affordable(until) {
		e.RetryAt = until
		return e
	}
	if o.call.OnWait != nil {
		o.call.OnWait(until, e.Code)
	}
	begun := o.client.clock.Now()
	if err := o.client.clock.Sleep(ctx, until); err != nil {
		return err
	}
	o.waited += max(0, until.Sub(begun))
	return nil
}

func (o *operation) affordable(until time.Time) bool {
	return o.waited+until.Sub(o.client.clock.Now()) <= o.call.WaitBudget
}

// observe notes what an answer's headers tell beside the answer.
func (o *operation) observe(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		o.skew = date.Sub(o.client.clock.Now()).Truncate(time.Second)
	}
}

// correlated names the run to Graph and takes care that no header invites a resend.
type correlated struct{}

var runIDShape = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func (correlated) Do(req *policy.Request) (*http.Response, error) {
	var s step
	req.OperationValue(&s)
	h := req.Raw().Header
	if runIDShape.MatchString(s.op.call.RunID) {
		h.Set("client-request-id", s.op.call.RunID)
		h.Set("return-client-request-id", "true")
	}
	if s.op.call.Priority != PriorityNormal {
		h.Set("x-ms-throttle-priority", string(s.op.call.Priority))
	}
	h.Del("Idempotency-Key")
	h.Del("X-Idempotency-Key")
	return req.Next()
}

// authorized adds the bearer token. A token that Graph no longer takes is renewed once; a second
// refusal is the answer. azcore's own bearer policy is not used because its cache cannot be told to
// forget one connection.
type authorized struct{ client *Client }

func (a authorized) Do(req *policy.Request) (*http.Response, error) {
	var s step
	req.OperationValue(&s)
	for renewed := false; ; renewed = true {
		token, err := a.client.tokens.get(req.Raw().Context(), s.op)
		if err != nil {
			return nil, err
		}
		try := req.Clone(req.Raw().Context())
		try.Raw().Header.Set("Authorization", "Bearer "+token)
		resp, err := try.Next()
		if err != nil || resp.StatusCode != http.StatusUnauthorized || renewed {
			return resp, err
		}
		a.client.tokens.drop(s.op.conn, token)
	}
}

// newTransport is http.DefaultTransport's settings with room for many tenants on one host.
func newTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 32
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

// wire is the last step of every request: one host, no redirects, bounded bodies.
func (c *Client) wire(root string, limit int64) *http.Client {
	return &http.Client{
		Transport:     pinned{root: root, limit: limit, next: c.transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// pinned refuses requests to any other scheme and host than its root before a connection is made, and
// cuts off bodies that exceed the limit.
type pinned struct {
	root  string
	limit int64
	next  http.RoundTripper
}

func (p pinned) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.EqualFold(req.URL.Scheme+"://"+req.URL.Host, p.root) || req.URL.User != nil {
		return nil, errLeftHost
	}
	resp, err := p.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: p.limit}
	return resp, nil
}

// boundedBody fails, rather than ends, when more than its limit arrives.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errBodyTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, errBodyTooLarge
	}
	return n, err
}
