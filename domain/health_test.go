package domain

import (
	"slices"
	"testing"
)

// TestSeverityTellsTheGatesStory: for every combination of verification and permission truth the severity, which the directory counts, and
// the gate, which operators meet, say the same: healthy lets every released operation start, critical none, a warning leaves some out.
func TestSeverityTellsTheGatesStory(t *testing.T) {
	t.Parallel()
	needed := NeededPermissions()
	truths := map[string]struct{ granted, refused []string }{
		"everything": {needed, nil}, "nothing": {nil, nil}, "the first is missing": {needed[1:], nil}, "the first is refused": {needed, needed[:1]},
		"other ones are refused": {needed, []string{"Policy.Read.All"}}, "more than needed": {append(slices.Clone(needed), "Mail.Read"), nil},
	}
	for _, v := range []VerificationState{
		VerificationUnknown, VerificationPending, VerificationHealthy, VerificationDegraded, VerificationBlocked, VerificationError,
	} {
		for name, truth := range truths {
			c := Fold(ProviderConnection{}, given()...)
			c.Verification, c.Granted, c.Refused = v, truth.granted, truth.refused
			started, all := 0, 0
			for _, o := range Catalogue() {
				if o.Check {
					continue
				}
				all++
				d := Start(Situation{Tenant: sampleTenant(), Connection: c}, attemptOf(o.Type))
				if d.Outcome == Accepted {
					started++
				}
			}
			severity := c.Severity()
			switch {
			case severity == SeverityNone && started != all,
				severity == SeverityCritical && started != 0,
				severity != SeverityNone && v == VerificationHealthy && started == all,
				started == all && severity == SeverityCritical:
				t.Errorf("%s, %s is %s, but %d of %d operations start", v, name, severity, started, all)
			}
			if missing := c.MissingPermissions(); severity == SeverityNone && len(missing)+len(c.RefusedPermissions()) > 0 {
				t.Errorf("%s, %s is %s with %v missing", v, name, severity, missing)
			}
		}
	}
}

func TestMissingPermissions(t *testing.T) {
	t.Parallel()
	needed := NeededPermissions()
	if len(needed) < 2 || !slices.IsSorted(needed) {
		t.Fatalf("needed are %v", needed)
	}
	for name, c := range map[string]struct {
		connection ProviderConnection
		missing    []string
	}{
		"before the first check nothing is known":       {newConnection(), nil},
		"all are granted":                               {readyConnection(), nil},
		"one is not":                                    {ProviderConnection{Verification: VerificationDegraded, Granted: needed[1:]}, needed[:1]},
		"a check that found none":                       {ProviderConnection{Verification: VerificationDegraded}, needed},
		"a check that was blocked before it could look": {ProviderConnection{Verification: VerificationBlocked}, nil},
		"what was known stays while a check is pending": {ProviderConnection{Verification: VerificationPending, Granted: needed[1:]}, needed[:1]},
	} {
		if got := c.connection.MissingPermissions(); !slices.Equal(got, c.missing) {
			t.Errorf("%s: %v, want %v", name, got, c.missing)
		}
	}
}

// TestGrantOfAPermission: nothing is called missing that nobody looked for, nor what is granted and was refused.
func TestGrantOfAPermission(t *testing.T) {
	t.Parallel()
	const p = "GroupMember.Read.All"
	rotated := readyConnection().Evolve(CredentialRotated{Credential{Kind: CredentialSecret, Fingerprint: "another"}})
	another := readyConnection().Evolve(ConnectionChanged{DisplayName: "Contoso", ConnectionType: "dedicated", AppID: "another"})
	for name, c := range map[string]struct {
		connection ProviderConnection
		want       PermissionState
	}{
		"granted":                                 {readyConnection(), PermissionGranted},
		"before the first check":                  {newConnection(), PermissionUnknown},
		"with another credential":                 {rotated, PermissionUnknown},
		"with another application":                {another, PermissionUnknown},
		"a check that could not sign in":          {ProviderConnection{Verification: VerificationBlocked}, PermissionUnknown},
		"refused":                                 {ProviderConnection{Verification: VerificationDegraded, Granted: []string{p}, Refused: []string{p}}, PermissionRefused},
		"refused where grants cannot be read":     {ProviderConnection{Verification: VerificationBlocked, Refused: []string{p}}, PermissionRefused},
		"a check that found others":               {ProviderConnection{Verification: VerificationDegraded, Granted: []string{"Mail.Read"}}, PermissionMissing},
		"a check that works and found none of it": {ProviderConnection{Verification: VerificationDegraded}, PermissionMissing},
	} {
		if got := c.connection.Permission(p); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if missing := slices.Contains(c.connection.MissingPermissions(), p); missing != (c.want == PermissionMissing) {
			t.Errorf("%s: it is %s, and among the missing: %v", name, c.want, missing)
		}
	}
}
