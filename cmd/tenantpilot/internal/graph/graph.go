// Package graph is the only code that talks to Microsoft: it signs in to customers' directories and
// calls Microsoft Graph for them. It answers, it does not record: callers store what they get.
//
// Every call is bounded and steered by us, never by an answer:
//
//   - Requests go only to the paths of the contract table (contracts.go), on the scheme and host of the
//     connection's cloud. Links in answers are opaque, but a link that leaves that host is refused
//     before anything is sent; redirects are refused; sizes and page counts are bounded.
//   - A 429 is waited out for exactly as long as Retry-After says, by all calls of the same tenant and
//     workload, under the caller's wait budget. Other failures of the service are tried five times.
//     Every wait ends with the context and is announced through Call.OnWait.
//   - A failure is an *Error with one of our reason codes. It never carries a token, a secret, a
//     provider's message or an error_description.
//   - No request carries an Idempotency-Key: Go's transport would take it as leave to resend a write
//     by itself, an attempt that nobody recorded.
//
// Tokens live in memory only, one per (cloud, tenant, application, credential version); a crash loses
// them and nothing else.
package graph

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"tenantpilot/domain"
)

// Config says where Microsoft is and how patient to be. The zero value is production: the public
// endpoints of each cloud, the system clock, the default limits.
type Config struct {
	// LoginURL and GraphURL replace the endpoints of every cloud, for a simulator: scheme and host,
	// without a path. Plain HTTP is accepted for loopback hosts only; anywhere else credentials would
	// travel in the clear, and NewClient refuses.
	LoginURL, GraphURL string

	// Transport carries the requests; nil means a transport of our own with the system's proxy settings.
	Transport http.RoundTripper

	// Clock tells and awaits time; nil means the system's.
	Clock Clock

	// Jitter returns numbers in [0,1) for back-off without Retry-After; nil means random.
	Jitter func() float64

	Limits Limits
}

// Limits bound a call. A zero field takes its default.
type Limits struct {
	ResponseBytes  int64         // of one answer; default 8 MiB
	Pages          int           // of one listing, below the contract's own bound; default: the contract's
	RequestTimeout time.Duration // of one try, including its body; default 60 s
	WaitBudget     time.Duration // of all waits of one call, when Call.WaitBudget is zero; default 30 min
	Backoff        time.Duration // first step of the exponential back-off; default 2 s
	BackoffCap     time.Duration // its longest step; default 60 s
}

// Connection says which tenant to reach, and as whom.
type Connection struct {
	EntraTenantID string // directory id, a GUID; "common" and domain names are refused
	AppID         string // application (client) id
	Cloud         Cloud  // empty means CloudGlobal
	Credential    Secret // client secret, certificate with its private key as PEM, or token file

	// CredentialVersion is any text that changes when the credential does. Tokens of one version are
	// never used for another.
	CredentialVersion string

	// ConsentGranted says that consent is recorded as granted: its absence is then a revocation.
	ConsentGranted bool
}

// Call carries what a run wants of the calls made for it.
type Call struct {
	// RunID is sent as client-request-id, so that Microsoft's logs and the simulator's counters can be
	// matched with our run. Graph expects a UUID; text unfit for a header is not sent.
	RunID string

	// Priority is a hint to Graph's throttling: high only while a person waits.
	Priority Priority

	// Granted lists the permissions recorded as granted for the connection. A refusal for one of them is
	// provider_permission_denied, for any other provider_permission_missing.
	Granted []string

	// WaitBudget bounds the time this call spends waiting for the provider; zero takes the client's
	// limit. A wait that would exceed it is not begun: the call ends with a transient *Error whose
	// RetryAt says when to come back.
	WaitBudget time.Duration

	// OnWait is told before each wait: the instant it ends, and why. It runs on the calling goroutine
	// and must not block. The wait is over at that instant; there is no second call.
	OnWait func(until time.Time, reason domain.ReasonCode)
}

// Priority is Graph's x-ms-throttle-priority.
type Priority string

// Priorities. The zero value sends no header, which Graph reads as normal.
const (
	PriorityNormal Priority = ""
	PriorityHigh   Priority = "High"
	PriorityLow    Priority = "Low"
)

// Client calls Microsoft Graph for any number of tenants; it is safe for concurrent use and has no
// goroutines of its own.
type Client struct {
	login, graph string // overrides, empty in production
	limits       Limits
	clock        Clock
	jitter       func() float64
	transport    http.RoundTripper

	tokens *tokenCache
	gate   *throttleGate

	mu        sync.Mutex
	pipelines map[string]runtime.Pipeline  // by Graph root
	roleNames map[string]map[string]string // by Graph root: app role id -> permission name
}

// NewClient checks the configuration; nothing is sent.
func NewClient(cfg Config) (*Client, error) {
	for _, u := range []string{cfg.LoginURL, cfg.GraphURL} {
		if err := checkRoot(u); err != nil {
			return nil, err
		}
	}
	c := &Client{
		login:     strings.TrimSuffix(cfg.LoginURL, "/"),
		graph:     strings.TrimSuffix(cfg.GraphURL, "/"),
		limits:    cfg.Limits.withDefaults(),
		clock:     cfg.Clock,
		jitter:    cfg.Jitter,
		transport: cfg.Transport,
		gate:      &throttleGate{until: map[throttleKey]time.Time{}},
		pipelines: map[string]runtime.Pipeline{},
		roleNames: map[string]map[string]string{},
	}
	if c.clock == nil {
		c.clock = systemClock{}
	}
	if c.jitter == nil {
		c.jitter = randomJitter
	}
	if c.transport == nil {
		c.transport = newTransport()
	}
	c.tokens = &tokenCache{client: c, entries: map[tokenKey]*tokenEntry{}}
	return c, nil
}

// Forget drops the tokens of the connection's application in its tenant, of every credential version.
// Call it when consent or the credential changed: a cached token keeps the permissions it was issued
// with until it expires.
func (c *Client) Forget(conn Connection) {
	c.tokens.forget(conn)
}

func (l Limits) withDefaults() Limits {
	if l.ResponseBytes <= 0 {
		l.ResponseBytes = 8 << 20
	}
	if l.RequestTimeout <= 0 {
		l.RequestTimeout = time.Minute
	}
	if l.WaitBudget <= 0 {
		l.WaitBudget = 30 * time.Minute
	}
	if l.Backoff <= 0 {
		l.Backoff = 2 * time.Second
	}
	if l.BackoffCap <= 0 {
		l.BackoffCap = time.Minute
	}
	return l
}

// checkRoot accepts an https root, and a plain one on loopback only.
func checkRoot(root string) error {
	if root == "" {
		return nil
	}
	u, err := url.Parse(root)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return fmt.Errorf("graph: endpoint %q is not a scheme and host", root)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return fmt.Errorf("graph: endpoint %q needs https; plain http is for loopback only", root)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// check refuses a connection that cannot work before anything is sent.
func (c Connection) check() *Error {
	switch {
	case !guid.MatchString(c.EntraTenantID):
		return &Error{Code: domain.ReasonProviderTenantNotFound, Diagnostics: Diagnostics{"detail": "tenant id is not a GUID"}}
	case !guid.MatchString(c.AppID):
		return &Error{Code: domain.ReasonProviderAppMisconfigured, Diagnostics: Diagnostics{"detail": "application id is not a GUID"}}
	case c.Credential.empty():
		return &Error{Code: domain.ReasonProviderCredentialMissing, Diagnostics: Diagnostics{"detail": "nothing to sign in with"}}
	case !c.Cloud.known():
		return &Error{Code: domain.ReasonProviderWrongCloud, Diagnostics: Diagnostics{"detail": "unknown cloud"}}
	}
	return nil
}

// pipeline builds, once per Graph root, the chain a request passes: retry and throttling around each
// try, then the token, then the wire, which refuses every other host.
func (c *Client) pipeline(root string) runtime.Pipeline {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.pipelines[root]; ok {
		return p
	}
	p := runtime.NewPipeline("tenantpilot", "v1", runtime.PipelineOptions{
		PerCall:  []policy.Policy{patient{c}},
		PerRetry: []policy.Policy{correlated{}, authorized{c}},
	}, &policy.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: -1}, // patient decides, so that waits can be seen
		Transport: c.wire(root, c.limits.ResponseBytes),
	})
	c.pipelines[root] = p
	return p
}

// Cloud is one of Microsoft's separate clouds. Tokens of one are not valid in another.
type Cloud string

// The clouds, by the names of the Microsoft Graph national cloud deployments.
const (
	CloudGlobal Cloud = "global" // including GCC
	CloudUSGov  Cloud = "usgov"  // L4, GCC High
	CloudDoD    Cloud = "dod"    // L5
	CloudChina  Cloud = "china"  // operated by 21Vianet
)

var cloudRoots = map[Cloud]struct{ login, graph string }{
	CloudGlobal: {"https://login.microsoftonline.com", "https://graph.microsoft.com"},
	CloudUSGov:  {"https://login.microsoftonline.us", "https://graph.microsoft.us"},
	CloudDoD:    {"https://login.microsoftonline.us", "https://dod-graph.microsoft.us"},
	CloudChina:  {"https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"},
}

func (c Cloud) orGlobal() Cloud {
	if c == "" {
		return CloudGlobal
	}
	return c
}

func (c Cloud) known() bool {
	_, ok := cloudRoots[c.orGlobal()]
	return ok
}

func (c *Client) loginRoot(cloud Cloud) string {
	if c.login != "" {
		return c.login
	}
	return cloudRoots[cloud.orGlobal()].login
}

func (c *Client) graphRoot(cloud Cloud) string {
	if c.graph != "" {
		return c.graph
	}
	return cloudRoots[cloud.orGlobal()].graph
}

// Secret holds a credential and prints as "[redacted]" through fmt, JSON, text and slog. Only the
// sign-in request in this package reads its value.
type Secret struct{ value, file string }

// NewSecret wraps a client secret, or a certificate with its private key as PEM.
func NewSecret(value string) Secret { return Secret{value: value} }

// NewTokenFile names the file in which the platform that we run on keeps the assertion of our workload identity. It is read at each sign-in,
// because it is replaced from time to time; an empty name is no credential.
func NewTokenFile(name string) Secret { return Secret{file: name} }

const redacted = "[redacted]"

func (s Secret) empty() bool { return s == Secret{} }

// String, GoString, Format, MarshalJSON, MarshalText and LogValue never show the value.
func (s Secret) String() string { return redacted }

// GoString never shows the value.
func (s Secret) GoString() string { return redacted }

// Format covers the verbs that would bypass String, such as %x and %d.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON never shows the value.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText never shows the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue never shows the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
