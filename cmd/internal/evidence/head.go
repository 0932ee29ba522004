package evidence

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Head says that the first Size events of the log Origin have the root Root. As text it is a checkpoint (C2SP tlog-checkpoint) with one
// extension line, the time of signing, inside a signed note (golang.org/x/mod/sumdb/note).
type Head struct {
	Origin string    // the log's name, which is the name of its key
	Size   int64     // number of events
	Root   tlog.Hash // RFC 6962
	At     time.Time // when it was signed, by the database's clock; seconds
}

const timePrefix = "time "

func (h Head) text() string {
	return h.Origin + "\n" + strconv.FormatInt(h.Size, 10) + "\n" + h.Root.String() + "\n" + timePrefix + h.At.UTC().Format(time.RFC3339) + "\n"
}

// Key signs heads. It is made from the text of a signer key, which is a secret; its String and everything else that prints it show only the
// verifier key.
type Key struct {
	signer   note.Signer
	verifier note.Verifier
	public   string
}

// GenerateKey draws an Ed25519 key for a log and returns the signer key's text, to be kept in a file that only the server reads.
func GenerateKey(origin string) (secret string, err error) {
	secret, _, err = note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return "", fmt.Errorf("generate log key: %w", err)
	}
	return secret, nil
}

// ParseKey reads a signer key. Its errors do not repeat the text.
func ParseKey(secret string) (*Key, error) {
	secret = strings.TrimSpace(secret)
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, errors.New("the log key is no signer key: it begins with PRIVATE+KEY+, as `tenantpilot keys new-log` writes it")
	}
	public, err := publicOf(secret)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return nil, errors.New("the log key has no verifier key")
	}
	return &Key{signer, verifier, public}, nil
}

// Verifier is the text of the verifier key, which is public.
func (k *Key) Verifier() string { return k.public }

// NoteVerifier checks what this key has signed.
func (k *Key) NoteVerifier() note.Verifier { return k.verifier }

// String is the verifier key.
func (k *Key) String() string { return k.public }

// GoString is the verifier key.
func (k *Key) GoString() string { return k.public }

// SignHead makes the signed text of a head of this key's log.
func (k *Key) SignHead(size int64, root tlog.Hash, at time.Time) (string, error) {
	h := Head{Origin: k.signer.Name(), Size: size, Root: root, At: at}
	signed, err := note.Sign(&note.Note{Text: h.text()}, k.signer)
	if err != nil {
		return "", fmt.Errorf("sign head: %w", err)
	}
	return string(signed), nil
}

// SignPack signs a pack's manifest: that in the range of positions that it names these are all the events of what it is about. Whoever asks for the
// signature has looked.
func (k *Key) SignPack(p *Pack) error {
	p.complete()
	text, err := p.Manifest.statement(k.signer.Name())
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: text}, k.signer)
	if err != nil {
		return fmt.Errorf("sign pack: %w", err)
	}
	p.Signed = string(signed)
	return nil
}

// statement is what is signed of a manifest. No head can be taken for one: a head has four lines.
func (m Manifest) statement(origin string) (string, error) {
	b, err := m.bytes()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return origin + "\n" + packFormat + "\n" + base64.StdEncoding.EncodeToString(sum[:]) + "\n", nil
}

// OpenHead reads a head that this key has signed.
func (k *Key) OpenHead(text string) (int64, tlog.Hash, error) {
	h, err := OpenHead(text, k.verifier)
	return h.Size, h.Root, err
}

// ParseVerifier reads a verifier key, such as tenantpilot.example+1a2b3c4d+AbC...
func ParseVerifier(text string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(text))
	if err != nil {
		return nil, errors.New("this is no verifier key: it looks like NAME+8 hex digits+base64, as `tenantpilot keys log` prints it")
	}
	return v, nil
}

// OpenHead reads a head and checks that the key has signed it and that it is of that key's log.
func OpenHead(text string, verifier note.Verifier) (Head, error) {
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified):
		return Head{}, fault(HeadForged, 0, "the head is not signed by the key %s", verifier.Name())
	case err != nil:
		return Head{}, fault(HeadForged, 0, "the head's signature does not fit its text (%v)", err)
	}
	h, err := parseHead(opened.Text)
	if err != nil {
		return Head{}, err
	}
	if h.Origin != verifier.Name() {
		return h, fault(OriginDiffers, 0, "the head is of the log %q, the key of %q", h.Origin, verifier.Name())
	}
	return h, nil
}

// parseHead reads the text inside a note. It must be exactly what text writes.
func parseHead(text string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[3], timePrefix) {
		return Head{}, fault(PackMalformed, 0, "the head does not have its four lines")
	}
	var h Head
	var err error
	h.Origin = lines[0]
	if h.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || h.Size < 1 {
		return h, fault(PackMalformed, 0, "the head's size is no number of events")
	}
	if h.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return h, fault(PackMalformed, 0, "the head's root is no hash")
	}
	if h.At, err = time.Parse(timePrefix+time.RFC3339, lines[3]); err != nil {
		return h, fault(PackMalformed, 0, "the head's time is none")
	}
	if h.text() != text {
		return h, fault(PackMalformed, 0, "the head is not written in its one form")
	}
	return h, nil
}

// publicOf computes the verifier key of a signer key: PRIVATE+KEY+name+hash+base64(algorithm, seed).
func publicOf(secret string) (string, error) {
	parts := strings.SplitN(secret, "+", 5)
	if len(parts) != 5 {
		return "", errors.New("the log key is no signer key")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 33 {
		return "", errors.New("the log key is no Ed25519 signer key")
	}
	public, ok := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("the log key is no Ed25519 signer key")
	}
	return note.NewEd25519VerifierKey(parts[2], public)
}
