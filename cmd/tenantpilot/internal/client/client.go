// Package client talks to a running console as a program does: JSON over HTTP, with an API token. It knows no route: what is asked for, and
// what an answer means, is up to the caller. Rights, limits and the audit trail are the console's.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Console is a running console and the token that is shown to it. It is safe for concurrent use.
type Console struct {
	base  *url.URL
	token string
	http  *http.Client
	pause func(context.Context, time.Duration) error // waits; tests replace it
}

const (
	// patience is how long one answer may take, its body included.
	patience = 30 * time.Second
	// longest is the most that is read of an answer, in bytes.
	longest = 16 << 20
)

// New makes a client for the console at an address, such as https://console.example. Nothing is sent yet.
func New(server, token string) (*Console, error) {
	base, err := url.Parse(strings.TrimSuffix(server, "/"))
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("%q is no address of a console: write it as https://console.example", server)
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("the console's address has more than scheme, host and path; the token is given elsewhere")
	case token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the token is empty, or has characters that no token has") // the token itself is never shown
	}
	return &Console{base: base, token: token, pause: pause, http: &http.Client{
		Timeout: patience,
		// A console redirects browsers only. Somebody else's redirect must not get the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// URL is the full address of a path of the console.
func (c *Console) URL(path string) string { return strings.TrimSuffix(c.base.String(), "/") + path }

// InTheClear says whether the token travels unencrypted to another machine.
func (c *Console) InTheClear() bool {
	host := c.base.Hostname()
	return c.base.Scheme == "http" && host != "localhost" && host != "::1" && !strings.HasPrefix(host, "127.")
}

// Request is one question to the console.
type Request struct {
	Method  string // GET when empty
	Path    string // with its segments escaped
	Query   url.Values
	Body    any    // sent as JSON; nil sends none
	Key     string // Idempotency-Key
	IfMatch string // ETag of what was seen
}

// Answer is what the console said, with success.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // JSON, as it came
}

// Into decodes the answer's body.
func (a Answer) Into(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("read the console's answer: %w", err)
	}
	return nil
}

// Do asks once. Errors are a *Problem where the console refused, and an *Unreachable where no answer came; then it may be open whether
// something happened. A cancelled context is its own error.
func (c *Console) Do(ctx context.Context, r Request) (Answer, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return Answer{}, c.unreachable(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, longest+1))
	if err != nil {
		return Answer{}, c.unreachable(ctx, err)
	}
	a := Answer{Status: res.StatusCode, Header: res.Header, Body: body}
	switch {
	case res.StatusCode >= 300:
		return a, c.problem(a)
	case len(body) > longest:
		return a, fmt.Errorf("the answer of %s has more than %d MiB: narrow it down", c.base.Host, longest>>20)
	case len(body) > 0 && (!isJSON(res.Header) || !json.Valid(body)):
		return a, fmt.Errorf("%s answered with something that is no JSON: is this the address of a console?", c.base)
	}
	return a, nil
}

func (c *Console) request(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil {
		raw, err := json.Marshal(r.Body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	target := c.URL(r.Path)
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	for name, value := range map[string]string{"Idempotency-Key": r.Key, "If-Match": r.IfMatch} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func isJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}
