package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/cmd/tenantpilot/internal/web"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

func auditPackCommand() *cobra.Command {
	var dataDir, tenant, from, to, out string
	var run, since int64
	cmd := &cobra.Command{
		Use: "pack", Short: "Write an evidence pack that can be checked offline", Args: noArgs,
		Long: `Write the events of a run, or of a tenant and a period, with their proof against the newest signed head, into a zip file. Whoever has the
log's verifier key checks it with "tpverify", without this program and without the database; README.txt in the pack says how by hand.
Where the log's key is at hand (TENANTPILOT_LOG_KEY_FILE), it signs that the pack leaves nothing out.

This command reads the database directly and leaves no trace in the log; packs that are downloaded from the console do.
Exit codes: 0 written, 1 error, 2 usage, 5 there is no such run or event.`,
		Example: `  tenantpilot audit pack --run 1042 --out run-1042.zip
  tenantpilot audit pack --tenant 5c2b1c1e-... --from 2026-10-01 --to 2026-11-01 --out october.zip`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch byRun := cmd.Flags().Changed("run"); {
			case byRun && run <= 0:
				return usage(errors.New("--run is the number of a run, from 1 on"))
			case byRun == (tenant != ""):
				return usage(errors.New("give either --run or --tenant"))
			case out == "":
				return usage(errors.New("name the file to write with --out"))
			}
			r := web.PackRequest{RunNumber: run, Since: since}
			if tenant != "" {
				var err error
				if r.From, r.To, err = period(from, to); err != nil {
					return usage(err)
				}
			}
			return withEvidence(cmd.Context(), dataDir, func(ctx context.Context, s evidenceSource) error {
				var err error
				if r, err = s.find(ctx, r, tenant); err != nil {
					return err
				}
				p, err := s.Pack(ctx, r)
				if errors.Is(err, evidence.ErrNotThere) {
					return &exitCode{exitNotFound, err}
				}
				if err != nil {
					return err
				}
				if err := writeNew(out, p); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d events, positions %d to %d\n", out, len(p.Events), p.Manifest.First, p.Manifest.Last)
				if period := p.Period(); period != "" {
					fmt.Fprintln(cmd.OutOrStdout(), period)
				}
				if p.Signed == "" {
					fmt.Fprintln(cmd.ErrOrStderr(), "Not signed: the log's key is not here. Its reader has to trust you that nothing is left out (tpverify --unsigned); "+
						"packs from the console are signed.")
				}
				return nil
			})
		},
	}
	cmd.Flags().Int64Var(&run, "run", 0, "number of the run")
	cmd.Flags().StringVar(&tenant, "tenant", "", "directory id of the tenant")
	cmd.Flags().StringVar(&from, "from", "", "begin of the period, a date (UTC) or a time such as 2026-11-21T09:00:00Z")
	cmd.Flags().StringVar(&to, "to", "", "end of the period, not included (default: now)")
	cmd.Flags().Int64Var(&since, "since", 0, "number of events of an earlier head that the reader has: proves that nothing changed since")
	cmd.Flags().StringVar(&out, "out", "", "zip file to write; it must not exist")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func writeNew(path string, p evidence.Pack) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write pack: %w", err)
	}
	return errors.Join(evidence.WritePack(f, p), f.Close())
}

// period reads the ends of a period.
func period(from, to string) (begin, end time.Time, err error) {
	const write = "write 2026-11-21 or 2026-11-21T09:00:00Z"
	begin, ok := view.ParseInstant(from)
	if from == "" {
		return begin, end, errors.New("--tenant needs --from, the begin of the period: " + write)
	}
	if !ok {
		return begin, end, fmt.Errorf("--from: %q is neither a date nor a time: %s", from, write)
	}
	if end, ok = view.ParseInstant(to); !ok && to != "" {
		return begin, end, fmt.Errorf("--to: %q is neither a date nor a time: %s", to, write)
	}
	if to == "" {
		end = time.Now().UTC()
	}
	if !begin.Before(end) {
		return begin, end, errors.New("the period ends before it begins")
	}
	return begin, end, nil
}

// find looks the run, or the tenant, up in the log itself: read models may be gone.
func (s evidenceSource) find(ctx context.Context, r web.PackRequest, directory string) (web.PackRequest, error) {
	stream, name, key, value := &r.Run, "RunAccepted", "number", fmt.Sprint(r.RunNumber)
	if directory != "" {
		id, err := uuid.Parse(directory)
		if err != nil {
			return r, usage(fmt.Errorf("%q is no directory id", directory))
		}
		stream, name, key, value = &r.Tenant, "TenantRegistered", "externalId", id.String()
	}
	found, err := s.tree.FindFirst(ctx, name, key, value)
	if err != nil {
		return r, err
	}
	switch len(found) {
	case 0:
		return r, &exitCode{exitNotFound, errors.New("the log knows no such run or tenant")}
	case 1:
		*stream, r.Tenant, r.Workspace = found[0].Stream, found[0].Tenant, found[0].Workspace
		return r, nil
	}
	return r, fmt.Errorf("%d workspaces look after this tenant: download the pack from the console of the right one", len(found))
}
