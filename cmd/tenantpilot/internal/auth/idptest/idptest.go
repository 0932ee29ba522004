// Package idptest is an identity provider for tests: OpenID Connect over real HTTP, with a person who agrees to everything at once.
//
// It holds the console to the protocol: a code works once, for the client with its secret, for the address it was asked for, and for
// whoever has the verifier of the challenge. What it says in an ID token a test can change.
package idptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// The one client that an Issuer knows.
const (
	ClientID     = "console"
	ClientSecret = "console-secret-5Fq1"
	Redirect     = "https://console.example/sign-in/oidc/callback"
)

// Issuer is a running provider. Its fields may be changed between requests.
type Issuer struct {
	URL string
	// Redirect is the registered reply address, Redirect unless a test has a console that can be reached.
	Redirect string
	// Email and Subject are of the person at the provider; the address is verified unless Claims says otherwise.
	Email, Subject string
	// Claims changes what the next ID tokens say; nil changes nothing.
	Claims func(claims map[string]any)
	// Key signs with another key than the published one when it is set.
	Key *ecdsa.PrivateKey
	// Error is answered instead of a code when it is set.
	Error, Description string
	// Down makes everything answer 503.
	Down bool

	mu     sync.Mutex
	codes  map[string]url.Values // what was asked, by code
	issued []string
	key    *ecdsa.PrivateKey
}

// New starts an issuer that stops with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{Redirect: Redirect, Email: "ada@example.test", Subject: "subject-1", codes: map[string]url.Values{}, key: NewKey()}
	well := &oidctest.Server{
		PublicKeys: []oidctest.PublicKey{{PublicKey: i.key.Public(), KeyID: "k1", Algorithm: "ES256"}}, Algorithms: []string{"ES256"},
	}
	mux := http.NewServeMux()
	mux.Handle("/", well)
	mux.HandleFunc("GET /auth", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.Down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	i.URL = server.URL
	well.SetIssuer(i.URL)
	return i
}

// NewKey draws a signing key.
func NewKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("idptest: " + err.Error())
	}
	return key
}

// Secrets are all codes and tokens that were handed out: none of them may be seen anywhere.
func (i *Issuer) Secrets() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string{ClientSecret}, i.issued...)
}

func (i *Issuer) draw() string {
	secret := rand.Text()
	i.issued = append(i.issued, secret)
	return secret
}

func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	if asked.Get("client_id") != ClientID || asked.Get("redirect_uri") != i.Redirect || asked.Get("response_type") != "code" ||
		asked.Get("code_challenge_method") != "S256" || asked.Get("nonce") == "" || asked.Get("state") == "" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": {asked.Get("state")}, "iss": {i.URL}}
	if i.Error != "" {
		answer.Set("error", i.Error)
		answer.Set("error_description", i.Description)
	} else {
		code := i.draw()
		i.codes[code] = asked
		answer.Set("code", code)
	}
	http.Redirect(w, r, i.Redirect+"?"+answer.Encode(), http.StatusFound)
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	asked, ok := i.codes[r.PostFormValue("code")]
	delete(i.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	id, secret, _ := r.BasicAuth()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case id != ClientID || secret != ClientSecret:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
		return
	case !ok || r.PostFormValue("redirect_uri") != i.Redirect || asked.Get("code_challenge") != challenge:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"AADSTS70008: the code is not good"}`))
		return
	}
	now := time.Now()
	claims := map[string]any{
		"iss": i.URL, "aud": ClientID, "sub": i.Subject, "nonce": asked.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": i.Email, "email_verified": true,
	}
	if i.Claims != nil {
		i.Claims(claims)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		panic("idptest: " + err.Error())
	}
	key := i.key
	if i.Key != nil {
		key = i.Key
	}
	token := oidctest.SignIDToken(key, "k1", "ES256", string(text))
	i.issued = append(i.issued, token)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": i.draw(), "refresh_token": i.draw(), "id_token": token, "token_type": "Bearer", "expires_in": 3600,
	})
}
