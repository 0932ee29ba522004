package view

import (
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"tenantpilot/projections"
)

// writeRows writes a spreadsheet of rows that come page by page, each when it is there: a long list is never whole in memory.
func writeRows[L any](w io.Writer, header []string, pages iter.Seq2[[]L, error], row func(L) []string) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	for page, err := range pages {
		if err != nil {
			return err
		}
		for _, l := range page {
			if err := out.Write(row(l)); err != nil {
				return fmt.Errorf("write csv: %w", err)
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}

// WriteRunsCSV writes runs as a spreadsheet, times in UTC. A text that a spreadsheet would take for a formula gets an apostrophe in front:
// names come from customers' directories.
func WriteRunsCSV(w io.Writer, pages iter.Seq2[[]projections.RunLine, error]) error {
	return writeRows(w, []string{
		"run", "operation", "tenant", "directory_id", "connection", "status", "outcome", "reason", "started_by", "trigger",
		"queued_at", "started_at", "ended_at", "summary",
	}, pages, func(l projections.RunLine) []string {
		outcome, reason := "", ""
		if l.Outcome != nil {
			outcome = string(*l.Outcome)
		}
		if l.Reason != nil {
			reason = string(*l.Reason)
		}
		return []string{
			strconv.FormatInt(l.Number, 10), string(l.Operation), plainCell(l.TenantName), l.TenantExternal.String(), plainCell(l.ConnectionLabel),
			string(l.Status), outcome, reason, plainCell(initiator(l).Name), string(l.Trigger),
			instantCell(l.AcceptedAt), instantCell(at(l.StartedAt)), instantCell(at(l.EndedAt)), plainCell(l.Summary),
		}
	})
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
