package domain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// The quick way and the tree must agree on every text, byte by byte: hashes rest on it.
func TestSortingKeysIsWhatTheTreeWouldWrite(t *testing.T) {
	t.Parallel()
	for _, e := range samples() {
		checkAgainstTree(t, e)
		raw, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, quick := sortKeys(raw); !quick {
			t.Errorf("%s is encoded the slow way: %s", e.EventName(), raw)
		}
	}
	for _, text := range []string{
		`{}`, `[]`, `""`, `0`, `-1.50`, `null`, `[[],{}]`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"b\"":1,"a":2}`, `{"\u0061":1,"b":2}`,
		`{"b":"\/","a":"\u00e9"}`, `{"b":"}],\"","a":["{",{"d":1,"c":[]}]}`, `{"ab":1,"a":2,"":3}`, `{"b":{"z":1,"y":{"x":1,"w":2}},"a":true}`,
	} {
		checkAgainstTree(t, json.RawMessage(text))
	}
}

func TestSortingKeysOfAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { checkAgainstTree(t, json.RawMessage(anyText(3).Draw(t, "text"))) })
}

// anyText draws JSON text with the members of objects in any order, equal keys and needless escapes included.
func anyText(depth int) *rapid.Generator[string] {
	escape := rapid.SampledFrom([]string{`\u0041`, `\/`, `\n`, `\\`, `\"`, `\u2028`, `\ud83d\ude00`, "é", "}", ",", "<", "\u2028"})
	word := rapid.Custom(func(t *rapid.T) string {
		s := rapid.StringMatching(`[a-d]{0,2}`).Draw(t, "letters")
		if rapid.IntRange(0, 9).Draw(t, "dice") == 0 {
			s += escape.Draw(t, "escape")
		}
		return `"` + s + `"`
	})
	leaves := []*rapid.Generator[string]{word, rapid.SampledFrom([]string{"0", "-1", "1.0e5", "true", "null"})}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	object := rapid.Custom(func(t *rapid.T) string {
		var b bytes.Buffer
		for i := range rapid.IntRange(0, 5).Draw(t, "members") {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%s:%s", word.Draw(t, "key"), anyText(depth-1).Draw(t, "value"))
		}
		return "{" + b.String() + "}"
	})
	array := rapid.Custom(func(t *rapid.T) string {
		elements := rapid.SliceOfN(anyText(depth-1), 0, 3).Draw(t, "elements")
		var b bytes.Buffer
		for i, e := range elements {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(e)
		}
		return "[" + b.String() + "]"
	})
	return rapid.OneOf(append(leaves, object, array)...)
}

func checkAgainstTree(t interface {
	Helper()
	Errorf(format string, args ...any)
}, v any,
) {
	t.Helper()
	got, err := Canonical(v)
	raw, rawErr := encode(v)
	if err != nil || rawErr != nil {
		t.Errorf("%v: %v, %v", v, err, rawErr)
		return
	}
	want, err := canonicalTree(raw)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("canonical form of %s:\ngot  %s\nwant %s, %v", raw, got, want, err)
	}
}

func BenchmarkEncode(b *testing.B) {
	var accepted Event
	for _, e := range samples() {
		if e.EventName() == "RunAccepted" {
			accepted = e
		}
	}
	b.Run("sorted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Encode(accepted); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tree", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			raw, err := encode(accepted)
			if err == nil {
				_, err = canonicalTree(raw)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
