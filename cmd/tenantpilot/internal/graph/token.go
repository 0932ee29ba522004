package graph

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"tenantpilot/domain"
)

// operationToken is the Operation of errors that signing in answers with.
const operationToken = "token"

// tokenMargin is how long before its end a token is no longer handed out.
const tokenMargin = 2 * time.Minute

// maxTokenBytes bounds an answer of the sign-in service.
const maxTokenBytes = 1 << 20

// tokenKey is what a token is good for.
type tokenKey struct {
	cloud               Cloud
	tenant, app, credit string
}

func keyOf(conn Connection) tokenKey {
	return tokenKey{
		cloud:  conn.Cloud.orGlobal(),
		tenant: strings.ToLower(conn.EntraTenantID),
		app:    strings.ToLower(conn.AppID),
		credit: conn.CredentialVersion,
	}
}

// tokenCache holds one token per key and lets one call at a time fetch it: the sign-in service treats
// repeated requests for the same token as a client loop (AADSTS50196).
type tokenCache struct {
	client *Client

	mu      sync.Mutex
	entries map[tokenKey]*tokenEntry
}

// tokenEntry is a fetch in progress while done is open, then its result. The fetching call owns value,
// expires and err until it closes done; afterwards nobody changes them.
type tokenEntry struct {
	done    chan struct{}
	value   string
	expires time.Time
	err     error
}

// get returns a valid token. Calls that arrive during a fetch share its result, its failure included;
// only when the fetching call was cancelled does one of them fetch anew.
func (t *tokenCache) get(ctx context.Context, o *operation) (string, error) {
	for {
		entry, mine := t.claim(keyOf(o.conn))
		if mine {
			t.fill(ctx, o, entry)
		}
		select {
		case <-entry.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		abandoned := errors.Is(entry.err, context.Canceled) || errors.Is(entry.err, context.DeadlineExceeded)
		if abandoned && !mine && ctx.Err() == nil {
			continue
		}
		return entry.value, entry.err
	}
}

// claim answers the present entry, or a new one that the caller has to fill.
func (t *tokenCache) claim(k tokenKey) (entry *tokenEntry, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.entries[k]; ok {
		select {
		case <-e.done:
			if e.err == nil && t.client.clock.Now().Before(e.expires.Add(-tokenMargin)) {
				return e, false
			}
		default:
			return e, false
		}
	}
	e := &tokenEntry{done: make(chan struct{})}
	t.entries[k] = e
	return e, true
}

// fill fetches for everyone who waits. A failure is shared with them; the next call fetches anew.
func (t *tokenCache) fill(ctx context.Context, o *operation, e *tokenEntry) {
	token, err := t.client.signIn(ctx, o)
	e.value, e.expires, e.err = token.Token, token.ExpiresOn, err
	close(e.done)
}

// drop removes one refused token, unless a newer one has already taken its place.
func (t *tokenCache) drop(conn Connection, value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries[keyOf(conn)]
	if !ok {
		return
	}
	select {
	case <-e.done:
		if e.value == value {
			delete(t.entries, keyOf(conn))
		}
	default:
	}
}

// forget removes all versions. A fetch in progress ends for those who wait, but is not kept.
func (t *tokenCache) forget(conn Connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	want := keyOf(conn)
	for k := range t.entries {
		if want.credit = k.credit; k == want {
			delete(t.entries, k)
		}
	}
}

// signIn makes one attempt at a token. The retry policy around it decides about more.
func (c *Client) signIn(ctx context.Context, o *operation) (azcore.AccessToken, error) {
	wire := &signInWire{run: o.call.RunID}
	cred, err := c.credential(o, wire)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{o.root() + "/.default"}})
	if err == nil {
		return token, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return azcore.AccessToken{}, ctx.Err()
	}
	if wire.failure != nil {
		err = wire.failure
	}
	return azcore.AccessToken{}, c.tokenError(err, o)
}

// credential speaks to the sign-in service through azidentity: with a secret, with an assertion that it signs with a certificate's key, or with
// the assertion that the token file has at this moment. A key never leaves the process.
func (c *Client) credential(o *operation, wire *signInWire) (azcore.TokenCredential, error) {
	_, host, _ := strings.Cut(c.loginRoot(o.conn.Cloud), "://")
	client := c.wire(c.loginRoot(o.conn.Cloud), maxTokenBytes)
	wire.root, wire.next = c.loginRoot(o.conn.Cloud), client.Transport
	client.Transport = wire
	options := azcore.ClientOptions{
		Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: "https://" + host + "/"}, Transport: client, Retry: policy.RetryOptions{MaxRetries: -1},
	}
	cred, err := newCredential(o.conn, options)
	var ours *Error
	if err == nil || errors.As(err, &ours) {
		return cred, err
	}
	return nil, &Error{
		Code: domain.ReasonProviderAppMisconfigured, Operation: operationToken, Diagnostics: Diagnostics{"detail": "credential cannot be used"},
	}
}

// newCredential turns instance discovery off: it would ask the public cloud about every authority.
func newCredential(conn Connection, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	switch value := conn.Credential.value; {
	case conn.Credential.file != "":
		assertion, err := os.ReadFile(conn.Credential.file)
		if text := strings.TrimSpace(string(assertion)); err == nil && text != "" {
			return azidentity.NewClientAssertionCredential(conn.EntraTenantID, conn.AppID, func(context.Context) (string, error) { return text, nil },
				&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		}
		return nil, &Error{
			Code: domain.ReasonProviderCredentialMissing, Operation: operationToken, Diagnostics: Diagnostics{"detail": "the federated token file has no token"},
		}
	case strings.HasPrefix(value, "-----BEGIN "):
		chain, key, err := azidentity.ParseCertificates([]byte(value), nil)
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(conn.EntraTenantID, conn.AppID, chain, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	default:
		return azidentity.NewClientSecretCredential(conn.EntraTenantID, conn.AppID, value,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	}
}

// signInWire is the wire of one sign-in. It names the run, keeps what failed on the way, which azidentity only tells as text, and lets azidentity,
// which speaks https alone, speak to a simulator on loopback: what is for its https goes to its http, with the header of a TLS proxy.
type signInWire struct {
	root, run string
	next      http.RoundTripper
	failure   error
}

// RoundTrip implements http.RoundTripper.
func (w *signInWire) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if runIDShape.MatchString(w.run) {
		req.Header.Set("client-request-id", w.run)
	}
	if strings.HasPrefix(w.root, "http://") && req.URL.Scheme == "https" {
		req.URL.Scheme = "http"
		req.Header.Set("X-Forwarded-Proto", "https")
	}
	resp, err := w.next.RoundTrip(req)
	w.failure = err
	return resp, err
}

// tokenError turns what azidentity answers into an *Error. The description in the answer can name tenants, applications and people: it is not
// looked at.
func (c *Client) tokenError(err error, o *operation) *Error {
	var failed *azidentity.AuthenticationFailedError
	switch {
	case errors.As(err, &failed) && failed.RawResponse != nil && failed.RawResponse.StatusCode != http.StatusOK:
		body, err := runtime.Payload(failed.RawResponse)
		if err != nil {
			return transportError(operationToken, err)
		}
		return c.refusedToken(readTokenAnswer(failed.RawResponse.StatusCode, body), failed.RawResponse.Header, o)
	case errors.As(err, &failed) && failed.RawResponse != nil:
		return invalidResponse(operationToken, "sign-in answered without a token")
	}
	return transportError(operationToken, err)
}

func (c *Client) refusedToken(a TokenAnswer, h http.Header, o *operation) *Error {
	e := &Error{
		Code: ClassifyToken(a, o.conn.ConsentGranted), Operation: operationToken, Status: a.Status,
		Diagnostics: a.diagnostics(),
	}
	e.Transient = domain.ReasonFor(e.Code).Transient
	now := c.clock.Now()
	if wait, ok := retryAfter(h, now); ok && wait > 0 {
		e.RetryAt = now.Add(wait)
	} else if e.Code == domain.ReasonPlatformTokenLoop {
		e.RetryAt = now.Add(time.Minute)
	}
	return e
}
