package domain

import (
	"testing"
	"time"
)

// TestEveryThresholdIsWarnedOnce walks a credential's last 40 days in steps, with a night in which nobody looked.
func TestEveryThresholdIsWarnedOnce(t *testing.T) {
	t.Parallel()
	end := now.AddDate(0, 0, 40)
	c := Fold(ProviderConnection{}, given(CredentialRotated{Credential{Kind: "secret", Fingerprint: "bb", ExpiresAt: end}})...)
	look := func(w ExpiryWatch, at time.Time) (ExpiryWatch, int) {
		events := w.Warn(c, at)
		if len(events) == 0 {
			return w, 0
		}
		return Fold(w, events...), events[0].(CredentialExpiring).Days
	}
	var w ExpiryWatch
	var warned []int
	for at := now; at.Before(end.Add(48 * time.Hour)); at = at.Add(5 * time.Hour) {
		left := end.Sub(at)
		if left < 20*24*time.Hour && left > 6*24*time.Hour { // the fourteen days pass unseen
			continue
		}
		var days int
		if w, days = look(w, at); days != 0 {
			warned = append(warned, days)
			if left > time.Duration(days)*24*time.Hour || left <= 0 {
				t.Errorf("warned of %d days with %s left", days, left)
			}
		}
	}
	if len(warned) != 3 || warned[0] != 30 || warned[1] != 7 || warned[2] != 1 {
		t.Errorf("warned at %v, want 30, 7, 1", warned)
	}
	c = c.Evolve(CredentialRotated{Credential{Kind: "secret", Fingerprint: "cc", ExpiresAt: end.AddDate(0, 0, 10)}})
	if _, days := look(w, end); days != 14 {
		t.Errorf("a new credential is warned of at %d days", days)
	}
	for name, quiet := range map[string]ProviderConnection{
		"none":     {},
		"disabled": c.Evolve(ConnectionDisabled{"x"}),
		"endless":  c.Evolve(CredentialRotated{Credential{Kind: "federated", Fingerprint: "dd"}}),
		"far":      c.Evolve(CredentialRotated{Credential{Kind: "secret", Fingerprint: "ee", ExpiresAt: end.AddDate(1, 0, 0)}}),
	} {
		if events := (ExpiryWatch{}).Warn(quiet, end); len(events) != 0 {
			t.Errorf("%s: %v", name, events)
		}
	}
}
