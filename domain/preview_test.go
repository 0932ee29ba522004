package domain

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// TestAPreviewNeverGivesMore draws actors and roles: what the preview may do and see, the actor and the role both may.
func TestAPreviewNeverGivesMore(t *testing.T) {
	t.Parallel()
	all := append(slices.Clone(Capabilities(RoleOwner)), CapSystem, CapPlatformDirectory)
	known := []uuid.UUID{sampleID("a"), sampleID("b"), sampleID("c")}
	workspace := sampleID("workspace")
	rapid.Check(t, func(t *rapid.T) {
		tenants := func(label string) []uuid.UUID {
			if rapid.Bool().Draw(t, label+": all") {
				return nil
			}
			return rapid.SliceOfDistinct(rapid.SampledFrom(known), func(id uuid.UUID) uuid.UUID { return id }).Draw(t, label)
		}
		caps := rapid.SliceOfDistinct(rapid.SampledFrom(all), func(c Capability) Capability { return c })
		a := Actor{Ref: ActorRef{Kind: ActorPerson, ID: sampleID("kim")}, Workspace: workspace, Role: "custom", Capabilities: caps.Draw(t, "caps"), Tenants: tenants("tenants")}
		role := caps.Draw(t, "role")
		scope := tenants("scope")
		as := a.As("looked-at", role, scope)
		if as.Ref != a.Ref || as.Workspace != a.Workspace || !as.Preview {
			t.Fatalf("the preview is somebody else's: %+v", as)
		}
		for _, c := range all {
			if as.May(c) != (a.May(c) && slices.Contains(role, c)) {
				t.Fatalf("may %s: %v", c, as.May(c))
			}
		}
		for _, id := range known {
			if as.Sees(workspace, id) != (a.Sees(workspace, id) && (scope == nil || slices.Contains(scope, id))) {
				t.Fatalf("sees %s: %v", id, as.Sees(workspace, id))
			}
		}
	})
}
