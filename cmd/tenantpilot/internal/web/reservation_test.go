package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

func reservePath(c *console, op domain.OperationType) string {
	return strings.TrimSuffix(startPath(c.contoso, op), "start") + "reserve"
}

// TestAStartWaitsForItsConnection: what was answered scope_busy offers to wait; the wait is shown where its holder is, and can be withdrawn.
func TestAStartWaitsForItsConnection(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	holder := c.hold(t, domain.OpGroupsSync)
	program, browser := c.program(t, "operator"), c.browser(t, "operator")
	reserve := reservePath(c, domain.OpRoleDefinitionsSync)

	offered := browser.send(t, "POST", startPath(c.contoso, domain.OpRoleDefinitionsSync), form(url.Values{"attempt_id": {uuid.NewString()}}))
	if !strings.Contains(offered.text(), "Start when free") || !strings.Contains(offered.text(), reserve) {
		t.Errorf("the busy answer offers no waiting: %s", clip(offered.body))
	}
	asked := jsonBody(`{}`).with("Idempotency-Key", uuid.NewString())
	first, again := program.send(t, "POST", reserve, asked), program.send(t, "POST", reserve, asked)
	var got struct {
		Reservation string
		HolderRunID int64
	}
	if err := json.Unmarshal(first.body, &got); err != nil || got.HolderRunID != holder.RunNumber || first.text() != again.text() {
		t.Fatalf("reserved %s, then %s; want the same, behind run %d (%v)", first.body, again.body, holder.RunNumber, err)
	}
	c.settle(t)
	for name, sees := range map[string]bool{"operator": true, "readonly": true, "stranger": false, "limited": false} {
		hub := c.browser(t, name).send(t, "GET", "/admin/operations")
		if strings.Contains(hub.text(), "reservation-"+got.Reservation) != sees {
			t.Errorf("%s: the hub shows what waits: %v, want %v", name, !sees, sees)
		}
	}
	if page := browser.send(t, "GET", runPath(holder.RunNumber)); !strings.Contains(page.text(), "reservation-"+got.Reservation) {
		t.Error("the holder's page does not show what waits behind it")
	}

	cancel := fmt.Sprintf("/admin/provider-connections/%d/reservations/%s/cancel", c.conn.Number, got.Reservation)
	for name, want := range map[string]int{"readonly": 403, "limited": 404, "stranger": 404, "platform": 404} {
		if r := c.program(t, name).send(t, "POST", cancel); r.status != want {
			t.Errorf("%s withdraws: %d, want %d", name, r.status, want)
		}
	}
	if r := browser.send(t, "POST", cancel, form(nil)); r.status != http.StatusSeeOther {
		t.Errorf("withdraw: %d, want 303", r.status)
	}
	if r := program.send(t, "POST", cancel); r.status != http.StatusConflict {
		t.Errorf("withdraw again: %d, want 409", r.status)
	}
	c.free(t, holder.Run)
	for _, w := range []struct {
		who, body string
		op        domain.OperationType
		want      int
	}{
		{"operator", `{}`, domain.OpGroupsSync, 409},
		{"operator", `{}`, "unheard.of", 404},
		{"readonly", `{"sourceSurface":7}`, domain.OpGroupsSync, 403},
		{"operator", `{"sourceSurface":7}`, domain.OpGroupsSync, 400},
		{"stranger", `{"sourceSurface":7}`, domain.OpGroupsSync, 404},
	} {
		if r := c.program(t, w.who).send(t, "POST", reservePath(c, w.op), jsonBody(w.body)); r.status != w.want {
			t.Errorf("%s reserves %s with %s: %d, want %d", w.who, w.op, w.body, r.status, w.want)
		}
	}
}
