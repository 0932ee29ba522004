package view

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// ReadinessFacts is what the matrix is made from.
type ReadinessFacts struct {
	Situations []projections.TenantSituation
	Reason     domain.ReasonCode // only tenants where something is blocked by it; empty for all
	Can        func(domain.Capability) bool
	Behind     int64
	AsOf       time.Time
	Now        time.Time
}

// ReadinessMatrix says for every tenant and operation what a start would be answered. Its JSON is that of the route.
type ReadinessMatrix struct {
	At     time.Time `json:"computedAt"`
	Behind int64     `json:"eventsBehind"`
	// Reason is the filter, empty for none.
	Reason string         `json:"-"`
	Rows   []ReadinessRow `json:"tenants"`
	// Operations heads the columns.
	Operations []ReadinessOperation `json:"operations"`
	Advice     []PermissionAdvice   `json:"permissions"`

	Stale   *Staleness `json:"-"`
	Filters []Choice   `json:"-"`
	Counts  string     `json:"-"`
	CSVHref string     `json:"-"`
	Empty   *Empty     `json:"-"`
}

// ReadinessOperation is a column.
type ReadinessOperation struct {
	Type  string `json:"operationType"`
	Label string `json:"label"`
}

// ReadinessRow is a tenant.
type ReadinessRow struct {
	Label      string          `json:"tenant"`
	External   string          `json:"externalId"`
	Connection *string         `json:"connection"`
	Href       string          `json:"-"`
	Cells      []ReadinessCell `json:"readiness"`
}

// ReadinessCell is what one start would be answered.
type ReadinessCell struct {
	Operation string  `json:"operationType"`
	Status    string  `json:"status"` // accepted, deduped, scope_busy or blocked
	Reason    *string `json:"reasonCode"`
	Text      string  `json:"text"`
	Run       *int64  `json:"run"`

	ID   string `json:"-"`
	Word string `json:"-"`
	Href string `json:"-"`
}

// PermissionAdvice compares what operations need of one permission with where it is granted.
type PermissionAdvice struct {
	Permission string   `json:"permission"`
	Words      string   `json:"-"`
	Declared   []string `json:"declaredBy"`
	Granted    int      `json:"grantedIn"` // tenants whose connection was checked
	Checked    int      `json:"checked"`
	Missing    []Link   `json:"-"`
	MissingIn  []string `json:"missingIn"`
	Beyond     []Link   `json:"-"`
	BeyondIn   []string `json:"beyondNeedIn"`
}

// PresentReadiness asks the gate about every tenant and words the answers.
func PresentReadiness(f ReadinessFacts) ReadinessMatrix {
	m := ReadinessMatrix{At: f.Now, Behind: f.Behind, Reason: string(f.Reason), Rows: []ReadinessRow{}, CSVHref: "/admin/readiness?format=csv"}
	if f.Reason != "" {
		m.CSVHref += "&reason=" + url.QueryEscape(string(f.Reason))
	}
	if f.Behind > 0 {
		m.Stale = &Staleness{AsOf: f.AsOf, Behind: int(f.Behind)}
	}
	reasons, statuses := map[domain.ReasonCode]int{}, map[string]int{}
	for _, s := range f.Situations {
		answers := domain.ReadinessOf(s.Situation(), f.Now)
		row := f.row(s, answers)
		seen := map[domain.ReasonCode]bool{}
		for i, a := range answers {
			statuses[row.Cells[i].Status]++
			if a.Reason != "" && !seen[a.Reason] {
				seen[a.Reason] = true
				reasons[a.Reason]++
			}
		}
		if len(m.Operations) == 0 {
			for _, a := range answers {
				m.Operations = append(m.Operations, ReadinessOperation{string(a.Operation.Type), a.Operation.Label})
			}
		}
		if f.Reason == "" || seen[f.Reason] {
			m.Rows = append(m.Rows, row)
		}
	}
	m.Filters = reasonFilters(reasons, f.Reason, len(f.Situations))
	m.Counts = fmt.Sprintf("%d would start, %d would join, %d busy, %d blocked",
		statuses["accepted"], statuses["deduped"], statuses["scope_busy"], statuses["blocked"])
	m.Advice = advise(f.Situations)
	if len(m.Rows) == 0 {
		m.Empty = &Empty{Icon: "building-2", Title: "No tenants to show", Text: "No tenant that you can see is blocked by this reason.", Actions: []Button{{Label: "Show all", Href: "/admin/readiness"}}}
		if f.Reason == "" {
			m.Empty.Text, m.Empty.Actions = "There is no tenant that you can see.", nil
		}
	}
	return m
}

func (f ReadinessFacts) row(s projections.TenantSituation, answers []domain.Readiness) ReadinessRow {
	external := s.Tenant.ExternalID.String()
	row := ReadinessRow{Label: s.Tenant.Name, External: external, Href: TenantHref(external)}
	if s.Connection != nil {
		row.Connection = Text(s.Connection.DisplayName)
	}
	for _, a := range answers {
		cell := ReadinessCell{
			Operation: string(a.Operation.Type), Status: string(a.Outcome), Word: readinessWord(a.Outcome), Href: row.Href,
			ID: "ready-" + strconv.FormatInt(s.Tenant.Number, 10) + "-" + strings.ReplaceAll(string(a.Operation.Type), ".", "-"),
		}
		if f.Can(a.Operation.Capability) {
			cell.Href = "/admin/t/" + external + "/start?operation=" + string(a.Operation.Type)
		}
		switch a.Outcome {
		case domain.Accepted:
			cell.Text = "Would start now."
		case domain.IsBlocked:
			cell.Reason, cell.Text = Text(string(a.Reason)), domain.ReasonFor(a.Reason).Given(a.Facts).Short
			if len(a.Facts.Permissions) > 0 {
				cell.Text += " Affected: " + strings.Join(a.Facts.Permissions, ", ") + "."
			}
			if a.Facts.HoldReason != "" {
				cell.Text += " Reason given: " + a.Facts.HoldReason + "."
			}
		default:
			cell.Run = &a.Holder.RunNumber
			cell.Text = holderText(a, s.HolderName)
		}
		row.Cells = append(row.Cells, cell)
	}
	return row
}

func readinessWord(o domain.Outcome) string {
	switch o {
	case domain.Accepted:
		return "Would start"
	case domain.Deduped:
		return "Would join"
	case domain.Busy:
		return "Busy"
	}
	return "Blocked"
}

func holderText(a domain.Readiness, name string) string {
	text := "Run " + strconv.FormatInt(a.Holder.RunNumber, 10)
	if name != "" {
		text += ", started by " + name + ","
	}
	if a.Outcome == domain.Deduped {
		return text + " does the same work now."
	}
	return text + " is using the connection: " + lowerFirst(domain.OperationByType(a.Holder.Operation).Label) + "."
}

func reasonFilters(reasons map[domain.ReasonCode]int, current domain.ReasonCode, all int) []Choice {
	filters := []Choice{{Label: "All tenants", Href: "/admin/readiness", Current: current == "", Count: &all}}
	codes := make([]domain.ReasonCode, 0, len(reasons))
	for code := range reasons {
		codes = append(codes, code)
	}
	slices.SortFunc(codes, func(a, b domain.ReasonCode) int {
		return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
	})
	for _, code := range codes {
		count := reasons[code]
		filters = append(filters, Choice{
			Label: strings.TrimSuffix(domain.ReasonFor(code).Short, "."), Href: "/admin/readiness?reason=" + url.QueryEscape(string(code)),
			Current: code == current, Count: &count,
		})
	}
	return filters
}

// advise compares the needs of the operations that can be started with what is granted, over the default connections that were checked.
func advise(situations []projections.TenantSituation) []PermissionAdvice {
	var all []PermissionAdvice
	for _, need := range domain.PermissionNeeds() {
		a := PermissionAdvice{Permission: need.Permission, Words: domain.PermissionWords(need.Permission)}
		for _, o := range need.Operations {
			a.Declared = append(a.Declared, o.Label)
		}
		all = append(all, a)
	}
	needed := len(all)
	for _, s := range situations {
		if s.Connection == nil || !s.Connection.State().PermissionsKnown() {
			continue
		}
		tenant := Link{s.Tenant.Name, TenantHref(s.Tenant.ExternalID.String())}
		for i := range all[:needed] {
			all[i].Checked++
			if s.Connection.State().Permission(all[i].Permission) != domain.PermissionMissing {
				all[i].Granted++
				continue
			}
			all[i].Missing = append(all[i].Missing, tenant)
		}
		for _, p := range s.Connection.Granted {
			i := slices.IndexFunc(all, func(a PermissionAdvice) bool { return a.Permission == p })
			switch {
			case i < 0:
				all = append(all, PermissionAdvice{Permission: p, Words: domain.PermissionWords(p), Granted: 1, Beyond: []Link{tenant}})
			case i >= needed:
				all[i].Granted++
				all[i].Beyond = append(all[i].Beyond, tenant)
			}
		}
	}
	slices.SortFunc(all[needed:], func(a, b PermissionAdvice) int { return cmp.Compare(a.Permission, b.Permission) })
	for i, a := range all {
		all[i].Declared = append([]string{}, a.Declared...)
		all[i].MissingIn, all[i].BeyondIn = labels(a.Missing), labels(a.Beyond)
	}
	return all
}

func labels(links []Link) []string {
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Label
	}
	return names
}

// WriteReadinessCSV writes the matrix as a spreadsheet, one line per tenant and operation.
func WriteReadinessCSV(w io.Writer, m ReadinessMatrix) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"tenant", "directory_id", "operation", "status", "reason", "text", "run", "computed_at"}}
	for _, r := range m.Rows {
		for _, c := range r.Cells {
			run := ""
			if c.Run != nil {
				run = strconv.FormatInt(*c.Run, 10)
			}
			rows = append(rows, []string{plainCell(r.Label), r.External, c.Operation, c.Status, String(c.Reason), plainCell(c.Text), run, Instant(m.At)})
		}
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}
