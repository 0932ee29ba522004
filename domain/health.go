package domain

import "slices"

// Severity says how much a connection is in the way of work, by what its last check found: verification and permission truth. Lifecycle and
// consent are people's decisions and do not count; a check that meets missing consent says so in the verification.
type Severity string

// The severities, the worst first.
const (
	SeverityCritical Severity = "critical" // nothing can start: the check was blocked or ended in error
	SeverityWarning  Severity = "warning"  // something cannot start: not verified, being verified, degraded, or permissions are missing or refused
	SeverityNone     Severity = "healthy"
)

// Severity is the connection's, from verification and permission truth alone. Where it is SeverityNone, the gate's steps 7 and 8 let every released
// operation pass.
func (c ProviderConnection) Severity() Severity {
	switch {
	case c.Verification == VerificationBlocked || c.Verification == VerificationError:
		return SeverityCritical
	case c.Verification != VerificationHealthy || len(c.MissingPermissions()) > 0 || len(c.RefusedPermissions()) > 0:
		return SeverityWarning
	}
	return SeverityNone
}

// PermissionState is what is known about one permission.
type PermissionState string

// What the last check says about a permission.
const (
	PermissionUnknown PermissionState = "unknown" // no check has read what is granted to the app and credential that are in use
	PermissionMissing PermissionState = "missing"
	PermissionRefused PermissionState = "refused" // granted, and refused when it was used
	PermissionGranted PermissionState = "granted"
)

// Permission is what is known about a permission of the connection.
func (c ProviderConnection) Permission(permission string) PermissionState {
	switch {
	case slices.Contains(c.Refused, permission):
		return PermissionRefused
	case slices.Contains(c.Granted, permission):
		return PermissionGranted
	case c.PermissionsKnown():
		return PermissionMissing
	}
	return PermissionUnknown
}

// MissingPermissions are those that released operations need and the last check did not find granted, sorted. While no check has found out
// about permissions, none is known to be missing.
func (c ProviderConnection) MissingPermissions() []string { return c.needed(PermissionMissing) }

// RefusedPermissions are those that released operations need and that the provider refused although they are granted, sorted.
func (c ProviderConnection) RefusedPermissions() []string { return c.needed(PermissionRefused) }

func (c ProviderConnection) needed(p PermissionState) []string {
	return slices.DeleteFunc(NeededPermissions(), func(name string) bool { return c.Permission(name) != p })
}

// PermissionsKnown says whether a check has read the permissions of the app and credential that are in use.
func (c ProviderConnection) PermissionsKnown() bool {
	return c.Verification == VerificationHealthy || c.Verification == VerificationDegraded || len(c.Granted)+len(c.Refused) > 0
}

// NeededPermissions are those of all released operations but the check itself, sorted.
func NeededPermissions() []string {
	var all []string
	for _, o := range Catalogue() {
		if !o.Check {
			all = append(all, o.Permissions...)
		}
	}
	return sorted(all)
}
