package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Canonical is Encode for any value that marshals to JSON: metadata, facts, request bodies that are hashed. Objects with equal keys are an
// error: they have no canonical form.
func Canonical(v any) ([]byte, error) {
	raw, err := json.Marshal(v, asStored)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	text := jsontext.Value(raw)
	if err := text.Canonicalize(integers); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return text, nil
}

// Tags such as omitempty mean what they meant to encoding/json when the first events were stored.
var asStored = json.JoinOptions(jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false), jsontext.EscapeForJS(false))

// Integers keep all their digits, beyond the 53 bits that RFC 8785 has.
var integers = jsontext.CanonicalizeRawInts(false)

// tagOf names plain values: 16 hex digits.
func tagOf(seen any) string {
	b, err := Canonical(seen)
	if err != nil {
		panic("plain values cannot fail to encode: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
