package eventstore

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ErrErased says that the key to sealed data was destroyed, for good.
var ErrErased = errors.New("the key to this data was destroyed")

// Seal encrypts personal data for an event under the subject's own key in a workspace, drawing the key at the first use. The result is
// base64 of nonce and AES-256-GCM ciphertext, bound to workspace and subject. A crash leaves at most a key that sealed nothing.
func (s *Store) Seal(ctx context.Context, workspace, subject uuid.UUID, plain []byte) (string, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails
	var key []byte
	err := s.pool.QueryRow(ctx, `with drawn as (
			insert into subject_keys (workspace, subject, key) values ($1, $2, $3) on conflict do nothing returning key
		) select key from drawn union all select key from subject_keys where workspace = $1 and subject = $2 limit 1`,
		workspace, subject, fresh).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) { // somebody else's first use committed in between
		err = s.pool.QueryRow(ctx, `select key from subject_keys where workspace = $1 and subject = $2`, workspace, subject).Scan(&key)
	}
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if key == nil {
		return "", ErrErased
	}
	gcm, err := sealer(key)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce)
	return base64.StdEncoding.EncodeToString(gcm.Seal(nonce, nonce, plain, sealedFor(workspace, subject))), nil
}

// Unseal opens what Seal sealed. It answers ErrErased when the subject's key is no more.
func (s *Store) Unseal(ctx context.Context, workspace, subject uuid.UUID, sealed string) ([]byte, error) {
	var key []byte
	err := s.pool.QueryRow(ctx, `select key from subject_keys where workspace = $1 and subject = $2`, workspace, subject).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && key == nil {
		return nil, ErrErased
	}
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	gcm, err := sealer(key)
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	box, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(box) < gcm.NonceSize() {
		return nil, errors.New("unseal: this is not sealed data")
	}
	plain, err := gcm.Open(nil, box[:gcm.NonceSize()], box[gcm.NonceSize():], sealedFor(workspace, subject))
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	return plain, nil
}

// SealedIn lists the workspaces whose events hold data sealed for a subject that can still be opened.
func (s *Store) SealedIn(ctx context.Context, subject uuid.UUID) ([]uuid.UUID, error) {
	rows, err := s.pool.Query(ctx, `select workspace from subject_keys where subject = $1 and key is not null order by workspace`, subject)
	if err != nil {
		return nil, fmt.Errorf("find sealed data: %w", err)
	}
	workspaces, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("find sealed data: %w", err)
	}
	return workspaces, nil
}

// DestroyKey destroys a subject's key in a workspace, for good: what it sealed can never be opened again, except with a copy of the
// database from before, so backups have to age out too. That the workspace knew the subject stays.
func (s *Store) DestroyKey(ctx context.Context, workspace, subject uuid.UUID) error {
	if _, err := s.pool.Exec(ctx, `update subject_keys set key = null where workspace = $1 and subject = $2`, workspace, subject); err != nil {
		return fmt.Errorf("destroy key: %w", err)
	}
	return nil
}

func sealer(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sealedFor(workspace, subject uuid.UUID) []byte {
	return append(append([]byte("tenantpilot/person/"), workspace[:]...), subject[:]...)
}
