package view

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"tenantpilot/projections"
)

// WriteRunsCSV writes runs as a spreadsheet, times in UTC. A text that a spreadsheet would take for a formula gets an apostrophe in front:
// names come from customers' directories.
func WriteRunsCSV(w io.Writer, lines []projections.RunLine) error {
	out := csv.NewWriter(w)
	rows := [][]string{{
		"run", "operation", "tenant", "directory_id", "connection", "status", "outcome", "reason", "started_by", "trigger",
		"queued_at", "started_at", "ended_at", "summary",
	}}
	for _, l := range lines {
		outcome, reason := "", ""
		if l.Outcome != nil {
			outcome = string(*l.Outcome)
		}
		if l.Reason != nil {
			reason = string(*l.Reason)
		}
		rows = append(rows, []string{
			strconv.FormatInt(l.Number, 10), string(l.Operation), plainCell(l.TenantName), l.TenantExternal.String(), plainCell(l.ConnectionLabel),
			string(l.Status), outcome, reason, plainCell(initiator(l).Name), string(l.Trigger),
			instantCell(l.AcceptedAt), instantCell(at(l.StartedAt)), instantCell(at(l.EndedAt)), plainCell(l.Summary),
		})
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}

func plainCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func instantCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Instant(t)
}
