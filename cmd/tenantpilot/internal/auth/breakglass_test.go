package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/auth"
)

func TestBreakGlassPasswords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	on := auth.New(f.pool, auth.Config{Now: f.now, BreakGlass: true})
	ctx := t.Context()
	for password, want := range map[string]error{
		"thirteen chrs": auth.ErrPasswordShort, "": auth.ErrPasswordShort, "äöüäöüäöüäöüä": auth.ErrPasswordShort, // 13 of two bytes
		strings.Repeat("x", 1025): auth.ErrPasswordLong, "fourteen chars": nil,
	} {
		if err := on.SetBreakGlass(ctx, f.ada, password); !errors.Is(err, want) {
			t.Errorf("%q: %v", password, err)
		}
	}
	if err := on.SetBreakGlass(ctx, uuid.New(), "fourteen chars"); !errors.Is(err, auth.ErrNoPerson) {
		t.Errorf("for nobody: %v", err)
	}
	var phc string
	must(t, f.pool.QueryRow(ctx, `select phc from break_glass where person = $1`, f.ada).Scan(&phc))
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=65536,t=3,p=1$") || strings.Contains(phc, "fourteen") {
		t.Errorf("stored as %s", phc)
	}
	who, err := on.CheckBreakGlass(ctx, " ADA@example.com", "fourteen chars", "test")
	if err != nil || who.Person != f.ada || len(who.Workspaces) != 2 {
		t.Errorf("right: %+v %v", who, err)
	}
	if _, err := f.auth.CheckBreakGlass(ctx, "ada@example.com", "fourteen chars", "test"); !errors.Is(err, auth.ErrWrongPassword) {
		t.Errorf("where it is off: %v", err)
	}
	// Whoever can write to the table cannot make a password cost the machine.
	for _, bad := range []string{
		"", "x", strings.Replace(phc, "m=65536", "m=4000000000", 1), strings.Replace(phc, "t=3", "t=999", 1), strings.Replace(phc, "argon2id", "argon2i", 1),
		strings.Replace(phc, "v=19", "v=16", 1), strings.Replace(phc, "p=1", "p=0", 1), phc + "$", phc[:len(phc)-4],
	} {
		f.exec(t, `update break_glass set phc = $1`, bad)
		if _, err := on.CheckBreakGlass(ctx, "ada@example.com", "fourteen chars", "test"); err == nil || errors.Is(err, auth.ErrWrongPassword) || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("stored as %q: %v", bad, err)
		}
	}
	// An erased person has no account.
	grace := f.person(t, "grace@example.com", false)
	must(t, on.SetBreakGlass(ctx, grace, "fourteen chars"))
	f.exec(t, `insert into sign_in_bindings (issuer, subject, person, bound_at, used_at) values ('i', 's', $1, now(), now())`, grace)
	must(t, on.ErasePerson(ctx, grace))
	if n := f.count(t, `select count(*) from break_glass b full join sign_in_bindings s on s.person = b.person where coalesce(b.person, s.person) = $1`, grace); n != 0 {
		t.Errorf("%d rows of an erased person", n)
	}
	if gone, err := on.RemoveBreakGlass(ctx, f.ada); !gone || err != nil {
		t.Errorf("remove: %v %v", gone, err)
	}
	if gone, err := on.RemoveBreakGlass(ctx, f.ada); gone || err != nil {
		t.Errorf("remove again: %v %v", gone, err)
	}
}
