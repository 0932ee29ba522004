package domain

import "slices"

// permissionWords say what a Graph application permission lets us do, in words that a customer's administrator can agree to.
var permissionWords = map[string]string{
	"Application.Read.All":                    "Read which applications are set up and what they may do.",
	"DeviceManagementConfiguration.Read.All":  "Read Intune configuration and compliance policies.",
	"DeviceManagementManagedDevices.Read.All": "Read the devices that Intune manages.",
	"DeviceManagementServiceConfig.Read.All":  "Read Intune's service and enrolment settings.",
	"Directory.Read.All":                      "Read the directory: its name, domains, users, groups and applications.",
	"GroupMember.Read.All":                    "Read groups and who is in them.",
	"Policy.Read.All":                         "Read the organisation's policies, Conditional Access among them.",
	"RoleManagement.Read.Directory":           "Read administrator roles and who holds them.",

	"DeviceManagementConfiguration.ReadWrite.All": "Read and change Intune configuration and compliance policies.",
}

// PermissionWords says what a permission allows; a permission that nobody has worded is named.
func PermissionWords(permission string) string {
	if words := permissionWords[permission]; words != "" {
		return words
	}
	return "The application permission " + permission + "."
}

// PermissionNeed is one permission with the operations that declare it.
type PermissionNeed struct {
	Permission string
	Operations []Operation
}

// PermissionNeeds lists what the operations that can be started need, each permission once, sorted: the least set to ask consent for.
func PermissionNeeds() []PermissionNeed {
	var needs []PermissionNeed
	for _, o := range Catalogue() {
		for _, p := range o.Permissions {
			i := slices.IndexFunc(needs, func(n PermissionNeed) bool { return n.Permission == p })
			if i < 0 {
				i = len(needs)
				needs = append(needs, PermissionNeed{Permission: p})
			}
			needs[i].Operations = append(needs[i].Operations, o)
		}
	}
	slices.SortFunc(needs, func(a, b PermissionNeed) int {
		if a.Permission < b.Permission {
			return -1
		}
		return 1
	})
	return needs
}
