package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"tenantpilot/cmd/internal/evidence"
	"tenantpilot/eventstore"
)

// verifyReport is what `audit verify` has found.
type verifyReport struct {
	From    int64            `json:"from"`    // events that were taken as the head says
	Events  int64            `json:"events"`  // size of the log as far as it was read
	Signed  int64            `json:"signed"`  // size of the largest head that fits
	Heads   int              `json:"heads"`   // genuine heads that were held against it
	Outside int              `json:"outside"` // of these, given from outside
	Seconds float64          `json:"seconds"`
	Faults  []evidence.Fault `json:"faults"` // at most twenty
}

func auditVerifyCommand() *cobra.Command {
	var dataDir, verifier, from string
	var heads []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that the log is the one that was signed", Args: noArgs,
		Long: `Recompute the log's tree from every event and hold it against every signed head, against the stored tree and, with --head, against
heads that were kept elsewhere. A changed, missing, inserted or reordered event is named by its position if that can be told, else by the
two heads between which it happened.

Heads in the database prove nothing against who holds the database and the log key: keep some elsewhere and give them with --head. With
--from, events up to that head are taken as it says and only the later ones are read.

The database is TENANTPILOT_DATABASE_URL (the auditor's role suffices), or else the running demo's; the key is --verifier,
TENANTPILOT_LOG_VERIFIER, or else the demo's.
Exit codes: 0 everything fits, 1 something does not or could not be checked, 2 usage.`,
		Example: `  tenantpilot audit verify --verifier "$(cat log.pub)" --head monday.note --head tuesday.note
  tenantpilot audit verify --from yesterday.note`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuditor(cmd.Context(), dataDir, func(ctx context.Context, pool *pgxpool.Pool, cfg config) error {
				text, err := verifierText(cfg, dataDir, verifier)
				if err != nil {
					return err
				}
				key, err := evidence.ParseVerifier(text)
				if err != nil {
					return usage(err)
				}
				v := logVerification{tree: eventstore.OpenTree(pool), key: key}
				if err := v.readHeads(from, heads); err != nil {
					return err
				}
				report, err := v.run(ctx)
				if err != nil {
					return err
				}
				return printVerification(cmd, report, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&verifier, "verifier", "", "the log's verifier key, as `tenantpilot keys log` prints it")
	cmd.Flags().StringArrayVar(&heads, "head", nil, "file with a signed head that was kept elsewhere; may be given several times")
	cmd.Flags().StringVar(&from, "from", "", "file with a signed head that is believed: begin behind it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

// logVerification holds a stored log against heads.
type logVerification struct {
	tree    eventstore.Tree
	key     note.Verifier
	from    *evidence.Head
	outside []evidence.Head
}

// readHeads reads heads kept elsewhere. One that is not genuine is an error: it says nothing about the log.
func (v *logVerification) readHeads(from string, files []string) error {
	for _, path := range files {
		h, err := readHead(path, v.key)
		if err != nil {
			return err
		}
		v.outside = append(v.outside, h)
	}
	if from == "" {
		return nil
	}
	h, err := readHead(from, v.key)
	v.from = &h
	return err
}

func readHead(path string, key note.Verifier) (evidence.Head, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return evidence.Head{}, usage(fmt.Errorf("read head: %w", err))
	}
	h, err := evidence.OpenHead(string(text), key)
	if err != nil {
		return h, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

func (v *logVerification) run(ctx context.Context) (verifyReport, error) {
	began := time.Now()
	heads, forged, err := v.storedHeads(ctx)
	if err != nil {
		return verifyReport{}, err
	}
	heads = append(heads, v.outside...)
	report := verifyReport{Heads: len(heads), Outside: len(v.outside)}
	check := evidence.NewLogCheck(heads)
	if v.from != nil {
		report.From = v.from.Size
		if check, err = v.begin(ctx, heads); err != nil {
			if fault := new(evidence.Fault); errors.As(err, &fault) {
				report.Faults, err = append(forged, *fault), nil
			}
			return report, err
		}
	}
	for _, f := range forged {
		check.Add(&f)
	}
	var tileErr error
	err = v.tree.Walk(ctx, report.From, func(row eventstore.Row) bool {
		var stream string
		var version int
		var record []byte
		if row.Event != nil {
			stream, version, record = row.Event.Stream.String(), row.Event.Version, row.Event.Record()
		}
		goOn := check.Event(row.Position, stream, version, record, row.Leaf)
		if check.Size() == row.Position && row.Position%evidence.TileWidth == 0 {
			hashes, err := v.tree.Tile(ctx, 0, row.Position/evidence.TileWidth-1)
			if tileErr = err; err != nil {
				return false
			}
			check.Tile(hashes)
		}
		return goOn
	})
	if err = errors.Join(err, tileErr); err != nil {
		return report, err
	}
	check.End()
	report.Events, report.Signed, report.Faults = check.Size(), check.Heads(), check.Faults()
	report.Seconds = time.Since(began).Seconds()
	return report, nil
}

// begin starts behind the head that is believed.
func (v *logVerification) begin(ctx context.Context, heads []evidence.Head) (*evidence.LogCheck, error) {
	var spans []eventstore.Span
	for lo, rest := int64(0), v.from.Size; rest > 0; {
		width := int64(1) << (bits.Len64(uint64(rest)) - 1) //nolint:gosec // positive
		spans = append(spans, eventstore.Span{Lo: lo, Hi: lo + width})
		lo, rest = lo+width, rest-width
	}
	roots, err := v.tree.SpanHashes(ctx, spans)
	if errors.Is(err, eventstore.ErrNoTree) {
		return nil, &evidence.Fault{
			Name: evidence.LogTruncated, Text: fmt.Sprintf("the log or its tree does not reach to the %d events of the head", v.from.Size),
		}
	}
	if err != nil {
		return nil, err
	}
	return evidence.NewLogCheckFrom(*v.from, roots, heads)
}

// storedHeads are the heads in the database, and faults for those that are not genuine.
func (v *logVerification) storedHeads(ctx context.Context) (heads []evidence.Head, forged []evidence.Fault, err error) {
	below := int64(0)
	for {
		page, err := v.tree.Heads(ctx, below, 1000)
		if err != nil || len(page) == 0 {
			return heads, forged, err
		}
		for _, stored := range page {
			h, err := evidence.OpenHead(stored.Note, v.key)
			if err == nil && (h.Size != stored.Size || h.Root != stored.Root) {
				err = &evidence.Fault{Name: evidence.HeadForged, Text: "its columns say something else than its signed text"}
			}
			if err != nil {
				f := *evidence.AsFault(err)
				f.Text = fmt.Sprintf("stored head of %d events: %s", stored.Size, f.Text)
				forged = append(forged, f)
				continue
			}
			heads = append(heads, h)
		}
		below = page[len(page)-1].Size
	}
}

func printVerification(cmd *cobra.Command, r verifyReport, asJSON bool) error {
	out := cmd.OutOrStdout()
	if r.Faults == nil {
		r.Faults = []evidence.Fault{}
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	} else {
		if r.From > 0 {
			fmt.Fprintf(out, "the first %d events are taken as the head says\n", r.From)
		}
		fmt.Fprintf(out, "%d events recomputed in %.1f s, held against %d signed heads, %d of them from outside\n",
			max(0, r.Events-r.From), r.Seconds, r.Heads, r.Outside)
		for _, f := range r.Faults {
			fmt.Fprintf(out, "%s: %s\n", f.Name, f.Text)
		}
	}
	switch {
	case len(r.Faults) > 0:
		return &exitCode{exitError, errors.New("the log is not the one that was signed")}
	case r.Heads == 0 && r.From == 0:
		return &exitCode{exitError, errors.New("no head was ever signed, so nothing is proven: give serve a log key (TENANTPILOT_LOG_KEY_FILE)")}
	}
	if !asJSON {
		fmt.Fprintf(out, "the log is the one that was signed, up to position %d; %d later events are under no head yet\n", r.Signed, r.Events-r.Signed)
	}
	return nil
}
