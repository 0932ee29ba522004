package secrets_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, pool *pgxpool.Pool) *secrets.Store {
	t.Helper()
	keyset, err := secrets.NewKeyset()
	must(t, err)
	s, err := secrets.Open(pool, secrets.Fixed(keyset))
	must(t, err)
	return s
}

func pool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(t.Context(), pgtest.New(t).AppURL)
	must(t, err)
	t.Cleanup(p.Close)
	return p
}

func TestSealedAndOpened(t *testing.T) {
	t.Parallel()
	p := pool(t)
	s, ctx := open(t, p), t.Context()
	c := domain.ProviderConnection{Number: 7, Workspace: uuid.New(), Tenant: uuid.New()}
	const secret = "Zm9vYmFy~very.secret"
	if _, err := s.Get(ctx, c); !errors.Is(err, secrets.ErrNone) {
		t.Errorf("before: %v", err)
	}
	known, err := s.Put(ctx, c, "secret", secret, time.Time{})
	must(t, err)
	if known.Kind != "secret" || len(known.Fingerprint) != 16 || !known.ExpiresAt.IsZero() {
		t.Errorf("known: %+v", known)
	}
	again, err := s.Put(ctx, c, "secret", secret, time.Time{})
	must(t, err)
	if again.Fingerprint == known.Fingerprint {
		t.Error("the fingerprint is derived from the secret")
	}
	c.Credential = known
	got, err := s.Get(ctx, c)
	must(t, err)
	if got != secret {
		t.Errorf("got %q", got)
	}
	var stored string
	must(t, p.QueryRow(ctx, `select string_agg(encode(ciphertext, 'escape') || t::text, '') from provider_credentials t`).Scan(&stored))
	if strings.Contains(stored, "very") {
		t.Error("the secret is stored in the clear")
	}
	// A row that is moved to another connection, tenant or workspace does not open.
	for name, other := range map[string]domain.ProviderConnection{
		"connection": {Number: 8, Workspace: c.Workspace, Tenant: c.Tenant, Credential: known},
		"tenant":     {Number: 7, Workspace: c.Workspace, Tenant: uuid.New(), Credential: known},
		"workspace":  {Number: 7, Workspace: uuid.New(), Tenant: c.Tenant, Credential: known},
	} {
		if name == "connection" {
			_, err := p.Exec(ctx, `insert into provider_credentials (connection, fingerprint, workspace, tenant, kind, ciphertext)
				select 8, fingerprint, workspace, tenant, kind, ciphertext from provider_credentials where fingerprint = $1`, known.Fingerprint)
			must(t, err)
		}
		if got, err := s.Get(ctx, other); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("another %s: %q, %v", name, got, err)
		}
	}
	if _, err := open(t, p).Get(ctx, c); err == nil {
		t.Error("another key opens it")
	}
}

func TestOldCredentialsAreTakenAway(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	p, err := pgxpool.New(t.Context(), db.AppURL)
	must(t, err)
	t.Cleanup(p.Close)
	owner, err := pgxpool.New(t.Context(), db.OwnerURL)
	must(t, err)
	t.Cleanup(owner.Close)
	s, ctx := open(t, p), t.Context()
	c := domain.ProviderConnection{Number: 7, Workspace: uuid.New(), Tenant: uuid.New()}
	for _, secret := range []string{"first", "second"} {
		c.Credential, err = s.Put(ctx, c, "secret", secret, time.Time{})
		must(t, err)
	}
	_, err = owner.Exec(ctx, `update provider_credentials set created_at = created_at - interval '2 hours'`)
	must(t, err)
	if _, err = s.Put(ctx, c, "secret", "third", time.Time{}); err != nil {
		t.Fatal(err)
	}
	var n int
	must(t, p.QueryRow(ctx, `select count(*) from provider_credentials`).Scan(&n))
	if n != 2 {
		t.Errorf("%d credentials are left, want that in use and the new one", n)
	}
	if got, err := s.Get(ctx, c); err != nil || got != "second" {
		t.Errorf("in use: %q, %v", got, err)
	}
}

func refusedField(err error) string {
	if refusal, ok := domain.AsRefusal(err); ok && len(refusal.Fields) == 1 {
		return refusal.Fields[0].Pointer
	}
	return ""
}

func certificate(t *testing.T, key any, public any) string {
	t.Helper()
	return certificateUntil(t, key, public, time.Now().Add(48*time.Hour))
}

func certificateUntil(t *testing.T, key any, public any, until time.Time) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until.Truncate(time.Second),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestWhatIsNoCredentialIsRefused(t *testing.T) {
	t.Parallel()
	p := pool(t)
	s, ctx := open(t, p), t.Context()
	c := domain.ProviderConnection{Number: 7, Workspace: uuid.New(), Tenant: uuid.New()}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	good := certificate(t, rsaKey, &rsaKey.PublicKey)
	known, err := s.Put(ctx, c, "certificate", good, time.Time{})
	must(t, err)
	if known.ExpiresAt.Before(time.Now().Add(47*time.Hour)) || len(known.Fingerprint) != 16 {
		t.Errorf("certificate: %+v", known)
	}
	if _, err := s.Put(ctx, c, "certificate", good, known.ExpiresAt.Add(time.Hour)); refusedField(err) != "/expiresAt" {
		t.Errorf("a certificate that is said to end later: %v", err)
	}
	if sooner, err := s.Put(ctx, c, "certificate", good, known.ExpiresAt.Add(-time.Hour)); err != nil || !sooner.ExpiresAt.Equal(known.ExpiresAt.Add(-time.Hour)) {
		t.Errorf("a certificate that is said to end sooner: %v %v", sooner, err)
	}
	ended := certificateUntil(t, rsaKey, &rsaKey.PublicKey, time.Now().Add(-time.Minute))
	if _, err := s.Put(ctx, c, "certificate", ended, time.Now().Add(time.Hour)); refusedField(err) != "/secret" {
		t.Errorf("a certificate that has ended: %v", err)
	}
	var kept int
	if must(t, p.QueryRow(ctx, `select count(*) from provider_credentials`).Scan(&kept)); kept != 1 {
		t.Errorf("%d credentials are kept: what was refused is", kept)
	}
	c.Credential = known
	if got, err := s.Get(ctx, c); err != nil || got != good {
		t.Errorf("certificate: %v", err)
	}
	if known, err := s.Put(ctx, c, "federated", "", time.Time{}); err != nil || known.Fingerprint == "" {
		t.Errorf("federated: %v", err)
	}
	for name, tc := range map[string][2]string{
		"no secret": {"secret", ""}, "lines": {"secret", "hush\nhush"}, "unknown kind": {"password", "hush"}, "no certificate": {"certificate", "hush"},
		"certificate alone": {"certificate", good[:strings.Index(good, "-----BEGIN PRIVATE")]}, "elliptic key": {"certificate", certificate(t, ecKey, &ecKey.PublicKey)},
	} {
		_, err := s.Put(ctx, c, tc[0], tc[1], time.Time{})
		if refusal, ok := domain.AsRefusal(err); !ok || refusal.Kind != domain.Invalid || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "{}", "not json hush", `{"primaryKeyId":1,"key":[]}`} {
		if _, err := secrets.Open(p, secrets.Fixed([]byte(bad))); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("keyset %q: %v", bad, err)
		}
	}
}
