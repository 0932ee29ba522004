package eventstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// PutContent stores a large payload by the SHA-256 of its bytes and returns that hash in hex, for events to refer to. Storing the same
// bytes again is the same row. A crash between this and the event that names it leaves a row nobody refers to, which is harmless.
func (s *Store) PutContent(ctx context.Context, b []byte) (string, error) {
	sum := sha256.Sum256(b)
	_, err := s.pool.Exec(ctx, `insert into content (hash, bytes) values ($1, $2) on conflict (hash) do nothing`, sum[:], b)
	if err != nil {
		return "", fmt.Errorf("put content: %w", err)
	}
	return hex.EncodeToString(sum[:]), nil
}

// Content reads a payload by its hash and checks that the bytes still are what the hash says.
func (s *Store) Content(ctx context.Context, hash string) ([]byte, error) {
	want, err := hex.DecodeString(hash)
	if err != nil {
		return nil, fmt.Errorf("read content %q: %w", hash, err)
	}
	var b []byte
	if err := s.pool.QueryRow(ctx, `select bytes from content where hash = $1`, want).Scan(&b); err != nil {
		return nil, fmt.Errorf("read content %s: %w", hash, err)
	}
	if sum := sha256.Sum256(b); string(sum[:]) != string(want) {
		return nil, fmt.Errorf("read content %s: the stored bytes have another hash", hash)
	}
	return b, nil
}
