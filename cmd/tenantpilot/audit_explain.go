package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

func auditExplainCommand() *cobra.Command {
	var dataDir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain RUN|ATTEMPT", Short: "Say why a start was answered as it was, with the facts it was decided on",
		Long: `Read the receipt of a start attempt and tell it in sentences. RUN is the number of a run, ATTEMPT the id of an attempt; both also as
"audit events" shows them, run/1042 and attempt/0198d3c2-...

Exit codes: 0 explained, 1 error, or events of the log are set aside and may be missing, 2 usage, 5 there is no such run or attempt.`,
		Args: oneArg("RUN or ATTEMPT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := receiptFilter(args[0])
			if err != nil {
				return usage(err)
			}
			return askAuditor(cmd.Context(), dataDir, cmd.ErrOrStderr(), func(auditor projections.Auditor) error {
				return explain(cmd.Context(), auditor, cmd.OutOrStdout(), filter, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the receipt as JSON")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

// oneArg wants exactly one argument, of the name.
func oneArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage(fmt.Errorf("%s takes one argument: %s", cmd.CommandPath(), name))
		}
		return nil
	}
}

func receiptFilter(arg string) (projections.AttemptFilter, error) {
	if number, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimPrefix(arg, "run/"), "#"), 10, 64); err == nil && number > 0 {
		return projections.AttemptFilter{Run: number, Outcome: []projections.Match{{Values: []string{string(domain.Accepted)}}}}, nil
	}
	id, err := uuid.Parse(strings.TrimPrefix(arg, "attempt/"))
	if err != nil || id == uuid.Nil {
		return projections.AttemptFilter{}, fmt.Errorf("%q is neither the number of a run nor the id of an attempt", arg)
	}
	return projections.AttemptFilter{Attempts: []uuid.UUID{id}}, nil
}

func explain(ctx context.Context, auditor projections.Auditor, out io.Writer, filter projections.AttemptFilter, asJSON bool) error {
	attempts, err := auditor.Attempts(ctx, filter)
	if err != nil {
		return err
	}
	if len(attempts) == 0 {
		return &exitCode{exitNotFound, errors.New("there is no such run or attempt")}
	}
	for i, a := range attempts { // an id may have been used in two workspaces
		event, err := auditor.Receipt(ctx, a)
		if err != nil {
			return err
		}
		receipt, err := view.PresentReceipt(a, event)
		if err != nil {
			return err
		}
		if asJSON {
			encoder := json.NewEncoder(out)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(receipt); err != nil {
				return fmt.Errorf("write receipt: %w", err)
			}
			continue
		}
		out := plainWriter{out}
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "attempt %s: %s\n", a.Attempt, receipt.Outcome)
		for _, sentence := range receipt.Sentences {
			fmt.Fprintln(out, "  "+sentence)
		}
		fmt.Fprintf(out, "  Recorded at position %d, %s.\n", a.Position, narrate.Instant(a.At))
	}
	return nil
}
