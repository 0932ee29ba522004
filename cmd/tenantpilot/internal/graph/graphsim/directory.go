package graphsim

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (q *request) organization() {
	directory := q.tenant.ID
	if q.tenant.Scenario == ScenarioOtherDirectory {
		directory = id(q.tenant.Seed, "other directory", 0)
	}
	domain := strings.ToLower(strings.Join(strings.Fields(q.tenant.Name), "")) + ".onmicrosoft.com"
	q.rows = 1
	q.answer(map[string]any{"value": []map[string]any{{
		"id": directory, "displayName": q.tenant.Name, "tenantType": "AAD",
		"verifiedDomains": []map[string]any{{"name": domain, "isDefault": true, "isInitial": true}},
	}}})
}

func (q *request) servicePrincipal() {
	appID := q.args[0]
	if appID == graphAppID {
		if !slices.Contains(q.tenant.granted(), "Application.Read.All") {
			q.deny()
			return
		}
		q.answer(map[string]any{"id": id(q.tenant.Seed, "graph", 0), "appRoles": appRoles(q.tenant.Permissions)})
		return
	}
	if q.tenant.AppID != "" && !strings.EqualFold(appID, q.tenant.AppID) {
		q.fail(http.StatusNotFound, "Request_ResourceNotFound", "Resource does not exist or one of its queried reference-property objects are not present.")
		return
	}
	q.answer(map[string]any{"id": id(q.tenant.Seed, "sp", 0), "appId": appID, "accountEnabled": true, "disabledByMicrosoftStatus": nil})
}

// appRoles gives every permission an id that is the same in all directories.
func appRoles(extra []string) []map[string]any {
	names := append(DefaultPermissions(), "Group.Read.All", "User.Read.All", "Policy.ReadWrite.ConditionalAccess",
		"DeviceManagementConfiguration.ReadWrite.All", "Organization.Read.All")
	for _, name := range extra {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	rows := make([]map[string]any, 0, len(names))
	for _, name := range names {
		rows = append(rows, map[string]any{
			"id": id(0, "permission "+name, 0), "value": name, "isEnabled": true, "allowedMemberTypes": []string{"Application"},
		})
	}
	return rows
}

// appRoleAssignments lists the grants, and one grant of another API, which clients have to leave alone.
func (q *request) appRoleAssignments() {
	if q.args[0] != id(q.tenant.Seed, "sp", 0) {
		q.fail(http.StatusNotFound, "Request_ResourceNotFound", "Resource does not exist.")
		return
	}
	rows := []map[string]any{{
		"appRoleId": id(0, "other api", 0), "resourceId": id(0, "other api", 1), "resourceDisplayName": "Office 365 Exchange Online",
	}}
	for _, name := range q.tenant.granted() {
		rows = append(rows, map[string]any{
			"appRoleId": id(0, "permission "+name, 0), "resourceId": id(q.tenant.Seed, "graph", 0),
			"resourceDisplayName": "Microsoft Graph", "principalId": q.args[0],
		})
	}
	list(q, rows, 0, asIs[map[string]any])
}

func (q *request) groups() {
	state := groupsAfter(q.tenant.Groups, q.tenant.generation)
	list(q, state.alive, 999, func(numbers []int) []group { return state.rows(q.tenant.Seed, numbers) })
}

func (q *request) roleDefinitions() {
	list(q, roles(q.tenant.Seed, q.tenant.RoleDefinitions), 999, asIs[role])
}

func asIs[T any](rows []T) []T { return rows }

// list answers one page of rows, shown by show. $top is honoured up to maxTop, where the collection
// knows it at all.
func list[T, Row any](q *request, rows []T, maxTop int, show func([]T) []Row) {
	size, from, ok := q.window(maxTop)
	if !ok {
		return
	}
	size = q.pageSize(size, len(rows))
	next, out := cut(rows, from, size, q.pages())
	answer := map[string]any{"value": show(out)}
	if next > 0 {
		query := q.URL.Query()
		query.Set("$skiptoken", opaque("list", 0, 0, 0, next))
		answer["@odata.nextLink"] = q.link(q.URL.Path, query.Encode())
	}
	q.rows = len(out)
	q.answer(answer)
}

// window reads the page size wanted and where the page begins.
func (q *request) window(maxTop int) (size, from int, ok bool) {
	query := q.URL.Query()
	if text := query.Get("$top"); text != "" && maxTop > 0 {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxTop {
			q.fail(http.StatusBadRequest, "Request_BadRequest", "Invalid page size specified.")
			return 0, 0, false
		}
		size = n
	}
	if text := query.Get("$skiptoken"); text != "" {
		p, err := readOpaque("list", text)
		if err != nil {
			q.fail(http.StatusBadRequest, "Request_BadRequest", "Invalid skip token.")
			return 0, 0, false
		}
		from = p.offset
	}
	return size, from, true
}

// pages is the least number of pages of a listing; a slow tenant spreads its rows thin.
func (q *request) pages() int {
	if q.tenant.Scenario == ScenarioSlow && q.listing() {
		return q.sim.cfg.SlowPages
	}
	return 1
}

// pageSize is what was asked for, or the default, or less when the rows have to fill more pages.
func (q *request) pageSize(wanted, rows int) int {
	size := q.sim.cfg.PageSize
	if wanted > 0 {
		size = wanted
	}
	if pages := q.pages(); pages > 1 {
		size = min(size, max(1, rows/pages))
	}
	return size
}

// cut takes one page out of rows. Offsets count pages' rows, also those past the end: Graph too answers
// empty pages, and with them a listing reaches its least number of pages. next is 0 after the last page.
func cut[T any](rows []T, from, size, pages int) (next int, out []T) {
	out = []T{}
	if from < len(rows) {
		out = rows[from:min(from+size, len(rows))]
	}
	if end := from + size; end < len(rows) || end < size*pages {
		next = end
	}
	return next, out
}

// groupsDelta answers the initial round, its pages, and later rounds. Each use of a delta link finds one
// more round of changes.
func (q *request) groupsDelta() {
	query := q.URL.Query()
	switch {
	case query.Get("$deltatoken") != "":
		p, err := readOpaque("delta", query.Get("$deltatoken"))
		if err != nil || p.epoch != q.tenant.epoch || q.tenant.Scenario == ScenarioDeltaExpired {
			q.w.Header().Set("Location", q.link("/v1.0/groups/delta", ""))
			q.fail(http.StatusGone, "syncStateNotFound", "The sync state generation is not found. Perform a full sync.")
			return
		}
		from := p.to
		q.update(func(t *tenant) {
			if t.generation == from {
				t.generation++
			}
			q.tenant = *t
		})
		q.deltaPage(place{epoch: p.epoch, from: from, to: q.tenant.generation})
	case query.Get("$skiptoken") != "":
		p, err := readOpaque("skip", query.Get("$skiptoken"))
		if err != nil || p.epoch != q.tenant.epoch {
			q.fail(http.StatusBadRequest, "resyncRequired", "Resync required.")
			return
		}
		q.deltaPage(p)
	default:
		q.deltaPage(place{epoch: q.tenant.epoch, from: -1, to: q.tenant.generation})
	}
}

// deltaPage answers the rows between two rounds; from -1 means all rows.
func (q *request) deltaPage(p place) {
	state := groupsAfter(q.tenant.Groups, p.to)
	numbers := state.alive
	if p.from >= 0 {
		numbers = changedGroups(q.tenant.Groups, p.from, p.to)
	}
	next, out := cut(numbers, p.offset, q.pageSize(0, len(numbers)), q.pages())
	answer := map[string]any{"value": state.rows(q.tenant.Seed, out)}
	switch {
	case q.tenant.Scenario == ScenarioHostileNextLink:
		answer["@odata.nextLink"] = q.sim.cfg.HostileURL
	case next > 0:
		answer["@odata.nextLink"] = q.link("/v1.0/groups/delta", "$skiptoken="+opaque("skip", p.epoch, p.from, p.to, next))
	default:
		answer["@odata.deltaLink"] = q.link("/v1.0/groups/delta", "$deltatoken="+opaque("delta", p.epoch, 0, p.to, 0))
	}
	q.rows = len(out)
	q.answer(answer)
}

// place is where a token points: a directory's epoch, the rounds it spans, and a row.
type place struct{ epoch, from, to, offset int }

func opaque(kind string, epoch, from, to, offset int) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s %d %d %d %d", kind, epoch, from, to, offset))
}

func readOpaque(kind, text string) (place, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return place{}, err
	}
	var got string
	var p place
	if _, err := fmt.Sscanf(string(raw), "%s %d %d %d %d", &got, &p.epoch, &p.from, &p.to, &p.offset); err != nil {
		return place{}, err
	}
	if got != kind || p.from < -1 || p.to < 0 || p.offset < 0 {
		return place{}, fmt.Errorf("graphsim: not a %s token", kind)
	}
	return p, nil
}

func (q *request) link(path, query string) string {
	if query == "" {
		return baseURL(q.Request) + path
	}
	return baseURL(q.Request) + path + "?" + query
}

// answer sends a page and counts it.
func (q *request) answer(body map[string]any) {
	q.count(func(c *Counts) { c.Pages++; c.Rows += q.rows })
	body["@odata.context"] = baseURL(q.Request) + "/v1.0/$metadata"
	writeJSON(q.w, http.StatusOK, body)
}
