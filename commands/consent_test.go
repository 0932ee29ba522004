package commands_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
)

// TestAGrantIsRecordedWithItsCheck: one append has the grant and what became of the check, whatever that is.
func TestAGrantIsRecordedWithItsCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before func(*testing.T, *world)
		want   []string
	}{
		"free":    {func(*testing.T, *world) {}, []string{"ConsentGranted.v2", "RunAccepted", "ScopeAcquired", "VerificationStarted"}},
		"in use":  {begin(domain.OpGroupsSync), []string{"ConsentGranted.v2", "ScopeBusy", "StartReserved"}},
		"checked": {begin(domain.OpConnectionCheck), []string{"ConsentGranted.v2", "RunDeduped", "StartReserved"}},
		"in use, with as many waiting as may": {func(t *testing.T, w *world) {
			begin(domain.OpGroupsSync)(t, w)
			for range domain.MostReservations {
				c := w.start(domain.OpGroupsSync)
				c.Inputs = map[string]string{"selectionKey": uuid.NewString()}
				_, _, err := w.handlers[0].Reserve(t.Context(), commands.Reserve{Start: c})
				must(t, err)
			}
		}, []string{"ConsentGranted.v2", "ScopeBusy"}},
		"on hold": {func(t *testing.T, w *world) {
			must(t, w.handlers[0].HoldConnection(t.Context(), commands.HoldConnection{Actor: w.system, Connection: w.conn.Number, Reason: "audit"}))
		}, []string{"ConsentGranted.v2", "StartBlocked tenant_on_hold"}},
		"disabled": {func(t *testing.T, w *world) {
			must(t, w.handlers[0].SetConnectionEnabled(t.Context(), commands.SetConnectionEnabled{Actor: w.system, Connection: w.conn.Number, Reason: "audit"}))
		}, []string{"ConsentGranted.v2", "StartBlocked provider_connection_disabled"}},
		"without a credential": {func(t *testing.T, w *world) {
			conn, err := w.handlers[0].CreateConnection(t.Context(), commands.CreateConnection{
				Actor: w.system, Tenant: w.tenant.ExternalID, DisplayName: "New", ConnectionType: "platform", AppID: w.conn.AppID,
			})
			must(t, err)
			w.conn = conn
		}, []string{"ConsentGranted.v2", "StartBlocked provider_credential_missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tc.before(t, w)
			finish := commands.FinishConsent{
				Actor: w.actor(domain.RoleManager), Connection: w.conn.Number, State: uuid.New(), ConsentAnswer: domain.ConsentAnswer{App: w.conn.AppID},
			}
			seq, err := w.handlers[0].FinishConsent(t.Context(), finish)
			must(t, err)
			again, err := w.handlers[1].FinishConsent(t.Context(), finish)
			if err != nil || again != seq {
				t.Errorf("the same answer again: %d, %v; want %d", again, err, seq)
			}
			var got []string
			must(t, w.stores[0].Pool().QueryRow(t.Context(), `select array_agg(trim(name || ' ' || coalesce(payload ->> 'reason', '')) order by name) from events
				where xmin = (select xmin from events where seq = $1)`, seq).Scan(&got)) // what one transaction wrote
			if !slices.Equal(got, tc.want) {
				t.Errorf("one append has %v, want %v", got, tc.want)
			}
			if n := w.count(t, "ConsentGranted.v2"); n != 2 { // the fixture's is one
				t.Errorf("%d grants", n)
			}
		})
	}
}

func begin(op domain.OperationType) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		_, err := w.handlers[0].Start(t.Context(), w.start(op))
		must(t, err)
	}
}

// TestConsentNeedsTheRightToCheck: who could not check what was answered cannot ask for it, nor have an answer recorded.
func TestConsentNeedsTheRightToCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, h := t.Context(), w.handlers[0]
	half := w.actor("half")
	for _, half.Capabilities = range [][]domain.Capability{{domain.CapView, domain.CapProviderManage}, {domain.CapView, domain.CapProviderVerify}} {
		before := w.events(t)
		_, err := h.RequestConsent(ctx, commands.RequestConsent{Actor: half, Connection: w.conn.Number})
		_, err2 := h.FinishConsent(ctx, commands.FinishConsent{
			Actor: half, Connection: w.conn.Number, ConsentAnswer: domain.ConsentAnswer{App: w.conn.AppID},
		})
		if !isKind(err, domain.Forbidden) || !isKind(err2, domain.Forbidden) || w.events(t) != before {
			t.Errorf("with %v: asking %v, answer %v, %d events", half.Capabilities, err, err2, w.events(t)-before)
		}
	}
}
