package domain

import (
	"net/url"
	"slices"
	"strings"
)

// ReasonCode is the stable name of why something did not go ahead, or why it waits. Codes are lower
// snake case, are stored in events, and are never renamed once released: wording may change, a code
// may not.
type ReasonCode string

// Why a start is refused before anything is sent (the order of domain decisions: connection, hold,
// review, lifecycle, credential, consent, verification, permission).
const (
	ReasonProviderConnectionMissing        ReasonCode = "provider_connection_missing"
	ReasonTenantOnHold                     ReasonCode = "tenant_on_hold"
	ReasonProviderConnectionReviewRequired ReasonCode = "provider_connection_review_required"
	ReasonProviderConnectionDisabled       ReasonCode = "provider_connection_disabled"
	ReasonProviderCredentialMissing        ReasonCode = "provider_credential_missing"
	ReasonProviderCredentialExpired        ReasonCode = "provider_credential_expired"
	ReasonProviderConsentMissing           ReasonCode = "provider_consent_missing"
	ReasonProviderConsentFailed            ReasonCode = "provider_consent_failed"
	ReasonProviderConsentRevoked           ReasonCode = "provider_consent_revoked"
	ReasonProviderVerificationRequired     ReasonCode = "provider_verification_required"
	ReasonProviderVerificationPending      ReasonCode = "provider_verification_pending"
	ReasonProviderVerificationBlocked      ReasonCode = "provider_verification_blocked"
	ReasonProviderVerificationDegraded     ReasonCode = "provider_verification_degraded"
	ReasonProviderPermissionMissing        ReasonCode = "provider_permission_missing"
	ReasonProviderPermissionDenied         ReasonCode = "provider_permission_denied"
	ReasonRestorePlanChanged               ReasonCode = "restore_plan_changed"
)

// What signing in to a customer's directory can answer.
const (
	ReasonProviderCredentialInvalid          ReasonCode = "provider_credential_invalid"
	ReasonProviderAuthFailed                 ReasonCode = "provider_auth_failed"
	ReasonProviderAppNotInstalled            ReasonCode = "provider_app_not_installed"
	ReasonProviderAppDisabled                ReasonCode = "provider_app_disabled"
	ReasonProviderAppMisconfigured           ReasonCode = "provider_app_misconfigured"
	ReasonProviderConsentDenied              ReasonCode = "provider_consent_denied"
	ReasonProviderPartnerAccessMissing       ReasonCode = "provider_partner_access_missing"
	ReasonProviderServiceUnavailableInTenant ReasonCode = "provider_service_unavailable_in_tenant"
	ReasonProviderTenantNotFound             ReasonCode = "provider_tenant_not_found"
	ReasonProviderWrongCloud                 ReasonCode = "provider_wrong_cloud"
	ReasonProviderBlockedByTenantPolicy      ReasonCode = "provider_blocked_by_tenant_policy"
	ReasonTenantTargetMismatch               ReasonCode = "tenant_target_mismatch"
	ReasonConsentStateInvalid                ReasonCode = "consent_state_invalid"
	ReasonPlatformClockSkew                  ReasonCode = "platform_clock_skew"
	ReasonPlatformTokenLoop                  ReasonCode = "platform_token_loop"
)

// What a call to the provider can answer.
const (
	ReasonProviderRateLimited                 ReasonCode = "provider_rate_limited"
	ReasonProviderUnavailable                 ReasonCode = "provider_unavailable"
	ReasonProviderUnreachable                 ReasonCode = "provider_unreachable"
	ReasonProviderLicenseMissing              ReasonCode = "provider_license_missing"
	ReasonProviderOperationUnsupported        ReasonCode = "provider_operation_unsupported"
	ReasonProviderOperationUnsupportedAppOnly ReasonCode = "provider_operation_unsupported_app_only"
	ReasonProviderApprovalRequired            ReasonCode = "provider_approval_required"
	ReasonProviderApprovalPending             ReasonCode = "provider_approval_pending"
	ReasonProviderApprovalRejected            ReasonCode = "provider_approval_rejected"
	ReasonProviderApprovalExpired             ReasonCode = "provider_approval_expired"
	ReasonProviderObjectNotFound              ReasonCode = "provider_object_not_found"
	ReasonProviderObjectChanged               ReasonCode = "provider_object_changed"
	ReasonProviderObjectLocked                ReasonCode = "provider_object_locked"
	ReasonProviderRequestInvalid              ReasonCode = "provider_request_invalid"
	ReasonProviderResponseInvalid             ReasonCode = "provider_response_invalid"
	ReasonProviderWriteUnconfirmed            ReasonCode = "provider_write_unconfirmed"
	ReasonDirectoryDeltaExpired               ReasonCode = "directory_delta_expired"
)

// What can happen to a run on our side.
const (
	ReasonDispatchFailed      ReasonCode = "dispatch_failed"
	ReasonRunLeaseLost        ReasonCode = "run_lease_lost"
	ReasonCancelledByOperator ReasonCode = "cancelled_by_operator"
	ReasonInternalError       ReasonCode = "internal_error"
)

// ReasonFamily groups codes that a reader treats alike, in filters and in counts.
type ReasonFamily string

// The fixed set of families.
const (
	FamilyConnection   ReasonFamily = "connection"
	FamilyCredential   ReasonFamily = "credential"
	FamilyConsent      ReasonFamily = "consent"
	FamilyPermission   ReasonFamily = "permission"
	FamilyVerification ReasonFamily = "verification"
	FamilyTenant       ReasonFamily = "tenant"
	FamilyUnsupported  ReasonFamily = "unsupported"
	FamilyTransient    ReasonFamily = "transient"
	FamilyApproval     ReasonFamily = "approval"
	FamilyRestore      ReasonFamily = "restore"
	FamilyPlatform     ReasonFamily = "platform"
)

// ReasonFamilies lists the fixed set in the order pages show it.
func ReasonFamilies() []ReasonFamily {
	return []ReasonFamily{
		FamilyConnection, FamilyCredential, FamilyConsent, FamilyPermission, FamilyVerification,
		FamilyTenant, FamilyUnsupported, FamilyTransient, FamilyApproval, FamilyRestore, FamilyPlatform,
	}
}

// ReasonAxis names the axis of a connection's state that a check writes when it ends with the
// reason; the zero value means that no axis changes.
type ReasonAxis string

// The axes a reason can write. Lifecycle is never written by a reason: only people enable and disable.
const (
	ReasonAxisNone         ReasonAxis = ""
	ReasonAxisConsent      ReasonAxis = "consent"
	ReasonAxisVerification ReasonAxis = "verification"
)

// NextStepAction tells a surface what kind of control a next step is.
type NextStepAction string

// The kinds of next step. "link" opens a page, "wait" asks for nothing, "contact_owner" and
// "contact_admin" need another person (ours, or the customer's); the others name the command that
// the linked page offers.
const (
	StepLink             NextStepAction = "link"
	StepConsent          NextStepAction = "consent"
	StepVerify           NextStepAction = "verify"
	StepEnable           NextStepAction = "enable"
	StepRotateCredential NextStepAction = "rotate_credential"
	StepCreateConnection NextStepAction = "create_connection"
	StepReview           NextStepAction = "review"
	StepReleaseHold      NextStepAction = "release_hold"
	StepRetry            NextStepAction = "retry"
	StepWait             NextStepAction = "wait"
	StepContactOwner     NextStepAction = "contact_owner"
	StepContactAdmin     NextStepAction = "contact_admin"
)

// NextStep is one thing a reader can do about a reason. Href is a template of a console route with
// {connection}, {tenant} and {run} in it, or empty when the step has no page; Fill resolves it.
type NextStep struct {
	Label       string
	Description string
	Href        string
	ActionType  NextStepAction
}

// Reason is everything any surface says about a code. The start answer, the run page, the
// notification and the API all read it from here, so that they cannot disagree.
type Reason struct {
	Code   ReasonCode
	Family ReasonFamily

	// Short is one plain sentence, for lists and badges. Message is the operator's explanation in one
	// or two sentences. Both are complete texts without placeholders.
	Short, Message string

	// NextSteps are in order: the first is the primary action. Never empty.
	NextSteps []NextStep

	// Transient: the same work may succeed later without anybody acting, and is retried.
	// Blocking: new starts are refused until somebody has acted. Never both.
	Transient, Blocking bool

	// Axis and AxisState say what a check that ends with this reason records on the connection.
	// A missing consent is recorded as "revoked" instead when it had been granted before.
	Axis      ReasonAxis
	AxisState string
}

// ReasonTarget holds the identifiers that next steps link to; an empty one is unknown.
type ReasonTarget struct {
	Connection string
	Tenant     string // the tenant's external id, as in paths
	Run        string
}

// Fill returns the reason with the links of its next steps resolved. A step whose link needs an
// identifier that the target lacks keeps its words and loses its link.
func (r Reason) Fill(t ReasonTarget) Reason {
	steps := make([]NextStep, len(r.NextSteps))
	for i, s := range r.NextSteps {
		steps[i] = s.Fill(t)
	}
	r.NextSteps = steps
	return r
}

// Offers says whether one of the next steps is of the kind.
func (r Reason) Offers(a NextStepAction) bool {
	return slices.ContainsFunc(r.NextSteps, func(s NextStep) bool { return s.ActionType == a })
}

// Fill returns the step with its link resolved, or without a link when an identifier is missing.
func (s NextStep) Fill(t ReasonTarget) NextStep {
	for placeholder, value := range map[string]string{
		"{connection}": t.Connection, "{tenant}": t.Tenant, "{run}": t.Run,
	} {
		if !strings.Contains(s.Href, placeholder) {
			continue
		}
		if value == "" {
			s.Href = ""
			return s
		}
		s.Href = strings.ReplaceAll(s.Href, placeholder, url.PathEscape(value))
	}
	return s
}

// Reasons lists every known reason in the order of the table: the catalogue for filters and documents.
func Reasons() []Reason {
	all := make([]Reason, len(reasonTable))
	for i, r := range reasonTable {
		r.NextSteps = slices.Clone(r.NextSteps)
		all[i] = r
	}
	return all
}

// LookupReason finds the reason of a code; false when the code is not in the table.
func LookupReason(code ReasonCode) (Reason, bool) {
	for _, r := range reasonTable {
		if r.Code == code {
			r.NextSteps = slices.Clone(r.NextSteps)
			return r, true
		}
	}
	return Reason{}, false
}

// ReasonFor answers for every code. A code that this build does not know (an event of a newer
// version) keeps its code and gets general words, neither transient nor blocking.
func ReasonFor(code ReasonCode) Reason {
	if r, ok := LookupReason(code); ok {
		return r
	}
	return Reason{
		Code:    code,
		Family:  FamilyPlatform,
		Short:   "The operation could not be completed.",
		Message: "The operation ended for a reason that this version has no words for. The code is kept with the run for support.",
		NextSteps: []NextStep{
			{"Open run details", "Read what was recorded before the operation ended.", hrefRun, StepLink},
			{"Ask a workspace owner", "Pass on the reason code and the run.", "", StepContactOwner},
		},
	}
}

// Given returns the reason in the words that fit the facts of a decision: whose the hold is.
func (r Reason) Given(f Facts) Reason {
	href, known := map[string]string{HoldOfTenant: hrefTenant, HoldOfConnection: hrefConnection}[f.HoldOf]
	if r.Code != ReasonTenantOnHold || !known {
		return r
	}
	r.Short = "The " + f.HoldOf + " is on hold."
	r.Message = "Starts are paused for this " + f.HoldOf + ". The hold's reason and end are shown on its page."
	r.NextSteps = []NextStep{
		{"Open " + f.HoldOf, "Read why the hold was set and when it ends.", href, StepLink},
		{"Release hold", "An owner can lift the hold early.", href, StepReleaseHold},
	}
	return r
}

// ParseReasonCode reads a code from outside: a filter, an import, an older client. Surrounding space
// and letter case do not matter. Two legacy spellings of provider_permission_denied are read and
// answered with the present one: "ext.provider_permission_denied" (extension reason of the first
// taxonomy) and "provider.permission_denied" (dotted taxonomy). A bare "permission_denied" is not
// among them: in an admin-consent callback that word means that an administrator declined. We never
// write a legacy spelling. False when the text is no known code.
func ParseReasonCode(text string) (ReasonCode, bool) {
	code := ReasonCode(strings.ToLower(strings.TrimSpace(text)))
	switch code {
	case "ext.provider_permission_denied", "provider.permission_denied":
		return ReasonProviderPermissionDenied, true
	}
	_, ok := LookupReason(code)
	if !ok {
		return "", false
	}
	return code, true
}

// Console routes that next steps lead to.
const (
	hrefConnection = "/admin/provider-connections/{connection}"
	hrefEnable     = "/admin/provider-connections/{connection}/changes/enable"
	hrefCredential = "/admin/provider-connections/{connection}/credential"
	hrefConsent    = "/admin/provider-connections/{connection}/consent"
	hrefTenant     = "/admin/tenants/{tenant}"
	hrefOperations = "/admin/t/{tenant}/operations"
	hrefRun        = "/admin/operations/{run}"
	hrefOnboarding = "/admin/onboarding"
)

// reasonTable is the one table of reasons. Transience, blocking and axis follow the error mapping of
// the identity platform and of Microsoft Graph; a rule that is not Microsoft's is the gate's.
var reasonTable = []Reason{
	// Connection.
	{
		Code: ReasonProviderConnectionMissing, Family: FamilyConnection, Blocking: true,
		Short:   "No provider connection is set for this tenant.",
		Message: "The tenant has no default provider connection, so there is nothing to run this operation through. Create a connection or choose one as default.",
		NextSteps: []NextStep{
			{"Create provider connection", "Set up how this tenant is reached.", hrefOnboarding, StepCreateConnection},
			{"Open tenant", "Choose one of the existing connections as default.", hrefTenant, StepLink},
		},
	},
	{
		Code: ReasonProviderConnectionReviewRequired, Family: FamilyConnection, Blocking: true,
		Short:   "The provider connection needs a review.",
		Message: "The connection was carried over from an earlier setup and nobody has confirmed it yet. Operations start again once a manager has reviewed it.",
		NextSteps: []NextStep{
			{"Review connection", "Confirm or correct its application and credential.", hrefConnection, StepReview},
			{"Ask a workspace owner", "Reviewing needs the right to manage connections.", "", StepContactOwner},
		},
	},
	{
		Code: ReasonProviderConnectionDisabled, Family: FamilyConnection, Blocking: true,
		Short:   "The provider connection is disabled.",
		Message: "The connection is switched off, so no operation may use it. Enable it, or choose another connection for this tenant.",
		NextSteps: []NextStep{
			{"Enable connection", "Switch the connection on again.", hrefEnable, StepEnable},
			{"Open tenant", "Choose another connection as default.", hrefTenant, StepLink},
		},
	},
	// Tenant.
	{
		Code: ReasonTenantOnHold, Family: FamilyTenant, Blocking: true,
		Short:   "The tenant or its connection is on hold.", // Given tells which
		Message: "Starts are paused for this tenant or its connection. The hold's reason and end are shown on its page.",
		NextSteps: []NextStep{
			{"Open tenant", "Read why the hold was set and when it ends, if it is the tenant's.", hrefTenant, StepLink},
			{"Open connection", "Read why the hold was set and when it ends, if it is the connection's.", hrefConnection, StepLink},
			{"Release hold", "An owner can lift the hold early, where it was set.", "", StepReleaseHold},
		},
	},
	{
		Code: ReasonProviderTenantNotFound, Family: FamilyTenant, Blocking: true,
		Short:   "Microsoft does not know this tenant.",
		Message: "The directory id of the connection is unknown to the sign-in service, or the directory was deleted. Check the id.",
		NextSteps: []NextStep{
			{"Check tenant id", "Compare it with the directory id in the customer's admin centre. A wrong one cannot be changed: onboard the right directory.", hrefTenant, StepLink},
			{"Verify again", "Repeat the check after a correction.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	{
		Code: ReasonProviderWrongCloud, Family: FamilyTenant, Blocking: true,
		Short:   "The tenant lives in another Microsoft cloud.",
		Message: "The connection points at one Microsoft cloud and the tenant belongs to another, such as US Government or China. Connections of this installation reach one cloud.",
		NextSteps: []NextStep{
			{"Ask a workspace owner", "Which cloud connections reach is not set in the console.", "", StepContactOwner},
			{"Verify again", "Repeat the check after the change.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	{
		Code: ReasonProviderBlockedByTenantPolicy, Family: FamilyTenant, Blocking: true,
		Short:   "A security policy of the tenant refused access.",
		Message: "Conditional Access or another security policy in the customer's directory refused our application. Only an administrator of that directory can allow it.",
		NextSteps: []NextStep{
			{"Contact the tenant's administrator", "Ask to allow the application for workload identities.", "", StepContactAdmin},
			{"Verify again", "Repeat the check after the policy was changed.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	{
		Code: ReasonTenantTargetMismatch, Family: FamilyTenant, Blocking: true,
		Short:   "The answer came from a different tenant.",
		Message: "The directory that answered is not the one this connection is for, so nothing was changed. Check which directory the consent was given in.",
		NextSteps: []NextStep{
			{"Check tenant id", "Compare the tenant's directory id with the customer's.", hrefTenant, StepLink},
			{"Request consent again", "Send the link to an administrator of the right directory.", hrefConsent, StepConsent},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	// Credential.
	{
		Code: ReasonProviderCredentialMissing, Family: FamilyCredential, Blocking: true,
		Short:   "The connection has no credential.",
		Message: "There is nothing to sign in to the tenant with: no client secret or certificate is stored for this connection, or the workers lack the token file or platform secret that it uses. Add a credential.",
		NextSteps: []NextStep{
			{"Add credential", "Store a client secret for the connection's application.", hrefCredential, StepRotateCredential},
			{"Ask a workspace owner", "Credentials need the right to manage connections.", "", StepContactOwner},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	{
		Code: ReasonProviderCredentialExpired, Family: FamilyCredential, Blocking: true,
		Short:   "The credential has expired.",
		Message: "The client secret or certificate of this connection has passed its end date. Create a new one in the app registration and store it here.",
		NextSteps: []NextStep{
			{"Rotate credential", "Store the new secret; the connection is verified again afterwards.", hrefCredential, StepRotateCredential},
			{"Open connection", "See when the credential expired.", hrefConnection, StepLink},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	{
		Code: ReasonProviderCredentialInvalid, Family: FamilyCredential, Blocking: true,
		Short:   "The credential was not accepted.",
		Message: "The sign-in service did not accept the client secret or certificate. It may belong to another application, or the secret's id was stored instead of its value.",
		NextSteps: []NextStep{
			{"Rotate credential", "Store the secret's value, not its id.", hrefCredential, StepRotateCredential},
			{"Verify again", "Repeat the check with the new credential.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	{
		Code: ReasonProviderAuthFailed, Family: FamilyCredential, Blocking: true,
		Short:   "Signing in to the tenant did not succeed.",
		Message: "The sign-in service refused our application without a cause we recognise. Diagnostics keep its number and its correlation id.",
		NextSteps: []NextStep{
			{"Verify again", "Repeat the check to get a fresh answer.", hrefConnection, StepVerify},
			{"Ask a workspace owner", "Pass on the correlation id from the diagnostics.", "", StepContactOwner},
		},
		Axis: ReasonAxisVerification, AxisState: "error",
	},
	{
		Code: ReasonProviderAppDisabled, Family: FamilyCredential, Blocking: true,
		Short:   "The application is disabled in the tenant.",
		Message: "Our enterprise application, or its registration, is switched off for sign-in. An administrator of the tenant can enable it again.",
		NextSteps: []NextStep{
			{"Contact the tenant's administrator", "Ask to enable sign-in for the enterprise application.", "", StepContactAdmin},
			{"Verify again", "Repeat the check after it was enabled.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	// Consent.
	{
		Code: ReasonProviderConsentMissing, Family: FamilyConsent, Blocking: true,
		Short:   "Admin consent has not been given.",
		Message: "An administrator of the tenant has to consent to our application before operations can run.",
		NextSteps: []NextStep{
			{"Request admin consent", "Send the consent link to an administrator of the tenant.", hrefConsent, StepConsent},
			{"Check again", "Use this when consent was already given in the customer's portal.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisConsent, AxisState: "required",
	},
	{
		Code: ReasonProviderConsentFailed, Family: FamilyConsent, Blocking: true,
		Short:   "Admin consent was not completed.",
		Message: "The last consent attempt ended with an error. Request consent again; a new link is valid for 15 minutes.",
		NextSteps: []NextStep{
			{"Request admin consent", "Create a new consent link.", hrefConsent, StepConsent},
			{"Open connection", "Read what the last attempt answered.", hrefConnection, StepLink},
		},
		Axis: ReasonAxisConsent, AxisState: "failed",
	},
	{
		Code: ReasonProviderConsentRevoked, Family: FamilyConsent, Blocking: true,
		Short:   "Admin consent was revoked.",
		Message: "Consent had been given and is no longer there: an administrator of the tenant removed it or deleted the enterprise application.",
		NextSteps: []NextStep{
			{"Request admin consent", "Send a new consent link to an administrator of the tenant.", hrefConsent, StepConsent},
			{"Contact the tenant's administrator", "Ask whether the removal was intended.", "", StepContactAdmin},
		},
		Axis: ReasonAxisConsent, AxisState: "revoked",
	},
	{
		Code: ReasonProviderConsentDenied, Family: FamilyConsent, Blocking: true,
		Short:   "An administrator declined the consent.",
		Message: "The consent page was answered with a refusal. Agree with the customer which permissions are needed before asking again.",
		NextSteps: []NextStep{
			{"Contact the tenant's administrator", "Explain the requested permissions.", "", StepContactAdmin},
			{"Request admin consent", "Create a new consent link.", hrefConsent, StepConsent},
		},
		Axis: ReasonAxisConsent, AxisState: "failed",
	},
	{
		Code: ReasonProviderAppNotInstalled, Family: FamilyConsent, Blocking: true,
		Short:   "The application is not installed in the tenant.",
		Message: "The tenant has no enterprise application for ours. It is created when an administrator consents.",
		NextSteps: []NextStep{
			{"Request admin consent", "Consenting installs the application.", hrefConsent, StepConsent},
			{"Check tenant id", "A wrong directory id looks the same.", hrefTenant, StepLink},
		},
		Axis: ReasonAxisConsent, AxisState: "required",
	},
	{
		Code: ReasonProviderPartnerAccessMissing, Family: FamilyConsent, Blocking: true,
		Short:   "Partner access to the tenant is missing.",
		Message: "The tenant has not authorised our application for delegated partner access. Renew the partner relationship or request consent directly.",
		NextSteps: []NextStep{
			{"Request admin consent", "Ask an administrator of the tenant directly.", hrefConsent, StepConsent},
			{"Contact the tenant's administrator", "Check the partner relationship.", "", StepContactAdmin},
		},
		Axis: ReasonAxisConsent, AxisState: "required",
	},
	{
		Code: ReasonConsentStateInvalid, Family: FamilyConsent, Blocking: true,
		Short:   "The consent link is no longer valid.",
		Message: "The link was already used, is older than 15 minutes, belongs to another session, or was made for another application. Nothing was changed.",
		NextSteps: []NextStep{
			{"Request admin consent", "Create a new consent link.", hrefConsent, StepConsent},
		},
	},
	// Verification.
	{
		Code: ReasonProviderVerificationRequired, Family: FamilyVerification, Blocking: true,
		Short:   "The connection has not been verified.",
		Message: "We have not yet checked that this connection reaches the tenant, or its credential changed since the last check.",
		NextSteps: []NextStep{
			{"Start verification", "Check sign-in, identity and permissions.", hrefConnection, StepVerify},
		},
	},
	{
		Code: ReasonProviderVerificationPending, Family: FamilyVerification, Blocking: true,
		Short:   "Verification is still in progress.",
		Message: "A check of this connection is running, or consent was just given and is still spreading through Microsoft's service. This usually takes up to 10 minutes.",
		NextSteps: []NextStep{
			{"Wait for verification", "Start the operation again once the check has ended.", hrefConnection, StepWait},
			{"Open operations", "Follow the running check.", hrefOperations, StepLink},
		},
	},
	{
		Code: ReasonProviderVerificationBlocked, Family: FamilyVerification, Blocking: true,
		Short:   "The last verification did not pass.",
		Message: "The last check of this connection ended without access to the tenant. Its report says what was missing.",
		NextSteps: []NextStep{
			{"Open connection", "Read the last verification report.", hrefConnection, StepLink},
			{"Verify again", "Repeat the check after a correction.", hrefConnection, StepVerify},
		},
	},
	{
		Code: ReasonProviderVerificationDegraded, Family: FamilyVerification, Blocking: true,
		Short:   "The connection is verified only in part.",
		Message: "Reads may continue, but an operation that writes needs a connection whose last check was healthy.",
		NextSteps: []NextStep{
			{"Open connection", "See which permission or licence is missing.", hrefConnection, StepLink},
			{"Verify again", "Repeat the check after a correction.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "degraded",
	},
	// Permission.
	{
		Code: ReasonProviderPermissionMissing, Family: FamilyPermission, Blocking: true,
		Short:   "A required permission has not been granted.",
		Message: "The tenant has not granted all application permissions this operation needs. An administrator of the tenant can grant them by consenting again.",
		NextSteps: []NextStep{
			{"Request admin consent", "The new link asks for the missing permissions too.", hrefConsent, StepConsent},
			{"Check again", "New permissions can take some minutes to take effect.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	{
		Code: ReasonProviderPermissionDenied, Family: FamilyPermission, Blocking: true,
		Short:   "The provider refused a granted permission.",
		Message: "The permission is recorded as granted and Microsoft still refused the call. A recent grant may be spreading, or a role or policy in the tenant limits it.",
		NextSteps: []NextStep{
			{"Verify again", "Drop the cached sign-in and repeat the check.", hrefConnection, StepVerify},
			{"Contact the tenant's administrator", "Ask about administrative units, scope tags and access policies.", "", StepContactAdmin},
		},
		Axis: ReasonAxisVerification, AxisState: "blocked",
	},
	// Unsupported.
	{
		Code: ReasonProviderLicenseMissing, Family: FamilyUnsupported, Blocking: true,
		Short:   "The tenant lacks the licence for this.",
		Message: "The feature this operation reads or changes is not licensed in the tenant, for example Intune or Entra ID Premium.",
		NextSteps: []NextStep{
			{"Contact the tenant's administrator", "Ask which licences are assigned.", "", StepContactAdmin},
			{"Verify again", "Repeat the check after a licence was added.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "degraded",
	},
	{
		Code: ReasonProviderServiceUnavailableInTenant, Family: FamilyUnsupported, Blocking: true,
		Short:   "The service is not set up in the tenant.",
		Message: "The tenant has not subscribed to the service this operation needs, so there is nothing to sign in to.",
		NextSteps: []NextStep{
			{"Contact the tenant's administrator", "Ask to activate the service.", "", StepContactAdmin},
			{"Verify again", "Repeat the check after it was activated.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "degraded",
	},
	{
		Code: ReasonProviderOperationUnsupported, Family: FamilyUnsupported, Blocking: true,
		Short:   "The provider does not offer this operation.",
		Message: "Microsoft Graph answered that this operation is not available in the tenant's cloud or version.",
		NextSteps: []NextStep{
			{"Open run details", "Read which call was not available.", hrefRun, StepLink},
			{"Ask a workspace owner", "Pass on the run for support.", "", StepContactOwner},
		},
	},
	{
		Code: ReasonProviderOperationUnsupportedAppOnly, Family: FamilyUnsupported, Blocking: true,
		Short:   "This item can only be changed by a signed-in person.",
		Message: "Microsoft accepts this change only from an administrator's own session, whatever permissions an application has. The item was left as it is.",
		NextSteps: []NextStep{
			{"Contact the tenant's administrator", "Make the change by hand in the admin centre.", "", StepContactAdmin},
			{"Open run details", "See which items are affected.", hrefRun, StepLink},
		},
	},
	// Transient.
	{
		Code: ReasonProviderRateLimited, Family: FamilyTransient, Transient: true,
		Short:   "The provider asked us to slow down.",
		Message: "Microsoft limits how much may be read from this tenant at a time. The run waits as long as it was asked to and goes on by itself.",
		NextSteps: []NextStep{
			{"Wait for the provider", "The run page shows until when.", hrefRun, StepWait},
			{"Try again later", "If the run has ended, start it again outside busy hours.", hrefOperations, StepRetry},
		},
	},
	{
		Code: ReasonProviderUnavailable, Family: FamilyTransient, Transient: true,
		Short:   "The provider is temporarily unavailable.",
		Message: "Microsoft's service answered with an error of its own. It was tried several times; nothing needs to be changed on your side.",
		NextSteps: []NextStep{
			{"Try again later", "Such disturbances usually end within minutes.", hrefOperations, StepRetry},
			{"Open run details", "Find the provider's request id for a support case.", hrefRun, StepLink},
		},
	},
	{
		Code: ReasonProviderUnreachable, Family: FamilyTransient, Transient: true,
		Short:   "The provider could not be reached.",
		Message: "No answer arrived from Microsoft: the name, the connection or the time limit stood in the way. It was tried several times.",
		NextSteps: []NextStep{
			{"Try again later", "Start the operation again once the network is well.", hrefOperations, StepRetry},
			{"Ask a workspace owner", "Check outgoing network access of this installation.", "", StepContactOwner},
		},
	},
	{
		Code: ReasonDirectoryDeltaExpired, Family: FamilyTransient, Transient: true,
		Short:   "The saved position of the directory expired.",
		Message: "The last sync was too long ago to continue from it, so the directory is read in full once. Nothing is lost.",
		NextSteps: []NextStep{
			{"Wait for the full read", "It takes longer than usual, once.", hrefRun, StepWait},
		},
	},
	{
		Code: ReasonProviderObjectLocked, Family: FamilyTransient, Transient: true,
		Short:   "The object is locked by another change.",
		Message: "Microsoft is still applying another change to this object. It is tried again shortly.",
		NextSteps: []NextStep{
			{"Wait for the other change", "The run goes on by itself.", hrefRun, StepWait},
		},
	},
	// Approval.
	{
		Code: ReasonProviderApprovalRequired, Family: FamilyApproval, Blocking: true,
		Short:   "The tenant wants a second approval.",
		Message: "The tenant protects this change with multi-admin approval and the request for it was not accepted as sent.",
		NextSteps: []NextStep{
			{"Open run details", "See which items wait for approval.", hrefRun, StepLink},
			{"Contact the tenant's administrator", "Ask who approves such changes.", "", StepContactAdmin},
		},
	},
	{
		Code: ReasonProviderApprovalPending, Family: FamilyApproval,
		Short:   "Waiting for approval in the tenant.",
		Message: "The change was filed for multi-admin approval. An approver of the tenant has three days; the run goes on by itself afterwards.",
		NextSteps: []NextStep{
			{"Contact the tenant's administrator", "Ask an approver to decide; Intune does not notify them.", "", StepContactAdmin},
			{"Wait for the decision", "The run page follows the request.", hrefRun, StepWait},
		},
	},
	{
		Code: ReasonProviderApprovalRejected, Family: FamilyApproval,
		Short:   "The approval was refused.",
		Message: "An approver of the tenant rejected or withdrew the request. The item was left as it is.",
		NextSteps: []NextStep{
			{"Contact the tenant's administrator", "Ask why the change was refused.", "", StepContactAdmin},
			{"Open run details", "See which items are affected.", hrefRun, StepLink},
		},
	},
	{
		Code: ReasonProviderApprovalExpired, Family: FamilyApproval,
		Short:   "The approval was not given in time.",
		Message: "Nobody decided on the request within three days, so it lapsed. The item was left as it is.",
		NextSteps: []NextStep{
			{"Start again", "File the change for approval once more.", hrefOperations, StepRetry},
			{"Contact the tenant's administrator", "Agree on a time with an approver.", "", StepContactAdmin},
		},
	},
	// Restore.
	{
		Code: ReasonRestorePlanChanged, Family: FamilyRestore, Blocking: true,
		Short:   "The confirmed plan is out of date.",
		Message: "What would be restored has changed since the plan was confirmed. Look at the new preview and confirm it.",
		NextSteps: []NextStep{
			{"Review the new plan", "Confirm it to start the restore.", hrefTenant, StepReview},
		},
	},
	{
		Code: ReasonProviderObjectNotFound, Family: FamilyRestore,
		Short:   "The object no longer exists in the tenant.",
		Message: "Microsoft answered that the object is not there. It may have been deleted since the last sync.",
		NextSteps: []NextStep{
			{"Sync again", "Read the tenant's present state.", hrefOperations, StepRetry},
			{"Open run details", "See which items are affected.", hrefRun, StepLink},
		},
	},
	{
		Code: ReasonProviderObjectChanged, Family: FamilyRestore,
		Short:   "The object was changed in the meantime.",
		Message: "Someone changed the object after the plan was made, so it was left as it is. Plan the item again.",
		NextSteps: []NextStep{
			{"Review the item", "Compare the present state with the plan.", hrefRun, StepReview},
		},
	},
	{
		Code: ReasonProviderWriteUnconfirmed, Family: FamilyRestore,
		Short:   "It is not known whether the change was applied.",
		Message: "The connection ended after the change was sent and before an answer arrived. The item is read back before anything is repeated.",
		NextSteps: []NextStep{
			{"Wait for the read-back", "The run settles such items by itself.", hrefRun, StepWait},
			{"Review the item", "Compare it in the admin centre if it stays unknown.", hrefRun, StepReview},
		},
	},
	// Platform.
	{
		Code: ReasonProviderAppMisconfigured, Family: FamilyPlatform, Blocking: true,
		Short:   "Our app registration is not set up correctly.",
		Message: "The sign-in service does not accept a setting of the application itself, such as its reply address or its list of permissions. The tenant needs no change.",
		NextSteps: []NextStep{
			{"Ask a workspace owner", "Correct the app registration.", "", StepContactOwner},
			{"Verify again", "Repeat the check after the correction.", hrefConnection, StepVerify},
		},
		Axis: ReasonAxisVerification, AxisState: "error",
	},
	{
		Code: ReasonPlatformClockSkew, Family: FamilyPlatform, Blocking: true,
		Short:   "The clock of this installation is off.",
		Message: "Sign-in was refused because our clock differs too much from Microsoft's. The tenant needs no change.",
		NextSteps: []NextStep{
			{"Ask a workspace owner", "Set up time synchronisation on the server.", "", StepContactOwner},
		},
		Axis: ReasonAxisVerification, AxisState: "error",
	},
	{
		Code: ReasonPlatformTokenLoop, Family: FamilyPlatform, Transient: true,
		Short:   "Too many sign-ins in a short time.",
		Message: "The sign-in service paused our application for asking too often. It is tried again after a minute.",
		NextSteps: []NextStep{
			{"Wait a minute", "The run goes on by itself.", hrefRun, StepWait},
		},
	},
	{
		Code: ReasonProviderRequestInvalid, Family: FamilyPlatform,
		Short:   "The provider did not understand our request.",
		Message: "Microsoft answered that the request is not valid. Either the stored data is out of date or this version needs an update.",
		NextSteps: []NextStep{
			{"Open run details", "Find the provider's request id for a support case.", hrefRun, StepLink},
			{"Ask a workspace owner", "Pass on the run for support.", "", StepContactOwner},
		},
	},
	{
		Code: ReasonProviderResponseInvalid, Family: FamilyPlatform,
		Short:   "The provider's answer could not be used.",
		Message: "The answer was incomplete, too large, or pointed somewhere we do not follow. Nothing of it was stored.",
		NextSteps: []NextStep{
			{"Try again later", "A single broken answer is usually gone the next time.", hrefOperations, StepRetry},
			{"Open run details", "Find the provider's request id for a support case.", hrefRun, StepLink},
		},
	},
	{
		Code: ReasonDispatchFailed, Family: FamilyPlatform,
		Short:   "The run could not be handed to a worker.",
		Message: "The start was accepted, but the work could not be queued, so the run was ended at once. Nothing was sent to the provider.",
		NextSteps: []NextStep{
			{"Start again", "The scope is free again.", hrefOperations, StepRetry},
			{"Ask a workspace owner", "Workers may be down if it happens again.", "", StepContactOwner},
		},
	},
	{
		Code: ReasonRunLeaseLost, Family: FamilyPlatform,
		Short:   "The worker stopped while the run was active.",
		Message: "The worker that held this run did not report back in time and the run could not be continued.",
		NextSteps: []NextStep{
			{"Open run details", "See how far the run came.", hrefRun, StepLink},
			{"Start again", "A read can be repeated at any time.", hrefOperations, StepRetry},
		},
	},
	{
		Code: ReasonCancelledByOperator, Family: FamilyPlatform,
		Short:   "The run was cancelled.",
		Message: "An operator asked to cancel the run and it stopped at the next safe point. What was done before stays done.",
		NextSteps: []NextStep{
			{"Open run details", "See how far the run came.", hrefRun, StepLink},
			{"Start again", "Begin a new run.", hrefOperations, StepRetry},
		},
	},
	{
		Code: ReasonInternalError, Family: FamilyPlatform,
		Short:   "Something unexpected happened on our side.",
		Message: "The run ended because of a fault in this installation. The tenant needs no change.",
		NextSteps: []NextStep{
			{"Open run details", "Find the correlation id for support.", hrefRun, StepLink},
			{"Ask a workspace owner", "Pass on the correlation id.", "", StepContactOwner},
		},
	},
}
