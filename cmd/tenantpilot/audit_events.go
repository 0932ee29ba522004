package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// auditEvents is what the flags of `tenantpilot audit events` say.
type auditEvents struct {
	dataDir, workspace, attempt, from, to, format string
	matches                                       map[string]*[]string
	filter                                        projections.AuditFilter
	limit                                         int
}

func auditEventsCommand() *cobra.Command {
	a := auditEvents{matches: map[string]*[]string{}}
	cmd := &cobra.Command{
		Use: "events", Short: "List what happened, told in sentences", Args: noArgs,
		Long: `List events of the log, newest first. A value with a leading "-" excludes: --event=-RunProgressed. Flags that filter can be given more
than once; the values of one flag are alternatives.

Exit codes: 0 listed (also when nothing matches), 1 error, or events of the log are set aside and may be missing, 2 usage.`,
		Example: `  tenantpilot audit events --object connection/12
  tenantpilot audit events --event StartBlocked --from 2026-11-01 --format csv > blocked.csv`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	for _, flag := range [][2]string{
		{"tenant", "part of the tenant's name or domain, or its directory id"},
		{"kind", "kind of object: " + strings.Join(projections.ObjectKinds(), ", ")},
		{"event", "name of the event, for example StartBlocked"},
		{"actor", "person's id or part of the name, or system"},
		{"outcome", "how it ended: " + strings.Join(projections.AuditOutcomes(), ", ")},
		{"reason", "reason code"},
	} {
		a.matches[flag[0]] = f.StringArray(flag[0], nil, flag[1])
	}
	f.StringVar(&a.workspace, "workspace", "", "id of the workspace (default: all)")
	f.StringVar(&a.filter.Object, "object", "", "the whole story of an object, for example run/1042, connection/12, tenant/4 or onboarding/3")
	f.StringVar(&a.attempt, "attempt", "", "id of a start attempt: its receipt and all that followed")
	f.StringVar(&a.from, "from", "", "not before this time (2026-11-18, 2026-11-18T09:14:07Z) or position; a bare number is a position")
	f.StringVar(&a.to, "to", "", "before this time, or up to this position")
	f.BoolVar(&a.filter.Forward, "forward", false, "oldest first")
	f.IntVar(&a.limit, "limit", 100, "at most so many events; 0 for all")
	f.StringVar(&a.format, "format", "table", "table, jsonl (one JSON object a line) or csv")
	dataDirFlag(cmd, &a.dataDir)
	return cmd
}

func (a *auditEvents) run(ctx context.Context, out, notes io.Writer) error {
	if err := a.complete(); err != nil {
		return usage(err)
	}
	for _, code := range *a.matches["reason"] {
		if _, ok := domain.LookupReason(domain.ReasonCode(strings.TrimPrefix(code, "-"))); !ok {
			fmt.Fprintf(notes, "Note: %q is no reason code that this program knows.\n", code)
		}
	}
	return askAuditor(ctx, a.dataDir, notes, func(auditor projections.Auditor) error { return a.list(ctx, auditor, out) })
}

func (a *auditEvents) list(ctx context.Context, auditor projections.Auditor, out io.Writer) error {
	write, flush := a.writer(out)
	for left := a.limit; a.limit == 0 || left > 0; {
		a.filter.Limit = 1000
		if a.limit > 0 {
			a.filter.Limit = min(left, 1000)
		}
		lines, more, err := auditor.List(ctx, a.filter)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if err := write(l); err != nil {
				return fmt.Errorf("write event %d: %w", l.Position, err)
			}
		}
		left -= len(lines)
		if !more || len(lines) == 0 {
			break
		}
		if last := lines[len(lines)-1].Position; a.filter.Forward {
			a.filter.Newer = last
		} else {
			a.filter.Older = last
		}
	}
	return flush()
}

func (a *auditEvents) complete() error {
	for name, into := range map[string]*[]projections.Match{
		"tenant": &a.filter.TenantName, "kind": &a.filter.Kind, "event": &a.filter.Event, "actor": &a.filter.Actor,
		"outcome": &a.filter.Outcome, "reason": &a.filter.Reason,
	} {
		*into = matchesOf(*a.matches[name])
	}
	for _, closed := range []struct {
		flag, what string
		known      []string
	}{{"event", "event", domain.EventNames()}, {"kind", "kind of object", projections.ObjectKinds()}, {"outcome", "outcome", projections.AuditOutcomes()}} {
		for _, name := range *a.matches[closed.flag] {
			if !slices.Contains(closed.known, strings.TrimPrefix(name, "-")) {
				return fmt.Errorf("--%s %q is no %s; there are %s", closed.flag, name, closed.what, strings.Join(closed.known, ", "))
			}
		}
	}
	var err error
	if a.filter.Workspace, err = idFlag("workspace", a.workspace); err != nil {
		return err
	}
	if a.filter.Attempt, err = idFlag("attempt", a.attempt); err != nil {
		return err
	}
	if _, _, ok := projections.ParseObject(a.filter.Object); !ok && a.filter.Object != "" {
		return fmt.Errorf("--object %q is no object with a number: write connection/12, run/1042, tenant/4 or onboarding/3", a.filter.Object)
	}
	from, err := placeInLog("from", a.from)
	if err != nil {
		return err
	}
	to, err := placeInLog("to", a.to)
	if err != nil {
		return err
	}
	a.filter.FirstPosition, a.filter.From, a.filter.LastPosition, a.filter.To = from.Position, from.Time, to.Position, to.Time
	if !slices.Contains([]string{"table", "jsonl", "csv"}, a.format) {
		return fmt.Errorf("--format %q is none of table, jsonl and csv", a.format)
	}
	if a.limit < 0 {
		return errors.New("--limit is a number from 0 on")
	}
	return nil
}

// idFlag reads a flag's id; nil when there is none.
func idFlag(name, text string) (*uuid.UUID, error) {
	if text == "" {
		return nil, nil
	}
	id, err := uuid.Parse(text)
	if err != nil || id == uuid.Nil {
		return nil, fmt.Errorf("--%s %q is no id (a GUID)", name, text)
	}
	return &id, nil
}

func matchesOf(values []string) []projections.Match {
	var some, none projections.Match
	none.Not = true
	for _, v := range values {
		if bare, not := strings.CutPrefix(v, "-"); not {
			none.Values = append(none.Values, bare)
		} else {
			some.Values = append(some.Values, v)
		}
	}
	return slices.DeleteFunc([]projections.Match{some, none}, func(m projections.Match) bool { return len(m.Values) == 0 })
}

// placeInLog reads a flag's position or time; an empty text is neither.
func placeInLog(flag, text string) (projections.When, error) {
	when, ok := view.ParsePlace(text)
	if !ok && text != "" {
		return when, fmt.Errorf("--%s: %q is neither a position nor a time such as 2026-11-18 or 2026-11-18T09:14:07Z", flag, text)
	}
	return when, nil
}

// writer writes lines in the wanted format; flush ends it.
func (a *auditEvents) writer(out io.Writer) (write func(projections.AuditLine) error, flush func() error) {
	switch a.format {
	case "jsonl":
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return func(l projections.AuditLine) error { return encoder.Encode(view.AuditEventJSON(l)) }, func() error { return nil }
	case "csv":
		w := csv.NewWriter(out)
		header := w.Write(view.AuditCSVHeader())
		return func(l projections.AuditLine) error { return errors.Join(header, w.Write(view.AuditCSVRow(l))) },
			func() error { w.Flush(); return w.Error() }
	}
	w := tabwriter.NewWriter(plainWriter{out}, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "POSITION\tTIME\tACTOR\tOBJECT\tTENANT\tOUTCOME\tREASON\tWHAT HAPPENED")
	return func(l projections.AuditLine) error {
		e := view.AuditEventJSON(l)
		if l.ObjectKind == projections.ObjectAttempt && l.Attempt != nil {
			e.Object += "/" + l.Attempt.String() // which is what `audit explain` takes
		}
		_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Position, narrate.Instant(e.At), e.Actor.Name, e.Object, view.String(e.TenantName),
			view.String(e.Outcome), view.String(e.Reason), e.Sentence)
		return err
	}, w.Flush
}

// askAuditor lets an auditor answer, after waiting a moment for the newest events. Notes say how many do not come, and how many are set
// aside because they could not be applied; with these the answer is given all the same, but what may be incomplete is no success.
func askAuditor(ctx context.Context, dataDir string, notes io.Writer, answer func(projections.Auditor) error) error {
	return withAuditor(ctx, dataDir, func(ctx context.Context, pool *pgxpool.Pool, _ config) error {
		auditor := projections.NewAuditor(pool)
		behind, setAside, err := auditor.CatchUp(ctx, 2*time.Second)
		if err != nil {
			return err
		}
		if behind > 0 {
			fmt.Fprintf(notes, "tenantpilot: the audit log is behind, not shown yet: %s\n", narrate.Count(behind, "newer event"))
		}
		if setAside > 0 {
			fmt.Fprintf(notes, "tenantpilot: the answer may lack what could not be applied and is set aside, %s of the log: `tenantpilot projections` says why\n",
				narrate.Count(setAside, "event"))
		}
		if err := answer(auditor); err != nil || setAside == 0 {
			return err
		}
		return &exitCode{code: exitError}
	})
}
