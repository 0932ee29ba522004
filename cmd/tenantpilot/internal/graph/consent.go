package graph

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"tenantpilot/domain"
)

// Sources: "Admin consent on the Microsoft identity platform" and "Microsoft identity platform error codes".

// ConsentURL is the page on which an administrator of the directory consents to all application permissions of the registration. Nothing is
// sent. redirect has to be one of the registration's reply addresses; state comes back with the answer.
func (c *Client) ConsentURL(directory, appID, redirect, state string) (string, error) {
	switch {
	case !guid.MatchString(directory):
		return "", errors.New("make consent link: the directory id is not a GUID")
	case !guid.MatchString(appID):
		return "", errors.New("make consent link: the application id is not a GUID")
	case redirect == "" || state == "":
		return "", errors.New("make consent link: no reply address or no state")
	}
	query := url.Values{
		"client_id": {appID}, "redirect_uri": {redirect}, "state": {state}, "scope": {c.graphRoot(CloudGlobal) + "/.default"},
	}
	return c.loginRoot(CloudGlobal) + "/" + directory + "/v2.0/adminconsent?" + query.Encode(), nil
}

// ReadConsentAnswer reads the parameters that an administrator's browser came back with: the directory that they name, and why there is no
// consent ("" is a grant). Both are anybody's claim: the directory has to be compared and never trusted, and a grant is proved by a check.
// The error is looked at first, because a failed answer says admin_consent=True too. Descriptions are not passed on.
func (*Client) ReadConsentAnswer(query url.Values) (directory string, refusal domain.ReasonCode) {
	directory = strings.ToLower(safeID(query.Get("tenant")))
	if query.Has("error") {
		return directory, consentRefusal(query.Get("error"), query.Get("error_description"))
	}
	if !strings.EqualFold(query.Get("admin_consent"), "true") {
		return directory, domain.ReasonProviderConsentFailed
	}
	return directory, ""
}

var aadsts = regexp.MustCompile(`^\s*AADSTS(\d{4,9})\b`)

// consentRefusal names the reason of an error answer: by the error value where that is decisive, then by the number that the description
// begins with, if its reason is one that a consent page can have.
func consentRefusal(code, description string) domain.ReasonCode {
	switch code {
	case "access_denied", "permission_denied":
		return domain.ReasonProviderConsentDenied
	}
	if m := aadsts.FindStringSubmatch(description); m != nil {
		number, err := strconv.Atoi(m[1])
		if reason, known := tokenNumbers[number]; err == nil && known && domain.ReasonFor(reason).Family != domain.FamilyCredential {
			return reason
		}
	}
	if code == "consent_required" {
		return domain.ReasonProviderConsentMissing
	}
	return domain.ReasonProviderConsentFailed
}
