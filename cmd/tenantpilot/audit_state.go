package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/projections"
)

func auditStateCommand() *cobra.Command {
	var dataDir, at string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "state OBJECT", Short: "Show a connection, tenant, run or onboarding as it was at any time",
		Long: `Fold an object's state from its events up to a time or a position of the log. OBJECT is connection/12,
tenant/4, run/1042 or onboarding/3.

Exit codes: 0 shown, 1 error, or events of the log are set aside and may be missing, 2 usage, 5 there is no such object, or there was none then.`,
		Example: `  tenantpilot audit state connection/12 --at 2026-11-18T09:14:07Z
  tenantpilot audit state run/1042 --at 214 --json`,
		Args: oneArg("OBJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, number, ok := projections.ParseObject(args[0])
			if !ok {
				return usage(fmt.Errorf("%q is no object with a state: write connection/12, tenant/4, run/1042 or onboarding/3", args[0]))
			}
			when, err := placeInLog("at", at)
			if err != nil {
				return usage(err)
			}
			return askAuditor(cmd.Context(), dataDir, cmd.ErrOrStderr(), func(auditor projections.Auditor) error {
				return showState(cmd.Context(), auditor, cmd.OutOrStdout(), cmd.ErrOrStderr(), kind, number, when, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "a position of the log, or a time (default: now)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the state as JSON")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func showState(ctx context.Context, auditor projections.Auditor, out, notes io.Writer, kind string, number int64, when projections.When, asJSON bool) error {
	object, err := auditor.Object(ctx, kind, number)
	if errors.Is(err, projections.ErrNoRow) {
		return &exitCode{exitNotFound, fmt.Errorf("there is no %s", projections.ObjectName(kind, number))}
	}
	if err != nil {
		return err
	}
	if head, err := auditor.Head(ctx); err != nil {
		return err
	} else if when.Position > head {
		return &exitCode{exitNotFound, fmt.Errorf("the log ends at position %d", head)}
	}
	moment, err := auditor.MomentOf(ctx, object, when)
	if err != nil {
		return err
	}
	if moment.Step == 0 {
		return &exitCode{exitNotFound, fmt.Errorf("%s was not there yet: it began at position %d, %s", object.Name(), moment.First, narrate.Instant(moment.FirstAt))}
	}
	states, err := auditor.StatesAt(ctx, object, moment.Position)
	if err != nil {
		return err
	}
	if note := view.UnreadNote(states[0]); note != "" {
		fmt.Fprintln(notes, note)
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(states[0].Value()); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
		return nil
	}
	fields, err := narrate.Fields(states[0].Value())
	if err != nil {
		return err
	}
	out = plainWriter{out}
	fmt.Fprintf(out, "%s after event %d of %d, position %d, %s\n", object.Name(), moment.Step, moment.Steps, moment.Position, narrate.Instant(moment.At))
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, f := range fields {
		if f.Value != "" {
			fmt.Fprintf(w, "  %s\t%s\n", f.Name, f.Value)
		}
	}
	return w.Flush()
}
