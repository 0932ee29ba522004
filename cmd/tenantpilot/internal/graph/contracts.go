package graph

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Paging says how a contract's answer continues.
type Paging string

// The kinds of paging.
const (
	PagingNone  Paging = "none"
	PagingNext  Paging = "next"  // @odata.nextLink until there is none
	PagingDelta Paging = "delta" // @odata.nextLink pages, then @odata.deltaLink
)

// Workload is the part of Microsoft Graph whose throttle budget a call draws on.
type Workload string

// Workloads in use.
const WorkloadDirectory Workload = "directory"

// Contract is one thing we ask of Microsoft Graph. Paths hold {placeholders}; nothing outside this
// table is ever requested, except the links its answers carry.
type Contract struct {
	Name        string
	Method      string
	Path        string
	Query       string   // raw, as sent
	Permissions []string // application permissions, least first; empty when the call needs none
	Workload    Workload
	Paging      Paging
	MaxPages    int
}

// Names of contracts.
const (
	contractOrganization     = "organization"
	contractServicePrincipal = "own_service_principal"
	contractAppRoles         = "app_role_assignments"
	contractGraphRoles       = "graph_app_roles"
	contractGroups           = "groups"
	contractGroupsDelta      = "groups_delta"
	contractRoleDefinitions  = "role_definitions"
	contractProbeGroups      = "probe_groups"
	contractProbeRoles       = "probe_role_definitions"
)

const (
	permDirectory       = "Directory.Read.All"
	permApplication     = "Application.Read.All"
	permGroupMember     = "GroupMember.Read.All"
	permRoleDefinitions = "RoleManagement.Read.Directory"
)

const groupFields = "id,displayName,description,groupTypes,securityEnabled,mailEnabled,isAssignableToRole,membershipRule,onPremisesSyncEnabled"

// contracts follow the Microsoft Graph v1.0 reference; permissions are the least documented ones.
var contracts = []Contract{
	{
		Name: contractOrganization, Method: http.MethodGet, Path: "/v1.0/organization",
		Query:       "$select=id,displayName,verifiedDomains,tenantType",
		Permissions: []string{permDirectory}, Workload: WorkloadDirectory, Paging: PagingNone, MaxPages: 1,
	},
	{
		// An application may always read its own object.
		Name: contractServicePrincipal, Method: http.MethodGet, Path: "/v1.0/servicePrincipals(appId='{appId}')",
		Query:    "$select=id,appId,accountEnabled,disabledByMicrosoftStatus",
		Workload: WorkloadDirectory, Paging: PagingNone, MaxPages: 1,
	},
	{
		Name: contractAppRoles, Method: http.MethodGet, Path: "/v1.0/servicePrincipals/{id}/appRoleAssignments",
		Permissions: []string{permApplication}, Workload: WorkloadDirectory, Paging: PagingNext, MaxPages: 50,
	},
	{
		Name: contractGraphRoles, Method: http.MethodGet, Path: "/v1.0/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')",
		Query:       "$select=id,appRoles",
		Permissions: []string{permApplication}, Workload: WorkloadDirectory, Paging: PagingNone, MaxPages: 1,
	},
	{
		Name: contractGroups, Method: http.MethodGet, Path: "/v1.0/groups",
		Query:       "$select=" + groupFields + "&$top=999",
		Permissions: []string{permGroupMember}, Workload: WorkloadDirectory, Paging: PagingNext, MaxPages: 1000,
	},
	{
		// The fields are frozen into the delta token: a changed list needs a new selection key.
		Name: contractGroupsDelta, Method: http.MethodGet, Path: "/v1.0/groups/delta",
		Query:       "$select=" + groupFields,
		Permissions: []string{permGroupMember}, Workload: WorkloadDirectory, Paging: PagingDelta, MaxPages: 10000,
	},
	{
		Name: contractRoleDefinitions, Method: http.MethodGet, Path: "/v1.0/roleManagement/directory/roleDefinitions",
		Permissions: []string{permRoleDefinitions}, Workload: WorkloadDirectory, Paging: PagingNext, MaxPages: 1000,
	},
	{
		Name: contractProbeGroups, Method: http.MethodGet, Path: "/v1.0/groups",
		Query:       "$select=id&$top=1",
		Permissions: []string{permGroupMember}, Workload: WorkloadDirectory, Paging: PagingNone, MaxPages: 1,
	},
	{
		Name: contractProbeRoles, Method: http.MethodGet, Path: "/v1.0/roleManagement/directory/roleDefinitions",
		Query:       "$select=id&$top=1",
		Permissions: []string{permRoleDefinitions}, Workload: WorkloadDirectory, Paging: PagingNone, MaxPages: 1,
	},
}

// probeOf names the cheap read that proves a permission; permissions without one are judged by the
// recorded grants alone.
var probeOf = map[string]string{
	permGroupMember:     contractProbeGroups,
	permRoleDefinitions: contractProbeRoles,
}

// Contracts lists the table, for documents and tests.
func Contracts() []Contract {
	all := slices.Clone(contracts)
	for i := range all {
		all[i].Permissions = slices.Clone(all[i].Permissions)
	}
	return all
}

// contract finds a row by a name of the constants above; a missing row is a mistake in this package.
func contract(name string) Contract {
	i := slices.IndexFunc(contracts, func(c Contract) bool { return c.Name == name })
	if i < 0 {
		panic("graph: no contract named " + name)
	}
	return contracts[i]
}

// url fills the placeholders, each value escaped as one path segment.
func (c Contract) url(root string, values map[string]string) string {
	path := c.Path
	for name, value := range values {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	if c.Query == "" {
		return root + path
	}
	return root + path + "?" + c.Query
}

// checkLink refuses a link of an answer that does not stay on the root's scheme and host, or carries
// what no Graph link carries. The rest of the link is opaque to us.
func checkLink(root, link string) bool {
	if len(link) > 16<<10 || strings.ContainsAny(link, "\\\r\n\t ") {
		return false
	}
	r, err := url.Parse(root)
	if err != nil {
		return false
	}
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" {
		return false
	}
	versioned := strings.HasPrefix(u.Path, "/v1.0/") || strings.HasPrefix(u.Path, "/beta/")
	return u.Scheme == r.Scheme && strings.EqualFold(u.Host, r.Host) && versioned && !strings.Contains(u.Path, "..")
}
