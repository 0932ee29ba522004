package domain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Canonical is Encode for any value that marshals to JSON: metadata, facts, request bodies that are hashed.
//
// It is part of every append, so the usual case is quick: encoding/json has written everything canonically except the order of the fields
// of a struct, and sortKeys moves those. Text that it does not recognise as such is read into a tree and written again.
func Canonical(v any) ([]byte, error) {
	raw, err := encode(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	if sorted, ok := sortKeys(raw); ok {
		return sorted, nil
	}
	b, err := canonicalTree(raw)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// canonicalTree makes any JSON text canonical.
func canonicalTree(raw []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	out, err := encode(tree)
	return unescapeSeparators(out), err
}

// separators finds the two escapes that the encoder writes without being asked and RFC 8785 does not know. An escaped backslash is
// matched first, so that quoted text that only looks like such an escape stays as it is.
var separators = strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029")

func unescapeSeparators(b []byte) []byte {
	if !bytes.Contains(b, []byte(`\u202`)) {
		return b
	}
	return []byte(separators.Replace(string(b)))
}

// sortKeys sorts the members of every object in compact, valid JSON text by key. It says false to text in which more than that may have
// to change: escapes other than the short ones, escapes in keys, equal keys, bytes that are not UTF-8.
func sortKeys(raw []byte) ([]byte, bool) {
	if !utf8.Valid(raw) || !onlyShortEscapes(raw) {
		return nil, false
	}
	return appendSorted(make([]byte, 0, len(raw)), raw)
}

func onlyShortEscapes(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return true
		}
		if strings.IndexByte(`"\bfnrt`, raw[i+1]) < 0 {
			return false
		}
		raw = raw[i+2:]
	}
}

// member is one member of an object: its key without the quotes, and its value.
type member struct{ key, value []byte }

func appendSorted(out, value []byte) ([]byte, bool) {
	switch value[0] {
	case '{':
		return appendObject(out, value)
	case '[':
		return appendArray(out, value)
	}
	return append(out, value...), true
}

func appendObject(out, object []byte) (_ []byte, ok bool) {
	var few [16]member
	members := few[:0]
	for rest := object[1:]; rest[0] != '}'; {
		if rest[0] == ',' {
			rest = rest[1:]
		}
		n := stringLen(rest)
		m := member{key: rest[1 : n-1]}
		rest = rest[n+1:]
		n = valueLen(rest)
		m.value, rest = rest[:n], rest[n:]
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b member) int { return bytes.Compare(a.key, b.key) })
	out = append(out, '{')
	for i, m := range members {
		if bytes.IndexByte(m.key, '\\') >= 0 || i > 0 && bytes.Equal(m.key, members[i-1].key) {
			return nil, false
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, m.key...)
		out = append(out, '"', ':')
		if out, ok = appendSorted(out, m.value); !ok {
			return nil, false
		}
	}
	return append(out, '}'), true
}

func appendArray(out, array []byte) (_ []byte, ok bool) {
	out = append(out, '[')
	for rest := array[1:]; rest[0] != ']'; {
		if rest[0] == ',' {
			out, rest = append(out, ','), rest[1:]
		}
		n := valueLen(rest)
		if out, ok = appendSorted(out, rest[:n]); !ok {
			return nil, false
		}
		rest = rest[n:]
	}
	return append(out, ']'), true
}

// valueLen is the length of the value that compact JSON text begins with.
func valueLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringLen(text[i:]) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // of what holds a number or a literal
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// stringLen is the length of the string, with its quotes, that the text begins with.
func stringLen(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}
