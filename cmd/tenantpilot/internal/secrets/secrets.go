// Package secrets keeps the credentials of provider connections sealed in the database.
//
// A credential is sealed with AES-256-GCM under a keyset that is not in the database (tink), bound to workspace, tenant and connection: a row
// that is copied to another connection does not open. It is stored under a fingerprint, which events and read models name; what is stored
// under one never changes. The fingerprint of a secret is drawn, not derived, so that it says nothing about the secret.
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
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"tenantpilot/domain"
)

// ErrNone says that nothing is stored under the fingerprint.
var ErrNone = errors.New("no credential is stored under this fingerprint")

// maxSecret is the most that a credential may have, in bytes: a certificate with a long chain fits.
const maxSecret = 32 << 10

// Store seals and opens credentials. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	key  tink.AEAD
}

// NewKeyset draws a fresh keyset, as JSON. It is the key itself: keep it where only the program can read it.
func NewKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("draw keyset: %w", err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("write keyset: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

// Open makes a store with a keyset as NewKeyset writes it. Older keys of the keyset open what they sealed; its primary key seals. The error
// never has the keyset in it.
func Open(pool *pgxpool.Pool, keysetJSON []byte) (*Store, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(keysetJSON)))
	if err != nil {
		return nil, errors.New("read keyset: it is not a keyset as `tenantpilot keyset` writes it")
	}
	key, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("read keyset: its keys are not for sealing (AEAD)")
	}
	return &Store{pool: pool, key: key}, nil
}

// bound is what a sealed credential is tied to.
func bound(workspace, tenant uuid.UUID, connection int64) []byte {
	return []byte(workspace.String() + "|" + tenant.String() + "|" + strconv.FormatInt(connection, 10))
}

// Put seals a credential of a connection and returns what may be known about it: kind, fingerprint, and for a certificate when it expires.
// What cannot be one is refused as invalid input. The connection goes on with what it has until an event names the fingerprint.
func (s *Store) Put(ctx context.Context, c domain.ProviderConnection, kind, secret string) (domain.Credential, error) {
	known, err := inspect(kind, secret)
	if err != nil {
		return domain.Credential{}, err
	}
	if kind == "federated" {
		return known, nil // nothing to seal: the trust is in the app registration
	}
	sealed, err := s.key.Encrypt([]byte(secret), bound(c.Workspace, c.Tenant, c.Number))
	if err != nil {
		return domain.Credential{}, fmt.Errorf("seal credential: %w", err)
	}
	batch := &pgx.Batch{}
	// Long enough for a Put whose event is on its way.
	batch.Queue(`delete from provider_credentials where connection = $1 and fingerprint <> $2 and created_at < clock_timestamp() - interval '1 hour'`,
		c.Number, c.Credential.Fingerprint)
	batch.Queue(`insert into provider_credentials (connection, fingerprint, workspace, tenant, kind, ciphertext)
		values ($1, $2, $3, $4, $5, $6) on conflict (connection, fingerprint) do nothing`,
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
	secret, err := s.key.Decrypt(sealed, bound(c.Workspace, c.Tenant, c.Number))
	if err != nil {
		return "", fmt.Errorf("open credential of connection %d: the keyset has no key for it, or it is another connection's", c.Number)
	}
	return string(secret), nil
}

// inspect says what may be known about a credential, and refuses what cannot be one. Refusals never repeat the input.
func inspect(kind, secret string) (domain.Credential, error) {
	known := domain.Credential{Kind: kind, Fingerprint: strings.ReplaceAll(uuid.NewString(), "-", "")[:16]}
	switch kind {
	case "federated":
		return known, nil
	case "secret":
		switch {
		case secret == "":
			return known, domain.InvalidField("/secret", "required", "Enter the secret.")
		case len(secret) > maxSecret || strings.ContainsAny(secret, "\r\n\x00"):
			return known, domain.InvalidField("/secret", "malformed", "A client secret is one line. For a certificate choose that kind.")
		}
		return known, nil
	case "certificate":
		return certificate(known, secret)
	}
	return known, domain.InvalidField("/kind", "unknown_kind", "The kind is secret, certificate or federated.")
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
