package graph

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
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
	cred, err := c.credential(o)
	if err != nil {
		return azcore.AccessToken{}, &Error{
			Code: domain.ReasonProviderAppMisconfigured, Operation: operationToken,
			Diagnostics: Diagnostics{"detail": "credential cannot be used"},
		}
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{o.root() + "/.default"}})
	if err == nil {
		return token, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return azcore.AccessToken{}, ctx.Err()
	}
	return azcore.AccessToken{}, c.tokenError(err, o)
}

// credential speaks to the sign-in service through azidentity. azidentity insists on https, so a plain
// HTTP simulator on loopback is asked by the few lines of plainCredential instead.
func (c *Client) credential(o *operation) (azcore.TokenCredential, error) {
	root := c.loginRoot(o.conn.Cloud)
	wire := c.wire(root, maxTokenBytes)
	if strings.HasPrefix(root, "http://") {
		return plainCredential{root: root, conn: o.conn, run: o.call.RunID, http: wire, clock: c.clock}, nil
	}
	options := azcore.ClientOptions{
		Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: root + "/"}, Transport: wire, Retry: policy.RetryOptions{MaxRetries: -1},
	}
	// Instance discovery would ask the public cloud about every authority.
	if value := o.conn.Credential.value; strings.HasPrefix(value, "-----BEGIN ") {
		chain, key, err := azidentity.ParseCertificates([]byte(value), nil)
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(o.conn.EntraTenantID, o.conn.AppID, chain, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	}
	return azidentity.NewClientSecretCredential(o.conn.EntraTenantID, o.conn.AppID, o.conn.Credential.value,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
}

// plainCredential is the client credentials grant (RFC 6749, 4.4) over loopback HTTP.
type plainCredential struct {
	root  string
	conn  Connection
	run   string
	http  *http.Client
	clock Clock
}

// GetToken implements azcore.TokenCredential. Refusals come as *tokenRefusal.
func (p plainCredential) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {p.conn.AppID},
		"client_secret": {p.conn.Credential.value}, "scope": {strings.Join(opts.Scopes, " ")},
	}
	address := p.root + "/" + url.PathEscape(p.conn.EntraTenantID) + "/oauth2/v2.0/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return azcore.AccessToken{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if runIDShape.MatchString(p.run) {
		req.Header.Set("client-request-id", p.run)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return readToken(resp, body, p.clock.Now())
}

func readToken(resp *http.Response, body []byte, now time.Time) (azcore.AccessToken, error) {
	if resp.StatusCode != http.StatusOK {
		return azcore.AccessToken{}, &tokenRefusal{readTokenAnswer(resp.StatusCode, body), resp.Header}
	}
	var token struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &token); err != nil || token.AccessToken == "" || token.ExpiresIn <= 0 {
		return azcore.AccessToken{}, invalidResponse(operationToken, "sign-in answered without a token")
	}
	return azcore.AccessToken{
		Token: token.AccessToken, ExpiresOn: now.Add(time.Duration(token.ExpiresIn) * time.Second).UTC(),
	}, nil
}

// tokenRefusal is an error answer of the sign-in service on the plain path.
type tokenRefusal struct {
	answer TokenAnswer
	header http.Header
}

func (*tokenRefusal) Error() string { return "graph: sign-in refused" }

// tokenError turns what either credential answers into an *Error. The description in the answer can
// name tenants, applications and people: it is not looked at.
func (c *Client) tokenError(err error, o *operation) *Error {
	var ours *Error
	var refused *tokenRefusal
	var failed *azidentity.AuthenticationFailedError
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &refused):
		return c.refusedToken(refused.answer, refused.header, o)
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
