package secrets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// Source is where a keyset comes from. It is asked again when a credential is sealed with a key that is not known yet, and before one is
// sealed, so that a process goes on with the keys of a rotation that happened while it ran.
type Source func() ([]byte, error)

// Fixed is a keyset that does not change while the program runs.
func Fixed(keysetJSON []byte) Source { return func() ([]byte, error) { return keysetJSON, nil } }

// File is a keyset in a file.
func File(path string) Source {
	return func() ([]byte, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read keyset: %w", err)
		}
		return b, nil
	}
}

// Key is what may be known about a key of a keyset.
type Key struct {
	ID      uint32
	Primary bool // it seals
	Enabled bool // it opens
}

// NewKeyset draws a fresh keyset, as JSON. It is the key itself: keep it where only the program can read it.
func NewKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("draw keyset: %w", err)
	}
	return written(handle)
}

// Keys lists the keys of a keyset.
func Keys(keysetJSON []byte) ([]Key, error) {
	handle, err := parse(keysetJSON)
	if err != nil {
		return nil, err
	}
	return keysOf(handle), nil
}

// Rotate returns the keyset with a fresh key that seals from now on, and that key's id. All keys that were there go on to open.
func Rotate(keysetJSON []byte) (rotated []byte, primary uint32, err error) {
	rotated, err = changed(keysetJSON, func(m *keyset.Manager) (err error) {
		if primary, err = m.Add(aead.AES256GCMKeyTemplate()); err != nil {
			return err
		}
		return m.SetPrimary(primary)
	})
	return rotated, primary, err
}

// ErrNoKey says that a keyset has no key of this id.
var ErrNoKey = errors.New("the keyset has no such key")

// ErrKeyInUse says that a key cannot be taken away as it is.
var ErrKeyInUse = errors.New("the key is in use")

// Disable returns the keyset with a key that no longer opens, until Enable. The primary key is ErrKeyInUse. Whether something is still sealed
// with it is the caller's to find out first: see Store.Sealed.
func Disable(keysetJSON []byte, id uint32) ([]byte, error) {
	return onKey(keysetJSON, id, func(m *keyset.Manager, k Key) error {
		if k.Primary {
			return fmt.Errorf("%w: it seals; draw another one first", ErrKeyInUse)
		}
		return m.Disable(id)
	})
}

// Enable returns the keyset with a key that opens again.
func Enable(keysetJSON []byte, id uint32) ([]byte, error) {
	return onKey(keysetJSON, id, func(m *keyset.Manager, _ Key) error { return m.Enable(id) })
}

// Destroy returns the keyset without a key that was disabled before; one that was not is ErrKeyInUse.
func Destroy(keysetJSON []byte, id uint32) ([]byte, error) {
	return onKey(keysetJSON, id, func(m *keyset.Manager, k Key) error {
		if k.Primary || k.Enabled {
			return fmt.Errorf("%w: disable it first", ErrKeyInUse)
		}
		return m.Delete(id)
	})
}

func onKey(keysetJSON []byte, id uint32, do func(*keyset.Manager, Key) error) ([]byte, error) {
	keys, err := Keys(keysetJSON)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.ID == id {
			return changed(keysetJSON, func(m *keyset.Manager) error { return do(m, k) })
		}
	}
	return nil, ErrNoKey
}

func changed(keysetJSON []byte, do func(*keyset.Manager) error) ([]byte, error) {
	handle, err := parse(keysetJSON)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManagerFromHandle(handle)
	if err := do(m); err != nil {
		return nil, fmt.Errorf("change keyset: %w", err)
	}
	if handle, err = m.Handle(); err != nil {
		return nil, fmt.Errorf("change keyset: %w", err)
	}
	return written(handle)
}

func written(handle *keyset.Handle) ([]byte, error) {
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("write keyset: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

// parse reads a keyset. Its errors have nothing of it.
func parse(keysetJSON []byte) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(keysetJSON)))
	if err != nil {
		return nil, errors.New("read keyset: it is not a keyset as `tenantpilot keyset` writes it")
	}
	for _, k := range handle.KeysetInfo().GetKeyInfo() {
		if k.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return nil, errors.New("read keyset: one of its keys does not name itself in what it seals; draw one with `tenantpilot keyset`")
		}
	}
	return handle, nil
}

func keysOf(handle *keyset.Handle) []Key {
	info := handle.KeysetInfo()
	keys := make([]Key, 0, len(info.GetKeyInfo()))
	for _, k := range info.GetKeyInfo() {
		keys = append(keys, Key{
			ID: k.GetKeyId(), Primary: k.GetKeyId() == info.GetPrimaryKeyId(), Enabled: k.GetStatus() == tinkpb.KeyStatusType_ENABLED,
		})
	}
	return keys
}

// mark is how everything begins that a key has sealed: a version byte and the key's id.
func mark(id uint32) []byte { return binary.BigEndian.AppendUint32([]byte{1}, id) }

// markLength is the length of a mark.
const markLength = 5

// keyOf is the id of the key that sealed something; false for what no key can have sealed.
func keyOf(sealed []byte) (uint32, bool) {
	if len(sealed) < markLength || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:markLength]), true
}
