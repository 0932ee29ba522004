// Package secrets keeps the credentials of provider connections sealed in the database.
//
// A credential is sealed with AES-256-GCM under a keyset that is not in the database (tink), bound to workspace, tenant, connection and
// fingerprint: what is copied to another connection does not open, nor does a connection's old credential in the place of its new one. It is
// stored under a fingerprint, which events and read models name; what is stored
// under one is always the same secret, sealed with this key or a newer one. The fingerprint of a secret is drawn, not derived, so that it says
// nothing about the secret.
//
// Put comes before the event that names the fingerprint: a crash in between leaves a row that nothing names, which a later Put takes away.
package secrets

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/tink"

	"tenantpilot/domain"
)

// ErrNone says that nothing is stored under the fingerprint.
var ErrNone = errors.New("no credential is stored under this fingerprint")

// maxSecret is the most that a credential may have, in bytes: a certificate with a long chain fits.
const maxSecret = 32 << 10

// Store seals and opens credentials. It is safe for concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	source Source
	mu     sync.Mutex
	now    *keys
}

// keys is a keyset, ready for use.
type keys struct {
	text    []byte
	aead    tink.AEAD
	primary uint32
	opening int // how many keys open
}

// Open makes a store with a keyset as NewKeyset writes it. Older keys of the keyset open what they sealed; its primary key seals. The error
// never has the keyset in it.
func Open(pool *pgxpool.Pool, source Source) (*Store, error) {
	s := &Store{pool: pool, source: source}
	if _, err := s.refreshed(); err != nil {
		return nil, err
	}
	return s, nil
}

// refreshed asks the source again. A source that cannot be read is an error: sealing with a key that was taken away meanwhile would lose
// the credential.
func (s *Store) refreshed() (*keys, error) {
	text, err := s.source()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && bytes.Equal(text, s.now.text) {
		return s.now, nil
	}
	handle, err := parse(text)
	if err != nil {
		return nil, err
	}
	k := &keys{text: bytes.Clone(text)}
	if k.aead, err = aead.New(handle); err != nil {
		return nil, errors.New("read keyset: its keys are not for sealing (AEAD)")
	}
	for _, key := range keysOf(handle) {
		if key.Primary {
			k.primary = key.ID
		}
		if key.Enabled {
			k.opening++
		}
	}
	s.now = k
	return k, nil
}

func (s *Store) current() *keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// InUse returns the id of the key that seals, and how many keys there are that open.
func (s *Store) InUse() (primary uint32, opening int) {
	k, err := s.refreshed()
	if err != nil {
		k = s.current()
	}
	return k.primary, k.opening
}

// open opens what was sealed; what the keys at hand do not open may have been sealed with one that was drawn meanwhile.
func (s *Store) open(sealed []byte, b binding) ([]byte, error) {
	k := s.current()
	secret, err := k.open(sealed, b)
	if err == nil {
		return secret, nil
	}
	newer, failed := s.refreshed()
	if failed != nil || newer == k {
		return nil, err
	}
	return newer.open(sealed, b)
}

// binding is what a sealed credential is tied to.
type binding struct {
	workspace, tenant uuid.UUID
	connection        int64
	fingerprint       string
}

func bound(c domain.ProviderConnection, fingerprint string) binding {
	return binding{c.Workspace, c.Tenant, c.Number, fingerprint}
}

// v1 is what credentials were sealed with before there were versions: it does not know of the fingerprint. They open; sealing anew (after a
// rotation) ties them like the others.
func (b binding) v1() []byte {
	return []byte(b.workspace.String() + "|" + b.tenant.String() + "|" + strconv.FormatInt(b.connection, 10))
}

func (b binding) v2() []byte { return []byte("v2|" + string(b.v1()) + "|" + b.fingerprint) }

func (k *keys) seal(secret []byte, b binding) ([]byte, error) { return k.aead.Encrypt(secret, b.v2()) }

func (k *keys) open(sealed []byte, b binding) ([]byte, error) {
	if secret, err := k.aead.Decrypt(sealed, b.v2()); err == nil {
		return secret, nil
	}
	return k.aead.Decrypt(sealed, b.v1())
}

// Put seals a credential of a connection and returns what may be known about it: kind, fingerprint, and when it expires: what
// the caller was told, if anything, and for a certificate no later than it says. What cannot be one is refused as invalid input. The connection goes on with what it has until an event names the fingerprint.
func (s *Store) Put(ctx context.Context, c domain.ProviderConnection, kind, secret string, expires time.Time) (domain.Credential, error) {
	known, err := inspect(kind, secret)
	if err == nil {
		known, err = known.EndingBy(expires, time.Now())
	}
	if err != nil {
		return domain.Credential{}, err
	}
	if kind == domain.CredentialFederated || kind == domain.CredentialPlatform {
		return known, nil // nothing to seal: the trust is in the app registration, the secret in the workers' configuration
	}
	k, err := s.refreshed()
	if err != nil {
		return domain.Credential{}, err
	}
	sealed, err := k.seal([]byte(secret), bound(c, known.Fingerprint))
	if err != nil {
		return domain.Credential{}, fmt.Errorf("seal credential: %w", err)
	}
	batch := &pgx.Batch{}
	// Long enough for a Put whose event is on its way.
	batch.Queue(`delete from provider_credentials where connection = $1 and fingerprint <> $2 and created_at < clock_timestamp() - interval '1 hour'`,
		c.Number, c.Credential.Fingerprint)
	batch.Queue(`insert into provider_credentials (connection, fingerprint, workspace, tenant, kind, ciphertext)
		values ($1, $2, $3, $4, $5, $6) on conflict (connection, fingerprint) do update set ciphertext = excluded.ciphertext`,
		c.Number, known.Fingerprint, c.Workspace, c.Tenant, kind, sealed)
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return domain.Credential{}, fmt.Errorf("store credential: %w", err)
	}
	return known, nil
}

// Get opens the credential that a connection's events name; ErrNone when there is none.
func (s *Store) Get(ctx context.Context, c domain.ProviderConnection) (string, error) {
	var sealed []byte
	err := s.pool.QueryRow(ctx, `select ciphertext from provider_credentials where connection = $1 and fingerprint = $2`,
		c.Number, c.Credential.Fingerprint).Scan(&sealed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", ErrNone
	case err != nil:
		return "", fmt.Errorf("read credential: %w", err)
	}
	secret, err := s.open(sealed, bound(c, c.Credential.Fingerprint))
	if err != nil {
		return "", fmt.Errorf("open credential of connection %d: the keyset has no key for it, or it is another connection's or an older one", c.Number)
	}
	return string(secret), nil
}

// inspect says what may be known about a credential, and refuses what cannot be one. Refusals never repeat the input.
func inspect(kind, secret string) (domain.Credential, error) {
	known := domain.Credential{Kind: kind, Fingerprint: strings.ReplaceAll(uuid.NewString(), "-", "")[:16]}
	switch kind {
	case domain.CredentialFederated, domain.CredentialPlatform:
		if secret != "" {
			return known, domain.InvalidField("/secret", "superfluous", "A credential of this kind has no secret here. Leave it empty, or choose another kind.")
		}
		return known, nil
	case domain.CredentialSecret:
		switch {
		case secret == "":
			return known, domain.InvalidField("/secret", "required", "Enter the secret.")
		case len(secret) > maxSecret || strings.ContainsAny(secret, "\r\n\x00"):
			return known, domain.InvalidField("/secret", "malformed", "A client secret is one line. For a certificate choose that kind.")
		}
		return known, nil
	case domain.CredentialCertificate:
		return certificate(known, secret)
	}
	return known, domain.InvalidField("/kind", "unknown_kind", "The kind is secret, certificate, federated or platform.")
}

func certificate(known domain.Credential, secret string) (domain.Credential, error) {
	if secret == "" || len(secret) > maxSecret {
		return known, domain.InvalidField("/secret", "required", "Paste the certificate and its private key as PEM.")
	}
	pair, err := tls.X509KeyPair([]byte(secret), []byte(secret))
	if err != nil {
		return known, domain.InvalidField("/secret", "malformed", "This is no certificate with its private key as PEM, or the two do not belong together.")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return known, domain.InvalidField("/secret", "malformed", "The certificate cannot be read.")
	}
	if _, isRSA := pair.PrivateKey.(*rsa.PrivateKey); !isRSA {
		return known, domain.InvalidField("/secret", "unsupported", "Entra signs in with RSA keys only.")
	}
	sum := sha256.Sum256(leaf.Raw)
	known.Fingerprint, known.ExpiresAt = hex.EncodeToString(sum[:8]), leaf.NotAfter.UTC().Truncate(time.Second)
	return known, nil
}
