package graphsim

import (
	"net/http"
	"slices"
	"time"
)

// Scenarios by name. A scenario is how a tenant behaves; its data stays the same.
const (
	ScenarioHealthy             = "healthy"
	ScenarioSlow                = "slow"                 // every listing takes its time
	ScenarioThrottled           = "throttled"            // 429 with Retry-After, then success
	ScenarioThrottledNoHeader   = "throttled_no_header"  // 429 without Retry-After, then success
	ScenarioForbidden           = "forbidden"            // every Graph call is refused
	ScenarioExpiredSecret       = "expired_secret"       // AADSTS7000222
	ScenarioCredentialExpired   = "credential_expired"   // the same by its demo name
	ScenarioWrongSecret         = "wrong_secret"         // AADSTS7000215
	ScenarioNoConsent           = "no_consent"           // AADSTS65001
	ScenarioConsentRequired     = "consent_required"     // the same by its demo name
	ScenarioConsentRevoked      = "consent_revoked"      // AADSTS65001 where consent had been given
	ScenarioConsentDenied       = "consent_denied"       // AADSTS65001, and the consent page refuses whatever is clicked
	ScenarioConsentElsewhere    = "consent_elsewhere"    // AADSTS65001, and the consent page answers for another directory
	ScenarioConsentSpreading    = "consent_spreading"    // AADSTS65001, and for some sign-ins after consent still
	ScenarioAppNotInstalled     = "app_not_installed"    // AADSTS700016
	ScenarioAppDisabled         = "app_disabled"         // AADSTS7000112
	ScenarioVerificationBlocked = "verification_blocked" // AADSTS53003
	ScenarioPermissionMissing   = "permission_missing"   // GroupMember.Read.All is not granted
	ScenarioLicenseMissing      = "license_missing"      // directory roles need a licence
	ScenarioUnavailable         = "unavailable"          // 503 without end
	ScenarioHang                = "hang"                 // no answer
	ScenarioMalformed           = "malformed"            // listings answer broken JSON
	ScenarioOversized           = "oversized"            // listings answer more than any client reads
	ScenarioHostileNextLink     = "hostile_nextlink"     // nextLink leads to another host
	ScenarioRedirect            = "redirect"             // listings answer 302 to another host
	ScenarioDeltaExpired        = "delta_expired"        // saved delta links answer 410
	ScenarioOtherDirectory      = "other_directory"      // answers under another directory's id
	ScenarioDisabled            = "disabled"             // healthy; the connection is disabled on our side
	ScenarioNoConnection        = "no_connection"        // healthy; there is no connection on our side
)

// Scenarios lists the known names, sorted.
func Scenarios() []string {
	all := []string{
		ScenarioHealthy, ScenarioSlow, ScenarioThrottled, ScenarioThrottledNoHeader, ScenarioForbidden,
		ScenarioExpiredSecret, ScenarioCredentialExpired, ScenarioWrongSecret, ScenarioNoConsent,
		ScenarioConsentRequired, ScenarioConsentRevoked, ScenarioConsentDenied, ScenarioConsentElsewhere, ScenarioConsentSpreading,
		ScenarioAppNotInstalled, ScenarioAppDisabled,
		ScenarioVerificationBlocked, ScenarioPermissionMissing, ScenarioLicenseMissing, ScenarioUnavailable,
		ScenarioHang, ScenarioMalformed, ScenarioOversized, ScenarioHostileNextLink, ScenarioRedirect,
		ScenarioDeltaExpired, ScenarioOtherDirectory, ScenarioDisabled, ScenarioNoConnection,
	}
	slices.Sort(all)
	return all
}

// refusal is how the sign-in endpoint says no.
type refusal struct {
	status int
	err    string
	number int
	text   string
}

// Texts are shaped after "Microsoft identity platform error codes"; like the real ones they name the
// application and the tenant, which clients must not pass on.
var (
	unknownTenant = refusal{http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."}
	unknownApp    = refusal{http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '{app}' was not found in the directory '{tenant}'."}
	wrongSecret   = refusal{http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided for app '{app}'. Ensure the secret being sent is the client secret value."}
	missingSecret = refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'client_secret'."}
	expiredSecret = refusal{http.StatusUnauthorized, "invalid_client", 7000222, "The provided client secret keys for app '{app}' are expired."}
	noConsent     = refusal{http.StatusBadRequest, "invalid_grant", 65001, "The administrator of '{tenant}' has not consented to use the application with ID '{app}'."}
)

// tokenRefusals are the scenarios that end at the sign-in endpoint.
var tokenRefusals = map[string]refusal{
	ScenarioExpiredSecret:       expiredSecret,
	ScenarioCredentialExpired:   expiredSecret,
	ScenarioWrongSecret:         wrongSecret,
	ScenarioNoConsent:           noConsent,
	ScenarioConsentRequired:     noConsent,
	ScenarioConsentRevoked:      noConsent,
	ScenarioConsentDenied:       noConsent,
	ScenarioConsentElsewhere:    noConsent,
	ScenarioConsentSpreading:    noConsent,
	ScenarioAppNotInstalled:     unknownApp,
	ScenarioAppDisabled:         {http.StatusBadRequest, "unauthorized_client", 7000112, "Application '{app}' is disabled."},
	ScenarioVerificationBlocked: {http.StatusBadRequest, "invalid_grant", 53003, "Access to '{app}' has been blocked by Conditional Access policies of '{tenant}'."},
}

// tenant is a registered tenant and what has happened to it. Guarded by Server.mu.
type tenant struct {
	registered Tenant // as AddTenant got it; reset goes back to it
	Tenant

	latency *time.Duration // set over HTTP
	hold    chan time.Time // open while held; nil otherwise

	generation int // how many rounds of changes the groups have seen
	epoch      int // delta links of an earlier epoch are expired

	consented bool // scenario consent_spreading: accepted
	spread    int  // and this many sign-ins do not see it yet

	notBefore time.Time // the latest Retry-After instant given out
	waiting   int       // answers held back at present
}

func (t *tenant) release() {
	if t.hold != nil {
		close(t.hold)
		t.hold = nil
	}
}

// reset goes back to the registered state; saved delta links expire.
func (t *tenant) reset() {
	t.release()
	t.Tenant, t.latency, t.generation, t.notBefore = t.registered, nil, 0, time.Time{}
	t.consented, t.spread = false, 0
	t.epoch++
}

// granted lists the permissions in force: one scenario withholds one.
func (t *tenant) granted() []string {
	if t.Scenario != ScenarioPermissionMissing {
		return t.Permissions
	}
	return slices.DeleteFunc(slices.Clone(t.Permissions), func(p string) bool { return p == "GroupMember.Read.All" })
}
