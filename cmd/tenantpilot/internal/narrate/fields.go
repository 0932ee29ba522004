package narrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Field is one fact of a state: its path, such as "facts.consent", and its value as text, empty when it has none.
type Field struct {
	Name, Value string
}

// Change is a field that differs between two states.
type Change struct {
	Name, Before, After string
}

// bookkeeping fields say where a row stands in the log and not what the object is.
var bookkeeping = []string{"position", "version"}

// Fields lists what a state says, sorted by name; nothing for a nil state. Fields without a value are there, so that two states can be laid
// side by side.
func Fields(state any) ([]Field, error) {
	b, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	var tree any
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	var fields []Field
	flatten("", tree, &fields)
	return slices.DeleteFunc(fields, func(f Field) bool { return slices.Contains(bookkeeping, f.Name) }), nil
}

// Changes lists the fields in which two states differ, sorted by name.
func Changes(before, after any) ([]Change, error) {
	was, err := Fields(before)
	if err != nil {
		return nil, err
	}
	is, err := Fields(after)
	if err != nil {
		return nil, err
	}
	all := map[string]*Change{}
	at := func(name string) *Change {
		if all[name] == nil {
			all[name] = &Change{Name: name}
		}
		return all[name]
	}
	for _, f := range was {
		at(f.Name).Before = f.Value
	}
	for _, f := range is {
		at(f.Name).After = f.Value
	}
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if c := all[name]; c.Before != c.After {
			changes = append(changes, *c)
		}
	}
	return changes, nil
}

func flatten(path string, v any, into *[]Field) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			flatten(strings.TrimPrefix(path+"."+key, "."), v[key], into)
		}
	case []any:
		if words, ok := scalars(v); ok {
			*into = append(*into, Field{path, strings.Join(words, ", ")})
			return
		}
		for i, item := range v {
			flatten(path+"."+strconv.Itoa(i+1), item, into)
		}
	default:
		if text := scalar(v); path != "" {
			*into = append(*into, Field{path, text})
		}
	}
}

func scalars(list []any) ([]string, bool) {
	words := make([]string, len(list))
	for i, v := range list {
		switch v.(type) {
		case map[string]any, []any:
			return nil, false
		}
		words[i] = scalar(v)
	}
	return words, true
}

func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case string:
		if v == "00000000-0000-0000-0000-000000000000" || v == "0001-01-01T00:00:00Z" {
			return ""
		}
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t.UTC().Format("2006-01-02 15:04:05.999999 UTC")
		}
		return v
	}
	return fmt.Sprint(v)
}
