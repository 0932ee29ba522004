package view

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// PermissionTruth holds three things against each other for every permission: what our operations declare, what the tenant has granted, and
// what happened when it was used.
type PermissionTruth struct {
	Now time.Time `json:"-"`
	// ID is the element's id, Title its heading.
	ID    string `json:"-"`
	Title string `json:"-"`
	// CheckedAt is when the grants were read; zero means never.
	CheckedAt time.Time       `json:"checkedAt,omitzero"`
	Verdict   string          `json:"verdict"`
	Rows      []PermissionRow `json:"permissions"`
}

// PermissionRow is the truth about one permission.
type PermissionRow struct {
	Name        string                 `json:"permission"`
	Words       string                 `json:"-"`
	Declared    []string               `json:"declaredBy"` // operations; empty for one that is granted and not needed
	Granted     domain.PermissionState `json:"granted"`
	LastOK      *Exercised             `json:"lastSuccess"`
	LastRefusal *Exercised             `json:"lastRefusal"`
}

// Exercised is a run that used a permission.
type Exercised struct {
	At     time.Time `json:"at"`
	Run    int64     `json:"run"`
	Label  string    `json:"operation"`
	Reason string    `json:"-"`
}

// TruthFacts is what the truth about permissions is presented from.
type TruthFacts struct {
	Connection domain.ProviderConnection
	CheckedAt  time.Time // zero: never
	Exercises  []projections.Exercise
	Now        time.Time
}

// ConnectionTruth is what is known now about a connection's permissions.
func ConnectionTruth(c projections.Connection, exercises []projections.Exercise, now time.Time) PermissionTruth {
	p := PresentPermissions(TruthFacts{Connection: c.State(), CheckedAt: at(c.LastCheckedAt), Exercises: exercises, Now: now})
	p.ID, p.Title = "permissions-"+strconv.FormatInt(c.Number, 10), "Permissions of "+c.DisplayName
	return p
}

// CheckTruth is what one check found, with what it tried itself.
func CheckTruth(r projections.Run, found projections.Finding, now time.Time) PermissionTruth {
	var exercises []projections.Exercise
	for _, i := range r.Items {
		if i.Type == "permission" && i.Intent == "read" {
			exercises = append(exercises, projections.Exercise{
				Permission: i.Key, OK: i.Result == domain.ItemConfirmed, RunNumber: r.Number, Operation: r.Operation, At: at(r.EndedAt), Reason: i.Reason,
			})
		}
	}
	p := PresentPermissions(TruthFacts{
		Connection: domain.ProviderConnection{Verification: found.State, Granted: found.Granted, Refused: found.Refused},
		CheckedAt:  found.CheckedAt, Exercises: exercises, Now: now,
	})
	p.ID, p.Title = "run-permissions", "Verification report"
	return p
}

// PresentPermissions lists what is declared and what is granted, each permission once: those that are needed first.
func PresentPermissions(f TruthFacts) PermissionTruth {
	p := PermissionTruth{Now: f.Now}
	if f.Connection.PermissionsKnown() {
		p.CheckedAt = f.CheckedAt
	}
	for _, need := range domain.PermissionNeeds() {
		row := f.row(need.Permission)
		for _, o := range need.Operations {
			row.Declared = append(row.Declared, o.Label)
		}
		p.Rows = append(p.Rows, row)
	}
	for _, name := range f.Connection.Granted {
		if !slices.ContainsFunc(p.Rows, func(r PermissionRow) bool { return r.Name == name }) {
			p.Rows = append(p.Rows, f.row(name))
		}
	}
	p.Verdict = p.verdict()
	return p
}

func (f TruthFacts) row(name string) PermissionRow {
	row := PermissionRow{Name: name, Words: domain.PermissionWords(name), Declared: []string{}, Granted: f.Connection.Permission(name)}
	for _, e := range f.Exercises {
		if e.Permission != name {
			continue
		}
		used := &Exercised{At: e.At, Run: e.RunNumber, Label: domain.OperationByType(e.Operation).Label}
		if e.OK {
			row.LastOK = used
			continue
		}
		if e.Reason != "" {
			used.Reason = domain.ReasonFor(e.Reason).Short
		}
		row.LastRefusal = used
	}
	return row
}

// verdict sums the rows up in one sentence.
func (p PermissionTruth) verdict() string {
	counts, beyond := map[domain.PermissionState]int{}, 0
	for _, r := range p.Rows {
		if r.Beyond() {
			beyond++
			continue
		}
		counts[r.Granted]++
	}
	needed := len(p.Rows) - beyond
	if counts[domain.PermissionUnknown] == needed {
		return "It is not known what the tenant has granted."
	}
	parts := []string{strconv.Itoa(counts[domain.PermissionGranted]) + " of " + narrate.Count(needed, "needed permission") + " granted"}
	if n := counts[domain.PermissionMissing]; n > 0 {
		parts = append(parts, strconv.Itoa(n)+" missing")
	}
	if n := counts[domain.PermissionRefused]; n > 0 {
		parts = append(parts, strconv.Itoa(n)+" granted but refused")
	}
	if n := beyond; n > 0 {
		parts = append(parts, strconv.Itoa(n)+" granted that nothing here needs")
	}
	return strings.Join(parts, ", ") + "."
}

// Beyond says whether the permission is granted and nothing here needs it.
func (r PermissionRow) Beyond() bool { return len(r.Declared) == 0 }

// GrantBadge is what the tenant has granted, as a badge.
func (r PermissionRow) GrantBadge() Badge {
	if r.Granted == domain.PermissionGranted && r.Beyond() {
		return Badge{Icon: "info", Word: "Granted, not needed", Tone: Warning}
	}
	return GrantBadge(r.Granted)
}

// GrantBadge is what is known about a permission that is needed.
func GrantBadge(g domain.PermissionState) Badge {
	return vocabulary{
		string(domain.PermissionGranted): {Icon: "circle-check", Word: "Granted", Tone: Positive},
		string(domain.PermissionRefused): {Icon: "shield-x", Word: "Granted, but refused", Tone: Stop},
		string(domain.PermissionMissing): {Icon: "circle-x", Word: "Missing", Tone: Negative},
		string(domain.PermissionUnknown): {Icon: "circle-question-mark", Word: "Not known", Tone: Neutral},
	}.of(string(g))
}

// VerificationButtons are what a viewer can do about a connection's verification: start a check, or while one runs look again, and get the
// consent that a check would miss. here is the page that the buttons stand on.
func VerificationButtons(c projections.Connection, t projections.Tenant, can func(domain.Capability) bool, here string) []Button {
	var buttons []Button
	lacks := c.Consent == domain.ConsentRequired || c.Consent == domain.ConsentIsGone || c.Consent == domain.ConsentIsFailed
	if lacks && can(domain.CapProviderManage) {
		buttons = append(buttons, Button{Label: "Get consent", Icon: "link", Href: ConsentHref(c.Number)})
	}
	switch {
	case c.ScopeRunNumber != nil && c.ScopeOperation == domain.OpConnectionCheck:
		buttons = append(buttons, Button{Label: "Refresh", Icon: "refresh-cw", Href: here})
	case can(domain.CapProviderVerify):
		href := "/admin/t/" + t.ExternalID.String() + "/start?operation=" + string(domain.OpConnectionCheck) +
			"&providerConnectionId=" + strconv.FormatInt(c.Number, 10)
		if lacks {
			href += "&reconsent=true"
		}
		buttons = append(buttons, Button{Label: "Start verification", Icon: "shield-check", Dialog: true, Href: href})
	}
	return buttons
}
