package graphsim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"
)

// assertionType says that a client signs in with a signed statement (RFC 7523) in place of a secret.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// federatedAudience is whom the assertions of a workload identity are for.
const federatedAudience = "api://AzureADTokenExchange"

// Refusals of assertions; a key in place of one is none.
var (
	malformedAssertion = refusal{http.StatusBadRequest, "invalid_request", 50027, "Invalid JWT token: the client assertion of '{app}' cannot be read."}
	wrongSignature     = refusal{http.StatusUnauthorized, "invalid_client", 700027, "Client assertion of '{app}' failed signature validation."}
	expiredAssertion   = refusal{http.StatusUnauthorized, "invalid_client", 700024, "Client assertion of '{app}' is not within its valid time range."}
	wrongSubject       = refusal{http.StatusUnauthorized, "invalid_client", 700213, "No matching federated identity record found for the presented assertion subject of '{app}'."}
	wrongAudience      = refusal{http.StatusUnauthorized, "invalid_client", 700212, "No matching federated identity record found for the presented assertion audience of '{app}'."}
)

// claims are what an assertion says.
type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
}

// judgeAssertion says how a sign-in with an assertion ends. One that the application issued itself is signed with the key of its certificate and
// is for the token endpoint; any other is the workload identity's, whose issuer the application trusts.
func (t *tenant) judgeAssertion(kind, text, appID, endpoint string, now time.Time) (refusal, bool) {
	parts := strings.Split(text, ".")
	if kind != assertionType || len(parts) != 3 {
		return malformedAssertion, true
	}
	var c claims
	if body, err := base64.RawURLEncoding.DecodeString(parts[1]); err != nil || json.Unmarshal(body, &c) != nil {
		return malformedAssertion, true
	}
	own := c.Issuer == appID
	switch {
	case own && t.Certificate != nil && !signed(parts, t.Certificate):
		return wrongSignature, true
	case now.After(time.Unix(c.Expires, 0)):
		return expiredAssertion, true
	case own && c.Subject != appID, !own && t.Subject != "" && c.Subject != t.Subject, c.Subject == "":
		return wrongSubject, true
	case own && c.Audience != endpoint, !own && c.Audience != federatedAudience:
		return wrongAudience, true
	}
	return refusal{}, false
}

// signed checks the one signature that Entra asks for, PS256.
func signed(parts []string, by *x509.Certificate) bool {
	public, isRSA := by.PublicKey.(*rsa.PublicKey)
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return isRSA && err == nil && rsa.VerifyPSS(public, crypto.SHA256, sum[:], signature, nil) == nil
}

// NewAssertion is an assertion as the platform that a workload runs on would write it into its token file. Nobody checks its signature here.
func NewAssertion(subject string, until time.Time) string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic("graphsim: " + err.Error())
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." +
		part(claims{"https://workloads.example", subject, federatedAudience, until.Unix()}) + "." + part("signature of "+subject)
}

// NewCertificate draws a certificate with its private key, as PEM, and returns the certificate alone for the tenant to trust.
func NewCertificate(until time.Time) (withKey string, trusted *x509.Certificate, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", nil, fmt.Errorf("draw key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(until.Unix()), Subject: pkix.Name{CommonName: "app"}, NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", nil, fmt.Errorf("sign certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", nil, fmt.Errorf("encode key: %w", err)
	}
	if trusted, err = x509.ParseCertificate(der); err != nil {
		return "", nil, fmt.Errorf("read certificate: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), trusted, nil
}
