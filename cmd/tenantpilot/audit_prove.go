package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/eventstore"
)

func auditHeadsCommand() *cobra.Command {
	var dataDir string
	var limit int
	var newest, asJSON bool
	cmd := &cobra.Command{
		Use: "heads", Short: "List the signed heads of the log", Args: noArgs,
		Long: `List the signed heads, the newest first. With --newest print the signed text of the newest alone: keep such heads somewhere that the
database's administrators cannot reach, and give them to "audit verify --head" later.`,
		Example: "  tenantpilot audit heads --newest > \"$(date +%F).note\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withEvidence(cmd.Context(), dataDir, func(ctx context.Context, s evidenceSource) error {
				out := cmd.OutOrStdout()
				if newest {
					head, err := s.newest(ctx)
					if err == nil {
						fmt.Fprint(out, head.Note)
					}
					return err
				}
				heads, err := s.Heads(ctx, 0, limit)
				if err != nil || asJSON {
					return errors.Join(err, json.NewEncoder(out).Encode(heads))
				}
				for _, h := range heads {
					fmt.Fprintf(out, "%12d events  %s\n", h.Size, h.At.Format("2006-01-02 15:04:05 UTC"))
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	cmd.Flags().BoolVar(&newest, "newest", false, "print the signed text of the newest head")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON, with their signed texts")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func auditProveCommand() *cobra.Command {
	var dataDir string
	var position, size, from, to int64
	cmd := &cobra.Command{
		Use: "prove", Short: "Prove that an event is in the log, or that one log is the beginning of another", Args: noArgs,
		Long: `Print a proof as JSON, with the signed heads that it is checked against. "tpverify --key KEY proof.json" checks it offline.

With --position: that the event there is in the log of --size events. With --from: that the first --from events are the beginning of the
first --to. The larger size is the newest head's unless it is given. Sizes are those of signed heads ("audit heads"): a proof between others
cannot be checked by who has no head of them.`,
		Example: "  tenantpilot audit prove --position 1812\n  tenantpilot audit prove --from 1000 --to 2000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (position > 0) == (from > 0) {
				return usage(errors.New("give either --position or --from, a number from 1 on"))
			}
			return withEvidence(cmd.Context(), dataDir, func(ctx context.Context, s evidenceSource) error {
				prove := func() (evidence.ProofDocument, error) { return s.ProveConsistency(ctx, from, to) }
				if position > 0 {
					prove = func() (evidence.ProofDocument, error) { return s.ProveInclusion(ctx, position, size) }
				}
				document, err := prove()
				if errors.Is(err, evidence.ErrNotThere) {
					return &exitCode{exitNotFound, err}
				}
				if err != nil {
					return err
				}
				if document.Head == "" {
					fmt.Fprintln(cmd.ErrOrStderr(), "No head of the larger size was signed, so nobody can check this: take a size from `tenantpilot audit heads`.")
				}
				if document.Consistency != nil && document.Earlier == "" {
					fmt.Fprintf(cmd.ErrOrStderr(), "No head of this size was signed, %d: take a size from `tenantpilot audit heads`, or check this with a head of that size "+
						"that you have kept (tpverify --earlier).\n", from)
				}
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(document)
			})
		},
	}
	cmd.Flags().Int64Var(&position, "position", 0, "position of the event")
	cmd.Flags().Int64Var(&size, "size", 0, "number of events of the log that it is in (default: the newest head's)")
	cmd.Flags().Int64Var(&from, "from", 0, "number of events of the earlier log")
	cmd.Flags().Int64Var(&to, "to", 0, "number of events of the later log (default: the newest head's)")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

// withEvidence opens a source that reads as the auditor and signs no heads. Packs it signs when the log's key is at hand, as it is on the server.
func withEvidence(ctx context.Context, dataDir string, do func(context.Context, evidenceSource) error) error {
	return withAuditor(ctx, dataDir, func(ctx context.Context, pool *pgxpool.Pool, cfg config) error {
		text, err := verifierText(cfg, dataDir, "")
		if err != nil {
			return err
		}
		key, err := evidence.ParseVerifier(text)
		if err != nil {
			return usage(err)
		}
		own, err := logKey(cfg, dataDir)
		switch {
		case errors.Is(err, fs.ErrPermission):
			own = nil
		case err != nil:
			return err
		case own != nil && own.Verifier() != strings.TrimSpace(text):
			own = nil // of another log
		}
		return do(ctx, evidenceSource{tree: eventstore.OpenTree(pool), key: key, logKey: own})
	})
}
