package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"tenantpilot/cmd/tenantpilot/internal/auth"
)

// oidc is the identity provider that the configuration names; nil when it names none. It is not asked here.
func (c config) oidc() (*auth.OIDC, error) {
	if c.OIDCIssuer == "" && c.OIDCClientID == "" {
		return nil, nil
	}
	if c.OIDCIssuer == "" || c.OIDCClientID == "" {
		return nil, errors.New("set both TENANTPILOT_OIDC_ISSUER and TENANTPILOT_OIDC_CLIENT_ID, or neither")
	}
	issuer, err := url.Parse(c.OIDCIssuer)
	if err != nil || issuer.Host == "" || issuer.Scheme != "https" && (issuer.Scheme != "http" || !isLoopback(issuer.Hostname())) {
		return nil, fmt.Errorf("TENANTPILOT_OIDC_ISSUER is %q: give the issuer's address, with https", c.OIDCIssuer)
	}
	public, err := url.Parse(c.PublicURL)
	if err != nil || public.Host == "" || public.Scheme != "https" && public.Scheme != "http" {
		return nil, errors.New("an identity provider needs TENANTPILOT_PUBLIC_URL, such as https://console.example: it sends browsers back there")
	}
	return &auth.OIDC{
		Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret, Name: cmp.Or(c.OIDCName, issuer.Hostname()),
		Redirect: strings.TrimSuffix(c.PublicURL, "/") + "/sign-in/oidc/callback", TrustEmail: c.OIDCTrustEmail,
	}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
