package graph

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tenantpilot/domain"
)

// This file turns what Microsoft answers into reason codes; all of it is pure. Sources: "Microsoft
// identity platform error codes" (AADSTS numbers), "Microsoft Graph error responses and resource
// types", "Admin consent on the Microsoft identity platform", and public runbooks for Intune's nested
// messages.

// TokenAnswer is what we read of an error answer of the sign-in service; the description is left out
// on purpose.
type TokenAnswer struct {
	Status        int
	Error         string
	Codes         []int // AADSTS numbers
	TraceID       string
	CorrelationID string
}

func readTokenAnswer(status int, body []byte) TokenAnswer {
	var in struct {
		Error         string `json:"error"`
		ErrorCodes    []int  `json:"error_codes"`
		TraceID       string `json:"trace_id"`
		CorrelationID string `json:"correlation_id"`
	}
	_ = json.Unmarshal(body, &in) // an unreadable answer is judged by its status
	return TokenAnswer{
		Status: status, Error: safeCode(in.Error), Codes: in.ErrorCodes,
		TraceID: safeID(in.TraceID), CorrelationID: safeID(in.CorrelationID),
	}
}

func (a TokenAnswer) diagnostics() Diagnostics {
	d := Diagnostics{}
	numbers := make([]string, 0, len(a.Codes))
	for _, n := range a.Codes[:min(len(a.Codes), 8)] {
		numbers = append(numbers, strconv.Itoa(n))
	}
	for key, value := range map[string]string{
		"token_error": a.Error, "token_codes": strings.Join(numbers, " "),
		"trace_id": a.TraceID, "correlation_id": a.CorrelationID,
	} {
		if value != "" {
			d[key] = value
		}
	}
	return d
}

// ClassifyToken names the reason of a sign-in refusal: by the error value where that is decisive, then
// by the first number we know, then by a general rule per error value, because the numbers may change.
// consentGranted turns an absent consent into a revoked one.
func ClassifyToken(a TokenAnswer, consentGranted bool) domain.ReasonCode {
	if a.Error == "temporarily_unavailable" || a.Error == "server_error" {
		return domain.ReasonProviderUnavailable
	}
	for _, n := range a.Codes {
		if code, ok := tokenNumbers[n]; ok {
			return absentConsent(code, consentGranted)
		}
	}
	switch {
	case a.Status == http.StatusTooManyRequests:
		return domain.ReasonProviderRateLimited
	case a.Status >= 500:
		return domain.ReasonProviderUnavailable
	}
	switch a.Error {
	case "invalid_client":
		return domain.ReasonProviderCredentialInvalid
	case "unauthorized_client":
		return absentConsent(domain.ReasonProviderAppNotInstalled, consentGranted)
	}
	return domain.ReasonProviderAuthFailed
}

// absentConsent reads a missing consent or application as a revocation when consent had been granted.
func absentConsent(code domain.ReasonCode, granted bool) domain.ReasonCode {
	if granted && (code == domain.ReasonProviderConsentMissing || code == domain.ReasonProviderAppNotInstalled) {
		return domain.ReasonProviderConsentRevoked
	}
	return code
}

// tokenNumbers maps AADSTS numbers.
var tokenNumbers = map[int]domain.ReasonCode{
	70002:   domain.ReasonProviderCredentialInvalid,
	7000215: domain.ReasonProviderCredentialInvalid,
	700027:  domain.ReasonProviderCredentialInvalid,
	700030:  domain.ReasonProviderCredentialInvalid,
	50012:   domain.ReasonProviderCredentialInvalid,
	7000222: domain.ReasonProviderCredentialExpired,
	7000218: domain.ReasonProviderCredentialMissing,
	900144:  domain.ReasonProviderCredentialMissing,
	90014:   domain.ReasonProviderCredentialMissing,
	500133:  domain.ReasonPlatformClockSkew,
	700024:  domain.ReasonPlatformClockSkew,
	700016:  domain.ReasonProviderAppNotInstalled,
	700011:  domain.ReasonProviderAppNotInstalled,
	70001:   domain.ReasonProviderAppDisabled,
	7000112: domain.ReasonProviderAppDisabled,
	1000031: domain.ReasonProviderAppDisabled,
	65001:   domain.ReasonProviderConsentMissing,
	90094:   domain.ReasonProviderConsentMissing,
	90095:   domain.ReasonProviderConsentMissing,
	90008:   domain.ReasonProviderConsentMissing,
	65004:   domain.ReasonProviderConsentDenied,
	65005:   domain.ReasonProviderAppMisconfigured,
	650056:  domain.ReasonProviderAppMisconfigured,
	650057:  domain.ReasonProviderAppMisconfigured,
	70011:   domain.ReasonProviderAppMisconfigured,
	50011:   domain.ReasonProviderAppMisconfigured,
	900971:  domain.ReasonProviderAppMisconfigured,
	50194:   domain.ReasonProviderAppMisconfigured,
	90099:   domain.ReasonProviderPartnerAccessMissing,
	650052:  domain.ReasonProviderServiceUnavailableInTenant,
	500011:  domain.ReasonProviderServiceUnavailableInTenant,
	90002:   domain.ReasonProviderTenantNotFound,
	50059:   domain.ReasonProviderTenantNotFound,
	90019:   domain.ReasonProviderTenantNotFound,
	5000224: domain.ReasonProviderTenantNotFound,
	90038:   domain.ReasonProviderWrongCloud,
	900382:  domain.ReasonProviderWrongCloud,
	900432:  domain.ReasonProviderWrongCloud,
	53003:   domain.ReasonProviderBlockedByTenantPolicy,
	530032:  domain.ReasonProviderBlockedByTenantPolicy,
	530034:  domain.ReasonProviderBlockedByTenantPolicy,
	530035:  domain.ReasonProviderBlockedByTenantPolicy,
	50131:   domain.ReasonProviderBlockedByTenantPolicy,
	500021:  domain.ReasonProviderBlockedByTenantPolicy,
	500022:  domain.ReasonProviderBlockedByTenantPolicy,
	500212:  domain.ReasonProviderBlockedByTenantPolicy,
	500213:  domain.ReasonProviderBlockedByTenantPolicy,
	50196:   domain.ReasonPlatformTokenLoop,
	90055:   domain.ReasonProviderRateLimited,
	50033:   domain.ReasonProviderUnavailable,
	90006:   domain.ReasonProviderUnavailable,
	90012:   domain.ReasonProviderUnavailable,
	90024:   domain.ReasonProviderUnavailable,
	90033:   domain.ReasonProviderUnavailable,
	90090:   domain.ReasonProviderUnavailable,
	90091:   domain.ReasonProviderUnavailable,
}

// graphAnswer is an error answer of Graph, unwrapped: codes from the outside in, and the innermost
// texts, which are read for the few refusals that have no code of their own and are never passed on.
type graphAnswer struct {
	Status       int
	Codes        []string
	text         string // lower case
	ApprovalCode bool   // x-msft-approval-code was sent
	Claims       bool   // the challenge asks for more claims
	RetryAfter   time.Duration
	RequestID    string
}

// maxNesting bounds how far innererror objects are followed; maxMessages how many JSON documents inside
// a message are unwrapped (Intune nests up to three).
const (
	maxNesting  = 8
	maxMessages = 3
)

func readGraphAnswer(status int, h http.Header, body []byte) graphAnswer {
	a := graphAnswer{
		Status:       status,
		ApprovalCode: h.Get("x-msft-approval-code") != "",
		Claims:       strings.Contains(strings.ToLower(h.Get("WWW-Authenticate")), "insufficient_claims"),
		RequestID:    safeID(h.Get("request-id")),
	}
	var envelope struct {
		Error map[string]json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &envelope) == nil {
		a.walk(envelope.Error, maxNesting)
	}
	return a
}

// walk collects the code and message of an error object and goes on inside it.
func (a *graphAnswer) walk(object map[string]json.RawMessage, depth int) {
	if depth == 0 || object == nil {
		return
	}
	a.addCode(text(object["code"]))
	a.unwrap(text(object["message"]), maxMessages)
	for key, raw := range object {
		if strings.EqualFold(key, "request-id") && a.RequestID == "" {
			a.RequestID = safeID(text(raw))
		}
		if strings.EqualFold(key, "innererror") {
			var inner map[string]json.RawMessage
			if json.Unmarshal(raw, &inner) == nil {
				a.walk(inner, depth-1)
			}
		}
	}
}

// unwrap reads Intune's habit of sending a JSON document as the message of an error.
func (a *graphAnswer) unwrap(message string, depth int) {
	var nested struct {
		ErrorCode  string          `json:"ErrorCode"`
		Message    string          `json:"Message"`
		RetryAfter json.RawMessage `json:"RetryAfter"`
	}
	if depth == 0 || json.Unmarshal([]byte(message), &nested) != nil {
		a.text += " " + strings.ToLower(message)
		return
	}
	a.addCode(nested.ErrorCode)
	if seconds, err := strconv.Atoi(strings.Trim(string(nested.RetryAfter), `"`)); err == nil && seconds > 0 && seconds <= 3600 {
		a.RetryAfter = time.Duration(seconds) * time.Second
	}
	a.unwrap(nested.Message, depth-1)
}

func (a *graphAnswer) addCode(code string) {
	if code = safeCode(code); code != "" {
		a.Codes = append(a.Codes, code)
	}
}

func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// graphCodes are the codes that decide by themselves, whatever the status.
var graphCodes = map[string]domain.ReasonCode{
	"syncstatenotfound":           domain.ReasonDirectoryDeltaExpired,
	"resyncrequired":              domain.ReasonDirectoryDeltaExpired,
	"activitylimitreached":        domain.ReasonProviderRateLimited,
	"toomanyrequests":             domain.ReasonProviderRateLimited,
	"resourcemodified":            domain.ReasonProviderObjectChanged,
	"notimplemented":              domain.ReasonProviderOperationUnsupported,
	"applifecycle_2210":           domain.ReasonProviderLicenseMissing,
	"insufficient_claims":         domain.ReasonProviderBlockedByTenantPolicy,
	"authorization_requestdenied": "", // known, decided by status
	"accessdenied":                "",
	"invalidauthenticationtoken":  "",
}

// graphTexts are refusals without a code of their own, matched in the unwrapped text.
var graphTexts = []struct {
	part string
	code domain.ReasonCode
}{
	{"x-msft-approval-justification", domain.ReasonProviderApprovalRequired},
	{"not licensed for this feature", domain.ReasonProviderLicenseMissing},
	{"request not applicable to target tenant", domain.ReasonProviderLicenseMissing},
	{"tenant doesn't have premium license", domain.ReasonProviderLicenseMissing},
	{"tenant is not global admin or intune service admin", domain.ReasonProviderOperationUnsupportedAppOnly},
}

// deepestKnown is the innermost code that we know, else the outermost one.
func (a graphAnswer) deepestKnown() string {
	for _, code := range slices.Backward(a.Codes) {
		if _, ok := graphCodes[strings.ToLower(code)]; ok {
			return code
		}
	}
	if len(a.Codes) > 0 {
		return a.Codes[0]
	}
	return ""
}

// classifyGraph names the reason of a Graph refusal. granted says whether a permission of the call is
// recorded as granted: a refusal is then a denial, else the permission is missing.
func classifyGraph(a graphAnswer, granted bool) domain.ReasonCode {
	if code := graphCodes[strings.ToLower(a.deepestKnown())]; code != "" {
		return code
	}
	if a.Status >= 400 && a.Status < 500 {
		for _, t := range graphTexts {
			if strings.Contains(a.text, t.part) {
				return t.code
			}
		}
	}
	switch {
	case a.Status == http.StatusForbidden && granted:
		return domain.ReasonProviderPermissionDenied
	case a.Status == http.StatusForbidden:
		return domain.ReasonProviderPermissionMissing
	case a.Status == http.StatusUnauthorized && a.Claims:
		return domain.ReasonProviderBlockedByTenantPolicy
	case a.Status == http.StatusPreconditionFailed && a.ApprovalCode:
		return domain.ReasonProviderApprovalPending
	}
	return classifyStatus(a.Status)
}

// classifyStatus is the rule for answers that only their status tells about.
func classifyStatus(status int) domain.ReasonCode {
	switch status {
	case http.StatusUnauthorized:
		return domain.ReasonProviderAuthFailed
	case http.StatusPaymentRequired:
		return domain.ReasonProviderLicenseMissing
	case http.StatusNotFound:
		return domain.ReasonProviderObjectNotFound
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return domain.ReasonProviderOperationUnsupported
	case http.StatusRequestTimeout:
		return domain.ReasonProviderUnavailable
	case http.StatusConflict, http.StatusPreconditionFailed:
		return domain.ReasonProviderObjectChanged
	case http.StatusGone:
		return domain.ReasonDirectoryDeltaExpired
	case http.StatusLocked:
		return domain.ReasonProviderObjectLocked
	case http.StatusTooManyRequests:
		return domain.ReasonProviderRateLimited
	}
	switch {
	case status >= 500:
		return domain.ReasonProviderUnavailable
	case status >= 400:
		return domain.ReasonProviderRequestInvalid
	}
	return domain.ReasonProviderResponseInvalid // redirects, and successes we did not ask for
}

// ConsentCallback is the query of an admin-consent redirect, and what our own records say about it.
// Microsoft signs none of it: everything in it may have been typed by anybody.
type ConsentCallback struct {
	Error        string
	Description  string // read for its AADSTS number only
	AdminConsent string
	Tenant       string // directory id in the redirect

	StateValid   bool   // our one-time state, unused, in time, of this session
	WantedTenant string // the directory the request was made for
}

// ConsentVerdict says what to record. Status is the connection's consent state to write ("granted",
// "failed", "required"), or empty to leave it as it is. Reason is empty when consent was granted;
// verification is then pending until a check has proved it.
type ConsentVerdict struct {
	Status string
	Reason domain.ReasonCode
}

// ClassifyConsentCallback judges a redirect. The error is looked at before admin_consent, which is
// "True" on some errors too; the state before everything.
func ClassifyConsentCallback(c ConsentCallback) ConsentVerdict {
	switch {
	case !c.StateValid:
		return ConsentVerdict{"", domain.ReasonConsentStateInvalid}
	case c.Error == "permission_denied", c.Error == "access_denied", c.Error != "" && strings.Contains(c.Description, "AADSTS65004"):
		return ConsentVerdict{"failed", domain.ReasonProviderConsentDenied}
	case c.Error == "consent_required":
		return ConsentVerdict{"required", domain.ReasonProviderConsentMissing}
	case c.Error != "":
		return ConsentVerdict{"failed", domain.ReasonProviderConsentFailed}
	case !strings.EqualFold(c.Tenant, c.WantedTenant) || c.Tenant == "":
		return ConsentVerdict{"", domain.ReasonTenantTargetMismatch}
	case !strings.EqualFold(c.AdminConsent, "true"):
		return ConsentVerdict{"failed", domain.ReasonProviderConsentFailed}
	}
	return ConsentVerdict{"granted", ""}
}
