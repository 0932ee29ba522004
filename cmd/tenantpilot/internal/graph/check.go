package graph

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"tenantpilot/domain"
)

// CheckOptions says what the connection is wanted for.
type CheckOptions struct {
	Call

	// Wanted are the permissions of the operations that can be started: lacking one degrades, because the
	// others go on. What the check itself reads need not be listed: lacking that blocks.
	Wanted []string
}

// CheckState is what a check found, in the words of the verification axis.
type CheckState string

// States of a finished check.
const (
	CheckHealthy  CheckState = "healthy"
	CheckDegraded CheckState = "degraded"
	CheckBlocked  CheckState = "blocked"
	CheckError    CheckState = "error" // we could not finish; says nothing about the tenant
)

// CheckResult is the evidence of one check and the verdict on it.
type CheckResult struct {
	State  CheckState
	Reason domain.ReasonCode // empty when healthy

	// Failure is the refusal that ended the check early, with its diagnostics; nil when all was asked.
	Failure *Error

	TenantID   string // as the directory itself answered; empty when it did not
	TenantName string

	// ServicePrincipalID is our enterprise application in the tenant.
	ServicePrincipalID string

	// Granted lists the permissions granted to our application, sorted. When the tenant does not let us
	// read grants, it holds those that a probe proved, and GrantsReadable is false.
	Granted        []string
	GrantsReadable bool

	// Of the permissions asked for: Missing are not granted, Refused are granted and a probe was refused
	// all the same, Unlicensed are granted and the tenant lacks the licence or service. Sorted.
	Missing, Refused, Unlicensed []string

	Probes []Probe

	// ClockSkew is the provider's clock minus ours, in whole seconds.
	ClockSkew time.Duration
}

// Probe is the outcome of one cheap read that exercises a permission.
type Probe struct {
	Permission string
	Operation  string // contract name; empty when no read proves this permission
	Outcome    ProbeOutcome
	Reason     domain.ReasonCode // of outcomes other than ok and not probed
}

// ProbeOutcome is what a probe showed.
type ProbeOutcome string

// Outcomes of a probe.
const (
	ProbeOK         ProbeOutcome = "ok"
	ProbeMissing    ProbeOutcome = "missing"    // not granted; not asked, or refused
	ProbeRefused    ProbeOutcome = "refused"    // granted and refused
	ProbeUnlicensed ProbeOutcome = "unlicensed" // licence or service absent
	ProbeNotProbed  ProbeOutcome = "not_probed" // granted; no cheap read proves it
)

// CheckConnection signs in afresh, compares the directory's identity with the expected one, reads what
// is granted and probes what is asked for. A provider that refuses or fails is a result, not an error:
// err is non-nil only when ctx ended first, and then the result must not be recorded. It writes nothing,
// so it can be repeated at any time.
func (c *Client) CheckConnection(ctx context.Context, conn Connection, opts CheckOptions) (CheckResult, error) {
	k := &check{operation: c.operation(conn, opts.Call), opts: opts}
	err := k.run(ctx)
	if ctx.Err() != nil {
		return CheckResult{}, ctx.Err()
	}
	if err != nil && !errors.As(err, &k.result.Failure) {
		return CheckResult{}, err
	}
	k.result.ClockSkew = k.skew
	k.result.State, k.result.Reason = Judge(k.result, k.call.Granted)
	return k.result, nil
}

// check is one CheckConnection in progress.
type check struct {
	*operation
	opts   CheckOptions
	result CheckResult
}

func (k *check) run(ctx context.Context) error {
	if e := k.conn.check(); e != nil {
		e.Operation = operationToken
		return e
	}
	k.client.Forget(k.conn) // an old token would hide a new secret's fault and a new consent's grants
	for _, step := range []func(context.Context) error{k.identity, k.application, k.grants, k.probes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	k.ownReads()
	return nil
}

// ownReads tells of the check's own reads as of probes, and lists among what is lacking the permissions of those that were refused.
func (k *check) ownReads() {
	r := &k.result
	for _, own := range []struct {
		permission, operation string
		refused               bool
	}{
		{permApplication, contractAppRoles, !r.GrantsReadable},
		{permDirectory, contractOrganization, r.TenantID == ""},
	} {
		if slices.ContainsFunc(r.Probes, func(p Probe) bool { return p.Permission == own.permission && p.Operation != "" }) {
			continue // it was asked for as well
		}
		p := Probe{Permission: own.permission, Operation: own.operation, Outcome: ProbeOK}
		switch {
		case !own.refused:
		case slices.Contains(k.call.Granted, own.permission) || slices.Contains(r.Granted, own.permission):
			p.Outcome, p.Reason = ProbeRefused, domain.ReasonProviderPermissionDenied
			r.Refused = append(r.Refused, own.permission)
		default:
			p.Outcome, p.Reason = ProbeMissing, domain.ReasonProviderPermissionMissing
			r.Missing = append(r.Missing, own.permission)
		}
		r.Probes = append(slices.DeleteFunc(r.Probes, func(old Probe) bool { return old.Permission == own.permission }), p)
	}
	for _, list := range []*[]string{&r.Missing, &r.Refused} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// identity asks the directory who it is. A refusal for lack of permission is evidence; the check goes on.
func (k *check) identity(ctx context.Context) error {
	var answer page[struct {
		ID          string `json:"id"`
		DisplayName string `json:"displayName"`
	}]
	err := k.get(ctx, contractOrganization, nil, &answer)
	if permissionRefused(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(answer.Value) != 1 || answer.Value[0].ID == "" {
		return invalidResponse(contractOrganization, "answer does not name one directory")
	}
	k.result.TenantID, k.result.TenantName = answer.Value[0].ID, answer.Value[0].DisplayName
	if !strings.EqualFold(k.result.TenantID, k.conn.EntraTenantID) {
		return &Error{Code: domain.ReasonTenantTargetMismatch, Operation: contractOrganization}
	}
	return nil
}

// application finds our enterprise application in the tenant.
func (k *check) application(ctx context.Context) error {
	var own struct {
		ID                        string `json:"id"`
		AccountEnabled            *bool  `json:"accountEnabled"`
		DisabledByMicrosoftStatus string `json:"disabledByMicrosoftStatus"`
	}
	err := k.get(ctx, contractServicePrincipal, map[string]string{"appId": k.conn.AppID}, &own)
	var e *Error
	switch {
	case errors.As(err, &e) && e.Code == domain.ReasonProviderObjectNotFound:
		e.Code = absentConsent(domain.ReasonProviderAppNotInstalled, k.conn.ConsentGranted)
		return e
	case permissionRefused(err):
		return nil
	case err != nil:
		return err
	case own.ID == "":
		return invalidResponse(contractServicePrincipal, "answer has no id")
	case own.AccountEnabled != nil && !*own.AccountEnabled, own.DisabledByMicrosoftStatus != "":
		return &Error{Code: domain.ReasonProviderAppDisabled, Operation: contractServicePrincipal}
	}
	k.result.ServicePrincipalID = own.ID
	return nil
}

// grants reads the application permissions granted to us, by name.
func (k *check) grants(ctx context.Context) error {
	if k.result.ServicePrincipalID == "" {
		return nil
	}
	names, err := k.permissionNames(ctx)
	if permissionRefused(err) {
		return nil
	}
	if err != nil {
		return err
	}
	granted := map[string]bool{}
	c := contract(contractAppRoles)
	url := c.url(k.root(), map[string]string{"id": k.result.ServicePrincipalID})
	err = eachPage(ctx, k.operation, c, url, func(p page[struct {
		AppRoleID string `json:"appRoleId"`
	}], _ bool,
	) error {
		for _, row := range p.Value {
			if name, ok := names[row.AppRoleID]; ok { // roles of other APIs are not ours to name
				granted[name] = true
			}
		}
		return nil
	})
	if permissionRefused(err) {
		return nil
	}
	if err != nil {
		return err
	}
	k.result.Granted, k.result.GrantsReadable = slices.Sorted(maps.Keys(granted)), true
	return nil
}

// permissionNames maps app role ids to permission names. It is the same in all tenants of a cloud, so it
// is kept for the life of the client.
func (k *check) permissionNames(ctx context.Context) (map[string]string, error) {
	c := k.client
	c.mu.Lock()
	names := c.roleNames[k.root()]
	c.mu.Unlock()
	if names != nil {
		return names, nil
	}
	var answer struct {
		AppRoles []struct {
			ID    string `json:"id"`
			Value string `json:"value"`
		} `json:"appRoles"`
	}
	if err := k.get(ctx, contractGraphRoles, nil, &answer); err != nil {
		return nil, err
	}
	names = map[string]string{}
	for _, role := range answer.AppRoles {
		names[role.ID] = role.Value
	}
	if len(names) == 0 {
		return nil, invalidResponse(contractGraphRoles, "answer lists no permissions")
	}
	c.mu.Lock()
	c.roleNames[k.root()] = names
	c.mu.Unlock()
	return names, nil
}

// probes exercises each permission asked for, once.
func (k *check) probes(ctx context.Context) error {
	r := &k.result
	for _, permission := range k.wanted() {
		p, err := k.probe(ctx, permission)
		if err != nil {
			return err
		}
		r.Probes = append(r.Probes, p)
		switch p.Outcome {
		case ProbeMissing:
			r.Missing = append(r.Missing, permission)
		case ProbeRefused:
			r.Refused = append(r.Refused, permission)
		case ProbeUnlicensed:
			r.Unlicensed = append(r.Unlicensed, permission)
		case ProbeOK:
			if !r.GrantsReadable {
				r.Granted = append(r.Granted, permission)
			}
		case ProbeNotProbed:
		}
	}
	return nil
}

// wanted lists the permissions asked for, each once, sorted.
func (k *check) wanted() []string {
	all := slices.Sorted(slices.Values(k.opts.Wanted))
	return slices.Compact(all)
}

func (k *check) probe(ctx context.Context, permission string) (Probe, error) {
	p := Probe{Permission: permission, Operation: probeOf[permission]}
	recorded := slices.Contains(k.call.Granted, permission)
	if k.result.GrantsReadable {
		recorded = slices.Contains(k.result.Granted, permission)
	}
	switch {
	case k.result.GrantsReadable && !recorded, p.Operation == "" && !recorded:
		p.Outcome, p.Reason = ProbeMissing, domain.ReasonProviderPermissionMissing
		return p, nil
	case p.Operation == "":
		p.Outcome = ProbeNotProbed
		return p, nil
	}
	var answer page[struct{}]
	err := k.get(ctx, p.Operation, nil, &answer)
	var e *Error
	switch {
	case err == nil:
		p.Outcome = ProbeOK
	case permissionRefused(err) && recorded:
		p.Outcome, p.Reason = ProbeRefused, domain.ReasonProviderPermissionDenied
	case permissionRefused(err):
		p.Outcome, p.Reason = ProbeMissing, domain.ReasonProviderPermissionMissing
	case errors.As(err, &e) && domain.ReasonFor(e.Code).Family == domain.FamilyUnsupported:
		p.Outcome, p.Reason = ProbeUnlicensed, e.Code
	default:
		return p, err
	}
	return p, nil
}

func permissionRefused(err error) bool {
	var e *Error
	return errors.As(err, &e) &&
		(e.Code == domain.ReasonProviderPermissionMissing || e.Code == domain.ReasonProviderPermissionDenied)
}

// Judge turns the evidence of a check into a verdict; it is pure. recorded are the permissions that were
// recorded as granted before, which decides between "denied" and "missing" where the tenant refuses even
// the check's own reads.
//
// Healthy needs sign-in, the expected directory, every permission asked for and every probe. A permission
// that only some operations need, a licence or a service that is absent degrades: the gate refuses those
// operations by themselves. A permission that the check needs blocks, for without it nothing is known and
// nothing may start; so does a refusal that somebody has to act on. A failure of ours or of the service is
// an error.
func Judge(r CheckResult, recorded []string) (CheckState, domain.ReasonCode) {
	if r.Failure != nil {
		return judgeFailure(r.Failure.Code), r.Failure.Code
	}
	if r.TenantID == "" || r.ServicePrincipalID == "" || !r.GrantsReadable {
		return CheckBlocked, refusalOfOwnReads(r, recorded)
	}
	switch {
	case len(r.Granted) == 0:
		return CheckBlocked, domain.ReasonProviderConsentMissing
	case len(r.Unlicensed) > 0:
		return CheckDegraded, domain.ReasonProviderLicenseMissing
	case len(r.Missing) > 0:
		return CheckDegraded, domain.ReasonProviderPermissionMissing
	case len(r.Refused) > 0:
		return CheckDegraded, domain.ReasonProviderPermissionDenied
	}
	return CheckHealthy, ""
}

// refusalOfOwnReads names why the check could not read the directory, its own application or its grants.
func refusalOfOwnReads(r CheckResult, recorded []string) domain.ReasonCode {
	needs := permDirectory
	if r.TenantID != "" {
		needs = permApplication
	}
	if slices.Contains(recorded, needs) || slices.Contains(r.Granted, needs) {
		return domain.ReasonProviderPermissionDenied
	}
	return domain.ReasonProviderPermissionMissing
}

// judgeFailure reads the verdict off the reason table.
func judgeFailure(code domain.ReasonCode) CheckState {
	reason := domain.ReasonFor(code)
	switch {
	case reason.Axis == domain.ReasonAxisVerification:
		return CheckState(reason.AxisState)
	case reason.Blocking && reason.Family != domain.FamilyPlatform:
		return CheckBlocked
	}
	return CheckError
}
