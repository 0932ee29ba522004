package commands_test

import (
	"testing"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

// TestAPreviewChangesNothing asks for changes as an owner who looks at the console as a role: also what no button posts, such as taking
// evidence out, is refused, in the order of 404 and 403; a forecast is answered.
func TestAPreviewChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, ctx := w.handlers[0], t.Context()
	me := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Workspace: w.workspace, Role: domain.RoleOwner}
	as := me.As(domain.RoleOperator, domain.Capabilities(domain.RoleOperator), nil)
	start := commands.Start{Actor: as, Tenant: w.tenant.ExternalID, Operation: domain.OpGroupsSync}
	if r, err := h.Forecast(ctx, start); err != nil || r.Outcome != domain.Accepted {
		t.Errorf("a forecast in a preview: %v, %v", r.Outcome, err)
	}
	_, started := h.Start(ctx, start)
	elsewhere := start
	elsewhere.Tenant = uuid.New()
	_, hidden := h.Start(ctx, elsewhere)
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"start":           {started, "preview"},
		"start elsewhere": {hidden, "not_found"},
		"evidence":        {h.ExportEvidence(ctx, commands.ExportEvidence{Actor: as, Evidence: domain.EvidenceExported{Tenant: w.tenant.ID}}), "preview"},
		"rename":          {h.RenameWorkspace(ctx, commands.RenameWorkspace{Actor: as, Name: "x"}), "forbidden"},
		"rename as owner": {h.RenameWorkspace(ctx, commands.RenameWorkspace{Actor: me.As(domain.RoleOwner, domain.Capabilities(domain.RoleOwner), nil), Name: "x"}), "preview"},
		"rename for real": {h.RenameWorkspace(ctx, commands.RenameWorkspace{Actor: me, Name: "x"}), ""},
	} {
		refusal, refused := domain.AsRefusal(c.err)
		if refused != (c.code != "") || refused && refusal.Code != c.code || !refused && c.err != nil {
			t.Errorf("%s: %v, want %q", name, c.err, c.code)
		}
	}
}
