package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDC is the identity provider that people sign in with.
type OIDC struct {
	Issuer       string // as its discovery document and its tokens name it
	ClientID     string
	ClientSecret string // empty for a public client: PKCE is always used
	Name         string // as people know it
	Redirect     string // the console's callback address, to the letter as it is registered
	// TrustEmail takes every address as verified that the provider does not call unverified. Only for providers where nobody can choose their
	// own.
	TrustEmail bool
	// Client talks to the provider; nil is one with a timeout.
	Client *http.Client
}

// Why nobody was signed in. The words for it are the page's.
const (
	RefusedUnavailable = "provider_unavailable"   // the provider cannot be reached, or does not answer as it should
	RefusedByProvider  = "provider_refused"       // it says that the person may not, or did not want to
	RefusedSetup       = "provider_setup"         // it does not know this console
	RefusedState       = "sign_in_not_begun"      // never begun in this browser, finished before, or too long ago
	RefusedToken       = "sign_in_not_proven"     // the ID token is not good
	RefusedNoEmail     = "email_missing"          // the token names no address
	RefusedUnverified  = "email_unverified"       // the provider does not vouch for the address
	RefusedUnknown     = "nobody_invited"         // there is no such person here
	RefusedDisabled    = "person_disabled"        // there is, and may not come in
	RefusedOther       = "bound_to_other_account" // the address is that of another account's person
)

// Refusal says why the provider's answer signs nobody in.
type Refusal struct {
	Reason string
	Email  string // verified, for RefusedUnknown, RefusedDisabled and RefusedOther: so that they see with which account they came
	Next   string // the page that was wanted
	cause  error  // for the log; holds no secret
}

func (r *Refusal) Error() string {
	if r.cause != nil {
		return r.Reason + ": " + r.cause.Error()
	}
	return r.Reason
}

func (r *Refusal) Unwrap() error { return r.cause }

func refused(reason string, cause error) *Refusal { return &Refusal{Reason: reason, cause: cause} }

// ProviderName is what people know the identity provider as; false without one.
func (s *Service) ProviderName() (string, bool) {
	if s.provider == nil {
		return "", false
	}
	return s.provider.Name, true
}

// try is a sign-in that was begun in a browser. It is kept in the session: what comes back to another is not listened to.
type try struct {
	State, Nonce, Verifier, Next string
	Until                        int64 // Unix seconds
}

const (
	sessionTries = "tries"
	tryTime      = 10 * time.Minute
	maxTries     = 5 // at once in a browser, as in several tabs
)

// BeginOIDC returns the provider's address to send the browser to; it comes back to FinishOIDC within ten minutes, once. another asks the
// provider to let the person choose an account. A Refusal says that the provider cannot be reached.
func (s *Service) BeginOIDC(r *http.Request, next string, another bool) (string, error) {
	ctx := r.Context()
	v, err := writable(ctx)
	if err != nil {
		return "", fmt.Errorf("begin sign-in: %w", err)
	}
	d, err := s.provider.discover(ctx)
	if err != nil {
		return "", s.refuseSignIn(ctx, LocalPath(next), refused(RefusedUnavailable, err))
	}
	t := try{
		State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Next: LocalPath(next),
		Until: s.now().Add(tryTime).Unix(),
	}
	tries := append(s.tries(ctx), t)
	if err := s.keepTries(ctx, v, tries[max(0, len(tries)-maxTries):]); err != nil {
		return "", err
	}
	s.forgetSoon(ctx)
	options := []oauth2.AuthCodeOption{oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)}
	if another {
		options = append(options, oauth2.SetAuthURLParam("prompt", "select_account"))
	}
	return d.oauth.AuthCodeURL(t.State, options...), nil
}

// FinishOIDC reads what the provider's answer in the request's query says and makes the session that person's, under a fresh session id. It
// returns the page that was wanted, or a Refusal. A crash before the session is saved leaves nobody signed in: they begin again.
func (s *Service) FinishOIDC(r *http.Request) (next string, err error) {
	ctx := r.Context()
	v, err := writable(ctx)
	if err != nil {
		return "/", fmt.Errorf("finish sign-in: %w", err)
	}
	query := r.URL.Query()
	t, err := s.takeTry(ctx, v, query)
	if err != nil {
		return "/", s.refuseSignIn(ctx, "/", err)
	}
	who, err := s.provider.read(ctx, t, query)
	if err != nil {
		return t.Next, s.refuseSignIn(ctx, t.Next, err)
	}
	person, err := s.personOf(ctx, who)
	if err != nil {
		return t.Next, s.refuseSignIn(ctx, t.Next, err)
	}
	if err := s.SignIn(r, person); err != nil {
		return t.Next, err
	}
	s.log.InfoContext(ctx, "signed in", "person", person, "with", "oidc")
	return t.Next, nil
}

// refuseSignIn logs why nobody is signed in, without anything that opens something, and without addresses.
func (s *Service) refuseSignIn(ctx context.Context, next string, err error) error {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		r.Next = next
		s.log.WarnContext(ctx, "sign-in was refused", "with", "oidc", "reason", r.Reason, "err", r.cause)
	}
	return err
}

func (s *Service) tries(ctx context.Context) []try {
	var tries []try
	if text := s.sessions.GetString(ctx, sessionTries); text != "" {
		_ = json.Unmarshal([]byte(text), &tries) // written by keepTries
	}
	return slices.DeleteFunc(tries, func(t try) bool { return s.now().Unix() >= t.Until })
}

func (s *Service) keepTries(ctx context.Context, v *visit, tries []try) error {
	text, err := json.Marshal(tries)
	if err != nil {
		return fmt.Errorf("keep sign-in: %w", err)
	}
	s.sessions.Put(ctx, sessionTries, string(text))
	v.changed = true
	return nil
}

// takeTry uses up the try that an answer belongs to, whatever comes of it.
func (s *Service) takeTry(ctx context.Context, v *visit, query url.Values) (try, error) {
	for _, name := range []string{"state", "code", "error", "iss"} {
		if len(query[name]) > 1 {
			return try{}, refused(RefusedState, fmt.Errorf("parameter %s came twice", name))
		}
	}
	tries := s.tries(ctx)
	i := slices.IndexFunc(tries, func(t try) bool { return same(t.State, query.Get("state")) })
	if i < 0 {
		return try{}, refused(RefusedState, nil)
	}
	t := tries[i]
	return t, s.keepTries(ctx, v, slices.Delete(tries, i, i+1))
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// provider finds the identity provider's addresses and keys when they are first needed, so that the console starts and works without it.
type provider struct {
	OIDC
	now func() time.Time

	mu    sync.Mutex
	found *discovered
	// After a failure it is not asked again for a moment: everybody who waits for an answer gets this one.
	failed error
	at     time.Time
}

type discovered struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
}

const askAgainAfter = 3 * time.Second

func newProvider(c *OIDC, now func() time.Time) *provider {
	if c == nil {
		return nil
	}
	p := &provider{OIDC: *c, now: now}
	if p.Client == nil {
		p.Client = &http.Client{Timeout: 10 * time.Second}
	}
	return p
}

func (p *provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.failed != nil && p.now().Sub(p.at) < askAgainAfter {
		return nil, p.failed
	}
	// Whoever gives up waiting leaves the answer to the others.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.Client), p.Issuer)
	if err != nil {
		p.failed, p.at = errors.New("the discovery document cannot be had: "+oneLine(err)), p.now()
		return nil, p.failed
	}
	var methods struct {
		Token []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&methods); err != nil {
		return nil, fmt.Errorf("read discovery document: %w", err)
	}
	endpoint := found.Endpoint()
	// Said, not tried out: a try with the wrong method may use the code up.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if p.ClientSecret == "" || len(methods.Token) > 0 && !slices.Contains(methods.Token, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	p.failed, p.found = nil, &discovered{
		oauth: oauth2.Config{
			ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: endpoint, RedirectURL: p.Redirect,
			Scopes: []string{oidc.ScopeOpenID, "email", "profile"},
		},
		verifier: found.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.now}),
	}
	return p.found, nil
}

// account is who a provider says somebody is.
type account struct {
	issuer, subject string
	email           string
	verified        bool
}

// read finds out who an answer is about: it exchanges the code, and believes the ID token only.
func (p *provider) read(ctx context.Context, t try, query url.Values) (account, error) {
	if iss := query.Get("iss"); iss != "" && iss != p.Issuer { // RFC 9207: another provider's answer
		return account{}, refused(RefusedToken, errors.New("the answer is of another issuer"))
	}
	if code := query.Get("error"); code != "" {
		return account{}, refusedBy(code, query.Get("error_description"))
	}
	d, err := p.discover(ctx)
	if err != nil {
		return account{}, refused(RefusedUnavailable, err)
	}
	ctx = oidc.ClientContext(ctx, p.Client)
	token, err := d.oauth.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return account{}, notExchanged(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return account{}, refused(RefusedToken, errors.New("the answer has no ID token"))
	}
	id, err := d.verifier.Verify(ctx, raw) // signature, issuer, audience, expiry
	if err != nil {
		return account{}, refused(RefusedToken, errors.New(oneLine(err)))
	}
	var claims struct {
		Party    string `json:"azp"`
		Email    string `json:"email"`
		Verified *yes   `json:"email_verified"`
		Owned    *yes   `json:"xms_edov"` // Entra: the owner of the address's domain has confirmed it
	}
	if err := id.Claims(&claims); err != nil {
		return account{}, refused(RefusedToken, errors.New("the ID token's claims are malformed"))
	}
	switch {
	case !same(id.Nonce, t.Nonce):
		return account{}, refused(RefusedToken, errors.New("the ID token has another nonce"))
	case (len(id.Audience) > 1 || claims.Party != "") && claims.Party != p.ClientID:
		return account{}, refused(RefusedToken, errors.New("the ID token is another party's"))
	case id.Subject == "":
		return account{}, refused(RefusedToken, errors.New("the ID token has no subject"))
	}
	a := account{issuer: id.Issuer, subject: id.Subject, email: strings.TrimSpace(claims.Email)}
	switch {
	case claims.Verified != nil && !bool(*claims.Verified), claims.Owned != nil && !bool(*claims.Owned):
	default:
		a.verified = p.TrustEmail || claims.Verified != nil || claims.Owned != nil
	}
	return a, nil
}

// yes is a claim that providers write as a boolean, a text or a number.
type yes bool

// UnmarshalJSON implements json.Unmarshaler. What is not clearly yes is no.
func (y *yes) UnmarshalJSON(b []byte) error {
	text := strings.ToLower(strings.Trim(string(b), `"`))
	*y = text == "true" || text == "1"
	return nil
}

var (
	microsoftCode = regexp.MustCompile(`^AADSTS[0-9]{1,8}`)
	codeOnly      = regexp.MustCompile(`^[a-z_]{1,40}$`)
)

// refusedBy reads a provider's error. Its description is anybody's text: of it only Microsoft's number is kept.
func refusedBy(code, description string) error {
	if !codeOnly.MatchString(code) {
		code = "unreadable"
	}
	cause := fmt.Errorf("the provider answered %s %s", code, microsoftCode.FindString(description))
	switch code {
	case "access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required":
		return refused(RefusedByProvider, cause)
	case "temporarily_unavailable", "server_error":
		return refused(RefusedUnavailable, cause)
	}
	return refused(RefusedSetup, cause)
}

// notExchanged says why a code was not taken. The provider's answer may repeat what was sent: only its codes are kept.
func notExchanged(err error) error {
	var answered *oauth2.RetrieveError
	if !errors.As(err, &answered) {
		var unreachable *url.Error
		if errors.As(err, &unreachable) {
			return refused(RefusedUnavailable, errors.New("the token endpoint cannot be reached: "+oneLine(unreachable.Err)))
		}
		return refused(RefusedToken, errors.New("the answer of the token endpoint cannot be read"))
	}
	switch {
	case answered.ErrorCode == "invalid_grant":
		return refused(RefusedState, errors.New("the provider does not know the code"))
	case answered.Response.StatusCode >= http.StatusInternalServerError:
		return refused(RefusedUnavailable, fmt.Errorf("the token endpoint answered %d", answered.Response.StatusCode))
	}
	return refusedBy(answered.ErrorCode, answered.ErrorDescription)
}

func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text[:min(len(text), 200)]
}
