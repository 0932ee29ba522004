package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/domain"
)

// safe is a keyset in a file, with credentials that it has sealed.
type safe struct {
	pool  *pgxpool.Pool
	path  string
	store *secrets.Store
	kept  []domain.ProviderConnection // connection n has the secret "secret-n"
}

func newSafe(t *testing.T, credentials int) *safe {
	t.Helper()
	s := &safe{pool: pool(t), path: filepath.Join(t.TempDir(), "keyset.json")}
	drawn, err := secrets.NewKeyset()
	must(t, err)
	must(t, os.WriteFile(s.path, drawn, 0o600))
	s.store, err = secrets.Open(s.pool, secrets.File(s.path))
	must(t, err)
	for range credentials {
		s.put(t)
	}
	return s
}

func (s *safe) put(t *testing.T) {
	t.Helper()
	c := domain.ProviderConnection{Number: int64(len(s.kept) + 1), Workspace: uuid.New(), Tenant: uuid.New()}
	var err error
	c.Credential, err = s.store.Put(t.Context(), c, "secret", fmt.Sprintf("secret-%d", c.Number), time.Time{})
	must(t, err)
	_, err = s.pool.Exec(t.Context(), `insert into provider_connections (number, stream, workspace, tenant, provider, display_name, connection_type, app_id,
		is_enabled, consent_status, verification_status, credential_fingerprint, version, position)
		values ($1, gen_random_uuid(), $2, $3, 'microsoft', 'x', 'dedicated', 'app', true, 'granted', 'healthy', $4, 1, 1)`,
		c.Number, c.Workspace, c.Tenant, c.Credential.Fingerprint)
	must(t, err)
	s.kept = append(s.kept, c)
}

// change changes the keyset's file.
func (s *safe) change(t *testing.T, change func([]byte) ([]byte, error)) {
	t.Helper()
	old, err := os.ReadFile(s.path)
	must(t, err)
	text, err := change(old)
	must(t, err)
	must(t, os.WriteFile(s.path, text, 0o600))
}

func (s *safe) rotate(t *testing.T) (primary uint32) {
	t.Helper()
	s.change(t, func(old []byte) (text []byte, err error) {
		text, primary, err = secrets.Rotate(old)
		return text, err
	})
	return primary
}

// opens checks that a store opens everything.
func (s *safe) opens(t *testing.T, store *secrets.Store) {
	t.Helper()
	for _, c := range s.kept {
		if got, err := store.Get(t.Context(), c); err != nil || got != fmt.Sprintf("secret-%d", c.Number) {
			t.Fatalf("connection %d: %q, %v", c.Number, got, err)
		}
	}
	must(t, secrets.Check(t.Context(), s.pool, store))
}

func (s *safe) sealed(t *testing.T) map[uint32]int {
	t.Helper()
	n, err := secrets.Sealed(t.Context(), s.pool)
	must(t, err)
	return n
}

// TestAKeysetIsRotatedWhileItIsUsed goes the whole way: a new key, an interruption, the rest, and the old key away.
func TestAKeysetIsRotatedWhileItIsUsed(t *testing.T) {
	t.Parallel()
	s := newSafe(t, 70)
	old, _ := s.store.InUse()
	if n := s.sealed(t); n[old] != 70 {
		t.Fatalf("sealed: %v with %d", n, old)
	}
	running := s.store // a process that was there before
	primary := s.rotate(t)
	s.opens(t, running)
	s.put(t) // by the running process, which sees the new key before it seals
	if n := s.sealed(t); n[old] != 70 || n[primary] != 1 {
		t.Fatalf("after the rotation: %v", n)
	}

	// Interrupted after the first transaction: some with one key, some with the other, and both open.
	another, err := secrets.Open(s.pool, secrets.File(s.path))
	must(t, err)
	ctx, interrupt := context.WithCancel(t.Context())
	n, err := another.Reseal(ctx, func(int) { interrupt() })
	if !errors.Is(err, context.Canceled) || n == 0 || n >= 70 {
		t.Fatalf("interrupted: %d, %v", n, err)
	}
	if got := s.sealed(t); got[old] != 70-n || got[primary] != 1+n {
		t.Fatalf("after the interruption: %v, %d are sealed anew", got, n)
	}
	s.opens(t, another)
	s.opens(t, running)

	rest, err := another.Reseal(t.Context(), nil)
	must(t, err)
	if got := s.sealed(t); rest != 70-n || got[old] != 0 || got[primary] != 71 {
		t.Fatalf("after the rest: %d, %v", rest, got)
	}
	if again, err := another.Reseal(t.Context(), nil); again != 0 || err != nil {
		t.Errorf("once more: %d, %v", again, err)
	}
	text, err := os.ReadFile(s.path)
	must(t, err)
	for name, err := range map[string]error{
		"the primary is disabled":        second(secrets.Disable(text, primary)),
		"an enabled key is destroyed":    second(secrets.Destroy(text, old)),
		"the primary key is destroyed":   second(secrets.Destroy(text, primary)),
		"a key that is not there":        second(secrets.Disable(text, old+primary)),
		"destroyed, a key not there too": second(secrets.Destroy(text, old+primary)),
	} {
		if !errors.Is(err, secrets.ErrKeyInUse) && !errors.Is(err, secrets.ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.change(t, func(text []byte) ([]byte, error) { return secrets.Disable(text, old) })
	s.opens(t, another)
	s.change(t, func(text []byte) ([]byte, error) { return secrets.Enable(text, old) })
	s.change(t, func(text []byte) ([]byte, error) { return secrets.Disable(text, old) })
	s.change(t, func(text []byte) ([]byte, error) { return secrets.Destroy(text, old) })
	s.opens(t, running)
	if got, keys := running.InUse(); got != primary || keys != 1 {
		t.Errorf("in use: %d of %d keys", got, keys)
	}
}

// sealedBefore is a secret of a connection as it was sealed before the fingerprint was bound.
func (s *safe) sealedBefore(t *testing.T, c domain.ProviderConnection, secret string) []byte {
	t.Helper()
	text, err := os.ReadFile(s.path)
	must(t, err)
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	must(t, err)
	box, err := aead.New(handle)
	must(t, err)
	sealed, err := box.Encrypt([]byte(secret), fmt.Appendf(nil, "%s|%s|%d", c.Workspace, c.Tenant, c.Number))
	must(t, err)
	return sealed
}

// TestAnOldCredentialDoesNotComeBack puts what was sealed for a connection under its next fingerprint. What was sealed before fingerprints were
// bound opens, wherever it lies, until it is sealed anew.
func TestAnOldCredentialDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := newSafe(t, 1)
	ctx, old := t.Context(), s.kept[0]
	next := old
	var err error
	next.Credential, err = s.store.Put(ctx, old, "secret", "the next", time.Time{})
	must(t, err)
	replace := func(c domain.ProviderConnection, by string, args ...any) {
		t.Helper()
		tag, err := s.pool.Exec(ctx, `update provider_credentials set ciphertext = (`+by+`) where connection = $1 and fingerprint = $2`,
			append([]any{c.Number, c.Credential.Fingerprint}, args...)...)
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%v, %v", tag, err)
		}
	}
	is := func(what string, c domain.ProviderConnection, want string) {
		t.Helper()
		if got, err := s.store.Get(ctx, c); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	const other = `select ciphertext from provider_credentials where connection = $1 and fingerprint = $3`
	is("before", next, "the next")
	replace(next, other, old.Credential.Fingerprint)
	is("the old one in the place of the next", next, "")
	is("the old one in its own", old, "secret-1")

	replace(old, `$3`, s.sealedBefore(t, old, "secret-1"))
	replace(next, `$3`, s.sealedBefore(t, next, "the next"))
	is("sealed before", old, "secret-1")
	is("sealed before", next, "the next")
	s.rotate(t)
	if n, err := s.store.Reseal(ctx, nil); n != 2 || err != nil {
		t.Fatalf("sealed anew: %d, %v", n, err)
	}
	is("sealed anew", next, "the next")
	replace(next, other, old.Credential.Fingerprint)
	is("the old one, sealed anew, in the place of the next", next, "")
	_, err = s.pool.Exec(ctx, `update provider_connections set credential_fingerprint = $1 where number = $2`, next.Credential.Fingerprint, next.Number)
	must(t, err)
	if err := secrets.Check(ctx, s.pool, s.store); !lost(err, 1) {
		t.Errorf("the check at the start: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestALostKeyIsNoticed takes the keyset away, keeps the half that opens, and mends the other half by setting credentials anew.
func TestALostKeyIsNoticed(t *testing.T) {
	t.Parallel()
	s := newSafe(t, 3)
	if err := secrets.Check(t.Context(), s.pool, nil); !lost(err, 3) {
		t.Errorf("without a keyset: %v", err)
	}
	other, err := secrets.NewKeyset()
	must(t, err)
	must(t, os.WriteFile(s.path, other, 0o600))
	fresh, err := secrets.Open(s.pool, secrets.File(s.path))
	must(t, err)
	if err := secrets.Check(t.Context(), s.pool, fresh); !lost(err, 3) {
		t.Errorf("with another keyset: %v", err)
	}
	s.store = fresh
	s.put(t)
	if n, err := fresh.Reseal(t.Context(), nil); n != 0 || !lost(err, 3) {
		t.Errorf("sealing anew what does not open: %d, %v", n, err)
	}
	// What is in no event any more is nobody's loss.
	_, err = s.pool.Exec(t.Context(), `update provider_connections set credential_fingerprint = 'x' where number in (1, 2)`)
	must(t, err)
	if err := secrets.Check(t.Context(), s.pool, fresh); !lost(err, 1) {
		t.Errorf("after two were replaced: %v", err)
	}
	// A keyset that cannot be read seals nothing.
	must(t, os.Remove(s.path))
	if _, err := fresh.Put(t.Context(), s.kept[0], "secret", "x", time.Time{}); err == nil {
		t.Error("something is sealed with a keyset that is gone")
	}
}

func lost(err error, n int) bool {
	var u *secrets.ErrUnopenable
	return errors.As(err, &u) && u.Credentials == n && len(u.Connections) == n
}
