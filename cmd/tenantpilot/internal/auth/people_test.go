package auth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"tenantpilot/cmd/tenantpilot/internal/auth"
)

// TestAnErasedPersonIsGone: no name, no address, no way in; asking again changes nothing; others stay as they are.
func TestAnErasedPersonIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token, other := f.token(t, f.ada, f.contoso), f.person(t, "bob@example.com", false)
	browser := f.signedIn(t, f.ada)
	found, err := f.auth.FindPerson(t.Context(), " ADA@example.com")
	if err != nil || found != f.ada {
		t.Fatalf("found %v, %v", found, err)
	}
	for range 2 {
		if err := f.auth.ErasePerson(t.Context(), f.ada); err != nil {
			t.Fatal(err)
		}
	}
	var people string
	if err := f.pool.QueryRow(t.Context(), `select string_agg(p::text, ' ') from people p where id = $1`, f.ada).Scan(&people); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(people), "ada@") || !strings.Contains(people, "erased") {
		t.Errorf("what is left: %s", people)
	}
	if v := f.actor(t, token); v.Role != "" {
		t.Errorf("the token still opens the console: %+v", v)
	}
	if r := browser.send(t, "GET", "/who", nil); r.status == http.StatusOK && strings.Contains(r.body, "Contoso") {
		t.Errorf("the session still opens the console: %+v", r)
	}
	if _, err := f.auth.FindPerson(t.Context(), "ada@example.com"); !errors.Is(err, auth.ErrNoPerson) {
		t.Errorf("still found by address: %v", err)
	}
	if id, err := f.auth.FindPerson(t.Context(), other.String()); err != nil || id != other {
		t.Errorf("somebody else: %v, %v", id, err)
	}
}
