package commands_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// leaves reads the hashes that every proof rests on, and looks for texts in what is stored.
func (w *world) leaves(t testing.TB, texts ...string) (leaves [][32]byte) {
	t.Helper()
	s := w.stores[0]
	rows, err := s.Pool().Query(t.Context(), `select distinct stream from events order by stream`)
	must(t, err)
	defer rows.Close()
	var streams []uuid.UUID
	for rows.Next() {
		var id uuid.UUID
		must(t, rows.Scan(&id))
		streams = append(streams, id)
	}
	for _, id := range streams {
		events, err := s.ReadStream(t.Context(), id, 0)
		must(t, err)
		for _, e := range events {
			if e.Name == "PersonErased" {
				continue
			}
			leaves = append(leaves, e.Leaf())
			for _, text := range texts {
				if bytes.Contains(e.Record(), []byte(text)) {
					t.Errorf("%s holds %q", e.Name, text)
				}
			}
		}
	}
	return leaves
}

// TestErasingAPersonLeavesEveryEventAsItWas: who somebody was is sealed, can be opened, and after the erasure cannot, while not a byte of
// the log has changed.
func TestErasingAPersonLeavesEveryEventAsItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	ada := uuid.New()
	who := commands.Identity{Email: "ada.lovelace@msp.example", Name: "Ada Lovelace"}
	describe := commands.DescribePerson{Actor: w.actor(domain.RoleOwner), Person: ada, Identity: who}
	for range 2 { // saying it again changes nothing
		must(t, h.DescribePerson(ctx, describe))
	}
	elsewhere := uuid.New()
	must(t, h.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: elsewhere, Name: "Other", Owner: uuid.New()}))
	must(t, h.DescribePerson(ctx, commands.DescribePerson{Actor: domain.SystemActor(elsewhere), Person: ada, Identity: who}))
	for _, ws := range []uuid.UUID{w.workspace, elsewhere} {
		if got, err := w.handlers[1].PersonIdentity(ctx, ws, ada); err != nil || got != who {
			t.Errorf("the log says %+v, %v; want %+v", got, err, who)
		}
	}
	before := w.leaves(t, "Ada", "Lovelace", "ada.lovelace")
	if n := w.count(t, "PersonDescribed"); n != 2 {
		t.Errorf("%d descriptions, want one in each workspace", n)
	}
	if err := h.DescribePerson(ctx, commands.DescribePerson{Actor: w.actor(domain.RoleManager), Person: ada}); !isKind(err, domain.Forbidden) {
		t.Errorf("a manager describes a person: %v", err)
	}

	for _, want := range []int{2, 0} {
		erased, err := h.ErasePerson(ctx, commands.ErasePerson{Person: ada})
		must(t, err)
		if len(erased) != want {
			t.Errorf("erased in %d workspaces, want %d", len(erased), want)
		}
	}
	if _, err := w.handlers[1].PersonIdentity(ctx, w.workspace, ada); !errors.Is(err, eventstore.ErrErased) {
		t.Errorf("an erased person: %v", err)
	}
	stored, _, err := eventstore.Current[domain.Person](ctx, w.stores[0], domain.PersonStream(w.workspace, ada))
	must(t, err)
	if _, err := w.stores[0].Unseal(ctx, w.workspace, ada, stored.Sealed); !errors.Is(err, eventstore.ErrErased) {
		t.Errorf("what was sealed can be opened: %v", err)
	}
	if err := h.DescribePerson(ctx, describe); !isKind(err, domain.Conflict) {
		t.Errorf("an erased person is described again: %v", err)
	}
	if n := w.count(t, "PersonErased"); n != 2 {
		t.Errorf("%d erasures recorded, want 2", n)
	}
	if !slices.Equal(w.leaves(t), before) {
		t.Error("the erasure changed events that were there before")
	}
	if _, err := h.PersonIdentity(ctx, w.workspace, uuid.New()); !isKind(err, domain.NotFound) {
		t.Errorf("somebody never heard of: %v", err)
	}
}

func TestSealedDataIsBoundToItsSubject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, s := t.Context(), w.stores[0]
	ada, bob := uuid.New(), uuid.New()
	sealed, err := s.Seal(ctx, w.workspace, ada, []byte("Ada"))
	must(t, err)
	again, err := s.Seal(ctx, w.workspace, ada, []byte("Ada"))
	must(t, err)
	if sealed == again {
		t.Error("the same text is sealed to the same bytes: equal people can be told")
	}
	if plain, err := w.stores[1].Unseal(ctx, w.workspace, ada, sealed); err != nil || string(plain) != "Ada" {
		t.Errorf("opened %q, %v", plain, err)
	}
	_, err = s.Seal(ctx, w.workspace, bob, []byte("Bob"))
	must(t, err)
	for name, box := range map[string]string{"another's": sealed, "nothing": "", "no base64": "%", "cut": sealed[:24]} {
		if plain, err := s.Unseal(ctx, w.workspace, bob, box); err == nil {
			t.Errorf("%s was opened as %q", name, plain)
		}
	}
}

// TestErasingAPersonEndsTheirMemberships: an owner who cannot sign in any more does not count as one, and the last one is not erased.
func TestErasingAPersonEndsTheirMemberships(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	ada, grace, elsewhere := uuid.New(), uuid.New(), uuid.New()
	must(t, h.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: elsewhere, Name: "Other", Owner: ada}))
	must(t, h.AddMember(ctx, commands.AddMember{Actor: w.system, Person: ada, Role: domain.RoleOperator}))
	must(t, h.DescribePerson(ctx, commands.DescribePerson{Actor: w.system, Person: ada, Identity: commands.Identity{Name: "Ada"}}))
	_, err := h.ErasePerson(ctx, commands.ErasePerson{Person: ada})
	if refusal, ok := domain.AsRefusal(err); !ok || refusal.Code != "last_owner" || !strings.Contains(err.Error(), `"Other"`) {
		t.Fatalf("the last owner is erased: %v", err)
	}
	if _, err := h.PersonIdentity(ctx, w.workspace, ada); err != nil || w.count(t, "MemberRemoved") != 0 {
		t.Errorf("something was done all the same: %v", err)
	}
	other := domain.SystemActor(elsewhere)
	must(t, h.AddMember(ctx, commands.AddMember{Actor: other, Person: grace, Role: domain.RoleOwner}))
	asked := commands.InviteMember{Actor: other, Person: uuid.New(), Role: domain.RoleOwner, Until: time.Now().Add(time.Hour)}
	must(t, h.InviteMember(ctx, asked))
	for _, person := range []uuid.UUID{ada, ada, asked.Person} {
		_, err := h.ErasePerson(ctx, commands.ErasePerson{Person: person})
		must(t, err)
	}
	if w.count(t, "MemberRemoved") != 2 || w.count(t, "InvitationWithdrawn") != 1 {
		t.Error("the memberships and the invitation have not ended, each once")
	}
	self := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: grace}, Workspace: elsewhere, Role: domain.RoleOwner}
	if err := h.RemoveMember(ctx, commands.RemoveMember{Actor: self, Person: grace}); !isKind(err, domain.Conflict) {
		t.Errorf("the only owner who can still sign in leaves: %v", err)
	}
}
