package graphsim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
)

// group and role are rows as Graph shows them.
type group map[string]any

type role map[string]any

// id derives a stable GUID from the seed and what it is for.
func id(seed uint64, kind string, n int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d/%s/%d", seed, kind, n))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80 // version 4, RFC 9562 variant
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// draw makes a generator for one row, so that any row can be made without those before it.
func draw(seed uint64, kind string, n int) *rand.Rand {
	h := sha256.Sum256([]byte(kind))
	return rand.New(rand.NewPCG(seed^binary.BigEndian.Uint64(h[:8]), uint64(n)+1))
}

var (
	departments = []string{"Finance", "Sales", "Engineering", "People", "Legal", "Marketing", "Operations", "Support", "Procurement", "Research", "Facilities", "IT"}
	places      = []string{"Berlin", "Zurich", "Vienna", "Munich", "Hamburg", "Lyon", "Madrid", "Oslo", "Dublin", "Warsaw"}
	licences    = []string{"M365 E3", "M365 E5", "Visio Plan 2", "Project Plan 3", "Power BI Pro", "Intune Suite"}
	apps        = []string{"Salesforce", "ServiceNow", "Jira", "SAP", "Confluence", "GitHub Enterprise", "DATEV", "Miro"}
	devices     = []string{"Windows Autopilot", "iOS Corporate", "Android Kiosk", "macOS Managed", "Shared PCs"}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// groupName composes the kinds of names that real directories are full of.
func groupName(r *rand.Rand) string {
	switch r.IntN(6) {
	case 0:
		return "SG-" + pick(r, departments) + "-" + pick(r, places)
	case 1:
		return "All " + pick(r, departments) + " " + pick(r, places)
	case 2:
		return "LIC-" + pick(r, licences)
	case 3:
		return "APP-" + pick(r, apps) + "-Users"
	case 4:
		return "Intune " + pick(r, devices) + " " + pick(r, places)
	}
	return pick(r, departments) + " Team " + pick(r, places)
}

// groupAt is the n-th group after it was renamed so many times.
func groupAt(seed uint64, n, renames int) group {
	r := draw(seed, "group", n)
	name := fmt.Sprintf("%s %03d", groupName(r), n+1)
	if renames > 0 {
		name = fmt.Sprintf("%s (rev %d)", name, renames)
	}
	g := group{
		"id": id(seed, "group", n), "displayName": name, "description": "Managed by " + pick(r, departments),
		"groupTypes": []string{}, "securityEnabled": true, "mailEnabled": false,
		"isAssignableToRole": r.IntN(25) == 0, "membershipRule": nil, "onPremisesSyncEnabled": nil,
	}
	switch r.IntN(10) {
	case 0, 1:
		g["groupTypes"], g["mailEnabled"] = []string{"Unified"}, true
	case 2, 3:
		g["groupTypes"] = []string{"DynamicMembership"}
		g["membershipRule"] = fmt.Sprintf(`(user.department -eq %q)`, pick(r, departments))
	case 4:
		g["onPremisesSyncEnabled"] = true
	}
	return g
}

// groupState is a tenant's groups after a number of rounds of changes: which exist, and how often each
// was renamed. Each round adds one group, renames two and removes one.
type groupState struct {
	alive   []int
	renames map[int]int
}

func groupsAfter(n, rounds int) groupState {
	s := groupState{renames: map[int]int{}}
	gone := map[int]bool{}
	for g := 1; g <= rounds; g++ {
		_, renamed, removed := roundOf(n, g) // the rows added are n to n+rounds-1
		for _, i := range renamed {
			s.renames[i]++
		}
		gone[removed] = true
	}
	total := n
	if n > 0 {
		total = n + rounds
	}
	for i := range total {
		if !gone[i] {
			s.alive = append(s.alive, i)
		}
	}
	return s
}

// roundOf says what round g changes in a directory that began with n groups.
func roundOf(n, g int) (added int, renamed []int, removed int) {
	if n == 0 {
		return -1, nil, -1
	}
	return n + g - 1, []int{(11*g + 1) % n, (13*g + 5) % n}, (7*g + 3) % n
}

// changedGroups are the numbers of the groups touched between two rounds, each once.
func changedGroups(n, from, to int) []int {
	touched := []int{}
	for g := from + 1; g <= to && n > 0; g++ {
		added, renamed, removed := roundOf(n, g)
		touched = append(append(touched, added, removed), renamed...)
	}
	slices.Sort(touched)
	return slices.Compact(touched)
}

// rows shows groups by number: as they are now, or as a removal.
func (s groupState) rows(seed uint64, numbers []int) []group {
	rows := make([]group, 0, len(numbers))
	for _, i := range numbers {
		if _, found := slices.BinarySearch(s.alive, i); found {
			rows = append(rows, groupAt(seed, i, s.renames[i]))
			continue
		}
		rows = append(rows, group{"id": id(seed, "group", i), "@removed": map[string]string{"reason": "changed"}})
	}
	return rows
}

// builtInRoles are names of Microsoft Entra built-in roles.
var builtInRoles = []string{
	"Global Administrator", "Global Reader", "User Administrator", "Helpdesk Administrator", "Security Administrator",
	"Security Reader", "Security Operator", "Conditional Access Administrator", "Application Administrator",
	"Cloud Application Administrator", "Application Developer", "Authentication Administrator",
	"Privileged Authentication Administrator", "Privileged Role Administrator", "Intune Administrator",
	"Exchange Administrator", "SharePoint Administrator", "Teams Administrator", "Teams Communications Administrator",
	"Billing Administrator", "Compliance Administrator", "Compliance Data Administrator", "Directory Readers",
	"Directory Writers", "Domain Name Administrator", "Groups Administrator", "Guest Inviter",
	"Hybrid Identity Administrator", "Identity Governance Administrator", "License Administrator",
	"Message Center Reader", "Network Administrator", "Office Apps Administrator", "Password Administrator",
	"Power Platform Administrator", "Printer Administrator", "Reports Reader", "Search Administrator",
	"Service Support Administrator", "Usage Summary Reports Reader", "Windows 365 Administrator",
	"Windows Update Deployment Administrator",
}

// roles are a tenant's role definitions: the built-in ones, which have the same ids everywhere, then
// custom ones.
func roles(seed uint64, n int) []role {
	rows := make([]role, 0, n)
	for i := range n {
		if i < len(builtInRoles) {
			template := id(0, "role", i)
			rows = append(rows, roleRow(template, template, builtInRoles[i], true))
			continue
		}
		r := draw(seed, "role", i)
		name := fmt.Sprintf("Custom %s operator %s %d", pick(r, departments), pick(r, places), i-len(builtInRoles)+1)
		rows = append(rows, roleRow(id(seed, "role", i), id(seed, "roletemplate", i), name, false))
	}
	return rows
}

func roleRow(rowID, template, name string, builtIn bool) role {
	return role{
		"id": rowID, "templateId": template, "displayName": name, "isBuiltIn": builtIn, "isEnabled": true,
		"version": "1", "description": "Can carry out the tasks of " + name + ".",
		"rolePermissions": []map[string]any{{"allowedResourceActions": []string{
			"microsoft.directory/groups/standard/read", "microsoft.directory/users/standard/read",
		}}},
	}
}
