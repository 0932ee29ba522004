package view_test

import (
	"testing"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/projections"
)

func TestDaysUntilACredentialEnds(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		left time.Duration
		days int
		text string
		tone view.Tone
		near bool
	}{
		{90 * 24 * time.Hour, 90, "Secret expires in 90 days", view.Neutral, false},
		{30 * 24 * time.Hour, 30, "Secret expires in 30 days", view.Warning, true},
		{6*24*time.Hour + time.Minute, 7, "Secret expires in 7 days", view.Negative, true},
		{time.Minute, 1, "Secret expires within a day", view.Negative, true},
		{0, 0, "Secret has expired", view.Stop, true},
		{-time.Hour, 0, "Secret has expired", view.Stop, true},
	} {
		end := at.Add(c.left)
		e := view.ExpiryOf(projections.Connection{CredentialKind: "secret", CredentialExpiresAt: &end})
		if e.Days(at) != c.days || e.Text(at) != c.text || e.Tone(at) != c.tone || e.Near(at) != c.near {
			t.Errorf("%s: %d %q %s %v", c.left, e.Days(at), e.Text(at), e.Tone(at), e.Near(at))
		}
	}
	if view.ExpiryOf(projections.Connection{}) != nil {
		t.Error("a credential without an end has one")
	}
}
