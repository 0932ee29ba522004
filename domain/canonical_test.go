package domain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// Hashes rest on every byte of this.
func TestCanonical(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: `{}`, `[]`: `[]`, `""`: `""`, `0`: `0`, `null`: `null`, ` [[], {}] `: `[[],{}]`, `{"b":1,"a":2}`: `{"a":2,"b":1}`,
		`{"b":{"z":1,"y":{"x":1,"w":2}},"a":true}`:  `{"a":true,"b":{"y":{"w":2,"x":1},"z":1}}`,
		`{"ab":1,"a":2,"":3}`:                       `{"":3,"a":2,"ab":1}`,
		`{"\u0061":1,"B":2}`:                        `{"B":2,"a":1}`,
		`{"b":"\/","a":"\u00e9"}`:                   `{"a":"é","b":"/"}`,
		`"<&> \u2028 \u001f \n \" \\ \ud83d\ude00"`: "\"<&> \u2028 \\u001f \\n \\\" \\\\ 😀\"",
		`{"b":"}],\"","a":["{",{"d":1,"c":[]}]}`:    `{"a":["{",{"c":[],"d":1}],"b":"}],\""}`,
		`9007199254740993`:                          `9007199254740993`,
		`-1.50e0`:                                   `-1.5`,
	} {
		got, err := Canonical(json.RawMessage(text))
		if err != nil || string(got) != want {
			t.Errorf("canonical form of %s:\ngot  %s, %v\nwant %s", text, got, err, want)
		}
	}
	if got, err := Canonical(json.RawMessage(`{"a":1,"\u0061":2}`)); err == nil {
		t.Errorf("equal keys were written as %s", got)
	}
	if got, err := Canonical(map[string]string{"a": "x\xffy"}); err != nil || string(got) != `{"a":"x�y"}` {
		t.Errorf("bytes that are not UTF-8 were written as %s, %v", got, err)
	}
}

// The canonical form says the same as the text it is of, and is its own canonical form.
func TestCanonicalOfAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := anyText(3).Draw(t, "text")
		got, err := Canonical(json.RawMessage(text))
		if err != nil {
			t.Skip("equal keys")
		}
		again, err := Canonical(json.RawMessage(got))
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("canonical form of canonical %s is %s, %v", got, again, err)
		}
		var was, is any
		if err := json.Unmarshal([]byte(text), &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &is); err != nil || !reflect.DeepEqual(was, is) {
			t.Fatalf("%s became %s, %v", text, got, err)
		}
	})
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

// BenchmarkEvent writes and reads what most of a log consists of.
func BenchmarkEvent(b *testing.B) {
	byName := map[string]Event{}
	for _, e := range samples() {
		byName[e.EventName()] = e
	}
	for _, name := range []string{"RunAccepted", "ScopeAcquired", "RunStarted", "RunProgressed", "RunItemsRecorded", "RunCompleted"} {
		payload, err := Encode(byName[name])
		if err != nil {
			b.Fatal(err)
		}
		b.Run("encode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(byName[name]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(name, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
